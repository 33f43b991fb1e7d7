"""What asks is called from anywhere: where an event loop runs, as in a notebook, and from any thread."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from commandline import configs, newest, wait_for
from loopback import Provider, Turn

import runner
from runner import event_loop
from runner.cli.main import main
from runner.cli.session import Session
from runner.plan.job import Job
from runner.providers.listing import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

QUICK = ("report=false", "tracking.enabled=false")
ASKED = ("model=[mini]", "persona=[poet,robot]", *QUICK)
# In one process Hydra leaves its log files to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the test, with models in `mine` that answer on loopback."""
    monkeypatch.chdir(tmp_path)
    configs(tmp_path, provider)
    return tmp_path


def by_api(_: Path) -> None:
    assert runner.run(runner.compose(*ASKED, config_dir="mine")).facts["scored"] == 6


def by_session(folder: Path) -> None:
    experiment = runner.compose(*ASKED, config_dir="mine").experiment
    with Session("runner", loudness="quiet") as session:
        session.run([Job(0, experiment, folder / "here")])
        assert session.finish() == 0


def by_command(_: Path) -> None:
    assert main(["--config-dir=mine", *ASKED, "-q"]) == 0


def by_listing(_: Path) -> None:
    (model,) = runner.compose(*ASKED, config_dir="mine").experiment.models
    assert len(check([model])) == 1


def by_verbs(_: Path) -> None:
    by_command(_)
    for verb in ("status", "collect", "cancel"):
        assert main([verb, "--ledger", "sqlite:///outputs/ledger.db"]) == 0


CALLS = (by_api, by_session, by_command, by_listing, by_verbs)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_an_event_loop_may_run_already(call: Callable[[Path], None], folder: Path) -> None:
    """Runs, sessions, listings and batches are asked for as ever where a coroutine calls them."""

    async def notebook() -> None:
        call(folder)

    asyncio.run(notebook())


def test_the_command_line_leaves_the_environment_as_it_was(folder: Path) -> None:
    """A sweep that is called from Python changes no variable for what its caller starts later."""
    before = dict(os.environ)
    assert main(["-m", "--config-dir=mine", *ASKED, "sampling.temperature=0,1", "-q"]) == 0
    changed = {name for name in {*before, *os.environ} if before.get(name) != os.environ.get(name)}
    assert "PYTHONSAFEPATH" not in changed
    assert newest(folder)


def test_threads_run_side_by_side(folder: Path, provider: Provider) -> None:
    """Runs in several threads at once keep to their own folders, and leave the signals alone."""
    before = signal.getsignal(signal.SIGINT)
    some = [runner.compose(*ASKED, f"sampling.seed={seed}", config_dir="mine") for seed in range(3)]
    with ThreadPoolExecutor() as pool:
        runs = [*pool.map(runner.run, some)]
    assert len({run.folder for run in runs}) == 3
    assert [run.facts["scored"] for run in runs] == [6, 6, 6]
    assert provider.count in (6, 18)  # a model that takes no seed is asked once
    assert signal.getsignal(signal.SIGINT) == before
    assert len([*(folder / "outputs").glob("*/*/run.json")]) == 3


INTERRUPTED = """
import asyncio, signal, sys
import runner

words = ("model=[mini]", "sampling.trials=20", "report=false", "tracking.enabled=false")
experiment = runner.compose(*words, config_dir="mine")

async def notebook():
    before = signal.getsignal(signal.SIGINT)
    try:
        runner.run(experiment)
    except KeyboardInterrupt as error:
        print("interrupted:", error, signal.getsignal(signal.SIGINT) is before)

if sys.argv[1] == "loop":
    asyncio.run(notebook())
else:
    try:
        notebook().send(None)
    except StopIteration:
        pass
print("the kernel lives")
"""


@pytest.mark.parametrize("where", ["loop", "script"])
def test_an_interrupt_keeps_what_was_answered(where: str, folder: Path, provider: Provider) -> None:
    """Ctrl-C ends a run of a cell or script, not its process; what was answered is in the run's folder and kept."""
    provider.answer = lambda _: Turn(delay_s=0.2)
    command = [sys.executable, "-c", INTERRUPTED, where]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: provider.count >= 6 or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert out.startswith("interrupted: what was answered is kept"), err
    assert out.splitlines()[0].endswith("True")
    assert "the kernel lives" in out
    run = runner.open_run(newest(folder, "run.json"))
    assert run.status == "KILLED"
    assert 0 < run.facts["scored"] < 240
    assert run.facts["scored"] == provider.count  # what was in flight has been waited for
    sent = provider.count
    provider.answer = lambda _: Turn()
    words = ("model=[mini]", "sampling.trials=20", *QUICK)
    again = runner.run(runner.compose(*words, config_dir="mine"))
    assert again.status == "FINISHED"
    assert provider.count - sent == again.facts["trials"] - run.facts["scored"]


@dataclass(frozen=True)
class Case:
    """A coroutine's end, and what the caller is given."""

    name: str
    error: type[BaseException] | None


@pytest.mark.parametrize(
    "case", [Case("value", None), Case("error", ValueError), Case("cancelled", asyncio.CancelledError)]
)
def test_a_coroutine_beside_a_loop_ends_as_by_itself(case: Case) -> None:
    """Its value or its error is the caller's, as from asyncio.run; its thread has ended by then."""

    async def inner() -> int:
        await asyncio.sleep(0)
        if case.error is not None:
            raise case.error
        return 7

    async def outer() -> int:
        return event_loop.run(inner())

    if case.error is None:
        assert event_loop.run(inner()) == asyncio.run(outer()) == 7
    else:
        with pytest.raises(case.error):
            event_loop.run(inner())
        with pytest.raises(case.error):
            asyncio.run(outer())
    assert not [thread for thread in threading.enumerate() if thread.name == "event loop"]


def test_an_interrupt_beside_a_loop_cancels() -> None:
    """A KeyboardInterrupt that nobody else handles ends the coroutine, and is raised once that has cleaned up."""
    ended: list[float] = []

    async def inner() -> None:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(time.monotonic())

    async def outer() -> None:
        with pytest.raises(KeyboardInterrupt):
            event_loop.run(inner())
        ended.append(time.monotonic())

    loop = asyncio.new_event_loop()  # asyncio.run would take the signal for itself
    try:
        loop.run_until_complete(outer())
    finally:
        loop.close()
    assert len(ended) == 2
    assert ended == sorted(ended)


IPYTHON = '''
"""As much of IPython as a kernel's process has, on paper."""
import json, types

class Handle:
    def update(self, data, raw): print(json.dumps(data))

def show(data, raw, display_id):
    assert raw and display_id
    print(json.dumps(data))
    return Handle()

display = types.SimpleNamespace(display=show)
def get_ipython(): return types.SimpleNamespace(kernel=True)
'''
CELL = """
import asyncio, sys
import IPython, runner

async def cell():
    words = ("model=[mini]", "persona=[poet]", "report=false", "tracking.enabled=false")
    runner.run(runner.compose(*words, config_dir="mine"))

asyncio.run(cell())
"""


def test_a_notebook_shows_progress_in_its_cell(folder: Path, provider: Provider) -> None:
    """Where a kernel runs the process, one output of the cell is drawn again and again, and ends whole."""
    (folder / "IPython.py").write_text(IPYTHON, encoding="utf-8")
    provider.answer = lambda _: Turn(delay_s=0.6)
    command = [sys.executable, "-c", CELL]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    drawn = [json.loads(line) for line in done.stdout.splitlines()]
    assert drawn[0] == {"text/plain": "", "text/html": ""}
    assert len(drawn) >= 3
    assert '<progress value="3" max="3"' in drawn[-1]["text/html"]
    assert drawn[-1]["text/plain"].startswith("3 of 3 done")
    assert done.stderr == ""
