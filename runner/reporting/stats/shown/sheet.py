"""A table of statistics before it is written: values, not words, so that each format writes its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["name", "count", "score", "signed", "interval", "p", "share", "fine", "text"]
"""How a column's values are written: `fine` with four decimals, `text` as it is."""
Columns = tuple[tuple[str, Kind], ...]


@dataclass(frozen=True, slots=True)
class TableData:
    """A table, before it is written."""

    key: str
    title: str
    columns: Columns
    """Name and kind of each; those of names come first."""
    rows: tuple[tuple[Any, ...], ...]
    method: str = ""
    notes: tuple[str, ...] = ()
    """What is to be said below each row; () where there is nothing to say of any."""
    left_out: int = 0
    """Rows that are not shown."""


def method_of(estimator: str, unit: str, df: str, correction: str = "none") -> str:
    """What stands under a table: how its numbers were made."""
    return f"Estimator: {estimator}; unit: {unit}; df: {df}; correction: {correction}; draws: none; seed: none."
