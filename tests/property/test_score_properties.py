"""What holds for the reader of scores whatever a model writes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from runner import score
from runner.records import Question, Reply, Scored, Unscorable
from runner.score.characters import INVISIBLE, plain

if TYPE_CHECKING:
    from runner.records import Reading, ReplyFormat

QUESTIONS = (
    Question("interesting", "面白さ", "How interesting?"),
    Question("sadness", "Sadness", "How sad?"),
    Question("clarity", "明瞭さ", "How clear?", 1.0, 5.0),
)
ASKED = st.integers(1, 3).map(lambda count: QUESTIONS[:count])
FORMATS = st.sampled_from(["json", "labelled"])
FINISHES = st.sampled_from(["stop", "length", "content_filter", "tool_calls", None])
FRAGMENTS = st.sampled_from(
    [
        *("interesting", "sadness", "clarity", "面白さ", "Sadness", "明瞭さ", "Q1", "Q2.", "Q3", "score", "reason"),
        *("数値", "理由", "(value)", "（数値）", ":", "：", "=", ",", "、", "\n", "\n\n", " ", '"', "'", "“", "”"),
        *("{", "}", "[", "]", "｛", "｝", "|", "**", "- ", "```json", "```", "<think>", "</think>", "\\", "//"),
        *("75", "７５", "4.5", "-5", "100", "1e2", "75/100", "%", "点", "70-80", "NaN", "null", "true", "7⁵", "٣"),
        *("約", "は", "です", "text", "I cannot rate", "0-100"),
    ]
)
REPLIES = st.one_of(st.text(), st.lists(FRAGMENTS, max_size=25).map("".join))
SCORES = st.one_of(st.integers(1, 5), st.floats(1, 5, allow_nan=False).map(lambda value: round(value, 3)))
PLAIN = st.text(st.characters(codec="utf-8", categories=["L", "N", "Zs"]), min_size=1).filter(str.strip)


def _numbers(text: str) -> set[float]:
    """Every number that stands in `text` as a whole: 75 is not one of 175."""
    written = [r"[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?", r"[0-9]+(?:\.[0-9]+)?"]
    forms = {plain(text), plain(INVISIBLE.sub("", text))}
    found = {float(number) for form in written for words in forms for number in re.findall(form, words)}
    return found | (
        {float(number) for number in range(101)} if re.search("[〇零一二三四五六七八九十百]", text) else set()
    )


def _check(reading: Reading, questions: tuple[Question, ...], text: str) -> None:
    ranges = {question.name: question for question in questions}
    assert reading.scores.keys() == reading.reasons.keys() == ranges.keys()
    for name, value in reading.scores.items():
        if value is not None:
            assert ranges[name].low <= value <= ranges[name].high
            assert value in _numbers(text)
    for reason in reading.reasons.values():
        assert reason is None or reason.strip()


@settings(max_examples=400)
@given(text=REPLIES, questions=ASKED, fmt=FORMATS, finish=FINISHES)
def test_any_text_is_read_without_raising_or_inventing(
    text: str, questions: tuple[Question, ...], fmt: ReplyFormat, finish: str | None
) -> None:
    """Whatever the text, reading gives a score or a None a question, in range, and its digits stand in the text."""
    reading = score.read(Reply(text, finish), questions, fmt)
    _check(reading, questions, text)
    if isinstance(reading, Scored):
        assert None not in reading.scores.values()
        assert finish != "content_filter"


@given(values=st.tuples(SCORES, SCORES, SCORES), reasons=st.tuples(PLAIN, PLAIN, PLAIN), fmt=FORMATS)
def test_a_well_formed_json_reply_round_trips(
    values: tuple[float, ...], reasons: tuple[str, ...], fmt: ReplyFormat
) -> None:
    """JSON as asked for gives back exactly its scores and reasons; fenced or not, in any format asked for."""
    answers = {
        question.name: {"score": value, "reason": reason}
        for question, value, reason in zip(QUESTIONS, values, reasons, strict=True)
    }
    for escape in (True, False):
        text = json.dumps(answers, ensure_ascii=escape)
        for wrapped in (text, f"Here it is:\n```json\n{text}\n```\nDone."):
            reading = score.read(Reply(wrapped, "stop"), QUESTIONS, fmt)
            assert isinstance(reading, Scored)
            assert tuple(reading.scores.values()) == values
            assert tuple(reading.reasons.values()) == tuple(reason.strip() for reason in reasons)


@given(text=st.text(min_size=1).filter(str.strip), indent=st.sampled_from([None, 2]))
def test_any_reason_survives_the_tolerant_pass_where_it_is_valid_json(text: str, indent: int | None) -> None:
    """A reason in valid JSON is read the same by the strict pass and, behind a fence, by the tolerant one."""
    body = json.dumps({"interesting": {"score": 4, "reason": text}}, indent=indent)
    strict = score.read(Reply(body, "stop"), QUESTIONS[:1], "json")
    tolerant = score.read(Reply(f"```json\n{body}\n```", "stop"), QUESTIONS[:1], "json")
    assert isinstance(strict, Scored)
    assert strict == tolerant


@given(
    values=st.tuples(SCORES, SCORES, SCORES), reasons=st.tuples(PLAIN, PLAIN, PLAIN), order=st.permutations(range(3))
)
def test_a_well_formed_labelled_reply_round_trips_in_any_order(
    values: tuple[float, ...], reasons: tuple[str, ...], order: list[int]
) -> None:
    """The study's lines give back exactly their scores and reasons, whichever question comes first."""
    lines = [
        f"Q{index + 1}. {QUESTIONS[index].label}(数値): {values[index]}\n"
        f"Q{index + 1}. {QUESTIONS[index].label}(理由): {reasons[index]}"
        for index in order
    ]
    reading = score.read(Reply("\n\n".join(lines), "stop"), QUESTIONS, "labelled")
    assert isinstance(reading, Scored)
    assert tuple(reading.scores.values()) == values
    assert tuple(reading.reasons.values()) == tuple(reason.strip() for reason in reasons)


@given(values=st.tuples(SCORES, SCORES, SCORES), fmt=FORMATS, data=st.data())
def test_no_cut_turns_a_score_into_another(values: tuple[float, ...], fmt: ReplyFormat, data: st.DataObject) -> None:
    """A reply cut off anywhere gives the scores that it held or none: never one that lacks its last digits."""
    if fmt == "json":
        text = json.dumps({q.name: {"score": v, "reason": "why"} for q, v in zip(QUESTIONS, values, strict=True)})
    else:
        text = "\n".join(f"{q.label}(数値): {v}\n{q.label}(理由): why" for q, v in zip(QUESTIONS, values, strict=True))
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    reading = score.read(Reply(cut, "length"), QUESTIONS, fmt)
    assert isinstance(reading, Unscorable) or fmt == "json"
    for read, held in zip(reading.scores.values(), values, strict=True):
        assert read in (None, held)
