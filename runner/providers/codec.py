"""A request -> the bytes that a provider takes, and its bytes -> a Reply; the same bytes live and in a batch line.

services.SERVICES has the providers that are spoken to directly. Any other is reached through `litellm.acompletion`
(fallback).
tests/contract holds what is sent against what LiteLLM itself would send.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner import fastjson
from runner.config.pricing import price_of
from runner.errors import ProviderError
from runner.providers import identity
from runner.providers.fallback import Fallback
from runner.providers.received import accept
from runner.providers.reply import error_of, read_chat
from runner.providers.responses import responses
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
    model: Model

    def encode(self, request: Request) -> bytes:
        """The JSON body: equal requests give equal bytes. FatalError (bad_request) where the format cannot hold it."""
        return fastjson.dumps(self.translation.body(request))

    def check(self, raw: bytes) -> None:
        """ProviderError where a body is no answer of this API, or of another model and `identity` is strict.

        See received.accept and identity.check.

        To be asked before a body is kept as bought, be it a live reply's or one in a batch's line.
        """
        identity.check(self.model, accept(raw, self.translation.dialect))

    def decode(self, raw: bytes, rung: Rung) -> Reply:
        """A reply's body, read. ProviderError where it is no reply of this provider."""
        return read_chat(self.translation.chat(raw), rung)


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
            is_responses = model.capability.api == "responses"
            url = _below(base, "/responses" if is_responses else "/chat/completions")
            return Codec(url, _known(headers), responses() if is_responses else Chat(), model)
        case "chat_variant":
            config = config_of(model.provider, model.id)
            url = _below(base, "/chat/completions")
            return Codec(url, _headers(config, model, base, api_key), ChatVariant(model.provider, config), model)
        case "anthropic":
            config = config_of(model.provider, model.id)
            return Codec(_below(base, "/v1/messages"), _headers(config, model, base, api_key), Anthropic(config), model)
        case "gemini" if model.provider == "vertex_ai":
            return _vertex(model, base, api_key)
        case "gemini":
            return _gemini(model, base, api_key)


def _gemini(model: Model, base: str, api_key: str | None) -> Codec:
    url = f"{gemini_base(base)}/models/{model.id}:generateContent"
    headers = {"Content-Type": "application/json", "x-goog-api-key": api_key or NO_KEY}
    return Codec(url, _known(headers), Gemini(config_of(model.provider, model.id)), model)


def _vertex(model: Model, base: str, access_token: str | None) -> Codec:
    """Gemini's format at Vertex AI, below projects/PROJECT/locations/LOCATION, with an access token for a key."""
    url = f"{base}/publishers/google/models/{model.id}:generateContent"
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {access_token or NO_KEY}"}
    return Codec(url, _known(headers), Gemini(config_of("gemini", model.id)), model)


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


@dataclass(slots=True)
class Decoders:
    """A decoder for each model, made when it is first needed: decoding takes the provider's format alone."""

    made: dict[tuple[str, ...], Codec | Fallback] = field(default_factory=dict)

    def decode(self, model: Model, raw: bytes, rung: Rung) -> Reply:
        """A reply's body, read. ProviderError where it is no reply of this provider."""
        format_of = (model.name, model.provider, model.id, model.capability.api)
        if format_of not in self.made:
            self.made[format_of] = codec_for(model, None)
        return self.made[format_of].decode(raw, rung)

    def price(self, trial: Trial, answer: Answer) -> float | None:
        """US dollars of an answer; None where the price is unknown or the reply cannot be read."""
        try:
            reply = self.decode(trial.cell.model, answer.raw, trial.adapted.rung)
        except ProviderError:
            return None
        return price_of(
            reply.tokens, trial.cell.model, answer.route, stated_usd=reply.cost_usd, billed_as=reply.billed_as
        )
