"""What is said first, what it is about, what goes together, and in which form."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from report_runs import MODELS, PERSONAS, TEXTS, experiment, row, write_run

from runner.cli.main import main
from runner.plan.job import TrialPlan
from runner.records import Dropped
from runner.reporting import stats
from runner.reporting.formatting import part, percent
from runner.reporting.stats import known
from runner.reporting.stats.confounding import confounded
from runner.reporting.stats.shown import sheets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.records import Experiment, Row

LONG = replace(MODELS[1], name="anthropic.claude-sonnet-4-20250514-with-a-very-long-name")


def rows_of(one: Experiment, change: Callable[[Row], dict[str, Any]] = lambda _: {}) -> list[Row]:
    rows = [row(trial) for trial in TrialPlan(one).trials()]
    return [replace(each, **change(each)) for each in rows]


def small(texts: int = 3, **sampling: Any) -> Experiment:
    models = [replace(MODELS[0], capability=MODELS[1].capability), LONG]
    return experiment(models, PERSONAS[:2], TEXTS[:texts], **{"trials": 2, "temperature": 0.5, **sampling})


# ---- sentences -------------------------------------------------------------------------------------------------------


def test_findings_come_first_and_can_be_printed() -> None:
    """Three to five sentences open what is shown; those that infer have an estimate, an interval and a scope."""
    found = stats.describe(rows_of(small()))
    assert 3 <= len(found.findings) <= 5
    shown = stats.render(found, form="md")
    assert [line.removeprefix("- ") for line in shown.splitlines()[: len(found.findings)]] == list(found.findings)
    means, variation, *differences, covered = found.findings
    assert all("95% interval" in line and "over texts like these" in line for line in (means, *differences))
    assert "of all variation is" in variation
    assert "no score is missing" in covered


def test_the_margin_is_a_part_of_the_scale() -> None:
    """Half a point is nothing on a scale of 100, and a difference on one of 1 to 5."""
    of_100 = rows_of(
        small(),
        lambda each: {
            "scores": dict.fromkeys(
                each.scores,
                float(each.repetition + 2 * (each.text == "t1"))
                + 0.5 * (each.model == LONG.name)
                + 0.01 * int(each.key[:2], 16) / 255,
            )
        },
    )
    wide = stats.describe(of_100, stats.ContrastOptions({"sadness": (0, 100)}))
    narrow = stats.describe(of_100, stats.ContrastOptions({"sadness": (1, 5)}))
    p_wide, p_narrow = (
        known(next(one for one in found.differences["model"] if one.question == "sadness").p_equivalent)
        for found in (wide, narrow)
    )
    assert p_wide is not None
    assert p_narrow is not None
    assert p_wide < 0.05 < p_narrow
    assert [found.margins["sadness"] for found in (wide, narrow)] == pytest.approx([5.0, 0.2])
    assert "TOST within ±5% of the scale" in stats.render(narrow, stats.View(everything=True), width=200)


@pytest.mark.parametrize("apart", [0.0, 5.0])
def test_what_does_not_vary_is_not_said_to_be_sure(apart: float) -> None:
    """Models that differ by the same at every text have a difference, and no interval, p, F or equivalence of it."""
    rows = rows_of(small(), lambda each: {"scores": dict.fromkeys(each.scores, 50 + apart * (each.model == LONG.name))})
    found = stats.describe(rows)
    (one,) = (each for each in found.differences["model"] if each.question == "sadness")
    assert abs(known(one.difference) or 0.0) == apart
    assert [known(each) for each in (one.interval.low, one.interval.high, one.p, one.p_holm, one.p_equivalent)] == [
        None
    ] * 5
    assert all(known(each.p) is None for each in found.omnibus)
    assert all(known(each.interval.low) is None for each in found.summaries if each.axis == "model")
    assert any("no interval: it is the same for every text" in line for line in found.findings)
    assert any("can be tested" in line for line in found.findings) == bool(apart)
    assert not any("of all variation" in line for line in found.findings) or apart


@dataclass(frozen=True)
class Asked:
    """A scope that is asked for, of an experiment, and the one that is given."""

    scope: str
    texts: int
    given: str
    words: str


SCOPES = (
    Asked("texts", 3, "texts", "over texts like these"),
    Asked("personas", 3, "personas", "over texts and personas like these"),
    Asked("fixed", 3, "fixed", "for these texts only"),
    Asked("texts", 1, "fixed", "One text supports nothing over texts like these"),
    Asked("personas", 1, "fixed", "One text supports nothing over texts and personas like these"),
)


@pytest.mark.parametrize("case", SCOPES, ids=lambda case: f"{case.scope}, {case.texts} texts")
def test_an_inference_says_what_it_is_about(case: Asked) -> None:
    """The scope stands in the findings, the titles, the JSON; what the data cannot support is given narrower."""
    found = stats.describe(rows_of(small(case.texts)), stats.ContrastOptions(scope=case.scope))  # type: ignore[arg-type]
    whole = next(one for one in found.summaries if one.axis == "all")
    models = found.differences["model"][0]
    assert (whole.interval.scope, models.interval.scope) == (case.given, case.given)
    assert case.words in found.findings[0]
    assert {"texts": "texts like these", "personas": "personas like these", "fixed": "these texts only"}[
        case.given
    ] in re.search("Scores, .*", stats.render(found))[0]  # type: ignore[index]
    assert json.loads(stats.to_json(found))["scope"] == case.scope
    low, high, p = (known(number) for number in (models.interval.low, models.interval.high, models.p))
    assert None in {low, high, p} or (low * high > 0) == (p < 0.05)  # type: ignore[operator]


# ---- what goes together ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Together:
    """A design, and the pairs of factors of which one decides the other."""

    name: str
    change: Callable[[Row], dict[str, Any]]
    pairs: tuple[tuple[str, str, bool], ...]


HEAT = {PERSONAS[0].name: 0.7, PERSONAS[1].name: 0.4}
TOGETHER = (
    Together("nothing", lambda _: {}, ()),
    Together("persona and temperature", lambda one: {"sent": {"temperature": HEAT[one.persona]}},
             (("persona", "temperature", True),)),
    Together("persona and temperature, where one is sent",
             lambda one: {"sent": {"temperature": HEAT[one.persona]} if one.model == LONG.name else {}},
             (("persona", "temperature", True),)),
    Together("model and rung", lambda one: {"rung": "tool" if one.model == LONG.name else "schema"},
             (("model", "rung", True),)),
    Together("model and placement",
             lambda one: {"dropped": (Dropped("system", "system", "none"),) if one.model == LONG.name else ()},
             (("model", "placement", True),)),
    Together("a temperature that varies within", lambda one: {"sent": {"temperature": 0.1 * one.repetition}}, ()),
)  # fmt: skip


@pytest.mark.parametrize("case", TOGETHER, ids=lambda case: case.name)
def test_factors_that_go_together_are_said(case: Together) -> None:
    """Two factors whose levels decide each other are found and said, and the second has no effect of its own."""
    rows = rows_of(small(), lambda one: {"rung": "prompt", **case.change(one)})
    found = stats.describe(rows)
    assert tuple((one.factor, one.decides, one.mutual) for one in found.confounded) == case.pairs
    shown = stats.render(found, stats.View(everything=True))
    for factor, decides, _ in case.pairs:
        assert f"each {factor} has its own {decides}" in " ".join(shown.split())
        assert f"each {factor} has one {decides}, whose effect this may be" in " ".join(shown.split())
        assert not [one for one in found.omnibus if one.axis == decides and known(one.p) is not None]


def test_a_factor_that_another_decides_one_way() -> None:
    """Where several models share a way of asking, it goes with the model, and the model not with it."""
    three = experiment(MODELS[:3], PERSONAS[:2], temperature=0.5)
    rungs = dict(zip((model.name for model in MODELS[:3]), ("schema", "schema", "tool"), strict=True))
    frame = stats.table(rows_of(three, lambda one: {"rung": rungs[one.model]}))
    assert [(one.factor, one.decides, one.mutual) for one in confounded(frame)] == [("model", "rung", False)]


# ---- forms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 120])
def test_names_are_never_broken(width: int) -> None:
    """A long name stands whole on one line, and no line of figures is wider than the terminal."""
    found = stats.describe(rows_of(small()))
    lines = stats.render(found, stats.View(everything=True), width=width).splitlines()
    assert sum(LONG.name in line for line in lines) > 4
    assert all(len(line) <= width or LONG.name in line for line in lines)
    fragments = [line for line in lines if "anthropic.claude" in line and LONG.name not in line]
    assert not fragments


def test_what_is_shown_first_fits_a_screen() -> None:
    """Below the findings the tables take a screen, and every number of the short ones stands in the whole ones."""
    found = stats.describe(rows_of(experiment(MODELS, PERSONAS, TEXTS, trials=2, temperature=0.5)))
    tables = stats.render(found, width=120).split("\n\n")[1:]
    assert sum(len(table.splitlines()) + 1 for table in tables) <= 60
    whole = {(one.axis, one.question): one.p for one in found.omnibus}
    (short,) = (sheet for sheet in sheets.sheets(found) if sheet.key == "omnibus")
    _, _, *questions = [name for name, _ in short.columns]
    assert questions == list(found.questions)
    shown = {
        (axis, question): p for axis, _, *values in short.rows for question, p in zip(questions, values, strict=True)
    }
    assert shown == {key: whole[key] for key in shown}


def test_what_is_asked_for_is_shown_alone() -> None:
    """--only, --question and --by leave out what they do not name; every table but the last says its method."""
    found = stats.describe(rows_of(small()))
    one = stats.about(found, "sadness")
    assert (
        {each.question for each in one.summaries} == {each.question for each in one.differences["model"]} == {"sadness"}
    )
    assert "surprise" not in stats.render(one, stats.View(everything=True))
    titles = [sheet.key for sheet in sheets.sheets(found)]
    assert titles[:3] == ["variation", "omnibus", "scores_all"]
    only = stats.render(found, stats.View(only="differences"))
    assert "Paired differences between models" in only
    assert "Scores, over" not in only
    persona = stats.render(found, stats.View(by="persona"))
    assert "Scores by persona" in persona
    assert "Paired differences between models" not in persona
    assert persona.count("Estimator: ") == 3


def test_the_verb_shows_an_axis_that_texts_bring(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--by takes what texts say of themselves by its last word; an unknown one is refused with those that there are."""
    texts = [replace(text, author="A" if place else "B") for place, text in enumerate(TEXTS)]
    run = write_run(tmp_path / "run", experiment(MODELS[:1], PERSONAS[:1], texts, trials=2))
    options = ["--question", "sadness", "--margin", "3", "--scope", "fixed", "--format", "csv"]
    assert main(["stats", str(run), "--by", "author", *options]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(line["text_author"], line["n"], line["scope"]) for line in lines] == [
        ("B", "2", "fixed"),
        ("A", "4", "fixed"),
    ]
    assert main(["stats", str(run), "--by", "sex"]) == 2
    assert "'sex' is no axis of this run: cell, model, vendor, persona, text, temperature, text.author" in "".join(
        capsys.readouterr()
    ).replace("\n", " ")


def test_csv_is_one_table_at_full_precision() -> None:
    """Each line has its table's key, and a difference is the float that the JSON has."""
    found = stats.describe(rows_of(small()))
    lines = list(csv.DictReader(io.StringIO(stats.render(found, stats.View(everything=True), "csv"))))
    shown = [line for line in lines if line["table"] == "differences_model"]
    expected = sorted(known(one.difference) or 0.0 for one in found.differences["model"])
    assert sorted(float(line["difference"]) for line in shown) == expected
    assert {line["scope"] for line in shown} == {"texts"}


def test_latex_has_no_bare_special_character() -> None:
    """Names and signs are text: what LaTeX would take for a command is escaped, and each table is closed."""
    model = replace(MODELS[0], name="a_b&c%d#1")
    found = stats.describe(rows_of(experiment([model, LONG], PERSONAS[:1], trials=2)))
    shown = stats.render(found, stats.View(everything=True), "latex")
    assert r"a\_b\&c\%d\#1" in shown
    assert not re.search(r"(?<!\\)[%#_]", shown)
    assert shown.count(r"\begin{tabular}") == shown.count(r"\end{tabular}") > 3


@pytest.mark.parametrize(("share", "words"), [(1.0, "100%"), (0.99999, "99.9%"), (0.9414, "94.1%"), (0.00001, "0.1%"),
                                              (0.0, "0%"), (None, "–")])  # fmt: skip
def test_shares_next_to_all_are_not_all(share: float | None, words: str) -> None:
    """100% and 0% are said of all and of none alone."""
    assert part(share) == words
    assert percent(0.999) == "99%"
