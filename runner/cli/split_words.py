"""What the shell split at a space, put back together: lists without quotes, paths with spaces in them.

Pure but for `path_rejoined`, which looks at what is there.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CLOSES = {"[": "]", "{": "}", "(": ")"}
OPEN_ENDED = (",", "=", ":", "[", "{", "(")
"""A word that ends so goes on in the next."""
CONTINUES = (",", "=", "]", "}", ")")
"""A word that begins so belongs to the one before it."""


def rejoined(words: Sequence[str]) -> list[str]:
    """Overrides whole again: `persona=[poet` `robot]` is `persona=[poet,robot]`; what was never closed is closed."""
    whole: list[str] = []
    for word in words:
        if whole and _goes_on(whole[-1], word):
            whole[-1] = _glued(whole[-1], word)
        else:
            whole.append(word)
    return [word + _missing(word) if "=" in word else word for word in whole]


def _goes_on(word: str, following: str) -> bool:
    if word.startswith("-") and "=" not in word:
        return False
    if "=" in word and _missing(word):
        return True
    if following.startswith((",", "=")):
        return True
    is_key = "=" in following or following.startswith(("-", "+", "~"))
    return "=" in word and word.endswith((",", "=")) and not is_key


def _glued(word: str, following: str) -> str:
    missing = _missing(word)
    if missing[:1] in ("'", '"'):
        return f"{word} {following}"
    if not missing or word.endswith(OPEN_ENDED) or following.startswith(CONTINUES):
        return word + following
    return f"{word},{following}"


def _missing(word: str) -> str:
    """The brackets and quotes that a word opens and does not close, the innermost first."""
    closers: list[str] = []
    for at, letter in enumerate(word):
        quoted = closers and closers[-1] in ("'", '"')
        if closers and letter == closers[-1]:
            closers.pop()
        elif quoted:
            continue
        elif letter in CLOSES:
            closers.append(CLOSES[letter])
        elif letter in ("'", '"') and word[at - 1 : at] in OPEN_ENDED:  # elsewhere it is an apostrophe
            closers.append(letter)
    return "".join(reversed(closers))


def path_rejoined(words: Sequence[str]) -> list[str] | None:
    """The words with a path whole again that its spaces broke; None where no such path is there."""
    for first, end in combinations(range(len(words) + 1), 2):
        if end - first < 2 or any(word.startswith("-") for word in words[first:end]) or Path(words[first]).exists():
            continue
        path = " ".join(words[first:end])
        if Path(path).exists():
            return [*words[:first], path, *words[end:]]
    return None
