"""The checkout's own runs are nothing to the tests, and no test leaves anything in the working tree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSIDE = """
import os, sqlite3, subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

def test_works_in_a_folder_of_its_own():
    assert not [*Path().iterdir()]
    Path("mine").touch()

def test_looks_beside():
    assert not (ROOT / "outputs.txt").exists()
    assert [*ROOT.iterdir()]

def test_makes_a_run(): (ROOT / "mlruns" / "0").mkdir(parents=True)
def test_lists_runs(): list((ROOT / "outputs").glob("*/*"))
def test_reads_a_run(): (ROOT / "outputs/day/run.json").read_text()
def test_writes_a_run(): (ROOT / "outputs/day/x").write_text("")
def test_opens_a_ledger(): sqlite3.connect(ROOT / "outputs" / "ledger.db")

def test_comes_by_a_relative_path():
    os.chdir(ROOT)
    Path("outputs/day/run.json").read_text()

def test_writes_a_file(): (ROOT / "left.txt").touch()
def test_writes_beside_itself(): Path(__file__).with_name("left.txt").write_text("")
def test_makes_a_folder(): (ROOT / "multirun").mkdir()
def test_leaves_a_file(): subprocess.run(["touch", str(ROOT / "left.txt")], check=True)
"""
"""Tests of a checkout that holds a demo's run."""
REFUSED = {"writes_a_file", "writes_beside_itself", "makes_a_folder"}
OF_RUNS = {"makes_a_run", "lists_runs", "reads_a_run", "writes_a_run", "opens_a_ledger", "comes_by_a_relative_path"}


def pytest_in(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={checkout}", *words, "tests"]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        command, cwd=checkout, env=variables, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "tests")
    (tmp_path / "outputs" / "day").mkdir(parents=True)
    (tmp_path / "outputs" / "day" / "run.json").write_text("{}", encoding="utf-8")
    (tmp_path / "tests" / "test_it.py").write_text(INSIDE, encoding="utf-8")
    return tmp_path


def test_a_test_keeps_out_of_the_checkouts_runs(checkout: Path) -> None:
    """One that reads or lists outputs/ or mlruns/, or writes anywhere, fails and says so; looking elsewhere is free."""
    done = pytest_in(checkout, "--deselect=tests/test_it.py::test_leaves_a_file")
    failed = set(re.findall(r"^FAILED tests/test_it.py::test_(\w+)", done.stdout, re.MULTILINE))
    assert failed == REFUSED | OF_RUNS, done.stdout
    for said, tests in (("looked into the checkout's own runs", OF_RUNS), ("wrote into the checkout", REFUSED)):
        assert len(re.findall(rf"^E +AssertionError: a test {said}", done.stdout, re.MULTILINE)) == len(tests)
    assert "working tree" not in done.stdout


def test_a_test_leaves_nothing_behind(checkout: Path) -> None:
    """All tests pass and a process of one has left a file: pytest names the file and ends with an error."""
    done = pytest_in(checkout, "-k", "leaves_a_file or its_own")
    assert done.returncode == 1
    assert "2 passed" in done.stdout
    assert "FAILED: tests left a file in the working tree: left.txt" in done.stdout


def test_ci_types_the_readmes_commands_in_its_order() -> None:
    """What must pass on a new machine is `make demo`, then `make test`, and ends with an error where either does."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    typed = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"^make \w+", typed, re.MULTILINE) == re.findall(r"^make \w+", readme, re.MULTILINE)[:2]
    assert "set -euo pipefail" in typed
