"""MLflow from a process of its own, so that its import and its writes never hold up a dispatch.

The process opens the launch's parent run while requests are out and logs the launch when its folder is written. Should
the launching process die, it sees the pipe close and marks the run KILLED. Commands and answers are pickles: a finished
launch hands over what it counted, so that its rows need not be read again. While it logs, the process tells of each run
that is stored; a launch waits for it no longer than LONGEST_SILENCE_S without such a word.
"""

from __future__ import annotations

import atexit
import os
import pickle
import queue
import re
import select
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from runner import process
from runner.errors import RunnerError, TrackingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runner.records import Tracking
    from runner.reporting.tracking.store import LoggedRuns
    from runner.results.launch import Launch
    from runner.results.manifest import Status
    from runner.results.tally import Tally


AHEAD = ("runner.reporting.tracking.log_run", "pandas")
"""What logging imports, so that it is there when the launch is over."""
AHEAD_OF_PLOTS = ("matplotlib.style", "matplotlib.backends.backend_agg", "matplotlib.figure")

LONGEST_SILENCE_S = 60.0
"""How long a launch waits for MLflow while nothing gets there. `runner track` waits for as long as it takes."""
SAID_AFTER_S = 5.0
"""Silence after which it is said that it is waited for."""
MOVED = "moved"
"""What the process says when something has been stored."""
END_S = 10.0
"""How long its end is waited for, imports included."""
HOLD_S = 1.0
"""Seconds for which MLflow's import leaves a dispatch alone: one that is over by then has both cores for itself."""
CAP_SYS_NICE = 23
"""Linux's number of the capability (capability.h)."""
NICE = 5
"""A third of the share that others have, where they want all of the processor."""


class Tracker:
    """The launching process's end of the pipe. Nothing here raises but `logged`, and that only a TrackingError."""

    def __init__(
        self, end_s: float = END_S, silence_s: float = LONGEST_SILENCE_S, said_after_s: float = SAID_AFTER_S
    ) -> None:
        self._end_s, self._silence_s, self._said_after_s = end_s, silence_s, said_after_s
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, this: Launch) -> None:
        """Have the launch's parent run opened, and what a killed process left RUNNING closed."""
        if self._process is not None:
            return
        self._start()
        experiment = next(one.experiment for one in this.results if one.experiment is not None)
        self._tell(
            {
                "do": "begin",
                "launch": this.id,
                "name": experiment.name,
                "tracking": experiment.tracking,
                "start_ms": int(this.started.timestamp() * 1000),
                "ahead": AHEAD if len(this.results) == 1 else AHEAD + AHEAD_OF_PLOTS,
            }
        )

    def log(self, folder: Path, counted: Mapping[Path, Tally]) -> None:
        """Have a launch's folder logged, with what was counted in its jobs' folders. `logged` tells what came of it."""
        if self._process is None:
            self._start()
        self._hurry()
        self._tell({"do": "log", "folder": folder, "counted": counted})

    def logged(self, waits: Callable[[float], object] = lambda _: None) -> LoggedRuns:
        """The runs of what was last to be logged.

        TrackingError where MLflow cannot be reached, refuses, or keeps silent for too long: it is waited for no longer
        then, and this process ends. `waits` is called once where that may come, with the seconds that are left.
        """
        answers, said = _answers_of(self._stdout), False
        left_s = self._silence_s - self._said_after_s
        while True:
            try:
                answer = answers.get(timeout=left_s if said else self._said_after_s)
            except queue.Empty:
                if said:
                    self.give_up()
                    message = f"nothing got there for {self._silence_s:.0f} s, and it is waited for no longer"
                    raise TrackingError(f"MLflow: {message}") from None
                waits(left_s)
                said = True
                continue
            if isinstance(answer, TrackingError):
                raise answer
            if not isinstance(answer, str):
                return answer
            said = False

    def give_up(self) -> None:
        """End the process at once, whatever it waits for. The next launch closes what it leaves RUNNING."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            with suppress(OSError):  # of something that it had not read
                self._stdin.close()
            self._stdout.close()
            self._process = None

    def close(self, status: Status = "FAILED") -> None:
        """End the process; a run that was begun and not logged gets the status. Safe to call again.

        Where MLflow keeps it waiting it is killed: whoever interrupts a run waits for no server. The next launch closes
        what it leaves RUNNING, and `runner track` completes what is half logged.
        """
        if self._process is None:
            return
        self._hurry()
        self._tell({"do": "end", "status": status})
        with suppress(OSError):
            self._stdin.close()
        try:
            self._process.wait(self._end_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stdout.close()
        self._process = None

    def _start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603  itself
            process.python("runner.reporting.tracking.process"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the dispatch, which tells us what came of it
        )
        _stand_back(self._process.pid)  # from here: before it can do so itself it has taken a tenth of a second

    def _hurry(self) -> None:
        """The dispatch is over. Said from here: on a busy machine the process might not hear of it for minutes."""
        assert self._process is not None  # noqa: S101  every caller has started it
        _stand_back(self._process.pid, over=True)

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process is not None  # noqa: S101  every caller has started it
        assert self._process.stdin is not None  # noqa: S101
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process is not None  # noqa: S101  every caller has started it
        assert self._process.stdout is not None  # noqa: S101
        return self._process.stdout

    def _tell(self, message: Mapping[str, Any]) -> None:
        with suppress(OSError):  # it died; `log` finds no answer and says so
            pickle.dump(message, self._stdin)
            self._stdin.flush()


def _answers_of(stream: IO[bytes]) -> queue.SimpleQueue[LoggedRuns | TrackingError | str]:
    """What the process says of a launch that it logs, read by a thread: a pipe alone can be waited for without end."""
    answers: queue.SimpleQueue[LoggedRuns | TrackingError | str] = queue.SimpleQueue()

    def read() -> None:
        answer: Any = MOVED
        while answer == MOVED:
            try:
                answer = pickle.load(stream)  # noqa: S301  from our own process
            except (EOFError, OSError, ValueError, pickle.UnpicklingError):
                answer = TrackingError("MLflow: the process that logs ended unexpectedly")
            answers.put(answer)

    threading.Thread(target=read, daemon=True).start()
    return answers


# ---- the process -----------------------------------------------------------------------------------------------------


def main() -> None:
    """Do what comes by standard input; answer `log` on standard output."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends with its pipe
    # Registered first it is called last: taking down all that MLflow imports would take a second of the user's time.
    atexit.register(os._exit, 0)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever libraries print must not look like an answer
    one_by_one = threading.Lock()  # several threads log

    def say(answer: LoggedRuns | TrackingError | str) -> None:
        with one_by_one:
            pickle.dump(answer, answers)
            answers.flush()

    begun: tuple[str, Tracking] | None = None
    status: Status = "KILLED"  # unless told otherwise before the pipe closes
    for message in _messages():
        match message["do"]:
            case "begin":
                begun = message["launch"], message["tracking"]
                select.select([sys.stdin], [], [], HOLD_S)  # or until it is told more
                _begin(message)
            case "log":
                answer = _log(message["folder"], message["counted"], lambda: say(MOVED))
                say(answer)
                if not isinstance(answer, TrackingError):
                    begun = None
            case "end":
                status = message["status"]
    if begun is not None:
        from runner.reporting.tracking import store

        with suppress(TrackingError):
            store.end(begun[0], status, begun[1])


def _stand_back(pid: int, *, over: bool = False) -> None:
    """Have a process take only what dispatching leaves of the processor, until that is over.

    Linux knows how. Where there is no way back from that, it gets a smaller share, and keeps it.
    """
    if not hasattr(os, "SCHED_IDLE"):
        return
    with suppress(OSError):
        if _may_return():
            os.sched_setscheduler(pid, os.SCHED_OTHER if over else os.SCHED_IDLE, os.sched_param(0))
        elif not over:
            os.setpriority(os.PRIO_PROCESS, pid, NICE)


def _may_return() -> bool:
    """Whether what was set to SCHED_IDLE may be set back (man 7 sched): a user may not, nor a container's root.

    It would be left with what others leave of the processor, which may be nothing, and its launch waits for it.
    """
    status = Path("/proc/self/status")
    capabilities = re.search(r"^CapEff:\s*(\w+)$", status.read_text(encoding="ascii", errors="replace"), re.MULTILINE)
    return capabilities is not None and bool(int(capabilities[1], 16) >> CAP_SYS_NICE & 1)


def _messages() -> Iterator[dict[str, Any]]:
    """What the launching process says, until it closes the pipe or dies."""
    with suppress(EOFError, pickle.UnpicklingError):
        while True:
            yield pickle.load(sys.stdin.buffer)  # noqa: S301  from the process that started this one


def _begin(message: Mapping[str, Any]) -> None:
    from runner.reporting.tracking import store

    with suppress(TrackingError):  # reported when the launch is logged
        store.start(message["launch"], message["name"], {}, message["tracking"], start_ms=message["start_ms"])
        store.close_stale(message["tracking"])
    for name in message["ahead"]:
        with suppress(Exception):  # whoever needs it says what is wrong with it
            import_module(name)


def _log(folder: Path, counted: Mapping[Path, Tally], moved: Callable[[], object]) -> LoggedRuns | TrackingError:
    from runner.reporting.tracking import log_run

    try:
        return log_run.track(folder, counted=counted, moved=moved)
    except TrackingError as error:
        return TrackingError(str(error), advice=error.advice, mend=error.mend)
    except RunnerError as error:
        return TrackingError(str(error), advice=error.advice)
    except Exception as error:  # noqa: BLE001  whatever goes wrong in here costs the run nothing but a line
        return TrackingError(f"MLflow: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
