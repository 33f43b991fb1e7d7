"""The adapter of OpenAI, Groq and kluster.ai: what it reads, what it sends, and what their own client makes of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from batch_adapters import submit
from batching import APIS, model_of, trials_of

from runner.errors import FatalError, ProviderError, TransientError
from runner.providers.batch.api import Account, Draft, Item, Sent, Standing
from runner.providers.batch.openai import GROQ, KLUSTER, OPENAI, OpenAiBatch, read_line
from runner.providers.batch.table import SERVICES
from runner.providers.codec import Codec, codec_for
from runner.simulator import FaultPlan, SimulatorThread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

FAMILY = ("openai", "groq", "kluster")
ADAPTERS = {"openai": OPENAI, "groq": GROQ, "kluster": KLUSTER}


def ask(work: Callable[[aiohttp.ClientSession], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with aiohttp.ClientSession() as http:
            return await work(http)

    return asyncio.run(run())


def account(name: str, base: str, key: str = "key-1") -> Account:
    return Account(base + APIS[name].base, key)


def draft(name: str, folder: Path, count: int = 3, label: str = "b1", **more: Any) -> Draft:
    """A batch on disk, its bodies made as live ones are."""
    model = model_of(name)
    codec = codec_for(model, "key-1")
    assert isinstance(codec, Codec)
    lines = [
        ADAPTERS[name].line(f"{label}-{number}", codec.encode(trial.adapted.request), model)
        for number, trial in enumerate(trials_of(model, count))
    ]
    path = folder / f"{name}-{label}.in.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    made = Draft(label, model, path, count, 86_400, datetime.now(UTC).isoformat())
    return replace(made, **more)


async def ended(http: aiohttp.ClientSession, api: OpenAiBatch, owner: Account, sent: Sent) -> Standing:
    for _ in range(200):
        standing = await api.standing(http, owner, sent)
        if standing.state != "running":
            return standing
        await asyncio.sleep(0.02)
    raise AssertionError(standing)


# ---- a batch's life -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILY)
def test_a_batch_runs_its_course(name: str, tmp_path: Path) -> None:
    """Uploaded, created, found by our id, waited for, read, and all its files deleted."""
    api = ADAPTERS[name]

    async def work(http: aiohttp.ClientSession, base: str) -> None:
        owner, made = account(name, base), draft(name, tmp_path)
        sent = await submit(api, http, owner, made)
        assert len(sent.files) == 1
        assert await api.find(http, owner, made) == sent
        assert await api.find(http, owner, replace(made, id="b2")) is None
        assert (await api.standing(http, owner, sent)).state == "running"
        standing = await ended(http, api, owner, sent)
        assert (standing.state, standing.done, standing.total) == ("ended", 3, 3)
        items = [item async for item in api.fetch(http, owner, sent, standing)]
        assert {item.id: item.ending for item in items} == {f"b1-{number}": "succeeded" for number in range(3)}
        codec = codec_for(made.model, "key-1")
        assert all(item.raw and codec.decode(item.raw, "prompt").text for item in items)
        assert len(await api.clean(http, owner, sent, standing)) == 2
        assert await api.clean(http, owner, sent, standing) == []

    with SimulatorThread(FaultPlan(batch_s=0.1, validating_s=0.05)) as simulator:
        ask(lambda http: work(http, simulator.base))


@pytest.mark.parametrize("name", FAMILY)
def test_a_batch_is_found_behind_many(name: str, tmp_path: Path) -> None:
    """Lists are walked page by page: `after` and `has_more`, or Groq's cursor."""
    api = ADAPTERS[name]

    async def work(http: aiohttp.ClientSession, base: str) -> None:
        owner = account(name, base)
        first = draft(name, tmp_path, 1, "b-first")
        sent = await submit(api, http, owner, first)
        for number in range(101):
            await submit(api, http, owner, draft(name, tmp_path, 1, f"b{number}"))
        assert await api.find(http, owner, first) == sent

    with SimulatorThread(FaultPlan()) as simulator:
        ask(lambda http: work(http, simulator.base))
        assert simulator.count.requests[name]["batches.list"] == 2


def test_a_search_ends_with_batches_from_before_the_draft(tmp_path: Path) -> None:
    """A draft made an hour and more after the last batch of a page is on no later page."""
    late = datetime(2100, 1, 1, tzinfo=UTC).isoformat()

    async def work(http: aiohttp.ClientSession, base: str) -> None:
        owner = account("openai", base)
        for number in range(101):
            await submit(OPENAI, http, owner, draft("openai", tmp_path, 1, f"b{number}"))
        assert await OPENAI.find(http, owner, draft("openai", tmp_path, 1, "none", created=late)) is None

    with SimulatorThread(FaultPlan()) as simulator:
        ask(lambda http: work(http, simulator.base))
        assert simulator.count.requests["openai"]["batches.list"] == 1


@pytest.mark.parametrize("name", FAMILY)
def test_a_cancelled_batch_keeps_what_it_had_done(name: str, tmp_path: Path) -> None:
    """Cancelled half-way, it gives the finished items and says of the others that they were cancelled."""
    now = [1_800_000_000.0]

    async def work(http: aiohttp.ClientSession, base: str) -> None:
        api, owner = ADAPTERS[name], account(name, base)
        sent = await submit(api, http, owner, draft(name, tmp_path, 4))
        now[0] += 51
        await api.cancel(http, owner, sent)
        now[0] += 1
        standing = await api.standing(http, owner, sent)
        assert standing.state == "cancelled"
        endings = [item.ending async for item in api.fetch(http, owner, sent, standing)]
        assert sorted(endings) == ["cancelled"] * 2 + ["succeeded"] * 2
        await api.cancel(http, owner, sent)

    with SimulatorThread(FaultPlan(batch_s=100), clock=lambda: now[0]) as simulator:
        ask(lambda http: work(http, simulator.base))


@dataclass(frozen=True)
class Refusal:
    """A fault plan, and where and how the batch is refused."""

    id: str
    plan: dict[str, Any]
    state: str
    kind: str


@pytest.mark.parametrize(
    "case",
    [
        Refusal("too many items", {"max_items": 2}, "failed", "too_large"),
        Refusal("too many bytes", {"max_bytes": 100}, "refused", "too_large"),
        Refusal("too many tokens", {"enqueued_tokens": 10}, "failed", "token_limit"),
        Refusal("no stated reason", {"fail": 0.5}, "failed", "server"),
    ],
    ids=lambda case: case.id,
)
@pytest.mark.parametrize("name", FAMILY)
def test_what_is_not_taken_says_why(name: str, case: Refusal, tmp_path: Path) -> None:
    """Size and token limits have kinds of their own, at the upload or when the validation is over."""

    async def work(http: aiohttp.ClientSession, base: str) -> tuple[str, str]:
        api, owner = ADAPTERS[name], account(name, base)
        try:
            sent = await submit(api, http, owner, draft(name, tmp_path))
        except FatalError as error:
            return "refused", error.kind
        standing = await ended(http, api, owner, sent)
        return standing.state, standing.kind

    with SimulatorThread(FaultPlan(**case.plan)) as simulator:
        assert ask(lambda http: work(http, simulator.base)) == (case.state, case.kind)


@pytest.mark.parametrize("name", FAMILY)
def test_another_account_has_no_such_batch(name: str, tmp_path: Path) -> None:
    """With another key the batch is not found; with a wrong one the key is refused; nothing leaves files behind."""

    async def work(http: aiohttp.ClientSession, base: str) -> None:
        api, made = ADAPTERS[name], draft(name, tmp_path)
        sent = await submit(api, http, account(name, base), made)
        other, wrong = account(name, base, "key-2"), account(name, base, "invalid")
        assert await api.find(http, other, made) is None
        with pytest.raises(FatalError) as caught:
            await api.standing(http, other, sent)
        assert caught.value.kind == "not_found"
        with pytest.raises(ProviderError) as refused:
            await submit(api, http, wrong, made)
        assert refused.value.kind == "key_refused"

    with SimulatorThread(FaultPlan()) as simulator:
        ask(lambda http: work(http, simulator.base))


def test_every_window_is_taken(tmp_path: Path) -> None:
    """Each completion window of the table is one that its provider knows."""

    async def work(http: aiohttp.ClientSession, base: str) -> None:
        for name, api in ADAPTERS.items():
            for window_s in api.limits.windows_s:
                made = draft(name, tmp_path, 1, f"b{window_s}", window_s=window_s)
                await submit(api, http, account(name, base), made)

    with SimulatorThread(FaultPlan()) as simulator:
        ask(lambda http: work(http, simulator.base))


def test_openais_own_client_sees_what_we_sent(tmp_path: Path) -> None:
    """The vendor's SDK reads our batch and its files, with our id in the metadata."""
    import httpx
    from openai import OpenAI

    made = draft("openai", tmp_path)
    with SimulatorThread(FaultPlan(batch_s=0)) as simulator:
        owner = account("openai", simulator.base)
        sent = ask(lambda http: submit(OPENAI, http, owner, made))
        plain = httpx.Client(verify=False, trust_env=False)  # noqa: S501  loopback: reading certificates takes seconds
        with OpenAI(api_key="key-1", base_url=owner.base, http_client=plain) as client:
            batch = client.batches.retrieve(sent.provider_id)
            assert (batch.status, batch.completion_window, batch.endpoint) == (
                "completed",
                "24h",
                "/v1/chat/completions",
            )
            assert batch.metadata == {"persona_runner": "b1"}
            assert client.files.content(batch.input_file_id).content == made.items.read_bytes()


# ---- lines and states -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """A result line and what is read from it."""

    id: str
    line: Any
    item: tuple[str, str, str]
    """Id, ending, kind."""


def answer(status: int, body: Any, error: Any = None) -> dict[str, Any]:
    return {"id": "r", "custom_id": "b-1", "response": {"status_code": status, "body": body}, "error": error}


REPLY = {"choices": [{"message": {"content": "雨 \ud83d"}}]}
LINES = (
    Line("a reply", answer(200, REPLY), ("b-1", "succeeded", "")),
    Line("a reply written as text", answer(200, json.dumps(REPLY)), ("b-1", "succeeded", "")),
    Line("a bad request", answer(400, {"error": {"message": "no"}}), ("b-1", "failed", "bad_request")),
    Line("too many requests", answer(429, {"error": {"message": "no"}}), ("b-1", "retry", "rate_limit")),
    Line("no money left", answer(429, {"error": {"code": "insufficient_quota"}}), ("b-1", "failed", "quota")),
    Line("a fault of the server", answer(503, None), ("b-1", "retry", "server")),
    Line("expired", answer(0, None, {"code": "batch_expired", "message": "late"}), ("b-1", "expired", "expired")),
    Line("cancelled", answer(0, None, {"code": "batch_cancelled"}), ("b-1", "cancelled", "cancelled")),
    Line("an error without response", answer(0, None, {"code": "request_timeout"}), ("b-1", "retry", "server")),
    Line("a reply without body", answer(200, None), ("b-1", "failed", "not_a_reply")),
    Line("a body that is a list", answer(200, [1]), ("b-1", "failed", "not_a_reply")),
    Line("no choices", answer(200, {"choices": []}), ("b-1", "failed", "not_a_reply")),
    Line("an error in a 200", answer(200, {"error": {"code": 502, "message": "no"}}), ("b-1", "retry", "server")),
    Line("neither response nor error", {"custom_id": "b-1"}, ("b-1", "retry", "malformed")),
    Line("no id", {"response": {"status_code": 200, "body": REPLY}}, ("", "retry", "malformed")),
    Line("an id that is a number", {**answer(200, REPLY), "custom_id": 7}, ("", "retry", "malformed")),
    Line("a list", [1], ("", "retry", "malformed")),
    Line("a torn line", b'{"custom_id": "b-1", "resp', ("", "retry", "malformed")),
    Line("no text", b"\xff\xfe", ("", "retry", "malformed")),
)


@pytest.mark.parametrize("case", LINES, ids=lambda case: case.id)
def test_a_result_line(case: Line) -> None:
    """Each line ends its item and no other; what cannot be read is kept as it came, and belongs to nobody."""
    raw = case.line if isinstance(case.line, bytes) else json.dumps(case.line).encode()
    item: Item = read_line(raw)
    assert (item.id, item.ending, item.kind, item.line) == (*case.item, raw)
    assert (json.loads(item.raw) == REPLY) if item.ending == "succeeded" and item.raw else item.raw is None


@dataclass
class Told:
    """A server that answers every request with one JSON value."""

    value: Any

    async def __call__(self, work: Callable[[aiohttp.ClientSession, Account], Awaitable[Any]]) -> Any:
        """What `work` returns, given a session and an account at the server."""
        from aiohttp import web

        async def handle(_: web.BaseRequest) -> web.Response:
            return web.Response(body=self.value if isinstance(self.value, bytes) else json.dumps(self.value).encode())

        runner = web.ServerRunner(web.Server(handle))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        try:
            async with aiohttp.ClientSession() as http:
                return await work(http, Account(f"http://{host}:{port}", None))
        finally:
            await runner.cleanup()


@dataclass(frozen=True)
class Stands:
    """A batch as the provider describes it, and as we do."""

    id: str
    batch: dict[str, Any]
    standing: Standing


STANDINGS = (
    Stands("new, without counts", {"status": "validating"}, Standing("running", "validating", 0, 0)),
    Stands("kluster's first state", {"status": "pre_schedule"}, Standing("running", "pre_schedule", 0, 0)),
    Stands("a state nobody knows", {"status": "resting"}, Standing("running", "resting", 0, 0)),
    Stands("no state at all", {}, Standing("running", "", 0, 0)),
    Stands(
        "counts written as text",
        {"status": "in_progress", "request_counts": {"total": "4", "completed": "2", "failed": "1"}},
        Standing("running", "in_progress", 3, 4, failed=1),
    ),
    Stands(
        "completed, all in error",
        {"status": "completed", "output_file_id": None, "error_file_id": "f"},
        Standing("ended", "completed", 0, 0, ("f",)),
    ),
    Stands(
        "expired with results",
        {"status": "expired", "output_file_id": "o", "error_file_id": "e"},
        Standing("expired", "expired", 0, 0, ("o", "e")),
    ),
    Stands(
        "OpenAI's errors",
        {"status": "failed", "errors": {"data": [{"code": "model_not_found", "message": "which?"}]}},
        Standing("failed", "failed", 0, 0, (), "which?", "not_found"),
    ),
    Stands(
        "Groq's errors",
        {"status": "failed", "errors": [{"code": "invalid_json_line", "message": "line 1"}, {"message": "line 2"}]},
        Standing("failed", "failed", 0, 0, (), "line 1; line 2", "bad_request"),
    ),
    Stands(
        "a token limit without its code",
        {"status": "failed", "errors": {"data": [{"message": "Enqueued token limit reached"}]}},
        Standing("failed", "failed", 0, 0, (), "Enqueued token limit reached", "token_limit"),
    ),
    Stands("failed without errors", {"status": "failed", "errors": None}, Standing("failed", "failed", 0, 0)),
)


@pytest.mark.parametrize("case", STANDINGS, ids=lambda case: case.id)
def test_a_standing(case: Stands) -> None:
    """Whatever the three call a state, and however they write counts and errors, it is read as one of ours."""
    found = asyncio.run(Told(case.batch)(lambda http, owner: OPENAI.standing(http, owner, Sent("b"))))
    assert found == case.standing


@pytest.mark.parametrize("moment", ["1600000000", 1_600_000_000, "2020-09-13T12:26:40Z", "2020-09-13T12:26:40"])
def test_times_may_be_written_as_text(moment: Any, tmp_path: Path) -> None:
    """A batch created long before the draft ends the search, in whatever form its time is written."""
    page = {"data": [{"id": "x", "created_at": moment, "metadata": None}], "has_more": True}
    made = draft("openai", tmp_path)
    assert asyncio.run(Told(page)(lambda http, owner: KLUSTER.find(http, owner, made))) is None


@pytest.mark.parametrize("said", [b"", b"<html>", b"[]", {"object": "batch"}])
def test_a_creation_without_an_id_may_have_happened(said: Any, tmp_path: Path) -> None:
    """An answer that names no batch is no refusal: whether it exists is to be found out."""
    made = draft("openai", tmp_path)
    with pytest.raises(TransientError):
        asyncio.run(Told(said)(lambda http, owner: submit(OPENAI, http, owner, made)))


def test_every_family_member_is_in_the_table() -> None:
    """The table's entries are these adapters, at the vendors' addresses."""
    assert {name: SERVICES[name].make() for name in FAMILY} == ADAPTERS
