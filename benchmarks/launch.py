"""One start of the runner as its user makes it, in a folder of its own: what it took, and what it said of itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

RUNNER = str(Path(sys.executable).parent / "runner")
MODEL = "model.openai_compatible"
SUMMARIES = ("run.json", "sweep.json")
"""What a run and a sweep say of themselves."""
LOOK_EVERY_S = 0.05
"""Seconds between two looks at a process's memory: its peak is what the kernel kept, so only the end can be missed."""


@dataclass(frozen=True, slots=True)
class Launched:
    """A start of the program that ended well."""

    folder: Path
    """Its results."""
    facts: Mapping[str, Any]
    """Its run.json or sweep.json."""
    began_s: float
    """Seconds since 1970."""
    seconds: float
    peak_mb: float | None
    """The most that its main process held in memory; None where the system does not tell."""

    @property
    def rate(self) -> float:
        """Requests a second as the run says: bought, over the seconds from the first sent to the last stored."""
        return float(self.facts["dispatch_requests_per_s"])

    @property
    def done_s(self) -> float:
        """When the last row was on disk, read and scored; seconds since 1970."""
        return (self.folder / "results.jsonl").stat().st_mtime


def openai_words(base: str, in_flight: int) -> list[str]:
    """The overrides that point the runner at a provider of OpenAI's format."""
    return [
        "model=openai_compatible", f"{MODEL}.api_base={base}", f"{MODEL}.id=m",
        f"{MODEL}.limits.concurrency={in_flight}",
    ]  # fmt: skip


def launch(folder: Path, *words: str, env: Mapping[str, str] | None = None, well: tuple[int, ...] = (0,)) -> Launched:
    """Run the program in `folder`. SystemExit with its last words where its status is not among `well`."""
    log = folder / "log.txt"
    began_s, started = time.time(), time.perf_counter()
    with (
        log.open("w") as out,
        subprocess.Popen([RUNNER, *words], cwd=folder, stdout=out, stderr=out, env=env) as process,
    ):
        peak = _Peak(process.pid)
        status = process.wait()
        seconds = time.perf_counter() - started
        peak.join()
    if status not in well:
        raise SystemExit(f"runner {' '.join(words)}\nended with {status}:\n{log.read_text()[-3000:]}")
    found = max(folder.glob("outputs/*/*/*.json"), key=lambda path: (path.name in SUMMARIES, path.stat().st_mtime))
    facts = json.loads(found.read_text(encoding="utf-8"))
    return Launched(found.parent, facts, began_s, seconds, peak.mb)


class _Peak(threading.Thread):
    """Follows a process's peak of memory until it ends."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.status = Path(f"/proc/{pid}/status")
        self.mb: float | None = None
        self.start()

    def run(self) -> None:
        while True:
            try:
                found = re.search(r"VmHWM:\s+(\d+) kB", self.status.read_text())
            except OSError:
                return
            if found is None:  # ended, and not yet waited for
                return
            self.mb = int(found[1]) / 1024
            time.sleep(LOOK_EVERY_S)
