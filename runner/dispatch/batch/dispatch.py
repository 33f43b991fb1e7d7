"""Trials of several models -> answers in the ledger by way of batches; what is left over goes back to the caller.

trial ──▶ in an open batch? ── yes ──▶ attached ────────────┐
              │ no                                          ▼
              └──▶ packed ──▶ drafted ──▶ sent ──▶ lifecycle of each batch, side by side ──▶ answered
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

from runner.dispatch.batch.leftovers import tidy
from runner.dispatch.batch.lifecycle import BatchLifecycle, check_account
from runner.dispatch.batch.polling import Left, Unreachable, Waiting, gives_up
from runner.dispatch.batch.queue import BatchQueue
from runner.dispatch.observer import Outcome, Wanted
from runner.dispatch.retry import AccountBreakers, Breaker
from runner.errors import ProviderError, RunnerError, first_of
from runner.providers.accounts import account_of, fingerprint
from runner.providers.batch.table import service_of
from runner.providers.codec import Codec, codec_for
from runner.records import Failure, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
    from pathlib import Path

    import aiohttp

    from runner.dispatch.observer import Keep, Observer, Stop
    from runner.ledger.batch_records import BatchRecord
    from runner.ledger.batches import BatchStore
    from runner.providers.batch.api import BatchApi
    from runner.providers.fallback import Fallback
    from runner.records import Batch, Model

__all__ = ["BatchContext", "Outcome", "Wanted", "dispatch"]

CONNECT_S = 10.0
SILENCE_S = 120.0
"""Seconds without a byte after which a transfer counts as broken off; a whole upload or download may take longer."""
CONNECTIONS = 16
"""To one provider at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchContext:
    """What dispatch, collect and cancel work with."""

    store: BatchStore
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
    news: Callable[[BatchRecord], None] = lambda _entry: None
    """Told whenever something about a batch has changed."""

    def lifecycle(self, model: Model, http: aiohttp.ClientSession, waiting: Waiting) -> BatchLifecycle:
        """For the batches of one model. FatalError where its key is not set, ConfigError where its API is unknown."""
        account = account_of(model, self.environment)
        return BatchLifecycle(
            model=model,
            api=self.api_of(model),
            account=account,
            fingerprint=fingerprint(model, account),
            http=http,
            store=self.store,
            ledger=self.ledger,
            folder=self.folder,
            settings=self.settings,
            waiting=waiting,
            clock=self.clock,
            news=self.news,
            step=self.step,
        )


async def dispatch(
    wanted: Sequence[Wanted],
    context: BatchContext,
    observer: Observer,
    stop: Stop,
    *,
    run: str = "",
    accounts: AccountBreakers | None = None,
) -> Outcome:
    """Buy what is wanted by batches, the models side by side. Answers went to the ledger; the rest is in the outcome.

    Returns when every batch has ended or, with `batch.wait=false` or once `stop` asks, leaves them running: the same
    call with the same keys goes on from there. `accounts` are shared with what goes live meanwhile. ConfigError, before
    anything is sent, where a batch that holds a wanted key belongs to another account. LedgerError passes through.
    """
    outcome = Outcome()
    await asyncio.to_thread(_tidy, context)
    open_keys = await asyncio.to_thread(context.store.open_keys)
    try:
        async with at_work(context, stop) as (http, waiting):
            queues: list[BatchQueue] = []
            stops: dict[str, Problem] = {}
            accounts = accounts or AccountBreakers()
            for each in wanted:
                try:
                    lifecycle = context.lifecycle(each.model, http, waiting)
                    codec = await _codec_of(lifecycle)
                except ProviderError as error:
                    _fail_all(each, Problem(error.kind, error.explained), observer, outcome)
                    continue
                if isinstance(codec, Codec):
                    queues.append(
                        BatchQueue(
                            wanted=each,
                            attached={key: open_keys[key] for key in each.keys if key in open_keys},
                            run_id=run,
                            codec=codec,
                            lifecycle=lifecycle,
                            observer=observer,
                            outcome=outcome,
                            breaker=Breaker(account=accounts.of(each.model)),
                            stops=stops,
                        )
                    )
                else:
                    outcome.live |= each.keys
            await _run_all(queues, context)
    except BaseExceptionGroup as errors:
        raise first_of(errors) from errors
    await asyncio.to_thread(_tidy, context, run)
    return outcome


async def _codec_of(lifecycle: BatchLifecycle) -> Codec | Fallback:
    """In a thread: a first codec may import LiteLLM, which takes seconds that others can use."""
    return await asyncio.to_thread(codec_for, lifecycle.model, lifecycle.account.api_key)


def _tidy(context: BatchContext, run: str | None = None) -> None:
    if context.folder.is_dir():
        tidy(context.folder, context.store.entries(), run)


async def _run_all(queues: Sequence[BatchQueue], context: BatchContext) -> None:
    for queue in queues:
        for batch in dict.fromkeys(queue.attached.values()):
            _check_account(context, batch, queue.lifecycle.fingerprint)
    async with asyncio.TaskGroup() as group:
        for queue in queues:
            group.create_task(queue.run())
    for queue in queues:
        await _look_again(context, queue)


def _check_account(context: BatchContext, batch: str, mine: str) -> None:
    """ConfigError where a batch is another account's; past its time it counts as lost, since keys may go for good."""
    entry = context.store.entry(batch)
    until = gives_up(entry, context.settings)
    if entry.account == mine or context.clock() <= until:
        check_account(entry, mine, until)
    elif entry.state != "lost":
        context.store.change(batch, "lost", note="it is given up: it belongs to another account, and its time is over")


def _fail_all(wanted: Wanted, problem: Problem, observer: Observer, outcome: Outcome) -> None:
    for trial in wanted.trials:
        failure = outcome.failures[trial.key] = Failure(trial.key, problem, 0, "batch")
        observer.failed(trial, failure)


@asynccontextmanager
async def at_work(context: BatchContext, stop: Stop) -> AsyncIterator[tuple[aiohttp.ClientSession, Waiting]]:
    """A session for HTTP and a way to wait; the batches taken meanwhile are let go at the end."""
    import aiohttp

    waiting = Waiting(stop)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
    connector = aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, context.store.release)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, timeout=timeout))
        await stack.enter_async_context(_beside(waiting.watch()))
        yield http, waiting


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


async def _look_again(context: BatchContext, queue: BatchQueue) -> None:
    """A batch of this run whose sending got no answer, and that went out again, may show now."""
    for entry in await asyncio.to_thread(context.store.entries, ["unsent"], queue.run_id):
        is_mine = (entry.model, entry.account) == (queue.wanted.model, queue.lifecycle.fingerprint)
        if is_mine and not queue.lifecycle.waiting.over:
            with suppress(ProviderError, Unreachable, Left):  # `runner collect` looks again
                await queue.lifecycle.look_for(entry)
