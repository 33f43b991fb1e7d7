"""The process that logs to MLflow, beside the one that dispatches."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

STARTED = """
import os, signal
from pathlib import Path
from runner.tracker import Tracker

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
