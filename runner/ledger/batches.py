"""The ledger's batches: what was sent to whom, what it holds, how each item ended.

Importing this module imports SQLAlchemy. Every method returns when what it wrote is durable, and raises LedgerError
where it cannot be. A batch is worked on by one process at a time: who `take`s it keeps others off (see claims).
"""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

import sqlalchemy as sa

from runner.config.settings import prices_from
from runner.errors import LedgerError
from runner.ledger.batch_records import GIVEN_UP, OPEN, BatchItem, BatchRecord, ItemEnding, State
from runner.ledger.database import now, parts
from runner.ledger.schema import BATCH, ITEM, add_later_columns
from runner.providers.batch.api import Sent, Standing
from runner.records import Batch, Capability, Limits, Model, Retirement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runner.ledger.claims import Claims
    from runner.ledger.database import Database

R = TypeVar("R")

_ROWS_A_STATEMENT = 2_000
_ENTRY_FIELDS = tuple(field.name for field in fields(BatchRecord))
_ENTRY_KINDS: Mapping[str, Any] = {
    **dict.fromkeys(("id", "run", "api", "model", "base", "account", "state", "note"), str),
    **dict.fromkeys(("count", "window_s"), int),
    "created": int | float,
    **dict.fromkeys(("sent", "standing", "settings"), str | None),
}
_ITEM_FIELDS = tuple(field.name for field in fields(BatchItem))
_ITEM_KINDS: tuple[Any, ...] = (int, str, int, str | None, str, str, str | None)
"""Column -> what its writer puts there; SQLite keeps a value of any type in any column."""
_SETTLE = (
    sa.update(ITEM)
    .where(ITEM.c.batch == sa.bindparam("of"), ITEM.c.n == sa.bindparam("at"))
    .values(
        ending=sa.bindparam("to"), kind=sa.bindparam("why"), message=sa.bindparam("words"), buyer=sa.bindparam("by")
    )
)


class BatchStore:
    """Batches and their items, as Ledger.batches gives them; safe to use from several threads."""

    def __init__(self, database: Database, claims: Claims) -> None:
        self.place = database.place
        self._database = database
        self._claims = claims
        add_later_columns(database)

    def draft(self, entry: BatchRecord, items: Sequence[tuple[str, int]]) -> None:
        """Write a batch down before it is sent, with key and attempt of each item; taken at once."""
        with self._database.writing() as connection:
            mine = {"owner": self._claims.owner, "until": now(connection) + self._claims.lease_s}
            connection.execute(BATCH.insert(), _row(entry) | mine)
            blank = {"batch": entry.id, "ending": None, "kind": "", "message": ""}
            rows = ({**blank, "n": n, "key": key, "attempt": attempt} for n, (key, attempt) in enumerate(items))
            for part in parts(rows, _ROWS_A_STATEMENT):
                connection.execute(ITEM.insert(), part)

    def entry(self, batch: str) -> BatchRecord:
        """A batch by its id; LedgerError where there is none."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(BATCH).where(BATCH.c.id == batch)).mappings().first()
        if row is None:
            raise LedgerError(f"{self.place} has no batch {batch}", advice="runner status")
        return _entry(row, self.place)

    def entries(self, states: Iterable[State] | None = None, run: str | None = None) -> list[BatchRecord]:
        """Batches in the order in which they were drafted; those in some states, or of one run."""
        query = sa.select(BATCH).order_by(BATCH.c.created, BATCH.c.id)
        if states is not None:
            query = query.where(BATCH.c.state.in_(list(states)))
        if run is not None:
            query = query.where(BATCH.c.run == run)
        with self._database.reading() as connection:
            return [_entry(row, self.place) for row in connection.execute(query).mappings()]

    def open_keys(self) -> dict[str, str]:
        """Every key that an open batch may still answer, with the batch's id."""
        query = sa.select(ITEM.c.key, ITEM.c.batch).join(BATCH, BATCH.c.id == ITEM.c.batch)
        query = query.where(BATCH.c.state.in_(OPEN), ITEM.c.ending.is_(None) | ITEM.c.ending.in_(GIVEN_UP))
        with self._database.reading() as connection:
            return {key: batch for key, batch in connection.execute(query.order_by(BATCH.c.created))}  # noqa: C416  rows are not pairs to mypy

    def items(self, batch: str) -> list[BatchItem]:
        """A batch's items in order."""
        query = sa.select(*(ITEM.c[name] for name in _ITEM_FIELDS)).where(ITEM.c.batch == batch).order_by(ITEM.c.n)
        with self._database.reading() as connection:
            return [self._item(batch, row) for row in connection.execute(query)]

    def _item(self, batch: str, row: Sequence[Any]) -> BatchItem:
        for name, kinds, value in zip(_ITEM_FIELDS, _ITEM_KINDS, row, strict=True):
            if not isinstance(value, kinds):
                raise _damaged(self.place, batch, f"'{name}' of an item is {type(value).__name__}")
        return BatchItem(*row)

    def tally(self) -> dict[str, dict[str, int]]:
        """For each batch, how many of its items ended in which way."""
        columns = (ITEM.c.batch, ITEM.c.ending, sa.func.count())
        query = sa.select(*columns).where(ITEM.c.ending.is_not(None)).group_by(ITEM.c.batch, ITEM.c.ending)
        found: dict[str, dict[str, int]] = {}
        with self._database.reading() as connection:
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
        with self._database.writing() as connection:
            for part in parts((_bound(batch, each) for each in settled), _ROWS_A_STATEMENT):
                connection.execute(_SETTLE, part)
            if values:
                connection.execute(sa.update(BATCH).where(BATCH.c.id == batch).values(values))
        return self.entry(batch)

    # ---- who works on what

    def take(self, batch: str) -> bool:
        """Keep others off a batch; False where another process that lives is at work on it."""
        return self._claims.take(batch)

    def release(self, batch: str | None = None) -> None:
        """Let others at a batch, or at all that are taken here."""
        self._claims.leave(batch)


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


def _entry(row: Mapping[Any, Any], place: str) -> BatchRecord:
    """LedgerError, with what to type, where somebody has damaged the row."""
    plain = {name: row[name] for name in _ENTRY_FIELDS}
    for name, kinds in _ENTRY_KINDS.items():
        if not isinstance(plain[name], kinds):
            raise _damaged(place, row["id"], f"its '{name}' is {type(plain[name]).__name__}")
    if plain["state"] not in get_args(State):
        raise _damaged(place, row["id"], f"its state is '{plain['state']}'")
    try:
        plain["model"] = _model(json.loads(plain["model"]))
        plain["sent"] = _loaded(Sent, plain["sent"])
        plain["standing"] = _loaded(Standing, plain["standing"])
        plain["settings"] = _loaded(Batch, plain["settings"])
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        why = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise _damaged(place, row["id"], f"what it holds as JSON is none of its records ({why})") from error
    return BatchRecord(**plain)


def _damaged(place: str, batch: Any, why: str) -> LedgerError:
    """Says which batch, and how to leave it: what it holds is then bought anew."""
    name = batch if isinstance(batch, str) else repr(batch)
    quoted = name.replace("'", "''")
    close = f"UPDATE batch SET state = 'closed' WHERE id = '{quoted}'"  # noqa: S608  shown, and typed by its owner
    tool, _, file = place.partition(":///") if place.startswith("sqlite:") else ("psql", "", place)
    advice = shlex.join(["sqlite3" if tool == "sqlite" else tool, file, close])
    return LedgerError(
        f"{place}: the batch {name} is damaged: {why}; given up, what it holds is bought anew", advice=advice
    )


def _loaded(kind: Callable[..., R], text: str | None) -> R | None:
    if text is None:
        return None
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(text).items()}
    return _known(kind, values)


def _model(values: Mapping[str, Any]) -> Model:
    inner: dict[str, Callable[..., Any]] = {"capability": Capability, "limits": Limits, "retirement": Retirement}
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    records = {name: _known(kind, values[name]) for name, kind in inner.items() if name in values}
    prices = {"prices": prices_from(values["prices"])} if "prices" in values else {}
    return _known(Model, {**plain, **records, **prices})


def _known(kind: Callable[..., R], values: Mapping[str, Any]) -> R:
    """A record from its values; fields that another version of this program added are passed over."""
    names = {field.name for field in fields(cast("Any", kind))}
    return kind(**{name: value for name, value in values.items() if name in names})
