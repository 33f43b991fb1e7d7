"""Launches logged to real MLflow stores, SQLite files and a server on loopback, and read back by MlflowClient."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from math import inf, nan
from typing import TYPE_CHECKING, Any

import pytest

from runner.config.database_urls import file_of, url_of
from runner.errors import TrackingError
from runner.records import Text, Tracking
from runner.reporting.tracking.entities import LOGGED_TAG, TEXTS_AS_DATASETS, CellRun, batches
from runner.reporting.tracking.store import (
    PID_TAG,
    STARTED_TAG,
    LoggedLaunch,
    close_stale,
    download,
    log,
    place_of,
    start,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# MLflow 3.17 uses a loader option that SQLAlchemy 2.1 deprecates; it says so when MLflow first maps its tables.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")

TEXTS = (
    Text("lighthouse", "The lamp turned.", origin="conf/text/lighthouse.yaml"),
    Text("雨", "雨が降る。", origin="雨"),
)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store, made by two processes at once, each of which dies with its launch RUNNING. Tests copy it."""
    folder = tmp_path_factory.mktemp("fresh")
    script = (
        "import sys; from runner.records import Tracking; from runner.reporting.tracking.store import start;"
        "start(sys.argv[1], sys.argv[1], {}, Tracking(uri='sqlite:///mlflow.db', experiment='fresh'))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, f"dead-{n}"], cwd=folder) for n in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    return folder / "mlflow.db"


@pytest.fixture
def tracking(migrated: Path, tmp_path: Path) -> Tracking:
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return Tracking(uri=f"sqlite:///{tmp_path}/mlflow.db", artifacts=str(tmp_path / "art 作品"), experiment="study")


@pytest.fixture(scope="module")
def server(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(migrated, folder / "mlflow.db")
    port = _free_port()
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "art")]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1", *store]
    # Its workers end with their parent only if the whole group is told.
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, env=_environment())
    try:
        _wait_until_up(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def _environment() -> dict[str, str]:
    # The server imports litellm, which without this asks the network for prices, and hangs where there is none.
    return {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_up(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "mlflow server ended at once"
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310  a loopback address made above
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail("mlflow server did not come up")


def _client(tracking: Tracking) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracking.uri)


def _runs(tracking: Tracking) -> dict[str, Any]:
    """The experiment's runs by name; fails where two share one."""
    client = _client(tracking)
    experiment = client.get_experiment_by_name(tracking.experiment)
    runs = client.search_runs([experiment.experiment_id], max_results=5000)
    assert len({run.info.run_name for run in runs}) == len(runs)
    return {run.info.run_name: run for run in runs}


def _cell(name: str, score: float) -> CellRun:
    return CellRun(name, {"temperature": "0.7"}, {"score/joy/mean": score}, {"provider": "openai"})


def _launch(n_cells: int = 3, **changes: Any) -> LoggedLaunch:
    launch = LoggedLaunch(
        id="2026-01-01-abc",
        name="demo",
        experiment="study",
        status="FINISHED",
        params={"prompt": "affect"},
        metrics={"scored": 12.0},
        tags={"config_hash": "c0ffee"},
        cells=[_cell(f"model-{n}/poet", 10.0 * n + 0.125) for n in range(n_cells)],
        artifacts=[],
        texts=TEXTS,
        start_ms=1_760_000_000_000,
        end_ms=1_760_000_060_000,
    )
    return replace(launch, **changes)


def test_a_logged_launch_reads_back_whole(tracking: Tracking) -> None:
    """Names, params, metrics, tags, times, status, nesting and dataset inputs read back as they were given."""
    logged = log(_launch(), tracking)
    runs = _runs(tracking)
    parent, child = runs["demo"], runs["model-2/poet"]
    assert set(runs) == {"demo", "model-0/poet", "model-1/poet", "model-2/poet"}
    assert logged.parent_id == parent.info.run_id
    assert logged.cells["model-2/poet"] == child.info.run_id
    assert (parent.data.params, parent.data.metrics) == ({"prompt": "affect"}, {"scored": 12.0})
    assert (child.data.params, child.data.metrics) == ({"temperature": "0.7"}, {"score/joy/mean": 20.125})
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.tags["runner.cell"] == "model-2/poet"
    for run in runs.values():
        assert (run.info.status, run.info.start_time, run.info.end_time) == (
            "FINISHED",
            1_760_000_000_000,
            1_760_000_060_000,
        )
        assert run.data.tags.items() >= {"config_hash": "c0ffee", "mlflow.source.name": "runner"}.items()
        assert {each.dataset.name for each in run.inputs.dataset_inputs} == {"lighthouse", "雨"}
    assert logged.url is None


def test_a_second_log_adds_nothing(tracking: Tracking) -> None:
    """Logging a launch twice yields the same run ids, one point for each metric, and no further run or dataset."""
    first, second = log(_launch(), tracking), log(_launch(), tracking)
    assert first == second
    runs = _runs(tracking)
    assert len(runs) == 4
    child = runs["model-1/poet"]
    assert len(_client(tracking).get_metric_history(child.info.run_id, "score/joy/mean")) == 1
    assert len(child.inputs.dataset_inputs) == 2


def test_start_and_log_share_the_parent(tracking: Tracking) -> None:
    """The parent that `start` opened is RUNNING, is found by a second `start`, and is the one that `log` ends."""
    opened = start("2026-01-01-abc", "demo", {"config_hash": "c0ffee"}, tracking)
    assert start("2026-01-01-abc", "demo", {}, tracking) == opened
    assert _runs(tracking)["demo"].info.status == "RUNNING"
    assert log(_launch(), tracking).parent_id == opened
    parent = _runs(tracking)["demo"]
    assert (parent.info.status, parent.data.metrics) == ("FINISHED", {"scored": 12.0})


def test_a_half_logged_launch_is_completed(tracking: Tracking) -> None:
    """Missing cells, an ended child without content, children cut off and a parent left RUNNING are all made right."""
    log(_launch(n_cells=3, status="KILLED"), tracking)
    client, runs = _client(tracking), _runs(tracking)
    client.delete_tag(runs["model-0/poet"].info.run_id, LOGGED_TAG)
    for name in ("demo", "model-1/poet"):
        client.update_run(runs[name].info.run_id, "RUNNING")
    empty = {"runner.run": "2026-01-01-abc", "runner.cell": "model-3/poet"}
    cut_off = client.create_run(runs["demo"].info.experiment_id, tags=empty, run_name="model-3/poet")
    client.set_terminated(cut_off.info.run_id, "FINISHED")
    log(_launch(n_cells=5), tracking)
    completed = _runs(tracking)
    assert set(completed) == {"demo", *(f"model-{n}/poet" for n in range(5))}
    assert {run.info.status for run in completed.values()} == {"FINISHED"}
    for n in range(5):
        run = completed[f"model-{n}/poet"]
        assert run.data.metrics == {"score/joy/mean": 10.0 * n + 0.125}
        assert run.data.tags["mlflow.parentRunId"] == completed["demo"].info.run_id


def test_a_corrected_value_replaces_the_old_one(tracking: Tracking) -> None:
    """Logging again with a lower score shows the lower score, and a param of the first log stands."""
    log(_launch(n_cells=2), tracking)
    corrected = CellRun("model-1/poet", {"temperature": "0.9", "rung": "schema"}, {"score/joy/mean": 3.0}, {})
    log(_launch(cells=[_cell("model-0/poet", 0.125), corrected]), tracking)
    child = _runs(tracking)["model-1/poet"]
    assert child.data.metrics == {"score/joy/mean": 3.0}
    assert child.data.params == {"temperature": "0.7", "rung": "schema"}


def test_launches_logged_from_threads_keep_their_own_scores(tracking: Tracking) -> None:
    """Ten launches of one cell each, logged at once from ten threads, read back with ten right scores."""
    launches = [_launch(id=f"run-{n}", name=f"launch-{n}", cells=[_cell(f"cell-{n}", 7.5 * n)]) for n in range(10)]
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda launch: log(launch, tracking), launches))
    runs = _runs(tracking)
    assert {f"cell-{n}": runs[f"cell-{n}"].data.metrics["score/joy/mean"] for n in range(10)} == {
        f"cell-{n}": 7.5 * n for n in range(10)
    }
    parents = {f"cell-{n}": runs[f"launch-{n}"].info.run_id for n in range(10)}
    assert {cell: runs[cell].data.tags["mlflow.parentRunId"] for cell in parents} == parents


def test_a_server_gets_ten_cells_right(server: str, tmp_path: Path) -> None:
    """Ten cells logged to a server at once, twice, read back with their own scores, once; artifacts arrive by HTTP."""
    tracking = Tracking(uri=server, artifacts=str(tmp_path / "unused"), experiment="ten cells")
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    launch = _launch(n_cells=10, experiment="ten cells", artifacts=[(tmp_path / "run.json", "")])
    logged = log(launch, tracking)
    assert log(launch, tracking) == logged
    runs = _runs(tracking)
    assert {name: run.data.metrics for name, run in runs.items()} == {
        "demo": {"scored": 12.0},
        **{f"model-{n}/poet": {"score/joy/mean": 10.0 * n + 0.125} for n in range(10)},
    }
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert [each.path for each in _client(tracking).list_artifacts(logged.parent_id)] == ["run.json"]
    assert logged.url == f"{server}/#/experiments/{runs['demo'].info.experiment_id}/runs/{logged.parent_id}"
    assert not (tmp_path / "unused").exists()


def test_files_and_folders_become_artifacts(tracking: Tracking, tmp_path: Path) -> None:
    """Files and folders are stored under their own names below the artifact root; what does not exist is left out."""
    results = tmp_path / "results.jsonl"
    results.write_text('{"text": "雨"}\n', encoding="utf-8")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "overrides.yaml").write_text("[]\n", encoding="utf-8")
    paths = [results, tmp_path / "config", tmp_path / "absent.csv"]
    parent_id = log(_launch(n_cells=0, artifacts=[(path, "") for path in paths]), tracking).parent_id
    root = tmp_path / "art 作品" / parent_id / "artifacts"
    assert {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} == {
        "results.jsonl",
        "config/overrides.yaml",
    }
    assert (root / "results.jsonl").read_bytes() == results.read_bytes()
    assert len(_client(tracking).list_artifacts(parent_id)) == 2


def test_mlflows_limits_are_kept(server: str) -> None:
    """More params, metrics and bytes than one call takes, unsafe names, long values and NaN are all logged or cut."""
    tracking = Tracking(uri=server, experiment="study")
    params = {f"p{n}": "雨" * 7000 for n in range(150)}
    metrics = {f"m{n}": float(n) for n in range(2500)} | {"score@joy=": 1.0, "none": nan, "endless": inf}
    launch = _launch(id="long", name="long", cells=[CellRun("cell", params, metrics, {"long": "x" * 9000})])
    run = _client(tracking).get_run(log(launch, tracking).cells["cell"])
    assert len(run.data.params) == 150
    assert {(len(value), value[:5900]) for value in run.data.params.values()} == {(6000, "雨" * 5900)}
    assert len(run.data.metrics) == 2501
    assert run.data.metrics["m2499"] == 2499.0
    (renamed,) = (name for name in run.data.metrics if name.startswith("score"))
    assert run.data.metrics[renamed] == 1.0
    assert len(run.data.tags["long"]) == 8000


def test_each_call_is_within_mlflows_limits() -> None:
    """Calls keep to MLflow's counts and megabyte, lose nothing, change no order, and the last ends as the list does."""
    from mlflow.entities import Metric, Param, RunTag

    params = [Param(f"p{n}", "雨" * 6000) for n in range(150)]
    metrics = [Metric(f"m{n}", float(n), 0, 0) for n in range(2500)]
    tags = [RunTag(f"t{n}", "t") for n in range(150)]
    calls = list(batches([*params, *metrics, *tags]))
    for call in calls:
        values = [
            {key.strip("_"): value for key, value in vars(each).items()} for kind in call.values() for each in kind
        ]
        assert len(json.dumps(values, indent=2)) < 1_000_000
        assert len(values) <= 1000
        assert max(len(call["params"]), len(call["tags"])) <= 100
    assert [[each for call in calls for each in call[kind]] for kind in ("params", "metrics", "tags")] == [
        params,
        metrics,
        tags,
    ]
    assert calls[-1]["tags"][-1] is tags[-1]


def test_many_texts_are_one_dataset(tracking: Tracking) -> None:
    """Above the limit a run has one dataset input for all texts, whose digest changes with any of them."""
    many = [Text(f"t{n}", f"content {n}") for n in range(TEXTS_AS_DATASETS + 1)]
    log(_launch(n_cells=1, texts=many), tracking)
    log(_launch(n_cells=0, id="other", name="other", texts=[*many[:-1], Text("t", "changed")]), tracking)
    runs = _runs(tracking)
    (first,), (second,) = (runs[name].inputs.dataset_inputs for name in ("demo", "other"))
    assert first.dataset.name == second.dataset.name == f"{TEXTS_AS_DATASETS + 1} texts"
    assert first.dataset.digest != second.dataset.digest


def test_a_relative_store_is_made_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default URI makes mlruns/mlflow.db and nothing else there, and the returned URI is absolute."""
    monkeypatch.chdir(tmp_path)
    logged = log(_launch(n_cells=1, experiment=Tracking().experiment), Tracking())
    assert [path.name for path in (tmp_path / "mlruns").iterdir()] == ["mlflow.db"]
    assert logged.uri == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    assert len(_runs(Tracking(uri=logged.uri))) == 2


def test_processes_that_meet_at_a_fresh_store_both_log(migrated: Path) -> None:
    """Two processes that make one SQLite store at once leave both their runs in it, and no other file beside it."""
    runs = _runs(Tracking(uri=f"sqlite:///{migrated}", experiment="fresh"))
    assert set(runs) == {"dead-0", "dead-1"}
    assert [path.name for path in migrated.parent.iterdir()] == ["mlflow.db"]


@dataclass(frozen=True)
class Unreachable:
    """A tracking URI behind which there is nothing."""

    id: str
    uri: str


UNREACHABLE = [
    Unreachable("no server", "http://user:secret@127.0.0.1:{port}"),
    Unreachable("no folder", "sqlite:////proc/nowhere/mlflow.db"),
    Unreachable("no such store", "carrier-pigeon://coop"),
]


@pytest.mark.parametrize("case", UNREACHABLE, ids=lambda case: case.id)
def test_an_unreachable_store_is_a_tracking_error_within_seconds(case: Unreachable) -> None:
    """The error is one line, says what to type, gives away no password, and comes before the user has lost patience."""
    import mlflow  # noqa: F401  its import is no part of what is timed

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens there
        tracking = Tracking(uri=case.uri.format(port=taken.getsockname()[1]))
        before = time.monotonic()
        with pytest.raises(TrackingError) as caught:
            log(_launch(), tracking)
    assert time.monotonic() - before < 60  # MLflow's own settings take four minutes
    assert caught.value.advice == "runner track 2026-01-01-abc"
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_runs_of_dead_processes_are_closed(tracking: Tracking) -> None:
    """Runs of dead processes and of a reused process id become KILLED; a living one's and another machine's stay."""
    fresh = replace(tracking, experiment="fresh")
    start("living", "living", {}, fresh)
    start("reused", "reused", {STARTED_TAG: "another boot/1"}, fresh)
    start("elsewhere", "elsewhere", {"runner.host": "another", PID_TAG: "4194304"}, fresh)
    assert close_stale(fresh) == 3
    assert close_stale(fresh) == 0
    assert {name: run.info.status for name, run in _runs(fresh).items()} == {
        "dead-0": "KILLED",
        "dead-1": "KILLED",
        "reused": "KILLED",
        "living": "RUNNING",
        "elsewhere": "RUNNING",
    }


@pytest.mark.parametrize("name", ["実験 1", "a#b", "100%25", "a%20b", "what?"])
def test_a_store_leaves_nothing_beside_its_folder(migrated: Path, tmp_path: Path, name: str) -> None:
    """Whatever letters a folder's name holds, what is logged there is found and read again, and only there."""
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(migrated, folder / "mlflow.db")
    (folder / "run.json").write_text("{}", encoding="utf-8")
    tracking = Tracking(uri=url_of(folder / "mlflow.db"), artifacts=str(folder / "art"), experiment="study")
    logged = log(_launch(n_cells=1, artifacts=[(folder / "run.json", "")]), tracking)
    place = place_of("demo", replace(tracking, uri=logged.uri))
    assert place is not None
    fetched = download(place, tmp_path / name / "again", tracking)
    assert [path.name for path in (tmp_path / name / "again").iterdir()] == ["run.json"], fetched
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_values_that_differ_behind_the_cut_stay_two(tracking: Tracking) -> None:
    """Params, tags and names that are too long for MLflow are cut, and still differ where they did."""
    long = "word " * 2_000
    cells = [CellRun(f"cell-{n}", {"description": f"{long}{n}"}, {}, {"where": f"{long}{n}"}) for n in range(2)]
    texts = [Text(f"{long}{n}", "the same") for n in range(2)]
    log(_launch(cells=cells, texts=texts), tracking)
    runs = _runs(tracking)
    one, other = runs["cell-0"], runs["cell-1"]
    assert one.data.params["description"] != other.data.params["description"]
    assert one.data.tags["where"] != other.data.tags["where"]
    assert len({each.dataset.name for each in one.inputs.dataset_inputs}) == 2
    assert len(one.data.params["description"]) == 6000


def test_a_deleted_experiment_is_said_with_what_restores_it(tracking: Tracking) -> None:
    """The error names the experiment and the command that brings it back; what was logged before is there then."""
    log(_launch(n_cells=1), tracking)
    client = _client(tracking)
    number = client.get_experiment_by_name("study").experiment_id
    client.delete_experiment(number)
    with pytest.raises(TrackingError, match="'study' was deleted") as caught:
        log(_launch(n_cells=1), tracking)
    assert caught.value.mend is not None
    words = shlex.split(caught.value.mend)
    assert words[-4:] == ["experiments", "restore", "--experiment-id", number]
    assert f"MLFLOW_TRACKING_URI={tracking.uri}" in words
    assert caught.value.advice == "runner track 2026-01-01-abc"
    client.restore_experiment(number)
    assert set(_runs(tracking)) == {"demo", "model-0/poet"}
    log(_launch(n_cells=1), tracking)


def test_a_deleted_run_is_logged_anew(tracking: Tracking) -> None:
    """A launch whose parent run was deleted gets another, and its children come below that one."""
    first = log(_launch(n_cells=2), tracking)
    client = _client(tracking)
    client.delete_run(first.parent_id)
    client.delete_run(first.cells["model-1/poet"])
    second = log(_launch(n_cells=2), tracking)
    assert second.parent_id != first.parent_id
    runs = _runs(tracking)
    assert set(runs) == {"demo", "model-0/poet", "model-1/poet"}
    assert {runs[f"model-{n}/poet"].data.tags["mlflow.parentRunId"] for n in range(2)} == {second.parent_id}


@dataclass(frozen=True)
class Refusing:
    """A state of a store in which it takes nothing, what is said of it, and what is to be typed first."""

    spoil: Callable[[Path], object]
    said: str
    typed: str


def _out_of_date(file: Path) -> None:
    with closing(sqlite3.connect(file)) as base, base:
        base.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")


def _trigger(file: Path) -> None:
    """As SQLite says it of a file that this user may not write: a test may run as root, who may."""
    with closing(sqlite3.connect(file)) as base, base:
        base.execute(
            "CREATE TRIGGER no BEFORE INSERT ON runs BEGIN "
            "SELECT RAISE(FAIL, 'attempt to write a readonly database'); END"
        )


REFUSING = {
    "no database": Refusing(
        lambda file: file.write_text("something else " * 99, encoding="utf-8"), "no database", "ls"
    ),
    "another version": Refusing(_out_of_date, "another version of MLflow", "mlflow db upgrade"),
    "read-only": Refusing(_trigger, "may not be written", "ls -l"),
}


@pytest.mark.parametrize("case", REFUSING.values(), ids=REFUSING)
def test_a_store_that_refuses_says_why_and_what_to_type(tracking: Tracking, case: Refusing) -> None:
    """One line names the file and the cause, without SQL, and the next command is there."""
    file = file_of(tracking.uri)
    assert file is not None
    case.spoil(file)
    with pytest.raises(TrackingError) as caught:
        log(_launch(n_cells=1), tracking)
    assert case.said in str(caught.value)
    assert "SQL:" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.mend is not None
    assert caught.value.mend.startswith(case.typed)
