"""A ledger put in order by a person: looked at, forgotten and brought back, merged, exported; damaged rows with it.

RUNNER_TEST_SERVER_URL, where set, names a PostgreSQL database in which the tests that do not need a file run as well.
"""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from runner.errors import LedgerError
from runner.ledger.answers import open_ledger
from runner.ledger.redactions import REDACTION
from runner.ledger.schema import CLAIM, TABLES, TRASH
from runner.ledger.upkeep.contents import opened
from runner.ledger.upkeep.kinds import Judge
from runner.ledger.upkeep.selection import Selection
from runner.records import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable

SERVER = os.environ.get("RUNNER_TEST_SERVER_URL")
GOLDEN = Path(__file__).parent / "golden" / "schema-1.db.gz"
GOOD = json.dumps(
    {
        "choices": [{"message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0},
    }
).encode()
NOW = datetime.now(UTC)


@pytest.fixture(params=["sqlite", "server"] if SERVER else ["sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The place of an empty ledger."""
    if request.param == "sqlite" or SERVER is None:
        return f"sqlite:///{tmp_path}/ledger.db"
    engine = sa.create_engine(SERVER)
    TABLES.drop_all(engine)
    TRASH.drop(engine, checkfirst=True)
    REDACTION.drop(engine, checkfirst=True)
    engine.dispose()
    return SERVER


def key(number: int) -> str:
    return f"{number:064x}"


def answer(number: int, raw: bytes = GOOD, **changed: str) -> Answer:
    stated = Answer(key(number), raw, "live", "gpt-4o-mini", "openai", attempts=1, latency_s=0.5, time=NOW.isoformat())
    return replace(stated, **changed)  # type: ignore[arg-type]  # texts alone


def fill(url: str, answers: Iterable[Answer]) -> None:
    with open_ledger(url) as ledger:
        for each in answers:
            ledger.put(each)


def kept(url: str, *numbers: int) -> set[int]:
    with open_ledger(url) as ledger:
        return {int(found, 16) for found in ledger.lookup(map(key, numbers))}


def finished(content: str | None, finish: str) -> bytes:
    message = {"role": "assistant", "content": content}
    return json.dumps({"choices": [{"message": message, "finish_reason": finish}]}).encode()


# ---- which -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A selection, and which of ANSWERS it means."""

    name: str
    meant: Selection
    numbers: set[int]


ANSWERS = (
    answer(1),
    answer(2, b"<html>sign in</html>"),
    answer(3, b'{"error": {"message": "no"}}'),
    answer(4, b'{"choices": []}', model_id="gpt-4o"),
    answer(5, b"{}", endpoint="anthropic", model_id="claude-haiku-5-5"),
    answer(6, GOOD, endpoint="gemini", model_id="gemini-3"),
    answer(7, finished("half a", "length")),
    answer(8, finished(None, "content_filter")),
    answer(9, finished("  ", "stop")),
    answer(10, GOOD[: len(GOOD) // 2]),
    answer(11, time=(NOW - timedelta(days=40)).isoformat()),
)
NO_REPLIES = {2, 3, 4, 5, 6, 10}
"""Pages, errors, empty lists, nothing, another API's reply, half of one."""
SELECTIONS = (
    Case("everything", Selection(), set(range(1, 12))),
    Case("no reply", Selection(kinds=frozenset({"not_a_reply"})), NO_REPLIES),
    Case("two kinds", Selection(kinds=frozenset({"truncated", "refused"})), {7, 8}),
    Case("empty", Selection(kinds=frozenset({"empty"})), {9}),
    Case("a run's kind", Selection(kinds=frozenset({"no_score"}), run_kinds={key(1): "no_score"}), {1}),
    Case("a model", Selection(models=("gpt-4o",)), {4}),
    Case("models", Selection(models=("gpt-4o*",)), {1, 2, 3, 4, 7, 8, 9, 10, 11}),
    Case("old", Selection(older_than_s=30 * 86_400), {11}),
    Case("young", Selection(newer_than_s=3_600, models=("gpt-4o",)), {4}),
    Case("of a run", Selection(of={key(1), key(2)}), {1, 2}),
    Case("a key", Selection(keys=(key(3),)), {3}),
    Case("both", Selection(of={key(1), key(2)}, kinds=frozenset({"not_a_reply"})), {2}),
)


@pytest.mark.parametrize("case", SELECTIONS, ids=lambda case: case.name)
def test_a_selection_means_what_all_of_it_says(case: Case, tmp_path: Path) -> None:
    """Key, run, model, kind and age are each applied, and only they."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    fill(url, ANSWERS)
    with opened(url) as ledger:
        assert {int(entry.key, 16) for entry in ledger.select(case.meant)} == case.numbers


# ---- forgetting ------------------------------------------------------------------------------------------------------


def test_what_is_forgotten_is_found_no_more_and_comes_back(url: str) -> None:
    """Forgotten answers are no run's any more, and restored ones are as they were, whoever opens the ledger."""
    fill(url, map(answer, range(1, 4)))
    meant = Selection(keys=(key(2),))
    with opened(url) as ledger:
        assert ledger.forget(meant, "a test").moved == 1
        assert [(one.key, one.why) for one in ledger.trashed()] == [(key(2), "a test")]
    assert kept(url, 1, 2, 3) == {1, 3}
    with opened(url) as ledger:
        assert ledger.restore().moved == 1
        assert list(ledger.trashed()) == []
    with open_ledger(url) as ledger:
        assert ledger.get(key(2)) == answer(2)


def test_an_answer_that_was_bought_anew_stays(url: str) -> None:
    """What is restored takes no later answer's place; it stays in the trash, as often as a key was forgotten."""
    for raw in (b"one", b"two", GOOD):
        fill(url, [answer(1, raw)])
        if raw != GOOD:
            with opened(url) as ledger:
                ledger.forget(Selection(), "again")
    with opened(url) as ledger:
        back = ledger.restore()
        assert (back.moved, back.held) == (0, 2)
        assert ledger.prune() == 2
        assert ledger.prune() == 0
    with open_ledger(url) as ledger:
        assert ledger.get(key(1)) == answer(1)


def test_what_is_in_flight_is_never_forgotten(url: str) -> None:
    """A key that a living process has claimed stays, one whose claimer has ended or whose lease is over goes."""
    fill(url, map(answer, range(1, 5)))
    with open_ledger(url) as ledger:
        mine, moment = ledger.claims.owner, time.time()
    claims = [
        {"key": key(1), "owner": mine, "until": moment + 60},
        {"key": key(2), "owner": "elsewhere|1|then|abcd", "until": moment + 60},
        {"key": key(3), "owner": "elsewhere|1|then|abcd", "until": moment - 1},
    ]
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(CLAIM.insert(), claims)
    engine.dispose()
    with opened(url) as ledger:
        chosen = ledger.choose(Selection(), Judge())
        moved = ledger.forget(Selection(), "all")
    assert (chosen.count, chosen.held) == (moved.moved, moved.held) == (2, 2)
    assert kept(url, 1, 2, 3, 4) == {1, 2}


def test_what_a_batch_still_holds_is_never_forgotten(tmp_path: Path) -> None:
    """In an earlier version's ledger too: the answers of an open batch's keys stay, the others go, tables and all."""
    path = tmp_path / "ledger.db"
    path.write_bytes(gzip.decompress(GOLDEN.read_bytes()))
    url = f"sqlite:///{path}"
    with open_ledger(url) as ledger:
        held = [*ledger.batches.open_keys()]
        ledger.put(replace(answer(0), key=held[0]))
    with opened(url) as ledger:
        count = ledger.sizes().answers
        moved = ledger.forget(Selection(), "all")
        sizes = ledger.sizes()
    assert (moved.moved, moved.held) == (count - 1, 1)
    assert (sizes.answers, sizes.trashed, sizes.open_batches) == (1, count - 1, 1)


def test_looking_makes_no_table(tmp_path: Path) -> None:
    """A ledger in which nothing was forgotten has the tables that every version makes, and only those."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    fill(url, [answer(1)])
    with opened(url) as ledger:
        ledger.sizes()
        ledger.restore()
        ledger.prune()
        assert ledger.find(key(1))[0][1] == GOOD
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        names = {name for (name,) in database.execute("select name from sqlite_master where type = 'table'")}
    assert names == {*TABLES.tables}


def test_an_earlier_program_finds_a_ledger_with_a_trash_as_it_was(url: str) -> None:
    """The version row stays, and a claim on what was forgotten is granted: it is bought again, by any version."""
    fill(url, [answer(1)])
    with opened(url) as ledger:
        ledger.forget(Selection(), "all")
    with open_ledger(url) as ledger:
        assert ledger.claims.claim([key(1)]) == {key(1)}


def test_what_answers_cost_is_said(url: str) -> None:
    """A million tokens of gpt-4o-mini cost what its price is; of no reply nobody knows it; a run's rows outweigh."""
    fill(url, [answer(1), answer(2), answer(3, b"{}")])
    with opened(url) as ledger:
        chosen = ledger.choose(Selection(), Judge())
        known = ledger.choose(Selection(), Judge(), {key(1): 5.0})
    assert (chosen.count, chosen.unpriced) == (3, 1)
    assert chosen.paid_usd == pytest.approx(0.3)
    assert known.paid_usd == pytest.approx(5.15)


# ---- damaged rows ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Damage:
    """What was done to a row, and a word that says so."""

    name: str
    change: str
    said: str


DAMAGES = (
    Damage("raw is text", "raw = 'text'", "raw"),
    Damage("raw is a number", "raw = 7", "raw"),
    Damage("attempts is text", "attempts = 'many'", "attempts"),
    Damage("latency is text", "latency_s = 'slow'", "latency_s"),
    Damage("attempts beyond all bounds", "attempts = -1", "attempts"),
    Damage("route", "route = 'carrier pigeon'", "route"),
    Damage("time", "time = 'yesterday'", "time"),
    Damage("no UTF-8", "model_id = CAST(x'ff80' AS TEXT)", "model_id"),
    Damage("key is bytes", "key = x'00ff1b'", "key"),
    Damage("key has control characters", "key = char(27) || '[2J', time = 'never'", "time"),
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_a_damaged_row_is_listed_shown_and_forgotten(damage: Damage, tmp_path: Path) -> None:
    """A row of any content has a line, a name and a reason, and goes into the trash; its neighbours stay."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    fill(url, map(answer, range(1, 4)))
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database, database:
        database.execute(f"update ledger_answer set {damage.change} where key = ?", (key(2),))  # noqa: S608  of a table
    with opened(url) as ledger:
        (entry,) = ledger.select(Selection(kinds=frozenset({"damaged"})))
        assert damage.said in str(entry.damage)
        assert entry.name.isprintable()
        ((shown, _),) = ledger.find(entry.name)
        assert shown == entry
        assert ledger.sizes().damaged == 1
        assert ledger.forget(Selection(keys=(entry.name,)), "damaged").moved == 1
        assert len(list(ledger.trashed())) == 1
        assert ledger.restore().held == 1
    assert kept(url, 1, 2, 3) == {1, 3}


# ---- between ledgers -------------------------------------------------------------------------------------------------


def test_merging_takes_what_is_lacked_and_only_answers(url: str, tmp_path: Path) -> None:
    """First answers stay, no replies and damaged rows are left out, what was forgotten is not brought back."""
    other = f"sqlite:///{tmp_path}/other.db"
    fill(url, [answer(1), answer(2), answer(3)])
    with opened(url) as ledger:
        ledger.forget(Selection(keys=(key(3),)), "a test")
    fill(other, [answer(1), answer(2, finished("other", "stop")), answer(3), answer(4), answer(5, b"{}"), answer(6)])
    with closing(sqlite3.connect(tmp_path / "other.db")) as database, database:
        database.execute("update ledger_answer set attempts = 'x' where key = ?", (key(6),))
    with opened(url) as ledger:
        done = ledger.merge(str(tmp_path / "other.db"))
        again = ledger.merge(other)
    counts = (done.added, done.known, done.other, done.forgotten, done.no_reply, done.damaged)
    assert counts == (1, 1, 1, 1, 1, 1)
    assert (again.added, again.known) == (0, 2)
    with open_ledger(url) as ledger:
        assert ledger.get(key(2)) == answer(2)
        assert ledger.get(key(4)) == answer(4)


def test_an_export_is_read_back_byte_for_byte(url: str, tmp_path: Path) -> None:
    """Answers survive a file of JSON lines, in UTF-8 or not; it replaces no file; its broken lines are counted."""
    binary = finished("\N{SNOWMAN}", "stop").replace(b"\\u2603", b"\xff")
    fill(url, [answer(1), answer(2, finished("朝", "stop")), answer(3, binary)])
    path = tmp_path / "answers.jsonl"
    with opened(url) as ledger:
        assert ledger.export(path) == (3, 0)
        with pytest.raises(LedgerError, match="is there already"):
            ledger.export(path)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"key": 5}\nno JSON\n[]\n')
    other = f"sqlite:///{tmp_path}/other.db"
    fill(other, [])
    with opened(other) as ledger:
        done = ledger.merge(str(path))
    assert (done.added, done.damaged) == (3, 3)
    with open_ledger(other) as ledger:
        assert [*ledger.answers([key(1), key(2), key(3)])] == [
            answer(1), answer(2, finished("朝", "stop")), answer(3, binary)
        ]  # fmt: skip


def test_a_redacted_reply_says_so_wherever_it_goes(url: str, tmp_path: Path) -> None:
    """In the ledger, out of the trash, merged and exported; another reply to the same request is none."""
    fill(url, [answer(1)])
    with opened(url) as ledger:
        assert ledger.redacted([GOOD]) == set()
        assert not sa.inspect(ledger.database.engine).has_table(REDACTION.name)
    hidden = replace(answer(2, finished("you sent <KEY>", "stop")), redacted=True)
    with open_ledger(url) as ledger:
        ledger.get_ready()
        ledger.store([hidden, answer(3)]).result(10)
        assert [*ledger.answers([key(1), key(2), key(3)])] == [answer(1), hidden, answer(3)]
    with opened(url) as ledger:
        ledger.forget(Selection(keys=(key(2),)), "test")
        ledger.restore()
        ledger.export(tmp_path / "all.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text("utf-8").splitlines()]
    assert {line["key"]: line.get("redacted") for line in lines} == {key(1): None, key(2): True, key(3): None}
    for number, source in enumerate((url, str(tmp_path / "all.jsonl"))):
        other = f"sqlite:///{tmp_path}/other{number}.db"
        fill(other, [])
        with opened(other) as ledger:
            ledger.merge(source)
        with open_ledger(other) as ledger:
            assert ledger.get(key(2)) == hidden
            assert ledger.get(key(1)) == answer(1)


def test_vacuum_gives_room_back(url: str) -> None:
    """What was pruned takes no room on the disk any more, and the rest is there."""
    fill(url, (answer(number, finished("x" * 20_000, "stop")) for number in range(1, 60)))
    with opened(url) as ledger:
        ledger.forget(Selection(older_than_s=0, models=("gpt-4o-mini",)), "all")
        ledger.prune()
        before = ledger.on_disk_bytes() or 0
        ledger.vacuum()
        after = ledger.on_disk_bytes() or 0
    assert after < before / 3
    fill(url, [answer(1)])
    assert kept(url, 1) == {1}


def test_no_ledger_is_made_by_looking(tmp_path: Path) -> None:
    """A URL with nothing behind it is an error, and leaves no file; a ledger is not merged into itself."""
    url = f"sqlite:///{tmp_path}/none.db"
    with pytest.raises(LedgerError, match="there is no ledger"), opened(url):
        pass
    assert not list(tmp_path.iterdir())
    fill(url, [answer(1)])
    with closing(sqlite3.connect(tmp_path / "other.db")) as database, database:
        database.execute("create table runs (id text)")
    with opened(url) as ledger:
        with pytest.raises(LedgerError, match="itself"):
            ledger.merge(str(tmp_path / "none.db"))
        with pytest.raises(LedgerError, match="is no ledger"):
            ledger.merge(str(tmp_path / "other.db"))


def test_a_claim_during_forgetting_is_granted_anew(url: str) -> None:
    """Whoever asks for a key after it was forgotten may buy it, and the new answer is the one that is found."""
    fill(url, [answer(1, b"{}")])
    with opened(url) as ledger:
        ledger.forget(Selection(kinds=frozenset({"not_a_reply"})), "no reply")
    with open_ledger(url) as ledger:
        assert ledger.claims.claim([key(1)]) == {key(1)}
        ledger.put(answer(1))
        ledger.flush()
        assert ledger.get(key(1)) == answer(1)
