"""A launch and its cells in MLflow: one parent run, one child run a cell, by explicit run ids.

Only MlflowClient is used, never MLflow's stack of active runs, so that concurrent cells cannot swap. Every run carries
the launch's id and its cell's name as tags and is found by them: logging a launch twice adds nothing, and a launch that
was half logged is completed. Nothing here is needed for the results: whatever goes wrong is a TrackingError, and
`runner track` logs the launch later.

Runs are found among those that are not deleted: a launch whose runs were deleted is logged anew. mlflow is imported
when something is logged, not before.
"""

from __future__ import annotations

import getpass
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from runner import process
from runner.config.database_urls import is_there
from runner.errors import TrackingError
from runner.reporting.tracking import entities
from runner.reporting.tracking.connection import connect, reported, without_password
from runner.reporting.tracking.entities import LOGGED_TAG, CellRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

    from runner.records import Text, Tracking
    from runner.results.manifest import Status

RUN_TAG = "runner.run"
CELL_TAG = "runner.cell"
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"
FOLDER_TAG = "runner.folder"
"""Where the files of a run were written."""
HOST_TAG, PID_TAG, STARTED_TAG = "runner.host", "runner.pid", "runner.started"

HTTP_THREADS = 4


@dataclass(frozen=True, slots=True)
class LoggedLaunch:
    """A parent run and its children."""

    id: str
    """Our own id of the launch: the same in results.jsonl, and never used twice."""
    name: str
    experiment: str
    status: Status
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    """Set on the parent and on every child."""
    cells: Sequence[CellRun]
    artifacts: Sequence[tuple[Path, str]]
    """Files, and folders under their own names, each with the artifact folder that it goes into ("": the root); what
    does not exist is left out."""
    texts: Sequence[Text]
    start_ms: int
    """Milliseconds since 1970, as `end_ms`."""
    end_ms: int
    note: str = ""
    """Markdown that MLflow shows on the parent's page."""
    folder: str = ""
    """Where the launch's files are."""


@dataclass(frozen=True, slots=True)
class LoggedRuns:
    """Where a launch is in MLflow."""

    parent_id: str
    cells: Mapping[str, str] = field(default_factory=dict)
    """Cell -> run id."""
    uri: str = ""
    """Tracking URI, a relative SQLite path made absolute."""
    url: str | None = None
    """Page of the parent run; None where the store is not a server."""
    experiment_id: str = ""
    """MLflow's own id of the experiment."""


# ---- what callers do -------------------------------------------------------------------------------------------------


def start(
    launch_id: str, name: str, tags: Mapping[str, str], tracking: Tracking, *, start_ms: int | None = None
) -> str:
    """Open a launch's parent run, RUNNING until `log` completes it; its run id, the same when called again."""
    with reported(launch_id, tracking.uri):
        store = _Store.open(tracking, tracking.experiment)
        found = store.runs(launch_id).get("")
        return (
            found.info.run_id
            if found
            else store.create(name, {**_own_tags(launch_id), **tags}, start_ms or entities.now_ms())
        )


def log(launch: LoggedLaunch, tracking: Tracking, moved: Callable[[], object] = lambda: None) -> LoggedRuns:
    """Log a launch whole, or what is missing of it. Raises TrackingError where MLflow cannot be reached or refuses.

    `moved` is called, from any thread, whenever something is stored.
    """
    with reported(launch.id, tracking.uri):
        store = _Store.open(tracking, launch.experiment)
        found, datasets = store.runs(launch.id), entities.datasets(launch.texts)
        own = {**_own_tags(launch.id), **launch.tags}
        parent = CellRun(
            launch.name, launch.params, launch.metrics, {**own, NOTE_TAG: launch.note, FOLDER_TAG: launch.folder}
        )
        parent_id = store.ensure(found.get(""), parent, launch.start_ms)
        store.add_datasets(parent_id, datasets)  # first and alone: threads that add the same new one collide

        def child(cell: CellRun) -> str:
            tags = {**own, **cell.tags, CELL_TAG: cell.name, PARENT_TAG: parent_id}
            run, existing = CellRun(cell.name, cell.params, cell.metrics, tags), found.get(cell.name)
            run_id = store.ensure(existing, run, launch.start_ms)
            of_job = cell.status or launch.status
            ended: Status = "FAILED" if cell.failed and of_job == "FINISHED" else of_job
            store.complete(run_id, existing, run, replace(launch, status=ended), datasets)
            moved()
            return run_id

        ids = _each(child, launch.cells, threads=HTTP_THREADS if store.remote else 1)
        for artifact in launch.artifacts:
            store.add_artifact(parent_id, *artifact)
            moved()
        store.complete(parent_id, found.get(""), parent, launch, datasets)
        cells = {cell.name: run_id for cell, run_id in zip(launch.cells, ids, strict=True)}
        return LoggedRuns(parent_id, cells, store.uri, store.url(parent_id), store.experiment_id)


def end(launch_id: str, status: Status, tracking: Tracking) -> None:
    """Close a launch's parent run that will not be logged now: nothing where there is none, or it has ended."""
    with reported(launch_id, tracking.uri):
        store = _Store.open(tracking, tracking.experiment)
        run = store.runs(launch_id).get("")
        if run is not None and run.info.status == "RUNNING":
            store.client.set_terminated(run.info.run_id, status, end_time=entities.now_ms())


def close_stale(tracking: Tracking) -> int:
    """Set to KILLED the runs that a process of this machine left RUNNING when it died; how many they were."""
    with reported("RUN", tracking.uri):
        store = _Store.open(tracking, tracking.experiment)
        mine = f"attributes.status = 'RUNNING' and tags.`{HOST_TAG}` = {_quoted(process.host())}"
        stale = [run for run in store.search(mine) if _orphaned(run.data.tags)]
        for run in stale:
            store.client.set_terminated(run.info.run_id, "KILLED", end_time=entities.now_ms())
        return len(stale)


def _each(work: Callable[[CellRun], str], cells: Iterable[CellRun], threads: int) -> list[str]:
    if threads == 1:
        return [work(cell) for cell in cells]
    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(work, cell) for cell in cells]
        try:
            return [result.result() for result in waiting]
        except BaseException:
            pool.shutdown(
                wait=False, cancel_futures=True
            )  # or each remaining cell would wait for a server that is gone
            raise


# ---- a tracking store ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Store:
    client: MlflowClient
    uri: str
    experiment_id: str
    remote: bool
    """True for a server reached by HTTP."""

    @classmethod
    def open(cls, tracking: Tracking, experiment: str) -> _Store:
        """As `connect`."""
        return cls(*connect(tracking, experiment))

    def search(self, condition: str) -> Iterator[Run]:
        token = None
        while True:
            page = self.client.search_runs([self.experiment_id], condition, max_results=1000, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def runs(self, launch_id: str) -> dict[str, Run]:
        """The launch's runs by cell; the parent's under ""."""
        found = self.search(f"tags.`{RUN_TAG}` = {_quoted(launch_id)}")
        return {run.data.tags.get(CELL_TAG, ""): run for run in found}

    def create(self, name: str, tags: Mapping[str, str], start_ms: int) -> str:
        safe = entities.tags_of(tags)
        run = self.client.create_run(self.experiment_id, start_time=start_ms, tags=safe, run_name=name)
        return str(run.info.run_id)

    def ensure(self, existing: Run | None, run: CellRun, start_ms: int) -> str:
        return existing.info.run_id if existing else self.create(run.name, run.tags, start_ms)

    def complete(
        self, run_id: str, existing: Run | None, run: CellRun, launch: LoggedLaunch, datasets: list[DatasetInput]
    ) -> None:
        """Log what `existing` (None: just created) lacks of `run`, and end it."""
        digest = entities.content_digest(run, datasets, launch.start_ms, launch.end_ms)
        if existing and _is_whole(existing, run, digest, launch.status):
            return
        self.add_datasets(run_id, datasets)
        for batch in entities.batches(entities.missing(existing, run, digest, launch.end_ms)):
            self.client.log_batch(run_id, **batch)
        self.client.set_terminated(run_id, launch.status, end_time=launch.end_ms)

    def add_datasets(self, run_id: str, datasets: list[DatasetInput]) -> None:
        """Log the texts as inputs. Another launch may be adding the same ones; then the second try finds them there."""
        from mlflow.exceptions import MlflowException

        with suppress(MlflowException):
            self.client.log_inputs(run_id, datasets)
            return
        self.client.log_inputs(run_id, datasets)

    def add_artifact(self, run_id: str, path: Path, into: str) -> None:
        if path.is_dir():
            self.client.log_artifacts(run_id, str(path), artifact_path=f"{into}/{path.name}".lstrip("/"))
        elif path.exists():
            self.client.log_artifact(run_id, str(path), artifact_path=into or None)

    def url(self, run_id: str) -> str | None:
        page = f"{self.uri.rstrip('/')}/#/experiments/{self.experiment_id}/runs/{run_id}"
        return without_password(page) if self.remote else None


def _own_tags(launch_id: str) -> dict[str, str]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = str(os.getuid())
    return {
        "mlflow.user": user,
        "mlflow.source.name": "runner",
        "mlflow.source.type": "LOCAL",
        RUN_TAG: launch_id,
        HOST_TAG: process.host(),
        PID_TAG: str(os.getpid()),
        STARTED_TAG: process.started(os.getpid()),
    }


def _is_whole(existing: Run, run: CellRun, digest: str, status: Status) -> bool:
    """Whether nothing is missing: nor has its parent been deleted, and another taken that one's place."""
    tags = existing.data.tags
    is_said = tags.get(LOGGED_TAG) == digest and tags.get(PARENT_TAG) == run.tags.get(PARENT_TAG)
    return is_said and str(existing.info.status) == status


def _orphaned(tags: Mapping[str, str]) -> bool:
    """True if the process that opened a run is gone."""
    pid = tags.get(PID_TAG, "")
    return pid.isdecimal() and process.has_ended(
        process.Process(tags.get(HOST_TAG, ""), int(pid), tags.get(STARTED_TAG, ""))
    )


def _quoted(value: str) -> str:
    return f'"{value}"' if "'" in value else f"'{value}'"


# ---- finding a run again ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run's files are."""

    folder: str | None
    """Where they were written; it may be on another machine."""
    run_id: str
    """The parent run, whose artifacts they are."""
    artifacts: str
    """Their folder among the artifacts; "" for the root."""


def place_of(word: str, tracking: Tracking) -> Place | None:
    """A run by its id or its name (of several with one name the newest); None where there is none.

    TrackingError where MLflow cannot be reached, or has no such store.
    """
    with reported(word, tracking.uri):
        if not is_there(tracking.uri):
            raise TrackingError(f"there is no MLflow store {tracking.uri}")
        store = _Store.open(tracking, tracking.experiment)
        named = f"attributes.run_name = {_quoted(word)}"
        found = next(iter([*store.search(f"attributes.run_id = {_quoted(word)}"), *store.search(named)]), None)
        if found is None:
            return None
        tags = found.data.tags
        parent = tags.get(PARENT_TAG, found.info.run_id)
        job, _, cell = tags.get(CELL_TAG, "").partition("/")
        inside = job if "/" in cell and job.isdecimal() else ""
        return Place(tags.get(FOLDER_TAG), parent, inside)


def download(place: Place, into: Path, tracking: Tracking) -> str:
    """Bring a run's files from MLflow's artifacts into a folder; the path of that which holds them."""
    with reported(place.run_id, tracking.uri):
        store = _Store.open(tracking, tracking.experiment)
        return str(store.client.download_artifacts(place.run_id, place.artifacts, str(into)))
