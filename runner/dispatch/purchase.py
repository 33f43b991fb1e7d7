"""Buying what the ledger lacks: claimed by one process, sent once, kept before it is looked at.

Several processes may want the same request. Each claims what it is about to buy; the rest it waits for, and takes over
where the one who claimed it gave up or died.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from runner import process
from runner.dispatch import live
from runner.errors import ConfigError, FatalError, LedgerError
from runner.providers import embedded
from runner.providers.codec import Decoders

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import FrameType

    from runner.ledger.answers import Ledger
    from runner.ledger.batch_records import BatchRecord
    from runner.ledger.batches import BatchStore
    from runner.plan.job import TrialPlan
    from runner.records import Answer, Batch, Experiment, Failure, Model, Trial

LEASE_S = 60.0
"""How long a claim lasts unless it is renewed: what a machine that vanished keeps the others waiting."""
BATCHES = Path("outputs/batches")
"""Where the lines of batches are kept, as they were sent and as they came."""
LOOK_AGAIN_S = 0.5
"""Seconds between two looks at what another process is buying."""
HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""Tells that the terminal has gone; Windows has none."""


class Watcher(live.Observer, Protocol):
    """Who is told what happens, batches included."""

    def batch(self, entry: BatchRecord) -> None:
        """Something about a batch has changed."""


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
    stop: live.Stop = field(default_factory=live.Stop)
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


def models_of(experiments: Iterable[Experiment]) -> list[Model]:
    """Every model of the experiments once, in order."""
    found: list[Model] = []
    for model in (model for experiment in experiments for model in experiment.models):
        if model not in found:
            found.append(model)
    return found


def check_key(model: Model) -> None:
    """ConfigError where the model's API key is not set: nothing has been sent yet."""
    try:
        live.api_key_of(model)
    except FatalError as error:
        where = f"model/{model.name}.yaml"
        raise ConfigError(str(error), where=where, key="key_env", advice=f"export {model.key_env}=...") from error


@dataclass(frozen=True, slots=True)
class _Order:
    """What a launch is buying, and with what."""

    plans: Sequence[TrialPlan]
    models: Sequence[Model]
    reached: Mapping[int, Model]
    """By a model's index: it, at the address where it answers."""
    ledger: Ledger
    counting: _Counting

    @property
    def batch(self) -> Batch:
        """How requests are grouped; jobs of one launch share their batches, so the first one's holds."""
        return self.plans[0].experiment.batch

    def trials(self, index: int, keys: set[str]) -> Iterator[Trial]:
        """The trials that go with the keys, each key once, in the order of the plan. Empties `keys` on its way."""
        return _trials(self.plans, self.models[index], keys)


def buy(plans: Sequence[TrialPlan], missing: Missing, ledger: Ledger, observer: Watcher, purchase: Purchase) -> None:
    """Send what is missing, and return when the answers are durable: ours, and those that others were buying.

    LedgerError where answers cannot be kept; everything else that happens is in `purchase`.
    """
    owner = f"{process.this()}|{os.urandom(4).hex()}"
    with ExitStack() as stack:
        stack.enter_context(interrupts(purchase.stop))
        stack.callback(ledger.release, owner)
        reached = {index: _reach(missing.models[index], stack) for index in missing.keys}
        stack.enter_context(renewing(ledger, owner))
        order = _Order(plans, missing.models, reached, ledger, _Counting(purchase, observer))
        for index, model in reached.items():
            observer.planned(model, len(missing.keys[index]))
        left = dict(missing.keys)
        while any(left.values()) and not purchase.stop.asked:
            _forget_the_dead(ledger)
            mine = {index: ledger.claim(keys, owner, LEASE_S) for index, keys in left.items()}
            others = {index: keys - mine[index] for index, keys in left.items()}
            if any(mine.values()):
                _dispatch(order, {index: keys for index, keys in mine.items() if keys})
                ledger.flush()
                purchase.last_kept_s = ledger.last_stored_s or purchase.last_kept_s
                ledger.release(owner)
                for index, keys in left.items():
                    _take_up(purchase, keys - others[index] if others[index] else keys, ledger)
            elif any(others.values()):
                time.sleep(LOOK_AGAIN_S)
            # Meanwhile another process has bought some of the rest, or has given up.
            left = {index: keys - ledger.lookup(keys) for index, keys in others.items()}
        if purchase.over_budget and _has_all(purchase, missing, ledger):
            purchase.over_budget = purchase.stop.asked = False  # the last answer spent it, and nothing was stopped


def _has_all(purchase: Purchase, missing: Missing, ledger: Ledger) -> bool:
    """Whether each key that was to be bought has its answer, or failed by itself."""
    failures = purchase.failures.items()
    failed = {key for key, failure in failures if failure.problem.kind != live.NOT_SENT}
    return all(keys - failed <= ledger.lookup(keys) for keys in missing.keys.values())


def _take_up(purchase: Purchase, asked: set[str], ledger: Ledger) -> None:
    """Count as bought what we asked for and got. Only after an interruption is the ledger asked which those are."""
    unanswered = purchase.failures.keys() | purchase.pending.keys() | purchase.others
    got = asked - unanswered if unanswered else asked
    if purchase.stop.asked:
        got = ledger.lookup(got)
    purchase.answers += len(got)
    purchase.bought = purchase.bought | got if purchase.bought else got


def clean_up(plans: Sequence[TrialPlan], models: Sequence[Model], ledger: Ledger, stop: live.Stop) -> None:
    """Have deleted at the providers what batches left there when a crash came just before their clean-up."""
    batch = plans[0].experiment.batch
    if stop.asked or batch.mode == "off" or not batch.cleanup or not any(model.capability.batch for model in models):
        return
    from runner.dispatch.batch import control
    from runner.dispatch.batch.dispatch import BatchContext
    from runner.ledger.batches import open_batches

    with open_batches(plans[0].experiment.ledger_url) as store, interrupts(stop):
        control.clean(BatchContext(store=store, ledger=ledger, folder=BATCHES, settings=batch), stop)


def _forget_the_dead(ledger: Ledger) -> None:
    """Free what processes of this machine claimed before they were killed, without waiting for the lease."""
    for owner in ledger.owners():
        claimer = process.parse(owner)
        if claimer is not None and process.has_ended(claimer):
            ledger.release(owner)


def open_keys(plans: Sequence[TrialPlan]) -> Mapping[str, str]:
    """Every key that a batch in the ledger's database may still answer, with the batch's id."""
    if not any(model.capability.batch for plan in plans for model in plan.experiment.models):
        return {}
    from runner.ledger.batches import open_batches

    with open_batches(plans[0].experiment.ledger_url) as store:
        return store.open_keys()


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
    with _book_of(order) as store:
        by_batch = {index: _for_batches(order, index, keys, store) for index, keys in mine.items()}

        async def run() -> None:
            task, loop = asyncio.current_task(), asyncio.get_running_loop()
            purchase.stop.drop = lambda: loop.call_soon_threadsafe(task.cancel) if task else None
            try:
                live_now = {index: keys - by_batch[index] if by_batch[index] else keys for index, keys in mine.items()}
                batched = _by_batches(order, by_batch, store)
                back, _ = await asyncio.gather(batched, _live(order, live_now))
                await _live(order, {index: keys & back for index, keys in by_batch.items()})
            finally:
                purchase.stop.drop = None

        try:
            with asyncio.Runner(loop_factory=live.new_loop) as loop:
                loop.run(run())
        except asyncio.CancelledError:
            purchase.stop.asked = True
            if store is not None:
                _leave(purchase, by_batch, store)


def _leave(purchase: Purchase, keys: Mapping[int, set[str]], store: BatchStore) -> None:
    """Take up from the book what a dispatch that was dropped left in batches: they run on."""
    held = store.open_keys()
    purchase.pending.update((key, held[key]) for some in keys.values() for key in some if key in held)


@contextmanager
def _book_of(order: _Order) -> Iterator[BatchStore | None]:
    """The book of batches, where a model of the launch has a batch API."""
    if not any(model.capability.batch for model in order.reached.values()):
        yield None
        return
    from runner.ledger.batches import open_batches

    with open_batches(order.plans[0].experiment.ledger_url) as store:
        yield store


def _for_batches(order: _Order, index: int, keys: set[str], store: BatchStore | None) -> set[str]:
    """Those of a model's keys that go by batch: all, or, when requests go live, those that an open batch holds."""
    if store is None or order.reached[index].capability.batch is None:
        return set()
    return keys if order.batch.mode == "native" else keys & store.open_keys().keys()


async def _live(order: _Order, keys: Mapping[int, set[str]]) -> None:
    lanes = [(order.reached[index], order.trials(index, some)) for index, some in keys.items() if some]
    if lanes:
        await live.dispatch(lanes, order.ledger.put, order.counting, order.counting.purchase.stop)


async def _by_batches(order: _Order, keys: Mapping[int, set[str]], store: BatchStore | None) -> set[str]:
    """Buy by batches; the keys that are to be sent live after all."""
    if store is None or not any(keys.values()):
        return set()
    from runner.dispatch.batch.dispatch import BatchContext, Wanted, dispatch

    some = {index: its for index, its in keys.items() if its}
    wanted = [Wanted(order.reached[index], its, order.trials(index, set(its))) for index, its in some.items()]
    news = order.counting.observer.batch
    context = BatchContext(store=store, ledger=order.ledger, folder=BATCHES, settings=order.batch, news=news)
    purchase = order.counting.purchase
    outcome = await dispatch(wanted, context, order.counting, purchase.stop, run=purchase.run_id)
    purchase.pending.update(outcome.pending)
    purchase.others |= outcome.others
    return outcome.live


@contextmanager
def interrupts(stop: live.Stop) -> Iterator[None]:
    """Ctrl-C, SIGTERM or the terminal's end: send nothing more and wait for what is in flight. Twice: drop that too."""
    terminals = [output for output in (1, 2) if os.isatty(output)]

    def asked(number: int, _frame: FrameType | None) -> None:
        if number == HANGUP:  # which the terminal and its shell may both send: the second asks for nothing more
            _turn_away(terminals)
        elif stop.asked and stop.drop is not None:
            stop.drop()
        elif stop.asked:
            raise KeyboardInterrupt(number)
        stop.asked = True

    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    # What is ignored stays so: nohup's runs outlive their terminal, and a shell's background jobs another's Ctrl-C.
    signals = [signal.SIGINT, signal.SIGTERM, *([HANGUP] if HANGUP is not None else [])]
    heard = [number for number in signals if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, asked) for number in heard}
    try:
        yield
    except KeyboardInterrupt:
        stop.asked = True
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _turn_away(terminals: Iterable[int]) -> None:
    """Have outputs whose terminal has gone lead nowhere: to print there would be an error, and end the run."""
    for output in terminals:
        if not os.isatty(output):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, output)
            os.close(nowhere)


@contextmanager
def renewing(ledger: Ledger, owner: str, lease_s: float = LEASE_S) -> Iterator[None]:
    """Keep an owner's claims alive from a thread.

    A ledger that is locked, or whose server restarts, is asked again: where the lease runs out meanwhile, another
    process buys the same.
    """
    ended = threading.Event()

    def run() -> None:
        pause_s = lease_s / 3
        while not ended.wait(pause_s):
            try:
                ledger.renew(owner, lease_s)
            except LedgerError:
                pause_s = min(LOOK_AGAIN_S, lease_s / 3)
            else:
                pause_s = lease_s / 3

    thread = threading.Thread(target=run, name="claims", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class _Counting:
    """Notes what leaves, comes and fails, stops at the budget's end, and passes every event on."""

    def __init__(self, purchase: Purchase, observer: Watcher) -> None:
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
            purchase.spent_usd += self.decoders.price(trial, answer) or 0.0
            if purchase.spent_usd >= purchase.budget_usd:
                purchase.over_budget = purchase.stop.asked = True
        self.observer.answered(trial, answer)

    def failed(self, trial: Trial, failure: Failure) -> None:
        self.purchase.failures[failure.key] = failure  # at once: a second Ctrl-C ends a dispatch without a result
        self.observer.failed(trial, failure)

    def waiting(self, model: Model, kind: str, wait_s: float, reason: str = "") -> None:
        self.observer.waiting(model, kind, wait_s, reason)
