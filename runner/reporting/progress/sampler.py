"""Counts -> a snapshot of the moment: rates, time left, dollars; taken some times a second, in a thread of its own."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.ledger.batch_records import WAITING
from runner.providers.codec import Decoders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.records import Answer, Trial
    from runner.reporting.progress.counts import ModelCounts, ProgressCounts

RATE_S = 10.0
"""Seconds that a rate is taken over."""
LEFT_S = 60.0
"""Seconds whose pace tells how long the rest takes, where ENOUGH ended in them; else the pace since the start."""
ENOUGH = 10
STUCK_S = 1.5
"""Seconds of failing attempts, and not one answer between, after which it is said why nothing moves."""


@dataclass(frozen=True, slots=True)
class ModelProgress:
    """One model, or all of them."""

    name: str
    done: int
    planned: int
    in_flight: int
    retries: int
    failed: int
    rate: float
    """Requests a second."""
    left_s: float | None
    """None where nobody can tell."""
    stuck: str = ""
    """Why nothing moves, where attempts fail and none was answered since."""


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """One batch that is out."""

    id: str
    model: str
    word: str
    """The provider's own word for its state, or ours before there is one."""
    done: int | None
    count: int
    age_s: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that is shown of one moment."""

    models: tuple[ModelProgress, ...]
    total: ModelProgress
    batches: tuple[BatchProgress, ...]
    """Those that are out, the oldest first."""
    batches_ended: int
    retries: Mapping[str, int]
    failures: Mapping[str, int]
    spent_usd: float | None
    """Estimated, as `whole_usd`; None where a price is unknown or nothing is answered yet."""
    whole_usd: float | None
    elapsed_s: float
    stopping: bool = False


@dataclass(slots=True)
class Sampler:
    """Remembers what it saw before, which rates and prices need."""

    counts: ProgressCounts
    stopping: Callable[[], bool] = lambda: False
    wall: Callable[[], float] = time.time
    """Seconds since 1970, for the age of batches."""
    _seen: deque[tuple[float, dict[str, int]]] = field(default_factory=deque)
    _prices: MeanPrices = field(default_factory=lambda: MeanPrices())  # noqa: PLW0108  it is defined below

    @property
    def _began_s(self) -> float:
        return self.counts.clock() if self.counts.began_s is None else self.counts.began_s

    def sample(self) -> Snapshot:
        """The moment."""
        now, counted_models = self.counts.clock(), dict(self.counts.models)
        self._remember(now, {name: counted.done for name, counted in counted_models.items()})
        models = tuple(self._line(name, counted, now) for name, counted in counted_models.items())
        batches = list(self.counts.batches.values())
        out = sorted((entry for entry in batches if entry.state in WAITING), key=lambda entry: entry.created)
        spent, whole = self._prices.of(counted_models)
        return Snapshot(
            models=models,
            total=_sum(models),
            batches=tuple(
                BatchProgress(
                    id=entry.id,
                    model=entry.model.name,
                    word=entry.standing.word if entry.state == "sent" and entry.standing else entry.state,
                    done=entry.standing.done if entry.standing else None,
                    count=entry.count,
                    age_s=max(0.0, self.wall() - entry.created),
                )
                for entry in out
            ),
            batches_ended=len(batches) - len(out),
            retries=dict(self.counts.retries),
            failures=dict(self.counts.failures),
            spent_usd=spent,
            whole_usd=whole,
            elapsed_s=now - self._began_s,
            stopping=self.stopping(),
        )

    def _remember(self, now: float, done: dict[str, int]) -> None:
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - LEFT_S:
            self._seen.popleft()

    def _line(self, name: str, counted: ModelCounts, now: float) -> ModelProgress:
        left = counted.planned - counted.done
        done, seconds = self._since(name, now, LEFT_S)
        if done < ENOUGH:
            done, seconds = counted.done, now - self._began_s
        pace = done / seconds if seconds > 0 else 0.0
        recent, recent_s = self._since(name, now, RATE_S)
        return ModelProgress(
            name=name,
            done=counted.done,
            planned=counted.planned,
            in_flight=counted.in_flight,
            retries=counted.waits,
            failed=counted.failed,
            rate=recent / recent_s if recent_s > 0 else 0.0,
            left_s=0.0 if left <= 0 else left / pace if pace > 0 and counted.live else None,
            stuck=_stuck(counted, now),
        )

    def _since(self, name: str, now: float, seconds: float) -> tuple[int, float]:
        """What has ended since so many seconds ago or a little longer, and since when exactly."""
        then, before = next(
            (seen for seen in reversed(self._seen) if seen[0] <= now - seconds), (self._began_s, dict[str, int]())
        )
        return self._seen[-1][1].get(name, 0) - before.get(name, 0), now - then


def _stuck(counted: ModelCounts, now: float) -> str:
    trouble = counted.trouble
    if trouble is None or counted.done >= counted.planned or counted.live > trouble.live:
        return ""
    if now - trouble.since_s < STUCK_S:
        return ""
    return f"{trouble.kind}: {trouble.reason}" if trouble.reason else trouble.kind


def _sum(models: tuple[ModelProgress, ...]) -> ModelProgress:
    """Models answer side by side, so the slowest decides how long it takes."""
    left = [line.left_s for line in models]
    return ModelProgress(
        name="all",
        done=sum(line.done for line in models),
        planned=sum(line.planned for line in models),
        in_flight=sum(line.in_flight for line in models),
        retries=sum(line.retries for line in models),
        failed=sum(line.failed for line in models),
        rate=sum(line.rate for line in models),
        left_s=None if None in left else max((one for one in left if one is not None), default=0.0),
    )


@dataclass(slots=True)
class MeanPrices:
    """Mean price of a model's answers, from the newest one at each look: to decode every one would be too dear."""

    decoders: Decoders = field(default_factory=Decoders)
    _sums: dict[str, tuple[float, int]] = field(default_factory=dict)
    _last: dict[str, tuple[Trial, Answer]] = field(default_factory=dict)
    _unknown: set[str] = field(default_factory=set)

    def of(self, models: Mapping[str, ModelCounts]) -> tuple[float | None, float | None]:
        """About what is spent, and what all that is planned will have cost, in US dollars."""
        spent = whole = 0.0
        known = True
        for name, counted in models.items():
            self._take(name, counted)
            total, count = self._sums.get(name, (0.0, 0))
            if name in self._unknown or (not count and counted.done < counted.planned):
                known = False
            elif count:
                spent += total / count * (counted.live + counted.batched)
                whole += total / count * (counted.planned - counted.failed)
        return (spent, whole) if known else (None, None)

    def _take(self, name: str, counted: ModelCounts) -> None:
        newest = counted.sample
        if newest is None or name in self._unknown or self._last.get(name) is newest:
            return
        self._last[name] = newest
        price = self.decoders.price(*newest)
        if price is None and name not in self._sums:
            self._unknown.add(name)
        elif price is not None:
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = (total + price, count + 1)
