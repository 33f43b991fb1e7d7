"""A request -> the bytes that a provider takes, and its bytes -> a Reply; the same bytes live and in a batch line.

services.SERVICES has the providers that are spoken to directly. Any other is reached through `litellm.acompletion`
(Fallback).
tests/contract holds what is sent against what LiteLLM itself would send.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner import fastjson
from runner.config.pricing import price_of
from runner.errors import FatalError, ProviderError, TransientError
from runner.providers.received import accept
from runner.providers.reply import error_of, read_chat
from runner.providers.services import SERVICES, base_of, gemini_base
from runner.providers.translation import Anthropic, Chat, ChatVariant, Gemini, Translation, config_of, prepare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Answer, Model, Reply, Request, Rung, Trial

__all__ = ["Codec", "Fallback", "codec_for", "error_of", "prepare"]

NO_KEY = "no-key"
"""Stands for an absent key while LiteLLM makes the headers: given none, it would look for one in the environment."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One model's wire format, made once and used for every request."""

    url: str
    headers: Mapping[str, str]
    translation: Translation

    def encode(self, request: Request) -> bytes:
        """The JSON body: equal requests give equal bytes. FatalError (bad_request) where the format cannot hold it."""
        return fastjson.dumps(self.translation.body(request))

    def check(self, raw: bytes) -> None:
        """ProviderError where a body is no answer of this API; see received.accept.

        To be asked before a body is kept as bought, be it a live reply's or one in a batch's line.
        """
        accept(raw, self.translation.dialect)

    def decode(self, raw: bytes, rung: Rung) -> Reply:
        """A reply's body, read. ProviderError where it is no reply of this provider."""
        return read_chat(self.translation.chat(raw), rung)


@dataclass(frozen=True, slots=True)
class Fallback:
    """A model that only `litellm.acompletion` reaches: signed requests, token exchange, unusual formats.

    Here, and only here, LiteLLM finds credentials by its own rules where the model has no key of its own.
    """

    model: Model
    api_key: str | None

    async def complete(self, request: Request, timeout_s: float) -> bytes:
        """One attempt; the reply as a chat completion's JSON. Raises ProviderError as any other exchange does."""
        litellm = prepare()
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
        except Exception as error:
            raise _provider_error(litellm, error) from error
        return fastjson.dumps(response.model_dump(mode="json"))

    def check(self, raw: bytes) -> None:
        """As Codec.check."""
        accept(raw, "chat")

    def decode(self, raw: bytes, rung: Rung) -> Reply:
        """As Codec.decode."""
        return read_chat(accept(raw, "chat"), rung)


def codec_for(model: Model, api_key: str | None) -> Codec | Fallback:
    """How to speak with a model; without a key it still encodes and decodes. Reads no key from the environment.

    Seconds for the first model that needs LiteLLM (see translation.prepare), then well under a millisecond.
    """
    service = SERVICES.get(model.provider)
    if service is None or (model.provider == "vertex_ai" and model.api_base is None):
        return Fallback(model, api_key)
    base = base_of(model.provider, model.api_base)
    match service.format:
        case "chat":
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {api_key or NO_KEY}"}
            return Codec(_below(base, "/chat/completions"), _known(headers), Chat())
        case "chat_variant":
            config = config_of(model.provider, model.id)
            url = _below(base, "/chat/completions")
            return Codec(url, _headers(config, model, base, api_key), ChatVariant(model.provider, config))
        case "anthropic":
            config = config_of(model.provider, model.id)
            return Codec(_below(base, "/v1/messages"), _headers(config, model, base, api_key), Anthropic(config))
        case "gemini" if model.provider == "vertex_ai":
            return _vertex(model, base, api_key)
        case "gemini":
            return _gemini(model, base, api_key)


def _gemini(model: Model, base: str, api_key: str | None) -> Codec:
    url = f"{gemini_base(base)}/models/{model.id}:generateContent"
    headers = {"Content-Type": "application/json", "x-goog-api-key": api_key or NO_KEY}
    return Codec(url, _known(headers), Gemini(config_of(model.provider, model.id)))


def _vertex(model: Model, base: str, access_token: str | None) -> Codec:
    """Gemini's format at Vertex AI, below projects/PROJECT/locations/LOCATION, with an access token for a key."""
    url = f"{base}/publishers/google/models/{model.id}:generateContent"
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {access_token or NO_KEY}"}
    return Codec(url, _known(headers), Gemini(config_of("gemini", model.id)))


def _headers(config: Any, model: Model, base: str, api_key: str | None) -> Mapping[str, str]:
    """LiteLLM's headers, with the beta flags that the model's `extra` calls for (Anthropic)."""
    extra = dict(model.extra)
    headers = config.validate_environment(
        headers={},
        model=model.id,
        messages=[],
        optional_params=extra,
        litellm_params={},
        api_key=api_key or NO_KEY,
        api_base=base,
    )
    if model.provider == "anthropic":
        headers = config.update_headers_with_optional_anthropic_beta(headers, extra)
    return _known({"Content-Type": "application/json", **headers})


def _known(headers: Mapping[str, str]) -> dict[str, str]:
    """One spelling a header, and none that would carry the stand-in for a key."""
    spelt = {name.title(): value for name, value in headers.items()}
    return {name: value for name, value in spelt.items() if not value.endswith(NO_KEY)}


def _below(base: str, path: str) -> str:
    return base if base.endswith(path) else base + path


def _provider_error(litellm: Any, error: Exception) -> ProviderError:
    """LiteLLM's exceptions by the status that they carry; its time-outs and lost connections carry made-up ones."""
    if isinstance(error, litellm.Timeout):
        return TransientError("timeout", str(error))
    if isinstance(error, litellm.APIConnectionError):
        return TransientError("connection", str(error))
    status = getattr(error, "status_code", None)
    if not isinstance(status, int):
        return FatalError("bad_request", f"{type(error).__name__}: {error}")
    # LiteLLM keeps the provider's headers, and with them Retry-After, in a place of its own.
    headers = dict(getattr(error, "litellm_response_headers", None) or {})
    return error_of(status, headers, json.dumps({"error": {"message": str(error)}}).encode())


@dataclass(slots=True)
class Decoders:
    """A decoder for each model, made when it is first needed: decoding takes the provider's format alone."""

    made: dict[tuple[str, str, str], Codec | Fallback] = field(default_factory=dict)

    def decode(self, model: Model, raw: bytes, rung: Rung) -> Reply:
        """A reply's body, read. ProviderError where it is no reply of this provider."""
        format_of = (model.name, model.provider, model.id)
        if format_of not in self.made:
            self.made[format_of] = codec_for(model, None)
        return self.made[format_of].decode(raw, rung)

    def price(self, trial: Trial, answer: Answer) -> float | None:
        """US dollars of an answer; None where the price is unknown or the reply cannot be read."""
        try:
            reply = self.decode(trial.cell.model, answer.raw, trial.adapted.rung)
        except ProviderError:
            return None
        return price_of(reply.tokens, trial.cell.model, answer.route)
