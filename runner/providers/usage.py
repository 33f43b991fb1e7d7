"""What a reply says it used: token counts under any vendor's names, the cost that it states, and how it was served.

Vendors count alike under other names, and under the same names they do not count alike: cached input stands within the
input or beside it, reasoning within the output or beside it, and some count part of either in the total alone. The
names tell what is documented; the total, where there is one, tells what is so. Counts that agree with nothing are
unknown, and so is the price, rather than too small.

Sources: the API references of OpenAI (chat completions, responses), Anthropic (messages, prompt caching), Google
(UsageMetadata), Amazon (Converse TokenUsage), Mistral (UsageInfo), Cohere (Usage), DeepSeek, xAI, Perplexity,
OpenRouter (usage accounting), DeepInfra and Ollama.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING

from runner.records import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.records import Json

    Path = tuple[str, ...]

MOST_TOKENS = 2**53
"""More than any reply has; a count beyond it is none."""
TICKS_A_DOLLAR = 10**10
"""xAI's cost_in_usd_ticks."""

INPUT: Sequence[Path] = (
    ("prompt_tokens",), ("input_tokens",), ("inputTokens",), ("promptTokenCount",), ("prompt_eval_count",),
    ("prompt_token_count",), ("input_token_count",), ("inputTextTokenCount",), ("billed_units", "input_tokens"),
    ("tokens", "input_tokens"),
)  # fmt: skip
OUTPUT: Sequence[Path] = (
    ("completion_tokens",), ("output_tokens",), ("outputTokens",), ("candidatesTokenCount",), ("eval_count",),
    ("generation_token_count",), ("output_token_count",), ("generated_token_count",), ("billed_units", "output_tokens"),
    ("tokens", "output_tokens"),
)  # fmt: skip
TOTAL: Sequence[Path] = (("total_tokens",), ("totalTokens",), ("totalTokenCount",))
CACHED: Sequence[Path] = (
    ("prompt_tokens_details", "cached_tokens"), ("input_tokens_details", "cached_tokens"),
    ("prompt_token_details", "cached_tokens"), ("cached_tokens",), ("num_cached_tokens",), ("prompt_cache_hit_tokens",),
    ("cachedContentTokenCount",), ("cache_read_input_tokens",), ("cacheReadInputTokens",),
    ("cacheReadInputTokenCount",),
)  # fmt: skip
"""Mistral's is num_cached_tokens, with or without the details; Cohere's and Moonshot's cached_tokens."""
WRITTEN: Sequence[Path] = (
    ("prompt_tokens_details", "cache_write_tokens"), ("prompt_tokens_details", "cache_creation_tokens"),
    ("input_tokens_details", "cache_write_tokens"), ("cache_creation_input_tokens",), ("cacheWriteInputTokens",),
    ("cacheWriteInputTokenCount",),
)  # fmt: skip
WRITTEN_1H: Sequence[Path] = (("cache_creation", "ephemeral_1h_input_tokens"),)
REASONING: Sequence[Path] = (
    ("completion_tokens_details", "reasoning_tokens"), ("output_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "thinking_tokens"), ("thoughtsTokenCount",), ("reasoning_tokens",),
)  # fmt: skip
TOOLS: Sequence[Path] = (("toolUsePromptTokenCount",),)
COUNTS = (INPUT, OUTPUT, TOTAL, CACHED, WRITTEN, WRITTEN_1H, REASONING, TOOLS)
USUAL_KEYS = 32
"""Keys of a usage object; one that has more is somebody's joke, and is not remembered."""
BESIDE_INPUT = frozenset(
    {"cache_read_input_tokens", "cache_creation_input_tokens", "cacheReadInputTokens", "cacheWriteInputTokens",
     "cacheReadInputTokenCount", "cacheWriteInputTokenCount"}
)  # fmt: skip
"""Names under which Anthropic and Amazon count what is cached beside their input, which is what was neither."""
BESIDE_OUTPUT = frozenset({"thoughtsTokenCount"})
WEB_SEARCH = "web_search"
"""How a reply is billed for which the model searched."""
ORDINARY = frozenset({"default", "standard", "auto", "on_demand", "batch", "standard_only"})
"""Tiers of service at the prices of the price list."""
SAID_BESIDE = frozenset(
    {"cost", "cost_in_usd_ticks", "estimated_cost", "server_tool_use", "num_sources_used", "service_tier",
     "trafficType"}
)  # fmt: skip
"""Keys of a usage object that say what a reply cost, or how it was served."""
TRAFFIC: Mapping[str, str] = {"ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_FLEX": "flex"}
"""Google's names for tiers."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a reply used, and what that costs where it says so."""

    tokens: Tokens
    cost_usd: float | None = None
    billed_as: str | None = None
    """As in Reply."""


def read(usage: Mapping[str, Json], service_tier: Json = None, *, searched: bool = False) -> Usage:
    """A usage object of any vendor; what is none, or is not there, is unknown.

    `service_tier` is the reply's own field, for vendors that say it beside the usage; `searched` as searched_in.
    """
    tokens = tokens_in(usage)
    if not searched and service_tier in (None, "default") and SAID_BESIDE.isdisjoint(usage):
        return Usage(tokens)  # it counts, and says no more
    return Usage(tokens, cost_in(usage), WEB_SEARCH if searched else _billed_as(usage, service_tier))


def searched_in(reply: Mapping[str, Json]) -> bool:
    """Whether a body of any API shows that the model searched the web, which tokens do not pay for.

    OpenAI cites what it found, or lists the call; Google gives its queries. Anthropic and xAI count; see read.
    """
    message = _item(reply.get("choices")).get("message")
    if isinstance(message, dict) and _item(message.get("annotations")).get("type") == "url_citation":
        return True
    grounding = _item(reply.get("candidates")).get("groundingMetadata") if "candidates" in reply else None
    if isinstance(grounding, dict) and grounding.get("webSearchQueries"):
        return True
    output = reply.get("output")
    items = output if isinstance(output, list) else ()
    return any(isinstance(item, dict) and item.get("type") == "web_search_call" for item in items)


def tokens_in(usage: Mapping[str, Json]) -> Tokens:
    """Token counts, each a whole number or None; `cached` and `reasoning` within input and output."""
    named = _named_alike(tuple(usage)) if len(usage) <= USUAL_KEYS else _named(usage)
    (into, input_name), (out, _), (total, _), (cached, cached_name), *others = [
        _first(usage, names) if names else (None, ()) for names in named
    ]
    (written, written_name), (written_1h, _), (thought, thought_name), (tools, _) = others
    if "billed_units" in input_name:
        # Cohere bills fewer tokens than it counts, and counts what was cached among all of them.
        cached = cached if cached is None or into is None or cached <= into else None
    extra = tools or 0
    is_whole = input_name == ("prompt_tokens",)
    into_parts = _Parts(
        None if into is None else into + extra,
        (cached or 0) + (written or 0),
        beside=not is_whole and bool(BESIDE_INPUT & {*cached_name, *written_name}),
    )
    is_beside = bool(BESIDE_OUTPUT & {*thought_name})
    if out is None and is_beside:
        out = 0  # Gemini leaves its count out where all was thought
    whole_in, whole_out = _settled(into_parts, _Parts(out, thought or 0, is_beside), total)
    return Tokens(whole_in, whole_out, cached, thought, written, written_1h)


def cost_in(usage: Mapping[str, Json]) -> float | None:
    """US dollars as the provider states them: OpenRouter, Perplexity (an object), xAI (ticks), DeepInfra."""
    cost = usage.get("cost")
    stated = _dollars(cost.get("total_cost") if isinstance(cost, dict) else cost)
    if stated is not None and usage.get("is_byok") is True:
        # OpenRouter's own part; the rest is billed by the provider whose key was brought.
        details = usage.get("cost_details")
        upstream = _dollars(details.get("upstream_inference_cost") if isinstance(details, dict) else None)
        return None if upstream is None else stated + upstream
    if stated is not None:
        return stated
    ticks = count(usage.get("cost_in_usd_ticks"))
    return ticks / TICKS_A_DOLLAR if ticks is not None else _dollars(usage.get("estimated_cost"))


def usage_in(body: Mapping[str, Json]) -> Mapping[str, Json]:
    """The object of a body in which it counts, of whatever API; an empty one where it does not count."""
    meta = body.get("meta")
    result = body.get("result")
    places = (
        body.get("usage"),
        body.get("usageMetadata"),
        meta,
        body.get("metrics"),
        result.get("usage") if isinstance(result, dict) else None,
        body,
    )
    for place in places:
        if isinstance(place, dict) and (_first(place, INPUT)[1] or _first(place, TOTAL)[1]):
            return place
    return {}


def count(value: Json) -> int | None:
    """A count of tokens, or None for what can be none: a string, a negative number, a fraction, a yes or no."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MOST_TOKENS:
        return None
    return int(value) if value == int(value) else None


# ---- counts that overlap ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Parts:
    """A count, and parts of it or beside it."""

    stated: int | None
    part: int
    """Tokens that are counted apart as well."""
    beside: bool
    """Whether the part is documented to stand beside the count."""

    @property
    def documented(self) -> int | None:
        return None if self.stated is None else self.stated + self.part * self.beside

    @property
    def readings(self) -> Iterable[int]:
        """The wholes that are possible, the documented one first."""
        if self.stated is None:
            return ()
        both = (self.stated + self.part, self.stated) if self.beside else (self.stated, self.stated + self.part)
        return [whole for whole in dict.fromkeys(both) if whole >= self.part]


def _settled(into: _Parts, out: _Parts, total: int | None) -> tuple[int | None, int | None]:
    """Whole input and whole output, each None where the counts contradict each other."""
    if into.stated is None or (out.stated is None and total is None):
        return next(iter(into.readings), None), next(iter(out.readings), None)
    if total is None:
        return next(iter(into.readings)), next(iter(out.readings))
    if out.stated is None:
        whole = next(iter(into.readings))
        return whole, total - whole if total - whole >= out.part else None
    if not into.part and not out.part and into.stated + out.stated == total:
        return into.stated, out.stated  # nothing is counted apart: the usual reply
    fits = [(one, other) for one in into.readings for other in out.readings if one + other == total]
    documented = (into.documented, out.documented)
    if documented in fits or len(fits) == 1:
        return documented if documented in fits else fits[0]
    return (None, None) if fits else _unexplained(into, out, total)


def _unexplained(into: _Parts, out: _Parts, total: int) -> tuple[int | None, int | None]:
    """A total that no reading of the parts gives."""
    whole_in, whole_out = into.documented, out.documented
    if whole_in is None or whole_out is None or whole_in < into.part or whole_out < out.part:
        return (
            whole_in if whole_in is not None and whole_in >= into.part else None,
            whole_out if whole_out is not None and whole_out >= out.part else None,
        )
    if total <= whole_in + whole_out:
        return whole_in, whole_out  # a total that leaves something out: nothing is charged that is not counted
    # What is in the total alone is what the model thought, where no other thought is counted.
    return (whole_in, total - whole_in) if not out.part else (whole_in, None)


# ---- values ----------------------------------------------------------------------------------------------------------


def _first(usage: Mapping[str, Json], names: Sequence[Path]) -> tuple[int | None, Path]:
    """The first of these counts that is one, and its name."""
    for name in names:
        if name[0] not in usage:
            continue
        found = usage[name[0]]
        for step in name[1:]:
            found = found.get(step) if isinstance(found, dict) else None
        if (number := count(found)) is not None:
            return number, name
    return None, ()


def _named(keys: Iterable[str]) -> tuple[Sequence[Path], ...]:
    """Of each of COUNTS, the names that a usage object with these keys may have."""
    there = frozenset(keys)
    return tuple([name for name in names if name[0] in there] for names in COUNTS)


_named_alike = lru_cache(maxsize=256)(_named)
"""Replies of one API have the same few keys."""


def _item(value: Json) -> Mapping[str, Json]:
    """The first of a list of objects, or nothing."""
    return value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else {}


def _dollars(value: Json) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= MOST_TOKENS and isfinite(value) else None


def _billed_as(usage: Mapping[str, Json], service_tier: Json) -> str | None:
    searches = usage.get("server_tool_use")
    if count(usage.get("num_sources_used")) or (
        isinstance(searches, dict) and any(count(number) for number in searches.values())
    ):
        return WEB_SEARCH
    tier = usage.get("service_tier") or service_tier
    if isinstance(traffic := usage.get("trafficType"), str):
        tier = TRAFFIC.get(traffic, tier)
    return None if not isinstance(tier, str) or not tier or tier in ORDINARY else tier
