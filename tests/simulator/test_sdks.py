"""The vendors' own clients accept the simulator: it speaks their formats, and not only as we read them."""

from __future__ import annotations

import io
import json
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, get_type_hints

import openai
import pytest
from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from simulator_clients import CHAT, USER, chat_body, claude_body, gemini_body, jsonl

from runner.simulator import FaultPlan, SimulatorThread
from runner.simulator.chat import anthropic as anthropic_chat
from runner.simulator.chat import gemini as gemini_chat
from runner.simulator.chat import openai as openai_chat

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = {
    "type": "object",
    "properties": {"fun": {"type": "integer"}, "fear": {"type": "integer"}},
    "required": ["fun", "fear"],
    "additionalProperties": False,
}
PLAN = FaultPlan(batch_s=0.2)
CREDENTIALS = Credentials("simulated")
GEMINI_BATCHES = hasattr(types, "InlinedRequest")
"""Older google-genai knows batches of Vertex AI alone."""


def anthropic() -> Any:
    """Anthropic's client. Its import takes seconds, which every process that collects tests would spend."""
    return pytest.importorskip("anthropic")


@pytest.fixture
def simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread(PLAN) as running:
        yield running


def wait() -> None:
    time.sleep(PLAN.batch_s + 0.05)


def is_answer(text: str | None) -> bool:
    """A reply to USER or to SCHEMA."""
    return text is not None and json.loads(text).keys() == {"fun", "fear"}


# ---- OpenAI ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    """Closes the clients' connections: one that is left to the garbage collector warns, in whatever test runs then."""
    with ExitStack() as stack:
        yield stack


def openai_client(closing: ExitStack, base: str, path: str = "/openai/v1", **more: Any) -> openai.OpenAI:
    client = openai.OpenAI(base_url=base + path, **{"api_key": "key-1", "max_retries": 0, **more})
    return closing.enter_context(client)


def test_openai_chat(simulator: SimulatorThread, closing: ExitStack) -> None:
    """A completion with a schema, one with a forced tool and one without either are what was asked for."""
    ask = openai_client(closing, simulator.base).chat.completions.create
    told: Any = {"type": "json_schema", "json_schema": {"name": "scores", "strict": True, "schema": SCHEMA}}
    assert is_answer(ask(**chat_body("gpt-4o"), response_format=told).choices[0].message.content)
    tool: Any = {"type": "function", "function": {"name": "rate", "parameters": SCHEMA}}
    choice: Any = {"type": "function", "function": {"name": "rate"}}
    calls = ask(**chat_body("gpt-4o"), tools=[tool], tool_choice=choice).choices[0].message.tool_calls
    assert calls is not None
    assert is_answer(calls[0].to_dict()["function"]["arguments"])
    reply = ask(**chat_body("o3-mini"), max_completion_tokens=800)
    assert is_answer(reply.choices[0].message.content)
    assert reply.usage is not None
    assert reply.usage.completion_tokens_details is not None
    assert (reply.usage.completion_tokens_details.reasoning_tokens or 0) > 0


@pytest.mark.parametrize(
    ("path", "model", "window"),
    [
        ("/openai/v1", "gpt-4o", "24h"),
        ("/groq/openai/v1", "llama-3.3-70b-versatile", "7d"),
        ("/kluster/v1", "klusterai/Meta-Llama-3.3-70B-Instruct-Turbo", "3h"),
    ],
)
def test_openai_batches(simulator: SimulatorThread, closing: ExitStack, path: str, model: str, window: Any) -> None:
    """Upload, create, poll, fetch and clean up with OpenAI's client."""
    client = openai_client(closing, simulator.base, path)
    lines = [{"custom_id": f"i{n}", "method": "POST", "url": CHAT, "body": chat_body(model, n)} for n in range(3)]
    file = client.files.create(file=("in.jsonl", jsonl(lines)), purpose="batch")
    made = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window=window, metadata={"our": "mark"}
    )
    wait()
    batch = client.batches.retrieve(made.id)
    assert (batch.status, batch.metadata) == ("completed", {"our": "mark"})
    assert batch.request_counts is not None
    assert batch.request_counts.completed == 3
    assert batch.output_file_id is not None
    results = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    assert {result["custom_id"] for result in results} == {"i0", "i1", "i2"}
    assert all(is_answer(result["response"]["body"]["choices"][0]["message"]["content"]) for result in results)
    assert made.id in [entry.id for entry in client.batches.list().data]
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_openai_errors_are_its_own(simulator: SimulatorThread, closing: ExitStack) -> None:
    """The client raises what it raises for the real API: wrong key, wrong model, wrong parameter."""
    ask = openai_client(closing, simulator.base).chat.completions.create
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        ask(**chat_body("no-such-model"))
    with pytest.raises(openai.BadRequestError, match="Unknown parameter: 'temprature'"):
        ask(**chat_body("gpt-4o"), extra_body={"temprature": 1})
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
        openai_client(closing, simulator.base, api_key="invalid").chat.completions.create(**chat_body("gpt-4o"))


def test_openai_waits_as_told(closing: ExitStack) -> None:
    """After a 429 the client comes back when the header says so, and gets its answer."""
    with SimulatorThread(FaultPlan(refuse=0.5, retry_after_s=0.3)) as simulator:
        start = time.monotonic()
        reply = openai_client(closing, simulator.base, max_retries=1).chat.completions.create(**chat_body("gpt-4o"))
        assert is_answer(reply.choices[0].message.content)
        assert time.monotonic() - start >= 0.3
        assert simulator.count.requests == {"openai": {"chat": 2}}


def test_groq_batches(simulator: SimulatorThread, closing: ExitStack) -> None:
    """Upload, create, poll, fetch, list, cancel and clean up with Groq's own client, which reads pages its own way."""
    groq = pytest.importorskip("groq")
    client = closing.enter_context(groq.Groq(base_url=f"{simulator.base}/groq", api_key="key-1", max_retries=0))
    model = "llama-3.3-70b-versatile"
    assert is_answer(client.chat.completions.create(**chat_body(model)).choices[0].message.content)
    lines = [{"custom_id": f"i{n}", "method": "POST", "url": CHAT, "body": chat_body(model, n)} for n in range(3)]
    file = client.files.create(file=("in.jsonl", jsonl(lines)), purpose="batch")
    told = {"endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": {"our": "mark"}}
    first, second = (client.batches.create(input_file_id=file.id, **told) for _ in range(2))
    assert client.batches.cancel(second.id).status in ("cancelling", "cancelled")
    wait()
    batch = client.batches.retrieve(first.id)
    assert (batch.status, batch.metadata, batch.request_counts.completed) == ("completed", {"our": "mark"}, 3)
    results = [json.loads(line) for line in client.files.content(batch.output_file_id).text().splitlines()]
    assert {result["custom_id"] for result in results} == {"i0", "i1", "i2"}
    assert all(is_answer(result["response"]["body"]["choices"][0]["message"]["content"]) for result in results)
    assert {entry.id for entry in client.batches.list().data} == {first.id, second.id}
    assert client.files.delete(file.id).deleted


# ---- Mistral --------------------------------------------------------------------------------------------------------


def test_mistral_batches(simulator: SimulatorThread, closing: ExitStack) -> None:
    """Upload, create, poll, fetch, list, cancel and clean up with Mistral's own client."""
    client_of = pytest.importorskip("mistralai.client")
    client = closing.enter_context(client_of.Mistral(api_key="key-1", server_url=f"{simulator.base}/mistral"))
    model = "mistral-small-latest"
    assert is_answer(client.chat.complete(**chat_body(model)).choices[0].message.content)
    data = jsonl({"custom_id": f"i{number}", "body": chat_body(model, number)} for number in range(3))
    file = client.files.upload(file={"file_name": "in.jsonl", "content": data}, purpose="batch")
    told = {"endpoint": "/v1/chat/completions", "model": model, "metadata": {"our": "mark"}, "timeout_hours": 24}
    first, second = (client.batch.jobs.create(input_files=[file.id], **told) for _ in range(2))
    client.batch.jobs.cancel(job_id=second.id)
    wait()
    job = client.batch.jobs.get(job_id=first.id)
    assert (job.status, job.metadata, job.total_requests, job.succeeded_requests) == ("SUCCESS", {"our": "mark"}, 3, 3)
    results = [json.loads(line) for line in client.files.download(file_id=job.output_file).read().splitlines()]
    assert {result["custom_id"] for result in results} == {"i0", "i1", "i2"}
    assert all(is_answer(result["response"]["body"]["choices"][0]["message"]["content"]) for result in results)
    assert {entry.id for entry in client.batch.jobs.list().data} == {first.id, second.id}
    assert client.batch.jobs.get(job_id=second.id).status == "CANCELLED"
    assert client.files.delete(file_id=file.id).deleted


# ---- Anthropic ------------------------------------------------------------------------------------------------------


def test_anthropic_messages(simulator: SimulatorThread, closing: ExitStack) -> None:
    """A message with a schema, with a forced tool, and with neither."""
    client = anthropic().Anthropic(base_url=f"{simulator.base}/anthropic", api_key="key-1", max_retries=0)
    closing.enter_context(client)
    shape = {"format": {"type": "json_schema", "schema": SCHEMA}}
    assert is_answer(client.messages.create(**claude_body(), output_config=shape).content[0].text)
    tool = {"name": "rate", "input_schema": SCHEMA}
    forced = client.messages.create(**claude_body(), tools=[tool], tool_choice={"type": "tool", "name": "rate"})
    assert (forced.stop_reason, forced.content[0].input.keys()) == ("tool_use", {"fun", "fear"})
    plain = client.messages.create(**claude_body(), system="a poet", extra_body={"temperature": 0.3})
    assert is_answer(plain.content[0].text)
    assert plain.usage.output_tokens > 10


def test_anthropic_batches(simulator: SimulatorThread, closing: ExitStack) -> None:
    """Create, poll, stream results, list, cancel and delete with Anthropic's client."""
    client = anthropic().Anthropic(base_url=f"{simulator.base}/anthropic", api_key="key-1", max_retries=0)
    closing.enter_context(client)
    batches = client.messages.batches
    requests = [{"custom_id": f"i{number}", "params": claude_body(number)} for number in range(3)]
    made = batches.create(requests=requests)
    assert made.processing_status == "in_progress"
    assert made.request_counts.processing == 3
    with pytest.raises(anthropic().AnthropicError, match="No `results_url`"):
        batches.results(made.id)
    wait()
    results = {entry.custom_id: entry.result for entry in batches.results(made.id)}
    assert results.keys() == {"i0", "i1", "i2"}
    assert all(is_answer(result.message.content[0].text) for result in results.values())
    second = batches.create(requests=requests)
    assert batches.cancel(second.id).processing_status == "ended"
    assert [batch.id for batch in batches.list(limit=1)] == [second.id, made.id]
    assert batches.delete(made.id).type == "message_batch_deleted"
    with pytest.raises(anthropic().NotFoundError):
        batches.retrieve(made.id)


# ---- Google ---------------------------------------------------------------------------------------------------------


def google_client(closing: ExitStack, address: str, **more: Any) -> Any:
    client = genai.Client(http_options=types.HttpOptions(base_url=address), **more)
    # Older ones have no close() of their own.
    closing.callback(client._api_client._httpx_client.close)  # noqa: SLF001
    return client


def test_gemini_content(simulator: SimulatorThread, closing: ExitStack) -> None:
    """A response with a schema, with a forced function, and with neither; and an error."""
    client = google_client(closing, f"{simulator.base}/gemini", api_key="key-1")
    generate_content = client.models.generate_content
    plain: Any = {"system_instruction": "a poet", "temperature": 0.4}
    assert is_answer(generate_content(model="gemini-2.5-flash", contents=USER, config=plain).text)
    number = {"type": "INTEGER"}
    schema = {"type": "OBJECT", "properties": {"fun": number, "fear": number}, "required": ["fun", "fear"]}
    shaped: Any = {"response_mime_type": "application/json", "response_schema": schema}
    reply = generate_content(model="gemini-2.5-pro", contents=USER, config=shaped)
    assert is_answer(reply.text)
    assert reply.usage_metadata.thoughts_token_count > 0
    forced: Any = {
        "tools": [{"function_declarations": [{"name": "rate", "parameters": schema}]}],
        "tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["rate"]}},
        "automatic_function_calling": {"disable": True},
    }
    calls = generate_content(model="gemini-2.5-flash", contents=USER, config=forced).function_calls
    assert calls[0].args.keys() == {"fun", "fear"}
    with pytest.raises(genai.errors.ClientError, match="is not found for API version"):
        generate_content(model="no-such-model", contents=USER)


@pytest.mark.skipif(not GEMINI_BATCHES, reason="this google-genai has no batches of the Gemini Developer API")
def test_gemini_batches(simulator: SimulatorThread, closing: ExitStack) -> None:
    """Batches with requests inline and in a file, files up and down, list and deletion with Google's client."""
    client = google_client(closing, f"{simulator.base}/gemini", api_key="key-1")
    source = [{"contents": USER, "metadata": {"key": "i0"}, "config": {"temperature": 0.5}}]
    inline = client.batches.create(model="gemini-2.5-flash", src=source, config={"display_name": "ours"})
    data = jsonl({"key": f"i{number}", "request": gemini_body(number)} for number in range(3))
    file = client.files.upload(file=io.BytesIO(data), config={"mime_type": "jsonl", "display_name": "in"})
    filed = client.batches.create(model="gemini-2.5-flash", src=file.name, config={"display_name": "filed"})
    wait()
    job = client.batches.get(name=inline.name)
    assert (job.state.name, job.display_name) == ("JOB_STATE_SUCCEEDED", "ours")
    (entry,) = job.dest.inlined_responses
    assert entry.metadata == {"key": "i0"}
    assert is_answer(entry.response.text)
    job = client.batches.get(name=filed.name)
    lines = client.files.download(file=job.dest.file_name).splitlines()
    assert {json.loads(line)["key"] for line in lines} == {"i0", "i1", "i2"}
    assert [batch.display_name for batch in client.batches.list()] == ["filed", "ours"]
    client.batches.delete(name=filed.name)
    client.files.delete(name=file.name)
    assert [batch.display_name for batch in client.batches.list()] == ["ours"]


def test_vertex_batches(simulator: SimulatorThread, closing: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that reads from the storage and writes to it, with Google's two clients."""
    storage = pytest.importorskip("google.cloud.storage")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"{simulator.base}/gcs")
    store = storage.Client(project="p", credentials=CREDENTIALS)
    closing.callback(store.close)
    bucket = store.bucket("ours")
    data = jsonl({"request": gemini_body(number, labels={"key": f"i{number}"})} for number in range(3))
    bucket.blob("in/a.jsonl").upload_from_string(data)
    assert bucket.blob("in/a.jsonl").download_as_bytes() == data
    large = bucket.blob("in/large")
    large.chunk_size = 256 * 1024
    large.upload_from_string(b"x" * 700_000)
    assert large.download_as_bytes(start=699_990) == b"x" * 10
    told = {"vertexai": True, "project": "p", "location": "global", "credentials": CREDENTIALS}
    client = google_client(closing, f"{simulator.base}/vertex", **told)
    assert is_answer(client.models.generate_content(model="gemini-2.5-flash", contents=USER).text)
    target = {"display_name": "ours", "dest": "gs://ours/out"}
    job = client.batches.create(model="gemini-2.5-flash", src="gs://ours/in/a.jsonl", config=target)
    wait()
    assert client.batches.get(name=job.name).state.name == "JOB_STATE_SUCCEEDED"
    (blob,) = store.list_blobs("ours", prefix="out/")
    lines = [json.loads(line) for line in blob.download_as_bytes().splitlines()]
    assert {line["request"]["labels"]["key"] for line in lines} == {"i0", "i1", "i2"}
    assert [entry.name for entry in client.batches.list()] == [job.name]
    client.batches.delete(name=job.name)
    blob.delete()
    assert not blob.exists()


# ---- the tables of fields -------------------------------------------------------------------------------------------


def test_the_tables_know_the_clients_fields() -> None:
    """Every parameter in the vendors' types is in our tables, and no other, so that no valid request is refused."""
    assert openai_chat.OPENAI.keys() == get_type_hints(CompletionCreateParamsNonStreaming).keys()
    told = get_type_hints(anthropic().types.message_create_params.MessageCreateParamsNonStreaming)
    # The client has dropped three that older models still take.
    assert anthropic_chat.FIELDS.keys() == {*told, "temperature", "top_p", "top_k"}
    config = {name.title().replace("_", "") for name in types.GenerationConfig.model_fields}
    assert {name.lower() for name in config} <= {name.lower() for name in gemini_chat.CONFIG}
    schema = {name.replace("_", "") for name in types.Schema.model_fields}
    assert schema <= {name.lower() for name in gemini_chat.SCHEMA} | {"defs", "ref"}
