"""Each question's scores in each group of trials: how many, how high, how far apart, and how sure the mean is.

A mean gives each text the same weight, however many of its trials were scored, so that missing replies to one text do
not move it. Its interval is over texts like these (see inference), or over texts and personas where that is asked for
and there are two of both; where a group has one text it is about that text.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any

from runner.reporting.stats.coverage import ABSENT, reasons_of
from runner.reporting.stats.frame import SCORE, codes_of, distinct, factors_of, questions_of
from runner.reporting.stats.inference import Estimates, over_both, over_repetitions, over_texts
from runner.reporting.stats.values import Interval, Number, Summary, Undefined
from runner.results.frame import asks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from runner.reporting.stats.inference import Codes, Floats
    from runner.reporting.stats.values import Scales, Scope

    Bounds = tuple[Floats, Floats]

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


SAME: Mapping[Scope, str] = {
    "texts": "it is the same for every text",
    "personas": "it is the same for every text and persona",
    "fixed": "all repetitions are the same",
}
"""Why there is no interval where the unit of a scope does not vary."""


def too_few(n: int) -> str:
    """Why something that needs two scores has no value."""
    return "nothing was scored" if n == 0 else "there is one score only"


def interval_of(
    estimated: tuple[Estimates, Bounds], place: int, scope: Scope, why_not: str, ends: tuple[float, float] | None
) -> Interval:
    """The interval of one of some estimates with their bounds, within `ends`; the reason where it has none."""
    found, (low, high) = estimated
    least, most = ends if ends is not None else (float("-inf"), float("inf"))
    why = SAME[scope] if found.se[place] == 0 else why_not
    return Interval(
        number(low[place] if isnan(low[place]) else max(low[place], least), why),
        number(high[place] if isnan(high[place]) else min(high[place], most), why),
        scope,
        int(found.units[place]),
        number(found.se[place], why_not),
        number(found.df[place], why_not),
    )


@dataclass(frozen=True, slots=True)
class _Coded:
    """Trials that were asked one question, with the number of each one's level, text and cell."""

    frame: pd.DataFrame
    question: str
    levels: Codes
    texts: Codes
    cells: Codes
    count: int
    """Levels."""

    @classmethod
    def of(cls, frame: pd.DataFrame, question: str, coded: tuple[Codes, Codes, Codes], count: int) -> _Coded:
        there = asks(frame, question)
        if there.all():
            return cls(frame, question, *coded, count)
        return cls(frame[there], question, coded[0][there], coded[1][there], coded[2][there], count)

    @property
    def scores(self) -> Floats:
        found: Floats = self.frame[SCORE + self.question].to_numpy(dtype="float64")
        return found


def _axis(frame: pd.DataFrame, axis: str, scales: Scales, scope: Scope) -> Iterator[Summary]:
    """Level by level, and in each its questions."""
    import pandas as pd

    codes, names = pd.factorize(levels_of(frame, axis))
    coded = codes, codes_of(frame, ["text"]), codes_of(frame, factors_of(frame))
    found = {}
    for question in questions_of(frame):
        of = _Coded.of(frame, question, coded, len(names))
        parts = (_outcomes(of), _texts(of, axis), _bounds(of, scales.get(question)), _scores(of, scales, scope))
        found[question] = [
            {name: value for part in each for name, value in part.items()} for each in zip(*parts, strict=True)
        ]
    for code, name in enumerate(names):
        for question, of_level in found.items():
            yield Summary(axis=axis, level=str(name), question=question, **of_level[code])


def _outcomes(of: _Coded) -> Iterator[dict[str, Any]]:
    """Trials of each level, those without a score, and why."""
    import numpy as np

    def counted(there: Any) -> list[int]:
        found: list[int] = np.bincount(of.levels[np.asarray(there)], minlength=of.count).tolist()
        return found

    outcomes = of.frame["outcome"]
    reasons = reasons_of(of.frame, of.question, of.levels)
    trials, n = counted(np.ones(len(of.frame), dtype=bool)), counted(~np.isnan(of.scores))
    unscorable, failed, absent = (counted(outcomes == name) for name in ("unscorable", "failed", ABSENT))
    for code in range(of.count):
        replies = trials[code] - failed[code] - absent[code]
        yield {
            "trials": trials[code],
            "missing": 1 - n[code] / trials[code] if trials[code] else Undefined("it was not asked"),
            "reasons": reasons.get(code, {}),
            "unscorable": unscorable[code],
            "failed": failed[code],
            "unscorable_share": unscorable[code] / replies if replies else Undefined("no reply came back"),
        }


def _texts(of: _Coded, axis: str) -> Iterator[dict[str, Any]]:
    """Texts of each level with a score, and those that only other levels have scores of."""
    import numpy as np
    import pandas as pd

    there = ~np.isnan(of.scores)
    codes, names = pd.factorize(of.frame["text"])
    seen = np.zeros((of.count, len(names)), dtype=bool)
    seen[of.levels[there], codes[there]] = True
    whole = seen.any(axis=0) if axis != "text" else np.zeros(len(names), dtype=bool)
    named = np.array([str(name) for name in names], dtype=object)
    for level in seen:
        yield {"texts": int(level.sum()), "lacking": tuple(named[whole & ~level]) if level.any() else ()}


def _bounds(of: _Coded, ends: tuple[float, float] | None) -> Iterator[dict[str, Any]]:
    """The mean of each level if every missing score were at one end of the scale; each text alike, unread ones too."""
    import numpy as np

    if ends is None:
        yield from [dict.fromkeys(("least", "most"), Undefined("the ends of the scale are not known"))] * of.count
        return
    missing = np.isnan(of.scores)
    filled = [over_texts(np.where(missing, end, of.scores), of.levels, of.texts, of.count).value for end in ends]
    for least, most in zip(*filled, strict=True):
        yield {"least": number(least, "it was not asked"), "most": number(most, "it was not asked")}


def _scores(of: _Coded, scales: Scales, scope: Scope) -> Iterator[dict[str, Any]]:
    """n, mean, sd, median and interval of each level."""
    import numpy as np
    import pandas as pd

    there = ~np.isnan(of.scores)
    values = of.scores[there]
    groups, texts, cells = (codes[there] for codes in (of.levels, of.texts, of.cells))
    found: dict[Scope, Estimates] = {
        "texts": over_texts(values, groups, texts, of.count),
        "fixed": over_repetitions(values, groups, texts, cells, of.count),
    }
    texts_in = found["texts"].units
    bounds = {about: estimates.bounds() for about, estimates in found.items()}
    crossed = _over_personas(of, there) if scope == "personas" else {}
    shown = pd.Series(values).groupby(groups).agg(["count", "std", "median"]).reindex(range(of.count))
    for code, n, sd, median in shown.fillna({"count": 0}).itertuples(name=None):
        about: Scope = "fixed" if texts_in[code] < 2 or scope == "fixed" else "texts"
        estimates, ends, place = found[about], bounds[about], int(code)
        if code in crossed:
            about, estimates, ends, place = "personas", crossed[code], crossed[code].bounds(), 0
        why = _why_unsure(int(n), about)
        yield {
            "n": int(n),
            "mean": number(estimates.value[place], "nothing was scored"),
            "sd": number(sd, too_few(int(n))),
            "median": number(median, too_few(int(n))),
            "interval": interval_of((estimates, ends), place, about, why, scales.get(of.question)),
        }


def _over_personas(of: _Coded, there: Any) -> dict[int, Estimates]:
    """The mean of each level over texts and personas like these; only of levels that have two of both."""
    import numpy as np
    import pandas as pd

    found = {}
    scored = pd.DataFrame({
        "level": of.levels[there], "text": of.texts[there], "score": of.scores[there],
        "persona": pd.factorize(of.frame["persona"])[0][there],
    })  # fmt: skip
    for level, own in scored.groupby("level"):
        table = own.groupby(["text", "persona"])["score"].mean().unstack("persona").to_numpy()
        value, se, df = over_both(table)
        if isfinite(se):
            units = np.array([len(table)])
            alone = [np.array([one]) for one in (value, se, df)]
            found[int(str(level))] = Estimates(alone[0], alone[1], alone[2], units, se * np.sqrt(units))
    return found


def _why_unsure(n: int, scope: Scope) -> str:
    if n < 2 or scope == "texts":
        return too_few(n)
    return "there is one text only, and no cell of it was asked twice"
