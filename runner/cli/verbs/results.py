"""What the verbs about results do: statistics, import and export."""

from __future__ import annotations

import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli import tables
from runner.cli.output import console, say_logged, say_next, say_not_logged, short
from runner.cli.tables import many
from runner.errors import ConfigError, TrackingError
from runner.reporting import html, stats
from runner.reporting.tracking import log_run
from runner.results import files, manifest, study, summary
from runner.results.tally import Tally

if TYPE_CHECKING:
    from runner.records import Tracking

SHOWN = 20
"""Files that could not be read, listed one by one."""


def show_statistics(folder: Path, *, as_json: bool) -> int:
    """Print the statistics of a run, or of all jobs of a sweep together."""
    jobs = manifest.asked_folders(folder)
    if not any((path / "results.jsonl").is_file() for path in jobs):
        advice = manifest.load(folder, "run.json").get("command") if (folder / "run.json").is_file() else None
        raise ConfigError("has no results yet", where=str(folder), key="results.jsonl", advice=advice)
    found = stats.describe(chain.from_iterable(files.read_rows(path / "results.jsonl") for path in jobs))
    if as_json:
        sys.stdout.write(stats.to_json(found) + "\n")
        return 0
    for table in stats.render(found):
        console().print(table)
    if found.shared:
        said = f"{many(found.shared, 'trial')} of later jobs share an earlier one's answer: in their cells, else once"
        console().print(said, soft_wrap=True, markup=False)
    _say_unfinished(folder)
    return 0


def _say_unfinished(folder: Path) -> None:
    """Statistics of a run that was stopped, or whose batches still run, are not its last."""
    run = manifest.open_run(folder).facts
    if run["status"] not in ("FINISHED", "FAILED"):
        still = "its batches still run" if run["status"] == "SCHEDULED" else "it was stopped"
        missing = f"{run['failed']} of {run['trials']} trials have no reply yet: {still}"
        following = "runner collect" if run["status"] == "SCHEDULED" else run["command"]
        console().print(f"not complete: {missing}. Continue: {following}", soft_wrap=True, markup=False)


def take_in(path: Path, parent: Path, where: Tracking) -> int:
    """Make a run of what is at a path, show its checks, and log it; 3 where something was unreadable."""
    imported = study.read(path)
    written = study.write_run(imported, parent)
    page = written.folder / html.NAME
    if not page.is_file():
        html.write(written.folder)
    shown = console()
    shown.print(tables.render_verification(summary.verification(Tally.of(imported.rows))))
    shown.print(study.render_check(imported.checked))
    for wrong in imported.unreadable[:SHOWN]:
        shown.print(f"not read: {wrong.place}: {wrong.reason}", soft_wrap=True, markup=False)
    if len(imported.unreadable) > SHOWN:
        shown.print(f"and {len(imported.unreadable) - SHOWN} more: see run.json, imported")
    expected = "" if imported.expected is None else f" of {imported.expected}"
    unread = f", {len(imported.unreadable)} could not be read" if imported.unreadable else ""
    shown.print(f"{len(imported.rows)}{expected} trials {'imported' if written.new else 'are there already'}{unread}")
    shown.print(f"results: {short(written.folder.resolve())}", soft_wrap=True, markup=False)
    shown.print(f"report:  {short(page.resolve())}", soft_wrap=True, markup=False)
    if where.enabled:
        try:
            say_logged(shown, log_run.track(written.folder, where))
        except TrackingError as error:
            say_not_logged(shown, error, written.folder.resolve())
    say_next(shown, written.folder.resolve())
    return 3 if imported.unreadable else 0


def give_out(folder: Path, form: str, target: Path | None) -> int:
    """Write a run in another format."""
    endings = {"csv": ".csv", "parquet": ".parquet"}
    done = study.export(folder, form, target or Path(f"export{endings.get(form, '')}"))
    lacking = "without a reply or scores" if form == "study" else "without a reply"
    left_out = f", {done.left_out} left out: {lacking}" if done.left_out else ""
    left_out += f", {done.shared} share the answer of an earlier job's trial" if done.shared else ""
    what = many(done.written, "file" if form == "study" else "trial")
    console().print(f"{what} written to {done.target}{left_out}", soft_wrap=True, markup=False)
    return 0
