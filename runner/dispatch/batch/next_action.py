"""What becomes of a request whose item has ended: a function of the ending alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, assert_never

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.ledger.batch_records import BatchItem, Ending
    from runner.records import Batch

NextAction = Literal["kept", "failed", "again", "live", "smaller", "later"]
"""kept: answered. failed: ends without an answer. again: into the next batch. live: out live. smaller: again, in a
batch of half the size. later: again, when the account's other batches have ended."""

DROPPED_ATTEMPTS = 3
"""Batches that fail as a whole for no stated reason before their items do: such a reason seldom goes away."""
UNSTATED = frozenset({"", "server", "rate_limit", "timeout", "connection"})
"""Kinds of a failed batch that say nothing about its items."""


def next_action(item: BatchItem, ending: Ending, settings: Batch) -> NextAction:
    """What becomes of the item's request."""
    match ending:
        case "succeeded":
            return "kept"
        case "failed" | "cancelled":
            return "failed"
        case "retry" | "expired":
            return _again(item, settings, settings.attempts)
        case "missing" | "malformed":
            return _paid(item, settings)
        case "lost":
            return _paid(item, settings) if item.kind == "gone" else "failed"
        case "refused" | "dropped":
            return _whole(item, ending, settings)
        case _:
            assert_never(ending)


def _again(item: BatchItem, settings: Batch, attempts: int) -> NextAction:
    if settings.fallback == "live":
        return "live"
    return "again" if item.attempt < attempts else "failed"


def _paid(item: BatchItem, settings: Batch) -> NextAction:
    """A request that the provider may have run, and of which no answer can be had: bought again when asked."""
    return _again(item, settings, settings.attempts) if settings.missing == "buy" else "failed"


def _whole(item: BatchItem, ending: Literal["refused", "dropped"], settings: Batch) -> NextAction:
    """A batch that was not run at all."""
    if item.kind == "too_large":
        return "smaller"
    if item.kind == "token_limit":
        return "later" if item.attempt <= settings.attempts else "failed"
    if item.kind not in UNSTATED:
        return "failed"
    if ending == "refused":  # as often as the retry policy allows, and for that long
        return "live" if settings.fallback == "live" else "failed"
    return _again(item, settings, min(DROPPED_ATTEMPTS, settings.attempts))


def by_next_action(items: Iterable[BatchItem], settings: Batch) -> dict[NextAction, list[BatchItem]]:
    """A batch's items by what becomes of them; those that count as tried have their next attempt's number."""
    found: dict[NextAction, list[BatchItem]] = defaultdict(list)
    for item in items:
        said = next_action(item, item.ending or "missing", settings)
        if settings.mode == "off" and said in {"again", "smaller", "later"}:
            said = "live"  # an earlier run's batch: this one makes none
        found[said].append(replace(item, attempt=item.attempt + 1) if said == "again" else item)
    return found
