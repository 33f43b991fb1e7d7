"""What the tables of a report show, and the numbers that its charts are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from runner.reporting import formatting, stats
from runner.reporting.html import palette
from runner.reporting.html.answers import AnswerTable, answer_tables
from runner.reporting.stats import known
from runner.reporting.stats.frame import SCORE
from runner.reporting.stats.of_run import instrument_of, scales_of
from runner.reporting.stats.shown import sheets
from runner.reporting.stats.shown.render import names_in, written
from runner.reporting.stats.summaries import summaries
from runner.results.summary import verification

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from runner.records import Json, Question
    from runner.reporting.html.gather import Gathered
    from runner.reporting.stats import Statistics, Summary
    from runner.reporting.stats.shown.sheet import TableData

BINS = 20
"""Of a histogram, over the whole scale."""
MAX_UNITS = 3_000
"""Most groups of repetitions whose spread is drawn one by one."""
MAX_MATRIX = 12
"""Most models that are compared in a square; above it the largest differences are listed."""
MOST_DIFFERENCES = 20
"""Lines of a table of differences."""
SURE = 0.05
"""A difference counts as one where p, corrected, is below this."""


@dataclass(frozen=True, slots=True)
class HeatCell:
    """One field of a heat map."""

    score: str
    span: str = ""
    step: int | None = None
    tip: str = ""


@dataclass(frozen=True, slots=True)
class HeatRow:
    """One row of a heat map; the last cell is of all columns together."""

    name: str
    cells: tuple[HeatCell, ...]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Mean scores of one question, models down and personas across; the last line is of all models."""

    question: Question
    columns: tuple[str, ...]
    lines: tuple[HeatRow, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """One question: each model's mean minus each other's, over what both scored."""

    question: Question
    models: tuple[str, ...]
    lines: tuple[HeatRow, ...]


@dataclass(frozen=True, slots=True)
class LevelDifference:
    """Two levels of an axis, compared."""

    question: str
    left: str
    right: str
    difference: str
    span: str
    effect: str
    p: str
    pairs: int
    sure: bool


@dataclass(frozen=True, slots=True)
class ShownSheet:
    """A table of the statistics as `runner stats` has it, written out."""

    title: str
    heads: tuple[str, ...]
    names: int
    """How many columns are of names, from the left."""
    lines: tuple[tuple[str, ...], ...]
    method: str
    left_out: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that is computed for a report."""

    statistics: Statistics
    sheets: Mapping[str, ShownSheet]
    """The tables of `runner stats`, by their key."""
    heat: tuple[HeatMap, ...]
    by_job: tuple[tuple[HeatCell, ...], ...]
    """A sweep's jobs, by question; () for a single run."""
    matrices: tuple[Matrix, ...]
    differences: Mapping[str, tuple[LevelDifference, ...]]
    verification: tuple[dict[str, Any], ...]
    charts: dict[str, Json]
    answers: tuple[AnswerTable, ...] = ()
    """Options, points and ranks, counted."""


def figures(found: Gathered) -> Figures:
    """All tables and charts of what was gathered."""
    questions = [question for question in found.questions if question.name in found.tally.scores]
    names = _Names(found.frame)
    pooled = found.frame.assign(job=0, cell=names.pair_of_each)
    # One job's cells are model and persona already, so that one description serves both purposes.
    alone = found.frame["job"].nunique() <= 1
    experiments = [part.experiment for part in found.parts if part.experiment is not None]
    asked = instrument_of(experiments, stats.ContrastOptions(scales=scales_of(experiments)))
    described = stats.describe(pooled if alone else found.frame, asked)
    apart = stats.distinct(pooled) if not alone and len(pooled) else None
    crossed = described.summaries if apart is None else summaries(apart, asked.scales, axes=("cell",))
    looked_up = _Lookup(names, (*described.summaries, *(one for one in crossed if one.axis == "cell")))
    verified = tuple(_records(verification(found.tally))) if found.total else ()
    return Figures(
        statistics=described,
        heat=tuple(_heat(question, looked_up, names) for question in questions),
        sheets={each.key: _shown(sheets.cut(each)) for each in sheets.sheets(described, stats.View(everything=True))},
        by_job=tuple(_by_job(found, questions, asked.scales)) if found.is_sweep else (),
        matrices=tuple(_matrices(described, questions, names.models)),
        differences={
            axis: _listed(described.differences.get(axis, ()), questions)
            for axis in (*stats.COMPARED, *described.factors)
        },
        verification=verified,
        charts=_charts(found, questions, names, looked_up, verified),
        answers=answer_tables(described.shares, asked.questions),
    )


def _shown(sheet: TableData) -> ShownSheet:
    heads = tuple(name for name, _ in sheet.columns)
    return ShownSheet(sheet.title, heads, names_in(sheet), tuple(written(sheet)), sheet.method, sheet.left_out)


class _Names:
    """Models and personas in the order of the rows, and which pair of them each trial is of."""

    def __init__(self, frame: pd.DataFrame) -> None:
        import pandas as pd

        self.model_of_each, models = pd.factorize(frame["model"].astype(str))
        self.persona_of_each, personas = pd.factorize(frame["persona"].astype(str))
        self.models, self.personas = tuple(map(str, models)), tuple(map(str, personas))

    @property
    def pair_of_each(self) -> list[str]:
        """A name that no name of a model or persona can be confused with."""
        return [
            _pair(model, persona)
            for model, persona in zip(self.model_of_each.tolist(), self.persona_of_each.tolist(), strict=True)
        ]


def _pair(model: int, persona: int) -> str:
    return f"{model},{persona}"


class _Lookup:
    """Summaries by their axis, level and question."""

    def __init__(self, names: _Names, found: Sequence[Summary]) -> None:
        self._by_key = {(one.axis, one.level, one.question): one for one in found}
        self._names = names

    def of(self, model: int | None, persona: int | None, question: str) -> Summary | None:
        """Of a model in a persona, of either alone, or of all; None where there is no trial."""
        match model, persona:
            case None, None:
                axis, level = "all", "all"
            case None, int():
                axis, level = "persona", self._names.personas[persona]
            case int(), None:
                axis, level = "model", self._names.models[model]
            case int(), int():
                axis, level = "cell", _pair(model, persona)
        return self._by_key.get((axis, level, question))


# ---- tables ----------------------------------------------------------------------------------------------------------


def _heat(question: Question, looked_up: _Lookup, names: _Names) -> HeatMap:
    models: list[int | None] = [*range(len(names.models)), *([None] if len(names.models) > 1 else [])]
    personas: list[int | None] = [*range(len(names.personas)), *([None] if len(names.personas) > 1 else [])]
    lines = tuple(
        HeatRow(
            "all models" if model is None else names.models[model],
            tuple(_cell(looked_up.of(model, persona, question.name), question) for persona in personas),
        )
        for model in models
    )
    columns = tuple("all" if persona is None else names.personas[persona] for persona in personas)
    return HeatMap(question, columns, lines)


def _cell(summary: Summary | None, question: Question) -> HeatCell:
    if summary is None:
        return HeatCell("", tip="not asked")
    mean = known(summary.mean)
    if mean is None:
        return HeatCell(
            formatting.NONE, tip=f"{summary.mean}; {summary.unscorable} unscorable, {summary.failed} failed"
        )
    span = formatting.span(summary.interval, question)
    sure = f"95% interval {span}" if span else f"95% interval {summary.interval.low}"
    lack = sheets.lack(summary)
    tip = (
        f"mean {formatting.score(summary.mean, question)} · {sure} · sd {formatting.score(summary.sd, question)} · "
        f"median {formatting.score(summary.median, question)} · {f'{lack} · ' if lack else ''}"
        f"{summary.n} of {summary.trials} trials scored"
    )
    mark = "*" if summary.lacking else ""
    step = palette.step(mean, question.low, question.high)
    return HeatCell(formatting.score(mean, question) + mark, span, step, tip)


def _by_job(found: Gathered, questions: Sequence[Question], scales: stats.Scales) -> Iterator[tuple[HeatCell, ...]]:
    by_job = found.frame.assign(job=0, cell=found.frame["job"].astype(str))
    of_jobs = summaries(by_job, scales, axes=("cell",)) if found.total else ()
    all_of = {(one.level, one.question): one for one in of_jobs}
    for part in found.parts:
        yield tuple(_cell(all_of.get((str(part.run["job"]), question.name)), question) for question in questions)


def _matrices(described: Statistics, questions: Sequence[Question], models: Sequence[str]) -> Iterator[Matrix]:
    pairs = {(each.question, each.left, each.right): each for each in described.differences.get("model", ())}
    if not pairs or len(models) > MAX_MATRIX:
        return
    for question in questions:
        lines = tuple(
            HeatRow(left, tuple(_difference_cell(pairs, question, left, right) for right in models)) for left in models
        )
        yield Matrix(question, tuple(models), lines)


def _difference_cell(
    pairs: Mapping[tuple[str, str, str], stats.PairedDifference], question: Question, left: str, right: str
) -> HeatCell:
    if left == right:
        return HeatCell("")
    turned = (question.name, left, right) not in pairs
    each = pairs.get((question.name, right, left) if turned else (question.name, left, right))
    value = None if each is None else known(each.difference)
    if each is None or value is None:
        return HeatCell(formatting.NONE, tip="no trial that both scored")
    value, wide = (-value if turned else value), (question.high - question.low) / 2
    p = known(each.p_holm)
    mark = "*" if p is not None and p < SURE else ""
    tip = f"{left} minus {right} · {each.pairs} pairs · p (Holm) {formatting.p_value(each.p_holm)}"
    return HeatCell(formatting.difference(value, question) + mark, "", palette.step(value, -wide, wide), tip)


def _listed(found: Sequence[stats.PairedDifference], questions: Sequence[Question]) -> tuple[LevelDifference, ...]:
    """The surest first, then the largest."""
    asked = {question.name: question for question in questions}

    def order(each: stats.PairedDifference) -> tuple[float, float]:
        p = known(each.p_holm)
        return (2.0 if p is None else p, -abs(known(each.effect) or 0.0))

    return tuple(
        LevelDifference(
            question=asked[each.question].label or each.question,
            left=each.left or "none sent",
            right=each.right or "none sent",
            difference=formatting.difference(each.difference, asked[each.question]),
            span=formatting.difference_span(each.interval, asked[each.question]),
            effect=formatting.plain(each.effect),
            p=formatting.p_value(each.p_holm),
            pairs=each.pairs,
            sure=(known(each.p_holm) or 1.0) < SURE or known(each.p_holm) == 0.0,
        )
        for each in sorted((each for each in found if known(each.difference) is not None), key=order)
    )


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict(orient="records")]


# ---- charts ----------------------------------------------------------------------------------------------------------


def _charts(
    found: Gathered,
    questions: Sequence[Question],
    names: _Names,
    looked_up: _Lookup,
    verified: Sequence[Mapping[str, Any]],
) -> dict[str, Json]:
    return {
        "questions": [[each.name, each.label or each.name, each.low, each.high] for each in questions],
        "models": names.models,
        "personas": names.personas,
        "texts": list(dict.fromkeys(found.frame["text"].astype(str))),
        "bins": BINS,
        "counts": [_counts(found.frame, question, names) for question in questions],
        "means": [list(_means(looked_up, question, names)) for question in questions],
        "noise": list(_noise(found.frame, questions, names)),
        "speed": [
            [
                row["model"],
                *(_or_none(row[name]) for name in ("latency_mean_s", "latency_p95_s")),
                _or_none(row["price_usd"] / row["replies"] * 1000 if row["replies"] else None),
            ]
            for row in verified
        ],
    }


def _or_none(value: float | None) -> float | None:
    return None if value is None or not isfinite(value) else float(f"{value:.6g}")


def _counts(frame: pd.DataFrame, question: Question, names: _Names) -> list[list[int]]:
    """(model, persona, bin, scores) of each bin that has any."""
    import numpy as np
    import pandas as pd

    values = frame[SCORE + question.name].where(~frame["again"]).to_numpy()
    there = ~np.isnan(values)
    wide = question.high - question.low
    bins = np.clip(np.floor((values[there] - question.low) / wide * BINS), 0, BINS - 1).astype(int)
    keys = {"model": names.model_of_each[there], "persona": names.persona_of_each[there], "bin": bins}
    counted = pd.DataFrame(keys).value_counts(sort=False).reset_index()
    return [[int(number) for number in line] for line in counted.itertuples(index=False)]


def _means(looked_up: _Lookup, question: Question, names: _Names) -> Iterator[list[Json]]:
    """(model, persona, mean, low, high, n) of each that has a mean."""
    for model in range(len(names.models)):
        for persona in range(len(names.personas)):
            summary = looked_up.of(model, persona, question.name)
            mean = None if summary is None else known(summary.mean)
            if summary is not None and mean is not None:
                ends = (known(summary.interval.low), known(summary.interval.high))
                yield [model, persona, *map(_or_none, (mean, *ends)), summary.n]


def _noise(frame: pd.DataFrame, questions: Sequence[Question], names: _Names) -> Iterator[list[list[Json]]]:
    """For each question (model, persona, text, sd, mean, n) of what was asked and scored at least twice."""
    import pandas as pd

    keys = [frame["job"], *(frame[name].astype(object) for name in ("cell", "text"))]
    units, _ = pd.factorize(pd.MultiIndex.from_arrays(keys))
    first = pd.Series(range(len(frame))).groupby(units).first()
    if len(first) > MAX_UNITS or len(first) == len(frame):
        return
    texts, _ = pd.factorize(frame["text"].astype(str))
    for question in questions:
        spread = frame[SCORE + question.name].groupby(units).agg(["std", "mean", "count"])
        yield [
            [
                int(names.model_of_each[at]),
                int(names.persona_of_each[at]),
                int(texts[at]),
                *map(_or_none, (sd, mean)),
                int(n),
            ]
            for at, (sd, mean, n) in zip(first, spread.itertuples(index=False, name=None), strict=True)
            if n >= 2
        ]
