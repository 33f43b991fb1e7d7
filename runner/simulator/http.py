"""One request and its answer, free of any HTTP library; the providers are functions from the first to the second."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

from runner.simulator.values import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from re import Match, Pattern

    from runner.records import Json
    from runner.simulator.state import World

Purpose = Literal["live", "create", "download", "other"]


@dataclass(frozen=True, slots=True)
class Call:
    """A request as a provider sees it. Header names are in lower case."""

    method: str
    path: str
    """Below the provider's prefix, percent-encoding kept."""
    prefix: str
    query: Mapping[str, str]
    """A name that comes several times has its values joined by commas."""
    headers: Mapping[str, str]
    body: bytes
    origin: str
    """Scheme, host and port that the client used, for addresses in answers."""

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; Refused (bad_request) where it is none."""
        try:
            found = json.loads(self.body)
        except ValueError as error:
            raise Refused("bad_request", "We could not parse the JSON body of your request.") from error
        if not isinstance(found, dict):
            raise Refused("bad_request", "The JSON body of your request is no object.")
        return found

    def bearer(self) -> str:
        """The key in the Authorization header, or an empty string."""
        return self.headers.get("authorization", "").removeprefix("Bearer").strip()


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What goes back. A body given as a function is long to make, and made beside the server's loop."""

    status: int = 200
    body: bytes | Callable[[], bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


def answer(value: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpAnswer:
    """A JSON answer."""
    return HttpAnswer(status, dumped(value), headers or {})


def dumped(value: Json) -> bytes:
    """JSON as the providers write it: compact UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint: `path` is a regular expression for the whole path below the prefix."""

    method: str
    path: Pattern[str]
    endpoint: str
    """Its name in counts, such as `batches.create`."""
    handle: Callable[[World, Call, Match[str]], HttpAnswer]
    purpose: Purpose = "other"


def route(
    method: str,
    path: str,
    endpoint: str,
    handle: Callable[[World, Call, Match[str]], HttpAnswer],
    purpose: Purpose = "other",
) -> Route:
    """A Route whose path writes {name} for one segment and {name*} for the rest; a group's text is percent-encoded."""
    spelt = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.+)", path)
    spelt = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+?)", spelt)
    return Route(method, re.compile(spelt), endpoint, handle, purpose)


@dataclass(frozen=True, slots=True)
class Provider:
    """One vendor's API below its prefixes."""

    name: str
    prefixes: tuple[str, ...]
    routes: tuple[Route, ...]
    account: Callable[[Call], str]
    """The caller's key; Refused where it is missing or wrong."""
    refusal: Callable[[Refused], HttpAnswer]
    """A refusal in this vendor's words."""
    limit_headers: Literal["openai", "anthropic", "none"] = "openai"
    tokens: Callable[[Call], int] = lambda call: len(call.body) // 4
    """Tokens that a live request counts for."""

    def find(self, method: str, path: str) -> tuple[Route, Match[str]] | None:
        """The endpoint for a path, or None."""
        for entry in self.routes:
            if entry.method == method and (match := entry.path.fullmatch(path)):
                return entry, match
        return None


def named(match: Match[str], group: str) -> str:
    """A group of a route's path, decoded."""
    return unquote(match[group])


def known_key(key: str, shown: str) -> str:
    """The key, unless it is missing or, as any key with the word `invalid` in it, refused. `shown` is the message."""
    if not key:
        raise Refused("key_missing", "No API key was given.")
    if "invalid" in key:
        hidden = f"{key[:3]}{'*' * 8}{key[-4:]}"
        raise Refused("key_wrong", shown.format(hidden), code="invalid_api_key")
    return key


def page(items: list[Any], size: int, start: int) -> tuple[list[Any], int | None]:
    """Items from `start`, at most `size`, and where the next page starts; None after the last."""
    end = start + size
    return items[start:end], end if end < len(items) else None


def whole(text: str | None, default: int, most: int) -> int:
    """A page size from a query, between 1 and `most`; Refused where it is no number."""
    if text is None:
        return default
    try:
        return max(1, min(int(text), most))
    except ValueError as error:
        raise Refused("bad_request", f"'{text}' is no page size", param="limit") from error
