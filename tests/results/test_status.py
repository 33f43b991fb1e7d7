"""What a launch's own files call a job, and the whole."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runner.dispatch.observer import NOT_SENT
from runner.errors import ConfigError, RunnerError
from runner.results.launch import Counts, JobResult, Launch
from runner.results.manifest import Status, status_of


@dataclass(frozen=True)
class Case:
    """One job of a launch, and its status where the launch was stopped and where it was not."""

    id: str
    stopped: Status
    ended: Status
    failed: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    pending: int = 0
    rows: int = 4
    error: RunnerError | None = None


CASES = (
    Case("complete", "FINISHED", "FINISHED"),
    Case("a trial failed by itself", "FINISHED", "FINISHED", failed=1, lost={"server": 1}),
    Case("all failed by themselves", "FAILED", "FAILED", failed=4, lost={"server": 4}),
    Case("a trial was not sent", "KILLED", "FINISHED", failed=2, lost={"server": 1, NOT_SENT: 1}),
    Case("nothing was sent", "KILLED", "FAILED", failed=4, lost={NOT_SENT: 4}),
    Case("has no rows", "KILLED", "FAILED", rows=0),
    Case("its batch runs", "SCHEDULED", "SCHEDULED", failed=1, pending=1),
    Case("was refused", "FAILED", "FAILED", rows=0, error=ConfigError("no")),
    Case("had no time", "KILLED", "FAILED", rows=0, error=RunnerError("interrupted before it had results")),
)


def result_of(case: Case) -> JobResult:
    result = JobResult(0, Path(), (), None, counts=Counts(trials=case.rows, failed=case.failed), error=case.error)
    result.lost, result.pending, result.tally.rows = Counter(case.lost), case.pending, case.rows
    return result


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_job_is_called_what_became_of_it(case: Case) -> None:
    """A stop is told of the jobs that it left something of to ask, and of the sweep; not of what was done before."""
    complete, result = result_of(CASES[0]), result_of(case)
    launch = Launch("runner -m", results=[complete, result])
    assert status_of(launch, [result]) == case.ended
    launch.purchase.stop.asked = True
    launch.purchase.pending = {"key": "batch"} if case.pending else {}
    assert status_of(launch, [result]) == case.stopped
    assert status_of(launch, [complete]) == "FINISHED"
    assert status_of(launch, launch.results, is_whole=True) == ("SCHEDULED" if case.pending else "KILLED")
