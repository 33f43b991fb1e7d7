"""The table of providers that are spoken to directly: where each is, and whose format it speaks.

Every address is stated here and nowhere else, for live requests, batches and lists of models alike: given none, LiteLLM
would look for one in the environment. Each is the provider's stable one, by its API reference: no /beta or /v1alpha
where the same is served without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

Format = Literal["chat", "chat_variant", "anthropic", "gemini"]
"""chat: OpenAI's; chat_variant: OpenAI's with a provider's own deviations, which LiteLLM knows."""

GEMINI_VERSION = "v1beta"
"""The one that Google's own SDK calls, for Gemini 3 too."""
GEMINI_VERSIONS = ("v1", GEMINI_VERSION, "v1alpha")
GOOGLE = "generativelanguage.googleapis.com"


@dataclass(frozen=True, slots=True)
class Service:
    """A provider that is spoken to over plain HTTP with one key."""

    format: Format
    base: str | None
    """Its address where `api_base` is null; None where it runs here, or where every account has one of its own."""


SERVICES: Mapping[str, Service] = {
    "embedded": Service("chat", None),
    "openai": Service("chat", "https://api.openai.com/v1"),
    "groq": Service("chat_variant", "https://api.groq.com/openai/v1"),
    "xai": Service("chat_variant", "https://api.x.ai/v1"),
    # LiteLLM's is /beta, which is for completion of a prefix, fill-in-the-middle and strict tools.
    "deepseek": Service("chat_variant", "https://api.deepseek.com"),
    "mistral": Service("chat_variant", "https://api.mistral.ai/v1"),
    "openrouter": Service("chat_variant", "https://openrouter.ai/api/v1"),
    "kluster": Service("chat", "https://api.kluster.ai/v1"),
    "anthropic": Service("anthropic", "https://api.anthropic.com"),
    # LiteLLM's is /v1alpha for Gemini 3.
    "gemini": Service("gemini", f"https://{GOOGLE}/{GEMINI_VERSION}"),
    # Only where `api_base` names project and location; without it LiteLLM finds both by its own rules.
    "vertex_ai": Service("gemini", None),
}
"""LiteLLM's name of a provider, or kluster, which is a batch API in OpenAI's format -> the provider."""


def base_of(provider: str, api_base: str | None) -> str:
    """The address that a path is put below, without a slash at its end; "" where none is known."""
    service = SERVICES.get(provider)
    return (api_base or (service.base if service is not None else None) or "").rstrip("/")


def gemini_base(base: str) -> str:
    """As it is, as LiteLLM takes it; but Google's own host, which serves nothing without a version, gets one."""
    parts = urlsplit(base)
    return f"{base}/{GEMINI_VERSION}" if parts.hostname == GOOGLE and not parts.path else base
