"""HTTP for the batch adapters: JSON calls, files up from disk and down line by line, errors as ProviderErrors.

Nothing is retried here, and nothing with a key follows a redirect. What is read is bounded.
"""

from __future__ import annotations

import json
import re
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urljoin

from runner.errors import FatalError, ProviderError, TransientError
from runner.providers.batch.api import PlainRefusalError
from runner.providers.batch.lines import Oversized, inner, objects, text
from runner.providers.network import trouble_with, way_to
from runner.providers.received import redirected
from runner.providers.refusals import error_of

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

    from runner.providers.batch.api import Account, Draft, Item, Standing
    from runner.records import Json

CALL_S = 120.0
"""Most seconds for a call that carries no file."""
CONNECT_S = 10.0
SILENCE_S = 120.0
"""Most seconds without a byte while a file goes up or comes down; how long all of it takes depends on its size."""
BLOCK_BYTES = 2**20
ERROR_BYTES = 2**20
"""Most that is read of an error."""
ANSWER_BYTES = 64 * 2**20
"""Most that is read of an answer that carries no file."""
BESIDE_BYTES = 2**20
"""What a line of results may hold beside the reply: ids, and at Vertex AI the request."""
ENDLESS_BYTES = 2**28
"""A line that has no end after so much has none."""
HEAD_BYTES = 1024
"""So much is kept of a line that is too long."""
FORM_STATUSES = frozenset({400, 404, 413, 415, 422})
"""With these an API refuses what it got for its form: a field, a model, a size."""
# No API documents these refusals beyond the status 413; the words are those of their limits' documentation.
_TOO_LARGE = re.compile(
    r"too large|too many|at most [\d,]+ (items|requests)|size exceeds|is not accepted", re.IGNORECASE
)
_ENQUEUED = re.compile(r"enqueued|token_limit_exceeded", re.IGNORECASE)


@asynccontextmanager
async def opened(
    http: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    total_s: float | None = CALL_S,
    signed: bool = False,
    **request: Any,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """An answer whose body is still to be read. ProviderError for any other than 2xx, as for live calls.

    `total_s`: seconds for the whole exchange, body and all; None for no limit.

    No redirect is followed, since the key would go along. With `signed` one is, without headers: what is stored
    elsewhere is often handed out by a signed address.
    """
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=total_s, sock_connect=CONNECT_S, sock_read=SILENCE_S)
    way = way_to(url)
    options = {**way.words, **request}
    try:
        async with http.request(method, url, timeout=timeout, allow_redirects=False, **options) as response:
            if 300 <= response.status < 400:
                to = response.headers.get("Location", "")
                if not signed or not to:
                    raise redirected(response.status, response.headers, url, "the model's api_base")
                async with opened(http, method, urljoin(url, to), total_s=total_s) as elsewhere:
                    yield elsewhere
                return
            if response.status >= 400:
                raise _refusal(response.status, response.headers, await limited(response, ERROR_BYTES))
            yield response
    except TimeoutError as error:
        raise TransientError("timeout", f"no answer in time from {url}{way.said}") from error
    except aiohttp.ClientError as error:
        raise trouble_with(way, error) or TransientError("connection", f"{type(error).__name__}: {error}") from error


def _refusal(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """What an error means; PlainRefusalError where the API itself says so of the form of what it got."""
    error = error_of(status, headers, body)
    if status in FORM_STATUSES and isinstance(error, FatalError) and _is_api_error(body):
        return PlainRefusalError(
            error.kind, str(error), status=status, scope=error.scope, advice=error.advice, until=error.until
        )
    return error


def _is_api_error(body: bytes) -> bool:
    """Whether an error is in the form of one of the APIs: OpenAI's, Anthropic's, Google's, Mistral's or xAI's."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return False
    found = found[0] if isinstance(found, list) and found else found
    named = [inner(found, "error", name) for name in ("type", "code", "status")]
    named += [inner(found, name) for name in ("type", "code")]
    return any(map(text, named)) or bool(objects(inner(found, "detail")))


async def limited(response: aiohttp.ClientResponse, n_bytes: int) -> bytes:
    """A body up to so many bytes: one that is longer is cut there."""
    found = bytearray()
    async for block in response.content.iter_chunked(BLOCK_BYTES):
        found += block
        if len(found) >= n_bytes:
            response.close()
            break
    return bytes(found[:n_bytes])


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
        # What is enqueued is known to nobody between us and the API.
        is_plain = kind == "token_limit" or isinstance(error, PlainRefusalError)
        raise (PlainRefusalError if is_plain else FatalError)(kind, str(error), status=error.status) from error


def _size_kind(error: ProviderError) -> str | None:
    if error.status == 413:
        return "too_large"
    kind = size_kind(str(error)) if error.status in (400, 429) else ""
    # "Too many requests" is what a rate limit says.
    return None if kind == "too_large" and error.status == 429 else kind or None


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
        raw = await limited(response, ANSWER_BYTES)
    try:
        found = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError):
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


async def lines(http: aiohttp.ClientSession, url: str, max_reply_bytes: int, **request: Any) -> AsyncGenerator[bytes]:
    """The lines of a file as they arrive, empty ones left out. At most one line and one block are held.

    Of one that is too long for a reply of so many bytes the beginning comes, Oversized; one without end is a
    FatalError (malformed).
    """
    most = max_reply_bytes + BESIDE_BYTES
    async with opened(http, "GET", url, total_s=None, signed=True, **request) as response:
        held: list[bytes] = []
        n_bytes = 0
        async for block in response.content.iter_any():
            *whole, rest = block.split(b"\n")
            for piece in whole:
                line = b"".join([*held, piece])
                if n_bytes + len(piece) > most:
                    line = Oversized(line[:HEAD_BYTES])
                held, n_bytes = [], 0
                if line.strip():
                    yield line
            held.append(rest)
            n_bytes += len(rest)
            if n_bytes > most:
                held = [b"".join(held)[:HEAD_BYTES]]
            if n_bytes > ENDLESS_BYTES:
                raise FatalError("malformed", f"a line of {url} has no end after {n_bytes // 2**20} MiB")
        if (last := b"".join(held)).strip():
            yield Oversized(last) if n_bytes > most else last


async def items_of(streams: Iterable[AsyncGenerator[bytes]], read: Callable[[bytes], Item]) -> AsyncIterator[Item]:
    """What each line of some files is, one file after the other, as they arrive."""
    for stream in streams:
        async with aclosing(stream):
            async for line in stream:
                yield read(line)


def bearer(account: Account) -> dict[str, str]:
    """The headers by which most APIs know who asks."""
    return {"Authorization": f"Bearer {account.api_key}"} if account.api_key else {}


async def upload_form(http: aiohttp.ClientSession, account: Account, draft: Draft) -> str:
    """Send a batch's items as a multipart form, as OpenAI's files API and its likes take them; the file's id."""
    import aiohttp

    with reading(draft.items) as file:
        form = aiohttp.FormData()
        form.add_field("purpose", "batch")
        form.add_field("file", file, filename=_name(draft), content_type="application/jsonl")
        url = f"{account.base}/files"
        return text_at(await ask(http, "POST", url, data=form, headers=bearer(account), total_s=None), "id")


def _name(draft: Draft) -> str:
    return f"{draft.id}.jsonl"


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
            await limited(response, ERROR_BYTES)
    except ProviderError as error:
        if error.status in gone:
            return False
        raise
    return True


async def delete_files(http: aiohttp.ClientSession, account: Account, files: Iterable[str]) -> list[str]:
    """Delete files of an API of OpenAI's form; those that were still there."""
    names = dict.fromkeys(files)
    return [name for name in names if await delete(http, f"{account.base}/files/{name}", bearer(account))]


async def files_named(
    http: aiohttp.ClientSession, account: Account, draft: Draft, query: Mapping[str, str]
) -> tuple[str, ...]:
    """Ids of the files with a draft's name, on the first page of a list of OpenAI's form."""
    page = await ask(http, "GET", f"{account.base}/files", params=query, headers=bearer(account))
    return tuple(text_at(file, "id") for file in objects(page.get("data")) if file.get("filename") == _name(draft))


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
