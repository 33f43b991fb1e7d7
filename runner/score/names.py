"""Which question, and which part of its answer, some words in a reply name."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Question

Part = Literal["both", "score", "reason"]
"""both: the words name the question alone, so that its score or an object with both parts follows."""
Place = tuple[int, Part]
"""A question's index, and a part of its answer."""

HALF_WIDTH = {full: full - 0xFEE0 for full in range(0xFF01, 0xFF5F)} | {0x3000: " ", 0x2212: "-", 0x2019: "'"}
"""One character for one, so that a position in the plain form is the same position in the reply. Not NFKC, which would
turn 7⁵ into 75."""

_SCORE: Final[Part] = "score"
_REASON: Final[Part] = "reason"
_SCORE_WORDS = (
    *("score", "value", "rating", "points", "point", "level", "number"),
    *("数値", "値", "点数", "スコア", "評価", "評価値", "得点", "度", "レベル"),
)
_REASON_WORDS = (
    *("reason", "reasons", "reasoning", "explanation", "rationale", "justification", "comment", "why"),
    *("理由", "根拠", "説明", "コメント"),
)
WORDS: Mapping[str, Part] = {
    **dict.fromkeys(_SCORE_WORDS, _SCORE),
    **dict.fromkeys(_REASON_WORDS, _REASON),
}
GROUPS: Mapping[str, Part] = {"scores": "score", "ratings": "score", "values": "score", **WORDS}
"""Keys of wrappers around many answers."""
NAMING = frozenset(("question", "name", "label", "emotion", "item", "id", "質問", "項目", "感情"))
"""Keys whose value names the question that an object answers."""

_SCALE_NOTE = re.compile(
    r"[(\[<]?\s*-?[0-9]+\s*点?\s*(?:-|~|〜|–|—|to|から)\s*-?[0-9]+\s*点?\s*[)\]>]?"
    r"|/\s*[0-9]+|[0-9]+点満点|out of [0-9]+"
)
_NUMBERED = re.compile(r"(q|question|no|問い?|質問|設問)?0*([1-9][0-9]{0,2})(.*)", re.DOTALL)
_MAX_HEAD = 120


def fold(words: str) -> str:
    """Letters and digits only, one case, one width: what two spellings of the same name have in common."""
    plain = unicodedata.normalize("NFC", words).translate(HALF_WIDTH).casefold()
    return "".join(character for character in plain if character.isalnum())


@dataclass(frozen=True, slots=True)
class Sheet:
    """The questions, and every form in which a reply may name one of them."""

    questions: tuple[Question, ...]
    exact: Mapping[str, Place]
    own: tuple[Mapping[str, Part], ...]
    """Each question's forms, also those that it shares with another."""
    merged: Mapping[str, Place]
    """The forms that name one question only."""

    def find(self, head: str) -> Place | None:
        """The question and part that `head` names: `interesting`, `Q1. 面白さ(数値)`, `surprise_reason`; else None."""
        if len(head) > _MAX_HEAD:
            return None
        place = self.exact.get(head)
        if place:
            return place
        key = fold(_SCALE_NOTE.sub(" ", head.translate(HALF_WIDTH)))
        return self.merged.get(key) or self._numbered(key)

    def _numbered(self, key: str) -> Place | None:
        """The place that a number before the name, or in its stead, points to."""
        found = _NUMBERED.fullmatch(key)
        if not found:
            return None
        marker, index, rest = found[1], int(found[2]) - 1, found[3]
        if index < len(self.own):
            if rest in self.own[index]:
                return index, self.own[index][rest]
            if marker and (not rest or rest in WORDS):
                return index, WORDS.get(rest, "both")
        return self.merged.get(rest)


def _forms(question: Question) -> dict[str, Part]:
    name, label = fold(question.name), fold(question.label)
    forms: dict[str, Part] = {}
    for stem in (stem for stem in dict.fromkeys((name, label, label + name, name + label)) if stem):
        forms[stem] = "both"
        for word, part in WORDS.items():
            for form in (stem + word, stem + "の" + word, word + stem):
                forms.setdefault(form, part)
    return forms


@lru_cache(maxsize=64)
def sheet_of(questions: tuple[Question, ...]) -> Sheet:
    """The sheet for `questions`; a form that two of them share names neither, unless it is the name of one."""
    own = tuple(_forms(question) for question in questions)
    shared = Counter(form for forms in own for form in forms)
    merged: dict[str, Place] = {
        form: (index, part)
        for index, forms in enumerate(own)
        for form, part in forms.items()
        if shared[form] == 1 or form == fold(questions[index].name)
    }
    exact: dict[str, Place] = {question.name: (index, "both") for index, question in enumerate(questions)}
    return Sheet(questions, exact, own, merged)
