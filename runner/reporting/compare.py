"""Two runs or more -> the settings in which they differ, and how much their scores do.

Each run is set against the first. Cells are paired by what both have in common of text, persona and model, as `stats`
pairs them, and tested as it tests them: one contrast has one p, whoever asks. A family is one question and every two of
the runs. What jobs of one sweep share is one answer, and compared with nothing.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.config.settings import ABSENT, aligned, differences, settings_of
from runner.errors import ConfigError
from runner.reporting import stats
from runner.reporting.stats import of_run
from runner.results import manifest, saved

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import pandas as pd

    from runner.records import Experiment, Json

MATCHED = ("text", "persona", "model")
"""And the prompt, where both have several."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that is not the same in all runs, with its value in each; ABSENT where a run has none."""

    key: str
    values: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What tells runs apart."""

    names: tuple[str, ...]
    """The runs, the first of which all others are set against."""
    settings: tuple[Setting, ...]
    scores: tuple[stats.PairedDifference, ...]
    """`left` is a later run, `right` the first; differences are left minus right."""
    unpaired: tuple[str, ...]
    """Runs that share no text and persona with the first."""


def compare(folders: Sequence[Path]) -> Comparison:
    """Compare runs with the first of them; a sweep's folder stands for its jobs that have results.

    ConfigError where one is no run, or has no results.
    """
    jobs = list(dict.fromkeys(job for folder in folders for job in manifest.result_folders(folder)))
    if len(jobs) < 2:
        raise ConfigError("compares two runs or more", where="command line", advice="runner compare RUN RUN")
    names = tuple(map(str, jobs))
    read = [of_run.read([job]) for job in jobs]
    first, *others = (_own_answers(frame, job) for (frame, _), job in zip(read, jobs, strict=True))
    asked = stats.ContrastOptions(scales=of_run.merged(scales for _, scales in read))
    shared = {name: _shared(first, other) for name, other in zip(names[1:], others, strict=True)}
    scores = tuple(
        one
        for on in dict.fromkeys(shared.values())
        if {"text", "persona"} <= {*on}
        for one in stats.against_first(
            {names[0]: first} | {n: o for n, o in zip(names[1:], others, strict=True) if shared[n] == on}, on, asked
        )
    )
    paired = {one.left for one in scores if one.pairs}
    return Comparison(names, tuple(_settings(jobs)), scores, tuple(name for name in names[1:] if name not in paired))


def _shared(first: pd.DataFrame, other: pd.DataFrame) -> tuple[str, ...]:
    """What cells of both may be paired by: text and persona, and model too where both have one in common."""
    several = "prompt" in first and "prompt" in other and min(first["prompt"].nunique(), other["prompt"].nunique()) > 1
    matched = (*MATCHED, "prompt") if several else MATCHED
    return tuple(column for column in matched if set(first[column].unique()) & set(other[column].unique()))


def _own_answers(frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The table, its answers known again in other jobs of its sweep alone: another run asked for itself."""
    run = manifest.load(folder, "run.json").get("run")
    return frame.assign(answer=0 if run is None else frame["answer"] ^ (hash(run) & 0xFFFF))


def _settings(folders: Sequence[Path]) -> Iterator[Setting]:
    """Settings in which any run differs from the first, in the first's order."""
    return settings_that_differ([saved.experiment_in(folder) for folder in folders])


def settings_that_differ(experiments: Sequence[Experiment]) -> Iterator[Setting]:
    """Likewise of experiments: by value, also where one has a prompt, model, persona or text in another's place."""
    every = aligned([settings_of(experiment) for experiment in experiments])
    paths = dict.fromkeys(difference.path for other in every[1:] for difference in differences(every[0], other))
    for path in paths:
        yield Setting(".".join(path), tuple(_value(settings, path) for settings in every))


def _value(settings: dict[tuple[str, ...], Json], path: tuple[str, ...]) -> Json:
    """A setting's value; of a whole model, persona, text or prompt, whether it is there."""
    if path in settings:
        return settings[path]
    return "there" if any(each[: len(path)] == path for each in settings) else ABSENT


# ---- CSV ------------------------------------------------------------------------------------------------------------


def settings_csv(found: Comparison) -> str:
    """One line a setting: `setting`, then its value in each run, empty where a run has none."""
    lines = ((each.key, *("" if value is ABSENT else value for value in each.values)) for each in found.settings)
    return _csv(("setting", *found.names), lines)


def scores_csv(found: Comparison) -> str:
    """One line a run and question, at full precision; what is not defined is empty."""
    header = (
        "run", "against", "question", "paired_by", "pairs", "unpaired", "unpaired_against", "mean", "mean_against",
        "difference", "low", "high", "effect_dz", "p", "p_holm",
    )  # fmt: skip
    return _csv(header, map(_score_line, found.scores))


def _score_line(each: stats.PairedDifference) -> tuple[Json, ...]:
    numbers = (
        each.left_mean, each.right_mean, each.difference, each.interval.low, each.interval.high, each.effect, each.p,
        each.p_holm,
    )  # fmt: skip
    counts = (each.pairs, each.unmatched_left, each.unmatched_right)
    return (each.left, each.right, each.question, "+".join(each.on), *counts, *map(stats.known, numbers))


def _csv(header: Iterable[str], lines: Iterable[Iterable[Json]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return out.getvalue()
