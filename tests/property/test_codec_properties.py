"""Text goes through the codec unharmed."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.providers.codec import Codec, codec_for
from runner.providers.services import SERVICES
from runner.records import Model, Request

WORDS = st.text(min_size=1).filter(str.strip)
"""Any Unicode but lone surrogates, which UTF-8 input cannot hold."""


def codec(provider: str) -> Codec:
    made = codec_for(Model("m", "m", provider, "v", api_base="http://127.0.0.1:1"), None)
    assert isinstance(made, Codec)
    return made


CODECS = {provider: codec(provider) for provider in SERVICES if provider in {"openai", "embedded"}}


@pytest.mark.parametrize("provider", SERVICES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(system=WORDS, user=WORDS)
def test_messages_arrive_unharmed(provider: str, system: str, user: str) -> None:
    """The two strings in the body are the two strings of the request, byte for byte, for every provider."""
    made = CODECS.setdefault(provider, codec(provider))
    messages = ({"role": "system", "content": system}, {"role": "user", "content": user})
    body = json.loads(made.encode(Request("m", messages, {"max_tokens": 5})).decode("utf-8"))
    match SERVICES[provider].format:
        case "anthropic":
            arrived = (body["system"][0]["text"], body["messages"][0]["content"][0]["text"])
        case "gemini":
            arrived = (body["system_instruction"]["parts"][0]["text"], body["contents"][0]["parts"][0]["text"])
        case _:
            arrived = (body["messages"][0]["content"], body["messages"][1]["content"])
    assert arrived == (system, user)


@pytest.mark.parametrize("provider", SERVICES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=WORDS)
def test_replies_arrive_unharmed(provider: str, text: str) -> None:
    """The reply's text is what the provider sent, byte for byte; tags of thinking apart, which LiteLLM takes out."""
    bodies = {
        "anthropic": {
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "model": "m",
            "usage": {"input_tokens": 1, "output_tokens": 1},
        },
        "gemini": {
            "candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "finishReason": "STOP"}],
            "usageMetadata": {},
        },
    }
    chat = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
    made = CODECS.setdefault(provider, codec(provider))
    raw = json.dumps(bodies.get(SERVICES[provider].format, chat)).encode()
    assert made.decode(raw, "prompt").text == text


def test_half_a_surrogate_pair() -> None:
    """A lone surrogate, which YAML escapes can make, does not stop a run: it is sent as a JSON escape."""
    messages = ({"role": "user", "content": "a\ud83d"},)
    assert json.loads(codec("openai").encode(Request("m", messages, {})))["messages"] == [dict(messages[0])]
