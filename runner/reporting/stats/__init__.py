"""Rows -> statistics: how high, how sure, and whether models, personas, temperatures and texts differ.

    paired(left, right, by=("question",), *, on=None, names=("left", "right")) -> tuple[PairedDifference, ...]
    describe(rows) -> Statistics        render(statistics) -> Iterator[Table]        to_json(statistics) -> str

`left`, `right` and `rows` are rows, or a table that `table(rows)` made of them. A score counts only where its whole
reply is scored; what is missing never counts as a score. A number that does not exist is an Undefined with the reason,
never NaN. The same rows give the same numbers: what is drawn at random is drawn from a fixed seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.reporting.stats.agreement import agreement
from runner.reporting.stats.differences import COMPARED, differences_within, paired
from runner.reporting.stats.frame import distinct, questions_of, table
from runner.reporting.stats.render import render, to_json
from runner.reporting.stats.summaries import summaries
from runner.reporting.stats.values import (
    Agreement,
    Anova,
    Interval,
    KruskalWallis,
    Number,
    PairedDifference,
    Skipped,
    Statistics,
    Summary,
    Term,
    Undefined,
    known,
)
from runner.reporting.stats.variance import one_way, two_way

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from runner.records import Row

__all__ = [
    "Agreement",
    "Anova",
    "Interval",
    "KruskalWallis",
    "Number",
    "PairedDifference",
    "Skipped",
    "Statistics",
    "Summary",
    "Term",
    "Undefined",
    "describe",
    "distinct",
    "known",
    "paired",
    "render",
    "table",
    "to_json",
]


def describe(rows: Iterable[Row] | pd.DataFrame) -> Statistics:
    """Everything there is to say about a run, or about the rows of several."""
    whole = table(rows)
    frame = distinct(whole)
    differences = {axis: differences_within(frame, axis) for axis in COMPARED}
    by_text, kruskal, skipped = one_way(frame, "text")
    crossed, skipped_too = two_way(frame, ("vendor", "persona"))
    not_made = [found for found in differences.values() if isinstance(found, Skipped)]
    return Statistics(
        trials=len(frame),
        shared=len(whole) - len(frame),
        scored=int((frame["outcome"] == "scored").sum()),
        questions=tuple(questions_of(frame)),
        summaries=summaries(whole) if len(whole) else (),
        differences={axis: found for axis, found in differences.items() if not isinstance(found, Skipped)},
        anovas=(*by_text, *crossed),
        kruskal=tuple(kruskal),
        agreement=agreement(frame),
        skipped=(*not_made, *skipped, *skipped_too),
    )
