"""What the words around the answers say about them: another scale, another quantity, someone else's, a refusal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runner.score.characters import plain
from runner.score.scale import Scale, declared_in_prose

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.records import Question

_QUANTITY = (
    r"確率|確信度|自信|信頼度|重み|ウェイト|重要度|順位|ランキング|割合|頻度|平均|中央値|標準偏差|分散|probabilit"
    r"|confidence|certaint"
    r"|likelihood|\bweights?\b|importance|\brank(?:ing|s|ed)?\b|\baverage|\bmeans?\b|\bmedian|percentile|std\b|variance"
)
ASIDE = re.compile(
    rf"{_QUANTITY}|前回|以前の|previous|earlier|last\s+time|一般(?:的な)?(?:の)?読者|(?:他|ほか)の(?:読者|人|評価者"
    rf"|モデル)|other\s+(?:readers?|people|raters?|models?)"
    r"|(?:reader|rater|judge|annotator|reviewer|critic|読者|評価者|採点者|審査員|批評家)\s*[A-Z0-9一二三甲乙]\b"
    r"|予想|想定|predict|expected|hypothetical|仮定|もし"
    r"|baseline|draft|tentative|provisional|preliminary|first\s+(?:guess|impression)|下書き|暫定|仮の|第一印象"
    r"|(?:for\s+)?example\b|e\.g\.|\bsample\b|\btemplate\b|(?:回答|記入|出力|評価)?例\s*[:)】]*\s*\Z|例えば"
    r"|サンプル|テンプレート|記入例"
    r"|^\W*(?:output|reply|answer|response|出力|回答)?\s*(?:format|形式|フォーマット|書式)\W*\Z",
    re.IGNORECASE,
)
"""In a heading: the numbers below it are not the reply's scores."""
_EXAMPLE = re.compile(
    r"(?:これ|以下|上記|上)は[^。\n]{0,12}(?:例|サンプル|見本|仮)(?:です|になります|である)|is\s+(?:just\s+"
    r"|only\s+)?an?\s+(?:example|sample|placeholder)"
    r"|as\s+an?\s+example|placeholders?\b|not\s+my\s+(?:actual|real|final)",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\b(?:can(?:not|'t)|couldn't|won't|will not|unable to|not able to|must decline to|decline to)\s+(?:\w+\s+){0,3}?"
    r"(?:help|assist|provide|comply|rate|evaluate|analy[sz]e|score|fulfil|answer|complete|engage|participate|continue"
    r"|do (?:that|this)|respond|discuss|read|give|assign|judge)"
    r"|\bmust decline\b|against my (?:guidelines|policy|principles)|\b(?:refuse|decline) to\b"
    r"|(?:お?答え|お応え|回答|対応|評価|採点|お手伝い|協力|提供|応じ|判断|数値化)(?:する)?(?:こと)?[はがも]?"
    r"(?:でき(?:ません|かねます|ない)|いたしかねます|しかねます|られません|不可能)"
    r"|(?:差し控え|控えさせて|お断りし|お断りいた|拒否し)",
    re.IGNORECASE,
)
_REFUSED_TASK = re.compile(
    r"\b(?:can(?:not|'t)|won't|unable to|not able to|decline to)\s+(?:\w+\s+){0,3}?(?:help|assist|comply|fulfil"
    r"|continue|do (?:that|this))"
    r"|\bmust decline\b|against my (?:guidelines|policy|principles)|(?:お答え|お応え|お手伝い|対応"
    r"|協力)(?:する)?(?:こと)?[はがも]?"
    r"(?:でき(?:ません|かねます)|いたしかねます|しかねます)|(?:差し控え|控えさせて|お断りし|お断りいた)",
    re.IGNORECASE,
)
_NOTE = re.compile(
    r"\s*[(\[]?\s*(?:※|＊|\*|注|備考|note\b|n\.?b\.?\b|scale\b|スケール|尺度|評価基準|採点基準|all\s+(?:scores"
    r"|ratings)|scores?\s+(?:are|is)|各項目|いずれも|すべて|以上[、,は])",
    re.IGNORECASE,
)
_DECORATED = re.compile(r"\s*(?:#|\*\*|【|\[|=|<|「)")
_MAX_HEADING = 80


def is_refusal(words: str) -> bool:
    """Whether the words decline to answer."""
    return _REFUSAL.search(plain(words)) is not None


def refuses_task(words: str) -> bool:
    """Whether a reason declines the task as a whole. That a robot cannot judge a feeling is an answer of its role."""
    return _REFUSED_TASK.search(plain(words)) is not None


def is_heading(line: str) -> bool:
    """Whether a line introduces what follows: short, with a colon at its end, marked as a heading, or no sentence."""
    words = plain(line).strip()
    if not words or len(words) > _MAX_HEADING:
        return False
    bare = words.rstrip(" *_#】]=」-")
    if bare.endswith((":", "→")) or _DECORATED.match(words):
        return True
    return len(bare) <= 30 and not bare.endswith(("。", ".", "!", "?", "、", "…"))


def is_aside(line: str) -> bool:
    """Whether a heading says that the numbers below it are not the reply's scores."""
    return ASIDE.search(plain(line).strip()) is not None


def are_examples(outside: Iterable[str]) -> bool:
    """Whether the words outside the answers call them an example."""
    return any(_EXAMPLE.search(plain(line)) for line in outside)


def scales_of(outside: Iterable[str]) -> tuple[Scale, ...]:
    """The scales that the words outside the answers declare for all of them."""
    return tuple(dict.fromkeys(scale for line in outside for scale in declared_in_prose(plain(line))))


def scales_in_reason(reason: str | None, score: float, question: Question) -> tuple[Scale, ...]:
    """The other scales that a score's reason puts it on: 7 for 10点満点で7点. The lowest score is the same on each."""
    if not reason or score == question.low:
        return ()
    words = plain(reason)
    again = re.search(rf"(?<![0-9.]){score:g}\s*点?\s*(?:/|out\s+of)\s*([0-9]{{1,4}})(?![0-9/])", words, re.IGNORECASE)
    said = (*declared_in_prose(words), *((Scale(None, float(again[1])),) if again else ()))
    return tuple(scale for scale in said if not scale.is_of(question) and scale.ends and score <= scale.high)


def is_note(line: str) -> bool:
    """Whether a line below a reason is a note on all answers and no part of the reason."""
    return _NOTE.match(plain(line)) is not None
