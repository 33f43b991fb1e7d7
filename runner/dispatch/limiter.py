"""An account's limiter: through it goes every live request to one provider with one key, whatever models they ask.

It lets requests through in turn between the models, as many at once as goes well, and no faster than the account's
limits: those of the config and those that the provider's headers tell. How many at once: a quarter of what the models
allow together at first, or FIRST_ABREAST where that is more, further ones with each clean reply, half after a 429, and
none for a while after a 429 or after several errors of the server in a row. What was lost by falling is regained as
fast. Refusals between replies hold up none but the refused, unless they are more in a row than chance would have; and
where asking less is seen to change nothing, since the provider refuses a share whatever is asked, the account is not
slowed down either: each request waits for its own Retry-After, and the others go on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runner.dispatch.rate_limits import Amount, TokenBucket, readings
from runner.dispatch.retry import Breaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from runner.dispatch.rate_limits import Kind, LimitHeader
    from runner.errors import TransientError
    from runner.records import Limits

FIRST_ABREAST = 32
"""At least so many requests are let through at once at the start, where the models allow them."""
FIRST_SHARE = 4
GROWTH = 2.0
"""By how many each clean reply raises the number at once, until the first 429; from there on by one in a round."""
REGAINED = 0.75
"""Share of the number before a fall up to which each clean reply adds one; beyond it one in a round."""
ROUND = 16
"""At least so many endings make a round, over which the share of replies is counted."""
LEAST_SHARE = 0.1
"""A smaller share of replies is taken for a quota that is used up."""
DEVIATIONS = 1.0
"""So many standard deviations apart two shares differ."""
SURE = 2.5
"""Likewise, of shares that are compared again and again."""
FEW = 2.0
"""So many at once are few, however many there were before."""
LEAST_SAMPLE = 3
"""At least so many rounds of few requests are held against those of many."""
LEAST_WAIT_S = 0.15
"""Shorter waits cost little, and are what a quota that refills many times a second asks for."""
LATELY = 16
"""About so many endings are remembered, of which the share of replies tells how likely refusals in a row are."""
BY_CHANCE = 0.02
"""Refusals in a row that are less likely than this are no accident: the account has nothing left for now."""
FIRST_DOUBT = 8
"""Rounds without another look, after what seemed to be no quota was one; twice as many each time."""
TROUBLE = 3
"""Errors of the server in a row, without a reply between them, after which nothing is sent for a while."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
MOST_TOLD = 100
"""Limits of the provider's that are remembered beyond those that hold for a model now."""
SHORTEST_S = 0.001
"""Seconds between two looks at who may go: shorter ones would find the same."""


class Closed(Exception):  # noqa: N818  not an error: the run is stopping
    """Nothing more goes through."""


@dataclass(slots=True)
class Permit:
    """One request on its way."""

    model: str
    sent: float
    """When it went through, on the limiter's clock."""
    amount: Amount
    charged: Amount
    """What the limiter had let through in all by then, this request included."""
    beside: Amount
    """What was on its way when it went: some of that may have come in after it."""


@dataclass(slots=True)
class RefusalCount:
    """How many requests ended, and how many of them were refused."""

    endings: float = 0.0
    refused: float = 0.0

    def add(self, *, refused: bool) -> None:
        """One more."""
        self.endings += 1
        self.refused += refused

    def __add__(self, other: RefusalCount) -> RefusalCount:
        return RefusalCount(self.endings + other.endings, self.refused + other.refused)

    def half_forgotten(self) -> RefusalCount:
        """The same share, with half the weight."""
        return RefusalCount(self.endings / 2, self.refused / 2)

    @property
    def replies(self) -> float:
        """The share that was not refused."""
        return 1.0 - self.refused / self.endings if self.endings else 0.0

    @property
    def is_mixed(self) -> bool:
        """Whether there were refusals, and replies enough between them."""
        return LEAST_SHARE <= self.replies < 1.0

    def is_above(self, other: RefusalCount, deviations: float = DEVIATIONS) -> bool:
        """Whether more got through than there, beyond chance (two proportions, pooled)."""
        both = (self + other).replies
        spread: float = (both * (1.0 - both) * (1.0 / self.endings + 1.0 / other.endings)) ** 0.5
        return self.replies - other.replies > deviations * spread


@dataclass(slots=True, kw_only=True)
class Limiter:
    """The limiter of one account. `ceiling` is how many requests its models allow at once, together."""

    ceiling: int
    clock: Callable[[], float] = time.monotonic
    stated: list[tuple[Kind, TokenBucket]] = field(default_factory=list)
    """The config's limits."""
    told: dict[tuple[Kind, float], TokenBucket] = field(default_factory=dict)
    """The provider's, by kind and limit: models whose limits are equal are taken to share one."""
    breaker: Breaker = field(default_factory=Breaker)
    """What stops every model of the account."""
    in_flight: int = 0
    abreast: float = 0.0
    """How many requests are let through at once, now."""
    _waiting: dict[str, deque[tuple[Amount, asyncio.Future[Permit]]]] = field(default_factory=dict)
    """Who waits, by model; the model whose turn it is stands first."""
    _of_model: dict[str, dict[Kind, float]] = field(default_factory=dict)
    """Which of the provider's limits hold for a model: those that its last reply told."""
    _charged: Amount = field(default_factory=Amount)
    _out: Amount = field(default_factory=Amount)
    _growing: bool = True
    _halved: float = float("-inf")
    _paused_until: float = float("-inf")
    _trouble: int = 0
    _before: float = 0.0
    """How many went at once before they became fewer."""
    _round: RefusalCount = field(default_factory=RefusalCount)
    _fell: bool = False
    """Whether fewer were let through during this round."""
    _highest: float = 0.0
    """How many were let through at once during this round, at most."""
    _most: float = 0.0
    """How many went at once before refusals made them fewer."""
    _many: RefusalCount = field(default_factory=RefusalCount)
    """Share of replies since then, in rounds of more than half as many."""
    _few: RefusalCount = field(default_factory=RefusalCount)
    """Likewise in the other rounds: under a quota more of them get through."""
    _steady: RefusalCount | None = None
    """Share of replies of a provider that refuses the rest whatever is asked; None while that is not so."""
    _since: RefusalCount = field(default_factory=RefusalCount)
    """Share of replies since then, the newest rounds above all."""
    _returns_to: float = 1.0
    _lately: float = 1.0
    """Share of replies among the last LATELY endings or so; refusals count once they end."""
    _in_a_row: int = 0
    """Refusals since the last reply."""
    _doubt: int = 0
    _doubts: int = 0
    _timer: asyncio.TimerHandle | None = None
    _closed: bool = False

    def __post_init__(self) -> None:
        self.abreast = min(self.ceiling, max(FIRST_ABREAST, self.ceiling / FIRST_SHARE))

    @classmethod
    def of(
        cls,
        limits: Iterable[Limits],
        clock: Callable[[], float] = time.monotonic,
        *,
        ceiling: int | None = None,
        breaker: Breaker | None = None,
    ) -> Limiter:
        """For models with these limits. Of what several state of one account the smallest counts.

        `ceiling` None: as many at once as all of them allow; `breaker` None: one of its own.
        """
        known = list(limits)
        per_minute: dict[Kind, list[float]] = {
            "requests": [one.requests_per_minute for one in known if one.requests_per_minute is not None],
            "tokens": [one.tokens_per_minute for one in known if one.tokens_per_minute is not None],
        }
        stated = [(kind, TokenBucket.stated(min(values), clock())) for kind, values in per_minute.items() if values]
        at_once = sum(one.concurrency for one in known) if ceiling is None else ceiling
        return cls(ceiling=at_once, clock=clock, stated=stated, breaker=breaker or Breaker())

    # ---- going in

    async def enter(self, model: str, amount: Amount) -> Permit:
        """Wait until a request may go. Closed where none may any longer."""
        if self._closed:
            raise Closed
        if not self._waiting and self._wait_s(model, amount) <= 0:
            return self._let_through(model, amount)
        waiting: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(model, deque()).append((amount, waiting))
        self._pump()
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                self.leave(waiting.result())
            raise

    @property
    def closed(self) -> bool:
        """Whether nothing more goes through."""
        return self._closed

    def close(self) -> None:
        """Let nothing more through, and send away who waits."""
        self._closed = True
        self.turn_everyone_away()

    def turn_everyone_away(self) -> None:
        """Send away who waits, of every model."""
        for model in list(self._waiting):
            self.turn_away(model)

    def turn_away(self, model: str) -> None:
        """Send away who waits of one model: it takes nothing any longer."""
        for _, waiting in self._waiting.pop(model, ()):
            if not waiting.done():
                waiting.set_exception(Closed())

    def _wait_s(self, model: str, amount: Amount) -> float:
        """Seconds until the next request of a model may go; infinite where it waits for another one to return."""
        if self.in_flight >= int(self.abreast):
            return float("inf")
        now = self.clock()
        waits = [self._paused_until - now]
        waits += [bucket.wait_s(amount.of(kind), now) for kind, bucket in self._buckets(model)]
        return max(waits)

    def _buckets(self, model: str) -> list[tuple[Kind, TokenBucket]]:
        told = self._of_model.get(model)
        return self.stated if not told else [*self.stated, *((place[0], self.told[place]) for place in told.items())]

    def _let_through(self, model: str, amount: Amount) -> Permit:
        now = self.clock()
        self.in_flight += 1
        for kind, bucket in self._buckets(model):
            bucket.take(amount.of(kind), now)
        gone = Permit(model, now, amount, self._charged + amount, self._out)
        self._charged, self._out = gone.charged, self._out + amount
        return gone

    def _pump(self) -> None:
        """Let through who waits and may go, one model after another."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        shortest, passed_over = float("inf"), 0
        while passed_over < len(self._waiting):
            model, queue = next(iter(self._waiting.items()))
            while queue and queue[0][1].done():
                queue.popleft()
            wait_s = self._wait_s(model, queue[0][0]) if queue else 0.0
            del self._waiting[model]  # to the end of the round
            if queue and wait_s <= 0:
                amount, waiting = queue.popleft()
                waiting.set_result(self._let_through(model, amount))
                passed_over = 0
            else:
                shortest = min(shortest, wait_s) if queue else shortest
                passed_over += bool(queue)
            if queue:
                self._waiting[model] = queue
        if self._waiting and shortest < float("inf"):
            self._timer = asyncio.get_running_loop().call_later(max(shortest, SHORTEST_S), self._pump)

    # ---- coming back

    def answered(self, gone: Permit, headers: Mapping[str, str]) -> None:
        """A reply came, and needs its place no longer."""
        self.heard(gone, headers)
        self.leave(gone)

    def heard(self, gone: Permit, headers: Mapping[str, str]) -> None:
        """A reply came: the account is well. Its place is held until `leave`."""
        self._trouble = 0
        if self.abreast < self.ceiling:
            slowly = 1.0 if self.abreast < self._before * REGAINED else 1.0 / self.abreast
            self.abreast = min(self.ceiling, self.abreast + (GROWTH if self._growing else slowly))
        self._read(gone, headers, refused=False)
        self._count(refused=False)

    def failed(self, gone: Permit, error: TransientError) -> None:
        """An attempt failed that may be made again: slow down, and for how long."""
        now = self.clock()
        if error.kind == "rate_limit":
            self._read(gone, error.headers, refused=True)
            if self._steady is None:
                self._halve(gone, now)
            self._count(refused=True)
            wait_s = FIRST_PAUSE_S if error.retry_after_s is None else error.retry_after_s
            if self._steady is None and (self._of_model or wait_s < LEAST_WAIT_S or self._is_dry):
                self._pause(now, error.retry_after_s)
        elif error.kind != "malformed":  # what a model wrote says nothing against its server
            self._trouble += 1
            if self._trouble >= TROUBLE:
                self._halve(gone, now)
                self._pause(now, FIRST_PAUSE_S * 2.0 ** min(self._trouble - TROUBLE, 10))
        self.leave(gone)

    def leave(self, gone: Permit) -> None:
        """A request is no longer on its way, whatever came of it."""
        self.in_flight -= 1
        self._out -= gone.amount
        if self._waiting:
            self._pump()

    def _halve(self, gone: Permit, now: float) -> None:
        """Once for all requests that were on their way together."""
        if gone.sent > self._halved:
            self._before = self.abreast if self.abreast >= self._before * REGAINED else self._before
            if not self._fell and not self._many.endings:
                self._most = self.abreast
            self._fell = True
            self.abreast = max(1.0, self.abreast / 2)
            self._halved, self._growing = now, False

    def _count(self, *, refused: bool) -> None:
        """Count an ending; at the end of a round look whether refusals depend on how much is asked."""
        if refused:
            self._in_a_row += 1
        else:
            self._end_row()
            self._lately += (1.0 - self._lately) / LATELY
        self._round.add(refused=refused)
        self._highest = max(self._highest, self.abreast)
        if self._round.endings < max(ROUND, self.abreast):
            return
        ended, self._round = self._round, RefusalCount()
        fell, self._fell = self._fell, False
        highest, self._highest = self._highest, 0.0
        if self._steady is not None:
            self._keep_steady(ended)
        elif self._doubt > 0:
            self._doubt -= 1
        elif self._of_model:
            self._many = self._few = RefusalCount()  # what the provider tells of its limits says more
        elif self._many.endings or fell:
            self._compare(ended, highest)

    def _compare(self, ended: RefusalCount, highest: float) -> None:
        """Hold the share that gets through of few requests against that of many: if it is no larger, few are no use."""
        if highest > max(FEW, self._most / 2):
            self._many += ended
            return
        self._few += ended
        if self._few.endings < LEAST_SAMPLE * ROUND:
            return
        few, many = self._few, self._many
        self._many = self._few = RefusalCount()
        if few.is_mixed and many.is_mixed and not few.is_above(many):
            self._steady, self._since = few, RefusalCount()
            self._returns_to, self._paused_until = self.abreast, float("-inf")
            self.abreast = max(self.abreast, min(self._most, self.ceiling))

    @property
    def _is_dry(self) -> bool:
        """Whether so many refusals in a row say that nothing gets through now, whoever asks.

        How many do depends on the share that got through lately: where all did, a single one; of a provider that
        refuses seven of ten, nine in a row say nothing.
        """
        return (1.0 - self._lately) ** self._in_a_row < BY_CHANCE

    def _keep_steady(self, ended: RefusalCount) -> None:
        """Ask more while the share of replies stays what it was; where it does not, it was a quota after all."""
        self._since = self._since.half_forgotten() + ended
        if self._steady is None or self._steady.is_above(self._since, SURE) or not self._since.is_mixed:
            self._steady, self._doubts = None, self._doubts + (ended.refused > 0)
            self._doubt = FIRST_DOUBT * 2 ** min(self._doubts - 1, 10) if ended.refused else 0
            self.abreast = self._returns_to if ended.refused else self.abreast
        else:
            self.abreast = min(self.ceiling, self.abreast * 2)

    def _pause(self, now: float, wait_s: float | None) -> None:
        pause_s = FIRST_PAUSE_S if wait_s is None else min(wait_s, LONGEST_PAUSE_S)
        self._paused_until = max(self._paused_until, now + pause_s)
        self._end_row()  # what comes after it is news

    def _end_row(self) -> None:
        """Have the refusals in a row count for the share of replies: not before, or it would fall with them."""
        self._lately *= (1.0 - 1.0 / LATELY) ** self._in_a_row
        self._in_a_row = 0

    def _read(self, gone: Permit, headers: Mapping[str, str], *, refused: bool) -> None:
        """Correct the provider's limits by what it says of them."""
        if not headers:
            return
        now = self.clock()
        for reading in readings(headers, datetime.now(UTC)):
            place = (reading.kind, reading.limit)
            bucket = self.told.get(place)
            if bucket is None:
                self._forget()
                bucket = self.told[place] = TokenBucket(reading.limit, reading.per_s, reading.limit, now)
            self._of_model.setdefault(gone.model, {})[reading.kind] = reading.limit
            bucket.per_s = reading.per_s
            bucket.believe(*self._bounds(gone, reading, now, refused=refused), now)

    def _forget(self) -> None:
        """Make room among the provider's limits: a server may name another one with each reply."""
        if len(self.told) >= MOST_TOLD:
            held = {place for told in self._of_model.values() for place in told.items()}
            self.told = {place: bucket for place, bucket in self.told.items() if place in held}

    def _bounds(self, gone: Permit, reading: LimitHeader, now: float, *, refused: bool) -> tuple[float, float]:
        """The least and the most that remains now.

        What came in after the request has gone from what remained then: all that was sent after it, and perhaps what
        was on its way beside it. What refilled meanwhile has come. A refused request took nothing, and so will those
        that follow it at once.
        """
        if refused:
            return float("-inf"), reading.remaining
        since = (self._charged - gone.charged).of(reading.kind)
        most = reading.remaining - since + reading.per_s * (now - gone.sent)
        return most - gone.beside.of(reading.kind), most
