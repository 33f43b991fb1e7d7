"""What the codec keeps, refuses and translates, beyond the formats themselves (tests/contract)."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from recorder import Recorder, Trouble

from runner.errors import FatalError, ProviderError, TransientError
from runner.providers.codec import Codec, Fallback, codec_for, error_of, prepare
from runner.providers.services import SERVICES
from runner.records import Model, Request, Tokens

SCHEMA = {"type": "object", "properties": {"joy": {"type": "number"}}, "required": ["joy"]}
STRUCTURED = {"type": "json_schema", "json_schema": {"name": "scores", "strict": True, "schema": SCHEMA}}
FUNCTION = {"name": "scores", "description": "Give the scores.", "parameters": SCHEMA}
TOOL: dict[str, Any] = {
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": {"type": "function", "function": {"name": "scores"}},
}


def codec(provider: str, model_id: str, **more: Any) -> Codec:
    made = codec_for(Model("m", model_id, provider, "v", **more), "test-key")
    assert isinstance(made, Codec)
    return made


def request(model_id: str, *, role: str = "system", **params: Any) -> Request:
    return Request(model_id, ({"role": role, "content": "be"}, {"role": "user", "content": "read"}), params)


def body(provider: str, model_id: str, *, role: str = "system", **params: Any) -> dict[str, Any]:
    encoded: dict[str, Any] = json.loads(codec(provider, model_id).encode(request(model_id, role=role, **params)))
    return encoded


# ---- what capability decided reaches the wire ------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """Parameters that LiteLLM alone would refuse, drop, rename or move, and where they must arrive."""

    id: str
    provider: str
    model_id: str
    params: dict[str, Any]
    arrives: dict[str, Any]


KEPT = (
    Kept("o3-mini temperature", "openai", "o3-mini", {"temperature": 0.3}, {"temperature": 0.3}),
    Kept("o3-mini max_tokens", "openai", "o3-mini", {"max_tokens": 9}, {"max_tokens": 9}),
    Kept("gpt-5 temperature", "openai", "gpt-5", {"temperature": 0.3}, {"temperature": 0.3}),
    Kept("openai extra", "openai", "gpt-4o", {"reasoning_effort": "low", "x": 1}, {"reasoning_effort": "low", "x": 1}),
    Kept(
        "groq schema",
        "groq",
        "llama-3.3-70b-versatile",
        {"response_format": STRUCTURED},
        {"response_format": STRUCTURED},
    ),
    Kept("groq limit", "groq", "x", {"max_completion_tokens": 9}, {"max_completion_tokens": 9}),
    Kept("xai limit", "xai", "grok-4", {"max_completion_tokens": 9}, {"max_completion_tokens": 9}),
    Kept("deepseek effort", "deepseek", "deepseek-v4", {"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
    Kept("mistral tool", "mistral", "m", TOOL, TOOL),
    Kept("mistral seed", "mistral", "m", {"seed": 3}, {"random_seed": 3}),
    Kept("claude temperature", "anthropic", "claude-opus-4-7", {"temperature": 0.3}, {"temperature": 0.3}),
    Kept("claude top_k", "anthropic", "claude-opus-4-7", {"top_k": 3, "top_p": 0.5}, {"top_k": 3, "top_p": 0.5}),
    Kept("claude seed", "anthropic", "claude-sonnet-4-5", {"seed": 3}, {"seed": 3}),
    Kept(
        "claude schema and effort",
        "anthropic",
        "claude-opus-4-7",
        {"response_format": STRUCTURED, "output_config": {"effort": "low"}},
        {
            "output_config": {
                "effort": "low",
                "format": {"type": "json_schema", "schema": {**SCHEMA, "additionalProperties": False}},
            }
        },
    ),
    Kept(
        "unknown claude schema",
        "anthropic",
        "claude-of-tomorrow",
        {"response_format": STRUCTURED},
        {"output_config": {"format": {"type": "json_schema", "schema": {**SCHEMA, "additionalProperties": False}}}},
    ),
    Kept(
        "gemini 3 temperature",
        "gemini",
        "gemini-3-pro-preview",
        {"temperature": 0.3, "seed": 2, "top_k": 4},
        {"generationConfig": {"temperature": 0.3, "seed": 2, "top_k": 4}},
    ),
    Kept("gemini 3 none", "gemini", "gemini-3-pro-preview", {"seed": 2}, {"generationConfig": {"seed": 2}}),
    Kept(
        "old gemini schema",
        "gemini",
        "gemini-1.5-pro",
        {"response_format": STRUCTURED},
        {
            "generationConfig": {
                "response_mime_type": "application/json",
                "response_schema": {**SCHEMA, "propertyOrdering": ["joy"]},
            }
        },
    ),
    Kept(
        "gemini body fields",
        "gemini",
        "gemini-2.5-flash",
        {"labels": {"a": "b"}, "thinkingConfig": {"thinkingBudget": 0}, "generationConfig": {"logprobs": 2}},
        {"labels": {"a": "b"}, "generationConfig": {"thinkingConfig": {"thinkingBudget": 0}, "logprobs": 2}},
    ),
    Kept(
        "gemini effort",
        "gemini",
        "gemini-2.5-flash",
        {"reasoning_effort": "low"},
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True}}},
    ),
)


@pytest.mark.parametrize("case", KEPT, ids=lambda case: case.id)
def test_decided_parameters_arrive(case: Kept) -> None:
    """Every parameter of the request is in the body, and nothing beside it but model and messages."""
    encoded = body(case.provider, case.model_id, **case.params)
    own = {"model", "messages", "system", "contents", "system_instruction", "max_tokens"} - set(case.params)
    own |= {"generationConfig"} - set(case.arrives)
    assert {name: value for name, value in encoded.items() if name not in own} == case.arrives


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize("model_id", ["o3-mini", "o1-mini", "gpt-5", "gpt-4o", "unheard-of"])
def test_openai_roles(model_id: str, role: str) -> None:
    """OpenAI's models get the persona in the role that capability chose, never as a user message."""
    assert body("openai", model_id, role=role)["messages"] == [
        {"role": role, "content": "be"},
        {"role": "user", "content": "read"},
    ]


@pytest.mark.parametrize("provider", ["groq", "xai", "deepseek", "mistral", "openrouter"])
def test_developer_elsewhere(provider: str) -> None:
    """Providers that have no developer role get a system message."""
    assert body(provider, "m", role="developer")["messages"][0] == {"role": "system", "content": "be"}


@pytest.mark.parametrize("model_id", ["gemini-2.5-flash", "gemini-of-tomorrow"])
@pytest.mark.parametrize("role", ["system", "developer"])
def test_gemini_system(model_id: str, role: str) -> None:
    """The persona is Gemini's system_instruction, also for a model that LiteLLM's map lacks."""
    assert body("gemini", model_id, role=role)["system_instruction"] == {"parts": [{"text": "be"}]}


def test_a_single_message() -> None:
    """A merged prompt stays one user message for every provider."""
    for provider in SERVICES:
        encoded = codec(provider, "m", api_base="http://127.0.0.1:1").encode(
            Request("m", ({"role": "user", "content": "be\n\nread"},), {"max_tokens": 5})
        )
        parsed = json.loads(encoded)
        assert len(parsed.get("messages") or parsed["contents"]) == 1
        assert b"system" not in encoded


def test_claude_has_no_json_mode() -> None:
    """What a format cannot express is refused with what to set instead, not dropped."""
    with pytest.raises(FatalError, match=r"capability\.structure"):
        body("anthropic", "claude-sonnet-4-5", response_format={"type": "json_object"})


def test_beta_headers() -> None:
    """Beta flags that a model's `extra` needs are in the headers of every request."""
    extra = {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}
    assert "context-management" in codec("anthropic", "claude-sonnet-4-5", extra=extra).headers["Anthropic-Beta"]
    assert "Anthropic-Beta" not in codec("anthropic", "claude-sonnet-4-5").headers


def test_encode_is_pure() -> None:
    """The request is left as it was, and equal requests give equal bytes however often they are encoded."""
    for provider, service in SERVICES.items():
        structure = TOOL if service.format in {"anthropic", "gemini"} else {"response_format": STRUCTURED}
        one = request("m", **json.loads(json.dumps(structure)), max_tokens=5, temperature=0.5)
        before = json.dumps([one.messages, one.params])
        made = codec(provider, "m", api_base="http://127.0.0.1:1")
        assert len({made.encode(one) for _ in range(3)}) == 1
        assert json.dumps([one.messages, one.params]) == before


# ---- addresses and keys ----------------------------------------------------------------------------------------------

ADDRESSES = {
    "openai": "https://api.openai.com/v1/chat/completions",
    "groq": "https://api.groq.com/openai/v1/chat/completions",
    "xai": "https://api.x.ai/v1/chat/completions",
    "deepseek": "https://api.deepseek.com/chat/completions",
    "mistral": "https://api.mistral.ai/v1/chat/completions",
    "openrouter": "https://openrouter.ai/api/v1/chat/completions",
    "anthropic": "https://api.anthropic.com/v1/messages",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent",
}


@pytest.mark.parametrize("provider", ADDRESSES)
def test_the_environment_is_not_read(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither keys nor addresses come from the environment: without a key no header carries one."""
    for name in (provider, "google", "xai"):
        monkeypatch.setenv(f"{name.upper()}_API_KEY", "from-outside")
        monkeypatch.setenv(f"{name.upper()}_API_BASE", "http://from-outside")
        monkeypatch.setenv(f"{name.upper()}_BASE_URL", "http://from-outside")
    model = Model("m", "gemini-2.5-flash", provider, "v")
    made = codec_for(model, None)
    assert isinstance(made, Codec)
    assert made.url == ADDRESSES[provider]
    assert not {"Authorization", "X-Api-Key", "X-Goog-Api-Key"} & set(made.headers)
    assert "from-outside" not in str(made.headers)
    keyed = codec_for(model, "given")
    assert isinstance(keyed, Codec)
    assert any("given" in value for value in keyed.headers.values())


STABLE = {"gemini-2.5-flash": "v1beta", "gemini-3.5-flash": "v1beta", "gemini-3-pro-preview": "v1beta"}


@pytest.mark.parametrize("model_id", STABLE)
@pytest.mark.parametrize("api_base", [None, "https://generativelanguage.googleapis.com"])
def test_gemini_is_asked_where_its_sdk_asks(model_id: str, api_base: str | None) -> None:
    """At /v1beta whatever its generation, with or without the host stated; LiteLLM's own address for 3 is /v1alpha."""
    url = codec("gemini", model_id, api_base=api_base).url
    assert url == f"https://generativelanguage.googleapis.com/{STABLE[model_id]}/models/{model_id}:generateContent"


def test_a_version_that_is_stated_stays() -> None:
    """An api_base is taken as it is, with its version, and where it is another host also without one."""
    for base in (
        "https://generativelanguage.googleapis.com/v1alpha",
        "http://127.0.0.1:1/gemini",
        "http://127.0.0.1:1",
    ):
        assert codec("gemini", "m", api_base=base).url == f"{base}/models/m:generateContent"


@pytest.mark.parametrize("provider", ["groq", "xai", "mistral"])
def test_addresses_are_litellms(provider: str) -> None:
    """The addresses stated here are those that LiteLLM uses by itself, where it tells, but for DeepSeek's."""
    _, _, _, address = prepare().get_llm_provider(model=f"{provider}/m", api_key="k")
    assert SERVICES[provider].base == address


def test_api_base_with_its_path() -> None:
    """An api_base may end in a slash or already hold the path."""
    for base in ("http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1/", "http://127.0.0.1:1/v1/chat/completions"):
        assert codec("openai", "m", api_base=base).url == "http://127.0.0.1:1/v1/chat/completions"


# ---- refusals --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refusal:
    """An answer other than 200 and the error that it becomes."""

    id: str
    status: int
    kind: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "no"
    wait_s: float | None = None


def openai(message: str, code: str | None = None, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def anthropic(message: str, kind: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def google(message: str, *details: dict[str, Any], status: str = "INVALID_ARGUMENT") -> dict[str, Any]:
    return {"error": {"code": 400, "message": message, "status": status, "details": list(details)}}


THEN = "Fri, 31 Dec 1999 23:59:59 GMT"
ODD = '{"error": {"message": 3, "details": 4}}'
SOON = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
REFUSALS = (
    Refusal("rate", 429, "rate_limit", openai("no"), {"Retry-After": "2"}, wait_s=2),
    Refusal("rate in fractions", 429, "rate_limit", openai("no"), {"retry-after": "1.5"}, wait_s=1.5),
    Refusal("rate in ms", 429, "rate_limit", openai("no"), {"Retry-After-Ms": "250", "Retry-After": "1"}, wait_s=0.25),
    Refusal("rate until", 429, "rate_limit", openai("no"), {"retry-after": SOON}, wait_s=7200),
    Refusal("rate until then", 429, "rate_limit", openai("no"), {"retry-after": THEN}, wait_s=0),
    Refusal("rate until whenever", 429, "rate_limit", openai("no"), {"retry-after": "soon"}),
    Refusal("rate for ever", 429, "rate_limit", openai("no"), {"retry-after": "inf"}),
    Refusal("rate before", 429, "rate_limit", openai("no"), {"retry-after": "-3"}),
    Refusal(
        "gemini rate",
        429,
        "rate_limit",
        google("no", {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}),
        wait_s=34.5,
    ),
    Refusal("quota", 429, "quota", openai("no", "insufficient_quota", "insufficient_quota")),
    Refusal("paid out", 402, "quota", {"error": {"message": "no"}}),
    Refusal("key", 401, "key_refused", openai("no", "invalid_api_key")),
    Refusal("forbidden", 403, "key_refused", anthropic("no", "permission_error")),
    Refusal("gemini key", 400, "key_refused", google("no", {"reason": "API_KEY_INVALID"})),
    Refusal("missing", 404, "not_found", anthropic("no", "not_found_error")),
    Refusal("bad", 400, "bad_request", google("no")),
    Refusal("bad in a list", 400, "bad_request", [google("no")]),
    Refusal("too large", 413, "too_long", anthropic("no", "request_too_large")),
    Refusal("unprocessable", 422, "bad_request", {"detail": "no"}),
    Refusal(
        "unprocessable in detail", 422, "bad_request", {"detail": [{"loc": "x"}]}, message='{"detail": [{"loc": "x"}]}'
    ),
    Refusal("slow", 408, "timeout", {"message": "no"}),
    Refusal("conflict", 409, "server", {"error": "no"}),
    Refusal("server", 500, "server", anthropic("no", "api_error"), {"retry-after": "3"}, wait_s=3),
    Refusal("overloaded", 529, "server", anthropic("no", "overloaded_error")),
    Refusal("gateway", 502, "server", "<html>no</html>", message="<html>no</html>"),
    Refusal("nothing", 503, "server", "", message=""),
    Refusal("not 200", 302, "malformed", "no"),
    Refusal("long", 400, "bad_request", openai("語 " * 400), message=("語 " * 400)[:299] + "…"),
    Refusal(
        "odd",
        400,
        "bad_request",
        {"error": {"message": 3, "details": 4}},
        message='{"error": {"message": 3, "details": 4}}',
    ),
)


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.id)
def test_refusals(case: Refusal) -> None:
    """A refusal is transient or fatal by what it says, in the provider's own words, with the wait that it asks for."""
    raw = case.body.encode() if isinstance(case.body, str) else json.dumps(case.body, ensure_ascii=False).encode()
    error = error_of(case.status, case.headers, raw)
    assert (error.kind, str(error), error.status) == (case.kind, case.message, case.status)
    assert isinstance(error, TransientError) == (case.kind in {"rate_limit", "timeout", "server"})
    wait_s = error.retry_after_s if isinstance(error, TransientError) else None
    # A date two hours off was written when the tests were collected, which may be minutes ago.
    slack_s = 3600 if case.wait_s == 7200 else 0.01
    assert wait_s == pytest.approx(case.wait_s, abs=slack_s) if case.wait_s is not None else wait_s is None


# ---- through LiteLLM -------------------------------------------------------------------------------------------------

OTHER = "hosted_vllm"


def fallback(recorder: Recorder) -> Fallback:
    made = codec_for(Model("m", "local", OTHER, "v", api_base=f"{recorder.url}/v1"), "test-key")
    assert isinstance(made, Fallback)
    return made


def complete(recorder: Recorder, timeout_s: float = 20) -> bytes:
    return asyncio.run(fallback(recorder).complete(request("local", max_tokens=5, **TOOL), timeout_s))


def test_other_providers() -> None:
    """A provider outside the table is reached through LiteLLM, tools included, and its reply read as any other."""
    with Recorder() as recorder:
        raw = complete(recorder)
        reply = fallback(recorder).decode(raw, "prompt")
    (arrival,) = recorder.arrivals
    assert arrival.headers["authorization"] == "Bearer test-key"
    assert arrival.body["messages"] == [{"role": "system", "content": "be"}, {"role": "user", "content": "read"}]
    assert (reply.text, reply.finish, reply.tokens.input, reply.tokens.output) == ("{}", "stop", 1, 1)
    assert reply.tokens == Tokens(1, 1)


TROUBLES = {
    "rate_limit": Trouble(429, openai("slow down"), {"Retry-After": "7"}),
    "key_refused": Trouble(401, openai("no such key", "invalid_api_key")),
    "bad_request": Trouble(400, openai("no such parameter")),
    "not_found": Trouble(404, openai("no such model")),
    "server": Trouble(503, openai("overloaded")),
    "timeout": Trouble(200, {}, delay_s=5),
}


@pytest.mark.parametrize("kind", TROUBLES)
def test_other_providers_refusals(kind: str) -> None:
    """LiteLLM's exceptions are this program's, with the provider's Retry-After, after exactly one attempt."""
    with Recorder(trouble=TROUBLES[kind]) as recorder, pytest.raises(ProviderError) as caught:
        complete(recorder, timeout_s=0.5 if kind == "timeout" else 20)
    assert caught.value.kind == kind
    assert len(recorder.arrivals) == 1
    if isinstance(caught.value, TransientError):
        assert caught.value.retry_after_s == (7 if kind == "rate_limit" else None)


def test_no_connection() -> None:
    """A closed port is a transient error."""
    with Recorder() as recorder:
        pass
    with pytest.raises(TransientError):
        complete(recorder)


# ---- LiteLLM is kept quiet -------------------------------------------------------------------------------------------


def test_openai_needs_no_litellm() -> None:
    """OpenAI's format, and so the embedded model, works without the seconds that importing LiteLLM takes."""
    program = """
import sys
from runner.providers.codec import codec_for
from runner.records import Model, Request
for provider in ("openai", "embedded"):
    codec = codec_for(Model("m", "m", provider, "v", api_base="http://127.0.0.1:1"), "k")
    codec.encode(Request("m", ({"role": "user", "content": "x"},), {}))
    codec.decode(b'{"choices": [{"message": {"content": "x"}}]}', "prompt")
assert "litellm" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_litellm_is_quiet() -> None:
    """LiteLLM neither downloads, retries, drops parameters nor logs."""
    litellm = prepare()
    assert litellm.suppress_debug_info
    assert not litellm.drop_params
    assert not litellm.num_retries
    assert logging.getLogger("LiteLLM").getEffectiveLevel() == logging.CRITICAL
