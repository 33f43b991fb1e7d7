"""What statistics are given as: frozen values, and a reason in place of each number that does not exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from runner.reporting.stats.many_levels import ManyLevels
    from runner.reporting.stats.response_style import ResponseStyle
    from runner.reporting.stats.scale_reliability import ScaleReliability
    from runner.reporting.stats.shares import OptionShare
    from runner.reporting.stats.weighted import WeightedMean


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


Scales = Mapping[str, tuple[float, float]]
"""Question -> the least and the most that may be given to it."""
Scope = Literal["texts", "personas", "fixed"]
"""What an inference is about: texts like these; texts and personas like these; these texts only."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95% interval of a mean or a mean difference, by Student's t."""

    low: Number
    high: Number
    scope: Scope
    units: int
    """Texts; in the scope `fixed`, repetitions."""
    se: Number
    """Standard error, in points."""
    df: Number


@dataclass(frozen=True, slots=True)
class Summary:
    """One question's scores in one group of trials."""

    axis: str
    """What the trials are grouped by: all, cell, model, vendor, persona, text, temperature."""
    level: str
    """Which group. A temperature that was not sent is ""; cells of several jobs read `job:cell`."""
    question: str
    trials: int
    """Those of the design that were to be asked this question, the ones that never came too."""
    n: int
    """Scores of this question, the only ones that the numbers below are of."""
    missing: Number
    """Share of the trials without one, from 0 to 1."""
    reasons: Mapping[str, int]
    """Kind of problem -> how many of the trials without a score have it; `absent` where the design has no such row."""
    texts: int
    """Texts that have a score."""
    lacking: tuple[str, ...]
    """Texts that other levels of the axis have scores of and this one has not: their means are of other texts."""
    unscorable: int
    failed: int
    unscorable_share: Number
    """From 0 to 1, of the replies: a failed trial is none."""
    mean: Number
    """Of the texts' means: each text counts the same."""
    sd: Number
    """Of all scores as a sample: divided by n - 1."""
    median: Number
    interval: Interval
    """Of the mean."""
    least: Number
    """The mean if every missing score were the lowest of the scale; `most`: if it were the highest."""
    most: Number


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """One question compared between two groups of trials, cell by cell. Differences are left minus right.

    Scores of one cell are averaged, cells that both sides have are paired, and a text's value is the mean of its pairs.
    `difference`, `interval`, `t`, `p` and `effect` come from these values by one model: see inference.
    """

    question: str
    left: str
    right: str
    group: Mapping[str, str]
    """The rest of `by`: column -> value. {} where differences are by question only."""
    on: tuple[str, ...]
    """The columns that the two sides of a pair share."""
    pairs: int
    """Cells that both sides have scores in."""
    same: int
    """Cells left out because both sides have the same answers: an answer that jobs of a sweep share is one."""
    texts: int
    """Texts that these are of: the units of the scope `texts`."""
    unmatched_left: int
    """Cells with a score on the left and none on the right; likewise on the right."""
    unmatched_right: int
    left_mean: Number
    """Of the paired cells, each text alike; likewise on the right."""
    right_mean: Number
    difference: Number
    interval: Interval
    simultaneous: Interval
    """The same at the level that holds for all of a family's differences together (Bonferroni)."""
    effect: Number
    """Cohen's d_z: the difference over the standard deviation of the units' differences (Lakens, 2013)."""
    superiority: Number
    """Chance that a score of the left is above one of the right, cell by cell, ties half (Vargha and Delaney, 2000)."""
    t: Number
    p: Number
    """Two-sided."""
    p_holm: Number
    """`p` corrected by Holm over the family: a question's differences on one axis, or of one comparison of runs."""
    p_equivalent: Number
    """Of two one-sided tests that the difference lies within the margin (Lakens, 2017)."""
    left_missing: Number
    """Share of the left's trials without a score of this question, from 0 to 1; likewise on the right."""
    right_missing: Number
    uneven: bool
    """Whether these two differ by UNEVEN or more, so that what is missing may be a part of the difference."""
    least: Number
    """The difference if all missing of the left were the lowest of the scale, and all of the right the highest."""
    most: Number
    """The other way round."""


@dataclass(frozen=True, slots=True)
class Confounded:
    """Two factors that go together: each level of one comes with one level of the other only."""

    factor: str
    decides: str
    """The factor whose level is known where that of `factor` is."""
    mutual: bool
    """Whether it is so the other way round too, so that the two cannot be told apart at all."""
    examples: tuple[tuple[str, str], ...]
    """Levels that come together, some of them."""

    def __str__(self) -> str:
        shown = ", ".join(f"{left}: {right}" for left, right in self.examples)
        own = "its own" if self.mutual else "one"
        alike = (
            f"the two cannot be told apart: what is said of {self.factor}s may be the {self.decides}'s doing"
            if self.mutual
            else f"{self.factor}s that differ in it differ for either reason, and {self.decides} has no effect apart"
        )
        return f"each {self.factor} has {own} {self.decides} ({shown}): {alike}"


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of what was to be asked has a score of one question."""

    question: str
    text: str | None
    """None: of all; likewise `model`."""
    model: str | None
    planned: int
    """Trials of the design."""
    n: int
    """Scores."""
    reasons: Mapping[str, int]
    """Why the others have none: kind of problem -> trials."""


@dataclass(frozen=True, slots=True)
class OmnibusTest:
    """Whether the levels of one axis differ at all on one question: an F test over texts like these."""

    axis: str
    question: str
    levels: int
    texts: int
    f: Number
    df: Number
    """Of the levels."""
    df_error: Number
    p: Number
    error: str
    """What the differences are held against, such as "model x text"."""


ComponentMethod = Literal["anova", "reml", "largest"]
"""How variances were estimated: see components."""


@dataclass(frozen=True, slots=True)
class Component:
    """One source of variation of one question's scores."""

    name: str
    """A factor, several joined by " x ", or repetition."""
    factors: tuple[str, ...]
    """() for repetition."""
    sd: float
    """In points."""
    share: float
    """Of the sum of all variances, from 0 to 1."""
    low: Number
    """Of the 95% interval of `sd`; likewise `high`."""
    high: Number
    negative: bool
    """Whether the estimate of the variance was below 0, and set to 0."""


@dataclass(frozen=True, slots=True)
class Components:
    """Where one question's variation comes from: a crossed random-effects model."""

    question: str
    method: ComponentMethod
    n: int
    """Scores that were used: with `largest`, those of the complete part of the design alone."""
    levels: Mapping[str, int]
    """Factor -> levels that were used."""
    parts: tuple[Component, ...]
    confounded: bool
    """Whether no cell was asked twice, so that repetition and the last interaction cannot be told apart."""


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
    low: Number
    """Of the 95% interval over texts like these; likewise `high`."""
    high: Number


@dataclass(frozen=True, slots=True)
class Reliability:
    """Test-retest reliability on one question: whether a cell's mean score of a text would come out the same again."""

    question: str
    repetitions: int
    """Scores in a mean: the median of the cells' that were asked twice or more."""
    of_one: Number
    """Of a single repetition: ICC(1)."""
    of_mean: Number
    """Of the mean of so many, by Spearman and Brown."""
    low: Number
    """Of the 95% interval of `of_mean`, over texts like these; likewise `high`."""
    high: Number
    needed: Number
    """Repetitions whose mean has a reliability of .9."""
    needed_most: Number
    """The same at the low end of the interval."""


@dataclass(frozen=True, slots=True)
class PlaceEffect:
    """How much higher a question is scored in the first place of its request than in the last, cell by cell."""

    question: str
    """"all questions": the mean of those of each text."""
    pairs: int
    """Cells (of all questions: each question's) that were asked it in both places."""
    texts: int
    first: Number
    """Mean of these cells where it stands first; likewise `last`."""
    last: Number
    difference: Number
    interval: Interval
    p: Number


@dataclass(frozen=True, slots=True)
class AtLevel:
    """One comparison where a nuisance is at one level."""

    level: str
    difference: Number
    interval: Interval
    p_holm: Number
    """Within this level."""
    sign: bool | None
    """Whether it points as the comparison does over all levels; None where one of them does not exist."""
    agrees: bool | None
    """Whether it does so and is as sure: both hold (p after Holm's correction < .05), or neither does."""
    contradicts: bool
    """Whether it holds the other way round, or one of the two holds and the other is within the margin."""


@dataclass(frozen=True, slots=True)
class Robustness:
    """One comparison over all levels of a nuisance, and at each."""

    nuisance: str
    axis: str
    question: str
    left: str
    right: str
    difference: Number
    """Over all levels."""
    p_holm: Number
    levels: tuple[AtLevel, ...]

    @property
    def changes(self) -> bool:
        """Whether what is concluded is another at some level."""
        return any(one.contradicts for one in self.levels)


@dataclass(frozen=True, slots=True)
class Nuisance:
    """What a nuisance of the design does to scores, and to what is concluded from them."""

    name: str
    """As on the command line: design.question_order."""
    levels: int
    moves: Number
    """Points between the first and the last place, or between its two levels; over all questions."""
    interval: Interval
    p: Number
    between: tuple[str, str]
    """What `moves` is the first minus the second of."""
    comparisons: int
    """Differences between models, personas and whatever else is compared."""
    changed: int
    """Those whose conclusion is another at some level; see AtLevel.contradicts."""
    estimates: int
    """Of these comparisons at single levels, those that exist."""
    sign: int
    """Of these, those with the sign of the whole; likewise `agree`: sign and significance."""
    agree: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """A family of comparisons that was not made, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Statistics:
    """All of the above for one set of rows."""

    findings: tuple[str, ...]
    """Three to five sentences, each with its estimate, its interval and what it is about."""

    planned: int
    """Trials of the design; `trials` are those of which there is a row."""
    trials: int
    """Those that are counted: one of a sweep that shares an earlier job's answer is in `shared` and its cell alone."""
    shared: int
    scored: int
    """Complete replies: those with a score for every question."""
    questions: tuple[str, ...]
    coverage: tuple[Coverage, ...]
    """Of each question as a whole, then of each text and model that lack scores, the worst first."""
    confounded: tuple[Confounded, ...]
    """Factors that go together, so that an effect of one may be the other's."""
    factors: Mapping[str, tuple[str, ...]]
    """What parts the cells of one model, persona and text, beside these: each with its levels. Means that are not given
    by it are over all of them."""
    scope: Scope
    """What was asked for; each interval says its own, which is narrower where the data cannot support this one."""
    margin: float
    """Hundredths of a question's scale within which a difference counts as none."""
    margins: Mapping[str, float]
    """The same in points of each question's scale."""
    summaries: tuple[Summary, ...]
    components: tuple[Components, ...]
    """Where the variation of each question comes from."""
    differences: Mapping[str, tuple[PairedDifference, ...]]
    """model, persona, temperature -> every two of its levels compared."""
    omnibus: tuple[OmnibusTest, ...]
    """Whether the levels of an axis differ at all, over texts like these."""
    anovas: tuple[Anova, ...]
    """As published: over these texts only."""
    kruskal: tuple[KruskalWallis, ...]
    agreement: tuple[Agreement, ...]
    reliability: tuple[Reliability, ...]
    style: tuple[ResponseStyle, ...]
    """How each model uses the scale."""
    levels: tuple[ManyLevels, ...]
    """Axes with more levels than are compared two by two."""
    weighted: tuple[WeightedMean, ...]
    """Means with the weights of personas and texts; () where none has one."""
    skipped: tuple[Skipped, ...]
    shares: tuple[OptionShare, ...] = ()
    """How often each option was given, where an answer is no plain number."""
    scales: tuple[ScaleReliability, ...] = ()
    """How far the items of each scale say the same."""
    nuisances: tuple[Nuisance, ...] = ()
    """What the design balances or crosses: how far it moves scores, and whether conclusions change with it."""
    places: tuple[PlaceEffect, ...] = ()
    """Of each question, and of all together; () where every trial has one order."""
    robustness: tuple[Robustness, ...] = ()
    """Each comparison at each level of each nuisance: a specification curve."""

    @property
    def within(self) -> str:
        """The margin, in words."""
        points = {self.margins.get(question, self.margin) for question in self.questions}
        return f"±{self.margin:g} points" if points <= {self.margin} else f"±{self.margin:g}% of the scale"
