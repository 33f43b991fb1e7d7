"""Models that only `litellm.acompletion` reaches, with the body taken as it arrives: before LiteLLM decodes it.

A paid reply is kept whatever LiteLLM's decoder makes of it, a redirect is not followed, the size is bounded, and a
refusal is read from the provider's own words. Only LiteLLM's requests are looked at, and only while one of ours is on
its way: whatever else of this process speaks through httpx stays as it is. A trial is one request: what LiteLLM would
ask beside it, of a server or of a hub, about what a model can do, it is kept from asking (`translation.prepare`).
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from runner import fastjson
from runner.errors import FatalError, ProviderError, TransientError
from runner.providers import identity, usage
from runner.providers.body import REFUSAL_BYTES, too_large
from runner.providers.network import Way, trouble_with, way_to
from runner.providers.received import accept, accept_any, parsed, spoken_in
from runner.providers.received import redirected as redirected_to
from runner.providers.reply import error_of, object_in, read_chat
from runner.providers.translation import prepare
from runner.records import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.records import Json, Model, Request, Rung

MOST_CAUSES = 10
RECEIVED = "received"
"""Field of a stored reply that holds the provider's body as it came; beside it stands what LiteLLM made of it."""


@dataclass(slots=True)
class Exchange:
    """What LiteLLM's last request got, where it has got that far."""

    max_bytes: int
    setting: str
    """What is set to ask another address."""
    began: bool = False
    raw: bytes | None = None
    status: int | None = None
    headers: dict[str, str] | None = None
    error: ProviderError | None = None
    """Why the answer was not taken, or the request not sent."""
    way: Way = field(default_factory=Way)


_EXCHANGE: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


@dataclass(frozen=True, slots=True)
class Fallback:
    """A model that only `litellm.acompletion` reaches: signed requests, token exchange, unusual formats.

    Here, and only here, LiteLLM finds credentials by its own rules where the model has no key of its own.
    """

    model: Model
    api_key: str | None

    async def complete(self, request: Request, timeout_s: float) -> bytes:
        """One attempt: a chat completion's JSON as LiteLLM reads the reply, with the reply itself as `received`.

        `timeout_s`: seconds for all of it. ProviderError as any other exchange. A reply that LiteLLM cannot read is
        given all the same: it is paid for.
        """
        litellm = prepare()
        with _watched(Exchange(self.model.limits.max_reply_bytes, f"model.{self.model.name}.api_base")) as exchange:
            try:
                response = await litellm.acompletion(
                    model=f"{self.model.provider}/{request.model_id}",
                    messages=[dict(message) for message in request.messages],
                    api_key=self.api_key,
                    api_base=self.model.api_base,
                    timeout=timeout_s,
                    max_retries=0,
                    num_retries=0,
                    drop_params=False,
                    # Given tools, LiteLLM otherwise imports a package that this program does not install.
                    _skip_mcp_handler=True,
                    **request.params,
                )
                chat = response.model_dump(mode="json")
            except Exception as error:
                if (raw := _paid(exchange)) is not None:
                    return _as_it_came(raw)
                raise _failure(litellm, error, exchange) from error
        # LiteLLM makes a reply of its own of some refusals.
        if exchange.error is not None or (exchange.status or 200) >= 300:
            raise _failure(litellm, None, exchange)
        return _kept(chat, exchange.raw)

    def check(self, raw: bytes) -> None:
        """As Codec.check."""
        body = _unread(raw) or accept(raw, "chat")
        identity.check(self.model, object_in(body.get(RECEIVED)) or body)

    def decode(self, raw: bytes, rung: Rung) -> Reply:
        """As Codec.decode; of a reply that LiteLLM could not read, the words alone.

        What was used is read in the provider's own body, where it was kept: LiteLLM counts by itself, or writes zeros,
        where the provider has not counted.
        """
        if (received := _unread(raw)) is not None:
            used = usage.read(usage.usage_in(received))
            return Reply(text=spoken_in(received), finish=None, tokens=used.tokens, cost_usd=used.cost_usd)
        body = accept(raw, "chat")
        if received := object_in(body.get(RECEIVED)):
            said = {"service_tier": received.get("service_tier"), "searched": usage.searched_in(received)}
            body = {**body, "usage": usage.usage_in(received), **said}
        return read_chat(body, rung)


def _unread(raw: bytes) -> Mapping[str, Json] | None:
    """The provider's body in what was kept of a reply that LiteLLM could not read; None of any other."""
    try:
        body = object_in(parsed(raw))
    except (ValueError, RecursionError):
        return None
    return object_in(body.get(RECEIVED)) or None if "choices" not in body else None


def _paid(exchange: Exchange) -> bytes | None:
    """The body of an answer that came whole."""
    came = exchange.error is None and exchange.status is not None and exchange.status < 300
    return exchange.raw if came else None


def _as_it_came(raw: bytes) -> bytes:
    """A reply that LiteLLM stumbled over, as it is kept; ProviderError where it is none."""
    body = accept_any(raw)
    return raw if "choices" in body else fastjson.dumps({RECEIVED: body})


def _kept(chat: dict[str, Json], raw: bytes | None) -> bytes:
    """What LiteLLM made of a reply, and the reply; ProviderError where there was no reply to make it of."""
    if raw is None:
        return fastjson.dumps(chat)
    message = object_in(chat["choices"][0]["message"]) if chat.get("choices") else {}
    has_words = bool(message.get("content") or message.get("tool_calls"))
    body = accept_any(raw, is_read=has_words)
    if "choices" in body and not isinstance(body.get("usage"), dict):
        chat["usage"] = None  # LiteLLM counts by itself what the provider has not counted
    return fastjson.dumps({**chat, RECEIVED: body})


# ---- what LiteLLM's requests get -------------------------------------------------------------------------------------


@contextmanager
def _watched(exchange: Exchange) -> Iterator[Exchange]:
    _take_over()
    token = _EXCHANGE.set(exchange)
    try:
        yield exchange
    finally:
        _EXCHANGE.reset(token)


@cache
def _take_over() -> None:
    """Have each request that LiteLLM sends through httpx, the OpenAI SDK's among them, pass through `_sent`."""
    import httpx

    plain = httpx.AsyncClient.send

    async def send(self: Any, request: Any, **options: Any) -> Any:
        exchange = _EXCHANGE.get()
        if exchange is None:
            return await plain(self, request, **options)
        exchange.began, exchange.raw, exchange.status = True, None, None
        _lead(self, request.url, exchange)
        response = await plain(self, request, **{**options, "stream": True, "follow_redirects": False})
        try:
            return await _taken(response, request, exchange)
        finally:
            await response.aclose()

    httpx.AsyncClient.send = send  # type: ignore[method-assign]


def _lead(client: Any, url: Any, exchange: Exchange) -> None:
    """Have LiteLLM's transport take the way that every other request of ours takes.

    By its own rules it asks loopback through a proxy too, takes no port and no CIDR in NO_PROXY, and of certificates
    SSL_CERT_FILE alone.
    """
    try:
        exchange.way = way_to(str(url))
    except ProviderError as error:
        exchange.error = error
        raise
    transport = client._transport  # noqa: SLF001  its only name
    if hasattr(transport, "proxy_cache"):
        transport.proxy_cache[url.host] = None if exchange.way.entered is None else str(exchange.way.entered)
        if exchange.way.trusted is not None:
            transport._ssl_verify = exchange.way.trusted  # noqa: SLF001


async def _taken(response: Any, request: Any, exchange: Exchange) -> Any:
    """A response with its body read, held to its limit."""
    import httpx

    if 300 <= response.status_code < 400:
        asked = str(request.url.copy_with(userinfo=b"", query=None))
        exchange.error = redirected_to(response.status_code, response.headers, asked, exchange.setting)
        raise exchange.error
    is_refusal = response.status_code >= 400
    body = bytearray()
    async for block in response.aiter_bytes():
        body += block
        if len(body) > (REFUSAL_BYTES if is_refusal else exchange.max_bytes):
            if is_refusal:
                break
            exchange.error = too_large(exchange.max_bytes)
            raise exchange.error
    raw = bytes(body)
    exchange.raw, exchange.status, exchange.headers = raw, response.status_code, dict(response.headers)
    packed = {"content-encoding", "content-length", "transfer-encoding"}
    headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in packed]
    return httpx.Response(response.status_code, headers=headers, content=raw, request=request)


def _failure(litellm: Any, error: Exception | None, exchange: Exchange) -> ProviderError:
    """The provider's own refusal where one came, else LiteLLM's exception by what it says."""
    if exchange.error is not None:
        return exchange.error
    if exchange.status is not None and exchange.raw is not None and exchange.status >= 300:
        return error_of(exchange.status, exchange.headers or {}, exchange.raw)
    if (lost := lost_connection(error)) is not None and (trouble := trouble_with(exchange.way, lost)) is not None:
        return trouble
    if isinstance(error, litellm.Timeout):
        return TransientError("timeout", str(error))
    if exchange.began or _is_of_the_network(error):
        return TransientError("connection", str(error))
    # Nothing was sent: what LiteLLM lacks or refuses, it will lack again. The status that it gives is made up.
    kind = "key_refused" if _lacks_credentials(litellm, error) else "bad_request"
    return FatalError(kind, f"LiteLLM cannot send this request: {str(error).partition(chr(10))[0]}")


def _lacks_credentials(litellm: Any, error: Exception | None) -> bool:
    said = str(error).lower()
    return isinstance(error, litellm.AuthenticationError) or any(
        word in said for word in ("credential", "api key", "api_key", "access token", "profile")
    )


def lost_connection(error: BaseException | None) -> Exception | None:
    """What the connection broke or never stood for, among an exception's causes; None of any other exception."""
    import aiohttp

    return next((cause for cause in _causes(error) if isinstance(cause, aiohttp.ClientError)), None)


def _is_of_the_network(error: BaseException | None) -> bool:
    """Whether a lost or refused connection is among an exception's causes: of a token's exchange, say."""
    files = FileNotFoundError | PermissionError
    return any(isinstance(cause, OSError | TimeoutError) and not isinstance(cause, files) for cause in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(MOST_CAUSES):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
