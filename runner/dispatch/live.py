"""Live dispatch: trials -> answers in the ledger, or failures.

A model has `limits.concurrency` workers, so that one slow model never holds another. A worker encodes, passes the
limiter of its account (see limiter), sends, retries by the one policy of retry, and hands the answer to the ledger
before anything else happens to it. A request holds its place until its answer is durable: a crash, or a ledger that
takes nothing, costs no more than what is in flight. One that waits for its own Retry-After steps aside: the next trial
takes its place meanwhile, and it has the first one that comes free after its wait.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runner.dispatch.limiter import Closed, Limiter
from runner.dispatch.observer import NOT_SENT, STOPPED, repeats_key
from runner.dispatch.resources import explained
from runner.dispatch.retry import AccountBreakers, Breaker, attempt
from runner.dispatch.transport import Wire, new_session, sender
from runner.errors import FatalError, LedgerError, ProviderError, TransientError, first_of
from runner.plan.trials import endpoint_of
from runner.providers.accounts import api_key_of, known_key, shared_account
from runner.providers.codec import codec_for
from runner.records import Answer, Failure, Problem
from runner.redaction import raw_without_key, without_key

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence

    import aiohttp

    from runner.dispatch.limiter import Permit
    from runner.dispatch.observer import Keep, Observer, Stop
    from runner.dispatch.rate_limits import Amount
    from runner.dispatch.transport import Send
    from runner.providers.codec import Codec, Fallback
    from runner.records import Adapted, Model, Trial

HELD_UP_S = 2.0
"""Seconds without a commit after which that is said."""
HELD_UP = (
    "answers wait to be stored, and nothing more is sent meanwhile: another program has locked the ledger, or its \
disk or server does not answer"
)
MOST_ASIDE = 32
"""For each place, so many requests at most wait for their Retry-After without one: they are held in memory."""
STOPPED_LOOK_S = 1.0
"""Seconds between two looks of who waits for another attempt at whether its model was stopped."""
WATCH_S = 0.1
"""Seconds between two looks at whether the run is to stop."""


async def dispatch(
    model_queues: Sequence[tuple[Model, Iterator[Trial]]],
    ledger: Keep,
    observer: Observer,
    stop: Stop,
    accounts: AccountBreakers | None = None,
) -> dict[str, Failure]:
    """Send every model's trials, models side by side; returns the failures by key. Answers went to the ledger.

    `accounts` are shared with what goes by batch meanwhile. LedgerError passes through at once: an answer that cannot
    be kept must not be bought. Where it is kept beside the ledger, what is in flight may arrive before.
    """
    failures: dict[str, Failure] = {}
    faults: list[Exception] = []
    keeping = _Keeping(ledger)
    limiters = _limiters([model for model, _ in model_queues], accounts or AccountBreakers())
    async with new_session() as session:
        ended = asyncio.Event()
        watch = asyncio.create_task(_watch(lambda: stop.asked or bool(faults), ended, limiters, keeping, observer))
        try:
            async with _garbage_left(), asyncio.TaskGroup() as group:
                for (model, queue), limiter in zip(model_queues, limiters, strict=True):
                    model_queue = _ModelQueue(
                        model=model,
                        queue=queue,
                        session=session,
                        limiter=limiter,
                        keeping=keeping,
                        observer=observer,
                        stop=stop,
                        ended=ended,
                        failures=failures,
                        faults=faults,
                    )
                    group.create_task(model_queue.run())
        except BaseExceptionGroup as errors:
            raise first_of(errors) from errors
        finally:
            watch.cancel()
            keeping.store()
    if faults:
        raise explained(faults[0])
    return failures


@asynccontextmanager
async def _garbage_left() -> AsyncIterator[None]:
    """Garbage is looked for a tenth as often: a wave of replies is young objects by the thousand, and none of it."""
    before = gc.get_threshold()
    gc.set_threshold(before[0] * 10, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop for dispatch: uvloop's where it is installed, which takes a fifth off the work of a request."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _limiters(models: Sequence[Model], accounts: AccountBreakers) -> list[Limiter]:
    """The limiter of each model: one for all that ask one provider at one address with one key."""
    sharing: dict[tuple[str, str | None, str], list[Model]] = {}
    for model in models:
        sharing.setdefault(shared_account(model), []).append(model)
    shared = {account: _gate(its, accounts.of(its[0])) for account, its in sharing.items()}
    return [shared[shared_account(model)] for model in models]


def _gate(models: Sequence[Model], breaker: Breaker) -> Limiter:
    """One account's. A sweep over a model's settings has it several times, and yet it is one model."""
    at_once = {model.name: model.limits.concurrency for model in models}
    return Limiter.of((model.limits for model in models), ceiling=sum(at_once.values()), breaker=breaker)


async def _watch(
    is_over: Callable[[], bool],
    ended: asyncio.Event,
    limiters: Sequence[Limiter],
    keeping: _Keeping,
    observer: Observer,
) -> None:
    """Say when the ledger takes nothing, and send away who waits for an account that its batches found stopped.

    Once nothing more is to be sent: close every limiter, and wake who waits.
    """
    said = False
    while not is_over():  # signal handlers have a part in it, which can set no Event
        await asyncio.sleep(WATCH_S)
        if said is not (said := keeping.waits_s() > HELD_UP_S):
            observer.notice(HELD_UP if said else "the ledger takes answers again")
        for limiter in limiters:
            if limiter.breaker.open is not None:
                limiter.turn_everyone_away()
    ended.set()
    for limiter in limiters:
        limiter.close()


class _Keeping:
    """Answers on their way to the ledger: what arrives in one round of the event loop is stored together."""

    def __init__(self, ledger: Keep) -> None:
        self._ledger = ledger
        self._arrived: list[Answer] = []
        self._stored: asyncio.Future[None] | None = None
        """Of what has arrived in this round."""
        self._under_way: deque[tuple[concurrent.futures.Future[None], float]] = deque()
        """Commits that are waited for, and since when."""

    def put(self, answer: Answer) -> asyncio.Future[None]:
        """Take an answer; completes when it is durable. Shared, so nobody cancels it but to end the dispatch."""
        if self._stored is None:
            loop = asyncio.get_running_loop()
            self._stored = loop.create_future()
            loop.call_soon(self.store)
        self._arrived.append(answer)
        return self._stored

    def store(self) -> None:
        """Hand over what has arrived: at the end of a round, and of the dispatch."""
        answers, stored = self._arrived, self._stored
        if stored is None:
            return
        self._arrived, self._stored = [], None
        try:
            commit = self._ledger.store(answers)
        except Exception as error:  # noqa: BLE001  whoever waits raises it
            _complete(stored, error)
            return
        if commit.done():
            _complete(stored, commit.exception())
            return
        self._under_way.append((commit, time.monotonic()))
        commit.add_done_callback(lambda done: _wake(stored, done.exception()))

    def waits_s(self) -> float:
        """For how long the oldest answer that is not durable has been waited for."""
        while self._under_way and self._under_way[0][0].done():
            self._under_way.popleft()
        return time.monotonic() - self._under_way[0][1] if self._under_way else 0.0


def _wake(stored: asyncio.Future[None], error: BaseException | None) -> None:
    """From another thread: who waits for this, if the loop still runs."""
    with suppress(RuntimeError):  # it is closed
        stored.get_loop().call_soon_threadsafe(_complete, stored, error)


def _complete(stored: asyncio.Future[None], error: BaseException | None) -> None:
    if stored.done():  # cancelled: the dispatch is at its end
        return
    if error is None:
        stored.set_result(None)
    else:
        stored.set_exception(error)


@dataclass(slots=True, kw_only=True)
class _ModelQueue:
    """One model's trials, its workers and its breaker."""

    model: Model
    queue: Iterator[Trial]
    session: aiohttp.ClientSession
    limiter: Limiter
    keeping: _Keeping
    observer: Observer
    stop: Stop
    ended: asyncio.Event
    failures: dict[str, Failure]
    faults: list[Exception]
    """What no request is to blame for, such as the end of memory or files: nothing more is sent then."""
    breaker: Breaker = field(init=False)
    _start: Callable[[], object] = field(init=False)
    """Starts one more worker, which has a place."""
    _free: int = 0
    """Places that nobody holds."""
    _aside: int = 0
    """Who waits for its Retry-After, without a place."""
    _back: deque[asyncio.Future[None]] = field(default_factory=deque)
    """Who has waited, and wants a place again."""
    _last: Wire | None = None
    _repeated: bool = False

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
            self._start = lambda: group.create_task(self._work(codec, send))
            for _ in range(self.model.limits.concurrency):
                self._start()
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
        return without_key(said, known_key(key_env), key_env)

    def _kept(self, raw: bytes) -> bytes:
        """A reply as it is kept: should it repeat the key, then without that, which is said once."""
        key_env = self.model.key_env
        kept = raw_without_key(raw, known_key(key_env), key_env)
        if kept is not raw and not self._repeated:
            self._repeated = True
            self.observer.notice(repeats_key(self.model))
        return kept

    async def _work(self, codec: Codec | Fallback, send: Send) -> None:
        """Hold a place, ask one trial after another, and give it to who wants to have one back, or who comes next."""
        while not self._back and not self._is_over() and (trial := next(self.queue, None)) is not None:
            try:
                await self._ask(trial, codec, send)
            except LedgerError as error:
                if not error.is_kept:
                    raise
                self.faults.append(error)
            except Exception as error:  # noqa: BLE001  raised again, when what is in flight has come and is stored
                self.faults.append(error)
        self._give_place()

    def _give_place(self) -> None:
        while self._back:
            if not (waiting := self._back.popleft()).done():
                waiting.set_result(None)
                return
        self._free += 1

    async def _step_aside(self, seconds: float) -> None:
        """Pause without a place: another trial goes meanwhile."""
        self._aside += 1
        self._give_place()
        if self._free and not self._is_over():
            self._free -= 1
            self._start()
        await self._pause(seconds)
        self._aside -= 1
        if self._free:
            self._free -= 1
            return
        self._back.append(waiting := asyncio.get_running_loop().create_future())
        await waiting

    def _is_over(self) -> bool:
        return self.stop.asked or bool(self.faults) or self.breaker.open is not None

    async def _ask(self, trial: Trial, codec: Codec | Fallback, send: Send) -> None:
        attempts, idle_s = 0, 0.0
        last: TransientError | None = None

        async def once() -> tuple[bytes, float, Permit]:
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
            return raw, time.monotonic() - started, gone

        def pause(seconds: float) -> Awaitable[None]:
            has_room = self._aside < MOST_ASIDE * self.model.limits.concurrency
            steps_aside = has_room and last is not None and last.kind == "rate_limit"
            return self._step_aside(seconds) if steps_aside else self._pause(seconds)

        try:
            wire = self._wire(trial.adapted, codec)
            # The time at the limiter is no fault of the request's: only what is spent beyond it counts.
            clock = lambda: time.monotonic() - idle_s  # noqa: E731  one expression, used once
            tell = lambda kind, _attempt, wait_s: self._tell(kind, wait_s, last)  # noqa: E731  as above
            raw, latency_s, place = await attempt(once, self.model.limits, tell, sleep=pause, clock=clock)
        except ProviderError as error:
            if isinstance(error, FatalError):
                self._record(error)
            self._fail(trial, Problem(error.kind, error.explained), attempts, error)
            return
        self.breaker.record_success()
        answer = self._answer(trial.key, raw, attempts, latency_s)
        stored = self.keeping.put(answer)
        self.observer.answered(trial, answer)
        await stored
        self.limiter.leave(place)

    def _answer(self, key: str, raw: bytes, attempts: int, latency_s: float) -> Answer:
        """A reply as it is kept."""
        kept = self._kept(raw)
        return Answer(
            key=key,
            raw=kept,
            route="live",
            model_id=self.model.id,
            endpoint=endpoint_of(self.model),
            attempts=attempts,
            latency_s=latency_s,
            time=_now(),
            redacted=kept is not raw,
        )

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
        if self.stop.asked or self.faults:
            return _interrupted(last)
        return FatalError(STOPPED, self.breaker.why) if self.breaker.open is not None else None

    async def _exchange(self, gone: Permit, exchange: Awaitable[tuple[bytes, Mapping[str, str]]]) -> bytes:
        """One attempt; the limiter is told how it went. A reply's place is held on, until its answer is durable."""
        try:
            raw, headers = await exchange
        except TransientError as error:
            self.limiter.failed(gone, error)
            raise
        except BaseException:
            self.limiter.leave(gone)
            raise
        self.limiter.heard(gone, headers)
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
