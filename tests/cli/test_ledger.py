"""`runner ledger` as it is typed: what it shows, what it does only when told so, and the run that offers it."""

from __future__ import annotations

import re
import shlex
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from loopback import Provider, Turn

from runner.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    # In one process Hydra leaves its log files to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

POISON = (
    b"<html>sign in</html>",
    b'{"error": {"message": "upstream failed", "code": 502}}',
    b'{"choices": []}',
    b"{}",
    b'{"object": "list", "data": []}',
)
"""What an earlier version took for an answer, since it came with status 200."""


class Shell:
    """A working folder and a model on loopback; the program is run as if it were typed."""

    def __init__(self, provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
        model = "model.openai_compatible"
        self.provider, self.capsys = provider, capsys
        self.words = (
            "model=openai_compatible", f"{model}.api_base={provider.url}", f"{model}.id=m", "persona=[poet,robot]",
            "report=false", "tracking.enabled=false",
        )  # fmt: skip

    def type(self, *words: str, status: int = 0) -> str:
        """What the program said, with white space as one blank; it must end with `status`."""
        self.capsys.readouterr()
        ended = main(words)
        said = self.capsys.readouterr()
        assert ended == status, said
        return " ".join((said.out + said.err).split())


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    with Provider() as provider:
        yield Shell(provider, capsys)


def poison(tmp_path: Path) -> None:
    """Put what is no reply in the place of the first answers."""
    with closing(sqlite3.connect(tmp_path / "outputs" / "ledger.db")) as database, database:
        keys = [key for (key,) in database.execute("select key from ledger_answer order by key")]
        for key, raw in zip(keys, POISON, strict=False):
            database.execute("update ledger_answer set raw = ? where key = ?", (raw, key))


def test_a_poisoned_ledger_is_said_and_cleaned_by_what_is_offered(shell: Shell, tmp_path: Path) -> None:
    """A run names the command that forgets what is no reply; typed as it stands, the next run asks just that again."""
    shell.type(*shell.words)
    poison(tmp_path)
    said = shell.type(*shell.words, status=3)
    assert shell.provider.count == 6
    assert "5 answers in the ledger are no replies" in said
    (offered,) = re.findall(r"runner (ledger forget \S+ --kind not_a_reply --yes)", said)
    dry = shell.type(*shlex.split(offered)[:-1])
    assert "would forget 5 answers of m (5)" in dry
    assert "nothing is changed" in dry
    assert "forgot 5 answers" in shell.type(*shlex.split(offered))
    assert "6 of 6 scored" in shell.type(*shell.words)
    assert shell.provider.count == 6 + 5
    assert shell.type(*shell.words).count("no replies") == 0
    assert shell.provider.count == 6 + 5


def test_looking_at_a_ledger(shell: Shell) -> None:
    """Sizes, a list, and one answer by the beginning of its key, with its reply."""
    shell.type(*shell.words)
    assert "6 answers" in shell.type("ledger")
    listed = shell.type("ledger", "list", "--limit", "2")
    assert "2 answers, 4 more" in listed
    key = re.findall(r"\b[0-9a-f]{12}\b", listed)[0]
    shown = shell.type("ledger", "show", key)
    assert f"key {key}" in shown
    assert '"usage"' in shown
    assert "has no answer ffffff" in shell.type("ledger", "show", "ffffff", status=1)
    assert "6 answers written" in shell.type("ledger", "export", "all.jsonl")
    assert "0 answers taken over, 6 here already" in shell.type("ledger", "merge", "all.jsonl")


def test_a_run_is_forgotten_with_what_it_paid(shell: Shell) -> None:
    """By a run and a kind that its questions tell: shown first, done with --yes, back by restore, gone by prune."""
    shell.provider.answer = lambda _body: Turn(content="no numbers here")
    shell.type(*shell.words)
    assert "nothing to forget" in shell.type("ledger", "forget", "latest", "--kind", "truncated")
    assert "name the RUN" in shell.type("ledger", "forget", "--kind", "no_score", status=2)
    dry = shell.type("ledger", "forget", "latest", "--kind", "no_score")
    assert "would forget 6 answers" in dry
    assert "paid" in dry
    shell.type("ledger", "forget", "latest", "--kind", "no_score", "--yes")
    assert "6 answers brought back" in shell.type("ledger", "restore")
    shell.type(*shell.words)
    assert shell.provider.count == 6
    shell.type("ledger", "forget", "--newer-than", "1h", "--yes")
    assert "would delete 6 forgotten answers" in shell.type("ledger", "prune")
    assert "nothing to prune" in shell.type("ledger", "prune", "--older-than", "1d", "--yes")
    assert "deleted 6 of 6" in shell.type("ledger", "prune", "--yes")
    assert "trash: 0 answers" in shell.type("ledger")
    shell.type("ledger", "vacuum")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("forget",), "say what to forget"),
        (("forget", "--kind", "nonsense"), "no kind is named 'nonsense'"),
        (("forget", "--older-than", "soon"), "'soon' is no duration"),
        (("list", "no/such/run"), "there is no folder"),
        (("list", "ledger.url=sqlite:///x.db"), "runner ledger list --ledger sqlite:///x.db"),
        (("show",), "show takes one KEY"),
        (("show", "abc"), "'abc' is no key: a key is 64 of the digits"),
        (("show", "latest"), "'latest' is no key"),
        (("forget", "1f3a", "--yes"), "'1f3a' is no key"),
        (("list", "ABCDEF12"), "'ABCDEF12' is no key"),
        (("merge",), "merge needs a file"),
        (("vacuum", "--yes"), "--yes is for"),
        (("shred",), "invalid choice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_mistyped_is_said_and_changes_nothing(shell: Shell, words: tuple[str, ...], said: str) -> None:
    """A wrong word costs nothing and names what to type."""
    found = shell.type("ledger", *words, status=2)
    assert said in found
    assert "try:" in found


def test_no_ledger_is_made_by_looking(shell: Shell, tmp_path: Path) -> None:
    """Without a ledger every action says so, and leaves none behind."""
    for words in (["sizes"], ["list"], ["forget", "--kind", "damaged"], ["vacuum"]):
        assert "there is no ledger" in shell.type("ledger", *words, status=1)
    assert not (tmp_path / "outputs").exists()


def test_the_ledger_of_rehearsals_is_named_where_there_is_no_other(shell: Shell, tmp_path: Path) -> None:
    """Where the usual ledger is missing what is there beside it is said, as a command that looks at it."""
    shell.type(*shell.words, "ledger.url=sqlite:///outputs/rehearsal.db")
    said = shell.type("ledger", "list", status=1)
    assert (
        "there is no ledger at sqlite:///outputs/ledger.db; beside it there is sqlite:///outputs/rehearsal.db" in said
    )
    (offered,) = re.findall(r"runner (ledger --ledger \S+)", said)
    assert "6 answers" in shell.type(*shlex.split(offered))
    assert not (tmp_path / "outputs" / "ledger.db").exists()
