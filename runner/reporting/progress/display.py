"""What a person sees while requests are out: one live display a sweep, or a line now and then where no one looks.

counts   what the dispatching thread notes, in a microsecond an event
sampler  counts -> a snapshot of the moment: rates, time left, dollars
render   a snapshot -> a display for a terminal, a line for a log
notebook a snapshot -> a line of a notebook, drawn again and again

Whatever takes time happens in a thread of its own, and takes no more than SHARE of it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from runner.reporting.progress import render
from runner.reporting.progress.counts import ProgressCounts
from runner.reporting.progress.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.console import Console
    from rich.live import Live

    from runner.reporting.progress import Loudness

__all__ = ["Progress", "ProgressCounts", "is_watched"]

LOOK_S = 0.4
"""Seconds between two looks of the display."""
SHARE = 0.03
"""Most of the time that looking may take: looks come less often where one takes long."""
LINES_S = ((60.0, 5.0), (600.0, 15.0), (float("inf"), 60.0))
"""For a log: until so many seconds have gone by, a line every so many."""

log = logging.getLogger(__name__)


class Progress:
    """Shows a dispatch on a console while the context is open. What it gives is the Observer to be told."""

    def __init__(
        self, console: Console, loudness: Loudness = "usual", stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self.console = console
        self.loudness = loudness
        self.counts = ProgressCounts(verbose=loudness == "verbose")
        self.sampler = Sampler(self.counts, stopping)
        self._live: Live | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> ProgressCounts:
        if self.loudness != "quiet":
            self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
            self._thread.start()
        return self.counts

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        """Whatever goes wrong with a display must not cost a run its answers."""
        try:
            while not self._ended.wait(LOOK_S) and not self.counts.models:
                pass
            if self.counts.models:
                self._watch() if is_watched(self.console) else self._write()
                self._tell()
                self._say(render.last_line(self.sampler.sample()))
        except Exception:
            log.exception("the display of progress ended")

    def _watch(self) -> None:
        from rich.live import Live
        from rich.text import Text

        with Live(Text(""), console=self.console, auto_refresh=False, transient=True) as live:
            pause_s = 0.0
            while not self._ended.wait(pause_s):
                began = time.perf_counter()
                self._tell()
                width, height = self.console.size
                live.update(render.display(self.sampler.sample(), width, height), refresh=True)
                pause_s = max(LOOK_S, (time.perf_counter() - began) / SHARE)

    def _write(self) -> None:
        self._say(render.first_line(self.sampler.sample()))
        next_s = LINES_S[0][1]
        said: set[str] = set()
        while not self._ended.wait(LOOK_S):
            self._tell()
            snapshot = self.sampler.sample()
            for why in (why for why in render.stuck_lines(snapshot) if why not in said):
                said.add(why)
                self._say(why)
            if snapshot.elapsed_s >= next_s:
                self._say(render.line(snapshot))
                next_s = snapshot.elapsed_s + next(every for until, every in LINES_S if snapshot.elapsed_s < until)

    def _tell(self) -> None:
        while self.counts.told:
            self._say(render.event(self.counts.told.popleft()))

    def _say(self, line: str) -> None:
        self.console.print(line, soft_wrap=True, markup=False)


def is_watched(console: Console) -> bool:
    """Whether someone looks at a terminal that can be drawn on: not a log, a pipe, CI or TERM=dumb."""
    on_terminal = console.is_interactive and not console.is_dumb_terminal and console.file.isatty()
    return on_terminal and not os.environ.get("CI")
