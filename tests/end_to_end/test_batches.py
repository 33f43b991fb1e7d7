"""Batches as a user meets them: left, looked at, collected, switched to live; against a provider that bills."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from commandline import load, newest, quick

from runner.cli.main import main
from runner.ledger.answers import open_ledger
from runner.simulator import FaultPlan, SimulatorThread
from runner.simulator.registry import BASES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),  # MLflow's own
    # In one process Hydra leaves its log files to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

TRIALS = 12
NATIVE = ("batch=native",)
UNTRACKED = "tracking.enabled=false"
SLOW = FaultPlan(batch_s=3600)


@dataclass
class Clock:
    """The provider's time, which the test moves on."""

    now: float = field(default_factory=time.time)

    def __call__(self) -> float:  # noqa: D102  what the simulator calls
        return self.now


@dataclass
class Shell:
    """A working folder, in which the program is run as if it were typed."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    options: tuple[str, ...] = ()

    def run(self, *words: str, status: int = 0) -> str:
        """A run's words, behind the options: what it said."""
        return self.verb(*quick([*self.options, *words]), status=status)

    def verb(self, *words: str, status: int = 0) -> str:
        """What the program said; it must end with `status`."""
        self.capsys.readouterr()
        ended = main(words)
        said = self.capsys.readouterr()
        assert ended == status, said
        return said.out + said.err

    def newest(self) -> dict[str, Any]:
        """The newest run.json."""
        return load(newest(self.folder, "run.json") / "run.json")


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMULATED_KEY", "simulated")
    return Shell(tmp_path, capsys)


def models(folder: Path, base: str) -> tuple[str, ...]:
    """The options that add a config folder of one's own, with a model that has a batch API and one that has none."""
    (folder / "mine" / "model").mkdir(parents=True)
    for name, model_id, provider, batch in (
        ("mini", "gpt-4o-mini", "openai", "openai"),
        ("deep", "deepseek-chat", "deepseek", "null"),
    ):
        structure = "schema" if provider == "openai" else "json_object"
        (folder / "mine" / "model" / f"{name}.yaml").write_text(
            f"# @package model.{name}\nid: {model_id}\nprovider: {provider}\nvendor: {provider}\n"
            f"key_env: SIMULATED_KEY\napi_base: {base}{BASES[provider]}\n"
            f"capability: {{structure: {structure}, batch: {batch}}}\n",
            encoding="utf-8",
        )
    return (f"--config-dir={folder / 'mine'}",)


def billed(simulator: SimulatorThread) -> list[int]:
    return [item["billed"] for item in simulator.count.items.values()]


def rows(folder: Path) -> set[Any]:
    """Kinds of problem in a run's rows."""
    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["problem"] and row["problem"]["kind"] for row in map(json.loads, lines)}


def routes(folder: Path) -> set[str]:
    """How the requests of a run went, whether they were answered or failed."""
    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["route"] for row in map(json.loads, lines)}


@pytest.mark.usefixtures("mlruns")
def test_a_batch_is_left_and_collected(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left running it ends with 5 and says where to look; collect completes results and MLflow, and buys nothing.

    So it does for a run that only waits for another's batch. Before that it changes nothing, and another key is told
    whose batch it is.
    """
    from mlflow import MlflowClient

    def statuses() -> set[str]:
        return {run.info.status for run in client.search_runs(["1"])}

    with SimulatorThread(SLOW, clock=(clock := Clock())) as simulator:
        shell.options = models(shell.folder, simulator.base)
        words = ("model=mini", *NATIVE)
        assert "runner status" in shell.run(*words, "batch.wait=false", status=5)
        first = newest(shell.folder, "run.json")
        assert rows(first) == {"pending"}
        client = MlflowClient(f"sqlite:///{shell.folder}/mlruns/mlflow.db")
        assert statuses() == {"SCHEDULED"}
        assert "12 requests wait" in shell.run(*words, "batch.wait=false", UNTRACKED, status=5)
        second = newest(shell.folder, "run.json")
        assert f"1 still run. Fetch what has ended: runner collect {second.relative_to(shell.folder)}" in shell.verb(
            "status", str(second), status=5
        )
        assert "still running" in shell.verb("collect", status=5)
        assert {load(folder / "run.json")["status"] for folder in (first, second)} == {"SCHEDULED"}
        monkeypatch.setenv("SIMULATED_KEY", "another")
        assert "belongs to another account" in " ".join(shell.verb("collect", status=5).split())
        assert "belongs to another account" in shell.run(*words, UNTRACKED, status=2)
        monkeypatch.setenv("SIMULATED_KEY", "simulated")
        clock.now += 2 * 3600
        shell.verb("collect")
        for folder in (first, second):
            run = load(folder / "run.json")
            assert (run["scored"], run["status"], run["batches"]) == (TRIALS, "FINISHED", [])
        assert statuses() == {"FINISHED"}
        assert billed(simulator) == [1] * TRIALS


def test_what_a_collected_batch_did_not_answer_says_why(shell: Shell) -> None:
    """A request that failed in a batch which `collect` fetched has the provider's reason and the batch's route.

    The run ends with 3, and `runner status` shows what the provider counted as done and as failed.
    """
    with SimulatorThread(replace(SLOW, item_error=0.25), clock=(clock := Clock())) as simulator:
        shell.options = models(shell.folder, simulator.base)
        shell.run("model=mini", *NATIVE, UNTRACKED, "batch.wait=false", status=5)
        clock.now += 2 * 3600
        shell.verb("collect", status=3)
        assert f"{TRIALS}/{TRIALS}, 3 failed" in " ".join(shell.verb("status").split())
    run = shell.newest()
    assert (run["scored"], run["failed"], run["batches"]) == (TRIALS - 3, 3, [])
    assert routes(newest(shell.folder, "run.json")) == {"batch"}
    assert rows(newest(shell.folder, "run.json")).isdisjoint({"not_sent", "pending"})


def test_what_a_batch_cut_off_is_asked_again_by_batch(shell: Shell) -> None:
    """Further attempts go by batch too, at once or left and collected; each is billed once, and a rerun buys none."""
    asking = ("model=mini", *NATIVE, UNTRACKED, "ask_again.unscorable=2")
    with SimulatorThread(FaultPlan(truncated=0.25, batch_s=0.05)) as simulator:
        shell.options = models(shell.folder, simulator.base)
        shell.run(*asking)
        run = shell.newest()
        assert (run["scored"], run["asked_again"], run["requests_sent"]) == (TRIALS, 3 + 1, TRIALS + 3 + 1)
        assert sum(billed(simulator)) == TRIALS + 3 + 1
        shell.run(*asking)
        assert shell.newest()["requests_sent"] == 0
    shell.options = ()
    with SimulatorThread(replace(SLOW, truncated=0.25), clock=(clock := Clock())) as simulator:
        shell.options = models(shell.folder / "left", simulator.base)
        left = (*asking, "batch.wait=false", "ledger.url=sqlite:///left.db")
        shell.run(*left, status=5)
        clock.now += 2 * 3600
        shell.verb("collect", "--ledger", "sqlite:///left.db")
        assert (shell.newest()["scored"], shell.newest()["unscorable"]) == (TRIALS - 3, 3)
        shell.run(*left, status=5)
        folder = newest(shell.folder, "run.json")
        assert (shell.newest()["scored"], shell.newest()["failed"], rows(folder)) == (TRIALS - 3, 3, {None, "pending"})
        clock.now += 2 * 3600
        shell.verb("collect", "latest")
        assert shell.newest()["scored"] == TRIALS - 1
        assert shell.newest()["price_usd"] == pytest.approx(sum(_prices(folder, asked=2)) / 2, rel=0.2)
        assert sum(billed(simulator)) == TRIALS + 3


def _prices(folder: Path, asked: int) -> list[float]:
    """Of the rows that were asked so often."""
    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return [row["price_usd"] for row in map(json.loads, lines) if row.get("asked", 1) == asked]


def test_a_sweeps_jobs_share_a_batch(shell: Shell) -> None:
    """Three jobs of three requests are one batch of nine; left and collected, the whole sweep is complete."""
    with SimulatorThread(SLOW, clock=(clock := Clock())) as simulator:
        shell.options = models(shell.folder, simulator.base)
        words = ("-m", "model=mini", "persona=poet", "sampling.temperature=0,0.5,1", *NATIVE, UNTRACKED)
        shell.run(*words, "batch.wait=false", status=5)
        assert simulator.count.batches == {"openai": 1}
        folder = newest(shell.folder)
        clock.now += 2 * 3600
        shell.verb("collect", str(folder))
        sweep = load(folder / "sweep.json")
        assert (sweep["status"], sweep["scored"], [job["scored"] for job in sweep["jobs"]]) == ("FINISHED", 9, [3] * 3)
        assert sweep["saved_usd"] > 0
        assert billed(simulator) == [1] * 9


def test_jobs_that_state_other_batch_settings_are_told_which_hold(shell: Shell) -> None:
    """The first job's batch settings hold for a whole sweep, which is said before anything is sent."""
    with SimulatorThread(FaultPlan(batch_s=0)) as simulator:
        shell.options = models(shell.folder, simulator.base)
        words = ("-m", "model=mini", "persona=poet", "batch.size=9,2", *NATIVE, UNTRACKED)
        said = " ".join(shell.run(*words).split())
        assert "the first one's settings hold for all: batch.size=9" in said
        assert simulator.count.batches == {"openai": 1}


def test_a_run_with_nothing_to_buy_cleans_up(shell: Shell) -> None:
    """What a crash left at the provider just before the clean-up, the next run of any batch model deletes."""
    with SimulatorThread(FaultPlan(batch_s=0)) as simulator:
        shell.options = models(shell.folder, simulator.base)
        shell.run("model=mini", *NATIVE, UNTRACKED)
        assert simulator.count.requests["openai"]["files.delete"] == 2
        with open_ledger("sqlite:///outputs/ledger.db") as ledger:
            store = ledger.batches
            (entry,) = store.entries()
            store.change(entry.id, "collected")  # as if killed there
            assert "0 requests sent" in shell.run("model=mini", *NATIVE, UNTRACKED)
            assert store.entry(entry.id).state == "closed"
        assert simulator.count.requests["openai"]["files.delete"] == 4


def test_switching_to_live_buys_nothing_twice(shell: Shell) -> None:
    """A run that goes live while a batch holds its requests waits for the batch; afterwards the ledger has them."""
    with SimulatorThread(SLOW, clock=(clock := Clock())) as simulator:
        shell.options = models(shell.folder, simulator.base)
        shell.run("model=mini", *NATIVE, UNTRACKED, "batch.wait=false", status=5)
        clock.now += 2 * 3600
        done = shell.run("model=mini", UNTRACKED)
        assert f"{TRIALS} of {TRIALS} scored" in done
        assert billed(simulator) == [1] * TRIALS
        assert sum(simulator.count.requests["openai"].get(name, 0) for name in ("chat", "chat.completions")) == 0


def test_what_has_no_batch_api_goes_live_and_is_named(shell: Shell) -> None:
    """In one run a model goes by batch and another live; the plan and the run say which."""
    with SimulatorThread(FaultPlan(batch_s=0)) as simulator:
        shell.options = models(shell.folder, simulator.base)
        words = ("model=[mini,deep]", *NATIVE, UNTRACKED)
        assert "Live, as they have no batch API: deep." in shell.verb("plan", *shell.options, *words)
        done = shell.run(*words)
        assert "live, as they have no batch API: deep" in done
        assert f"{2 * TRIALS} of {2 * TRIALS} scored" in done
        assert (simulator.count.batches["openai"], simulator.count.requests["deepseek"]["chat"]) == (1, TRIALS)
        assert "for want" not in shell.verb("plan", *shell.options, "model=[mini,deep]")


def test_ctrl_c_leaves_batches_and_keeps_live_replies(shell: Shell) -> None:
    """While a batch runs and another model is asked live, one Ctrl-C ends the run with what was in flight kept."""
    with SimulatorThread(replace(SLOW, latency_s=0.3)) as simulator:
        shell.options = models(shell.folder, simulator.base)

        def interrupt() -> None:
            while not (simulator.count.batches and simulator.count.requests.get("deepseek", {}).get("chat")):
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        said = shell.run("model=[mini,deep]", *NATIVE, UNTRACKED, "model.deep.limits.concurrency=1", status=5)
        thread.join()
        asked = simulator.count.requests["deepseek"]["chat"]
    run = shell.newest()
    assert 0 < run["scored"] + run["unscorable"] == asked < TRIALS
    assert f"{TRIALS} requests wait in batches" in said
    assert rows(newest(shell.folder, "run.json")) >= {"pending", "not_sent"}


@contextmanager
def interrupted_twice(begun: Callable[[], object]) -> Iterator[None]:
    """Ctrl-C twice, a tenth of a second apart, once something has begun."""

    def interrupt() -> None:
        while not begun():
            time.sleep(0.02)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_ctrl_c_twice_leaves_batches_too(shell: Shell) -> None:
    """Ctrl-C twice while a provider is slow to answer: the batches that run on are told, and collected later."""
    clock = Clock()
    with SimulatorThread(replace(SLOW, latency_s=0.7), clock=clock) as simulator:
        shell.options = models(shell.folder, simulator.base)

        with interrupted_twice(lambda: simulator.count.requests.get("openai", {}).get("batches.retrieve")):
            said = shell.run("model=mini", *NATIVE, UNTRACKED, status=5)
        assert f"{TRIALS} requests wait in batches" in said
        assert (shell.newest()["status"], len(shell.newest()["batches"])) == ("SCHEDULED", 1)
        clock.now += 2 * 3600
        shell.verb("collect")
    assert (shell.newest()["status"], shell.newest()["scored"]) == ("FINISHED", TRIALS)


def test_ctrl_c_twice_ends_a_collection(shell: Shell) -> None:
    """Ctrl-C twice while `collect` waits for a slow provider ends it with 130, as it ends a run."""
    with SimulatorThread(replace(SLOW, latency_s=0.7)) as simulator:
        shell.options = models(shell.folder, simulator.base)
        shell.run("model=mini", *NATIVE, UNTRACKED, "batch.wait=false", status=5)
        before = sum(simulator.count.requests["openai"].values())

        with interrupted_twice(lambda: sum(simulator.count.requests["openai"].values()) > before):
            assert "interrupted" in shell.verb("collect", status=130)


def test_a_batch_costs_half(shell: Shell) -> None:
    """The price of a batched answer is the batch rate, and what live would have cost more is a count and a line."""
    with SimulatorThread(FaultPlan()) as simulator:
        shell.options = models(shell.folder, simulator.base)
        assert "batches saved $" in shell.run("model=mini", *NATIVE, UNTRACKED)
        run = shell.newest()
        assert run["saved_usd"] == pytest.approx(run["price_usd"])
        shell.run("model=mini", UNTRACKED, "ledger.url=sqlite:///outputs/live.db")
        live = shell.newest()
    assert run["price_usd"] == pytest.approx(live["price_usd"] / 2, rel=0.1)  # simulated replies differ in length
    assert live["saved_usd"] == 0


def test_a_rehearsal_leaves_no_batch_to_wait_for(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rehearsal with batch.wait=false says that its batches end with it, and so do the book and `collect`."""
    monkeypatch.setenv("RUNNER_REHEARSAL_KEY", "")  # put back in the end
    words = ("model=gpt-4o-mini", "persona=poet", "text=rain", *NATIVE, UNTRACKED, "report=false", "batch.wait=false")
    said = shell.verb("rehearse", *words, status=5)
    assert "its batches end here" in said
    run = str(newest(shell.folder, "run.json"))
    assert "still run" not in shell.verb("status", run)
    assert "this was a rehearsal" in shell.verb("collect", run, status=3)
    assert shell.newest()["status"] == "FAILED"


def test_a_rehearsal_finds_the_answers_of_the_one_before(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rehearsal again asks nothing, wherever its providers listen; another fault plan is asked anew."""
    monkeypatch.setenv("RUNNER_REHEARSAL_KEY", "")  # put back in the end
    words = ("model=gpt-4o-mini", "persona=poet", "text=rain", UNTRACKED, "report=false")
    assert "1 request sent, 0 answers from the ledger" in shell.verb("rehearse", *words)
    assert "0 requests sent, 1 answer from the ledger" in shell.verb("rehearse", *words)
    run = str(newest(shell.folder, "run.json"))
    assert "1 of 1 scored" in shell.verb("rescore", run)
    assert "equal" in shell.verb("reproduce", run)
    other = shell.folder / "other.yaml"
    other.write_text("latency_s: 0.001\n", encoding="utf-8")
    assert "1 request sent" in shell.verb("rehearse", "--plan", str(other), *words)


def test_a_rehearsal_waits_for_no_batch_of_one_that_was_killed(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed rehearsal left in a batch has ended with its providers, and is asked again."""
    monkeypatch.setenv("RUNNER_REHEARSAL_KEY", "")  # put back in the end
    words = ("model=gpt-4o-mini", "persona=poet", "text=rain", *NATIVE, UNTRACKED, "report=false")
    shell.verb("rehearse", *words, "batch.wait=false", status=5)
    with closing(sqlite3.connect(shell.folder / "outputs" / "rehearsal.db")) as database, database:
        database.execute("update batch set state = 'sent'")  # as a kill leaves it
        database.execute("update batch_item set ending = null")
    assert "1 of 1 scored" in shell.verb("rehearse", *words)


def test_what_a_later_run_fetched_is_bought_there(shell: Shell) -> None:
    """Of a run that was left and the one that went on in its place, each answer is paid for in one."""
    with SimulatorThread(FaultPlan(batch_s=0.1)) as simulator:
        shell.options = models(shell.folder, simulator.base)
        shell.run("model=mini", *NATIVE, UNTRACKED, "batch.wait=false", status=5)
        left = newest(shell.folder, "run.json")
        shell.run("model=mini", *NATIVE, UNTRACKED)
        assert shell.newest()["price_usd"] > 0
        shell.verb("collect")
    run = load(left / "run.json")
    assert (run["status"], run["scored"], run["from_ledger"], run["price_usd"]) == ("FINISHED", TRIALS, TRIALS, 0)


def test_a_damaged_run_keeps_no_other_from_completion(shell: Shell) -> None:
    """Collect names a run.json that cannot be read, and completes the other runs all the same."""
    clock = Clock()
    with SimulatorThread(SLOW, clock=clock) as simulator:
        shell.options = models(shell.folder, simulator.base)
        shell.run("model=mini", *NATIVE, UNTRACKED, "batch.wait=false", status=5)
        run = newest(shell.folder, "run.json")
        torn = shell.folder / "outputs" / "2001-01-01" / "x" / "run.json"
        torn.parent.mkdir(parents=True)
        torn.write_text('{"run', encoding="utf-8")
        clock.now += 2 * 3600
        said = shell.verb("collect", status=2)
    assert f"not completed: {torn.relative_to(shell.folder)}" in said
    assert load(run / "run.json")["scored"] == TRIALS


def test_what_the_budgets_end_leaves_running_is_told(shell: Shell) -> None:
    """When a budget ends a run whose other batches run on, it says that they are billed and how to stop them."""
    with SimulatorThread(FaultPlan(batch_s=0.1, freeze=0.01)) as simulator:
        shell.options = models(shell.folder, simulator.base)
        words = ("model=mini", *NATIVE, UNTRACKED, "batch.size=6")
        shell.run(*words, "batch.wait=false", status=5)
        said = shell.run(*words, "budget.max_usd=0.0000001", status=4)
    assert "1 batches still run, and are billed" in said
