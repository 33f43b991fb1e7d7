"""What the ledger holds of a batch and of its items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from runner.providers.batch.api import Draft
from runner.records import Problem

if TYPE_CHECKING:
    from pathlib import Path

    from runner.providers.batch.api import Sent, Standing
    from runner.records import Batch, Model

State = Literal["drafted", "sent", "ended", "collected", "closed", "unsent", "refused", "lost"]
"""Where a batch is in its life:

    drafted ──▶ sent ──▶ ended ──▶ collected ──▶ closed
       │          └────▶ lost ─(it ends after all)─▶ ended
       ├──▶ unsent    it never reached the provider ─(it shows there after all)─▶ sent
       └──▶ refused   the provider would not take it

drafted: on disk and about to be sent, or sent without an answer. sent: the provider's id is known. ended: the provider
is done with it, whatever came of it. collected: every item's ending is known, every answer durable. closed: nothing of
it is left at the provider that is ours to delete.
"""
WAITING: tuple[State, ...] = ("drafted", "sent", "ended")
"""States in which a batch may still bring answers by itself."""
OPEN: tuple[State, ...] = (*WAITING, "lost")
"""States in which its requests must not be bought again without another look."""

Ending = Literal[
    "succeeded", "failed", "retry", "expired", "cancelled", "missing", "malformed", "refused", "dropped", "lost"
]
"""How an item ended. The first five as the provider says (batch_api.Ending). missing: the results lack it, or all that
is left of it cannot be read: malformed. refused: its batch was not taken. dropped: its batch failed as a whole. lost:
its batch was given up."""
GIVEN_UP: tuple[Ending, ...] = ("lost", "missing", "malformed")
"""Endings of items whose answer an open batch may bring after all."""


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """One batch."""

    id: str
    """Ours; see batch_api.Draft."""
    run: str
    """The launch that made it."""
    api: str
    """Name of the batch API; see providers.batch_table."""
    model: Model
    """The model that all of its items ask."""
    base: str
    account: str
    """Fingerprint of address and key; see account.fingerprint."""
    count: int
    window_s: int
    created: float
    """When it was drafted: seconds since 1970."""
    state: State = "drafted"
    sent: Sent | None = None
    standing: Standing | None = None
    """How it stood at the last look."""
    note: str = ""
    """Why it is unsent, refused or lost."""
    settings: Batch | None = None
    """Those of the run that made it, for whoever works on it outside of a run; None in a ledger of an older version."""

    @property
    def taken(self) -> Sent:
        """As the provider took it, in any state that it reaches only then."""
        if self.sent is None:
            raise AssertionError(f"batch {self.id} is {self.state} without a provider's id")
        return self.sent

    @property
    def stood(self) -> Standing:
        """How it ended, in any state that comes after that."""
        if self.standing is None:
            raise AssertionError(f"batch {self.id} is {self.state} without a standing")
        return self.standing

    def draft(self, folder: Path, created: str) -> Draft:
        """It as an adapter takes it; `created` as ISO 8601."""
        return Draft(self.id, self.model, items_path(folder, self.id), self.count, self.window_s, created)


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One item of a batch."""

    n: int
    """Its place in the batch, from 0."""
    key: str
    attempt: int
    """In how many batches the request has been, this one included."""
    ending: Ending | None = None
    kind: str = ""
    message: str = ""
    buyer: str | None = None
    """The launch that fetched its answer and counts it as bought; None where it was collected outside of any."""

    @property
    def problem(self) -> Problem:
        """Why it has no answer, once it has ended without one."""
        kind = self.kind or self.ending or "missing"
        return Problem(kind, self.message or f"the batch ended with this request {self.ending}")


@dataclass(frozen=True, slots=True)
class ItemEnding:
    """An ending to be written down."""

    n: int
    ending: Ending
    kind: str = ""
    message: str = ""
    buyer: str | None = None


def item_id(batch: str, n: int) -> str:
    """An item's id at the provider: it names the batch, so that one of its items is enough to tell whose it is."""
    return f"{batch}-{n}"


def place_of(batch: str, count: int, name: str) -> int | None:
    """The place that an item id means; None where it is not of this batch."""
    head, dash, number = name.rpartition("-")
    if head != batch or not dash or not (number.isascii() and number.isdecimal()):
        return None
    n = int(number)
    return n if n < count and str(n) == number else None


def items_path(folder: Path, batch: str) -> Path:
    """The file of the lines that were sent."""
    return folder / f"{batch}.in.jsonl"


def results_path(folder: Path, batch: str) -> Path:
    """The file of the lines that came back, as they came."""
    return folder / f"{batch}.jsonl"
