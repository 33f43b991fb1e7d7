"""Buying what the ledger lacks: claimed by one process, sent once, kept before it is looked at.

Several processes may want the same request. Each claims what it is about to buy; the rest it waits for, and takes over
where the one who claimed it gave up or died.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner import event_loop
from runner.dispatch import live
from runner.dispatch.interrupts import interrupts
from runner.dispatch.observer import NOT_SENT, Stop, Wanted
from runner.dispatch.resources import within_open_files
from runner.dispatch.retry import AccountBreakers
from runner.errors import LedgerError
from runner.providers import embedded
from runner.providers.codec import Decoders

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.dispatch.observer import Observer
    from runner.ledger.answers import Ledger
    from runner.ledger.batch_records import BatchRecord
    from runner.ledger.claims import Claims
    from runner.plan.job import TrialPlan
    from runner.records import Answer, Batch, Failure, Model, Trial

BATCHES = Path("outputs/batches")
"""Where the lines of batches are kept, as they were sent and as they came."""


@dataclass(slots=True)
class Purchase:
    """What happened while a launch bought its answers."""

    run_id: str = ""
    """The launch's own id; batches bear it."""
    budget_usd: float | None = None
    """Stop when this much is spent; None: no limit."""
    requests_sent: int = 0
    """Attempts, the failed ones included."""
    first_sent_s: float | None = None
    last_kept_s: float | None = None
    """When the last answer was durable; both on the monotonic clock."""
    spent_usd: float = 0.0
    """Counted only where there is a limit."""
    stop: Stop = field(default_factory=Stop)
    over_budget: bool = False
    bought: set[str] = field(default_factory=set)
    """Keys that were bought and whose rows are not written yet."""
    answers: int = 0
    """How many were bought in all."""
    failures: dict[str, Failure] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)
    """Key -> id of the batch that holds it and still runs."""
    others: set[str] = field(default_factory=set)
    """Keys whose answer came by a batch that another process fetched, and so counts as bought there."""

    @property
    def rate(self) -> float | None:
        """Requests bought a second, between the first sent and the last stored; None where nothing was bought."""
        if self.first_sent_s is None or self.last_kept_s is None or not self.answers:
            return None
        return self.answers / max(self.last_kept_s - self.first_sent_s, 1e-9)


@dataclass(frozen=True, slots=True)
class Missing:
    """What the ledger lacks."""

    models: Sequence[Model]
    """Every model of the launch."""
    keys: Mapping[int, set[str]]
    """By the index of their model, where there are any."""


@dataclass(frozen=True, slots=True)
class _Order:
    """What a launch is buying, and with what."""

    plans: Sequence[TrialPlan]
    models: Sequence[Model]
    reached: Mapping[int, Model]
    """By a model's index: it, at the address where it answers."""
    ledger: Ledger
    counting: _Counting
    accounts: AccountBreakers = field(default_factory=AccountBreakers)

    @property
    def batch(self) -> Batch:
        """How requests are grouped; jobs of one launch share their batches, so the first one's holds."""
        return self.plans[0].experiment.batch

    def trials(self, index: int, keys: set[str]) -> Iterator[Trial]:
        """The trials that go with the keys, each key once, in the order of the plan. Empties `keys` on its way."""
        return _trials(self.plans, self.models[index], keys)


def buy(plans: Sequence[TrialPlan], missing: Missing, ledger: Ledger, observer: Observer, purchase: Purchase) -> None:
    """Send what is missing, and return when the answers are durable: ours, and those that others were buying.

    LedgerError where answers cannot be kept; everything else that happens is in `purchase`.
    """
    from runner.ledger.claims import LOOK_AGAIN_S, renewing  # brings in SQLAlchemy, which whoever has a ledger has

    claims = ledger.claims
    with ExitStack() as stack:
        stack.enter_context(interrupts(purchase.stop))
        stack.callback(_let_go, claims)
        # The ledger's own files and thread first: what comes to an end later must not be what answers are stored with.
        ledger.get_ready()
        stack.enter_context(renewing(claims))
        reached, why = within_open_files({index: _reach(missing.models[index], stack) for index in missing.keys})
        order = _Order(plans, missing.models, reached, ledger, _Counting(purchase, observer))
        for index, model in reached.items():
            observer.planned(model, len(missing.keys[index]))
        if why is not None:
            observer.notice(why)
        left = dict(missing.keys)
        while any(left.values()) and not purchase.stop.asked:
            claims.forget_the_dead()
            mine = {index: claims.claim(keys) for index, keys in left.items()}
            others = {index: keys - mine[index] for index, keys in left.items()}
            if any(mine.values()):
                _dispatch(order, {index: keys for index, keys in mine.items() if keys})
                ledger.flush()
                purchase.last_kept_s = ledger.last_stored_s or purchase.last_kept_s
                claims.release()
                for index, keys in left.items():
                    _take_up(purchase, keys - others[index] if others[index] else keys, ledger)
            elif any(others.values()):
                time.sleep(LOOK_AGAIN_S)
            # Meanwhile another process has bought some of the rest, or has given up.
            left = {index: keys - ledger.lookup(keys) for index, keys in others.items()}
        if purchase.over_budget and _has_all(purchase, missing, ledger):
            purchase.over_budget = purchase.stop.asked = False  # the last answer spent it, and nothing was stopped


def _let_go(claims: Claims) -> None:
    """Give up what is claimed; where the ledger does not take even that, the claims end with their lease."""
    with suppress(LedgerError):
        claims.release()


def _has_all(purchase: Purchase, missing: Missing, ledger: Ledger) -> bool:
    """Whether each key that was to be bought has its answer, or failed by itself."""
    failures = purchase.failures.items()
    failed = {key for key, failure in failures if failure.problem.kind != NOT_SENT}
    return all(keys - failed <= ledger.lookup(keys) for keys in missing.keys.values())


def _take_up(purchase: Purchase, asked: set[str], ledger: Ledger) -> None:
    """Count as bought what we asked for and got. Only after an interruption is the ledger asked which those are."""
    unanswered = purchase.failures.keys() | purchase.pending.keys() | purchase.others
    got = asked - unanswered if unanswered else asked
    if purchase.stop.asked:
        got = ledger.lookup(got)
    purchase.answers += len(got)
    purchase.bought = purchase.bought | got if purchase.bought else got


def clean_up(plans: Sequence[TrialPlan], models: Sequence[Model], ledger: Ledger, stop: Stop) -> None:
    """Have deleted at the providers what batches left there when a crash came just before their clean-up."""
    batch = plans[0].experiment.batch
    if stop.asked or batch.mode == "off" or not batch.cleanup or not any(model.capability.batch for model in models):
        return
    from runner.dispatch.batch import control
    from runner.dispatch.batch.dispatch import BatchContext
    from runner.ledger.claims import renewing

    with interrupts(stop), renewing(ledger.claims):
        control.clean(BatchContext(store=ledger.batches, ledger=ledger, folder=BATCHES, settings=batch), stop)


def _trials(plans: Sequence[TrialPlan], model: Model, left: set[str]) -> Iterator[Trial]:
    """The trials that go with the keys, each key once, in the order of the plan."""
    mine = (plan for plan in plans if model in plan.experiment.models)
    for trial in (trial for plan in mine for trial in plan.trials(model)):
        if trial.key in left:
            left.discard(trial.key)
            yield trial


def _reach(model: Model, stack: ExitStack) -> Model:
    """The model at the address where it answers; starts the embedded one for as long as the stack is open."""
    if model.provider != "embedded" or model.api_base is not None:
        return model
    return replace(model, api_base=stack.enter_context(embedded.serve(model, threads=os.cpu_count() or 1)))


def _dispatch(order: _Order, mine: Mapping[int, set[str]]) -> None:
    """Send what was claimed, by batches and live side by side."""
    purchase = order.counting.purchase
    by_batch = _for_batches(order, mine)

    async def run() -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        purchase.stop.drop = lambda: loop.call_soon_threadsafe(task.cancel) if task else None
        try:
            live_now = {index: keys - by_batch.get(index, set()) for index, keys in mine.items()}
            back, _ = await asyncio.gather(_by_batches(order, by_batch), _live(order, live_now))
            await _live(order, {index: keys & back for index, keys in by_batch.items()})
        finally:
            purchase.stop.drop = None

    try:
        event_loop.run(run(), live.new_loop)
    except asyncio.CancelledError:
        purchase.stop.asked = True
        if by_batch:
            _leave(order, by_batch)


def _leave(order: _Order, by_batch: Mapping[int, set[str]]) -> None:
    """Take up from the ledger what a dispatch that was dropped left in batches: they run on."""
    held = order.ledger.batches.open_keys()
    wanted = (key for keys in by_batch.values() for key in keys)
    order.counting.purchase.pending.update((key, held[key]) for key in wanted if key in held)


def _for_batches(order: _Order, mine: Mapping[int, set[str]]) -> dict[int, set[str]]:
    """The keys that go by batch: all, or, when requests go live, those that an open batch holds."""
    able = {index: keys for index, keys in mine.items() if order.reached[index].capability.batch is not None}
    if not able or order.batch.mode == "native":
        return able
    held = order.ledger.batches.open_keys().keys()
    return {index: some for index, keys in able.items() if (some := keys & held)}


async def _live(order: _Order, keys: Mapping[int, set[str]]) -> None:
    lanes = [(order.reached[index], order.trials(index, some)) for index, some in keys.items() if some]
    if lanes:
        stop = order.counting.purchase.stop
        await live.dispatch(lanes, order.ledger, order.counting, stop, order.accounts)


async def _by_batches(order: _Order, keys: Mapping[int, set[str]]) -> set[str]:
    """Buy by batches; the keys that are to be sent live after all."""
    if not keys:
        return set()
    from runner.dispatch.batch.dispatch import BatchContext, dispatch

    wanted = [Wanted(order.reached[index], its, order.trials(index, set(its))) for index, its in keys.items()]
    ledger, purchase = order.ledger, order.counting.purchase
    context = BatchContext(
        store=ledger.batches, ledger=ledger, folder=BATCHES, settings=order.batch, news=order.counting.batch
    )
    outcome = await dispatch(
        wanted, context, order.counting, purchase.stop, run=purchase.run_id, accounts=order.accounts
    )
    purchase.pending.update(outcome.pending)
    purchase.others |= outcome.others
    return outcome.live


class _Counting:
    """Notes what leaves, comes and fails, stops at the budget's end, and passes every event on."""

    def __init__(self, purchase: Purchase, observer: Observer) -> None:
        self.purchase = purchase
        self.observer = observer
        self.decoders = Decoders()

    def planned(self, model: Model, count: int) -> None:
        """Said by `buy` already."""

    def sent(self, trial: Trial) -> None:
        self.purchase.requests_sent += 1
        if self.purchase.first_sent_s is None:
            self.purchase.first_sent_s = time.monotonic()
        self.observer.sent(trial)

    def answered(self, trial: Trial, answer: Answer) -> None:
        purchase = self.purchase
        if purchase.budget_usd is not None:
            purchase.spent_usd += self._price(trial, answer)
            if purchase.spent_usd >= purchase.budget_usd:
                purchase.over_budget = purchase.stop.asked = True
        self.observer.answered(trial, answer)

    def _price(self, trial: Trial, answer: Answer) -> float:
        known = self.decoders.price(trial, answer)
        if known is None:  # it does not say what it used, and a budget is not to be passed unseen
            from runner.plan.estimate import highest_price

            known = highest_price(trial, answer.route)
        return known or 0.0

    def failed(self, trial: Trial, failure: Failure) -> None:
        self.purchase.failures[failure.key] = failure  # at once: a second Ctrl-C ends a dispatch without a result
        self.observer.failed(trial, failure)

    def waiting(self, model: Model, kind: str, wait_s: float, reason: str = "") -> None:
        self.observer.waiting(model, kind, wait_s, reason)

    def batch(self, entry: BatchRecord) -> None:
        self.observer.batch(entry)

    def notice(self, line: str) -> None:
        self.observer.notice(line)
