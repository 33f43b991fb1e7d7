"""Statistics -> the tables that are shown of them: values, not words, so that each format writes its own.

The variation comes first, then whether an axis matters at all, then means, differences, coverage and agreement. Under
each table stands how its numbers were made: estimator, unit, degrees of freedom, correction, draws and seed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from runner.plan.nuisance import QUESTION_ORDER
from runner.reporting.formatting import NONE, part, plain
from runner.reporting.stats.agreement import agreement_sheet, reliability_sheet
from runner.reporting.stats.confounding import beside, decided_by
from runner.reporting.stats.frame import plural
from runner.reporting.stats.inference import ABOUT, SURE
from runner.reporting.stats.many_levels import many_levels_sheets
from runner.reporting.stats.response_style import response_style_sheet
from runner.reporting.stats.robustness.effects import of_question
from runner.reporting.stats.robustness.sheets import nuisance_sheet, places_sheet, robustness_sheet
from runner.reporting.stats.scale_reliability import reliability_sheets
from runner.reporting.stats.shares import shares_sheets
from runner.reporting.stats.shown.findings import findings, pooled
from runner.reporting.stats.shown.sheet import Columns, TableData, method_of
from runner.reporting.stats.values import Interval, Undefined, known
from runner.reporting.stats.weighted import weighted_sheet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runner.reporting.stats.values import PairedDifference, Scope, Statistics, Summary

LINES = 3
"""Rows of a table, unless all are asked for: with these every table of a run of four questions fits on a screen."""
QUESTIONS = 8
"""Likewise of the table of each question's mean."""
FIRST = ("all",)
"""Axes whose means are shown unless others, or all, are asked for."""


@dataclass(frozen=True, slots=True)
class View:
    """What is to be shown."""

    everything: bool = False
    only: str | None = None
    """`differences`: these alone, and of them those that hold."""
    by: str | None = None
    """One axis alone."""


def about(said: Statistics, question: str) -> Statistics:
    """What is said of one question alone, its findings too."""

    def own(found: Iterable[Any]) -> tuple[Any, ...]:
        return tuple(one for one in found if one.question == question)

    kept = {
        name: own(getattr(said, name))
        for name in (
            "coverage",
            "summaries",
            "components",
            "omnibus",
            "anovas",
            "kruskal",
            "agreement",
            "reliability",
            "style",
            "levels",
            "places",
            "robustness",
            "shares",
            "weighted",
        )
    }
    kept["scales"] = tuple(one for one in said.scales if question == one.scale)
    differences = {axis: own(found) for axis, found in said.differences.items()}
    whole = next((one for one in kept["coverage"] if one.text is None), None)
    scored = said.scored if whole is None else whole.n
    alone = replace(said, questions=(question,), differences=differences, scored=scored)
    for name, found in kept.items():
        alone = replace(alone, **{name: found})  # type: ignore[arg-type]
    alone = replace(alone, nuisances=of_question(said.nuisances, question, said.places, said.robustness))
    return replace(alone, findings=findings(alone))


def sheets(said: Statistics, view: View = View()) -> list[TableData]:
    """The tables to show, in order; those without a row are left out."""
    whole = not view.only and view.by is None
    made = [_variation(said), nuisance_sheet(said.nuisances)] if whole else []
    made += [places_sheet(said.places)] if view.by == QUESTION_ORDER or (view.everything and whole) else []
    made += shares_sheets(said.shares, everything=view.everything) if whole else []
    omnibus = _omnibus if view.everything or view.by else _omnibus_in_short
    made += [] if view.only else [omnibus(said, view), *_scores(said, view)]
    if said.weighted and not view.only and view.by is None:
        made += [weighted_sheet(said.weighted, everything=view.everything)]
    made += [
        _differences(said, axis, found, view) for axis, found in said.differences.items() if view.by in {None, axis}
    ]
    if not view.only and view.by is None:
        made += many_levels_sheets(said.levels, everything=view.everything)
        made += reliability_sheets(said.scales)
    if view.everything and not view.only and view.by is None:
        made += [
            agreement_sheet(said.agreement),
            _coverage(said),
            reliability_sheet(said.reliability),
            response_style_sheet(said.style),
            robustness_sheet(said.robustness),
        ]
        made += [_anovas(said), _kruskal(said), _skipped(said)]
    return [sheet if view.everything else cut(sheet) for sheet in made if sheet.rows]


def cut(sheet: TableData) -> TableData:
    """The first lines of a table, as many as go beside others on a screen."""
    lines = QUESTIONS if sheet.key in {"scores_all", "weighted"} else LINES
    if len(sheet.rows) <= lines or sheet.key in {"variation", "shares", "ranks"}:
        return sheet
    return replace(sheet, rows=sheet.rows[:lines], notes=sheet.notes[:lines], left_out=len(sheet.rows) - lines)


def _about(scopes: Iterable[Scope]) -> str:
    found = set(scopes)
    return ", or ".join(words for scope, words in ABOUT.items() if scope in found) or ABOUT["texts"]


UNITS: dict[str, tuple[str, str]] = {
    "texts": ("the text", "texts - 1"),
    "personas": ("text and persona, crossed", "Satterthwaite's"),
    "fixed": ("the repetition", "pooled within cells"),
}
"""Scope -> the unit of an inference, and its degrees of freedom."""


def _units(scopes: Iterable[Scope]) -> tuple[str, str]:
    found = [UNITS[scope] for scope in ABOUT if scope in set(scopes)] or [UNITS["texts"]]
    return " or ".join(unit for unit, _ in found), " or ".join(df for _, df in found)


# ---- variation -------------------------------------------------------------------------------------------------------

ESTIMATORS = {
    "anova": "expected mean squares of the cells' means",
    "reml": "REML (mixedlm)",
    "largest": "expected mean squares of the complete part of the design",
}


def _variation(said: Statistics) -> TableData:
    """A row a source of variation, a column a question: its share, and its standard deviation in points."""
    found = said.components
    columns: Columns = (("source", "name"), *((one.question, "text") for one in found))
    names = dict.fromkeys(source.name for one in found for source in one.parts)
    rows = []
    for name in names:
        parts = [next((source for source in one.parts if source.name == name), None) for one in found]
        shares = [NONE if one is None else f"{part(one.share, 0)} ({plain(one.sd, 1)})" for one in parts]
        starred = ["*" if one is not None and one.negative else "" for one in parts]
        rows.append((name, *(share + star for share, star in zip(shares, starred, strict=True))))
    how = " and ".join(dict.fromkeys(ESTIMATORS[one.method] for one in found))
    zero = " 0*: the estimate was negative." if any(one.negative for each in found for one in each.parts) else ""
    some = ", ".join(f"{one.question} {one.n:,} scores" for one in found if one.method == "largest")
    used = f" ({some})" if some else ""
    method = method_of(f"crossed random effects, {how}{used}", "the score", "none, as no source is tested") + zero
    title = "Where variation comes from: share (standard deviation in points)"
    return TableData("variation", title, columns, tuple(rows), method)


def _omnibus(said: Statistics, view: View) -> TableData:
    columns: Columns = (("question", "name"), ("axis", "name"), ("levels", "count"), ("texts", "count"), ("F", "score"),
                        ("df", "text"), ("p", "p"), ("against", "text"))  # fmt: skip
    rows: list[tuple[Any, ...]] = []
    without: dict[str, None] = {}
    for each in said.omnibus:
        if view.by not in {None, each.axis}:
            continue
        if isinstance(each.p, Undefined):
            without[f"{each.axis} ({each.p.reason})"] = None
            continue
        df = f"{plain(each.df, 0)}, {plain(each.df_error, 1).removesuffix('.0')}"
        rows.append((each.question, each.axis, each.levels, each.texts, each.f, df, each.p, each.error))
    method = method_of("F of the table of levels by texts", "the text", "levels - 1, and the error's")
    untested = f" Not tested: {'; '.join(without)}." if without else ""
    title = f"Does an axis matter? {_capital(ABOUT['texts'])}{_besides(said)}"
    return TableData("omnibus", title, columns, tuple(rows), method + untested)


def _omnibus_in_short(said: Statistics, view: View) -> TableData:
    """A row an axis, a column a question: its p alone."""
    whole = _omnibus(said, view)
    tested = {(axis, question): p for question, axis, *_, p, _ in whole.rows}
    levels = {row[1]: row[2] for row in whole.rows}
    questions = [name for name in said.questions if any((axis, name) in tested for axis in levels)]
    columns: Columns = (("axis", "name"), ("levels", "count"), *((name, "p") for name in questions))
    rows = tuple(
        (axis, count, *(tested.get((axis, name), Undefined("not tested")) for name in questions))
        for axis, count in levels.items()
    )
    return replace(whole, title=whole.title.replace("? O", "? p of each question, o", 1), columns=columns, rows=rows)


def _besides(said: Statistics) -> str:
    """What else differs between the levels of any axis that is tested, in words for a title."""
    return "".join(_beside(said, axis) for axis in dict.fromkeys(one.axis for one in said.omnibus)
                   if decided_by(said.confounded, axis) is None)  # fmt: skip


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


# ---- scores ----------------------------------------------------------------------------------------------------------


def _scores(said: Statistics, view: View) -> Iterator[TableData]:
    axes = dict.fromkeys(one.axis for one in said.summaries)
    wanted = [view.by] if view.by else [axis for axis in axes if view.everything or axis in FIRST]
    for axis in wanted:
        of_axis = [one for one in said.summaries if one.axis == axis]
        yield _of_axis(said, axis, of_axis, everything=view.everything or view.by is not None)


def _of_axis(said: Statistics, axis: str, found: Sequence[Summary], *, everything: bool) -> TableData:
    columns: Columns = ((axis, "name"), ("question", "name"), ("n", "count"), ("trials", "count"), ("texts", "count"),
                        ("mean", "score"), ("sd", "score"), ("median", "score"), ("95% interval", "interval"),
                        ("missing", "share"))  # fmt: skip
    columns = columns[1:] if axis == "all" else columns
    rows = tuple(
        (
            *((one.level or "none sent",) if axis != "all" else ()),
            one.question, one.n, one.trials, one.texts, one.mean, one.sd, one.median,
            one.interval, one.missing,
        )
        for one in found
    )  # fmt: skip
    scopes = [one.interval.scope for one in found if known(one.mean) is not None]
    unit, df = _units(scopes)
    where = "" if axis == "all" else f" by {axis}"
    title = f"Scores{where}, {_about(scopes)}{pooled(said, axis)}{_beside(said, axis)}"
    method = method_of("mean of the texts' means, Student's t, within the scale; sd of single scores", unit, df)
    notes = tuple(lack(one) for one in found) if everything else ()
    return TableData(f"scores_{axis}", title, columns, rows, method, notes)


def _beside(said: Statistics, axis: str) -> str:
    """What else differs between an axis' levels, in words for a title."""
    by = decided_by(said.confounded, axis)
    if by is not None:
        return f" (each {by} has one {axis}: no effect of {axis} can be told from the {by}'s)"
    also = beside(said.confounded, axis)
    return f" (each {axis} has one {' and one '.join(also)}, whose effect this may be)" if also else ""


def lack(one: Summary) -> str:
    """What a mean lacks, and how far that could move it."""
    words = [f"{kind} {count:,}" for kind, count in sorted(one.reasons.items(), key=lambda each: -each[1])]
    if words and known(one.least) is not None:
        words.append(f"mean {plain(one.least, 1)} to {plain(one.most, 1)} if all of these were at one end of the scale")
    if one.lacking:
        others = len(one.lacking) - 3
        named = ", ".join(one.lacking[:3]) + (f" and {others} more" if others > 0 else "")
        words.append(f"no score of {named}, which its neighbours have")
    return "; ".join(words)


# ---- differences -----------------------------------------------------------------------------------------------------


def _differences(said: Statistics, axis: str, found: Sequence[PairedDifference], view: View) -> TableData:
    """The surest first."""
    columns: Columns = (("question", "name"), ("left - right", "name"), ("texts", "count"), ("difference", "signed"),
               ("95% interval", "interval"), ("d_z", "score"), ("p", "p"), ("p (Holm)", "p"), ("p (TOST)", "p"),
               ("missing", "text"))  # fmt: skip
    shown = sorted(found, key=_by_p)
    if view.only:
        shown = [one for one in shown if (p := known(one.p_holm)) is not None and p < SURE] or shown
    rows = tuple(
        (
            one.question, f"{one.left or 'none sent'} - {one.right or 'none sent'}", one.texts, one.difference,
            one.interval, one.effect, one.p, one.p_holm, one.p_equivalent,
            f"{part(known(one.left_missing), 0)}/{part(known(one.right_missing), 0)}{'!' if one.uneven else ''}",
        )
        for one in shown
    )  # fmt: skip
    scopes = [one.interval.scope for one in found if one.pairs]
    unit, df = _units(scopes)
    margin = f"TOST within {said.within}"
    method = method_of(f"mean of the texts' paired differences, Student's t; {margin}", unit, df, "Holm, a question")
    warned = " !: scores are missing unevenly." if any(one.uneven for one in shown) else ""
    title = f"Paired differences between {plural(axis)}, {_about(scopes)}{_beside(said, axis)}"
    notes = tuple(map(_moved, shown)) if view.everything or view.by or view.only else ()
    return TableData(f"differences_{axis}", title, columns, rows, method + warned, notes)


def _moved(one: PairedDifference) -> str:
    """How far what is missing could move a difference, where one side lacks more than the other."""
    if not one.uneven or known(one.least) is None:
        return ""
    return f"missing unevenly: {plain(one.least, 1)} to {plain(one.most, 1)} if all missing were at opposite ends"


def _by_p(each: PairedDifference) -> tuple[float, float]:
    p, effect = known(each.p_holm), known(each.effect)
    return (2.0 if p is None else p, -abs(effect or 0.0))


# ---- the rest --------------------------------------------------------------------------------------------------------


def _coverage(said: Statistics) -> TableData:
    columns: Columns = (("question", "name"), ("text", "name"), ("model", "name"), ("n", "count"), ("planned", "count"),
               ("scored", "share"), ("missing because", "text"))  # fmt: skip
    ordered = sorted(said.coverage, key=lambda one: one.text is not None)
    rows = tuple(
        (
            one.question, one.text or "all", one.model or "all", one.n, one.planned,
            one.n / one.planned if one.planned else float("nan"),
            ", ".join(f"{kind} {count:,}" for kind, count in sorted(one.reasons.items(), key=lambda each: -each[1])),
        )
        for one in ordered
        if one.text is not None or one.n < one.planned
    )  # fmt: skip
    method = "A question's score counts wherever it was read. Shares are of the design: absent trials have no row."
    return TableData("coverage", "What is missing, question by question", columns, rows, method)


def _anovas(said: Statistics) -> TableData:
    columns: Columns = (("question", "name"), ("effect", "name"), ("df", "text"), ("F", "score"), ("p", "p"),
                        ("eta²", "fine"), ("partial eta²", "fine"))  # fmt: skip
    rows = tuple(
        (
            one.question, term.name, f"{plain(term.df, 0)}, {plain(one.residual_df, 0)}", term.f, term.p, term.eta2,
            term.eta2_partial,
        )
        for one in said.anovas
        for term in one.terms
    )  # fmt: skip
    method = method_of("least squares, sums of squares of type II, of complete replies", "the trial", "as shown")
    title = "As published: analyses of variance, which hold for these texts only"
    return TableData("as_published_anova", title, columns, rows, method)


def _kruskal(said: Statistics) -> TableData:
    columns: Columns = (("question", "name"), ("factor", "name"), ("groups", "count"), ("n", "count"), ("H", "score"),
                        ("p", "p"), ("eta²", "fine"))  # fmt: skip
    rows = tuple((one.question, one.factor, one.groups, one.n, one.h, one.p, one.eta2) for one in said.kruskal)
    method = method_of("rank sums, corrected for ties, of complete replies", "the trial", "groups - 1")
    title = "As published: Kruskal-Wallis, which holds for these texts only"
    return TableData("as_published_kruskal", title, columns, rows, method)


def _skipped(said: Statistics) -> TableData:
    """What is not defined, and why: a line for each reason, with the questions that it is of where these are some."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for each in said.skipped:
        question = next((name for name in said.questions if f" of {name} " in each.what), "")
        what = each.what.replace(f" of {question} ", " ") if question else each.what
        found.setdefault((what, each.reason), {})[question] = None
    for one in said.agreement:
        if isinstance(one.value, Undefined):
            found.setdefault((f"{one.measure} of {one.among}", one.value.reason), {})[one.question] = None
    rows = []
    for (what, reason), questions in found.items():
        some = questions.keys() != {""} and set(questions) != set(said.questions)
        rows.append((f"{what}: {', '.join(questions)}" if some else what, reason))
    return TableData("not_defined", "Not defined", (("what", "name"), ("because", "text")), tuple(rows))


def ends(interval: Interval) -> tuple[float | None, float | None]:
    """Both ends of an interval, None where there is none."""
    return known(interval.low), known(interval.high)
