"""Progress where Python is called: a line of a notebook's cell that is drawn again and again, or none."""

from __future__ import annotations

import html
import logging
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from runner.reporting.progress import render
from runner.reporting.progress.counts import ProgressCounts
from runner.reporting.progress.display import LOOK_S, SHARE, Progress
from runner.reporting.progress.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.reporting.progress.sampler import Snapshot

log = logging.getLogger(__name__)


@contextmanager
def watching(*, shown: bool | None, stopping: Callable[[], bool]) -> Iterator[ProgressCounts]:
    """What is to be told of a dispatch, shown while the context is open.

    `shown` None: in a notebook only; True: elsewhere too, on standard error; False: nowhere.
    """
    display = None if shown is False else _notebook()
    if display is not None:
        with _Cell(display, stopping) as counts:
            yield counts
    elif shown:
        from rich.console import Console

        with Progress(Console(stderr=True), "usual", stopping) as counts:
            yield counts
    else:
        yield ProgressCounts()


def _notebook() -> Callable[..., Any] | None:
    """IPython's `display`, where a kernel runs this process: Jupyter in all its forms. Nothing is imported for it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if ipython is None or shell is None or not hasattr(shell, "kernel"):
        return None
    display: Callable[..., Any] = ipython.display.display
    return display


class _Cell:
    """A cell's output: a bar and a line, as text and as HTML."""

    def __init__(self, display: Callable[..., Any], stopping: Callable[[], bool]) -> None:
        self._display = display
        self._counts = ProgressCounts()
        self._sampler = Sampler(self._counts, stopping)
        self._ended = threading.Event()
        self._handle: Any = None

    def __enter__(self) -> ProgressCounts:
        # From here, as the cell's own: what another thread shows first may land in another cell.
        self._handle = self._display(_drawn(None), raw=True, display_id=True)
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._thread.start()
        return self._counts

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        """Whatever goes wrong with a display must not cost a run its answers."""
        try:
            pause_s = LOOK_S
            while not self._ended.wait(pause_s):
                began = time.perf_counter()
                self._draw()
                pause_s = max(LOOK_S, (time.perf_counter() - began) / SHARE)
            self._draw()
        except Exception:
            log.exception("the display of progress ended")

    def _draw(self) -> None:
        if self._counts.models:
            self._handle.update(_drawn(self._sampler.sample()), raw=True)


def _drawn(snapshot: Snapshot | None) -> dict[str, str]:
    """A moment as a notebook takes it, by MIME type; None: nothing is planned yet."""
    if snapshot is None:
        return {"text/plain": "", "text/html": ""}
    line, total = render.line(snapshot), snapshot.total
    bar = f'<progress value="{total.done}" max="{total.planned}" aria-label="requests"></progress>'
    return {"text/plain": line, "text/html": f"{bar} {html.escape(line)}"}
