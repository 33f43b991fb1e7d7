"""Goals: what was measured beside what is wanted, in lines that a person and benchmarks/all.py both read.

    goal throughput at 200 in flight, of raw aiohttp: want at least 0.65, got 0.71: met

A benchmark prints its goals last, and ends well whether they are met or not: only one that could not measure fails.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Self

State = Literal["met", "MISSED", "not measured"]
LINE = re.compile(r"goal (?P<name>.+): want (?P<want>.+), got (?P<got>.+): (?P<state>met|MISSED|not measured)$")


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal and what came of it."""

    name: str
    want: str
    got: str
    state: State

    def __str__(self) -> str:
        return f"goal {self.name}: want {self.want}, got {self.got}: {self.state}"

    @classmethod
    def read(cls, line: str) -> Self | None:
        """The goal in a line of a benchmark's output; None where it is another line."""
        found = LINE.match(line.strip())
        return cls(**found.groupdict()) if found else None  # type: ignore[arg-type]


def at_least(name: str, want: float, got: float | None, unit: str = "", *, why: str = "") -> None:
    """Print a goal that a higher number meets. `why` says what stood in the way where `got` is None."""
    _say(name, f"at least {want:g}{unit}", got, unit, why, met=got is not None and got >= want)


def at_most(name: str, want: float, got: float | None, unit: str = "", *, why: str = "") -> None:
    """Print a goal that a lower number meets."""
    _say(name, f"at most {want:g}{unit}", got, unit, why, met=got is not None and got <= want)


def _say(name: str, want: str, got: float | None, unit: str, why: str, *, met: bool) -> None:
    state: State = "not measured" if got is None else "met" if met else "MISSED"
    number = f"nothing ({why})" if got is None else f"{_short(got)}{unit}"
    print(Goal(name, want, number, state), flush=True)


def _short(number: float) -> str:
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.2f}"
