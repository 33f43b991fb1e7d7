"""Rows -> the one table that all statistics are computed from."""

from __future__ import annotations

from array import array
from math import nan
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from runner.records import Row

LABELS = ("job", "cell", "vendor", "model", "persona", "text", "temperature", "repetition", "outcome", "problem")
SCORE = "score:"


def table(rows: Iterable[Row] | pd.DataFrame) -> pd.DataFrame:
    """One line a trial: the columns of LABELS, and `score:<question>` for each question, NaN where there is none.

    `temperature` is the one that was sent, as text, "" where none was; `problem` is its kind, "" where there is none.
    A score counts only where the whole reply is scored, as in all tables. A table made here is passed through.
    """
    import pandas as pd

    if isinstance(rows, pd.DataFrame):
        return rows
    labels: dict[str, list[Any]] = {name: [] for name in LABELS}
    scores: dict[str, array[float]] = {}
    for count, row in enumerate(rows):
        for name, label in _labels(row).items():
            labels[name].append(label)
        for question in row.scores:
            scores.setdefault(question, array("d", [nan]) * count)
        for question, column in scores.items():
            score = row.scores.get(question) if row.outcome == "scored" else None
            column.append(nan if score is None else score)
    frame = pd.DataFrame({name: pd.Series(column, dtype=_kind(name)) for name, column in labels.items()})
    for question, column in scores.items():
        frame[SCORE + question] = pd.Series(column, dtype="float64")
    return frame


def questions_of(frame: pd.DataFrame) -> list[str]:
    """The questions of a table, in its order."""
    return [str(name).removeprefix(SCORE) for name in frame.columns if str(name).startswith(SCORE)]


def _labels(row: Row) -> dict[str, Any]:
    temperature = row.sent.get("temperature")
    plain = {name: getattr(row, name) for name in LABELS if name not in ("temperature", "problem")}
    sent = "" if temperature is None else f"{temperature:g}"
    return {**plain, "temperature": sent, "problem": row.problem.kind if row.problem else ""}


def _kind(name: str) -> str:
    return "int64" if name in ("job", "repetition") else "category"
