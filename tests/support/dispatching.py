"""Requests to models on loopback through live dispatch, and an observer that keeps what it is told."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.dispatch import live
from runner.dispatch.observer import Stop
from runner.plan.trials import endpoint_of, key_of
from runner.records import Adapted, Cell, Limits, Model, Persona, Request, Sampling, Text, Trial

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.records import Answer, Failure

PERSONA = Persona("p", {"*": "someone"})
QUICK = Limits(concurrency=4, attempts=5, total_s=30)


def model(base: str, name: str = "m", limits: Limits = QUICK, key_env: str | None = None) -> Model:
    return Model(name=name, id=name, provider="openai", vendor="test", api_base=base, limits=limits, key_env=key_env)


def trials(of: Model, count: int, first: int = 0) -> Iterator[Trial]:
    """As many different requests to one model."""
    cell = Cell(f"{of.name}/p", of, PERSONA, Sampling())
    for number in range(first, first + count):
        request = Request(of.id, ({"role": "user", "content": f"text {number}"},), {"max_tokens": 10})
        key = key_of(request, endpoint_of(of), 1)
        yield Trial(cell, Text(f"t{number}", f"text {number}"), 1, Adapted(request, "prompt", {}, {}), key)


@dataclass
class Watching:
    """An observer that keeps all that it is told."""

    order: list[str] = field(default_factory=list)
    """The model of each attempt that left."""
    answers: list[Answer] = field(default_factory=list)
    waits: list[tuple[str, str, float]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    stop: Stop = field(default_factory=Stop)
    stop_after: int | None = None

    def planned(self, model: Model, count: int) -> None:
        """Not called by dispatch."""

    def sent(self, trial: Trial) -> None:
        """An attempt leaves."""
        self.order.append(trial.cell.model.name)

    def put(self, answer: Answer) -> Future[None]:
        """Kept here, as a ledger would."""
        return self.store([answer])

    def store(self, answers: Sequence[Answer]) -> Future[None]:
        """The same of several."""
        self.answers.extend(answers)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def flush(self) -> None:
        """Everything is kept at once."""

    def batch(self, entry: object) -> None:
        """There are no batches here."""

    def notice(self, line: str) -> None:
        """Nobody reads it."""

    def answered(self, trial: Trial, answer: Answer) -> None:
        """Kept already."""

    def failed(self, trial: Trial, failure: Failure) -> None:
        """Returned by dispatch as well."""

    def waiting(self, model: Model, kind: str, wait_s: float, reason: str = "") -> None:
        """Another attempt follows."""
        self.reasons.append(reason)
        self.waits.append((model.name, kind, wait_s))
        if self.stop_after is not None and len(self.waits) >= self.stop_after:
            self.stop.asked = True


def dispatch(seen: Watching, *lanes: tuple[Model, int]) -> dict[str, Failure]:
    async def run() -> dict[str, Failure]:
        queues = [(of, trials(of, count)) for of, count in lanes]
        return await live.dispatch(queues, seen, seen, seen.stop)

    with asyncio.Runner(loop_factory=live.new_loop) as runner:
        return runner.run(run())


def kinds(failures: dict[str, Failure]) -> list[str]:
    return [failure.problem.kind for failure in failures.values()]
