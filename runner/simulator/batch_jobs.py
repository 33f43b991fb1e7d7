"""A batch's course in time, as a function of the clock: nothing runs in the background, so nothing is lost.

    created ── validating_s ──▶ begins ── run ──▶ stops ── finalizing_s ──▶ completed
                    │                               │  (the window closes first)
                    ▼                               ▼
                  failed                         expired          cancel: cancelling ── cancel_s ──▶ cancelled

Items finish one after another at even distances; those that were done when a batch stopped stay done.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from runner.simulator.plan import stricken

if TYPE_CHECKING:
    from runner.records import Json
    from runner.simulator.plan import FaultPlan

Phase = Literal["validating", "failed", "running", "finalizing", "completed", "expired", "cancelling", "cancelled"]
Fate = Literal["normal", "expire", "stall", "freeze", "fail"]
End = Literal["done", "error", "expired", "cancelled"]
"""How one item ended: answered or refused by its own fault, the provider's own error, or never begun."""

ENDED: frozenset[Phase] = frozenset({"failed", "completed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One request of a batch."""

    id: str
    body: bytes
    """Its JSON, without the envelope."""
    nth: int = 1
    """How often the same prompt had been asked, this time included."""
    note: Json = None
    """What an answer repeats beside the id (Gemini's metadata)."""


@dataclass(slots=True)
class BatchJob:
    """A batch as its provider remembers it. Everything that can be derived from the clock is not kept."""

    id: str
    api: str
    """Name of the provider."""
    account: str
    number: int
    """Among this provider's batches, from 1."""
    first: int
    """How many items had been accepted before this batch's first, by all providers."""
    created: float
    window_h: float
    fate: Fate
    items: list[BatchLine]
    facts: dict[str, Any]
    """What the create request said and answers repeat: metadata, name, input file, model."""
    errors: list[Json] = field(default_factory=list)
    """Why the validation fails, in the provider's own form."""
    begun: float | None = None
    """When its items were complete, where that is later than its creation."""
    cancel_at: float | None = None
    deleted: bool = False
    removed: set[str] = field(default_factory=set)
    """Ids of its files that were deleted."""

    lines: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    """Index and result line by file (`output`, `error`), once settled and before faults."""
    tally: dict[str, int] = field(default_factory=dict)
    """Items by kind of end: succeeded, errored, expired, cancelled."""
    settled: int = 0
    """How many items have a result line."""


FATES: tuple[Fate, ...] = ("fail", "freeze", "stall", "expire")
LINE_FAULTS = ("item_error", "omit", "corrupt", "duplicate")


@dataclass(frozen=True, slots=True)
class ClosedJob:
    """One item of a batch, and how it ended."""

    job: BatchJob
    index: int
    end: End

    @property
    def item(self) -> BatchLine:
        """The item."""
        return self.job.items[self.index]

    @property
    def number(self) -> int:
        """Its number among all items that were ever accepted, from 1."""
        return self.job.first + self.index + 1


def fate_of(plan: FaultPlan, number: int) -> Fate:
    """What the plan has in store for a provider's batch with this number."""
    name = stricken(plan, number, FATES)
    return next((fate for fate in FATES if fate == name), "normal")


def line_fault(job: BatchJob, plan: FaultPlan, index: int) -> str | None:
    """Which of LINE_FAULTS strikes the item at this index."""
    return stricken(plan, job.first + index + 1, LINE_FAULTS)


def begins(job: BatchJob, plan: FaultPlan) -> float:
    """When its first item starts."""
    return (job.created if job.begun is None else job.begun) + plan.validating_s


def closes(job: BatchJob, plan: FaultPlan) -> float:
    """When its completion window ends, as the provider states it."""
    return job.created + job.window_h * plan.hour_s


def stops(job: BatchJob, plan: FaultPlan) -> float:
    """When it stops working on items unless it is cancelled: all done, or the window closed."""
    done = begins(job, plan) + _run_s(job, plan)
    return math.inf if job.fate == "freeze" else max(begins(job, plan), min(done, closes(job, plan)))


def _run_s(job: BatchJob, plan: FaultPlan) -> float:
    match job.fate:
        case "expire":
            return 2 * max(0.0, closes(job, plan) - begins(job, plan))
        case "stall" | "freeze":
            return math.inf
        case _:
            return plan.batch_s


def _expires(job: BatchJob, plan: FaultPlan) -> bool:
    return begins(job, plan) + _run_s(job, plan) > closes(job, plan)


def phase(job: BatchJob, plan: FaultPlan, now: float) -> Phase:
    """Where it stands."""
    if job.errors or job.fate == "fail":
        return "validating" if now < begins(job, plan) else "failed"
    if job.cancel_at is not None and job.cancel_at < stops(job, plan):
        return "cancelling" if now < job.cancel_at + plan.cancel_s else "cancelled"
    if now < begins(job, plan):
        return "validating"
    if now < stops(job, plan):
        return "running"
    if _expires(job, plan):
        return "expired"
    return "finalizing" if now < stops(job, plan) + plan.finalizing_s else "completed"


def ended(job: BatchJob, plan: FaultPlan) -> float:
    """When it reaches its last phase; infinity where never."""
    if job.errors or job.fate == "fail":
        return begins(job, plan)
    if job.cancel_at is not None and job.cancel_at < stops(job, plan):
        return job.cancel_at + plan.cancel_s
    return stops(job, plan) + (0 if _expires(job, plan) else plan.finalizing_s)


def done(job: BatchJob, plan: FaultPlan, now: float) -> int:
    """How many of its items are finished, and so billed."""
    if job.errors or job.fate == "fail":
        return 0
    stopped = stops(job, plan)
    cancelled = job.cancel_at is not None and job.cancel_at < stopped
    if now >= stopped and not cancelled and not _expires(job, plan):
        return len(job.items)
    end = min(now, stopped, math.inf if job.cancel_at is None else job.cancel_at)
    elapsed, run_s = end - begins(job, plan), _run_s(job, plan)
    if elapsed < 0 or math.isinf(run_s):
        return 0
    return len(job.items) if elapsed >= run_s else math.floor(len(job.items) * elapsed / run_s + 1e-9)


def end_of(job: BatchJob, plan: FaultPlan, index: int) -> End:
    """How the item at this index ended, in a batch that has."""
    if index >= done(job, plan, math.inf):
        return "cancelled" if phase(job, plan, math.inf) == "cancelled" else "expired"
    return "error" if line_fault(job, plan, index) == "item_error" else "done"
