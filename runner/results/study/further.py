"""What a table of a run's rows has beyond the study's columns: its factors, and questions that are not the study's.

scores       score_NAME and reason_NAME for each question, and scale_NAME in the rows that were asked it: "0 to 10",
             or the question as JSON where it is no plain number; the study's own four questions stay Q1value to
             Q4value and Q1reason to Q4reason
answers      answer_NAME for each question that is no plain number: an option's name, words, or JSON
factors      each under its own name: prompt, sampling.temperature, persona.age ... (see results.factors)
identity     job, where there are several; model_name, where it is not the provider's; question, where each has a
             request of its own; key
problems     problem and message, where a reply could not be read
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from runner import fastjson
from runner.config.sources.typed import typed
from runner.records import Given, Option, Problem, Question, Unscorable
from runner.results.factors import shown
from runner.results.study.form import QUESTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.records import Json, PromptTemplate, Reading, Row

JOB, MODEL, PROBLEM, MESSAGE, KEY = "job", "model_name", "problem", "message", "key"
QUESTION = "question"
OWN = (JOB, MODEL, QUESTION, PROBLEM, MESSAGE, KEY)
"""Columns beside scores and factors. A table with a key is one that this program wrote."""
SCORE, REASON, SCALE, ANSWER = "score_", "reason_", "scale_", "answer_"
PLAIN = {"choice": str, "yes_no": str, "text": str}
"""Kinds whose answers stand in their cells as they are; others do as JSON."""
_SAID = ("kind", "low", "high", "step", "least", "most", "reverse")
_SCALE = re.compile(r"(-?[\d.e+-]+) to (-?[\d.e+-]+)")


# ---- out -------------------------------------------------------------------------------------------------------------


def is_studys(prompts: Iterable[PromptTemplate]) -> bool:
    """Whether all prompts ask the study's questions, in its order and on its scale."""
    own = [(question.name, question.low, question.high) for question in QUESTIONS]
    return all([(each.name, each.low, each.high) for each in one.questions] == own for one in prompts)


def scores_header(questions: Sequence[Question]) -> list[str]:
    """The columns of questions that are not the study's."""
    given = [question for question in questions if question.is_given]
    plain = [f"{kind}{question.name}" for kind in (SCORE, REASON, SCALE) for question in questions]
    return [*plain, *(f"{ANSWER}{question.name}" for question in given)]


def scores_of(row: Row, asked: PromptTemplate, questions: Sequence[Question]) -> list[str]:
    """Their cells in one row; `asked` is the row's prompt."""
    own = {question.name: question for question in asked.questions}
    scores = (row.scores.get(question.name) for question in questions)
    scales = (own.get(question.name) if row.question in (None, question.name) else None for question in questions)
    given = (row.answers.get(question.name) for question in questions if question.is_given)
    return [
        *("" if score is None else f"{score}" for score in scores),
        *(row.reasons.get(question.name) or "" for question in questions),
        *("" if one is None else _scale_cell(one) for one in scales),
        *("" if one is None else _answer_cell(one) for one in given),
    ]


def _scale_cell(question: Question) -> str:
    """A question's scale, or all that reading its answers again needs."""
    if question.kind == "number" and question.step is None and not question.reverse:
        return f"{shown(question.low)} to {shown(question.high)}"
    own = {name: getattr(question, name) for name in _SAID}
    return fastjson.dumps({**own, "options": [[one.name, one.label] for one in question.options]}).decode()


def _answer_cell(given: Given) -> str:
    return given.value if isinstance(given.value, str) else fastjson.dumps(given.value).decode()


def header_of(rows: Sequence[Row], factors: Sequence[str]) -> list[str]:
    """The further columns of some rows; [] for rows that the study's columns say whole."""
    if not factors:
        return []
    several = len({row.job for row in rows}) > 1
    named = any(row.model != row.model_id for row in rows)
    unread = [PROBLEM, MESSAGE] if any(row.problem is not None for row in rows) else []
    alone = [QUESTION] if any(row.question is not None for row in rows) else []
    return [*factors, *([JOB] if several else []), *([MODEL] if named else []), *alone, *unread, KEY]


def cells_of(row: Row, factors: Mapping[str, Json], header: Sequence[str]) -> list[str]:
    """A row's cells in these columns."""
    own = {JOB: f"{row.job}", MODEL: row.model, QUESTION: row.question or "", KEY: row.key}
    if row.problem is not None:
        own |= {PROBLEM: row.problem.kind, MESSAGE: row.problem.message}
    return [own.get(name, "") if name in OWN else shown(factors.get(name)) for name in header]


# ---- in --------------------------------------------------------------------------------------------------------------


def questions_in(columns: Iterable[str]) -> list[str]:
    """The questions that a table has under their own names."""
    return [name.removeprefix(SCORE) for name in columns if name.startswith(SCORE)]


def factors_in(columns: Sequence[str], known: Iterable[str]) -> list[str]:
    """The columns of factors in a table that this program wrote; [] in any other."""
    if KEY not in columns:
        return []
    kinds = (SCORE, REASON, SCALE, ANSWER)
    taken = {*known, *OWN, *(f"{kind}{name}" for name in questions_in(columns) for kind in kinds)}
    return [name for name in columns if name and name not in taken]


def scale_of(name: str, cell: str) -> Question | None:
    """The question whose scale a cell says; None where it says none, as in a row that was not asked it."""
    match = _SCALE.fullmatch(cell)
    try:
        if cell.startswith("{"):
            said = dict(fastjson.loads(cell))
            options = tuple(Option(str(own), str(label)) for own, label in said.pop("options"))
            return Question(name, name, name, options=options, **{key: said[key] for key in _SAID})
        return None if match is None else Question(name, name, name, float(match[1]), float(match[2]))
    except (KeyError, TypeError, ValueError):
        return None


def given_in(question: Question, cell: str) -> Given | None:
    """The answer that a cell holds; None where it holds none."""
    if not cell:
        return None
    try:
        value = cell if question.kind in PLAIN else fastjson.loads(cell)
    except ValueError:
        return None
    labels = {option.name: option.label for option in question.options}
    return Given(value, labels.get(value if isinstance(value, str) else f"{value}") or None)


def reading_of(cells: Mapping[str, str], reading: Reading) -> Reading:
    """A line's reading, with the problem that it says in place of the one that its missing scores suggest."""
    if not (kind := cells.get(PROBLEM)):
        return reading
    problem = Problem(kind, cells.get(MESSAGE, ""))
    return Unscorable(problem, dict(reading.scores), reading.reasons, answers=reading.answers)


def completed(row: Row, cells: Mapping[str, str], factors: Sequence[str]) -> Row:
    """A row with what the further columns say: factors as text as yet, see typed_factors."""
    if not factors:
        return row
    return replace(
        row,
        job=int(cells[JOB]) if cells.get(JOB, "").isdecimal() else 0,
        model=cells.get(MODEL) or row.model,
        cell=f"{cells.get(MODEL) or row.model}/{row.persona}",
        key=cells[KEY] if re.fullmatch(r"[0-9a-f]{64}", cells[KEY]) else row.key,
        factors={name: cells[name] for name in factors if cells.get(name)},
        question=cells.get(QUESTION) or None,
    )


def typed_factors(rows: Sequence[Row]) -> list[Row]:
    """Rows whose factors are text as they were read -> with values of the kind that each column has."""
    names = dict.fromkeys(name for row in rows for name in row.factors)
    columns = {name: typed([row.factors.get(name) for row in rows]) for name in names if name != "prompt"}
    return [
        replace(
            row,
            factors={name: columns[name][place] if name in columns else value for name, value in row.factors.items()},
        )
        for place, row in enumerate(rows)
    ]
