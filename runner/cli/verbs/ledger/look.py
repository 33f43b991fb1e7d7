"""`runner ledger sizes`, `list` and `show`: what is there."""

from __future__ import annotations

import heapq
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runner.cli.output import console, say
from runner.errors import LedgerError
from runner.ledger.upkeep.contents import opened
from runner.ledger.upkeep.kinds import why_no_reply
from runner.providers.received import parsed
from runner.reporting.formatting import count, many, moment, money
from runner.reporting.terminal import empty_table

if TYPE_CHECKING:
    from rich.table import Table

    from runner.cli.verbs.ledger.chosen import Chosen
    from runner.ledger.upkeep.contents import Sizes
    from runner.ledger.upkeep.entries import StoredEntry

SHOWN = 12
"""Characters of a key in a table: enough to name it."""


def do_sizes(found: Chosen) -> int:
    """Counts and bytes, in all and for each model."""
    with opened(found.url) as ledger:
        sizes = ledger.sizes()
    if sizes.models:
        console().print(render_sizes(sizes))
    room = "" if sizes.on_disk_bytes is None else f", {size(sizes.on_disk_bytes)} on disk"
    say(f"{sizes.place}: {many(sizes.answers, 'answer')}, {size(sizes.n_bytes)} of replies{room}")
    if sizes.damaged:
        say(
            f"{many(sizes.damaged, 'row is', 'rows are')} damaged: runner ledger list --kind damaged{found.elsewhere()}"
        )
    say(f"trash: {many(sizes.trashed, 'answer')}, {size(sizes.trashed_bytes)}")
    running = f", {sizes.open_batches} of them open" if sizes.open_batches else ""
    say(f"batches: {sizes.batches}{running}; claims: {sizes.claims}")
    return 0


def do_list(found: Chosen) -> int:
    """A line an answer, the newest first."""
    limit = found.words.limit
    with opened(found.url) as ledger:
        entries = list(ledger.select(found.meant))
        newest = heapq.nlargest(limit or len(entries), entries, key=lambda entry: entry.time)
        raws = ledger.replies(newest) if limit else {}
        rows = [(entry, found.judge.kind(entry, raws[entry.place]) if entry.place in raws else "") for entry in newest]
    if rows:
        console().print(render_list(rows))
    more = f", {count(len(entries) - len(newest))} more (--limit 0 shows all)" if len(entries) > len(newest) else ""
    say(f"{many(len(newest), 'answer')}{more}. One of them: runner ledger show KEY{found.elsewhere()}")
    return 0


def do_show(found: Chosen) -> int:
    """One answer: its columns, and its reply as it is kept."""
    (key,) = found.meant.keys
    with opened(found.url) as ledger:
        rows = ledger.find(key)
        redacted = ledger.redacted(raw for _, raw in rows)
    if len({entry.name for entry, _ in rows}) > 1:
        names = ", ".join(sorted({entry.name[: SHOWN + 4] for entry, _ in rows})[:5])
        raise LedgerError(f"{len(rows)} answers begin with {key}: {names}", advice="runner ledger show KEY, with more")
    if not rows:
        raise LedgerError(f"{found.url} has no answer {key}", advice=f"runner ledger list{found.elsewhere()}")
    for entry, raw in rows:
        _show(entry, raw, is_redacted=raw in redacted)
    return 0


def _show(entry: StoredEntry, raw: bytes, *, is_redacted: bool) -> None:
    say(f"key       {entry.name}")
    say(f"model     {entry.model_id} at {entry.endpoint}")
    say(f"received  {entry.time}, {entry.route}, attempt {entry.attempts}, {entry.latency_s} s")
    if entry.forgotten is not None:
        when = datetime.fromtimestamp(entry.forgotten, UTC).isoformat(timespec="seconds")
        say(f"forgotten {when}: {entry.why}. Back: runner ledger restore {entry.name}")
    if entry.damage is not None:
        say(f"damaged   {entry.damage}; no run can use it. Ask anew: runner ledger forget {entry.name} --yes")
    elif (why := why_no_reply(entry.endpoint, raw)) is not None:
        say(f"no reply  {why}. Ask anew: runner ledger forget {entry.name} --yes")
    if is_redacted:
        say("redacted  the API key stood in it; it is kept with the name of the key's variable instead")
    say(f"reply     {many(len(raw), 'byte')}:")
    say(_readable(raw))


def _readable(raw: bytes) -> str:
    """JSON with its lines, any other text as it is, and what no terminal should get as its escapes."""
    try:
        text = json.dumps(parsed(raw), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        text = raw.decode("utf-8", "backslashreplace")
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def size(n_bytes: int) -> str:
    """Bytes in their largest unit."""
    value = float(n_bytes)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def render_sizes(sizes: Sizes) -> Table:
    """A line a model, the largest first."""
    from rich.text import Text

    table = empty_table("Ledger", ("model", "at"), ("answers", "replies", "first", "last"))
    for (endpoint, model_id), of in sorted(sizes.models.items(), key=lambda item: -item[1].n_bytes):
        times = (moment(time)[:10] for time in (of.first, of.last))
        table.add_row(Text(model_id), Text(endpoint), count(of.answers), size(of.n_bytes), *times)
    return table


def render_list(rows: list[tuple[StoredEntry, str]]) -> Table:
    """A line an answer: the beginning of its key names it."""
    from rich.text import Text

    table = empty_table("Answers", ("key", "model", "kind"), ("route", "bytes", "received"))
    for entry, kind in rows:
        name = entry.name if entry.name.startswith("row:") else entry.name[:SHOWN]
        shown = kind or ("damaged" if entry.damage else "")
        table.add_row(
            Text(name), Text(entry.model_id), Text(shown), entry.route, count(entry.n_bytes), moment(entry.time)[:16]
        )
    return table


def usd(paid_usd: float, unpriced: int) -> str:
    """What answers cost, and of how many nobody knows it."""
    unknown = f", and {many(unpriced, 'answer')} of an unknown price" if unpriced else ""
    return f"${money(paid_usd)}{unknown}"
