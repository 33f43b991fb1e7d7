"""The trials that a page holds in full, as compact JSON: every name and every prompt once, and numbers for them.

    {"fields": [...], "factors": [...], "values": {field: [...]}, "rows": [[...], ...], "questions": [...],
     "scores": [[...], ...],
     "reasons": [[...], ...], "replies": [...], "strings": [...]}

A row has a number for each of `fields`; where `values` has the field, that number is a place in its list. `scores` and
`reasons` have a list for each row, in the order of the questions.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runner.errors import RunnerError
from runner.plan import capability, nuisance
from runner.plan.job import TrialPlan
from runner.reporting.stats.frame import further
from runner.results.factors import of_rows, shown

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from runner.records import Experiment, Json, Model, Persona, Question, Row, Text
    from runner.reporting.html.gather import Gathered, JobFolder

CODED = (
    "job", "model", "model_id", "model_version", "provider", "vendor", "persona", "text", "route", "outcome", "source",
    "problem", "requested", "sent", "dropped", "rung", "fingerprint", "prompt",
)  # fmt: skip
"""Fields of few distinct values, which are written once each."""
PLAIN = ("repetition", "attempts", "latency_s", "input", "output", "cached", "reasoning", "price_usd", "time", "key")
FACTOR = "factor:"
"""Before the name of a factor, which may be that of a field."""
MOST_LEVELS = 60
"""Most levels of a factor that trials are filtered by."""
LONGEST = 20_000
"""Characters of a prompt or reply that the page holds; the files have the rest."""
PROMPTS = 20_000_000
"""Characters of all prompts together; when they are used up, the page says so in place of further ones."""


def factors_in(found: Gathered) -> list[str]:
    """The factors by which trials can be filtered and split: those with several levels, as many as a list holds."""
    return [name for name in further(found.frame) if 1 < found.frame[name].nunique() <= MOST_LEVELS]


def embedded(found: Gathered, questions: Sequence[Question]) -> dict[str, Json]:
    """The sample of `found` as the page's script reads it."""
    factors = {f"{FACTOR}{name}": name for name in factors_in(found)}
    fields = (*CODED, *factors)
    coded = {name: _Once() for name in fields}
    of_job = dict(zip((job.number for job in found.jobs), of_rows(found.jobs), strict=True))
    prompts = _Prompts(found)
    rows, scores, reasons, replies = [], [], [], []
    for part, row in found.sample:
        own = of_job[row.job](row) if row.job in of_job else row.factors
        levels = {name: shown(own.get(factor)) for name, factor in factors.items()}
        labels = {**_labels(row), **levels, "prompt": prompts.of(part, row)}
        rows.append([*(coded[name].place(labels[name]) for name in fields), *_numbers(row)])
        scores.append([row.scores.get(question.name) for question in questions])
        reasons.append([row.reasons.get(question.name) for question in questions])
        replies.append(_cut(row.reply))
    return {
        "fields": [*fields, *PLAIN],
        "factors": [*factors],
        "values": {name: list(once.values) for name, once in coded.items()},
        "rows": rows,
        "questions": [question.label or question.name for question in questions],
        "scores": scores,
        "reasons": reasons,
        "replies": replies,
        "strings": list(prompts.strings.values),
    }


class _Once:
    """Values in the order in which they came, each once."""

    def __init__(self) -> None:
        self.values: dict[Hashable, int] = {}

    def place(self, value: Hashable) -> int:
        """Where it stands."""
        return self.values.setdefault(value, len(self.values))


def _labels(row: Row) -> dict[str, Hashable]:
    plain = {name: getattr(row, name) for name in CODED if name in row.__slots__}
    return {
        **plain,
        "problem": f"{row.problem.kind}: {row.problem.message}" if row.problem else None,
        "requested": _settings(row.requested),
        "sent": _settings(row.sent),
        "dropped": "; ".join(f"{each.parameter}: {each.reason}" for each in row.dropped) or None,
    }


def _numbers(row: Row) -> list[Json]:
    return [
        row.repetition,
        row.attempts,
        None if row.latency_s is None else round(row.latency_s, 3),
        row.tokens.input,
        row.tokens.output,
        row.tokens.cached,
        row.tokens.reasoning,
        None if row.price_usd is None else float(f"{row.price_usd:.6g}"),
        row.time,
        row.key,
    ]


def _settings(values: Mapping[str, Json]) -> str:
    return ", ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())


def _cut(text: str | None) -> str | None:
    if text is None or len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]} … ({len(text) - LONGEST:,} more characters are in the files)"


# ---- prompts ---------------------------------------------------------------------------------------------------------


class _Prompts:
    """What each trial's model was sent to read, made again from the experiment; alike for most, so kept once.

    A prompt is a JSON list of [role, place in `strings`]; what stands in place of one that cannot be shown is the same
    list with the role "note".
    """

    def __init__(self, found: Gathered) -> None:
        self.strings = _Once()
        self._left = PROMPTS
        self._known: dict[Hashable, str] = {}
        self._jobs = {
            part.folder: _JobPrompts(part.experiment, imported="imported" in part.run)
            for part in found.parts
            if part.experiment is not None
        }

    def of(self, part: JobFolder, row: Row) -> str:
        key = (part.folder, row.model, row.persona, row.text, row.factors.get("prompt"), row.question)
        if key not in self._known:
            self._known[key] = self._made(part, row)
        return self._known[key]

    def _made(self, part: JobFolder, row: Row) -> str:
        asked = self._jobs.get(part.folder)
        messages = (("note", "the experiment cannot be read"),) if asked is None else asked.messages(row)
        placed = []
        for role, text in messages:
            shown = _cut(text) or ""
            if shown not in self.strings.values:
                self._left -= len(shown)
            if self._left < 0:
                role, shown = "note", "too many prompts for one page: experiment.json has all that they are made of"  # noqa: PLW2901
            placed.append([role, self.strings.place(shown)])
        return json.dumps(placed)


class _JobPrompts:
    """One job's prompts."""

    def __init__(self, experiment: Experiment, *, imported: bool) -> None:
        self._models: dict[str, Model] = {model.name: model for model in experiment.models}
        self._personas: dict[str, Persona] = {persona.name: persona for persona in experiment.personas}
        self._texts: dict[str, Text] = {text.name: text for text in experiment.texts}
        self._imported = imported
        self._asker: TrialPlan | None = None
        try:
            self._asker = TrialPlan(experiment)
        except RunnerError as error:
            self._why = str(error)

    def messages(self, row: Row) -> Sequence[tuple[str, str]]:
        """(role, content) of each message as the model took it."""
        if self._imported:
            return (("note", "what was sent is not in the imported files"),)
        if self._asker is None:
            return (("note", f"the prompt cannot be made again: {self._why}"),)
        try:
            model, persona, text = self._models[row.model], self._personas[row.persona], self._texts[row.text]
            ready = self._asker.prompt(row.factors, row.question)
            prompt = nuisance.placed(ready.manager.get_prompt(persona, text), row.factors)
            adapted = capability.adapt(prompt, model, temperature=0.0, max_tokens=1, seed=None, schema=ready.schema)
        except KeyError as error:
            return (("note", f"experiment.json has no {error}"),)
        except RunnerError as error:
            return (("note", f"the prompt cannot be made again: {error}"),)
        return [(message["role"], message["content"]) for message in adapted.request.messages]
