"""Which quota is used up, how long to wait, and when a long one is there again."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from runner.providers.refusals.rules import BRIEF, FREE_MODELS, LONG, LONG_QUOTA, MODELS_QUOTA, NO_QUOTA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.providers.refusals.answer import Told
    from runner.providers.refusals.rules import Rule

ONE_MODEL = re.compile(r"rate limit (?:reached|exceeded) for (?:model )?[`\w]|per[_ -]?(?:base[_ -]?)?model")


def googles_quota(told: Told) -> Rule | None:
    """Which quota Google says is used up: RESOURCE_EXHAUSTED stands for a minute's and a day's alike.

    QuotaFailure lists every quota that is used up, and RetryInfo speaks of the shortest. Free tiers may have none at
    all (`limit: 0`). Source: ai.google.dev/gemini-api/docs/rate-limits and google.rpc.error_details.
    """
    if told.status != 429:
        return None
    quotas = [
        _quota_of(found) for detail in told.details for found in (*_violations(detail), detail.get("metadata") or {})
    ]
    names = " ".join(name for name, _ in quotas)
    if re.search(r"\blimit: 0\b(?!\.)", told.words) or any(value == "0" for _, value in quotas):
        return NO_QUOTA
    if re.search(r"per_?(?:day|month|week)|daily|monthly", names):
        return MODELS_QUOTA if "permodel" in names or "per_model" in names else LONG_QUOTA
    if re.search(r"per_?(?:minute|second)", names):
        return BRIEF
    if "resource_exhausted" in told.codes and "exceeded your current quota" in told.words:
        return BRIEF  # the same sentence for every quota
    return None


def _violations(detail: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = detail.get("violations")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _quota_of(found: Any) -> tuple[str, str]:
    """A quota's names, in lower case, and its limit."""
    if not isinstance(found, dict):
        return "", ""
    names = (
        found.get(name) for name in ("quotaId", "quotaMetric", "quota_limit", "quota_metric", "subject", "description")
    )
    value = found.get("quotaValue", found.get("quota_limit_value"))
    return " ".join(name.lower() for name in names if isinstance(name, str)), "" if value is None else str(value)


_UNITS_S = (("ms", 0.001), ("mil", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0))
_PART = r"\d+(?:\.\d+)?\s*(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)(?![a-z])\s*"
_AGAIN = re.compile(rf"(?:try again|retry(?:ing)?|available again|resets?|wait)\b[^.\d]{{0,24}}?((?:{_PART})+)")
_ON = re.compile(r"(20\d\d-\d\d-\d\d)(?:(?: at |[t ])(\d\d:\d\d)(?::\d\d(?:\.\d+)?)?)?")


def wait_s_of(told: Told) -> float | None:
    """Seconds to wait: retry-after-ms (OpenAI), retry-after in seconds or as an HTTP date, RetryInfo, or in words."""
    stated: list[tuple[str | None, float]] = [
        (told.headers.get("retry-after-ms"), 0.001),
        (told.headers.get("retry-after"), 1.0),
    ]
    delays = (detail.get("retryDelay") for detail in told.details)
    stated += [(delay.removesuffix("s"), 1.0) for delay in delays if isinstance(delay, str)]
    for value, unit in stated:
        seconds = _seconds(value) if value else None
        if seconds is not None:
            return max(0.0, seconds * unit)
    said = _AGAIN.search(told.words) if told.status in (429, 503, 529, 403, 402) else None
    return _spelt_s(said[1]) if said is not None else None


def _spelt_s(words: str) -> float:
    """9m38.016s, 2 hours, 6 seconds."""
    total = 0.0
    for number, unit in re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]+)", words):
        total += float(number) * next(seconds for start, seconds in _UNITS_S if unit.startswith(start))
    return total


def _seconds(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        try:
            return parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return number if 0 <= number < float("inf") else None


def until_of(told: Told, wait_s: float | None, now: datetime) -> datetime | None:
    """When a long quota is there again, UTC; None where the provider does not say and no rule of its own is known."""
    if (on := _ON.search(told.words)) is not None:
        said = _moment(f"{on[1]}T{on[2] or '00:00'}:00+00:00")
        if said is not None and said > now:
            return said
    if "resource_exhausted" in told.codes:  # RetryInfo speaks of the minute's quota
        return _next_midnight(now, PACIFIC_H) if _is_daily(told) else None
    if wait_s is not None and wait_s >= 1:
        return _later(now, wait_s)
    reset = _epoch(told.headers.get("x-ratelimit-reset"), now)
    if reset is not None:
        return reset
    return _next_midnight(now, 0) if FREE_MODELS.fits(told) else None


PACIFIC_H = -8
"""Gemini's quotas a day begin at midnight Pacific time; in summer that is an hour earlier, so nobody comes too soon."""


def _is_daily(told: Told) -> bool:
    names = " ".join(_quota_of(found)[0] for detail in told.details for found in _violations(detail))
    return "perday" in names or "per_day" in names or re.search(LONG, told.words) is not None


def _next_midnight(now: datetime, offset_h: int) -> datetime:
    there = now + timedelta(hours=offset_h)
    return there.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1, hours=-offset_h)


def _later(now: datetime, seconds: float) -> datetime | None:
    try:
        return now + timedelta(seconds=seconds)
    except OverflowError:
        return None


def _epoch(value: str | None, now: datetime) -> datetime | None:
    """Seconds or milliseconds since 1970, if that is still to come and within a year."""
    try:
        number = float(value or "")
        moment = datetime.fromtimestamp(number / 1000 if number > 1e11 else number, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if now < moment < now + timedelta(days=366) else None


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
