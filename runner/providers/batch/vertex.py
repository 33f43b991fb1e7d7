"""Batch prediction of Vertex AI: requests in Google Cloud Storage, results there too.

Formats: https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-from-cloud-storage and
https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.batchPredictionJobs. A result line repeats
its request, so that our id travels in the request's labels.

The account's key is an access token (`gcloud auth print-access-token`), good for an hour: a batch outlives it, and is
collected with a new one.
"""

from __future__ import annotations

import json
import re
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING

from runner.errors import FatalError, ProviderError
from runner.providers.batch.api import BatchLimits, Item, Sent, Standing
from runner.providers.batch.gcs import Storage, split, storage_beside
from runner.providers.batch.http import ask, bearer, delete, size_kind, sized, stop, text_at
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
    whole,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    import aiohttp

    from runner.providers.batch.api import Account, Draft
    from runner.records import Json, Model

ITEMS = "items.jsonl"
LABEL = "item"
"""The label that holds our id (https://cloud.google.com/vertex-ai/docs/general/labels)."""
PAGE = 100
RENEWAL = "an access token lasts an hour: set a new one, as `gcloud auth print-access-token` prints it"


class VertexBatch:
    """See the module. `account.base` ends in /projects/PROJECT/locations/LOCATION."""

    limits = BatchLimits(items=200_000, n_bytes=10**9, one_model=True, windows_s=(86_400,))

    def line(self, item_id: str, body: bytes, model: Model) -> bytes:  # noqa: ARG002  the protocol's
        """`item_id` must be what a label may be: at most 63 of [a-z0-9_-]."""
        request = json.loads(body)
        return dumped({"request": {**request, "labels": {**request.get("labels", {}), LABEL: item_id}}})

    async def upload(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> tuple[str, ...]:
        """Into the bucket, under a name made of our id: a second upload replaces the first."""
        source = _source(draft)
        with _explained(), sized():
            await _storage(account).put(http, source, draft.items)
        return (source,)

    async def uploaded(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> tuple[str, ...]:
        """There is one place where it can be."""
        source = _source(draft)
        with _explained():
            return (source,) if source in await _listed(_storage(account), http, _folder(source)) else ()

    async def discard(self, http: aiohttp.ClientSession, account: Account, files: Sequence[str]) -> None:
        """One call for each."""
        with _explained():
            for name in files:
                await _storage(account).delete(http, name)

    async def create(self, http: aiohttp.ClientSession, account: Account, draft: Draft, files: tuple[str, ...]) -> Sent:
        """A job under our id."""
        (source,) = files
        job = {
            "displayName": draft.id,
            "model": f"publishers/google/models/{draft.model.id}",
            "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": [source]}},
            "outputConfig": {
                "predictionsFormat": "jsonl",
                "gcsDestination": {"outputUriPrefix": f"{_folder(source)}/results"},
            },
        }
        with _explained(), sized():
            made = await ask(http, "POST", _jobs(account), json=job, headers=bearer(account))
        return Sent(_last(text_at(made, "name")), files)

    async def find(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> Sent | None:
        """By display name."""
        query = {"filter": f'display_name="{draft.id}"', "pageSize": str(PAGE)}
        while True:
            with _explained():
                page = await ask(http, "GET", _jobs(account), params=query, headers=bearer(account))
            for job in objects(page.get("batchPredictionJobs")):
                if job.get("displayName") == draft.id:
                    return Sent(_last(text_at(job, "name")), (_source(draft),))
            if not page.get("nextPageToken"):
                return None
            query["pageToken"] = text(page["nextPageToken"])

    async def standing(self, http: aiohttp.ClientSession, account: Account, sent: Sent) -> Standing:
        """State and counts, and the folder of results: a job that was stopped may name none, but has written there."""
        with _explained():
            job = await ask(http, "GET", _jobs(account, sent.provider_id), headers=bearer(account))
        word, stats = text(job.get("state")), job.get("completionStats")
        state, wrong = google_state(word), whole(inner(stats, "failedCount"))
        done, unrun = whole(inner(stats, "successfulCount")) + wrong, whole(inner(stats, "incompleteCount"))
        if state == "ended" and unrun:
            state = "expired"  # PARTIALLY_SUCCEEDED: no line is written for what was not run
        told = inner(job, "outputInfo", "gcsOutputDirectory")
        asked = inner(job, "outputConfig", "gcsDestination", "outputUriPrefix")
        folder = text(told) or text(asked)
        results = (folder,) if folder and state != "running" else ()
        message = text(inner(job, "error", "message")) or None
        return Standing(state, word, done, done + unrun, results, message, size_kind(message), failed=wrong)

    async def fetch(
        self,
        http: aiohttp.ClientSession,
        account: Account,
        sent: Sent,  # noqa: ARG002  the protocol's
        standing: Standing,
    ) -> AsyncIterator[Item]:
        """Every JSONL file in the folder: predictions may come in several."""
        storage = _storage(account)
        for folder in standing.results:
            with _explained():
                for name in await _listed(storage, http, folder):
                    if name.endswith(".jsonl"):
                        async with aclosing(storage.lines(http, name)) as stream:
                            async for line in stream:
                                yield _item(line)

    async def cancel(self, http: aiohttp.ClientSession, account: Account, sent: Sent) -> None:
        """Google does its best to stop it; what was done stays."""
        url = _jobs(account, f"{sent.provider_id}:cancel")
        with _explained():
            await stop(http, url, bearer(account), lambda: self.standing(http, account, sent))

    async def clean(
        self,
        http: aiohttp.ClientSession,
        account: Account,
        sent: Sent,
        standing: Standing,  # noqa: ARG002  the protocol's
    ) -> Sequence[str]:
        """All that lies in the batch's own folder, then the job."""
        storage = _storage(account)
        with _explained():
            names = [name for source in sent.files for name in await _listed(storage, http, _folder(source))]
            gone = [name for name in names if await storage.delete(http, name)]
            if await delete(http, _jobs(account, sent.provider_id), bearer(account)):
                gone.append(sent.provider_id)
        return gone


def _storage(account: Account) -> Storage:
    return Storage(storage_beside(account.base), bearer(account), account.max_reply_bytes)


def _jobs(account: Account, rest: str = "") -> str:
    return f"{account.base}/batchPredictionJobs{'/' if rest else ''}{rest}"


def _last(name: str) -> str:
    """A job's number. Google names the project in its own way, which need not be ours."""
    return name.rpartition("/")[2]


def _source(draft: Draft) -> str:
    """Where a batch's requests go: a folder that holds nothing but this batch."""
    bucket = (draft.model.batch_bucket or "").removeprefix("gs://").strip("/")
    if not bucket:
        message = f"{draft.model.name}: batches of Vertex AI need a bucket; set model.{draft.model.name}.batch_bucket"
        raise FatalError("bad_request", message)
    return f"gs://{bucket}/{draft.id}/{ITEMS}"


def _folder(source: str) -> str:
    folder, _, name = source.rpartition("/")
    # Everything in this folder is deleted in the end, so that it must be one of ours.
    if name != ITEMS or not split(folder)[1]:
        raise FatalError("bad_request", f"{source} is not where a batch's requests are put")
    return folder


async def _listed(storage: Storage, http: aiohttp.ClientSession, folder: str) -> list[str]:
    async with aclosing(storage.names(http, folder)) as names:
        return [name async for name in names]


@contextmanager
def _explained() -> Iterator[None]:
    """A token that has run out looks like a wrong one."""
    try:
        yield
    except ProviderError as error:
        if error.status == 401:
            raise FatalError("key_refused", f"{error} ({RENEWAL})", status=401) from error
        raise


@one_line
def _item(line: bytes) -> Item:
    found = parse(line)
    item_id = text(inner(found, "request", "labels", LABEL))
    if status := inner(found, "status"):
        return failed(item_id, line, _error(status))
    return succeeded(item_id, inner(found, "response"), line, "gemini")


def _error(status: Json) -> ProviderError:
    """A status is a sentence that may end in the error's JSON, or (in other versions) a google.rpc.Status."""
    if not isinstance(status, str):
        return google_error(status)
    brace = re.search(r"\{.*\}", status, re.DOTALL)
    error = parse(brace[0].encode()) if brace else None
    if error is not None:
        found = inner(error, "error") or error
        return google_error({"code": inner(found, "code"), "message": text(inner(found, "message")) or status})
    refused = re.search(r"bad request|invalid.argument|\b400\b", status, re.IGNORECASE)
    return google_error({"code": 400 if refused else 500, "message": status})
