"""How much of one model its account takes in at once: what its batches hold, and what waits until it takes more."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from runner.dispatch.batch.polling import Left

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from runner.dispatch.batch.polling import Waiting
    from runner.ledger.batch_records import BatchItem, BatchRecord
    from runner.records import Batch, Limits

BYTES_A_TOKEN = 3
"""English has four bytes a token or more, Japanese about three: what is counted so errs high."""


def most_bytes(limits: Limits) -> int | None:
    """What a model's unfinished batches may hold, as far as its file says."""
    return None if limits.enqueued_tokens is None else limits.enqueued_tokens * BYTES_A_TOKEN


@dataclass(slots=True, kw_only=True)
class EnqueuedCapacity:
    """One model's batches at its account. What was refused because they hold too much waits here for its turn.

    Whenever a batch is taken or has ended, one of those that wait tries again, for all of them. Where nothing runs that
    could free capacity, smaller batches are tried, and a single request time and again.
    """

    most_bytes: int | None
    """None: unknown. Then only the provider's refusals tell."""
    settings: Batch
    pauses: Waiting
    again: Callable[[BatchRecord, Sequence[BatchItem]], Awaitable[None]]
    """Sends items of a refused batch in a new one."""
    refuse: Callable[[BatchItem], None]
    """Told of each item that this run does not send again."""
    begin: Callable[[Coroutine[Any, Any, None]], object]
    """Runs something beside."""
    held: dict[str, int] = field(default_factory=dict)
    """Bytes of each batch that was sent, or is about to be, by its id."""
    running: int = 0
    """Batches that may free capacity: being sent, or followed."""
    left: bool = False
    """Whether batches were left running, for which nobody waits."""
    _queue: deque[tuple[BatchRecord, Sequence[BatchItem]]] = field(default_factory=deque)

    def has(self, n_bytes: int) -> bool:
        """Whether so much fits in now. What is alone always does: the provider decides."""
        return self.most_bytes is None or not self.held or sum(self.held.values()) + n_bytes <= self.most_bytes

    def bound(self, n_bytes: int) -> int:
        """Most bytes of one batch, of which its API takes `n_bytes`."""
        return n_bytes if self.most_bytes is None else min(n_bytes, self.most_bytes)

    def go_on(self) -> None:
        """A batch was taken, or has ended."""
        if self._queue:
            self.begin(self._next())

    def gone(self) -> None:
        """Nothing more becomes of a batch that was counted as running."""
        self.running -= 1
        if not self.running:
            self.go_on()

    async def later(self, entry: BatchRecord, items: Sequence[BatchItem]) -> None:
        """Items of a batch that was refused because the account holds too much, which still counts as running."""
        if not items:
            return
        self._queue.appendleft((entry, items))
        self.running -= 1  # it holds none
        if not self.settings.wait and (self.left or len(items) == 1):
            self.give_up()
        elif not self.running:
            await self._next(alone=True)
        self.running += 1

    async def _next(self, *, alone: bool = False) -> None:
        if not self._queue:
            return
        self.running += 1
        entry, items = self._queue.popleft()
        if alone and len(items) > 1:
            middle = (len(items) + 1) // 2
            self._queue.appendleft((entry, items[middle:]))
            items = items[:middle]
        elif alone:
            with suppress(Left):
                await self.pauses.pause(self.settings.max_poll_s)
            items = [replace(items[0], attempt=items[0].attempt + 1)]
        await self.again(entry, items)
        self.running -= 1

    def give_up(self) -> None:
        """What waits is not sent by this run."""
        while self._queue:
            for item in self._queue.popleft()[1]:
                self.refuse(item)
