"""What answers cost: tokens and a model's prices -> US dollars, live or by batch."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from runner.config.catalog import TOKENS_A_PRICE, lookup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Model, Route, Tokens

BATCH_SHARE: Mapping[str, float] = {
    "openai": 0.5, "groq": 0.5, "anthropic": 0.5, "gemini": 0.5, "vertex": 0.5, "mistral": 0.5,
}  # fmt: skip
"""Batch API -> what it costs of the live price, by the providers' documentation. Others do not state one share."""


def price_of(tokens: Tokens, model: Model, route: Route = "live") -> float | None:
    """US dollars of one reply; by batch at that share of the live prices. None where a count or a price is unknown.

    Cached input is charged at its own price where one is known, else as any input. Providers count cached tokens
    within the input and reasoning tokens within the output.
    """
    prices = model.prices
    if tokens.input is None or tokens.output is None:
        return None
    if prices.input_usd_per_mtok is None or prices.output_usd_per_mtok is None:
        return None
    cached = tokens.cached or 0 if prices.cached_usd_per_mtok is not None else 0
    share = (1.0, 1.0) if route == "live" else batch_share(model)
    if share is None:
        return None
    into = (tokens.input - cached) * prices.input_usd_per_mtok + cached * (prices.cached_usd_per_mtok or 0.0)
    return (into * share[0] + tokens.output * prices.output_usd_per_mtok * share[1]) / TOKENS_A_PRICE


def saving_of(tokens: Tokens, model: Model, route: Route) -> float | None:
    """US dollars that one reply would have cost more live; None where either price is unknown."""
    if route == "live":
        return 0.0
    live, batch = price_of(tokens, model), price_of(tokens, model, route)
    return None if live is None or batch is None else live - batch


def batch_share(model: Model) -> tuple[float, float] | None:
    """What a batch costs of a model's live prices, input and output. (1, 1) without a batch API; None: unknown.

    The model's file decides, then LiteLLM's map, then the API's documentation.
    """
    api, stated = model.capability.batch, model.prices.batch_share
    if api is None:
        return 1.0, 1.0
    return _share_of(api, model.provider, model.id) if stated is None else (stated, stated)


@cache
def _share_of(api: str, provider: str, model_id: str) -> tuple[float, float] | None:
    entry = lookup(provider, model_id)
    if entry is not None and entry.batch_share is not None:
        return entry.batch_share
    return (BATCH_SHARE[api], BATCH_SHARE[api]) if api in BATCH_SHARE else None
