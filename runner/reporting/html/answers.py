"""Answers that are no plain numbers, for the page: a bar for each option, with its interval, over all and by model."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from runner.reporting.formatting import NONE, between, plain
from runner.reporting.stats import known

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.records import Question
    from runner.reporting.stats.shares import OptionShare
    from runner.reporting.stats.values import Number


@dataclass(frozen=True, slots=True)
class AnswerBar:
    """One option in one group of trials. Places are percentages of the row's width."""

    level: str
    """"" where it is that of the bar above."""
    label: str
    count: int
    n: int
    share: str
    span: str
    width: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AnswerTable:
    """The answers to one question."""

    label: str
    what: str
    """What a bar is: a share of the answers, a mean probability, a mean rank."""
    bars: tuple[AnswerBar, ...]


def answer_tables(found: Sequence[OptionShare], asked: Mapping[str, Question]) -> tuple[AnswerTable, ...]:
    """A table for each question that has options; `asked` are the questions by their names."""
    tables = []
    for name, shares in groupby(found, key=lambda one: one.question):
        every = list(shares)
        label = asked[name].label if name in asked else name
        what = {"rank": "mean rank, 1 the first", "distribution": "mean probability"}.get(every[0].kind, "share")
        tables.append(AnswerTable(label, what, tuple(_bars(every))))
    return tuple(tables)


def _bars(every: Sequence[OptionShare]) -> Iterator[AnswerBar]:
    before = ""
    places = len({one.option for one in every})
    for one in every:
        ranked = one.rank is not None
        value = one.rank if one.rank is not None else one.share
        ends = one.interval.low, one.interval.high

        def place(number: Number, *, ranked: bool = ranked) -> float:
            share = known(number)
            share = 0.0 if share is None else (share - 1) / max(places - 1, 1) if ranked else share
            return round(100 * min(max(share, 0.0), 1.0), 2)

        low, high = (place(end) if known(end) is not None else place(value) for end in ends)
        yield AnswerBar(
            level=one.level if one.level != before else "",
            label=one.label,
            count=one.count,
            n=one.n,
            share=plain(value, 2) if ranked else _percent(value),
            span=between(one.interval, 2) if ranked else between(one.interval, 0, lambda end, _: _percent(end)),
            width=place(value),
            low=low,
            high=high,
        )
        before = one.level


def _percent(number: Number) -> str:
    share = known(number)
    return NONE if share is None else f"{100 * share:.0f}%"


def range_of(question: Question) -> str:
    """What may be answered, in a few words."""
    if question.kind == "text":
        return "words"
    if question.options and not (question.kind == "likert" or question.has_points):
        return ", ".join(option.label for option in question.options)
    return f"{question.low:g} to {question.high:g}" + (", reversed" if question.reverse else "")
