"""A question's config -> a Question, with every check of its kind: what it needs, and what would change nothing."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any, get_args

from runner.errors import ConfigError, close, nearest
from runner.records import ItemScale, Option, Question, QuestionKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from runner.config import schema

KINDS: tuple[str, ...] = get_args(QuestionKind)
FROM_POINTS = ("likert", "distribution")
FROM_OPTIONS = ("choice", "choices", "rank", "distribution")
YES_NO = (
    Option("yes", "yes", ("はい", "y", "true", "ええ")),
    Option("no", "no", ("いいえ", "n", "false", "いえ")),
)
"""In English; a prompt in Japanese shows the second word."""
OWN = {
    "step": ("number",),
    "points": FROM_POINTS,
    "options": FROM_OPTIONS,
    "least": ("choices",),
    "most": ("choices",),
    "max_chars": ("text",),
    "reverse": ("number", "likert", "yes_no"),
}
"""Setting -> the kinds that have it; `low` and `high` are those of a number."""
UNSET: Mapping[str, Any] = {
    "step": None, "points": {}, "options": None, "least": 1, "most": None, "max_chars": 400, "reverse": False,
}  # fmt: skip
ANY_RANGE = (0.0, 100.0)
"""That of a question which states none."""
FEWEST = 2
"""Points or options of a question."""


def read(name: str, conf: schema.QuestionConf, language: str, where: str) -> Question:
    """The question of this name. ConfigError with file and key where its kind lacks something, or has nothing of it."""
    key = f"questions.{name}"
    if not name.isidentifier():
        raise ConfigError("a question's name is letters, digits and underscores", where=where, key=key)
    if not conf.wording.strip():
        raise ConfigError("must not be empty", where=where, key=f"{key}.wording")
    kind = _kind(conf.kind, where, f"{key}.kind")
    for setting, kinds in OWN.items():
        if kind not in kinds and getattr(conf, setting) != UNSET[setting]:
            message = f"a question of the kind {kind} has no {setting}; of the kind {' or '.join(kinds)} it has"
            raise ConfigError(message, where=where, key=f"{key}.{setting}")
    options = tuple(_options(kind, conf, language, where, key))
    low, high = _ends(kind, conf, options, where, key)
    question = Question(
        name=name, label=conf.label or name, wording=conf.wording, low=low, high=high, kind=kind, step=conf.step,
        options=options, least=conf.least, most=conf.most, max_chars=conf.max_chars, reverse=conf.reverse,
    )  # fmt: skip
    _check_sizes(question, where, key)
    return question


def scales_of(conf: Mapping[str, list[str]], questions: Iterable[Question], where: str) -> tuple[ItemScale, ...]:
    """The scales that are made of questions. ConfigError where one names none, or questions that do not add up."""
    asked = {question.name: question for question in questions}
    return tuple(_scale(name, items, asked, where) for name, items in conf.items())


def _kind(stated: str, where: str, key: str) -> QuestionKind:
    if stated not in KINDS:
        message = f"'{stated}' is not one of {', '.join(KINDS)}; {nearest(stated, KINDS)}"
        advice = f"runner prompt.{where.removeprefix('prompt/').removesuffix('.yaml')}.{key}={close(stated, KINDS)}"
        raise ConfigError(message, where=where, key=key, advice=advice if close(stated, KINDS) else None)
    found: QuestionKind = stated  # type: ignore[assignment]
    return found


# ---- options and points ---------------------------------------------------------------------------------------------


def _options(kind: str, conf: schema.QuestionConf, language: str, where: str, key: str) -> Iterator[Option]:
    """The options, or the points in rising order; none of kinds that have none."""
    if kind == "yes_no":
        for option in YES_NO:
            japanese = language == "ja"
            yield Option(option.name, option.also[0] if japanese else option.label, (option.label, *option.also))
        return
    if kind not in (*FROM_POINTS, *FROM_OPTIONS):
        return
    has = [setting for setting in ("points", "options") if kind in OWN[setting]]
    stated = [setting for setting in has if getattr(conf, setting)]
    if len(stated) != 1:
        examples = {"points": "points: {1: not at all, 2: a little, 3: very}", "options": "options: [calm, tense]"}
        message = f"a question of the kind {kind} needs {' or '.join(has)}" + (", not both" if stated else "")
        raise ConfigError(f"{message}, such as {examples[has[0]]}", where=where, key=f"{key}.{has[0]}")
    place = f"{key}.{stated[0]}"
    labels = dict(sorted(conf.points.items())) if stated == ["points"] else _named(conf.options, where, place)
    found = [
        _option(str(name), label, language, where, f"{place}.{name}", empty=stated == ["points"])
        for name, label in labels.items()
    ]
    if len(found) < FEWEST:
        raise ConfigError(f"needs {FEWEST} or more", where=where, key=place)
    if stated == ["options"] and kind == "distribution" and all(one.name.lstrip("-").isdecimal() for one in found):
        raise ConfigError("options that are numbers are points: write `points:`", where=where, key=place)
    _check_apart(found, where, place)
    yield from found


def _named(options: Any, where: str, key: str) -> dict[str, Any]:
    """Name -> label, or labels by language."""
    if isinstance(options, dict):
        return {str(name): label for name, label in options.items()}
    if isinstance(options, list):
        labels = [_word(label, where, key) for label in options]
        if (twice := [label for label, count in Counter(labels).items() if count > 1]) != []:
            raise ConfigError(f"two options are called '{twice[0]}'", where=where, key=key)
        return {label: label for label in labels}
    raise ConfigError("must be a list of labels, or a mapping from name to label", where=where, key=key)


def _option(name: str, label: Any, language: str, where: str, key: str, *, empty: bool) -> Option:
    if label is None and empty:
        return Option(name, "")
    if not isinstance(label, dict):
        return Option(name, _word(label, where, key), ())
    words = {str(each): _word(word, where, key) for each, word in label.items()}
    own = words.get(language) or words.get("*")
    if own is None:
        message = f"has no label in '{language}', which the prompt is in; it has: {', '.join(words) or 'none'}"
        raise ConfigError(message, where=where, key=key)
    return Option(name, own, tuple(dict.fromkeys(word for word in words.values() if word != own)))


def _word(label: Any, where: str, key: str) -> str:
    """A label as it is written; YAML reads some words as something else."""
    if isinstance(label, int) and not isinstance(label, bool):
        return str(label)
    if not isinstance(label, str):
        message = f"is read as {str(label).lower()}: put the label in quotes"
        raise ConfigError(message, where=where, key=key)
    if not label.strip() or "\n" in label:
        raise ConfigError("a label is words on one line, and not empty", where=where, key=key)
    return label.strip()


def _check_apart(options: list[Option], where: str, key: str) -> None:
    """ConfigError where a word stands for two options: no reply could be told apart."""
    seen: dict[str, str] = {}
    for option in options:
        for word in {folded(each) for each in (option.name, option.label, *option.also) if each}:
            other = seen.setdefault(word, option.name)
            if other != option.name:
                message = f"'{other}' and '{option.name}' share the word '{word}': no reply could be told apart"
                raise ConfigError(message, where=where, key=key)


def folded(word: str) -> str:
    """A label as replies are compared with it: one width, one case."""
    return unicodedata.normalize("NFKC", word).casefold().strip()


# ---- ranges ---------------------------------------------------------------------------------------------------------


def _ends(
    kind: str, conf: schema.QuestionConf, options: tuple[Option, ...], where: str, key: str
) -> tuple[float, float]:
    """The ends of the scale: those of a number as stated, those of points, 0 and 1 of yes and no."""
    if kind == "number":
        if not conf.low < conf.high:
            message = f"the range is upside down: low {conf.low:g} is not below high {conf.high:g}"
            raise ConfigError(message, where=where, key=f"{key}.{_set_end(conf)}")
        return conf.low, conf.high
    ends = (options[0].point, options[-1].point) if conf.points else (0.0, 1.0) if kind == "yes_no" else ANY_RANGE
    if (conf.low, conf.high) not in (ANY_RANGE, ends):
        of_points = f"the range of these points is {ends[0]:g} to {ends[1]:g}"
        message = of_points if conf.points else f"a question of the kind {kind} has no range"
        raise ConfigError(message, where=where, key=f"{key}.{_set_end(conf)}")
    return ends


def _set_end(conf: schema.QuestionConf) -> str:
    """The end of the scale that somebody set: the lower one, unless that is as nobody sets it."""
    return "high" if conf.low == ANY_RANGE[0] and conf.high != ANY_RANGE[1] else "low"


def _check_sizes(question: Question, where: str, key: str) -> None:
    """ConfigError where a step, or a number of choices or characters, cannot be."""
    wide, step = question.high - question.low, question.step
    if step is not None and not (0 < step <= wide and _whole(wide / step)):
        message = f"{step:g} does not part {question.low:g} to {question.high:g} evenly"
        raise ConfigError(message, where=where, key=f"{key}.step")
    if question.max_chars < 1:
        raise ConfigError("must be at least 1", where=where, key=f"{key}.max_chars")
    most = len(question.options) if question.most is None else question.most
    if question.kind == "choices" and not 0 <= question.least <= most <= len(question.options):
        message = f"{question.least} to {most} of {len(question.options)} options cannot be chosen"
        raise ConfigError(message, where=where, key=f"{key}.most")
    if question.kind == "choices" and most < 1:
        raise ConfigError("must be at least 1", where=where, key=f"{key}.most")


def _whole(number: float) -> bool:
    return abs(number - round(number)) < 1e-9


def _scale(name: str, items: list[str], asked: Mapping[str, Question], where: str) -> ItemScale:
    key = f"scales.{name}"
    if not name.isidentifier() or name in asked:
        message = "a scale's name is letters, digits and underscores, and no question's"
        raise ConfigError(message, where=where, key=key)
    if len({*items}) < FEWEST or len({*items}) < len(items):
        raise ConfigError("needs two questions or more, each once", where=where, key=key)
    for item in items:
        if item not in asked:
            raise ConfigError(f"no question is called '{item}'; {nearest(item, asked)}", where=where, key=key)
        if not asked[item].is_numeric:
            message = f"'{item}' is of the kind {asked[item].kind}, which has no score"
            raise ConfigError(message, where=where, key=key)
    if len({(asked[item].low, asked[item].high) for item in items}) > 1:
        raise ConfigError("its questions have different ranges, which no mean is taken of", where=where, key=key)
    return ItemScale(name, tuple(items))
