"""Answers that are no plain numbers, counted: the share of each option, and the mean rank where options are ordered.

Options are never averaged. A share gives each text alike, as a mean does: it is the mean of the texts' shares. Its
interval is Wilson's (1927) for as many independent answers as the texts are worth: p(1 - p) over the squared standard
error of the texts' shares (Kish's effective size; Korn and Graubard, 1998), never more than there are answers, and with
Student's t at (texts - 1) degrees of freedom in place of the normal quantile. Where all texts agree, so that there is
no spread to tell from, the texts are the answers. Of one text alone the answers are taken for independent, and the
scope is `fixed`. A mean rank has the interval of any mean over texts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any

from runner.reporting.stats.frame import asked_of
from runner.reporting.stats.inference import LEVEL, over_texts
from runner.reporting.stats.shown.sheet import Columns, TableData, method_of
from runner.reporting.stats.values import Interval, Number, Undefined
from runner.results.frame import CHOICE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from runner.records import Question
    from runner.reporting.stats.inference import Codes, Floats

LINES = 12
"""Lines of the table, unless all are asked for."""
FROM_ALL = ("all", "model")
"""The axes whose answers are counted."""


@dataclass(frozen=True, slots=True)
class OptionShare:
    """How often one option was given as the answer to a question, in one group of trials."""

    question: str
    kind: str
    axis: str
    level: str
    option: str
    label: str
    n: int
    """Answers of the group to this question."""
    count: int
    """Those that give this option; of a ranking, that put it first; of `distribution`, any probability at all."""
    texts: int
    share: Number
    """Of the answers, each text alike; of `distribution` the mean probability."""
    interval: Interval
    """Of the share; of a ranking, of the mean rank."""
    rank: Number | None = None
    """Mean rank, 1 the first; None of other kinds."""


def shares(frame: pd.DataFrame, offered: Mapping[str, Question]) -> tuple[OptionShare, ...]:
    """The options of every question that has some, over all trials and by model.

    `frame` has the columns `choice:<question>` of results.frame; `offered` are the questions by their names. Of a
    question that is not there, the options are those that were given.
    """
    columns = [str(name) for name in frame.columns if str(name).startswith(CHOICE)]
    asked = {name.removeprefix(CHOICE): frame[name] for name in columns}
    return tuple(one for name in asked for one in _of_question(asked_of(frame, name), name, offered.get(name)))


def _of_question(frame: pd.DataFrame, name: str, question: Question | None) -> Iterator[OptionShare]:
    """Level by level, and in each the options in their order."""
    import numpy as np

    given = [json.loads(value) if isinstance(value, str) and value else None for value in frame[CHOICE + name]]
    there = np.array([value is not None for value in given], dtype=bool)
    values = [value for value in given if value is not None]
    kind = question.kind if question is not None else _kind_of(values)
    if kind == "number" or not values:
        return
    for axis in FROM_ALL:
        labels = ["all"] * len(values) if axis == "all" else frame[axis].astype(str)[there].to_list()
        if axis == "all" or len({*labels}) > 1:
            texts = frame["text"].astype(str)[there].to_list()
            yield from _of_axis(_Answers(name, kind, values, labels, texts), axis, _options(question, values))


@dataclass(frozen=True, slots=True)
class _Answers:
    """The answers to one question, with the level and the text of each."""

    question: str
    kind: str
    values: Sequence[Any]
    labels: Sequence[str]
    texts: Sequence[str]


def _of_axis(of: _Answers, axis: str, options: Mapping[str, str]) -> Iterator[OptionShare]:
    import numpy as np
    import pandas as pd

    levels, names = pd.factorize(np.array(of.labels, dtype=object))
    texts, _ = pd.factorize(np.array(of.texts, dtype=object))
    found = {option: _shares_of(_weights(of, option), levels, texts, len(names)) for option in options}
    ranks = {
        option: _means_of(_ranks(of, option), levels, texts, len(names))
        for option in (options if of.kind == "rank" else ())
    }
    for code, level in enumerate(names):
        own = levels == code
        for option, label in options.items():
            share, interval = found[option][code]
            rank, about = ranks[option][code] if ranks else (None, interval)
            yield OptionShare(
                of.question, of.kind, axis, str(level), option, label, n=int(own.sum()),
                count=int((_weights(of, option)[own] > 0).sum()), texts=len({*texts[own].tolist()}), share=share,
                interval=about, rank=rank,
            )  # fmt: skip


def _options(question: Question | None, values: Sequence[Any]) -> dict[str, str]:
    """Name -> label of every option that was offered, or else given, in order."""
    if question is not None and question.options:
        return {option.name: option.label or option.name for option in question.options}
    names: Iterable[Any] = (one for value in values for one in (value if isinstance(value, list | dict) else [value]))
    return {str(name): str(name) for name in dict.fromkeys(names)}


def _kind_of(values: Sequence[Any]) -> str:
    """What the answers look like, where the question is not known."""
    first = values[0] if values else ""
    return "distribution" if isinstance(first, dict) else "choices" if isinstance(first, list) else "choice"


def _weights(of: _Answers, option: str) -> Floats:
    """What each answer gives to an option: 1 or 0, of a ranking for the first place; or a probability."""
    import numpy as np

    def weight(value: Any) -> float:
        if isinstance(value, dict):
            return float(value.get(option, 0.0))
        if isinstance(value, list):
            return float(option in (value[:1] if of.kind == "rank" else value))
        return float(str(value) == option)

    return np.array([weight(value) for value in of.values])


def _ranks(of: _Answers, option: str) -> Floats:
    import numpy as np

    return np.array([float(value.index(option) + 1) if option in value else np.nan for value in of.values])


def _shares_of(weights: Floats, levels: Codes, texts: Codes, count: int) -> list[tuple[Number, Interval]]:
    import numpy as np

    estimated = over_texts(weights, levels, texts, count)
    sizes = np.bincount(levels, minlength=count)
    return [
        _share(float(estimated.value[code]), float(estimated.se[code]), int(sizes[code]), int(estimated.units[code]))
        for code in range(count)
    ]


def _share(share: float, se: float, n: int, texts: int) -> tuple[Number, Interval]:
    """A share with Wilson's interval at its effective number of answers."""
    from scipy.stats import norm, t

    if not isfinite(share):
        why = Undefined("nothing was answered")
        return why, Interval(why, why, "texts", 0, why, why)
    if texts < 2:
        low, high = wilson(share, n, float(norm.ppf((1 + LEVEL) / 2)))
        return share, Interval(low, high, "fixed", n, Undefined("there is one text only"), Undefined("it is normal"))
    worth = min(float(n), share * (1 - share) / se**2) if se > 0 else float(texts)
    low, high = wilson(share, worth, float(t.ppf((1 + LEVEL) / 2, texts - 1)))
    return share, Interval(low, high, "texts", texts, se, float(texts - 1))


def wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's interval (1927) of a share of `n` answers, at the quantile `z`."""
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    width = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - width), min(1.0, centre + width)


def _means_of(ranks: Floats, levels: Codes, texts: Codes, count: int) -> list[tuple[Number, Interval]]:
    """Mean ranks, each text alike, with Student's t over texts."""
    estimated = over_texts(ranks, levels, texts, count)
    low, high = estimated.bounds()
    why = Undefined("there is one text only")

    def number(value: float) -> Number:
        return value if isfinite(value) else why

    return [
        (
            number(float(estimated.value[code])),
            Interval(number(max(1.0, float(low[code]))) if isfinite(low[code]) else why, number(float(high[code])),
                     "texts", int(estimated.units[code]), number(float(estimated.se[code])),
                     number(float(estimated.df[code]))),
        )
        for code in range(count)
    ]  # fmt: skip


# ---- tables ----------------------------------------------------------------------------------------------------------


def shares_sheets(found: Sequence[OptionShare], *, everything: bool = False) -> list[TableData]:
    """The table of shares, and that of mean ranks."""
    made = [_sheet(found, everything=everything), _ranks_sheet(found, everything=everything)]
    return [sheet for sheet in made if sheet.rows]


def _shown(found: Sequence[OptionShare], *, everything: bool) -> tuple[list[OptionShare], int]:
    first = [one for one in found if everything or one.axis == "all"]
    kept = first if everything else first[:LINES]
    return kept, len(found) - len(kept)


def _sheet(found: Sequence[OptionShare], *, everything: bool) -> TableData:
    columns: Columns = (
        ("question", "name"), ("of", "name"), ("answer", "name"), ("answers", "count"), ("count", "count"),
        ("share", "fine"), ("95% interval", "interval"),
    )  # fmt: skip
    kept, left = _shown([one for one in found if one.kind != "rank"], everything=everything)
    rows = tuple((one.question, one.level, one.label, one.n, one.count, one.share, one.interval) for one in kept)
    method = method_of("mean of the texts' shares, Wilson's interval at the effective number of answers", "text",
                       "texts - 1")  # fmt: skip
    return TableData("shares", "Answers", columns, rows, method, left_out=left)


def _ranks_sheet(found: Sequence[OptionShare], *, everything: bool) -> TableData:
    columns: Columns = (
        ("question", "name"), ("of", "name"), ("answer", "name"), ("answers", "count"), ("first", "fine"),
        ("mean rank", "score"), ("95% interval", "interval"),
    )  # fmt: skip
    kept, left = _shown([one for one in found if one.kind == "rank"], everything=everything)
    rows = tuple((one.question, one.level, one.label, one.n, one.share, one.rank, one.interval) for one in kept)
    return TableData("ranks", "Ranks", columns, rows, method_of("mean of the texts' means", "text", "texts - 1"),
                     left_out=left)  # fmt: skip
