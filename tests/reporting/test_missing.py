"""What is missing, question by question: counted against the design, with its reasons, and what it could change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from report_runs import MODELS, PERSONAS, QUESTIONS, experiment, row

from runner.plan.job import TrialPlan
from runner.records import Problem
from runner.reporting import stats
from runner.reporting.stats import Undefined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.records import Experiment, Row

LOST = Problem("missing_question", "no sadness")
SCALES = {question.name: (0.0, 100.0) for question in QUESTIONS}


def asked(models: int = 2, **sampling: Any) -> Experiment:
    return experiment(MODELS[:models], PERSONAS[:2], temperature=0.5, **{"trials": 2, **sampling})


def rows_of(one: Experiment, score: float = 40.0, job: int = 0) -> list[Row]:
    """Every trial of an experiment, with one score for all questions."""
    scores = {question.name: score for question in QUESTIONS}
    return [replace(row(trial), scores=scores, job=job) for trial in TrialPlan(one).trials()]


def without(rows: Sequence[Row], question: str, **where: str) -> list[Row]:
    """The rows, those of some model, persona or text without a score of one question."""
    return [
        replace(one, outcome="unscorable", problem=LOST, scores={**one.scores, question: None})
        if all(getattr(one, name) == value for name, value in where.items())
        else one
        for one in rows
    ]


def summary(found: stats.Statistics, axis: str, level: str, question: str = "sadness") -> stats.Summary:
    return next(one for one in found.summaries if (one.axis, one.level, one.question) == (axis, level, question))


def test_one_question_costs_the_others_nothing() -> None:
    """Where sadness is not read, every other question keeps its scores, its mean, and no reason for any lack."""
    rows = without(rows_of(asked()), "sadness", text="rain")
    found = stats.describe(rows)
    assert (summary(found, "all", "all").n, summary(found, "all", "all").reasons) == (16, {LOST.kind: 8})
    for question in ("interesting", "surprise", "anger"):
        other = summary(found, "all", "all", question)
        assert (other.n, other.missing, other.reasons) == (24, 0.0, {})


@dataclass(frozen=True)
class Absent:
    """Rows that never came, and the trials and the share that must be said of the design."""

    name: str
    left_out: dict[str, str]
    trials: int
    absent: int


ABSENT = (
    Absent("nothing", {"text": "no such text"}, 24, 0),
    Absent("a text", {"text": "rain"}, 24, 8),
    Absent("a text of a model", {"text": "rain", "model": MODELS[0].name}, 24, 4),
    Absent("a whole cell", {"persona": PERSONAS[0].name, "model": MODELS[0].name}, 24, 6),
    Absent("a whole model", {"model": MODELS[0].name}, 24, 12),
)


@pytest.mark.parametrize("case", ABSENT, ids=lambda case: case.name)
def test_shares_are_of_the_design(case: Absent) -> None:
    """A trial of the design that has no row is a trial without a score, for the reason that it is absent."""
    rows = [one for one in rows_of(asked()) if any(getattr(one, name) != v for name, v in case.left_out.items())]
    found = stats.describe(stats.with_absent(stats.table(rows), {0: asked()}))
    whole = summary(found, "all", "all")
    assert (whole.trials, whole.n, found.planned, found.trials) == (case.trials, len(rows), case.trials, len(rows))
    assert whole.missing == pytest.approx(case.absent / case.trials)
    assert whole.reasons == ({"absent": case.absent} if case.absent else {})
    first = next(one for one in found.coverage if one.question == "sadness")
    assert (first.planned, first.n) == (case.trials, len(rows))
    assert sum(one.planned - one.n for one in found.coverage if one.question == "sadness" and one.text) == case.absent


def test_a_cell_of_other_texts_than_its_neighbours_says_so() -> None:
    """A cell that has no score of a text that others have names it, and so do its line and the findings' bounds."""
    name = f"{MODELS[0].name}/{PERSONAS[0].name}"
    rows = without(rows_of(asked()), "sadness", text="rain", model=MODELS[0].name, persona=PERSONAS[0].name)
    found = stats.describe(rows, stats.ContrastOptions(SCALES))
    assert summary(found, "cell", name).lacking == ("rain",)
    assert [one.level for one in found.summaries if one.axis == "cell" and one.lacking] == [name]
    printed = stats.render(found, stats.View(everything=True))
    assert "no score of rain, which its neighbours have" in printed


def test_bounds_are_what_all_missing_at_one_end_would_give() -> None:
    """A mean's bounds count each missing score as the least or the most of its scale, each text alike."""
    rows = without(rows_of(asked(models=1)), "sadness", text="rain", persona=PERSONAS[0].name)
    one = summary(stats.describe(rows, stats.ContrastOptions(SCALES)), "all", "all")
    assert (one.least, one.most) == pytest.approx(((40 + 40 + 20) / 3, (40 + 40 + 70) / 3))
    whole = summary(stats.describe(rows_of(asked()), stats.ContrastOptions(SCALES)), "all", "all")
    assert (whole.least, whole.most) == pytest.approx((40, 40))
    assert isinstance(summary(stats.describe(rows), "all", "all").least, Undefined)


def test_sides_that_lack_unevenly_are_warned_of() -> None:
    """A difference of which one side lacks more says so, with its bounds; one whose sides lack alike does not."""
    rows = without(rows_of(asked(models=3)), "sadness", model=MODELS[1].name, text="rain")
    found = stats.describe(rows, stats.ContrastOptions(SCALES))
    said = {
        (one.left, one.right): one.uneven for one in found.differences["model"] if one.question == "sadness"
    }  # fmt: skip
    first, second, third = (model.name for model in MODELS[:3])
    assert said == {(first, second): True, (first, third): False, (second, third): True}
    one = next(each for each in found.differences["model"] if each.question == "sadness" and each.right == second)
    assert (one.least, one.most) == pytest.approx((-20.0, 40 / 3))
    assert "scores are missing unevenly" in stats.render(found)


def test_a_question_that_a_job_does_not_ask_is_not_missing_there() -> None:
    """Of jobs that ask different questions, each question's trials are those of the jobs that ask it."""
    other = [replace(one, scores={"joy": 10.0}, key=f"b{one.key}") for one in rows_of(asked(models=1), job=1)]
    found = stats.describe([*rows_of(asked(models=1)), *other])
    for question in ("joy", "sadness"):
        one = summary(found, "all", "all", question)
        assert (one.trials, one.n, one.missing) == (12, 12, 0.0)
