"""The process that logs to MLflow, beside the one that dispatches."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from runner.errors import TrackingError
from runner.records import Tracking
from runner.reporting.tracking.process import Tracker
from runner.results.launch import JobResult, Launch

if TYPE_CHECKING:
    from pathlib import Path

    from runner.records import Experiment

STARTED = """
import os, signal
from pathlib import Path
from runner.reporting.tracking.process import Tracker

tracker = Tracker()
tracker.log(Path("nowhere"), {})
(pid,) = map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
print(os.sched_getscheduler(pid), os.getpriority(os.PRIO_PROCESS, pid))
os.kill(pid, signal.SIGKILL)
tracker.close()
"""
WITHOUT_NICE = """
import ctypes, os, sys

ctypes.CDLL(None).prctl(24, 23, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_SYS_NICE
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="only Linux has it")
@pytest.mark.parametrize("words", [(STARTED,), (WITHOUT_NICE, STARTED)], ids=["as the tests run", "in a container"])
def test_what_is_waited_for_is_not_left_behind(words: tuple[str, ...]) -> None:
    """Once its launch waits for it, MLflow's process has a share of a busy processor, and at once."""
    done = subprocess.run([sys.executable, "-c", *words], capture_output=True, text=True, timeout=60, check=True)
    policy, nice = map(int, done.stdout.split())
    assert policy == os.SCHED_OTHER
    assert nice <= os.getpriority(os.PRIO_PROCESS, 0) + 5


def test_a_server_that_keeps_silent_holds_up_no_end(tmp_path: Path) -> None:
    """A launch that ends without being logged, as one that was interrupted, is not kept waiting by MLflow."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        where = Tracking(uri=f"http://127.0.0.1:{server.getsockname()[1]}")
        asked = cast("Experiment", SimpleNamespace(name="e", tracking=where))
        tracker = Tracker(end_s=0.1)
        tracker.begin(Launch("runner", results=[JobResult(0, tmp_path, (), asked)]))
        first, _ = server.accept()
        with first:
            tracker.close("KILLED")
        server.settimeout(0)
        with pytest.raises(BlockingIOError):  # to end the run by asking again would have been to wait again
            server.accept()


def test_a_server_that_stalls_is_waited_for_so_long_and_no_longer(tmp_path: Path) -> None:
    """A server that takes requests and answers none holds a run's end for a bounded time, which is said before."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = Tracking(uri=f"http://127.0.0.1:{server.getsockname()[1]}")
        asked = cast("Experiment", SimpleNamespace(name="e", tracking=where))
        tracker = Tracker(silence_s=0.5, said_after_s=0.2)
        tracker.begin(Launch("runner", results=[JobResult(0, tmp_path, (), asked)]))
        tracker.log(tmp_path, {})
        waited: list[float] = []
        with pytest.raises(TrackingError, match="nothing got there for 0 s, and it is waited for no longer"):
            tracker.logged(waited.append)
        assert waited == [pytest.approx(0.3)]
        tracker.close()  # nothing is left to end
