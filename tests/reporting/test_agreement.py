"""Intervals of agreement, reliability of a mean, and what happens where there is little to agree about.

That the coefficients are the published ones, and R's, is in test_stats and test_equal_to_r.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from made_tables import of_scores

from runner.reporting.stats.agreement import (
    agreement,
    agreement_sheet,
    reliability,
    reliability_of,
    reliability_sheet,
)
from runner.reporting.stats.shown.render import written
from runner.reporting.stats.values import Agreement, Undefined, known


@dataclass(frozen=True)
class World:
    """Standard deviations in points of text, model, text x model, text x persona and repetition."""

    name: str
    texts: int
    models: int
    sds: tuple[float, float, float, float, float]


WORLDS = (
    World("three texts that differ much", 3, 4, (20.0, 5.0, 12.0, 2.0, 6.0)),
    World("ten texts that differ little", 10, 3, (5.0, 5.0, 5.0, 2.0, 6.0)),
)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_intervals_hold_the_truth(world: World) -> None:
    """At least 85% of 40 studies' intervals hold the truth, which few do that take one text's units for independent."""
    random, studies, personas, repetitions = np.random.default_rng(3), 40, 2, 3
    text, model, both, persona, noise = world.sds
    m, t = world.models, world.texts
    scores = random.normal(0, text, (1, 1, t, 1, studies)) + random.normal(0, model, (m, 1, 1, 1, studies))
    scores = scores + random.normal(0, both, (m, 1, t, 1, studies))
    scores = scores + random.normal(0, persona, (1, personas, t, 1, studies))
    scores = scores + random.normal(0, noise, (m, personas, t, repetitions, studies))
    units = text**2 + persona**2
    rest = both**2 + noise**2 / repetitions
    truths = {
        ("repetitions", "ICC(1)"): (units + model**2 + both**2) / (units + model**2 + both**2 + noise**2),
        ("models", "ICC(A,1)"): units / (units + model**2 + rest),
        ("models", "ICC(C,1)"): units / (units + rest),
    }
    held: dict[tuple[str, str], list[bool]] = {name: [] for name in truths}
    for one in agreement(of_scores(scores)):
        low, high = known(one.low), known(one.high)
        assert low is not None
        assert high is not None
        assert low <= (known(one.value) or 0.0) + 0.2
        assert high <= 1
        if (one.among, one.measure) in truths:
            held[one.among, one.measure].append(low <= truths[one.among, one.measure] <= high)
    for name, found in held.items():
        assert len(found) == studies
        assert np.mean(found) >= 0.85, name


def test_alphas_interval_follows_that_of_its_icc() -> None:
    """Of many units alpha is ICC(1), and its interval is that one's: with three texts a wide one."""
    random = np.random.default_rng(5)
    scores = random.normal(50, 20, (1, 1, 3, 1, 1)) + random.normal(0, 10, (30, 4, 3, 1, 1))
    found = {one.measure: one for one in agreement(of_scores(scores + random.normal(0, 5, (30, 4, 3, 4, 1))))
             if one.among == "repetitions"}  # fmt: skip
    numbers = [[known(one.value), known(one.low), known(one.high)] for one in found.values()]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.002)
    low, high = known(found["ICC(1)"].low), known(found["ICC(1)"].high)
    assert low is not None
    assert high is not None
    assert high - low > 0.1


def test_repetitions_have_no_names() -> None:
    """Which repetition bears which number changes nothing among repetitions."""
    random = np.random.default_rng(7)
    scores = random.normal(50, 10, (3, 2, 4, 1, 1)) + random.normal(0, 5, (3, 2, 4, 5, 1))
    shuffled = random.permuted(scores, axis=3)
    for left, right in zip(agreement(of_scores(scores)), agreement(of_scores(shuffled)), strict=True):
        assert [known(left.value), known(left.low)] == pytest.approx([known(right.value), known(right.low)])
    (one,), (other,) = reliability(of_scores(scores)), reliability(of_scores(shuffled))
    assert [one.of_mean, one.needed] == pytest.approx([other.of_mean, other.needed])


@pytest.mark.parametrize(
    ("icc", "k", "of_mean", "needed"),
    [(0.5, 3, 0.75, 9.0), (0.9, 1, 0.9, 1.0), (0.75, 3, 0.9, 3.0), (0.95, 2, 0.974, 1)],
)
def test_spearman_and_brown(icc: float, k: int, of_mean: float, needed: float) -> None:
    """The reliability of a mean, and the repetitions needed for .9, are those of the formula's own examples."""
    found = reliability_of(Agreement("q", "repetitions", "ICC(1)", 9, k, icc, icc - 0.1, 1.0), k)
    assert [known(found.of_mean), known(found.needed)] == pytest.approx([of_mean, needed], abs=0.001)
    most, low, high = known(found.needed_most), known(found.low), known(found.high)
    assert most is not None
    assert low is not None
    assert most >= needed
    assert low < of_mean
    assert high == 1


def test_where_nothing_is_to_be_agreed_about() -> None:
    """Scores that are all the same, and repetitions worse than chance, have no number of repetitions that is enough."""
    same = agreement(of_scores(np.full((2, 2, 3, 2, 1), 40.0)))
    assert all(isinstance(one.value, Undefined) and isinstance(one.low, Undefined) for one in same)
    assert reliability(of_scores(np.full((2, 2, 3, 2, 1), 40.0))) == ()
    found = reliability_of(Agreement("q", "repetitions", "ICC(1)", 9, 2, -0.2, -0.5, 0.3), 2)
    assert isinstance(found.needed, Undefined)
    opposed = reliability_of(Agreement("q", "repetitions", "ICC(1)", 9, 2, -1.0, -1.0, -1.0), 2)
    assert isinstance(opposed.of_mean, Undefined)
    apart = np.zeros((2, 2, 3, 2, 1))
    apart[..., 1, :] = 10.0  # every unit has the same two scores, so that units do not differ
    for one in agreement(of_scores(apart)):
        assert isinstance(one.low, Undefined) or one.among == "repetitions"
    assert all(isinstance(one.of_mean, Undefined) for one in reliability(of_scores(apart)))


def test_a_table_with_holes_keeps_its_intervals() -> None:
    """A cell of a text that has no score costs little; a run whose cells share no text counts units as independent."""
    random = np.random.default_rng(9)
    scores = random.normal(50, 15, (1, 1, 6, 1, 1)) + random.normal(0, 8, (5, 2, 6, 1, 1))
    scores = scores + random.normal(0, 4, (5, 2, 6, 3, 1))
    whole = of_scores(scores)
    hole = whole[~((whole["model"] == "2") & (whole["text"] == "4") & (whole["persona"] == "1"))]
    gone = whole[~((whole["model"] == "2") & (whole["persona"] == "1"))]
    apart = whole[(whole["model"].astype(int) == whole["text"].astype(int) % 5) & (whole["persona"] == "0")]
    jobs = whole.assign(job=whole["model"].astype(int))
    for frame, near in ((jobs, 0.1), (hole, 0.1), (gone, 0.1), (apart, 1.0)):
        one, other = (next(each for each in agreement(some) if each.measure == "ICC(1)") for some in (whole, frame))
        assert known(other.low) == pytest.approx(known(one.low), abs=near)
        assert known(other.high) == pytest.approx(known(one.high), abs=near)


def test_the_tables_have_every_coefficient() -> None:
    """Each coefficient stands with its interval, and each question with the repetitions that it needs."""
    random = np.random.default_rng(9)
    frame = of_scores(random.normal(50, 15, (3, 2, 6, 1, 1)) + random.normal(0, 4, (3, 2, 6, 3, 1)))
    found = {tuple(row[1:3]): row[-3:] for row in written(agreement_sheet(agreement(frame)))}
    assert set(found) == {("repetitions", "alpha"), ("repetitions", "ICC(1)"), ("models", "alpha"),
                          ("models", "ICC(A,1)"), ("models", "ICC(C,1)")}  # fmt: skip
    for value, low, high in found.values():
        assert low < value < high or low.startswith("−")
    (line,) = written(reliability_sheet(reliability(frame)))
    assert line[2] == "3"
    assert line[-2].isdecimal()
