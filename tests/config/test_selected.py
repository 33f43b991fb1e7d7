"""A mistake in a defaults list is said to be in the file that it stands in, whatever file Hydra names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from runner.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

GLOBAL = "# @package _global_\n"


@dataclass(frozen=True)
class Case:
    """Files below a --config-dir, the words that select one, and what is said of which."""

    id: str
    files: dict[str, str]
    words: tuple[str, ...]
    where: str
    says: str
    tried: str = ""


A = {"experiment/a.yaml": f"{GLOBAL}defaults:\n  - override /model: [gpt4o]\n"}
CASES = (
    Case("a list", A, ("experiment=a",), "experiment/a.yaml", "there is no model 'gpt4o'; did you mean 'gpt-4o'?"),
    Case("a sweep", A, ("-m", "experiment=japanese,a"), "experiment/a.yaml", "there is no model 'gpt4o'"),
    Case(
        "one name",
        {"experiment/a.yaml": f"{GLOBAL}defaults:\n  - override /prompt: affct\n"},
        ("experiment=a", "model=gpt-4o"),
        "experiment/a.yaml",
        "there is no prompt 'affct'; did you mean 'affect'?",
    ),
    Case(
        "an experiment that builds on another",
        {**A, "experiment/b.yaml": f"{GLOBAL}defaults:\n  - a\n"},
        ("experiment=b",),
        "experiment/a.yaml",
        "there is no model 'gpt4o'",
    ),
    Case(
        "a list of any group",
        {"persona/p.yaml": "# @package persona.p\ndefaults:\n  - poett\n"},
        ("persona=[robot,p]",),
        "persona/p.yaml",
        "there is no persona 'poett'; did you mean 'poet'?",
    ),
    Case(
        "a group that is not there",
        {"experiment/a.yaml": f"{GLOBAL}defaults:\n  - override /persna: [poet]\n"},
        ("experiment=a",),
        "experiment/a.yaml",
        "overrides a group that no defaults list has; did you mean 'persona'?",
    ),
    Case(
        "a key that is not there",
        {"experiment/a.yaml": f"{GLOBAL}sampling:\n  temprature: 1\n"},
        ("experiment=a",),
        "experiment/a.yaml",
        "key 'sampling.temprature': no such key; did you mean 'temperature'?",
    ),
    Case(
        "a key that must have a value",
        {"experiment/a.yaml": f"{GLOBAL}prompt:\n  affect:\n    questions: null\n"},
        ("experiment=a",),
        "experiment/a.yaml",
        "key 'prompt.affect.questions': field 'prompt.affect.questions' is not Optional",
    ),
    Case(
        "a plus too much",
        A,
        ("+experiment=a",),
        "command line",
        "set without a +",
        "runner plan --config-dir my experiment=a",
    ),
    Case(
        "what was typed",
        A,
        ("model=[gpt4o]",),
        "command line",
        "there is no model 'gpt4o'",
        "runner plan --config-dir my",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_file_is_named(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """File, key and the nearest name are said, and what opens the file, with its folder."""
    monkeypatch.chdir(tmp_path)
    for name, content in case.files.items():
        path = tmp_path / "my" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    assert main(["plan", "--config-dir", "my", *case.words]) == 2
    said, tried = capsys.readouterr().err.splitlines()[-2:]
    assert said.startswith(f"error: {case.where}, key ")
    assert case.says in said
    assert tried.startswith(f"try:   {case.tried or f'$EDITOR my/{case.where}'}")
