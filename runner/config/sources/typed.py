"""A column of cells -> plain values: numbers where every cell is one, true and false likewise, else text.

One rule for a table of personas or texts and for an export that comes in again, so that a column keeps its kind on the
way out and back. What looks like a number and is none, such as 007 or a code of twenty digits, is text.
"""

from __future__ import annotations

import json
import re
from datetime import date
from decimal import Decimal
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.records import Json

_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,17})?(?:e[-+]?\d{1,3})?")
_TRUTH = {"true": True, "false": False}


def typed(cells: Sequence[Any]) -> list[Json]:
    """A column's values: text, number, true or false; None for an empty cell.

    Cells are as a file's format gives them: text throughout in a csv. Objects and lists become JSON, all else text.
    """
    plain = [_plain(cell) for cell in cells]
    words = [value for value in plain if value is not None]
    if words and all(isinstance(word, str) for word in words):
        if all(_NUMBER.fullmatch(word) and isfinite(float(word)) for word in words):
            return [None if word is None else _number(word) for word in plain]
        if _TRUTH.keys() >= {*words}:
            return [None if word is None else _TRUTH[word] for word in plain]
    return plain


def _number(word: str) -> float | int:
    return int(word) if word.removeprefix("-").isdigit() else float(word)


def _plain(cell: Any) -> Json:
    if cell is None or (isinstance(cell, float) and isnan(cell)):
        return None
    if isinstance(cell, str):
        return cell.strip() or None
    if isinstance(cell, bool) or (isinstance(cell, int | float) and abs(cell) < 2**63):
        return int(cell) if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53 else cell
    if isinstance(cell, Decimal):
        return _plain(float(cell))
    if isinstance(cell, date):  # a time is one too
        return cell.isoformat()
    return json.dumps(cell, ensure_ascii=False, default=str) if isinstance(cell, dict | list | tuple) else str(cell)
