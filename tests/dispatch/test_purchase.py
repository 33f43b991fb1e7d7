"""What a launch buys, and what its rows and counts say of it: inside the process, from a provider on loopback."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Provider, Turn

from runner import pipeline
from runner.cli.jobs import gather
from runner.cli.session import EXIT_BUDGET, EXIT_DETACHED, EXIT_FAILED_TRIALS, EXIT_INTERRUPTED, EXIT_OK, Session
from runner.cli.verbs.reproduce import reproduce
from runner.cli.verbs.runs import rescore
from runner.dispatch.interrupts import interrupts
from runner.dispatch.observer import Stop
from runner.errors import BudgetError, ConfigError, LedgerError, RunnerError
from runner.ledger.answers import open_ledger
from runner.ledger.batch_records import BatchRecord
from runner.plan.job import Job
from runner.records import (
    Batch,
    Capability,
    Experiment,
    Limits,
    Model,
    Persona,
    Prices,
    PromptTemplate,
    Question,
    Sampling,
    Text,
    Tracking,
)
from runner.reporting import compare
from runner.results import files, manifest
from runner.results.launch import JobResult, Launch

if TYPE_CHECKING:
    from runner.records import Answer, Failure, Trial

CONF = Path(__file__).parents[2] / "conf"
NAMES = ("interesting", "surprise", "sadness", "anger")
PROMPT = PromptTemplate("p", "en", "{{ persona }}", "{{ text.content }}", tuple(Question(n, n, n) for n in NAMES))
PRICES = Prices(input_usd_per_mtok=1.0, output_usd_per_mtok=10.0)
PRICE_USD = 100e-6 + 20e-5


class Nobody:
    """Is told what happens, and has no wish."""

    def planned(self, model: Model, count: int) -> None:
        """So many are about to be sent."""

    def sent(self, trial: Trial) -> None:
        """An attempt leaves."""

    def answered(self, trial: Trial, answer: Answer) -> None:
        """A reply came."""

    def failed(self, trial: Trial, failure: Failure) -> None:
        """None came."""

    def waiting(self, model: Model, kind: str, wait_s: float, reason: str = "") -> None:
        """Another attempt follows."""

    def batch(self, entry: Any) -> None:
        """There are no batches here."""

    def notice(self, line: str) -> None:
        """Nobody reads it."""


def experiment(folder: Path, base: str, texts: int = 4, **limits: Any) -> Experiment:
    of = Model(
        name="m",
        id="m",
        provider="openai",
        vendor="test",
        api_base=base,
        capability=Capability(structure="schema"),
        limits=Limits(**{"concurrency": 4, "attempts": 1, **limits}),
        prices=PRICES,
    )
    return Experiment(
        name="e",
        models=(of,),
        personas=(Persona("poet", {"*": "You are a poet."}),),
        texts=tuple(Text(f"t{number}", f"text {number}") for number in range(texts)),
        prompt=PROMPT,
        sampling=Sampling(),
        batch=Batch(),
        tracking=Tracking(),
        ledger_url=f"sqlite:///{folder}/ledger.db",
    )


def run(this: Launch, folder: Path, *experiments: Experiment, first: int = 0) -> list[JobResult]:
    jobs = [Job(first + at, one, folder / f"job{first + at}") for at, one in enumerate(experiments)]
    return pipeline.launch(this, jobs, Nobody())


def sources(result: JobResult) -> list[str | None]:
    return [row.source for row in files.read_rows(result.folder / "results.jsonl")]


def test_requests_that_two_settings_of_a_model_share_are_bought_once(tmp_path: Path) -> None:
    """A sweep over what is not part of a request, such as a limit, buys each request once."""
    with Provider() as provider:
        one = experiment(tmp_path, provider.url)
        other = replace(one, models=(replace(one.models[0], limits=Limits(concurrency=2)),))
        this = Launch("runner")
        first, second = run(this, tmp_path, one, other)
    assert provider.count == this.purchase.requests_sent == 4
    assert sources(first) == ["bought"] * 4
    assert sources(second) == ["ledger"] * 4
    assert (first.counts.collapsed, second.counts.collapsed) == (0, 4)


def test_what_failed_in_an_earlier_turn_counts_as_bought_when_it_is(tmp_path: Path) -> None:
    """A sweeper's later turn that buys what failed before says so, with its price."""
    broken = threading.Event()
    broken.set()
    with Provider(answer=lambda _: Turn(status=500) if broken.is_set() else Turn()) as provider:
        one = experiment(tmp_path, provider.url, texts=2)
        this = Launch("runner")
        (first,) = run(this, tmp_path, one)
        broken.clear()
        (second,) = run(this, tmp_path, one, first=1)
        (third,) = run(this, tmp_path, one, first=2)
    assert first.counts.failed == 2
    assert sources(second) == ["bought"] * 2
    assert (second.counts.collapsed, second.counts.from_ledger) == (0, 0)
    assert second.counts.price_usd == pytest.approx(2 * PRICE_USD)
    assert (third.counts.collapsed, third.counts.from_ledger, third.counts.price_usd) == (2, 2, 0)
    assert this.purchase.failures == {}


def test_answers_that_cannot_be_kept_end_the_launch_as_a_ledger_error(tmp_path: Path) -> None:
    """What goes wrong with the ledger while requests are out comes out as itself, with what to do about it."""
    with Provider(answer=lambda _: Turn(delay_s=0.05)) as provider:
        one = experiment(tmp_path, provider.url, texts=200)

        def fill(_: Launch) -> None:
            with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
                full = "SELECT RAISE(FAIL, 'database or disk is full')"
                database.execute(f"CREATE TRIGGER t BEFORE INSERT ON ledger_answer BEGIN {full}; END")

        jobs = [Job(0, one, tmp_path / "job0")]
        with pytest.raises(LedgerError, match="the disk is full"):
            pipeline.launch(Launch("runner"), jobs, Nobody(), begins=fill)
    assert provider.count < 200


def test_reading_replies_again_keeps_why_trials_failed(tmp_path: Path) -> None:
    """`runner rescore` has no other reason for a trial without an answer than its run had, and took no longer."""
    with Provider(answer=lambda _: Turn(status=400, content="no such thing")) as provider:
        one = replace(experiment(tmp_path, provider.url), tracking=Tracking(enabled=False), report=False)
        this = Launch("runner")
        (first,) = run(this, tmp_path, one)
    manifest.write(this, first)
    before = (first.folder / "results.jsonl").read_bytes()
    ended = manifest.load(first.folder, "run.json")["time"]
    assert b"bad_request" in before
    time.sleep(0.01)
    assert rescore(first.folder) == EXIT_FAILED_TRIALS
    assert (first.folder / "results.jsonl").read_bytes() == before
    assert manifest.load(first.folder, "run.json")["time"] == ended


def test_a_sweep_read_again_from_where_it_was_made_can_still_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`runner rescore outputs/x` of a sweep leaves its jobs' folders relative to its own, as they were."""
    monkeypatch.chdir(tmp_path)
    with Provider() as provider:
        one = replace(experiment(tmp_path, provider.url), tracking=Tracking(enabled=False), report=False)
        this = Launch("runner -m")
        jobs = run(this, tmp_path / "sweep", one, replace(one, sampling=Sampling(temperature=0.1)))
    for job in jobs:
        manifest.write(this, job)
    manifest.write_sweep(this, tmp_path / "sweep")
    before = [line["folder"] for line in manifest.load(tmp_path / "sweep", "sweep.json")["jobs"]]
    assert rescore(Path("sweep")) == 0
    assert [line["folder"] for line in manifest.load(tmp_path / "sweep", "sweep.json")["jobs"]] == before


def test_a_job_that_failed_takes_no_verb_down(tmp_path: Path) -> None:
    """Verbs about a sweep pass over the job whose config was wrong; about that job alone they say what was wrong."""
    sweep = tmp_path / "sweep"
    with Provider() as provider:
        one = replace(experiment(tmp_path, provider.url), tracking=Tracking(enabled=False), report=False)
        this = Launch("runner -m")
        (asked,) = run(this, sweep, one, first=1)
    this.results.insert(0, JobResult(0, sweep / "job0", (), None, error=ConfigError("9 is outside 0 to 2")))
    for job in this.results:
        job.folder.mkdir(exist_ok=True)
        manifest.write(this, job)
    manifest.write_sweep(this, sweep)
    assert manifest.ledger_of(sweep) == one.ledger_url
    before = (asked.folder / "results.jsonl").read_bytes()
    assert rescore(sweep) == EXIT_FAILED_TRIALS
    assert (asked.folder / "results.jsonl").read_bytes() == before
    assert [job["error"] for job in manifest.load(sweep, "sweep.json")["jobs"]] == ["9 is outside 0 to 2", None]
    reproduce(sweep, CONF, fresh=False)
    with pytest.raises(ConfigError, match="no job of it has results: 9 is outside"):
        compare.compare([sweep / "job0", asked.folder])


@pytest.mark.parametrize("command", ["runner a=1", "runner rehearse a=1", "runner rehearse --plan study a=1"])
def test_a_budget_that_is_too_small_names_the_plan_to_look_at(command: str, tmp_path: Path) -> None:
    """The advice is a command that can be typed, also where the run was a rehearsal."""
    one = replace(experiment(tmp_path, "http://127.0.0.1:1"), budget_usd=0.0)
    with pytest.raises(BudgetError, match=r"above budget\.max_usd") as caught:
        run(Launch(command), tmp_path, one)
    assert caught.value.advice == "runner plan a=1"


def test_a_sweep_of_separate_processes_knows_of_its_batches(tmp_path: Path) -> None:
    """Gathered from its jobs' folders, a sweep whose batches still run is SCHEDULED, and says why others failed."""
    with Provider(answer=lambda _: Turn(status=400, content="no such thing")) as provider:
        one = replace(experiment(tmp_path, provider.url), tracking=Tracking(enabled=False), report=False)
        this = Launch("runner -m")
        (first,) = run(this, tmp_path, one)
    waiting, *failing = this.purchase.failures
    of = replace(one.models[0], capability=Capability(structure="schema", batch="openai"))
    entry = BatchRecord("b1", this.id, "openai", of, provider.url, "account", 1, 86400, time.time(), "sent")
    with open_ledger(one.ledger_url) as ledger:
        ledger.batches.draft(entry, [(waiting, 1)])
    del this.purchase.failures[waiting]
    this.purchase.pending[waiting] = "b1"
    job = Job(0, one, first.folder)
    this.results.clear()
    (again,) = pipeline.rewrite(this, [job])
    manifest.write(this, again)
    with Session("runner -m", tracked=False, loudness="quiet") as session:
        gather(session, tmp_path)
        assert session.launch.purchase.pending == {waiting: "b1"}
        assert session.launch.purchase.failures.keys() == set(failing)
        assert session.finish(tmp_path) == EXIT_DETACHED
    assert manifest.load(tmp_path, "sweep.json")["status"] == "SCHEDULED"


def test_every_failed_trial_is_counted_by_its_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The kinds of failure add up, also where two jobs shared a request and where a later turn was lucky."""
    broken = threading.Event()
    broken.set()
    with Provider(answer=lambda _: Turn("oops", status=500) if broken.is_set() else Turn()) as provider:
        one = replace(experiment(tmp_path, provider.url, texts=2), tracking=Tracking(enabled=False), report=False)
        with Session("runner -m") as session:
            session.run([Job(0, one, tmp_path / "job0"), Job(1, one, tmp_path / "job1")])
            broken.clear()
            session.run([Job(2, one, tmp_path / "job2")])
            assert session.finish(tmp_path) == EXIT_FAILED_TRIALS
    said = capsys.readouterr().out
    assert "2 of 6 scored, 0 unscorable, 4 failed (server 4)" in said
    assert "  server, 4 trials: " in said


@pytest.mark.parametrize(("last", "status"), [(3, EXIT_OK), (2, EXIT_BUDGET)], ids=["last", "last but one"])
def test_a_budget_that_the_last_answer_spends_has_stopped_nothing(tmp_path: Path, last: int, status: int) -> None:
    """A run that is whole when its budget is spent is FINISHED; one that lacks an answer says what stopped it."""
    dear = Turn(tokens=(100_000, 20))

    def answer(body: dict[str, Any]) -> Turn:
        return dear if f"text {last}" in str(body) else Turn()

    with Provider(answer=answer) as provider, Session("runner", tracked=False, loudness="quiet") as session:
        one = replace(experiment(tmp_path, provider.url, concurrency=1), budget_usd=0.1)
        (result,) = session.run([Job(0, one, tmp_path / "job0")])
        assert session.finish() == status
    assert result.counts.scored == provider.count == last + 1
    assert manifest.load(result.folder, "run.json")["status"] == ("FINISHED" if status == EXIT_OK else "KILLED")


def test_a_budget_counts_answers_that_do_not_say_what_they_used(tmp_path: Path) -> None:
    """An answer without counts is charged at its longest, so that no budget is passed unseen."""

    def answer(_body: dict[str, Any]) -> Turn:
        return Turn(tokens=None)

    with Provider(answer=answer) as provider, Session("runner", tracked=False, loudness="quiet") as session:
        whole = experiment(tmp_path, provider.url, texts=12, concurrency=1)
        one = replace(whole, budget_usd=0.2, sampling=Sampling(max_tokens=8_000))  # 0.08 dollars each, if so long
        (result,) = session.run([Job(0, one, tmp_path / "job0")])
        assert session.finish() == EXIT_BUDGET
    assert result.counts.scored == provider.count == 3


def test_no_turn_follows_an_interruption(tmp_path: Path) -> None:
    """A sweeper that asks for a further turn after Ctrl-C is told, and no job is made of it."""
    with Provider() as provider, Session("runner -m", tracked=False, loudness="quiet") as session:
        one = experiment(tmp_path, provider.url)
        session.run([Job(0, one, tmp_path / "job0")])
        session.launch.purchase.stop.asked = True
        with pytest.raises(RunnerError, match="interrupted") as caught:
            session.run([Job(1, replace(one, sampling=Sampling(temperature=0.1)), tmp_path / "job1")])
        assert caught.value.exit_status == session.finish(tmp_path) == EXIT_INTERRUPTED
    assert provider.count == 4
    assert [line["job"] for line in manifest.load(tmp_path, "sweep.json")["jobs"]] == [0]


def test_a_turn_that_cannot_be_run_is_listed_with_its_reason(tmp_path: Path) -> None:
    """A sweeper's turn above the budget ends the sweep, and its jobs have run.json with that error."""
    with Provider() as provider, Session("runner", tracked=False, loudness="quiet") as session:
        one = experiment(tmp_path, provider.url)
        other = replace(one, sampling=Sampling(trials=2), budget_usd=1e-9)
        (tmp_path / "job1").mkdir()
        session.run([Job(0, one, tmp_path / "job0")])
        with pytest.raises(BudgetError):
            session.run([Job(1, other, tmp_path / "job1")])
        session.finish(tmp_path)
    sweep = manifest.load(tmp_path, "sweep.json")
    assert (sweep["status"], [line["status"] for line in sweep["jobs"]]) == ("FAILED", ["FINISHED", "FAILED"])
    runs = [manifest.load(folder, "run.json") for folder in manifest.job_folders(tmp_path)]
    assert [run["scored"] for run in runs] == [4, 0]
    assert "budget.max_usd" in runs[1]["error"]


def test_an_ignored_interruption_stays_ignored() -> None:
    """A run in the background of a shell, which has it ignore Ctrl-C, is not stopped by one meant for another."""
    stop, before = Stop(), signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts(stop):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0)
        assert not stop.asked
    finally:
        signal.signal(signal.SIGINT, before)


HUNG_UP = """
import fcntl, os, signal, sys, termios, time
from pathlib import Path
from runner.dispatch.interrupts import interrupts
from runner.dispatch.observer import Stop

fcntl.ioctl(0, termios.TIOCSCTTY, 0)
stop = Stop(drop=sys.exit)
with interrupts(stop):
    print("ready", flush=True)
    while not stop.asked:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGHUP)
    print("for nobody", flush=True)
Path(sys.argv[1]).write_text("came")
"""


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals")
def test_a_closed_terminal_lets_what_is_in_flight_arrive(tmp_path: Path) -> None:
    """When its terminal goes, a run sends nothing more, drops nothing, and is not ended by what it prints."""
    ours, its = os.openpty()
    command = [sys.executable, "-c", HUNG_UP, str(tmp_path / "answers")]
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, start_new_session=True) as process:
        os.close(its)
        assert os.read(ours, 100).startswith(b"ready")
        os.close(ours)
        assert process.wait(timeout=30) == 0
    assert (tmp_path / "answers").read_text(encoding="ascii") == "came"


def test_a_rehearsal_is_not_bought_afresh(tmp_path: Path) -> None:
    """`runner reproduce RUN --fresh` of a rehearsal says so, with the command that rehearses it again."""
    with Provider() as provider:
        one = replace(experiment(tmp_path, provider.url), tracking=Tracking(enabled=False), report=False)
        this = Launch("runner rehearse a=1")
        (first,) = run(this, tmp_path, one)
    manifest.write(this, first)
    with pytest.raises(ConfigError, match="was rehearsed") as caught:
        reproduce(first.folder, CONF, fresh=True)
    assert caught.value.advice == "runner rehearse a=1"
    assert provider.count == 4


def test_the_rate_counts_until_the_last_answer_is_durable(tmp_path: Path) -> None:
    """Requests a second are those bought until the ledger has them, not until they have come."""

    class Last(Nobody):
        came_s = 0.0

        def answered(self, trial: Trial, answer: Answer) -> None:  # noqa: ARG002
            """When it came."""
            self.came_s = time.monotonic()

    with Provider() as provider:
        one, seen, this = experiment(tmp_path, provider.url), Last(), Launch("runner")
        pipeline.launch(this, [Job(0, one, tmp_path / "job0")], seen)
    assert this.purchase.rate is not None
    assert this.purchase.last_kept_s is not None
    assert this.purchase.last_kept_s > seen.came_s


def test_a_run_that_is_dropped_says_what_had_failed(tmp_path: Path) -> None:
    """Two interruptions drop what is in flight at once; a trial that had failed before still says why."""

    class Impatient(Nobody):
        def failed(self, trial: Trial, failure: Failure) -> None:  # noqa: ARG002
            """Ctrl-C twice."""
            stop = this.purchase.stop
            if not stop.asked and stop.drop is not None:
                stop.asked = True
                stop.drop()

    def answer(body: dict[str, Any]) -> Turn:
        return Turn(status=400, content="no such thing") if "text 0" in str(body) else Turn(delay_s=60)

    with Provider(answer=answer) as provider:
        one, this = experiment(tmp_path, provider.url), Launch("runner")
        started = time.monotonic()
        (result,) = pipeline.launch(this, [Job(0, one, tmp_path / "job0")], Impatient())
        assert time.monotonic() - started < 40
    rows = files.read_rows(result.folder / "results.jsonl")
    assert [row.problem and row.problem.kind for row in rows] == ["bad_request", *["not_sent"] * 3]
