"""What a design is planned from: a run that is there, an experiment that was not run yet, or both.

From a run come its variance components, the mean price of a model's request as it was billed, and its command. From an
experiment come its models, personas and prices, as `runner plan` estimates them: from above. What neither tells is
taken from the study (ASSUMED), and said.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from runner.config.compose import conf_dir
from runner.plan.estimate import estimate
from runner.plan.job import TrialPlan
from runner.reporting.design.precision import REPETITION, TEXT, Shape
from runner.reporting.design.search import Basis
from runner.reporting.stats.components import components_of
from runner.reporting.stats.frame import codes_of, distinct, factors_of, questions_of, table
from runner.reporting.stats.of_run import scales_of
from runner.results import manifest, saved

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from runner.records import Experiment, Row
    from runner.reporting.stats.values import Components

ASSUMED: Mapping[frozenset[str], float] = {
    frozenset((TEXT,)): 23.06,
    frozenset((TEXT, "model")): 12.82,
    frozenset((TEXT, "persona")): 1.22,
    frozenset((TEXT, "model", "persona")): 3.87,
    REPETITION: 6.16,
}
"""Standard deviations in points of a scale of 0 to 100: the root mean squares over the four questions of the published
study (36 models, 4 personas, 3 texts, 10 repetitions; N. Shirahama, llm-emotional-individuality, CC BY 4.0), each
question fitted by REML with lme4 1.1-31 and by mixedlm 1.3.0, which agree to 0.02 points."""
STUDY_SCALE = 100.0
REPLACED = ("sampling.trials=", "hydra.run.dir=", "hydra.sweep.dir=")
"""Words of a run's command that are not a design's."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run tells. Without a run: no components, and no levels."""

    components: Mapping[str, Components | None]
    """Question -> its components; None where the run has too little for any."""
    widths: Mapping[str, float]
    """Question -> the width of its scale, in points."""
    levels: Mapping[str, int]
    """Axis -> its levels, the text among them."""
    repetitions: int
    prices: Mapping[str, float | None]
    """Model -> mean US dollars of its requests that have a price."""


@dataclass(frozen=True, slots=True)
class _DesignInput:
    """What is to be asked: as of a run, or of an experiment."""

    levels: Mapping[str, int]
    repetitions: int
    prices: Mapping[str, float | None]
    words: Sequence[str] | None
    texts: Sequence[str]


# ---- the three ways --------------------------------------------------------------------------------------------------


def of_run(folder: Path) -> Basis:
    """The basis that a run or a sweep gives. ConfigError where it has no results."""
    found, experiments = measured(folder)
    texts = [text.name for each in experiments for text in each.texts]
    asked = _DesignInput(found.levels, found.repetitions, found.prices, _words(folder, experiments), texts)
    return _basis(found, asked)


def of_experiment(experiment: Experiment, overrides: Sequence[str], run: Path | None = None) -> Basis:
    """The basis of an experiment that was composed from `overrides`, its components those of a run where one is named.

    ConfigError where its prompt cannot be rendered, or the run has no results.
    """
    widths = {each.name: each.high - each.low for each in experiment.questions if each.is_numeric}
    found = Measured(dict.fromkeys(widths), widths, {}, 1, {}) if run is None else measured(run)[0]
    levels = {
        "model": len(experiment.models), "persona": len(experiment.personas), TEXT: len(experiment.texts),
    }  # fmt: skip
    texts = [text.name for text in experiment.texts]
    return _basis(found, _DesignInput(levels, experiment.sampling.trials, prices_of(experiment), overrides, texts))


def measured(folder: Path) -> tuple[Measured, list[Experiment]]:
    """What a run's rows tell, and the experiments that they are of."""
    jobs = manifest.result_folders(folder)
    experiments = {
        place: saved.experiment_in(job) for place, job in enumerate(jobs) if (job / "experiment.json").is_file()
    }
    paid: dict[str, list[float | None]] = defaultdict(list)
    prompts: list[str] = []

    def rows() -> Iterator[Row]:
        for place, job in enumerate(jobs):
            first = experiments[place].prompt.name if place in experiments else ""
            for row in saved.rows_in(job):
                paid[row.model].append(row.price_usd)
                prompts.append(str(row.factors.get("prompt", first)))
                yield row

    whole = table(rows())
    frame = distinct(whole.assign(prompt=prompts))
    several = ("prompt",) if frame["prompt"].nunique() > 1 else ()
    factors = (*factors_of(frame), *several)
    cells = len(set(codes_of(frame, factors).tolist()))
    scales = scales_of(experiments.values())
    names = questions_of(frame)
    return (
        Measured(
            {name: components_of(frame, name, several) for name in names},
            {name: scales[name][1] - scales[name][0] if name in scales else STUDY_SCALE for name in names},
            {name: int(frame[name].nunique()) for name in factors} | {"model": len(paid)},
            max(1, round(len(frame) / cells)) if cells else 1,
            {name: _mean(prices) for name, prices in paid.items()},
        ),
        list(experiments.values()),
    )


def _mean(prices: Iterable[float | None]) -> float | None:
    known = [price for price in prices if price is not None]
    return sum(known) / len(known) if known else None


def prices_of(experiment: Experiment) -> dict[str, float | None]:
    """Model -> US dollars of one of its requests, as estimated from its file, by batch where that is asked for."""
    found = estimate([TrialPlan(experiment)], lambda _keys: set())
    native = experiment.batch.mode == "native"
    usd = {line.model: (line.batch_usd if native else line.live_usd, line.requests) for line in found.lines}
    return {name: None if whole is None else whole / max(1, count) for name, (whole, count) in usd.items()}


def _words(folder: Path, experiments: Sequence[Experiment]) -> tuple[str, ...] | None:
    """What the run was typed with; None where it is an import, or was made from Python in a way without a command."""
    if not experiments or not experiments[0].ledger_url:
        return None
    try:
        name, *words = shlex.split(str(manifest.open_run(folder).facts["command"]))
    except (KeyError, ValueError):
        return None
    return tuple(words) if name == "runner" else None


# ---- components ------------------------------------------------------------------------------------------------------


def _basis(found: Measured, asked: _DesignInput) -> Basis:
    """The basis, with what the run does not tell taken from the study."""
    axes = {name: size for name, size in asked.levels.items() if name != TEXT}
    shape = Shape(asked.levels.get(TEXT, 1), asked.repetitions, axes)
    questions, assumed = {}, dict[str, None]()
    for name, components in found.components.items():
        questions[name], lacking = variances_of(components, axes, found.widths.get(name, STUDY_SCALE))
        assumed |= dict.fromkeys(lacking)
    texts = tuple(dict.fromkeys(asked.texts))
    in_conf = all((conf_dir() / "text" / f"{name}.yaml").is_file() for name in texts)
    words = None if asked.words is None else tuple(word for word in asked.words if not word.startswith(REPLACED))
    return Basis(questions, shape, dict(asked.prices), words, texts if in_conf else (), tuple(assumed))


def variances_of(
    found: Components | None, axes: Mapping[str, int], width: float
) -> tuple[dict[frozenset[str], float], list[str]]:
    """Variances of every component that the axes bring, and sentences on those that are assumed."""
    variances = {} if found is None else _measured(found)
    known = frozenset(found.levels) if found is not None and TEXT in found.levels else frozenset()
    if TEXT not in known:
        variances = {factors: variance for factors, variance in variances.items() if factors == REPETITION}
    said, assumed = [], []
    crossed = [name for name, size in axes.items() if size > 1 and name != "prompt"]
    wanted = [frozenset((TEXT, *some)) for size in range(3) for some in combinations(crossed, size)]
    for factors in [*wanted, REPETITION]:
        if factors in variances or (factors and factors <= known):
            continue
        if factors in ASSUMED and not (factors == REPETITION and found is not None and found.confounded and known):
            variances[factors] = (ASSUMED[factors] * width / STUDY_SCALE) ** 2
            assumed.append(factors)
    if assumed:
        names = ", ".join(_name(factors) for factors in assumed)
        said.append(f"Assumed, as in the published study: {names}.")
    if found is not None and found.confounded and known:
        said.append("Each cell was asked once, so that repetitions are taken to tell nothing further.")
    if "prompt" not in known:
        said.append("No prompt was varied: prompts are taken to matter as much as personas do.")
        _split_off_prompts(variances)
    return variances, said


def _measured(found: Components) -> dict[frozenset[str], float]:
    """Squared points by factors. Where repetitions and the last interaction are one, they are the interaction."""
    whole = frozenset(found.levels)
    variances: dict[frozenset[str], float] = {}
    for part in found.parts:
        factors = whole if found.confounded and not part.factors else frozenset(part.factors)
        variances[factors] = variances.get(factors, 0.0) + part.sd**2
    return variances


def _split_off_prompts(variances: dict[frozenset[str], float]) -> None:
    """What a model's reading of a text owes to the prompt's wording, of which one prompt alone cannot be told apart."""
    triple = variances.get(frozenset((TEXT, "model", "persona")), ASSUMED[frozenset((TEXT, "model", "persona"))] ** 2)
    double = variances.get(frozenset((TEXT, "persona")), ASSUMED[frozenset((TEXT, "persona"))] ** 2)
    for factors, part in ((frozenset((TEXT, "model")), triple), (frozenset((TEXT,)), double)):
        if factors in variances:
            share = min(part, variances[factors])
            variances[factors] -= share
            variances[factors | {"prompt"}] = share


def _name(factors: frozenset[str]) -> str:
    order = (TEXT, "model", "persona")
    return " x ".join(sorted(factors, key=lambda one: order.index(one) if one in order else 9)) or "repetition"
