"""A loopback server that keeps each request as it arrived and answers as its path's provider would."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

if TYPE_CHECKING:
    from types import TracebackType

TRANSPORT = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "host", "user-agent", "transfer-encoding"}
)
"""Headers that belong to the HTTP client, not to the provider's API."""

CHAT: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "{}"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    "service_tier": "default",
}
MESSAGE: dict[str, Any] = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "{}"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
CONTENT: dict[str, Any] = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "{}"}]}, "finishReason": "STOP", "index": 0}],
    "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
    "modelVersion": "m",
}


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    """Lower-case names; TRANSPORT and the OpenAI SDK's own x-stainless-* left out."""
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        """The body as JSON."""
        parsed: dict[str, Any] = json.loads(self.raw)
        return parsed


@dataclass(frozen=True, slots=True)
class Trouble:
    """An answer other than a reply."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


@dataclass(slots=True)
class Recorder:
    """Serves from a thread of its own while the context is open."""

    trouble: Trouble | None = None
    arrivals: list[Arrival] = field(default_factory=list)
    url: str = ""
    """http://127.0.0.1:PORT, without a path."""
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _thread: threading.Thread | None = None
    _ready: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        runner = self._loop.run_until_complete(self._start())
        self._loop.call_soon(self._ready.set)
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    async def _answer(self, request: web.Request) -> web.Response:
        named = {name.lower(): value for name, value in request.headers.items()}
        kept = {name: named[name] for name in sorted(named) if not name.startswith("x-stainless-")}
        headers = {name: value for name, value in kept.items() if name not in TRANSPORT}
        self.arrivals.append(Arrival(request.path, headers, await request.read()))
        if self.trouble is not None:
            await asyncio.sleep(self.trouble.delay_s)
            return web.json_response(self.trouble.body, status=self.trouble.status, headers=self.trouble.headers)
        if request.path.endswith("/v1/messages"):
            return web.json_response(MESSAGE)
        return web.json_response(CONTENT if request.path.endswith(":generateContent") else CHAT)
