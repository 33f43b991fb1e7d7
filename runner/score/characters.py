"""The reply's characters as the patterns of this folder expect them, one for one.

A position in the plain form is the same position in the reply. Not NFKC, which would turn 7⁵ into 75.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

WAVES = "〜"
"""Every wave dash becomes this one; ASCII's tilde stays: ~75 is about 75, 〜75 is up to 75."""


def _digits() -> dict[int, str]:
    """Decimal digits of every script -> ASCII's. Superscripts and circled numbers are none."""
    return {code: str(unicodedata.decimal(chr(code))) for code in range(0x80, 0x20000) if chr(code).isdecimal()}


_INVISIBLE = (
    *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0),
    *range(0x180B, 0x1810),
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    *range(0xFE00, 0xFE10),
    *range(0xE0000, 0xE0080),
)
"""Marks that nobody sees: zero-width blanks and joiners, marks of direction, variation selectors, soft hyphens."""

PLAIN: dict[int, str] = {
    **{full: chr(full - 0xFEE0) for full in range(0xFF01, 0xFF5F)},
    **_digits(),
    **dict.fromkeys(_INVISIBLE, " "),
    **dict.fromkeys((0x3000, 0xA0, 0x202F, 0x2007, 0x2009), " "),
    **dict.fromkeys((0x2212, 0xFE63, 0x2010, 0x2011), "-"),
    **dict.fromkeys((0xFF5E, 0x301C, 0x223C, 0x2053), WAVES),
    **dict.fromkeys((0x2019, 0x2018, 0x2BC), "'"),
    **dict.fromkeys((0x2044, 0x2215), "/"),
    **dict.fromkeys((0xFE55, 0x2236, 0xA789), ":"),
    **dict.fromkeys((0x21D2, 0x279C, 0x27A1, 0x2B95, 0x2794), "→"),
    0x066B: ".",
    0x066A: "%",
    0x3014: "[",
    0x3015: "]",
    0x20E3: " ",
}
INVISIBLE = re.compile("[" + re.escape("".join(map(chr, _INVISIBLE))) + "\u20e3]")


def listed(words: str) -> frozenset[str]:
    """Words that stand with blanks between them."""
    return frozenset(words.split())


def plain(words: str) -> str:
    """`words` with full-width forms, digits of other scripts and marks that nobody sees replaced, one for one."""
    if words.isascii():
        return words
    return _translated(words) if len(words) < _SHORT else words.translate(PLAIN)


_SHORT = 200


@lru_cache(maxsize=1024)
def _translated(words: str) -> str:
    """The same for a line: each is looked at in several ways."""
    return words.translate(PLAIN)


def lower(words: str) -> str:
    """Lower case, with each character in its place."""
    lowered = words.lower()
    return lowered if len(lowered) == len(words) else "".join(map(_lower, words))


def _lower(character: str) -> str:
    lowered = character.lower()
    return lowered if len(lowered) == 1 else character
