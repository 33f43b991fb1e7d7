"""Lanes of trials -> answers in the ledger by way of batches; what is left over goes back to the caller.

trial ──▶ in an open batch? ── yes ──▶ attached ────────────┐
              │ no                                          ▼
              └──▶ packed ──▶ drafted ──▶ sent ──▶ course of each batch, side by side ──▶ answered
                     ▲                                      │
                     └── again, smaller, later ─────────────┴──▶ failed | live
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.dispatch.batch.lifecycle import Course, check_account
from runner.dispatch.batch.polling import gives_up
from runner.dispatch.batch.queue import Lane
from runner.dispatch.batch.waiting import Left, Unreachable, Waiting
from runner.dispatch.observer import Outcome, Wanted
from runner.errors import ProviderError, RunnerError, first_of
from runner.ledger.batch_records import LEASE_S
from runner.providers.accounts import account_of, fingerprint
from runner.providers.batch.table import service_of
from runner.providers.codec import Codec, codec_for
from runner.records import Failure, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
    from pathlib import Path

    import aiohttp

    from runner.dispatch.batch.fetch import Keep
    from runner.dispatch.batch.waiting import Asked
    from runner.dispatch.observer import Observer
    from runner.ledger.batch_records import Entry
    from runner.ledger.batches import Book
    from runner.providers.batch.api import BatchApi
    from runner.records import Batch, Model

__all__ = ["Outcome", "Shop", "Wanted", "dispatch"]

CONNECT_S = 10.0
SILENCE_S = 120.0
"""Seconds without a byte after which a transfer counts as broken off; a whole upload or download may take longer."""
CONNECTIONS = 16
"""To one provider at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """What dispatch, collect and cancel work with."""

    book: Book
    ledger: Keep
    folder: Path
    """Where each batch's lines are kept: outputs/batches."""
    settings: Batch
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    """Where API keys are."""
    api_of: Callable[[Model], BatchApi] = lambda model: service_of(model).make()
    clock: Callable[[], float] = time.time
    """Seconds since 1970."""
    step: Callable[[str], None] = lambda _name: None
    """Told of each step of each batch as it is taken."""
    news: Callable[[Entry], None] = lambda _entry: None
    """Told whenever something about a batch has changed."""

    def course(self, model: Model, http: aiohttp.ClientSession, waiting: Waiting) -> Course:
        """For the batches of one model. FatalError where its key is not set, ConfigError where its API is unknown."""
        account = account_of(model, self.environment)
        return Course(
            model=model,
            api=self.api_of(model),
            account=account,
            fingerprint=fingerprint(model, account),
            http=http,
            book=self.book,
            ledger=self.ledger,
            folder=self.folder,
            settings=self.settings,
            waiting=waiting,
            clock=self.clock,
            news=self.news,
            step=self.step,
        )


async def dispatch(wanted: Sequence[Wanted], shop: Shop, observer: Observer, stop: Asked, *, run: str = "") -> Outcome:
    """Buy what is wanted by batches, lanes side by side. Answers went to the ledger; the rest is in the outcome.

    Returns when every batch has ended or, with `batch.wait=false` or once `stop` asks, leaves them running: the same
    call with the same keys goes on from there. ConfigError, before anything is sent, where a batch that holds a wanted
    key belongs to another account. LedgerError passes through at once.
    """
    outcome = Outcome()
    open_keys = await asyncio.to_thread(shop.book.open_keys)
    try:
        async with at_work(shop, stop) as (http, waiting):
            lanes: list[Lane] = []
            for each in wanted:
                attached = {key: open_keys[key] for key in each.keys if key in open_keys}
                try:
                    course = shop.course(each.model, http, waiting)
                    # In a thread: a first codec may import LiteLLM, which takes seconds that others can use.
                    codec = await asyncio.to_thread(codec_for, each.model, course.account.api_key)
                except ProviderError as error:
                    _fail_all(each, Problem(error.kind, str(error)), observer, outcome)
                    continue
                if isinstance(codec, Codec):
                    lanes.append(
                        Lane(
                            wanted=each,
                            attached=attached,
                            run_id=run,
                            codec=codec,
                            course=course,
                            observer=observer,
                            outcome=outcome,
                        )
                    )
                else:
                    outcome.live |= each.keys
            await _run_all(lanes, shop)
    except BaseExceptionGroup as errors:
        raise first_of(errors) from errors
    return outcome


async def _run_all(lanes: Sequence[Lane], shop: Shop) -> None:
    for lane in lanes:
        for batch in dict.fromkeys(lane.attached.values()):
            _check_account(shop, batch, lane.course.fingerprint)
    async with asyncio.TaskGroup() as group:
        for lane in lanes:
            group.create_task(lane.run())
    for lane in lanes:
        await _look_again(shop, lane)


def _check_account(shop: Shop, batch: str, mine: str) -> None:
    """ConfigError where a batch is another account's; past its time it counts as lost, since keys may go for good."""
    entry = shop.book.entry(batch)
    until = gives_up(entry, shop.settings)
    if entry.account == mine or shop.clock() <= until:
        check_account(entry, mine, until)
    elif entry.state != "lost":
        shop.book.change(batch, "lost", note="it is given up: it belongs to another account, and its time is over")


def _fail_all(wanted: Wanted, problem: Problem, observer: Observer, outcome: Outcome) -> None:
    for trial in wanted.trials:
        failure = outcome.failures[trial.key] = Failure(trial.key, problem, 0)
        observer.failed(trial, failure)


@asynccontextmanager
async def at_work(shop: Shop, stop: Asked) -> AsyncIterator[tuple[aiohttp.ClientSession, Waiting]]:
    """A session for HTTP and a way to wait, while our batches are kept from others."""
    import aiohttp

    waiting = Waiting(stop)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
    connector = aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, shop.book.release)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, timeout=timeout))
        await stack.enter_async_context(_beside(_renew(shop.book)))
        await stack.enter_async_context(_beside(waiting.watch()))
        yield http, waiting


async def _renew(book: Book) -> None:
    while True:
        await asyncio.sleep(LEASE_S / 3)
        await asyncio.to_thread(book.renew)


@asynccontextmanager
async def _beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        # What ended it early is no reason to lose what was done meanwhile: batches are safe without it.
        with suppress(asyncio.CancelledError, RunnerError):
            await task


async def _look_again(shop: Shop, lane: Lane) -> None:
    """A batch of this run whose sending got no answer, and that went out again, may show now."""
    for entry in await asyncio.to_thread(shop.book.entries, ["unsent"], lane.run_id):
        is_mine = (entry.model, entry.account) == (lane.wanted.model, lane.course.fingerprint)
        if is_mine and not lane.course.waiting.over:
            with suppress(ProviderError, Unreachable, Left):  # `runner collect` looks again
                await lane.course.look_for(entry)
