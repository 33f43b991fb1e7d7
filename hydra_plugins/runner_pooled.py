"""The launcher `pooled`, where Hydra looks for it. The work is in runner/cli/launcher.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hydra.core.utils import JobReturn
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig


class PooledLauncher(Launcher):
    """Hands all jobs of a sweep to `runner` at once."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra gives."""
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs as one; see runner.cli.launcher.launch."""
        from runner.cli import launcher

        return launcher.launch(self.task, self.context, self.config, job_overrides, initial_job_idx)


ConfigStore.instance().store(
    group="hydra/launcher",
    name="pooled",
    node={"_target_": "hydra_plugins.runner_pooled.PooledLauncher"},
    provider="runner",
)
