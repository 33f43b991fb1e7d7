"""The command line: Hydra's application for a run or a sweep, and the verbs.

Imports nothing heavy, so that --help, --cfg and completion answer at once.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from runner.cli import env_file
from runner.cli.arguments import PLACE, CommandLine, first_of, own_options, sorted_out
from runner.cli.split_words import rejoined
from runner.cli.verbs import table
from runner.config.compose import conf_dir
from runner.errors import ConfigError, RunnerError, close, nearest, pasted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.cli.session import Runs
    from runner.reporting.progress import Loudness

EXIT_ERROR, EXIT_INTERRUPTED = 1, 130


class Compose(Protocol):
    """Composes the configs that were typed, and hands each job to what `make` gives; the exit status."""

    def __call__(self, make: Callable[[str, Loudness], Runs], *further: str) -> int:
        """`further`: overrides beside those that were typed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status (see the README for what each means)."""
    words = list(sys.argv[1:] if argv is None else argv)
    whole_trace = "HYDRA_FULL_ERROR" in os.environ
    try:
        env_file.load(words)
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
        advice = f"ls -ld {pasted(place.parent)}" if error.filename else "df -h"
        _complain(RunnerError(f"{place}: {error.strerror}; what was answered is kept", advice=advice), words)
        return EXIT_ERROR


def _start(words: list[str]) -> int:
    first = first_of(words)
    if first == "--version":
        from importlib.metadata import version

        sys.stdout.write(f"persona-runner {version('persona-runner')}\n")
        return 0
    if not first or _is_hydra(first):
        return _run(words)
    rest = [*words]
    rest.remove(first)
    if first == "run":
        raise ConfigError("a run has no verb", where=PLACE, advice=shlex.join(["runner", *rest]))
    if first not in table.VERBS:
        _refuse_split("", words)
        known, meant = nearest(first, table.VERBS), close(first, table.VERBS)
        advice = shlex.join(["runner", meant, *rest]) if meant else "runner --help"
        raise ConfigError(f"'{first}' is no verb and no override; {known}", where=PLACE, advice=advice)
    if table.VERBS[first].composes:
        return _composing(first, rest)
    return table.call(first, rest, conf_dir())


def _is_hydra(word: str) -> bool:
    """Whether a first word is an override or an option of Hydra's."""
    return word.startswith(("-", "+", "~")) or "=" in word


def _complain(error: RunnerError, words: Sequence[str]) -> None:
    sys.stderr.write(f"error: {error}\ntry:   {_whole(error, words) or _usual_advice(error, words)}\n")


def _whole(error: RunnerError, words: Sequence[str]) -> str | None:
    """Its advice; where that is to set one key, with all else that was typed, so that it can be typed as it stands."""
    verb = first_of(words)
    if error.advice is None or not getattr(error, "key", None) or not (_is_hydra(verb) or _composes(verb)):
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
        return f"less {pasted(place)}"
    verb = first_of(words)
    return f"runner {verb} --help" if verb in table.VERBS and not _composes(verb) else "runner --cfg job"


def _composes(verb: str) -> bool:
    return verb in table.VERBS and table.VERBS[verb].composes


def _run(words: list[str]) -> int:
    """A run or a sweep, or whatever else Hydra does with the words; the page of help is ours."""
    typed = sorted_out(words)
    if typed.asks_for_help:
        from runner.cli import help_page

        sys.stdout.write(help_page.text(conf_dir(), typed))
        return 0
    _refuse_bare(typed.overrides, "", words)
    return _compose(typed, shlex.join(["runner", *words]), _session)


def _composing(verb: str, words: list[str]) -> int:
    """A verb that takes a run's overrides."""
    parser = table.parser_of(verb)
    own, rest = own_options(parser, words, f"runner {table.VERBS[verb].example}")
    typed = sorted_out(rest)
    if typed.asks_for_help:
        parser.print_help()
        return 0
    _refuse_bare(typed.overrides, verb, words)
    if verb == "plan":
        _refuse_search(rest)
    status: int = table.action_of(verb)(own, partial(_compose, typed, shlex.join(["runner", verb, *words])))
    return status


def _refuse_search(words: Sequence[str]) -> None:
    search = next((word for word in words if re.fullmatch(r"hydra/sweeper=(?!basic$).+", word)), None)
    if search is not None:
        message = f"'{search}' chooses what to ask by the answers, so that no plan can be made of it"
        kept = shlex.join(["runner", "plan", *(word for word in words if word != search)])
        raise ConfigError(message, where=PLACE, advice=kept)


def _refuse_bare(overrides: Sequence[str], verb: str, words: Sequence[str]) -> None:
    """Say what is wrong with a word that is neither KEY=VALUE nor ~KEY: often a verb too late, or a value cut off."""
    for word in overrides:
        if "=" in word or word.startswith("~"):
            continue
        if word in table.VERBS:
            rest = [*words]
            rest.remove(word)
            message, advice = f"the verb '{word}' comes first", shlex.join(["runner", word, *rest])
            raise ConfigError(message, where=PLACE, advice=advice)
        _refuse_split(verb, words)
        known = nearest(word, table.VERBS)
        raise ConfigError(f"'{word}' is no override: write KEY=VALUE; {known}", where=PLACE, advice="runner --help")


def _refuse_split(verb: str, words: Sequence[str]) -> None:
    """Say which words belong together: the shell split a list without quotes, or a space stands beside = or a comma."""
    whole = rejoined(words)
    broken = next((one for one in whole if one not in words and "=" in one), None)
    if broken is None:
        return
    if broken != shlex.quote(broken):
        message = f"the shell split '{broken}' at a space: put quotes around it"
    else:
        message = f"no space goes into '{broken}'"
    raise ConfigError(message, where=PLACE, advice=shlex.join(filter(None, ["runner", verb, *whole])))


def _session(command: str, loudness: Loudness) -> Runs:
    from runner.cli.session import Session

    return Session(command, loudness=loudness)


def _compose(words: CommandLine, command: str, make: Callable[[str, Loudness], Runs], *further: str) -> int:
    import hydra

    from runner.cli.hydra_app import Task
    from runner.config import schema, wording
    from runner.config.hydra_errors import FOREIGN, translate

    schema.register()
    wording.check(shlex.split(command)[1:], conf_dir())
    task = Task(command, make, words.loudness)
    # Hydra prints and exits by itself unless this is set; then it raises, and the message can be ours.
    own_trace = "HYDRA_FULL_ERROR" in os.environ
    os.environ["HYDRA_FULL_ERROR"] = "1"
    kept, left_out = schema.without_gone_words(words.for_hydra)
    for line in left_out:
        sys.stderr.write(f"left out: {line}\n")
    sys.argv = ["runner", *further, *kept]
    try:
        return task.finish(hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(task))
    except RecursionError as error:
        message = "a config file, or a value that was typed, is nested too deep"
        raise ConfigError(message, where=str(conf_dir()), advice="runner --cfg job") from error
    except FOREIGN as error:
        if own_trace:
            raise
        raise translate(error, conf_dir(), shlex.split(command)[1:]) from error
    finally:
        if not own_trace:
            del os.environ["HYDRA_FULL_ERROR"]
