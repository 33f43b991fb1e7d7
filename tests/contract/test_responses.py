"""OpenAI's Responses API: what is sent to it, what is read of it, and the whole way at the simulator."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_type_hints

import openai
import pytest
from hydra import compose, initialize_config_dir
from openai.types.responses import Response
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter
from simulator_clients import USER, jsonl

from runner.cli.main import main
from runner.config import schema
from runner.config.compose import conf_dir
from runner.config.load import load
from runner.errors import ConfigError, ProviderError
from runner.ledger.upkeep.kinds import asked_of, why_no_reply
from runner.plan.capability import adapt
from runner.plan.trials import endpoint_of
from runner.providers.codec import Codec, codec_for
from runner.records import Capability, Model, Prompt, Reply, Tokens
from runner.results import files
from runner.simulator import FaultPlan, SimulatorThread
from runner.simulator.chat import responses as simulated

if TYPE_CHECKING:
    from pathlib import Path

SHAPE: dict[str, Any] = {
    "type": "object",
    "properties": {"fun": {"type": "integer"}, "fear": {"type": "integer"}},
    "required": ["fun", "fear"],
    "additionalProperties": False,
}
ABLE = Capability("developer", "fixed", max_tokens="max_completion_tokens", structure="schema", api="responses")
MODEL = Model("m", "o1-pro", "openai", "v", capability=ABLE)


def any_model(name: str, *more: str) -> Model:
    schema.register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        words = ["model=any", f"model.any.id={name}", "model.any.key_env=K", *more]
        return load(compose("config", overrides=words)).models[0]


def body_of(model: Model, **asked: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"temperature": 0.7, "max_tokens": 500, "seed": 3, "schema": SHAPE}
    adapted = adapt(Prompt("You are a poet. 詩人", "Read “rain”: 雨"), model, **{**values, **asked})
    codec = codec_for(model, "key")
    assert isinstance(codec, Codec)
    body: dict[str, Any] = json.loads(codec.encode(adapted.request))
    return body


# ---- what is sent ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["o1-pro", "o3-pro", "gpt-5-pro", "gpt-5.1-codex", "gpt-5.5-pro"])
def test_a_model_that_it_alone_serves_is_asked_there(name: str) -> None:
    """The map's mode decides; no temperature and no seed are sent, and nothing is left at the provider."""
    model = any_model(f"openai/{name}")
    codec = codec_for(model, "key")
    assert isinstance(codec, Codec)
    assert codec.url == "https://api.openai.com/v1/responses"
    body = body_of(model)
    assert body["max_output_tokens"] == 500
    assert body["store"] is False
    assert not {"temperature", "seed", "messages", "max_tokens", "max_completion_tokens"} & body.keys()


@pytest.mark.parametrize("name", ["xai/grok-4.20-multi-agent", "azure/o3-pro", "perplexity/openai/gpt-5.2"])
def test_another_providers_responses_are_refused(name: str) -> None:
    """A model that is served by another provider's Responses API alone is refused before anything is sent."""
    with pytest.raises(ConfigError, match="only the Responses API serves this model"):
        any_model(name)


@pytest.mark.parametrize("rung", ["schema", "tool", "json_object", "prompt"])
@pytest.mark.parametrize("role", ["system", "developer", "merge"])
def test_a_body_is_as_the_vendor_types_it(role: Any, rung: Any) -> None:
    """OpenAI's own types take every body; each field is one of the API, and the prompt is in it to the letter."""
    body = body_of(replace(MODEL, capability=replace(ABLE, system=role, structure=rung)))
    TypeAdapter(ResponseCreateParamsNonStreaming).validate_python(body)
    assert body.keys() <= get_type_hints(ResponseCreateParamsNonStreaming).keys()
    said = json.dumps(body, ensure_ascii=False)
    assert "You are a poet. 詩人" in said
    assert "Read “rain”: 雨" in said
    if rung == "schema":
        assert body["text"] == {"format": {"type": "json_schema", "name": "scores", "strict": True, "schema": SHAPE}}
    if rung == "tool":
        assert body["tool_choice"] == {"type": "function", "name": "scores"}
        assert [tool["parameters"] for tool in body["tools"]] == [SHAPE]


def test_further_parameters_arrive() -> None:
    """What `extra` holds is sent: under the API's own name, in its words for a chat's, or as it is."""
    extra = {"reasoning_effort": "high", "store": True, "truncation": "auto", "a_new_one": {"x": 1}}
    body = body_of(replace(MODEL, extra=extra))
    assert body["reasoning"] == {"effort": "high"}
    assert (body["store"], body["truncation"], body["a_new_one"]) == (True, "auto", {"x": 1})


def test_equal_requests_are_equal_bytes_and_have_a_key_of_their_own() -> None:
    """A body is the same each time; chat completions of the same model are another endpoint, and older keys stay."""
    assert body_of(MODEL) == body_of(MODEL)
    assert endpoint_of(MODEL) == "openai+responses"
    assert endpoint_of(replace(MODEL, capability=replace(ABLE, api="chat"))) == "openai"


# ---- what is read ---------------------------------------------------------------------------------------------------


def response(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 75, "input_tokens_details": {"cached_tokens": 32}, "output_tokens": 1_186,
             "output_tokens_details": {"reasoning_tokens": 1_024}, "total_tokens": 1_261}  # fmt: skip
    return {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "error": None,
            "incomplete_details": None, "model": "o1-pro-2025-03-19", "output": list(output), "usage": usage,
            "service_tier": "default", **more}  # fmt: skip


def message(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": list(parts)}


TEXT = {"type": "output_text", "text": "喜び", "annotations": []}
THOUGHT = {"id": "rs", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Let me see."}]}
CALL = {"id": "fc", "type": "function_call", "call_id": "c", "name": "scores", "arguments": '{"fun": 1}'}
USED = Tokens(75, 1_186, 32, 1_024)
CUT = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}


def read(text: str | None, finish: str | None = "stop", **more: Any) -> Reply:
    return Reply(text, finish, **{"tokens": USED, "model_version": "o1-pro-2025-03-19", **more})


@dataclass(frozen=True)
class Case:
    """A body, and the reply that it is."""

    id: str
    body: dict[str, Any]
    reply: Reply
    rung: Any = "schema"


CASES = (
    Case("text", response(message(TEXT)), read("喜び")),
    Case("thoughts before it", response(THOUGHT, message(TEXT)), read("喜び")),
    Case("two parts, two messages", response(message(TEXT, TEXT), message(TEXT)), read("喜び" * 3)),
    Case("a call", response(THOUGHT, CALL), read('{"fun": 1}'), "tool"),
    Case("a refusal", response(message({"type": "refusal", "refusal": "No."})), read(None, refusal="No.")),
    Case("cut", response(message(TEXT), **CUT), read("喜び", "length")),
    Case("all thought", response(THOUGHT, **CUT), read(None, "length", aside="Let me see.")),
    Case(
        "filtered",
        response(message(TEXT), status="incomplete", incomplete_details={"reason": "content_filter"}),
        read("喜び", "content_filter"),
    ),
    Case("nothing", response(), read(None)),
    Case("no counts", response(message(TEXT), usage=None), read("喜び", tokens=Tokens())),
    Case("odd parts", response(*[3], {"type": "message", "content": 7}, message(TEXT, *[5])), read("喜び")),  # type: ignore[arg-type]
    Case("flex", response(message(TEXT), service_tier="flex"), read("喜び", billed_as="flex")),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_response_is_read(case: Case) -> None:
    """Words, calls, refusals, ends and counts of a response, whatever stands beside them."""
    assert codec_for(MODEL, None).decode(json.dumps(case.body).encode(), case.rung) == case.reply


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (response(status="failed", error={"code": "server_error", "message": "oops"}), "server"),
        (response(status="failed", error={"code": "rate_limit_exceeded", "message": "slow"}), "rate_limit"),
        (response(status="in_progress"), "not_a_reply"),
        ({"object": "chat.completion", "choices": [{"message": {"content": "x"}}]}, "not_a_reply"),
        ({}, "not_a_reply"),
    ],
    ids=["server", "rate", "in progress", "chat", "empty"],
)
def test_what_is_no_response_is_never_stored(body: dict[str, Any], kind: str) -> None:
    """A failed or unfinished response, or a reply of another API, is a failure by its kind."""
    codec = codec_for(MODEL, None)
    with pytest.raises(ProviderError) as caught:
        codec.check(json.dumps(body).encode())
    assert caught.value.kind == kind


@pytest.mark.parametrize("endpoint", ["openai+responses", "openai+responses@http://127.0.0.1:1/v1"])
def test_the_ledger_knows_a_response_for_what_it_is(endpoint: str) -> None:
    """A stored response is a reply of the API that was asked, and a chat completion in its place is none."""
    assert why_no_reply(endpoint, json.dumps(response(message(TEXT))).encode()) is None
    assert why_no_reply("openai", json.dumps(response(message(TEXT))).encode()) is not None
    assert why_no_reply(endpoint, b'{"choices": [{"message": {"content": "x"}}]}') is not None
    asked = asked_of(endpoint, "o3-pro")
    assert (asked.provider, endpoint_of(asked)) == ("openai", endpoint)


# ---- the simulator --------------------------------------------------------------------------------------------------


@pytest.fixture
def simulator() -> Any:
    with SimulatorThread(FaultPlan(batch_s=0.2)) as running:
        yield running


def test_the_vendors_client_accepts_the_simulator(simulator: SimulatorThread) -> None:
    """OpenAI's client reads its responses: with a schema, a forced tool, cut at a limit; chat refuses the model."""
    assert simulated.FIELDS.keys() == get_type_hints(ResponseCreateParamsNonStreaming).keys()
    with ExitStack() as stack:
        client = stack.enter_context(
            openai.OpenAI(base_url=f"{simulator.base}/openai/v1", api_key="key-1", max_retries=0)
        )
        ask = client.responses.create
        told: Any = {"format": {"type": "json_schema", "name": "scores", "strict": True, "schema": SHAPE}}
        reply = ask(model="o3-pro", instructions="You are a poet.", input=USER, text=told)
        assert json.loads(reply.output_text).keys() == {"fun", "fear"}
        assert reply.usage is not None
        assert reply.usage.output_tokens_details.reasoning_tokens > 0
        tool: Any = {"type": "function", "name": "rate", "parameters": SHAPE, "strict": True}
        forced: Any = {"type": "function", "name": "rate"}
        calls = [item for item in ask(model="gpt-5-pro", input=USER, tools=[tool], tool_choice=forced).output
                 if item.type == "function_call"]  # fmt: skip
        assert json.loads(calls[0].arguments).keys() == {"fun", "fear"}
        cut = ask(model="o3-pro", input=USER, max_output_tokens=16)
        assert (cut.status, cut.incomplete_details and cut.incomplete_details.reason) == (
            "incomplete",
            "max_output_tokens",
        )
        with pytest.raises(openai.NotFoundError, match="only supported in v1/responses"):
            client.chat.completions.create(model="o3-pro", messages=[{"role": "user", "content": USER}])
        with pytest.raises(openai.BadRequestError, match="Unknown parameter: 'messages'"):
            ask(model="o3-pro", input=USER, extra_body={"messages": []})


def test_the_vendors_client_batches_at_the_simulator(simulator: SimulatorThread) -> None:
    """A batch of /v1/responses gives responses; a line of another endpoint fails it."""
    with ExitStack() as stack:
        client = stack.enter_context(
            openai.OpenAI(base_url=f"{simulator.base}/openai/v1", api_key="key-1", max_retries=0)
        )
        ends = {}
        for url in ("/v1/responses", "/v1/chat/completions"):
            line = {"custom_id": "a", "method": "POST", "url": url, "body": {"model": "o3-pro", "input": USER}}
            file = client.files.create(file=("in.jsonl", jsonl([line])), purpose="batch")
            made = client.batches.create(input_file_id=file.id, endpoint="/v1/responses", completion_window="24h")
            while (batch := client.batches.retrieve(made.id)).status not in ("completed", "failed"):
                pass
            ends[url] = batch
        assert ends["/v1/chat/completions"].status == "failed"
        result = client.files.content(ends["/v1/responses"].output_file_id or "").text
        body = json.loads(result)["response"]["body"]
        assert json.loads(Response.model_validate(body).output_text).keys() == {"fun", "fear"}


@pytest.mark.parametrize("mode", ["off", "native"])
def test_such_a_model_is_bought_live_and_by_batch(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rehearsal of a model that the Responses API alone serves scores every reply, and knows what each would cost."""
    monkeypatch.chdir(tmp_path)
    words = ("model=any", "model.any.id=openai/o3-pro", "model.any.key_env=K", "model.any.capability.batch=openai",
             "persona=[poet]", "text=[rain]", "prompt=interest", "sampling.trials=2")  # fmt: skip
    still = ("tracking.enabled=false", "report=false", f"batch.mode={mode}", "hydra.run.dir=run")
    assert main(["rehearse", *words, *still]) == 0
    rows = list(files.read_rows(tmp_path / "run" / "results.jsonl"))
    assert [(row.outcome, row.route) for row in rows] == [("scored", "live" if mode == "off" else "batch")] * 2
    for row in rows:
        assert row.tokens.input is not None
        assert row.tokens.output is not None
        share = 1 if mode == "off" else 0.5  # 20 and 80 dollars a million tokens
        usd = (row.tokens.input * 20 + row.tokens.output * 80) / 1_000_000 * share
        assert row.price_usd == pytest.approx(usd)
