"""The ledger of paid answers: addressed by key, first write wins, shared by any number of processes.

Importing this module imports SQLAlchemy, so only what starts a run or reads its answers may import it. A `put` returns
at once; a writer thread commits in groups (group_commit). A read sees every `put` made before it through the
same Ledger.

Answers are paid for, and group commit makes the price of synchronous=FULL (database) small. Measured on ext4 and
two quiet cores, answers of 2 kB, put and flush, median of five rounds:

    synchronous    in groups            one answer a commit
    NORMAL         97,000 rows/s        4,000 rows/s
    FULL           95,000 rows/s        1,700 rows/s

Replies are stored as they came: zlib at its fastest leaves 56 % of them, but takes longer than storing them does.
"""

from __future__ import annotations

import atexit
import os
import time
from contextlib import contextmanager
from dataclasses import fields
from itertools import chain, islice, repeat
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from runner.errors import LedgerError
from runner.ledger.database import connect, explained
from runner.ledger.group_commit import GROUP_ROWS, Writer
from runner.records import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from types import TracebackType

T = TypeVar("T")

SCHEMA_VERSION = 1

TABLES = sa.MetaData()
_VERSION = sa.Table("ledger_version", TABLES, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False))
_ANSWER = sa.Table(
    "ledger_answer",
    TABLES,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("route", sa.String, nullable=False),
    sa.Column("model_id", sa.String, nullable=False),
    sa.Column("endpoint", sa.String, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("latency_s", sa.Double, nullable=False),
    sa.Column("time", sa.String, nullable=False),
)
_CLAIM = sa.Table(
    "ledger_claim",
    TABLES,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("owner", sa.String, nullable=False, index=True),
    sa.Column("until", sa.Double, nullable=False),
)
_FIELDS = tuple(f.name for f in fields(Answer))
_VALUES = attrgetter(*_FIELDS)

_INSERT: dict[str, Callable[[sa.Table], sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}
"""Each database's own spelling of `on conflict`."""
_SCHEMA_LOCK = 0x1ED6E7
"""PostgreSQL advisory lock held while tables are made: its CREATE TABLE IF NOT EXISTS fails when two race."""
_KEYS_A_STATEMENT = 1_000
"""Below the bind parameters that SQLite (32,766) and PostgreSQL (65,535) take in one statement."""
_ANSWERS_A_READ = 500


def open_ledger(url: str, *, busy_s: float = 30.0) -> Ledger:
    """The ledger at an SQLAlchemy URL, made where there is none yet.

    `busy_s` is how long SQLite waits for another process's write. LedgerError where the place cannot be used.
    """
    engine, place = connect(url, busy_s)
    with explained(place):
        try:
            _prepare(engine, place)
        except BaseException:
            engine.dispose()
            raise
    return Ledger(engine, place)


class Ledger:
    """Paid answers by key. Made by `open_ledger`; safe to use from several threads, not across a fork."""

    def __init__(self, engine: sa.Engine, place: str) -> None:
        self.place = place
        self.duplicates = 0
        """Puts of this Ledger whose key was already there; the answer that was there is kept."""
        self.last_stored_s: float | None = None
        """When the last group became durable, on the monotonic clock."""
        self._pid = os.getpid()
        self._reads = engine
        self._writes = engine.execution_options(immediate=True)
        self._insert = _INSERT[engine.dialect.name]
        self._writer = Writer(self._store)
        # The writer is a daemon thread, so that a crash elsewhere ends the process; a normal end still stores all.
        atexit.register(self.close)

    def put(self, answer: Answer) -> Future[None]:
        """Keep an answer. Returns at once, but for MOST_WAITING; the future completes when it is durable.

        Answers of one group share a future, which cannot be cancelled. LedgerError where an earlier group failed.
        """
        self._check()
        return self._writer.put(answer)

    def flush(self) -> None:
        """Return when everything put so far is durable."""
        self._check()
        self._writer.flush()

    def lookup(self, keys: Iterable[str]) -> set[str]:
        """Those of `keys` that have an answer."""
        found: set[str] = set()
        with self._reading() as connection:
            for part in _parts(keys, _KEYS_A_STATEMENT):
                found |= _answered(connection, part)
        return found

    def get(self, key: str) -> Answer | None:
        """The answer of one key."""
        return next(self.answers((key,)), None)

    def answers(self, keys: Sequence[str]) -> Iterator[Answer]:
        """The answers of `keys`, in their order; keys without an answer are left out.

        Holds a few hundred answers at a time, and no transaction while the caller works on them.
        """
        for part in _parts(keys, _ANSWERS_A_READ):
            with self._reading() as connection:
                rows = {row[0]: row for row in _by_key(connection, _ANSWER, _FIELDS, part)}
            yield from (Answer(*rows[key]) for key in part if key in rows)

    def claim(self, keys: Iterable[str], owner: str, lease_s: float) -> set[str]:
        """Those of `keys` that `owner` may buy for `lease_s` seconds: no answer yet, and no other owner's live claim.

        Each key is granted to one owner at a time, whatever the number of processes. The owner's own claims are
        granted again. A claim ends with the answer, `release`, or its lease.
        """
        granted: set[str] = set()
        # Sorted, so that two owners who want the same keys lock them in one order and cannot deadlock on a server.
        for part in _parts(sorted(set(keys)), _KEYS_A_STATEMENT):
            answered = self.lookup(part)
            if lacking := [key for key in part if key not in answered]:
                with self._writing() as connection:
                    mine = self._claim(connection, lacking, owner, lease_s)
                granted.update(key for key in lacking if key in mine)
        return granted

    def renew(self, owner: str, lease_s: float) -> None:
        """Let all claims of `owner` last `lease_s` seconds from now."""
        with self._writing() as connection:
            _hold(connection, owner)
            until = _now(connection) + lease_s
            connection.execute(sa.update(_CLAIM).where(_CLAIM.c.owner == owner).values(until=until))

    def owners(self) -> set[str]:
        """Everyone who holds a claim, live or past its lease."""
        with self._reading() as connection:
            return set(connection.scalars(sa.select(_CLAIM.c.owner).distinct()))

    def release(self, owner: str, keys: Iterable[str] | None = None) -> None:
        """Give up the claims of `owner` on `keys`, or all of them."""
        with self._writing() as connection:
            _hold(connection, owner)
            mine = sa.delete(_CLAIM).where(_CLAIM.c.owner == owner)
            if keys is None:
                connection.execute(mine)
                return
            for part in _parts(keys, _KEYS_A_STATEMENT):
                connection.execute(mine.where(_CLAIM.c.key.in_(part)))

    def close(self) -> None:
        """Store what was put, then let go of the database. LedgerError where something could not be stored."""
        if self._pid != os.getpid():
            return
        atexit.unregister(self.close)
        try:
            self._writer.close()
        finally:
            self._reads.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.close()
        except LedgerError:
            if kind is None:
                raise

    def _check(self) -> None:
        if self._pid != os.getpid():
            raise LedgerError(f"{self.place} was opened before this process was forked: open it again in the child")

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        self._check()
        self._writer.catch_up()
        with explained(self.place), self._reads.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        self._check()
        self._writer.catch_up()
        with explained(self.place), self._writes.begin() as connection:
            yield connection

    def _store(self, answers: list[Answer]) -> None:
        """Commit one group. In the order of the keys, so that two writers cannot deadlock on a server."""
        with explained(self.place), self._writes.begin() as connection:
            rows = [_VALUES(put) for put in sorted(answers, key=attrgetter("key"))]
            self.duplicates += len(rows) - self._insert_all(connection, rows)
            for part in _parts((row[0] for row in rows), _KEYS_A_STATEMENT):
                connection.execute(sa.delete(_CLAIM).where(_CLAIM.c.key.in_(_padded(part))))
        self.last_stored_s = time.monotonic()

    def _insert_all(self, connection: sa.Connection, rows: list[tuple[Any, ...]]) -> int:
        """Store rows whose key is new; how many those were."""
        if connection.dialect.name == "sqlite":
            # Straight to the driver, many rows a statement: SQLAlchemy's handling of each parameter would take as long
            # as SQLite itself, and each statement hands the interpreter to the dispatching thread and waits for it.
            return sum(_insert_part(connection, part) for part in _powers(rows))
        insert = self._insert(_ANSWER).on_conflict_do_nothing()
        # Counted by what comes back: a server's driver gives no row count for many rows.
        named = [dict(zip(_FIELDS, row, strict=True)) for row in rows]
        return len(connection.execute(insert.returning(_ANSWER.c.key), named).all())

    def _claim(self, connection: sa.Connection, keys: Sequence[str], owner: str, lease_s: float) -> set[str]:
        now = _now(connection)
        claim = self._insert(_CLAIM)
        claim = claim.on_conflict_do_update(
            index_elements=["key"],
            set_={"owner": claim.excluded.owner, "until": claim.excluded.until},
            where=sa.or_(_CLAIM.c.owner == claim.excluded.owner, _CLAIM.c.until <= now),
        )
        if connection.dialect.name == "sqlite":
            rows = [(key, owner, now + lease_s, now) for key in keys]
            connection.exec_driver_sql(str(claim.compile(self._writes)), rows)
        else:
            connection.execute(claim, [{"key": key, "owner": owner, "until": now + lease_s} for key in keys])
        granted = {key for key, its in _by_key(connection, _CLAIM, ("key", "owner"), keys) if its == owner}
        # Only now: on a server another owner's answer may have arrived, and ended its claim, since `lookup`.
        if answered := _answered(connection, keys):
            connection.execute(sa.delete(_CLAIM).where(_CLAIM.c.owner == owner, _CLAIM.c.key.in_(answered)))
        return granted - answered


def _prepare(engine: sa.Engine, place: str) -> None:
    """Make the tables where there are none; refuse those of a newer version of this program."""
    with engine.connect() as connection:
        is_new = not sa.inspect(connection).has_table(_VERSION.name)
    if is_new:
        _make_tables(engine)
    with engine.connect() as connection:
        version = connection.scalar(sa.select(_VERSION.c.version))
    if version != SCHEMA_VERSION:
        raise LedgerError(
            f"{place} was written by another version of this program (schema {version}; this one has {SCHEMA_VERSION})",
            advice="pip install --upgrade persona-runner",
        )


def _make_tables(engine: sa.Engine) -> None:
    with engine.execution_options(immediate=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
        if sa.inspect(connection).has_table(_VERSION.name):
            return
        TABLES.create_all(connection)
        connection.execute(_VERSION.insert().values(version=SCHEMA_VERSION))


def _parts(keys: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(keys)
    while part := list(islice(rest, size)):
        yield part


def _powers(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Rows in a few parts, each of GROUP_ROWS or of a power of two.

    SQLite's driver keeps the last 128 statements that it compiled, and one with the parameters of 200 rows takes more
    than 100 kB. Groups of every size would be statements of their own, and those 16 MB.
    """
    start = 0
    while left := len(rows) - start:
        size = GROUP_ROWS if left >= GROUP_ROWS else 1 << (left.bit_length() - 1)
        yield rows[start : start + size]
        start += size


def _padded(keys: Sequence[str]) -> Sequence[str]:
    """One key or more for an `in`, up to a power of two by repeating the last; why is said in `_powers`."""
    return [*keys, *repeat(keys[-1], (1 << (len(keys) - 1).bit_length()) - len(keys))]


def _answered(connection: sa.Connection, keys: Sequence[str]) -> set[str]:
    return {key for (key,) in _by_key(connection, _ANSWER, ("key",), keys)}


def _insert_part(connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> int:
    """Store rows whose key is new by one statement of SQLite's; how many those were."""
    row = f"({','.join('?' * len(_FIELDS))})"
    places = ",".join([row] * len(rows))
    insert = f"INSERT INTO {_ANSWER.name} ({','.join(_FIELDS)}) VALUES {places} ON CONFLICT DO NOTHING"  # noqa: S608  names of ours
    return connection.exec_driver_sql(insert, tuple(chain.from_iterable(rows))).rowcount


def _by_key(
    connection: sa.Connection, table: sa.Table, columns: Sequence[str], keys: Sequence[str]
) -> Sequence[Sequence[Any]]:
    """Columns of the rows of `keys`, in any order; by SQLite's driver directly, as in Ledger._insert_all."""
    if connection.dialect.name == "sqlite":
        keys = _padded(keys)
        places = ",".join("?" * len(keys))
        query = f"SELECT {','.join(columns)} FROM {table.name} WHERE key IN ({places})"  # noqa: S608  names of ours
        return connection.exec_driver_sql(query, tuple(keys)).cursor.fetchall()
    wanted = sa.select(*(table.c[name] for name in columns)).where(table.c.key.in_(keys))
    return connection.execute(wanted).all()


def _hold(connection: sa.Connection, owner: str) -> None:
    """Lock the owner's claims in the order of their keys, as `claim` does (a server; SQLite has one writer anyway)."""
    connection.execute(sa.select(_CLAIM.c.key).where(_CLAIM.c.owner == owner).order_by(_CLAIM.c.key).with_for_update())


def _now(connection: sa.Connection) -> float:
    """Seconds since 1970 by the clock that all who share the ledger have in common."""
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.execute(sa.select(sa.extract("epoch", sa.func.clock_timestamp()))).scalar_one())
