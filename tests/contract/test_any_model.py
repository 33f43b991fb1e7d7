"""What a model without a file is sent, looked at on the wire: model=any, from the map's entry to the request's body."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hydra import compose, initialize_config_dir
from recorder import Recorder

from runner.config import schema
from runner.config.compose import conf_dir
from runner.config.load import load
from runner.plan.capability import adapt
from runner.providers.codec import Fallback, codec_for
from runner.records import Model, Prompt

if TYPE_CHECKING:
    from runner.records import Adapted

SHAPE = {
    "type": "object",
    "properties": {"joy": {"type": "number"}},
    "required": ["joy"],
    "additionalProperties": False,
}


def any_model(name: str, *more: str) -> Model:
    schema.register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        words = ["model=any", f"model.any.id={name}", "model.any.key_env=K", *more]
        return load(compose("config", overrides=words)).models[0]


def adapted_to(model: Model) -> Adapted:
    return adapt(Prompt("a poet", "read as json"), model, temperature=0.7, max_tokens=50, seed=3, schema=SHAPE)


def body_of(model: Model) -> dict[str, Any]:
    """The body that the model's provider gets, live."""
    request = adapted_to(model).request
    codec = codec_for(model, "test-key")
    if not isinstance(codec, Fallback):
        found: dict[str, Any] = json.loads(codec.encode(request))
        return found
    with Recorder() as recorder:
        made = codec_for(replace(model, api_base=recorder.url), "test-key")
        assert isinstance(made, Fallback)
        asyncio.run(made.complete(request, 20))
        (arrival,) = recorder.arrivals
    return arrival.body


@dataclass(frozen=True)
class Case:
    """A model of the map, fields that its body has, and fields that it must not have."""

    model: str
    has: dict[str, Any]
    lacks: tuple[str, ...]


CASES = (
    Case("openai/gpt-4o", {"max_tokens": 50, "temperature": 0.7}, ("max_completion_tokens",)),
    Case("openai/gpt-5.4", {"max_completion_tokens": 50, "temperature": 0.7}, ("max_tokens",)),
    Case("openai/gpt-5.1", {"max_completion_tokens": 50, "temperature": 0.7}, ("max_tokens",)),
    Case("openai/gpt-5-search-api", {"max_completion_tokens": 50}, ("max_tokens",)),
    Case("openai/gpt-5-mini", {"max_completion_tokens": 50}, ("max_tokens", "temperature")),
    Case("openai/gpt-9-unheard-of", {"max_completion_tokens": 50}, ("max_tokens",)),
    Case("deepseek/deepseek-flash", {"response_format": {"type": "json_object"}}, ()),
    Case("deepseek/deepseek-unheard-of", {"response_format": {"type": "json_object"}}, ()),
    Case("azure/gpt-5", {"max_completion_tokens": 50}, ("max_tokens", "temperature")),
    Case("azure/o3-mini", {"max_completion_tokens": 50}, ("max_tokens", "temperature")),
    Case("azure/gpt-5.4", {"max_completion_tokens": 50, "temperature": 0.7}, ("max_tokens",)),
    Case("azure/gpt-4o", {"temperature": 0.7}, ()),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.model)
def test_a_model_without_a_file_gets_what_it_takes(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request holds the parameters that the model's API takes, and none that it refuses."""
    monkeypatch.setenv("AZURE_API_VERSION", "2024-10-21")
    body = body_of(any_model(case.model))
    assert {name: body.get(name) for name in case.has} == case.has
    assert not {*case.lacks} & body.keys()


def test_a_server_of_ones_own_is_asked_as_before() -> None:
    """A model that nobody knows, at an address of one's own, may be of any age: it gets the older parameter."""
    assert "max_tokens" in body_of(any_model("openai/my-own", "model.any.api_base=http://127.0.0.1:1/v1"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("anthropic/claude-haiku-4-5", "the API takes no seed"),
        ("openrouter/qwen/qwen3-32b", "set model.any.capability.seed=true"),
        ("openai/gpt-4o", "set model.any.capability.seed=true"),
    ],
)
def test_that_an_api_takes_no_seed_is_said_where_it_is_known(name: str, words: str) -> None:
    """Elsewhere it is said that nothing tells, and what to set."""
    (reason,) = [each.reason for each in adapted_to(any_model(name)).dropped if each.parameter == "seed"]
    assert words in reason
