"""JSON by orjson, and by the standard library where orjson is the stricter of the two.

orjson refuses what JSON's standard does not hold but providers and files do: half a surrogate pair, NaN, Infinity.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields, is_dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from runner.records import Json

_HALVES = re.compile("[\ud800-\udfff]")


def loads(text: bytes | str) -> Json:
    """The value that a text holds. ValueError where it holds none, RecursionError where it is nested too deep."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def loads_finite(text: bytes | str) -> Json:
    """As `loads`; ValueError too where a number is NaN, or beyond what a float holds, which files of ours never are."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text, parse_constant=_finite, parse_float=_finite, parse_int=_whole)


def _finite(written: str) -> float:
    if not isfinite(number := float(written)):
        raise ValueError(f"{written[:20]} is no number")
    return number


def _whole(written: str) -> int:
    _finite(written)
    return int(written)


def dumps(value: Any) -> bytes:
    """UTF-8 without white space; half a surrogate pair, which UTF-8 cannot hold, is written as JSON's escape.

    Records are written as objects of their fields, any other mapping as one of its items.
    """
    try:
        return orjson.dumps(value, default=dict)
    except TypeError:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)
        return _HALVES.sub(lambda half: f"\\u{ord(half[0]):04x}", text).encode()


def _plain(value: Any) -> dict[str, Any]:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return dict(value)
