"""A provider on loopback: OpenAI's chat format over real HTTP, which counts what it is asked and can misbehave."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

QUESTIONS = ("interesting", "surprise", "sadness", "anger")


def scores(value: int = 50, reason: str = "because") -> str:
    """A well-formed JSON reply to the four questions of prompt/affect."""
    return json.dumps({name: {"score": value, "reason": reason} for name in QUESTIONS})


@dataclass(frozen=True, slots=True)
class Turn:
    """How one request is answered. `content` None with status 200 sends no text."""

    content: str | None = field(default_factory=scores)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    body: bytes | None = None
    """In place of a completion."""
    drop: bool = False
    """Close the connection without an answer."""
    finish: str = "stop"
    tokens: tuple[int, int] | None = (100, 20)
    """Of the prompt and of the reply, as billed; None: it does not count."""


@dataclass(slots=True)
class Provider:
    """Runs in a thread of its own while the context is open. `answer` maps a request's body to a Turn."""

    answer: Callable[[dict[str, Any]], Turn] = field(default=lambda _body: Turn())
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    url: str = ""
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None
    _ready: threading.Event = field(default_factory=threading.Event)

    @property
    def count(self) -> int:
        """Requests received so far."""
        return len(self.bodies)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        self._loop = asyncio.new_event_loop()
        runner = self._loop.run_until_complete(self._start())
        self._loop.call_soon(self._ready.set)
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _start(self) -> web.AppRunner:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/v1/chat/completions", self._chat)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/v1"
        return runner

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            turn = self.answer(body)
            await asyncio.sleep(turn.delay_s)
        finally:
            self.in_flight -= 1
        if turn.drop:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if turn.status != 200 and turn.body is None:
            error = {"error": {"message": turn.content or "no", "type": "test", "code": str(turn.status)}}
            return web.json_response(error, status=turn.status, headers=turn.headers)
        if turn.body is not None:
            return web.Response(body=turn.body, status=turn.status, headers=turn.headers)
        return web.json_response(_completion(body, turn), headers=turn.headers)


def _completion(body: dict[str, Any], turn: Turn) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": body["model"],
        "system_fingerprint": "fp_loopback",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": turn.content},
                "finish_reason": turn.finish,
            }
        ],
        "usage": None
        if turn.tokens is None
        else {
            "prompt_tokens": turn.tokens[0],
            "completion_tokens": turn.tokens[1],
            "total_tokens": sum(turn.tokens),
        },
    }
