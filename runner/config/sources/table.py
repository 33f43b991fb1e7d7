"""Tables of texts or personas: csv and tsv (UTF-8, first row names the columns), jsonl (an object a line), parquet.

`columns` maps our field to their column. REQUIRED fields must be in the table (a name may be switched off: "" or null
numbers the rows). Of the others, one that is mapped to its own name may be absent, unless a column is named so nearly
alike that a slip of the pen is likelier. Columns that no field is mapped to are covariates, whatever they are called:
what is known of a persona or text, kept beside it and not sent. `weight` is a field of its own, wherever it is there.
null and NaN are empty cells. Rows of nothing but empty cells at the end of a csv are passed over, as blank lines are.
Row numbers in messages count the rows of data from 1.
"""

from __future__ import annotations

import csv
import json
import re
import shlex
from difflib import get_close_matches
from functools import partial
from io import StringIO
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from runner.config.sources.description import DescriptionTemplate
from runner.config.sources.encoding import decoded
from runner.config.sources.files import check_limit, plain_lines
from runner.config.sources.typed import typed
from runner.errors import ConfigError, nearest, pasted
from runner.records import Persona, Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from runner.records import Json

EXTENSIONS = (".csv", ".tsv", ".jsonl", ".parquet")
TEXT_FIELDS = ("name", "content", "title", "author", "language", "temperature_shift", "weight")
PERSONA_FIELDS = ("name", "description", "temperature", "weight")
REQUIRED = ("name", "content", "description")
WEIGHT = "weight"
MAX_WEIGHT = 1e12
MAX_TEMPERATURE = 2.0
"""The highest temperature of any provider's API."""
SLIP = 0.8
"""How alike two names are (difflib's ratio) before one is taken for a misspelling of the other."""

Row = dict[str, Any]
"""Our field -> the cell as the file's format gives it."""


class Table(NamedTuple):
    """A file's column names, and its rows with those of the given columns that the row has."""

    names: list[str]
    rows: Callable[[list[str]], Iterator[Row]]

    def beyond(self, taken: Iterable[str]) -> dict[str, list[Json]]:
        """The columns that are not taken, each with the value of every row; none where all are empty, or unnamed."""
        own = [name for name in dict.fromkeys(self.names) if name.strip() and name not in {*taken}]
        rows = list(self.rows(own)) if own else []
        columns = {name: typed([row.get(name) for row in rows]) for name in own}
        return {name: values for name, values in columns.items() if any(value is not None for value in values)}


def texts_from_table(
    path: str | Path,
    columns: Mapping[str, str | None],
    *,
    limit: int | None,
    where: str,
    delimiter: str | None = None,
    skip_empty: bool = False,
) -> tuple[Text, ...]:
    """A text for each row. ConfigError for a missing column, an empty content, an empty or repeated name, a bad shift.

    An empty cell of the other fields is "" (0 for temperature_shift). `where` is the config file that named the table.
    `delimiter` parts the cells of a csv: a character, or tab; None: a comma, in a .tsv a tab. `skip_empty` leaves
    rows without content out. `limit` takes the first so many of the rest.
    """
    texts = []
    for cells in _rows(Path(path), columns, TEXT_FIELDS, TableReading(limit, where, delimiter, skip_empty)):
        shift = cells.number("temperature_shift", -MAX_TEMPERATURE, MAX_TEMPERATURE)
        content = cells.filled("content")
        rest: dict[str, Any] = {field: cells.string(field) for field in ("title", "author", "language")}
        rest |= {"covariates": cells.known, "weight": cells.weight}
        texts.append(Text(name=cells.name, content=content, temperature_shift=shift or 0.0, origin=str(path), **rest))
    return tuple(texts)


def personas_from_table(
    path: str | Path,
    columns: Mapping[str, str | None],
    *,
    limit: int | None,
    where: str,
    delimiter: str | None = None,
    skip_empty: bool = False,
    templates: Mapping[str, str] | None = None,
) -> tuple[Persona, ...]:
    """A persona for each row, its description for every language. An empty temperature is None. Errors as for texts.

    `templates` by language make the descriptions from the columns: then the table needs no such column.
    """
    reading = TableReading(limit, where, delimiter, skip_empty, templates)
    found = []
    for cells in _rows(Path(path), columns, PERSONA_FIELDS, reading):
        description = cells.described or {"*": cells.filled("description")}
        heat = cells.number("temperature", 0, MAX_TEMPERATURE)
        found.append(Persona(cells.name, description, heat, cells.known, cells.weight))
    return tuple(found)


class TableReading(NamedTuple):
    """How a table is read, and which config file says so; see texts_from_table."""

    limit: int | None
    where: str
    delimiter: str | None
    skip_empty: bool
    templates: Mapping[str, str] | None = None
    """Of descriptions, by language."""


class Cells(NamedTuple):
    """One row's cells, by our fields, with where they stand for messages."""

    cells: Row
    name: str
    file: Path
    number_of_row: int
    known: Mapping[str, Json]
    """The columns that no field is mapped to, those that are not empty."""
    described: Mapping[str, str] | None = None
    """What templates make of the row; None: its own cell."""

    @property
    def weight(self) -> float | None:
        """A number above 0; None where the cell is empty or absent."""
        found = self.number(WEIGHT, 0, MAX_WEIGHT)
        if found == 0:
            self.refuse(WEIGHT, "must be above 0, or empty for as much as any other")
        return found

    def string(self, field: str) -> str:
        """A cell as text with plain line ends; "" where it is empty or absent."""
        value = self.cells.get(field)
        if _is_missing(value):
            return ""
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # data frames write a column of whole numbers so where one is missing
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            self.refuse(field, f"holds no text but {value!r}")
        try:
            str(value).encode()
        except UnicodeEncodeError as error:
            self.refuse(field, f"holds half a character (U+{ord(error.object[error.start]):04X})")
        return plain_lines(str(value))

    def filled(self, field: str, advice: str | None = None) -> str:
        """A cell that must hold words; `advice` is what to type where it does not."""
        value = self.string(field)
        if not value.strip():
            self.refuse(field, "is empty", advice)
        return value

    def number(self, field: str, low: float, high: float) -> float | None:
        """A number from low to high; None where the cell is empty or absent."""
        value = self.cells.get(field)
        if _is_missing(value) or (isinstance(value, str) and not value.strip()):
            return None
        try:
            number = float("nan") if isinstance(value, bool) or value is None else float(value)
        except (TypeError, ValueError):
            number = float("nan")
        if not low <= number <= high:
            self.refuse(field, f"must be a number from {low:g} to {high:g}; it is {value!r}")
        return number

    def refuse(self, field: str, message: str, advice: str | None = None) -> NoReturn:
        """Name the file, the row and our field."""
        raise ConfigError(
            f"row {self.number_of_row}: {field} {message}", where=str(self.file), key=field, advice=advice
        )


def _is_missing(cell: Any) -> bool:
    """Whether a cell is null, or the NaN that data frames write for it."""
    return cell is None or (isinstance(cell, float) and isnan(cell))


def _rows(
    path: Path, columns: Mapping[str, str | None], fields: tuple[str, ...], reading: TableReading
) -> Iterator[Cells]:
    """Each row's cells, named; names are checked to be there and to differ. The second field is what must be filled."""
    limit, where, skip_empty, templates = reading.limit, reading.where, reading.skip_empty, reading.templates
    check_limit(limit, where)
    path = path.expanduser()
    table = _opened(path, reading)
    if not path.stat().st_size:
        raise ConfigError("is empty", where=str(path), advice=f"ls -l {pasted(path)}")
    if WEIGHT in table.names and WEIGHT not in columns.values():
        columns = {WEIGHT: WEIGHT, **columns}
    chosen = _chosen(columns, fields, table.names, path, reading)
    beyond = table.beyond(chosen.values())
    described = None if not templates else DescriptionTemplate(templates, _plain_names(table.names, chosen), where)
    group = where.removesuffix(".yaml").replace("/", ".")
    numbered = shlex.join(["runner", f'{group}.columns.name=""'])
    seen: dict[str, int] = {}
    for number, row in enumerate(table.rows([*dict.fromkeys(chosen.values())]), start=1):
        known = {name: value for name, values in beyond.items() if (value := values[number - 1]) is not None}
        mapped = {field: row.get(column) for field, column in chosen.items()}
        cells = Cells(mapped, f"row-{number}", path, number, known)
        if skip_empty and described is None and not cells.string(fields[1]).strip():
            continue
        if described is None:
            cells.filled(fields[1], f"runner {group}.skip_empty=true")
        else:
            own = {column: typed([row.get(column)])[0] for column in chosen.values()}
            own |= {name: values[number - 1] for name, values in beyond.items()}
            whole = {name: own.get(name) for name in table.names}
            cells = cells._replace(described=described.rendered(whole, f"row {number}"))
        if "name" in chosen:
            cells = cells._replace(name=cells.filled("name", numbered))
        first = seen.setdefault(cells.name, number)
        if first != number:
            cells.refuse(
                "name", f"'{cells.name}' is taken by row {first}; columns.name=\"\" numbers the rows", numbered
            )
        yield cells
        if len(seen) == limit:
            return
    if not seen:
        raise ConfigError("holds no row", where=str(path))


def _plain_names(names: Iterable[str], chosen: Mapping[str, str]) -> list[str]:
    """The columns that a template may name."""
    return list(dict.fromkeys([*names, *chosen.values()]))


def _chosen(
    columns: Mapping[str, str | None], fields: tuple[str, ...], names: list[str], path: Path, reading: TableReading
) -> dict[str, str]:
    """Our field -> their column, for the columns that are there; refuses what is missing, with the nearest name."""
    where = reading.where
    needed = tuple(field for field in REQUIRED if field != "description" or not reading.templates)
    for field in columns:
        if field not in fields:
            raise ConfigError(f"is not a field: {nearest(field, fields)}", where=where, key=f"columns.{field}")
    wanted = {field: columns.get(field, field if field in needed else None) for field in fields}
    if reading.templates:
        wanted.pop("description", None)
    chosen = {field: column for field, column in wanted.items() if column and column in names}
    if repeated := sorted(column for column in chosen.values() if names.count(column) > 1):
        raise ConfigError(f"two columns are named '{repeated[0]}'", where=str(path))
    for field, column in wanted.items():
        if field in chosen or (not column and field not in needed[1:]):
            continue
        spare = [name for name in names if name not in chosen.values()]
        if field not in needed and column == field and not get_close_matches(field, spare, n=1, cutoff=SLIP):
            continue
        message = f"'{path}' has no column '{column or ''}': {nearest(column or field, names)}"
        if len(names) == 1 and (apart := re.search("[;\t|]", names[0])):
            shown = "a tab" if apart[0] == "\t" else f"'{apart[0]}'"
            message = f"'{path}' has one column, '{names[0]}': its cells are parted by {shown}"
            key = f"{where.removesuffix('.yaml').replace('/', '.')}.delimiter"
            raise ConfigError(
                message,
                where=where,
                key="delimiter",
                advice=shlex.join(["runner", f'{key}="{apart[0]}"' if apart[0] != "\t" else f"{key}=tab"]),
            )
        raise ConfigError(message, where=where, key=f"columns.{field}")
    return chosen


# ---- formats --------------------------------------------------------------------------------------------------------


def _opened(path: Path, reading: TableReading) -> Table:
    where = reading.where
    apart = reading.delimiter or ("tab" if path.suffix.lower() == ".tsv" else ",")
    apart = "\t" if apart == "tab" else apart
    if len(apart) != 1:
        raise ConfigError(f"must be one character, or tab; it is '{apart}'", where=where, key="delimiter")
    readers: dict[str, Callable[[Path], Table]] = {
        ".csv": partial(_csv, apart),
        ".tsv": partial(_csv, apart),
        ".jsonl": _jsonl,
        ".parquet": _parquet,
    }
    read = readers.get(path.suffix.lower())
    if read is None:
        message = f"'{path.suffix or path.name}' is no table's extension; valid: {', '.join(EXTENSIONS)}"
        raise ConfigError(message, where=where, key="path")
    if not path.is_file():
        raise ConfigError(f"there is no file '{path}'", where=where, key="path", advice=f"ls {pasted(path.parent)}")
    return read(path)


def _csv(apart: str, path: Path) -> Table:
    names, *lines = _csv_lines(apart, path) or [[]]
    while lines and not any(cell.strip() for cell in lines[-1]):
        lines.pop()
    for number, line in enumerate(lines, start=1):
        if any(cell.strip() for cell in line[len(names) :]):
            message = (
                f"row {number}: has {len(line)} cells for {len(names)} columns; is a {_spoken(apart)} not in quotes?"
            )
            raise ConfigError(message, where=str(path))
    return Table(names, lambda _columns: (dict(zip(names, line, strict=False)) for line in lines))


def _spoken(apart: str) -> str:
    return {",": "comma", "\t": "tab"}.get(apart, f"'{apart}'")


def _csv_lines(apart: str, path: Path) -> list[list[str]]:
    """The lines that are not blank. A cell may be a whole book, so csv's bound on cells is lifted meanwhile."""
    text = StringIO(decoded(path.read_bytes(), path), newline="")
    bound = csv.field_size_limit(2**31 - 1)
    try:
        return [line for line in csv.reader(text, strict=True, delimiter=apart) if line]
    except csv.Error as error:
        raise ConfigError(f"cannot be read as csv: {error}", where=str(path)) from error
    finally:
        csv.field_size_limit(bound)


def _jsonl(path: Path) -> Table:
    rows = [
        _object(line, number, path)
        for number, line in enumerate(decoded(path.read_bytes(), path).split("\n"), start=1)
        if line.strip()
    ]
    return Table(list(dict.fromkeys(name for row in rows for name in row)), lambda _columns: iter(rows))


def _object(line: str, number: int, path: Path) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"line {number}: is not JSON: {error}", where=str(path)) from error
    except RecursionError as error:
        raise ConfigError(f"line {number}: is nested too deep", where=str(path)) from error
    if not isinstance(row, dict):
        raise ConfigError(f"line {number}: is not a JSON object", where=str(path))
    return row


def _parquet(path: Path) -> Table:
    from pyarrow import ArrowException, parquet  # takes a third of a second, so for this format alone

    def rows(columns: list[str]) -> Iterator[Row]:
        try:
            return iter(parquet.read_table(path, columns=columns).to_pylist())
        except (ArrowException, OSError, ValueError) as error:  # the schema stands at the end, and may be all there is
            raise ConfigError(f"cannot be read as parquet: {error}", where=str(path)) from error

    try:
        names = [str(name) for name in parquet.read_schema(path).names]
    except ArrowException as error:
        raise ConfigError(f"cannot be read as parquet: {error}", where=str(path)) from error
    return Table(names, rows)
