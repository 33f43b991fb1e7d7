"""API keys as .env files and copies leave them in the environment."""

from __future__ import annotations

import pytest

from runner.errors import FatalError
from runner.providers.accounts import account_of, fingerprint, key_in
from runner.providers.listing import Source, source_of
from runner.records import Capability, Model

KEY = "sk-abcdef123456"
MODEL = Model(name="m", id="m", provider="openai", vendor="test", key_env="K", capability=Capability(batch="openai"))


@pytest.mark.parametrize("dirty", ["{}\r", "{}\r\n", " {}\t", "\ufeff{}", "\u00a0{}\u200b", "\ufeff {}\n"])
def test_what_stands_around_a_key_is_left_out(dirty: str) -> None:
    """Blanks, line ends and byte-order marks are no part of a key: for live, batch, listing and the fingerprint."""
    found, clean = {"K": dirty.format(KEY)}, {"K": KEY}
    assert key_in("K", found) == KEY
    assert account_of(MODEL, found).api_key == KEY
    assert fingerprint(MODEL, account_of(MODEL, found)) == fingerprint(MODEL, account_of(MODEL, clean))
    listed = source_of(MODEL, found)
    assert isinstance(listed, Source)
    assert listed == source_of(MODEL, clean)


@pytest.mark.parametrize(
    ("dirty", "said"),
    [
        ("sk-abc\r\ndef456", "line break in its middle"),
        ("sk-abc def456", "blank in its middle"),
        (f'"{KEY}"', "quotes around"),
        (f"'{KEY}", "quote at one end"),
        ("sk-abcdéf456", "U\\+00E9"),
    ],
)
def test_what_no_key_holds_is_named(dirty: str, said: str) -> None:
    """A key that cannot be sent is refused by its variable's name, without the key."""
    with pytest.raises(FatalError, match=f"^K .*{said}") as refused:
        key_in("K", {"K": dirty})
    assert "abc" not in str(refused.value)
