"""Each question's scores in each group of trials: how many, how high, how far apart, and how sure the mean is."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from runner.reporting.stats.bootstrap import mean_intervals
from runner.reporting.stats.frame import SCORE, distinct, questions_of
from runner.reporting.stats.values import Interval, Number, Summary, Undefined

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

AXES = ("all", "cell", "model", "vendor", "persona", "text", "temperature")


def summaries(frame: pd.DataFrame) -> tuple[Summary, ...]:
    """A summary for every axis, level and question, in the order of AXES and of the rows.

    An answer that several jobs of a sweep share counts in the cells of each, and elsewhere once.
    """
    once = distinct(frame)
    return tuple(summary for axis in AXES for summary in _axis(frame if axis == "cell" else once, axis))


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


def _axis(frame: pd.DataFrame, axis: str) -> Iterator[Summary]:
    """Level by level, and in each its questions."""
    import pandas as pd

    codes, names = pd.factorize(levels_of(frame, axis))
    texts, _ = pd.factorize(frame["text"])
    counts = _outcomes(frame, codes, len(names))
    scores = {
        question: list(_scores(frame[SCORE + question], codes, texts, len(names))) for question in questions_of(frame)
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


def _scores(column: pd.Series[Any], codes: Any, texts: Any, count: int) -> Iterator[dict[str, Any]]:
    """n, mean, sd, median and interval of each of `count` levels."""
    import pandas as pd

    there = column.notna().to_numpy()
    values, groups = column.to_numpy()[there], codes[there]
    low, high, by_text = mean_intervals(values, groups, texts[there], count)
    shown = pd.Series(values).groupby(groups).agg(["count", "mean", "std", "median"]).reindex(range(count))
    for code, n, mean, sd, median in shown.fillna({"count": 0}).itertuples(name=None):
        why = too_few(int(n))
        yield {
            "n": int(n),
            "mean": number(mean, why),
            "sd": number(sd, why),
            "median": number(median, why),
            "interval": interval_of(low[code], high[code], why, by_text=bool(by_text[code])),
        }


def interval_of(low: float, high: float, why_not: str, *, by_text: bool) -> Interval:
    """The interval between two bounds, or the reason for both."""
    return Interval(number(low, why_not), number(high, why_not), "texts" if by_text else "trials")
