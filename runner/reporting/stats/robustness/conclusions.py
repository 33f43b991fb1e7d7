"""Each comparison of a run at each level of a nuisance: a specification curve (Simonsohn, Simmons and Nelson, 2020).

A level holds a part of the trials only, so that an estimate there is less sure than that of the whole: that one loses
its significance is counted where agreement is counted, and is no change of what is concluded. A conclusion changes
where a level holds the other way round, or where the whole holds beyond the margin and a level is shown to lie within
it, or the other way about.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runner.plan.nuisance import DESIGN
from runner.reporting.stats.differences import differences_within
from runner.reporting.stats.frame import further
from runner.reporting.stats.inference import SURE
from runner.reporting.stats.values import AtLevel, Robustness, Skipped, Undefined, known

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from runner.reporting.stats.differences import ContrastOptions
    from runner.reporting.stats.values import Number, PairedDifference

MOST = 20_000
"""Most estimates, of all comparisons at all levels of a nuisance: about ten seconds."""


def nuisances_in(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Nuisance -> its levels, for those of a table that have two or more; "" and "fixed" say that none was given."""
    found = {
        name: sorted({*frame[name].astype(str)} - {"", "fixed"}) for name in further(frame) if name.startswith(DESIGN)
    }
    return {name: levels for name, levels in found.items() if len(levels) > 1}


def robustness(
    frame: pd.DataFrame, differences: Mapping[str, Sequence[PairedDifference]], asked: ContrastOptions
) -> tuple[tuple[Robustness, ...], tuple[Skipped, ...]]:
    """Every comparison of `differences`, those between levels of nuisances left out, at each level of each nuisance."""
    compared = {axis: [one for one in found if one.pairs] for axis, found in differences.items()}
    compared = {axis: found for axis, found in compared.items() if found and not axis.startswith(DESIGN)}
    made: list[Robustness] = []
    skipped = []
    for name, levels in nuisances_in(frame).items():
        if (estimates := len(levels) * sum(map(len, compared.values()))) > MOST:
            why = f"{estimates:,} estimates at single levels are more than {MOST:,}"
            skipped.append(Skipped(f"robustness to {name}", why))
            continue
        for axis, found in compared.items():
            parts = {level: frame[frame[name].astype(str) == level] for level in levels}
            made += _of_axis(name, parts, axis, found, asked)
    return tuple(made), tuple(skipped)


def _of_axis(
    name: str,
    parts: Mapping[str, pd.DataFrame],
    axis: str,
    found: Sequence[PairedDifference],
    asked: ContrastOptions,
) -> Iterator[Robustness]:
    at: dict[str, dict[tuple[str, str, str], PairedDifference]] = {}
    for level, part in parts.items():
        there = differences_within(part, axis, asked) if len(part) else ()
        at[level] = {} if isinstance(there, Skipped) else {_place(one): one for one in there}
    for whole in found:
        each = ((level, _found(at[level], whole)) for level in parts)
        yield Robustness(
            name, axis, whole.question, whole.left, whole.right, whole.difference, whole.p_holm,
            tuple(_at_level(level, whole, *one) for level, one in each if one is not None),
        )  # fmt: skip


def _place(one: PairedDifference) -> tuple[str, str, str]:
    return one.question, one.left, one.right


def _found(
    at: Mapping[tuple[str, str, str], PairedDifference], whole: PairedDifference
) -> tuple[PairedDifference, int] | None:
    """The same comparison at a level, and -1 where its sides are the other way round there: their order may differ."""
    if (one := at.get(_place(whole))) is not None and one.pairs:
        return one, 1
    one = at.get((whole.question, whole.right, whole.left))
    return (one, -1) if one is not None and one.pairs else None


def _at_level(level: str, whole: PairedDifference, one: PairedDifference, turned: int) -> AtLevel:
    difference, interval = one.difference, one.interval
    if turned < 0:
        difference = _negative(one.difference)
        interval = replace(one.interval, low=_negative(one.interval.high), high=_negative(one.interval.low))
    here, there = known(difference), known(whole.difference)
    sign = None if here is None or there is None else (here > 0) == (there > 0) and (here < 0) == (there < 0)
    agrees = None if sign is None else sign and _holds(one) == _holds(whole)
    return AtLevel(level, difference, interval, one.p_holm, sign, agrees, _contradicts(one, turned, whole))


def _negative(number: Number) -> Number:
    return number if isinstance(number, Undefined) else -number


def _contradicts(one: PairedDifference, turned: int, whole: PairedDifference) -> bool:
    if _holds(one) and _holds(whole):
        return turned * (known(one.difference) or 0.0) * (known(whole.difference) or 0.0) < 0
    return (_holds(one) and not _alike(one) and _alike(whole)) or (_holds(whole) and not _alike(whole) and _alike(one))


def _holds(one: PairedDifference) -> bool:
    p = known(one.p_holm)
    return p is not None and p < SURE


def _alike(one: PairedDifference) -> bool:
    p = known(one.p_equivalent)
    return p is not None and p < SURE
