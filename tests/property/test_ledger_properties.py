"""Whatever is done to a ledger, in whatever order, it agrees with a dict."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from runner.ledger.answers import Ledger, open_ledger
from runner.records import Answer

if TYPE_CHECKING:
    from runner.ledger.claims import Claims

KEYS = st.sampled_from("abcdef")
SOME_KEYS = st.lists(KEYS, max_size=8)
OWNERS = st.sampled_from(["one", "two"])
LEASE_S = 3600.0


class LedgerAgainstDict(RuleBasedStateMachine):
    """`stored` and `claims` are what the ledger must hold after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="ledger-")
        self.stored: dict[str, Answer] = {}
        self.claims: dict[str, str] = {}
        self.lapsed: dict[str, str] = {}
        """Claims past their lease that nobody has taken over."""

    def open(self) -> Ledger:
        """The ledger of this sequence of steps."""
        return open_ledger(f"sqlite:///{self.folder.name}/ledger.db")

    def of(self, owner: str, lease_s: float = LEASE_S) -> Claims:
        """The claims of one of the owners."""
        return replace(self.ledger.claims, owner=owner, lease_s=lease_s)

    @initialize()
    def make(self) -> None:
        """Start with a new ledger."""
        self.ledger = self.open()

    @rule(key=KEYS, raw=st.binary(max_size=20), attempts=st.integers(1, 24))
    def put(self, key: str, raw: bytes, attempts: int) -> None:
        """The first answer of a key stays, and any put ends the claim on its key."""
        answer = Answer(key, raw, "live", "model", "endpoint", attempts, 0.25, "2026-01-02T03:04:05.678+00:00")
        self.ledger.put(answer)
        self.stored.setdefault(key, answer)
        self.claims.pop(key, None)
        self.lapsed.pop(key, None)

    @rule()
    def flush(self) -> None:
        """Once all is durable, another opening of the ledger has it too."""
        self.ledger.flush()
        with self.open() as other:
            assert other.lookup("abcdef") == self.stored.keys()

    @rule(keys=SOME_KEYS)
    def lookup(self, keys: list[str]) -> None:
        """Those keys that were ever put are found."""
        assert self.ledger.lookup(keys) == self.stored.keys() & set(keys)

    @rule(keys=SOME_KEYS)
    def answers(self, keys: list[str]) -> None:
        """The first answers come in the order of the keys given."""
        assert list(self.ledger.answers(keys)) == [self.stored[key] for key in keys if key in self.stored]

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        """A single key gives its first answer or None."""
        assert self.ledger.get(key) == self.stored.get(key)

    @rule(keys=SOME_KEYS, owner=OWNERS)
    def claim(self, keys: list[str], owner: str) -> None:
        """What is neither answered nor claimed by the other owner is granted."""
        free = {key for key in keys if key not in self.stored and self.claims.get(key, owner) == owner}
        assert self.of(owner).claim(keys) == free
        self.claims |= dict.fromkeys(free, owner)
        self.lapsed = {key: of for key, of in self.lapsed.items() if key not in free}

    @rule(owner=OWNERS)
    def renew(self, owner: str) -> None:
        """Renewing changes nobody's right to a key; what had lapsed and was not taken over is the owner's again."""
        self.of(owner).renew()
        again = {key: of for key, of in self.lapsed.items() if of == owner}
        self.claims |= again
        self.lapsed = {key: of for key, of in self.lapsed.items() if key not in again}

    @rule(owner=OWNERS)
    def expire(self, owner: str) -> None:
        """A lease that has run out gives up the owner's claims."""
        self.of(owner, -1.0).renew()
        self.lapsed |= {key: of for key, of in self.claims.items() if of == owner}
        self.claims = {key: of for key, of in self.claims.items() if of != owner}

    @rule(owner=OWNERS, keys=st.none() | SOME_KEYS)
    def release(self, owner: str, keys: list[str] | None) -> None:
        """Only the owner's claims on the keys named, or all of them, are given up."""
        self.of(owner).release(keys)
        held = {**self.claims, **self.lapsed}
        gone = {key for key, of in held.items() if of == owner and (keys is None or key in keys)}
        self.claims = {key: of for key, of in self.claims.items() if key not in gone}
        self.lapsed = {key: of for key, of in self.lapsed.items() if key not in gone}

    @rule()
    def reopen(self) -> None:
        """Closing and opening changes nothing."""
        self.ledger.close()
        self.ledger = self.open()

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.ledger.close()
        self.folder.cleanup()


TestLedgerAgainstDict = LedgerAgainstDict.TestCase
TestLedgerAgainstDict.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
