"""Batches of the Gemini Developer API: requests in an uploaded file, each under our key.

Formats: https://ai.google.dev/api/batch-api and /api/files, the types of google-genai 1.x, and recorded traffic. A file
is used for any size, since its result lines repeat our key: results given inline have come back out of order and
without their metadata (googleapis/python-genai issues 1886, 1909, 2008). Where the API gives such, they are read.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from runner.errors import FatalError, ProviderError, TransientError
from runner.providers.batch.api import BatchLimits, Item, Sent, Standing
from runner.providers.batch.http import ask, delete, lines, opened, reading, size_kind, sized, stop, text_at
from runner.providers.batch.lines import (
    dumped,
    failed,
    google_error,
    google_state,
    inner,
    objects,
    one_line,
    parse,
    succeeded,
    text,
    unreadable,
    whole,
    wrapped,
)
from runner.providers.services import GEMINI_VERSION, GEMINI_VERSIONS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

    import aiohttp

    from runner.providers.batch.api import Account, Draft
    from runner.records import Json, Model

PAGE = 50
UNKNOWN = (403, 404)
"""The files API answers 403 for a file that does not exist, or no longer does, as for one of another account."""


class GeminiBatch:
    """See the module. A batch has no window to ask for: its target is 24 hours, and it expires after 48."""

    # The number of requests is not documented as limited; the bytes are those of one file.
    limits = BatchLimits(items=200_000, n_bytes=2 * 10**9, one_model=True, windows_s=(86_400,))

    def line(self, item_id: str, body: bytes, model: Model) -> bytes:  # noqa: ARG002  the protocol's
        """The key is any string."""
        return wrapped(item_id, "key", "request", body)

    async def upload(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> tuple[str, ...]:
        """Under our id as display name. Uploaded files vanish by themselves after 48 hours."""
        with sized():
            return (await _upload(http, account, draft),)

    async def uploaded(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> tuple[str, ...]:
        """By display name; lists have no filter."""
        pages = _pages(http, account, "files")
        found = [file async for page in pages for file in objects(page.get("files"))]
        return tuple(text(file.get("name")) for file in found if file.get("displayName") == draft.id)

    async def discard(self, http: aiohttp.ClientSession, account: Account, files: Sequence[str]) -> None:
        """One call for each."""
        for name in files:
            await delete(http, _address(account, name), _headers(account), gone=UNKNOWN)

    async def create(self, http: aiohttp.ClientSession, account: Account, draft: Draft, files: tuple[str, ...]) -> Sent:
        """Under our id as display name."""
        url = _address(account, f"models/{draft.model.id}:batchGenerateContent")
        batch = {"displayName": draft.id, "inputConfig": {"fileName": files[0]}}
        with sized():
            made = await ask(http, "POST", url, json={"batch": batch}, headers=_headers(account))
        return Sent(text_at(made, "name"), files)

    async def find(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> Sent | None:
        """By display name; lists have no filter."""
        async with aclosing(_pages(http, account, "batches")) as pages:
            async for page in pages:
                for operation in objects(page.get("operations")):
                    batch = _batch(operation)
                    if batch.get("displayName") == draft.id:
                        file_name = text(inner(batch, "inputConfig", "fileName"))
                        return Sent(text_at(operation, "name"), (file_name,) if file_name else ())
        return None

    async def standing(self, http: aiohttp.ClientSession, account: Account, sent: Sent) -> Standing:
        """State and counts of the operation, and the file of its results."""
        try:
            operation = await ask(http, "GET", _address(account, sent.provider_id), headers=_headers(account))
        except ProviderError as error:
            raise _not_found(error) from error
        batch, output = _batch(operation), _output(operation)
        word, counts = text(batch.get("state")), batch.get("batchStats")
        total, wrong = whole(inner(counts, "requestCount")), whole(inner(counts, "failedRequestCount"))
        # An expired batch has no results, whatever was counted (https://ai.google.dev/gemini-api/docs/batch-api).
        state = google_state(word)
        done = 0 if state == "expired" else whole(inner(counts, "successfulRequestCount")) + wrong
        results = (text(output.get("responsesFile")),) if output.get("responsesFile") else ()
        if output.get("inlinedResponses"):
            results = (*results, sent.provider_id)
        message = text(inner(operation, "error", "message")) or None
        return Standing(state, word, done, total, results, message, size_kind(message), failed=wrong)

    async def fetch(
        self,
        http: aiohttp.ClientSession,
        account: Account,
        sent: Sent,  # noqa: ARG002  the protocol's
        standing: Standing,
    ) -> AsyncIterator[Item]:
        """The results' file, line by line, or the entries of an inline list."""
        for name in standing.results:
            stream = _lines(http, account, name) if name.startswith("files/") else _inlined(http, account, name)
            try:
                async with aclosing(stream):
                    async for line in stream:
                        yield _item(line)
            except ProviderError as error:
                raise _not_found(error) from error

    async def cancel(self, http: aiohttp.ClientSession, account: Account, sent: Sent) -> None:
        """Refused with FAILED_PRECONDITION (400) of a batch that has ended."""
        url = _address(account, f"{sent.provider_id}:cancel")
        await stop(http, url, _headers(account), lambda: self.standing(http, account, sent))

    async def clean(
        self, http: aiohttp.ClientSession, account: Account, sent: Sent, standing: Standing
    ) -> Sequence[str]:
        """Both files, then the batch, which would otherwise list them."""
        names = dict.fromkeys((*sent.files, *standing.results, sent.provider_id))
        return [name for name in names if await delete(http, _address(account, name), _headers(account), gone=UNKNOWN)]


def _headers(account: Account) -> dict[str, str]:
    return {"x-goog-api-key": account.api_key} if account.api_key else {}


def _address(account: Account, path: str, service: str = "") -> str:
    """Below the base, which may or may not name a version; uploads and downloads have a prefix before it."""
    host, _, version = account.base.rpartition("/")
    if version not in GEMINI_VERSIONS:
        host, version = account.base, GEMINI_VERSION
    return f"{host}{service}/{version}/{path}"


async def _pages(http: aiohttp.ClientSession, account: Account, path: str) -> AsyncGenerator[dict[str, Json]]:
    """Every page of a list."""
    query = {"pageSize": str(PAGE)}
    while True:
        page = await ask(http, "GET", _address(account, path), params=query, headers=_headers(account))
        yield page
        if not page.get("nextPageToken"):
            return
        query["pageToken"] = text(page["nextPageToken"])


async def _upload(http: aiohttp.ClientSession, account: Account, draft: Draft) -> str:
    """Google's resumable upload in one piece; the name of the file."""
    with reading(draft.items) as file:
        size = str(draft.items.stat().st_size)
        start = {
            **_headers(account),
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Length": size,
            "X-Goog-Upload-Header-Content-Type": "application/jsonl",
        }
        url = _address(account, "files", "/upload")
        async with opened(http, "POST", url, json={"file": {"displayName": draft.id}}, headers=start) as response:
            target = response.headers.get("x-goog-upload-url")
        if not target:
            raise TransientError("server", "Gemini gave no address to upload to")
        # The address is good for this one upload, and needs no key.
        told = {"X-Goog-Upload-Offset": "0", "X-Goog-Upload-Command": "upload, finalize", "Content-Length": size}
        made = await ask(http, "POST", target, data=file, headers=told, total_s=None)
    return text_at(inner(made, "file") or {}, "name")


def _batch(operation: Mapping[str, Json]) -> Mapping[str, Json]:
    """The batch is an operation's metadata; some answers have been the batch alone."""
    found = operation.get("metadata")
    return found if isinstance(found, dict) else operation


def _output(operation: Mapping[str, Json]) -> Mapping[str, Json]:
    found = operation.get("response") or _batch(operation).get("output")
    return found if isinstance(found, dict) else {}


def _not_found(error: ProviderError) -> ProviderError:
    """A refused key is a 400 here, so that 403 is what 404 is elsewhere."""
    return FatalError("not_found", str(error), status=error.status) if error.status in UNKNOWN else error


def _lines(http: aiohttp.ClientSession, account: Account, name: str) -> AsyncGenerator[bytes]:
    url = _address(account, f"{name}:download", "/download")
    return lines(http, url, account.max_reply_bytes, params={"alt": "media"}, headers=_headers(account))


async def _inlined(http: aiohttp.ClientSession, account: Account, name: str) -> AsyncGenerator[bytes]:
    """The entries of a list that the batch itself carries, which the API keeps below 20 MB."""
    output = _output(await ask(http, "GET", _address(account, name), headers=_headers(account)))
    for entry in objects(inner(output, "inlinedResponses", "inlinedResponses")):
        yield dumped(entry)


@one_line
def _item(line: bytes) -> Item:
    found = parse(line) or {}
    item_id = text(found.get("key")) or text(inner(found, "metadata", "key"))
    if found.get("error"):
        return failed(item_id, line, google_error(found["error"]))
    if "response" in found:
        return succeeded(item_id, found["response"], line, "gemini")
    return unreadable(line, item_id)
