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
NOTHING = ("", "~", "null", "Null", "NULL")
WORDS = (str, str | None)
"""What the schema says where words are wanted."""


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
        said = f'put it in quotes, "{node.value}"' if node.value else 'write "", or leave the key out'
        message = f"line {node.start_mark.line + 1}: {node.value or 'what is not there'} is read as {read}: {said}"
        raise ConfigError(message, where=where, key=key, advice=f"{EDIT}{pasted(path)}")


def _check_override(word: str, words: Sequence[str]) -> None:
    key, _, value = word.lstrip("+").partition("=")
    kind = _kind(schema.RunnerConf, tuple(key.split(".")))
    if value.startswith("{"):
        for inner, read in _changed(_parsed(value), kind, key, value):
            name = re.escape(inner.rpartition(".")[2])
            mended = re.sub(rf"(\b{name}\s*:\s*)([^,{{}}\s]+)", r'\1"\2"', value)
            quoted = [f"{key}={mended}" if one is word else one for one in words]
            message = f"what is written there is read as {read}: put it in quotes"
            raise ConfigError(message, where=COMMAND_LINE, key=inner, advice=shlex.join(["runner", *quoted]))
    if kind not in WORDS:
        return
    for part in value.split(",") if PLAIN.fullmatch(value.replace(",", "")) else []:
        if (other := _hydra_reads(part)) is not None:
            quoted = [f'{key}="{value}"' if one is word else one for one in words]
            message = f"{part} is read as {other}: put it in quotes"
            raise ConfigError(message, where=COMMAND_LINE, key=key, advice=shlex.join(["runner", *quoted]))


def _changed(value: object, kind: object, key: str, written: str) -> Iterator[tuple[str, str]]:
    """Key and reading of each value of a mapping on the command line that stands otherwise in what was written."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _changed(inner, _kind(kind, (str(name),)), f"{key}.{name}", written)
    elif kind in WORDS and isinstance(value, int | float) and not _stands_in(written, str(value)):
        yield key, str(value)


def _stands_in(written: str, word: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(word)}(?![\w.])", written) is not None


def _check_choice(word: str, words: Sequence[str], conf: Path) -> None:
    group, _, value = word.lstrip("+").partition("=")
    is_group = "." not in group and (group.startswith("hydra/") or (conf / group).is_dir())
    if is_group and "null" in [part.strip().lower() for part in value.split(",")]:
        message = "null is no file to choose; without the word, the default is chosen"
        kept = [one for one in words if one is not word]
        raise ConfigError(message, where=COMMAND_LINE, key=group, advice=shlex.join(["runner", *kept]))


@cache
def _parsed(value: str) -> object:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(f"a.b={value}").value()
    except HydraException:
        return None  # Hydra says so itself


@cache
def _hydra_reads(value: str) -> str | None:
    read = _parsed(value)
    return None if read is None or str(read) == value else str(read)


@cache
def _read_as(written: str) -> str | None:
    """What OmegaConf makes of a plain scalar where words are wanted; None where that is what is written."""
    from omegaconf import OmegaConf

    if written in NOTHING:
        return "no value"
    if not PLAIN.fullmatch(written):
        return None
    (read,) = OmegaConf.create(f"- {written}")
    return None if str(read) == written else str(read)


# ---- where words are wanted -----------------------------------------------------------------------------------------


def _words(node: yaml.Node | None, kind: object, path: tuple[str, ...]) -> Iterator[tuple[yaml.ScalarNode, str]]:
    """Each scalar that becomes words, and each key, with its path."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    yield from _words(merged, kind, path)
            elif isinstance(key, yaml.ScalarNode):
                here = (*path, str(key.value))
                yield key, ".".join(here)
                yield from _words(value, _kind(kind, here[-1:]), here)
    elif isinstance(node, yaml.ScalarNode) and (kind is str or (kind in WORDS and node.value not in NOTHING)):
        yield node, ".".join(path)


def _kind(kind: object, path: tuple[str, ...]) -> object:
    """The schema's type below a path; str for words, None for what is not told (a model's `extra`) or is not there."""
    for name in path:
        if kind in WORDS:  # a description by language, whose type in the schema is any
            continue
        if get_origin(kind) is dict:
            kind = _plain(get_args(kind)[1])
        elif isinstance(kind, type) and name in (hints := _hints(kind)):
            kind = str if (kind, name) == (schema.PersonaConf, "description") else _plain(hints[name])
        else:
            return None
    return kind


def _plain(kind: object) -> object:
    """Without Optional, but of words, where a null is none."""
    inner = [part for part in get_args(kind) if part is not type(None)]
    if inner == [str]:
        return str | None
    return inner[0] if get_origin(kind) is Union and len(inner) == 1 else kind


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
