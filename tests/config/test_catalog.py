"""LiteLLM's map of models: what is read from it, and that it fills gaps and nothing else."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from typing import Any

import pytest

from runner.config.catalog import Entry, fill_capability, fill_prices, lookup
from runner.records import Capability, Prices

ENTRY = Entry(
    prices=Prices(input_usd_per_mtok=1.0, output_usd_per_mtok=2.0, cached_usd_per_mtok=None, source="the map"),
    supports_schema=None,
    supports_temperature=None,
    supports_system=None,
    openai_reasoning=False,
)
OPEN: dict[str, object] = {item.name: None for item in fields(Capability)}


@dataclass(frozen=True)
class Found:
    """A provider and model id as a YAML writes them, whatever way the map spells the key."""

    provider: str
    model_id: str


FOUND = (
    Found("openai", "gpt-4o"),
    Found("anthropic", "claude-haiku-4-5"),
    Found("xai", "grok-4.7"),
    Found("groq", "openai/gpt-oss-120b"),
    Found("gemini", "gemini-2.5-flash"),
    Found("vertex_ai", "gemini-2.5-flash"),
)


@pytest.mark.parametrize("case", FOUND, ids=lambda case: f"{case.provider}/{case.model_id}")
def test_a_model_is_found_however_its_key_is_spelt(case: Found) -> None:
    """The map is asked for provider/id and for the bare id, and its answer has a price and names its version."""
    entry = lookup(case.provider, case.model_id)
    assert entry is not None
    assert entry.prices.input_usd_per_mtok
    assert version("litellm") in entry.prices.source


@pytest.mark.parametrize(
    ("provider", "model_id"), [("openai", "no-such-model"), ("embedded", "gpt-4o"), ("azure", "claude-haiku-4-5")]
)
def test_another_providers_entry_is_not_taken(provider: str, model_id: str) -> None:
    """A model that the map lists under another provider, or not at all, is unknown."""
    assert lookup(provider, model_id) is None


def test_prices_are_per_million_tokens_without_rounding_noise() -> None:
    """GPT-4o's 2.5e-06 dollars a token is read as 2.5 dollars a million, exactly."""
    entry = lookup("openai", "gpt-4o")
    assert entry is not None
    assert (entry.prices.input_usd_per_mtok, entry.prices.output_usd_per_mtok) == (2.5, 10.0)


def test_a_price_of_zero_in_the_map_is_unknown() -> None:
    """The map writes 0 where it does not know, so no price is taken from it."""
    entry = lookup("ollama", "llama3")
    assert entry is not None
    assert (entry.prices.input_usd_per_mtok, entry.prices.output_usd_per_mtok) == (None, None)


def test_absent_flags_are_unknown() -> None:
    """The map says nothing of Claude's system message, and that is read as nothing."""
    entry = lookup("anthropic", "claude-haiku-4-5")
    assert entry is not None
    assert entry.supports_system is None
    assert entry.supports_temperature is None


@dataclass(frozen=True)
class Filled:
    """What a YAML states and the map says, and what becomes of the open fields."""

    id: str
    stated: dict[str, object]
    said: dict[str, Any]
    capability: Capability


FILLED = (
    Filled("nothing known", {}, {}, Capability()),
    Filled("a schema is said", {}, {"supports_schema": True}, Capability(structure="schema")),
    Filled("no schema is said", {}, {"supports_schema": False}, Capability(structure="prompt")),
    Filled("the YAML wins", {"structure": "tool"}, {"supports_schema": True}, Capability(structure="tool")),
    Filled("a stated False wins", {"seed": False}, {"supports_schema": True}, Capability(structure="schema")),
    Filled("no temperature", {}, {"supports_temperature": False}, Capability(temperature="fixed")),
    Filled("no system message", {}, {"supports_system": False}, Capability(system="merge")),
    Filled(
        "OpenAI's reasoning",
        {},
        {"openai_reasoning": True, "openai_newer": True, "supports_temperature": False},
        Capability(system="developer", temperature="fixed", max_tokens="max_completion_tokens"),
    ),
)


@pytest.mark.parametrize("case", FILLED, ids=lambda case: case.id)
def test_the_map_fills_only_what_is_left_open(case: Filled) -> None:
    """A stated value stands; an open one takes what the map positively says, else the safe choice."""
    assert fill_capability(OPEN | case.stated, replace(ENTRY, **case.said)) == case.capability


def test_an_unknown_model_gets_the_safe_choices() -> None:
    """Without an entry every open field has the default of records.Capability."""
    assert fill_capability(OPEN, None) == Capability()


@dataclass(frozen=True)
class Rule:
    """A model that no file describes, and the temperature rule that the map leads to."""

    provider: str
    model_id: str
    temperature: str
    max_tokens: str = "max_tokens"


RULES = (
    Rule("openai", "gpt-4o", "free"),
    Rule("openai", "gpt-5.4", "free", "max_completion_tokens"),
    Rule("openai", "gpt-5-search-api", "free", "max_completion_tokens"),
    Rule("openai", "gpt-4.1", "free"),
    Rule("azure", "gpt-5", "fixed", "max_completion_tokens"),
    Rule("azure", "gpt-5.4", "free", "max_completion_tokens"),
    Rule("azure", "o3-mini", "fixed", "max_completion_tokens"),
    Rule("azure", "gpt-4o", "free"),
    Rule("openai", "gpt-5", "fixed", "max_completion_tokens"),
    Rule("openai", "o3-mini", "fixed", "max_completion_tokens"),
    Rule("anthropic", "claude-haiku-4-5", "free"),
    Rule("anthropic", "claude-opus-4-8", "fixed"),
    Rule("gemini", "gemini-3.8-flash", "fixed"),
    Rule("xai", "grok-4.7", "free"),
)


@pytest.mark.parametrize("case", RULES, ids=lambda case: case.model_id)
def test_a_model_without_a_file_is_sent_what_it_takes(case: Rule) -> None:
    """The map alone keeps a temperature from models whose API refuses one."""
    able = fill_capability(OPEN, lookup(case.provider, case.model_id))
    assert (able.temperature, able.max_tokens) == (case.temperature, case.max_tokens)


def test_prices_are_filled_field_by_field() -> None:
    """A stated price stands, also zero; an open one comes from the map, and the source names both."""
    filled = fill_prices(Prices(input_usd_per_mtok=0.0, source="the file"), ENTRY)
    assert filled == Prices(
        input_usd_per_mtok=0.0, output_usd_per_mtok=2.0, cached_usd_per_mtok=None, source="the file; the map"
    )


def test_prices_that_the_map_cannot_fill_keep_their_source() -> None:
    """Where nothing is taken from the map, it is not named."""
    stated = Prices(input_usd_per_mtok=0.0, output_usd_per_mtok=0.0, source="the file")
    assert fill_prices(stated, ENTRY) == stated
    assert fill_prices(stated, None) == stated


def test_litellm_is_not_imported() -> None:
    """Reading the map does not pay for importing LiteLLM, which takes seconds."""
    code = (
        "import sys; from runner.config.catalog import lookup; lookup('openai', 'gpt-4o');"
        "sys.exit('litellm' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
