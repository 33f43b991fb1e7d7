"""The life of a batch through each adapter, over real HTTP, on the simulated APIs."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from batch_adapters import NAMES, body, subject, submit

from runner.errors import FatalError, TransientError
from runner.providers.codec import Codec, codec_for
from runner.simulator import FaultPlan, SimulatorThread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from batch_adapters import Subject

    from runner.providers.batch.api import Draft, Ending, Sent, State

SLOW = FaultPlan(validating_s=10, batch_s=100, finalizing_s=5, cancel_s=5)


@dataclass
class Clock:
    """The simulator's time, which starts now and is moved by the test."""

    now: float = field(default_factory=time.time)

    def __call__(self) -> float:  # noqa: D102  what the simulator calls
        return self.now


def run(act: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with aiohttp.ClientSession() as http:
            await act(http)

    asyncio.run(whole())


async def sent_and_ended(http: aiohttp.ClientSession, api: Subject, draft: Draft) -> tuple[Sent, dict[str, Ending]]:
    """Of a batch that ends at once: what was sent, and how its items ended."""
    sent = await submit(api.api, http, api.account, draft)
    standing = await api.api.standing(http, api.account, sent)
    return sent, {item.id: item.ending for item in await api.items(http, sent, standing)}


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_runs_its_course(name: str, tmp_path: Path) -> None:
    """Sent, it runs, ends, and gives each item's answer once, as its live API would have; then it is cleaned away."""
    clock = Clock()

    async def act(http: aiohttp.ClientSession) -> None:
        sent = await submit(api.api, http, api.account, draft)
        for wait_s in (0.0, 60.0):
            clock.now += wait_s
            standing = await api.api.standing(http, api.account, sent)
            assert standing.state == "running"
        clock.now += 60
        standing = await api.api.standing(http, api.account, sent)
        assert (standing.state, standing.done, standing.total) == ("ended", 4, 4)
        items = await api.items(http, sent, standing)
        assert {item.id: item.ending for item in items} == {f"b1-{number}": "succeeded" for number in range(4)}
        for item in items:
            assert item.raw is not None
            assert codec.decode(item.raw, "prompt").text
            assert json.loads(item.raw).items() <= _inner(json.loads(item.line)).items()
        await api.api.cancel(http, api.account, sent)
        gone = await api.api.clean(http, api.account, sent, standing)
        assert set(sent.files) <= set(gone)
        assert await api.api.clean(http, api.account, sent, standing) == []
        if name in ("anthropic", "gemini", "vertex"):
            with pytest.raises(FatalError) as told:
                await api.api.standing(http, api.account, sent)
            assert told.value.kind == "not_found"

    with SimulatorThread(SLOW, clock=clock) as simulator:
        api = subject(name, simulator.base, tmp_path)
        draft = api.draft()
        codec = codec_for(api.model, None)
        assert isinstance(codec, Codec)
        run(act)
        assert simulator.count.items == {f"b1-{number}": {"accepted": 1, "billed": 1} for number in range(4)}


def _inner(line: dict[str, Any]) -> dict[str, Any]:
    """The reply in a result line, wherever it lies."""
    for key in ("result", "batch_result", "response", "message", "body", "chat_get_completion"):
        if isinstance(line.get(key), dict):
            return _inner(line[key])
    return line


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_found_again_by_our_id(name: str, tmp_path: Path) -> None:
    """What was sent is found with its files; what was not sent is not, though the account has batches of its size."""
    clock = Clock()

    async def act(http: aiohttp.ClientSession) -> None:
        assert await api.api.find(http, api.account, ours) is None
        sent = await submit(api.api, http, api.account, ours)
        second = await submit(api.api, http, api.account, other)
        if name == "anthropic":
            # Whose a batch is shows only when it has ended.
            for draft in (ours, never):
                with pytest.raises(TransientError) as told:
                    await api.api.find(http, api.account, draft)
                assert told.value.kind == "unconfirmed"
            others = frozenset({sent.provider_id, second.provider_id})
            assert await api.api.find(http, api.account, replace(never, known=others)) is None
            assert await api.api.find(http, api.account, replace(ours, count=5)) is None
            clock.now += 200
        assert await api.api.find(http, api.account, ours) == sent
        assert await api.api.find(http, api.account, never) is None

    with SimulatorThread(SLOW, clock=clock) as simulator:
        api = subject(name, simulator.base, tmp_path)
        ours, other, never = (api.draft(label=label) for label in ("b1", "b2", "b3"))
        run(act)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_found_behind_many(name: str, tmp_path: Path) -> None:
    """A list is read page by page to its end."""

    async def act(http: aiohttp.ClientSession) -> None:
        sent = await submit(api.api, http, api.account, ours)
        for number in range(101):
            await submit(api.api, http, api.account, replace(other, id=f"o{number}"))
        assert await api.api.find(http, api.account, ours) == sent

    with SimulatorThread(FaultPlan(batch_s=0)) as simulator:
        api = subject(name, simulator.base, tmp_path)
        ours, other = api.draft(1), api.draft(1, "o1")
        run(act)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_whose_creation_got_no_answer(name: str, tmp_path: Path) -> None:
    """The connection breaks after the batch was accepted: a transient error, and the batch is found."""

    async def act(http: aiohttp.ClientSession) -> None:
        with pytest.raises(TransientError) as told:
            await submit(api.api, http, api.account, draft)
        assert told.value.kind == "connection"
        sent = await api.api.find(http, api.account, draft)
        assert sent is not None
        standing = await api.api.standing(http, api.account, sent)
        assert len(await api.items(http, sent, standing)) == 4

    with SimulatorThread(FaultPlan(drop_create=1, batch_s=0)) as simulator:
        api = subject(name, simulator.base, tmp_path)
        draft = api.draft()
        run(act)
        assert sum(simulator.count.batches.values()) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_new_batch_may_be_listed_late(name: str, tmp_path: Path) -> None:
    """A batch that no list shows yet is not found, and is once one does."""
    clock = Clock()

    async def act(http: aiohttp.ClientSession) -> None:
        sent = await submit(api.api, http, api.account, draft)
        assert await api.api.find(http, api.account, draft) is None
        clock.now += 31
        assert await api.api.find(http, api.account, draft) == sent

    with SimulatorThread(FaultPlan(list_delay_s=30), clock=clock) as simulator:
        api = subject(name, simulator.base, tmp_path)
        draft = api.draft()
        run(act)


@pytest.mark.parametrize("name", NAMES)
def test_items_fail_alone(name: str, tmp_path: Path) -> None:
    """An item that the provider loses may be tried again, one that the model refuses not; their neighbours succeed."""

    async def act(http: aiohttp.ClientSession) -> None:
        sent = await submit(api.api, http, api.account, draft)
        standing = await api.api.standing(http, api.account, sent)
        items = {item.id: item for item in await api.items(http, sent, standing)}
        assert [items[f"b1-{number}"].ending for number in range(4)] == ["retry", "succeeded", "failed", "succeeded"]
        assert (items["b1-0"].kind, items["b1-2"].kind) == ("server", "bad_request")
        assert "temperature" in items["b1-2"].message
        assert [item.raw is None for item in items.values()] == [item.ending != "succeeded" for item in items.values()]

    with SimulatorThread(FaultPlan(item_error=0.25, batch_s=0)) as simulator:
        api = subject(name, simulator.base, tmp_path)
        draft = api.draft(bodies={2: body(name, 2, temperature=7)})
        run(act)


@dataclass(frozen=True)
class Stopped:
    """What an API keeps of a batch that did not run to its end, with half of its items done."""

    name: str
    expired: State
    kept: bool = True
    told: bool = False
    """Whether the results name the items that were not run."""


STOPPED = (
    Stopped("anthropic", "expired", told=True),
    Stopped("gemini", "expired", kept=False),
    # The API calls it PARTIALLY_SUCCEEDED.
    Stopped("vertex", "expired"),
    Stopped("xai", "expired"),
    Stopped("mistral", "expired", told=True),
)


def endings(case: Stopped, word: Ending) -> dict[str, Ending]:
    done: dict[str, Ending] = dict.fromkeys(("b1-0", "b1-1"), "succeeded") if case.kept else {}
    left: dict[str, Ending] = dict.fromkeys(("b1-2", "b1-3"), word) if case.told else {}
    return {**done, **left}


@pytest.mark.parametrize("case", STOPPED, ids=lambda case: case.name)
def test_an_expired_batch_gives_what_it_had_done(case: Stopped, tmp_path: Path) -> None:
    """A batch whose window closed is at its end, and the items that it finished are there."""

    async def act(http: aiohttp.ClientSession) -> None:
        sent = await submit(api.api, http, api.account, draft)
        assert (await api.api.standing(http, api.account, sent)).state == "running"
        # In real time: xAI says when a batch expires, not that it has.
        await asyncio.sleep(0.6)
        standing = await api.api.standing(http, api.account, sent)
        assert standing.state == case.expired
        found = {item.id: item.ending for item in await api.items(http, sent, standing)}
        assert found == endings(case, "expired")

    with SimulatorThread(FaultPlan(expire=1, hour_s=0.011)) as simulator:
        api = subject(case.name, simulator.base, tmp_path)
        draft = api.draft()
        run(act)


@pytest.mark.parametrize("case", STOPPED, ids=lambda case: case.name)
def test_a_cancelled_batch_gives_what_it_had_done(case: Stopped, tmp_path: Path) -> None:
    """A batch that is cancelled half-way ends some time later, and the items that it finished are there."""
    clock = Clock()

    async def act(http: aiohttp.ClientSession) -> None:
        sent = await submit(api.api, http, api.account, draft)
        clock.now += 60.5
        await api.api.cancel(http, api.account, sent)
        assert (await api.api.standing(http, api.account, sent)).state == "running"
        await api.api.cancel(http, api.account, sent)
        clock.now += 60
        standing = await api.api.standing(http, api.account, sent)
        assert standing.state == "cancelled"
        found = {item.id: item.ending for item in await api.items(http, sent, standing)}
        assert found == endings(case, "cancelled")

    with SimulatorThread(SLOW, clock=clock) as simulator:
        api = subject(case.name, simulator.base, tmp_path)
        draft = api.draft()
        run(act)


@pytest.mark.parametrize("name", ["gemini", "vertex", "xai", "mistral"])
def test_a_failed_batch_says_why(name: str, tmp_path: Path) -> None:
    """A batch that its provider gives up is at its end, with the provider's words and no items."""

    async def act(http: aiohttp.ClientSession) -> None:
        sent = await submit(api.api, http, api.account, draft)
        standing = await api.api.standing(http, api.account, sent)
        assert (standing.state, standing.kind) == ("failed", "")
        assert "could not be validated" in (standing.message or "")
        assert await api.items(http, sent, standing) == []

    with SimulatorThread(FaultPlan(fail=1)) as simulator:
        api = subject(name, simulator.base, tmp_path)
        draft = api.draft()
        run(act)


@dataclass(frozen=True)
class Lines:
    """A fault that strikes a quarter of eight result lines."""

    fault: str
    plan: FaultPlan
    items: int
    """How many come."""
    named: int
    """Different ids among those that can be read."""


LINES = (
    Lines("omit", FaultPlan(batch_s=0, omit=0.25), 6, 6),
    Lines("duplicate", FaultPlan(batch_s=0, duplicate=0.25), 10, 8),
    Lines("corrupt", FaultPlan(batch_s=0, corrupt=0.25), 8, 6),
)


@pytest.mark.parametrize("case", LINES, ids=lambda case: case.fault)
@pytest.mark.parametrize("name", NAMES)
def test_result_lines_suffer(name: str, case: Lines, tmp_path: Path) -> None:
    """Missing, repeated and torn lines harm no other; a torn one has no id."""

    async def act(http: aiohttp.ClientSession) -> None:
        sent = await submit(api.api, http, api.account, draft)
        standing = await api.api.standing(http, api.account, sent)
        items = await api.items(http, sent, standing)
        assert len(items) == case.items
        assert len({item.id for item in items if item.ending == "succeeded"}) == case.named
        torn = [item for item in items if item.ending != "succeeded"]
        assert {(item.id, item.ending, item.kind) for item in torn} <= {("", "retry", "malformed")}

    with SimulatorThread(case.plan) as simulator:
        api = subject(name, simulator.base, tmp_path)
        draft = api.draft(8)
        run(act)


@pytest.mark.parametrize("name", NAMES)
def test_a_download_may_break_off(name: str, tmp_path: Path) -> None:
    """A download that ends half-way is a transient error, whatever came before it, and the next one is whole."""

    async def act(http: aiohttp.ClientSession) -> None:
        sent = await submit(api.api, http, api.account, draft)
        standing = await api.api.standing(http, api.account, sent)
        for _ in range(100):
            if standing.state != "running":
                break
            # More than 500 items are written a little later.
            await asyncio.sleep(0.02)
            standing = await api.api.standing(http, api.account, sent)
        with pytest.raises(TransientError) as told:
            await api.items(http, sent, standing)
        assert told.value.kind == "connection"
        assert len(await api.items(http, sent, standing)) == 600

    # xAI's results are three downloads, of which only the very first shall break off.
    share = 1 / 600 if name == "xai" else 0.5
    with SimulatorThread(FaultPlan(batch_s=0, drop_download=share)) as simulator:
        api = subject(name, simulator.base, tmp_path)
        draft = api.draft(600)
        run(act)


@dataclass(frozen=True)
class Trouble:
    """A fault that strikes every call, and the error that it is."""

    name: str
    plan: FaultPlan
    kind: str
    wait_s: float | None = None


TROUBLES = (
    Trouble("rate limit", FaultPlan(refuse=1, retry_after_s=7), "rate_limit", 7),
    Trouble("server error", FaultPlan(server_error=1), "server"),
    Trouble("lost connection", FaultPlan(drop=1), "connection"),
)


@pytest.mark.parametrize("case", TROUBLES, ids=lambda case: case.name)
@pytest.mark.parametrize("name", NAMES)
def test_troubles_are_transient(name: str, case: Trouble, tmp_path: Path) -> None:
    """What may pass is a transient error from every call, with the wait that the provider asks for."""

    async def act(http: aiohttp.ClientSession) -> None:
        sent = await _sent(api)
        for call in _calls(http, api, draft, sent):
            with pytest.raises(TransientError) as told:
                await call()
            assert (told.value.kind, told.value.retry_after_s) == (case.kind, case.wait_s)

    with SimulatorThread(case.plan) as simulator:
        api = subject(name, simulator.base, tmp_path)
        draft = api.draft()
        run(act)


async def _sent(api: Subject) -> Sent:
    from runner.providers.batch.api import Sent

    files = {"vertex": ("gs://bucket/runs/b1/items.jsonl",), "anthropic": (), "gemini": ("files/f",)}
    return Sent("batches/b" if api.name == "gemini" else "b", files.get(api.name, ("f",)))


def _calls(http: aiohttp.ClientSession, api: Subject, draft: Draft, sent: Sent) -> list[Callable[[], Awaitable[Any]]]:
    from runner.providers.batch.api import Standing

    files = {"vertex": "gs://bucket/runs/b1/results", "gemini": "files/f"}
    ended = Standing("ended", "", 4, 4, (files.get(api.name, "f"),))
    return [
        lambda: submit(api.api, http, api.account, draft),
        lambda: api.api.find(http, api.account, draft),
        lambda: api.api.standing(http, api.account, sent),
        lambda: api.items(http, sent, ended),
        lambda: api.api.cancel(http, api.account, sent),
        lambda: api.api.clean(http, api.account, sent, ended),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_key_is_told_as_such(name: str, tmp_path: Path) -> None:
    """A refused key is a fatal error of its kind, not a batch that is not there."""

    async def act(http: aiohttp.ClientSession) -> None:
        submit, find, standing, *_ = _calls(http, api, draft, await _sent(api))
        for call in (submit, find, standing):
            with pytest.raises(FatalError) as told:
                await call()
            assert told.value.kind == "key_refused"
        if name == "vertex":
            assert "gcloud auth print-access-token" in str(told.value)

    with SimulatorThread(FaultPlan()) as simulator:
        api = subject(name, simulator.base, tmp_path, key="invalid")
        draft = api.draft()
        run(act)


@pytest.mark.parametrize("name", NAMES)
def test_another_account_has_no_such_batch(name: str, tmp_path: Path) -> None:
    """With another key a batch is neither found nor known."""

    async def act(http: aiohttp.ClientSession) -> None:
        sent = await submit(ours.api, http, ours.account, draft)
        assert await other.api.find(http, other.account, draft) is None
        with pytest.raises(FatalError) as told:
            await other.api.standing(http, other.account, sent)
        assert told.value.kind == "not_found"

    with SimulatorThread(FaultPlan()) as simulator:
        ours = subject(name, simulator.base, tmp_path)
        other = subject(name, simulator.base, tmp_path, key="key-2")
        draft = ours.draft()
        run(act)


@pytest.mark.parametrize("name", NAMES)
def test_too_much_is_told_as_such(name: str, tmp_path: Path) -> None:
    """A batch that is refused for its size can be sent in parts, so that its error has a kind of its own."""

    async def act(http: aiohttp.ClientSession) -> None:
        with pytest.raises(FatalError) as told:
            await submit(api.api, http, api.account, draft)
        assert told.value.kind == "too_large"

    with SimulatorThread(FaultPlan(max_bytes=300)) as simulator:
        api = subject(name, simulator.base, tmp_path)
        draft = api.draft()
        run(act)
        assert simulator.count.batches == {}


@pytest.mark.parametrize("name", NAMES)
def test_what_was_uploaded_is_found_by_name_and_deleted(name: str, tmp_path: Path) -> None:
    """A file whose upload got no answer is found by its batch's id alone, and can be deleted; once gone is no error."""

    async def act(http: aiohttp.ClientSession) -> None:
        await api.api.upload(http, api.account, other)
        files = await api.api.upload(http, api.account, draft)
        assert await api.api.uploaded(http, api.account, draft) == files
        for _ in range(2):
            await api.api.discard(http, api.account, files)
        assert await api.api.uploaded(http, api.account, draft) == ()

    with SimulatorThread() as simulator:
        api = subject(name, simulator.base, tmp_path)
        draft, other = api.draft(), api.draft(label="b2")
        run(act)


def test_vertex_needs_a_bucket(tmp_path: Path) -> None:
    """Without a bucket nothing is sent, and the message names the setting."""
    api = subject("vertex", "http://127.0.0.1:1", tmp_path)
    draft = replace(api.draft(), model=replace(api.model, batch_bucket=None))

    async def act(http: aiohttp.ClientSession) -> None:
        with pytest.raises(FatalError, match=r"set model\.vertex\.batch_bucket"):
            await submit(api.api, http, api.account, draft)

    run(act)
