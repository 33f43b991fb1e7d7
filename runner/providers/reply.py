"""What a provider sends back, without any library: a chat completion -> Reply, and a refused request -> ProviderError.

OpenAI's chat completion is the one reply format that is read here; runner.providers.codec brings every other into it.
"""

from __future__ import annotations

import json
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from runner import fastjson
from runner.errors import FatalError, ProviderError, TransientError
from runner.records import Reply, Tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Json, Rung

MOST_TOKENS = 2**53
"""More than any reply has; a count beyond it is none."""
MAX_MESSAGE_CHARS = 300
"""A provider's message is cut here: some repeat the whole request."""
SHORTEST_KEY = 8
"""Fewest characters of what is taken for a key where a provider's message repeats it."""
_TRANSIENT: Mapping[int, str] = {408: "timeout", 409: "server", 429: "rate_limit"}
_FATAL: Mapping[int, str] = {401: "key_refused", 402: "quota", 403: "key_refused", 404: "not_found"}
"""Any other status from 500 up is transient (server), from 400 up fatal (bad_request), below malformed."""
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_error"})
_KEY_CODES = frozenset({"invalid_api_key", "API_KEY_INVALID", "authentication_error"})


def read_chat(body: Mapping[str, Json], rung: Rung) -> Reply:
    """A chat completion as a Reply; on the tool rung the first tool call's arguments are the text.

    FatalError (not_a_reply) where the body has no choice with a message in it. Any other part that is not as documented
    costs that part alone: it counts as absent.
    """
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise FatalError("not_a_reply", "the reply is no chat completion")
    called = arguments_in(message) if rung == "tool" else None
    return Reply(
        text=text_in(message.get("content")) if called is None else called,
        finish=string(choice.get("finish_reason")),
        refusal=text_in(message.get("refusal") or None) or None,
        tokens=_tokens(object_in(body.get("usage"))),
        model_version=string(body.get("model")),
        fingerprint=string(body.get("system_fingerprint")),
    )


def text_in(content: Json) -> str | None:
    """Text of a message. Some servers send a list of parts, others the value itself that was asked for as JSON."""
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_part(part) for part in content) or None
    return fastjson.dumps(content).decode()


def _part(part: Json) -> str:
    if isinstance(part, str):
        return part
    text = object_in(part).get("text") if object_in(part).get("type") in (None, "text", "output_text") else None
    return text if isinstance(text, str) else ""


def arguments_in(message: Mapping[str, Json]) -> str | None:
    """The arguments of the first tool call that has any, as text of JSON; some servers send the value itself."""
    calls = message.get("tool_calls")
    for call in [*(calls if isinstance(calls, list) else [calls]), {"function": message.get("function_call")}]:
        function = object_in(call).get("function")
        arguments = object_in(function if function is not None else call).get("arguments")
        if arguments is not None:
            return arguments if isinstance(arguments, str) else fastjson.dumps(arguments).decode()
    return None


def string(value: Json) -> str | None:
    """A string with something in it, or None for anything else."""
    return value if isinstance(value, str) and value else None


def object_in(value: Json) -> Mapping[str, Json]:
    """An object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def count(value: Json) -> int | None:
    """A count of tokens, or None for what can be none: a string, a negative number, a fraction, a yes or no."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MOST_TOKENS:
        return None
    return int(value) if value == int(value) else None


def _tokens(usage: Mapping[str, Json]) -> Tokens:
    return Tokens(
        input=count(usage.get("prompt_tokens")),
        output=count(usage.get("completion_tokens")),
        cached=count(object_in(usage.get("prompt_tokens_details")).get("cached_tokens")),
        reasoning=count(object_in(usage.get("completion_tokens_details")).get("reasoning_tokens")),
    )


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """What an answer other than 200 means. The message is the provider's own, shortened.

    Beside the kinds that errors.ProviderError lists there is `quota` (fatal): the account's money or quota is used up,
    which some providers answer with 429, yet no wait mends it.
    """
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        parsed = None
    # Gemini wraps some errors in a list.
    found = parsed[0] if isinstance(parsed, list) and parsed else parsed
    error = found if isinstance(found, dict) else {}
    lowered = {name.lower(): value for name, value in headers.items()}
    wait_s = _retry_after_s(lowered, error)
    return error_for(status, message_in(error, body), codes=_codes(error), retry_after_s=wait_s, headers=lowered)


def error_for(
    status: int,
    message: str,
    *,
    codes: frozenset[str] = frozenset(),
    retry_after_s: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProviderError:
    """An HTTP status as an error; `codes` are the short names by which the provider tells what is wrong."""
    if codes & _QUOTA_CODES:
        return FatalError("quota", message, status=status)
    # Gemini and xAI answer a wrong key with 400.
    if codes & _KEY_CODES:
        return FatalError("key_refused", message, status=status)
    kind = _TRANSIENT.get(status) or ("server" if status >= 500 else None)
    if kind is not None:
        return TransientError(kind, message, status=status, retry_after_s=retry_after_s, headers=headers)
    return FatalError(_FATAL.get(status) or ("bad_request" if status >= 400 else "malformed"), message, status=status)


def without_key(said: str, key: str | None, name: str | None) -> str:
    """What a provider says, with the name of the key's variable in place of the key, should it repeat that.

    Messages go into files that are handed on. One that is cut short may end in a part of the key.
    """
    if key is None or len(key) < SHORTEST_KEY:
        return said
    instead = f"<{name or 'API key'}>"
    said = said.replace(key, instead)
    for length in range(len(key) - 1, SHORTEST_KEY - 1, -1):
        if said.endswith(f"{key[:length]}…"):
            return f"{said[: -length - 1]}{instead}…"
    return said


def message_in(error: Mapping[str, Json], body: bytes) -> str:
    """The sentence in error.message (OpenAI, Anthropic, Gemini), or in a plain error, message or detail."""
    inner = error.get("error")
    found = inner.get("message") if isinstance(inner, dict) else inner or error.get("message") or error.get("detail")
    return _short(found) if isinstance(found, str) and found else first_words(body)


def first_words(body: bytes) -> str:
    """How a body begins, on one line."""
    return _short(body[: 4 * MAX_MESSAGE_CHARS + 4].decode("utf-8", "replace"))


def _codes(error: Mapping[str, Json]) -> frozenset[str]:
    inner = error.get("error")
    if not isinstance(inner, dict):
        return frozenset()
    named = [inner.get("code"), inner.get("type"), *(detail.get("reason") for detail in _details(inner))]
    return frozenset(code for code in named if isinstance(code, str))


def _details(inner: Mapping[str, Json]) -> list[Mapping[str, Any]]:
    details = inner.get("details")
    return [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []


def _retry_after_s(headers: Mapping[str, str], error: Mapping[str, Json]) -> float | None:
    """Seconds to wait: retry-after-ms (OpenAI), retry-after in seconds or as an HTTP date, or Gemini's RetryInfo."""
    inner = error.get("error")
    delays = [detail.get("retryDelay") for detail in _details(inner)] if isinstance(inner, dict) else []
    stated: list[tuple[str | None, float]] = [(headers.get("retry-after-ms"), 0.001), (headers.get("retry-after"), 1.0)]
    stated += [(delay.removesuffix("s"), 1.0) for delay in delays if isinstance(delay, str)]
    for value, unit in stated:
        seconds = _seconds(value) if value else None
        if seconds is not None:
            return max(0.0, seconds * unit)
    return None


def _seconds(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        try:
            return parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return number if 0 <= number < float("inf") else None


def _short(message: str) -> str:
    shown = message if message.isprintable() else "".join(char if char.isprintable() else " " for char in message)
    line = " ".join(shown.split())
    return line if len(line) <= MAX_MESSAGE_CHARS else line[: MAX_MESSAGE_CHARS - 1] + "…"
