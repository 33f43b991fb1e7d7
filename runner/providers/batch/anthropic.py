"""Anthropic's Message Batches: requests in the create call, results as one stream once all have ended.

Formats: https://platform.claude.com/docs/en/api/messages/batches and the types of Anthropic's Python client 2.12.
The API keeps nothing of ours that shows before a batch has ended, so `find` can only then tell whose a batch is.
"""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from runner.errors import TransientError
from runner.providers.batch.api import BatchLimits, Item, Sent, Standing
from runner.providers.batch.http import ask, delete, items_of, joined, lines, sized, stop, text_at
from runner.providers.batch.lines import (
    failed,
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
from runner.providers.codec import Codec, codec_for
from runner.providers.refusals import error_for

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

    import aiohttp

    from runner.providers.batch.api import Account, Draft, State
    from runner.records import Json, Model

VERSION = "2023-06-01"
PAGE = 100
CLOCK_SKEW = timedelta(minutes=10)
"""How far our clock may be ahead of Anthropic's."""
STATUS: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The HTTP status that stands for a type of error (https://platform.claude.com/docs/en/api/errors)."""


class AnthropicBatch:
    """See the module."""

    limits = BatchLimits(items=100_000, n_bytes=256 * 10**6, one_model=False, windows_s=(86_400,))

    def line(self, item_id: str, body: bytes, model: Model) -> bytes:  # noqa: ARG002  the protocol's
        """`item_id` must be 1 to 64 of [a-zA-Z0-9_-]."""
        return wrapped(item_id, "custom_id", "params", body)

    async def upload(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> tuple[str, ...]:
        """Nothing: the requests go with the call that creates the batch."""
        del http, account, draft
        return ()

    async def uploaded(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> tuple[str, ...]:
        """Nothing is."""
        del http, account, draft
        return ()

    async def discard(self, http: aiohttp.ClientSession, account: Account, files: Sequence[str]) -> None:
        """There is nothing."""

    async def create(self, http: aiohttp.ClientSession, account: Account, draft: Draft, files: tuple[str, ...]) -> Sent:
        """One call, streamed from disk."""
        del files
        body, size = joined(draft.items, b'{"requests":[', b"]}")
        headers = {
            **_headers(account),
            **_betas(draft.model),
            "Content-Type": "application/json",
            "Content-Length": str(size),
        }
        with sized():
            made = await ask(http, "POST", _batches(account), data=body, headers=headers, total_s=None)
        return Sent(text_at(made, "id"))

    async def find(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> Sent | None:
        """A batch of as many requests, created since, that is not known as another, and whose results bear our ids.

        TransientError (unconfirmed) while one that might be it is still running: only its results tell.
        """
        running = 0
        async for batch in _since(http, account, _moment(draft.created) - CLOCK_SKEW):
            if sum(_counts(batch).values()) != draft.count or text(batch.get("id")) in draft.known:
                continue
            if batch.get("processing_status") != "ended":
                running += 1
            elif batch.get("results_url") and await _is_ours(http, account, text(batch.get("id")), draft):
                return Sent(text_at(batch, "id"))
        if running:
            message = f"{running} batches of {draft.count} requests are running, and may be ours: their results tell"
            raise TransientError("unconfirmed", message)
        return None

    async def standing(self, http: aiohttp.ClientSession, account: Account, sent: Sent) -> Standing:
        """Counts stay 0 until all requests have ended."""
        return _standing(await ask(http, "GET", _batches(account, sent.provider_id), headers=_headers(account)))

    def fetch(
        self, http: aiohttp.ClientSession, account: Account, sent: Sent, standing: Standing
    ) -> AsyncIterator[Item]:
        """The stream of results. Its address is made of ours, because `results_url` may name another host."""
        urls = (_batches(account, sent.provider_id, "/results") for _ in standing.results)
        return items_of((lines(http, url, account.max_reply_bytes, headers=_headers(account)) for url in urls), _item)

    async def cancel(self, http: aiohttp.ClientSession, account: Account, sent: Sent) -> None:
        """Refused with 409 of a batch that has ended."""
        url = _batches(account, sent.provider_id, "/cancel")
        await stop(http, url, _headers(account), lambda: self.standing(http, account, sent))

    async def clean(
        self,
        http: aiohttp.ClientSession,
        account: Account,
        sent: Sent,
        standing: Standing,  # noqa: ARG002  the protocol's
    ) -> Sequence[str]:
        """The batch itself, which holds requests and results."""
        url = _batches(account, sent.provider_id)
        return [sent.provider_id] if await delete(http, url, _headers(account)) else []


def _headers(account: Account) -> dict[str, str]:
    key = {"x-api-key": account.api_key} if account.api_key else {}
    return {**key, "anthropic-version": VERSION}


def _betas(model: Model) -> dict[str, str]:
    """The beta flags that a live request would carry; only a model's `extra` calls for any."""
    codec = codec_for(model, None) if model.extra else None
    headers = codec.headers if isinstance(codec, Codec) else {}
    return {name: value for name, value in headers.items() if name.lower() == "anthropic-beta"}


def _batches(account: Account, batch_id: str = "", rest: str = "") -> str:
    base = account.base.removesuffix("/v1/messages")
    return f"{base}/v1/messages/batches{'/' if batch_id else ''}{batch_id}{rest}"


def _counts(batch: Mapping[str, Json]) -> dict[str, int]:
    counts = batch.get("request_counts")
    return {name: whole(number) for name, number in counts.items()} if isinstance(counts, dict) else {}


def _standing(batch: Mapping[str, Json]) -> Standing:
    counts, word = _counts(batch), text(batch.get("processing_status"))
    total = sum(counts.values())
    unrun = counts.get("processing", 0) + counts.get("canceled", 0) + counts.get("expired", 0)
    done, wrong = total - unrun, counts.get("errored", 0)
    if word != "ended":
        return Standing("running", word, done, total)
    state: State = "cancelled" if counts.get("canceled") else "expired" if counts.get("expired") else "ended"
    if not batch.get("results_url"):
        # It may show a moment later; after 29 days it is gone for good.
        return Standing(state, word, done, total, message="Anthropic names no results of this batch", failed=wrong)
    return Standing(state, word, done, total, (text(batch.get("id")),), failed=wrong)


async def _since(http: aiohttp.ClientSession, account: Account, start: datetime) -> AsyncGenerator[dict[str, Json]]:
    """Batches created from `start` on, newest first."""
    query = {"limit": str(PAGE)}
    while True:
        page = await ask(http, "GET", _batches(account), params=query, headers=_headers(account))
        for batch in objects(page.get("data")):
            if _moment(text_at(batch, "created_at")) < start:
                return
            yield batch
        if not page.get("has_more"):
            return
        query["after_id"] = text_at(page, "last_id")


def _moment(said: str) -> datetime:
    found = datetime.fromisoformat(said)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


async def _is_ours(http: aiohttp.ClientSession, account: Account, batch_id: str, draft: Draft) -> bool:
    """Whether the first readable result is of one of our requests, whose ids begin with their batch's."""
    url = _batches(account, batch_id, "/results")
    async with aclosing(lines(http, url, account.max_reply_bytes, headers=_headers(account))) as stream:
        async for line in stream:
            if name := text(inner(parse(line), "custom_id")):
                return name.startswith(f"{draft.id}-")
    return False


@one_line
def _item(line: bytes) -> Item:
    found = parse(line)
    item_id, result = text(inner(found, "custom_id")), inner(found, "result")
    match inner(result, "type"):
        case "succeeded":
            return succeeded(item_id, inner(result, "message"), line, "anthropic")
        case "errored":
            error = inner(result, "error", "error")
            kind, message = text(inner(error, "type")), text(inner(error, "message"))
            return failed(item_id, line, error_for(STATUS.get(kind, 500), message or kind))
        case "expired":
            return Item(item_id, "expired", None, line, "expired", "not begun before the batch expired")
        case "canceled":
            return Item(item_id, "cancelled", None, line, "cancelled", "not begun before the batch was cancelled")
        case _:
            return unreadable(line, item_id)
