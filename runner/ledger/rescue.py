"""Where answers go that were paid for while the ledger stopped taking any: a new ledger beside it.

A ledger's file may be deleted, moved, replaced or cut under a run. SQLite writes on into a file that has no name any
more, and what is stored there is lost at the end; so its place is looked at before each commit. It may also be locked,
or its server away, for longer than anybody waits; or its disk may be full, and the system's folder for passing files
not.
"""

from __future__ import annotations

import glob
import os
import shlex
import sqlite3
import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import LedgerError, pasted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from runner.ledger.database import Database

OF_A_SERVER = Path("outputs/ledger.db")
"""Beside what the answers are kept that a server does not take."""
ANSWERS = "ledger_answer"
_SMALLEST = 512
"""Bytes of the smallest file that SQLite writes to."""


@dataclass(slots=True)
class LedgerFile:
    """The file of an SQLite ledger, told from another that somebody puts in its place."""

    path: Path
    _seat: tuple[int, int] | None = None
    _had_bytes: int = field(default=0)

    @property
    def loss(self) -> str | None:
        """What has become of it since it was first looked at; None where it is in its place."""
        try:
            now = os.stat(self.path)  # noqa: PTH116  before each commit: Path takes twice as long
        except OSError:
            return None if self._seat is None else "is gone: somebody deleted or moved it while it was in use"
        if self._seat not in {None, (now.st_dev, now.st_ino)}:
            return "is another file: somebody replaced it while it was in use"
        if now.st_size < self._had_bytes and (now.st_size < _SMALLEST or self.is_cut):  # it shrinks by VACUUM too
            return "was cut by somebody while it was in use"
        self._seat, self._had_bytes = (now.st_dev, now.st_ino), now.st_size
        return None

    @property
    def is_cut(self) -> bool:
        """Whether it has fewer pages than its head counts, where that is known."""
        with self.path.open("rb") as file:
            head = file.read(100)
            size = file.seek(0, os.SEEK_END)
        if len(head) < 100 or head[24:28] != head[92:96]:  # the count is of an older version of SQLite's
            return False
        page = int.from_bytes(head[16:18], "big")
        return size < int.from_bytes(head[28:32], "big") * (65_536 if page == 1 else page)

    @property
    def has_log(self) -> bool:
        """Whether pages of it may stand in SQLite's write-ahead log alone."""
        try:
            return os.stat(f"{self.path}-wal").st_size > 0  # noqa: PTH116  as above
        except OSError:
            return False

    @property
    def is_elsewhere(self) -> bool:
        """Whether what was opened has lost its name, and is whole for whoever has it open."""
        try:
            now = self.path.stat()
        except OSError:
            return self._seat is not None
        return self._seat not in {None, (now.st_dev, now.st_ino)}


@dataclass(frozen=True, slots=True)
class Rescue:
    """A ledger beside one that takes no more."""

    path: Path
    error: LedgerError
    """Why, where the answers are, and what to type to have them in the ledger again."""


def begin(database: Database, why: LedgerError, store: Callable[[Path], None]) -> Rescue | None:
    """Make a new ledger for what one does not take any more; None where no place has room for it.

    `store` puts the answers in hand into the new file. With them goes all that can be copied of the ledger: what a
    connection still holds open of a file that has lost its name.
    """
    for path in _places(database):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            is_whole = _copy_of_open_file(database, path)
            store(path)
        except (OSError, LedgerError, sqlite3.Error):  # as where the disk is full
            for left in ("", "-wal", "-shm", "-journal"):
                with suppress(OSError):
                    Path(f"{path}{left}").unlink(missing_ok=True)
            with suppress(OSError):
                path.parent.rmdir()
            continue
        whole = "all that it held, and " if is_whole else ""
        error = LedgerError(f"{why}; {whole}what arrived since is in {path}", advice=_advice(database, why, path))
        error.is_kept = True
        return Rescue(path, error)
    return None


def left_over(database: Database, keys: Collection[str]) -> list[str]:
    """Of ledgers that were begun beside this one, how many of these answers each holds, and how to take them in."""
    beside, said = _beside(database), []
    for path in sorted(beside.parent.glob(f"{glob.escape(beside.stem)}.rescued-*{glob.escape(beside.suffix)}")):
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as found,
        ):
            held = sum(key in keys for (key,) in found.execute(f"SELECT key FROM {ANSWERS}"))  # noqa: S608  our own
            if held:
                take_in = f"runner ledger merge {shlex.quote(str(path))} --ledger {shlex.quote(database.place)}"
                said.append(f"{path} holds {held} of the answers that are about to be bought: {take_in}")
    return said


def _beside(database: Database) -> Path:
    return OF_A_SERVER if database.file is None else database.file.path


def _places(database: Database) -> Iterator[Path]:
    """Files to begin a ledger in: beside the one there is, and where the system keeps what is passing."""
    beside = _beside(database)
    name = f"{beside.stem}.rescued-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}{beside.suffix}"
    yield beside.with_name(name)
    with suppress(OSError):
        yield Path(tempfile.mkdtemp(prefix="persona-runner-")) / name


def _advice(database: Database, error: LedgerError, path: Path) -> str:
    rescued = pasted(path)
    if database.file is not None and not database.file.path.exists():
        place = pasted(database.file.path)
        return f"rm -f {place}-wal {place}-shm; mv {rescued} {place}"
    if error.advice is not None and error.advice.startswith("sqlite3 "):
        return error.advice
    return f"runner ledger merge {rescued} --ledger {shlex.quote(database.place)}"


def _copy_of_open_file(database: Database, path: Path) -> bool:
    """Whether a file that has lost its name was copied, by a connection from before: a new one would open another."""
    if database.file is None or not database.file.is_elsewhere or not getattr(database.engine.pool, "checkedin", int)():
        return False
    raw = database.engine.raw_connection()
    target = sqlite3.connect(path)
    try:
        if isinstance(raw.driver_connection, sqlite3.Connection):
            raw.driver_connection.backup(target)
            return True
    finally:
        target.close()
        raw.close()
    return False
