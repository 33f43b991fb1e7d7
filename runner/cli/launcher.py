"""Hydra's launcher `pooled`: all jobs of a sweep composed first, then run as one dispatch.

Hydra's own launchers run one job after another, so that nothing could share a rate limit, a batch or a progress bar.
The class that Hydra insists on finding is in hydra_plugins/runner_pooled.py.
"""

from __future__ import annotations

import logging
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from runner.cli.jobs import NoValueError, going_on, job_of, objective_of
from runner.errors import ConfigError, RunnerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hydra.core.utils import JobReturn
    from hydra.types import HydraContext
    from omegaconf import DictConfig

    from runner.cli.session import Session
    from runner.plan.job import Job
    from runner.results.launch import JobResult

SEARCH = "hydra_plugins.hydra_optuna_sweeper"
"""The sweeper that chooses a job's values by the value of the ones before."""
log = logging.getLogger(__name__)


def launch(
    task: Any, context: HydraContext, config: DictConfig, overrides: Sequence[Sequence[str]], first: int
) -> Sequence[JobReturn]:
    """Compose every job, run them in the session of the program's own `task`, and give Hydra their return values.

    A job's value is that of its `objective`. A job that cannot be composed or planned has FAILED, and its neighbours
    run. Hydra's own `on_job_start` and `on_job_end` callbacks are called while the jobs are composed, before anything
    is sent.
    """
    from hydra.core.utils import configure_log, setup_globals

    task.is_pooled = True
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    if not overrides:
        raise ConfigError(
            "this sweep has no job: a glob that nothing fits", where="command line", advice="runner --help"
        )
    if config.get("objective") is None and str(config.hydra.sweeper._target_).startswith(SEARCH):
        message = "a search needs to know what it is to make large or small, such as objective=score/mean"
        raise ConfigError(message, where="config.yaml", key="objective", advice="runner objective=score/mean")
    Path(str(config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
    jobs: dict[int, Job] = {}
    returns = [_composed(context, config, words, first + place, jobs) for place, words in enumerate(overrides)]
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    errors = {place: error_of(one) for place, one in enumerate(returns) if first + place not in jobs}
    if not jobs:
        raise errors[0]
    session: Session = task.session
    for place, error in errors.items():
        session.fail(first + place, _folder_of(returns[place]), returns[place].overrides or (), error)
    results = session.run(list(jobs.values()))
    for place, result in zip(jobs, results, strict=True):
        _complete(returns[place - first], result)
    return [_told_elsewhere(one) for one in returns]


def _told_elsewhere(returned: JobReturn) -> JobReturn:
    """It, without the line that Hydra prints when someone asks for the value of a job that has failed."""
    from hydra.core.utils import JobReturn, JobStatus

    class Returned(JobReturn):
        @property
        def return_value(self) -> Any:
            if self.status is JobStatus.FAILED:
                raise self._return_value
            return super().return_value

        @return_value.setter
        def return_value(self, value: Any) -> None:
            self._return_value = value

    return Returned(**{item.name: getattr(returned, item.name) for item in fields(returned)})


def error_of(returned: JobReturn) -> RunnerError:
    """Why a job was not composed. Anything but an error of the user's input passes on: it is a fault of ours."""
    wrong = returned._return_value  # noqa: SLF001  the public name prints a stack before it raises
    if isinstance(wrong, RunnerError):
        return wrong
    raise wrong


def _folder_of(returned: JobReturn) -> Path:
    return Path(_hydra_of(returned).runtime.output_dir)


def _hydra_of(returned: JobReturn) -> DictConfig:
    """The `hydra` node of a job that run_job has composed."""
    node: DictConfig = cast("DictConfig", returned.hydra_cfg).hydra
    return node


def _composed(
    context: HydraContext, config: DictConfig, overrides: Sequence[str], number: int, jobs: dict[int, Job]
) -> JobReturn:
    """One job's folder with its .hydra/, made by Hydra as for any launcher; the job itself goes to `jobs`."""
    from hydra.core.utils import run_job
    from omegaconf import open_dict

    def task(cfg: DictConfig) -> None:
        jobs[number] = job_of(cfg)

    composed = context.config_loader.load_sweep_config(config, list(overrides))
    with open_dict(composed):
        composed.hydra.job.id = str(number)
        composed.hydra.job.num = number
    return run_job(
        task_function=task,
        config=composed,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        hydra_context=context,
    )


def _complete(returned: JobReturn, result: JobResult) -> None:
    """Put what became of a job where Hydra and its sweepers look for it, and into the job's own log."""
    from hydra.core.utils import JobStatus, configure_log

    hydra = _hydra_of(returned)
    configure_log(hydra.job_logging, hydra.verbose)
    error: RunnerError | None = result.error
    value: Any = None
    try:
        value = objective_of(result)
    except NoValueError as wrong:
        error = going_on(wrong, hydra.sweeper)
    except ConfigError as wrong:
        error = wrong
    returned.status = JobStatus.COMPLETED if error is None else JobStatus.FAILED
    returned.return_value = value if error is None else error
    counts = result.counts
    if error is not None:
        log.error("failed: %s", error)
    else:
        log.info("%d of %d scored, %d failed", counts.scored, counts.trials, counts.failed)
