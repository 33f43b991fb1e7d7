"""What each command does, between the command line and the stages below."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
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
from runner.results import files, manifest, reload, served

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from rich.console import Console

    from runner.cli.session import Runs
    from runner.records import Experiment, Tracking
    from runner.reporting.progress import Loudness
    from runner.results.launch import JobResult
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
    if isinstance(session, Session):
        reload.gather(session.launch, sweep)


def track(folder: Path, where: Tracking | None = None) -> int:
    """Log a run's or a sweep's folder to MLflow: all of it, or what is missing there."""
    from runner.reporting.tracking import log_run

    say_logged(console(), log_run.track(folder, where))
    return 0


def rescore(folder: Path) -> int:
    """Read a run's replies again from the ledger, in place: after batches have ended, or with a newer parser."""
    found = reload.reload(folder)
    with Session(found.launch.command, launch=found.launch) as session:
        session.execution.rewrite(found.jobs)
        return session.finish(found.sweep)


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
        for line in served.told(served.from_json(manifest.load(path, "run.json").get("served", ()))):
            shown.print(line, soft_wrap=True, markup=False)
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
