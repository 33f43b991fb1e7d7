"""Storing in the caller's thread: on return it is in the file; what does not go at once is the writer's."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from runner.errors import LedgerError
from runner.ledger.answers import open_ledger
from runner.records import Answer

if TYPE_CHECKING:
    from pathlib import Path


def answer(key: str, raw: bytes = b'{"choices": []}') -> Answer:
    return Answer(key, raw, "live", "gpt-4o", "openai", attempts=2, latency_s=0.1, time="2026-01-02T03:04:05.678+00:00")


def rows(path: Path, table: str = "ledger_answer") -> set[str]:
    """The keys that another program finds in the file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return {row[0] for row in database.execute(f"SELECT key FROM {table}")}  # noqa: S608  a test's own name


def test_it_is_there_on_return(tmp_path: Path) -> None:
    """What was stored is complete, whole and found by others at once, however many came together."""
    many = [answer(f"{number:04}", bytes([number % 256]) * 700) for number in range(450)]
    with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        assert ledger.store(many).done()
        assert rows(tmp_path / "ledger.db") == {one.key for one in many}
        assert list(ledger.answers([one.key for one in many])) == many
        assert ledger.store([answer("0000", b"later")]).done()
        assert ledger.get("0000") == many[0]


def test_claims_of_what_was_stored_end(tmp_path: Path) -> None:
    """Whoever waits for a key that somebody else is buying sees it bought."""
    with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        assert ledger.claims.claim(["a", "b"]) == {"a", "b"}
        ledger.store([answer("a")])
        assert rows(tmp_path / "ledger.db", "ledger_claim") == {"b"}


@pytest.mark.parametrize("mode", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_who_writes_beside_it_is_waited_for_elsewhere(tmp_path: Path, mode: str) -> None:
    """While another program writes the call returns all the same; the answers are durable when that has ended."""
    place = tmp_path / "ledger.db"
    with (
        open_ledger(f"sqlite:///{place}") as ledger,
        closing(sqlite3.connect(place, isolation_level=None)) as other,
    ):
        ledger.store([answer("before")]).result(timeout=0)
        other.execute(mode)
        waiting = ledger.store([answer("a"), answer("b")])
        assert not waiting.done()
        other.execute("ROLLBACK")
        waiting.result(timeout=10)
        assert rows(place) == {"before", "a", "b"}


def test_a_ledger_without_a_write_ahead_log_is_stored_by_the_writer(tmp_path: Path) -> None:
    """Where the file keeps another journal, what is stored is as durable as the writer makes it."""
    place = tmp_path / "ledger.db"
    with open_ledger(f"sqlite:///{place}") as ledger:
        ledger.flush()
    with closing(sqlite3.connect(place)) as database:
        database.execute("PRAGMA journal_mode=DELETE")
    with open_ledger(f"sqlite:///{place}") as ledger:
        ledger.store([answer("a")]).result(timeout=10)
        assert rows(place) == {"a"}


def test_what_cannot_be_stored_is_an_error(tmp_path: Path) -> None:
    """A value that no database takes reaches who waits, and the rest of its group is not half stored."""
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    with pytest.raises(LedgerError):
        ledger.store([answer("a"), replace(answer("b"), model_id="\ud800")]).result(timeout=10)
    assert rows(tmp_path / "ledger.db") == set()
    with pytest.raises(LedgerError):
        ledger.close()


def test_it_ends_with_its_ledger(tmp_path: Path) -> None:
    """Closing leaves neither a thread nor a log behind, and nothing is stored any longer."""
    before = set(threading.enumerate())
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    ledger.get_ready()
    ledger.store([answer("a")]).result(timeout=0)
    ledger.close()
    assert set(threading.enumerate()) == before
    assert [one.name for one in tmp_path.iterdir()] == ["ledger.db"]
    with pytest.raises(LedgerError, match="closed"):
        ledger.store([answer("b")])
