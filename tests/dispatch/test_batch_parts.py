"""The parts of the batch engine that decide: pace, verdicts, ids, packs; and the settings."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from batching import model_of, settings
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from runner.config import schema
from runner.config.compose import conf_dir
from runner.config.load import load
from runner.dispatch.batch.leftovers import maker, tidy
from runner.dispatch.batch.next_action import by_next_action, next_action
from runner.dispatch.batch.packing import Pack, lines_of, new_id, renamed, repack
from runner.dispatch.batch.polling import gives_up, waits, window_of
from runner.errors import ConfigError, FatalError
from runner.ledger.batch_records import BatchItem, BatchRecord, item_id, place_of
from runner.providers.accounts import account_of, fingerprint
from runner.records import Batch

if TYPE_CHECKING:
    from pathlib import Path

    from runner.dispatch.batch.next_action import NextAction
    from runner.ledger.batch_records import Ending, State

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
    missing: Any = "fail"


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
    Case("missing", "failed"),
    Case("missing", "failed", fallback="live"),
    Case("missing", "again", missing="buy"),
    Case("missing", "failed", attempt=24, missing="buy"),
    Case("malformed", "failed"),
    Case("malformed", "live", fallback="live", missing="buy"),
    Case("lost", "failed", "gone"),
    Case("lost", "again", "gone", missing="buy"),
    Case("lost", "failed", "lost", missing="buy"),
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


@pytest.mark.parametrize("case", CASES, ids=str)
def test_next_actions(case: Case) -> None:
    """An ending, its kind, the attempts so far and two settings decide what becomes of a request; nothing else does."""
    asked = settings(fallback=case.fallback, missing=case.missing)
    item = BatchItem(0, "k", case.attempt, case.ending, case.kind)
    assert next_action(item, case.ending, asked) == case.next_action
    (found,) = by_next_action([item], asked)[case.next_action]
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
            pack.name()
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
    first.name()
    again = Pack(tmp_path, 9, 10**6, id="bagain")
    items = [BatchItem(11, "k11", 2), BatchItem(1, "k1", 2)]
    assert repack(lambda: again, tmp_path, "bfirst", items) == ([again], [])
    again.seal()
    again.name()
    assert again.items == [("k1", 2), ("k11", 2)]
    assert [line for _, line in lines_of(tmp_path, "bagain", [0, 1])] == [
        b'{"id":"bagain-0","body":{"n":1}}',
        b'{"id":"bagain-1","body":{"n":11}}',
    ]
    assert renamed(b'{"id":"b-1"}', "b-1", "c-2") == b'{"id":"c-2"}'
    assert repack(lambda: again, tmp_path, "bnever", [BatchItem(0, "k", 1)]) == ([again], [BatchItem(0, "k", 1)])


DEAD = 2**22 + 7
"""Above the highest number that Linux and macOS give a process."""


def test_what_is_left_over_is_tidied(tmp_path: Path) -> None:
    """Halves of dead processes' files and lines that no provider took go; what is or may be somebody's stays."""
    old = time.time() - 8 * 86_400
    mine, here = maker(), maker().partition("-")[0]
    model = model_of("openai")
    states: dict[str, State] = {"bsent": "sent", "bunsent": "unsent", "brefused": "refused", "bother": "unsent"}
    entries = [
        BatchRecord(name, "run-2" if name == "bother" else "run-1", "openai", model, "u", "a", 1, 1, 0.0, state)
        for name, state in states.items()
    ]
    gone = ["bunsent.in.jsonl", "brefused.in.jsonl", f"bx.{here}-{DEAD}.in.part", f"bsent.jsonl.{here}-{DEAD}.7f.part"]
    stays = [
        "bsent.in.jsonl",
        "bsent.jsonl",
        "bother.in.jsonl",
        "bforeign.in.jsonl",
        f"by.{mine}.in.part",
        "bz.in.part",
    ]
    aged = ["bolder.in.jsonl", "bolder.in.part", f"bo.ffffffff-{DEAD}.in.part"]
    for name in [*gone, *stays, *aged]:
        (tmp_path / name).write_bytes(b"{}")
    for name in aged:
        os.utime(tmp_path / name, (old, old))
    tidy(tmp_path, entries, "run-1")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(stays)


def test_lines_of_a_batch_that_the_store_knows_get_their_name(tmp_path: Path) -> None:
    """A crash between the store and the file's name costs nothing: the lines are there for the batch's next run."""
    part = tmp_path / f"bmine.{maker().partition('-')[0]}-{DEAD}.in.part"
    part.write_bytes(b"{}")
    tidy(tmp_path, [BatchRecord("bmine", "run-1", "openai", model_of("openai"), "u", "a", 1, 1, 0.0)])
    assert [path.name for path in tmp_path.iterdir()] == ["bmine.in.jsonl"]


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
