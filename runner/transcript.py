"""A run's files: results.jsonl, errors.jsonl, and a text file for each reply.

results.jsonl has a line for each trial, the fields in the order of records.Row; errors.jsonl one for each trial without
a score. Both are written beside their names and renamed when the run is complete: a file under its own name is whole.

A reply's file is in the format of the study that this project comes from (N. Shirahama, llm-literary-analysis):
`{text}_{model}_{persona}_temp{NN}_{trial}.txt` in a folder a vendor, NN the temperature that was sent times 100, `--`
where none was. In it a head of metadata, a blank line, and the labelled answers; the reply as it came where it could
not be read. The time is UTC; the model is the provider's own name for it; a reason that is missing has no line.

All files are UTF-8, lines end in a line feed. Half a surrogate pair, which JSON and Python can hold and UTF-8 cannot,
stays in the .jsonl files as JSON's own escape, and is written out as that escape in the text files. Names are kept as
they are inside the files; what a file system may not take is replaced in file names only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from contextlib import ExitStack
from dataclasses import fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

from runner.errors import RunnerError
from runner.records import Dropped, Problem, Row, Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from runner.records import Json, Prices, PromptTemplate

_AGAIN = "run the same command again: answers that were paid for are not bought twice"


# ---- results.jsonl ---------------------------------------------------------------------------------------------------

_FIELDS = tuple(field.name for field in fields(Row))
_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=dict).encode
_ESCAPED = re.compile("[\x85\u2028\u2029\ud800-\udfff]")
"""Halves of pairs, which UTF-8 cannot hold, and what some readers take for the end of a line."""


def row_to_json(row: Row) -> str:
    """The row as one line, without its line break. Whole scores are written without a decimal point."""
    line = {name: getattr(row, name) for name in _FIELDS}
    line["scores"] = {question: _short(score) for question, score in row.scores.items()}
    line["problem"] = _object(row.problem)
    line["dropped"] = [_object(dropped) for dropped in row.dropped]
    line["tokens"] = _object(row.tokens)
    return _line(line)


def row_from_json(line: str) -> Row:
    """The row that a line holds; fields that a later version added are passed over. RunnerError where it is no row."""
    try:
        found: dict[str, Any] = {name: value for name, value in json.loads(line).items() if name in _FIELDS}
        found["scores"] = {name: None if score is None else float(score) for name, score in found["scores"].items()}
        found["problem"] = Problem(**found["problem"]) if found["problem"] else None
        found["dropped"] = tuple(Dropped(**dropped) for dropped in found["dropped"])
        found["tokens"] = Tokens(**found["tokens"])
        return Row(**found)
    except ValueError as error:
        raise RunnerError(f"not JSON, or cut off ({error})", advice=_AGAIN) from error
    except (AttributeError, KeyError, TypeError) as error:
        raise RunnerError(f"not a row of results ({type(error).__name__}: {error})", advice=_AGAIN) from error


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a results.jsonl, one at a time. RunnerError with file and line at the first that cannot be read."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise RunnerError(f"{path}: {error.strerror or error}", advice=_AGAIN) from error
    with file:
        for number, line in enumerate(file, 1):
            try:
                row = row_from_json(line.decode())
            except (RunnerError, UnicodeDecodeError) as error:
                raise RunnerError(f"{path}, line {number}: {error}", advice=_AGAIN) from error
            yield row


def _line(value: Mapping[str, Json]) -> str:
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", _ENCODE(value))


def _object(value: Problem | Dropped | Tokens | None) -> dict[str, Json] | None:
    """A record without its class. Not dataclasses.asdict, which copies every value and takes half of the whole time."""
    return None if value is None else {name: getattr(value, name) for name in value.__slots__}


def _short(number: float | None) -> float | int | None:
    return int(number) if number is not None and number == int(number) else number


# ---- a run's folder --------------------------------------------------------------------------------------------------


class RunFolder:
    """Writes a job's rows to its folder. A context manager.

    At its end results.jsonl and errors.jsonl get their names; after an error they stay beside them, as `.part`. The
    same rows in the same order get the same file names. `prices` are by the model's name in conf; a model without one
    has no `pricing` in its replies.
    """

    def __init__(self, path: Path, prompt: PromptTemplate, prices: Mapping[str, Prices] | None = None) -> None:
        self.path = path
        self.prompt = prompt
        self.prices = prices or {}
        self._names = FileNames()
        self._vendors: dict[str, Path] = {}
        self._open = ExitStack()

    def __enter__(self) -> RunFolder:
        self.path.mkdir(parents=True, exist_ok=True)
        self._results = self._begin("results.jsonl")
        self._errors = self._begin("errors.jsonl")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._open:
            if error is None:
                for file in (self._results, self._errors):
                    file.flush()
                    os.fsync(file.fileno())
        if error is None:
            for name in ("results.jsonl", "errors.jsonl"):
                (self.path / f"{name}.part").replace(self.path / name)

    def add(self, row: Row) -> None:
        """Write one trial: its line, its line among the errors where it has no score, and its reply's file."""
        self._results.write(row_to_json(row).encode() + b"\n")
        if row.outcome != "scored":
            self._errors.write(_error_line(row).encode() + b"\n")
        if row.reply is not None:
            name = self._names.of(row)
            text = reply_text(row, self.prompt, self.prices.get(row.model))
            with open(f"{self._folder(row.vendor)}/{name}", "wb", buffering=0) as file:  # noqa: PTH123  twice as fast
                file.write(text.encode("utf-8", "backslashreplace"))

    def _begin(self, name: str) -> BinaryIO:
        return self._open.enter_context((self.path / f"{name}.part").open("wb"))

    def _folder(self, vendor: str) -> Path:
        if vendor not in self._vendors:
            self._vendors[vendor] = self.path / "replies" / self._names.folder(vendor)
            self._vendors[vendor].mkdir(parents=True, exist_ok=True)
        return self._vendors[vendor]


def _error_line(row: Row) -> str:
    names = ("key", "job", "cell", "text", "repetition", "outcome")
    return _line({**{name: getattr(row, name) for name in names}, "problem": _object(row.problem), "reply": row.reply})


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
        label = f"Q{number}. {question.label or question.name}"
        lines = [f"{label}({value}): {_short(row.scores[question.name])}"]
        if row.reasons[question.name]:
            lines.append(f"{label}({reason}): {row.reasons[question.name]}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _on_one_line(name: str) -> str:
    """The name as it is; in JSON's quotes where a line break in it would pass for more metadata."""
    return name if len(name.splitlines()) <= 1 else json.dumps(name, ensure_ascii=False)


# ---- file names ------------------------------------------------------------------------------------------------------

_UNSAFE = re.compile('[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff/\\\\:*?"<>|]')
"""What a common file system refuses, and what hides or turns round the text of a name."""
_RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE)
"""Windows takes these for devices, with any ending."""
_MAX_BYTES = 200
"""Of a whole file name; file systems stop at 255, some tools earlier."""
_HASH_BYTES = 9
"""Of a hash with its dash."""
_MAX_PART_BYTES = 48
"""Of each of the three names in a file name that would be too long."""


class FileNames:
    """Gives every reply a file name of its own, and every vendor a folder of its own.

    A name that had to be changed gets a short hash of what it was; so does one that another has taken, where names that
    differ only in case or in how an accent is composed are the same.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._folders: set[str] = set()

    def of(self, row: Row) -> str:
        """The name of a row's file. No two calls give the same."""
        parts = [row.text, row.model, row.persona]
        temperature = row.sent.get("temperature")
        heat = "--" if temperature is None else f"{round(temperature * 100):02d}"
        end = f"_temp{heat}_{row.repetition:02d}.txt"
        name = "_".join(_safe(part) for part in parts) + end
        if len(name.encode()) > _MAX_BYTES - _HASH_BYTES:
            name = "_".join(_safe(part, _MAX_PART_BYTES) for part in parts) + end
        identity = (row.job, row.cell, row.vendor, *parts, temperature, row.repetition, row.key)
        return _unique(name.removesuffix(end), end, identity, self._taken)

    def folder(self, vendor: str) -> str:
        """The name of a vendor's folder. No two calls give the same."""
        return _unique(_safe(vendor, _MAX_PART_BYTES), "", (vendor,), self._folders)


def _unique(stem: str, end: str, identity: tuple[Json, ...], taken: set[str]) -> str:
    """`stem` + `end`, with a hash of `identity` between them where that is taken; it is taken from now on."""
    name, tries = stem + end, 0
    while _folded(name) in taken:
        name = f"{stem}-{_hash(f'{identity} {tries}')}{end}"
        tries += 1
    taken.add(_folded(name))
    return name


@lru_cache(maxsize=4096)
def _safe(name: str, max_bytes: int = _MAX_BYTES) -> str:
    """`name` as a part of a file name: itself where it can be, else what can be kept of it and a hash."""
    safe = _UNSAFE.sub("_", name).strip(". ")
    if _RESERVED.fullmatch(safe):
        safe = f"_{safe}"
    safe = safe.encode()[:max_bytes].decode(errors="ignore").rstrip(". ")
    return safe if safe == name and safe else f"{safe or '_'}-{_hash(name)}"


def _hash(words: str) -> str:
    return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _folded(name: str) -> str:
    """What a file system that ignores case and composition makes of a name."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).upper().casefold())
