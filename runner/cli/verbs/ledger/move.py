"""`runner ledger merge`, `export` and `vacuum`: answers between ledgers and files, and room on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.output import quoted, say
from runner.cli.verbs.ledger.look import size
from runner.ledger.upkeep.contents import opened
from runner.reporting.formatting import many

if TYPE_CHECKING:
    from runner.cli.verbs.ledger.chosen import Chosen
    from runner.ledger.upkeep.transfer import Merged


def do_merge(found: Chosen) -> int:
    """Take over what the ledger lacks of another's answers."""
    with opened(found.url) as ledger:
        done = ledger.merge(str(found.file))
    say(f"{many(done.added, 'answer')} taken over, {done.known} here already")
    for line in _left(done):
        say(line)
    say("batches stay with the ledger that sent them")
    return 0


def _left(done: Merged) -> list[str]:
    told = (
        (done.other, "kept as they are here: the other ledger has another reply"),
        (done.forgotten, "left out, since they were forgotten here (runner ledger restore)"),
        (done.no_reply, "left out: no replies of the API that was asked"),
        (done.damaged, "left out: damaged"),
    )
    return [f"{many(count, 'answer')} {what}" for count, what in told if count]


def do_export(found: Chosen) -> int:
    """Write answers to a file of JSON lines."""
    path = Path(str(found.file)).expanduser()
    with opened(found.url) as ledger:
        count, damaged = ledger.export(path, found.meant)
    say(f"{many(count, 'answer')} written to {quoted(path)}")
    if damaged:
        say(f"{damaged} damaged rows left out: runner ledger list --kind damaged{found.elsewhere()}")
    return 0


def do_vacuum(found: Chosen) -> int:
    """Give room back to the disk."""
    with opened(found.url) as ledger:
        before = ledger.on_disk_bytes() or 0
        ledger.vacuum()
        after = ledger.on_disk_bytes() or 0
    say(f"{size(before)} before, {size(after)} now")
    return 0
