"""What OpenAI's Responses API accepts, and the response that comes back. Its rules for models are those of chat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.simulator.chat import openai as openai_chat
from runner.simulator.chat.answers import tokens_of
from runner.simulator.chat.fields import (
    count,
    either,
    listing,
    mapping,
    nothing_or,
    number,
    text,
    truth,
    unknown,
    wrong,
)
from runner.simulator.values import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.records import Json
    from runner.simulator.chat.answers import Ask, Said
    from runner.simulator.chat.openai import Dialect, Fields

FIELDS: Fields = {
    "background": nothing_or(truth),
    "context_management": nothing_or(listing),
    "conversation": nothing_or(either(text, mapping)),
    "include": nothing_or(listing),
    "input": either(text, listing),
    "instructions": nothing_or(text),
    "max_output_tokens": nothing_or(count),
    "max_tool_calls": nothing_or(count),
    "metadata": nothing_or(mapping),
    "model": text,
    "moderation": nothing_or(mapping),
    "parallel_tool_calls": nothing_or(truth),
    "previous_response_id": nothing_or(text),
    "prompt": nothing_or(mapping),
    "prompt_cache_key": nothing_or(text),
    "prompt_cache_options": mapping,
    "prompt_cache_retention": nothing_or(text),
    "reasoning": nothing_or(mapping),
    "safety_identifier": nothing_or(text),
    "service_tier": nothing_or(text),
    "store": nothing_or(truth),
    "stream": nothing_or(truth),
    "stream_options": nothing_or(mapping),
    "temperature": nothing_or(number),
    "text": mapping,
    "tool_choice": either(text, mapping),
    "tools": listing,
    "top_logprobs": nothing_or(count),
    "top_p": nothing_or(number),
    "truncation": nothing_or(text),
    "user": text,
}
LEAST_OUTPUT_TOKENS = 16


def read(body: Mapping[str, Any], dialect: Dialect) -> Ask:
    """A body, checked. Refused for the first thing that its API refuses."""
    _check(body)
    chat: dict[str, Any] = {"model": body["model"], "messages": list(_messages(body))}
    if body.get("max_output_tokens") is not None:
        chat["max_completion_tokens"] = body["max_output_tokens"]
    chat |= {name: body[name] for name in ("temperature", "top_p") if body.get(name) is not None}
    wanted = (body.get("text") or {}).get("format")
    if wanted is not None:
        chat["response_format"] = _format(wanted)
    if body.get("tools"):
        chat["tools"] = [_tool(tool, index) for index, tool in enumerate(body["tools"])]
    if body.get("tool_choice") is not None:
        chat["tool_choice"] = _choice(body["tool_choice"])
    return openai_chat.read(chat, dialect, is_responses=True)


def _check(body: Mapping[str, Any]) -> None:
    name = unknown(body, FIELDS)
    if name is not None:
        raise Refused("bad_request", f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    for name in ("model", "input"):
        if name not in body:
            message = f"Missing required parameter: '{name}'."
            raise Refused("bad_request", message, param=name, code="missing_required_parameter")
    name = wrong(body, FIELDS)
    if name is not None:
        raise Refused("bad_request", f"Invalid type for '{name}'.", param=name, code="invalid_type")
    for name in ("stream", "background", "previous_response_id", "conversation", "prompt"):
        if body.get(name):
            raise Refused("bad_request", f"'{name}' is not simulated.", param=name)
    limit = body.get("max_output_tokens")
    if limit is not None and limit < LEAST_OUTPUT_TOKENS:
        message = (
            f"Invalid 'max_output_tokens': integer below minimum value. Expected a value >= {LEAST_OUTPUT_TOKENS}, "
            f"but got {limit} instead."
        )
        raise Refused("bad_request", message, param="max_output_tokens", code="integer_below_min_value")


def _messages(body: Mapping[str, Any]) -> Iterator[dict[str, Json]]:
    if body.get("instructions"):
        yield {"role": "developer", "content": body["instructions"]}
    if isinstance(body["input"], str):
        yield {"role": "user", "content": body["input"]}
        return
    for index, item in enumerate(body["input"]):
        where = f"input[{index}]"
        if not isinstance(item, dict) or item.get("type", "message") != "message" or not text(item.get("role")):
            raise Refused("bad_request", f"Invalid value for '{where}'.", param=where, code="invalid_value")
        yield {"role": item["role"], "content": _content(item.get("content"), f"{where}.content")}


def _content(content: Json, where: str) -> str:
    if isinstance(content, str):
        return content
    parts: list[Any] = content if isinstance(content, list) else [None]
    if not all(
        isinstance(part, dict) and part.get("type") == "input_text" and text(part.get("text")) for part in parts
    ):
        message = f"Invalid value for '{where}': expected a string or parts of type 'input_text'."
        raise Refused("bad_request", message, param=where, code="invalid_value")
    return "\n".join(part["text"] for part in parts)


def _format(wanted: Json) -> Json:
    """text.format -> response_format: what chat wraps in json_schema stands beside the type here."""
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return wanted
    return {"type": "json_schema", "json_schema": {name: value for name, value in wanted.items() if name != "type"}}


def _tool(tool: Json, index: int) -> Json:
    if not isinstance(tool, dict) or tool.get("type") != "function" or not text(tool.get("name")):
        where = f"tools[{index}]"
        raise Refused("bad_request", f"Invalid value for '{where}'.", param=where, code="invalid_value")
    return {"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}}


def _choice(choice: Json) -> Json:
    if isinstance(choice, dict) and choice.keys() == {"type", "name"}:
        return {"type": choice["type"], "function": {"name": choice["name"]}}
    return choice


def tokens(body: Mapping[str, Any]) -> int:
    """Tokens that a body counts for where tokens are limited: its prompt and its reply's limit."""
    limit = body.get("max_output_tokens")
    said = (body.get("instructions") or "", body.get("input") or "")
    return sum(tokens_of(str(part)) for part in said) + (limit if isinstance(limit, int) else 0)


def response(ask: Ask, said: Said, name: str, made: float) -> dict[str, Any]:
    """A reply as a response."""
    output: list[Json] = []
    if ask.reasons:
        output.append({"id": f"rs_{name[-8:]}", "type": "reasoning", "summary": []})
    cut = said.finish == "length"
    status = "incomplete" if cut else "completed"
    if ask.tool is not None and said.finish != "refused":
        call = {"call_id": f"call_{name[-8:]}", "name": ask.tool, "arguments": said.text}
        output.append({"id": f"fc_{name[-8:]}", "type": "function_call", "status": status, **call})
    elif said.text or not cut:
        refused = said.finish == "refused" and ask.schema is not None
        part = (
            {"type": "refusal", "refusal": said.text}
            if refused
            else {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
        )
        message = {"type": "message", "role": "assistant", "status": status, "content": [part]}
        output.append({"id": f"msg_{name[-8:]}", **message})
    return {
        "id": name,
        "object": "response",
        "created_at": int(made),
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": None,
        "max_output_tokens": ask.limit,
        "metadata": {},
        "model": ask.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": said.input_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": said.output_tokens,
            "output_tokens_details": {"reasoning_tokens": said.reasoning_tokens},
            "total_tokens": said.input_tokens + said.output_tokens,
        },
    }
