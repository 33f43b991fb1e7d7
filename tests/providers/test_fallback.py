"""Models that only `litellm.acompletion` reaches: what they are sent back is kept before LiteLLM reads it."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from raw_server import Asked, RawServer, answer

from runner.errors import FatalError, ProviderError, TransientError
from runner.providers.codec import Fallback, codec_for
from runner.records import Limits, Model, Reply, Request, Tokens

CHAT: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "喜び"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
}
OLLAMA: dict[str, Any] = {
    "model": "m",
    "created_at": "2026-01-01T00:00:00Z",
    "message": {"role": "assistant", "content": "喜び"},
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 3,
    "eval_count": 4,
}
CONVERSE: dict[str, Any] = {
    "output": {"message": {"role": "assistant", "content": [{"text": "喜び"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7},
    "metrics": {"latencyMs": 1},
}


def changed(reply: dict[str, Any], *path: str | int, to: Any) -> dict[str, Any]:
    """A copy of a reply, with something else in one place."""
    copy: Any = json.loads(json.dumps(reply))
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return dict(copy)


NOTES = changed(CHAT, "choices", 0, "message", "annotations", to=[{"type": "of a new type", "x": 1}])


@dataclass(frozen=True)
class Api:
    """A provider that is reached through LiteLLM, its reply, and replies that LiteLLM's decoder stumbles over."""

    provider: str
    reply: dict[str, Any]
    odd: tuple[dict[str, Any], ...]
    model_id: str = "m"
    path: str = ""


ODD_CHATS = (
    NOTES,
    changed(CHAT, "usage", to={"prompt_tokens": "many"}),
    changed(CHAT, "usage", to=[1]),
    changed(CHAT, "created", to="today"),
    changed(CHAT, "id", to=[]),
    changed(CHAT, "choices", 0, "finish_reason", to={"a": 1}),
    changed(CHAT, "choices", 0, "logprobs", to=[[]]),
    changed(CHAT, "choices", 0, "message", "tool_calls", to="none"),
)
APIS = {
    api.provider: api
    for api in (
        Api("hosted_vllm", CHAT, ODD_CHATS, path="/v1"),
        Api("together_ai", CHAT, ODD_CHATS, path="/v1"),
        Api("perplexity", CHAT, (*ODD_CHATS, changed(CHAT, "citations", to=3))),
        Api("azure", CHAT, ODD_CHATS),
        Api("ollama_chat", OLLAMA, (changed(OLLAMA, "eval_count", to="many"),)),
        Api(
            "bedrock",
            CONVERSE,
            (
                changed(CONVERSE, "usage", to={"inputTokens": "many"}),
                changed(CONVERSE, "output", "message", "content", to=[{"text": "喜び"}, {"ofANewType": {}}]),
                changed(CONVERSE, "stopReason", to=[1]),
            ),
            "anthropic.claude-3-haiku-20240307-v1:0",
        ),
    )
}
JSON = "Content-Type: application/json"


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    """What LiteLLM needs to know before it sends anything; nothing looks for it beyond this machine."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION_NAME": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AZURE_API_VERSION": "2024-10-21",
    }.items():
        monkeypatch.setenv(name, value)


def asked(api: Api, base: str, key: str | None = "test-key", **limits: Any) -> tuple[Fallback, bytes]:
    """One attempt, and what would be kept of it."""
    made = codec_for(Model("m", api.model_id, api.provider, "v", api_base=base, limits=Limits(**limits)), key)
    assert isinstance(made, Fallback)
    request = Request(api.model_id, ({"role": "user", "content": "read"},), {"max_tokens": 5})
    return made, asyncio.run(made.complete(request, 20))


def sent_back(api: Api, sent: bytes, **limits: Any) -> tuple[Fallback, bytes]:
    """One attempt at a server that answers with these bytes, which is asked exactly once."""
    with RawServer(lambda _: sent) as server:
        try:
            return asked(api, server.url + api.path, **limits)
        finally:
            assert len(server.asked) == 1


@pytest.mark.parametrize("api", APIS.values(), ids=APIS)
def test_a_reply_is_kept_as_it_came(api: Api) -> None:
    """What is kept holds the provider's own body beside what LiteLLM made of it, and is read as before."""
    codec, raw = sent_back(api, answer(json.dumps(api.reply).encode(), JSON))
    codec.check(raw)
    assert json.loads(raw)["received"] == api.reply
    reply = codec.decode(raw, "prompt")
    assert (reply.text, reply.finish, reply.tokens.input, reply.tokens.output) == ("喜び", "stop", 3, 4)


@pytest.mark.parametrize("api", APIS.values(), ids=APIS)
def test_a_part_that_litellm_cannot_read_costs_that_part(api: Api) -> None:
    """A paid reply is bought once and its words are read, whatever LiteLLM's decoder thinks of the rest."""
    for odd in api.odd:
        codec, raw = sent_back(api, answer(json.dumps(odd).encode(), JSON))
        codec.check(raw)
        assert codec.decode(raw, "prompt").text == "喜び"


@pytest.mark.parametrize(("provider", "reply", "path"), [("ollama_chat", OLLAMA, ""), ("lemonade", CHAT, "/api/v1")])
def test_a_trial_is_one_request(
    provider: str, reply: dict[str, Any], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiteLLM asks no server what a model can do: not before a request, not for its own books after the answer."""
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

    async def twice(url: str) -> None:
        codec = codec_for(Model("m", "m", provider, "v", api_base=url), None)
        assert isinstance(codec, Fallback)
        for _ in range(2):
            await codec.complete(Request("m", ({"role": "user", "content": "read"},), {}), 20)
        await GLOBAL_LOGGING_WORKER.flush()

    with RawServer(lambda _: answer(json.dumps(reply).encode(), JSON)) as server:
        monkeypatch.setenv("OLLAMA_API_BASE", server.url)  # where LiteLLM looks that is told nothing
        monkeypatch.setenv("LEMONADE_API_BASE", server.url + path)
        asyncio.run(twice(server.url + path))
        assert [asked.path.rpartition("/")[2].replace("completions", "chat") for asked in server.asked] == ["chat"] * 2


def test_counts_that_litellm_makes_up_are_not_kept() -> None:
    """A reply without counts has none, though LiteLLM counts by itself."""
    bare = {name: value for name, value in CHAT.items() if name != "usage"}
    codec, raw = sent_back(APIS["hosted_vllm"], answer(json.dumps(bare).encode(), JSON))
    assert codec.decode(raw, "prompt").tokens == Tokens()


def test_replies_kept_by_earlier_versions_are_read() -> None:
    """A ledger's older answers, which hold what LiteLLM made of a reply and no more, are read as before."""
    codec = codec_for(Model("m", "m", "hosted_vllm", "v"), None)
    codec.check(json.dumps(CHAT).encode())
    read = codec.decode(json.dumps(CHAT).encode(), "prompt")
    assert read == Reply("喜び", "stop", tokens=Tokens(3, 4), model_version="m")


@dataclass(frozen=True)
class Instead:
    """What came in place of a reply, and the failure that it is."""

    id: str
    sent: bytes
    kind: str
    said: str = ""
    limits: dict[str, int] = field(default_factory=dict)


def refusal(status: str, body: Any, *headers: str) -> bytes:
    return answer(json.dumps(body).encode(), JSON, *headers, status=status)


INSTEAD = (
    Instead("a page", answer(b"<html>Sign in</html>", "Content-Type: text/html"), "not_a_reply", "Sign in"),
    Instead("an empty object", answer(b"{}", JSON), "not_a_reply"),
    Instead("no choices", answer(b'{"choices": []}', JSON), "not_a_reply"),
    Instead("an error in a 200", refusal("200 OK", {"error": {"message": "busy", "code": 503}}), "server", "busy"),
    Instead("cut", answer(json.dumps(CHAT).encode()[:60], JSON), "connection", "cut short"),
    Instead("a code", refusal("401 No", {"error": {"message": "x", "code": "invalid_api_key"}}), "key_refused", "x"),
    Instead("money", refusal("429 No", {"error": {"message": "x", "code": "insufficient_quota"}}), "quota", "x"),
    Instead("a limit", refusal("429 No", {"error": {"message": "slow"}}, "Retry-After: 7"), "rate_limit", "slow"),
    Instead("a refusal nested deep", answer(b'{"error":' * 50_000, JSON, status="503 No"), "server"),
    Instead("too large", answer(b" " * 5_000, JSON), "reply_too_large", "5", {"max_reply_bytes": 1_500}),
    Instead(
        "too large, packed",
        answer(gzip.compress(b" " * 2**22), JSON, "Content-Encoding: gzip"),
        "reply_too_large",
        "limits.max_reply_bytes",
        {"max_reply_bytes": 2**20},
    ),
)


@pytest.mark.parametrize("case", INSTEAD, ids=lambda case: case.id)
@pytest.mark.parametrize("api", APIS.values(), ids=APIS)
def test_what_is_no_reply(api: Api, case: Instead) -> None:
    """What is no reply is a failure in the provider's own words, with its own code and wait, after one attempt."""
    with pytest.raises(ProviderError) as caught:
        sent_back(api, case.sent, **case.limits)
    assert caught.value.kind == case.kind
    assert case.said in str(caught.value)
    if case.kind == "rate_limit":
        assert isinstance(caught.value, TransientError)
        assert caught.value.retry_after_s == 7


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize("api", APIS.values(), ids=APIS)
def test_a_key_follows_no_redirect(api: Api, status: str) -> None:
    """The host that a redirect names gets nothing: no key, no prompt, and no chance to answer."""
    reply = answer(json.dumps(api.reply).encode(), JSON)
    with RawServer(lambda _: reply) as other, RawServer(lambda _: _away(other.url, status)) as server:
        with pytest.raises(FatalError) as caught:
            asked(api, server.url + api.path)
        assert len(server.asked) == 1
        assert not other.asked
        assert caught.value.kind == "redirected"
        for said in (server.url, f"{other.url}/elsewhere", "model.m.api_base"):
            assert said in str(caught.value)


def _away(to: str, status: str) -> bytes:
    return answer(b"", f"Location: {to}/elsewhere", status=status)


@pytest.mark.parametrize("provider", ["azure", "bedrock"])
def test_missing_credentials_are_fatal(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where LiteLLM finds no credentials nothing is sent, and nothing is tried again."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/nowhere")

    def never(asked: Asked) -> bytes:
        raise AssertionError(asked)

    with RawServer(never) as server, pytest.raises(FatalError) as caught:
        asked(APIS[provider], server.url, key=None)
    assert not server.asked
    assert caught.value.kind == "key_refused"
    assert "\n" not in str(caught.value)


def test_others_who_speak_through_httpx_are_left_alone() -> None:
    """Only requests of ours are looked at: another client of this process follows its redirects as it always did."""
    import httpx

    sent_back(APIS["hosted_vllm"], answer(json.dumps(CHAT).encode(), JSON))
    with RawServer(lambda _: answer(b"there")) as other, RawServer(lambda _: _away(other.url, "302 Found")) as server:

        async def get() -> httpx.Response:
            async with httpx.AsyncClient(follow_redirects=True) as client:
                return await client.get(server.url)

        assert asyncio.run(get()).text == "there"
