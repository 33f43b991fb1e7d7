"""The batch adapters under test: where each is on the simulator, and its models, bodies and drafts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from simulator_clients import chat_body, claude_body, gemini_body

from runner.providers.batch.api import Account, Draft
from runner.providers.batch.table import SERVICES
from runner.records import Capability, Model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import aiohttp

    from runner.providers.batch.api import BatchApi, Item, Sent, Standing

DAY_S = 86_400


@dataclass(frozen=True)
class Place:
    """Where an API is, below a server, and what may be asked there."""

    path: str
    provider: str
    model: str


PLACES: Mapping[str, Place] = {
    "anthropic": Place("/anthropic", "anthropic", "claude-haiku-4-5"),
    "gemini": Place("/gemini", "gemini", "gemini-2.5-flash"),
    "vertex": Place("/vertex/v1/projects/p/locations/l", "vertex_ai", "gemini-2.5-flash"),
    "xai": Place("/xai/v1", "xai", "grok-3"),
    "mistral": Place("/mistral/v1", "mistral", "mistral-small-latest"),
}
NAMES = tuple(PLACES)


def body(name: str, number: int = 0, **more: Any) -> dict[str, Any]:
    """A request that the API's models take; `temperature` goes where it belongs."""
    match name:
        case "anthropic":
            return claude_body(number, **more)
        case "gemini" | "vertex":
            return gemini_body(number, generationConfig=more)
        case _:
            return chat_body(PLACES[name].model, number, **more)


async def submit(api: BatchApi, http: aiohttp.ClientSession, account: Account, draft: Draft) -> Sent:
    """Upload a draft and create its batch."""
    return await api.create(http, account, draft, await api.upload(http, account, draft))


@dataclass(frozen=True)
class Subject:
    """One adapter with an account on a server, and a place for files."""

    name: str
    api: BatchApi
    account: Account
    model: Model
    folder: Path

    def draft(self, count: int = 4, label: str = "b1", bodies: Mapping[int, dict[str, Any]] | None = None) -> Draft:
        """A batch on disk, of `count` items LABEL-0, LABEL-1, ..."""
        path = self.folder / f"{self.name}-{label}.jsonl"
        with path.open("wb") as file:
            for number in range(count):
                asked = (bodies or {}).get(number) or body(self.name, number)
                live = json.dumps(asked, separators=(",", ":")).encode()
                file.write(self.api.line(f"{label}-{number}", live, self.model) + b"\n")
        return Draft(label, self.model, path, count, DAY_S, datetime.now(UTC).isoformat())

    async def items(self, http: aiohttp.ClientSession, sent: Sent, standing: Standing) -> list[Item]:
        """All results."""
        return [item async for item in self.api.fetch(http, self.account, sent, standing)]


def subject(name: str, base: str, folder: Path, *, key: str = "key-1", extra: dict[str, Any] | None = None) -> Subject:
    """The adapter of this name, on a server with the simulator's paths."""
    place = PLACES[name]
    model = Model(
        name=name,
        id=place.model,
        provider=place.provider,
        vendor="v",
        api_base=base + place.path,
        capability=Capability(batch=name),
        extra=extra or {},
        batch_bucket="bucket/runs",
    )
    return Subject(name, SERVICES[name].make(), Account(base + place.path, key), model, folder)
