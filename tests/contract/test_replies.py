"""Replies in each provider's documented shape, and the Reply that each is read as."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from runner.errors import FatalError, ProviderError, TransientError
from runner.providers.codec import codec_for
from runner.records import Model, Reply, Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        claude(UNICODE, tokens=Tokens(20, 30, 6, 25, cache_write=4)),
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


@dataclass(frozen=True)
class Instead:
    """What came with status 200 in place of a reply, and the failure that it is."""

    id: str
    raw: bytes
    kind: str = "not_a_reply"
    said: str = ""
    """Words of the message."""


def error(**said: Any) -> bytes:
    return json.dumps({"error": said}).encode()


PAGE = b"<!DOCTYPE html><html><head><title>Sign in to the network</title></head></html>"
INSTEAD = (
    Instead("nothing", b"", "connection"),
    Instead("blank lines", b"\n\n", "connection"),
    Instead("a page", PAGE, said="Sign in to the network"),
    Instead("a page of XML", b"<?xml version='1.0'?><Error/>", said="a web page"),
    Instead("plain text", b"OK", said="no JSON came"),
    Instead("a gateway's page", b"<html><h1>502 Bad Gateway</h1></html>", "server", "502 Bad Gateway"),
    Instead("a gateway's words", b"upstream connect error or disconnect/reset before headers", "server"),
    Instead("a stream", b'data: {"choices": [{"delta": {"content": "x"}}]}\n\ndata: [DONE]', said="a stream of events"),
    Instead("a piece of a stream", b'{"choices": [{"delta": {"content": "x"}}]}'),
    Instead("not UTF-8", b'{"a": "\xff"}'),
    Instead("a list", b"[]"),
    Instead("a list of streamed pieces", b'[{"candidates": [{"content": {"parts": []}}]}]'),
    Instead("null", b"null"),
    Instead("a number", b"7"),
    Instead("empty", b"{}"),
    Instead("deep", b'{"a":' * 5_000 + b"1" + b"}" * 5_000, said="nested too deep"),
    Instead("deep and open", b"[" * 100_000, said="nested too deep"),
    Instead("cut in a string", b'{"choices": [{"message": {"content": "I feel', "connection", "cut short"),
    Instead("cut in a character", b'{"choices": [{"message": {"content": "\xe5\x96', "connection", "cut short"),
    Instead("cut after a brace", b'{"content": [{"type": "text", "text": "x"}', "connection", "cut short"),
    Instead("no choices", b'{"choices": [], "content": "x", "candidates": []}'),
    Instead("choices of null", b'{"choices": null, "content": null, "candidates": null}'),
    Instead("an empty choice", b'{"choices": [{}], "candidates": [{}]}'),
    Instead("an empty message", b'{"choices": [{"message": {}}], "candidates": [{"content": null}]}'),
    Instead("foreign", b'{"choices": [{"text": "x"}], "content": [{"kind": 1}], "candidates": [{"kind": 1}]}'),
    Instead("wrong types", b'{"choices": {"a": 1}, "content": 3, "usage": [], "candidates": 3, "usageMetadata": 2}'),
    Instead("other types", b'{"choices": [3], "content": [], "usage": [1], "candidates": [], "usageMetadata": {}}'),
    Instead("Ollama's own", b'{"model": "m", "message": {"content": "try again"}, "done": true}', said="/v1"),
    Instead("Responses", b'{"object": "response", "status": "completed", "output": []}', said="Responses API"),
    Instead("a list of models", b'{"object": "list", "data": []}', said="a list of models"),
    Instead("a greeting", b'{"message": "welcome", "version": "1.2"}', said="welcome"),
    Instead("an error without a code", error(message="the model is not loaded"), said="the model is not loaded"),
    Instead("an error of words", b'{"error": "no such route"}', said="no such route"),
    Instead("an error that passes, in words", b'{"error": "The model is overloaded, try again"}', "server"),
    Instead("an error with 503", error(message="overloaded", code=503), "server"),
    Instead("an error with 429 as text", error(message="slow down", code="429"), "rate_limit", "slow down"),
    Instead("an error's name", error(message="x", type="overloaded_error"), "server"),
    Instead("Anthropic's error", b'{"type": "error", "error": {"type": "overloaded_error", "message": "x"}}', "server"),
    Instead("Google's error", error(message="x", code=503, status="UNAVAILABLE"), "server"),
    Instead("Google's error in a list", b'[{"error": {"message": "x", "status": "RESOURCE_EXHAUSTED"}}]', "rate_limit"),
    Instead("an error on top", b'{"code": 500, "message": "x"}', "server"),
    Instead("an error among others", b'{"success": false, "errors": [{"code": 502, "message": "x"}]}', "server"),
    Instead("an error in a choice", b'{"choices": [{"error": {"code": 502, "message": "x"}}]}', "server"),
    Instead(
        "an error behind the first words",
        b'{"choices": [{"message": {"content": "I fe"}, "finish_reason": "error", "error": {"code": 502}}]}',
        "server",
    ),
    Instead("a wrong key", error(message="no such key", code=401), "key_refused"),
    Instead("an error of odd types", b'{"error": {"message": [1], "code": {"a": 1}, "type": 3}}'),
    Instead("an error that is a list", b'{"error": [1, 2]}'),
)


@pytest.mark.parametrize("case", INSTEAD, ids=lambda case: case.id)
@pytest.mark.parametrize("provider", MODELS)
def test_what_is_no_reply(provider: str, case: Instead) -> None:
    """What is no reply of the provider is a named failure with its words, tried again where it will pass; no score."""
    codec = codec_for(Model("m", MODELS[provider], provider, "v"), None)
    for look in (codec.check, lambda raw: codec.decode(raw, "schema")):
        with pytest.raises(ProviderError) as caught:
            look(case.raw)
        assert caught.value.kind == case.kind
        assert isinstance(caught.value, TransientError) == (case.kind in {"connection", "server", "rate_limit"})
        assert case.said in str(caught.value)
        assert len(str(caught.value)) < 500


def test_a_reply_of_another_api_is_named() -> None:
    """A whole reply of the wrong API is none, and the message says whose it is."""
    replies = {"openai": chat({"content": "x"}), "anthropic": message(TEXT), "gemini": content({"text": "x"})}
    for asked in replies:
        codec = codec_for(Model("m", MODELS[asked], asked, "v"), None)
        for came, body in replies.items():
            if came == asked:
                codec.check(json.dumps(body).encode())
                continue
            with pytest.raises(FatalError, match="in place of a reply of") as caught:
                codec.check(json.dumps(body).encode())
            assert caught.value.kind == "not_a_reply"


ODD: tuple[Any, ...] = (
    "many",
    "",
    [],
    [1],
    {},
    {"a": 1},
    None,
    True,
    -3,
    1.5,
    1e300,
    10**400,
    float("nan"),
    [[[]]],
    {"text": None},
)
"""What a field may hold that ought to hold something else."""


def _usages(form: str) -> Iterator[Any]:
    names = {
        "chat": ("prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details"),
        "anthropic": ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
        "gemini": ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "promptTokensDetails"),
    }[form]
    for odd in ODD:
        yield odd
        yield from ({**dict.fromkeys(names[:2], 3), name: odd} for name in names)
        yield dict.fromkeys(names, odd)


GOOD: dict[str, tuple[str, dict[str, Any], str]] = {
    **{name: ("chat", chat({"content": "7"}), "usage") for name in list(MODELS)[:7]},
    "anthropic": ("anthropic", message({"type": "text", "text": "7"}), "usage"),
    "gemini": ("gemini", content({"text": "7"}), "usageMetadata"),
}


@pytest.mark.parametrize("provider", GOOD)
def test_odd_counts_cost_the_counts_alone(provider: str) -> None:
    """Whatever stands where tokens are counted, the reply is read, and a count is a whole number or unknown."""
    form, body, place = GOOD[provider]
    codec = codec_for(Model("m", MODELS[provider], provider, "v"), None)
    for usage in _usages(form):
        reply = codec.decode(json.dumps({**body, place: usage}).encode(), "prompt")
        assert (reply.text, reply.finish) == ("7", "stop")
        counts = (reply.tokens.input, reply.tokens.output, reply.tokens.cached, reply.tokens.reasoning)
        assert all(found is None or (type(found) is int and 0 <= found <= 2**53) for found in counts)
    reply = codec.decode(json.dumps({name: value for name, value in body.items() if name != place}).encode(), "prompt")
    assert (reply.text, reply.tokens) == ("7", Tokens())
    reply = codec.decode(json.dumps({**body, place: {"prompt_tokens": "many"}}).encode(), "prompt")
    assert reply.tokens == Tokens()


WORDS_ARE_IN = frozenset(
    {"choices", "candidates", "content", "message", "parts", "text", "finish_reason", "finishReason"}
)
"""Fields that are no part beside the words, but hold them or say that they are there."""
KIND_OF = frozenset({"type", "role", "error"})
"""Fields that say what the rest is."""
MORE = (
    *("annotations", "logprobs", "audio", "id", "created", "service_tier", "citations", "tool_calls", "x_groq"),
    *("function_call", "groundingMetadata", "safetyRatings", "reasoning_content", "thoughtSignature", "provider"),
)
"""Fields that a reply may have beside those of the examples."""


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a reply, from the outside in."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(inner)


@pytest.mark.parametrize("provider", GOOD)
def test_an_odd_part_costs_that_part_alone(provider: str) -> None:
    """Whatever any other field of a good reply holds, or one that is new, the words are read."""
    _, body, _ = GOOD[provider]
    codec = codec_for(Model("m", MODELS[provider], provider, "v"), None)
    unknown = [{"type": "of a new type", "url_citation": None}]
    for place, holder in enumerate(objects(body)):
        for part in {*holder, *MORE} - WORDS_ARE_IN - KIND_OF:
            for odd in (*ODD, unknown):
                changed = json.loads(json.dumps(body))
                list(objects(changed))[place][part] = odd
                assert codec.decode(json.dumps(changed).encode(), "prompt").text == "7", (place, part, odd)


@pytest.mark.parametrize("provider", [name for name, (form, _, _) in GOOD.items() if form == "chat"])
@pytest.mark.parametrize(
    "said",
    [
        {"tool_calls": [{"id": "1", "type": "function", "function": {"name": "answer", "arguments": TOOL}}]},
        {"tool_calls": {"function": {"name": "answer", "arguments": TOOL}}},
        {"tool_calls": [{"name": "answer", "arguments": TOOL}]},
        {"tool_calls": [3, {"function": None}, {"function": {"arguments": TOOL_TEXT}}]},
        {"function_call": {"name": "answer", "arguments": TOOL}},
        {"tool_calls": "none", "content": TOOL},
        {"content": [{"type": "text", "text": TOOL_TEXT}, {"type": "of a new type"}, 3]},
    ],
    ids=["object", "one", "flat", "second", "function_call", "content object", "content parts"],
)
def test_values_in_place_of_text(provider: str, said: dict[str, Any]) -> None:
    """What was asked for as JSON is read, whether it came as text or as the value itself."""
    codec = codec_for(Model("m", MODELS[provider], provider, "v"), None)
    reply = codec.decode(json.dumps(chat({"content": None, **said})).encode(), "tool")
    assert reply.text is not None
    assert json.loads(reply.text) == TOOL


@dataclass(frozen=True)
class Paid:
    """A reply with little in it, that was paid for all the same."""

    id: str
    provider: str
    body: dict[str, Any]


PAID = (
    Paid("empty text", "openai", chat({"content": ""})),
    Paid("no content", "openai", {"choices": [{"message": {"role": "assistant"}}]}),
    Paid("a finish alone", "openai", {"choices": [{"message": {}, "finish_reason": "content_filter"}]}),
    Paid("error of null", "openai", {**chat({"content": "x"}), "error": None}),
    Paid("reasoning alone", "openai", chat({"reasoning_content": "hm"}, "length")),
    Paid("a refusal", "groq", chat({"refusal": "no"})),
    Paid("cut off", "mistral", chat({"content": "{"}, "length")),
    Paid("no blocks", "anthropic", message(stop="refusal")),
    Paid("thinking alone", "anthropic", message({"type": "thinking", "thinking": "hm"}, stop="max_tokens")),
    Paid("no parts", "gemini", content(finish="MAX_TOKENS")),
    Paid("a candidate without content", "gemini", {"candidates": [{"finishReason": "SAFETY"}]}),
    Paid("an empty candidate", "gemini", {"candidates": [{"content": {}}]}),
    Paid("a blocked prompt", "gemini", {"promptFeedback": {"blockReason": "OTHER"}}),
)


@pytest.mark.parametrize("case", PAID, ids=lambda case: case.id)
def test_a_reply_with_little_in_it_is_one(case: Paid) -> None:
    """A reply without words, refused, filtered or cut off by its limit is an answer, and kept."""
    codec = codec_for(Model("m", MODELS[case.provider], case.provider, "v"), None)
    codec.check(json.dumps(case.body).encode())
    codec.decode(json.dumps(case.body).encode(), "schema")


@pytest.mark.parametrize("raw", [b"\xef\xbb\xbf%s", b"%s\n\n", b"\n%s"], ids=["mark", "behind", "before"])
def test_bytes_around_a_reply(raw: bytes) -> None:
    """A byte order mark, and empty lines before or behind, are no part of a reply."""
    body = json.dumps(chat({"content": "x"})).encode()
    codec = codec_for(Model("m", "m", "openai", "v"), None)
    assert codec.decode(raw % body, "prompt").text == "x"


@pytest.mark.parametrize(
    ("inside", "text"),
    [(b"a\xffb", "a\ufffdb"), (b"a\x00b", "a\x00b"), (b"a\\ud800b", "a\ud800b"), (b"a\nb", "a\nb")],
    ids=["not UTF-8", "NUL", "half a pair", "a line's end"],
)
def test_bad_characters_cost_the_character(inside: bytes, text: str) -> None:
    """A byte that is no UTF-8, or a character that JSON wants escaped, does not cost the reply that was paid for."""
    for provider, body in {"openai": chat({"content": "@"}), "gemini": content({"text": "@"})}.items():
        codec = codec_for(Model("m", MODELS[provider], provider, "v"), None)
        assert codec.decode(json.dumps(body).encode().replace(b"@", inside), "prompt").text == text
