"""Options are counted with honest intervals, and scales have Cronbach's alpha: as published, and by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from row_examples import SCORED

from runner.records import Given, ItemScale, Option, Question
from runner.reporting import stats
from runner.reporting.html.answers import answer_tables, range_of
from runner.reporting.stats.scale_reliability import cronbach, reliabilities
from runner.reporting.stats.shares import shares, wilson
from runner.reporting.stats.values import Undefined, known
from runner.results.summary import summary
from runner.results.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.records import Row

MOOD = Question("mood", "mood", "w", kind="choice", options=(Option("calm", "calm"), Option("sad", "sad")))
MOODS = replace(MOOD, name="moods", kind="choices")
ORDER = replace(MOOD, name="order", kind="rank", options=(Option("a", "a"), Option("b", "b"), Option("c", "c")))
GUESS = replace(MOOD, name="guess", kind="distribution")
ASKED = {each.name: each for each in (MOOD, MOODS, ORDER, GUESS)}

LSAT = {
    "00000": 3, "00001": 6, "00010": 2, "00011": 11, "00100": 1, "00101": 1, "00110": 3, "00111": 4, "01000": 1,
    "01001": 8, "01011": 16, "01101": 3, "01110": 2, "01111": 15, "10000": 10, "10001": 29, "10010": 14, "10011": 81,
    "10100": 3, "10101": 28, "10110": 15, "10111": 80, "11000": 16, "11001": 56, "11010": 21, "11011": 173,
    "11100": 11, "11101": 61, "11110": 28, "11111": 298,
}  # fmt: skip
"""Bock and Lieberman (1970), Law School Admission Test, section 6: answers to five items, and how many gave them."""


def _row(number: int, text: str, model: str = "m", **given: Any) -> Row:
    answers = {name: None if value is None else Given(value, "x", value) for name, value in given.items()}
    return replace(
        SCORED, cell=f"{model}/p1", model=model, text=text, repetition=number, key=f"{number:064d}", scores={},
        reasons=dict.fromkeys(answers), answers=answers,
    )  # fmt: skip


def _shares(rows: Sequence[Row]) -> dict[tuple[str, str], Any]:
    return {(one.level, one.option): one for one in shares(stats.table([Tally.of(rows)]), ASKED)}


def test_wilsons_interval_is_the_published_one() -> None:
    """Of 81 of 263 it is .2553 to .3662, of 0 of 20 it is 0 to .1611 (Newcombe, 1998, table I, method 3)."""
    assert wilson(81 / 263, 263, 1.959964) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0.0, 20, 1.959964) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_a_share_gives_each_text_alike() -> None:
    """Two texts with shares of 1 and 0 make a half, however many answers each has; what was not read counts nowhere."""
    rows = [*(_row(n, "t1", mood="calm") for n in range(9)), _row(1, "t2", mood="sad"), _row(2, "t2", mood=None)]
    calm = _shares(rows)["all", "calm"]
    assert (calm.share, calm.n, calm.count, calm.texts) == (0.5, 10, 9, 2)
    assert calm.interval.scope == "texts"


def test_answers_to_one_text_are_no_evidence_about_texts() -> None:
    """Where every text has one answer of its own, a hundred repetitions narrow the interval no further than one."""
    wide = _shares([_row(1, f"t{place}", mood="calm" if place % 2 else "sad") for place in range(8)])["all", "calm"]
    same = _shares(
        [_row(n, f"t{place}", mood="calm" if place % 2 else "sad") for place in range(8) for n in range(100)]
    )["all", "calm"]
    assert same.interval.low == pytest.approx(wide.interval.low)
    assert same.interval.high == pytest.approx(wide.interval.high)


def test_agreement_of_all_texts_is_not_certainty() -> None:
    """With 0 of 300 answers in three texts the interval is that of three, not that of 300."""
    sad = _shares([_row(n, f"t{place}", mood="calm") for place in range(3) for n in range(100)])["all", "sad"]
    assert sad.share == 0.0
    assert known(sad.interval.high) is not None
    assert sad.interval.high > 0.5


def test_several_choices_ranks_and_probabilities() -> None:
    """Each option of a list counts, a rank is a mean with its first places, and probabilities are averaged."""
    rows = [
        _row(1, "t1", moods=["calm", "sad"], order=["a", "b", "c"], guess={"calm": 0.2, "sad": 0.8}),
        _row(1, "t2", moods=["sad"], order=["b", "a", "c"], guess={"calm": 0.4, "sad": 0.6}),
    ]
    found = {(one.question, one.option): one for one in shares(stats.table([Tally.of(rows)]), ASKED)}
    assert [found["moods", name].share for name in ("calm", "sad")] == [0.5, 1.0]
    assert [found["order", name].rank for name in "abc"] == [1.5, 1.5, 3.0]
    assert [found["order", name].share for name in "abc"] == [0.5, 0.5, 0.0]
    assert [found["guess", name].share for name in ("calm", "sad")] == pytest.approx([0.3, 0.7])


def test_models_are_counted_apart_and_bars_lie_within_their_row() -> None:
    """Beside all answers each model's own are counted, and the page draws every bar and interval within 0 to 100%."""
    rows = [
        _row(n, text, model, mood="calm" if model == "m" else "sad", order=["a", "b", "c"])
        for n, text, model in product((1, 2), ("t1", "t2", "t3"), ("m", "k"))
    ]
    counted = shares(stats.table([Tally.of(rows)]), ASKED)
    found = {(one.question, one.level, one.option): one.share for one in counted}
    assert [found["mood", level, "calm"] for level in ("all", "m", "k")] == [0.5, 1.0, 0.0]
    tables = answer_tables(counted, ASKED)
    assert [table.what for table in tables] == ["share", "mean rank, 1 the first"]
    for bar in (bar for table in tables for bar in table.bars):
        assert 0 <= bar.low <= bar.width <= bar.high <= 100


def test_the_summary_has_a_column_for_each_option() -> None:
    """A cell's line in summary.csv has the share of each option that was offered, and mean ranks, each text alike."""
    rows = [
        _row(1, "t1", mood="calm", order=["a", "b", "c"]), _row(2, "t1", mood="calm", order=["a", "b", "c"]),
        _row(1, "t2", mood="sad", order=["c", "b", "a"]),
    ]  # fmt: skip
    (line,) = summary(Tally.of(rows), asked=(MOOD, ORDER)).to_dict("records")
    assert [line[f"mood_{name}_share"] for name in ("calm", "sad")] == [0.5, 0.5]
    assert [line[f"order_{name}_rank"] for name in "abc"] == [2.0, 2.0, 2.0]


def test_nothing_is_averaged_over_options() -> None:
    """A run of choices alone has shares, and no mean, difference or score anywhere."""
    rows = [_row(n, text, mood="calm") for n in (1, 2) for text in ("t1", "t2")]
    said = stats.describe(rows, stats.ContrastOptions(questions=ASKED))
    assert said.questions == ()
    assert said.summaries == ()
    assert {one.option for one in said.shares} == {"calm", "sad"}
    assert "Answers" in stats.render(said)


@dataclass(frozen=True)
class Coverage:
    """A world of texts, whose shares differ."""

    texts: int
    repetitions: int
    a: float
    b: float
    """Texts' shares are beta distributed."""


@pytest.mark.parametrize(
    "world", [Coverage(6, 4, 2, 3), Coverage(12, 2, 0.5, 1.5), Coverage(20, 3, 5, 1), Coverage(10, 1, 2, 2)], ids=str
)
def test_the_interval_covers_what_it_says(world: Coverage) -> None:
    """Over simulated texts the 95% interval holds the true share at least 93 times of a hundred."""
    from runner.reporting.stats.shares import _share

    draws = np.random.default_rng(7)
    true, hits, times = world.a / (world.a + world.b), 0, 1500
    for _ in range(times):
        of_texts = draws.binomial(world.repetitions, draws.beta(world.a, world.b, world.texts)) / world.repetitions
        se = float(of_texts.std(ddof=1) / np.sqrt(world.texts))
        _, interval = _share(float(of_texts.mean()), se, world.texts * world.repetitions, world.texts)
        hits += known(interval.low) <= true <= known(interval.high)  # type: ignore[operator]
    assert hits / times >= 0.93


def test_cronbachs_alpha_is_the_published_one() -> None:
    """Of the LSAT's five items it is .295 (Rizopoulos, 2006: cronbach.alpha(LSAT) of R's ltm)."""
    table = np.array([[int(item) for item in pattern] for pattern, count in LSAT.items() for _ in range(count)])
    assert table.shape == (1000, 5)
    assert cronbach(table.astype(float)) == pytest.approx(0.295, abs=5e-4)


def test_a_scales_reliability_is_over_texts() -> None:
    """Items that go together have a high alpha, each left out too; its interval needs three texts, and holds it."""
    draws = np.random.default_rng(3)
    level = np.repeat(draws.normal(0, 1, 12), 5)
    items = {name: level + draws.normal(0, 0.5, 60) for name in ("q1", "q2", "q3")}
    frame = pd.DataFrame(
        {
            "text": np.repeat([f"t{n}" for n in range(12)], 5),
            "model": "m",
            **{f"score:{n}": v for n, v in items.items()},
        }
    )
    (one,) = reliabilities(frame, [ItemScale("warmth", ("q1", "q2", "q3"))])
    assert (one.n, one.texts, one.level) == (60, 12, "all")
    assert known(one.interval.low) < known(one.alpha) < known(one.interval.high)  # type: ignore[operator]
    assert all(isinstance(value, float) and 0.7 < value < 1 for value in one.without)
    (few,) = reliabilities(frame[frame["text"].isin(["t0", "t1"])], [ItemScale("warmth", ("q1", "q2"))])
    assert isinstance(few.interval.low, Undefined)


def test_a_scale_is_the_mean_of_its_items_where_all_are_there() -> None:
    """A trial that lacks one item has no score on the scale: none is made of what is left."""
    rows = [
        replace(SCORED, scores={"q1": 4.0, "q2": 2.0}, reasons={"q1": None, "q2": None}),
        replace(SCORED, scores={"q1": 4.0, "q2": None}, reasons={"q1": None, "q2": None}, repetition=2),
    ]
    counted = Tally.of(rows, (ItemScale("warmth", ("q1", "q2")),))
    assert counted.scores["warmth"][0] == 3.0
    assert np.isnan(counted.scores["warmth"][1])


def test_what_may_be_answered_is_said_in_words() -> None:
    """The page says a range of numbers and points, options by their labels, and words."""
    assert range_of(MOOD) == "calm, sad"
    assert range_of(Question("q", "q", "w", 1, 5)) == "1 to 5"
    assert range_of(replace(MOOD, kind="text", options=())) == "words"
