"""For tests of batches: models of every API at a simulated provider, trials, an observer, and an API without HTTP."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from runner.dispatch.batch.dispatch import BatchContext, Outcome, Wanted, dispatch
from runner.dispatch.observer import Stop
from runner.ledger.answers import Ledger, open_ledger
from runner.plan.trials import endpoint_of, key_of
from runner.providers.batch.api import BatchLimits, Item, Sent, Standing
from runner.records import (
    Adapted,
    Batch,
    Capability,
    Cell,
    Limits,
    Model,
    Persona,
    Request,
    Sampling,
    Text,
    Trial,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import aiohttp

    from runner.dispatch.retry import AccountBreakers
    from runner.ledger.batch_records import BatchRecord
    from runner.ledger.batches import BatchStore
    from runner.providers.batch.api import Account, Draft, Ending
    from runner.records import Answer, Failure

KEYS = {"BATCH_API_KEY": "key-1"}
FAST = Batch(mode="native", first_poll_s=0.01, max_poll_s=0.05, find_s=0.05)
"""Settings for a provider that needs milliseconds."""


@dataclass(frozen=True)
class Api:
    """How a batch API is reached at the simulator."""

    provider: str
    model_id: str
    base: str
    """Below the simulator's own address."""


APIS: Mapping[str, Api] = {
    "openai": Api("openai", "gpt-4o-mini", "/openai/v1"),
    "groq": Api("groq", "llama-3.1-8b-instant", "/groq/openai/v1"),
    "kluster": Api("openai", "klusterai/Meta-Llama-3.3-70B-Instruct-Turbo", "/kluster/v1"),
    "anthropic": Api("anthropic", "claude-haiku-4-5", "/anthropic"),
    "gemini": Api("gemini", "gemini-2.5-flash", "/gemini"),
    "vertex": Api("vertex_ai", "gemini-2.5-flash", "/vertex/v1/projects/p/locations/l"),
    "xai": Api("xai", "grok-3", "/xai/v1"),
    "mistral": Api("mistral", "mistral-small-latest", "/mistral/v1"),
}


def model_of(name: str, base: str = "http://127.0.0.1:1") -> Model:
    """A model served by a batch API of the simulator at an address."""
    api = APIS[name]
    return Model(
        name=name,
        id=api.model_id,
        provider=api.provider,
        vendor=name,
        key_env="BATCH_API_KEY",
        api_base=base + api.base,
        capability=Capability(batch=name, structure="json_object"),
        batch_bucket="bucket/runs",
        limits=Limits(attempts=10, total_s=10.0),
    )


def trials_of(model: Model, count: int, first: int = 0) -> list[Trial]:
    """Trials with bodies of their own; the same call gives the same keys."""
    cell = Cell("cell", model, Persona("p", {"*": "You are a reader."}), Sampling())
    found = []
    for number in range(first, first + count):
        content = f'Rate text {number}. Reply with JSON. It has the keys "fun" and "fear".'
        request = Request(model.id, ({"role": "user", "content": content},), {"max_tokens": 200})
        key = key_of(request, endpoint_of(model), 1)
        found.append(Trial(cell, Text(f"t{number}", content), 1, Adapted(request, "prompt", {}, {}), key))
    return found


@dataclass
class Watcher:
    """An observer that remembers."""

    sent_keys: list[str] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)

    def planned(self, model: Model, count: int) -> None:
        """Nothing is remembered of it."""

    def batch(self, entry: BatchRecord) -> None:
        """Nothing is remembered of it."""

    def notice(self, line: str) -> None:
        """Nothing is remembered of it."""

    def sent(self, trial: Trial) -> None:
        """An attempt leaves."""
        self.sent_keys.append(trial.key)

    def answered(self, trial: Trial, answer: Answer) -> None:
        """A reply arrived: once for each key."""
        assert trial.key not in self.answers
        self.answers[trial.key] = answer

    def failed(self, trial: Trial, failure: Failure) -> None:
        """A trial ended without a reply: once for each key."""
        assert trial.key not in self.failures
        self.failures[trial.key] = failure

    def waiting(self, model: Model, kind: str, wait_s: float, reason: str = "") -> None:
        """Nothing is remembered of it."""


@dataclass
class Bench:
    """A ledger and a book in a folder, and runs against them."""

    folder: Path
    ledger: Ledger
    store: BatchStore
    context: BatchContext
    watcher: Watcher = field(default_factory=Watcher)
    stop: Stop = field(default_factory=Stop)

    def buy(self, *queues: Sequence[Trial], accounts: AccountBreakers | None = None) -> Outcome:
        """Dispatch those trials that the ledger lacks, each queue of one model."""
        wanted = []
        for queue in queues:
            known = self.ledger.lookup(trial.key for trial in queue)
            missing = [trial for trial in queue if trial.key not in known]
            if queue:
                keys = frozenset(trial.key for trial in missing)
                wanted.append(Wanted(queue[0].cell.model, keys, iter(missing)))
        doing = dispatch(wanted, self.context, self.watcher, self.stop, run="run-1", accounts=accounts)
        return asyncio.run(doing)

    def has(self, trials: Sequence[Trial]) -> int:
        """How many of them have their answer."""
        return len(self.ledger.lookup(trial.key for trial in trials))

    def entries(self) -> list[BatchRecord]:
        """Every batch."""
        return self.store.entries()


@contextmanager
def bench(folder: Path, settings: Batch = FAST, **context: Any) -> Iterator[Bench]:
    """A bench in a folder; what is there from before is taken up."""
    url = f"sqlite:///{folder}/ledger.db"
    with open_ledger(url) as ledger:
        keys = {"environment": KEYS, **context}
        made = BatchContext(store=ledger.batches, ledger=ledger, folder=folder / "batches", settings=settings, **keys)
        yield Bench(folder, ledger, ledger.batches, made)


# ---- an API without HTTP --------------------------------------------------------------------------------------------


@dataclass
class FakeBatch:
    """A batch that the fake has taken."""

    id: str
    draft: Draft
    lines: list[dict[str, Any]]
    looks: int = 0
    cancelled: bool = False
    cleaned: bool = False


def reply(line: Mapping[str, Any]) -> bytes:
    """What the fake answers to an item."""
    return json.dumps({"reply": line["body"]["messages"][0]["content"]}).encode()


def done(line: Mapping[str, Any]) -> Item:
    """An item that succeeded."""
    return Item(line["id"], "succeeded", reply(line), json.dumps({"id": line["id"], "is": "done"}).encode())


@dataclass
class FakeApi:
    """A BatchApi in memory whose manners a test replaces one by one."""

    limits: BatchLimits = field(default_factory=lambda: BatchLimits(100, 10**6, one_model=True, windows_s=(86_400,)))
    on_submit: Callable[[FakeBatch], Exception | None] = lambda _batch: None
    """Raised in place of the answer. The batch is taken where `takes` says so."""
    takes: Callable[[Exception], bool] = lambda _error: False
    on_upload: Callable[[Draft], Exception | None] = lambda _draft: None
    """Raised in place of an answer to an upload."""
    stands: Callable[[FakeBatch], Standing] = lambda batch: Standing(
        "ended", "done", len(batch.lines), len(batch.lines)
    )
    results: Callable[[FakeBatch], Sequence[Item | Exception]] = lambda batch: [done(line) for line in batch.lines]
    finds: bool = True
    batches: list[FakeBatch] = field(default_factory=list)
    submits: int = 0
    discarded: list[str] = field(default_factory=list)
    """Files that were uploaded for batches that do not exist."""

    def line(self, item_id: str, body: bytes, model: Model) -> bytes:
        """The id and the body."""
        del model
        return json.dumps({"id": item_id, "body": json.loads(body)}).encode()

    async def upload(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> tuple[str, ...]:
        """One file a batch."""
        del http, account
        if (error := self.on_upload(draft)) is not None:
            raise error
        return (f"file-{draft.id}",)

    async def uploaded(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> tuple[str, ...]:
        """Nothing that is not known already."""
        del http, account, draft
        return ()

    async def discard(self, http: aiohttp.ClientSession, account: Account, files: Sequence[str]) -> None:
        """Remember what was deleted."""
        del http, account
        self.discarded += files

    async def create(self, http: aiohttp.ClientSession, account: Account, draft: Draft, files: tuple[str, ...]) -> Sent:
        """Take the batch, or not, as the test says."""
        del http, account
        self.submits += 1
        lines = [json.loads(line) for line in draft.items.read_bytes().splitlines()]
        assert len(lines) == draft.count
        batch = FakeBatch(f"p{self.submits}", draft, lines)
        error = self.on_submit(batch)
        if error is None or self.takes(error):
            self.batches.append(batch)
        if error is not None:
            raise error
        return Sent(batch.id, files)

    async def find(self, http: aiohttp.ClientSession, account: Account, draft: Draft) -> Sent | None:
        """By our id, unless the test says that the list lags."""
        del http, account
        return next((Sent(batch.id) for batch in self.batches if self.finds and batch.draft.id == draft.id), None)

    def _batch(self, sent: Sent) -> FakeBatch:
        return next(batch for batch in self.batches if batch.id == sent.provider_id)

    async def standing(self, http: aiohttp.ClientSession, account: Account, sent: Sent) -> Standing:
        """As the test says."""
        del http, account
        batch = self._batch(sent)
        batch.looks += 1
        return self.stands(batch)

    async def fetch(
        self, http: aiohttp.ClientSession, account: Account, sent: Sent, standing: Standing
    ) -> AsyncIterator[Item]:
        """What the test says; an exception among it breaks the download off."""
        del http, account, standing
        for item in self.results(self._batch(sent)):
            if isinstance(item, Exception):
                raise item
            yield item

    async def cancel(self, http: aiohttp.ClientSession, account: Account, sent: Sent) -> None:
        """Remember the wish."""
        del http, account
        self._batch(sent).cancelled = True

    async def clean(
        self, http: aiohttp.ClientSession, account: Account, sent: Sent, standing: Standing
    ) -> Sequence[str]:
        """Remember that it was asked for."""
        del http, account, standing
        self._batch(sent).cleaned = True
        return ()


def settings(**change: Any) -> Batch:
    """FAST with changes."""
    return replace(FAST, **change)


def with_api(folder: Path, api: FakeApi, **more: Any) -> Any:
    """A bench whose models are all served by a fake."""
    return bench(folder, more.pop("settings", settings()), api_of=lambda _model: api, **more)


def running(batch: FakeBatch) -> Standing:
    """Where a batch stands that is at work."""
    return Standing("running", "at work", 0, len(batch.lines))


def item(line: Mapping[str, Any], ending: Ending, kind: str = "", message: str = "") -> Item:
    """An item that ended without a reply."""
    return Item(line["id"], ending, None, json.dumps({"id": line["id"], "is": ending}).encode(), kind, message)
