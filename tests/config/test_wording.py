"""Words reach the prompt as they are written, or are refused with the advice to quote them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from runner import api
from runner.cli.main import main
from runner.config import wording
from runner.config.compose import compose, conf_dir
from runner.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Case:
    """A file below a --config-dir, the words that select it, and line, key and reading in the complaint."""

    file: str
    content: str
    words: tuple[str, ...]
    says: tuple[str, ...]


TEXT = "# @package text.t\ncontent: A text.\n"
CASES = (
    Case("text/t.yaml", f"{TEXT}title: 12:30\n", ("text=t",), ("line 3", "text.t.title", "12:30 is read as 750")),
    Case("text/t.yaml", f"{TEXT}language: no\n", ("text=[t]",), ("text.t.language", "no is read as False")),
    Case("text/t.yaml", "# @package text.t\ncontent: 3.10\n", ("text=[rain,t]",), ("3.10 is read as 3.1",)),
    Case("text/t.yaml", f"{TEXT}author: 007\n", ("text=t",), ("007 is read as 7",)),
    Case("text/t.yaml", f"{TEXT}title: 1_000\n", ("text=t",), ("1_000 is read as 1000",)),
    Case("text/t.yaml", f"{TEXT}title: 1e3\n", ("text=t",), ("1e3 is read as 1000.0",)),
    Case("text/t.yaml", f"{TEXT}title: 0x1F\n", ("text=t",), ("0x1F is read as 31",)),
    Case(
        "persona/p.yaml",
        "# @package persona.p\ndescription:\n  no: Du er en dikter.\n",
        ("persona=p",),
        ("no is read as False",),
    ),
    Case(
        "persona/p.yaml",
        "# @package persona.p\ndescription:\n  en: yes\n",
        ("persona=p",),
        ("description.en", "yes is read as True"),
    ),
    Case(
        "prompt/q.yaml",
        "# @package prompt.q\nsystem: x\nuser: y\nquestions:\n  joy: {wording: on}\n",
        ("prompt=q",),
        ("prompt.q.questions.joy.wording", "on is read as True"),
    ),
    Case(
        "model/m.yaml",
        "# @package model.m\nid: 3.10\nprovider: openai\nkey_env: K\n",
        ("model=m",),
        ("model.m.id", "3.1"),
    ),
    Case(
        "experiment/e.yaml", "# @package _global_\nname: 2024_11\n", ("experiment=e",), ("key 'name'", "read as 202411")
    ),
    Case("text/t.yaml", "# @package text.t\n<<: {title: 12:30}\ncontent: A\n", ("text=t",), ("12:30 is read as 750",)),
    Case("text/t.yaml", f"{TEXT}title: Null\n", ("text=t",), ("text.t.title", "Null is read as no value")),
    Case(
        "persona/p.yaml",
        "# @package persona.p\ndescription:\n  ~: someone\n",
        ("persona=p",),
        ("~ is read as no value",),
    ),
    Case(
        "experiment/e.yaml",
        "# @package _global_\ntext:\n  rain:\n    title: 0o17\n    author: 1:20:30\n",
        ("+experiment=e",),
        ("text.rain.author", "1:20:30 is read as 4830"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file} {case.says[-1]}")
def test_a_word_that_yaml_changes_is_refused(case: Case, tmp_path: Path) -> None:
    """File, line and key are said, what it is read as, and what opens the file."""
    path = tmp_path / "my" / case.file
    path.parent.mkdir(parents=True)
    path.write_text(case.content, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        wording.check(["--config-dir", str(tmp_path / "my"), *case.words], conf_dir())
    assert [part for part in (case.file, *case.says, "put it in quotes") if part not in str(caught.value)] == []
    assert caught.value.advice == f"$EDITOR {path}"
    with pytest.raises(ConfigError, match="put it in quotes"):
        compose(case.words, tmp_path / "my")


@pytest.mark.parametrize(
    ("written", "advised"),
    [
        ("text.rain.title=3.10", "'text.rain.title=\"3.10\"'"),
        ("name=2024_11", "'name=\"2024_11\"'"),
        ("text.rain={title: 1.10}", "'text.rain={title: \"1.10\"}'"),
        ("text={rain: {author: 1_000}}", "'text={rain: {author: \"1_000\"}}'"),
        ("text.rain.author=1_000", "'text.rain.author=\"1_000\"'"),
        ("persona.poet.description=true", "'persona.poet.description=\"true\"'"),
        ("persona.poet.description.en=1e3", "'persona.poet.description.en=\"1e3\"'"),
    ],
)
def test_so_is_one_on_the_command_line(
    written: str, advised: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is advised is the same command with quotes, and it is taken."""
    monkeypatch.chdir(tmp_path)
    assert main(["plan", written]) == 2
    assert capsys.readouterr().err.endswith(f"\ntry:   runner plan {advised}\n")
    wording.check([advised.strip("'")], conf_dir())


def test_words_that_stay_are_taken(tmp_path: Path) -> None:
    """Quoted, in blocks, and numbers that read as they are written; and what no words are wanted for."""
    path = tmp_path / "text" / "t.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(
        "# @package text.t\ncontent: |-\n  3.10\n"
        "title: \"12:30\"\nauthor: 1984\nlanguage: 'no'\ntemperature_shift: 0.10\n",
        encoding="utf-8",
    )
    more = (
        "sampling.temperature=0.10",
        "text.t.title=12:30",
        "text.t.author=1984",
        "model.gpt-4o.extra.x=1.50",
        "text.t.language=no",
    )
    wording.check(["--config-dir", str(tmp_path), "text=t", "model=gpt-4o", *more], conf_dir())


def test_a_text_with_a_dollar_and_a_brace_says_how_it_is_written(tmp_path: Path) -> None:
    """What Hydra would put something else in for is refused with file and key, not raised as it comes."""
    path = tmp_path / "text" / "t.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("# @package text.t\ncontent: Er zahlte ${5} und ging.\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"text/t\.yaml, key 'text\.t\.content'.*is written \\\$\{"):
        api.compose("text=t", config_dir=tmp_path)
