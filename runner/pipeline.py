"""The stages in order, for one job or for all jobs of a sweep at once.

plan -> look up -> buy what is missing -> score -> write each job's folder -> tables. Up to the purchase everything is
planning; after it everything is a function of the ledger, so that running the same jobs again sends nothing and writes
the same results.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from runner.config import settings
from runner.config.database_urls import is_there
from runner.dispatch import purchase
from runner.dispatch.observer import NOT_SENT
from runner.dispatch.purchase import Missing
from runner.errors import BudgetError, ConfigError, LedgerError, RunnerError
from runner.ledger.answers import open_ledger
from runner.plan.estimate import estimate
from runner.plan.job import TrialPlan, models_of
from runner.plan.trials import attempt_key, count_of
from runner.providers.accounts import check_key
from runner.records import Failure, Problem
from runner.results import factors, files, manifest
from runner.results.again import earlier
from runner.results.again.attempts import Attempts
from runner.results.launch import PENDING, JobResult
from runner.results.rows import DAMAGED, Reader, damaged
from runner.results.summary import write_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from runner.dispatch.observer import Observer
    from runner.ledger.answers import Ledger
    from runner.plan.estimate import Estimate
    from runner.plan.job import Job
    from runner.records import Answer, Model, Row, Trial
    from runner.results.again.attempts import AttemptedTrial
    from runner.results.launch import Launch

    Lookup = Callable[[Sequence[str]], set[str]]

KEYS_AT_A_TIME = 1_000
"""Keys looked up in the ledger at once."""
ROWS_AT_A_TIME = 500
"""Answers read from the ledger at once."""


def launch(
    this: Launch, jobs: Sequence[Job], observer: Observer, *, begins: Callable[[Launch], None] = lambda _: None
) -> list[JobResult]:
    """Run jobs as one: buy each distinct missing request once, then write every job's results.

    A job that cannot be planned has its error in its result and takes no other down; where none can be planned, the
    first error is raised, before any request. LedgerError where answers cannot be kept. A trial that fails is counted.
    `begins` is called once, when the plan holds and nothing has been sent.
    """
    results = [JobResult.of(job) for job in jobs]
    this.results += results
    try:
        _launch(this, results, jobs, observer, begins)
    except RunnerError as error:  # a sweep shows and logs what it came to before this turn, and lists these jobs too
        for result in results:
            result.error = result.error or error
        raise
    return results


def _launch(
    this: Launch,
    results: Sequence[JobResult],
    jobs: Sequence[Job],
    observer: Observer,
    begins: Callable[[Launch], None],
) -> None:
    this.purchase.run_id = this.id
    limits = [job.experiment.budget_usd for job in jobs if job.experiment.budget_usd is not None]
    this.purchase.budget_usd = min(limits, default=None)
    url = jobs[0].experiment.ledger_url
    with ExitStack() as stack:
        # What is refused leaves nothing, not even an empty ledger.
        there = stack.enter_context(open_ledger(url)) if is_there(url) else None
        planned, missing = _plan(results, jobs, _lookup_of(there))
        plans = [plan for _, plan in planned]
        _check_ledger(this, planned, missing, there, observer)
        _check_budget(this, plans, there)
        ledger = there or stack.enter_context(open_ledger(url))
        this.begun = True
        begins(this)
        _forget_endings(this, (key for keys in missing.keys.values() for key in keys))
        if missing.keys:
            purchase.buy(plans, missing, ledger, observer, this.purchase)
        _ask_again(this, plans, ledger, observer)
        purchase.clean_up(plans, missing.models, ledger, this.purchase.stop)
        del missing  # all that was bought is in the purchase
        _write_all(this, planned, ledger)


def estimate_of(plans: Sequence[TrialPlan]) -> Estimate:
    """What a launch of the plans' experiments would buy. Sends nothing, writes nothing, and makes no ledger.

    ConfigError where a prompt cannot be rendered; LedgerError where the ledger cannot be read.
    """
    url = plans[0].experiment.ledger_url
    with ExitStack() as stack:
        return _estimate(plans, stack.enter_context(open_ledger(url)) if is_there(url) else None)


def rewrite(this: Launch, jobs: Sequence[Job]) -> list[JobResult]:
    """Write the results of jobs again from what the ledger has now. Sends nothing."""
    results = [JobResult.of(job) for job in jobs]
    this.results += results
    planned = [
        (result, TrialPlan(job.experiment, origin=job.origin)) for result, job in zip(results, jobs, strict=True)
    ]
    url = jobs[0].experiment.ledger_url
    if not is_there(url):
        raise _would_lose(this, f"{url} is gone")
    with open_ledger(url) as ledger:
        for job in jobs:
            had = earlier.answered_in(job.folder)
            if lost := len(had - ledger.lookup(had)):
                raise _would_lose(this, f"{ledger.place} lacks {lost} of the {len(had)} answers that {job.folder} has")
        _write_all(this, planned, ledger)
    return results


def _would_lose(this: Launch, why: str) -> RunnerError:
    """Results that are read again must not be fewer than they were."""
    lost = "read again, the rows would lose their replies, so they stay as they are"
    message = f"{why}; {lost}. Put a copy of the ledger back, or have them bought again"
    return LedgerError(message, advice=f"{this.command} ledger.missing=buy")


def _plan(
    results: Sequence[JobResult], jobs: Sequence[Job], lookup: Lookup
) -> tuple[list[tuple[JobResult, TrialPlan]], Missing]:
    """The jobs that can be asked, and every distinct key that the ledger lacks for them."""
    models = models_of(job.experiment for job in jobs)
    planned: list[tuple[JobResult, TrialPlan]] = []
    missing: dict[int, set[str]] = {}
    for result, job in zip(results, jobs, strict=True):
        try:
            plan = TrialPlan(job.experiment, origin=job.origin)
            lacking = _lacking_of(plan, models, lookup)
        except ConfigError as error:
            result.error = job.origin.placed(error)
            continue
        planned.append((result, plan))
        for index, keys in lacking.items():
            # Models that differ only in what is no part of a request, such as limits, want the same keys.
            for other in (at for at in missing if at != index and models[at].id == models[index].id):
                keys.difference_update(missing[other])
            if keys:
                missing.setdefault(index, keys).update(keys)
    if not planned:
        raise next(result.error for result in results if result.error is not None)
    return planned, Missing(models, missing)


def _lookup_of(ledger: Ledger | None) -> Lookup:
    """Which of some keys have an answer: none, where there is no ledger yet."""
    return (lambda _: set()) if ledger is None else ledger.lookup


def _estimate(plans: Sequence[TrialPlan], ledger: Ledger | None) -> Estimate:
    if ledger is None:
        return estimate(plans, _lookup_of(None))
    return estimate(plans, ledger.lookup, ledger.batches.open_keys(), partial(_left, ledger))


def _left(ledger: Ledger, plan: TrialPlan, trials: Sequence[Trial]) -> list[int]:
    """How often each of some trials may be asked again, as its answers so far are."""
    reader = Reader("", 0, plan.experiment.prompts)
    attempts = Attempts(reader, plan.experiment.ask_again, ledger.answers, lambda _: None, lambda _: False)
    read = attempts.read(trials)
    return [0 if one.wanted is None else attempts.most(one.trial) - one.wanted + 1 for one in read]


def _lacking_of(plan: TrialPlan, models: list[Model], lookup: Lookup) -> dict[int, set[str]]:
    """Keys without an answer, by the index of their model.

    ConfigError where a trial cannot be rendered, or a model that must be asked has no API key.
    """
    lacking = {models.index(model): _lacking(plan, plan.trials(model), lookup) for model in plan.experiment.models}
    asked = {index: keys for index, keys in lacking.items() if keys}
    for index in asked:
        check_key(models[index])
    return asked


def _lacking(plan: TrialPlan, trials: Iterator[Trial], lookup: Lookup) -> set[str]:
    """The distinct keys that have no answer; what has one is not kept in memory."""
    found: set[str] = set()
    while keys := [trial.key for trial in islice(trials, KEYS_AT_A_TIME)]:
        found.update(set(keys) - plan.answered(keys, lookup))
    return found


def _forget_endings(this: Launch, keys: Iterable[str]) -> None:
    """Forget how an earlier turn's requests ended that are now asked again."""
    if not this.seen:
        return
    for key in keys:
        this.purchase.failures.pop(key, None)
        this.purchase.pending.pop(key, None)
        this.seen.discard(_mark(key))


# ---- asking again ----------------------------------------------------------------------------------------------------


def _ask_again(this: Launch, plans: Sequence[TrialPlan], ledger: Ledger, observer: Observer) -> None:
    """Buy further attempts of what was named, and of replies that could not be read: all that are wanted at a time."""
    asking = [plan for plan in plans if plan.experiment.ask_again.is_on]
    models = models_of(plan.experiment for plan in asking)
    looked_at: set[str] | None = None
    tried: set[str] = set()
    while asking and not this.purchase.stop.asked:
        wanted: dict[int, set[str]] = {}
        numbers: set[int] = set()
        looking: set[str] = set()
        for index, one in _wanting(this, asking, models, ledger, looked_at):
            key = attempt_key(one.trial.key, one.wanted or 1)
            if key not in tried and not any(key in keys for keys in wanted.values()):
                wanted.setdefault(index, set()).add(key)
                numbers.add(one.wanted or 1)
                looking.add(one.trial.key)
        if not wanted:
            return
        tried.update(key for keys in wanted.values() for key in keys)
        _forget_endings(this, tried)
        further = [plan.attempt(number) for plan in asking for number in sorted(numbers)]
        purchase.buy(further, Missing(models, wanted), ledger, observer, this.purchase)
        looked_at = looking


def _wanting(
    this: Launch, plans: Sequence[TrialPlan], models: list[Model], ledger: Ledger, only: set[str] | None
) -> Iterator[tuple[int, AttemptedTrial]]:
    """The trials that want another attempt, each with the index of its model; `only`: those of these keys."""
    for plan in plans:
        attempts = _attempts_of(this, plan, ledger, Reader(this.id, 0, plan.experiment.prompts))
        for model in plan.experiment.models:
            trials = (trial for trial in plan.trials(model) if only is None or trial.key in only)
            while chunk := list(islice(trials, ROWS_AT_A_TIME)):
                for one in attempts.read(chunk):
                    if (one.wanted or 1) > 1:  # a first attempt that has no answer was just asked
                        yield models.index(model), one


def _attempts_of(this: Launch, plan: TrialPlan, ledger: Ledger, reader: Reader) -> Attempts:
    bought = this.purchase.bought
    return Attempts(
        reader,
        plan.experiment.ask_again,
        partial(_answers, this, ledger),
        partial(_ending_of, this),
        lambda key: key in bought,
    )


def _ending_of(this: Launch, key: str) -> Failure | None:
    """How a request ended that has no answer; None where it was not sent."""
    if batch := this.purchase.pending.get(key):
        return Failure(key, Problem(PENDING, f"batch {batch} still runs"), 0, "batch")
    return this.purchase.failures.get(key)


# ---- results --------------------------------------------------------------------------------------------------------


def _check_ledger(
    this: Launch,
    planned: Sequence[tuple[JobResult, TrialPlan]],
    missing: Missing,
    ledger: Ledger | None,
    observer: Observer,
) -> None:
    """LedgerError where what earlier runs had from the ledger is gone and would be bought again; or it is only said.

    What was forgotten is missed by nobody, and what the embedded model or simulated providers answer costs nothing.
    """
    first = planned[0][1].experiment
    if missing.keys and ledger is not None:
        ledger.check_whole()
    if not missing.keys or first.ledger_missing == "buy" or manifest.is_rehearsal(this.command):
        return
    keys = {key for some in missing.keys.values() for key in some}
    for line in ledger.rescued(keys) if ledger is not None else ():
        observer.notice(line)
    found = earlier.loss_of(
        earlier.LedgerDemand(
            manifest.without_password(first.ledger_url),
            keys,
            {count_of(plan.experiment) for _, plan in planned},
            lambda: {settings.identity_of(plan.experiment) for _, plan in planned},
            [result.folder for result, _ in planned],
        ),
        is_empty=ledger is None or ledger.is_empty(),
    )
    if found is None or (ledger is not None and ledger.has_forgotten(keys)):
        return
    is_paid = any(missing.models[index].provider != "embedded" for index in missing.keys)
    if is_paid and found.again and (found.is_empty or not _is_held(planned, ledger)):
        raise found.refusal(this.command)
    observer.notice(found.told)


def _is_held(planned: Sequence[tuple[JobResult, TrialPlan]], ledger: Ledger | None) -> bool:
    """Whether the ledger has an answer to any trial."""
    trials = (trial for _, plan in planned for trial in plan.trials())
    while ledger is not None and (keys := [trial.key for trial in islice(trials, KEYS_AT_A_TIME)]):
        if ledger.lookup(keys):
            return True
    return False


def _check_budget(this: Launch, plans: Sequence[TrialPlan], ledger: Ledger | None) -> None:
    """BudgetError where what is missing would cost more than is left, or nobody knows what it would cost."""
    limit = this.purchase.budget_usd
    if limit is None:
        return
    found = _estimate(plans, ledger)
    advice = re.sub(r"^runner(?: rehearse)?", "runner plan", re.sub(r" --plan[ =]\S+", "", this.command))
    if found.live_usd is None:
        unpriced = ", ".join(found.unpriced)
        raise BudgetError(f"budget.max_usd is set, but nobody knows the price of {unpriced}", advice=advice)
    whole = found.live_usd + this.purchase.spent_usd
    if whole > limit:
        raise BudgetError(f"this would cost about ${whole:.4g}, above budget.max_usd of ${limit:.4g}", advice=advice)


def _write_all(this: Launch, planned: Sequence[tuple[JobResult, TrialPlan]], ledger: Ledger) -> None:
    """Write every job's rows, then what is computed from them."""
    for result, plan in planned:
        _write(this, result, plan, ledger)
    for result, _ in planned:
        write_summary(result.summary(), result.folder / "summary.csv")


def _write(this: Launch, result: JobResult, plan: TrialPlan, ledger: Ledger) -> None:
    """Score a job's answers and write its rows and replies."""
    reader = Reader(this.id, result.index, plan.experiment.prompts, ledger=ledger.place)
    reader.factors = factors.of_job(this, result)
    prices = {model.name: model.prices for model in plan.experiment.models}
    trials = count_of(plan.experiment)
    with files.RunFolder(result.folder, plan.experiment.prompts, prices, trials=trials) as folder:
        asks_again = plan.experiment.ask_again.is_on
        rows = (
            _rows_asked_again(this, result, plan, reader, ledger) if asks_again else _rows(this, plan, reader, ledger)
        )
        for row, again in rows:
            if row.problem is not None and row.problem.kind == DAMAGED:
                this.purchase.failures[row.key] = Failure(row.key, row.problem, 0)
            result.counts.collapsed += again
            result.counts.add(row)
            result.note(row)
            folder.add(row)
    result.no_replies = reader.no_replies


def _rows(this: Launch, plan: TrialPlan, reader: Reader, ledger: Ledger) -> Iterator[tuple[Row, bool]]:
    """Each trial's row, and whether an earlier trial of the launch had its key."""
    for trial, answer in _with_answers(this, plan.trials(), ledger):
        mark = _mark(trial.key)
        again = mark in this.seen
        yield _row(this, reader, trial, answer, again=again), again
        # From here on the key stands among the seen ones, in a third of the room.
        this.seen.add(mark)
        this.purchase.bought.discard(trial.key)


def _rows_asked_again(
    this: Launch, result: JobResult, plan: TrialPlan, reader: Reader, ledger: Ledger
) -> Iterator[tuple[Row, bool]]:
    """Likewise, where trials may have several attempts."""
    attempts = _attempts_of(this, plan, ledger, reader)
    trials = plan.trials()
    while chunk := list(islice(trials, ROWS_AT_A_TIME)):
        for one in attempts.read(chunk):
            trial, mark = one.trial, _mark(one.trial.key)
            again = mark in this.seen
            row = attempts.row(one) or _row(this, reader, trial, None, again=again)
            if one.ended is not None and one.rows and one.ended.problem.kind != PENDING:
                result.lost_again[one.ended.problem.kind] += 1
            yield (_as_shared(row) if again else row), again
            this.seen.add(mark)
            for number in range(1, attempts.most(trial) + 1):
                this.purchase.bought.discard(attempt_key(trial.key, number))


def _as_shared(row: Row) -> Row:
    """The row of a trial whose answers an earlier trial of the launch has bought: here they cost nothing."""
    return replace(row, source="ledger", earlier_usd=0.0) if row.source == "bought" else row


def _mark(key: str) -> int:
    """A key as Launch.seen holds it."""
    return int(key[:32], 16)


def _row(this: Launch, reader: Reader, trial: Trial, answer: Answer | None, *, again: bool) -> Row:
    if answer is not None:
        return reader.row(trial, answer, "bought" if trial.key in this.purchase.bought and not again else "ledger")
    unsent = Failure(trial.key, Problem(NOT_SENT, "the run was interrupted before this request ended"), 0)
    return reader.failed(trial, _ending_of(this, trial.key) or unsent)


def _with_answers(this: Launch, trials: Iterator[Trial], ledger: Ledger) -> Iterator[tuple[Trial, Answer | None]]:
    while chunk := list(islice(trials, ROWS_AT_A_TIME)):
        answers = {answer.key: answer for answer in _answers(this, ledger, [trial.key for trial in chunk])}
        yield from ((trial, answers.get(trial.key)) for trial in chunk)


def _answers(this: Launch, ledger: Ledger, keys: Sequence[str]) -> Iterator[Answer]:
    """The answers of keys. One whose row is damaged has failed, and is not bought again before it is forgotten."""
    yield from ledger.answers(keys)
    for key in keys:
        if (why := ledger.damaged.get(key)) is not None:
            this.purchase.failures[key] = damaged(key, why, ledger.place)
