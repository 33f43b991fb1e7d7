"""Rows -> the one table that all statistics are computed from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.results import frame as of_tallies
from runner.results.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from runner.records import Row

SCORE = of_tallies.SCORE
LABELS = ("job", "cell", "vendor", "model", "persona", "text", "temperature", "rung", "placement", "outcome", "problem")
BASIC = ("model", "persona", "text")
SETTINGS = ("temperature",)
"""What may differ between trials of one model, persona and text."""
CHECKED = ("model", "persona", *SETTINGS, "rung", "placement")
"""Factors that are looked at for whether one decides another; what decides comes first."""


def table(rows: Iterable[Row] | Sequence[Tally] | pd.DataFrame) -> pd.DataFrame:
    """One line a trial: the columns of LABELS, and `score:<question>` for each question, NaN where there is none.

    `choice:<question>` is the answer of each that is no plain number, as JSON, "" where there is none.
    `temperature` is the one that was sent, as text, "" where none was; `problem` is its kind, "" where there is none.
    `again` marks a trial that shares the answer of an earlier job's: the same request of the same model, persona, text
    and repetition; `answer` is a number that such answers share. `asked` names the questions of the trial's job. Which
    scores count is the tally's rule: each, wherever it was read. A table made here is passed
    through.
    """
    import pandas as pd

    if isinstance(rows, pd.DataFrame):
        return rows
    tallied = isinstance(rows, list | tuple) and len(rows) > 0 and all(isinstance(one, Tally) for one in rows)
    counted: Sequence[Tally] = rows if tallied else [Tally.of(rows)]  # type: ignore[assignment,arg-type]
    scores, choices = of_tallies.columns_of(counted), of_tallies.choices_of(counted)
    found = of_tallies.frame(counted, *LABELS, "again", "answer", "asked", *scores, *choices)
    found["job"] = found["job"].astype("int64")
    return found


def with_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Tables put below each other, their labels categories again."""
    plain = [name for name in (*LABELS, "asked") if name != "job" and str(frame[name].dtype) != "category"]
    return frame.astype(dict.fromkeys(plain, "category"))


def asks(frame: pd.DataFrame, question: str) -> Any:
    """Of each trial whether it was asked a question: jobs of a sweep may ask different ones."""
    import numpy as np

    asked = [question in str(label).split(of_tallies.BETWEEN) for label in frame["asked"].cat.categories]
    return np.array([*asked, False])[frame["asked"].cat.codes]


def asked_of(frame: pd.DataFrame, question: str) -> pd.DataFrame:
    """The trials that were asked a question."""
    there = asks(frame, question)
    return frame if there.all() else frame[there]


def distinct(frame: pd.DataFrame) -> pd.DataFrame:
    """The trials of a table whose answers are their own: one answer of a sweep is one observation, not several."""
    return frame[~frame["again"]]


def factors_of(frame: pd.DataFrame) -> tuple[str, ...]:
    """What tells two cells of a table apart: model, persona, text, and each setting that varies within these three.

    A setting that goes with the others, as a temperature that each persona has of its own, is none: to match trials
    by it as well would leave out personas, and change nothing else.
    """
    basic = list(BASIC)
    within = frame.groupby(basic, observed=True, sort=False)
    varied = (name for name in SETTINGS if len(frame) and int(within[name].nunique().max()) > 1)
    return (*BASIC, *varied)


def codes_of(frame: pd.DataFrame, names: Iterable[str]) -> Any:
    """A number for each combination of the columns' values, in the order in which they come."""
    import numpy as np
    import pandas as pd

    whole = np.zeros(len(frame), dtype=np.int64)
    for name in names:
        codes, levels = pd.factorize(frame[name])
        whole = pd.factorize(whole * max(len(levels), 1) + codes)[0]
    return whole


def questions_of(frame: pd.DataFrame) -> list[str]:
    """The questions of a table, in its order."""
    return [str(name).removeprefix(SCORE) for name in frame.columns if str(name).startswith(SCORE)]
