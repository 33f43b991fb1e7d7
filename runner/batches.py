"""What the verbs about batches do: how they stand, fetching what has ended, asking the rest to stop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runner import commands, live, runfile
from runner.batch import desk
from runner.batch.book import open_book
from runner.batch.dispatch import Shop
from runner.batch.entry import WAITING
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


def collect(url: str, run: str | None, outputs: Path = Path("outputs")) -> int:
    """Fetch what has ended, and complete the results and MLflow runs that waited for it. 5 while batches still run."""
    status = _work(url, run, desk.collect)
    for folder in _waiting(url, run, outputs):
        commands.rescore(folder)
    return status


def _waiting(url: str, run: str | None, outputs: Path) -> list[Path]:
    """Folders of launches that wait for batches, none of which runs any longer."""
    if not desk.is_there(url):
        return []
    with open_book(url) as book:
        running = {one.entry.run for one in desk.status(book) if one.entry.state in WAITING}
    found = []
    for path in sorted([*outputs.glob("*/*/run.json"), *outputs.glob("*/*/sweep.json")]):
        launch = runfile.load(path.parent, path.name)
        if launch["status"] == "SCHEDULED" and launch["run"] not in running and run in {None, launch["run"]}:
            found.append(path.parent)
    return found


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
    running = [one for one in seen if one.entry.state in WAITING]
    if running:
        shown.print(f"{len(running)} still run. Fetch what has ended: runner collect")
    return EXIT_DETACHED if running else 0
