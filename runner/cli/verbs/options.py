"""Options that several verbs take, and what their words mean: a run, tracking settings, a port."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING

from runner.cli.arguments import PLACE
from runner.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runner.records import Tracking

RUN = "a folder, an MLflow run id or name, or latest; the newest run if none is named"
_TRACKING = re.compile(r"\+*tracking(?:@\w+)?[.=]")


# ---- a run -----------------------------------------------------------------------------------------------------------


def one_run(parser: argparse.ArgumentParser) -> None:
    """RUN, which may be left out, and tracking settings."""
    parser.add_argument("run", metavar="RUN", nargs="?", help=RUN)
    tracking_words(parser)


def tracking_words(parser: argparse.ArgumentParser) -> None:
    """Overrides of where MLflow is."""
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="tracking.KEY=VALUE", help="where MLflow is, if not the default"
    )


def is_tracking(word: str) -> bool:
    """Whether a word is an override of tracking settings."""
    return _TRACKING.match(word) is not None


def sort_words(parsed: argparse.Namespace, verb: str, words: Sequence[str]) -> None:
    """Tell the run from the overrides, which may stand in any order. ConfigError for a word that is neither."""
    if "overrides" not in parsed:
        return
    own = next((name for name in ("run", "path") if name in parsed), None)
    named = [word for word in (getattr(parsed, own) if own else None, *parsed.overrides) if word is not None]
    rest = [word for word in named if not is_tracking(word)]
    parsed.overrides = [word for word in named if is_tracking(word)]
    if own:
        setattr(parsed, own, rest.pop(0) if rest else None)
    if rest:
        message = f"'{rest[-1]}' is one word too many: only tracking.KEY=VALUE may follow"
        raise ConfigError(message, where=PLACE, advice=shlex.join(["runner", verb, *_without(words, rest[-1])]))


def _without(words: Sequence[str], word: str) -> list[str]:
    """The words but the last that is this one."""
    at = len(words) - 1 - [*reversed(words)].index(word)
    return [*words[:at], *words[at + 1 :]]


def run_of(words: argparse.Namespace, conf: Path) -> Path:
    """The folder of the run that a verb was given, or of the newest one, which it names.

    ConfigError where there is none, or where it is not complete.
    """
    return folder_of(words.run, words, conf)


def folder_of(word: str | None, words: argparse.Namespace, conf: Path) -> Path:
    """The folder of one run that is named, or of the newest."""
    from runner.reporting import find_run
    from runner.results import manifest

    if word is None or word == find_run.LATEST:
        folder = find_run.newest()[0]
        say_which([folder])
    else:
        try:
            folder = find_run.find(word, partial(tracking_of, conf, getattr(words, "overrides", ())))
        except find_run.UnknownRunError as error:
            if error.near:
                meant = [str(error.near[0]) if each == word else each for each in words.typed]
                error.advice = shlex.join(["runner", words.verb, *meant])
            raise
    manifest.check(folder)
    return folder


def say_which(folders: Sequence[Path]) -> None:
    """Which runs were taken, on standard error: what a verb prints may be read by a machine."""
    from runner.cli.output import quoted

    what = "the newest run" if len(folders) == 1 else f"the newest {len(folders)} runs"
    sys.stderr.write(f"{what}: {' '.join(map(quoted, folders))}\n")


def tracking_of(conf: Path, overrides: Sequence[str]) -> Tracking:
    """Tracking settings as the configs and the overrides give them."""
    from hydra import compose, initialize_config_dir

    from runner.config import schema
    from runner.config.load import tracking_of as settings_in

    schema.register()
    with initialize_config_dir(str(conf), version_base="1.3"):
        return settings_in(compose("config", overrides=list(overrides)))


# ---- a port ----------------------------------------------------------------------------------------------------------


def address(parser: argparse.ArgumentParser, port: int) -> None:
    """--host and --port."""
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (127.0.0.1)")
    parser.add_argument("--port", type=_port, default=port, help=f"port to serve on ({port})")


def _port(word: str) -> int:
    """A port's number; argparse shows the words of an ArgumentTypeError."""
    if not word.isdecimal() or not int(word) < 2**16:
        raise argparse.ArgumentTypeError(f"'{word}' is no port: a whole number below {2**16}")
    return int(word)


def check_port(host: str, port: int, verb: str) -> None:
    """ConfigError where nothing can be served there, before anything is started."""
    try:
        with socket.create_server((host, port)):
            return
    except OSError as error:
        message = f"cannot serve on {host}:{port}: {os.strerror(error.errno) if error.errno else error}"
        advice = f"runner {verb} --port {port % 65535 + 1}"
        raise ConfigError(message, where=PLACE, key="--port", advice=advice) from error
