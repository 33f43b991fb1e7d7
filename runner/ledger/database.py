"""The one database of a ledger: opened, set up, read and written, and its failures said clearly.

SQLAlchemy on SQLite (one file, one machine) or on PostgreSQL by URL. SQLite runs in WAL with synchronous=FULL. In WAL
both NORMAL and FULL survive `kill -9`, because what was committed is with the operating system; only FULL survives a
power cut, because NORMAL syncs at checkpoints alone.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from runner.config.database_urls import file_of, url_of
from runner.errors import LedgerError, pasted
from runner.ledger.rescue import LedgerFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor

T = TypeVar("T")

BACKENDS = ("sqlite", "postgresql")
"""The databases that a ledger may be kept in."""
ELSEWHERE = "runner ledger.url=sqlite:///ANOTHER_FOLDER/ledger.db"
"""What to type where the ledger's place cannot be used."""
BUSY_S = 30.0
"""Seconds that another process's write is waited for."""
_CHECKED_BYTES = 2**28
"""Most bytes of a file that is read through before anything is bought: half a second's."""
_PAGE_BYTES = 16_384
"""SQLite's default of 4,096 holds one answer of 2 kB a page: twice the file, and less than half the speed."""
_CAUSES: tuple[tuple[str, str, str, float], ...] = (
    ("not a database", "is not a ledger: it is a file of another kind, or its head is overwritten", ELSEWHERE, 0),
    ("malformed", "is damaged", ELSEWHERE, 0),
    ("locked", "is locked by another process", "run the same command again when that process has ended", 4),
    ("readonly", "cannot be written", ELSEWHERE, 0),
    ("Permission denied", "cannot be opened: its folder cannot be written", ELSEWHERE, 0),
    ("unable to open", "cannot be opened: its folder is missing or cannot be written", ELSEWHERE, 0),
    ("disk is full", "has no room: the disk is full", "run the same command again when there is room", 0),
    ("disk I/O error", "cannot be written: the disk is full, a file may be no larger, or the disk fails", ELSEWHERE, 0),
    ("authentication failed", "refuses this user or password", "correct ledger.url and run the same command again", 0),
    ("connection", "cannot be reached", "run the same command again when the server answers", 0.5),
    ("No module named", "needs a driver that is not installed", "pip install 'psycopg[binary]'", 0),
)
"""Part of a driver's message, what it means for the ledger at `place`, what to type, and for how many times `busy_s`
answers in hand are held for it to pass."""


_INSERT: dict[str, Callable[[sa.Table], sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}
"""Each database's own spelling of `on conflict`."""
KEYS_A_STATEMENT = 1_000
"""Below the bind parameters that SQLite (32,766) and PostgreSQL (65,535) take in one statement."""


@dataclass(frozen=True, slots=True)
class Database:
    """An engine with what all who use a ledger need of it. Usable from several threads, not across a fork."""

    engine: sa.Engine
    place: str
    """Its URL without a password."""
    busy_s: float = BUSY_S
    """How many seconds another process's write is waited for."""
    file: LedgerFile | None = None
    """SQLite's; None of a server."""
    pid: int = field(default_factory=os.getpid)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction for reading; whatever fails inside is a LedgerError."""
        self.check()
        with explained(self.place, self.busy_s), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that begins as a write, and is committed at the end; failures as in `reading`."""
        self.check()
        with (
            explained(self.place, self.busy_s),
            self.engine.connect() as one,
            one.execution_options(immediate=True).begin(),
        ):
            yield one

    def check_whole(self) -> None:
        """LedgerError where SQLite finds its file damaged. Of a large file the size alone is looked at.

        A file whose log was not copied into it may be shorter than its head says, as a disk that was full leaves it.
        """
        if self.file is None:
            return
        wrong = "it is cut" if self.file.is_cut and not self.file.has_log else None
        if wrong is None and self.file.path.stat().st_size <= _CHECKED_BYTES:
            with self.reading() as connection:
                found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
            wrong = None if found == "ok" else " ".join(str(found).split())
        if wrong is not None:
            raise LedgerError(f"{self.place} is damaged ({wrong})", advice=recover(self.file.path))

    def insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        """An insert that takes `on conflict`."""
        return _INSERT[self.engine.dialect.name](table)

    def check(self) -> None:
        """LedgerError in a forked child, and where the file is not in its place any more."""
        self.check_process()
        if self.file is not None and (loss := self.file.loss) is not None:
            raise LedgerError(f"{self.place} {loss}", advice=f"ls -la {pasted(self.file.path.parent)}")

    @property
    def is_in_place(self) -> bool:
        """Whether its file, where it has one, is the one that was opened."""
        return self.file is None or self.file.loss is None

    def check_process(self) -> None:
        """LedgerError in a forked child."""
        if self.pid != os.getpid():
            raise LedgerError(f"{self.place} was opened before this process was forked: open it again in the child")


def connect(url: str, busy_s: float = BUSY_S) -> Database:
    """The database at an SQLAlchemy URL. `busy_s`: how many seconds SQLite waits for another process's write.

    LedgerError where the place cannot be used.
    """
    try:
        address = sa.make_url(url)
        _check_address(address)
    except (ArgumentError, NoSuchModuleError) as error:
        # Without the URL itself: it may hold a password.
        raise LedgerError(f"ledger.url: {error}", advice=ELSEWHERE) from error
    file = file_of(url)
    place = address.render_as_string(hide_password=True) if file is None else url_of(file)
    with explained(place, busy_s):
        return Database(_engine(address, busy_s), place, busy_s, None if file is None else LedgerFile(file))


def now(connection: sa.Connection) -> float:
    """Seconds since 1970 by the clock that all who share the ledger have in common."""
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.execute(sa.select(sa.extract("epoch", sa.func.clock_timestamp()))).scalar_one())


def parts(values: Iterable[T], size: int = KEYS_A_STATEMENT) -> Iterator[list[T]]:
    """Values in lists of `size` or, the last one, fewer."""
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part


def recover(file: Path) -> str:
    """What to type to save what is left of a damaged ledger, beside it."""
    return f"sqlite3 {pasted(file)} .recover | sqlite3 {shlex.quote(f'{file}.recovered')}"


def _check_address(address: sa.URL) -> None:
    if address.get_backend_name() not in BACKENDS:
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
    connection.text_factory = _text
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA page_size={_PAGE_BYTES}")
    cursor.execute("PRAGMA synchronous=FULL")
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        _enter_wal(cursor, busy_s)
    cursor.close()


def _text(stored: bytes) -> str | bytes:
    """A text as SQLite has it. Bytes that are none stay bytes: refused here, they would take other rows along."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored


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


@contextmanager
def explained(place: str, busy_s: float) -> Iterator[None]:
    """Any failure inside becomes a LedgerError that names the ledger and says what to do."""
    try:
        yield
    except LedgerError:
        raise
    except Exception as error:
        words = str(getattr(error, "orig", None) or error)
        for part, meaning, advice, patience in _CAUSES:
            if part in words:
                message = f"{place} {meaning} ({words})"
                mend = recover(file_of(place) or Path(place)) if part == "malformed" else advice
                raise LedgerError(message, advice=mend, patience_s=patience * busy_s) from error
        raise LedgerError(f"{place}: {words}", advice=ELSEWHERE) from error
