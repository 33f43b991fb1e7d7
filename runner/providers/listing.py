"""Which models a provider says that it serves, asked of its own list; one list for all models that share a key.

OpenAI and those that speak its format answer GET /models with all of them, Anthropic and Gemini in pages. A name that
is in no list may still be served, as an alias: the provider is asked for it by name before it counts as missing.
Sources: the providers' API references, and the SDKs of OpenAI, Anthropic, Google and Mistral.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

from runner import event_loop
from runner.errors import FatalError, ProviderError, TransientError
from runner.providers.accounts import key_in
from runner.providers.batch.http import ask
from runner.providers.services import GEMINI_VERSION, GEMINI_VERSIONS, SERVICES, Format, base_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import aiohttp

    from runner.records import Json, Model

State = Literal["listed", "alias", "not listed", "key refused", "not reachable", "key not set", "cannot be asked"]
"""alias: in no list, but the provider knows it by name. cannot be asked: nobody knows where its list is."""
WRONG: tuple[State, ...] = ("not listed", "key refused", "not reachable")
"""States that a person should do something about."""

WAIT_S = 20.0
"""Most seconds for one answer."""
MOST_PAGES = 50
NEAREST = 3
"""Names that are told where one is not listed."""
ANTHROPIC_VERSION = "2023-06-01"
NO_LIST = {
    "embedded": "it runs in this process",
    "vertex_ai": "Vertex AI lists models by project and location, not by key",
}
"""Providers that are spoken to, but not asked for a list, and why."""


@dataclass(frozen=True, slots=True)
class ListingResult:
    """What came of asking for one model."""

    state: State
    nearest: tuple[str, ...] = ()
    """Names in the list that are like it, where it is not listed."""
    message: str = ""
    """The provider's words, or why it was not asked."""
    shutdown: str | None = None
    """The last day that its list gives it, as YEAR-MONTH-DAY; None where it gives none."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a list is, and how to ask for it."""

    url: str
    headers: tuple[tuple[str, str], ...]
    format: Literal["openai", "anthropic", "gemini"]


def check(models: Sequence[Model], environment: Mapping[str, str] = os.environ) -> list[ListingResult]:
    """Ask for each model, every list once and side by side; in the order of `models`."""
    return event_loop.run(_check(models, environment))


async def _check(models: Sequence[Model], environment: Mapping[str, str]) -> list[ListingResult]:
    import aiohttp

    asked = [source_of(model, environment) for model in models]
    async with aiohttp.ClientSession() as http:
        lists: dict[Source, asyncio.Task[dict[str, str | None]]] = {}
        for source in asked:
            if isinstance(source, Source) and source not in lists:
                lists[source] = asyncio.create_task(_names(http, source))
        await asyncio.gather(*lists.values(), return_exceptions=True)
        return await asyncio.gather(
            *(
                _found(http, source, lists[source], model.id) if isinstance(source, Source) else _as_is(source)
                for model, source in zip(models, asked, strict=True)
            )
        )


async def _as_is(found: ListingResult) -> ListingResult:
    return found


def source_of(model: Model, environment: Mapping[str, str]) -> Source | ListingResult:
    """Where a model's provider lists its models; what is known without asking where that cannot be asked."""
    service = SERVICES.get(model.provider)
    if service is None or model.provider in NO_LIST:
        unknown = f"nobody here knows where '{model.provider}' lists its models"
        return ListingResult("cannot be asked", message=NO_LIST.get(model.provider, unknown))
    try:
        key = key_in(model.key_env, environment)
    except FatalError as error:
        return ListingResult("key refused", message=str(error))
    if model.key_env and not key:
        return ListingResult("key not set", message=f"export {model.key_env}=...")
    base = base_of(model.provider, model.api_base).removesuffix("/chat/completions").removesuffix("/responses")
    return _at(base, service.format, model.provider, key)


def _at(base: str, form: Format, provider: str, key: str) -> Source:
    match form:
        case "anthropic":
            headers = (("x-api-key", key), ("anthropic-version", ANTHROPIC_VERSION))
            return Source(f"{base.removesuffix('/v1/messages')}/v1/models", headers, "anthropic")
        case "gemini":
            versioned = base if base.rpartition("/")[2] in GEMINI_VERSIONS else f"{base}/{GEMINI_VERSION}"
            return Source(f"{versioned}/models", (("x-goog-api-key", key),), "gemini")
        case _:
            # DeepSeek's /beta is for completions; its list is documented beside it.
            plain = base.removesuffix("/beta") if provider == "deepseek" else base
            return Source(f"{plain}/models", (("Authorization", f"Bearer {key}"),) if key else (), "openai")


# ---- asking ----------------------------------------------------------------------------------------------------------


async def _found(
    http: aiohttp.ClientSession, source: Source, listed: asyncio.Task[dict[str, str | None]], name: str
) -> ListingResult:
    try:
        names = listed.result()
        if name in names:
            return ListingResult("listed", shutdown=names[name])
        if (entry := await _entry(http, source, name)) is not None:
            return ListingResult(
                "alias", message="known by this name, though not in the list", shutdown=_shutdown(entry)
            )
    except ProviderError as error:
        if error.kind == "key_refused":
            return ListingResult("key refused", message=str(error))
        return ListingResult("not reachable", message=f"{source.url}: {error}")
    return ListingResult("not listed", tuple(get_close_matches(name, names, n=NEAREST, cutoff=0.5)))


async def _entry(http: aiohttp.ClientSession, source: Source, name: str) -> Mapping[str, Json] | None:
    """What the provider says of a model that is in no list; None where it has none: any refusal is a no."""
    try:
        return await _get(http, source, f"{source.url}/{name}", {})
    except ProviderError as error:
        if error.kind in ("not_found", "bad_request", "malformed"):
            return None
        raise


async def _names(http: aiohttp.ClientSession, source: Source) -> dict[str, str | None]:
    """Every name in a list, page by page, aliases included, with the last day that the list gives it."""
    read, names = _READ[source.format], dict[str, str | None]()
    query = dict(_FIRST[source.format])
    for _ in range(MOST_PAGES):
        page = await _get(http, source, source.url, query)
        for entry in _entries(page, "data", "models"):
            names.update(dict.fromkeys(read.names(entry), _shutdown(entry)))
        mark = read.next(page)
        if not mark:
            break
        query = {**_FIRST[source.format], **mark}
    return names


async def _get(http: aiohttp.ClientSession, source: Source, url: str, query: Mapping[str, str]) -> Mapping[str, Json]:
    try:
        async with asyncio.timeout(WAIT_S):
            return await ask(http, "GET", url, params=dict(query), headers=dict(source.headers))
    except TimeoutError as error:
        raise TransientError("timeout", f"no answer within {WAIT_S:g} s") from error


# ---- the three formats -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading:
    """How a page is read."""

    names: Callable[[Mapping[str, Json]], list[str]]
    """The names of one of its entries."""
    next: Callable[[Mapping[str, Json]], dict[str, str]]
    """What the next page is asked with; empty after the last."""


def _entries(page: Mapping[str, Json], *keys: str) -> list[Mapping[str, Json]]:
    found: list[Json] = next((page[key] for key in keys if isinstance(page.get(key), list)), [])
    return [entry for entry in found if isinstance(entry, dict)]


def _by_id(entry: Mapping[str, Json]) -> list[str]:
    """By `id`, with the aliases that Mistral and xAI add to an entry."""
    return [name for name in (entry.get("id"), *(entry.get("aliases") or ())) if isinstance(name, str)]


def _gemini_names(entry: Mapping[str, Json]) -> list[str]:
    return [str(entry.get("name", "")).removeprefix("models/")]


def _shutdown(entry: Mapping[str, Json]) -> str | None:
    """OpenAI's `shutdown_date` (its deprecations page), or the day of Mistral's `deprecation` (its SDK)."""
    for name in ("shutdown_date", "deprecation"):
        try:
            return date.fromisoformat(str(entry.get(name))[:10]).isoformat()
        except ValueError:
            continue
    return None


def _anthropic_next(page: Mapping[str, Json]) -> dict[str, str]:
    last = page.get("last_id")
    return {"after_id": last} if page.get("has_more") and isinstance(last, str) else {}


def _gemini_next(page: Mapping[str, Json]) -> dict[str, str]:
    token = page.get("nextPageToken")
    return {"pageToken": token} if isinstance(token, str) and token else {}


_READ = {
    "openai": Reading(_by_id, lambda _page: {}),
    "anthropic": Reading(_by_id, _anthropic_next),
    "gemini": Reading(_gemini_names, _gemini_next),
}
_FIRST: dict[str, dict[str, str]] = {"openai": {}, "anthropic": {"limit": "1000"}, "gemini": {"pageSize": "1000"}}
"""The largest page that each gives."""
