"""`runner import` and `runner stats` on a table of the study, each number beside one computed from the table itself.

Twice: on a small table made here from a seed, with what the study's own has (trials that are missing, replies without
scores, ties, models of unequal number a vendor), and on the study's published one where that is at hand. What a number
is compared with uses pandas, numpy and scipy on the CSV, and nothing of this project.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from runner.cli.main import main
from runner.results.table import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PUBLISHED_TABLE = Path(os.environ.get("STUDY_CSV", Path(__file__).parents[3] / "shared/data/affect_study.csv"))
"""Path of the study's published table, which is not part of this project: N. Shirahama, llm-emotional-individuality,
data_public.csv, CC BY 4.0."""
PUBLISHED = {
    "interesting": ((2571.8022087667564, 0.5586256950547143), (2350.558410449876, 0.577893309657942)),
    "surprise": ((1999.1612495371735, 0.49592688701467863), (2312.3795122660613, 0.5684988957347592)),
    "sadness": ((5213.374785008348, 0.7195452188057297), (2346.9692305974118, 0.5770101453241663)),
    "anger": ((2430.4737024277265, 0.5446471765436899), (2333.388302242397, 0.5736683814572827)),
}
"""By text: F and eta squared, then Kruskal-Wallis's H and its effect size (results/csv/text_effects_*.csv there)."""
PUBLISHED_TWO_WAY = {
    "interesting": ((34.76827184197827, 0.04911224174812173), (10.447581840260636, 0.007700271815014375),
                    (0.8568498275468109, 0.003804066760284013)),
    "surprise": ((38.21384923785809, 0.05371787444764206), (19.345310563655946, 0.014165346035179802),
                 (1.642102047641388, 0.007264942036654133)),
    "sadness": ((17.42406263061554, 0.025230663968434063), (2.6395134754362206, 0.0019566839181977976),
                (0.17045568508845604, 0.0007590674323165483)),
    "anger": ((18.884368861349746, 0.027287537900931656), (3.3119350398314835, 0.002453930019569974),
              (0.48943809217810735, 0.0021764573702974686)),
}  # fmt: skip
"""F and partial eta squared of vendor, persona and both, type II (results/csv/vendor_persona_anova_typ2.csv there)."""
QUESTIONS = {"interesting": "Q1value", "surprise": "Q2value", "sadness": "Q3value", "anger": "Q4value"}
SCORES = list(QUESTIONS.values())
EXACT = 1e-9


@dataclass(frozen=True)
class Described:
    """A table, what of it is complete, and what the program says of it."""

    table: pd.DataFrame
    valid: pd.DataFrame
    said: str
    """By `runner import`."""
    tables: str
    """By `runner stats --all`."""
    numbers: dict[str, Any]
    """By `runner stats --json`."""
    run: Path
    """The run's folder."""

    def of(self, kind: str, **labels: Any) -> dict[str, Any]:
        """The one entry of a list of the JSON that has these labels."""
        (found,) = (one for one in self.numbers[kind] if all(one[name] == label for name, label in labels.items()))
        return found  # type: ignore[no-any-return]


def synthetic(path: Path) -> Path:
    """A table in the study's columns: five models of three vendors, three personas, three texts, four trials."""
    random = np.random.default_rng(7)
    vendors = ("Aurora", "Aurora", "Borealis", "Borealis", "Corona")
    lines = []
    for model, persona, text, trial in np.ndindex(5, 3, 3, 4):
        if random.random() < 0.05:
            continue
        centre = np.array([70, 55, 30, 20]) + 4 * model - 6 * persona + np.array([-12, 4, 9, 3]) * text
        scores: list[float | None] = [
            float(np.clip(5 * np.round(random.normal(value, 8) / 5), 0, 100)) for value in centre
        ]
        if random.random() < 0.06:
            scores = [None if random.random() < 0.5 else score for score in scores]
        heat = None if model == 4 else (0.7, 0.4, 0.9)[persona]
        named = (f"t{text + 1}", vendors[model], f"model-{model}", f"p{persona + 1}", heat, trial + 1)
        lines.append(("2025/5/1 14:20", *named, *scores))
    columns = ["timestamp", "text", "developer", "model", "persona", "temperature", "trial", *SCORES]
    pd.DataFrame(lines, columns=columns).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module", params=["a table made here", "the study's own"])
def described(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Described:
    folder = tmp_path_factory.mktemp("study")
    path = PUBLISHED_TABLE if request.param == "the study's own" else synthetic(folder / "made.csv")
    if not path.is_file():
        pytest.skip("the study's table is not here: set STUDY_CSV to its path")
    said = printed("import", str(path), "--out", str(folder / "out"), "tracking.enabled=false")
    (run,) = (folder / "out").iterdir()
    table = pd.read_csv(path)
    numbers = json.loads(printed("stats", str(run), "--json"))
    return Described(table, table.dropna(subset=SCORES), said, printed("stats", str(run), "--all"), numbers, run)


def printed(*words: str) -> str:
    """What a command prints, run in this process."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "200")
        assert main(list(words)) == 0
    return said.getvalue()


# ---- counts and means ------------------------------------------------------------------------------------------------


def test_coverage_and_valid_rows(described: Described) -> None:
    """How many trials of the complete design there are, and how many have every score; the rest is never a score."""
    table, valid = described.table, described.valid
    design = int(np.prod([table[name].nunique() for name in ("model", "persona", "text", "trial")]))
    assert f"{len(table)} of {design} trials imported" in described.said
    assert (described.numbers["trials"], described.numbers["scored"]) == (len(table), len(valid))
    for question in QUESTIONS:
        whole = described.of("summaries", axis="all", question=question)
        missing = len(table) - len(valid)
        read = int(table[QUESTIONS[question]].notna().sum())
        assert (whole["n"], whole["unscorable"], whole["failed"]) == (read, missing, 0)
        assert (whole["trials"], sum(whole["reasons"].values())) == (design, design - read)
        assert whole["reasons"]["absent"] == design - len(table)
        assert whole["missing"] == pytest.approx(1 - read / design, rel=EXACT)
        assert whole["unscorable_share"] == pytest.approx(missing / len(table), rel=EXACT)


@pytest.mark.parametrize(("axis", "column"), [("text", "text"), ("model", "model"), ("vendor", "developer")])
def test_means(axis: str, column: str, described: Described) -> None:
    """Mean, deviation and median of every text, model and vendor are those of numpy, its texts alike."""
    for question, name in QUESTIONS.items():
        for level, group in described.table.dropna(subset=[name]).groupby(column):
            one, scores = described.of("summaries", axis=axis, level=level, question=question), group[name].to_numpy()
            mean = group.groupby("text")[name].mean().mean()
            expected = [mean, scores.std(ddof=1) if len(scores) > 1 else None, np.median(scores)]
            numbers = [one["mean"], one["sd"], one["median"]]
            assert numbers == [pytest.approx(number, rel=1e-12) for number in expected]
            assert f"{expected[0]:.2f}" in described.tables


def test_a_score_counts_wherever_it_was_read(described: Described) -> None:
    """A cell's mean in summary.csv, statistics and run.table() is that of the scores in the file, each text alike."""
    summary = pd.read_csv(described.run / "summary.csv").set_index("cell")
    rows = table(described.run)
    said = {
        (one["level"], one["question"]): one["mean"] for one in described.numbers["summaries"] if one["axis"] == "cell"
    }
    for question, name in QUESTIONS.items():
        for (model, persona), group in described.table.groupby(["model", "persona"]):
            cell, expected = f"{model}/{persona}", group.groupby("text")[name].mean().mean()
            if np.isnan(expected):
                continue
            own = rows[(rows["cell"] == cell) & (rows["question"] == question)]
            numbers = [
                summary.at[cell, f"{question}_mean"],
                said[cell, question],
                own.groupby("text")["score"].mean().mean(),
            ]
            assert numbers == pytest.approx([expected] * 3, rel=EXACT), (cell, question)
            assert summary.at[cell, f"{question}_n"] == group[name].count()


def test_the_design_is_what_shares_are_of(described: Described) -> None:
    """On the study's own table 94.1% of the design is complete, and the persona that lost scores has them again."""
    if len(described.table) != 4227:
        pytest.skip("this is the table made here")
    assert any("4,067 of the design's 4,320 trials (94.1%)" in line for line in described.numbers["findings"])
    one = described.of("summaries", axis="cell", level="Qwen2.5-VL-7B-Instruct/p3", question="surprise")
    assert round(one["mean"], 1) == 36.3
    assert any("each persona has its own temperature" in line for line in described.tables.splitlines())


def test_intervals_are_over_texts(described: Described) -> None:
    """An interval is Student's t over the means of the texts, within the scale."""
    for question, name in QUESTIONS.items():
        means = described.table.groupby("text")[name].mean()
        expected = scipy.stats.ttest_1samp(means, 0.0).confidence_interval(0.95)
        interval = described.of("summaries", axis="all", question=question)["interval"]
        assert (interval["scope"], interval["units"], interval["df"]) == ("texts", 3, 2)
        within = [max(0.0, expected.low), min(100.0, expected.high)]
        assert [interval["low"], interval["high"]] == pytest.approx(within)


# ---- analyses of variance --------------------------------------------------------------------------------------------


def test_texts_by_variance_and_by_ranks(described: Described) -> None:
    """F and p by text are scipy's; H is the variance of mean ranks over that of all ranks, which corrects for ties."""
    for question, name in QUESTIONS.items():
        scores = described.valid[name].to_numpy()
        groups = [group.to_numpy() for _, group in described.valid.groupby("text")[name]]
        f, p = scipy.stats.f_oneway(*groups)
        eta2 = sum(len(group) * (group.mean() - scores.mean()) ** 2 for group in groups) / (len(scores) * scores.var())
        (term,) = described.of("anovas", question=question, factors=["text"])["terms"]
        assert [term["f"], term["p"], term["eta2"]] == pytest.approx([f, p, eta2], rel=EXACT, abs=1e-300)
        assert f"{f:.2f}" in described.tables

        ranks = scipy.stats.rankdata(scores)
        texts = described.valid["text"].to_numpy()
        between = sum(
            (texts == text).sum() * (ranks[texts == text].mean() - ranks.mean()) ** 2 for text in np.unique(texts)
        )
        h = between / ranks.var(ddof=1)
        rank = described.of("kruskal", question=question)
        expected = [h, scipy.stats.chi2.sf(h, len(groups) - 1), (h - len(groups) + 1) / (len(scores) - len(groups))]
        assert [rank["h"], rank["p"], rank["eta2"]] == pytest.approx(expected, rel=EXACT, abs=1e-300)


def residual(scores: NDArray[np.float64], factors: Sequence[pd.Series[Any]]) -> tuple[float, int]:
    """Residual sum of squares and degrees of freedom of least squares on dummies, by numpy."""
    dummies = [pd.get_dummies(factor, drop_first=True, dtype=float).to_numpy() for factor in factors]
    design = np.column_stack([np.ones(len(scores)), *dummies])
    fitted = design @ np.linalg.lstsq(design, scores, rcond=None)[0]
    return float(((scores - fitted) ** 2).sum()), len(scores) - int(np.linalg.matrix_rank(design))


def test_vendors_and_personas(described: Described) -> None:
    """Type II: what each factor takes from the residual of the model without it, over the full model's mean square."""
    vendor, persona = described.valid["developer"], described.valid["persona"]
    both = vendor + "/" + persona
    for question, name in QUESTIONS.items():
        scores = described.valid[name].to_numpy()
        full, additive = residual(scores, [both]), residual(scores, [vendor, persona])
        smaller = {
            "vendor": (residual(scores, [persona]), additive),
            "persona": (residual(scores, [vendor]), additive),
            "vendor:persona": (additive, full),
        }
        anova = described.of("anovas", question=question, factors=["vendor", "persona"])
        assert anova["residual_df"] == full[1]
        for term in anova["terms"]:
            without, with_it = smaller[term["name"]]
            squares, df = without[0] - with_it[0], without[1] - with_it[1]
            f = squares / df / (full[0] / full[1])
            expected = [squares, f, squares / (squares + full[0]), squares / (len(scores) * scores.var())]
            assert term["df"] == df
            numbers = [term["sum_sq"], term["f"], term["eta2_partial"], term["eta2"]]
            assert numbers == pytest.approx(expected, rel=1e-7)
            assert term["p"] == pytest.approx(scipy.stats.f.sf(f, df, full[1]), rel=1e-6, abs=1e-300)


def test_the_published_figures(described: Described) -> None:
    """On the study's own table the numbers are the published ones, to nine digits, and so are the counts."""
    if len(described.table) != 4227:
        pytest.skip("this is the table made here")
    assert "4227 of 4320 trials imported" in described.said
    assert described.numbers["scored"] == 4067
    for question, ((f, eta2), (h, effect)) in PUBLISHED.items():
        (term,) = described.of("anovas", question=question, factors=["text"])["terms"]
        rank = described.of("kruskal", question=question)
        assert [term["f"], term["eta2"], rank["h"], rank["eta2"]] == pytest.approx([f, eta2, h, effect], rel=EXACT)
        anova = described.of("anovas", question=question, factors=["vendor", "persona"])
        numbers = [(term["f"], term["eta2_partial"]) for term in anova["terms"]]
        assert numbers == [pytest.approx(pair, rel=EXACT) for pair in PUBLISHED_TWO_WAY[question]]


# ---- pairs and agreement ---------------------------------------------------------------------------------------------


def test_pairs_of_personas(described: Described) -> None:
    """Differences, effects and p are those of scipy's t-test on the texts' mean differences, Holm's rule a question."""
    for question, name in QUESTIONS.items():
        raw, found = [], []
        cells = described.table.pivot_table(index=["text", "model"], columns="persona", values=name)
        for left, right in combinations(described.table["persona"].unique(), 2):
            gaps = (cells[left] - cells[right]).dropna()
            texts = gaps.groupby("text").mean()
            tested = scipy.stats.ttest_1samp(texts, 0.0)
            bounds = tested.confidence_interval(0.95)
            one = next(
                each for each in described.numbers["differences"]["persona"]
                if (each["question"], each["left"], each["right"]) == (question, left, right)
            )  # fmt: skip
            expected = [texts.mean(), texts.mean() / texts.std(ddof=1), tested.statistic, tested.pvalue, *bounds]
            ends = [one["interval"]["low"], one["interval"]["high"]]
            numbers = [one["difference"], one["effect"], one["t"], one["p"], *ends]
            assert (one["pairs"], one["texts"]) == (len(gaps), len(texts))
            assert numbers == pytest.approx(expected, rel=EXACT, abs=1e-300)
            raw.append(float(tested.pvalue))
            found.append(one["p_holm"])
        assert found == pytest.approx(holm(raw), rel=EXACT, abs=1e-300)


def holm(raw: list[float]) -> list[float]:
    """Holm's step-down correction, as he wrote it."""
    corrected, highest = [0.0] * len(raw), 0.0
    for rank, place in enumerate(sorted(range(len(raw)), key=raw.__getitem__)):
        highest = max(highest, min(1.0, (len(raw) - rank) * raw[place]))
        corrected[place] = highest
    return corrected


def alpha(units: list[NDArray[np.float64]]) -> float:
    """Krippendorff's alpha from its definition: squared differences of all pairs within units over those of all."""
    units = [unit for unit in units if len(unit) >= 2]
    everything = np.concatenate(units)
    within = sum(((unit[:, None] - unit[None, :]) ** 2).sum() / (len(unit) - 1) for unit in units)
    overall = ((everything[:, None] - everything[None, :]) ** 2).sum() / (len(everything) - 1)
    return float(1 - within / overall)


def test_agreement(described: Described) -> None:
    """Alpha, within repetitions and between models, is that of its definition; ICC(1) that of the mean squares."""
    for question, name in QUESTIONS.items():
        cells = described.table.dropna(subset=[name]).groupby(["model", "persona", "text"])[name]
        units = [group.to_numpy() for _, group in cells]
        means = [group.to_numpy() for _, group in cells.mean().groupby(["persona", "text"])]
        for among, expected in (("repetitions", alpha(units)), ("models", alpha(means))):
            one = described.of("agreement", question=question, among=among, measure="alpha")
            assert one["value"] == pytest.approx(expected, rel=EXACT)

        repeated = [unit for unit in units if len(unit) >= 2]
        sizes = np.array([len(unit) for unit in repeated], dtype=np.float64)
        scores = np.concatenate(repeated)
        between = sum(len(unit) * (unit.mean() - scores.mean()) ** 2 for unit in repeated) / (len(repeated) - 1)
        within = sum(((unit - unit.mean()) ** 2).sum() for unit in repeated) / (len(scores) - len(repeated))
        k0 = (sizes.sum() - (sizes**2).sum() / sizes.sum()) / (len(repeated) - 1)
        one = described.of("agreement", question=question, among="repetitions", measure="ICC(1)")
        assert one["value"] == pytest.approx((between - within) / (between + (k0 - 1) * within), rel=EXACT)
