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

MAX_MESSAGE_CHARS = 300
"""A provider's message is cut here: some repeat the whole request."""
SHORTEST_KEY = 8
"""Fewest characters of what is taken for a key where a provider's message repeats it."""
_TRANSIENT: Mapping[int, str] = {408: "timeout", 409: "server", 429: "rate_limit"}
_FATAL: Mapping[int, str] = {401: "key_refused", 402: "quota", 403: "key_refused", 404: "not_found"}
"""Any other status from 500 up is transient (server), from 400 up fatal (bad_request), below malformed."""
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_error"})
_KEY_CODES = frozenset({"invalid_api_key", "API_KEY_INVALID", "authentication_error"})


def read_object(raw: bytes) -> dict[str, Json]:
    """A response body as a JSON object. FatalError (malformed) where it is none, or carries an error instead."""
    try:
        body = fastjson.loads(raw)
    except (ValueError, RecursionError) as error:
        raise FatalError("malformed", f"the reply is not JSON: {_short(raw.decode('utf-8', 'replace'))}") from error
    if not isinstance(body, dict):
        raise FatalError("malformed", f"the reply is no JSON object: {_short(str(body))}")
    if body.get("error"):
        raise FatalError("malformed", f"an error came in place of a reply: {_message(body, raw)}")
    return body


def read_chat(body: Mapping[str, Json], rung: Rung) -> Reply:
    """A chat completion as a Reply; on the tool rung the first tool call's arguments are the text.

    FatalError (malformed) where the body has no choice with a message in it.
    """
    try:
        choice = body["choices"][0]
        message = choice["message"]
        text = _text(message.get("content"))
        calls = message.get("tool_calls")
        if rung == "tool" and calls:
            text = calls[0]["function"]["arguments"]
        return Reply(
            text=text,
            finish=choice.get("finish_reason"),
            refusal=message.get("refusal") or None,
            tokens=_tokens(body.get("usage") or {}),
            model_version=body.get("model") or None,
            fingerprint=body.get("system_fingerprint") or None,
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise FatalError("malformed", f"the reply is no chat completion: {_short(json.dumps(body))}") from error


def _text(content: Json) -> str | None:
    """Text of a message; some servers send a list of parts."""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if part.get("type") == "text") or None
    if content is not None and not isinstance(content, str):
        raise TypeError(content)
    return content


def _tokens(usage: Mapping[str, Json]) -> Tokens:
    return Tokens(
        input=usage.get("prompt_tokens"),
        output=usage.get("completion_tokens"),
        cached=(usage.get("prompt_tokens_details") or {}).get("cached_tokens"),
        reasoning=(usage.get("completion_tokens_details") or {}).get("reasoning_tokens"),
    )


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """What an answer other than 200 means. The message is the provider's own, shortened.

    Beside the kinds that errors.ProviderError lists there is `quota` (fatal): the account's money or quota is used up,
    which some providers answer with 429, yet no wait mends it.
    """
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    # Gemini wraps some errors in a list.
    found = parsed[0] if isinstance(parsed, list) and parsed else parsed
    error = found if isinstance(found, dict) else {}
    lowered = {name.lower(): value for name, value in headers.items()}
    wait_s = _retry_after_s(lowered, error)
    return error_for(status, _message(error, body), codes=_codes(error), retry_after_s=wait_s, headers=lowered)


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


def _message(error: Mapping[str, Json], body: bytes) -> str:
    """The sentence in error.message (OpenAI, Anthropic, Gemini), or in a plain error, message or detail."""
    inner = error.get("error")
    found = inner.get("message") if isinstance(inner, dict) else inner or error.get("message") or error.get("detail")
    return _short(found if isinstance(found, str) and found else body.decode("utf-8", "replace"))


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
    line = " ".join(message.split())
    return line if len(line) <= MAX_MESSAGE_CHARS else line[: MAX_MESSAGE_CHARS - 1] + "…"
