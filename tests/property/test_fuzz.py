"""Whatever arrives, one reply never ends a run: bytes, headers and JSON, damaged at random from a fixed seed.

RUNNER_FUZZ_CASES sets how many cases each test takes (`make fuzz`); without it they take a few seconds in all.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import zlib
from concurrent.futures import Future
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from raw_server import RawServer, answer

from runner import score
from runner.dispatch import live
from runner.dispatch.observer import Stop
from runner.errors import ProviderError
from runner.plan.trials import endpoint_of, key_of
from runner.providers.batch import anthropic, gemini, mistral, openai, vertex, xai
from runner.providers.codec import codec_for
from runner.providers.reply import error_of
from runner.records import Adapted, Cell, Limits, Model, Persona, Question, Request, Sampling, Text, Tokens, Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from raw_server import Asked

    from runner.ledger.batch_records import BatchRecord
    from runner.providers.batch.api import Item
    from runner.records import Answer, Failure

SEED = 20_261_128
CASES = int(os.environ.get("RUNNER_FUZZ_CASES", "0"))
QUESTIONS = (Question("joy", "joy", "how joyful"),)
WORDS = json.dumps({"joy": {"score": 70, "reason": "喜び 🎭"}}, ensure_ascii=False)

CHAT: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "system_fingerprint": "fp",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": WORDS,
                "refusal": None,
                "annotations": [],
                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "scores", "arguments": WORDS}}],
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
    },
}
MESSAGE: dict[str, Any] = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": WORDS, "citations": None},
        {"type": "tool_use", "id": "t", "name": "scores", "input": json.loads(WORDS)},
    ],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 4, "cache_read_input_tokens": 2},
}
CONTENT: dict[str, Any] = {
    "candidates": [
        {
            "content": {"role": "model", "parts": [{"text": WORDS}, {"text": "hm", "thought": True}]},
            "finishReason": "STOP",
            "index": 0,
            "safetyRatings": [{"category": "HARM_CATEGORY_HATE_SPEECH", "probability": "LOW"}],
        }
    ],
    "promptFeedback": {"safetyRatings": []},
    "usageMetadata": {
        "promptTokenCount": 9,
        "candidatesTokenCount": 4,
        "totalTokenCount": 13,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}],
    },
    "modelVersion": "m",
}
REPLIES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("openai", "groq", "xai", "deepseek", "mistral", "openrouter", "hosted_vllm"), CHAT),
    "anthropic": MESSAGE,
    "gemini": CONTENT,
}
ERRORS: tuple[dict[str, Any], ...] = (
    {
        "error": {
            "message": "slow",
            "type": "requests",
            "code": "rate_limit_exceeded",
            "details": [{"retryDelay": "3s"}],
        }
    },
    {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
    {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "quota", "details": [{"reason": "R"}]}},
)
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e308, 10**400, float("nan"), float("inf"), "", "x", "\ud800", "\0", "null"),
    *([], {}, [[]], [None], {"": None}, {"error": {"code": 503}}, ["x", 1], {"text": 3}, "9" * 400, "語" * 50),
)
SPLINTERS = (b"\0", b"\xff", b"\xed\xa0\x80", b"\\ud800", b'"', b"{", b"}", b"[" * 2_000, b'{"a":' * 2_000,
             b"9" * 6_000, b"NaN", b"-", b"1e999", b"data: ", b",", b":", b"null", b"\n", b"<html>")  # fmt: skip


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a JSON value, with each of its keys or indices."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


def altered(chance: random.Random, value: dict[str, Any]) -> bytes:
    """A value's JSON with some of its parts gone, replaced, doubled or put elsewhere."""
    copy = json.loads(json.dumps(value))
    for _ in range(chance.choice((1, 1, 2, 4))):
        spots = list(places(copy))
        if not spots:
            break
        holder, key = chance.choice(spots)
        match chance.randrange(4):
            case 0:
                del holder[key]
            case 1:
                holder[key] = deepcopy(chance.choice(ODD))
            case 2:
                holder[key] = [holder[key]]
            case _:
                other, there = chance.choice(spots)
                holder[key] = json.loads(json.dumps(other[there])) if holds(other, there) else None
    return json.dumps(copy, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")


def holds(holder: Any, key: Any) -> bool:
    """Whether a place is still there after what was taken out before."""
    return key in holder if isinstance(holder, dict) else key < len(holder)


def damaged(chance: random.Random, raw: bytes) -> bytes:
    """Bytes cut, doubled, overwritten or with something in between."""
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(raw) + 1)
        match chance.randrange(4):
            case 0:
                raw = raw[:at]
            case 1:
                raw = raw[:at] + chance.choice(SPLINTERS) + raw[at:]
            case 2:
                raw = raw[:at] + bytes([chance.randrange(256)]) + raw[at + 1 :]
            case _:
                raw = raw[:at] + raw[chance.randrange(len(raw) + 1) :]
    return raw


def cases(count: int, *values: dict[str, Any]) -> Iterator[tuple[random.Random, bytes]]:
    """As many bodies, made from the values; every one by a number of its own, so that it can be had again alone."""
    for number in range(count):
        chance = random.Random(SEED + number)  # noqa: S311  cases, no secrets
        raw = altered(chance, chance.choice(values)) if chance.random() < 0.6 else json.dumps(values[0]).encode()
        yield chance, damaged(chance, raw) if chance.random() < 0.5 else raw


def is_count(found: int | None) -> bool:
    return found is None or (type(found) is int and 0 <= found <= 2**53)


def check_tokens(tokens: Tokens) -> None:
    """Counts are whole numbers or unknown, whatever the provider says."""
    assert all(map(is_count, (tokens.input, tokens.output, tokens.cached, tokens.reasoning))), tokens


@pytest.mark.parametrize("provider", REPLIES)
def test_bodies(provider: str) -> None:
    """A body is an answer, which then is read and scored, or a ProviderError with a short message; nothing else."""
    codec = codec_for(Model("m", "m", provider, "v", api_base="http://127.0.0.1:1"), None)
    count = CASES or (2_500 if REPLIES[provider] is CHAT and provider in ("openai", "hosted_vllm") else 1_000)
    answers, said = 0, list[str]()
    for chance, raw in cases(count, REPLIES[provider], *ERRORS, *REPLIES.values()):
        try:
            codec.check(raw)
            reply = codec.decode(raw, chance.choice(("prompt", "tool")))
        except ProviderError as error:
            said.append(str(error))
            continue
        answers += 1
        check_tokens(reply.tokens)
        for text in (reply.text, reply.finish, reply.refusal, reply.model_version, reply.fingerprint):
            assert text is None or isinstance(text, str), raw
        score.read(reply, QUESTIONS, "json")
    assert answers > count / 20
    assert max(map(len, said)) < 800


def test_refusals() -> None:
    """A refusal of any status and content is a ProviderError with a short message."""
    for chance, raw in cases(CASES or 3_000, *ERRORS, CHAT):
        headers = {"Retry-After": chance.choice(("1", "x", "-1", "1e400", "9" * 5_000, "Fri, 99 Foo", "\xff"))}
        error = error_of(chance.choice((0, 302, 400, 401, 403, 404, 418, 429, 500, 529, 999)), headers, raw)
        assert isinstance(error, ProviderError)
        assert len(str(error)) < 800, raw


LINES: dict[str, tuple[Callable[[bytes], Item], dict[str, Any]]] = {
    "openai": (openai.read_line, {"custom_id": "b-1", "response": {"status_code": 200, "body": CHAT}, "error": None}),
    "mistral": (
        vars(mistral)["_item"],
        {"custom_id": "b-1", "response": {"status_code": 200, "body": CHAT}, "error": None},
    ),
    "anthropic": (vars(anthropic)["_item"], {"custom_id": "b-1", "result": {"type": "succeeded", "message": MESSAGE}}),
    "gemini": (vars(gemini)["_item"], {"key": "b-1", "response": CONTENT}),
    "vertex": (vars(vertex)["_item"], {"status": "", "request": {"labels": {"item": "b-1"}}, "response": CONTENT}),
    "xai": (
        vars(xai)["_item"],
        {"batch_request_id": "b-1", "batch_result": {"response": {"chat_get_completion": CHAT}}},
    ),
}


@pytest.mark.parametrize("name", LINES)
def test_lines_of_batches(name: str) -> None:
    """A line of a batch's results is an item, whatever it holds, and what it takes for a reply is an answer."""
    read, line = LINES[name]
    provider = {"vertex": "gemini"}.get(name, name)
    codec = codec_for(Model("m", "m", provider, "v", api_base="http://127.0.0.1:1"), None)
    answers = 0
    for _, raw in cases(CASES or 1_000, line, *ERRORS):
        item = read(raw)
        assert isinstance(item.id, str)
        assert item.line == raw
        if item.ending == "succeeded":
            assert item.raw is not None
            codec.check(item.raw)
            answers += 1
    assert answers


# ---- over the wire ---------------------------------------------------------------------------------------------------

HEADERS = (
    *("Content-Type: application/json", "Content-Type: text/html; charset=shift_jis", "Content-Encoding: gzip"),
    *("Content-Encoding: deflate", "Content-Encoding: br", "Transfer-Encoding: chunked", "Content-Length: 5"),
    *("Content-Length: -1", "Content-Length: x", "Retry-After: 0", "Location: http://[::1", "X-Long: " + "y" * 9_000),
    *("Set-Cookie: a=b; Domain=\x01", "X: \0", ": no name", "Connection: close", "x-ratelimit-remaining-requests: x"),
    *("x-ratelimit-limit-requests: 1e999", "x-ratelimit-reset-requests: 9" * 3, "no colon", "\xff: \xfe"),
)
STATUSES = ("200 OK", "200 OK", "200 OK", "201 Created", "204 No Content", "206 Part", "301 Away", "400 No", "429 Slow",
            "500 Oh", "599 Oh", "99 ?", "999 ?", "abc", "")  # fmt: skip


def arrival(number: int) -> bytes:
    """An HTTP answer of any kind, by its number."""
    chance = random.Random(SEED + number)  # noqa: S311  cases, no secrets
    raw = (
        altered(chance, chance.choice((CHAT, CHAT, CHAT, *ERRORS)))
        if chance.random() < 0.5
        else json.dumps(CHAT).encode()
    )
    raw = chance.choice((bytes, bytes, bytes, gzip.compress, zlib.compress))(raw)
    raw = damaged(chance, raw) if chance.random() < 0.3 else raw
    headers = chance.sample(HEADERS, chance.choice((0, 0, 1, 1, 2, 4)))
    whole = answer(raw, *headers, status=chance.choice(STATUSES))
    return damaged(chance, whole) if chance.random() < 0.2 else whole


class Kept:
    """A ledger that holds answers in memory, and an observer of nothing."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    def put(self, answer: Answer) -> Future[None]:
        """Take an answer, durable at once."""
        return self.store([answer])

    def store(self, answers: Sequence[Answer]) -> Future[None]:
        """The same of several."""
        self.answers.extend(answers)
        stored: Future[None] = Future()
        stored.set_result(None)
        return stored

    def flush(self) -> None:
        """Everything is durable already."""

    def planned(self, model: Model, count: int) -> None:
        """Nothing."""

    def sent(self, trial: Trial) -> None:
        """Nothing."""

    def answered(self, trial: Trial, answer: Answer) -> None:
        """Nothing."""

    def failed(self, trial: Trial, failure: Failure) -> None:
        """Nothing."""

    def waiting(self, model: Model, kind: str, wait_s: float, reason: str = "") -> None:
        """Nothing."""

    def batch(self, entry: BatchRecord) -> None:
        """Nothing."""

    def notice(self, line: str) -> None:
        """Nothing."""


def test_arrivals() -> None:
    """Of live requests that are answered with anything at all, each ends in an answer or a failure of its own."""
    count = CASES or 900
    models = count // 2
    limits = Limits(concurrency=1, attempts=1, total_s=20, first_byte_timeout_s=2, max_reply_bytes=2**20)

    def reply(asked: Asked) -> bytes:
        return arrival(int(json.loads(asked.body)["messages"][0]["content"]))

    def trials(of: Model, numbers: range) -> Iterator[Trial]:
        for number in numbers:
            request = Request(of.id, ({"role": "user", "content": str(number)},), {"max_tokens": 5})
            key = key_of(request, endpoint_of(of), 1)
            cell = Cell("m/p", of, Persona("p", {"*": "x"}), Sampling())
            yield Trial(cell, Text("t", "x"), 1, Adapted(request, "prompt", {}, {}), key)

    kept = Kept()
    with RawServer(reply) as server:
        # An account of its own for every two requests, so that none is slowed by what its neighbours are sent.
        base = Model("m", "m", "openai", "v", limits=limits)
        several = [replace(base, name=f"m{at}", api_base=f"{server.url}/{at}/v1") for at in range(models)]
        queues = [(model, trials(model, range(at, count, models))) for at, model in enumerate(several)]

        async def run() -> dict[str, Failure]:
            return await live.dispatch(queues, kept, kept, Stop())

        with asyncio.Runner(loop_factory=live.new_loop) as runner:
            failures = runner.run(run())
    assert len(kept.answers) + len(failures) == count
    assert kept.answers
    assert all(len(failure.problem.message) < 1_000 for failure in failures.values())
