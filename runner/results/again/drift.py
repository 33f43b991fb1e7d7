"""A sample of a run, asked again: chosen at random, bought under keys of its own, written beside the run and not in it.

A drift has a folder, outputs/drift/RUN-TIME, with drift.json (what was asked of whom, and what came of it) and
results.jsonl (the new replies, a row a trial). Its keys come from those of the run's trials and its own id, so that no
answer of the run is touched or found, another drift buys anew, and one that was stopped goes on without buying twice.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections import defaultdict
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.dispatch import purchase as buying
from runner.dispatch.purchase import Missing, Purchase
from runner.errors import BudgetError, ConfigError
from runner.plan.job import TrialPlan, models_of
from runner.providers.accounts import check_key
from runner.records import Batch
from runner.results import files, manifest, saved
from runner.results.reload import job_in
from runner.results.rows import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runner.dispatch.observer import Observer
    from runner.ledger.answers import Ledger
    from runner.plan.job import Job
    from runner.records import Row, Trial

FOLDER = Path("outputs/drift")
FILE = "drift.json"
DEARER = 1.1
"""What a trial is assumed to cost at most, of what it cost: replies differ in length."""


@dataclass(frozen=True, slots=True)
class SampledTrial:
    """A scored trial of the run, which may be asked again."""

    job: int
    key: str
    model: str
    usd: float | None
    """What one reply cost, live; None where nobody knows."""


@dataclass(slots=True)
class Drift:
    """One drift, as its file has it."""

    folder: Path
    id: str
    of: str
    """The run's id."""
    of_folder: str
    command: str
    started: str
    """UTC, ISO 8601, as `ended`."""
    seed: int
    budget_usd: float
    margin: float
    """Within so many points of a question's scale scores count as equal."""
    population: int
    """Trials of the run that could have been chosen."""
    sample: list[tuple[int, str]] = field(default_factory=list)
    """Job and key of each trial that is asked again."""
    status: manifest.Status = "SCHEDULED"
    """FINISHED once every trial of the sample was asked; SCHEDULED before that, as KILLED."""
    ended: str | None = None
    requests_sent: int = 0
    spent_usd: float | None = 0.0
    """Of all replies, also those that were bought before it was stopped."""
    found: dict[str, Any] = field(default_factory=dict)
    """What the comparison came to; see reporting.drift."""
    mlflow: dict[str, Any] | None = None

    def save(self) -> None:
        """Write its file, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        manifest.dump(self.folder / FILE, {name: value for name, value in asdict(self).items() if name != "folder"})

    def key_of(self, key: str) -> str:
        """The key under which it asks a trial again."""
        return hashlib.sha256(f"{key}:drift:{self.id}".encode("ascii")).hexdigest()


def load(folder: Path) -> Drift:
    """The drift in a folder. ConfigError where there is none, or its file is damaged."""
    held = saved.load(folder, FILE)
    names = {item.name for item in fields(Drift)} - {"folder"}
    try:
        found = Drift(folder, **{name: value for name, value in held.items() if name in names})
        found.sample = [(int(job), str(key)) for job, key in found.sample]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"is no drift: {error}", where=str(folder / FILE)) from error
    return found


def unfinished(of: str, **asked: float) -> Drift | None:
    """The newest drift of a run that was stopped, if it was asked with the same budget, margin and seed.

    `of` is the run's id; `asked` holds budget_usd (US dollars), margin (points of a scale of 0 to 100) and seed.
    """
    for path in sorted(FOLDER.glob(f"*/{FILE}"), reverse=True):
        try:
            found = load(path.parent.resolve())
        except ConfigError:
            continue
        if found.of == of and found.status != "FINISHED" and all(getattr(found, name) == asked[name] for name in asked):
            return found
    return None


# ---- which trials ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Original:
    """The run whose sample is asked again."""

    id: str
    folder: Path
    jobs: tuple[Job, ...]

    @property
    def ledger_url(self) -> str:
        """Where its answers are, and the new ones go."""
        return self.jobs[0].experiment.ledger_url


def original(folder: Path) -> Original:
    """A run or a sweep as it was asked, to be sent live. ConfigError where it has no ledger or no results."""
    folder = manifest.launch_folder(folder)
    manifest.ledger_of(folder)
    found = manifest.open_run(folder)
    if manifest.is_rehearsal(found.facts["command"]):
        message = "was rehearsed: the simulated providers that it asked are gone"
        raise ConfigError(message, where=str(folder), advice=found.facts["command"])
    jobs = [job_in(job) for job in manifest.result_folders(folder)]
    return Original(found.facts["run"], folder, tuple(map(_live, jobs)))


def _live(job: Job) -> Job:
    """To be sent at once, and whoever answers is told apart, not refused: that is what is to be seen."""
    models = tuple(replace(model, identity="record") for model in job.experiment.models)
    asked = replace(job.experiment, models=models, identity="record", batch=Batch(), budget_usd=None)
    return replace(job, experiment=asked)


def candidates(run: Original) -> list[SampledTrial]:
    """Every scored trial once whose request is today what it was then. ConfigError where there is none."""
    seen: set[str] = set()
    found = []
    for job in run.jobs:
        planned = {_place(trial): trial.key for trial in TrialPlan(job.experiment).trials()}
        for row in saved.rows_in(job.folder):
            same = planned.get((row.cell, row.text, row.repetition, row.question)) == row.key
            if row.outcome == "scored" and same and row.key not in seen:
                seen.add(row.key)
                found.append(SampledTrial(job.index, row.key, row.model, _live_usd(row)))
    if not found:
        message = "no trial of it is scored and would be asked today as it was then"
        raise ConfigError(message, where=str(run.folder), advice=f"runner reproduce {run.folder}")
    return found


def _live_usd(row: Row) -> float | None:
    if row.price_usd is None:
        return None
    return (row.price_usd + (row.saved_usd or 0.0)) / row.asked


def choose(found: Sequence[SampledTrial], budget_usd: float, seed: int, of: str) -> list[SampledTrial]:
    """A random sample that the budget pays for, the models in turn; the same for the same run, budget and seed.

    `budget_usd` in US dollars, at live prices. `of` is the run's id.
    BudgetError where a price is unknown, or the budget pays for fewer than two trials.
    """
    if unpriced := sorted({one.model for one in found if one.usd is None}):
        raise BudgetError(f"nobody knows what a reply of {', '.join(unpriced)} cost", advice="runner models")
    order = random.Random(f"{of}:{seed}")  # noqa: S311  a sample, no secret
    by_model: dict[str, list[SampledTrial]] = defaultdict(list)
    for candidate in found:
        by_model[candidate.model].append(candidate)
    for of_model in by_model.values():
        order.shuffle(of_model)
    chosen: list[SampledTrial] = []
    left = budget_usd
    turns = {model: iter(of_model) for model, of_model in by_model.items()}
    while turns:
        for model, rest in [*turns.items()]:
            one = next(rest, None)
            cost = 0.0 if one is None else (one.usd or 0.0) * DEARER
            if one is None or cost > left:
                del turns[model]
            else:
                chosen.append(one)
                left -= cost
    if len(chosen) < min(2, len(found)):
        cheapest = min(one.usd or 0.0 for one in found) * DEARER
        message = f"--budget {budget_usd:g} pays for {len(chosen)} trials: one costs about ${cheapest:.4g}"
        raise BudgetError(message, advice=f"runner drift --budget {cheapest * 24:.2g}")
    return chosen


def begin(run: Original, command: str, *, budget_usd: float, margin: float, seed: int) -> Drift:
    """A new drift of a run, its sample chosen and nothing sent or written yet.

    `budget_usd` in US dollars; `margin` in points of a scale of 0 to 100, within which a change counts as none.
    BudgetError as `choose`.
    """
    found = candidates(run)
    chosen = choose(found, budget_usd, seed, run.id)
    now = datetime.now(UTC)
    started = now.isoformat(timespec="milliseconds")
    name = f"{run.id}-{now:%Y%m%d-%H%M%S}-{os.urandom(2).hex()}"
    sample = [(one.job, one.key) for one in chosen]
    return Drift(
        folder=(FOLDER / name).resolve(),
        id=name,
        of=run.id,
        of_folder=str(run.folder),
        command=command,
        started=started,
        seed=seed,
        budget_usd=budget_usd,
        margin=margin,
        population=len(found),
        sample=sample,
    )


def begun(run: Original, command: str, *, budget_usd: float, margin: float, seed: int) -> Drift:
    """The drift that was stopped, where the same was asked before; else a new one: `begin` has units and errors."""
    stopped = unfinished(run.id, budget_usd=budget_usd, margin=margin, seed=seed)
    return stopped or begin(run, command, budget_usd=budget_usd, margin=margin, seed=seed)


# ---- asking ----------------------------------------------------------------------------------------------------------


def ask(drift: Drift, run: Original, ledger: Ledger, observer: Observer, purchase: Purchase) -> list[tuple[Row, Row]]:
    """Buy what is not bought yet, write it down, and pair each trial's old row with its new one.

    ConfigError where a model has no API key, before anything is sent. LedgerError where answers cannot be kept.
    """
    chosen = _chosen(drift)
    plans = {job.index: TrialPlan(job.experiment, drift.key_of) for job in run.jobs if chosen.get(job.index)}
    models = models_of(plan.experiment for plan in plans.values())
    missing: dict[int, set[str]] = {}
    for index, plan in plans.items():
        wanted = {drift.key_of(key) for key in chosen[index]}
        for model in plan.experiment.models:
            keys = {trial.key for trial in plan.trials(model) if trial.key in wanted}
            if lacking := keys - ledger.lookup(keys):
                missing.setdefault(models.index(model), set()).update(lacking)
    for index in missing:
        check_key(models[index])
    drift.save()
    purchase.run_id = drift.id
    spent = sum(new.price_usd or 0.0 for _, new in _pairs(drift, run, ledger, purchase))
    purchase.budget_usd = max(0.0, drift.budget_usd - spent)
    if missing and purchase.budget_usd > 0:
        buying.buy([*plans.values()], Missing(models, missing), ledger, observer, purchase)
    pairs = [*_pairs(drift, run, ledger, purchase)]
    _write(drift, (new for _, new in pairs))
    prices = [new.price_usd for _, new in pairs if new.source is not None]
    drift.spent_usd = None if None in prices else sum(price or 0.0 for price in prices)
    drift.requests_sent += purchase.requests_sent
    # At its budget's end it is done, with a smaller sample.
    drift.status = "KILLED" if purchase.stop.asked and not purchase.over_budget else "FINISHED"
    drift.ended = datetime.now(UTC).isoformat(timespec="milliseconds")
    return pairs


def _chosen(drift: Drift) -> Mapping[int, set[str]]:
    found: dict[int, set[str]] = defaultdict(set)
    for job, key in drift.sample:
        found[job].add(key)
    return found


def _pairs(drift: Drift, run: Original, ledger: Ledger, purchase: Purchase) -> Iterator[tuple[Row, Row]]:
    """Old and new row of each trial that was answered again, or failed to be."""
    chosen = _chosen(drift)
    for job in run.jobs:
        wanted = chosen.get(job.index, set())
        old = {row.key: row for row in saved.rows_in(job.folder) if row.key in wanted}
        reader = Reader(drift.id, job.index, job.experiment.prompts)
        trials = {trial.key: trial for trial in TrialPlan(job.experiment).trials() if trial.key in old}
        answers = {answer.key: answer for answer in ledger.answers([*map(drift.key_of, trials)])}
        for key, trial in trials.items():
            asked = replace(trial, key=drift.key_of(key))
            if (answer := answers.get(asked.key)) is not None:
                yield old[key], reader.row(asked, answer, "bought")
            elif (failure := purchase.failures.get(asked.key)) is not None:
                yield old[key], reader.failed(asked, failure)


def _write(drift: Drift, rows: Iterable[Row]) -> None:
    part = drift.folder / "results.jsonl.part"
    with part.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{files.row_to_json(row)}\n" for row in rows)
    part.replace(drift.folder / "results.jsonl")


def _place(trial: Trial) -> tuple[str, str, int, str | None]:
    return trial.cell.name, trial.text.name, trial.repetition, trial.question
