"""Checks of a request's fields, as tables: small enough to run on every request.

The tables hold the names in the vendors' SDK types; tests hold the two against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runner.records import Json


def text(value: Any) -> bool:
    """A string."""
    return isinstance(value, str)


def number(value: Any) -> bool:
    """A number that is no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def count(value: Any) -> bool:
    """A whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def truth(value: Any) -> bool:
    """True or false."""
    return isinstance(value, bool)


def listing(value: Any) -> bool:
    """A list."""
    return isinstance(value, list)


def mapping(value: Any) -> bool:
    """An object."""
    return isinstance(value, dict)


def anything(_: Any) -> bool:
    """Whatever JSON can hold."""
    return True


def either(*checks: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """One of several kinds."""
    return lambda value: any(check(value) for check in checks)


def nothing_or(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Null, or what the check allows."""
    return lambda value: value is None or check(value)


def unknown(body: Mapping[str, Any], table: Mapping[str, Any]) -> str | None:
    """The first field that the table does not have."""
    return next((name for name in body if name not in table), None)


def wrong(body: Mapping[str, Any], table: Mapping[str, Callable[[Any], bool]]) -> str | None:
    """The first field whose value is of the wrong kind. Fields that the table lacks pass."""
    return next((name for name, value in body.items() if name in table and not table[name](value)), None)


def objects(schema: Json) -> Iterator[Mapping[str, Any]]:
    """Every subschema of a JSON schema, itself included."""
    if not isinstance(schema, dict):
        return
    yield schema
    inner = [*schema.get("properties", {}).values()] if isinstance(schema.get("properties"), dict) else []
    inner += [schema.get("items"), schema.get("additionalProperties")]
    for key in ("anyOf", "allOf", "oneOf", "prefixItems"):
        inner += schema.get(key) or []
    for key in ("$defs", "definitions"):
        inner += [*(schema.get(key) or {}).values()]
    for part in inner:
        yield from objects(part)


def is_object(schema: Mapping[str, Any]) -> bool:
    """Whether a subschema describes an object."""
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)
