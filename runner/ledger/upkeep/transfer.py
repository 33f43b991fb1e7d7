"""Answers between ledgers: taken over from another one, and written to a file that any program reads.

The file is JSON lines: one answer a line with the fields of records.Answer, the reply as text under `reply`, or where
it is no UTF-8 as base64 under `reply_base64`.
"""

from __future__ import annotations

import base64
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from runner.errors import LedgerError
from runner.ledger import redactions, stored
from runner.ledger.database import parts
from runner.ledger.schema import ANSWER, TRASH, has_trash
from runner.ledger.upkeep.entries import raws, read
from runner.ledger.upkeep.kinds import why_no_reply
from runner.records import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from runner.ledger.database import Database
    from runner.ledger.upkeep.entries import StoredEntry

ANSWERS_A_TIME = 200


@dataclass(slots=True)
class Merged:
    """What came of the answers of another ledger."""

    added: int = 0
    known: int = 0
    """Here already, the same."""
    other: int = 0
    """Here already with another reply, which stays: the first answer of a key counts."""
    forgotten: int = 0
    """Forgotten here, and not brought back."""
    no_reply: int = 0
    """No replies of the API that was asked."""
    damaged: int = 0
    """Rows that cannot be read as answers."""


def answers(database: Database) -> Iterator[Answer | None]:
    """Every answer of a ledger, in the order of its rows; None for a damaged row."""
    return _answers(database, read(database))


def _answers(database: Database, entries: Iterable[StoredEntry]) -> Iterator[Answer | None]:
    for part in parts(with_replies(database, entries), ANSWERS_A_TIME):
        with database.reading() as connection:
            redacted = redactions.marked(connection, (raw for _, raw in part))
        for entry, raw in part:
            answer = entry.answer(raw)
            yield replace(answer, redacted=True) if answer is not None and raw in redacted else answer


def with_replies(database: Database, entries: Iterable[StoredEntry]) -> Iterator[tuple[StoredEntry, bytes]]:
    """Rows with their replies, a few hundred in memory at a time."""
    for part in parts(entries, ANSWERS_A_TIME):
        found = raws(database, [entry.place for entry in part])
        yield from ((entry, found[entry.place]) for entry in part if entry.place in found)


def merge(into: Database, given: Iterable[Answer | None]) -> Merged:
    """Take over what is lacked, a few hundred answers a transaction; the same again takes over nothing."""
    done = Merged()
    for part in parts(given, ANSWERS_A_TIME):
        _take(into, part, done)
    return done


def _take(into: Database, part: Sequence[Answer | None], done: Merged) -> None:
    whole = [answer for answer in part if answer is not None]
    done.damaged += len(part) - len(whole)
    fit = [answer for answer in whole if why_no_reply(answer.endpoint, answer.raw) is None]
    done.no_reply += len(whole) - len(fit)
    keys = [answer.key for answer in fit]
    trashed = _replies(into, TRASH, keys) if has_trash(into) else {}
    redactions.make_room(into, fit)
    with into.writing() as connection:
        query = sa.select(ANSWER.c.key, ANSWER.c.raw).where(ANSWER.c.key.in_(keys))
        here = {key: raw for key, raw in connection.execute(query)}  # noqa: C416  rows are not pairs to mypy
        new: dict[str, Answer] = {}
        for answer in fit:
            if answer.key in here or answer.key in new:
                same = here.get(answer.key, answer.raw) == answer.raw
                done.known, done.other = done.known + same, done.other + (not same)
            elif answer.raw in trashed.get(answer.key, ()):
                done.forgotten += 1
            else:
                new[answer.key] = answer
        if new:
            rows = [{name: getattr(new[key], name) for name in stored.FIELDS} for key in sorted(new)]
            connection.execute(into.insert(ANSWER).on_conflict_do_nothing(), rows)
            redactions.mark(into, connection, new.values())
        done.added += len(new)


def _replies(database: Database, table: sa.Table, keys: Sequence[str]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    with database.reading() as connection:
        for key, raw in connection.execute(sa.select(table.c.key, table.c.raw).where(table.c.key.in_(keys))):
            found.setdefault(key, []).append(raw)
    return found


# ---- files -----------------------------------------------------------------------------------------------------------


def export(database: Database, entries: Iterable[StoredEntry], path: Path) -> tuple[int, int]:
    """Write answers to a new file; how many, and how many damaged rows were left out. It is there whole or not at all.

    LedgerError where it cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    count = damaged = 0
    try:
        with part.open("w", encoding="utf-8") as file:
            for answer in _answers(database, entries):
                if answer is None:
                    damaged += 1
                    continue
                file.write(_line(answer) + "\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise LedgerError(f"{path} cannot be written: {error.strerror}") from error
    return count, damaged


def read_export(path: Path) -> Iterator[Answer | None]:
    """The answers in a file that `export` wrote; None for a line that holds none."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                yield _answer(line)
    except OSError as error:
        raise LedgerError(f"{path} cannot be read: {error.strerror}") from error


def _line(answer: Answer) -> str:
    fields: dict[str, Any] = asdict(answer)
    raw: bytes = fields.pop("raw")
    if not answer.redacted:
        del fields["redacted"]
    try:
        fields["reply"] = raw.decode()
    except UnicodeDecodeError:
        fields["reply_base64"] = base64.b64encode(raw).decode()
    return json.dumps(fields, ensure_ascii=False)


def _answer(line: str) -> Answer | None:
    try:
        fields = json.loads(line)
        encoded = fields.pop("reply_base64", None)
        raw = fields.pop("reply").encode() if encoded is None else base64.b64decode(encoded, validate=True)
        found = Answer(raw=raw, **fields)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return found if _is_whole(found) else None


def _is_whole(answer: Answer) -> bool:
    texts = (answer.key, answer.model_id, answer.endpoint, answer.time)
    numbers = type(answer.attempts) is int and isinstance(answer.latency_s, (int, float))
    rest = answer.route in ("live", "batch") and type(answer.redacted) is bool
    return all(isinstance(text, str) for text in texts) and numbers and rest
