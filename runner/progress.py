"""What a person sees while requests are out: a bar for each model, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from runner.records import Answer, Failure, Model, Trial

LINE_EVERY_S = 5.0
"""Seconds between two plain lines."""


class Progress:
    """A runner.live.Observer that shows the dispatch on a console. Used as a context manager."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars: Bars | None = None
        self.tasks: dict[str, TaskID] = {}
        self.total = self.answers = self.failures = self.retries = 0
        self.next_line_s = 0.0

    def __enter__(self) -> Self:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        if self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self.bars = Progress(*columns, TextColumn("{task.fields[note]}"), console=self.console)
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bars is not None:
            self.bars.stop()
        elif self.total:
            self._line()

    def planned(self, model: Model, count: int) -> None:
        """A model's bar, empty."""
        self.total += count
        if self.bars is not None:
            self.tasks[model.name] = self.bars.add_task(model.name, total=count, note="")
        else:
            self.console.print(f"{model.name}: {count} requests to send")

    def sent(self, trial: Trial) -> None:
        """Nothing to show: what counts is what comes back."""

    def answered(self, trial: Trial, _answer: Answer) -> None:
        """One further."""
        self.answers += 1
        self._advance(trial.cell.model)

    def failed(self, trial: Trial, failure: Failure) -> None:
        """One further, and why it failed."""
        self.failures += 1
        self._advance(trial.cell.model, note=failure.problem.kind)

    def waiting(self, model: Model, kind: str, wait_s: float) -> None:
        """Shown on the model's bar until the next event."""
        self.retries += 1
        if self.bars is not None:
            self.bars.update(self.tasks[model.name], note=f"{kind}: again in {wait_s:.0f} s")

    def _advance(self, model: Model, note: str = "") -> None:
        if self.bars is not None:
            self.bars.update(self.tasks[model.name], advance=1, note=note)
        elif time.monotonic() >= self.next_line_s:
            self._line()

    def _line(self) -> None:
        self.next_line_s = time.monotonic() + LINE_EVERY_S
        done = self.answers + self.failures
        self.console.print(f"{done} of {self.total} done, {self.failures} failed, {self.retries} retries")
