"""The command line: Hydra's application for a run or a sweep, and the verbs.

Imports nothing heavy, so that --help, --cfg and completion answer at once.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from runner.errors import ConfigError, RunnerError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.session import Runs

EXIT_ERROR = 1

HYDRA_VERBS = ("plan", "rehearse")
"""Verbs that take overrides, as a run does."""


def conf_dir() -> Path:
    """The folder of the config groups: inside the installed package, or beside it in a checkout."""
    here = Path(__file__).resolve().parent
    inside = here / "conf"
    return inside if inside.is_dir() else here.parent / "conf"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status (see the README for what each means)."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words and words[0] in HYDRA_VERBS:
            return _hydra(words[1:], words[0])
        if words and not _is_hydra(words[0]):
            return _verb(words[0], words[1:])
        return _hydra(words)
    except RunnerError as error:
        _complain(error)
        return error.exit_status
    except BrokenPipeError:  # whoever read the output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR


def _is_hydra(word: str) -> bool:
    """Whether a first word is an override or an option of Hydra's."""
    return word.startswith(("-", "+", "~")) or "=" in word


def _complain(error: RunnerError) -> None:
    sys.stderr.write(f"error: {error}\n")
    if error.advice:
        sys.stderr.write(f"try:   {error.advice}\n")


def _verb(verb: str, words: Sequence[str]) -> int:
    from runner import verbs

    if verb not in verbs.VERBS:
        known = nearest(verb, (*verbs.VERBS, *HYDRA_VERBS))
        raise ConfigError(f"'{verb}' is no verb and no override; {known}", where="command line", advice="runner --help")
    return verbs.call(verb, words, conf_dir())


def _session(command: str) -> Runs:
    from runner.session import Session

    return Session(command)


def _planner(_command: str) -> Runs:
    from runner.planner import Planner

    return Planner()


def _hydra(words: list[str], verb: str = "") -> int:
    """Hand the words to Hydra. With `plan`, its folder is one that nobody keeps."""
    if verb == "":
        return _compose(words, _session)
    if verb == "rehearse":
        return _rehearse(words)
    with TemporaryDirectory() as folder:
        quiet = ["hydra.output_subdir=null", f"hydra.run.dir={folder}", f"hydra.sweep.dir={folder}"]
        return _compose([*words, *quiet, "hydra/launcher=pooled"], _planner)


def _rehearse(words: list[str]) -> int:
    """`--plan NAME` is the simulated providers' fault plan; everything else is Hydra's."""
    plan = "calm"
    if "--plan" in words:
        place = words.index("--plan")
        if place + 1 == len(words):
            advice = "runner rehearse --plan study"
            raise ConfigError("--plan needs a name or a YAML file", where="command line", advice=advice)
        plan = words[place + 1]
        words = words[:place] + words[place + 2 :]

    def make(command: str) -> Runs:
        from runner.rehearsal import Rehearsal

        return Rehearsal(command.replace("runner", "runner rehearse", 1), plan)

    return _compose([*words, "hydra/launcher=pooled"], make)


def _compose(words: list[str], make: Callable[[str], Runs]) -> int:
    import hydra

    from runner import schema
    from runner.hydra_errors import FOREIGN, translate
    from runner.task import Task

    schema.register()
    task = Task(shlex.join(["runner", *words]), make)
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
