"""`runner reproduce`: whether a run would come out the same, and how far its scores move when it is bought again."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.verbs import options
from runner.config import database_urls
from runner.errors import ConfigError
from runner.reporting.formatting import NONE, percent, plain, signed
from runner.reporting.terminal import empty_table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from rich.console import Console, Group
    from rich.table import Table

    from runner.ledger.answers import Ledger
    from runner.records import Experiment
    from runner.results.again.reproduce import Reproduction
    from runner.results.again.rerun import Moved, Spread
    from runner.results.again.verify import Change, Checked


def options_reproduce(parser: argparse.ArgumentParser) -> None:
    """A run, and whether to buy it again."""
    options.one_run(parser)
    parser.add_argument("--fresh", action="store_true", help="buy every answer again and compare the scores")


def run_reproduce(words: argparse.Namespace, conf: Path) -> int:
    """Check a run, or each job of a sweep, against itself, the ledger and this installation; 0 where all is equal."""
    return reproduce(options.run_of(words, conf), conf, fresh=words.fresh)


def reproduce(folder: Path, conf: Path, *, fresh: bool) -> int:
    """Check a run, or each job of a sweep, against itself, the ledger and this installation; 0 where all is equal."""
    from runner.cli.output import console
    from runner.results import manifest, saved, served
    from runner.results.again import reproduce as checks
    from runner.results.manifest import without_password

    manifest.ledger_of(folder)
    manifest.result_folders(folder)
    shown, equal, jobs = console(), True, manifest.job_folders(folder)
    command = manifest.load(jobs[0], "run.json")["command"]
    if fresh and manifest.is_rehearsal(command):
        message = "was rehearsed: the simulated providers that it asked are gone, and rehearsing it again costs nothing"
        raise ConfigError(message, where=str(folder), advice=command)
    for path in jobs:
        if len(jobs) > 1:
            shown.print(f"job {path.name}: {path}", soft_wrap=True, markup=False)
            if (why := manifest.load(path, "run.json")["error"]) is not None:
                shown.print(f"it failed, so there is nothing to reproduce: {why}", soft_wrap=True, markup=False)
                continue
        experiment = saved.experiment_in(path)
        with ExitStack() as stack:
            ledger = _ledger(experiment.ledger_url, stack)
            found = checks.reproduce(path, conf, None if ledger is None else ledger.answers)
        shown.print(render_reproduction(found))
        for line in _of_the_ledger(found.checked, ledger, without_password(experiment.ledger_url), command):
            shown.print(line, soft_wrap=True, markup=False)
        for line in served.told(served.from_json(manifest.load(path, "run.json").get("served", ()))):
            shown.print(line, soft_wrap=True, markup=False)
        if not found.whole:
            shown.print(f"{saved.AGAIN}: {command}", soft_wrap=True, markup=False)
        equal &= found.equal
        if fresh:
            _buy_again(path, experiment, shown)
    return 0 if equal else 1


def _ledger(url: str, stack: ExitStack) -> Ledger | None:
    """The ledger that a run used; None where it is not at hand, as on another machine."""
    from runner.ledger.answers import open_ledger

    if not database_urls.is_there(url):
        return None
    return stack.enter_context(open_ledger(url))


def _of_the_ledger(rows: Checked, ledger: Ledger | None, place: str, command: str) -> Iterator[str]:
    """That it has none of the answers, or which of its rows are damaged; each with what to type."""
    from runner.results.rows import damaged

    if rows.missing and not rows.replayed and not rows.damaged and not (ledger and ledger.damaged):
        again = f"{command} ledger.missing=buy"
        yield f"{place} has none of these answers. Put a copy of it back, or have them bought again: {again}"
    yield from rows.damaged
    for key, why in ({} if ledger is None else ledger.damaged).items():
        yield damaged(key, why, place).problem.message


def _buy_again(original: Path, experiment: Experiment, shown: Console) -> None:
    """Ask everything once more, into a ledger of its own, and show how far the scores moved."""
    from runner.cli.session import Session
    from runner.plan.job import Job
    from runner.results import saved
    from runner.results.again.rerun import compare_fresh

    folder = Path("outputs") / datetime.now().astimezone().strftime("%Y-%m-%d/%H-%M-%S-%f")
    folder.mkdir(parents=True)
    again = replace(
        experiment, name=f"{experiment.name} (fresh)", ledger_url=database_urls.url_of(folder / "ledger.db")
    )
    with Session(f"runner reproduce {original} --fresh") as session:
        session.run([Job(0, again, folder.resolve())])
        session.finish()
    old, new = (saved.rows_in(path) for path in (original, folder))
    shown.print(render_fresh(compare_fresh(old, new)))


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
