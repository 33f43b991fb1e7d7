"""Which requests go into one batch, and the file that holds its lines: on disk as they come, never in memory."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from runner.dispatch.batch.leftovers import items_part
from runner.errors import LedgerError
from runner.ledger.batch_records import item_id, items_path
from runner.providers.batch.lines import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from runner.ledger.batch_records import BatchItem
    from runner.providers.batch.api import BatchLimits
    from runner.records import Batch


def new_id() -> str:
    """A batch's id: a letter first, which some APIs insist on, and short enough with an item's number for any field."""
    return f"b{uuid.uuid4().hex[:20]}"


def most_items(settings: Batch, limits: BatchLimits) -> int:
    """Items that a batch may hold."""
    return limits.items if settings.size == "auto" else min(settings.size, limits.items)


@dataclass(slots=True)
class Pack:
    """A batch that is being filled, of one model."""

    folder: Path
    most_items: int
    most_bytes: int
    id: str = field(default_factory=new_id)
    items: list[tuple[str, int]] = field(default_factory=list)
    """Key and attempt of each item, in order."""
    n_bytes: int = 0
    _file: BinaryIO | None = None

    @property
    def next_id(self) -> str:
        """The id under which the next item goes in."""
        return item_id(self.id, len(self.items))

    def takes(self, line: bytes) -> bool:
        """Whether a line still fits. An empty pack takes any: alone it is refused by the provider, in its words."""
        if not self.items:
            return True
        return len(self.items) < self.most_items and self.n_bytes + len(line) + 1 <= self.most_bytes

    def add(self, key: str, attempt: int, line: bytes) -> None:
        """Put an item in, whose line was made with `next_id`."""
        with on_disk(self._beside):
            if self._file is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._file = self._beside.open("wb")
            self._file.write(line + b"\n")
        self.items.append((key, attempt))
        self.n_bytes += len(line) + 1

    def seal(self) -> None:
        """Bring the lines to disk for good."""
        if self._file is None:
            return
        with on_disk(self._beside):
            sync(self._file)
            self._file.close()
            self._file = None

    def name(self) -> None:
        """Give the file its name, once the store knows the batch."""
        with on_disk(self._beside):
            replace(self._beside, items_path(self.folder, self.id))

    def discard(self) -> None:
        """Forget it: it will not be sent."""
        if self._file is not None:
            with suppress(OSError):  # what is still to be written may find no room
                self._file.close()
            self._file = None
        with suppress(OSError):
            self._beside.unlink(missing_ok=True)

    @property
    def _beside(self) -> Path:
        return items_part(self.folder, self.id)


def repack(
    new: Callable[[], Pack], folder: Path, batch: str, items: Sequence[BatchItem]
) -> tuple[list[Pack], list[BatchItem]]:
    """Packs of items of a batch that was sent, from the lines on disk; and those of which no whole line is left.

    Each pack keeps to the bounds that `new` gives it, which may be closer now. LedgerError where one cannot be written.
    """
    by_place, packs = {item.n: item for item in items}, [new()]
    try:
        for n, line in lines_of(folder, batch, by_place):
            if _is_of(line, item_id(batch, n)):
                item = by_place.pop(n)
                if not packs[-1].takes(line):
                    packs.append(new())
                packs[-1].add(item.key, item.attempt, renamed(line, item_id(batch, n), packs[-1].next_id))
    except LedgerError:
        for pack in packs:
            pack.discard()
        raise
    except OSError:
        pass  # what was read is whole; the rest is told
    return packs, list(by_place.values())


def _is_of(line: bytes, name: str) -> bool:
    """Whether a line is one that was made for an item: torn or mixed up, it would fail its whole batch."""
    return b'"%s"' % name.encode() in line and parse(line) is not None


def lines_of(folder: Path, batch: str, places: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """Place and line of those items of a sent batch, in their order. OSError where its file is gone."""
    wanted = set(places)
    with items_path(folder, batch).open("rb") as file:
        for n, line in enumerate(file):
            if n in wanted:
                yield n, line.rstrip(b"\n")


def renamed(line: bytes, was: str, now: str) -> bytes:
    """An item's line under another id; see batch_api.BatchApi.line. Ids are too random to occur in a body."""
    return line.replace(was.encode(), now.encode())


@contextmanager
def on_disk(path: Path) -> Iterator[None]:
    """Around what writes a batch's files: LedgerError where that cannot be done."""
    try:
        yield
    except OSError as error:
        message = f"{path}: a batch's lines cannot be kept: {error.strerror or error}"
        raise LedgerError(message, advice="run the same command again when there is room for them") from error


def sync(file: BinaryIO) -> None:
    """Return when what was written survives a power cut."""
    file.flush()
    os.fsync(file.fileno())


def replace(part: Path, path: Path) -> None:
    """Give a finished file its name, durably where the system lets a folder be synchronised."""
    part.replace(path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
