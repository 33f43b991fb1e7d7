"""Replies of a large job, packed: the same names and texts as files would have."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from row_examples import JAPANESE, SCORED

from runner.results.files import RunFolder
from runner.results.reply_files import MOST_FILES, store

if TYPE_CHECKING:
    from pathlib import Path

    from runner.records import Row

ROWS = [
    SCORED,
    replace(SCORED, repetition=2, reply="", reasons={"interesting": None, "surprise": None}),
    replace(SCORED, text="時計", persona="詩人"),
    replace(SCORED, text="a text with quite a long name " * 4),
    replace(SCORED, text="b" * 70, persona="c" * 70),
    replace(SCORED, vendor="other"),
    replace(SCORED, vendor="日本"),
    SCORED,
]
"""Ordinary, without reasons, in another script, with long names, of several vendors, and one name twice."""


def _write(folder: Path, rows: list[Row], trials: int) -> Path:
    with RunFolder(folder, (JAPANESE,), trials=trials) as run:
        for row in rows:
            run.add(row)
    return folder / "replies"


def _unpacked(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in folder.glob("*.tar"):
        with tarfile.open(path) as archive:
            for entry in archive:
                file = archive.extractfile(entry)
                assert file is not None
                assert (entry.uid, entry.mtime, entry.mode & 0o444) == (0, 0, 0o444)
                found[entry.name] = file.read()
    return found


def test_archives_hold_what_files_would(tmp_path: Path) -> None:
    """Beyond MOST_FILES each vendor's replies are one tar: the same paths, the same bytes, and nothing else."""
    files = _write(tmp_path / "files", ROWS, trials=len(ROWS))
    packed = _write(tmp_path / "packed", ROWS, trials=MOST_FILES + 1)
    as_files = {path.relative_to(files).as_posix(): path.read_bytes() for path in files.rglob("*.txt")}
    assert len(as_files) == len(ROWS)
    assert _unpacked(packed) == as_files
    assert {path.suffix for path in packed.iterdir()} == {".tar"}


def test_equal_replies_make_equal_archives(tmp_path: Path) -> None:
    """The same rows give the same archives byte for byte, whenever they are written."""
    first, second = (_write(tmp_path / name, ROWS, trials=MOST_FILES + 1) for name in "ab")
    assert [(path.name, path.read_bytes()) for path in sorted(first.iterdir())] == [
        (path.name, path.read_bytes()) for path in sorted(second.iterdir())
    ]


def test_an_archive_that_was_cut_short_has_no_name(tmp_path: Path) -> None:
    """After an error an archive stays beside its name: what has its name is whole."""

    def fail() -> None:
        with store(tmp_path, MOST_FILES + 1) as replies:
            replies.add(SCORED, b"text")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["openai.tar.part"]
