"""LiteLLM's map of models: prices and abilities, read from its file without importing LiteLLM (which takes seconds).

The map fills what a model's YAML leaves open, never the other way round. In it an absent flag means unknown, not False,
and a price of zero means unknown, not free.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, fields, replace
from datetime import date
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.records import Capability, Prices, PriceTier

if TYPE_CHECKING:
    from collections.abc import Mapping

MAP_FILE = "model_prices_and_context_window_backup.json"
TOKENS_A_PRICE = 1_000_000
"""Prices are per million tokens."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one way of being served costs of the ordinary price: 0.5 is half."""

    input: float
    output: float
    cached: float | None = None
    """None: unknown."""
    cache_write: float | None = None


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
    """Whether it is one of OpenAI's models that reason on every request: see `_openai_reasoning`."""
    openai_newer: bool = False
    """Whether it is one of OpenAI's models since the first that reasons, be it that it reasons or not."""
    mode: str | None = None
    """What it is for: chat, responses, completion, embedding, ..."""
    supports_reasoning: bool | None = None
    """Whether the model can reason; not whether it does unasked."""
    ends: str | None = None
    """First day on which the provider serves it no more, as YEAR-MONTH-DAY."""
    source: str = ""
    """The map, by version."""
    shares: Mapping[str, Share] = field(default_factory=dict)
    """Way of being served (batch, flex, priority) -> what it costs of the ordinary live price."""


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
        openai_newer=_openai_newer(found),
        mode=_mode(found),
        supports_reasoning=found.get("supports_reasoning"),
        ends=_ends(found.get("deprecation_date")),
        source=_source(),
        shares=_shares(found),
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


def fill_capability(stated: Mapping[str, object], entry: Entry | None, provider: str = "") -> Capability:
    """What a YAML states, completed: from the map where it positively says so, else with the safe choice.

    `stated` has a key for each field of records.Capability; None leaves it open. What holds for all models of a
    provider's API wins over the map, which speaks of what LiteLLM makes of a parameter.
    """
    known = {name: value for name, value in stated.items() if value is not None}
    said = {**(stated_by(entry, provider) if entry is not None else {}), **OF_API.get(provider, {})}
    for name, value in said.items():
        known.setdefault(name, value)
    return Capability(**known)  # type: ignore[arg-type]  # the schema and runner.config hold names and types equal


def fill_prices(stated: Prices, entry: Entry | None) -> Prices:
    """Stated prices, each one that is open filled from the map; its tiers in proportion to what is stated."""
    if entry is None:
        return stated
    names = [item.name for item in fields(Prices) if item.name not in ("source", "tiers")]
    missing: dict[str, Any] = {name: getattr(entry.prices, name) for name in names if getattr(stated, name) is None}
    if entry.prices.tiers and not stated.tiers:
        missing["tiers"] = tuple(_in_proportion(tier, stated, entry.prices) for tier in entry.prices.tiers)
    if all(value is None for value in missing.values()):
        return stated
    source = "; ".join(part for part in (stated.source, entry.prices.source) if part)
    return replace(stated, **missing, source=source)


def _in_proportion(tier: PriceTier, stated: Prices, of_map: Prices) -> PriceTier:
    """A tier of the map as much above a stated price as it is above the map's."""
    found: dict[str, Any] = {}
    for item in fields(PriceTier):
        price = getattr(tier, item.name)
        own, its = getattr(stated, item.name, None), getattr(of_map, item.name, None)
        if price is not None and own is not None and its:
            found[item.name] = round(price * own / its, 9)
    return replace(tier, **found)


OF_API: Mapping[str, Mapping[str, object]] = {
    # Its API reference knows text and json_object alone, and refuses json_schema.
    "deepseek": {"structure": "json_object"},
}
"""Provider -> what all its models take, by the API's reference."""


def stated_by(entry: Entry, provider: str) -> dict[str, object]:
    """What the map positively says of a capability, by the names of records.Capability's fields."""
    said: dict[str, object] = {}
    if entry.mode == "responses":
        said["api"] = "responses"
    if entry.supports_schema:
        said["structure"] = "schema"
    if entry.supports_temperature is False:
        said["temperature"] = "fixed"
    if entry.supports_system is False:
        said["system"] = "merge"
    if entry.openai_newer:
        said["max_tokens"] = "max_completion_tokens"
    if entry.openai_reasoning and provider != "azure":  # which takes a system message for a developer's
        said["system"] = "developer"
    return said


NOT_CHAT: Mapping[str, str] = {
    "embedding": "makes embeddings",
    "completion": "continues a text and takes no chat",
    "image_generation": "makes images",
    "image_edit": "changes images",
    "video_generation": "makes videos",
    "audio_transcription": "writes down speech",
    "audio_speech": "speaks",
    "moderation": "judges texts by a policy",
    "rerank": "ranks documents",
    "realtime": "speaks over a connection that stays open",
    "ocr": "reads images of text",
    "search": "searches",
    "vector_store": "stores vectors",
}
"""The map's mode of a model -> what it does in place of a chat."""
CONTINUED = frozenset({"ollama", "sagemaker", "nlp_cloud", "ai21", "cohere", "vertex_ai-text-models"})
"""Providers whose chats LiteLLM itself writes out as a text to be continued."""


def not_chat(provider: str, model_id: str) -> str | None:
    """What a model does in place of a chat, in words; None for one that chats, or that the map does not know."""
    models = _models()
    found = models.get(f"{provider}/{model_id}") or models.get(model_id) or {}
    stated = str(found.get("litellm_provider"))
    if not (_serves(provider, stated) or stated in (f"text-completion-{provider}", f"{provider}_text")):
        return None
    return NOT_CHAT.get(_mode(found) or "")


def _mode(found: Mapping[str, Any]) -> str | None:
    mode = found.get("mode")
    if not isinstance(mode, str) or (mode == "completion" and found.get("litellm_provider") in CONTINUED):
        return None
    return mode


def _serves(provider: str, stated: str) -> bool:
    # The map splits some providers by maker or route: vertex_ai-language-models, bedrock_converse, cohere_chat.
    return (
        stated == provider
        or stated.startswith(f"{provider}-")
        or stated in (f"{provider}_converse", f"{provider}_chat")
    )


def _openai_reasoning(found: Mapping[str, Any]) -> bool:
    """True for OpenAI's o-series and gpt-5 onward, here or at Azure, but for those whose default is not to reason.

    They take a developer message, and no temperature while they reason (OpenAI's reasoning guide). The map has no flag
    for it, only `supports_reasoning` and `default_reasoning_effort`.
    """
    reasons = found.get("litellm_provider") in OPENAI and found.get("supports_reasoning") is True
    return reasons and found.get("default_reasoning_effort") != "none"


def _openai_newer(found: Mapping[str, Any]) -> bool:
    """True where max_tokens is refused for max_completion_tokens: wherever the map speaks of reasoning at all."""
    speaks = any(key == "supports_reasoning" or key.endswith("_reasoning_effort") for key in found)
    return found.get("litellm_provider") in OPENAI and speaks


OPENAI = frozenset({"openai", "azure"})
"""Providers of OpenAI's models under OpenAI's own rules."""


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
    steps = _steps(found)
    flat = {name: _per_million(found.get(key)) for name, key in PRICES.items()}
    if steps and flat["input_usd_per_mtok"] is None:
        flat |= {name: _per_million(steps[0][1].get(key)) for name, key in PRICES.items()}
    return Prices(
        **flat,
        source=_source(),
        reasoning_usd_per_mtok=_reasoning(found),
        request_usd=_request_usd(found),
        tiers=_tiers(found)
        or tuple(tier for above, step in steps[1:] if (tier := _tier(above, step, "{}")) is not None),
    )


PRICES: Mapping[str, str] = {
    "input_usd_per_mtok": "input_cost_per_token",
    "output_usd_per_mtok": "output_cost_per_token",
    "cached_usd_per_mtok": "cache_read_input_token_cost",
    "cache_write_usd_per_mtok": "cache_creation_input_token_cost",
    "cache_write_1h_usd_per_mtok": "cache_creation_input_token_cost_above_1hr",
}
"""Field of Prices and PriceTier -> the map's key for it."""
_ABOVE = re.compile(r"input_cost_per_token_above_(\d+)(k?)_tokens")
INCLUSIVE = frozenset({"xai"})
"""Providers whose long prices begin at the threshold itself and not above it; LiteLLM has the same list."""
SEARCHING = frozenset({"perplexity"})
"""Providers that search, and charge for it, with every request."""


def _tiers(found: Mapping[str, Any]) -> tuple[PriceTier, ...]:
    """Prices of long requests, under keys such as input_cost_per_token_above_200k_tokens."""
    tiers = []
    for match in filter(None, map(_ABOVE.fullmatch, found)):
        above = int(match[1]) * (1_000 if match[2] else 1) - (found.get("litellm_provider") in INCLUSIVE)
        tiers.append(_tier(above, found, f"{{}}_above_{match[1]}{match[2]}_tokens"))
    return tuple(sorted((tier for tier in tiers if tier is not None), key=lambda tier: tier.above_tokens))


def _tier(above: int, found: Mapping[str, Any], form: str) -> PriceTier | None:
    prices = {name: _per_million(found.get(form.format(key))) for name, key in PRICES.items()}
    into = prices.pop("input_usd_per_mtok")
    return None if into is None else PriceTier(above, into, **prices)


def _steps(found: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    """The map's other form of tiers: prices for ranges of input tokens, the first of them from 0 on."""
    steps = found.get("tiered_pricing")
    steps = [step for step in steps if len(step.get("range", ())) == 2] if isinstance(steps, list) else []
    return sorted(((int(step["range"][0]), step) for step in steps), key=lambda step: step[0])


def _reasoning(found: Mapping[str, Any]) -> float | None:
    """The price of reasoning, where it is another than that of all output."""
    price = _per_million(found.get("output_cost_per_reasoning_token"))
    return None if price == _per_million(found.get("output_cost_per_token")) else price


def _request_usd(found: Mapping[str, Any]) -> float | None:
    """The fee of each request: stated as one, or for a search that each request makes, at its least extent."""
    fee = found.get("input_cost_per_request")
    if not fee and found.get("litellm_provider") in SEARCHING:
        fee = (found.get("search_context_cost_per_query") or {}).get("search_context_size_low")
    return float(fee) if fee else None


def _ends(stated: object) -> str | None:
    """The map's date; None for anything else that stands there, such as the words of its own documentation."""
    try:
        return date.fromisoformat(str(stated)).isoformat()
    except ValueError:
        return None


def _shares(found: Mapping[str, Any]) -> dict[str, Share]:
    """Shares and not prices, so that they also hold for a price that a YAML states, and for long requests."""
    shares: dict[str, Share] = {}
    for way, ending in (("batch", "batches"), ("flex", "flex"), ("priority", "priority")):
        into, out, cached, written = (_share(found, PRICES[f"{name}_usd_per_mtok"], ending) for name in
            ("input", "output", "cached", "cache_write"))  # fmt: skip
        if into is not None and out is not None:
            shares[way] = Share(into, out, cached, written)
    return shares


def _share(found: Mapping[str, Any], key: str, ending: str) -> float | None:
    ordinary, other = found.get(key), found.get(f"{key}_{ending}")
    return round(float(other) / float(ordinary), 9) if ordinary and other else None


@cache
def _source() -> str:
    return f"LiteLLM {version('litellm')}'s map"


def _per_million(usd: float | None) -> float | None:
    # Rounded, because 2.5e-06 times a million is not 2.5.
    return round(float(usd) * TOKENS_A_PRICE, 9) if usd else None
