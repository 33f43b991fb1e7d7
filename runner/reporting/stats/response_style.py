"""How a model uses the scale: round numbers, the scale's ends, and one number for all questions.

Respondents differ in such habits whatever they are asked (Paulhus, 1991; Vaerenbergh and Thomas, 2013), and models do.
They say nothing of what a text is like, and two models of one mean may have it by different habits: a model that gives
80 to everything tells no text from another. Shares are of the scores, or replies, that there are: a description of
these, without an inference.

    round        multiples of a tenth of the scale, such as 0, 10, 20 of 0 to 100; of a whole number of a scale of fewer
                 than 20 steps nothing can be said
    ends         the least and the most that may be given
    commonest    the number that is given most often
    straight     replies, with scores of two questions or more, that give all of them one number
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.reporting.stats.frame import SCORE, questions_of
from runner.reporting.stats.shown.sheet import Columns, TableData
from runner.reporting.stats.summaries import number
from runner.reporting.stats.values import Number, Undefined, known

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from runner.reporting.stats.values import Scales

ALL = ""
"""In the place of a question: all of them together."""
TENTHS = 10
FEWEST_STEPS = 20
"""Whole numbers in a scale from which its tenths are called round."""
SAME = 1e-9
"""Relative to the scale: two numbers no further apart are one."""


@dataclass(frozen=True, slots=True)
class ResponseStyle:
    """How one model uses the scale, on one question or on all. Shares are from 0 to 1."""

    model: str
    question: str
    """"" for all questions together."""
    n: int
    """Scores; of all questions together, over all of them."""
    round: Number
    half_round: Number
    """Multiples of a twentieth of the scale, such as 5, 15, 25: those of a tenth among them."""
    low_end: Number
    high_end: Number
    different: int
    """Different numbers that were given."""
    commonest: Number
    """The number that was given most often."""
    commonest_share: Number
    straight: Number
    """Of the replies with scores of two questions or more; Undefined for one question."""
    replies: int
    """Those replies."""


def response_style(frame: pd.DataFrame, scales: Scales | None = None) -> tuple[ResponseStyle, ...]:
    """Each model on all questions, then on each: models in their order.

    `frame` as stats.table gives it. A question without a scale in `scales` has the ends and the round numbers of none.
    () where no question has scores.
    """
    return tuple(_styles(frame, scales or {})) if questions_of(frame) else ()


def _styles(frame: pd.DataFrame, scales: Scales) -> Iterator[ResponseStyle]:
    import numpy as np
    import pandas as pd

    questions = questions_of(frame)
    scores = frame[[SCORE + question for question in questions]].to_numpy(dtype=np.float64)
    codes, models = pd.factorize(frame["model"])
    ends = [scales.get(question) for question in questions]
    for code, model in enumerate(models):
        own = scores[codes == code]
        straight, replies = _straight(own, ends)
        if len(questions) != 1:
            yield _style(str(model), ALL, [*zip(own.T, ends, strict=True)], straight, replies)
        for question, column, end in zip(questions, own.T, ends, strict=True):
            alone = Undefined("one question alone has no line") if len(questions) > 1 else straight
            yield _style(str(model), question, [(column, end)], alone, replies if len(questions) == 1 else 0)


def _style(
    model: str,
    question: str,
    columns: Iterable[tuple[NDArray[np.float64], tuple[float, float] | None]],
    straight: Number,
    replies: int,
) -> ResponseStyle:
    import numpy as np

    given = [(column[~np.isnan(column)], end) for column, end in columns]
    every = np.concatenate([scores for scores, _ in given])
    if not len(every):
        none = Undefined("nothing was scored")
        return ResponseStyle(model, question, 0, none, none, none, none, 0, none, none, straight, replies)
    values, counts = np.unique(every.round(6), return_counts=True)
    ended = [(scores, end) for scores, end in given if end is not None and end[1] > end[0]]
    stepped = [(scores, end) for scores, end in ended if end[1] - end[0] >= FEWEST_STEPS]
    no_scale = "the question's scale is not known"
    few = "the scale has too few steps for round ones" if ended else no_scale
    return ResponseStyle(
        model,
        question,
        len(every),
        round=_share([_on_grid(scores, end, TENTHS) for scores, end in stepped], few),
        half_round=_share([_on_grid(scores, end, 2 * TENTHS) for scores, end in stepped], few),
        low_end=_share([_near(scores, end[0], end) for scores, end in ended], no_scale),
        high_end=_share([_near(scores, end[1], end) for scores, end in ended], no_scale),
        different=len(values),
        commonest=float(values[counts.argmax()]),
        commonest_share=float(counts.max() / len(every)),
        straight=straight,
        replies=replies,
    )


def _share(hits: Sequence[NDArray[np.bool_]], why: str) -> Number:
    total = sum(len(one) for one in hits)
    return number(sum(int(one.sum()) for one in hits) / total, why) if total else Undefined(why)


def _on_grid(scores: NDArray[np.float64], end: tuple[float, float], parts: int) -> NDArray[np.bool_]:
    """Whether each lies on a multiple of so large a part of the scale, counted from its low end."""
    import numpy as np

    steps = (scores - end[0]) / (end[1] - end[0]) * parts
    found: NDArray[np.bool_] = abs(steps - np.rint(steps)) < SAME * parts
    return found


def _near(scores: NDArray[np.float64], value: float, end: tuple[float, float]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = abs(scores - value) <= SAME * (end[1] - end[0])
    return found


def _straight(scores: NDArray[np.float64], ends: Sequence[tuple[float, float] | None]) -> tuple[Number, int]:
    """The share of replies that give all questions one number, and of how many; those of one scale are compared."""
    import numpy as np

    known_ends = [end for end in ends if end is not None]
    if len(ends) < 2:
        return Undefined("there is one question only"), 0
    if len(set(known_ends)) > 1:
        return Undefined("the questions have different scales"), 0
    enough = (~np.isnan(scores)).sum(axis=1) >= 2
    if not enough.any():
        return Undefined("no reply has scores of two questions"), 0
    some = scores[enough]
    same = np.nanmax(some, axis=1) - np.nanmin(some, axis=1) <= SAME * 100
    return float(same.mean()), int(enough.sum())


def response_style_sheet(found: Sequence[ResponseStyle]) -> TableData:
    """A row a model, over all questions: those who tell least apart first."""
    columns: Columns = (("model", "name"), ("n", "count"), ("round", "share"), ("at low end", "share"),
                        ("at high end", "share"), ("different", "count"), ("commonest", "score"),
                        ("its share", "share"), ("straight", "share"))  # fmt: skip
    one = not any(each.question == ALL for each in found)
    lines = [each for each in found if one or each.question == ALL]
    rows = tuple(
        (
            each.model, each.n, each.round, each.low_end, each.high_end, each.different, each.commonest,
            each.commonest_share, each.straight,
        )
        for each in sorted(lines, key=lambda each: -(known(each.commonest_share) or 0.0))
    )  # fmt: skip
    method = (
        "Shares of these scores, all questions together. Round: multiples of a tenth of the scale; straight: of "
        "replies, those that give all questions one number. Nothing is inferred."
    )
    return TableData("response_style", "Response style: how models use the scale", columns, rows, method)
