"""What the operating system lets a run have: open files, one for each request in flight among them.

macOS gives a terminal 256. A run that comes to the end of them half-way could open neither a connection nor the ledger.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import RunnerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Model

SPARE = 40
"""Files that a run itself may yet open while requests are in flight: batches' lines, a worker's pipe, a module."""
MOST = 10_240
"""As many as macOS lets any process have, whatever its hard limit says."""
_OPEN = tuple(map(Path, ("/proc/self/fd", "/dev/fd")))
"""Where Linux and macOS list a process's open files."""


def within_open_files(models: Mapping[int, Model]) -> tuple[dict[int, Model], str | None]:
    """The models with no more requests in flight, together, than there are files for; and what to say of that.

    First the soft limit on open files is raised as far as it goes and is needed. Models of one name share their
    requests in flight, as a sweep over a model's settings does.
    """
    wanted = sum({model.name: model.limits.concurrency for model in models.values()}.values())
    free = _free(wanted)
    if free is None or wanted <= free:
        return dict(models), None
    fewer = {index: _slower(model, free / wanted) for index, model in models.items()}
    limit = f"the limit on open files leaves room for {free} requests in flight, not {wanted}"
    return fewer, f"{limit}: no more are sent at once (ulimit -n 4096 raises it)"


def explained(error: Exception) -> Exception:
    """An error for the user in place of one that says that the system has no more of something; others as they are."""
    if isinstance(error, MemoryError | OSError) or (isinstance(error, RuntimeError) and "thread" in str(error)):
        what = f"{type(error).__name__}: {error}".removesuffix(": ")
        message = f"the system refused what the run needs ({what}); what had been sent was awaited, and is stored"
        told = RunnerError(message, advice="run the same command again, with a smaller limits.concurrency")
        told.__cause__ = error
        return told
    return error


def _slower(model: Model, share: float) -> Model:
    concurrency = max(1, int(model.limits.concurrency * share))
    return replace(model, limits=replace(model.limits, concurrency=concurrency))


def _free(wanted: int) -> int | None:
    """How many further files may be opened; None where nobody tells."""
    try:
        import resource
    except ImportError:  # Windows, whose sockets are no files
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = _used()
    needed = used + wanted + SPARE
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return wanted
    higher = min(needed, MOST if hard == resource.RLIM_INFINITY else hard)
    if higher > soft:
        with suppress(ValueError, OSError):  # some containers forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (higher, hard))
            soft = higher
    return max(1, soft - used - SPARE)


def _used() -> int:
    """Open files of this process."""
    for folder in _OPEN:
        with suppress(OSError):
            return sum(1 for _ in folder.iterdir())
    return SPARE
