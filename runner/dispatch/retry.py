"""The one retry policy of the program, and the breaker that stops a model or an account which takes nothing any longer.

Only errors.TransientError is worth another attempt. Every other layer (the provider SDKs, LiteLLM, the HTTP client) has
its retries switched off, so that `limits.attempts` is what a provider really sees.
"""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from runner.errors import FatalError, ProviderError, TransientError
from runner.providers.accounts import shared_account
from runner.records import Limits, Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runner.errors import Scope
    from runner.records import Model

T = TypeVar("T")

FIRST_WAIT_S = 0.5
MAX_WAIT_S = 60.0
"""Most seconds between two attempts where the provider names no time, before JITTER."""
JITTER = 0.25
"""Each wait is drawn from so much below its length to so much above, so that those who failed together do not come back
together, and yet every wait is longer than the one before."""
PASSING = frozenset({"rate_limit", "server", "timeout", "connection"})
"""Kinds of trouble that pass as a rule."""
STOPPING_KINDS = frozenset({"key_refused", "not_found", "bad_request", "not_a_reply", "redirected", "other_model"})
"""Kinds that say something about the model's set-up rather than about one reply: some in a row stop it."""
STOPPING_AT_ONCE = frozenset({"quota", *PASSING})
"""Kinds of a FatalError that stop a model, or its whole account, by a single one: money or a long quota is gone, or
what usually passes will not within the run."""
LONGEST_HOLD_S = 900.0
"""A provider that names a longer wait, and one beyond `limits.total_s`, has a quota of hours: no run holds for it."""

_backoff = wait_exponential(multiplier=FIRST_WAIT_S, max=MAX_WAIT_S)
_EARLY_S = 0.001
"""A sleep may end this much before its time."""


async def attempt(
    call: Callable[[], Awaitable[T]],
    limits: Limits,
    on_retry: Callable[[str, int, float], None] | None = None,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """What `call` returns, called again after each TransientError until `limits` are spent.

    The wait is the provider's Retry-After where it gave one, else exponential with jitter; no wait goes past
    `limits.total_s`, and the attempt that follows such a shortened wait is the last. An attempt that has begun is never
    cut short: its reply may be paid for. `on_retry(kind, attempt, wait_s)` is told of each failed attempt, counted from
    1, before the wait. Raises the last TransientError at the end, and anything else at once; a FatalError in its place
    where the provider names a wait of hours, or the trouble is of a sort that does not pass (`most_attempts`).
    """
    started = clock()
    try:
        return await _once(call, limits)
    except TransientError as error:
        last = error

    # Tenacity comes in only now: a first attempt that succeeds, the usual case, costs nothing.
    again = _Again(call, limits, last)

    def left_s() -> float:
        return started + limits.total_s - clock()

    def tell(state: RetryCallState) -> None:
        if on_retry is not None:
            on_retry(again.last.kind, state.attempt_number, state.upcoming_sleep)

    retrying = AsyncRetrying(
        sleep=sleep,
        retry=retry_if_exception_type(TransientError),
        wait=lambda state: min(_wait_s(again.last, state), max(left_s(), 0.0)),
        stop=lambda state: state.attempt_number >= _most(again.last, limits) or left_s() <= _EARLY_S,
        before_sleep=tell,
        reraise=True,
    )
    try:
        return await retrying(again.ask)
    except TransientError as error:
        raise _at_the_end(error, limits) from error.__cause__


class _Again(Generic[T]):
    """The attempts after the first, which has failed with `last` and is not made again."""

    def __init__(self, call: Callable[[], Awaitable[T]], limits: Limits, last: TransientError) -> None:
        self._call, self._limits, self.last = call, limits, last
        self._first_is_known = True

    async def ask(self) -> T:
        """One attempt; the first time the one that is known."""
        if self._first_is_known:
            self._first_is_known = False
            raise self.last
        try:
            return await _once(self._call, self._limits)
        except TransientError as error:
            self.last = error
            raise


async def _once(call: Callable[[], Awaitable[T]], limits: Limits) -> T:
    """One attempt. FatalError where its provider names a wait that no run holds for."""
    try:
        return await call()
    except TransientError as error:
        if (held := _beyond_holding(error, limits)) is not None:
            raise held from error
        raise


def _at_the_end(error: TransientError, limits: Limits) -> ProviderError:
    """What is raised once all attempts are spent."""
    may_pass = error.most_attempts is None or limits.attempts < error.most_attempts
    return error if may_pass else error.lasts()


def _most(error: TransientError, limits: Limits) -> int:
    return limits.attempts if error.most_attempts is None else min(error.most_attempts, limits.attempts)


def _beyond_holding(error: TransientError, limits: Limits) -> FatalError | None:
    """The error as one that no run waits for, where the wait that the provider names is that long."""
    wait_s = error.retry_after_s
    if wait_s is None or not max(LONGEST_HOLD_S, limits.total_s) < wait_s:
        return None
    advice = "run the same command again then; a larger limits.total_s would wait for it"
    kind = "quota" if error.kind == "rate_limit" else error.kind
    return FatalError(kind, str(error), status=error.status, scope="model", advice=advice, until=_in(wait_s))


def _in(seconds: float) -> datetime | None:
    try:
        return datetime.now(UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return None


def _wait_s(error: TransientError, state: RetryCallState) -> float:
    """Seconds to wait if there were no end. A Retry-After of 0 is no reason to ask again in a tight loop."""
    asked_s = error.retry_after_s
    if asked_s is not None and asked_s > 0:
        return asked_s
    if error.kind == "malformed":  # another sample, not another moment, may be better
        return FIRST_WAIT_S
    return _backoff(state) * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  no secret depends on it


class Breaker:
    """Opens when a model fails `after` times in a row with one of the STOPPING_KINDS, and then stays open.

    One of STOPPING_AT_ONCE opens it by itself. Either opens that of the whole `account` too, where the error reaches so
    far. What is wrong with one trial's text says that the model is well.
    """

    def __init__(self, after: int = 3, account: Breaker | None = None) -> None:
        self._account = account
        self._after = after
        self._kind = ""
        self._in_a_row = 0
        self._open: Problem | None = None

    @property
    def open(self) -> Problem | None:
        """What stopped the model or its account: the kind and the last message; None while it may go on."""
        return self._open if self._open is not None or self._account is None else self._account.open

    @property
    def why(self) -> str:
        """What is said of a trial that was not sent because of it."""
        stopped = self.open
        if stopped is None:
            return ""
        lead = "stopped" if stopped.kind in STOPPING_AT_ONCE else "stopped after repeated errors"
        return f"{lead}: {stopped.message}"

    def record_success(self) -> None:
        """A reply arrived: the model works."""
        self._in_a_row = 0

    def record_fatal(self, kind: str, message: str, *, scope: Scope = "model") -> None:
        """A request was refused. Another kind than before starts the count again."""
        if scope == "item":
            self.record_success()
            return
        if kind in STOPPING_AT_ONCE:
            self._stop(Problem(kind, message), scope)
            return
        self._in_a_row = self._in_a_row + 1 if kind == self._kind else 1
        self._kind = kind
        if self._in_a_row >= self._after and kind in STOPPING_KINDS:
            self._stop(Problem(kind, message), scope)

    def _stop(self, problem: Problem, scope: Scope) -> None:
        if self._open is None:
            self._open = problem
        if scope == "account" and self._account is not None:
            self._account._stop(problem, "model")  # noqa: SLF001  another of this class


class AccountBreakers:
    """The breaker of each account: what is said of its money or its key live holds for its batches too, and back."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str | None, str], Breaker] = {}

    def of(self, model: Model) -> Breaker:
        """That of the account which a model's requests are sent from."""
        return self._of.setdefault(shared_account(model), Breaker())
