"""What each kind of model is sent, and what is said about the rest."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from runner.errors import ConfigError
from runner.plan.capability import adapt, without_bounds
from runner.records import Capability, Model, Prompt

PROMPT = Prompt(system="You are a poet.", user="Rate this.")
SCHEMA = {
    "type": "object",
    "properties": {
        "minimum": {"type": "integer", "minimum": 0, "maximum": 100},
        "reason": {"type": "string", "minLength": 1, "maxLength": 200},
    },
    "required": ["minimum", "reason"],
    "additionalProperties": False,
}
LOOSE = {
    **SCHEMA,
    "properties": {"minimum": {"type": "integer"}, "reason": {"type": "string"}},
}
SYSTEM_AND_USER = ({"role": "system", "content": "You are a poet."}, {"role": "user", "content": "Rate this."})


def model(**capability: Any) -> Model:
    return Model(name="m", id="m-1", provider="openai", vendor="openai", capability=Capability(**capability))


@dataclass(frozen=True)
class Case:
    """A capability, and the request that comes of temperature 0.7, 100 tokens and seed 3."""

    id: str
    capability: dict[str, Any]
    params: dict[str, Any]
    dropped: tuple[str, ...]
    messages: tuple[dict[str, str], ...] = field(default=SYSTEM_AND_USER)


CASES = (
    Case(
        "takes everything",
        {"structure": "schema", "schema_bounds": True, "seed": True},
        {
            "temperature": 0.7,
            "max_tokens": 100,
            "seed": 3,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "scores", "strict": True, "schema": SCHEMA},
            },
        },
        (),
    ),
    Case(
        "o1-mini",
        {"system": "merge", "temperature": "none", "max_tokens": "max_completion_tokens"},
        {"max_completion_tokens": 100},
        ("temperature", "seed", "structure", "system"),
        ({"role": "user", "content": "You are a poet.\n\nRate this."},),
    ),
    Case(
        "o3-mini",
        {
            "system": "developer",
            "temperature": "none",
            "max_tokens": "max_completion_tokens",
            "structure": "schema",
        },
        {
            "max_completion_tokens": 100,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "scores", "strict": True, "schema": LOOSE},
            },
        },
        ("temperature", "seed"),
        ({"role": "developer", "content": "You are a poet."}, {"role": "user", "content": "Rate this."}),
    ),
    Case(
        "JSON mode",
        {"structure": "json_object", "seed": True},
        {"temperature": 0.7, "max_tokens": 100, "seed": 3, "response_format": {"type": "json_object"}},
        ("structure",),
    ),
    Case(
        "a lower highest temperature",
        {"temperature_max": 0.5, "seed": True},
        {"temperature": 0.5, "max_tokens": 100, "seed": 3},
        ("temperature", "structure"),
    ),
    Case("one temperature", {"temperature": "fixed"}, {"max_tokens": 100}, ("temperature", "seed", "structure")),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_request_is_what_the_model_takes(case: Case) -> None:
    """Messages and parameters are those that the model takes; what is left out is named with a reason."""
    adapted = adapt(PROMPT, model(**case.capability), temperature=0.7, max_tokens=100, seed=3, schema=SCHEMA)
    assert adapted.request.messages == case.messages
    assert adapted.request.params == case.params
    assert tuple(item.parameter for item in adapted.dropped) == case.dropped
    assert all(item.reason for item in adapted.dropped)
    assert adapted.requested["temperature"] == 0.7
    assert adapted.sent.get("temperature") == case.params.get("temperature")
    assert adapted.sent["max_tokens"] == adapted.requested["max_tokens"] == 100
    assert set(adapted.sent) <= set(adapted.requested)


@pytest.mark.parametrize("case", [case for case in CASES if case.dropped], ids=lambda case: case.id)
def test_strict_refuses_instead(case: Case) -> None:
    """With strict=true whatever would be dropped is an error that names model and parameter."""
    with pytest.raises(ConfigError, match=rf"model/m\.yaml.*{case.dropped[0]}"):
        adapt(PROMPT, model(**case.capability), temperature=0.7, max_tokens=100, seed=3, schema=SCHEMA, strict=True)


def test_a_forced_tool_carries_the_schema() -> None:
    """Where replies take no schema but tools do, one tool is forced and its arguments are the reply."""
    params = adapt(
        PROMPT, model(structure="tool"), temperature=0.7, max_tokens=100, seed=None, schema=SCHEMA
    ).request.params
    assert [tool["function"]["parameters"] for tool in params["tools"]] == [LOOSE]
    assert params["tool_choice"]["function"]["name"] == params["tools"][0]["function"]["name"]


def test_labelled_replies_ask_for_no_structure() -> None:
    """Without a schema no rung is used, and that is no loss to report."""
    adapted = adapt(PROMPT, model(structure="schema"), temperature=0.7, max_tokens=100, seed=None, schema=None)
    assert adapted.rung == "prompt"
    assert "response_format" not in adapted.request.params
    assert adapted.dropped == ()


def test_extra_is_sent_and_cannot_repeat() -> None:
    """A model's extra parameters are sent as they are; one that the sampling sets already is refused."""
    able = replace(model(), extra={"reasoning_effort": "low"})
    sent = adapt(PROMPT, able, temperature=0.7, max_tokens=100, seed=None, schema=None).request.params
    assert sent["reasoning_effort"] == "low"
    with pytest.raises(ConfigError, match=r"extra\.temperature"):
        adapt(PROMPT, replace(able, extra={"temperature": 1}), temperature=0.7, max_tokens=1, seed=None, schema=None)


@pytest.mark.parametrize("name", ["messages", "model", "stream", "n"])
def test_extra_cannot_replace_what_is_asked(name: str) -> None:
    """What is asked, of whom, and that one whole reply comes back is not for `extra` to change."""
    with pytest.raises(ConfigError, match=rf"extra\.{name}"):
        adapt(PROMPT, replace(model(), extra={name: 1}), temperature=0.7, max_tokens=1, seed=None, schema=None)


@pytest.mark.parametrize("role", ["system", "developer", "merge"])
def test_an_empty_system_prompt_is_no_message(role: str) -> None:
    """Without a system prompt the user message stands alone, and nothing counts as moved."""
    alone = replace(PROMPT, system="")
    adapted = adapt(alone, model(system=role), temperature=0.7, max_tokens=1, seed=None, schema=None, strict=True)
    assert adapted.request.messages == ({"role": "user", "content": "Rate this."},)
    assert "system" not in adapted.requested


def test_a_property_named_like_a_bound_stays() -> None:
    """Bounds are stripped at any depth, properties that bear their names are not."""
    nested = {"type": "array", "items": SCHEMA}
    assert without_bounds(nested) == {"type": "array", "items": LOOSE}
