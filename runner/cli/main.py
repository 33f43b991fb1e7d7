"""The command line: Hydra's application for a run or a sweep, and the verbs.

Imports nothing heavy, so that --help, --cfg and completion answer at once.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from runner.cli.arguments import LOUDNESS, CommandLine, sorted_out
from runner.errors import ConfigError, RunnerError, close, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.cli.session import Runs
    from runner.reporting.progress import Loudness

EXIT_ERROR, EXIT_INTERRUPTED = 1, 130

HYDRA_VERBS = ("plan", "rehearse")
"""Verbs that take overrides, as a run does."""


def conf_dir() -> Path:
    """The folder of the config groups: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status (see the README for what each means)."""
    words = list(sys.argv[1:] if argv is None else argv)
    whole_trace = "HYDRA_FULL_ERROR" in os.environ
    try:
        return _start(words)
    except RunnerError as error:
        _complain(error, words)
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write(f"interrupted; what was answered is kept\ntry:   {shlex.join(['runner', *words])}\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # whoever read the output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    except OSError as error:  # a disk that is full, a folder that may not be written
        if whole_trace or not (error.filename or error.errno == errno.ENOSPC):
            raise
        place = Path(os.fsdecode(error.filename) if error.filename else "output")
        advice = f"ls -ld {place.parent}" if error.filename else "df -h"
        _complain(RunnerError(f"{place}: {error.strerror}; what was answered is kept", advice=advice), words)
        return EXIT_ERROR


def _start(words: list[str]) -> int:
    first = next((word for word in words if word not in LOUDNESS), "")
    if first == "--version":
        from importlib.metadata import version

        sys.stdout.write(f"persona-runner {version('persona-runner')}\n")
        return 0
    if not first or _is_hydra(first):
        return _hydra(words, Command("", shlex.join(["runner", *words])))
    rest = [*words]
    rest.remove(first)
    if first in HYDRA_VERBS:
        return _hydra(rest, Command(first, shlex.join(["runner", first, *rest])))
    return _verb(first, rest)


@dataclass(frozen=True, slots=True)
class Command:
    """A command line that Hydra composes, as it was typed."""

    verb: str
    text: str


def _is_hydra(word: str) -> bool:
    """Whether a first word is an override or an option of Hydra's."""
    return word.startswith(("-", "+", "~")) or "=" in word


def _complain(error: RunnerError, words: Sequence[str]) -> None:
    sys.stderr.write(f"error: {error}\ntry:   {_whole(error, words) or _usual_advice(error, words)}\n")


def _whole(error: RunnerError, words: Sequence[str]) -> str | None:
    """Its advice; where that is to set one key, with all else that was typed, so that it can be typed as it stands."""
    verb = next((word for word in words if word not in LOUDNESS), "")
    if error.advice is None or not getattr(error, "key", None) or not (_is_hydra(verb) or verb in HYDRA_VERBS):
        return error.advice
    try:
        name, *overrides = shlex.split(error.advice)
    except ValueError:  # a quote in someone's name
        return error.advice
    if name != "runner" or len(overrides) != 1 or not re.match(r"[+\w][^ ]*=", overrides[0]):
        return error.advice
    keys = {overrides[0].lstrip("+").partition("=")[0], getattr(error, "key", None)}
    kept = [word for word in words if word.lstrip("+~").partition("=")[0] not in keys]
    return shlex.join(["runner", *kept, overrides[0]])


def _usual_advice(error: RunnerError, words: Sequence[str]) -> str:
    """What to type where an error knows nothing better: to see its file, its verb's options, or the config."""
    place = error.where if isinstance(error, ConfigError) and error.where else ""
    if place and Path(place).is_file():
        return shlex.join(["less", place])
    verb = next((word for word in words if word not in LOUDNESS), "")
    return f"runner {verb} --help" if verb in _verbs() and verb not in HYDRA_VERBS else "runner --cfg job"


def _verb(verb: str, words: Sequence[str]) -> int:
    from runner.cli.verbs import table

    if verb not in table.VERBS:
        known, meant = nearest(verb, _verbs()), close(verb, _verbs())
        advice = shlex.join(["runner", meant, *words]) if meant else "runner --help"
        raise ConfigError(f"'{verb}' is no verb and no override; {known}", where="command line", advice=advice)
    return table.call(verb, words, conf_dir())


def _verbs() -> tuple[str, ...]:
    from runner.cli.verbs import table

    return (*table.VERBS, *HYDRA_VERBS)


def _hydra(words: list[str], command: Command) -> int:
    """Hand the words to Hydra. With `plan`, its folder is one that nobody keeps."""
    fault_plan, words = _fault_plan(words) if command.verb == "rehearse" else ("", words)
    sorted_words = sorted_out(words)
    _refuse_bare(sorted_words.overrides, command.verb, words)
    if command.verb == "":
        return _compose(sorted_words, command.text, _session)
    if command.verb == "rehearse":
        return _compose(sorted_words, command.text, _rehearsal(fault_plan), "hydra/launcher=pooled")
    if search := next((word for word in words if re.fullmatch(r"hydra/sweeper=(?!basic$).+", word)), None):
        message = f"'{search}' chooses what to ask by the answers, so that no plan can be made of it"
        kept = shlex.join(["runner", "plan", *(word for word in words if word != search)])
        raise ConfigError(message, where="command line", advice=kept)
    with TemporaryDirectory() as folder:
        quiet = ("hydra.output_subdir=null", f"hydra.run.dir={folder}", f"hydra.sweep.dir={folder}")
        return _compose(sorted_words, command.text, _planner, *quiet, "hydra/launcher=pooled")


def _refuse_bare(overrides: Sequence[str], verb: str, words: Sequence[str]) -> None:
    """Say what is wrong with a word that is neither KEY=VALUE nor ~KEY: often a verb too late, or a value cut off."""
    for word in overrides:
        if "=" in word or word.startswith("~"):
            continue
        verbs = _verbs()
        before = words[words.index(word) - 1] if words.index(word) else ""
        if word in verbs:
            rest = [*words]
            rest.remove(word)
            message, advice = f"the verb '{word}' comes first", shlex.join(["runner", word, *rest])
        elif before.endswith(("=", ",")):
            place = words.index(word)
            meant = [verb, *words[: place - 1], f"{before}{word}", *words[place + 1 :]]
            message, advice = f"no space goes after '{before}'", shlex.join(["runner", *filter(None, meant)])
        else:
            message, advice = f"'{word}' is no override: write KEY=VALUE; {nearest(word, verbs)}", "runner --help"
        raise ConfigError(message, where="command line", advice=advice)


def _session(command: str, loudness: Loudness) -> Runs:
    from runner.cli.session import Session

    return Session(command, loudness=loudness)


def _planner(_command: str, _loudness: Loudness) -> Runs:
    from runner.cli.verbs.plan import Planner

    return Planner()


def _rehearsal(fault_plan: str) -> Callable[[str, Loudness], Runs]:
    def make(command: str, loudness: Loudness) -> Runs:
        from runner.cli.verbs.rehearse import Rehearsal

        try:
            return Rehearsal(command, fault_plan, loudness)
        except ConfigError as error:  # it is the fault plan's, which `runner simulate` reads too
            error.advice = error.advice and error.advice.replace("simulate", "rehearse")
            raise

    return make


def _fault_plan(words: list[str]) -> tuple[str, list[str]]:
    """The value of `--plan`, the simulated providers' fault plan, and everything else, which is Hydra's."""
    place = next((at for at, word in enumerate(words) if word == "--plan" or word.startswith("--plan=")), None)
    if place is None:
        return "calm", words
    if words[place] != "--plan":
        return words[place].partition("=")[2], words[:place] + words[place + 1 :]
    if place + 1 == len(words):
        advice = "runner rehearse --plan study"
        raise ConfigError("--plan needs a name or a YAML file", where="command line", advice=advice)
    return words[place + 1], words[:place] + words[place + 2 :]


def _compose(words: CommandLine, command: str, make: Callable[[str, Loudness], Runs], *further: str) -> int:
    import hydra

    from runner.cli.hydra_app import Task
    from runner.config import schema
    from runner.config.hydra_errors import FOREIGN, translate

    schema.register()
    task = Task(command, make, words.loudness)
    # Hydra prints and exits by itself unless this is set; then it raises, and the message can be ours.
    own_trace = "HYDRA_FULL_ERROR" in os.environ
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = ["runner", *further, *words.for_hydra]
    try:
        return task.finish(hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(task))
    except FOREIGN as error:
        if own_trace:
            raise
        raise translate(error, conf_dir(), shlex.split(command)[1:]) from error
