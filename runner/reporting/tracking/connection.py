"""A store of MLflow's at a tracking URI, and what it refuses, in words with what to type.

mlflow is imported when something is logged, not before.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from runner.config.database_urls import file_of, url_of
from runner.errors import TrackingError
from runner.providers.network import for_libraries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient
    from mlflow.entities import Experiment

    from runner.records import Tracking

FIRST_CONTACT_S = 10
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


class Connection(NamedTuple):
    """An experiment in a store."""

    client: MlflowClient
    uri: str
    """A relative SQLite path made absolute."""
    experiment_id: str
    remote: bool
    """True for a server reached by HTTP."""


def connect(tracking: Tracking, experiment: str) -> Connection:
    """The store at `tracking.uri`, made where it is a SQLite file that does not exist, with the experiment in it.

    TrackingError where the experiment is deleted there.
    """
    from mlflow import MlflowClient

    uri = tracking.uri
    remote = uri.startswith(("http://", "https://"))
    artifacts = tracking.artifacts if "://" in tracking.artifacts else Path(tracking.artifacts).resolve().as_uri()
    if remote:
        _greet(uri)
    elif file_of(uri) is not None:
        uri = _sqlite(uri, artifacts)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    return Connection(client, uri, _experiment_id(client, experiment, None if remote else artifacts, uri), remote)


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

    named = file_of(uri)
    assert named is not None  # noqa: S101  the caller has asked
    file = named.resolve()
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}-{uuid.uuid4().hex}")
        try:
            SqlAlchemyStore(_for_mlflow(draft), artifacts).engine.dispose()
            with suppress(FileExistsError):
                file.hardlink_to(draft)
        finally:
            draft.unlink(missing_ok=True)
    return _for_mlflow(file) + (f"?{options}" if (options := uri.partition("?")[2]) else "")


def _for_mlflow(file: Path) -> str:
    """The URL of a file, by which MLflow makes no other folder than the file's.

    Of a URL that begins with sqlite:/// it makes the folder without decoding its name (mlflow.store.db.utils): another
    one, where the name holds a % or a ?. A URL that names the driver it leaves to SQLAlchemy.
    """
    url = url_of(file)
    return url.replace("sqlite:", "sqlite+pysqlite:", 1) if "%" in url else url


def _experiment_id(client: MlflowClient, name: str, artifacts: str | None, uri: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except MlflowException:  # another process was faster, or the error is real and comes again
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    _check_active(found, uri)
    return str(found.experiment_id)


def _check_active(found: Experiment, uri: str) -> None:
    if found.lifecycle_stage == "active":
        return
    restore = ["mlflow", "experiments", "restore", "--experiment-id", str(found.experiment_id)]
    message = f"MLflow: its experiment '{found.name}' was deleted there; tracking.experiment=NAME logs to another"
    raise TrackingError(message, mend=shlex.join(["env", f"MLFLOW_TRACKING_URI={without_password(uri)}", *restore]))


# ---- what it refuses -------------------------------------------------------------------------------------------------

_CAUSES: tuple[tuple[str, str, str | None], ...] = (
    ("readonly database", "its database {file} may not be written", "ls -l {file}"),
    ("database is locked", "its database {file} is locked by another process", None),
    ("unable to open database file", "its database {file} cannot be opened or made", "ls -ld {folder}"),
    ("file is not a database", "{file} is no database", "ls -l {file}"),
    ("malformed", "its database {file} is damaged", "sqlite3 {file} .recover"),
    ("out-of-date database schema", "its database was made by another version of MLflow", "mlflow db upgrade {uri}"),
    ("disk is full", "no room for {file}: the disk is full", "df -h {folder}"),
)
"""Part of what SQLite or MLflow says, what it means, and what is typed before it is logged again."""


@contextmanager
def reported(launch_id: str, uri: str = "") -> Iterator[None]:
    """Turn whatever MLflow, its HTTP client or its database raises into a TrackingError of one line."""
    os.environ.update({name: value for name, value in _ENVIRONMENT.items() if name not in os.environ})
    os.environ.update(for_libraries())
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    # Whoever imported mlflow before us may have set it to talk; retries are reported once, by us, when they are over.
    for name in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    except TrackingError as error:
        error.advice = error.advice or f"runner track {launch_id}"
        raise
    except (MlflowException, SQLAlchemyError, requests.RequestException, OSError) as error:
        message, mend = _explained(str(error).strip(), uri)
        line = f"MLflow: {message or type(error).__name__}"
        raise TrackingError(line, advice=f"runner track {launch_id}", mend=mend) from error


def _explained(said: str, uri: str) -> tuple[str, str | None]:
    """An error in a line, and what to type where that is known."""
    file = (file_of(uri) or Path("mlflow.db")).resolve()
    names = {"file": str(file), "folder": str(file.parent), "uri": uri}
    for part, meaning, mend in _CAUSES:
        if part in said:
            quoted = {name: shlex.quote(value) for name, value in names.items()}
            return meaning.format(**names), None if mend is None else mend.format(**quoted)
    return without_password(said.partition("\n")[0])[:300], None


def without_password(text: str) -> str:
    """It, with no user and password in its addresses."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)
