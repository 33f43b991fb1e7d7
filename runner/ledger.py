"""The ledger of paid answers: addressed by key, first write wins, shared by any number of processes.

SQLAlchemy Core on SQLite (one file, one machine) or on PostgreSQL by URL. Importing this module imports SQLAlchemy, so
only what starts a run or reads its answers may import it. A `put` returns at once; a writer thread commits in groups,
50 ms or 200 rows late; a disk that cannot keep up makes a `put` wait (MOST_WAITING). A read sees every `put` made
before it through the same Ledger.

SQLite runs in WAL with synchronous=FULL. In WAL both NORMAL and FULL survive `kill -9`, because what was committed is
with the operating system; only FULL survives a power cut, because NORMAL syncs at checkpoints alone. Answers are paid
for, and group commit makes the price of FULL small. Measured on ext4 and two quiet cores, answers of 2 kB, put and
flush, median of five rounds:

    synchronous    in groups            one answer a commit
    NORMAL         97,000 rows/s        4,000 rows/s
    FULL           95,000 rows/s        1,700 rows/s

Replies are stored as they came: zlib at its fastest leaves 56 % of them, but takes longer than storing them does.
"""

from __future__ import annotations

import atexit
import os
import sqlite3
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from itertools import chain, islice, repeat
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from runner.errors import LedgerError
from runner.records import Answer

T = TypeVar("T")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

    from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor

SCHEMA_VERSION = 1
GROUP_ROWS = 200
"""Answers that start a commit at once."""
MOST_WAITING = 1_000
"""Answers that may wait for a commit; whoever puts one more waits as well, so that a slow disk fills no memory."""
GROUP_S = 0.025
"""Seconds that the first answer of a group waits for company: half of the 50 ms, the rest is for the commit."""

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
"""The databases that a ledger may be kept in, each with its own spelling of `on conflict`."""
_SCHEMA_LOCK = 0x1ED6E7
"""PostgreSQL advisory lock held while tables are made: its CREATE TABLE IF NOT EXISTS fails when two race."""
_PAGE_BYTES = 16_384
"""SQLite's default of 4,096 holds one answer of 2 kB a page: twice the file, and less than half the speed."""
_KEYS_A_STATEMENT = 1_000
"""Below the bind parameters that SQLite (32,766) and PostgreSQL (65,535) take in one statement."""
_ANSWERS_A_READ = 500

_ELSEWHERE = "runner ledger.url=sqlite:///ANOTHER_FOLDER/ledger.db"
_CAUSES = (
    ("not a database", "is not a ledger: it is a file of another kind", _ELSEWHERE),
    ("malformed", "is damaged", _ELSEWHERE),
    ("locked", "is locked by another process", "run the same command again when that process has ended"),
    ("readonly", "cannot be written", _ELSEWHERE),
    ("Permission denied", "cannot be opened: its folder cannot be written", _ELSEWHERE),
    ("unable to open", "cannot be opened: its folder is missing or cannot be written", _ELSEWHERE),
    ("disk is full", "has no room: the disk is full", "run the same command again when there is room"),
    ("authentication failed", "refuses this user or password", "correct ledger.url and run the same command again"),
    ("connection", "cannot be reached", "run the same command again when the server answers"),
    ("No module named", "needs a driver that is not installed", "pip install 'psycopg[binary]'"),
)
"""Part of a driver's message, what it means for the ledger at `place`, what to type."""


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


def connect(url: str, busy_s: float = 30.0) -> tuple[sa.Engine, str]:
    """The ledger's database, and its URL without a password; for what keeps further tables in it.

    With the execution option `immediate` a transaction begins as a write. LedgerError where the place cannot be used.
    """
    try:
        address = sa.make_url(url)
        _check_address(address)
    except (ArgumentError, NoSuchModuleError) as error:
        # Without the URL itself: it may hold a password.
        raise LedgerError(f"ledger.url: {error}", advice=_ELSEWHERE) from error
    place = address.render_as_string(hide_password=True)
    with explained(place):
        return _engine(address, busy_s), place


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
        self._writer = _Writer(self._store)
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


@dataclass(slots=True)
class _Group:
    """Answers that are committed together."""

    due: float
    """On the monotonic clock."""
    answers: list[Answer] = field(default_factory=list)
    durable: Future[None] = field(default_factory=Future)

    def __post_init__(self) -> None:
        # One caller that cancels its wait must not cancel it for the others who share the future.
        self.durable.set_running_or_notify_cancel()


class _Writer:
    """Group commit: a thread that stores what `put` collects. The first failure ends it; later calls repeat it."""

    def __init__(self, store: Callable[[list[Answer]], None]) -> None:
        self._store = store
        self._changed = threading.Condition()
        self._group: _Group | None = None
        self._newest: Future[None] | None = None
        self._hurry = False
        self._closed = False
        self._error: LedgerError | None = None
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def put(self, answer: Answer) -> Future[None]:
        with self._changed:
            self._check()
            while self._group is not None and len(self._group.answers) >= MOST_WAITING:
                self._changed.wait()
                self._check()
            if (group := self._group) is None:
                self._group = group = _Group(time.monotonic() + GROUP_S)
                self._newest = group.durable
                self._changed.notify_all()
            group.answers.append(answer)
            if len(group.answers) == GROUP_ROWS:
                self._changed.notify_all()
            return group.durable

    def flush(self) -> None:
        with self._changed:
            self._check()
        self.catch_up()

    def catch_up(self) -> None:
        """Wait for what was put and is not yet durable; a failure that was already reported stays silent."""
        with self._changed:
            newest = self._newest
            if newest is None or newest.done():
                return
            self._hurry = self._group is not None
            self._changed.notify_all()
        newest.result()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        if self._closed:
            raise LedgerError("the ledger is closed")

    def _run(self) -> None:
        while (group := self._take()) is not None:
            try:
                self._store(group.answers)
            except LedgerError as error:
                self._fail(group, error)
                return
            group.durable.set_result(None)

    def _take(self) -> _Group | None:
        """The next group once it is full, due or asked for; None at the end."""
        with self._changed:
            while (group := self._group) is None and not self._closed:
                self._changed.wait()
            if group is None:
                return None
            while len(group.answers) < GROUP_ROWS and not (self._hurry or self._closed):
                if not self._changed.wait(group.due - time.monotonic()):
                    break
            self._group, self._hurry = None, False
            self._changed.notify_all()
            return group

    def _fail(self, group: _Group, error: LedgerError) -> None:
        with self._changed:
            self._error = error
            waiting, self._group = self._group, None
            self._changed.notify_all()
        for lost in filter(None, (group, waiting)):
            lost.durable.set_exception(error)


def _check_address(address: sa.URL) -> None:
    if address.get_backend_name() not in _INSERT:
        raise ArgumentError("a ledger is kept in sqlite:///FILE or postgresql://HOST/DATABASE")
    if address.get_backend_name() == "sqlite" and address.database in {None, "", ":memory:"}:
        raise ArgumentError("a ledger in memory would forget what was paid for; name a file: sqlite:///FILE")


def _engine(address: sa.URL, busy_s: float) -> sa.Engine:
    if address.get_backend_name() != "sqlite":
        return sa.create_engine(address, pool_pre_ping=True)
    if address.database is not None and not address.database.startswith("file:"):
        Path(address.database).parent.mkdir(parents=True, exist_ok=True)
    # No implicit transactions by the driver: a write must begin as one, or two that read first can end in "locked".
    engine = sa.create_engine(address, connect_args={"timeout": busy_s, "isolation_level": None})
    sa.event.listen(engine, "connect", partial(_set_up, busy_s))
    sa.event.listen(engine, "begin", _begin)
    return engine


def _set_up(busy_s: float, connection: DBAPIConnection, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA page_size={_PAGE_BYTES}")
    cursor.execute("PRAGMA synchronous=FULL")
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        _enter_wal(cursor, busy_s)
    cursor.close()


def _enter_wal(cursor: DBAPICursor, busy_s: float) -> None:
    """Turn a new ledger to WAL. Of several who do so at once SQLite refuses all but one, whatever its time-out."""
    give_up_s = time.monotonic() + busy_s
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_s:
                raise
            time.sleep(0.01)
        else:
            return


def _begin(connection: sa.Connection) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


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


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Any failure inside becomes a LedgerError that names the ledger and says what to do."""
    try:
        yield
    except LedgerError:
        raise
    except Exception as error:
        words = str(getattr(error, "orig", None) or error)
        for part, meaning, advice in _CAUSES:
            if part in words:
                raise LedgerError(f"{place} {meaning} ({words})", advice=advice) from error
        raise LedgerError(f"{place}: {words}", advice=_ELSEWHERE) from error
