"""Ctrl-C, SIGTERM and the terminal's end, as a running dispatch takes them."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType

    from runner.dispatch.observer import Stop

HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""Tells that the terminal has gone; Windows has none."""


@contextmanager
def interrupts(stop: Stop) -> Iterator[None]:
    """Ctrl-C, SIGTERM or the terminal's end: send nothing more and wait for what is in flight. Twice: drop that too."""
    terminals = outputs_on_terminals()

    def asked(number: int, _frame: FrameType | None) -> None:
        if number == HANGUP:  # which the terminal and its shell may both send: the second asks for nothing more
            turn_away(terminals)
        elif stop.asked and stop.drop is not None:
            stop.drop()
        elif stop.asked:
            raise KeyboardInterrupt(number)
        stop.asked = True

    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    # What is ignored stays so: nohup's runs outlive their terminal, and a shell's background jobs another's Ctrl-C.
    signals = [signal.SIGINT, signal.SIGTERM, *([HANGUP] if HANGUP is not None else [])]
    heard = [number for number in signals if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, asked) for number in heard}
    try:
        yield
    except KeyboardInterrupt:
        stop.asked = True
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def outputs_on_terminals() -> list[int]:
    """Which of standard output and error are a terminal now."""
    return [output for output in (1, 2) if os.isatty(output)]


def turn_away(terminals: Iterable[int]) -> None:
    """Have outputs whose terminal has gone lead nowhere: to print there would be an error, and end the run."""
    for output in terminals:
        if not os.isatty(output):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, output)
            os.close(nowhere)
