"""Live dispatch: trials -> answers in the ledger, or failures.

A model has `limits.concurrency` workers, so that one slow model never holds another. A worker encodes, passes the
limiter of its account (see limiter), sends, retries by the one policy of retry, and hands the answer to the ledger
before anything else happens to it.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from runner.dispatch.limiter import Closed, Limiter
from runner.dispatch.retry import Breaker, attempt
from runner.dispatch.transport import Wire, sender
from runner.errors import FatalError, ProviderError, TransientError, first_of
from runner.plan.trials import endpoint_of
from runner.providers.codec import codec_for
from runner.providers.reply import without_key
from runner.records import Answer, Failure, Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    import aiohttp

    from runner.dispatch.limiter import Permit
    from runner.dispatch.rate_limits import Amount
    from runner.dispatch.transport import Send
    from runner.providers.codec import Codec, Fallback
    from runner.records import Adapted, Model, Trial

NOT_SENT = "not_sent"
"""Kind of a trial that was never sent because the run was interrupted."""
STOPPED = "stopped"
"""Kind of a trial that was never sent because its model refuses everything."""
STOPPED_LOOK_S = 1.0
"""Seconds between two looks of who waits for another attempt at whether its model was stopped."""
WATCH_S = 0.1
"""Seconds between two looks at whether the run is to stop."""


class Observer(Protocol):
    """Who is told what happens. Every call comes from the dispatching thread and must return at once."""

    def planned(self, model: Model, count: int) -> None:
        """So many requests are about to be sent to a model."""

    def sent(self, trial: Trial) -> None:
        """An attempt leaves."""

    def answered(self, trial: Trial, answer: Answer) -> None:
        """A reply arrived and is on its way to the ledger."""

    def failed(self, trial: Trial, failure: Failure) -> None:
        """A trial ended without a reply."""

    def waiting(self, model: Model, kind: str, wait_s: float, reason: str = "") -> None:
        """A transient error, in words: the next attempt follows in `wait_s` seconds."""


class Keep(Protocol):
    """Where answers go; runner.ledger.Ledger.put is one."""

    def __call__(self, answer: Answer, /) -> object:
        """Take the answer; raises LedgerError where it cannot be kept."""


@dataclass(slots=True)
class Stop:
    """Asked of a running dispatch: send nothing more, and let what is in flight arrive."""

    asked: bool = False
    drop: Callable[[], object] | None = None
    """Give up what is in flight too; set while a dispatch is running."""


def api_key_of(model: Model, environment: Mapping[str, str] = os.environ) -> str | None:
    """The model's API key from the environment variable that its file names; None where it needs none.

    FatalError (key_refused) where the variable is not set: known before a request is spent on it.
    """
    if model.key_env is None:
        return None
    key = environment.get(model.key_env)
    if not key:
        raise FatalError("key_refused", f"{model.name}: the environment variable {model.key_env} is not set")
    return key


async def dispatch(
    model_queues: Sequence[tuple[Model, Iterator[Trial]]], keep: Keep, observer: Observer, stop: Stop
) -> dict[str, Failure]:
    """Send every model's trials, models side by side; returns the failures by key. Answers went to `keep`.

    LedgerError passes through at once: an answer that cannot be kept must not be bought.
    """
    import aiohttp

    failures: dict[str, Failure] = {}
    limiters = _limiters([model for model, _ in model_queues])
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=300)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        ended = asyncio.Event()
        watch = asyncio.create_task(_watch(stop, ended, limiters))
        try:
            async with asyncio.TaskGroup() as group:
                for (model, queue), limiter in zip(model_queues, limiters, strict=True):
                    model_queue = _ModelQueue(
                        model=model,
                        queue=queue,
                        session=session,
                        limiter=limiter,
                        keep=keep,
                        observer=observer,
                        stop=stop,
                        ended=ended,
                        failures=failures,
                    )
                    group.create_task(model_queue.run())
        except BaseExceptionGroup as errors:
            raise first_of(errors) from errors
        finally:
            watch.cancel()
    return failures


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop for dispatch: uvloop's where it is installed, which takes a fifth off the work of a request."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _limiters(models: Sequence[Model]) -> list[Limiter]:
    """The limiter of each model: one for all that ask one provider at one address with one key."""
    accounts = [(model.provider, model.api_base, os.environ.get(model.key_env or "")) for model in models]
    sharing: dict[tuple[str, str | None, str | None], list[Model]] = {}
    for account, model in zip(accounts, models, strict=True):
        sharing.setdefault(account, []).append(model)
    shared = {account: _gate(its) for account, its in sharing.items()}
    return [shared[account] for account in accounts]


def _gate(models: Sequence[Model]) -> Limiter:
    """One account's. A sweep over a model's settings has it several times, and yet it is one model."""
    at_once = {model.name: model.limits.concurrency for model in models}
    return Limiter.of((model.limits for model in models), ceiling=sum(at_once.values()))


async def _watch(stop: Stop, ended: asyncio.Event, limiters: Sequence[Limiter]) -> None:
    """Once the run is to stop: close every limiter, and wake who waits for another attempt."""
    while not stop.asked:  # noqa: ASYNC110  signal handlers set it, which can set no Event
        await asyncio.sleep(WATCH_S)
    ended.set()
    for limiter in limiters:
        limiter.close()


@dataclass(slots=True, kw_only=True)
class _ModelQueue:
    """One model's trials, its workers and its breaker."""

    model: Model
    queue: Iterator[Trial]
    session: aiohttp.ClientSession
    limiter: Limiter
    keep: Keep
    observer: Observer
    stop: Stop
    ended: asyncio.Event
    failures: dict[str, Failure]
    breaker: Breaker = field(init=False)
    _last: Wire | None = None

    def __post_init__(self) -> None:
        self.breaker = Breaker(account=self.limiter.breaker)

    async def run(self) -> None:
        try:
            # In a thread: a first codec may import LiteLLM, which takes seconds that other lanes can use.
            codec = await asyncio.to_thread(codec_for, self.model, api_key_of(self.model))
        except ProviderError as error:
            self._abandon(Problem(error.kind, error.explained))
            return
        send = sender(codec, self.session, self.model)
        async with asyncio.TaskGroup() as group:
            for _ in range(self.model.limits.concurrency):
                group.create_task(self._work(codec, send))
        if self.breaker.open is not None:
            self._abandon(Problem(STOPPED, self.breaker.why))
        elif self.stop.asked:
            self._abandon(Problem(NOT_SENT, "the run was interrupted before this request was sent"))

    def _abandon(self, problem: Problem) -> None:
        for trial in self.queue:
            self._fail(trial, problem, 0)

    def _fail(self, trial: Trial, problem: Problem, attempts: int, error: ProviderError | None = None) -> None:
        sample = error.sample if error is not None else None
        failure = Failure(
            trial.key,
            replace(problem, message=self._redacted(problem.message)),
            attempts,
            reply=None if sample is None else self._redacted(sample),
            time=_now() if error is not None and error.scope == "item" else None,
        )
        self.failures[trial.key] = failure
        self.observer.failed(trial, failure)

    def _redacted(self, said: str) -> str:
        key_env = self.model.key_env
        return without_key(said, os.environ.get(key_env or ""), key_env)

    async def _work(self, codec: Codec | Fallback, send: Send) -> None:
        while not self.stop.asked and self.breaker.open is None and (trial := next(self.queue, None)) is not None:
            await self._ask(trial, codec, send)

    async def _ask(self, trial: Trial, codec: Codec | Fallback, send: Send) -> None:
        attempts, idle_s = 0, 0.0
        last: TransientError | None = None

        async def once() -> tuple[bytes, float]:
            nonlocal attempts, idle_s, last
            arrived = time.monotonic()
            gone = await self._through(wire.amount, last)
            attempts += 1
            self.observer.sent(trial)
            started = time.monotonic()
            idle_s += started - arrived
            try:
                raw = await self._exchange(gone, send(wire))
            except TransientError as error:
                last = error
                raise
            return raw, time.monotonic() - started

        try:
            wire = self._wire(trial.adapted, codec)
            # The time at the limiter is no fault of the request's: only what is spent beyond it counts.
            clock = lambda: time.monotonic() - idle_s  # noqa: E731  one expression, used once
            tell = lambda kind, _attempt, wait_s: self._tell(kind, wait_s, last)  # noqa: E731  as above
            raw, latency_s = await attempt(once, self.model.limits, tell, sleep=self._pause, clock=clock)
        except ProviderError as error:
            if isinstance(error, FatalError):
                self._record(error)
            self._fail(trial, Problem(error.kind, error.explained), attempts, error)
            return
        self.breaker.record_success()
        answer = Answer(
            key=trial.key,
            raw=raw,
            route="live",
            model_id=self.model.id,
            endpoint=endpoint_of(self.model),
            attempts=attempts,
            latency_s=latency_s,
            time=_now(),
        )
        self.keep(answer)
        self.observer.answered(trial, answer)

    def _wire(self, adapted: Adapted, codec: Codec | Fallback) -> Wire:
        """FatalError (bad_request) where the provider's format cannot hold the request."""
        if self._last is None or self._last.adapted is not adapted:
            self._last = Wire.of(adapted, codec)
        return self._last

    def _record(self, error: FatalError) -> None:
        """Count what was refused; who waits for a model that takes nothing any longer is sent away."""
        self.breaker.record_fatal(error.kind, error.explained, scope=error.scope)
        if self.limiter.breaker.open is not None:
            self.limiter.turn_everyone_away()
        elif self.breaker.open is not None:
            self.limiter.turn_away(self.model.name)

    async def _through(self, amount: Amount, last: TransientError | None) -> Permit:
        """Through the account's limiter. FatalError where the run was interrupted or the model stopped meanwhile."""
        while (refusal := self._refusal(last)) is None:
            try:
                gone = await self.limiter.enter(self.model.name, amount)
            except Closed as error:
                if self.limiter.closed:
                    raise _interrupted(last) from error
                continue  # it was another model of the same name that was stopped
            if (refusal := self._refusal(last)) is None:
                return gone
            self.limiter.leave(gone)
        raise refusal

    def _refusal(self, last: TransientError | None) -> FatalError | None:
        """Why nothing more is sent; None where it may be. The limiter may not be closed yet."""
        if self.stop.asked:
            return _interrupted(last)
        return FatalError(STOPPED, self.breaker.why) if self.breaker.open is not None else None

    async def _exchange(self, gone: Permit, exchange: Awaitable[tuple[bytes, Mapping[str, str]]]) -> bytes:
        """One attempt; the gate is told how it went."""
        try:
            raw, headers = await exchange
        except TransientError as error:
            self.limiter.failed(gone, error)
            raise
        except BaseException:
            self.limiter.leave(gone)
            raise
        self.limiter.answered(gone, headers)
        return raw

    def _tell(self, kind: str, wait_s: float, error: TransientError | None) -> None:
        reason = "" if error is None else self._redacted(str(error))
        self.observer.waiting(self.model, kind, wait_s, reason)

    async def _pause(self, seconds: float) -> None:
        """Sleep, or until the run is to stop, or soon after the model was stopped."""
        until = time.monotonic() + seconds
        while self.breaker.open is None and not self.ended.is_set() and (left_s := until - time.monotonic()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), min(left_s, STOPPED_LOOK_S))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _interrupted(last: TransientError | None) -> FatalError:
    """What becomes of a request that may not go any longer; `last` is how its last attempt failed, if it had one."""
    if last is None:
        return FatalError(NOT_SENT, "the run was interrupted before this request was sent")
    was = f"the last attempt: {last.kind}: {last}"
    return FatalError(NOT_SENT, f"the run was interrupted before the next attempt; {was}")
