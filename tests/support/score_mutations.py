"""Replies made up from what they must mean: scores, a format, decorations, and one distraction.

The maker knows the scores before a reply is written, so it needs no reader to tell what is right. Of a `plain` reply
every score has to be read. Of any other a reader may take nothing, or what `allowed` holds; all else is invented.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.records import Question, Reply

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from runner.records import ReplyFormat

INTERESTING = Question("interesting", "面白さ", "How interesting?")
SURPRISE = Question("surprise", "驚き", "How surprising?")
SADNESS = Question("sadness", "悲しみ", "How sad?")
ANGER = Question("anger", "怒り", "How angry?")
STUDY = (INTERESTING, SURPRISE, SADNESS, ANGER)
SETS = (STUDY, STUDY, (INTERESTING, SADNESS), (INTERESTING,))
ENGLISH = {"interesting": "Interesting", "surprise": "Surprise", "sadness": "Sadness", "anger": "Anger"}
ALIASES = {
    "interesting": ("Interest", "Interested", "面白い"),
    "surprise": ("Surprised", "Surprising"),
    "sadness": ("Sad",),
    "anger": ("Angry",),
}
REASONS = {
    "ja": (
        "心温まる話だから。",
        "結末が意外だった",
        "第2段落の描写が印象的",
        "登場人物が3人とも優しい。",
        "静かで、余韻が残る。",
        "怒る理由がない",
    ),
    "en": (
        "it is warm",
        "the ending came late.",
        "the 2nd paragraph stays with me",
        "three of the men lie, as in 1923",
        "calm, and slow",
    ),
}
PREFACES = {
    "ja": (
        "はい、お答えします。",
        "以下が私の評価です。",
        "読みました。次のように感じました：",
        "承知しました。指定された形式で回答します。",
    ),
    "en": (
        "Sure! Here are my ratings:",
        "Here is my answer.",
        "As a first-year student, I felt the following:",
        "Thanks for the text.",
    ),
}
ENDS = (
    "<|im_end|>",
    "</s>",
    "<|eot_id|>",
    "<|endoftext|>",
    "<end_of_turn>",
    "<｜end▁of▁sentence｜>",
    "<eos>",
    "\n<|im_end|>\n",
)
KANJI = "〇一二三四五六七八九"


@dataclass(frozen=True)
class Mutation:
    """One reply and what may be read in it."""

    kind: str
    text: str
    questions: tuple[Question, ...]
    allowed: Mapping[str, frozenset[float]]
    """Question -> the scores that are not invented; none of them has to be read."""
    plain: bool = False
    """Every question's only allowed score has to be read."""
    fmt: ReplyFormat = "labelled"
    finish: str | None = "stop"

    @property
    def reply(self) -> Reply:
        """The reply as a provider would hand it over."""
        return Reply(self.text, self.finish)


@dataclass
class Maker:
    """Makes mutations from one source of chance: the same seed makes the same replies."""

    chance: random.Random
    language: str = "ja"
    questions: tuple[Question, ...] = STUDY
    scores: dict[str, float] = field(default_factory=dict)

    def make(self) -> Mutation:
        """The next mutation: of every kind about as many."""
        self.language = self.chance.choice(("ja", "en"))
        self.questions = self.chance.choice(SETS)
        self.scores = {question.name: self._score() for question in self.questions}
        name = self.chance.choice(list(_KINDS))
        return _KINDS[name](self)

    def _score(self) -> float:
        roll = self.chance.random()
        if roll < 0.08:
            return self.chance.choice((0.0, 100.0))
        if roll < 0.16:
            return self.chance.randint(2, 199) / 2
        return float(self.chance.randint(1, 99))

    # ---- parts -------------------------------------------------------------------------------------------------------

    def pick(self, *choices: str) -> str:
        """One of some words."""
        return self.chance.choice(choices)

    def label(self, question: Question) -> str:
        """How the reply calls a question."""
        return question.label if self.language == "ja" else ENGLISH[question.name]

    def reason(self) -> str:
        """A reason in the reply's language."""
        return self.chance.choice(REASONS[self.language])

    def shown(self, value: float) -> str:
        """A number as a model writes it."""
        return f"{value:g}"

    def other(self, value: float) -> float:
        """Another score than this one."""
        return float(self.chance.choice([other for other in range(3, 98) if other != value]))

    def truth(self) -> dict[str, frozenset[float]]:
        """Only the scores that the reply gives."""
        return {name: frozenset((score,)) for name, score in self.scores.items()}

    def nothing(self) -> dict[str, frozenset[float]]:
        """Any score is invented."""
        return {name: frozenset() for name in self.scores}

    def mutation(
        self, kind: str, text: str, *, plain: bool = False, allowed: str = "truth", finish: str | None = "stop"
    ) -> Mutation:
        """A mutation of the questions in hand. `allowed`: truth, or nothing."""
        may = self.truth() if allowed == "truth" else self.nothing()
        fmt: ReplyFormat = self.chance.choice(("json", "labelled"))
        name = f"{kind} [{self.language}, {len(self.questions)}]"
        return Mutation(name, text, self.questions, may, plain=plain, fmt=fmt, finish=finish)

    # ---- formats -----------------------------------------------------------------------------------------------------

    def formatted(self, shown: Callable[[float], str] | None = None, *, among: Sequence[str] = ()) -> str:
        """The scores in a format of a model's choice; `shown` writes each number."""
        ways = {
            "study": self.study,
            "lines": self.lines,
            "json": self.json,
            "flat": self.flat,
            "table": self.table,
            "line": self.line,
            "list": self.listed,
            "fenced": self.fenced,
            "headings": self.headings,
        }
        return ways[self.chance.choice(list(among) or list(ways))](shown or self.shown)

    def study(self, shown: Callable[[float], str]) -> str:
        """The study's lines."""
        value, reason = ("数値", "理由") if self.language == "ja" else ("value", "reason")
        colon = self.pick(": ", "：", ":")
        gap = self.pick("\n\n", "\n")
        return gap.join(
            f"Q{n}. {self.label(q)}({value}){colon}{shown(self.scores[q.name])}\nQ{n}. "
            f"{self.label(q)}({reason}){colon}{self.reason()}"
            for n, q in enumerate(self.questions, 1)
        )

    def lines(self, shown: Callable[[float], str]) -> str:
        """A label and a number a line, perhaps with the reason behind."""
        colon, lead = self.pick(": ", "：", " = ", " → "), self.pick("", "- ", "・", "* ", "1. ")
        behind = self.pick("", "", "（{}）" if self.language == "ja" else " ({})", "\n{}")
        return "\n".join(
            lead.replace("1", str(n))
            + self.label(q)
            + colon
            + shown(self.scores[q.name])
            + behind.format(self.reason())
            for n, q in enumerate(self.questions, 1)
        )

    def line(self, shown: Callable[[float], str]) -> str:
        """All answers on one line."""
        colon, gap = self.chance.choice(
            (("=", " "), (": ", ", "), ("：", "、"), (":", " "), (": ", " / "), (": ", "; "), ("：", "　"))
        )
        return gap.join(f"{self.label(q)}{colon}{shown(self.scores[q.name])}" for q in self.questions)

    def json(self, shown: Callable[[float], str]) -> str:
        """JSON as asked for."""
        return json.dumps(
            {q.name: {"score": self.value(shown, q), "reason": self.reason()} for q in self.questions},
            ensure_ascii=False,
        )

    def flat(self, shown: Callable[[float], str]) -> str:
        """A number a key."""
        return json.dumps({q.name: self.value(shown, q) for q in self.questions}, indent=self.chance.choice((None, 2)))

    def fenced(self, shown: Callable[[float], str]) -> str:
        """JSON in a fence."""
        return f"```json\n{self.json(shown)}\n```"

    def listed(self, shown: Callable[[float], str]) -> str:
        """A list of named answers."""
        return json.dumps(
            [{"question": q.name, "score": self.value(shown, q), "reason": self.reason()} for q in self.questions],
            ensure_ascii=False,
        )

    def value(self, shown: Callable[[float], str], question: Question) -> object:
        """A score as JSON holds it: a number, or a string where it is written otherwise."""
        score = self.scores[question.name]
        words = shown(score)
        return (int(score) if score.is_integer() else score) if words == self.shown(score) else words

    def table(self, shown: Callable[[float], str]) -> str:
        """A Markdown table."""
        head = "| 項目 | 数値 | 理由 |" if self.language == "ja" else "| Item | Score | Reason |"
        rows = [f"| {self.label(q)} | {shown(self.scores[q.name])} | {self.reason()} |" for q in self.questions]
        return "\n".join([head, "|---|---|---|", *rows])

    def headings(self, shown: Callable[[float], str]) -> str:
        """A heading a question, its parts below."""
        value, reason = ("点数", "理由") if self.language == "ja" else ("Score", "Reason")
        return "\n\n".join(
            f"### Q{n}. {self.label(q)}\n- {value}: {shown(self.scores[q.name])}\n- {reason}: {self.reason()}"
            for n, q in enumerate(self.questions, 1)
        )


# ---- plain kinds: every score has to be read -------------------------------------------------------------------------


def _as_formatted(m: Maker) -> Mutation:
    text = m.formatted()
    if m.chance.random() < 0.5 and not text.startswith(("{", "[")):
        text = f"{m.chance.choice(PREFACES[m.language])}\n\n{text}"
    return m.mutation("formatted", text, plain=True)


def _end_token(m: Maker) -> Mutation:
    return m.mutation(
        "end token", m.formatted() + m.chance.choice(ENDS), plain=True, finish=m.chance.choice(("stop", None))
    )


def _end_token_at_number(m: Maker) -> Mutation:
    text = m.formatted(among=("lines", "line"))
    return m.mutation("end token behind a number", text + m.chance.choice(ENDS), plain=True)


def _study_on_one_line(m: Maker) -> Mutation:
    gap = m.pick(" ", "  ", "　", "" if m.language == "ja" else " ")
    return m.mutation(
        "study's lines on one line", m.study(m.shown).replace("\n\n", "\n").replace("\n", gap), plain=True
    )


def _numbers_on_one_line(m: Maker) -> Mutation:
    value = "数値" if m.language == "ja" else "value"
    gap = m.pick(" ", "", ", ", "/ ")
    text = gap.join(f"Q{n}. {m.label(q)}({value}): {m.shown(m.scores[q.name])}" for n, q in enumerate(m.questions, 1))
    return m.mutation("values on one line", text, plain=True)


def _parted_by_nothing(m: Maker) -> Mutation:
    unit = m.pick("", "点") if m.language == "ja" else ""
    text = "".join(
        f"{m.label(q)}{m.chance.choice((':', '：', '=', ': '))}{m.shown(m.scores[q.name])}{unit}" for q in m.questions
    )
    return m.mutation("parted by nothing", text, plain=True)


def _in_brackets(m: Maker) -> Mutation:
    gap = m.pick(", ", " ", "; ", "\n")
    text = gap.join(f"{m.label(q)} ({m.shown(m.scores[q.name])})" for q in m.questions)
    return m.mutation("numbers in brackets", text, plain=True)


def _unit(m: Maker) -> Mutation:
    unit = m.pick(
        "点",
        "分",
        "점",
        " points",
        "/100",
        " / 100",
        "%",
        " out of 100",
        "点です",
        "/100点",
        "pt",
        " pts",
        "点（100点満点）",
        " (0-100)",
        "点/100点",
    )
    return m.mutation("unit", m.formatted(lambda value: f"{m.shown(value)}{unit}"), plain=True)


def _own_scale(m: Maker) -> Mutation:
    lead = m.pick(
        "0〜100で", "100点満点で", "100点中", "0-100: ", "100点満点中、", "0から100のうち", "on a scale of 0 to 100: "
    )
    return m.mutation("the own scale first", m.formatted(lambda value: f"{lead}{m.shown(value)}"), plain=True)


def _own_scale_in_label(m: Maker) -> Mutation:
    note = m.pick("（0〜100）", " (0-100)", "（100点満点）", " [0-100]", " (out of 100)", "(/100)")
    text = "\n".join(f"{m.label(q)}{note}: {m.shown(m.scores[q.name])}" for q in m.questions)
    return m.mutation("the own scale in the label", text, plain=True)


def _own_scale_above(m: Maker) -> Mutation:
    said = m.pick(
        "0〜100の数値で評価します。",
        "100点満点で評価します。",
        "On a scale of 0 to 100:",
        "All scores are out of 100.",
        "（各100点満点）",
    )
    return m.mutation("the own scale above", f"{said}\n{m.formatted()}", plain=True)


def _remark(m: Maker) -> Mutation:
    remark = m.pick(
        "（第2段落が印象的）",
        " (the 2nd paragraph)",
        "（3人の会話が良い）",
        " (warm)",
        "（心温まる）",
        " (chapter 3 is strong)",
        "（1923年の話）",
        "（２回泣いた）",
    )
    return m.mutation(
        "remark",
        m.formatted(
            lambda value: f"{m.shown(value)}{remark}", among=("study", "lines", "json", "flat", "headings", "list")
        ),
        plain=True,
    )


def _again(m: Maker) -> Mutation:
    def shown(value: float) -> str:
        return f"{m.shown(value)} ({m.shown(value)}{again})"

    again = m.pick("点", "")
    return m.mutation("the number again", m.formatted(shown, among=("study", "lines", "json", "headings")), plain=True)


def kanji(value: float) -> str:
    """A whole number from 0 to 100 in Japanese numerals."""
    tens, ones = divmod(int(value), 10)
    if value == 100:
        return "百"
    if not tens:
        return KANJI[ones]
    return f"{KANJI[tens] if tens > 1 else ''}十{KANJI[ones] if ones else ''}"


def _kanji(m: Maker) -> Mutation:
    m.scores = {name: float(max(11, int(score))) for name, score in m.scores.items()}
    unit = m.pick("", "点")
    return m.mutation(
        "kanji", m.formatted(lambda value: kanji(value) + unit, among=("study", "lines", "json", "flat")), plain=True
    )


def _tagged(m: Maker) -> Mutation:
    tag = m.pick("b", "strong", "i", "u")
    return m.mutation(
        "tags around",
        m.formatted(lambda value: f"<{tag}>{m.shown(value)}</{tag}>", among=("study", "lines", "json", "table")),
        plain=True,
    )


def _emphasised(m: Maker) -> Mutation:
    mark = m.pick("**{}**", "`{}`", "[{}]", "「{}」", "__{}__", '"{}"', "({})", "<{}>", "【{}】")
    return m.mutation(
        "emphasis",
        m.formatted(lambda value: mark.format(m.shown(value)), among=("study", "lines", "table", "headings")),
        plain=True,
    )


def _digits(m: Maker) -> Mutation:
    zero = m.chance.choice((0x660, 0x6F0, 0x966, 0xE50, 0xFF10, 0x1D7CE))

    def shown(value: float) -> str:
        return "".join(chr(zero + int(c)) if c.isdigit() else c for c in m.shown(value))

    return m.mutation("digits of another script", m.formatted(shown), plain=True)


def _invisible(m: Maker) -> Mutation:
    before, behind = (
        m.pick("\u200b", "\u200e", "\u200f", "\ufeff", "\u2060", "\u00ad", "\u2066", "\u00a0") for _ in "ab"
    )
    return m.mutation("invisible marks", m.formatted(lambda value: f"{before}{m.shown(value)}{behind}"), plain=True)


def _full_width(m: Maker) -> Mutation:
    text = m.formatted(among=("study", "lines", "line", "table"))
    return m.mutation(
        "full-width",
        text.translate({code: code + 0xFEE0 for code in range(0x21, 0x7F) if chr(code) not in "\"'"}),
        plain=True,
    )


def _json_in_string(m: Maker) -> Mutation:
    inner = {
        q.name: json.dumps({"score": m.value(m.shown, q), "reason": m.reason()}, ensure_ascii=m.chance.random() < 0.5)
        for q in m.questions
    }
    return m.mutation("JSON in a string", json.dumps(inner, ensure_ascii=False), plain=True)


def _wrapped(m: Maker) -> Mutation:
    key = m.pick(
        "answer",
        "result",
        "response",
        "ratings",
        "scores",
        "evaluation",
        "emotion_scores",
        "data",
        "final_answer",
        "emotionalResponse",
        "回答",
    )
    return m.mutation(
        "wrapped",
        json.dumps({key: json.loads(m.pick(m.json(m.shown), m.flat(m.shown)))}, ensure_ascii=False),
        plain=True,
    )


def _grouped(m: Maker) -> Mutation:
    scores = {q.name: m.value(m.shown, q) for q in m.questions}
    return m.mutation(
        "grouped",
        json.dumps({"scores": scores, "reasons": {q.name: m.reason() for q in m.questions}}, ensure_ascii=False),
        plain=True,
    )


def _alias(m: Maker) -> Mutation:
    names = {q.name: m.chance.choice(ALIASES[q.name]) for q in m.questions}
    if m.chance.random() < 0.5:
        text = json.dumps({names[q.name].lower(): m.value(m.shown, q) for q in m.questions}, ensure_ascii=False)
    else:
        text = "\n".join(f"{names[q.name]}: {m.shown(m.scores[q.name])}" for q in m.questions)
    return m.mutation("another word for it", text, plain=True)


def _sentence(m: Maker) -> Mutation:
    if m.language == "ja":
        text = "、".join(f"{q.label}は{m.shown(m.scores[q.name])}点" for q in m.questions) + "です。"
    else:
        text = ". ".join(f"{ENGLISH[q.name]}: {m.shown(m.scores[q.name])} points" for q in m.questions) + "."
    return m.mutation("a sentence", text, plain=True)


def _across(m: Maker) -> Mutation:
    head = [m.label(q) for q in m.questions]
    row = [m.shown(m.scores[q.name]) for q in m.questions]
    if m.chance.random() < 0.5:
        head, row = ["", *head], [m.pick("数値", "Score", "点数"), *row]
    text = f"| {' | '.join(head)} |\n|{'---|' * len(head)}\n| {' | '.join(row)} |"
    return m.mutation("a table across", text, plain=True)


def _columns(m: Maker) -> Mutation:
    side = m.pick("確信度", "Confidence", "重み", "Weight", "順位")
    rows = [f"| {m.label(q)} | {m.shown(m.scores[q.name])} | {m.other(m.scores[q.name]):g} |" for q in m.questions]
    return m.mutation(
        "a column beside the score",
        "\n".join([f"| 項目 | {m.pick('数値', 'Score', '点数')} | {side} |", "|---|---|---|", *rows]),
        plain=True,
    )


def _html_table(m: Maker) -> Mutation:
    rows = "".join(f"<tr><td>{m.label(q)}</td><td>{m.shown(m.scores[q.name])}</td></tr>" for q in m.questions)
    return m.mutation("an HTML table", f"<table>{rows}</table>", plain=True)


def _as_tags(m: Maker) -> Mutation:
    text = "\n".join(f"<{q.name}>{m.shown(m.scores[q.name])}</{q.name}>" for q in m.questions)
    return m.mutation("answers in tags", m.pick(text, f"<answer>\n{text}\n</answer>"), plain=True)


MARKS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("START_THINKING", "END_THINKING"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("begin_of_thought\n", "\nend_of_thought"),
    ("<seed:think>", "</seed:think>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<thinking>", "</thinking>"),
    ("<思考>", "</思考>"),
    ("【思考】", "【/思考】"),
    ("<reflection>", "</reflection>"),
    ("analysis", "assistantfinal"),
    ("Thinking:\n", "\nAnswer:\n"),
    ("思考：\n", "\n回答：\n"),
    ("## 下書き\n", "\n## 最終回答\n"),
    ("<draft>", "</draft>"),
    ("<inner_monologue>", "</inner_monologue>"),
    ("<mulling>", "</mulling>"),
    ("[REASONING]", "[/REASONING]"),
    ("＜think＞", "＜/think＞"),
    ("<|thinking|>", "<|/thinking|>"),
    ("**Draft**\n", "\n**Final answer**\n"),
    ("```thinking\n", "\n```\n"),
    ("【思考過程】\n", "\n【回答】\n"),
    ("<cot>", "</cot>"),
    ("<Analysis>", "</Analysis>"),
)


def _draft(m: Maker, among: Sequence[str] = ()) -> str:
    """Other scores for the same questions, written as an answer would be."""
    drafted = Maker(m.chance, m.language, m.questions, {name: m.other(score) for name, score in m.scores.items()})
    before, behind = m.pick("まず考える。", "Let me see.", "Hmm, "), m.pick("いや、もう一度。", "But wait.")
    return f"{before}\n{drafted.formatted(among=among)}\n{behind}"


def _draft_and_answer(m: Maker) -> Mutation:
    opened, closed = m.chance.choice(MARKS)
    among = ("lines", "study", "flat") if opened.startswith("`") else ()
    return m.mutation(
        f"a draft in {opened.strip()}", f"{opened}{_draft(m, among)}{closed}\n{m.formatted()}", plain=True
    )


# ---- kinds with a distraction: the truth or nothing ------------------------------------------------------------------


def _draft_alone(m: Maker) -> Mutation:
    opened, closed = m.chance.choice([pair for pair in MARKS if pair[0] != "<mulling>"])
    ended = m.chance.random() < 0.3
    return m.mutation(
        f"only a draft in {opened.strip()}",
        opened + _draft(m) + (closed if ended else ""),
        allowed="nothing",
        finish=m.chance.choice(("stop", "length", None)),
    )


def _low(m: Maker, top: int) -> None:
    m.scores = {name: float(m.chance.randint(1, top)) for name in m.scores}


def _other_scale_in_label(m: Maker) -> Mutation:
    top = m.chance.choice((5, 7, 10, 20, 50))
    _low(m, top)
    note = m.pick(
        "（{}点満点）",
        " (0-{})",
        "（0〜{}）",
        "({}段階)",
        " (out of {})",
        " (/{})",
        " [1-{}]",
        "（0から{}）",
        " (scale of 1 to {})",
        "（満点：{}）",
        " (max {})",
        "({}-point scale)",
        "（1～{}）",
    ).format(top)
    if m.chance.random() < 0.4:
        text = json.dumps(
            {f"{m.chance.choice((q.name, m.label(q)))}{note}": m.value(m.shown, q) for q in m.questions},
            ensure_ascii=False,
        )
    else:
        part = m.pick("", "(数値)", "(value)")
        text = m.pick("\n", ", ", "、").join(
            f"{m.label(q)}{part}{note}: {m.shown(m.scores[q.name])}" for q in m.questions
        )
    return m.mutation("another scale in the label", text, allowed="nothing")


def _other_scale_at_value(m: Maker) -> Mutation:
    top = m.chance.choice((5, 7, 10, 20, 50))
    _low(m, top)
    way = m.pick(
        "{1}/{0}",
        "{1} out of {0}",
        "{0}点中{1}",
        "{0}点満点で{1}",
        "{0}段階で{1}",
        "{1}（{0}点満点）",
        "{1} (0-{0})",
        "{1} of {0}",
        "0〜{0}で{1}",
        "{1} / {0}",
        "{1}点/{0}点",
        "{1} (out of {0})",
        "{1} on a scale of 1 to {0}",
        "{1} (1-{0} scale)",
        "{0}段階中{1}",
        "{1}／{0}",
        "{1} stars",
        "{1}点（{0}段階）",
    )
    return m.mutation(
        "another scale at the value", m.formatted(lambda value: way.format(top, m.shown(value))), allowed="nothing"
    )


def _other_scale_above(m: Maker) -> Mutation:
    top = m.chance.choice((5, 7, 10))
    _low(m, top)
    said = m.pick(
        "{}段階で評価します。",
        "{}点満点で採点しました。",
        "On a scale of 1 to {}:",
        "(scale: 0-{})",
        "All scores are out of {}.",
        "0〜{}で答えます。",
        "I use a {}-point scale.",
        "評価（0〜{}）",
        "Ratings (1-{}):",
        "スケール: 1-{}",
        "以下は{}件法による回答です。",
    ).format(top)
    text = m.formatted(among=("study", "lines", "json", "flat", "table", "line", "fenced"))
    return m.mutation(
        "another scale above or below",
        m.pick(
            f"{said}\n{text}",
            f"{said}\n\n{text}",
            f"{text}\n\n※{said}",
            f"{text}\n\n{said}" if text[0] in "{`|" else f"{said}\n{text}",
        ),
        allowed="nothing",
    )


def _other_scale_in_json(m: Maker) -> Mutation:
    top = m.chance.choice((5, 7, 10))
    _low(m, top)
    key = m.pick("max", "max_score", "out_of", "scale", "maximum", "range", "満点", "最大", "scoreMax", "rating_scale")
    value = m.chance.choice((top, str(top), f"0-{top}", [0, top])) if key in ("scale", "range", "rating_scale") else top
    answers = {q.name: {"score": m.value(m.shown, q), key: value} for q in m.questions}
    flat = {q.name: m.value(m.shown, q) for q in m.questions}
    shapes = [
        answers,
        {key: value, **flat},
        {key: value, "scores": flat},
        {f"scores (0-{top})": flat},
        {q.name: {f"score (0-{top})": m.value(m.shown, q)} for q in m.questions},
        {q.name: {f"score_out_of_{top}": m.value(m.shown, q)} for q in m.questions},
        [{"question": q.name, "score": m.value(m.shown, q), key: value} for q in m.questions],
    ]
    return m.mutation(
        "another scale in JSON", json.dumps(m.chance.choice(shapes), ensure_ascii=False), allowed="nothing"
    )


def _other_scale_in_reason(m: Maker) -> Mutation:
    """The reason says of how many the score is."""
    top = m.chance.choice((5, 7, 10))
    _low(m, top)
    said = {
        q.name: m.pick(
            "{1}点満点で{0}点。", "{0} out of {1}, since it is calm.", "{0}/{1}: calm", "{1}段階で{0}。"
        ).format(m.shown(m.scores[q.name]), top)
        for q in m.questions
    }
    text = m.chance.choice(
        (
            json.dumps(
                {q.name: {"score": m.value(m.shown, q), "reason": said[q.name]} for q in m.questions},
                ensure_ascii=False,
            ),
            "\n".join(
                f"Q{n}. {m.label(q)}(数値): {m.shown(m.scores[q.name])}\nQ{n}. {m.label(q)}(理由): {said[q.name]}"
                for n, q in enumerate(m.questions, 1)
            ),
        )
    )
    return m.mutation("another scale in the reason", text, allowed="nothing")


def _other_scale_in_table(m: Maker) -> Mutation:
    top = m.chance.choice((5, 7, 10))
    _low(m, top)
    head = m.pick(
        "Score (0-{})",
        "点数（{}点満点）",
        "Rating (1-{})",
        "数値 /{}",
        "Score (out of {})",
        "{}段階評価",
        "Score (max {})",
    ).format(top)
    rows = [f"| {m.label(q)} | {m.shown(m.scores[q.name])} | {m.reason()} |" for q in m.questions]
    if m.chance.random() < 0.2:
        rows = [f"| {m.label(q)} | {m.shown(m.scores[q.name])} | {m.reason()} |" for q in m.questions]
        rows.insert(m.chance.randrange(len(rows) + 1), f"| {m.pick('満点', 'Max', 'Maximum', '最大値')} | {top} | |")
        return m.mutation(
            "the highest score in a row",
            "\n".join(["| 項目 | 数値 | 理由 |", "|---|---|---|", *rows]),
            allowed="nothing",
        )
    if m.chance.random() < 0.3:
        rows = [f"| {m.label(q)} | {m.shown(m.scores[q.name])} | {top} |" for q in m.questions]
        return m.mutation(
            "the highest score in a column",
            "\n".join([f"| 項目 | 数値 | {m.pick('満点', 'Max', 'Out of', '最大')} |", "|---|---|---|", *rows]),
            allowed="nothing",
        )
    return m.mutation(
        "another scale in a heading",
        "\n".join([f"| 項目 | {head} | 理由 |", "|---|---|---|", *rows]),
        allowed="nothing",
    )


def _readers(m: Maker) -> Mutation:
    """Several readers: no column, line or object is the reply's own."""
    names = m.chance.choice(
        (("A", "B"), ("Reader 1", "Reader 2"), ("評価者1", "評価者2"), ("学生", "詩人"), ("Poet", "Robot", "Student"))
    )
    given = {q.name: [float(m.other(m.scores[q.name])) for _ in names] for q in m.questions}
    shape = m.chance.randrange(6)
    if shape == 0:
        rows = [f"| {m.label(q)} | {' | '.join(f'{v:g}' for v in given[q.name])} |" for q in m.questions]
        text = "\n".join([f"| 項目 | {' | '.join(names)} |", f"|---|{'---|' * len(names)}", *rows])
    elif shape == 1:
        rows = [f"| {m.label(q)} | {' | '.join(f'{v:g}' for v in given[q.name])} |" for q in m.questions]
        text = "\n".join(rows)
    elif shape == 2:
        text = json.dumps(
            {name: {q.name: int(given[q.name][at]) for q in m.questions} for at, name in enumerate(names)},
            ensure_ascii=False,
        )
    elif shape == 3:
        text = json.dumps(
            {q.name: {name: int(given[q.name][at]) for at, name in enumerate(names)} for q in m.questions},
            ensure_ascii=False,
        )
    elif shape == 4:
        text = "\n".join(
            f"{m.label(q)}: "
            f"{m.pick(', ', ' / ').join(f'{name} {given[q.name][at]:g}' for at, name in enumerate(names))}"
            for q in m.questions
        )
    else:
        head = [m.label(q) for q in m.questions]
        rows = [
            f"| {name} | {' | '.join(f'{given[q.name][at]:g}' for q in m.questions)} |" for at, name in enumerate(names)
        ]
        text = "\n".join([f"| | {' | '.join(head)} |", f"|---|{'---|' * len(head)}", *rows])
        if any(len(set(values)) == 1 for values in given.values()):
            return _readers(m)
    return m.mutation("several readers", text, allowed="nothing")


def _quantity(m: Maker) -> Mutation:
    key = m.pick(
        "probability",
        "confidence",
        "weight",
        "確率",
        "重み",
        "確信度",
        "percentile",
        "rank",
        "importance",
        "平均",
        "average",
        "certainty",
    )
    flat = {q.name: m.value(m.shown, q) for q in m.questions}
    rows = [f"| {m.label(q)} | {m.shown(m.scores[q.name])} |" for q in m.questions]
    lines = "\n".join(f"{m.label(q)}: {m.shown(m.scores[q.name])}" for q in m.questions)
    shapes = [
        json.dumps({key: flat}, ensure_ascii=False),
        "\n".join([f"| 項目 | {key} |", "|---|---|", *rows]),
        f"{key}:\n{lines}",
        f"## {key}\n{lines}",
        "\n".join(f"{m.label(q)} {key}: {m.shown(m.scores[q.name])}" for q in m.questions),
        "\n".join(f"{key} ({m.label(q)}): {m.shown(m.scores[q.name])}" for q in m.questions),
        json.dumps({q.name: {key: m.value(m.shown, q)} for q in m.questions}, ensure_ascii=False),
        f"{key}:\n{json.dumps(flat)}",
        json.dumps({"type": key, **flat}, ensure_ascii=False),
    ]
    return m.mutation("another quantity", m.chance.choice(shapes), allowed="nothing")


def _bound(m: Maker) -> Mutation:
    way = m.pick(
        ">{}",
        "<{}",
        "≥{}",
        "≤{}",
        "＞{}",
        "＜{}",
        "≧{}",
        "over {}",
        "under {}",
        "at least {}",
        "{}+",
        "{}以上",
        "{}未満",
        "{} or more",
        "more than {}",
        "最低{}",
        "{}点以上",
        "〜{}",
        "～{}",
        "> {}",
        "up to {}",
        "{} or higher",
        "{}超",
        "=>{}",
        "{} and above",
        "less than {}",
        "{}↑",
        "{}点以下",
        "{}〜",
        "max {}",
        "{}（以上）",
        "{} (at least)",
        "{}より上",
        "above {}",
        ">={}",
        "&gt;{}",
    )
    return m.mutation(f"bound {way}", m.formatted(lambda value: way.format(m.shown(value))), allowed="nothing")


def _span(m: Maker) -> Mutation:
    """Two numbers in the place of one."""
    way = m.pick(
        "{}-{}",
        "{}〜{}",
        "{}～{}",
        "{} or {}",
        "{}か{}",
        "{} to {}",
        "{}, {}",
        "{}、{}",
        "{} {}",
        "{}\n{}",
        "{}/{}",
        "{} → {}",
        "{}→{}",
        "{}; {}",
        "{} and {}",
        "{}と{}",
        "{}、いや{}",
        "{}... no, {}",
        "{}. Actually {}",
        "{} ({})",
        "{}（前は{}）",
        "{}（{}かもしれない）",
        "~~{}~~ {}",
        "{} vs {}",
        "{}±{}",
        "{}–{}",
        "{}から{}",
        "{}ないし{}",
        "{}|{}",
    )
    text = m.formatted(
        lambda value: way.format(m.shown(value), f"{m.other(value):g}"),
        among=("study", "lines", "json", "flat", "headings", "table"),
    )
    both = {
        name: frozenset((score,)) if way in ("{} ({})", "{}（前は{}）", "{}（{}かもしれない）") else frozenset()
        for name, score in m.scores.items()
    }
    base = m.mutation(f"two numbers {way!r}", text)
    return Mutation(base.kind, text, base.questions, both, fmt=base.fmt)


def _split_number(m: Maker) -> Mutation:
    """A number that a break or a mark stands in: it is not its first digits."""
    m.scores = {name: float(m.chance.randint(11, 99)) for name in m.scores}
    gap = m.pick("\n", " ", ",", "_", "'", "．\n", "·", "-", " . ", "<br>", "\t", "/")
    text = m.formatted(
        lambda value: f"{value:g}"[0] + gap + f"{value:g}"[1], among=("study", "lines", "flat", "json", "headings")
    )
    return m.mutation(f"a number split by {gap!r}", text)


def _refusal(m: Maker) -> Mutation:
    said = m.pick(
        "申し訳ありませんが、このテキストを評価することはできません。",
        "I'm sorry, but I can't rate this text.",
        "I cannot provide emotional ratings.",
        "回答は差し控えさせていただきます。",
        "お答えできません。",
        "I must decline to evaluate this.",
        "評価はいたしかねます。",
        "I am unable to assist with this request.",
    )
    m.scores = dict.fromkeys(m.scores, 0.0)
    text = m.formatted()
    way = m.pick("{0}\n\n{1}", "{1}\n\n{0}" if text[0] in "{[`" else "{0}\n{1}", "{0}\n{1}")
    return m.mutation("zeros after a refusal", way.format(said, text), allowed="nothing")


def _cut(m: Maker) -> Mutation:
    """A reply cut off anywhere: no number may lack its last digits."""
    text = m.formatted()
    at = m.chance.randint(1, len(text) - 1)
    return m.mutation("cut off", text[:at], finish=m.chance.choice(("length", None)))


def _cut_in_number(m: Maker) -> Mutation:
    """Cut off within or directly behind the last number, and nobody says so."""
    m.scores = {name: float(m.chance.randint(10, 99)) for name in m.scores}
    text = m.formatted(among=("lines", "line", "study"))
    last = f"{m.scores[m.questions[-1].name]:g}"
    at = text.rindex(last) + m.chance.randint(1, len(last))
    return m.mutation("cut off in a number", text[:at], finish=m.chance.choice(("length", None)))


def _corrected(m: Maker) -> Mutation:
    drafted = Maker(m.chance, m.language, m.questions, {name: m.other(score) for name, score in m.scores.items()})
    among = ("lines", "study", "json", "flat", "table")
    way = m.pick(
        "{0}\n\n訂正:\n{1}",
        "{0}\n\nOn second thought:\n{1}",
        "{0}\n\n{1}",
        "First guess:\n{0}\n\nFinal:\n{1}",
        "例:\n{0}\n\n{1}",
        "Reader B:\n{0}\n\n{1}",
    )
    return m.mutation("two answers", way.format(drafted.formatted(among=among), m.formatted(among=among)))


def _aside(m: Maker) -> Mutation:
    head = m.pick(
        "例:",
        "Example:",
        "回答例:",
        "Draft:",
        "下書き:",
        "Average reader:",
        "前回の評価:",
        "Previous answer:",
        "Reader B:",
        "評価者A:",
        "For example:",
        "平均:",
        "Sample output:",
        "予想:",
    )
    return m.mutation(f"under {head}", f"{head}\n{m.formatted()}", allowed="nothing")


def _not_asked(m: Maker) -> Mutation:
    names = m.pick("joy,喜び", "fear,恐怖", "disgust,嫌悪").split(",")
    text = m.chance.choice(
        (
            "\n".join(f"{names[m.language == 'ja']}: {m.shown(score)}" for score in m.scores.values()),
            json.dumps({names[0]: 75}),
            f"{names[1]}は75点です。",
            "In 1923 there were 75 of them.",
            "75 people read it",
            json.dumps({"joy": {"score": 75}}),
            "面白さについて3つの理由があります。",
            "interesting things: 3 of them",
            "面白さ: 3つの理由があります。",
            "Q5: 75",
            "面白さは十分です。",
            "面白さ: 十分",
        )
    )
    return m.mutation("not asked", text, allowed="nothing")


def _fuzzy(m: Maker) -> Mutation:
    """Words or signs at the number that take its meaning away."""
    way = m.pick(
        "{}?",
        "{}人",
        "{}位",
        "第{}位",
        "▲{}",
        "△{}",
        "±{}",
        "{}台",
        "{}割",
        "not {}",
        "{}ではない",
        "No. {}",
        "{}番目",
        "x{}",
        "7⁵",
        "⑦",
        "high",
        "高い",
        "N/A",
        "-",
        "null",
        "ⅣⅤ",
        "{}弱",
        "{}強",
        "-{}",
        "{}e5",
        "seventy",
        "{}〇",
        "#{}",
        "{}回",
        "{}x",
        "{}kg",
        "$7<sup>5</sup>",
        "{}%〜",
    )
    m.scores = {name: max(score, 2.0) for name, score in m.scores.items()}
    return m.mutation(
        f"fuzzy {way}",
        m.formatted(lambda value: way.format(m.shown(value)), among=("study", "lines", "json", "table", "headings")),
        allowed="nothing",
    )


_KINDS: Mapping[str, Callable[[Maker], Mutation]] = {
    function.__name__: function
    for function in (
        _as_formatted,
        _end_token,
        _end_token_at_number,
        _study_on_one_line,
        _numbers_on_one_line,
        _parted_by_nothing,
        _in_brackets,
        _unit,
        _own_scale,
        _own_scale_in_label,
        _own_scale_above,
        _remark,
        _again,
        _kanji,
        _tagged,
        _emphasised,
        _digits,
        _invisible,
        _full_width,
        _json_in_string,
        _wrapped,
        _grouped,
        _alias,
        _sentence,
        _across,
        _columns,
        _html_table,
        _as_tags,
        _draft_and_answer,
        _draft_and_answer,
        _draft_alone,
        _draft_alone,
        _other_scale_in_label,
        _other_scale_at_value,
        _other_scale_above,
        _other_scale_in_json,
        _other_scale_in_reason,
        _other_scale_in_table,
        _readers,
        _readers,
        _quantity,
        _quantity,
        _bound,
        _bound,
        _span,
        _span,
        _split_number,
        _refusal,
        _cut,
        _cut,
        _cut_in_number,
        _corrected,
        _aside,
        _not_asked,
        _fuzzy,
    )
}
