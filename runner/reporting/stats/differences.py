"""Paired differences: the same trial under two conditions, compared pair by pair.

The test is Student's paired t (scipy.stats.ttest_1samp on the differences), the effect size Cohen's d_z (Cohen, 1988,
section 2.3.5; Lakens, 2013), the correction Holm's (1979; statsmodels multipletests). Repetitions that share every
column of `on` on one side are averaged first, so that a trial asked in several jobs counts once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from math import nan
from typing import TYPE_CHECKING, Any

from runner.errors import RunnerError
from runner.reporting.stats.bootstrap import mean_intervals
from runner.reporting.stats.frame import SCORE, questions_of, table
from runner.reporting.stats.summaries import interval_of, levels_of, number
from runner.reporting.stats.values import PairedDifference, Skipped, Undefined, known

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from runner.records import Row

MATCHED = ("text", "persona", "model", "repetition")
"""What two trials of a pair have in common, as far as both sides share any of its values."""
COMPARED = ("model", "persona", "temperature")
MAX_LEVELS = 40
"""Most levels of an axis of which every two are compared: 780 pairs a question."""


@dataclass(frozen=True, slots=True)
class _Pairs:
    """One comparison before its numbers: the paired scores and the text of each pair."""

    question: str
    sides: tuple[str, str]
    group: Mapping[str, str]
    on: tuple[str, ...]
    scores: tuple[Any, Any]
    texts: Any
    unmatched: tuple[int, int]


def paired(
    left: Iterable[Row] | pd.DataFrame,
    right: Iterable[Row] | pd.DataFrame,
    by: Sequence[str] = ("question",),
    *,
    on: Sequence[str] | None = None,
    names: tuple[str, str] = ("left", "right"),
) -> tuple[PairedDifference, ...]:
    """Left minus right, for each question that both have and each value of the further columns of `by`.

    `by` starts with "question"; further columns (model, persona, text, temperature, vendor, cell) split the result.
    `on` are the columns that pair two trials; None: text, persona, model and repetition, without those of which the two
    sides share no value (so two personas pair within text, model and repetition). RunnerError for an unknown column.
    """
    sides = table(left), table(right)
    split = tuple(column for column in by if column != "question")
    shared = tuple(column for column in MATCHED if _overlap(sides, column)) if on is None else tuple(on)
    for column in (*split, *shared):
        if any(column not in side.columns for side in sides):
            raise RunnerError(f"'{column}' is no column of results to pair by")
    found = [
        pairs
        for question in questions_of(sides[0])
        if question in questions_of(sides[1])
        for pairs in _matched(sides, question, split, shared, names)
    ]
    return _compared(found)


def differences_within(frame: pd.DataFrame, axis: str) -> tuple[PairedDifference, ...] | Skipped:
    """Every two levels of an axis compared within one set of rows, in all that MATCHED names but the axis itself."""
    import pandas as pd

    levels = [str(level) for level in pd.unique(levels_of(frame, axis))]
    what = f"differences between {axis}s"
    if len(levels) < 2:
        return Skipped(what, f"there is one {axis} only" if levels else "there is no trial")
    if len(levels) > MAX_LEVELS:
        return Skipped(what, f"there are {len(levels)} {axis}s, and at most {MAX_LEVELS} are compared with each other")
    on = tuple(column for column in MATCHED if column != axis)
    found = [
        pairs
        for question in questions_of(frame)
        for pairs in _between(_means(frame, question, (axis, *on)), axis, on, question, levels)
    ]
    if not any(len(pairs.texts) for pairs in found):
        return Skipped(what, f"no scored trial has a partner at another {axis} with the same {', '.join(on)}")
    return _compared(found)


# ---- pairing ---------------------------------------------------------------------------------------------------------


def _overlap(sides: tuple[pd.DataFrame, pd.DataFrame], column: str) -> bool:
    left, right = (set(side[column].unique()) for side in sides)
    return bool(left & right)


def _means(frame: pd.DataFrame, question: str, keys: tuple[str, ...]) -> pd.Series[float]:
    """The mean score under each combination of keys that has one."""
    score = SCORE + question
    scored = frame.loc[frame[score].notna(), [*keys, score]]
    if not keys:
        return scored[score][:0]
    plain = scored.astype({name: str for name in keys if name != "repetition"})
    return plain.groupby(list(keys), sort=False)[score].mean()


def _matched(
    sides: tuple[pd.DataFrame, pd.DataFrame],
    question: str,
    split: tuple[str, ...],
    on: tuple[str, ...],
    names: tuple[str, str],
) -> Iterator[_Pairs]:
    import pandas as pd

    keys = tuple(dict.fromkeys((*split, *on)))
    means = [_means(side, question, keys) for side in sides]
    both = pd.concat(means, axis=1, keys=["left", "right"]).reset_index()
    for values, part in both.groupby(list(split), sort=False) if split else [((), both)]:
        pairs = part.dropna()
        yield _Pairs(
            question=question,
            sides=names,
            group=dict(zip(split, map(str, values), strict=True)),
            on=on,
            scores=(pairs["left"].to_numpy(), pairs["right"].to_numpy()),
            texts=_texts(pairs),
            unmatched=(int(part["right"].isna().sum()), int(part["left"].isna().sum())),
        )


def _between(
    means: pd.Series[float], axis: str, on: tuple[str, ...], question: str, levels: list[str]
) -> Iterator[_Pairs]:
    import numpy as np

    wide = means.unstack(axis).reindex(columns=levels)
    texts, columns = _texts(wide.reset_index()), wide.to_numpy().T
    there = ~np.isnan(columns)
    for left, right in combinations(range(len(levels)), 2):
        both = there[left] & there[right]
        yield _Pairs(
            question=question,
            sides=(levels[left], levels[right]),
            group={},
            on=on,
            scores=(columns[left][both], columns[right][both]),
            texts=texts[both],
            unmatched=(int((there[left] & ~both).sum()), int((there[right] & ~both).sum())),
        )


def _texts(pairs: pd.DataFrame) -> Any:
    """A number for each pair's text; all the same where pairs are not made within texts."""
    import numpy as np
    import pandas as pd

    return pd.factorize(pairs["text"])[0] if "text" in pairs.columns else np.zeros(len(pairs), dtype="int64")


# ---- comparing -------------------------------------------------------------------------------------------------------


def _compared(found: Sequence[_Pairs]) -> tuple[PairedDifference, ...]:
    """The numbers of each comparison; the correction is over all of them."""
    import numpy as np
    from statsmodels.stats.multitest import multipletests

    if not found:
        return ()
    sizes = [len(pairs.texts) for pairs in found]
    values = np.concatenate([pairs.scores[0] - pairs.scores[1] for pairs in found])
    groups = np.repeat(np.arange(len(found)), sizes)
    bounds = mean_intervals(values, groups, np.concatenate([pairs.texts for pairs in found]), len(found))
    done = [_difference(pairs, *bound) for pairs, *bound in zip(found, *bounds, strict=True)]
    tested = [index for index, difference in enumerate(done) if known(difference.p) is not None]
    corrected = multipletests([known(done[index].p) for index in tested], method="holm")[1] if tested else ()
    for index, p in zip(tested, corrected, strict=True):
        done[index] = replace(done[index], p_holm=float(p))
    return tuple(done)


def _difference(pairs: _Pairs, low: float, high: float, by_text: bool) -> PairedDifference:
    from scipy.stats import ttest_1samp

    left, right = pairs.scores
    differences, n = left - right, len(left)
    why = _why_not(n, alike=False)
    spread = differences.std(ddof=1) if n > 1 else nan
    alike = n > 1 and spread <= 1e-12 * max(1.0, float(abs(differences).max()))
    untested = _why_not(n, alike=alike)
    t, p = (nan, nan) if n < 2 or alike else ttest_1samp(differences, 0.0)
    return PairedDifference(
        question=pairs.question,
        left=pairs.sides[0],
        right=pairs.sides[1],
        group=pairs.group,
        on=pairs.on,
        pairs=n,
        unmatched_left=pairs.unmatched[0],
        unmatched_right=pairs.unmatched[1],
        left_mean=number(left.mean() if n else nan, why),
        right_mean=number(right.mean() if n else nan, why),
        difference=number(differences.mean() if n else nan, why),
        interval=interval_of(low, high, why, by_text=by_text),
        effect=number(nan if alike or n < 2 else differences.mean() / spread, untested),
        t=number(t, untested),
        p=number(p, untested),
        p_holm=Undefined(untested),
    )


def _why_not(n: int, *, alike: bool) -> str:
    if n == 0:
        return "no trial of one side has a scored partner on the other"
    return "all differences are the same" if alike else "there is one pair only"
