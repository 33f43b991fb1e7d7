"""A run's files: results.jsonl, errors.jsonl, and the text of each reply (named and stored by reply_files).

results.jsonl has a line for each trial, the fields in the order of records.Row; errors.jsonl one for each trial without
a score. Both are written beside their names and renamed when the run is complete: a file under its own name is whole.

A reply's text is in the format of the study that this project comes from (N. Shirahama, llm-literary-analysis): a head
of metadata, a blank line, and the labelled answers; the reply as it came where it could not be read. The time is UTC;
the model is the provider's own name for it; a reason that is missing has no line.

All files are UTF-8, lines end in a line feed. Half a surrogate pair, which JSON and Python can hold and UTF-8 cannot,
stays in the .jsonl files as JSON's own escape, and is written out as that escape in the text files. Names are kept as
they are inside the files; what a file system may not take is replaced in file names only.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, fields
from functools import lru_cache
from operator import attrgetter
from types import UnionType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Union, get_args, get_origin, get_type_hints

from runner import fastjson
from runner.errors import RunnerError, pasted
from runner.records import Dropped, Given, Outcome, Problem, Route, Row, Source, Stated, Tokens, is_factor
from runner.results.reply_files import store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from runner.records import Json, Prices, PromptTemplate, Question

_AGAIN = "run the same command again: answers that were paid for are not bought twice"


# ---- results.jsonl ---------------------------------------------------------------------------------------------------

_FIELDS = tuple(field.name for field in fields(Row))
_NAMES = frozenset(_FIELDS)
_ASKED_AGAIN = ("asked", "taken", "earlier_usd")
_USUAL = _NAMES - {"stated", "answers", "question", "factors", "redacted", *_ASKED_AGAIN}
"""The fields of every line; `stated` is in those alone whose scores were converted, `answers` where a question is no
plain number, `question` where each has a request of its own, `redacted` in those whose reply had a key in it, and the
last three in those of trials that were asked again."""
_KINDS = tuple(field.name for field in fields(Tokens))
_COUNTED = attrgetter(*_KINDS)
_USUAL_KINDS = frozenset({"input", "output", "cached", "reasoning"})
"""Counts of every line; others are in those alone whose reply has them."""
_VALUES = attrgetter(*_FIELDS)
_BREAKS = re.compile(b"\xc2\x85|\xe2\x80[\xa8\xa9]")
"""In UTF-8, what some readers take for the end of a line though it may stand within a JSON text."""


def row_to_json(row: Row) -> str:
    """The row as one line, without its line break. Whole scores are written without a decimal point."""
    return _row_line(row).decode()


def _row_line(row: Row) -> bytes:
    line = dict(zip(_FIELDS, _VALUES(row), strict=True))
    line["scores"] = {question: _short(score) for question, score in row.scores.items()}
    line["tokens"] = {
        kind: number for kind in _KINDS if (number := getattr(row.tokens, kind)) is not None or kind in _USUAL_KINDS
    }
    if row.stated:
        line["stated"] = {question: asdict(stated) for question, stated in row.stated.items()}
    else:
        del line["stated"]
    if row.answers:
        line["answers"] = {question: given and _given_line(given) for question, given in row.answers.items()}
    else:
        del line["answers"]
    if row.question is None:
        del line["question"]
    if not row.redacted:
        del line["redacted"]
    del line["factors"]
    if row.factors:
        line |= row.factors
        if unmarked := [name for name in row.factors if not is_factor(name)]:
            line["factors"] = unmarked
    if row.asked == 1:
        for name in _ASKED_AGAIN:
            del line[name]
    return _line(line)


def _given_line(given: Given) -> dict[str, Json]:
    """An answer's fields; moments are those of a distribution alone."""
    line: dict[str, Json] = {"value": given.value, "label": given.label, "raw": given.raw}
    return line if given.moments is None else {**line, "moments": dict(given.moments)}


def row_from_json(line: str | bytes) -> Row:
    """The row that a line holds; fields that a later version added are passed over. RunnerError where it is no row."""
    try:
        return _row(fastjson.loads_finite(line))
    except RecursionError as error:
        raise RunnerError("not a row of results (nested too deep)", advice=_AGAIN) from error
    except ValueError as error:
        raise RunnerError(f"not JSON, or cut off ({error})", advice=_AGAIN) from error
    except (AttributeError, KeyError, OverflowError, TypeError) as error:
        raise RunnerError(f"not a row of results ({type(error).__name__}: {error})", advice=_AGAIN) from error


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a results.jsonl, one at a time. RunnerError with file and line at the first that cannot be read."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise _unopened(path, error) from error
    with file:
        for number, line in enumerate(file, 1):
            try:
                row = row_from_json(line)
            except RunnerError as error:
                raise _damaged(path, number, error) from error
            yield row


def _unopened(path: Path, error: OSError) -> RunnerError:
    from runner.results.saved import advice_of  # which reads rows itself

    lost = isinstance(error, FileNotFoundError | NotADirectoryError)
    advice = advice_of(path.parent) if lost else f"ls -l {pasted(path)}"
    return RunnerError(f"{path}: {error.strerror or error}; {_AGAIN}", advice=advice)


def _damaged(path: Path, number: int, error: RunnerError) -> RunnerError:
    from runner.results.saved import advice_of  # which reads rows itself

    return RunnerError(f"{path}, line {number}: {error}; {_AGAIN}", advice=advice_of(path.parent))


def _line(value: Mapping[str, Json]) -> bytes:
    line = fastjson.dumps(value)
    if b"\xe2\x80" not in line and b"\xc2\x85" not in line:
        return line
    return _BREAKS.sub(lambda found: f"\\u{ord(found[0].decode()):04x}".encode(), line)


def _short(number: float | None) -> float | int | None:
    return int(number) if number is not None and number == int(number) else number


# ---- what a line must hold -------------------------------------------------------------------------------------------

_NUMBER, _TEXT = frozenset({int, float, type(None)}), frozenset({str, type(None)})


def _kinds_of(hint: Any) -> frozenset[type]:
    """The types that a value of a field of Row may have."""
    match get_origin(hint):
        case None:
            return frozenset({int, float} if hint is float else {hint})
        case origin if origin in {Union, UnionType}:
            return frozenset().union(*map(_kinds_of, get_args(hint)))
        case origin if origin is Literal:
            return frozenset({str})
        case origin:
            return frozenset({dict if origin is Mapping else origin})


_TYPES = {name: _kinds_of(hint) for name, hint in get_type_hints(Row, localns={"Mapping": Mapping}).items()}
"""Field -> the types that its writer gives it."""
_ROUTES, _OUTCOMES, _SOURCES = (frozenset(get_args(one)) for one in (Route, Outcome, Source))
_COUNTS = [name for name, kinds in _TYPES.items() if kinds == {int}]
_COUNTS_OF = attrgetter(*_COUNTS)
_PLAIN = frozenset({str, int, float, bool, type(None)})
_SEEN: set[tuple[type, ...]] = set()
"""Types of whole rows that were found good: rows of one run have a few, and it is these that are looked up."""
_MOST = 2**63
"""No count is as large: arrays and tables hold none that is."""
_DEEPEST = 30
"""Lists within lists in a parameter; what this program writes has a few."""


def _row(found: Any) -> Row:
    """The row that a JSON value is. ValueError, TypeError, KeyError, AttributeError or OverflowError where it is none.

    36,000 rows are read where statistics are made, so that what every row has is looked at with as few steps as go.
    """
    if not isinstance(found, dict):
        raise TypeError(f"{type(found).__name__} in place of an object")
    if "stated" in found:
        found["stated"] = {name: Stated(**stated) for name, stated in found["stated"].items()}
    if "answers" in found:
        found["answers"] = {name: given and Given(**given) for name, given in found["answers"].items()}
    if found.keys() != _USUAL:
        found = _with_factors(found)
    scores = found["scores"]
    if not _NUMBER.issuperset(map(type, scores.values())):
        raise TypeError("a score is no number")
    found["scores"] = {name: None if score is None else float(score) for name, score in scores.items()}
    found["problem"] = Problem(**found["problem"]) if found["problem"] else None
    found["dropped"] = tuple(Dropped(**dropped) for dropped in found["dropped"])
    found["tokens"] = Tokens(**found["tokens"])
    row = Row(**found)
    kinds = tuple(map(type, _VALUES(row)))
    if kinds not in _SEEN:
        wrong = next((name for name, kind in zip(_FIELDS, kinds, strict=True) if kind not in _TYPES[name]), None)
        if wrong is not None:
            raise TypeError(f"'{wrong}' is {_shown(getattr(row, wrong))}")
        _SEEN.add(kinds)
    _check(row)
    if row.dropped or row.problem is not None or row.stated or row.answers:
        _check_rare(row)
    return row


def _with_factors(found: dict[str, Any]) -> dict[str, Any]:
    """A line's fields, with those of its keys that are factors together."""
    listed = found.pop("factors", ())
    if listed and not (isinstance(listed, list) and all(isinstance(name, str) for name in listed)):
        raise TypeError("'factors' is no list of names")
    others = [name for name in found if name not in _NAMES]
    factors = {name: found[name] for name in others if is_factor(name) or name in listed}
    for name, value in factors.items():
        if type(value) not in _PLAIN or (type(value) is int and abs(value) >= _MOST):
            raise TypeError(f"'{name}' is {_shown(value)}")
    for name in others:
        del found[name]
    if factors:
        found["factors"] = factors
    return found


def _check(row: Row) -> None:
    """TypeError, RecursionError or OverflowError at a value that no row has."""
    if row.outcome not in _OUTCOMES or row.route not in _ROUTES or not (row.source is None or row.source in _SOURCES):
        raise TypeError(f"outcome, route and source are {row.outcome}, {row.route} and {row.source}")
    counts = _COUNTS_OF(row)
    if min(counts) < 0 or max(counts) >= _MOST:
        raise TypeError(f"{', '.join(_COUNTS[:-1])} or {_COUNTS[-1]} is a number beyond all bounds")
    if not _TEXT.issuperset(map(type, row.reasons.values())):
        raise TypeError("a reason is no text")
    _check_tokens(row.tokens)
    _check_params("requested", row.requested)
    _check_params("sent", row.sent)


def _check_tokens(tokens: Tokens) -> None:
    for count in _COUNTED(tokens):
        if count is not None and (type(count) is not int or not 0 <= count < _MOST):
            raise TypeError(f"a count of tokens is {_shown(count)}")


def _check_params(name: str, params: Mapping[str, Json]) -> None:
    if not _PLAIN.issuperset(map(type, params.values())) and is_deep(params, _DEEPEST):
        raise RecursionError
    heat = params.get("temperature")
    if type(heat) not in _NUMBER:
        raise TypeError(f"'{name}' has a temperature of {_shown(heat)}")


def _check_rare(row: Row) -> None:
    """Likewise of what few rows have."""
    if row.problem is not None and not (type(row.problem.kind) is type(row.problem.message) is str):
        raise TypeError("the problem is no text")
    for dropped in row.dropped:
        if not (type(dropped.parameter) is type(dropped.reason) is str):
            raise TypeError("what was dropped has no name or no reason")
        if is_deep(dropped.value, _DEEPEST):
            raise RecursionError
    for name, stated in row.stated.items():
        if not {int, float}.issuperset(map(type, asdict(stated).values())):
            raise TypeError(f"what is stated of '{name}' lacks a number")
    for name, given in row.answers.items():
        if given is not None:
            _check_given(name, given)


def _check_given(name: str, given: Given) -> None:
    """Likewise of an answer: its value is words, a number, a list of names, or a number for each name."""
    value = given.value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    kinds = {int, float} if isinstance(value, dict) else {str} if isinstance(value, list) else {int, float, str}
    if not kinds.issuperset(map(type, inner)) or type(given.label) not in _TEXT or is_deep(given.raw, _DEEPEST):
        raise TypeError(f"the answer to '{name}' is {_shown(value)}")
    if any(type(one) in {int, float} and not -_MOST < one < _MOST for one in inner):
        raise TypeError(f"the answer to '{name}' is a number beyond all bounds")
    if given.moments is not None and not {int, float}.issuperset(map(type, given.moments.values())):
        raise TypeError(f"the moments of '{name}' are no numbers")


def is_deep(value: Json, most: int) -> bool:
    """Whether lists and objects lie within one another more than `most` times."""
    level = [value]
    for _ in range(most):
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        if not inner:
            return False
        level = [each for some in inner for each in some]
    return True


def _shown(value: Any) -> str:
    """A value on a few characters; of a number of 400 digits, that it is one."""
    if type(value) is int and abs(value) >= _MOST:
        return "a number beyond all bounds"
    return f"{type(value).__name__} {str(value)[:40]!r}" if type(value) in _PLAIN else type(value).__name__


# ---- a run's folder --------------------------------------------------------------------------------------------------


class RunFolder:
    """Writes a job's rows to its folder. A context manager.

    At its end results.jsonl and errors.jsonl get their names; after an error they stay beside them, as `.part`. The
    same rows in the same order get the same file names. `prices` are by the model's name in conf; a model without one
    has no `pricing` in its replies. `trials` is how many rows will come, where that is known: see reply_files.store.
    `prompts` are those that are asked; a row that does not say its own is of the first.
    """

    def __init__(
        self,
        path: Path,
        prompts: Sequence[PromptTemplate],
        prices: Mapping[str, Prices] | None = None,
        *,
        trials: int = 0,
    ) -> None:
        self.path = path
        self._first = prompts[0]
        self._prompts: dict[Json, PromptTemplate] = {prompt.name: prompt for prompt in prompts}
        self.prices = prices or {}
        self.trials = trials
        self._open = ExitStack()

    def __enter__(self) -> RunFolder:
        self.path.mkdir(parents=True, exist_ok=True)
        self._replies = self._open.enter_context(store(self.path / "replies", self.trials))
        self._results = self._begin("results.jsonl")
        self._errors = self._begin("errors.jsonl")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            for file in (self._results, self._errors):
                file.flush()
                os.fsync(file.fileno())
            for name in ("results.jsonl", "errors.jsonl"):
                (self.path / f"{name}.part").replace(self.path / name)
        self._open.__exit__(kind, error, trace)

    def add(self, row: Row) -> None:
        """Write one trial: its line, its line among the errors where it has no score, and its reply's file."""
        self._results.write(_row_line(row) + b"\n")
        if row.outcome != "scored":
            self._errors.write(_error_line(row) + b"\n")
        if row.reply is not None:
            prompt = self._prompts.get(row.factors.get("prompt"), self._first)
            text = reply_text(row, prompt, self.prices.get(row.model))
            self._replies.add(row, text.encode("utf-8", "backslashreplace"))

    def _begin(self, name: str) -> BinaryIO:
        return self._open.enter_context((self.path / f"{name}.part").open("wb"))


def _error_line(row: Row) -> bytes:
    names = ("key", "job", "cell", "text", "repetition", "outcome", "problem", "reply")
    return _line({name: getattr(row, name) for name in names})


# ---- a reply's file --------------------------------------------------------------------------------------------------


def reply_text(row: Row, prompt: PromptTemplate, prices: Prices | None = None) -> str:
    """What stands in a reply's file: metadata, a blank line, then the answers or the reply as it came."""
    return f"{_head(row, prices)}\n{_answers(row, prompt) if row.outcome == 'scored' else row.reply or ''}\n"


def _head(row: Row, prices: Prices | None) -> str:
    """The metadata, in the study's order. `temperature` is the one that was sent."""
    head = {
        "timestamp": row.time[:19].replace("T", " ") if row.time else None,
        "text": _on_one_line(row.text),
        "model": _on_one_line(row.model_id),
        "persona": _on_one_line(row.persona),
        "temperature": row.sent.get("temperature"),
        "trial": row.repetition,
    }
    return "".join(f"{name}: {value}\n" for name, value in head.items()) + _pricing(prices)


@lru_cache
def _pricing(prices: Prices | None) -> str:
    """US dollars per million tokens, those that are known."""
    if prices is None:
        return ""
    rates = {
        "input": prices.input_usd_per_mtok,
        "cached_input": prices.cached_usd_per_mtok,
        "output": prices.output_usd_per_mtok,
    }
    known = {name: rate for name, rate in rates.items() if rate is not None}
    return f"pricing: {json.dumps(known, indent=2)}\n" if known else ""


def _answers(row: Row, prompt: PromptTemplate) -> str:
    value, reason = ("数値", "理由") if prompt.language == "ja" else ("value", "reason")
    blocks = []
    for number, question in enumerate(prompt.questions, 1):
        if row.question not in (None, question.name):
            continue
        label = f"Q{number}. {question.label or question.name}"
        if (given := row.answers.get(question.name)) is None:
            lines = [f"{label}({value}): {_short(row.scores[question.name])}"]
        else:
            lines = [_given_words(label, given, question, prompt.language)]
        if row.reasons.get(question.name):
            lines.append(f"{label}({reason}): {row.reasons[question.name]}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _given_words(label: str, given: Given, question: Question, language: str) -> str:
    """The line of an answer that is no plain number."""
    from runner.plan.reply_format import value_word, words_of, written  # which most rows do not need

    words = words_of("ja" if language == "ja" else "en")
    return f"{label}({value_word(question, words)}): {written(given.value, question)}"


def _on_one_line(name: str) -> str:
    """The name as it is; in JSON's quotes where a line break in it would pass for more metadata."""
    return name if len(name.splitlines()) <= 1 else json.dumps(name, ensure_ascii=False)
