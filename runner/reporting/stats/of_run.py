"""A run's folder -> its statistics: the same for the terminal, the page, Python and MLflow."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from runner.reporting.stats import Asked, describe
from runner.results import saved

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from runner.records import Experiment
    from runner.reporting.stats import Scales, Statistics


def describe_jobs(jobs: Iterable[Path], asked: Asked | None = None) -> Statistics:
    """The statistics of jobs' folders together, each question's intervals within its scale.

    RunnerError where a folder's results or its experiment cannot be read.
    """
    folders = list(jobs)
    experiments = [saved.experiment_in(folder) for folder in folders if (folder / "experiment.json").is_file()]
    rows = chain.from_iterable(saved.rows_in(folder) for folder in folders)
    return describe(rows, replace(asked or Asked(), scales=scales_of(experiments)))


def scales_of(experiments: Iterable[Experiment]) -> Scales:
    """Least and most of each question; over all of the experiments' where these differ."""
    found: dict[str, tuple[float, float]] = {}
    for question in chain.from_iterable(experiment.prompt.questions for experiment in experiments):
        low, high = found.get(question.name, (question.low, question.high))
        found[question.name] = (min(low, question.low), max(high, question.high))
    return found
