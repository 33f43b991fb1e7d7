"""The study's own check of what was collected: a line for each vendor, in its columns.

files: replies' files, or lines of a table, that name the vendor, read or not. valid: those with a score for every
question. metadata: with time, model, persona, text and trial. in_scale: without a score outside its scale. reasons:
with a reason for every question. intact: decoded without a replacement character. All but `files` count files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.records import Row

_LOST = "\ufffd"
"""What a decoder writes in the place of bytes that it cannot read."""


@dataclass(slots=True)
class VendorCheck:
    """What was found of one vendor."""

    vendor: str
    files: int = 0
    valid: int = 0
    metadata: int = 0
    in_scale: int = 0
    reasons: int = 0
    intact: int = 0


def by_vendor(rows: Iterable[Row], unread: Iterable[str]) -> list[VendorCheck]:
    """A line a vendor, by name. `unread` names the vendor of each file that became no row."""
    found: dict[str, VendorCheck] = {}
    for row in rows:
        line = found.setdefault(row.vendor, VendorCheck(row.vendor))
        line.files += 1
        line.valid += row.outcome == "scored"
        line.metadata += bool(row.time and row.model_id and row.persona and row.text)
        line.in_scale += row.problem is None or row.problem.kind != "out_of_range"
        line.reasons += bool(row.reasons) and all((reason or "").strip() for reason in row.reasons.values())
        line.intact += not any(_LOST in (said or "") for said in (row.reply, row.persona, *row.reasons.values()))
    for vendor in unread:
        found.setdefault(vendor, VendorCheck(vendor)).files += 1
    return [found[vendor] for vendor in sorted(found)]
