"""What was imported -> a run's folder, or a sweep's, like any other."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runner.config.settings import identity_of
from runner.records import (
    READING_VERSION,
    RECORD_VERSION,
    Batch,
    Experiment,
    Model,
    Persona,
    Prices,
    Sampling,
    Text,
    Tracking,
)
from runner.results import files, manifest, summary
from runner.results.factors import axes_of, shown
from runner.results.study.form import PERSONAS, PROMPT
from runner.results.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from runner.records import Json, Outcome, PromptTemplate, Row
    from runner.results.study.imported import Imported

OUTCOMES: tuple[Outcome, ...] = ("scored", "unscorable", "failed")


@dataclass(frozen=True, slots=True)
class Written:
    """Where an import lies, and whether it was there before."""

    folder: Path
    new: bool


@dataclass(frozen=True, slots=True)
class _ImportedJob:
    """The rows of one job, and what they show of what was asked."""

    number: int
    rows: Sequence[Row]
    overrides: Sequence[str]
    experiment: Experiment


def write_run(imported: Imported, parent: Path) -> Written:
    """Write `parent`/ID: a run's folder, or that of a sweep where there are several jobs.

    What is there already is left as it is.
    """
    folder = parent / imported.id
    if (folder / "run.json").is_file() or (folder / "sweep.json").is_file():
        return Written(folder, new=False)
    started = datetime.now(UTC)
    jobs = _jobs(imported)
    if len(jobs) == 1:
        _write_job(imported, jobs[0], folder, started)
        return Written(folder, new=True)
    tables = [_write_job(imported, job, folder / str(job.number), started) for job in jobs]
    _write_sweep(imported, jobs, tables, folder, started)
    return Written(folder, new=True)


# ---- jobs ------------------------------------------------------------------------------------------------------------


def _jobs(imported: Imported) -> list[_ImportedJob]:
    """Rows of one job alone are a run, whose number is 0."""
    by_job: dict[int, list[Row]] = defaultdict(list)
    for row in imported.rows:
        by_job[row.job].append(row)
    if len(by_job) == 1:
        number, rows = next(iter(by_job.items()))
        alone = [replace(row, job=0) for row in rows] if number else rows
        prompts = {name: prompt for (_, name), prompt in imported.prompts.items()}
        return [_ImportedJob(0, alone, imported.overrides.get(number, ()), _experiment(imported, alone, prompts))]
    overrides = imported.overrides or _overrides(by_job)
    return [
        _ImportedJob(
            number, rows, overrides.get(number, ()),
            _experiment(imported, rows, {name: one for (job, name), one in imported.prompts.items() if job == number}),
        )
        for number, rows in by_job.items()
    ]  # fmt: skip


def _overrides(by_job: Mapping[int, Sequence[Row]]) -> dict[int, list[str]]:
    """What was typed for each job, as far as its rows show it: settings that are the same in all of them."""
    found: dict[int, list[str]] = {}
    for number, rows in by_job.items():
        values: dict[str, set[Json]] = defaultdict(set)
        for row in rows:
            for name, value in row.factors.items():
                values[name].add(value)
        found[number] = [
            f"{name}={shown(next(iter(some)))}"
            for name, some in values.items()
            if len(some) == 1 and not name.startswith(("persona.", "text."))
        ]
    return found


def _experiment(imported: Imported, rows: Sequence[Row], prompts: Mapping[str, PromptTemplate]) -> Experiment:
    """The design as far as the rows show it: what was sent and the texts themselves are not in the files."""
    models = {row.model: row for row in rows}
    named = list(dict.fromkeys(str(row.factors.get("prompt", "")) for row in rows))
    first, *further = [prompts[name] for name in named if name in prompts] or [*prompts.values()][:1] or [PROMPT]
    personas, texts = (_known(rows, group) for group in ("persona", "text"))
    return Experiment(
        name="study" if first is PROMPT else "imported",
        models=tuple(
            Model(name, row.model_id, row.provider, row.vendor, prices=imported.prices.get(name, Prices()))
            for name, row in models.items()
        ),
        personas=tuple(
            Persona(name, {"ja": PERSONAS[name]} if name in PERSONAS else {}, **known)
            for name, known in personas.items()
        ),
        texts=tuple(Text(name, content="", origin=imported.source, **known) for name, known in texts.items()),
        prompt=first,
        further_prompts=tuple(further),
        sampling=Sampling(trials=max((row.repetition for row in rows), default=1)),
        batch=Batch(),
        tracking=Tracking(),
        ledger_url="",
    )


def _known(rows: Sequence[Row], group: str) -> dict[str, dict[str, Any]]:
    """What rows say of each persona, or text, by its name: covariates, and its weight."""
    found: dict[str, dict[str, set[Json]]] = {}
    for row in rows:
        of_item = found.setdefault(getattr(row, group), defaultdict(set))
        for name, value in row.factors.items():
            if name.startswith(f"{group}."):
                of_item[name.removeprefix(f"{group}.")].add(value)
    swept = {name for item in found.values() for name, values in item.items() if len(values) > 1}
    known: dict[str, dict[str, Any]] = {}
    for item, columns in found.items():
        values = {name: next(iter(some)) for name, some in columns.items() if name not in swept}
        weight = values.pop("weight", None)
        known[item] = {"covariates": values} | ({} if weight is None else {"weight": float(weight)})
    return known


# ---- files -----------------------------------------------------------------------------------------------------------


def _write_job(imported: Imported, job: _ImportedJob, folder: Path, started: datetime) -> pd.DataFrame:
    counted = Tally()
    with files.RunFolder(folder, job.experiment.prompts, imported.prices) as written:
        for row in job.rows:
            written.add(row)
            counted.add(row)
    planned = len(job.experiment.texts) * job.experiment.sampling.trials
    table = summary.summary(counted, planned)
    summary.write_summary(table, folder / "summary.csv")
    manifest.dump(folder / "experiment.json", asdict(job.experiment))
    # Last: a folder with run.json is complete.
    own = {"job": job.number, "name": job.experiment.name, "config_sha256": identity_of(job.experiment)}
    manifest.dump(folder / "run.json", _common(imported, started) | _counts(job) | own | _about(imported))
    return table


def _write_sweep(
    imported: Imported, jobs: Sequence[_ImportedJob], tables: Sequence[pd.DataFrame], folder: Path, started: datetime
) -> None:
    axes = axes_of([job.overrides for job in jobs])
    whole = Counter(row.outcome for job in jobs for row in job.rows)
    own: dict[str, Any] = {
        "name": jobs[0].experiment.name,
        "axes": axes,
        "jobs": [{"job": job.number, "folder": str(job.number), **_counts(job)} for job in jobs],
        "trials": len(imported.rows),
        **{outcome: whole[outcome] for outcome in OUTCOMES},
    }
    manifest.write_sweep_summary(axes, tables, folder / "summary.csv")
    manifest.dump(folder / "sweep.json", _common(imported, started) | own | _about(imported))


def _common(imported: Imported, started: datetime) -> dict[str, Any]:
    """The keys of every run.json and sweep.json."""
    return {
        "version": RECORD_VERSION,
        "reading_version": READING_VERSION,
        "run": imported.id,
        "command": shlex.join(["runner", "import", imported.source]),
        "git": {"commit": None, "dirty": None},
        "lock_sha256": None,
        "python": None,
        "packages": {},
        "requests_sent": 0,
        "dispatch_requests_per_s": None,
        "started": started.isoformat(timespec="milliseconds"),
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "status": "FINISHED",
        "error": None,
        "from_ledger": 0,
        "collapsed": 0,
        "price_usd": None,
        "mlflow": None,
    }


def _counts(job: _ImportedJob) -> dict[str, Any]:
    outcomes = Counter(row.outcome for row in job.rows)
    return {
        "overrides": list(job.overrides),
        "status": "FINISHED",
        "error": None,
        "trials": len(job.rows),
        **{outcome: outcomes[outcome] for outcome in OUTCOMES},
        "from_ledger": 0,
        "collapsed": 0,
    }


def _about(imported: Imported) -> dict[str, Any]:
    """`imported`: where the rows are from, and what became none."""
    return {
        "imported": {
            "source": imported.source,
            "sha256": imported.digest,
            "expected": imported.expected,
            "check": [asdict(line) for line in imported.checked],
            "unreadable": [{"place": each.place, "reason": each.reason} for each in imported.unreadable],
        }
    }
