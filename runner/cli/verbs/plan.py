"""`runner plan`: composes what a run would compose, and shows what it would buy. Takes the place of a session."""

from __future__ import annotations

import shlex
from collections import Counter
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from runner.cli.output import console, say
from runner.cli.verbs.show import UnknownTrialError, show
from runner.config import retirement
from runner.errors import ConfigError
from runner.plan import estimate, nuisance
from runner.plan.job import TrialPlan, models_of
from runner.reporting.formatting import NONE, duration, many, money, short_count
from runner.reporting.terminal import empty_table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date
    from pathlib import Path

    from rich.console import Group
    from rich.table import Table

    from runner.cli.main import Compose
    from runner.errors import RunnerError
    from runner.plan.estimate import Estimate, Line
    from runner.plan.job import Job
    from runner.records import Experiment
    from runner.reporting.progress import Loudness
    from runner.results.launch import JobResult


def options_plan(parser: argparse.ArgumentParser) -> None:
    """What to show in place of the estimate."""
    trial = "print one request of each model as it would get it, or that of MODEL/PERSONA/TEXT/REPETITION"
    parser.add_argument("--show", metavar="TRIAL", nargs="?", const="", default=None, help=trial)


def run_plan(asked: argparse.Namespace, compose: Compose) -> int:
    """Compose a run or a sweep in a folder that nobody keeps, and show what it would buy."""

    def make(_command: str, _loudness: Loudness) -> Planner:
        return Planner(asked.show)

    with TemporaryDirectory() as folder:
        quiet = ("hydra.output_subdir=null", f"hydra.run.dir={folder}", f"hydra.sweep.dir={folder}")
        try:
            return compose(make, *quiet, "hydra/launcher=pooled")
        except UnknownTrialError as error:
            meant = [word.replace(asked.show, error.near[0]) if asked.show in word else word for word in asked.typed]
            error.advice = shlex.join(["runner", "plan", *meant])
            raise


class Planner:
    """Collects a launch's jobs and estimates them together. Sends nothing and writes nothing.

    `trial`: show one request of each model ("") or the one that is named, instead of the estimate.
    `today` decides which models end soon.
    """

    def __init__(self, trial: str | None = None, today: date | None = None) -> None:
        self.trial = trial
        self.today = today or retirement.now()
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
        from runner.results.launch import JobResult

        self.jobs += jobs
        return [JobResult.of(job) for job in jobs]

    def fail(self, index: int, _folder: Path, _overrides: Sequence[str], error: RunnerError) -> None:
        """Take up a job whose config is wrong."""
        self.errors.append((index, error))

    def interrupt(self) -> None:
        """Nothing is lost by it."""

    def finish(self, _sweep: Path | None = None) -> int:
        """Show the table, or the requests; 2 where a job could not be planned."""
        if self.trial is None:
            self._estimate()
        else:
            show(self._plans(), self.trial)
        for index, error in self.errors:
            say(f"job {index} cannot be planned: {error}")
        return ConfigError.exit_status if self.errors else 0

    def _plans(self) -> list[TrialPlan]:
        return [TrialPlan(job.experiment, origin=job.origin) for job in self.jobs]

    def _estimate(self) -> None:
        from runner import pipeline

        found = pipeline.estimate_of(self._plans())
        console().print(render_estimate(found))
        for line in dict.fromkeys(line for job in self.jobs for line in nuisance.priced(job.experiment)):
            say(line)
        for line in retirement.told(models_of(job.experiment for job in self.jobs), self.today):
            say(line)
        for line in untold(job.experiment for job in self.jobs):
            say(line)
        limit = self.jobs[0].experiment.budget_usd
        if limit is not None and (found.live_usd is None or found.live_usd > limit):
            say(f"above budget.max_usd of ${limit:.4g}: such a run is refused")

    def close(self) -> None:
        """Nothing runs beside."""


def untold(experiments: Iterable[Experiment]) -> list[str]:
    """A warning for each question whose range or options no request ever tells, with the sentence to add."""
    from runner.plan.job import TrialPlan

    first = {experiment.prompts: experiment for experiment in experiments}
    return [
        f"prompt/{prompt}.yaml never tells what may be answered. Add to its user template: {sentence}"
        for experiment in first.values()
        for sentence, prompt in TrialPlan(experiment).untold().items()
    ]


# ---- the terminal ----------------------------------------------------------------------------------------------------


def render_estimate(found: Estimate) -> Group:
    """What would be bought from each model, what is dropped, and what is assumed."""
    from rich.console import Group
    from rich.text import Text

    tables = [_bought(found), *([_dropped(found)] if found.droppings else [])]
    return Group(*tables, *(Text(remark) for remark in _remarks(found)))


def _bought(found: Estimate) -> Table:
    headers = ("cells", "trials", "paid", "same", "buy", "tokens\nin/out", "USD\nlive", "USD\nbatch", "time\nlive")
    shown = empty_table("What would be bought", ["model"], headers)
    names = Counter(line.model for line in found.lines)
    for line in found.lines:
        name = line.model if names[line.model] == 1 else f"{line.model}\n{line.model_id}"
        shown.add_row(name, *_figures(line), end_section=line is found.lines[-1])
    if len(found.lines) > 1:
        shown.add_row("all", *_figures(found.total))
    return shown


def _figures(line: Line) -> tuple[str, ...]:
    return (
        *(short_count(count) for count in (line.cells, line.trials, line.paid, line.collapsed, line.requests)),
        f"{short_count(line.input_tokens)}/{short_count(line.output_tokens)}",
        _price(line.live_usd),
        _price(line.batch_usd) if line.batch_api else NONE,
        duration(line.live_s),
    )


def _dropped(found: Estimate) -> Table:
    shown = empty_table("Dropped or changed", ["model", "parameter"], ["trials"])
    shown.add_column("why", overflow="fold")
    for item in found.droppings:
        shown.add_row(item.model, item.parameter, short_count(item.trials), item.reason)
    return shown


def _remarks(found: Estimate) -> Iterator[str]:
    total = found.total
    waiting = f"{total.waiting} in batches that still run, " if total.waiting else ""
    yield (
        f"{many(total.trials, 'trial')} of {many(found.jobs, 'job')}: {total.paid} in the ledger, "
        f"{total.collapsed} the same as an earlier one, {waiting}{total.requests} to buy. Nothing was sent."
    )
    if total.again:
        worst = "" if found.worst_usd is None else f"; at worst ${money(found.worst_usd)} in all, live"
        yield f"ask_again may add {many(total.again, 'request')} where replies cannot be read{worst}."
    if found.unpriced:
        yield f"No price is known of {', '.join(found.unpriced)}: see prices in its file."
    if found.live:
        yield f"Live, as they have no batch API: {', '.join(found.live)}."
    bought = [line for line in found.lines if line.requests]
    if unknown := [line.model for line in bought if line.live_usd is not None and line.batch_usd is None]:
        yield f"No batch price is known of {', '.join(unknown)}."
    if reasoning := [line.model for line in bought if line.reasons]:
        yield f"Output at max_tokens, because they may reason: {', '.join(reasoning)}."
    if not bought:
        return
    names = sorted({line.tokenizer for line in bought})
    pace = estimate.PACE
    yield (
        f"Assumed: replies as long as their schema allows; {pace.start_s:g} s and {pace.tokens_per_s:g} tokens/s a "
        f"request; batches within {estimate.BATCH_WINDOW_H} h. Tokens counted by {', '.join(names)}."
    )


def _price(usd: float | None) -> str:
    """An estimate of US dollars; "?" where the price is unknown."""
    return "?" if usd is None else money(usd)
