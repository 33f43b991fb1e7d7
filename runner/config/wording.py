"""Words that YAML, or Hydra's grammar, reads as something else before they become a text's or a persona's words again.

To YAML `title: 12:30` is 750, `language: no` and a key `no` are False, and `content: 3.10` and `author: 007` lose a
digit. Where the schema wants words, such a value is refused with the advice to put it in quotes: what a model is asked
is then what the file says, to the letter. Numbers that read as they are written (a title 1984) need none.
"""

from __future__ import annotations

import re
import shlex
from functools import cache
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

import yaml

from runner.config import schema
from runner.config.hydra_errors import own_folders
from runner.config.selected import LOADER, files, package_of
from runner.errors import COMMAND_LINE, EDIT, ConfigError, pasted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PLAIN = re.compile(r"[-+.:\w]{1,60}")
"""What can be read as a number, a truth value or a time at all."""


def check(words: Sequence[str], conf: Path) -> None:
    """Refuse what would be asked otherwise than it is written, in the files that a command line selects and in itself.

    `conf` is the folder of the config groups. ConfigError with file, line and key. What is no YAML is left to Hydra.
    """
    for word in words:
        if "=" in word and not word.startswith("-"):
            _check_override(word, words)
            _check_choice(word, words, conf)
    for group, name, path in files(words, [*own_folders(words), conf]):
        try:
            text = path.read_text(encoding="utf-8")
            tree = yaml.compose(text, Loader=LOADER)
        except (OSError, ValueError, RecursionError, yaml.YAMLError):
            continue
        root = package_of(text, group)
        for node, key in _words(tree, _kind(schema.RunnerConf, root), root):
            _check_node(node, key, f"{group}/{name}.yaml".lstrip("/"), path)


def _check_node(node: yaml.ScalarNode, key: str, where: str, path: Path) -> None:
    if not node.style and (read := _read_as(node.value)) is not None:
        message = f'line {node.start_mark.line + 1}: {node.value} is read as {read}: put it in quotes, "{node.value}"'
        raise ConfigError(message, where=where, key=key, advice=f"{EDIT}{pasted(path)}")


def _check_override(word: str, words: Sequence[str]) -> None:
    key, _, value = word.lstrip("+").partition("=")
    if "." not in key or _kind(schema.RunnerConf, tuple(key.split("."))) is not str:
        return
    for part in value.split(",") if PLAIN.fullmatch(value.replace(",", "")) else []:
        if (read := _hydra_reads(part)) is not None:
            quoted = [f'{key}="{value}"' if one is word else one for one in words]
            message = f"{part} is read as {read}: put it in quotes"
            raise ConfigError(message, where=COMMAND_LINE, key=key, advice=shlex.join(["runner", *quoted]))


def _check_choice(word: str, words: Sequence[str], conf: Path) -> None:
    group, _, value = word.lstrip("+").partition("=")
    is_group = "." not in group and (group.startswith("hydra/") or (conf / group).is_dir())
    if is_group and "null" in [part.strip().lower() for part in value.split(",")]:
        message = "null is no file to choose; without the word, the default is chosen"
        kept = [one for one in words if one is not word]
        raise ConfigError(message, where=COMMAND_LINE, key=group, advice=shlex.join(["runner", *kept]))


@cache
def _hydra_reads(value: str) -> str | None:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        read = OverridesParser.create().parse_override(f"a.b={value}").value()
    except HydraException:
        return None
    return None if read is None or str(read) == value else str(read)


@cache
def _read_as(written: str) -> str | None:
    """What OmegaConf makes of a plain scalar where words are wanted; None where that is what is written, or null."""
    from omegaconf import OmegaConf

    if not PLAIN.fullmatch(written):
        return None
    (read,) = OmegaConf.create(f"- {written}")
    return None if read is None or str(read) == written else str(read)


# ---- where words are wanted -----------------------------------------------------------------------------------------


def _words(node: yaml.Node | None, kind: object, path: tuple[str, ...]) -> Iterator[tuple[yaml.ScalarNode, str]]:
    """Each scalar that becomes words, and each key, with its path."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                here = (*path, str(key.value))
                yield key, ".".join(here)
                yield from _words(value, _kind(kind, here[-1:]), here)
    elif isinstance(node, yaml.ScalarNode) and kind is str:
        yield node, ".".join(path)


def _kind(kind: object, path: tuple[str, ...]) -> object:
    """The schema's type below a path; str for words, None for what is not told (a model's `extra`) or is not there."""
    for name in path:
        if kind is str:  # a description by language, whose type in the schema is any
            continue
        if get_origin(kind) is dict:
            kind = _plain(get_args(kind)[1])
        elif isinstance(kind, type) and name in (hints := _hints(kind)):
            kind = str if (kind, name) == (schema.PersonaConf, "description") else _plain(hints[name])
        else:
            return None
    return kind


def _plain(kind: object) -> object:
    """Without Optional."""
    inner = [part for part in get_args(kind) if part is not type(None)]
    return inner[0] if get_origin(kind) is Union and len(inner) == 1 else kind


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
