"""Ends of intervals of ratios of mean squares, whose units share texts, models and personas.

McGraw and Wong's (1996) intervals of intraclass correlations take units for independent draws. Those of one text, or of
one model, are not: what varies between them is the sum of all crossed components, each with its own degrees of freedom,
and the sum's interval is that of Graybill and Wang (1980). Where each unit is a text of its own this changes nothing.
"""

from __future__ import annotations

from math import exp, hypot, log, nan, prod
from typing import TYPE_CHECKING, Any

from runner.reporting.stats.components import mean_squares
from runner.reporting.stats.inference import LEVEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    Parts = Sequence[tuple[float, float]]
    """Mean squares that add up, each with its degrees of freedom."""

MOST_HOLES = 0.2
"""Share of a table of units' means that may be missing before units count as independent."""


def between_units(means: pd.Series[float], scale: float) -> Parts:
    """Mean squares between units whose levels are all drawn at random, weighted so that they add up; with their df.

    Of a complete table of the units' means, by its axes (text first, then model, persona): their sum is an unbiased
    estimate of the noise of one score, plus `scale` times the sum of all components' variances. Holes are filled by an
    additive fit, and taken from the last df. Where there are too many, as where each job has a model of its own, the
    axes but the text count as one, and where that does not help, units as independent.
    """
    import numpy as np

    alone: list[Any] = [level for level, size in enumerate(_sizes(means)) if size < 2]
    means = means.droplevel(alone[: means.index.nlevels - 1])
    if means.index.nlevels > 2 and len(means) < (1 - MOST_HOLES) * prod(_sizes(means)):
        text = means.index.get_level_values(0)
        means = means.set_axis([text, means.droplevel(0).index.map(str)])
    if means.index.nlevels == 1 or len(means) < (1 - MOST_HOLES) * prod(_sizes(means)):
        return [(scale * float(means.var()), float(len(means) - 1))]
    table = _table(means)
    holes = int(np.isnan(table).sum())
    squares = mean_squares(_filled(table))
    found = []
    for axes, (square, df) in squares.items():
        left = float(df - holes if len(axes) == table.ndim else df)
        found.append((scale * _weight(axes, table.shape) * square, max(1.0, left)))
    return [(part, df) for part, df in found if part > 0]


def _table(means: pd.Series[float]) -> Any:
    """The means by the levels of their index, an axis each; NaN where there is none."""
    import numpy as np
    import pandas as pd

    coded = [pd.factorize(means.index.get_level_values(level)) for level in range(means.index.nlevels)]
    found = np.full([len(levels) for _, levels in coded], np.nan)
    found[tuple(codes for codes, _ in coded)] = means.to_numpy()
    return found


def _weight(axes: Sequence[int], sizes: Sequence[int]) -> float:
    """What a mean square counts in the sum of all components' variances: the expected mean squares, solved."""
    inside: float = prod(1 - 1 / size if axis in axes else 1 / size for axis, size in enumerate(sizes))
    return inside - (-1.0) ** len(axes) / prod(sizes)


def _sizes(means: pd.Series[float]) -> list[int]:
    return [means.index.get_level_values(level).nunique() for level in range(means.index.nlevels)]


def _filled(table: Any) -> Any:
    """The table, its holes filled by the axes' effects fitted to what is there."""
    import numpy as np

    there = ~np.isnan(table)
    filled = np.where(there, table, np.nanmean(table))
    if there.all():
        return filled
    axes = range(table.ndim)
    for _ in range(50):
        centre = filled.mean()
        effects = (
            filled.mean(axis=tuple(other for other in axes if other != axis), keepdims=True) - centre for axis in axes
        )
        filled = np.where(there, table, centre + sum(effects))
    return filled


def ratio_ends(between: Parts, error: Parts) -> tuple[float, float]:
    """Both ends of the 95% interval of one sum of mean squares over another, independent one.

    A single mean square over a single one: by F. Else by Graybill and Wang (1980): the squared distances of each part's
    own ends add up, and those of the two sums likewise, on the scale of logarithms. NaN where either is 0.
    """
    from scipy.stats import f as fisher

    total, rest = sum(part for part, _ in between), sum(part for part, _ in error)
    if not total > 0 or not rest > 0:
        return nan, nan
    if len(between) == len(error) == 1:
        upper, df, df_error = (1 + LEVEL) / 2, between[0][1], error[0][1]
        return total / rest / float(fisher.ppf(upper, df, df_error)), total / rest * float(
            fisher.ppf(upper, df_error, df)
        )
    if not (total > 0 and rest > 0):
        return nan, nan  # scores that do not differ at all have no ratio
    (down, up), (error_down, error_up) = _distances(between), _distances(error)
    return total / rest * exp(-hypot(down, error_up)), total / rest * exp(hypot(up, error_down))


def _distances(parts: Parts) -> tuple[float, float]:
    """How far the ends of a sum's interval lie below and above it, in logarithms."""
    from scipy.stats import chi2

    total, upper = sum(part for part, _ in parts), (1 + LEVEL) / 2
    below = hypot(*(part * (1 - df / chi2.ppf(upper, df)) for part, df in parts))
    above = hypot(*(part * (df / chi2.ppf(1 - upper, df) - 1) for part, df in parts))
    return log(total / (total - below)), log((total + above) / total)


def units_by_raters(whole: pd.DataFrame, square: float) -> Parts:
    """The mean square of units by raters; where units are texts by personas in parts, as `between_units` has theirs."""
    import numpy as np

    n, k = whole.shape
    sizes = _sizes(whole.mean(axis=1))
    if len(sizes) != 2 or min(sizes) < 2 or np.prod(sizes) != n:
        return [(square, float((n - 1) * (k - 1)))]
    squares = mean_squares(whole.to_numpy().reshape(*sizes, k))
    found = [(_weight(axes, sizes), *squares[*axes, 2]) for axes in ((0,), (1,), (0, 1))]
    return [(weight * part, float(df)) for weight, part, df in found if weight * part > 0]
