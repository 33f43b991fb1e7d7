"""Live dispatch: trials -> answers in the ledger, or failures.

A model has `limits.concurrency` workers, so that one slow model never holds another. A worker encodes, sends, retries
by the one policy of runner.retry, and hands the answer to the ledger before anything else happens to it.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from runner.codec import Codec, Fallback, codec_for, error_of
from runner.errors import FatalError, ProviderError, TransientError
from runner.plan import endpoint_of
from runner.records import Answer, Failure, Problem
from runner.retry import Breaker, attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import aiohttp

    from runner.records import Model, Trial

NOT_SENT = "not_sent"
"""Kind of a trial that was never sent because the run was interrupted or its model was stopped."""


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

    def waiting(self, model: Model, kind: str, wait_s: float) -> None:
        """A transient error: the next attempt follows in `wait_s` seconds."""


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
    lanes: Sequence[tuple[Model, Iterator[Trial]]], keep: Keep, observer: Observer, stop: Stop
) -> dict[str, Failure]:
    """Send every lane's trials, lanes side by side; returns the failures by key. Answers went to `keep`.

    LedgerError passes through at once: an answer that cannot be kept must not be bought.
    """
    import aiohttp

    failures: dict[str, Failure] = {}
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=300)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=True) as session:
        workers = [
            _Lane(
                model=model,
                queue=queue,
                session=session,
                keep=keep,
                observer=observer,
                stop=stop,
                failures=failures,
            )
            for model, queue in lanes
        ]
        async with asyncio.TaskGroup() as group:
            for lane in workers:
                group.create_task(lane.run())
    return failures


@dataclass(slots=True, kw_only=True)
class _Lane:
    """One model's trials, its workers and its breaker."""

    model: Model
    queue: Iterator[Trial]
    session: aiohttp.ClientSession
    keep: Keep
    observer: Observer
    stop: Stop
    failures: dict[str, Failure]
    breaker: Breaker = field(default_factory=Breaker)

    async def run(self) -> None:
        try:
            # In a thread: a first codec may import LiteLLM, which takes seconds that other lanes can use.
            codec = await asyncio.to_thread(codec_for, self.model, api_key_of(self.model))
        except ProviderError as error:
            self._abandon(Problem(error.kind, str(error)))
            return
        async with asyncio.TaskGroup() as group:
            for _ in range(self.model.limits.concurrency):
                group.create_task(self._work(codec))
        if self.breaker.open is not None:
            self._abandon(Problem("stopped", f"stopped after repeated errors: {self.breaker.open.message}"))
        elif self.stop.asked:
            self._abandon(Problem(NOT_SENT, "the run was interrupted before this request was sent"))

    def _abandon(self, problem: Problem) -> None:
        for trial in self.queue:
            self._fail(trial, problem, 0)

    def _fail(self, trial: Trial, problem: Problem, attempts: int) -> None:
        failure = Failure(trial.key, problem, attempts)
        self.failures[trial.key] = failure
        self.observer.failed(trial, failure)

    async def _work(self, codec: Codec | Fallback) -> None:
        while not self.stop.asked and self.breaker.open is None and (trial := next(self.queue, None)) is not None:
            await self._ask(trial, codec)

    async def _ask(self, trial: Trial, codec: Codec | Fallback) -> None:
        attempts = 0

        async def once() -> tuple[bytes, float]:
            nonlocal attempts
            if attempts and self.stop.asked:
                raise FatalError(NOT_SENT, "the run was interrupted before the next attempt")
            attempts += 1
            self.observer.sent(trial)
            started = time.perf_counter()
            raw = await self._exchange(trial, codec)
            return raw, time.perf_counter() - started

        def on_retry(kind: str, _attempt: int, wait_s: float) -> None:
            self.observer.waiting(self.model, kind, wait_s)

        try:
            raw, latency_s = await attempt(once, self.model.limits, on_retry)
        except ProviderError as error:
            if isinstance(error, FatalError):
                self.breaker.record_fatal(error.kind, str(error))
            self._fail(trial, Problem(error.kind, str(error)), attempts)
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
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        self.keep(answer)
        self.observer.answered(trial, answer)

    async def _exchange(self, trial: Trial, codec: Codec | Fallback) -> bytes:
        """One attempt: the request out, the reply's bytes back; anything else as a ProviderError."""
        limits = self.model.limits
        match codec:
            case Codec():
                return await _post(self.session, codec, trial, limits.timeout_s, limits.connect_timeout_s)
            case Fallback():
                return await codec.complete(trial.adapted.request, limits.timeout_s)


async def _post(
    session: aiohttp.ClientSession, codec: Codec, trial: Trial, timeout_s: float, connect_timeout_s: float
) -> bytes:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=connect_timeout_s)
    body = codec.encode(trial.adapted.request)
    try:
        async with session.post(codec.url, data=body, headers=codec.headers, timeout=timeout) as response:
            raw = await response.read()
    except TimeoutError as error:
        raise TransientError("timeout", f"no reply within {timeout_s:g} s from {codec.url}") from error
    except aiohttp.ClientError as error:
        raise TransientError("connection", f"{type(error).__name__}: {error}") from error
    if response.status == 200:
        return raw
    raise error_of(response.status, response.headers, raw)
