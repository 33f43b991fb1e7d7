"""Rows -> statistics: how high, how sure, and whether models, personas, temperatures and texts differ.

An inference has a scope (see inference): over texts like these unless it says otherwise.

    paired(left, right, by=("question",), *, on=None, names=("left", "right")) -> tuple[PairedDifference, ...]
    describe(rows) -> Statistics        render(statistics, view, form, width) -> str        to_json(statistics) -> str

`left`, `right` and `rows` are rows, or a table that `table(rows)` made of them, and `with_absent` added what of the
design never came. A question's score counts wherever it was read; what is missing never counts as a score. A number
that does not exist is an Undefined with the reason, never NaN. The same rows give the same numbers: nothing is drawn
at random.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runner.reporting.stats.agreement import agreement, reliability
from runner.reporting.stats.components import components
from runner.reporting.stats.confounding import confounded
from runner.reporting.stats.coverage import ABSENT, coverage, with_absent
from runner.reporting.stats.differences import (
    COMPARED,
    MARGIN,
    ContrastOptions,
    against_first,
    compared_in,
    differences_within,
    paired,
)
from runner.reporting.stats.frame import distinct, questions_of, settings_in, table
from runner.reporting.stats.many_levels import many_levels
from runner.reporting.stats.omnibus import omnibus
from runner.reporting.stats.published import one_way, two_way
from runner.reporting.stats.response_style import response_style
from runner.reporting.stats.robustness import nuisances, places, robustness
from runner.reporting.stats.scale_reliability import reliabilities
from runner.reporting.stats.shares import shares
from runner.reporting.stats.shown.findings import findings
from runner.reporting.stats.shown.render import FORMATS, render, to_json
from runner.reporting.stats.shown.sheets import View, about
from runner.reporting.stats.summaries import AXES, summaries
from runner.reporting.stats.values import (
    Agreement,
    Anova,
    Component,
    Components,
    Confounded,
    Coverage,
    Interval,
    KruskalWallis,
    Number,
    OmnibusTest,
    PairedDifference,
    Reliability,
    Scales,
    Scope,
    Skipped,
    Statistics,
    Summary,
    Term,
    Undefined,
    known,
)
from runner.reporting.stats.weighted import WeightedMean, weighted_means

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from runner.records import Row

__all__ = [
    "AXES",
    "COMPARED",
    "FORMATS",
    "MARGIN",
    "Agreement",
    "Anova",
    "Component",
    "Components",
    "Confounded",
    "ContrastOptions",
    "Coverage",
    "Interval",
    "KruskalWallis",
    "Number",
    "OmnibusTest",
    "PairedDifference",
    "Reliability",
    "Scales",
    "Scope",
    "Skipped",
    "Statistics",
    "Summary",
    "Term",
    "Undefined",
    "View",
    "WeightedMean",
    "about",
    "against_first",
    "describe",
    "distinct",
    "known",
    "paired",
    "render",
    "table",
    "to_json",
    "with_absent",
]


def describe(rows: Iterable[Row] | pd.DataFrame, asked: ContrastOptions | None = None) -> Statistics:
    """Everything there is to say about a run, or about the rows of several.

    `asked` says the scope, the margin of equivalence in hundredths of a scale, and the ends of each question's scale.
    """
    asked = asked or ContrastOptions()
    whole = table(rows)
    counted = shares(distinct(whole), asked.questions) if len(whole) else ()
    frame = distinct(whole)
    together = confounded(frame)
    apart = {name: tuple(map(str, frame[name].unique())) for name in settings_in(frame)}
    axes = dict.fromkeys((*compared_in(frame), *asked.by))
    axes_of_means = tuple(dict.fromkeys((*AXES, *apart, *asked.by)))
    differences = {axis: differences_within(frame, axis, asked) for axis in axes}
    as_published, kruskal, skipped = _as_published(frame)
    not_made = [found for found in differences.values() if isinstance(found, Skipped)]
    made = {axis: found for axis, found in differences.items() if not isinstance(found, Skipped)}
    at_levels, too_many = robustness(frame, made, asked)
    by_place = places(frame, asked)
    said = Statistics(
        findings=(),
        planned=len(frame),
        trials=int((frame["outcome"] != ABSENT).sum()),
        shared=len(whole) - len(frame),
        scored=int((frame["outcome"] == "scored").sum()),
        questions=tuple(questions_of(frame)),
        coverage=coverage(frame),
        confounded=together,
        factors=apart,
        scope=asked.scope,
        margin=asked.margin,
        margins={question: asked.margin_of(question) for question in questions_of(frame)},
        summaries=summaries(whole, asked.scales, asked.scope, axes_of_means) if len(whole) else (),
        components=components(frame),
        differences=made,
        omnibus=omnibus(frame, together),
        anovas=as_published,
        kruskal=kruskal,
        agreement=agreement(frame),
        reliability=reliability(frame),
        style=response_style(frame, asked.scales),
        levels=many_levels(frame),
        weighted=weighted_means(frame, asked.scales),
        skipped=(*not_made, *too_many, *skipped),
        shares=counted,
        scales=reliabilities(frame, asked.item_scales),
        nuisances=nuisances(frame, by_place, at_levels, asked),
        places=by_place,
        robustness=at_levels,
    )
    return replace(said, findings=findings(said))


def _as_published(
    frame: pd.DataFrame,
) -> tuple[tuple[Anova, ...], tuple[KruskalWallis, ...], tuple[Skipped, ...]]:
    """The study's own analyses, of complete replies, as it had them."""
    whole = frame[frame["outcome"] == "scored"]
    by_text, kruskal, skipped = one_way(whole, "text")
    crossed, skipped_too = two_way(whole, ("vendor", "persona"))
    return (*by_text, *crossed), tuple(kruskal), (*skipped, *skipped_too)
