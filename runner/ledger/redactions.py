"""Which kept answers are not as they came: an API key stood in them, and was taken out before they were stored.

A mark is of a reply, not of a key: it goes with the reply into the trash and back, and says nothing of another reply to
the same request. The table is made by the first one, so that a ledger without any stays as every version makes it; an
older program passes the marks over.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import sqlalchemy as sa

from runner.ledger.database import parts
from runner.ledger.schema import lock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.ledger.database import Database
    from runner.records import Answer

REDACTION = sa.Table("ledger_redaction", sa.MetaData(), sa.Column("reply", sa.String, primary_key=True))
"""SHA-256 of each reply as it is kept, in hexadecimal digits."""


def make_room(database: Database, answers: Iterable[Answer]) -> None:
    """Have the table, where one of the answers is redacted."""
    if not any(answer.redacted for answer in answers):
        return
    with database.reading() as connection:
        if _has_any(connection):
            return
    with database.writing() as connection:
        lock(connection)
        REDACTION.metadata.create_all(connection)


def mark(database: Database, connection: sa.Connection, answers: Iterable[Answer]) -> None:
    """Note which of these answers are redacted, in the transaction that stores them."""
    marks = [{"reply": reply} for reply in sorted({_digest(answer.raw) for answer in answers if answer.redacted})]
    if marks:
        connection.execute(database.insert(REDACTION).on_conflict_do_nothing(), marks)


def marked(connection: sa.Connection, raws: Iterable[bytes]) -> set[bytes]:
    """Those of some replies that are redacted."""
    if not _has_any(connection):
        return set()
    digests = {_digest(raw): raw for raw in raws}
    found: set[bytes] = set()
    for part in parts(digests):
        query = sa.select(REDACTION.c.reply).where(REDACTION.c.reply.in_(part))
        found.update(digests[reply] for reply in connection.scalars(query) if reply in digests)
    return found


def _has_any(connection: sa.Connection) -> bool:
    return sa.inspect(connection).has_table(REDACTION.name)


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
