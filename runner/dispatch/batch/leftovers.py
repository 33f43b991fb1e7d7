"""What crashes and refusals leave in the folder of batches: lines of batches that nobody took, and halves of files."""

from __future__ import annotations

import os
import re
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

from runner import process
from runner.ledger.batch_records import items_path

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from runner.ledger.batch_records import BatchRecord

OLD_S = 7 * 86_400.0
"""After so long what is half there, or of no batch that is known, is nobody's. Where it is somebody's after all, its
requests are made anew."""
_PART = re.compile(r"^(?P<batch>[a-z0-9]+)\..*?(?P<host>[0-9a-f]{8})-(?P<pid>[0-9]+)\..*part$")


def maker() -> str:
    """Who writes a file that is not whole yet, as a part of its name: machine and process."""
    return f"{_machine()}-{os.getpid()}"


def items_part(folder: Path, batch: str) -> Path:
    """The file of a batch's lines until the store knows the batch."""
    return folder / f"{batch}.{maker()}.in.part"


def results_part(path: Path, reader: object) -> Path:
    """A results' file while it is written: two models that differ in limits alone may each read a batch for itself."""
    return path.with_name(f"{path.name}.{maker()}.{id(reader):x}.part")


def unsent(entry: BatchRecord) -> bool:
    """Whether a batch's provider never took it."""
    return entry.state in ("unsent", "refused")


def tidy(folder: Path, entries: Iterable[BatchRecord], mine: str | None = None) -> None:
    """Delete what is of no use to anybody: lines of batches that were not taken, and what dead processes left.

    `entries` are all batches of the store. With `mine`, the id of a run that is over, what is unsent of it goes too;
    another's goes when it is old, since it may be about to go out in another batch.
    """
    known = {entry.id: entry for entry in entries}
    with suppress(OSError):
        for path in list(folder.iterdir()):
            with suppress(OSError):
                _tidied(folder, path, known, mine)


def _tidied(folder: Path, path: Path, known: dict[str, BatchRecord], mine: str | None) -> None:
    is_old = time.time() - path.stat().st_mtime > OLD_S
    if (part := _PART.match(path.name)) is not None:
        if _is_dead(part["host"], int(part["pid"])) or is_old:
            if path.name.endswith(".in.part") and part["batch"] in known:
                path.rename(items_path(folder, part["batch"]))  # a crash came between the store and the name
            else:
                path.unlink()
    elif path.name.endswith(".part"):  # of an earlier version
        if is_old:
            path.unlink()
    elif path.name.endswith(".in.jsonl"):
        entry = known.get(path.name.removesuffix(".in.jsonl"))
        is_mine = entry is not None and mine is not None and entry.run == mine
        if (entry is None and is_old) or (entry is not None and unsent(entry) and (is_mine or is_old)):
            path.unlink()


def _machine() -> str:
    return f"{zlib.crc32(process.host().encode()):08x}"


def _is_dead(machine: str, pid: int) -> bool:
    return machine == _machine() and process.has_ended(process.Process(process.host(), pid, ""))
