"""A run as a user names it -> its folder: a path, an MLflow run's id, or an MLflow run's name."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import ConfigError, TrackingError
from runner.reporting.tracking import store

if TYPE_CHECKING:
    from runner.records import Tracking


def find(word: str, where: Tracking) -> Path:
    """The folder of a run or a sweep; one that is only in MLflow is brought here from its artifacts.

    ConfigError where nothing bears the name.
    """
    path = Path(word)
    if is_run(path):
        return path
    if any((path / name).exists() for name in ("results.jsonl.part", ".hydra")):
        message = "this run was interrupted before it had results; the command that made it goes on from there"
        raise ConfigError(message, where=word, advice=f"cat {word}/.hydra/overrides.yaml")
    if path.is_dir():
        raise ConfigError("is not the folder of a run", where=word, advice="ls -d outputs/*/*")
    try:
        place = store.place_of(word, where)
    except TrackingError as error:
        raise ConfigError(
            f"no folder '{word}', and {error}", where="command line", advice="ls -d outputs/*/*"
        ) from error
    if place is None:
        message = f"there is no folder, MLflow run id or MLflow run name '{word}'"
        raise ConfigError(message, where="command line", advice="ls -d outputs/*/*; runner ui")
    if place.folder is not None and is_run(Path(place.folder)):
        return Path(place.folder)
    return Path(store.download(place, Path(tempfile.mkdtemp(prefix="runner-")), where))


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run or a sweep."""
    return any((folder / name).is_file() for name in ("run.json", "sweep.json"))
