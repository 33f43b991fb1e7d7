"""One number has one value: in the statistics, on the page, in MLflow and in comparisons."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from report_runs import MODELS, PERSONAS, experiment, row, write_run, write_sweep

from runner.records import Problem, Tracking
from runner.reporting import stats
from runner.reporting.compare import compare
from runner.reporting.html.figures import figures
from runner.reporting.html.gather import gather
from runner.reporting.stats import known
from runner.reporting.stats.of_run import describe_jobs
from runner.reporting.tracking import log_run
from runner.results import files, manifest
from runner.results.summary import summary
from runner.results.table import table
from runner.results.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

    from runner.records import Experiment, Row, Trial

SOME = (MODELS[0], MODELS[3])
"""The second takes no temperature: jobs that differ in it share its answers."""
WHERE = Tracking(experiment="study")


def asked(temperature: float = 0.7) -> Experiment:
    """A small experiment: two models, two personas, three texts, two repetitions."""
    return experiment(SOME, PERSONAS[:2], temperature=temperature, trials=2)


def partly(trial: Trial) -> Row:
    """Answers of which every other lacks anger, and none sadness."""
    made = row(trial)
    if trial.repetition == 1:
        return made
    lost = Problem("missing_question", "no anger")
    return replace(made, outcome="unscorable", problem=lost, scores={**made.scores, "anger": None})


def test_a_mean_is_the_same_wherever_it_is_shown(tmp_path: Path) -> None:
    """A cell's and a run's mean, which half of the replies are incomplete for, are one number in all places."""
    run = write_run(tmp_path / "run", asked(), partly)
    other = write_run(tmp_path / "other", asked(0.2), partly, run="another")
    cell, question = f"{SOME[0].name}/{PERSONAS[0].name}", "sadness"
    described = describe_jobs([run])
    said = {(one.axis, one.level): one for one in described.summaries if one.question == question}
    of_cell, of_run = (known(said[key].mean) for key in (("cell", cell), ("all", "all")))
    assert said["cell", cell].n == 6

    logged = log_run.as_logged(run, WHERE)
    (child,) = (one for one in logged.cells if one.name == cell)
    page = figures(gather(run))
    (counted,) = [Tally.of(files.read_rows(run / "results.jsonl"))]
    csv = summary(counted).set_index("cell")
    rows = table(run)
    own = rows[(rows["cell"] == cell) & (rows["question"] == question)]
    assert [
        child.metrics[f"score/{question}/mean"],
        csv.at[cell, f"{question}_mean"],
        own.groupby("text")["score"].mean().mean(),
        next(line[2] for line in page.charts["means"][2] if line[:2] == [0, 0]),
    ] == pytest.approx([of_cell] * 4, abs=1e-4)
    interval = said["cell", cell].interval
    ends = [child.metrics[f"score/{question}/{name}"] for name in ("low", "high")]
    assert ends == [known(interval.low), known(interval.high)]
    assert "texts like these" in logged.tags[log_run.SCOPE_TAG]

    (compared,) = (one for one in compare([run, other]).scores if one.question == question)
    whole = page.statistics.summaries
    on_page = next(one for one in whole if (one.axis, one.question) == ("all", question))
    assert [known(compared.right_mean), known(on_page.mean), logged.metrics[f"score/{question}/mean"]] == [
        pytest.approx(of_run, rel=1e-12)
    ] * 3
    assert page.statistics.findings == described.findings


def test_a_contrast_is_the_same_whoever_asks(tmp_path: Path) -> None:
    """A sweep's temperatures have the same pairs, p, corrected p and effect from its statistics and its comparison."""
    jobs = {f"{heat:g}": asked(heat) for heat in (0.2, 0.5, 0.9)}
    sweep = write_sweep(tmp_path / "sweep", jobs)
    folders = [sweep / str(place) for place in range(3)]
    said = describe_jobs(folders).differences["temperature"]
    levels = dict(zip(map(str, folders), jobs, strict=True))
    for one in compare([sweep]).scores:
        same = next(
            each for each in said
            if each.question == one.question and {each.left, each.right} == {levels[one.left], levels[one.right]}
        )  # fmt: skip
        turned = -1 if same.left == levels[one.right] else 1
        numbers = [one.pairs, one.texts, known(one.p), known(one.p_holm), known(one.effect), known(one.difference)]
        expected = [
            same.pairs,
            same.texts,
            known(same.p),
            known(same.p_holm),
            known(same.effect),
            known(same.difference),
        ]
        assert numbers[:4] == pytest.approx(expected[:4], rel=1e-9)
        assert [turned * (number or 0.0) for number in numbers[4:]] == pytest.approx(expected[4:], rel=1e-9)
        assert (one.pairs, one.same) == (6, 6)  # the model that takes no temperature has one answer, not two
        assert known(one.interval.low) is not None


def test_repetitions_may_have_any_numbers() -> None:
    """Numbering each cell's repetitions anew, or reading them in another order, moves nothing."""
    from runner.plan.job import TrialPlan

    rows = [partly(trial) for trial in TrialPlan(asked()).trials()]
    again = [replace(one, repetition=97 - 3 * one.repetition) for one in rows]
    first = json.loads(stats.to_json(stats.describe(rows)))
    assert json.loads(stats.to_json(stats.describe(again))) == first
    shuffled = stats.describe(sorted(rows, key=lambda one: one.repetition))
    assert [known(one.p) for one in shuffled.differences["persona"]] == pytest.approx(
        [one["p"] for one in first["differences"]["persona"]]
    )


def test_a_cell_that_never_came_has_no_run(tmp_path: Path) -> None:
    """Of an import that lacks a cell altogether, MLflow has the cells that came, and the page says it is missing."""
    run = write_run(tmp_path / "run", asked())
    lines = (run / "results.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    gone = f"{SOME[0].name}/{PERSONAS[0].name}"
    kept = [line for line in lines if json.loads(line)["cell"] != gone]
    (run / "results.jsonl").write_text("".join(kept), encoding="utf-8")
    manifest.dump(run / "run.json", {**manifest.load(run, "run.json"), "trials": len(kept), "scored": len(kept)})
    logged = log_run.as_logged(run, WHERE)
    assert len(logged.cells) == 3
    assert gone not in {one.name for one in logged.cells}
    page = figures(gather(run))
    assert page.statistics.planned - page.statistics.trials == len(lines) - len(kept) == 6
    tips = [cell.tip for cell in page.heat[0].lines[0].cells]
    assert sum("nothing was scored" in tip for tip in tips) == 1


def test_what_jobs_share_is_paid_for_once(tmp_path: Path) -> None:
    """Of a sweep whose jobs share a model's answers, replies, tokens and price count each answer once."""
    sweep = write_sweep(tmp_path / "sweep", {f"{heat:g}": asked(heat) for heat in (0.2, 0.9)})
    logged = log_run.as_logged(sweep, WHERE)
    rows = [one for job in (0, 1) for one in files.read_rows(sweep / str(job) / "results.jsonl")]
    answers = {(one.key, one.repetition): one for one in rows}
    assert len(rows) == 48
    assert len(answers) == 36
    assert logged.metrics["replies"] == 36
    assert logged.metrics["price_usd"] == pytest.approx(sum(one.price_usd or 0.0 for one in answers.values()))
