"""The words of a command line, put in the order that Hydra takes them, and how much of a run is shown.

Hydra's own parser takes its overrides in one piece only: it refuses `runner a=1 -m b=2`. Here options stand anywhere.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.errors import ConfigError, nearest

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator, Sequence

    from runner.reporting.progress import Loudness

LOUDNESS: dict[str, Loudness] = {"-q": "quiet", "--quiet": "quiet", "-v": "verbose", "--verbose": "verbose"}
FLAGS = ("--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m",
    "--shell-completion", "-sc")  # fmt: skip
"""Hydra's options that stand alone."""
VALUED = ("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd",
    "--experimental-rerun")  # fmt: skip
"""Hydra's options that the next word belongs to."""
ENV_FILE = "--env-file"
"""Ours, like those about loudness: see cli/env_file.py."""
HELP = ("--help", "-h")
CFG, CFG_OF = ("--cfg", "-c"), ("job", "hydra", "all")
INFO = ("--info", "-i")
"""Takes the next word where that is one of INFO_OF."""
INFO_OF = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


PLACE = "command line"


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A command line for Hydra."""

    overrides: tuple[str, ...]
    options: tuple[str, ...]
    """With their values."""
    loudness: Loudness = "usual"

    @property
    def asks_for_help(self) -> bool:
        """Whether --help is among the options."""
        return any(_spelt_out(option) in HELP for option in self.options)

    @property
    def for_hydra(self) -> list[str]:
        """All words but those that are ours: overrides in one piece, and first, so that --info takes none of them."""
        return [*self.overrides, *self.options]


def sorted_out(words: Sequence[str]) -> CommandLine:
    """Sort a command line without its verb. ConfigError for an option that nobody knows, and for -q with -v."""
    overrides: list[str] = []
    options: list[str] = []
    asked: set[Loudness] = set()
    rest = deque(_apart(words))
    while rest:
        word = rest.popleft()
        if word in LOUDNESS:
            asked.add(LOUDNESS[word])
        elif word.partition("=")[0] == ENV_FILE:
            if word == ENV_FILE and rest:
                rest.popleft()
        elif word == "--":
            overrides += rest
            rest.clear()
        elif word.startswith("-"):
            _check(word)
            options.append(word)
            if rest and _takes(word, rest[0]):
                options.append(rest.popleft())
            _check_value(options)
        else:
            overrides.append(word)
    if len(asked) > 1:
        raise ConfigError("-q and -v exclude each other", where=PLACE)
    return CommandLine(tuple(overrides), tuple(options), next(iter(asked), "usual"))


def first_of(words: Sequence[str]) -> str:
    """The word that says what is to be done: the first that is no option of ours; "" where there is none."""
    rest = deque(words)
    while rest and (rest[0] in LOUDNESS or rest[0].partition("=")[0] == ENV_FILE):
        if rest.popleft() == ENV_FILE and rest:
            rest.popleft()
    return rest[0] if rest else ""


def own_options(parser: ArgumentParser, words: Sequence[str], example: str) -> tuple[Namespace, list[str]]:
    """A verb's own options with their values, and all other words, which are a run's. `example` shows a value.

    The options also hold `typed`, all words as they were.

    ConfigError for an option without its value.
    """
    actions = parser._option_string_actions  # noqa: SLF001  argparse has no public way to list them
    own: list[str] = []
    others: list[str] = []
    rest = deque(words)
    while rest:
        word = rest.popleft()
        name, equals, _ = word.partition("=")
        action = actions.get(name)
        if action is None or name in HELP:
            others.append(word)
            continue
        own.append(word)
        if not equals and action.nargs in (None, "?") and rest and not _is_override(rest[0]):
            own[-1] = f"{word}={rest.popleft()}"
        elif not equals and action.nargs is None:
            raise ConfigError(f"{name} needs a value: {action.help}", where=PLACE, advice=example)
    return parser.parse_args(own, Namespace(typed=tuple(words))), others


def _is_override(word: str) -> bool:
    return word.startswith(("-", "+", "~")) or "=" in word


def _takes(option: str, word: str) -> bool:
    """Whether the word that follows an option belongs to it."""
    whole = _spelt_out(option)
    return whole in VALUED or (whole in INFO and word in INFO_OF)


def _check(option: str) -> None:
    name = option.partition("=")[0]
    known = (*FLAGS, *VALUED, *INFO, *LOUDNESS, ENV_FILE)
    if name.startswith("--") and not any(one.startswith(name) for one in known):
        raise ConfigError(
            f"no option is named '{name}'; {nearest(name, known)}", where=PLACE, advice="runner --hydra-help"
        )


def _check_value(options: list[str]) -> None:
    """An option's value is there, and one that it takes."""
    last = _spelt_out(options[-1])
    if last in VALUED:
        raise ConfigError(f"{last} needs a value", where=PLACE, advice="runner --hydra-help")
    before = _spelt_out(options[-2]) if len(options) > 1 else ""
    name, equals, value = last.partition("=")
    name, value = (name, value) if equals else (before, options[-1])
    if name in CFG and value not in CFG_OF:
        raise ConfigError(f"{name} takes {', '.join(CFG_OF)}, not '{value}'", where=PLACE, advice="runner --cfg job")


def _spelt_out(option: str) -> str:
    """A long option that was shortened, as argparse allows; any other as it is."""
    fits = [name for name in (*FLAGS, *VALUED, *INFO) if option.startswith("--") and name.startswith(option)]
    return option if option in fits or len(fits) != 1 else fits[0]


def _apart(words: Sequence[str]) -> Iterator[str]:
    """Short options that were written as one, such as -mq, one by one."""
    for word in words:
        yield from (f"-{letter}" for letter in word[1:]) if re.fullmatch(r"-[hmqrv]{2,}", word) else (word,)
