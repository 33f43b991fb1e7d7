"""The page written by a process of its own: what it imports and holds is more than the rest of the run."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from runner import process
from runner.errors import RunnerError
from runner.reporting.html import NAME

if TYPE_CHECKING:
    from pathlib import Path

    Mark = tuple[int, int, int] | None


class PageWriter:
    """Writes a folder's report.html from the moment it is made. `written` ends it."""

    def __init__(self, folder: Path) -> None:
        self.page = folder / NAME
        self._before = self._mark()
        command = process.python("runner", "report", str(folder))
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # noqa: S603  itself

    def written(self) -> Path:
        """The page, once it is there. RunnerError where it is not, or is still an earlier one."""
        _, words = self._process.communicate()
        if self._process.returncode != 0:
            said = (line for line in words.splitlines() if line.startswith("error"))
            raise RunnerError(next(said, f"status {self._process.returncode}").removeprefix("error: "))
        if self._mark() in (None, self._before):
            raise RunnerError("its process has written none")
        return self.page

    def close(self) -> None:
        """End it, whatever it has written. Safe to call again."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def _mark(self) -> Mark:
        """What tells a page from the one that took its place; None where there is none."""
        try:
            found = self.page.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
