"""Numbers of `runner stats` beside those that R gives for lme4's own data sets, and for the study's table.

r/figures.R computes r/figures.csv and writes the data sets beside it; its head names the versions of R and of lme4,
lmerTest, emmeans, psych and effectsize. Figures agree to four digits or more; where not, NEGATIVE and STUDY_DIGITS say
why.
"""

from __future__ import annotations

import csv
import os
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from made_tables import as_table

from runner.reporting.stats.agreement import agreement, reliability
from runner.reporting.stats.components import _reml as reml
from runner.reporting.stats.components import components_of
from runner.reporting.stats.differences import ContrastOptions, differences_within, paired
from runner.reporting.stats.frame import SCORE
from runner.reporting.stats.omnibus import omnibus
from runner.reporting.stats.published import one_way
from runner.reporting.stats.values import Components, PairedDifference, known

HERE = Path(__file__).parent / "r"
STUDY = Path(os.environ.get("STUDY_CSV", Path(__file__).parents[3] / "shared/data/affect_study.csv"))
DIGITS = 5e-5
"""Relative difference below which figures agree to four digits."""
NEGATIVE = ("dyestuff2", "pastes", "cake")
"""Sets in which an estimate from mean squares is below 0, and set to 0. REML, which may not go below 0 in the first
place, then shares the rest out in another way, so that R is equalled by mixedlm's fit, not by mean squares."""
STUDY_DIGITS = 2e-3
"""Likewise for standard deviations of the study: two ways to the top of a flat likelihood end in its seventh digit,
where lme4 warns that it did not converge, and three texts leave that of texts the least certain."""
NEAR_0 = 5e-4
"""Relative to the largest standard deviation: where one is 0, both programs stop on their way to it."""


@cache
def figures() -> dict[str, dict[str, float]]:
    """Set -> what -> value, as R gives it."""
    found: dict[str, dict[str, float]] = {}
    with (HERE / "figures.csv").open(encoding="utf-8") as file:
        for name, what, value in csv.reader(file):
            found.setdefault(name, {})[what] = float(value)
    return found


@cache
def data(name: str) -> pd.DataFrame:
    """A data set as stats.table gives it, its question named `q`."""
    table = pd.read_csv(HERE / f"{name}.csv", dtype={"text": str, "model": str, "persona": str})
    return as_table(table.rename(columns={"score": SCORE + "q"}))


@cache
def study() -> pd.DataFrame:
    """The study's table, its questions named as in its CSV."""
    if not STUDY.is_file():
        pytest.skip("the study's table is not here: set STUDY_CSV to its path")
    table = pd.read_csv(STUDY)
    return as_table(table.rename(columns={f"Q{n}value": f"{SCORE}Q{n}value" for n in range(1, 5)}))


# ---- variance components ---------------------------------------------------------------------------------------------


def by_factors(found: Components | None) -> dict[frozenset[str], float]:
    """Standard deviations by their factors; that of the last interaction is the residual where no cell is repeated."""
    assert found is not None
    return {
        frozenset(() if found.confounded and set(part.factors) == set(found.levels) else part.factors): part.sd
        for part in found.parts
    }


@pytest.mark.parametrize(
    "name", ["sleepstudy", "dyestuff", "dyestuff2", "pastes", "penicillin", "cake", "study Q1value", "study Q3value"]
)
def test_components_are_those_of_lme4(name: str) -> None:
    """Every standard deviation is that of lmer's REML fit."""
    if name in NEGATIVE:
        frame = data(name)
        factors = [factor for factor in ("text", "model", "persona") if frame[factor].nunique() > 1]
        here = by_factors(reml(frame, "q", factors))
    else:
        question = "q" if not name.startswith("study") else name.removeprefix("study ")
        here = by_factors(components_of(study() if name.startswith("study") else data(name), question))
    there = {
        frozenset(what.removeprefix("sd ").split(":")) - {"Residual"}: sd
        for what, sd in figures()[name].items()
        if what.startswith("sd ")
    }
    assert here.keys() == there.keys()
    for each, sd in there.items():
        near = sd * (STUDY_DIGITS if name.startswith("study") else DIGITS)
        near = NEAR_0 * max(there.values()) if name in NEGATIVE else near
        assert here[each] == pytest.approx(sd, abs=near), each


@pytest.mark.parametrize("name", NEGATIVE)
def test_where_mean_squares_go_below_0_it_is_said(name: str) -> None:
    """A component that REML puts at 0 is 0 from mean squares too, and marked as one whose estimate was negative."""
    found = components_of(data(name), "q")
    assert found is not None
    at_0 = {what.removeprefix("sd ") for what, sd in figures()[name].items() if what.startswith("sd ") and sd < 0.001}
    assert at_0
    assert at_0 <= {":".join(part.factors) for part in found.parts if part.negative and part.sd == 0}


# ---- differences -----------------------------------------------------------------------------------------------------


def numbers(one: PairedDifference) -> dict[str, float | None]:
    named = {
        "difference": one.difference, "se": one.interval.se, "df": one.interval.df, "t": one.t, "p": one.p,
        "low": one.interval.low, "high": one.interval.high, "all_low": one.simultaneous.low,
        "all_high": one.simultaneous.high, "p_equivalent": one.p_equivalent, "effect": one.effect,
        "p_holm": one.p_holm,
    }  # fmt: skip
    return {name: known(number) for name, number in named.items()}


def test_contrasts_are_those_of_t_test_and_p_adjust() -> None:
    """Estimate, SE, df, t, p, intervals alone and for all, TOST and Holm of sleepstudy's days are those of R."""
    found = differences_within(data("sleepstudy"), "model", ContrastOptions(margin=20.0))
    assert isinstance(found, tuple)
    pairs = {(one.left, one.right): numbers(one) for one in found}
    checked = 0
    for what, value in figures()["sleepstudy"].items():
        words = what.split()
        if len(words) == 4 and words[1] == "-":
            assert pairs[words[0], words[2]][words[3]] == pytest.approx(value, rel=DIGITS), what
            checked += 1
    assert checked == 3 * 11 + 45


def test_a_contrast_of_two_levels_is_that_of_emmeans() -> None:
    """Where lmer's model is the same, so are estimate, SE, Satterthwaite's df and p of emmeans."""
    frame = data("sleepstudy")
    (one,) = paired(frame[frame["model"] == "0"], frame[frame["model"] == "9"])
    theirs = {what.split()[-1]: value for what, value in figures()["sleepstudy"].items() if what.startswith("emmeans")}
    ours = numbers(one)
    assert [ours[name] for name in ("difference", "se", "df", "p")] == pytest.approx(
        [theirs[name] for name in ("estimate", "SE", "df", "p.value")], rel=DIGITS
    )


@pytest.mark.parametrize("question", ["Q1value", "Q3value"])
def test_the_studys_contrasts_are_those_of_r(question: str) -> None:
    """Two models of the study, cells averaged over repetitions and personas: as t.test and as emmeans have them."""
    frame, theirs = study(), figures()[f"study {question}"]
    sides = [what.split()[1] for what in figures()["study"]]
    found = paired(frame[frame["model"] == sides[0]], frame[frame["model"] == sides[1]])
    ours = numbers(next(one for one in found if one.question == question))
    for what, value in theirs.items():
        words = what.split()
        if len(words) == 4 and words[0] == sides[0] and not words[3].startswith("all_"):
            assert ours[words[3]] == pytest.approx(value, rel=DIGITS), what
        if words[0] == "emmeans":
            name = {"estimate": "difference", "SE": "se", "df": "df", "p.value": "p"}[words[-1]]
            assert ours[name] == pytest.approx(value, rel=DIGITS), what


def test_superiority_is_cliffs_delta() -> None:
    """Of one cell the chance of superiority is (delta + 1) / 2 of effectsize's Cliff's delta."""
    sides = [what.split()[1] for what in figures()["study"]]
    cells = study()[(study()["persona"] == "p3") & (study()["text"] == "t1")]
    found = paired(cells[cells["model"] == sides[0]], cells[cells["model"] == sides[1]])
    for question in ("Q1value", "Q3value"):
        one = next(each for each in found if each.question == question)
        delta = figures()[f"study {question}"]["cliffs delta p3 t1"]
        assert known(one.superiority) == pytest.approx((delta + 1) / 2, rel=DIGITS)


# ---- tests of axes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "axis"), [("sleepstudy", "model"), ("cake", "model"), ("cake", "persona")])
def test_f_over_texts_is_that_of_anova(name: str, axis: str) -> None:
    """F, both df and p of an axis are those of R's analysis of variance of the means by text and level."""
    one = next(test for test in omnibus(data(name)) if test.axis == axis)
    theirs = [figures()[name][f"F{what} {axis}"] for what in ("", " df", " df_error", " p")]
    assert [known(value) for value in (one.f, one.df, one.df_error, one.p)] == pytest.approx(theirs, rel=DIGITS)


@pytest.mark.parametrize("question", ["Q1value", "Q3value"])
def test_what_was_published_is_what_r_gives(question: str) -> None:
    """F of an analysis of variance by text, and Kruskal-Wallis's H, of the study's complete replies."""
    whole = study().dropna(subset=[f"{SCORE}Q{n}value" for n in range(1, 5)])
    anovas, ranks, _ = one_way(whole, "text")
    anova = next(one for one in anovas if one.question == question)
    rank = next(one for one in ranks if one.question == question)
    theirs = figures()[f"study {question}"]
    assert [known(anova.terms[0].f), known(rank.h)] == pytest.approx(
        [theirs["anova F"], theirs["kruskal H"]], rel=DIGITS
    )


# ---- agreement -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["penicillin", "sleepstudy"])
def test_icc_of_named_raters_is_that_of_psych(name: str) -> None:
    """ICC(A,1), ICC(C,1) and their intervals are psych's; alpha is Krippendorff's definition, written out in R."""
    found = {one.measure: one for one in agreement(data(name)) if one.among == "models"}
    theirs = figures()[name]
    for measure in ("ICC(A,1)", "ICC(C,1)"):
        one, what = found[measure], measure.replace(",", " ")
        assert [known(value) for value in (one.value, one.low, one.high)] == pytest.approx(
            [theirs[what], theirs[f"{what} low"], theirs[f"{what} high"]], rel=DIGITS
        )
    if "alpha" in theirs:
        assert known(found["alpha"].value) == pytest.approx(theirs["alpha"], rel=DIGITS)


def test_icc_of_repetitions_is_that_of_psych() -> None:
    """ICC(1), its interval, and the reliability of the mean of five are psych's for Dyestuff's batches."""
    found = {one.measure: one for one in agreement(data("dyestuff")) if one.among == "repetitions"}
    theirs, one = figures()["dyestuff"], found["ICC(1)"]
    assert [known(value) for value in (one.value, one.low, one.high)] == pytest.approx(
        [theirs["ICC(1)"], theirs["ICC(1) low"], theirs["ICC(1) high"]], rel=DIGITS
    )
    assert known(found["alpha"].value) == pytest.approx(theirs["alpha"], rel=DIGITS)
    (mean,) = reliability(data("dyestuff"))
    assert mean.repetitions == 5
    assert known(mean.of_mean) == pytest.approx(theirs["ICC(1 k)"], rel=DIGITS)
    assert known(mean.needed) == 13
