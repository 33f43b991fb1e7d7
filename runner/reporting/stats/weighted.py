"""Means in which personas, or texts, stand for as many of a population as their table's `weight` says.

    a text's value    the mean over its personas, each with its weight, of the mean over models and repetitions
    the mean          that over texts, each with its weight; alike where they have none
    standard error    that of a ratio mean, linearised: sqrt(n / (n - 1) sum(v^2 (value - mean)^2)) / sum(v) over n
                      texts of weights v (Cochran, Sampling Techniques, 1977, section 6.13), which for equal weights is
                      the usual one; Student's t with n - 1 degrees of freedom, over texts like these
    design effect     Kish's (1965): n sum(w^2) / sum(w)^2 of n personas, or texts, of weights w: how many times as
                      many are needed as of equal weight. n over it is their effective number

The weights are taken as known. What is said holds for these personas: personas drawn at random would add their own
variance, times their design effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.reporting.stats.frame import SCORE, asked_of, questions_of
from runner.reporting.stats.inference import LEVEL
from runner.reporting.stats.shown.sheet import Columns, TableData, method_of
from runner.reporting.stats.summaries import number
from runner.reporting.stats.values import Interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from runner.reporting.stats.values import Number, Scales

WEIGHT = {"persona": "persona.weight", "text": "text.weight"}
"""Group -> the column of its weights."""
MOST_MODELS = 40
"""Most models that have a weighted mean of their own each."""


@dataclass(frozen=True, slots=True)
class WeightedMean:
    """One question's weighted mean, of all trials or of one model's."""

    question: str
    model: str | None
    """None: of all."""
    mean: Number
    unweighted: Number
    """The mean of the same scores, each persona and each text alike."""
    interval: Interval
    personas: int
    persona_effect: float
    """Kish's design effect of the personas' weights; 1 where all are alike."""
    texts: int
    text_effect: float


def weighted_means(frame: pd.DataFrame, scales: Scales | None = None) -> tuple[WeightedMean, ...]:
    """Of each question, all in all and of each model; () where no persona and no text has a weight."""
    if not any(name in frame.columns and (frame[name].astype(str) != "").any() for name in WEIGHT.values()):
        return ()
    models = [str(name) for name in frame["model"].unique()]
    each = models if 1 < len(models) <= MOST_MODELS else []
    return tuple(
        found
        for question in questions_of(frame)
        for model in (None, *each)
        if (found := _of(frame, question, model, (scales or {}).get(question))) is not None
    )


def _of(frame: pd.DataFrame, question: str, model: str | None, ends: tuple[float, float] | None) -> WeightedMean | None:
    import numpy as np
    import pandas as pd

    own = asked_of(frame, question)
    own = own[own[SCORE + question].notna() & ((own["model"].astype(str) == model) if model is not None else True)]
    if own.empty:
        return None
    cells = own[SCORE + question].groupby([own["text"].astype(str), own["persona"].astype(str)]).mean().unstack()
    weights = {group: _weights(own, group) for group in WEIGHT}
    of_personas = np.array([weights["persona"][name] for name in cells.columns])
    of_texts = np.array([weights["text"][name] for name in cells.index])
    values = cells.to_numpy(dtype=np.float64)
    there = ~np.isnan(values)
    by_text = np.where(there, values, 0.0) @ of_personas / (there @ of_personas)
    mean = float((of_texts * by_text).sum() / of_texts.sum())
    low, high, se = _interval(by_text, of_texts, mean)
    least, most = ends or (float("-inf"), float("inf"))
    why = "there is one text only"
    interval = Interval(
        number(max(low, least), why), number(min(high, most), why), "texts", len(of_texts), number(se, why),
        number(len(of_texts) - 1 if len(of_texts) > 1 else float("nan"), why),
    )  # fmt: skip
    plain = float(pd.DataFrame(values).mean(axis=1).mean())
    return WeightedMean(
        question, model, mean, plain, interval, len(of_personas), design_effect(of_personas), len(of_texts),
        design_effect(of_texts),
    )  # fmt: skip


def _interval(values: Any, weights: Any, mean: float) -> tuple[float, float, float]:
    """Low and high end, and the standard error; NaN of one text."""
    from scipy.stats import t

    n = len(values)
    if n < 2:
        return float("nan"), float("nan"), float("nan")
    se = float((n / (n - 1) * (weights**2 * (values - mean) ** 2).sum()) ** 0.5 / weights.sum())
    width = float(t.ppf((1 + LEVEL) / 2, n - 1)) * se
    return mean - width, mean + width, se


def _weights(frame: pd.DataFrame, group: str) -> dict[str, float]:
    """Name -> weight; 1 where it has none."""
    if WEIGHT[group] not in frame.columns:
        return dict.fromkeys(frame[group].astype(str), 1.0)
    pairs = zip(frame[group].astype(str), frame[WEIGHT[group]].astype(str), strict=True)
    return {name: float(word) if word else 1.0 for name, word in dict.fromkeys(pairs)}


def design_effect(weights: Any) -> float:
    """Kish's design effect of an array of weights: 1 where all are equal."""
    return float(len(weights) * (weights**2).sum() / weights.sum() ** 2)


# ---- the table -------------------------------------------------------------------------------------------------------


def weighted_sheet(found: Sequence[WeightedMean], *, everything: bool = False) -> TableData:
    """A line a question, and with `everything` one a model below it."""
    columns: Columns = (("question", "name"), ("model", "name"), ("texts", "count"), ("personas", "count"),
                        ("weighted mean", "score"), ("95% interval", "interval"), ("unweighted", "score"))  # fmt: skip
    rows = tuple(
        (one.question, one.model or "all", one.texts, one.personas, one.mean, one.interval, one.unweighted)
        for one in found
        if everything or one.model is None
    )
    estimator = "weighted mean over personas, then over texts, Student's t of the linearised mean"
    method = f"{method_of(estimator, 'the text', 'texts - 1')} {' '.join(_effects(found))}"
    title = "Weighted means, over texts like these, for these personas"
    return TableData("weighted", title, columns, rows, method)


def _effects(found: Sequence[WeightedMean]) -> Iterator[str]:
    """How much the weights cost, in words."""
    for group in WEIGHT:
        largest = max(found, key=lambda one: getattr(one, f"{group}_effect"))
        effect, count = getattr(largest, f"{group}_effect"), getattr(largest, f"{group}s")
        if effect > 1:
            yield (
                f"Design effect of the {group}s' weights (Kish): {effect:.2f}, so that {count} {group}s count as "
                f"{count / effect:.1f} of equal weight."
            )
