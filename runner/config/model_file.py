"""A new model file, from what LiteLLM's map and the provider's own list know; the rest is marked as not known."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from runner.config import catalog
from runner.config.schema import CapabilityConf
from runner.records import Prices

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.config.catalog import Entry

CHOSEN = ("system", "temperature", "max_tokens", "structure", "seed", "batch")
"""What decides a request, or its price, and stands in a file whether it is known or not."""
SAFE: Mapping[str, object] = {
    "system": "system", "temperature": "free", "max_tokens": "max_tokens", "structure": "prompt", "seed": False,
    "batch": None,
}  # fmt: skip
"""What a file says where nothing is known: what the provider refuses of it names the parameter, and costs nothing."""


@dataclass(frozen=True, slots=True)
class NewModel:
    """What is known of a model that has no file yet."""

    name: str
    """Of the file."""
    provider: str
    """LiteLLM's name."""
    id: str
    """As the provider takes it."""
    key_env: str | None
    """None where it needs none, or LiteLLM finds credentials by its own rules."""
    api_base: str | None
    """None: the provider's own."""
    entry: Entry | None
    """The map's; None where it has none."""
    listed: str
    """What the provider's list says of it, in words."""
    ends: str | None
    """The last day that the list gives it."""
    day: str
    """On which this was found out, as YEAR-MONTH-DAY."""


def name_for(provider: str, model_id: str, taken: Mapping[str, tuple[str, str]]) -> str:
    """What a file is called: the end of its id, with the provider behind it where another model has that name.

    `taken` are the files that come with the program: name -> (provider, id).
    """
    name = re.sub(r"[^a-z0-9_]+", "-", model_id.rpartition("/")[2].lower()).strip("-") or "model"
    return name if name not in taken else f"{name}-{re.sub(r'[^a-z0-9_]+', '-', provider.lower())}"


def unknown_in(model: NewModel) -> list[str]:
    """The keys of its file that nobody answers for."""
    said = _said_of(model)
    unknown = [f"capability.{key}" for key in CHOSEN if key not in said]
    prices = model.entry.prices if model.entry is not None else None
    is_priced = prices is not None and None not in (prices.input_usd_per_mtok, prices.output_usd_per_mtok)
    return unknown if is_priced else [*unknown, "prices"]


def text_of(model: NewModel) -> str:
    """The file, to its last line break."""
    return "\n".join(_lines(model)) + "\n"


def _lines(model: NewModel) -> Iterator[str]:
    yield f"# @package model.{model.name}"
    source = model.entry.source if model.entry is not None else "nothing in LiteLLM's map"
    yield f"# Checked on {model.day}: {source}; {model.listed}."
    yield f"# Not confirmed: {', '.join(unknown_in(model)) or 'nothing'}."
    yield f"id: {_scalar(model.id)}"
    yield f"provider: {_scalar(model.provider)}"
    yield f"vendor: {_scalar(model.provider)}"
    if model.key_env is not None:
        yield f"key_env: {model.key_env}"
    else:
        yield "# key_env: VARIABLE  # where it needs a key"
    if model.api_base is not None:
        yield f"api_base: {_scalar(model.api_base)}"
    if model.ends is not None:
        yield from ("retirement:", f"  date: {model.ends}", "  source: the provider's list of models")
    yield "capability:"
    said = _said_of(model)
    for key in CHOSEN:
        mark = "" if key in said else "  # not known"
        yield f"  {key}: {_scalar(said.get(key, SAFE[key]))}{mark}"
    yield from _prices(model)


def _prices(model: NewModel) -> Iterator[str]:
    """A remark: what a file leaves open stays the map's, with its dearer tiers and its price by batch."""
    prices = model.entry.prices if model.entry is not None else Prices()
    into, out = prices.input_usd_per_mtok, prices.output_usd_per_mtok
    if into is None or out is None:
        yield "# prices: {input_usd_per_mtok: ..., output_usd_per_mtok: ..., source: ...}  # not known: no budget holds"
    else:
        yield f"# prices: {into:g}/{out:g} USD a million tokens, by {prices.source}, which is asked each time"


def _said_of(model: NewModel) -> dict[str, object]:
    if model.entry is None:
        return {}
    names = {item.name for item in fields(CapabilityConf)}
    said = {key: value for key, value in catalog.stated_by(model.entry, model.provider).items() if key in names}
    return {**said, "batch": model.provider} if model.entry.shares.get("batch") and model.provider in BATCHES else said


BATCHES = ("openai", "anthropic", "gemini", "groq", "mistral", "xai")
"""Providers whose batch API has the provider's own name; the map says which models it takes by their price in it."""


def _scalar(value: object) -> str:
    """As YAML takes it back: plain where that is safe, in quotes where it is not."""
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    text = str(value)
    return text if re.fullmatch(r"[A-Za-z][\w./@+-]*", text) else json.dumps(text, ensure_ascii=False)
