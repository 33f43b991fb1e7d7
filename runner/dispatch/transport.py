"""One attempt at one request, over HTTP or through LiteLLM: bytes out, bytes and headers back."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from runner import fastjson
from runner.dispatch.rate_limits import Amount
from runner.dispatch.unreachable import connection_error
from runner.errors import FatalError, ProviderError, TransientError
from runner.providers.body import ENCODINGS, body_of, first_of
from runner.providers.codec import Codec, Fallback, error_of
from runner.providers.fallback import lost_connection
from runner.providers.network import trouble_with, way_to
from runner.providers.received import NOT_A_REPLY, redirected
from runner.providers.refusals import short

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    import aiohttp
    from yarl import URL

    from runner.providers.network import Way
    from runner.records import Adapted, Limits, Model

    Send: TypeAlias = Callable[["Wire"], Awaitable[tuple[bytes, Mapping[str, str]]]]

CONNECT_TIMEOUT_S = 10.0
"""Most seconds until a connection stands."""
HTTPS = 443
BYTES_A_TOKEN = 4
"""Of a request's body: as roughly as providers count before they have read it."""


@dataclass(frozen=True, slots=True)
class Wire:
    """What one request is on the wire; repetitions of a text share it."""

    adapted: Adapted
    body: bytes
    amount: Amount

    @classmethod
    def of(cls, adapted: Adapted, codec: Codec | Fallback) -> Wire:
        """FatalError (bad_request) where the provider's format cannot hold the request."""
        request = adapted.request
        body = codec.encode(request) if isinstance(codec, Codec) else fastjson.dumps(request.messages)
        longest = request.params.get("max_tokens") or request.params.get("max_completion_tokens") or 0
        return cls(adapted, body, Amount(1, len(body) / BYTES_A_TOKEN, longest))


def sender(codec: Codec | Fallback, session: aiohttp.ClientSession, model: Model) -> Send:
    """How one attempt is made: the request out, the bytes of an answer and its headers back, else a ProviderError.

    `session` is one of `new_session`. What arrives is held to `limits.max_reply_bytes` as it arrives, and is an answer
    of the API that was asked before it is handed on.
    """
    import aiohttp
    import yarl

    limits = model.limits
    if isinstance(codec, Fallback):

        async def complete(wire: Wire) -> tuple[bytes, Mapping[str, str]]:
            with _whatever_it_holds(), _placed(yarl.URL(model.api_base) if model.api_base else None, model):
                try:
                    return await codec.complete(wire.adapted.request, limits.timeout_s), {}
                except TransientError as error:
                    raise _explained(error, model) from error

        return complete
    url, headers = yarl.URL(codec.url), {"Accept-Encoding": ENCODINGS, **codec.headers}
    timeout = aiohttp.ClientTimeout(
        total=limits.timeout_s, sock_connect=CONNECT_TIMEOUT_S, sock_read=limits.first_byte_timeout_s
    )
    options: dict[str, Any] = {"headers": headers, "timeout": timeout, "allow_redirects": False}

    way: Way | None = None

    async def post(wire: Wire) -> tuple[bytes, Mapping[str, str]]:
        nonlocal way, options
        if way is None:  # once, and where an error of it is one attempt's
            way = way_to(url)
            options = {**options, **way.words}
        try:
            async with session.post(url, data=wire.body, **options) as response:
                with _placed(url, model):
                    taken = body_of(response, limits.max_reply_bytes) if response.status < 300 else first_of(response)
                    raw = await taken
        except TimeoutError as error:
            raise TransientError("timeout", f"{_late(error, limits)} from {codec.url}{way.said}") from error
        except (aiohttp.ClientError, UnicodeError) as error:  # UnicodeError: the name of a host that none can have
            trouble = trouble_with(way, error) or connection_error(error, url, f"model.{model.name}.api_base")
            raise trouble from error
        with _whatever_it_holds():
            if response.status >= 300:
                raise _refusal(response.status, response.headers, raw, url, model)
            with _placed(url, model):
                codec.check(raw)
        return raw, response.headers

    return post


def _explained(error: TransientError, model: Model) -> TransientError:
    """A connection that LiteLLM lost, in the words in which one of ours is told."""
    import aiohttp
    from yarl import URL

    lost = lost_connection(error)
    if error.kind != "connection" or error.advice or not isinstance(lost, aiohttp.ClientConnectorError):
        return error
    place = URL.build(scheme="https" if lost.port == HTTPS else "http", host=lost.host, port=lost.port)
    return connection_error(lost, place, f"model.{model.name}.api_base")


def new_session() -> aiohttp.ClientSession:
    """A session that keeps no cookies, has no limit of its own, and hands bodies over as they came."""
    import aiohttp

    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=300)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)


@contextmanager
def _whatever_it_holds() -> Iterator[None]:
    """One body, whatever it holds, fails its own request and no other."""
    try:
        yield
    except ProviderError:
        raise
    except Exception as error:
        raise FatalError("malformed", short(f"what came cannot be read: {type(error).__name__}: {error}")) from error


def _refusal(status: int, headers: Mapping[str, str], raw: bytes, url: URL, model: Model) -> ProviderError:
    if status < 400:
        return redirected(status, headers, str(url.with_user(None)), f"model.{model.name}.api_base")
    return error_of(status, headers, raw)


@contextmanager
def _placed(url: URL | None, model: Model) -> Iterator[None]:
    """Around what may be no reply: its error names the address that sent it, and the setting for that."""
    try:
        yield
    except FatalError as error:
        if error.kind != NOT_A_REPLY:
            raise
        asked = "" if url is None else f"{url.with_user(None)} was asked; "
        missing = url is not None and url.path in ("", "/", "/chat/completions", "/responses")
        advice = f"{asked}set model.{model.name}.api_base= to another address{', most end in /v1' if missing else ''}"
        raise FatalError(error.kind, f"{error} ({advice})", status=error.status) from error


def _late(error: TimeoutError, limits: Limits) -> str:
    """Which of the time-outs it was."""
    import aiohttp

    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"no connection within {CONNECT_TIMEOUT_S:g} s"
    if isinstance(error, aiohttp.SocketTimeoutError):
        return f"no byte for {limits.first_byte_timeout_s:g} s (limits.first_byte_timeout_s)"
    return f"no reply within {limits.timeout_s:g} s (limits.timeout_s)"
