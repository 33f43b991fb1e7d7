"""A batch on its way to its provider: uploaded, created once, and looked for where nobody can tell whether it arrived.

What stands between us and a provider may answer in its place. So no error counts as the provider's word that it took
nothing, except where the API itself refuses the form of what it got; and even then one look makes sure.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runner.dispatch.batch.polling import Left, Unreachable, gives_up, waits
from runner.errors import FatalError, ProviderError, TransientError
from runner.ledger.batch_records import ItemEnding
from runner.providers.batch.api import PlainRefusalError
from runner.records import Problem

if TYPE_CHECKING:
    from runner.dispatch.batch.lifecycle import BatchLifecycle
    from runner.ledger.batch_records import BatchRecord
    from runner.providers.batch.api import Draft, Sent

FINDS = 16
"""Looks for a batch whose creation got no answer start after this part of `find_s`, and come ever later."""


class Unconfirmed(Exception):  # noqa: N818  as Left
    """Nobody can tell yet whether the provider has the batch; it says why."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """What came in place of the answer to a creation."""

    error: ProviderError
    files: tuple[str, ...]
    """What was uploaded for it."""


@dataclass(slots=True)
class Sending:
    """How the batches of one model get to their provider."""

    of: BatchLifecycle
    doubts: dict[str, Doubt] = field(default_factory=dict)
    """By the batch's id."""
    refusals: dict[str, ProviderError] = field(default_factory=dict)
    """Likewise, what a batch was refused with by this process."""

    async def send(self, entry: BatchRecord) -> BatchRecord:
        """Send a batch that was drafted just now: sent or refused; still drafted where nobody can tell. Or Left."""
        draft = self._draft(entry)
        try:
            files = await self._upload(draft)
        except ProviderError as error:  # without its items no batch was asked for
            return await self._refused(entry, error)
        self.of.step("sending")
        try:
            with self.of.discreet():
                sent = await self.of.api.create(self.of.http, self.of.account, draft, files)
        except ProviderError as error:
            self.of.step("unanswered")
            self.doubts[entry.id] = Doubt(error, files)
            return await self._doubted(entry)
        self.of.step("accepted")
        return await self._sent(entry, sent, "sent")

    async def recover(self, entry: BatchRecord, *, wait: bool) -> BatchRecord:
        """A batch that may have been sent: the provider has it, or it never got there. Left, Unreachable."""
        sent: Sent | None = None
        for wait_s in waits(self.of.settings.first_poll_s, self.of.settings.max_poll_s):
            try:
                sent = await self._find(entry)
            except (TransientError, Unconfirmed) as error:  # Anthropic's cannot be told apart while they run
                why = f"nobody can tell whether it was sent: {error}"
                if self.of.clock() > gives_up(entry, self.of.settings):
                    return await self.of.lost(entry, why)
                if not wait:
                    raise Left(why) from error
            except FatalError as error:
                if self._says_the_same(entry, error):
                    break
                raise Unreachable(Problem(error.kind, error.explained)) from error
            else:
                break
            await self.of.waiting.pause(wait_s)
        if sent is None:
            return await self._never_sent(entry)
        entry = await self._sent(entry, sent, "found")
        self.of.found(entry)
        return entry

    async def look_for(self, entry: BatchRecord) -> BatchRecord:
        """A batch that counts as never sent, looked for once. One that shows so late is asked to stop.

        Its requests went out again meanwhile; what it has done is kept all the same. ProviderError where that fails.
        """
        draft = await self._among(entry)
        with self.of.discreet():
            sent = await self.of.api.find(self.of.http, self.of.account, draft)
        if sent is None:
            return entry
        note = "the provider had it after all, and listed it only after a while: its requests were sent again"
        entry = await self.of.change(entry, state="sent", sent=sent, note=note)
        await self.of.cancel(entry)
        return await self.of.advance(entry, wait=False)

    def error_of(self, entry: BatchRecord) -> Problem:
        """Why a batch never arrived, as far as this process knows."""
        doubt = self.doubts.get(entry.id)
        if doubt is None:
            return Problem("connection", "the provider never had it")
        return Problem(doubt.error.kind, doubt.error.explained)

    # ---- uploading

    async def _upload(self, draft: Draft) -> tuple[str, ...]:
        """The items, uploaded once: after an attempt without an answer its file is looked for."""
        api, http, account = self.of.api, self.of.http, self.of.account
        tried = False

        async def once() -> tuple[str, ...]:
            nonlocal tried
            if tried and (there := await api.uploaded(http, account, draft)):
                await api.discard(http, account, there[1:])
                return there[:1]
            tried = True
            return await api.upload(http, account, draft)

        return await self.of.call(once)

    async def _discard(self, entry: BatchRecord, draft: Draft) -> None:
        """Leave no file of a batch that does not exist. Where that fails no more is made of it."""
        api, http, account = self.of.api, self.of.http, self.of.account
        doubt = self.doubts.get(entry.id)
        with suppress(ProviderError):
            await api.discard(http, account, doubt.files if doubt else await api.uploaded(http, account, draft))

    # ---- what came of it

    async def _sent(self, entry: BatchRecord, sent: Sent, step: str) -> BatchRecord:
        self.doubts.pop(entry.id, None)
        entry = await self.of.change(entry, state="sent", sent=sent)
        self.of.step(step)
        return entry

    async def _doubted(self, entry: BatchRecord) -> BatchRecord:
        """A batch whose creation got an error: found, or not there; still drafted where nobody can tell yet.

        What the API plainly refuses is looked for once, since a gateway may speak the API's language.
        """
        sent: Sent | None = None
        try:
            if isinstance(self.doubts[entry.id].error, PlainRefusalError):
                draft = await self._among(entry)
                with suppress(ProviderError), self.of.discreet():
                    sent = await self.of.api.find(self.of.http, self.of.account, draft)
            else:
                sent = await self._find(entry)
        except (TransientError, Unconfirmed):
            return entry
        except FatalError as error:
            if not self._says_the_same(entry, error):
                return entry
        return await self._never_sent(entry) if sent is None else await self._sent(entry, sent, "found")

    async def _never_sent(self, entry: BatchRecord) -> BatchRecord:
        """Refused for good, where that was the answer; else it goes out again in another batch, with another id."""
        doubt = self.doubts.get(entry.id)
        await self._discard(entry, self._draft(entry))
        if doubt is not None and (isinstance(doubt.error, FatalError) or self._is_far(doubt.error)):
            return await self._refused(entry, doubt.error)
        note = "the provider never had it" + (f"; what it answered: {doubt.error}" if doubt else "")
        return await self.of.change(entry, state="unsent", note=note)

    def _is_far(self, error: ProviderError) -> bool:
        """Whether the provider wants to be left alone for longer than this model's requests are tried."""
        return isinstance(error, TransientError) and (error.retry_after_s or 0.0) > self.of.model.limits.total_s

    async def _refused(self, entry: BatchRecord, error: ProviderError) -> BatchRecord:
        self.refusals[entry.id] = error
        kind, message = "too_large" if error.status == 413 else error.kind, error.explained
        settled = [ItemEnding(n, "refused", kind, message) for n in range(entry.count)]
        return await self.of.change(entry, state="refused", note=message, settled=settled)

    # ---- looking for it

    async def _find(self, entry: BatchRecord) -> Sent | None:
        """Look for it as long as a list may lag behind, and until its provider wants to be asked again."""
        draft = await self._among(entry)
        settings = self.of.settings
        until = self.of.clock() + max(settings.find_s, self._asked_s(entry))
        for wait_s in waits(settings.find_s / FINDS, settings.find_s):
            sent = await self.of.call(lambda: self._look(draft))
            left_s = until - self.of.clock()
            if sent is not None or left_s <= 0:
                return sent
            await self.of.waiting.pause(min(wait_s, left_s))
        return None

    async def _look(self, draft: Draft) -> Sent | None:
        try:
            return await self.of.api.find(self.of.http, self.of.account, draft)
        except TransientError as error:
            if error.kind != "unconfirmed":
                raise
            raise Unconfirmed(str(error)) from error  # asked again when a batch may have ended, not at once

    def _asked_s(self, entry: BatchRecord) -> float:
        """Seconds for which the provider wants to be left alone, if that is worth waiting for."""
        doubt = self.doubts.get(entry.id)
        if doubt is None or not isinstance(doubt.error, TransientError) or self._is_far(doubt.error):
            return 0.0
        return doubt.error.retry_after_s or 0.0

    def _says_the_same(self, entry: BatchRecord, error: FatalError) -> bool:
        """Whether looking is refused as the creation was: for a wrong key, or a wrong address."""
        doubt = self.doubts.get(entry.id)
        return doubt is not None and isinstance(doubt.error, FatalError) and doubt.error.kind == error.kind

    def _draft(self, entry: BatchRecord) -> Draft:
        return entry.draft(self.of.folder, datetime.fromtimestamp(entry.created, UTC).isoformat())

    async def _among(self, entry: BatchRecord) -> Draft:
        """The draft with the ids of all other batches of ours, which it is not."""
        others = await asyncio.to_thread(self.of.store.entries)
        known = frozenset(each.sent.provider_id for each in others if each.sent is not None and each.id != entry.id)
        return replace(self._draft(entry), known=known)
