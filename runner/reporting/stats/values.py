"""What statistics are given as: frozen values, and a reason in place of each number that does not exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Undefined:
    """Stands where a number would. `reason` completes the sentence "not defined because ..."."""

    reason: str

    def __str__(self) -> str:
        return f"not defined because {self.reason}"


Number = float | Undefined
"""A finite number, or why there is none. Never NaN."""


def known(number: Number) -> float | None:
    """The number, or None where it is not defined: for those who draw or sort."""
    return None if isinstance(number, Undefined) else number


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95% interval: percentiles of seeded bootstrap resamples."""

    low: Number
    high: Number
    drawn: Literal["texts", "trials"]
    """What was drawn with replacement: whole texts, or single trials where a group has one text only."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One question's scores in one group of trials."""

    axis: str
    """What the trials are grouped by: all, cell, model, vendor, persona, text, temperature."""
    level: str
    """Which group. A temperature that was not sent is ""; cells of several jobs read `job:cell`."""
    question: str
    trials: int
    n: int
    """Scored replies, the only ones that the five numbers below are of."""
    unscorable: int
    failed: int
    unscorable_share: Number
    """From 0 to 1, of the replies: a failed trial is none."""
    reasons: Mapping[str, int]
    """Kind of problem -> how many trials without a score have it, the failed ones too."""
    mean: Number
    sd: Number
    """Of a sample: divided by n - 1."""
    median: Number
    interval: Interval
    """Of the mean."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """One question compared between two groups of trials, pair by pair. Differences are left minus right."""

    question: str
    left: str
    right: str
    group: Mapping[str, str]
    """The rest of `by`: column -> value. {} where differences are by question only."""
    on: tuple[str, ...]
    """The columns that two trials of a pair share."""
    pairs: int
    unmatched_left: int
    """Scored trials' keys on the left without a scored partner; likewise on the right."""
    unmatched_right: int
    left_mean: Number
    """Of the paired scores; likewise on the right."""
    right_mean: Number
    difference: Number
    interval: Interval
    effect: Number
    """Cohen's d_z: mean of the differences over their standard deviation."""
    t: Number
    p: Number
    """Two-sided, paired t-test, each pair taken as independent (the interval does not take that for granted)."""
    p_holm: Number
    """`p` corrected by Holm over all differences of one call, or of one axis in `describe`."""


@dataclass(frozen=True, slots=True)
class Term:
    """One effect of an analysis of variance."""

    name: str
    """A factor, or two joined by ":" for their interaction."""
    sum_sq: Number
    df: Number
    f: Number
    p: Number
    eta2: Number
    """Its sum of squares over that of all scores about their mean."""
    eta2_partial: Number
    """Its sum of squares over itself and the residual."""


@dataclass(frozen=True, slots=True)
class Anova:
    """An analysis of variance of one question's scores; with two factors, sums of squares are of type II."""

    question: str
    factors: tuple[str, ...]
    n: int
    terms: tuple[Term, ...]
    residual_sum_sq: Number
    residual_df: Number


@dataclass(frozen=True, slots=True)
class KruskalWallis:
    """A rank test of whether one question's scores differ between the levels of a factor."""

    question: str
    factor: str
    n: int
    groups: int
    h: Number
    p: Number
    eta2: Number
    """(H - groups + 1) / (n - groups), after Tomczak and Tomczak (2014)."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far raters give a unit the same score, on one question. 1 is full agreement, 0 what chance gives."""

    question: str
    among: Literal["repetitions", "models"]
    """repetitions: units are a cell's texts; models: units are a persona's texts, scored by each model's mean."""
    measure: str
    """alpha (interval scale), ICC(1), ICC(A,1) or ICC(C,1), in McGraw and Wong's names."""
    units: int
    """Those that entered: with two scores or more for alpha and ICC(1), with one of every rater for the others."""
    raters: int
    """Most scores of a unit, or models."""
    value: Number


@dataclass(frozen=True, slots=True)
class Skipped:
    """A family of comparisons that was not made, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Statistics:
    """All of the above for one set of rows."""

    trials: int
    """Those that are counted: one of a sweep that shares an earlier job's answer is in `shared` and its cell alone."""
    shared: int
    scored: int
    questions: tuple[str, ...]
    summaries: tuple[Summary, ...]
    differences: Mapping[str, tuple[PairedDifference, ...]]
    """model, persona, temperature -> every two of its levels compared."""
    anovas: tuple[Anova, ...]
    kruskal: tuple[KruskalWallis, ...]
    agreement: tuple[Agreement, ...]
    skipped: tuple[Skipped, ...]
