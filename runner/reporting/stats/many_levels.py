"""An axis with so many levels that no two are compared: personas of a table, by the dozen or the hundred.

A level's effect is its mean distance from the mean of all levels, text by text and cell by cell, so that what a level
lacks moves it little. Levels count as a sample of levels like these: what is said of them is

    whether they differ at all: F = MS_level / MS_level_x_text, as in omnibus
    by how much: the standard deviation between levels, (MS_level - MS_level_x_text) / texts, with its interval from F
    each one's shrunken effect: its effect times sd^2 / (sd^2 + error), the best linear unbiased prediction (Robinson,
        1991), which is nearer the truth than the effect itself for those that came out extreme by chance
    intervals of the effects that hold for all levels together (Bonferroni), with the error of all levels pooled

Texts are the unit; where there is one, the repetitions within cells are, and it is about that text only. From mean
squares: 500 levels take milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.reporting.formatting import plain
from runner.reporting.stats.differences import MAX_LEVELS, compared_in
from runner.reporting.stats.frame import SCORE, codes_of, pairing_of, plural, questions_of
from runner.reporting.stats.inference import LEVEL
from runner.reporting.stats.shown.sheet import Columns, TableData, method_of
from runner.reporting.stats.summaries import number
from runner.reporting.stats.values import Number, Undefined, known

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from runner.reporting.stats.values import Scope

    Floats = NDArray[np.float64]

EXTREMES = 3
"""Levels at either end that a table shows."""


@dataclass(frozen=True, slots=True)
class LevelEffect:
    """One level of an axis: how far it lies from the mean of all levels, in points."""

    level: str
    texts: int
    mean: float
    """The mean of all levels plus its effect."""
    effect: float
    shrunken: Number
    low: Number
    """Of the interval of `effect` that holds for all levels together; likewise `high`."""
    high: Number


@dataclass(frozen=True, slots=True)
class ManyLevels:
    """An axis with more levels than are compared two by two, on one question."""

    axis: str
    question: str
    scope: Scope
    levels: int
    texts: int
    mean: float
    """Of all levels, each text alike."""
    f: Number
    df: Number
    df_error: Number
    p: Number
    sd: Number
    """Between levels, in points; 0 where its estimate is below 0."""
    sd_low: Number
    """Of its 95% interval; likewise `sd_high`."""
    sd_high: Number
    effects: tuple[LevelEffect, ...]
    """The highest first."""


def many_levels(frame: pd.DataFrame, fewest: int = MAX_LEVELS + 1) -> tuple[ManyLevels, ...]:
    """Every axis that is compared and has `fewest` levels or more, on each question.

    `frame` as stats.table gives it.
    """
    found = []
    for axis in compared_in(frame):
        for question in questions_of(frame):
            scored = frame.loc[frame[SCORE + question].notna()]
            if scored[axis].nunique() >= fewest:
                found.append(_on_question(scored, axis, question))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Effects:
    """Distances from the mean of all levels: a row a level, a column a text, NaN where there is none."""

    names: Sequence[str]
    table: Any
    mean: float
    noise: float
    """Variance of a level's value on a text that repetitions alone bring; NaN where no cell was asked twice."""
    df_noise: int


def _on_question(scored: pd.DataFrame, axis: str, question: str) -> ManyLevels:
    import numpy as np

    found = _effects(scored, axis, question)
    there = ~np.isnan(found.table)
    texts_of = there.sum(axis=1)
    effect = np.nansum(found.table, axis=1) / texts_of
    levels, texts = found.table.shape
    df = levels - 1
    scope: Scope = "texts" if texts > 1 else "fixed"
    df_error = int(there.sum()) - levels - texts + 1 if texts > 1 else found.df_noise
    rest = float(np.nansum((found.table - effect[:, None]) ** 2)) / df_error if texts > 1 and df_error > 0 else np.nan
    error = rest if texts > 1 else found.noise
    why = (
        "no text has scores of two levels" if texts > 1 else "there is one text only, and no cell of it was asked twice"
    )
    centre = float((texts_of * effect).sum() / texts_of.sum())
    between = float((texts_of * (effect - centre) ** 2).sum()) / df
    typical = (texts_of.sum() - (texts_of**2).sum() / texts_of.sum()) / df
    sd, low, high = _between(between, error, typical, (df, df_error), why)
    f = between / error if error > 0 else np.nan
    return ManyLevels(
        axis, question, scope, levels, texts, found.mean,
        number(f, why), number(df, why), number(df_error if error > 0 else np.nan, why),
        number(_p(f, df, df_error), why), sd, low, high,
        _ordered(found, (effect, texts_of), (error, df_error), known(sd), why),
    )  # fmt: skip


def _effects(scored: pd.DataFrame, axis: str, question: str) -> _Effects:
    """Cells, less the mean of their stratum (the cells that share all but the axis), averaged by level and text."""
    import numpy as np
    import pandas as pd

    others = pairing_of(scored, axis)
    level, names = pd.factorize(scored[axis].astype(str))
    text = pd.factorize(scored["text"])[0]
    stratum = codes_of(scored, others)
    values = scored[SCORE + question].to_numpy(dtype=np.float64)
    width = int(stratum.max()) + 1
    cells, place, counts = np.unique(level * width + stratum, return_inverse=True, return_counts=True)
    mean = np.bincount(place, weights=values) / counts
    cell_stratum = cells % width
    in_stratum = np.bincount(cell_stratum, weights=mean, minlength=width) / np.bincount(cell_stratum, minlength=width)
    text_of = np.zeros(width, dtype=np.int64)
    text_of[stratum] = text
    shape = len(names), int(text.max()) + 1
    at = (cells // width) * shape[1] + text_of[cell_stratum]
    size = np.bincount(at, minlength=shape[0] * shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        table = np.bincount(at, weights=mean - in_stratum[cell_stratum], minlength=len(size)) / size
        by_text = np.bincount(text_of, weights=in_stratum) / np.bincount(text_of)
    df_noise = len(values) - len(cells)
    within = float(((values - mean[place]) ** 2).sum()) / df_noise if df_noise else np.nan
    noise = within * float((1 / counts).mean()) / float(size[size > 0].mean())
    return _Effects([str(name) for name in names], table.reshape(shape), float(by_text.mean()), noise, df_noise)


def _p(f: float, df: int, df_error: int) -> float:
    from scipy.stats import f as fisher

    return float(fisher.sf(f, df, df_error))


def _between(
    square: float, error: float, texts: float, dfs: tuple[int, int], why: str
) -> tuple[Number, Number, Number]:
    """The standard deviation between levels, and its interval: that of F, at the error's estimate."""
    from scipy.stats import f as fisher

    if not error > 0:
        none = Undefined(why)
        return none, none, none
    upper, f = (1 + LEVEL) / 2, square / error
    ends = (f, f / float(fisher.ppf(upper, *dfs)), f * float(fisher.ppf(upper, *dfs[::-1])))
    sd, low, high = (float((max(0.0, end - 1) * error / texts) ** 0.5) for end in ends)
    return sd, low, high


def _ordered(
    found: _Effects, measured: tuple[Floats, Floats], error: tuple[float, int], sd: float | None, why: str
) -> tuple[LevelEffect, ...]:
    """Every level, the highest first. `measured`: effects, and each level's texts; `error`: mean square and df."""
    import numpy as np
    from scipy.stats import t

    (effect, texts), (square, df) = measured, error
    of_mean = square / texts
    width = t.ppf(1 - (1 - LEVEL) / 2 / len(effect), df) * np.sqrt(of_mean * (1 - 1 / len(effect)))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.full(len(effect), np.nan) if sd is None else np.nan_to_num(sd**2 / (sd**2 + of_mean))
    return tuple(
        LevelEffect(
            found.names[place],
            int(texts[place]),
            found.mean + float(effect[place]),
            float(effect[place]),
            number(share[place] * effect[place], why),
            number(effect[place] - width[place], why),
            number(effect[place] + width[place], why),
        )
        for place in np.argsort(-effect, kind="stable")
    )


# ---- tables ----------------------------------------------------------------------------------------------------------


def many_levels_sheets(found: Sequence[ManyLevels], *, everything: bool = False) -> Iterator[TableData]:
    """For each axis: whether and how far its levels differ, then the highest and lowest, or all, on each question."""
    for axis in dict.fromkeys(one.axis for one in found):
        some = [one for one in found if one.axis == axis]
        yield _tests(axis, some)
        yield _extremes(axis, some, everything=everything)


def _tests(axis: str, found: Sequence[ManyLevels]) -> TableData:
    columns: Columns = (("question", "name"), ("levels", "count"), ("texts", "count"), ("mean", "score"),
                        ("sd between", "score"), ("95% low", "score"), ("high", "score"), ("F", "score"),
                        ("df", "text"), ("p", "p"))  # fmt: skip
    rows = tuple(
        (
            one.question, one.levels, one.texts, one.mean, one.sd, one.sd_low, one.sd_high, one.f,
            f"{plain(one.df, 0)}, {plain(one.df_error, 0)}", one.p,
        )
        for one in found
    )  # fmt: skip
    unit = "the text" if all(one.scope == "texts" for one in found) else "the repetition"
    estimator = f"mean squares of {plural(axis)} and of {axis} x text, {plural(axis)} like these"
    title = f"Do {plural(axis)} differ? {_scope(found)}"
    return TableData(f"levels_{axis}", title, columns, rows, method_of(estimator, unit, "as shown"))


def _scope(found: Sequence[ManyLevels]) -> str:
    return "Over texts like these" if all(one.scope == "texts" for one in found) else "For this text only"


def _extremes(axis: str, found: Sequence[ManyLevels], *, everything: bool) -> TableData:
    columns: Columns = (("question", "name"), (axis, "name"), ("texts", "count"), ("mean", "score"),
                        ("from all", "signed"), ("shrunken", "signed"), ("low", "signed"),
                        ("high", "signed"))  # fmt: skip
    rows = tuple(
        (one.question, each.level, each.texts, each.mean, each.effect, each.shrunken, each.low, each.high)
        for one in found
        for each in (one.effects if everything else _ends_of(one.effects))
    )
    what = f"distance from the mean of all {plural(axis)}; shrunken: less what chance gives the most extreme"
    unit = "the text" if all(one.scope == "texts" for one in found) else "the repetition"
    method = method_of(what, unit, f"of {axis} x text, pooled", "Bonferroni over all levels")
    return TableData(f"extremes_{axis}", f"The most extreme {axis}s", columns, rows, method)


def _ends_of(effects: Sequence[LevelEffect]) -> Sequence[LevelEffect]:
    return effects if len(effects) <= 2 * EXTREMES else (*effects[:EXTREMES], *effects[-EXTREMES:])
