"""What a reading found, and what follows from it for each question."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from runner.records import Given, Json, Problem, Stated
from runner.score import surroundings
from runner.score.kinds import judge, score_of
from runner.score.number import UNCLEAR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Question
    from runner.score.names import Sheet
    from runner.score.scale import Scale


class Found(NamedTuple):
    """What stands in the place of a question's score."""

    at: int
    value: Json
    scales: tuple[Scale, ...] = ()
    """Declared in its label, its table's heading, or beside it."""


@dataclass(slots=True)
class Findings:
    """What one way of reading found, before anything is decided. Values stand with their question's index."""

    scores: list[Found] = field(default_factory=list)
    reasons: list[tuple[int, str]] = field(default_factory=list)
    cut: bool = False
    """The reply ends inside an answer."""
    open: set[int] = field(default_factory=set)
    """The questions whose answers were not closed."""
    broken: bool = False
    """JSON was begun and could not be read on."""
    outside: list[str] = field(default_factory=list)
    """The lines beside the answers."""
    rest: str = ""
    """Of a reading of JSON: the text without the objects that held answers."""


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
    stated: Mapping[str, Stated]
    outside: tuple[str, ...]
    given: Mapping[str, Given | None]
    """Answers that are no plain numbers."""

    @property
    def read(self) -> int:
        """How many questions have an answer."""
        return len(self.values) - sum(value is None for value in self.values.values())

    @property
    def values(self) -> dict[str, Json]:
        """Question -> its answer as far as two are compared: its score, else what was given."""
        return {**{name: given and given.value for name, given in self.given.items()}, **self.scores}


def judged(findings: Findings, sheet: Sheet, *, rescale: bool) -> Answers:
    """One score or one problem a question, and the first reason given for it."""
    around = surroundings.scales_of(findings.outside)
    example = surroundings.are_examples(findings.outside)
    scores: dict[str, float | None] = {}
    reasons: dict[str, str | None] = {}
    problems: list[Problem] = []
    stated: dict[str, Stated] = {}
    given: dict[str, Given | None] = {}
    for index, question in enumerate(sheet.questions):
        own = [
            Found(index, UNCLEAR if example else each.value, each.scales or around)
            for each in findings.scores
            if each.at == index
        ]
        reason = next((reason for at, reason in findings.reasons if at == index), None)
        answer = _agreed(own, question, rescale=rescale)
        if isinstance(answer, float) and (said := surroundings.scales_in_reason(reason, answer, question)):
            answer = _agreed([each._replace(scales=each.scales or said) for each in own], question, rescale=rescale)
        if isinstance(answer, Stated):
            stated[question.name] = answer
        if question.is_given:
            given[question.name] = answer if isinstance(answer, Given) else None
        if question.is_numeric:
            scores[question.name] = None if isinstance(answer, Problem) else score_of(answer, question)
        if question.has_reason:
            reasons[question.name] = reason
        if isinstance(answer, Problem):
            problems.append(answer)
    truncated = findings.cut and not _closed(findings, reasons, complete=not problems)
    return Answers(
        scores,
        reasons,
        tuple(problems),
        bool(findings.scores),
        truncated,
        findings.broken,
        stated,
        tuple(findings.outside),
        given,
    )


def _agreed(own: list[Found], question: Question, *, rescale: bool) -> float | Stated | Given | Problem:
    """What all values of a question say. Those that are no answers count where there is nothing else."""
    clear = [each for each in own if each.value is not UNCLEAR] or own
    read = (judge(each.value, question, each.scales, rescale=rescale) for each in clear)
    # What was given counts, however it was written.
    results = {
        repr(result.value) if isinstance(result, Given) else result: result for result in read if result is not None
    }
    if not results:
        return Problem("missing_question", f"{question.name}: no answer")
    if len(results) > 1:
        return Problem("ambiguous", f"{question.name}: answered more than once, differently")
    return next(iter(results.values()))


def _closed(findings: Findings, reasons: Mapping[str, str | None], *, complete: bool) -> bool:
    """True where the end that was cut off cannot have held a part of an answer."""
    given = [reason is not None for reason in reasons.values()]
    return not findings.open and complete and (all(given) or not any(given))
