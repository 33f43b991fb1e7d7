"""How sure a design would be of a difference: its standard error, interval and smallest detectable difference.

A score is the sum of a crossed random-effects model (see stats.components). Over texts like these, what varies from
text to text is error; models, personas and prompts are the ones that were asked. So the difference of two levels of an
axis, each averaged over all else that was asked, has the standard error

    sqrt(2 V / texts),    V = sum of  variance / number of levels averaged over
                              of each component that joins the text with the axis, and of repetitions,

and texts - 1 degrees of freedom, as the paired test over texts that `stats` makes of it. For two models, with P
personas and R repetitions: V = text x model + (text x model x persona) / P + repetition / (P R). The mean of one level
has sqrt(V / texts), V being summed over each component that has the text in it (Brennan, Generalizability Theory, 2001,
chapter 4; Westfall, Kenny and Judd, 2014).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import prod, sqrt

from runner.reporting.stats.inference import LEVEL

TEXT = "text"
REPETITION: frozenset[str] = frozenset()
"""The component of repetitions: no factor's."""
POWER = 0.8
"""Chance with which the smallest detectable difference is found (Cohen, 1988)."""

Variances = Mapping[frozenset[str], float]
"""Factors that meet -> variance, in squared points; REPETITION -> that from one repetition to the next."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A balanced design: each of `levels` combined with each, on each text, so many times."""

    texts: int
    repetitions: int
    levels: Mapping[str, int]
    """Axis (model, persona, prompt, ...) -> how many levels of it are asked."""

    @property
    def requests(self) -> int:
        """All of them, before any is found to be paid for."""
        return self.texts * self.repetitions * prod(self.levels.values())


@dataclass(frozen=True, slots=True)
class Precision:
    """How sure a design would be of one contrast on one question, in points."""

    axis: str
    """Two of its levels are compared; or "mean": one model's mean."""
    question: str
    se: float
    df: int
    halfwidth: float
    """Of the 95% interval."""
    detectable: float
    """The true difference that is found (p < .05, two-sided, one comparison alone) in 80% of studies; for a mean, the
    least distance from a given value."""


def variance_of_a_text(variances: Variances, repetitions: int, levels: Mapping[str, int], axis: str) -> float:
    """The variance of one text's value: of the difference of two levels of the axis, or of one model's mean ("mean").

    What a difference is averaged over is every other axis of `levels`; an axis without a component adds none.
    """
    difference = axis != "mean"
    kept = {TEXT, axis if difference else "model"}
    total = 0.0
    for factors, variance in variances.items():
        if factors == REPETITION:
            total += variance / (repetitions * prod(size for name, size in levels.items() if name not in kept))
        elif TEXT in factors and (not difference or axis in factors):
            total += variance / prod(levels.get(name, 1) for name in factors - kept)
    return 2 * total if difference else total


def precision(variances: Variances, shape: Shape, axis: str, question: str) -> Precision:
    """How sure `shape` would be. It has two texts or more."""
    df = shape.texts - 1
    se = sqrt(variance_of_a_text(variances, shape.repetitions, shape.levels, axis) / shape.texts)
    return Precision(axis, question, se, df, quantile(df) * se, detectable(df) * se)


@cache
def quantile(df: int) -> float:
    """What a standard error is multiplied by for half a 95% interval."""
    from scipy.stats import t

    return float(t.ppf((1 + LEVEL) / 2, df))


@cache
def detectable(df: int) -> float:
    """The smallest detectable difference in standard errors: where the noncentral t has the wished power."""
    from scipy.optimize import brentq
    from scipy.stats import nct

    least = quantile(df)
    return float(brentq(lambda distance: nct.sf(least, df, distance) - POWER, 0.0, 3 * least + 5))
