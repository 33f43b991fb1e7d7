"""A run's folder -> its statistics: the same for the terminal, the page, Python and MLflow."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from runner.reporting.stats import ContrastOptions, describe, table, with_absent
from runner.reporting.stats.summaries import summaries
from runner.results import factors, saved
from runner.results.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import pandas as pd

    from runner.records import Experiment, PromptTemplate
    from runner.reporting.stats import Scales, Statistics, Summary


NAMING = ("name", "content", "origin", "description", "covariates")
"""Fields of a persona or a text that are no columns here: what was read, what it is called, and what rows have."""


def describe_jobs(jobs: Iterable[Path], asked: ContrastOptions | None = None) -> Statistics:
    """The statistics of jobs' folders together, each question's intervals within its scale.

    RunnerError where a folder's results or its experiment cannot be read.
    """
    folders = list(jobs)
    frame, scales = read(folders)
    return describe(frame, instrument(folders, replace(asked or ContrastOptions(), scales=scales)))


def instrument(jobs: Iterable[Path], asked: ContrastOptions) -> ContrastOptions:
    """With the questions and scales of jobs' folders, as far as these say what was asked."""
    return instrument_of((saved.experiment_in(path) for path in jobs if (path / "experiment.json").is_file()), asked)


def instrument_of(experiments: Iterable[Experiment], asked: ContrastOptions) -> ContrastOptions:
    """With the questions and scales of experiments, each as the first has it."""
    prompts = [prompt for one in experiments for prompt in one.prompts]
    questions = {each.name: each for prompt in reversed(prompts) for each in prompt.questions}
    scales = {each.name: each for prompt in reversed(prompts) for each in prompt.scales}
    return replace(asked, questions=questions, item_scales=tuple(scales.values()))


def read(jobs: Iterable[Path]) -> tuple[pd.DataFrame, Scales]:
    """The table of jobs' folders, with the trials of their designs that have no row, and each question's scale."""
    counted: list[Tally] = []
    experiments: dict[int, Experiment] = {}
    overrides: dict[int, Sequence[str]] = {}
    for folder in jobs:
        experiment = saved.experiment_in(folder) if (folder / "experiment.json").is_file() else None
        counted.append(Tally.of(saved.rows_in(folder), () if experiment is None else experiment.scales))
        job = _job_of(counted[-1])
        if job is not None and experiment is not None:
            experiments[job] = experiment
            run = saved.load(folder, "run.json") if (folder / "run.json").is_file() else {}
            overrides[job] = run.get("overrides", ())
    asked = [factors.JobSettings(job, experiment, overrides[job]) for job, experiment in experiments.items()]
    return with_design(table(counted), asked), scales_of(experiments.values())


def with_design(frame: pd.DataFrame, jobs: Sequence[factors.JobSettings]) -> pd.DataFrame:
    """A table with all that its jobs' experiments say: trials without a row, and a column for each factor.

    Beside those that the rows say, and those of a sweep whose rows are of an earlier version, what personas and texts
    say of themselves has one (see _said_of_items).
    """
    experiments = {job.number: job.experiment for job in jobs}
    whole = factors.with_factors(with_absent(frame, experiments), jobs)
    return whole.assign(**_said_of_items(whole, experiments.values()))


def _job_of(counted: Tally) -> int | None:
    return next((job for job, _ in counted.asked), None)


def cell_summaries(counted: Tally, experiment: Experiment | None) -> tuple[Summary, ...]:
    """Each question's summary in each cell of one job, as `describe_jobs` has them of this job alone."""
    job = _job_of(counted)
    known = {} if experiment is None or job is None else {job: experiment}
    frame = with_absent(table([counted]), known)
    return summaries(frame, scales_of(known.values()), axes=("cell",)) if len(frame) else ()


def _said_of_items(frame: pd.DataFrame, experiments: Iterable[Experiment]) -> dict[str, pd.Series[Any]]:
    """What personas and texts say of themselves, as columns such as `persona.temperature` or `text.author`.

    Those that have two values or more, and fewer than there are personas, or texts.
    """
    found: dict[str, dict[str, str]] = {}
    for experiment in experiments:
        for group, items in (("persona", experiment.personas), ("text", experiment.texts)):
            for item in items:
                for name, value in asdict(item).items():
                    if name not in NAMING and isinstance(value, str | float) and value not in ("", 0.0):
                        found.setdefault(f"{group}.{name}", {})[item.name] = (
                            f"{value:g}" if value != str(value) else value
                        )
    of = {name: values for name, values in found.items() if 1 < len({*values.values()}) < len(values)}
    return {
        name: frame[name.partition(".")[0]].astype(str).map(values).fillna("").astype("category")
        for name, values in of.items()
        if name not in frame.columns
    }


def scales_of(experiments: Iterable[Experiment]) -> Scales:
    """Least and most of each question; over all of the experiments' where these differ."""
    return merged(scales for one in experiments for prompt in one.prompts for scales in _scales_in(prompt))


def _scales_in(prompt: PromptTemplate) -> Iterator[Scales]:
    """Those of a prompt's questions that have scores, and of the scales that are made of them."""
    ends = {each.name: (each.low, each.high) for each in prompt.questions if each.is_numeric}
    yield ends
    yield {scale.name: ends[scale.items[0]] for scale in prompt.scales}


def merged(every: Iterable[Scales]) -> Scales:
    """One scale a question, which holds those of all."""
    found: dict[str, tuple[float, float]] = {}
    for question, (low, high) in chain.from_iterable(scales.items() for scales in every):
        least, most = found.get(question, (low, high))
        found[question] = (min(low, least), max(high, most))
    return found
