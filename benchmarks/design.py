"""Whether `runner design` predicts the standard errors that a study of its design has.

    python benchmarks/design.py [--quick]

Studies are drawn from variance components, scored in whole numbers, clipped to the scale, and compared by the paired
test over texts. Three questions: are predictions from the true components within 10% of the spread of the estimates,
and of the standard errors that are stated; does clipping move that; and how far off is a prediction from components
that were themselves estimated from a pilot of 3 texts x 10 repetitions, or of 10 x 3?
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

from runner.reporting.design.basis import ASSUMED, variances_of
from runner.reporting.design.precision import REPETITION, Shape, precision
from runner.reporting.stats.components import components_of
from runner.reporting.stats.inference import over_texts

AXES = ("text", "model", "persona")
AT_ONCE = 200


@dataclass(frozen=True)
class Design:
    """What is asked, and where the scale's middle lies."""

    texts: int
    repetitions: int
    models: int
    personas: int
    centre: float = 50.0

    @property
    def shape(self) -> Shape:
        """As the prediction takes it."""
        return Shape(self.texts, self.repetitions, {"model": self.models, "persona": self.personas})


def scores(design: Design, rounds: int, random: np.random.Generator) -> np.ndarray:
    """Rounds x texts x models x personas x repetitions, in whole numbers of 0 to 100."""
    sizes = (design.texts, design.models, design.personas)
    whole = np.full((rounds, *sizes, 1), design.centre)
    for factors, sd in ASSUMED.items():
        if factors != REPETITION:
            shape = [size if name in factors else 1 for name, size in zip(AXES, sizes, strict=True)]
            whole = whole + random.normal(0, sd, (rounds, *shape, 1))
    whole = whole + random.normal(0, ASSUMED[REPETITION], (*whole.shape[:-1], design.repetitions))
    return np.clip(np.rint(whole), 0, 100)


def seen(design: Design, axis: str, rounds: int, seed: int) -> tuple[float, float]:
    """Spread of the estimates of one contrast, and the root mean square of their stated standard errors."""
    random = np.random.default_rng([seed, design.texts, design.repetitions, design.models, int(design.centre)])
    values, errors = [], []
    for start in range(0, rounds, AT_ONCE):
        cells = scores(design, min(AT_ONCE, rounds - start), random).mean(axis=4)
        by_level = cells.mean(axis=2 if axis == "persona" else 3)
        pair = by_level[..., 0] if axis == "mean" else by_level[..., 0] - by_level[..., 1]
        groups, texts = np.indices(pair.shape)
        found = over_texts(pair.ravel(), groups.ravel(), texts.ravel(), len(pair))
        values += found.value.tolist()
        errors += found.se.tolist()
    return float(np.std(values)), float(np.sqrt(np.mean(np.square(errors))))


def from_a_pilot(pilot: Design, design: Design, axis: str, rounds: int, seed: int) -> np.ndarray:
    """Predictions of a design from the components of pilots, over that from the true ones."""
    random = np.random.default_rng([seed, pilot.texts, pilot.repetitions])
    places = [place.ravel() for place in np.indices((pilot.texts, pilot.models, pilot.personas, pilot.repetitions))]
    frame = pd.DataFrame(dict(zip(AXES, (place.astype(str) for place in places[:3]), strict=True)))
    frame["temperature"] = ""
    truth = precision({factors: sd**2 for factors, sd in ASSUMED.items()}, design.shape, axis, "q").se
    found = []
    for _ in range(rounds):
        data = scores(pilot, 1, random)[0]
        components = components_of(frame.assign(**{"score:q": data.ravel()}), "q")
        variances, _ = variances_of(components, design.shape.levels, 100.0)
        found.append(precision(variances, design.shape, axis, "q").se / truth)
    return np.array(found)


def main() -> int:
    """Print a line for each design and contrast, and the goals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=20_261_128)
    words = parser.parse_args()
    rounds = 500 if words.quick else 4000
    variances = {factors: sd**2 for factors, sd in ASSUMED.items()}
    spread, stated = [], []
    for texts, repetitions in ((3, 10), (10, 3), (30, 1), (6, 2)):
        for models, personas, centre in product((2, 6), (1, 4), (50.0, 15.0)):
            design = Design(texts, repetitions, models, personas, centre)
            for axis in ("model", *(("persona",) if personas > 1 else ()), "mean"):
                predicted = precision(variances, design.shape, axis, "q").se
                of_spread, of_stated = (predicted / measured for measured in seen(design, axis, rounds, words.seed))
                print(f"{design!r:75} {axis:8} predicted {predicted:6.2f}, over spread {of_spread:.3f}, "
                      f"over stated {of_stated:.3f}", flush=True)  # fmt: skip
                if centre == 50:
                    spread.append(of_spread)
                    stated.append(of_stated)
    for texts, repetitions in ((3, 10), (10, 3)):
        pilot, design = Design(texts, repetitions, 6, 4), Design(30, 1, 6, 4)
        ratios = from_a_pilot(pilot, design, "model", 40 if words.quick else 200, words.seed)
        low, middle, high = np.quantile(ratios, (0.1, 0.5, 0.9))
        print(f"from a pilot of {texts} x {repetitions}: {middle:.2f} of the truth, 80% from {low:.2f} to {high:.2f}")
    goals.at_most("design, predicted over measured standard errors, furthest from 1", 0.1,
                  max(abs(ratio - 1) for ratio in (*spread, *stated)))  # fmt: skip
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
