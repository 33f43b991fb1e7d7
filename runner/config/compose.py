"""Config files and overrides -> the composed config, as Hydra's own command line composes it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

_ONE_AT_A_TIME = threading.Lock()
"""Hydra's state is the process's."""
COMMAND_LINE = "command-line"
"""What Hydra calls a config folder that --config-dir names."""


def conf_dir() -> Path:
    """The folder of the config groups: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def compose(overrides: Sequence[str], config_dir: Path | None = None) -> DictConfig:
    """The config that overrides ask for, with Hydra's own settings under `hydra`; read-only.

    `config_dir` is a folder of config groups that is looked through too, as --config-dir. ConfigError where a file or
    an override cannot be read, or names what is not there.
    """
    from hydra import compose as composed
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf, open_dict

    from runner.config import schema, wording
    from runner.config.hydra_errors import FOREIGN, translate
    from runner.errors import ConfigError

    words = [*overrides]
    if config_dir is not None:
        if not config_dir.is_dir():
            raise ConfigError(f"there is no folder '{config_dir}'", where="config_dir", advice="ls -d ./*/")
        words.append(search_path(config_dir))
    schema.register()
    typed = [*overrides] if config_dir is None else [f"--config-dir={config_dir}", *overrides]
    wording.check(typed, conf_dir())
    try:
        with _ONE_AT_A_TIME, initialize_config_dir(str(conf_dir()), version_base="1.3", job_name="runner"):
            found = composed("config", words, return_hydra_config=True)
    except FOREIGN as error:
        raise translate(error, conf_dir(), typed) from error
    with open_dict(found.hydra):
        if config_dir is not None:
            del found.hydra.overrides.hydra[-1]
            found.hydra.searchpath = []
            for source in found.hydra.runtime.config_sources:
                if source.path == str(config_dir.resolve()):
                    source.provider = COMMAND_LINE
    OmegaConf.set_readonly(found, value=True)
    return found


def without_hydra(config: DictConfig) -> DictConfig:
    """A composed config as a run's own: what Hydra needs is left out."""
    from copy import deepcopy

    from omegaconf import open_dict, read_write

    own = deepcopy(config)
    with read_write(own), open_dict(own):
        del own["hydra"]
    return own


def save(config: DictConfig, folder: Path, job: int, *, many: bool = False) -> None:
    """Write what Hydra writes of a job to its folder: .hydra/config.yaml, hydra.yaml and overrides.yaml.

    `many`: the job is one of a sweep.
    """
    from copy import deepcopy

    from hydra.types import RunMode
    from omegaconf import OmegaConf, open_dict

    hydra = deepcopy(config.hydra)
    OmegaConf.set_readonly(hydra, value=False)
    with open_dict(hydra):
        hydra.mode = RunMode.MULTIRUN if many else RunMode.RUN
        hydra.runtime.output_dir = str(folder)
        hydra.job.num, hydra.job.id = job, str(job)
    place = folder / ".hydra"
    place.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(without_hydra(config), place / "config.yaml")
    OmegaConf.save(OmegaConf.create({"hydra": hydra}), place / "hydra.yaml")
    OmegaConf.save(config.hydra.overrides.task, place / "overrides.yaml")


def output_dir(config: DictConfig, *, many: bool = False) -> Path:
    """Where a run's folder goes, or with `many` a sweep's: by the time of asking, unless the config names another."""
    from copy import deepcopy

    hydra = deepcopy(config).hydra  # Hydra keeps the time that it was first asked for
    return Path(str(hydra.sweep.dir if many else hydra.run.dir)).resolve()


def search_path(*folders: Path) -> str:
    """The override that has Hydra look through config folders, whatever letters their names hold."""
    return f"hydra.searchpath=[{','.join(_in_quotes(f'file://{folder.resolve()}') for folder in folders)}]"


def _in_quotes(value: str) -> str:
    """A value as Hydra's grammar takes any text."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
