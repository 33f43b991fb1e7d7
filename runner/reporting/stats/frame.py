"""Rows -> the one table that all statistics are computed from."""

from __future__ import annotations

from array import array
from math import nan
from typing import TYPE_CHECKING, Any

from runner.records import whole_pairs

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from runner.records import Row

NUMBERS = ("job", "repetition")
CATEGORIES = ("cell", "vendor", "model", "persona", "text", "temperature", "outcome", "problem")
LABELS = ("job", "cell", "vendor", "model", "persona", "text", "temperature", "repetition", "outcome", "problem")
SCORE = "score:"
BASIC = ("model", "persona", "text")
SETTINGS = ("temperature",)
"""What may differ between trials of one model, persona and text."""


def table(rows: Iterable[Row] | pd.DataFrame) -> pd.DataFrame:
    """One line a trial: the columns of LABELS, and `score:<question>` for each question, NaN where there is none.

    `temperature` is the one that was sent, as text, "" where none was; `problem` is its kind, "" where there is none.
    `again` marks a trial that shares the answer of an earlier job's: the same request of the same model, persona, text
    and repetition. A question's score counts wherever it was read: what another question of the same reply lacks costs
    it nothing. A table made here is passed through.
    """
    import pandas as pd

    if isinstance(rows, pd.DataFrame):
        return rows
    columns = Columns()
    for row in rows:
        columns.add(row)
    return columns.frame()


class Columns:
    """The table while its rows come in: four bytes a label, eight a number, whatever else the rows hold."""

    def __init__(self) -> None:
        self._numbers = {name: array("q") for name in NUMBERS}
        self._codes = {name: array("i") for name in CATEGORIES}
        self._places: dict[str, dict[str, int]] = {name: {} for name in CATEGORIES}
        self._scores: dict[str, array[float]] = {}
        self._first: dict[int, int] = {}
        """The job in which an answer came first, by a hash of what makes it the same."""
        self._again = bytearray()

    def add(self, row: Row) -> None:
        """Take one trial in."""
        same = hash((row.key, row.model, row.persona, row.text, row.repetition, *row.scores.values()))
        self._again.append(self._first.setdefault(same, row.job) != row.job)
        for name, numbers in self._numbers.items():
            numbers.append(getattr(row, name))
        temperature = row.sent.get("temperature")
        labels = (
            row.compared_in, row.vendor, row.answered_by, row.persona, row.text,
            "" if temperature is None else f"{temperature:g}",
            row.outcome, row.problem.kind if row.problem else "",
        )  # fmt: skip
        for (name, codes), label in zip(self._codes.items(), labels, strict=True):
            places = self._places[name]
            codes.append(places.setdefault(label, len(places)))
        if len(row.scores) > len(self._scores) or not self._scores.keys() >= row.scores.keys():
            self._meet(row)
        for question, column in self._scores.items():
            score = row.scores.get(question)
            column.append(nan if score is None else score)

    def _meet(self, row: Row) -> None:
        """Questions that no earlier row was asked."""
        before = len(self._numbers["job"]) - 1
        for question in row.scores:
            self._scores.setdefault(question, array("d", [nan]) * before)

    def frame(self) -> pd.DataFrame:
        """The table of what came in."""
        import numpy as np
        import pandas as pd

        columns: dict[str, Any] = {}
        for name in LABELS:
            if name in self._numbers:
                columns[name] = np.array(self._numbers[name], dtype="int64")
            else:
                names = pd.Index([whole_pairs(label) for label in self._places[name]], dtype=object)
                codes = np.array(self._codes[name], dtype="int32")
                # Two names that differ in their halves of pairs only may have become one.
                unique = names.unique()
                columns[name] = pd.Categorical.from_codes(unique.get_indexer(names)[codes], categories=unique)
        columns["again"] = np.frombuffer(bytes(self._again), dtype=bool)
        columns |= {SCORE + question: np.array(column) for question, column in self._scores.items()}
        return pd.DataFrame(columns)


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
