"""An error's answer taken apart: the sentences, codes and details in it, wherever a provider or a gateway puts them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from runner.records import Json

MAX_MESSAGE_CHARS = 300
"""A provider's message is cut here: some repeat the whole request."""
READ_CHARS = 2000
"""As much of a sentence is read for what it means."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an answer says, taken apart."""

    status: int
    message: str
    """The provider's own sentence; the body where there is none."""
    codes: frozenset[str]
    """Short names of what is wrong, in lower case."""
    words: str
    """Everything that the provider wrote for people, in lower case; "" for a web page."""
    headers: Mapping[str, str]
    """Names in lower case."""
    details: tuple[Mapping[str, Any], ...] = ()
    """google.rpc details."""
    sample: str | None = None
    """What the model had written."""
    param: str = ""
    """Which part of the request is meant."""


def read_answer(status: int, headers: Mapping[str, str], body: bytes) -> Told:
    """An answer taken apart; never raises, whatever the body is."""
    lowered = {name.lower(): value for name, value in headers.items()}
    text = body.decode("utf-8", "replace")
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        parsed = None
    objects = list(_objects(parsed))
    message = next(_sentences(objects), "") or text
    is_page = not objects and text.lstrip()[:1] == "<"
    for found in objects:  # OpenRouter repeats the upstream's headers in the body
        if isinstance(found.get("headers"), dict):
            lowered = {str(name).lower(): str(value) for name, value in found["headers"].items()} | lowered
    codes = {code.lower() for found in objects for code in _codes_of(found)}
    if amazon := lowered.get("x-amzn-errortype"):
        codes.add(amazon.partition(":")[0].lower())
    said = " \n ".join(sentence[:READ_CHARS] for sentence in _sentences(objects)) or text[:READ_CHARS]
    return Told(
        status=status,
        message=short(message),
        codes=frozenset(codes),
        words="" if is_page else " ".join(said.lower().replace("\u2019", "'").split()),
        headers=lowered,
        details=tuple(detail for found in objects for detail in _details_of(found)),
        sample=next((found["failed_generation"] for found in objects if _text(found.get("failed_generation"))), None),
        param=next((str(found["param"]) for found in objects if _text(found.get("param"))), ""),
    )


def _objects(parsed: Json, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """The objects in which errors are told, the innermost error first.

    Gemini wraps some in a list, most put them below `error`; Azure has an `innererror`; gateways quote the upstream's
    answer as JSON in a string (OpenRouter's `metadata.raw`, others in `message`).
    """
    if depth > 4:
        return
    if isinstance(parsed, str) and parsed.lstrip()[:1] in ("{", "["):
        try:
            parsed = json.loads(parsed)
        except (ValueError, RecursionError):
            return
    if isinstance(parsed, list):
        parsed = parsed[0] if parsed else None
    if not isinstance(parsed, dict):
        return
    for name in ("error", "errors", "response", "detail", "message", "raw", "metadata"):
        inside = parsed.get(name)
        if isinstance(inside, dict | list) or (name in ("message", "raw", "error") and isinstance(inside, str)):
            yield from _objects(inside, depth + 1)
    yield parsed
    for name in ("innererror", "inner_error"):
        yield from _objects(parsed.get(name), depth + 1)


_SENTENCES = (
    "message",
    "error",
    "detail",
    "msg",
    "Message",
    "error_message",
    "error_msg",
    "errorMessage",
    "title",
    "raw",
)
_CODES = ("code", "type", "status", "__type", "error_code", "errorCode", "error_type", "reason", "name")


def _sentences(objects: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """What is written for people; JSON in a string was taken apart already."""
    for found in objects:
        if isinstance(found.get("loc"), list) and _text(found.get("msg")):  # pydantic's, through FastAPI
            yield f"{'.'.join(str(part) for part in found['loc'])}: {found['msg']}"
            continue
        for name in _SENTENCES:
            value = found.get(name)
            if _text(value) and value.lstrip()[:1] not in ("{", "["):
                yield value


def _codes_of(found: Mapping[str, Any]) -> Iterator[str]:
    yield from (str(found[name]) for name in _CODES if _is_code(found.get(name)))
    yield from (detail["reason"] for detail in _details_of(found) if _text(detail.get("reason")))
    filtered = found.get("content_filter_result") or found.get("content_filter_results")
    if filtered:  # Azure names no code in some versions, but tells which filter it was
        yield "content_filter"
    limit_source = found.get("limit_source")
    if _text(limit_source):
        yield str(limit_source)


def _is_code(value: Json) -> bool:
    """Numbers too: OpenRouter and Google give the status as one."""
    return (_text(value) and len(value) <= 80) or (isinstance(value, int) and not isinstance(value, bool))


def _details_of(found: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    details = found.get("details")
    if isinstance(details, list):
        yield from (detail for detail in details if isinstance(detail, dict))


def _text(value: Json) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())


def short(message: str) -> str:
    """A message on one line, without control characters, cut at MAX_MESSAGE_CHARS."""
    shown = message if message.isprintable() else "".join(char if char.isprintable() else " " for char in message)
    line = " ".join(shown.split())
    return line if len(line) <= MAX_MESSAGE_CHARS else line[: MAX_MESSAGE_CHARS - 1] + "…"
