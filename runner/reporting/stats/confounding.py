"""Factors that go together in the data, so that what is said of one may be said of the other.

Two factors go together where each level of one comes with one level of the other only: each persona with its own
temperature, each model with its own way of asking for structure. A difference between the first's levels is then one
between the second's as well, and the second has no effect that could be told apart from the first's.
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

from runner.reporting.stats.frame import CHECKED, further, is_covariate, settings_in
from runner.reporting.stats.values import Confounded

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

EXAMPLES = 4
"""Most levels that a sentence names."""


def confounded(frame: pd.DataFrame, factors: Iterable[str] | None = None) -> tuple[Confounded, ...]:
    """Every pair of the table's factors of which one decides the other, in the trials where both are known.

    A pair that decide each other is given once, under the earlier of the two; one whose levels have the same names, as
    a temperature and the setting that it comes from, is one factor under two names, and no pair. What is known of
    personas and texts, and what goes with a factor that parts cells, is not looked at among itself.
    """
    others = [name for name in further(frame) if not is_covariate(frame, name)]
    factors, real = (*CHECKED, *others) if factors is None else factors, {*CHECKED, *settings_in(frame)}
    known = {name: _levels(frame[name]) for name in dict.fromkeys(factors) if name in frame.columns}
    found: dict[tuple[str, str], Confounded] = {}
    for first, second in permutations(known, 2):
        pairs = _pairs(known[first], known[second])
        levels = len({left for left, _ in pairs}), len({right for _, right in pairs})
        if min(levels) < 2 or len(pairs) > levels[0] or not real & {first, second}:
            continue
        if all(left == right for left, right in pairs):
            continue
        mutual = len(pairs) == levels[1]
        if not mutual or (second, first) not in found:
            found[first, second] = Confounded(first, second, mutual, tuple(sorted(pairs)[:EXAMPLES]))
    return tuple(found.values())


def _levels(column: pd.Series[Any]) -> tuple[Any, list[str]]:
    """The number of each trial's level, -1 where it has none, and the levels' names."""
    import pandas as pd

    codes, names = pd.factorize(column.astype(object).where(column.astype(object) != ""))
    return codes, [str(name) for name in names]


def _pairs(first: tuple[Any, list[str]], second: tuple[Any, list[str]]) -> set[tuple[str, str]]:
    """The combinations of two factors' levels that occur."""
    import numpy as np

    (left, left_names), (right, right_names) = first, second
    there = (left >= 0) & (right >= 0)
    width = max(len(right_names), 1)
    both = np.unique(left[there].astype(np.int64) * width + right[there])
    return {(left_names[code // width], right_names[code % width]) for code in both.tolist()}


def decided_by(found: Iterable[Confounded], factor: str) -> str | None:
    """The factor that decides this one, so that it has no effect of its own; None where it varies freely."""
    return next((one.factor for one in found if one.decides == factor), None)


def beside(found: Iterable[Confounded], factor: str) -> tuple[str, ...]:
    """The factors that a difference between this one's levels may be a difference of as well."""
    return tuple(one.decides for one in found if one.factor == factor)
