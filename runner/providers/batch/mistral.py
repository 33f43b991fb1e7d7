"""Mistral's batch jobs: requests in an uploaded file, one model a job, results in an output and an error file.

Formats: https://docs.mistral.ai/api/endpoint/batch, the types of mistralai 2.5, and recorded traffic.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from runner.providers.batch.api import BatchLimits, Item, Sent, Standing
from runner.providers.batch.http import (
    ask,
    bearer,
    delete_files,
    files_named,
    items_of,
    lines,
    size_kind,
    sized,
    stop,
    text_at,
    upload_form,
)
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
from runner.providers.refusals import error_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    import aiohttp

    from runner.providers.batch.api import Account, Draft, State
    from runner.records import Json, Model

HOUR_S = 3600
ENDPOINT = "/v1/chat/completions"
NOTE = "batch"
"""The key in a job's metadata under which our id stands."""
PAGE = 100
CLOCK_SKEW = timedelta(minutes=10)
STATES: Mapping[str, State] = {
    "SUCCESS": "ended",
    "FAILED": "failed",
    "TIMEOUT_EXCEEDED": "expired",
    "CANCELLED": "cancelled",
}
"""Any other word (QUEUED, RUNNING, CANCELLATION_REQUESTED) is a job that may still end well."""


class MistralBatch:
    """See the module."""

    limits = BatchLimits(
        items=1_000_000,
        n_bytes=512 * 10**6,
        one_model=True,
        windows_s=tuple(hours * HOUR_S for hours in range(1, 7 * 24 + 1)),
    )

    def line(self, item_id: str, body: bytes, model: Model) -> bytes:  # noqa: ARG002  the protocol's
        """The body keeps its model, which is the job's."""
        return wrapped(item_id, "custom_id", "body", body)

    async def upload(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> tuple[str, ...]:
        """As a file of purpose `batch`, named after our id."""
        with sized():
            return (await upload_form(http, account, draft),)

    async def uploaded(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> tuple[str, ...]:
        """By the API's search for names."""
        return await files_named(http, account, draft, {"purpose": "batch", "search": draft.id})

    async def discard(self, http: aiohttp.ClientSession, account: Account, files: Sequence[str]) -> None:
        """One call for each."""
        await delete_files(http, account, files)

    async def create(self, http: aiohttp.ClientSession, account: Account, draft: Draft, files: tuple[str, ...]) -> Sent:
        """With our id as metadata."""
        job = {
            "input_files": list(files),
            "endpoint": ENDPOINT,
            "model": draft.model.id,
            "metadata": {NOTE: draft.id},
            "timeout_hours": max(1, round(draft.window_s / HOUR_S)),
        }
        with sized():
            made = await ask(http, "POST", _jobs(account), json=job, headers=bearer(account))
        return Sent(text_at(made, "id"), files)

    async def find(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> Sent | None:
        """By metadata, among the jobs created since.

        The API's own filter by metadata is not used: how its query is to be written is not documented.
        """
        since = (datetime.fromisoformat(draft.created) - CLOCK_SKEW).isoformat()
        page_number = 0
        while True:
            query = {"page": str(page_number), "page_size": str(PAGE), "created_after": since}
            page = await ask(http, "GET", _jobs(account), params=query, headers=bearer(account))
            jobs = objects(page.get("data"))
            for job in jobs:
                if inner(job, "metadata", NOTE) == draft.id:
                    return Sent(text_at(job, "id"), tuple(map(str, job.get("input_files") or ())))
            if len(jobs) < PAGE:
                return None
            page_number += 1

    async def standing(self, http: aiohttp.ClientSession, account: Account, sent: Sent) -> Standing:
        """Counts and the ids of both result files; the total is 0 until a job has begun."""
        # Otherwise the answer may carry the results themselves.
        query = {"inline": "false"}
        job = await ask(http, "GET", _jobs(account, sent.provider_id), params=query, headers=bearer(account))
        word = text(job.get("status"))
        results = tuple(file_id for name in ("output_file", "error_file") if (file_id := text(job.get(name))))
        messages = filter(None, (text(inner(error, "message")) for error in objects(job.get("errors"))))
        message = "; ".join(messages) or None
        return Standing(
            STATES.get(word, "running"),
            word,
            whole(job.get("completed_requests")),
            whole(job.get("total_requests")),
            results,
            message,
            size_kind(message),
            failed=whole(job.get("failed_requests")),
        )

    def fetch(
        self,
        http: aiohttp.ClientSession,
        account: Account,
        sent: Sent,  # noqa: ARG002  the protocol's
        standing: Standing,
    ) -> AsyncIterator[Item]:
        """The output file, then the error file."""
        urls = (f"{account.base}/files/{file_id}/content" for file_id in standing.results)
        return items_of((lines(http, url, account.max_reply_bytes, headers=bearer(account)) for url in urls), _item)

    async def cancel(self, http: aiohttp.ClientSession, account: Account, sent: Sent) -> None:
        """The job ends a while later; what was done stays."""
        url = _jobs(account, f"{sent.provider_id}/cancel")
        await stop(http, url, bearer(account), lambda: self.standing(http, account, sent))

    async def clean(
        self, http: aiohttp.ClientSession, account: Account, sent: Sent, standing: Standing
    ) -> Sequence[str]:
        """The files; the job's record stays, which holds counts only."""
        return await delete_files(http, account, (*sent.files, *standing.results))


def _jobs(account: Account, rest: str = "") -> str:
    return f"{account.base}/batch/jobs{'/' if rest else ''}{rest}"


@one_line
def _item(line: bytes) -> Item:
    found = parse(line)
    item_id, error = text(inner(found, "custom_id")), inner(found, "error")
    status, body = whole(inner(found, "response", "status_code")), inner(found, "response", "body")
    if status == 200 and not error:
        return succeeded(item_id, body, line, "chat")
    code = text(inner(error, "code"))
    message = _message(error) or _message(inner(body, "error")) or _message(body)
    if code == "batch_expired":
        return Item(item_id, "expired", None, line, "expired", message)
    if code == "batch_cancelled":
        return Item(item_id, "cancelled", None, line, "cancelled", message)
    if not status and not message:
        return unreadable(line, item_id)
    return failed(item_id, line, error_for(status or 500, message or f"status {status}"))


def _message(error: Json) -> str:
    return text(error) or text(inner(error, "message")) or text(inner(error, "detail"))
