"""One value of a reply -> its score, or what is wrong with it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runner.records import Json, Problem
from runner.score.names import HALF_WIDTH

if TYPE_CHECKING:
    from runner.records import Question

_NUMBER = r"[-+]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3}(?![0-9A-Za-z]))?"
_UNIT = r"(?:点|points?\b|pts?\b|ポイント)"
_SCORE = re.compile(
    r"(?:(?:約|およそ|だいたい|about|around|approximately|approx\.?|roughly|~|≈)\s*)?"
    rf"(?:(?P<top>{_NUMBER})\s*点(?:満点)?(?:中|のうち)[、,\s]*)?"
    rf"(?P<number>{_NUMBER})\s*(?:{_UNIT}|(?P<percent>%|percent\b|パーセント))?"
    rf"\s*(?:(?:/|out of)\s*(?P<whole>{_NUMBER})\s*(?:{_UNIT}(?:満点)?)?)?",
    re.IGNORECASE,
)
_AFTER = re.compile(r"\s*(?:です|だ|である|くらい|ぐらい|程度|前後|ほど)?\s*(?:\Z|\n|[(\[{,、。.;:—|]|[-–]\s)")
_SPAN = re.compile(rf"[(\[<]*\s*({_NUMBER})\s*点?\s*(?:-|~|〜|–|—|to|から)\s*({_NUMBER})\s*点?\s*[)\]>]*")
_MARKS = " \t\r\n*_`\"'“”「」『』【】[]()<>"


def number(value: Json, question: Question) -> float | Problem | None:
    """The score that `value` states, what is wrong with it, or None where it only repeats the question's scale."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        return Problem("not_a_number", f"{question.name}: {_shown(value)} is not a number")
    plain = value.translate(HALF_WIDTH).strip().lstrip(_MARKS).rstrip(_MARKS + ".,;。、")
    if _is_scale(_SPAN.fullmatch(plain), question):
        return None
    found = _SCORE.match(plain)
    rest = _remark(plain[found.end() :], question) if found else plain
    if re.search(r"[0-9]", rest) and len(re.findall(r"[0-9]+", plain)) > 1:
        return Problem("ambiguous", f"{question.name}: {_shown(value)} names more than one number")
    if not found or not _AFTER.match(rest) or not _fits(found, question):
        return Problem("not_a_number", f"{question.name}: {_shown(value)} is not a number on its scale")
    score = float(found["number"]) + 0.0  # no -0.0
    if question.low <= score <= question.high:
        return score
    limits = f"{question.low:g} to {question.high:g}"
    return Problem("out_of_range", f"{question.name}: {_shown(value)} is outside {limits}")


def _is_scale(span: re.Match[str] | None, question: Question) -> bool:
    return span is not None and (float(span[1]), float(span[2])) == (question.low, question.high)


def _remark(rest: str, question: Question) -> str:
    """What follows the number, without marks of emphasis and without the question's own scale, as in 75 (0-100)."""
    span = _SPAN.search(rest)
    if span and _is_scale(span, question):
        rest = rest[: span.start()] + rest[span.end() :]
    return re.sub(r"[*_`\"]+", "", rest)


def _fits(found: re.Match[str], question: Question) -> bool:
    """True where a fraction or a percentage means the question's own scale, so that it needs no converting."""
    tops = [float(top) for top in (found["top"], found["whole"]) if top]
    if found["percent"]:
        tops.append(100.0)
    return not tops or (question.low == 0 and all(top == question.high for top in tops))


def _shown(value: Json) -> str:
    """`value` for a message: on one line, not long, and in JSON's words where they are short."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    words = " ".join(value.split()) if isinstance(value, str) else "an object or a list"
    return f"'{words if len(words) <= 40 else words[:39] + '…'}'" if isinstance(value, str) else words
