"""An API key taken out of whatever a server says, in the forms in which servers repeat what they were sent.

Everything that a provider sends passes here before it is written or shown: messages, raw replies, lines of batches. Of
a key that is not there it costs some microseconds a reply to be sure of that. Known forms: as it is, percent-encoded,
in base64 at any place of a longer value (alone, after `Bearer `, after a user's name), in hexadecimal digits, escaped
as in JSON (within JSON too) or HTML; each whole, and the beginning or end of it from PART characters on.
"""

from __future__ import annotations

import base64
import html
import json
import re
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable

PART = 12
"""So many characters of a key, at its beginning or its end, are as good as the key."""
ENCODED_PART = 16
"""The same of a key that is encoded."""
SHORT = 8
"""A shorter key is only found where it stands as a word of its own: in a text it may be part of another one."""
SHORTEST = 4
"""A still shorter one is no secret, and any text may hold it."""
JSON_WITHIN = 4
"""JSON within JSON so often doubles its backslashes: a reply's own JSON stands in a string of the API's, and that in a
gateway's."""
SHORTEST_ENCODED = 6
"""Fewest characters of an encoded key that are looked for."""


class Redactor:
    """Takes one key out of bytes and text, and puts the name of its variable there."""

    def __init__(self, key: str, name: str) -> None:
        self._key = key
        self._instead = f"<{name}>".encode()
        self._word: re.Pattern[bytes] | None = None
        forms = _forms(key) if len(key) >= SHORTEST else {}
        if len(key) < SHORT and forms:
            raw = key.encode("utf-8", "surrogatepass")
            self._word = re.compile(rb"(?<![A-Za-z0-9_])%b(?![A-Za-z0-9_])" % re.escape(raw))
            forms = {form: part for form, part in forms.items() if len(form) >= SHORTEST_ENCODED and form != raw}
        # What a message that was cut short may end in, with the length from which it is found anywhere.
        self._starts = [(form.decode("utf-8", "surrogatepass"), part) for form, part in forms.items()]
        self._heads = _grouped({form: form[:part] for form, part in forms.items()}, bytes.startswith)
        self._tails = _grouped({form: form[-part:] for form, part in forms.items()}, bytes.endswith)

    def __call__(self, said: bytes) -> bytes:
        """The same bytes where the key is not among them."""
        found = said
        for guard, ends in self._heads:
            if guard in found:
                for head, forms in ends:
                    if head in found:
                        found = self._cut(found, head, forms, forwards=True)
        for guard, ends in self._tails:
            if guard in found:
                for tail, forms in ends:
                    if tail in found:
                        found = self._cut(found, tail, forms, forwards=False)
        if self._word is not None and self._word.search(found):
            found = self._word.sub(lambda _: self._instead, found)
        return (
            said if found is said else re.sub(rb"(?:%b){2,}" % re.escape(self._instead), lambda _: self._instead, found)
        )

    def text(self, said: str) -> str:
        """The same for text."""
        raw = said.encode("utf-8", "surrogatepass")
        found = self(raw)
        said = said if found is raw else found.decode("utf-8", "surrogatepass")
        if "…" not in said:
            return said
        *cut, rest = said.split("…")  # a message that was cut short, with or without advice behind it
        return "…".join([*map(self._without_start, cut), rest])

    def _without_start(self, said: str) -> str:
        """A text that was cut short, and may end within the key."""
        for form, part in self._starts:
            for length in range(min(len(form), part), SHORT - 1, -1):
                if said.endswith(form[:length]):
                    return f"{said[:-length]}{self._instead.decode()}"
        return said

    def _cut(self, said: bytes, part: bytes, forms: list[bytes], *, forwards: bool) -> bytes:
        """Each place of `part` replaced, with as much of any of the forms as goes on from there."""
        kept, start = [], 0
        while (at := said.find(part, start)) >= 0:
            begin, end = at, at + len(part)
            if forwards:
                end = at + max(_common(said[at : at + len(form)], form) for form in forms)
            else:
                longest = (_common(said[start:end][: -len(form) - 1 : -1], form[::-1]) for form in forms)
                begin = end - max(longest)
            kept += [said[start:begin], self._instead]
            start = end
        return b"".join((*kept, said[start:]))


def _common(one: bytes, other: bytes) -> int:
    """How many bytes two begin with alike."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


GUARDS = (b"&", b"\\u00", b"\\", b"%")
"""Characters without which some forms cannot be there: the quickest to look for."""


def _grouped(
    ends: dict[bytes, bytes], begins: Callable[[bytes, bytes], bool]
) -> list[tuple[bytes, list[tuple[bytes, list[bytes]]]]]:
    """Guard -> the ends that are looked for -> the forms that have them; an end that another one has is left out."""
    groups: dict[bytes, dict[bytes, list[bytes]]] = {}
    for end in sorted(set(ends.values()), key=len):
        guard = next((guard for guard in GUARDS if guard in end), b"")
        if not any(begins(end, shorter) for group in groups.values() for shorter in group):
            groups.setdefault(guard, {})[end] = [form for form in ends if begins(form, end)]
    return [(guard, list(group.items())) for guard, group in groups.items()]


@cache
def redactor(key: str | None, name: str | None) -> Redactor | None:
    """The redactor of a key; None where there is none."""
    return Redactor(key, name or "API key") if key else None


def without_key(said: str, key: str | None, name: str | None) -> str:
    """What a provider says, with the name of the key's variable in place of the key."""
    found = redactor(key, name)
    return said if found is None else found.text(said)


def raw_without_key(raw: bytes, key: str | None, name: str | None) -> bytes:
    """The same for a body or a line, as it came; the same object where the key is not in it."""
    found = redactor(key, name)
    return raw if found is None else found(raw)


def _forms(key: str) -> dict[bytes, int]:
    """Every form of a key, and from how many characters on a part of it counts."""
    raw = key.encode("utf-8", "surrogatepass")
    forms = {raw: PART}
    entities = "".join(f"&#{ord(char)};" for char in key)
    escaped = "".join(f"\\u{ord(char):04x}" for char in key)
    percent = "".join(f"%{byte:02X}" for byte in raw)
    others = {
        html.escape(key), html.escape(key).replace("&#x27;", "&#39;"), entities, escaped, percent, percent.lower(),
        "".join(f"&#x{ord(char):x};" for char in key), "".join(f"&#x{ord(char):X};" for char in key),
        "".join(f"\\u{ord(char):04X}" for char in key),
    }  # fmt: skip
    for safe in ("", "/", "-_.~/:"):
        quoted = quote(raw, safe=safe)
        others |= {quoted, _in_lower_case(quoted)}
    others |= {raw.hex(), raw.hex().upper()}
    for digits in (digits.decode() for offset in range(3) for digits in _base64(raw, offset)):
        others |= {digits, quoted := quote(digits, safe=""), _in_lower_case(quoted)}
    for form in others:
        forms.setdefault(form.encode("utf-8", "surrogatepass"), ENCODED_PART)
    for form in (key, *others):
        for written in _in_json(form):
            for depth in range(JSON_WITHIN):
                nested = written.replace("\\", "\\" * 2**depth)
                part = ENCODED_PART * len(nested) // max(1, len(written))
                forms.setdefault(nested.encode("utf-8", "surrogatepass"), part)
    return forms


def _in_lower_case(quoted: str) -> str:
    """Percent-encoded text with its hexadecimal digits in lower case."""
    return re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), quoted)


def _in_json(form: str) -> set[str]:
    """A form in JSON: as it must be, with slashes escaped, and as several languages write it that pages can hold it."""
    needed = {char: json.dumps(char)[1:-1] for char in form}
    found = {"".join(needed[char] for char in form), "".join(needed[char] for char in form).replace("/", "\\/")}
    found.add("".join(needed[char] if char.isascii() else char for char in form))
    for chars in ("&<>'", "&<>'\"+`"):
        for digits in ("04x", "04X"):
            found.add("".join(f"\\u{ord(char):{digits}}" if char in chars else needed[char] for char in form))
    return found


def _base64(raw: bytes, offset: int) -> set[bytes]:
    """Base64 of a value in which the key begins at such an offset of three: the digits that the key alone decides."""
    whole = base64.b64encode(b"\0" * offset + raw).rstrip(b"=")
    digits = whole[(0, 2, 3)[offset] : len(whole) - ((offset + len(raw)) % 3 > 0)]
    return {digits, digits.translate(bytes.maketrans(b"+/", b"-_"))} - {b""}
