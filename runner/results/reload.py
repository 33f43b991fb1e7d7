"""A launch's folder -> its jobs, and what was bought for them, so that its results can be written again."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from runner.config.origin import Origin
from runner.errors import RunnerError
from runner.plan.job import Job
from runner.plan.trials import attempt_key
from runner.records import Failure
from runner.results import manifest, saved
from runner.results.launch import PENDING, Counts, JobResult, Launch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from runner.dispatch.purchase import Purchase
    from runner.records import Row


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A launch as it stood, with nothing written yet."""

    launch: Launch
    """With the results of the jobs that failed before they asked anything, and no others."""
    jobs: list[Job]
    """The jobs whose results can be written again."""
    sweep: Path | None
    """A sweep's folder."""


def reload(folder: Path) -> Reloaded:
    """The launch that a folder belongs to. ConfigError where it is none, was imported, or has no results."""
    found = manifest.open_run(manifest.launch_folder(folder).resolve())
    run = found.facts
    manifest.ledger_of(found.folder)
    manifest.result_folders(found.folder)
    launch = Launch(run["command"], run["run"], datetime.fromisoformat(run["started"]))
    if run["status"] != "SCHEDULED":
        launch.ended = datetime.fromisoformat(run["time"])
    launch.purchase.requests_sent, launch.purchase.run_id = run["requests_sent"], run["run"]
    jobs = []
    for path in found.jobs:
        of_job = manifest.load(path, "run.json")
        if of_job["error"] is not None:
            launch.results.append(_failed(path))
            continue
        jobs.append(job_in(path))
        recall(launch.purchase, jobs[-1], run.get("batches", ()))
    return Reloaded(launch, jobs, found.folder if found.is_sweep else None)


def gather(launch: Launch, sweep: Path) -> None:
    """Add to a launch what the jobs in a sweep's folder wrote, wherever they ran."""
    for path in (found.parent for found in sweep.glob("*/run.json")):
        run = manifest.load(path, "run.json")
        if run["error"] is None:
            launch.results.append(_result_in(path))
            if run["failed"]:  # why, and whether a batch may still bring an answer
                recall(launch.purchase, job_in(path), run["batches"])
        else:
            launch.results.append(_failed(path))
        launch.purchase.requests_sent += run["requests_sent"]
        launch.purchase.stop.asked |= run["status"] == "KILLED"
        launch.purchase.over_budget |= run.get("ending") == "over_budget"


def _result_in(folder: Path) -> JobResult:
    run = manifest.load(folder, "run.json")
    result = JobResult(run["job"], folder, tuple(run["overrides"]), None, counts=_counts(run))
    result.experiment = saved.experiment_in(folder)
    result.tally.scales = result.experiment.scales
    for row in saved.rows_in(folder):
        result.note(row)
    return result


def _failed(folder: Path) -> JobResult:
    run = manifest.load(folder, "run.json")
    error = RunnerError(run["error"])
    return JobResult(run["job"], folder, tuple(run["overrides"]), None, counts=_counts(run), error=error)


def _counts(run: Mapping[str, Any]) -> Counts:
    """Those of run.json; an older version counted less."""
    return Counts(**{item.name: run[item.name] for item in fields(Counts) if item.name in run})


def job_in(folder: Path) -> Job:
    """The job whose folder it is, as it was asked."""
    run = manifest.load(folder, "run.json")
    experiment = saved.experiment_in(folder)
    is_swept = manifest.launch_folder(folder) != folder
    return Job(run["job"], experiment, folder.resolve(), Origin(tuple(run["overrides"])), is_swept)


def recall(purchase: Purchase, job: Job, batches: Iterable[str]) -> None:
    """What a run's rows say of its purchase: what it bought or had in batches, and why the rest has no answer."""
    waiting: set[str] = set()
    most = 1 + job.experiment.ask_again.unscorable + len(job.experiment.ask_again.keys)
    for row in saved.rows_in(job.folder):
        if row.problem is not None and row.problem.kind == PENDING:
            waiting.update(attempt_key(row.key, number) for number in range(1, most + 1))
        elif row.problem is not None and row.source is None:
            failure = Failure(row.key, row.problem, row.attempts, route=row.route, reply=row.reply, time=row.time)
            purchase.failures[row.key] = failure
        elif row.source == "bought":
            purchase.bought.update(_bought_in(row))
    if waiting:
        _recall_batches(purchase, job, waiting, batches)


def _bought_in(row: Row) -> set[str]:
    """The keys of a row's attempts that its launch paid for: all, or where an earlier one had begun, the later ones."""
    first = 2 if row.earlier_usd else 1
    return {attempt_key(row.key, number) for number in range(min(first, row.asked), row.asked + 1)}


def _recall_batches(purchase: Purchase, job: Job, keys: set[str], batches: Iterable[str]) -> None:
    """Which of the keys open batches hold, which they answered, and how the others ended.

    What another launch fetched, and so counts as bought, is not counted here again.
    """
    from runner.ledger.answers import open_ledger

    with open_ledger(job.experiment.ledger_url) as ledger:
        store = ledger.batches
        items = [item for batch in batches for item in store.items(batch) if item.key in keys]
        mine = (item for item in items if item.ending == "succeeded" and item.buyer in (None, purchase.run_id))
        purchase.bought.update(item.key for item in mine)
        ended = {item.key: item for item in items if item.ending not in {None, "succeeded"}}
        purchase.failures |= {key: Failure(key, item.problem, item.attempt, "batch") for key, item in ended.items()}
        purchase.pending |= {key: batch for key, batch in store.open_keys().items() if key in keys - ended.keys()}
