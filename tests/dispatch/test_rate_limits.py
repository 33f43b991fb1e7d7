"""Buckets, and what providers' headers say."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.dispatch.rate_limits import Amount, LimitHeader, TokenBucket, readings

NOW = datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """Headers as a provider writes them, and what they mean."""

    name: str
    headers: dict[str, str]
    readings: list[LimitHeader] = field(default_factory=list)


OPENAI = {
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-remaining-requests": "499",
    "x-ratelimit-reset-requests": "120ms",
    "x-ratelimit-limit-tokens": "30000",
    "x-ratelimit-remaining-tokens": "29000",
    "x-ratelimit-reset-tokens": "2s",
}
CASES = [
    Case("none", {"content-type": "application/json"}),
    Case("OpenAI", OPENAI, [LimitHeader("requests", 500, 499, 0.12), LimitHeader("tokens", 30000, 29000, 2)]),
    Case(
        "Groq, a limit a day",
        {
            "x-ratelimit-limit-requests": "14400",
            "x-ratelimit-remaining-requests": "14370",
            "x-ratelimit-reset-requests": "2m59.56s",
        },
        [LimitHeader("requests", 14400, 14370, 179.56)],
    ),
    Case(
        "hours and minutes",
        {
            "x-ratelimit-limit-requests": "10",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "1h2m3s",
        },
        [LimitHeader("requests", 10, 0, 3723)],
    ),
    Case(
        "no reset",
        {"x-ratelimit-limit-requests": "480", "x-ratelimit-remaining-requests": "479"},
        [LimitHeader("requests", 480, 479, None)],
    ),
    Case(
        "plain seconds",
        {
            "x-ratelimit-limit-tokens": "100",
            "x-ratelimit-remaining-tokens": "50",
            "x-ratelimit-reset-tokens": "30",
        },
        [LimitHeader("tokens", 100, 50, 30)],
    ),
    Case(
        "Anthropic",
        {
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2026-11-27T12:00:30Z",
            "anthropic-ratelimit-output-tokens-limit": "8000",
            "anthropic-ratelimit-output-tokens-remaining": "4000",
            "anthropic-ratelimit-output-tokens-reset": "2026-11-27T12:00:15Z",
        },
        [LimitHeader("requests", 50, 49, 30), LimitHeader("output-tokens", 8000, 4000, 15)],
    ),
    Case(
        "numbers that are none",
        {"x-ratelimit-limit-requests": "many", "x-ratelimit-remaining-requests": "some"},
    ),
    Case(
        "a reset that is none",
        {
            "x-ratelimit-limit-requests": "10",
            "x-ratelimit-remaining-requests": "1",
            "x-ratelimit-reset-requests": "soon",
        },
        [LimitHeader("requests", 10, 1, None)],
    ),
    Case("a limit of nothing", {"x-ratelimit-limit-requests": "0", "x-ratelimit-remaining-requests": "0"}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_headers_are_read(case: Case) -> None:
    """Each provider's headers give its limits, what remains, and when they are whole again; oddities give nothing."""
    assert readings(case.headers, NOW) == case.readings


@given(st.dictionaries(st.sampled_from([*OPENAI]), st.text(max_size=12)))
def test_no_header_raises(headers: dict[str, str]) -> None:
    """Whatever a server writes into these headers, reading them raises nothing."""
    for reading in readings(headers, NOW):
        assert reading.per_s > 0 or reading.limit != reading.limit


@dataclass(frozen=True)
class Speed:
    """A reading and how fast its bucket refills."""

    name: str
    reading: LimitHeader
    per_s: float


@pytest.mark.parametrize(
    "speed",
    [
        Speed("empty", LimitHeader("requests", 600, 0, 60), 10),
        Speed("a limit a day", LimitHeader("requests", 14400, 14370, 180), 30 / 180),
        Speed("untouched", LimitHeader("requests", 600, 600, 0), 10),
        Speed("rounded too roughly", LimitHeader("requests", 60000, 59999, 0.001), 1000),
        Speed("no reset", LimitHeader("requests", 480, 100, None), 8),
    ],
    ids=lambda speed: speed.name,
)
def test_two_numbers_tell_the_speed(speed: Speed) -> None:
    """What is used, over the time until it is back, is the speed; where that says nothing, a limit a minute."""
    assert speed.reading.per_s == pytest.approx(speed.per_s)


def test_an_amount_counts_against_each_kind() -> None:
    """A request counts once, its tokens by what the limit is of."""
    amount = Amount(1, 300, 1024) + Amount(1, 100, 0)
    kinds = ("requests", "tokens", "input-tokens", "output-tokens")
    assert [amount.of(kind) for kind in kinds] == [2, 1424, 400, 1024]  # type: ignore[arg-type]


def test_a_bucket_refills_evenly() -> None:
    """What was taken comes back at the bucket's speed, and never above its capacity."""
    bucket = TokenBucket(10, 2, 10, 0)
    bucket.take(10, 0)
    assert bucket.wait_s(1, 0) == 0.5
    assert bucket.wait_s(4, 1) == 1.0
    assert bucket.wait_s(10, 100) == 0
    bucket.take(10, 100)
    assert bucket.wait_s(1, 100) == 0.5


def test_more_than_a_bucket_holds_waits_until_it_is_full() -> None:
    """An amount above the capacity goes once the bucket is full, and leaves a debt that is paid off first."""
    bucket = TokenBucket(10, 1, 0, 0)
    assert bucket.wait_s(25, 0) == 10
    bucket.take(25, 10)
    assert bucket.wait_s(1, 10) == 16


@given(per_minute=st.floats(1, 100_000), gaps=st.lists(st.floats(0, 5), min_size=1, max_size=200))
def test_no_minute_holds_more_than_was_stated(per_minute: float, gaps: list[float]) -> None:
    """Whenever requests come, a bucket for a stated limit lets no more than it through in any sixty seconds."""
    bucket, now = TokenBucket.stated(per_minute, 0.0), 0.0
    gone: list[float] = []
    for gap in gaps:
        now += gap
        while bucket.wait_s(1, now) == 0 and len(gone) < 2000:
            bucket.take(1, now)
            gone.append(now)
    for first in range(0, len(gone), 7):
        within = sum(1 for moment in gone[first:] if moment < gone[first] + 60)
        assert within <= max(2, per_minute + 1)
