"""`runner drift RUN`: a random sample of a run asked again, to see whether the models still answer as they did."""

from __future__ import annotations

import argparse
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.output import called_as, console, quoted, say
from runner.cli.verbs import options
from runner.errors import TrackingError
from runner.reporting.formatting import NONE, many, p_value, plain, signed
from runner.reporting.terminal import empty_table

if TYPE_CHECKING:
    from rich.table import Table

    from runner.records import Tracking
    from runner.reporting.drift import DriftReport, ScoreShift
    from runner.results.again.drift import Drift, Original

BUDGET_USD = 0.5
MARGIN = 5.0
EXIT_FAILED, EXIT_BUDGET, EXIT_INTERRUPTED = 3, 4, 130


def options_drift(parser: argparse.ArgumentParser) -> None:
    """A run, what asking again may cost, and what counts as equal."""
    parser.add_argument("run", metavar="RUN", nargs="?", help=f"{options.RUN}; or a drift's folder, to go on with it")
    options.tracking_words(parser)
    parser.add_argument("--budget", type=_positive, default=BUDGET_USD, metavar="USD", help="most to spend (0.50)")
    margin = "scores within so many points of each other count as equal (5)"
    parser.add_argument("--margin", type=_positive, default=MARGIN, metavar="POINTS", help=margin)
    parser.add_argument("--seed", type=int, default=0, help="another seed draws another sample (0)")


def run_drift(words: argparse.Namespace, conf: Path) -> int:
    """Ask a sample again, or go on with a drift that was stopped; show, write and log what came of it."""
    from runner.results.again import drift as drifting

    begun = None if words.run is None else Path(words.run).expanduser()
    if begun is not None and (begun / drifting.FILE).is_file():
        drift = drifting.load(begun.resolve())
        run = drifting.original(Path(drift.of_folder))
    else:
        run = drifting.original(options.run_of(words, conf))
        command = shlex.join(["runner", "drift", *words.typed])
        drift = drifting.begun(run, command, budget_usd=words.budget, margin=words.margin, seed=words.seed)
        if drift.folder.is_dir():
            say(f"goes on with {quoted(drift.folder)}, which was stopped")
    tracking = options.tracking_of(conf, words.overrides) if words.overrides else run.jobs[0].experiment.tracking
    return _drift(drift, run, tracking)


def _drift(drift: Drift, run: Original, tracking: Tracking) -> int:
    from runner import execution
    from runner.dispatch.purchase import Purchase
    from runner.reporting.progress.display import Progress

    purchase, shown = Purchase(), console()
    with Progress(shown, stopping=lambda: purchase.stop.asked) as observer:
        found = execution.ask_sample(drift, run, observer, purchase)
    if found.moved:
        shown.print(render_moved(found, drift.margin))
    shown.print(render_served(found))
    say(found.sentence)
    say(f"{many(purchase.requests_sent, 'request')} sent; the run and its answers are as they were")
    say(f"drift:   {quoted(drift.folder)}")
    _log(drift, found, tracking)
    return _status(drift, found, over_budget=purchase.over_budget)


def _log(drift: Drift, found: DriftReport, tracking: Tracking) -> None:
    """An MLflow that cannot be reached costs nothing but a line."""
    from runner import execution

    try:
        execution.log_drift(drift, found, tracking)
    except TrackingError as error:
        later = f"{called_as()} drift {quoted(drift.folder)}"
        say(f"MLflow:  not logged: {str(error).removeprefix('MLflow: ')}\n         log it later: {later}")
        return
    if drift.mlflow is not None:
        say(f"MLflow:  run {drift.mlflow['run']}, tagged drift of {drift.of}")


def _status(drift: Drift, found: DriftReport, *, over_budget: bool) -> int:
    again = f"{called_as()} drift {quoted(drift.folder)}"
    if over_budget:
        say(f"stopped at --budget {drift.budget_usd:g}: {found.asked} of {len(drift.sample)} were asked; kept as it is")
        say(f"a larger one draws its own sample: {called_as()} drift {quoted(Path(drift.of_folder))} --budget USD")
        return EXIT_BUDGET
    if drift.status == "KILLED":
        say(f"interrupted; what was answered is kept. Continue: {again}")
        return EXIT_INTERRUPTED
    if without := len(drift.sample) - found.replied:
        say(f"{many(without, 'trial has', 'trials have')} no reply. Try again: {again}")
        return EXIT_FAILED
    return 0


def _positive(word: str) -> float:
    """A number above 0; argparse shows the words of an ArgumentTypeError."""
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"'{word}' is no number above 0")
    return value


# ---- the terminal ----------------------------------------------------------------------------------------------------


def render_moved(found: DriftReport, margin: float) -> Table:
    """A line a model and question: how far the scores moved, and whether that is nothing."""
    from rich.text import Text

    figures = ("trials", "texts", "then", "now", "moved", "90% interval", f"p within\n±{margin:g}")
    shown = empty_table("Drift", ("model\n  question",), (*figures, "verdict"))
    last = None
    for each in found.moved:
        if each.model != last:
            last = each.model
            shown.add_row(Text(last, style="bold"))
        shown.add_row(Text(f"  {each.question}"), *_figures(each))
    return shown


def _figures(each: ScoreShift) -> tuple[str, ...]:
    span = NONE if each.low is None else f"{signed(each.low)} to {signed(each.high)}"
    p = NONE if each.p_equivalent is None else p_value(each.p_equivalent)
    units = str(each.units) if each.of == "text" else "1"
    means = (plain(each.before, 1), plain(each.now, 1), signed(each.difference))
    return (str(each.pairs), units, *means, span, p, each.verdict)


def render_served(found: DriftReport) -> Table:
    """Names and fingerprints that the models answered under, side by side."""
    from rich.text import Text

    shown = empty_table("Who answered", ("model", "then", "now"))
    for each in found.served:
        sides = ("\n".join(f"{name}: {count}" for name, count in side.items()) for side in (each.before, each.now))
        shown.add_row(Text(each.model), *(Text(side or NONE) for side in sides))
    return shown
