"""Live dispatch against a provider on loopback: what happens when it is slow, limited, silent or gone."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from dispatching import QUICK, Watching, dispatch, kinds, model, trials
from loopback import Provider, Turn

from runner.dispatch import live
from runner.dispatch.limiter import FIRST_ABREAST, GROWTH
from runner.dispatch.observer import NOT_SENT, STOPPED, Stop
from runner.errors import LedgerError, RunnerError
from runner.records import Limits, Model, Persona, Trial

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from runner.records import Answer

PERSONA = Persona("p", {"*": "someone"})


def test_every_request_is_answered_once() -> None:
    """Each request is sent once and its answer kept once, as it came, with the time it took."""
    with Provider(answer=lambda _: Turn(delay_s=0.01)) as provider:
        seen = Watching()
        assert dispatch(seen, (model(provider.url), 40)) == {}
    assert provider.count == len(seen.answers) == len({answer.key for answer in seen.answers}) == 40
    assert all(answer.latency_s >= 0.01 and answer.attempts == 1 for answer in seen.answers)


def test_a_reply_of_nothing_is_asked_for_again() -> None:
    """A 200 without a body, or with the empty lines that keep a connection open and no more, is no answer."""
    bodies = iter([b"", b"\n\n\n", None])
    with Provider(answer=lambda _: Turn(body=next(bodies))) as provider:
        seen = Watching()
        assert dispatch(seen, (model(provider.url), 1)) == {}
    assert provider.count == 3
    assert [(answer.attempts, answer.raw.strip() != b"") for answer in seen.answers] == [(3, True)]
    assert [kind for _, kind, _ in seen.waits] == ["connection"] * 2


def test_who_waits_for_its_own_retry_after_holds_no_place() -> None:
    """Where each text is refused once, the next ones are asked meanwhile, and never more at once than are allowed."""
    refused: set[str] = set()

    def answer(body: dict[str, Any]) -> Turn:
        text = json.dumps(body["messages"])
        if text in refused:
            return Turn(delay_s=0.01)
        refused.add(text)
        return Turn(delay_s=0.01, status=429, headers={"Retry-After": "0.3"})

    with Provider(answer=answer) as provider:
        seen, started = Watching(), time.monotonic()
        assert dispatch(seen, (model(provider.url, limits=replace(QUICK, concurrency=2)), 30)) == {}
        assert time.monotonic() - started < 30 * 0.3 / 2
        assert provider.most_in_flight <= 2
        assert provider.count == 60


def test_a_429_holds_up_every_model_of_its_account() -> None:
    """Retry-After of one model's refusal holds for the account's other models, and for no other account's."""
    arrived: list[tuple[float, str]] = []
    refused = threading.Event()

    def answer(body: dict[str, Any]) -> Turn:
        arrived.append((time.monotonic(), body["model"]))
        if body["model"] == "limited" and not refused.is_set():
            refused.set()
            return Turn(status=429, headers={"Retry-After": "1"})
        return Turn(delay_s=0.05)

    with Provider(answer=answer) as provider, Provider(answer=answer) as elsewhere:
        one = replace(QUICK, concurrency=1)
        seen = Watching()
        lanes = [
            (model(provider.url, "limited", one), 1),
            (model(provider.url, "same", one), 4),
            (model(elsewhere.url, "other", one), 4),
        ]
        assert dispatch(seen, *lanes) == {}
    moments = {name: [at for at, its in arrived if its == name] for _, name in arrived}
    start = moments["limited"][0]
    assert moments["limited"][1] - start >= 0.95
    assert moments["same"][-1] - start >= 0.95
    assert moments["other"][-1] < min(moments["limited"][1], moments["same"][-1])
    assert seen.waits[0][:2] == ("limited", "rate_limit")


def test_models_of_one_account_share_its_stated_limit() -> None:
    """requests_per_minute holds for all models of an account together: past the burst they wait."""
    limits = replace(QUICK, concurrency=40, requests_per_minute=1200)
    with Provider() as provider:
        started = time.monotonic()
        assert dispatch(Watching(), *((model(provider.url, name, limits), 40) for name in "ab")) == {}
        # A burst of 60, then 19 a second.
        assert time.monotonic() - started > 0.9


def test_a_model_of_a_sweep_keeps_its_limit() -> None:
    """A sweep over a model's settings asks it no more at once than one job does."""
    with Provider(answer=lambda _: Turn(delay_s=0.02)) as provider:
        one = model(provider.url, limits=replace(QUICK, concurrency=2))
        lanes = [(replace(one, temperature=heat), trials(one, 10, first)) for first, heat in ((0, 0.1), (10, 0.9))]
        seen = Watching()
        with asyncio.Runner() as runner:
            assert runner.run(live.dispatch(lanes, seen, seen, seen.stop)) == {}
    assert len(seen.answers) == 20
    assert provider.most_in_flight == 2


@pytest.mark.parametrize(
    "limits",
    [replace(QUICK, first_byte_timeout_s=1.0), replace(QUICK, timeout_s=1.0)],
    ids=["first byte", "total"],
)
def test_a_stalled_connection_never_holds_the_run(limits: Limits) -> None:
    """A reply that stays away is given up after its time-out, and asked for again."""
    stalled = threading.Event()

    def answer(_body: dict[str, Any]) -> Turn:
        if stalled.is_set():
            return Turn()
        stalled.set()
        return Turn(delay_s=60)

    with Provider(answer=answer) as provider:
        seen, started = Watching(), time.monotonic()
        assert dispatch(seen, (model(provider.url, limits=limits), 5)) == {}
        assert time.monotonic() - started < 40
    assert [kind for _, kind, _ in seen.waits] == ["timeout"]
    assert len(seen.answers) == 5


def test_the_message_of_a_time_out_names_its_setting() -> None:
    """A trial that fails by a time-out says which of the three it was."""
    once = replace(QUICK, attempts=1)
    with Provider(answer=lambda _: Turn(delay_s=5)) as provider:
        first = dispatch(Watching(), (model(provider.url, limits=replace(once, first_byte_timeout_s=0.1)), 1))
        total = dispatch(Watching(), (model(provider.url, limits=replace(once, timeout_s=0.1)), 1))
    assert "limits.first_byte_timeout_s" in next(iter(first.values())).problem.message
    assert "limits.timeout_s" in next(iter(total.values())).problem.message
    assert kinds(first) == kinds(total) == ["timeout"]


def test_nobody_listens() -> None:
    """A refused connection is tried again, as often as attempts say, and then fails as what it is."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        failures = dispatch(Watching(), (model(base, limits=replace(QUICK, attempts=2)), 2))
    assert kinds(failures) == ["connection"] * 2
    assert [failure.attempts for failure in failures.values()] == [2, 2]


def test_a_host_that_cannot_be_leaves_the_others_alone() -> None:
    """A dot too many in an address, a model's own or one that a server redirects to, fails its trials alone."""
    away = Turn(status=307, headers={"Location": "http://api..example/"})
    once = replace(QUICK, attempts=1)
    with Provider(answer=lambda body: away if body["model"] == "away" else Turn()) as provider:
        bases = {"wrong": "http://127.0..1/v1", "away": provider.url, "good": provider.url}
        seen = Watching()
        failures = dispatch(seen, *((model(base, name, once), 2) for name, base in bases.items()))
    assert kinds(failures) == ["connection"] * 2 + ["redirected"] * 2
    assert {answer.model_id for answer in seen.answers} == {"good"}
    assert len(seen.answers) == 2


def test_a_stop_ends_every_wait() -> None:
    """Asked to stop, a run does not sit out a Retry-After: what was refused is reported unsent at once, and why."""
    with Provider(answer=lambda _: Turn("too fast", 429, {"Retry-After": "60"})) as provider:
        seen, started = Watching(stop_after=1), time.monotonic()
        failures = dispatch(seen, (model(provider.url), 30))
        assert time.monotonic() - started < 20
    assert set(kinds(failures)) == {NOT_SENT}
    assert len(failures) == 30
    assert provider.count < 30
    for failure in failures.values():
        said = "the last attempt: rate_limit: " in failure.problem.message and "too fast" in failure.problem.message
        assert said == (failure.attempts > 0)


def test_a_stop_lets_nobody_through_who_waits_for_a_turn() -> None:
    """From the moment that a run is to stop, as at the end of its budget, no further request leaves."""

    class Satisfied(Watching):
        def answered(self, trial: Trial, answer: Answer) -> None:  # noqa: ARG002
            """One is enough."""
            self.stop.asked = True

    with Provider(answer=lambda _: Turn(delay_s=0.01)) as provider:
        seen = Satisfied()
        failures = dispatch(seen, (model(provider.url, limits=replace(QUICK, concurrency=100)), 300))
    assert provider.count == len(seen.answers) <= FIRST_ABREAST + GROWTH
    assert len(failures) + len(seen.answers) == 300


def test_a_model_that_refuses_everything_stops_alone() -> None:
    """After the same fatal error in a row a model's trials stop, waiting ones too; its neighbour goes on."""

    def answer(body: dict[str, Any]) -> Turn:
        return Turn(status=400, content="no such thing") if body["model"] == "bad" else Turn()

    with Provider(answer=answer) as provider:
        seen = Watching()
        failures = dispatch(seen, (model(provider.url, "bad"), 40), (model(provider.url, "good"), 40))
    assert len(seen.answers) == 40
    assert len(failures) == 40
    assert set(kinds(failures)) == {"bad_request", STOPPED}
    assert seen.order.count("bad") < 12


def test_a_key_that_a_server_repeats_is_kept_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a provider says of a refused key is told without the key."""
    monkeypatch.setenv("REPEATED_API_KEY", "sk-not-for-reports")
    with Provider(answer=lambda _body: Turn(status=401, content="no such key: sk-not-for-reports")) as provider:
        failures = dispatch(Watching(), (model(provider.url, key_env="REPEATED_API_KEY"), 1))
    (failure,) = failures.values()
    assert failure.problem.kind == "key_refused"
    assert "no such key: <REPEATED_API_KEY>" in failure.problem.message


def test_models_get_their_turns() -> None:
    """A model with many requests does not keep one with few from being answered."""
    with Provider(answer=lambda _: Turn(delay_s=0.01)) as provider:
        seen = Watching()
        few = replace(QUICK, concurrency=2)
        lanes = [(model(provider.url, "many"), 100), (model(provider.url, "few", few), 10)]
        assert dispatch(seen, *lanes) == {}
    last_of_few = len(seen.order) - seen.order[::-1].index("few")
    assert last_of_few < 80


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(24, "Too many open files"), RuntimeError("can't start new thread")]
)
def test_the_end_of_a_resource_lets_what_is_in_flight_be_stored(error: Exception) -> None:
    """When memory, files or threads end nothing more is sent, each reply under way is kept, and the reason is told."""

    class Ending(Watching):
        def sent(self, trial: Trial) -> None:
            """The twentieth finds no more of something."""
            if len(self.order) >= 20:
                raise error
            super().sent(trial)

    with Provider(answer=lambda _: Turn(delay_s=0.05)) as provider:
        seen = Ending()
        with pytest.raises(RunnerError, match=f"{type(error).__name__}.*is stored") as told:
            dispatch(seen, (model(provider.url, limits=replace(QUICK, concurrency=8)), 100))
        assert told.value.advice
    assert provider.count == len(seen.answers) == 20


def test_an_answer_that_cannot_be_kept_ends_the_run() -> None:
    """When the ledger fails nothing more is bought: its error comes out of dispatch."""

    class FullError(LedgerError):
        pass

    class Fails(Watching):
        def store(self, answers: Sequence[Answer]) -> Future[None]:  # noqa: ARG002
            """Never kept."""
            raise FullError("no room")

    async def run(of: Model) -> None:
        await live.dispatch([(of, trials(of, 100))], Fails(), Watching(), Stop())

    with Provider() as provider, pytest.raises(FullError):
        asyncio.run(run(model(provider.url)))
    assert provider.count < 100
