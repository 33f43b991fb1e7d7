"""`runner --help` and the verbs' own pages: what fits a terminal, and that the table of verbs is true."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from runner.cli.main import main
from runner.cli.verbs.table import VERBS
from runner.config.compose import conf_dir

if TYPE_CHECKING:
    from pathlib import Path

LINES, COLUMNS = 40, 80
HEAVY = {"hydra", "omegaconf", "litellm", "mlflow", "pandas", "aiohttp", "sqlalchemy", "scipy", "rich"}
"""Packages whose import takes longer than a page of help may."""


def page(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    try:
        assert main(words) == 0
    except SystemExit as end:  # argparse's own way
        assert end.code == 0  # noqa: PT017
    return capsys.readouterr().out.splitlines()


def test_the_help_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """`runner --help` has one line a verb with an example, then every config group, in 40 lines of 80 columns."""
    lines = page(capsys, "--help")
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= COLUMNS
    for name, verb in VERBS.items():
        (line,) = (line for line in lines if line.startswith(f"{name} "))
        assert line.endswith(f"runner {verb.example}")
        assert verb.summary in line
    groups = {folder.name for folder in conf_dir().iterdir() if folder.is_dir()}
    assert groups <= {line.split()[0] for line in lines if line.startswith("  ")}


@pytest.mark.parametrize("words", ["-h", "-m --help", "model=[gpt-4o] --help", "--help -q", "--hel"])
def test_help_is_found_anywhere(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The page of help is the same wherever it is asked for, and nothing runs."""
    assert page(capsys, *words.split()) == page(capsys, "--help")


def test_groups_of_ones_own_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a config folder of the user's own adds stands beside what comes with the program."""
    (tmp_path / "mine" / "persona").mkdir(parents=True)
    (tmp_path / "mine" / "persona" / "critic.yaml").touch()
    (line,) = (line for line in page(capsys, "--help", "--config-dir", "mine") if line.startswith("  persona"))
    assert "critic, poet" in line


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_a_page(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`runner VERB --help` names the verb's options and its example, in lines of 80 columns."""
    lines = page(capsys, name, "--help")
    assert lines[0].startswith(f"usage: runner {name}")
    assert f"example: runner {VERBS[name].example}" in lines
    assert max(map(len, lines)) <= COLUMNS


@dataclass(frozen=True)
class Own:
    """A verb that takes a run's overrides, and what only its page can tell."""

    verb: str
    says: tuple[str, ...]


OWN = (
    Own("plan", ("--show", "MODEL/PERSONA/TEXT/REPETITION", "OVERRIDES", "sends nothing")),
    Own("rehearse", ("--plan", "calm, ", "study", "YAML file", "OVERRIDES")),
)


@pytest.mark.parametrize("own", OWN, ids=lambda own: own.verb)
def test_verbs_that_take_overrides_have_pages_of_their_own(own: Own, capsys: pytest.CaptureFixture[str]) -> None:
    """What `plan` and `rehearse` take beside a run's overrides is on their pages, wherever --help stands."""
    said = " ".join(" ".join(page(capsys, own.verb, "model=[gpt-4o]", "--help")).split())
    for each in own.says:
        assert each in said
    assert said == " ".join(" ".join(page(capsys, own.verb, "-h")).split())


@pytest.mark.parametrize("name", VERBS)
def test_the_table_names_what_is_there(name: str) -> None:
    """A verb's module says what the verb takes and does it: options_NAME and run_NAME, both described."""
    module = import_module(f"runner.cli.verbs.{VERBS[name].module}")
    for function in (getattr(module, f"options_{name}"), getattr(module, f"run_{name}")):
        assert inspect.getdoc(function)


def test_the_help_imports_nothing_heavy() -> None:
    """It is there at once: neither Hydra nor anything that a run needs is imported for it."""
    code = f"import sys; from runner.cli.main import main; main(['--help']); assert not {HEAVY} & {{*sys.modules}}"
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=60, capture_output=True)
