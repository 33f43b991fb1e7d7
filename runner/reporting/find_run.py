"""A run as a user names it -> its folder: a path, `latest`, an MLflow run's id, or an MLflow run's name.

Runs are looked for where they are written: in outputs/ of the working folder, or one level deeper.
"""

from __future__ import annotations

import difflib
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import ConfigError, TrackingError, pasted
from runner.results import manifest, saved

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.records import Tracking

LATEST = "latest"
"""The name of the newest run."""
OUTPUTS = Path("outputs")
RUN_FILES = ("run.json", "sweep.json")
NEAREST = 3
"""Runs that are named where one was not found."""
PLACE = "command line"


class UnknownRunError(ConfigError):
    """No run bears a name, or a folder is none; `near` are the runs that may have been meant, the likeliest first."""

    def __init__(self, message: str, word: str) -> None:
        self.word = word
        self.near = nearest(word)
        names = ", ".join(pasted(folder) for folder in self.near)
        known = f"the nearest runs: {names}" if self.near else f"there is no run in {OUTPUTS}{os.sep} yet"
        advice = f"runner stats {pasted(self.near[0])}" if self.near else "runner"
        super().__init__(f"{message}; {known}", where=PLACE, advice=advice)


def find(word: str, where: Callable[[], Tracking]) -> Path:
    """The folder of a run or a sweep; one that is only in MLflow is brought here from its artifacts.

    ConfigError where nothing bears the name.
    """
    path = Path(word).expanduser()
    if is_run(path):
        return path
    if word == LATEST:
        return newest()[0]
    if any(path.glob("*/run.json")) and not _has_runs_of_others(path):
        raise saved.missing(path, "sweep.json")
    if saved.is_rest_of_a_run(path):
        raise saved.missing(path, "run.json")
    if any((path / name).exists() for name in ("results.jsonl.part", ".hydra")):
        message = "this run was interrupted before it had results; the command that made it goes on from there"
        overrides = pasted(path / ".hydra" / "overrides.yaml")
        raise ConfigError(message, where=word, advice=f"cat {overrides}")
    if path.is_dir():
        raise UnknownRunError(f"'{word}' is not the folder of a run", word)
    if _looks_like_a_path(word):
        raise UnknownRunError(f"there is no folder '{word}'", word)
    return _in_mlflow(word, where())


def _has_runs_of_others(folder: Path) -> bool:
    """Whether a folder is one of runs, as outputs/DAY is: nothing in it is a sweep's own."""
    return not any((folder / name).is_file() for name in ("multirun.yaml", "summary.csv"))


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run or a sweep."""
    return any((folder / name).is_file() for name in RUN_FILES)


def newest(count: int = 1, outputs: Path = OUTPUTS) -> list[Path]:
    """The runs that were started last, the newest first. ConfigError where there are fewer than `count`."""
    found = launches(outputs)[:count]
    if len(found) == count:
        return found
    has = f"only one run, {pasted(found[0])}," if found else "no run"
    advice = "runner sampling.temperature=0" if found else "runner"
    raise ConfigError(f"there is {has} in {outputs}{os.sep} yet", where=PLACE, advice=advice)


def launches(outputs: Path = OUTPUTS) -> list[Path]:
    """The folders of runs and sweeps, each once and the newest first; a sweep's stands for its jobs."""
    return list(dict.fromkeys(_launch_of(folder) for folder in folders(outputs)))


def folders(outputs: Path = OUTPUTS) -> list[Path]:
    """The folders of runs, sweeps and sweeps' jobs; the one that was started last is first."""
    files = [path for depth in ("*", "*/*") for name in RUN_FILES for path in outputs.glob(f"{depth}/{name}")]
    by_time = sorted(files, key=lambda path: (_started(path), path.name == "sweep.json", path.parent), reverse=True)
    return list(dict.fromkeys(path.parent for path in by_time))


def nearest(word: str) -> list[Path]:
    """The runs whose folders are written most like a word; those within it where it is a folder of runs."""
    known = launches()
    within = [folder for folder in known if folder.is_relative_to(word)]
    by_name = {name: folder for folder in reversed(known) for name in (folder.name, str(folder))}
    alike = difflib.get_close_matches(word.rstrip(os.sep), by_name, n=2 * NEAREST, cutoff=0.75)
    return list(dict.fromkeys([*within, *(by_name[name] for name in alike), *known]))[:NEAREST]


def _launch_of(folder: Path) -> Path:
    try:
        launch = manifest.launch_folder(folder)
    except (ConfigError, KeyError, TypeError):  # the sweep's own file is damaged
        return folder
    return launch if launch == folder else folder.parent


def _started(file: Path) -> datetime:
    """When a run began, as it says itself: a copied folder has another age. What does not say so is the oldest."""
    oldest = datetime.min.replace(tzinfo=UTC)
    try:
        said = datetime.fromisoformat(json.loads(file.read_bytes())["started"])
    except (OSError, ValueError, KeyError, RecursionError, TypeError):
        return oldest
    return said if said.tzinfo else said.replace(tzinfo=UTC)


def _looks_like_a_path(word: str) -> bool:
    return os.sep in word or word.startswith((".", "~"))


def _in_mlflow(word: str, tracking: Tracking) -> Path:
    from runner.reporting.tracking import store

    try:
        place = store.place_of(word, tracking)
    except TrackingError as error:
        message = f"there is no folder '{word}', and no MLflow to look for the name in ({error})"
        raise UnknownRunError(message, word) from error
    if place is None:
        raise UnknownRunError(f"there is no folder, MLflow run id or MLflow run name '{word}'", word)
    if place.folder is not None and is_run(Path(place.folder)):
        return Path(place.folder)
    return Path(store.download(place, Path(tempfile.mkdtemp(prefix="runner-")), tracking))
