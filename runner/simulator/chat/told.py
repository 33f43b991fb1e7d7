"""What a prompt tells of each answer: its kind, its range, its options. Read as a model would, from the words alone.

Two forms are known: a line a question in JSON's form (`- "mood": "answer", one of: "calm", "tense"`) and what stands in
angle brackets in a labelled line. Where neither says a range, it is looked for in the prose around the question.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Kind = Literal["number", "likert", "one", "several", "ranked", "text", "percent"]

_N = r"-?\d+(?:\.\d+)?"
_LINE = re.compile(r'^- "(?P<key>\w+)"[:：]\s*(?P<parts>.*)$', re.MULTILINE)
_LABELLED = re.compile(
    r"^.*?(?P<head>Q\d+[.:：、)].*?[(（](?P<part>value|answer|reason|数値|回答|理由)[)）]\s*[:：])(?P<rest>.*)$",
    re.MULTILINE,
)
_PART = re.compile(r'"(score|answer|reason)"(?:,\s*|（)(.*?)(?=(?:; |、)"(?:score|answer|reason)"|）?$)')
_QUOTED = re.compile(r'"([^"]*)"')
_FORMS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("likert", re.compile(r"(?:the number of one of: |次のどれか一つの番号：)(?P<options>.*)")),
    ("ranked", re.compile(r"(?:first place first[^:]*: |一位から順に[^：]*：)(?P<options>.*)")),
    (
        "percent",
        re.compile(r"(?:add up to 100%?: |合計が100になるオブジェクト：|合計を100%にする：)(?P<options>.*)"),
    ),
    (
        "several",
        re.compile(
            r"(?:(?P<least>\d+) to (?P<most>\d+) of: |list of (?P<both>\d+) of: "
            r"|次から(?P<least2>\d+)個以上(?P<most2>\d+)個以下[^：]*：|次から(?P<both2>\d+)個[^：]*：)"
            r"(?P<options>.*?)(?:, with semicolons.*)?$"
        ),
    ),
    ("one", re.compile(r"(?:one of: |次のどれか一つ：)(?P<options>.*)")),
    ("text", re.compile(r"(?:words of your own, at most |自由な文、)(?P<chars>\d+)")),
    (
        "number",
        re.compile(
            rf"(?P<low>{_N})\s*(?:から|to|[-–〜~])\s*(?P<high>{_N})(?:\s*までの(?:整数|数値))?"
            rf"(?:(?: in steps of |、)(?P<step>{_N})(?:刻み)?)?"
        ),
    ),
)
_POINT = re.compile(r"(-?\d+)(?:\s*[(（][^()（）]*[)）])?")
_RANGE = re.compile(rf"(?<![\d.])({_N})\s*(?:-|–|〜|~|to|から|through|が最も低く、|\(.{{1,20}}?\) to)\s*({_N})")
_SEPARATOR = re.compile(r"\s*[,、]\s*")


@dataclass(frozen=True, slots=True)
class WantedAnswer:
    """What belongs in one place of a reply."""

    kind: Kind
    low: float = 0.0
    high: float = 100.0
    step: float | None = None
    options: tuple[str, ...] = ()
    """Labels; keys of percentages; points as they are written."""
    least: int = 1
    most: int = 1
    chars: int = 400


@dataclass(frozen=True, slots=True)
class FormLine:
    """One question of a form: what stands before the answer, or its key, with its parts in their order."""

    head: str
    parts: tuple[tuple[str, WantedAnswer | None], ...]
    """(score, answer or reason, what belongs there)."""


@lru_cache(1024)
def json_lines(user: str) -> dict[str, FormLine]:
    """The lines that tell a question's parts, by its key."""
    found = {}
    for line in _LINE.finditer(user):
        parts = [(name, None if name == "reason" else told_in(words)) for name, words in _PART.findall(line["parts"])]
        if parts:
            found[line["key"]] = FormLine(line["key"], tuple(parts))
    return found


@lru_cache(1024)
def labelled_lines(user: str) -> tuple[tuple[str, WantedAnswer | None], ...]:
    """(what stands before the answer, what belongs there) of each labelled line; None for a reason."""
    return tuple(
        (line["head"], None if line["part"] in ("reason", "理由") else told_in(line["rest"].strip(" <>＜＞")))
        for line in _LABELLED.finditer(user)
    )


@lru_cache(4096)
def told_in(words: str) -> WantedAnswer:
    """What some words of the form tell; a number from 0 to 100 where they tell nothing."""
    for kind, form in _FORMS:
        if found := form.search(words):
            return _told(kind, found)
    return WantedAnswer("number")


def _told(kind: Kind, found: re.Match[str]) -> WantedAnswer:
    said = {name: value for name, value in found.groupdict().items() if value is not None}
    match kind:
        case "number":
            step = float(said["step"]) if "step" in said else None
            return WantedAnswer(kind, float(said["low"]), float(said["high"]), step)
        case "text":
            return WantedAnswer(kind, chars=int(said["chars"]))
        case "likert":
            points = tuple(_POINT.findall(re.sub(r"[(（][^()（）]*[)）]", "", said["options"])))
            return WantedAnswer(kind, float(points[0]), float(points[-1]), options=points)
        case _:
            options = _options(said["options"])
            both = said.get("both") or said.get("both2")
            least, most = said.get("least") or said.get("least2"), said.get("most") or said.get("most2")
            return WantedAnswer(kind, options=options, least=int(both or least or 1), most=int(both or most or 1))


def _options(words: str) -> tuple[str, ...]:
    """Options in quotes, or parted by commas: then without what stands in brackets behind points."""
    quoted = _QUOTED.findall(words)
    if quoted:
        return tuple(quoted)
    bare = re.sub(r"(?<=\d)\s*[(（][^()（）]*[)）]", "", words.strip(" <>＜＞）"))
    return tuple(option for option in _SEPARATOR.split(bare) if option)


@lru_cache(1024)
def ranges_in(user: str, keys: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """The range of each key's number: the one in its line, else the nth of as many, else the last; {} without any.

    The questions stand behind the text, mostly: of more ranges than there are keys the last ones count.
    """
    words = unicodedata.normalize("NFKC", user)
    every = [(float(found[1]), float(found[2])) for found in _RANGE.finditer(words)]
    every = [span for span in every if span[0] < span[1]]
    if not every:
        return {}
    lines = words.splitlines()
    found: dict[str, tuple[float, float]] = {}
    for place, key in enumerate(keys):
        named = re.compile(rf"(?<!\w){re.escape(key)}(?!\w)")
        own = [
            (float(span[1]), float(span[2]))
            for line in lines
            if named.search(line)
            for span in _RANGE.finditer(line)
            if float(span[1]) < float(span[2])
        ]
        found[key] = own[-1] if own else every[place - len(keys)] if len(every) >= len(keys) else every[-1]
    return found
