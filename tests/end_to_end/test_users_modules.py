"""Files of the user's own that are named like our modules, or Python's, are never taken for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commandline import configs, load, newest
from loopback import Provider

from runner import process
from runner.errors import RunnerError
from runner.reporting.html.process import PageWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("runner", "statistics", "json", "mlflow", "pandas", "typing", "numpy", "sitecustomize", "yaml")
SPY = "import pathlib; pathlib.Path(__file__).with_suffix('.imported').touch(); raise SystemExit(3)\n"
PROGRAM = Path(sys.executable).parent / "runner"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(SPY, encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("mlruns")
def test_a_run_beside_such_files_is_whole(folder: Path, provider: Provider) -> None:
    """A run with its report and its MLflow runs imports none of them, and both are there when they are said to be."""
    words = [configs(folder, provider), "model=mini", "persona=[poet]"]
    done = subprocess.run([PROGRAM, *words], cwd=folder, capture_output=True, text=True, timeout=150, check=True)
    assert not [*folder.glob("*.imported")]
    run = newest(folder, "run.json")
    assert f"report:  {(run / 'report.html').relative_to(folder)}" in done.stdout
    assert (run / "report.html").is_file()
    assert load(run / "run.json")["mlflow"]["parent"] in done.stdout


@pytest.mark.usefixtures("mlruns")
def test_a_server_and_what_it_starts_import_none(folder: Path) -> None:
    """What a child starts in its turn, as MLflow's server does, is as safe; and PYTHONPATH is heeded."""
    (folder / "elsewhere").mkdir()
    child = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'json.tool', '--help'], check=True)\n"
    (folder / "elsewhere" / "child_of_ours.py").write_text(child, encoding="utf-8")
    environment = {**os.environ, **process.SAFE_PATH, "PYTHONPATH": str(folder / "elsewhere")}
    command = process.python("child_of_ours")
    subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=60, check=True)
    assert not [*folder.glob("*.imported")]


def test_a_launchers_workers_import_none(folder: Path, provider: Provider) -> None:
    """Processes that a launcher of Hydra's starts for a sweep's jobs import none of them."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = [configs(folder, provider), "-m", "model=mini", "persona=poet,robot", "tracking.enabled=false"]
    words += ["report=false", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    done = subprocess.run([PROGRAM, *words], cwd=folder, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    assert not [*folder.glob("*.imported")]


def test_an_earlier_page_is_not_announced(tmp_path: Path) -> None:
    """A page that was there before is not said to be the new one, nor is one that nobody wrote."""
    page = tmp_path / "report.html"
    page.write_text("of an earlier run", encoding="utf-8")
    with pytest.raises(RunnerError, match="is not the folder of a run"):
        PageWriter(tmp_path).written()
    assert page.read_text(encoding="utf-8") == "of an earlier run"
