"""The table of providers: what answers below which prefix, and who writes whose result lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.simulator.apis import anthropic, gcs, gemini, mistral, openai, vertex, xai

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.simulator.http import Provider
    from runner.simulator.state import Writer

BASES: Mapping[str, str] = {
    "openai": "/openai/v1",
    "groq": "/groq/openai/v1",
    "kluster": "/kluster/v1",
    "xai": "/xai/v1",
    "deepseek": "/deepseek",
    "mistral": "/mistral/v1",
    "anthropic": "/anthropic",
    "gemini": "/gemini",
    "vertex": "/vertex",
    "gcs": "/gcs",
}
"""What a client takes as base address, below the server's own."""

WRITERS: Mapping[str, Writer] = {
    "openai": openai.OPENAI_BATCHES.write,
    "groq": openai.GROQ_BATCHES.write,
    "kluster": openai.KLUSTER_BATCHES.write,
    "xai": xai.write,
    "mistral": mistral.write,
    "anthropic": anthropic.write,
    "gemini": gemini.write,
    "vertex": vertex.write,
}


def providers() -> tuple[tuple[str, Provider], ...]:
    """Every prefix with its provider, longer ones first."""
    table = (
        openai.OPENAI_BATCHES.provider(BASES["openai"]),
        openai.GROQ_BATCHES.provider(BASES["groq"]),
        openai.KLUSTER_BATCHES.provider(BASES["kluster"]),
        openai.deepseek(),
        xai.provider(),
        mistral.provider(),
        anthropic.provider(),
        gemini.provider(),
        vertex.provider(),
        gcs.provider(),
    )
    prefixed = [(prefix, provider) for provider in table for prefix in provider.prefixes]
    return tuple(sorted(prefixed, key=lambda entry: -len(entry[0])))
