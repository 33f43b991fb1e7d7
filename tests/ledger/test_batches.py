"""The ledger's batches: what is written down of them is read back, and one process at a time works on each."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from batching import model_of, settings
from postgres import HOW, Postgres, programs

from runner.errors import LedgerError
from runner.ledger.answers import open_ledger
from runner.ledger.batch_records import BatchItem, BatchRecord, ItemEnding
from runner.providers.batch.api import Sent, Standing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.ledger.batches import BatchStore

ENTRY = BatchRecord(
    id="b0",
    run="run-1",
    api="openai",
    model=model_of("openai"),
    base="http://127.0.0.1:1/openai/v1",
    account="a",
    count=3,
    window_s=86_400,
    created=1000.0,
)
ITEMS = [("k0", 1), ("k1", 1), ("k2", 4)]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    found = programs()
    if found is None or find_spec("psycopg") is None:
        pytest.skip(HOW)
    with Postgres(found) as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of the test's own, on either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    made: str = request.getfixturevalue("server").database()
    return made


@pytest.fixture
def store(url: str) -> Iterator[BatchStore]:
    with open_ledger(url) as made:
        yield made.batches


def test_a_batch_is_as_it_was_written(store: BatchStore) -> None:
    """Every field of a batch, what the provider said, and every item's ending are read back as they were."""
    store.draft(ENTRY, ITEMS)
    assert store.entry("b0") == ENTRY
    sent, standing = Sent("p", ("f1", "f2")), Standing("expired", "gone", 1, 3, ("r",), "too late", "server")
    now = store.change(
        "b0", "ended", sent=sent, standing=standing, settled=[ItemEnding(1, "failed", "quota", "no money")]
    )
    assert now == replace(ENTRY, state="ended", sent=sent, standing=standing)
    assert store.items("b0") == [
        BatchItem(0, "k0", 1),
        BatchItem(1, "k1", 1, "failed", "quota", "no money"),
        BatchItem(2, "k2", 4),
    ]
    assert store.tally() == {"b0": {"failed": 1}}
    assert store.entries(["ended"]) == [now]
    assert store.entries(["sent"]) == store.entries(run="run-2") == []


def test_open_keys_are_those_that_a_batch_may_still_answer(store: BatchStore) -> None:
    """Items without an ending in open batches, and those of lost ones; the newest batch that holds a key counts."""
    store.draft(ENTRY, ITEMS)
    assert store.open_keys() == {"k0": "b0", "k1": "b0", "k2": "b0"}
    store.change("b0", "lost", settled=[ItemEnding(0, "lost"), ItemEnding(1, "succeeded"), ItemEnding(2, "failed")])
    assert store.open_keys() == {"k0": "b0"}
    store.draft(replace(ENTRY, id="b1", created=2000.0), [("k0", 2)])
    assert store.open_keys() == {"k0": "b1"}
    store.change("b1", "collected")
    store.change("b0", "closed")
    assert store.open_keys() == {}


def test_fifty_thousand_items_are_one_batch(store: BatchStore) -> None:
    """The largest batch goes into the ledger and comes back."""
    store.draft(replace(ENTRY, count=50_000), [(f"key-{number}", 1) for number in range(50_000)])
    store.change("b0", settled=[ItemEnding(number, "succeeded") for number in range(50_000)])
    assert store.tally() == {"b0": {"succeeded": 50_000}}


def test_a_dead_process_keeps_nobody_off(store: BatchStore, url: str) -> None:
    """What a process that was killed had taken is free at once; what one that lives has taken is not."""
    store.draft(ENTRY, ITEMS)
    script = (
        "import os, signal, sys; from runner.ledger.answers import open_ledger; ledger = open_ledger(sys.argv[1]);"
        "assert ledger.batches.take('b0'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    store.release()
    ended = subprocess.run([sys.executable, "-c", script, url], check=False, timeout=60)
    assert ended.returncode == -9
    with open_ledger(url) as opened:
        other = opened.batches
        assert other.take("b0")
        assert not store.take("b0")
        other.release("b0")
        assert store.take("b0")
        assert not other.take("b0")


def test_what_is_not_there(store: BatchStore) -> None:
    """An unknown batch is said so, and is taken by nobody."""
    with pytest.raises(LedgerError, match="no batch b9"):
        store.entry("b9")
    assert not store.take("b9")


def test_fields_of_a_later_version_are_passed_over(store: BatchStore, url: str) -> None:
    """A model that another version of the program wrote down is still read."""
    store.draft(ENTRY, ITEMS)
    execute(url, """UPDATE batch SET model = replace(model, '{"name"', '{"colour": "green", "name"')""")
    assert store.entry("b0") == ENTRY


def test_batches_of_an_older_version_are_read(store: BatchStore, url: str) -> None:
    """A ledger made before batches kept their run's settings is taken up, with what it holds."""
    store.draft(ENTRY, ITEMS)
    execute(url, "ALTER TABLE batch DROP COLUMN settings")
    execute(url, "ALTER TABLE batch_item DROP COLUMN buyer")
    with open_ledger(url) as opened:
        again = opened.batches
        assert again.entry("b0") == ENTRY
        again.draft(replace(ENTRY, id="b1", settings=settings(cleanup=False)), ITEMS)
        assert again.entry("b1").settings == settings(cleanup=False)


def execute(url: str, statement: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
