"""Paired differences: the same cells under two conditions, compared pair by pair, text by text.

A cell is what shares model, persona, text and settings; its repetitions are averaged, so that nothing depends on the
numbers that they happen to have. Cells that both sides have are paired, and the mean of a text's pairs is its value:
the unit of the test, the interval and the effect (see inference). Holm's correction (1979) is
over a family: a question's differences on one axis.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

from runner.errors import RunnerError
from runner.plan.nuisance import QUESTION_ORDER
from runner.reporting.stats.cells import AT_ONCE, CellTable, cells_of
from runner.reporting.stats.frame import (
    SCORE,
    asked_of,
    factors_of,
    is_covariate,
    pairing_of,
    plural,
    questions_of,
    settings_in,
    table,
    with_labels,
)
from runner.reporting.stats.inference import LEVEL, Estimates, over_both, over_texts
from runner.reporting.stats.summaries import interval_of, levels_of, number
from runner.reporting.stats.values import PairedDifference, Skipped, Undefined, known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd

    from runner.records import ItemScale, Question, Row
    from runner.reporting.stats.values import Number, Scales, Scope

COMPARED = ("model", "persona", "temperature")
"""Axes that are compared wherever they have two levels; whatever else was swept or selected is too: see compared_in."""
MAX_LEVELS = 40
"""Most levels of an axis of which every two are compared: 780 pairs a question."""
MARGIN = 5.0
"""Points of a scale of 0 to 100 within which a difference counts as none, where nothing else is asked for."""
UNEVEN = 0.05
"""Shares without a score that differ by this much between two sides are said to differ."""
MOST_COMPARED = 200_000_000
"""Most pairs of single scores that are looked at for the chance of superiority, in one family."""


@dataclass(frozen=True, slots=True)
class ContrastOptions:
    """How differences are to be tested."""

    scales: Scales = field(default_factory=dict)
    scope: Scope = "texts"
    margin: float = MARGIN
    by: tuple[str, ...] = ()
    """Further columns whose levels are described and compared, such as `persona.sex`."""
    questions: Mapping[str, Question] = field(default_factory=dict)
    """What was asked, by name: whose options are counted."""
    item_scales: tuple[ItemScale, ...] = ()
    """The scales that are made of several questions."""

    def margin_of(self, question: str) -> float:
        """The margin in points of a question's own scale: five of a hundred are 0.2 of 1 to 5."""
        low, high = self.scales.get(question, (0.0, 100.0))
        return self.margin * (high - low) / 100


def paired(
    left: Iterable[Row] | pd.DataFrame,
    right: Iterable[Row] | pd.DataFrame,
    by: Sequence[str] = ("question",),
    *,
    on: Sequence[str] | None = None,
    names: tuple[str, str] = ("left", "right"),
    asked: ContrastOptions | None = None,
) -> tuple[PairedDifference, ...]:
    """Left minus right, for each question that both have and each value of the further columns of `by`.

    `by` starts with "question"; further columns (model, persona, text, temperature, vendor, cell) split the result.
    `on` are the columns that pair two cells; None: text, persona, model and what else varies within them, without those
    of which the two sides share no value (so two personas pair within text and model). RunnerError for an unknown
    column. A family is one question, over the groups of `by`.
    """
    import pandas as pd

    sides = table(left), table(right)
    both = pd.concat([side.assign(side=name, answer=0) for side, name in zip(sides, ("left", "right"), strict=True)])
    both = with_labels(both)
    split = tuple(column for column in by if column != "question")
    factors = factors_of(both)
    common = [name for name in factors if all(name in side.columns for side in sides)]
    shared = tuple(column for column in common if _overlap(sides, column)) if on is None else tuple(on)
    for column in (*split, *shared):
        if any(column not in side.columns for side in sides):
            raise RunnerError(f"'{column}' is no column of results to pair by")
    asked = asked or ContrastOptions()
    questions = [question for question in questions_of(sides[0]) if question in questions_of(sides[1])]
    groups = list(both.groupby(list(split), sort=False, observed=True)) if split else [((), both)]
    found = []
    for question in questions:
        family = len(groups)
        made = [
            one
            for values, part in groups
            for one in _contrasts(
                part, "side", ["left", "right"], pairs=[(0, 1)], on=shared, question=question, asked=asked,
                names=dict(zip(("left", "right"), names, strict=True)),
                group=dict(zip(split, map(str, values), strict=True)), family=family,
            )
        ]  # fmt: skip
        found += _corrected(made)
    return tuple(found)


def against_first(
    frames: Mapping[str, pd.DataFrame], on: Sequence[str], asked: ContrastOptions | None = None
) -> tuple[PairedDifference, ...]:
    """Every later table minus the first, paired by `on`, for each question of the first.

    The family of a question is every two of the tables, as it is of every two levels of an axis, so that a contrast has
    one corrected p whoever asks; of more than MAX_LEVELS tables it is those with the first.
    """
    import pandas as pd

    names = list(frames)
    both = with_labels(pd.concat([frame.assign(side=name) for name, frame in frames.items()]))
    pairs = [(later, first) for first, later in combinations(range(len(names)), 2)]
    pairs = pairs if len(names) <= MAX_LEVELS else [pair for pair in pairs if pair[1] == 0]
    return tuple(
        one
        for question in questions_of(frames[names[0]])
        for one in _corrected(
            _contrasts(
                both, "side", names, pairs=pairs, on=tuple(on), question=question, asked=asked or ContrastOptions(),
                family=len(pairs),
            )
        )
        if one.right == names[0]
    )  # fmt: skip


def differences_within(
    frame: pd.DataFrame, axis: str, asked: ContrastOptions | None = None
) -> tuple[PairedDifference, ...] | Skipped:
    """Every two levels of an axis compared within one set of rows, in all that cells have in common but the axis."""
    import pandas as pd

    levels = [str(level) for level in pd.unique(levels_of(frame, axis))]
    what = f"differences between {plural(axis)}"
    if len(levels) < 2:
        return Skipped(what, f"there is one {axis} only" if levels else "there is no trial")
    if len(levels) > MAX_LEVELS:
        many = f"there are {len(levels)} {plural(axis)}"
        return Skipped(what, f"{many}, and at most {MAX_LEVELS} are compared with each other")
    if axis.startswith("text.") and is_covariate(frame, axis):
        return Skipped(what, "each text has one, so that no text is read at two of them, and nothing is paired")
    on = pairing_of(frame, axis)
    found = [one for question in questions_of(frame) for one in _on_question(frame, axis, on, question, asked)]
    if not any(one.pairs for one in found):
        return Skipped(what, f"no scored cell has a partner at another {axis} with the same {', '.join(on)}")
    return tuple(found)


def _on_question(
    frame: pd.DataFrame, axis: str, on: tuple[str, ...], question: str, asked: ContrastOptions | None
) -> list[PairedDifference]:
    """Every two levels of an axis at which a question was asked: prompts may ask different ones."""
    import pandas as pd

    own = asked_of(frame, question)
    levels = [str(level) for level in pd.unique(levels_of(own, axis))]
    pairs = list(combinations(range(len(levels)), 2))
    made = _contrasts(
        own, axis, levels, pairs=pairs, on=on, question=question, asked=asked or ContrastOptions(), family=len(pairs)
    )
    return _corrected(made)


def compared_in(frame: pd.DataFrame) -> tuple[str, ...]:
    """The axes whose levels are compared: COMPARED, and each factor beside them that parts cells.

    Orders of questions are compared by place: see robustness.
    """
    return tuple(name for name in dict.fromkeys((*COMPARED, *settings_in(frame))) if name != QUESTION_ORDER)


def _overlap(sides: tuple[pd.DataFrame, pd.DataFrame], column: str) -> bool:
    left, right = (set(side[column].unique()) for side in sides)
    return bool(left & right)


# ---- differences -----------------------------------------------------------------------------------------------------


def _contrasts(
    frame: pd.DataFrame,
    axis: str,
    levels: Sequence[str],
    *,
    pairs: Sequence[tuple[int, int]],
    on: tuple[str, ...],
    question: str,
    asked: ContrastOptions,
    family: int,
    names: Mapping[str, str] | None = None,
    group: Mapping[str, str] | None = None,
) -> list[PairedDifference]:
    """The differences of some pairs of levels, without the correction over the family."""
    import numpy as np

    if SCORE + question not in frame.columns or not pairs:
        return []
    cells = cells_of(frame, axis, levels, on, question)
    missing = _missing(frame, axis, levels, question)
    block = max(1, AT_ONCE // max(1, cells.mean.shape[1]))
    found: list[PairedDifference] = []
    end = asked.scales.get(question)
    for start in range(0, len(pairs), block):
        some = np.array(pairs[start : start + block])
        made = _Block.of(cells, some, asked.scope if "text" in on else "fixed")
        tested = _Tested.of(made.found, asked.margin_of(question), family, end)
        bounds = _bounds(cells, some, end)
        superiority = _superiority(cells, some, len(pairs))
        for place, (left, right) in enumerate(some):
            found.append(
                made.difference(
                    place, tested,
                    question=question, on=on, group=group or {},
                    left=(names or {}).get(levels[left], levels[left]),
                    right=(names or {}).get(levels[right], levels[right]),
                    superiority=superiority[place],
                    left_missing=missing[left], right_missing=missing[right],
                    uneven=_uneven(missing[left], missing[right]), least=bounds[place][0], most=bounds[place][1],
                )
            )  # fmt: skip
    return found


@dataclass(frozen=True, slots=True)
class _Tested:
    """What follows from some pairs' estimates, computed for all of them at once."""

    bounds: tuple[Any, Any]
    together: tuple[Any, Any]
    """Bounds at the level that holds for the whole family."""
    t: Any
    p: Any
    p_equivalent: Any
    ends: tuple[float, float] | None
    """Least and most that a difference can be."""

    @classmethod
    def of(cls, found: Estimates, margin: float, family: int, end: tuple[float, float] | None) -> _Tested:
        ends = None if end is None else (end[0] - end[1], end[1] - end[0])
        together = found.bounds(1 - (1 - LEVEL) / max(1, family))
        return cls(found.bounds(), together, found.statistic(), found.p_value(), found.p_equivalent(margin), ends)


@dataclass(frozen=True, slots=True)
class _Block:
    """Some pairs of levels, each estimated in its scope."""

    found: Estimates
    scopes: Sequence[Scope]
    texts: Any
    """Of each pair."""
    left: Any
    right: Any
    pairs: Any
    same: Any
    unmatched: Any

    @classmethod
    def of(cls, cells: CellTable, some: Any, scope: Scope) -> _Block:
        import numpy as np

        left, right = cells.mean[some[:, 0]], cells.mean[some[:, 1]]
        same = (cells.answers[some[:, 0]] == cells.answers[some[:, 1]]) & (cells.answers[some[:, 0]] != 0)
        difference = np.where(same, np.nan, left - right)
        there = ~np.isnan(difference)
        groups, strata = np.nonzero(there)
        texts, count = cells.texts[strata], len(some)
        by_text = over_texts(difference[there], groups, texts, count)
        sides = [over_texts(side[there], groups, texts, count).value for side in (left, right)]
        fixed = _fixed(cells, some, there, by_text)
        found, scopes = _scoped(by_text, fixed, scope, lambda place: _crossed(difference[place], cells))
        unmatched = np.stack([(~np.isnan(side) & ~there & ~same).sum(axis=1) for side in (left, right)])
        counts = there.sum(axis=1), same.sum(axis=1)
        return cls(found, scopes, by_text.units, sides[0], sides[1], counts[0], counts[1], unmatched)

    def difference(self, place: int, tested: _Tested, **named: Any) -> PairedDifference:
        """One pair's numbers."""
        scope, n, texts, ends = self.scopes[place], int(self.pairs[place]), int(self.texts[place]), tested.ends
        why, se = _why_not(n, texts), float(self.found.se[place])
        untested = "all differences are the same" if se == 0 else why
        effect = self.found.value[place] / self.found.sd[place] if se > 0 else float("nan")
        return PairedDifference(
            pairs=n,
            same=int(self.same[place]),
            texts=texts,
            unmatched_left=int(self.unmatched[0][place]),
            unmatched_right=int(self.unmatched[1][place]),
            left_mean=number(self.left[place], why),
            right_mean=number(self.right[place], why),
            difference=number(self.found.value[place], why),
            interval=interval_of((self.found, tested.bounds), place, scope, why, ends),
            simultaneous=interval_of((self.found, tested.together), place, scope, why, ends),
            effect=number(effect, untested),
            t=number(tested.t[place], untested),
            p=number(tested.p[place], untested),
            p_holm=Undefined(untested),
            p_equivalent=number(tested.p_equivalent[place], untested),
            **named,
        )


def _scoped(
    by_text: Estimates, fixed: Estimates, scope: Scope, crossed: Callable[[int], Any]
) -> tuple[Estimates, list[Scope]]:
    """Each pair's estimate in the scope that was asked for, or in the widest that its data support.

    `crossed` gives a pair's differences as a table of texts by personas.
    """
    import numpy as np

    scopes: list[Scope] = [scope if units >= 2 else "fixed" for units in by_text.units]
    narrow = np.array([each == "fixed" for each in scopes], dtype=bool)
    columns = [
        np.where(narrow, getattr(fixed, name), getattr(by_text, name)) for name in ("value", "se", "df", "units", "sd")
    ]
    for place in [place for place, each in enumerate(scopes) if each == "personas"]:
        value, se, df = over_both(crossed(place))
        if np.isnan(se):
            scopes[place] = "texts"
            continue
        wide = (value, se, df, by_text.units[place], se * np.sqrt(by_text.units[place]))
        for column, one in zip(columns, wide, strict=True):
            column[place] = one
    return Estimates(*columns), scopes


def _crossed(difference: Any, cells: CellTable) -> Any:
    """A pair's differences as a table of texts by personas, NaN where there is none."""
    import numpy as np

    shape = int(cells.texts.max()) + 1, int(cells.personas.max()) + 1
    there = ~np.isnan(difference)
    place = cells.texts[there] * shape[1] + cells.personas[there]
    count = np.bincount(place, minlength=shape[0] * shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(place, weights=difference[there], minlength=shape[0] * shape[1]) / count
    found = mean.reshape(shape)
    return found[~np.isnan(found).all(axis=1)][:, ~np.isnan(found).all(axis=0)]


def _fixed(cells: CellTable, some: Any, there: Any, by_text: Estimates) -> Estimates:
    """The same differences over their own texts: variance within cells, pooled over both sides of all pairs."""
    import numpy as np

    groups, strata = np.nonzero(there)
    width = int(cells.texts.max()) + 1 if len(cells.texts) else 1
    key = groups * width + cells.texts[strata]
    _, place, in_text = np.unique(key, return_inverse=True, return_counts=True)
    counts = [cells.count[some[:, side]][there] for side in (0, 1)]
    squares = sum(cells.squares[some[:, side]][there] for side in (0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = 1 / (in_text[place] * by_text.units[groups])
        shares = np.bincount(groups, weights=weights**2 * (1 / counts[0] + 1 / counts[1]), minlength=len(some))
        df = np.bincount(groups, weights=counts[0] + counts[1] - 2.0, minlength=len(some))
        sd = np.sqrt(np.bincount(groups, weights=squares, minlength=len(some)) / df)
        se = sd * np.sqrt(shares)
    enough = df > 0
    units = np.bincount(groups, weights=counts[0] + counts[1], minlength=len(some)).astype(np.int64)
    return Estimates(by_text.value, np.where(enough, se, np.nan), np.where(enough, df, np.nan), units, sd)


def _superiority(cells: CellTable, some: Any, pairs: int) -> list[Number]:
    """The chance that left is above right within a cell, ties half; each text alike."""
    import numpy as np

    if cells.scores is None or pairs * cells.mean.shape[1] * cells.scores.shape[2] ** 2 > MOST_COMPARED:
        return [Undefined("there are too many scores to hold each against each")] * len(some)
    found: list[Number] = []
    for left, right in some:
        first, second = cells.scores[left][:, :, None], cells.scores[right][:, None, :]
        compared = (cells.count[left] * cells.count[right]).astype(np.float64)
        above = ((first > second) + 0.5 * (first == second)).sum(axis=(1, 2))
        there = compared > 0
        one = over_texts(
            above[there] / compared[there], np.zeros(int(there.sum()), dtype=np.int64), cells.texts[there], 1
        )
        found.append(number(one.value[0], _why_not(int(there.sum()), 0)))
    return found


def _missing(frame: pd.DataFrame, axis: str, levels: Sequence[str], question: str) -> list[Number]:
    """The share of each level's trials that have no score of the question."""
    frame = asked_of(frame, question)
    unread = frame[SCORE + question].isna().groupby(levels_of(frame, axis).astype(str), sort=False).mean()
    return [number(float(unread.get(level, float("nan"))), "there is no trial") for level in levels]


def _uneven(left: Number, right: Number) -> bool:
    shares = known(left), known(right)
    return None not in shares and abs((shares[0] or 0.0) - (shares[1] or 0.0)) >= UNEVEN


def _bounds(cells: CellTable, some: Any, ends: tuple[float, float] | None) -> list[tuple[Number, Number]]:
    """Least and most difference of each pair, over all cells that both sides were asked in, each text alike.

    The least: if what is missing were lowest on the left and highest on the right; the most: the other way round.
    """
    import numpy as np

    if ends is None:
        return [(Undefined("the ends of the scale are not known"),) * 2] * len(some)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = np.where(cells.count > 0, cells.mean, 0.0) * cells.count
        low, high = ((total + (cells.planned - cells.count) * end) / cells.planned for end in ends)
    found = []
    for first, second in ((low, high), (high, low)):
        difference = first[some[:, 0]] - second[some[:, 1]]
        there = ~np.isnan(difference)
        groups, strata = np.nonzero(there)
        found.append(over_texts(difference[there], groups, cells.texts[strata], len(some)).value)
    return [(number(least, _why_not(0, 0)), number(most, _why_not(0, 0))) for least, most in zip(*found, strict=True)]


def _corrected(family: Sequence[PairedDifference]) -> list[PairedDifference]:
    """A family with Holm's correction over those of its differences that have a p."""
    from dataclasses import replace

    done = list(family)
    tested = [(p, place) for place, one in enumerate(family) if (p := known(one.p)) is not None]
    least = 0.0
    for rank, (p, place) in enumerate(sorted(tested)):
        least = max(least, min(1.0, (len(tested) - rank) * p))
        done[place] = replace(done[place], p_holm=least)
    return done


def _why_not(pairs: int, texts: int) -> str:
    if pairs == 0:
        return "no cell of one side has a scored partner on the other"
    return "there is one text only, and no cell of it was asked twice" if texts < 2 else "there is one pair only"
