"""`runner design`: predicted standard errors against simulated studies, the search against all designs, the command."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import report_runs
from made_tables import as_table
from scipy.stats import nct, t

from runner import api
from runner.cli.main import main
from runner.config.compose import compose
from runner.errors import ConfigError
from runner.reporting.design import basis, render
from runner.reporting.design.precision import REPETITION, Shape, detectable, precision
from runner.reporting.design.search import Basis, Goal, advise, cost_of
from runner.reporting.stats.components import components_of
from runner.reporting.stats.differences import differences_within
from runner.reporting.stats.inference import over_texts
from runner.reporting.stats.values import known

if TYPE_CHECKING:
    from collections.abc import Mapping

STUDY = Path(os.environ.get("STUDY_CSV", Path(__file__).parents[3] / "shared/data/affect_study.csv"))
VARIANCES = {factors: sd**2 for factors, sd in basis.ASSUMED.items()}
AXES = ("text", "model", "persona")


# ---- standard errors -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Study:
    """A design whose standard errors are predicted and then seen in simulated studies."""

    name: str
    texts: int
    repetitions: int
    models: int
    personas: int


STUDIES = (
    Study("as the study", 3, 10, 5, 4),
    Study("what replaces it", 30, 1, 5, 4),
    Study("few", 6, 2, 2, 1),
)


def scores(study: Study, rounds: int, random: np.random.Generator) -> np.ndarray:
    """Rounds x texts x models x personas: means over the repetitions, drawn from the components that are assumed."""
    sizes = (study.texts, study.models, study.personas)
    whole = 50 + random.normal(0, 6.16 / study.repetitions**0.5, (rounds, *sizes))
    for factors, variance in VARIANCES.items():
        if factors != REPETITION:
            shape = [size if name in factors else 1 for name, size in zip(AXES, sizes, strict=True)]
            whole = whole + random.normal(0, variance**0.5, (rounds, *shape))
    return whole


@pytest.mark.parametrize(
    ("study", "axis"),
    [
        (study, axis)
        for study in STUDIES
        for axis in ("model", "persona", "mean")
        if axis != "persona" or study.personas > 1
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_predicted_errors_are_those_of_simulated_studies(study: Study, axis: str) -> None:
    """Each standard error is, within 5%, the spread of 2,500 studies' estimates, and what they state."""
    levels = {"model": study.models, "persona": study.personas}
    predicted = precision(VARIANCES, Shape(study.texts, study.repetitions, levels), axis, "q")
    made = scores(study, 2500, np.random.default_rng(11))
    by_level = {"model": made.mean(axis=3), "persona": made.mean(axis=2), "mean": made.mean(axis=3)}[axis]
    values = by_level[:, :, 0] if axis == "mean" else by_level[:, :, 0] - by_level[:, :, 1]
    groups, texts = np.indices(values.shape)
    found = over_texts(values.ravel(), groups.ravel(), texts.ravel(), len(values))
    assert predicted.se == pytest.approx(found.value.std(), rel=0.05)
    assert predicted.se == pytest.approx(np.sqrt((found.se**2).mean()), rel=0.05)
    assert {predicted.df} == set(found.df)
    assert predicted.halfwidth == pytest.approx(t.ppf(0.975, study.texts - 1) * predicted.se)


def test_the_smallest_detectable_difference_is_found_in_80_per_cent() -> None:
    """Of 20,000 studies whose models differ by it, 79 to 81% have p < .05; its noncentral t has power 0.8."""
    for df in (1, 2, 5, 29, 500):
        assert nct.sf(t.ppf(0.975, df), df, detectable(df)) == pytest.approx(0.8, abs=1e-6)
    random = np.random.default_rng(5)
    values = random.normal(detectable(5) * 10 / 6**0.5, 10, (20_000, 6))
    found = values.mean(axis=1) / (values.std(axis=1, ddof=1) / 6**0.5)
    assert (abs(found) > t.ppf(0.975, 5)).mean() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("axis", ["model", "persona"])
def test_the_studys_own_errors_are_predicted(axis: str) -> None:
    """On the published table the prediction is within 10% of the root mean square of all pairs' standard errors."""
    if not STUDY.is_file():
        pytest.skip("the study's table is not here: set STUDY_CSV to its path")
    table = pd.read_csv(STUDY)
    names = {"sadness": "Q3value", "anger": "Q4value"}
    scores = {f"score:{name}": table[column] for name, column in names.items()}
    frame = as_table(table[["model", "persona", "text"]].assign(**scores))
    made = differences_within(frame, axis)
    assert isinstance(made, tuple)
    shape = Shape(3, 10, {"model": 36, "persona": 4})
    for name in names:
        variances, _ = basis.variances_of(components_of(frame, name), shape.levels, 100.0)
        seen = [known(one.interval.se) for one in made if one.question == name]
        rms = float(np.sqrt(np.mean([se**2 for se in seen if se is not None])))
        assert precision(variances, shape, axis, name).se == pytest.approx(rms, rel=0.1)


# ---- the search ------------------------------------------------------------------------------------------------------


PRICES = {"large": 0.004, "small": 0.001, "middle": 0.002}


def planned(prices: Mapping[str, float | None] | None = None, **changes: object) -> Basis:
    given: dict[str, object] = {
        "questions": {"q": VARIANCES, "r": {factors: 0.5 * variance for factors, variance in VARIANCES.items()}},
        "shape": Shape(3, 10, {"model": 3, "persona": 4}),
        "prices": prices or PRICES,
        "overrides": ("model=[large,small,middle]", "text=[rain,parcel,lighthouse]"),
        "texts": ("rain", "parcel", "lighthouse"),
    }
    return Basis(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("axis", ["model", "persona", "mean"])
def test_the_best_design_is_the_best_of_all(axis: str) -> None:
    """No design of any numbers within the budget has a narrower interval than the one that is called best."""
    base, goal = planned(), Goal(budget_usd=1.0)
    found = advise(base, goal, axis)
    assert found is not None
    assert found.best.usd is not None
    assert found.best.usd <= 1.0
    by_price = sorted(PRICES, key=PRICES.__getitem__)
    for repetitions, prompts, texts in product((1, 2, 3, 4, 6, 10), (1, 2), range(2, 120)):
        shape = Shape(texts, repetitions, {"model": 3, "persona": 4, "prompt": prompts})
        usd = cost_of(base, shape, by_price)
        if usd is not None and usd <= 1.0:
            assert precision(VARIANCES, shape, axis, "q").halfwidth >= found.best.widest.halfwidth - 1e-9
    assert found.best.widest.question == "q"


def test_texts_tell_more_than_repetitions() -> None:
    """For one budget 30 texts x 1 repetition beat 3 x 10, and both are shown, the one that was asked as such."""
    found = advise(planned(), Goal(requests=360))
    assert found is not None
    assert (found.best.shape.texts, found.best.shape.repetitions) == (30, 1)
    (own,) = (one for one in found.candidates if one.asked)
    assert (own.shape.texts, own.shape.repetitions) == (3, 10)
    assert own.widest.halfwidth > 5 * found.best.widest.halfwidth


def test_a_halfwidth_is_reached_at_the_least_cost() -> None:
    """The interval is no wider than was asked, and one text fewer would make it wider."""
    found = advise(planned(), Goal(halfwidth=3.0))
    assert found is not None
    best = found.best
    assert best.widest.halfwidth <= 3.0
    fewer = Shape(best.shape.texts - 1, best.shape.repetitions, best.shape.levels)
    assert precision(VARIANCES, fewer, "model", "q").halfwidth > 3.0
    assert best.usd == min(one.usd for one in found.candidates if one.usd is not None and not one.asked)


def test_where_texts_are_few_money_goes_elsewhere() -> None:
    """With four texts at most, a budget buys repetitions or prompts as well, never texts that are not there."""
    found = advise(planned(), Goal(requests=2000, most_texts=4))
    assert found is not None
    assert found.best.shape.texts == 4
    assert found.best.shape.repetitions * found.best.shape.levels.get("prompt", 1) > 1


def test_what_buys_nothing_is_none() -> None:
    """A budget below two texts, and a width that no number of texts reaches, give no design."""
    assert advise(planned(), Goal(requests=20)) is None
    assert advise(planned(), Goal(halfwidth=0.01, most_texts=50)) is None


# ---- runs and experiments --------------------------------------------------------------------------------------------


def test_a_question_asked_once_and_one_text_are_completed_from_the_study() -> None:
    """What a run cannot tell is assumed on the question's own scale, and said."""
    table = np.random.default_rng(1).normal(3, 1, (1, 2, 2, 3))
    places = np.indices(table.shape)
    frame = pd.DataFrame({name: places[at].ravel() for at, name in enumerate(AXES)} | {"temperature": ""})
    found = components_of(frame.assign(**{"score:q": table.ravel()}), "q")
    variances, said = basis.variances_of(found, {"model": 2, "persona": 2}, 4.0)
    assert variances[frozenset(("text", "model", "persona"))] == pytest.approx((3.87 / 25) ** 2)
    assert variances[REPETITION] == pytest.approx(table.var(axis=3, ddof=1).mean())
    assert said[0] == "Assumed, as in the published study: text, text x model, text x persona, text x model x persona."


def test_prompts_take_nothing_from_one_prompts_prediction() -> None:
    """That prompts are told apart leaves the standard error of a design with one prompt as it was."""
    whole = dict(VARIANCES)
    basis._split_off_prompts(whole)  # noqa: SLF001
    shape = Shape(10, 2, {"model": 3, "persona": 2})
    for axis in ("model", "mean"):
        assert precision(whole, shape, axis, "q").se == pytest.approx(precision(VARIANCES, shape, axis, "q").se)
    more = Shape(10, 2, {"model": 3, "persona": 2, "prompt": 3})
    assert precision(whole, more, "model", "q").se < precision(whole, shape, "model", "q").se


def run(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["design", str(folder), *words]) == 0
    return capsys.readouterr().out


def bought(said: str) -> list[str]:
    """The overrides of the command that buys the best design."""
    (line,) = (line for line in said.splitlines() if line.startswith("buy it: "))
    name, *words = shlex.split(line.removeprefix("buy it: "))
    assert name == "runner"
    return words


def test_a_run_is_advised_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`runner design RUN --budget` shows designs within the budget, at the prices that were paid, and a command."""
    monkeypatch.chdir(tmp_path)
    folder = report_runs.write_run(tmp_path / "run", report_runs.experiment(trials=4), report_runs.mostly_scored)
    said = run(folder, capsys, "--budget", "2")
    words = bought(said)
    texts = int(next(word for word in words if word.startswith("text.folder.limit=")).partition("=")[2])
    price = sum(report_runs._price(model.prices) or 0.0 for model in report_runs.MODELS)  # noqa: SLF001
    assert texts == int(2 / (4 * price))
    assert words[-1] == "sampling.trials=1"
    assert f"First put {texts} texts into the folder texts/" in said
    assert "as asked" in said
    (tmp_path / "texts").mkdir()
    for number in range(texts):
        (tmp_path / "texts" / f"{number:03}.txt").write_text("A text.", encoding="utf-8")
    asked = compose([word for word in words if word != "-m"])
    assert asked.text.folder.limit == texts


@dataclass(frozen=True)
class Typed:
    """Words behind `runner design RUN`, what is said, and how it ends."""

    name: str
    words: tuple[str, ...]
    status: int
    says: tuple[str, ...]


TYPED = (
    Typed("halfwidth", ("--halfwidth", "5"), 0, ("best", "buy it:")),
    Typed("nothing", (), 0, ("as asked", "buy it:")),
    Typed("one question", ("--question", "anger", "--requests", "500"), 0, ("anger",)),
    Typed("personas", ("--contrast", "persona", "--budget", "1"), 0, ("difference of two personas, in points",)),
    Typed("too little", ("--budget", "0.001"), 2, ("buys no two texts", "--budget 0.")),
    Typed("no question", ("--question", "angr"), 2, ("no question is named 'angr'", "--question interesting")),
    Typed("prompts", ("--contrast", "prompt"), 2, ("there is one prompt only", "--contrast mean")),
    Typed("no number", ("--budget", "lots"), 2, ("'lots' is no number above 0",)),
    Typed("two goals", ("--budget", "2", "--halfwidth", "3"), 2, ("not allowed with",)),
    Typed("two runs", ("other",), 2, ("'other' is one word too many",)),
    Typed("other models", ("model=[gpt-4o-mini,gpt-4o]", "--budget", "3"), 0, ("model=[gpt-4o-mini,gpt-4o]",)),
)


@pytest.mark.parametrize("case", TYPED, ids=lambda case: case.name)
def test_what_is_typed(
    case: Typed, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each goal is met or refused with the command to type next."""
    monkeypatch.chdir(tmp_path)
    folder = report_runs.write_run(tmp_path / "run", report_runs.experiment(trials=2), report_runs.mostly_scored)
    assert main(["design", str(folder), *case.words]) == case.status
    said = capsys.readouterr()
    for part in case.says:
        assert part in said.out + said.err


def test_before_any_run_it_is_planned_from_the_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a run, components are the study's, prices those of the models' files, and both are said."""
    monkeypatch.chdir(tmp_path)
    assert main(["design", "model=[gpt-4o-mini,gpt-4o]", "--budget", "5"]) == 0
    said = capsys.readouterr().out
    assert "Assumed, as in the published study: text, text x model, text x persona" in said
    words = bought(said)
    assert words[0] == "model=[gpt-4o-mini,gpt-4o]"
    assert main(["design", "--budget", "5"]) == 2  # the model that runs here costs nothing
    assert "--requests" in capsys.readouterr().err
    assert main(["design"]) == 0
    assert "no run is there yet" in capsys.readouterr().out


def test_python_gives_the_same_advice(tmp_path: Path) -> None:
    """`Run.design` finds what the command shows, without a goal for what the run cost, and says what cannot be met."""
    folder = report_runs.write_run(tmp_path / "run", report_runs.experiment(trials=2), report_runs.mostly_scored)
    found = api.Run(folder).design(halfwidth=5)
    expected = advise(basis.of_run(folder), Goal(halfwidth=5))
    assert expected is not None
    assert (found.best, found.precisions) == (expected.best, expected.precisions)
    same = api.Run(folder).design()
    own = next(one for one in same.candidates if one.asked)
    assert same.best.usd is not None
    assert own.usd is not None
    assert same.best.usd <= own.usd * (1 + 1e-9)
    with pytest.raises(ConfigError, match="buys no two texts"):
        api.Run(folder).design(requests=3)


def test_fewer_texts_are_named() -> None:
    """A design of fewer texts than there are names them; cheaper models are named where fewer are best."""
    found = advise(planned(shape=Shape(3, 1, {"model": 3, "persona": 4})), Goal(requests=24))
    assert found is not None
    assert render.command(found.basis, found.best) == (
        "runner 'model=[large,small,middle]' 'text=[rain,parcel]' sampling.trials=1"
    )
    few = advise(planned(), Goal(budget_usd=0.05), "persona")  # not enough for two texts of all three models
    assert few is not None
    assert few.best.models == ("small",)
    assert "'model=[small]'" in render.command(few.basis, few.best)
    enough = advise(planned(), Goal(budget_usd=1.0), "persona")
    assert enough is not None
    assert len(enough.best.models) == 3
    assert min(len(one.models) for one in enough.candidates) == 1


def test_prompts_of_a_sweep_are_an_axis(tmp_path: Path) -> None:
    """A sweep over two prompts has components of prompts, none of them assumed, and stays at two or more."""
    plain = report_runs.experiment(trials=2)
    other = replace(plain, prompt=replace(plain.prompt, name="other", system="{{ persona }}\nBe brief."))
    folder = report_runs.write_sweep(tmp_path / "sweep", {"affect": plain, "other": other}, "prompt")
    base = basis.of_run(folder)
    assert base.shape.levels["prompt"] == 2
    assert base.shape.repetitions == 2
    assert not any("prompt" in line for line in base.assumed)
    assert all(frozenset(("text", "prompt")) in variances for variances in base.questions.values())
    found = advise(base, Goal(requests=2000), "prompt")
    assert found is not None
    assert found.best.shape.levels["prompt"] == 2
    assert {one.axis for one in found.precisions} == {"model", "persona", "prompt", "mean"}


def test_a_run_of_one_repetition_is_advised_on(tmp_path: Path) -> None:
    """Where each cell was asked once, the last interaction holds the noise, and repetitions are not advised."""
    folder = report_runs.write_run(tmp_path / "run", report_runs.experiment(trials=1))
    base = basis.of_run(folder)
    assert any("asked once" in line for line in base.assumed)
    found = advise(base, Goal(requests=5000))
    assert found is not None
    assert found.best.shape.repetitions == 1
