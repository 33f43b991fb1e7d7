"""A ledger's rows as they stand, read without trust: what another program, a disk or a hand has damaged is a row too.

`Ledger.answers` gives answers to a run, by key and typed. Here a person looks: every row has a line, and a row that
cannot be read as an answer says why. SQLite keeps a value of any type in any column, so each is taken as bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from runner.records import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.ledger.database import Database

Where = Literal["ledger_answer", "ledger_trash"]
"""The table of what is kept, and that of what was forgotten."""
COLUMNS = ("key", "route", "model_id", "endpoint", "attempts", "latency_s", "time")
"""All of an answer but its reply."""
PLACE = "row:"
"""Begins the name of a row whose key cannot be typed."""
_ROWS_A_READ = 1_000
_MOST = 2**53
_STORED_AS: dict[str, tuple[str, ...]] = {
    "key": ("text",),
    "raw": ("blob",),
    "route": ("text",),
    "model_id": ("text",),
    "endpoint": ("text",),
    "attempts": ("integer",),
    "latency_s": ("real", "integer"),
    "time": ("text",),
}
"""SQLite's type of each column in a row that is whole."""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One row, without its reply. Every text is what can be shown of the column, whatever it holds."""

    place: int | str
    """What finds the row again: its number in SQLite or in the trash, its key on a server."""
    key: str
    route: str
    model_id: str
    endpoint: str
    attempts: str
    latency_s: str
    time: str
    n_bytes: int
    """Of the reply."""
    damage: str | None = None
    """Why it cannot be read as an answer; None where it can."""
    forgotten: float | None = None
    """When: seconds since 1970; None of what is kept."""
    why: str = ""
    """For what it was forgotten."""

    @property
    def name(self) -> str:
        """What a person types for it: its key, or its place where the key is damaged."""
        return self.key if self.key and self.key.isascii() and self.key.isprintable() else f"{PLACE}{self.place}"

    @property
    def received(self) -> datetime | None:
        """When the answer came; None where that cannot be read."""
        return _moment(self.time)

    def answer(self, raw: bytes) -> Answer | None:
        """The row as an answer with its reply; None where it is damaged."""
        if self.damage is not None:
            return None
        route: Literal["live", "batch"] = "batch" if self.route == "batch" else "live"
        attempts, latency_s = int(self.attempts), float(self.latency_s)
        return Answer(self.key, raw, route, self.model_id, self.endpoint, attempts, latency_s, self.time)


def read(database: Database, where: Where = "ledger_answer") -> Iterator[StoredEntry]:
    """Every row of a table in the order of its places; a thousand at a time, and no transaction meanwhile."""
    query = sa.text(_query(database, where))
    after: int | str | None = None
    while True:
        with database.reading() as connection:
            first: int | str = -(2**63) if _is_numbered(database, where) else ""
            rows = connection.execute(query, {"after": first if after is None else after}).all()
        yield from (_entry(database, where, row) for row in rows)
        if len(rows) < _ROWS_A_READ:
            return
        after = rows[-1][0]


def raws(database: Database, places: Sequence[int | str], where: Where = "ledger_answer") -> dict[int | str, bytes]:
    """The replies of some rows, a few hundred at most, by their places; b"" of a row that has none."""
    if not places:
        return {}
    by = _place(database, where)
    raw = "CAST(raw AS BLOB)" if _is_sqlite(database) else "raw"
    query = sa.text(f"SELECT {by}, {raw} FROM {where} WHERE {by} IN :places")  # noqa: S608  names of our own
    with database.reading() as connection:
        found = connection.execute(query.bindparams(sa.bindparam("places", expanding=True)), {"places": list(places)})
        return {place: bytes(value or b"") for place, value in found}


def _query(database: Database, where: Where) -> str:
    later = ", forgotten, why" if where == "ledger_trash" else ""
    by = _place(database, where)
    if _is_sqlite(database):
        shown = ", ".join(f"CAST({name} AS BLOB)" for name in COLUMNS)
        types = " || ' ' || ".join(f"typeof({name})" for name in _STORED_AS)
        size = "length(CAST(raw AS BLOB))"
    else:
        shown, types, size = ", ".join(COLUMNS), "''", "octet_length(raw)"
    what = f"{by}, {shown}, {size}, {types}{later}"
    return f"SELECT {what} FROM {where} WHERE {by} > :after ORDER BY {by} LIMIT {_ROWS_A_READ}"  # noqa: S608  as above


def _entry(database: Database, where: Where, row: Sequence[Any]) -> StoredEntry:
    place, *values = row
    shown = dict(zip(COLUMNS, map(_shown, values), strict=False))
    size, types, *later = values[len(COLUMNS) :]
    damage = _mistyped(types.split(), values) if _is_sqlite(database) else _lacking(values)
    forgotten, why = later if where == "ledger_trash" else (None, "")
    return StoredEntry(
        place, **shown, n_bytes=size or 0, damage=damage or _misread(shown), forgotten=forgotten, why=why
    )


def _mistyped(types: Sequence[str], values: Sequence[Any]) -> str | None:
    """What SQLite's types and bytes say against a row."""
    for (name, right), found in zip(_STORED_AS.items(), types, strict=True):
        if found not in right:
            return f"its {name} is {found}, not {right[0]}"
    for name, value in zip(COLUMNS, values, strict=False):
        try:
            bytes(value).decode()
        except UnicodeDecodeError:
            return f"its {name} is no text"
    return None


def _lacking(values: Sequence[Any]) -> str | None:
    return next((f"its {name} is null" for name, value in zip(COLUMNS, values, strict=False) if value is None), None)


def _misread(shown: dict[str, str]) -> str | None:
    """What the values themselves say against it."""
    if shown["route"] not in ("live", "batch"):
        return f"its route is '{shown['route']}', not live or batch"
    if _moment(shown["time"]) is None:
        return f"its time is '{shown['time']}'"
    if not all(0 <= float(shown[name]) < _MOST for name in ("attempts", "latency_s")):
        return "its attempts or its seconds are beyond all bounds"
    return None


def _shown(value: Any) -> str:
    if value is None:
        return ""
    text = bytes(value).decode("utf-8", "replace") if isinstance(value, (bytes, memoryview)) else str(value)
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _moment(time: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(time)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _is_sqlite(database: Database) -> bool:
    return database.engine.dialect.name == "sqlite"


def _is_numbered(database: Database, where: Where) -> bool:
    return _is_sqlite(database) or where == "ledger_trash"


def _place(database: Database, where: Where) -> str:
    """The column that tells rows apart, whatever they hold."""
    if where == "ledger_trash":
        return "id"
    return "rowid" if _is_sqlite(database) else "key"
