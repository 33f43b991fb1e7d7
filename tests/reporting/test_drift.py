"""A drift's numbers: the tests against SciPy's own, the verdicts at their bounds, the sample within its budget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from row_examples import SCORED
from scipy import stats

from runner.reporting.drift import compare
from runner.results.again.drift import Drift, SampledTrial, choose

if TYPE_CHECKING:
    from runner.records import Row

DRIFT = Drift(
    Path(), "d", "r", "outputs/r", "runner drift", "2026-11-28T10:00:00.000+00:00", 0, 0.5, margin=5.0, population=99
)


def pair(text: str, before: float, now: float) -> tuple[Row, Row]:
    old = replace(SCORED, text=text, scores={"joy": before})
    return old, replace(old, scores={"joy": now})


@dataclass(frozen=True)
class Case:
    """Differences a text, and the verdict on them."""

    name: str
    differences: tuple[float, ...]
    verdict: str


CASES = (
    Case("small", (1, -1, 0.5, 0, 1, -0.5), "equivalent"),
    Case("large", (20, 22, 18, 21, 19, 20), "changed"),
    Case("wide", (-30, 30, 10, -5, 0, 7), "undecided"),
    Case("none", (0, 0, 0, 0), "identical"),
    Case("all the same, far", (30, 30, 30), "changed"),
    Case("all the same, near", (1, 1, 1), "equivalent"),
    Case("sure, and within the margin", (2, 2.1, 1.9, 2, 2.05, 1.95), "equivalent"),
    Case("one trial", (30,), "undecided"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_verdict_follows_from_the_differences(case: Case) -> None:
    """Each kind of move has its verdict, and a sentence that says it."""
    found = compare([pair(f"t{n}", 50, 50 + d) for n, d in enumerate(case.differences)], DRIFT)
    (moved,) = found.moved
    assert moved.verdict == case.verdict
    assert f"On 2026-11-28 we asked {len(case.differences)} of 99 scored trials of run r again" in found.sentence
    assert "joy" in found.sentence


def test_the_one_sided_tests_are_those_of_scipy() -> None:
    """The larger p of two t tests over texts, one value a text, and the 90% interval that goes with them."""
    differences = {"a": (3.0, 5.0), "b": (-1.0, 0.0), "c": (2.0, 2.0), "d": (6.0, 1.0)}
    pairs = [pair(text, 50, 50 + d) for text, some in differences.items() for d in some]
    (moved,) = compare(pairs, DRIFT).moved
    means = [sum(some) / 2 for some in differences.values()]
    tests = [stats.ttest_1samp(means, bound, alternative=way) for bound, way in ((-5, "greater"), (5, "less"))]
    assert moved.p_equivalent == pytest.approx(max(test.pvalue for test in tests))
    assert moved.p == pytest.approx(stats.ttest_1samp(means, 0).pvalue)
    low, high = stats.ttest_1samp(means, 0).confidence_interval(0.9)
    assert moved.low == pytest.approx(low)
    assert moved.high == pytest.approx(high)
    assert (moved.pairs, moved.units, moved.of) == (8, 4, "text")


def test_one_text_is_tested_over_its_trials() -> None:
    """Where all trials are of one text the trial is the unit, and the sentence says so."""
    found = compare([pair("t", 50, 50 + d) for d in (1, -1, 0, 1, -1)], DRIFT)
    assert (found.moved[0].units, found.moved[0].of, found.moved[0].verdict) == (5, "trial", "equivalent")
    assert "over 5 trials" in found.sentence


def test_the_sample_is_random_within_models_and_budget() -> None:
    """Models take turns, a dear one stops where the budget does, and the same seed draws the same."""
    prices = {"a": 0.01, "b": 0.1}
    population = [SampledTrial(0, f"{model}{n}", model, usd) for model, usd in prices.items() for n in range(40)]
    sample = choose(population, 0.5, 0, "run")
    assert sum(one.usd or 0 for one in sample) <= 0.5 / 1.1
    counts = [sum(one.model == model for one in sample) for model in ("a", "b")]
    assert counts == [5, 4]
    assert sample == choose(population, 0.5, 0, "run")
    assert sample != choose(population, 0.5, 1, "run")
    assert len(choose([replace(one, usd=0.0) for one in population], 0.5, 0, "run")) == len(population)
