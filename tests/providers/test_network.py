"""Proxies and bundles of certificates that the environment names."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from dispatching import Watching, dispatch, model, trials
from stand_in import StandIn, told
from tls_tunnel import Tunnel, certified

from runner.dispatch import live
from runner.errors import TransientError
from runner.providers.batch.http import ask, lines
from runner.providers.listing import check
from runner.providers.network import Way, for_libraries, way_to

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from runner.records import Failure, Model

HOST = "llm.example.invalid"
NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
CHAT = {"id": "c", "object": "chat.completion", "model": "m", "choices": [
    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}]}  # fmt: skip


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_A_TEST_API_KEY", "k")
    for name in (*NAMES, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def _got(url: str) -> object:
    async with aiohttp.ClientSession() as http:
        return await ask(http, "GET", url)


def test_live_and_batch_calls_go_through_the_proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each call for a host beyond this machine reaches the proxy, with its login and nothing of ~/.netrc."""
    (tmp_path / "netrc").write_text("machine llm.example.invalid login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with StandIn(lambda _: told(CHAT)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//u:p@"))
        assert dispatch(Watching(), (model("http://llm.example.invalid/v1"), 1)) == {}
        assert asyncio.run(_got("http://llm.example.invalid/x")) == CHAT
    assert [one.path for one in proxy.asked] == [
        "http://llm.example.invalid/v1/chat/completions", "http://llm.example.invalid/x"]  # fmt: skip
    assert all(one.headers["proxy-authorization"] == "Basic dTpw" for one in proxy.asked)
    assert all("authorization" not in one.headers for one in proxy.asked)


def test_https_shows_a_proxy_no_key_and_its_refusal_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy for https gets CONNECT alone; where it refuses, the error names it."""
    with StandIn(lambda _: told({}, 407)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(TransientError, match=f"the proxy {proxy.url}.*407"):
            asyncio.run(_got("https://llm.example.invalid/x"))
    assert {(one.method, "authorization" in one.headers) for one in proxy.asked} == {("CONNECT", False)}


@dataclass(frozen=True)
class Straight:
    """An entry of NO_PROXY, addresses that it names, and one that it does not."""

    entry: str
    named: tuple[str, ...]
    other: str


STRAIGHT = (
    Straight("", ("http://127.0.0.1:1/", "http://localhost/", "http://[::1]:8000/v1"), "https://example.com/"),
    Straight(".example.org", ("https://a.example.org/", "http://a.b.example.org:8000/"), "https://example.com/"),
    Straight("a.org , b.org", ("https://a.org/", "https://x.b.org/"), "https://c.org/"),
    Straight("llm.lab:8000", ("http://llm.lab:8000/v1",), "http://llm.lab:8001/v1"),
    Straight("llm.lab:443", ("https://llm.lab/v1",), "http://llm.lab/v1"),
    Straight("10.0.0.0/8", ("http://10.1.1.1/",), "http://11.1.1.1/"),
    Straight("fd00::/8", ("http://[fd00::7]:8000/v1",), "http://[fe00::7]:8000/v1"),
    Straight("2001:db8::1", ("http://[2001:db8::1]/v1",), "http://[2001:db8::2]/v1"),
    Straight("192.168.7.7", ("http://192.168.7.7:11434/",), "http://192.168.7.8:11434/"),
)


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("case", STRAIGHT, ids=lambda case: case.entry or "this machine")
def test_loopback_and_no_proxy_go_straight(case: Straight, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine, and what NO_PROXY names by name, port, number or network, is asked without the proxy."""
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv(name, case.entry)
    assert [way_to(url) for url in case.named] == [Way()] * len(case.named)
    assert str(way_to(case.other).proxy) == "http://127.0.0.1:9"


def test_a_star_sends_all_straight(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY=* asks no proxy at all."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "*")
    assert way_to("https://example.com/") == Way()


def test_a_bundle_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that names no file of certificates is told by its name."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    with pytest.raises(TransientError, match=r"REQUESTS_CA_BUNDLE=/nowhere/ca\.pem"):
        way_to("https://example.com/")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """An authority that only this module trusts, and a server's certificate by it."""
    return certified(tmp_path_factory.mktemp("authority"), HOST)


@pytest.fixture
def tunnel(authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> Iterator[Tunnel]:
    """HTTPS_PROXY names a proxy that needs a login; behind it a server that speaks https alone."""
    answers = {"/v1/models": {"object": "list", "data": [{"id": "m", "object": "model"}]}}
    serving = StandIn(lambda asked: told(answers.get(asked.path, CHAT)), tls=authority[1])
    with serving as server, Tunnel(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//u:p@"))
        yield proxy


def _asked_for(way: str) -> Any:
    """What one of the sessions gets of the server behind the proxy."""
    base = f"https://{HOST}/v1"
    if way == "batch":
        return asyncio.run(_got(f"{base}/batches"))
    if way == "batch's lines":
        return asyncio.run(_lines(f"{base}/files/1/content"))
    if way == "listing":
        return [one.state for one in check([model(base)], {})]
    seen = Watching()
    failed = _dispatched(seen, replace(model(base), provider="openai" if way == "live" else way))
    return len(seen.answers), [failure.problem.message for failure in failed.values()]


def _dispatched(seen: Watching, to: Model) -> dict[str, Failure]:
    """Two trials, on asyncio's own loop: LiteLLM leaves sessions open, at which uvloop's close trips over a warning."""
    once = replace(to, limits=replace(to.limits, attempts=1), key_env="OF_A_TEST_API_KEY")
    return asyncio.run(live.dispatch([(once, trials(once, 2))], seen, seen, seen.stop))


async def _lines(url: str) -> list[bytes]:
    async with aiohttp.ClientSession() as http:
        return [bytes(line) async for line in lines(http, url, 10_000)]


SESSIONS: dict[str, object] = {
    "live": (2, []),
    "hosted_vllm": (2, []),
    "perplexity": (2, []),
    "batch": CHAT,
    "batch's lines": [json.dumps(CHAT).encode()],
    "listing": ["listed"],
}


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("way", SESSIONS)
def test_every_session_speaks_tls_through_a_proxy(
    way: str, variable: str, tunnel: Tunnel, authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live, by batch, for a list and through LiteLLM, https goes by CONNECT and trusts the authority that is named."""
    monkeypatch.setenv(variable, str(authority[0]))
    assert _asked_for(way) == SESSIONS[way]
    assert tunnel.asked
    for head in tunnel.asked:
        assert head.startswith(f"CONNECT {HOST}:443 ")
        assert "Proxy-Authorization: Basic dTpw" in head


@pytest.mark.parametrize("way", ["live", "hosted_vllm", "perplexity"])
def test_an_authority_that_nobody_names_is_not_trusted(way: str, tunnel: Tunnel) -> None:
    """Without its bundle the server's certificate is refused, in words that say what to set."""
    del tunnel
    count, messages = _asked_for(way)
    assert count == 0
    assert all(f"the certificate of {HOST}:443 is not trusted" in said and "SSL_CERT_FILE" in said for said in messages)


@pytest.mark.parametrize("way", ["hosted_vllm", "perplexity", "ollama_chat"])
def test_litellm_asks_loopback_without_the_proxy(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model served on this machine through LiteLLM is asked directly, whatever proxy the environment names."""
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    ollama = {"model": "m", "message": {"role": "assistant", "content": "x"}, "done": True, "done_reason": "stop"}
    with StandIn(lambda asked: told(ollama if asked.path == "/api/chat" else CHAT)) as server:
        base = server.url if way == "ollama_chat" else f"{server.url}/v1"
        seen = Watching()
        assert _dispatched(seen, replace(model(base), provider=way)) == {}


@pytest.mark.parametrize("way", ["hosted_vllm", "perplexity"])
def test_a_proxy_that_fails_litellm_is_named(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through LiteLLM too, a proxy that refuses or is away is named, with what to do, after few attempts."""
    with StandIn(lambda _: told({}, 407)) as refusing:
        for proxy, why in ((refusing.url, "refuses to connect: 407"), ("http://127.0.0.1:9", "cannot be reached")):
            monkeypatch.setenv("HTTPS_PROXY", proxy)
            count, messages = _asked_for(way)
            assert count == 0
            assert all(f"the proxy {proxy} {why}" in said and "HTTPS_PROXY" in said for said in messages)


def test_libraries_with_sessions_of_their_own_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads another variable of certificates finds the bundle there, and no loopback is asked through a proxy."""
    assert for_libraries() == {}
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    assert for_libraries() == {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    assert for_libraries() == {}  # a folder: SSL_CERT_FILE takes none
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "a.org, localhost")
    straight = "a.org,localhost,127.0.0.1,::1"
    assert for_libraries() == {
        "REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem"),
        "NO_PROXY": straight,
        "no_proxy": straight,
    }
