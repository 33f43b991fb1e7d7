"""Nuisances as a sentence and as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.plan.nuisance import QUESTION_ORDER
from runner.reporting.formatting import between, many, part, plain
from runner.reporting.stats.inference import ABOUT
from runner.reporting.stats.shown.sheet import Columns, TableData, method_of
from runner.reporting.stats.values import Undefined, known

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.reporting.stats.values import Nuisance, PlaceEffect, Robustness, Scope

WORDS = {QUESTION_ORDER: "order of questions"}
"""A nuisance in words, where its name does not say it."""


def _words(name: str) -> str:
    return WORDS.get(name, name.partition(".")[2].replace("_", " "))


def nuisance_finding(found: Sequence[Nuisance]) -> Iterator[str]:
    """One sentence on all nuisances."""
    if found:
        listed = "; ".join(f"{_words(one.name)}: {_moves(one)}; {_changed(one)}" for one in found)
        yield f"{listed[:1].upper()}{listed[1:]}."


def _moves(one: Nuisance) -> str:
    points = known(one.moves)
    if points is None:
        return f"its effect is not known, as {one.moves.reason}" if isinstance(one.moves, Undefined) else ""
    about = ABOUT[one.interval.scope]
    ends = between(one.interval, 1)
    sure = f"95% interval {ends}, {about}" if ends else f"no interval, {about}"
    return f"{plain(points, 1)} points between {one.between[0]} and {one.between[1]} ({sure})"


def _changed(one: Nuisance) -> str:
    return f"conclusions that change with it: {one.changed:,} of {one.comparisons:,}"


def nuisance_sheet(found: Sequence[Nuisance]) -> TableData:
    """A row a nuisance."""
    columns: Columns = (("nuisance", "name"), ("first - second", "name"), ("levels", "count"), ("points", "signed"),
                        ("95% interval", "interval"), ("p", "p"), ("changed", "text"),
                        ("same sign", "text"), ("as sure", "text"))  # fmt: skip
    rows = tuple(
        (
            _words(one.name), " - ".join(one.between), one.levels, one.moves, one.interval, one.p,
            f"{one.changed:,} of {one.comparisons:,}", _share(one.sign, one.estimates),
            _share(one.agree, one.estimates),
        )
        for one in found
    )  # fmt: skip
    scopes = [one.interval.scope for one in found]
    about = ABOUT[scopes[0]] if scopes else ""
    title = f"What the design varies: how far it moves scores, and whether conclusions change, {about}"
    method = method_of("mean of the texts' paired differences, Student's t", *_units(scopes))
    changes = (
        " Changed: conclusions, where a level holds the other way round (p, Holm, below .05), or one of level and "
        "whole holds beyond the margin and the other is within it. Shares: of all comparisons at all levels, those "
        "with the sign of the whole, and with its significance too, which some lose as a level has fewer trials."
    )
    return TableData("nuisance", title, columns, rows, method + changes)


def _units(scopes: Sequence[Scope]) -> tuple[str, str]:
    """Unit and degrees of freedom."""
    found: dict[Scope, tuple[str, str]] = {
        "personas": ("text and persona, crossed", "Satterthwaite's"), "fixed": ("the repetition", "pooled within cells")
    }  # fmt: skip
    return found.get(scopes[0], ("the text", "texts - 1")) if scopes else ("the text", "texts - 1")


def _share(some: int, every: int) -> str:
    return part(some / every, 0) if every else "none"


def places_sheet(found: Sequence[PlaceEffect]) -> TableData:
    """A row a question."""
    columns: Columns = (("question", "name"), ("texts", "count"), ("cells", "count"), ("first", "score"),
                        ("last", "score"), ("difference", "signed"), ("95% interval", "interval"),
                        ("p", "p"))  # fmt: skip
    rows = tuple(
        (one.question, one.texts, one.pairs, one.first, one.last, one.difference, one.interval, one.p)
        for one in found
        if one.pairs
    )
    scopes = [one.interval.scope for one in found if one.pairs]
    about = ABOUT[scopes[0]] if scopes else ""
    title = f"Does the place of a question matter? First minus last, {about}"
    method = method_of("mean of the texts' paired differences, Student's t", *_units(scopes))
    return TableData("places", title, columns, rows, method)


def robustness_sheet(found: Sequence[Robustness]) -> TableData:
    """A row a comparison and nuisance, those that change first."""
    columns: Columns = (("nuisance", "name"), ("question", "name"), ("left - right", "name"), ("over all", "signed"),
                        ("p (Holm)", "p"), ("lowest", "signed"), ("highest", "signed"), ("same sign", "text"),
                        ("as sure", "text"), ("changes", "text"))  # fmt: skip
    rows = []
    for one in sorted(found, key=lambda each: not each.changes):
        at = [level for level in one.levels if level.sign is not None]
        each = [known(level.difference) or 0.0 for level in at] or [float("nan")]
        rows.append((
            _words(one.nuisance), one.question, f"{one.left or 'none sent'} - {one.right or 'none sent'}",
            one.difference, one.p_holm, min(each), max(each), f"{sum(bool(level.sign) for level in at)} of {len(at)}",
            f"{sum(bool(level.agrees) for level in at)} of {len(at)}", _at(one),
        ))  # fmt: skip
    title = f"Robustness: {many(len(found), 'comparison')} at each level of what the design varies"
    method = method_of("as of the differences, level by level", "as there", "as there", "Holm, a question and level")
    return TableData("robustness", title, columns, tuple(rows), method)


def _at(one: Robustness) -> str:
    at = [level.level for level in one.levels if level.contradicts]
    return "no" if not at else f"at {', '.join(at[:2])}{f' and {len(at) - 2} more' if len(at) > 2 else ''}"
