"""The stages in order, for one job or for all jobs of a sweep at once.

plan -> look up -> dispatch what is missing -> score -> write each job's folder -> tables -> MLflow. Up to the dispatch
everything is planning; after it everything is a function of the ledger, so that running the same jobs again sends
nothing and writes the same results.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from runner import aggregate, capability, live, plan, transcript
from runner.errors import ConfigError, FatalError
from runner.ledger import open_ledger
from runner.prompt import PromptManager
from runner.providers import embedded
from runner.records import Failure, Problem
from runner.rows import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from runner.aggregate import Tally
    from runner.ledger import Ledger
    from runner.live import Observer
    from runner.records import Adapted, Answer, Cell, Experiment, Model, Row, Text, Trial

ROWS_AT_A_TIME = 500
"""Answers read from the ledger at once."""


@dataclass(frozen=True, slots=True)
class Job:
    """One experiment of a launch, with the folder that its results go to."""

    index: int
    experiment: Experiment
    folder: Path
    overrides: tuple[str, ...] = ()


@dataclass(slots=True)
class Counts:
    """What happened to a job's trials. Names as in run.json."""

    trials: int = 0
    scored: int = 0
    unscorable: int = 0
    failed: int = 0
    from_ledger: int = 0
    collapsed: int = 0
    """Trials that shared their request, and so their answer, with an earlier trial of the same launch."""
    price_usd: float | None = 0.0
    """Spent in this launch; None where a price is unknown."""

    def add(self, row: Row) -> None:
        """Count a row, except for `collapsed`, which the row does not know."""
        self.trials += 1
        setattr(self, row.outcome, getattr(self, row.outcome) + 1)
        self.from_ledger += row.source == "ledger"
        if row.source == "bought" and self.price_usd is not None:
            self.price_usd = None if row.price_usd is None else self.price_usd + row.price_usd


@dataclass(slots=True)
class JobResult:
    """A job's folder, counts and tally, once its results are written."""

    job: Job
    counts: Counts
    tally: Tally


@dataclass(slots=True)
class Launch:
    """One start of the program: its jobs and what was sent for them."""

    id: str
    command: str
    jobs: tuple[Job, ...]
    started: datetime
    requests_sent: int = 0
    """Attempts, the failed ones included."""
    first_sent_s: float | None = None
    last_kept_s: float | None = None
    interrupted: bool = False
    bought: set[str] = field(default_factory=set)
    failures: dict[str, Failure] = field(default_factory=dict)
    results: list[JobResult] = field(default_factory=list)

    @property
    def rate(self) -> float | None:
        """Requests bought a second, between the first sent and the last stored; None where nothing was bought."""
        if self.first_sent_s is None or self.last_kept_s is None or not self.bought:
            return None
        return len(self.bought) / max(self.last_kept_s - self.first_sent_s, 1e-9)


def launch(jobs: Sequence[Job], command: str, observer: Observer | None = None) -> Launch:
    """Run the jobs as one: buy each distinct missing request once, then write every job's results.

    ConfigError before any request where the input is wrong; LedgerError where answers cannot be kept. A trial that
    fails is counted in the results. `observer` is told of the dispatch.
    """
    this = Launch(id=uuid.uuid4().hex[:12], command=command, jobs=tuple(jobs), started=datetime.now(UTC))
    askers = [_Asker(job.experiment) for job in jobs]
    with open_ledger(jobs[0].experiment.ledger_url) as ledger:
        wanted = _wanted(askers)
        missing = wanted.keys() - ledger.lookup(wanted)
        if missing:
            _buy(this, _Purchase(askers, [(key, wanted[key]) for key in missing]), ledger, observer)
        seen: set[str] = set()
        for job, asker in zip(jobs, askers, strict=True):
            this.results.append(_write(this, job, asker, ledger, seen))
    return this


class _Asker:
    """An experiment with its prompt ready: gives trials, as often as they are needed, without keeping them."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.prompts = PromptManager(experiment.prompt)
        self.schema = self.prompts.reply_schema()

    def trials(self, model: Model | None = None) -> Iterator[Trial]:
        """All trials, or those of one model."""
        experiment = self.experiment if model is None else replace(self.experiment, models=(model,))
        return plan.trials_of(experiment, self._adapt)

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


# ---- dispatch -------------------------------------------------------------------------------------------------------


def _wanted(askers: Sequence[_Asker]) -> dict[str, int]:
    """Every distinct key of the launch, with the index of its model in `_models`."""
    models = _models(askers)
    wanted: dict[str, int] = {}
    for asker in askers:
        for model in asker.experiment.models:
            index = models.index(model)
            for trial in asker.trials(model):
                wanted.setdefault(trial.key, index)
    return wanted


def _models(askers: Sequence[_Asker]) -> list[Model]:
    """Every model of the launch once, in order."""
    models: list[Model] = []
    for model in (model for asker in askers for model in asker.experiment.models):
        if model not in models:
            models.append(model)
    return models


class _Purchase:
    """The keys to buy, by model, and the trials that go with them: each key is given once."""

    def __init__(self, askers: Sequence[_Asker], missing: Iterable[tuple[str, int]]) -> None:
        self.askers = askers
        self.left: dict[int, set[str]] = {}
        for key, index in missing:
            self.left.setdefault(index, set()).add(key)
        self.models = [(model, index) for index, model in enumerate(_models(askers)) if index in self.left]

    def trials(self, model: Model, index: int) -> Iterator[Trial]:
        left = self.left[index]
        for trial in (
            trial for asker in self.askers if model in asker.experiment.models for trial in asker.trials(model)
        ):
            if trial.key in left:
                left.discard(trial.key)
                yield trial


def _buy(this: Launch, purchase: _Purchase, ledger: Ledger, observer: Observer | None) -> None:
    """Send what is missing and return when the answers are durable."""
    _check_keys(model for model, _ in purchase.models)
    with ExitStack() as stack:
        lanes = [(_reach(model, stack), purchase.trials(model, index)) for model, index in purchase.models]
        counting = _Counting(this, observer)
        for model, index in purchase.models:
            counting.planned(model, len(purchase.left[index]))
        _dispatch(this, lanes, ledger, counting)
    ledger.flush()


def _check_keys(models: Iterable[Model]) -> None:
    """ConfigError for the first model whose API key is not set: nothing has been sent yet."""
    for model in models:
        try:
            live.api_key_of(model)
        except FatalError as error:
            where = f"model/{model.name}.yaml"
            raise ConfigError(str(error), where=where, key="key_env", advice=f"export {model.key_env}=...") from error


def _reach(model: Model, stack: ExitStack) -> Model:
    """The model at the address where it answers; starts the embedded one for as long as the stack is open."""
    if model.provider != "embedded" or model.api_base is not None:
        return model
    return replace(model, api_base=stack.enter_context(embedded.serve(model, threads=os.cpu_count() or 1)))


def _dispatch(this: Launch, lanes: Sequence[tuple[Model, Iterator[Trial]]], ledger: Ledger, observer: Observer) -> None:
    stop = live.Stop()

    async def run() -> None:
        with _first_interrupt_drains(stop):
            this.failures.update(await live.dispatch(lanes, ledger.put, observer, stop))

    try:
        asyncio.run(run())
    except (KeyboardInterrupt, asyncio.CancelledError):
        stop.asked = True
    this.interrupted = stop.asked


class _first_interrupt_drains:  # noqa: N801  reads as a clause: with _first_interrupt_drains(stop)
    """Ctrl-C or SIGTERM once: send nothing more and wait for what is in flight. Twice: drop that too."""

    def __init__(self, stop: live.Stop) -> None:
        self.stop = stop

    def __enter__(self) -> None:
        self.loop, self.task = asyncio.get_running_loop(), asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            self.loop.add_signal_handler(number, self._asked)

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self.loop.remove_signal_handler(number)

    def _asked(self) -> None:
        if self.stop.asked and self.task is not None:
            self.task.cancel()
        self.stop.asked = True


class _Counting:
    """Counts what leaves and what is kept, and passes every event on."""

    def __init__(self, this: Launch, observer: Observer | None) -> None:
        self.this = this
        self.observer = observer

    def planned(self, model: Model, count: int) -> None:
        if self.observer is not None:
            self.observer.planned(model, count)

    def sent(self, trial: Trial) -> None:
        self.this.requests_sent += 1
        if self.this.first_sent_s is None:
            self.this.first_sent_s = time.monotonic()
        if self.observer is not None:
            self.observer.sent(trial)

    def answered(self, trial: Trial, answer: Answer) -> None:
        self.this.bought.add(trial.key)
        self.this.last_kept_s = time.monotonic()
        if self.observer is not None:
            self.observer.answered(trial, answer)

    def failed(self, trial: Trial, failure: Failure) -> None:
        if self.observer is not None:
            self.observer.failed(trial, failure)

    def waiting(self, model: Model, kind: str, wait_s: float) -> None:
        if self.observer is not None:
            self.observer.waiting(model, kind, wait_s)


# ---- results --------------------------------------------------------------------------------------------------------


def _write(this: Launch, job: Job, asker: _Asker, ledger: Ledger, seen: set[str]) -> JobResult:
    """Score a job's answers and write its folder. `seen` holds the keys that earlier trials of the launch used."""
    result = JobResult(job, Counts(), aggregate.Tally())
    reader = Reader(this.id, job.index, asker.experiment.prompt)
    prices = {model.name: model.prices for model in asker.experiment.models}
    with transcript.RunFolder(job.folder, asker.experiment.prompt, prices) as folder:
        for trial, answer in _with_answers(asker.trials(), ledger):
            again = trial.key in seen
            row = _row(this, reader, trial, answer, again=again)
            seen.add(trial.key)
            result.counts.collapsed += again
            result.counts.add(row)
            result.tally.add(row)
            folder.add(row)
    aggregate.write_summary(aggregate.summary(result.tally), job.folder / "summary.csv")
    return result


def _row(this: Launch, reader: Reader, trial: Trial, answer: Answer | None, *, again: bool) -> Row:
    if answer is not None:
        return reader.row(trial, answer, "bought" if trial.key in this.bought and not again else "ledger")
    unsent = Failure(trial.key, Problem(live.NOT_SENT, "the run was interrupted before this request ended"), 0)
    return reader.failed(trial, this.failures.get(trial.key, unsent))


def _with_answers(trials: Iterator[Trial], ledger: Ledger) -> Iterator[tuple[Trial, Answer | None]]:
    while chunk := list(islice(trials, ROWS_AT_A_TIME)):
        answers = {answer.key: answer for answer in ledger.answers([trial.key for trial in chunk])}
        yield from ((trial, answers.get(trial.key)) for trial in chunk)
