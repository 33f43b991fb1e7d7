"""What a run loses when it, or what it stands on, ends at a bad moment: never more than what is in flight.

Counted at the provider: a request that it received and whose answer the ledger lacks is bought again.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from commandline import UNTRACKED, came_to, configs, ended, runner, start, wait_for
from loopback import Provider, Turn, scores

if TYPE_CHECKING:
    from pathlib import Path

    from commandline import Started

TEXTS = 4 * 3
"""Of the personas and texts that are there by default: requests of one repetition."""


def late(_body: dict[str, Any], delay_s: float = 0.03) -> Turn:
    return Turn(delay_s=delay_s)


def words(folder: Path, provider: Provider, in_flight: int, requests: int) -> tuple[str, ...]:
    concurrency = f"model.mini.limits.concurrency={in_flight}"
    return configs(folder, provider), "model=mini", concurrency, f"sampling.trials={requests // TEXTS}", UNTRACKED


def kept(folder: Path) -> int:
    """Answers in the ledger of a folder."""
    return kept_in(folder / "outputs" / "ledger.db")


def kept_in(ledger: Path) -> int:
    with closing(sqlite3.connect(ledger, timeout=30)) as database:
        count: int = database.execute("select count(*) from ledger_answer").fetchone()[0]
    return count


def killed(process: Started) -> None:
    os.kill(process.pid, signal.SIGKILL)


def quit_by_the_terminal(process: Started) -> None:
    os.kill(process.pid, signal.SIGQUIT)


def interrupted_twice(process: Started) -> None:
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.005)
    os.kill(process.pid, signal.SIGINT)


TRIALS = 9_600
"""More than a busy machine can send before a run that is to end has ended."""


@dataclass(frozen=True)
class Case:
    """How a run ends early, and how many requests it has in flight then."""

    how: Any
    in_flight: int


@pytest.mark.parametrize(
    "case",
    [
        Case(killed, 10),
        Case(killed, 40),
        Case(killed, 200),
        Case(quit_by_the_terminal, 40),
        Case(interrupted_twice, 40),
    ],
    ids=lambda case: f"{case.how.__name__}-{case.in_flight}",
)
def test_an_early_end_costs_no_more_than_what_is_in_flight(tmp_path: Path, case: Case) -> None:
    """Killed, quit or interrupted twice, a run loses at most one request for each place that it has."""
    with Provider(answer=late) as provider:
        asked = words(tmp_path, provider, case.in_flight, TRIALS)
        process = start(tmp_path, *asked)
        wait_for(partial(came_to, provider, case.in_flight * 4, process))
        case.how(process)
        process.communicate(timeout=60)
        sent = provider.count
        assert case.in_flight * 4 <= sent < TRIALS
        assert sent - kept(tmp_path) <= case.in_flight


def test_a_locked_ledger_is_waited_for_and_nothing_is_sent_meanwhile(tmp_path: Path) -> None:
    """While another program writes in the ledger no more is sent than is in flight, and in the end nothing is lost."""
    in_flight, requests = 20, 240
    with Provider(answer=late) as provider:
        process = start(tmp_path, *words(tmp_path, provider, in_flight, requests))
        wait_for(partial(came_to, provider, 60, process))
        with closing(sqlite3.connect(tmp_path / "outputs" / "ledger.db", timeout=30, isolation_level=None)) as other:
            other.execute("begin immediate")
            before = kept(tmp_path)
            time.sleep(2.5)
            assert provider.count - before <= in_flight
            assert provider.in_flight == 0
            other.execute("rollback")
        said = ended(process).stdout
    assert f"{requests} of {requests} scored" in said
    assert "another program has locked the ledger" in said
    assert "the ledger takes answers again" in said
    assert provider.count == requests


@pytest.mark.skipif(sys.platform != "linux", reason="another process's limits are set on Linux alone")
def test_a_full_disk_costs_no_more_than_what_is_in_flight(tmp_path: Path) -> None:
    """Where no more can be written the run stops with the reason, and loses at most what is in flight."""
    in_flight, requests = 40, 600
    with Provider(answer=late) as provider:
        asked = words(tmp_path, provider, in_flight, requests)
        process = start(tmp_path, *asked)
        wait_for(partial(came_to, provider, 160, process))
        size = max(path.stat().st_size for path in (tmp_path / "outputs").glob("ledger.db*"))
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, size))
        out = ended(process, status=1)
        sent = provider.count
        assert sent < requests
        assert sent - kept(tmp_path) <= in_flight
        assert "ledger.db" in out.stderr
        assert "Traceback" not in out.stderr
        runner(tmp_path, *asked)
        assert provider.count - requests <= in_flight


SMALL = """
mount -t tmpfs -o size=1m tmpfs "$1" && cd "$1" && shift || exit 77
"$@"
status=$?
cp -r outputs "$OUT"
exit $status
"""
"""A shell script that runs a command in a folder on a disk of 1 MB, and copies what it wrote to $OUT."""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="no program here gives a process a disk of its own")
def test_a_disk_that_fills_up_costs_nothing(tmp_path: Path) -> None:
    """On a real disk that fills up the run stops, what is in hand goes elsewhere, and merged it is not bought again."""
    in_flight, requests = 20, 240
    small, passing = tmp_path / "small", tmp_path / "passing"
    for folder in (small, passing):
        folder.mkdir()
    reply = Turn(content=scores(reason="because " * 1_000), delay_s=0.01)
    with Provider(answer=lambda _: reply) as provider:
        asked = words(tmp_path, provider, in_flight, requests)
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-c", SMALL, "sh", small, sys.executable, "-m", "runner", *asked],
            env={**os.environ, "TMPDIR": str(passing), "OUT": str(tmp_path / "outputs")},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode in {1, 77} and "error:" not in done.stderr:
            pytest.skip(f"no disk of its own can be had here: {done.stderr}")
        assert done.returncode == 1, done.stderr
        assert "has no room: the disk is full" in done.stderr
        sent = provider.count
        assert in_flight <= sent < requests
        (rescued,) = passing.glob("*/ledger.rescued-*.db")
        assert kept(tmp_path) + kept_in(rescued) == sent
        assert f"try:   runner ledger merge {rescued} --ledger sqlite:///outputs/ledger.db" in done.stderr
        runner(tmp_path, "ledger", "merge", str(rescued), "--ledger", "sqlite:///outputs/ledger.db")
        runner(tmp_path, *asked)
        assert provider.count == requests
