"""The reply without what the model wrote before its answer: reasoning and drafts, and without the tokens of its turn.

A block is known by its form and by what its name means, not by a list of models: <think>, [THINK], ◁think▷, 【思考】,
<|START_THINKING|>, <seed:think>, <|channel|>analysis. A pair of tags whose name means nothing here hides what is in it
too: it may be a draft. What stands in a block that is not closed is never the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from runner.score.characters import INVISIBLE, listed, plain
from runner.score.names import WORDS, fold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.score.names import Sheet

_DRAFT = re.compile(
    r"think|thought|reason(?!s?$)|reflect|analy[sz]|scratch|draft|plan$|planning|cot$|chain|inner|internal|monolog"
    r"|deliberat|"
    r"ponder|brainstorm|consider|ruminat|meditat|selftalk|selfcheck|critique|hidden|private|commentary|stepbystep"
    r"|rough|working"
    r"|思考|考察|下書|推論|内省|検討|熟考|草案|草稿|内心|分析|思索|考え|推理|생각|사고|추론"
)
"""In a folded name: what is in the block was written before the answer."""
_FINAL = re.compile(
    r"(?:the|my|your|assistant|最終|正式な?|本)*(?:final|answers?|response|reply|output|result|results|solution"
    r"|verdict|conclusion|actual|official"
    r"|回答|返答|答え|解答|結論|出力|結果|清書|最終|答案|답변)(?:answers?|scores?|ratings?|evaluation|response"
    r"|output|json|回答|評価|結果|答え|出力|採点|スコア)?"
)
_SHOWN = listed(
    "b i u s strong em span font mark code small big sub sup p div br hr li ul ol dl dt dd h1 h2 h3 h4 h5 h6 pre "
    "center table "
    "thead tbody tfoot tr td th caption html body head xml root data json scores rating ratings evaluation "
    "evaluations assessment "
    "survey questionnaire form item items question questions text name label value number int float string 評価 "
    "採点 スコア 感想 "
    "object field entry row emotion emotions affect feelings section article main blockquote a ruby rt rp rb"
)
"""Tags that say nothing about when their content was written."""
_TURN = re.compile(r"(?:begin|start|end|close|stop)(?:of)?|/|終了?|開始")
_MARK = re.compile(
    r"[<◁〈《⟨＜]([^<>◁▷〈〉《》⟨⟩＜＞\n]{1,60})[>▷〉》⟩＞]"
    r"|[\[［]([^\[\]［］\n]{1,40})[\]］]"
    r"|【([^【】\n]{1,40})】"
    r"|(?<![A-Za-z_])((?:begin|start|end)(?:_of)?_[a-z]{3,12})(?![A-Za-z_])"
    r"|([({（｛]{1,2}/?[a-z思考下書き推論]{2,12}[)}）｝]{1,2})"
    r"|^[ \t]*(?:```|~~~)[ \t]*([a-z_思考下書き推論]{0,20})[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_CLOSERS = re.compile(r"[\[［({（｛【]/([^\[\]\n(){}【】]{1,40})[\]］)}）｝】]")
_LIKELY = re.compile(
    r"[<◁〈《⟨＜\[［【]|_of_|(?:start|begin|end)_|```[ \t]*[tdrcs]|[({（｛]/?(?:think|thought|reas|draft|思|下)",
)
_CHANNEL = re.compile(r"<\|channel\|>\s*([A-Za-z_]{1,20})[^<\n]{0,60}(?:<\|message\|>|(?=<)|\n|\Z)", re.IGNORECASE)
_TOKEN = re.compile(
    r"<\|(?:start|im_start|start_header_id)\|>\s*(?:assistant\b)?\s*(?:<\|end_header_id\|>)?"
    r"|<\|/?[A-Za-z_]{2,40}\|>|<｜[^｜<>\n]{2,40}｜>|</?s>|\[/?INST\]|\[(?:EOS|BOS|END)\]"
    r"|<(?:eos|bos|eod|pad|eot|end_of_turn|start_of_turn|end_of_text|endoftext|end|end_of_utterance|eot_id|im_end)>",
    re.IGNORECASE,
)
_CELLS = re.compile(r"</t[dh]>\s*<t[dh]\b[^<>]{0,80}>", re.IGNORECASE)
_CELL = re.compile(r"</?t[dh]\b[^<>]{0,80}>", re.IGNORECASE)
_ROW = re.compile(r"<br\s*/?>|</?(?:tr|table|thead|tbody)\b[^<>]{0,80}>", re.IGNORECASE)
_BARE_CHANNELS = re.compile(
    r"(?:assistant)?\s?(?:analysis|commentary)(?=[A-Za-z\"'{:：,.]|[^\x00-\x7f]|\s+(?!(?:of|for|and|by|in|on)\b))"
)
_BARE_FINAL = re.compile(
    r"(?:assistant\s*)+final|(?:^|(?<=[\s.。!?]))final(?=\s*[{\n:：]|\s+[A-Z][a-z]+\s*:)", re.MULTILINE
)
_HEADING = re.compile(
    r"[ >*_#=【\[「(-]*(?:(?:my|the|initial|first|rough|private|some|私の|まず|最初の|仮の)\s*)?(?P<name>"
    r"think(?:ing)?(?:[ -]process)?|thoughts?(?:[ -]process)?|reasoning[ -]process|chain[ -]of[ -]thought|drafts?"
    r"|scratch[ -]?pad"
    r"|(?:inner|internal)[ -](?:monologue|thoughts?)|analysis|brainstorm(?:ing)?|working|step[ -]by[ -]step(?:[ "
    r"-]reasoning)?"
    r"|let(?: me|'s) think[^\n]{0,40}|(?:draft|tentative|provisional|preliminary)\s*(?:scores?|ratings?|answers?)"
    r"|思考(?:過程|プロセス|内容)?|下書き|草案|草稿|推論(?:過程)?|検討(?:過程)?|考え(?:方|中)?|内心|分析|考察"
    r"|(?:仮|暫定)(?:の|的な)?(?:評価|採点|回答|スコア)"
    r"|(?P<final>(?:final|actual|official)\s*(?:answers?|scores?|ratings?|evaluation|response|output|verdict|results?)?"
    r"|answers?|response|output|最終(?:的な)?(?:回答|評価|結果|答え|出力|採点|スコア)?|回答|答え|解答|結論|出力"
    r"|本回答|清書|正式(?:な)?回答))"
    r" ?[)」】\]*_#=]* ?[:.…]* ?[*_]*",
    re.IGNORECASE,
)
_HEADED = re.compile(
    r"think|thought|draft|scratch|monolog|analy|brainstorm|working|step|reasoning.process|tentative|provision"
    r"|prelimin|思考|下書|草|推論|検討"
    r"|考|内心|分析|仮|暫定",
)
_MAX_HEADING = 80
_MOST_BLANKS = 16
"""In a row; more say nothing, and would only be gone over again and again."""
_BLANKS = re.compile(rf"[\s{INVISIBLE.pattern[1:-1]}]{{{_MOST_BLANKS},}}")
_BRACKETS, _PARENTHESES, _FENCE = (2, 3, 5), 5, 6
"""Groups of _MARK."""

Turn = Literal["open", "close", "final", "other"]


@dataclass(frozen=True, slots=True)
class Spoken:
    """A reply without its reasoning."""

    text: str
    hidden: bool = False
    """Something was left out."""
    inside: bool = False
    """The reply ends within its reasoning."""


def spoken(text: str, sheet: Sheet) -> Spoken:
    """The reply behind and around its reasoning. A block that is not closed hides all that follows it."""
    hidden = inside = False
    text = _BLANKS.sub(lambda run: run[0][:_MOST_BLANKS], text)
    for way in (_without_channels, _without_blocks, _without_bare_channels, _without_headed):
        text, left_out, inside = way(text, sheet)
        hidden |= left_out
        if inside:
            break
    return Spoken(text, hidden, inside)


# ---- channels --------------------------------------------------------------------------------------------------------


def _without_channels(text: str, _sheet: Sheet) -> tuple[str, bool, bool]:
    """Only what is in the final channel is said, and what stands before the first."""
    marks = list(_CHANNEL.finditer(text)) if "<|" in text else []
    if not marks:
        return text, False, False
    said = [text[: marks[0].start()]]
    final = False
    for at, mark in enumerate(marks):
        final = bool(_FINAL.fullmatch(mark[1].casefold()))
        if final:
            said.append(text[mark.end() : marks[at + 1].start() if at + 1 < len(marks) else len(text)])
    return "\n".join(said), True, not final


def _without_bare_channels(text: str, _sheet: Sheet) -> tuple[str, bool, bool]:
    """`analysis… assistantfinal…`: channels whose marks were lost on the way."""
    text = text.lstrip()
    start = _BARE_CHANNELS.match(text)
    if start is None:
        return text, False, False
    finals = list(_BARE_FINAL.finditer(text, start.end()))
    return (text[finals[-1].end() :].lstrip(":： "), True, False) if finals else ("", True, True)


# ---- blocks between marks --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Mark:
    start: int
    end: int
    name: str
    turn: Turn
    draft: bool
    """Its name says that what it holds was written before the answer."""
    token: bool
    """It cannot be a word of the text: a special token, or a heading in brackets."""
    fence: bool = False


def _without_blocks(text: str, sheet: Sheet) -> tuple[str, bool, bool]:
    """Without what stands between two marks. A closing mark alone hides all before it: the prompt held its opening."""
    if not _LIKELY.search(text.lower()):
        return text, False, False
    marks = list(_marks(text, {fold(name) for name in _CLOSERS.findall(text)}))
    closed = {mark.name: mark.start for mark in marks if mark.turn == "close"}
    said: list[str] = []
    at = depth = last = 0
    hidden = False
    block: _Mark | None = None
    for mark in marks:
        if block is not None:
            same = mark.fence if block.fence else mark.draft if block.draft else mark.name == block.name
            again = mark.turn == "open" and same and bool(text[last : mark.start].strip())  # Twice at once is one.
            depth += again - (mark.turn == "close" and same)
            if depth == 0 or (mark.turn == "final" and mark.token and block.token):
                block, at, depth = None, mark.end, 0
        elif mark.draft and mark.turn == "close" and not mark.fence:
            said, at, hidden = [], mark.end, True
        elif mark.turn == "open" and (
            mark.draft or (not mark.fence and closed.get(mark.name, -1) > mark.start and _strange(mark, sheet))
        ):
            said.append(text[at : mark.start])
            block, depth, hidden = mark, 1, True
        last = mark.end
    if block is None:
        said.append(text[at:])
    return _as_lines("\n".join(said), sheet), hidden, block is not None


def _marks(text: str, closers: set[str]) -> Iterator[_Mark]:
    for found in _MARK.finditer(text):
        kind = found.lastindex or 0
        inner = found[kind]
        words = plain(inner).casefold().strip(" |▁(){}")
        name = fold(words.split()[0] if kind == 1 and words.split() else words)
        bare = _TURN.sub("", name) or name
        draft, final = bool(_DRAFT.search(bare)), bool(_FINAL.fullmatch(bare))
        closes = "/" in words[:3] or name.startswith(("end", "close", "stop")) or name.endswith(("終了", "終わり"))
        if kind in _BRACKETS and not (closes or inner.isupper() or name in closers or _alone(found, text, kind)):
            continue
        if kind == _PARENTHESES and not draft:
            continue
        if kind == _FENCE:
            yield _Mark(found.start(), found.end(), bare, "open" if inner else "close", draft, token=True, fence=True)
            continue
        turn: Turn = "close" if closes else "final" if final else "open"
        yield _Mark(found.start(), found.end(), bare, turn, draft, token=kind > 1 or inner.startswith(("|", "｜")))


def _alone(found: re.Match[str], text: str, kind: int) -> bool:
    """Whether words in brackets begin their line; those in round ones must have it for themselves."""
    before = text[max(0, found.start() - 40) : found.start()]
    begins = not before[before.rfind("\n") + 1 :].strip(" \t*#>")
    return begins and (kind != _PARENTHESES or not text[found.end() : found.end() + 40].split("\n", 1)[0].strip())


def _strange(mark: _Mark, sheet: Sheet) -> bool:
    """Whether a tag's name says neither that the answer is in it nor anything that is known of such a tag."""
    known = mark.name in _SHOWN or mark.name in WORDS or _FINAL.fullmatch(mark.name)
    return not known and sheet.find(mark.name) is None


def _as_lines(text: str, sheet: Sheet) -> str:
    """Without the tokens of a turn; rows of an HTML table as those of a Markdown table, answers in tags as lines."""
    if "<" not in text and "[" not in text:
        return text
    text = _TOKEN.sub("\n", text)
    if "</t" in text or "</T" in text:
        text = _CELL.sub(" | ", _CELLS.sub(" | ", text))
    text = _ROW.sub("\n", text)
    return _TAG.sub(lambda tag: _line_of(tag, sheet), text) if "</" in text else text


_TAG = re.compile(r"<(/?)([^\s<>/\"'=]{1,40})>")


def _line_of(tag: re.Match[str], sheet: Sheet) -> str:
    """<interesting>75</interesting> as `interesting: 75`; other tags as they are."""
    name = fold(tag[2])
    if sheet.find(tag[2]) is not None or (name in WORDS and name not in ("number", "value")):
        return "\n" if tag[1] else f"\n{tag[2]}: "
    return "\n" if _FINAL.fullmatch(name) else tag[0]


# ---- headings --------------------------------------------------------------------------------------------------------


def _without_headed(text: str, _sheet: Sheet) -> tuple[str, bool, bool]:
    """Without a part under a heading such as `Thinking:` or 下書き, up to one such as `Final answer:` or 回答."""
    if not _HEADED.search(text.lower()):
        return text, False, False
    said: list[str] = []
    hiding = hidden = False
    for line in text.splitlines(keepends=True):
        found = _HEADING.fullmatch(" ".join(plain(line).split())) if len(line) <= _MAX_HEADING else None
        if found and found["final"]:
            hiding = False
        elif found:
            hiding = hidden = True
        elif not hiding:
            said.append(line)
    return ("".join(said), True, hiding) if hidden else (text, False, False)
