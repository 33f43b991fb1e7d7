"""What a shell split at a space is said with the whole of it in quotes, ready to paste."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.cli.main import main
from runner.cli.split_words import rejoined
from runner.cli.verbs.table import VERBS


@dataclass(frozen=True)
class Case:
    """A command line as it was typed, and as it was meant."""

    typed: str
    meant: str


CASES = (
    Case("persona=[poet robot]", "'persona=[poet,robot]'"),
    Case("persona=[poet, robot]", "'persona=[poet,robot]'"),
    Case("persona=[poet ,robot] text=rain", "'persona=[poet,robot]' text=rain"),
    Case("persona=[ poet robot student ]", "'persona=[poet,robot,student]'"),
    Case("persona=[poet robot", "'persona=[poet,robot]'"),
    Case("plan -m persona=poet, robot, student", "plan -m persona=poet,robot,student"),
    Case("rehearse --plan study persona=[poet robot]", "rehearse --plan study 'persona=[poet,robot]'"),
    Case("model=gpt-4o ,o1-mini -m", "model=gpt-4o,o1-mini -m"),
    Case("persona = poet", "persona=poet"),
    Case("text=rain sampling.trials= 3", "text=rain sampling.trials=3"),
    Case("sampling.trials =3 text=rain", "sampling.trials=3 text=rain"),
    Case(r"name=\"two words\" text=rain", "'name=\"two words\"' text=rain"),
    Case(r"name=\'two words\'", shlex.quote("name='two words'")),
    Case("+model.any.extra={top_p: 0.5, top_k: 3}", "'+model.any.extra={top_p:0.5,top_k:3}'"),
    Case("+model.any.extra={a: [1 2] b: 3}", "'+model.any.extra={a:[1,2],b:3}'"),
    Case("-m persona=choice(poet, robot)", "-m 'persona=choice(poet,robot)'"),
    Case("-q persona=[poet robot]", "-q 'persona=[poet,robot]'"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.typed)
def test_the_quotes_that_are_missing_are_said(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    """Lists, quotes, braces, calls and spaces beside a comma or = end with 2 and the command as it was meant."""
    assert main(shlex.split(case.typed)) == 2
    error, tried = capsys.readouterr().err.splitlines()
    assert "space" in error
    assert "valid names" not in error
    assert tried == f"try:   runner {case.meant}"


WHOLE: tuple[list[str], ...] = (
    ["persona=[poet,robot]", "text=rain"],
    ["name=two words", "text=rain"],
    ["name='two words'", "text=rain"],
    ["name=it's", "text=rain"],
    ["-m", "--config-dir", "mine", "a=1", "~b", "+c=2"],
    ["model=gpt-4o,", "text=rain"],
    [],
)


@pytest.mark.parametrize("words", WHOLE, ids=" ".join)
def test_what_is_whole_stays_as_it_is(words: list[str]) -> None:
    """Words that the shell left whole are not touched, apostrophes included."""
    assert rejoined(words) == words


TAKES_A_PATH = [
    name for name, verb in VERBS.items() if verb.module in ("results", "runs", "compare", "reproduce", "batches")
]


@pytest.mark.parametrize("verb", [name for name in TAKES_A_PATH if name != "ui"])
def test_a_path_with_spaces_is_said_in_quotes(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every verb that takes RUN or PATH knows one that its spaces broke, and gives it back in quotes."""
    Path("outputs/my old run é").mkdir(parents=True)
    (Path("outputs/my old run é") / "run.json").touch()
    assert main([verb, "outputs/my", "old", "run", "é"]) == 2
    error, tried = capsys.readouterr().err.splitlines()
    assert "the shell split 'outputs/my old run é' at its spaces" in error
    assert tried == f"try:   runner {verb} 'outputs/my old run é'"
