"""What a command prints can be pasted, whatever its folder is called."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from runner.cli.main import main
from runner.cli.output import quoted

FOLDER = 'outputs/mein "Lauf" für $HOME, it\'s (1)'


def test_a_path_is_shown_as_a_shell_takes_it(tmp_path: Path) -> None:
    """Below the working folder it is relative, else whole; and a shell gives it back as it was."""
    for name in ("plain", "two words", "é", "日本", "it's", "$HOME", "a&b", "-x"):
        assert shlex.split(quoted(tmp_path / "outputs" / name)) == [f"outputs/{name}"]
    assert quoted(Path("/nowhere/at all")) == "'/nowhere/at all'"
    assert quoted(tmp_path / "-x y") == "'./-x y'"  # which no command takes for an option


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_last_lines_of_a_run_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    """Places and commands after a run name its folder as a shell takes it, and the commands do their work."""
    words = ["model=gpt-4o-mini", "persona=[poet]", "text=[rain]", "tracking.enabled=false", "report=false"]
    escaped = FOLDER.replace("'", "\\'")
    assert main(["rehearse", *words, f"hydra.run.dir='{escaped}'"]) == 0
    said = capsys.readouterr().out
    (place,) = re.findall(r"^results: (.*)$", said, re.MULTILINE)
    assert shlex.split(place) == [FOLDER]
    (following,) = re.findall(r"^next: +(.*)$", said, re.MULTILINE)
    assert main(shlex.split(following)[1:]) == 0
    capsys.readouterr()
    for verb, label in (("report", "report"), ("export --format csv --out 'my own.csv'", "1 trial written to")):
        assert main([*shlex.split(verb), FOLDER]) == 0
        written = capsys.readouterr().out.strip().rpartition(f"{label}:" if label == "report" else label)[2]
        assert Path(shlex.split(written)[0]).is_file()


def test_errors_that_name_a_folder_quote_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the advice is to look into a folder, that is typed as a shell takes it."""
    (tmp_path / "my texts").mkdir()
    for words, tried in (
        (["plan", "text=folder", "text.folder.path='my texts'"], "ls 'my texts'"),
        (["plan", "text=folder", "text.folder.path='my texts/none'"], "ls 'my texts'"),
        (["plan", "text=table", "text.table.path='my texts/none.csv'"], "ls 'my texts'"),
    ):
        assert main(words) == 2
        assert capsys.readouterr().err.endswith(f"\ntry:   {tried}\n")
