"""One start of the program: its jobs, what each came to, and what was bought for them."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from runner.dispatch.observer import NOT_SENT
from runner.dispatch.purchase import Purchase
from runner.errors import ConfigError
from runner.results.summary import summary as summary_of
from runner.results.summary import total_metrics
from runner.results.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from runner.errors import RunnerError
    from runner.plan.job import Job
    from runner.records import Experiment, Row

PENDING = "pending"
"""Kind of a trial whose batch still runs."""

Ending = Literal["complete", "failed", "over_budget", "detached", "interrupted"]
"""How a launch ended. failed: a job or a trial has no reply. detached: batches still run."""


@dataclass(slots=True)
class Counts:
    """What happened to a job's trials. Names as in run.json."""

    trials: int = 0
    scored: int = 0
    unscorable: int = 0
    failed: int = 0
    from_ledger: int = 0
    answered: int = 0
    """Trials whose answer is in the ledger."""
    collapsed: int = 0
    """Trials that shared their request, and so their answer, with an earlier trial of the same launch."""
    asked_again: int = 0
    """Further attempts at trials that were asked before: those with a reply, whenever they were bought."""
    price_usd: float | None = 0.0
    """Spent in this launch; None where a price is unknown."""
    saved_usd: float = 0.0
    """What live would have cost more, as far as that is known."""

    def add(self, row: Row) -> None:
        """Count a row, except for `collapsed`, which the row does not know."""
        self.trials += 1
        setattr(self, row.outcome, getattr(self, row.outcome) + 1)
        self.from_ledger += row.source == "ledger"
        self.answered += row.source is not None
        self.asked_again += row.asked - 1
        if row.source == "bought" and self.price_usd is not None:
            self.price_usd = None if row.price_usd is None else self.price_usd + row.price_usd - row.earlier_usd
        if row.source == "bought":
            self.saved_usd += row.saved_usd or 0.0


@dataclass(slots=True)
class JobResult:
    """What a job came to, once its results are written or it has failed."""

    index: int
    folder: Path
    overrides: tuple[str, ...]
    experiment: Experiment | None
    """None where its config could not be read."""
    counts: Counts = field(default_factory=Counts)
    tally: Tally = field(default_factory=Tally)
    unread: Counter[str] = field(default_factory=Counter)
    """Kinds of unscorable replies, and how many of each."""
    lost: Counter[str] = field(default_factory=Counter)
    """Kinds of failure, and how many trials of each; not those that a batch may still answer."""
    pending: int = 0
    """Trials that a batch may still answer."""
    error: RunnerError | None = None
    """Why it has no results; None where it has."""
    lost_again: Counter[str] = field(default_factory=Counter)
    """Kinds of failure of further attempts at trials that have a reply, and how many of each."""
    no_replies: int = 0
    """Trials whose answer in the ledger is no reply: nothing is asked for them before it is forgotten."""
    is_swept: bool = False
    """Whether it is one of a sweep's."""
    _summary: pd.DataFrame | None = None

    @classmethod
    def of(cls, job: Job) -> JobResult:
        """A job's result before anything has happened."""
        tally = Tally(scales=job.experiment.scales)
        return cls(job.index, job.folder, job.overrides, job.experiment, tally=tally, is_swept=job.is_swept)

    def note(self, row: Row) -> None:
        """Take up a row, but for `counts`."""
        self.tally.add(row)
        if row.problem is not None and row.outcome == "unscorable":
            self.unread[row.problem.kind] += 1
        elif row.problem is not None and row.outcome == "failed" and row.problem.kind == PENDING:
            self.pending += 1
        elif row.problem is not None and row.outcome == "failed":
            self.lost[row.problem.kind] += 1

    @property
    def is_asked(self) -> bool:
        """Whether nothing of it is left to ask: each trial was asked to its end, or its config was refused."""
        return isinstance(self.error, ConfigError) or (bool(self.tally.rows) and not self.lost[NOT_SENT])

    def summary(self) -> pd.DataFrame:
        """The table of summary.csv: one row a cell, columns as in `summary.summary`. Made once its rows are written."""
        if self._summary is None:
            self._summary = summary_of(self.tally, asked=() if self.experiment is None else self.experiment.questions)
        return self._summary

    def metrics(self, *, unknown: bool = False) -> dict[str, float]:
        """What MLflow shows for the whole job, by name, in the units of `summary.total_metrics`.

        With `unknown` also what has no value here, as NaN.
        """
        return total_metrics(self.tally, unknown=unknown)


@dataclass(slots=True)
class Launch:
    """One start of the program: its jobs so far, and what was sent for them.

    A sweep's jobs may come in several turns.
    """

    command: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    purchase: Purchase = field(default_factory=Purchase)
    results: list[JobResult] = field(default_factory=list)
    """One for each job, in order."""
    seen: set[int] = field(default_factory=set)
    """Keys of all trials so far, the first 128 bits: a later one with the same key is collapsed."""
    ended: datetime | None = None
    """When it had asked everything, where it is only written again; None: now."""
    begun: bool = False
    """Whether its plan held: before that nothing is asked, and nothing written."""

    @property
    def interrupted(self) -> bool:
        """True if it was stopped before everything was asked: by a signal, or at the budget's end."""
        return self.purchase.stop.asked

    @property
    def ending(self) -> Ending:
        """How it ended; what is to be said first goes first."""
        if self.purchase.over_budget:
            return "over_budget"
        if self.purchase.pending:
            return "detached"
        if self.interrupted:
            return "interrupted"
        lacking = any(one.error is not None or one.counts.failed or one.no_replies for one in self.results)
        return "failed" if lacking else "complete"
