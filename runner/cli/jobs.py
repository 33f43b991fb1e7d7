"""What each command does, between the command line and the stages below."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.session import Session
from runner.config.load import load
from runner.errors import ConfigError, RunnerError, nearest
from runner.plan.job import Job
from runner.results import reload

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from runner.cli.session import Runs
    from runner.reporting.progress import Loudness
    from runner.results.launch import JobResult


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
