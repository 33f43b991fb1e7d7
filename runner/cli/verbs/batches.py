"""The verbs about batches: how they stand, fetching what has ended, asking the rest to stop."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.cli.output import console, quoted, say
from runner.cli.verbs import options
from runner.cli.verbs.runs import rescore
from runner.config import database_urls
from runner.dispatch.batch import control
from runner.dispatch.batch.dispatch import BatchContext
from runner.dispatch.interrupts import interrupts
from runner.dispatch.observer import Stop
from runner.dispatch.purchase import BATCHES
from runner.errors import LedgerError, RunnerError
from runner.ledger.answers import open_ledger
from runner.ledger.batch_records import WAITING
from runner.ledger.claims import renewing
from runner.ledger.database import ELSEWHERE
from runner.records import Batch
from runner.reporting import find_run
from runner.reporting.formatting import NONE, age, many
from runner.reporting.terminal import empty_table
from runner.results import manifest

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from rich.console import Group

    from runner.dispatch.batch.control import BatchView
    from runner.ledger.batch_records import BatchRecord

EXIT_DETACHED = 5
LEDGER = "sqlite:///outputs/ledger.db"
"""Where batches are looked for unless a run or a ledger is named."""


def options_status(parser: argparse.ArgumentParser) -> None:
    """Which batches."""
    run = "only the batches of this run or sweep: a folder, an MLflow run id or name, or latest"
    parser.add_argument("run", metavar="RUN", nargs="?", help=run)
    parser.add_argument("--ledger", help="the ledger that knows them (the run's, else sqlite:///outputs/ledger.db)")


options_collect = options_cancel = options_status


def run_status(words: argparse.Namespace, conf: Path) -> int:
    """Show every batch in a ledger, or those of one run."""
    return _with_ledger(status, words, conf)


def run_collect(words: argparse.Namespace, conf: Path) -> int:
    """Fetch what has ended, and complete what waited for it."""
    return _with_ledger(collect, words, conf)


def run_cancel(words: argparse.Namespace, conf: Path) -> int:
    """Fetch what has ended, and ask the rest to stop."""
    return _with_ledger(cancel, words, conf)


def _with_ledger(do: Callable[[str, Path | None], int], words: argparse.Namespace, conf: Path) -> int:
    folder = None if words.run is None else manifest.launch_folder(options.run_of(words, conf))
    url = words.ledger or (LEDGER if folder is None else manifest.ledger_of(folder))
    try:
        return do(url, folder)
    except LedgerError as error:
        if error.advice in {None, ELSEWHERE}:
            error.advice = f"runner {words.verb} --ledger {LEDGER}"
        raise


def status(url: str, folder: Path | None) -> int:
    """Show every batch in a ledger, or those of the launch in a folder; no provider is asked."""
    if not database_urls.is_there(url):
        say(f"no batches: there is no ledger at {url}")
        return 0
    with open_ledger(url) as ledger:
        return _show(control.status(ledger.batches, _of(folder)), url, folder)


def collect(url: str, folder: Path | None, outputs: Path = Path("outputs")) -> int:
    """Fetch what has ended, and complete the results and MLflow runs that waited for it.

    5 while batches still run; else as the completed runs end, 3 where trials of theirs failed.
    """
    status = _work(url, folder, control.collect)
    if folder is not None:
        ends = [rescore(launch) for launch in _complete(url, [folder])]
    else:
        ends = [_completed(launch, url) for launch in reversed(find_run.launches(outputs))]
    return status or max(ends, default=0)


def _completed(launch: Path, url: str) -> int:
    """The exit status of a launch that is completed if it can be; a damaged one takes no other down."""
    try:
        return max(map(rescore, _complete(url, [launch])), default=0)
    except RunnerError as error:
        say(f"not completed: {error}")
        return error.exit_status


def cancel(url: str, folder: Path | None) -> int:
    """Fetch what has ended and ask the rest to stop."""
    return _work(url, folder, control.cancel)


def _load(folder: Path) -> dict[str, Any]:
    return manifest.open_run(folder).facts


def _of(folder: Path | None) -> control.RunFilter | None:
    if folder is None:
        return None
    launch = _load(folder)
    return control.RunFilter(launch["run"], launch.get("batches", ()))


def _complete(url: str, folders: Sequence[Path]) -> list[Path]:
    """Those of the launches that waited for batches in this ledger and now wait for none."""
    if not database_urls.is_there(url):
        return []
    waiting = [folder for folder in folders if _load(folder).get("status") == "SCHEDULED"]
    with open_ledger(url) as ledger:
        running = ledger.batches.entries(WAITING)
    ofs = ((folder, _of(folder)) for folder in waiting if manifest.ledger_of(folder) == url)
    return [folder for folder, of in ofs if of is not None and not any(map(of.holds, running))]


def _work(
    url: str, folder: Path | None, do: Callable[[BatchContext, Stop, control.RunFilter | None], list[BatchView]]
) -> int:
    if not database_urls.is_there(url):
        return status(url, folder)
    stop = Stop()
    with open_ledger(url) as ledger, interrupts(stop), renewing(ledger.claims):
        context = BatchContext(store=ledger.batches, ledger=ledger, folder=BATCHES, settings=Batch(mode="native"))
        return _show(do(context, stop, _of(folder)), url, folder)
    raise KeyboardInterrupt  # a second one, which `interrupts` has taken for itself


def _show(seen: Sequence[BatchView], url: str, folder: Path | None) -> int:
    if not seen:
        say("no batches")
        return 0
    console().print(render_batches(seen))
    waiting = [one for one in seen if one.entry.state in WAITING]
    unknown = sum(one.entry.standing is not None and one.entry.standing.unknown for one in waiting)
    elsewhere = "" if url == LEDGER else f" --ledger {shlex.quote(url)}"
    where = f" {quoted(folder)}" if folder is not None else elsewhere
    if unknown:
        say(f"{many(unknown, 'batch is', 'batches are')} not known to the provider. Look again: runner collect{where}")
    if len(waiting) > unknown:
        say(f"{len(waiting) - unknown} still run. Fetch what has ended: runner collect{where}")
    return EXIT_DETACHED if waiting else 0


# ---- the terminal ----------------------------------------------------------------------------------------------------


def render_batches(seen: Sequence[BatchView], now: float | None = None) -> Group:
    """A table of batches for a terminal of 80 columns or more, and below it what is to be said of them.

    `now` in seconds since 1970.
    """
    from rich.console import Group
    from rich.text import Text

    moment = time.time() if now is None else now
    table = empty_table("Batches", ("run\n  batch", "model", "state"), ("done", "answered", "failed", "age"))
    table.columns[0].no_wrap = True
    run = None
    for one in seen:
        if one.entry.run != run:
            run = one.entry.run
            table.add_row(Text(run, style="bold"))
        table.add_row(*map(Text, _row(one, moment)))
    said: dict[str, list[str]] = {}
    for one in seen:
        if one.said not in ("", one.entry.state):
            said.setdefault(one.said, []).append(one.entry.id)
    return Group(table, *(Text(f"{_named(ids)}: {words}") for words, ids in said.items()))


def _named(ids: Sequence[str]) -> str:
    """Batches of which the same is said: a line for each would hide everything else."""
    return ids[0] if len(ids) == 1 else f"{ids[0]} and {len(ids) - 1} more"


def _done(entry: BatchRecord) -> str:
    """Items that have ended, of all, and those of them that failed: as the provider counts."""
    standing = entry.standing
    if standing is None:
        return f"{NONE}/{entry.count}"
    wrong = f", {standing.failed} failed" if standing.failed else ""
    return f"{standing.done}/{standing.total or entry.count}{wrong}"


def _row(one: BatchView, now: float) -> tuple[str, ...]:
    entry, standing = one.entry, one.entry.standing
    answered = one.endings.get("succeeded", 0)
    is_running = entry.state == "sent" and standing is not None
    return (
        f"  {entry.id}",
        entry.model.name,
        standing.word if is_running and standing else entry.state,
        _done(entry),
        str(answered),
        str(sum(one.endings.values()) - answered),
        age(now - entry.created),
    )
