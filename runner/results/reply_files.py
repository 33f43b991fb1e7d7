"""Where a run's replies go: a text file for each, or, where there would be too many, an archive for each vendor.

A reply's file is named as in the study that this project comes from: `{text}_{model}_{persona}_temp{NN}_{trial}.txt` in
a folder a vendor, NN the temperature that was sent times 100, `--` where none was. Beyond MOST_FILES the same names
stand in `replies/VENDOR.tar` (`tar -xf` makes the folder of it): a file system takes longer to make 100,000 files than
the rest of the run takes, and ten times the room.
"""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
import unicodedata
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.records import Json, Row

MOST_FILES = 10_000
"""Most trials of a job whose replies are files of their own."""
MOST_BYTES = 16 * 2**20
"""Most that waits in memory to be written."""


class Store(Protocol):
    """Takes the replies of one job."""

    def add(self, row: Row, text: bytes) -> None:
        """Keep the text of a row's reply under a name of its own."""

    def finish(self) -> None:
        """All replies have come: let everything be on disk."""

    def holds(self, path: Path) -> bool:
        """Whether a file is one of those that were written."""


@contextmanager
def store(folder: Path, trials: int) -> Iterator[Store]:
    """Files below `folder` for up to MOST_FILES trials, else archives; complete when the context ends well.

    What an earlier run left there and this one has not written is removed at the end.
    """
    is_new = not folder.exists()
    with ExitStack() as stack:
        replies = Files(folder) if trials <= MOST_FILES else Archives(folder, stack)
        yield replies
        replies.finish()
    if not is_new:
        _remove_others(folder, replies)


def _remove_others(folder: Path, replies: Store) -> None:
    for path in (*folder.glob("*.tar*"), *folder.glob("*/*.txt")):
        if not replies.holds(path):
            path.unlink()
    for vendor in folder.iterdir():
        with suppress(OSError):  # not empty, or no folder
            vendor.rmdir()


class Files:
    """A text file for each reply, in a folder for each vendor.

    They are written together at the end: making a file takes longer than scoring a reply, and the rows need not wait.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = FileNames()
        self._vendors: dict[str, Path] = {}
        self._waiting: list[tuple[str, bytes]] = []
        self._bytes = 0

    def add(self, row: Row, text: bytes) -> None:
        """Name a file, and keep what goes into it."""
        if row.vendor not in self._vendors:
            self._vendors[row.vendor] = self._folder / self._names.folder(row.vendor)
            self._vendors[row.vendor].mkdir(parents=True, exist_ok=True)
        self._waiting.append((f"{self._vendors[row.vendor]}/{self._names.of(row)}", text))
        self._bytes += len(text)
        if self._bytes > MOST_BYTES:
            self.finish()

    def finish(self) -> None:
        """Write the files."""
        for path, text in self._waiting:
            with open(path, "wb", buffering=0) as file:  # noqa: PTH123  twice as fast
                file.write(text)
        self._waiting, self._bytes = [], 0

    def holds(self, path: Path) -> bool:
        """Whether it is a file in one of our folders, by a name of ours."""
        return path.parent in self._vendors.values() and self._names.has(path.name)


class Archives:
    """A tar for each vendor, in POSIX's format; entries are dated 1970, so that equal replies make equal archives."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._names = FileNames()
        self._vendors: dict[str, tuple[str, BinaryIO]] = {}

    def add(self, row: Row, text: bytes) -> None:
        """Append an entry."""
        if row.vendor not in self._vendors:
            self._vendors[row.vendor] = self._begin(row.vendor)
        name, file = self._vendors[row.vendor]
        header = _header(f"{name}/{self._names.of(row)}", len(text))
        file.write(header + text + bytes(-len(text) % tarfile.BLOCKSIZE))

    def finish(self) -> None:
        """Close every archive and give it its name."""
        for name, file in self._vendors.values():
            file.write(bytes(2 * tarfile.BLOCKSIZE))
            file.flush()
            os.fsync(file.fileno())
            self._beside(name).replace(self._folder / f"{name}.tar")

    def holds(self, path: Path) -> bool:
        """Whether it is an archive of ours."""
        return path in {self._folder / f"{name}.tar" for name, _ in self._vendors.values()}

    def _begin(self, vendor: str) -> tuple[str, BinaryIO]:
        self._folder.mkdir(parents=True, exist_ok=True)
        name = self._names.folder(vendor)
        return name, self._stack.enter_context(self._beside(name).open("wb"))

    def _beside(self, name: str) -> Path:
        return self._folder / f"{name}.tar.part"


def _header(name: str, size: int) -> bytes:
    """An entry's header.

    Plain ones differ in name, size and checksum alone, which are filled in here: made anew by tarfile, one would take
    as long as scoring the reply.
    """
    if not name.isascii() or len(name) > tarfile.LENGTH_NAME:
        entry = tarfile.TarInfo(name)
        entry.size = size
        return entry.tobuf(tarfile.PAX_FORMAT)
    template, total = _template()
    header, spelt, octal = bytearray(template), name.encode(), b"%011o" % size
    header[: len(spelt)], header[124:135] = spelt, octal
    header[148:154] = b"%06o" % (total + sum(spelt) + sum(octal))
    return bytes(header)


@lru_cache(1)
def _template() -> tuple[bytes, int]:
    """A header without name and size, and the sum of its bytes, those of the checksum counted as spaces (POSIX)."""
    header = bytearray(tarfile.TarInfo("").tobuf(tarfile.USTAR_FORMAT))
    header[124:135] = bytes(11)
    return bytes(header), sum(header[:148]) + 8 * ord(" ") + sum(header[156:])


# ---- names -----------------------------------------------------------------------------------------------------------

_UNSAFE = re.compile('[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff/\\\\:*?"<>|]')
"""What a common file system refuses, and what hides or turns round the text of a name."""
_RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE)
"""Windows takes these for devices, with any ending."""
_MAX_BYTES = 200
"""Of a whole file name; file systems stop at 255, some tools earlier."""
_HASH_BYTES = 9
"""Of a hash with its dash."""
_MAX_PART_BYTES = 48
"""Of each of the three names in a file name that would be too long."""


def spellings(name: str) -> tuple[str, ...]:
    """The ways in which a text's, model's or persona's name may stand in a file name."""
    return tuple(dict.fromkeys((name, _safe(name), _safe(name, _MAX_PART_BYTES))))


class FileNames:
    """Gives every reply a file name of its own, and every vendor a folder of its own.

    A name that had to be changed gets a short hash of what it was; so does one that another has taken, where names that
    differ only in case or in how an accent is composed are the same.
    """

    def __init__(self) -> None:
        self._taken: set[int] = set()
        self._folders: set[int] = set()

    def of(self, row: Row) -> str:
        """The name of a row's file. No two calls give the same."""
        parts = [row.text, row.model, row.persona]
        temperature = row.sent.get("temperature")
        heat = "--" if temperature is None else f"{round(temperature * 100):02d}"
        alone = "" if row.question is None else f"_{row.question}"
        end = f"_temp{heat}_{row.repetition:02d}{alone}.txt"
        name = "_".join(_safe(part) for part in parts) + end
        if len(name.encode()) > _MAX_BYTES - _HASH_BYTES:
            name = "_".join(_safe(part, _MAX_PART_BYTES) for part in parts) + end
        identity = (row.job, row.cell, row.vendor, *parts, temperature, row.repetition, row.key)
        return _unique(name.removesuffix(end), end, identity, self._taken)

    def has(self, name: str) -> bool:
        """Whether a file's name was given."""
        return _mark(name) in self._taken

    def folder(self, vendor: str) -> str:
        """The name of a vendor's folder. No two calls give the same."""
        return _unique(_safe(vendor, _MAX_PART_BYTES), "", (vendor,), self._folders)


def _unique(stem: str, end: str, identity: tuple[Json, ...], taken: set[int]) -> str:
    """`stem` + `end`, with a hash of `identity` between them where that is taken; it is taken from now on."""
    name, tries = stem + end, 0
    while (mark := _mark(name)) in taken:
        name = f"{stem}-{_hash(f'{identity} {tries}')}{end}"
        tries += 1
    taken.add(mark)
    return name


def _mark(name: str) -> int:
    """Stands for a name among 100,000 that must not fill the memory: equal for what a file system takes for equal."""
    return int.from_bytes(
        hashlib.blake2b(_folded(name).encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
    )


@lru_cache(maxsize=4096)
def _safe(name: str, max_bytes: int = _MAX_BYTES) -> str:
    """`name` as a part of a file name: itself where it can be, else what can be kept of it and a hash."""
    safe = _UNSAFE.sub("_", name).strip(". ")
    if _RESERVED.fullmatch(safe):
        safe = f"_{safe}"
    safe = safe.encode()[:max_bytes].decode(errors="ignore").rstrip(". ")
    return safe if safe == name and safe else f"{safe or '_'}-{_hash(name)}"


def _hash(words: str) -> str:
    return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _folded(name: str) -> str:
    """What a file system that ignores case and composition makes of a name."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).upper().casefold())
