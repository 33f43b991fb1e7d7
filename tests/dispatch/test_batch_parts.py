"""The parts of the batch engine that decide: pace, verdicts, ids, packs; the book that remembers; and the settings."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from batching import FAST, bench, model_of, settings, trials_of
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from postgres import HOW, Postgres, programs

from runner import process
from runner.cli.main import conf_dir
from runner.config import schema
from runner.config.load import load
from runner.dispatch.batch.next_action import by_next_action, next_action
from runner.dispatch.batch.packing import Pack, lines_of, new_id, renamed, repack
from runner.dispatch.batch.polling import gives_up, waits, window_of
from runner.errors import ConfigError, FatalError, LedgerError
from runner.ledger.batch_records import BatchItem, BatchRecord, ItemEnding, item_id, place_of
from runner.ledger.batches import BatchStore, open_batches
from runner.providers.accounts import account_of, fingerprint
from runner.providers.batch.api import Sent, Standing
from runner.records import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.dispatch.batch.next_action import NextAction
    from runner.ledger.batch_records import Ending

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

# ---- pace -----------------------------------------------------------------------------------------------------------


def test_looks_grow_rarer() -> None:
    """By default: after 5 s growing to 10 s, then doubled up to 5 minutes, and never further apart than that."""
    found = list(islice(waits(Batch().first_poll_s, Batch().max_poll_s), 12))
    assert found == [5, 6, 7, 8, 9, 10, 20, 40, 80, 160, 300, 300]
    assert list(islice(waits(5, 300), 5000))[-1] == 300
    assert list(islice(waits(5, 2), 2)) == [2, 2]


@pytest.mark.parametrize(
    ("asked", "offered", "window"),
    [(86_400, (86_400,), 86_400), (3600, (3600, 86_400), 3600), (7200, (86_400, 3600), 86_400), (9**9, (1, 2), 2)],
)
def test_windows(asked: float, offered: tuple[int, ...], window: int) -> None:
    """The shortest window on offer that is long enough; the longest where none is."""
    assert window_of(asked, offered) == window


def test_when_a_batch_is_given_up() -> None:
    """Window and grace after it was drafted."""
    assert gives_up(ENTRY, settings(grace="1h")) == 1000 + 86_400 + 3600


# ---- verdicts -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """How an item ended, and what becomes of its request."""

    ending: Ending
    next_action: NextAction
    kind: str = ""
    attempt: int = 1
    fallback: Any = "none"


CASES = (
    Case("succeeded", "kept"),
    Case("failed", "failed", "bad_request"),
    Case("failed", "failed", "bad_request", fallback="live"),
    Case("cancelled", "failed", fallback="live"),
    Case("lost", "failed", fallback="live"),
    Case("retry", "again", "server"),
    Case("retry", "again", "server", attempt=23),
    Case("retry", "failed", "server", attempt=24),
    Case("retry", "live", "server", attempt=24, fallback="live"),
    Case("expired", "again"),
    Case("missing", "again"),
    Case("malformed", "again"),
    Case("malformed", "live", fallback="live"),
    Case("refused", "smaller", "too_large"),
    Case("refused", "later", "token_limit"),
    Case("refused", "failed", "token_limit", attempt=25),
    Case("refused", "failed", "key_refused", fallback="live"),
    Case("refused", "failed", "connection"),
    Case("refused", "live", "connection", fallback="live"),
    Case("dropped", "smaller", "too_large"),
    Case("dropped", "failed", "bad_request"),
    Case("dropped", "again", ""),
    Case("dropped", "again", "server", attempt=2),
    Case("dropped", "failed", "server", attempt=3),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.ending}-{case.kind}-{case.attempt}-{case.fallback}")
def test_verdicts(case: Case) -> None:
    """An ending, its kind, the attempts so far and the fallback decide what becomes of a request; nothing else does."""
    item = BatchItem(0, "k", case.attempt, case.ending, case.kind)
    assert next_action(item, case.ending, settings(fallback=case.fallback)) == case.next_action
    (found,) = by_next_action([item], settings(fallback=case.fallback))[case.next_action]
    assert found.attempt == case.attempt + (case.next_action == "again")


# ---- ids and packs --------------------------------------------------------------------------------------------------


def test_ids_fit_every_api() -> None:
    """A batch's id and its items' are lower case letters, digits and hyphens, a letter first, at most 63 in all."""
    batch = new_id()
    for name in (batch, item_id(batch, 199_999)):
        assert len(name) <= 63
        assert name[0].isalpha()
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert len({new_id() for _ in range(1000)}) == 1000


@pytest.mark.parametrize("name", ["", "b0", "b0-", "b0-3", "b0-01", "b0--1", "b1-0", "b0-0-1", "b0-٣", "b0-1 ", "0"])
def test_a_foreign_id_has_no_place(name: str) -> None:
    """Only the ids that a batch gave out mean one of its items."""
    assert [place_of("b0", 3, item_id("b0", n)) for n in range(3)] == [0, 1, 2]
    assert place_of("b0", 3, name) is None


@given_settings(deadline=None, max_examples=30)  # each example waits for the disk
@given(
    st.lists(st.binary(min_size=1, max_size=40).filter(lambda line: b"\n" not in line), max_size=30),
    st.integers(1, 8),
    st.integers(1, 100),
)
def test_packs_hold_every_line_once(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], most_items: int, most_bytes: int
) -> None:
    """Whatever the limits, no line is lost or doubled, none of the limits passed but by a line that alone does."""
    folder = tmp_path_factory.mktemp("packs")
    packs = [Pack(folder, most_items, most_bytes)]
    for line in lines:
        if not packs[-1].takes(line):
            packs.append(Pack(folder, most_items, most_bytes))
        packs[-1].add("k", 1, line)
    found: list[bytes] = []
    for pack in packs:
        pack.seal()
        assert len(pack.items) <= most_items
        if pack.items:
            path = folder / f"{pack.id}.in.jsonl"
            assert path.stat().st_size == pack.n_bytes
            assert pack.n_bytes <= most_bytes or len(pack.items) == 1
            found += path.read_bytes().split(b"\n")[:-1]
    assert found == lines


def test_a_line_goes_again_under_another_id(tmp_path: Path) -> None:
    """Items that are sent again are the lines that were sent, with the new batch's ids and nothing else changed."""
    first = Pack(tmp_path, 9, 10**6, id="bfirst")
    for number in range(12):
        first.add(f"k{number}", 1, b'{"id":"%b","body":{"n":%d}}' % (first.next_id.encode(), number))
    first.seal()
    again = Pack(tmp_path, 9, 10**6, id="bagain")
    assert repack(again, tmp_path, "bfirst", [BatchItem(11, "k11", 2), BatchItem(1, "k1", 2)]) == []
    again.seal()
    assert again.items == [("k1", 2), ("k11", 2)]
    assert [line for _, line in lines_of(tmp_path, "bagain", [0, 1])] == [
        b'{"id":"bagain-0","body":{"n":1}}',
        b'{"id":"bagain-1","body":{"n":11}}',
    ]
    assert renamed(b'{"id":"b-1"}', "b-1", "c-2") == b'{"id":"c-2"}'
    assert repack(again, tmp_path, "bnever", [BatchItem(0, "k", 1)]) == [BatchItem(0, "k", 1)]


# ---- the book -------------------------------------------------------------------------------------------------------


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
    with open_batches(url) as made:
        yield made


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
    """The largest batch goes into the book and comes back."""
    store.draft(replace(ENTRY, count=50_000), [(f"key-{number}", 1) for number in range(50_000)])
    store.change("b0", settled=[ItemEnding(number, "succeeded") for number in range(50_000)])
    assert store.tally() == {"b0": {"succeeded": 50_000}}


def test_a_dead_process_keeps_nobody_off(store: BatchStore, url: str) -> None:
    """What a process that was killed had taken is free at once; what one that lives has taken is not."""
    store.draft(ENTRY, ITEMS)
    script = (
        "import os, signal, sys; from runner.ledger.batches import open_batches; book = open_batches(sys.argv[1]);"
        "assert book.take('b0'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    store.release()
    ended = subprocess.run([sys.executable, "-c", script, url], check=False, timeout=60)
    assert ended.returncode == -9
    with open_batches(url) as other:
        assert other.take("b0")
        assert not store.take("b0")
        other.release("b0")
        assert store.take("b0")
        store.renew()
        assert not other.take("b0")
    assert process.parse(store.owner) is not None


def test_what_is_not_there_and_what_is_too_new(url: str) -> None:
    """An unknown batch, and a book of another version, are said so."""
    with open_batches(url) as store:
        with pytest.raises(LedgerError, match="no batch b9"):
            store.entry("b9")
        assert not store.take("b9")
    execute(url, "UPDATE batch_version SET version = 99")
    with pytest.raises(LedgerError, match="another version"):
        open_batches(url)


def test_fields_of_a_later_version_are_passed_over(store: BatchStore, url: str) -> None:
    """A model that another version of the program wrote down is still read."""
    store.draft(ENTRY, ITEMS)
    execute(url, """UPDATE batch SET model = replace(model, '{"name"', '{"colour": "green", "name"')""")
    assert store.entry("b0") == ENTRY


def test_a_book_of_an_older_version_is_read(store: BatchStore, url: str) -> None:
    """A book made before batches kept their run's settings is taken up, with what it holds."""
    store.draft(ENTRY, ITEMS)
    execute(url, "ALTER TABLE batch DROP COLUMN settings")
    execute(url, "ALTER TABLE batch_item DROP COLUMN buyer")
    with open_batches(url) as again:
        assert again.entry("b0") == ENTRY
        again.draft(replace(ENTRY, id="b1", settings=settings(cleanup=False)), ITEMS)
        assert again.entry("b1").settings == settings(cleanup=False)


def execute(url: str, statement: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


# ---- accounts -------------------------------------------------------------------------------------------------------


def test_an_account_is_address_and_key() -> None:
    """Another address or key is another account; at Vertex AI, whose tokens change, the key is no part of it."""
    model, vertex = model_of("openai"), model_of("vertex")
    elsewhere = replace(model, api_base="http://127.0.0.1:2/v1")

    def print_of(one: Any, key: str) -> str:
        return fingerprint(one, account_of(one, {"BATCH_API_KEY": key}))

    assert print_of(model, "a") == print_of(model, "a")
    assert len({print_of(model, "a"), print_of(model, "b"), print_of(elsewhere, "a")}) == 3
    assert print_of(vertex, "a") == print_of(vertex, "b")
    assert "secret" not in print_of(model, "secret")
    with pytest.raises(FatalError, match="BATCH_API_KEY is not set"):
        account_of(model, {})


def test_a_shared_ledger_needs_no_batches(tmp_path: Path) -> None:
    """A ledger from before there were batches gets its book when it is first needed, and keeps its answers."""
    from runner.ledger.answers import open_ledger
    from runner.records import Answer

    url = f"sqlite:///{tmp_path}/ledger.db"
    with open_ledger(url) as ledger:
        ledger.put(Answer("k", b"{}", "live", "m", "openai", 1, 0.1, "2026-01-01T00:00:00.000Z"))
    with bench(tmp_path, FAST) as at:
        assert at.ledger.lookup(["k"]) == {"k"}
        assert at.entries() == []
        assert not at.has(trials_of(model_of("openai"), 1))


# ---- settings -------------------------------------------------------------------------------------------------------


def loaded(*overrides: str) -> Batch:
    schema.register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return load(compose("config", overrides=["batch=native", *overrides])).batch


def test_the_files_say_what_the_defaults_are() -> None:
    """conf/batch/native.yaml spells out the defaults of the record, and differs from off in its mode alone."""
    assert loaded() == Batch(mode="native")
    assert loaded("batch=off") == Batch()
    assert (Batch().window_s, Batch().grace_s) == (86_400, 259_200)


def test_settings_can_be_overridden() -> None:
    """Size takes a number or auto; durations a number and a unit."""
    found = loaded("batch.size=auto", "batch.window=1h", "batch.grace=1.5d", "batch.wait=false", "batch.fallback=live")
    assert (found.size, found.window_s, found.grace_s) == ("auto", 3600, 129_600)
    assert (found.wait, found.fallback) == (False, "live")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("batch.size=0", "whole number from 1"),
        ("batch.size=lots", "neither a whole number from 1 nor auto"),
        ("batch.size=1.5", "whole number"),
        ("batch.size=true", "whole number"),
        ("batch.window=24", "no duration"),
        ("batch.window=h", "no duration"),
        ("batch.grace=-1h", "no duration"),
        ("batch.grace=0h", "at least"),
        ("batch.fallback=liv", "did you mean 'live'"),
        ("batch.attempts=0", "attempts"),
    ],
)
def test_wrong_settings_are_told(override: str, says: str) -> None:
    """A setting out of range is a ConfigError that names group and key."""
    with pytest.raises(ConfigError, match="group batch") as caught:
        loaded(override)
    assert says in str(caught.value)
