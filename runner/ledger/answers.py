"""The ledger: paid answers addressed by key, first write wins, shared by any number of processes.

One database holds the answers, the claims of who is buying what (`claims`), and the batches that are out (`batches`).
Importing this module imports SQLAlchemy, so only what starts a run or reads its answers may import it. A `put` returns
at once; a writer thread commits whenever it is idle (group_commit). A read sees every `put` made before it through the
same Ledger.

Answers are paid for, and group commit makes the price of synchronous=FULL (database) small. Measured on ext4 and
two quiet cores, answers of 2 kB, put and flush, median of five rounds:

    synchronous    in groups            one answer a commit
    NORMAL         97,000 rows/s        4,000 rows/s
    FULL           95,000 rows/s        1,700 rows/s

Where nobody waits but the event loop, answers are stored in its own thread (at_once): waking two threads took longer.

Replies are stored as they came: zlib at its fastest leaves 56 % of them, but takes longer than storing them does.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa

from runner.config.database_urls import url_of
from runner.errors import LedgerError
from runner.ledger import redactions, rescue, stored
from runner.ledger.at_once import AtOnce
from runner.ledger.batches import BatchStore
from runner.ledger.claims import Claims
from runner.ledger.database import BUSY_S, Database, connect, parts
from runner.ledger.group_commit import Writer
from runner.ledger.schema import ANSWER, CLAIM, VERSION, answered, prepare
from runner.records import Answer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from runner.ledger.rescue import Rescue

_FIELDS = stored.FIELDS
_RAW = _FIELDS.index("raw")
_VALUES = attrgetter(*_FIELDS)
_IS_REDACTED = attrgetter("redacted")
_END_CLAIM = sa.delete(CLAIM).where(CLAIM.c.key == sa.bindparam("answered"))
_TRASH = "ledger_trash"
_TRASHED: sa.Select[Any] = sa.select(sa.column("key")).select_from(sa.table(_TRASH, sa.column("key")))
_ANSWERS_A_READ = 500
_CONNECTIONS = 3
"""At work at once in a purchase: the writer's, the claims', and the one that looks up."""
_STORED: Future[None] = Future()
"""Of what is durable already."""
_STORED.set_result(None)


def open_ledger(url: str, *, busy_s: float = BUSY_S) -> Ledger:
    """The ledger at an SQLAlchemy URL, made where there is none yet.

    `busy_s` is how long SQLite waits for another process's write. LedgerError where the place cannot be used.
    """
    database = connect(url, busy_s)
    try:
        prepare(database)
    except BaseException:
        database.engine.dispose()
        raise
    return Ledger(database)


class Ledger:
    """What was paid for. Made by `open_ledger`; safe to use from several threads, not across a fork."""

    def __init__(self, database: Database) -> None:
        self.place = database.place
        self.last_stored_s: float | None = None
        """When the last group became durable, on the monotonic clock."""
        self._database = database
        self._writer = Writer(self._store, self._keep_elsewhere)
        self._at_once = AtOnce(database)
        self._rescue: Rescue | None = None
        """Where answers are kept that the ledger does not take any more."""
        self._rescuing = threading.Lock()
        self.claims = Claims(database, self._writer.catch_up)
        """Who is buying what."""
        self.damaged: dict[str, str] = {}
        """Key -> what is wrong with its row, of those that were asked for and are no answers any more."""
        self._batches: BatchStore | None = None
        # Also where nobody closes it, and an error elsewhere ends the program: what was put is stored.
        atexit.register(self.close)

    @property
    def held_up(self) -> LedgerError | None:
        """Why answers that were put wait to be stored, where that may pass; None as long as all goes well."""
        return self._writer.held_up

    @property
    def batches(self) -> BatchStore:
        """The batches that are out, and how those ended that were."""
        if self._batches is None:
            self._batches = BatchStore(self._database, self.claims)
        return self._batches

    def get_ready(self) -> None:
        """Have at hand what storing an answer needs of the system: connections, and so files, and the thread."""
        with ExitStack() as stack:
            for _ in range(_CONNECTIONS):  # all at once, so that each is one of its own; they stay open in the pool
                stack.enter_context(self._database.reading()).execute(sa.select(VERSION.c.version))
        self._writer.start()
        self._at_once.get_ready()

    def put(self, answer: Answer) -> Future[None]:
        """Keep an answer. Returns at once; the future completes when it is durable, after one commit or two.

        Where the ledger takes it no more and it is kept beside it, the future has the LedgerError that says so.

        Answers of one commit share a future, which cannot be cancelled. LedgerError where an earlier commit failed.
        Whoever puts many waits for their futures, or flushes, now and then: nothing else bounds how many wait.
        """
        self._database.check_process()
        return self._writer.put(answer)

    def store(self, answers: Sequence[Answer]) -> Future[None]:
        """Keep answers that came together; as `put`, but for the caller's thread, which may take a millisecond or two.

        An SQLite file that nobody else is writing to holds them on return, and the future is complete.
        """
        self._database.check_process()
        is_plain = not any(map(_IS_REDACTED, answers))
        if is_plain and self._writer.is_well and self._database.is_in_place and self._at_once.store(answers):
            self.last_stored_s = time.monotonic()
            return _STORED
        return self._writer.put(*answers)

    def flush(self) -> None:
        """Return when everything put so far is durable."""
        self._database.check_process()
        self._writer.flush()
        self._at_once.sync()

    def lookup(self, keys: Iterable[str]) -> set[str]:
        """Those of `keys` that have an answer."""
        with self._reading() as connection:
            return answered(connection, keys)

    def is_empty(self) -> bool:
        """Whether it holds no answer, nor one that was forgotten."""
        with self._reading() as connection:
            if connection.execute(sa.select(ANSWER.c.key).limit(1)).first() is not None:
                return False
            return not _has_trash(connection) or connection.execute(_TRASHED.limit(1)).first() is None

    def has_forgotten(self, keys: Iterable[str]) -> bool:
        """Whether any of `keys` had an answer that was forgotten on purpose."""
        with self._reading() as connection:
            if not _has_trash(connection):
                return False
            those = (_TRASHED.where(_TRASHED.selected_columns.key.in_(part)).limit(1) for part in parts(keys))
            return any(connection.execute(query).first() is not None for query in those)

    def rescued(self, keys: Collection[str]) -> list[str]:
        """What ledgers beside this one hold of `keys`, a line each: answers that it could not take at the time."""
        return rescue.left_over(self._database, keys)

    def check_whole(self) -> None:
        """LedgerError where the file is damaged: what is there is read before anything is bought."""
        self._database.check_whole()

    def get(self, key: str) -> Answer | None:
        """The answer of one key."""
        return next(self.answers((key,)), None)

    def answers(self, keys: Sequence[str]) -> Iterator[Answer]:
        """The answers of `keys`, in their order; keys without an answer are left out.

        So are those whose row somebody has damaged: `damaged` has them. Holds a few hundred answers at a time, and no
        transaction while the caller works on them.
        """
        for part in parts(keys, _ANSWERS_A_READ):
            with self._reading() as connection:
                rows = stored.read(connection, part)
                redacted = redactions.marked(
                    connection, (row[_RAW] for row in rows.values() if type(row[_RAW]) is bytes)
                )
            for key in part:
                if key not in rows:
                    continue
                if (wrong := stored.damage(rows[key])) is None:
                    answer = Answer(*rows[key])
                    yield replace(answer, redacted=True) if answer.raw in redacted else answer
                else:
                    self.damaged[key] = wrong

    def close(self) -> None:
        """Store what was put, then let go of the database. LedgerError where something could not be stored."""
        if self._database.pid != os.getpid():
            return
        atexit.unregister(self.close)
        try:
            self._writer.close()
        finally:
            self._at_once.close()
            self._database.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.close()
        except LedgerError:
            if kind is None:
                raise

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        try:
            self._database.check()
        except LedgerError as error:
            # What this run has bought is in a file that nobody finds again.
            raise (self._keep_elsewhere([], error) if self.last_stored_s is not None else None) or error from error
        self._writer.catch_up()
        with self._database.reading() as connection:
            yield connection

    def _keep_elsewhere(self, answers: list[Answer], error: LedgerError) -> LedgerError | None:
        """Put answers into a ledger beside this one; the error that says where, None where that cannot be either."""
        with self._rescuing:
            if self._rescue is None:
                self._rescue = rescue.begin(self._database, error, lambda path: _add(path, answers))
            else:
                try:
                    _add(self._rescue.path, answers)
                except LedgerError:
                    return None
            return None if self._rescue is None else self._rescue.error

    def _store(self, answers: list[Answer]) -> None:
        """Commit one group."""
        _commit(self._database, answers)
        self.last_stored_s = time.monotonic()


def _commit(database: Database, answers: list[Answer]) -> None:
    """Store answers at once. In the order of the keys, so that two writers cannot deadlock on a server."""
    rows = [dict(zip(_FIELDS, _VALUES(put), strict=True)) for put in sorted(answers, key=attrgetter("key"))]
    redactions.make_room(database, answers)
    with database.writing() as connection:
        connection.execute(database.insert(ANSWER).on_conflict_do_nothing(), rows)
        connection.execute(_END_CLAIM, [{"answered": row["key"]} for row in rows])
        redactions.mark(database, connection, answers)


def _add(path: Path, answers: list[Answer]) -> None:
    """Put answers into the ledger in a file, which is made where there is none."""
    database = connect(url_of(path))
    try:
        prepare(database)
        if answers:
            _commit(database, answers)
    finally:
        database.engine.dispose()


def _has_trash(connection: sa.Connection) -> bool:
    return sa.inspect(connection).has_table(_TRASH)
