"""`runner plan --show`: requests as their models would get them, word for word, and what was dropped and why."""

from __future__ import annotations

import difflib
import json
from itertools import islice
from typing import TYPE_CHECKING

from runner.cli.arguments import PLACE
from runner.cli.output import say
from runner.errors import ConfigError
from runner.plan.trials import endpoint_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.plan.job import TrialPlan
    from runner.records import Json, Trial

LOOKED_AT = 100_000
"""Trials that are looked through for one that was named."""
NEAR = 3
"""Trials that are named where the one that was asked for is not there."""
RUNGS = {
    "schema": "a JSON schema, which the API enforces",
    "tool": "a tool that the model must call, with the JSON schema as its arguments",
    "json_object": "JSON mode; the shape is in the prompt",
    "prompt": "the shape is in the prompt alone",
}
"""How structure is asked for, in words."""


class UnknownTrialError(ConfigError):
    """No trial bears the name; `near` are those that are named most like it."""

    def __init__(self, name: str, near: Sequence[str]) -> None:
        self.near = tuple(near)
        message = f"no trial is named '{name}'; the nearest: {', '.join(near)}"
        super().__init__(message, where=PLACE, advice=f"runner plan --show {near[0]}")


def show(plans: Sequence[TrialPlan], trial: str) -> None:
    """Print the requests. ConfigError where no trial bears the name."""
    for place, one in enumerate(chosen(plans, trial)):
        if place:
            say("")
        for line in lines_of(one):
            say(line)
    say("\nNothing was sent.")


def chosen(plans: Sequence[TrialPlan], name: str) -> list[Trial]:
    """The first trial of each model and prompt, or of each job that has it the one that is named.

    A name is MODEL/PERSONA/TEXT/REPETITION; what is left out at its end may be anything.
    """
    if not name:
        return [*_first_of_each(plans)]
    found = list({one.key: one for plan in plans if (one := _named(plan, name)) is not None}.values())
    if found:
        return found
    known = {name_of(one): one for plan in plans for one in islice(plan.trials(), LOOKED_AT)}
    raise UnknownTrialError(name, difflib.get_close_matches(name, known, n=NEAR, cutoff=0.0))


def _first_of_each(plans: Sequence[TrialPlan]) -> Iterator[Trial]:
    seen = set()
    for plan in plans:
        for model in plan.experiment.models:
            wanted = {prompt.name for prompt in plan.experiment.prompts}
            for trial in plan.trials(model):
                # A sweep may give one name several ids.
                place = (model.name, model.provider, model.id, trial.cell.prompt)
                if place not in seen:
                    seen.add(place)
                    yield trial
                wanted.discard(trial.cell.prompt)
                if not wanted:
                    break


def _named(plan: TrialPlan, name: str) -> Trial | None:
    wanted = name.strip("/") + "/"
    return next((one for one in plan.trials() if f"{name_of(one)}/".startswith(wanted)), None)


def name_of(trial: Trial) -> str:
    """MODEL/PERSONA/TEXT/REPETITION, and /QUESTION where each has a request of its own."""
    alone = "" if trial.question is None else f"/{trial.question}"
    return f"{trial.cell.name}/{trial.text.name}/{trial.repetition}{alone}"


def lines_of(trial: Trial) -> Iterator[str]:
    """One request: who is asked, how structure is asked for, the parameters, what was dropped, the messages."""
    yield name_of(trial)
    facts = list(_facts(trial))
    width = max(len(name) for name, _ in facts)
    yield from (f"  {name:{width}}  {value}" for name, value in facts)
    for message in trial.adapted.request.messages:
        yield f"--- {message['role']} ---"
        yield message["content"]


def _facts(trial: Trial) -> Iterator[tuple[str, str]]:
    adapted = trial.adapted
    yield "model", f"{adapted.request.model_id} at {endpoint_of(trial.cell.model)}"
    yield "key", trial.key
    yield "structure", f"{adapted.rung}: {RUNGS[adapted.rung]}"
    for name, value in adapted.request.params.items():
        yield name, _written(value)
    for item in adapted.dropped:
        yield "dropped", f"{item.parameter} ({_written(item.value)}): {item.reason}"
    if not adapted.dropped:
        yield "dropped", "nothing"


def _written(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
