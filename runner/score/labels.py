"""The options of a question in a reply's words: one of them, a list, an order, or a number for each."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from runner.plan.reply_keys import option_keys
from runner.score.characters import INVISIBLE, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Question

_TAGS = re.compile(r"</?[a-z][a-z0-9]{0,9}>", re.IGNORECASE)
_AROUND = " \t\r\n*_`\"'“”「」『』【】.,;。、!！"
_QUOTES = "」』”\"'*_`"
"""What may close an option whose opening was taken off."""
_BRACKETS = {"(": ")", "[": "]", "<": ">", "{": "}"}
_LEAD = re.compile(
    r"(?:(?:my|the)\s+(?:final\s+)?(?:answer|choice|selection|response|rating)\s*(?:is|:|=)\s*"
    r"|(?:final\s+)?(?:answer|choice|selection|response)\s*[:=]\s*|option\s+"
    r"|i\s+(?:would\s+)?(?:choose|select|pick|answer)\s+(?:option\s+)?"
    r"|(?:私の)?(?:最終)?(?:回答|答え|選択)\s*(?:は|[:=])\s*、?|選択肢\s*)",
    re.IGNORECASE,
)
_ENDING = re.compile(r"(?:です|だ|である|でした|を選びます|を選択します|と答えます|と感じます|と思います)?[。.!]?")
_REMARK = re.compile(
    r"\s*(?:\Z|\n|[(（\[]|[。;；]|[.!](?=\s|\Z)|[—–]|\s-\s|[,、]?\s*(?:because|since|as|なぜなら|理由)|です[。、]|だ[。])",
    re.IGNORECASE,
)
_COMMA = re.compile(r"\s*[,、]\s*")
_TAKEN_BACK = re.compile(
    r"\b(?:or|but|however|although|though|not|isn't|don't|never|actually|rather|instead|wait|maybe|perhaps|between|"
    r"correction|no)\b|または|又は|もしくは|あるいは|しかし|けど|けれど|でも|ただ|ではな|じゃな|ありません|いや|やはり|"
    r"やっぱり|訂正|とも言え|ともいえ|かもしれ|どちらとも",
    re.IGNORECASE,
)
_JOINT = re.compile(r"\s*(?:[.):：、=\-–—・]+\s*|\s+|(?=[(（\[]))")
_SEPARATOR = re.compile(r"(?:\s|[;；,、/|・•&+]|[*\-–—](?=\s)|and\b|と(?!て)|および|及び)+", re.IGNORECASE)
_ORDER = re.compile(r"\s*(?:[>＞→⇒]|->|=>|[,、;；]|\n)\s*")
_BEFORE = re.compile(r"\s*(?:[(（]?([0-9]{1,2})\s*(?:位\s*[:：は.、]?|番(?:目)?\s*[:：は.、]?|[.):：)）、]))\s*")
_BEHIND = re.compile(r"\s*(?:[(（]\s*([0-9]{1,2})\s*位?\s*[)）]|[:：=は]\s*([0-9]{1,2})\s*位?(?![0-9.%]))")
_BETWEEN = re.compile(r"\s*(?:[:：=]|は|が|\s-\s|→)?\s*")
_REMARK_IN_BRACKETS = re.compile(r"\s*[(（][^()（）]*[)）]")
MOST = 2_000
"""Characters of an answer that are looked at; more is no list of options."""


def folded(words: str) -> str:
    """Words in one case and one width, their blanks alike, a character for a character where that can be."""
    return " ".join(plain(unicodedata.normalize("NFC", words)).casefold().split())


@dataclass(frozen=True, eq=False)
class Labels:
    """What the options of one question are called."""

    forms: Mapping[str, str]
    """Each form, folded -> the option's name."""
    keys: Mapping[str, str]
    """The same with the keys of a JSON reply."""
    names: frozenset[str]
    pattern: re.Pattern[str]
    """Any form, the longest first, as a word of its own where its ends are letters of the Latin alphabet or digits."""

    def key(self, key: str) -> str | None:
        """The option that a key of an object names."""
        words = folded(key).strip(_AROUND)
        return self.keys.get(words) or self._whole(words)

    def one(self, words: str) -> str | None:
        """The option that words name and no other, whatever they say beside; None where it cannot be told."""
        if len(words) > MOST:
            return None
        bare = _bare(words)
        whole = self._whole(bare)
        if whole is not None:
            return whole
        lead = _LEAD.match(bare)
        bare = _bare(bare[lead.end() :]) if lead else bare
        if lead and (whole := self._whole(bare)) is not None:
            return whole
        found = self.pattern.match(bare)
        if found is None:
            return None
        name, rest = self.forms[found[0]], bare[found.end() :].lstrip(_QUOTES)
        again = self._again(name, rest)
        if again is not None:
            rest = again
        if _ENDING.fullmatch(rest.strip()):
            return name
        return name if self._is_remark(name, rest) else None

    def _whole(self, bare: str) -> str | None:
        """The option whose name or label the words are; both of them only where they agree."""
        if bare in self.forms:
            return self.forms[bare]
        if len(bare) > 2 and _BRACKETS.get(bare[0]) == bare[-1]:
            return self._whole(bare[1:-1].strip(_AROUND))
        first = self.pattern.match(bare)
        if first is None:
            return None
        rest = self._again(self.forms[first[0]], bare[first.end() :])
        return self.forms[first[0]] if rest is not None and not rest.strip(_AROUND) else None

    def _again(self, name: str, rest: str) -> str | None:
        """What is left where the same option is named once more: `4 (agree)`, `a. calm`, `4: agree`."""
        joint = _JOINT.match(rest)
        if joint is None:
            return None
        behind = rest[joint.end() :]
        opening = behind[:1] if behind[:1] in ("(", "[", "（") else ""
        second = self.pattern.match(behind, len(opening))
        if second is None or self.forms[second[0]] != name:
            return None
        left = behind[second.end() :]
        if opening:
            closed = re.match(r"\s*[)\]）]", left)
            return left[closed.end() :] if closed else None
        return left

    def _is_remark(self, name: str, rest: str) -> bool:
        """Whether what stands behind an option only comments on it."""
        comma = _COMMA.match(rest)
        if not (_REMARK.match(rest) or (comma and name in ("yes", "no"))):
            return False
        return self.named(rest) <= {name} and not _TAKEN_BACK.search(rest)

    def begins(self, words: str) -> bool:
        """Whether words begin with an option, in a list or after a number too."""
        bare = _bare(words)
        skipped = _SEPARATOR.match(bare) or _BEFORE.match(bare)
        lead = _LEAD.match(bare)
        return any(self._at(bare, at.end() if at else 0) is not None for at in (None, skipped, lead))

    def named(self, words: str) -> set[str]:
        """Every option that is named anywhere, the longest form counting where forms hold one another."""
        return {self.forms[found[0]] for found in self.pattern.finditer(_bare(words[:MOST]))}

    def listed(self, words: str) -> list[str] | None:
        """The options of a list in words, of which nothing else may be left."""
        found: list[str] = []
        at, bare = 0, _bare(words[: MOST + 1])
        while at < len(bare) and len(bare) <= MOST:
            if skipped := (_SEPARATOR.match(bare, at) or _BEFORE.match(bare, at)):
                at = skipped.end()
                continue
            option = self._at(bare, at)
            if option is None:
                remark = _REMARK_IN_BRACKETS.match(bare, at)
                if remark is None or not found or self.named(remark[0]) or _TAKEN_BACK.search(remark[0]):
                    return None
                at = remark.end()
                continue
            name, at = option
            found.append(name)
        return found or None

    def _at(self, bare: str, at: int) -> tuple[str, int] | None:
        """The option that begins here, in quotes or not, and where it ends."""
        start = at + (bare[at : at + 1] in "\"'“「『[")
        found = self.pattern.match(bare, start)
        if found is None:
            return None
        end = found.end()
        while bare[end : end + 1] and bare[end] in "\"'”」』]*_":
            end += 1
        return self.forms[found[0]], end

    def ranked(self, words: str) -> list[str] | None:
        """The options in the order of words: by `>`, a comma or a line between them, or by the number of each."""
        bare, at = _bare(words[:MOST]), 0
        found: list[tuple[str, int | None]] = []
        if re.search(r"[<＜]", bare):
            return None
        while at < len(bare):
            if found and (between := _ORDER.match(bare, at)) is not None:
                at = between.end()
            number = _BEFORE.match(bare, at)
            option = self._at(bare, number.end() if number else at)
            if option is None:
                return None
            name, at = option
            behind = _BEHIND.match(bare, at)
            if behind is not None and number is None:
                at = behind.end()
            place = number[1] if number else (behind[1] or behind[2]) if behind else None
            found.append((name, None if place is None else int(place)))
            if at < len(bare) and not (_ORDER.match(bare, at) or (number and bare[at] == " ")):
                return None
        return _in_order(found)

    def paired(self, words: str, amount: re.Pattern[str]) -> list[tuple[str, str]] | None:
        """(option, amount) of words such as `calm: 20%, tense: 80%`, of which nothing else may be left."""
        found, at, bare = [], 0, _bare(words[: MOST + 1])
        while at < len(bare) and len(bare) <= MOST:
            if skipped := _SEPARATOR.match(bare, at):
                at = skipped.end()
                continue
            option = self._at(bare, at)
            if option is None:
                return None
            name, at = option
            at = self._label_behind(name, bare, at)
            between = _BETWEEN.match(bare, at)
            number = amount.match(bare, between.end() if between else at)
            if number is None or (number.end() == len(bare) and number[0][-1:] == "."):
                return None
            found.append((name, number[0].strip()))
            at = number.end()
            if bare[at - 1 : at + 1].isdigit() and bare[at : at + 1].isdigit():
                return None
        return found or None

    def _label_behind(self, name: str, bare: str, at: int) -> int:
        """Where a point's label in brackets ends: `1 (strongly disagree): 20%`."""
        rest = bare[at:]
        again = self._again(name, rest) if rest.lstrip()[:1] in ("(", "（", "[") and rest.strip() else None
        return at if again is None else len(bare) - len(again)


def _in_order(found: list[tuple[str, int | None]]) -> list[str] | None:
    """Names by their numbers where each has one, else as they stand; None where some have."""
    places = [place for _, place in found if place is not None]
    if not places:
        return [name for name, _ in found] if len(found) > 1 else None
    if len(places) < len(found) or sorted(places) != [*range(1, len(found) + 1)]:
        return None
    return [name for name, _ in sorted(found, key=lambda each: each[1] or 0)]


def _bare(words: str) -> str:
    """Folded, without tags, marks of emphasis and quotes around it; line breaks are kept."""
    seen = _TAGS.sub("", INVISIBLE.sub("", words)) if "<" in words or not words.isascii() else words
    return "\n".join(folded(line) for line in seen.strip().split("\n")).replace("**", "").strip(_AROUND)


@lru_cache(maxsize=256)
def labels_of(question: Question) -> Labels:
    """The labels of a question's options."""
    forms = {
        folded(form): option.name
        for option in question.options
        for form in (option.name, option.label, *option.also)
        if form
    }
    keyed = {folded(key): option.name for key, option in zip(option_keys(question), question.options, strict=True)}
    longest = sorted(forms, key=lambda form: (-len(form), form))
    pattern = re.compile("|".join(_word(form) for form in longest) or r"(?!)")
    return Labels(forms, {**forms, **keyed}, frozenset(option.name for option in question.options), pattern)


def _word(form: str) -> str:
    """A pattern of a form, which is no part of a longer word or number."""
    before = r"(?<![a-z0-9_])(?<![0-9]\.)" if form[0].isascii() and form[0].isalnum() else ""
    if form[0] == "-":
        before = r"(?<![0-9a-z])"
    behind = r"(?![a-z0-9_])(?!\.[0-9])" if form[-1].isascii() and form[-1].isalnum() else ""
    return f"{before}{re.escape(form)}{behind}"
