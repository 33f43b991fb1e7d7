"""What the verbs about batches do: how they stand, fetching what has ended, asking the rest to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner import live
from runner.batch import desk
from runner.batch.book import open_book
from runner.batch.dispatch import Shop
from runner.ledger import open_ledger
from runner.purchase import BATCHES, interrupts
from runner.records import Batch
from runner.session import console

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.batch.desk import Seen

EXIT_DETACHED = 5


def status(url: str, run: str | None) -> int:
    """Show every batch in a ledger, or those of one run; no provider is asked."""
    if not desk.is_there(url):
        console().print(f"no batches: there is no ledger at {url}", markup=False)
        return 0
    with open_book(url) as book:
        return _show(desk.status(book, run))


def collect(url: str, run: str | None) -> int:
    """Fetch what has ended; the answers are in the ledger then. 5 while batches still run."""
    return _work(url, run, desk.collect)


def cancel(url: str, run: str | None) -> int:
    """Fetch what has ended and ask the rest to stop."""
    return _work(url, run, desk.cancel)


def _work(url: str, run: str | None, do: Callable[[Shop, live.Stop, str | None], list[Seen]]) -> int:
    if not desk.is_there(url):
        return status(url, run)
    stop = live.Stop()
    with open_ledger(url) as ledger, open_book(url) as book, interrupts(stop):
        return _show(do(Shop(book=book, ledger=ledger, folder=BATCHES, settings=Batch(mode="native")), stop, run))


def _show(seen: Sequence[Seen]) -> int:
    shown = console()
    if not seen:
        shown.print("no batches")
        return 0
    shown.print(desk.render(seen))
    running = [one for one in seen if one.entry.state in ("drafted", "sent", "ended")]
    if running:
        shown.print(f"{len(running)} still run. Fetch what has ended: runner collect")
    return EXIT_DETACHED if running else 0
