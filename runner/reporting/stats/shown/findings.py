"""What a paper could print: three to five sentences, each with its estimate, its interval and what it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.reporting.formatting import between, many, p_value, part, plain, signed
from runner.reporting.stats.confounding import beside
from runner.reporting.stats.frame import plural
from runner.reporting.stats.inference import ABOUT, SURE
from runner.reporting.stats.robustness.sheets import nuisance_finding
from runner.reporting.stats.values import Undefined, known

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.reporting.stats.values import Components, PairedDifference, Scope, Statistics, Summary

MOST = 5
NAMED = 6
"""Most questions whose means one sentence gives."""
SOURCES = {
    "text": "between texts",
    "model": "between models",
    "persona": "between personas",
    "text x model": "how models read particular texts",
    "text x persona": "how personas read particular texts",
    "model x persona": "how models play particular personas",
    "repetition": "repetition noise",
}


def findings(said: Statistics) -> tuple[str, ...]:
    """The sentences about a run's statistics, the most important first; fewer where there is less to say."""
    found = [*_means(said), *_variation(said.components), *nuisance_finding(said.nuisances)]
    for axis, differences in said.differences.items():
        found += _compared(said, axis, differences)
    return (*found[: MOST - 1], *_covered(said))


# ---- means -----------------------------------------------------------------------------------------------------------


def _means(said: Statistics) -> Iterator[str]:
    whole = [one for one in said.summaries if one.axis == "all" and known(one.mean) is not None]
    by_scope: dict[Scope, list[Summary]] = {}
    for one in whole:
        by_scope.setdefault(one.interval.scope, []).append(one)
    for scope, some in by_scope.items():
        listed = "; ".join(_mean(one) for one in some[:NAMED])
        more = f"; and {len(some) - NAMED} more questions" if len(some) > NAMED else ""
        units = f"{_units(some[0])}{pooled(said)}"
        yield f"Mean scores {ABOUT[scope]} ({units}): {listed}{more}.{_narrower(said, scope)}"


def pooled(said: Statistics, axis: str = "all") -> str:
    """What means are over that are not given by it, beside models, personas and texts, in words."""
    over = [f"{len(levels)} {plural(name)}" for name, levels in said.factors.items() if name != axis]
    return f", over {' and '.join(over)}" if over else ""


def _mean(one: Summary) -> str:
    interval = between(one.interval, 1)
    return f"{one.question} {plain(one.mean, 1)} ({f'95% interval {interval}' if interval else _why(one)})"


def _why(one: Summary) -> str:
    low = one.interval.low
    return f"no interval: {low.reason}" if isinstance(low, Undefined) else "no interval"


def _units(one: Summary) -> str:
    return many(one.texts, "text") if one.interval.scope != "fixed" else many(one.interval.units, "repetition")


def _narrower(said: Statistics, scope: Scope) -> str:
    """That the data cannot support what was asked for, and what is given in its stead."""
    if scope == said.scope:
        return ""
    if scope == "fixed":
        return f" One text supports nothing {ABOUT[said.scope]}: what is said holds {ABOUT['fixed']}."
    return f" One persona supports nothing {ABOUT[said.scope]}: what is said holds {ABOUT[scope]}."


# ---- variation -------------------------------------------------------------------------------------------------------


def _variation(found: Sequence[Components]) -> Iterator[str]:
    """The three largest sources and repetition, from the least to the most of any question."""
    shares: dict[str, list[float]] = {}
    for one in found:
        for source in one.parts if any(source.sd > 0 for source in one.parts) else ():
            shares.setdefault(source.name, []).append(source.share)
    if not shares:
        return
    largest = sorted(shares, key=lambda name: -sum(shares[name]))[:2]
    named = [*largest, *(name for name in shares if "repetition" in name and name not in largest)]
    listed = [f"{_range(shares[name])} is {SOURCES.get(name, name)}" for name in named]
    first = listed[0].replace(" is ", " of all variation is ", 1)
    text = next((source for source in found[0].parts if source.factors == ("text",)), None)
    sd = ""
    if text is not None:
        ends = known(text.low), known(text.high)
        sure = f", 95% interval {plain(ends[0], 1)} to {plain(ends[1], 1)}" if None not in ends else ""
        sd = f"; the standard deviation between texts is {plain(text.sd, 1)} points on {found[0].question}{sure}"
    yield f"{', '.join([first, *listed[1:]])}{sd} ({ABOUT['texts']}, crossed random effects)."


def _range(shares: Sequence[float]) -> str:
    low, high = part(min(shares), 0), part(max(shares), 0)
    return low if low == high else f"{low.removesuffix('%')} to {high}"


# ---- differences -----------------------------------------------------------------------------------------------------


def _compared(said: Statistics, axis: str, found: Sequence[PairedDifference]) -> Iterator[str]:
    """How many of an axis' differences hold, and the surest of them."""
    tested = [one for one in found if known(one.p_holm) is not None]
    if not tested:
        apart = [one for one in found if known(one.difference) not in (None, 0.0)]
        why = {one.p.reason for one in apart if isinstance(one.p, Undefined)}
        if apart:
            about = ABOUT[apart[0].interval.scope]
            yield f"No difference between {plural(axis)} can be tested {about}: {', '.join(sorted(why))}."
        return
    scope = tested[0].interval.scope
    holm = [one for one in tested if (known(one.p_holm) or 0.0) < SURE]
    first = min(tested, key=lambda one: (known(one.p_holm) or 0.0, known(one.p) or 0.0))
    alike = sum((p := known(one.p_equivalent)) is not None and p < SURE for one in tested)
    holds = "hold" if len(holm) > 1 else "holds"
    how_many = (
        f"{f'{len(holm):,}' if holm else 'None'} of {many(len(tested), 'difference')} between {plural(axis)} {holds}"
    )
    also = beside(said.confounded, axis)
    lie = "lies" if alike == 1 else "lie"
    words = f" Each {axis} has one {' and one '.join(also)} only, whose effect this may be." if also else ""
    yield (
        f"{how_many} {ABOUT[scope]} after Holm's correction a question; the surest is {_named(first)}"
        f"{_missing(first)}. {alike:,} {lie} within {said.within} (two one-sided tests, uncorrected).{words}"
    )


def _named(one: PairedDifference) -> str:
    levels = f"{one.left or 'none sent'} − {one.right or 'none sent'}"
    corrected = p_value(one.p_holm)
    p = f"p {corrected}" if corrected.startswith("<") else f"p = {corrected}"
    return f"{levels} on {one.question}, {signed(one.difference)} points (95% interval {between(one.interval, 1)}, {p})"


def _missing(one: PairedDifference) -> str:
    if not one.uneven:
        return ""
    shares = (part(known(share)) for share in (one.left_missing, one.right_missing))
    return f", though {' and '.join(shares)} of its sides' scores are missing"


# ---- coverage --------------------------------------------------------------------------------------------------------


def _covered(said: Statistics) -> Iterator[str]:
    """The share of the design that has scores, question by question, and what those that are missing could change."""
    whole = [one for one in said.coverage if one.text is None]
    if not said.planned or not whole:
        return
    complete = f"{said.scored:,} of the design's {said.planned:,} trials ({part(said.scored / said.planned)})"
    what = "a score for every question" if len(whole) > 1 else f"a score of {whole[0].question}"
    if all(one.n == one.planned for one in whole):
        yield f"{complete} have {what}: no score is missing."
        return
    worst = min(whole, key=lambda one: one.n / one.planned if one.planned else 1.0)
    bounds = next(one for one in said.summaries if one.axis == "all" and one.question == worst.question)
    moved = f", whose mean is {plain(bounds.least, 1)} to {plain(bounds.most, 1)} if all of these were at one end"
    reasons = ", ".join(f"{kind} {count:,}" for kind, count in sorted(worst.reasons.items(), key=lambda each: -each[1]))
    moved = "" if known(bounds.least) is None else moved
    share = part(1 - worst.n / worst.planned)
    lacks = f"{share} lack one" if len(whole) == 1 else f"{worst.question} lacks most, {share}"
    yield f"{complete} have {what}; {lacks} ({reasons}){moved}."
