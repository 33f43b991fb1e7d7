"""The keys of a reply that is asked for as JSON: names, where every API takes them for a property's name."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.records import Question

TAKEN_BY_ALL = re.compile(r"[A-Za-z0-9_]{1,64}")
"""Anthropic's rule for the properties of a tool's input is [a-zA-Z0-9_.-]{1,64}; Google's knows no dot or dash."""


@lru_cache(maxsize=64)
def reply_keys(questions: tuple[Question, ...]) -> tuple[str, ...]:
    """A key for each question, none twice: its name, or `q` and its number where some API would refuse the name."""
    names = {question.name.casefold() for question in questions}
    return tuple(
        question.name if TAKEN_BY_ALL.fullmatch(question.name) else _numbered(number, names)
        for number, question in enumerate(questions, start=1)
    )


def _numbered(number: int, names: set[str]) -> str:
    return next(key for start in ("q", "question_", "the_question_") if (key := f"{start}{number}") not in names)


def option_keys(question: Question) -> tuple[str, ...]:
    """A key for each option of a distribution: `p` and its number for a point, else its name, or `o` and its place."""
    taken = {option.name.casefold() for option in question.options}
    if question.has_points:
        return tuple(f"p{option.name}".replace("-", "minus") for option in question.options)
    return tuple(
        option.name if TAKEN_BY_ALL.fullmatch(option.name) else _placed(place, taken)
        for place, option in enumerate(question.options, start=1)
    )


def _placed(place: int, taken: set[str]) -> str:
    return next(key for start in ("o", "option_", "the_option_") if (key := f"{start}{place}") not in taken)
