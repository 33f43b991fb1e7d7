"""`runner ledger`: what was paid for, looked at and put in order; a module a kind of work.

sizes, list, show           look
forget, restore, prune      throw
merge, export, vacuum       move
"""

from __future__ import annotations

import argparse
import shlex
from importlib import import_module
from typing import TYPE_CHECKING

from runner.cli.arguments import PLACE
from runner.config.database_urls import file_of, url_of
from runner.errors import ConfigError, LedgerError
from runner.records import duration_s

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ACTIONS: Mapping[str, tuple[str, str]] = {
    "sizes": ("look", "what it holds of each model, and how much room it takes (default)"),
    "list": ("look", "answers, the newest first: list [RUN|KEY ...]"),
    "show": ("look", "one answer with its reply: show KEY"),
    "forget": ("throw", "into the trash, to be asked anew; shows what would go unless --yes"),
    "restore": ("throw", "back out of the trash: restore [RUN|KEY ...]"),
    "prune": ("throw", "empty the trash for good; shows what would go unless --yes"),
    "merge": ("move", "take over another ledger's answers: merge FILE|URL|EXPORT"),
    "export": ("move", "write answers as JSON lines: export FILE [RUN|KEY ...]"),
    "vacuum": ("move", "give unused room back to the disk"),
}
"""What can be done -> its module, and what it does."""
RUNS_KINDS = (
    "no_score", "missing_question", "not_a_number", "out_of_range", "other_scale", "ambiguous", "malformed",
    "other_model",
)  # fmt: skip
"""Kinds that need a run's questions, and so its rows."""


def options_ledger(parser: argparse.ArgumentParser) -> None:
    """What to do, with which answers."""
    from runner.ledger.upkeep.kinds import KINDS

    parser.description = "\n".join(
        [str(parser.description), "", *(f"  {name:8} {summary}" for name, (_, summary) in ACTIONS.items())]
    )
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="sizes", metavar="ACTION", help="one of these")
    parser.add_argument("names", nargs="*", metavar="RUN|KEY|FILE", help="runs; keys or their beginnings; a file")
    parser.add_argument("--model", action="append", default=[], metavar="ID", help="of this model; * for anything")
    kinds = f"{', '.join(KINDS)}; of a RUN also {', '.join(RUNS_KINDS)}"
    parser.add_argument("--kind", action="append", default=[], help=kinds)
    parser.add_argument("--older-than", type=_age, metavar="AGE", help="such as 30d, 12h, 45m")
    parser.add_argument("--newer-than", type=_age, metavar="AGE", help="likewise")
    parser.add_argument("--limit", type=_count, default=20, metavar="N", help="most lines of a list (20; 0: all)")
    parser.add_argument("--yes", action="store_true", help="do it: forget and prune only show, without")
    parser.add_argument("--ledger", metavar="URL", help="which ledger (the run's, else sqlite:///outputs/ledger.db)")


def run_ledger(words: argparse.Namespace, conf: Path) -> int:
    """Do what was asked. The ledger is named in every error, with what to type."""
    from runner.cli.verbs.ledger.chosen import chosen

    module = import_module(f"runner.cli.verbs.ledger.{ACTIONS[words.action][0]}")
    if words.yes and words.action not in ("forget", "prune"):
        raise ConfigError("--yes is for forget and prune", where=PLACE, advice="runner ledger --help")
    _refuse_override(words)
    found = chosen(words, conf)
    _check_there(found.url)
    try:
        status: int = getattr(module, f"do_{words.action}")(found)
    except LedgerError as error:
        error.advice = error.advice or "runner ledger --help"
        raise
    return status


def _refuse_override(words: argparse.Namespace) -> None:
    """Say how a ledger is named here, to whoever types it as for a run."""
    typed = next((name for name in words.names if name.startswith("ledger.url=")), None)
    if typed is not None:
        kept = [word for word in words.typed if word != typed]
        advice = shlex.join(["runner", "ledger", *kept, "--ledger", typed.partition("=")[2]])
        raise ConfigError("a ledger is named by --ledger here", where=PLACE, key="ledger.url", advice=advice)


def _check_there(url: str) -> None:
    """LedgerError where the usual ledger is not there, with the ledgers that are: a rehearsal has one of its own."""
    place = file_of(url)
    if place is None or place.exists():
        return
    others = sorted(place.parent.glob("*.db"), key=lambda path: path.stat().st_mtime, reverse=True)
    if others:
        there = ", ".join(url_of(path) for path in others)
        message = f"there is no ledger at {url}; beside it there is {there} (a rehearsal's is rehearsal.db)"
        raise LedgerError(message, advice=f"runner ledger --ledger {shlex.quote(url_of(others[0]))}")


def _age(word: str) -> float:
    """Seconds; argparse shows the words of an ArgumentTypeError."""
    try:
        return duration_s(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _count(word: str) -> int:
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"'{word}' is no whole number")
    return int(word)
