"""Group commit: a thread stores what is put at once, and what comes while it does so together in the next commit.

Nothing waits for company. Alone, an answer is durable after one commit; under load the commits grow by themselves.
"""

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

LOOK_AGAIN_S = 0.25
"""Seconds between two attempts to store what could not be stored for a passing reason."""


@dataclass(slots=True)
class _Group:
    """Answers that are committed together."""

    answers: list[Answer] = field(default_factory=list)
    durable: Future[None] = field(default_factory=Future)

    def __post_init__(self) -> None:
        # One caller that cancels its wait must not cancel it for the others who share the future.
        self.durable.set_running_or_notify_cancel()


class Writer:
    """A thread that stores what `put` collects. The first failure ends it; later calls repeat that LedgerError.

    Where there is another place to keep them in, answers that come after a failure are still taken, and go there; their
    futures too have that LedgerError, which says where they are.

    A failure that may pass (LedgerError.patience_s) is one only when it has lasted so long. Whoever puts answers waits
    for their future before putting many more: nothing here bounds how many wait.
    """

    def __init__(
        self,
        store: Callable[[list[Answer]], None],
        elsewhere: Callable[[list[Answer], LedgerError], LedgerError | None] = lambda _answers, _error: None,
    ) -> None:
        self._store = store
        self._elsewhere = elsewhere
        """Keeps what could not be stored, and says where; None where it cannot either."""
        self._moved: LedgerError | None = None
        """Why answers are kept elsewhere, from then on."""
        self._changed = threading.Condition()
        self._group: _Group | None = None
        self._newest: Future[None] | None = None
        self._closed = False
        self._error: LedgerError | None = None
        self._thread: threading.Thread | None = None
        self.held_up: LedgerError | None = None
        """Why what was put is not stored yet, while that may still pass."""

    def start(self) -> None:
        """Have the thread. It is a daemon, so that a crash elsewhere ends the process; who only reads needs none."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="ledger", daemon=True)
            thread.start()
            self._thread = thread

    @property
    def is_well(self) -> bool:
        """Whether it takes answers, and holds none that it could not store yet."""
        return self._error is None and self._moved is None and not self._closed and self.held_up is None

    def put(self, *answers: Answer) -> Future[None]:
        """Keep answers; the future, which answers of one commit share, completes when they are durable."""
        with self._changed:
            self._check()
            self.start()
            if (group := self._group) is None:
                self._group = group = _Group()
                self._newest = group.durable
                self._changed.notify()
            group.answers.extend(answers)
            return group.durable

    def flush(self) -> None:
        """Return when everything put so far is durable."""
        with self._changed:
            self._check()
        self.catch_up()
        if self._moved is not None:
            raise self._moved

    def catch_up(self) -> None:
        """Wait for what was put and is not yet durable; a failure that was already reported stays silent."""
        newest = self._newest
        if newest is not None and not newest.done():
            newest.result()

    def close(self) -> None:
        """Store what was put, and end; an interruption meanwhile is raised when that is done."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            _join(self._thread)
        if (failed := self._error or self._moved) is not None:
            raise failed

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        if self._closed:
            raise LedgerError("the ledger is closed")

    def _run(self) -> None:
        while (group := self._take()) is not None:
            failed = self._moved or self._failure_of(group.answers)
            if failed is None:
                group.durable.set_result(None)
                continue
            self._moved = self._elsewhere(group.answers, failed)
            if self._moved is None:
                self._fail(group, failed)
                return
            self.held_up = None
            group.durable.set_exception(self._moved)

    def _take(self) -> _Group | None:
        """The next group, as soon as there is one; None at the end."""
        with self._changed:
            while (group := self._group) is None and not self._closed:
                self._changed.wait()
            self._group = None
            return group

    def _failure_of(self, answers: list[Answer]) -> LedgerError | None:
        """Why answers cannot be stored; None where they are."""
        try:
            self._store_patiently(answers)
        except LedgerError as error:
            return error
        return None

    def _store_patiently(self, answers: list[Answer]) -> None:
        """Store; what may pass is waited for, while whoever waits for these answers sends nothing more."""
        began = time.monotonic()
        while True:
            try:
                self._store(answers)
            except LedgerError as error:
                if time.monotonic() - began >= error.patience_s:
                    raise
                self.held_up = error
                time.sleep(LOOK_AGAIN_S)
            else:
                self.held_up = None
                return

    def _fail(self, group: _Group, error: LedgerError) -> None:
        with self._changed:
            self._error = error
            waiting, self._group = self._group, None
        for lost in filter(None, (group, waiting)):
            lost.durable.set_exception(error)


def _join(thread: threading.Thread) -> None:
    """Until a thread has ended. Ctrl-C meanwhile loses nothing of what it has in hand: it counts afterwards."""
    interrupted: KeyboardInterrupt | None = None
    while thread.is_alive():
        try:
            thread.join()
        except KeyboardInterrupt as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted
