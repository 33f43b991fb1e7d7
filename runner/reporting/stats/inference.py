"""Means and mean differences with their standard errors: one model gives estimate, interval and p together.

What is drawn at random is the unit of the scope:

    texts      texts like these. The unit is the text: each has one value, the mean of its trials, and the estimate is
               the mean of those values with Student's t at (texts - 1) degrees of freedom. Every repetition, persona
               and model of a text is in its one value, so that asking a text again is no evidence about texts (Clark,
               1973; Miller, 2024, "Adding error bars to evals"). Student's t and not a bootstrap, whose percentiles of
               two to ten clusters cover far less than they say (Cameron, Gelbach and Miller, 2008).
    personas   texts and personas like these, crossed. The variance of the mean of a table of texts by personas is
               (MS_text + MS_persona - MS_rest) over its size (Cornfield and Tukey, 1956; Judd, Westfall and Kenny,
               2012), its degrees of freedom Satterthwaite's (1946).
    fixed      these texts only. The unit is the repetition: the variance is that within the cells that share model,
               persona, text and settings, pooled over them.

An interval and a p come from the same t, so that p < .05 exactly where the 95% interval leaves 0 out. Where the units
do not vary at all nothing tells how sure their mean is: there is neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

Scope = Literal["texts", "personas", "fixed"]
ABOUT: dict[Scope, str] = {
    "texts": "over texts like these",
    "personas": "over texts and personas like these",
    "fixed": "for these texts only",
}
"""What an inference is about, in words."""
LEVEL = 0.95
SURE = 0.05
"""A p below it is said to hold."""
ALIKE = 1e-12
"""Relative spread below which values count as equal: what adding them in another order changes."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """One estimate a group, as columns of one length; NaN where there is none."""

    value: Floats
    se: Floats
    df: Floats
    units: Codes
    """Texts (or, in the scope `fixed`, repetitions) that an estimate rests on."""
    sd: Floats
    """Standard deviation of one unit's value, in points."""

    def bounds(self, level: float = LEVEL) -> tuple[Floats, Floats]:
        """Low and high end of each interval, by Student's t; NaN where the standard error is 0."""
        import numpy as np
        from scipy.stats import t

        width = t.ppf((1 + level) / 2, self.df) * np.where(self.se > 0, self.se, np.nan)
        return self.value - width, self.value + width

    def statistic(self) -> Floats:
        """Student's t of each estimate against 0; NaN where its standard error is 0."""
        import numpy as np

        with np.errstate(divide="ignore", invalid="ignore"):
            found: Floats = np.where(self.se > 0, self.value / self.se, np.nan)
        return found

    def p_value(self) -> Floats:
        """Two-sided p of each estimate against 0."""
        from scipy.stats import t

        found: Floats = 2 * t.sf(abs(self.statistic()), self.df)
        return found

    def p_equivalent(self, margin: float) -> Floats:
        """P of two one-sided tests that the value lies within -margin to margin (Schuirmann, 1987; Lakens, 2017)."""
        import numpy as np
        from scipy.stats import t

        with np.errstate(divide="ignore", invalid="ignore"):
            se = np.where(self.se > 0, self.se, np.nan)
            above = t.sf((self.value + margin) / se, self.df)
            below = t.cdf((self.value - margin) / se, self.df)
        found: Floats = np.maximum(above, below)
        return found


def over_texts(values: Floats, groups: Codes, texts: Codes, count: int) -> Estimates:
    """The mean of each of `count` groups over its texts. The three columns are of one length, without NaN.

    A text's value is the plain mean of its rows. NaN for se and df where a group has one text only.
    """
    means, of_group = unit_means(values, groups, texts)
    return _student(means, of_group, count)


def unit_means(values: Floats, groups: Codes, units: Codes) -> tuple[Floats, Codes]:
    """The mean of every unit in every group that has it, and the group of each."""
    import numpy as np

    if not len(values):
        return np.empty(0), np.empty(0, dtype=np.int64)
    width = int(units.max()) + 1
    pairs, place = np.unique(groups.astype(np.int64) * width + units, return_inverse=True)
    means = np.bincount(place, weights=values) / np.bincount(place)
    return means, pairs // width


def _student(means: Floats, groups: Codes, count: int) -> Estimates:
    import numpy as np

    units = np.bincount(groups, minlength=count)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = np.bincount(groups, weights=means, minlength=count) / units
        around = (means - centre[groups]) ** 2
        variance = np.bincount(groups, weights=around, minlength=count) / (units - 1)
        se = np.sqrt(variance / units)
    largest = np.zeros(count)
    np.maximum.at(largest, groups, abs(means))
    se[(units > 1) & (se <= ALIKE * np.maximum(1.0, largest))] = 0.0
    enough = units > 1
    se, df = np.where(enough, se, np.nan), np.where(enough, units - 1.0, np.nan)
    return Estimates(centre, se, df, units, se * np.sqrt(units))


def over_repetitions(values: Floats, groups: Codes, texts: Codes, cells: Codes, count: int) -> Estimates:
    """The mean of each group over its own texts, held fixed: repetitions within `cells` are the unit.

    The estimate is the mean of the texts' means, as in `over_texts`. Its variance is that within cells, pooled over a
    group's cells, over each text's number of rows. NaN for se and df where no cell of a group has two rows.
    """
    import numpy as np

    means, of_group = unit_means(values, groups, texts)
    texts_in = np.bincount(of_group, minlength=count)
    ones, _ = unit_means(np.ones(len(values)), groups, texts)
    width = int(texts.max()) + 1 if len(texts) else 1
    _, rows = np.unique(groups.astype(np.int64) * width + texts, return_counts=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = np.bincount(of_group, weights=means, minlength=count) / texts_in
        spread, df = _within(values, groups, cells, count)
        shares = np.bincount(of_group, weights=ones / rows, minlength=count) / texts_in**2
        se = np.sqrt(spread / df * shares)
        sd = np.sqrt(spread / df)
    enough, rows_in = df > 0, np.bincount(groups, minlength=count)
    return Estimates(centre, np.where(enough, se, np.nan), np.where(enough, df, np.nan), rows_in, sd)


def _within(values: Floats, groups: Codes, cells: Codes, count: int) -> tuple[Floats, Floats]:
    """Sum of squares within cells, and its degrees of freedom, of each group."""
    import numpy as np

    if not len(values):
        return np.zeros(count), np.zeros(count)
    width = int(cells.max()) + 1
    pairs, place = np.unique(groups.astype(np.int64) * width + cells, return_inverse=True)
    sizes = np.bincount(place)
    centre = np.bincount(place, weights=values) / sizes
    squares: Floats = np.bincount(groups, weights=(values - centre[place]) ** 2, minlength=count).astype(np.float64)
    df: Floats = np.bincount(pairs // width, weights=sizes - 1.0, minlength=count).astype(np.float64)
    return squares, df


def over_both(table: Any) -> tuple[float, float, float]:
    """(mean, se, df) of a table of texts (rows) by personas (columns), both drawn at random. NaN cells are left out.

    Of a table with holes the mean squares are those of an additive fit to what is there, its size the harmonic one.
    """
    import numpy as np

    rows, columns = table.shape
    there = ~np.isnan(table)
    if min(rows, columns) < 2 or not there.any():
        return float(np.nanmean(table)) if there.any() else np.nan, np.nan, np.nan
    filled = _additive(table, there)
    mean = float(filled.mean())
    by_row, by_column = filled.mean(axis=1), filled.mean(axis=0)
    rest = filled - by_row[:, None] - by_column[None, :] + mean
    holes = int((~there).sum())
    df_rest = (rows - 1) * (columns - 1) - holes
    if df_rest < 1:
        return mean, np.nan, np.nan
    squares = (
        columns * float(((by_row - mean) ** 2).sum()) / (rows - 1),
        rows * float(((by_column - mean) ** 2).sum()) / (columns - 1),
        float((rest**2).sum()) / df_rest,
    )
    variance, df = satterthwaite(squares, (1.0, 1.0, -1.0), (rows - 1, columns - 1, df_rest))
    # A difference of mean squares may come out below what texts, or personas, alone give: those are the least.
    floor = max(squares[0], squares[1])
    if variance < floor:
        variance, df = floor, (rows - 1) if squares[0] >= squares[1] else (columns - 1)
    return mean, float(np.sqrt(variance / (rows * columns))), float(df)


def _additive(table: Any, there: Any) -> Any:
    """The table, its holes filled by row and column effects fitted to what is there (a few rounds suffice)."""
    import numpy as np

    filled = np.where(there, table, np.nanmean(table))
    for _ in range(50):
        fitted = filled.mean(axis=1, keepdims=True) + filled.mean(axis=0, keepdims=True) - filled.mean()
        filled = np.where(there, table, fitted)
    return filled


def satterthwaite(squares: tuple[float, ...], signs: tuple[float, ...], dfs: tuple[float, ...]) -> tuple[float, float]:
    """A sum of mean squares with signs, and its approximate degrees of freedom (Satterthwaite, 1946)."""
    total = sum(sign * square for sign, square in zip(signs, squares, strict=True))
    below = sum((sign * square) ** 2 / df for sign, square, df in zip(signs, squares, dfs, strict=True) if df > 0)
    return total, total**2 / below if below > 0 else float("nan")
