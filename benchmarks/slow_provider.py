"""A provider on loopback that answers every chat request after a fixed latency, and is never itself the limit.

    python slow_provider.py LATENCY_S     prints its port, and serves until killed
    POST /v1/chat/completions             a scored reply in OpenAI's format
    POST /v1/messages                     the same in Anthropic's
    GET /stamps                           how many requests came, when the first came and when the last was answered
    GET /forget                           the same, and starts anew
    GET /bodies                           the first requests' bodies

It reads no more of HTTP than it must: a request's head and Content-Length. Its loop waits by select, which counts in
microseconds; epoll rounds every wait up to a whole millisecond, which takes 2 % from a client's ideal at 50 ms.
Measured: some 0.07 ms of processor time a request, about half of what the leanest client spends on one.
"""

from __future__ import annotations

import asyncio
import json
import re
import selectors
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

QUESTIONS = ("interesting", "surprise", "sadness", "anger")
REPLY = json.dumps({name: {"score": 50, "reason": "The lamp was lit for the last time."} for name in QUESTIONS})
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": REPLY}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 400, "completion_tokens": 80, "total_tokens": 480},
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": REPLY}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 400, "output_tokens": 80},
}
KEPT = 100
"""Bodies that are kept."""
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


# ---- asked from outside ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Stamps:
    """What a provider has seen. Times are seconds since 1970."""

    requests: int = 0
    first_s: float = 0.0
    """When the first request had arrived whole."""
    last_s: float = 0.0
    """When the last answer left."""

    @property
    def rate(self) -> float:
        """Requests a second between the two."""
        return self.requests / max(self.last_s - self.first_s, 1e-9)


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider that runs in a process of its own."""

    root: str
    """Its address, without a path."""

    @property
    def base(self) -> str:
        """What a client of OpenAI's format takes as its base address."""
        return f"{self.root}/v1"

    def stamps(self, *, forget: bool = False) -> Stamps:
        """What it has seen; with `forget` it starts anew."""
        with urllib.request.urlopen(f"{self.root}/{'forget' if forget else 'stamps'}") as response:  # noqa: S310
            return Stamps(**json.load(response))

    def bodies(self) -> list[dict[str, Any]]:
        """The first requests' bodies."""
        with urllib.request.urlopen(f"{self.root}/bodies") as response:  # noqa: S310
            found: list[dict[str, Any]] = json.load(response)
            return found


@contextmanager
def serve(latency_s: float) -> Iterator[Provider]:
    """A provider until the context ends."""
    process = subprocess.Popen([sys.executable, __file__, str(latency_s)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield Provider(f"http://127.0.0.1:{process.stdout.readline().strip()}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# ---- the server -----------------------------------------------------------------------------------------------------


def response(body: object) -> bytes:
    """A whole response with the body as JSON."""
    text = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)


class Server:
    """What all connections share."""

    chat, message = response(CHAT), response(MESSAGE)

    def __init__(self, loop: asyncio.AbstractEventLoop, latency_s: float) -> None:
        self.loop = loop
        self.latency_s = latency_s
        self.seen = Stamps()
        self.bodies: list[bytes] = []

    def tell(self, line: bytes) -> bytes:
        """What is asked by GET."""
        seen = self.seen
        if b"/bodies" in line:
            return response([json.loads(body) for body in self.bodies])
        if b"/forget" in line:
            self.seen, self.bodies = Stamps(), []
        return response({"requests": seen.requests, "first_s": seen.first_s, "last_s": seen.last_s})

    def take(self, head: bytes, body: bytes, transport: asyncio.Transport) -> None:
        """One whole request, by its first line."""
        seen, line = self.seen, head[: head.index(b"\r\n")]
        if line.startswith(b"GET "):
            transport.write(self.tell(line))
            return
        seen.first_s = seen.first_s or time.time()
        seen.requests += 1
        if len(self.bodies) < KEPT:
            self.bodies.append(body)
        self.loop.call_later(
            self.latency_s, self.answer, transport, self.message if b"/messages" in line else self.chat
        )

    def answer(self, transport: asyncio.Transport, reply: bytes) -> None:
        """The reply, once its time has come."""
        transport.write(reply)
        self.seen.last_s = time.time()


class Connection(asyncio.Protocol):
    """One client's connection; its requests are answered in turn."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Take every request that is whole."""
        self.received += data
        while (end := self.received.find(b"\r\n\r\n") + 4) > 3:
            head = self.received[:end]
            length = LENGTH.search(head)
            whole = end + (int(length[1]) if length else 0)
            if len(self.received) < whole:
                return
            body, self.received = self.received[end:whole], self.received[whole:]
            self.server.take(head, body, self.transport)


def main() -> None:
    """Serve until killed."""
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    shared = Server(loop, float(sys.argv[1]))
    listening = loop.run_until_complete(loop.create_server(lambda: Connection(shared), "127.0.0.1", 0, backlog=4096))
    print(listening.sockets[0].getsockname()[1], flush=True)
    loop.run_forever()


if __name__ == "__main__":
    main()
