"""The table of batch APIs: what a model's capability.batch may name, and whose each is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.errors import ConfigError, nearest
from runner.providers.batch.api import Account
from runner.providers.services import base_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.providers.batch.api import BatchApi
    from runner.records import Model


def _openai() -> BatchApi:
    from runner.providers.batch.openai import OPENAI

    return OPENAI


def _groq() -> BatchApi:
    from runner.providers.batch.openai import GROQ

    return GROQ


def _kluster() -> BatchApi:
    from runner.providers.batch.openai import KLUSTER

    return KLUSTER


def _anthropic() -> BatchApi:
    from runner.providers.batch.anthropic import AnthropicBatch

    return AnthropicBatch()


def _gemini() -> BatchApi:
    from runner.providers.batch.gemini import GeminiBatch

    return GeminiBatch()


def _vertex() -> BatchApi:
    from runner.providers.batch.vertex import VertexBatch

    return VertexBatch()


def _xai() -> BatchApi:
    from runner.providers.batch.xai import XaiBatch

    return XaiBatch()


def _mistral() -> BatchApi:
    from runner.providers.batch.mistral import MistralBatch

    return MistralBatch()


@dataclass(frozen=True, slots=True)
class BatchService:
    """One batch API."""

    make: Callable[[], BatchApi]
    provider: str
    """Whose it is: its name in services.SERVICES, which has its address."""
    key_is_account: bool = True
    """Whether a batch belongs to its key. A token that changes by the hour belongs to no batch."""


SERVICES: Mapping[str, BatchService] = {
    "openai": BatchService(_openai, "openai"),
    "groq": BatchService(_groq, "groq"),
    "kluster": BatchService(_kluster, "kluster"),
    "anthropic": BatchService(_anthropic, "anthropic"),
    "gemini": BatchService(_gemini, "gemini"),
    "vertex": BatchService(_vertex, "vertex_ai", key_is_account=False),
    "xai": BatchService(_xai, "xai"),
    "mistral": BatchService(_mistral, "mistral"),
}


def service_of(model: Model) -> BatchService:
    """The batch API that a model's file names. ConfigError where there is none of that name."""
    name = str(model.capability.batch)
    if name not in SERVICES:
        message = f"no batch API is called '{name}'; {nearest(name, SERVICES)}"
        raise ConfigError(message, where=f"model/{model.name}.yaml", key="capability.batch")
    return SERVICES[name]


def account_for(model: Model, api_key: str | None) -> Account:
    """Address and key for a model's batches. ConfigError where an address must be stated and is not."""
    base = base_of(service_of(model).provider, model.api_base)
    if not base:
        example = "https://us-central1-aiplatform.googleapis.com/v1/projects/PROJECT/locations/us-central1"
        message = "must name the project and the location"
        advice = f"runner model.{model.name}.api_base={example}"
        raise ConfigError(message, where=f"model/{model.name}.yaml", key="api_base", advice=advice)
    return Account(base, api_key)
