"""Answers in labelled lines, such as `Q1. 面白さ(数値): 75`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from runner.score.findings import Findings
from runner.score.names import HALF_WIDTH, WORDS, fold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.score.names import Part, Sheet

_BREAK = re.compile(r"\r\n|\r|\n")
_FENCE = re.compile(r"\s*(?:```|~~~|(?:[-*_=]\s*){3,}$)")
_JSON = re.compile(r"\s*[{}\"'“]")
"""A line of JSON, which is not for this module."""
_DECORATION = re.compile(r"[\s>*_#\-•・●○◆◇■□▼|`]*")
_COLON = re.compile(r"[:=→]")
_CLOSING = re.compile(r"[)\]】」』]")
_BEFORE_NUMBER = re.compile(
    r"((?:(?:Q|Question|No\.?|問い?|質問)?\s*[0-9]{1,3}\s*[.):、]?\s*)?[^0-9]{1,80}?)"
    r"(?:[\s=→は]|[–—-](?=\s))*(?<![0-9])(?<![0-9]\.)(?=[-+]?\.?[0-9])",
    re.IGNORECASE,
)
_UNIT = (
    r"点|points?\b|pts?\b|percent|パーセント|ポイント|out of|です|だ|である|くらい|ぐらい|程度|前後|ほど"
    r"|to\b|or\b|か|以上|以下"
)
_VALUE = re.compile(
    r"[\s*_`\"'“「『\[(<]*(?:(?:約|およそ|だいたい|about|around|approximately|roughly|~|≈)\s*)?"
    rf"[-+]?\.?[0-9]+(?![0-9])(?:\.[0-9]+)?(?!\s*(?!{_UNIT})[^\W\d_])",
    re.IGNORECASE,
)
"""The begin of a value. A number with a plain word behind it is a sentence: 面白さ: 3つの理由があります."""
_CHAINED = re.compile(
    r"([\s*_`\"']*[-+]?\.?[0-9]+(?:\.[0-9]+)?\s*(?:点|points?|%)?(?:\s*(?:/|out of)\s*[0-9]+\s*点?)?[\s*_`\"']*)"
    r"(?:[\s,、;|/。]+(?=\S)|(?=[(\[]))"
)
_MAX_BARE = 40
_MAX_HEAD = 160
_MAX_CHAIN = 4_000


@dataclass(slots=True)
class _Segment:
    """A part of an answer, from its head to the next head. The first of `lines` stands on the head's own line."""

    index: int
    part: Part
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Head:
    """The begin of a line that names a part of an answer; a part word alone belongs to the question above it."""

    index: int
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
    last = segments[-1] if segments else None
    findings.open.add(last.index if last else 0)
    value, below = _value_and_below(last) if last and last.part != "reason" else (None, [])
    if findings.scores and (last is None or (value and not below and text.endswith(value))):
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
            elif not _JSON.match(line) and not self._row(line):
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
        if head is None and self.open is not None:
            self.open.lines.append(line)
        while head is not None:
            self.current = head.index
            own, rest = self._chained(head)
            self._begin(head.index, head.part, own)
            head = self._head(rest) if rest else None

    def _begin(self, index: int, part: Part, first_line: str) -> None:
        self.open = _Segment(index, part, [first_line])
        self.found.append(self.open)

    def _chained(self, head: _Head) -> tuple[str, str]:
        """A score's tail, and what follows on the same line where that is another answer: `75, 驚き: 60`."""
        one_value = head.part == "reason" or len(head.tail) > _MAX_CHAIN
        value = None if one_value else _CHAINED.match(_plain(head.tail[:_MAX_HEAD]))
        if value is None:
            return head.tail, ""
        rest = head.tail[value.end() :]
        if rest.startswith(("(", "（", "[")):
            rest = rest[1:].rstrip(" )）]")
        return (head.tail[: value.end(1)], rest) if self._head(rest) else (head.tail, "")

    def _head(self, words: str, *, nested: bool = False) -> _Head | None:
        """The answer that `words` begin, if they begin with the name of one."""
        plain = _plain(words[:_MAX_HEAD])
        decoration = _DECORATION.match(plain)
        start = decoration.end() if decoration else 0
        for end, after in _splits(plain, start):
            if head := self._named(words[start:end], words[after:], nested=nested):
                return head
        return self._named(words[start:].rstrip(" \t*_#`"), "", nested=nested) if len(words) <= _MAX_HEAD else None

    def _named(self, name: str, tail: str, *, nested: bool) -> _Head | None:
        place = self.sheet.find(name)
        if place is None:
            part = WORDS.get(fold(name))
            known = self.current is None or part is None or self._has(self.current, part)
            return None if known or self.current is None or part is None else _Head(self.current, part, tail)
        index, part = place
        if part == "both" and tail.strip(" \t*_`:："):
            before, self.current = self.current, index
            inner = None if nested else self._head(tail, nested=True)
            self.current = before
            if inner and inner.index == index:
                return inner
            if not _VALUE.match(_plain(tail[:_MAX_HEAD])):
                return None
        return _Head(index, part, tail)

    def _has(self, index: int, part: Part) -> bool:
        """True where this part of the answer was given already: a second one is a line of the reason."""
        return any(
            segment.index == index and (segment.part == part or (part == "score" and segment.part == "both"))
            for segment in self.found
            if any(line.strip(" \t*_`") for line in segment.lines)
        )


def _splits(plain: str, start: int) -> Iterator[tuple[int, int]]:
    """Where a name may end and what it names begin, the likeliest first: at a colon, a bracket, a number."""
    for colon in islice(_COLON.finditer(plain, start), 3):
        yield colon.start(), colon.end()
    for bracket in islice(_CLOSING.finditer(plain, start), 2):
        yield bracket.end(), bracket.end()
    if found := _BEFORE_NUMBER.match(plain, start):
        yield found.end(1), found.end()


def _plain(words: str) -> str:
    return words.translate(HALF_WIDTH)
