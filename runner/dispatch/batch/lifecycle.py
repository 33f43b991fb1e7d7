"""One batch from its draft to its clean-up. Each step is written down when it is taken, so that any process can go on.

Absence at one look is not absence: a batch that its provider does not know, and results that are not there, are looked
for again, ever later. Nothing is deleted before every result that the provider counts is stored.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, assert_never

from runner.dispatch.batch.fetch import Results
from runner.dispatch.batch.polling import Left, Unreachable, gives_up, looks, waits
from runner.dispatch.batch.sending import Sending
from runner.dispatch.retry import attempt
from runner.errors import ConfigError, FatalError, ProviderError, TransientError
from runner.ledger.batch_records import ItemEnding
from runner.providers.batch.api import Standing
from runner.records import Problem
from runner.redaction import raw_without_key, without_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    import aiohttp

    from runner.dispatch.batch.polling import Waiting
    from runner.dispatch.observer import Keep
    from runner.ledger.batch_records import BatchRecord
    from runner.ledger.batches import BatchStore
    from runner.providers.batch.api import Account, BatchApi
    from runner.records import Answer, Batch, Model

T = TypeVar("T")

UNCLEAN = "not cleaned up yet"
BUY = "to have such requests bought again, run the same command with batch.missing=buy"
UNAUTHORIZED = 401
"""The one status that no gateway's page explains: the key no longer holds."""


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
    sending: Sending = field(init=False)

    def __post_init__(self) -> None:
        self.sending = Sending(self)

    async def advance(self, entry: BatchRecord, *, wait: bool) -> BatchRecord:
        """Take a batch that was sent, or may have been, as far as it goes.

        With `wait`, until it has ended; without, it is looked at once. Left where it is still running, Unreachable
        where its provider does not answer, or refuses us.
        """
        while True:
            match entry.state:
                case "drafted":
                    entry = await self.sending.recover(entry, wait=wait)
                case "sent":
                    entry = await self._wait(entry, wait=wait)
                case "ended":
                    entry = await self._collect(entry, wait=wait)
                    if entry.state == "lost":
                        return entry
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
            await self.call(lambda: self.api.cancel(self.http, self.account, sent))

    async def send(self, entry: BatchRecord) -> BatchRecord:
        """Send a batch that was drafted just now: sent or refused; still drafted where nobody can tell. Or Left."""
        return await self.sending.send(entry)

    async def look_for(self, entry: BatchRecord) -> BatchRecord:
        """See Sending.look_for."""
        return await self.sending.look_for(entry)

    # ---- waiting

    async def _wait(self, entry: BatchRecord, *, wait: bool) -> BatchRecord:
        settings = self.settings
        # One that was sent before may have ended long ago; a new one has not.
        pause_s = 0.0 if entry.standing is not None or not wait else settings.first_poll_s
        pauses = waits(settings.first_poll_s, settings.max_poll_s)
        while True:
            await self.waiting.pause(pause_s)
            was_known = not _is_unknown(entry)
            entry = await self._looked(entry, wait=wait)
            if entry.state != "sent":
                return entry
            if not wait:
                raise Left
            if was_known and _is_unknown(entry):  # whether that stays so is soon to be seen
                pauses = waits(settings.first_poll_s, settings.max_poll_s)
            pause_s = next(pauses)

    async def _looked(self, entry: BatchRecord, *, wait: bool) -> BatchRecord:
        """The batch after a look at it: ended, lost, or as before."""
        is_late = self.clock() > gives_up(entry, self.settings)
        try:
            standing = await self._standing(entry)
        except TransientError as error:  # no news is not the end: a network may be away for hours
            if is_late:
                return await self.lost(entry, f"nothing is heard of it: {error}")
            if not wait:
                raise Left(f"cannot be looked at now: {error}") from error
            return entry
        except FatalError as error:
            if error.kind != "not_found":
                raise Unreachable(Problem(error.kind, error.explained)) from error
            return await self._unknown(entry, error, wait=wait)
        if standing.state != "running":
            note = "" if _is_unknown(entry) else None
            entry = await self.change(entry, state="ended", standing=standing, note=note)
            self.step("ended")
            return entry
        if standing != entry.standing:
            note = "" if _is_unknown(entry) else None
            entry = await self.change(entry, standing=standing, note=note)
        self.step("polled")
        if is_late:
            return await self.lost(entry, f"it is still {standing.word}, past its window and {self.settings.grace}")
        return entry

    async def _unknown(self, entry: BatchRecord, error: FatalError, *, wait: bool) -> BatchRecord:
        """The provider does not know the batch. One such answer may be a gateway's, or come too early."""
        now, was = self.clock(), entry.standing
        why = f"the provider does not know it ({error.status}): {error}"
        if was is None or not was.unknown:
            standing = was or Standing("running", "", 0, entry.count)
            seen = replace(standing, word="unknown", unknown=True, since=now)
            entry = await self.change(entry, standing=seen, note=why)
        elif now - max(entry.created, was.since or 0.0) > self.settings.find_s:
            return await self.lost(entry, why, kind="gone")
        if not wait:
            raise Left(f"{why}. It counts as gone if that is still so in {self.settings.find_s:.0f} s")
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
        return await self.advance(await self.change(entry, state="ended", standing=standing), wait=False)

    async def lost(self, entry: BatchRecord, why: str, *, kind: str = "lost") -> BatchRecord:
        """Give a batch up. `runner collect` looks at it once more, and so does the next run that wants its requests."""
        sent = entry.sent.provider_id if entry.sent else ""
        later = BUY if kind == "gone" else "the same run again looks once more, then buys its requests anew"
        message = f"batch {entry.id} ({sent}) is given up: {why}. `runner collect` looks once more; {later}"
        items = await asyncio.to_thread(self.store.items, entry.id)
        settled = [ItemEnding(item.n, "lost", kind, message) for item in items if item.ending is None]
        return await self.change(entry, state="lost", note=message, settled=settled)

    async def _standing(self, entry: BatchRecord) -> Standing:
        sent = entry.taken
        standing = await self.call(lambda: self.api.standing(self.http, self.account, sent))
        was = entry.standing
        if standing.state != "running":
            has_ended_before = was is not None and was.state == standing.state
            standing = replace(standing, since=was.since if was and has_ended_before else self.clock())
        return standing if standing.message is None else replace(standing, message=self._told(standing.message))

    # ---- collecting

    async def _collect(self, entry: BatchRecord, *, wait: bool) -> BatchRecord:
        """Fetch the results of a batch that has ended, whole: what is not there at one look is looked for again."""
        results = await self._results(entry)
        for pause_s in (0.0, *looks(self.settings)):
            if pause_s:
                await self.waiting.pause(pause_s)
                entry = await self._restood(entry)
            why = await self._read(results, entry)
            lacking = results.lacks(entry.stood)
            if not lacking:
                return await self._collected(entry, results)
            self.step("incomplete")
            if not wait:
                break
        why = why or f"{lacking} of its results cannot be found or read"
        if not wait and self.clock() - (entry.stood.since or 0.0) < sum(looks(self.settings)):
            raise Left(f"{why}. Nothing is deleted, and `runner collect` looks again")
        return await self._incomplete(entry, results, why)

    async def _results(self, entry: BatchRecord) -> Results:
        return Results(
            entry=entry,
            booked=await asyncio.to_thread(self.store.items, entry.id),
            store=self.store,
            ledger=self.ledger,
            folder=self.folder,
            answered=self.answered,
            told=self._told,
            redacted=self._redacted,
            step=self.step,
            now=self.clock(),
        )

    async def _restood(self, entry: BatchRecord) -> BatchRecord:
        """With its standing of now: where its results are may be told a moment after its end."""
        try:
            standing = await self._standing(entry)
        except ProviderError:
            return entry
        if standing.state == "running" or standing == entry.standing:
            return entry
        return await self.change(entry, standing=standing)

    async def _read(self, results: Results, entry: BatchRecord) -> str:
        """Take what is there of the results; why nothing was, or "". Unreachable where nothing can be had for now."""
        sent, standing = entry.taken, entry.stood
        try:
            await self.call(lambda: results.read(self.api.fetch(self.http, self.account, sent, standing)))
        except FatalError as error:
            if error.status == UNAUTHORIZED:
                raise Unreachable(Problem(error.kind, error.explained)) from error
            return f"its results cannot be fetched: {error}"
        except ProviderError as error:
            raise Unreachable(Problem(error.kind, error.explained)) from error
        return ""

    async def _collected(self, entry: BatchRecord, results: Results) -> BatchRecord:
        self.step("fetched")
        standing = entry.stood
        rest = results.rest(standing.state, standing.kind, standing.message or "")
        await asyncio.to_thread(self.ledger.flush)
        entry = await self.change(entry, state="collected", settled=rest, note="" if entry.state == "lost" else None)
        self.step("collected")
        return entry

    async def _incomplete(self, entry: BatchRecord, results: Results, why: str) -> BatchRecord:
        """Name what is missing, keep what is there, and leave everything at the provider."""
        standing = entry.stood
        message = (
            f"batch {entry.id} ({entry.taken.provider_id}) is {standing.word}, and its provider counts "
            f"{standing.done} of {entry.count} as done, yet {why}. Nothing of it was deleted; `runner collect` looks "
            f"once more; {BUY}"
        )
        await asyncio.to_thread(self.ledger.flush)
        return await self.change(entry, state="lost", note=message, settled=results.missing(message))

    async def _clean(self, entry: BatchRecord) -> BatchRecord:
        """Only now, when every answer is durable. What cannot be deleted is no failure: a later run tries again."""
        sent, standing = entry.taken, entry.stood
        if self.settings.cleanup:
            try:
                await self.call(lambda: self.api.clean(self.http, self.account, sent, standing))
            except ProviderError as error:
                return await self.change(entry, note=f"{UNCLEAN}: {error}")
            except Left:
                return entry
            self.step("cleaned")
        return await self.change(entry, state="closed", note="" if entry.note.startswith(UNCLEAN) else None)

    # ---- how

    async def call(self, call: Callable[[], Awaitable[T]]) -> T:
        """What a call gives, under the one retry policy; Left when the run is to stop between two attempts."""
        with self.discreet():
            return await attempt(
                call,
                self.model.limits,
                lambda kind, _attempt, wait_s: self.retrying(kind, wait_s),
                sleep=self.waiting.pause,
            )

    @contextmanager
    def discreet(self) -> Iterator[None]:
        """Errors come out of it without the key."""
        try:
            yield
        except ProviderError as error:
            error.args = (self._told(str(error)),)
            raise

    def _told(self, said: str) -> str:
        return without_key(said, self.account.api_key, self.model.key_env)

    def _redacted(self, raw: bytes) -> bytes:
        """Bytes that are kept, without the key."""
        return raw_without_key(raw, self.account.api_key, self.model.key_env)

    async def change(self, entry: BatchRecord, **values: Any) -> BatchRecord:
        """Write down what has changed, and tell of it."""
        entry = await asyncio.to_thread(self.store.change, entry.id, **values)
        self.news(entry)
        return entry


def _is_unknown(entry: BatchRecord) -> bool:
    return entry.standing is not None and entry.standing.unknown


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
