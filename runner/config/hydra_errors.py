"""Hydra's and OmegaConf's complaints about the user's input, said as ConfigErrors: file, key, nearest valid name.

Hydra's own advice for a misspelt key is to append it with `+`, which would only be refused one step later.
"""

from __future__ import annotations

import re
import shlex
from collections import deque
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    GrammarParseError,
    InterpolationResolutionError,
    OmegaConfBaseException,
)
from yaml import MarkedYAMLError, YAMLError

from runner.config import schema
from runner.config.selected import choices
from runner.errors import COMMAND_LINE, EDIT, ConfigError, close, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

FOREIGN = (HydraException, OmegaConfBaseException, YAMLError, UnicodeDecodeError)
"""What `translate` takes."""
QUOTED = "runner 'text=[rain,parcel]' 'name=\"two words\"'"
"""What values look like that hold more than a word."""
UNREAD = (
    r"(?:at input|near|at) '(.*?)'(?:;|$)",
    r"^LexerNoViableAltException: (.*?);\s*\^",
    r"^Error parsing override '(.*?)';",
    r"^mismatched input '(.*?)' expecting",
)
"""How Hydra names what its grammar cannot read; the first that fits is the most exact."""


def translate(error: Exception, conf: Path, words: Sequence[str] = ()) -> ConfigError:
    """The same complaint as a ConfigError; `error` is one of FOREIGN, `conf` the folder of the config groups.

    `words` are the command line's, so that what is to be typed can be said.
    """
    if isinstance(error, UnicodeDecodeError):
        return _not_utf8(error, [*own_folders(words), conf])
    if isinstance(error, YAMLError):
        return _not_yaml(error)
    found = _translated(error, conf, words)
    if found.advice is not None and found.advice.startswith(EDIT):
        found.advice = f"{EDIT}{shlex.quote(_path_of(found.advice.removeprefix(EDIT), [*own_folders(words), conf]))}"
    return found


def _translated(error: Exception, conf: Path, words: Sequence[str]) -> ConfigError:
    behind = error.__cause__ or error.__context__
    cause = error if isinstance(error, OmegaConfBaseException) else behind
    if isinstance(error, MissingConfigException):
        return _unknown_choice(error, conf, words)
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return _unknown_key(error, cause, words)
    if isinstance(cause, OmegaConfBaseException):
        return _wrong_value(error, cause)
    if re.search(r"Could not override '[^']*@experiment\.", str(error)):
        message = "its first line must be: # @package _global_"
        return ConfigError(message, where=_file(error), advice=f"{EDIT}{_file(error)}")
    group = re.search(r"^(?:In '[^']+': )?Could not override '([^'@]+)", str(error))
    if isinstance(error, ConfigCompositionException) and group:
        return _unknown_group(group[1], _file(error), conf, words)
    return _as_said(error, words)


def _unknown_group(group: str, where: str, conf: Path, words: Sequence[str]) -> ConfigError:
    names = [*(path.name for path in conf.iterdir() if path.is_dir()), *_keys_of(schema.RunnerConf)]
    if where != COMMAND_LINE:
        message = f"overrides a group that no defaults list has; {nearest(group, names)}"
        return ConfigError(message, where=where, key=group, advice=f"{EDIT}{where}")
    advice = corrected(words, group, close(group, names))
    message = f"no such key or group; {nearest(group, names)}"
    return ConfigError(message, where=where, key=group, advice=advice or "runner --help")


def own_folders(words: Sequence[str]) -> list[Path]:
    """The config folders that a command line adds."""
    line = deque(words)
    found = []
    while line:
        name, equals, value = line.popleft().partition("=")
        if name in ("--config-dir", "-cd"):
            found.append(Path(value if equals or not line else line.popleft()))
    return found


def _path_of(file: str, folders: Sequence[Path]) -> str:
    """Where a config file lies that Hydra names by group and name: with its folder, from where the user is."""
    place = next((folder / file for folder in folders if (folder / file).is_file()), Path(file))
    return str(place)


def _not_utf8(error: UnicodeDecodeError, folders: Sequence[Path]) -> ConfigError:
    """Hydra does not say which file it was reading: one of those that cannot be read. `error` itself where all can."""
    from runner.config.sources.encoding import not_utf8

    for path in (path for folder in folders for path in sorted(folder.glob("**/*.yaml"))):
        try:
            path.read_bytes().decode()
        except UnicodeDecodeError as wrong:
            return not_utf8(wrong, path)
    raise error


def corrected(words: Sequence[str], wrong: str, right: str | None, *, plain: bool = False) -> str | None:
    """The command line with one key set right, `plain`: without its +; None where it lacks the key or none is near."""
    place = next((at for at, word in enumerate(words) if _key_in(word) == wrong), None)
    if place is None or right is None:
        return None
    word = words[place].replace(wrong, right, 1)
    return shlex.join(["runner", *words[:place], word.lstrip("+") if plain else word, *words[place + 1 :]])


def _key_in(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def _as_said(error: Exception, words: Sequence[str]) -> ConfigError:
    """What Hydra says, without its links; with what to type for what people mostly mean."""
    lines = [line for line in str(error).strip().splitlines() if line and not line.startswith("See http")]
    said = "; ".join(lines)
    if "requires --multirun" in said or said.startswith("Ambiguous value"):
        message = "several values are a sweep, which -m asks for; a list is written as [a,b]"
        return ConfigError(message, where=COMMAND_LINE, advice=shlex.join(["runner", *words, "-m"]))
    if again := re.search(r"(?:Multiple values for|An item is already at) '?([\w/@.-]+\w)", said):
        advice = corrected(words, again[1], again[1], plain=True)
        message = "is there already, and is set without a +"
        return ConfigError(message, where=_file(error), key=again[1], advice=advice or "runner --help")
    unread = next((found for pattern in UNREAD if (found := re.search(pattern, said))), None)
    if unread and unread[1] == "<EOF>":
        message = "a value ends too early: is there a comma at its end, or a space after one?"
        ends = next((word for word in words if word.endswith(",")), None)
        better = [word.rstrip(",") if word is ends else word for word in words]
        return ConfigError(message, where=COMMAND_LINE, advice=shlex.join(["runner", *better]) if ends else QUOTED)
    if unread and "Unknown function" not in said and not said.startswith("In '"):
        message = f"'{unread[1]}' cannot be read: is a bracket or a quote open, or does a value need quotes?"
        return ConfigError(message, where=COMMAND_LINE, advice=QUOTED)
    if "config directory" in said:
        return ConfigError(said, where=COMMAND_LINE, key="--config-dir", advice="ls -d ./*/")
    return ConfigError(said, where=_file(error), advice="runner --help")


def _wrong_value(error: BaseException, cause: OmegaConfBaseException) -> ConfigError:
    said, where, key = _first_line(cause), _file(error), str(cause.full_key or "")
    if headless := re.search(r"is not a subclass of \w+Conf", said):
        group, _, name = where.removesuffix(".yaml").partition("/")
        if name:
            message = f"its first line must be: # @package {group}.{name}"
            return ConfigError(message, where=where, advice=f"{EDIT}{where}")
        said = said[: headless.start()] + "is not what belongs here"
    if converted := re.match(r"Value (.*) of type '\w+' could not be converted to (\w+)", said):
        kind, example = KINDS.get(converted[2], (converted[2].lower(), "VALUE"))
        return ConfigError(f"{converted[1]} is {kind}", where=where, key=key, advice=f"runner {key}={example}")
    if isinstance(cause, InterpolationResolutionError | GrammarParseError):
        message = f"{said}; a dollar sign before a brace is written \\${{"
        group, _, rest = key.partition(".")
        file = f"{group}/{rest.partition('.')[0]}.yaml" if rest and where == COMMAND_LINE else where
        return ConfigError(message, where=file, key=key or None)
    if "does not support deletion" in said:
        message = "cannot be deleted, as it has a default"
        return ConfigError(message, where=where, key=key, advice=f"runner {key}=null")
    return ConfigError(said, where=where, key=key or None, advice=None if where == COMMAND_LINE else f"{EDIT}{where}")


KINDS = {
    "Integer": ("no whole number", "1"),
    "Float": ("no number", "0.5"),
    "Boolean": ("neither true nor false", "true"),
}
"""OmegaConf's name of a type: what a value is that is not of it, and one that is."""


def _not_yaml(error: YAMLError) -> ConfigError:
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    if mark is None or not isinstance(error, MarkedYAMLError):
        return ConfigError(f"not YAML: {error}")
    message = f"not YAML, line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return ConfigError(message, where=str(mark.name))


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]


def _file(error: BaseException) -> str:
    """The config file that Hydra was reading, which its message opens with; else the command line."""
    named = re.match(r"In '([^']+)'", str(error))
    return f"{named[1]}.yaml" if named else COMMAND_LINE


def _unknown_choice(error: MissingConfigException, conf: Path, words: Sequence[str]) -> ConfigError:
    missing = str(error.missing_cfg_file or "")
    group, _, name = missing.rpartition("/")
    valid = error.options or [path.stem for path in (conf / group).glob("*.yaml")]
    typed = next((word for word in words if _key_in(word).partition("@")[0] == group and name in word), None)
    right = close(name, valid)
    advice = "runner models" if group == "model" else "runner --help"
    if typed is not None and right is not None:
        advice = shlex.join(["runner", *(word.replace(name, right) if word is typed else word for word in words)])
    where = COMMAND_LINE
    if typed is None:
        where = _chosen_in(group, name, conf, words) or _file(error)
        advice = f"{EDIT}{where}" if where != COMMAND_LINE else advice
    message = f"there is no {group or 'config'} '{name}'; {nearest(name, valid)}"
    return ConfigError(message, where=where, key=group or None, advice=advice)


def _chosen_in(group: str, name: str, conf: Path, words: Sequence[str]) -> str | None:
    """The file whose defaults list chooses a name that is not there."""
    entries = choices(words, [*own_folders(words), conf])
    return next((entry.file for entry in entries if (entry.group, entry.name) == (group, name)), None)


def _unknown_key(error: BaseException, cause: OmegaConfBaseException, words: Sequence[str]) -> ConfigError:
    full_key = str(cause.full_key or cause.key or "")
    if (said := schema.gone(full_key)) is not None:
        return _gone(said, full_key, _file(error), words)
    parent, _, name = full_key.rpartition(".")
    valid = _keys_of(cause.object_type)
    if not valid:
        node: DictConfig | None = cause.parent_node
        valid = [str(key) for key in node] if node is not None else []
    right = close(name, valid)
    fixed = corrected(words, full_key, f"{parent}.{right}" if parent and right else right)
    where = _file(error)
    advice = fixed or (f"{EDIT}{where}" if where != COMMAND_LINE else "runner --cfg job")
    return ConfigError(f"no such key; {nearest(name, valid)}", where=where, key=full_key, advice=advice)


def _gone(said: str, key: str, where: str, words: Sequence[str]) -> ConfigError:
    """A key of an earlier version; the command line without it, or its file to edit."""
    kept = [word for word in words if _key_in(word) != key]
    advice = shlex.join(["runner", *kept]) if where == COMMAND_LINE and len(kept) < len(words) else f"{EDIT}{where}"
    return ConfigError(said, where=where, key=key, advice=advice)


def _keys_of(kind: object) -> list[str]:
    return [item.name for item in fields(kind)] if isinstance(kind, type) and is_dataclass(kind) else []
