"""kill -9 after every step of a batch's life, at every API: the next run ends with every answer, each bought once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from batching import APIS, bench, model_of, trials_of

from runner.simulator import FaultPlan, SimulatorThread

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks processes in order to kill them")

COUNT = 5
SIZE = 3
KILLED = -9


@dataclass
class Crasher:
    """The process that forks others; see batch_crasher."""

    _process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        root = Path(__file__).parents[2]
        support = root / "tests" / "support"
        self._process = subprocess.Popen(
            [sys.executable, str(support / "batch_crasher.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{support}"},
        )
        assert self._line() == "ready"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        assert self._process is not None
        self._process.communicate(timeout=20)

    def _line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def run(self, **order: Any) -> int:
        """Carry out an order; the exit status of the process that did, negative where a signal ended it."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._line())


@pytest.fixture(scope="module")
def crasher() -> Iterator[Crasher]:
    with Crasher() as made:
        yield made


@dataclass(frozen=True)
class Kill:
    """The process dies when it takes `step` for the nth time."""

    step: str
    meaning: str
    nth: int = 1
    plan: Mapping[str, Any] = field(default_factory=dict)


KILLS = (
    Kill("drafted", "in the book and not sent"),
    Kill("unanswered", "taken by the provider, the connection cut", plan={"drop_create": 0.01}),
    Kill("sent", "the id is in the book"),
    Kill("polled", "waiting", plan={"batch_s": 0.5}),
    Kill("line", "half-way through the download", nth=2),
    Kill("fetched", "all is fetched, the batch not told apart"),
    Kill("collected", "before clean-up"),
    Kill("cleaned", "cleaned up, which the book does not know"),
)
FURTHER = (
    Kill("packed", "items are on disk, the book knows nothing"),
    Kill("sending", "about to be sent"),
    Kill("sending", "the second is about to be sent", nth=2),
    Kill("accepted", "taken by the provider, its id not in the book"),
    Kill("ended", "the provider is done, nothing is fetched"),
    Kill("kept", "answers are durable, their endings are not in the book"),
)
"""Steps at which nothing depends on the API."""
MATRIX = [pytest.param(name, kill, id=f"{name}-{kill.step}") for name in APIS for kill in KILLS]
MATRIX += [pytest.param("openai", kill, id=f"openai-{kill.step}-{kill.nth}") for kill in FURTHER]


@pytest.mark.parametrize(("name", "kill"), MATRIX)
def test_a_kill_costs_nothing(name: str, kill: Kill, crasher: Crasher, tmp_path: Path) -> None:
    """Whenever the process is killed, the re-run has every answer; no item is billed twice and nothing left over."""
    with SimulatorThread(FaultPlan(**{"batch_s": 0.06, **kill.plan})) as simulator:
        order = {"folder": str(tmp_path), "api": name, "base": simulator.base, "count": COUNT, "size": SIZE}
        assert crasher.run(**order, step=kill.step, nth=kill.nth) == KILLED, kill.meaning
        assert crasher.run(**order, step=None, nth=0) == 0
        count = simulator.count
    assert json.loads((tmp_path / "outcome.json").read_text(encoding="utf-8")) == {}
    assert sorted(count.bodies.values()) == [1] * COUNT
    with bench(tmp_path) as at:
        assert at.has(trials_of(model_of(name, simulator.base), COUNT)) == COUNT
        states = [entry.state for entry in at.entries()]
    assert set(states) <= {"closed", "unsent"}
    assert states.count("closed") == sum(count.batches.values())


def test_without_the_book_a_kill_would_cost(crasher: Crasher, tmp_path: Path) -> None:
    """The matrix can fail: with its book lost, a re-run buys again what had been sent."""
    with SimulatorThread(FaultPlan(batch_s=0.06)) as simulator:
        order = {"folder": str(tmp_path), "api": "openai", "base": simulator.base, "count": COUNT, "size": SIZE}
        assert crasher.run(**order, step="sent", nth=1) == KILLED
        for path in tmp_path.glob("ledger.db*"):
            path.unlink()
        assert crasher.run(**order, step=None, nth=0) == 0
        assert simulator.count.bought_again > 0
