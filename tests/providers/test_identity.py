"""Which model answered: the names that a model's file declares, and those that it does not."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from runner.errors import FatalError
from runner.providers.codec import codec_for
from runner.providers.identity import is_declared
from runner.records import Model

if TYPE_CHECKING:
    from typing import Any


@dataclass(frozen=True)
class Case:
    """A model's id, the name under which it answers, and whether its file declares that."""

    model_id: str
    served: str
    declared: bool
    provider: str = "openai"
    served_as: tuple[str, ...] = ()


CASES = (
    Case("gpt-4o-mini", "gpt-4o-mini", True),
    Case("gpt-4o-mini", "GPT-4o-mini", True),
    Case("gpt-4o-mini", "gpt-4o-mini-2024-07-18", True),
    Case("gpt-4", "gpt-4-0613", True),
    Case("claude-sonnet-4-5", "claude-sonnet-4-5-20250929", True, "anthropic"),
    Case("claude-sonnet-4-5", "claude-sonnet-4-5@20250929", True, "anthropic"),
    Case("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022", True, "anthropic"),
    Case("mistral-large-latest", "mistral-large-2411", True, "mistral"),
    Case("mistral-large-latest", "mistral-large", True, "mistral"),
    Case("grok-4", "grok-4-0709", True, "xai"),
    Case("gemini-2.0-flash", "gemini-2.0-flash-001", True, "gemini"),
    Case("gemini-2.5-flash-preview", "gemini-2.5-flash-preview-09-2025", True, "gemini"),
    Case("gemini-2.5-flash", "models/gemini-2.5-flash", True, "gemini"),
    Case("gemini-2.5-flash", "publishers/google/models/gemini-2.5-flash", True, "vertex_ai"),
    Case("gpt-4o-mini", "openai/gpt-4o-mini-2024-07-18", True, "openrouter"),
    Case("openai/gpt-4o-mini", "openai/gpt-4o-mini", True, "openrouter"),
    Case("openai/gpt-4o-mini", "gpt-4o-mini-2024-07-18", True, "openrouter"),
    Case("maker/model:free", "maker/model", True, "openrouter"),
    Case("m", "perplexity/m", True, "perplexity"),
    Case("llama3.2", "llama3.2:latest", True, "ollama"),
    Case("ft:gpt-4o-mini-2024-07-18:org::id", "ft:gpt-4o-mini-2024-07-18:org::id", True),
    Case("deployment", "gpt-4o-2024-08-06", True, "azure", ("gpt-4o",)),
    Case("gpt-4o-mini", "gpt-6-luna-2026-09-22", False),
    Case("gpt-4o", "gpt-4o-mini", False),
    Case("gpt-4o-mini", "gpt-4o", False),
    Case("gpt-4o", "gpt-4o-mini-2024-07-18", False),
    Case("gpt-4o-2024-08-06", "gpt-4o-2024-05-13", False),
    Case("gpt-4o-2024-08-06", "gpt-4o", False),
    Case("gpt-4o", "gpt-4o-2024-08-06-turbo", False),
    Case("gpt-4o", "xgpt-4o", False),
    Case("gpt.4o", "gpt-4o", False),
    Case("maker/model", "other/model", False, "openrouter"),
    Case("llama3.2:3b", "llama3.2:1b", False, "ollama"),
    Case("deployment", "gpt-4o-2024-08-06", False, "azure"),
    Case("m", "/models/other.gguf", False),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.model_id} as {case.served}")
def test_declared(case: Case) -> None:
    """The id, a snapshot of it, and what served_as lists are declared, behind any prefix; nothing else is."""
    model = Model("m", case.model_id, case.provider, "v", served_as=case.served_as)
    assert is_declared(model, case.served) is case.declared


BODIES: dict[str, dict[str, Any]] = {
    "openai": {"choices": [{"message": {"content": "x"}}], "model": "gpt-6-luna-2026-09-22"},
    "groq": {"choices": [{"message": {"content": "x"}}], "model": "gpt-6-luna-2026-09-22"},
    "anthropic": {"type": "message", "content": [], "model": "gpt-6-luna-2026-09-22"},
    "gemini": {"candidates": [{"finishReason": "STOP"}], "modelVersion": "gpt-6-luna-2026-09-22"},
    "hosted_vllm": {"choices": [{"message": {"content": "x"}}], "model": "gpt-6-luna-2026-09-22"},
}


@pytest.mark.parametrize("provider", BODIES)
def test_another_model_is_refused_where_identity_is_strict(provider: str) -> None:
    """A reply of another model is no answer under identity=strict, and one under record; one without a name is one."""
    raw = json.dumps(BODIES[provider]).encode()
    model = Model("mine", "gpt-4o-mini", provider, "v", api_base="http://127.0.0.1:1")
    codec_for(model, None).check(raw)
    strict = codec_for(replace(model, identity="strict"), None)
    with pytest.raises(FatalError, match=r"gpt-6-luna-2026-09-22.*served_as in model/mine\.yaml") as caught:
        strict.check(raw)
    assert caught.value.kind == "other_model"
    nameless = {name: value for name, value in BODIES[provider].items() if name not in ("model", "modelVersion")}
    strict.check(json.dumps(nameless).encode())
    codec_for(replace(model, identity="strict", served_as=("gpt-6-luna",)), None).check(raw)
