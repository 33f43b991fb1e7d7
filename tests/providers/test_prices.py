"""What recorded usages cost: each vendor's reply as it documents it, against its price list by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from runner.config.catalog import fill_prices, lookup
from runner.config.pricing import price_of, saving_of
from runner.providers.codec import codec_for
from runner.records import Capability, Model, Prices, PriceTier, Route, Tokens

M = 1_000_000
CHAT = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
SAID: list[dict[str, Any]] = [{"index": 0, "message": {"role": "assistant", "content": "7"}, "finish_reason": "stop"}]


CITED = [{**SAID[0], "message": {"role": "assistant", "content": "7", "annotations": [{"type": "url_citation"}]}}]


def chat(**usage: Any) -> dict[str, Any]:
    return {**CHAT, "choices": SAID, "usage": usage}


def claude(**usage: Any) -> dict[str, Any]:
    said = [{"type": "text", "text": "7"}]
    return {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": said,
            "stop_reason": "end_turn", "usage": usage}  # fmt: skip


def gemini(**usage: Any) -> dict[str, Any]:
    said = {"content": {"role": "model", "parts": [{"text": "7"}]}, "finishReason": "STOP", "index": 0}
    return {"candidates": [said], "modelVersion": "g", "usageMetadata": usage}


def through_litellm(received: dict[str, Any], **guessed: Any) -> dict[str, Any]:
    """What the ledger keeps of a reply that LiteLLM fetched: its reading of it, and the body as it came."""
    return {**CHAT, "choices": SAID, "usage": guessed, "received": received}


CONVERSE = {"output": {"message": {"role": "assistant", "content": [{"text": "7"}]}}, "stopReason": "end_turn"}
OLLAMA = {"model": "q", "message": {"role": "assistant", "content": "7"}, "done": True}
COHERE = {"id": "c", "message": {"role": "assistant", "content": [{"type": "text", "text": "7"}]}}


@dataclass(frozen=True)
class Case:
    """A reply of one model, and what it costs: counts times the price list's dollars a million tokens."""

    name: str
    model: str
    reply: dict[str, Any]
    usd: float | None
    route: Route = "live"
    batch: str | None = None
    prices: Prices = field(default_factory=Prices)


CASES = (
    # OpenAI: cached and reasoning within; gpt-4o-mini 0.15, 0.075 cached, 0.60; no cached price in a batch.
    Case("openai plain", "openai/gpt-4o-mini", chat(prompt_tokens=1_117, completion_tokens=46, total_tokens=1_163),
         (1_117 * 0.15 + 46 * 0.60) / M),
    Case("openai cached", "openai/gpt-4o-mini",
         chat(prompt_tokens=2_006, completion_tokens=300, total_tokens=2_306,
              prompt_tokens_details={"cached_tokens": 1_920, "audio_tokens": 0},
              completion_tokens_details={"reasoning_tokens": 0}),
         (86 * 0.15 + 1_920 * 0.075 + 300 * 0.60) / M),
    Case("openai batch", "openai/gpt-4o-mini",
         chat(prompt_tokens=2_006, completion_tokens=300, total_tokens=2_306,
              prompt_tokens_details={"cached_tokens": 1_920}),
         (2_006 * 0.075 + 300 * 0.30) / M, "batch", "openai"),
    Case("openai reasoning", "openai/gpt-5",
         chat(prompt_tokens=75, completion_tokens=1_186, total_tokens=1_261,
              completion_tokens_details={"reasoning_tokens": 1_024}),
         (75 * 1.25 + 1_186 * 10.0) / M),
    Case("openai batch cached", "openai/gpt-5",
         chat(prompt_tokens=4_096, completion_tokens=500, total_tokens=4_596,
              prompt_tokens_details={"cached_tokens": 4_000}),
         (96 * 0.625 + 4_000 * 0.0625 + 500 * 5.0) / M, "batch", "openai"),
    Case("openai flex", "openai/gpt-5",
         {**chat(prompt_tokens=1_000, completion_tokens=1_000, total_tokens=2_000), "service_tier": "flex"},
         (1_000 * 0.625 + 1_000 * 5.0) / M),
    Case("openai priority", "openai/gpt-5",
         {**chat(prompt_tokens=1_000, completion_tokens=1_000, total_tokens=2_000), "service_tier": "priority"},
         (1_000 * 2.50 + 1_000 * 20.0) / M),
    Case("openai a tier of service without a price", "openai/gpt-5",
         {**chat(prompt_tokens=1_000, completion_tokens=1_000, total_tokens=2_000), "service_tier": "scale"}, None),
    Case("openai just not long", "openai/gpt-6.1-sol",
         chat(prompt_tokens=272_000, completion_tokens=1_000, total_tokens=273_000),
         (272_000 * 2.0 + 1_000 * 10.0) / M),
    Case("openai long", "openai/gpt-6.1-sol",
         chat(prompt_tokens=272_001, completion_tokens=1_000, total_tokens=273_001,
              prompt_tokens_details={"cached_tokens": 72_001}),
         (200_000 * 4.0 + 72_001 * 0.2 + 1_000 * 15.0) / M),
    Case("openai long by batch", "openai/gpt-6-luna",
         chat(prompt_tokens=300_000, completion_tokens=1_000, total_tokens=301_000),
         (300_000 * 0.1 + 1_000 * 0.375) / M, "batch", "openai"),
    Case("openai cache written", "openai/gpt-6-luna",
         chat(prompt_tokens=10_000, completion_tokens=100, total_tokens=10_100,
              prompt_tokens_details={"cached_tokens": 0, "cache_write_tokens": 9_000}),
         (1_000 * 0.1 + 9_000 * 0.125 + 100 * 0.5) / M),
    # Anthropic: input beside what is cached; haiku 5.5 five times as much above 100,000 tokens of all input.
    Case("anthropic plain", "anthropic/claude-haiku-5-5", claude(input_tokens=2_095, output_tokens=503),
         (2_095 * 0.1 + 503 * 0.5) / M),
    Case("anthropic long", "anthropic/claude-haiku-5-5", claude(input_tokens=150_000, output_tokens=1_000),
         (150_000 * 0.5 + 1_000 * 2.5) / M),
    Case("anthropic long with its cache", "anthropic/claude-haiku-5-5",
         claude(input_tokens=1_000, cache_read_input_tokens=100_000, cache_creation_input_tokens=0, output_tokens=400),
         (1_000 * 0.5 + 100_000 * 0.05 + 400 * 2.5) / M),
    Case("anthropic long by batch", "anthropic/claude-haiku-5-5", claude(input_tokens=150_000, output_tokens=1_000),
         (150_000 * 0.25 + 1_000 * 1.25) / M, "batch", "anthropic"),
    Case("anthropic cache written", "anthropic/claude-sonnet-4-5",
         claude(input_tokens=21, cache_creation_input_tokens=188_086, cache_read_input_tokens=0, output_tokens=393,
                cache_creation={"ephemeral_5m_input_tokens": 188_086, "ephemeral_1h_input_tokens": 0}),
         (21 * 3.0 + 188_086 * 3.75 + 393 * 15.0) / M),
    Case("anthropic cache written for an hour", "anthropic/claude-sonnet-4-5",
         claude(input_tokens=2_048, cache_read_input_tokens=1_800, cache_creation_input_tokens=248, output_tokens=503,
                cache_creation={"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100}),
         (2_048 * 3.0 + 1_800 * 0.3 + 148 * 3.75 + 100 * 6.0 + 503 * 15.0) / M),
    Case("anthropic cache by batch", "anthropic/claude-sonnet-4-5",
         claude(input_tokens=100, cache_read_input_tokens=2_000, cache_creation_input_tokens=1_000, output_tokens=50,
                service_tier="batch"),
         (100 * 1.5 + 2_000 * 0.15 + 1_000 * 1.875 + 50 * 7.5) / M, "batch", "anthropic"),
    Case("anthropic thinking is within", "anthropic/claude-opus-5-5",
         claude(input_tokens=500, output_tokens=900, output_tokens_details={"thinking_tokens": 800}),
         (500 * 4.0 + 900 * 20.0) / M),
    Case("anthropic with a search, which no token pays for", "anthropic/claude-opus-5-5",
         claude(input_tokens=500, output_tokens=900, server_tool_use={"web_search_requests": 2}), None),
    Case("openai with a search", "openai/gpt-5-search-api",
         {**chat(prompt_tokens=100, completion_tokens=20, total_tokens=120), "choices": CITED}, None),
    Case("xai with searches", "xai/grok-4.7",
         chat(prompt_tokens=100, completion_tokens=20, total_tokens=120, num_sources_used=3), None),
    Case("gemini with a search", "gemini/gemini-3.8-flash",
         {**gemini(promptTokenCount=100, candidatesTokenCount=20, totalTokenCount=120),
          "candidates": [{"content": {"role": "model", "parts": [{"text": "7"}]}, "finishReason": "STOP",
                          "groundingMetadata": {"webSearchQueries": ["rain"]}}]}, None),
    Case("a search whose fee a file states", "openai/gpt-5-search-api",
         {**chat(prompt_tokens=100, completion_tokens=20, total_tokens=120), "choices": CITED},
         (100 * 1.0 + 20 * 2.0) / M + 0.01, prices=Prices(1.0, 2.0, request_usd=0.01)),
    # Google: cached within, thoughts beside; cached tokens cost the same in a batch.
    Case("gemini thoughts", "gemini/gemini-2.5-flash",
         gemini(promptTokenCount=10, candidatesTokenCount=36, thoughtsTokenCount=989, totalTokenCount=1_035),
         (10 * 0.30 + 1_025 * 2.50) / M),
    Case("gemini long", "gemini/gemini-2.5-pro",
         gemini(promptTokenCount=300_000, candidatesTokenCount=1_000, totalTokenCount=301_000),
         (300_000 * 2.50 + 1_000 * 15.0) / M),
    Case("gemini not long", "gemini/gemini-2.5-pro",
         gemini(promptTokenCount=200_000, candidatesTokenCount=1_000, totalTokenCount=201_000),
         (200_000 * 1.25 + 1_000 * 10.0) / M),
    Case("gemini long by batch, cached", "gemini/gemini-2.5-pro",
         gemini(promptTokenCount=300_000, cachedContentTokenCount=100_000, candidatesTokenCount=1_000,
                totalTokenCount=301_000),
         (200_000 * 1.25 + 100_000 * 0.25 + 1_000 * 7.5) / M, "batch", "gemini"),
    Case("gemini tools' results", "gemini/gemini-3.8-flash",
         gemini(promptTokenCount=100, toolUsePromptTokenCount=400, candidatesTokenCount=50, thoughtsTokenCount=150,
                totalTokenCount=700),
         (500 * 0.75 + 200 * 3.75) / M),
    Case("gemini all thought", "gemini/gemini-3.8-flash",
         gemini(promptTokenCount=100, thoughtsTokenCount=250, totalTokenCount=350), (100 * 0.75 + 250 * 3.75) / M),
    # xAI: reasoning beside the completion; long from 200,000 itself on; its own figure where it states one.
    Case("xai reasoning beside", "xai/grok-4.7",
         chat(prompt_tokens=32, completion_tokens=9, total_tokens=135, prompt_tokens_details={"cached_tokens": 6},
              completion_tokens_details={"reasoning_tokens": 94}),
         (26 * 2.0 + 6 * 0.5 + 103 * 6.0) / M),
    Case("xai long", "xai/grok-4.7", chat(prompt_tokens=200_000, completion_tokens=10, total_tokens=200_010),
         (200_000 * 4.0 + 10 * 12.0) / M),
    Case("xai states ticks", "xai/grok-4.7",
         chat(prompt_tokens=199, completion_tokens=1, total_tokens=200, cost_in_usd_ticks=158_500), 0.00001585),
    # Mistral's, DeepSeek's, Moonshot's and Cohere's names of what was cached.
    Case("mistral", "mistral/mistral-large-2512",
         chat(prompt_tokens=1_000, completion_tokens=100, total_tokens=1_100, num_cached_tokens=800),
         (200 * 0.50 + 800 * 0.05 + 100 * 1.50) / M),
    Case("mistral's details", "mistral/mistral-large-2512",
         chat(prompt_tokens=1_000, completion_tokens=100, total_tokens=1_100, num_cached_tokens=800,
              prompt_tokens_details={"cached_tokens": 800}),
         (200 * 0.50 + 800 * 0.05 + 100 * 1.50) / M),
    Case("deepseek", "deepseek/deepseek-flash",
         chat(prompt_tokens=1_200, completion_tokens=300, total_tokens=1_500, prompt_cache_hit_tokens=1_152,
              prompt_cache_miss_tokens=48, completion_tokens_details={"reasoning_tokens": 200}),
         (48 * 0.30 + 1_152 * 0.006 + 300 * 1.20) / M),
    Case("moonshot", "moonshot/kimi-k2.5",
         through_litellm(chat(prompt_tokens=900, completion_tokens=80, total_tokens=980, cached_tokens=512)),
         (388 * 0.60 + 512 * 0.10 + 80 * 3.0) / M),
    Case("groq", "groq/openai/gpt-oss-120b",
         chat(queue_time=0.04, prompt_tokens=500, completion_tokens=60, total_tokens=560, total_time=0.2,
              prompt_tokens_details={"cached_tokens": 256}),
         (244 * 0.15 + 256 * 0.075 + 60 * 0.60) / M),
    Case("cohere bills fewer tokens than it counts", "cohere/command-a-03-2025",
         through_litellm({**COHERE, "usage": {"billed_units": {"input_tokens": 6_772, "output_tokens": 248},
                                              "tokens": {"input_tokens": 7_596, "output_tokens": 645},
                                              "cached_tokens": 7_000}},
                         prompt_tokens=7_596, completion_tokens=645, total_tokens=8_241),
         (6_772 * 2.50 + 248 * 10.0) / M),
    # What others state as the cost wins, whatever the price list says.
    Case("openrouter", "openrouter/anthropic/claude-haiku-4.5",
         chat(prompt_tokens=194, completion_tokens=2, total_tokens=196, cost=0.00014, is_byok=False,
              cost_details={"upstream_inference_cost": None}),
         0.00014),
    Case("openrouter with a key of one's own", "openrouter/anthropic/claude-haiku-4.5",
         chat(prompt_tokens=194, completion_tokens=2, total_tokens=196, cost=0.00001, is_byok=True,
              cost_details={"upstream_inference_cost": 0.0002}),
         0.00021),
    Case("openrouter free", "openrouter/x/y:free",
         chat(prompt_tokens=194, completion_tokens=2, total_tokens=196, cost=0), 0.0),
    Case("perplexity states it", "perplexity/sonar-pro",
         through_litellm(chat(prompt_tokens=12, completion_tokens=300, total_tokens=312, search_context_size="low",
                              cost={"input_tokens_cost": 0.0, "output_tokens_cost": 0.005, "request_cost": 0.006,
                                    "total_cost": 0.011})),
         0.011),
    Case("perplexity's fee", "perplexity/sonar",
         through_litellm(chat(prompt_tokens=100, completion_tokens=200, total_tokens=300)),
         (100 * 1.0 + 200 * 1.0) / M + 0.005),
    Case("deepinfra", "deepinfra/deepseek-ai/DeepSeek-V3",
         through_litellm(chat(prompt_tokens=15, completion_tokens=16, total_tokens=31, estimated_cost=0.0000268)),
         0.0000268),
    # Amazon, Azure, and steps of prices.
    Case("bedrock's cache", "bedrock/anthropic.claude-haiku-4-5-20251001-v1:0",
         through_litellm({**CONVERSE, "usage": {"inputTokens": 100, "outputTokens": 50, "totalTokens": 3_150,
                                                "cacheReadInputTokens": 2_000, "cacheWriteInputTokens": 1_000}},
                         prompt_tokens=3_100, completion_tokens=50, total_tokens=3_150),
         (100 * 1.0 + 2_000 * 0.1 + 1_000 * 1.25 + 50 * 5.0) / M),
    Case("azure", "azure/gpt-4o",
         through_litellm(chat(prompt_tokens=1_500, completion_tokens=100, total_tokens=1_600,
                              prompt_tokens_details={"cached_tokens": 1_024})),
         (476 * 2.50 + 1_024 * 1.25 + 100 * 10.0) / M),
    Case("qwen, the first step", "dashscope/qwen-flash",
         through_litellm(chat(prompt_tokens=256_000, completion_tokens=10, total_tokens=256_010)),
         (256_000 * 0.05 + 10 * 0.40) / M),
    Case("qwen, the second step", "dashscope/qwen-flash",
         through_litellm(chat(prompt_tokens=256_001, completion_tokens=10, total_tokens=256_011)),
         (256_001 * 0.25 + 10 * 2.0) / M),
    Case("minimax long", "minimax/MiniMax-M3",
         through_litellm(chat(prompt_tokens=600_000, completion_tokens=100, total_tokens=600_100)),
         (600_000 * 0.60 + 100 * 2.40) / M),
    Case("ollama counts under names of its own", "ollama/qwen3",
         through_litellm({**OLLAMA, "prompt_eval_count": 26, "eval_count": 298}), (26 * 1.0 + 298 * 2.0) / M,
         prices=Prices(1.0, 2.0)),
    Case("ollama without a count, LiteLLM's guess beside it", "ollama/qwen3",
         through_litellm({**OLLAMA, "eval_count": 298}, prompt_tokens=30, completion_tokens=298, total_tokens=328),
         None, prices=Prices(1.0, 2.0)),
    Case("azure without counts, LiteLLM's guess beside them", "azure/gpt-4o",
         through_litellm({**CHAT, "choices": SAID}, prompt_tokens=9, completion_tokens=1, total_tokens=10), None),
)  # fmt: skip


def model_of(case: Case) -> Model:
    provider, _, model_id = case.model.partition("/")
    prices = fill_prices(case.prices, lookup(provider, model_id))
    return Model("m", model_id, provider, "v", capability=Capability(batch=case.batch), prices=prices)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_recorded_usage_costs_what_the_price_list_says(case: Case) -> None:
    """The price of a reply as its vendor documents it is the price list's, to the hundredth of a cent and beyond."""
    model = model_of(case)
    reply = codec_for(model, None).decode(json.dumps(case.reply).encode(), "prompt")
    found = price_of(reply.tokens, model, case.route, stated_usd=reply.cost_usd, billed_as=reply.billed_as)
    assert found == (None if case.usd is None else pytest.approx(case.usd, rel=1e-9, abs=1e-12))


@dataclass(frozen=True)
class Counted:
    """Counts of an endpoint that names them as OpenAI does, and how they are read: (input, output)."""

    name: str
    usage: dict[str, Any]
    read: tuple[int | None, int | None]


def counts(into: int | None, out: int | None, total: int | None = None, **parts: int) -> dict[str, Any]:
    """A usage object with these counts; `cached` and `thought` as its details."""
    named = {"prompt_tokens": into, "completion_tokens": out, "total_tokens": total}
    usage: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    if "cached" in parts:
        usage["prompt_tokens_details"] = {"cached_tokens": parts["cached"]}
    if "thought" in parts:
        usage["completion_tokens_details"] = {"reasoning_tokens": parts["thought"]}
    return usage


COUNTED = (
    Counted("no total", counts(100, 20), (100, 20)),
    Counted("thoughts in the total alone", counts(100, 20, 520), (100, 420)),
    Counted("all output in the total alone", counts(100, None, 520), (100, 420)),
    Counted("nothing said, all in the total", counts(100, 0, 520), (100, 420)),
    Counted("a total alone", counts(None, None, 520), (None, None)),
    Counted("no input", counts(None, 20, 520), (None, 20)),
    Counted("cached beside, by the total", counts(100, 20, 170, cached=50), (150, 20)),
    Counted("cached beside, since it is more", counts(100, 20, cached=150), (250, 20)),
    Counted("cached, more than the input and within by the total", counts(100, 20, 120, cached=150), (None, 20)),
    Counted("reasoning beside, by the total", counts(100, 20, 130, thought=10), (100, 30)),
    Counted("reasoning beside, since it is more", counts(100, 20, thought=400), (100, 420)),
    Counted("reasoning, more than the output and within by the total", counts(100, 20, 120, thought=400), (100, None)),
    Counted("both beside", counts(100, 20, 180, cached=50, thought=10), (150, 30)),
    Counted("either beside", counts(100, 20, 130, cached=10, thought=10), (None, None)),
    Counted("more in the total than the reasoning", counts(100, 20, 520, thought=10), (100, None)),
    Counted("less in the total", counts(100, 20, 60), (100, 20)),
    Counted("zeros for unknown parts", counts(100, 20, 120, cached=0, thought=0), (100, 20)),
)


@pytest.mark.parametrize("case", COUNTED, ids=lambda case: case.name)
@pytest.mark.parametrize("provider", ["openai", "groq", "mistral", "azure"])
def test_counts_that_overlap_are_right_or_unknown(provider: str, case: Counted) -> None:
    """What is counted beside a count is added to it, and counts that contradict each other are unknown."""
    body = chat(**case.usage)
    kept = through_litellm(body, prompt_tokens=1, completion_tokens=1) if provider == "azure" else body
    model = Model("m", "m", provider, "v", prices=Prices(1.0, 10.0, 0.5))
    reply = codec_for(model, None).decode(json.dumps(kept).encode(), "prompt")
    assert (reply.tokens.input, reply.tokens.output) == case.read
    price = price_of(reply.tokens, model)
    assert (price is None) is (None in case.read)
    assert price is None or price > 0


@pytest.mark.parametrize(
    "tokens",
    [
        Tokens(10, 5, cached=11),
        Tokens(10, 5, reasoning=6),
        Tokens(10, 5, cached=4, cache_write=7),
        Tokens(10, 5, cache_write=1, cache_write_1h=2),
    ],
    ids=str,
)
def test_a_part_larger_than_its_whole_has_no_price(tokens: Tokens) -> None:
    """Whatever an older version has stored, no price is negative."""
    prices = Prices(1.0, 2.0, 0.1, cache_write_usd_per_mtok=1.25, cache_write_1h_usd_per_mtok=2.0)
    assert price_of(tokens, Model("m", "m", "x", "v", prices=prices)) is None


@pytest.mark.parametrize(
    "stated", ["0.1", True, -1, float("nan"), float("inf"), None, [], {"total_cost": "x"}, 10**400], ids=str
)
def test_a_cost_that_is_none_is_not_taken(stated: Any) -> None:
    """A stated cost counts where it is an amount of dollars; else the tokens are priced."""
    body = chat(prompt_tokens=100, completion_tokens=10, total_tokens=110, cost=stated)
    model = Model("m", "m", "openrouter", "v", prices=Prices(1.0, 2.0))
    reply = codec_for(model, None).decode(json.dumps(body).encode(), "prompt")
    assert reply.cost_usd is None
    assert price_of(reply.tokens, model, stated_usd=reply.cost_usd) == pytest.approx(120 / M)


TIERED = Prices(1.0, 2.0, 0.1, tiers=(PriceTier(100, 2.0, 4.0), PriceTier(1_000, 3.0)))


@pytest.mark.parametrize(
    ("tokens", "usd"),
    [
        (Tokens(100, 10), (100 * 1.0 + 10 * 2.0) / M),
        (Tokens(101, 10), (101 * 2.0 + 10 * 4.0) / M),
        (Tokens(101, 10, cached=100), (101 * 2.0 + 10 * 4.0) / M),
        (Tokens(1_001, 10), (1_001 * 3.0 + 10 * 2.0) / M),
    ],
    ids=str,
)
def test_a_model_file_may_state_tiers(tokens: Tokens, usd: float) -> None:
    """All of a long request is charged at its tier; what the tier leaves open is the flat output and its own input."""
    model = Model("m", "m", "x", "v", capability=Capability(batch="openai"), prices=TIERED)
    assert price_of(tokens, model) == pytest.approx(usd)
    halved = replace(model, prices=replace(TIERED, batch_share=0.5))
    assert price_of(tokens, halved, "batch") == pytest.approx(usd / 2)
    assert saving_of(tokens, halved, "batch") == pytest.approx(usd / 2)


def test_the_maps_tiers_follow_a_stated_price() -> None:
    """A file that states another flat price gets the map's tiers in proportion: a long request is no cheaper."""
    filled = fill_prices(Prices(0.2, 0.5), lookup("anthropic", "claude-haiku-5-5"))
    assert filled.tiers == (PriceTier(100_000, 1.0, 2.5, 0.05, 0.625, 1.0),)


def test_a_cached_token_without_a_price_is_charged_as_any_input() -> None:
    """No discount is assumed that no list states."""
    model = Model("m", "m", "x", "v", prices=Prices(1.0, 2.0))
    assert price_of(Tokens(100, 0, cached=90), model) == pytest.approx(100 / M)


def test_a_cache_written_without_a_price_is_unknown() -> None:
    """Writing costs more than reading anew, nobody knows how much."""
    model = Model("m", "m", "x", "v", prices=Prices(1.0, 2.0))
    assert price_of(Tokens(100, 0, cache_write=90), model) is None
