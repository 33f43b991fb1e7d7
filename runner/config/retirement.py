"""When a model ends: what its file says, completed from LiteLLM's map, in a line that is told before money is spent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runner.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.config.catalog import Entry
    from runner.records import Model, Retirement

HERE = ("127.0.0.1", "localhost", "::1")
"""Hosts of this machine: what answers there is no provider's, and ends when its owner says so."""


def now() -> date:
    """Today in UTC, by which providers count."""
    return datetime.now(UTC).date()


def checked(stated: Retirement, entry: Entry | None, where: str) -> Retirement:
    """As a file states it; a date that it leaves out is the map's. ConfigError for what is no ISO date."""
    if stated.date is None:
        return stated if entry is None or entry.ends is None else replace(stated, date=entry.ends, source=entry.source)
    try:
        date.fromisoformat(stated.date)
    except ValueError as error:
        message = f"'{stated.date}' is no date; write it as YEAR-MONTH-DAY, such as 2026-12-11"
        raise ConfigError(message, where=where, key="retirement.date") from error
    return stated


def is_over(model: Model, today: date) -> bool:
    """Whether its provider serves it no more: from its date on, or where its file says so without one."""
    if model.retirement.date is not None:
        return date.fromisoformat(model.retirement.date) <= today
    return model.retired is not None


def told(models: Iterable[Model], today: date) -> list[str]:
    """A line for each model that has ended or will, each once; those that answer on this machine have none."""
    asked = [model for model in models if urlsplit(model.api_base or "").hostname not in HERE]
    lines = [f"{model.name}: {said}" for model in asked if (said := remark(model, today)) is not None]
    return list(dict.fromkeys(lines))


def remark(model: Model, today: date) -> str | None:
    """When a model ends or ended, what to use instead, and who says so; None where nothing is known of an end."""
    known = model.retirement
    if known.date is None:
        return model.retired
    use = f": use {known.replacement}" if known.replacement else ""
    source = f" ({known.source})" if known.source else ""
    left = (date.fromisoformat(known.date) - today).days
    if left <= 0:
        return f"withdrawn since {known.date}{use}{source}"
    return f"ends on {known.date} (in {left} {'day' if left == 1 else 'days'}){use}{source}"
