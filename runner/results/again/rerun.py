"""A run bought again: how far its scores moved, beside how far the run's own repetitions lie apart.

Two replies to the same request differ unless the model is deterministic. So the differences between the original and
the fresh replies say nothing alone: they are set beside those between consecutive repetitions within the original,
which are what the model does to itself. Where both have the same spread, nothing has changed but chance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean, quantiles, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.records import Row

    Place = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Spread:
    """How a number of score differences is distributed. Sizes are without sign."""

    pairs: int
    mean: float
    """With sign: fresh minus original; of noise, a later repetition minus the one before it."""
    sd: float | None
    """None below two pairs."""
    median: float
    p90: float
    largest: float
    equal: float
    """Share of pairs without any difference."""


@dataclass(frozen=True, slots=True)
class Moved:
    """One question: the original against the fresh replies, and against itself."""

    question: str
    fresh: Spread | None
    """None where no trial was scored both times."""
    noise: Spread | None
    """None where no trial of the original was scored in two consecutive repetitions."""
    alone: int
    """Trials scored on one side only."""


@dataclass(slots=True)
class _Scores:
    """One question's scores by trial."""

    original: dict[Place, float] = field(default_factory=dict)
    fresh: dict[Place, float] = field(default_factory=dict)


def compare_fresh(original: Iterable[Row], fresh: Iterable[Row]) -> tuple[Moved, ...]:
    """Compare a run's rows with those of the same trials bought again, trial by trial. Only scored replies count."""
    scores: dict[str, _Scores] = {}
    for side, rows in (("original", original), ("fresh", fresh)):
        for row in rows:
            for question, score in row.scores.items():
                found = scores.setdefault(question, _Scores())
                if row.outcome == "scored" and score is not None:
                    getattr(found, side)[row.cell, row.text, row.repetition] = score
    return tuple(_moved(question, found) for question, found in scores.items())


def _moved(question: str, scores: _Scores) -> Moved:
    both = scores.original.keys() & scores.fresh.keys()
    moves = [scores.fresh[place] - scores.original[place] for place in both]
    alone = len(scores.original.keys() ^ scores.fresh.keys())
    return Moved(question, _spread(moves), _spread(_noise(scores.original)), alone)


def _noise(scores: dict[Place, float]) -> list[float]:
    """Each repetition minus the one before it."""
    return [
        score - scores[cell, text, repetition - 1]
        for (cell, text, repetition), score in scores.items()
        if (cell, text, repetition - 1) in scores
    ]


def _spread(differences: Sequence[float]) -> Spread | None:
    if not differences:
        return None
    sizes = sorted(map(abs, differences))
    deciles = quantiles(sizes, n=10, method="inclusive") if len(sizes) > 1 else sizes * 9
    return Spread(
        pairs=len(sizes),
        mean=fmean(differences),
        sd=stdev(differences) if len(sizes) > 1 else None,
        median=deciles[4],
        p90=deciles[8],
        largest=sizes[-1],
        equal=sum(size == 0 for size in sizes) / len(sizes),
    )
