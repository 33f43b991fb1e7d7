"""Whether a comparison comes out the same at each level of a nuisance, on numbers that were made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from made_tables import as_table

from runner.reporting.stats import ContrastOptions, known
from runner.reporting.stats.differences import differences_within
from runner.reporting.stats.robustness import nuisances, robustness

NAME = "design.placement"
LEVELS = ("system", "user")


@dataclass(frozen=True)
class Case:
    """One model minus another at each of two levels, and what is to be found of it."""

    id: str
    apart: tuple[float, float]
    changed: int
    sign: int
    agree: int
    noise: float = 2.0


CASES = (
    Case("the same at both", (8.0, 8.0), 0, 2, 2),
    Case("turned round at one", (-14.0, 6.0), 1, 1, 1),
    Case("none at one", (0.0, 30.0), 1, 1, 1, noise=1.0),
    Case("weaker, and as far beyond the margin", (9.0, 20.0), 0, 2, 2),
)


def table(case: Case, texts: int = 12) -> pd.DataFrame:
    """Two models, each text asked twice at each level; the noise is symmetric, so that its mean is exactly 0."""
    noise = case.noise * np.linspace(-1, 1, texts)
    rows = [
        {"model": model, "persona": "p", "text": f"t{text}", NAME: level, "repetition": repetition,
         "score:joy": 50 + text + (apart + noise[text] * (1 if repetition == 1 else 0.5) if model == "a" else 0)}
        for level, apart in zip(LEVELS, case.apart, strict=True)
        for model in "ab"
        for text in range(texts)
        for repetition in (1, 2)
    ]  # fmt: skip
    return as_table(pd.DataFrame(rows)).astype({NAME: "category"})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_conclusion_is_held_against_each_level(case: Case) -> None:
    """A level that contradicts the whole changes what is concluded; signs and significance are counted beside it."""
    frame, asked = table(case), ContrastOptions(margin=5.0)
    found = differences_within(frame, "model", asked)
    assert isinstance(found, tuple)
    made, skipped = robustness(frame, {"model": found}, asked)
    (one,) = made
    assert (skipped, one.changes) == ((), bool(case.changed))
    assert [known(at.difference) for at in one.levels] == pytest.approx(case.apart, abs=1e-9)
    (nuisance,) = nuisances(frame, (), made, asked)
    assert (nuisance.comparisons, nuisance.changed) == (1, case.changed)
    assert (nuisance.estimates, nuisance.sign, nuisance.agree) == (2, case.sign, case.agree)
    assert known(nuisance.moves) == pytest.approx((case.apart[0] - case.apart[1]) / 2)


def test_sides_may_stand_the_other_way_round() -> None:
    """A level whose trials name the second side first gives the same difference, not its opposite."""
    frame, asked = table(CASES[0]), ContrastOptions()
    found = differences_within(frame, "model", asked)
    assert isinstance(found, tuple)
    user = frame[frame[NAME] == "user"]
    turned = pd.concat([frame[frame[NAME] == "system"], user.iloc[::-1]], ignore_index=True).astype(frame.dtypes)
    made, _ = robustness(turned, {"model": found}, asked)
    assert [known(at.difference) for at in made[0].levels] == pytest.approx([8.0, 8.0])
    assert all((known(at.interval.low) or 0) < 8 < (known(at.interval.high) or 0) for at in made[0].levels)
