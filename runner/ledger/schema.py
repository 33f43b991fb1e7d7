"""The tables of a ledger: answers, claims, batches and their items, what was forgotten; one version for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from runner.errors import LedgerError
from runner.ledger.database import parts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.ledger.database import Database

SCHEMA_VERSION = 1
_LOCK = 0x1ED6E7
"""PostgreSQL advisory lock held while tables are made: its CREATE TABLE IF NOT EXISTS fails when two race."""

TABLES = sa.MetaData()
VERSION = sa.Table("ledger_version", TABLES, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False))
ANSWER = sa.Table(
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
CLAIM = sa.Table(
    "ledger_claim",
    TABLES,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("owner", sa.String, nullable=False, index=True),
    sa.Column("until", sa.Double, nullable=False),
)
BATCH = sa.Table(
    "batch",
    TABLES,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("run", sa.String, nullable=False),
    sa.Column("api", sa.String, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("base", sa.String, nullable=False),
    sa.Column("account", sa.String, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("window_s", sa.Integer, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("sent", sa.Text),
    sa.Column("standing", sa.Text),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("owner", sa.String, index=True),
    sa.Column("until", sa.Double),
    sa.Column("settings", sa.Text),
)
ITEM = sa.Table(
    "batch_item",
    TABLES,
    sa.Column("batch", sa.String, primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True),
    sa.Column("key", sa.String, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("ending", sa.String),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("buyer", sa.String),
)
TRASH = sa.Table(
    "ledger_trash",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    *(sa.Column(column.name, column.type, index=column.name == "key") for column in ANSWER.columns),
    sa.Column("forgotten", sa.Double, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
)
"""Answers that were forgotten (`trash`), as they stood, so that any column may lack its value. Made when the first one
is: a ledger in which nothing was forgotten stays as every version makes it. A program that does not know of the table
finds what was forgotten no more than this one does, which is all that forgetting means: the version stays."""
_LATER = (BATCH.c.settings, ITEM.c.buyer)
"""Columns that were added later; a program that does not know of them leaves them empty."""


def prepare(database: Database) -> None:
    """Make the tables that are missing; LedgerError where those there are of another version of this program."""
    with database.reading() as connection:
        is_whole = TABLES.tables.keys() <= set(sa.inspect(connection).get_table_names())
    if not is_whole:
        with database.writing() as connection:
            lock(connection)
            is_new = not sa.inspect(connection).has_table(VERSION.name)
            TABLES.create_all(connection)
            if is_new:
                connection.execute(VERSION.insert().values(version=SCHEMA_VERSION))
    with database.reading() as connection:
        version = connection.scalar(sa.select(VERSION.c.version))
    if version != SCHEMA_VERSION:
        raise LedgerError(
            f"{database.place} was written by another version of this program "
            f"(schema {version}; this one has {SCHEMA_VERSION})",
            advice="pip install --upgrade persona-runner",
        )


def add_later_columns(database: Database) -> None:
    """Give the tables of batches the columns that they lack when an older version of this program made them."""
    with database.reading() as connection:
        missing = _missing(connection)
    if not missing:
        return
    with database.writing() as connection:
        lock(connection)
        for column in _missing(connection):
            connection.execute(sa.text(f"ALTER TABLE {column.table} ADD COLUMN {column.name} TEXT"))


def add_trash(database: Database) -> None:
    """Make the table of what was forgotten, where there is none yet."""
    if has_trash(database):
        return
    with database.writing() as connection:
        lock(connection)
        TRASH.metadata.create_all(connection)


def has_trash(database: Database) -> bool:
    """Whether anything was ever forgotten."""
    with database.reading() as connection:
        return sa.inspect(connection).has_table(TRASH.name)


def _missing(connection: sa.Connection) -> list[sa.Column[str]]:
    look = sa.inspect(connection)
    return [one for one in _LATER if one.name not in {known["name"] for known in look.get_columns(one.table.name)}]


def lock(connection: sa.Connection) -> None:
    """Let no other program make tables until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def answered(connection: sa.Connection, keys: Iterable[str]) -> set[str]:
    """Those of `keys` that have an answer."""
    found: set[str] = set()
    for part in parts(keys):
        found.update(connection.scalars(sa.select(ANSWER.c.key).where(ANSWER.c.key.in_(part))))
    return found
