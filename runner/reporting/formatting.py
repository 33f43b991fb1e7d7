"""Numbers, times and counts as people read them: one set for the terminal, the display of progress and the page.

Every function takes a number that may not exist (None, NaN or a statistic that is not defined) and gives NONE for it,
unless it says otherwise. Imports nothing heavy: the display of progress is drawn while requests are out.
"""

from __future__ import annotations

from datetime import datetime
from math import isfinite
from numbers import Real
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.records import Question
    from runner.reporting.stats import Interval, Number

NONE = "–"
"""Stands where there is no number."""
MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86_400.0


# ---- scores and statistics -------------------------------------------------------------------------------------------


def score(number: Number, question: Question) -> str:
    """A score, or a mean of scores: with as many decimals as the scale is wide."""
    return plain(number, _decimals(question))


def span(interval: Interval, question: Question) -> str:
    """Both ends of a mean's interval, short enough for a small field: "" where there is none."""
    return between(interval, _decimals(question) - 1)


def difference_span(interval: Interval, question: Question) -> str:
    """Both ends of a difference's interval, precise enough to see whether it reaches across zero."""
    return between(interval, _decimals(question))


def between(interval: Interval, digits: int = 2, end: Callable[[Number, int], str] | None = None) -> str:
    """Both ends of an interval, each as `end` writes it (`plain` if None): "" where there is none."""
    if _real(interval.low) is None or _real(interval.high) is None:
        return ""
    written = end or plain
    return f"{written(interval.low, digits)} to {written(interval.high, digits)}"


def _decimals(question: Question) -> int:
    return 1 if question.high - question.low > 10 else 2


def _real(number: object) -> float | None:
    """The number, where there is one."""
    return float(number) if isinstance(number, Real) and isfinite(number) else None


def plain(number: Number | None, digits: int = 2) -> str:
    """Any number with a fixed count of decimals, a true minus, and no minus before zero."""
    value = _real(number)
    return NONE if value is None else f"{value:z.{digits}f}".replace("-", "−")


def signed(number: Number | None, digits: int = 1) -> str:
    """A difference, with its sign."""
    value = _real(number)
    return NONE if value is None else f"{value:+z.{digits}f}".replace("-", "−")


def difference(number: Number, question: Question) -> str:
    """A difference of scores, with its sign and as many decimals as the scale is wide."""
    return signed(number, _decimals(question))


def p_value(number: Number) -> str:
    """A probability as tables of statistics print it."""
    value = _real(number)
    if value is None:
        return NONE
    return "< .0001" if value < 0.0001 else f"{value:.4f}".lstrip("0") if value < 0.99995 else "1"


# ---- shares, counts, money -------------------------------------------------------------------------------------------


def percent(share: float) -> str:
    """Whole per cent of a share from 0 to 1; 100% and 0% are said only of all and of none."""
    if not isfinite(share):
        return NONE
    return f"{share:.0%}" if share in {0.0, 1.0} else f"{min(max(round(share * 100), 1), 99)}%"


def part(share: float | None, digits: int = 1) -> str:
    """Per cent of a share from 0 to 1: as `percent`, with decimals; next to all is rounded down, next to none up."""
    if share is None or not isfinite(share):
        return NONE
    least = 10.0**-digits
    shown = min(max(round(share * 100, digits), least), 100 - least) if 0 < share < 1 else share * 100
    return f"{shown:.{digits}f}%" if 0 < share < 1 else f"{shown:.0f}%"


def count(value: float | None) -> str:
    """A count with its thousands set apart."""
    return NONE if value is None or not isfinite(value) else f"{value:,.0f}"


def short_count(value: float) -> str:
    """A count in about five characters: the last digits go from ten thousand on."""
    if not isfinite(value):
        return NONE
    if value < 1e4:
        return f"{value:.0f}"
    return f"{value / 1e3:.0f}k" if value < 999_500 else f"{value / 1e6:.3g}M"


def many(number: int, what: str, plural: str = "") -> str:
    """So many of them, in words."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {plural or what + 's'}"


def money(usd: float | None) -> str:
    """US dollars in about seven characters, never rounded to nothing."""
    if usd is None or not isfinite(usd):
        return NONE
    if usd == 0:
        return "0"
    if usd < 0.0001:
        return "<0.0001"
    return f"{usd:,.2f}" if usd >= 0.995 else f"{usd:#.2g}"


# ---- time ------------------------------------------------------------------------------------------------------------


def seconds(value: float | None) -> str:
    """Seconds with three digits."""
    return NONE if value is None or not isfinite(value) else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def duration(seconds: float | None) -> str:
    """About how long, in its largest unit."""
    if seconds is None:
        return NONE
    return f"{seconds:.1f} s" if seconds < 10 else age(seconds)


def age(seconds: float) -> str:
    """As `duration`, without tenths of a second, and never below zero: two clocks may differ."""
    if seconds < 2 * MINUTE_S:
        return f"{max(0.0, seconds):.0f} s"
    if seconds < 2 * HOUR_S:
        return f"{seconds / MINUTE_S:.0f} min"
    return f"{seconds / HOUR_S:.1f} h" if seconds < 2 * DAY_S else f"{seconds / DAY_S:.1f} d"


def rate(per_s: float) -> str:
    """How many a second, or a minute where they are few."""
    if per_s >= 10 or per_s == 0:
        return f"{per_s:,.0f}/s"
    return f"{per_s:.1f}/s" if per_s >= 0.1 else f"{per_s * 60:.1f}/min"


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
