"""A run's sample beside what it was asked again: how far scores moved, whether that is nothing, and who answered.

For each model and question the unit is the text: its value is the mean difference (now minus then) of its trials, and
Student's t over texts gives the estimate, its 90% interval and two one-sided tests against the margin (Schuirmann,
1987; Lakens, 2017). The interval lies within the margin exactly where p is below .05. Of one text alone the unit is the
trial, and what is said holds for that text. Where every unit has moved by the same, there is no scatter to test with:
the move itself is held against the margin.

    equivalent   both one-sided tests reject at .05: a mean difference beyond the margin is ruled out
    changed      not equivalent, and the mean difference is not 0 (two-sided, Holm's correction over all, p < .05)
    undecided    neither: the sample is too small, or scatters too much, to tell
    identical    every score is the same as before
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import isnan
from typing import TYPE_CHECKING, Literal

from runner.reporting.formatting import many, p_value, signed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.records import Row
    from runner.results.again.drift import Drift

ALPHA = 0.05
Verdict = Literal["equivalent", "changed", "undecided", "identical"]


@dataclass(frozen=True, slots=True)
class ScoreShift:
    """One model and question. Points of the question's scale; None where it cannot be told."""

    model: str
    question: str
    pairs: int
    """Trials that were scored both times."""
    units: int
    """How many texts the estimate rests on; trials where all are of one text."""
    of: Literal["text", "trial"]
    before: float
    now: float
    difference: float
    """Mean over units, now minus then."""
    low: float | None
    high: float | None
    """90% interval of the difference."""
    p_equivalent: float | None
    """The larger p of the two one-sided tests."""
    p: float | None
    """Two-sided, against no difference at all."""
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class AnsweringModel:
    """Under which names and fingerprints one model answered, and how often."""

    model: str
    before: Mapping[str, int]
    now: Mapping[str, int]

    @property
    def is_same(self) -> bool:
        """Whether no name or fingerprint came or went."""
        return self.before.keys() == self.now.keys()


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What a drift came to."""

    asked: int
    replied: int
    """Trials with a reply, or with a refusal in its place."""
    scored: int
    lost: Mapping[str, int]
    """Kind of problem -> trials that were scored then and have no score now."""
    moved: tuple[ScoreShift, ...]
    served: tuple[AnsweringModel, ...]
    sentence: str
    """What a paper could print."""


def compare(pairs: Sequence[tuple[Row, Row]], drift: Drift) -> DriftReport:
    """Compare old rows with new ones, trial by trial."""
    lost = Counter(new.problem.kind for _, new in pairs if new.outcome != "scored" and new.problem is not None)
    moved = _moved(pairs, drift.margin)
    served = _served(pairs)
    scored = sum(new.outcome == "scored" for _, new in pairs)
    replied = sum(new.outcome != "failed" for _, new in pairs)
    found = DriftReport(len(pairs), replied, scored, dict(lost), moved, served, "")
    return replace(found, sentence=_sentence(found, drift))


def _moved(pairs: Sequence[tuple[Row, Row]], margin: float) -> tuple[ScoreShift, ...]:
    import numpy as np

    from runner.reporting.stats.inference import over_texts

    groups = _scored_twice(pairs)
    if not groups:
        return ()
    index = np.array([place for place, some in enumerate(groups.values()) for _ in some])
    units = np.array([unit for some in groups.values() for unit in _units(some)])
    difference = np.array([now - before for some in groups.values() for _, before, now in some])
    estimates = over_texts(difference, index, units, len(groups))
    low, high = estimates.bounds(1 - 2 * ALPHA)
    p, equivalent = estimates.p_value(), estimates.p_equivalent(margin)
    holm = _holm(p.tolist())
    done = []
    for place, ((model, question), some) in enumerate(groups.items()):
        value, scatters = float(estimates.value[place]), estimates.se[place] > 0
        texts = len({text for text, _, _ in some})
        verdict: Verdict
        if scatters or isnan(estimates.se[place]):
            near, moved = equivalent[place] < ALPHA, holm[place] < ALPHA
        else:  # every unit moved by the same
            near, moved = abs(value) < margin, abs(value) >= margin
        if not difference[index == place].any():
            verdict = "identical"
        else:
            verdict = "equivalent" if near else "changed" if moved else "undecided"
        done.append(
            ScoreShift(
                model=model,
                question=question,
                pairs=len(some),
                units=int(estimates.units[place]),
                of="text" if texts > 1 else "trial",
                before=float(np.mean([before for _, before, _ in some])),
                now=float(np.mean([now for _, _, now in some])),
                difference=value,
                low=_known(low[place]) if scatters else None,
                high=_known(high[place]) if scatters else None,
                p_equivalent=_known(equivalent[place]) if scatters else None,
                p=_known(p[place]) if scatters else None,
                verdict=verdict,
            )
        )
    return tuple(done)


def _scored_twice(pairs: Sequence[tuple[Row, Row]]) -> dict[tuple[str, str], list[tuple[str, float, float]]]:
    """Model and question -> text, score then and score now of each trial that has both."""
    groups: dict[tuple[str, str], list[tuple[str, float, float]]] = {}
    for old, new in pairs:
        for question, before in old.scores.items():
            now = new.scores.get(question)
            if new.outcome == old.outcome == "scored" and before is not None and now is not None:
                groups.setdefault((old.model, question), []).append((old.text, before, now))
    return groups


def _units(some: Sequence[tuple[str, float, float]]) -> list[int]:
    """The number of each trial's text; of the trial itself where all are of one text."""
    texts = {text: number for number, text in enumerate(dict.fromkeys(text for text, _, _ in some))}
    return [texts[text] for text, _, _ in some] if len(texts) > 1 else [*range(len(some))]


def _holm(values: Sequence[float]) -> list[float]:
    """P values with Holm's correction; 1 where there is none."""
    done = [1.0] * len(values)
    tested = sorted((p, place) for place, p in enumerate(values) if not isnan(p))
    least = 0.0
    for rank, (p, place) in enumerate(tested):
        least = max(least, min(1.0, (len(tested) - rank) * p))
        done[place] = least
    return done


def _known(value: float) -> float | None:
    return None if isnan(value) else float(value)


def _served(pairs: Sequence[tuple[Row, Row]]) -> tuple[AnsweringModel, ...]:
    models = dict.fromkeys(old.model for old, _ in pairs)
    return tuple(
        AnsweringModel(
            model,
            dict(Counter(_name(old) for old, _ in pairs if old.model == model).most_common()),
            dict(Counter(_name(new) for old, new in pairs if old.model == model and _replied(new)).most_common()),
        )
        for model in models
    )


def _replied(row: Row) -> bool:
    return row.source is not None


def _name(row: Row) -> str:
    """The name that the reply bears, and its fingerprint."""
    name = row.model_version or "no name"
    return f"{name} ({row.fingerprint})" if row.fingerprint else name


def _sentence(found: DriftReport, drift: Drift) -> str:
    asked = f"{found.asked} of {many(drift.population, 'scored trial')} of run {drift.of}"
    how = f"drawn at random within models (seed {drift.seed}; {_usd(drift.spent_usd)})"
    parts = [f"On {(drift.ended or drift.started)[:10]} we asked {asked} again, {how}."]
    parts += [_names(each) for each in found.served]
    if found.lost:
        kinds = ", ".join(f"{kind} {count}" for kind, count in found.lost.items())
        parts.append(f"{many(sum(found.lost.values()), 'trial')} had no score any more ({kinds}).")
    parts += [_of_model(model, found, drift.margin) for model in dict.fromkeys(each.model for each in found.moved)]
    return " ".join(parts)


def _usd(spent: float | None) -> str:
    return "price unknown" if spent is None else f"${spent:.2g}" if spent else "no cost"


def _names(served: AnsweringModel) -> str:
    now, before = (" and ".join(names) for names in (served.now, served.before))
    if not now:
        return f"{served.model} gave no reply."
    return (
        f"{served.model} answered as {now}, {'as before' if served.is_same else f'where it had answered as {before}'}."
    )


def _of_model(model: str, found: DriftReport, margin: float) -> str:
    by: dict[Verdict, list[ScoreShift]] = {}
    for each in found.moved:
        if each.model == model:
            by.setdefault(each.verdict, []).append(each)
    said = [f"all scores of {_listed(same)} were the same"] if (same := by.get("identical")) else []
    if equal := by.get("equivalent"):
        were = "was" if len(equal) == 1 else "were"
        said.append(f"{_listed(equal)} {were} equivalent within ±{margin:g} points ({_tests(equal)})")
    said += [
        f"{each.question} had changed by {signed(each.difference)} points ({_why(each)})"
        for each in by.get("changed", ())
    ]
    if rest := by.get("undecided"):
        said.append(f"for {_listed(rest)} the sample ({_counted(rest)}) showed neither equivalence nor change")
    return f"{model}: {'; '.join(said)}."


def _tests(equal: Sequence[ScoreShift]) -> str:
    tested = [each.p_equivalent for each in equal if each.p_equivalent is not None]
    largest = f", largest p {_p(max(tested))}" if tested else ""
    return f"two one-sided t tests over {_counted(equal)}{largest}; mean differences {_between(equal)}"


def _why(each: ScoreShift) -> str:
    if each.p is None:
        return f"the same in all of {_counted([each])}"
    return f"t test over {_counted([each])}, p {_p(each.p)}"


def _listed(some: Sequence[ScoreShift]) -> str:
    return ", ".join(each.question for each in some)


def _counted(some: Sequence[ScoreShift]) -> str:
    least, most = min(each.units for each in some), max(each.units for each in some)
    return many(most, some[0].of) if least == most else f"{least} to {most} {some[0].of}s"


def _between(some: Sequence[ScoreShift]) -> str:
    low, high = min(each.difference for each in some), max(each.difference for each in some)
    return signed(low) if low == high else f"{signed(low)} to {signed(high)}"


def _p(value: float | None) -> str:
    shown = p_value(float("nan") if value is None else value)
    return shown if shown.startswith("<") else f"= {shown}"
