"""The published study's analyses of variance and rank test, each question for itself.

Of replies whose every question was read. They hold for these texts only: every trial counts as an independent
observation, so that a text weighs the more the more often it was asked. What may be said of texts like these is in
omnibus.

One factor: statsmodels anova_oneway on the groups' sizes, means and variances (the classical F, equal variances).
Two factors with their interaction: statsmodels anova_lm on an ordinary least squares fit, sums of squares of type II
(Fox, Applied Regression Analysis, section 8.2). Kruskal-Wallis: scipy.stats.kruskal, corrected for ties. Every score
counts as an independent observation.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from runner.reporting.stats.frame import SCORE, questions_of
from runner.reporting.stats.summaries import number
from runner.reporting.stats.values import Anova, KruskalWallis, Skipped, Term

if TYPE_CHECKING:
    import pandas as pd

MAX_CELLS = 20_000_000
"""Most numbers in the design matrix of a two-way analysis: 160 MB."""


def one_way(frame: pd.DataFrame, factor: str) -> tuple[list[Anova], list[KruskalWallis], list[Skipped]]:
    """Does a question's score differ between the levels of a factor? By means, and by ranks."""
    anovas: list[Anova] = []
    kruskal: list[KruskalWallis] = []
    skipped: list[Skipped] = []
    for question in questions_of(frame):
        scored = _scored(frame, question, [factor])
        what = f"{question} by {factor}"
        if reason := _why_not(scored, [factor]):
            skipped += [
                Skipped(f"analysis of variance of {what}", reason),
                Skipped(f"Kruskal-Wallis of {what}", reason),
            ]
            continue
        kruskal.append(_kruskal(scored, question, factor))
        if _within(scored, [factor]) == 0:
            skipped.append(Skipped(f"analysis of variance of {what}", "scores do not vary within any group"))
        else:
            anovas.append(_one_way(scored, question, factor))
    return anovas, kruskal, skipped


def two_way(frame: pd.DataFrame, factors: tuple[str, str]) -> tuple[list[Anova], list[Skipped]]:
    """Type II analysis of two factors with their interaction, which is left out where a combination is empty."""
    anovas: list[Anova] = []
    skipped: list[Skipped] = []
    for question in questions_of(frame):
        scored = _scored(frame, question, list(factors))
        what = f"analysis of variance of {question} by {' and '.join(factors)}"
        reason = _why_not(scored, list(factors)) or _too_large(scored, factors)
        if reason is None and _within(scored, list(factors)) == 0:
            reason = f"scores do not vary within any combination of {' and '.join(factors)}"
        if reason:
            skipped.append(Skipped(what, reason))
            continue
        empty = _empty(scored, factors)
        if empty:
            skipped.append(Skipped(f"interaction in the {what}", f"nothing was scored for {empty}"))
        anovas.append(_two_way(scored, question, factors, crossed=not empty))
    return anovas, skipped


# ---- what can be computed --------------------------------------------------------------------------------------------


def _scored(frame: pd.DataFrame, question: str, factors: list[str]) -> pd.DataFrame:
    """Columns `score` and the factors, of the scored trials."""
    scored = frame.loc[frame[SCORE + question].notna(), [SCORE + question, *factors]]
    return scored.astype(dict.fromkeys(factors, str)).rename(columns={SCORE + question: "score"})


def _why_not(scored: pd.DataFrame, factors: list[str]) -> str | None:
    if scored.empty:
        return "nothing was scored"
    for factor in factors:
        if scored[factor].nunique() < 2:
            return f"there is one {factor} only"
    if scored["score"].nunique() == 1:
        return "all scores are the same"
    if len(scored) <= scored[factors].drop_duplicates().shape[0]:
        return "no group has two scores"
    return None


def _within(scored: pd.DataFrame, factors: list[str]) -> float:
    """The largest spread of scores within a group."""
    groups = scored.groupby(factors)["score"]
    return float((groups.max() - groups.min()).max())


def _too_large(scored: pd.DataFrame, factors: tuple[str, str]) -> str | None:
    columns = scored[factors[0]].nunique() * scored[factors[1]].nunique()
    if len(scored) * columns <= MAX_CELLS:
        return None
    return f"{columns} combinations of {len(scored)} scores are more than fit in memory at once"


def _empty(scored: pd.DataFrame, factors: tuple[str, str]) -> str | None:
    """A combination that has no score."""
    there = set(scored[list(factors)].drop_duplicates().itertuples(index=False, name=None))
    pairs = product(scored[factors[0]].unique(), scored[factors[1]].unique())
    return next((" with ".join(pair) for pair in pairs if pair not in there), None)


# ---- computing it ----------------------------------------------------------------------------------------------------


def _one_way(scored: pd.DataFrame, question: str, factor: str) -> Anova:
    from statsmodels.stats.oneway import anova_generic

    groups = scored.groupby(factor)["score"].agg(["mean", "var", "count"])
    result = anova_generic(
        groups["mean"], groups["var"].fillna(0.0), groups["count"], use_var="equal", welch_correction=False
    )
    total = float(scored["score"].var(ddof=0)) * len(scored)
    between, within = result.df_num, result.df_denom
    # F is the ratio of two mean squares, and their sums make up the total: no need to compute either again.
    share = float(result.statistic * between / (result.statistic * between + within))
    term = Term(factor, total * share, float(between), float(result.statistic), float(result.pvalue), share, share)
    return Anova(question, (factor,), len(scored), (term,), total * (1 - share), float(within))


def _kruskal(scored: pd.DataFrame, question: str, factor: str) -> KruskalWallis:
    from scipy.stats import kruskal

    samples = [group.to_numpy() for _, group in scored.groupby(factor)["score"]]
    h, p = kruskal(*samples)
    n, groups = len(scored), len(samples)
    eta2 = number((h - groups + 1) / (n - groups), "as many groups as scores")
    return KruskalWallis(question, factor, n, groups, float(h), float(p), eta2)


def _two_way(scored: pd.DataFrame, question: str, factors: tuple[str, str], *, crossed: bool) -> Anova:
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    renamed = scored.astype(dict.fromkeys(factors, "category")).rename(columns={factors[0]: "a", factors[1]: "b"})
    fit = ols(f"score ~ a {'*' if crossed else '+'} b", renamed).fit(method="qr")
    shown = anova_lm(fit, typ=2)
    total = float(scored["score"].var(ddof=0)) * len(scored)
    residual = float(shown.loc["Residual", "sum_sq"])
    names = {"a": factors[0], "b": factors[1], "a:b": ":".join(factors)}
    terms = tuple(
        Term(names[str(name)], sum_sq, df, f, p, sum_sq / total, sum_sq / (sum_sq + residual))
        for name, sum_sq, df, f, p in shown.drop(index="Residual").astype(float).itertuples(name=None)
    )
    return Anova(question, factors, len(scored), terms, residual, float(shown.loc["Residual", "df"]))
