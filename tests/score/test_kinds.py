"""Odd replies to each kind of question: what is read is what was said, and nothing is made up."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from question_kinds import asked

from runner import score
from runner.plan.reply_format import value_key, value_word, words_of
from runner.records import Given, Reply, Scored, Unscorable
from runner.score.kinds import moments

if TYPE_CHECKING:
    from runner.records import Question, Reading

QUESTIONS = {
    "number": "pace", "likert": "moved", "choice": "mood", "choices": "moods", "yes_no": "again", "rank": "order",
    "text": "impression", "distribution": "chance",
}  # fmt: skip
"""Kind -> the question of it that is asked."""
FEWEST = 30


@dataclass(frozen=True)
class Case:
    """A reply in the place of an answer, what is read, and the kind of problem where it is nothing."""

    kind: str
    reply: Any
    value: Any
    why_not: str | None

    def question(self, language: str) -> Question:
        """What the model was asked."""
        return next(each for each in asked(language) if each.name == QUESTIONS[self.kind])

    def readings(self) -> list[Reading]:
        """It read from JSON, from JSON within words, and from a labelled line where it is one, in both languages."""
        found = []
        for language in ("en", "ja"):
            question = self.question(language)
            body = json.dumps({question.name: {value_key(question): self.reply, "reason": "so"}}, ensure_ascii=False)
            found += [_read(body, question), _read(f"Here it is:\n```json\n{body}\n```", question)]
            if isinstance(self.reply, str) and self.reply.strip():
                line = f"Q1. {question.label}({value_word(question, words_of(language))}): {self.reply}\n"
                found.append(_read(line, question, "labelled"))
        return found


def _read(text: str, question: Question, fmt: Any = "json") -> Reading:
    return score.read(Reply(text, "stop"), (question,), fmt)


def _corpus() -> list[Case]:
    found = yaml.safe_load((Path(__file__).parent / "corpus" / "kinds.yaml").read_text(encoding="utf-8"))
    return [Case(kind, line[0], line[1], line[2] if len(line) > 2 else None) for kind in found for line in found[kind]]


CORPUS = _corpus()


def _value(reading: Reading, name: str) -> Any:
    given = reading.answers.get(name)
    return given.value if isinstance(given, Given) else reading.scores.get(name)


@pytest.mark.parametrize("kind", QUESTIONS)
def test_odd_replies_are_read_as_the_corpus_says(kind: str) -> None:
    """Each reply of the corpus gives its value, or none, whatever form it stands in: none is invented."""
    wrong = []
    for case in (case for case in CORPUS if case.kind == kind):
        for reading in case.readings():
            value, problem = _value(reading, QUESTIONS[kind]), getattr(reading, "problem", None)
            right = value == case.value and isinstance(reading, Scored) is (case.value is not None)
            if not right or (case.why_not is not None and problem is not None and problem.kind != case.why_not):
                wrong.append((case.reply, case.value, value, problem))
    assert not wrong, "\n".join(map(str, wrong))


def test_the_corpus_has_thirty_replies_a_kind_in_two_languages() -> None:
    """No two replies of a kind are alike; of each kind some are read and some not, in English and Japanese."""
    for kind in QUESTIONS:
        own = [case for case in CORPUS if case.kind == kind]
        replies = {json.dumps(case.reply, ensure_ascii=False) for case in own}
        assert len(own) == len(replies) >= FEWEST, kind
        assert sum(any(ord(sign) > 0x3000 for sign in reply) for reply in replies) >= (1 if kind == "number" else 3), (
            kind
        )
        assert 5 <= sum(case.value is None for case in own) <= len(own) - 5, kind


@dataclass(frozen=True)
class Whole:
    """A whole reply to several questions, and what is read of two of them."""

    why: str
    reply: str
    mood: Any
    moved: Any
    kind: str | None = None
    finish: str = "stop"


BOTH = '{"mood": {"answer": "calm"}, "moved": {"score": 4}}'
LISTED = '[{"question": "mood", "answer": "calm"}, {"question": "moved", "answer": 4}]'
CUT = '{"moved": {"score": 4, "reason": "so"}, "mood": {"answer": "ca'
LINES = "Q1. mood(answer): calm\nQ1. mood(reason): quiet\nQ2. moved(value): 4\nQ2. moved(reason): yes"
FORM = "Q1. mood(answer): <one of: calm, tense, sad>\nQ2. moved(value): <1-5>"
WHOLE = (
    Whole("a draft before the answer", f"<think>mood: tense</think>{BOTH}", "calm", 4),
    Whole("two answers that differ", f'{BOTH}\n{{"mood": {{"answer": "sad"}}}}', None, 4, "ambiguous"),
    Whole("the same twice", f'{BOTH}\n{{"mood": {{"answer": "穏やか"}}}}', "calm", 4),
    Whole("flat", '{"mood": "calm", "mood_reason": "so", "moved": "agree"}', "calm", 4),
    Whole("grouped", '{"answers": {"mood": "calm", "moved": 4}, "reasons": {"mood": "a", "moved": "b"}}', "calm", 4),
    Whole("a list of objects", LISTED, "calm", 4),
    Whole("another word", '{"mood": {"choice": "calm"}, "moved": {"rating": 4}}', "calm", 4),
    Whole("an example", f"Example:\n{BOTH}", None, None, "ambiguous"),
    Whole("cut off within an option", CUT, None, 4, "truncated", "length"),
    Whole("one left out", '{"mood": {"answer": "calm"}}', "calm", None, "missing_question"),
    Whole("lines", LINES, "calm", 4),
    Whole("lines, more than one", "Q1. mood(answer): calm\nsad\nQ2. moved(value): 4", None, 4, "ambiguous"),
    Whole("lines out of order", "Q2. moved(value): 4 (agree)\nQ1. mood(answer): 穏やか", "calm", 4),
    Whole("a table", "| item | answer |\n|---|---|\n| mood | calm |\n| moved | 4 |", None, None, "ambiguous"),
    Whole("prose", "The text leaves me calm, and I agree that it moved me.", None, None, "no_score"),
    Whole("a refusal", "I'm sorry, but I can't help with rating this text.", None, None, "refused"),
    Whole("nothing", "", None, None, "empty"),
    Whole("the form itself", FORM, None, None, "ambiguous"),
)


@pytest.mark.parametrize("case", WHOLE, ids=lambda case: case.why)
def test_whole_replies_are_read_as_those_of_numbers_are(case: Whole) -> None:
    """Drafts, examples, second answers and what is cut off count as little for an option as for a number."""
    mood, moved = (next(each for each in asked("en") if each.name == name) for name in ("mood", "moved"))
    reading = score.read(Reply(case.reply, case.finish), (mood, moved), "json")
    kind = reading.problem.kind if isinstance(reading, Unscorable) else None
    assert (_value(reading, "mood"), reading.scores["moved"], kind) == (case.mood, case.moved, case.kind)


@pytest.mark.parametrize(
    ("text", "finish"),
    [
        ('{"moods": {"answer": ["calm"', "length"),
        ('{"moods": {"answer": ["calm", "sad', None),
        ('{"order": {"answer": ["plot", "style", "ending"', "length"),
        ("Q1. moods(answer): calm; te", "length"),
        ('{"impression": {"answer": "A quiet s', "length"),
        ('{"chance": {"answer": {"p1": 20, "p2": 80', "length"),
    ],
)
def test_what_is_cut_off_is_no_answer(text: str, finish: str | None) -> None:
    """A list, words or probabilities whose end is missing may have gone on: they are not read as if they had ended."""
    question = next(each for each in asked("en") if f'"{each.name}"' in text or f" {each.label}(" in text)
    reading = score.read(Reply(text, finish), (question,), "json")
    assert isinstance(reading, Unscorable)
    assert reading.answers == {question.name: None}


def test_a_reversed_answer_counts_turned_and_is_kept_as_stated() -> None:
    """A reversed item's score is turned round its scale, of points, of yes and no, and of numbers."""
    every = {each.name: replace(each, reverse=True) for each in asked("en")}
    for name, said, counts in (("moved", 4, 2.0), ("again", "yes", 0.0), ("pace", 5, -5.0)):
        question = every[name]
        reading = _read(json.dumps({name: {value_key(question): said, "reason": "so"}}), question)
        assert isinstance(reading, Scored)
        assert reading.scores == {name: counts}
        assert _value(reading, name) == said


def test_probabilities_bring_their_moments() -> None:
    """Mean, standard deviation and entropy are those of the stated probabilities, worked out by hand."""
    assert moments({"1": 0.25, "2": 0.5, "3": 0.25}) == {"mean": 2.0, "sd": 0.707106781, "entropy": 1.5}
    assert moments({"calm": 0.5, "sad": 0.5}) == {"entropy": 1.0}
    assert moments({"1": 1.0, "2": 0.0}) == {"mean": 1.0, "sd": 0.0, "entropy": 0.0}
