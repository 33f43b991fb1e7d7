"""One start of the program as its user sees it: progress, tables, MLflow, exit status, what to type next.

What is done is runner/execution.py's; here it is said.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol, Self

from runner.cli import tables
from runner.cli.output import called_as, console, quoted, say_logged, say_next, say_not_logged
from runner.config import retirement
from runner.errors import RunnerError, TrackingError
from runner.execution import Execution
from runner.plan import estimate
from runner.plan.job import models_of
from runner.records import REFUSED
from runner.reporting.formatting import many, money
from runner.reporting.progress.display import Progress
from runner.results import manifest, served, summary
from runner.results.launch import JobResult, Launch
from runner.results.rows import DAMAGED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date
    from pathlib import Path
    from types import TracebackType

    from runner.plan.job import Job
    from runner.reporting.progress import Loudness
    from runner.results.launch import Ending
    from runner.results.tally import Tally

EXIT_OK, EXIT_FAILED_TRIALS, EXIT_BUDGET, EXIT_DETACHED, EXIT_INTERRUPTED = 0, 3, 4, 5, 130
EXITS: Mapping[Ending, int] = {
    "complete": EXIT_OK,
    "failed": EXIT_FAILED_TRIALS,
    "over_budget": EXIT_BUDGET,
    "detached": EXIT_DETACHED,
    "interrupted": EXIT_INTERRUPTED,
}
"""The exit status for each way in which a launch ends."""

REFUSALS = (
    "ask_again.kinds has refused: a refusal is data, and asked until it gives in a model refuses less; report how many "
    "were asked again (results.jsonl: asked, taken)"
)
WHYS = 3
"""Kinds of failure that are shown with an example."""
LONGEST = 300
"""Characters of such an example."""


class Runs(Protocol):
    """What a task hands its jobs to: runner.cli.session.Session, or the planner in its place."""

    @property
    def has_begun(self) -> bool:
        """Whether anything may have been asked or written; a command that is refused before leaves nothing."""

    @property
    def has_results(self) -> bool:
        """Whether any job could be run."""

    def run(self, jobs: Sequence[Job]) -> list[JobResult]:
        """Run jobs as one."""

    def fail(self, index: int, folder: Path, overrides: Sequence[str], error: RunnerError) -> None:
        """Take up a job whose config is wrong."""

    def interrupt(self) -> None:
        """Take note that it was stopped while nothing was being asked."""

    def finish(self, sweep: Path | None = None) -> int:
        """Show what came of it; the exit status."""

    def close(self) -> None:
        """End what runs beside."""


class Session:
    """A launch from its first job to its last word. Used as a context manager; `finish` ends it well.

    `launch` is one that was begun before, and is only written again. `today` decides which models end soon.
    """

    def __init__(
        self,
        command: str,
        *,
        tracked: bool = True,
        loudness: Loudness = "usual",
        launch: Launch | None = None,
        today: date | None = None,
    ) -> None:
        self.execution = Execution(launch or Launch(command), tracked=tracked)
        self.loudness: Loudness = loudness
        self.today = today or retirement.now()
        self.told = set[str]()
        """What was said of models' ends."""
        self.console = console()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what runs beside."""
        self.execution.close()

    @property
    def launch(self) -> Launch:
        """What is done."""
        return self.execution.launch

    @property
    def has_begun(self) -> bool:
        """Whether anything may have been asked or written."""
        return self.launch.begun

    @property
    def has_results(self) -> bool:
        """Whether any job could be run."""
        return self.execution.has_results

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
        if overruled := estimate.batch_settings_overruled(job.experiment for job in jobs):
            self._say(f"jobs share their batches, and the first one's settings hold for all: {', '.join(overruled)}")
        if any(_asks_refusals(job) for job in jobs):
            self._say(REFUSALS)
        ends = retirement.told(models_of(job.experiment for job in jobs), self.today)
        for line in (line for line in ends if line not in self.told):
            self._say(line)
        self.told.update(ends)  # a search comes here once for each of its turns
        with Progress(self.console, self.loudness, lambda: self.launch.interrupted) as observer:
            return self.execution.run(jobs, observer)

    def fail(self, index: int, folder: Path, overrides: Sequence[str], error: RunnerError) -> None:
        """Take up a sweep's job whose config is wrong: it is shown with the others, and nothing is asked for it."""
        self.execution.fail(index, folder, overrides, error)

    def interrupt(self) -> None:
        """Take note that it was stopped while nothing was being asked, as between two turns of a sweeper."""
        self.execution.interrupt()

    def finish(self, sweep: Path | None = None) -> int:
        """Show the results, log them to MLflow, and return the exit status. `sweep` is a sweep's folder."""
        folder = self.execution.conclude(sweep)
        if self.execution.tracked:
            self._show(sweep)
            self._say_page(folder)
            self._say_logged(folder)
        status = self._status(folder)
        if status == EXIT_OK and self.execution.tracked and self.loudness != "quiet":
            say_next(self.console, folder)
        return status

    def _show(self, sweep: Path | None) -> None:
        done = [result for result in self.launch.results if result.error is None]
        if counted := [result.tally for result in done if result.tally.rows]:
            self.console.print(tables.render_verification(summary.verification(*counted)))
            if any(tally.scores for tally in counted):
                self.console.print(tables.render_scores(summary.scores_by_model_persona(*counted), _over(counted)))
        if sweep is not None:
            axes = manifest.axes_of([result.overrides for result in self.launch.results])
            lines = [manifest.job_line(self.launch, result, sweep) for result in self.launch.results]
            self.console.print(tables.render_jobs(lines, axes))
        self._say_totals()
        for line in served.told(served.counted([result.tally for result in done])):
            self._say(line)
        self._say(f"results: {quoted(sweep or done[0].folder)}")

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
        self._say_asked_again(total["asked_again"])
        if saved := sum(count.saved_usd for count in counts):
            some = "at least " if any(count.price_usd is None for count in counts) else ""
            self._say(f"batches saved {some}${money(saved)} of the live price")

    def _say_asked_again(self, count: int) -> None:
        if count:
            what = many(count, "further reply", "further replies")
            self._say(f"asked again: {what}, in tokens and price; results.jsonl says what a row holds (asked, taken)")
        if lost := sum((result.lost_again for result in self.launch.results), Counter[str]()):
            self._say(f"{many(lost.total(), 'further attempt')} failed{_kinds(lost)}: the same command tries again")

    def _say_page(self, folder: Path) -> None:
        """Whatever goes wrong with the page costs the run nothing but a line; results are on disk."""
        try:
            page = self.execution.page()
        except RunnerError as error:
            self._say(f"report:  none: {error}. Try: {called_as()} report {quoted(folder)}")
            return
        if page is not None:
            self._say(f"report:  {quoted(page)}")

    def _say_logged(self, folder: Path) -> None:
        """An MLflow that cannot be reached costs nothing but a line."""
        waits = "MLflow:  nothing gets there; it is waited for {:.0f} s more at most, and Ctrl-C leaves it"
        try:
            logged = self.execution.logged(lambda left_s: self._say(waits.format(left_s)))
        except TrackingError as error:
            say_not_logged(self.console, error, folder)
            return
        except KeyboardInterrupt:
            say_not_logged(self.console, TrackingError("MLflow: left alone"), folder)
            return
        if logged is not None:
            say_logged(self.console, logged)

    def _status(self, folder: Path) -> int:
        """Say how it ended, and what to type next; the exit status."""
        command, ending = self.launch.command, self.launch.ending
        batches = len(set(self.launch.purchase.pending.values()))
        if ending == "over_budget":
            self._say(f"stopped at budget.max_usd; what was answered is kept. Raise it and continue: {command}")
            if batches:
                stop = f"{called_as()} cancel {quoted(folder)}"
                self._say(f"{batches} batches still run, and are billed. Ask them to stop: {stop}")
        elif ending == "detached":
            look = f"runner status {quoted(folder)}"
            self._say(f"{batches} batches still run; nothing is lost. Look: {look}. Continue: {command}")
        elif ending == "interrupted":
            self._say(f"interrupted; what was answered is kept. Continue: {command}")
        elif ending == "failed":
            self._say_failures(folder)
        self._say_no_replies(folder)
        return EXITS[ending]

    def _say_failures(self, folder: Path) -> None:
        command = self.launch.command
        wrong = [result for result in self.launch.results if result.error is not None]
        for result in wrong:
            self._say(f"job {result.index} failed: {result.error}")
        if failed := sum(result.counts.failed for result in self.launch.results):
            self._say_why()
            lost = f"{many(failed, 'trial')} failed, see errors.jsonl below {quoted(folder)}."
            if self._lost()[DAMAGED]:
                forget = f"{called_as()} ledger forget {quoted(folder)} --kind {DAMAGED} --kind not_a_reply --yes"
                self._say(f"damaged rows of the ledger are not bought again before it forgets them: {forget}")
            self._say(f"{lost} Try them again: {command}")
        elif wrong:
            self._say(f"correct what is wrong and run it again; nothing is bought twice: {command}")

    def _say_no_replies(self, folder: Path) -> None:
        """What an earlier version took for answers is asked anew only once the ledger has forgotten it."""
        if count := sum(result.no_replies for result in self.launch.results):
            what = many(count, "answer in the ledger is no reply", "answers in the ledger are no replies")
            forget = f"{called_as()} ledger forget {quoted(folder)} --kind not_a_reply --yes"
            self._say(f"{what} of the API that was asked (an earlier version kept such); nothing was sent for them")
            self._say(f"  forget them: {forget}")
            self._say(f"  then ask again: {self.launch.command}")

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


def _asks_refusals(job: Job) -> bool:
    again = job.experiment.ask_again
    return bool(again.unscorable) and REFUSED in again.kinds


def _kinds(counted: Counter[str]) -> str:
    return f" ({', '.join(f'{kind} {count}' for kind, count in counted.most_common())})" if counted else ""


def _over(counted: Sequence[Tally]) -> dict[str, int]:
    """What the means of all jobs are over, beside what their table shows."""
    return {name: size for name, size in summary.varied(*counted).items() if name != "sampling.temperature"}
