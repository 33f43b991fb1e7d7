"""Numbers and names as a page shows them."""

from __future__ import annotations

from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING

from runner.reporting.stats import known

if TYPE_CHECKING:
    from runner.records import Question
    from runner.reporting.stats import Interval, Number

NONE = "–"
"""Stands where there is no number."""


def score(number: Number, question: Question) -> str:
    """A score, or a mean of scores: with as many decimals as the scale is wide."""
    return plain(number, _decimals(question))


def span(interval: Interval, question: Question) -> str:
    """Both ends of a mean's interval, short enough for a small field: "" where there is none."""
    return _span(interval, _decimals(question) - 1)


def difference_span(interval: Interval, question: Question) -> str:
    """Both ends of a difference's interval: whether it reaches across zero must be seen."""
    return _span(interval, _decimals(question))


def _span(interval: Interval, digits: int) -> str:
    if known(interval.low) is None or known(interval.high) is None:
        return ""
    return f"{plain(interval.low, digits)} to {plain(interval.high, digits)}"


def _decimals(question: Question) -> int:
    return 1 if question.high - question.low > 10 else 2


def plain(number: Number, digits: int = 2) -> str:
    """Any number with a fixed count of decimals, a true minus, and no minus before zero."""
    value = known(number)
    return NONE if value is None else f"{value:z.{digits}f}".replace("-", "−")


def signed(number: Number, question: Question) -> str:
    """A difference, with its sign."""
    value = known(number)
    return NONE if value is None else f"{value:+z.{_decimals(question)}f}".replace("-", "−")


def p_value(number: Number) -> str:
    """A probability as tables of statistics print it."""
    value = known(number)
    if value is None:
        return NONE
    return "< .0001" if value < 0.0001 else f"{value:.4f}".lstrip("0") if value < 1 else "1"


def percent(share: float) -> str:
    """Whole per cent; 100% and 0% are said only of all and of none."""
    if not isfinite(share):
        return NONE
    return f"{share:.0%}" if share in {0.0, 1.0} else f"{min(max(round(share * 100), 1), 99)}%"


def seconds(value: float | None) -> str:
    """Seconds with three digits."""
    return NONE if value is None or not isfinite(value) else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def count(value: float | None) -> str:
    """A count with its thousands set apart."""
    return NONE if value is None or not isfinite(value) else f"{value:,.0f}"


def money(usd: float | None) -> str:
    """US dollars, never rounded to nothing."""
    if usd is None or not isfinite(usd):
        return NONE
    if usd == 0:
        return "0"
    if usd < 0.0001:
        return "< 0.0001"
    return f"{usd:,.2f}" if usd >= 1 else f"{usd:#.2g}"


def moment(time: str | None) -> str:
    """An ISO time to the minute, with its zone where it has one."""
    try:
        read = datetime.fromisoformat(time or "")
    except ValueError:
        return time or NONE
    return f"{read:%Y-%m-%d %H:%M} {read.tzname() or ''}".strip()


def lasted(started: str | None, ended: str | None) -> str:
    """How long it was from one ISO time to another."""
    try:
        whole = (datetime.fromisoformat(ended or "") - datetime.fromisoformat(started or "")).total_seconds()
    except (TypeError, ValueError):
        return NONE
    minutes, rest = divmod(round(whole), 60)
    if minutes < 1:
        return f"{whole:.1f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"
