"""Rows of answers as the database has them, read without trust: somebody may have damaged any column.

SQLite keeps a value of any type in any column, and bytes that are no text among texts. One such row must cost its own
trial and no other, so columns are taken as they are, and looked at here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from runner.ledger.schema import ANSWER

if TYPE_CHECKING:
    from collections.abc import Sequence

    Stored = Sequence[Any]
    """The columns of a row, in the order of FIELDS."""

FIELDS = tuple(column.name for column in ANSWER.columns)
"""Those of an Answer that are columns, in its own order."""
_AS_IT_IS: list[sa.ColumnClause[Any]] = [sa.column(name) for name in FIELDS]
"""Without a type: a column's own would make bytes of a number, as many as it says."""
_WHOLE = (str, bytes, str, str, str, int, float, str)
_USUAL = frozenset({_WHOLE, tuple(int if kind is float else kind for kind in _WHOLE)})
"""The types of a row that is whole: a number of seconds may be a whole one."""
_NAMES = {str: "text", bytes: "bytes", int: "a whole number", float: "a number", type(None): "nothing"}
_MOST = 2**53


def read(connection: sa.Connection, keys: Sequence[str]) -> dict[str, Stored]:
    """The rows of some keys, a few hundred at most."""
    query = sa.select(*_AS_IT_IS).select_from(ANSWER).where(ANSWER.c.key.in_(keys))
    return {row[0]: row for row in connection.execute(query).all()}


def damage(row: Stored) -> str | None:
    """What is wrong with a row, in words; None where it is an answer."""
    kinds = tuple(map(type, row))
    if kinds not in _USUAL:
        at = next(at for at, kind in enumerate(kinds) if not any(kind is usual[at] for usual in _USUAL))
        return f"its {FIELDS[at]} is {_NAMES.get(kinds[at], kinds[at].__name__)}, not {_NAMES[_WHOLE[at]]}"
    if row[2] not in {"live", "batch"}:
        return f"its route is {row[2][:20]!r}"
    if not 0 <= row[5] < _MOST or not 0 <= row[6] < _MOST:
        return "its attempts or its seconds are beyond all bounds"
    return None
