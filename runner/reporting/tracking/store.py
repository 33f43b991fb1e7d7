"""A launch and its cells in MLflow: one parent run, one child run a cell, by explicit run ids.

Only MlflowClient is used, never MLflow's stack of active runs, so that concurrent cells cannot swap. Every run carries
the launch's id and its cell's name as tags and is found by them: logging a launch twice adds nothing, and a launch that
was half logged is completed. Nothing here is needed for the results: whatever goes wrong is a TrackingError, and
`runner track` logs the launch later.

mlflow is imported when something is logged, not before.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import logging
import os
import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner import process
from runner.errors import TrackingError
from runner.results.summary import metric_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric, Param, Run, RunTag

    from runner.records import Text, Tracking
    from runner.results.manifest import Status

RUN_TAG = "runner.run"
CELL_TAG = "runner.cell"
LOGGED_TAG = "runner.logged"
"""Digest of what a run holds, written with the last of it: a run without it is not complete, whatever its status."""
NOTE_TAG = "mlflow.note.content"
FOLDER_TAG = "runner.folder"
"""Where the files of a run were written."""
HOST_TAG, PID_TAG, STARTED_TAG = "runner.host", "runner.pid", "runner.started"

TEXTS_AS_DATASETS = 100
"""Most texts that are dataset inputs one by one; more become a single one, or every cell would repeat them all."""
FIRST_CONTACT_S = 10
HTTP_THREADS = 4
_MOST_METRICS, _MOST_OTHERS, _MOST_BYTES = 800, 90, 400_000
"""One log_batch: below MLflow's 1,000 entities, 100 params, 100 tags and 1 MB of JSON (mlflow.utils.validation)."""
_LONGEST_PARAM, _LONGEST_TAG = 6000, 8000

_ENVIRONMENT = {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # also saves a request for each run
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # MLflow's own values keep a caller waiting for four minutes when a server goes away.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


@dataclass(frozen=True, slots=True)
class CellRun:
    """A child run."""

    name: str
    """Unique in its launch."""
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    failed: bool = False
    """True if none of its trials has a reply."""
    status: Status | None = None
    """Of its job, which may have been done before the launch was stopped; None: the launch's own."""


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
    with reported(launch_id):
        store = _open(tracking, tracking.experiment)
        found = store.runs(launch_id).get("")
        return (
            found.info.run_id if found else store.create(name, {**_own_tags(launch_id), **tags}, start_ms or _now_ms())
        )


def log(launch: LoggedLaunch, tracking: Tracking, moved: Callable[[], object] = lambda: None) -> LoggedRuns:
    """Log a launch whole, or what is missing of it. Raises TrackingError where MLflow cannot be reached or refuses.

    `moved` is called, from any thread, whenever something is stored.
    """
    with reported(launch.id):
        store = _open(tracking, launch.experiment)
        found, datasets = store.runs(launch.id), _datasets(launch.texts)
        own = {**_own_tags(launch.id), **launch.tags}
        parent = CellRun(
            launch.name, launch.params, launch.metrics, {**own, NOTE_TAG: launch.note, FOLDER_TAG: launch.folder}
        )
        parent_id = store.ensure(found.get(""), parent, launch.start_ms)
        store.add_datasets(parent_id, datasets)  # first and alone: threads that add the same new one collide

        def child(cell: CellRun) -> str:
            tags = {**own, **cell.tags, CELL_TAG: cell.name, "mlflow.parentRunId": parent_id}
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
    with reported(launch_id):
        store = _open(tracking, tracking.experiment)
        run = store.runs(launch_id).get("")
        if run is not None and run.info.status == "RUNNING":
            store.client.set_terminated(run.info.run_id, status, end_time=_now_ms())


def close_stale(tracking: Tracking) -> int:
    """Set to KILLED the runs that a process of this machine left RUNNING when it died; how many they were."""
    with reported("RUN"):
        store = _open(tracking, tracking.experiment)
        mine = f"attributes.status = 'RUNNING' and tags.`{HOST_TAG}` = {_quoted(process.host())}"
        stale = [run for run in store.search(mine) if _orphaned(run.data.tags)]
        for run in stale:
            store.client.set_terminated(run.info.run_id, "KILLED", end_time=_now_ms())
        return len(stale)


@contextmanager
def reported(launch_id: str) -> Iterator[None]:
    """Turn whatever MLflow, its HTTP client or its database raises into a TrackingError of one line."""
    os.environ.update({name: value for name, value in _ENVIRONMENT.items() if name not in os.environ})
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    # Whoever imported mlflow before us may have set it to talk; retries are reported once, by us, when they are over.
    for name in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    except (MlflowException, SQLAlchemyError, requests.RequestException, OSError) as error:
        line = _without_password(str(error).strip().partition("\n")[0])[:300]
        raise TrackingError(f"MLflow: {line or type(error).__name__}", advice=f"runner track {launch_id}") from error


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
        safe = {_key(tag): value[:_LONGEST_TAG] for tag, value in tags.items()}
        run = self.client.create_run(self.experiment_id, start_time=start_ms, tags=safe, run_name=name)
        return str(run.info.run_id)

    def ensure(self, existing: Run | None, run: CellRun, start_ms: int) -> str:
        return existing.info.run_id if existing else self.create(run.name, run.tags, start_ms)

    def complete(
        self, run_id: str, existing: Run | None, run: CellRun, launch: LoggedLaunch, datasets: list[DatasetInput]
    ) -> None:
        """Log what `existing` (None: just created) lacks of `run`, and end it."""
        digest = _content_digest(run, launch, datasets)
        if existing and existing.data.tags.get(LOGGED_TAG) == digest and existing.info.status == launch.status:
            return
        self.add_datasets(run_id, datasets)
        for batch in batches(_missing(existing, run, launch, digest)):
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
        return _without_password(page) if self.remote else None


def _open(tracking: Tracking, experiment: str) -> _Store:
    """The store at `tracking.uri`, made where it is a SQLite file that does not exist, with the experiment in it."""
    from mlflow import MlflowClient

    uri = tracking.uri
    remote = uri.startswith(("http://", "https://"))
    artifacts = tracking.artifacts if "://" in tracking.artifacts else Path(tracking.artifacts).resolve().as_uri()
    if remote:
        _greet(uri)
    elif uri.startswith("sqlite"):
        uri = _sqlite(uri, artifacts)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    return _Store(client, uri, _experiment_id(client, experiment, None if remote else artifacts), remote)


def _greet(uri: str) -> None:
    """Ask a server for anything at all, once: one that is gone costs seconds, and what it answers does not matter."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    http_request(
        get_default_host_creds(uri), "/health", "GET", max_retries=0, timeout=FIRST_CONTACT_S, raise_on_status=False
    )


def _sqlite(uri: str, artifacts: str) -> str:
    """The URI with an absolute path; a new file is complete from the moment it exists.

    MLflow builds a fresh database over some 2 s, and processes that do so together break each other's. So it is built
    under another name and linked into place; whoever comes second finds it there and throws its own away.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import make_url

    url = make_url(uri)
    if url.database in {None, "", ":memory:"} or "uri" in url.query:
        return uri
    file = Path(url.database or "").resolve()
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}-{uuid.uuid4().hex}")
        try:
            SqlAlchemyStore(url.set(database=str(draft)).render_as_string(), artifacts).engine.dispose()
            with suppress(FileExistsError):
                file.hardlink_to(draft)
        finally:
            draft.unlink(missing_ok=True)
    return url.set(database=str(file)).render_as_string()


def _experiment_id(client: MlflowClient, name: str, artifacts: str | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except MlflowException:  # another process was faster, or the error is real and comes again
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


# ---- what a run holds ------------------------------------------------------------------------------------------------


def _missing(existing: Run | None, run: CellRun, launch: LoggedLaunch, digest: str) -> list[Param | Metric | RunTag]:
    """What `existing` has not, or has otherwise; a param cannot change. The mark that all is logged comes last."""
    from mlflow.entities import Metric, Param, RunTag

    params = existing.data.params if existing else {}
    metrics = existing.data.metrics if existing else {}
    numbers = {_key(name): float(value) for name, value in run.metrics.items() if isfinite(value)}
    labels = {_key(tag): value[:_LONGEST_TAG] for tag, value in run.tags.items()}
    tags = existing.data.tags if existing else labels
    # Of two values with one time MLflow keeps the greater one, so a corrected value needs a later time.
    times = {name: _now_ms() if name in metrics else launch.end_ms for name in numbers}
    return [
        *(
            Param(_key(name), str(value)[:_LONGEST_PARAM])
            for name, value in run.params.items()
            if _key(name) not in params
        ),
        *(Metric(name, value, times[name], 0) for name, value in numbers.items() if metrics.get(name) != value),
        *(RunTag(tag, value) for tag, value in labels.items() if tags.get(tag) != value),
        RunTag(LOGGED_TAG, digest),
    ]


def batches(entities: Iterable[Param | Metric | RunTag]) -> Iterator[dict[str, list[Any]]]:
    """Arguments for log_batch, in order, each within MLflow's limits for one call."""
    from mlflow.entities import Metric, Param

    batch: dict[str, list[Any]] = {"params": [], "metrics": [], "tags": []}
    n_bytes = 0
    for entity in entities:
        kind = "metrics" if isinstance(entity, Metric) else "params" if isinstance(entity, Param) else "tags"
        cost = 200 + len(json.dumps([entity.key, str(entity.value)]))
        most = _MOST_METRICS if kind == "metrics" else _MOST_OTHERS
        if len(batch[kind]) >= most or n_bytes + cost > _MOST_BYTES:
            yield batch
            batch, n_bytes = {"params": [], "metrics": [], "tags": []}, 0
        batch[kind].append(entity)
        n_bytes += cost
    yield batch


def _datasets(texts: Sequence[Text]) -> list[DatasetInput]:
    """The texts as MLflow's dataset inputs: name, digest of the content, where it came from, and its length."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    parts = [(text.name, _digest(text.content), text.origin, {"characters": len(text.content)}) for text in texts]
    if len(parts) > TEXTS_AS_DATASETS:
        every = _digest(json.dumps([(name, digest) for name, digest, _, _ in parts]))
        parts = [(f"{len(parts)} texts", every, "", {"texts": len(parts)})]
    context = InputTag("mlflow.data.context", "scoring")
    return [
        DatasetInput(
            Dataset(name[:500], digest, "local", json.dumps({"uri": origin}), None, json.dumps(profile)), [context]
        )
        for name, digest, origin, profile in parts
    ]


def _content_digest(run: CellRun, launch: LoggedLaunch, datasets: list[DatasetInput]) -> str:
    metrics = sorted((name, float(value)) for name, value in run.metrics.items() if isfinite(value))
    texts = [(one.dataset.name, one.dataset.digest) for one in datasets]
    return _digest(json.dumps([sorted(run.params.items()), metrics, texts, launch.start_ms, launch.end_ms]))


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


def _orphaned(tags: Mapping[str, str]) -> bool:
    """True if the process that opened a run is gone."""
    pid = tags.get(PID_TAG, "")
    return pid.isdecimal() and process.has_ended(
        process.Process(tags.get(HOST_TAG, ""), int(pid), tags.get(STARTED_TAG, ""))
    )


def _key(name: str) -> str:
    return metric_name(*name.split("/"))


def _quoted(value: str) -> str:
    return f'"{value}"' if "'" in value else f"'{value}'"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _without_password(text: str) -> str:
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


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
    with reported(word):
        file = tracking.uri.removeprefix("sqlite:///")
        if tracking.uri.startswith("sqlite:///") and not Path(file).exists():
            raise TrackingError(f"there is no MLflow store {tracking.uri}")
        store = _open(tracking, tracking.experiment)
        named = f"attributes.run_name = {_quoted(word)}"
        found = next(iter([*store.search(f"attributes.run_id = {_quoted(word)}"), *store.search(named)]), None)
        if found is None:
            return None
        tags = found.data.tags
        parent = tags.get("mlflow.parentRunId", found.info.run_id)
        job, _, cell = tags.get(CELL_TAG, "").partition("/")
        inside = job if "/" in cell and job.isdecimal() else ""
        return Place(tags.get(FOLDER_TAG), parent, inside)


def download(place: Place, into: Path, tracking: Tracking) -> str:
    """Bring a run's files from MLflow's artifacts into a folder; the path of that which holds them."""
    with reported(place.run_id):
        store = _open(tracking, tracking.experiment)
        return str(store.client.download_artifacts(place.run_id, place.artifacts, str(into)))
