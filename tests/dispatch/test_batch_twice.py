"""Requests that two batches hold, batches whose lines are damaged, settings that change: what could be bought twice."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from batching import Bench, FakeApi, FakeBatch, bench, done, item, model_of, running, settings, trials_of, with_api

from runner.dispatch.batch import control
from runner.dispatch.observer import Stop
from runner.errors import ConfigError, FatalError, TransientError
from runner.ledger.answers import open_ledger
from runner.providers.batch.api import Item, Standing
from runner.simulator import FaultPlan, SimulatorThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.ledger.batch_records import BatchRecord
    from runner.providers.batch.api import State
    from runner.records import Model, Trial

MODEL = model_of("openai")


class Crash(BaseException):
    """Stands for a kill: nothing of the engine's looks at it."""


def over(batch: FakeBatch) -> Standing:
    return Standing("ended", "done", len(batch.lines), len(batch.lines))


def asked(api: FakeApi, first: int = 0) -> Counter[str]:
    """How often each request was in a batch."""
    return Counter(line["body"]["messages"][0]["content"] for batch in api.batches[first:] for line in batch.lines)


# ---- two runs, the same batches --------------------------------------------------------------------------------------


@contextmanager
def two_runs(folder: Path, api: FakeApi) -> Iterator[tuple[Bench, Bench, list[Trial]]]:
    """Two that are about to want six requests, which an earlier run left in two batches."""
    trials = trials_of(MODEL, 6)
    with with_api(folder, api, settings=settings(size=3, wait=False)) as earlier:
        earlier.buy(trials)
    with with_api(folder, api) as one, with_api(folder, api) as two:
        yield one, two, trials
        assert one.has(trials) == 6
    assert api.submits == 2


def test_an_answer_that_two_runs_wait_for_is_bought_by_one(tmp_path: Path) -> None:
    """Of two runs that wait for the same batches, each answer counts as the other's in exactly one."""
    here: set[str] = set()

    def noted(owner: str, _: BatchRecord) -> None:
        here.add(owner)

    api = FakeApi(stands=lambda batch: over(batch) if len(here) == 2 else running(batch))
    with two_runs(tmp_path, api) as (one, two, trials), ThreadPoolExecutor(2) as pool:
        for at in (one, two):
            at.context = replace(at.context, news=partial(noted, at.ledger.claims.owner))
        first, second = pool.map(lambda at: at.buy(trials), (one, two))
        assert first.others ^ second.others == {trial.key for trial in trials}


def test_two_runs_that_have_taken_what_the_other_waits_for_both_end(tmp_path: Path) -> None:
    """A batch that has ended is let go at once: of two runs with a batch each, both have the answers of both."""
    with two_runs(tmp_path, FakeApi()) as (one, two, trials), ThreadPoolExecutor(2) as pool:
        for at, entry in zip((one, two), one.entries(), strict=True):
            assert at.store.take(entry.id)
        runs = [pool.submit(at.buy, trials) for at in (one, two)]
        wait(runs, timeout=30)
        one.stop.asked = two.stop.asked = True  # whoever still waits is to end, and fail
        assert [run.result().detached for run in runs] == [False, False]


# ---- one request, two batches ---------------------------------------------------------------------------------------


def test_what_ended_before_a_crash_goes_out_again_once(tmp_path: Path) -> None:
    """A kill between the last line and the telling apart: what ended without an answer is in one further batch."""

    def results(batch: FakeBatch) -> list[Item | Exception]:
        if batch.id == "p1":
            return [done(batch.lines[0]), item(batch.lines[1], "retry", "server")]
        return [done(line) for line in batch.lines]

    def dies(name: str) -> None:
        if name == "fetched":
            raise Crash

    api, trials = FakeApi(results=results), trials_of(MODEL, 4)
    api.stands = lambda batch: Standing("expired", "over", 2, 4) if batch.id == "p1" else over(batch)
    with pytest.raises(Crash), with_api(tmp_path, api, step=dies) as at:
        at.buy(trials)
    with with_api(tmp_path, api) as at:
        assert at.buy(trials).failures == {}
        assert at.has(trials) == 4
    assert sorted(asked(api).values()) == [1, 2, 2, 2]


def test_what_a_lost_batch_and_a_newer_one_hold_is_asked_of_the_newer(tmp_path: Path) -> None:
    """A lost batch of which one request goes out anew takes no other along that is on its way already."""
    api, trials, late_s = FakeApi(stands=running), trials_of(MODEL, 4), [0.0]

    def again() -> Any:
        wants = settings(wait=False)
        return with_api(tmp_path, api, settings=wants, clock=lambda: time.time() + late_s[0])

    with again() as at:
        at.buy(trials)
    late_s[0] = 10 * 86_400.0
    with again() as at:
        assert len(at.buy(trials).failures) == 4  # lost
    with again() as at:
        assert len(at.buy(trials).pending) == 4  # bought anew
    api.stands = lambda batch: over(batch) if batch.id == "p2" else running(batch)
    api.results = lambda batch: [
        item(line, "expired" if n < 2 else "failed", "bad_request") for n, line in enumerate(batch.lines)
    ]
    with again() as at:
        outcome = at.buy(trials)
        assert (len(outcome.pending), len(outcome.failures)) == (2, 2)
    with again() as at:
        assert len(at.buy(trials).pending) == 4
    assert sorted(asked(api, 2).values()) == [1, 1, 1, 1]


def test_a_batch_that_has_ended_is_let_go_at_once(tmp_path: Path) -> None:
    """A run that waits for a batch of another's lets the other have what it is done with: neither waits for ever."""
    api, trials = FakeApi(), trials_of(MODEL, 4)
    with (
        with_api(tmp_path, api, settings=settings(size=2, wait=False)) as left,
        with_api(tmp_path, api) as at,
        open_ledger(f"sqlite:///{tmp_path}/ledger.db") as elsewhere,
        ThreadPoolExecutor(1) as pool,
    ):
        left.buy(trials)
        first, second = [entry.id for entry in at.entries()]
        other = elsewhere.batches
        assert other.take(second)
        running_here = pool.submit(at.buy, trials)
        until = time.monotonic() + 10
        while not (at.has(trials) == 2 and (is_free := other.take(first))) and time.monotonic() < until:
            time.sleep(0.01)
        at.stop.asked = not is_free
        other.release(second)
        assert is_free
        assert running_here.result().failures == {}
        assert at.has(trials) == 4


# ---- lines on disk that are no longer what was sent -----------------------------------------------------------------


def torn(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:40])


def mixed_up(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], *lines[:2]]))


@pytest.mark.parametrize("damage", [torn, mixed_up, Path.unlink])
def test_damaged_lines_are_told_and_made_anew(damage: Callable[[Path], Any], tmp_path: Path) -> None:
    """A request whose line is no longer on disk fails with the file's name, alone; the next run asks it again."""

    def results(batch: FakeBatch) -> list[Item | Exception]:
        if batch.id == "p1":
            damage(batch.draft.items)
            return [done(batch.lines[0]), *(item(line, "expired") for line in batch.lines[1:])]
        return [done(line) for line in batch.lines]

    api, trials = FakeApi(results=results), trials_of(MODEL, 4)
    with with_api(tmp_path, api) as at:
        outcome = at.buy(trials)
        assert at.has(trials) + len(outcome.failures) == 4
        assert at.has(trials) == (1 if damage is Path.unlink else 2)
        assert all(f"{at.entries()[0].id}.in.jsonl" in each.problem.message for each in outcome.failures.values())
        assert len(list((tmp_path / "batches").glob("*.part"))) == 0
    with with_api(tmp_path, api) as at:
        assert at.buy(trials).failures == {}
        assert at.has(trials) == 4


def test_a_lost_batch_without_its_lines_is_bought_anew(tmp_path: Path) -> None:
    """What a lost batch held goes out again even where its file is gone: in the run after the one that says so."""
    api, trials, late_s = FakeApi(stands=running), trials_of(MODEL, 2), [0.0]
    kinds = []
    for late_s[0] in (0.0, 10 * 86_400.0, 10 * 86_400.0):
        now = time.time() + late_s[0]
        with with_api(tmp_path, api, settings=settings(wait=False), clock=lambda now=now: now) as at:
            kinds.append({each.problem.kind for each in at.buy(trials).failures.values()})
            for path in (tmp_path / "batches").iterdir():
                path.unlink()
    api.stands = lambda batch: over(batch) if batch.id == "p2" else running(batch)
    with with_api(tmp_path, api) as at:
        assert at.buy(trials).failures == {}
        assert at.has(trials) == 2
    assert kinds == [set(), {"lost"}, {"not_sent"}]


# ---- what is counted and said ---------------------------------------------------------------------------------------


def test_a_batch_that_is_found_counts_as_sent(tmp_path: Path) -> None:
    """Requests whose batch was taken without an answer were sent: once, by the run that sent them."""
    cut = TransientError("connection", "cut off")
    api, trials = FakeApi(on_submit=lambda _batch: cut, takes=lambda _error: True), trials_of(MODEL, 4)
    with with_api(tmp_path, api) as at:
        assert at.buy(trials).failures == {}
        assert Counter(at.watcher.sent_keys) == Counter(trial.key for trial in trials)


@pytest.mark.parametrize("state", ["sent", "unsent", "lost", "failed", "too_large", "token_limit"])
def test_with_batches_off_nothing_goes_into_another(state: str, tmp_path: Path) -> None:
    """Whatever becomes of an earlier run's batch, a run with batch=off sends what it did not answer live."""
    kind = state if state.startswith("to") else "server"
    api, trials, late_s = FakeApi(stands=running), trials_of(MODEL, 4), 0.0
    with with_api(tmp_path, api, settings=settings(wait=False)) as at:
        at.buy(trials)
        (entry,) = at.entries()
        if state == "unsent":
            at.store.change(entry.id, "drafted")
            api.finds = False
        if state == "lost":
            late_s = 10 * 86_400.0
            at.store.change(entry.id, "lost")
    if state in {"sent", "failed", "too_large", "token_limit"}:
        ends: State = "ended" if state == "sent" else "failed"
        api.stands = lambda _: Standing(ends, "done", 0, 4, message="no", kind=kind)
    api.results = lambda batch: [item(line, "expired") for line in batch.lines] if state == "sent" else []
    with with_api(tmp_path, api, settings=settings(mode="off"), clock=lambda: time.time() + late_s) as at:
        outcome = at.buy(trials)
        assert (outcome.live, outcome.failures) == ({trial.key for trial in trials}, {})
    assert api.submits == 1


def test_what_cannot_be_looked_at_is_not_said_to_run(tmp_path: Path) -> None:
    """Collect says why a provider could not be asked, and cancel does not claim to have asked for what it has no id."""
    api, trials = FakeApi(stands=running), trials_of(impatient(MODEL), 2)
    away = TransientError("connection", "no route to it")

    def fails(_batch: FakeBatch) -> Standing:
        raise away

    async def unsure(*_: Any) -> None:
        raise TransientError("unconfirmed", "one that runs may be ours")

    with with_api(tmp_path, api, settings=settings(wait=False)) as at:
        at.buy(trials)
        (entry,) = at.entries()
        api.stands = fails
        assert [seen.said for seen in control.collect(at.context, Stop())] == [
            "cannot be looked at now: no route to it"
        ]
        assert [seen.said for seen in control.cancel(at.context, Stop(asked=True))] == ["not looked at: interrupted"]
        assert not api.batches[0].cancelled
        assert [seen.said for seen in control.cancel(at.context, Stop())] == ["asked to stop"]
        at.store.change(entry.id, "drafted")
    api.find = unsure  # type: ignore[method-assign, assignment]
    with bench(tmp_path, settings(), api_of=lambda _: api) as at:
        forget_id(tmp_path)
        for look in (control.collect, control.cancel):
            (seen,) = look(at.context, Stop())
            assert seen.said == "nobody can tell whether it was sent: one that runs may be ours"


def impatient(model: Model) -> Model:
    return replace(model, limits=replace(model.limits, attempts=1, total_s=0.1))


def forget_id(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "ledger.db")) as database, database:
        database.execute("UPDATE batch SET sent = NULL")


KEY = "sk-not-for-reports"


def refuses(_: Any) -> Exception:
    return FatalError("key_refused", f"no such key: {KEY}")


def failed(_: FakeBatch) -> Standing:
    return Standing("failed", "failed", 0, 2, message=f"no such key: {KEY}", kind="bad_request")


def refuses_a_look(_: FakeBatch) -> Standing:
    raise FatalError("key_refused", f"no such key: {KEY}")


@pytest.mark.parametrize(
    "changes",
    [
        {"on_submit": refuses},
        {"stands": refuses_a_look},
        {"stands": failed, "results": lambda _: []},
        {"results": lambda batch: [replace(item(line, "failed"), message=f"no {KEY}") for line in batch.lines]},
        {"results": lambda _: [FatalError("bad_request", f"no such key: {KEY[:12]}…")]},
    ],
    ids=["sending", "looking", "failed", "items", "fetching, cut short"],
)
def test_a_key_that_a_batchs_provider_repeats_is_kept_nowhere(changes: dict[str, Any], tmp_path: Path) -> None:
    """Whatever step a provider's words come from, neither rows nor the book nor what is said of a batch has the key."""
    api, trials = FakeApi(**changes), trials_of(MODEL, 2)
    with with_api(tmp_path, api, environment={"BATCH_API_KEY": KEY}) as at:
        failures = at.buy(trials).failures
        seen = control.collect(at.context, Stop())
    assert {"<BATCH_API_KEY>" in each.problem.message for each in failures.values()} == {True}
    said = " ".join(each.said for each in seen)
    database = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.db*"))
    assert KEY[:12] not in said
    assert KEY[:12].encode() not in database


# ---- settings of the run that made a batch --------------------------------------------------------------------------


def test_collect_keeps_to_the_settings_of_the_run(tmp_path: Path) -> None:
    """Collect deletes nothing that batch.cleanup=false was to keep, and gives up no batch before its run's grace."""
    api, trials, late_s = FakeApi(stands=running), trials_of(MODEL, 2), [0.0]
    with with_api(tmp_path, api, settings=settings(wait=False, cleanup=False, grace="30d")) as at:
        at.buy(trials)
    with with_api(tmp_path, api, clock=lambda: time.time() + late_s[0]) as at:
        late_s[0] = 10 * 86_400.0
        assert [seen.entry.state for seen in control.collect(at.context, Stop())] == ["sent"]
        api.stands = over
        assert [seen.entry.state for seen in control.collect(at.context, Stop())] == ["closed"]
        assert at.has(trials) == 2
    assert not api.batches[0].cleaned


def test_nobody_waits_long_for_a_look(tmp_path: Path) -> None:
    """Collect gives a provider that does not answer a minute, where a run would try for a quarter of an hour."""
    patience: list[float] = []

    def api_of(model: Model) -> FakeApi:
        patience.append(model.limits.total_s)
        return api

    api, model = FakeApi(stands=running), replace(MODEL, limits=replace(MODEL.limits, total_s=900.0))
    with bench(tmp_path, settings(wait=False), api_of=api_of) as at:
        at.buy(trials_of(model, 2))
        control.collect(at.context, Stop())
    assert patience == [900.0, control.LOOK_S]


def test_two_lanes_take_up_one_batch(tmp_path: Path) -> None:
    """A batch whose requests now belong to two models, alike but for their limits, answers both."""
    api, trials = FakeApi(), trials_of(MODEL, 4)
    other = replace(MODEL, limits=replace(MODEL.limits, concurrency=3))
    with with_api(tmp_path, api, settings=settings(wait=False)) as at:
        at.buy(trials)
    with with_api(tmp_path, api) as at:
        theirs = [replace(trial, cell=replace(trial.cell, model=other)) for trial in trials[2:]]
        outcome = at.buy(trials[:2], theirs)
        assert (outcome.failures, at.has(trials)) == ({}, 4)
    assert api.submits == 1


def test_a_batch_is_found_again_without_its_file(tmp_path: Path) -> None:
    """Anthropic's batches are known by their results alone: the lines that were sent may be gone from the disk."""

    def dies(name: str) -> None:
        if name == "unanswered":
            raise Crash

    with SimulatorThread(FaultPlan(batch_s=0, drop_create=0.01)) as simulator:
        trials = trials_of(model_of("anthropic", simulator.base), 3)
        with pytest.raises(Crash), bench(tmp_path, step=dies) as at:
            at.buy(trials)
        for path in (tmp_path / "batches").iterdir():
            path.unlink()
        with bench(tmp_path) as at:
            assert at.buy(trials).failures == {}
            assert at.has(trials) == 3
        assert simulator.count.bought_again == 0


def test_a_key_that_is_gone_for_good_is_not_waited_for(tmp_path: Path) -> None:
    """What another key's batch holds is bought anew once that batch's time is over; the refusal says from when on."""
    api, trials, days = FakeApi(stands=refuses_a_look), trials_of(MODEL, 2), [0.0]

    def again() -> Any:
        other = {"BATCH_API_KEY": "another-key"}
        return with_api(tmp_path, api, environment=other, clock=lambda: time.time() + days[0] * 86_400)

    with with_api(tmp_path, api, settings=settings(wait=False)) as at:
        at.buy(trials)
    with again() as at, pytest.raises(ConfigError, match=r"buys them anew after 2\d+-\d+-\d+"):
        at.buy(trials)
    days[0] = 5.0
    api.stands = lambda batch: refuses_a_look(batch) if batch.id == "p1" else over(batch)
    with again() as at:
        assert at.buy(trials).failures == {}
        assert at.has(trials) == 2
