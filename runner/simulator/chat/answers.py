"""A deterministic, plausible answer to any prompt, in the form that the prompt asks for.

A score is a function of model, persona, question and text plus a little noise of the n-th asking, so that personas and
models differ as in a real study and repetitions scatter.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

from runner.simulator.chat import told
from runner.simulator.plan import stricken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Json
    from runner.simulator.chat.told import FormLine, WantedAnswer
    from runner.simulator.plan import FaultPlan

Finish = Literal["stop", "length", "refused"]

_FLAWS = ("refused", "truncated", "malformed", "fenced", "prefixed")
_KANA = re.compile(r"[぀-ヿ]")
_WIDE = re.compile(r"[⺀-鿿가-힯＀-￯]")
_KEYS = re.compile(r"(?:keys?|キー(?:は|を)?)\s*((?:[\"'`]\w+[\"'`](?:\s*(?:,|、|and|と)\s*)?)+)")
_QUOTED = re.compile(r"[\"'`](\w+)[\"'`]")
_PARTS = frozenset({"score", "answer", "reason", "value", "number", "scores", "reasons"})
PERCENT = (0.0, 100.0)
"""The range of a number of which nothing else is told."""
_SENTENCES = {
    "en": (
        "The quiet of the scene stays with me.",
        "Its ending turns what came before.",
        "A small gesture carries the whole story.",
        "I found little in it that moves me.",
        "The images are plain, and they work.",
        "It leaves more open than it says.",
    ),
    "ja": (
        "静かな場面が心に残ったから。",
        "結末がそれまでの印象を変えるから。",
        "小さな仕草が物語を支えているから。",
        "心を動かす場面が少なかったから。",
        "描写が素直で伝わりやすいから。",
        "語られない部分に想像が広がるから。",
    ),
}
_REFUSALS = {"en": "I'm sorry, but I can't help with rating this text.", "ja": "申し訳ありませんが、お答えできません。"}
_PREFACES = {"en": "Here is my answer:\n\n", "ja": "以下が私の回答です。\n\n"}


@dataclass(frozen=True, slots=True)
class Ask:
    """What a model is asked, whatever the API."""

    model: str
    system: str
    user: str
    schema: Mapping[str, Any] | None = None
    """JSON schema of the reply or of the forced tool's arguments."""
    tool: str | None = None
    """Name of the forced tool, whose arguments are the reply."""
    limit: int | None = None
    """Most tokens of the reply."""
    reasons: bool = False
    """The model thinks before it writes, and thoughts count as output."""

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes two askings the same question to the same model."""
        return self.model, self.system, self.user


@dataclass(frozen=True, slots=True)
class Said:
    """A reply before it is put into an API's form."""

    text: str
    finish: Finish
    input_tokens: int
    output_tokens: int
    """Thoughts included."""
    reasoning_tokens: int


def say(ask: Ask, plan: FaultPlan, nth: int, number: int) -> Said:
    """The reply to the n-th asking. `number` counts all replies: by it the plan's faults strike."""
    language = "ja" if _japanese(ask.user) else "en"
    text = _well_formed(ask, _Dice(plan.seed, ask, nth, language))
    text, finish = _flawed(text, ask, plan, number, language)
    thoughts = 48 + len(ask.user) % 160 if ask.reasons else 0
    tokens = tokens_of(text)
    if ask.limit is not None and thoughts + tokens > ask.limit:
        thoughts = min(thoughts, ask.limit)
        room = ask.limit - thoughts
        text, tokens, finish = text[: len(text) * room // max(1, tokens)], room, "length"
    return Said(text, finish, _prompt_tokens(ask.system) + _prompt_tokens(ask.user) + 8, tokens + thoughts, thoughts)


def tokens_of(text: str) -> int:
    """A rough count: one for each wide character, one for each four others."""
    wide = 0 if text.isascii() else len(_WIDE.findall(text)) + len(_KANA.findall(text))
    return wide + (len(text) - wide + 3) // 4


@lru_cache(4096)
def _prompt_tokens(text: str) -> int:
    return tokens_of(text)


def _flawed(text: str, ask: Ask, plan: FaultPlan, number: int, language: str) -> tuple[str, Finish]:
    fault = stricken(plan, number, _FLAWS)
    match fault:
        case "refused":
            return _REFUSALS[language], "refused"
        case "truncated":
            return text[: len(text) * 2 // 3], "length"
        case "malformed":
            return (_SENTENCES[language][number % 6] if ask.tool is None else "{"), "stop"
        case "fenced" if ask.tool is None:
            return f"```{'json' if text.startswith('{') else ''}\n{text}\n```", "stop"
        case "prefixed" if ask.tool is None:
            return _PREFACES[language] + text, "stop"
        case _:
            return text, "stop"


# ---- the answer itself ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Dice:
    """Numbers between 0 and 1 that only depend on what they are drawn for."""

    seed: int
    ask: Ask
    nth: int
    language: str

    def score(self, question: str, low: float, high: float) -> float:
        ask = self.ask
        place = (
            0.5
            + 0.55 * (_draw(self.seed, ask.user, question) - 0.5)
            + 0.35 * (_draw(self.seed, ask.system, question) - 0.5)
            + 0.2 * (_draw(self.seed, ask.model, question) - 0.5)
            + 0.16 * (_noise(self.seed, ask.identity, question, self.nth) - 0.5)
        )
        return low + (high - low) * min(1.0, max(0.0, place))

    def sentence(self, question: str) -> str:
        sentences = _SENTENCES[self.language]
        return sentences[int(_noise(self.seed, self.ask.identity, question, self.nth) * 997) % len(sentences)]


@lru_cache(16384)
def _draw(seed: int, *parts: str) -> float:
    return _fraction(repr((seed, parts)))


def _noise(seed: int, identity: tuple[str, str, str], question: str, nth: int) -> float:
    return _fraction(f"{_draw(seed, *identity)} {question} {nth}")


def _fraction(text: str) -> float:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).digest()) / 2**48


@lru_cache(4096)
def _japanese(text: str) -> bool:
    return _KANA.search(text) is not None


def _well_formed(ask: Ask, dice: _Dice) -> str:
    if ask.schema is not None:
        return json.dumps(_reply_of(ask.schema, ask, dice), ensure_ascii=False)
    lines = told.labelled_lines(ask.user)
    if lines:
        return "\n".join(f"{head} {_line_value(head, what, dice)}" for head, what in lines)
    keys = _told_keys(ask.user)
    if keys:
        forms = told.json_lines(ask.user)
        ranges = told.ranges_in(f"{ask.system}\n{ask.user}", keys)
        made = {
            key: _parts(forms[key], dice) if key in forms else _rated(key, ranges.get(key, PERCENT), dice)
            for key in keys
        }
        return json.dumps(made, ensure_ascii=False)
    return f"{round(dice.score('', 0, 100))}. {dice.sentence('')}"


def _rated(key: str, span: tuple[float, float], dice: _Dice) -> Json:
    return {"score": round(dice.score(key, *span)), "reason": dice.sentence(key)}


def _parts(line: FormLine, dice: _Dice) -> Json:
    """A question's object as a line of the form tells it."""
    key = line.head
    return {name: dice.sentence(key) if what is None else _answer(what, key, dice) for name, what in line.parts}


def _line_value(head: str, what: WantedAnswer | None, dice: _Dice) -> str:
    question = head.partition("(")[0].partition("（")[0]
    if what is None:
        return dice.sentence(question)
    answer = _answer(what, question, dice)
    if isinstance(answer, list):
        return (" > " if what.kind == "ranked" else "; ").join(map(str, answer))
    if isinstance(answer, dict):
        return "; ".join(f"{name}: {share}%" for name, share in answer.items())
    return str(answer)


def _answer(what: WantedAnswer, question: str, dice: _Dice) -> Json:
    """An answer of the kind that is told."""
    match what.kind:
        case "number":
            found: Json = _number(what, dice.score(question, what.low, what.high))
        case "likert":
            found = int(_chosen(what.options, question, dice))
        case "one":
            found = _chosen(what.options, question, dice)
        case "several":
            count = round(dice.score(f"{question} count", what.least, what.most))
            chosen = _ordered(what.options, question, dice)[:count]
            found = [option for option in what.options if option in chosen]
        case "ranked":
            found = _ordered(what.options, question, dice)
        case "text":
            found = dice.sentence(question)[: what.chars]
        case "percent":
            found = _percentages(what.options, question, dice)
    return found


def _number(what: WantedAnswer, score: float) -> Json:
    """A number on the steps that are told; a whole one where both ends are."""
    if what.step is None:
        return round(score) if what.low.is_integer() and what.high.is_integer() else round(score, 1)
    number = round(what.low + round((score - what.low) / what.step) * what.step, 9)
    return int(number) if number.is_integer() else number


def _chosen(options: tuple[str, ...], question: str, dice: _Dice) -> str:
    return options[int(dice.score(question, 0, 0.999) * len(options))]


def _ordered(options: tuple[str, ...], question: str, dice: _Dice) -> list[str]:
    return sorted(options, key=lambda option: -dice.score(f"{question} {option}", 0, 1))


def _percentages(options: tuple[str, ...], question: str, dice: _Dice) -> dict[str, int]:
    """Whole percentages that add up to 100, the last option taking what rounding leaves."""
    weights = [0.05 + dice.score(f"{question} {option}", 0, 1) for option in options]
    shares = [int(100 * weight / sum(weights)) for weight in weights]
    return dict(zip(options, [*shares[:-1], 100 - sum(shares[:-1])], strict=True))


@lru_cache(1024)
def _told_keys(user: str) -> tuple[str, ...]:
    """The keys that a prompt lists for a JSON reply."""
    listed = _KEYS.findall(user)
    names = _QUOTED.findall(" ".join(listed)) if listed else []
    return tuple(dict.fromkeys(name for name in names if name not in _PARTS))


def _reply_of(schema: Mapping[str, Any], ask: Ask, dice: _Dice) -> Json:
    """A reply that a JSON schema allows, in which each question's answer is of the kind that the prompt tells."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    forms = told.json_lines(ask.user)
    ranges = told.ranges_in(f"{ask.system}\n{ask.user}", tuple(properties))
    found = {}
    for key, inner in properties.items():
        parts = dict(forms[key].parts) if key in forms else {}
        own: Mapping[str, Any] = inner.get("properties", {})
        if parts and own.keys() == parts.keys():
            made = {
                name: dice.sentence(key)[: int(own[name].get("maxLength", 4096))]
                if (what := parts[name]) is None
                else _answer(what, key, dice)
                for name in own
            }
            found[key] = made
        else:
            found[key] = _value(inner, _label("", key), dice, ranges.get(key, PERCENT))
    return found if properties else _value(schema, "", dice, PERCENT)


def _value(schema: Mapping[str, Any], name: str, dice: _Dice, span: tuple[float, float]) -> Json:
    """A value that a JSON schema allows, of whose keywords those that such schemas use; `span` are a number's ends."""
    if options := schema.get("enum"):
        return options[int(dice.score(name, 0, 0.999) * len(options))]
    if branches := schema.get("anyOf") or schema.get("oneOf"):
        return _value(branches[0], name, dice, span)
    kind = schema.get("type", "object")
    match str(kind[0] if isinstance(kind, list) else kind).lower():
        case "object":
            properties: Mapping[str, Any] = schema.get("properties", {})
            return {key: _value(inner, _label(name, key), dice, span) for key, inner in properties.items()}
        case "array":
            count = max(int(schema.get("minItems", 0)), 1)
            return [_value(schema.get("items", {}), f"{name}{index}", dice, span) for index in range(count)]
        case plain:
            return _plain(plain, schema, name, dice, span)


def _plain(kind: str, schema: Mapping[str, Any], name: str, dice: _Dice, span: tuple[float, float]) -> Json:
    low, high = float(schema.get("minimum", span[0])), float(schema.get("maximum", span[1]))
    match kind:
        case "integer":
            return round(dice.score(name, low, high))
        case "number":
            return round(dice.score(name, low, high), 1)
        case "boolean":
            return dice.score(name, 0, 1) > 0.5
        case "null":
            return None
        case _:
            return dice.sentence(name)[: int(schema.get("maxLength", 4096))]


def _label(name: str, key: str) -> str:
    """The question that a value belongs to: the key above `score` and `reason`."""
    return name if key in _PARTS else key
