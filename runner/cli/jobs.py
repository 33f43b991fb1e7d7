"""What each command does, between the command line and the stages below."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, cast

from runner.cli.session import Session
from runner.config.load import load
from runner.config.origin import Origin
from runner.errors import ConfigError, RunnerError, nearest
from runner.plan.job import Job
from runner.results import reload

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from runner.cli.session import Runs
    from runner.reporting.progress import Loudness
    from runner.results.launch import JobResult


class NoValueError(RunnerError):
    """A job's replies give its objective no value: a finding about its settings, not a mistake in them."""


def job_of(cfg: DictConfig) -> Job:
    """The job of a composed config, as Hydra hands it over. ConfigError where something in it is wrong."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    hydra = HydraConfig.get()
    place = 0 if OmegaConf.is_missing(hydra.job, "num") else int(hydra.job.num)
    origin = Origin.of(cast("DictConfig", hydra))
    is_swept = hydra.mode is not None and hydra.mode.name == "MULTIRUN"
    return Job(place, load(cfg, origin), Path(hydra.runtime.output_dir), origin, is_swept)


def objective_of(result: JobResult) -> float | None:
    """What a sweeper maximises: the job's value of the metric that `objective` names.

    ConfigError where no metric has that name; NoValueError where it has one, but no reply of this job gave it a value.
    """
    if result.error is not None or result.experiment is None or result.experiment.objective is None:
        return None
    name, metrics = result.experiment.objective, result.metrics(unknown=True)
    if (value := metrics.get(name)) is None:
        known = nearest(name, metrics)
        raise ConfigError(f"no metric of the job is named '{name}'; {known}", where="config.yaml", key="objective")
    if not isfinite(value):
        counts = result.counts
        said = f"{counts.scored} of its {counts.trials} trials have scores"
        raise NoValueError(f"job {result.index} has no value of '{name}': {said}")
    return value


def going_on(wrong: NoValueError, sweeper: DictConfig) -> RunnerError:
    """It, with how the search goes on, where its sweeper knows a way."""
    key = "hydra.sweeper.max_failure_rate"
    if "max_failure_rate" not in sweeper:
        return wrong
    message = f"{wrong}, which ends the search; with {key}=1 such a job counts as failed, and the search goes on"
    return ConfigError(message, where="command line", key=key, advice=f"runner {key}=1")


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
        try:
            return objective_of(result)
        except NoValueError as wrong:
            raise going_on(wrong, hydra.sweeper) from wrong


def gather(session: Runs, sweep: Path) -> None:
    """Take up what the jobs of a sweep wrote, wherever they ran, so that it is shown and logged as one."""
    if isinstance(session, Session):
        reload.gather(session.launch, sweep)
