"""What strikes a request before its provider looks at it: quotas, refusals, errors, lost connections; and latency."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runner.simulator.plan import stricken
from runner.simulator.values import Refused

if TYPE_CHECKING:
    from runner.simulator.http import Call, Provider, Route
    from runner.simulator.plan import FaultPlan
    from runner.simulator.state import World

_FAULTS = ("drop", "refuse", "server_error")


class ConnectionDropped(Exception):  # noqa: N818  it is a fault of the wire, not of this program
    """The connection is to be closed without an answer."""


@dataclass(slots=True)
class QuotaBucket:
    """Tokens that refill evenly, at most a minute's worth of them."""

    per_minute: int
    level: float
    filled: float

    def fill(self, now: float) -> None:
        """Bring the level up to now."""
        self.level = min(float(self.per_minute), self.level + (now - self.filled) * self.per_minute / 60)
        self.filled = now

    def wait_s(self, amount: float) -> float:
        """Seconds until so much is there; a request larger than the bucket waits until it is full."""
        return max(0.0, (min(amount, self.per_minute) - self.level) * 60 / self.per_minute)


@dataclass(slots=True)
class Traffic:
    """The state of the quotas, by provider and key."""

    plan: FaultPlan
    buckets: dict[tuple[str, str, str], QuotaBucket] = field(default_factory=dict)

    def admit(self, world: World, provider: Provider, route: Route, call: Call) -> dict[str, str]:
        """Let a request pass, with the headers that tell of quotas; Refused or ConnectionDropped where it does not."""
        match stricken(self.plan, world.turn(f"request {provider.name}"), _FAULTS) if self._faulty else None:
            case "drop":
                raise ConnectionDropped
            case "refuse":
                message = f"Rate limit reached. Please try again in {self.plan.retry_after_s:g}s."
                raise Refused("rate_limit", message, retry_s=self.plan.retry_after_s)
            case "server_error":
                raise Refused("server", "The server had an error while processing your request. Sorry about that!")
        if route.purpose == "live" and (self.plan.rpm or self.plan.tpm):
            return self._take(world.clock(), provider, call)
        return {}

    @property
    def _faulty(self) -> bool:
        return bool(self.plan.drop or self.plan.refuse or self.plan.server_error)

    def _take(self, now: float, provider: Provider, call: Call) -> dict[str, str]:
        account = provider.account(call)
        wanted: list[tuple[str, QuotaBucket, float]] = []
        for name, limit in (("requests", self.plan.rpm), ("tokens", self.plan.tpm)):
            if limit:
                bucket = self.buckets.setdefault((provider.name, account, name), QuotaBucket(limit, limit, now))
                bucket.fill(now)
                wanted.append((name, bucket, 1 if name == "requests" else provider.tokens(call)))
        wait_s = max(bucket.wait_s(amount) for _, bucket, amount in wanted)
        if wait_s == 0:
            for _, bucket, amount in wanted:
                bucket.level = max(0.0, bucket.level - amount)
        headers = _told(provider, wanted, now)
        if wait_s > 0:
            message = f"Rate limit reached. Please try again in {wait_s:.3f}s."
            refused = Refused("rate_limit", message, retry_s=wait_s)
            refused.headers = headers
            raise refused
        return headers


def _told(provider: Provider, buckets: list[tuple[str, QuotaBucket, float]], now: float) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, bucket, _ in buckets:
        full_s = bucket.wait_s(bucket.per_minute)
        if provider.limit_headers == "openai":
            headers[f"x-ratelimit-limit-{name}"] = str(bucket.per_minute)
            headers[f"x-ratelimit-remaining-{name}"] = str(int(bucket.level))
            headers[f"x-ratelimit-reset-{name}"] = f"{full_s:.3f}s"
        elif provider.limit_headers == "anthropic":
            reset = datetime.fromtimestamp(now + full_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            headers[f"anthropic-ratelimit-{name}-limit"] = str(bucket.per_minute)
            headers[f"anthropic-ratelimit-{name}-remaining"] = str(int(bucket.level))
            headers[f"anthropic-ratelimit-{name}-reset"] = reset
    return headers


def retry_headers(refused: Refused) -> dict[str, str]:
    """How long to wait, to the millisecond: whole seconds would make short rehearsals long."""
    if refused.kind != "rate_limit":
        return {}
    return {"Retry-After": f"{refused.retry_s:.3f}".rstrip("0").rstrip("."), **refused.headers}


def latency_s(plan: FaultPlan, number: int) -> float:
    """How long the answer to a request takes; evenly spread over the jitter, without chance."""
    return plan.latency_s + plan.jitter_s * (number * 0.6180339887 % 1)
