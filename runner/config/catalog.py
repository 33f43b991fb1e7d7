"""LiteLLM's map of models: prices and abilities, read from its file without importing LiteLLM (which takes seconds).

The map fills what a model's YAML leaves open, never the other way round. In it an absent flag means unknown, not False,
and a price of zero means unknown, not free.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from datetime import date
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.records import Capability, Prices

if TYPE_CHECKING:
    from collections.abc import Mapping

MAP_FILE = "model_prices_and_context_window_backup.json"
TOKENS_A_PRICE = 1_000_000
"""Prices are per million tokens."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the map says of one model; None where it says nothing."""

    prices: Prices
    supports_schema: bool | None
    """Whether the API takes a JSON schema for its reply."""
    supports_temperature: bool | None
    """Whether the API takes a temperature."""
    supports_system: bool | None
    """Whether the API takes a system message."""
    openai_reasoning: bool
    """Whether it is one of OpenAI's own models that reason on every request: see `_openai_reasoning`."""
    supports_reasoning: bool | None = None
    """Whether the model can reason; not whether it does unasked."""
    ends: str | None = None
    """First day on which the provider serves it no more, as YEAR-MONTH-DAY."""
    source: str = ""
    """The map, by version."""
    batch_share: tuple[float, float] | None = None
    """What a batch costs of the live price, for input and for output: (0.5, 0.5) is half."""


def lookup(provider: str, model_id: str) -> Entry | None:
    """The map's entry for a provider's model, or None. Keys are `provider/id`, for some providers `id` alone."""
    models = _models()
    found = models.get(f"{provider}/{model_id}") or models.get(model_id)
    if found is None or not _serves(provider, str(found.get("litellm_provider"))):
        return None
    reasoning = _openai_reasoning(found)
    return Entry(
        prices=_prices(found),
        supports_schema=found.get("supports_response_schema"),
        supports_temperature=False if reasoning else found.get("supports_sampling_params"),
        supports_system=found.get("supports_system_messages"),
        openai_reasoning=reasoning,
        supports_reasoning=found.get("supports_reasoning"),
        ends=_ends(found.get("deprecation_date")),
        source=_source(),
        batch_share=_batch_share(found),
    )


def known(provider: str) -> dict[str, str]:
    """The models that the map has of a provider: id, as the provider takes it -> what it is for, such as "chat"."""
    prefix = f"{provider}/"
    return {
        name.removeprefix(prefix): str(entry.get("mode", "chat"))
        for name, entry in _models().items()
        if _serves(provider, str(entry.get("litellm_provider")))
    }


def providers() -> set[str]:
    """Every provider that the map names, as LiteLLM does."""
    return {str(entry["litellm_provider"]) for entry in _models().values() if entry.get("litellm_provider")}


def fill_capability(stated: Mapping[str, object], entry: Entry | None) -> Capability:
    """What a YAML states, completed: from the map where it positively says so, else with the safe choice.

    `stated` has a key for each field of records.Capability; None leaves it open.
    """
    known = {name: value for name, value in stated.items() if value is not None}
    if entry is not None:
        for name, value in stated_by(entry).items():
            known.setdefault(name, value)
    return Capability(**known)  # type: ignore[arg-type]  # the schema and runner.config hold names and types equal


def fill_prices(stated: Prices, entry: Entry | None) -> Prices:
    """Stated prices, each one that is open filled from the map."""
    if entry is None:
        return stated
    names = [item.name for item in fields(Prices) if item.name != "source"]
    missing = {name: getattr(entry.prices, name) for name in names if getattr(stated, name) is None}
    if all(value is None for value in missing.values()):
        return stated
    source = "; ".join(part for part in (stated.source, entry.prices.source) if part)
    return replace(stated, **missing, source=source)


def stated_by(entry: Entry) -> dict[str, object]:
    """What the map positively says of a capability, by the names of records.Capability's fields."""
    said: dict[str, object] = {}
    if entry.supports_schema:
        said["structure"] = "schema"
    if entry.supports_temperature is False:
        said["temperature"] = "fixed"
    if entry.supports_system is False:
        said["system"] = "merge"
    if entry.openai_reasoning:
        said |= {"system": "developer", "max_tokens": "max_completion_tokens"}
    return said


def _serves(provider: str, stated: str) -> bool:
    # The map splits some providers by maker or route: vertex_ai-language-models, bedrock_converse, cohere_chat.
    return (
        stated == provider
        or stated.startswith(f"{provider}-")
        or stated in (f"{provider}_converse", f"{provider}_chat")
    )


def _openai_reasoning(found: Mapping[str, Any]) -> bool:
    """True for OpenAI's o-series and gpt-5 onward, but for those whose default is not to reason.

    They take max_completion_tokens and a developer message, and no temperature while they reason (OpenAI's reasoning
    guide). The map has no flag for it, only `supports_reasoning` and `default_reasoning_effort`.
    """
    reasons = found.get("litellm_provider") == "openai" and found.get("supports_reasoning") is True
    return reasons and found.get("default_reasoning_effort") != "none"


@cache
def _models() -> Mapping[str, Mapping[str, Any]]:
    spec = find_spec("litellm")
    for folder in (spec.submodule_search_locations if spec is not None else None) or ():
        path = Path(folder) / MAP_FILE
        if path.is_file():
            loaded: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
            return loaded
    return {}


def _prices(found: Mapping[str, Any]) -> Prices:
    return Prices(
        input_usd_per_mtok=_per_million(found.get("input_cost_per_token")),
        output_usd_per_mtok=_per_million(found.get("output_cost_per_token")),
        cached_usd_per_mtok=_per_million(found.get("cache_read_input_token_cost")),
        source=_source(),
    )


def _ends(stated: object) -> str | None:
    """The map's date; None for anything else that stands there, such as the words of its own documentation."""
    try:
        return date.fromisoformat(str(stated)).isoformat()
    except ValueError:
        return None


def _batch_share(found: Mapping[str, Any]) -> tuple[float, float] | None:
    """Shares and not prices, so that they also hold for a price that a YAML states."""
    shares: list[float] = []
    for direction in ("input", "output"):
        live, batch = found.get(f"{direction}_cost_per_token"), found.get(f"{direction}_cost_per_token_batches")
        if not live or not batch:
            return None
        shares.append(round(float(batch) / float(live), 9))
    return shares[0], shares[1]


@cache
def _source() -> str:
    return f"LiteLLM {version('litellm')}'s map"


def _per_million(usd: float | None) -> float | None:
    # Rounded, because 2.5e-06 times a million is not 2.5.
    return round(float(usd) * TOKENS_A_PRICE, 9) if usd else None
