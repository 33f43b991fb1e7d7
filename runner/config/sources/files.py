"""Text files: finding them, and the one rule for line ends."""

from __future__ import annotations

from pathlib import Path

from runner.config.sources.encoding import decoded
from runner.errors import ConfigError, pasted
from runner.records import Text


def texts_from_folder(path: str | Path, *, limit: int | None, where: str, language: str = "") -> tuple[Text, ...]:
    """A text for each UTF-8 .txt file of a folder (or for the one file that `path` is), in order of file name.

    Files in folders below are not read. A text's name is its file's without .txt. `limit` takes the first so many;
    `where` is the config file that named the path. ConfigError for bytes that are not UTF-8, and for an empty file.
    """
    return tuple(_text(file, language) for file in text_files(path, limit=limit, where=where))


def _text(file: Path, language: str) -> Text:
    content = plain_lines(decoded(file.read_bytes(), file))
    return Text(name=file.stem, content=filled(content, str(file)), language=language, origin=str(file))


def text_files(path: str | Path, *, limit: int | None, where: str) -> list[Path]:
    """The .txt files directly in `path`, by name. ConfigError where there is none."""
    check_limit(limit, where)
    path = Path(path).expanduser()
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ConfigError(f"there is no folder '{path}'", where=where, key="path", advice=f"ls {pasted(path.parent)}")
    files = sorted((file for file in path.iterdir() if file.suffix.lower() == ".txt" and file.is_file()), key=_by_name)
    if not files:
        raise ConfigError(
            f"the folder '{path}' holds no .txt file", where=where, key="path", advice=f"ls {pasted(path)}"
        )
    return files[:limit]


def _by_name(file: Path) -> str:
    return file.name


def plain_lines(content: str) -> str:
    r"""Line ends as "\n", and none at the end."""
    return content.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


def filled(content: str, where: str) -> str:
    """The content, or ConfigError where there is nothing to read in it."""
    if not content.strip():
        raise ConfigError("is empty: there is nothing to read", where=where)
    return content


def check_limit(limit: int | None, where: str) -> None:
    """A limit is at least 1; null means all."""
    if limit is not None and limit < 1:
        raise ConfigError(f"must be at least 1, or null for all; it is {limit}", where=where, key="limit")
