"""The bytes of an HTTP answer as they arrive: never more than a limit, decompressed, whole, in UTF-8."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from runner.errors import FatalError, TransientError
from runner.providers.received import NOT_A_REPLY

if TYPE_CHECKING:
    import aiohttp

ENCODINGS = "gzip, deflate"
"""What is asked for: what Python itself can decompress."""
TOO_LARGE = "reply_too_large"
"""Kind of a reply that was given up at its limit; it says nothing about the replies beside it."""
REFUSAL_BYTES = 2**16
"""So much of a refusal is read: its words are at its beginning."""
_ZLIB = 15
_WBITS = {"gzip": 31, "x-gzip": 31, "deflate": _ZLIB}
_MEMBERS = 64
"""Most parts that a gzip body may be made of."""


async def body_of(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """The whole body, decompressed, of a session that does not decompress by itself.

    FatalError (reply_too_large) beyond `max_bytes`, before and after decompression, however the rest would go on;
    FatalError (not_a_reply) where its encoding cannot be undone; TransientError where it was cut short or damaged.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    content = _unpacker(encoding, max_bytes)
    if response.content_length is not None and response.content_length > max_bytes:
        raise too_large(max_bytes)
    parts, size = [], 0
    async for block in response.content.iter_any():
        part = block if content is None else content.feed(block)
        size += len(part)
        if size > max_bytes:
            raise too_large(max_bytes)
        parts.append(part)
    if content is not None:
        content.end()
    raw = parts[0] if len(parts) == 1 else b"".join(parts)
    return _in_utf8(raw, response.headers.get("Content-Type", ""))


async def first_of(response: aiohttp.ClientResponse) -> bytes:
    """As much of a refusal as its words are in; what cannot be decompressed stays as it came."""
    found = await _first_bytes(response)
    wbits = _WBITS.get(response.headers.get("Content-Encoding", "").strip().lower())
    if wbits is None:
        return found
    try:
        return zlib.decompressobj(wbits).decompress(found, REFUSAL_BYTES)
    except zlib.error:
        return found


async def _first_bytes(response: aiohttp.ClientResponse) -> bytes:
    found = b""
    async for block in response.content.iter_any():
        found += block
        if len(found) >= REFUSAL_BYTES:
            return found[:REFUSAL_BYTES]
    return found


def too_large(max_bytes: int) -> FatalError:
    """A reply that was given up at its limit."""
    return FatalError(TOO_LARGE, f"the reply is larger than {max_bytes:,} bytes (limits.max_reply_bytes)")


def _unpacker(encoding: str, max_bytes: int) -> _Unpacker | None:
    if encoding in ("", "identity"):
        return None
    if encoding not in _WBITS:
        wrong = f"the reply is packed as '{encoding[:40]}', which was not asked for (Accept-Encoding: {ENCODINGS})"
        raise FatalError(NOT_A_REPLY, wrong)
    return _Unpacker(encoding, max_bytes)


class _Unpacker:
    """Undoes gzip or deflate block by block, and gives up at a size, so that a small body cannot fill the memory."""

    def __init__(self, encoding: str, max_bytes: int) -> None:
        self._encoding = encoding
        self._left = max_bytes
        self._limit = max_bytes
        self._members = 0
        self._stream: Any = None
        self._is_packed = False
        """Whether it begins as what it is said to be."""

    def feed(self, block: bytes) -> bytes:
        parts = []
        while block:
            if self._stream is None:
                self._stream = self._next(block)
            try:
                part = self._stream.decompress(block, self._left + 1)
            except zlib.error as error:
                raise self._damaged(error) from error
            self._left -= len(part)
            if self._left < 0 or self._stream.unconsumed_tail:
                raise too_large(self._limit)
            parts.append(part)
            block = b""
            if self._stream.eof:
                # Behind the end: another member of gzip's, or padding.
                block, self._stream = self._stream.unused_data.lstrip(b"\0"), None
        return b"".join(parts)

    def end(self) -> None:
        if self._stream is not None:
            raise TransientError("connection", f"the reply was cut short: its {self._encoding} does not end")

    def _next(self, block: bytes) -> Any:
        self._members += 1
        if self._members > _MEMBERS:
            raise FatalError(NOT_A_REPLY, f"the reply is made of more than {_MEMBERS} packed parts")
        wbits = _WBITS[self._encoding]
        if wbits != _ZLIB:
            self._is_packed = self._is_packed or block.startswith(b"\x1f")  # RFC 1952
            return zlib.decompressobj(wbits)
        # RFC 1950: a deflate body begins with its method, 8; some servers leave that header out.
        self._is_packed = block[0] & 0xF == 8
        return zlib.decompressobj(wbits if self._is_packed else -wbits)

    def _damaged(self, error: zlib.error) -> FatalError | TransientError:
        if self._is_packed:
            return TransientError("connection", f"the reply was damaged on its way: {error}")
        return FatalError(NOT_A_REPLY, f"the reply is said to be packed as {self._encoding}, and is not: {error}")


def _in_utf8(raw: bytes, content_type: str) -> bytes:
    """The body in JSON's own encoding, where its header says truly that it is in another."""
    _, named, rest = content_type.lower().partition("charset=")
    charset = rest.partition(";")[0].strip(" \"'")
    if not named or charset in ("utf-8", "utf8", "us-ascii") or raw.isascii():
        return raw
    try:
        raw.decode()
    except UnicodeDecodeError:
        pass
    else:
        return raw
    try:
        return raw.decode(charset).encode()
    except UnicodeError:
        return raw  # no better than it came; whether it is an answer all the same is for received.accept to say
    except LookupError as error:
        raise FatalError(NOT_A_REPLY, f"the reply is in '{charset[:40]}', which is no charset that is known") from error
