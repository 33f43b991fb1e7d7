"""A command that is refused leaves nothing; one that has asked something leaves what came of it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
from commandline import configs, newest
from commandline import runner as command
from loopback import Provider

import runner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEYLESS = "model.mini.key_env=NOBODY_SET_THIS"
REFUSED = (
    "sampling.trials=0",
    "model=nosuch",
    KEYLESS,
    "budget.max_usd=0.0000001",
    "text=folder text.folder.path=nowhere",
    "prompt.affect.user='\"{{ nothing.there }}\"'",
    "model.mini.capability.temperature=none strict=true sampling.temperature=1",
    "hydra.run.dir=deep/er/place sampling.trials=0",
)
STATUS = {"budget.max_usd=0.0000001": 4}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path, provider: Provider) -> Path:
    (tmp_path / "here").mkdir()
    configs(tmp_path, provider)
    provider.bodies.clear()
    return tmp_path / "here"


def words(line: str) -> list[str]:
    return ["--config-dir=../mine", "model=mini", "tracking.enabled=false", *shlex.split(line)]


@pytest.mark.parametrize("line", REFUSED)
def test_a_refused_run_leaves_nothing(line: str, folder: Path, provider: Provider) -> None:
    """No folder, no .hydra, no log, no ledger: the place is as it was, and no request was sent."""
    command(folder, *words(line), status=STATUS.get(line, 2))
    assert not [*folder.iterdir()]
    assert provider.count == 0


@pytest.mark.parametrize("line", [REFUSED[0], KEYLESS, "budget.max_usd=0.0000001", "sampling.trials=0,-1"])
def test_a_refused_sweep_leaves_nothing(line: str, folder: Path, provider: Provider) -> None:
    """Where no job of a sweep can be asked, its folder and its jobs' go too."""
    command(folder, "-m", *words(line), "persona=poet,robot", status=STATUS.get(line, 2))
    assert not [*folder.iterdir()]
    assert provider.count == 0


def test_a_refused_sweep_of_another_launcher_leaves_nothing(folder: Path) -> None:
    """Jobs that run in processes of their own and are all refused leave nothing together."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=1")
    command(folder, "-m", *words("sampling.trials=0,-1"), *launcher, status=2)
    assert not [*folder.iterdir()]


def test_a_refused_rehearsal_leaves_nothing(folder: Path) -> None:
    """A rehearsal is refused as a run is."""
    command(folder, "rehearse", *words("sampling.trials=0"), status=2)
    assert not [*folder.iterdir()]


def test_what_was_there_stays(folder: Path, provider: Provider) -> None:
    """A refusal takes nothing from a folder that was there before: an earlier run's, or one of the user's own."""
    kept = folder / "mine" / "note.txt"
    kept.parent.mkdir()
    kept.write_text("mine", encoding="utf-8")
    command(folder, *words("sampling.trials=0 hydra.run.dir=mine"), status=2)
    assert kept.read_text(encoding="utf-8") == "mine"
    command(folder, *words("persona=[poet] hydra.run.dir=outputs/a/b"))
    before = {path: path.stat().st_mtime_ns for path in (folder / "outputs").rglob("*.json*")}
    command(folder, *words("sampling.trials=0 hydra.run.dir=outputs/a/b"), status=2)
    command(folder, *words("sampling.trials=0 hydra.run.dir=outputs/a/c"), status=2)
    assert {path: path.stat().st_mtime_ns for path in (folder / "outputs").rglob("*.json*")} == before
    assert [path.name for path in (folder / "outputs" / "a").iterdir()] == ["b"]
    assert provider.count == 3


def test_a_job_that_failed_among_good_ones_stays_recorded(folder: Path) -> None:
    """A sweep of which one job is refused keeps all of it: the refused job says why."""
    command(folder, "-m", *words("sampling.trials=1,0 persona=poet report=false"), status=3)
    sweep = runner.open_run(newest(folder))
    assert [job["status"] for job in sweep.facts["jobs"]] == ["FINISHED", "FAILED"]
    assert "must be at least 1" in sweep.facts["jobs"][1]["error"]
    assert (sweep.folder / "1" / ".hydra").is_dir()


@pytest.mark.parametrize("line", [KEYLESS, "budget.max_usd=0.0000001", REFUSED[5], REFUSED[6]])
def test_python_leaves_nothing_either(
    line: str, folder: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `runner.run` refuses is raised, and nothing is written."""
    monkeypatch.chdir(folder)
    experiment = runner.compose("model=mini", "tracking.enabled=false", *shlex.split(line), config_dir="../mine")
    with pytest.raises(runner.BudgetError if line in STATUS else runner.ConfigError):
        runner.run(experiment)
    assert not [*folder.iterdir()]
    assert provider.count == 0
