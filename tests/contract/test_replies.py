"""Replies in each provider's documented shape, and the Reply that each is read as."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from runner.errors import FatalError
from runner.providers.codec import codec_for
from runner.records import Model, Reply, Tokens

if TYPE_CHECKING:
    from runner.records import Rung

UNICODE = '{"joy": "嬉しい 𠮷 🎭 \u2028 e\u0301"}'
TOOL = {"joy": {"score": 5, "reason": "喜び"}}
TOOL_TEXT = '{"joy": {"score": 5, "reason": "喜び"}}'
MODELS = {
    "openai": "gpt-4o",
    "embedded": "local",
    "groq": "llama-3.3-70b-versatile",
    "xai": "grok-4",
    "deepseek": "deepseek-reasoner",
    "mistral": "magistral-medium-latest",
    "openrouter": "maker/model",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
}


def chat(message: dict[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "m-2024-08-06",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": finish}
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        **more,
    }


def message(*content: dict[str, Any], stop: str = "end_turn", **more: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": list(content),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 5},
        **more,
    }


def content(*parts: dict[str, Any], finish: str = "STOP", **more: Any) -> dict[str, Any]:
    return {
        "candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": finish, "index": 0}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
        "modelVersion": "gemini-2.5-flash",
        "responseId": "r",
        **more,
    }


def calling(arguments: str) -> dict[str, Any]:
    return {"tool_calls": [{"id": "t", "type": "function", "function": {"name": "scores", "arguments": arguments}}]}


COUNTED = {
    "prompt_tokens": 10,
    "completion_tokens": 9,
    "total_tokens": 19,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
PLAIN = Tokens(10, 5)


@dataclass(frozen=True)
class Case:
    """A provider's reply and how it is read."""

    id: str
    provider: str
    body: dict[str, Any]
    reply: Reply
    rung: Rung = "schema"
    more: dict[str, Any] = field(default_factory=dict)


def read(text: str | None, finish: str | None = "stop", tokens: Tokens = PLAIN, **more: Any) -> Reply:
    return Reply(text, finish, tokens=tokens, **{"model_version": "m-2024-08-06", **more})


def claude(text: str | None, finish: str = "stop", tokens: Tokens = PLAIN, **more: Any) -> Reply:
    return Reply(text, finish, tokens=tokens, model_version="claude-sonnet-4-5-20250929", **more)


def gemini(text: str | None, finish: str = "stop", tokens: Tokens = PLAIN, **more: Any) -> Reply:
    return Reply(text, finish, tokens=tokens, model_version="gemini-2.5-flash", **more)


TEXT = {"type": "text", "text": UNICODE}
CASES = (
    *(Case(f"{name} text", name, chat({"content": UNICODE}), read(UNICODE)) for name in list(MODELS)[:7]),
    *(
        Case(f"{name} counts", name, chat({"content": "x"}, usage=COUNTED), read("x", tokens=Tokens(10, 9, 3, 4)))
        for name in list(MODELS)[:7]
    ),
    *(Case(f"{name} length", name, chat({"content": "{"}, "length"), read("{", "length")) for name in list(MODELS)[:7]),
    *(
        Case(f"{name} tool", name, chat(calling(TOOL_TEXT), "tool_calls"), read(TOOL_TEXT, "tool_calls"), "tool")
        for name in list(MODELS)[:7]
    ),
    Case(
        "openai fingerprint", "openai", chat({"content": "x"}, system_fingerprint="fp_1"), read("x", fingerprint="fp_1")
    ),
    Case("openai refusal", "openai", chat({"refusal": "I can't."}), read(None, refusal="I can't.")),
    Case("openai filter", "openai", chat({"content": None}, "content_filter"), read(None, "content_filter")),
    Case("openai empty", "openai", chat({"content": ""}), read("")),
    Case("openai tool unused", "openai", chat({"content": "no"}), read("no"), "tool"),
    Case("openai no counts", "openai", chat({"content": "x"}, usage=None), read("x", tokens=Tokens())),
    Case(
        "server parts",
        "openai",
        chat({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
        read("ab"),
    ),
    Case("groq tier", "groq", chat({"content": "x"}, service_tier="on_demand", x_groq={"id": "q"}), read("x")),
    Case(
        "xai reasoning apart",
        "xai",
        chat({"content": "x", "reasoning_content": "hm"}, usage={**COUNTED, "total_tokens": 23}),
        read("x", tokens=Tokens(10, 13, 3, 4)),
    ),
    Case(
        "deepseek cache",
        "deepseek",
        chat(
            {"content": "x", "reasoning_content": "hm"},
            usage={"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "prompt_cache_hit_tokens": 8},
        ),
        read("x", tokens=Tokens(10, 5, 8)),
    ),
    Case("claude text", "anthropic", message(TEXT), claude(UNICODE)),
    Case("claude blocks", "anthropic", message(TEXT, TEXT), claude(UNICODE * 2)),
    Case("claude length", "anthropic", message(TEXT, stop="max_tokens"), claude(UNICODE, "length")),
    Case("claude empty", "anthropic", message(), claude(None)),
    Case(
        "claude tool",
        "anthropic",
        message({"type": "tool_use", "id": "t", "name": "scores", "input": TOOL}, stop="tool_use"),
        claude(TOOL_TEXT, "tool_calls"),
        "tool",
    ),
    Case(
        "claude refusal",
        "anthropic",
        message(stop="refusal"),
        claude(None, "content_filter", refusal="stop_reason: refusal"),
    ),
    Case(
        "claude refusal explained",
        "anthropic",
        message(stop="refusal", stop_details={"type": "refusal", "category": "cyber", "explanation": "Not this."}),
        claude(None, "content_filter", refusal="Not this."),
    ),
    Case(
        "claude cache and thinking",
        "anthropic",
        message(
            {"type": "thinking", "thinking": "Let me see.", "signature": "s"},
            {"type": "redacted_thinking", "data": "d"},
            TEXT,
            usage={
                "input_tokens": 10,
                "cache_creation_input_tokens": 4,
                "cache_read_input_tokens": 6,
                "output_tokens": 30,
                "output_tokens_details": {"thinking_tokens": 25},
            },
        ),
        claude(UNICODE, tokens=Tokens(20, 30, 6, 25)),
    ),
    Case(
        "claude thinking uncounted",
        "anthropic",
        message({"type": "thinking", "thinking": "Let me see.", "signature": "s"}, TEXT),
        claude(UNICODE),
    ),
    Case("gemini text", "gemini", content({"text": UNICODE}), gemini(UNICODE)),
    Case("gemini parts", "gemini", content({"text": "a"}, {"text": "b"}), gemini("ab")),
    Case("gemini length", "gemini", content({"text": "{"}, finish="MAX_TOKENS"), gemini("{", "length")),
    Case(
        "gemini length, all thought",
        "gemini",
        content() | {"candidates": [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS", "index": 0}]},
        gemini(None, "length"),
    ),
    Case(
        "gemini thoughts and cache",
        "gemini",
        content(
            {"text": "hm", "thought": True},
            {"text": "x"},
            usageMetadata={
                "promptTokenCount": 10,
                "candidatesTokenCount": 5,
                "thoughtsTokenCount": 7,
                "cachedContentTokenCount": 3,
                "totalTokenCount": 22,
            },
        ),
        gemini("x", tokens=Tokens(10, 12, 3, 7)),
    ),
    Case(
        "gemini tool",
        "gemini",
        content({"functionCall": {"name": "scores", "args": TOOL}}),
        gemini(TOOL_TEXT, "tool_calls"),
        "tool",
    ),
    Case(
        "gemini blocked prompt",
        "gemini",
        {
            "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
            "usageMetadata": {"promptTokenCount": 10, "totalTokenCount": 10},
            "modelVersion": "gemini-2.5-flash",
        },
        gemini(None, "content_filter", Tokens(10, 0), refusal="PROHIBITED_CONTENT"),
    ),
    Case(
        "gemini blocked reply",
        "gemini",
        content() | {"candidates": [{"finishReason": "SAFETY", "index": 0, "finishMessage": "Unsafe."}]},
        gemini(None, "content_filter", PLAIN, refusal="Unsafe."),
    ),
    Case(
        "gemini no counts",
        "gemini",
        {name: value for name, value in content({"text": "x"}).items() if name != "usageMetadata"},
        gemini("x", tokens=Tokens()),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_reply(case: Case) -> None:
    """Text, finish, refusal, counts, version and fingerprint are what the provider sent, character for character."""
    codec = codec_for(Model("m", MODELS[case.provider], case.provider, "v"), None)
    for ascii_only in (False, True):
        raw = json.dumps(case.body, ensure_ascii=ascii_only).encode()
        assert codec.decode(raw, case.rung) == case.reply


BROKEN = {
    "nothing": b"",
    "not JSON": b"<html>502</html>",
    "not UTF-8": b'{"a": "\xff"}',
    "a list": b"[]",
    "null": b"null",
    "empty": b"{}",
    "an error": b'{"error": {"message": "overloaded", "code": 503}}',
    "no choices": b'{"choices": [], "content": "x", "candidates": []}',
    "foreign": b'{"choices": [{"text": "x"}], "content": [{"kind": 1}], "candidates": [{"kind": 1}]}',
    "wrong types": b'{"choices": {"a": 1}, "content": 3, "usage": [], "candidates": 3, "usageMetadata": 2}',
    "other types": b'{"choices": [3], "content": [], "usage": [1], "candidates": [], "usageMetadata": {}}',
    "numbers": b'{"choices": [{"message": {"content": 3}}], "content": [3], "candidates": [3]}',
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("provider", MODELS)
def test_broken(provider: str, raw: bytes) -> None:
    """A body that is no reply of the provider is a malformed FatalError, never another exception or a made-up reply."""
    codec = codec_for(Model("m", MODELS[provider], provider, "v"), None)
    with pytest.raises(FatalError) as caught:
        codec.decode(raw, "schema")
    assert caught.value.kind == "malformed"
