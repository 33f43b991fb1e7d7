"""What is plain to a reader is read, and what is none of the reply's scores is not; each in words of its own."""

from __future__ import annotations

import time
from itertools import product
from pathlib import Path

import pytest
import yaml

from runner import score
from runner.records import Question, Reading, Reply, ReplyFormat, Scored, Stated, Unscorable

INTERESTING = Question("interesting", "面白さ", "How interesting?")
STUDY = (
    INTERESTING,
    Question("surprise", "驚き", "How surprising?"),
    Question("sadness", "悲しみ", "How sad?"),
    Question("anger", "怒り", "How angry?"),
)
REPLIES = yaml.safe_load((Path(__file__).parent / "corpus" / "plain.yaml").read_text(encoding="utf-8"))
FORMATS: tuple[ReplyFormat, ...] = ("json", "labelled")


def _read(
    text: str, questions: tuple[Question, ...] = (INTERESTING,), *, fmt: ReplyFormat = "labelled", rescale: bool = False
) -> Reading:
    return score.read(Reply(text, "stop"), questions, fmt, rescale=rescale)


@pytest.mark.parametrize("text", REPLIES["one"])
def test_a_plain_answer_to_one_question_is_read(text: str) -> None:
    """However the only score is written, it is read in either format."""
    for fmt in FORMATS:
        assert _read(text, fmt=fmt).scores == {"interesting": 75.0}


@pytest.mark.parametrize("text", REPLIES["study"])
def test_plain_answers_to_four_questions_are_read(text: str) -> None:
    """However the four scores are laid out, each is read for its question in either format."""
    for fmt in FORMATS:
        assert list(_read(text, STUDY, fmt=fmt).scores.values()) == [75.0, 60.0, 10.0, 5.0]


@pytest.mark.parametrize("text", REPLIES["none"])
def test_a_number_that_is_no_score_is_not_read(text: str) -> None:
    """Another scale, a bound, a draft, another quantity or another reader's number is no score, whatever was asked."""
    for fmt in FORMATS:
        reading = _read(text, fmt=fmt)
        assert isinstance(reading, Unscorable)
        assert reading.scores == {"interesting": None}


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("面白さ（10点満点）: 7", Stated(7, 0, 10, 70)),
        ('{"interesting (0-10)": 2}', Stated(2, 0, 10, 20)),
        ("| 項目 | Score (0-10) |\n|---|---|\n| 面白さ | 7.5 |", Stated(7.5, 0, 10, 75)),
        ('{"interesting": {"score": 9, "max": 10}}', Stated(9, 0, 10, 90)),
        ("10段階で評価します。\n面白さ: 10", Stated(10, 1, 10, 100)),
        ("面白さ: 8/10", Stated(8, 0, 10, 80)),
        ("Interesting (1-5): 3", Stated(3, 1, 5, 50)),
    ],
)
def test_a_score_is_converted_only_where_that_is_asked_for(text: str, stated: Stated) -> None:
    """Another declared scale is a problem by default; with rescale the score is converted, and both values are kept."""
    reading = _read(text)
    assert isinstance(reading, Unscorable)
    assert reading.problem.kind == "other_scale"
    assert reading.scores == {"interesting": None}
    converted = _read(text, rescale=True)
    assert isinstance(converted, Scored)
    assert converted.scores == {"interesting": stated.rescaled}
    assert converted.stated == {"interesting": stated}


@pytest.mark.parametrize(
    "text", ["面白さ（10点満点）: 12", "面白さ（70〜80）: 75", "面白さ (1-5) (0-10): 4", "面白さ: >8/10"]
)
def test_what_cannot_be_converted_for_sure_is_not(text: str) -> None:
    """A number beyond its scale, a span that is no scale, two scales and a bound stay without a score."""
    assert _read(text, rescale=True).scores == {"interesting": None}


def test_the_studys_scores_are_read_back_from_every_layout() -> None:
    """Scores as they occur in a study come back from the layouts that models use for them, with the noise around."""
    written = [(85, 20, 10, 0), (100, 0, 55, 5), (7, 70, 33, 1), (72.5, 40, 0, 100)]
    heads = ("Q{n}. {q.label}(数値): ", "{q.label}：", "{q.name}=", "**{q.label}（{q.name}）**: ")
    ends = ("", "<|im_end|>", "</s>", "\n<|eot_id|>", "点")
    for values, head, gap, end in product(written, heads, ("\n", " ", "、", "\n\n", " / "), ends):
        answers = zip(enumerate(STUDY, 1), values, strict=True)
        text = gap.join(head.format(n=n, q=question) + f"{value:g}" for (n, question), value in answers) + end
        assert list(_read(text, STUDY).scores.values()) == [float(value) for value in values], text


@pytest.mark.parametrize(
    "unit",
    [
        *("\u200b", " ", "\n", "\t", "|", "[THINK]", "<a></a>", "```think\n", "面白さ: 75 ", "面白さ", "1-2 "),
        *("10点満点 ", "out of 10 ", "(", "思考\n", '{"', '{"interesting": ', '"', "assistant final"),
        *("できません", "cannot ", "reason: a\n", "| 面白さ | 75 |\n", "例:\n"),
    ],
)  # fmt: skip
def test_the_time_to_read_a_reply_grows_with_its_length(unit: str) -> None:
    """Ten times the length takes about ten times as long: no pattern goes over the same words again and again."""
    taken_s = []
    for length in (20_000, 200_000):
        text = "面白さ: 75 " + unit * (length // len(unit))
        begun_s = time.process_time()
        _read(text, STUDY)
        taken_s.append(time.process_time() - begun_s)
    assert taken_s[1] < 60 * taken_s[0] + 1.0  # a pattern that goes over its words again takes a hundred times as long
