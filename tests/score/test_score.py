"""Reading scores out of replies: the corpus of odd ones, and what a table of YAML cannot hold."""

from __future__ import annotations

import json
import time
import timeit
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from runner import score
from runner.records import Question, Reading, Reply, ReplyFormat, Scored, Unscorable

KINDS = {
    *("empty", "refused", "truncated", "no_score", "missing_question"),
    *("not_a_number", "out_of_range", "other_scale", "ambiguous", "malformed"),
}


def _question(name: str, label: str, low: float = 0.0, high: float = 100.0) -> Question:
    return Question(name, label, f"How much {name}?", low, high)


INTERESTING, SADNESS = _question("interesting", "面白さ"), _question("sadness", "悲しみ")
ASKED = {
    "one": (INTERESTING,),
    "pair": (INTERESTING, SADNESS),
    "study": (INTERESTING, _question("surprise", "驚き"), SADNESS, _question("anger", "怒り")),
    "english": (_question("interesting", "Interesting"), _question("surprise", "Surprise")),
    "likert": (_question("clarity", "Clarity", 1.0, 5.0),),
    "twins": (_question("first", "面白さ"), _question("second", "面白さ")),
}


@dataclass(frozen=True)
class Case:
    """An odd reply of the corpus; see the head of the file for the fields."""

    why: str
    asked: str
    reply: str | None
    gives: list[float | None]
    fmt: str = "json"
    finish: str = "stop"
    refusal: str | None = None
    why_not: str | None = None
    reasons: list[str | None] | None = None

    @property
    def questions(self) -> tuple[Question, ...]:
        """What the model was asked."""
        return ASKED[self.asked]

    def read(self) -> Reading:
        """What is read out of the reply."""
        return score.read(Reply(self.reply, self.finish, self.refusal), self.questions, cast("ReplyFormat", self.fmt))


def _corpus() -> list[Case]:
    entries = yaml.safe_load((Path(__file__).parent / "corpus" / "replies.yaml").read_text(encoding="utf-8"))
    return [Case(**entry) for entry in entries]


def _read(text: str | None, asked: str = "one", **rest: Any) -> Reading:
    return score.read(Reply(text, rest.pop("finish", "stop"), **rest), ASKED[asked], "json")


@pytest.mark.parametrize("case", _corpus(), ids=lambda case: f"{case.fmt}: {case.why}")
def test_an_odd_reply_is_read_as_the_corpus_says(case: Case) -> None:
    """Each reply of the corpus gives the scores, the reasons and the kind of problem that stand beside it."""
    reading = case.read()
    kind = reading.problem.kind if isinstance(reading, Unscorable) else None
    assert (kind, list(reading.scores.values())) == (case.why_not, case.gives)
    assert list(reading.scores) == list(reading.reasons) == [question.name for question in case.questions]
    if case.reasons is not None:
        assert list(reading.reasons.values()) == case.reasons


def test_the_corpus_is_large_and_shows_every_kind_of_problem() -> None:
    """The corpus holds at least 150 replies, no two of them alike, and every kind of problem at least twice."""
    corpus = _corpus()
    kinds = [case.why_not for case in corpus]
    asked = {(case.reply, case.asked, case.fmt, case.finish, case.refusal) for case in corpus}
    assert len(corpus) == len(asked) >= 150
    assert all(kinds.count(kind) >= 2 for kind in KINDS)
    assert set(kinds) == KINDS | {None}


def test_a_score_is_a_float_even_where_the_reply_has_a_whole_number() -> None:
    """Scores are floats whichever way they were read, so that rows compare."""
    for text in ('{"interesting": {"score": 75, "reason": "a"}}', "面白さ: 75"):
        reading = _read(text)
        assert type(reading.scores["interesting"]) is float


def test_a_problem_names_the_question_and_shows_the_value() -> None:
    """A person can tell from the message which question went wrong and what the model wrote."""
    reading = _read('{"interesting": {"score": 120, "reason": "a"}, "sadness": {"score": 1, "reason": "b"}}', "pair")
    assert isinstance(reading, Unscorable)
    assert reading.problem.message == "interesting: '120' is outside 0 to 100"


def test_the_providers_own_words_of_refusal_are_kept() -> None:
    """Where the provider marks a refusal, its words are the message."""
    reading = _read(None, refusal="I will not do this.")
    assert isinstance(reading, Unscorable)
    assert reading.problem.message == "I will not do this."


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 20_000,
        '{"' * 50_000,
        "Q1:" * 50_000,
        "面白さ: 1, " * 20_000,
        "\\" * 100_000,
        '{"a": "' + '\\"' * 50_000,
    ],
    ids=["lists", "objects", "quotes", "labels", "answers", "backslashes", "escapes"],
)
def test_a_hostile_reply_is_read_in_time(text: str) -> None:
    """A reply of 100,000 characters made to be slow or to nest deeply neither raises nor takes a second."""
    taken_s = timeit.timeit(lambda: _read(text, "pair"), number=1, timer=time.process_time)
    assert taken_s < 1.0


def test_a_number_of_ten_thousand_digits_is_out_of_range() -> None:
    """A number beyond Python's own limit for reading one is a problem of the reply, not of the run."""
    reading = _read('{"interesting": {"score": %s, "reason": "a"}}' % ("9" * 10_000))
    assert isinstance(reading, Unscorable)
    assert reading.problem.kind == "out_of_range"
    assert len(reading.problem.message) < 120


def test_lone_surrogates_in_a_reason_survive() -> None:
    """Half a character, as JSON can hold it, is kept in the reason by both passes."""
    for text in (
        r'{"interesting": {"score": 75, "reason": "a\ud83d"}}',
        r'{"interesting": {"score": 75, "reason": "a\ud83d",}}',
    ):
        assert _read(text).reasons["interesting"] == "a\ud83d"


def test_a_reply_as_asked_for_is_read_within_fifty_microseconds() -> None:
    """The common reply, four questions with a reason each, costs well under 50 µs."""
    answers = {q.name: {"score": 75, "reason": "心温まる話で、最後に驚きがあった。" * 4} for q in ASKED["study"]}
    reply = Reply(json.dumps(answers, ensure_ascii=False), "stop")
    assert isinstance(score.read(reply, ASKED["study"], "json"), Scored)
    best_s = (
        min(timeit.repeat(lambda: score.read(reply, ASKED["study"], "json"), timer=time.process_time, number=500)) / 500
    )
    assert best_s < 50e-6
