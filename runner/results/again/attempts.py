"""A trial that is asked more than once: its attempts read in order, which of them counts, and what is to be asked next.

Everything follows from the answers that are there, so that a run, its repetition and its verification see the same:
attempt n of a trial has the key `attempt_key(key, n)`, whoever bought it, live or by batch.

    named keys     asked once more for each naming, whatever was said; of these the last is where reading begins
    a reply of     one of the kinds: asked again, up to `unscorable` further times, until one is of another kind
    what counts    the first, from where reading begins, that is not of these kinds; where all are, the first
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, TypeVar

from runner.plan.trials import attempt_key
from runner.records import REFUSED, Tokens
from runner.results.launch import PENDING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from runner.records import Answer, AskAgain, Failure, Row, Trial
    from runner.results.rows import Reader

    Answers = Callable[[Sequence[str]], Iterable[Answer]]


T = TypeVar("T", int, float)


@dataclass(slots=True)
class AttemptedTrial:
    """A trial, and what came of each attempt at it so far."""

    trial: Trial
    rows: dict[int, Row] = field(default_factory=dict)
    """Number of the attempt -> its row, of those that brought a reply or a refusal."""
    wanted: int | None = None
    """The attempt that is to be made next; None where nothing is to be asked."""
    ended: Failure | None = None
    """How the last attempt ended, where it brought no reply."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """Reads attempts. `failure` tells how a key ended that has no answer; `bought` whether this launch paid for one."""

    reader: Reader
    again: AskAgain
    answers: Answers
    failure: Callable[[str], Failure | None]
    bought: Callable[[str], bool]

    def read(self, trials: Iterable[Trial]) -> list[AttemptedTrial]:
        """Each trial with its attempts; one look at the ledger for each number of attempt."""
        asked = [AttemptedTrial(trial) for trial in trials]
        open_, number = asked, 1
        while open_:
            keys = [attempt_key(one.trial.key, number) for one in open_]
            found = {answer.key: answer for answer in self.answers(keys)}
            open_ = [
                one for one, key in zip(open_, keys, strict=True) if self._goes_on(one, number, key, found.get(key))
            ]
            number += 1
        return asked

    def most(self, trial: Trial) -> int:
        """How often a trial may be asked in all."""
        return 1 + self.again.named(trial.key) + self.again.unscorable

    def _goes_on(self, one: AttemptedTrial, number: int, key: str, answer: Answer | None) -> bool:
        """Take up an attempt; whether the next one is to be looked at."""
        if answer is None:
            failure = self.failure(key)
            if failure is None:
                one.wanted = number if one.wanted is None else one.wanted
                # What a filter refuses is kept nowhere: a later attempt may have its answer all the same.
                return number == 1 < self.most(one.trial) and REFUSED in self.again.kinds
            row = self.reader.failed(one.trial, failure)
            if row.outcome == "failed":
                one.ended = failure
                return False
        else:
            one.wanted = None
            row = self.reader.row(one.trial, answer, "bought" if self.bought(key) else "ledger")
        one.rows[number] = row
        return self._wants_more(one.trial, number, row)

    def _wants_more(self, trial: Trial, number: int, row: Row) -> bool:
        if number <= self.again.named(trial.key):
            return True
        return number < self.most(trial) and self.is_unread(row)

    def is_unread(self, row: Row) -> bool:
        """Whether a reply is of the kinds that are asked again."""
        return row.outcome == "unscorable" and row.problem is not None and row.problem.kind in self.again.kinds

    def row(self, one: AttemptedTrial) -> Row | None:
        """The trial's row: what counts of it, with tokens and price of all; None where nothing is known of it."""
        if one.ended is not None and (not one.rows or one.ended.problem.kind == PENDING):
            return self.reader.failed(one.trial, one.ended)
        if not one.rows:
            return None
        first = min(1 + self.again.named(one.trial.key), max(one.rows))
        candidates = {number: row for number, row in one.rows.items() if number >= first}
        taken = next((number for number, row in candidates.items() if not self.is_unread(row)), min(candidates))
        return _summed(one.rows, taken)


def _summed(rows: dict[int, Row], taken: int) -> Row:
    """One of a trial's rows, with what all of them took."""
    held, every = rows[taken], [*rows.values()]
    bought = any(row.source == "bought" for row in every)
    earlier = sum(row.price_usd or 0.0 for row in every if row.source == "ledger") if bought else 0.0
    counts = (_sum([getattr(row.tokens, item.name) for row in every]) for item in fields(Tokens))
    return replace(
        held,
        tokens=Tokens(*counts),
        price_usd=_sum([row.price_usd for row in every]),
        saved_usd=_sum([row.saved_usd for row in every]),
        source="bought" if bought else held.source,
        asked=max(rows),
        taken=taken,
        earlier_usd=earlier,
    )


def _sum(values: Sequence[T | None]) -> T | None:
    """None as soon as one is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
