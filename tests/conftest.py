"""What holds for every test: no API key from outside, no socket beyond loopback, a working folder of its own.

Nothing that a user's own runs left in the checkout is read by a test, and no test leaves anything there.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
INSIDE = f"{ROOT}{os.sep}"
OF_RUNS = ("outputs", "mlruns")
"""Folders of the checkout that belong to its user's runs."""
OF_TOOLS = {"__pycache__", "build", "dist"}
"""What tools keep in the checkout beside hidden folders: no test's doing."""
OF_PEOPLE = {"benchmarks", "conf", "docs", "hydra_plugins", "packaging", "runner", "tests"}
"""Where somebody may add a file while tests run: a test that does is caught in the act alone."""
LOOPBACK = ("127.", "::1", "localhost")

os.environ.update(
    LITELLM_LOCAL_MODEL_COST_MAP="True",
    LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS="True",
    MLFLOW_DISABLE_TELEMETRY="true",
    DO_NOT_TRACK="true",
)
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(ROOT / ".hypothesis"))  # else in the working folder
settings.register_profile("unhurried", deadline=None)  # a busy machine is no fault
settings.load_profile("unhurried")


# What a shell starts in the background ignores Ctrl-C and Ctrl-\, and what nohup starts a closed terminal. A run keeps
# to that, and tests of any would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _keep_out(event: str, words: tuple[Any, ...]) -> None:
    """An audit hook: a test opens and lists none of the checkout's own runs, and writes nothing into the checkout."""
    if event not in {"open", "os.listdir", "os.scandir", "os.mkdir", "sqlite3.connect"} or not words:
        return
    if not isinstance(words[0], str | bytes | os.PathLike):
        return
    path = os.path.abspath(os.fsdecode(words[0]))  # noqa: PTH100  Path costs ten times as much
    if not path.startswith(INSIDE) or "PYTEST_CURRENT_TEST" not in os.environ or "RUNNER_UPDATE_GOLDEN" in os.environ:
        return
    parts = Path(path.removeprefix(INSIDE)).parts
    if parts[0] in OF_RUNS:
        msg = f"a test looked into the checkout's own runs: {event} {path}"
        raise AssertionError(msg)
    if _writes(event, words) and not any(part.startswith(".") or part in OF_TOOLS for part in parts):
        msg = f"a test wrote into the checkout: {event} {path}"
        raise AssertionError(msg)


def _writes(event: str, words: tuple[Any, ...]) -> bool:
    return event in {"os.mkdir", "sqlite3.connect"} or (
        event == "open" and bool(words[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    )


sys.addaudithook(_keep_out)


# ---- the working tree ------------------------------------------------------------------------------------------------


def _tree() -> set[Path]:
    """Every file of the checkout where neither tools nor people add any: what a process of a test's may have left."""
    found = set()
    for folder, names, files in os.walk(ROOT):
        kept = OF_TOOLS | OF_PEOPLE if folder == str(ROOT) else OF_TOOLS
        names[:] = [name for name in names if not name.startswith(".") and name not in kept]
        found |= {Path(folder, name) for name in files}
    return found


_BEFORE = pytest.StashKey[set[Path]]()
_LEFT = pytest.StashKey[list[Path]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Notes what is in the checkout before the first test; the process that starts the others does."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        session.config.stash[_BEFORE] = _tree()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tests that leave a file in the checkout have failed, whatever they said."""
    before = session.config.stash.get(_BEFORE, None)
    if before is None:
        return
    session.config.stash[_LEFT] = sorted(_tree() - before)
    if session.config.stash[_LEFT]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Says what was left."""
    for path in config.stash.get(_LEFT, []):
        left = f"FAILED: tests left a file in the working tree: {path.relative_to(ROOT)}"
        terminalreporter.write_line(left, red=True)


@pytest.fixture(scope="session", autouse=True)
def _away_from_the_checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fixtures that many tests share do not work in the checkout either."""
    here = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("working"))
    yield
    os.chdir(here)


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test works in an empty folder."""
    monkeypatch.chdir(tmp_path)


# ---- the machine -----------------------------------------------------------------------------------------------------


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
