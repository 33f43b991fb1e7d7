"""Answers in JSON, and in what is meant as JSON."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from runner.score.characters import listed, plain
from runner.score.findings import Findings, Found
from runner.score.kinds import is_of_options
from runner.score.names import GROUPS, NAMING, WORDS, fold
from runner.score.number import UNCLEAR
from runner.score.scale import UNKNOWN, Scale, declared, declared_in_prose, without_declarations
from runner.score.scanner import CUT, Scanner
from runner.score.surroundings import ASIDE, is_aside, is_heading

if TYPE_CHECKING:
    from runner.records import Json
    from runner.score.names import Part, Sheet

_NEUTRAL = listed(
    "answer answers result results response responses output outputs data reply json my your the final overall object "
    "evaluation evaluations assessment assessments emotion emotions emotional affect affective feeling feelings "
    "reaction reactions "
    "questions question items item list content text arguments parameters input value story analysis rating "
    "ratings score scores "
    "survey study affectscores of and with for q qa form properties field fields body payload message"
)
"""Words of keys around answers that say nothing against them: {"emotional_response": {…}}."""
_NEUTRAL_JA = re.compile(
    r"(?:私の|あなたの|最終|各|感情|回答|結果|評価|採点|点数|スコア|項目|質問|出力|感想|の|と|理由|答え|反応|分析"
    r"|一覧)*"
)
_WRAPPERS = listed(
    "answer answers result results response output data final finalanswer arguments evaluation rating ratings "
    "score scores "
    "reply json 回答 結果 評価"
)
"""Keys around the answer to the only question."""
_TOP = listed(
    "max maximum best bestrating maxscore scoremax maximumscore maxvalue maxrating maxpoints outof of fullmarks "
    "fullscore full total upper "
    "upperbound high top denominator bestpossible pointspossible 満点 最大 最大値 最高 最高点 上限"
)
_LOW = listed("min minimum minscore scoremin minvalue lower lowerbound low 最小 最小値 最低 下限")
_SCALE = listed(
    "scale range scorescale scorerange ratingscale scalerange unit units bounds limits levels steps スケール 尺度 "
    "範囲 段階 単位 "
    "評価尺度 評価基準 採点基準"
)
_NAMES_TOP = re.compile(r"(?:max|maximum)\Z|\A(?:max|maximum)(?:possible|points|score|rating|value)|outof\Z|満点\Z")
_ABOUT = listed("meta metadata info information about config settings notes header context 備考 情報")
_MAX_NOTE = 300
_KINDS = listed("metric type kind measure quantity note meaning 種類 指標 注")
"""Keys whose value may say that the numbers beside them are no scores."""
_MAY_BE = re.compile(r"[{｛]|\[\s*[{｛]|[\"“'][^\"”'\n]{1,80}[\"”']\s*[:：]")
_TOKENS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+|[^\x00-\x7f]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|_")


def find(text: str, sheet: Sheet, finish: str | None) -> Findings:
    """Every answer in every object of `text`."""
    findings = Findings()
    if not _MAY_BE.search(text):
        findings.rest = text
        return findings
    text = _unwrapped(text)
    all_json = text.lstrip("` \t\r\njson").startswith(("{", "["))
    scanner = Scanner(text)
    rest: list[str] = []
    at = kept = 0
    for document, state in scanner.documents():
        outside = [line for line in text[at : scanner.start].splitlines() if line.strip()]
        findings.outside += outside
        before = len(findings.scores) + len(findings.open)
        _Collector(sheet, findings, unclear=_under_an_aside(outside)).collect(document, "both", ())
        meant = all_json or len(findings.scores) + len(findings.open) > before
        findings.cut |= state == "cut" and (meant or finish == "length")
        findings.broken |= state == "broken" and meant
        at = scanner.at
        if len(findings.scores) + len(findings.open) > before:
            rest.append(text[kept : scanner.start])
            kept = at
    findings.rest = "\n".join([*rest, text[kept:]])
    findings.outside += [line for line in text[at:].splitlines() if line.strip()]
    return findings


def _under_an_aside(outside: list[str]) -> bool:
    """Whether the line above an object says that it does not hold the answers."""
    lines = [line for line in outside if line.strip(" `json")]
    return bool(lines) and is_heading(lines[-1]) and is_aside(lines[-1])


def _unwrapped(text: str) -> str:
    """JSON that was written into a JSON string; any other text as it is."""
    if not text.lstrip().startswith('"{'):
        return text
    try:
        inner = json.loads(text, strict=False)
    except ValueError:
        return text
    return inner if isinstance(inner, str) else text


def _parsed(value: Json) -> Json:
    """A value that is JSON in a string as what it holds; any other as it is."""
    if not isinstance(value, str) or not value.lstrip(" \n`json").startswith(("{", "[{")):
        return value
    documents = list(Scanner(value).documents())
    return documents[0][0] if len(documents) == 1 and documents[0][1] == "ok" else value


class _Collector:
    """Goes down one document and notes its answers."""

    def __init__(self, sheet: Sheet, findings: Findings, *, unclear: bool) -> None:
        self.sheet = sheet
        self.findings = findings
        self.unclear = unclear

    def collect(self, node: Json, group: Part, scales: tuple[Scale, ...], *, nameless: bool = True) -> None:
        """Every answer in `node`.

        `group` is the part that a wrapper such as {"reasons": {…}} names for all below it. `nameless` is False below a
        key that names something else than a question: its score is not an answer to ours.
        """
        if isinstance(node, list):
            for item in node:
                self.collect(_parsed(item), group, scales, nameless=nameless)
        if not isinstance(node, tuple):
            return
        subject = self._subject(node, nameless=nameless)
        own = _scales_beside(node) or scales
        aside = self.unclear
        self.unclear |= _is_of_another_kind(node)
        for key, value in node:
            word = fold(key)
            place = None if subject is not None and word in self.sheet.parts else self.sheet.find(key)
            if subject is not None and word in self.sheet.parts:
                self._note(subject, self.sheet.parts[word], value, _of_key(key) or own)
            elif subject is not None and value is CUT:
                self.findings.open.add(subject)
            elif subject is not None and place is None and _score_word(key):
                self._note(subject, "score", value, _of_key(key) or own)
            elif place:
                self._note(place[0], group if place[1] == "both" else place[1], value, _of_key(key) or own)
            else:
                self._below(key, value, group, _of_key(key) or own, nameless=nameless)
        self.unclear = aside

    def _below(self, key: str, value: Json, group: Part, scales: tuple[Scale, ...], *, nameless: bool) -> None:
        """What stands below a key that names no question: answers, where the key says nothing else of them."""
        value = _parsed(value)
        if not isinstance(value, tuple | list):
            return
        word = fold(key)
        known = GROUPS.get(word) or (self.sheet.parts.get(word) if self.sheet.parts is not WORDS else None)
        bare = known or ("score" if _score_word(key) else None)
        aside = self.unclear
        self.unclear |= bare is None and not _is_neutral(key)
        self.collect(value, bare or group, scales, nameless=nameless and word in _WRAPPERS)
        self.unclear = aside

    def _subject(self, node: tuple[tuple[str, Json], ...], *, nameless: bool) -> int | None:
        """The question that a {"question": …, "score": …} object is about; the only one, where only one is asked."""
        for key, value in node:
            if isinstance(value, str) and fold(key) in NAMING:
                place = self.sheet.find(value)
                return place[0] if place else None
        only = nameless and len(self.sheet.questions) == 1 and not any(self.sheet.find(key) for key, _ in node)
        return 0 if only else None

    def _note(self, index: int, part: Part, value: Json, scales: tuple[Scale, ...]) -> None:
        value = _parsed(value) if part != "reason" else value
        words = self.sheet.parts
        own_options = is_of_options(value, self.sheet.questions[index])
        worded = isinstance(value, tuple) and any(fold(key) in words or _score_word(key) for key, _ in value)
        if own_options and part != "reason":
            self._take(index, value, scales)
        elif isinstance(value, tuple) and (part == "both" or worded):
            own = _scales_beside(value) or scales
            aside = self.unclear
            self.unclear |= _is_of_another_kind(value)
            for key, inner in value:
                word = words.get(fold(key)) or ("score" if _score_word(key) else None)
                if word:
                    self._note(index, word, inner, _of_key(key) or own)
                elif inner is CUT:
                    self.findings.open.add(index)
            self.unclear = aside
        elif value is CUT:
            self.findings.open.add(index)
        elif part != "reason":
            self._take(index, value, scales)
        elif reason := _reason(value):
            self.findings.reasons.append((index, reason))

    def _take(self, index: int, value: Json, scales: tuple[Scale, ...]) -> None:
        self.findings.scores.append(Found(index, UNCLEAR if self.unclear else value, scales))


def _score_word(key: str) -> bool:
    """Whether a key is a word for a score with its scale: `score (0-10)`, `score_out_of_10`."""
    return any(map(str.isdigit, key)) and bool(_of_key(key)) and WORDS.get(fold(_without_scale(key))) == "score"


def _without_scale(key: str) -> str:
    return without_declarations(_spaced(key))


def _spaced(key: str) -> str:
    return _CAMEL.sub(" ", plain(key))


def _of_key(key: str) -> tuple[Scale, ...]:
    return declared(_spaced(key)) if any(map(str.isdigit, key)) else ()


def _is_neutral(key: str) -> bool:
    """Whether the words of a key say nothing against what stands below it."""
    words = [word.casefold() for word in _TOKENS.findall(without_declarations(_spaced(key)))]
    return all(word in _NEUTRAL or word.isdigit() or _NEUTRAL_JA.fullmatch(word) for word in words)


def _is_of_another_kind(node: tuple[tuple[str, Json], ...]) -> bool:
    """Whether a value beside the answers says that they are a probability, an example or the like."""
    return any(
        isinstance(value, str) and len(value) < 60 and fold(key) in _KINDS and ASIDE.search(value)
        for key, value in node
    )


def _scales_beside(node: tuple[tuple[str, Json], ...]) -> tuple[Scale, ...]:
    """The scale that an object states for what it holds: {"score": 9, "max": 10}, {"scale": "0-10", …}."""
    scales: list[Scale] = []
    low: float | None = None
    tops: list[float] = []
    for key, value in node:
        word = fold(key)
        if word in _LOW:
            low = _float(value)
        elif word in _TOP or _NAMES_TOP.search(word):
            top = _float(value)
            if top is not None:
                tops.append(top)
            elif value is not CUT and value is not None:
                scales += _of_words(value)
        elif word in _SCALE:
            scales += _of_words(value)
        elif isinstance(value, str) and WORDS.get(word) != "reason" and len(value) <= _MAX_NOTE:
            scales += declared_in_prose(plain(value)) if WORDS.get(word) is None else ()
        elif isinstance(value, tuple) and word in _ABOUT:
            scales += _scales_beside(value)
    return (*scales, *(Scale(low, top) for top in tops))


def _of_words(value: Json) -> tuple[Scale, ...]:
    """A scale as a value gives it: a text, its highest score, its two ends."""
    if (top := _float(value)) is not None:
        return (Scale(None, top),)
    if isinstance(value, str):
        words = plain(value)
        return declared(words) or ((UNKNOWN,) if any(map(str.isdigit, words)) or ASIDE.search(words) else ())
    if isinstance(value, list) and len(value) == 2 and None not in (ends := [_float(end) for end in value]):
        return (Scale(ends[0], ends[1] or 0.0),)
    if isinstance(value, tuple):
        return _scales_beside(value) or (UNKNOWN,)
    return ()


def _float(value: Json) -> float | None:
    words = plain(value).strip() if isinstance(value, str) else ""
    return float(words) if re.fullmatch(r"-?[0-9]{1,6}(?:\.[0-9]{1,4})?", words) else None


def _reason(value: Json) -> str | None:
    if isinstance(value, list):
        value = "\n".join(item for item in value if isinstance(item, str))
    return value.strip() or None if isinstance(value, str) else None
