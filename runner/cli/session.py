"""One start of the program as its user sees it: progress, tables, MLflow, exit status, what to type next."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Protocol, Self

from runner import pipeline
from runner.cli import tables
from runner.cli.output import called_as, console, quoted, say_logged, say_next, say_not_logged, short
from runner.cli.preload import Ahead
from runner.cli.progress.display import Progress
from runner.errors import RunnerError, TrackingError
from runner.plan import estimate
from runner.reporting.formatting import many, money
from runner.reporting.tracking.process import Tracker
from runner.results import manifest, summary
from runner.results.launch import JobResult, Launch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from runner.cli.arguments import Loudness
    from runner.plan.job import Job

REPORT = "report.html"
EXIT_OK, EXIT_FAILED_TRIALS, EXIT_BUDGET, EXIT_DETACHED, EXIT_INTERRUPTED = 0, 3, 4, 5, 130

WHYS = 3
"""Kinds of failure that are shown with an example."""
LONGEST = 300
"""Characters of such an example."""


class Runs(Protocol):
    """What a task hands its jobs to: runner.cli.session.Session, or the planner in its place."""

    @property
    def has_results(self) -> bool:
        """Whether any job could be run."""

    def run(self, jobs: Sequence[Job]) -> list[JobResult]:
        """Run jobs as one."""

    def fail(self, index: int, folder: Path, overrides: Sequence[str], error: RunnerError) -> None:
        """Take up a job whose config is wrong."""

    def finish(self, sweep: Path | None = None) -> int:
        """Show what came of it; the exit status."""

    def close(self) -> None:
        """End what runs beside."""


class Session:
    """A launch from its first job to its last word. Used as a context manager; `finish` ends it well."""

    def __init__(self, command: str, *, tracked: bool = True, loudness: Loudness = "usual") -> None:
        self.launch = Launch(command)
        self.loudness: Loudness = loudness
        self.console = console()
        self._tracked = tracked
        self._tracker = Tracker()
        self._ahead = Ahead()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what runs beside; a launch that was begun in MLflow and not logged is closed there."""
        self._ahead.end()
        self._tracker.close("KILLED" if self.launch.interrupted else "FAILED")

    @property
    def has_results(self) -> bool:
        """Whether any job could be run."""
        return any(result.error is None for result in self.launch.results)

    def run(self, jobs: Sequence[Job]) -> list[JobResult]:
        """Run jobs as one dispatch and write each one's folder. A sweeper may call it several times.

        RunnerError where an earlier turn was interrupted, of which a sweeper does not hear otherwise.
        """
        if self.launch.interrupted:
            stopped = RunnerError("interrupted; what was answered is kept", advice=self.launch.command)
            stopped.exit_status = EXIT_INTERRUPTED
            raise stopped
        if names := estimate.sent_live(job.experiment for job in jobs):
            self._say(f"live, as they have no batch API: {', '.join(names)}")
        with Progress(self.console, self.loudness, lambda: self.launch.interrupted) as observer:
            results = pipeline.launch(self.launch, jobs, observer, begins=self._begin)
        self._ahead.end()
        for result in results:
            manifest.write(self.launch, result)
        return results

    def _begin(self, this: Launch) -> None:
        self._ahead.begin(lambda: this.purchase.first_sent_s is not None)
        if self._is_tracked():
            self._tracker.begin(this)

    def _is_tracked(self) -> bool:
        asked = (one.experiment.tracking.enabled for one in self.launch.results if one.experiment is not None)
        return self._tracked and next(asked, False)

    def fail(self, index: int, folder: Path, overrides: Sequence[str], error: RunnerError) -> None:
        """Take up a sweep's job whose config is wrong: it is shown with the others, and nothing is asked for it."""
        result = JobResult(index, folder, tuple(overrides), None, error=error)
        self.launch.results.append(result)
        manifest.write(self.launch, result)

    def rewrite(self, jobs: Sequence[Job]) -> None:
        """Write what jobs came to again from the ledger, as when their batches have ended."""
        for result in pipeline.rewrite(self.launch, jobs):
            manifest.write(self.launch, result)

    def finish(self, sweep: Path | None = None) -> int:
        """Show the results, log them to MLflow, and return the exit status. `sweep` is a sweep's folder."""
        self.launch.results.sort(key=lambda result: result.index)
        self.launch.seen = set()  # no turn follows, and tables need the room
        if sweep is not None:
            for result in self.launch.results:
                if not (result.folder / "run.json").exists():  # of a turn that could not be run
                    manifest.write(self.launch, result)
            manifest.write_sweep(self.launch, sweep)
        folder = sweep or self.launch.results[0].folder
        if self._tracked:
            wanted = all(result.experiment is None or result.experiment.report for result in self.launch.results)
            reporting = _begin_report(folder) if wanted else None
            if reporting is None:
                self._begin_log(folder)
            self._show(sweep)
            if reporting is not None:
                self._end_report(reporting, folder)
                self._begin_log(folder)  # the page is one of its artifacts
            self._end_log(folder)
        status = self._status(folder)
        if status == EXIT_OK and self._tracked and self.loudness != "quiet":
            say_next(self.console, folder)
        return status

    def _show(self, sweep: Path | None) -> None:
        done = [result for result in self.launch.results if result.error is None]
        if counted := [result.tally for result in done if result.tally.rows]:
            self.console.print(tables.render_verification(summary.verification(*counted)))
            self.console.print(tables.render_scores(summary.scores_by_model_persona(*counted)))
        if sweep is not None:
            axes = manifest.axes_of([result.overrides for result in self.launch.results])
            lines = [manifest.job_line(self.launch, result, sweep) for result in self.launch.results]
            self.console.print(tables.render_jobs(lines, axes))
        self._say_totals()
        self._say(f"results: {short(sweep or done[0].folder)}")

    def _say_totals(self) -> None:
        purchase, counts = self.launch.purchase, [result.counts for result in self.launch.results]
        total = {name: sum(getattr(count, name) for count in counts) for name in manifest.COUNTED}
        prices = [count.price_usd for count in counts]
        spent = "" if None in prices else f", ${usd:.4g} spent" if (usd := sum(filter(None, prices))) else ""
        collapsed = f", {total['collapsed']} collapsed into others" if total["collapsed"] else ""
        waiting = f" ({len(purchase.pending)} requests wait in batches)" if purchase.pending else ""
        unread = sum((result.unread for result in self.launch.results), Counter[str]())
        lost = self._lost()
        scored = f"{total['scored']} of {total['trials']} scored, {total['unscorable']} unscorable{_kinds(unread)}"
        lacking = f"{total['failed']} {'without a reply' if waiting else 'failed'}"
        self._say(f"{scored}, {lacking}{_kinds(lost)}{waiting}")
        bought = (
            f"{many(purchase.requests_sent, 'request')} sent, {many(total['from_ledger'], 'answer')} from the ledger"
        )
        self._say(f"{bought}{collapsed}{spent}")
        if saved := sum(count.saved_usd for count in counts):
            some = "at least " if any(count.price_usd is None for count in counts) else ""
            self._say(f"batches saved {some}${money(saved)} of the live price")

    def _end_report(self, process: subprocess.Popen[str], folder: Path) -> None:
        """The page: whatever goes wrong with it costs the run nothing but a line; results are on disk."""
        _, words = process.communicate()
        if process.returncode == 0:
            self._say(f"report:  {short(folder / REPORT)}")
            return
        why = next((line for line in words.splitlines() if line.startswith("error")), f"status {process.returncode}")
        self._say(f"report:  none: {why.removeprefix('error: ')}. Try: {called_as()} report {short(folder)}")

    def _begin_log(self, folder: Path) -> None:
        if self._is_tracked():
            counted = {result.folder: result.tally for result in self.launch.results if result.error is None}
            self._tracker.log(folder, counted)

    def _end_log(self, folder: Path) -> None:
        """An MLflow that cannot be reached costs nothing but a line."""
        if not self._is_tracked():
            return
        try:
            say_logged(self.console, self._tracker.logged())
        except TrackingError as error:
            say_not_logged(self.console, error, folder)

    def _status(self, folder: Path) -> int:
        command = self.launch.command
        if self.launch.purchase.over_budget:
            self._say(f"stopped at budget.max_usd; what was answered is kept. Raise it and continue: {command}")
            if batches := set(self.launch.purchase.pending.values()):
                stop = f"{called_as()} cancel {quoted(folder)}"
                self._say(f"{len(batches)} batches still run, and are billed. Ask them to stop: {stop}")
            return EXIT_BUDGET
        if batches := set(self.launch.purchase.pending.values()):
            look = f"runner status {short(folder)}"
            self._say(f"{len(batches)} batches still run; nothing is lost. Look: {look}. Continue: {command}")
            return EXIT_DETACHED
        if self.launch.interrupted:
            self._say(f"interrupted; what was answered is kept. Continue: {command}")
            return EXIT_INTERRUPTED
        wrong = [result for result in self.launch.results if result.error is not None]
        for result in wrong:
            self._say(f"job {result.index} failed: {result.error}")
        failed = sum(result.counts.failed for result in self.launch.results)
        if failed:
            self._say_why()
            self._say(
                f"{many(failed, 'trial')} failed, see errors.jsonl below {short(folder)}. Try them again: {command}"
            )
        elif wrong:
            self._say(f"correct what is wrong and run it again; nothing is bought twice: {command}")
        return EXIT_FAILED_TRIALS if failed or wrong else EXIT_OK

    def _say_why(self) -> None:
        """The commonest ways in which trials failed, each with what one provider said."""
        said = {item.problem.kind: item.problem.message for item in self.launch.purchase.failures.values()}
        for kind, count in self._lost().most_common(WHYS):
            message = said.get(kind, "see errors.jsonl")  # a later turn has got an answer after all
            self._say(
                f"  {kind}, {many(count, 'trial')}: {message if len(message) <= LONGEST else message[:LONGEST] + '…'}"
            )

    def _lost(self) -> Counter[str]:
        return sum((result.lost for result in self.launch.results), Counter[str]())

    def _say(self, line: str) -> None:
        self.console.print(line, soft_wrap=True, markup=False)


def _kinds(counted: Counter[str]) -> str:
    return f" ({', '.join(f'{kind} {count}' for kind, count in counted.most_common())})" if counted else ""


def _begin_report(folder: Path) -> subprocess.Popen[str]:
    """Have the page written in a process of its own: what it imports and holds is more than the rest of the run."""
    words = [sys.executable, "-m", "runner", "report", str(folder)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # noqa: S603  itself
