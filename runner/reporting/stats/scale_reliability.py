"""How far the items of a scale say the same: Cronbach's alpha, over all trials and by model.

alpha = k / (k - 1) * (1 - sum of the items' variances / variance of their sum), of k items (Cronbach, 1951), from the
trials in which every item has a score, reversed ones turned. Its interval is over texts like these: the trials of one
text are no independent answers, so that Feldt's (1965) would be too narrow. It is that of the jackknife that leaves out
one text at a time, of ln(1 - alpha), with Student's t at (texts - 1) degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, isfinite, log, nan, sqrt
from typing import TYPE_CHECKING, Any

from runner.reporting.stats.frame import SCORE
from runner.reporting.stats.inference import LEVEL
from runner.reporting.stats.shown.sheet import Columns, TableData, method_of
from runner.reporting.stats.values import Interval, Number, Undefined

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pandas as pd

    from runner.records import ItemScale
    from runner.reporting.stats.inference import Codes, Floats

FEWEST_TEXTS = 3
"""Texts below which leaving one out says nothing."""


@dataclass(frozen=True, slots=True)
class ScaleReliability:
    """Cronbach's alpha of one scale in one group of trials."""

    scale: str
    items: tuple[str, ...]
    axis: str
    level: str
    n: int
    """Trials with a score for every item."""
    texts: int
    alpha: Number
    interval: Interval
    without: tuple[Number, ...]
    """Alpha without each of the items; not defined for two."""


def reliabilities(frame: pd.DataFrame, scales: Iterable[ItemScale]) -> tuple[ScaleReliability, ...]:
    """Each scale over all trials, then by model where there are several.

    `frame` is that of stats.frame: a column of scores a question, NaN where there is none.
    """
    return tuple(one for scale in scales for one in _of_scale(frame, scale))


def _of_scale(frame: pd.DataFrame, scale: ItemScale) -> Iterator[ScaleReliability]:
    import numpy as np
    import pandas as pd

    columns = [SCORE + item for item in scale.items]
    if not {*columns} <= {*frame.columns}:
        return
    table = frame[columns].to_numpy(dtype="float64")
    there = ~np.isnan(table).any(axis=1)
    table, texts = table[there], pd.factorize(frame["text"][there])[0]
    models = frame["model"].astype(str)[there].to_numpy(dtype=object)
    yield _one(scale, "all", "all", table, texts)
    names = list(dict.fromkeys(models.tolist()))
    for name in names if len(names) > 1 else ():
        yield _one(scale, "model", name, table[models == name], texts[models == name])


def _one(scale: ItemScale, axis: str, level: str, table: Floats, texts: Codes) -> ScaleReliability:
    import numpy as np

    alpha = cronbach(table)
    kept = range(table.shape[1])
    few = Undefined("there are two items only")
    without = tuple(few if len(kept) < 3 else _number(cronbach(np.delete(table, item, axis=1))) for item in kept)
    count = len(np.unique(texts))
    return ScaleReliability(
        scale.name, scale.items, axis, level, len(table), count, _number(alpha), _interval(alpha, table, texts), without
    )


def cronbach(table: Floats) -> float:
    """Cronbach's alpha of a table with a line a trial and a column an item; NaN where nothing varies."""
    trials, items = table.shape
    if trials < 2 or items < 2:
        return nan
    whole = float(table.sum(axis=1).var(ddof=1))
    parts = float(table.var(axis=0, ddof=1).sum())
    return items / (items - 1) * (1 - parts / whole) if whole > 0 else nan


def _number(value: float) -> Number:
    return value if isfinite(value) else Undefined("the items' scores do not vary")


def _interval(alpha: float, table: Floats, texts: Codes) -> Interval:
    """The jackknife's over texts, on the scale of ln(1 - alpha)."""
    import numpy as np
    from scipy.stats import t

    names = np.unique(texts)
    why: Any = Undefined(f"it takes {FEWEST_TEXTS} texts")
    if len(names) < FEWEST_TEXTS or not (isfinite(alpha) and alpha < 1):
        return Interval(why, why, "texts", len(names), why, why)
    left = np.array([cronbach(table[texts != name]) for name in names])
    if not (np.isfinite(left) & (left < 1)).all():
        why = Undefined("without one of the texts nothing varies")
        return Interval(why, why, "texts", len(names), why, why)
    count = len(names)
    pseudo = count * log(1 - alpha) - (count - 1) * np.log(1 - left)
    centre, se = log(1 - alpha), sqrt(float(pseudo.var(ddof=1)) / count)
    width = float(t.ppf((1 + LEVEL) / 2, count - 1)) * se
    return Interval(1 - exp(centre + width), 1 - exp(centre - width), "texts", count, se, float(count - 1))


def reliability_sheets(found: Sequence[ScaleReliability]) -> list[TableData]:
    """The table of alphas; none without a scale."""
    columns: Columns = (
        ("scale", "name"), ("of", "name"), ("items", "count"), ("trials", "count"), ("alpha", "fine"),
        ("95% interval", "interval"), ("without an item", "text"),
    )  # fmt: skip
    rows = tuple((one.scale, one.level, len(one.items), one.n, one.alpha, one.interval, _without(one)) for one in found)
    method = method_of("Cronbach's alpha; interval of the jackknife over texts of ln(1 - alpha)", "text", "texts - 1")
    return [TableData("scales", "Scales", columns, rows, method)] if rows else []


def _without(one: ScaleReliability) -> str:
    shown = (
        f"{item} {value:.2f}" for item, value in zip(one.items, one.without, strict=True) if isinstance(value, float)
    )
    return ", ".join(shown) or "–"
