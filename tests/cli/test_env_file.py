"""`--env-file`: variables of a file for any command, as python-dotenv reads them; names are said, values never."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from loopback import Provider, Turn, scores

from runner.cli.arguments import first_of, sorted_out
from runner.cli.env_file import load
from runner.cli.main import main
from runner.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "sk-never-shown-1234567890"  # noqa: S105  nobody's


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work" / "deep"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


@dataclass(frozen=True)
class Case:
    """A file's text, what was set before, and what is set then."""

    text: str
    before: dict[str, str]
    after: dict[str, str]


CASES = {
    "plain": Case("A=1\nB=two words\n", {}, {"A": "1", "B": "two words"}),
    "quotes, export, remarks": Case("export A='x' # no\n# B=2\nC=\"y\\nz\"\n", {}, {"A": "x", "C": "y\nz"}),
    "Windows": Case("\ufeffA=1\r\nB=2\r\n", {}, {"A": "1", "B": "2"}),
    "names in values": Case("A=1\nB=${A}2\n", {}, {"A": "1", "B": "12"}),
    "what is set stays": Case("A=1\nB=2\n", {"A": "mine"}, {"A": "mine", "B": "2"}),
    "a name alone": Case("A\nB=2\n", {}, {"B": "2"}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_file_is_read_as_its_users_expect(case: Case, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every form that python-dotenv takes is taken; which names were, is said on standard error, and no value."""
    (here / ".env").write_bytes(case.text.encode("utf-8"))
    environment = dict(case.before)
    load(["plan", "--env-file", ".env", "model=x"], environment)
    assert environment == case.after
    said = capsys.readouterr()
    assert said.out == ""
    assert all(name in said.err for name in case.after)
    assert not any(value in said.err for value in case.after.values() if len(value) > 1)


def test_nothing_is_read_unasked(here: Path) -> None:
    """A .env that no command names changes nothing."""
    (here / ".env").write_text("A=1\n", encoding="utf-8")
    environment: dict[str, str] = {}
    load(["plan", "model=x"], environment)
    assert environment == {}


def test_a_bare_name_is_looked_for_above(here: Path) -> None:
    """As python-dotenv does; a path is a path."""
    (here.parent / ".env").write_text("A=above\n", encoding="utf-8")
    environment: dict[str, str] = {}
    load(["--env-file=.env"], environment)
    assert environment == {"A": "above"}
    with pytest.raises(ConfigError, match="there is no file"):
        load(["--env-file=./.env"], environment)


@dataclass(frozen=True)
class Refused:
    """A file's bytes (None: no file), the words, and what is said."""

    data: bytes | None
    words: tuple[str, ...]
    said: str


REFUSED = {
    "no file": Refused(None, ("models", "--env-file", ".env"), "there is no file '.env'"),
    "no name": Refused(b"A=1", ("models", "--env-file"), "needs the name of a file"),
    "another option": Refused(b"A=1", ("models", "--env-file", "--json"), "needs the name of a file"),
    "a line that is none": Refused(f"A=1\n{SECRET} oops\n".encode(), ("models", "--env-file=.env"), "line 2"),
    "another encoding": Refused("A=é\n".encode("latin-1"), ("models", "--env-file=.env"), "is not UTF-8"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused_whole(
    case: Refused, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line with what to type; nothing is taken, and no line of the file is shown."""
    monkeypatch.delenv("A", raising=False)
    if case.data is not None:
        (here / ".env").write_bytes(case.data)
    assert main([*case.words]) == 2
    said = capsys.readouterr().err
    assert case.said in said
    assert "try: " in said
    assert SECRET not in said
    assert "A" not in os.environ


def test_options_of_ours_stand_anywhere() -> None:
    """The option is no word of Hydra's, and hides no verb."""
    found = sorted_out(["--env-file", ".env", "a=1", "-m"])
    assert (found.overrides, found.for_hydra) == (("a=1",), ["a=1", "-m"])
    assert sorted_out(["a=1", "--env-file=x"]).for_hydra == ["a=1"]
    assert first_of(["-q", "--env-file", ".env", "models", "--check"]) == "models"
    assert first_of(["--env-file=.env", "a=1"]) == "a=1"
    assert first_of(["--env-file", ".env"]) == ""


def test_a_run_is_paid_with_the_files_key(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key reaches the provider, and neither the screen nor a file; the command to go on names the file again."""
    monkeypatch.setenv("KEPT", "")
    monkeypatch.delenv("FROM_FILE", raising=False)
    (here / ".env").write_text(f"FROM_FILE={SECRET}\n", encoding="utf-8")
    with Provider(answer=lambda _: Turn(content=scores())) as provider:
        model = [
            f"model.openai_compatible.{word}" for word in (f"api_base={provider.url}", "id=m", "key_env=FROM_FILE")
        ]
        words = ["model=openai_compatible", *model, "text=[rain]", "persona=[poet]"]
        try:
            assert main(["--env-file", ".env", *words, "tracking.enabled=false", "report=false"]) == 0
        finally:
            os.environ.pop("FROM_FILE", None)
        assert provider.count == 1
    said = capsys.readouterr()
    assert ".env: taken: FROM_FILE" in said.err
    assert SECRET not in said.out + said.err
    files = [path for path in here.rglob("*") if path.is_file() and path.name != ".env"]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    (run,) = here.glob("outputs/*/*/run.json")
    assert "runner --env-file .env model=openai_compatible" in run.read_text(encoding="utf-8")
