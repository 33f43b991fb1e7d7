"""`runner ledger forget`, `restore` and `prune`: answers out of the ledger, back, and gone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runner.cli.arguments import PLACE
from runner.cli.output import say
from runner.cli.verbs.ledger.look import size, usd
from runner.errors import ConfigError, LedgerError
from runner.ledger.upkeep.contents import opened
from runner.reporting.formatting import many

if TYPE_CHECKING:
    from runner.cli.verbs.ledger.chosen import Chosen

MODELS = 5
"""Models that are named."""


def do_forget(found: Chosen) -> int:
    """Show what would go and what it cost; with --yes let it go. What is in flight stays."""
    if found.meant.is_everything:
        message = "say what to forget: a RUN, KEYs, --model, --kind, --older-than or --newer-than"
        raise ConfigError(message, where=PLACE, advice="runner ledger forget latest --kind not_a_reply")
    with opened(found.url) as ledger:
        what = ledger.choose(found.meant, found.judge, found.runs.usd if found.runs else None)
        if what.held:
            say(f"{many(what.held, 'answer is', 'answers are')} in flight, claimed by a run or held by a batch: kept")
        if not what.count:
            if found.meant.keys and not what.held:
                raise LedgerError(f"{found.url} has no such answer", advice=f"runner ledger list{found.elsewhere()}")
            say("nothing to forget")
            return 0
        models = ", ".join(f"{name} ({number})" for name, number in what.models[:MODELS])
        more = f" and {len(what.models) - MODELS} more" if len(what.models) > MODELS else ""
        sum_of = f"{many(what.count, 'answer')} of {models}{more}, {size(what.n_bytes)}"
        paid = f"paid {usd(what.paid_usd, what.unpriced)}"
        if found.runs is not None and found.runs.earlier:
            say(f"{many(found.runs.earlier, 'row')} of the run had an earlier run's answer; other runs may use it too")
        if not found.words.yes:
            say(f"would forget {sum_of}; {paid}")
            say(f"nothing is changed. To do it: {found.command('--yes')}")
            return 0
        moved = ledger.forget(found.meant, found.command())
    say(f"forgot {sum_of}; {paid}")
    if moved.moved != what.count:
        say(f"{moved.moved} of them were still there to go")
    say(f"in the trash until `runner ledger prune`; back: runner ledger restore{found.elsewhere()}")
    return 0


def do_restore(found: Chosen) -> int:
    """Bring back what was forgotten."""
    with opened(found.url) as ledger:
        back = ledger.restore(found.meant)
    say(f"{many(back.moved, 'answer')} brought back")
    if back.held:
        say(f"{back.held} stay in the trash: damaged, or answered anew since")
    return 0


def do_prune(found: Chosen) -> int:
    """Show what is in the trash; with --yes delete it for good. --older-than counts from when it was forgotten."""
    if found.words.newer_than is not None:
        raise ConfigError("prune takes --older-than alone", where=PLACE, advice="runner ledger prune --older-than 30d")
    before = None if found.words.older_than is None else time.time() - found.words.older_than
    with opened(found.url) as ledger:
        entries = [one for one in ledger.trashed(found.meant) if before is None or (one.forgotten or 0) < before]
        n_bytes = sum(entry.n_bytes for entry in entries)
        what = f"{many(len(entries), 'forgotten answer')}, {size(n_bytes)}"
        if not entries:
            say("nothing to prune")
        elif not found.words.yes:
            say(f"would delete {what}, for good. To do it: {found.command('--yes')}")
        else:
            gone = ledger.prune(found.meant, forgotten_before=before)
            say(f"deleted {gone} of {what}. Room on disk: runner ledger vacuum{found.elsewhere()}")
    return 0
