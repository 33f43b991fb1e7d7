"""A loopback server that answers with bytes as they are given: what no well-behaved server would send, too."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    """Lower-case names."""
    body: bytes


def answer(
    body: bytes, *headers: str, status: str = "200 OK", version: str = "1.1", length: int | None = None
) -> bytes:
    """A whole answer; `length` other than the body's is stated in its place."""
    stated = len(body) if length is None else length
    head = [f"HTTP/{version} {status}", *headers, f"Content-Length: {stated}", "Connection: close"]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


@dataclass(slots=True)
class RawServer:
    """Runs in a thread of its own while the context is open; the connection is closed behind each answer."""

    answer: Callable[[Asked], Iterable[bytes] | bytes]
    """Parts are sent one after the other, for as long as the client takes them."""
    asked: list[Asked] = field(default_factory=list)
    sent_bytes: int = 0
    url: str = ""
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None
    _ready: threading.Event = field(default_factory=threading.Event)

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
        server = self._loop.run_until_complete(asyncio.start_server(self._connected, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._loop.call_soon(self._ready.set)
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(_end(asyncio.all_tasks(self._loop)))
        self._loop.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await self._read(reader)
            self.asked.append(asked)
            parts = self.answer(asked)
            for part in (parts,) if isinstance(parts, bytes) else parts:
                writer.write(part)
                await writer.drain()
                self.sent_bytes += len(part)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client went away
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Asked:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Asked(head[0].split(" ")[1], headers, body)


async def _end(tasks: set[asyncio.Task[object]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
