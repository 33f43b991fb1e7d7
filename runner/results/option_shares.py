"""Answers that are no plain numbers, as columns of a table of groups: the share of each option, or its mean rank."""

from __future__ import annotations

import json
from math import nan
from typing import TYPE_CHECKING, Any

from runner.results.frame import CHOICE, choices_of, frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from runner.records import Question
    from runner.results.tally import Tally


def option_shares(counted: Tally, by: Sequence[str], asked: Iterable[Question]) -> pd.DataFrame:
    """`<question>_<option>_share` of each group, for every option of the questions; of rankings `_rank`, the mean.

    Each text alike, as a mean. Of probabilities it is the mean probability. NaN where a group has no answer.
    """
    import pandas as pd

    there = {*choices_of((counted,))}
    questions = [question for question in asked if CHOICE + question.name in there]
    table = frame((counted,), *by, "text", *(CHOICE + question.name for question in questions))
    texts = [table[name] for name in (*by, "text")]
    found: dict[str, pd.Series[Any]] = {}
    for question in questions:
        column = table[CHOICE + question.name]
        values = {each: json.loads(each) if each else None for each in column.cat.categories}
        of_what = "rank" if question.kind == "rank" else "share"
        for option in question.options:
            weights = column.map({each: _weight(value, option.name, of_what) for each, value in values.items()})
            of_texts = weights.astype("float64").groupby(texts, sort=False, observed=True).mean()
            found[f"{question.name}_{option.name}_{of_what}"] = of_texts.groupby(
                list(by), sort=False, observed=True
            ).mean()
    return pd.DataFrame(found)


def _weight(value: Any, option: str, of_what: str) -> float:
    """What one answer gives to an option: its place, 1 or 0, or a probability; NaN where there is none."""
    if value is None:
        return nan
    if of_what == "rank":
        return float(value.index(option) + 1)
    if isinstance(value, dict):
        return float(value.get(option, 0.0))
    return float(option in value) if isinstance(value, list) else float(str(value) == option)
