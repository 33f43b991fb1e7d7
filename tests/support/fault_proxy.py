"""A proxy on loopback between a client and a server, which cuts, delays, replaces or reorders replies by rule.

The server gets the request unless a rule says otherwise: that is a gateway which fails on the way back.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

_OF_THE_WIRE = frozenset({"transfer-encoding", "content-length", "connection", "content-encoding", "date", "server"})


@dataclass(frozen=True)
class Wire:
    """A reply on its way to the client."""

    status: int
    headers: dict[str, str]
    body: bytes
    length: int | None = None
    """What Content-Length says where that is not the body's own: the connection closes after the body."""
    dropped: bool = False
    """The connection is closed without a reply."""
    delay_s: float = 0.0


PAGE = b"<html><head><title>502</title></head><body>One moment, please ...</body></html>"


def answered(status: int, body: bytes = PAGE, **headers: str) -> Callable[[Wire], Wire]:
    """Another reply in place of the server's."""
    kind = "application/json" if body[:1] in (b"{", b"[") else "text/html"
    return lambda _wire: Wire(status, {"content-type": kind, **headers}, body)


def told(status: int, error: Any, **headers: str) -> Callable[[Wire], Wire]:
    """As `answered`, with JSON."""
    return answered(status, json.dumps(error).encode(), **headers)


def dropped(wire: Wire) -> Wire:
    """No reply: the connection ends."""
    return replace(wire, dropped=True)


def empty(wire: Wire) -> Wire:
    """Status and headers, and nothing else."""
    return replace(wire, body=b"")


def cut(wire: Wire) -> Wire:
    """Half of the body, with a Content-Length that agrees with it."""
    return replace(wire, body=wire.body[: len(wire.body) // 2])


def broken_off(wire: Wire) -> Wire:
    """Half of the body, with the Content-Length of all of it."""
    return replace(wire, body=wire.body[: len(wire.body) // 2], length=len(wire.body))


def fewer_lines(wire: Wire) -> Wire:
    """All lines but the last, which ends the body cleanly."""
    return replace(wire, body=b"".join(wire.body.splitlines(keepends=True)[:-1]))


def reordered(wire: Wire) -> Wire:
    """The lines in the opposite order."""
    return replace(wire, body=b"\n".join(reversed(wire.body.splitlines())) + b"\n")


def edited(edit: Callable[[Any], Any]) -> Callable[[Wire], Wire]:
    """The body's JSON, changed."""
    return lambda wire: replace(wire, body=json.dumps(edit(json.loads(wire.body))).encode())


def without(*names: str) -> Callable[[Wire], Wire]:
    """JSON in which these fields are null, wherever they stand."""

    def emptied(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: None if name in names else emptied(inner) for name, inner in value.items()}
        return [emptied(inner) for inner in value] if isinstance(value, list) else value

    return edited(emptied)


@dataclass
class Rule:
    """What befalls the replies to some requests. The first rule that applies is followed."""

    method: str
    path: str
    """A regular expression that is looked for in path and query."""
    change: Callable[[Wire], Wire]
    times: int | None = 1
    """So many replies; None: each."""
    after: int = 0
    """So many go by untouched before that."""
    forward: bool = True
    """Whether the server gets the request."""
    where: Callable[[Wire], bool] = lambda _wire: True
    """Which of the server's replies count."""
    seen: int = 0

    def asks(self, method: str, path: str) -> bool:
        """Whether a request is one of those that the rule is about."""
        return self.method == method and re.search(self.path, path) is not None

    def strikes(self) -> bool:
        """Whether the next reply is struck."""
        self.seen += 1
        return self.seen > self.after and (self.times is None or self.seen <= self.after + self.times)


@dataclass
class FaultProxy:
    """Runs in a thread of its own while the context is open; `base` is its address."""

    upstream: str
    rules: Sequence[Rule] = ()
    log: list[tuple[str, str, int]] = field(default_factory=list)
    """Method, path and the status that the server gave, in order; 0 where it was not asked."""
    headers: list[dict[str, str]] = field(default_factory=list)
    """Of each request, their names in lower case."""
    base: str = ""
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _ready: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def count(self, method: str, path: str) -> int:
        """How many requests came of this method, to paths that a regular expression is found in."""
        return sum(one == method and re.search(path, where) is not None for one, where, _ in self.log)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> None:
        async with aiohttp.ClientSession(auto_decompress=False) as http:

            async def handle(request: web.BaseRequest) -> web.StreamResponse:
                return await self._handled(request, http)

            server = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.1)
            await server.setup()
            await web.TCPSite(server, "127.0.0.1", 0).start()
            host, port = server.addresses[0][:2]
            self.base = f"http://{host}:{port}"
            self._ready.set()
            await self._stop.wait()
            await server.cleanup()

    async def _handled(self, request: web.BaseRequest, http: aiohttp.ClientSession) -> web.StreamResponse:
        path = request.raw_path
        asked = b"".join([block async for block in request.content.iter_any()])
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        rules = [rule for rule in self.rules if rule.asks(request.method, path)]
        unsent = next((rule for rule in rules if not rule.forward and rule.strikes()), None)
        wire = Wire(200, {}, b"") if unsent else await self._forwarded(request, asked, http)
        self.log.append((request.method, path, 0 if unsent else wire.status))
        chosen = unsent or next((rule for rule in rules if rule.forward and rule.where(wire) and rule.strikes()), None)
        return await self._replied(request, chosen.change(wire) if chosen else wire)

    async def _forwarded(self, request: web.BaseRequest, asked: bytes, http: aiohttp.ClientSession) -> Wire:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OF_THE_WIRE}
        url = self.upstream + request.raw_path
        async with http.request(request.method, url, data=asked, headers=headers, allow_redirects=False) as reply:
            kept = {name: value for name, value in reply.headers.items() if name.lower() not in _OF_THE_WIRE}
            return Wire(reply.status, kept, await reply.read())

    async def _replied(self, request: web.BaseRequest, wire: Wire) -> web.StreamResponse:
        if wire.delay_s:
            await asyncio.sleep(wire.delay_s)
        if wire.dropped:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        response = web.StreamResponse(status=wire.status, headers=wire.headers)
        response.content_length = len(wire.body) if wire.length is None else wire.length
        await response.prepare(request)
        await response.write(wire.body)
        if wire.length is not None and request.transport is not None:
            request.transport.close()
        else:
            await response.write_eof()
        return response


# ---- where the batch APIs are asked what -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Paths:
    """Regular expressions for the paths of one batch API."""

    create: str
    look: str
    """One batch's standing."""
    results: str


_OPENAI = Paths(r"/batches$", r"/batches/[^/]+$", r"/content$")
PATHS = {
    "openai": _OPENAI,
    "groq": _OPENAI,
    "kluster": _OPENAI,
    "anthropic": Paths(r"/messages/batches$", r"/messages/batches/[^/?]+$", r"/results$"),
    "gemini": Paths(r":batchGenerateContent", r"/batches/[^/?]+$", r":download"),
    "vertex": Paths(r"batchPredictionJobs$", r"batchPredictionJobs/[^/?]+$", r"/download/storage/"),
    "xai": Paths(r"/batches$", r"/batches/[^/?]+$", r"/results"),
    "mistral": Paths(r"/batch/jobs$", r"/batch/jobs/[^/?]+\?", r"/content$"),
}
NO_ADDRESS = without(
    "output_file_id", "error_file_id", "results_url", "responsesFile", "output_file", "error_file", "gcsOutputDirectory"
)
"""A batch that has ended and does not say yet where its results are."""
