"""The book of batches, in the ledger's database: what was sent to whom, what it holds, how each item ended.

Importing this module imports SQLAlchemy. Every method returns when what it wrote is durable, and raises LedgerError
where it cannot be. A batch is worked on by one process at a time: who `take`s it keeps others off for LEASE_S, renewed
while it lives.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, fields
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import sqlalchemy as sa

from runner import process
from runner.errors import LedgerError
from runner.ledger.batch_records import GIVEN_UP, LEASE_S, OPEN, BatchItem, BatchRecord, ItemEnding, State
from runner.ledger.database import connect, explained
from runner.providers.batch.api import Sent, Standing
from runner.records import Batch, Capability, Limits, Model, Prices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

R = TypeVar("R")

SCHEMA_VERSION = 1
_ROWS_A_STATEMENT = 2_000
_SCHEMA_LOCK = 0xBA7C4
"""PostgreSQL advisory lock held while tables are made; as the ledger's."""

TABLES = sa.MetaData()
_VERSION = sa.Table("batch_version", TABLES, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False))
_BATCH = sa.Table(
    "batch",
    TABLES,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("run", sa.String, nullable=False),
    sa.Column("api", sa.String, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("base", sa.String, nullable=False),
    sa.Column("account", sa.String, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("window_s", sa.Integer, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("sent", sa.Text),
    sa.Column("standing", sa.Text),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("owner", sa.String, index=True),
    sa.Column("until", sa.Double),
    sa.Column("settings", sa.Text),
)
_ITEM = sa.Table(
    "batch_item",
    TABLES,
    sa.Column("batch", sa.String, primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True),
    sa.Column("key", sa.String, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("ending", sa.String),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("buyer", sa.String),
)
_LATER = (_BATCH.c.settings, _ITEM.c.buyer)
"""Columns that were added later; a program that does not know of them leaves them empty."""
_ENTRY_FIELDS = tuple(field.name for field in fields(BatchRecord))
_SETTLE = (
    sa.update(_ITEM)
    .where(_ITEM.c.batch == sa.bindparam("of"), _ITEM.c.n == sa.bindparam("at"))
    .values(
        ending=sa.bindparam("to"), kind=sa.bindparam("why"), message=sa.bindparam("words"), buyer=sa.bindparam("by")
    )
)


def open_batches(url: str) -> BatchStore:
    """The book in the ledger's database at a URL, made where there is none yet."""
    engine, place = connect(url)
    with explained(place):
        try:
            _prepare(engine, place)
        except BaseException:
            engine.dispose()
            raise
    return BatchStore(engine, place)


class BatchStore:
    """Batches and their items. Made by `open_batches`; safe to use from several threads."""

    def __init__(self, engine: sa.Engine, place: str) -> None:
        self.place = place
        self.owner = f"{process.this()}|{os.urandom(4).hex()}"
        """Who takes batches here."""
        self._engine = engine
        self._writes = engine.execution_options(immediate=True)

    def draft(self, entry: BatchRecord, items: Sequence[tuple[str, int]]) -> None:
        """Write a batch down before it is sent, with key and attempt of each item; taken at once."""
        row = _row(entry) | {"owner": self.owner, "until": time.time() + LEASE_S}
        with explained(self.place), self._writes.begin() as connection:
            connection.execute(_BATCH.insert(), row)
            blank = {"batch": entry.id, "ending": None, "kind": "", "message": ""}
            rows = ({**blank, "n": n, "key": key, "attempt": attempt} for n, (key, attempt) in enumerate(items))
            for part in _parts(rows):
                connection.execute(_ITEM.insert(), part)

    def entry(self, batch: str) -> BatchRecord:
        """A batch by its id; LedgerError where there is none."""
        with explained(self.place), self._engine.connect() as connection:
            row = connection.execute(sa.select(_BATCH).where(_BATCH.c.id == batch)).mappings().first()
        if row is None:
            raise LedgerError(f"{self.place} has no batch {batch}", advice="runner status")
        return _entry(row)

    def entries(self, states: Iterable[State] | None = None, run: str | None = None) -> list[BatchRecord]:
        """Batches in the order in which they were drafted; those in some states, or of one run."""
        query = sa.select(_BATCH).order_by(_BATCH.c.created, _BATCH.c.id)
        if states is not None:
            query = query.where(_BATCH.c.state.in_(list(states)))
        if run is not None:
            query = query.where(_BATCH.c.run == run)
        with explained(self.place), self._engine.connect() as connection:
            return [_entry(row) for row in connection.execute(query).mappings()]

    def open_keys(self) -> dict[str, str]:
        """Every key that an open batch may still answer, with the batch's id."""
        query = sa.select(_ITEM.c.key, _ITEM.c.batch).join(_BATCH, _BATCH.c.id == _ITEM.c.batch)
        query = query.where(_BATCH.c.state.in_(OPEN), _ITEM.c.ending.is_(None) | _ITEM.c.ending.in_(GIVEN_UP))
        with explained(self.place), self._engine.connect() as connection:
            return {key: batch for key, batch in connection.execute(query.order_by(_BATCH.c.created))}  # noqa: C416  rows are not pairs to mypy

    def items(self, batch: str) -> list[BatchItem]:
        """A batch's items in order."""
        columns = (
            _ITEM.c.n,
            _ITEM.c.key,
            _ITEM.c.attempt,
            _ITEM.c.ending,
            _ITEM.c.kind,
            _ITEM.c.message,
            _ITEM.c.buyer,
        )
        query = sa.select(*columns).where(_ITEM.c.batch == batch).order_by(_ITEM.c.n)
        with explained(self.place), self._engine.connect() as connection:
            return [BatchItem(*row) for row in connection.execute(query)]

    def tally(self) -> dict[str, dict[str, int]]:
        """For each batch, how many of its items ended in which way."""
        columns = (_ITEM.c.batch, _ITEM.c.ending, sa.func.count())
        query = sa.select(*columns).where(_ITEM.c.ending.is_not(None)).group_by(_ITEM.c.batch, _ITEM.c.ending)
        found: dict[str, dict[str, int]] = {}
        with explained(self.place), self._engine.connect() as connection:
            for batch, ending, count in connection.execute(query):
                found.setdefault(batch, {})[ending] = count
        return found

    def change(
        self,
        batch: str,
        state: State | None = None,
        *,
        sent: Sent | None = None,
        standing: Standing | None = None,
        note: str | None = None,
        settled: Sequence[ItemEnding] = (),
    ) -> BatchRecord:
        """Write down what has changed, all of it or nothing; the batch as it is now."""
        given = {"state": state, "sent": _dumped(sent), "standing": _dumped(standing), "note": note}
        values = {name: value for name, value in given.items() if value is not None}
        with explained(self.place), self._writes.begin() as connection:
            for part in _parts(_bound(batch, each) for each in settled):
                connection.execute(_SETTLE, part)
            if values:
                connection.execute(sa.update(_BATCH).where(_BATCH.c.id == batch).values(values))
        return self.entry(batch)

    # ---- who works on what

    def take(self, batch: str) -> bool:
        """Keep others off a batch; False where another process that lives is at work on it."""
        with explained(self.place), self._writes.begin() as connection:
            query = sa.select(_BATCH.c.owner, _BATCH.c.until).where(_BATCH.c.id == batch).with_for_update()
            row = connection.execute(query).first()
            if row is None or not (row.owner in (None, self.owner) or row.until <= time.time() or _is_dead(row.owner)):
                return False
            mine = {"owner": self.owner, "until": time.time() + LEASE_S}
            connection.execute(sa.update(_BATCH).where(_BATCH.c.id == batch).values(mine))
        return True

    def renew(self) -> None:
        """Keep others off for longer."""
        self._set_mine(until=time.time() + LEASE_S)

    def release(self, batch: str | None = None) -> None:
        """Let others at a batch, or at all that are taken here."""
        self._set_mine(batch, owner=None, until=None)

    def _set_mine(self, batch: str | None = None, **values: Any) -> None:
        mine = sa.update(_BATCH).where(_BATCH.c.owner == self.owner).values(values)
        if batch is not None:
            mine = mine.where(_BATCH.c.id == batch)
        with explained(self.place), self._writes.begin() as connection:
            connection.execute(mine)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


def _is_dead(owner: str) -> bool:
    claimer = process.parse(owner)
    return claimer is not None and process.has_ended(claimer)


def _prepare(engine: sa.Engine, place: str) -> None:
    with engine.execution_options(immediate=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
        if not sa.inspect(connection).has_table(_VERSION.name):
            TABLES.create_all(connection)
            connection.execute(_VERSION.insert().values(version=SCHEMA_VERSION))
        for column in _LATER:
            table = str(column.table)
            if column.name not in {known["name"] for known in sa.inspect(connection).get_columns(table)}:
                connection.execute(sa.text(f"ALTER TABLE {table} ADD COLUMN {column.name} TEXT"))
        version = connection.scalar(sa.select(_VERSION.c.version))
    if version != SCHEMA_VERSION:
        message = f"batches were written by another version of this program ({version}; this one: {SCHEMA_VERSION})"
        raise LedgerError(f"{place}: {message}", advice="pip install --upgrade persona-runner")


def _parts(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    rest = iter(rows)
    while part := list(islice(rest, _ROWS_A_STATEMENT)):
        yield part


def _bound(batch: str, settled: ItemEnding) -> dict[str, Any]:
    return {
        "of": batch,
        "at": settled.n,
        "to": settled.ending,
        "why": settled.kind,
        "words": settled.message,
        "by": settled.buyer,
    }


# ---- records as text ------------------------------------------------------------------------------------------------


def _dumped(value: Model | Sent | Standing | Batch | None) -> str | None:
    return None if value is None else json.dumps(asdict(value), ensure_ascii=False)


def _row(entry: BatchRecord) -> dict[str, Any]:
    plain = {name: getattr(entry, name) for name in _ENTRY_FIELDS}
    return plain | {name: _dumped(plain[name]) for name in ("model", "sent", "standing", "settings")}


def _entry(row: Mapping[Any, Any]) -> BatchRecord:
    plain = {name: row[name] for name in _ENTRY_FIELDS}
    plain["model"] = _model(json.loads(plain["model"]))
    plain["sent"] = _loaded(Sent, plain["sent"])
    plain["standing"] = _loaded(Standing, plain["standing"])
    plain["settings"] = _loaded(Batch, plain["settings"])
    return BatchRecord(**plain)


def _loaded(kind: Callable[..., R], text: str | None) -> R | None:
    if text is None:
        return None
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(text).items()}
    return _known(kind, values)


def _model(values: Mapping[str, Any]) -> Model:
    inner = {"capability": Capability, "limits": Limits, "prices": Prices}
    return _known(Model, {**values, **{name: _known(kind, values[name]) for name, kind in inner.items()}})


def _known(kind: Callable[..., R], values: Mapping[str, Any]) -> R:
    """A record from its values; fields that another version of this program added are passed over."""
    names = {field.name for field in fields(cast("Any", kind))}
    return kind(**{name: value for name, value in values.items() if name in names})
