"""Which answers of a ledger are meant: by key, run, model, kind and age, all of what is stated together."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from runner.ledger.database import parts
from runner.ledger.upkeep.entries import PLACE, raws, read
from runner.ledger.upkeep.kinds import DAMAGED, NOT_A_REPLY, Judge, why_no_reply

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from runner.ledger.database import Database
    from runner.ledger.upkeep.entries import StoredEntry, Where

REPLIES_AT_A_TIME = 200


@dataclass(frozen=True, slots=True)
class Selection:
    """What a row must be. Everything, as it stands here."""

    keys: tuple[str, ...] = ()
    """Keys or their beginnings, or places such as row:12."""
    of: Collection[str] | None = None
    """The keys of a run."""
    models: tuple[str, ...] = ()
    """Ids of models, in which * stands for anything."""
    kinds: frozenset[str] = frozenset()
    """Names in kinds.KINDS, or any that `run_kinds` has."""
    run_kinds: Mapping[str, str] = field(default_factory=dict)
    """Key -> the kind of problem that a run's rows tell of it."""
    older_than_s: float | None = None
    newer_than_s: float | None = None
    """Seconds since it was received; a row whose time is damaged is neither older nor newer."""

    @property
    def is_everything(self) -> bool:
        """Whether nothing is stated."""
        ages = self.older_than_s is not None or self.newer_than_s is not None
        return not (self.keys or self.of is not None or self.models or self.kinds or ages)


def select(database: Database, meant: Selection, where: Where = "ledger_answer") -> Iterator[StoredEntry]:
    """The rows that are meant, in the order of their places. Replies are read only where a kind needs them."""
    fitting = (entry for entry in read(database, where) if _fits(entry, meant))
    if not meant.kinds:
        yield from fitting
        return
    judge = Judge()
    for part in parts(fitting, REPLIES_AT_A_TIME):
        found = raws(database, [entry.place for entry in part], where)
        yield from (entry for entry in part if _is_of(entry, found.get(entry.place, b""), meant, judge))


def _fits(entry: StoredEntry, meant: Selection) -> bool:
    if meant.of is not None and entry.key not in meant.of:
        return False
    if meant.keys and not any(_is_named(entry, key) for key in meant.keys):
        return False
    if meant.models and not any(fnmatchcase(entry.model_id, model) for model in meant.models):
        return False
    return _is_of_age(entry, meant)


def _is_named(entry: StoredEntry, key: str) -> bool:
    if key.startswith(PLACE):
        return f"{PLACE}{entry.place}" == key
    return entry.key.startswith(key)


def _is_of_age(entry: StoredEntry, meant: Selection) -> bool:
    if meant.older_than_s is None and meant.newer_than_s is None:
        return True
    if entry.received is None:
        return False
    age = datetime.now(UTC) - entry.received
    old = meant.older_than_s is None or age > timedelta(seconds=meant.older_than_s)
    return old and (meant.newer_than_s is None or age < timedelta(seconds=meant.newer_than_s))


def _is_of(entry: StoredEntry, raw: bytes, meant: Selection, judge: Judge) -> bool:
    if meant.run_kinds.get(entry.key) in meant.kinds:
        return True
    if entry.damage is not None:
        return DAMAGED in meant.kinds
    if NOT_A_REPLY in meant.kinds and why_no_reply(entry.endpoint, raw) is not None:
        return True
    # Whatever else can be told takes decoding, and so LiteLLM for some providers.
    return bool(meant.kinds - {NOT_A_REPLY, DAMAGED}) and judge.kind(entry, raw) in meant.kinds
