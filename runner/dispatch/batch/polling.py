"""When to look at a batch, when to give it up, and how waiting for it ends early."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.dispatch.observer import Stop
    from runner.ledger.batch_records import BatchRecord
    from runner.records import Batch, Problem

LOOKS = 6
"""Further looks at the results of a batch that has ended, before what they lack counts as missing."""
STEPS = 5
"""Looks on which the first wait grows to twice its length."""


def waits(first_s: float, most_s: float) -> Iterator[float]:
    """Seconds before each look: growing evenly from the first wait to twice that, then doubled, up to the longest."""
    for step in count():
        even = first_s * (1 + step / STEPS)
        # An exponent beyond this is above any longest wait, and would overflow in the end.
        doubled = 2.0 * first_s * 2.0 ** min(step - STEPS, 60)
        yield min(most_s, even if step <= STEPS else doubled)


def looks(settings: Batch) -> list[float]:
    """Seconds before each further look at results that are not whole, doubled each time: five minutes by default."""
    return [min(settings.max_poll_s, settings.first_poll_s * 2.0**step) for step in range(LOOKS)]


def window_of(asked_s: float, offered_s: Sequence[int]) -> int:
    """The shortest window on offer that is as long as the one asked for; the longest where none is."""
    return next((window for window in sorted(offered_s) if window >= asked_s), max(offered_s))


def gives_up(entry: BatchRecord, settings: Batch) -> float:
    """When a batch that has not ended is lost: seconds since 1970."""
    return entry.created + entry.window_s + settings.grace_s


class Left(Exception):  # noqa: N818  it ends a wait, and is no error
    """The batch goes on without us: nobody waits any longer. It may say why nothing is known of it."""


class Unreachable(Exception):  # noqa: N818  as Left
    """The batch cannot be followed for now; `problem` says why. It stays as it is in the store."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Waiting:
    """Pauses that end when the run is to stop. `watch` looks for that, since a signal's handler only sets a flag."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._event = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether nothing more is to be begun."""
        return self._stop.asked

    async def watch(self) -> None:
        """Until the run is to stop."""
        while not self._stop.asked:  # noqa: ASYNC110  a signal's handler can set nothing but a flag
            await asyncio.sleep(0.05)
        self._event.set()

    async def pause(self, wait_s: float) -> None:
        """Wait so long; Left at once when the run is to stop."""
        if self.over:
            raise Left
        try:
            await asyncio.wait_for(self._event.wait(), wait_s)
        except TimeoutError:
            return
        raise Left
