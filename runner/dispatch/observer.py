"""What a batch dispatch is asked for, who is told of it, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Set

    from runner.records import Answer, Failure, Model, Trial

NOT_SENT = "not_sent"
"""Kind of a trial that was never sent because the run was to stop; as live."""


class Observer(Protocol):
    """Who is told what happens; runner.dispatch.live.Observer is one. Trials come without their messages."""

    def sent(self, trial: Trial) -> None:
        """A request's batch was taken by its provider."""

    def answered(self, trial: Trial, answer: Answer) -> None:
        """A reply arrived and is on its way to the ledger."""

    def failed(self, trial: Trial, failure: Failure) -> None:
        """A trial ended without a reply."""

    def waiting(self, model: Model, kind: str, wait_s: float, reason: str = "") -> None:
        """A transient error, in words: the next attempt follows in `wait_s` seconds."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of one model."""

    model: Model
    keys: Set[str]
    trials: Iterator[Trial]
    """Each key once."""


@dataclass(slots=True)
class Outcome:
    """What became of the keys that were wanted. Those in none of the fields have their answer in the ledger."""

    failures: dict[str, Failure] = field(default_factory=dict)
    live: set[str] = field(default_factory=set)
    """To be sent live: `batch.fallback=live`, or no batch line can be made of their model's requests."""
    pending: dict[str, str] = field(default_factory=dict)
    """Key -> id of the batch that still runs, or may."""

    others: set[str] = field(default_factory=set)
    """Answered by a batch of another run, whose results another process fetched: bought there, not here."""

    @property
    def detached(self) -> bool:
        """Whether batches were left running."""
        return bool(self.pending)
