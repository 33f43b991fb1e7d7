"""Reply text -> Scored | Unscorable: one score and one reason for each question that was asked.

`read` never raises and never makes a score up: each score is a number that stands in the reply, in the place of the
answer, within its question's range. Two different answers to one question are no answer. A reply in the other format
than the one asked for is read all the same. tests/score/corpus holds examples of every line below.

    what models write                                             how it is read
    ------------------------------------------------------------  ----------------------------------------------------
    <think> … </think>, [THINK], ◁think▷, channels, 【思考】,      left out: drafts are no answers; where it is open, so
      a heading `Draft:`; a pair of tags of an unknown name         is all behind it: truncated
    code fences, text before and after, <|im_end|>, </s>, HTML    passed over
    full-width forms, digits of any script, marks nobody sees     as their ASCII forms
    a number in quotes or with a unit: "75", 75点, 75 points      75
    七十五, <b>75</b>, 75 (75点), 75（第2段落が良い）               75
    75/100, 75 out of 100, 100点中75点, 0〜100で75                75 on a scale from 0 to 100, else other_scale
    75%                                                           75 on a scale from 0 to 100, else other_scale
    a scale that is not the question's in the label, a key, a     other_scale; with prompt.X.rescale=true converted,
      heading, beside or above the answers: "max": 10             and what was stated is kept too
    70-80, 70〜80, 70 or 80, 7 5, 75 → 60                         ambiguous
    a column or key of another reader or quantity, an example     ambiguous, or no_score
    >90, 90以上, at least 90, 〜90                                 not_a_number: a bound is no score
    0-100 on a scale from 0 to 100                                the prompt's own placeholder: no answer
    NaN, Infinity, true, null, "high", 高い, seventy-five         not_a_number
    120, -5                                                       out_of_range, and no score
    a label, Q1, other case or spacing in place of the name,      the same question; a label outweighs its number
      a near word (Interest, angry)
    {"fun": 75, "fun_reason": …}                                  like {"fun": {"score": 75, "reason": …}}
    {"scores": {"fun": 75}, "reasons": {"fun": …}}                likewise
    [{"question": "fun", "score": 75, …}, …]                      likewise
    one object a question; an object without its braces; JSON     likewise
      in a string
    {"score": 75, "reason": …}, Score: 75, 75                     the answer where exactly one question is asked
    trailing, missing, full-width commas; comments; bare or       read by a second, tolerant pass
      single-quoted keys; quotes, line breaks inside a reason
    Q1. 面白さ(数値): 75 in bold, lists, headings, tables;        the same; order and blank lines do not matter
      no part word, (value), の評価, レベル, 「面白さ」
    several answers on one line, parted by blanks or nothing      each read
    no reason                                                     the score stands, its reason is None
    a reason over several lines                                   kept whole, up to the next answer
    the same question twice, two objects, JSON and lines          read where they agree, else ambiguous
    cut off: finish is "length", or JSON left open                truncated, unless every answer had been closed; a
                                                                  number at the very end is not trusted, also where
                                                                  finish is not given
    refusal set, finish "content_filter", words of refusal, an    refused
      empty form's zeros below them
    nothing; prose; JSON beyond reading; a question left out      empty; no_score; malformed; missing_question
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from runner import fastjson
from runner.plan.reply_format import value_key
from runner.plan.reply_keys import option_keys, reply_keys
from runner.records import Given, Json, Problem, Question, Reading, Reply, ReplyFormat, Scored, Unscorable
from runner.score import lines, objects
from runner.score.characters import INVISIBLE
from runner.score.findings import Answers, judged
from runner.score.kinds import is_on_grid, score_of, strict
from runner.score.names import sheet_of
from runner.score.reasoning import spoken
from runner.score.surroundings import is_refusal, refuses_task, scales_in_reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.score.names import Sheet
    from runner.score.reasoning import Spoken

__all__ = ["read"]

MOST_OF_OTHER_SCALES = 20
"""A score above it is on no other scale that a reason may name: most are above, and cost no second look."""
_WORDS = re.compile(r"(?!json)\w{2}|\|", re.IGNORECASE)
_SCORE, _REASON = frozenset({"score"}), frozenset({"reason"})
_SHOWN = 200
"""Characters that a message shows of words that are in the wrong place."""
_SEVERITY = (
    "refused", "ambiguous", "other_scale", "not_a_number", "not_an_option", "not_a_ranking", "wrong_sum",
    "out_of_range", "missing_question",
)  # fmt: skip


def read(reply: Reply, questions: tuple[Question, ...], fmt: ReplyFormat, *, rescale: bool = False) -> Reading:
    """What `reply` says, question by question. `fmt` is what was asked for, and so the reading that is tried first.

    A score on another scale than its question's is a problem, or with `rescale` converted and kept beside the other.
    """
    text = reply.text or ""
    refused = reply.refusal is not None or reply.finish == "content_filter"
    if not refused and (scored := _as_asked(text, questions)) is not None:
        return scored
    sheet = sheet_of(questions)
    said = spoken(text, sheet)
    answers = _best(said.text, sheet, fmt, reply.finish, rescale=rescale)
    kind = "refused" if refused else _kind(text, said, answers, reply.finish)
    if kind is None and _is_an_empty_form(answers, questions):
        return _nothing(Problem("refused", "the model declined, and filled the form with one number"), answers)
    if kind is None:
        scores = {name: score for name, score in answers.scores.items() if score is not None}
        return Scored(scores, answers.reasons, answers.stated, answers.given)
    message = reply.refusal if kind == "refused" and reply.refusal else _message(kind, said, answers, reply.finish)
    if kind == "empty" and reply.aside:
        message = _elsewhere(reply.aside, reply.finish)
    return Unscorable(Problem(kind, message), answers.scores, answers.reasons, answers.stated, answers.given)


def _elsewhere(words: str, finish: str | None) -> str:
    """Where the words of a reply without text are, and what to set."""
    shown = " ".join(words.split())
    shown = shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"
    what_to_set = "serve the model without a reasoning parser, or turn its reasoning off in model.X.extra"
    if finish == "length":
        what_to_set = "the token limit was used up there: raise sampling.max_tokens"
    where = "the server put all text into its reasoning field or another part"
    return f"the answer is empty: {where} ('{shown}'); {what_to_set}"


def _nothing(problem: Problem, answers: Answers) -> Unscorable:
    return Unscorable(problem, dict.fromkeys(answers.scores), answers.reasons, answers=dict.fromkeys(answers.given))


def _is_an_empty_form(answers: Answers, questions: tuple[Question, ...]) -> bool:
    """Whether the reply declines and gives every question the same number all the same, or only the lowest."""
    values = {*answers.scores.values()}
    scored = [question for question in questions if question.is_numeric]
    lows = {question.turned(question.low) for question in scored}
    if len(values) > 1 or not (values == lows or len(scored) > 1 or not scored):
        return False
    given = [reason for reason in answers.reasons.values() if reason]
    return any(map(is_refusal, answers.outside)) or (bool(given) and all(map(refuses_task, given)))


def _as_asked(text: str, questions: tuple[Question, ...]) -> Scored | None:
    """The reply exactly as JSON asks for it, or None: what is unusual in any way goes the long way round."""
    try:
        found = fastjson.loads(text)
    except (ValueError, RecursionError):
        return None
    form = _form_of(questions)
    if not isinstance(found, dict) or len(found) != len(questions) or not _is_plain(text, form):
        return None
    if form.is_numbers:
        return _numbers_as_asked(found, form)
    scores: dict[str, float] = {}
    reasons: dict[str, str | None] = {}
    given: dict[str, Given | None] = {}
    for key, question in zip(form.keys, questions, strict=True):
        answer = _part_as_asked(found.get(key), question)
        if answer is None:
            return None
        value, reason = answer
        if question.has_reason:
            reasons[question.name] = reason
        if isinstance(value, Given):
            given[question.name] = value
        if (score := score_of(value, question)) is not None:
            scores[question.name] = score + 0.0
    same = len({*scores.values()}) <= 1 and all(reason and refuses_task(reason) for reason in reasons.values())
    return None if same and reasons else Scored(scores, reasons, answers=given)


def _numbers_as_asked(found: Mapping[str, Json], form: _Form) -> Scored | None:
    """The same where every question is a plain number, as in nearly every run: the shortest way through."""
    scores: dict[str, float] = {}
    reasons: dict[str, str | None] = {}
    for key, question in zip(form.keys, form.questions, strict=True):
        answer = found.get(key)
        if not isinstance(answer, dict) or answer.keys() - _REASON != _SCORE:
            return None
        value, reason = answer["score"], answer.get("reason", "")
        if type(reason) is not str or type(value) not in (int, float) or not question.low <= value <= question.high:
            return None
        if value <= MOST_OF_OTHER_SCALES and scales_in_reason(reason, value, question):
            return None
        scores[question.name] = float(value) + 0.0
        reasons[question.name] = reason.strip() or None
    if len({*scores.values()}) <= 1 and all(reason and refuses_task(reason) for reason in reasons.values()):
        return None
    return Scored(scores, reasons)


def _part_as_asked(answer: Json, question: Question) -> tuple[float | Given, str | None] | None:
    """The answer to one question and its reason, where both are exactly as they are asked for."""
    wanted = value_key(question)
    if not isinstance(answer, dict) or answer.keys() - {"reason"} != {wanted}:
        return None
    value, reason = answer[wanted], answer.get("reason", "")
    if type(reason) is not str:
        return None
    if question.is_given:
        read_ = strict(value, question)
        return None if read_ is None else (read_, reason.strip() or None)
    if type(value) not in (int, float) or not question.low <= value <= question.high or not is_on_grid(value, question):
        return None
    if value <= MOST_OF_OTHER_SCALES and scales_in_reason(reason, value, question):
        return None
    return float(value), reason.strip() or None


def _is_plain(text: str, form: _Form) -> bool:
    """Whether every key of a reply stands in it once: of a key that comes twice JSON's readers keep the last value.

    A key in quotes that also stands as a value counts twice, which only sends the reply the long way round; so does
    any escape in which a key's letters could hide.
    """
    if "\\u00" in text or text.count('"reason"') not in (0, form.reasons):
        return False
    return all(text.count(key) == count for key, count in form.quoted)


class _Form(NamedTuple):
    """A reply as it is asked for."""

    questions: tuple[Question, ...]
    keys: tuple[str, ...]
    """Each question's."""
    reasons: int
    """How many it has."""
    quoted: tuple[tuple[str, int], ...]
    """Each of its other keys, in quotes, with how often it stands there."""
    is_numbers: bool
    """Whether every question is a number without steps, as it is stated."""


_forms: list[_Form] = []
"""The one that was used last: replies to one prompt come together, and hashing its questions takes longer than reading
a reply does."""


def _form_of(questions: tuple[Question, ...]) -> _Form:
    for form in _forms:
        if form.questions is questions:
            return form
    wanted = Counter(map(value_key, questions))
    wanted.update(reply_keys(questions))
    wanted.update(key for one in questions if one.kind == "distribution" for key in option_keys(one))
    quoted = tuple((f'"{key}"', count) for key, count in wanted.items())
    reasons = sum(question.has_reason for question in questions)
    is_numbers = all(not question.is_given and question.step is None for question in questions)
    form = _Form(questions, reply_keys(questions), reasons, quoted, is_numbers)
    _forms[:] = [form]
    return form


def _best(text: str, sheet: Sheet, fmt: ReplyFormat, finish: str | None, *, rescale: bool) -> Answers:
    """The reading in the format that was asked for, unless it lacks answers that the other one has.

    An answer that is there and wrong, or there twice, is not mended by what else the reply says.
    """
    found = objects.find(text, sheet, finish)
    in_json = judged(found, sheet, rescale=rescale)
    rest = found.rest if found.rest is text or _WORDS.search(found.rest) else ""
    in_lines = judged(lines.find(rest, sheet, finish), sheet, rescale=rescale)
    first, second = (in_json, in_lines) if fmt == "json" else (in_lines, in_json)
    if any(problem.kind != "missing_question" for problem in first.problems):
        return first
    other = second.values
    if torn := [name for name, value in first.values.items() if value is not None and other[name] not in (None, value)]:
        return _torn(first, torn)
    if not (first.found or second.found):
        return second if second.truncated or second.broken else first
    return second if (second.read, second.found) > (first.read, first.found) else first


def _torn(answers: Answers, names: list[str]) -> Answers:
    """The answers without those that the reply gives differently in its other format."""
    problems = tuple(Problem("ambiguous", f"{name}: answered more than once, differently") for name in names)
    scores = {name: None if name in names else score for name, score in answers.scores.items()}
    given = {name: None if name in names else value for name, value in answers.given.items()}
    return replace(answers, scores=scores, given=given, problems=(*answers.problems, *problems))


def _kind(text: str, said: Spoken, answers: Answers, finish: str | None) -> str | None:
    """The kind of problem that the whole reply has, the gravest first; None where every question is answered."""
    kinds = {problem.kind for problem in answers.problems}
    missing = "missing_question" in kinds
    if not INVISIBLE.sub("", text).strip():
        return "empty"
    if answers.truncated or (finish == "length" and missing) or (said.inside and missing):
        return "truncated"
    if not answers.found:
        return "refused" if is_refusal(said.text) else "malformed" if answers.broken else "no_score"
    if answers.broken and missing:
        return "malformed"
    return next((kind for kind in _SEVERITY if kind in kinds), None)


def _message(kind: str, said: Spoken, answers: Answers, finish: str | None) -> str:
    match kind:
        case "empty":
            limit = ": the token limit was used up before it wrote any" if finish == "length" else ""
            return f"the model returned no text{limit}"
        case "refused":
            return "the provider's filter stopped the reply" if finish == "content_filter" else "the model declined"
        case "no_score":
            return f"the reply holds no score{' behind its reasoning' if said.hidden else ''}"
    cut = "the reply ends within its reasoning" if said.inside else "the reply was cut off"
    lead = {"truncated": cut, "malformed": "the JSON cannot be read"}.get(kind)
    return "; ".join(filter(None, (lead, *(problem.message for problem in answers.problems))))
