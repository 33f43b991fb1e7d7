"""What the chat completion APIs accept, each in its own way, and the completion that comes back.

A body is refused for whatever its real API refuses, and for any field that the API does not document, even where the
real one would let it pass: a misspelt parameter is found here, not in the results.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from runner.simulator.chat.answers import Ask, tokens_of
from runner.simulator.chat.fields import (
    count,
    either,
    is_object,
    listing,
    mapping,
    nothing_or,
    number,
    objects,
    text,
    truth,
    unknown,
    wrong,
)
from runner.simulator.values import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from re import Pattern

    from runner.records import Json
    from runner.simulator.chat.answers import Said

    Fields = Mapping[str, Callable[[Any], bool]]

_SHARED: Fields = {
    "model": text,
    "messages": listing,
    "frequency_penalty": nothing_or(number),
    "logprobs": nothing_or(truth),
    "max_tokens": nothing_or(count),
    "n": nothing_or(count),
    "presence_penalty": nothing_or(number),
    "response_format": nothing_or(mapping),
    "stop": nothing_or(either(text, listing)),
    "stream": nothing_or(truth),
    "temperature": nothing_or(number),
    "tool_choice": nothing_or(either(text, mapping)),
    "tools": nothing_or(listing),
    "top_logprobs": nothing_or(count),
    "top_p": nothing_or(number),
}
_COMMON: Fields = {
    **_SHARED,
    "logit_bias": nothing_or(mapping),
    "max_completion_tokens": nothing_or(count),
    "metadata": nothing_or(mapping),
    "parallel_tool_calls": nothing_or(truth),
    "reasoning_effort": nothing_or(text),
    "seed": nothing_or(count),
    "service_tier": nothing_or(text),
    "store": nothing_or(truth),
    "stream_options": nothing_or(mapping),
    "user": nothing_or(text),
}
OPENAI: Fields = {
    **_COMMON,
    "audio": nothing_or(mapping),
    "function_call": either(text, mapping),
    "functions": listing,
    "modalities": nothing_or(listing),
    "moderation": nothing_or(mapping),
    "prediction": nothing_or(mapping),
    "prompt_cache_key": nothing_or(text),
    "prompt_cache_options": mapping,
    "prompt_cache_retention": nothing_or(text),
    "safety_identifier": nothing_or(text),
    "verbosity": nothing_or(text),
    "web_search_options": mapping,
}
GROQ: Fields = {
    **{name: check for name, check in _COMMON.items() if name != "stream_options"},
    "citation_options": nothing_or(text),
    "compound_custom": nothing_or(mapping),
    "disable_tool_validation": truth,
    "documents": nothing_or(listing),
    "exclude_domains": nothing_or(listing),
    "function_call": nothing_or(either(text, mapping)),
    "functions": nothing_or(listing),
    "include_domains": nothing_or(listing),
    "include_reasoning": nothing_or(truth),
    "reasoning_format": nothing_or(text),
    "search_settings": nothing_or(mapping),
}
KLUSTER: Fields = {**_COMMON, "min_p": number, "repetition_penalty": number, "top_k": count}
XAI: Fields = {**_COMMON, "deferred": nothing_or(truth), "search_parameters": nothing_or(mapping)}
DEEPSEEK: Fields = {
    **_SHARED,
    "reasoning_effort": nothing_or(text),
    "stream_options": nothing_or(mapping),
    "thinking": nothing_or(mapping),
}
MISTRAL: Fields = {
    **_SHARED,
    "guardrails": nothing_or(listing),
    "metadata": nothing_or(mapping),
    "min_tokens": nothing_or(count),
    "parallel_tool_calls": truth,
    "prediction": nothing_or(mapping),
    "prompt_cache_key": nothing_or(text),
    "prompt_logprobs": nothing_or(count),
    "prompt_mode": nothing_or(text),
    "random_seed": nothing_or(count),
    "reasoning_effort": nothing_or(text),
    "repetition_penalty": nothing_or(number),
    "safe_prompt": truth,
    "service_tier": nothing_or(text),
    "top_k": nothing_or(count),
    "top_prompt_logprobs": nothing_or(count),
}

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_MESSAGE = frozenset(
    {"role", "content", "name", "tool_calls", "tool_call_id", "refusal", "audio", "function_call", "prefix"}
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What some models of an API refuse."""

    models: Pattern[str]
    refused_roles: frozenset[str] = frozenset()
    temperature: Literal["free", "default_only", "refused"] = "free"
    refused_fields: frozenset[str] = frozenset()
    formats: frozenset[str] = frozenset({"text", "json_object", "json_schema"})
    reasons: bool = False


@dataclass(frozen=True, slots=True)
class Dialect:
    """One provider's chat completions."""

    name: str
    fields: Fields
    models: Pattern[str]
    """The ids that it serves."""
    rules: tuple[Rules, ...] = ()
    """The first that fits a model holds."""
    max_temperature: float = 2.0
    roles: frozenset[str] = _ROLES
    strict_schemas: bool = True
    """Whether a schema marked strict must be closed and complete."""
    responses_only: Pattern[str] | None = None
    """The ids that are served by the Responses API alone; None: it has none such API."""

    def rules_of(self, model: str) -> Rules:
        """What holds for a model; Refused (model_not_found) where it is not served."""
        if not self.models.fullmatch(model):
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise Refused("model_not_found", message, code="model_not_found")
        return next((rules for rules in self.rules if rules.models.match(model)), _FREE)


_FREE = Rules(re.compile(""))


def read(body: Mapping[str, Any], dialect: Dialect, *, is_responses: bool = False) -> Ask:
    """A body, checked. Refused for the first thing that its API refuses.

    `is_responses`: it came in the words of the Responses API, which serves more models.
    """
    _fields(body, dialect)
    if not is_responses and dialect.responses_only is not None and dialect.responses_only.fullmatch(body["model"]):
        message = "This model is only supported in v1/responses and not in v1/chat/completions."
        raise Refused("model_not_found", message, param="model")
    rules = dialect.rules_of(body["model"])
    _parameters(body, dialect, rules)
    system, user = _messages(body["messages"], dialect, rules)
    schema = _format(body.get("response_format"), f"{system}\n{user}", dialect, rules)
    tool, arguments = _tool(body)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return Ask(body["model"], system, user, arguments or schema, tool, limit, rules.reasons)


def _fields(body: Mapping[str, Any], dialect: Dialect) -> None:
    name = unknown(body, dialect.fields)
    if name is not None:
        raise Refused("bad_request", f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    for name in ("model", "messages"):
        if name not in body:
            message = f"Missing required parameter: '{name}'."
            raise Refused("bad_request", message, param=name, code="missing_required_parameter")
    name = wrong(body, dialect.fields)
    if name is not None:
        raise Refused("bad_request", f"Invalid type for '{name}'.", param=name, code="invalid_type")
    if body.get("stream") or (body.get("n") or 1) != 1:
        raise Refused("bad_request", "Streams and several choices are not simulated.", param="stream")


def _parameters(body: Mapping[str, Any], dialect: Dialect, rules: Rules) -> None:
    for name in rules.refused_fields:
        if body.get(name) is not None:
            hint = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
            message = f"Unsupported parameter: '{name}' is not supported with this model.{hint}"
            raise Refused("bad_request", message, param=name, code="unsupported_parameter")
    temperature = body.get("temperature")
    if temperature is not None:
        _temperature(temperature, dialect, rules)
    for name in ("max_tokens", "max_completion_tokens"):
        if body.get(name) is not None and body[name] < 1:
            message = f"Invalid '{name}': integer below minimum value. Expected a value >= 1."
            raise Refused("bad_request", message, param=name, code="integer_below_min_value")


def _temperature(temperature: float, dialect: Dialect, rules: Rules) -> None:
    if rules.temperature == "refused":
        message = "Unsupported parameter: 'temperature' is not supported with this model."
        raise Refused("bad_request", message, param="temperature", code="unsupported_parameter")
    if rules.temperature == "default_only" and temperature != 1:
        message = (
            f"Unsupported value: 'temperature' does not support {temperature} with this model. "
            "Only the default (1) value is supported."
        )
        raise Refused("bad_request", message, param="temperature", code="unsupported_value")
    if not 0 <= temperature <= dialect.max_temperature:
        message = f"Invalid 'temperature': expected a value between 0 and {dialect.max_temperature:g}."
        raise Refused("bad_request", message, param="temperature", code="decimal_above_max_value")


def _messages(messages: list[Any], dialect: Dialect, rules: Rules) -> tuple[str, str]:
    """What the system and the others say."""
    if not messages:
        raise Refused("bad_request", "Invalid 'messages': empty array.", param="messages", code="empty_array")
    system: list[str] = []
    user: list[str] = []
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict) or not message.keys() <= _MESSAGE:
            raise Refused("bad_request", f"Invalid value for '{where}'.", param=where, code="invalid_value")
        role = message.get("role")
        if role not in dialect.roles:
            raise Refused("bad_request", f"Invalid value: '{role}'.", param=f"{where}.role", code="invalid_value")
        if role in rules.refused_roles:
            detail = f"'{where}.role' does not support '{role}' with this model."
            raise Refused(
                "bad_request", f"Unsupported value: {detail}", param=f"{where}.role", code="unsupported_value"
            )
        (system if role in ("system", "developer") else user).append(_content(message.get("content"), where))
    return "\n".join(system), "\n".join(user)


def _content(content: Json, where: str) -> str:
    if isinstance(content, str):
        return content
    parts: list[Any] = content if isinstance(content, list) else [None]
    if not all(isinstance(part, dict) and part.get("type") == "text" and text(part.get("text")) for part in parts):
        message = f"Invalid type for '{where}.content': expected a string or text parts."
        raise Refused("bad_request", message, param=f"{where}.content", code="invalid_type")
    return "\n".join(part["text"] for part in parts)


def _format(wanted: Json, said: str, dialect: Dialect, rules: Rules) -> Mapping[str, Any] | None:
    if wanted is None:
        return None
    kind = wanted.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        raise Refused("bad_request", f"Invalid value: '{kind}'.", param="response_format.type", code="invalid_value")
    if kind not in rules.formats:
        message = f"Invalid parameter: 'response_format' of type '{kind}' is not supported with this model."
        raise Refused("bad_request", message, param="response_format")
    if kind == "json_object" and "json" not in said.lower():
        message = (
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
        )
        raise Refused("bad_request", message, param="messages")
    if kind != "json_schema":
        return None
    named = wanted.get("json_schema")
    if not isinstance(named, dict) or not text(named.get("name")) or not mapping(named.get("schema")):
        message = "Missing required parameter: 'response_format.json_schema'."
        raise Refused("bad_request", message, param="response_format.json_schema", code="missing_required_parameter")
    if named.get("strict") and dialect.strict_schemas:
        _strict(named["schema"], named["name"])
    schema: Mapping[str, Any] = named["schema"]
    return schema


def _strict(schema: Json, name: str) -> None:
    """OpenAI's strict mode: closed objects, every key required, no limits to a string's length."""
    for part in objects(schema):
        problem = None
        if is_object(part) and part.get("additionalProperties") is not False:
            problem = "'additionalProperties' is required to be supplied and to be false."
        elif is_object(part) and set(part.get("required", ())) != set(part.get("properties", {})):
            problem = "'required' is required to be supplied and to be an array including every key in properties."
        elif banned := {"minLength", "maxLength"} & part.keys():
            problem = f"'{min(banned)}' is not permitted."
        if problem:
            message = f"Invalid schema for response_format '{name}': In context=(), {problem}"
            raise Refused("bad_request", message, param="response_format")


def _tool(body: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any] | None]:
    """The forced tool and its parameters."""
    tools: dict[str, Mapping[str, Any]] = {}
    for index, tool in enumerate(body.get("tools") or ()):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not text(function.get("name")) or tool.get("type") != "function":
            message = f"Invalid value for 'tools[{index}]'."
            raise Refused("bad_request", message, param=f"tools[{index}]", code="invalid_value")
        if function["name"] in tools:
            message = f"Invalid 'tools': the function '{function['name']}' is given twice."
            raise Refused("bad_request", message, param="tools", code="invalid_value")
        tools[function["name"]] = function.get("parameters") or {}
    return _forced(body.get("tool_choice"), tools)


def _forced(choice: Json, tools: Mapping[str, Mapping[str, Any]]) -> tuple[str | None, Mapping[str, Any] | None]:
    if choice in (None, "none", "auto"):
        return None, None
    if isinstance(choice, str):
        if choice not in ("required", "any"):
            raise Refused("bad_request", f"Invalid value: '{choice}'.", param="tool_choice", code="invalid_value")
        if len(tools) != 1:
            raise Refused("bad_request", "A forced choice among several tools is not simulated.", param="tool_choice")
        return next(iter(tools.items()))
    function = choice.get("function") if choice.get("type") == "function" else None
    name = function.get("name") if isinstance(function, dict) and function.keys() == {"name"} else None
    if not isinstance(name, str) or choice.keys() != {"type", "function"}:
        message = "Invalid value for 'tool_choice': exactly one function can be forced."
        raise Refused("bad_request", message, param="tool_choice", code="invalid_value")
    if name not in tools:
        message = f"Invalid value for 'tool_choice': '{name}' is not in 'tools'."
        raise Refused("bad_request", message, param="tool_choice", code="invalid_value")
    return name, tools[name]


def tokens(body: Mapping[str, Any]) -> int:
    """Tokens that a body counts for where tokens are limited: its prompt and its reply's limit."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or 0
    messages = body.get("messages")
    prompt = sum(tokens_of(str(message)) for message in messages) if isinstance(messages, list) else 0
    return prompt + (limit if isinstance(limit, int) else 0)


def completion(ask: Ask, said: Said, name: str, made: float) -> dict[str, Any]:
    """A reply as a chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": said.text, "refusal": None}
    finish = "length" if said.finish == "length" else "stop"
    if said.finish == "refused" and ask.schema is not None and ask.tool is None:
        message |= {"content": None, "refusal": said.text}
    elif ask.tool is not None and said.finish != "refused":
        call = {"name": ask.tool, "arguments": said.text}
        message |= {"content": None, "tool_calls": [{"id": f"call_{name[-8:]}", "type": "function", "function": call}]}
        finish = finish if finish == "length" else "tool_calls"
    return {
        "id": name,
        "object": "chat.completion",
        "created": int(made),
        "model": ask.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": said.input_tokens,
            "completion_tokens": said.output_tokens,
            "total_tokens": said.input_tokens + said.output_tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": said.reasoning_tokens},
        },
        "system_fingerprint": "fp_simulated",
    }
