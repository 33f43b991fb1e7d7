"""Whether what `runner stats` says of differences holds: data whose truth is known, made again and again.

    python benchmarks/calibration.py [--quick]

Scores are a text's level, a model's liking for single texts (`model x text`, the study's is 10 to 15 points), a
persona's own, and noise from repetition to repetition. Where nothing differs between models, 5 % of their comparisons
may have p below .05; an interval must hold the truth in 95 %; a p below .05 must mean that the interval leaves 0 out.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from itertools import product

import goals
import numpy as np
import pandas as pd

from runner.reporting.stats.differences import Asked, differences_within
from runner.reporting.stats.omnibus import omnibus
from runner.reporting.stats.summaries import summaries
from runner.reporting.stats.values import Skipped, known


@dataclass(frozen=True)
class World:
    """How scores come about: standard deviations in points."""

    texts: int
    repetitions: int
    models: int
    liking: float
    """Of model x text."""
    clipped: bool = False
    missing: float = 0.0
    personas: int = 2
    vendors: int = 0

    @property
    def name(self) -> str:
        """For one line of the output."""
        marks = ("clipped " if self.clipped else "") + (f"{self.missing:.0%} missing" if self.missing else "")
        return f"{self.texts:2} texts x {self.repetitions:2} x {self.models:2} models, sd {self.liking:2.0f} {marks}"


CENTRE, TEXT_SD, NOISE_SD = 60.0, 20.0, 6.0
PERSONA = 4.0


def table(world: World, random: np.random.Generator) -> pd.DataFrame:
    """A table as stats.table gives it, of one question named `q`. Nothing differs between models."""
    shape = (world.models, world.personas, world.texts, world.repetitions)
    m, p, t, r = (place.ravel() for place in np.indices(shape))
    level = CENTRE + random.normal(0, TEXT_SD, world.texts)[t]
    level += random.normal(0, world.liking, (world.models, world.texts))[m, t]
    level += random.normal(0, PERSONA, (world.personas, world.texts))[p, t]
    score = level + random.normal(0, NOISE_SD, len(m))
    if world.clipped:
        score = np.clip(score, 0, 100)
    score[random.random(len(m)) < world.missing] = np.nan
    names = {
        "cell": [f"m{a}/p{b}" for a, b in zip(m, p, strict=True)],
        "vendor": [f"v{a % world.vendors if world.vendors else 0}" for a in m],
        "model": [f"m{a}" for a in m],
        "persona": [f"p{a}" for a in p],
        "text": [f"t{a}" for a in t],
        "temperature": [""] * len(m),
        "outcome": np.where(np.isnan(score), "unscorable", "scored"),
        "problem": np.where(np.isnan(score), "no_score", ""),
    }
    frame = pd.DataFrame({name: pd.Categorical(values) for name, values in names.items()})
    frame.insert(0, "job", 0)
    frame["repetition"], frame["again"], frame["score:q"] = r, False, score
    return frame


@dataclass
class Shares:
    """What was counted."""

    tested: int = 0
    false: int = 0
    bounded: int = 0
    covered: int = 0
    disagreed: int = 0
    omnibus: dict[str, list[float]] | None = None


def simulate(world: World, rounds: int, seed: int) -> Shares:
    """Tests and intervals of so many data sets."""
    random, found = np.random.default_rng([seed, world.texts, world.repetitions, world.models]), Shares(omnibus={})
    assert found.omnibus is not None
    for _ in range(rounds):
        frame = table(world, random)
        two = frame[frame["model"].isin(["m0", "m1"])]  # one of a family: the others lean on the same draws
        made = differences_within(two, "model", Asked())
        for one in () if isinstance(made, Skipped) else made:
            p, low, high = (known(number) for number in (one.p, one.interval.low, one.interval.high))
            if p is None or low is None or high is None:
                continue
            found.tested += 1
            found.false += p < 0.05
            found.disagreed += (p < 0.05) != (low > 0 or high < 0)
        if not world.clipped:  # else the truth is not CENTRE
            (mean,) = (one for one in summaries(two, axes=["model"]) if one.level == "m0")
            low, high = known(mean.interval.low), known(mean.interval.high)
            if low is not None and high is not None:
                found.bounded += 1
                found.covered += low <= CENTRE <= high
        for test in omnibus(frame):
            if (p := known(test.p)) is not None:
                found.omnibus.setdefault(test.axis, []).append(p)
    return found


def worlds(*, quick: bool) -> list[World]:
    """Those that the goals name."""
    sizes = product((3, 5, 10, 30), (1, 3, 10), (2, 12), (0.0, 8.0, 15.0))
    plain = [World(*size) for size in sizes]
    if quick:
        plain = plain[::7]
    hard = [World(t, 3, m, 15.0, clipped=clipped, missing=0.0 if clipped else 0.1)
            for t, m, clipped in product((3, 10, 30), (2, 12), (True, False))]  # fmt: skip
    vendors = [World(t, 3, 12, 8.0, vendors=4) for t in (3, 10, 30)]
    return [*plain, *hard, *vendors]


def main() -> int:
    """Print a line for each world, and the goals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seed", type=int, default=20_261_128)
    words = parser.parse_args()
    rounds = words.rounds or (200 if words.quick else 1000)
    false, covered, disagreed = [], [], 0
    for world in worlds(quick=words.quick):
        found = simulate(world, rounds, words.seed)
        false.append(found.false / found.tested)
        disagreed += found.disagreed
        if found.bounded:
            covered.append(found.covered / found.bounded)
        tests = ", ".join(f"{axis} {np.mean(np.array(ps) < 0.05):.3f}" for axis, ps in (found.omnibus or {}).items())
        cover = f"{found.covered / found.bounded:.3f}" if found.bounded else "  -  "
        print(f"{world.name:55} p<.05 {found.false / found.tested:.3f}  coverage {cover}  omnibus: {tests}", flush=True)
    goals.at_least("calibration, false positives, least share", 0.03, min(false))
    goals.at_most("calibration, false positives, largest share", 0.07, max(false))
    goals.at_least("calibration, coverage, least share", 0.93, min(covered))
    goals.at_most("calibration, coverage, largest share", 0.97, max(covered))
    goals.at_most("calibration, p and interval that disagree", 0, disagreed)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
