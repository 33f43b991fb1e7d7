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
import time
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Self

import sqlalchemy as sa

from runner.errors import LedgerError
from runner.ledger.at_once import AtOnce
from runner.ledger.batches import BatchStore
from runner.ledger.claims import Claims
from runner.ledger.database import BUSY_S, Database, connect, parts
from runner.ledger.group_commit import Writer
from runner.ledger.schema import ANSWER, CLAIM, VERSION, answered, prepare
from runner.records import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

_FIELDS = tuple(f.name for f in fields(Answer))
_VALUES = attrgetter(*_FIELDS)
_END_CLAIM = sa.delete(CLAIM).where(CLAIM.c.key == sa.bindparam("answered"))
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
        self._insert = database.insert(ANSWER).on_conflict_do_nothing()
        self._writer = Writer(self._store)
        self._at_once = AtOnce(database)
        self.claims = Claims(database, self._writer.catch_up)
        """Who is buying what."""
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

        Answers of one commit share a future, which cannot be cancelled. LedgerError where an earlier commit failed.
        Whoever puts many waits for their futures, or flushes, now and then: nothing else bounds how many wait.
        """
        self._database.check()
        return self._writer.put(answer)

    def store(self, answers: Sequence[Answer]) -> Future[None]:
        """Keep answers that came together; as `put`, but for the caller's thread, which may take a millisecond or two.

        An SQLite file that nobody else is writing to holds them on return, and the future is complete.
        """
        self._database.check()
        if self._writer.is_well and self._at_once.store(answers):
            self.last_stored_s = time.monotonic()
            return _STORED
        return self._writer.put(*answers)

    def flush(self) -> None:
        """Return when everything put so far is durable."""
        self._database.check()
        self._writer.flush()
        self._at_once.sync()

    def lookup(self, keys: Iterable[str]) -> set[str]:
        """Those of `keys` that have an answer."""
        with self._reading() as connection:
            return answered(connection, keys)

    def get(self, key: str) -> Answer | None:
        """The answer of one key."""
        return next(self.answers((key,)), None)

    def answers(self, keys: Sequence[str]) -> Iterator[Answer]:
        """The answers of `keys`, in their order; keys without an answer are left out.

        Holds a few hundred answers at a time, and no transaction while the caller works on them.
        """
        columns = [ANSWER.c[name] for name in _FIELDS]
        for part in parts(keys, _ANSWERS_A_READ):
            with self._reading() as connection:
                rows = {row[0]: row for row in connection.execute(sa.select(*columns).where(ANSWER.c.key.in_(part)))}
            yield from (Answer(*rows[key]) for key in part if key in rows)

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
        self._database.check()
        self._writer.catch_up()
        with self._database.reading() as connection:
            yield connection

    def _store(self, answers: list[Answer]) -> None:
        """Commit one group. In the order of the keys, so that two writers cannot deadlock on a server."""
        rows = [dict(zip(_FIELDS, _VALUES(put), strict=True)) for put in sorted(answers, key=attrgetter("key"))]
        with self._database.writing() as connection:
            connection.execute(self._insert, rows)
            connection.execute(_END_CLAIM, [{"answered": row["key"]} for row in rows])
        self.last_stored_s = time.monotonic()
