"""The command line: Hydra's application for a run or a sweep, and the verbs.

Imports nothing heavy, so that --help, --cfg and completion answer at once.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import ConfigError, RunnerError

if TYPE_CHECKING:
    from collections.abc import Sequence

VERBS = ("track",)
"""Words that a command line can start with instead of overrides. A group may not bear their names."""


def conf_dir() -> Path:
    """The folder of the config groups: inside the installed package, or beside it in a checkout."""
    here = Path(__file__).resolve().parent
    inside = here / "conf"
    return inside if inside.is_dir() else here.parent / "conf"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status (see the README for what each means)."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words and words[0] in VERBS:
            return _verb(words[0], words[1:])
        return _hydra(words)
    except RunnerError as error:
        _complain(error)
        return error.exit_status


def _complain(error: RunnerError) -> None:
    sys.stderr.write(f"error: {error}\n")
    if error.advice:
        sys.stderr.write(f"try:   {error.advice}\n")


def _verb(verb: str, words: Sequence[str]) -> int:
    if len(words) != 1 or words[0] in ("-h", "--help"):
        raise ConfigError(
            f"'{verb}' takes one run's folder", where="command line", advice=f"runner {verb} outputs/DAY/TIME"
        )
    from runner import commands

    return commands.track(Path(words[0]))


def _hydra(words: list[str]) -> int:
    import hydra

    from runner import schema
    from runner.hydra_errors import FOREIGN, translate
    from runner.task import Task

    schema.register()
    task = Task(shlex.join(["runner", *words]))
    # Hydra prints and exits by itself unless this is set; then it raises, and the message can be ours.
    own_trace = "HYDRA_FULL_ERROR" in os.environ
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = ["runner", *words]
    try:
        return task.finish(hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(task))
    except FOREIGN as error:
        if own_trace:
            raise
        raise translate(error, conf_dir()) from error


if __name__ == "__main__":
    sys.exit(main())
