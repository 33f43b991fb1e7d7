"""The one retry policy of the program, and the breaker that stops a model which refuses everything.

Only errors.TransientError is worth another attempt. Every other layer (the provider SDKs, LiteLLM, the HTTP client) has
its retries switched off, so that `limits.attempts` is what a provider really sees.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from runner.errors import TransientError
from runner.records import Limits, Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

FIRST_WAIT_S = 0.5
MAX_WAIT_S = 60.0
"""Most seconds between two attempts where the provider names no time, before JITTER."""
JITTER = 0.25
"""Each wait is drawn from so much below its length to so much above, so that those who failed together do not come back
together, and yet every wait is longer than the one before."""
STOPPING_KINDS = frozenset(
    {"key_refused", "not_found", "bad_request", "quota", "not_a_reply", "redirected", "other_model"}
)
"""Kinds that say something about the model's set-up rather than about one reply."""

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
    1, before the wait. Raises the last TransientError at the end, and anything else at once.
    """
    started = clock()
    try:
        return await call()
    except TransientError as error:
        last = error

    # Tenacity comes in only now: a first attempt that succeeds, the usual case, costs nothing.
    first_is_known = True

    async def again() -> T:
        nonlocal first_is_known, last
        if first_is_known:
            first_is_known = False
            raise last
        try:
            return await call()
        except TransientError as error:
            last = error
            raise

    def left_s() -> float:
        return started + limits.total_s - clock()

    def tell(state: RetryCallState) -> None:
        if on_retry is not None:
            on_retry(last.kind, state.attempt_number, state.upcoming_sleep)

    retrying = AsyncRetrying(
        sleep=sleep,
        retry=retry_if_exception_type(TransientError),
        wait=lambda state: min(_wait_s(last, state), max(left_s(), 0.0)),
        stop=lambda state: state.attempt_number >= limits.attempts or left_s() <= _EARLY_S,
        before_sleep=tell,
        reraise=True,
    )
    return await retrying(again)


def _wait_s(error: TransientError, state: RetryCallState) -> float:
    """Seconds to wait if there were no end. A Retry-After of 0 is no reason to ask again in a tight loop."""
    asked_s = error.retry_after_s
    if asked_s is not None and asked_s > 0:
        return asked_s
    return _backoff(state) * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  no secret depends on it


class Breaker:
    """Opens when a model fails `after` times in a row with one of the STOPPING_KINDS, and then stays open."""

    def __init__(self, after: int = 3) -> None:
        self._after = after
        self._kind = ""
        self._in_a_row = 0
        self._open: Problem | None = None

    @property
    def open(self) -> Problem | None:
        """What stopped the model: the kind and the last message; None while it may go on."""
        return self._open

    def record_success(self) -> None:
        """A reply arrived: the model works."""
        self._in_a_row = 0

    def record_fatal(self, kind: str, message: str) -> None:
        """A request was refused. Another kind than before starts the count again."""
        self._in_a_row = self._in_a_row + 1 if kind == self._kind else 1
        self._kind = kind
        if self._open is None and self._in_a_row >= self._after and kind in STOPPING_KINDS:
            self._open = Problem(kind, message)
