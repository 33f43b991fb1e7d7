"""Whole sweeps as a user types them, against a provider on loopback that counts."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from commandline import (
    DISTINCT,
    JOBS,
    SWEEP,
    TRIALS,
    UNTRACKED,
    by_temperature,
    came_to,
    configs,
    ended,
    load,
    newest,
    runner,
    start,
    summary,
    wait_for,
)
from loopback import Provider, Turn

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")  # MLflow's own


def test_a_sweep_is_bought_once_and_shown_in_every_job(tmp_path: Path) -> None:
    """Twelve jobs send each distinct request once; each job has its folder; the same command again sends nothing."""
    with Provider(answer=by_temperature) as provider:
        mine = configs(tmp_path, provider)
        first = runner(tmp_path, mine, *SWEEP, UNTRACKED, typed=True)
        assert provider.count == DISTINCT
        again = runner(tmp_path, mine, *SWEEP, UNTRACKED)
        assert provider.count == DISTINCT
    assert f"{TRIALS} of {TRIALS} scored" in first.stdout
    assert "0 requests sent" in again.stdout
    sweep, *_ = sorted(tmp_path.glob("outputs/*/*/sweep.json"))
    written = load(sweep)
    assert (len(written["jobs"]), written["collapsed"]) == (JOBS, TRIALS - DISTINCT)
    assert set(written["axes"]) == {"model", "sampling.temperature", "persona"}
    for line in written["jobs"]:
        folder = sweep.parent / line["folder"]
        assert load(folder / "run.json")["scored"] == 3
        assert sorted(path.name for path in (folder / ".hydra").iterdir()) == [
            "config.yaml", "hydra.yaml", "overrides.yaml",
        ]  # fmt: skip
        assert "3 of 3 scored" in (folder / "runner.log").read_text(encoding="utf-8")
    rows = summary(sweep.parent)
    assert len(rows) == JOBS
    for row in rows:
        told = float(row["sweep.sampling.temperature"]) if row["sweep.model"] == "mini" else 0.3
        assert float(row["interesting_mean"]) == round(100 * told) // 2 + (10 if row["sweep.persona"] == "poet" else 0)


@pytest.mark.usefixtures("mlruns")
def test_a_sweep_is_one_parent_in_mlflow(tmp_path: Path) -> None:
    """The parent has a child for each job, with the swept values as params and the scores of that job alone."""
    from mlflow import MlflowClient

    with Provider(answer=by_temperature) as provider:
        runner(tmp_path, configs(tmp_path, provider), *SWEEP, "tracking.traces=all")
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("persona-runner")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert (len(parents), len(children)) == (1, JOBS)
    parent = parents[0]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert "persona=poet,robot tracking.traces=all" in parent.data.params["command"]
    assert parent.data.params["sweep.sampling.temperature"] == "0,0.5,1"
    names = {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert {"sweep.json", "summary.csv", "plots", *map(str, range(JOBS))} <= names
    assert len(client.list_artifacts(parent.info.run_id, "plots")) == 3
    for run in children:
        params = run.data.params
        told = float(params["sweep.sampling.temperature"]) if params["model"] == "mini" else 0.3
        expected = round(100 * told) // 2 + (10 if params["persona"] == "poet" else 0)
        assert run.data.metrics["score/anger/mean"] == expected
        assert load(Path(run.data.tags["runner.folder"]) / "run.json")["scored"] == 3
        traces = client.search_traces(
            locations=[experiment.experiment_id], filter_string=f"metadata.`mlflow.sourceRun` = '{run.info.run_id}'"
        )
        assert len(traces) == 3
        assert all("reply" in json.loads(trace.data.response) for trace in traces)
    shutil.rmtree(tmp_path / "outputs")  # what MLflow keeps is enough to reproduce a job from
    assert "equal" in runner(tmp_path, "reproduce", children[0].info.run_id).stdout


def test_a_failing_job_takes_no_other_down(tmp_path: Path) -> None:
    """A job whose config is wrong is shown as failed with its reason; the others are scored; the status is 3."""
    with Provider() as provider:
        mine = configs(tmp_path, provider)
        done = runner(
            tmp_path, mine, "-m", "model=mini", "sampling.temperature=0.5,9", "persona=poet", UNTRACKED, status=3
        )
        assert provider.count == 3
    jobs = load(newest(tmp_path) / "sweep.json")["jobs"]
    assert [line["status"] for line in jobs] == ["FINISHED", "FAILED"]
    assert "temperature" in jobs[1]["error"]
    assert "job 1 failed" in done.stdout


def test_kill_9_at_ten_moments_loses_nothing(tmp_path: Path) -> None:
    """A sweep killed ten times ends with the tables of a calm one, and buys again only what was in flight."""
    # Few jobs, as composing them is most of a start, and many trials. The thinker's two temperatures are one request.
    words = ("-m", "model=mini,thinker", "sampling.temperature=0,1", "persona=poet", "sampling.trials=8", UNTRACKED)
    distinct, concurrency, kills = 3 * 3 * 8, 2 * 4, 10
    (tmp_path / "calm").mkdir()
    with Provider(answer=by_temperature) as provider:
        runner(tmp_path / "calm", configs(tmp_path, provider), *words)
        assert provider.count == distinct
    with Provider(answer=lambda body: Turn(content=by_temperature(body).content, delay_s=0.03)) as provider:
        mine = configs(tmp_path, provider)
        for kill in range(kills):
            before = provider.count
            process = start(tmp_path, mine, *words)
            wait_for(partial(came_to, provider, before + 1 + kill % 5, process))
            time.sleep(0.007 * kill)
            process.kill()
            process.communicate()
        runner(tmp_path, mine, *words)
        # In flight at a kill, and what had arrived within the ledger's 50 ms of group commit.
        assert distinct <= provider.count <= distinct + kills * 3 * concurrency
    assert summary(newest(tmp_path)) == summary(newest(tmp_path / "calm"))


def test_two_processes_buy_each_request_once(tmp_path: Path) -> None:
    """Two runs of one experiment at the same time send each request once between them, and both have all results."""
    with Provider(answer=lambda body: Turn(content=by_temperature(body).content, delay_s=0.05)) as provider:
        words = (configs(tmp_path, provider), "model=mini", "sampling.trials=4", UNTRACKED)
        both = [ended(process) for process in [start(tmp_path, *words) for _ in range(2)]]
        assert provider.count == 48
    assert all("48 of 48 scored" in one.stdout for one in both)


def test_a_waiting_process_takes_over_from_a_killed_one(tmp_path: Path) -> None:
    """What a killed process had claimed is bought by the one that waits for it."""
    with Provider(answer=lambda body: Turn(content=by_temperature(body).content, delay_s=0.3)) as provider:
        words = (configs(tmp_path, provider), "model=mini", UNTRACKED)
        first = start(tmp_path, *words)
        wait_for(lambda: provider.count >= 2)
        second = start(tmp_path, *words)
        time.sleep(2)
        first.kill()
        first.communicate()
        assert "12 of 12 scored" in ended(second).stdout


@pytest.mark.usefixtures("mlruns")
def test_a_stopped_sweep_is_killed_in_mlflow_too(tmp_path: Path) -> None:
    """SIGTERM lets what is in flight arrive, ends with 130, and MLflow says KILLED; the rest can be continued."""
    from mlflow import MlflowClient

    with Provider(answer=lambda body: Turn(content=by_temperature(body).content, delay_s=0.1)) as provider:
        mine = configs(tmp_path, provider)
        process = start(tmp_path, mine, *SWEEP, "sampling.trials=3")
        wait_for(lambda: provider.count >= 12)
        process.send_signal(signal.SIGTERM)
        assert "Continue: runner" in ended(process, status=130).stdout
        sent, stopped = provider.count, load(newest(tmp_path) / "sweep.json")
        runner(tmp_path, mine, *SWEEP, "sampling.trials=3", UNTRACKED)
        assert provider.count == 3 * DISTINCT
    assert sent < 3 * DISTINCT
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    runs = client.search_runs(["1"])
    assert [run.info.status for run in runs if "mlflow.parentRunId" not in run.data.tags] == ["KILLED"]
    of_jobs = {str(line["job"]): line["status"] for line in stopped["jobs"]}
    assert set(of_jobs.values()) <= {"FINISHED", "KILLED"}
    assert "KILLED" in of_jobs.values()
    for run in runs:
        if "mlflow.parentRunId" in run.data.tags:
            assert run.info.status == of_jobs[run.data.tags["runner.cell"].partition("/")[0]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_sweep_that_is_stopped_between_two_turns_is_written(tmp_path: Path, number: signal.Signals) -> None:
    """What a sweeper had run before keeps its status; sweep.json has it, and the same command buys only the rest."""
    stop = ("_target_=sweep_stopper.Stop", "before=2", f"number={int(number)}")
    with Provider(answer=by_temperature) as provider:
        sweep = (configs(tmp_path, provider), "-m", "model=mini", "sampling.temperature=0,0.5,1", "persona=poet")
        words = (*sweep, "hydra.sweeper.max_batch_size=1", UNTRACKED)
        stopping = (f"+hydra.callbacks.stop.{word}" for word in stop)
        environment = {"PYTHONPATH": str(Path(__file__).parents[1] / "support")}
        done = runner(tmp_path, *words, *stopping, status=130, environment=environment)
        assert provider.count == 6
        written = load(newest(tmp_path) / "sweep.json")
        runner(tmp_path, *words)
        assert provider.count == 9
    assert "interrupted; what was answered is kept. Continue: runner" in done.stdout
    assert "6 of 6 scored" in done.stdout
    assert (written["status"], written["ending"]) == ("KILLED", "interrupted")
    assert [line["status"] for line in written["jobs"]] == ["FINISHED", "FINISHED"]


@pytest.mark.usefixtures("mlruns")
def test_kill_9_leaves_no_run_running(tmp_path: Path) -> None:
    """A launch killed by SIGKILL is closed as KILLED in MLflow, by its own logging process or by the next run."""
    from mlflow import MlflowClient

    with Provider(answer=lambda _body: Turn(delay_s=0.3)) as provider:
        words = (configs(tmp_path, provider), "model=mini", "sampling.trials=20")
        runner(tmp_path, *words[:2], "persona=poet")
        client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
        process = start(tmp_path, *words)
        wait_for(lambda: any(run.info.status == "RUNNING" for run in client.search_runs(["1"])), 120)
        process.kill()
        process.communicate()
        runner(tmp_path, *words[:2], "persona=poet")
    statuses = sorted(run.info.status for run in client.search_runs(["1"]) if "mlflow.parentRunId" not in run.data.tags)
    assert statuses == ["FINISHED", "FINISHED", "KILLED"]


def test_plan_sends_nothing_and_writes_nothing(tmp_path: Path) -> None:
    """`runner plan` counts what a sweep would buy, with its price, and leaves no file and no request."""
    with Provider() as provider:
        mine = configs(tmp_path, provider)
        done = runner(tmp_path, "plan", mine, *SWEEP)
        assert provider.count == 0
    assert f"{TRIALS} trials of {JOBS} jobs: 0 in the ledger, {TRIALS - DISTINCT} the same" in done.stdout
    assert not (tmp_path / "outputs").exists()
    assert not (tmp_path / "mlruns").exists()


def test_a_budget_refuses_an_estimate_above_it(tmp_path: Path) -> None:
    """An estimate above budget.max_usd ends with 4 and the plan to look at, before any request."""
    with Provider() as provider:
        done = runner(tmp_path, configs(tmp_path, provider), "model=mini", "budget.max_usd=0.0001", status=4)
        assert provider.count == 0
    assert "budget.max_usd" in done.stderr
    assert "runner plan" in done.stderr


def test_a_budget_that_is_reached_stops_the_run_and_it_can_be_continued(tmp_path: Path) -> None:
    """Where replies cost more than was estimated the run stops at the limit, keeps what it has, and goes on later."""
    long = json.dumps({name: {"score": 1, "reason": "x"} for name in ("interesting", "surprise", "sadness", "anger")})
    with Provider(answer=lambda _body: Turn(content=long, delay_s=0.02, tokens=(100, 400_000))) as provider:
        words = (configs(tmp_path, provider), "model=mini", UNTRACKED)
        done = runner(tmp_path, *words, "budget.max_usd=2.0", status=4)
        sent = provider.count
        assert sent < 12
        assert "stopped at budget.max_usd" in done.stdout
        runner(tmp_path, *words)
        assert provider.count == 12


def test_a_budget_that_is_reached_in_a_job_of_its_own_is_told_as_such(tmp_path: Path) -> None:
    """By a launcher that runs jobs apart too, a sweep that its budget has stopped ends with 4 and says so."""
    long = json.dumps({name: {"score": 1, "reason": "x"} for name in ("interesting", "surprise", "sadness", "anger")})
    answer = lambda body: Turn(content=long, delay_s=0.02, tokens=(100, 400_000 if body["temperature"] else 1))  # noqa: E731
    with Provider(answer=answer) as provider:
        sweep = ("-m", "model=mini", "sampling.temperature=0,1", "hydra/launcher=basic", "budget.max_usd=2.0")
        done = runner(tmp_path, configs(tmp_path, provider), *sweep, UNTRACKED, status=4)
    assert "stopped at budget.max_usd; what was answered is kept" in done.stdout
    written = load(newest(tmp_path) / "sweep.json")
    assert (written["status"], written["ending"]) == ("KILLED", "over_budget")
    assert [line["status"] for line in written["jobs"]] == ["FINISHED", "KILLED"]


def test_reproduce_and_compare(tmp_path: Path) -> None:
    """A copied run is found equal elsewhere; an edited text is named; two runs are compared by text and persona."""
    with Provider(answer=by_temperature) as provider:
        mine = configs(tmp_path, provider)
        runner(tmp_path, mine, "-m", "model=mini", "sampling.temperature=0,1", UNTRACKED)
        sweep = newest(tmp_path)
        (tmp_path / "elsewhere").mkdir()
        sweep.rename(tmp_path / "elsewhere" / "copy")
        equal = runner(tmp_path / "elsewhere", "reproduce", "copy/0")
        assert "equal" in equal.stdout
        done = runner(tmp_path, "compare", "elsewhere/copy/0", "elsewhere/copy/1", "--out", "compared")
        assert provider.count == 24
    assert "sampling.temperature" in done.stdout
    with (tmp_path / "compared" / "compare_scores.csv").open(encoding="utf-8") as file:
        differences = {row["question"]: float(row["difference"]) for row in csv.DictReader(file)}
    assert differences == dict.fromkeys(("interesting", "surprise", "sadness", "anger"), 50.0)
    path = tmp_path / "elsewhere" / "copy" / "1" / "experiment.json"
    path.write_text(path.read_text(encoding="utf-8").replace("ticking", "silent"), encoding="utf-8")
    changed = runner(tmp_path / "elsewhere", "reproduce", "copy/1", status=1)
    assert "text.parcel" in changed.stdout


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_other_launchers_are_gathered_into_one_sweep(tmp_path: Path, launcher: str) -> None:
    """With a launcher that runs jobs one by one or in processes, the sweep has one sweep.json and one table."""
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    with Provider(answer=by_temperature) as provider:
        words = (configs(tmp_path, provider), *SWEEP, f"hydra/launcher={launcher}", UNTRACKED)
        done = runner(tmp_path, *words)
        assert provider.count == DISTINCT
    assert f"{TRIALS} of {TRIALS} scored" in done.stdout
    assert len(load(newest(tmp_path) / "sweep.json")["jobs"]) == JOBS
