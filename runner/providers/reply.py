"""What a provider sends back, without any library: a chat completion -> Reply. Errors are read in refusals.

OpenAI's chat completion is the one reply format that is read here; runner.providers.codec brings every other into it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runner import fastjson
from runner.errors import FatalError
from runner.providers.refusals import error_for, error_of, short
from runner.records import Reply, Tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Json, Rung

__all__ = ["error_for", "error_of", "read_chat", "read_object", "without_key"]

SHORTEST_KEY = 8
"""Fewest characters of what is taken for a key where a provider's message repeats it."""


def read_object(raw: bytes) -> dict[str, Json]:
    """A response body as a JSON object. FatalError (malformed) where it is none, or carries an error instead."""
    try:
        body = fastjson.loads(raw)
    except (ValueError, RecursionError) as error:
        raise FatalError("malformed", f"the reply is not JSON: {short(raw.decode('utf-8', 'replace'))}") from error
    if not isinstance(body, dict):
        raise FatalError("malformed", f"the reply is no JSON object: {short(str(body))}")
    if body.get("error"):
        raise FatalError("malformed", f"an error came in place of a reply: {error_of(400, {}, raw)}")
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
        raise FatalError("malformed", f"the reply is no chat completion: {short(json.dumps(body))}") from error


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
