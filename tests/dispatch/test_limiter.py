"""The gate of an account, in a time that only waiting moves."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import virtual_time
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.dispatch.limiter import MOST_TOLD, Closed, Limiter
from runner.dispatch.rate_limits import Amount
from runner.errors import TransientError
from runner.records import Limits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from runner.dispatch.limiter import Permit

ONE = Amount(1, 100, 100)
LATENCY_S = 1.0


def limiter(*limits: Limits) -> Limiter:
    return Limiter.of(limits, clock=virtual_time.now)


async def ask(at: Limiter, model: str = "m", amount: Amount = ONE, latency_s: float = LATENCY_S) -> float:
    """One request that is answered; when it was let through."""
    gone = await at.enter(model, amount)
    await asyncio.sleep(latency_s)
    at.answered(gone, {})
    return gone.sent


def sent(count: int, make: Callable[[], Limiter], **words: float) -> list[float]:
    """When each of so many requests that all come at once is let through."""

    async def main() -> list[float]:
        at = make()
        return sorted(await asyncio.gather(*(ask(at, **words) for _ in range(count))))  # type: ignore[arg-type]

    return virtual_time.run(main())


def test_the_number_at_once_grows_while_all_is_well() -> None:
    """A quarter of the ceiling goes at first, the whole of it once the first replies are in, and never more."""
    moments = Counter(sent(1200, lambda: limiter(Limits(concurrency=200))))
    assert moments[0.0] == 50
    assert moments[1.0] == 150
    assert max(moments.values()) == 200


def test_a_small_ceiling_is_used_at_once() -> None:
    """Where the models allow few requests at once, all of those go at the start."""
    assert Counter(sent(6, lambda: limiter(Limits(concurrency=3))))[0.0] == 3


def test_a_429_halves_the_number_once_for_a_round() -> None:
    """Refusals of requests that were on their way together halve the number once, and it grows back as fast."""

    async def main() -> tuple[float, float, float]:
        at = limiter(Limits(concurrency=8))
        gone = [await at.enter("m", ONE) for _ in range(8)]
        await asyncio.sleep(1)
        for one in gone:
            at.failed(one, TransientError("rate_limit", "slow down", status=429, retry_after_s=5))
        after = at.abreast
        moments = await asyncio.gather(*(ask(at) for _ in range(4)))
        return after, min(moments), at.abreast

    halved, first, later = virtual_time.run(main())
    assert halved == 4
    assert first == pytest.approx(6)
    assert 6 < later < 8


async def insist(at: Limiter, chance: Random, wait_s: float) -> None:
    """Ask until a provider that refuses seven of ten, whatever is asked, gives a reply."""
    while True:
        gone = await at.enter("m", ONE)
        await asyncio.sleep(0.1)
        if chance.random() >= 0.7:
            at.heard(gone, {})
            return at.leave(gone)
        at.failed(gone, TransientError("rate_limit", "slow down", status=429, retry_after_s=wait_s))
        await asyncio.sleep(wait_s)


@pytest.mark.parametrize(("wait_s", "most_s"), [(0.2, 10), (1.0, 25), (2.0, 50)])
def test_a_share_that_is_refused_whatever_is_asked_slows_nobody(wait_s: float, most_s: float) -> None:
    """Sixty replies of a provider that refuses seven of ten come nearly as fast as their own waits allow."""

    async def main() -> float:
        at, chance = limiter(Limits(concurrency=32)), random.Random(7)  # noqa: S311  no secret depends on it
        await asyncio.gather(*(insist(at, chance, wait_s) for _ in range(60)))
        return virtual_time.now()

    assert virtual_time.run(main()) < most_s


@pytest.mark.parametrize(("kind", "in_a_row"), [("server", 3), ("timeout", 3), ("connection", 3)])
def test_errors_in_a_row_pause_everything(kind: str, in_a_row: int) -> None:
    """After some errors of the server without a reply between them nothing goes for a while."""

    async def main() -> list[float]:
        at = limiter(Limits(concurrency=4))
        waits = []
        for _ in range(in_a_row):
            start = virtual_time.now()
            gone = await at.enter("m", ONE)
            waits.append(gone.sent - start)
            at.failed(gone, TransientError(kind, "trouble", status=503))
        start = virtual_time.now()
        gone = await at.enter("m", ONE)
        at.answered(gone, {})
        return [*waits, gone.sent - start]

    assert virtual_time.run(main()) == pytest.approx([0, 0, 0, 0.5])


def test_a_reply_between_errors_keeps_things_going() -> None:
    """Errors that come now and then among replies pause nobody."""

    async def main() -> float:
        at = limiter(Limits(concurrency=4))
        for _ in range(10):
            at.failed(await at.enter("m", ONE), TransientError("server", "trouble", status=503))
            at.failed(await at.enter("m", ONE), TransientError("server", "trouble", status=503))
            at.answered(await at.enter("m", ONE), {})
        return virtual_time.now()

    assert virtual_time.run(main()) == 0


def test_a_stated_limit_spreads_requests() -> None:
    """requests_per_minute from the config: a small burst, then evenly, near the limit and never above it."""
    moments = sent(1200, lambda: limiter(Limits(concurrency=50, requests_per_minute=600)), latency_s=0.1)
    for first in moments[::50]:
        assert sum(1 for moment in moments if first <= moment < first + 60) <= 600
    assert 1200 / moments[-1] * 60 > 0.95 * 600


def test_the_smallest_limit_of_an_account_holds_for_all() -> None:
    """Of what two models of one account state, the smaller one counts, and counts both models' requests."""

    async def main() -> list[float]:
        at = limiter(Limits(concurrency=20, requests_per_minute=60), Limits(concurrency=20, requests_per_minute=6000))
        return sorted(await asyncio.gather(*(ask(at, model) for model in ("a", "b") for _ in range(30))))

    assert 50 < virtual_time.run(main())[-1] < 65


def test_a_token_limit_counts_what_a_reply_may_have() -> None:
    """tokens_per_minute counts a request's own tokens and the most that its reply may have."""
    moments = sent(60, lambda: limiter(Limits(concurrency=60, tokens_per_minute=12_000)), latency_s=0.01)
    assert 50 < moments[-1] < 65


def test_models_take_turns() -> None:
    """A model with few requests is not kept waiting behind another's many."""

    async def main() -> list[str]:
        at, order = limiter(Limits(concurrency=1)), []

        async def one(model: str) -> None:
            gone = await at.enter(model, ONE)
            order.append(model)
            await asyncio.sleep(1)
            at.answered(gone, {})

        many = [asyncio.create_task(one("many")) for _ in range(20)]
        await asyncio.sleep(0)
        few = [asyncio.create_task(one("few")) for _ in range(3)]
        await asyncio.gather(*many, *few)
        return order

    assert virtual_time.run(main())[:7].count("few") == 3


class Server:
    """A provider that keeps a bucket of requests and tells of it as OpenAI does."""

    def __init__(self, per_minute: float, level: float) -> None:
        self.per_minute, self.level, self.at = per_minute, level, 0.0
        self.refused = 0

    def ask(self) -> dict[str, str] | TransientError:
        """A request comes in: the headers of its reply, or why it is refused."""
        now = virtual_time.now()
        self.level = min(self.per_minute, self.level + (now - self.at) * self.per_minute / 60)
        self.at = now
        enough = self.level >= 1
        self.level -= enough
        reset = (self.per_minute - self.level) / (self.per_minute / 60)
        told = {
            "x-ratelimit-limit-requests": f"{self.per_minute:.0f}",
            "x-ratelimit-remaining-requests": f"{int(self.level)}",
            "x-ratelimit-reset-requests": f"{reset:.2f}s",
        }
        if enough:
            return told
        self.refused += 1
        wait_s = (1 - self.level) / (self.per_minute / 60)
        return TransientError("rate_limit", "slow down", status=429, retry_after_s=wait_s, headers=told)


async def persist(at: Limiter, server: Server, latency_s: float) -> None:
    """Ask until there is a reply, as a worker does."""
    while True:
        gone: Permit = await at.enter("m", ONE)
        await asyncio.sleep(latency_s / 2)
        said = server.ask()
        await asyncio.sleep(latency_s / 2)
        if isinstance(said, dict):
            at.answered(gone, said)
            return
        at.failed(gone, said)
        await asyncio.sleep(said.retry_after_s or 0)


@pytest.mark.parametrize("latency_s", [0.05, 2.0])
@pytest.mark.parametrize("level", [0.0, 30.0, 600.0])
def test_what_headers_tell_is_used_up_and_kept(level: float, latency_s: float) -> None:
    """A provider's own count is used to more than nine tenths, and hardly any request is refused."""

    async def main() -> tuple[float, int]:
        at, server = limiter(Limits(concurrency=200)), Server(600, level)
        await _all(persist(at, server, latency_s) for _ in range(1200))
        return virtual_time.now(), server.refused

    seconds, refused = virtual_time.run(main())
    best_s = max((1200 - level) / 10, 0)
    assert seconds < best_s / 0.9 + 2 * latency_s
    assert refused <= 60  # of the first fifty at once, before anything is told


async def _all(coroutines: object) -> None:
    await asyncio.gather(*coroutines)  # type: ignore[misc]


def test_models_whose_limits_differ_have_limits_of_their_own() -> None:
    """A model that has used up its own limit does not hold up another one of the account."""

    async def main() -> tuple[float, float]:
        at = limiter(Limits(concurrency=10), Limits(concurrency=10))
        for model, limit, left in (("small", "60", "0"), ("large", "6000", "5999")):
            gone = await at.enter(model, ONE)
            told = {"x-ratelimit-limit-requests": limit, "x-ratelimit-remaining-requests": left}
            at.answered(gone, {**told, "x-ratelimit-reset-requests": "60s" if left == "0" else "1s"})
        large = await ask(at, "large")
        return large, await ask(at, "small")

    large, small = virtual_time.run(main())
    assert large == 0
    assert small == pytest.approx(1.0)


def test_a_limit_that_changes_with_each_reply_fills_no_memory() -> None:
    """Of a thousand limits that a server names one after another few are kept, and the last one holds."""

    async def main() -> tuple[int, float]:
        at = limiter(Limits(concurrency=10))
        for limit in range(1_000, 0, -1):
            gone = await at.enter("m", ONE)
            told = {"x-ratelimit-limit-requests": str(limit), "x-ratelimit-remaining-requests": str(limit - 1)}
            at.answered(gone, {**told, "x-ratelimit-reset-requests": "60s"})
        return len(at.told), await ask(at, "m")

    kept, waited = virtual_time.run(main())
    assert kept <= MOST_TOLD + 1
    assert waited == pytest.approx(60.0, rel=0.1)


@pytest.mark.parametrize(
    ("limit", "left", "reset"),
    [
        ("100", "0", "inf"),
        ("100", "0", "nan"),
        ("100", "0", "1e400"),
        ("100", "0", "1764244800"),
        ("100", "0", "1764244800000"),
        ("100", "0", "-5"),
        ("100", "-1e9", "1s"),
        ("100", "nan", "1s"),
        ("100", "inf", "1s"),
        ("inf", "0", "1s"),
        ("5e-324", "0", None),
        ("0", "0", "1s"),
    ],
)
def test_headers_that_cannot_be_true_hold_nobody_up(limit: str, left: str, reset: str | None) -> None:
    """Whatever headers say, the next request goes within a minute, and nothing is raised over a reply that came."""

    async def main() -> float:
        at = limiter(Limits(concurrency=1))
        told = {"x-ratelimit-limit-requests": limit, "x-ratelimit-remaining-requests": left}
        told |= {} if reset is None else {"x-ratelimit-reset-requests": reset}
        at.answered(await at.enter("m", ONE), told)
        return await ask(at)

    assert virtual_time.run(main()) <= 61


def test_a_closed_gate_sends_everyone_away() -> None:
    """Who waits and who comes later is told at once that nothing more goes through."""

    async def main() -> list[str]:
        at = limiter(Limits(concurrency=1))
        await at.enter("m", ONE)
        waiting = [asyncio.create_task(_refused(at.enter("m", ONE))) for _ in range(3)]
        await asyncio.sleep(0)
        at.close()
        return [*await asyncio.gather(*waiting), await _refused(at.enter("m", ONE))]

    assert virtual_time.run(main()) == ["closed"] * 4


async def _refused(entering: Awaitable[Permit]) -> str:
    try:
        await entering
    except Closed:
        return "closed"
    return "through"


def test_who_gives_up_waiting_leaves_no_gap() -> None:
    """A request that is cancelled at the gate takes up no place, before or after its turn has come."""

    async def main() -> int:
        at = limiter(Limits(concurrency=1))
        first = await at.enter("m", ONE)
        given_up = asyncio.create_task(at.enter("m", ONE))
        await asyncio.sleep(0)
        at.leave(first)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        await at.enter("m", ONE)
        return at.in_flight

    assert virtual_time.run(main()) == 1


async def _somehow(at: Limiter, chance: Random) -> None:
    """One request, as often as it takes, whatever becomes of its attempts."""
    for attempt in range(1, 8):
        gone = await at.enter(chance.choice("abc"), Amount(1, chance.choice([0, 100, 3000]), chance.choice([0, 1000])))
        assert at.in_flight <= at.ceiling
        try:
            await asyncio.sleep(chance.choice([0, 0.01, 5]))
        except asyncio.CancelledError:
            at.leave(gone)
            raise
        match chance.choice(["answered", "told", "limited", "trouble", "left"]) if attempt < 7 else "answered":
            case "answered":
                return at.answered(gone, {})
            case "told":
                names = ("limit", "remaining", "reset")
                said = zip(
                    names, ("60", chance.choice(["0", "9", "x"]), chance.choice(["1s", "6m", "inf"])), strict=True
                )
                return at.answered(gone, {f"x-ratelimit-{name}-requests": value for name, value in said})
            case "limited":
                wait_s = chance.choice([None, 0, 1, 1e9])
                at.failed(gone, TransientError("rate_limit", "slow down", status=429, retry_after_s=wait_s))
            case "trouble":
                at.failed(gone, TransientError("server", "trouble", status=503))
            case "left":
                at.leave(gone)
    return None


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from([None, 1, 30, 600]), st.sampled_from([None, 300, 60000]))
def test_every_place_comes_back(chance: Random, requests: float | None, tokens: float | None) -> None:
    """Whatever happens to requests, cancelled ones among them, nobody waits for ever and no place is lost."""

    async def main() -> int:
        stated = Limits(concurrency=chance.choice([1, 8]), requests_per_minute=requests, tokens_per_minute=tokens)
        at = limiter(stated, Limits(concurrency=2))
        asked = [asyncio.create_task(_somehow(at, chance)) for _ in range(20)]
        for one in asked[::4]:
            await asyncio.sleep(chance.choice([0, 0.005, 1, 10]))
            one.cancel()
        ends = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(end) for end in ends} <= {type(None), asyncio.CancelledError}
        return at.in_flight

    assert virtual_time.run(main()) == 0  # which raises where everyone waits for someone else
