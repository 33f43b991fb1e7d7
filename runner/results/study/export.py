"""A run's rows -> the study's TXT files, its CSV, or a Parquet table."""

from __future__ import annotations

import csv
import json
from collections import Counter, deque
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from runner.errors import ConfigError, nearest, pasted
from runner.records import Row, whole_pairs
from runner.results import files, manifest, saved
from runner.results.factors import JobSettings, of_rows, shown
from runner.results.reply_files import FileNames
from runner.results.study import further
from runner.results.study.columns import header, line_of
from runner.results.study.form import PROMPT
from runner.results.study.parquet import METADATA, OBJECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from runner.records import Experiment, Json, Prices

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
    number: int
    experiment: Experiment
    overrides: Sequence[str]

    @property
    def prices(self) -> Mapping[str, Prices]:
        return {model.name: model.prices for model in self.experiment.models}

    def rows(self) -> Iterator[Row]:
        return saved.rows_in(self.folder, self.experiment)


def _once(jobs: Sequence[_ExportedJob], counted: Counter[str]) -> Iterator[tuple[_ExportedJob, Row]]:
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
    csv: the study's columns, and one for each factor. parquet: every field and factor of every trial, objects as JSON.
    Both come in again by `read`.
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
    run = saved.load(folder, "run.json")
    return _ExportedJob(folder, run["job"], saved.experiment_in(folder), run["overrides"])


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
    prompt = job.experiment.prompt_named(row.factors.get("prompt"))
    as_it_came = row.reply is not None and prompt.reply == "labelled"
    shown = replace(row, outcome="unscorable") if as_it_came else row
    return files.reply_text(shown, prompt, job.prices.get(row.model))


# ---- tables ----------------------------------------------------------------------------------------------------------


def _to_csv(jobs: list[_ExportedJob], target: Path) -> Exported:
    """The study's columns, then the rows' factors: what they cannot tell apart is one row."""
    prompts = [prompt for job in jobs for prompt in job.experiment.prompts]
    questions = list({each.name: each for prompt in prompts for each in prompt.questions}.values())
    studys = further.is_studys(prompts)
    rows = [(job, row, factors) for job, read in _with_factors(jobs) for row, factors in read]
    replied = [each for each in rows if each[1].outcome != "failed"]
    told_apart: dict[Json, tuple[_ExportedJob, Row, dict[str, Json]]] = {}
    for job, row, factors in replied:
        told_apart.setdefault(
            (row.key, row.model, row.persona, row.text, row.repetition, *factors.items()), (job, row, factors)
        )
    names = _ordered(name for _, _, factors in told_apart.values() for name in factors)
    beyond = further.header_of([row for _, row, _ in told_apart.values()], names)
    with _beside(target) as beside, beside.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*header(questions, studys=studys), *beyond])
        for job, row, factors in told_apart.values():
            prompt = job.experiment.prompt_named(row.factors.get("prompt"))
            own = line_of(row, prompt, questions, studys=studys)
            writer.writerow([*own, *further.cells_of(row, factors, beyond)])
    return Exported(target, len(told_apart), len(rows) - len(replied), len(replied) - len(told_apart))


def _with_factors(jobs: Sequence[_ExportedJob]) -> Iterator[tuple[_ExportedJob, Iterator[tuple[Row, dict[str, Json]]]]]:
    """Each job with its rows, and the factors of each: none of a single import from the study, which knows none."""
    settings = [JobSettings(place, job.experiment, job.overrides) for place, job in enumerate(jobs)]
    for job, factors_of in zip(jobs, of_rows(settings), strict=True):
        plain = len(jobs) == 1 and job.experiment.prompt.name == PROMPT.name
        yield job, ((row, dict(row.factors) if plain else factors_of(row)) for row in job.rows())


def _ordered(names: Iterable[str]) -> list[str]:
    """The factors of a table in one order: the prompt, settings, then what is known of personas and texts."""
    return sorted({*names}, key=lambda name: (name != "prompt", name.startswith(("persona.", "text.")), name))


def _to_parquet(jobs: list[_ExportedJob], target: Path) -> Exported:
    """`scores` and `reasons` become a column a question, factors one each; the other objects are JSON, for any reader.

    The prompts and overrides of each job, which an import needs, are in the file's metadata, under METADATA.
    """
    import pandas as pd
    from pyarrow import Table, parquet

    questions = dict.fromkeys(question.name for job in jobs for question in job.experiment.questions)
    read = [(row, factors) for _, rows in _with_factors(jobs) for row, factors in rows]
    names = _ordered(name for _, factors in read for name in factors)
    lines = [_flat(row, questions) for row, _ in read]
    frame = pd.DataFrame(lines, columns=_columns(questions)).astype(_kinds(questions))
    frame = frame.assign(**{name: _of_one_kind([factors.get(name) for _, factors in read]) for name in names})
    table = Table.from_pandas(frame, preserve_index=False)
    about = [
        {"job": job.number, "overrides": [*job.overrides], "prompts": [asdict(one) for one in job.experiment.prompts]}
        for job in jobs
    ]
    said = {METADATA: json.dumps({"jobs": about, "factors": names}).encode()}
    with _beside(target) as beside:
        parquet.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **said}), beside)
    return Exported(target, len(lines), 0)


def _of_one_kind(values: list[Json]) -> pd.Series[Any]:
    """A factor's values as a column that Parquet takes: all true or false, all numbers, or text."""
    import pandas as pd

    kinds = {type(value) for value in values if value is not None}
    for some, kind in (({bool}, "boolean"), ({int}, "Int64"), ({int, float}, "float64")):
        if kinds <= some:
            return pd.Series(values, dtype=kind)
    return pd.Series([None if value is None else shown(value) for value in values], dtype="string")


_OBJECTS = OBJECTS
_FLOATS = ("latency_s", "price_usd", "saved_usd", "earlier_usd")
_WHOLE = ("job", "repetition", "attempts")


def _columns(questions: Iterable[str]) -> list[str]:
    """Row's fields in their order, each question in the place of `scores` and of `reasons`."""
    wide = {"scores": [f"score_{name}" for name in questions], "reasons": [f"reason_{name}" for name in questions]}
    return [column for field in fields(Row) if field.name != "factors" for column in wide.get(field.name, [field.name])]


def _kinds(questions: Iterable[str]) -> dict[str, str]:
    truths = {"redacted": "boolean"}
    numbers = dict.fromkeys((*_FLOATS, *(f"score_{name}" for name in questions)), "float64")
    kinds = {**numbers, **truths, **dict.fromkeys(_WHOLE, "int64"), **dict.fromkeys(("asked", "taken"), "Int64")}
    kinds["redacted"] = "boolean"
    return {name: kinds.get(name, "string") for name in _columns(questions)}


def _flat(row: Row, questions: Iterable[str]) -> dict[str, Json]:
    line: dict[str, Json] = json.loads(files.row_to_json(row))
    for name in questions:
        line[f"score_{name}"] = line["scores"].get(name)
        line[f"reason_{name}"] = line["reasons"].get(name)
    for name in (*row.factors, "factors"):
        line.pop(name, None)
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
