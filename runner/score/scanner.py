"""Text that is JSON, or meant as JSON -> values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

from runner.score.characters import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.records import Json

CUT: Final = object()
"""In the place of a value that the reply's end cut off."""
_QUOTES = {'"': '"', "'": "'", "“": "”“", "”": "”", "＂": "＂", "「": "」", "『": "』", "`": "`"}
_START = re.compile(r"\{|\[(?=\s*\{)")
_BARE_BODY = re.compile(r"\s*(?:```\w*\s*)?(?=[\"“'][^\"”'\n]{1,80}[\"”']\s*:\s*[{\"0-9])")
_SKIP = re.compile(r"(?:[\s\ufeff]|//[^\n]*|/\*.*?(?:\*/|\Z))*", re.DOTALL)
_COLON = re.compile(r"\s*(?:=>|[:=])")
_BARE_KEY = re.compile(r"[^\s:={}\[\],\"][^:={}\[\],\"\n]*")
_BARE_VALUE = re.compile(r"(?:(?!//|/\*)[^,{}\[\]\n\"])*")
_KEY_ENDS = re.compile("")
"""A key ends at its first closing quote, whatever follows: without a colon there the object is broken."""
_VALUE_ENDS = re.compile(r"\s*(?:\Z|```|//|/\*|[}\]]|,\s*(?:\Z|[\"'“「`}\]{\[]|//|/\*|[\w ]{1,40}:)|\n\s*[\"'“}\]`])")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": ""}
_LITERALS: dict[str, Json] = {"null": None, "none": None, "true": True, "false": False}
_MORE = re.compile(r"\s*\S")
_MAX_DEPTH = 12


class Scanner:
    """Reads JSON-like values one after another, forgiving what models get wrong.

    Objects become tuples of pairs, so that a key that comes twice is seen twice; numbers stay text.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.plain = plain(text)
        self.at = 0
        self.start = 0
        """Where the document that was read last begins."""
        self.state: Literal["ok", "cut", "broken"] = "ok"

    def documents(self) -> Iterator[tuple[Json, str]]:
        """Each outermost object or list of objects, with the state in which it ended."""
        if body := _BARE_BODY.match(self.plain):
            # An object without its braces: a reply that was begun for the model, or a careless one.
            self.start, self.at = body.start(), body.end()
            yield self._object(0), self.state
        while start := _START.search(self.plain, self.at):
            self.start = self.at = start.start()
            self.state = "ok"
            yield self._value(0), self.state

    def _value(self, depth: int) -> Json:
        self.at = self._after(_SKIP)
        if self.at >= len(self.text):
            self.state = "cut"
            return CUT
        if self.text[self.at] in _QUOTES:
            return self._string(_VALUE_ENDS)
        opening = self.plain[self.at]
        if opening not in "{[":
            return self._bare()
        self.at += 1
        if depth == _MAX_DEPTH:
            self.state = "broken"
            return None
        return self._object(depth) if opening == "{" else self._array(depth)

    def _object(self, depth: int) -> Json:
        pairs: list[tuple[str, Json]] = []
        while self.state == "ok" and not self._closed("}"):
            quoted = self.text[self.at] in _QUOTES
            key = self._string(_KEY_ENDS) if quoted else self._bare_key()
            colon = _COLON.match(self.plain, self.at)
            if self.state == "ok" and colon:
                self.at = colon.end()
                pairs.append((str(key), self._value(depth + 1)))
            elif self.state == "ok":
                self.state = "broken" if _MORE.match(self.plain, self.at) else "cut"
        if self.state == "cut":
            pairs.append(("", CUT))
        return tuple(pairs)

    def _array(self, depth: int) -> Json:
        items: list[Json] = []
        while self.state == "ok" and not self._closed("]"):
            if self.plain[self.at] == "}":
                self.state = "broken"
            else:
                items.append(self._value(depth + 1))
        if self.state == "cut":
            items.append(CUT)
        return items

    def _closed(self, end: str) -> bool:
        """Moves to the next entry. True where the container ends instead, by `end` or with the reply."""
        self.at = self._after(_SKIP)
        while self.plain.startswith(",", self.at):
            self.at += 1
            self.at = self._after(_SKIP)
        if self.at >= len(self.text):
            self.state = "cut"
            return True
        if self.plain[self.at] == end:
            self.at += 1
            return True
        return False

    def _string(self, ends: re.Pattern[str]) -> Json:
        """A string; it ends at the first closing quote with something behind it that may follow a string."""
        start = self.at + 1
        closing = re.compile(rf"\\.|[{_QUOTES[self.text[self.at]]}]", re.DOTALL)
        for quote in closing.finditer(self.text, start):
            if not quote[0].startswith("\\") and ends.match(self.plain, quote.end()):
                self.at = quote.end()
                return _unescaped(self.text[start : quote.start()])
        self.at, self.state = len(self.text), "cut"
        return CUT

    def _bare_key(self) -> str:
        found = _BARE_KEY.match(self.plain, self.at)
        if not found:
            self.state = "broken"
            self.at += 1
            return ""
        self.at = found.end()
        return self.text[found.start() : found.end()].strip(" \t'")

    def _bare(self) -> Json:
        start, self.at = self.at, self._after(_BARE_VALUE)
        if self.at >= len(self.text):
            self.state = "cut"
            return CUT
        if self.at == start:
            # Neither a value nor the end of one: without a step ahead this would never end.
            self.at += self.plain[start] not in ",}]"
        word = self.text[start : self.at].strip()
        return _LITERALS.get(word.casefold(), word)

    def _after(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self.plain, self.at)
        return found.end() if found else self.at


def _unescaped(words: str) -> str:
    if "\\" not in words:
        return words
    words = re.sub(r"\\(u[0-9a-fA-F]{4}|.)", _escape, words, flags=re.DOTALL)
    # Two escapes may be the two halves of one character.
    return words.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _escape(found: re.Match[str]) -> str:
    code = found[1]
    return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPES.get(code, code)
