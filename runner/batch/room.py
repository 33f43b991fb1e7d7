"""How much of one model its account takes in at once: what its batches hold, and what waits until there is room."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.batch.entry import Booked, Entry
    from runner.records import Limits

BYTES_A_TOKEN = 3
"""English has four bytes a token or more, Japanese about three: what is counted so errs high."""


@dataclass(slots=True)
class Room:
    """What one model's unfinished batches hold together, as far as this run knows of them."""

    most_bytes: int | None
    """None: unknown. Then only the provider's refusals tell."""
    held: dict[str, int] = field(default_factory=dict)
    """Bytes of each batch that was sent, or is about to be, by its id."""
    waiting: deque[tuple[Entry, Sequence[Booked]]] = field(default_factory=deque)
    """Batches that were refused because there was none, and those of their items that are to be sent again."""

    @classmethod
    def of(cls, limits: Limits) -> Room:
        """As much as a model's file says."""
        return cls(None if limits.enqueued_tokens is None else limits.enqueued_tokens * BYTES_A_TOKEN)

    def has(self, n_bytes: int) -> bool:
        """Whether so much fits in now. What is alone always does: the provider decides."""
        return self.most_bytes is None or not self.held or sum(self.held.values()) + n_bytes <= self.most_bytes

    def bound(self, n_bytes: int) -> int:
        """Most bytes of one batch, of which its API takes `n_bytes`."""
        return n_bytes if self.most_bytes is None else min(n_bytes, self.most_bytes)

    def empty(self) -> Iterator[Booked]:
        """Every item that waits, which then waits no longer."""
        while self.waiting:
            yield from self.waiting.popleft()[1]
