"""Batches as a user meets them: left, looked at, collected, switched to live; against a provider that bills."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from sweeping import load, newest, runner

from runner.simulator import FaultPlan, SimulatorThread
from runner.simulator.registry import BASES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")  # MLflow's own

TRIALS = 12
NATIVE = ("batch=native", "batch.first_poll_s=0.2", "batch.max_poll_s=0.5")


def configs(folder: Path, base: str) -> str:
    """A config folder of one's own with a model that has a batch API."""
    path = folder / "mine" / "model" / "mini.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"# @package model.mini\nid: gpt-4o-mini\nprovider: openai\nvendor: openai\nkey_env: SIMULATED_KEY\n"
        f"api_base: {base}{BASES['openai']}\ncapability: {{structure: schema, batch: openai}}\n",
        encoding="utf-8",
    )
    return f"--config-dir={folder / 'mine'}"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMULATED_KEY", "simulated")


def billed(simulator: SimulatorThread) -> list[int]:
    return [item["billed"] for item in simulator.count.items.values()]


def row_kinds(folder: Path) -> set[Any]:
    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["problem"] and row["problem"]["kind"] for row in map(json.loads, lines)}


def test_a_batch_is_left_and_collected(tmp_path: Path) -> None:
    """Left running it ends with 5 and says where to look; collect completes results and MLflow, and buys nothing."""
    from mlflow import MlflowClient

    with SimulatorThread(FaultPlan(batch_s=12)) as simulator:
        words = (configs(tmp_path, simulator.base), "model=mini", *NATIVE)
        left = runner(tmp_path, *words, "batch.wait=false", status=5)
        assert "runner status" in left.stdout
        assert row_kinds(newest(tmp_path, "run.json")) == {"pending"}
        client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
        assert {run.info.status for run in client.search_runs(["1"])} == {"SCHEDULED"}
        assert "1 still run" in runner(tmp_path, "status", status=5).stdout
        until = time.monotonic() + 60
        while runner_any(tmp_path, "collect").returncode != 0:
            assert time.monotonic() < until
            time.sleep(1)
        run = load(newest(tmp_path, "run.json") / "run.json")
        assert (run["scored"], run["status"]) == (TRIALS, "FINISHED")
        assert {run.info.status for run in client.search_runs(["1"])} == {"FINISHED"}
        again = runner(tmp_path, *words)
        assert "0 requests sent" in again.stdout
        assert billed(simulator) == [1] * TRIALS


def runner_any(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command, whatever its status."""
    command = [sys.executable, "-m", "runner", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_switching_to_live_buys_nothing_twice(tmp_path: Path) -> None:
    """A run that goes live while a batch holds its requests waits for the batch; afterwards the ledger has them."""
    with SimulatorThread(FaultPlan(batch_s=4)) as simulator:
        words = (configs(tmp_path, simulator.base), "model=mini", "tracking.enabled=false")
        runner(tmp_path, *words, *NATIVE, "batch.wait=false", status=5)
        done = runner(tmp_path, *words, "batch.first_poll_s=0.2", "batch.max_poll_s=0.5")
        assert f"{TRIALS} of {TRIALS} scored" in done.stdout
        assert billed(simulator) == [1] * TRIALS
        assert sum(simulator.count.requests["openai"].get(name, 0) for name in ("chat", "chat.completions")) == 0


def test_a_batch_costs_half(tmp_path: Path) -> None:
    """The price of a batched answer is the batch rate, and what live would have cost more is a count and a metric."""
    with SimulatorThread(FaultPlan()) as simulator:
        words = (configs(tmp_path, simulator.base), "model=mini", "tracking.enabled=false")
        done = runner(tmp_path, *words, *NATIVE)
        run = load(newest(tmp_path, "run.json") / "run.json")
        by_batch = run["price_usd"]
        assert run["saved_usd"] == pytest.approx(by_batch)
        assert "batches saved $" in done.stdout
        runner(tmp_path, *words, "ledger.url=sqlite:///outputs/live.db")
        live = load(newest(tmp_path, "run.json") / "run.json")["price_usd"]
    assert by_batch == pytest.approx(live / 2, rel=0.1)  # simulated replies differ a little in length
