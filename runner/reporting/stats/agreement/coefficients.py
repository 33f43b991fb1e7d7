"""How far repetitions, and models, agree on the scores that they give, and how many repetitions make a mean reliable.

Formulas, each a few lines because the maintained libraries that have them are under the GPL:

- Krippendorff's alpha for an interval scale (Krippendorff, Content Analysis, 4th ed. 2018, section 12.3): one minus
  observed over expected disagreement. With squared differences the first is the mean of the units' variances, weighted
  by their number of scores, the second the variance of all those scores. Missing scores are allowed.
- ICC(1): (F - 1) / (F + k - 1) from the one-way analysis of variance of scores by unit; with unequal k, Donner's (1986)
  k0 stands for it. Repetitions are exchangeable: no repetition is a rater with a name. ICC(A,1) and ICC(C,1), agreement
  and consistency of raters: from the mean squares of units, raters and residual (McGraw and Wong, 1996, table 4), over
  the units that every rater scored, or the raters that scored every unit, whichever keeps more scores.
- Intervals: those of McGraw and Wong (1996, table 7), from F. They take units for independent draws, which the units of
  one text, or of one model, are not: see intervals. Alpha's is that of the ICC that it is a function of: ICC(1) among
  repetitions, ICC(A,1) among models.
- A mean of k repetitions: k r / (1 + (k - 1) r), of r = ICC(1) (Spearman, 1910; Brown, 1910).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, isfinite, nan
from typing import TYPE_CHECKING, Any, cast

from runner.reporting.stats.agreement.intervals import between_units, ratio_ends, units_by_raters
from runner.reporting.stats.frame import SCORE, codes_of, questions_of
from runner.reporting.stats.summaries import levels_of, number
from runner.reporting.stats.values import Agreement, Number, Reliability, Undefined, known

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    Ends = tuple[Number, Number]

SAME = "all scores are the same, so that there is nothing to agree about"
UNITS = ("text", "model", "persona", "job")
"""What tells units of repetitions apart: a cell is of one job, model and persona."""
WANTED = 0.9
"""The reliability that is asked of a mean (Nunnally and Bernstein, 1994: .9 where single cases are judged)."""


@dataclass(frozen=True, slots=True)
class _OneWay:
    """An analysis of variance of scores by unit, and what its intervals rest on."""

    units: int
    k: float
    """Scores a unit."""
    f: float
    f_low: float
    """Of the 95% interval of the ratio of mean squares, texts and cells drawn at random; likewise `f_high`."""
    f_high: float

    def icc(self, f: float) -> float:
        """ICC(1) at a ratio of mean squares."""
        return 1.0 if f == inf else (f - 1) / (f + self.k - 1)

    def alpha(self, f: float) -> float:
        """Alpha at it."""
        return 1.0 if f == inf else _alpha_at(f, self.units, self.k)


def _alpha_at(f: float, units: int, k: float) -> float:
    return 1 - (units * k - 1) / ((units - 1) * f + units * (k - 1))


def agreement(frame: pd.DataFrame) -> tuple[Agreement, ...]:
    """Alpha and ICC(1) of repetitions; alpha, ICC(A,1) and ICC(C,1) of models; each question for itself."""
    return tuple(found for question in questions_of(frame) for found in _on_question(frame, question))


def reliability(frame: pd.DataFrame) -> tuple[Reliability, ...]:
    """How reliable the mean of a cell's repetitions is, of each question in which a cell was asked twice."""
    found = []
    for question in questions_of(frame):
        repetitions = _repetitions(frame, question)
        icc = next(one for one in _of_repetitions(question, repetitions) if one.measure == "ICC(1)")
        counts = repetitions.groupby("unit", observed=True)["score"].count()
        if isinstance(icc.value, float):
            found.append(reliability_of(icc, round(float(counts[counts >= 2].median()))))
    return tuple(found)


def reliability_of(icc: Agreement, k: int) -> Reliability:
    """Of a mean of k repetitions, by Spearman and Brown; `icc` is ICC(1)."""
    of_mean, low, high = (_spearman_brown(each, k) for each in (icc.value, icc.low, icc.high))
    return Reliability(
        icc.question, k, icc.value, of_mean, low, high, needed=_needed(icc.value), needed_most=_needed(icc.low)
    )


def _spearman_brown(r: Number, k: int) -> Number:
    if isinstance(r, Undefined):
        return r
    below = 1 + (k - 1) * r  # 0 where units do not differ at all, and repetitions do
    return k * r / below if below > 0 else Undefined("repetitions do not agree at all")


def _needed(r: Number) -> Number:
    """Repetitions until their mean has the wanted reliability."""
    if isinstance(r, Undefined):
        return r
    if r <= 0:
        return Undefined("repetitions do not agree, so that no number of them is enough")
    return float(max(1, ceil(WANTED * (1 - r) / (r * (1 - WANTED)) - 1e-9)))


# ---- repetitions -----------------------------------------------------------------------------------------------------


def _on_question(frame: pd.DataFrame, question: str) -> Iterator[Agreement]:
    yield from _of_repetitions(question, _repetitions(frame, question))
    scored = frame.loc[frame[SCORE + question].notna()]
    text, persona, model = (scored[name].astype(str) for name in ("text", "persona", "model"))
    yield from _of_models(question, scored[SCORE + question].groupby([text, persona, model]).mean().unstack(-1))


def _repetitions(frame: pd.DataFrame, question: str) -> pd.DataFrame:
    """What was scored: the columns score, unit (a cell's text), and those of UNITS."""
    import pandas as pd

    scored = frame.loc[frame[SCORE + question].notna()]
    cells = levels_of(scored, "cell")
    units = pd.factorize(pd.MultiIndex.from_arrays([cells, scored["text"]]))[0]
    several = [name for name in ("job", "prompt") if name in scored.columns]  # a cell is of one prompt too
    columns = {name: scored[name] for name in UNITS[:3]} | {"job": codes_of(scored, several)}
    return pd.DataFrame({"score": scored[SCORE + question], "unit": units} | columns, index=scored.index)


def _of_repetitions(question: str, scores: pd.DataFrame) -> Iterator[Agreement]:
    groups = scores.groupby("unit")["score"].agg(["count", "mean", "var"])
    repeated = groups[groups["count"] >= 2]
    raters = int(groups["count"].max()) if len(groups) else 0
    pairable = scores[scores["unit"].isin(repeated.index)]
    why = None if len(repeated) else "no text was scored twice in one cell"
    alpha, icc = _alpha(repeated, pairable["score"], why), _icc1(repeated, pairable["score"], why)
    ends = _ends_of_repetitions(repeated, pairable)
    yield Agreement(question, "repetitions", "alpha", len(repeated), raters, alpha, *ends[0])
    yield Agreement(question, "repetitions", "ICC(1)", len(repeated), raters, icc, *ends[1])


def _ends_of_repetitions(repeated: pd.DataFrame, scores: pd.DataFrame) -> tuple[Ends, Ends]:
    """The ends of alpha's interval, and of ICC(1)'s."""
    none = Undefined("there are too few units that differ")
    if len(repeated) < 2 or not repeated["var"].max() > 0:
        return (none, none), (none, none)
    found = _one_way(repeated, scores)
    return tuple(
        (number(measure(found.f_low), none.reason), number(measure(found.f_high), none.reason))
        for measure in (found.alpha, found.icc)
    )  # type: ignore[return-value]


def _one_way(groups: pd.DataFrame, scores: pd.DataFrame) -> _OneWay:
    counts = groups["count"]
    df_within = int(counts.sum()) - len(groups)
    within = float((groups["var"] * (counts - 1)).sum()) / df_within
    k = _k0(counts)
    axes = [name for name in UNITS if scores[name].nunique() > 1]
    means = scores.groupby([scores[name].astype(str) for name in axes or UNITS[:1]])["score"].mean()
    between = between_units(means, k)
    low, high = ratio_ends(between, [(within, df_within)])
    return _OneWay(len(groups), k, sum(part for part, _ in between) / within, low, high)


def _k0(counts: pd.Series[Any]) -> float:
    return float((counts.sum() - (counts**2).sum() / counts.sum()) / (len(counts) - 1))


# ---- models ----------------------------------------------------------------------------------------------------------


def _of_models(question: str, means: pd.DataFrame) -> Iterator[Agreement]:
    """`means`: a line for each text and persona, a column for each model."""
    raters = means.shape[1]
    why = None if raters >= 2 else "there is one model only" if raters else "nothing was scored"
    counts = means.count(axis=1)
    paired = means[counts >= 2]
    groups = paired.agg(["count", "mean", "var"], axis=1) if len(paired) else paired
    pairable = cast("pd.Series[float]", paired.stack())
    alpha = _alpha(groups, pairable, why or _none(len(paired)))
    whole = _complete(means)
    enough = min(whole.shape) >= 2
    squares = _mean_squares(whole) if enough else (nan, nan, nan)
    why = why or (None if enough else "no two models scored the same two units")
    values = _icc2(squares, *whole.shape, why)
    ends = _ends_of_models(whole, squares, values)
    of_alpha = tuple(_alpha_from(end, len(paired), _k0(groups["count"]) if len(paired) > 1 else nan) for end in ends[0])
    yield Agreement(question, "models", "alpha", len(paired), raters, alpha, *of_alpha)
    for measure, value, (low, high) in zip(("ICC(A,1)", "ICC(C,1)"), values, ends, strict=True):
        yield Agreement(question, "models", measure, len(whole), whole.shape[1], value, low, high)


def _alpha_from(icc: Number, units: int, k: float) -> Number:
    """Alpha where ICC(A,1) is `icc`."""
    r = known(icc)
    if r is None or not isfinite(k):
        return icc if isinstance(icc, Undefined) else Undefined("there is one unit only")
    return 1.0 if r >= 1 else _alpha_at((1 + (k - 1) * r) / (1 - r), units, k)


def _ends_of_models(
    whole: pd.DataFrame, squares: tuple[float, float, float], values: tuple[Number, Number]
) -> tuple[Ends, Ends]:
    """The ends of the intervals of ICC(A,1) and ICC(C,1)."""
    agree, consistent = (known(value) for value in values)
    none = Undefined("there are too few units that differ")
    if agree is None or consistent is None or not squares[2] > 0 or agree >= 1:
        return (none, none), (none, none)
    n, k = whole.shape
    between, rest = between_units(whole.mean(axis=1), k), units_by_raters(whole, squares[2])
    units, error = (sum(part for part, _ in parts) for parts in (between, rest))
    of_consistent = tuple(number((f - 1) / (f + k - 1), none.reason) for f in ratio_ends(between, rest))
    crossed = len(between) > 1 or len(rest) > 1
    agree = max(agree, 0.0) if crossed else agree  # a sum of mean squares has no negative part
    a, b = k * agree / (n * (1 - agree)), 1 + k * agree * (n - 1) / (n * (1 - agree))
    both = [(a * squares[1], k - 1.0), *((b * part, df) for part, df in rest)]
    if not crossed:  # McGraw and Wong's own: Satterthwaite's df of the sum
        v = sum(part for part, _ in both) ** 2 / sum(part**2 / df for part, df in both)
        both = [(sum(part for part, _ in both), v)]
    ratio = units / sum(part for part, _ in both)
    # How far either end lies from the estimate, as a factor.
    down, up = (ratio / end for end in ratio_ends(between, both))
    raters = k * squares[1] + (k * n - k - n) * error
    of_agree = (
        number(n * (units - down * error) / (down * raters + n * units), none.reason),
        number(n * (units / up - error) / (raters + n * units / up), none.reason),
    )
    return of_agree, of_consistent  # type: ignore[return-value]


def _complete(means: pd.DataFrame) -> pd.DataFrame:
    """What is left when incomplete units, or incomplete models, are left out: whichever keeps more scores."""
    return max(means.dropna(axis=0), means.dropna(axis=1), key=lambda table: table.size)


def _none(units: int) -> str | None:
    return None if units else "no unit was scored by two models"


# ---- coefficients ----------------------------------------------------------------------------------------------------


def _alpha(groups: pd.DataFrame, pairable: pd.Series[Any], why: str | None) -> Number:
    if why:
        return Undefined(why)
    expected = float(pairable.var())
    if pairable.nunique() == 1:
        return Undefined(SAME)
    observed = float((groups["var"] * groups["count"]).sum() / groups["count"].sum())
    return number(1 - observed / expected, "scores hardly differ")


def _icc1(groups: pd.DataFrame, pairable: pd.Series[float], why: str | None) -> Number:
    from statsmodels.stats.oneway import anova_generic

    if why is None and len(groups) < 2:
        why = "there is one unit only"
    if why is None and pairable.nunique() == 1:
        why = SAME
    if why:
        return Undefined(why)
    if not groups["var"].max() > 0:
        return 1.0
    counts = groups["count"]
    f = anova_generic(groups["mean"], groups["var"], counts, use_var="equal", welch_correction=False).statistic
    return number((f - 1) / (f + _k0(counts) - 1), "scores hardly differ")


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
    absolute = units + (k - 1) * residual + k * (raters - residual) / n
    consistent = units + (k - 1) * residual
    return tuple(
        number((units - residual) / below, SAME) if below > 1e-12 else Undefined(SAME)
        for below in (absolute, consistent)
    )  # type: ignore[return-value]
