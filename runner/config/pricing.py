"""What answers cost: tokens and a model's prices -> US dollars, live or by batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from runner.config.catalog import TOKENS_A_PRICE, Share, lookup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Model, Prices, Route, Tokens

BATCH_SHARE: Mapping[str, float] = {
    "openai": 0.5, "groq": 0.5, "anthropic": 0.5, "gemini": 0.5, "vertex": 0.5, "mistral": 0.5,
}  # fmt: skip
"""Batch API -> what it costs of the live price, by the providers' documentation. Others do not state one share."""
LIVE = Share(1.0, 1.0, 1.0, 1.0)


def price_of(
    tokens: Tokens,
    model: Model,
    route: Route = "live",
    *,
    stated_usd: float | None = None,
    billed_as: str | None = None,
) -> float | None:
    """US dollars of one reply; by batch at that share of the live prices. None where a count or a price is unknown.

    What the provider states wins. A request longer than a tier's bound is charged at that tier's prices, all of it.
    Cached input is charged at its own price where one is known, else as any input; so it is in a batch, where some
    providers give one discount and not both. `billed_as` is a way of being served with prices of its own; see Reply.
    """
    if stated_usd is not None:
        return stated_usd
    if tokens.input is None or tokens.output is None:
        return None
    rates = _rates(model.prices, tokens.input, _share(model, route, billed_as))
    written_1h = tokens.cache_write_1h or 0
    written = (tokens.cache_write or 0) - written_1h
    fresh = tokens.input - (tokens.cached or 0) - written - written_1h
    plain = tokens.output - (tokens.reasoning or 0)
    if rates is None or min(fresh, written, plain) < 0:
        return None
    usd = fresh * rates.input + (tokens.cached or 0) * rates.cached + plain * rates.output
    usd += (tokens.reasoning or 0) * rates.reasoning
    for count, rate in ((written, rates.cache_write), (written_1h, rates.cache_write_1h)):
        if count and rate is None:
            return None
        usd += count * (rate or 0.0)
    return usd / TOKENS_A_PRICE + (model.prices.request_usd or 0.0)


def saving_of(
    tokens: Tokens,
    model: Model,
    route: Route,
    *,
    stated_usd: float | None = None,
    billed_as: str | None = None,
) -> float | None:
    """US dollars that one reply would have cost more live; None where either price is unknown."""
    if route == "live":
        return 0.0
    live, batch = price_of(tokens, model), price_of(tokens, model, route, stated_usd=stated_usd, billed_as=billed_as)
    return None if live is None or batch is None else live - batch


def batch_share(model: Model) -> tuple[float, float] | None:
    """What a batch costs of a model's live prices, input and output. (1, 1) without a batch API; None: unknown.

    The model's file decides, then LiteLLM's map, then the API's documentation.
    """
    share = _batch_share(model)
    return None if share is None else (share.input, share.output)


@dataclass(frozen=True, slots=True)
class _Rates:
    """US dollars per million tokens of one request."""

    input: float
    output: float
    cached: float
    reasoning: float
    cache_write: float | None
    cache_write_1h: float | None


def _rates(prices: Prices, input_tokens: int, share: Share | None) -> _Rates | None:
    tier = next((tier for tier in reversed(prices.tiers) if input_tokens > tier.above_tokens), None)
    at: Prices = prices if tier is None else tier  # type: ignore[assignment]  # the same names
    into = at.input_usd_per_mtok
    out = prices.output_usd_per_mtok if at.output_usd_per_mtok is None else at.output_usd_per_mtok
    if into is None or out is None or share is None:
        return None
    cached = at.cached_usd_per_mtok
    thought = prices.reasoning_usd_per_mtok
    return _Rates(
        input=into * share.input,
        output=out * share.output,
        cached=into * share.input if cached is None or share.cached is None else cached * share.cached,
        reasoning=(out if thought is None else thought) * share.output,
        cache_write=_times(at.cache_write_usd_per_mtok, share.cache_write),
        cache_write_1h=_times(at.cache_write_1h_usd_per_mtok, share.cache_write),
    )


def _times(price: float | None, share: float | None) -> float | None:
    return None if price is None or share is None else price * share


def _share(model: Model, route: Route, billed_as: str | None) -> Share | None:
    if billed_as == "web_search":  # priced where the fee of each request is
        billed_as = None
        if model.prices.request_usd is None:
            return None
    if route == "batch":
        return _batch_share(model)
    return LIVE if billed_as is None else _share_of_map(billed_as, model.provider, model.id)


def _batch_share(model: Model) -> Share | None:
    api, stated = model.capability.batch, model.prices.batch_share
    if api is None:
        return LIVE
    if stated is not None:
        return Share(stated, stated, stated, stated)
    known = _share_of_map("batch", model.provider, model.id)
    if known is None and api in BATCH_SHARE:
        return Share(BATCH_SHARE[api], BATCH_SHARE[api])
    return known


@cache
def _share_of_map(way: str, provider: str, model_id: str) -> Share | None:
    entry = lookup(provider, model_id)
    return None if entry is None else entry.shares.get(way)
