"""What moves scores beside what is studied: which trial is given which order of questions.

A nuisance of `design` is fixed (as written), balanced (its levels are spread over the texts and repetitions that are
asked anyhow) or crossed (each trial is asked at every level, which multiplies requests). What a trial is given stands
in its `factors` under the setting's name, `design.question_order`, and changes its request and so its key.

Orders are those of a Williams design (1949): each question stands in each place equally often, and each follows each
equally often. n questions take n orders, or 2n where n is odd. They come in pairs, an order and its mirror, so that
even two trials of a text have each question as often before as after the middle.

    text      0 1 2 3 | 4 5 6 7     balanced, with seed 1: four orders a, b (mirror of a), c, d (mirror of c). In each
    first     c d b a | d c a b     repetition every block of as many texts as there are orders has each order once; in
    second    d c a b | c d b a     as many repetitions as there are orders every text has. The seed shuffles a block's
    third     b a c d | a b d c     pairs. Model, persona and prompt play no part, so that their levels are given the
    fourth    a b d c | b a c d     same orders; more repetitions, or more texts at the end, change no trial there is.
"""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from runner.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.records import Design, Experiment, Json, PromptTemplate, Question, Reading

    Order = tuple[int, ...]

QUESTION_ORDER = "design.question_order"
BETWEEN = ">"
"""Stands between the questions' names in the name of an order, as in joy>fear: no name holds it."""


# ---- orders ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def orders_of(count: int) -> tuple[Order, ...]:
    """A Williams design of so many items: its orders, as written first, each followed by its mirror.

    Each item is in each place equally often, and follows each other one equally often.
    """
    if count < 2:
        return (tuple(range(count)),)
    zigzag = [(place + 1) // 2 if place % 2 else -(place // 2) % count for place in range(count)]
    at = {item: place for place, item in enumerate(zigzag)}  # renamed, so that the first row is as written
    rows = [tuple(at[(item + shift) % count] for item in zigzag) for shift in range(count)]
    found: list[Order] = []
    for row in rows:
        if row not in found:
            found += [row, row[::-1]]
    return tuple(found)


@lru_cache(maxsize=4096)
def _pairs_of_block(pairs: int, seed: int, block: int) -> tuple[tuple[int, int], ...]:
    """A block's pairs of mirrored orders, each as the numbers of its two, shuffled. The same on any machine."""

    def drawn(*what: object) -> str:
        return hashlib.sha256("/".join(map(str, (QUESTION_ORDER, seed, block, *what))).encode("ascii")).hexdigest()

    shuffled = sorted(range(pairs), key=drawn)
    return tuple(
        (2 * pair + 1, 2 * pair) if int(drawn(pair, "mirror"), 16) % 2 else (2 * pair, 2 * pair + 1)
        for pair in shuffled
    )


def balanced(count: int, seed: int, text: int, repetition: int) -> int:
    """Which of `orders_of(count)` a trial is given; `text` is its place among the texts from 0, `repetition` from 1."""
    orders = len(orders_of(count))
    if orders == 1:
        return 0
    block, within = divmod(text, orders)
    pairs = _pairs_of_block(orders // 2, seed, block)
    turn, side = divmod(repetition - 1, 2)
    return pairs[(within // 2 + turn) % len(pairs)][(within + side) % 2]


# ---- of an experiment ------------------------------------------------------------------------------------------------


def repetitions_of(experiment: Experiment, prompt: PromptTemplate) -> int:
    """How often each text is asked of a cell with that prompt: what is crossed multiplies sampling.trials."""
    crossed = _has_orders(experiment.design, prompt) and experiment.design.question_order == "crossed"
    return experiment.sampling.trials * (len(orders_of(len(prompt.questions))) if crossed else 1)


def levels_of(experiment: Experiment, prompt: PromptTemplate, text: int, repetition: int) -> dict[str, Json]:
    """What one trial is given: {} where everything is as written."""
    design = experiment.design
    if not _has_orders(design, prompt):
        return {}
    count = len(prompt.questions)
    if design.question_order == "crossed":
        number = (repetition - 1) % len(orders_of(count))
    else:
        number = balanced(count, design.seed, text, repetition)
    return {QUESTION_ORDER: BETWEEN.join(prompt.questions[place].name for place in orders_of(count)[number])}


def _has_orders(design: Design, prompt: PromptTemplate) -> bool:
    return design.question_order != "fixed" and prompt.ask == "together" and len(prompt.questions) > 1


def check(experiment: Experiment) -> None:
    """ConfigError where there is nothing to put in another order."""
    how = experiment.design.question_order
    if how != "fixed" and not any(_has_orders(experiment.design, prompt) for prompt in experiment.prompts):
        message = f"{how}, and no prompt asks several questions in one request: there is no order"
        raise ConfigError(
            message, where="group design", key="question_order", advice="runner design.question_order=fixed"
        )


def priced(experiment: Experiment) -> list[str]:
    """A sentence a nuisance and prompt: it multiplies requests, or is spread over those that are bought anyhow."""
    said = []
    for prompt in experiment.prompts:
        if not _has_orders(experiment.design, prompt):
            continue
        orders, trials = len(orders_of(len(prompt.questions))), experiment.sampling.trials
        of_cell = len(experiment.texts) * trials
        about = f"{QUESTION_ORDER}, prompt {prompt.name}: {orders} orders"
        if experiment.design.question_order == "crossed":
            said.append(f"{about} multiply its requests by {orders}.")
            continue
        given = [
            balanced(len(prompt.questions), experiment.design.seed, text, repetition)
            for text in range(len(experiment.texts))
            for repetition in range(1, trials + 1)
        ]
        counts = sorted({given.count(order) for order in range(orders)})
        share = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
        even = "" if len(counts) == 1 else "; even where texts or sampling.trials are a multiple of the orders"
        once = "" if trials > 1 else "; its effect shows within a text only from sampling.trials=2 on"
        said.append(f"{about}, spread over a cell's {of_cell} trials, {share} each: no further request{even}{once}.")
    return said


# ---- of a trial ------------------------------------------------------------------------------------------------------


def as_given(prompt: PromptTemplate, factors: Mapping[str, Json]) -> PromptTemplate:
    """The prompt as a trial, or a row, of these factors was asked it: its questions in that order."""
    order = factors.get(QUESTION_ORDER)
    if not isinstance(order, str):
        return prompt
    names = order.split(BETWEEN)
    asked = {question.name: question for question in prompt.questions}
    if sorted(names) != sorted(asked):  # "fixed" in a job of a sweep over it
        return prompt
    return _ordered(prompt, tuple(asked[name] for name in names))


def _ordered(prompt: PromptTemplate, questions: tuple[Question, ...]) -> PromptTemplate:
    return prompt if questions == prompt.questions else replace(prompt, questions=questions)


def as_written(reading: Reading, questions: Sequence[Question]) -> Reading:
    """A reading with each of its mappings in the order in which the prompt's file has the questions."""
    changed: dict[str, Any] = {}
    for field in fields(reading):
        found = getattr(reading, field.name)
        if isinstance(found, dict):
            changed[field.name] = {one.name: found[one.name] for one in questions if one.name in found}
    return replace(reading, **changed)
