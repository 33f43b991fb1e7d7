"""Questions of every kind are read from YAML, and what cannot be asked is refused with its file and key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from runner.config.questions import read, scales_of
from runner.config.schema import QuestionConf
from runner.errors import ConfigError
from runner.records import Option, Question

POINTS = {1: "no", 2: "a little", 3: "yes"}


def conf(**settings: Any) -> QuestionConf:
    return QuestionConf(**{"wording": "w", **settings})


@dataclass(frozen=True)
class Case:
    """Settings that must be refused, the key that is named, and what is said."""

    why: str
    settings: dict[str, Any]
    key: str
    says: str


REFUSED = (
    Case("an unknown kind", {"kind": "likret"}, "kind", "did you mean 'likert'?"),
    Case("a step that does not fit", {"low": 0, "high": 10, "step": 3}, "step", "does not part 0 to 10 evenly"),
    Case("no step at all", {"step": 0}, "step", "evenly"),
    Case("an upside-down range", {"low": 5, "high": 1}, "low", "upside down"),
    Case("points of a number", {"points": POINTS}, "points", "of the kind likert or distribution it has"),
    Case("likert without points", {"kind": "likert"}, "points", "needs points"),
    Case("one point", {"kind": "likert", "points": {1: "yes"}}, "points", "needs 2 or more"),
    Case("points and another range", {"kind": "likert", "points": POINTS, "high": 7}, "high", "is 1 to 3"),
    Case("choice without options", {"kind": "choice"}, "options", "needs options"),
    Case("choice with points", {"kind": "choice", "points": POINTS}, "points", "has no points"),
    Case("a range of options", {"kind": "choice", "options": ["a", "b"], "low": 1}, "low", "has no range"),
    Case("one option twice", {"kind": "choice", "options": ["a", "a"]}, "options", "two options are called 'a'"),
    Case("labels alike", {"kind": "rank", "options": {"a": "Calm", "b": "calm"}}, "options", "share the word 'calm'"),
    Case("a truth value", {"kind": "choice", "options": [True, False]}, "options", "put the label in quotes"),
    Case("a label of two lines", {"kind": "choice", "options": ["a\nb", "c"]}, "options", "one line"),
    Case("no label", {"kind": "choice", "options": {"a": {"ja": "あ"}, "b": "b"}}, "options.a", "no label in 'en'"),
    Case("too many choices", {"kind": "choices", "options": ["a", "b"], "most": 3}, "most", "cannot be chosen"),
    Case("most of a single choice", {"kind": "choice", "options": ["a", "b"], "most": 1}, "most", "has no most"),
    Case("words without room", {"kind": "text", "max_chars": 0}, "max_chars", "at least 1"),
    Case("a reversed choice", {"kind": "choice", "options": ["a", "b"], "reverse": True}, "reverse", "has no reverse"),
    Case("points and options", {"kind": "distribution", "points": POINTS, "options": ["a", "b"]}, "points", "not both"),
    Case("points as options", {"kind": "distribution", "options": {"1": "a", "2": "b"}}, "options", "write `points:`"),
)  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.why)
def test_what_cannot_be_asked_is_refused(case: Case) -> None:
    """A setting that a kind lacks, has not, or that cannot be, is refused naming file and key."""
    with pytest.raises(ConfigError) as caught:
        read("mood", conf(**case.settings), "en", "prompt/own.yaml")
    assert (caught.value.where, caught.value.key) == ("prompt/own.yaml", f"questions.mood.{case.key}")
    assert case.says in str(caught.value)


@dataclass(frozen=True)
class Read:
    """Settings, and the question that they become."""

    settings: dict[str, Any]
    options: tuple[Option, ...] = ()
    ends: tuple[float, float] = (0.0, 100.0)
    numeric: bool = False


MIXED = {3: "yes", 1: {"en": "no", "ja": "いや"}}
STARRED = {"a": {"*": "calm", "ja": "静か"}, "b": "sad"}
READ = (
    Read({}, numeric=True),
    Read({"kind": "likert", "points": MIXED}, (Option("1", "no", ("いや",)), Option("3", "yes")), (1, 3), numeric=True),
    Read({"kind": "likert", "points": {-1: None, 1: None}}, (Option("-1", ""), Option("1", "")), (-1, 1), numeric=True),
    Read({"kind": "choice", "options": ["calm", 7]}, (Option("calm", "calm"), Option("7", "7"))),
    Read({"kind": "rank", "options": STARRED}, (Option("a", "calm", ("静か",)), Option("b", "sad"))),
    Read(
        {"kind": "distribution", "points": {0: None, 9: None}}, (Option("0", ""), Option("9", "")), (0, 9), numeric=True
    ),
    Read({"kind": "distribution", "options": ["a", "b"]}, (Option("a", "a"), Option("b", "b"))),
    Read({"kind": "text", "max_chars": 9}),
)


@pytest.mark.parametrize("case", READ, ids=lambda case: str(case.settings))
def test_questions_are_read(case: Read) -> None:
    """Points are put in order, labels taken in the prompt's language, and the range of points is theirs."""
    question = read("mood", conf(**case.settings), "en", "prompt/own.yaml")
    assert (question.options, (question.low, question.high)) == (case.options, case.ends)
    assert question.is_numeric is case.numeric


def test_yes_and_no_are_shown_in_the_prompts_language_and_read_in_both() -> None:
    """A Japanese prompt asks はい or いいえ, and reads yes and no as well."""
    question = read("again", conf(kind="yes_no"), "ja", "prompt/own.yaml")
    assert [option.label for option in question.options] == ["はい", "いいえ"]
    assert all(option.name in option.also for option in question.options)


@pytest.mark.parametrize(
    ("items", "says"),
    [
        (["q1"], "two questions or more"),
        (["q1", "q1"], "each once"),
        (["q1", "q9"], "no question is called 'q9'"),
        (["q1", "words"], "which has no score"),
        (["q1", "wide"], "different ranges"),
    ],
)
def test_a_scale_that_does_not_add_up_is_refused(items: list[str], says: str) -> None:
    """A scale is made of two scored questions or more, on one range."""
    asked = (
        Question("q1", "q1", "w", 1, 5), Question("q2", "q2", "w", 1, 5), Question("wide", "wide", "w", 0, 100),
        Question("words", "words", "w", kind="text"),
    )  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        scales_of({"warmth": items}, asked, "prompt/own.yaml")
    assert says in str(caught.value)
    assert caught.value.key == "scales.warmth"
    assert scales_of({"warmth": ["q1", "q2"]}, asked, "prompt/own.yaml")[0].items == ("q1", "q2")
