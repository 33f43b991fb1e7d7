"""The Python API: what the command line does, as functions that return values and print nothing.

    experiment = compose(*overrides)    plan(experiment)    run(experiment, ...)    open_run(name)    compare(run, run)

Errors are those of the command line, with the same words. Nothing here ends the process. A run shows its progress in a
notebook, and nowhere else unless it is asked to.
"""

from __future__ import annotations

import shlex
import warnings
from dataclasses import dataclass, field
from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.config import compose as composing
from runner.config import retirement
from runner.config.origin import Origin
from runner.errors import ConfigError, RunnerError, pasted
from runner.plan.trials import count_of
from runner.results import manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import pandas as pd
    from omegaconf import DictConfig

    from runner.ledger.upkeep.contents import Contents
    from runner.plan.estimate import Estimate
    from runner.plan.job import Job
    from runner.records import Experiment, Tracking
    from runner.reporting.compare import Comparison
    from runner.reporting.design.search import Advice
    from runner.reporting.drift import DriftReport
    from runner.reporting.stats import Statistics

__all__ = ["ComposedExperiment", "Plan", "Run", "compare", "compose", "open_ledger", "open_run", "plan", "run"]


# ---- what is asked for ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class ComposedExperiment:
    """What one `compose` asks for: checked, complete and frozen."""

    experiment: Experiment
    """Models, personas, texts, prompt and sampling, as they will be asked."""
    overrides: tuple[str, ...]
    """What it was composed from."""
    config_dir: Path | None
    config: DictConfig = field(compare=False)
    """The composed config itself, with Hydra's settings; read-only."""

    @property
    def origin(self) -> Origin:
        """The words and files that set its values, for errors about them."""
        return Origin.of(self.config.hydra)

    @property
    def trials(self) -> int:
        """How many requests it stands for, before any is found in the ledger or the same as another."""
        return count_of(self.experiment)

    def __repr__(self) -> str:
        asked = self.experiment
        names = (f"{kind}=[{','.join(item.name for item in items)}]" for kind, items in _axes(asked))
        prompts = [one.name for one in asked.prompts]
        shown = prompts[0] if len(prompts) == 1 else f"[{','.join(prompts)}]"
        return f"<experiment {asked.name}: {' '.join(names)} prompt={shown}, {self.trials} trials>"


def _axes(asked: Experiment) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    return ("model", asked.models), ("persona", asked.personas), ("text", asked.texts)


def compose(*overrides: str, config_dir: str | Path | None = None) -> ComposedExperiment:
    """The experiment that overrides ask for, as `runner OVERRIDES` composes it.

    An override is written as on the command line, without the shell's quotes; `config_dir` is a folder of config
    groups of your own, as --config-dir. ConfigError, with the command line's words, where something is wrong: an
    unknown key or name, a value out of its range, a file that cannot be read. Sends nothing, writes nothing.

    >>> import runner
    >>> experiment = runner.compose("model=[gpt-6-luna]", "persona=[poet,robot]")
    >>> experiment
    <experiment demo: model=[gpt-6-luna] persona=[poet,robot] text=[lighthouse,parcel,rain] prompt=affect, 6 trials>
    >>> [persona.name for persona in experiment.experiment.personas]
    ['poet', 'robot']
    >>> runner.compose("persona=[poett]")
    Traceback (most recent call last):
    ...
    runner.errors.ConfigError: command line, key 'persona': there is no persona 'poett'; did you mean 'poet'?
    """
    from runner.config.hydra_errors import FOREIGN, translate
    from runner.config.load import load

    place = None if config_dir is None else Path(config_dir)
    config = composing.compose(overrides, place)
    try:
        checked = load(composing.without_hydra(config), Origin.of(config.hydra))
    except FOREIGN as error:
        raise translate(error, composing.conf_dir(), overrides) from error
    return ComposedExperiment(checked, overrides, place, config)


# ---- what it would cost ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """What experiments would buy together. Shown as a table, in a notebook too."""

    estimate: Estimate
    """All of it: a line for each model, and what would be dropped or changed for which."""

    @property
    def trials(self) -> int:
        """Trials in all, whether or not anything must be bought for them."""
        return self.estimate.total.trials

    @property
    def requests(self) -> int:
        """What is left to buy: not in the ledger, not in a batch that still runs, and not the same as another."""
        return self.estimate.total.requests

    @property
    def input_tokens(self) -> int:
        """Of the requests, estimated."""
        return self.estimate.total.input_tokens

    @property
    def output_tokens(self) -> int:
        """Of the requests, estimated from above: replies as long as they may be."""
        return self.estimate.total.output_tokens

    @property
    def live_usd(self) -> float | None:
        """US dollars at live prices; None where a price is unknown."""
        return self.estimate.live_usd

    @property
    def batch_usd(self) -> float | None:
        """US dollars with everything sent by batch that can be; None where a price is unknown."""
        return self.estimate.batch_usd

    @property
    def worst_usd(self) -> float | None:
        """US dollars at live prices where no reply can be read, and `ask_again` asks as often as it may."""
        return self.estimate.worst_usd

    def table(self) -> pd.DataFrame:
        """One row a model, and "all" where there are several.

        Columns: model, trials, in_ledger, same (as another trial), requests, input_tokens, output_tokens (of the
        requests), live_usd, batch_usd (NaN where unknown).
        """
        import pandas as pd

        lines = [*self.estimate.lines, *([self.estimate.total] if len(self.estimate.lines) > 1 else [])]
        table = pd.DataFrame(
            {
                "model": [line.model for line in lines],
                "trials": [line.trials for line in lines],
                "in_ledger": [line.paid for line in lines],
                "same": [line.collapsed for line in lines],
                "requests": [line.requests for line in lines],
                "input_tokens": [line.input_tokens for line in lines],
                "output_tokens": [line.output_tokens for line in lines],
                "live_usd": [line.live_usd for line in lines],
                "batch_usd": [line.batch_usd for line in lines],
            }
        )
        return table.astype({"live_usd": "float64", "batch_usd": "float64"})

    def __repr__(self) -> str:
        return f"{self._said}\n{self.table().to_string(index=False, na_rep='unknown')}"

    def _repr_html_(self) -> str:
        return f"<p>{self._said}</p>{self.table().to_html(index=False, na_rep='unknown', border=0)}"

    @property
    def _said(self) -> str:
        usd = "at an unknown price" if self.live_usd is None else f"about ${self.live_usd:.4g} live"
        return f"{self.requests} requests to buy for {self.trials} trials, {usd}. Nothing was sent."


def plan(*experiments: ComposedExperiment | Iterable[ComposedExperiment]) -> Plan:
    """What a run of the experiments would buy. Sends nothing, writes nothing, and needs no API key.

    Tokens and dollars err high rather than low. A model that has ended, or will, is a UserWarning. ConfigError where a
    prompt cannot be rendered; LedgerError where the ledger cannot be read.

    >>> import runner
    >>> plan = runner.plan(runner.compose("model=[gpt-6-luna]", "persona=[poet,robot]", "sampling.trials=5"))
    >>> plan.trials, plan.requests
    (30, 30)
    >>> 0 < plan.batch_usd < plan.live_usd < 0.05
    True
    """
    from runner import pipeline
    from runner.plan.job import TrialPlan

    asked = _flat(experiments)
    _warn_of_ends(asked, _FROM_PACKAGE)
    return Plan(pipeline.estimate_of([TrialPlan(each.experiment, origin=each.origin) for each in asked]))


_FROM_PACKAGE, _FROM_CALLER = 4, 3
"""Where the caller's line is above a warning: `runner.plan` is called through the package."""


def _warn_of_ends(asked: Sequence[ComposedExperiment], stacklevel: int) -> None:
    """A UserWarning for each model that its provider has withdrawn, or has announced the end of."""
    models = (model for each in asked for model in each.experiment.models)
    for line in retirement.told(models, retirement.now()):
        warnings.warn(line, stacklevel=stacklevel)


def _flat(experiments: Iterable[ComposedExperiment | Iterable[ComposedExperiment]]) -> list[ComposedExperiment]:
    """Experiments that were given one by one, in a list, or both."""
    lists = ([each] if isinstance(each, ComposedExperiment) else each for each in experiments)
    if found := list(chain.from_iterable(lists)):
        return found
    raise ConfigError("no experiment is given", where="experiments", advice="runner.compose()")


# ---- what came of it ------------------------------------------------------------------------------------------------


class Run:
    """A run or a sweep that is written: its folder, read when it is asked. `open_run` opens one of any age."""

    def __init__(self, folder: Path, *, problems: Sequence[str] = ()) -> None:
        manifest.check(folder)
        self.folder = folder
        """Where everything of it is."""
        self.problems = tuple(problems)
        """What went wrong beside the results, which are whole: the report, or MLflow."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Its run.json, or a sweep's sweep.json: command, counts, price, packages, ids in MLflow."""
        return manifest.open_run(self.folder).facts

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits, the same in every file, batch and MLflow run of it."""
        return str(self.facts["run"])

    @property
    def status(self) -> manifest.Status:
        """FINISHED; FAILED where a job failed or nothing was answered; KILLED; SCHEDULED while batches run."""
        status: manifest.Status = self.facts["status"]
        return status

    def table(self) -> pd.DataFrame:
        """The scores: one row a trial and question, with a column for every axis, persona and text column.

        Columns, in this order, "str" where nothing else is said:

        - the trial: run, job (int64), cell, model, model_id, provider, vendor, persona, text, repetition (int64);
        - every axis: what was swept, and each setting that is not the same in all jobs, under its name on the command
          line, such as `sampling.temperature` (float64) or `prompt`;
        - what texts and personas say of themselves, where any does: `text.title`, `text.author`, `text.language`,
          `persona.temperature` (float64) and the like;
        - the score: question (or scale), score (float64, in the question's own range; none for an option or for words),
          value (the answer as stated, as text), label (of the option or point), sd and entropy (float64, of
          probabilities), reason, outcome (scored, unscorable, failed), problem (its kind), message;
        - the reply: route (live, batch), source (bought, ledger), rung, requested_temperature, sent_temperature,
          attempts (int64), latency_s, input_tokens, output_tokens, cached_tokens, reasoning_tokens, price_usd,
          saved_usd (float64, US dollars), model_version, fingerprint, time (UTC, ISO 8601), key.

        A number that is missing is NaN, a text that is missing NaN too. A trial without a score keeps its rows. A score
        counts wherever it was read, whatever another question of its reply lacks. Tokens and price are the whole
        reply's, and so the same in each of its trial's rows. ConfigError where there are no results.
        """
        from runner.results.table import table

        return table(self.folder)

    def stats(self) -> Statistics:
        """Means with intervals, differences, ANOVA and agreement, as `runner stats` shows them."""
        from runner.reporting.stats.of_run import describe_jobs

        return describe_jobs(manifest.result_folders(self.folder))

    def design(
        self,
        *,
        budget_usd: float | None = None,
        requests: int | None = None,
        halfwidth: float | None = None,
        texts: int | None = None,
        contrast: str | None = None,
    ) -> Advice:
        """What to buy next, as `runner design` shows it: the best of all designs that meet one of three goals.

        `budget_usd` in US dollars, `requests`, or `halfwidth`, the points that a 95% interval may reach to either side;
        without any of them, what the run itself cost. `texts` is the most texts that there are. `contrast` is what is
        to be compared (model, persona, prompt, or mean for one model's mean); None: models where there are two.

        ConfigError where the run has no results, or no design meets the goal.
        """
        from runner.reporting.design import basis, render, search

        base = basis.of_run(self.folder)
        goal = search.goal_of(base, search.Goal(budget_usd, requests, halfwidth, texts or search.MOST_TEXTS))
        advice = search.advise(base, goal, contrast)
        if advice is None:
            raise ConfigError(render.unmet(goal), where="design", advice=f"runner design {pasted(self.folder)}")
        return advice

    def drift(self, budget_usd: float = 0.5, *, margin: float = 5.0, seed: int = 0) -> DriftReport:
        """Ask a random sample of it again and test whether the models answer as they did; see docs/drift.md.

        Its own answers and files stay as they are. The same again, where it was stopped, goes on; else it buys anew.
        ConfigError, BudgetError: refused before anything was sent. KeyboardInterrupt is raised when all that was
        answered is written. TrackingError where MLflow cannot be reached: what was found is in outputs/drift.
        """
        from runner import execution
        from runner.dispatch.purchase import Purchase
        from runner.reporting.progress.notebook import watching
        from runner.results.again import drift as drifting

        asked = (
            f"import runner; runner.open_run({str(self.folder)!r}).drift({budget_usd}, margin={margin}, seed={seed})"
        )
        run, purchase = drifting.original(self.folder), Purchase()
        command = shlex.join(["python", "-c", asked])
        drift = drifting.begun(run, command, budget_usd=budget_usd, margin=margin, seed=seed)
        with watching(shown=None, stopping=lambda: purchase.stop.asked) as observer:
            found = execution.ask_sample(drift, run, observer, purchase)
        if drift.status == "KILLED":
            raise KeyboardInterrupt(f"what was answered is kept in {drift.folder}; the same again goes on")
        execution.log_drift(drift, found, run.jobs[0].experiment.tracking)
        return found

    def report(self) -> Path:
        """Write report.html, in place of an earlier one: a page that needs no network. Its path."""
        from runner.reporting import html

        return html.write(self.folder)

    def __repr__(self) -> str:
        facts = self.facts
        counts = ", ".join(f"{facts[name]} {name}" for name in ("scored", "unscorable", "failed"))
        price = "unknown" if facts["price_usd"] is None else f"${facts['price_usd']:.4g}"
        said = "".join(f"\n{problem}" for problem in self.problems)
        return f"<run {self.folder}: {facts['status']}, {counts}, {price} spent>{said}"


def run(
    *experiments: ComposedExperiment | Iterable[ComposedExperiment],
    out: str | Path | None = None,
    progress: bool | None = None,
) -> Run:
    """Buy what the ledger lacks, score it, and write the run's folder, page and MLflow runs; several are a sweep.

    As `runner OVERRIDES` does, with the same files, in outputs/DAY/TIME unless `out` names another folder. The same
    again buys nothing twice. It may be called where an event loop runs, as in a notebook, and from any thread.
    `progress`: show it while requests are out; None: in a notebook only.

    A model that has ended, or will, is a UserWarning before anything is sent.
    ConfigError, BudgetError: refused before anything was sent, and nothing is written. LedgerError: answers cannot be
    kept. A job that cannot be planned takes its neighbours down only where all cannot. What goes wrong with the report
    or MLflow is in `Run.problems`. KeyboardInterrupt ends the dispatch, is raised when everything that was answered is
    written, and costs nothing: the same again goes on from there.
    """
    from runner.execution import Execution
    from runner.reporting.progress.notebook import watching
    from runner.results.launch import Launch

    asked = _flat(experiments)
    _warn_of_ends(asked, _FROM_CALLER)
    many = len(asked) > 1
    folder = composing.output_dir(asked[0].config, many=many) if out is None else Path(out).resolve()
    jobs = _jobs(asked, folder, many=many)

    def begins() -> None:
        for each, job in zip(asked, jobs, strict=True):
            composing.save(each.config, job.folder, job.index, many=many)

    with Execution(Launch(command_of(asked, out))) as execution:
        with watching(shown=progress, stopping=lambda: execution.launch.interrupted) as observer:
            execution.run(jobs, observer, begins=begins)
        execution.conclude(folder if many else None)
        problems = [*_ended(execution.page, "no report"), *_ended(execution.logged, "not in MLflow")]
        if execution.launch.ending == "interrupted":
            raise KeyboardInterrupt(f"what was answered is kept; see {folder}, or run the same again to go on")
    return Run(folder, problems=problems)


def _jobs(asked: Sequence[ComposedExperiment], folder: Path, *, many: bool) -> list[Job]:
    from runner.plan.job import Job

    return [
        Job(index, each.experiment, folder / str(index) if many else folder, each.origin, many)
        for index, each in enumerate(asked)
    ]


def _ended(wait: Any, what: str) -> Iterator[str]:
    try:
        wait()
    except RunnerError as error:
        mend = getattr(error, "mend", None)
        yield f"{what}: {error}{f'; {mend}' if mend else ''}"


def command_of(asked: Sequence[ComposedExperiment], out: str | Path | None = None) -> str:
    """What to type for the same run: `runner OVERRIDES`, `runner -m OVERRIDES`, or Python where neither can say it."""
    first = asked[0]
    options = [] if first.config_dir is None else [f"--config-dir={first.config_dir}"]
    if len(asked) == 1:
        place = [] if out is None else [f"hydra.run.dir={out}"]
        return shlex.join(["runner", *options, *first.overrides, *place])
    place = [] if out is None else [f"hydra.sweep.dir={out}"]
    if swept := _swept(asked):
        return shlex.join(["runner", "-m", *options, *swept, *place])
    composed = ", ".join(f"runner.compose({', '.join(_arguments(each))})" for each in asked)
    where = "" if out is None else f", out={str(out)!r}"
    return shlex.join(["python", "-c", f"import runner; runner.run({composed}{where})"])


def _arguments(each: ComposedExperiment) -> list[str]:
    place = [] if each.config_dir is None else [f"config_dir={str(each.config_dir)!r}"]
    return [*map(repr, each.overrides), *place]


def _swept(asked: Sequence[ComposedExperiment]) -> list[str] | None:
    """The overrides of the sweep whose jobs these are, in order; None where no sweep has them."""
    lines = [[word.partition("=")[::2] for word in each.overrides] for each in asked]
    names = [name for name, _ in lines[0]]
    alike = all([name for name, _ in line] == names and each.config_dir == asked[0].config_dir
                for line, each in zip(lines, asked, strict=True))  # fmt: skip
    if not alike or len(set(names)) < len(names) or any(name.startswith("~") for name in names):
        return None
    values = [list(dict.fromkeys(line[place][1] for line in lines)) for place in range(len(names))]
    if [list(each) for each in product(*values)] != [[value for _, value in line] for line in lines]:
        return None
    return [f"{name}={','.join(some)}" for name, some in zip(names, values, strict=True)]


def open_run(name: str | Path) -> Run:
    """A run or a sweep that is there: by its folder, as "latest", or by its id or name in MLflow.

    One that is only in MLflow is brought here from its artifacts. ConfigError where nothing bears the name.
    """
    from runner.reporting import find_run

    return Run(find_run.find(str(name), _tracking))


def open_ledger(url: str = "sqlite:///outputs/ledger.db") -> AbstractContextManager[Contents]:
    """What was paid for, to look at and to put in order, as `runner ledger` does; see docs/ledger.md.

    LedgerError where there is no ledger, or it cannot be used. Its methods do what they say at once: nothing asks.
    """
    from runner.ledger.upkeep.contents import opened

    return opened(url)


def _tracking() -> Tracking:
    from runner.config.load import tracking_of

    return tracking_of(composing.without_hydra(composing.compose(())))


def compare(*runs: Run | str | Path) -> Comparison:
    """The settings in which runs differ, and their scores paired with the first one's; a sweep stands for its jobs.

    ConfigError where there are fewer than two, or one has no results.
    """
    from runner.reporting.compare import compare as compared

    return compared([(each if isinstance(each, Run) else open_run(each)).folder for each in runs])
