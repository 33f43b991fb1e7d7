"""The study's CSV -> rows, and rows -> the study's CSV.

Columns: timestamp, text, developer, model, persona, temperature, trial, Q1value to Q4value and, where there are any,
Q1reason to Q4reason. Scores are from 0 to 100, empty where the reply could not be read; temperature is empty where none
was sent. A table without `developer`, as the study's own collecting script writes it, has one vendor, "unknown".
"""

from __future__ import annotations

import csv
import io
import shlex
from typing import TYPE_CHECKING

from runner.config.sources.encoding import MARKS, decoded
from runner.errors import ConfigError, nearest
from runner.records import Problem, Scored, Unscorable
from runner.results.study.form import QUESTIONS, row_of
from runner.results.study.replies import UnreadableError, repetition_of, temperature_of, time_of
from runner.score.number import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from runner.records import PromptTemplate, Reading, Row

NEEDED = ("text", "model", "persona", "trial", *(f"Q{place}value" for place in range(1, len(QUESTIONS) + 1)))


def read_lines(raw: bytes, where: str) -> Iterator[tuple[int, str | None, Row | UnreadableError]]:
    """(line number, vendor, row or why it is none) of every line. ConfigError where the file is no table of the study.

    UTF-8, with or without a byte order mark; UTF-16 with one, as spreadsheets write it. Other encodings cannot be told
    apart for sure, so that reading them would be guessing.
    """
    lines = csv.DictReader(io.StringIO(_decoded(raw, where), newline=""))
    try:
        columns = [name or "" for name in lines.fieldnames or ()]
        _check_columns(columns, where)
        for line in lines:
            vendor = line.get("developer") or "unknown"
            yield lines.line_num, vendor if isinstance(vendor, str) else None, _row_or_why(line)
    except csv.Error as error:
        raise ConfigError(f"line {lines.line_num} cannot be read: {error}", where=where) from error


def _decoded(raw: bytes, where: str) -> str:
    if not raw.startswith(MARKS):
        return decoded(raw, where)
    try:
        return raw.decode("utf-16")
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-16 from byte {error.start} on", where=where) from error


def _check_columns(columns: list[str], where: str) -> None:
    if not columns:
        raise ConfigError("the file is empty", where=where)
    for name in NEEDED:
        if columns.count(name) == 1:
            continue
        few = f"; {nearest(name, columns)}" if len(columns) > 1 else ": the fields are not separated by commas"
        message = "there are two such columns" if name in columns else f"there is no such column{few}"
        raise ConfigError(message, where=where, key=name, advice=f"head -1 {shlex.quote(where)}")


def _row_or_why(line: dict[str | None, str | list[str] | None]) -> Row | UnreadableError:
    cells = {name: value.strip() for name, value in line.items() if name is not None and isinstance(value, str)}
    if None in line or None in line.values():
        return UnreadableError("has another number of fields than the first line")
    try:
        return _row(cells)
    except UnreadableError as error:
        return error


def _row(cells: Mapping[str, str]) -> Row:
    for name in ("text", "model", "persona"):
        if not cells[name]:
            raise UnreadableError(f"names no {name}")
    names = {name: cells[name] for name in ("text", "model", "persona")}
    names |= {"vendor": cells.get("developer") or "unknown", "model_id": cells["model"]}
    temperature = temperature_of(cells.get("temperature", ""))
    time = time_of(cells.get("timestamp", ""))
    return row_of(
        names,
        repetition=repetition_of(cells["trial"]),
        temperature=temperature,
        reading=_reading(cells),
        reply=None,
        time=time,
    )


def _reading(cells: Mapping[str, str]) -> Reading:
    """As `score.read` judges a reply: every question has its score, or the whole has a problem."""
    scores: dict[str, float | None] = {}
    reasons: dict[str, str | None] = {}
    problems: list[Problem] = []
    for place, question in enumerate(QUESTIONS, 1):
        cell = cells[f"Q{place}value"]
        value = number(cell, question) if cell else None
        scores[question.name] = value if isinstance(value, float) else None
        reasons[question.name] = cells.get(f"Q{place}reason") or None
        if not isinstance(value, float):
            missing = Problem("missing_question", f"{question.name}: no answer")
            problems.append(value if isinstance(value, Problem) else missing)
    if not problems:
        return Scored({name: score for name, score in scores.items() if score is not None}, reasons)
    kinds = {problem.kind for problem in problems}
    if kinds == {"missing_question"} and len(problems) == len(QUESTIONS):
        return Unscorable(Problem("no_score", "the table holds no score"), scores, reasons)
    kind = next(kind for kind in ("ambiguous", "not_a_number", "out_of_range", "missing_question") if kind in kinds)
    return Unscorable(Problem(kind, "; ".join(problem.message for problem in problems)), scores, reasons)


def header(prompt: PromptTemplate) -> list[str]:
    """The columns for a prompt's questions, in its order."""
    places = range(1, len(prompt.questions) + 1)
    first = ["timestamp", "text", "developer", "model", "persona", "temperature", "trial"]
    return first + [f"Q{place}value" for place in places] + [f"Q{place}reason" for place in places]


def lines_of(rows: Iterable[Row], prompt: PromptTemplate) -> Iterator[list[str]]:
    """A line for each row that has a reply; what could be read of an unscorable one is in it, the rest is empty."""
    for row in rows:
        temperature = row.sent.get("temperature")
        first = [row.time[:19].replace("T", " ") if row.time else "", row.text, row.vendor, row.model_id, row.persona]
        scores = (row.scores.get(question.name) for question in prompt.questions)
        yield [
            *first,
            "" if temperature is None else f"{temperature}",
            f"{row.repetition}",
            *("" if score is None else f"{score}" for score in scores),
            *(row.reasons.get(question.name) or "" for question in prompt.questions),
        ]
