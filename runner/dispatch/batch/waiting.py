"""Waiting for batches, and the three ways in which a wait ends early."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.dispatch.observer import Stop
    from runner.records import Problem


class Left(Exception):  # noqa: N818  it ends a wait, and is no error
    """The batch goes on without us: nobody waits any longer. It may say why nothing is known of it."""


class Unreachable(Exception):  # noqa: N818  as Left
    """The batch cannot be followed for now; `problem` says why. It stays as it is in the store."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Unsure(Exception):  # noqa: N818  as Left
    """Whether the provider has the batch is not known."""


class Waiting:
    """Pauses that end when the run is to stop. `watch` looks for that, since a signal's handler only sets a flag."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._event = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether nothing more is to be begun."""
        return self._stop.asked

    async def watch(self) -> None:
        """Until the run is to stop."""
        while not self._stop.asked:  # noqa: ASYNC110  a signal's handler can set nothing but a flag
            await asyncio.sleep(0.05)
        self._event.set()

    async def pause(self, wait_s: float) -> None:
        """Wait so long; Left at once when the run is to stop."""
        if self.over:
            raise Left
        try:
            await asyncio.wait_for(self._event.wait(), wait_s)
        except TimeoutError:
            return
        raise Left
