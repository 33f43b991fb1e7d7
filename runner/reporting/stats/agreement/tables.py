"""Agreement and reliability as tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.reporting.formatting import NONE, plain
from runner.reporting.stats.values import known
from runner.reporting.terminal import empty_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from runner.reporting.stats.values import Agreement, Number, Reliability


def agreement_tables(found: Sequence[Agreement], reliabilities: Sequence[Reliability]) -> Iterator[Table]:
    """Coefficients with their intervals; then how many repetitions make a mean reliable."""
    from rich.text import Text

    lines = [one for one in found if known(one.value) is not None]
    if lines:
        shown = empty_table("Agreement", ["question", "among", "measure"], ["units", "raters", "value", "95% interval"])
        for one in lines:
            counts = (f"{one.units}", f"{one.raters}", plain(one.value, 3))
            shown.add_row(*map(Text, (one.question, one.among, one.measure, *counts, _span(one.low, one.high, 3))))
        shown.caption = Text("Repetitions are exchangeable, models have names. Intervals: texts like these, from F.")
        shown.caption_justify = "left"
        yield shown
    if reliabilities:
        figures = ("of one", "repeti-\ntions", "of their\nmean", "95% interval", "needed\nfor .9", "at\nmost")
        shown = empty_table("Test-retest reliability", ["question"], figures)
        for each in reliabilities:
            numbers = (plain(each.of_one, 3), f"{each.repetitions}", plain(each.of_mean, 3))
            ends = _span(each.low, each.high, 3)
            shown.add_row(
                *map(Text, (each.question, *numbers, ends, plain(each.needed, 0), plain(each.needed_most, 0)))
            )
        shown.caption = Text(
            "Spearman-Brown, from ICC(1) of repetitions. at most: at the low end of ICC(1)'s interval."
        )
        shown.caption_justify = "left"
        yield shown


def _span(low: Number, high: Number, digits: int) -> str:
    return NONE if known(low) is None or known(high) is None else f"{plain(low, digits)} to {plain(high, digits)}"
