"""What each command does, between the command line and the stages below."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.output import console, say_logged
from runner.cli.session import Session
from runner.config import settings
from runner.config.load import load
from runner.errors import ConfigError, RunnerError, nearest
from runner.ledger.answers import open_ledger
from runner.plan.job import Job
from runner.records import Failure
from runner.results import files, manifest
from runner.results.launch import PENDING, Counts, JobResult

if TYPE_CHECKING:
    from collections.abc import Iterable

    from omegaconf import DictConfig
    from rich.console import Console

    from runner.cli.arguments import Loudness
    from runner.cli.session import Runs
    from runner.dispatch.purchase import Purchase
    from runner.records import Experiment, Tracking
    from runner.results.verify import Answers


def job_of(cfg: DictConfig) -> Job:
    """The job of a composed config, as Hydra hands it over. ConfigError where something in it is wrong."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    hydra = HydraConfig.get()
    place = 0 if OmegaConf.is_missing(hydra.job, "num") else int(hydra.job.num)
    return Job(place, load(cfg), Path(hydra.runtime.output_dir), tuple(hydra.overrides.task))


def objective_of(result: JobResult) -> float | None:
    """What a sweeper maximises: the job's value of the metric that `objective` names. ConfigError where it has none."""
    if result.error is not None or result.experiment is None or result.experiment.objective is None:
        return None
    name, metrics = result.experiment.objective, result.metrics()
    if name not in metrics:
        known = nearest(name, metrics)
        raise ConfigError(f"no metric of the job is named '{name}'; {known}", where="config.yaml", key="objective")
    return metrics[name]


def run(cfg: DictConfig, session: Runs) -> float | None:
    """Run one composed config; returns the value of its objective."""
    return objective_of(session.run([job_of(cfg)])[0])


def run_apart(cfg: DictConfig, command: str, loudness: Loudness = "usual") -> float | None:
    """Run one job of a sweep in a process that a launcher of Hydra's started. `gather` brings the jobs together."""
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    with Session(command, tracked=False, loudness=loudness) as session:
        try:
            result = session.run([job_of(cfg)])[0]
        except RunnerError as error:
            session.fail(int(hydra.job.num), Path(hydra.runtime.output_dir), tuple(hydra.overrides.task), error)
            raise
        return objective_of(result)


def gather(session: Runs, sweep: Path) -> None:
    """Take up what the jobs of a sweep wrote, wherever they ran, so that it is shown and logged as one."""
    if not isinstance(session, Session):
        return
    for path in (found.parent for found in sweep.glob("*/run.json")):
        run = manifest.load(path, "run.json")
        counts = Counts(**{item.name: run[item.name] for item in fields(Counts)})
        result = JobResult(run["job"], path, tuple(run["overrides"]), None, counts=counts)
        if run["error"] is None:
            result.experiment = settings.experiment_from(manifest.load(path, "experiment.json"))
            for row in files.read_rows(path / "results.jsonl"):
                result.note(row)
            if run["failed"]:  # why, and whether a batch may still bring an answer
                _recall(session.launch.purchase, _job_in(path), run["batches"])
        else:
            result.error = RunnerError(run["error"])
        session.launch.results.append(result)
        session.launch.purchase.requests_sent += run["requests_sent"]
        session.launch.purchase.stop.asked |= run["status"] == "KILLED"


def track(folder: Path, where: Tracking | None = None) -> int:
    """Log a run's or a sweep's folder to MLflow: all of it, or what is missing there."""
    from runner.reporting.tracking import log_run

    say_logged(console(), log_run.track(folder, where))
    return 0


def rescore(folder: Path) -> int:
    """Read a run's replies again from the ledger, in place: after batches have ended, or with a newer parser."""
    folder = manifest.launch_folder(folder).resolve()
    is_sweep = (folder / "sweep.json").is_file()
    run = manifest.load(folder, "sweep.json" if is_sweep else "run.json")
    manifest.ledger_of(folder)
    manifest.result_folders(folder)
    with Session(run["command"]) as session:
        launch = session.launch
        launch.id, launch.started = run["run"], datetime.fromisoformat(run["started"])
        if run["status"] != "SCHEDULED":
            launch.ended = datetime.fromisoformat(run["time"])
        launch.purchase.requests_sent, launch.purchase.run_id = run["requests_sent"], run["run"]
        jobs = []
        for path in manifest.job_folders(folder):
            of_job = manifest.load(path, "run.json")
            if of_job["error"] is not None:
                session.fail(of_job["job"], path, tuple(of_job["overrides"]), RunnerError(of_job["error"]))
                continue
            jobs.append(_job_in(path))
            _recall(launch.purchase, jobs[-1], run.get("batches", ()))
        session.rewrite(jobs)
        return session.finish(folder if is_sweep else None)


def _job_in(folder: Path) -> Job:
    run = manifest.load(folder, "run.json")
    experiment = settings.experiment_from(manifest.load(folder, "experiment.json"), str(folder / "experiment.json"))
    return Job(run["job"], experiment, folder.resolve(), tuple(run["overrides"]))


def _recall(purchase: Purchase, job: Job, batches: Iterable[str]) -> None:
    """What a run's rows say of its purchase: what it bought or had in batches, and why the rest has no answer."""
    waiting = set()
    for row in files.read_rows(job.folder / "results.jsonl"):
        if row.problem is not None and row.problem.kind == PENDING:
            waiting.add(row.key)
        elif row.problem is not None and row.source is None:
            purchase.failures[row.key] = Failure(row.key, row.problem, row.attempts, row.reply, row.time)
        elif row.source == "bought":
            purchase.bought.add(row.key)
    if waiting:
        _recall_batches(purchase, job, waiting, batches)


def _recall_batches(purchase: Purchase, job: Job, keys: set[str], batches: Iterable[str]) -> None:
    """Which of the keys open batches hold, which they answered, and how the others ended.

    What another launch fetched, and so counts as bought, is not counted here again.
    """
    with open_ledger(job.experiment.ledger_url) as ledger:
        store = ledger.batches
        items = [item for batch in batches for item in store.items(batch) if item.key in keys]
        mine = (item for item in items if item.ending == "succeeded" and item.buyer in (None, purchase.run_id))
        purchase.bought.update(item.key for item in mine)
        ended = {item.key: item for item in items if item.ending not in {None, "succeeded"}}
        purchase.failures |= {key: Failure(key, item.problem, item.attempt) for key, item in ended.items()}
        purchase.pending |= {key: batch for key, batch in store.open_keys().items() if key in keys - ended.keys()}


def reproduce(folder: Path, conf: Path, *, fresh: bool) -> int:
    """Check a run, or each job of a sweep, against itself, the ledger and this installation; 0 where all is equal."""
    from runner.cli.verbs.reproduce import render_reproduction
    from runner.results import reproduce as checks

    manifest.ledger_of(folder)
    manifest.result_folders(folder)
    shown, equal, jobs = console(), True, manifest.job_folders(folder)
    command = manifest.load(jobs[0], "run.json")["command"]
    if fresh and manifest.is_rehearsal(command):
        message = "was rehearsed: the simulated providers that it asked are gone, and rehearsing it again costs nothing"
        raise ConfigError(message, where=str(folder), advice=command)
    for path in jobs:
        if len(jobs) > 1:
            shown.print(f"job {path.name}: {path}", soft_wrap=True, markup=False)
            if (why := manifest.load(path, "run.json")["error"]) is not None:
                shown.print(f"it failed, so there is nothing to reproduce: {why}", soft_wrap=True, markup=False)
                continue
        experiment = settings.experiment_from(manifest.load(path, "experiment.json"), str(path / "experiment.json"))
        with ExitStack() as stack:
            found = checks.reproduce(path, conf, _answers(experiment.ledger_url, stack))
        shown.print(render_reproduction(found))
        equal &= found.equal
        if fresh:
            _buy_again(path, experiment, shown)
    return 0 if equal else 1


def _answers(url: str, stack: ExitStack) -> Answers | None:
    """How to read the ledger that a run used; None where it is not at hand, as on another machine."""
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        return None
    return stack.enter_context(open_ledger(url)).answers


def _buy_again(original: Path, experiment: Experiment, shown: Console) -> None:
    """Ask everything once more, into a ledger of its own, and show how far the scores moved."""
    from runner.cli.verbs.reproduce import render_fresh
    from runner.results.rerun import compare_fresh

    folder = Path("outputs") / datetime.now().astimezone().strftime("%Y-%m-%d/%H-%M-%S-%f")
    folder.mkdir(parents=True)
    again = replace(experiment, name=f"{experiment.name} (fresh)", ledger_url=f"sqlite:///{folder / 'ledger.db'}")
    with Session(f"runner reproduce {original} --fresh") as session:
        session.run([Job(0, again, folder.resolve())])
        session.finish()
    old, new = (files.read_rows(path / "results.jsonl") for path in (original, folder))
    shown.print(render_fresh(compare_fresh(old, new)))
