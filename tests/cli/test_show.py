"""`runner plan --show`: requests word for word, before anything is bought."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.cli.main import main


@dataclass(frozen=True)
class Case:
    """A command line, the trials that it shows, and what stands and does not stand in them."""

    words: tuple[str, ...]
    trials: tuple[str, ...]
    says: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


BOTH = ("model=[gpt-4o-mini,o1-mini]", "persona=[poet,robot]", "text=[rain]", "prompt=interest")
CASES = (
    Case(
        ("--show", *BOTH),
        ("gpt-4o-mini/poet/rain/1", "o1-mini/poet/rain/1"),
        (
            "--- system ---\nYou are a poet",
            "--- user ---\nYou are a poet",  # o1-mini has no system role
            '"json_schema"',
            "schema: a JSON schema, which the API enforces",
            "  nothing\n",
            "temperature (0.9): the model takes no temperature: not sent",
            "system (system): no system role: the persona opens the user message",
            "How interesting is the text above, to you?",
        ),
        ("{{", "robot"),
    ),
    Case(("--show=o1-mini/robot", *BOTH), ("o1-mini/robot/rain/1",), ("--- user ---",), ("--- system ---", "poet")),
    Case((*BOTH, "--show", "gpt-4o-mini/robot/rain/2", "sampling.trials=2"), ("gpt-4o-mini/robot/rain/2",)),
    Case(
        ("-m", "--show", "model=gpt-4o-mini,o1-mini", "persona=[poet]", "text=[rain]"),
        ("gpt-4o-mini/poet/rain/1", "o1-mini/poet/rain/1"),
    ),
    Case(
        ("--show", "model=[deepseek-chat]", "persona=[poet]", "text=[rain]", "sampling.seed=7"),
        ("deepseek-chat/poet/rain/1",),
        ("seed (7): the API takes no seed",),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case.words[:2]))
def test_requests_are_shown_as_their_models_get_them(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    """Each model's first request, or the trial that is named, with what was dropped; no key, and no file."""
    assert main(["plan", *case.words]) == 0
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if line.count("/") == 3 and " " not in line] == [*case.trials]
    for each in case.says:
        assert each in said
    for each in case.never:
        assert each not in said
    assert said.endswith("Nothing was sent.\n")
    assert not [*Path().iterdir()]


def test_a_trial_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """The nearest trials are named, with the command as it was typed but for that."""
    assert main(["plan", "--show", "o1-mini/poet/rin", "model=[o1-mini]", "text=[rain,parcel]"]) == 2
    error, tried = capsys.readouterr().err.splitlines()
    assert "no trial is named 'o1-mini/poet/rin'; the nearest: o1-mini/poet/rain/1" in error
    assert tried == "try:   runner plan --show o1-mini/poet/rain/1 'model=[o1-mini]' 'text=[rain,parcel]'"
