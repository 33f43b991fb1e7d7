"""A value that is refused after Hydra has composed it is said to be where it was set: typed, or in which file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

import runner
from runner.cli.main import main
from runner.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

TYPED = "command line"
GLOBAL = "# @package _global_\n"


@dataclass(frozen=True)
class Case:
    """Words, files below a config folder, and the place and the key that are named."""

    id: str
    words: tuple[str, ...]
    where: str
    key: str
    files: dict[str, str] = field(default_factory=dict)
    says: str = ""

    def __post_init__(self) -> None:
        if self.where == TYPED and not self.says:
            object.__setattr__(self, "says", f"(typed: {self.words[-1]})")


def zero(**more: str) -> dict[str, str]:
    """An experiment that asks nothing, and further files."""
    return {"experiment/zero.yaml": f"{GLOBAL}sampling:\n  trials: 0\n", **more}


MINE = "# @package model.mine\nid: openai/gpt-4o-mini\nkey_env: K\n"
CASES = (
    # typed
    Case("at the root", ("ask_again.unscorable=-1",), TYPED, "ask_again.unscorable"),
    Case("a choice", ("ledger.missing=maybe",), TYPED, "ledger.missing"),
    Case("a group's key", ("sampling.trials=0",), TYPED, "sampling.trials"),
    Case("tracking", ("tracking.traces=some",), TYPED, "tracking.traces"),
    Case("an item's key", ("model.smollm2.limits.concurrency=0",), TYPED, "model.smollm2.limits.concurrency"),
    Case("as a mapping", ("ask_again={unscorable:-1}",), TYPED, "ask_again.unscorable"),
    Case("with two", ("++persona.poet.temperature=9",), TYPED, "persona.poet.temperature"),
    Case("in a list", ("ask_again.keys=[abc]",), TYPED, "ask_again.keys"),
    Case("the later of two", ("sampling.trials=2", "sampling.trials=0"), TYPED, "sampling.trials"),
    Case("nothing chosen", ("persona=[]",), TYPED, "persona"),
    Case("all questions taken away", tuple(f"~prompt.affect.questions.{name}" for name in
         ("interesting", "surprise", "sadness", "anger")), TYPED, "prompt.affect.questions"),
    Case("the other end", ("prompt.affect.questions.anger.high=0",), TYPED, "prompt.affect.questions.anger.high"),
    Case("a label twice", ("prompt.affect.questions.anger.label=sadness",), TYPED,
         "prompt.affect.questions.anger.label"),
    Case("a folder", ("text=folder", "text.folder.path=nowhere"), TYPED, "text.folder.path"),
    Case("a template", ("prompt.affect.user='{{ x'",), TYPED, "prompt.affect.user"),
    Case("with a plus", ("+model.smollm2.extra.messages=1",), TYPED, "model.smollm2.extra.messages"),
    Case("a long word", (f"ask_again.keys=[{'x' * 200}]",), TYPED, "ask_again.keys", says="xxx...)"),
    Case("typed over a file", ("experiment=zero", "sampling.trials=-1"), TYPED, "sampling.trials", zero()),
    Case("a typed choice sets no value", ("sampling=hot",), "sampling/hot.yaml", "temperature",
         {"sampling/hot.yaml": "temperature: 3\ntrials: 1\n"}),
    # an experiment's file
    Case("an experiment", ("experiment=zero",), "experiment/zero.yaml", "sampling.trials", zero()),
    Case("with another typed", ("experiment=zero", "sampling.seed=1"), "experiment/zero.yaml", "sampling.trials",
         zero()),
    Case("of an item in an experiment", ("experiment=a",), "experiment/a.yaml", "model.smollm2.limits.concurrency",
         {"experiment/a.yaml": f"{GLOBAL}model:\n  smollm2:\n    limits:\n      concurrency: 0\n"}),
    Case("a prompt's template", ("experiment=a",), "experiment/a.yaml", "prompt.affect.user",
         {"experiment/a.yaml": f"{GLOBAL}prompt:\n  affect:\n    user: '{{{{ x'\n"}),
    Case("an experiment that builds on one", ("experiment=b",), "experiment/zero.yaml", "sampling.trials",
         zero(**{"experiment/b.yaml": f"{GLOBAL}defaults:\n  - zero\nname: b\n"})),
    Case("one that sets it anew", ("experiment=b",), "experiment/b.yaml", "sampling.trials",
         zero(**{"experiment/b.yaml": f"{GLOBAL}defaults:\n  - zero\nsampling:\n  trials: -1\n"})),
    Case("nothing chosen by one", ("experiment=a",), "experiment/a.yaml", "persona",
         {"experiment/a.yaml": f"{GLOBAL}defaults:\n  - override /persona: []\n"}),
    Case("beside an item's own", ("experiment=a", "model=[mine]"), "experiment/a.yaml", "model.mine.limits.concurrency",
         {"model/mine.yaml": f"{MINE}limits:\n  concurrency: 3\n",
          "experiment/a.yaml": f"{GLOBAL}model:\n  mine:\n    limits:\n      concurrency: 0\n"}),
    # a group's file, an item's own
    Case("an item's own", ("model=[mine]",), "model/mine.yaml", "limits.concurrency",
         {"model/mine.yaml": MINE + "limits:\n  concurrency: 0\n"}),
    Case("a persona's own", ("prompt=affect_ja", "persona=[mine]"), "persona/mine.yaml", "description.ja",
         {"persona/mine.yaml": "# @package persona.mine\ndescription: {en: mine}\n"}),
    Case("a group's, of an experiment", ("experiment=a",), "sampling/hot.yaml", "temperature",
         {"sampling/hot.yaml": "temperature: 3\ntrials: 1\n",
          "experiment/a.yaml": f"{GLOBAL}defaults:\n  - override /sampling: hot\n"}),
)  # fmt: skip


def written(case: Case, folder: Path) -> Path:
    """The case's files below a config folder."""
    folder.mkdir()
    for name, content in case.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return folder


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_place_is_where_it_was_set(case: Case, tmp_path: Path) -> None:
    """What composing or planning refuses names the word that was typed, the experiment's file, or the item's own."""
    with pytest.raises(ConfigError) as caught:
        runner.plan(runner.compose(*case.words, config_dir=written(case, tmp_path / "my")))
    assert (caught.value.where, caught.value.key) == (case.where, case.key)
    assert case.says in str(caught.value)
    assert str(caught.value).startswith(f"{case.where}, key '{case.key}': ")


@pytest.mark.parametrize(
    ("words", "says", "tries"),
    [
        (
            ["ask_again={unscorable:-1}"],
            "error: command line, key 'ask_again.unscorable': -1 must be at least 0 (typed: ask_again={unscorable:-1})",
            "try:   runner plan --config-dir 'my own' 'ask_again={unscorable:-1}' ask_again.unscorable=0",
        ),
        (
            ["-m", "experiment=zero,a"],
            "error: experiment/zero.yaml, key 'sampling.trials': 0 must be at least 1",
            "try:   runner plan --config-dir 'my own' -m experiment=zero,a sampling.trials=1",
        ),
        (
            ["-m", "sampling.trials=0,-1"],
            "error: command line, key 'sampling.trials': 0 must be at least 1 (typed: sampling.trials=0)",
            "try:   runner plan --config-dir 'my own' -m sampling.trials=1",
        ),
        (
            ["experiment=b"],
            "error: experiment/b.yaml, key 'prompt.affect.questions.anger.label': two questions have the label",
            "try:   $EDITOR 'my own/experiment/b.yaml'",
        ),
    ],
)  # fmt: skip
def test_what_the_command_line_says(
    words: list[str], says: str, tries: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command and a sweep say the same, with what to type."""
    a = f"{GLOBAL}model:\n  smollm2:\n    limits:\n      attempts: 0\n"
    b = f"{GLOBAL}prompt:\n  affect:\n    questions: {{anger: {{label: sadness}}}}\n"
    written(Case("", (), "", "", zero(**{"experiment/a.yaml": a, "experiment/b.yaml": b})), tmp_path / "my own")
    assert main(["plan", "--config-dir", "my own", *words]) == 2
    said, tried = capsys.readouterr().err.splitlines()[-2:]
    assert said.startswith(says)
    assert tried == tries


def test_a_job_that_fails_beside_others_says_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sweep's other jobs go on."""
    written(Case("", (), "", "", zero()), tmp_path / "my")
    assert main(["plan", "-m", "--config-dir=my", "experiment=zero", "sampling.trials=0,2"]) == 2
    assert "job 0 cannot be planned: command line, key 'sampling.trials': 0" in "".join(capsys.readouterr())
