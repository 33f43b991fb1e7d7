"""A launch's folder -> its runs in MLflow, from what is written there alone: at any time, from any machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from runner.plan.job import TrialPlan
from runner.records import STATISTICS_VERSION
from runner.reporting import stats
from runner.reporting.stats import of_run
from runner.reporting.tracking import connection, entities, plots, store, traces
from runner.results import factors, manifest, saved, served, summary
from runner.results.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from runner.records import Experiment, Row, Tracking

OF_JOB = (".hydra", "results.jsonl", "errors.jsonl", "summary.csv", "experiment.json", "run.json", "report.html")
OF_SWEEP = ("sweep.json", "summary.csv", "plots", "report.html")
"""What of a folder is also an MLflow artifact."""
TEXTS_IN_FULL = 100
"""Names of models, personas or texts that a parameter lists one by one."""


FEW_LEVELS = 20
"""Most values of what is known of personas, such as persona.sex, that are parameters of cells."""
SCOPE_TAG = "runner.scope"
SCOPE = (
    "texts: score/QUESTION/low and /high are the 95% interval of the mean over texts like these, Student's t over the "
    "texts' means; of a run of one text they hold for this text only, and repetitions are the unit"
)
"""What the intervals among a run's metrics are about."""


@dataclass(slots=True)
class _LoggedJob:
    """A job's folder, read."""

    folder: Path
    run: Mapping[str, Any]
    experiment: Experiment | None
    """None where its config could not be read."""
    axes: Mapping[str, str]
    """Swept override -> this job's value."""
    tally: Tally


def track(
    folder: Path,
    where: Tracking | None = None,
    counted: Mapping[Path, Tally] | None = None,
    moved: Callable[[], object] = lambda: None,
) -> store.LoggedRuns:
    """Log a launch's folder to MLflow, or what is missing of it there, and note the run ids in its files.

    A job's folder of a sweep stands for the whole sweep. `where` replaces the run's own tracking settings; `counted`
    are tallies by job's folder, of rows that then need not be read again. `moved` is called, from any thread, whenever
    something is stored. ConfigError where the folder is no run; TrackingError where MLflow cannot be reached.
    """
    folder = manifest.launch_folder(folder)
    found = manifest.open_run(folder)
    launch = found.facts
    jobs = list(_jobs(found, counted or {}))
    if all(job.experiment is None for job in jobs):
        manifest.asked_folders(folder)  # which says that none of them could be read, and why
    settings = where or next(job.experiment.tracking for job in jobs if job.experiment is not None)
    if found.is_sweep:
        plots.write(folder / "summary.csv", launch["axes"], folder / "plots")
    moved()
    logged = store.log(_launch_of(folder, launch, jobs, settings), settings, moved)
    _note_ids(found, jobs, logged)
    if settings.traces != "off":
        with connection.reported(launch["run"], settings.uri):
            traced = _traced(jobs, logged, settings)
            traces.log(logged.uri, logged.experiment_id, traced, list(logged.cells.values()), moved)
    return logged


def as_logged(folder: Path, where: Tracking) -> store.LoggedLaunch:
    """What `track` logs of a launch's folder: its runs, with their parameters, metrics and tags."""
    saved = manifest.open_run(manifest.launch_folder(folder))
    return _launch_of(folder, saved.facts, list(_jobs(saved, {})), where)


def _traced(jobs: Sequence[_LoggedJob], logged: store.LoggedRuns, settings: Tracking) -> Iterator[traces.Traced]:
    """The trials that become traces. A row of results.jsonl does not hold its prompt: it is made again."""
    trials = sum(job.tally.rows for job in jobs)
    for job in jobs:
        if job.experiment is None or not job.tally.rows:
            continue
        rows = saved.rows_in(job.folder)
        asked = TrialPlan(job.experiment).trials()
        for row, trial in zip(rows, asked, strict=False):
            if row.key == trial.key and traces.chosen(settings.traces, row, trials):
                run_id = logged.cells[_child_name(job, row.compared_in, many=len(jobs) > 1)]
                yield traces.Traced(trial, row, run_id)


def _jobs(launch: manifest.SavedLaunch, counted: Mapping[Path, Tally]) -> Iterator[_LoggedJob]:
    known = {path.resolve(): tally for path, tally in counted.items()}
    for place, path in enumerate(launch.jobs):
        run = saved.load(path, "run.json")
        experiment = saved.experiment_in(path) if run["name"] is not None else None
        axes = {name: values[place] for name, values in launch.facts.get("axes", {}).items()}
        tally = known.get(path.resolve()) or Tally()
        if run["error"] is None and not (path / "results.jsonl").is_file():
            raise saved.missing(path, "results.jsonl")
        if run["error"] is None and not tally.rows:
            tally = Tally.of(saved.rows_in(path), () if experiment is None else experiment.scales)
        yield _LoggedJob(path, run, experiment, axes, tally)


def _note_ids(launch: manifest.SavedLaunch, jobs: Sequence[_LoggedJob], logged: store.LoggedRuns) -> None:
    ids = {"uri": logged.uri, "parent": logged.parent_id, "cells": dict(logged.cells)}
    if launch.is_sweep:
        manifest.dump(launch.file, {**launch.facts, "mlflow": ids})
    for job in jobs:
        names = {_child_name(job, cell, many=len(jobs) > 1) for cell in job.tally.first}
        mine = {name: run_id for name, run_id in logged.cells.items() if name in names}
        manifest.dump(job.folder / "run.json", {**job.run, "mlflow": {**ids, "cells": mine}})


def _launch_of(
    folder: Path, launch: Mapping[str, Any], jobs: Sequence[_LoggedJob], settings: Tracking
) -> store.LoggedLaunch:
    run = jobs[0].run
    tags = {"mlflow.source.git.commit": launch["git"]["commit"] or "", "runner.git_dirty": str(launch["git"]["dirty"])}
    tags |= {SCOPE_TAG: SCOPE, "runner.statistics_version": str(STATISTICS_VERSION)}
    tags["runner.config_sha256"] = run["config_sha256"] if len(jobs) == 1 else ""
    texts = {text.name: text for job in jobs if job.experiment is not None for text in job.experiment.texts}
    return store.LoggedLaunch(
        id=launch["run"],
        name=launch["name"],
        experiment=settings.experiment,
        status=launch["status"],
        params=_shared_params(launch, jobs),
        metrics={**summary.total_metrics(*(job.tally for job in jobs)), **_counts(launch)},
        tags={tag: value for tag, value in tags.items() if value},
        folder=str(folder.resolve()),
        note=_note(folder, launch, jobs),
        cells=[cell for job in jobs for cell in _cells(job, many=len(jobs) > 1)],
        artifacts=list(_artifacts(folder, jobs)),
        texts=list(texts.values()),
        start_ms=_milliseconds(launch["started"]),
        end_ms=_milliseconds(launch["time"]),
    )


def _artifacts(folder: Path, jobs: Sequence[_LoggedJob]) -> Iterator[tuple[Path, str]]:
    """Files and folders, each with the artifact folder that it goes into."""
    if len(jobs) == 1 and jobs[0].folder == folder:
        yield from ((folder / name, "") for name in OF_JOB)
        return
    yield from ((folder / name, "") for name in OF_SWEEP)
    for job in jobs:
        yield from ((job.folder / name, str(job.folder.relative_to(folder))) for name in OF_JOB)


def _note(folder: Path, launch: Mapping[str, Any], jobs: Sequence[_LoggedJob]) -> str:
    """What MLflow shows above a run, in Markdown: the command, where the files are, and a sweep's jobs."""
    lines = [f"    {launch['command']}", "", f"Results: `{folder}`"]
    lines += ["", f"Scope: {SCOPE}."]
    for line in served.told(served.counted(job.tally for job in jobs)):
        lines += ["", line]
    if len(jobs) > 1:
        axes = list(launch["axes"])
        lines += ["", f"| job | {' | '.join(axes)} | status | scored | failed |", "|---" * (len(axes) + 4) + "|"]
        for job in jobs[:TEXTS_IN_FULL]:
            values = [str(job.run["job"]), *job.axes.values(), job.run["status"], job.run["scored"], job.run["failed"]]
            lines.append("| " + " | ".join(str(value).replace("|", "\\|") for value in values) + " |")
    return "\n".join(lines)


def _shared_params(launch: Mapping[str, Any], jobs: Sequence[_LoggedJob]) -> dict[str, str]:
    """What all jobs have in common, and the command line."""
    shared: dict[str, str] = {}
    for place, experiment in enumerate(job.experiment for job in jobs if job.experiment is not None):
        mine = _params_of(experiment)
        shared = mine if place == 0 else {name: value for name, value in shared.items() if mine.get(name) == value}
    axes = {f"sweep.{name}": ",".join(dict.fromkeys(values)) for name, values in launch.get("axes", {}).items()}
    return {**shared, **axes, "command": launch["command"]}


def _params_of(experiment: Experiment) -> dict[str, str]:
    sampling = {f"sampling.{name}": str(value) for name, value in asdict(experiment.sampling).items()}
    names = {
        "models": [model.name for model in experiment.models],
        "personas": [persona.name for persona in experiment.personas],
        "texts": [text.name for text in experiment.texts],
    }
    listed = {
        group: ",".join(items) if len(items) <= TEXTS_IN_FULL else f"{len(items)} {group}"
        for group, items in names.items()
    }
    return {**listed, **sampling, "prompt": ",".join(prompt.name for prompt in experiment.prompts)}


def _counts(run: Mapping[str, Any]) -> dict[str, float]:
    names = (*manifest.COUNTED, "requests_sent")
    rate = run["dispatch_requests_per_s"]
    return {**{name: float(run.get(name, 0)) for name in names}, **({"dispatch_requests_per_s": rate} if rate else {})}


def _cells(job: _LoggedJob, *, many: bool) -> Iterator[entities.CellRun]:
    metrics = summary.cell_metrics(job.tally)
    for cell, name, value in _intervals(job):
        if cell in metrics:  # one of which no row came has no run
            metrics[cell][name] = value
    swept = {f"sweep.{name}": value for name, value in job.axes.items()}
    for cell, row in job.tally.first.items():
        yield entities.CellRun(
            name=_child_name(job, cell, many=many),
            params={**_cell_params(row, job.experiment), **swept, **_factors(row, job.tally)},
            metrics=metrics[cell],
            tags={"provider": row.provider, "vendor": row.vendor, store.FOLDER_TAG: str(job.folder.resolve())},
            failed=metrics[cell].get("replies") == 0,
            status=job.run["status"],
        )


def _intervals(job: _LoggedJob) -> Iterator[tuple[str, str, float]]:
    """(cell, metric, value): both ends of each mean's interval, and the share of the design without a score."""
    for one in of_run.cell_summaries(job.tally, job.experiment):
        for name, number in (("low", one.interval.low), ("high", one.interval.high), ("missing", one.missing)):
            if (value := stats.known(number)) is not None:
                yield one.level, summary.metric_name("score", one.question, name), value


def _child_name(job: _LoggedJob, cell: str, *, many: bool) -> str:
    return f"{job.run['job']}/{cell}" if many else cell


def _cell_params(row: Row, experiment: Experiment | None) -> dict[str, str]:
    """Parameters flat: what was asked for, what was sent, and what was dropped, from the cell's first trial."""
    return {
        "model": row.model,
        "model_id": row.model_id,
        **({"served": row.served} if row.served is not None else {}),
        "persona": row.persona,
        **({"prompt": experiment.prompt.name, "trials": str(experiment.sampling.trials)} if experiment else {}),
        **({"prompt": str(row.factors["prompt"])} if "prompt" in row.factors else {}),
        "rung": row.rung,
        **{f"requested.{name}": str(value) for name, value in row.requested.items()},
        **{f"sent.{name}": str(value) for name, value in row.sent.items()},
        **{f"dropped.{item.parameter}": item.reason for item in row.dropped},
    }


def _factors(row: Row, counted: Tally) -> dict[str, str]:
    """What tells the cell apart, each under its own name; of what is known of its persona, what has few levels."""
    few = {name for name, labels in counted.factors.items() if len(labels.index) <= FEW_LEVELS}
    return {
        name: factors.shown(value)
        for name, value in row.factors.items()
        if not name.startswith("text.") and (not name.startswith("persona.") or name in few)
    }


def _milliseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1000)
