"""`runner --help`: every verb in a line with an example, then what each config group offers. At most 40 lines."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.verbs.table import VERBS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.cli.arguments import CommandLine

COLUMNS = 80
EXAMPLES_AT = 50
"""Column at which examples begin."""
FIRST = ("experiment", "model", "persona", "text", "prompt", "sampling")
"""Groups that a run mostly names, in the order of its thoughts; others follow by name."""
OPEN = (
    ("(no verb)", "a run: ask, score, report, log", "'persona=[poet,robot]'"),
    ("-m", "a sweep: every combination at once", "-m persona=poet,robot"),
)


def text(conf: Path, typed: CommandLine) -> str:
    """The page, as wide as the terminal where that has fewer than 80 columns."""
    width = min(COLUMNS, shutil.get_terminal_size().columns)
    lines = [
        "usage: runner [VERB] [OVERRIDES]",
        "",
        *(_verb(*each) for each in OPEN),
        *(_verb(name, verb.summary, verb.example) for name, verb in VERBS.items()),
        "RUN: a folder, an MLflow run id or name, or latest; the newest if none is named",
        "A verb's own options: runner VERB --help",
        "",
        "Config groups, as GROUP=NAME or 'GROUP=[NAME,NAME]':",
        *(_group(name, options, width) for name, options in groups([conf, *_further(typed.options)])),
        "",
        "--cfg job: the composed config   -q: results alone   -v: each retry as well",
        "--config-dir FOLDER: files of your own   --env-file .env: keys from a file",
        "--hydra-help: Hydra's other options",
    ]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _verb(name: str, summary: str, example: str) -> str:
    return f"{name:10} {summary}".ljust(EXAMPLES_AT) + f"runner {example}"


def groups(folders: Sequence[Path]) -> Iterator[tuple[str, list[str]]]:
    """Each group with its options by name, those of all folders together."""
    found: dict[str, set[str]] = {}
    for file in (file for folder in folders for file in folder.glob("*/*.yaml")):
        found.setdefault(file.parent.name, set()).add(file.stem)
    ordered = sorted(found, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    return ((name, sorted(found[name])) for name in ordered)


def _further(options: Sequence[str]) -> list[Path]:
    """The config folders that were typed."""
    found = []
    for place, option in enumerate(options):
        name, equals, value = option.partition("=")
        if name in ("--config-dir", "-cd"):
            found.append(Path(value if equals else options[place + 1]))
    return found


def _group(name: str, options: Sequence[str], width: int) -> str:
    """One line; where there are too many names, how many more there are."""
    head = f"  {name:11}"
    whole = head + ", ".join(options)
    if len(whole) <= width:
        return whole
    for shown in range(len(options) - 1, 0, -1):
        see = "; runner models" if name == "model" else ""
        line = f"{head}{', '.join(options[:shown])}, and {len(options) - shown} more{see}"
        if len(line) <= width:
            return line
    return f"{head}{len(options)} of them"
