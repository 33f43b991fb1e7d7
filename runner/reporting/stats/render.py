"""Statistics as tables for a terminal, and as JSON for machines."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal

from runner.reporting.formatting import NONE, between, p_value, percent, plain
from runner.reporting.stats.values import Component, Interval, PairedDifference, Statistics, Summary, Undefined, known
from runner.reporting.terminal import empty_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.table import Table

    from runner.records import Json
    from runner.reporting.stats.values import Number

MAX_LINES = 40
"""Most lines, or levels of several lines, of one table on a terminal; the rest is in the JSON."""
WHOLE = frozenset((
    "n", "texts", "levels", "mean", "sd", "median", "95% interval", "pairs", "difference", "d_z", "p (Holm)", "df", "F",
    "p", "eta²", "partial eta²", "groups", "H", "units", "raters", "value",
))  # fmt: skip
"""Columns of numbers, which are not folded: names give way to them."""


def to_json(statistics: Statistics) -> str:
    """All numbers at full precision; one that does not exist is {"not_defined": reason}."""
    return json.dumps(_plain(statistics), ensure_ascii=False, indent=2, allow_nan=False)


def _plain(value: Any) -> Json:
    if isinstance(value, Undefined):
        return {"not_defined": value.reason}
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def render(statistics: Statistics) -> Iterator[Table]:
    """Tables for a terminal of 80 columns or more, the widest view first. A dash stands where there is no number."""
    if statistics.components:
        yield _components(statistics)
    for axis in dict.fromkeys(summary.axis for summary in statistics.summaries):
        yield _summaries(axis, [summary for summary in statistics.summaries if summary.axis == axis])
    for axis, differences in statistics.differences.items():
        yield _differences(axis, differences)
    if statistics.omnibus:
        yield _omnibus(statistics)
    if statistics.anovas:
        yield _anovas(statistics)
    if statistics.kruskal:
        yield _kruskal(statistics)
    if any(known(each.value) is not None for each in statistics.agreement):
        yield _agreement(statistics)
    if missing := list(_missing(statistics)):
        yield _filled(_table("Not defined", ("what", "because")), missing)


METHODS = {
    "anova": "expected mean squares of the cells' means",
    "reml": "REML, by mixedlm",
    "largest": "expected mean squares of the cells' means, of the complete part of the design",
}


def _components(statistics: Statistics) -> Table:
    """A row a source of variation, a column a question: its share, and its standard deviation in points."""
    from rich.text import Text

    found = statistics.components
    names = list(dict.fromkeys(part.name for one in found for part in one.parts))
    columns = ["source", *(one.question for one in found)]
    lines = []
    for name in names:
        parts = [next((part for part in one.parts if part.name == name), None) for one in found]
        lines.append((name, *(NONE if part is None else _share(part) for part in parts)))
    shown = _filled(_table("Where variation comes from: share (standard deviation in points)", columns), lines)
    used = " and ".join(dict.fromkeys(METHODS[one.method] for one in found))
    zero = " 0*: the estimate was negative." if any(part.negative for one in found for part in one.parts) else ""
    left = [f"{one.question}: {one.n} scores" for one in found if one.method == "largest"]
    of = f" ({', '.join(left)})" if left else ""
    shown.caption = Text(f"Crossed random effects; {used}{of}.{zero}")
    shown.caption_justify = "left"
    return shown


def _share(part: Component) -> str:
    return f"{percent(part.share) if part.sd else '0%'} ({plain(part.sd, 1)}){'*' if part.negative else ''}"


def _summaries(axis: str, found: list[Summary]) -> Table:
    """A level's name and its share of unscorable replies stand once, beside its first question."""
    columns = (axis, "question", "n", "mean", "sd", "median", "95% interval", "unscorable")
    lines = [
        (
            "" if same else summary.level or "none sent",
            summary.question,
            f"{summary.n}",
            plain(summary.mean),
            plain(summary.sd),
            plain(summary.median),
            _range(summary.interval),
            "" if same else _unscorable(summary),
        )
        for summary, same in zip(found, _repeats(found), strict=True)
    ]
    most = MAX_LINES * len({summary.question for summary in found})
    return _cut(f"Scores by {axis}" if axis != "all" else "Scores", columns, lines, most)


def _repeats(found: Sequence[Summary]) -> list[bool]:
    """Whether each summary is of the level of the one before it."""
    return [place > 0 and found[place - 1].level == one.level for place, one in enumerate(found)]


def _differences(axis: str, found: tuple[PairedDifference, ...]) -> Table:
    """The surest first."""
    columns = ("question", "left - right", "texts", "difference", "95% interval", "d_z", "p", "p (Holm)")
    lines = [
        (
            each.question,
            f"{each.left or 'none sent'} - {each.right or 'none sent'}",
            f"{each.texts}",
            plain(each.difference),
            _range(each.interval),
            plain(each.effect),
            p_value(each.p),
            p_value(each.p_holm),
        )
        for each in sorted(found, key=_by_p)
    ]
    return _cut(f"Differences between {axis}s, over {_about(found)}", columns, lines)


def _about(found: Sequence[PairedDifference]) -> str:
    scopes = {each.interval.scope for each in found if each.pairs}
    names = {"texts": "texts like these", "personas": "texts and personas like these", "fixed": "these texts only"}
    return ", or ".join(names[scope] for scope in names if scope in scopes) or "texts like these"


def _by_p(each: PairedDifference) -> tuple[float, float]:
    p, effect = known(each.p_holm), known(each.effect)
    return (2.0 if p is None else p, -abs(effect or 0.0))


def _omnibus(statistics: Statistics) -> Table:
    columns = ("question", "axis", "levels", "texts", "F", "df", "p", "against")
    lines = [
        (
            each.question,
            each.axis,
            f"{each.levels}",
            f"{each.texts}",
            plain(each.f),
            "-" if known(each.df) is None else f"{_whole(each.df)}, {_digits(each.df_error)}",
            p_value(each.p),
            each.error,
        )
        for each in statistics.omnibus
    ]
    return _filled(_table("Does an axis matter? F over texts like these", columns), lines)


def _digits(number: Number) -> str:
    value = known(number)
    return "-" if value is None else f"{value:.1f}".removesuffix(".0")


def _anovas(statistics: Statistics) -> Table:
    columns = ("question", "effect", "df", "F", "p", "eta²", "partial eta²")
    lines = [
        (
            anova.question,
            term.name,
            f"{_whole(term.df)}, {_whole(anova.residual_df)}",
            plain(term.f),
            p_value(term.p),
            plain(term.eta2, 4),
            plain(term.eta2_partial, 4),
        )
        for anova in statistics.anovas
        for term in anova.terms
    ]
    return _filled(
        _table("As published: analyses of variance (type II), which hold for these texts only", columns), lines
    )


def _kruskal(statistics: Statistics) -> Table:
    columns = ("question", "factor", "groups", "n", "H", "p", "eta²")
    lines = [
        (each.question, each.factor, f"{each.groups}", f"{each.n}", plain(each.h), p_value(each.p), plain(each.eta2, 4))
        for each in statistics.kruskal
    ]
    return _filled(_table("As published: Kruskal-Wallis, which holds for these texts only", columns), lines)


def _agreement(statistics: Statistics) -> Table:
    columns = ("question", "among", "measure", "units", "raters", "value")
    lines = [
        (each.question, each.among, each.measure, f"{each.units}", f"{each.raters}", plain(each.value, 3))
        for each in statistics.agreement
        if known(each.value) is not None
    ]
    return _filled(_table("Agreement", columns), lines)


def _missing(statistics: Statistics) -> Iterator[tuple[str, str]]:
    """Each reason once for what it concerns, with the questions where it does not hold for all of them."""
    found: dict[tuple[str, str], list[str]] = {}
    for skipped in statistics.skipped:
        question = next((name for name in statistics.questions if f" of {name} by " in skipped.what), "")
        found.setdefault((skipped.what.replace(f" of {question} by ", " by "), skipped.reason), []).append(question)
    for each in statistics.agreement:
        if isinstance(each.value, Undefined):
            what = f"{each.measure} among {each.among}"
            found.setdefault((what, each.value.reason), []).append(each.question)
    for (what, reason), questions in found.items():
        some = questions != [""] and set(questions) != set(statistics.questions)
        yield (f"{what}: {', '.join(questions)}" if some else what), reason


# ---- lines and numbers -----------------------------------------------------------------------------------------------


def _table(title: str, columns: Iterable[str]) -> Table:
    from rich.text import Text

    shown = empty_table(title)
    for column in columns:
        least = 11 if column == "question" else None  # names of models have more places to break
        justify: Literal["left", "right"] = "right" if column in WHOLE else "left"
        shown.add_column(Text(column), overflow="fold", no_wrap=column in WHOLE, min_width=least, justify=justify)
    return shown


def _filled(shown: Table, lines: Iterable[tuple[str, ...]]) -> Table:
    """The table with its lines; names in them are text, never markup."""
    from rich.text import Text

    for line in lines:
        shown.add_row(*map(Text, line))
    return shown


def _cut(title: str, columns: tuple[str, ...], lines: Sequence[tuple[str, ...]], most: int = MAX_LINES) -> Table:
    shown = _filled(_table(title, columns), lines[:most])
    if len(lines) > most:
        shown.caption = f"{len(lines) - most} more lines with --json"
        shown.caption_justify = "left"
    return shown


def _whole(number: Number) -> str:
    value = known(number)
    return NONE if value is None else f"{value:g}"


def _range(interval: Interval) -> str:
    return between(interval) or NONE


def _unscorable(summary: Summary) -> str:
    """The share, and below it the most frequent reasons: "3.0%", "empty 2", "no_score 1"."""
    share = known(summary.unscorable_share)
    if share is None or not summary.reasons:
        return NONE if share is None else "0%"
    reasons = sorted(summary.reasons.items(), key=lambda found: -found[1])[:2]
    return "\n".join((f"{share:.1%}", *(f"{kind} {count}" for kind, count in reasons)))
