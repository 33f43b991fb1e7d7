"""One attempt at one request, over HTTP or through LiteLLM: bytes out, bytes and headers back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from runner import fastjson
from runner.dispatch.rate_limits import Amount
from runner.dispatch.unreachable import connection_error
from runner.errors import TransientError
from runner.providers.codec import Codec, Fallback, error_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import aiohttp

    from runner.records import Adapted, Limits, Model

    Send: TypeAlias = Callable[["Wire"], Awaitable[tuple[bytes, Mapping[str, str]]]]

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
    """How one attempt is made: the request out, the reply's bytes and headers back, else a ProviderError."""
    import aiohttp
    from yarl import URL

    limits = model.limits
    if isinstance(codec, Fallback):

        async def complete(wire: Wire) -> tuple[bytes, Mapping[str, str]]:
            return await codec.complete(wire.adapted.request, limits.timeout_s), {}

        return complete
    url, headers = URL(codec.url), codec.headers
    timeout = aiohttp.ClientTimeout(
        total=limits.timeout_s, sock_connect=limits.connect_timeout_s, sock_read=limits.first_byte_timeout_s
    )

    async def post(wire: Wire) -> tuple[bytes, Mapping[str, str]]:
        try:
            async with session.post(url, data=wire.body, headers=headers, timeout=timeout) as response:
                raw = await response.read()
        except TimeoutError as error:
            raise TransientError("timeout", f"{_late(error, limits)} from {codec.url}") from error
        except (aiohttp.ClientError, UnicodeError) as error:  # UnicodeError: the name of a host that none can have
            raise connection_error(error, url, f"model.{model.name}.api_base") from error
        if response.status == 200:
            if raw.strip():
                return raw, response.headers
            # Providers that keep a busy connection open with empty lines may end it with nothing else.
            raise TransientError("connection", f"an empty reply from {codec.url}")
        raise error_of(response.status, response.headers, raw)

    return post


def _late(error: TimeoutError, limits: Limits) -> str:
    """Which of the time-outs it was."""
    import aiohttp

    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"no connection within {limits.connect_timeout_s:g} s (limits.connect_timeout_s)"
    if isinstance(error, aiohttp.SocketTimeoutError):
        return f"no byte for {limits.first_byte_timeout_s:g} s (limits.first_byte_timeout_s)"
    return f"no reply within {limits.timeout_s:g} s (limits.timeout_s)"
