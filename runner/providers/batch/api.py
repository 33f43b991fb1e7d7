"""What a provider's batch API looks like to the rest of the program: one small protocol, and the values that cross it.

An adapter translates between these values and one family of APIs over HTTP. It holds no state, never retries, never
sleeps and keeps nothing in memory that grows with the batch: items are written to and read from streams. Errors are
ProviderErrors as for live calls (runner.providers.refusals), so that one retry policy serves both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from runner.errors import FatalError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    import aiohttp

    from runner.records import Model

State = Literal["running", "ended", "failed", "expired", "cancelled"]
"""running: no result yet, whatever the provider calls it. All others are final; each may have finished items."""

Ending = Literal["succeeded", "failed", "retry", "expired", "cancelled"]
"""How one item ended. failed: another attempt cannot help. retry: it may."""


class PlainRefusalError(FatalError):
    """The API itself, in its own error format, refuses the form of what was sent: nothing was taken.

    Any other error may be a gateway's between it and us, and says nothing about what the API did.
    """


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one batch may hold."""

    items: int
    n_bytes: int
    one_model: bool
    """Whether all items of a batch must be of one model."""
    windows_s: tuple[int, ...]
    """Completion windows that can be asked for, in seconds, shortest first."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who asks, and where."""

    base: str
    """Base address of the API, without a trailing slash."""
    api_key: str | None
    max_reply_bytes: int = 16 * 2**20
    """Largest reply that is taken; see records.BatchLimits."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A batch that is on disk and about to be sent."""

    id: str
    """Ours: 1 to 64 of [a-z0-9-]; put where the API keeps metadata, so that `find` can see it again."""
    model: Model
    items: Path
    """JSONL file of lines made by `line`, in order."""
    count: int
    window_s: int
    created: str
    """UTC, ISO 8601."""
    known: frozenset[str] = frozenset()
    """Provider's ids of other batches that are ours, for `find` where an API keeps nothing that tells them apart."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A batch that the provider has taken."""

    provider_id: str
    files: tuple[str, ...] = ()
    """Ids of what was uploaded for it, to be cleaned up."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A batch as the provider sees it now."""

    state: State
    word: str
    """The provider's own name of the state."""
    done: int
    """Requests that have ended, well or not, as the provider counts them."""
    total: int
    results: tuple[str, ...] = ()
    """Ids or addresses of what holds results, whatever `fetch` needs: output and error files."""
    message: str | None = None
    """Why it failed, in the provider's words."""
    kind: str = ""
    """Of a failure, as ProviderError's, and beside those: too_large, where the batch holds too much, and token_limit,
    where it does together with the account's other batches. "" where the reason is unknown."""
    failed: int = 0
    """Those of `done` that have no reply, as far as the provider tells them apart."""
    since: float | None = None
    """When it was first seen to have ended, or to be unknown: seconds since 1970. Set by who looks, not by adapters."""
    unknown: bool = False
    """Whether the provider answered that it does not know the batch; the rest is then as it was before."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a batch's results."""

    id: str
    """Our item id; "" where the line bears none."""
    ending: Ending
    raw: bytes | None
    """The response body as the live API would have sent it, if it succeeded: what the ledger keeps."""
    line: bytes
    """The line as received."""
    kind: str = ""
    """Of a failure, as ProviderError's."""
    message: str = ""


class BatchApi(Protocol):
    """One family of batch APIs. `http` is a session without base address or default headers."""

    @property
    def limits(self) -> BatchLimits:
        """What one of its batches may hold."""

    def line(self, item_id: str, body: bytes, model: Model) -> bytes:
        """One line of the items' file, without its end: the live body under our item id.

        The id stands in the line as it is given and decides nothing else in it: replaced, it is another item's line.
        """

    async def upload(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> tuple[str, ...]:
        """Bring the items to the provider where it takes them as a file: ids of what was uploaded. It buys nothing.

        After an error something may be there all the same; `uploaded` tells.
        """

    async def uploaded(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> tuple[str, ...]:
        """Ids of the files that were uploaded for a draft, by their names."""

    async def discard(self, http: aiohttp.ClientSession, account: Account, files: Sequence[str]) -> None:
        """Delete what was uploaded for a batch that does not exist. What is gone already is no error."""

    async def create(self, http: aiohttp.ClientSession, account: Account, draft: Draft, files: tuple[str, ...]) -> Sent:
        """Create the batch from what was uploaded. After any error but PlainRefusalError it may exist all the same.

        The kind of an error may be too_large or token_limit, as Standing's.
        """

    async def find(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> Sent | None:
        """A batch that an earlier `create` may have made, by our id; None where the provider has none.

        TransientError (unconfirmed) where nobody can tell yet.
        """

    async def standing(self, http: aiohttp.ClientSession, account: Account, sent: Sent) -> Standing:
        """How it stands. FatalError not_found where the provider (or this account) does not know it."""

    def fetch(
        self, http: aiohttp.ClientSession, account: Account, sent: Sent, standing: Standing
    ) -> AsyncIterator[Item]:
        """Every line of its results, as they stream in, in any order; a line that cannot be read has id ""."""

    async def cancel(self, http: aiohttp.ClientSession, account: Account, sent: Sent) -> None:
        """Ask it to stop; it ends some time later."""

    async def clean(
        self, http: aiohttp.ClientSession, account: Account, sent: Sent, standing: Standing
    ) -> Sequence[str]:
        """Delete uploaded and result files; ids of those deleted. What is gone already is no error."""
