"""`runner completion`: the script for a shell, and what that script asks at every tab."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from runner.cli import completion
from runner.cli.arguments import PLACE
from runner.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def options_completion(parser: argparse.ArgumentParser) -> None:
    """Which shell."""
    parser.add_argument("shell", nargs="?", choices=completion.SHELLS, help="print the script for this shell")
    parser.add_argument("--query", metavar="SHELL", choices=completion.SHELLS, help=argparse.SUPPRESS)


def run_completion(words: argparse.Namespace, conf: Path) -> int:
    """Print the script, or what may stand where the line ends."""
    if words.query:
        sys.stdout.write(completion.answer(os.environ.get("COMP_LINE", ""), conf))
    elif words.shell:
        sys.stdout.write(completion.script(words.shell))
    else:
        raise ConfigError("for which shell?", where=PLACE, advice=completion.HOW["bash"])
    return 0
