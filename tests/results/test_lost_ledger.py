"""A ledger that is empty, cut, damaged or gone, or one row of it: said before anything is bought again."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Provider, Turn

from runner import pipeline
from runner.cli.main import main
from runner.errors import LedgerError
from runner.ledger.answers import open_ledger
from runner.plan.job import Job, TrialPlan
from runner.records import (
    Answer,
    Batch,
    Experiment,
    Limits,
    Model,
    Persona,
    PromptTemplate,
    Question,
    Sampling,
    Text,
    Tracking,
)
from runner.results import files, manifest
from runner.results.launch import JobResult, Launch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.records import Failure, Row, Trial

LEDGER = Path("outputs/ledger.db")
URL = f"sqlite:///{LEDGER}"
TRIALS = 4
NAMES = ("interesting", "surprise", "sadness", "anger")
PROMPT = PromptTemplate("p", "en", "{{ persona }}", "{{ text.content }}", tuple(Question(n, n, n) for n in NAMES))


class Told:
    """Is told what happens, and keeps the notices."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def planned(self, model: Model, count: int) -> None:
        """So many are about to be sent."""

    def sent(self, trial: Trial) -> None:
        """An attempt leaves."""

    def answered(self, trial: Trial, answer: Answer) -> None:
        """A reply came."""

    def failed(self, trial: Trial, failure: Failure) -> None:
        """None came."""

    def waiting(self, model: Model, kind: str, wait_s: float, reason: str = "") -> None:
        """Another attempt follows."""

    def batch(self, entry: Any) -> None:
        """There are no batches here."""

    def notice(self, line: str) -> None:
        """Whoever watches should know."""
        self.notices.append(line)


def experiment(base: str, *texts: str, **changed: Any) -> Experiment:
    of = Model("m", "m", "openai", "test", api_base=base, limits=Limits(concurrency=2, attempts=1))
    return replace(
        Experiment(
            name="e",
            models=(of,),
            personas=(Persona("poet", {"*": "You are a poet."}),),
            texts=tuple(Text(name, f"text {name}") for name in texts or "abcd"),
            prompt=PROMPT,
            sampling=Sampling(),
            batch=Batch(),
            tracking=Tracking(),
            ledger_url=URL,
        ),
        **changed,
    )


def run(asked: Experiment, folder: str, told: Told | None = None, this: Launch | None = None) -> JobResult:
    """Run a job in outputs/, as the command line does, files and all."""
    this = this or Launch("runner a=b")
    (result,) = pipeline.launch(this, [Job(0, asked, Path("outputs", folder).resolve())], told or Told())
    manifest.write(this, result)
    return result


def rows(folder: str) -> list[Row]:
    return list(files.read_rows(Path("outputs", folder, "results.jsonl")))


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider that answered a run of four trials, in outputs/first."""
    with Provider() as served:
        run(experiment(served.url), "first")
        assert served.count == TRIALS
        yield served


def remove() -> None:
    """Delete the ledger."""
    for file in LEDGER.parent.glob("ledger.db*"):
        file.unlink()


def cut(share: float) -> Callable[[], None]:
    """Cut it to a share of its length."""

    def damage() -> None:
        whole = LEDGER.read_bytes()
        remove()
        LEDGER.write_bytes(whole[: int(len(whole) * share)])

    return damage


def overwritten(first: int) -> Callable[[], None]:
    """Other bytes from one place on, and so in every page behind it."""

    def damage() -> None:
        whole = LEDGER.read_bytes()
        LEDGER.write_bytes(whole[:first] + bytes(255 - byte for byte in whole[first:]))

    return damage


def emptied() -> None:
    with closing(sqlite3.connect(LEDGER)) as opened, opened:
        opened.execute("DELETE FROM ledger_answer")


# ---- the ledger as a whole -------------------------------------------------------------------------------------------

LOST: dict[str, tuple[Callable[[], None], str]] = {
    "deleted": (remove, "holds no answer at all"),
    "cut to nothing": (cut(0), "holds no answer at all"),
    "its rows deleted": (emptied, "holds no answer at all"),
    "cut in half": (cut(0.5), "is damaged"),
    "cut within its head": (cut(0.0005), "is damaged"),
    "its head overwritten": (overwritten(0), "head is overwritten"),
    "its pages overwritten": (overwritten(4096), "is damaged"),
}


@pytest.mark.parametrize("name", LOST)
def test_a_ledger_that_lost_its_answers_is_said_before_a_request(name: str, provider: Provider) -> None:
    """The same command after the ledger was lost sends nothing, and says which file it is and what to type."""
    damage, said = LOST[name]
    damage()
    with pytest.raises(LedgerError, match=said) as caught:
        run(experiment(provider.url), "again")
    assert str(LEDGER) in str(caught.value)
    assert caught.value.advice is not None
    assert shlex.split(caught.value.advice)[0] in {"runner", "sqlite3"}
    assert provider.count == TRIALS
    assert not Path("outputs/again/results.jsonl").exists()


def test_a_ledger_that_was_deleted_on_purpose_is_begun_anew(provider: Provider) -> None:
    """`ledger.missing=buy` buys again what was lost; from then on nothing is said any more."""
    remove()
    with pytest.raises(LedgerError, match=r"4 requests would be bought again") as caught:
        run(experiment(provider.url), "again")
    assert caught.value.advice == "runner a=b ledger.missing=buy"
    assert not LEDGER.exists()
    run(experiment(provider.url, ledger_missing="buy"), "again")
    assert provider.count == 2 * TRIALS
    told = Told()
    run(experiment(provider.url, *"abcde"), "more", told)
    assert (provider.count, told.notices) == (2 * TRIALS + 1, [])


def test_what_was_never_bought_is_bought_and_the_loss_is_told(provider: Provider) -> None:
    """Another experiment, as a sweep's next job is, goes on without the old answers; the loss is said first."""
    remove()
    told = Told()
    run(experiment(provider.url, "e"), "other", told)
    assert provider.count == TRIALS + 1
    assert "holds no answer at all, though outputs/first on" in told.notices[0]


def test_some_answers_that_are_gone_are_told(provider: Provider) -> None:
    """A ledger that lost a part of a run's answers has them bought again, and says how many first."""
    with closing(sqlite3.connect(LEDGER)) as opened, opened:
        opened.execute("DELETE FROM ledger_answer WHERE rowid < 3")
    told = Told()
    run(experiment(provider.url), "again", told)
    assert provider.count == TRIALS + 2
    assert "2 requests would be bought again" in told.notices[0]


def test_answers_that_lie_beside_the_ledger_are_told(provider: Provider) -> None:
    """What an earlier run could only keep beside its ledger is named before it is bought, with what takes it in."""
    with closing(sqlite3.connect(LEDGER)) as opened, opened:
        opened.execute("VACUUM INTO 'outputs/ledger.rescued-1.db'")
        opened.execute("DELETE FROM ledger_answer WHERE rowid < 3")
    told = Told()
    run(experiment(provider.url), "again", told)
    beside = "outputs/ledger.rescued-1.db holds 2 of the answers that are about to be bought: runner ledger merge"
    assert told.notices[0].startswith(beside)


def test_what_was_forgotten_is_missed_by_nobody(provider: Provider) -> None:
    """Answers in the ledger's trash are bought again without a word."""
    with closing(sqlite3.connect(LEDGER)) as opened, opened:
        opened.execute("CREATE TABLE ledger_trash AS SELECT * FROM ledger_answer")
        opened.execute("DELETE FROM ledger_answer")
    told = Told()
    run(experiment(provider.url), "again", told)
    assert (provider.count, told.notices) == (2 * TRIALS, [])


def test_a_failed_trial_is_no_answer_that_is_gone() -> None:
    """A run whose trials failed had nothing from the ledger, which has lost nothing then."""
    with Provider(answer=lambda _: Turn(status=404)) as served:
        run(experiment(served.url), "first")
    with Provider() as served:
        told = Told()
        run(experiment(served.url), "again", told)
    assert told.notices == []


@pytest.mark.parametrize("damage", [remove, emptied])
def test_rescoring_without_the_answers_loses_no_row(
    damage: Callable[[], None], provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    """`rescore` of a run whose answers are gone leaves its rows as they are, and says what to type."""
    before = rows("first")
    damage()
    assert main(["rescore", "outputs/first"]) == 1
    error, advice = capsys.readouterr().err.splitlines()[-2:]
    assert "would lose their replies" in error
    assert advice == "try:   runner a=b ledger.missing=buy"
    assert rows("first") == before
    assert provider.count == TRIALS


# ---- one row ---------------------------------------------------------------------------------------------------------

ROWS: dict[str, tuple[str, object]] = {
    "random bytes": ("raw = ?", bytes(range(128, 256))),
    "a text for a reply": ("raw = ?", "reply"),
    "a number for a reply": ("raw = ?", 10**12),
    "bytes for a time": ("time = ?", b"5"),
    "a text that is none": ("model_id = CAST(? AS TEXT)", b"\xff\xfe"),
    "bytes for an endpoint": ("endpoint = ?", b"a"),
    "another route": ("route = ?", "pigeon"),
    "attempts in words": ("attempts = ?", "many"),
    "fewer attempts than none": ("attempts = ?", -1),
    "seconds in words": ("latency_s = ?", "long"),
    "endless seconds": ("latency_s = ?", float("inf")),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_damaged_row_is_one_failed_trial(name: str, provider: Provider) -> None:
    """A row that is no answer any more fails its own trial, named by its key, with what to type; the others go on."""
    change, value = ROWS[name]
    key = rows("first")[1].key
    with closing(sqlite3.connect(LEDGER)) as opened, opened:
        opened.execute(f"UPDATE ledger_answer SET {change} WHERE key = ?", (value, key))  # noqa: S608  of this table
    this = Launch("runner a=b")
    result = run(experiment(provider.url), "again", this=this)
    assert (result.counts.scored, result.counts.failed, provider.count) == (TRIALS - 1, 1, TRIALS)
    (failed,) = [row for row in rows("again") if row.outcome == "failed"]
    assert failed.problem is not None
    assert (failed.key, failed.problem.kind) == (key, "damaged")
    assert f"runner ledger forget {key} --yes" in failed.problem.message
    assert this.purchase.failures[key].problem == failed.problem


def test_a_damaged_row_is_said_at_the_end(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    """`reproduce` of a run names the ledger's damaged rows, whether their columns or their reply is damaged."""
    keys = [row.key for row in rows("first")]
    with closing(sqlite3.connect(LEDGER)) as opened, opened:
        opened.execute("UPDATE ledger_answer SET raw = ? WHERE key = ?", (bytes([255]) * 9, keys[0]))
        opened.execute("UPDATE ledger_answer SET raw = 7 WHERE key = ?", (keys[1],))
    Path("outputs/first/.hydra").mkdir()
    assert main(["reproduce", "outputs/first"]) == 1
    said = "".join(capsys.readouterr().out.split())
    for key in keys[:2]:
        assert f"runnerledgerforget{key}--yes" in said
    assert provider.count == TRIALS


def test_a_damaged_claim_holds_nobody_up(provider: Provider) -> None:
    """A claim of nobody, or for ever, is no claim: what it holds is bought."""
    wanted = experiment(provider.url, *"abcdefg")
    keys = [trial.key for trial in TrialPlan(wanted).trials()][TRIALS:]
    with closing(sqlite3.connect(LEDGER)) as opened, opened:
        opened.executemany(
            "INSERT INTO ledger_claim VALUES (?, ?, ?)",
            [(keys[0], b"\xff", "never"), (keys[1], "host|99999999999999999999|x", 1e300), (keys[2], 7, 5e9)],
        )
    run(wanted, "more")
    assert provider.count == TRIALS + 3


BATCHES: dict[str, tuple[str, object]] = {
    "a model that is no JSON": ("model", "{"),
    "a model nested deep": ("model", "[" * 100_000),
    "a model of nothing": ("model", "{}"),
    "a model that is a number": ("model", 5),
    "a count in words": ("count", "many"),
    "another state": ("state", "lost at sea"),
    "a standing in a list": ("standing", "[1]"),
    "a time in words": ("created", "then"),
}


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("name", BATCHES)
def test_a_damaged_batch_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`status` says which batch's row is damaged, and what to type to leave it."""
    column, value = BATCHES[name]
    with open_ledger(URL) as ledger:
        assert ledger.batches.entries() == []
    columns = {
        "id": "b1", "run": "r", "api": "openai", "model": '{"name": "m", "id": "m", "provider": "p", "vendor": "v"}',
        "base": "", "account": "", "count": 1, "window_s": 1, "created": 1.0, "state": "sent", "note": "",
    }  # fmt: skip
    row = columns | {column: value}
    with closing(sqlite3.connect(LEDGER)) as opened, opened:
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        opened.execute(f"INSERT INTO batch ({names}) VALUES ({marks})", list(row.values()))  # noqa: S608
    assert main(["status"]) == 1
    error, advice = capsys.readouterr().err.splitlines()[-2:]
    assert "the batch b1 is damaged" in error
    assert str(LEDGER) in error
    command = shlex.split(advice.removeprefix("try:"))
    assert command[0] == "sqlite3"
    with closing(sqlite3.connect(command[1])) as opened, opened:
        opened.execute(command[2])
        assert opened.execute("SELECT state FROM batch").fetchall() == [("closed",)]


# ---- under a run -----------------------------------------------------------------------------------------------------

UNDER: dict[str, tuple[Callable[[], object], int]] = {
    "deleted": (remove, 8),
    "moved": (lambda: LEDGER.rename("elsewhere.db"), 8),
    "replaced": (lambda: (shutil.copy(LEDGER, "copy.db"), Path("copy.db").replace(LEDGER)), 8),
    "cut to nothing": (lambda: os.truncate(LEDGER, 0), 1),
    "cut in half": (lambda: os.truncate(LEDGER, LEDGER.stat().st_size // 2), 1),
}
"""What happens to the file, and how many answers are then beside it at least."""


@pytest.mark.parametrize("name", UNDER)
def test_a_ledger_that_goes_under_a_run_ends_it_and_loses_nothing(name: str) -> None:
    """What was stored and what arrives is put beside the ledger, nothing more is sent, and the error says where."""
    happen, least = UNDER[name]
    texts = [f"t{number}" for number in range(40)]
    asked = 0

    def answer(_: Any) -> Turn:
        nonlocal asked
        asked += 1
        if asked == 8:
            happen()
        return Turn()

    with Provider(answer=answer) as served:
        with pytest.raises(LedgerError, match="while it was in use") as caught:
            run(experiment(served.url, *texts), "first")
        (beside,) = LEDGER.parent.glob("ledger.rescued-*.db")
        assert str(beside) in str(caught.value)
        with open_ledger(f"sqlite:///{beside}") as ledger:
            keys = [trial.key for trial in TrialPlan(experiment(served.url, *texts)).trials()]
            kept = len(ledger.lookup(keys))
        assert served.count < len(texts)
        assert kept >= least
        if least > 1:
            assert kept == served.count


def test_what_arrives_later_is_kept_beside_the_ledger_too() -> None:
    """Each answer that comes after the file is gone, however late, is in the ledger beside it, with those before."""
    LEDGER.parent.mkdir()
    ledger = open_ledger(URL)
    ledger.get_ready()
    ledger.store([_answer("a")]).result(10)
    remove()
    for key in ("b", "c", "d"):
        with pytest.raises(LedgerError, match="is gone"):
            ledger.store([_answer(key)]).result(10)
    with pytest.raises(LedgerError, match="is gone"):
        ledger.close()
    (beside,) = LEDGER.parent.glob("ledger.rescued-*.db")
    with open_ledger(f"sqlite:///{beside}") as kept:
        assert kept.lookup("abcd") == {*"abcd"}


def _answer(key: str) -> Answer:
    return Answer(key, b"{}", "live", "m", "openai", 1, 0.1, "2026-11-28T00:00:00.000+00:00")
