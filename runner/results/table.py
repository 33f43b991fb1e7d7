"""A launch's folder -> one table of its scores, with a column for whatever tells its trials apart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runner.records import whole_pairs
from runner.results import factors, manifest, saved

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from runner.records import Experiment, ItemScale, Json, Row

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

    Columns: those of TRIAL; one for each factor; those that a text or persona has of its own, as `text.author`,
    `persona.temperature` or `persona.age`, where any has one; then those of SCORE and of REPLY. A factor is what was
    swept or selected, or a setting that is not the same in all jobs, under its name on the command line
    (`sampling.temperature`, `prompt`); model, persona and text have their columns in any case.

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
    axes = factors.axes([factors.JobSettings(job.number, job.experiment, job.overrides) for job in jobs])
    of_items = _of_items(jobs)
    columns: dict[str, list[Json]] = {name: [] for name in (*TRIAL, "prompt", *axes, *of_items, *SCORE, *REPLY)}
    count = 0
    for place, job in enumerate(jobs):
        own = {name: values[place] for name, values in axes.items()}
        for line, row in _lines(job, own):
            for name in row.factors:
                if name not in columns:
                    columns[name] = [None] * count
            for name, column in columns.items():
                column.append(line.get(name))
            count += 1
    kinds = {**TRIAL, **SCORE, **REPLY}
    said = [name for name in columns if name not in kinds]
    ordered = (*TRIAL, *said, *SCORE, *REPLY)
    return pd.DataFrame({name: _column(columns[name], kinds.get(name)) for name in ordered})


class _ReadJob:
    """A job's folder, as far as the table needs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.experiment: Experiment = saved.experiment_in(folder)
        whole = saved.load(folder, "experiment.json")
        run = saved.load(folder, "run.json")
        self.number: int = run["job"]
        self.overrides: Sequence[str] = run["overrides"]
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


def _lines(job: _ReadJob, axes: Mapping[str, Json]) -> Iterator[tuple[dict[str, Json], Row]]:
    """A line for each trial and question of its prompt, and for each scale of these, with its row."""
    prompts = job.experiment.prompts
    scores: dict[str, float | None] = {}
    for row in saved.rows_in(job.folder):
        own = {**job.texts.get(row.text, {}), **job.personas.get(row.persona, {})}
        name = row.factors.get("prompt", prompts[0].name)
        prompt = job.experiment.prompt_named(name)
        # Where prompts were swept, the column has the one of the row, not all that a job asks.
        trial = {**_trial(row), **own, **axes, **row.factors, "prompt": name}
        asked = [question.name for question in prompt.questions]
        own_part = asked if row.question is None else [row.question]
        for question in dict.fromkeys((*own_part, *row.scores, *row.answers)):
            yield {**trial, "question": question, **_answer(row, question)}, row
        scores = {**row.scores} if row.question in (None, asked[0]) else {**scores, **row.scores}
        if row.question in (None, asked[-1]):
            for scale in prompt.scales:
                yield {**trial, "question": scale.name, "score": _mean(scale, scores)}, row


def _mean(scale: ItemScale, scores: Mapping[str, float | None]) -> float | None:
    """A scale's score: the mean of its items', where all are there."""
    whole = [score for item in scale.items if (score := scores.get(item)) is not None]
    return sum(whole) / len(whole) if len(whole) == len(scale.items) else None


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
