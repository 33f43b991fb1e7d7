"""A job: one experiment of a launch, its folder, and its trials, made as often as they are needed and never kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runner.plan import capability
from runner.plan.prompt import PromptManager
from runner.plan.trials import attempt_key, trials_of
from runner.records import REFUSED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from runner.records import Adapted, Cell, Experiment, Model, Persona, Request, Text, Trial


@dataclass(frozen=True, slots=True)
class Job:
    """One experiment of a launch, with the folder that its results go to."""

    index: int
    experiment: Experiment
    folder: Path
    overrides: tuple[str, ...] = ()


class _Asking:
    """How one kind of request is made: it asks all questions of a prompt, or one of them."""

    def __init__(self, experiment: Experiment, question: str | None) -> None:
        asked = tuple(one for one in experiment.prompt.questions if question in (None, one.name))
        self.experiment = experiment
        self.prompts = PromptManager(replace(experiment.prompt, questions=asked))
        self.schema = self.prompts.reply_schema()

    def adapt(self, cell: Cell, text: Text, temperature: float, seed: int | None) -> Adapted:
        return capability.adapt(
            self.prompts.get_prompt(cell.persona, text),
            cell.model,
            temperature=temperature,
            max_tokens=cell.sampling.max_tokens,
            seed=seed,
            schema=self.schema,
            strict=self.experiment.strict,
        )


class TrialPlan:
    """An experiment with its prompt ready. ConfigError where the prompt cannot be rendered.

    `rekeyed` gives each trial the key under which it is asked, where that is not its own.
    """

    def __init__(self, experiment: Experiment, rekeyed: Callable[[str], str] | None = None) -> None:
        self.experiment = experiment
        self.rekeyed = rekeyed
        prompt = experiment.prompt
        alone = [question.name for question in prompt.questions] if prompt.ask == "separately" else [None]
        self._asking: dict[str | None, _Asking] = {name: _Asking(experiment, name) for name in alone}

    def trials(self, model: Model | None = None) -> Iterator[Trial]:
        """All trials, or those of one model, in the order of the results."""
        experiment = self.experiment if model is None else replace(self.experiment, models=(model,))
        alone = {name: asking.adapt for name, asking in self._asking.items() if name is not None}
        own = trials_of(experiment, alone or self._asking[None].adapt)
        rekeyed = self.rekeyed
        return own if rekeyed is None else (replace(trial, key=rekeyed(trial.key)) for trial in own)

    def attempt(self, number: int) -> TrialPlan:
        """The same trials, asked for the nth time: each under the key of that attempt."""
        return TrialPlan(self.experiment, lambda key: attempt_key(key, number))

    def answered(self, keys: Sequence[str], lookup: Callable[[Sequence[str]], set[str]]) -> set[str]:
        """Those of some trials' keys for which nothing is to be asked before their answers are read.

        A refusal that came as an error is kept nowhere: where such are asked again, a later attempt's answer counts.
        """
        found, again = lookup(keys), self.experiment.ask_again
        if again.unscorable and REFUSED in again.kinds:
            for number in range(2, again.unscorable + 2):
                further = {attempt_key(key, number): key for key in keys if key not in found}
                found |= {further[key] for key in lookup([*further])} if further else set()
        return found

    def request_of(self, model: Model, persona: Persona, text: Text, question: str | None = None) -> Request:
        """What a model is sent to read, for display: its sampling is not the experiment's. Raises as get_prompt."""
        asking = self._asking[question]
        prompt = asking.prompts.get_prompt(persona, text)
        return capability.adapt(prompt, model, temperature=0.0, max_tokens=1, seed=None, schema=asking.schema).request

    def untold(self) -> list[str]:
        """Of each question whose range or options no request tells, the sentence that its prompt lacks."""
        return [sentence for asking in self._asking.values() for sentence in asking.prompts.untold()]


def models_of(experiments: Iterable[Experiment]) -> list[Model]:
    """Every model of the experiments once, in order."""
    found: list[Model] = []
    for model in (model for experiment in experiments for model in experiment.models):
        if model not in found:
            found.append(model)
    return found
