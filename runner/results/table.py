"""A launch's folder -> one table of its scores, with a column for whatever tells its trials apart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runner.config import settings
from runner.records import whole_pairs
from runner.results import manifest, saved

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from runner.records import Experiment, Json, Row

TRIAL = {
    "run": "str", "job": "int64", "cell": "str", "model": "str", "model_id": "str", "provider": "str", "vendor": "str",
    "persona": "str", "text": "str", "repetition": "int64",
}  # fmt: skip
"""Columns that say which trial a line is of, and their types."""
SCORE = {
    "question": "str", "score": "float64", "value": "str", "label": "str", "sd": "float64", "entropy": "float64",
    "reason": "str", "outcome": "str", "problem": "str", "message": "str",
}  # fmt: skip
"""Columns of what came of one question."""
REPLY = {
    "route": "str", "source": "str", "rung": "str", "requested_temperature": "float64", "sent_temperature": "float64",
    "attempts": "int64", "latency_s": "float64", "input_tokens": "float64", "output_tokens": "float64",
    "cached_tokens": "float64", "reasoning_tokens": "float64", "price_usd": "float64", "saved_usd": "float64",
    "model_version": "str", "fingerprint": "str", "time": "str", "key": "str",
}  # fmt: skip
"""Columns of the whole reply, the same in each line of its trial."""
OF_TEXT, OF_PERSONA = ("content", "name", "origin"), ("description", "name")
"""Fields of a text and of a persona that are no columns: what was read, and what is a column under another name."""


def table(folder: Path) -> pd.DataFrame:
    """The scores of a run, or of all jobs of a sweep: one line a trial and question, in the order of results.jsonl.

    Columns: those of TRIAL; one for each axis; those that a text or persona has of its own, as `text.author` or
    `persona.temperature`, where any has one; then those of SCORE and of REPLY. An axis is what was swept, or a setting
    that is not the same in all jobs, under its name on the command line (`sampling.temperature`, `prompt`); model,
    persona and text have their columns in any case.

    `score` counts as in all tables: wherever it was read, whatever else the reply lacks. A trial that failed has its
    lines too, with `problem` and `message`. `value` is the answer as stated, as text: a number, an option's name (its
    `label` beside it), words, or JSON of several names or of probabilities; `sd` and `entropy` (bits) are those of
    probabilities, whose mean is the score where they are of points. A scale has lines of its own behind those of its
    trial's questions: its score is the mean of its items'.

    A text that is missing is None, a number that is missing NaN. Tokens and prices are those of the whole reply: count
    them once a `key` and repetition. ConfigError where the folder has no results.
    """
    import pandas as pd

    jobs = [_ReadJob(path) for path in manifest.result_folders(folder)]
    axes = _axes(jobs)
    of_items = _of_items(jobs)
    columns: dict[str, list[Json]] = {name: [] for name in (*TRIAL, *axes, *of_items, *SCORE, *REPLY)}
    for place, job in enumerate(jobs):
        own = {name: values[place] for name, values in axes.items()}
        for line in _lines(job, own, of_items):
            for name, column in columns.items():
                column.append(line.get(name))
    kinds = {**TRIAL, **SCORE, **REPLY}
    return pd.DataFrame({name: _column(column, kinds.get(name)) for name, column in columns.items()})


class _ReadJob:
    """A job's folder, as far as the table needs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.experiment: Experiment = saved.experiment_in(folder)
        whole = saved.load(folder, "experiment.json")
        self.overrides: Sequence[str] = saved.load(folder, "run.json")["overrides"]
        self.scales = self.experiment.prompt.scales
        self.texts = {item["name"]: _own("text", item, OF_TEXT) for item in whole["texts"]}
        self.personas = {item["name"]: _own("persona", item, OF_PERSONA) for item in whole["personas"]}


def _own(group: str, item: Mapping[str, Json], known: Sequence[str]) -> dict[str, Json]:
    """What a text or persona says of itself; a mapping, such as the columns of a table, gives each of its keys."""
    found: dict[str, Json] = {}
    for name, value in item.items():
        if name not in known:
            inner = value.items() if isinstance(value, dict) else [(name, value)]
            found |= {f"{group}.{key}": each for key, each in inner}
    return found


def _of_items(jobs: Sequence[_ReadJob]) -> list[str]:
    """The columns that texts and personas bring, but for those that all leave empty."""
    items = [item for job in jobs for item in (*job.texts.values(), *job.personas.values())]
    return list(dict.fromkeys(name for item in items for name, value in item.items() if value not in (None, "", 0.0)))


def _axes(jobs: Sequence[_ReadJob]) -> dict[str, list[Json]]:
    """What tells the jobs apart -> its value in each; {} for a single job."""
    every = [_settings(job) for job in jobs]
    swept = manifest.axes_of([job.overrides for job in jobs])
    names = [name for name in (*swept, *dict.fromkeys(name for each in every for name in each)) if name not in TRIAL]
    columns = {name: [each.get(name) for each in every] for name in dict.fromkeys(names)}
    for name, words in swept.items():  # a choice such as `experiment=a`, which is no setting itself
        if name in columns and not any(name in each for each in every):
            columns[name] = [word or None for word in words]
    return {name: values for name, values in columns.items() if name in swept or _differ(values)}


def _settings(job: _ReadJob) -> dict[str, Json]:
    """The settings that may be axes, by their names on the command line; which prompt was asked is one."""
    found: dict[str, Json] = {"prompt": job.experiment.prompt.name}
    swept = {word.lstrip("+~").partition("=")[0] for word in job.overrides}
    for path, value in settings.settings_of(job.experiment).items():
        name, is_item = ".".join(path), path[0] in (*settings.GROUPS.values(), "prompt")
        if name in swept or not (is_item or settings.is_runtime(path)):
            found[name] = value
    return found


def _differ(values: Sequence[Json]) -> bool:
    return any(value != values[0] for value in values[1:])


def _lines(job: _ReadJob, axes: Mapping[str, Json], of_items: Sequence[str]) -> Iterator[dict[str, Json]]:
    asked = [question.name for question in job.experiment.prompt.questions]
    scores: dict[str, float | None] = {}
    for row in saved.rows_in(job.folder):
        own = {**job.texts.get(row.text, {}), **job.personas.get(row.persona, {})}
        trial = {**_trial(row), **axes, **{name: own.get(name) for name in of_items}}
        named = asked if row.question is None else [row.question]
        for question in dict.fromkeys((*named, *row.scores, *row.answers)):
            yield {**trial, "question": question, **_answer(row, question)}
        scores = {**row.scores} if row.question in (None, asked[0]) else {**scores, **row.scores}
        if row.question in (None, asked[-1]):
            for scale in job.scales:
                items = [scores.get(item) for item in scale.items]
                whole = [score for score in items if score is not None]
                mean = sum(whole) / len(items) if len(whole) == len(items) else None
                yield {**trial, "question": scale.name, "score": mean}


def _answer(row: Row, question: str) -> dict[str, Json]:
    """What a row says of one question."""
    score, given = row.scores.get(question), row.answers.get(question)
    found = {"score": score, "reason": row.reasons.get(question)}
    if given is None:
        return found if score is None else {**found, "value": f"{score:g}"}
    value = given.value if isinstance(given.value, str) else json.dumps(given.value, ensure_ascii=False)
    moments = given.moments or {}
    return {**found, "value": value, "label": given.label, "sd": moments.get("sd"), "entropy": moments.get("entropy")}


def _trial(row: Row) -> dict[str, Json]:
    """What the lines of one trial have in common."""
    names = (*TRIAL, "outcome", "route", "source", "rung", "attempts", "latency_s", "price_usd", "saved_usd",
        "model_version", "fingerprint", "time", "key")  # fmt: skip
    return {
        **{name: getattr(row, name) for name in names},
        **{f"{kind}_tokens": getattr(row.tokens, kind) for kind in ("input", "output", "cached", "reasoning")},
        "problem": row.problem and row.problem.kind,
        "message": row.problem and row.problem.message,
        "requested_temperature": row.requested.get("temperature"),
        "sent_temperature": row.sent.get("temperature"),
    }


def _column(values: list[Json], kind: str | None) -> pd.Series[Any]:
    """A column of its type, or of the one that its values share."""
    import pandas as pd

    plain = [_plain(value) for value in values]
    if kind is None and any(isinstance(value, str) for value in plain):
        plain = [value if value is None else str(value) for value in plain]
    return pd.Series(plain, dtype=kind)


def _plain(value: Json) -> Json:
    if isinstance(value, str):
        return whole_pairs(value)
    return str(value) if isinstance(value, list | tuple | dict) else value
