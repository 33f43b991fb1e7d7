"""What came with a status of success: an answer of the API that was asked, or something else, and then what.

`accept` is the one judge, for the body of a live reply and for the body in a batch's line. What it lets through is
stored as paid for; whatever it refuses is a ProviderError, and can be asked for again. An empty text, a refusal, a
filter's verdict, arguments of a tool and a reply that ran into its limit are answers.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Literal

import orjson

from runner.errors import FatalError, ProviderError, TransientError
from runner.providers.reply import error_of, first_words, message_in, string, text_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.records import Json

Dialect = Literal["chat", "responses", "anthropic", "gemini"]
"""Whose replies they are: OpenAI's chat completions or responses, Anthropic's messages, Google's generateContent."""

NOT_A_REPLY = "not_a_reply"
"""Kind of what came in place of a reply. Fatal: three in a row stop the model."""

LONGEST_INTEGER = 1_000
"""Digits of a number that is still read exactly; Python refuses more than 4,300."""
_BUSY = re.compile(
    r"overload|too many requests|rate.?limit|(temporarily|service|currently) unavailable|bad gateway|try again|"
    r"gateway time-?out|\btimed? ?out\b|internal server error|at capacity|upstream (connect )?error|error code: 5\d\d",
    re.IGNORECASE,
)
"""How gateways and pages say that the trouble will pass, where no code tells."""
_PAGE = re.compile(rb"\s*(<!doctype|<html|<head|<body|<\?xml|<!--)", re.IGNORECASE)
_STREAM = re.compile(rb"\s*(data|event|id|retry):", re.IGNORECASE)
_WORDS_READ = 4_096
"""Bytes of a body that is no JSON in which a passing trouble is looked for."""

_STATUS_OF: Mapping[str, int] = {
    "overloaded": 529,
    "overloaded_error": 529,
    "engine_overloaded": 503,
    "service_unavailable": 503,
    "unavailable": 503,
    "api_error": 500,
    "server_error": 500,
    "internal": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "bad_gateway": 502,
    "timeout": 504,
    "timeout_error": 504,
    "deadline_exceeded": 504,
    "rate_limit": 429,
    "rate_limited": 429,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "too_many_requests": 429,
    "resource_exhausted": 429,
    "insufficient_quota": 429,
    "billing_error": 402,
    "authentication_error": 401,
    "unauthenticated": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found": 404,
    "not_found_error": 404,
    "model_not_found": 404,
    "invalid_request": 400,
    "invalid_request_error": 400,
    "invalid_argument": 400,
    "content_filter": 400,
    "context_length_exceeded": 400,
}
"""The status with which an error of that name comes, where it comes with its own: names of OpenAI, Anthropic, Google
and of the gateways that pass them on."""


def accept(raw: bytes, dialect: Dialect) -> dict[str, Json]:
    """A body as the JSON object of an answer.

    TransientError where it was cut short, or holds an error that will pass (rate_limit, timeout, server); FatalError
    for any other error in a reply's place, by its own kind where it has a code, and not_a_reply for all the rest.
    """
    body = _object(raw)
    if _states_an_error(body) or not _IS_ANSWER[dialect](body):
        raise _instead(body, raw, dialect)
    return body


def accept_any(raw: bytes, *, is_read: bool = False) -> dict[str, Json]:
    """A body as the JSON object of an answer of whatever API; ProviderError as `accept` where it is none.

    With `is_read` words were found in it, so that any object will do that states no error.
    """
    body = _object(raw)
    is_reply = any(is_it(body) for is_it in (*_IS_ANSWER.values(), *_NATIVE))
    if _states_an_error(body) or not (is_reply or (is_read and "choices" not in body)):
        raise _instead(body, raw, "chat")
    return body


def spoken_in(body: Mapping[str, Json]) -> str | None:
    """The words of a reply of an API that has no reader of its own here; None where they are not found."""
    message = _of(body.get("message")) or _of(_of(body.get("output")).get("message"))
    holder = message or body
    content = _of(holder.get("content")) or holder
    words = text_in(_of(_first(body.get("candidates")).get("content")).get("parts") or content.get("content"))
    return words or string(body.get("response"))


def redirected(status: int, headers: Mapping[str, str], asked: str, setting: str) -> FatalError:
    """An answer that sends the request to another address: the key and the prompt would travel there with it.

    `setting` is what is set to ask that address by choice.
    """
    place = next((value for name, value in headers.items() if name.lower() == "location"), "")
    to = first_words(place.encode("utf-8", "replace")) or "nowhere"
    message = f"{asked} redirects to {to} (status {status}), which is not followed, since the key would go there too"
    return FatalError("redirected", f"{message}: set {setting} to the address that is meant", status=status)


def parsed(raw: bytes) -> Json:
    """The JSON in a body, read as far as it can be: bad UTF-8 and control characters cost the character.

    ValueError where it is none, RecursionError where it is nested too deep.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        text = raw.decode(json.detect_encoding(raw), "replace")
        return json.loads(text, strict=False, parse_int=_integer)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_INTEGER else float(digits)


# ---- what is no answer -----------------------------------------------------------------------------------------------


def _object(raw: bytes) -> dict[str, Json]:
    if not raw.strip():
        # Providers that keep a busy connection open with empty lines may end it with nothing else.
        raise TransientError("connection", "an empty reply")
    try:
        body = parsed(raw)
    except (ValueError, RecursionError) as error:
        raise _no_json(raw, error) from error
    # Gemini wraps some errors in a list.
    found = body[0] if isinstance(body, list) and body and _states_an_error(body[0]) else body
    if not isinstance(found, dict):
        raise FatalError(NOT_A_REPLY, f"no JSON object came in place of a reply: {first_words(raw)}")
    return found


def _no_json(raw: bytes, error: ValueError | RecursionError) -> ProviderError:
    said = first_words(raw)
    if isinstance(error, RecursionError):
        return FatalError(NOT_A_REPLY, f"JSON that is nested too deep came in place of a reply: {said}")
    if _is_cut(raw):
        return TransientError("connection", f"the reply was cut short: {said}")
    if _BUSY.search(raw[:_WORDS_READ].decode("utf-8", "replace")):
        return TransientError("server", f"the server is busy, and says so with status 200: {said}")
    if _PAGE.match(raw):
        cause = "a web page came in place of a reply (a proxy's, a sign-in's, or the address is wrong)"
    elif _STREAM.match(raw):
        cause = "a stream of events came in place of a whole reply (is `stream` among the model's extra?)"
    else:
        cause = "no JSON came in place of a reply"
    return FatalError(NOT_A_REPLY, f"{cause}: {said}")


def _is_cut(raw: bytes) -> bool:
    """Whether JSON began and ended too early."""
    if raw.lstrip()[:1] not in (b"{", b"["):
        return False
    try:
        orjson.loads(raw.decode(json.detect_encoding(raw), "replace"))
    except orjson.JSONDecodeError as error:
        return "unexpected end" in error.msg
    return False


def _states_an_error(body: Json) -> bool:
    if not isinstance(body, dict):
        return False
    if body.get("error") or body.get("type") == "error":
        return True
    # OpenRouter's way to say that a provider behind it failed.
    return bool(_first(body.get("choices")).get("error"))


def _instead(body: Mapping[str, Json], raw: bytes, dialect: Dialect) -> ProviderError:
    """What came in place of an answer, as an error."""
    stated = [_error_in(body), body] if _states_an_error(body) or not _looks_like_a_reply(body) else []
    status = next((status for holder in stated if (status := _status(holder)) is not None), None)
    if status is not None:
        error = error_of(status, {}, raw)
        return _told(error, f"an error came with status 200: {error}")
    said = message_in(body, raw)
    if stated and _BUSY.search(said):
        return TransientError("server", f"an error came with status 200: {said}")
    cause = "an error came in place of a reply" if _states_an_error(body) else _cause(body, dialect)
    return FatalError(NOT_A_REPLY, f"{cause}: {said}")


def _told(error: ProviderError, message: str) -> ProviderError:
    """The same error in other words."""
    error.args = (message,)
    return error


def _error_in(body: Mapping[str, Json]) -> Mapping[str, Json]:
    inner = body.get("error")
    if isinstance(inner, dict):
        return inner
    return _first(body.get("errors")) or _of(_first(body.get("choices")).get("error"))


def _status(holder: Mapping[str, Json]) -> int | None:
    """The HTTP status that an error would have come with, by its number or by its name."""
    values = [holder.get(name) for name in ("code", "status", "status_code", "statusCode", "http_code", "type")]
    for value in values:
        number = int(value) if isinstance(value, str) and len(value) == 3 and value.isdecimal() else value
        if isinstance(number, int) and not isinstance(number, bool) and 400 <= number < 600:
            return number
    names = [value.lower() for value in values if isinstance(value, str)]
    return next((_STATUS_OF[name] for name in names if name in _STATUS_OF), None)


def _cause(body: Mapping[str, Json], dialect: Dialect) -> str:
    if dialect == "chat" and isinstance(body.get("choices"), list):
        return "a chat completion without a message came in place of a reply"
    for name, is_it in _OTHERS.items():
        if is_it(body):
            return f"{name} came in place of a reply of {_API[dialect]}"
    return f"JSON that is no reply of {_API[dialect]} came"


# ---- what is an answer -----------------------------------------------------------------------------------------------


def _of(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _first(value: Json) -> Mapping[str, Json]:
    """The first of a list of objects, or nothing."""
    return _of(value[0]) if isinstance(value, list) and value else {}


def _is_completion(body: Mapping[str, Json]) -> bool:
    choice = _first(body.get("choices"))
    return isinstance(choice.get("message"), dict) and bool(choice["message"] or choice.get("finish_reason"))


def _is_message(body: Mapping[str, Json]) -> bool:
    named = body.get("type") == "message" or body.get("role") == "assistant" or "stop_reason" in body
    return named and isinstance(body.get("content"), list)


def _is_content(body: Mapping[str, Json]) -> bool:
    """A candidate, or the reason why there is none."""
    candidate = _first(body.get("candidates"))
    has_one = isinstance(candidate.get("content"), dict) or bool(candidate.get("finishReason"))
    return has_one or bool(_of(body.get("promptFeedback")).get("blockReason"))


def _is_response(body: Mapping[str, Json]) -> bool:
    """One that has ended, be it for its limit or a filter."""
    ended = body.get("status") in (None, "completed", "incomplete")
    return ended and isinstance(body.get("output"), list) and body.get("object") in (None, "response")


def _looks_like_a_reply(body: Mapping[str, Json]) -> bool:
    """Whether it is a model's reply, of whatever API; its words are then no words about an error."""
    return any(is_it(body) for is_it in (*_IS_ANSWER.values(), *_OTHERS.values()))


_IS_ANSWER: Mapping[Dialect, Callable[[Mapping[str, Json]], bool]] = {
    "chat": _is_completion,
    "responses": _is_response,
    "anthropic": _is_message,
    "gemini": _is_content,
}
_API: Mapping[Dialect, str] = {
    "chat": "OpenAI's chat completions",
    "responses": "OpenAI's Responses API",
    "anthropic": "Anthropic's messages",
    "gemini": "Google's generateContent",
}
_NATIVE: Sequence[Callable[[Mapping[str, Json]], bool]] = (
    lambda body: "message" in _of(body.get("output")),  # Bedrock's Converse
    lambda body: "done" in body and ("message" in body or "response" in body),  # Ollama
    lambda body: isinstance(body.get("message"), dict) and "content" in body["message"],  # Cohere
)
"""Replies of APIs that are spoken to through LiteLLM."""
_OTHERS: Mapping[str, Callable[[Mapping[str, Json]], bool]] = {
    "a chat completion": _is_completion,
    "a message of Anthropic's": _is_message,
    "content of Google's": _is_content,
    "a reply of the Responses API": lambda body: body.get("object") == "response" or "output" in body,
    "a piece of a stream": lambda body: "delta" in _first(body.get("choices")),
    "a plain completion (the address is another than that of chat completions)": lambda body: (
        "text" in _first(body.get("choices"))
    ),
    "a reply of Ollama's own API (its OpenAI-compatible one is below /v1)": lambda body: (
        "done" in body and ("message" in body or "response" in body)
    ),
    "a list of models": lambda body: body.get("object") == "list",
}
"""Replies of other APIs, as far as they can be told apart."""
