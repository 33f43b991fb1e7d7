"""What tells the rows of a launch apart beyond model, persona, text and repetition: its factors, name -> plain value.

A factor is whatever was swept, selected or assigned, under its name on the command line: `prompt`,
`sampling.temperature`, `model.gpt-4o.temperature`, `strict`. What is known of a persona or a text beside what is sent,
a covariate, stands among them as `persona.age` or `text.genre`.

    of a trial    what the plan gave it: Trial.factors
    of a job      the settings of a sweep that its command line made: of_job, written into each row; where a launch is
                  read whole, with all in which its jobs differ: axes, which serves rows of any version
    known         covariates

Each is a key of a row's line in results.jsonl, a column of `run.table()`, of exports and of statistics, a filter of the
report and a parameter in MLflow, all from here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from runner.config import settings
from runner.config.database_urls import without_password
from runner.records import Row, whole_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd

    from runner.records import Experiment, Json, Persona, Text
    from runner.results.launch import JobResult, Launch

SELECTED = ("model", "persona", "text", "prompt")
"""Groups of which rows have a column of their own for what was selected."""
FACTORS = "factors"
"""Where a table of pandas lists the columns that are factors: `attrs["factors"]`."""
LONGEST = 200
"""Characters of a covariate that each row has: a longer one is in experiment.json alone."""
_FIELDS = frozenset(field.name for field in fields(Row))


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What a job was asked to do."""

    number: int
    experiment: Experiment
    overrides: Sequence[str]


# ---- of one row ------------------------------------------------------------------------------------------------------


def covariates(persona: Persona, text: Text) -> dict[str, Json]:
    """What is known of a persona and a text, as `persona.age` or `text.genre`."""
    return _known_of("persona", persona) | _known_of("text", text)


def _known_of(group: str, item: Persona | Text) -> dict[str, Json]:
    known = {f"{group}.{name}": value for name, value in item.covariates.items() if not is_long(value)}
    return known | ({} if item.weight is None else {f"{group}.weight": item.weight})


def is_long(value: Json) -> bool:
    """Whether a covariate is too long to stand in each row."""
    return isinstance(value, str) and len(value) > LONGEST


def of_job(this: Launch, result: JobResult) -> dict[str, Json]:
    """The settings of a sweep's job that make it another than its neighbours, as each of its rows has them.

    Where its neighbours are not known, as in a process of its own, those that its command line made.
    """
    words = [one.overrides for one in this.results]
    names = [*axes_of(words)] if len(words) > 1 else [name for name in _named(result.overrides) if _asks(name)]
    if result.experiment is None or not (result.is_swept or len(words) > 1):
        return {}
    values = _values(JobSettings(result.index, result.experiment, result.overrides))
    return {_column(name): plain(values.get(name)) for name in names if name not in SELECTED}


def _column(name: str) -> str:
    """The column of an axis: its name, but for a choice of the user's that is called like a field of a row."""
    return f"sweep.{name}" if name in _FIELDS else name


def _asks(name: str) -> bool:
    """Whether a setting can change what is asked, or how it is read."""
    return not name.startswith("hydra") and not settings.is_runtime(tuple(name.split(".")))


def plain(value: Json) -> Json:
    """A setting's value as a row has it: text, a number, true, false or null. No password."""
    if isinstance(value, str):
        return without_password(value)
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value


def shown(value: Json) -> str:
    """A factor's value as a level's name; "" where it has none."""
    if isinstance(value, str):
        return whole_pairs(value)
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


# ---- of a launch's jobs ----------------------------------------------------------------------------------------------


def axes_of(overrides: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """Override -> its value in each job, for those that are not the same in all: "" where a job has none."""
    values = [_named(words) for words in overrides]
    names = dict.fromkeys(name for job in values for name in job)
    columns = {name: [job.get(name, "") for job in values] for name in names}
    return {name: column for name, column in columns.items() if len(set(column)) > 1}


def _named(overrides: Iterable[str]) -> dict[str, str]:
    split = (word.partition("=") for word in overrides)
    return {name.lstrip("+~"): value for name, _, value in split}


def axes(jobs: Sequence[JobSettings]) -> dict[str, list[Json]]:
    """What tells jobs apart -> its value in each; {} for a single job.

    That is what was swept, or a setting that is not the same in all, but for model, persona and text, which rows have
    in any case. `prompt` is the name of a job's prompt, and what was typed where it has several.
    """
    every = [_values(job) for job in jobs]
    by_word = axes_of([job.overrides for job in jobs])
    given = [
        *by_word,
        *(name for values in every for name in values if name == "prompt" or _is_general(name)),
    ]
    columns = {name: [each.get(name) for each in every] for name in dict.fromkeys(given) if name not in SELECTED[:3]}
    return {_column(name): values for name, values in columns.items() if name in by_word or _differ(values)}


def _is_general(name: str) -> bool:
    """Whether a setting that nobody swept is an axis where jobs differ in it: one of a prompt or a model is not."""
    return _asks(name) and name.partition(".")[0] not in SELECTED


def _values(job: JobSettings) -> dict[str, Json]:
    """The settings of a job by their names on the command line, and the words of choices that are no settings."""
    values: dict[str, Json] = {name: word or None for name, word in _named(job.overrides).items()}
    values |= {".".join(path): value for path, value in settings.settings_of(job.experiment).items()}
    names = [prompt.name for prompt in job.experiment.prompts]
    return values | {"prompt": names[0] if len(names) == 1 else f"[{','.join(names)}]"}


def _differ(values: Sequence[Json]) -> bool:
    return any(value != values[0] for value in values[1:])


def of_rows(jobs: Sequence[JobSettings]) -> list[Callable[[Row], dict[str, Json]]]:
    """For each job what gives the factors of one of its rows: what the row says, and what of its job it does not."""
    found = axes(jobs)

    def reader(place: int, job: JobSettings) -> Callable[[Row], dict[str, Json]]:
        of_job = {name: plain(values[place]) for name, values in found.items()}
        return lambda row: {"prompt": job.experiment.prompt.name} | of_job | dict(row.factors)

    return [reader(place, job) for place, job in enumerate(jobs)]


# ---- of a table ------------------------------------------------------------------------------------------------------


def with_factors(frame: pd.DataFrame, jobs: Sequence[JobSettings]) -> pd.DataFrame:
    """A table of rows (see results.frame) with a column for each factor of its jobs that its rows do not say.

    A value is text, "" where there is none. Rows of earlier versions say none.
    """
    import pandas as pd

    numbers = frame["job"].astype("int64").to_list()
    found = {name: dict(zip((job.number for job in jobs), values, strict=True)) for name, values in axes(jobs).items()}
    first = {job.number: job.experiment.prompt.name for job in jobs}
    columns: dict[str, pd.Series[Any]] = {}
    for name, by_job in (found | {"prompt": first}).items():
        words = {number: shown(plain(value)) for number, value in by_job.items()}
        of_job = pd.Series([words.get(number, "") for number in numbers], index=frame.index, dtype=object)
        own = frame[name].astype(str) if name in frame.columns else None
        columns[name] = (of_job if own is None else own.where(own != "", of_job)).astype("category")
    made = frame.assign(**columns)
    made.attrs[FACTORS] = (*dict.fromkeys((*frame.attrs.get(FACTORS, ()), *columns)),)
    return made
