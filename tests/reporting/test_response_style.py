"""How models use the scale, counted by hand."""

from __future__ import annotations

import pandas as pd

from runner.reporting.stats.response_style import ResponseStyle, response_style, response_style_sheet
from runner.reporting.stats.shown.render import written
from runner.reporting.stats.values import Undefined, known

SCALES = {"joy": (0.0, 100.0), "fear": (0.0, 100.0)}
REPLIES: dict[str, list[tuple[float | None, ...]]] = {
    "flat": [(80, 80), (80, 80), (80, 80), (80, None)],
    "rough": [(0, 100), (50, 100), (35, 62), (71, 8)],
    "silent": [(None, None)],
}


def table(
    replies: dict[str, list[tuple[float | None, ...]]], questions: tuple[str, ...] = ("joy", "fear")
) -> pd.DataFrame:
    lines = [(model, *reply) for model, some in replies.items() for reply in some]
    frame = pd.DataFrame(lines, columns=["model", *(f"score:{question}" for question in questions)])
    return frame.astype({f"score:{question}": "float64" for question in questions} | {"model": "category"})


def one(found: tuple[ResponseStyle, ...], model: str, question: str = "") -> ResponseStyle:
    (style,) = (each for each in found if (each.model, each.question) == (model, question))
    return style


def test_shares_are_those_counted_by_hand() -> None:
    """Round and half-round numbers, both ends, the commonest number and straight lines, on all questions and on one."""
    found = response_style(table(REPLIES), SCALES)
    flat, rough = one(found, "flat"), one(found, "rough")
    assert (flat.n, flat.replies, flat.different) == (7, 3, 1)
    assert [known(flat.straight), known(flat.commonest), known(flat.commonest_share)] == [1.0, 80.0, 1.0]
    assert [known(flat.round), known(flat.low_end), known(flat.high_end)] == [1.0, 0.0, 0.0]
    assert (rough.n, rough.replies, rough.different) == (8, 4, 7)
    numbers = [rough.round, rough.half_round, rough.low_end, rough.high_end, rough.straight]
    assert [known(number) for number in numbers] == [4 / 8, 5 / 8, 1 / 8, 2 / 8, 0.0]
    joy = one(found, "rough", "joy")
    assert (joy.n, known(joy.round), known(joy.low_end)) == (4, 0.5, 0.25)
    assert isinstance(joy.straight, Undefined)


def test_what_a_scale_does_not_allow_to_say() -> None:
    """Five steps have ends and no round numbers, unknown scales neither, and differing scales no straight line."""
    short = one(response_style(table(REPLIES), {"joy": (0.0, 5.0), "fear": (0.0, 5.0)}), "rough")
    assert isinstance(short.round, Undefined)
    assert known(short.low_end) is not None
    unknown = one(response_style(table(REPLIES)), "rough")
    assert isinstance(unknown.low_end, Undefined)
    assert known(unknown.straight) == 0
    differing = one(response_style(table(REPLIES), {"joy": (0.0, 100.0), "fear": (0.0, 10.0)}), "flat")
    assert isinstance(differing.straight, Undefined)


def test_scales_that_do_not_begin_at_0() -> None:
    """Round numbers are counted from the low end: 1 to 101 has 1, 11, 21; fractions of a scale are no round numbers."""
    scores: dict[str, list[tuple[float | None, ...]]] = {"m": [(1.0,), (11.0,), (12.0,), (101.0,)]}
    (found,) = response_style(table(scores, ("joy",)), {"joy": (1.0, 101.0)})
    assert [known(number) for number in (found.round, found.low_end, found.high_end)] == [0.75, 0.25, 0.25]
    assert isinstance(found.straight, Undefined)


def test_a_model_without_scores_is_said_so() -> None:
    """Nothing scored is no share of 0."""
    silent = one(response_style(table(REPLIES), SCALES), "silent")
    assert silent.n == 0
    assert all(isinstance(number, Undefined) for number in (silent.round, silent.commonest, silent.straight))


def test_the_table_has_a_row_a_model() -> None:
    """Each model stands in one row, those who give one number first; of one question alone, that question's."""
    found = response_style(table(REPLIES), SCALES)
    rows = written(response_style_sheet(found))
    assert [row[0] for row in rows] == ["flat", "rough", "silent"]
    assert rows[0][:3] == ("flat", "7", "100%")
    alone = written(response_style_sheet([each for each in found if each.question == "joy"]))
    assert [row[:2] for row in alone] == [("flat", "4"), ("rough", "4"), ("silent", "0")]
