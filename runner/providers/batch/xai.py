"""xAI's batches: requests in an uploaded file, counters in place of a status, pages in place of a result file.

Formats: https://docs.x.ai/developers/advanced-api-usage/batch-api, the protocol buffers of xai-sdk, LiteLLM's xAI batch
handler, and recorded traffic. Requests could also be added to an empty batch, call by call; made from a file, a batch
has either all of its requests or none, whenever this program dies.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from json import JSONDecoder
from typing import TYPE_CHECKING

from runner.errors import FatalError, ProviderError
from runner.providers.batch.api import BatchLimits, Item, Sent, Standing
from runner.providers.batch.http import (
    ENDLESS_BYTES,
    ask,
    bearer,
    delete_files,
    files_named,
    limited,
    opened,
    size_kind,
    sized,
    stop,
    text_at,
    upload_form,
)
from runner.providers.batch.lines import (
    dumped,
    failed,
    google_error,
    inner,
    objects,
    one_line,
    parse,
    succeeded,
    text,
    unreadable,
    wrapped,
)
from runner.providers.batch.lines import whole as counted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    import aiohttp

    from runner.providers.batch.api import Account, Draft, State
    from runner.records import Json, Model

FORM = b'"method":"POST","url":"/v1/chat/completions",'
PAGE = 100
RESULTS_PAGE = 200
"""Results in one answer: at a few kilobytes each, a page stays small."""
_ENTRY = re.compile(r'\{\s*"batch_request_id"')
_TOKEN = re.compile(r'"pagination_token"\s*:\s*"([^"]+)"\s*\}\s*$')


class XaiBatch:
    """See the module. No window can be asked for: most batches end within 24 hours."""

    # xAI advises 100,000 requests at most; 48 MB is what its files API takes.
    limits = BatchLimits(items=100_000, n_bytes=48 * 10**6, one_model=False, windows_s=(86_400,))

    def line(self, item_id: str, body: bytes, model: Model) -> bytes:  # noqa: ARG002  the protocol's
        """OpenAI's form; the id comes back as `batch_request_id`."""
        return wrapped(item_id, "custom_id", "body", body, FORM)

    async def upload(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> tuple[str, ...]:
        """As a file named after our id."""
        with _explained(), sized():
            return (await upload_form(http, account, draft),)

    async def uploaded(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> tuple[str, ...]:
        """Among the newest hundred files."""
        with _explained():
            return await files_named(http, account, draft, {"limit": str(PAGE), "order": "desc"})

    async def discard(self, http: aiohttp.ClientSession, account: Account, files: Sequence[str]) -> None:
        """One call for each."""
        with _explained():
            await delete_files(http, account, files)

    async def create(self, http: aiohttp.ClientSession, account: Account, draft: Draft, files: tuple[str, ...]) -> Sent:
        """Under our id as name."""
        batch = {"name": draft.id, "input_file_id": files[0]}
        with _explained(), sized():
            made = await ask(http, "POST", _batches(account), json=batch, headers=bearer(account))
        return Sent(text_at(made, "batch_id"), files)

    async def find(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> Sent | None:
        """By name."""
        query = {"limit": str(PAGE)}
        while True:
            with _explained():
                page = await ask(http, "GET", _batches(account), params=query, headers=bearer(account))
            for batch in objects(page.get("batches")):
                if batch.get("name") == draft.id:
                    file_id = text(batch.get("input_file_id"))
                    return Sent(text_at(batch, "batch_id"), (file_id,) if file_id else ())
            if not page.get("pagination_token") or not page.get("batches"):
                return None
            query["pagination_token"] = text(page["pagination_token"])

    async def standing(self, http: aiohttp.ClientSession, account: Account, sent: Sent) -> Standing:
        """Made of the counters: nothing pending is the end, no requests at all means that the file is being read."""
        with _explained():
            return _standing(await ask(http, "GET", _batches(account, sent.provider_id), headers=bearer(account)))

    async def fetch(
        self, http: aiohttp.ClientSession, account: Account, sent: Sent, standing: Standing
    ) -> AsyncIterator[Item]:
        """Page after page, each of which is held as a whole."""
        query = {"limit": str(RESULTS_PAGE)}
        while standing.results:
            url = _batches(account, f"{sent.provider_id}/results")
            with _explained():
                async with opened(http, "GET", url, params=query, headers=bearer(account)) as response:
                    raw = await limited(response, ENDLESS_BYTES)
            entries, token = _page(raw)
            for entry in entries:
                yield _item(entry)
            if not entries or not token:
                return
            query["pagination_token"] = token

    async def cancel(self, http: aiohttp.ClientSession, account: Account, sent: Sent) -> None:
        """What was done stays."""
        url = _batches(account, f"{sent.provider_id}:cancel")
        with _explained():
            await stop(http, url, bearer(account), lambda: self.standing(http, account, sent))

    async def clean(
        self,
        http: aiohttp.ClientSession,
        account: Account,
        sent: Sent,
        standing: Standing,  # noqa: ARG002  the protocol's
    ) -> Sequence[str]:
        """The uploaded file; batches cannot be deleted, and vanish on the day that they name."""
        with _explained():
            return await delete_files(http, account, sent.files)


@contextmanager
def _explained() -> Iterator[None]:
    """A wrong key is answered with 400, and told in words alone."""
    try:
        yield
    except ProviderError as error:
        if error.status == 400 and "api key" in str(error).lower():
            raise FatalError("key_refused", str(error), status=400, scope="account", advice=error.advice) from error
        raise


def _batches(account: Account, rest: str = "") -> str:
    return f"{account.base}/batches{'/' if rest else ''}{rest}"


def _standing(batch: Mapping[str, Json]) -> Standing:
    total, pending, cancelled = (
        counted(inner(batch, "state", f"num_{name}")) for name in ("requests", "pending", "cancelled")
    )
    refused = text(batch.get("cancel_by_xai_message")) or None
    word = f"{pending} of {total} pending"
    state: State
    if refused:
        state = "failed"
    elif total and not pending:
        state = "cancelled" if cancelled or batch.get("cancel_time") else "ended"
    else:
        state = "expired" if _is_over(text(batch.get("expire_time"))) else "running"
    # What has results before the end is not asked for: a batch is read once.
    results = () if state == "running" else (text(batch.get("batch_id")),)
    wrong = counted(inner(batch, "state", "num_error"))
    return Standing(state, word, total - pending - cancelled, total, results, refused, size_kind(refused), failed=wrong)


def _is_over(said: str) -> bool:
    """Whether a moment has passed; the API writes a day alone, which ends at midnight UTC."""
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        return False
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC) + timedelta(days=1)
    return moment < datetime.now(UTC)


def _page(raw: bytes) -> tuple[list[bytes], str]:
    """The entries of a page of results, and the mark of the next page."""
    page = parse(raw)
    if page is not None:
        results = page.get("results")
        entries = [dumped(entry) for entry in results] if isinstance(results, list) else [raw]
        return entries, text(page.get("pagination_token"))
    # One torn entry must not cost its neighbours, which are paid for.
    said = raw.decode("utf-8", "replace")
    token = _TOKEN.search(said)
    return list(_salvaged(said)), token[1] if token else ""


def _salvaged(said: str) -> Iterator[bytes]:
    """What can be read of a torn page, entry by entry; what cannot, as it is."""
    decoder = JSONDecoder()
    starts = [match.start() for match in _ENTRY.finditer(said)] or [0]
    for start, end in zip(starts, [*starts[1:], len(said)], strict=True):
        try:
            yield dumped(decoder.raw_decode(said, start)[0])
        except ValueError:
            yield said[start:end].encode()


@one_line
def _item(line: bytes) -> Item:
    found = parse(line)
    item_id, result = text(inner(found, "batch_request_id")), inner(found, "batch_result")
    if error := inner(result, "error"):
        return failed(item_id, line, google_error(error))
    response = inner(result, "response")
    if not response:
        return unreadable(line, item_id)
    return succeeded(item_id, inner(response, "chat_get_completion"), line, "chat")
