"""A run's rows -> the study's TXT files, its CSV, or a Parquet table."""

from __future__ import annotations

import csv
import json
from collections import Counter, deque
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Literal, get_args

from runner.errors import ConfigError, nearest, pasted
from runner.records import PromptTemplate, Row, whole_pairs
from runner.results import files, manifest, saved
from runner.results.reply_files import FileNames
from runner.results.study.columns import header, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from runner.records import Json, Prices

Format = Literal["study", "csv", "parquet"]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    target: Path
    written: int
    """Files for `study`, else lines."""
    left_out: int
    """Trials that the format has no place for: for `csv` the failed, for `study` those without a reply or scores."""
    shared: int = 0
    """Trials that share the answer of an earlier job's, and in these formats could not be told from it."""


@dataclass(frozen=True, slots=True)
class _ExportedJob:
    """A job's folder, as far as exporting needs it."""

    folder: Path
    prompt: PromptTemplate
    prices: Mapping[str, Prices]

    def rows(self) -> Iterator[Row]:
        return saved.rows_in(self.folder, [question.name for question in self.prompt.questions])


def _once(jobs: Iterable[_ExportedJob], counted: Counter[str]) -> Iterator[tuple[_ExportedJob, Row]]:
    """Each job's rows without those whose key an earlier job has; these are counted as "shared"."""
    seen: set[str] = set()
    for job in jobs:
        keys = set()
        for row in job.rows():
            keys.add(row.key)
            if row.key in seen:
                counted["shared"] += 1
            else:
                yield job, row
        seen |= keys


def export(folder: Path, form: str, target: Path) -> Exported:
    """Write a run, or all jobs of a sweep that have results, in another format. ConfigError where that cannot be.

    study: a folder of TXT files, a folder a vendor. Labelled replies are written as they came, so that what was
    imported comes out byte for byte where its head was as this program writes it; other replies as labelled answers.
    csv: the study's columns. parquet: every field of every trial, objects as JSON.
    """
    if form not in get_args(Format):
        raise ConfigError(
            f"'{form}' is no format; {nearest(form, get_args(Format))}", where="command line", key="--format"
        )
    jobs = [_job(path) for path in manifest.result_folders(folder)]
    for job in jobs:  # a row that cannot be read is said before a file is written, not in the midst of thousands
        deque(job.rows(), maxlen=0)
    writers: dict[str, Callable[[list[_ExportedJob], Path], Exported]] = {
        "study": _to_study,
        "csv": _to_csv,
        "parquet": _to_parquet,
    }
    return writers[form](jobs, target)


def _job(folder: Path) -> _ExportedJob:
    experiment = saved.experiment_in(folder)
    return _ExportedJob(folder, experiment.prompt, {model.name: model.prices for model in experiment.models})


# ---- the study's TXT -------------------------------------------------------------------------------------------------


def _to_study(jobs: list[_ExportedJob], target: Path) -> Exported:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError("is there already, and not an empty folder", where=str(target), advice=f"ls {pasted(target)}")
    names = FileNames()
    vendors: dict[str, Path] = {}
    counted: Counter[str] = Counter()
    for job, row in _once(jobs, counted):
        text = _text_of(row, job)
        if text is None:
            counted["left out"] += 1
            continue
        if row.vendor not in vendors:
            vendors[row.vendor] = target / names.folder(row.vendor)
            vendors[row.vendor].mkdir(parents=True, exist_ok=True)
        (vendors[row.vendor] / names.of(row)).write_bytes(text.encode("utf-8", "backslashreplace"))
        counted["written"] += 1
    return Exported(target, counted["written"], counted["left out"], counted["shared"])


def _text_of(row: Row, job: _ExportedJob) -> str | None:
    """A reply's file; None where there is neither a reply nor scores."""
    if row.reply is None and row.outcome != "scored":
        return None
    as_it_came = row.reply is not None and job.prompt.reply == "labelled"
    shown = replace(row, outcome="unscorable") if as_it_came else row
    return files.reply_text(shown, job.prompt, job.prices.get(row.model))


# ---- tables ----------------------------------------------------------------------------------------------------------


def _to_csv(jobs: list[_ExportedJob], target: Path) -> Exported:
    prompt = jobs[0].prompt
    if any(job.prompt.questions != prompt.questions for job in jobs):
        raise ConfigError("the jobs ask different questions; export one of them", where=str(jobs[0].folder.parent))
    counted: Counter[str] = Counter()
    rows = [row for _, row in _once(jobs, counted)]
    replied = [row for row in rows if row.outcome != "failed"]
    with _beside(target) as beside, beside.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header(prompt))
        writer.writerows(lines_of(replied, prompt))
    return Exported(target, len(replied), len(rows) - len(replied), counted["shared"])


def _to_parquet(jobs: list[_ExportedJob], target: Path) -> Exported:
    """`scores` and `reasons` become a column a question; the other objects are JSON, so that any reader takes them."""
    import pandas as pd

    questions = dict.fromkeys(question.name for job in jobs for question in job.prompt.questions)
    lines = [_flat(row, questions) for job in jobs for row in job.rows()]
    frame = pd.DataFrame(lines, columns=_columns(questions)).astype(_kinds(questions))
    with _beside(target) as beside:
        frame.to_parquet(beside, index=False)
    return Exported(target, len(lines), 0)


_OBJECTS = ("problem", "requested", "sent", "dropped", "tokens", "stated")
_FLOATS = ("latency_s", "price_usd", "saved_usd")
_WHOLE = ("job", "repetition", "attempts")


def _columns(questions: Iterable[str]) -> list[str]:
    """Row's fields in their order, each question in the place of `scores` and of `reasons`."""
    wide = {"scores": [f"score_{name}" for name in questions], "reasons": [f"reason_{name}" for name in questions]}
    return [column for field in fields(Row) for column in wide.get(field.name, [field.name])]


def _kinds(questions: Iterable[str]) -> dict[str, str]:
    numbers = dict.fromkeys((*_FLOATS, *(f"score_{name}" for name in questions)), "float64")
    kinds = {**numbers, **dict.fromkeys(_WHOLE, "int64")}
    return {name: kinds.get(name, "string") for name in _columns(questions)}


def _flat(row: Row, questions: Iterable[str]) -> dict[str, Json]:
    line: dict[str, Json] = json.loads(files.row_to_json(row))
    for name in questions:
        line[f"score_{name}"] = line["scores"].get(name)
        line[f"reason_{name}"] = line["reasons"].get(name)
    for name in _OBJECTS:
        line[name] = json.dumps(line[name], ensure_ascii=False) if line.get(name) is not None else None
    return {name: whole_pairs(value) if isinstance(value, str) else value for name, value in line.items()}


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A path to write to that becomes `target` when all is written. ConfigError where its folder cannot be written."""
    beside = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        beside.replace(target)
    except OSError as error:
        advice = f"ls -ld {pasted(target.parent)}"
        raise ConfigError(f"cannot be written: {error.strerror or error}", where=str(target), advice=advice) from error
