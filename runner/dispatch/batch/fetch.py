"""A batch's results as they stream in: each line to disk as received, each answer to the ledger, then its ending.

Nothing is matched by order, and nothing is held that grows with the bodies.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, assert_never

from runner.dispatch.batch.leftovers import results_part
from runner.dispatch.batch.packing import on_disk, replace, sync
from runner.ledger.batch_records import ItemEnding, place_of, results_path
from runner.plan.trials import endpoint_of
from runner.providers import identity
from runner.providers.batch.api import Item
from runner.providers.body import TOO_LARGE
from runner.records import Answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from runner.dispatch.observer import Keep
    from runner.ledger.batch_records import BatchItem, BatchRecord, Ending
    from runner.ledger.batches import BatchStore
    from runner.providers.batch.api import Standing, State

UNKNOWN, UNRUN, FAILED, ANSWERED = range(4)
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
    redacted: Callable[[bytes], bytes]
    """A line, or a reply in it, as it is kept: without the account's key."""
    step: Callable[[str], None]
    now: float
    """Seconds since 1970."""
    strange: int = 0
    """Lines that bear no id of this batch, or cannot be read."""
    ended: bytearray = field(default_factory=bytearray)
    """For each item, what is known of its ending: UNKNOWN, UNRUN, FAILED or ANSWERED."""
    unsettled: dict[int, ItemEnding] = field(default_factory=dict)
    """Endings that are not in the store yet. They outlive a download that broke off: its answers are not told twice."""

    best: int = 0
    """Most lines of this batch that a download held."""
    seen: int = 0
    """Those of the download that goes on."""

    def __post_init__(self) -> None:
        self.ended = bytearray(self.entry.count)
        for item in self.booked:
            self.ended[item.n] = _known(item.ending)
        self.best = sum(known != UNKNOWN for known in self.ended)

    def lacks(self, standing: Standing) -> int:
        """Lines that the provider must have and that were not read: of each item, where the batch ran to its end.

        Else as many as it counts as done; what was never run may have a line or none.
        """
        if standing.state == "ended":
            return sum(known == UNKNOWN for known in self.ended)
        return max(0, min(self.entry.count, standing.done) - sum(known >= FAILED for known in self.ended))

    async def read(self, items: AsyncIterator[Item]) -> None:
        """Take all lines. The file gets its name when the last line is in, unless an earlier download held more."""
        self.strange = self.seen = 0
        path = results_path(self.folder, self.entry.id)
        part = results_part(path, self)
        try:
            with on_disk(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                with part.open("wb") as file:
                    await self._take_all(items, file)
                    await asyncio.to_thread(sync, file)
                if self.seen >= self.best or not path.exists():
                    replace(part, path)
                self.best = max(self.best, self.seen)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def rest(self, state: State, kind: str, message: str) -> list[ItemEnding]:
        """The endings that the store lacks once no more lines can be had, those of silent items among them."""
        ending, words = self._of_silent(state, message)
        silent = (ItemEnding(n, ending, kind, words) for n, known in enumerate(self.ended) if not known)
        return [*self.unsettled.values(), *silent]

    def missing(self, message: str) -> list[ItemEnding]:
        """As `rest`, where the results that can be had are fewer than the provider counts."""
        ending: Ending = "malformed" if self.strange else "missing"
        words = f"{message} ({self.strange} lines cannot be read)" if self.strange else message
        silent = (ItemEnding(n, ending, ending, words) for n, known in enumerate(self.ended) if not known)
        return [*self.unsettled.values(), *silent]

    def _of_silent(self, state: State, message: str) -> tuple[Ending, str]:
        match state:
            case "failed":
                return "dropped", message
            case "expired":
                return "expired", message or "the batch expired before this request was run"
            case "cancelled":
                return "cancelled", message or "the batch was cancelled before this request was run"
            case "ended" | "running":  # one that ran to its end has a line for each
                return "missing", "the results hold no line for this request"
            case _:
                assert_never(state)

    async def _take_all(self, items: AsyncIterator[Item], file: BinaryIO) -> None:
        async for item in items:
            file.write(self.redacted(item.line) + b"\n")
            found = self._take(item)
            if found is not None:
                self.unsettled[found.n] = found
            if len(self.unsettled) >= AT_A_TIME:
                await self._settle()
            self.step("line")
        await self._settle()

    def _take(self, item: Item) -> ItemEnding | None:
        """An item's ending, if it is news: a second line counts only where it brings the answer."""
        n = place_of(self.entry.id, self.entry.count, item.id or self._spotted(item))
        if n is None:
            self.strange += 1
            return None
        self.seen += 1
        succeeded = item.ending == "succeeded" and item.raw is not None
        if item.raw is not None and (refused := identity.refusal_of(self.entry.model, item.raw)) is not None:
            item = Item(item.id, "failed", None, item.line, identity.OTHER_MODEL, refused)
            succeeded = False
        known = ANSWERED if succeeded else UNRUN if item.ending in ("expired", "cancelled") else FAILED
        if self.ended[n] >= known:
            return None
        self.ended[n] = known
        if succeeded and item.raw is not None:
            return ItemEnding(n, "succeeded", buyer=self._keep(n, item.raw))
        if item.ending == "succeeded" or item.kind == "malformed":
            return ItemEnding(n, "malformed", "malformed", self.told(item.message) or "the line holds no reply")
        return ItemEnding(n, item.ending, item.kind, self.told(item.message))

    def _spotted(self, item: Item) -> str:
        """The id in what is left of a line that is too long to be read."""
        if item.kind != TOO_LARGE:
            return ""
        found = re.search(rb'"(%b-[0-9]+)"' % re.escape(self.entry.id.encode()), item.line)
        return found[1].decode() if found else ""

    def _keep(self, n: int, raw: bytes) -> str | None:
        booked, model = self.booked[n], self.entry.model
        kept = self.redacted(raw)
        answer = Answer(
            key=booked.key,
            raw=kept,
            route="batch",
            model_id=model.id,
            endpoint=endpoint_of(model),
            attempts=booked.attempt,
            latency_s=max(0.0, self.now - self.entry.created),
            time=datetime.fromtimestamp(self.now, UTC).isoformat(timespec="milliseconds"),
            redacted=kept is not raw,
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


def _known(ending: Ending | None) -> int:
    """What an ending that is in the store says; of those that were given up more may come."""
    match ending:
        case None | "lost" | "missing" | "malformed":
            return UNKNOWN
        case "succeeded":
            return ANSWERED
        case "expired" | "cancelled":
            return UNRUN
        case "failed" | "retry" | "refused" | "dropped":
            return FAILED
        case _:
            assert_never(ending)
