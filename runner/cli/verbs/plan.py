"""`runner plan`: composes what a run would compose, and shows what it would buy. Takes the place of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner import pipeline
from runner.cli import tables
from runner.cli.output import console
from runner.errors import ConfigError
from runner.results.launch import JobResult

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runner.errors import RunnerError
    from runner.plan.job import Job


class Planner:
    """Collects a launch's jobs and estimates them together. Sends nothing and writes nothing."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.errors: list[tuple[int, RunnerError]] = []

    @property
    def has_begun(self) -> bool:
        """Never: nothing is asked or written."""
        return False

    @property
    def has_results(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.jobs)

    def run(self, jobs: Sequence[Job]) -> list[JobResult]:
        """Take jobs up."""
        self.jobs += jobs
        return [JobResult.of(job) for job in jobs]

    def fail(self, index: int, _folder: Path, _overrides: Sequence[str], error: RunnerError) -> None:
        """Take up a job whose config is wrong."""
        self.errors.append((index, error))

    def finish(self, _sweep: Path | None = None) -> int:
        """Show the table; 2 where a job could not be planned."""
        found = pipeline.estimate_of([job.experiment for job in self.jobs])
        shown = console()
        shown.print(tables.render_estimate(found))
        limit = self.jobs[0].experiment.budget_usd
        if limit is not None and (found.live_usd is None or found.live_usd > limit):
            shown.print(f"above budget.max_usd of ${limit:.4g}: such a run is refused", markup=False)
        for index, error in self.errors:
            shown.print(f"job {index} cannot be planned: {error}", soft_wrap=True, markup=False)
        return ConfigError.exit_status if self.errors else 0

    def close(self) -> None:
        """Nothing runs beside."""
