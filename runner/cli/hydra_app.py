"""The function that Hydra calls, and the folder that a run or a sweep writes to. Imports nothing heavy."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode

from runner import process
from runner.config.hydra_errors import FOREIGN
from runner.dispatch.interrupts import HANGUP, outputs_on_terminals, turn_away
from runner.errors import BudgetError, LedgerError, RunnerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from omegaconf import DictConfig

    from runner.cli.session import Runs
    from runner.reporting.progress import Loudness

log = logging.getLogger(__name__)

EXIT_INTERRUPTED = 130
ENDS = [signal.SIGTERM, *([HANGUP] if HANGUP is not None else [])]
"""Signals that end a program which does not listen, beside Ctrl-C."""


class SweepFolder(Callback):
    """Notes where a sweep's folder is, or a run's: Hydra tells nobody else, and resolves its name once."""

    noted: ClassVar[list[Path]] = []
    """A sweep's folder."""
    new: ClassVar[list[Path]] = []
    """What the command makes: its folder, then the folders around it that were not there before."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Called by Hydra before a single job."""
        self._note_new(Path(str(config.hydra.run.dir)).resolve())

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Called by Hydra before the first job."""
        self.noted[:] = [Path(str(config.hydra.sweep.dir)).resolve()]
        self._note_new(self.noted[0])

    def _note_new(self, folder: Path) -> None:
        self.new[:] = [path for path in (folder, *folder.parents) if not path.exists()]

    @classmethod
    def remove(cls) -> None:
        """Remove what the command has made."""
        for place, folder in enumerate(cls.new):
            with suppress(OSError):  # another command has written beside it
                folder.rmdir() if place else shutil.rmtree(folder)


class Task:
    """Runs one composed config. The launcher `pooled` takes its session instead, and runs all jobs in that."""

    def __init__(self, command: str, make: Callable[[str, Loudness], Runs], loudness: Loudness = "usual") -> None:
        self.command = command
        self.loudness: Loudness = loudness
        self._make: Callable[[str, Loudness], Runs] | None = make
        self._session: Runs | None = None
        self._failure: RunnerError | None = None
        self._began_apart = False
        self.is_pooled = False
        """Set by the launcher that takes the session: all jobs of a sweep run in it."""

    def __getstate__(self) -> dict[str, Any]:
        """What a launcher takes to another process: a job there has a session of its own."""
        mine = {"_make": None, "_session": None, "_failure": None, "_began_apart": False, "is_pooled": False}
        return {"command": self.command, "loudness": self.loudness, **mine}

    @property
    def session(self) -> Runs:
        """The session of this process, made when it is first needed."""
        if self._session is None:
            self._session = cast("Callable[[str, Loudness], Runs]", self._make)(self.command, self.loudness)
        return self._session

    def __call__(self, cfg: DictConfig) -> float | None:
        """Run a job; the value of its objective, for whoever sweeps."""
        from runner.cli import jobs

        if HydraConfig.get().mode is RunMode.MULTIRUN:  # a launcher of Hydra's, which runs jobs one by one
            return jobs.run_apart(cfg, self.command, self.loudness)
        try:
            return jobs.run(cfg, self.session)
        except RunnerError as error:  # raised here, Hydra would print a line of its own
            self._failure = error
            return None

    def finish(self, start: Callable[[], object]) -> int:
        """Have Hydra run, then show and log what came of it; the exit status."""
        SweepFolder.noted.clear()
        SweepFolder.new.clear()
        failure: RunnerError | None = None
        try:
            try:
                with self._terminable(), _safe_children():
                    start()
            except RunnerError as error:
                failure = error
            except (Exception, KeyboardInterrupt, SystemExit) as error:
                between = isinstance(error, KeyboardInterrupt) and self._is_between_turns
                if isinstance(error, FOREIGN) or not (self._is_apart or between):
                    raise
                failure = _given_up(error, self.command)
                if between:
                    self.session.interrupt()
            return self._end(failure or self._failure)
        except BaseException:
            if not self._has_begun:
                SweepFolder.remove()
            raise
        finally:
            if self._session is not None:
                self._session.close()

    @property
    def _has_begun(self) -> bool:
        """Whether anything may have been asked or written: a command that is refused before leaves nothing."""
        if self._is_apart:
            self._look_for_jobs()
        return self._began_apart or (self._session is not None and self._session.has_begun)

    def _look_for_jobs(self) -> None:
        from runner.results import manifest

        self._began_apart = manifest.has_begun(SweepFolder.noted[0])

    @property
    def _is_apart(self) -> bool:
        """Whether a launcher of Hydra's runs the jobs of a sweep, each in a session of its own."""
        return bool(SweepFolder.noted) and self._session is None and not self.is_pooled

    @property
    def _is_between_turns(self) -> bool:
        """Whether a sweep runs here that has asked something, and whose sweeper is looking for what to ask next."""
        return self.is_pooled and self._session is not None and self._session.has_begun

    @contextmanager
    def _terminable(self) -> Iterator[None]:
        """SIGTERM, and the terminal's end, end a sweep as Ctrl-C does where no dispatch runs that would hear of it.

        The launcher of one that runs apart must end the processes that it started; one that runs here is written.
        """
        terminals = outputs_on_terminals()

        def asked(number: int, _frame: FrameType | None) -> None:
            if number == HANGUP:
                turn_away(terminals)
            if self._is_apart or self._is_between_turns:
                raise KeyboardInterrupt(number)
            signal.signal(number, before[number])
            os.kill(os.getpid(), number)

        if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
            yield
            return
        heard = [number for number in ENDS if signal.getsignal(number) != signal.SIG_IGN]
        before = {int(number): signal.signal(number, asked) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self, failure: RunnerError | None) -> int:
        sweep = SweepFolder.noted[0] if SweepFolder.noted else None
        if sweep is not None and self._is_apart:
            from runner.cli import jobs

            self._look_for_jobs()  # before those that were broken off are taken up as failed
            jobs.gather(self.session, sweep)
            _take_up_unfinished(self.session, sweep, failure)
            if failure is not None and failure.exit_status == EXIT_INTERRUPTED:
                self.session.interrupt()
        has_results = self._session is not None and self._session.has_results
        # An objective that no metric bears says nothing against the results.
        is_late = sweep is not None or getattr(failure, "key", None) == "objective"
        if failure is not None and not (is_late and has_results):
            raise failure
        status = self.session.finish(sweep) if has_results else 0
        # What ended a sweep goes before what its jobs came to.
        if failure is not None and (status == 0 or isinstance(failure, BudgetError | LedgerError)):
            raise failure
        return status


@contextmanager
def _safe_children() -> Iterator[None]:
    """Processes that a launcher of Hydra's starts, and theirs, take no file of the user's folder for a module."""
    before = {name: os.environ.get(name) for name in process.SAFE_PATH}
    os.environ.update(process.SAFE_PATH)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _given_up(error: BaseException, command: str) -> RunnerError:
    """What a launcher of Hydra's ended with, in one line; all of it is shown with `hydra.verbose=true`."""
    log.debug("the launcher ended", exc_info=error)
    if isinstance(error, KeyboardInterrupt | SystemExit):
        stopped = RunnerError("interrupted; what was answered is kept", advice=command)
        stopped.exit_status = EXIT_INTERRUPTED
        return stopped
    first, *_ = str(error).strip().splitlines() or [""]
    return RunnerError(f"the launcher gave up: {type(error).__name__}: {first}", advice=command)


def _take_up_unfinished(session: Runs, sweep: Path, failure: RunnerError | None) -> None:
    """A job that was begun and wrote no run.json is shown as failed: its process has ended, or still runs somewhere."""
    from runner.results import saved

    for folder in (path.parent for path in sweep.glob("*/.hydra") if not (path.parent / "run.json").exists()):
        overrides: tuple[str, ...] = ()
        try:
            job = saved.hydras(folder / ".hydra" / "hydra.yaml").hydra.job
            overrides = tuple(map(str, saved.hydras(folder / ".hydra" / "overrides.yaml")))
            number, name = int(job.num), str(job.name)
        except (RunnerError, AttributeError, TypeError, ValueError):  # killed while Hydra wrote them, or damaged since
            number, name = int(folder.name) if folder.name.isdecimal() else 0, "*"
        why = RunnerError(f"no result; {failure}" if failure else f"no result; see {folder / f'{name}.log'}")
        session.fail(number, folder, overrides, why)
