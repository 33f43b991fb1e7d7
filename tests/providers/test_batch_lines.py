"""What may come in a batch's results, or from a gateway: garbage costs a line, a key goes nowhere else."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from batch_adapters import NAMES, subject, submit
from stand_in import Asked, StandIn, Told

from runner.errors import FatalError, ProviderError, TransientError
from runner.providers.batch import anthropic, gemini, mistral, openai, vertex, xai
from runner.providers.batch.api import Sent, Standing
from runner.providers.batch.http import BESIDE_BYTES, HEAD_BYTES
from runner.providers.received import accept

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from runner.providers.batch.api import Item
    from runner.providers.received import Dialect

CHAT = {"choices": [{"message": {"content": "fun"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}
CLAUDE = {"type": "message", "content": [{"type": "text", "text": "fun"}], "stop_reason": "end_turn"}
GOOGLE = {"candidates": [{"content": {"parts": [{"text": "fun"}]}, "finishReason": "STOP"}]}
ERROR = {"code": "server_error", "message": "no"}
READERS: Mapping[str, tuple[Callable[[bytes], Item], Dialect, list[dict[str, Any]]]] = {
    "openai": (
        openai.read_line,
        "chat",
        [
            {"id": "r", "custom_id": "b-1", "response": {"status_code": 200, "body": CHAT}, "error": None},
            {"custom_id": "b-1", "response": {"status_code": 429, "body": {"error": ERROR}}, "error": None},
            {"custom_id": "b-1", "response": None, "error": ERROR},
        ],
    ),
    "anthropic": (
        anthropic._item,  # noqa: SLF001  no other way in reads a single line
        "anthropic",
        [
            {"custom_id": "b-1", "result": {"type": "succeeded", "message": CLAUDE}},
            {"custom_id": "b-1", "result": {"type": "errored", "error": {"error": {"type": "api_error"}}}},
        ],
    ),
    "gemini": (
        gemini._item,  # noqa: SLF001
        "gemini",
        [{"key": "b-1", "response": GOOGLE}, {"key": "b-1", "error": {"code": 8, "message": "no"}}],
    ),
    "vertex": (
        vertex._item,  # noqa: SLF001
        "gemini",
        [
            {"status": "", "request": {"labels": {"item": "b-1"}}, "response": GOOGLE},
            {"status": 'Bad: {"error": {"code": 400}}', "request": {"labels": {"item": "b-1"}}, "response": {}},
        ],
    ),
    "xai": (
        xai._item,  # noqa: SLF001
        "chat",
        [
            {"batch_request_id": "b-1", "batch_result": {"response": {"chat_get_completion": CHAT}}},
            {"batch_request_id": "b-1", "batch_result": {"error": {"code": 8, "message": "no"}}},
        ],
    ),
    "mistral": (
        mistral._item,  # noqa: SLF001
        "chat",
        [
            {"custom_id": "b-1", "response": {"status_code": 200, "body": CHAT}, "error": None},
            {"custom_id": "b-1", "response": {"status_code": 422, "body": {"detail": "no"}}, "error": None},
        ],
    ),
}
CASES = 4_000
ODD: tuple[Any, ...] = (
    None, True, -1, 1e400, 10**400, float("nan"), "", "\ud83d", "b-1", [], [[]], {}, {"error": {}}, [None], {"": None}
)  # fmt: skip
DEEP = 100_000


def mangled(line: dict[str, Any], chance: random.Random) -> bytes:
    """A line with values replaced, keys dropped, bytes changed, cut or nested."""
    value: Any = json.loads(json.dumps(line))
    for _ in range(chance.randint(0, 3)):
        place = value
        while isinstance(place, dict) and place:
            key = chance.choice(list(place))
            if chance.random() < 0.4 or not isinstance(place[key], dict):
                if chance.random() < 0.2:
                    del place[key]
                else:
                    place[key] = chance.choice(ODD)
                break
            place = place[key]
    raw = bytearray(json.dumps(value).encode())
    match chance.randrange(6):
        case 0:
            raw = raw[: chance.randrange(len(raw) + 1)]
        case 1:
            for _ in range(chance.randint(1, 4)):
                raw[chance.randrange(len(raw))] = chance.randrange(256)
        case 2 if chance.random() < 0.02:
            raw = bytearray(raw.replace(b"null", b"[" * DEEP + b"]" * DEEP, 1))
        case _:
            pass
    return bytes(raw)


@pytest.mark.parametrize("name", READERS)
def test_whatever_a_line_holds_costs_that_line(name: str) -> None:
    """4,000 mangled lines of each API: none raises, and what counts as answered is a whole reply of that API."""
    read, dialect, lines = READERS[name]
    chance, answered = random.Random(name), 0  # noqa: S311  no secret depends on it
    for _ in range(CASES):
        line = mangled(chance.choice(lines), chance)
        item = read(line)
        assert item.line == line
        assert (item.raw is not None) == (item.ending == "succeeded")
        if item.raw is not None:
            answered += 1
            assert item.id
            accept(item.raw, dialect)
    assert CASES / 20 < answered < CASES


def work(act: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> None:
    """Within an HTTP session."""

    async def within() -> None:
        async with aiohttp.ClientSession() as http:
            await act(http)

    asyncio.run(within())


def test_a_line_that_is_too_long_costs_itself(tmp_path: Path) -> None:
    """Of a line above limits.max_reply_bytes only its beginning is kept; its neighbours are read."""
    whole = [json.dumps({**READERS["mistral"][2][0], "custom_id": f"b1-{n}"}).encode() for n in range(3)]
    whole[1] = whole[1].replace(b'"fun"', b'"%b"' % (b"x" * (BESIDE_BYTES + 2_000)))
    joined = b"\n".join(whole)
    parts = [joined[start : start + 70_000] for start in range(0, len(joined), 70_000)]

    async def act(http: aiohttp.ClientSession) -> None:
        sent, standing = Sent("b"), Standing("ended", "", 3, 3, ("f",))
        items = [item async for item in api.api.fetch(http, account, sent, standing)]
        assert [item.ending for item in items] == ["succeeded", "failed", "succeeded"]
        assert (items[1].kind, len(items[1].line)) == ("reply_too_large", HEAD_BYTES)

    with StandIn(lambda _: Told(parts)) as server:
        api = subject("mistral", server.url, tmp_path)
        account = replace(api.account, max_reply_bytes=1_000)
        work(act)


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("name", NAMES)
def test_deep_nesting_is_an_error_like_any_other(name: str, status: int, tmp_path: Path) -> None:
    """JSON nested 100,000 deep in an answer or an error ends no run: it is a ProviderError."""

    async def act(http: aiohttp.ClientSession) -> None:
        with pytest.raises(ProviderError):
            await api.api.standing(http, api.account, Sent("batches/b" if name == "gemini" else "b"))

    with StandIn(lambda _: Told([b"[" * DEEP + b"]" * DEEP], status=status)) as server:
        api = subject(name, server.url, tmp_path)
        work(act)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("name", NAMES)
def test_no_key_follows_a_redirect(name: str, status: int, tmp_path: Path) -> None:
    """Whatever an adapter asks, a redirect is an error that names both addresses; the other host hears nothing."""

    async def act(http: aiohttp.ClientSession) -> None:
        sent = Sent("batches/b" if name == "gemini" else "b", () if name == "vertex" else ("files/f",))
        for call in (
            lambda: submit(api.api, http, api.account, draft),
            lambda: api.api.find(http, api.account, draft),
            lambda: api.api.standing(http, api.account, sent),
            lambda: api.api.cancel(http, api.account, sent),
            lambda: api.api.clean(http, api.account, sent, Standing("ended", "", 0, 0)),
        ):
            with pytest.raises(FatalError, match="redirects to") as told:
                await call()
            assert told.value.kind == "redirected"
            assert other.url in str(told.value)

    with (
        StandIn(lambda _: Told([b"{}"])) as other,
        StandIn(lambda _: Told([], status=status, headers={"Location": f"{other.url}/there"})) as server,
    ):
        api = subject(name, server.url, tmp_path)
        draft = api.draft(1)
        work(act)
        assert other.asked == []


@pytest.mark.parametrize("name", ["anthropic", "gemini", "mistral"])
def test_a_signed_download_comes_without_the_key(name: str, tmp_path: Path) -> None:
    """Results that are handed out by a redirect to a signed address are fetched there, without the account's key."""

    def answer(asked: Asked) -> Told:
        return Told([], status=302, headers={"Location": f"{other.url}/signed?{asked.method}"})

    async def act(http: aiohttp.ClientSession) -> None:
        results = ("files/f",) if name == "gemini" else ("f",)
        standing = Standing("ended", "", 1, 1, results)
        items = [item async for item in api.api.fetch(http, api.account, Sent("b"), standing)]
        assert [item.ending for item in items] == ["succeeded"]

    line = json.dumps(READERS[name][2][0]).encode()
    with StandIn(lambda _: Told([line])) as other, StandIn(answer) as server:
        api = subject(name, server.url, tmp_path, key="secret-key-1")
        work(act)
        assert len(other.asked) == 1
        assert "secret-key-1" not in repr(other.asked)


def test_an_answer_that_says_try_again_is_no_reply(tmp_path: Path) -> None:
    """A page with status 200 in place of a batch's standing is an error that will pass."""

    async def act(http: aiohttp.ClientSession) -> None:
        with pytest.raises(TransientError):
            await api.api.standing(http, api.account, Sent("b"))

    with StandIn(lambda _: Told([b"<html>One moment</html>"])) as server:
        api = subject("xai", server.url, tmp_path)
        work(act)
