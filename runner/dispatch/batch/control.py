"""What is done with batches from any shell: how they stand, fetching what has ended, asking the rest to stop.

Requests that a batch did not answer are not sent again from here: the run that wants them does that.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runner import event_loop
from runner.dispatch.batch.dispatch import BatchContext, at_work
from runner.dispatch.batch.lifecycle import check_account
from runner.dispatch.batch.polling import Left, Unreachable, gives_up
from runner.errors import ConfigError, ProviderError, first_of
from runner.ledger.batch_records import OPEN

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import aiohttp

    from runner.dispatch.batch.lifecycle import BatchLifecycle
    from runner.dispatch.batch.polling import Waiting
    from runner.dispatch.observer import Stop
    from runner.ledger.batch_records import BatchRecord
    from runner.ledger.batches import BatchStore

BRIEF_S = 10.0
"""Most seconds for a clean-up that nobody asked for."""
LOOK_S = 60.0
"""Most seconds for which a provider that does not answer is asked again: somebody sits and waits."""
AT_ONCE = 16
"""Batches that are looked at side by side."""


@dataclass(frozen=True, slots=True)
class BatchView:
    """A batch, how its items ended so far, and what was found out about it just now."""

    entry: BatchRecord
    endings: Mapping[str, int]
    said: str = ""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """The batches of one run: those that it made, and those of other runs that it waits for."""

    run: str
    awaited: Collection[str] = ()

    def holds(self, entry: BatchRecord) -> bool:
        """Whether a batch is one of them."""
        return entry.run == self.run or entry.id in self.awaited


def status(store: BatchStore, of: RunFilter | None = None) -> list[BatchView]:
    """Every batch, or those of one run, as the store has them: no provider is asked."""
    tally = store.tally()
    return [
        BatchView(entry, tally.get(entry.id, {}), entry.note)
        for entry in store.entries()
        if of is None or of.holds(entry)
    ]


def collect(context: BatchContext, stop: Stop, of: RunFilter | None = None) -> list[BatchView]:
    """Look once at every batch that is open, and fetch what has ended; the answers are in the ledger then.

    LedgerError where they cannot be kept; what goes wrong with one batch is said of that batch.
    """
    return event_loop.run(_each(context, stop, _to_see(context, of), cancel=False))


def cancel(context: BatchContext, stop: Stop, of: RunFilter | None = None) -> list[BatchView]:
    """As `collect`, and ask what still runs to stop; what it has finished can be collected when it has."""
    return event_loop.run(_each(context, stop, _to_see(context, of), cancel=True))


def clean(context: BatchContext, stop: Stop) -> list[BatchView]:
    """Clean up after batches that a crash left collected but not closed. Each is tried once, and briefly."""
    entries = context.store.entries(["collected"])
    return event_loop.run(_each(context, stop, list(map(_briefly, entries)), cancel=False)) if entries else []


def _to_see(context: BatchContext, of: RunFilter | None) -> list[BatchRecord]:
    """What is open or not cleaned up, and what counts as never sent as long as it may yet show."""
    entries = context.store.entries([*OPEN, "collected", "unsent"])
    mine = [entry for entry in entries if of is None or of.holds(entry)]
    return [
        entry
        for entry in mine
        if entry.state != "unsent" or context.clock() < gives_up(entry, entry.settings or context.settings)
    ]


def _briefly(entry: BatchRecord) -> BatchRecord:
    limits = replace(entry.model.limits, attempts=1, total_s=BRIEF_S)
    return replace(entry, model=replace(entry.model, limits=limits))


async def _each(context: BatchContext, stop: Stop, entries: Sequence[BatchRecord], *, cancel: bool) -> list[BatchView]:
    places = asyncio.Semaphore(AT_ONCE)
    said: dict[str, str] = {}

    async def one(entry: BatchRecord, http: aiohttp.ClientSession, waiting: Waiting) -> None:
        async with places:
            said[entry.id] = await _handled(context, entry, http, waiting, cancel=cancel)

    try:
        async with at_work(context, stop) as (http, waiting), asyncio.TaskGroup() as group:
            for entry in entries:
                group.create_task(one(entry, http, waiting))
    except BaseExceptionGroup as errors:
        raise first_of(errors) from errors
    tally = await asyncio.to_thread(context.store.tally)
    return [BatchView(context.store.entry(entry.id), tally.get(entry.id, {}), said[entry.id]) for entry in entries]


async def _handled(
    context: BatchContext, entry: BatchRecord, http: aiohttp.ClientSession, waiting: Waiting, *, cancel: bool
) -> str:
    """What came of looking at one batch, in words."""
    # As its run would: what is to be kept at the provider is kept, and how long it is waited for holds.
    context = replace(context, settings=replace(entry.settings or context.settings, wait=False))
    limits = replace(entry.model.limits, total_s=min(entry.model.limits.total_s, LOOK_S))
    try:
        lifecycle = context.lifecycle(replace(entry.model, limits=limits), http, waiting)
        check_account(entry, lifecycle.fingerprint, gives_up(entry, context.settings))
        if not await asyncio.to_thread(context.store.take, entry.id):
            return "another process is at work on it"
        return await _looked_at(lifecycle, await asyncio.to_thread(context.store.entry, entry.id), cancel=cancel)
    except Unreachable as error:
        return error.problem.message
    except (ConfigError, ProviderError) as error:
        return f"{error}" + (f" ({error.advice})" if error.advice else "")


async def _looked_at(lifecycle: BatchLifecycle, entry: BatchRecord, *, cancel: bool) -> str:
    try:
        look = lifecycle.look_for(entry) if entry.state == "unsent" else lifecycle.advance(entry, wait=False)
        entry = await look
    except Left as left:
        if lifecycle.waiting.over:
            return "not looked at: interrupted"
        entry = await asyncio.to_thread(lifecycle.store.entry, entry.id)
        if not cancel or entry.sent is None:
            return str(left) or "still running"
        await lifecycle.cancel(entry)
        return "asked to stop"
    return entry.note or entry.state
