"""Runs set against the first: the settings that differ, and paired score differences with their intervals."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from runner.cli.verbs.compare import render_comparison
from runner.errors import ConfigError
from runner.plan.job import TrialPlan
from runner.records import (
    Batch,
    Experiment,
    Failure,
    Model,
    Persona,
    Problem,
    PromptTemplate,
    Question,
    Sampling,
    Text,
    Tracking,
)
from runner.reporting.compare import Comparison, compare, scores_csv, settings_csv
from runner.reporting.stats import known
from runner.results import files
from runner.results.rows import Reader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.records import Row

    Score = Callable[[Row], float | None]

BASE = Experiment(
    name="e",
    models=(Model("m", "m-1", "openai", "openai"),),
    personas=(Persona("poet", {"*": "a poet"}), Persona("robot", {"*": "a robot"})),
    texts=tuple(Text(f"t{number}", f"text {number}") for number in range(6)),
    prompt=PromptTemplate("p", "en", "{{ persona }}", "{{ text.content }}", (Question("joy", "joy", "how joyful?"),)),
    sampling=Sampling(temperature=0.5, trials=2),
    batch=Batch(),
    tracking=Tracking(),
    ledger_url="sqlite://",
)


def by_text(row: Row) -> float:
    return 10.0 + 5 * int(row.text[1:]) + row.repetition


def write(folder: Path, experiment: Experiment, score: Score = by_text) -> Path:
    """A run's folder with what a comparison reads of it, each trial scored by `score`; None: not scored."""
    reader = Reader("r", 0, experiment.prompts)
    with files.RunFolder(folder, experiment.prompts) as out:
        for trial in TrialPlan(experiment).trials():
            row = reader.failed(trial, Failure(trial.key, Problem("timeout", "too late"), 1))
            if (joy := score(row)) is not None:
                row = replace(
                    row, outcome="scored", problem=None, scores={"joy": joy}, reasons={"joy": "so"}, reply="x"
                )
            out.add(row)
    (folder / "experiment.json").write_text(json.dumps(asdict(experiment)), encoding="utf-8")
    (folder / "run.json").write_text("{}", encoding="utf-8")
    return folder


def shown(found: Comparison) -> str:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(render_comparison(found))
    return capture.get()


# ---- scores ---------------------------------------------------------------------------------------------------------


def test_scores_are_paired_by_text_and_persona(tmp_path: Path) -> None:
    """A shift that is small beside the texts' spread is found exactly, because trials are compared in pairs."""
    runs = [write(tmp_path / "a", BASE), write(tmp_path / "b", BASE, lambda row: by_text(row) + 2)]
    (found,) = compare(runs).scores
    assert (found.left, found.right) == (str(runs[1]), str(runs[0]))
    assert (found.pairs, found.unmatched_left, found.unmatched_right) == (12, 0, 0)
    # The same at every text: nothing tells how sure that is.
    assert (found.difference, known(found.interval.low), known(found.p)) == (2.0, None, None)


def test_the_interval_is_around_a_difference_that_varies(tmp_path: Path) -> None:
    """Where the shift differs between texts, the interval lies around its mean and does not touch zero."""
    runs = [write(tmp_path / "a", BASE), write(tmp_path / "b", BASE, lambda row: by_text(row) + 1 + int(row.text[1:]))]
    (found,) = compare(runs).scores
    low, mean, high = (known(number) for number in (found.interval.low, found.difference, found.interval.high))
    assert low is not None
    assert high is not None
    assert mean == pytest.approx(3.5)
    assert 1 <= low < 3.5 < high <= 6


def test_what_is_not_scored_has_no_part(tmp_path: Path) -> None:
    """A text that one run could not score is left out of the pairs on both sides, and counted."""
    runs = [write(tmp_path / "a", BASE), write(tmp_path / "b", BASE, lambda row: None if row.text == "t0" else 50.0)]
    (found,) = compare(runs).scores
    assert (found.pairs, found.unmatched_left, found.unmatched_right) == (10, 0, 2)


def test_runs_of_different_models_are_compared(tmp_path: Path) -> None:
    """Runs without a model in common are paired by text and persona alone."""
    other = replace(BASE, models=(replace(BASE.models[0], name="n", id="n-1"),))
    runs = [write(tmp_path / "a", BASE), write(tmp_path / "b", other, lambda row: by_text(row) - 1)]
    (found,) = compare(runs).scores
    assert (found.on, found.pairs, found.difference) == (("text", "persona"), 12, -1.0)


def test_runs_that_share_models_are_compared_within_them(tmp_path: Path) -> None:
    """Of two runs that share one model of two, only that model's trials are paired: a mix would compare models."""
    both = replace(BASE, models=(*BASE.models, replace(BASE.models[0], name="n", id="n-1")))
    runs = [
        write(tmp_path / "a", BASE),
        write(tmp_path / "b", both, lambda row: 99 if row.model == "n" else by_text(row)),
    ]
    (found,) = compare(runs).scores
    assert (found.on, found.pairs, found.difference) == (("text", "persona", "model"), 12, 0.0)


def test_runs_without_a_text_in_common(tmp_path: Path) -> None:
    """Runs that share no text have no score differences, and it is said of which run."""
    other = replace(BASE, texts=(Text("elsewhere", "far"),))
    runs = [write(tmp_path / "a", BASE), write(tmp_path / "b", other, lambda _: 1.0)]
    found = compare(runs)
    assert (found.scores, found.unpaired) == ((), (str(runs[1]),))
    assert "run 2 shares no scored text and persona with run 1" in shown(found)


def test_each_run_is_set_against_the_first(tmp_path: Path) -> None:
    """Three runs give two comparisons, both with the first."""
    shifts = (0, 3, -4)
    runs = [
        write(tmp_path / str(shift), BASE, lambda row, shift=shift: by_text(row) + shift)  # type: ignore[misc]
        for shift in shifts
    ]
    found = compare(runs).scores
    assert [(each.left, each.right, each.difference) for each in found] == [
        (str(runs[1]), str(runs[0]), 3.0),
        (str(runs[2]), str(runs[0]), -4.0),
    ]


# ---- settings -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """Another experiment, and the setting in which it differs with both values."""

    id: str
    other: Experiment
    key: str
    values: tuple[object, object]


CHANGES = (
    Change("a number", replace(BASE, sampling=Sampling(0.9, trials=2)), "sampling.temperature", (0.5, 0.9)),
    Change(
        "inside a model",
        replace(BASE, models=(replace(BASE.models[0], extra={"top_k": 5}),)),
        "model.m.extra.top_k",
        ("absent", 5),
    ),
    Change(
        "a text's words",
        replace(BASE, texts=(Text("t0", "new"), *BASE.texts[1:])),
        "text.t0.content",
        ("text 0", "new"),
    ),
    Change("a persona less", replace(BASE, personas=BASE.personas[:1]), "persona.robot", ("there", "absent")),
    Change("a place", replace(BASE, ledger_url="sqlite:///x"), "ledger.url", ("sqlite://", "sqlite:///x")),
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.id)
def test_only_settings_that_differ_are_listed(tmp_path: Path, change: Change) -> None:
    """The one setting that differs is listed by its key on the command line, with each run's value."""
    found = compare([write(tmp_path / "a", BASE), write(tmp_path / "b", change.other)])
    listed = [(each.key, tuple(str(value) for value in each.values)) for each in found.settings]
    expected = (change.key, tuple(str(value) for value in change.values))
    assert listed == [expected]
    assert change.key in shown(found)


def test_equal_runs(tmp_path: Path) -> None:
    """Two runs of one experiment differ in nothing, and it is said."""
    found = compare([write(tmp_path / "a", BASE), write(tmp_path / "b", BASE)])
    assert found.settings == ()
    assert "the settings are the same" in shown(found)


# ---- which runs, and the CSV ----------------------------------------------------------------------------------------


def test_a_sweep_stands_for_its_jobs(tmp_path: Path) -> None:
    """The folder of a sweep is its jobs, and a run that is named twice counts once."""
    write(tmp_path / "0", BASE)
    write(tmp_path / "1", replace(BASE, sampling=Sampling(0.9, trials=2)))
    sweep = {"jobs": [{"folder": "0"}, {"folder": "1"}]}
    (tmp_path / "sweep.json").write_text(json.dumps(sweep), encoding="utf-8")
    found = compare([tmp_path, tmp_path / "1"])
    assert found.names == (str(tmp_path / "0"), str(tmp_path / "1"))


def test_one_run_is_not_enough(tmp_path: Path) -> None:
    """A single run is refused with the command to type, as is a folder that is no run."""
    with pytest.raises(ConfigError) as caught:
        compare([write(tmp_path / "a", BASE)])
    assert caught.value.advice == "runner compare RUN RUN"
    with pytest.raises(ConfigError):
        compare([tmp_path / "a", tmp_path])


def test_the_csv_holds_every_number(tmp_path: Path) -> None:
    """Both tables read back as written: full precision, a column a run, empty where there is no value."""
    other = replace(BASE, personas=BASE.personas[:1], sampling=Sampling(0.9, trials=2))
    found = compare([write(tmp_path / "a", BASE), write(tmp_path / "b", other, lambda row: by_text(row) + 1 / 3)])
    settings = list(csv.DictReader(io.StringIO(settings_csv(found))))
    assert settings == [
        {"setting": "persona.robot", found.names[0]: "there", found.names[1]: ""},
        {"setting": "sampling.temperature", found.names[0]: "0.5", found.names[1]: "0.9"},
    ]
    (scores,) = csv.DictReader(io.StringIO(scores_csv(found)))
    assert float(scores["difference"]) == pytest.approx(1 / 3, abs=1e-12)
    assert (scores["run"], scores["question"], scores["pairs"], scores["unpaired_against"]) == (
        found.names[1],
        "joy",
        "6",
        "6",
    )
    assert scores["p"] == ""


def test_the_table_has_every_comparison(tmp_path: Path) -> None:
    """A hundred columns hold the runs' folders, the settings and the differences with their intervals."""
    runs = [write(tmp_path / "a", BASE), write(tmp_path / "b", BASE, lambda row: by_text(row) + 2)]
    lines = [line.split() for line in shown(compare(runs)).splitlines()]
    assert ["joy", "2", "12", "24.0", "26.0", "+2.0", "–", "–"] in lines
