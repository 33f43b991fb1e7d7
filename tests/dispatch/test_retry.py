"""The retry policy by a clock that only sleeping moves, and the breaker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from runner.dispatch.retry import FIRST_WAIT_S, JITTER, MAX_WAIT_S, Breaker, attempt
from runner.errors import FatalError, ProviderError, TransientError
from runner.records import Limits, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.errors import Scope


@dataclass
class World:
    """A provider that gives each outcome in turn, the last for ever, and a clock that waits and calls move."""

    outcomes: Sequence[str | BaseException]
    call_s: float = 0.0
    now: float = 1000.0
    calls: int = 0
    told: list[tuple[str, int, float]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    async def call(self) -> str:
        """One attempt."""
        outcome = self.outcomes[min(self.calls, len(self.outcomes) - 1)]
        self.calls += 1
        self.now += self.call_s
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.slept.append(seconds)
        self.now += seconds

    def run(self, limits: Limits) -> str:
        """The policy, from the first attempt to its end."""
        return asyncio.run(
            attempt(self.call, limits, lambda *told: self.told.append(told), sleep=self.sleep, clock=lambda: self.now)
        )


def busy(retry_after_s: float | None = None) -> TransientError:
    return TransientError("rate_limit", "slow down", status=429, retry_after_s=retry_after_s)


LIMITS = Limits(attempts=24, total_s=900.0)


@dataclass(frozen=True)
class Case:
    """What the provider does, the waits that must follow, and how many calls in all."""

    name: str
    outcomes: tuple[str | BaseException, ...]
    slept: tuple[float, ...]
    calls: int
    limits: Limits = LIMITS
    call_s: float = 0.0


ANSWERED = [
    Case("at once", ("yes",), (), 1),
    Case("Retry-After is obeyed", (busy(7.5), busy(600.0), "yes"), (7.5, 600.0), 3),
    Case("a wait ends with the total", (busy(800.0), busy(800.0), "yes"), (800.0, 100.0), 3),
    Case("time spent in calls counts", (busy(850.0), "yes"), (600.0,), 2, call_s=300.0),
    Case("hours that the limits allow", (busy(7200.0), "yes"), (7200.0,), 2, Limits(total_s=86_400.0)),
]
GIVEN_UP = [
    Case("attempts", (busy(1.0),), (1.0, 1.0), 3, Limits(attempts=3)),
    Case("one attempt", (busy(1.0),), (), 1, Limits(attempts=1)),
    Case("time", (busy(40.0),), (40.0, 40.0, 20.0), 4, Limits(total_s=100.0)),
    Case("time in calls alone", (busy(1.0),), (1.0, 1.0), 3, Limits(total_s=100.0), call_s=40.0),
    Case("no time at all", (busy(),), (), 1, Limits(total_s=10.0), call_s=11.0),
]


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.name)
def test_an_answer_ends_the_attempts(case: Case) -> None:
    """The first success is returned after exactly the waits asked for, and each failure is told with its wait."""
    world = World(case.outcomes, call_s=case.call_s)
    assert world.run(case.limits) == "yes"
    assert world.slept == list(case.slept)
    assert world.calls == case.calls
    assert world.told == [("rate_limit", n, wait_s) for n, wait_s in enumerate(case.slept, 1)]


@pytest.mark.parametrize("case", GIVEN_UP, ids=lambda case: case.name)
def test_giving_up(case: Case) -> None:
    """When attempts or time are spent the provider's last error is raised, and nothing is waited for after it."""
    world = World(case.outcomes, call_s=case.call_s)
    with pytest.raises(TransientError) as caught:
        world.run(case.limits)
    assert caught.value is case.outcomes[-1]
    assert world.slept == list(case.slept)
    assert world.calls == case.calls
    assert len(world.told) == case.calls - 1


HOURS = (busy(901.0), busy(7200.0), busy(1e9), busy(float("inf")), TransientError("server", "x", retry_after_s=7200.0))


@pytest.mark.parametrize("error", HOURS, ids=lambda error: f"{error.kind} {error.retry_after_s:g}")
@pytest.mark.parametrize("before", [0, 2])
def test_no_run_holds_for_hours(error: TransientError, before: int) -> None:
    """A Retry-After of more than a quarter of an hour ends the model's part at once, with that time named."""
    world = World([*[busy(1.0)] * before, error])
    with pytest.raises(FatalError) as caught:
        world.run(LIMITS)
    assert (caught.value.kind, caught.value.scope) == ("server" if error.kind == "server" else "quota", "model")
    assert (world.calls, world.slept) == (before + 1, [1.0] * before)
    if error.retry_after_s is not None and error.retry_after_s < 1e6:
        until = datetime.now(UTC) + timedelta(seconds=error.retry_after_s)
        assert caught.value.until == pytest.approx(until, abs=timedelta(seconds=60))
        assert f"until {caught.value.until:%Y-%m-%d %H:%M} UTC" in caught.value.explained


def test_what_seldom_passes_is_tried_a_few_times() -> None:
    """An error that bounds its own attempts ends after those as a FatalError that reaches as far as it says."""
    error = TransientError("connection", "no such host", advice="check it", most_attempts=3, lasting="model")
    world = World([error])
    with pytest.raises(FatalError) as caught:
        world.run(LIMITS)
    assert (world.calls, caught.value.kind, caught.value.scope) == (3, "connection", "model")
    assert caught.value.explained == "no such host [check it]"


def test_the_last_error_is_the_one_raised() -> None:
    """Each failure is told by its own kind, and the error raised at the end is the last one."""
    errors = [TransientError(kind, kind) for kind in ("timeout", "server", "connection")]
    world = World(errors)
    with pytest.raises(TransientError) as caught:
        world.run(Limits(attempts=3))
    assert caught.value is errors[-1]
    assert [(kind, n) for kind, n, _ in world.told] == [("timeout", 1), ("server", 2)]


def test_waits_are_exponential_with_jitter() -> None:
    """Where no usable time is named, wait n is spread evenly within a quarter of min(60, 0.5 * 2 ** (n - 1))."""
    middles = [min(MAX_WAIT_S, FIRST_WAIT_S * 2**n) for n in range(23)]
    fractions = []
    for outcome in (busy(), busy(0.0), busy(-5.0), busy(float("nan"))) * 25:
        world = World([outcome])
        with pytest.raises(TransientError):
            world.run(Limits(attempts=24, total_s=1e6))
        assert all(before < after for before, after in pairwise(world.slept[:7]))
        fractions += [wait / middle for wait, middle in zip(world.slept, middles, strict=True)]
    assert 0.98 < sum(fractions) / len(fractions) < 1.02
    assert 1 - JITTER <= min(fractions) < 1 - 0.9 * JITTER
    assert 1 + 0.9 * JITTER < max(fractions) <= 1 + JITTER


@pytest.mark.parametrize(
    "error",
    [
        FatalError("key_refused", "no"),
        ProviderError("other", "?"),
        ValueError("a fault of ours"),
        asyncio.CancelledError(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("before", [0, 2])
def test_anything_else_is_raised_at_once(error: BaseException, before: int) -> None:
    """What is not transient ends the attempts, whether it comes first or after a retry."""
    world = World([*[busy(1.0)] * before, error])
    with pytest.raises(type(error)):
        world.run(LIMITS)
    assert world.calls == before + 1


def test_a_wait_can_be_cancelled() -> None:
    """A task that is cancelled while it waits for the next attempt ends at once and calls no more."""
    world = World([busy(600.0)])

    async def cancel() -> None:
        waiting = asyncio.Event()
        task = asyncio.ensure_future(attempt(world.call, LIMITS, lambda *_: waiting.set()))
        await asyncio.wait_for(waiting.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 10)

    asyncio.run(cancel())
    assert world.calls == 1


def test_nobody_needs_to_be_told() -> None:
    """The policy works without a display, and with asyncio's own sleep and clock."""
    world = World([busy(0.001), "yes"])
    assert asyncio.run(attempt(world.call, LIMITS)) == "yes"
    assert world.calls == 2


def test_attempts_side_by_side_do_not_mix() -> None:
    """Many requests retried at once each see their own errors, waits and results."""

    async def one(n: int) -> tuple[str, list[float]]:
        waits: list[float] = []
        world = World([busy(n / 1e4)] * (n % 5) + [str(n)])
        return await attempt(world.call, LIMITS, lambda *told: waits.append(told[2])), waits

    async def many() -> list[tuple[str, list[float]]]:
        return await asyncio.gather(*(one(n) for n in range(1, 60)))

    assert asyncio.run(many()) == [(str(n), [n / 1e4] * (n % 5)) for n in range(1, 60)]


# ---- the breaker -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Course:
    """What a model's requests met, in order ("ok" for a reply), and the kind that opens the breaker, or None."""

    name: str
    events: str
    opens: str | None


COURSES = [
    Course("nothing yet", "", None),
    Course("three refusals", "key_refused key_refused key_refused", "key_refused"),
    Course("three unknown models", "not_found not_found not_found", "not_found"),
    Course("three bad requests", "bad_request bad_request bad_request", "bad_request"),
    Course("two are not enough", "key_refused key_refused", None),
    Course("a reply between", "bad_request bad_request ok bad_request bad_request", None),
    Course("three after a reply", "bad_request ok bad_request bad_request bad_request", "bad_request"),
    Course("kinds that alternate", "bad_request not_found bad_request not_found bad_request not_found", None),
    Course("replies that cannot be read", "malformed malformed malformed malformed", None),
    Course("one that cannot be read between", "bad_request bad_request malformed bad_request", None),
    Course("money is gone", "quota", "quota"),
    Course("what passes does not", "connection", "connection"),
    Course("texts that are refused", "refused refused refused too_long too_long too_long", None),
    Course("a text that is refused between", "bad_request bad_request refused bad_request", None),
    Course("stays open", "key_refused key_refused key_refused ok", "key_refused"),
    Course(
        "keeps its first cause", "not_found not_found not_found ok bad_request bad_request bad_request", "not_found"
    ),
]


@pytest.mark.parametrize("course", COURSES, ids=lambda course: course.name)
def test_the_breaker_opens_after_three_of_a_kind(course: Course) -> None:
    """Three fatal errors of one stopping kind in a row open the breaker for good; anything else leaves it closed."""
    breaker = Breaker()
    for n, event in enumerate(course.events.split(), 1):
        if event == "ok":
            breaker.record_success()
        else:
            scope: Scope = "item" if event in ("refused", "too_long") else "model"
            breaker.record_fatal(event, f"message {n}", scope=scope)
    assert (breaker.open.kind if breaker.open else None) == course.opens


def test_the_breaker_says_why() -> None:
    """An open breaker holds the kind and message of the error that opened it, and `after` sets how many it takes."""
    breaker = Breaker(after=1)
    breaker.record_fatal("not_found", "no such model")
    breaker.record_fatal("not_found", "later")
    assert breaker.open == Problem("not_found", "no such model")


def test_an_account_stops_all_its_models() -> None:
    """Money that is gone opens the breaker of every model of the account; what is one model's own opens that alone."""
    account = Breaker()
    one, other = Breaker(account=account), Breaker(account=account)
    one.record_fatal("quota", "its own quota is used up", scope="model")
    assert (one.open is not None, other.open) == (True, None)
    other.record_fatal("quota", "no credit", scope="account")
    third = Breaker(account=account)
    assert third.open == Problem("quota", "no credit")
    assert third.why == "stopped: no credit"
