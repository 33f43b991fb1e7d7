"""A reply's TXT file -> a row, or why it cannot be one."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from runner import score
from runner.config.sources.encoding import maybe
from runner.records import Reply
from runner.results.study.form import QUESTIONS, row_of
from runner.results.study.head import read_head, read_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Row

_CODE = re.compile(r"[tp]\d+")
"""How the study names texts and personas in file names; the older form's metadata has their titles."""
_TRIAL = re.compile(r"n?0*([1-9]\d{0,5})")
_TIMES = ("%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y-%m-%dT%H:%M:%S")
_NUMBER = re.compile(r"\d{1,3}(?:\.\d{1,6})?")


class UnreadableError(Exception):
    """Why one file, or one line of a table, is no trial."""


def read_reply(raw: bytes, stem: str, vendor: str) -> tuple[Row, Mapping[str, float]]:
    """The row of one file, and the prices that its head gives. `stem` is the file's name without its ending.

    UnreadableError where it cannot be said which trial it is. A reply without scores is a row all the same.
    """
    head, body = read_head(_decoded(raw))
    named = read_name(stem, head)
    if not head.values and not named:
        raise UnreadableError("has no metadata, and its name is not of the study's form")
    names = {name: _agreed(name, head.values.get(name), named.get(name)) for name in ("text", "persona")}
    model_id = head.values.get("model") or named.get("model")
    if not model_id:
        raise UnreadableError("names no model")
    names |= {"vendor": vendor, "model": named.get("model") or model_id, "model_id": model_id}
    reply = body.removesuffix("\n")
    row = row_of(
        names,
        repetition=_repetition(head.values.get("trial"), named.get("trial")),
        temperature=_temperature(head.values.get("temperature"), named.get("heat")),
        reading=score.read(Reply(text=body, finish=None), QUESTIONS, "labelled"),
        reply=reply,
        time=time_of(head.values.get("timestamp", "")),
    )
    return row, head.pricing


def time_of(written: str) -> str | None:
    """A time as rows have it, without a zone; None where it is none."""
    for form in _TIMES:
        try:
            return datetime.strptime(written.strip(), form).isoformat(timespec="seconds")  # noqa: DTZ007  no zone is given
        except ValueError:
            continue
    return None


def temperature_of(written: str) -> float | None:
    """A temperature as written; None for "None", "--" and nothing. UnreadableError where it is not from 0 to 2."""
    if written in ("", "None", "--"):
        return None
    if not _NUMBER.fullmatch(written) or float(written) > 2:
        raise UnreadableError(f"'{written}' is no temperature")
    return float(written) if "." in written else int(written)


def repetition_of(written: str) -> int:
    """A trial's number from 1: `1`, `01` or `n01`. UnreadableError where it is none."""
    match = _TRIAL.fullmatch(written)
    if match is None:
        raise UnreadableError(f"'{written}' is no trial's number" if written else "names no trial")
    return int(match[1])


def _decoded(raw: bytes) -> str:
    if not raw.strip():
        raise UnreadableError("is empty")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"is not UTF-8 from byte {error.start} on{maybe(raw)}") from error


def _agreed(name: str, in_head: str | None, in_name: str | None) -> str:
    """A text or persona. Two different codes are a contradiction; a title in the head gives way to the name's code."""
    codes = [value for value in (in_head, in_name) if value and _CODE.fullmatch(value)]
    if len(set(codes)) > 1:
        raise UnreadableError(f"its metadata says {name} {in_head}, its name {in_name}")
    value = codes[0] if codes else in_head or in_name
    if not value:
        raise UnreadableError(f"names no {name}")
    return value


def _temperature(in_head: str | None, heat: str | None) -> float | None:
    if in_head is None and heat is None:
        raise UnreadableError("says no temperature")
    of_name = None if heat in (None, "--") else int(heat or 0) / 100
    if in_head is None:
        return of_name
    temperature = temperature_of(in_head)
    if heat is not None and (temperature is None) != (of_name is None):
        raise UnreadableError(f"its metadata says temperature {in_head}, its name temp{heat}")
    if temperature is not None and of_name is not None and round(temperature * 100) != round(of_name * 100):
        raise UnreadableError(f"its metadata says temperature {in_head}, its name temp{heat}")
    return temperature


def _repetition(in_head: str | None, in_name: str | None) -> int:
    repetition = repetition_of(in_head or in_name or "")
    if in_name and repetition_of(in_name) != repetition:
        raise UnreadableError(f"its metadata says trial {in_head}, its name {in_name}")
    return repetition
