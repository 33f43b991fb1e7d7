"""The fault plan: how fast, how strict and how unreliable the simulated providers are.

Shares are exact and repeatable: of every 1/share events the first is struck, so 0.25 strikes the 1st, 5th, 9th, and a
share so small that it never comes round again strikes once. Of several faults that could strike one event the second
starts one event later, and so on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from runner.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

PLANS = Path(__file__).with_name("plans.yaml")


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """All seconds are real ones; all shares lie between 0 and 1. The defaults are a provider at its best."""

    seed: int = 0
    """Another seed gives other scores and another order of shuffled lines."""

    # ---- any request
    latency_s: float = 0.0
    jitter_s: float = 0.0
    """Up to so many seconds are added to the latency."""
    refuse: float = 0.0
    """Share of requests answered 429, with Retry-After."""
    retry_after_s: float = 1.0
    server_error: float = 0.0
    """Share of requests answered with a 5xx (Anthropic: 529)."""
    drop: float = 0.0
    """Share of requests whose connection is closed before they are looked at."""
    rpm: int | None = None
    """Live requests a minute that a key may send to one provider; None for no limit."""
    tpm: int | None = None
    """Live tokens a minute, likewise; the reply's limit counts as if it were used."""

    # ---- the life of a batch
    validating_s: float = 0.0
    batch_s: float = 0.2
    """Time to run all of a batch's items, which finish at even distances."""
    finalizing_s: float = 0.0
    cancel_s: float = 0.0
    """Time between the wish to cancel and the end."""
    hour_s: float = 3600.0
    """How long one hour of a completion window lasts."""
    list_delay_s: float = 0.0
    """A batch that was created shows in lists only after so many seconds."""
    drop_create: float = 0.0
    """Share of batches that are accepted, but whose answer never arrives: the connection is closed."""
    drop_download: float = 0.0
    """Share of result downloads that break off half-way."""
    expire: float = 0.0
    """Share of batches that have done half of their items when their window closes."""
    stall: float = 0.0
    """Share of batches that do nothing until their window closes."""
    freeze: float = 0.0
    """Share of batches that do nothing, and that no window ends."""
    fail: float = 0.0
    """Share of batches that fail their validation."""
    enqueued_tokens: int | None = None
    """Tokens that a key's unfinished batches may hold at one provider."""
    max_items: int | None = None
    """Items a batch may hold, in place of the provider's own limit."""
    max_bytes: int | None = None
    """Bytes of a batch's input, likewise."""

    # ---- what a finished batch holds
    shuffle: bool = True
    item_error: float = 0.0
    """Share of items that end with the provider's own error."""
    duplicate: float = 0.0
    """Share of result lines that come twice."""
    omit: float = 0.0
    """Share of result lines that are missing."""
    corrupt: float = 0.0
    """Share of result lines that are cut in the middle."""

    # ---- what the models write
    fenced: float = 0.0
    """Share of replies inside a code fence."""
    prefixed: float = 0.0
    """Share of replies with a sentence before the answer."""
    truncated: float = 0.0
    """Share of replies cut off at the token limit."""
    refused: float = 0.0
    """Share of requests that the model declines."""
    malformed: float = 0.0
    """Share of replies that lack what was asked for."""

    def __post_init__(self) -> None:
        for key in _SHARES:
            if not 0 <= getattr(self, key) <= 1:
                raise ConfigError("a share lies between 0 and 1", where="fault plan", key=key)
        for key in (field.name for field in fields(self) if field.name.endswith("_s")):
            if not 0 <= getattr(self, key) < math.inf:
                raise ConfigError("must not be negative", where="fault plan", key=key)
        for key in ("rpm", "tpm", "enqueued_tokens", "max_items", "max_bytes"):
            if (value := getattr(self, key)) is not None and value < 1:
                raise ConfigError("must be at least 1, or null", where="fault plan", key=key)


_SHARES = tuple(
    field.name for field in fields(FaultPlan) if field.type in (float, "float") and not field.name.endswith("_s")
)


def struck(share: float, number: int) -> bool:
    """Whether the event with this number, from 1, is among the share."""
    return share > 0 and math.ceil(number * share - 1e-9) > math.ceil((number - 1) * share - 1e-9)


def stricken(plan: FaultPlan, number: int, names: tuple[str, ...]) -> str | None:
    """Which of these faults strikes the event with this number: each has its own turn, so none hides another."""
    for turn, (name, share) in enumerate(_at_work(plan, names)):
        if struck(share, number - turn):
            return name
    return None


@cache
def _at_work(plan: FaultPlan, names: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    return tuple((name, share) for name in names if (share := getattr(plan, name)))


def load_plan(name: str) -> FaultPlan:
    """A plan by its name in plans.yaml, or the one in a YAML file (a path that ends in .yaml or .yml).

    A file may start from a named plan: `like: study`. ConfigError for what is unknown or of the wrong type.
    """
    if name.endswith((".yaml", ".yml")):
        where = name
        stated = _read(Path(name))
    else:
        plans = _read(PLANS)
        if name not in plans:
            message = f"no fault plan is called '{name}'; {nearest(name, plans)}"
            raise ConfigError(message, where="fault plan", advice="runner simulate --plan calm")
        where, stated = f"plan {name}", plans[name]
    return _plan(stated, where, seen=(name,))


def plan_names() -> tuple[str, ...]:
    """The names in plans.yaml, in its order."""
    return tuple(_read(PLANS))


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"is no YAML: {' '.join(str(error).split())}", where=str(path)) from error
    if not isinstance(found, dict):
        raise ConfigError("must be a mapping", where=str(path))
    return found


def _plan(stated: Any, where: str, seen: tuple[str, ...]) -> FaultPlan:
    values = _flattened(stated, where, seen)
    types = _types()
    for key, value in values.items():
        if key not in types:
            raise ConfigError(f"no such key; {nearest(str(key), types)}", where=where, key=str(key))
        if not _fits(value, types[key]):
            raise ConfigError(f"{value!r} is no {_said(types[key])}", where=where, key=key)
    try:
        return FaultPlan(**values)
    except ConfigError as error:
        message = str(error).rpartition(": ")[2]
        raise ConfigError(message, where=where, key=error.key) from error


def _flattened(stated: Any, where: str, seen: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(stated, dict):
        raise ConfigError("must be a mapping", where=where)
    values = dict(stated)
    parent = values.pop("like", None)
    if parent is None:
        return values
    plans = _read(PLANS)
    if parent not in plans or parent in seen:
        raise ConfigError(f"no plan to start from; {nearest(str(parent), plans)}", where=where, key="like")
    return {**_flattened(plans[parent], f"plan {parent}", (*seen, parent)), **values}


@cache
def _types() -> Mapping[str, Any]:
    return get_type_hints(FaultPlan)


def _fits(value: Any, kind: Any) -> bool:
    if kind is bool:
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if kind is float:
        return isinstance(value, int | float)
    return isinstance(value, int) if kind is int else value is None or isinstance(value, int)


def _said(kind: Any) -> str:
    names = {bool: "true or false", float: "number", int: "whole number"}
    return names.get(kind, "whole number or null")
