"""Hydra's and OmegaConf's complaints about the user's input, said as ConfigErrors: file, key, nearest valid name.

Hydra's own advice for a misspelt key is to append it with `+`, which would only be refused one step later.
"""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from runner import schema
from runner.errors import ConfigError, nearest

if TYPE_CHECKING:
    from pathlib import Path

    from omegaconf import DictConfig

COMMAND_LINE = "command line"


FOREIGN = (HydraException, OmegaConfBaseException, YAMLError)
"""What `translate` takes."""


def translate(error: Exception, conf: Path) -> ConfigError:
    """The same complaint as a ConfigError; `error` is one of FOREIGN, `conf` the folder of the config groups."""
    if isinstance(error, YAMLError):
        return _not_yaml(error)
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(error, MissingConfigException):
        return _unknown_choice(error, conf)
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return _unknown_key(error, cause)
    if isinstance(cause, OmegaConfBaseException):
        return ConfigError(_first_line(cause), where=_file(error), key=str(cause.full_key or "") or None)
    group = re.match(r"Could not override '([^'@]+)", str(error))
    if isinstance(error, ConfigCompositionException) and group:
        names = [*(path.name for path in conf.iterdir() if path.is_dir()), *_keys_of(schema.RunnerConf)]
        return ConfigError(f"no such key or group; {nearest(group[1], names)}", where=COMMAND_LINE, key=group[1])
    return ConfigError(str(error).strip(), where=_file(error), advice="runner --help")


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


def _unknown_choice(error: MissingConfigException, conf: Path) -> ConfigError:
    missing = error.missing_cfg_file or ""
    group, _, name = str(missing).rpartition("/")
    valid = [path.stem for path in (conf / group).glob("*.yaml")]
    message = f"there is no {group} '{name}'; {nearest(name, valid)}"
    return ConfigError(message, where=_file(error), key=group or None, advice="runner --help")


def _unknown_key(error: BaseException, cause: OmegaConfBaseException) -> ConfigError:
    full_key = str(cause.full_key or cause.key or "")
    name = full_key.rpartition(".")[2]
    valid = _keys_of(cause.object_type)
    if not valid:
        parent: DictConfig | None = cause.parent_node
        valid = [str(key) for key in parent] if parent is not None else []
    return ConfigError(f"no such key; {nearest(name, valid)}", where=_file(error), key=full_key)


def _keys_of(kind: object) -> list[str]:
    return [item.name for item in fields(kind)] if isinstance(kind, type) and is_dataclass(kind) else []
