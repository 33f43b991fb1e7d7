"""Proxies and bundles of certificates that the environment names."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest
from dispatching import Watching, dispatch, model
from stand_in import StandIn, told

from runner.errors import TransientError
from runner.providers.batch.http import ask
from runner.providers.network import Way, way_to

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
CHAT = {"id": "c", "object": "chat.completion", "model": "m", "choices": [
    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}]}  # fmt: skip


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_loopback_and_no_proxy_go_straight(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine, and what NO_PROXY names, is asked without the proxy."""
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", ".example.org,10.0.0.0/8")
    for url in (
        "http://127.0.0.1:1/",
        "http://localhost/",
        "http://[::1]/",
        "https://a.example.org/",
        "http://10.1.1.1/",
    ):
        assert way_to(url) == Way()
    assert str(way_to("https://example.com/").proxy) == "http://127.0.0.1:9"


def test_a_bundle_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that names no file of certificates is told by its name."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    with pytest.raises(TransientError, match=r"REQUESTS_CA_BUNDLE=/nowhere/ca\.pem"):
        way_to("https://example.com/")
