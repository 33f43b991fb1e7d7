"""Rows of which another model gave the answer: apart in every table, and said."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from row_examples import SCORED

from runner.reporting import stats
from runner.results import files, served, summary
from runner.results.tally import Served, Tally

if TYPE_CHECKING:
    from runner.records import Row

MINE = replace(SCORED, cell="mine/p1", model="mine", scores={"interesting": 70.0, "surprise": 10.0})
OTHER = replace(MINE, model_version="luna", served="luna", scores={"interesting": 10.0, "surprise": 70.0})


def rows() -> list[Row]:
    return [replace(row, repetition=at, key=f"{at:064}") for at, row in enumerate([MINE, MINE, OTHER, OTHER, OTHER], 1)]


def test_a_row_says_who_answered() -> None:
    """`served` is a field of results.jsonl, null where the name is declared, and absent in older files."""
    assert files.row_from_json(files.row_to_json(OTHER)) == OTHER
    older = files.row_to_json(MINE).replace(',"served":null', "")
    assert "served" not in older
    assert files.row_from_json(older) == MINE


def test_two_models_are_never_pooled() -> None:
    """Replies of another model have a line of their own in verification, scores, cells and statistics."""
    counted = Tally.of(rows())
    assert sorted(summary.verification(counted)["model"]) == ["mine", "mine as luna"]
    means = summary.scores_by_model_persona(counted).set_index("model")["interesting_mean"]
    assert {str(name): float(mean) for name, mean in means.items()} == {"mine": 70.0, "mine as luna": 10.0}
    assert summary.cell_metrics(counted).keys() == counted.first.keys() == {"mine/p1", "mine as luna/p1"}
    found = stats.describe(rows())
    assert {
        one.level: one.n for one in found.summaries if one.axis in ("cell", "model") and one.question == "surprise"
    } == {
        "mine": 2,
        "mine as luna": 3,
        "mine/p1": 2,
        "mine as luna/p1": 3,
    }


def test_names_are_told() -> None:
    """Undeclared names are said with what to set, and several declared ones that share a cell are said too."""
    counted = served.counted([Tally.of(rows())])
    assert served.from_json(served.as_json([Tally.of(rows())])) == counted
    (line,) = served.told(counted)
    assert "mine was answered by luna (3)" in line
    assert "identity=strict" in line
    assert "served_as" in line
    two = served.told({Served("m", "m-2024-01-01", declared=True): 3, Served("m", "m-2025-01-01", declared=True): 1})
    assert two == ["m was answered by 2 of its versions, which share its cells: m-2024-01-01 (3), m-2025-01-01 (1)"]
    assert served.told({Served("m", "m-2024-01-01", declared=True): 3}) == []


@pytest.mark.parametrize("cell", ["mine/p1", "mine/p1 t=0.5"])
def test_a_cell_apart_keeps_the_rest_of_its_name(cell: str) -> None:
    """What stands behind the model's name in a cell's name stays."""
    assert replace(OTHER, cell=cell).compared_in == f"mine as luna{cell.removeprefix('mine')}"
