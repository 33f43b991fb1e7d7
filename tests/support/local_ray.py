"""Ray as a cluster of one machine, started and ended by the command that is tested."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = (
    "hydra/launcher=ray",
    "+hydra.launcher.ray.init.num_cpus=2",
    "+hydra.launcher.ray.init.include_dashboard=false",
    "+hydra.launcher.ray.init._node_ip_address=127.0.0.1",
)
"""What selects the launcher. Two workers, no web page, loopback."""


@contextmanager
def environment() -> Iterator[dict[str, str]]:
    """Variables with which Ray keeps its files in a folder of its own, writes none at home and calls nobody."""
    # Not pytest's folder: the path of a Unix socket holds 107 bytes at most.
    folder = tempfile.mkdtemp(prefix="ray-")
    try:
        yield {
            "RAY_TMPDIR": folder,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(16),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def of_session(session: int) -> list[int]:
    """The processes of a session that have not ended: a command's own, and Ray's, which stay in the session."""
    names = (path.name for path in Path("/proc").iterdir())
    return [int(name) for name in names if name.isdecimal() and _is_in(int(name), session)]


def end_session(session: int) -> None:
    """End what a command that failed left behind, each process by its own number."""
    for pid in of_session(session):
        os.kill(pid, signal.SIGKILL)


def _is_in(pid: int, session: int) -> bool:
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return False
    return int(after_name[3]) == session and after_name[0] not in "ZX"
