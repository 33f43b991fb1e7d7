"""A launch's folder -> all that its report is made of, in one pass over its rows.

Of every row numbers and names are kept, of a sample the whole: memory is bounded by the sample, not by the run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.records import PromptTemplate, Question
from runner.reporting import stats
from runner.reporting.stats.of_run import with_design
from runner.results import manifest, saved
from runner.results.factors import JobSettings
from runner.results.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from runner.records import Experiment, Row

MAX_TRIALS = 10_000
"""Most trials that a page holds in full."""
MAX_BYTES = 40_000_000
"""About the most that these trials may take; long replies lower their number."""
FEWEST_TRIALS = 100
SEED = 20_250_501
VALUES = 12
"""Most values of one dropped parameter that are named."""


@dataclass(frozen=True, slots=True)
class JobFolder:
    """One job's folder. `experiment` is None where its config could not be read."""

    folder: Path
    run: Mapping[str, Any]
    experiment: Experiment | None
    axes: Mapping[str, str]
    """Swept override -> this job's value."""


@dataclass(slots=True)
class FailureGroup:
    """Trials of one model that have no score for the same kind of reason."""

    outcome: str
    kind: str
    model: str
    count: int
    message: str
    """Of the first of them."""


@dataclass(slots=True)
class Adaptation:
    """A parameter that one model was not sent as it was asked for, for one reason."""

    model: str
    parameter: str
    reason: str
    count: int = 0
    values: dict[str, None] = field(default_factory=dict)
    """What had been asked for; a dictionary, because it keeps the order."""


@dataclass(slots=True)
class Gathered:
    """A launch's folder, read."""

    folder: Path
    launch: Mapping[str, Any]
    """sweep.json, or the run.json of a launch of one job."""
    parts: Sequence[JobFolder]
    total: int
    """Lines of all results.jsonl together."""
    tally: Tally = field(default_factory=Tally)
    frame: pd.DataFrame = field(default_factory=lambda: stats.table(()))
    """Of every trial, those of the design that have no row too: see stats.table and stats.with_absent."""
    sample: list[tuple[JobFolder, Row]] = field(default_factory=list)
    troubles: dict[tuple[str, str, str], FailureGroup] = field(default_factory=dict)
    adaptations: dict[tuple[str, str, str], Adaptation] = field(default_factory=dict)

    @property
    def is_sweep(self) -> bool:
        """Whether the folder holds several jobs' folders."""
        return [part.folder for part in self.parts] != [self.folder]

    @property
    def experiments(self) -> list[Experiment]:
        """Those of the jobs, as far as they could be read."""
        return [part.experiment for part in self.parts if part.experiment is not None]

    @property
    def jobs(self) -> list[JobSettings]:
        """What each job was asked, as far as it could be read."""
        asked = ((part.run, part.experiment) for part in self.parts)
        return [JobSettings(run["job"], one, run.get("overrides", ())) for run, one in asked if one is not None]

    @property
    def prompts(self) -> list[PromptTemplate]:
        """Those of the jobs, each once."""
        return list(dict.fromkeys(prompt for one in self.experiments for prompt in one.prompts))

    @property
    def questions(self) -> list[Question]:
        """Every question of every job, once, as the first asks it."""
        asked: dict[str, Question] = {}
        for question in (question for prompt in self.prompts for question in prompt.questions):
            asked.setdefault(question.name, question)
        # Rows may know more than experiment.json does, where that is from another version.
        ends = {question.name: (question.low, question.high) for question in asked.values()}
        for scale in (scale for prompt in self.prompts for scale in prompt.scales):
            made_of = "the mean of " + ", ".join(scale.items)
            asked.setdefault(scale.name, Question(scale.name, scale.name, made_of, *ends[scale.items[0]]))
        return list(asked.values()) + [Question(name, name, "") for name in self.tally.scores if name not in asked]


def gather(folder: Path) -> Gathered:
    """Read a run's or a sweep's folder. ConfigError where it is neither, RunnerError where a row cannot be read."""
    launch = manifest.open_run(folder)
    parts = [_part(place, path, launch.facts) for place, path in enumerate(launch.jobs)]
    files = [(part, part.folder / "results.jsonl") for part in parts if part.run["error"] is None]
    total = sum(_lines(path) for _, path in files)
    chosen = _chosen(total, sum(path.stat().st_size for _, path in files))
    found = Gathered(folder, launch.facts, parts, total)
    found.tally.scales = tuple({scale.name: scale for prompt in found.prompts for scale in prompt.scales}.values())
    for row in _seen(found, files, chosen):
        found.tally.add(row)
    found.frame = with_design(stats.table([found.tally]), found.jobs)
    return found


def _part(place: int, folder: Path, launch: Mapping[str, Any]) -> JobFolder:
    run = saved.load(folder, "run.json")
    named = run["name"] is not None
    experiment = saved.experiment_in(folder) if named else None
    return JobFolder(folder, run, experiment, {name: values[place] for name, values in launch.get("axes", {}).items()})


def _lines(path: Path) -> int:
    if not path.is_file():
        raise saved.missing(path.parent, path.name)
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def _chosen(total: int, size: int) -> frozenset[int]:
    """Places of the rows that are kept whole: all, or as many as a page can hold, drawn from a fixed seed."""
    most = min(MAX_TRIALS, max(FEWEST_TRIALS, MAX_BYTES * total // max(size, 1)))
    if total <= most:
        return frozenset(range(total))
    import numpy as np

    # Not every n-th: rows come in a fixed order of personas and texts, and a step could miss some altogether.
    return frozenset(np.random.default_rng(SEED).choice(total, most, replace=False).tolist())


def _seen(found: Gathered, files: Sequence[tuple[JobFolder, Path]], chosen: frozenset[int]) -> Iterator[Row]:
    """Every row, noted on its way."""
    place = 0
    for part, _ in files:
        for row in saved.rows_in(part.folder):
            if place in chosen:
                found.sample.append((part, row))
            place += 1
            _note(found, row)
            yield row


def _note(found: Gathered, row: Row) -> None:
    """Count why a trial has no score, and what it was not sent."""
    if row.problem is not None:
        key = (row.outcome, row.problem.kind, row.model)
        found.troubles.setdefault(key, FailureGroup(*key, 0, row.problem.message)).count += 1
    for dropped in row.dropped:
        change = (row.model, dropped.parameter, dropped.reason)
        adaptation = found.adaptations.setdefault(change, Adaptation(*change))
        adaptation.count += 1
        if len(adaptation.values) < VALUES:
            adaptation.values.setdefault(str(dropped.value))
