"""Group commit: what is put one by one is stored many at a time, by a thread, 50 ms or 200 answers late."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.records import Answer

GROUP_ROWS = 200
"""Answers that start a commit at once."""
MOST_WAITING = 1_000
"""Answers that may wait for a commit; whoever puts one more waits as well, so that a slow disk fills no memory."""
GROUP_S = 0.025
"""Seconds that the first answer of a group waits for company: half of the 50 ms, the rest is for the commit."""


@dataclass(slots=True)
class _Group:
    """Answers that are committed together."""

    due: float
    """On the monotonic clock."""
    answers: list[Answer] = field(default_factory=list)
    durable: Future[None] = field(default_factory=Future)

    def __post_init__(self) -> None:
        # One caller that cancels its wait must not cancel it for the others who share the future.
        self.durable.set_running_or_notify_cancel()


class Writer:
    """A thread that stores what `put` collects. The first failure ends it; later calls repeat that LedgerError."""

    def __init__(self, store: Callable[[list[Answer]], None]) -> None:
        self._store = store
        self._changed = threading.Condition()
        self._group: _Group | None = None
        self._newest: Future[None] | None = None
        self._hurry = False
        self._closed = False
        self._error: LedgerError | None = None
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def put(self, answer: Answer) -> Future[None]:
        """Keep an answer; the future completes when it is durable. Waits only where MOST_WAITING do."""
        with self._changed:
            self._check()
            while self._group is not None and len(self._group.answers) >= MOST_WAITING:
                self._changed.wait()
                self._check()
            if (group := self._group) is None:
                self._group = group = _Group(time.monotonic() + GROUP_S)
                self._newest = group.durable
                self._changed.notify_all()
            group.answers.append(answer)
            if len(group.answers) == GROUP_ROWS:
                self._changed.notify_all()
            return group.durable

    def flush(self) -> None:
        """Return when everything put so far is durable."""
        with self._changed:
            self._check()
        self.catch_up()

    def catch_up(self) -> None:
        """Wait for what was put and is not yet durable; a failure that was already reported stays silent."""
        with self._changed:
            newest = self._newest
            if newest is None or newest.done():
                return
            self._hurry = self._group is not None
            self._changed.notify_all()
        newest.result()

    def close(self) -> None:
        """Store what was put, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        if self._closed:
            raise LedgerError("the ledger is closed")

    def _run(self) -> None:
        while (group := self._take()) is not None:
            try:
                self._store(group.answers)
            except LedgerError as error:
                self._fail(group, error)
                return
            group.durable.set_result(None)

    def _take(self) -> _Group | None:
        """The next group once it is full, due or asked for; None at the end."""
        with self._changed:
            while (group := self._group) is None and not self._closed:
                self._changed.wait()
            if group is None:
                return None
            while len(group.answers) < GROUP_ROWS and not (self._hurry or self._closed):
                if not self._changed.wait(group.due - time.monotonic()):
                    break
            self._group, self._hurry = None, False
            self._changed.notify_all()
            return group

    def _fail(self, group: _Group, error: LedgerError) -> None:
        with self._changed:
            self._error = error
            waiting, self._group = self._group, None
            self._changed.notify_all()
        for lost in filter(None, (group, waiting)):
            lost.durable.set_exception(error)
