"""MLflow from a process of its own, so that its import and its writes never hold up a dispatch.

The process opens the launch's parent run while requests are out and logs the launch when its folder is written. Should
the launching process die, it sees the pipe close and marks the run KILLED. Commands and answers are lines of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from runner.errors import RunnerError, TrackingError
from runner.records import Tracking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.pipeline import Launch
    from runner.tracking import LoggedRuns, Status


class Tracker:
    """The launching process's end of the pipe. Nothing here raises but `log`, and that only a TrackingError."""

    def __init__(self) -> None:
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
                "tracking": asdict(experiment.tracking),
                "start_ms": int(this.started.timestamp() * 1000),
            }
        )

    def log(self, folder: Path) -> LoggedRuns:
        """Have a launch's folder logged, and wait for it. TrackingError where MLflow cannot be reached or refuses."""
        if self._process is None:
            self._start()
        self._tell({"do": "log", "folder": str(folder)})
        answer = self._answer()
        if "error" in answer:
            raise TrackingError(answer["error"], advice=answer.get("advice"))
        from runner.tracking import LoggedRuns

        return LoggedRuns(**answer)

    def close(self, status: Status = "FAILED") -> None:
        """End the process; a run that was begun and not logged gets the status. Safe to call again."""
        if self._process is None:
            return
        self._tell({"do": "end", "status": status})
        with suppress(OSError):
            self._stdin.close()
        self._process.wait()
        self._process = None

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "runner.tracker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the dispatch, which tells us what came of it
        )

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process is not None  # noqa: S101  every caller has started it
        assert self._process.stdin is not None  # noqa: S101
        return self._process.stdin

    def _tell(self, message: Mapping[str, Any]) -> None:
        with suppress(OSError):  # it died; `log` finds no answer and says so
            self._stdin.write(json.dumps(message).encode() + b"\n")
            self._stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        line = self._process.stdout.readline()
        if not line:
            return {"error": "MLflow: the process that logs ended unexpectedly"}
        answer: dict[str, Any] = json.loads(line)
        return answer


# ---- the process -----------------------------------------------------------------------------------------------------


def main() -> None:
    """Do what the lines of standard input say; answer `log` with a line on standard output."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends with its pipe
    _stand_back()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever libraries print must not look like an answer
    begun: tuple[str, Tracking] | None = None
    status: Status = "KILLED"  # unless told otherwise before the pipe closes
    for line in sys.stdin.buffer:
        message = json.loads(line)
        match message["do"]:
            case "begin":
                begun = message["launch"], Tracking(**message["tracking"])
                _begin(message, begun[1])
            case "log":
                _stand_back(over=True)
                answer = _log(Path(message["folder"]))
                answers.write(json.dumps(answer).encode() + b"\n")
                answers.flush()
                if "error" not in answer:
                    begun = None
            case "end":
                status = message["status"]
    if begun is not None:
        from runner import tracking

        with suppress(TrackingError):
            tracking.end(begun[0], status, begun[1])


def _stand_back(*, over: bool = False) -> None:
    """Take only what the process that dispatches leaves of the processor, until that is over. Linux knows how."""
    if hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER if over else os.SCHED_IDLE, os.sched_param(0))


def _begin(message: Mapping[str, Any], settings: Tracking) -> None:
    from runner import tracking

    with suppress(TrackingError):  # reported when the launch is logged
        tracking.start(message["launch"], message["name"], {}, settings, start_ms=message["start_ms"])
        tracking.close_stale(settings)


def _log(folder: Path) -> dict[str, Any]:
    from runner import logbook

    try:
        return {**asdict(logbook.track(folder))}
    except RunnerError as error:
        return {"error": str(error), "advice": error.advice}
    except Exception as error:  # noqa: BLE001  whatever goes wrong in here costs the run nothing but a line
        return {"error": f"MLflow: {type(error).__name__}: {error}"}


if __name__ == "__main__":
    main()
