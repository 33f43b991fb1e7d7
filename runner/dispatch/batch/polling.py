"""When to look at a batch, when to give it up, and which window to ask for: functions of times alone."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.ledger.batch_records import BatchRecord
    from runner.records import Batch

STEPS = 5
"""Looks on which the first wait grows to twice its length."""


def waits(first_s: float, most_s: float) -> Iterator[float]:
    """Seconds before each look: growing evenly from the first wait to twice that, then doubled, up to the longest."""
    for step in count():
        even = first_s * (1 + step / STEPS)
        # An exponent beyond this is above any longest wait, and would overflow in the end.
        doubled = 2.0 * first_s * 2.0 ** min(step - STEPS, 60)
        yield min(most_s, even if step <= STEPS else doubled)


def window_of(asked_s: float, offered_s: Sequence[int]) -> int:
    """The shortest window on offer that is as long as the one asked for; the longest where none is."""
    return next((window for window in sorted(offered_s) if window >= asked_s), max(offered_s))


def gives_up(entry: BatchRecord, settings: Batch) -> float:
    """When a batch that has not ended is lost: seconds since 1970."""
    return entry.created + entry.window_s + settings.grace_s
