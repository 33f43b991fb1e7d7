"""Which model answered: whether a served name is one that the model's file declares.

Declared are the model's id and what its file lists as `served_as`, each also with a date or a version behind it, as
providers name the snapshot that an alias stands for, and behind the prefixes that providers put before a name.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from runner.errors import FatalError
from runner.providers.received import parsed
from runner.providers.reply import object_in, string

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Json, Model

OTHER_MODEL = "other_model"
"""Kind of a reply that another model gave, where that is refused."""

_SNAPSHOT = r"(?:[-@:](?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|\d{2}-\d{4}|\d{2}-\d{2}|00\d|latest))?"
"""A date as OpenAI (-2024-07-18, -0613), Anthropic (-20250929, @20250929), Mistral (-2411), xAI (-0709) and Google
(-09-2025, -05-20) write it, Google's version (-001), and Ollama's tag (:latest)."""
_BEFORE = re.compile(r"^(?:.*/)?models/|^.*/deployments/")
_ALIAS = "-latest"
_WAY = re.compile(r":(free|nitro|floor|online|beta|extended|thinking|exacto)$")
"""How OpenRouter is asked to serve a model: no part of its name."""


def served_name(body: Mapping[str, Json]) -> str | None:
    """The name by which a reply of any of the APIs says who answered; None where it says nothing."""
    return string(body.get("model")) or string(body.get("modelVersion"))


def is_declared(model: Model, served: str) -> bool:
    """Whether the model's file declares a served name; letters count as equal in either case."""
    return _is_one_of((model.id, *model.served_as), served, model.provider)


def undeclared(model: Model, served: str | None) -> str | None:
    """The served name where the model's file does not declare it; None where it does, or none was told.

    The embedded model names itself by its file, and nobody else can answer for it.
    """
    return None if served is None or model.provider == "embedded" or is_declared(model, served) else served


def check(model: Model, body: Mapping[str, Json]) -> None:
    """FatalError (other_model) where `identity=strict` and another model answered than the file declares."""
    if (refused := refusal(model, served_name(body))) is not None:
        raise FatalError(OTHER_MODEL, refused)


def refusal_of(model: Model, raw: bytes) -> str | None:
    """As `refusal`, of the body of an answer."""
    return refusal(model, served_name(object_in(parsed(raw)))) if model.identity == "strict" else None


def refusal(model: Model, served: str | None) -> str | None:
    """Why a reply of that name does not count; None where it does."""
    if model.identity != "strict" or undeclared(model, served) is None:
        return None
    advice = (
        f"add it to served_as in model/{model.name}.yaml if it is the same, or set identity=record to keep it apart"
    )
    return f"'{served}' answered in place of '{model.id}' (identity=strict): {advice}"


@lru_cache(maxsize=1024)
def _is_one_of(names: tuple[str, ...], served: str, provider: str) -> bool:
    return any(_stands_for(name.lower(), served.strip().lower(), provider) for name in names)


def _stands_for(declared: str, served: str, provider: str) -> bool:
    names = {declared, declared.removesuffix(_ALIAS), _WAY.sub("", declared)}
    plain = _BEFORE.sub("", served)
    shown = {served, plain, plain.removeprefix(f"{provider}/")}
    if "/" not in declared:
        shown.add(plain.rpartition("/")[2])  # behind a maker's or a gateway's prefix
    else:
        names |= {_BEFORE.sub("", declared), declared.rpartition("/")[2]} if "/" not in plain else set()
    pattern = "|".join(re.escape(name) + _SNAPSHOT for name in names)
    return bool(shown & names) or any(re.fullmatch(pattern, one) for one in shown)
