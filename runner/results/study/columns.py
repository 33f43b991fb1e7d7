"""The study's CSV -> rows, and rows -> the study's CSV.

Columns: timestamp, text, developer, model, persona, temperature, trial, Q1value to Q4value and, where there are any,
Q1reason to Q4reason. Scores are from 0 to 100, empty where the reply could not be read; temperature is empty where none
was sent. A table without `developer`, as the study's own collecting script writes it, has one vendor, "unknown". What
a run of this program has beyond these, `further` reads and writes.
"""

from __future__ import annotations

import csv
import io
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.config.sources.encoding import MARKS, decoded
from runner.errors import ConfigError, nearest
from runner.records import Given, Problem, Scored, Unscorable
from runner.results.study import further
from runner.results.study.form import QUESTIONS, row_of
from runner.results.study.replies import UnreadableError, repetition_of, temperature_of, time_of
from runner.score.number import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.records import PromptTemplate, Question, Reading, Row

    Asked = Sequence[tuple[Question, str, str]]
    """Each question with the columns of its score and its reason."""

FIRST = ("timestamp", "text", "developer", "model", "persona", "temperature", "trial")
NEEDED = ("text", "model", "persona", "trial")
OWN: Asked = [(question, f"Q{place}value", f"Q{place}reason") for place, question in enumerate(QUESTIONS, 1)]
"""The study's own questions."""


def read_lines(
    raw: bytes, where: str, asked: dict[tuple[int, str], dict[str, Question]] | None = None
) -> Iterator[tuple[int, str | None, Row | UnreadableError]]:
    """(line number, vendor, row or why it is none) of every line. ConfigError where the file is no table of the study.

    `asked` takes up what each prompt asks, by job and name, of a table that says more than the study's columns.

    UTF-8, with or without a byte order mark; UTF-16 with one, as spreadsheets write it. Other encodings cannot be told
    apart for sure, so that reading them would be guessing.
    """
    lines = csv.DictReader(io.StringIO(_decoded(raw, where), newline=""))
    try:
        columns = [name or "" for name in lines.fieldnames or ()]
        own = further.questions_in(columns)
        _check_columns(columns, where, () if own else [value for _, value, _ in OWN])
        factors = further.factors_in(columns, (*FIRST, *(name for each in OWN for name in each[1:])))
        for line in lines:
            vendor = line.get("developer") or "unknown"
            row = _row_or_why(line, own, factors)
            if asked is not None and (own or factors) and not isinstance(row, UnreadableError):
                cells = {name: cell for name, cell in line.items() if isinstance(name, str) and isinstance(cell, str)}
                questions = (question for question, *_ in (_asked(cells, own) if own else OWN))
                plain = {each.name: replace(each, label=each.name, wording=each.name) for each in questions}
                asked.setdefault((row.job, str(row.factors.get("prompt", ""))), {}).update(plain)
            yield lines.line_num, vendor if isinstance(vendor, str) else None, row
    except csv.Error as error:
        raise ConfigError(f"line {lines.line_num} cannot be read: {error}", where=where) from error


def _decoded(raw: bytes, where: str) -> str:
    if not raw.startswith(MARKS):
        return decoded(raw, where)
    try:
        return raw.decode("utf-16")
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-16 from byte {error.start} on", where=where) from error


def _check_columns(columns: list[str], where: str, scores: Sequence[str]) -> None:
    if not columns:
        raise ConfigError("the file is empty", where=where)
    for name in (*NEEDED, *scores):
        if columns.count(name) == 1:
            continue
        few = f"; {nearest(name, columns)}" if len(columns) > 1 else ": the fields are not separated by commas"
        message = "there are two such columns" if name in columns else f"there is no such column{few}"
        raise ConfigError(message, where=where, key=name, advice=f"head -1 {shlex.quote(where)}")


def _row_or_why(
    line: dict[str | None, str | list[str] | None], own: Sequence[str], factors: Sequence[str]
) -> Row | UnreadableError:
    cells = {name: value.strip() for name, value in line.items() if name is not None and isinstance(value, str)}
    if None in line or None in line.values():
        return UnreadableError("has another number of fields than the first line")
    try:
        return further.completed(_row(cells, _asked(cells, own) if own else OWN), cells, factors)
    except UnreadableError as error:
        return error


def _asked(cells: Mapping[str, str], own: Sequence[str]) -> Asked:
    """The questions that a line was asked, of those that the table has under their own names."""
    found = [(name, further.scale_of(name, cells.get(further.SCALE + name, ""))) for name in own]
    return [(one, further.SCORE + name, further.REASON + name) for name, one in found if one is not None]


def _row(cells: Mapping[str, str], asked: Asked) -> Row:
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
        reading=further.reading_of(cells, _reading(cells, asked)),
        reply=None,
        time=time,
    )


def _reading(cells: Mapping[str, str], asked: Asked) -> Reading:
    """As `score.read` judges a reply: every question has its score, or the whole has a problem."""
    scores: dict[str, float | None] = {}
    reasons: dict[str, str | None] = {}
    problems: list[Problem] = []
    answers: dict[str, Given | None] = {}
    for question, of_score, of_reason in asked:
        if question.has_reason:
            reasons[question.name] = cells.get(of_reason) or None
        if question.is_given:
            given = answers[question.name] = further.given_in(question, cells.get(further.ANSWER + question.name, ""))
            if given is None:
                problems.append(Problem("missing_question", f"{question.name}: no answer"))
            if not question.is_numeric:
                continue
        cell = cells[of_score]
        value = number(cell, question) if cell else None
        scores[question.name] = value if isinstance(value, float) else None
        if not isinstance(value, float) and not question.is_given:
            missing = Problem("missing_question", f"{question.name}: no answer")
            problems.append(value if isinstance(value, Problem) else missing)
    if not problems:
        return Scored({name: score for name, score in scores.items() if score is not None}, reasons, answers=answers)
    kinds = {problem.kind for problem in problems}
    if kinds == {"missing_question"} and len(problems) == len(asked):
        return Unscorable(Problem("no_score", "the table holds no score"), scores, reasons, answers=answers)
    kind = next(kind for kind in ("ambiguous", "not_a_number", "out_of_range", "missing_question") if kind in kinds)
    message = "; ".join(problem.message for problem in problems)
    return Unscorable(Problem(kind, message), scores, reasons, answers=answers)


def header(questions: Sequence[Question], *, studys: bool) -> list[str]:
    """The study's columns; other questions than its own have theirs under their names."""
    if not studys:
        return [*FIRST, *further.scores_header(questions)]
    return [*FIRST, *(value for _, value, _ in OWN), *(reason for _, _, reason in OWN)]


def line_of(row: Row, prompt: PromptTemplate, questions: Sequence[Question], *, studys: bool) -> list[str]:
    """A row's cells in these; what could be read of an unscorable reply is in it, the rest is empty."""
    temperature = row.sent.get("temperature")
    time = row.time[:19].replace("T", " ") if row.time else ""
    heat = "" if temperature is None else f"{temperature}"
    first = [time, row.text, row.vendor, row.model_id, row.persona, heat, f"{row.repetition}"]
    if not studys:
        return [*first, *further.scores_of(row, prompt, questions)]
    scores = (row.scores.get(question.name) for question in QUESTIONS)
    reasons = (row.reasons.get(question.name) or "" for question in QUESTIONS)
    return [*first, *("" if score is None else f"{score}" for score in scores), *reasons]
