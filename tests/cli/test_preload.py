"""runner.cli.preload: what only the results need is imported beside a dispatch, and never before its first request."""

from __future__ import annotations

import threading

from runner.cli.preload import Ahead


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ahead"]


def test_nothing_is_imported_before_a_request_is_out_and_the_end_of_a_dispatch_is_the_end_of_waiting() -> None:
    """However often it is asked, a dispatch that has sent nothing keeps the imports waiting; its end lets them go."""
    asked, often = 0, threading.Event()

    def has_sent() -> bool:
        nonlocal asked
        asked += 1
        if asked == 5:
            often.set()
        return False

    ahead = Ahead(settled_s=0.001)
    ahead.begin(has_sent)
    assert often.wait(60)
    (thread,) = _threads()
    ahead.end()
    thread.join(60)
    assert not _threads()


def test_imports_are_made_once_a_request_is_out() -> None:
    """With a request out the thread imports and ends by itself, and may be asked again."""
    ahead = Ahead(settled_s=0.001)
    for _ in range(2):
        ahead.begin(lambda: True)
        for thread in _threads():
            thread.join(60)
        assert not _threads()
    ahead.end()
