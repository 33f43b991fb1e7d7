"""Seeded bootstrap intervals of the means of many groups at once, whole clusters drawn with replacement.

Percentile intervals after Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 8 and 13: a resample
draws as many clusters as there are, and its mean is the sum of what it drew over the count of what it drew. That is
scipy.stats.bootstrap with paired sums and counts; here every group shares one set of draws, so that thousands of groups
cost one product of matrices.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 2_000
SEED = 20_250_501
MAX_CLUSTERS = 1_000
"""Where there are more, they are dealt into this many blocks, which are drawn whole: as good, and bounded in cost."""
_COLUMNS = 100
"""Groups that are resampled together: bounds the memory."""
_ROWS = 100
"""Resamples that are drawn together: likewise."""

if TYPE_CHECKING:
    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]


def mean_intervals(values: Floats, groups: Codes, texts: Codes, count: int) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """(low, high, by_text) for each of `count` groups, NaN where a group has fewer than two values.

    `values`, `groups` and `texts` are columns of one length, without NaN. A group of two texts or more is resampled by
    text (`by_text`), any other by its single values.
    """
    import numpy as np

    low, high = np.full(count, np.nan), np.full(count, np.nan)
    by_text = _texts_in(groups, texts, count) >= 2
    here = by_text[groups]
    _, clusters = np.unique(texts[here], return_inverse=True)
    _fill(low, high, values[here], groups[here], clusters)
    sizes = np.bincount(groups, minlength=count)
    for size in np.unique(sizes[(~by_text) & (sizes >= 2)]):
        alike = (~by_text) & (sizes == size)
        here = alike[groups]
        _fill(low, high, values[here], groups[here], _place_in_group(groups[here]))
    return low, high, by_text


def _texts_in(groups: Codes, texts: Codes, count: int) -> Codes:
    import numpy as np

    if not len(groups):
        return np.zeros(count, dtype=np.int64)
    width = int(np.max(texts)) + 1
    return np.bincount(np.unique(groups * width + texts) // width, minlength=count)


def _place_in_group(groups: Codes) -> Codes:
    """0, 1, 2, ... within each group."""
    import numpy as np

    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(groups[order]) != 0])
    places = np.empty(len(groups), dtype=np.int64)
    places[order] = np.arange(len(groups)) - np.repeat(starts, np.diff(np.r_[starts, len(groups)]))
    return places


def _fill(low: Floats, high: Floats, values: Floats, groups: Codes, clusters: Codes) -> None:
    """Write the intervals of the groups that occur."""
    import numpy as np

    if not len(values):
        return
    blocks = min(int(np.max(clusters)) + 1, MAX_CLUSTERS)
    dealt = _deal(int(np.max(clusters)) + 1)[clusters] if blocks == MAX_CLUSTERS else clusters
    names, columns = np.unique(groups, return_inverse=True)
    for start in range(0, len(names), _COLUMNS):
        here = (columns >= start) & (columns < start + _COLUMNS)
        these = names[start : start + _COLUMNS]
        low[these], high[these] = _bounds(values[here], columns[here] - start, dealt[here], (blocks, len(these)))


def _bounds(values: Floats, columns: Codes, blocks: Codes, shape: tuple[int, int]) -> Floats:
    """Both ends of each column's interval; `shape` is the number of blocks and of columns."""
    import numpy as np

    size = shape[0] * shape[1]
    place = blocks * shape[1] + columns
    counts = np.bincount(place, minlength=size).reshape(shape).astype(np.float64)
    centre = np.bincount(columns, weights=values, minlength=shape[1]) / counts.sum(axis=0)
    # Sums about the mean, so that what the product of matrices rounds off is small beside the interval's width.
    sums = np.bincount(place, weights=values - centre[columns], minlength=size).reshape(shape)
    draws = _draws(shape[0])
    bounds: Floats = centre + _percentiles(draws @ sums, draws @ counts)
    return bounds


def _percentiles(sums: Floats, counts: Floats) -> Floats:
    """2.5% and 97.5% of the resampled means; a resample that drew nothing of a group says nothing about it."""
    import numpy as np

    means = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    gaps = np.isnan(means).any(axis=0)
    bounds: Floats = np.full((2, len(gaps)), np.nan)
    if not gaps.all():
        bounds[:, ~gaps] = np.quantile(means[:, ~gaps], [0.025, 0.975], axis=0)
    if gaps.any():
        bounds[:, gaps] = np.nanquantile(means[:, gaps], [0.025, 0.975], axis=0)
    return bounds


@lru_cache(maxsize=2)
def _draws(clusters: int) -> Any:
    """How often each resample draws each cluster: RESAMPLES x clusters."""
    import numpy as np

    rng, counts = np.random.default_rng([SEED, clusters]), np.empty((RESAMPLES, clusters))
    for start in range(0, RESAMPLES, _ROWS):
        drawn = rng.integers(0, clusters, (_ROWS, clusters)) + np.arange(_ROWS)[:, None] * clusters
        counts[start : start + _ROWS] = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
    return counts


@lru_cache(maxsize=4)
def _deal(clusters: int) -> Any:
    """A block for each cluster, at random, all of nearly one size."""
    import numpy as np

    return np.random.default_rng([SEED, clusters, 1]).permutation(clusters) % MAX_CLUSTERS
