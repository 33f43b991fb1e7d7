"""What each model file sends: against a golden file, against LiteLLM, and against the vendors' own types.

The golden files are made anew by `RUNNER_UPDATE_GOLDEN=1 pytest tests/contract`; read their diff before committing it.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hydra import compose, initialize_config_dir
from pydantic import TypeAdapter
from recorder import Arrival, Recorder

from runner.config import schema
from runner.config.load import load
from runner.plan.capability import adapt
from runner.providers.codec import Codec, codec_for, prepare
from runner.records import Model, Prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.records import Adapted

CONF = Path(__file__).parents[2] / "conf"
GOLDEN = Path(__file__).parent / "golden"
ELSEWHERE = {"gemini-2-5-flash-vertex", "gemini-3-8-flash-vertex"}
"""LiteLLM signs in at Google before it sends these; test_batch_adapters.py holds them to Gemini's."""
NAMES = sorted({path.stem for path in (CONF / "model").glob("*.yaml")} - ELSEWHERE)
OPEN = (
    "model.any.id=mistral/mistral-large-latest",
    "model.openai_compatible.id=local",
    "model.openai_compatible.api_base=http://127.0.0.1:1/v1",
)
"""What the user must set for the files that leave it open."""
PATHS = {"anthropic": "", "gemini": "/v1beta"}
"""What `api_base` holds after the host; /v1 for every other provider."""
PROMPT = Prompt(system="You are a poet. 詩人 🎭", user='Read “rain”:\n\n  雨\t\\ "drops" \u2028 𠮷')
SCHEMA = {
    "type": "object",
    "properties": {
        "joy": {
            "type": "object",
            "properties": {
                "score": {"type": "number", "minimum": 0, "maximum": 100},
                "reason": {"type": "string", "maxLength": 200},
            },
            "required": ["score", "reason"],
            "additionalProperties": False,
        }
    },
    "required": ["joy"],
    "additionalProperties": False,
}

CLAUDE_SCHEMA = {
    "headers.anthropic-beta": "LiteLLM's older form of a schema needs a beta header; the current form needs none",
    "body.output_format": "LiteLLM sends the older form",
    "body.output_config": "Anthropic's current form, also in batches",
}
DEVELOPER = {"body.messages.0.role": "LiteLLM turns the developer message into a system message"}
DIFFERENCES: dict[str, dict[str, str]] = {
    "claude-haiku-4-5": CLAUDE_SCHEMA,
    "claude-haiku-5-5": CLAUDE_SCHEMA,
    "claude-opus-5-5": CLAUDE_SCHEMA,
    "claude-sonnet-5-5": CLAUDE_SCHEMA,
    "gpt-5": DEVELOPER,
    "gpt-5-mini": DEVELOPER,
    "gpt-5-6": DEVELOPER,
    "gpt-6-1-sol": DEVELOPER,
    "gpt-6-1-terra": DEVELOPER,
    "gpt-6-luna": DEVELOPER,
}
"""Where we differ from LiteLLM on purpose: model file -> place -> reason. A line that no longer holds fails too."""


@dataclass(frozen=True)
class Sent:
    """One model file's request, and what LiteLLM makes of the same."""

    model: Model
    adapted: Adapted
    encoded: bytes
    ours: Arrival
    litellm: Arrival


def models() -> tuple[Model, ...]:
    schema.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return load(compose("config", overrides=[f"model=[{','.join(NAMES)}]", *OPEN])).models


async def _send(codec: Codec, body: bytes) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.post(codec.url, data=body, headers=codec.headers) as answer:
        assert answer.status == 200


async def _send_by_litellm(model: Model, adapted: Adapted) -> None:
    provider = "openai" if model.provider == "embedded" else model.provider
    await prepare().acompletion(
        model=f"{provider}/{model.id}",
        messages=[dict(message) for message in adapted.request.messages],
        api_key="test-key",
        api_base=model.api_base,
        max_retries=0,
        num_retries=0,
        timeout=30,
        _skip_mcp_handler=True,
        **adapted.request.params,
    )


async def _exchange(recorder: Recorder, model: Model) -> Sent:
    model = replace(model, api_base=recorder.url + PATHS.get(model.provider, "/v1"))
    adapted = adapt(PROMPT, model, temperature=0.7, max_tokens=256, seed=7, schema=SCHEMA)
    codec = codec_for(model, "test-key")
    assert isinstance(codec, Codec)
    encoded = codec.encode(adapted.request)
    before = len(recorder.arrivals)
    await _send(codec, encoded)
    await _send_by_litellm(model, adapted)
    ours, litellm = recorder.arrivals[before:]
    return Sent(model, adapted, encoded, ours, litellm)


@pytest.fixture(scope="module")
def sent() -> Iterator[dict[str, Sent]]:
    async def all_of_them(recorder: Recorder) -> dict[str, Sent]:
        return {model.name: await _exchange(recorder, model) for model in models()}

    with Recorder() as recorder:
        yield asyncio.run(all_of_them(recorder))


def _differences(ours: Any, theirs: Any, place: str) -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in {**ours, **theirs}:
            absent = object()
            yield from _differences(ours.get(name, absent), theirs.get(name, absent), f"{place}.{name}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _differences(one, other, f"{place}.{index}")
    elif ours != theirs:
        yield place


@pytest.mark.parametrize("name", NAMES)
def test_golden(sent: dict[str, Sent], name: str) -> None:
    """Path, headers and body reach the provider as the golden file says, in its order of keys."""
    one = sent[name]
    golden = GOLDEN / f"{name}.json"
    arrived = {"path": one.ours.path, "rung": one.adapted.rung, "headers": one.ours.headers, "body": one.ours.body}
    written = json.dumps(arrived, ensure_ascii=False, indent=2) + "\n"
    if os.environ.get("RUNNER_UPDATE_GOLDEN"):
        golden.write_text(written, encoding="utf-8")
    assert written == golden.read_text(encoding="utf-8")
    assert one.ours.raw == one.encoded


def test_no_golden_file_is_left_over() -> None:
    """There is a golden file for each model file, and none for anything else."""
    assert sorted(path.stem for path in GOLDEN.glob("*.json")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_as_litellm(sent: dict[str, Sent], name: str) -> None:
    """The request is what LiteLLM itself sends, except where DIFFERENCES gives a reason."""
    one = sent[name]
    assert one.ours.path == one.litellm.path
    headers = _differences(one.ours.headers, one.litellm.headers, "headers")
    body = _differences(one.ours.body, one.litellm.body, "body")
    assert {*headers, *body} == set(DIFFERENCES.get(name, {}))


@pytest.mark.parametrize("name", NAMES)
def test_as_the_vendor_types_it(sent: dict[str, Sent], name: str) -> None:
    """The body fits the request types of the vendor's own SDK, with no field that they do not know."""
    one = sent[name]
    own = OWN_FIELDS.get(one.model.provider, frozenset())
    match one.model.provider:
        case "anthropic":
            _check_anthropic(one.ours.body, own)
        case "gemini":
            _check_gemini(one.ours.body)
        case _:
            _check_openai(one.ours.body, own)


OWN_FIELDS = {
    "deepseek": frozenset({"thinking"}),
    "mistral": frozenset({"random_seed"}),
    # Taken by Claude up to 4.6; today's SDK serves only models that refuse it.
    "anthropic": frozenset({"temperature"}),
}
"""Fields that a provider takes and the SDK's types lack, by provider."""


def _check_openai(body: dict[str, Any], own: frozenset[str]) -> None:
    from openai.types.chat.completion_create_params import (
        CompletionCreateParamsBase,
        CompletionCreateParamsNonStreaming,
    )

    TypeAdapter(CompletionCreateParamsNonStreaming).validate_python(body)
    assert set(body) - own <= set(CompletionCreateParamsBase.__annotations__)


def _check_anthropic(body: dict[str, Any], own: frozenset[str]) -> None:
    from anthropic.types.message_create_params import MessageCreateParamsBase, MessageCreateParamsNonStreaming

    TypeAdapter(MessageCreateParamsNonStreaming).validate_python(body)
    assert set(body) - own <= set(MessageCreateParamsBase.__annotations__)


def _check_gemini(body: dict[str, Any]) -> None:
    from google.genai import types

    assert set(body) <= {"contents", "system_instruction", "tools", "toolConfig", "generationConfig"}
    for content in [*body["contents"], body["system_instruction"]]:
        types.Content.model_validate(content)
    # The field is younger than the installed SDK's types.
    config = {name: value for name, value in body["generationConfig"].items() if name != "response_json_schema"}
    types.GenerationConfig.model_validate(config)
