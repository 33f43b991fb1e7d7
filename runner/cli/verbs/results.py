"""The verbs `import` and `export`: results from elsewhere, and for elsewhere."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli import tables
from runner.cli.arguments import PLACE
from runner.cli.output import console, quoted, say, say_logged, say_next, say_not_logged
from runner.cli.verbs import options
from runner.errors import ConfigError, TrackingError
from runner.reporting import html
from runner.reporting.formatting import many, percent
from runner.reporting.terminal import empty_table
from runner.reporting.tracking import log_run
from runner.results import study, summary
from runner.results.tally import Tally

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from rich.table import Table

    from runner.records import Tracking
    from runner.results.study import VendorCheck

IMPORTED = Path("outputs/imported")
SHOWN = 20
"""Files that could not be read, listed one by one."""


# ---- what is typed ---------------------------------------------------------------------------------------------------


def options_import(parser: argparse.ArgumentParser) -> None:
    """What to read, and where its run goes."""
    parser.add_argument("path", metavar="PATH", help="the study's CSV, or a folder of its TXT replies")
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=IMPORTED, help=f"where runs go ({IMPORTED})")
    options.tracking_words(parser)


def run_import(words: argparse.Namespace, conf: Path) -> int:
    """Make a run of results that exist already."""
    if words.path is None:
        raise ConfigError("needs a CSV file or a folder", where=PLACE, advice="runner import --help")
    return take_in(Path(words.path), words.out, options.tracking_of(conf, words.overrides))


def options_export(parser: argparse.ArgumentParser) -> None:
    """A run, in which format, and where to."""
    options.one_run(parser)
    formats = "study (TXT replies), csv or parquet"
    parser.add_argument("--format", required=True, choices=("study", "csv", "parquet"), help=formats)
    parser.add_argument("--out", metavar="PATH", type=Path, default=None, help="file or folder to write (export.*)")


def run_export(words: argparse.Namespace, conf: Path) -> int:
    """Write a run in another format."""
    return give_out(options.run_of(words, conf), words.format, words.out)


# ---- what is done ----------------------------------------------------------------------------------------------------


def take_in(path: Path, parent: Path, where: Tracking) -> int:
    """Make a run of what is at a path, show its checks, and log it; 3 where something was unreadable."""
    imported = study.read(path)
    written = study.write_run(imported, parent)
    page = written.folder / html.NAME
    if not page.is_file():
        html.write(written.folder)
    shown = console()
    shown.print(tables.render_verification(summary.verification(Tally.of(imported.rows))))
    shown.print(render_check(imported.checked))
    for wrong in imported.unreadable[:SHOWN]:
        say(f"not read: {wrong.place}: {wrong.reason}", shown)
    if len(imported.unreadable) > SHOWN:
        say(f"and {len(imported.unreadable) - SHOWN} more: see run.json, imported", shown)
    expected = "" if imported.expected is None else f" of {imported.expected}"
    unread = f", {len(imported.unreadable)} could not be read" if imported.unreadable else ""
    say(f"{len(imported.rows)}{expected} trials {'imported' if written.new else 'are there already'}{unread}", shown)
    say(f"results: {quoted(written.folder.resolve())}", shown)
    say(f"report:  {quoted(page.resolve())}", shown)
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
    say(f"{what} written to {quoted(done.target)}{left_out}")
    return 0


# ---- the terminal ----------------------------------------------------------------------------------------------------


def render_check(lines: Iterable[VendorCheck]) -> Table:
    """The study's own check for a terminal of 80 columns: a line a vendor, counts and shares of its files."""
    from rich.text import Text

    figures = ("files", "valid", "metadata", "in 0-100", "reasons", "Unicode")
    shown = empty_table("Check by vendor", ["vendor"], figures)
    for line in lines:
        valid, *others = (getattr(line, field.name) for field in fields(line)[2:])
        shares = (percent(count / line.files) for count in others)
        shown.add_row(Text(line.vendor), f"{line.files}", f"{valid} {percent(valid / line.files)}", *shares)
    return shown
