"""Folders of runs and sweeps with made-up scores, written by the project's own writers, for tests of the report."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, replace
from functools import cache
from itertools import cycle
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from runner.plan.job import TrialPlan
from runner.records import (
    Batch,
    Capability,
    Experiment,
    Limits,
    Model,
    Outcome,
    Persona,
    Prices,
    Problem,
    PromptTemplate,
    Question,
    Row,
    Sampling,
    Text,
    Tokens,
    Tracking,
    Trial,
)
from runner.results import manifest
from runner.results.files import RunFolder, row_to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from runner.records import Json

QUESTIONS = tuple(
    Question(name, name, wording)
    for name, wording in {
        "interesting": "how interesting you find it",
        "surprise": "how much it surprises you",
        "sadness": "how sad it makes you",
        "anger": "how angry it makes you",
    }.items()
)
PROMPT = PromptTemplate(
    "affect", "en", "{{ persona }}\nStay in this role.", "{{ text.content }}\n\n{{ reply_format }}", QUESTIONS
)
PERSONAS = tuple(
    Persona(name, {"en": description}, temperature)
    for name, description, temperature in (
        ("student", "You are a first-year student.", 0.7),
        ("scholar", "You are a literary scholar.", 0.4),
        ("poet", "You are an emotional poet.", 0.9),
        ("robot", "You are a robot without feelings.", 0.1),
    )
)
TEXTS = tuple(
    Text(name, content, title, "anonymous", "en")
    for name, title, content in (
        ("lighthouse", "The lighthouse", "The lamp turned all night, and nobody came."),
        ("parcel", "The parcel", "She opened it in the end: her own letters, unread."),
        ("rain", "Rain", "It rained on the empty fairground."),
    )
)
OUTCOMES: tuple[Outcome, ...] = ("scored", "unscorable", "failed")
PHRASES = (
    "The image stays with me long after the last line.",
    "Nothing in it is new, and yet I read it twice.",
    "The quiet ending is lonelier than any cry.",
    "I can see no reason to feel more than this.",
    "What is left out weighs more than what is said.",
)


def model(name: str, vendor: str = "openai", **changes: Any) -> Model:
    """A model that needs no key."""
    return replace(Model(name, f"{name}-2026", vendor, vendor, limits=Limits()), **changes)


MODELS = (
    model("gpt-4o-mini", "openai", prices=Prices(0.15, 0.6), capability=Capability(structure="schema", seed=True)),
    model("claude-haiku-4-5", "claude", prices=Prices(1.0, 5.0), capability=Capability(structure="tool")),
    model("gemini-2-5-flash", "gemini", prices=Prices(0.3, 2.5), capability=Capability(structure="schema")),
    model(
        "o1-mini",
        "openai",
        prices=Prices(1.1, 4.4),
        capability=Capability(system="merge", temperature="none", structure="prompt"),
    ),
    model("llama-3-3-70b", "llama", prices=Prices(0.59, 0.79), capability=Capability(structure="json_object")),
)


def experiment(
    models: Sequence[Model] = MODELS,
    personas: Sequence[Persona] = PERSONAS,
    texts: Sequence[Text] = TEXTS,
    **sampling: Any,
) -> Experiment:
    """One experiment over all of these."""
    return Experiment(
        name="affect",
        models=tuple(models),
        personas=tuple(personas),
        texts=tuple(texts),
        prompt=PROMPT,
        sampling=Sampling(**sampling),
        batch=Batch(),
        tracking=Tracking(),
        ledger_url="sqlite:///outputs/ledger.db",
    )


def row(trial: Trial, **changes: Any) -> Row:
    """A trial answered: scores that depend on model, persona and text, and wobble a little. The same each time."""
    drawn = _drawn(trial.key)
    cell = trial.cell
    scores = {question.name: _score(drawn, trial, question.name) for question in QUESTIONS}
    reasons: dict[str, str | None] = {
        question.name: PHRASES[int(drawn.integers(len(PHRASES)))] for question in QUESTIONS
    }
    reply = json.dumps({name: {"score": scores[name], "reason": reasons[name]} for name in scores}, ensure_ascii=False)
    made = Row(
        run="20261123-101500-abcd",
        job=0,
        cell=cell.name,
        key=trial.key,
        model=cell.model.name,
        model_id=cell.model.id,
        provider=cell.model.provider,
        vendor=cell.model.vendor,
        persona=cell.persona.name,
        text=trial.text.name,
        repetition=trial.repetition,
        route="live",
        outcome="scored",
        scores=scores,
        reasons=reasons,
        reply=reply,
        problem=None,
        requested=trial.adapted.requested,
        sent=trial.adapted.sent,
        dropped=trial.adapted.dropped,
        rung=trial.adapted.rung,
        attempts=1,
        latency_s=round(0.4 + drawn.exponential(0.8) + 0.2 * len(cell.model.name), 3),
        tokens=Tokens(320, 96),
        price_usd=_price(cell.model.prices),
        model_version=cell.model.id,
        fingerprint="fp_1",
        time="2026-11-23T10:15:02.120+00:00",
        source="bought",
    )
    return replace(made, **changes)


def without_score(trial: Trial, outcome: Outcome, kind: str, message: str, reply: str | None = None) -> Row:
    """A trial that came to nothing."""
    nothing = dict.fromkeys((question.name for question in QUESTIONS), None)
    lost: dict[str, Any] = {"latency_s": None, "price_usd": None, "time": None, "source": None, "tokens": Tokens()}
    return row(
        trial,
        outcome=outcome,
        scores=nothing,
        reasons=nothing,
        reply=reply,
        problem=Problem(kind, message),
        **(lost if outcome == "failed" else {}),
    )


def mostly_scored(trial: Trial) -> Row:
    """One trial in forty fails, one in thirty cannot be read."""
    chance = _drawn(trial.key + "!").random()
    if chance < 0.025:
        return without_score(trial, "failed", "rate_limited", "429 Too Many Requests after 24 attempts")
    if chance < 0.06:
        return without_score(trial, "unscorable", "no_score", "the reply has no score", "As a robot I feel nothing.")
    return row(trial)


def _drawn(name: str) -> np.random.Generator:
    return np.random.default_rng(crc32(name.encode()))


@cache
def _lean(name: str) -> float:
    return float(_drawn(name).normal(0, 9))


def _score(drawn: np.random.Generator, trial: Trial, question: str) -> float:
    persona = {"robot": 6, "poet": 78, "scholar": 52, "student": 61}.get(trial.cell.persona.name, 50)
    lean = {"interesting": 8, "surprise": -12, "sadness": -4, "anger": -38}[question]
    own = _lean(f"{trial.cell.model.name}{question}{trial.text.name}")
    return float(min(100, max(0, round(drawn.normal(persona + lean + own, 5)))))


def _price(prices: Prices) -> float | None:
    known = (prices.input_usd_per_mtok, prices.output_usd_per_mtok)
    return None if None in known else (320 * (known[0] or 0) + 96 * (known[1] or 0)) / 1e6


def write_large_run(folder: Path, trials: int) -> Path:
    """A run of at least so many trials, made quickly: a few repetitions again and again, and no files of replies."""
    pairs = len(MODELS) * len(PERSONAS) * len(TEXTS)
    asked, few = experiment(trials=-(-trials // pairs)), 12
    made = [mostly_scored(trial) for trial in TrialPlan(experiment(trials=few)).trials()]
    rows = [
        replace(one, repetition=number + 1, key=f"{number:08x}{one.key[8:]}")
        for start in range(0, len(made), few)
        for number, one in zip(range(asked.sampling.trials), cycle(made[start : start + few]), strict=False)
    ]
    folder.mkdir()
    (folder / "results.jsonl").write_text("".join(f"{row_to_json(one)}\n" for one in rows), encoding="utf-8")
    manifest.dump(folder / "experiment.json", asdict(asked))
    manifest.dump(folder / "run.json", {**_run(asked.name, Counter(one.outcome for one in rows)), "job": 0})
    return folder


def write_run(
    folder: Path,
    asked: Experiment,
    answer: Callable[[Trial], Row] = row,
    *,
    job: int = 0,
    **changes: Json,
) -> Path:
    """A run's folder with one row for each trial, and run.json with `changes`."""
    outcomes: Counter[Outcome] = Counter()
    with RunFolder(folder, asked.prompts) as written:
        for trial in TrialPlan(asked).trials():
            made = replace(answer(trial), job=job)
            outcomes[made.outcome] += 1
            written.add(made)
    manifest.dump(folder / "experiment.json", asdict(asked))
    manifest.dump(folder / "run.json", {**_run(asked.name, outcomes), "job": job, **changes})
    return folder


def write_sweep(folder: Path, jobs: Mapping[str, Experiment], axis: str = "sampling.temperature") -> Path:
    """A sweep's folder; `jobs` maps each value of its one axis to the experiment."""
    for number, (value, asked) in enumerate(jobs.items()):
        write_run(folder / str(number), asked, job=number, overrides=[f"{axis}={value}"])
    lines = [{"job": number, "folder": str(number)} for number in range(len(jobs))]
    counts: Counter[Outcome] = Counter()
    counts["scored"] = sum(manifest.load(folder / str(number), "run.json")["trials"] for number in range(len(jobs)))
    manifest.dump(folder / "sweep.json", {**_run("affect", counts), "axes": {axis: list(jobs)}, "jobs": lines})
    return folder


def _run(name: str, outcomes: Counter[Outcome]) -> dict[str, Json]:
    trials = outcomes.total()
    return {
        "version": 1,
        "run": "20261123-101500-abcd",
        "command": "runner model=[gpt-4o-mini,claude-haiku-4-5,o1-mini] sampling.trials=5",
        "git": {"commit": "fd4cbc4e8a7b0c1d2e3f", "dirty": True},
        "lock_sha256": None,
        "python": "3.11.2",
        "packages": {"persona-runner": "0.1.0", "litellm": "1.106.2"},
        "requests_sent": trials,
        "dispatch_requests_per_s": 21.4,
        "started": "2026-11-23T10:15:00.000+00:00",
        "time": "2026-11-23T10:15:42.500+00:00",
        "name": name,
        "status": "FINISHED",
        "error": None,
        "overrides": [],
        "config_sha256": "0" * 64,
        "trials": trials,
        **{name: outcomes[name] for name in OUTCOMES},
        "from_ledger": 0,
        "collapsed": 0,
        "price_usd": 0.0123,
        "mlflow": None,
    }
