"""Models that have ended: said by `plan`, by a run and by the Python API, before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import runner
from runner.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

SAID = "gone: withdrawn since 2020-01-02: use gpt-6-luna \\(somebody\\)"
SERVED = "persona=[poet]", "text=[rain]", "tracking.enabled=false", "report=false"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config folder with a model that has ended, and whose key is not set, so that nothing can be sent."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mine" / "model"
    folder.mkdir(parents=True)
    (folder / "gone.yaml").write_text(
        "# @package model.gone\nid: gone-1\nprovider: openai\nkey_env: NOBODY_SET_THIS\n"
        "retirement: {date: 2020-01-02, replacement: gpt-6-luna, source: somebody}\n",
        encoding="utf-8",
    )
    return tmp_path / "mine"


def test_the_api_warns_where_it_was_called(mine: Path) -> None:
    """Both a plan and a run give a UserWarning, at the caller's own line."""
    experiment = runner.compose("model=[gone]", *SERVED, config_dir=mine)
    with pytest.warns(UserWarning, match=SAID) as planned:
        runner.plan(experiment)
    with pytest.warns(UserWarning, match=SAID) as ran, pytest.raises(runner.ConfigError, match="NOBODY_SET_THIS"):
        runner.run(experiment, out=mine / "out")
    assert {warned.filename for warned in [*planned, *ran]} == {__file__}


def test_the_api_is_silent_of_what_is_served(mine: Path) -> None:
    """A model that nobody withdraws is planned without a word."""
    runner.plan(runner.compose("model=[smollm2]", *SERVED, config_dir=mine))


@pytest.mark.parametrize("verb", [["plan"], []])
def test_the_command_line_says_it_before_anything_is_sent(
    verb: list[str], mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`plan` and a run show the line, the run before it finds that the key is not set."""
    main([*verb, f"--config-dir={mine}", "model=[gone]", *SERVED])
    said = " ".join(capsys.readouterr().out.split())
    assert SAID.replace("\\", "") in said
