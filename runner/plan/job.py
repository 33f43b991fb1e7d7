"""A job: one experiment of a launch, its folder, and its trials, made as often as they are needed and never kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runner.plan import capability
from runner.plan.prompt import PromptManager
from runner.plan.trials import trials_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from runner.records import Adapted, Cell, Experiment, Model, Text, Trial


@dataclass(frozen=True, slots=True)
class Job:
    """One experiment of a launch, with the folder that its results go to."""

    index: int
    experiment: Experiment
    folder: Path
    overrides: tuple[str, ...] = ()


class TrialPlan:
    """An experiment with its prompt ready. ConfigError where the prompt cannot be rendered."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.prompts = PromptManager(experiment.prompt)
        self.schema = self.prompts.reply_schema()

    def trials(self, model: Model | None = None) -> Iterator[Trial]:
        """All trials, or those of one model, in the order of the results."""
        experiment = self.experiment if model is None else replace(self.experiment, models=(model,))
        return trials_of(experiment, self._adapt)

    def _adapt(self, cell: Cell, text: Text, temperature: float, seed: int | None) -> Adapted:
        return capability.adapt(
            self.prompts.get_prompt(cell.persona, text),
            cell.model,
            temperature=temperature,
            max_tokens=cell.sampling.max_tokens,
            seed=seed,
            schema=self.schema,
            strict=self.experiment.strict,
        )


def models_of(experiments: Iterable[Experiment]) -> list[Model]:
    """Every model of the experiments once, in order."""
    found: list[Model] = []
    for model in (model for experiment in experiments for model in experiment.models):
        if model not in found:
            found.append(model)
    return found
