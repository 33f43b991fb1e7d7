"""What only the results need, imported while replies are awaited: pandas.

Its import takes about a second. Made after the last answer it would be waited for; made before the first request it
would hold that up. While requests are out it costs nothing, as most of that time is spent waiting for providers.
A dispatch that is over within SETTLED_S has the processor for itself.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SETTLED_S = 10.0
"""Seconds from one look at whether requests are out to the next; imports begin with the first that finds it so. Each
holds up a dispatch for some hundredths of a second, which a short one would feel."""
NAMES = ("pandas",)


class Ahead:
    """Imports in a thread, from `begin` to `end`; an import that has begun is ended. May be used again."""

    def __init__(self, settled_s: float = SETTLED_S) -> None:
        self._settled_s = settled_s
        self._over = threading.Event()

    def begin(self, has_sent: Callable[[], bool]) -> None:
        """A dispatch begins; `has_sent` is asked whether its first request is out. Returns at once."""
        self.end()
        self._over = threading.Event()
        words = self._over, self._settled_s, has_sent, NAMES
        # Not a daemon: an interpreter that ends within an extension's import may crash.
        threading.Thread(target=_import, args=words, name="ahead").start()

    def end(self) -> None:
        """The dispatch is over: whoever needs a module now imports it. Safe to call again."""
        self._over.set()


def _import(over: threading.Event, settled_s: float, has_sent: Callable[[], bool], names: Iterable[str]) -> None:
    while not (over.wait(settled_s) or has_sent()):
        pass
    for name in names:
        if over.is_set():
            return
        with suppress(Exception):  # whoever needs it says what is wrong with it
            import_module(name)
