"""What Anthropic's messages accept, and the message that comes back."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from runner.simulator.chat import fields
from runner.simulator.chat.answers import Ask
from runner.simulator.chat.fields import count, either, listing, mapping, nothing_or, number, text, truth
from runner.simulator.values import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Json
    from runner.simulator.chat.answers import Said

FIELDS = {
    "model": text,
    "messages": listing,
    "max_tokens": count,
    "cache_control": nothing_or(mapping),
    "container": nothing_or(either(text, mapping)),
    "diagnostics": nothing_or(mapping),
    "inference_geo": nothing_or(text),
    "metadata": mapping,
    "output_config": mapping,
    "service_tier": text,
    "speed": nothing_or(text),
    "stop_sequences": listing,
    "stream": truth,
    "system": either(text, listing),
    "temperature": number,
    "thinking": mapping,
    "tool_choice": mapping,
    "tools": listing,
    "top_k": count,
    "top_p": number,
    "user_profile_id": text,
    "workspace_id": text,
}
_MODELS = re.compile(r"claude-.+")
_OLD = re.compile(r"claude-(2|instant|3)")
"""Without output_config.format."""
_FIXED = re.compile(r"claude-(opus-4-[7-9]|(?:opus|sonnet|haiku)-([5-9]|\d\d))")
"""With one temperature, which cannot be set."""
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength")


def read(body: Mapping[str, Any]) -> Ask:
    """A request's params, checked. Refused for the first thing that the API refuses."""
    _fields(body)
    model = body["model"]
    if not _MODELS.fullmatch(model):
        raise Refused("model_not_found", f"model: {model}")
    _sampling(body, model)
    schema = _schema(body.get("output_config") or {}, model)
    tool, arguments = _tool(body)
    thinks = (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    user = "\n".join(_message(message, index) for index, message in enumerate(body["messages"]))
    return Ask(
        model, _text(body.get("system", ""), "system"), user, arguments or schema, tool, body["max_tokens"], thinks
    )


def _fields(body: Mapping[str, Any]) -> None:
    if name := fields.unknown(body, FIELDS):
        raise Refused("bad_request", f"{name}: Extra inputs are not permitted")
    for name in ("model", "messages", "max_tokens"):
        if name not in body:
            raise Refused("bad_request", f"{name}: Field required")
    if name := fields.wrong(body, FIELDS):
        raise Refused("bad_request", f"{name}: Input is of the wrong type")
    if body.get("stream"):
        raise Refused("bad_request", "stream: Streams are not simulated")
    if body["max_tokens"] < 1:
        raise Refused("bad_request", "max_tokens: Input should be greater than or equal to 1")
    if not body["messages"]:
        raise Refused("bad_request", "messages: at least one message is required")


def _sampling(body: Mapping[str, Any], model: str) -> None:
    temperature = body.get("temperature")
    if temperature is None:
        return
    if _FIXED.match(model) and temperature != 1:
        raise Refused("bad_request", "`temperature` is deprecated for this model.")
    if not 0 <= temperature <= 1:
        raise Refused("bad_request", "temperature: range: 0..1")
    if "top_p" in body and not _OLD.match(model):
        raise Refused("bad_request", "`temperature` and `top_p` cannot both be specified for this model.")


def _message(message: Json, index: int) -> str:
    if not isinstance(message, dict) or message.keys() != {"role", "content"}:
        raise Refused("bad_request", f"messages.{index}: a message has role and content, and nothing else")
    if message["role"] not in ("user", "assistant"):
        hint = " The Messages API takes the system prompt as a top-level parameter." * (message["role"] == "system")
        raise Refused("bad_request", f'messages.{index}.role: Unexpected role "{message["role"]}".{hint}')
    content = _text(message["content"], f"messages.{index}.content")
    if not content.strip():
        raise Refused("bad_request", f"messages.{index}: all messages must have non-empty content")
    return content


def _text(content: Json, where: str) -> str:
    if isinstance(content, str):
        return content
    blocks: list[Any] = content if isinstance(content, list) else [None]
    if not all(isinstance(block, dict) and block.get("type") == "text" and text(block.get("text")) for block in blocks):
        raise Refused("bad_request", f"{where}: only text is simulated")
    return "\n".join(block["text"] for block in blocks)


def _schema(config: Mapping[str, Any], model: str) -> Mapping[str, Any] | None:
    wanted = config.get("format")
    if wanted is None:
        return None
    if _OLD.match(model):
        raise Refused("bad_request", "output_config.format: this model does not support structured outputs")
    schema = wanted.get("schema") if isinstance(wanted, dict) else None
    if not isinstance(schema, dict) or wanted.get("type") != "json_schema" or wanted.keys() != {"type", "schema"}:
        raise Refused("bad_request", "output_config.format: type json_schema and a schema are required")
    for part in fields.objects(schema):
        if fields.is_object(part) and part.get("additionalProperties") is not False:
            problem = "For 'object' type, 'additionalProperties' must be explicitly set to false"
            raise Refused("bad_request", f"output_config.format.schema: {problem}")
        if banned := [name for name in _BOUNDS if name in part]:
            problem = f"For '{part.get('type')}' type, properties {', '.join(banned)} are not supported"
            raise Refused("bad_request", f"output_config.format.schema: {problem}")
    return schema


def _tool(body: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any] | None]:
    tools: dict[str, Mapping[str, Any]] = {}
    for index, tool in enumerate(body.get("tools") or ()):
        if not isinstance(tool, dict) or not text(tool.get("name")) or not mapping(tool.get("input_schema")):
            raise Refused("bad_request", f"tools.{index}: name and input_schema are required")
        if tool["name"] in tools:
            raise Refused("bad_request", "tools: Tool names must be unique.")
        tools[tool["name"]] = tool["input_schema"]
    choice = body.get("tool_choice")
    if choice is None or choice.get("type") in ("auto", "none"):
        return None, None
    if choice.get("type") == "any" and len(tools) == 1:
        return next(iter(tools.items()))
    if choice.get("type") != "tool" or not choice.keys() <= {"type", "name", "disable_parallel_tool_use"}:
        raise Refused("bad_request", "tool_choice: exactly one tool can be forced")
    if choice.get("name") not in tools:
        raise Refused("bad_request", f"Tool '{choice.get('name')}' not found in provided tools")
    return choice["name"], tools[choice["name"]]


def message_of(ask: Ask, said: Said, name: str) -> dict[str, Any]:
    """A reply as a message."""
    content: list[dict[str, Json]] = [{"type": "text", "text": said.text}]
    reason = {"stop": "end_turn", "length": "max_tokens", "refused": "refusal"}[said.finish]
    if ask.tool is not None and said.finish != "refused":
        try:
            value = json.loads(said.text)
        except ValueError:
            value = {}
        content = [{"type": "tool_use", "id": f"toolu_{name[-8:]}", "name": ask.tool, "input": value}]
        reason = "tool_use" if said.finish == "stop" else reason
    if ask.reasons:
        content.insert(0, {"type": "thinking", "thinking": "", "signature": "c2ltdWxhdGVk"})
    return {
        "id": name,
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {
            "input_tokens": said.input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": said.output_tokens,
            "service_tier": "standard",
        },
    }
