"""The scales that words declare: 10点満点, (0-10), out of 5, 7段階, on a scale of 1 to 10."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.records import Question

_N = r"[0-9]{1,6}(?:\.[0-9]{1,4})?(?![0-9])"
_POINTS = r"(?:点|點|分|점|points?\b|pts?\b|%)?"
_TO = r"\s*(?:-|–|—|〜|~|…|\.{2,3}|to\b|through\b|から|至)\s*"
_FULL = (
    r"満点|最高点?|最大値?|上限|满分|滿分|만점|best\s+rating|max(?:imum)?(?:\s+(?:score|points?))?|full\s+marks?|out\s+of|scale\s+of|"
    r"total\s+of"
)
_LIKERT = (
    r"(?:段階|件法|階級|단계)|[\s-]*(?:point|step|level|grade|star|item)s?[\s-]+(?:likert\s+)?(?:scale|rating|system)"
)
DECLARED = (
    r"(?:(?:on|in|using)\s+(?:an?|the)\s+)?(?:(?:scale|range|スケール|尺度|範囲)\s*(?:of|from|is|は"
    r"|[:=])?\s*)?(?:from\s+)?"
    rf"(?:(?<![0-9.])(?P<low>-?{_N})\s*{_POINTS}{_TO}(?P<top>{_N})\s*{_POINTS}(?:まで)?(?:の\s*{_N}\s*段階)?"
    rf"|(?<![0-9.])(?P<steps>{_N})\s*(?:{_LIKERT})"
    rf"|(?<![0-9.])(?P<full>{_N})\s*(?:点|點|分|점)?\s*(?:満点中?|点中|點中|分中|中(?=[\s、,]*[0-9])|满分|滿分|만점)"
    rf"|(?P<stars>{_N})\s*(?:stars?\b|つ星)"
    rf"|(?:{_FULL})\s*(?:is\b|は|[:=])?\s*(?P<most>{_N})(?!{_TO}[0-9])\s*{_POINTS}"
    rf"|/\s*(?P<whole>{_N})\s*{_POINTS})"
    r"(?:\s*(?:scale|range|スケール|尺度|の?範囲|の?評価|満点))?"
)
DECLARATION = re.sub(r"\(\?P<\w+>", "(?:", DECLARED)
"""The same without names, to stand within other patterns."""
_DECLARED = re.compile(DECLARED, re.IGNORECASE)
_MOST = 300
"""Characters in which a scale is looked for."""
_DIGIT = re.compile("[0-9]")
_BRACKETED = re.compile(rf"[(\[<][^()\[\]<>\n]{{0,40}}?(?:{DECLARED})[^()\[\]<>\n]{{0,40}}[)\]>]", re.IGNORECASE)
_SAID_IN_PROSE = re.compile(
    rf"(?P<steps>{_N})\s*(?:{_LIKERT})"
    rf"|(?P<full>{_N})\s*(?:点|點|分|점)?\s*(?:満点|点中|點中|分中|满分|滿分|만점)"
    rf"|(?<![0-9]\s)(?:満点|满分|滿分|out\s+of|max(?:imum)?(?:\s+score)?(?:\s+is)?)\s*(?:は"
    rf"|[:=])?\s*(?P<most>{_N})(?!{_TO}[0-9])"
    rf"|(?:scale|range|スケール|尺度|範囲|採点|score[sd]?|rate[sd]?|ratings?|評価)[^0-9\n]{{0,16}}"
    rf"(?P<low>-?[01]){_POINTS}{_TO}(?P<top>{_N})"
    rf"|(?P<low2>-?[01])\s*{_POINTS}{_TO}(?P<top2>{_N})\s*{_POINTS}\s*(?:まで)?(?:で|の(?:数値|範囲|スケール|尺度"
    rf"|段階|点|評価)|scale|range)"
    rf"|(?P<best>{_N})\s*(?:点)?\s*(?:=|is\b|が|は|:)\s*(?:the\s+|very\s+|最も|とても|非常に)?(?:high|best|max|most"
    rf"|top|高|最高|最大|強)"
    rf"|[(\[]\s*(?P<low3>-?[01])\s*{_POINTS}{_TO}(?P<top3>{_N})\s*{_POINTS}\s*[)\]]",
    re.IGNORECASE,
)
"""A declaration in running words, where 1-2 may be anything: only what cannot be meant otherwise."""


_IN_DIGITS = {
    "one": "1",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "ten": "10",
    "twenty": "20",
    "hundred": "100",
    "a hundred": "100",
    "one hundred": "100",
    "三": "3",
    "四": "4",
    "五": "5",
    "六": "6",
    "七": "7",
    "八": "8",
    "九": "9",
    "十": "10",
    "二十": "20",
    "百": "100",
}
_WRITTEN_OUT = re.compile(
    r"(?:(?<=out of )|(?<=scale of )|(?<=from )|(?<= to )|(?<=maximum of ))"
    r"(?:(?:an?|one) hundred|hundred|one|three|four|five|six|seven|ten|twenty)\b"
    r"|\b(?:three|four|five|six|seven|ten|twenty|(?:a\s|one\s)?hundred)"
    r"(?=[\s-]+(?:point|step|level|grade|star|item)s?\b)"
    r"|(?:二十|[三四五六七八九十百])(?=\s*(?:点(?:満点|中|法)|段階|件法|分制|点が満点))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Scale:
    """A scale as it was declared. `low` is None where only its other end was named; inclusive ends."""

    low: float | None
    high: float
    steps: bool = False
    """Declared by the number of its steps, so that it begins at 1 (5段階) unless it is a question's own."""

    def is_of(self, question: Question) -> bool:
        """Whether a number on this scale is one on the question's."""
        if self.steps:
            return self.high in (question.high, question.high - question.low + 1) and question.low in (0.0, 1.0)
        return self.high == question.high and question.low == (self.low or 0.0)

    @property
    def ends(self) -> tuple[float, float] | None:
        """Both ends; None where it is no scale that a number could be converted from, such as 70-80."""
        low = (1.0 if self.steps else 0.0) if self.low is None else self.low
        return (low, self.high) if low < self.high and low <= 1 else None


UNKNOWN = Scale(None, 0.0)
"""Something was declared that cannot be read: no question's scale, and none to convert from."""


_CHANGED = re.compile(
    r"(?:increas|decreas|rais|lower|reduc|adjust|chang|revis|bump|drop|mov|rose|went|up\b|down\b|上げ|下げ|変更|引き)",
    re.IGNORECASE,
)
"""Of a score that was changed, two numbers are the old and the new one: the score for pride went from 1 to 2."""
_NEAR = 40


def declared(words: str) -> tuple[Scale, ...]:
    """Every scale that a label, a key or a value declares at its begin. `words` are in plain characters."""
    words = in_digits(words[:_MOST])
    return _declared(words) if _DIGIT.search(words) else ()


@lru_cache(maxsize=4096)
def _declared(words: str) -> tuple[Scale, ...]:
    return tuple(_scales(_DECLARED, words))


def declared_in_prose(words: str) -> tuple[Scale, ...]:
    """Every scale that running words declare beyond doubt. `words` are in plain characters."""
    return tuple(_scales(_SAID_IN_PROSE, in_digits(words)))


def in_digits(words: str) -> str:
    """The words, with the ends of scales that are written out in digits: out of ten, 十点満点, 五段階."""
    return _WRITTEN_OUT.sub(lambda found: _IN_DIGITS[found[0].casefold()], words)


def without_declarations(words: str) -> str:
    """A label or key without the scales in it, and without the brackets around them."""
    words = in_digits(words)
    if not _DIGIT.search(words):
        return words
    return _DECLARED.sub(" ", _BRACKETED.sub(" ", words))


def _scales(pattern: re.Pattern[str], words: str) -> Iterator[Scale]:
    for found in pattern.finditer(words):
        if _CHANGED.search(words, max(0, found.start() - _NEAR), found.end()):
            continue
        said = {name: float(value) for name, value in found.groupdict().items() if value is not None}
        ranges = [
            (said[low], said[top]) for low, top in (("low", "top"), ("low2", "top2"), ("low3", "top3")) if low in said
        ]
        if ranges:
            yield Scale(*ranges[0])
        elif "steps" in said or "stars" in said:
            yield Scale(None, said.get("steps", said.get("stars", 0.0)), steps=True)
        else:
            yield Scale(None, next(iter(said.values())))
