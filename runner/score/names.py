"""Which question, and which part of its answer, some words in a reply name."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from runner.plan.reply_keys import reply_keys
from runner.score.characters import listed, lower, plain
from runner.score.scale import without_declarations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Question

Part = Literal["both", "score", "reason"]
"""both: the words name the question alone, so that its score or an object with both parts follows."""
Place = tuple[int, Part]
"""A question's index, and a part of its answer."""

_SCORE: Final[Part] = "score"
_REASON: Final[Part] = "reason"
_SCORE_WORDS = (
    *("score", "value", "rating", "points", "point", "level", "number", "intensity", "degree", "grade", "mark"),
    *(
        "数値",
        "値",
        "点数",
        "スコア",
        "評価",
        "評価値",
        "評点",
        "得点",
        "採点",
        "度",
        "度合い",
        "レベル",
        "強さ",
        "強度",
        "点",
    ),
    *("分数", "评分", "分值", "점수"),
)
_REASON_WORDS = (
    *("reason", "reasons", "reasoning", "explanation", "rationale", "justification", "comment", "why"),
    *("理由", "根拠", "説明", "コメント", "原因", "이유"),
)
WORDS: Mapping[str, Part] = {
    **dict.fromkeys(_SCORE_WORDS, _SCORE),
    **dict.fromkeys(_REASON_WORDS, _REASON),
}
_ANSWER_WORDS = (
    *("answer", "answers", "choice", "choices", "selection", "selections", "selected", "option", "options"),
    *("response", "ranking", "rank", "order", "probabilities", "probability", "distribution", "percentages", "text"),
    *("回答", "答え", "選択", "選択肢", "順位", "順番", "ランキング", "確率", "分布", "割合", "自由記述", "感想"),
)
ANY_WORDS: Mapping[str, Part] = {**dict.fromkeys(_ANSWER_WORDS, _SCORE), **WORDS}
"""Where a question asks for something else than a number, its answer may be called by more words."""
GROUPS: Mapping[str, Part] = {"scores": "score", "ratings": "score", "values": "score", **WORDS}
"""Keys of wrappers around many answers."""
NAMING = listed(
    "question questionname questionid name label emotion item id key dimension aspect 質問 項目 感情 設問 問い"
)
"""Keys whose value names the question that an object answers."""

_FAMILIES = tuple(
    tuple(words.split())
    for words in (
        "interesting interest interestingness interested 面白さ 面白い 面白み おもしろさ 有趣 有趣度 趣味性 흥미",
        "surprise surprised surprising surprisingness 驚き 驚いた おどろき 惊讶 驚訝 惊喜 놀라움",
        "sadness sad sorrow 悲しみ 悲しさ 悲しい かなしみ 悲伤 悲傷 슬픔",
        "anger angry 怒り いかり 怒った 愤怒 憤怒 분노",
        "joy joyful joyfulness 喜び",
        "happiness happy 幸せ 幸福感",
        "fear fearful fearfulness 恐怖 恐れ 怖さ",
        "disgust disgusted disgusting 嫌悪 嫌悪感",
        "clarity clear clearness 明瞭さ 分かりやすさ",
        "boredom bored boring 退屈 退屈さ",
        "beauty beautiful 美しさ",
    )
)
"""Words that models use for one another, in any language that replies come in. Where two questions share one, it names
neither."""
_NOT_IN_NAMES = re.compile(r"[<>≥≤≧≦±▲△?+×÷%〜~]|#\s*\Z|[:=]\s*[-–—]")
"""What makes words no name of a question: 面白さ > 90 does not say that it is 90."""
_IN_ANGLES = re.compile(r"<([^<>]{1,60})>")
_NUMBERED = re.compile(r"(q|question|no|問い?|質問|設問)?0*([1-9][0-9]{0,2})(.*)", re.DOTALL)
_MAX_HEAD = 120
_MOST_QUESTIONS = 30
"""A number before a name that is larger counts no questions."""


def fold(words: str) -> str:
    """Letters and digits only, one case, one width: what two spellings of the same name have in common."""
    return _folded(words) if len(words) <= _MAX_HEAD else _fold(words)


@lru_cache(maxsize=4096)
def _folded(words: str) -> str:
    return _fold(words)


def _fold(words: str) -> str:
    folded = plain(unicodedata.normalize("NFC", words)).casefold()
    return "".join(character for character in folded if character.isalnum())


@dataclass(frozen=True, eq=False)
class Sheet:
    """The questions, and every form in which a reply may name one of them."""

    questions: tuple[Question, ...]
    exact: Mapping[str, Place]
    own: tuple[Mapping[str, Part], ...]
    """Each question's forms, also those that it shares with another."""
    merged: Mapping[str, Place]
    """The forms that name one question only."""
    wordings: Mapping[str, int]
    """The questions as they were asked, where no two are alike."""
    words: re.Pattern[str]
    """The words that name a question, wherever they stand; in plain characters and lower case."""
    parts: Mapping[str, Part]
    """The words that name a part of an answer."""

    def find(self, head: str) -> Place | None:
        """The question and part that `head` names: `interesting`, `Q1. 面白さ(数値)`, `surprise_reason`; else None."""
        return _place(self, head) if len(head) <= _MAX_HEAD else None

    def look_up(self, head: str) -> Place | None:
        """The same, without a memory of heads that were looked up before."""
        place = self.exact.get(head)
        if place:
            return place
        words = without_declarations(plain(head))
        if (asked := self.wordings.get(fold(words))) is not None:
            return asked, "both"
        if _NOT_IN_NAMES.search(_IN_ANGLES.sub(r"\1", words)):
            return None
        if any(unicodedata.category(sign) in ("Sm", "Sc") and sign not in "|→=`^" for sign in words):
            return None
        key = fold(words)
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
            if marker and (not rest or rest in self.parts):
                return index, self.parts.get(rest, "both")
        return self.merged.get(rest) if index < _MOST_QUESTIONS else None


@lru_cache(maxsize=4096)
def _place(sheet: Sheet, head: str) -> Place | None:
    return sheet.look_up(head)


def _stems(question: Question) -> tuple[str, ...]:
    """The words that name the question alone: its name, its label, and what else is said for them."""
    own = {fold(question.name), fold(question.label)}
    alike = (word for family in _FAMILIES if own & {*map(fold, family)} for word in family)
    return tuple(dict.fromkeys(word for word in (question.name, question.label, *alike) if fold(word)))


def parts_of(questions: tuple[Question, ...]) -> Mapping[str, Part]:
    """The words for the parts of an answer to some questions."""
    return WORDS if all(question.kind == "number" for question in questions) else ANY_WORDS


def _forms(question: Question, words: Mapping[str, Part]) -> dict[str, Part]:
    name, label = fold(question.name), fold(question.label)
    stems = (*map(fold, _stems(question)), label + name, name + label)
    forms: dict[str, Part] = {}
    for stem in dict.fromkeys(stems):
        forms[stem] = "both"
        for word, part in words.items():
            joined = (
                (stem + word, word + stem, f"{word}of{stem}")
                if stem.isascii()
                else (stem + word, stem + "の" + word, word + stem)
            )
            for form in joined:
                forms.setdefault(form, part)
    return forms


_CLOSE = r"[*_」』】\]\"'`]{0,4}"
_PART = "|".join(sorted(WORDS, key=len, reverse=True))
BEHIND_NAME = re.compile(
    rf"{_CLOSE}(?:(?P<part>\s*[(\[]\s*(?:{_PART})(?![A-Za-z])[^()\[\]\n]{{0,16}}[)\]]|\s?の?\s?(?:{_PART})(?![A-Za-z]))"
    rf"|(?!\s*[(\[]\s*[0-9.]+\s*(?:点|%)?\s*[)\]])\s*[(\[][^()\[\]\n]{{0,20}}[)\]])?{_CLOSE}\s*(?:(?P<colon>[:=→])"
    rf"|は|[–—-](?=\s))?\s*"
    r"(?P<number>[*_(\[<>≥≤]{0,3}(?:on\s+a\s+scale\s+of\s+)?[-+]?\.?[0-9〇一二三四五六七八九十百])?",
    re.IGNORECASE,
)
"""What stands behind a question's name where it is the head of an answer. Matches nothing too."""
BEFORE_NAME = re.compile(
    r"(?P<q>(?:Q|Question\s?|No\.?\s?|問い?|質問|設問)\s*[0-9]{1,2}\s*[.):、]?\s*)?[*_「『【\[\"'`>・•#\s-]{0,6}\Z",
    re.IGNORECASE,
)
NUMBERED_HEAD = re.compile(
    rf"(?<![A-Za-z0-9])Q[0-9]{{1,2}}\s*\.?\s*(?:(?P<sure>[(]?(?:{_PART})[)]?\s*[:=])|[:=]\s*[0-9])", re.IGNORECASE
)
"""Q2value: or Q2: 60 within a line."""


def _words(questions: tuple[Question, ...]) -> re.Pattern[str]:
    words = {lower(plain(stem)) for question in questions for stem in _stems(question)}
    spaced = {word.replace("_", " ") for word in words}
    return re.compile("|".join(map(re.escape, sorted(words | spaced, key=lambda word: (-len(word), word)))))


@lru_cache(maxsize=64)
def sheet_of(questions: tuple[Question, ...]) -> Sheet:
    """The sheet for `questions`; a form that two of them share names neither, unless it is the name of one."""
    parts = parts_of(questions)
    own = tuple(_forms(question, parts) for question in questions)
    shared = Counter(form for forms in own for form in forms)
    names = {fold(question.name): at for at, question in enumerate(questions)}
    merged: dict[str, Place] = {
        form: (index, part)
        for index, forms in enumerate(own)
        for form, part in forms.items()
        if (shared[form] == 1 and names.get(form, index) == index) or form == fold(questions[index].name)
    }
    asked = (*enumerate(reply_keys(questions)), *((index, question.name) for index, question in enumerate(questions)))
    exact: dict[str, Place] = {name: (index, "both") for index, name in asked}
    worded = Counter(fold(question.wording) for question in questions)
    wordings = {key: at for at, question in enumerate(questions) if worded[key := fold(question.wording)] == 1 and key}
    return Sheet(questions, exact, own, merged, wordings, _words(questions), parts)
