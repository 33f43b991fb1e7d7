"""What a reading found, and what follows from it for each question."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.records import Json, Problem
from runner.score.number import number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Question
    from runner.score.names import Sheet


@dataclass(slots=True)
class Findings:
    """What one way of reading found, before anything is decided. Values stand with their question's index."""

    scores: list[tuple[int, Json]] = field(default_factory=list)
    reasons: list[tuple[int, str]] = field(default_factory=list)
    cut: bool = False
    """The reply ends inside an answer."""
    open: set[int] = field(default_factory=set)
    """The questions whose answers were not closed."""
    broken: bool = False
    """JSON was begun and could not be read on."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Findings judged: a score or a problem for each question."""

    scores: Mapping[str, float | None]
    reasons: Mapping[str, str | None]
    problems: tuple[Problem, ...]
    found: bool
    """Something stood in the place of a score."""
    truncated: bool
    """Something that belongs to an answer was cut off."""
    broken: bool

    @property
    def read(self) -> int:
        """How many questions have a score."""
        return sum(score is not None for score in self.scores.values())


def judged(findings: Findings, sheet: Sheet) -> Answers:
    """One score or one problem a question, and the first reason given for it."""
    scores: dict[str, float | None] = {}
    reasons: dict[str, str | None] = {}
    problems: list[Problem] = []
    for index, question in enumerate(sheet.questions):
        score = _agreed([value for at, value in findings.scores if at == index], question)
        scores[question.name] = None if isinstance(score, Problem) else score
        reasons[question.name] = next((reason for at, reason in findings.reasons if at == index), None)
        if isinstance(score, Problem):
            problems.append(score)
    truncated = findings.cut and not _closed(findings, scores, reasons)
    return Answers(scores, reasons, tuple(problems), bool(findings.scores), truncated, findings.broken)


def _agreed(values: list[Json], question: Question) -> float | Problem:
    results = {result for value in values if (result := number(value, question)) is not None}
    if not results:
        return Problem("missing_question", f"{question.name}: no answer")
    if len(results) > 1:
        return Problem("ambiguous", f"{question.name}: answered more than once, differently")
    return results.pop()


def _closed(findings: Findings, scores: Mapping[str, float | None], reasons: Mapping[str, str | None]) -> bool:
    """True where the end that was cut off cannot have held a part of an answer."""
    given = [reason is not None for reason in reasons.values()]
    return not findings.open and None not in scores.values() and (all(given) or not any(given))
