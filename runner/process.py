"""Who a process is, whether it still lives, and how one of ours is started.

The first two are for claims in the ledger and runs in MLflow that outlive a crash.
"""

from __future__ import annotations

import os
import socket
import sys
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_OF_MACHINE = "pid:[4026531836]"
"""Linux's numbering of the processes outside all containers (PROC_PID_INIT_INO)."""

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""For the environment of a process that starts further ones of Python: as `-P`, it holds for those too."""


def python(module: str, *words: str) -> list[str]:
    """The command that runs a module in a process of its own, with this interpreter.

    -P: a `json.py` in the user's folder is no module of ours. PYTHONPATH is heeded as ever.
    """
    return [sys.executable, "-P", "-m", module, *words]


_DIGITS = 10
"""Fewer than these has the number of any process."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process of some machine. `started` tells it from a later one with the same number."""

    host: str
    pid: int
    started: str

    def __str__(self) -> str:
        """One word that `parse` reads again."""
        return f"{self.host}|{self.pid}|{self.started}"


def this() -> Process:
    """The process that asks."""
    return Process(host(), os.getpid(), started(os.getpid()))


def parse(word: str) -> Process | None:
    """The process whose str() this is; None where it is something else."""
    match word.split("|"):
        case [machine, pid, moment, *_] if pid.isdecimal() and len(pid) < _DIGITS:
            return Process(machine, int(pid), moment)
    return None


@cache
def host() -> str:
    """This machine or container: many share a name, so its network address is added.

    Containers on their host's network share both, but number their processes each for itself: that is added as well.
    """
    try:
        numbering = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        numbering = _OF_MACHINE
    own = "" if numbering == _OF_MACHINE else f"-{numbering.strip('pid:[]')}"
    return f"{socket.gethostname()}-{uuid.getnode():012x}{own}"


def started(pid: int) -> str:
    """When a process started, as Linux tells it: boot and clock tick. "" elsewhere; "ended" for a zombie."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
    return "ended" if after_name[0] == "Z" else f"{boot}/{after_name[19]}"


def has_ended(process: Process) -> bool:
    """True if a process of this machine is certainly gone; False in doubt, and for other machines."""
    if process.host != host() or os.name == "nt":  # on Windows os.kill(pid, 0) is not a question but Ctrl-C
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives, and is another user's
        return False
    now = started(process.pid)
    return bool(now) and bool(process.started) and now != process.started
