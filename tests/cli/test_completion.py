"""Tab completion: what is offered for a line, and the script in a real bash."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.cli import completion
from runner.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Case:
    """A line, what must be offered at its end, and what must not."""

    line: str
    offered: tuple[str, ...]
    not_offered: tuple[str, ...] = ()


OURS = (
    Case("runner ", ("plan ", "stats ", "models "), ("--cfg ",)),
    Case("runner sta", ("status ", "stats "), ("plan ",)),
    Case("runner -q sta", ("stats ",)),
    Case("runner stats --", ("--json ", "--help "), ("--cfg ",)),
    Case("runner stats ", ("outputs/day/one ", "outputs/day/sweep "), ("outputs/day/none ",)),
    Case("runner compare outputs/day/one outputs/day/s", ("outputs/day/sweep ",), ("outputs/day/one ",)),
    Case("runner export outputs/day/one --format ", ("study ", "csv ", "parquet ")),
    Case("runner completion ", ("bash ", "zsh ", "fish ")),
    Case("runner rehearse --plan ", ("study ", "calm ")),
    Case("runner rehearse --pl", ("--plan ",)),
    Case("runner a=1 --c", ("--cfg ", "--config-dir "), ("--json ",)),
    Case("runner --cfg ", ("job ", "hydra ", "all ")),
)


@pytest.mark.parametrize("case", OURS, ids=lambda case: case.line)
def test_what_is_offered(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verbs, their options, and folders of runs are offered where they may stand, without asking Hydra's completion."""
    monkeypatch.chdir(tmp_path)
    for name, file in (("one", "run.json"), ("sweep", "sweep.json"), ("none", "note.txt")):
        folder = tmp_path / "outputs" / "day" / name
        folder.mkdir(parents=True)
        (folder / file).touch()

    found = completion.candidates(case.line, lambda _words: [])
    assert set(case.offered) <= set(found)
    assert not set(case.not_offered) & set(found)


HYDRAS = (
    Case("runner prompt=", ("prompt=affect ", "prompt=interest ")),
    Case("runner plan -m sampling.tr", ("sampling.trials=",)),
    Case("runner pers", ("persona=", "persona.")),
    Case("runner persona=[poet,r", ("persona=[poet,robot",)),
    Case("runner -m model=gpt-4o,gpt-4o-m", ("model=gpt-4o,gpt-4o-mini ",)),
    Case("runner models gpt-4o-m", ("gpt-4o-mini ",)),
    Case("runner ui tracking.u", ("tracking.uri=",)),
)


@pytest.mark.parametrize("case", HYDRAS, ids=lambda case: case.line)
def test_overrides_are_hydras(case: Case, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Groups, their choices and keys are completed, within a list and behind a verb too."""
    monkeypatch.setenv("COMP_LINE", case.line)
    assert main(["completion", "--query", "bash"]) == 0
    assert set(case.offered) <= set(capsys.readouterr().out.splitlines())


def test_the_script_works_in_bash(tmp_path: Path) -> None:
    """Bash is given whole words, and of a word with = in it what follows that, as bash wants it."""
    program = tmp_path / "runner"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m runner "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    asked = """
eval "$(runner completion bash)"
complete -p runner
ask() { COMP_LINE="$1"; COMP_POINT=${#1}; COMP_WORDS=(runner); _runner_complete; printf '<%s>\\n' "${COMPREPLY[@]}"; }
ask "runner stat"
ask "runner persona=[poet,r"
COMP_WORDBREAKS=' '
ask "runner persona=[poet,r"
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", asked],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert "_runner_complete runner" in lines[0]
    assert lines[1:] == ["<stats >", "<status >", "<[poet,robot>", "<persona=[poet,robot>"]


def test_a_script_for_each_shell(capsys: pytest.CaptureFixture[str]) -> None:
    """Each shell's script asks the program for its own candidates; without a shell it says what to type."""
    for shell in completion.SHELLS:
        assert main(["completion", shell]) == 0
        assert f"completion --query {shell}" in capsys.readouterr().out
    assert main(["completion"]) == 2
    assert 'eval "$(runner completion bash)"' in capsys.readouterr().err
