"""Experiment -> cells -> trials with keys: what would be asked, before anything is sent.

The key of a trial is what makes an answer reusable: two trials with one key are one purchase, whatever job, route or
day they belong to. Everything here is a pure function of its arguments.
"""

from __future__ import annotations

import hashlib
import json
from itertools import product
from typing import TYPE_CHECKING

from runner.plan import nuisance
from runner.records import Cell, Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runner.records import Adapted, Experiment, Json, Model, Persona, PromptTemplate, Request, Sampling, Text

    Adapt = Callable[[Cell, Text, float, int | None, tuple[Mapping[str, Json], str | None]], Adapted]

KEY_VERSION = 1
"""Raised only when the same request would get another key; old answers are then no longer found."""

_REPETITION = '"repetition":'

DEFAULT_TEMPERATURE = 0.5
"""Where neither experiment, persona nor model file sets one."""


def endpoint_of(model: Model) -> str:
    """Who answers: the provider, its API where that is not its chat, and the address where it is not its own.

    The embedded model is the same wherever it is served, so its address is left out, and so is that of simulated
    providers, whose port is new with each rehearsal.
    """
    api = "" if model.capability.api == "chat" else f"+{model.capability.api}"
    if model.simulation is not None:
        return f"{model.provider}{api}@simulated:{model.simulation}"
    if model.api_base is None or model.provider == "embedded":
        return model.provider + api
    return f"{model.provider}{api}@{model.api_base.rstrip('/')}"


def key_of(request: Request, endpoint: str, repetition: int) -> str:
    """SHA-256, in hexadecimal, of the canonical JSON of the effective request, its endpoint and the repetition.

    Canonical: keys sorted, no white space, escaped to ASCII (so any string has one form, lone surrogates too).
    """
    return Keys(request, endpoint).of(repetition)


class Keys:
    """The keys of one request's repetitions: what they share is written out and hashed once."""

    __slots__ = ("_end", "_shared")

    def __init__(self, request: Request, endpoint: str) -> None:
        identity = {
            "version": KEY_VERSION,
            "endpoint": endpoint,
            "model": request.model_id,
            "messages": request.messages,
            "params": request.params,
            "repetition": 0,
        }
        canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        # Of the sorted keys only the version comes after the repetition.
        start, self._end = canonical.rsplit(_REPETITION + "0", 1)
        self._shared = hashlib.sha256((start + _REPETITION).encode("ascii"))

    def of(self, repetition: int) -> str:
        """The key of one repetition; see key_of."""
        digest = self._shared.copy()
        digest.update(f"{repetition}{self._end}".encode("ascii"))
        return digest.hexdigest()


def attempt_key(key: str, attempt: int) -> str:
    """The key under which a trial's nth answer is kept: its own for the first, one derived from it for every other."""
    return key if attempt == 1 else hashlib.sha256(f"{key}:attempt:{attempt}".encode("ascii")).hexdigest()


def temperature_of(sampling: Sampling, persona: Persona, text: Text, model: Model) -> float:
    """The experiment's temperature, else the persona's plus the text's shift, else the model's, else 0.5.

    A shift cannot take it below zero.
    """
    if sampling.temperature is not None:
        return sampling.temperature
    if persona.temperature is not None:
        # Rounded, because 0.1 + 0.2 is not 0.3 and the sum goes into the key.
        return max(0.0, round(persona.temperature + text.temperature_shift, 6))
    return model.temperature if model.temperature is not None else DEFAULT_TEMPERATURE


def cells_of(experiment: Experiment) -> tuple[Cell, ...]:
    """Every model with every persona and every prompt, models outermost."""
    several = bool(experiment.further_prompts)
    return tuple(
        Cell(
            name=f"{model.name}/{persona.name}" + (f"/{prompt.name}" if several else ""),
            model=model,
            persona=persona,
            sampling=experiment.sampling,
            prompt=prompt.name,
        )
        for model, persona, prompt in product(experiment.models, experiment.personas, experiment.prompts)
    )


def count_of(experiment: Experiment) -> int:
    """How many trials there are."""
    requests = sum(
        nuisance.repetitions_of(experiment, prompt, model) * len(questions_of(prompt))
        for model, prompt in product(experiment.models, experiment.prompts)
    )
    return len(experiment.personas) * len(experiment.texts) * requests


def questions_of(prompt: PromptTemplate) -> tuple[str | None, ...]:
    """The question of each request of a trial; None alone where one request asks all."""
    return tuple(question.name for question in prompt.questions) if prompt.ask == "separately" else (None,)


def trials_of(experiment: Experiment, adapt: Adapt) -> Iterator[Trial]:
    """All trials in the order of cells, texts, repetitions and questions that are asked alone, made one at a time.

    `adapt(cell, text, temperature, seed, (factors, question))` fits the prompt to the cell's model; `question` is the
    one that has a request of its own, or None. Repetitions share its result unless a seed, or what the design gives
    them, sets them apart. Prompts that start alike (one persona, many texts) come one after another, which lets a model
    server reuse what it has already read.
    """
    prompts = {prompt.name: prompt for prompt in experiment.prompts}
    for cell, (place, text) in product(cells_of(experiment), enumerate(experiment.texts)):
        endpoint = endpoint_of(cell.model)
        temperature = temperature_of(cell.sampling, cell.persona, text, cell.model)
        prompt = prompts[cell.prompt]
        made: dict[tuple[Json, ...], tuple[Mapping[str, Json], Adapted, Keys]] = {}
        repetitions = range(1, nuisance.repetitions_of(experiment, prompt, cell.model) + 1)
        for repetition, question in product(repetitions, questions_of(prompt)):
            seed = None if cell.sampling.seed is None else cell.sampling.seed + repetition - 1
            levels = nuisance.levels_of(experiment, prompt, cell.model, place, repetition)
            alike = (seed, question, *levels.values())
            if alike not in made:
                factors: Mapping[str, Json] = {"prompt": cell.prompt, **levels}
                adapted = adapt(cell, text, temperature, seed, (factors, question))
                made[alike] = factors, adapted, Keys(adapted.request, endpoint)
            factors, adapted, keys = made[alike]
            yield Trial(cell, text, repetition, adapted, keys.of(repetition), factors, question)
