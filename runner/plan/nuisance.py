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

    from runner.records import Design, Experiment, Json, Model, Prompt, PromptTemplate, Question, Reading

    Order = tuple[int, ...]

DESIGN = "design."
"""How the names of nuisances begin."""
QUESTION_ORDER = "design.question_order"
PLACEMENT = "design.placement"
PLACES = ("system", "user")
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
    shuffled = sorted(range(pairs), key=lambda pair: _drawn(QUESTION_ORDER, seed, block, pair))
    return tuple(
        (2 * pair + 1, 2 * pair)
        if int(_drawn(QUESTION_ORDER, seed, block, pair, "mirror"), 16) % 2
        else (2 * pair, 2 * pair + 1)
        for pair in shuffled
    )


def _drawn(*what: object) -> str:
    return hashlib.sha256("/".join(map(str, what)).encode("ascii")).hexdigest()


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


def repetitions_of(experiment: Experiment, prompt: PromptTemplate, model: Model) -> int:
    """How often each text is asked of a cell: what is crossed multiplies sampling.trials."""
    design = experiment.design
    orders = len(orders_of(len(prompt.questions))) if _has_orders(design, prompt) else 1
    times = orders if design.question_order == "crossed" else 1
    times *= 2 if design.placement == "crossed" and _has_places(design, prompt, model) else 1
    return experiment.sampling.trials * times


def levels_of(
    experiment: Experiment, prompt: PromptTemplate, model: Model, text: int, repetition: int
) -> dict[str, Json]:
    """What one trial is given: {} where everything is as written. `text` is its place among the texts, from 0."""
    design = experiment.design
    found: dict[str, Json] = {}
    turn, number, orders, stands = repetition - 1, 0, 1, 0
    has_places = _has_places(design, prompt, model)
    if has_places and design.placement == "crossed":
        turn, stands = divmod(turn, len(PLACES))
    if _has_orders(design, prompt):
        every = orders_of(len(prompt.questions))
        if design.question_order == "crossed":
            turn, number = divmod(turn, len(every))
        else:
            number, orders = balanced(len(prompt.questions), design.seed, text, turn + 1), len(every)
        found[QUESTION_ORDER] = BETWEEN.join(prompt.questions[place].name for place in every[number])
    if has_places and design.placement == "balanced":
        stands = _place(design.seed, number, text // orders, turn // orders)
    if design.placement != "fixed" and prompt.system.strip():
        found[PLACEMENT] = PLACES[stands if has_places else 1]
    return found


def _place(seed: int, order: int, block: int, round_: int) -> int:
    """Which of PLACES: another one for an order and its mirror, in the next block of texts, and when all are through.

    So each order has both over two blocks, and a text has both in two repetitions.
    """
    return (int(_drawn(PLACEMENT, seed), 16) + order // 2 + order % 2 + block + round_) % 2


def _has_orders(design: Design, prompt: PromptTemplate) -> bool:
    return design.question_order != "fixed" and prompt.ask == "together" and len(prompt.questions) > 1


def _has_places(design: Design, prompt: PromptTemplate, model: Model) -> bool:
    return design.placement != "fixed" and bool(prompt.system.strip()) and model.capability.system != "merge"


def check(experiment: Experiment) -> None:
    """ConfigError where there is nothing to put in another order."""
    how = experiment.design.question_order
    if experiment.design.placement != "fixed" and not any(prompt.system.strip() for prompt in experiment.prompts):
        message = "no prompt has a system template: the persona stands in the user message as it is"
        raise ConfigError(message, where="group design", key="placement", advice="runner design.placement=fixed")
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
    return said + _priced_places(experiment)


def _priced_places(experiment: Experiment) -> list[str]:
    if experiment.design.placement == "fixed":
        return []
    models = [model.name for model in experiment.models if model.capability.system != "merge"]
    if not models:
        return [f"{PLACEMENT}: no model here has a system role, so that the persona opens every user message."]
    how = "spread over the trials: no further request"
    if experiment.design.placement == "crossed":
        how = "multiply requests by 2"
    return [f"{PLACEMENT}: {' and '.join(PLACES)} message {how} ({', '.join(models)})."]


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


def placed(prompt: Prompt, factors: Mapping[str, Json]) -> Prompt:
    """What is sent to a trial, or a row, of these factors: the persona in the system message, or opening the user's."""
    if factors.get(PLACEMENT) != PLACES[1] or not prompt.system:
        return prompt
    return replace(prompt, system="", user=f"{prompt.system}\n\n{prompt.user}")


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
