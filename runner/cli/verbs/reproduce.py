"""`runner reproduce`: whether a run would come out the same, and how far its scores move when it is bought again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.cli.verbs import options
from runner.reporting.formatting import NONE, percent, plain, signed
from runner.reporting.terminal import empty_table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import Group
    from rich.table import Table

    from runner.results.reproduce import Reproduction
    from runner.results.rerun import Moved, Spread
    from runner.results.verify import Change


def options_reproduce(parser: argparse.ArgumentParser) -> None:
    """A run, and whether to buy it again."""
    options.one_run(parser)
    parser.add_argument("--fresh", action="store_true", help="buy every answer again and compare the scores")


def run_reproduce(words: argparse.Namespace, conf: Path) -> int:
    """Check a run, or each job of a sweep, against itself, the ledger and this installation; 0 where all is equal."""
    from runner.cli import jobs

    return jobs.reproduce(options.run_of(words, conf), conf, fresh=words.fresh)


def render_reproduction(found: Reproduction) -> Group:
    """What was checked, line by line, then a table of what has changed."""
    from rich.console import Group
    from rich.text import Text

    tables = [
        _changes(title, changes)
        for title, changes in (("Changed in the folder", found.in_folder), ("Different here", found.since))
        if changes
    ]
    return Group(Text(_verdict(found), style="bold"), *map(Text, _counts(found)), *tables)


def _verdict(found: Reproduction) -> str:
    if not found.whole:
        return "not equal: the folder is not what the run wrote"
    if not found.equal:
        return "the folder is whole, but the same command would not be the same here"
    return "equal; what is different here changes nothing" if found.since or found.in_folder else "equal"


def _counts(found: Reproduction) -> Iterator[str]:
    rows = found.checked
    yield f"keys: {rows.same_keys} of {rows.trials} as planned again"
    yield f"replies: {rows.replayed} as the ledger has them, {rows.missing} not in the ledger here"
    if rows.missing:
        yield f"         of these, {rows.read_again} give the same scores when their text is read again"
    if found.same_here is not None:
        yield f"here: the same command would ask {found.same_here} of {rows.trials} with the same key"


def _changes(title: str, changes: list[Change]) -> Table:
    from rich.text import Text

    shown = empty_table(title, ("where", "what", "was", "is"))
    for change in changes:
        shown.add_row(*map(Text, (change.where, change.key, change.was, change.now)))
    return shown


def render_fresh(moved: Sequence[Moved]) -> Table:
    """Two lines a question for the terminal: fresh against original, then the original's repetitions."""
    title = "Score differences: bought again, and the original's own repetitions"
    figures = ("pairs", "mean", "sd", "median\nsize", "90%\nsize", "max\nsize", "equal")
    shown = empty_table(title, ("question", "between"), figures)
    for each in moved:
        shown.add_row(each.question, "fresh", *_figures(each.fresh))
        shown.add_row("", "repetitions", *_figures(each.noise))
    return shown


def _figures(spread: Spread | None) -> tuple[str, ...]:
    if spread is None:
        return ("0", *[NONE] * 6)
    sizes = (plain(size, 1) for size in (spread.median, spread.p90, spread.largest))
    return (str(spread.pairs), signed(spread.mean), plain(spread.sd, 1), *sizes, percent(spread.equal))
