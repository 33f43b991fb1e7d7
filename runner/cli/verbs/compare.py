"""`runner compare`: settings in which runs differ, and how far their scores lie apart, paired."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.arguments import PLACE
from runner.cli.output import console, quoted, say
from runner.cli.verbs import options
from runner.config.settings import shown
from runner.errors import ConfigError
from runner.reporting import compare, find_run
from runner.reporting.formatting import NONE, between, many, p_value, plain, signed
from runner.reporting.stats.inference import ABOUT
from runner.reporting.terminal import empty_table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from rich.console import Group
    from rich.table import Table

    from runner.reporting.compare import Comparison


METHOD = (
    "Estimator: mean of the texts' paired differences, Student's t; unit: the text (the repetition where there is one "
    "text); df: texts - 1; correction: Holm, a question and every two of the runs; draws: none; seed: none."
)
"""How the numbers of a comparison are made: as those of `runner stats` are."""


def options_compare(parser: argparse.ArgumentParser) -> None:
    """Runs, the first of which the others are set against."""
    help_ = "folders, MLflow run ids or names, latest; the newest two runs if none is named"
    parser.add_argument("runs", metavar="RUN", nargs="*", help=help_)
    parser.add_argument("--out", metavar="FOLDER", default=".", help="where compare_*.csv go (this folder)")


def run_compare(words: argparse.Namespace, conf: Path) -> int:
    """Show what tells runs apart, and write it as two CSV files."""
    words.overrides = [word for word in words.runs if options.is_tracking(word)]
    found = compare.compare(_runs_of(words, conf))
    console().print(render_comparison(found))
    out = Path(words.out)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (("settings", compare.settings_csv(found)), ("scores", compare.scores_csv(found))):
        path = out / f"compare_{name}.csv"
        path.write_text(text, encoding="utf-8", newline="")
        say(f"written: {quoted(path)}")
    return 0


def _runs_of(words: argparse.Namespace, conf: Path) -> list[Path]:
    """The runs that were named, else the newest two, the older first: differences are then the newer less the older."""
    named = [word for word in words.runs if word not in words.overrides]
    if not named:
        newest = find_run.newest(2)[::-1]
        options.say_which(newest)
        return newest
    found = [options.folder_of(word, words, conf) for word in named]
    if len(found) == 1 and not (found[0] / "sweep.json").is_file():
        others = [folder for folder in find_run.launches() if folder.resolve() != found[0].resolve()]
        advice = shlex.join(["runner", "compare", named[0], str(others[0]) if others else "RUN"])
        raise ConfigError("compares two runs or more, or the jobs of a sweep", where=PLACE, advice=advice)
    return found


def render_comparison(found: Comparison) -> Group:
    """For a terminal: which run has which number, the settings that differ, the score differences."""
    from rich.console import Group
    from rich.text import Text

    runs = {name: f"run {number}" for number, name in enumerate(found.names, 1)}
    alone = [f"{runs[name]} shares no scored text and persona with run 1" for name in found.unpaired]
    same = [] if found.settings else ["the settings are the same"]
    tables = [
        *([_setting_table(found, runs)] if found.settings else []),
        *([_score_table(found, runs)] if found.scores else []),
    ]
    legend = (f"{number}: {quoted(Path(name))}" for name, number in runs.items())
    return Group(*map(Text, (*legend, *same)), *tables, *map(Text, alone))


def _setting_table(found: Comparison, runs: Mapping[str, str]) -> Table:
    from rich.text import Text

    drawn = empty_table("Settings that differ", ["setting", *runs.values()])
    for each in found.settings:
        first = each.values[0]
        values = (shown(value, each.values[1] if value is first else first) for value in each.values)
        drawn.add_row(Text(each.key), *map(Text, values))
    return drawn


def _score_table(found: Comparison, runs: Mapping[str, str]) -> Table:
    from rich.text import Text

    figures = ("run", "pairs", "run 1", "mean", "difference", "95% interval", "p (Holm)")
    about = ", or ".join(dict.fromkeys(ABOUT[each.interval.scope] for each in found.scores if each.pairs))
    drawn = empty_table(f"Scores against run 1, paired{f', {about}' if about else ''}", ["question"], figures)
    for each in found.scores:
        drawn.add_row(
            Text(each.question),
            runs[each.left].removeprefix("run "),
            str(each.pairs),
            plain(each.right_mean, 1),
            plain(each.left_mean, 1),
            signed(each.difference),
            between(each.interval, 1, signed) or NONE,
            p_value(each.p_holm),
        )
    drawn.caption = Text(" ".join([METHOD, *_warnings(found)]))
    drawn.caption_justify = "left"
    return drawn


def _warnings(found: Comparison) -> Iterator[str]:
    """What the numbers do not show: answers that runs share, and scores that one side lacks more of."""
    if shared := max(each.same for each in found.scores):
        yield f"Left out: up to {many(shared, 'cell')} whose answers jobs of one sweep share."
    uneven = dict.fromkeys(each.question for each in found.scores if each.uneven)
    if uneven:
        yield f"Scores are missing unevenly of {', '.join(uneven)}: runner stats RUN says how far that could matter."
