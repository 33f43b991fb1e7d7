"""What a person does with a ledger as a whole: look at it, forget and bring back, take over another, make it smaller.

A run uses runner.ledger.answers. Nothing here buys or sends anything, and nothing makes a ledger where there is none.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from runner.errors import LedgerError
from runner.ledger import redactions
from runner.ledger.batch_records import OPEN
from runner.ledger.database import connect, explained
from runner.ledger.schema import ANSWER, BATCH, CLAIM, TRASH, has_trash, prepare
from runner.ledger.upkeep import transfer, trash
from runner.ledger.upkeep.entries import PLACE, raws, read
from runner.ledger.upkeep.selection import Selection, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runner.ledger.database import Database
    from runner.ledger.upkeep.entries import StoredEntry, Where
    from runner.ledger.upkeep.kinds import Judge

SQLITE = "sqlite:///"
EVERYTHING = Selection()


@dataclass(slots=True)
class OfModel:
    """What is kept of one model."""

    answers: int = 0
    n_bytes: int = 0
    """Of the replies."""
    first: str = ""
    last: str = ""
    """When the earliest and the latest was received: UTC, ISO 8601."""


@dataclass(slots=True)
class Sizes:
    """How much a ledger holds."""

    place: str
    answers: int = 0
    n_bytes: int = 0
    damaged: int = 0
    """Rows that cannot be read as answers; they count among the answers."""
    trashed: int = 0
    trashed_bytes: int = 0
    batches: int = 0
    open_batches: int = 0
    claims: int = 0
    on_disk_bytes: int | None = None
    """Of the file with its log, or of the tables on a server."""
    models: dict[tuple[str, str], OfModel] = field(default_factory=dict)
    """Endpoint and id -> what is kept of it."""


@dataclass(frozen=True, slots=True)
class Selected:
    """What a selection comes to, before anything is done with it."""

    count: int = 0
    held: int = 0
    """Those of them that are in flight, and stay."""
    n_bytes: int = 0
    paid_usd: float = 0.0
    """As far as prices are known."""
    unpriced: int = 0
    """Answers whose price nobody knows; damaged ones and no replies among them."""
    models: tuple[tuple[str, int], ...] = ()
    """Id and how many, the most first."""


@contextmanager
def opened(url: str) -> Iterator[Contents]:
    """The contents of a ledger that is there; LedgerError where there is none, or it cannot be used."""
    path = Path(url.removeprefix(SQLITE))
    if url.startswith(SQLITE) and not path.exists():
        raise LedgerError(f"there is no ledger at {url}", advice="runner ledger --ledger sqlite:///FOLDER/ledger.db")
    database = connect(url)
    try:
        _check(database)
        prepare(database)
        yield Contents(database)
    finally:
        database.engine.dispose()


def _check(database: Database) -> None:
    """LedgerError where a database is none of ours, and tables of ours would be a surprise in it."""
    with database.reading() as connection:
        if not sa.inspect(connection).has_table(ANSWER.name):
            raise LedgerError(f"{database.place} is no ledger: it holds no answers")


@dataclass(frozen=True, slots=True)
class Contents:
    """A ledger to look at and to put in order."""

    database: Database

    def sizes(self) -> Sizes:
        """Counts and bytes, in all and for each model."""
        found = Sizes(self.database.place)
        for entry in read(self.database):
            found.answers += 1
            found.n_bytes += entry.n_bytes
            found.damaged += entry.damage is not None
            of = found.models.setdefault((entry.endpoint, entry.model_id), OfModel())
            of.answers += 1
            of.n_bytes += entry.n_bytes
            of.first = min(of.first or entry.time, entry.time)
            of.last = max(of.last, entry.time)
        with self.database.reading() as connection:
            found.batches = connection.scalar(sa.select(sa.func.count()).select_from(BATCH)) or 0
            of_open = sa.select(sa.func.count()).select_from(BATCH).where(BATCH.c.state.in_(OPEN))
            found.open_batches = connection.scalar(of_open) or 0
            found.claims = connection.scalar(sa.select(sa.func.count()).select_from(CLAIM)) or 0
        for entry in self.trashed():
            found.trashed += 1
            found.trashed_bytes += entry.n_bytes
        found.on_disk_bytes = self.on_disk_bytes()
        return found

    def on_disk_bytes(self) -> int | None:
        """What it takes: the file with its log, or the tables on a server; None where that cannot be told."""
        if self.database.engine.dialect.name == "postgresql":
            return sum(self._table_bytes(name) for name in (ANSWER.name, TRASH.name))
        file = Path(self.database.engine.url.database or "")
        files = [file, file.with_name(f"{file.name}-wal")]
        return sum(each.stat().st_size for each in files if each.exists()) or None

    def _table_bytes(self, name: str) -> int:
        query = sa.text("SELECT coalesce(pg_total_relation_size(to_regclass(:name)), 0)")
        with self.database.reading() as connection:
            return int(connection.scalar(query, {"name": name}) or 0)

    def select(self, meant: Selection = EVERYTHING) -> Iterator[StoredEntry]:
        """The rows that are meant, without their replies."""
        return select(self.database, meant)

    def trashed(self, meant: Selection = EVERYTHING) -> Iterator[StoredEntry]:
        """Likewise, of what was forgotten."""
        return select(self.database, meant, "ledger_trash") if has_trash(self.database) else iter(())

    def replies(self, entries: Iterable[StoredEntry], where: Where = "ledger_answer") -> dict[int | str, bytes]:
        """The replies of some rows, by their places."""
        return raws(self.database, [entry.place for entry in entries], where)

    def find(self, key: str) -> list[tuple[StoredEntry, bytes]]:
        """Every row that a key, its beginning, or a place such as row:12 names; those that are kept come first."""
        meant = Selection(keys=(key,))
        tables: list[tuple[Where, Iterator[StoredEntry]]] = [("ledger_answer", self.select(meant))]
        if not key.startswith(PLACE):
            tables.append(("ledger_trash", self.trashed(meant)))
        found = [(where, list(entries)) for where, entries in tables]
        replies = {where: self.replies(entries, where) for where, entries in found}
        return [(entry, replies[where].get(entry.place, b"")) for where, entries in found for entry in entries]

    def redacted(self, raws: Iterable[bytes]) -> set[bytes]:
        """Those of some replies in which a key stood, and that were kept without it."""
        with self.database.reading() as connection:
            return redactions.marked(connection, raws)

    def choose(self, meant: Selection, judge: Judge, known_usd: dict[str, float | None] | None = None) -> Selected:
        """What a selection would come to, and what it cost. `known_usd`: what a run's rows say of some keys."""
        busy = trash.in_flight(self.database)
        count = held = n_bytes = unpriced = 0
        paid_usd = 0.0
        models: dict[str, int] = {}
        for entry, raw in transfer.with_replies(self.database, self.select(meant)):
            if entry.key in busy:
                held += 1
                continue
            count += 1
            n_bytes += entry.n_bytes
            models[entry.model_id] = models.get(entry.model_id, 0) + 1
            price = (known_usd or {}).get(entry.key)
            price = judge.price(entry, raw) if price is None else price
            paid_usd, unpriced = paid_usd + (price or 0.0), unpriced + (price is None)
        named = tuple(sorted(models.items(), key=lambda item: (-item[1], item[0])))
        return Selected(count, held, n_bytes, paid_usd, unpriced, named)

    def forget(self, meant: Selection, why: str) -> trash.TrashChange:
        """Move what is meant to the trash. What is in flight stays."""
        # Chosen first: rows must not move under a reader.
        return trash.forget(self.database, list(self.select(meant)), why)

    def restore(self, meant: Selection = EVERYTHING) -> trash.TrashChange:
        """Bring back what was forgotten, unless the key has another answer by now."""
        return trash.restore(self.database, list(self.trashed(meant)))

    def prune(self, meant: Selection = EVERYTHING, *, forgotten_before: float | None = None) -> int:
        """Delete what was forgotten, for good; how many. `forgotten_before`: seconds since 1970."""
        entries = [entry for entry in self.trashed(meant) if _is_before(entry, forgotten_before)]
        return trash.prune(self.database, entries) if entries else 0

    def merge(self, other: str) -> transfer.Merged:
        """Take over the answers of another ledger (its URL, or the file of one) or of an exported file."""
        path = Path(other)
        if "://" not in other and _is_lines(path):
            return transfer.merge(self.database, transfer.read_export(path))
        url = other if "://" in other else f"{SQLITE}{other}"
        if Path(url.removeprefix(SQLITE)).resolve() == Path(self.database.engine.url.database or "").resolve():
            raise LedgerError(f"{other} is this ledger itself")
        with opened(url) as source:
            return transfer.merge(self.database, transfer.answers(source.database))

    def export(self, path: Path, meant: Selection = EVERYTHING) -> tuple[int, int]:
        """Write answers to a new file of JSON lines; how many, and how many damaged rows were left out."""
        if path.exists():
            raise LedgerError(f"{path} is there already", advice=f"rm {path}")
        return transfer.export(self.database, self.select(meant), path)

    def vacuum(self) -> None:
        """Give room that is used no more back to the disk. LedgerError where another program is at work on it."""
        engine = self.database.engine
        with (
            explained(self.database.place, self.database.busy_s),
            engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        ):
            if engine.dialect.name == "postgresql":
                for name in (ANSWER.name, *([TRASH.name] if has_trash(self.database) else [])):
                    connection.exec_driver_sql(f"VACUUM FULL {name}")
                return
            raw = connection.connection.cursor()
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            raw.execute("VACUUM")
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            raw.close()


def _is_before(entry: StoredEntry, moment: float | None) -> bool:
    return moment is None or (entry.forgotten is not None and entry.forgotten < moment)


def _is_lines(path: Path) -> bool:
    """Whether a file is no SQLite database."""
    try:
        with path.open("rb") as file:
            return file.read(15) != b"SQLite format 3"
    except OSError as error:
        raise LedgerError(f"{path} cannot be read: {error.strerror}") from error
