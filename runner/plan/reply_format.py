"""What each kind of question asks for in a reply: the words of the form, JSON or labelled lines, and the JSON schema.

Questions for a number from low to high with a reason behind it, which is all that there was at first, are told in one
sentence. Anything else is told a line a question, with its range or its options, so that a model knows them whatever
its prompt says, and in the order in which the parts are wanted. runner.score reads what is asked for here.

    number, likert         "score": a number; of likert that of one of the points
    choice, yes_no         "answer": the label of an option
    choices, rank          "answer": a list of labels; of rank all of them, first place first
    text                   "answer": words, without a reason
    distribution           "answer": {key of an option or point: percent}, which add up to 100
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.plan.reply_keys import option_keys, reply_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runner.records import Json, Option, PromptTemplate, Question


@dataclass(frozen=True, slots=True)
class OptionView:
    """What a template sees of an option or point."""

    number: int
    """Its place, from 1."""
    name: str
    label: str


@dataclass(frozen=True, slots=True)
class QuestionView:
    """What a template sees of a question. Whole numbers are ints, so that 100.0 is written 100."""

    number: int
    name: str
    label: str
    wording: str
    low: int | float
    high: int | float
    kind: str
    step: int | float | None
    options: tuple[OptionView, ...]
    least: int
    most: int
    max_chars: int


@dataclass(frozen=True, slots=True)
class Words:
    """The fixed words of the reply format in one language. {} stand for what differs."""

    json: str
    """Of numbers with a reason each."""
    json_lines: str
    labelled: str
    value: str
    answer: str
    reason: str
    sentence: str
    json_reason: str
    line: str
    part: str
    """One part of an answer: its key, and what belongs there."""
    then: str
    """Between two parts."""
    listed: str
    """Between two options."""
    whole: str
    number: str
    step: str
    likert: str
    one: str
    several: str
    exactly: str
    ranked: str
    text: str
    percent: str
    labelled_several: str
    labelled_ranked: str
    labelled_text: str
    labelled_percent: str


WORDS: Mapping[str, Words] = {
    "en": Words(
        json='Reply with one JSON object and nothing else. It has the keys {}, and under each an object with "score", '
        'the number, and "reason", one short sentence about the text.',
        json_lines="Reply with one JSON object and nothing else. It has the keys {}, and under each an object with the "
        "following, in this order:",
        labelled="Reply with these lines and nothing else:",
        value="value",
        answer="answer",
        reason="reason",
        sentence="one short sentence",
        json_reason="one short sentence about the text",
        line='- "{}": {}',
        part='"{}", {}',
        then="; ",
        listed=", ",
        whole="a whole number from {} to {}",
        number="a number from {} to {}",
        step=" in steps of {}",
        likert="the number of one of: {}",
        one="one of: {}",
        several="a list of {} to {} of: {}",
        exactly="a list of {} of: {}",
        ranked="a list of all of these, first place first: {}",
        text="words of your own, at most {} characters",
        percent="an object with a percentage for each of these, which add up to 100: {}",
        labelled_several="{} to {} of: {}, with semicolons between them",
        labelled_ranked="all of these, first place first, with > between them: {}",
        labelled_text="words of your own, at most {} characters",
        labelled_percent="a percentage for each of these, as NAME: 50%; which add up to 100%: {}",
    ),
    "ja": Words(
        json="JSONオブジェクトを一つだけ返し、ほかには何も書かないでください。キーは{}とし、それぞれに "
        '"score"（数値）と"reason"（日本語の短い一文）を持つオブジェクトを入れてください。',
        json_lines="JSONオブジェクトを一つだけ返し、ほかには何も書かないでください。キーは{}とし、それぞれに次のものを"
        "この順に持つオブジェクトを入れてください。",
        labelled="次の形の行だけで答え、ほかには何も書かないでください。",
        value="数値",
        answer="回答",
        reason="理由",
        sentence="短い一文",
        json_reason="日本語の短い一文",
        line='- "{}"：{}',
        part='"{}"（{}）',
        then="、",
        listed="、",
        whole="{}から{}までの整数",
        number="{}から{}までの数値",
        step="、{}刻み",
        likert="次のどれか一つの番号：{}",
        one="次のどれか一つ：{}",
        several="次から{}個以上{}個以下を選んだリスト：{}",
        exactly="次から{}個を選んだリスト：{}",
        ranked="次のすべてを一位から順に並べたリスト：{}",
        text="自由な文、{}字以内",
        percent="次のそれぞれの確率をパーセントで持ち、合計が100になるオブジェクト：{}",
        labelled_several="次から{}個以上{}個以下を選び「；」で区切る：{}",
        labelled_ranked="次のすべてを一位から順に「>」で区切って並べる：{}",
        labelled_text="自由な文、{}字以内",
        labelled_percent="次のそれぞれの確率を「名前：50%」の形で「；」で区切り、合計を100%にする：{}",
    ),
}
"""Language -> words. A prompt in another language gets the English ones, unless its template writes its own."""


def words_of(language: str) -> Words:
    """The words of a language, or the English ones."""
    return WORDS.get(language, WORDS["en"])


def question_view(number: int, question: Question) -> QuestionView:
    """What a template sees of the question with this number."""
    options = tuple(OptionView(place, each.name, each.label) for place, each in enumerate(question.options, 1))
    return QuestionView(
        number, question.name, question.label, question.wording, short(question.low), short(question.high),
        question.kind, None if question.step is None else short(question.step), options, question.least,
        _most(question), question.max_chars,
    )  # fmt: skip


def short(number: float) -> int | float:
    """A whole number as an int."""
    return int(number) if float(number).is_integer() else number


def value_key(question: Question) -> str:
    """The key of the answer in a question's object."""
    return "score" if question.kind in ("number", "likert") else "answer"


def is_plain(template: PromptTemplate) -> bool:
    """Whether the prompt asks for numbers with a reason each, and nothing else."""
    return template.reasons == "after" and all(
        question.kind == "number" and question.step is None for question in template.questions
    )


# ---- the form in words ----------------------------------------------------------------------------------------------


def reply_format(template: PromptTemplate) -> str:
    """The ready instruction on how to write the answers, for JSON or labelled lines, in the prompt's language."""
    words = words_of(template.language)
    if template.reply == "labelled":
        numbered = enumerate(template.questions, start=1)
        lines = (line for number, question in numbered for line in _labelled_lines(number, question, template, words))
        return "\n".join([words.labelled, *lines])
    # Told, not shown: a very small model copies whatever could stand in a reply, placeholders and example values alike.
    keys = reply_keys(template.questions)
    listed = ", ".join(f'"{key}"' for key in keys)
    named = list(zip(keys, template.questions, strict=True))
    stand_ins = ", ".join(f"{key}: {question.label}" for key, question in named if key != question.name)
    told = f"{listed} ({stand_ins})" if stand_ins else listed
    if is_plain(template):
        return words.json.format(told)
    lines = (words.line.format(key, _parts(question, template, words)) for key, question in named)
    return "\n".join([words.json_lines.format(told), *lines])


def _parts(question: Question, template: PromptTemplate, words: Words) -> str:
    """The parts of one answer, in their order."""
    value = words.part.format(value_key(question), asked_for(question, words))
    return words.then.join(_in_order(value, words.part.format("reason", words.json_reason), question, template))


def _in_order(value: str, reason: str, question: Question, template: PromptTemplate) -> list[str]:
    if template.reasons == "none" or not question.has_reason:
        return [value]
    return [value, reason] if template.reasons == "after" else [reason, value]


def _labelled_lines(number: int, question: Question, template: PromptTemplate, words: Words) -> list[str]:
    head = f"Q{number}. {question.label}"
    value = f"{head}({value_word(question, words)}): <{_labelled_value(question, words)}>"
    return _in_order(value, f"{head}({words.reason}): <{words.sentence}>", question, template)


def value_word(question: Question, words: Words) -> str:
    """What the answer is called in a labelled line."""
    return words.value if value_key(question) == "score" else words.answer


def written(value: Json, question: Question) -> str:
    """An answer as a labelled line has it; see records.Given."""
    labels = {option.name: option.label or option.name for option in question.options}
    match question.kind:
        case "choice" | "yes_no":
            found = labels[value]
        case "choices":
            found = "; ".join(labels[name] for name in value) or "none"
        case "rank":
            found = " > ".join(labels[name] for name in value)
        case "distribution":
            names = {} if question.has_points else labels
            found = "; ".join(f"{names.get(name, name)}: {100 * share:.10g}%" for name, share in value.items())
        case "text":
            found = str(value)
        case _:
            found = f"{short(value)}"
    return found


def _labelled_value(question: Question, words: Words) -> str:
    listed = words.listed.join(option.label for option in question.options)
    if question.kind == "number" and question.step is None:
        found = f"{short(question.low)}-{short(question.high)}"
    elif question.kind == "choices":
        found = words.labelled_several.format(question.least, _most(question), listed)
    elif question.kind == "rank":
        found = words.labelled_ranked.format(listed)
    elif question.kind == "text":
        found = words.labelled_text.format(question.max_chars)
    elif question.kind == "distribution":
        points = question.has_points
        found = words.labelled_percent.format(_points(question.options, words) if points else listed)
    else:
        found = words.one.format(listed) if question.kind in ("choice", "yes_no") else asked_for(question, words)
    return found


def asked_for(question: Question, words: Words) -> str:
    """What belongs in a question's place, with its range or its options."""
    quoted = words.listed.join(f'"{option.label}"' for option in question.options)
    match question.kind:
        case "number":
            step = "" if question.step in (None, 1.0) else words.step.format(short(question.step or 1.0))
            whole = words.whole if _is_whole(question) else words.number
            found = whole.format(short(question.low), short(question.high)) + step
        case "likert":
            found = words.likert.format(_points(question.options, words))
        case "choice" | "yes_no":
            found = words.one.format(quoted)
        case "choices" if question.least == _most(question):
            found = words.exactly.format(question.least, quoted)
        case "choices":
            found = words.several.format(question.least, _most(question), quoted)
        case "rank":
            found = words.ranked.format(quoted)
        case "text":
            found = words.text.format(question.max_chars)
        case "distribution":
            keys = zip(option_keys(question), question.options, strict=True)
            named = (f'"{key}"' + _in_brackets(key, option, words) for key, option in keys)
            found = words.percent.format(words.listed.join(named))
    return found


def _most(question: Question) -> int:
    return len(question.options) if question.most is None else question.most


def _in_brackets(key: str, option: Option, words: Words) -> str:
    """What a key of a distribution stands for, where it does not say so itself."""
    said = " ".join(dict.fromkeys(word for word in (option.name, option.label) if word not in ("", key)))
    return (f"（{said}）" if words is WORDS["ja"] else f" ({said})") if said else ""


def _points(options: Iterable[Option], words: Words) -> str:
    return words.listed.join(f"{option.name} ({option.label})" if option.label else option.name for option in options)


# ---- the JSON schema ------------------------------------------------------------------------------------------------


def reply_schema(template: PromptTemplate) -> dict[str, Json] | None:
    """JSON schema of the reply; None where labelled lines are asked for. The same shape for one question or many.

    All keys (see reply_keys) are required and no others allowed, as OpenAI's strict mode wants. The score precedes its
    reason unless the prompt says otherwise, as in the labelled lines: both formats then measure the same thing, a first
    rating and then its grounds.
    """
    if template.reply == "labelled":
        return None
    keys = reply_keys(template.questions)
    return _object({key: _answer(question, template) for key, question in zip(keys, template.questions, strict=True)})


def _answer(question: Question, template: PromptTemplate) -> dict[str, Json]:
    parts: dict[str, Json] = {
        value_key(question): _value(question),
        "reason": {"type": "string", "minLength": 1, "maxLength": template.reason_max_chars},
    }
    return _object({name: parts[name] for name in _in_order(value_key(question), "reason", question, template)})


def _value(question: Question) -> dict[str, Json]:
    """The schema of an answer. Numbers are no enumeration: Google's enum takes texts alone."""
    labels: list[Json] = [option.label for option in question.options]
    match question.kind:
        case "number":
            found = _number(question)
        case "likert":
            found = {"type": "integer", "minimum": short(question.low), "maximum": short(question.high)}
        case "choice" | "yes_no":
            found = {"type": "string", "enum": labels}
        case "choices":
            found = _array(labels, question.least, _most(question))
        case "rank":
            found = _array(labels, len(labels), len(labels))
        case "text":
            found = {"type": "string", "minLength": 1, "maxLength": question.max_chars}
        case "distribution":
            found = _object({key: {"type": "number", "minimum": 0, "maximum": 100} for key in option_keys(question)})
    return found


def _number(question: Question) -> dict[str, Json]:
    found: dict[str, Json] = {"type": "integer" if _is_whole(question) else "number"}
    found |= {"minimum": short(question.low), "maximum": short(question.high)}
    step = question.step
    if step is not None and step != 1 and float(question.low / step).is_integer():
        found["multipleOf"] = short(step)  # which counts from 0
    return found


def _is_whole(question: Question) -> bool:
    """Whether only whole numbers are asked for."""
    ends = (question.low, question.high, *((question.step,) if question.step is not None else ()))
    return all(float(end).is_integer() for end in ends)


def _array(labels: list[Json], least: int, most: int) -> dict[str, Json]:
    return {"type": "array", "items": {"type": "string", "enum": labels}, "minItems": least, "maxItems": most}


def _object(properties: dict[str, Json]) -> dict[str, Json]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


# ---- what a prompt tells --------------------------------------------------------------------------------------------


TELL: Mapping[str, tuple[str, str]] = {
    "en": ('Answer "{}" with a number from {} to {}.', 'Answer "{}" with: {}.'),
    "ja": ("「{}」は{}から{}までの数値で答えてください。", "「{}」は次で答えてください：{}。"),
}
"""What a prompt may be given that does not say a range, or the options."""


def untold(question: Question, rendered: str, language: str) -> str | None:
    """The sentence that a prompt lacks where it never tells a question's range or options; else None.

    `rendered` is the whole prompt, of a persona and a text without numbers, in one width and case: see `folded`.
    """
    of_range, of_options = TELL.get(language, TELL["en"])
    if question.kind == "text":
        return None
    if question.kind in ("number", "likert") or question.has_points:
        ends = short(question.low), short(question.high)
        told = all(re.search(rf"(?<![0-9.]){re.escape(str(end))}(?![0-9]|\.[0-9])", rendered) for end in ends)
        return None if told else of_range.format(question.label, *ends)
    if all(folded(option.label) in rendered for option in question.options):
        return None
    return of_options.format(question.label, words_of(language).listed.join(each.label for each in question.options))


def folded(rendered: str) -> str:
    """Words in one width and case."""
    return unicodedata.normalize("NFKC", rendered).casefold()
