"""The program as a process of its own, seconds sooner than by a start: forked from one that has imported everything.

A start of `python -m runner` spends most of its time on imports. Here one process makes them all once and then forks
for each command, which so has a pid, folder, environment, signals and an end of its own. What that cannot show is if
imports are in the right order and place, so some tests of each kind start the program as its user does; where the
system has no pidfd, as Linux has, all do.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MODULES = (
    "runner.cli.main", "runner.cli.jobs", "runner.cli.launcher", "runner.cli.verbs.plan", "runner.cli.verbs.results",
    "runner.cli.verbs.table",
    "runner.cli.verbs.rehearse", "runner.reporting.html.figures", "aiohttp", "pandas", "rich.console", "rich.progress",
    "rich.table",
    "scipy.stats", "statsmodels.stats.oneway",
)  # fmt: skip
HAS_PIDFD = hasattr(os, "pidfd_open")


class Process:
    """A command that runs: as much of subprocess.Popen as tests use."""

    def __init__(self, status: socket.socket, out: int, err: int) -> None:
        self._status = status.makefile("r")
        status.close()
        self.pid = int(self._status.readline())
        self.returncode: int | None = None
        self._printed = {out: b"", err: b""}
        self._open = {out, err}

    def poll(self) -> int | None:
        """Its status if it has ended."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Its status, once it has ended."""
        if self._look(timeout) is None:
            raise subprocess.TimeoutExpired("runner", timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def _look(self, timeout_s: float | None) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], timeout_s)[0]:
            self.returncode = int(self._status.readline())
            self._status.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it printed on standard output and standard error, once it has ended."""
        until = time.monotonic() + (timeout or 1e9)
        while self._open:
            ready, _, _ = select.select(self._open, [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise subprocess.TimeoutExpired("runner", timeout or 0)
            for pipe in ready:
                block = os.read(pipe, 2**16)
                self._printed[pipe] += block
                if not block:
                    self._open.discard(pipe)
                    os.close(pipe)
        self.wait(max(0.0, until - time.monotonic()))
        out, err = (printed.decode() for printed in self._printed.values())
        return out, err

    def send_signal(self, number: int) -> None:
        """As os.kill, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Process:
    """`runner WORDS` in a folder, in a session of its own."""
    mine, its = socket.socketpair()
    out, its_out = os.pipe()
    err, its_err = os.pipe()
    asked = json.dumps({"words": list(words), "folder": str(folder), "environment": dict(environment)})
    socket.send_fds(_server(), [asked.encode()], [its_out, its_err, its.fileno()])
    for pipe in (its_out, its_err):
        os.close(pipe)
    its.close()
    return Process(mine, out, err)


@cache
def _server() -> socket.socket:
    """The process that forks, started when it is first needed; it ends when this one does."""
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, __file__, str(its.fileno())]
    process = subprocess.Popen(command, pass_fds=[its.fileno()], start_new_session=True)
    its.close()

    def end() -> None:
        mine.close()
        process.wait()

    atexit.register(end)
    return mine


# ---- the process that forks ------------------------------------------------------------------------------------------


def serve(channel: socket.socket) -> list[str]:
    """Fork for each command that comes. Returns its words in the child, and never in the parent."""
    running: dict[int, tuple[int, int]] = {}
    """By pidfd: pid, and where its status goes."""
    while True:
        ready, _, _ = select.select([channel.fileno(), *running], [], [])
        for pidfd in running.keys() & set(ready):
            pid, status = running.pop(pidfd)
            _, waited = os.waitpid(pid, 0)
            _tell(status, os.waitstatus_to_exitcode(waited))
            os.close(status)
            os.close(pidfd)
        if channel.fileno() not in ready:
            continue
        message, pipes, _, _ = socket.recv_fds(channel, 2**20, 3)
        if not message:
            os._exit(0)
        out, err, status = pipes
        pid = os.fork()
        if pid == 0:
            channel.detach()
            return _become(out, err, **json.loads(message))
        os.close(out)
        os.close(err)
        _tell(status, pid)
        running[os.pidfd_open(pid)] = pid, status


def _tell(status: int, number: int) -> None:
    with suppress(BrokenPipeError):  # nobody waits for it
        os.write(status, f"{number}\n".encode())


def _become(out: int, err: int, words: list[str], folder: str, environment: dict[str, str]) -> list[str]:
    """Be the process that was asked for, as far as its start decides; its words."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for pipe, number in ((nothing, 0), (out, 1), (err, 2)):
        os.dup2(pipe, number)
    os.closerange(3, 1024)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    random.seed()
    sys.path[0] = folder
    sys.path[1:1] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    return words


if __name__ == "__main__":
    for name in MODULES:
        import_module(name)
    from runner.providers.translation import prepare

    prepare()
    gc.collect()
    gc.freeze()
    sys.argv[1:] = serve(socket.socket(fileno=int(sys.argv[1])))
    sys.exit(sys.modules["runner.cli.main"].main())
