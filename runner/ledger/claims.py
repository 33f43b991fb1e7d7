"""Who is at work on what, so that no two processes buy one request or follow one batch: one lease for both.

Whoever takes a key or a batch holds it for a lease, renews that while it lives, and gives it up at its end. What a
process of this machine held when it was killed is free at once; what a vanished machine held, when its lease is over.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from runner import process
from runner.errors import LedgerError
from runner.ledger.database import now, parts
from runner.ledger.schema import BATCH, CLAIM, answered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from runner.ledger.database import Database

LEASE_S = 60.0
"""How long a claim lasts unless it is renewed: what a machine that vanished keeps the others waiting."""
LONGEST_S = 86_400.0
"""More than any lease, and than clocks of machines differ by."""
LOOK_AGAIN_S = 0.5
"""Seconds between two looks at what another process is at work on."""


def new_owner() -> str:
    """A name for who takes something: this process, and one of its ledgers."""
    return f"{process.this()}|{os.urandom(4).hex()}"


@dataclass(frozen=True, slots=True)
class Claims:
    """One owner's claims in a ledger."""

    database: Database
    catch_up: Callable[[], None]
    """Returns when every answer put so far is durable: an answer ends the claim on its key."""
    owner: str = field(default_factory=new_owner)
    lease_s: float = LEASE_S

    def claim(self, keys: Iterable[str]) -> set[str]:
        """Those of `keys` that this owner may buy: no answer yet, and no other owner's live claim.

        Each key is granted to one owner at a time, whatever the number of processes. The owner's own claims are
        granted again. A claim ends with the answer, `release`, or its lease.
        """
        self.catch_up()
        granted: set[str] = set()
        # Sorted, so that two owners who want the same keys lock them in one order and cannot deadlock on a server.
        for part in parts(sorted(set(keys))):
            with self.database.writing() as connection:
                granted |= self._claim(connection, part)
        return granted

    def take(self, batch: str) -> bool:
        """Keep others off a batch; False where another process that lives is at work on it, or there is none."""
        with self.database.writing() as connection:
            query = sa.select(BATCH.c.owner, BATCH.c.until).where(BATCH.c.id == batch).with_for_update()
            row, moment = connection.execute(query).first(), now(connection)
            if row is None or (row.owner not in {None, self.owner} and _is_held(row.owner, row.until, moment)):
                return False
            mine = {"owner": self.owner, "until": moment + self.lease_s}
            connection.execute(sa.update(BATCH).where(BATCH.c.id == batch).values(mine))
        return True

    def renew(self) -> None:
        """Let all that this owner holds last a lease from now."""
        with self.database.writing() as connection:
            _hold(connection, self.owner)
            until = now(connection) + self.lease_s
            for table in (CLAIM, BATCH):
                connection.execute(sa.update(table).where(table.c.owner == self.owner).values(until=until))

    def release(self, keys: Iterable[str] | None = None) -> None:
        """Give up this owner's claims on keys, or on all that it holds."""
        self._release(self.owner, keys)

    def leave(self, batch: str | None = None) -> None:
        """Let others at a batch, or at all that this owner holds."""
        mine = sa.update(BATCH).where(BATCH.c.owner == self.owner).values(owner=None, until=None)
        with self.database.writing() as connection:
            connection.execute(mine if batch is None else mine.where(BATCH.c.id == batch))

    def owners(self) -> set[str]:
        """Everyone who holds a claim on a key, live or past its lease."""
        with self.database.reading() as connection:
            return set(connection.scalars(sa.select(CLAIM.c.owner).distinct()))

    def forget_the_dead(self) -> None:
        """Free what processes of this machine held when they were killed, without waiting for the lease.

        A claim that no process can have made, of somebody who is none or for years, is damaged: it would hold its key
        for ever.
        """
        with self.database.writing() as connection:
            connection.execute(sa.delete(CLAIM).where(_is_damaged(connection)))
        for owner in filter(is_dead, self.owners()):
            self._release(owner)

    def _release(self, owner: str, keys: Iterable[str] | None = None) -> None:
        self.catch_up()
        with self.database.writing() as connection:
            _hold(connection, owner)
            mine = sa.delete(CLAIM).where(CLAIM.c.owner == owner)
            if keys is not None:
                for part in parts(keys):
                    connection.execute(mine.where(CLAIM.c.key.in_(part)))
                return
            connection.execute(mine)
            connection.execute(sa.update(BATCH).where(BATCH.c.owner == owner).values(owner=None, until=None))

    def _claim(self, connection: sa.Connection, keys: Sequence[str]) -> set[str]:
        moment = now(connection)
        insert = self.database.insert(CLAIM)
        claim = insert.on_conflict_do_update(
            index_elements=["key"],
            set_={"owner": insert.excluded.owner, "until": insert.excluded.until},
            where=sa.or_(CLAIM.c.owner == self.owner, CLAIM.c.until <= moment),
        )
        until = moment + self.lease_s
        connection.execute(claim, [{"key": key, "owner": self.owner, "until": until} for key in keys])
        mine = sa.select(CLAIM.c.key).where(CLAIM.c.key.in_(keys), CLAIM.c.owner == self.owner)
        granted = set(connection.scalars(mine))
        # Only now: on a server another owner's answer may have arrived, and ended its claim, until a moment ago.
        if has_answer := answered(connection, keys):
            connection.execute(sa.delete(CLAIM).where(CLAIM.c.owner == self.owner, CLAIM.c.key.in_(has_answer)))
        return granted - has_answer


@contextmanager
def renewing(claims: Claims) -> Iterator[None]:
    """Keep an owner's claims alive from a thread.

    A ledger that is locked, or whose server restarts, is asked again: where the lease runs out meanwhile, another
    process buys the same.
    """
    ended = threading.Event()
    usual_s = claims.lease_s / 3

    def run() -> None:
        pause_s = usual_s
        while not ended.wait(pause_s):
            try:
                claims.renew()
            except LedgerError:
                pause_s = min(LOOK_AGAIN_S, usual_s)
            else:
                pause_s = usual_s

    thread = threading.Thread(target=run, name="claims", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _is_held(owner: Any, until: Any, moment: float) -> bool:
    """Whether a process that lives holds something. A lease that no process can have taken is damaged, and none."""
    return isinstance(until, int | float) and moment < until <= moment + LONGEST_S and not is_dead(owner)


def is_dead(owner: Any) -> bool:
    """Whether a claim's owner was a process of this machine that has ended."""
    claimer = process.parse(owner) if isinstance(owner, str) else None
    return claimer is not None and process.has_ended(claimer)


def _is_damaged(connection: sa.Connection) -> sa.ColumnElement[bool]:
    """Whether a claim is none; SQLite keeps a value of any type in any column, where any text is above any number."""
    for_years = CLAIM.c.until > now(connection) + LONGEST_S
    if connection.dialect.name != "sqlite":
        return for_years
    kind = sa.func.typeof
    return sa.or_(for_years, kind(CLAIM.c.until).not_in(("real", "integer")), kind(CLAIM.c.owner) != "text")


def _hold(connection: sa.Connection, owner: str) -> None:
    """Lock the owner's claims in the order of their keys, as `claim` does (a server; SQLite has one writer anyway)."""
    connection.execute(sa.select(CLAIM.c.key).where(CLAIM.c.owner == owner).order_by(CLAIM.c.key).with_for_update())
