"""What the batch adapters send and read, beside what the simulator shows: the vendors' own clients, and odd answers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tracemalloc
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from batch_adapters import NAMES, PLACES, body, subject, submit
from stand_in import StandIn, Told, told

from runner.errors import ConfigError, FatalError, ProviderError, TransientError
from runner.providers.batch.api import Item, Sent, Standing
from runner.providers.batch.gcs import GOOGLE, storage_beside
from runner.providers.batch.table import SERVICES, account_for, service_of
from runner.providers.codec import Codec, codec_for
from runner.records import Capability, Model, Request
from runner.simulator import FaultPlan, SimulatorThread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from stand_in import Asked

RESULTS = {
    "anthropic": ("b",),
    "gemini": ("files/f",),
    "vertex": ("gs://bucket/runs/b1/results",),
    "xai": ("b",),
    "mistral": ("f",),
}
"""What a standing of a batch that has ended holds."""


def run(act: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with aiohttp.ClientSession() as http:
            await act(http)

    asyncio.run(whole())


def sent_of(name: str) -> Sent:
    return Sent("batches/b" if name == "gemini" else "b")


def ended(name: str) -> Standing:
    return Standing("ended", "", 0, 0, RESULTS[name])


# ---- odd answers ----------------------------------------------------------------------------------------------------


def serving(name: str, lines: Callable[[], Iterator[bytes]]) -> Callable[[Asked], Told]:
    """An API whose batch has these result lines, made as they are sent; xAI's as pages of 100."""

    def page(number: int) -> Iterator[bytes]:
        here = [line for index, line in enumerate(lines()) if index // 100 == number]
        token = json.dumps(str(number + 1) if here else None).encode()
        yield b'{"results":[' + b",".join(here) + b'],"pagination_token":' + token + b"}"

    def answer(asked: Asked) -> Told:
        path, _, query = asked.path.partition("?")
        if name == "vertex" and path.endswith("/o"):
            return told({"items": [{"name": "runs/b1/results/predictions.jsonl"}]})
        if name == "xai" and path.endswith("/results"):
            return Told(page(int(query.partition("pagination_token=")[2] or 0)))
        return Told(line + b"\n" for line in lines())

    return answer


ODD = (b"null", b"[]", b"7", b'"x"', b"{}", b"{", b"\xff\xfe", b'{"custom_id":5,"key":{},"request":[]}', b"[" * 9000)


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_read_is_nobodys(name: str, tmp_path: Path) -> None:
    """Lines of any other shape become items without an id, to be tried again; none raises."""

    async def act(http: aiohttp.ClientSession) -> None:
        items = await api.items(http, sent_of(name), ended(name))
        assert len(items) >= (1 if name == "xai" else len(ODD))
        assert {(item.id, item.ending, item.kind, item.raw) for item in items} == {("", "retry", "malformed", None)}

    with StandIn(serving(name, lambda: iter(ODD))) as server:
        api = subject(name, server.url, tmp_path)
        run(act)


def reply_of(name: str, text: str) -> dict[str, Any]:
    """A reply of the API that says this."""
    match name:
        case "anthropic":
            return {"type": "message", "content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}
        case "gemini" | "vertex":
            return {"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}]}
        case _:
            return {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}


def line_of(name: str, number: int, text: str) -> bytes:
    """A result line of an item that succeeded."""
    reply = reply_of(name, text)
    match name:
        case "anthropic":
            line: dict[str, Any] = {"custom_id": f"b1-{number}", "result": {"type": "succeeded", "message": reply}}
        case "gemini":
            line = {"key": f"b1-{number}", "response": reply}
        case "vertex":
            line = {"status": "", "request": {"labels": {"item": f"b1-{number}"}}, "response": reply}
        case "xai":
            result = {"response": {"chat_get_completion": reply}}
            line = {"batch_request_id": f"b1-{number}", "batch_result": result}
        case _:
            line = {"custom_id": f"b1-{number}", "response": {"status_code": 200, "body": reply}, "error": None}
    return json.dumps(line, ensure_ascii=False).encode()


# Between them these have every way up (in the call, in one body, as a form) and every way down (stream, pages).
@pytest.mark.parametrize("name", ["anthropic", "gemini", "xai"])
def test_ten_thousand_lines_in_little_memory(name: str, tmp_path: Path) -> None:
    """A batch of 10,000 items goes up and comes down without ever being in memory as a whole."""
    count, text = 10_000, "fun " * 250
    bytes_in_all = count * len(text)

    def answer(asked: Asked) -> Told:
        if asked.method == "POST":
            address = {"x-goog-upload-url": f"{server.url}/up"}
            made = {"id": "b", "batch_id": "b", "name": "files/b", "file": {"name": "files/f"}}
            return Told([json.dumps(made).encode()], headers=address)
        return results(asked)

    async def act(http: aiohttp.ClientSession) -> None:
        tracemalloc.start()
        try:
            await submit(api.api, http, api.account, draft)
            up = tracemalloc.get_traced_memory()[1]
            tracemalloc.reset_peak()
            seen = 0
            async for item in api.api.fetch(http, api.account, sent_of(name), ended(name)):
                seen += item.ending == "succeeded"
            down = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert seen == count
        assert max(up, down) < bytes_in_all / 2

    results = serving(name, lambda: (line_of(name, number, text) for number in range(count)))
    if name == "xai":
        results = _pages(count, text)
    with StandIn(answer, keep=False) as server:
        api = subject(name, server.url, tmp_path)
        draft = api.draft(count, bodies={number: body(name, number) for number in range(3)})
        # As large going up as coming down.
        padded = api.api.line("b1-x", json.dumps({"pad": text}).encode(), api.model) + b"\n"
        draft.items.write_bytes(padded * count)
        run(act)


def _pages(count: int, text: str) -> Callable[[Asked], Told]:
    def answer(asked: Asked) -> Told:
        start = int(asked.path.partition("pagination_token=")[2] or 0)
        here = range(start, min(count, start + 200))
        lines = [line_of("xai", number, text) for number in here]
        token = json.dumps(str(here.stop) if here.stop < count else None).encode()
        return Told([b'{"results":[' + b",".join(lines) + b'],"pagination_token":' + token + b"}"])

    return answer


def test_a_line_may_be_longer_than_any_block(tmp_path: Path) -> None:
    """Lines of megabytes, and lines cut anywhere between two blocks, arrive as they are; the last needs no end."""
    texts = ["雨" * 700_000, "", "drops"]
    whole = b"\n".join(line_of("mistral", number, text) for number, text in enumerate(texts))
    parts = [whole[start : start + 65_537] for start in range(0, len(whole), 65_537)]

    async def act(http: aiohttp.ClientSession) -> None:
        items = await api.items(http, sent_of("mistral"), ended("mistral"))
        assert [json.loads(item.raw or b"") for item in items] == [reply_of("mistral", text) for text in texts]

    with StandIn(lambda _: Told(parts)) as server:
        api = subject("mistral", server.url, tmp_path)
        run(act)


@dataclass(frozen=True)
class Read:
    """One result line, and the item that it is."""

    name: str
    api: str
    line: dict[str, Any]
    item: tuple[str, str, str]
    """id, ending, kind"""
    says: str = ""


def claude_error(kind: str) -> dict[str, Any]:
    error = {"type": "error", "error": {"type": kind, "message": "why"}, "request_id": None}
    return {"custom_id": "i", "result": {"type": "errored", "error": error}}


def mistral_line(status: int, body: Any, error: Any = None) -> dict[str, Any]:
    return {"id": "batch-x-0", "custom_id": "i", "response": {"status_code": status, "body": body}, "error": error}


def vertex_line(status: Any) -> dict[str, Any]:
    return {"status": status, "processed_time": "t", "request": {"labels": {"item": "i"}}, "response": {}}


def grok_line(reply: Any) -> dict[str, Any]:
    return {"batch_request_id": "i", "batch_result": {"response": {"chat_get_completion": reply}}}


def claude_line(message: Any) -> dict[str, Any]:
    return {"custom_id": "i", "result": {"type": "succeeded", "message": message}}


NO_REPLY = ("i", "failed", "not_a_reply")
OVERLOADED = {"type": "overloaded_error", "message": "busy", "code": 503}
READS = (
    Read("invalid", "anthropic", claude_error("invalid_request_error"), ("i", "failed", "bad_request"), "why"),
    Read("overloaded", "anthropic", claude_error("overloaded_error"), ("i", "retry", "server"), "why"),
    Read("rate", "anthropic", claude_error("rate_limit_error"), ("i", "retry", "rate_limit"), "why"),
    Read("unknown type", "anthropic", claude_error("newer_error"), ("i", "retry", "server"), "why"),
    Read("no message", "anthropic", {"custom_id": "i", "result": {"type": "succeeded"}}, NO_REPLY),
    Read("other word", "anthropic", {"custom_id": "i", "result": {"type": "moved"}}, ("i", "retry", "malformed")),
    Read("invalid", "gemini", {"key": "i", "error": {"code": 3, "message": "why"}}, ("i", "failed", "bad_request")),
    Read("exhausted", "gemini", {"key": "i", "error": {"code": 8, "message": "w"}}, ("i", "retry", "rate_limit")),
    Read("cancelled", "gemini", {"key": "i", "error": {"code": 1, "message": "w"}}, ("i", "cancelled", "cancelled")),
    Read("HTTP code", "gemini", {"key": "i", "error": {"code": 503, "message": "w"}}, ("i", "retry", "server")),
    Read("no code", "gemini", {"key": "i", "error": {"message": "why"}}, ("i", "retry", "server"), "why"),
    Read("metadata", "gemini", {"metadata": {"key": "i"}, "response": reply_of("gemini", "a")}, ("i", "succeeded", "")),
    Read("no key", "gemini", {"response": {"candidates": []}}, ("", "retry", "malformed")),
    Read("no reply", "gemini", {"key": "i", "response": {}}, NO_REPLY),
    Read(
        "a sentence with JSON",
        "vertex",
        vertex_line('Bad Request: {"error": {"code": 400, "message": "why", "status": "INVALID_ARGUMENT"}}'),
        ("i", "failed", "bad_request"),
        "why",
    ),
    Read("a sentence", "vertex", vertex_line("INVALID_ARGUMENT: no"), ("i", "failed", "bad_request"), "no"),
    Read("other sentence", "vertex", vertex_line("Something happened"), ("i", "retry", "server"), "happened"),
    Read("a status", "vertex", vertex_line({"code": 8, "message": "why"}), ("i", "retry", "rate_limit"), "why"),
    Read("no reply", "vertex", vertex_line(""), NO_REPLY),
    Read("invalid", "mistral", mistral_line(422, {"detail": "why"}), ("i", "failed", "bad_request"), "why"),
    Read("server", "mistral", mistral_line(500, {"error": {"message": "w"}}), ("i", "retry", "server"), "w"),
    Read("rate", "mistral", mistral_line(429, {"message": "slow"}), ("i", "retry", "rate_limit"), "slow"),
    Read("error alone", "mistral", mistral_line(0, None, "why"), ("i", "retry", "server"), "why"),
    Read("no body", "mistral", mistral_line(200, None), NO_REPLY),
    Read("another API's reply", "mistral", mistral_line(200, reply_of("gemini", "a")), NO_REPLY),
    Read("an overload in a 200", "mistral", mistral_line(200, {"error": OVERLOADED}), ("i", "retry", "server"), "busy"),
    Read("no choices", "xai", grok_line({"choices": []}), NO_REPLY),
    Read("an error in a reply's place", "xai", grok_line({"error": OVERLOADED}), ("i", "retry", "server"), "busy"),
    Read(
        "an error's message", "anthropic", claude_line({"type": "error", "error": OVERLOADED}), ("i", "retry", "server")
    ),
)


@pytest.mark.parametrize("case", READS, ids=lambda case: f"{case.api} {case.name}")
def test_a_result_line(case: Read, tmp_path: Path) -> None:
    """Each documented end of an item, and each way to say it, is told by its ending and kind."""

    async def act(http: aiohttp.ClientSession) -> None:
        (item,) = await api.items(http, sent_of(case.api), ended(case.api))
        assert (item.id, item.ending, item.kind) == case.item
        assert case.says in item.message
        assert json.loads(item.line) == case.line

    with StandIn(serving(case.api, lambda: iter([json.dumps(case.line).encode()]))) as server:
        api = subject(case.api, server.url, tmp_path)
        run(act)


@dataclass(frozen=True)
class Stands:
    """A batch as an API describes it, and what is read of it."""

    name: str
    api: str
    batch: dict[str, Any]
    state: str
    counts: tuple[int, int] = (0, 0)
    results: tuple[str, ...] = ()
    kind: str = ""


def grok(pending: int, **more: Any) -> dict[str, Any]:
    counters = {"num_requests": 2, "num_pending": pending, "num_success": 2 - pending, **more.pop("counters", {})}
    # As the API writes days in its answers over HTTP.
    return {"batch_id": "b", "create_time": "2026-08-10", "expire_time": "2096-09-09", "state": counters, **more}


def operation(state: str, **more: Any) -> dict[str, Any]:
    return {"name": "batches/b", "metadata": {"state": state, **more}}


FILED = {"responsesFile": "files/f"}
INLINED: dict[str, Any] = {"inlinedResponses": {"inlinedResponses": []}}
STANDS = (
    Stands("read", "xai", grok(0, counters={"num_requests": 0, "num_success": 0}), "running"),
    Stands("half", "xai", grok(1), "running", (1, 2)),
    Stands("done", "xai", grok(0), "ended", (2, 2), ("b",)),
    Stands("past its day", "xai", grok(1, expire_time="2026-08-11"), "expired", (1, 2), ("b",)),
    Stands("cancelled", "xai", grok(0, cancel_time="2026-08-10"), "cancelled", (2, 2), ("b",)),
    Stands("refused", "xai", grok(2, cancel_by_xai_message="too many lines"), "failed", (0, 2), ("b",), "too_large"),
    Stands("no counters", "xai", {"batch_id": "b"}, "running"),
    Stands("pending", "gemini", operation("BATCH_STATE_PENDING", batchStats={"requestCount": "2"}), "running", (0, 2)),
    Stands("job's words", "gemini", operation("JOB_STATE_SUCCEEDED", output=FILED), "ended", (0, 0), ("files/f",)),
    Stands("unknown", "gemini", operation("BATCH_STATE_PONDERING"), "running"),
    Stands(
        "counted",
        "gemini",
        operation(
            "BATCH_STATE_SUCCEEDED",
            batchStats={"requestCount": "3", "successfulRequestCount": "2", "failedRequestCount": "1"},
            output=INLINED,
        ),
        "ended",
        (3, 3),
        ("batches/b",),
    ),
    Stands("alone", "gemini", {"name": "batches/b", "state": "BATCH_STATE_EXPIRED", "output": {}}, "expired"),
    Stands(
        "in response",
        "gemini",
        {**operation("BATCH_STATE_SUCCEEDED"), "response": FILED},
        "ended",
        (0, 0),
        ("files/f",),
    ),
    Stands(
        "full",
        "gemini",
        {**operation("BATCH_STATE_FAILED"), "error": {"code": 8, "message": "Enqueued tokens limit reached"}},
        "failed",
        kind="token_limit",
    ),
    Stands("queued", "vertex", {"state": "JOB_STATE_QUEUED"}, "running"),
    Stands("paused", "vertex", {"state": "JOB_STATE_PAUSED"}, "running"),
    Stands(
        "cancelled",
        "vertex",
        {
            "state": "JOB_STATE_CANCELLED",
            "outputConfig": {"gcsDestination": {"outputUriPrefix": "gs://a/b"}},
            "completionStats": {"successfulCount": "3", "incompleteCount": "-1"},
        },
        "cancelled",
        (3, 3),
        ("gs://a/b",),
    ),
    Stands(
        "partial",
        "vertex",
        {"state": "JOB_STATE_PARTIALLY_SUCCEEDED", "outputInfo": {"gcsOutputDirectory": "gs://a/b/c"}},
        "ended",
        results=("gs://a/b/c",),
    ),
    Stands("updating", "mistral", {"status": "UPDATING"}, "running"),
    Stands(
        "late",
        "mistral",
        {"status": "TIMEOUT_EXCEEDED", "total_requests": 2, "completed_requests": 1, "output_file": "o"},
        "expired",
        (1, 2),
        ("o",),
    ),
    Stands(
        "no address of results, yet or any longer",
        "anthropic",
        {"id": "b", "processing_status": "ended", "request_counts": {"succeeded": 2}, "results_url": None},
        "ended",
        (2, 2),
    ),
)


@pytest.mark.parametrize("case", STANDS, ids=lambda case: f"{case.api} {case.name}")
def test_a_standing(case: Stands, tmp_path: Path) -> None:
    """Each way in which an API says where a batch stands; a word that nobody knows is no end."""

    async def act(http: aiohttp.ClientSession) -> None:
        standing = await api.api.standing(http, api.account, sent_of(case.api))
        assert standing.state == case.state
        assert (standing.done, standing.total) == case.counts
        assert (standing.results, standing.kind) == (case.results, case.kind)

    with StandIn(lambda _: told(case.batch)) as server:
        api = subject(case.api, server.url, tmp_path)
        run(act)


def test_gemini_may_answer_inline(tmp_path: Path) -> None:
    """Results that come in the batch itself are read by the key in their metadata; one without it is nobody's."""
    entries = [
        {"response": reply_of("gemini", "a"), "metadata": {"key": "b1-1"}},
        {"error": {"code": 3, "message": "no"}, "metadata": {"key": "b1-0"}},
        {"response": reply_of("gemini", "b")},
    ]
    batch = operation("BATCH_STATE_SUCCEEDED", output={"inlinedResponses": {"inlinedResponses": entries}})

    async def act(http: aiohttp.ClientSession) -> None:
        standing = await api.api.standing(http, api.account, sent_of("gemini"))
        items = await api.items(http, sent_of("gemini"), standing)
        assert [(item.id, item.ending) for item in items] == [("b1-1", "succeeded"), ("b1-0", "failed"), ("", "retry")]

    with StandIn(lambda _: told(batch)) as server:
        api = subject("gemini", server.url, tmp_path)
        run(act)


def test_vertex_results_may_be_in_several_files(tmp_path: Path) -> None:
    """Every JSONL file in the output folder is read, over several pages of its list, and nothing else."""
    names = ["predictions-00000-of-00002.jsonl", "predictions-00001-of-00002.jsonl", "schema.yaml"]

    def answer(asked: Asked) -> Told:
        path = urlsplit(asked.path)
        if path.path.endswith("/o"):
            turn = 1 if "pageToken=more" in path.query else 0
            page = {"items": [{"name": f"runs/b1/results/{name}"} for name in (names[1:], names[:1])[1 - turn]]}
            return told(page if turn else {**page, "nextPageToken": "more"})
        number = names.index(path.path.rpartition("%2F")[2])
        return Told([line_of("vertex", number, "x")])

    async def act(http: aiohttp.ClientSession) -> None:
        items = await api.items(http, sent_of("vertex"), ended("vertex"))
        assert sorted(item.id for item in items) == ["b1-0", "b1-1"]

    with StandIn(answer) as server:
        api = subject("vertex", server.url, tmp_path)
        run(act)


@pytest.mark.parametrize("answer", [b"<html>", b"{}", b""], ids=["no JSON", "no id", "nothing"])
@pytest.mark.parametrize("name", NAMES)
def test_a_creation_without_an_id_may_have_happened(name: str, answer: bytes, tmp_path: Path) -> None:
    """An answer that is no JSON, or names no batch, leaves open whether it exists: a transient error."""

    async def act(http: aiohttp.ClientSession) -> None:
        with pytest.raises(TransientError) as raised:
            await submit(api.api, http, api.account, draft)
        assert raised.value.status != 429

    with StandIn(lambda _: Told([answer])) as server:
        api = subject(name, server.url, tmp_path)
        draft = api.draft(2)
        run(act)


@pytest.mark.parametrize("name", NAMES)
def test_a_key_does_not_follow_redirects(name: str, tmp_path: Path) -> None:
    """An answer that points elsewhere is an error: nothing is asked there."""

    async def act(http: aiohttp.ClientSession) -> None:
        with pytest.raises(ProviderError):
            await api.api.standing(http, api.account, sent_of(name))

    with StandIn(lambda _: told({})) as other, StandIn(lambda _: told({}, 302, location=other.url)) as server:
        api = subject(name, server.url, tmp_path)
        run(act)
        assert (len(server.asked), other.asked) == (1, [])


# ---- the vendors' own clients ---------------------------------------------------------------------------------------

TRANSPORT = {"accept", "accept-encoding", "connection", "content-length", "host", "user-agent", "transfer-encoding"}


def plain(asked: Asked) -> dict[str, str]:
    return {name: text for name, text in asked.headers.items() if name not in TRANSPORT | {"content-type"}}


def test_anthropic_sends_what_its_client_sends(tmp_path: Path) -> None:
    """Path and body of a batch's creation are those of Anthropic's client, its key and version those of a live request.

    The length is stated: the body is not sent in chunks.
    """
    anthropic = pytest.importorskip("anthropic")

    async def act(http: aiohttp.ClientSession) -> None:
        await submit(api.api, http, api.account, draft)

    batch = {
        "id": "b",
        "type": "message_batch",
        "processing_status": "in_progress",
        "request_counts": dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0),
        "created_at": "2026-01-01T00:00:00Z",
        "expires_at": "2026-01-02T00:00:00Z",
    }
    with StandIn(lambda _: told(batch)) as server, ExitStack() as closing:
        api = subject("anthropic", server.url, tmp_path)
        draft = api.draft(3)
        run(act)
        client = anthropic.Anthropic(base_url=server.url + PLACES["anthropic"].path, api_key="key-1", max_retries=0)
        closing.enter_context(client)
        requests = [{"custom_id": f"b1-{number}", "params": body("anthropic", number)} for number in range(3)]
        client.messages.batches.create(requests=requests)
        ours, theirs = server.asked
    assert (ours.method, ours.path, ours.json) == (theirs.method, theirs.path, theirs.json)
    live = codec_for(api.model, "key-1")
    assert isinstance(live, Codec)
    assert plain(ours) == {name: live.headers[name.title()] for name in ("x-api-key", "anthropic-version")}
    assert ours.headers["content-type"] == "application/json"
    assert (ours.headers["content-length"], "transfer-encoding" in ours.headers) == (str(len(ours.body)), False)


def test_anthropic_flags_go_with_the_batch(tmp_path: Path) -> None:
    """Beta flags that a model's `extra` needs in live requests are sent with a batch's creation."""

    async def act(http: aiohttp.ClientSession) -> None:
        await submit(api.api, http, api.account, api.draft(1))

    extra = {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}
    with StandIn(lambda _: told({"id": "b"})) as server:
        api = subject("anthropic", server.url, tmp_path, extra=extra)
        run(act)
        assert "context-management" in server.asked[0].headers["anthropic-beta"]


def test_mistral_sends_what_its_client_sends(tmp_path: Path) -> None:
    """A job's creation is that of Mistral's client, and so is what an upload carries."""
    client_of = pytest.importorskip("mistralai.client")
    job = {
        "id": "b",
        "input_files": ["f"],
        "endpoint": "/v1/chat/completions",
        "errors": [],
        "status": "QUEUED",
        "created_at": 0,
        **dict.fromkeys(("total_requests", "completed_requests", "succeeded_requests", "failed_requests"), 0),
    }
    file = {"id": "f", "object": "file", "bytes": 1, "created_at": 0, "filename": "n", "purpose": "batch"}
    stored = {**file, "sample_type": "batch_request", "source": "upload"}

    async def act(http: aiohttp.ClientSession) -> None:
        await submit(api.api, http, api.account, draft)

    with StandIn(lambda asked: told(stored if asked.path.endswith("/files") else job)) as server:
        api = subject("mistral", server.url, tmp_path)
        draft = api.draft(3)
        run(act)
        with client_of.Mistral(api_key="key-1", server_url=f"{server.url}/mistral") as client:
            data = {"file_name": "b1.jsonl", "content": draft.items.read_bytes()}
            client.files.upload(file=data, purpose="batch")
            client.batch.jobs.create(
                input_files=["f"],
                endpoint="/v1/chat/completions",
                model=api.model.id,
                metadata={"batch": "b1"},
                timeout_hours=24,
            )
        our_file, our_job, their_file, their_job = server.asked
    assert (our_job.path, our_job.json) == (their_job.path, their_job.json)
    assert (our_file.path, parts(our_file)) == (their_file.path, {**parts(their_file), "purpose": b"batch"})
    assert parts(our_file)["file"] == draft.items.read_bytes()
    assert our_job.headers["authorization"] == their_job.headers["authorization"]


def parts(asked: Asked) -> dict[str, bytes]:
    """The fields of a form that count: what it is for, and the file."""
    from runner.simulator.apis.uploads import parts as read

    found = {part.name: part.data for part in read(asked.headers["content-type"], asked.body)}
    return {name: found[name] for name in ("purpose", "file") if name in found}


def test_googles_clients_see_what_we_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of ours is one of Vertex AI to Google's clients: its names and places, its input and its output."""
    storage = pytest.importorskip("google.cloud.storage")
    genai = pytest.importorskip("google.genai")
    credentials = pytest.importorskip("google.oauth2.credentials").Credentials("key-1")

    async def act(http: aiohttp.ClientSession) -> None:
        sent.append(await submit(api.api, http, api.account, draft))
        standing = await api.api.standing(http, api.account, sent[0])
        items.extend(await api.items(http, sent[0], standing))

    sent: list[Sent] = []
    items: list[Item] = []
    with SimulatorThread(FaultPlan(batch_s=0)) as simulator, ExitStack() as closing:
        api = subject("vertex", simulator.base, tmp_path)
        draft = api.draft(3)
        run(act)
        options = genai.types.HttpOptions(base_url=f"{simulator.base}/vertex")
        told_to = {"vertexai": True, "project": "p", "location": "l", "credentials": credentials}
        client = genai.Client(http_options=options, **told_to)
        closing.callback(client._api_client._httpx_client.close)  # noqa: SLF001  older ones have no close()
        job = client.batches.get(name=f"projects/p/locations/l/batchPredictionJobs/{sent[0].provider_id}")
        assert (job.display_name, job.state.name) == ("b1", "JOB_STATE_SUCCEEDED")
        assert job.model == "publishers/google/models/gemini-2.5-flash"
        assert (job.src.gcs_uri, job.dest.gcs_uri) == (list(sent[0].files), "gs://bucket/runs/b1/results")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"{simulator.base}/gcs")
        store = storage.Client(project="p", credentials=credentials)
        closing.callback(store.close)
        assert store.bucket("bucket").blob("runs/b1/items.jsonl").download_as_bytes() == draft.items.read_bytes()
        (found,) = store.list_blobs("bucket", prefix="runs/b1/results/")
        assert found.download_as_bytes().splitlines() == [item.line for item in items]


def test_google_sees_our_file(tmp_path: Path) -> None:
    """The upload is complete to Google's client: its name, size and label."""
    genai = pytest.importorskip("google.genai")

    async def act(http: aiohttp.ClientSession) -> None:
        files.append((await submit(api.api, http, api.account, draft)).files[0])

    files: list[str] = []
    with SimulatorThread(FaultPlan()) as simulator, ExitStack() as closing:
        api = subject("gemini", simulator.base, tmp_path)
        draft = api.draft(3)
        run(act)
        options = genai.types.HttpOptions(base_url=f"{simulator.base}/gemini")
        client = genai.Client(http_options=options, api_key="key-1")
        closing.callback(client._api_client._httpx_client.close)  # noqa: SLF001  older ones have no close()
        file = client.files.get(name=files[0])
        assert (file.display_name, file.mime_type) == ("b1", "application/jsonl")
        assert file.size_bytes == draft.items.stat().st_size


# ---- the table ------------------------------------------------------------------------------------------------------


def test_every_named_api_is_in_the_table() -> None:
    """Each API makes an adapter that takes batches and offers a window; importing the table loads none of them."""
    for service in SERVICES.values():
        limits = service.make().limits
        assert limits.items > 0
        assert limits.n_bytes > 0
        assert list(limits.windows_s) == sorted(limits.windows_s) != []
    code = "import sys, runner.providers.batch.table; print({'aiohttp', 'litellm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_an_api_that_nobody_knows() -> None:
    """A name that is not in the table is refused with the file, the key and the nearest name."""
    model = Model("m", "m", "openai", "v", capability=Capability(batch="anthropc"))
    with pytest.raises(ConfigError, match=r"model/m\.yaml, key 'capability\.batch'.*did you mean 'anthropic'"):
        service_of(model)


def test_accounts() -> None:
    """An account is at the model's own address, else at the provider's; Vertex AI has none of its own."""
    model = Model("m", "m", "mistral", "v", capability=Capability(batch="mistral"))
    assert account_for(model, "k").base == "https://api.mistral.ai/v1"
    assert account_for(replace(model, api_base="http://127.0.0.1:1/v1/"), None).base == "http://127.0.0.1:1/v1"
    with pytest.raises(ConfigError, match="project and the location") as raised:
        account_for(replace(model, capability=Capability(batch="vertex")), "k")
    assert "model.m.api_base=https://" in (raised.value.advice or "")
    assert [name for name, service in SERVICES.items() if not service.key_is_account] == ["vertex"]


def test_vertex_asks_what_gemini_asks() -> None:
    """A request's bytes are Gemini's; live, they go below the project's address with a bearer token."""
    request = Request("gemini-2.5-flash", ({"role": "user", "content": "詩"},), {"temperature": 0.5, "max_tokens": 9})
    base = "https://l-aiplatform.googleapis.com/v1/projects/p/locations/l"
    model = Model("m", "gemini-2.5-flash", "vertex_ai", "v", api_base=base)
    vertex, gemini = codec_for(model, "token"), codec_for(replace(model, provider="gemini", api_base=None), None)
    assert isinstance(vertex, Codec)
    assert isinstance(gemini, Codec)
    assert vertex.encode(request) == gemini.encode(request)
    assert vertex.url == f"{base}/publishers/google/models/gemini-2.5-flash:generateContent"
    assert vertex.headers["Authorization"] == "Bearer token"
    assert not isinstance(codec_for(replace(model, api_base=None), None), Codec)


def test_where_the_storage_is() -> None:
    """Google's storage belongs to Google's addresses alone: a stand-in's token never goes there, nor ours to it."""
    assert storage_beside("https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l") == GOOGLE
    assert storage_beside("http://127.0.0.1:8/vertex/v1/projects/p/locations/l") == "http://127.0.0.1:8"
    assert storage_beside("https://googleapis.com.example/v1") == "https://googleapis.com.example"


@pytest.mark.parametrize("source", ["gs://bucket/items.jsonl", "gs://bucket/runs/other.jsonl"])
def test_nothing_but_a_batchs_own_folder_is_emptied(source: str, tmp_path: Path) -> None:
    """Clean-up refuses a place that is no batch's folder, before it deletes anything."""

    async def act(http: aiohttp.ClientSession) -> None:
        with pytest.raises(FatalError, match="not where a batch's requests are put"):
            await api.api.clean(http, api.account, Sent("b", (source,)), ended("vertex"))

    with StandIn(lambda _: told({})) as server:
        api = subject("vertex", server.url, tmp_path)
        run(act)
        assert server.asked == []
