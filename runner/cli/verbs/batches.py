"""What the verbs about batches do: how they stand, fetching what has ended, asking the rest to stop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.cli import jobs
from runner.cli.output import console, short
from runner.dispatch import live
from runner.dispatch.batch import control
from runner.dispatch.batch.dispatch import BatchContext
from runner.dispatch.purchase import BATCHES, interrupts
from runner.errors import RunnerError
from runner.ledger.answers import open_ledger
from runner.ledger.batch_records import WAITING
from runner.ledger.batches import open_batches
from runner.records import Batch
from runner.results import manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.dispatch.batch.control import BatchView

EXIT_DETACHED = 5
LEDGER = "sqlite:///outputs/ledger.db"
"""Where batches are looked for unless a run or a ledger is named."""


def status(url: str, folder: Path | None) -> int:
    """Show every batch in a ledger, or those of the launch in a folder; no provider is asked."""
    if not control.is_there(url):
        console().print(f"no batches: there is no ledger at {url}", markup=False)
        return 0
    with open_batches(url) as store:
        return _show(control.status(store, _of(folder)), url, folder)


def collect(url: str, folder: Path | None, outputs: Path = Path("outputs")) -> int:
    """Fetch what has ended, and complete the results and MLflow runs that waited for it.

    5 while batches still run; else as the completed runs end, 3 where trials of theirs failed.
    """
    status = _work(url, folder, control.collect)
    if folder is not None:
        ends = [jobs.rescore(launch) for launch in _complete(url, [folder])]
    else:
        ends = [_completed(launch, url) for launch in launches(outputs)]
    return status or max(ends, default=0)


def _completed(launch: Path, url: str) -> int:
    """The exit status of a launch that is completed if it can be; a damaged one takes no other down."""
    try:
        return max(map(jobs.rescore, _complete(url, [launch])), default=0)
    except RunnerError as error:
        console().print(f"not completed: {error}", soft_wrap=True, markup=False)
        return error.exit_status


def cancel(url: str, folder: Path | None) -> int:
    """Fetch what has ended and ask the rest to stop."""
    return _work(url, folder, control.cancel)


def launches(outputs: Path) -> list[Path]:
    """The folders of runs and sweeps in `outputs` or one level deeper, each once; a sweep's stands for its jobs."""
    files = [
        path for depth in ("*", "*/*") for name in ("run", "sweep") for path in outputs.glob(f"{depth}/{name}.json")
    ]
    return sorted({short(manifest.launch_folder(path.parent).resolve()) for path in files})


def _load(folder: Path) -> dict[str, Any]:
    return manifest.open_run(folder).facts


def _of(folder: Path | None) -> control.RunFilter | None:
    if folder is None:
        return None
    launch = _load(folder)
    return control.RunFilter(launch["run"], launch.get("batches", ()))


def _complete(url: str, folders: Sequence[Path]) -> list[Path]:
    """Those of the launches that waited for batches in this ledger and now wait for none."""
    if not control.is_there(url):
        return []
    waiting = [folder for folder in folders if _load(folder).get("status") == "SCHEDULED"]
    with open_batches(url) as store:
        running = store.entries(WAITING)
    ofs = ((folder, _of(folder)) for folder in waiting if manifest.ledger_of(folder) == url)
    return [folder for folder, of in ofs if of is not None and not any(map(of.holds, running))]


def _work(
    url: str, folder: Path | None, do: Callable[[BatchContext, live.Stop, control.RunFilter | None], list[BatchView]]
) -> int:
    if not control.is_there(url):
        return status(url, folder)
    stop = live.Stop()
    with open_ledger(url) as ledger, open_batches(url) as store, interrupts(stop):
        context = BatchContext(store=store, ledger=ledger, folder=BATCHES, settings=Batch(mode="native"))
        return _show(do(context, stop, _of(folder)), url, folder)
    raise KeyboardInterrupt  # a second one, which `interrupts` has taken for itself


def _show(seen: Sequence[BatchView], url: str, folder: Path | None) -> int:
    shown = console()
    if not seen:
        shown.print("no batches")
        return 0
    shown.print(control.render(seen))
    running = [one for one in seen if one.entry.state in WAITING]
    if running:
        where = f" {short(folder)}" if folder is not None else "" if url == LEDGER else f" --ledger {url}"
        shown.print(f"{len(running)} still run. Fetch what has ended: runner collect{where}", soft_wrap=True)
    return EXIT_DETACHED if running else 0
