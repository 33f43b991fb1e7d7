"""One batch from its draft to its clean-up. Each step is written down when it is taken, so that any process can go on.

Nothing is sent twice because an answer to the sending was lost: the provider is asked first whether it has the batch.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, assert_never

from runner.dispatch.batch.fetch import Results
from runner.dispatch.batch.polling import Left, Unreachable, Unsure, gives_up, waits
from runner.dispatch.retry import attempt
from runner.errors import ConfigError, FatalError, ProviderError, TransientError
from runner.ledger.batch_records import ItemEnding
from runner.providers.reply import without_key
from runner.records import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    import aiohttp

    from runner.dispatch.batch.polling import Waiting
    from runner.dispatch.observer import Keep
    from runner.ledger.batch_records import BatchRecord
    from runner.ledger.batches import BatchStore
    from runner.providers.batch.api import Account, BatchApi, Draft, Sent, Standing
    from runner.records import Answer, Batch, Model

T = TypeVar("T")

UNCLEAN = "not cleaned up yet"
FINDS = 16
"""Looks for a batch whose sending got no answer start after this part of `find_s`, and come ever later."""


@dataclass(slots=True, kw_only=True)
class BatchLifecycle:
    """What takes the batches of one model through their lives."""

    model: Model
    api: BatchApi
    account: Account
    fingerprint: str
    """The account's; see accounts.fingerprint."""
    http: aiohttp.ClientSession
    store: BatchStore
    ledger: Keep
    folder: Path
    settings: Batch
    waiting: Waiting
    clock: Callable[[], float]
    """Seconds since 1970."""
    answered: Callable[[str, Answer], str | None] = lambda _key, _answer: None
    """Told of each answer that was fetched; the launch that counts it as bought."""
    retrying: Callable[[str, float], None] = lambda _kind, _wait_s: None
    found: Callable[[BatchRecord], None] = lambda _entry: None
    """Told of a batch whose sending got no answer, and that its provider has."""
    news: Callable[[BatchRecord], None] = lambda _entry: None
    """Told whenever something about a batch has changed."""
    step: Callable[[str], None] = lambda _name: None
    """Told of each step as it is taken."""

    async def advance(self, entry: BatchRecord, *, wait: bool) -> BatchRecord:
        """Take a batch that was sent, or may have been, as far as it goes.

        With `wait`, until it has ended; without, it is looked at once. Left where it is still running, Unreachable
        where its provider does not answer, or refuses us.
        """
        while True:
            match entry.state:
                case "drafted":
                    entry = await self._recover(entry, wait=wait)
                case "sent":
                    entry = await self._wait(entry, wait=wait)
                case "ended":
                    entry = await self._collect(entry)
                case "collected":
                    return await self._clean(entry)
                case "lost":
                    return await self._look_again(entry)
                case "closed" | "unsent" | "refused":
                    return entry
                case _:
                    assert_never(entry.state)

    async def cancel(self, entry: BatchRecord) -> None:
        """Ask the provider to stop; the batch ends some time later. ProviderError where that does not work."""
        if (sent := entry.sent) is not None:
            await self._call(lambda: self.api.cancel(self.http, self.account, sent))

    # ---- sending

    async def send(self, entry: BatchRecord) -> BatchRecord:
        """Send a batch that was drafted just now: sent or refused; still drafted where nobody can tell. Or Left.

        It is sent once, unless the provider says that it took nothing: another try goes out under another id, so that
        one that shows late is told apart.
        """
        draft = self._draft(entry)

        async def once() -> Sent:
            self.step("sending")
            try:
                return await self.api.submit(self.http, self.account, draft)
            except TransientError as error:
                self.step("unanswered")
                if error.status == 429:
                    raise
                raise Unsure from error

        try:
            sent = await self._call(once)
        except Unsure:
            return entry
        except ProviderError as error:
            kind = "too_large" if error.status == 413 else error.kind
            return await self._refused(entry, kind, str(error))
        self.step("accepted")
        entry = await self._change(entry, state="sent", sent=sent)
        self.step("sent")
        return entry

    async def _refused(self, entry: BatchRecord, kind: str, message: str) -> BatchRecord:
        settled = [ItemEnding(n, "refused", kind, message) for n in range(entry.count)]
        return await self._change(entry, state="refused", note=message, settled=settled)

    async def _recover(self, entry: BatchRecord, *, wait: bool) -> BatchRecord:
        """A batch that may have been sent: the provider has it, or it was never sent."""
        for wait_s in waits(self.settings.first_poll_s, self.settings.max_poll_s):
            try:
                sent = await self._find(self._draft(entry))
            except TransientError as error:  # Anthropic's cannot be told apart while they run
                why = f"nobody can tell whether it was sent: {error}"
                if self.clock() > gives_up(entry, self.settings):
                    return await self._lost(entry, why)
                if not wait:
                    raise Left(why) from error
            except FatalError as error:
                raise Unreachable(Problem(error.kind, str(error))) from error
            else:
                break
            await self.waiting.pause(wait_s)
        if sent is None:
            return await self._change(entry, state="unsent", note="the provider never had it")
        entry = await self._change(entry, state="sent", sent=sent)
        self.found(entry)
        self.step("found")
        return entry

    async def look_for(self, entry: BatchRecord) -> BatchRecord:
        """A batch that counts as never sent, looked for once. One that shows so late is asked to stop.

        Its requests went out again meanwhile; what it has done is kept all the same. ProviderError where that fails.
        """
        with self._discreet():
            sent = await self.api.find(self.http, self.account, self._draft(entry))
        if sent is None:
            return entry
        note = "the provider had it after all, and listed it only after batch.find_s: its requests were sent again"
        entry = await self._change(entry, state="sent", sent=sent, note=note)
        await self.cancel(entry)
        return await self.advance(entry, wait=False)

    async def _find(self, draft: Draft) -> Sent | None:
        """Look for it as long as a list may lag behind."""
        until = self.clock() + self.settings.find_s
        for wait_s in waits(self.settings.find_s / FINDS, self.settings.find_s):
            sent = await self._call(lambda: self.api.find(self.http, self.account, draft))
            left_s = until - self.clock()
            if sent is not None or left_s <= 0:
                return sent
            await self.waiting.pause(min(wait_s, left_s))
        return None

    # ---- waiting

    async def _wait(self, entry: BatchRecord, *, wait: bool) -> BatchRecord:
        # One that was sent before may have ended long ago; a new one has not.
        pause_s = 0.0 if entry.standing is not None or not wait else None
        for wait_s in waits(self.settings.first_poll_s, self.settings.max_poll_s):
            await self.waiting.pause(wait_s if pause_s is None else pause_s)
            pause_s = None
            entry = await self._looked(entry, wait=wait)
            if entry.state != "sent":
                return entry
            if not wait:
                raise Left
        return entry

    async def _looked(self, entry: BatchRecord, *, wait: bool) -> BatchRecord:
        """The batch after a look at it: ended, lost, or as before."""
        is_late = self.clock() > gives_up(entry, self.settings)
        try:
            standing = await self._standing(entry)
        except TransientError as error:  # no news is not the end: a network may be away for hours
            if is_late:
                return await self._lost(entry, f"nothing is heard of it: {error}")
            if not wait:
                raise Left(f"cannot be looked at now: {error}") from error
            return entry
        except FatalError as error:
            if error.kind != "not_found":
                raise Unreachable(Problem(error.kind, str(error))) from error
            is_new = self.clock() < entry.created + self.settings.find_s
            return entry if is_new else await self._lost(entry, f"the provider does not know it: {error}")
        if standing.state != "running":
            entry = await self._change(entry, state="ended", standing=standing)
            self.step("ended")
            return entry
        if standing != entry.standing:
            entry = await self._change(entry, standing=standing)
        self.step("polled")
        if is_late:
            return await self._lost(entry, f"it is still {standing.word}, past its window and {self.settings.grace}")
        return entry

    async def _look_again(self, entry: BatchRecord) -> BatchRecord:
        """A batch that was given up is taken up again where it has ended after all."""
        if entry.sent is None:
            return entry
        try:
            standing = await self._standing(entry)
        except ProviderError:
            return entry
        if standing.state == "running":
            return entry
        return await self.advance(await self._change(entry, state="ended", standing=standing), wait=False)

    async def _lost(self, entry: BatchRecord, why: str) -> BatchRecord:
        sent = entry.sent.provider_id if entry.sent else ""
        message = (
            f"batch {entry.id} ({sent}) is given up: {why}. `runner collect` looks once more; "
            "the same run again looks once more, then buys its requests anew"
        )
        items = await asyncio.to_thread(self.store.items, entry.id)
        settled = [ItemEnding(item.n, "lost", "lost", message) for item in items if item.ending is None]
        return await self._change(entry, state="lost", note=message, settled=settled)

    async def _standing(self, entry: BatchRecord) -> Standing:
        sent = entry.taken
        standing = await self._call(lambda: self.api.standing(self.http, self.account, sent))
        return standing if standing.message is None else replace(standing, message=self._told(standing.message))

    # ---- collecting

    async def _collect(self, entry: BatchRecord) -> BatchRecord:
        sent, standing = entry.taken, entry.stood
        booked = await asyncio.to_thread(self.store.items, entry.id)
        results = Results(
            entry=entry,
            booked=booked,
            store=self.store,
            ledger=self.ledger,
            folder=self.folder,
            answered=self.answered,
            told=self._told,
            step=self.step,
            now=self.clock(),
        )
        try:
            await self._read(results, sent, standing)
        except ProviderError as error:
            raise Unreachable(Problem(error.kind, str(error))) from error
        self.step("fetched")
        rest = results.rest(standing.state, standing.kind, standing.message or "")
        await asyncio.to_thread(self.ledger.flush)
        entry = await self._change(entry, state="collected", settled=rest)
        self.step("collected")
        return entry

    async def _read(self, results: Results, sent: Sent, standing: Standing) -> None:
        """All that can be had of the results. Those that stay away for find_s were deleted, or are past their time."""
        until = self.clock() + self.settings.find_s
        for wait_s in waits(self.settings.find_s / FINDS, self.settings.find_s):
            try:
                await self._call(lambda: results.read(self.api.fetch(self.http, self.account, sent, standing)))
            except FatalError as error:
                if error.kind != "not_found":
                    raise
            else:
                return
            left_s = until - self.clock()
            if left_s <= 0:
                return
            await self.waiting.pause(min(wait_s, left_s))

    async def _clean(self, entry: BatchRecord) -> BatchRecord:
        """Only now, when every answer is durable. What cannot be deleted is no failure: a later run tries again."""
        sent, standing = entry.taken, entry.stood
        if self.settings.cleanup:
            try:
                await self._call(lambda: self.api.clean(self.http, self.account, sent, standing))
            except ProviderError as error:
                return await self._change(entry, note=f"{UNCLEAN}: {error}")
            except Left:
                return entry
            self.step("cleaned")
        return await self._change(entry, state="closed", note="" if entry.note.startswith(UNCLEAN) else None)

    # ---- how

    def _draft(self, entry: BatchRecord) -> Draft:
        return entry.draft(self.folder, datetime.fromtimestamp(entry.created, UTC).isoformat())

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        """Under the one retry policy; Left when the run is to stop between two attempts."""
        with self._discreet():
            return await attempt(
                call,
                self.model.limits,
                lambda kind, _attempt, wait_s: self.retrying(kind, wait_s),
                sleep=self.waiting.pause,
            )

    @contextmanager
    def _discreet(self) -> Iterator[None]:
        """Errors come out of it without the key."""
        try:
            yield
        except ProviderError as error:
            error.args = (self._told(str(error)),)
            raise

    def _told(self, said: str) -> str:
        return without_key(said, self.account.api_key, self.model.key_env)

    async def _change(self, entry: BatchRecord, **values: Any) -> BatchRecord:
        entry = await asyncio.to_thread(self.store.change, entry.id, **values)
        self.news(entry)
        return entry


def check_account(entry: BatchRecord, mine: str, until: float) -> None:
    """ConfigError where a batch was sent from another account than `mine`, a fingerprint.

    `until` is when the batch is given up, whoever asks: seconds since 1970.
    """
    if entry.account == mine:
        return
    name = entry.model.key_env
    message = (
        f"batch {entry.id} holds these requests and belongs to another account: it was sent to {entry.base} by account "
        f"{entry.account}, and the key that is set now makes account {mine}. "
        f"Is that key gone for good, the same run buys them anew after {_day(until)}, when batch.grace is over"
    )
    advice = f"export {name}=... (the key it was sent with), or: runner status" if name else "runner status"
    raise ConfigError(message, where=f"model/{entry.model.name}.yaml", key="key_env", advice=advice)


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
