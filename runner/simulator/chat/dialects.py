"""Which models the chat completion APIs serve, and what each refuses: data, for openai_chat to apply."""

from __future__ import annotations

import re

from runner.simulator.chat import openai as openai_chat
from runner.simulator.chat.openai import Dialect, Rules

_NO_STRUCTURE = frozenset({"text"})
_SAMPLING = frozenset({"top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias"})
OPENAI = Dialect(
    "openai",
    openai_chat.OPENAI,
    re.compile(r"(gpt-|o\d|chatgpt-|ft:).*"),
    (
        Rules(
            re.compile(r"o1-(mini|preview)"),
            refused_roles=frozenset({"system", "developer"}),
            temperature="default_only",
            refused_fields=frozenset({"max_tokens", "tools", "tool_choice", "reasoning_effort"}),
            formats=_NO_STRUCTURE,
            reasons=True,
        ),
        Rules(
            re.compile(r"o\d"),
            temperature="refused",
            refused_fields=frozenset({"max_tokens"}) | _SAMPLING,
            reasons=True,
        ),
        Rules(re.compile(r"gpt-5\.[124](?!\d)"), refused_fields=frozenset({"max_tokens"}), reasons=True),
        Rules(
            re.compile(r"gpt-(?:[5-9]|\d\d)"),
            temperature="default_only",
            refused_fields=frozenset({"max_tokens"}) | _SAMPLING,
            reasons=True,
        ),
        Rules(re.compile(r"gpt-(3\.5|4$|4-)"), formats=frozenset({"text", "json_object"})),
    ),
    responses_only=re.compile(r"(o\d|gpt-5[.\d]*)-(pro|deep-research|codex).*|gpt-5[.\d]*-codex.*"),
)
GROQ = Dialect(
    "groq",
    openai_chat.GROQ,
    re.compile(r"(llama|openai/|meta-llama/|qwen|moonshotai/|gemma|mixtral|mistral|deepseek-r1|compound|groq/).*"),
    (
        Rules(re.compile(r"(openai/gpt-oss|moonshotai/|meta-llama/llama-4)")),
        Rules(re.compile(""), formats=frozenset({"text", "json_object"})),
    ),
)
KLUSTER = Dialect(
    "kluster",
    openai_chat.KLUSTER,
    re.compile(r"(klusterai|deepseek-ai|Qwen|google|meta-llama|mistralai)/.+"),
    (Rules(re.compile(""), formats=frozenset({"text", "json_object"})),),
)
DEEPSEEK = Dialect(
    "deepseek",
    openai_chat.DEEPSEEK,
    re.compile(r"deepseek-.+"),
    (
        Rules(re.compile(r"deepseek-(reasoner|v\d+-pro)"), formats=frozenset({"text", "json_object"}), reasons=True),
        Rules(re.compile(""), formats=frozenset({"text", "json_object"})),
    ),
    roles=frozenset({"system", "user", "assistant", "tool"}),
)
XAI = Dialect(
    "xai",
    openai_chat.XAI,
    re.compile(r"grok-.+"),
    (
        Rules(
            re.compile(r"grok-([4-9]|\d\d|code)"),
            refused_fields=frozenset({"presence_penalty", "frequency_penalty", "stop"}),
            reasons=True,
        ),
    ),
)
MISTRAL = Dialect(
    "mistral",
    openai_chat.MISTRAL,
    re.compile(r"(open-)?(mistral|mixtral|ministral|codestral|magistral|pixtral|devstral|nemo).*"),
    (Rules(re.compile("magistral"), reasons=True),),
    max_temperature=1.5,
    roles=frozenset({"system", "user", "assistant", "tool"}),
    strict_schemas=False,
)
