"""HTTP for the batch adapters: JSON calls, files up from disk and down line by line, errors as ProviderErrors.

Nothing is retried here. Redirects are refused, because the key would travel with them.
"""

from __future__ import annotations

import json
import re
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from runner.errors import FatalError, ProviderError, TransientError
from runner.providers.reply import error_of

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Collection,
        Iterable,
        Iterator,
        Mapping,
    )
    from pathlib import Path

    import aiohttp

    from runner.providers.batch.api import Account, Item, Standing
    from runner.records import Json

CALL_S = 120.0
"""Most seconds for a call that carries no file."""
CONNECT_S = 10.0
SILENCE_S = 120.0
"""Most seconds without a byte while a file goes up or comes down; how long all of it takes depends on its size."""
BLOCK_BYTES = 2**20
# No API documents these refusals beyond the status 413; the words are those of their limits' documentation.
_TOO_LARGE = re.compile(
    r"too large|too many|at most [\d,]+ (items|requests)|size exceeds|is not accepted", re.IGNORECASE
)
_ENQUEUED = re.compile(r"enqueued|token_limit_exceeded", re.IGNORECASE)


@asynccontextmanager
async def opened(
    http: aiohttp.ClientSession, method: str, url: str, *, total_s: float | None = CALL_S, **request: Any
) -> AsyncIterator[aiohttp.ClientResponse]:
    """An answer whose body is still to be read. ProviderError for any other than 2xx, as for live calls."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=total_s, sock_connect=CONNECT_S, sock_read=SILENCE_S)
    try:
        async with http.request(method, url, timeout=timeout, allow_redirects=False, **request) as response:
            if response.status >= 300:
                raise error_of(response.status, response.headers, await response.read())
            yield response
    except TimeoutError as error:
        raise TransientError("timeout", f"no answer in time from {url}") from error
    except aiohttp.ClientError as error:
        raise TransientError("connection", f"{type(error).__name__}: {error}") from error


@contextmanager
def sized() -> Iterator[None]:
    """Around the sending of a batch: refused for its size, it is an error of the kind too_large.

    Refused because it does not fit beside the account's other batches, of the kind token_limit.
    """
    try:
        yield
    except ProviderError as error:
        kind = _size_kind(error)
        if kind is None:
            raise
        raise FatalError(kind, str(error), status=error.status) from error


def _size_kind(error: ProviderError) -> str | None:
    if error.status == 413:
        return "too_large"
    return size_kind(str(error)) or None if error.status in (400, 429) else None


def size_kind(message: str | None) -> str:
    """token_limit or too_large, if that is what a provider's words say; "" for any other reason."""
    if _ENQUEUED.search(message or ""):
        return "token_limit"
    return "too_large" if _TOO_LARGE.search(message or "") else ""


async def ask(http: aiohttp.ClientSession, method: str, url: str, **request: Any) -> dict[str, Json]:
    """A call whose answer is a JSON object; an empty answer is an empty object.

    TransientError where the answer is anything else: whether the call had its effect is then unknown.
    """
    async with opened(http, method, url, **request) as response:
        raw = await response.read()
    try:
        found = json.loads(raw) if raw.strip() else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise TransientError("server", f"the answer from {url} is no JSON object")
    return found


def text_at(answer: Mapping[str, Json], key: str) -> str:
    """A name that an answer must hold. TransientError where it does not: what it names may exist all the same."""
    value = answer.get(key)
    if not isinstance(value, str) or not value:
        raise TransientError("server", f"the answer has no '{key}'")
    return value


async def lines(http: aiohttp.ClientSession, url: str, **request: Any) -> AsyncGenerator[bytes]:
    """The lines of a file as they arrive, empty ones left out. At most one line and one block are held."""
    async with opened(http, "GET", url, total_s=None, **request) as response:
        held: list[bytes] = []
        async for block in response.content.iter_any():
            held.append(block)
            if b"\n" not in block:
                continue
            *whole, rest = b"".join(held).split(b"\n")
            held = [rest]
            for line in whole:
                if line.strip():
                    yield line
        if (last := b"".join(held)).strip():
            yield last


async def items_of(streams: Iterable[AsyncGenerator[bytes]], read: Callable[[bytes], Item]) -> AsyncIterator[Item]:
    """What each line of some files is, one file after the other, as they arrive."""
    for stream in streams:
        async with aclosing(stream):
            async for line in stream:
                yield read(line)


def bearer(account: Account) -> dict[str, str]:
    """The headers by which most APIs know who asks."""
    return {"Authorization": f"Bearer {account.api_key}"} if account.api_key else {}


async def upload_form(
    http: aiohttp.ClientSession, url: str, path: Path, name: str, headers: Mapping[str, str]
) -> dict[str, Json]:
    """Send a batch's items as a multipart form, as OpenAI's files API and its likes take them."""
    import aiohttp

    with reading(path) as file:
        form = aiohttp.FormData()
        form.add_field("purpose", "batch")
        form.add_field("file", file, filename=name, content_type="application/jsonl")
        return await ask(http, "POST", url, data=form, headers=headers, total_s=None)


async def stop(
    http: aiohttp.ClientSession, url: str, headers: Mapping[str, str], standing: Callable[[], Awaitable[Standing]]
) -> None:
    """Ask a batch to stop. Some APIs refuse that of one that is over; `standing` tells whether it is."""
    try:
        # An empty object: some APIs want a JSON body, and none minds it.
        await ask(http, "POST", url, json={}, headers=headers)
    except ProviderError as error:
        if error.status not in (400, 409) or (await standing()).state == "running":
            raise


async def delete(
    http: aiohttp.ClientSession, url: str, headers: Mapping[str, str], *, gone: Collection[int] = (404,)
) -> bool:
    """Delete what is at an address; False where it was gone already, which the statuses in `gone` tell."""
    try:
        async with opened(http, "DELETE", url, headers=headers) as response:
            await response.read()
    except ProviderError as error:
        if error.status in gone:
            return False
        raise
    return True


@asynccontextmanager
async def discarding(http: aiohttp.ClientSession, url: str, headers: Mapping[str, str]) -> AsyncIterator[None]:
    """Around the creation of a batch from an uploaded file: refused, it leaves no file behind."""
    try:
        yield
    except FatalError:
        # The refusal is what the caller must hear of, not what became of the file.
        with suppress(ProviderError):
            await delete(http, url, headers)
        raise


def reading(path: Path) -> BinaryIO:
    """The file, open. aiohttp reads it in a thread of its own."""
    return path.open("rb")


def joined(path: Path, head: bytes, tail: bytes) -> tuple[AsyncIterator[bytes], int]:
    """A file's lines with commas between them, between `head` and `tail`, and how many bytes that makes."""
    size = path.stat().st_size
    with reading(path) as file:
        file.seek(max(0, size - 1))
        size -= file.read() == b"\n"

    def blocks() -> Iterator[bytes]:
        yield head
        with reading(path) as opened_file:
            left = size
            while left and (block := opened_file.read(min(BLOCK_BYTES, left))):
                left -= len(block)
                yield block.replace(b"\n", b",")
        yield tail

    async def asynchronous() -> AsyncIterator[bytes]:
        for block in blocks():
            yield block

    return asynchronous(), len(head) + size + len(tail)
