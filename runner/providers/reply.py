"""What a provider sends back, without any library: a chat completion -> Reply. Errors are read in refusals.

OpenAI's chat completion is the one reply format that is read here; runner.providers.codec brings every other into it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner import fastjson
from runner.errors import FatalError
from runner.providers import usage
from runner.providers.refusals import MAX_MESSAGE_CHARS, error_for, error_of, short
from runner.records import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Json, Rung

__all__ = ["error_for", "error_of", "first_words", "message_in", "read_chat"]


def read_chat(body: Mapping[str, Json], rung: Rung) -> Reply:
    """A chat completion as a Reply; on the tool rung the first tool call's arguments are the text.

    Its `usage` may be that of any API, and `searched` says of a body that was another API's what its own would show.

    FatalError (not_a_reply) where the body has no choice with a message in it. Any other part that is not as documented
    costs that part alone: it counts as absent.
    """
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise FatalError("not_a_reply", "the reply is no chat completion")
    called = arguments_in(message) if rung == "tool" else None
    text = text_in(message.get("content")) if called is None else called
    searched = body["searched"] if "searched" in body else usage.searched_in(body)
    used = usage.read(object_in(body.get("usage")), body.get("service_tier"), searched=searched)
    return Reply(
        text=text,
        finish=string(choice.get("finish_reason")),
        refusal=text_in(message.get("refusal") or None) or None,
        tokens=used.tokens,
        model_version=string(body.get("model")),
        fingerprint=string(body.get("system_fingerprint")),
        cost_usd=used.cost_usd,
        billed_as=used.billed_as,
        aside=None if text and not text.isspace() else _aside(message),
    )


def _aside(message: Mapping[str, Json]) -> str | None:
    """What a message without text holds in its reasoning fields, in parts that are no text, or in a call of a tool."""
    parts = message.get("content")
    unread = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    places = [message.get(name) for name in ("reasoning_content", "reasoning", "thinking", "reasoning_details")]
    held = [
        fastjson.dumps(value).decode() if not isinstance(value, str) else value for value in (*places, unread) if value
    ]
    return " ".join(held) or arguments_in(message)


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


def message_in(error: Mapping[str, Json], body: bytes) -> str:
    """The sentence in error.message (OpenAI, Anthropic, Gemini), or in a plain error, message or detail."""
    inner = error.get("error")
    found = inner.get("message") if isinstance(inner, dict) else inner or error.get("message") or error.get("detail")
    return short(found) if isinstance(found, str) and found else first_words(body)


def first_words(body: bytes) -> str:
    """How a body begins, on one line."""
    return short(body[: 4 * MAX_MESSAGE_CHARS + 4].decode("utf-8", "replace"))
