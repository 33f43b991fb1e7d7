"""One launch done, from its first job to its last file, and nothing said of it.

Dispatch, the jobs' folders, the report and MLflow. What came of it are values: a Launch, the page, the runs in MLflow,
or the error that stands in their place. The command line says them; the Python API gives them back.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Self

from runner import pipeline
from runner.errors import RunnerError
from runner.ledger.answers import open_ledger
from runner.reporting import drift as comparing
from runner.reporting.html.process import PageWriter
from runner.reporting.tracking.process import Tracker
from runner.results import manifest
from runner.results.again import drift as drifting
from runner.results.launch import JobResult, Launch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from runner.dispatch.observer import Observer
    from runner.dispatch.purchase import Purchase
    from runner.plan.job import Job
    from runner.records import Tracking
    from runner.reporting.drift import DriftReport
    from runner.reporting.tracking.store import LoggedRuns
    from runner.results.again.drift import Drift, Original


class Execution:
    """A launch as it is done. Used as a context manager; `conclude` ends it well.

    `tracked` False leaves out the report and MLflow, as for a job of a sweep that another process concludes.
    """

    def __init__(self, launch: Launch, *, tracked: bool = True) -> None:
        self.launch = launch
        self.tracked = tracked
        self._tracker = Tracker()
        self._page: PageWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what runs beside; a launch that was begun in MLflow and not logged is closed there."""
        if self._page is not None:
            self._page.close()
        self._tracker.close("KILLED" if self.launch.interrupted else "FAILED")

    @property
    def has_results(self) -> bool:
        """Whether any job could be run."""
        return any(result.error is None for result in self.launch.results)

    @property
    def is_logged(self) -> bool:
        """Whether it goes to MLflow."""
        asked = (one.experiment.tracking.enabled for one in self.launch.results if one.experiment is not None)
        return self.tracked and next(asked, False)

    def run(
        self, jobs: Sequence[Job], observer: Observer, *, begins: Callable[[], None] = lambda: None
    ) -> list[JobResult]:
        """Run jobs as one dispatch and write each one's folder. A sweeper may call it several times.

        Raises as pipeline.launch. `begins` is called when the plan holds: before that nothing is written.
        """

        def begin(this: Launch) -> None:
            begins()
            if self.is_logged:
                self._tracker.begin(this)

        results = pipeline.launch(self.launch, jobs, observer, begins=begin)
        for result in results:
            manifest.write(self.launch, result)
        return results

    def fail(self, index: int, folder: Path, overrides: Sequence[str], error: RunnerError) -> None:
        """Take up a sweep's job whose config is wrong: nothing is asked for it."""
        result = JobResult(index, folder, tuple(overrides), None, error=error)
        self.launch.results.append(result)
        manifest.write(self.launch, result)

    def interrupt(self) -> None:
        """Take note that it was stopped outside of a dispatch: jobs that are not written yet have no results."""
        self.launch.purchase.stop.asked = True
        for result in self.launch.results:
            if not (result.folder / "run.json").exists():
                result.error = result.error or RunnerError("interrupted before it had results")

    def rewrite(self, jobs: Sequence[Job]) -> None:
        """Write what jobs came to again from the ledger, as when their batches have ended."""
        for result in pipeline.rewrite(self.launch, jobs):
            manifest.write(self.launch, result)

    def conclude(self, sweep: Path | None = None) -> Path:
        """Write what the launch came to as a whole; its folder. `sweep` is a sweep's.

        The report and MLflow's runs are begun, and go on beside: `page`, then `logged`, wait for them.
        """
        launch = self.launch
        launch.results.sort(key=lambda result: result.index)
        launch.seen = set()  # no turn follows, and tables need the room
        if sweep is not None:
            for result in launch.results:
                if not (result.folder / "run.json").exists():  # of a turn that could not be run
                    manifest.write(launch, result)
            manifest.write_sweep(launch, sweep)
        folder = sweep or launch.results[0].folder
        if self.tracked and all(result.experiment is None or result.experiment.report for result in launch.results):
            self._page = PageWriter(folder)
        else:
            self._begin_log(folder)
        return folder

    def page(self) -> Path | None:
        """The report, once it is written; None where none is asked for. RunnerError where it could not be."""
        if self._page is None:
            return None
        try:
            return self._page.written()
        finally:
            self._begin_log(self._page.page.parent)  # the page is one of its artifacts
            self._page = None

    def logged(self, waits: Callable[[float], object] = lambda _: None) -> LoggedRuns | None:
        """The runs in MLflow, once they are there; None where it is not logged.

        TrackingError where MLflow cannot be reached, refuses, or keeps silent: `waits` is called before that, with the
        seconds for which it is still waited for. KeyboardInterrupt ends the wait, and leaves MLflow alone.
        """
        try:
            return self._tracker.logged(waits) if self.is_logged else None
        except KeyboardInterrupt:
            self._tracker.give_up()
            raise

    def _begin_log(self, folder: Path) -> None:
        if self.is_logged:
            counted = {result.folder: result.tally for result in self.launch.results if result.error is None}
            self._tracker.log(folder, counted)


def ask_sample(drift: Drift, run: Original, observer: Observer, purchase: Purchase) -> DriftReport:
    """Ask a run's sample again, compare, and write the drift down; raises as drift.ask."""
    with open_ledger(run.ledger_url) as ledger:
        pairs = drifting.ask(drift, run, ledger, observer, purchase)
    found = comparing.compare(pairs, drift)
    drift.found = asdict(found)
    drift.save()
    return found


def log_drift(drift: Drift, found: DriftReport, tracking: Tracking) -> None:
    """Log a drift to MLflow, where that is asked for, and note where. TrackingError where that cannot be done."""
    from runner.reporting.tracking import drift as logging

    if tracking.enabled:
        drift.mlflow = logging.log(drift, found, tracking)
        drift.save()
