"""Statistics against published examples, against other ways to compute them, and where there is nothing to compute."""

from __future__ import annotations

import json
import re
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from runner.errors import RunnerError
from runner.records import Problem, Row, Tokens
from runner.reporting import stats
from runner.reporting.stats import Undefined, known
from runner.reporting.stats.shown import sheets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _row(score: float | None = 50.0, **changes: Any) -> Row:
    """A trial scored on one question; None makes it unscorable."""
    values: dict[str, Any] = {
        "run": "r1", "job": 0, "key": "a" * 64, "model": "m1", "model_id": "m1", "provider": "openai", "vendor": "v1",
        "persona": "poet", "text": "rain", "repetition": 1, "route": "live", "reasons": {"joy": None}, "reply": "",
        "outcome": "unscorable" if score is None else "scored", "scores": {"joy": score},
        "problem": Problem("empty", "nothing") if score is None else None,
        "requested": {}, "sent": {"temperature": 0.7}, "dropped": (), "rung": "prompt", "attempts": 1,
        "latency_s": 1.0, "tokens": Tokens(), "price_usd": None, "model_version": None, "fingerprint": None,
        "time": None, "source": "bought", **changes,
    }  # fmt: skip
    return Row(cell=f"{values['model']}/{values['persona']}", **values)


def _study(seed: int = 1, missing: float = 0.1) -> list[Row]:
    """An unbalanced little study: four models of two vendors, two personas, three texts, four repetitions."""
    random = np.random.default_rng(seed)
    rows = []
    for model, persona, text, repetition in np.ndindex(4, 2, 3, 4):
        score = float(np.round(40 + 5 * model + 8 * persona + 10 * text + random.normal(0, 6)))
        rows.append(
            _row(
                None if random.random() < missing else score,
                model=f"m{model}",
                vendor=f"v{model // 3}",
                persona=f"p{persona}",
                text=f"t{text}",
                repetition=repetition + 1,
                sent={"temperature": 0.2 + 0.5 * (repetition % 2)},
            )
        )
    return rows


def _summary(found: stats.Statistics, axis: str, level: str) -> stats.Summary:
    return next(one for one in found.summaries if (one.axis, one.level) == (axis, level))


# ---- summaries -------------------------------------------------------------------------------------------------------


def test_summaries_are_those_of_the_statistics_module() -> None:
    """n, sd and median are what the statistics module gives for a model's scores, and its mean is its texts'."""
    rows = _study()
    found = stats.describe(rows)
    for model in ("m0", "m1", "m2", "m3"):
        scores = [row.scores["joy"] for row in rows if row.model == model and row.scores["joy"] is not None]
        summary = _summary(found, "model", model)
        numbers = [known(number) for number in (summary.mean, summary.sd, summary.median)]
        texts = [[s for row in rows if (row.model, row.text) == (model, t) and (s := row.scores["joy"]) is not None]
                 for t in ("t0", "t1", "t2")]  # fmt: skip
        mean = statistics.mean(map(statistics.mean, texts))
        expected = [mean, statistics.stdev(scores), statistics.median(scores)]
        assert summary.n == len(scores)
        assert numbers == pytest.approx(expected, rel=1e-12)


def test_missing_is_never_a_score() -> None:
    """A failed trial changes counts, shares and reasons only; what was read of an unscorable reply is a score."""
    scores = {"joy": 99.0, "fear": None}
    partly = _row(scores=scores, outcome="unscorable", problem=Problem("missing_question", "no fear"), repetition=2)
    failed = _row(None, outcome="failed", problem=Problem("timeout", "no reply"), repetition=3)
    found = stats.describe([_row(41.0), _row(60.0, text="sea"), partly, failed])
    summary = _summary(found, "all", "all")
    assert (summary.trials, summary.n, summary.texts, summary.unscorable, summary.failed) == (4, 3, 2, 1, 1)
    assert summary.unscorable_share == pytest.approx(1 / 3)
    assert (summary.missing, summary.reasons) == (1 / 4, {"timeout": 1})
    assert summary.mean == (70.0 + 60.0) / 2
    (fear,) = (one for one in found.summaries if (one.axis, one.question) == ("all", "fear"))
    assert (fear.n, fear.mean) == (0, Undefined("nothing was scored"))


def test_cells_of_two_jobs_stay_apart() -> None:
    """The same cell in two jobs of a sweep is two cells, and one model."""
    found = stats.describe([_row(40.0), _row(60.0, job=1)])
    assert [one.level for one in found.summaries if one.axis == "cell"] == ["0:m1/poet", "1:m1/poet"]
    assert _summary(found, "model", "m1").n == 2


def test_an_answer_that_jobs_share_is_one_observation() -> None:
    """It is in the cell of each job of a sweep, and in no other number twice; another repetition is another answer."""
    rows = [_row(40.0), _row(60.0, repetition=2, key="b")]
    found = stats.describe([*rows, *(replace(row, job=1) for row in rows)])
    assert [(one.level, one.n) for one in found.summaries if one.axis == "cell"] == [("0:m1/poet", 2), ("1:m1/poet", 2)]
    assert _summary(found, "model", "m1") == _summary(stats.describe(rows), "model", "m1")
    assert (found.trials, found.shared, found.agreement) == (2, 2, stats.describe(rows).agreement)


@dataclass(frozen=True)
class Known:
    """Scores by text, and the texts' values that an interval ought to be over; () where it is over repetitions."""

    name: str
    scores: Sequence[Sequence[float]]
    scope: str
    units: int


KNOWN = (
    Known("texts repeat", [[10, 20, 30], [60, 70], [40, 45, 50, 55], [80], [20, 35]], "texts", 5),
    Known("each text once", [[value] for value in (10.0, 20, 25, 30, 45, 60, 80, 85)], "texts", 8),
    Known("two texts", [[28.0, 32], [70, 70]], "texts", 2),
    Known("one text", [[10.0, 20, 25, 30, 45, 60, 80, 85]], "fixed", 8),
)


@pytest.mark.parametrize("case", KNOWN, ids=lambda case: case.name)
def test_intervals_are_those_of_scipy(case: Known) -> None:
    """The interval of a mean is scipy's Student t over the texts' means; of one text, over its repetitions."""
    rows = [
        _row(float(score), text=f"t{text}", repetition=place)
        for text, scores in enumerate(case.scores)
        for place, score in enumerate(scores)
    ]
    interval = _summary(stats.describe(rows), "all", "all").interval
    units = [statistics.mean(scores) for scores in case.scores] if case.scope == "texts" else list(case.scores[0])
    expected = scipy.stats.ttest_1samp(units, 0.0).confidence_interval(0.95)
    assert (interval.scope, interval.units, interval.df) == (case.scope, case.units, case.units - 1)
    assert [known(interval.low), known(interval.high)] == pytest.approx([expected.low, expected.high])


def test_repetitions_are_no_evidence_about_texts() -> None:
    """Each trial ten times over changes no interval, p, or effect that is over texts."""
    rows = _study(missing=0)
    often = [replace(row, repetition=row.repetition + 10 * more) for row in rows for more in range(10)]
    once, ten = stats.describe(rows), stats.describe(often)
    for first, second in zip(once.differences["model"], ten.differences["model"], strict=True):
        assert second.interval.scope == "texts"
        numbers = [known(each) for each in (first.p, first.effect, first.interval.low, first.interval.high)]
        assert [known(each) for each in (second.p, second.effect, second.interval.low, second.interval.high)] == (
            pytest.approx(numbers)
        )


def test_intervals_stay_within_the_scale() -> None:
    """No interval of a mean or a difference goes beyond what may be given."""
    rows = [_row(score, text=text, model=model) for model, scores in (("a", (99.0, 70)), ("b", (1.0, 40)))
            for text, score in zip("xy", scores, strict=True)]  # fmt: skip
    found = stats.describe(rows, stats.ContrastOptions(scales={"joy": (0.0, 100.0)}))
    high = _summary(found, "model", "a").interval
    (difference,) = found.differences["model"]
    assert high.high == 100.0
    assert difference.interval.high == 100.0


def test_nothing_depends_on_the_numbers_of_repetitions() -> None:
    """Renumbering repetitions, or one that is missing on one side, moves neither difference nor p."""
    rows = _study(missing=0)
    turned = [replace(row, repetition=5 - row.repetition) if row.model == "m1" else row for row in rows]
    before, after = (stats.describe(each).differences["model"] for each in (rows, turned))
    assert [(one.pairs, known(one.p)) for one in before] == [(one.pairs, known(one.p)) for one in after]


def test_the_same_rows_give_the_same_numbers() -> None:
    """Two descriptions of the same rows are equal to the last digit, intervals included."""
    assert stats.to_json(stats.describe(_study())) == stats.to_json(stats.describe(stats.table(_study())))


# ---- paired differences ----------------------------------------------------------------------------------------------


def _pairs(left: Sequence[float], right: Sequence[float]) -> tuple[list[Row], list[Row]]:
    sides = ([_row(score, text=f"t{place}", model=name) for place, score in enumerate(scores)]
             for name, scores in (("m1", left), ("m2", right)))  # fmt: skip
    first, second = sides
    return first, second


def test_a_paired_difference_is_that_of_scipy() -> None:
    """Mean, effect, t and p are those of scipy's paired t-test on the same pairs, whatever the order of the rows."""
    left, right = [50.0, 60, 75, 80, 20, 35], [45.0, 62, 60, 70, 25, 20]
    rows = _pairs(left, right)
    (found,) = stats.paired(rows[0], list(reversed(rows[1])))
    expected = scipy.stats.ttest_rel(left, right)
    gaps = np.subtract(left, right)
    assert found.pairs == 6
    assert found.on == ("persona", "text")
    assert found.texts == 6
    numbers = [known(number) for number in (found.difference, found.effect, found.t, found.p)]
    assert numbers == pytest.approx([gaps.mean(), gaps.mean() / gaps.std(ddof=1), expected.statistic, expected.pvalue])
    assert found.p_holm == found.p
    assert (known(found.interval.low) or 0) < gaps.mean() < (known(found.interval.high) or 0)


def test_only_partners_are_compared() -> None:
    """What has no scored partner on the other side is counted and left out."""
    left = [_row(50.0), _row(90.0, text="sea"), _row(70.0, text="sky")]
    right = [_row(40.0), _row(None, text="sea"), _row(60.0, text="hill"), _row(66.0, text="sky")]
    (found,) = stats.paired(left, right, names=("old", "new"))
    assert (found.left, found.right, found.pairs) == ("old", "new", 2)
    assert (found.unmatched_left, found.unmatched_right) == (1, 1)
    assert (found.left_mean, found.right_mean, found.difference) == (60.0, 53.0, 7.0)


def test_a_trial_asked_twice_counts_once() -> None:
    """Trials that two jobs share are averaged before they are paired."""
    (found,) = stats.paired(
        [_row(40.0), _row(60.0, job=1), _row(10.0, text="sea")], [_row(20.0), _row(5.0, text="sea")]
    )
    assert (found.pairs, found.difference) == (2, 17.5)


def test_differences_can_be_split() -> None:
    """`by` gives one difference for each question and each value of a further column."""
    left = [_row(50.0, model=model, text=text) for model in ("m1", "m2") for text in ("a", "b")]
    right = [
        _row(40.0, text="a"),
        _row(30.0, text="b"),
        _row(55.0, model="m2", text="a"),
        _row(65.0, model="m2", text="b"),
    ]
    found = stats.paired(left, right, by=("question", "model"))
    assert [(dict(one.group), one.difference) for one in found] == [({"model": "m1"}, 15.0), ({"model": "m2"}, -10.0)]


def test_only_questions_of_both_sides_are_compared() -> None:
    """A question that one side was not asked has no difference."""
    both = {"joy": 50.0, "fear": 20.0}
    assert [one.question for one in stats.paired([_row(scores=both)], [_row(40.0)])] == ["joy"]


def test_an_unknown_column_is_refused() -> None:
    """Pairing by a column that results do not have is an error that names it."""
    with pytest.raises(RunnerError, match="'mood'"):
        stats.paired([_row()], [_row()], by=("question", "mood"))


def test_holm_is_holm() -> None:
    """Corrected values are those of Holm's step-down rule, over a question's pairs of models."""
    found = stats.describe(_study()).differences["model"]
    raw = [known(one.p) or 0.0 for one in found]
    expected, highest = [0.0] * len(raw), 0.0
    for rank, place in enumerate(sorted(range(len(raw)), key=raw.__getitem__)):
        highest = max(highest, min(1.0, (len(raw) - rank) * raw[place]))
        expected[place] = highest
    assert len(found) == 6
    assert [known(one.p_holm) for one in found] == pytest.approx(expected)


def test_pairs_of_models_within_a_run_are_those_of_two_runs() -> None:
    """A difference between two models of one run is what `paired` gives for the rows of each."""
    rows = _study()
    inside = next(one for one in stats.describe(rows).differences["model"] if (one.left, one.right) == ("m0", "m2"))
    (outside,) = stats.paired([row for row in rows if row.model == "m0"], [row for row in rows if row.model == "m2"])
    assert (inside.pairs, inside.unmatched_left) == (outside.pairs, outside.unmatched_left)
    assert known(inside.difference) == pytest.approx(known(outside.difference))
    assert known(inside.p) == pytest.approx(known(outside.p))


# ---- analyses of variance --------------------------------------------------------------------------------------------


def _scored(rows: list[Row]) -> pd.DataFrame:
    frame = stats.table(rows)
    return frame[frame["outcome"] == "scored"].astype({"vendor": str, "persona": str, "text": str})


def test_one_way_analysis_is_that_of_scipy() -> None:
    """F and p by text are scipy's f_oneway; eta squared is the sum of squares between texts over the total."""
    rows = _study()
    scored = _scored(rows)
    anova = stats.describe(rows).anovas[0]
    groups = [group for _, group in scored.groupby("text")["score:joy"]]
    f, p = scipy.stats.f_oneway(*groups)
    grand = scored["score:joy"].mean()
    between = sum(len(group) * (group.mean() - grand) ** 2 for group in groups)
    total = ((scored["score:joy"] - grand) ** 2).sum()
    (term,) = anova.terms
    assert (anova.factors, anova.n) == (("text",), len(scored))
    numbers = [known(number) for number in (term.f, term.p, term.sum_sq, term.eta2, anova.residual_sum_sq)]
    assert numbers == pytest.approx([f, p, between, between / total, total - between], rel=1e-9)


def _residual(scored: pd.DataFrame, columns: Sequence[str]) -> float:
    """Residual sum of squares of least squares on dummy columns, by numpy alone."""
    dummies = [pd.get_dummies(scored[name], drop_first=True, dtype=float).to_numpy() for name in columns]
    design = np.column_stack([np.ones(len(scored)), *dummies])
    return float(np.linalg.lstsq(design, scored["score:joy"].to_numpy(), rcond=None)[1][0])


def test_two_way_analysis_is_that_of_nested_models() -> None:
    """Type II sums of squares are what each term takes from the residual of the model that holds all but it."""
    rows = _study()
    scored = _scored(rows)
    scored["both"] = scored["vendor"] + scored["persona"]
    additive, full = _residual(scored, ["vendor", "persona"]), _residual(scored, ["both"])
    expected = {
        "vendor": _residual(scored, ["persona"]) - additive,
        "persona": _residual(scored, ["vendor"]) - additive,
        "vendor:persona": additive - full,
    }
    anova = next(one for one in stats.describe(rows).anovas if one.factors == ("vendor", "persona"))
    df = len(scored) - 4
    assert known(anova.residual_df) == df
    assert known(anova.residual_sum_sq) == pytest.approx(full)
    for term in anova.terms:
        f = expected[term.name] / (full / df)
        assert known(term.sum_sq) == pytest.approx(expected[term.name])
        assert [known(term.f), known(term.p)] == pytest.approx([f, scipy.stats.f.sf(f, 1, df)])
        assert known(term.eta2_partial) == pytest.approx(expected[term.name] / (expected[term.name] + full))


def test_kruskal_wallis_is_that_of_ranks() -> None:
    """H is the variance of mean ranks over the variance of all ranks, which corrects for ties by itself."""
    rows = _study()
    scored = _scored(rows)
    ranks = scored["score:joy"].rank()
    means = ranks.groupby(scored["text"]).agg(["mean", "count"])
    h = float((means["count"] * (means["mean"] - ranks.mean()) ** 2).sum() / ranks.var())
    (found,) = stats.describe(rows).kruskal
    assert [known(found.h), known(found.p)] == pytest.approx([h, scipy.stats.chi2.sf(h, 2)])
    assert known(found.eta2) == pytest.approx((h - 3 + 1) / (len(scored) - 3))


# ---- agreement -------------------------------------------------------------------------------------------------------

KRIPPENDORFF = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)
"""Computing Krippendorff's Alpha-Reliability (2011), section D: four observers, twelve units; alpha 0.849."""
SHROUT_FLEISS = ((9, 2, 5, 8), (6, 1, 3, 2), (8, 4, 6, 8), (7, 1, 2, 6), (10, 5, 6, 9), (6, 2, 4, 7))
"""Intraclass Correlations (1979), table 2: six targets, four judges; 0.17, 0.29 and 0.71."""


def _judged(by: Callable[[int], dict[str, Any]], table: Sequence[Sequence[float | None]]) -> dict[tuple[str, str], Any]:
    rows = [
        _row(None if score is None else float(score), text=f"t{unit}", **by(judge))
        for unit, scores in enumerate(table)
        for judge, score in enumerate(scores)
    ]
    return {(one.among, one.measure): known(one.value) for one in stats.describe(rows).agreement}


def test_alpha_is_the_published_one() -> None:
    """Krippendorff's own example with missing values, by repetitions and by models, gives his alpha."""
    table = [
        [None if mark == "." else float(mark) for mark in unit]
        for unit in zip(*(line.split() for line in KRIPPENDORFF), strict=True)
    ]
    by_repetition = _judged(lambda judge: {"repetition": judge + 1}, table)
    by_model = _judged(lambda judge: {"model": f"m{judge}"}, table)
    assert by_repetition["repetitions", "alpha"] == pytest.approx(0.849, abs=0.0005)
    assert by_model["models", "alpha"] == pytest.approx(0.849, abs=0.0005)


def test_icc_is_the_published_one() -> None:
    """Shrout and Fleiss's example gives their three coefficients, to the two digits that they print."""
    by_repetition = _judged(lambda judge: {"repetition": judge + 1}, SHROUT_FLEISS)
    by_model = _judged(lambda judge: {"model": f"m{judge}"}, SHROUT_FLEISS)
    assert by_repetition["repetitions", "ICC(1)"] == pytest.approx(0.17, abs=0.005)
    assert by_model["models", "ICC(A,1)"] == pytest.approx(0.29, abs=0.005)
    assert by_model["models", "ICC(C,1)"] == pytest.approx(0.71, abs=0.005)


def test_an_incomplete_model_does_not_cost_the_units() -> None:
    """A model that lacks most units is left out of the ICCs between models, rather than the units that it lacks."""
    rows = [
        _row(float(10 * text + model), text=f"t{text}", model=f"m{model}") for text in range(5) for model in range(3)
    ]
    found = stats.describe([*rows, _row(3.0, text="t0", model="rare")]).agreement
    icc = next(one for one in found if one.measure == "ICC(C,1)")
    assert (icc.units, icc.raters) == (5, 3)


# ---- where there is nothing to compute -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Rows of which something cannot be said, and words of the reason that must be given."""

    name: str
    rows: list[Row]
    reason: str


def _grid(score: Callable[[int, int], float | None], texts: int = 2, repetitions: int = 2, **changes: Any) -> list[Row]:
    return [
        _row(score(text, place), text=f"t{text}", repetition=place + 1, **changes)
        for text in range(texts)
        for place in range(repetitions)
    ]


CASES = (
    Case("no rows", [], "there is no trial"),
    Case("one row", [_row()], "there is one score only"),
    Case("nothing scored", _grid(lambda *_: None), "nothing was scored"),
    Case("only failures", _grid(lambda *_: None, outcome="failed"), "no reply came back"),
    Case("one text", _grid(lambda _, place: 10.0 * place, texts=1), "there is one text only"),
    Case("one repetition", _grid(lambda text, _: 10.0 * text, repetitions=1), "no text was scored twice in one cell"),
    Case("constant scores", _grid(lambda *_: 50.0), "all scores are the same"),
    Case("constant in each text", _grid(lambda text, _: 10.0 * text), "scores do not vary within any group"),
    Case("one model", _grid(lambda text, place: text + 2.0 * place), "there is one model only"),
    Case("one vendor", _study()[:48], "there is one vendor only"),
    Case(
        "an empty combination",
        [row for row in _study() if (row.vendor, row.persona) != ("v1", "p0")],
        "nothing was scored for v1 with p0",
    ),
    Case(
        "a temperature for each persona",
        [_row(persona=p, sent={"temperature": t}, text=f"t{n}") for n in range(3) for p, t in (("a", 1), ("b", 0))],
        "no scored cell has a partner at another temperature",
    ),
    Case(
        "no effect of a temperature that is each persona's own",
        [_row(persona=p, sent={"temperature": t}, text=f"t{n}") for n in range(3) for p, t in (("a", 1), ("b", 0))],
        "each persona has one temperature only, so that its effect cannot be told from that of the persona",
    ),
    Case("many personas", [_row(persona=f"p{n}") for n in range(41)], "there are 41 personas, and at most 40"),
    Case("the same difference", _grid(lambda t, r: t + 2.0 * r) + _grid(lambda t, r: t + 2.0 * r + 5, model="b"),
         "all differences are the same"),
    Case("one pair", [_row(1.0), _row(2.0, model="b")], "there is one text only, and no cell of it was asked twice"),
    Case("models share no unit", [_row(1.0), _row(2.0, text="b", model="b")], "no unit was scored by two models"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_cannot_be_said_is_given_with_its_reason(case: Case) -> None:
    """No degenerate input crashes, warns or yields NaN; JSON and tables are made, and the reason is in the JSON."""
    found = stats.describe(case.rows)
    text = stats.to_json(found)
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))
    assert case.reason in text
    assert _printed(found) or not case.rows


def test_two_sides_without_anything_in_common() -> None:
    """Two runs on different texts have a difference without a number, and the reason."""
    (found,) = stats.paired(
        [_row(1.0, text="a")], [_row(2.0, text="b", persona="x", model="y", repetition=2)], on=["text"]
    )
    assert found.pairs == 0
    assert isinstance(found.difference, Undefined)
    assert "partner" in found.difference.reason


def test_sides_that_share_no_value_at_all() -> None:
    """Where not one of text, persona and model has a value in common, nothing is paired."""
    (found,) = stats.paired([_row(1.0, text="a")], [_row(2.0, text="b", persona="x", model="y", repetition=2)])
    assert (found.pairs, found.on) == (0, ())
    assert isinstance(found.p_holm, Undefined)


def test_no_rows_on_one_side() -> None:
    """An empty side is compared in no question."""
    assert stats.paired([], [_row()]) == ()


# ---- shown -----------------------------------------------------------------------------------------------------------


def _printed(found: stats.Statistics, width: int = 200) -> str:
    return stats.render(found, stats.View(everything=True), width=width)


def test_what_holds_for_all_questions_is_said_once() -> None:
    """What cannot be said has a line for each reason, not for each question; a question stands where it is not all."""
    rows = [
        replace(_row(text=f"t{n}", repetition=k), scores={"a": float(n + k), "b": 5.0 * n, "c": 2.0 * n + k})
        for n in range(3)
        for k in (1, 2)
    ]
    printed = _printed(stats.describe(rows)).partition("Not defined")[2]
    assert re.search(r"^analysis of variance by vendor and persona +there is one vendor only *$", printed, re.MULTILINE)
    assert re.search(r"^analysis of variance by text: b +scores do not vary", printed, re.MULTILINE)
    assert printed.count("there is one model only") == 4  # differences, alpha and two ICCs


@pytest.mark.parametrize("width", [60, 80, 200])
def test_every_number_stands_under_its_header(width: int) -> None:
    """No table has more headers than its rows have values, and no line is wider than the terminal."""
    found = stats.describe(_study())
    for sheet in sheets.sheets(found, stats.View(everything=True)):
        assert {len(row) for row in sheet.rows} == {len(sheet.columns)}, sheet.title
        assert len(sheet.notes) in {0, len(sheet.rows)}, sheet.title
    assert max(map(len, _printed(found, width).splitlines())) <= width


def test_names_are_shown_as_they_are() -> None:
    """A persona named like markup is printed as it is spelt."""
    rows = [_row(float(n), persona=persona, text=f"t{n}") for n in range(3) for persona in ("[red]x[/red]", "y")]
    assert "[red]x[/red]" in _printed(stats.describe(rows))


def test_long_tables_say_what_they_leave_out() -> None:
    """A table of more lines than a screen holds ends with how many more there are; all are there when asked for."""
    found = stats.describe([_row(float(n % 7), text=f"t{n}", model=f"m{m}") for n in range(9) for m in range(7)])
    (short,) = re.findall("(\\d+) more lines with --all", stats.render(found))
    assert int(short) + sheets.LINES == len(found.differences["model"]) == 21
    assert "more lines" not in _printed(found)


def test_json_has_full_precision() -> None:
    """A number in the JSON is the same float as in the value."""
    found = stats.describe(_study())
    numbers = json.loads(stats.to_json(found))
    assert [one["mean"] for one in numbers["summaries"]] == [known(one.mean) for one in found.summaries]
    assert numbers["anovas"][0]["terms"][0]["f"] == known(found.anovas[0].terms[0].f)


def test_names_with_half_a_surrogate_pair_are_described() -> None:
    """JSON can hold what no table of text can: such names are described under their escapes, and two stay two."""
    rows = [
        _row(float(10 * place), persona=persona, text="\udc00", repetition=place)
        for persona in ("p\ud83d", "p\ud83e")
        for place in (1, 2)
    ]
    found = stats.describe(rows)
    assert [one.level for one in found.summaries if one.axis == "persona"] == ["p\\ud83d", "p\\ud83e"]
    assert _summary(found, "text", "\\udc00").n == 4
    assert stats.paired(rows[:2], rows[2:], on=["text"])[0].pairs == 1
    stats.to_json(found).encode()
    assert _printed(found)
