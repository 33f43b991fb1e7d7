"""Which config file of those that a command line selects says something: its defaults list, or one of its keys.

Hydra merges all defaults lists into one before it looks for their files, and names the first file for whatever it does
not find. So the files are read again, as YAML alone, and in the order in which one leads to the next.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The fast one, where PyYAML was built with it."""
PACKAGE = re.compile(r"\s*#\s*@package\s+(\S+)")


@dataclass(frozen=True, slots=True)
class DefaultsEntry:
    """One choice of a defaults list: in which file (`group/name.yaml`), of which group, which name."""

    file: str
    group: str
    name: str | None


def choices(words: Sequence[str], folders: Sequence[Path]) -> Iterator[DefaultsEntry]:
    """What the defaults lists of all selected files choose. `folders` are the config folders, in order of precedence.

    A file that cannot be found or read is passed over: whoever asks has an error of its own about it.
    """
    waiting = [("", "config"), *_typed(words)]
    seen: set[tuple[str, str]] = set()
    while waiting:
        group, name = waiting.pop(0)
        if (group, name) in seen:
            continue
        seen.add((group, name))
        file = f"{group}/{name}.yaml".lstrip("/")
        for entry in _defaults(_first(file, folders).get("defaults"), file, group):
            yield entry
            if entry.name is not None:
                waiting.append((entry.group, entry.name))


def _typed(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Group and name of each choice on a command line: group=name, +group=[a,b], group@package=a,b."""
    for word in words:
        key, equals, value = word.lstrip("+").partition("=")
        if equals and "." not in key and not key.startswith("-"):
            group = key.partition("@")[0]
            yield from ((group, name.strip(" '\"")) for name in value.strip("[]").split(",") if name.strip())


def _first(file: str, folders: Sequence[Path]) -> dict[str, Any]:
    place = next((folder / file for folder in folders if (folder / file).is_file()), None)
    return {} if place is None else content(place)


def content(place: Path) -> dict[str, Any]:
    """What a config file holds; nothing where it cannot be read."""
    try:
        found = yaml.load(place.read_bytes(), Loader=LOADER)  # noqa: S506  one of the two safe loaders
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def package(place: Path, group: str) -> tuple[str, ...]:
    """Where a config file's keys go, in parts: as its first line says, else its group; () at the root."""
    try:
        text = place.read_text(encoding="utf-8")
    except (OSError, ValueError):
        text = ""
    return package_of(text, group)


def package_of(text: str, group: str) -> tuple[str, ...]:
    """`package` of a file's text."""
    stated = PACKAGE.match(text)
    name = stated[1] if stated else "_group_"
    if name in ("_group_", "_global_"):
        return tuple(group.split("/")) if name == "_group_" and group else ()
    return tuple(name.split("."))


def chosen_by(inner: dict[str, Any]) -> set[str]:
    """The groups of which a file's defaults list chooses, or chooses none."""
    listed = inner.get("defaults")
    items = (item for item in listed if isinstance(item, dict)) if isinstance(listed, list) else ()
    return {_group(str(key).split()[-1].partition("@")[0], "") for item in items for key in item}


def _defaults(listed: Any, file: str, here: str) -> Iterator[DefaultsEntry]:
    for item in listed if isinstance(listed, list) else ():
        if isinstance(item, str) and item != "_self_":
            yield DefaultsEntry(file, *_parted(item, here))
        elif isinstance(item, dict):
            for key, value in item.items():
                group = _group(str(key).split()[-1].partition("@")[0], here)
                for name in value if isinstance(value, list) else [value]:
                    yield DefaultsEntry(file, group, None if name is None else str(name))


def _group(stated: str, here: str) -> str:
    """A group from the root: one that is not written with a slash lies below its file's own."""
    return stated[1:] if stated.startswith("/") else f"{here}/{stated}".strip("/")


def _parted(item: str, here: str) -> tuple[str, str]:
    """Group and name of an entry without a group of its own: a file beside this one, or from the root."""
    group, _, name = _group(item, here).rpartition("/")
    return group, name


def files(words: Sequence[str], folders: Sequence[Path]) -> Iterator[tuple[str, str, Path]]:
    """Group, name and place of each file that a command line selects, as far as they are there."""
    listed = ((entry.group, entry.name) for entry in choices(words, folders) if entry.name is not None)
    for group, name in dict.fromkeys([("", "config"), *_typed(words), *listed]):
        places = (folder / group / f"{name}.yaml" for folder in folders)
        if (place := next((place for place in places if place.is_file()), None)) is not None:
            yield group, name, place
