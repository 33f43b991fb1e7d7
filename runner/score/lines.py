"""Answers in labelled lines, such as `Q1. 面白さ(数値): 75`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import TYPE_CHECKING

from runner.score import surroundings, tables
from runner.score.characters import listed, lower, plain
from runner.score.findings import Findings, Found
from runner.score.labels import labels_of
from runner.score.names import BEFORE_NAME, BEHIND_NAME, NUMBERED_HEAD, WORDS, fold
from runner.score.number import UNCLEAR
from runner.score.scale import DECLARATION, declared, without_declarations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.records import Json, Question
    from runner.score.names import Part, Sheet
    from runner.score.scale import Scale

_BREAK = re.compile(r"\r\n|\r|\n")
_FENCE = re.compile(r"\s*(?:```|~~~|(?:[-*_=]\s?){3,80}$)")
_JSON = re.compile(r"\s*[{}\"'“]")
"""A line of JSON, which is not for this module."""
_DECORATION = re.compile(r"[\s>*_#\-•・●○◆◇■□▼|`①-⑳❶-❿]*")
_COLON = re.compile(r"[:=→]")
_CLOSING = re.compile(r"[)\]】」』]")
_BEFORE_NUMBER = re.compile(
    r"((?:(?:Q|Question|No\.?|問い?|質問)?\s*[0-9]{1,3}\s*[.):、]?\s*)?[^0-9]{1,80}?)"
    r"(?:[\s=→は、]|[–—-](?=\s))*(?<![0-9])(?<![0-9]\.)(?=[-+]?\.?[0-9])",
    re.IGNORECASE,
)
_UNIT = (
    r"点|點|分|점|points?\b|pts?\b|marks?\b|percent|パーセント|ポイント|out of|of\b|です|だ|である|くらい|ぐらい"
    r"|程度|前後|ほど"
    r"|to\b|or\b|か|以上|以下|未満|超|段階|件法|on\b|stars?\b|because\b|since\b|due\b|理由|reason\b"
)
_VALUE = re.compile(
    r"[\s*_`\"'“「『【\[(<>≥≤≧≦〜$]*(?:<[a-z]{1,10}>)?(?:on\s+a\s+scale\s+of\s+)?(?:(?:約|およそ|だいたい|about"
    r"|around|approximately|roughly|~"
    r"|≈|≒)\s*)?"
    rf"(?:[-+]?\.?[0-9]+(?![0-9])(?:\.[0-9]+)?(?!\s*(?!{_UNIT})[^\W\d_])"
    r"|[〇零一二三四五六七八九十百]{1,7}(?:点|點|\s*[%。、,()\[*]|です|\s*\Z|(?<=[〇零一二三四五六七八九十百]{2})分)"
    r"|\\boxed\{)",
    re.IGNORECASE,
)
"""The begin of a value. A number with a plain word behind it is a sentence: 面白さ: 3つの理由があります."""
_CHAINED = re.compile(
    r"([\s*_`\"']{0,12}[-+]?\.?[0-9]+(?:\.[0-9]+)?\s{0,8}(?:点|points?|%)?(?:\s{0,8}(?:/|out "
    r"of)\s{0,8}[0-9]+\s{0,8}点?)?[\s*_`\"']{0,12})"
    r"(?:[\s,、;|/。]+(?=\S)|(?=[(\[]))"
)
_VALUE_ENDS = re.compile(
    r"(?:[0-9〇一二三四五六七八九十百]|点|點|分|점|points?|pts?|%|です|でした|だ|である|[)\]】」。.,、;/|*_!])\s*\Z",
    re.IGNORECASE,
)
"""How a value ends in whose line the next answer may begin."""
_LEAD_IN = re.compile(
    r"[\s>*_#・•-]*(?:(?:my|the|here\s+are\s+(?:my|the)|私の|各項目の|以下の?|final|最終)\s*)?(?:評価(?:結果)?|点数"
    r"|スコア|得点|採点|回答|答え|数値|結果"
    r"|ratings?|scores?|answers?|values?|evaluation)(?:は(?:以下の通り)?|\s+are|\s+is)?[\s*_]*[:、][\s*_]*\Z",
    re.IGNORECASE,
)
"""Words that only say that the answers follow."""
_CORRECTION = re.compile(
    r"[\s>*_#・•(\[-]*(?:訂正|修正|いや|やはり|(?:correction|corrected|revised|updated?|actually"
    r"|on\s+second\s+thoughts?|wait|no)\b)[\s:、,。.…!*_-]*",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"\s*(?:[-+]?[0-9]+(?:\.[0-9]+)?\s*(?:\Z|[点%(/,、。.])|[/.,][0-9 ]|out\s+of\b|[→⇒]|->|=>)")
"""A line below a value that belongs to it, or states another one."""
_ALONE = re.compile(
    rf"[\s*_`\"'“「『\[(<$]*(?:\\boxed\{{)?(?:{DECLARATION}(?:で(?:は|の)?|のうち|中)?[\s、,:=]*)?"
    r"(?:(?:約|およそ|about|around|~|≈)\s*)?(?:[-+]?\.?[0-9]+(?:\.[0-9]+)?"
    r"|[〇零一二三四五六七八九十百]{2,7})[\s*_`\"'”」』\])>$}]*"
    r"(?:点|點|分|점|points?|pts?|%)?\s*(?:(?:/|out\s+of)\s*[0-9]+\s*(?:点|points?)?)?\s*(?:くらい|ぐらい|程度|ほど)?(?:です"
    r"|だ)?\s*(?:[.。!]?\s*\Z|\n|[(]|[,、—–-]\s)",
    re.IGNORECASE,
)
"""A number that is the reply, where one question is asked; not that of a list, as in `1. 面白さ`."""
_BRACKETED = re.compile(r"[(（\[［].{1,80}[)）\]］]")
_HTML = re.compile(
    r"</?(?:p|div|span|li|ul|ol|b|strong|em|i|u|h[1-6]|center|font|section)(?:\s[^<>]{0,80})?>", re.IGNORECASE
)
_MAX_NUMBER = 20
_MAX_ANSWERS = 1_000
"""Parts of answers in a reply, and names of questions in a line: more is no reply, and takes time to go through."""
_ANSWER = listed(
    "answer finalanswer finalscore finalrating myscore myrating myanswer 回答 答え 最終回答 最終評価 私の評価"
)
"""What the answer to the only question may be called."""
_LAST_DIGITS = re.compile(r"([0-9]{1,8}(?:\.[0-9]{1,3})?)\.?\Z")
_BULLETS = re.compile(r"(?:[\s>*_#・•|-]|[0-9]{1,2}[.):、])*")
_MAX_BARE = 60
_MAX_HEAD = 160
_MAX_CHAIN = 4_000
_BLANKS = " \t*_`"
_SEVERAL_LINES = ("choices", "rank", "distribution", "text")
"""Kinds of questions whose answers may go on below their first line."""


@dataclass(slots=True)
class _Segment:
    """A part of an answer, from its head to the next head. The first of `lines` stands on the head's own line."""

    index: int
    part: Part
    lines: list[str] = field(default_factory=list)
    scales: tuple[Scale, ...] = ()
    unclear: bool = False
    """Under a heading that says that it is no answer, or of a row with several numbers."""


@dataclass(frozen=True, slots=True)
class _Head:
    """The begin of a line that names a part of an answer; a part word alone belongs to the question above it."""

    index: int
    part: Part
    tail: str
    scales: tuple[Scale, ...] = ()


def find(text: str, sheet: Sheet, finish: str | None) -> Findings:
    """Every answer in the lines of `text`; where there is none and one question is asked, a number alone."""
    reader = _Reader(sheet)
    segments, ends_open = reader.segments(text)
    findings = Findings(outside=reader.outside)
    unlabelled: list[tuple[int, str]] = []
    for segment in segments:
        if segment.part == "reason":
            _add(findings.reasons, segment.index, segment.lines)
            findings.outside += _beside(segment)
            continue
        value, below = _value_and_below(segment, sheet)
        if value is not None:
            findings.scores.append(Found(segment.index, value, segment.scales))
        _add(unlabelled, segment.index, below)
        findings.outside += _beside(segment)
    findings.reasons += unlabelled
    bare = _HTML.sub("", text).strip()
    if (
        not findings.scores
        and len(sheet.questions) == 1
        and len(bare) <= _MAX_BARE
        and _ALONE.match(plain(bare))
        and not (bare.endswith(".") and finish != "stop")
    ):
        findings.scores.append(Found(0, bare))
        ends_open = True
    _distrust_end(findings, segments, text, sheet, finish, ends_open=ends_open)
    return findings


def _beside(segment: _Segment) -> list[str]:
    """The lines of a segment that may be about all answers: notes, and what stands below an empty line."""
    end = next((at for at, line in enumerate(segment.lines) if at and not line.strip()), len(segment.lines))
    below = segment.lines[1:end]
    notes = [line for line in below if surroundings.is_note(line) or _BRACKETED.fullmatch(line.strip())]
    return notes + [line for line in segment.lines[end:] if line.strip()]


def _distrust_end(
    findings: Findings, segments: list[_Segment], text: str, sheet: Sheet, finish: str | None, *, ends_open: bool
) -> None:
    """A reply stopped by the token limit: its last answer may go on, its last number may lack digits.

    Where nobody says why the reply ended, as in imported files, a number at its very end is not trusted either: of a
    reply that gives reasons, or of one that does not even end its line.
    """
    if finish not in ("length", None) or (finish == "length" and not ends_open):
        return
    last = segments[-1] if segments else None
    value, below = _value_and_below(last, sheet) if last and last.part != "reason" else (None, [])
    whole = text.rstrip("\r\n")
    at_end = bool(findings.scores) and (
        last is None or (isinstance(value, str) and not below and whole.endswith(value))
    )
    if finish is None:
        index = last.index if last else 0
        digits = _LAST_DIGITS.search(plain(whole[-12:]))
        reasoned = any(at != index for at, _ in findings.reasons)
        if not (at_end and digits and (reasoned or whole == text)) or float(digits[1]) in (
            0.0,
            sheet.questions[index].high,
        ):
            return  # Neither 0 nor the highest score lacks a digit.
    elif whole != text:
        at_end = False
    findings.cut = True
    findings.open.add(last.index if last else 0)
    if at_end:
        findings.scores.pop()


def _add(reasons: list[tuple[int, str]], index: int, lines: list[str]) -> None:
    if reason := _without_emphasis("\n".join(lines).strip()):
        reasons.append((index, reason))


def _without_emphasis(words: str) -> str:
    """`words` without bold marks that were opened before them, or closed after them."""
    if words.count("**") % 2:
        words = words.removeprefix("**") if words.startswith("**") else words.removesuffix("**")
    return words.strip()


def _value_and_below(segment: _Segment, sheet: Sheet) -> tuple[Json, list[str]]:
    """The value of a score's segment, and the lines directly below it: a reason without its label."""
    at = next((at for at, line in enumerate(segment.lines) if line.strip(_BLANKS)), None)
    if at is None:
        return None, []
    question = sheet.questions[segment.index]
    stated = segment.part == "score" or _is_value(segment.lines[at], question)
    if stated and question.kind in _SEVERAL_LINES:
        return (UNCLEAR if segment.unclear else _block(segment.lines[at:], question)), []
    below = segment.lines[at + 1 :] if stated else segment.lines[at:]
    end = next((end for end, line in enumerate(below) if not line.strip()), len(below))
    further = next((line for line in below[end:] if line.strip()), "") if end < len(below) else ""
    below = below[:end]
    if not stated:
        return None, below
    next_lines = (*below[:1], further) if len(further) < _MAX_NUMBER else below[:1]
    goes_on = any(_GOES_ON.match(plain(line)) or _is_option(line, question) for line in next_lines if line)
    return (UNCLEAR if segment.unclear or goes_on else segment.lines[at]), below


def _block(lines: list[str], question: Question) -> str:
    """The lines of a value that may take several: words to their end, a list up to an empty line."""
    end = next((end for end, line in enumerate(lines) if not line.strip()), len(lines))
    return "\n".join(lines if question.kind == "text" else lines[:end]).strip()


def _is_value(words: str, question: Question) -> bool:
    """Whether words begin as the value of a question does: with a number, or with one of its options."""
    if question.kind == "text":
        return bool(words.strip(" \t*_`:："))
    if _VALUE.match(plain(words[:_MAX_HEAD])) and question.kind in ("number", "likert"):
        return True
    return bool(question.options) and labels_of(question).begins(words[:_MAX_HEAD])


def _is_option(line: str, question: Question) -> bool:
    return bool(question.options) and labels_of(question).one(line) is not None


class _Reader:
    """Goes down the lines and keeps what they are about."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self.current: int | None = 0 if len(sheet.questions) == 1 else None
        self.found: list[_Segment] = []
        self.given: set[tuple[int, Part]] = set()
        """The parts of answers that hold something; of the last one it is asked where that matters."""
        self.open: _Segment | None = None
        self.outside: list[str] = []
        self.aside = False
        """What is read stands under a heading that says that it is not the answer."""

    def segments(self, text: str) -> tuple[list[_Segment], bool]:
        """The parts of answers in their order, and True where the last one reaches the end of `text`."""
        table: list[tables.TableRow] = []
        for line in _BREAK.split(text):
            if len(self.found) > _MAX_ANSWERS:
                break
            bare = _HTML.sub("", line) if "<" in line else line
            row = self._row(bare)
            if row is not None:
                table.append(row)
            elif bare and not bare.isspace():
                self._end(table)
                self._read(bare)
            elif self.open is not None:
                self.open.lines.append(bare)
        self._end(table)
        if len(self.found) > _MAX_ANSWERS:
            for segment in self.found:
                segment.unclear = True  # What is left unread could say otherwise.
        return self.found, self.open is not None

    def _end(self, table: list[tables.TableRow]) -> None:
        """What follows a table that held answers belongs to none of them."""
        if table and self._table(table):
            self.open = None
        table.clear()

    def _read(self, line: str) -> None:
        """A line that is no row of a table."""
        if _FENCE.match(line):
            self.open = None
        elif _JSON.match(line):
            self._json(line)
        else:
            self._lines(line)

    def _json(self, line: str) -> None:
        """A line of JSON is another module's, unless it only begins with a quotation mark."""
        if not line.lstrip().startswith(("{", "}")) and self.open is not None:
            self.open.lines.append(line)

    def _row(self, line: str) -> tables.TableRow | None:
        """The fields of a table's row. A line whose fields are whole answers is none."""
        if "|" not in line and "｜" not in line and "\t" not in line:
            return None
        row = tables.row_of(line)
        if row is None or any(":" in plain(cell[:40]) and self._head(cell) for cell in row.cells):
            return None
        return row

    def _table(self, rows: list[tables.TableRow]) -> bool:
        """Whether the rows held an answer, which is kept."""
        cells = tables.read(rows, self.sheet)
        for cell in cells:
            if cell.part == "reason" and not cell.words:
                continue
            words = cell.words if isinstance(cell.words, str) else "-"
            self._begin(_Head(cell.index, cell.part, words, cell.scales), words, unclear=cell.words is UNCLEAR)
        if not cells:
            self.outside += [" | ".join(row.cells) for row in rows]
        return bool(cells)

    def _lines(self, line: str) -> None:
        """One line, or the several that stand on it."""
        for piece in self._pieces(line):
            self._line(piece)

    def _line(self, line: str) -> None:
        head = self._head(line) or self._corrected(line)
        if head is None:
            self._other(line)
        if head is not None and head.scales and not head.tail.strip():
            self.outside.append(line)
        while head is not None:
            self.current = head.index
            own, rest = self._chained(head)
            self._begin(head, own)
            head = self._head(rest) if rest else None

    def _other(self, line: str) -> None:
        """A line without a head: a heading, a part of what is open, or words beside the answers."""
        heading = surroundings.is_heading(line)
        if heading and surroundings.is_aside(line):
            self.aside, self.open = True, None
        elif heading and line.strip() and (self.open is None or line.lstrip().startswith("#")):
            self.aside = False
        if self.open is not None:
            self.open.lines.append(line)
        elif line.strip():
            self.outside.append(line)

    def _corrected(self, line: str) -> _Head | None:
        """The head of a line that takes an answer back: 訂正: 面白さ: 60."""
        lead = _CORRECTION.match(plain(line[:_MAX_HEAD]))
        return self._head(line[lead.end() :]) if lead and lead.end() else None

    def _begin(self, head: _Head, first_line: str, *, unclear: bool = False) -> None:
        if self.found and _holds(self.found[-1]):
            self.given.add((self.found[-1].index, self.found[-1].part))
        self.open = _Segment(head.index, head.part, [first_line], head.scales, unclear or self.aside)
        self.found.append(self.open)

    # ---- several answers on a line -----------------------------------------------------------------------------------

    def _pieces(self, line: str) -> list[str]:
        """The line, cut before each further answer on it: parted by blanks, by commas, or by nothing."""
        starts = list(self._starts(line))
        if not starts:
            return [line]
        cuts = [0, *starts, len(line)]
        pieces = [line[start:end] for start, end in pairwise(cuts)]
        if not pieces[0].strip() or _LEAD_IN.match(plain(pieces[0])):
            pieces = pieces[1:]
        return [*(piece.rstrip(" \t　,、;；|｜・/／") for piece in pieces[:-1]), pieces[-1]]

    def _starts(self, line: str) -> Iterator[int]:
        marked = plain(line)
        names = list(self.sheet.words.finditer(lower(marked)))
        if len(names) > _MAX_ANSWERS:
            return
        numbered = marked.count("Q") + marked.count("q") > 1
        if len(names) < 2 and not numbered and (not names or names[0].start() < 12):
            return
        heads = sorted({*self._named_heads(marked, names), *(self._numbered_heads(marked) if numbered else ())})
        begun = at = 0
        reason = False
        for start, sure, is_reason in heads:
            before = marked[at:start]
            if not at and _BULLETS.fullmatch(before):
                begun, reason, at = 1, is_reason, start
                continue
            leads = not begun and _LEAD_IN.match(before) is not None
            ends = (
                begun
                and _VALUE_ENDS.search(before[-12:]) is not None
                and not (reason and not sure and not self._mixed(marked))
            )
            if sure or leads or ends or (begun and not reason and before.endswith(" ") and _VALUE.search(before)):
                yield start
                begun, reason, at = 1, is_reason, start

    def _mixed(self, marked: str) -> bool:
        """Whether scores and reasons stand on one line, so that a score may follow a reason there."""
        return BEHIND_NAME.search(marked) is not None and bool(
            re.search(r"[0-9].{0,20}(?:理由|reason|[(])", marked[:_MAX_HEAD], re.IGNORECASE)
        )

    def _named_heads(self, marked: str, names: list[re.Match[str]]) -> Iterator[tuple[int, bool, bool]]:
        """(begin, certain, a reason's) of each name with an answer behind it."""
        for name in names:
            if name[0].isascii() and not _is_word(marked, name):
                continue
            behind = BEHIND_NAME.match(marked, name.end())
            if behind is None or not (behind["colon"] or behind["number"]):
                continue
            before = BEFORE_NAME.search(marked, max(0, name.start() - 16), name.start())
            if before is None:
                continue
            sure = bool(behind["colon"] and (behind["part"] or before["q"]))
            if sure or behind["number"]:
                part = WORDS.get(fold(behind["part"])) if behind["part"] else None
                yield before.start(), sure, part == "reason"

    def _numbered_heads(self, marked: str) -> Iterator[tuple[int, bool, bool]]:
        for found in NUMBERED_HEAD.finditer(marked):
            sure = found["sure"] is not None
            yield found.start(), sure, sure and WORDS.get(fold(found["sure"])) == "reason"

    # ---- heads -------------------------------------------------------------------------------------------------------

    def _chained(self, head: _Head) -> tuple[str, str]:
        """A score's tail, and what follows on the same line where that is another answer: `75, 驚き: 60`."""
        other = self.sheet.questions[head.index].kind not in ("number", "likert")
        one_value = head.part == "reason" or other or len(head.tail) > _MAX_CHAIN
        value = None if one_value else _CHAINED.match(plain(head.tail[:_MAX_HEAD]))
        if value is None:
            return head.tail, ""
        rest = head.tail[value.end() :]
        if rest.startswith(("(", "（", "[")):
            rest = rest[1:].rstrip(" )）]")
        return (head.tail[: value.end(1)], rest) if self._head(rest) else (head.tail, "")

    def _head(self, words: str, *, nested: bool = False) -> _Head | None:
        """The answer that `words` begin, if they begin with the name of one."""
        marked = plain(words[:_MAX_HEAD])
        decoration = _DECORATION.match(marked)
        start = decoration.end() if decoration else 0
        for end, after in _splits(marked, start):
            if head := self._named(words[start:end], words[after:], nested=nested):
                return head
        return self._named(words[start:].rstrip(" \t*_#`"), "", nested=nested) if len(words) <= _MAX_HEAD else None

    def _named(self, name: str, tail: str, *, nested: bool) -> _Head | None:
        place = self.sheet.find(name)
        if place is None:
            return self._part_of_current(name, tail)
        index, part = place
        scales = declared(plain(name))
        if part == "both" and tail.strip(" \t*_`:："):
            before, self.current = self.current, index
            inner = None if nested else self._head(tail, nested=True)
            self.current = before
            if inner and inner.index == index:
                return _Head(index, inner.part, inner.tail, scales + inner.scales)
            if not _is_value(tail, self.sheet.questions[index]):
                return None
        return _Head(index, part, tail, scales)

    def _part_of_current(self, name: str, tail: str) -> _Head | None:
        """A part word alone, such as `理由`, which belongs to the question above it."""
        if self.current is None:
            return None
        words = plain(name)
        key = fold(without_declarations(words))
        part = self.sheet.parts.get(key) or ("score" if key in _ANSWER and len(self.sheet.questions) == 1 else None)
        if part is None or self._has(self.current, part):
            return None
        return _Head(self.current, part, tail, declared(words))

    def _has(self, index: int, part: Part) -> bool:
        """True where this part of the answer was given already: a second one is a line of the reason."""
        if self.found and _holds(self.found[-1]):
            self.given.add((self.found[-1].index, self.found[-1].part))
        return (index, part) in self.given or (part == "score" and (index, "both") in self.given)


def _holds(segment: _Segment) -> bool:
    return any(line.strip(_BLANKS) for line in segment.lines)


def _is_word(marked: str, name: re.Match[str]) -> bool:
    """Whether a name in Latin letters is a word of its own: not `sad` in `sadly`, but Sad in `8Sad: 6`."""
    before, behind = marked[name.start() - 1 : name.start()], marked[name.end() : name.end() + 1]
    return not (before.isascii() and (before.isalpha() or before == "_")) and not (
        behind.isascii() and behind.isalpha()
    )


def _splits(marked: str, start: int) -> Iterator[tuple[int, int]]:
    """Where a name may end and what it names begin, the likeliest first: at a colon, a bracket, a number."""
    for colon in islice(_COLON.finditer(marked, start), 3):
        yield colon.start(), colon.end()
    for bracket in islice(_CLOSING.finditer(marked, start), 2):
        yield bracket.end(), bracket.end()
    if found := _BEFORE_NUMBER.match(marked, start):
        yield found.end(1), found.end()
