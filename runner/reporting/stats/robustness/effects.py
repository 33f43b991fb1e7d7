"""How far a nuisance moves scores: the first place of a request against the last, or one level against the other.

Cells are compared that share model, persona, text and settings, so that no effect of these is in it; and a text's value
is the mean of its cells, over all questions that each stood in both places. A text that was read in one order only says
nothing here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.plan.nuisance import BETWEEN, QUESTION_ORDER
from runner.reporting.stats.differences import ContrastOptions, paired
from runner.reporting.stats.frame import SCORE, asked_of, pairing_of, questions_of
from runner.reporting.stats.robustness.conclusions import nuisances_in
from runner.reporting.stats.values import Interval, Nuisance, PlaceEffect, Undefined

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from runner.reporting.stats.values import Robustness

ALL = "all questions"
ITEM = "item"
"""Column of the question where those of all are one."""


# ---- places ----------------------------------------------------------------------------------------------------------


def places(frame: pd.DataFrame, asked: ContrastOptions) -> tuple[PlaceEffect, ...]:
    """First minus last place: of all questions together, then of each. () where there is one order only."""
    if QUESTION_ORDER not in nuisances_in(frame):
        return ()
    on = pairing_of(frame, QUESTION_ORDER)
    order = frame[QUESTION_ORDER].astype(str).str.split(BETWEEN)
    first, last = order.str[0], order.str[-1]
    sides = {
        question: tuple(_of_question(frame[there == question], question) for there in (first, last))
        for question in questions_of(frame)
    }
    each = [_effect(question, some, on, asked) for question, some in sides.items()]
    together = _together(list(sides.values()))
    return (_effect(ALL, together, (*on, ITEM), asked), *each) if len(each) > 1 else tuple(each)


def _of_question(frame: pd.DataFrame, question: str) -> pd.DataFrame:
    """The trials of a table that were asked a question, with its scores alone."""
    others = [name for name in frame.columns if str(name).startswith(SCORE) and name != SCORE + question]
    return asked_of(frame, question).drop(columns=others)


def _together(sides: Sequence[Sequence[pd.DataFrame]]) -> tuple[pd.DataFrame, ...]:
    """All questions' trials below each other as those of one question, ITEM saying which."""
    import pandas as pd

    def renamed(one: pd.DataFrame) -> pd.DataFrame:
        (column,) = (str(name) for name in one.columns if str(name).startswith(SCORE))
        return one.rename(columns={column: SCORE + ALL}).assign(asked=ALL, **{ITEM: column})

    return tuple(
        _with_attrs(pd.concat([renamed(pair[side]) for pair in sides], ignore_index=True), sides[0][side])
        for side in (0, 1)
    )


def _with_attrs(frame: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    frame.attrs.update(like.attrs)
    return frame


def _effect(question: str, sides: Sequence[pd.DataFrame], on: tuple[str, ...], asked: ContrastOptions) -> PlaceEffect:
    found = paired(sides[0], sides[1], on=on, asked=asked) if all(map(len, sides)) else ()
    if not found or not found[0].pairs:
        return _nothing(question, "no text was read at both: ask each more often, as by sampling.trials=2", asked)
    (one,) = found
    return PlaceEffect(
        question, one.pairs, one.texts, one.left_mean, one.right_mean, one.difference, one.interval, one.p
    )


def _nothing(question: str, reason: str, asked: ContrastOptions) -> PlaceEffect:
    why = Undefined(reason)
    return PlaceEffect(question, 0, 0, why, why, why, Interval(why, why, asked.scope, 0, why, why), why)


# ---- each nuisance ---------------------------------------------------------------------------------------------------


def nuisances(
    frame: pd.DataFrame, found: Sequence[PlaceEffect], robustness: Sequence[Robustness], asked: ContrastOptions
) -> tuple[Nuisance, ...]:
    """Each nuisance of a table, with how far it moves scores, and how many conclusions change with it."""
    made = []
    for name, levels in nuisances_in(frame).items():
        of_order = name == QUESTION_ORDER
        whole = found[0] if of_order else _between(frame, name, levels, asked)
        sides = ("first place", "last place") if of_order else (levels[0], levels[-1])
        made.append(_counted(name, len(levels), sides, whole, robustness))
    return tuple(made)


def of_question(
    made: Sequence[Nuisance], question: str, found: Sequence[PlaceEffect], robustness: Sequence[Robustness]
) -> tuple[Nuisance, ...]:
    """Those of all questions, counted again for one of them. How far each moves it is known of places alone."""
    own = [one for one in robustness if one.question == question]
    effects = {QUESTION_ORDER: next((one for one in found if one.question == question), None)}
    nothing = _nothing(question, "it is of all questions together", ContrastOptions())
    return tuple(_counted(one.name, one.levels, one.between, effects.get(one.name) or nothing, own) for one in made)


def _counted(
    name: str, levels: int, between: tuple[str, str], whole: PlaceEffect, robustness: Sequence[Robustness]
) -> Nuisance:
    own = [one for one in robustness if one.nuisance == name]
    at = [one for each in own for one in each.levels if one.sign is not None]
    return Nuisance(
        name=name,
        levels=levels,
        moves=whole.difference,
        interval=whole.interval,
        p=whole.p,
        between=between,
        comparisons=len(own),
        changed=sum(one.changes for one in own),
        estimates=len(at),
        sign=sum(bool(one.sign) for one in at),
        agree=sum(bool(one.agrees) for one in at),
    )


def _between(frame: pd.DataFrame, name: str, levels: Sequence[str], asked: ContrastOptions) -> PlaceEffect:
    """One level minus the other, over all questions; of more than two levels no pair is picked."""
    if len(levels) > 2:
        return _nothing(ALL, f"it has {len(levels)} levels, of which every two are compared", asked)
    parts = [frame[frame[name].astype(str) == level] for level in levels]
    sides = [[_of_question(part, question) for part in parts] for question in questions_of(frame)]
    return _effect(ALL, _together(sides), (*pairing_of(frame, name), ITEM), asked)
