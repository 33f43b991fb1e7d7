"""Sweeps by Hydra's other launchers and by Optuna, each really run, against a provider that counts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import local_ray
import pytest
import yaml
from commandline import configs, ended, load, runner, start, sweeps, wait_for
from loopback import Provider, Turn, scores

from runner.ledger.answers import open_ledger
from runner.process import parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")  # MLflow's own

SWEEP = ("sampling.temperature=0.5,1,9", "persona=poet", "tracking.enabled=false")
"""A job in three fails, as 9 is no temperature; the thinker's other two want the same requests, from two processes."""
DISTINCT = {"mini": 6, "thinker": 3}


@dataclass(frozen=True)
class Case:
    """A launcher: the extra of this package that brings it, the words that select it, and the models that it sweeps.

    Submitit starts a program for each job, which takes seconds: it sweeps one model, and the others two.
    """

    name: str
    extra: str
    words: tuple[str, ...]
    models: tuple[str, ...] = ("mini", "thinker")


JOBLIB = Case("joblib", "joblib", ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"))
SUBMITIT = Case("submitit_local", "submitit", ("hydra/launcher=submitit_local",), ("thinker",))
SLURM = Case(
    "submitit_slurm", "submitit", ("hydra/launcher=submitit_slurm", "hydra.launcher.partition=cpu"), ("thinker",)
)
RAY = Case("ray", "ray", local_ray.WORDS)

SBATCH = """#!/usr/bin/env bash
# Plays the queue: every task of the array starts at once on this machine.
cp "$1" "$0.script"
export SLURM_JOB_ID=7 SLURM_ARRAY_JOB_ID=7 SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_JOB_NODELIST=here
export SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\)%.*/\\1/p' "$1")
for task in $(seq 0 "$last"); do
  SLURM_ARRAY_TASK_ID=$task bash "$1" </dev/null >"$0.$task" 2>&1 &
done
echo "Submitted batch job 7"
"""
SRUN = """#!/usr/bin/env bash
# Runs the command that follows the options, here.
while [[ $1 == --* ]]; do [[ $1 == --output || $1 == --error ]] && shift; shift; done
exec "$@"
"""
SACCT = "#!/usr/bin/env bash\necho 'JobID|State|NodeList'\n"


def needs(plugin: str, extra: str) -> None:
    pytest.importorskip(f"hydra_plugins.{plugin}", reason=f"not installed: pip install 'persona-runner[{extra}]'")


def needs_launcher(case: Case) -> None:
    needs(f"hydra_{case.extra}_launcher", case.extra)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment in which every launcher finds what it needs: Ray's own variables, and a Slurm that is played."""
    played = tmp_path / "slurm"
    played.mkdir()
    for name, text in {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT}.items():
        (played / name).write_text(text, encoding="utf-8")
        (played / name).chmod(0o755)
    with local_ray.environment() as variables:
        yield {**variables, "PATH": f"{played}{os.pathsep}{os.environ['PATH']}"}


def by_temperature(body: dict[str, Any]) -> Turn:
    return Turn(content=scores(round(50 * body.get("temperature", 0.3))))


@pytest.mark.parametrize("case", [JOBLIB, SUBMITIT, SLURM, RAY], ids=lambda case: case.name)
def test_a_launcher_runs_a_sweep_whose_processes_share_the_ledger(
    case: Case, tmp_path: Path, cluster: dict[str, str]
) -> None:
    """Each request is sent once over all processes, failing jobs fail alone, one sweep.json has all jobs, status 3."""
    needs_launcher(case)
    trials, distinct = 6 * len(case.models), sum(DISTINCT[model] for model in case.models)
    words = ("-m", f"model={','.join(case.models)}", *SWEEP, *case.words)
    with Provider(answer=by_temperature) as provider:
        process = start(tmp_path, configs(tmp_path, provider), *words, environment=cluster, typed=True)
        try:
            said = ended(process, status=3).stdout
            wait_for(lambda: not local_ray.of_session(process.pid))  # nothing of the launcher's stays
        finally:
            local_ray.end_session(process.pid)
        sent = Counter(json.dumps(body, sort_keys=True) for body in provider.bodies)
    assert (sum(sent.values()), len(sent)) == (distinct, distinct)
    assert f"{trials} of {trials} scored" in said
    (sweep,) = sweeps(tmp_path)
    written = load(sweep / "sweep.json")
    assert [line["job"] for line in written["jobs"]] == list(range(3 * len(case.models)))
    assert (written["scored"], written["requests_sent"], written["from_ledger"]) == (trials, distinct, 3)
    for line in written["jobs"]:
        failing = line["job"] % 3 == 2
        assert line["status"] == ("FAILED" if failing else "FINISHED")
        assert ("'sampling.temperature': 9 is outside 0 to 2" in (line["error"] or "")) == failing
        assert f"job {line['job']} failed" not in said or failing
        assert line["scored"] == (0 if failing else 3)
        mean = {"mini": 50 * float(line["overrides"][1].partition("=")[2]), "thinker": 15.0}
        rows = (sweep / line["folder"] / "results.jsonl").read_text(encoding="utf-8") if not failing else ""
        for row in map(json.loads, rows.splitlines()):
            assert set(row["scores"].values()) == {mean[row["model"]]}
    if case is SLURM:
        script = (tmp_path / "slurm" / "sbatch.script").read_text(encoding="utf-8")
        assert "#SBATCH --partition=cpu" in script


def test_the_slurm_launcher_takes_the_task_to_another_machine(tmp_path: Path) -> None:
    """Its config composes with a cluster's settings, and what it sends away is read where runner is installed."""
    needs_launcher(SLURM)
    words = (*SLURM.words, "hydra.launcher.timeout_min=30", "+hydra.launcher.additional_parameters.wckey=study")
    composed = yaml.safe_load(runner(tmp_path, *words, "--cfg", "hydra", "--package", "hydra.launcher").stdout)
    assert composed["_target_"].endswith("SlurmLauncher")
    assert (composed["partition"], composed["timeout_min"]) == ("cpu", 30)
    assert composed["additional_parameters"] == {"wckey": "study"}
    wrote = "import cloudpickle, sys; from runner.cli.hydra_app import Task;"
    wrote += "sys.stdout.buffer.write(cloudpickle.dumps(Task('runner -m', lambda command: open(command))))"
    read = "import pickle, sys; print(pickle.load(sys.stdin.buffer).command)"
    sent = subprocess.run([sys.executable, "-c", wrote], check=True, capture_output=True, timeout=60).stdout
    got = subprocess.run([sys.executable, "-c", read], input=sent, check=True, capture_output=True, timeout=60).stdout
    assert got.decode() == "runner -m\n"


def claimer(folder: Path) -> int:
    """The one process that holds a claim in the ledger below a folder; 0 while there is none."""
    with open_ledger(f"sqlite:///{folder}/outputs/ledger.db") as ledger:
        found = [claimer.pid for claimer in map(parse, ledger.claims.owners()) if claimer is not None]
    return found[0] if len(found) == 1 else 0


def test_a_job_whose_process_is_killed_takes_no_other_down(tmp_path: Path) -> None:
    """Where the system kills a job's process, the sweep still ends with its table, and the next one buys the rest."""
    needs_launcher(SUBMITIT)
    words = ("-m", "model=mini", "sampling.temperature=0.5,1", "persona=poet", "tracking.enabled=false")
    with Provider(answer=lambda body: Turn(delay_s=5 if body["temperature"] == 1 else 0)) as provider:
        mine = configs(tmp_path, provider)
        process = start(tmp_path, mine, *words, *SUBMITIT.words)
        wait_for(lambda: len(list(tmp_path.glob("outputs/*/*/0/run.json"))) == 1 and provider.count == 6)
        os.kill(claimer(tmp_path), signal.SIGKILL)
        said = ended(process, status=3).stdout
        assert provider.count == 6
        provider.answer = lambda _body: Turn()
        runner(tmp_path, mine, *words)
        assert provider.count == 9
    assert "job 1 failed: no result; the launcher gave up: UncompletedJobError" in said
    killed, again = (load(sweep / "sweep.json") for sweep in sweeps(tmp_path))
    assert [line["status"] for line in killed["jobs"]] == ["FINISHED", "FAILED"]
    assert [line["status"] for line in again["jobs"]] == ["FINISHED", "FINISHED"]


def test_a_stopped_sweep_leaves_no_process_behind(tmp_path: Path) -> None:
    """SIGTERM to the command alone ends its workers too, with status 130 and the command that continues."""
    needs_launcher(JOBLIB)
    words = ("-m", "model=mini", "sampling.temperature=0.5,1", "persona=poet", "tracking.enabled=false")
    with Provider(answer=lambda _body: Turn(delay_s=60)) as provider:
        process = start(tmp_path, configs(tmp_path, provider), *words, *JOBLIB.words)
        try:
            wait_for(lambda: provider.count == 6)
            process.send_signal(signal.SIGTERM)
            _, complaint = process.communicate(timeout=60)
            assert process.returncode == 130, complaint
            wait_for(lambda: not local_ray.of_session(process.pid))
        finally:
            local_ray.end_session(process.pid)
    assert "interrupted; what was answered is kept\ntry:   runner --config-dir=" in complaint


OPTUNA = (
    "hydra/sweeper=optuna",
    "hydra.sweeper.direction=maximize",
    "hydra.sweeper.sampler.seed=1",
    "objective=score/mean",
)
BEST, HIGHEST = 1.3, 95
"""The temperature at which the loopback provider scores highest, and that score."""


def peaked(body: dict[str, Any]) -> Turn:
    return Turn(content=scores(round(HIGHEST - 60 * abs(body["temperature"] - BEST))))


@pytest.mark.usefixtures("mlruns")
def test_optuna_finds_the_best_temperature(tmp_path: Path) -> None:
    """Optuna's batches of jobs are pooled dispatches; it ends near the known best, under one MLflow parent."""
    from mlflow import MlflowClient

    needs("hydra_optuna_sweeper", "optuna")
    search = (*OPTUNA, "hydra.sweeper.n_trials=20", "hydra.sweeper.n_jobs=5")
    with Provider(answer=peaked) as provider:
        mine = configs(tmp_path, provider)
        runner(tmp_path, mine, "-m", *search, "model=mini", "persona=poet", "sampling.temperature=interval(0.0,2.0)")
        asked = Counter(body["temperature"] for body in provider.bodies)
    assert len(asked) == 20
    assert set(asked.values()) == {3}  # texts
    (sweep,) = sweeps(tmp_path)
    found = yaml.safe_load((sweep / "optimization_results.yaml").read_text(encoding="utf-8"))
    assert found["best_params"]["sampling.temperature"] == pytest.approx(BEST, abs=0.1)
    assert found["best_value"] == max(round(HIGHEST - 60 * abs(told - BEST)) for told in asked)
    assert [line["status"] for line in load(sweep / "sweep.json")["jobs"]] == ["FINISHED"] * 20
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    runs = client.search_runs(["1"])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert (len(runs), len(children)) == (21, 20)
    assert max(run.data.metrics["score/mean"] for run in children) == found["best_value"]


def test_optuna_goes_on_past_failing_jobs(tmp_path: Path) -> None:
    """With a failure rate allowed, a job whose config is wrong is FAILED and the study's other trials are judged."""
    needs("hydra_optuna_sweeper", "optuna")
    search = (*OPTUNA, "hydra.sweeper.n_trials=9", "hydra.sweeper.n_jobs=9", "hydra.sweeper.max_failure_rate=0.9")
    words = ("model=mini", "persona=poet", "sampling.temperature=choice(0.9,1.3,9)", "tracking.enabled=false")
    with Provider(answer=peaked) as provider:
        mine = configs(tmp_path, provider)
        said = runner(tmp_path, mine, "-m", *search, *words, status=3).stdout
        assert provider.count == 6
    (sweep,) = sweeps(tmp_path)
    found = yaml.safe_load((sweep / "optimization_results.yaml").read_text(encoding="utf-8"))
    assert (found["best_params"]["sampling.temperature"], found["best_value"]) == (BEST, HIGHEST)
    for line in load(sweep / "sweep.json")["jobs"]:
        failing = "sampling.temperature=9" in line["overrides"]
        assert line["status"] == ("FAILED" if failing else "FINISHED")
    assert "9 is outside 0 to 2" in said
