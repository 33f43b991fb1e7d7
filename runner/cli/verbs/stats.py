"""The verb `stats`: findings, and the tables that they come from."""

from __future__ import annotations

import argparse
import shutil
import sys
from math import isfinite
from typing import TYPE_CHECKING

from runner.cli.arguments import PLACE
from runner.cli.output import say
from runner.cli.verbs import options
from runner.errors import ConfigError
from runner.reporting import stats
from runner.reporting.formatting import many
from runner.reporting.stats import of_run
from runner.reporting.stats.frame import further
from runner.results import manifest, served

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from runner.records import Json
    from runner.reporting.stats import Statistics

SCOPES = ("texts", "fixed", "personas")


def options_stats(parser: argparse.ArgumentParser) -> None:
    """A run, what of it, what it is about, and in which form."""
    options.one_run(parser)
    about = "what is said holds for: texts like these (texts), these alone (fixed), texts and personas like these"
    parser.add_argument("--scope", choices=SCOPES, default="texts", help=about)
    parser.add_argument("--margin", type=_margin, default=stats.MARGIN, metavar="POINTS",
                        help=f"of a scale of 100 within which a difference is none ({stats.MARGIN:g})")  # fmt: skip
    parser.add_argument("--question", default=None, help="one question alone")
    parser.add_argument("--by", default=None, metavar="AXIS", help="one axis alone: persona, model, text.author, ...")
    parser.add_argument("--only", choices=("differences",), default=None, help="the differences that hold, alone")
    parser.add_argument("--all", action="store_true", dest="everything", help="every table, whole")
    parser.add_argument("--format", choices=stats.FORMATS, default="text", help="of the tables (text)")
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")


def _margin(word: str) -> float:
    """Points; argparse shows the words of an ArgumentTypeError."""
    try:
        points = float(word)
    except ValueError:
        points = -1.0
    if not (isfinite(points) and points > 0):
        raise argparse.ArgumentTypeError(f"'{word}' is no number of points above 0")
    return points


def run_stats(words: argparse.Namespace, conf: Path) -> int:
    """Show the statistics of a run, or of all jobs of a sweep together."""
    folder = options.run_of(words, conf)
    jobs = manifest.asked_folders(folder)
    if not any((path / "results.jsonl").is_file() for path in jobs):
        advice = manifest.load(folder, "run.json").get("command") if (folder / "run.json").is_file() else None
        raise ConfigError("has no results yet", where=str(folder), key="results.jsonl", advice=advice)
    frame, scales = of_run.read(jobs)
    own = [name for name in further(frame) if name == words.by or frame[name].nunique() > 1]
    by = None if words.by is None else _axis(words.by, own)
    beside = () if by is None or by in stats.AXES else (by,)
    asked = of_run.instrument(jobs, stats.ContrastOptions(scales, words.scope, words.margin, beside))
    found = stats.describe(frame, asked)
    if words.question is not None:
        found = stats.about(found, _one_of(words.question, found.questions, "question"))
    view = stats.View(words.everything, words.only, by)
    sys.stdout.write(stats.render(found, view, words.format, shutil.get_terminal_size().columns) + "\n")
    if words.format == "text":
        _say_more(found, view, manifest.open_run(folder).facts)
    return 0


def _axis(word: str, own: Sequence[str]) -> str:
    """The axis that is meant: one of every table, or one of the run's own, such as persona.sex, by its last word."""
    if word in (*stats.AXES, *own):
        return word
    return _one_of(next((name for name in own if name.endswith(f".{word}")), word), [*stats.AXES[1:], *own], "axis")


def _one_of(word: str, known: Iterable[str], what: str) -> str:
    names = list(known)
    if word not in names:
        key = "--question" if what == "question" else "--by"
        message = f"'{word}' is no {what} of this run: {', '.join(names)}"
        raise ConfigError(
            message, where=PLACE, key=key, advice=f"runner stats {key} {names[0] if names else ''}".strip()
        )
    return word


def _say_more(found: Statistics, view: stats.View, run: Mapping[str, Json]) -> None:
    """What the tables do not show: shared answers, other models' answers, the rest, and whether the run is whole."""
    say("")
    if found.shared:
        say(f"{many(found.shared, 'trial')} of later jobs share an earlier one's answer: in their cells, else once")
    for line in served.told(served.from_json(run.get("served", ()))):
        say(line)
    if not view.everything:
        say("--all: what is missing where, agreement, F, each axis, as published; --question, --by, --only: see --help")
    if run["status"] not in ("FINISHED", "FAILED"):
        still = "its batches still run" if run["status"] == "SCHEDULED" else "it was stopped"
        missing = f"{run['failed']} of {run['trials']} trials have no reply yet: {still}"
        following = "runner collect" if run["status"] == "SCHEDULED" else run["command"]
        say(f"not finished: {missing}. Continue: {following}")
