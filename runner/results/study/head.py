"""The metadata of a reply's file: the lines above the answers, and what the file's name says.

In any order, with or without blank lines between: timestamp, text, model, persona, temperature (a value, or None where
none was sent), trial (`1`, or `n01` in the older form), and `pricing` with a JSON object of one line or several. Lines
of the study's own checks (validation_status, matched_patterns, retry_count, error_details) and headings ("# ...") above
any of them are passed over. The head ends before the first line that is none of these, and takes one blank line along.

Names: `t1_o3-mini_p1_temp--_01.txt`; the older form's are `p1_claude37s_t1_n01_temp50.txt`, `p1_claude37s_t1_n01.txt`
and `p1_claude37s_n01_temp50_t1.txt`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

from runner.config.settings import MOST
from runner.results.reply_files import spellings

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYS = ("timestamp", "text", "model", "persona", "temperature", "trial")
_OTHERS = ("pricing", "validation_status", "matched_patterns", "retry_count", "error_details")
_LINE = re.compile(rf"({'|'.join((*KEYS, *_OTHERS))})[ \t]*[:：][ \t]*(.*?)[ \t]*\r?(?:\n|\Z)")
_HEADING = r"(?:# [^\n]*\n\s*)?"
_MORE = re.compile(rf"\s*{_HEADING}(?:{'|'.join((*KEYS, *_OTHERS))})[ \t]*[:：]")
_MORE_OTHERS = re.compile(rf"\s*{_HEADING}(?:{'|'.join(_OTHERS)})[ \t]*[:：]")
_REST = re.compile(r"[^\n]*\n?")
"""The rest of a line, which may be empty."""
_BLANK = re.compile(r"[ \t]*\r?\n")
_INDENTED = re.compile(r"(?:[ \t]+\S[^\n]*(?:\n|\Z))*")
_NAMES = (
    re.compile(r"(?P<front>.+)_temp(?P<heat>--|\d{1,3})_(?P<trial>n?\d{1,6})"),
    re.compile(r"(?P<persona>p\d+)_(?P<model>.+)_(?P<text>t\d+)_(?P<trial>n\d{1,6})(?:_temp(?P<heat>--|\d{1,3}))?"),
    re.compile(r"(?P<persona>p\d+)_(?P<model>.+)_(?P<trial>n\d{1,6})_temp(?P<heat>--|\d{1,3})_(?P<text>t\d+)"),
)
_FRONT = re.compile(r"(?P<text>[^_]+)_(?P<model>.+)_(?P<persona>[^_]+)")


@dataclass(frozen=True, slots=True)
class Head:
    """What stands above the answers, as text."""

    values: Mapping[str, str]
    """Key -> value, for those of KEYS that are there."""
    pricing: Mapping[str, float] = field(default_factory=dict)
    """US dollars per million tokens: input, cached_input, output."""


def read_head(content: str) -> tuple[Head, str]:
    """The metadata of a file, and the rest of it. A key that is repeated keeps its first value."""
    values: dict[str, str] = {}
    pricing: dict[str, float] = {}
    at = 0
    while at < len(content):
        more = (_MORE_OTHERS if len(values) == len(KEYS) else _MORE).match(content, at)
        if line := _LINE.match(content, at):
            at = line.end()
            if line[1] == "pricing":
                pricing, at = _pricing(content, line)
            elif line[1] == "matched_patterns":
                at = _end(_INDENTED, content, at)
            elif line[1] in KEYS:
                values.setdefault(line[1], _on_one_line(line[2]))
        elif more:
            at = _end(_REST, content, at)
        else:
            at = _end(_BLANK, content, at)
            break
    return Head(values, pricing), content[at:]


def _end(pattern: re.Pattern[str], content: str, at: int) -> int:
    """Where what the pattern finds at a place ends; the place itself where it finds nothing."""
    match = pattern.match(content, at)
    return match.end() if match else at


def _pricing(content: str, line: re.Match[str]) -> tuple[dict[str, float], int]:
    """The object that begins on the line, and where what follows it begins; {} where it is not JSON."""
    try:
        found, end = json.JSONDecoder().raw_decode(content, line.start(2))
    except (ValueError, RecursionError):
        return {}, line.end()
    known = found.items() if isinstance(found, dict) else ()
    return {name: float(rate) for name, rate in known if type(rate) in (int, float) and 0 <= rate < MOST}, _end(
        _REST, content, end
    )


def _on_one_line(value: str) -> str:
    """The value; out of JSON's quotes where it is quoted because it holds a line break."""
    if not value.startswith('"'):
        return value
    try:
        plain = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return plain if isinstance(plain, str) and len(plain.splitlines()) > 1 else value


def read_name(stem: str, head: Head) -> dict[str, str]:
    """What a file name says: text, model, persona, heat (temperature times 100, or "--") and trial, as far as it does.

    A name in which text or persona hold an underscore, or signs that no file name takes, is told apart by what the
    head calls them.
    """
    found = next((match for pattern in _NAMES[1:] if (match := pattern.fullmatch(stem))), None)
    if found is None and (found := _NAMES[0].fullmatch(stem)) is not None:
        said = found.groupdict()
        return {**_front(said.pop("front"), head), **said}
    return {name: value for name, value in found.groupdict().items() if value is not None} if found else {}


def _front(front: str, head: Head) -> dict[str, str]:
    text, model, persona = (head.values.get(name, "") for name in ("text", "model", "persona"))
    if text and persona:
        for before, after in product(spellings(text), spellings(persona)):
            if front.startswith(f"{before}_") and front.endswith(f"_{after}"):
                named = front[len(before) + 1 : -len(after) - 1]
                found = {"text": text, "model": model if named in spellings(model) else named, "persona": persona}
                return found if named else {}
    match = _FRONT.fullmatch(front)
    return match.groupdict() if match else {}
