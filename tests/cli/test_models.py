"""The model files: each composes, says what it must, and gives the request that its model takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from runner.config.load import load
from runner.config.schema import ModelConf, RunnerConf
from runner.plan.capability import adapt
from runner.records import Adapted, Model, Prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

CONF = Path(__file__).parents[2] / "conf"
NAMES = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
OPEN = {
    "any": ["model.any.id=deepinfra/meta-llama/Llama-3.3-70B-Instruct-Turbo"],
    "openai_compatible": [
        "model.openai_compatible.id=local",
        "model.openai_compatible.api_base=http://127.0.0.1:8000/v1",
    ],
}
"""What the user must set for the files that leave it open."""
NO_KEY = ("any", "openai_compatible", "smollm2")
VENDORS = {
    "gpt-oss",
    "mistral",
    "openai",
    "claude",
    "gemini",
    "grok",
    "deepseek",
    "llama",
    "smollm2",
    "openai_compatible",
}
BATCHES = {"openai", "groq", "kluster", "anthropic", "gemini", "vertex", "xai", "mistral", None}
SCHEMA = {
    "type": "object",
    "properties": {"joy": {"type": "number", "minimum": 0, "maximum": 100}},
    "required": ["joy"],
    "additionalProperties": False,
}
SENT_SCHEMA = {**SCHEMA, "properties": {"joy": {"type": "number"}}}
PROMPT = Prompt(system="You are a poet.", user="Rate this.")


@cache
def loaded(*overrides: str) -> dict[str, Model]:
    """Every file in one experiment, because composing is what takes the time here."""
    ConfigStore.instance().store(name="runner_schema", node=RunnerConf)
    opened = [override for each in OPEN.values() for override in each]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=[f"model=[{','.join(NAMES)}]", *opened, *overrides])
    return {model.name: model for model in load(config).models}


def model(name: str) -> Model:
    return loaded()[name]


def adapted(name: str) -> Adapted:
    return adapt(PROMPT, model(name), temperature=0.7, max_tokens=1024, seed=None, schema=SCHEMA)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_composes_and_is_complete(name: str) -> None:
    """A file loads under its own name, with provider, vendor and batch API from the known ones."""
    found = model(name)
    assert found.name == name
    assert found.id
    assert "." not in name
    assert found.vendor in (VENDORS if name != "any" else {"deepinfra"})
    assert found.capability.batch in BATCHES
    assert (found.key_env is None) == (name in NO_KEY)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "any"])
def test_every_file_states_its_capability(name: str) -> None:
    """Nothing that decides a request is left to LiteLLM's map, which changes with its version."""
    able = OmegaConf.merge(OmegaConf.structured(ModelConf), stated_by(name)).capability
    decisive = ("system", "temperature", "max_tokens", "structure", "schema_bounds", "seed")
    assert [key for key in decisive if able.get(key) is None] == []
    assert able.temperature != "free" or able.temperature_max is not None


@pytest.mark.parametrize("name", NAMES)
def test_a_file_states_only_what_differs(name: str) -> None:
    """No line of a file could be left out: each says something else than the schema's default."""
    assert [path for path, value in leaves(stated_by(name)) if value == default_of(ModelConf(), path)] == []


def stated_by(name: str) -> DictConfig:
    stated = OmegaConf.load(CONF / "model" / f"{name}.yaml")
    assert isinstance(stated, DictConfig)
    return stated


def leaves(stated: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Each key of a file by its path, whatever is nested in `extra` as one; an id that is to be given is none."""
    for key in stated:
        path, missing = f"{above}{key}", OmegaConf.is_missing(stated, key)
        if isinstance(value := None if missing else stated[key], Mapping | DictConfig) and path != "extra":
            yield from leaves(value, f"{path}.")
        elif not missing:
            yield path, value


def default_of(conf: object, path: str) -> object:
    """The schema's value of a key; MISSING, which is a string that no file holds, where it has none."""
    for part in path.split("."):
        conf = getattr(conf, part)
    return conf


@pytest.mark.parametrize("name", NAMES)
def test_the_header_nests_a_file_under_its_name(name: str) -> None:
    """The first line places the file where overrides of its name find it."""
    first = (CONF / "model" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# @package model.{name}"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "openai_compatible"])
def test_a_served_model_has_a_price_with_a_source(name: str) -> None:
    """A model is either withdrawn, or its input and output prices are known and say where from."""
    found = model(name)
    if found.retired is None:
        assert found.prices.input_usd_per_mtok is not None
        assert found.prices.output_usd_per_mtok is not None
    assert found.prices.source or found.prices.input_usd_per_mtok is None


def test_any_model_can_be_pointed_elsewhere() -> None:
    """api_base can be set on the command line for every file, though hardly one writes it out."""
    moved = loaded(*(f"model.{name}.api_base=http://127.0.0.1:9/v1" for name in NAMES))
    assert {name: moved[name].api_base for name in NAMES} == dict.fromkeys(NAMES, "http://127.0.0.1:9/v1")


SYSTEM = ({"role": "system", "content": "You are a poet."}, {"role": "user", "content": "Rate this."})
DEVELOPER = ({"role": "developer", "content": "You are a poet."}, {"role": "user", "content": "Rate this."})
MERGED = ({"role": "user", "content": "You are a poet.\n\nRate this."},)
FORMAT = {"type": "json_schema", "json_schema": {"name": "scores", "strict": True, "schema": SENT_SCHEMA}}


@dataclass(frozen=True)
class Case:
    """A file, and the request that it gives for temperature 0.7 and 1,024 tokens."""

    name: str
    messages: tuple[dict[str, str], ...]
    params: dict[str, Any]


CASES = (
    Case("gpt-4o", SYSTEM, {"temperature": 0.7, "max_tokens": 1024, "response_format": FORMAT}),
    Case("o1-mini", MERGED, {"max_completion_tokens": 1024}),
    Case("o3-mini", DEVELOPER, {"max_completion_tokens": 1024, "response_format": FORMAT}),
    Case("gpt-5", DEVELOPER, {"max_completion_tokens": 1024, "response_format": FORMAT}),
    Case("claude-haiku-4-5", SYSTEM, {"temperature": 0.7, "max_tokens": 1024, "response_format": FORMAT}),
    Case("claude-sonnet-5-5", SYSTEM, {"max_tokens": 1024, "response_format": FORMAT}),
    Case("gemini-2-5-flash", SYSTEM, {"temperature": 0.7, "max_tokens": 1024, "response_format": FORMAT}),
    Case("gemini-3-8-flash", SYSTEM, {"max_tokens": 1024, "response_format": FORMAT}),
    Case("deepseek-chat", SYSTEM, {"temperature": 0.7, "max_tokens": 1024, "response_format": {"type": "json_object"}}),
    Case("deepseek-reasoner", SYSTEM, {"max_tokens": 1024, "response_format": {"type": "json_object"}}),
    Case(
        "deepseek-v4-flash",
        SYSTEM,
        {
            "temperature": 0.7,
            "max_tokens": 1024,
            "response_format": {"type": "json_object"},
            "thinking": {"type": "disabled"},
        },
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_file_gives_the_request_that_its_model_takes(case: Case) -> None:
    """Messages and parameters are exactly those that the provider documents for the model."""
    request = adapted(case.name).request
    assert request.messages == case.messages
    assert request.params == case.params


@pytest.mark.parametrize("name", ["claude-3-5-sonnet", "claude-3-5-haiku", "llama-3-3-70b", "llama-3-1-8b"])
def test_models_without_schemas_are_forced_to_a_tool(name: str) -> None:
    """Models whose API knows tools but no reply schema are made to call one."""
    result = adapted(name)
    assert result.rung == "tool"
    assert result.request.params["tool_choice"] == {"type": "function", "function": {"name": "scores"}}


def test_claude_takes_no_temperature_above_one() -> None:
    """Where a Claude model takes a temperature, 1 is the highest that is sent."""
    request = adapt(PROMPT, model("claude-haiku-4-5"), temperature=1.5, max_tokens=9, seed=None, schema=None).request
    assert request.params["temperature"] == 1.0
