"""Who set a key of a composed config: a word that was typed, a file that was selected, or the item's own file.

What is refused after Hydra has composed is found by its key alone. Its error then names the place where the value can
be changed: what was typed wins over all files, an experiment's file over config.yaml, and that over a group's.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.config.selected import chosen_by, content, files, package
from runner.errors import COMMAND_LINE, EDIT, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from omegaconf import DictConfig

ITEM = re.compile(r"(model|persona|text|prompt)/(.+)\.yaml")
"""What an error calls an item's own file."""
SHOWN_CHARS = 120
"""So much of a typed word is repeated."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a config was composed from; with nothing known, every error stays as it is."""

    words: tuple[str, ...] = ()
    """The overrides, as they were typed; in a sweep, those of the job."""
    folders: tuple[Path, ...] = ()
    """The config folders, the one that wins first."""
    choices: tuple[tuple[str, str], ...] = ()
    """Group and name of each choice in groups of which one file is chosen: what another said was overridden."""

    @classmethod
    def of(cls, hydra: DictConfig) -> Origin:
        """From the `hydra` node of a composed config."""
        sources = hydra.runtime.config_sources
        folders = tuple(Path(str(source.path)) for source in sources if source.schema == "file")
        choices = tuple((str(group), str(name)) for group, name in hydra.runtime.choices.items())
        return cls(tuple(map(str, hydra.overrides.task)), folders, choices)

    def placed(self, error: ConfigError) -> ConfigError:
        """The error, said to be where its key was set; itself where that is what it says, or nobody knows better."""
        path = _path(error)
        if path is None or not (self.words or self.folders):
            return error
        paths = [path, *(_inside(error.where, other) for other in error.others)]
        if (found := self._typed(paths)) is not None:
            word, key = found
            shown = word if len(word) <= SHOWN_CHARS else f"{word[:SHOWN_CHARS]}..."
            said = f"{error.message} (typed: {shown})"
            return _moved(error, said, COMMAND_LINE, key, error.advice)
        if (found_in := self._file(paths)) is not None:
            file, place, key = found_in
            advice = error.advice or f"{EDIT}{shlex.quote(_from_here(place))}"
            return error if file == error.where else _moved(error, error.message, file, key, advice)
        return error

    def _typed(self, paths: Sequence[tuple[str, ...]]) -> tuple[str, str] | None:
        """The last word that sets one of the keys, or takes away what is below it; and the key."""
        for word in reversed(self.words):
            for key in (".".join(path) for path in paths):
                if _sets(word, key):
                    return word, key
        return None

    def _file(self, paths: Sequence[tuple[str, ...]]) -> tuple[str, Path, str] | None:
        """Name and place of the file whose value holds, and the key as that file calls it."""
        found = sorted(self._files(paths), key=lambda one: one[0])
        return found[0][1:] if found else None

    def _files(self, paths: Sequence[tuple[str, ...]]) -> Iterator[tuple[int, str, Path, str]]:
        chosen = dict(self.choices)
        for group, name, place in files(self.words, self.folders):
            inner, root = content(place), package(place, group)
            if root and chosen.get(group, name) != name:
                continue
            for path in paths:
                if path[: len(root)] == root and _holds(inner, path[len(root) :]):
                    rank = 1 if not group else 0 if not root else 2
                    yield rank, f"{group}/{name}.yaml".lstrip("/"), place, ".".join(path[len(root) :])


def _path(error: ConfigError) -> tuple[str, ...] | None:
    """The whole key that an error is about, in parts; None where it is about none."""
    return None if error.key is None else _inside(error.where, error.key) or None


def _inside(where: str | None, key: str) -> tuple[str, ...]:
    parts = tuple(key.split("."))
    if where == "config.yaml":
        return parts
    if item := ITEM.fullmatch(where or ""):
        return (item[1], item[2], *parts)
    return (where.removeprefix("group "), *parts) if where and where.startswith("group ") else ()


def _sets(word: str, key: str) -> bool:
    """Whether a word gives a key its value: itself, as a part of a larger value, or by taking away what is below it."""
    stated, _, value = word.lstrip("+~").partition("=")
    stated = stated.partition("@")[0]
    if stated == key or (word.startswith("~") and stated.startswith(f"{key}.")):
        return True
    is_value = "." in stated or value.startswith("{")  # else it chooses a group's files, whose values are their own
    return is_value and key.startswith(f"{stated}.")


def _holds(inner: Any, path: Sequence[str]) -> bool:
    """Whether a file's content states the key; of a group, whether its defaults list chooses."""
    if len(path) == 1 and isinstance(inner, dict) and path[0] in chosen_by(inner):
        return True
    for place, name in enumerate(path):
        if not isinstance(inner, dict) or name not in inner:
            return place > 0 and not isinstance(inner, dict)
        inner = inner[name]
    return True


def _from_here(place: Path) -> str:
    """A path as it is shortest to type."""
    here = Path.cwd()
    return str(place.relative_to(here) if place.is_relative_to(here) else place)


def _moved(error: ConfigError, message: str, where: str, key: str, advice: str | None) -> ConfigError:
    moved = ConfigError(message, where=where, key=key, advice=advice)
    moved.__cause__ = error.__cause__
    return moved


UNKNOWN = Origin()
"""Nothing is known: what is read again of a run that is written."""
