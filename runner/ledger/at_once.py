"""Storing in the caller's own thread: for an SQLite file, where a commit takes less time than handing it to a thread.

What is committed is with the operating system: `kill -9` costs none of it. A thread has the disk take it right behind,
so that a power cut costs no more than what came in while the disk was at work, as long as a commit took before.
Whatever does not go well here is no error: it is left to the writer (group_commit), which waits, and explains.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

import sqlalchemy as sa

from runner.ledger.database import parts
from runner.ledger.schema import ANSWER, CLAIM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.ledger.database import Database
    from runner.records import Answer

_ROWS_A_STATEMENT = 200
"""Each statement lets another thread have the interpreter, so few long ones; and each length is prepared once."""
_COLUMNS = tuple(column.name for column in ANSWER.columns)
_VALUES = attrgetter(*_COLUMNS)
_to_disk = getattr(os, "fdatasync", os.fsync)


class AtOnce:
    """A connection that waits for nobody. For one thread at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None
        self._disk: _Disk | None = None

    def get_ready(self) -> bool:
        """Have the connection and the thread. False where this ledger is of another kind, or cannot be opened now."""
        if self._connection is None and self._database.engine.dialect.name == "sqlite":
            self._connection, self._disk = self._opened()
        return self._disk is not None and self._disk.is_well

    def store(self, answers: Sequence[Answer]) -> bool:
        """Commit answers, and end the claims of their keys. False where nothing was stored: the writer is to do it."""
        if not self.get_ready() or self._connection is None or self._disk is None:
            return False
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error:
            return False
        try:
            for part in parts(sorted(answers, key=attrgetter("key")), _ROWS_A_STATEMENT):
                self._connection.execute(_insert(len(part)), tuple(chain.from_iterable(map(_VALUES, part))))
                self._connection.execute(_end_claims(len(part)), tuple(one.key for one in part))
            self._connection.execute("COMMIT")
        except (sqlite3.Error, UnicodeError, OverflowError):
            return False
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        self._disk.follow()
        return True

    def sync(self) -> None:
        """Return when the disk has what was stored."""
        if self._disk is not None:
            self._disk.sync()

    def close(self) -> None:
        """Let go of the database, when the disk has what was stored."""
        if self._disk is not None:
            self._disk.close()
        if self._connection is not None:
            self._connection.close()
        self._disk = self._connection = None

    def _opened(self) -> tuple[sqlite3.Connection | None, _Disk | None]:
        """A connection beside the pool's, and who follows it; no follower where the ledger keeps no WAL."""
        try:
            pooled = self._database.engine.raw_connection()
            connection = pooled.driver_connection
            pooled.detach()
            assert isinstance(connection, sqlite3.Connection)  # noqa: S101  its dialect says so
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA busy_timeout=0")
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                return connection, None
            place = connection.execute("PRAGMA database_list").fetchone()[2]
            return connection, _Disk(f"{place}-wal")
        except (sqlite3.Error, sa.exc.SQLAlchemyError, OSError):
            return None, None


class _Disk:
    """A thread that has the disk take what was written to a file, as soon as it has taken what came before."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT)
        self._written = threading.Event()
        self._closed = False
        self.is_well = True
        """Whether it has taken everything so far."""
        self._thread = threading.Thread(target=self._run, name="ledger's disk", daemon=True)
        self._thread.start()

    def follow(self) -> None:
        """Something was written."""
        self._written.set()

    def sync(self) -> None:
        """Return when the disk has what was written."""
        try:
            _to_disk(self._file)
        except OSError:
            self.is_well = False

    def close(self) -> None:
        """The same, and let go of the file."""
        self._closed = True
        self._written.set()
        self._thread.join()
        os.close(self._file)

    def _run(self) -> None:
        while not self._closed:
            self._written.wait()
            self._written.clear()
            self.sync()


@cache
def _insert(rows: int) -> str:
    row = f"({', '.join('?' * len(_COLUMNS))})"
    columns, values = ", ".join(_COLUMNS), ", ".join([row] * rows)
    return f"INSERT INTO {ANSWER.name} ({columns}) VALUES {values} ON CONFLICT DO NOTHING"  # noqa: S608  our own names


@cache
def _end_claims(rows: int) -> str:
    return f"DELETE FROM {CLAIM.name} WHERE {CLAIM.c.key.name} IN ({', '.join('?' * rows)})"  # noqa: S608  as above
