"""What the dispatching thread is asked to note: whole numbers, and nothing that takes time."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.dispatch.observer import NOT_SENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.ledger.batch_records import BatchRecord
    from runner.records import Answer, Failure, Model, Trial


@dataclass(slots=True)
class ModelCounts:
    """What has happened to one model's requests."""

    planned: int = 0
    attempts: int = 0
    """Sent live, repeated ones included."""
    live: int = 0
    """Answered live."""
    batched: int = 0
    """Answered by a batch."""
    waits: int = 0
    """Attempts that failed and are made again."""
    ended: int = 0
    """Attempts that failed and are not."""
    failed: int = 0
    """Requests that ended without a reply, those that were never sent included."""
    trouble: Trouble | None = None
    """The newest."""
    sample: tuple[Trial, Answer] | None = None
    """The newest answer, for its price."""

    @property
    def done(self) -> int:
        """Requests that have ended, well or not."""
        return self.live + self.batched + self.failed

    @property
    def in_flight(self) -> int:
        """Attempts on the wire; those in batches are not."""
        return max(0, self.attempts - self.live - self.waits - self.ended)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the newest attempt of a model is made again."""

    kind: str
    reason: str
    """In words."""
    live: int
    """How many had been answered by then."""
    since_s: float
    """When the first attempt failed of those since the last answer."""


@dataclass(slots=True)
class Retried:
    """Something verbose to say: an attempt that is made again."""

    model: str
    kind: str
    wait_s: float
    reason: str = ""


@dataclass(slots=True)
class Failed:
    """Something verbose to say: a trial that ended without a reply."""

    trial: Trial
    failure: Failure


@dataclass(slots=True)
class ProgressCounts:
    """An Observer that counts. Another thread may read it at any time: it never waits, nor is waited for."""

    verbose: bool = False
    clock: Callable[[], float] = time.monotonic
    began_s: float | None = None
    """When it was first told of a plan, by its clock."""
    models: dict[str, ModelCounts] = field(default_factory=dict)
    """By model's name, in the order of the plan."""
    retries: dict[str, int] = field(default_factory=dict)
    """How often, by kind."""
    failures: dict[str, int] = field(default_factory=dict)
    batches: dict[str, BatchRecord] = field(default_factory=dict)
    """By id, each as it was last heard of."""
    told: deque[Retried | Failed | BatchRecord | str] = field(default_factory=deque)
    """What is still to be said: notices, and where `verbose` each event."""

    def planned(self, model: Model, count: int) -> None:
        """Called once for each model, before anything is sent."""
        if self.began_s is None:
            self.began_s = self.clock()
        self.models.setdefault(model.name, ModelCounts()).planned += count

    def sent(self, trial: Trial) -> None:
        """An attempt leaves; trials whose batch was taken come without messages, and are not on the wire."""
        if trial.adapted.request.messages:
            self.models[trial.cell.model.name].attempts += 1

    def answered(self, trial: Trial, answer: Answer) -> None:
        """One further."""
        counted = self.models[trial.cell.model.name]
        if answer.route == "live":
            counted.live += 1
        else:
            counted.batched += 1
        counted.sample = (trial, answer)

    def failed(self, trial: Trial, failure: Failure) -> None:
        """One further, and why."""
        counted, kind = self.models[trial.cell.model.name], failure.problem.kind
        counted.failed += 1
        if failure.attempts and kind != NOT_SENT and trial.adapted.request.messages:
            counted.ended += 1
        self.failures[kind] = self.failures.get(kind, 0) + 1
        if self.verbose:
            self.told.append(Failed(trial, failure))

    def waiting(self, model: Model, kind: str, wait_s: float, reason: str = "") -> None:
        """A retry, and why."""
        counted = self.models[model.name]
        counted.waits += 1
        before = counted.trouble
        since = before.since_s if before is not None and before.live == counted.live else self.clock()
        counted.trouble = Trouble(kind, reason, counted.live, since)
        self.retries[kind] = self.retries.get(kind, 0) + 1
        if self.verbose:
            self.told.append(Retried(model.name, kind, wait_s, reason))

    def batch(self, entry: BatchRecord) -> None:
        """A batch, whenever something about it has changed."""
        self.batches[entry.id] = entry
        if self.verbose:
            self.told.append(entry)

    def notice(self, line: str) -> None:
        """Said whether `verbose` or not."""
        self.told.append(line)
