"""Seconds to log a launch of 1,000 cells to MLflow: to SQLite, and to an `mlflow server` on loopback.

Each cell has what a cell of four questions and three texts has: some 60 metrics, 15 params, 8 tags. Goal: under 120 s.
Beside it, the same runs written by MLflow's own client one value at a time, for ten cells.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import goals

from runner.records import Text, Tracking
from runner.reporting.tracking.entities import CellRun
from runner.reporting.tracking.store import LoggedLaunch, log

if TYPE_CHECKING:
    from collections.abc import Iterator

CELLS, NAIVE_CELLS, GOAL_S = 1000, 10, 120


def launch(cells: int, experiment: str) -> LoggedLaunch:
    """A launch of so many cells with distinct values."""
    names = [
        f"score/q{q}/{part}" for q in range(4) for part in ("mean", "sd", "n", *(f"text/t{t}/mean" for t in range(3)))
    ]
    names += [f"metric/{number}" for number in range(60 - len(names))]
    runs = [
        CellRun(
            f"{cell}/model/persona",
            {f"param.{number}": str(cell) for number in range(15)},
            {name: float(cell) for name in names},
            {f"tag.{number}": "value" for number in range(8)},
        )
        for cell in range(cells)
    ]
    now = time.time_ns() // 1_000_000
    texts = [Text(f"t{number}", f"text {number}", origin="here") for number in range(3)]
    return LoggedLaunch(
        f"bench-{experiment}", "bench", experiment, "FINISHED", {}, {}, {}, runs, (), texts, now, now + 1000
    )


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """An MLflow server on a free port, until the context ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "art")]
    place = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", *store]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *place],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )  # fmt: skip
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def naive(uri: str, cells: int) -> float:
    """Seconds for as many runs by one call a value."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.create_experiment("naive")
    started = time.perf_counter()
    for cell in launch(cells, "naive").cells:
        run_id = client.create_run(experiment).info.run_id
        for name, value in cell.params.items():
            client.log_param(run_id, name, value)
        for name, number in cell.metrics.items():
            client.log_metric(run_id, name, number)
        for name, value in cell.tags.items():
            client.set_tag(run_id, name, value)
        client.set_terminated(run_id)
    return time.perf_counter() - started


def main() -> None:
    """Measure both stores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="a tenth of the cells")
    cells = CELLS // 10 if parser.parse_args().quick else CELLS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with server(folder) as url:
            for label, uri in (("SQLite", f"sqlite:///{folder}/mlflow.db"), ("server", url)):
                tracking = Tracking(uri=uri, artifacts=str(folder / "art"), experiment=label)
                log(launch(0, label), tracking)  # the store's own set-up
                started = time.perf_counter()
                logged = log(launch(cells, f"{label} {cells}"), tracking)
                seconds = time.perf_counter() - started
                assert len(logged.cells) == cells
                slow = naive(logged.uri, NAIVE_CELLS) / NAIVE_CELLS * cells
                print(f"{label}: {cells} cells in {seconds:.0f} s")
                print(f"one call a value, from {NAIVE_CELLS} cells: {slow:.0f} s ({slow / seconds:.1f} x)")
                goals.at_most(f"MLflow, {cells} cells to {label}", GOAL_S * cells / CELLS, seconds, " s")


if __name__ == "__main__":
    main()
