"""Agreement and reliability as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.reporting.formatting import plain
from runner.reporting.stats.shown.sheet import Columns, TableData, method_of
from runner.reporting.stats.values import known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.reporting.stats.values import Agreement, Reliability


def agreement_sheet(found: Sequence[Agreement]) -> TableData:
    """Coefficients with their intervals."""
    columns: Columns = (("question", "name"), ("among", "name"), ("measure", "name"), ("units", "count"),
                        ("raters", "count"), ("value", "fine"), ("95% low", "fine"), ("high", "fine"))  # fmt: skip
    rows = tuple(
        (one.question, one.among, one.measure, one.units, one.raters, one.value, one.low, one.high)
        for one in found
        if known(one.value) is not None
    )
    words = (
        "alpha: Krippendorff's, interval scale. ICC(1): repetitions are exchangeable. ICC(A,1): models give equal "
        "scores. ICC(C,1): models give equal differences between units, whatever each one's level. "
    )
    intervals = method_of("intervals from mean squares", "text, model and persona, crossed", "each mean square's")
    return TableData("agreement", "Agreement: 1 is full, 0 what chance gives", columns, rows, words + intervals)


def reliability_sheet(found: Sequence[Reliability]) -> TableData:
    """How reliable a mean of repetitions is, and how many are needed."""
    columns: Columns = (("question", "name"), ("of one", "fine"), ("repetitions", "count"), ("of their mean", "fine"),
                        ("95% low", "fine"), ("high", "fine"), ("needed for .9", "text"),
                        ("at most", "text"))  # fmt: skip
    rows = tuple(
        (
            one.question, one.of_one, one.repetitions, one.of_mean, one.low, one.high, plain(one.needed, 0),
            plain(one.needed_most, 0),
        )
        for one in found
    )  # fmt: skip
    method = "Spearman-Brown, from ICC(1) of repetitions. At most: needed at the low end of that one's 95% interval."
    title = "Test-retest reliability: does a cell's mean come out the same again?"
    return TableData("reliability", title, columns, rows, method)
