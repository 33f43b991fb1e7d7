"""`runner design`: what a budget should buy, from a run's variance components and prices, or before any run."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from runner.cli.arguments import PLACE
from runner.cli.output import console, say
from runner.cli.verbs import options
from runner.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from runner.reporting.design.search import Advice, Basis, Goal

NO_RUN = "no run is there yet: planned for what a plain `runner` asks"


def options_design(parser: argparse.ArgumentParser) -> None:
    """A run, an experiment, or both; what is to be reached."""
    words = "a run (the newest if none is named), and overrides of what is to be asked in its place"
    parser.add_argument("words", metavar="RUN|OVERRIDE", nargs="*", help=words)
    goal = parser.add_mutually_exclusive_group()
    goal.add_argument("--budget", metavar="USD", type=_above_0, help="the most to spend (what was spent)")
    goal.add_argument("--requests", metavar="N", type=_whole, help="the most requests, where nothing has a price")
    goal.add_argument("--halfwidth", metavar="POINTS", type=_above_0, help="how far a 95%% interval may reach")
    parser.add_argument("--texts", metavar="N", type=_whole, default=None, help="the most texts that you have")
    axes = ("model", "persona", "prompt", "temperature", "mean")
    parser.add_argument("--contrast", choices=axes, default=None, help="what is compared (models, if there are two)")
    parser.add_argument("--question", metavar="NAME", default=None, help="judge by this question alone")


def _above_0(word: str) -> float:
    """A number above 0; argparse shows the words of an ArgumentTypeError."""
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{word}' is no number above 0")
    return value


def _whole(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"'{word}' is no whole number above 0")
    return int(word)


def run_design(words: argparse.Namespace, conf: Path) -> int:
    """Show the designs that meet the goal, the best of them in detail, and the command that buys it."""
    from runner.reporting.design import render
    from runner.reporting.design.search import advise

    basis = _basis_of(words, conf)
    goal = _goal(words, basis)
    if words.contrast not in (None, "mean") and basis.shape.levels.get(words.contrast, 1) < 2:
        message = f"there is one {words.contrast} only, so that no two are compared"
        raise ConfigError(message, where=PLACE, key="--contrast", advice=_typed(words, "--contrast", "mean"))
    advice = advise(basis, goal, words.contrast)
    if advice is None:
        raise ConfigError(render.unmet(goal), where=PLACE, advice=_larger(words, basis, goal))
    _show(advice)
    return 0


def _show(advice: Advice) -> None:
    from runner.reporting.design import render

    shown = console()
    for table in render.tables(advice):
        shown.print(table)
    for line in render.remarks(advice):
        say(line, shown)


# ---- what it is planned from -----------------------------------------------------------------------------------------


def _basis_of(words: argparse.Namespace, conf: Path) -> Basis:
    from dataclasses import replace

    from runner.reporting import find_run
    from runner.reporting.design import basis

    overrides = [word for word in words.words if "=" in word or word.startswith("~")]
    named = [word for word in words.words if word not in overrides]
    if len(named) > 1:
        message = f"'{named[1]}' is one word too many: one run, and overrides as KEY=VALUE"
        kept = [word for word in words.typed if word != named[1]]
        raise ConfigError(message, where=PLACE, advice=shlex.join(["runner", "design", *kept]))
    words.overrides = [word for word in overrides if options.is_tracking(word)]
    asked = [word for word in overrides if word not in words.overrides]
    if not named and (asked or not find_run.launches()):
        if not asked:
            say(NO_RUN)
        found = _composed(asked, None)
    else:
        folder = options.folder_of(named[0] if named else None, words, conf)
        found = _composed(asked, folder) if asked else basis.of_run(folder)
    if words.question is None:
        return found
    if words.question not in found.questions:
        known = ", ".join(found.questions)
        raise ConfigError(f"no question is named '{words.question}': {known}", where=PLACE, key="--question",
                          advice=_typed(words, "--question", next(iter(found.questions))))  # fmt: skip
    return replace(found, questions={words.question: found.questions[words.question]})


def _composed(asked: list[str], run: Path | None) -> Basis:
    from runner import api
    from runner.reporting.design import basis

    return basis.of_experiment(api.compose(*asked).experiment, asked, run)


# ---- what is to be reached -------------------------------------------------------------------------------------------


def _goal(words: argparse.Namespace, basis: Basis) -> Goal:
    """What was asked for; without a word what the basis' own design costs."""
    from runner.reporting.design.search import MOST_TEXTS, Goal, goal_of

    try:
        return goal_of(basis, Goal(words.budget, words.requests, words.halfwidth, words.texts or MOST_TEXTS))
    except ConfigError as error:
        error.advice = _typed(words, "--requests", str(basis.shape.requests))
        raise


def _typed(words: argparse.Namespace, option: str, value: str) -> str:
    """What was typed, with one option set and those that it excludes left out."""
    goals = ("--budget", "--requests", "--halfwidth")
    gone = goals if option in goals else (option,)
    kept, rest = [], list(words.typed)
    while rest:
        word = rest.pop(0)
        if word.partition("=")[0] not in gone:
            kept.append(word)
        elif "=" not in word and rest:
            rest.pop(0)
    return shlex.join(["runner", "design", *kept, option, value])


def _larger(words: argparse.Namespace, basis: Basis, goal: Goal) -> str:
    """A goal that can be met."""
    from runner.reporting.design.precision import Shape
    from runner.reporting.design.search import cost_of

    if goal.halfwidth is not None:
        return _typed(words, "--halfwidth", f"{2 * goal.halfwidth:g}")
    least = Shape(2, 1, basis.shape.levels)
    usd = cost_of(basis, least, tuple(basis.prices))
    if goal.requests is not None or usd is None:
        return _typed(words, "--requests", str(least.requests))
    return _typed(words, "--budget", f"{usd * 1.01:.2g}" if usd > 0.01 else f"{usd * 1.1:.1e}")
