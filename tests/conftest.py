"""What holds for every test: no API key from outside, no socket beyond loopback, no working folder shared."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import warnings
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

LOOPBACK = ("127.", "::1", "localhost")

os.environ.update(
    LITELLM_LOCAL_MODEL_COST_MAP="True",
    LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS="True",
    MLFLOW_DISABLE_TELEMETRY="true",
    DO_NOT_TRACK="true",
)


# What a shell starts in the background ignores Ctrl-C, and what nohup starts a closed terminal. A run keeps to that,
# and tests of either would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_API_BASE", "_BASE_URL")) or name.startswith(("MLFLOW_TRACKING", "HYDRA_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else ""
        if isinstance(address, tuple) and not str(host).startswith(LOOPBACK):
            msg = f"a test tried to reach {address}"
            raise AssertionError(msg)
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new MLflow store in SQLite, migrated once for all processes of the tests: that takes seconds, a copy none."""
    mine = tmp_path_factory.getbasetemp()
    folder = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine
    store = folder / "new_store.db"
    with (folder / "new_store.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not store.exists():
            from mlflow import MlflowClient

            with warnings.catch_warnings(action="ignore"):  # it is MLflow's use of SQLAlchemy that is deprecated
                MlflowClient(f"sqlite:///{folder}/migrating.db").search_experiments()
            (folder / "migrating.db").rename(store)
    return store


@pytest.fixture
def mlruns(new_store: Path, tmp_path: Path) -> None:
    """Runs in the test's folder find a new store that needs no migration."""
    (tmp_path / "mlruns").mkdir()
    shutil.copy(new_store, tmp_path / "mlruns" / "mlflow.db")
