"""What may arrive over a live connection, and what becomes of it: an answer, or one failed trial."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from raw_server import Asked, RawServer, answer

from runner.dispatch import live
from runner.dispatch.observer import Stop
from runner.plan.trials import endpoint_of, key_of
from runner.providers.codec import codec_for
from runner.records import Adapted, Cell, Limits, Model, Persona, Request, Sampling, Text, Trial

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from runner.ledger.batch_records import BatchRecord
    from runner.records import Answer, Failure

PERSONA = Persona("p", {"*": "someone"})
ONCE = Limits(concurrency=4, attempts=1, total_s=30)
KEY = "sk-for-one-host-only"


def chat(content: str = "x") -> dict[str, Any]:
    return {
        "model": "m",
        "choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


REPLIES: dict[str, dict[str, Any]] = {
    "openai": chat(),
    "mistral": chat(),
    "anthropic": {
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "x"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
    "gemini": {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "x"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1},
        "modelVersion": "m",
    },
}
GOOD = json.dumps(chat("喜び " * 200), ensure_ascii=False).encode()


def model(base: str, provider: str = "openai", **more: Any) -> Model:
    limits = more.pop("limits", ONCE)
    return Model(name="m", id="m", provider=provider, vendor="test", api_base=base, limits=limits, **more)


def trials(of: Model, count: int) -> Iterator[Trial]:
    cell = Cell("m/p", of, PERSONA, Sampling())
    for number in range(count):
        request = Request(of.id, ({"role": "user", "content": f"text {number}"},), {"max_tokens": 10})
        key = key_of(request, endpoint_of(of), 1)
        yield Trial(cell, Text(f"t{number}", "text"), 1, Adapted(request, "prompt", {}, {}), key)


@dataclass
class Seen:
    """An observer that keeps all that it is told."""

    answers: list[Answer] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)

    def planned(self, model: Model, count: int) -> None:
        """Not called by dispatch."""

    def sent(self, trial: Trial) -> None:
        """An attempt leaves."""

    def answered(self, trial: Trial, answer: Answer) -> None:
        """Kept by `keep` already."""

    def failed(self, trial: Trial, failure: Failure) -> None:
        """Returned by dispatch as well."""

    def waiting(self, model: Model, kind: str, wait_s: float, reason: str = "") -> None:  # noqa: ARG002
        """Another attempt follows."""
        self.waits.append(kind)

    def batch(self, entry: BatchRecord) -> None:
        """Nothing goes by batch here."""

    def notice(self, line: str) -> None:
        """Nobody reads it."""

    def put(self, answer: Answer) -> Future[None]:
        """Take an answer as a ledger does: it is durable at once."""
        return self.store([answer])

    def store(self, answers: Sequence[Answer]) -> Future[None]:
        """The same of several."""
        self.answers.extend(answers)
        stored: Future[None] = Future()
        stored.set_result(None)
        return stored

    def flush(self) -> None:
        """Everything is durable already."""


def dispatch(of: Model, count: int = 1) -> tuple[list[Failure], Seen]:
    """What failed, and what was seen, of that many requests."""
    seen = Seen()

    async def run() -> dict[str, Failure]:
        return await live.dispatch([(of, trials(of, count))], seen, seen, Stop())

    with asyncio.Runner(loop_factory=live.new_loop) as runner:
        return list(runner.run(run()).values()), seen


def served(provider: str) -> str:
    """The path below a server's address at which a provider's API is asked for."""
    return "/v1" if provider in ("openai", "mistral") else ""


# ---- only from whom was asked ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize("provider", REPLIES)
def test_a_key_follows_no_redirect(provider: str, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither key nor prompt goes to the host that a redirect names, nor is its reply taken; the setting is named."""
    monkeypatch.setenv("ONE_HOST_API_KEY", KEY)
    good = json.dumps(REPLIES[provider]).encode()
    with RawServer(lambda _: answer(good)) as other:
        away = answer(b"", f"Location: {other.url}/elsewhere", status=status)
        with RawServer(lambda _: away) as asked:
            failures, seen = dispatch(model(asked.url + served(provider), provider, key_env="ONE_HOST_API_KEY"))
    assert not other.asked
    assert len(asked.asked) == 1
    assert KEY in str(asked.asked[0].headers)
    assert seen.answers == []
    (failure,) = failures
    assert failure.problem.kind == "redirected"
    for said in (asked.url, f"{other.url}/elsewhere", "model.m.api_base"):
        assert said in failure.problem.message


def test_a_redirect_stops_its_model() -> None:
    """A host that redirects everything is asked a few times, not once for each trial."""
    with RawServer(lambda _: answer(b"", "Location: /v2", status="308 Permanent")) as asked:
        failures, _ = dispatch(model(f"{asked.url}/v1", limits=replace(ONCE, concurrency=1)), 40)
    assert len(failures) == 40
    assert len(asked.asked) == 3


# ---- whole -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arrival:
    """An answer's bytes, and the failure that they are; None where they are an answer."""

    id: str
    sent: bytes
    kind: str | None
    said: str = ""
    waits: int = 0
    """How often it is asked for again, where it may be."""


def chunked(*parts: bytes, end: bool = True) -> bytes:
    sized = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + sized + (b"0\r\n\r\n" if end else b"")


PACKED = gzip.compress(GOOD)
DEFLATED = zlib.compress(GOOD)
RAW_DEFLATED = DEFLATED[2:-4]
GZIP = "Content-Encoding: gzip"
BOMB = gzip.compress(b'{"a": "' + b" " * 64 * 2**20)
LATIN = json.dumps(chat("é" * 50), ensure_ascii=False).encode("latin-1")
ARRIVALS = (
    Arrival("plain", answer(GOOD), None),
    Arrival("gzip", answer(PACKED, GZIP), None),
    Arrival("gzip in two members", answer(gzip.compress(GOOD[:9]) + gzip.compress(GOOD[9:]), GZIP), None),
    Arrival("x-gzip with padding", answer(PACKED + b"\0" * 9, "Content-Encoding: X-GZIP"), None),
    Arrival("deflate", answer(DEFLATED, "Content-Encoding: deflate"), None),
    Arrival("deflate without its header", answer(RAW_DEFLATED, "Content-Encoding: deflate"), None),
    Arrival("in pieces", chunked(GOOD[:7], GOOD[7:]), None),
    Arrival("HTTP/1.0 to its end", b"HTTP/1.0 200 OK\r\n\r\n" + GOOD, None),
    Arrival("201", answer(GOOD, status="201 Created"), None),
    Arrival("202", answer(GOOD, status="202 Accepted"), None),
    Arrival("206", answer(GOOD, status="206 Partial Content"), None),
    Arrival("Latin-1, and said so", answer(LATIN, "Content-Type: application/json; charset=ISO-8859-1"), None),
    Arrival("UTF-8, and said to be Latin-1", answer(GOOD, "Content-Type: application/json; charset=latin1"), None),
    Arrival("204", b"HTTP/1.1 204 No Content\r\n\r\n", "connection", "empty", 1),
    Arrival("202 that takes it for later", answer(b'{"id": "job-1"}', status="202 Accepted"), "not_a_reply", "job-1"),
    Arrival("gzip cut", answer(PACKED[:-20], GZIP), "connection", "cut short", 1),
    Arrival("gzip without its checksum", answer(PACKED[:-8], GZIP), "connection", "cut short", 1),
    Arrival("deflate cut", answer(DEFLATED[:-9], "Content-Encoding: deflate"), "connection", "cut short", 1),
    Arrival("gzip damaged", answer(PACKED[:60] + b"\xff" * 30 + PACKED[90:], GZIP), "connection", "", 1),
    Arrival("shorter than said", answer(GOOD, length=len(GOOD) + 5), "connection", "", 1),
    Arrival("HTTP/1.0 cut", b"HTTP/1.0 200 OK\r\n\r\n" + GOOD[:-9], "connection", "cut short", 1),
    Arrival("pieces without an end", chunked(GOOD, end=False), "connection", "", 1),
    Arrival("JSON cut inside its length", answer(GOOD[:200]), "connection", "cut short", 1),
    Arrival("no answer at all", b"", "connection", "", 1),
    Arrival("no HTTP", b"SSH-2.0-OpenSSH\r\n\r\n", "connection", "", 1),
    Arrival("gzip that is none", answer(GOOD, GZIP), "not_a_reply", "is said to be packed as gzip"),
    Arrival("br", answer(GOOD, "Content-Encoding: br"), "not_a_reply", "'br'"),
    Arrival("zstd", answer(GOOD, "Content-Encoding: zstd"), "not_a_reply", "'zstd'"),
    Arrival("an encoding of nobody's", answer(GOOD, "Content-Encoding: x-own"), "not_a_reply", "'x-own'"),
    Arrival("a charset of nobody's", answer(LATIN, "Content-Type: a/b; charset=x-own"), "not_a_reply", "'x-own'"),
    Arrival("a wrong charset", answer(LATIN, "Content-Type: a/b; charset=ascii"), None),
    Arrival("a wrong charset of two bytes", answer(LATIN[1:], "Content-Type: a/b; charset=utf-16"), "not_a_reply"),
    Arrival("a page", answer(b"<html>Sign in</html>", "Content-Type: text/html"), "not_a_reply", "model.m.api_base"),
    Arrival("an error in a 200", answer(b'{"error": {"message": "no", "code": 503}}'), "server", "no", 1),
    Arrival("gzip that grows beyond measure", answer(BOMB, GZIP), "reply_too_large", "limits.max_reply_bytes"),
    Arrival("too long by its header", answer(b"{", length=2**40), "reply_too_large"),
    Arrival("a refusal nested deep", answer(b"[" * 100_000, status="400 Bad Request"), "bad_request"),
    Arrival("a refusal with a deep object", answer(b'{"error":' * 50_000, status="429 Slow"), "rate_limit", "", 1),
    Arrival("a refusal that is packed", answer(gzip.compress(b"no"), GZIP, status="400 Bad"), "bad_request", "no"),
    Arrival("a refusal packed wrongly", answer(b"no", GZIP, status="400 Bad"), "bad_request", "no"),
)


@pytest.mark.parametrize("case", ARRIVALS, ids=lambda case: case.id)
def test_what_arrives(case: Arrival) -> None:
    """A whole reply is an answer; anything less is a failure of its trial, tried again only where that may help."""
    with RawServer(lambda _: case.sent) as server:
        tried = replace(ONCE, attempts=2) if case.waits else replace(ONCE, attempts=9)
        failures, seen = dispatch(model(f"{server.url}/v1", limits=tried))
    assert len(server.asked) == 1 + case.waits
    assert [failure.problem.kind for failure in failures] == ([] if case.kind is None else [case.kind])
    assert len(seen.answers) == (case.kind is None)
    assert all(case.said in failure.problem.message for failure in failures)
    codec = codec_for(model(server.url), None)
    assert all(codec.decode(answer.raw, "prompt").finish == "stop" for answer in seen.answers)


def endless(asked: Asked) -> Iterable[bytes]:
    """A reply that begins well, and has no end."""
    if b"text 0" not in asked.body:
        yield answer(GOOD)
        return
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"10000\r\n" + b" " * 2**16 + b"\r\n"


def test_an_endless_reply_fails_alone() -> None:
    """A reply without an end is given up at its limit, in little memory; the trials beside it are answered."""
    with RawServer(endless) as server:
        limits = replace(ONCE, concurrency=2, max_reply_bytes=2**20)
        tracemalloc.start()
        failures, seen = dispatch(model(f"{server.url}/v1", limits=limits), 12)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert [failure.problem.kind for failure in failures] == ["reply_too_large"]
    assert len(seen.answers) == 11
    assert server.sent_bytes < 16 * 2**20
    assert most < 24 * 2**20


def test_many_replies_beyond_the_limit_do_not_stop_their_model() -> None:
    """Size says nothing about the replies that follow: each fails by itself."""

    def some(asked: Asked) -> bytes:
        return answer(GOOD if asked.body.count(b"text 1") else b" " * 5_000)

    with RawServer(some) as server:
        limits = replace(ONCE, concurrency=1, max_reply_bytes=4_000)
        failures, seen = dispatch(model(f"{server.url}/v1", limits=limits), 20)
    assert len(seen.answers) == 11
    assert {failure.problem.kind for failure in failures} == {"reply_too_large"}


@pytest.mark.parametrize(
    "head",
    [b"X: " + b"y" * 2**20, b"\r\n".join(b"X-%d: y" % n for n in range(40_000)), b"X: \0\x01", b": y", b"\xff: \xff"],
    ids=["one long", "many", "control characters", "no name", "no ASCII"],
)
def test_odd_headers_fail_one_trial(head: bytes) -> None:
    """Headers of any size or content cost at most their own trial."""
    with RawServer(
        lambda asked: b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" if b"text 0" in asked.body else answer(GOOD)
    ) as server:
        failures, seen = dispatch(model(f"{server.url}/v1"), 4)
    assert len(failures) <= 1
    assert len(failures) + len(seen.answers) == 4


def test_a_head_without_an_end() -> None:
    """A server that sends header lines for ever is given up."""

    def lines(_: Asked) -> Iterable[bytes]:
        yield b"HTTP/1.1 200 OK\r\n"
        while True:
            yield b"X: " + b"y" * 1_000 + b"\r\n"

    with RawServer(lines) as server:
        failures, _ = dispatch(model(f"{server.url}/v1", limits=replace(ONCE, timeout_s=3.0)))
    assert [failure.problem.kind for failure in failures] in (["connection"], ["timeout"])


# ---- not an answer ---------------------------------------------------------------------------------------------------


def test_pages_stop_their_model() -> None:
    """A page in place of every reply is not asked for again and again: after a few the model stops, nothing is kept."""
    with RawServer(lambda _: answer(b"<html>Sign in</html>")) as server:
        failures, seen = dispatch(model(server.url, limits=replace(ONCE, concurrency=1, attempts=9)), 30)
    assert len(server.asked) == 3
    assert seen.answers == []
    assert {failure.problem.kind for failure in failures} == {"not_a_reply", "stopped"}
    first = failures[0].problem.message
    assert "Sign in" in first
    assert "model.m.api_base=" in first
    assert "/v1" in first


@pytest.mark.parametrize("provider", REPLIES)
def test_trouble_told_in_a_200_is_tried_again(provider: str) -> None:
    """A gateway that is busy, and says so with status 200, is asked again, and its reply kept once."""
    busy = [b'{"error": {"message": "over its limit", "code": 429}}', b'{"error": "overloaded"}']
    with RawServer(lambda _: answer(busy.pop() if busy else json.dumps(REPLIES[provider]).encode())) as server:
        failures, seen = dispatch(model(server.url + served(provider), provider, limits=replace(ONCE, attempts=4)))
    assert failures == []
    assert [json.loads(found.raw) for found in seen.answers] == [REPLIES[provider]]
    assert seen.waits == ["server", "rate_limit"]
    assert seen.answers[0].attempts == 3
