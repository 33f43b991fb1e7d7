"""A PostgreSQL server on loopback: its own data folder, a free port, an unprivileged user, ended with the context."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")
"""Where packages put the programs of the server, which most keep off PATH."""
HOW = "no PostgreSQL server is installed here: apt-get install -y postgresql"


def programs() -> Path | None:
    """The folder with `initdb` and `postgres`, of the newest version; None where there is none."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    for pattern in FOLDERS:
        found += sorted(Path("/").glob(pattern.lstrip("/")), key=_version)
    usable = [folder for folder in found if (folder / "initdb").exists() and (folder / "postgres").exists()]
    return usable[-1] if usable else None


def _version(folder: Path) -> float:
    digits = "".join(letter for letter in folder.parent.name if letter.isdecimal() or letter == ".")
    return float(digits or 0)


@dataclass(slots=True)
class Postgres:
    """Runs while the context is open. `database` makes an empty one and returns its URL."""

    programs: Path
    port: int = 0
    _folder: Path = Path()
    _server: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def __enter__(self) -> Self:
        # Not below pytest's own folder: as root that is closed to the server's user.
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop()

    def database(self) -> str:
        """The URL of a new, empty database, as `ledger.url` takes it."""
        name = f"ledger{next(self._numbers)}"
        self._psql(f"create database {name}")
        return f"postgresql+psycopg://runner@127.0.0.1:{self.port}/{name}"

    @contextmanager
    def down(self) -> Iterator[None]:
        """No server while this context is open: every connection is cut, and none can be made."""
        self._end()
        try:
            yield
        finally:
            self._serve()

    def _start(self) -> None:
        if (user := _unprivileged()) is not None:
            shutil.chown(self._folder, user)
        subprocess.run(
            [self.programs / "initdb", "-D", self._folder / "data", "-U", "runner", "-A", "trust", "-E", "UTF8",
             "--no-locale", "--no-sync"],
            check=True, capture_output=True, user=_unprivileged(), cwd=self._folder, timeout=60,
        )  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._serve()

    def _serve(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._folder),
            "fsync": "off",  # a power cut is not tested here
            "max_connections": "60",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [self.programs / "postgres", "-D", self._folder / "data", *options],
                stdout=log, stderr=log, user=_unprivileged(), cwd=self._folder,
            )  # fmt: skip
        until = time.monotonic() + 60
        while not self._answers():
            assert self._server.poll() is None, self._said()
            assert time.monotonic() < until, self._said()
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            self._psql("select 1")
        except subprocess.CalledProcessError:
            return False
        return True

    def _psql(self, statement: str) -> None:
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "runner", "-d", "postgres"]
        command: list[str | Path] = [self.programs / "psql", *where, "-qXc", statement]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def _said(self) -> str:
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    def _end(self) -> None:
        """SIGINT: the server cuts its connections and ends."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(60)
            self._server = None

    def _stop(self) -> None:
        self._end()
        shutil.rmtree(self._folder, ignore_errors=True)


def _unprivileged() -> str | None:
    """Who runs the server: initdb refuses root. The package's own user, or nobody; None: who we are."""
    if os.geteuid() != 0:
        return None
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
