"""One value of a reply -> the answer to a question of any kind, or what is wrong with it.

An option is named by the whole of its label, its name, or what else it is called; never by a word within a sentence.
What stands behind it may be a remark, and may not name another option or take anything back. A label that contradicts
its number, two options where one is asked for, and the form's own words are no answer. Probabilities are kept as they
are stated: their sum is checked, and nothing is put in for an option that is left out.
"""

from __future__ import annotations

import re
from math import isfinite, log2, sqrt
from typing import TYPE_CHECKING, Final

from runner.plan.reply_format import WORDS as FORMS
from runner.plan.reply_keys import option_keys
from runner.records import Given, Problem, Stated
from runner.score.characters import plain
from runner.score.labels import Labels, labels_of
from runner.score.number import UNCLEAR, number, shown
from runner.score.scanner import CUT
from runner.score.surroundings import refuses_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runner.records import Json, Question
    from runner.score.scale import Scale

Judged = float | Stated | Given | Problem | None
"""A number that counts as it stands, one that was converted, another answer, a problem, or nothing at all."""
OFF_GRID = 1e-9
PERCENT: Final = 100.0
MOST_OFF: Final = 0.01
"""How far shares may be from 1 together: what rounding does, and no more."""
_AMOUNT = r"[0-9]{1,3}(?:\.[0-9]{1,6})?|\.[0-9]{1,6}"
_SHARE = re.compile(rf"\s*(?P<number>{_AMOUNT})\s*(?P<percent>%|percent\b|パーセント)?\s*", re.IGNORECASE)
_TOTAL = re.compile(r"[\s,;、(]*(?:合計|計|total|sum)\s*[:=は]?\s*(?:100\s*%?|1(?:\.0+)?)[\s).。]*\Z", re.IGNORECASE)
_NONE = re.compile(
    r"\[\s*\]|none(?:\s+of\s+(?:these|them|the\s+above))?|なし|該当なし|特になし|どれもない|無し", re.IGNORECASE
)
_PLACEHOLDER = re.compile(r"[<＜][^<>＜＞]*[>＞]|\.{3,}|…+|-+|n/?a|none|null", re.IGNORECASE)


def judge(value: Json, question: Question, scales: Iterable[Scale] = (), *, rescale: bool = False) -> Judged:
    """What `value` answers to a question; None where it only repeats the form. `scales` as of number.number."""
    if question.kind == "number":
        return _number(value, question, scales, rescale=rescale)
    if value is UNCLEAR:
        return Problem("ambiguous", f"{question.name}: it cannot be told which answer is meant, or whether one is")
    if value is CUT or (isinstance(value, list | tuple) and any(each is CUT for each in value)):
        return Problem("ambiguous", f"{question.name}: the answer was cut off")
    if isinstance(value, list) and len(value) == 1 and question.kind not in ("choices", "rank"):
        value = value[0]
    return _likert(value, question, scales) if question.kind == "likert" else _OF_KIND[question.kind](value, question)


def score_of(judged: float | Stated | Given, question: Question) -> float | None:
    """The score of an answer as it counts; None of a kind that has none."""
    if isinstance(judged, Stated):
        return question.turned(judged.rescaled)
    if not isinstance(judged, Given):
        return question.turned(judged)
    if question.kind == "yes_no":
        return question.turned(float(judged.value == "yes"))
    if question.kind in ("likert", "number"):
        return question.turned(float(judged.value))
    return (judged.moments or {}).get("mean") if question.has_points else None


def moments(shares: Mapping[str, float]) -> dict[str, float]:
    """Entropy in bits, and of a distribution over points mean and standard deviation. Shares count by their sum."""
    whole = sum(shares.values())
    found: dict[str, float] = {}
    if all(name.removeprefix("-").isdecimal() for name in shares):
        mean = sum(float(name) * share for name, share in shares.items()) / whole
        spread = sum((float(name) - mean) ** 2 * share for name, share in shares.items()) / whole
        found = {"mean": round(mean, 9), "sd": round(sqrt(spread), 9)}
    parts = [share / whole for share in shares.values() if share]
    return {**found, "entropy": round(-sum(part * log2(part) for part in parts), 9) + 0.0}


# ---- numbers ---------------------------------------------------------------------------------------------------------


def _number(value: Json, question: Question, scales: Iterable[Scale], *, rescale: bool) -> Judged:
    found = number(value, question, scales, rescale=rescale)
    if isinstance(found, float) and not is_on_grid(found, question):
        step = question.step or 0.0
        message = (
            f"{question.name}: {shown(value)} is none of {question.low:g}, {question.low + step:g}, … {question.high:g}"
        )
        return Problem("out_of_range", message)
    return Given(found, None, _plain(value)) if isinstance(found, float) and question.reverse else found


def is_on_grid(score: float, question: Question) -> bool:
    """Whether a number is one of the steps that may be given."""
    if question.step is None:
        return True
    steps = (score - question.low) / question.step
    return abs(steps - round(steps)) < OFF_GRID


def _likert(value: Json, question: Question, scales: Iterable[Scale]) -> Judged:
    """A point by its number, by its label, or by both where they agree."""
    labels = labels_of(question)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = f"{value:g}"
    if not isinstance(value, str):
        return _none_of(value, question)
    found = labels.one(value)
    if isinstance(found, str):
        return _given(found, question, value)
    named = labels.named(value)
    read = number(value, question, scales)
    if not isinstance(read, float):
        if isinstance(read, Problem) and read.kind == "not_a_number":
            return _ambiguous(value, question) if len(named) > 1 else _none_of(value, question)
        return read
    point = f"{read:g}"
    if point not in (option.name for option in question.options):
        return _none_of(value, question)
    return _given(point, question, value) if named <= {point} else _ambiguous(value, question)


# ---- options ---------------------------------------------------------------------------------------------------------


def _one(value: Json, question: Question) -> Judged:
    if isinstance(value, bool) and question.kind == "yes_no":
        return _given("yes" if value else "no", question, value)
    if isinstance(value, list) and len(value) > 1:
        return _ambiguous(value, question)
    labels, words = labels_of(question), _as_words(value)
    if words is None:
        return _none_of(value, question)
    found = labels.one(words)
    if isinstance(found, str):
        return _given(found, question, value)
    return _ambiguous(value, question) if len(labels.named(words)) > 1 else _none_of(value, question)


def _several(value: Json, question: Question) -> Judged:
    labels = labels_of(question)
    if isinstance(value, tuple | dict):
        found = _ticked(_pairs(value), labels)
    elif isinstance(value, list):
        found = _each(value, labels)
    elif (words := _as_words(value)) is None:
        return _none_of(value, question)
    elif _NONE.fullmatch(words.strip(" .。\"'「」")) and labels.one(words) is None:
        found = []
    else:
        found = labels.listed(words)
    if found is None:
        return _none_of(value, question)
    chosen = [option.name for option in question.options if option.name in found]
    most = len(question.options) if question.most is None else question.most
    if not question.least <= len(chosen) <= most:
        message = f"{question.name}: {len(chosen)} options are chosen, of {question.least} to {most}"
        return Problem("out_of_range", message)
    return Given(chosen, None, _plain(value))


def _ticked(pairs: Sequence[tuple[str, Json]], labels: Labels) -> list[str] | None:
    """{"calm": true, "tense": false}: every option once, ticked or not."""
    found = {labels.key(key): value for key, value in pairs}
    if len(found) != len(pairs) or found.keys() != labels.names or not {*map(type, found.values())} <= {bool}:
        return None
    return [name for name, value in found.items() if value and name is not None]


def _each(value: list[Json], labels: Labels) -> list[str] | None:
    """The option that each item of a list names; None where one names none."""
    found = [labels.one(words) if (words := _as_words(item)) is not None else None for item in value]
    return [name for name in found if name is not None] if None not in found else None


def _ranking(value: Json, question: Question) -> Judged:
    """All options in their order, first place first."""
    labels = labels_of(question)
    if isinstance(value, tuple | dict):
        found = _by_place([(labels.key(key), place) for key, place in _pairs(value)])
    elif isinstance(value, list) and len(value) > 1 and all(isinstance(item, tuple | dict) for item in value):
        found = _placed_objects(value, labels)
    elif isinstance(value, list):
        found = labels.ranked(str(value[0])) if len(value) == 1 else _each(value, labels)
    elif (words := _as_words(value)) is not None:
        found = labels.ranked(words)
    else:
        return _none_of(value, question)
    if found is None:
        return Problem("not_a_ranking", f"{question.name}: {shown(value)} is no order of the options")
    if len(found) != len({*found}) or {*found} != labels.names:
        lacking = ", ".join(option.name for option in question.options if option.name not in found)
        why = f"lacks {lacking}" if lacking else "names an option twice"
        return Problem("not_a_ranking", f"{question.name}: the ranking {why}")
    return Given(found, None, _plain(value))


def _placed_objects(value: list[Json], labels: Labels) -> list[str] | None:
    """Of a list such as [{"option": "calm", "rank": 1}, …] the names in the order of their places; else None."""
    placed: list[tuple[str | None, Json]] = []
    for item in value:
        parts = _pairs(item)
        names = [name for _, each in parts if isinstance(each, str) and (name := labels.one(each)) is not None]
        places = [each for _, each in parts if _place(each) is not None]
        if len(names) != 1 or len(places) != 1:
            return None
        placed.append((names[0], places[0]))
    return _by_place(placed)


def _by_place(placed: Sequence[tuple[str | None, Json]]) -> list[str] | None:
    """Names in the order of their places, which are 1, 2, ... each once; else None."""
    places = {_place(place): name for name, place in placed}
    if len(places) != len(placed) or {*places} != {*range(1, len(placed) + 1)} or None in places.values():
        return None
    return [name for place in sorted(each for each in places if each) if (name := places[place]) is not None]


def _place(value: Json) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    found = re.fullmatch(r"\s*([0-9]{1,2})\s*(?:位|番|st|nd|rd|th)?\s*", str(value))
    return int(found[1]) if found else None


# ---- probabilities ---------------------------------------------------------------------------------------------------


def _distribution(value: Json, question: Question) -> Judged:
    labels = labels_of(question)
    if isinstance(value, tuple | dict):
        pairs: list[tuple[str | None, Json]] = [(labels.key(key), share) for key, share in _pairs(value)]
    elif (words := _as_words(value)) is not None:
        pairs = [(name, share) for name, share in labels.paired(_TOTAL.sub("", plain(words)), _SHARE) or ()]
    else:
        return _none_of(value, question)
    if not pairs or any(name is None for name, _ in pairs):
        return _none_of(value, question)
    if len({name for name, _ in pairs}) < len(pairs):
        return _ambiguous(value, question)
    found = {name: _share(share) for name, share in pairs if name is not None}
    if lacking := [option.name for option in question.options if option.name not in found]:
        return Problem("missing_question", f"{question.name}: no probability of {', '.join(lacking)}")
    return _summed(found, question, value)


def _share(value: Json) -> tuple[float, int, bool] | None:
    """A number, its decimals, and whether it is said to be a percentage; None where it is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    written = value if isinstance(value, str) else repr(value)
    found = _SHARE.fullmatch(written)
    if found is None:
        return None
    amount = float(found["number"])
    return amount, len(found["number"].partition(".")[2].rstrip("0")), found["percent"] is not None


def _summed(found: Mapping[str, tuple[float, int, bool] | None], question: Question, value: Json) -> Judged:
    """The shares of 1, where they add up to 100 per cent, or to 1, as far as they are rounded."""
    bad = next((name for name, share in found.items() if share is None), None)
    if bad is not None:
        return Problem("not_a_number", f"{question.name}: the probability of {bad} is not a number from 0 to 100")
    stated = {option.name: share for option in question.options if (share := found[option.name]) is not None}
    total = sum(share for share, _, _ in stated.values())
    decimals = max(places for _, places, _ in stated.values())
    signs = {sign for _, _, sign in stated.values()}
    rounding = len(stated) * 0.5 * 10.0**-decimals
    for whole in (PERCENT, 1.0) if True not in signs else (PERCENT,):
        if isfinite(total) and abs(total - whole) <= min(rounding, MOST_OFF * whole) + OFF_GRID:
            if any(share > whole for share, _, _ in stated.values()):
                break
            shares = {name: round(share / whole, 9) for name, (share, _, _) in stated.items()}
            return Given(shares, None, _plain(value), moments(shares))
    return Problem("wrong_sum", f"{question.name}: the probabilities add up to {total:g}, not to 100")


# ---- words -----------------------------------------------------------------------------------------------------------


def _words(value: Json, question: Question) -> Judged:
    """The words as they are; None where they are the form's own."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = f"{value:g}"
    if not isinstance(value, str):
        return Problem("not_an_option", f"{question.name}: {shown(value)} is no text")
    words = value.strip()
    forms = {form.format(question.max_chars) for each in FORMS.values() for form in (each.text, each.labelled_text)}
    if not words or _PLACEHOLDER.fullmatch(words) or words.strip("<>＜＞ ") in forms:
        return None
    if refuses_task(words):
        return Problem("refused", f"{question.name}: the model declined")
    return Given(words, None, value)


# ---- what is said of it ----------------------------------------------------------------------------------------------


def _given(name: str, question: Question, raw: Json) -> Given:
    option = next(option for option in question.options if option.name == name)
    value: Json = int(name) if question.kind == "likert" else name
    return Given(value, option.label or None, raw)


def _plain(value: Json) -> Json:
    """A value as JSON has it: objects are tuples of pairs where they were read with tolerance."""
    if isinstance(value, tuple):
        return {key: _plain(inner) for key, inner in value}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _as_words(value: Json) -> str | None:
    """A value in words; None where it is none: true, null, an object."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return f"{value:g}"
    return value if isinstance(value, str) else None


def _pairs(value: Json) -> list[tuple[str, Json]]:
    return [*value.items()] if isinstance(value, dict) else [*value]


def _ambiguous(value: Json, question: Question) -> Problem:
    return Problem("ambiguous", f"{question.name}: {shown(value)} names more than one answer")


def _none_of(value: Json, question: Question) -> Problem:
    return Problem("not_an_option", f"{question.name}: {shown(value)} is none of the answers that are offered")


_OF_KIND: Mapping[str, Callable[[Json, Question], Judged]] = {
    "choice": _one,
    "yes_no": _one,
    "choices": _several,
    "rank": _ranking,
    "distribution": _distribution,
    "text": _words,
}


def is_of_options(value: Json, question: Question) -> bool:
    """Whether an object's keys are options of the question: then it is the answer, and no wrapper around one."""
    if question.kind not in ("distribution", "rank", "choices") or not isinstance(value, tuple) or not value:
        return False
    labels = labels_of(question)
    return all(labels.key(key) is not None for key, each in value if each is not CUT)


def strict(value: Json, question: Question) -> Given | None:
    """The answer exactly as the form asks for it, of a reply that is JSON from end to end; else None."""
    if question.kind == "distribution" and (not isinstance(value, dict) or tuple(value) != option_keys(question)):
        return None
    if question.kind == "text" and not isinstance(value, str):
        return None
    found = judge(value, question)
    return found if isinstance(found, Given) else None
