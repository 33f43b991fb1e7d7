"""What is said of differences holds: made data in which nothing differs, each question a study of its own.

A bounded form of benchmarks/calibration.py. Its bands are some five standard errors wide, so that chance does not leave
them, and a test that takes repetitions, or the models of a vendor, as evidence about texts does: at these sizes such a
test finds a difference in 25 to 100% of studies.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from made_tables import of_scores

from runner.reporting.stats import paired
from runner.reporting.stats.differences import ContrastOptions, differences_within
from runner.reporting.stats.omnibus import omnibus
from runner.reporting.stats.summaries import summaries
from runner.reporting.stats.values import known

if TYPE_CHECKING:
    from numpy.typing import NDArray

CENTRE = 50.0
# Hundreds of studies stand in one table here, each as a question: no run has so many columns.
pytestmark = pytest.mark.filterwarnings("ignore:DataFrame is highly fragmented")


@dataclass(frozen=True)
class World:
    """How scores come about: standard deviations in points."""

    name: str
    texts: int
    repetitions: int
    models: int
    liking: float
    clipped: bool = False
    missing: float = 0.0


def made(world: World, studies: int, seed: int) -> NDArray[np.float64]:
    """Models x personas x texts x repetitions x studies. No model, persona or vendor differs from another."""
    random, shape = np.random.default_rng(seed), (world.models, 2, world.texts, world.repetitions, studies)
    scores = CENTRE + random.normal(0, 20, (1, 1, world.texts, 1, studies))
    scores = scores + random.normal(0, world.liking, (world.models, 1, world.texts, 1, studies))
    scores = scores + random.normal(0, 4, (1, 2, world.texts, 1, studies)) + random.normal(0, 6, shape)
    if world.clipped:
        scores = scores.clip(0, 100)
    scores[random.random(shape) < world.missing] = np.nan
    return scores


PAIRS = (
    World("three texts, ten repetitions", 3, 10, 2, 8.0),
    World("ten texts, clipped, a tenth missing", 10, 3, 2, 15.0, clipped=True, missing=0.1),
)


@pytest.mark.parametrize("world", PAIRS, ids=lambda world: world.name)
def test_two_models_that_do_not_differ(world: World) -> None:
    """Of 150 studies 1 to 11% have p below .05, just those whose interval leaves 0 out; 89% or more cover the mean."""
    frame = of_scores(made(world, 150, 17))
    one, other = (frame[frame["model"] == name] for name in "01")
    false = []
    for each in paired(one, other):
        p, low, high = (known(number) for number in (each.p, each.interval.low, each.interval.high))
        assert p is not None
        assert low is not None
        assert high is not None
        assert (p < 0.05) == (low > 0 or high < 0)
        false.append(p < 0.05)
    assert len(false) == 150
    assert 0.01 <= np.mean(false) <= 0.11
    ends = [(known(found.interval.low), known(found.interval.high)) for found in summaries(one, axes=["model"])]
    covered = [low <= CENTRE <= high for low, high in ends if low is not None and high is not None]
    assert len(covered) == 150
    assert 0.89 <= np.mean(covered) <= 0.995


def test_axes_that_do_not_matter() -> None:
    """Of 80 studies of six models at most 14% say that models, personas or vendors matter, and not none."""
    frame = of_scores(made(World("", 5, 3, 6, 8.0), 80, 19))
    ps: dict[str, list[float]] = {}
    for test in omnibus(frame):
        p = known(test.p)
        assert p is not None
        ps.setdefault(test.axis, []).append(p)
    assert set(ps) == {"model", "persona", "vendor"}
    for axis, found in ps.items():
        assert len(found) == 80
        assert 0 < np.mean(np.array(found) < 0.05) <= 0.14, axis


def test_a_family_of_all_pairs() -> None:
    """Of 60 studies of four models at most 13% have any pair below .05 after Holm; alone, pairs have it more often."""
    frame = of_scores(made(World("", 5, 2, 4, 8.0), 60, 23))
    found = differences_within(frame, "model", ContrastOptions())
    assert isinstance(found, tuple)
    size = len(list(combinations(range(4), 2)))
    families = [found[start : start + size] for start in range(0, len(found), size)]
    assert {len({one.question for one in family}) for family in families} == {1}
    corrected, alone = (
        np.mean([any((known(getattr(one, name)) or 0.0) < 0.05 for one in family) for family in families])
        for name in ("p_holm", "p")
    )
    assert corrected <= 0.13
    assert alone > corrected


def test_equivalence_is_not_claimed_at_the_margin() -> None:
    """Where two models differ by the margin, at most 11% of 150 studies say that they lie within it, and some do."""
    scores = made(World("", 10, 3, 2, 4.0), 150, 29)
    scores[0] += 5.0
    frame = of_scores(scores)
    one, other = (frame[frame["model"] == name] for name in "01")
    claimed = [
        (known(each.p_equivalent) or 0.0) < 0.05 for each in paired(one, other, asked=ContrastOptions(margin=5.0))
    ]
    assert 0 < np.mean(claimed) <= 0.11


def test_vendors_whose_models_agree_on_every_text() -> None:
    """Scores that are nearly all 0, and models of a vendor that never differ, give a test or a reason, no failure."""
    scores = made(World("", 3, 2, 6, 8.0), 3, 31)
    scores[..., 0] = 0.0
    scores[..., 1] = np.arange(3)[None, None, :, None] * np.repeat([1.0, 2.0], 3)[:, None, None, None]
    scores[..., 2] = np.repeat([1.0, 2.0], 3)[:, None, None, None]
    found = {test.question: test for test in omnibus(of_scores(scores)) if test.axis == "vendor"}
    assert known(found["q0"].p) is None
    assert known(found["q1"].p) is not None
    assert known(found["q2"].p) is None
