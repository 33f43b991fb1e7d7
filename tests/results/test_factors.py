"""Whatever was swept or selected is a column of rows, tables and exports, and comes in again unchanged."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import question_kinds
from made_tables import as_table
from report_runs import MODELS, PERSONAS, PROMPT, TEXTS, experiment, row, write_run

from runner import score
from runner.cli.verbs.show import chosen, name_of
from runner.config.origin import Origin
from runner.config.settings import experiment_from, identity_of
from runner.plan.job import Job, TrialPlan
from runner.plan.reply_format import value_key
from runner.records import Experiment, PromptTemplate, Question, Reply, Sampling, Scored, Tracking
from runner.reporting import html, stats
from runner.reporting.compare import compare
from runner.reporting.stats import known, of_run
from runner.reporting.stats.differences import differences_within
from runner.reporting.stats.frame import is_covariate
from runner.reporting.stats.values import Skipped
from runner.reporting.tracking import log_run
from runner.results import factors, manifest, study
from runner.results.files import RunFolder, read_rows, row_from_json, row_to_json
from runner.results.launch import JobResult, Launch
from runner.results.table import table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runner.records import Asking, Json, Model, Row, Trial

CALM = PromptTemplate("calm", "en", "{{ persona }}", "{{ text.content }} Calm?", (Question("calm", "c", "c", 0, 10),))
ASKED = replace(
    experiment(MODELS[:2], PERSONAS[:2], TEXTS[:2], trials=2),
    personas=tuple(
        replace(one, covariates={"age": 30 + at, "sex": "fm"[at], "code": f"00{at}"}, weight=1.0 + at)
        for at, one in enumerate(PERSONAS[:2])
    ),
    texts=tuple(replace(one, covariates={"genre": ("tale", "poem")[at]}) for at, one in enumerate(TEXTS[:2])),
)


def model_of(asked: Experiment, **changes: Any) -> Experiment:
    """`asked` with its first model changed."""
    first: Model = replace(asked.models[0], **changes)
    return replace(asked, models=(first, *asked.models[1:]))


@dataclass(frozen=True)
class Axis:
    """One axis of a sweep: its name on the command line, and each level's word, value and experiment."""

    name: str
    levels: tuple[tuple[str, Json, Experiment], ...]


def heat(value: float) -> Experiment:
    return replace(ASKED, sampling=replace(ASKED.sampling, temperature=value))


AXES = (
    Axis("prompt", (("affect", "affect", ASKED), ("calm", "calm", replace(ASKED, prompt=CALM)))),
    Axis("sampling.temperature", (("0", 0.0, heat(0.0)), ("1.25", 1.25, heat(1.25)))),
    Axis(
        "sampling.seed",
        tuple((f"{n}", n, replace(ASKED, sampling=replace(ASKED.sampling, seed=n))) for n in (1, 2)),
    ),
    Axis(
        "sampling.max_tokens",
        tuple((f"{n}", n, replace(ASKED, sampling=Sampling(max_tokens=n, trials=2))) for n in (512, 1024)),
    ),
    Axis(
        "model.gpt-4o-mini.id",
        tuple((name, name, model_of(ASKED, id=name)) for name in ("gpt-4o-mini-2026", "gpt-4o-mini-2027")),
    ),
    Axis(
        "model.gpt-4o-mini.extra.top_p",
        tuple((f"{p}", p, model_of(ASKED, extra={"top_p": p})) for p in (0.5, 0.95)),
    ),
    Axis(
        "model.gpt-4o-mini.capability.system",
        tuple(
            (way, way, model_of(ASKED, capability=replace(MODELS[0].capability, system=way)))
            for way in ("system", "merge")
        ),
    ),
    Axis("strict", (("false", False, ASKED), ("true", True, replace(ASKED, models=MODELS[:1], strict=True)))),
    Axis(
        "identity",
        (("record", "record", ASKED), ("strict", "strict", replace(ASKED, identity="strict"))),
    ),
    Axis(
        "persona.student.temperature",
        tuple(
            (f"{t}", t, replace(ASKED, personas=(replace(ASKED.personas[0], temperature=t), ASKED.personas[1])))
            for t in (0.25, 0.75)
        ),
    ),
    Axis(
        "text.parcel.title",
        tuple(
            (name, name, replace(ASKED, texts=(ASKED.texts[0], replace(ASKED.texts[1], title=name)))) for name in "AB"
        ),
    ),
    Axis(
        "prompt.affect.rescale",
        tuple((f"{on}".lower(), on, replace(ASKED, prompt=replace(PROMPT, rescale=on))) for on in (False, True)),
    ),
    Axis(
        "batch.mode",
        tuple((way, way, replace(ASKED, batch=replace(ASKED.batch, mode=way))) for way in ("off", "native")),
    ),
    Axis("experiment", (("one", "one", heat(0.0)), ("two", "two", heat(1.0)))),
)  # fmt: skip


def answered(trial: Trial, asked: Experiment) -> dict[str, Any]:
    """Made scores for the questions of a trial's prompt, on its scale."""
    questions = asked.prompt_named(trial.cell.prompt).questions
    made = row(trial)
    scores = {
        one.name: float(round(float([*made.scores.values()][at] or 0) * one.high / 100))
        for at, one in enumerate(questions)
    }
    return {"scores": scores, "reasons": dict.fromkeys(scores, "so"), "reply": json.dumps(scores)}


def write_sweep(folder: Path, jobs: Sequence[tuple[tuple[str, ...], Experiment]]) -> Path:
    """A launch's folder as it is written, with made answers; one job is a run."""
    many = len(jobs) > 1
    launch = Launch("runner -m x")
    made = [
        Job(at, asked, folder / str(at) if many else folder, Origin(words), many)
        for at, (words, asked) in enumerate(jobs)
    ]
    launch.results = [JobResult.of(job) for job in made]
    for result in launch.results:
        assert result.experiment is not None
        _write_job(launch, result, result.experiment)
        manifest.write(launch, result)
    if many:
        manifest.write_sweep(launch, folder)
    return folder


def _write_job(launch: Launch, result: JobResult, asked: Experiment) -> None:
    of_job = factors.of_job(launch, result)
    with RunFolder(result.folder, asked.prompts) as written:
        for trial in TrialPlan(asked).trials():
            known = factors.covariates(trial.cell.persona, trial.text)
            own = {**trial.factors, **known, **of_job}
            one = row(trial, run=launch.id, job=result.index, factors=own, **answered(trial, asked))
            result.counts.add(one)
            result.note(one)
            written.add(one)


def compared(found: pd.DataFrame, *names: str) -> pd.DataFrame:
    """What must be the same after a round trip: everything that tells rows apart, and their scores."""
    same = ["job", "model", "model_id", "vendor", "persona", "text", "repetition", "question", "score", "reason",
            "outcome", "key", "persona.age", "persona.sex", "persona.code", "persona.weight", "text.genre", "prompt",
            *names]  # fmt: skip
    return found[list(dict.fromkeys(same))]


JOBS = [
    (axis, value, (f"{axis.name}={word}",), asked)
    for axis in AXES
    for word, value, asked in axis.levels
    if asked != ASKED or word == "affect"  # what one job asks under two names is one answer
]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep with a job for each level of each axis."""
    return write_sweep(tmp_path_factory.mktemp("sweep") / "run", [(words, asked) for _, _, words, asked in JOBS])


def test_rows_that_differ_only_in_an_axis_without_a_column_cannot_exist(swept: Path) -> None:
    """Each line of results.jsonl and of `run.table()` has every axis under its own name, with its value."""
    found = table(swept)
    for at, (axis, value, _, _) in enumerate(JOBS):
        lines = [json.loads(line) for line in (swept / str(at) / "results.jsonl").read_text().splitlines()]
        assert all(line[axis.name] == value for line in lines), axis.name
        rows = [*read_rows(swept / str(at) / "results.jsonl")]
        assert [row_from_json(row_to_json(one)) for one in rows] == rows
        assert set(found[found["job"] == at][axis.name]) == {value}, axis.name


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_an_export_comes_in_again_unchanged(form: str, swept: Path, tmp_path: Path) -> None:
    """A sweep over every axis, exported, imported and exported again, is the same table and the same rows."""
    done = study.export(swept, form, tmp_path / f"a.{form}")
    assert (done.left_out, done.shared) == (0, 0)
    imported = study.read(tmp_path / f"a.{form}")
    assert imported.unreadable == ()
    run = study.write_run(imported, tmp_path / "outputs").folder
    before, after = (compared(table(each), *(axis.name for axis in AXES)) for each in (swept, run))
    pd.testing.assert_frame_equal(before, after, check_dtype=False)
    study.export(run, form, tmp_path / f"b.{form}")
    again = [study.read(tmp_path / f"{name}.{form}").rows for name in "ab"]
    assert [replace(one, run="") for one in again[0]] == [replace(one, run="") for one in again[1]]
    if form == "csv":
        assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    frames = [of_run.read(manifest.result_folders(each))[0] for each in (swept, run)]
    for axis in AXES:
        values = {factors.shown(value) for _, value, _ in axis.levels}
        for frame in frames:
            assert set(frame[axis.name]) >= values, axis.name
    assert Counter(frames[0]["again"]) == Counter(frames[1]["again"])


def test_several_prompts_of_one_run_go_out_and_in(tmp_path: Path) -> None:
    """Cells, columns and questions are each prompt's own, also where it asks other questions on another scale."""
    asked = replace(ASKED, further_prompts=(CALM,))
    run = write_sweep(tmp_path / "run", [((), asked)])
    found = table(run)
    assert {(name, question) for name, question in zip(found["prompt"], found["question"], strict=True)} == {
        *(("affect", question.name) for question in PROMPT.questions),
        ("calm", "calm"),
    }
    first = [name_of(one) for one in chosen([TrialPlan(asked)], "")]
    assert first == [
        f"{model}/student/{prompt}/lighthouse/1"
        for model in ("gpt-4o-mini", "claude-haiku-4-5")
        for prompt in ("affect", "calm")
    ]
    assert set(found["cell"]) >= {"gpt-4o-mini/student/affect", "gpt-4o-mini/student/calm"}
    for form in ("csv", "parquet"):
        study.export(run, form, tmp_path / f"a.{form}")
        back = study.write_run(study.read(tmp_path / f"a.{form}"), tmp_path / form).folder
        pd.testing.assert_frame_equal(compared(found), compared(table(back)), check_dtype=False)


@pytest.mark.parametrize("ask", ["together", "separately"])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_answers_that_are_no_numbers_go_out_and_in(form: str, ask: Asking, tmp_path: Path) -> None:
    """Options, lists, words, orders and probabilities have their columns, and come in again as they were."""
    kinds = replace(question_kinds.prompt(), ask=ask)
    given = {
        "pace": 5, "moved": 4, "mood": "calm", "moods": ["calm", "sad"], "again": "yes",
        "order": ["style", "plot", "ending"], "impression": 'Quiet, "as rain"',
        "chance": {"p1": 20, "p2": 30, "p3": 50}, "guess": {"calm": 70, "tense": 10, "sad": 20},
    }  # fmt: skip

    def answered(trial: Trial) -> Row:
        asked = tuple(one for one in kinds.questions if trial.question in (None, one.name))
        said = {one.name: {value_key(one): given[one.name], "reason": f"why {one.name}"} for one in asked}
        said = {name: one if name != "impression" else {"answer": one["answer"]} for name, one in said.items()}
        reading = score.read(Reply(text=json.dumps(said), finish="stop"), asked, "json")
        assert isinstance(reading, Scored), reading
        parts = {"scores": reading.scores, "reasons": reading.reasons, "answers": reading.answers}
        return row(trial, **parts, question=trial.question, factors={"prompt": kinds.name})

    run = write_run(tmp_path / "run", replace(ASKED, prompt=kinds), answered)
    study.export(run, form, tmp_path / f"a.{form}")
    back = study.read(tmp_path / f"a.{form}")
    assert back.unreadable == ()
    before = [*read_rows(run / "results.jsonl")]

    def told(rows: Sequence[Row]) -> list[Any]:
        plain = [{name: one and (one.value, one.label) for name, one in each.answers.items()} for each in rows]
        return [
            (each.key, each.question, each.outcome, each.scores, each.reasons, answers)
            for each, answers in zip(rows, plain, strict=True)
        ]

    assert told(back.rows) == told(before)
    again = study.write_run(back, tmp_path / "outputs").folder
    same = ["persona", "text", "repetition", "question", "score", "value", "label", "reason"]
    pd.testing.assert_frame_equal(table(run)[same], table(again)[same], check_dtype=False)


def test_a_sweep_of_an_earlier_version_has_its_axes_too(tmp_path: Path) -> None:
    """Where rows say no factors, they come from sweep.json and experiment.json."""
    axis = AXES[1]
    run = write_sweep(tmp_path / "run", [((f"{axis.name}={word}",), asked) for word, _, asked in axis.levels])
    for at in range(2):
        path = run / str(at) / "results.jsonl"
        path.write_text("".join(f"{row_to_json(replace(one, factors={}))}\n" for one in read_rows(path)))
    assert set(table(run)[axis.name]) == {0.0, 1.25}
    frame, _ = of_run.read(manifest.result_folders(run))
    assert set(frame[axis.name]) == {"0", "1.25"}
    assert set(frame["prompt"]) == {"affect"}
    study.export(run, "csv", tmp_path / "a.csv")
    assert {one.factors[axis.name] for one in study.read(tmp_path / "a.csv").rows} == {0, 1.25}


def test_a_factor_of_a_plain_name_is_told_from_a_later_field() -> None:
    """Only what a line lists, or names like a setting, is a factor; what a later version added is passed over."""
    (trial, *_) = TrialPlan(ASKED).trials()
    one = row(trial, factors={"prompt": "affect", "strict": True, "sampling.top_p": 0.5})
    line = json.loads(row_to_json(one))
    assert (line["strict"], line["sampling.top_p"], line["factors"]) == (True, 0.5, ["strict"])
    assert row_from_json(json.dumps({**line, "later": 3})) == one


def test_prompts_are_compared_within_the_same_cells(tmp_path: Path) -> None:
    """Two prompts' difference is of cells that share model, persona and text; pooled means say what they are over."""
    other = replace(PROMPT, name="other", system="{{ persona }} Be brief.")
    run = write_sweep(tmp_path / "run", [((), replace(ASKED, further_prompts=(other,)))])
    said = of_run.describe_jobs([run])
    (first, *_) = said.differences["prompt"]
    assert (first.on, first.pairs, first.texts) == (("model", "persona", "text"), 8, 2)
    assert said.factors["prompt"] == ("affect", "other")
    assert {one.level for one in said.summaries if one.axis == "prompt"} == {"affect", "other"}
    assert {"prompt"} <= {name for one in said.components for part in one.parts for name in part.factors}
    assert "prompt" in {one.axis for one in said.omnibus}
    assert "over 2 prompts" in said.findings[0]
    frame, _ = of_run.read([run])
    assert is_covariate(frame, "persona.sex")


def test_a_difference_between_prompts_is_calibrated() -> None:
    """Where two prompts are read alike but for chance and text, 5% of their differences have p < .05."""
    studies, rng = 250, np.random.default_rng(20261128)
    shape = {"model": 2, "persona": 2, "text": 10, "prompt": 2, "repetition": 2}
    places = dict(zip(shape, np.indices([*shape.values()]).reshape(len(shape), -1), strict=True))
    size = len(places["text"])
    text_prompt = rng.normal(0, 8, (studies, 20))[:, places["text"] * 2 + places["prompt"]]
    text = rng.normal(50, 20, (studies, 10))[:, places["text"]]
    scores = text + text_prompt + rng.normal(0, 5, (studies, size))
    labels = pd.DataFrame({name: place.astype(str) for name, place in places.items()})
    made = pd.DataFrame({f"score:q{study}": scores[study] for study in range(studies)})
    frame = as_table(pd.concat([labels, made], axis=1))
    found = differences_within(frame, "prompt")
    assert not isinstance(found, Skipped)
    assert {one.on for one in found} == {("model", "persona", "text")}
    share = sum((known(one.p) or 0.0) < 0.05 for one in found) / studies
    assert 0.009 < share < 0.091  # three standard errors about .05


def test_a_levels_name_is_exact() -> None:
    """Two values of an axis that differ have two names."""
    assert [factors.shown(value) for value in (0.5, 0.1234567, 0.1234568, True, None, 1e-7)] == [
        "0.5", "0.1234567", "0.1234568", "true", "", "1e-07",
    ]  # fmt: skip


def test_asdict_of_old_files_has_the_prompt_alone() -> None:
    """An experiment of one prompt has the same identity as before there were several."""
    held = json.loads(json.dumps(asdict(ASKED)))
    old = {name: value for name, value in held.items() if name != "further_prompts"}
    for item in (*old["personas"], *old["texts"]):
        del item["covariates"], item["weight"]
    assert identity_of(old) == identity_of(ASKED)
    assert experiment_from(old).prompts == (PROMPT,)


def test_the_report_filters_and_splits_by_every_factor(tmp_path: Path) -> None:
    """The page has a filter and a section for each factor, says what means are over, and shows settings by value."""
    other = replace(PROMPT, name="other", system="{{ persona }} Be brief.")
    run = write_sweep(
        tmp_path / "run", [(("prompt=affect",), ASKED), (("prompt=other",), replace(ASKED, prompt=other))]
    )
    page = html.write(run).read_text(encoding="utf-8")
    for name in ("prompt", "persona.sex", "text.genre"):
        assert f'<select name="factor:{name}">' in page
        assert f'<option value="factor:{name}">{name}</option>' in page
    assert "Each is over 2 prompts." in page
    assert "Paired differences between prompts" in page
    assert "Be brief." in page[page.index("Settings that differ between the jobs") :]


def test_mlflow_knows_every_factor(tmp_path: Path) -> None:
    """A cell's parameters have each factor under its own name, and what is known of its persona."""
    axis = AXES[1]
    run = write_sweep(tmp_path / "run", [((f"{axis.name}={word}",), asked) for word, _, asked in axis.levels])
    cells = log_run.as_logged(run, Tracking()).cells
    assert {cell.params[axis.name] for cell in cells} == {"0", "1.25"}
    assert {(cell.params["prompt"], cell.params["persona.sex"]) for cell in cells} == {("affect", "f"), ("affect", "m")}


def test_two_prompts_are_compared_by_value(tmp_path: Path) -> None:
    """Jobs with another prompt each are told apart by the words that differ, not by which of them is there."""
    other = replace(PROMPT, name="other", system=f"{PROMPT.system} Be brief.")
    run = write_sweep(
        tmp_path / "run", [(("prompt=affect",), ASKED), (("prompt=other",), replace(ASKED, prompt=other))]
    )
    found = {each.key: each.values for each in compare([run]).settings}
    assert found == {"prompt": ("affect", "other"), "prompt.*.system": (PROMPT.system, other.system)}


def test_weighted_means_state_their_design_effect(tmp_path: Path) -> None:
    """Weights 1 and 2: a text's value is (a + 2 b) / 3, and Kish's design effect 2 (1 + 4) / 9."""
    run = write_sweep(tmp_path / "run", [((), replace(ASKED, models=MODELS[:1]))])
    said = of_run.describe_jobs([run])
    (one, *_) = said.weighted
    rows = [*read_rows(run / "results.jsonl")]
    of_text = []
    for text in ("lighthouse", "parcel"):
        own = [
            sum(each.scores["interesting"] or 0 for each in rows if (each.text, each.persona) == (text, persona)) / 2
            for persona in ("student", "scholar")
        ]
        of_text.append((own[0] + 2 * own[1]) / 3)
    assert one.mean == pytest.approx(sum(of_text) / 2)
    assert one.persona_effect == pytest.approx(10 / 9)
    assert "Design effect of the personas' weights (Kish): 1.11" in " ".join(
        stats.render(said, stats.View(), "text", 100).split()
    )
    plain = replace(ASKED, personas=tuple(replace(each, weight=None) for each in ASKED.personas))
    assert of_run.describe_jobs([write_sweep(tmp_path / "plain", [((), plain)])]).weighted == ()
