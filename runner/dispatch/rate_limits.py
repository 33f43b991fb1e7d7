"""What an account may ask in a time: limits that refill evenly, and what providers say of them in their headers.

Sources: OpenAI's and Anthropic's guides to rate limits, Groq's reference. OpenAI's headers give a limit, what remained
of it after the request, and how long until it is whole again (`x-ratelimit-reset-requests: 6m0s`); Groq and many other
servers use the same names. Anthropic's give the moment at which it is whole again. Both describe a bucket that refills
evenly, so that two numbers tell its speed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["requests", "tokens", "input-tokens", "output-tokens"]

MINUTE_S = 60.0
STATED_BURST = 0.05
"""Share of a limit from the config that may go at once. The rest is spread, so that no minute ever holds more than the
limit, however the provider counts its minutes."""
SHORTEST_RESET_S = 0.05
"""Below it a stated reset is rounded too roughly to tell a speed."""
LONGEST_RESET_S = 86_400.0
"""Beyond it a stated reset is no duration: some servers write a moment as seconds since 1970."""

_OPENAI: Mapping[Kind, tuple[str, str, str]] = {
    kind: (f"x-ratelimit-limit-{kind}", f"x-ratelimit-remaining-{kind}", f"x-ratelimit-reset-{kind}")
    for kind in ("requests", "tokens")
}
_ANTHROPIC: Mapping[Kind, tuple[str, str, str]] = {
    kind: tuple(f"anthropic-ratelimit-{kind}-{part}" for part in ("limit", "remaining", "reset"))  # type: ignore[misc]
    for kind in ("requests", "tokens", "input-tokens", "output-tokens")
}
_DIALECTS = (_OPENAI, _ANTHROPIC)
_UNITS_S = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"([\d.]+)(ms|[dhms])")


@dataclass(frozen=True, slots=True)
class Amount:
    """What one request, or several, take of an account's limits."""

    requests: float = 0.0
    input: float = 0.0
    """Tokens of the request, about."""
    output: float = 0.0
    """Tokens that its reply may have: providers count what is allowed, not what comes."""

    def of(self, kind: Kind) -> float:
        """The part that counts against a limit of some kind."""
        match kind:
            case "requests":
                return self.requests
            case "tokens":
                return self.input + self.output
            case "input-tokens":
                return self.input
            case "output-tokens":
                return self.output

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.requests + other.requests, self.input + other.input, self.output + other.output)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.requests - other.requests, self.input - other.input, self.output - other.output)


@dataclass(slots=True)
class TokenBucket:
    """A limit that refills evenly. Amounts are requests or tokens; moments are seconds on one clock."""

    capacity: float
    per_s: float
    level: float
    at: float
    """When it had that level."""

    @classmethod
    def stated(cls, per_minute: float, now: float) -> TokenBucket:
        """For a limit from the config: in no sixty seconds is more than it let through."""
        burst = max(1.0, per_minute * STATED_BURST)
        return cls(burst, max(per_minute - burst, per_minute / 2) / MINUTE_S, burst, now)

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until an amount is there; 0 where it is. What is more than it holds waits until it is full."""
        lacking = min(amount, self.capacity) - self._level(now)
        return max(0.0, lacking / self.per_s)

    def take(self, amount: float, now: float) -> None:
        """Have an amount go; below nothing the level is a debt."""
        self.level, self.at = self._level(now) - amount, now

    def believe(self, least: float, most: float, now: float) -> None:
        """Correct the level by what is known to be there: `least` at least, `most` at most."""
        self.level, self.at = min(max(self._level(now), least), most, self.capacity), now

    def _level(self, now: float) -> float:
        return min(self.capacity, self.level + (now - self.at) * self.per_s)


@dataclass(frozen=True, slots=True)
class LimitHeader:
    """What a reply's headers say of one limit, as of when the request came in."""

    kind: Kind
    limit: float
    remaining: float
    whole_in_s: float | None
    """Seconds until all of it is there again; None where they do not say."""

    @property
    def per_s(self) -> float:
        """How fast it refills; a limit a minute where that cannot be told."""
        used = self.limit - self.remaining
        if self.whole_in_s is None or not SHORTEST_RESET_S <= self.whole_in_s <= LONGEST_RESET_S or used < 1:
            return self.limit / MINUTE_S
        return used / self.whole_in_s


def readings(headers: Mapping[str, str], now: datetime) -> list[LimitHeader]:
    """Every limit that headers speak of; `headers` must ignore case, as aiohttp's do. Never raises."""
    found = []
    for dialect in _DIALECTS:
        for kind, names in dialect.items():
            limit, remaining, reset = (headers.get(name) for name in names)
            if limit is not None and remaining is not None:
                reading = _reading(kind, limit, remaining, reset, now)
                found += [reading] if reading is not None else []
    return found


def _reading(kind: Kind, limit: str, remaining: str, reset: str | None, now: datetime) -> LimitHeader | None:
    try:
        most, left = float(limit), float(remaining)
    except ValueError:
        return None
    if not (1 <= most < float("inf") and 0 <= left < float("inf")):
        return None
    return LimitHeader(kind, most, left, _until(reset, now))


def _until(reset: str | None, now: datetime) -> float | None:
    """Seconds to a moment in ISO 8601, or of a duration as Go writes it (6m0s, 20ms), or of plain seconds."""
    if not reset:
        return None
    parts = _PART.findall(reset)
    try:
        if parts and "".join(number + unit for number, unit in parts) == reset:
            return sum(float(number) * _UNITS_S[unit] for number, unit in parts)
        return float(reset) if "T" not in reset else (datetime.fromisoformat(reset) - now).total_seconds()
    except (ValueError, TypeError):
        return None
