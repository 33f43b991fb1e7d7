"""Forgetting answers: out of the ledger, into its trash, and back; nothing is gone before `prune`.

What is forgotten is found by no run, and so is bought again by the next that wants it. Rows move inside the database
and are never read on their way, so that damaged ones move too.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from runner.ledger.batch_records import GIVEN_UP, OPEN
from runner.ledger.claims import is_dead
from runner.ledger.database import now, parts
from runner.ledger.schema import ANSWER, BATCH, CLAIM, ITEM, TRASH, add_trash, answered, has_trash

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.ledger.database import Database
    from runner.ledger.upkeep.entries import StoredEntry

_NAMES = tuple(column.name for column in ANSWER.columns)
_ROW: sa.ColumnElement[int] = sa.literal_column("ledger_answer.rowid", sa.Integer)


@dataclass(frozen=True, slots=True)
class TrashChange:
    """What came of forgetting or restoring."""

    moved: int
    held: int
    """Left where they are: in flight, or (restoring) answered anew since."""


def in_flight(database: Database) -> set[str]:
    """Keys that a living process is buying, or that an open batch may still answer."""
    with database.reading() as connection:
        return _in_flight(connection)


def forget(database: Database, entries: Iterable[StoredEntry], why: str) -> TrashChange:
    """Move rows to the trash, a thousand a transaction; what is in flight stays."""
    add_trash(database)
    moved = held = 0
    for part in parts(entries):
        with database.writing() as connection:
            busy = _in_flight(connection)
            going = [entry for entry in part if entry.key not in busy]
            held += len(part) - len(going)
            moved += _forget(connection, going, why)
    return TrashChange(moved, held)


def restore(database: Database, entries: Iterable[StoredEntry]) -> TrashChange:
    """Move rows back out of the trash. A key that has another answer by now keeps that; damaged rows stay."""
    if not has_trash(database):
        return TrashChange(0, 0)
    newest: dict[str, StoredEntry] = {}
    total = 0
    for entry in entries:  # in the order in which they were forgotten
        total += 1
        if entry.damage is None:
            newest[entry.key] = entry
    moved = 0
    for part in parts(newest.values()):
        with database.writing() as connection:
            there = answered(connection, [entry.key for entry in part])
            back = [entry.place for entry in part if entry.key not in there]
            those = TRASH.c.id.in_(back)
            if back:
                copy = sa.select(*(TRASH.c[name] for name in _NAMES)).where(those)
                connection.execute(database.insert(ANSWER).from_select(_NAMES, copy).on_conflict_do_nothing())
                connection.execute(sa.delete(TRASH).where(those))
            moved += len(back)
    return TrashChange(moved, total - moved)


def prune(database: Database, entries: Iterable[StoredEntry]) -> int:
    """Delete rows of the trash for good; how many."""
    count = 0
    for part in parts(entries):
        with database.writing() as connection:
            connection.execute(sa.delete(TRASH).where(TRASH.c.id.in_([entry.place for entry in part])))
            count += len(part)
    return count


def _forget(connection: sa.Connection, entries: Sequence[StoredEntry], why: str) -> int:
    """By key, or by the row's number where the key is damaged: a number may be another row's by now."""
    whole = [entry.key for entry in entries if entry.damage is None]
    numbers = [entry.place for entry in entries if entry.damage is not None]
    if connection.dialect.name == "sqlite":
        which: tuple[sa.ColumnElement[bool], ...] = (ANSWER.c.key.in_(whole), _ROW.in_(numbers))
    else:  # where a row's place is its key
        which = (ANSWER.c.key.in_([*whole, *map(str, numbers)]),)
    stamped = (sa.literal(time.time(), sa.Double), sa.literal(why, sa.Text))
    moved = 0
    for those in which:
        copy = sa.select(*(ANSWER.c[name] for name in _NAMES), *stamped).where(those)
        connection.execute(sa.insert(TRASH).from_select([*_NAMES, "forgotten", "why"], copy))
        moved += connection.execute(sa.delete(ANSWER).where(those)).rowcount
    return moved


def _in_flight(connection: sa.Connection) -> set[str]:
    claims = connection.execute(sa.select(CLAIM.c.key, CLAIM.c.owner).where(CLAIM.c.until > now(connection)))
    living: dict[str, bool] = {}
    found = set()
    for key, owner in claims:
        if owner not in living:
            living[owner] = not is_dead(owner)
        if living[owner]:
            found.add(key)
    query = sa.select(ITEM.c.key).join(BATCH, BATCH.c.id == ITEM.c.batch)
    query = query.where(BATCH.c.state.in_(OPEN), ITEM.c.ending.is_(None) | ITEM.c.ending.in_(GIVEN_UP))
    return found | set(connection.scalars(query))
