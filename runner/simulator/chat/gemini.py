"""What generateContent accepts, at Gemini and at Vertex AI, and the response that comes back.

Names are accepted in camelCase and in snake_case, as Google's JSON mapping does; a name that it does not know is
refused, as Google does.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from runner.simulator.chat.answers import Ask, tokens_of
from runner.simulator.chat.fields import anything, count, either, listing, mapping, number, text, truth, unknown, wrong
from runner.simulator.http import HttpAnswer, answer
from runner.simulator.values import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Json
    from runner.simulator.chat.answers import Said
    from runner.simulator.http import Call

_INT = either(count, text)
"""Google writes and takes 64-bit numbers as strings."""
FIELDS = {
    "contents": either(listing, mapping),
    "model": text,
    "systemInstruction": mapping,
    "generationConfig": mapping,
    "tools": listing,
    "toolConfig": mapping,
    "safetySettings": listing,
    "cachedContent": text,
    "labels": mapping,
    "serviceTier": text,
    "store": truth,
}
CONFIG = {
    "modelSelectionConfig": mapping,
    "responseJsonSchema": anything,
    "audioTimestamp": truth,
    "audioTranscriptionConfig": mapping,
    "candidateCount": count,
    "enableAffectiveDialog": truth,
    "enableEnhancedCivicAnswers": truth,
    "frequencyPenalty": number,
    "imageConfig": mapping,
    "logprobs": count,
    "maxOutputTokens": count,
    "mediaResolution": text,
    "presencePenalty": number,
    "responseFormat": anything,
    "responseLogprobs": truth,
    "responseMimeType": text,
    "responseModalities": listing,
    "responseSchema": mapping,
    "routingConfig": mapping,
    "seed": count,
    "speechConfig": mapping,
    "stopSequences": listing,
    "temperature": number,
    "thinkingConfig": mapping,
    "topK": number,
    "topP": number,
    "translationConfig": mapping,
}
SCHEMA = {
    "additionalProperties": anything,
    "anyOf": listing,
    "default": anything,
    "defs": mapping,
    "description": text,
    "enum": listing,
    "example": anything,
    "format": text,
    "items": mapping,
    "maxItems": _INT,
    "maxLength": _INT,
    "maxProperties": _INT,
    "maximum": number,
    "minItems": _INT,
    "minLength": _INT,
    "minProperties": _INT,
    "minimum": number,
    "nullable": truth,
    "pattern": text,
    "properties": mapping,
    "propertyOrdering": listing,
    "ref": text,
    "required": listing,
    "title": text,
    "type": text,
}
MODELS = re.compile(r"(gemini|gemma)-.+")
_THINKS = re.compile(r"gemini-(2\.5-pro|[3-9])")
_STATUS = {
    "key_missing": (403, "PERMISSION_DENIED"),
    "key_wrong": (400, "INVALID_ARGUMENT"),
    "not_found": (404, "NOT_FOUND"),
    "model_not_found": (404, "NOT_FOUND"),
    "bad_request": (400, "INVALID_ARGUMENT"),
    "too_large": (400, "INVALID_ARGUMENT"),
    "conflict": (400, "FAILED_PRECONDITION"),
    "rate_limit": (429, "RESOURCE_EXHAUSTED"),
    "server": (503, "UNAVAILABLE"),
}
_TYPE = "type.googleapis.com/google.rpc."


def refusal(refused: Refused) -> HttpAnswer:
    """An error as Google writes it."""
    code, status = _STATUS[refused.kind]
    details: list[dict[str, Json]] = []
    if refused.kind == "key_wrong":
        details = [{"@type": f"{_TYPE}ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]
    elif refused.kind == "rate_limit":
        details = [{"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{refused.retry_s:g}s"}]
    elif refused.param:
        violation = {"field": refused.param, "description": refused.message}
        details = [{"@type": f"{_TYPE}BadRequest", "fieldViolations": [violation]}]
    error = {"code": code, "message": refused.message, "status": status}
    return answer({"error": {**error, "details": details} if details else error}, code)


def check_model(model: str) -> str:
    """A model's id without `models/`; Refused where there is no such model."""
    plain = model.rpartition("/")[2]
    if not MODELS.fullmatch(plain):
        message = f"models/{plain} is not found for API version v1beta, or is not supported for generateContent."
        raise Refused("model_not_found", message)
    return plain


def read(body: Mapping[str, Any], model: str) -> Ask:
    """A body, checked. Refused for the first thing that the API refuses."""
    fields = known(body, FIELDS, "")
    if not fields.get("contents"):
        raise Refused("bad_request", "* GenerateContentRequest.contents: contents is not specified", param="contents")
    contents = fields["contents"] if isinstance(fields["contents"], list) else [fields["contents"]]
    user = "\n".join(_content(content, f"contents[{index}]") for index, content in enumerate(contents))
    system = _content(fields.get("systemInstruction", {"parts": []}), "system_instruction")
    config = known(fields.get("generationConfig", {}), CONFIG, "generation_config")
    tool, arguments = _tool(fields)
    schema = arguments or _schema(config)
    return Ask(model, system, user, schema, tool, _limit(config), _THINKS.match(model) is not None)


def known(value: Json, table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """An object's fields in camelCase; Refused for a name or a kind of value that the table does not have."""
    if not isinstance(value, dict):
        raise Refused("bad_request", f"Invalid value at '{where}'", param=where)
    fields = {_camel(name): inner for name, inner in value.items() if inner is not None}
    name = unknown(fields, table)
    if name is not None:
        place = f" at '{where}'" if where else ""
        message = f'Invalid JSON payload received. Unknown name "{name}"{place}: Cannot find field.'
        raise Refused("bad_request", message, param=where or name)
    if name := wrong(fields, table):
        raise Refused("bad_request", f"Invalid value at '{f'{where}.{name}'.lstrip('.')}'", param=name)
    return fields


@cache
def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _content(content: Json, where: str) -> str:
    fields = known(content, {"role": text, "parts": either(listing, mapping)}, where)
    if fields.get("role", "user") not in ("user", "model", "system"):
        raise Refused("bad_request", "Please use a valid role: user, model.", param=where)
    parts = fields.get("parts", [])
    said = []
    for part in parts if isinstance(parts, list) else [parts]:
        inner = known(part, {"text": text, "thought": truth, "thoughtSignature": text}, f"{where}.parts")
        said.append(inner.get("text", ""))
    return "\n".join(said)


def _limit(config: Mapping[str, Any]) -> int | None:
    temperature = config.get("temperature")
    if temperature is not None and not 0 <= temperature <= 2:
        message = f"temperature must be in the range [0.0, 2.0], but was {temperature}"
        raise Refused("bad_request", message, param="generation_config.temperature")
    if config.get("candidateCount", 1) != 1:
        raise Refused("bad_request", "Only one candidate can be specified", param="generation_config.candidate_count")
    limit: int | None = config.get("maxOutputTokens")
    if limit is not None and limit < 1:
        message = "max_output_tokens must be positive"
        raise Refused("bad_request", message, param="generation_config.max_output_tokens")
    return limit


def _schema(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    schema, plain = config.get("responseSchema"), config.get("responseJsonSchema")
    if schema is not None and plain is not None:
        raise Refused("bad_request", "Only one of response_schema and response_json_schema can be set.")
    if schema is None and plain is None:
        return None
    if config.get("responseMimeType") != "application/json":
        message = "a response schema needs the response mime type application/json"
        raise Refused("bad_request", message, param="generation_config.response_mime_type")
    if schema is None:
        return plain if isinstance(plain, dict) else {}
    return _own_schema(schema)


def _own_schema(schema: Json) -> dict[str, Any]:
    """Google's schema with the names that JSON schema has."""
    where = "generation_config.response_schema"
    fields = known(schema, SCHEMA, where)
    if "type" in fields and fields["type"].lower() not in _KINDS:
        raise Refused("bad_request", f"Invalid value at '{where}.type'", param=where)
    for name in ("items", "additionalProperties"):
        if isinstance(fields.get(name), dict):
            fields[name] = _own_schema(fields[name])
    if "properties" in fields:
        fields["properties"] = {name: _own_schema(inner) for name, inner in fields["properties"].items()}
    if "anyOf" in fields:
        fields["anyOf"] = [_own_schema(inner) for inner in fields["anyOf"]]
    return fields


_KINDS = frozenset({"type_unspecified", "string", "number", "integer", "boolean", "array", "object", "null"})


def _tool(fields: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any] | None]:
    declared: dict[str, Mapping[str, Any]] = {}
    for tool in fields.get("tools", ()):
        functions = known(tool, {"functionDeclarations": listing}, "tools").get("functionDeclarations", [])
        for function in functions:
            if not isinstance(function, dict) or not text(function.get("name")):
                raise Refused("bad_request", "function_declarations: a name is required", param="tools")
            if function["name"] in declared:
                message = f"Duplicate function declaration found: {function['name']}"
                raise Refused("bad_request", message, param="tools")
            arguments = {_camel(name): value for name, value in function.items()}
            declared[function["name"]] = arguments.get("parametersJsonSchema") or arguments.get("parameters") or {}
    config = known(fields.get("toolConfig", {}), {"functionCallingConfig": mapping}, "tool_config")
    calling = config.get("functionCallingConfig", {})
    table = {"mode": text, "allowedFunctionNames": listing}
    calling = known(calling, table, "tool_config.function_calling_config")
    if calling.get("mode", "AUTO").upper() != "ANY":
        return None, None
    allowed = calling.get("allowedFunctionNames") or list(declared)
    if len(allowed) != 1 or allowed[0] not in declared:
        raise Refused("bad_request", "exactly one declared function can be forced", param="tool_config")
    return allowed[0], declared[allowed[0]]


def tokens(call: Call) -> int:
    """Tokens that a live request counts for where tokens are limited."""
    try:
        body = json.loads(call.body)
        config = body.get("generationConfig") or body.get("generation_config") or {}
        limit = config.get("maxOutputTokens") or config.get("max_output_tokens") or 0
        return tokens_of(str(body.get("contents"))) + int(limit)
    except (ValueError, TypeError, AttributeError):
        return 0


def response(ask: Ask, said: Said, name: str) -> dict[str, Any]:
    """A reply as a GenerateContentResponse."""
    usage = {
        "promptTokenCount": said.input_tokens,
        "candidatesTokenCount": said.output_tokens - said.reasoning_tokens,
        "totalTokenCount": said.input_tokens + said.output_tokens,
    }
    if said.reasoning_tokens:
        usage["thoughtsTokenCount"] = said.reasoning_tokens
    told = {"usageMetadata": usage, "modelVersion": ask.model, "responseId": name}
    if said.finish == "refused":
        return {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, **told}
    part: dict[str, Json] = {"text": said.text}
    if ask.tool is not None:
        try:
            part = {"functionCall": {"name": ask.tool, "args": json.loads(said.text)}}
        except ValueError:
            return {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "index": 0}], **told}
    finish = "MAX_TOKENS" if said.finish == "length" else "STOP"
    content: dict[str, Json] = {"role": "model"}
    if said.text:
        content["parts"] = [part]
    return {"candidates": [{"content": content, "finishReason": finish, "index": 0}], **told}
