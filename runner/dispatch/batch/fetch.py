"""A batch's results as they stream in: each line to disk as received, each answer to the ledger, then its ending.

Nothing is matched by order, and nothing is held that grows with the bodies.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, assert_never

from runner.dispatch.batch.packing import on_disk, replace, sync
from runner.ledger.batch_records import ItemEnding, place_of, results_path
from runner.plan.trials import endpoint_of
from runner.records import Answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from runner.dispatch.observer import Keep
    from runner.ledger.batch_records import BatchItem, BatchRecord, Ending
    from runner.ledger.batches import BatchStore
    from runner.providers.batch.api import Item, State

AT_A_TIME = 500
"""Items whose answers are made durable, and then written down as ended, together."""


@dataclass(slots=True, kw_only=True)
class Results:
    """One batch's results on their way in. `read` may be called again after a download that broke off."""

    entry: BatchRecord
    booked: Sequence[BatchItem]
    store: BatchStore
    ledger: Keep
    folder: Path
    answered: Callable[[str, Answer], str | None]
    """Told of each answer, with its key, once; the launch that counts it as bought."""
    told: Callable[[str], str]
    """What a provider says, as it is kept."""
    step: Callable[[str], None]
    now: float
    """Seconds since 1970."""
    strange: int = 0
    """Lines that bear no id of this batch, or cannot be read."""
    ended: bytearray = field(default_factory=bytearray)
    """For each item, whether its ending is known: 1 ended without an answer, 2 answered."""
    unsettled: dict[int, ItemEnding] = field(default_factory=dict)
    """Endings that are not in the store yet. They outlive a download that broke off: its answers are not told twice."""

    def __post_init__(self) -> None:
        self.ended = bytearray(self.entry.count)
        for item in self.booked:
            if item.ending not in (None, "lost"):
                self.ended[item.n] = 2 if item.ending == "succeeded" else 1

    async def read(self, items: AsyncIterator[Item]) -> None:
        """Take all lines. The file gets its name only when the last line is in."""
        self.strange = 0
        path = results_path(self.folder, self.entry.id)
        # Two models that differ in their limits alone may hold a batch together: each reads it for itself.
        part = path.with_name(f"{path.name}.{os.getpid()}.{id(self):x}.part")
        try:
            with on_disk(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                with part.open("wb") as file:
                    await self._take_all(items, file)
                    await asyncio.to_thread(sync, file)
                replace(part, path)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def rest(self, state: State, kind: str, message: str) -> list[ItemEnding]:
        """The endings that the store lacks once no more lines can be had, those of silent items among them."""
        ending, words = self._of_silent(state, message)
        silent = (ItemEnding(n, ending, kind, words) for n, known in enumerate(self.ended) if not known)
        return [*self.unsettled.values(), *silent]

    def _of_silent(self, state: State, message: str) -> tuple[Ending, str]:
        match state:
            case "failed":
                return "dropped", message
            case "expired":
                return "expired", message or "the batch expired before this request was run"
            case "cancelled":
                return "cancelled", message or "the batch was cancelled before this request was run"
            case "ended" | "running":
                if self.strange:
                    return "malformed", f"its line may be one of {self.strange} in the results that cannot be read"
                return "missing", "the results hold no line for this request"
            case _:
                assert_never(state)

    async def _take_all(self, items: AsyncIterator[Item], file: BinaryIO) -> None:
        async for item in items:
            file.write(item.line + b"\n")
            found = self._take(item)
            if found is not None:
                self.unsettled[found.n] = found
            if len(self.unsettled) >= AT_A_TIME:
                await self._settle()
            self.step("line")
        await self._settle()

    def _take(self, item: Item) -> ItemEnding | None:
        """An item's ending, if it is news: a second line counts only where it brings the answer."""
        n = place_of(self.entry.id, self.entry.count, item.id)
        if n is None:
            self.strange += 1
            return None
        succeeded = item.ending == "succeeded" and item.raw is not None
        if self.ended[n] >= 1 + succeeded:
            return None
        if succeeded and item.raw is not None:
            self.ended[n] = 2
            return ItemEnding(n, "succeeded", buyer=self._keep(n, item.raw))
        self.ended[n] = 1
        if item.ending == "succeeded" or item.kind == "malformed":
            return ItemEnding(n, "malformed", "malformed", self.told(item.message) or "the line holds no reply")
        return ItemEnding(n, item.ending, item.kind, self.told(item.message))

    def _keep(self, n: int, raw: bytes) -> str | None:
        booked, model = self.booked[n], self.entry.model
        answer = Answer(
            key=booked.key,
            raw=raw,
            route="batch",
            model_id=model.id,
            endpoint=endpoint_of(model),
            attempts=booked.attempt,
            latency_s=max(0.0, self.now - self.entry.created),
            time=datetime.fromtimestamp(self.now, UTC).isoformat(timespec="milliseconds"),
        )
        self.ledger.put(answer)
        return self.answered(booked.key, answer)

    async def _settle(self) -> None:
        """Answers first, so that an item never counts as answered whose answer is not durable."""
        if not self.unsettled:
            return
        await asyncio.to_thread(self.ledger.flush)
        self.step("kept")
        await asyncio.to_thread(self.store.change, self.entry.id, settled=list(self.unsettled.values()))
        self.unsettled.clear()
