"""A job: one experiment of a launch, its folder, and its trials, made as often as they are needed and never kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runner.config.origin import UNKNOWN
from runner.errors import ConfigError
from runner.plan import capability, nuisance
from runner.plan.prompt import PromptManager
from runner.plan.trials import attempt_key, questions_of, trials_of
from runner.records import REFUSED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from runner.config.origin import Origin
    from runner.records import Adapted, Cell, Design, Experiment, Json, Model, PromptTemplate, Text, Trial


@dataclass(frozen=True, slots=True)
class Job:
    """One experiment of a launch, with the folder that its results go to."""

    index: int
    experiment: Experiment
    folder: Path
    origin: Origin = UNKNOWN
    """What it was composed from."""
    is_swept: bool = False
    """Whether it is one of a sweep's, whose other jobs may be asked by other processes."""

    @property
    def overrides(self) -> tuple[str, ...]:
        """The words that were typed for it."""
        return self.origin.words


class TrialPlan:
    """An experiment with its prompts ready. ConfigError where one cannot be rendered.

    `rekeyed` gives each trial the key under which it is asked, where that is not its own. `origin` is what the
    experiment was composed from: errors name the place where what they refuse was set.
    """

    def __init__(
        self, experiment: Experiment, rekeyed: Callable[[str], str] | None = None, origin: Origin = UNKNOWN
    ) -> None:
        self.experiment = experiment
        self.rekeyed = rekeyed
        self.origin = origin
        self._prompts: dict[tuple[Json, ...], ReadyPrompt] = {}
        try:
            nuisance.check(experiment)
            for prompt in experiment.prompts:
                for question in questions_of(prompt):
                    self.prompt({"prompt": prompt.name}, question).check(experiment.design)
        except ConfigError as error:
            raise origin.placed(error) from error.__cause__

    def trials(self, model: Model | None = None) -> Iterator[Trial]:
        """All trials, or those of one model, in the order of the results."""
        experiment = self.experiment if model is None else replace(self.experiment, models=(model,))
        own = trials_of(experiment, self._adapt)
        rekeyed = self.rekeyed
        return own if rekeyed is None else (replace(trial, key=rekeyed(trial.key)) for trial in own)

    def attempt(self, number: int) -> TrialPlan:
        """The same trials, asked for the nth time: each under the key of that attempt."""
        return TrialPlan(self.experiment, lambda key: attempt_key(key, number), self.origin)

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

    def prompt(self, factors: Mapping[str, Json], question: str | None = None) -> ReadyPrompt:
        """The prompt of a trial, or a row, of these factors; the first where none bears the name that they say.

        `question`: the one that is asked alone.
        """
        prompt = self.experiment.prompt_named(factors.get("prompt"))
        place = (prompt.name, question, factors.get(nuisance.QUESTION_ORDER))
        if place not in self._prompts:
            asking = nuisance.as_given(prompt, factors) if question is None else _alone(prompt, question)
            self._prompts[place] = ReadyPrompt(PromptManager(asking))
        return self._prompts[place]

    def untold(self) -> dict[str, str]:
        """The sentence that a prompt lacks -> that prompt: of each question whose range or options no request tells."""
        ready = {(name, question): one for (name, question, _), one in self._prompts.items()}
        return {sentence: str(name) for (name, _), one in ready.items() for sentence in one.manager.untold()}

    def _adapt(
        self, cell: Cell, text: Text, temperature: float, seed: int | None, of: tuple[Mapping[str, Json], str | None]
    ) -> Adapted:
        ready = self.prompt(*of)
        try:
            return capability.adapt(
                nuisance.placed(ready.manager.get_prompt(cell.persona, text), of[0]),
                cell.model,
                temperature=temperature,
                max_tokens=cell.sampling.max_tokens,
                seed=seed,
                schema=ready.schema,
                strict=self.experiment.strict,
            )
        except ConfigError as error:
            raise self.origin.placed(error) from error.__cause__


class ReadyPrompt:
    """A prompt's manager, with the schema of its replies."""

    __slots__ = ("manager", "schema")

    def __init__(self, manager: PromptManager) -> None:
        self.manager = manager
        self.schema = manager.reply_schema()

    def check(self, design: Design) -> None:
        """ConfigError where the questions are to change places, and the template has them written out in its own."""
        if design.question_order != "fixed" and len(self.manager.questions) > 1 and not self.manager.names("questions"):
            message = "the template does not name `questions`, so that design.question_order cannot change their order"
            advice = "runner design.question_order=fixed"
            raise ConfigError(message, where=self.manager.where, key="user", advice=advice)


def _alone(prompt: PromptTemplate, question: str) -> PromptTemplate:
    """The prompt as it asks one of its questions in a request of its own."""
    return replace(prompt, questions=tuple(one for one in prompt.questions if one.name == question))


def models_of(experiments: Iterable[Experiment]) -> list[Model]:
    """Every model of the experiments once, in order."""
    found: list[Model] = []
    for model in (model for experiment in experiments for model in experiment.models):
        if model not in found:
            found.append(model)
    return found
