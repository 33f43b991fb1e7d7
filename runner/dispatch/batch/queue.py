"""One model's trials on their way through batches: packed, sent, followed, and told apart when a batch has ended."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from runner.dispatch.batch.capacity import EnqueuedCapacity, most_bytes
from runner.dispatch.batch.next_action import by_next_action
from runner.dispatch.batch.packing import Pack, most_items, repack
from runner.dispatch.batch.polling import Left, Unreachable, window_of
from runner.dispatch.observer import NOT_SENT, STOPPED, repeats_key
from runner.dispatch.retry import Breaker
from runner.errors import LedgerError, ProviderError
from runner.ledger.batch_records import BatchRecord, ItemEnding, items_path
from runner.providers.refusals import error_for
from runner.records import Adapted, Failure, Problem, Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.dispatch.batch.lifecycle import BatchLifecycle
    from runner.dispatch.observer import Observer, Outcome, Wanted
    from runner.errors import Scope
    from runner.ledger.batch_records import BatchItem
    from runner.providers.codec import Codec
    from runner.records import Answer, Rung, Trial

SENDING = 4
"""Batches of one model that are uploaded at the same time."""
LOOK_AGAIN_S = 0.5
"""Seconds between two looks at a batch that another process works on."""
CAPACITY_S = 0.05
"""Seconds between two looks whether the account takes another batch."""
PAID = ("missing", "malformed")
"""Endings of requests that their provider ran."""
SHARE = 50
"""Trials that are packed before other queues get their turn."""


@dataclass(slots=True, kw_only=True)
class BatchQueue:
    """The run of one Wanted. `attached` are the keys that open batches hold already, with the batches' ids."""

    wanted: Wanted
    attached: Mapping[str, str]
    run_id: str
    codec: Codec
    lifecycle: BatchLifecycle
    observer: Observer
    outcome: Outcome
    trials: dict[str, Trial] = field(default_factory=dict)
    """Those that are neither answered nor failed, without their messages."""
    breaker: Breaker = field(default_factory=Breaker)
    stops: dict[str, Problem] = field(default_factory=dict)
    """What ended a model's batches, by its id and account: shared by the queues of its settings."""
    _group: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)
    _sending: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SENDING))
    _capacity: EnqueuedCapacity = field(init=False)
    _light: dict[Rung, Adapted] = field(default_factory=dict)
    _repeated: bool = False
    _fetched: set[str] = field(default_factory=set)
    """Those of `attached` whose answers were fetched here."""
    _holder: dict[str, str] = field(default_factory=dict)
    """Key -> the one batch whose ending counts here; an older one may hold the key too, with its own ending."""

    def __post_init__(self) -> None:
        self._holder.update(self.attached)
        self._capacity = EnqueuedCapacity(
            most_bytes=most_bytes(self.wanted.model.limits),
            settings=self.lifecycle.settings,
            pauses=self.lifecycle.waiting,
            again=self._relaunch,
            refuse=lambda item: self._fail(item.key, item.problem, item.attempt),
            begin=self._group.create_task,
        )

    async def run(self) -> None:
        """Until every batch has ended, or nobody waits for them any longer."""
        self.lifecycle.answered = self._answered
        self.lifecycle.found = self._found
        self.lifecycle.retrying = lambda kind, wait_s: self.observer.waiting(self.wanted.model, kind, wait_s)
        async with self._group:
            await self._feed()
            for batch in dict.fromkeys(self.attached.values()):
                self._group.create_task(self._attach(batch))
        self._capacity.give_up()

    # ---- packing

    async def _feed(self) -> None:
        pack = self._pack()
        for number, trial in enumerate(self.wanted.trials):
            self.trials[trial.key] = self._lightened(trial)
            if trial.key in self.attached:
                continue
            if (problem := self._closed()) is not None:
                self._fail(trial.key, problem, 0)
                continue
            try:
                body = self.codec.encode(trial.adapted.request)
            except ProviderError as error:
                self._fail(trial.key, Problem(error.kind, error.explained), 0)
                continue
            pack = await self._put(pack, trial.key, body)
            if number % SHARE == 0:
                await asyncio.sleep(0)
        await self._launch(pack)

    async def _put(self, pack: Pack, key: str, body: bytes) -> Pack:
        line = self.lifecycle.api.line(pack.next_id, body, self.wanted.model)
        if not pack.takes(line):
            await self._launch(pack)
            pack = self._pack()
            line = self.lifecycle.api.line(pack.next_id, body, self.wanted.model)
        try:
            pack.add(key, 1, line)
        except LedgerError:
            pack.discard()
            raise
        if len(pack.items) < pack.most_items:
            return pack
        await self._launch(pack)
        return self._pack()

    def _pack(self) -> Pack:
        limits = self.lifecycle.api.limits
        return Pack(
            self.lifecycle.folder, most_items(self.lifecycle.settings, limits), self._capacity.bound(limits.n_bytes)
        )

    def _closed(self) -> Problem | None:
        """Why nothing more is sent; None where it is."""
        if self.lifecycle.waiting.over:
            return Problem(NOT_SENT, "the run was interrupted before this request was sent")
        if (ended := self.stops.get(self._name)) is not None:
            return Problem(STOPPED, f"stopped: {ended.message}")
        if self.breaker.open is not None:
            return Problem(STOPPED, self.breaker.why)
        return None

    async def _launch(self, pack: Pack) -> None:
        """Write a pack down and send it beside whatever else happens."""
        if not pack.items:
            return
        problem = await self._await_capacity(pack)
        await self._sending.acquire()
        if (problem := problem or self._closed()) is not None:
            self._sending.release()
            self._capacity.held.pop(pack.id, None)
            pack.discard()
            for key, tried in pack.items:
                self._fail(key, problem, tried - 1)
            return
        entry = await self._drafted(pack)
        self._capacity.running += 1
        self._group.create_task(self._send(entry, pack))

    async def _await_capacity(self, pack: Pack) -> Problem | None:
        """Until the pack fits in beside the model's other batches, and counts among them; or why it will not."""
        while not self._capacity.has(pack.n_bytes) and self._closed() is None:
            if not self.lifecycle.settings.wait:
                held = "the model's other batches hold all that limits.enqueued_tokens allows"
                return Problem("token_limit", f"{held}: the same command sends this once they have ended")
            await asyncio.sleep(CAPACITY_S)
        self._capacity.held[pack.id] = pack.n_bytes
        return None

    async def _drafted(self, pack: Pack) -> BatchRecord:
        """Lines first, then the store: what the store names is there."""
        lifecycle = self.lifecycle
        await asyncio.to_thread(pack.seal)
        lifecycle.step("packed")
        entry = BatchRecord(
            id=pack.id,
            run=self.run_id,
            api=str(self.wanted.model.capability.batch),
            model=self.wanted.model,
            base=lifecycle.account.base,
            account=lifecycle.fingerprint,
            count=len(pack.items),
            window_s=window_of(lifecycle.settings.window_s, lifecycle.api.limits.windows_s),
            created=lifecycle.clock(),
            settings=lifecycle.settings,
        )
        await asyncio.to_thread(lifecycle.store.draft, entry, pack.items)
        await asyncio.to_thread(pack.name)
        self._holder.update((key, pack.id) for key, _ in pack.items)
        lifecycle.step("drafted")
        lifecycle.news(entry)
        return entry

    # ---- following

    async def _send(self, entry: BatchRecord, pack: Pack) -> None:
        try:
            try:
                entry = await self.lifecycle.send(entry)
                if (refusal := self.lifecycle.sending.refusals.get(entry.id)) is not None:
                    self._stop_for_money(Problem(refusal.kind, entry.note), refusal.scope)
            finally:
                self._sending.release()
            if entry.state == "sent":
                self.breaker.record_success()
                for key, _ in pack.items:
                    self.observer.sent(self.trials[key])
                self._capacity.go_on()
            if entry.state == "sent" and not self.lifecycle.settings.wait:
                await self._leave(entry)
            else:
                await self._follow(entry)
        except Left:
            await self._leave(entry)
        self._capacity.gone()

    async def _attach(self, batch: str) -> None:
        self._capacity.running += 1
        store = self.lifecycle.store
        entry = await asyncio.to_thread(store.entry, batch)
        self.lifecycle.news(entry)
        try:
            await self._take(batch)
            entry = await asyncio.to_thread(store.entry, batch)
            await self._follow(entry, was_lost=entry.state == "lost")
        except Left:
            await self._leave(entry)
        self._capacity.gone()

    async def _take(self, batch: str) -> None:
        """Until no other process works on it; Left where that is not waited for."""
        while not await asyncio.to_thread(self.lifecycle.store.take, batch):
            if not self.lifecycle.settings.wait:
                raise Left
            await self.lifecycle.waiting.pause(LOOK_AGAIN_S)

    async def _follow(self, entry: BatchRecord, *, was_lost: bool = False) -> None:
        store = self.lifecycle.store
        try:
            entry = await self.lifecycle.advance(entry, wait=self.lifecycle.settings.wait)
            # At once: two runs, each with a batch that the other waits for, would wait for ever.
            await asyncio.to_thread(store.release, entry.id)
            self._capacity.held.pop(entry.id, None)
            if entry.state != "refused":
                self._capacity.go_on()
        except Unreachable as away:
            await asyncio.to_thread(store.release, entry.id)
            self._capacity.held.pop(entry.id, None)
            self._stop_for_money(away.problem)
            for item in await self._mine(entry):
                self._fail(item.key, away.problem, item.attempt)
            return
        if was_lost and entry.state == "lost":
            await self._buy_anew(entry)
        elif entry.state == "unsent":
            await self._resend(entry)
        else:
            await self._tell_apart(entry)

    async def _resend(self, entry: BatchRecord) -> None:
        """A batch that never arrived goes out as another, as often as a request may be in one."""
        items = await self._mine(entry)
        most = self.lifecycle.settings.attempts
        problem = self.lifecycle.sending.error_of(entry)
        for item in items:
            if item.attempt >= most:
                message = f"{most} batches never arrived; the last time: {problem.message}"
                self._fail(item.key, Problem(problem.kind, message), item.attempt)
        again = [replace(item, attempt=item.attempt + 1) for item in items if item.attempt < most]
        await self._relaunch(entry, again)

    async def _buy_anew(self, entry: BatchRecord) -> None:
        """What becomes of the requests of a batch that an earlier run gave up, and that is no better now."""
        items = await self._mine(entry)
        paid = [item for item in items if item.ending in PAID or item.kind == "gone"]
        if len(paid) < len(items):  # let it not go on, if that can be helped
            with suppress(ProviderError):
                await self.lifecycle.cancel(entry)
            await self._relaunch(entry, [item for item in items if item not in paid])
        await self._apart(entry, paid)

    async def _leave(self, entry: BatchRecord) -> None:
        self._capacity.left = True
        self.outcome.pending.update((item.key, entry.id) for item in await self._mine(entry))

    async def _mine(self, entry: BatchRecord) -> list[BatchItem]:
        """Those of a batch's items that are wanted from it here; it may hold another run's too."""
        items = await asyncio.to_thread(self.lifecycle.store.items, entry.id)
        return [item for item in items if item.key in self.trials and self._holder.get(item.key) == entry.id]

    async def _tell_apart(self, entry: BatchRecord) -> None:
        """What becomes of each request of a batch that has ended."""
        items = await self._mine(entry)
        refusal = self.lifecycle.sending.refusals.get(entry.id)
        if entry.state == "refused" and items:
            is_accounts = refusal is not None and refusal.scope == "account"
            self.breaker.record_fatal(items[0].kind, entry.note, scope="account" if is_accounts else "model")
        for problem in {item.problem for item in items} if refusal is None else ():
            self._stop_for_money(problem)
        await self._apart(entry, items)

    def _stop_for_money(self, problem: Problem, scope: Scope | None = None) -> None:
        """Money or a long quota that is gone stops the account's models, or the one that has a quota of its own.

        `scope` None: of an item or a whole batch the store keeps the sentence alone, which is read again.
        """
        if problem.kind != "quota":
            return
        if scope is None:
            told = error_for(429, problem.message)
            scope = told.scope if told.kind == "quota" else "account"
        if scope != "account":
            self.stops[self._name] = problem
        self.breaker.record_fatal(problem.kind, problem.message, scope=scope)

    @property
    def _name(self) -> str:
        return f"{self.lifecycle.fingerprint} {self.wanted.model.id}"

    async def _apart(self, entry: BatchRecord, items: Sequence[BatchItem]) -> None:
        groups = by_next_action(items, self.lifecycle.settings)
        for item in groups["failed"]:
            self._fail(item.key, item.problem, item.attempt)
        if any(item.kind == "token_limit" for item in groups["failed"]):
            self._capacity.give_up()
        for item in groups["kept"] + groups["live"]:
            del self.trials[item.key]
        kept = {item.key for item in groups["kept"] if item.key in self.attached}
        self.outcome.others |= kept - self._fetched
        self.outcome.live.update(item.key for item in groups["live"])
        await self._relaunch(entry, groups["again"])
        await self._halve(entry, groups["smaller"])
        await self._capacity.later(entry, groups["later"])

    async def _halve(self, entry: BatchRecord, items: Sequence[BatchItem]) -> None:
        if len(items) == 1:
            self._fail(items[0].key, items[0].problem, items[0].attempt)
            items = ()
        middle = (len(items) + 1) // 2
        await self._relaunch(entry, items[:middle])
        await self._relaunch(entry, items[middle:])

    async def _relaunch(self, entry: BatchRecord, items: Sequence[BatchItem]) -> None:
        """Send items of an ended batch again, in a new one, from the lines on disk."""
        if not items:
            return
        if self.lifecycle.settings.mode == "off":
            self.outcome.live.update(item.key for item in items)
            for item in items:
                del self.trials[item.key]
            return
        folder = self.lifecycle.folder
        packs, torn = await asyncio.to_thread(repack, self._pack, folder, entry.id, items)
        if torn:
            path = items_path(folder, entry.id)
            message = f"{path} lacks what was sent before, or is damaged; the same run again makes it anew"
            # Even if the batch counts as lost: nothing else holds these.
            settled = [ItemEnding(item.n, "dropped", NOT_SENT, message) for item in torn]
            await asyncio.to_thread(self.lifecycle.store.change, entry.id, settled=settled)
            for item in torn:
                self._fail(item.key, Problem(NOT_SENT, message), item.attempt - 1)
        for pack in packs:
            await self._launch(pack)

    # ---- telling

    def _found(self, entry: BatchRecord) -> None:
        """Its requests were sent after all: by this run, unless it is an earlier one's."""
        if entry.run == self.run_id:
            for trial in [trial for key, trial in self.trials.items() if self._holder.get(key) == entry.id]:
                self.observer.sent(trial)

    def _lightened(self, trial: Trial) -> Trial:
        """The trial without what makes it large: tens of thousands are kept until their batches end."""
        rung = trial.adapted.rung
        light = self._light.setdefault(rung, Adapted(Request(self.wanted.model.id, (), {}), rung, {}, {}))
        return replace(trial, adapted=light)

    def _answered(self, key: str, answer: Answer) -> str | None:
        if (trial := self.trials.get(key)) is None:
            return None
        if key in self.attached:
            self._fetched.add(key)
        if answer.redacted and not self._repeated:
            self._repeated = True
            self.observer.notice(repeats_key(self.wanted.model))
        self.observer.answered(trial, answer)
        return self.run_id

    def _fail(self, key: str, problem: Problem, attempts: int) -> None:
        failure = Failure(key, problem, attempts, "batch")
        self.outcome.failures[key] = failure
        self.observer.failed(self.trials.pop(key), failure)
