"""Batches of OpenAI and of those who speak its format: Groq and kluster.ai.

Sources: the vendors' API references and SDK types. kluster.ai removed its batch reference in July 2025; what is here
is what its last edition and its users' code show.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

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
    dumped,
    failed,
    inner,
    one_line,
    parse,
    succeeded,
    text,
    unreadable,
    whole,
    wrapped,
)
from runner.providers.refusals import error_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    import aiohttp

    from runner.providers.batch.api import Account, Draft, Ending, State
    from runner.records import Json, Model

ENDPOINTS: Mapping[str, str] = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}
"""A model's API -> what each line asks; the same at all three, whatever their own paths look like."""
FORMS = {api: b'"method":"POST","url":"%b",' % endpoint.encode() for api, endpoint in ENDPOINTS.items()}
MARK = "persona_runner"
"""The metadata key that holds our id."""
SLACK_S = 3600.0
"""How far a provider's clock may be behind ours when a list is searched back to a batch's creation."""
PAGE = "100"
HOUR_S = 3600

STATES: Mapping[str, State] = {
    "validating": "running",
    "pre_schedule": "running",
    "in_progress": "running",
    "finalizing": "running",
    "cancelling": "running",
    "completed": "ended",
    "failed": "failed",
    "expired": "expired",
    "cancelled": "cancelled",
}
"""Any other word is taken for a state on the way: the engine's own limit ends that wait."""

KINDS: Mapping[str, str] = {
    "token_limit_exceeded": "token_limit",
    "too_many_tasks": "too_large",
    "model_not_found": "not_found",
    "insufficient_quota": "quota",
    "billing_hard_limit_reached": "quota",
    "server_error": "server",
    "internal_error": "server",
}
"""Code of a failed batch's first error -> kind. What else the validation names it found in a line: bad_request."""

ENDINGS: Mapping[str, Ending] = {"batch_expired": "expired", "batch_cancelled": "cancelled"}
"""Code of an item's error -> its ending; after any other the item may be tried again."""


@dataclass(frozen=True, slots=True)
class OpenAiBatch:
    """A batch_api.BatchApi. The fields are where the providers differ."""

    limits: BatchLimits
    windows: Mapping[int, str] = field(default_factory=lambda: {24 * HOUR_S: "24h"})
    """Seconds of a completion window -> how it is written."""
    paging: Literal["after", "cursor"] = "after"
    """How the next page of a list is asked for: by the last batch's id, or by a cursor that the page names."""

    def line(self, item_id: str, body: bytes, model: Model) -> bytes:
        """The body keeps its model."""
        return wrapped(item_id, "custom_id", "body", body, FORMS[model.capability.api])

    async def upload(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> tuple[str, ...]:
        """As a file of purpose `batch`, named after our id."""
        with sized():
            return (await upload_form(http, account, draft),)

    async def uploaded(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> tuple[str, ...]:
        """Among the newest files: a page holds up to 10,000."""
        return await files_named(http, account, draft, {"purpose": "batch"})

    async def discard(self, http: aiohttp.ClientSession, account: Account, files: Sequence[str]) -> None:
        """One call for each."""
        await delete_files(http, account, files)

    async def create(self, http: aiohttp.ClientSession, account: Account, draft: Draft, files: tuple[str, ...]) -> Sent:
        """With our id as metadata."""
        batch = {
            "input_file_id": files[0],
            "endpoint": ENDPOINTS[draft.model.capability.api],
            "completion_window": self.windows[draft.window_s],
            "metadata": {MARK: draft.id},
        }
        with sized():
            made = await ask(http, "POST", _batches(account), json=batch, headers=bearer(account))
        return Sent(text_at(made, "id"), files)

    async def find(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> Sent | None:
        """By metadata. Pages come newest first, so that those from before the draft need not be read."""
        oldest = datetime.fromisoformat(draft.created).timestamp() - SLACK_S
        query = {"limit": PAGE}
        while True:
            page = await ask(http, "GET", _batches(account), params=query, headers=bearer(account))
            batches = [batch for batch in page.get("data") or () if isinstance(batch, dict)]
            for batch in batches:
                if inner(batch, "metadata", MARK) == draft.id:
                    return Sent(text_at(batch, "id"), _ids(batch, "input_file_id"))
            mark = self._next(page, batches)
            last = _seconds(batches[-1].get("created_at")) if batches else None
            if not mark or (last is not None and last < oldest):
                return None
            query[self.paging] = mark

    def _next(self, page: Mapping[str, Json], batches: Sequence[Mapping[str, Json]]) -> str:
        if self.paging == "cursor":
            return text(inner(page, "paging", "next_cursor"))
        return text_at(batches[-1], "id") if page.get("has_more") and batches else ""

    async def standing(self, http: aiohttp.ClientSession, account: Account, sent: Sent) -> Standing:
        """Counts may be missing until validation is over."""
        return _standing(await ask(http, "GET", _batches(account, sent), headers=bearer(account)))

    def fetch(
        self,
        http: aiohttp.ClientSession,
        account: Account,
        sent: Sent,  # noqa: ARG002  the protocol's
        standing: Standing,
    ) -> AsyncIterator[Item]:
        """The output file and the error file, one after the other."""
        urls = (f"{account.base}/files/{file_id}/content" for file_id in standing.results)
        return items_of((lines(http, url, account.max_reply_bytes, headers=bearer(account)) for url in urls), read_line)

    async def cancel(self, http: aiohttp.ClientSession, account: Account, sent: Sent) -> None:
        """Refused of a batch that has ended."""
        url = f"{_batches(account, sent)}/cancel"
        await stop(http, url, bearer(account), lambda: self.standing(http, account, sent))

    async def clean(
        self, http: aiohttp.ClientSession, account: Account, sent: Sent, standing: Standing
    ) -> Sequence[str]:
        """The input file, the output file and the error file; batches themselves cannot be deleted."""
        return await delete_files(http, account, (*sent.files, *standing.results))


OPENAI = OpenAiBatch(BatchLimits(items=50_000, n_bytes=200 * 10**6, one_model=True, windows_s=(24 * HOUR_S,)))
GROQ_WINDOWS = {24 * HOUR_S: "24h"} | {days * 24 * HOUR_S: f"{days}d" for days in range(2, 8)}
GROQ = OpenAiBatch(
    # Groq's documentation says 200 MB, its client's types 100 MB; what is below both is taken for sure.
    BatchLimits(items=50_000, n_bytes=100 * 10**6, one_model=False, windows_s=tuple(GROQ_WINDOWS)),
    windows=GROQ_WINDOWS,
    paging="cursor",
)
KLUSTER_WINDOWS = {hours * HOUR_S: f"{hours}h" for hours in (1, 3, 6, 12, 24, 48, 72)}
KLUSTER = OpenAiBatch(
    BatchLimits(items=50_000, n_bytes=100 * 10**6, one_model=False, windows_s=tuple(KLUSTER_WINDOWS)),
    windows=KLUSTER_WINDOWS,
)


@one_line
def read_line(line: bytes) -> Item:
    """A line of an output or error file. Never raises: what cannot be read is an item to be tried again."""
    found = parse(line)
    item_id, response = text(inner(found, "custom_id")), inner(found, "response")
    if isinstance(error := inner(found, "error"), dict):
        code, message = text(error.get("code")), text(error.get("message"))
        ending = ENDINGS.get(code, "retry")
        kind = KINDS.get(code, "server") if ending == "retry" else ending
        return Item(item_id, ending, None, line, kind, message or code)
    status, body = whole(inner(response, "status_code")), inner(response, "body")
    if isinstance(body, str):  # one server that speaks this format writes the body as text
        body = parse(body.encode()) or body
    if status == 200:
        return succeeded(item_id, body, line, "responses" if inner(body, "object") == "response" else "chat")
    return failed(item_id, line, error_of(status, {}, dumped(body))) if status else unreadable(line, item_id)


def _standing(batch: Mapping[str, Json]) -> Standing:
    word = text(batch.get("status"))
    state = STATES.get(word, "running")
    code, message = _failure(batch.get("errors"))
    return Standing(
        state=state,
        word=word,
        done=whole(inner(batch, "request_counts", "completed")) + whole(inner(batch, "request_counts", "failed")),
        failed=whole(inner(batch, "request_counts", "failed")),
        total=whole(inner(batch, "request_counts", "total")),
        results=_ids(batch, "output_file_id", "error_file_id"),
        message=message or None,
        kind=_kind(code, message) if state == "failed" else "",
    )


def _failure(errors: Json) -> tuple[str, str]:
    """Code of the first error and the messages of the first three; a list (Groq), which OpenAI wraps in an object."""
    listed = errors.get("data") if isinstance(errors, dict) else errors
    found = [error for error in listed if isinstance(error, dict)] if isinstance(listed, list) else []
    messages = [text(error.get("message")) or text(error.get("code")) for error in found[:3]]
    return (text(found[0].get("code")) if found else ""), "; ".join(filter(None, messages))


def _kind(code: str, message: str) -> str:
    return KINDS.get(code) or size_kind(message) or ("bad_request" if code else "")


def _seconds(moment: Json) -> float | None:
    """A time in seconds since 1970: a number, digits in a text (kluster.ai), or ISO 8601; None for anything else."""
    try:
        return float(moment)
    except (TypeError, ValueError):
        pass
    try:
        found = datetime.fromisoformat(moment)
    except (TypeError, ValueError):
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _ids(batch: Mapping[str, Json], *names: str) -> tuple[str, ...]:
    return tuple(found for name in names if (found := text(batch.get(name))))


def _batches(account: Account, sent: Sent | None = None) -> str:
    return f"{account.base}/batches" + (f"/{sent.provider_id}" if sent else "")
