"""Columns of tables that no field is mapped to are kept, and descriptions may be templates over the columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from runner.config.sources import personas_from_table, texts_from_table
from runner.config.sources.typed import typed
from runner.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from runner.records import Json, Persona

WHERE = "persona/table.yaml"
TABLE = """name,age,occupation,sex,weight,marital status,code
anna,34,teacher,f,1.5,single,007
ben,51,sailor,m,0.5,,008
cleo,8,pupil,f,,none,009
"""


def personas(tmp_path: Path, template: str | dict[str, str] | None, table: str = TABLE) -> tuple[Persona, ...]:
    path = tmp_path / "p.csv"
    path.write_text(table, encoding="utf-8")
    templates = {"*": template} if isinstance(template, str) else template
    return personas_from_table(path, {"name": "name"}, limit=None, where=WHERE, templates=templates)


def test_columns_beyond_the_mapped_ones_are_kept(tmp_path: Path) -> None:
    """Numbers are numbers, a code with zeros before it is text, an empty cell is absent, and weight is a field."""
    anna, ben, cleo = personas(tmp_path, "A {{ age }}-year-old {{ occupation }}.")
    assert anna.covariates == {
        "age": 34, "occupation": "teacher", "sex": "f", "marital status": "single", "code": "007",
    }  # fmt: skip
    assert "marital status" not in ben.covariates
    assert [one.weight for one in (anna, ben, cleo)] == [1.5, 0.5, None]
    assert anna.description == {"*": "A 34-year-old teacher."}


def test_texts_keep_theirs(tmp_path: Path) -> None:
    """So do tables of texts; what a field is mapped to is none."""
    (tmp_path / "t.csv").write_text("name,body,genre,pages\none,The sea.,tale,12\ntwo,Rain.,poem,1.5\n")
    found = texts_from_table(tmp_path / "t.csv", {"content": "body"}, limit=None, where="text/table.yaml")
    assert [one.covariates for one in found] == [{"genre": "tale", "pages": 12}, {"genre": "poem", "pages": 1.5}]


def test_a_template_knows_every_column_and_empty_cells(tmp_path: Path) -> None:
    """A column whose name is no word is in `columns`; an empty cell is false; languages have templates of their own."""
    template = "{{ name }}{% if columns['marital status'] %}, {{ columns['marital status'] }}{% endif %}"
    found = personas(tmp_path, {"en": template, "ja": "{{ age }}歳"})
    assert [one.description["en"] for one in found] == ["anna, single", "ben", "cleo, none"]
    assert found[1].description["ja"] == "51歳"


@dataclass(frozen=True)
class Wrong:
    """A template or table that cannot be, and what is said of it."""

    id: str
    template: str
    said: tuple[str, ...]
    table: str = TABLE


WRONG = (
    Wrong("a misspelt column", "A {{ agee }}-year-old", ("names 'agee'", "did you mean 'age'")),
    Wrong("a syntax error", "A {{ age", ("line 1",)),
    Wrong("nothing left", "{% if age > 40 %}old{% endif %}", ("row 1: the template gives no word",)),
    Wrong("what no sandbox runs", "{{ age.__class__.__mro__ }}", ("row 1: the template cannot be rendered",)),
    Wrong("a weight of 0", "{{ name }}", ("row 1", "above 0"), TABLE.replace("1.5", "0")),
    Wrong("a weight in words", "{{ name }}", ("row 1: weight must be a number",), TABLE.replace("1.5", "much")),
)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.id)
def test_what_cannot_be_is_one_clear_error(tmp_path: Path, wrong: Wrong) -> None:
    """It names file and key, and costs no request."""
    with pytest.raises(ConfigError) as caught:
        personas(tmp_path, wrong.template, wrong.table)
    assert all(word in str(caught.value) for word in wrong.said), str(caught.value)
    assert caught.value.key in ("description", "weight")


COLUMNS: tuple[tuple[list[Json], list[Json]], ...] = (
    (["1", "2.5", ""], [1, 2.5, None]),
    (["007", "1"], ["007", "1"]),
    (["true", "false"], [True, False]),
    (["true", "no"], ["true", "no"]),
    ([1, None, 2.0], [1, None, 2]),
    ([float("nan"), "x "], [None, "x"]),
    (["1e999", "1"], ["1e999", "1"]),
    ([[1, 2], {"a": 1}], ["[1, 2]", '{"a": 1}']),
)


@pytest.mark.parametrize(("cells", "values"), COLUMNS)
def test_a_column_has_one_kind(cells: list[Json], values: list[Json]) -> None:
    """Numbers where every cell is one, true and false likewise, else text."""
    assert typed(cells) == values
    assert [type(one) for one in typed(cells)] == [type(one) for one in values]
