"""Which design tells most for a budget, or reaches an interval's width for the least.

With the costs and variances of a text proportional to what is asked about it, each choice of repetitions, prompts and
models leaves one number of texts: as many as the budget buys, or as few as the width needs. All choices are compared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod, sqrt
from typing import TYPE_CHECKING

from runner.errors import ConfigError
from runner.reporting.design.precision import Precision, Shape, precision, quantile, variance_of_a_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.reporting.design.precision import Variances

REPETITIONS = (1, 2, 3, 5, 10)
MORE_PROMPTS = 2
"""Prompts that are tried beyond those of the basis."""
MOST_TEXTS = 100_000
"""Texts beyond which no design is looked for."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What designs are judged by, and what they may be made of."""

    questions: Mapping[str, Variances]
    """Question -> its variance components."""
    shape: Shape
    """What was asked, or would be: its axes stay, and it is set beside the others."""
    prices: Mapping[str, float | None]
    """Model -> US dollars of one request; None where unknown."""
    overrides: tuple[str, ...] | None
    """What a run of it is typed with, without texts and repetitions; None where no command makes it (an import)."""
    texts: tuple[str, ...] = ()
    """Names of the texts that there are, where each can be named in a command."""
    assumed: tuple[str, ...] = ()
    """Sentences on what is assumed rather than measured."""

    @property
    def axis(self) -> str:
        """What is compared unless another axis is asked for: models, else prompts, else personas, else nothing."""
        sizes = self.shape.levels
        return next((name for name in ("model", "prompt", "persona") if sizes.get(name, 1) > 1), "mean")


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached: one of the three."""

    budget_usd: float | None = None
    requests: int | None = None
    halfwidth: float | None = None
    """Points that the 95% interval may reach to either side."""
    most_texts: int = MOST_TEXTS


@dataclass(frozen=True, slots=True)
class Candidate:
    """One design, judged by the question that it is least sure of."""

    shape: Shape
    models: tuple[str, ...]
    usd: float | None
    widest: Precision
    asked: bool = False
    """Whether it is the basis' own."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Designs, the best first, and how sure the best is of each contrast."""

    axis: str
    goal: Goal
    candidates: tuple[Candidate, ...]
    """The best of each number of repetitions, prompts and models, and the basis' own; never empty of the best."""
    best: Candidate
    precisions: tuple[Precision, ...]
    """Of the best: each contrast on each question."""
    basis: Basis


def goal_of(basis: Basis, asked: Goal) -> Goal:
    """The goal that was asked for; where none was, the money of what the basis asks, or its requests if that is free.

    ConfigError for a budget where a model has no price, or nothing costs anything.
    """
    unpriced = [name for name, price in basis.prices.items() if price is None]
    free = not unpriced and not any(basis.prices.values())
    if asked.budget_usd is not None and (unpriced or free):
        why = f"no price is known of {', '.join(unpriced[:3])}" if unpriced else "no model costs anything"
        raise ConfigError(
            f"{why}, so that a budget in dollars has no meaning: give requests", where="design", key="budget"
        )
    if (asked.budget_usd, asked.requests, asked.halfwidth) != (None, None, None):
        return asked
    if unpriced or free:
        return replace(asked, requests=basis.shape.requests)
    return replace(asked, budget_usd=cost_of(basis, basis.shape, tuple(basis.prices)))


def advise(basis: Basis, goal: Goal, axis: str | None = None) -> Advice | None:
    """The designs that meet a goal. None where none does: the budget buys no two texts, or there are too few texts.

    The best asks all models, if any such design meets the goal: a difference between personas, of fewer models, is
    another one. Fewer are shown beside it. Where the goal is dollars, every model of the basis has a price.
    """
    axis = axis or basis.axis
    tried = [found for choice in _choices(basis, axis) if (found := _meet(basis, goal, axis, choice)) is not None]
    if not tried:
        return None
    ordered = sorted(tried, key=lambda one: _rank(one, goal))
    best = next((one for one in ordered if len(one.models) == len(basis.prices)), ordered[0])
    own = _candidate(basis, axis, basis.shape, tuple(basis.prices), asked=True)
    shown = _distinct(ordered)
    if own is not None:
        shown = [one for one in shown if one.shape != own.shape or one is best]
        shown = sorted([*shown, own], key=lambda one: _rank(one, goal))
    return Advice(axis, goal, tuple(shown), best, tuple(contrasts(basis, best.shape)), basis)


def contrasts(basis: Basis, shape: Shape) -> Iterator[Precision]:
    """How sure a design is of the difference of two levels of each axis that has two, and of a model's mean."""
    axes = [*(name for name, size in shape.levels.items() if size > 1), "mean"]
    for axis in axes:
        for question, variances in basis.questions.items():
            yield precision(variances, shape, axis, question)


def _rank(one: Candidate, goal: Goal) -> tuple[float, float]:
    cost = float(one.shape.requests) if one.usd is None else one.usd
    width = round(one.widest.halfwidth, 9)
    return (width, cost) if goal.halfwidth is None else (cost, width)


def _choices(basis: Basis, axis: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Repetitions, prompts and models to be tried, the cheapest models first; where these are compared, all stay."""
    ordered = sorted(basis.prices, key=lambda name: (basis.prices[name] is None, basis.prices[name] or 0.0))
    sizes = {len(ordered)} if axis in ("model", "mean") else {1, 2, 3, 5, 10, 20, len(ordered)}
    prompts = basis.shape.levels.get("prompt", 1)
    more = 0 if axis == "prompt" else MORE_PROMPTS
    for repetitions in sorted({*REPETITIONS, basis.shape.repetitions}):
        for asked in range(prompts, prompts + more + 1):
            for size in sorted(size for size in sizes if size <= len(ordered)):
                chosen = ordered[:size] if size < len(ordered) else list(basis.prices)
                yield repetitions, asked, tuple(chosen)


def _meet(basis: Basis, goal: Goal, axis: str, choice: tuple[int, int, tuple[str, ...]]) -> Candidate | None:
    """The design of a choice with as many texts as the goal buys, or needs."""
    repetitions, prompts, models = choice
    levels = {**basis.shape.levels, "model": len(models)}
    if prompts > 1:
        levels["prompt"] = prompts
    one_text = Shape(1, repetitions, levels)
    if goal.halfwidth is not None:
        worst = max(variance_of_a_text(of, repetitions, levels, axis) for of in basis.questions.values())
        texts = texts_for(worst, goal.halfwidth, goal.most_texts)
    elif goal.requests is not None:
        texts = goal.requests // one_text.requests
    else:
        usd = cost_of(basis, one_text, models)
        texts = goal.most_texts if not usd else int((goal.budget_usd or 0.0) / usd * (1 + 1e-9))
    texts = min(texts, goal.most_texts) if goal.halfwidth is None else texts
    return _candidate(basis, axis, Shape(texts, repetitions, levels), models)


def texts_for(variance: float, halfwidth: float, most: int) -> int:
    """The fewest texts whose 95% interval reaches no further than `halfwidth`; 0 where `most` are too few."""

    def fits(texts: int) -> bool:
        return quantile(texts - 1) * sqrt(variance / texts) <= halfwidth

    low, high = 2, 2
    while not fits(high):
        if high >= most:
            return 0
        low, high = high, min(2 * high, most)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    return high


def cost_of(basis: Basis, shape: Shape, models: Sequence[str]) -> float | None:
    """US dollars of a design; None where a model's price is unknown."""
    each = [basis.prices[name] for name in models]
    if any(price is None for price in each):
        return None
    others = prod(size for name, size in shape.levels.items() if name != "model")
    return shape.texts * shape.repetitions * others * sum(price or 0.0 for price in each)


def _candidate(
    basis: Basis, axis: str, shape: Shape, models: tuple[str, ...], *, asked: bool = False
) -> Candidate | None:
    if shape.texts < 2:
        return None
    found = (precision(variances, shape, axis, question) for question, variances in basis.questions.items())
    return Candidate(shape, models, cost_of(basis, shape, models), max(found, key=lambda one: one.se), asked)


def _distinct(ordered: Sequence[Candidate]) -> list[Candidate]:
    """The best of each number of repetitions, of each number of prompts, and of each number of models."""
    kept: dict[int, Candidate] = {}
    for key in (
        lambda one: one.shape.repetitions,
        lambda one: one.shape.levels.get("prompt", 1),
        lambda one: len(one.models),
    ):
        seen = set()
        for one in ordered:
            if key(one) not in seen:
                seen.add(key(one))
                kept[id(one)] = one
    return [one for one in ordered if id(one) in kept]
