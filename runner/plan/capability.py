"""(prompt, sampling, model) -> the request that the model takes, and what was dropped or moved for it, with the reason.

Every rule is data of the model's YAML (records.Capability). Adaptation comes before the key, so that two cells which
adapt to one request are one purchase.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.errors import ConfigError
from runner.records import Adapted, Dropped, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Json, Model, Prompt, Rung

SCHEMA_NAME = "scores"
BOUNDS = frozenset(
    {
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
        *("pattern", "minItems", "maxItems", "uniqueItems"),
    }
)
"""Keywords that strict modes refuse or ignore. Replies are checked here in any case."""
NOT_EXTRA = frozenset({"model", "messages", "stream", "n"})
"""Keys that `extra` may not hold: one whole reply to these messages is what every later stage reads."""


def adapt(
    prompt: Prompt,
    model: Model,
    *,
    temperature: float,
    max_tokens: int,
    seed: int | None,
    schema: Mapping[str, Json] | None,
    strict: bool = False,
) -> Adapted:
    """Fit a prompt and its sampling to a model. `schema` None asks for no structured output.

    ConfigError where `strict` forbids what would have to be dropped, or where `extra` repeats a parameter.
    """
    able = model.capability
    dropped: list[Dropped] = []
    params: dict[str, Json] = {}
    sent: dict[str, Json] = {"max_tokens": max_tokens}
    requested: dict[str, Json] = {"temperature": temperature, "max_tokens": max_tokens}
    if prompt.system:
        requested["system"], sent["system"] = "system", able.system

    kept = _temperature(model, temperature, dropped)
    if kept is not None:
        params["temperature"] = sent["temperature"] = kept
    params[able.max_tokens] = max_tokens
    if seed is not None:
        requested["seed"] = seed
        if able.seed:
            params["seed"] = sent["seed"] = seed
        else:
            dropped.append(Dropped("seed", seed, _no_seed(model)))
    rung: Rung = able.structure if schema is not None else "prompt"
    if schema is not None:
        requested["structure"] = "schema"
        sent["structure"] = rung
        params |= _structure(rung, schema if able.schema_bounds else without_bounds(schema))
        if rung != "schema":
            dropped.append(Dropped("structure", "schema", _WEAKER[rung]))
    if prompt.system and able.system == "merge":
        dropped.append(Dropped("system", "system", "no system role: the persona opens the user message"))
    if strict and dropped:
        _refuse(model, dropped[0])
    return Adapted(_request(prompt, model, params), rung, requested, sent, tuple(dropped))


NO_SEED = frozenset({"anthropic", "deepseek", "responses"})
"""Providers, and an API of several, whose references have no seed."""


def _no_seed(model: Model) -> str:
    if model.provider in NO_SEED or model.capability.api in NO_SEED:
        return "the API takes no seed"
    return f"not sent: nothing says that the API takes one; if it does, set model.{model.name}.capability.seed=true"


_WEAKER: dict[str, str] = {
    "tool": "no JSON schema for replies: a forced tool carries it",
    "json_object": "no JSON schema for replies: JSON mode, the shape is in the prompt",
    "prompt": "no structured output: the shape is in the prompt",
}


def without_bounds(schema: Mapping[str, Json]) -> dict[str, Json]:
    """A JSON schema without the keywords that some APIs refuse; property names are left alone."""

    def strip(node: Json, *, names: bool) -> Json:
        if isinstance(node, list):
            return [strip(item, names=False) for item in node]
        if not isinstance(node, dict):
            return node
        return {
            key: strip(value, names=key == "properties" and not names)
            for key, value in node.items()
            if names or key not in BOUNDS
        }

    stripped: dict[str, Json] = strip(dict(schema), names=False)
    return stripped


def _temperature(model: Model, temperature: float, dropped: list[Dropped]) -> float | None:
    able = model.capability
    match able.temperature:
        case "none":
            dropped.append(Dropped("temperature", temperature, "the model takes no temperature: not sent"))
            return None
        case "fixed":
            dropped.append(Dropped("temperature", temperature, "the model has one temperature: not sent"))
            return None
        case "free":
            if temperature > able.temperature_max:
                reason = f"above the API's highest: {able.temperature_max:g} is sent"
                dropped.append(Dropped("temperature", temperature, reason))
                return able.temperature_max
            return temperature


def _structure(rung: Rung, schema: Mapping[str, Json]) -> dict[str, Json]:
    match rung:
        case "schema":
            named = {"name": SCHEMA_NAME, "strict": True, "schema": dict(schema)}
            return {"response_format": {"type": "json_schema", "json_schema": named}}
        case "tool":
            function = {"name": SCHEMA_NAME, "description": "Give the scores.", "parameters": dict(schema)}
            choice = {"type": "function", "function": {"name": SCHEMA_NAME}}
            return {"tools": [{"type": "function", "function": function}], "tool_choice": choice}
        case "json_object":
            return {"response_format": {"type": "json_object"}}
        case "prompt":
            return {}


def _request(prompt: Prompt, model: Model, params: dict[str, Any]) -> Request:
    for name in model.extra:
        if name in params or name in NOT_EXTRA:
            message = f"'{name}' is set by the runner already"
            where, key = f"model/{model.name}.yaml", f"extra.{name}"
            raise ConfigError(message, where=where, key=key, advice=f"runner '~model.{model.name}.{key}'")
    return Request(model.id, _messages(prompt, model), {**params, **model.extra})


def _messages(prompt: Prompt, model: Model) -> tuple[dict[str, str], ...]:
    # An empty system message is left out: some APIs refuse one.
    user = {"role": "user", "content": prompt.user}
    if not prompt.system:
        return (user,)
    if model.capability.system == "merge":
        return ({"role": "user", "content": f"{prompt.system}\n\n{prompt.user}"},)
    return ({"role": model.capability.system, "content": prompt.system}, user)


def _refuse(model: Model, dropped: Dropped) -> None:
    message = f"strict=true, and {dropped.parameter} cannot be sent as asked ({dropped.value}): {dropped.reason}"
    raise ConfigError(message, where=f"model/{model.name}.yaml", key=dropped.parameter, advice="runner strict=false")
