"""Each question's scores in each group of trials: how many, how high, how far apart, and how sure the mean is.

A mean gives each text the same weight, however many of its trials were scored, so that missing replies to one text do
not move it. Its interval is over texts like these (see inference); where a group has one text it is about that text.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from runner.reporting.stats.frame import SCORE, codes_of, distinct, factors_of, questions_of
from runner.reporting.stats.inference import over_repetitions, over_texts
from runner.reporting.stats.values import Interval, Number, Summary, Undefined

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from runner.reporting.stats.inference import Estimates
    from runner.reporting.stats.values import Scales, Scope

AXES = ("all", "cell", "model", "vendor", "persona", "text", "temperature")


def summaries(
    frame: pd.DataFrame, scales: Scales | None = None, scope: Scope = "texts", axes: Sequence[str] = AXES
) -> tuple[Summary, ...]:
    """A summary for every axis, level and question, in the order of the axes and of the rows.

    An answer that several jobs of a sweep share counts in the cells of each, and elsewhere once. `scales` are the least
    and the most that may be given to each question, beyond which no interval goes.
    """
    once = distinct(frame)
    return tuple(
        summary for axis in axes for summary in _axis(frame if axis == "cell" else once, axis, scales or {}, scope)
    )


def levels_of(frame: pd.DataFrame, axis: str) -> pd.Series[Any]:
    """Each trial's level on an axis. Cells of several jobs are told apart by their job."""
    import pandas as pd

    if axis == "all":
        return pd.Series("all", index=frame.index)
    if axis == "cell" and frame["job"].nunique() > 1:
        return frame["job"].astype(str) + ":" + frame["cell"].astype(str)
    return frame[axis]


def number(value: float, reason: str) -> Number:
    """`value`, or the reason where it is NaN or infinite."""
    return float(value) if isfinite(value) else Undefined(reason)


def too_few(n: int) -> str:
    """Why something that needs two scores has no value."""
    return "nothing was scored" if n == 0 else "there is one score only"


def interval_of(found: Estimates, place: int, scope: Scope, why_not: str, ends: tuple[float, float] | None) -> Interval:
    """The interval of one estimate, within `ends`; the reason where it has none."""
    low, high = found.bounds()
    least, most = ends if ends is not None else (float("-inf"), float("inf"))
    return Interval(
        number(max(low[place], least), why_not),
        number(min(high[place], most), why_not),
        scope,
        int(found.units[place]),
        number(found.se[place], why_not),
        number(found.df[place], why_not),
    )


def _axis(frame: pd.DataFrame, axis: str, scales: Scales, scope: Scope) -> Iterator[Summary]:
    """Level by level, and in each its questions."""
    import pandas as pd

    codes, names = pd.factorize(levels_of(frame, axis))
    texts, cells = codes_of(frame, ["text"]), codes_of(frame, factors_of(frame))
    counts = _outcomes(frame, codes, len(names))
    scores = {
        question: list(_scores(frame[SCORE + question], (codes, texts, cells), len(names), scales.get(question), scope))
        for question in questions_of(frame)
    }
    for code, name in enumerate(names):
        for question, of_level in scores.items():
            yield Summary(axis=axis, level=str(name), question=question, **counts[code], **of_level[code])


def _outcomes(frame: pd.DataFrame, codes: Any, count: int) -> list[dict[str, Any]]:
    """Trials, those without a score, and why, of each of `count` levels."""
    import numpy as np

    outcomes = frame["outcome"]
    reasons = _reasons(frame, codes)
    trials = np.bincount(codes, minlength=count).tolist()
    unscorable, failed = (
        np.bincount(codes[here.to_numpy()], minlength=count).tolist()
        for here in (outcomes == "unscorable", outcomes == "failed")
    )
    return [
        {
            "trials": trials[code],
            "unscorable": unscorable[code],
            "failed": failed[code],
            "unscorable_share": unscorable[code] / (trials[code] - failed[code])
            if trials[code] > failed[code]
            else Undefined("no reply came back"),
            "reasons": reasons.get(code, {}),
        }
        for code in range(count)
    ]


def _reasons(frame: pd.DataFrame, codes: Any) -> dict[int, dict[str, int]]:
    unread = (frame["problem"] != "").to_numpy()
    problems = frame["problem"][unread].astype(str)
    found: dict[int, dict[str, int]] = {}
    counts = problems.groupby([codes[unread], problems]).size()
    for code, kind, count in counts.rename("count").rename_axis(["code", "kind"]).reset_index().itertuples(index=False):
        found.setdefault(int(code), {})[str(kind)] = int(count)
    return found


def _scores(
    column: pd.Series[Any], coded: tuple[Any, Any, Any], count: int, ends: tuple[float, float] | None, scope: Scope
) -> Iterator[dict[str, Any]]:
    """n, texts, mean, sd, median and interval of each of `count` levels."""
    import numpy as np
    import pandas as pd

    there = column.notna().to_numpy()
    values = column.to_numpy(dtype=np.float64)[there]
    groups, texts, cells = (codes[there] for codes in coded)
    found: dict[Scope, Estimates] = {
        "texts": over_texts(values, groups, texts, count),
        "fixed": over_repetitions(values, groups, texts, cells, count),
    }
    texts_in = found["texts"].units
    shown = pd.Series(values).groupby(groups).agg(["count", "std", "median"]).reindex(range(count))
    for code, n, sd, median in shown.fillna({"count": 0}).itertuples(name=None):
        about: Scope = "fixed" if texts_in[code] < 2 or scope == "fixed" else "texts"
        yield {
            "n": int(n),
            "texts": int(texts_in[code]),
            "mean": number(found["texts"].value[code], "nothing was scored"),
            "sd": number(sd, too_few(int(n))),
            "median": number(median, too_few(int(n))),
            "interval": interval_of(found[about], code, about, _why_unsure(int(n), about), ends),
        }


def _why_unsure(n: int, scope: Scope) -> str:
    if n < 2 or scope == "texts":
        return too_few(n)
    return "there is one text only, and no cell of it was asked twice"
