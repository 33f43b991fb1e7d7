"""An API key that a server repeats is found in every form, and costs little where it is not there."""

from __future__ import annotations

import base64
import html
import json
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from runner.redaction import raw_without_key, without_key

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = ('sk-proj-Ab3+/d=9"x&<q>Zt0pLmN8s', "xai-0123456789abcdefABCDEF", "clé-secrète-1234567890")


def escaped(key: str, chars: str, digits: str) -> str:
    """A key as JSON whose writer escapes some characters for the sake of pages."""
    return "".join(f"\\u{ord(char):{digits}}" if char in chars else json.dumps(char)[1:-1] for char in key)


FORMS: dict[str, Callable[[str], str]] = {
    "JSON within JSON": lambda key: json.dumps(json.dumps("".join(f"\\u{ord(char):04x}" for char in key))),
    "JSON of Go": lambda key: escaped(key, "&<>", "04x"),
    "JSON of .NET": lambda key: escaped(key, "&<>'\"+`", "04X"),
    "JSON of .NET within JSON": lambda key: json.dumps({"a": escaped(key, "&<>'\"+`", "04X")}),
    "base64, slashes escaped": lambda key: base64.b64encode(key.encode()).decode().replace("/", "\\/"),
    "base64 in an address": lambda key: quote(base64.b64encode(key.encode()).decode(), safe=""),
    "as it is": lambda key: key,
    "the first twelve": lambda key: key[:12],
    "the last twelve": lambda key: key[-12:],
    "all but the last": lambda key: key[:-1],
    "percent-encoded": lambda key: quote(key, safe=""),
    "percent-encoded in lower case": lambda key: "".join(f"%{byte:02x}" for byte in key.encode()),
    "percent-encoded, every letter": lambda key: "".join(f"%{byte:02X}" for byte in key.encode()),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 for addresses": lambda key: base64.urlsafe_b64encode(key.encode()).decode(),
    "base64 of its header": lambda key: base64.b64encode(f"Bearer {key}".encode()).decode(),
    "basic": lambda key: base64.b64encode(f"user:{key}".encode()).decode(),
    "basic with the key as user": lambda key: base64.b64encode(f"{key}:".encode()).decode(),
    "hexadecimal": lambda key: key.encode().hex(),
    "hexadecimal in capitals": lambda key: key.encode().hex().upper(),
    "JSON": json.dumps,
    "JSON, every letter": lambda key: "".join(f"\\u{ord(char):04x}" for char in key),
    "HTML": html.escape,
    "HTML, every letter": lambda key: "".join(f"&#{ord(char)};" for char in key),
    "HTML, hexadecimal": lambda key: "".join(f"&#x{ord(char):x};" for char in key),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", KEYS)
def test_no_form_of_a_key_is_left(key: str, form: str) -> None:
    """Whatever the form, twice in a text, what is left holds its variable's name and no twelve characters of it."""
    shown = FORMS[form](key)
    said = f"you sent {shown}, that is {shown}!"
    left = without_key(said, key, "SOME_KEY")
    assert left.startswith("you sent ")
    assert left.count("<SOME_KEY>") == 2
    assert not any(
        shown[at : at + 12] in left
        for at in range(max(1, len(shown) - 11))
        if not form.startswith(("ba", "JSON", "HTML"))
    )
    assert shown not in left
    assert raw_without_key(said.encode(), key, "SOME_KEY") == left.encode()


def test_a_short_key_is_found_as_a_word() -> None:
    """A key of a few characters goes where it stands alone, and stays where it is part of another word."""
    assert without_key("key abc12 in abc123 and Bearer abc12", "abc12", "K") == "key <K> in abc123 and Bearer <K>"
    assert without_key("a key x is x", "x", "K") == "a key x is x"
    assert without_key(base64.b64encode(b"Bearer abc12").decode(), "abc12", "K") != "QmVhcmVyIGFiYzEy"


def test_a_message_that_was_cut_ends_in_no_part_of_it() -> None:
    """A part of the key at the end of a shortened message goes too."""
    assert without_key("you sent sk-proj-Ab…", KEYS[0], "K") == "you sent <K>…"
    assert without_key("you sent sk-proj-Ab… [check the key]", KEYS[0], "K") == "you sent <K>… [check the key]"
    assert without_key("one… two… three", KEYS[0], "K") == "one… two… three"


@pytest.mark.parametrize("form", ["as it is", "percent-encoded", "base64", "hexadecimal", "HTML, every letter"])
def test_a_message_that_was_cut_within_any_form_ends_in_no_part_of_it(form: str) -> None:
    """Wherever a message was cut, nothing of eight characters or more is left of the key at its end."""
    shown = FORMS[form](KEYS[0])
    for length in range(8, len(shown)):
        left = without_key(f"you sent {shown[:length]}…", KEYS[0], "K")
        assert left.startswith("you sent <K>")
        assert shown[:8] not in left


def test_what_holds_no_key_is_the_same_object() -> None:
    """Bytes without the key are given back as they are, for less than 0.1 ms of work a reply of 2 kB."""
    raw = json.dumps({"choices": [{"message": {"content": "a story. " * 220}}]}).encode()
    assert raw_without_key(raw, KEYS[0], "K") is raw
    assert raw_without_key(raw, None, None) is raw
    began = time.process_time()
    for _ in range(200):
        raw_without_key(raw, KEYS[0], "K")
    assert (time.process_time() - began) / 200 < 100e-6
