"""A run's folder -> whether it is still what it says, and whether it would come out the same here.

Two comparisons, neither of which sends anything. The folder against itself: its experiment planned again, every key and
every row held against it, every reply against the ledger's (or read again, where the ledger does not have it). The
folder against this installation: its overrides composed again, its packages. What differs is named by file, key,
package or text. A run needs nothing but its folder for this, so it may come from another machine.
"""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.config import load, schema, settings
from runner.config.compose import search_path
from runner.errors import ConfigError, RunnerError
from runner.plan.job import TrialPlan
from runner.results import manifest, saved
from runner.results.again.verify import Change, Checked, check_rows, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from omegaconf import DictConfig

    from runner.records import Experiment, Json
    from runner.results.again.verify import Answers

__all__ = ["Change", "Checked", "Reproduction", "reproduce"]


@dataclass(slots=True)
class Reproduction:
    """What was compared, and what has changed."""

    checked: Checked
    in_folder: list[Change] = field(default_factory=list)
    """The folder contradicts itself, or the ledger."""
    since: list[Change] = field(default_factory=list)
    """This installation is not the one that the run was made with."""
    same_here: int | None = None
    """Trials that the same overrides ask here with the same key; None where they cannot be composed."""

    @property
    def whole(self) -> bool:
        """Whether the folder is what the run wrote, and its rows are what its answers say."""
        return not any(change.matters for change in self.in_folder)

    @property
    def equal(self) -> bool:
        """Whether, besides, the same command would ask the same here."""
        return self.whole and not any(change.matters for change in self.since)


def reproduce(folder: Path, conf: Path, answers: Answers | None = None) -> Reproduction:
    """Check the folder of one job. `conf` is the folder of the config groups here.

    `answers` gives the ledger's answers to some keys, as Ledger.answers does; None: no ledger is at hand. ConfigError
    where the folder is no run, or its experiment cannot be rebuilt.
    """
    run = saved.load(folder, "run.json")
    if run.get("error"):
        raise ConfigError(f"this job failed, so there is nothing to reproduce: {run['error']}", where=str(folder))
    experiment, as_saved = saved.experiment_in(folder), saved.load(folder, "experiment.json")
    checked = check_rows(folder, experiment, answers)
    found = Reproduction(checked, [*_edited(folder, run, as_saved, experiment), *checked.changes])
    if (counted := run.get("trials", checked.trials)) != checked.trials:
        found.in_folder.append(Change("run.json", "trials", f"{checked.trials} as planned again", str(counted)))
    found.since += _packages(run)
    found.since += _lock(run, conf.parent / "requirements.lock")
    _compare_here(found, folder, run, experiment, conf)
    return found


# ---- experiment.json against run.json -------------------------------------------------------------------------------


def _edited(
    folder: Path, run: Mapping[str, Json], as_saved: Mapping[str, Json], experiment: Experiment
) -> Iterator[Change]:
    """What of experiment.json is not what run.json has the hash of, named by Hydra's copy of the composed config."""
    was, now = run.get("config_sha256"), settings.identity_of(as_saved)
    if was == now:
        return
    named = False
    for difference in _against_hydra(folder, experiment):
        named = True
        yield _change("experiment.json", difference)
    if not named:
        yield Change("experiment.json", "", f"SHA-256 {str(was)[:12]}…", f"{now[:12]}…")


def _against_hydra(folder: Path, experiment: Experiment) -> list[settings.Difference]:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        kept = schema.without_gone(_mapping(saved.hydras(folder / ".hydra" / "config.yaml")))
        composed = OmegaConf.merge(OmegaConf.structured(schema.RunnerConf), kept)
        original = load.load(_mapping(composed))
    except (OSError, OmegaConfBaseException, RunnerError, AttributeError, TypeError, ValueError):
        return []
    found = settings.differences(settings.settings_of(original), settings.settings_of(experiment))
    return [difference for difference in found if not difference.runtime]


def _mapping(composed: Any) -> DictConfig:
    from omegaconf import DictConfig

    if not isinstance(composed, DictConfig):
        raise ConfigError("holds no mapping", where=".hydra/config.yaml")
    return composed


def _change(where: str, difference: settings.Difference) -> Change:
    was, now = settings.shown(difference.was, difference.now), settings.shown(difference.now, difference.was)
    return Change(where, difference.key, was, now, matters=not difference.runtime)


# ---- this installation ----------------------------------------------------------------------------------------------


def _packages(run: Mapping[str, Json]) -> Iterator[Change]:
    recorded = {"python": run.get("python"), **run.get("packages", {})}
    for name, was in recorded.items():
        now = platform.python_version() if name == "python" else _version(name)
        if was != now:
            yield Change(f"package {name}", "", was or "not installed", now or "not installed", matters=False)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _lock(run: Mapping[str, Json], path: Path) -> Iterator[Change]:
    was = run.get("lock_sha256")
    now = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
    if was and now and was != now:
        yield Change(path.name, "", f"SHA-256 {was[:12]}…", f"{now[:12]}…", matters=False)


def _rehearsed(now: Experiment, was: Experiment) -> Experiment:
    """What is composed here as the rehearsal would ask it that the run was: of simulated providers, from its ledger."""
    asked = {model.name: model for model in was.models}
    models = tuple(
        replace(model, api_base=of.api_base, key_env=of.key_env, batch_bucket=of.batch_bucket, simulation=of.simulation)
        for model in now.models
        for of in (asked.get(model.name, model),)
    )
    tracking = replace(now.tracking, experiment=was.tracking.experiment)
    batch = load.polled(now.batch, models)
    return replace(now, models=models, ledger_url=was.ledger_url, tracking=tracking, batch=batch)


def _compare_here(
    found: Reproduction, folder: Path, run: Mapping[str, Json], experiment: Experiment, conf: Path
) -> None:
    """Compose the run's overrides with the config files here, and plan what they ask now."""
    try:
        cfg = _compose(folder, conf)
        now = load.load(cfg)
        if manifest.is_rehearsal(run["command"]):
            now = _rehearsed(now, experiment)
        differing = settings.differences(settings.settings_of(experiment), settings.settings_of(now))
        found.since += [_change(_file_of(item, cfg, experiment, now), item) for item in differing]
        keys = found.checked.keys
        trials = TrialPlan(now).trials()
        found.same_here = sum(keys.get(place_of(trial)) == trial.key for trial in trials)
    except ConfigError as error:
        found.since.append(Change(error.where or str(conf), error.key or "", "there", f"refused: {error}"))


def _compose(folder: Path, conf: Path) -> DictConfig:
    """The run's overrides with the config files of `conf`, and of a --config-dir of its own where that still exists."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    schema.register()
    try:
        as_typed = map(str, saved.hydras(folder / ".hydra" / "overrides.yaml"))
        overrides = [word for word in as_typed if schema.gone(word.partition("=")[0]) is None]
        hydra = saved.hydras(folder / ".hydra" / "hydra.yaml").hydra
        places = [Path(place.path) for place in hydra.runtime.config_sources if place.provider == "command-line"]
        if places:
            overrides.append(search_path(*places))
        with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
            return compose(hydra.job.config_name or "config", overrides)
    except (OSError, HydraException, OmegaConfBaseException) as error:
        raise ConfigError(str(error).splitlines()[0], where=".hydra/overrides.yaml") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"is not as Hydra wrote it: {error}", where=str(folder / ".hydra")) from error


def _file_of(difference: settings.Difference, cfg: DictConfig, was: Experiment, now: Experiment) -> str:
    """The file here that a setting comes from."""
    group, *rest = difference.path
    if group == "text":
        texts = {text.name: text.origin for text in (*was.texts, *now.texts)}
        return texts[rest[0]] or f"text/{rest[0]}.yaml"
    if group == "persona" and rest[0] not in cfg.persona:
        tables = [str(entry.path) for entry in cfg.persona.values() if entry.path]
        return ", ".join(tables) or f"persona/{rest[0]}.yaml"
    if group in ("model", "persona", "prompt"):
        return f"{group}/{rest[0]}.yaml"
    return f"group {group}" if group in ("sampling", "batch", "tracking") else "config.yaml"
