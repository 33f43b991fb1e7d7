"""Statistics as text for a terminal of any width, as Markdown, LaTeX and CSV, and as JSON for machines."""

from __future__ import annotations

import csv
import io
import json
import re
import textwrap
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from runner.records import STATISTICS_VERSION
from runner.reporting.formatting import NONE, between, many, p_value, part, plain, signed
from runner.reporting.stats.shown.sheets import View, ends, sheets
from runner.reporting.stats.values import Interval, Statistics, Undefined, known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runner.records import Json
    from runner.reporting.stats.shown.sheet import Kind, TableData

FORMATS = ("text", "md", "latex", "csv", "json")
WIDTH = 80
GAPS = ("  ", " ")
"""Between two columns: the wider where there is room."""
INDENT = "  "
"""Before what stands below a name, or below a row."""


def render(statistics: Statistics, view: View = View(), form: str = "text", width: int = WIDTH) -> str:  # noqa: B008
    """The findings and the tables of a view, in one of FORMATS; "json" is all there is, whatever the view.

    No line of "text" is wider than `width` columns but for a name that is: names are never broken.
    """
    if form == "json":
        return to_json(statistics)
    made = sheets(statistics, view)
    if form == "csv":
        return _csv(made)
    write: Callable[[TableData], Iterator[str]] = {"md": _markdown, "latex": _latex}.get(
        form, lambda sheet: _text(sheet, width)
    )
    blocks = [*_findings(statistics, form, width), *("\n".join(write(sheet)) for sheet in made)]
    return "\n\n".join(blocks)


def to_json(statistics: Statistics) -> str:
    """All numbers at full precision; one that does not exist is {"not_defined": reason}."""
    whole = {
        "statistics_version": STATISTICS_VERSION,
        **{f.name: getattr(statistics, f.name) for f in fields(statistics)},
    }
    return json.dumps(_plain(whole), ensure_ascii=False, indent=2, allow_nan=False)


def _plain(value: Any) -> Json:
    if isinstance(value, Undefined):
        return {"not_defined": value.reason}
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _findings(said: Statistics, form: str, width: int) -> list[str]:
    lines = [*said.findings, *(f"Note: {one}." for one in said.confounded)]
    if form == "latex":
        return [_escaped(line) for line in lines]
    mark = "- " if form == "md" else ""
    wide = 10**6 if form == "md" else width
    return ["\n".join(textwrap.fill(mark + line, wide, break_long_words=False, break_on_hyphens=False)
            for line in lines)] if lines else []  # fmt: skip


# ---- values ----------------------------------------------------------------------------------------------------------

_WRITTEN: dict[Kind, Callable[[Any], str]] = {
    "count": lambda value: f"{value:,}",
    "score": plain,
    "signed": lambda value: signed(value, 2),
    "interval": lambda value: between(value) or NONE,
    "p": p_value,
    "share": lambda value: part(known(value)),
    "fine": lambda value: plain(value, 4),
}


def written(sheet: TableData) -> list[tuple[str, ...]]:
    """The rows as they are read; names and text as they are spelt."""
    writers = [_WRITTEN.get(kind, str) for _, kind in sheet.columns]
    return [tuple(write(value) for write, value in zip(writers, row, strict=True)) for row in sheet.rows]


def names_in(sheet: TableData) -> int:
    """How many columns are of names."""
    return sum(kind == "name" for _, kind in sheet.columns)


# ---- a terminal ------------------------------------------------------------------------------------------------------


def _text(sheet: TableData, width: int) -> Iterator[str]:
    """Names beside their figures where there is room, else on a line of their own above them."""
    yield from textwrap.wrap(sheet.title, width)
    layout = _Layout.of(sheet, width)
    for block in layout.blocks:
        yield from _block(sheet, layout, block)
    if sheet.left_out:
        yield f"{many(sheet.left_out, 'more line')} with --all"
    yield from textwrap.wrap(sheet.method, width, break_on_hyphens=False)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a table's columns go."""

    cells: Sequence[Sequence[str]]
    widths: Sequence[int]
    gap: str
    above: int
    """How many columns of names stand on a line of their own above their figures."""
    blocks: Sequence[range]
    """The columns of figures that go side by side: all, or as many as fit."""
    width: int

    @classmethod
    def of(cls, sheet: TableData, width: int) -> _Layout:
        from rich.cells import cell_len

        cells, names = written(sheet), names_in(sheet)
        columns = zip((name for name, _ in sheet.columns), *cells, strict=True)
        widths = [max(cell_len(text) for text in column) for column in columns]
        whole = range(names, len(widths))
        for above in range(names + 1):
            for gap in GAPS:
                used = sum(widths[above:]) + len(gap) * (len(widths) - above - 1) + len(INDENT) * bool(above)
                if used <= width:
                    return cls(cells, widths, gap, above, [whole], width)
        return cls(cells, widths, GAPS[-1], names, _blocks(widths, names, width), width)


def _blocks(widths: Sequence[int], names: int, width: int) -> list[range]:
    blocks, start, used = [], names, len(INDENT)
    for column in range(names, len(widths)):
        if column > start and used + 1 + widths[column] > width:
            blocks.append(range(start, column))
            start, used = column, len(INDENT)
        used += 1 + widths[column]
    return [*blocks, range(start, len(widths))]


def _block(sheet: TableData, layout: _Layout, block: range) -> Iterator[str]:
    above, names = layout.above, names_in(sheet)
    kinds = [kind for _, kind in sheet.columns]

    def line(row: Sequence[str]) -> str:
        columns = (*range(above, names), *block)
        shown = (_padded(row[column], layout.widths[column], kinds[column]) for column in columns)
        return (INDENT * bool(above) + layout.gap.join(shown)).rstrip()

    heads = [name for name, _ in sheet.columns]
    if above:
        yield GAPS[0].join(heads[:above])
    yield (head := line(heads))
    yield "─" * max(len(head), 20)
    before: Sequence[str] = ()
    for row, note in zip(layout.cells, sheet.notes or ("",) * len(layout.cells), strict=True):
        if above and before[:above] != row[:above]:
            yield GAPS[0].join(row[:above])
        before = row
        yield line(row)
        if note and block.stop == len(layout.widths):
            yield from textwrap.wrap(note, layout.width, initial_indent=INDENT * 2, subsequent_indent=INDENT * 2,
                                     break_long_words=False, break_on_hyphens=False)  # fmt: skip


def _padded(text: str, width: int, kind: Kind) -> str:
    from rich.cells import cell_len

    room = " " * (width - cell_len(text))
    return text + room if kind in {"name", "text"} else room + text


# ---- Markdown, LaTeX, CSV --------------------------------------------------------------------------------------------


def _with_notes(sheet: TableData) -> tuple[list[str], list[tuple[str, ...]]]:
    """Heads and rows, the notes as a last column where there are any."""
    heads, cells = [name for name, _ in sheet.columns], written(sheet)
    if not any(sheet.notes):
        return heads, cells
    return [*heads, "note"], [(*row, note) for row, note in zip(cells, sheet.notes, strict=True)]


def _under(sheet: TableData) -> str:
    left = f"{many(sheet.left_out, 'more line')} with --all. " if sheet.left_out else ""
    return left + sheet.method


def _markdown(sheet: TableData) -> Iterator[str]:
    heads, cells = _with_notes(sheet)
    names = names_in(sheet)
    yield f"**{sheet.title}**"
    yield ""
    for row in (heads, [":--" if place < names else "--:" for place in range(len(heads))], *cells):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    if _under(sheet):
        yield ""
        yield f"*{_under(sheet)}*"


_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$",
            "−": r"$-$", "²": r"$^2$", "–": "--", "<": r"$<$", ">": r"$>$",
            **{one: f"\\{one}" for one in "&%$#_{}"}}  # fmt: skip


def _escaped(text: str) -> str:
    """Text for LaTeX, in which nothing is a command."""
    return "".join(_SPECIAL.get(one, one) for one in text)


def _latex(sheet: TableData) -> Iterator[str]:
    """A table for booktabs."""
    heads, cells = _with_notes(sheet)
    names = names_in(sheet)
    lines = [" & ".join(map(_escaped, row)) + r" \\" for row in (heads, *cells)]
    yield r"\begin{table}"
    yield rf"\caption{{{_escaped(sheet.title)}}}"
    yield rf"\begin{{tabular}}{{{'l' * names}{'r' * (len(heads) - names)}}}"
    yield r"\toprule"
    yield from (lines[0], r"\midrule", *lines[1:])
    yield r"\bottomrule"
    yield r"\end{tabular}"
    if _under(sheet):
        yield rf"\par\footnotesize {_escaped(_under(sheet))}"
    yield r"\end{table}"


def _csv(made: Sequence[TableData]) -> str:
    """One table of all: `table`, then every column that any has; full precision, empty where there is no number."""
    lines = [{"table": sheet.key, **_flat(sheet, row)} for sheet in made for row in sheet.rows]
    heads = list(dict.fromkeys(name for line in lines for name in line))
    out = io.StringIO()
    writer = csv.DictWriter(out, heads, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue().removesuffix("\n")


def _flat(sheet: TableData, row: Sequence[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for (name, _), value in zip(sheet.columns, row, strict=True):
        plain_name = re.sub(r"\W+", "_", name).strip("_")
        if isinstance(value, Interval):
            low, high = ends(value)
            found |= {"low": low, "high": high, "scope": value.scope, "se": known(value.se), "t_df": known(value.df)}
        else:
            found[plain_name] = "" if isinstance(value, Undefined) else value
    return found
