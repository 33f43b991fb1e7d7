"""One value of a reply -> its score, or what is wrong with it.

What stands around the number is read too: all of it must be of a known kind (a unit, the scale, a polite ending, a
remark). A second number makes the value ambiguous, unless it counts something: 75（第2段落が印象的）.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from runner.records import Json, Problem, Stated
from runner.score.characters import INVISIBLE, WAVES, plain
from runner.score.scale import DECLARATION, Scale, declared

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.records import Question

UNCLEAR: Final = object()
"""In the place of a value: it cannot be told which of several numbers is the answer, or whether one is."""

_NUMBER = r"[-+]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3}(?![0-9A-Za-z]))?"
_KANJI = r"[〇零一二三四五六七八九十百]"
_UNIT = r"(?:点|點|分|점|points?\b|pts?\b|marks?\b|ポイント|ﾎﾟｲﾝﾄ)"
_SCORE = re.compile(
    r"(?:(?:score[ds]?|rating|value|数値|点数|スコア|評価値?|得点|점수)\s*(?:is\b|は|of\b|[:=])?\s*)?"
    rf"(?P<before>{DECLARATION}(?:で(?:は|の)?|のうち|中)?[\s、,:=]*(?={_NUMBER}))?"
    r"(?:(?:約|およそ|だいたい|about|around|approximately|approx\.?|roughly|~|≈|≒)\s*)?"
    rf"(?:(?P<number>{_NUMBER})\s*(?:{_UNIT}|(?P<percent>%|percent\b|パーセント))?"
    rf"|(?P<kanji>{_KANJI}{{2,7}}|百|{_KANJI}(?=\s*(?:点|[%]|パーセント)))\s*(?:点|點|(?P<percent2>%|パーセント)"
    rf"|(?<!十)分)?)"
    rf"\s*(?:(?:/|out of\b|of\b)\s*(?P<whole>{_NUMBER})\s*(?:{_UNIT}(?:満点)?)?)?",
    re.IGNORECASE,
)
_ENDING = r"(?:です|だ|である|でした|とします|とする|と評価します|くらい|ぐらい|程度|前後|ほど|입니다)"
_AFTER = re.compile(
    rf"\s*{_ENDING}{{0,2}}\s*(?:\Z|\n|[(\[{{【『「、。;|!,]|[.:](?![0-9])|[—–-]+\s|—|#\s|(?:because|since|due\s+to)\b|理由)",
    re.IGNORECASE,
)
_BOUND = re.compile(
    r"\s*[(\[]?\s*(?:以上|以下|以内|未満|超|より|強|弱|最低|最大|最高|少なくとも|over\b|under\b|above\b|below\b"
    r"|(?:or|and|at)\s+(?:more|less|higher|lower|greater|fewer|above|below|up|over|under|least|most)\b"
    r"|plus\b|min\b|max\b|minimum\b|maximum\b|[+<>≥≤≧≦↑↓]|〜\s*(?:\Z|[)\]]))",
    re.IGNORECASE,
)
_HIGHEST = re.compile(r"\s*[(\[]\s*(?:最高|最大|max)", re.IGNORECASE)
"""Behind the highest score it is a remark: 10 (maximum score, since …)."""
_BOUND_BEFORE = re.compile(
    r"[<>≥≤≧≦]|〜|(?:over|under|above|below|at\s+(?:least|most)|(?:more|less|higher|lower|greater)\s+than|up\s+to"
    r"|min(?:imum)?|max(?:imum)?|最低|最大|最高|少なくとも)\b",
    re.IGNORECASE,
)
_CORRECTED = re.compile(
    r"[\s,、。.…;:(\[—-]*(?:いや|いえ|やはり|やっぱり|訂正|修正|もしくは|または|又は|あるいは|ないし|から"
    r"|か(?=\s*[0-9])"
    r"|no\b(?=\s*(?:[,.:;…!)—-]|[0-9]|wait|it\b|make\b))|wait\b|actually\b|rather\b|instead\b|or\b|hmm|correction|scratch|versus\b|vs\b)",
    re.IGNORECASE,
)
_ELSE = re.compile(
    r"\s*[(\[]\s*(?:確率|確信度|自信|信頼度|重み|重要度|順位|平均|割合|probability|confidence|certainty|weight"
    r"|importance|rank"
    r"|average|mean|percentile|likelihood|draft|下書き|仮)[\s0-9.:%]*[)\]]",
    re.IGNORECASE,
)
"""A bracket that calls the number something else than the score."""
_SPAN = re.compile(rf"[(\[<]*\s*({_NUMBER})\s*点?\s*(?:-|~|〜|–|—|to|から)\s*({_NUMBER})\s*点?\s*[)\]>]*")
_BRACKET = re.compile(r"\s*[(\[]([^()\[\]\n]{0,80})(?:[)\]]|\Z)")
_SCALE_ALONE = re.compile(rf"[\s,、※*:]*(?:{DECLARATION})[\s,、中で]*", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_COUNTED = re.compile(
    r"\s*(?:つ|人|名|回|度|番|行|段落|章|節|幕|場面|年|月|日|時|週|秒|歳|才|匹|頭|羽|本|枚|個|冊|杯|円|ページ|頁|文"
    r"|語|字|世紀|代"
    r"|種|ヶ|か所|カ所|箇所|通り|st\b|nd\b|rd\b|th\b|(?:years?|days?|hours?|minutes?|weeks?|months?|times?|people"
    r"|persons?|men"
    r"|women|characters?|lines?|paragraphs?|sentences?|words?|chapters?|pages?|reasons?|things?|elements?|scenes?"
    r"|parts?"
    r"|details?|stor(?:y|ies)|aspects?|twists?|moments?|factors?|examples?|stanzas?|acts?)\b)",
    re.IGNORECASE,
)
_ORDINAL = re.compile(
    r"(?:第|No\.?|#|§|\b(?:par|para|ch|chap|sec|fig|vol|pp?|l)\.|chapter|paragraph|line|page|scene|part|section|act|stanza|verse|sentence|question)\s*\Z",
    re.IGNORECASE,
)
_HTML = re.compile(
    r"</?(?:b|strong|i|em|u|span|font|mark|code|small|big|center|score|value|number)\b[^<>]{0,80}>", re.IGNORECASE
)
_BOXED = re.compile(r"\\(?:boxed|text|textbf|mathbf)\{([^{}]{0,80})\}")
_PAIRED = re.compile(r"[*_`\"']*[(\[【「『<“]([^()\[\]【】「」『』<>“”\n]{1,60})[)\]】」』>”][*_`\"']*")
_DOLLARS = re.compile(r"\A\s*\$([^$\n]{1,40})\$")
_EMPHASISED = re.compile(r"\A(\*{1,3}|_{1,2}|`)([^*_`\n]{1,60})\1")
_RUNS = re.compile(r"\s{2,}")
_MARKS = " \t\r\n*_`\"'“”「」『』【】[]()"
_WAVED = f"{WAVES}~"


def number(
    value: Json, question: Question, scales: Iterable[Scale] = (), *, rescale: bool = False
) -> float | Stated | Problem | None:
    """The score that `value` states, what is wrong with it, or None where it only repeats the question's scale.

    `scales` are those that stand outside the value, in its label or above it. What the value itself declares counts
    more. A score on another scale than the question's is converted where `rescale` says so.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        return _no_words(value, question)
    words = _bare(value)
    if _is_scale(_SPAN.fullmatch(words), question):
        return None
    read = _read(words, question)
    if isinstance(read, _Unread):
        return Problem(read.kind, f"{question.name}: {shown(value)} {read.why}")
    score, own = read
    foreign = {scale for scale in own or scales if not scale.is_of(question)}
    if foreign:
        return _converted(score, foreign, question, value) if rescale else _elsewhere(question, value, foreign)
    if question.low <= score <= question.high:
        return score
    return Problem("out_of_range", f"{question.name}: {shown(value)} is outside {question.low:g} to {question.high:g}")


class _Unread(NamedTuple):
    """Why a value is no score."""

    kind: str
    why: str


_NO_NUMBER = _Unread("not_a_number", "is not a number on its scale")
_IS_BOUND = _Unread("not_a_number", "is a bound, not a score")
_IS_SEVERAL = _Unread("ambiguous", "names more than one number")


def _no_words(value: Json, question: Question) -> Problem:
    if value is UNCLEAR:
        return Problem("ambiguous", f"{question.name}: it cannot be told which number, if any, is the answer")
    return Problem("not_a_number", f"{question.name}: {shown(value)} is not a number")


def _read(words: str, question: Question) -> tuple[float, list[Scale]] | _Unread:
    """The number, and the scales that stand with it."""
    if _BOUND_BEFORE.match(words) and _DIGITS.search(words):
        return _IS_BOUND
    found = _SCORE.match(words)
    if found is None:
        return _IS_SEVERAL if len(_DIGITS.findall(words)) > 1 else _NO_NUMBER
    rest = re.sub(r"[*_`\"]+", "", words[found.end() :])
    score = _amount(found)
    if _BOUND.match(rest) and not (score == question.high and _HIGHEST.match(rest)):
        return _IS_BOUND
    own, rest = _scales_of(found, rest)
    if _others(rest, score, question):
        return _IS_SEVERAL
    if not _AFTER.match(rest) or _ELSE.match(rest) or _CORRECTED.match(rest):
        return _NO_NUMBER
    return score, own


def _bare(value: str) -> str:
    """`value` in plain characters, without tags and marks of emphasis around it. Of < and > both have to stand."""
    words = plain(INVISIBLE.sub("", value) if not value.isascii() else value)
    if "<" in words:
        words = _HTML.sub("", words).strip()
    if "\\" in words:
        words = _BOXED.sub(r"\1", words)
    words = _DOLLARS.sub(r"\1", words)
    words = _EMPHASISED.sub(r"\2", words.lstrip())
    words = _RUNS.sub(lambda run: "\n" if "\n" in run[0] else " ", words.strip())
    if (pair := _PAIRED.match(words)) and _DIGITS.search(pair[1]):
        words = f"{pair[1]} {words[pair.end() :]}"
    return words.lstrip(_MARKS).rstrip(_MARKS + ".,;。、")


def _amount(found: re.Match[str]) -> float:
    return (float(found["number"]) if found["number"] else float(_of_kanji(found["kanji"]))) + 0.0  # no -0.0


_IN_TENS = re.compile(
    r"(?:(?P<h>[一二三四五六七八九]?)(?P<hundred>百))?(?:(?P<t>[一二三四五六七八九]?)(?P<ten>十))?"
    r"(?P<one>[一二三四五六七八九]?)"
)


def _of_kanji(words: str) -> float:
    """七十五, 七五 and 百 as numbers; not-a-number where the numerals are in no order that gives one."""
    digits = {numeral: value for value, numeral in enumerate("〇一二三四五六七八九")} | {"零": 0}
    if not set(words) & {"十", "百"}:
        return float("".join(str(digits[numeral]) for numeral in words))
    found = _IN_TENS.fullmatch(words)
    if not found:
        return float("inf")
    hundreds = digits[found["h"] or "一"] if found["hundred"] else 0
    tens = digits[found["t"] or "一"] if found["ten"] else 0
    return float(hundreds * 100 + tens * 10 + (digits[found["one"]] if found["one"] else 0))


_NAMES_SCALE = re.compile(r"満点|段階|件法|out of|scale", re.IGNORECASE)
_SAYS_SCALE = re.compile(
    r"[\s,、]*(?:on\s+(?:a|an|the)\s+[^\n.。、,]{0,12}scale(?:\s+(?:of|from)\s+[0-9]+\s*(?:to|-|–)\s*[0-9]+)?"
    r"|out\s+of\s+[0-9]+|[0-9]+\s*点満点|満点[は:]?\s*[0-9]+)",
    re.IGNORECASE,
)
"""A scale behind a number, without a bracket."""


def _scales_of(found: re.Match[str], rest: str) -> tuple[list[Scale], str]:
    """The scales that a value declares before, at and directly behind its number, and what is left behind them."""
    scales = list(declared(found["before"])) if found["before"] else []
    if found["whole"]:
        scales.append(Scale(None, float(found["whole"])))
    if found["percent"] or found["percent2"]:
        scales.append(Scale(None, 100.0))
    bracket = _BRACKET.match(rest)
    while bracket and _SCALE_ALONE.fullmatch(bracket[1]):
        scales += declared(bracket[1])
        rest = rest[bracket.end() :]
        bracket = _BRACKET.match(rest)
    if bracket and _NAMES_SCALE.search(bracket[1]):
        scales += declared(bracket[1])
        rest = rest[bracket.end() :]
    elif (bare := _SAYS_SCALE.match(rest)) is not None:
        scales += declared(bare[0])
        rest = rest[bare.end() :]
    return scales, rest


_OPENED = re.compile(r"[(\[=]\s*\Z")
_CLOSED = re.compile(rf"\s*{_UNIT}?\s*(?:[)\]]|\Z)", re.IGNORECASE)
_IN_NUMERALS = re.compile(rf"\s*[(\[]\s*({_KANJI}{{2,7}})\s*点?\s*[)\]]")


def _others(rest: str, score: float, question: Question) -> bool:
    """Whether another number stands behind the score that could be meant as well: one that counts nothing."""
    if re.match(r"[.,'·・:/]\s?[0-9]|\s+[0-9]", rest):
        return True
    for digits in _DIGITS.finditer(rest):
        behind, before = rest[digits.end() : digits.end() + 12], rest[max(0, digits.start() - 12) : digits.start()]
        if _COUNTED.match(behind) or _ORDINAL.search(before):
            continue
        year = len(digits[0]) == 4 and float(digits[0]) > question.high
        again = float(digits[0]) == score and _OPENED.search(before) and _CLOSED.match(behind)
        if not (year or again):
            return True
    numerals = _IN_NUMERALS.match(rest)
    return numerals is not None and _of_kanji(numerals[1]) != score


def _is_scale(span: re.Match[str] | None, question: Question) -> bool:
    return span is not None and (float(span[1]), float(span[2])) == (question.low, question.high)


def _elsewhere(question: Question, value: Json, scales: set[Scale]) -> Problem:
    said = ", ".join(sorted("{:g} to {:g}".format(*scale.ends) if scale.ends else "unclear" for scale in scales))
    message = f"{question.name}: {shown(value)} is on another scale than {question.low:g} to {question.high:g} ({said})"
    return Problem("other_scale", message)


def _converted(score: float, scales: set[Scale], question: Question, value: Json) -> Stated | Problem:
    """The score on the question's scale, with the one that was stated; a problem where its scale is not certain."""
    ends = {scale.ends for scale in scales}
    only = ends.pop() if len(ends) == 1 else None
    if only is None:
        return _elsewhere(question, value, scales)
    low, high = only
    if not low <= score <= high:
        return Problem("out_of_range", f"{question.name}: {shown(value)} is outside {low:g} to {high:g}")
    share = (score - low) / (high - low)
    return Stated(score, low, high, round(question.low + share * (question.high - question.low), 9))


def shown(value: Json) -> str:
    """`value` for a message: on one line, not long, and in JSON's words where they are short."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    words = " ".join(value.split()) if isinstance(value, str) else "an object or a list"
    return f"'{words if len(words) <= 40 else words[:39] + '…'}'" if isinstance(value, str) else words
