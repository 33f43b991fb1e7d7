"""Answers in labelled lines, such as `Q1. 面白さ(数値): 75`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.score.findings import Findings
from runner.score.names import HALF_WIDTH, WORDS, fold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.score.names import Part, Sheet

_BREAK = re.compile(r"\r\n|\r|\n")
_FENCE = re.compile(r"\s*(?:```|~~~|(?:[-*_=]\s*){3,}$)")
_DECORATION = re.compile(r"[\s>*_#\-•・●○◆◇■□▼|`]*")
_COLON = re.compile(r"[:=→]")
_CLOSING = re.compile(r"[)\]】」』]")
_BEFORE_NUMBER = re.compile(
    r"((?:(?:Q|Question|No\.?|問い?|質問)?\s*[0-9]{1,3}\s*[.):、]?\s*)?[^0-9]{1,80}?)"
    r"(?:[\s=→は]|[–—-](?=\s))*(?=[-+]?\.?[0-9])",
    re.IGNORECASE,
)
_UNIT = r"点|points?\b|pts?\b|percent|パーセント|ポイント|out of|です|だ|である|くらい|ぐらい|程度|前後|ほど|to\b|or\b|か|以上|以下"
_VALUE = re.compile(
    r"[\s*_`\"'“「『\[(<]*(?:(?:約|およそ|だいたい|about|around|approximately|roughly|~|≈)\s*)?"
    rf"[-+]?\.?[0-9]+(?![0-9])(?:\.[0-9]+)?(?!\s*(?!{_UNIT})[^\W\d_])",
    re.IGNORECASE,
)
"""The begin of a value. A number with a plain word behind it is a sentence: 面白さ: 3つの理由があります."""
_CHAINED = re.compile(
    r"([\s*_`\"']*[-+]?\.?[0-9]+(?:\.[0-9]+)?\s*(?:点|points?|%)?(?:\s*/\s*[0-9]+\s*点?)?[\s*_`\"']*)[\s,、;|/。]+(?=\S)"
)
_MAX_BARE = 40


@dataclass(slots=True)
class _Segment:
    """A part of an answer, from its head to the next head. The first of `lines` stands on the head's own line."""

    index: int
    part: Part
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Head:
    """The begin of a line that names a part of an answer; `index` is None where the line above says whose."""

    index: int | None
    part: Part
    tail: str


def find(text: str, sheet: Sheet, finish: str | None) -> Findings:
    """Every answer in the lines of `text`; where there is none and one question is asked, a number alone."""
    segments, ends_open = _Reader(sheet).segments(text)
    findings = Findings()
    unlabelled: list[tuple[int, str]] = []
    for segment in segments:
        if segment.part == "reason":
            _add(findings.reasons, segment.index, segment.lines)
            continue
        value, below = _value_and_below(segment)
        if value is not None:
            findings.scores.append((segment.index, value))
        _add(unlabelled, segment.index, below)
    findings.reasons += unlabelled
    if not findings.scores and len(sheet.questions) == 1 and len(text) <= _MAX_BARE and _VALUE.match(_plain(text)):
        findings.scores.append((0, text))
        ends_open = True
    if finish == "length" and ends_open:
        _distrust_end(findings, segments, text)
    return findings


def _distrust_end(findings: Findings, segments: list[_Segment], text: str) -> None:
    """A reply stopped by the token limit: its last answer may go on, its last number may lack digits."""
    findings.cut = True
    last = segments[-1].index if segments else 0
    findings.open.add(last)
    ends_in_number = re.search(r"[0-9.０-９．]\Z", text) and (not segments or segments[-1].part != "reason")
    if ends_in_number and findings.scores:
        findings.scores.pop()


def _add(reasons: list[tuple[int, str]], index: int, lines: list[str]) -> None:
    if reason := _without_emphasis("\n".join(lines).strip()):
        reasons.append((index, reason))


def _without_emphasis(words: str) -> str:
    """`words` without bold marks that were opened before them, or closed after them."""
    if words.count("**") % 2:
        words = words.removeprefix("**") if words.startswith("**") else words.removesuffix("**")
    return words.strip()


def _value_and_below(segment: _Segment) -> tuple[str | None, list[str]]:
    """The value of a score's segment, and the lines directly below it: a reason without its label."""
    at = next((at for at, line in enumerate(segment.lines) if line.strip(" \t*_`")), None)
    if at is None:
        return None, []
    stated = segment.part == "score" or _VALUE.match(_plain(segment.lines[at]))
    below = segment.lines[at + 1 :] if stated else segment.lines[at:]
    end = next((end for end, line in enumerate(below) if not line.strip()), len(below))
    return (segment.lines[at] if stated else None), below[:end]


class _Reader:
    """Goes down the lines and keeps what they are about."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self.current: int | None = 0 if len(sheet.questions) == 1 else None
        self.found: list[_Segment] = []
        self.open: _Segment | None = None

    def segments(self, text: str) -> tuple[list[_Segment], bool]:
        """The parts of answers in their order, and True where the last one reaches the end of `text`."""
        for line in _BREAK.split(text):
            if _FENCE.match(line):
                self.open = None
            elif not self._row(line):
                self._line(line)
        return self.found, self.open is not None

    def _row(self, line: str) -> bool:
        """A row of a Markdown table: the question, its score, its reason."""
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.lstrip().startswith("|") or len(cells) < 2:
            return False
        for at, cell in enumerate(cells[:-1]):
            place = self.sheet.find(cell)
            if place and _VALUE.match(_plain(cells[at + 1])):
                self._begin(place[0], "score", cells[at + 1])
                self._begin(place[0], "reason", " | ".join(cells[at + 2 :]))
                self.open = None
                return True
        return False

    def _line(self, line: str) -> None:
        head = self._head(line)
        if head is None:
            if self.open is not None:
                self.open.lines.append(line)
            return
        tail = head.tail
        while head is not None:
            if head.index is not None:
                self.current = head.index
            if self.current is None:
                return
            tail, head = self._chained(head)
            self._begin(self.current, self._part, tail)

    def _begin(self, index: int, part: Part, first_line: str) -> None:
        self.open = _Segment(index, part, [first_line])
        self.found.append(self.open)
