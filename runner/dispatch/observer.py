"""What dispatch, live and by batch, shares with who starts it: what is wanted, who is told, where answers go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence, Set
    from concurrent.futures import Future

    from runner.ledger.batch_records import BatchRecord
    from runner.records import Answer, Failure, Model, Trial

NOT_SENT = "not_sent"
"""Kind of a trial that was never sent because the run was interrupted."""
STOPPED = "stopped"
"""Kind of a trial that was never sent because its model refuses everything."""


def repeats_key(model: Model) -> str:
    """What is said, once, of a model whose replies hold its key."""
    return f"{model.name}: replies repeat the API key; they are kept with <{model.key_env}> instead"


class Observer(Protocol):
    """Who is told what happens. Every call comes from the dispatching thread and must return at once.

    Trials that go by batch come without their messages.
    """

    def planned(self, model: Model, count: int) -> None:
        """So many requests are about to be sent to a model."""

    def sent(self, trial: Trial) -> None:
        """An attempt leaves, or a request's batch was taken by its provider."""

    def answered(self, trial: Trial, answer: Answer) -> None:
        """A reply arrived and is on its way to the ledger."""

    def failed(self, trial: Trial, failure: Failure) -> None:
        """A trial ended without a reply."""

    def waiting(self, model: Model, kind: str, wait_s: float, reason: str = "") -> None:
        """A transient error, in words: the next attempt follows in `wait_s` seconds."""

    def batch(self, entry: BatchRecord) -> None:
        """Something about a batch has changed."""

    def notice(self, line: str) -> None:
        """Something that whoever watches should know at once, such as why nothing moves."""


class Keep(Protocol):
    """Where answers go; runner.ledger.answers.Ledger is one. Each call raises LedgerError where they cannot be kept."""

    def put(self, answer: Answer) -> Future[None]:
        """Take an answer; the future completes when it is durable."""

    def store(self, answers: Sequence[Answer]) -> Future[None]:
        """Take answers that came together, for the dispatching thread; the future is often complete already."""

    def flush(self) -> None:
        """Return when every answer that was put is durable."""


@dataclass(slots=True)
class Stop:
    """Asked of a running dispatch: send nothing more, and let what is in flight arrive."""

    asked: bool = False
    drop: Callable[[], object] | None = None
    """Give up what is in flight too; set while a dispatch is running."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of one model by batch."""

    model: Model
    keys: Set[str]
    trials: Iterator[Trial]
    """Each key once."""


@dataclass(slots=True)
class Outcome:
    """What became of the keys wanted by batch. Those in none of the fields have their answer in the ledger."""

    failures: dict[str, Failure] = field(default_factory=dict)
    live: set[str] = field(default_factory=set)
    """To be sent live: `batch.fallback=live`, or no batch line can be made of their model's requests."""
    pending: dict[str, str] = field(default_factory=dict)
    """Key -> id of the batch that still runs, or may."""

    others: set[str] = field(default_factory=set)
    """Answered by a batch of another run, whose results another process fetched: bought there, not here."""

    @property
    def detached(self) -> bool:
        """Whether batches were left running."""
        return bool(self.pending)
