"""A server on loopback that answers as a test says, and keeps what it was asked; answers and bodies may be endless."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    """Percent-encoding and query kept."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Told:
    """One answer. `parts` are sent one after another, made as they are sent."""

    parts: Iterable[bytes] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def told(value: Any, status: int = 200, **headers: str) -> Told:
    """A JSON answer; underscores in header names stand for hyphens."""
    more = {name.replace("_", "-"): text for name, text in headers.items()}
    return Told([json.dumps(value).encode()], status, {"content-type": "application/json", **more})


@dataclass(slots=True)
class StandIn:
    """Serves from a thread of its own while the context is open."""

    answer: Callable[[Asked], Told]
    keep: bool = True
    """False: bodies are read and thrown away."""
    tls: ssl.SSLContext | None = None
    """What it shows of itself where it speaks https."""
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _runner: web.ServerRunner | None = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    async def _start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._handle), access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.tls).start()
        self.url = f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._runner is not None
        return int(self._runner.addresses[0][1])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join(10)
        self._loop.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        kept = bytearray()
        async for block in request.content.iter_any():
            if self.keep:
                kept += block
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(request.method, request.raw_path, headers, bytes(kept))
        self.asked.append(asked)
        answer = self.answer(asked)
        response = web.StreamResponse(status=answer.status, headers=dict(answer.headers))
        await response.prepare(request)
        for part in answer.parts:
            await response.write(part)
        await response.write_eof()
        return response
