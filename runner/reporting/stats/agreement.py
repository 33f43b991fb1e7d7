"""How far repetitions, and models, agree on the scores that they give.

Formulas, each a few lines because the maintained libraries that have them are under the GPL:

- Krippendorff's alpha for an interval scale (Krippendorff, Content Analysis, 4th ed. 2018, section 12.3): one minus
  observed over expected disagreement. With squared differences the first is the mean of the units' variances, weighted
  by their number of scores, the second the variance of all those scores. Missing scores are allowed.
- ICC(1): (F - 1) / (F + k - 1) from the one-way analysis of variance of scores by unit (statsmodels anova_generic);
  with unequal k, Donner's (1986) k0 stands for it. ICC(A,1) and ICC(C,1), agreement and consistency of raters: from the
  mean squares of units, raters and residual (McGraw and Wong, 1996, table 4), over the units that every rater scored,
  or the raters that scored every unit, whichever keeps more scores.
"""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Any, cast

from runner.reporting.stats.frame import SCORE, questions_of
from runner.reporting.stats.summaries import levels_of, number
from runner.reporting.stats.values import Agreement, Number, Undefined

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd


def agreement(frame: pd.DataFrame) -> tuple[Agreement, ...]:
    """Alpha and ICC(1) of repetitions; alpha, ICC(A,1) and ICC(C,1) of models; each question for itself."""
    return tuple(found for question in questions_of(frame) for found in _on_question(frame, question))


def _on_question(frame: pd.DataFrame, question: str) -> Iterator[Agreement]:
    import pandas as pd

    scored = frame.loc[frame[SCORE + question].notna()]
    cells = levels_of(scored, "cell")
    text, persona, model = (scored[name].astype(str) for name in ("text", "persona", "model"))
    scores = scored[SCORE + question]
    units = pd.Series(pd.factorize(pd.MultiIndex.from_arrays([cells, text]))[0], index=scored.index)
    yield from _of_repetitions(question, scores, units)
    means = scores.groupby([persona, text, model]).mean().unstack(-1)
    yield from _of_models(question, means)


def _of_repetitions(question: str, scores: pd.Series[float], units: pd.Series[int]) -> Iterator[Agreement]:
    groups = scores.groupby(units).agg(["count", "mean", "var"])
    repeated = groups[groups["count"] >= 2]
    raters = int(groups["count"].max()) if len(groups) else 0
    pairable = scores[units.isin(repeated.index)]
    why = None if len(repeated) else "no text was scored twice in one cell"
    yield Agreement(question, "repetitions", "alpha", len(repeated), raters, _alpha(repeated, pairable, why))
    yield Agreement(question, "repetitions", "ICC(1)", len(repeated), raters, _icc1(repeated, pairable, why))


def _of_models(question: str, means: pd.DataFrame) -> Iterator[Agreement]:
    """`means`: a line for each persona and text, a column for each model."""
    raters = means.shape[1]
    why = None if raters >= 2 else "there is one model only" if raters else "nothing was scored"
    counts = means.count(axis=1)
    paired = means[counts >= 2]
    groups = paired.agg(["count", "mean", "var"], axis=1) if len(paired) else paired
    pairable = cast("pd.Series[float]", paired.stack())
    yield Agreement(
        question, "models", "alpha", len(paired), raters, _alpha(groups, pairable, why or _none(len(paired)))
    )
    whole = _complete(means)
    enough = min(whole.shape) >= 2
    squares = _mean_squares(whole) if enough else (nan, nan, nan)
    why = why or (None if enough else "no two models scored the same two units")
    for measure, value in zip(("ICC(A,1)", "ICC(C,1)"), _icc2(squares, *whole.shape, why), strict=True):
        yield Agreement(question, "models", measure, len(whole), whole.shape[1], value)


def _complete(means: pd.DataFrame) -> pd.DataFrame:
    """What is left when incomplete units, or incomplete models, are left out: whichever keeps more scores."""
    return max(means.dropna(axis=0), means.dropna(axis=1), key=lambda table: table.size)


def _none(units: int) -> str | None:
    return None if units else "no unit was scored by two models"


def _alpha(groups: pd.DataFrame, pairable: pd.Series[Any], why: str | None) -> Number:
    if why:
        return Undefined(why)
    expected = float(pairable.var())
    if pairable.nunique() == 1:
        return Undefined("all scores are the same, so that there is nothing to agree about")
    observed = float((groups["var"] * groups["count"]).sum() / groups["count"].sum())
    return number(1 - observed / expected, "scores hardly differ")


def _icc1(groups: pd.DataFrame, pairable: pd.Series[float], why: str | None) -> Number:
    from statsmodels.stats.oneway import anova_generic

    if why is None and len(groups) < 2:
        why = "there is one unit only"
    if why is None and pairable.nunique() == 1:
        why = "all scores are the same, so that there is nothing to agree about"
    if why:
        return Undefined(why)
    if not groups["var"].max() > 0:
        return 1.0
    counts = groups["count"]
    f = anova_generic(groups["mean"], groups["var"], counts, use_var="equal", welch_correction=False).statistic
    k0 = (counts.sum() - (counts**2).sum() / counts.sum()) / (len(counts) - 1)
    return number((f - 1) / (f + k0 - 1), "scores hardly differ")


def _mean_squares(whole: pd.DataFrame) -> tuple[float, float, float]:
    """Of units, raters and residual, in a table that is complete: a line a unit, a column a rater."""
    n, k = whole.shape
    units, raters = whole.mean(axis=1), whole.mean(axis=0)
    residual = whole.sub(units, axis=0).sub(raters, axis=1) + float(units.mean())
    squares = float((residual**2).to_numpy().sum()) / ((n - 1) * (k - 1))
    return k * float(units.var()), n * float(raters.var()), squares


def _icc2(squares: tuple[float, float, float], n: int, k: int, why: str | None) -> tuple[Number, Number]:
    """ICC(A,1) and ICC(C,1)."""
    if why:
        return Undefined(why), Undefined(why)
    units, raters, residual = squares
    same = "all scores are the same, so that there is nothing to agree about"
    absolute = units + (k - 1) * residual + k * (raters - residual) / n
    consistent = units + (k - 1) * residual
    return tuple(
        number((units - residual) / below, same) if below > 1e-12 else Undefined(same)
        for below in (absolute, consistent)
    )  # type: ignore[return-value]
