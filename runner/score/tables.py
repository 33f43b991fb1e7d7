"""Answers in the rows of a table: Markdown, or fields parted by tabs.

A column is the score's where its heading says so. Without headings a row has to hold one number alone: of several, as
of several readers, none is the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from runner.score.characters import listed, plain
from runner.score.names import NAMING, WORDS, fold
from runner.score.number import UNCLEAR
from runner.score.scale import UNKNOWN, Scale, declared, without_declarations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.records import Json
    from runner.score.names import Part, Sheet

Column = Literal["score", "reason", "name", "number", "top", "other"]

_RULE = re.compile(r"\s*:?-+:?\s*|\s*:?=+:?\s*")
_NUMERIC = re.compile(
    r"[\s*_`\"'(\[<]*(?:約|およそ|about|around|~|≈)?\s*[-+]?\.?[0-9]+(?:\.[0-9]+)?\s*(?:点|點|分|점|%|points?|pts?"
    r"|/|out of|\)|\]|>|\*|\(|\Z)"
)
_WHOSE = re.compile(r"^(?:my|your|the|an?|あなたの|私の|自分の|感情|emotion(?:al)?)+")
_SCORED = re.compile(
    "(?:"
    + "|".join(sorted((word for word, part in WORDS.items() if part == "score"), key=len, reverse=True))
    + "){1,2}s?"
)
_NUMBERING: Final = frozenset(("", "no", "番号", "q", "設問番号", "問番号", "順番"))
_TOPS: Final = listed("max maximum outof of full 満点 最大 最大値 上限 scale スケール 尺度 range 範囲 段階")


@dataclass(frozen=True, slots=True)
class TableCell:
    """A part of an answer that a table holds."""

    index: int
    part: Part
    words: Json
    scales: tuple[Scale, ...] = ()


class TableRow(NamedTuple):
    """A line of a table."""

    cells: list[str]
    open: bool = False
    """It begins with a bar and does not end with one: it may go on below, or have been cut off."""


def row_of(line: str) -> TableRow | None:
    """A line as a row of a table, or None where it is none."""
    marked = plain(line)
    bars = marked.count("|")
    if bars:
        begins, ends = marked.lstrip().startswith("|"), marked.rstrip().endswith("|")
        if not begins and bars < 2:
            return None
        start = len(marked) - len(marked.lstrip()) + begins
        end = len(marked.rstrip()) - ends
        fields = _split(line[start:end], marked[start:end])
        return TableRow(fields, begins and not ends) if len(fields) >= 2 or (begins and bars > 1) else None
    if "\t" in line.strip():
        fields = [field.strip() for field in line.split("\t")]
        return TableRow(fields) if len(fields) >= 2 and not fields[0].endswith((":", "：")) else None
    return None


def _split(line: str, marked: str) -> list[str]:
    fields, at = [], 0
    for bar in re.finditer(r"\|", marked):
        fields.append(line[at : bar.start()].strip())
        at = bar.end()
    return [*fields, line[at:].strip()]


def read(rows: Sequence[TableRow], sheet: Sheet) -> list[TableCell]:
    """The answers in the rows of one table, those of one question after another."""
    first = rows[0].cells
    ruled = len(rows) > 1 and any(rows[1].cells) and _is_rule(rows[1])
    numbers = any(_NUMERIC.match(plain(cell)) for cell in first)
    header = first if ruled or (len(rows) > 1 and not numbers) else None
    body = [row for row in (rows[1:] if header is not None else rows) if not _is_rule(row)]
    if header is not None:
        named = {at: place[0] for at, cell in enumerate(header) if (place := sheet.find(cell)) and place[1] != "reason"}
        down = any(sheet.find(cell) for row in body for cell in row.cells[:2] if cell)
        if named and not down:
            return _across(named, header, body)
    shut = not all(row.open for row in rows)
    tops = _tops(body, sheet)
    return [cell for row in body for cell in _down(row.cells, header, sheet, tops, torn=row.open and shut)]


def _tops(body: Sequence[TableRow], sheet: Sheet) -> dict[int, tuple[Scale, ...]]:
    """Column -> the scale that a row of highest scores gives for it: | Max | 10 |."""
    found: dict[int, tuple[Scale, ...]] = {}
    for row in body:
        if any(_kind(cell) == "top" for cell in row.cells[:2]) and not any(map(sheet.find, row.cells[:2])):
            numbers = {at: cell for at, cell in enumerate(row.cells) if _NUMERIC.match(plain(cell))}
            found |= {at: found.get(at, ()) + _stated_scale(cell, "top") for at, cell in numbers.items()}
    return found


def _is_rule(row: TableRow) -> bool:
    return all(_RULE.fullmatch(cell) or not cell for cell in row.cells)


def _kind(heading: str) -> Column:
    words = plain(heading)
    key = _WHOSE.sub("", fold(without_declarations(words)))
    if _SCORED.fullmatch(key) and key not in ("number", "no"):
        return "score"
    if WORDS.get(key) == "reason":
        return "reason"
    if key in NAMING:
        return "name"
    if key in _TOPS:
        return "top"
    return "number" if key in _NUMBERING and (key or "#" in words) else "other"


def _down(
    row: Sequence[str],
    header: Sequence[str] | None,
    sheet: Sheet,
    tops: Mapping[int, tuple[Scale, ...]],
    *,
    torn: bool,
) -> list[TableCell]:
    """The answers of a row that names its question. `torn`: unlike the others it does not end where a row ends."""
    places = [(at, place) for at, cell in enumerate(row) if cell and (place := sheet.find(cell)) and place[1] == "both"]
    if not places:
        return []
    at, (index, _) = places[-1]
    names = {place[0] for place in places}
    kinds: dict[int, Column] = {
        column: _kind(header[column]) if header and column < len(header) else "other" for column in range(len(row))
    }
    scales = tuple(
        scale for column, cell in enumerate(row) if column not in names for scale in _stated_scale(cell, kinds[column])
    )
    columns = [column for column, kind in kinds.items() if kind == "score" and column not in names]
    free = [
        column for column in range(at + 1, len(row)) if kinds[column] == "other" and _NUMERIC.match(plain(row[column]))
    ]
    found: list[TableCell] = []
    if torn or (columns and header is not None and len(row) > len(header)):
        found.append(TableCell(index, "score", UNCLEAR))
    elif columns:
        found += [
            TableCell(index, "score", row[column], scales + _of_heading(header, column) + tops.get(column, ()))
            for column in columns
            if row[column]
        ]
    elif len(free) == 1 and (header is None or free[0] >= len(header) or not header[free[0]]):
        columns = free
        found.append(TableCell(index, "score", row[free[0]], scales + tops.get(free[0], ())))
    elif free:
        found.append(TableCell(index, "score", UNCLEAR))
    reasons = [column for column, kind in kinds.items() if kind == "reason"]
    if not reasons and header is None and columns:
        reasons = [column for column in range(columns[-1] + 1, len(row)) if not declared(plain(row[column]))]
    found.append(TableCell(index, "reason", " | ".join(row[column] for column in reasons)))
    return found


def _stated_scale(cell: str, kind: Column) -> tuple[Scale, ...]:
    """The scale that a cell gives: all of it a declaration, or in the column of the highest score."""
    words = plain(cell)
    if kind == "top":
        return declared(words) or (
            (Scale(None, float(words)),) if words.replace(".", "", 1).isdecimal() else (UNKNOWN,)
        )
    if kind == "other" and words[:1] in "/([" and not fold(without_declarations(words)):
        return declared(words)
    return ()


def _of_heading(header: Sequence[str] | None, column: int) -> tuple[Scale, ...]:
    return declared(plain(header[column])) if header and column < len(header) else ()


def _across(named: dict[int, int], header: Sequence[str], body: Sequence[TableRow]) -> list[TableCell]:
    """The answers of a table whose headings name the questions: one row of scores, perhaps one of reasons."""
    found: list[TableCell] = []
    for row in (line.cells for line in body):
        labels = [cell for column, cell in enumerate(row) if column not in named and cell]
        kinds = {_kind(label) for label in labels}
        for column, index in named.items():
            cell = row[column] if column < len(row) else ""
            if kinds == {"reason"}:
                found.append(TableCell(index, "reason", cell))
            elif cell:
                scales = _of_heading(header, column) + tuple(
                    scale for label in labels for scale in declared(plain(label))
                )
                found.append(TableCell(index, "score", cell if kinds <= {"score"} else UNCLEAR, scales))
    return found
