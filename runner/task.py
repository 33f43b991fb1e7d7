"""The function that Hydra calls, and where the folder of a sweep is noted. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode

from runner.errors import RunnerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from omegaconf import DictConfig

    from runner.session import Runs


class SweepFolder(Callback):
    """Notes where a sweep's folder is: Hydra tells nobody else, and resolves its name once."""

    noted: ClassVar[list[Path]] = []

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Called by Hydra before the first job."""
        self.noted[:] = [Path(str(config.hydra.sweep.dir)).resolve()]


class Task:
    """Runs one composed config. The launcher `pooled` takes its session instead, and runs all jobs in that."""

    def __init__(self, command: str, make: Callable[[str], Runs]) -> None:
        self.command = command
        self._make: Callable[[str], Runs] | None = make
        self._session: Runs | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What a launcher takes to another process: a job there has a session of its own."""
        return {"command": self.command, "_make": None, "_session": None}

    @property
    def session(self) -> Runs:
        """The session of this process, made when it is first needed."""
        if self._session is None:
            self._session = cast("Callable[[str], Runs]", self._make)(self.command)
        return self._session

    def __call__(self, cfg: DictConfig) -> float | None:
        """Run a job; the value of its objective, for whoever sweeps."""
        from runner import commands

        if HydraConfig.get().mode is RunMode.MULTIRUN:  # a launcher of Hydra's, which runs jobs one by one
            return commands.run_apart(cfg, self.command)
        return commands.run(cfg, self.session)

    def finish(self, start: Callable[[], object]) -> int:
        """Have Hydra run, then show and log what came of it; the exit status."""
        SweepFolder.noted.clear()
        failure: RunnerError | None = None
        try:
            try:
                start()
            except RunnerError as error:
                failure = error
            return self._end(failure)
        finally:
            if self._session is not None:
                self._session.close()

    def _end(self, failure: RunnerError | None) -> int:
        sweep = SweepFolder.noted[0] if SweepFolder.noted else None
        if sweep is not None and self._session is None:
            from runner import commands

            commands.gather(self.session, sweep)
        has_results = self._session is not None and self._session.has_results
        if failure is not None and not (sweep and has_results):
            raise failure
        return self.session.finish(sweep) if has_results else 0
