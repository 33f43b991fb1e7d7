"""Aozora Bunko's text files, read down to the words that a reader of the printed book sees.

The notation is parsed by the `aozora` package, line by line: no mark that matters here spans lines, and one that is
broken then leaves the other lines whole. Of each mark it finds:

    ruby, ｜base《reading》 or base《reading》    the base
    ※［＃…］, a character outside the encoding    the character; 〓, as in print, where Unicode has none
    any other note, ［＃…］                        nothing; a line of nothing else goes with its line end

Notation: https://www.aozora.gr.jp/annotation/. Not covered, and left as they are in the file: the repeat marks ／＼ and
／″＼, Latin letters with their accents written apart in 〔 〕, and marks that are broken, such as a 《 never closed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runner.config.sources.encoding import maybe
from runner.config.sources.files import filled, plain_lines, text_files
from runner.errors import ConfigError
from runner.records import Text

if TYPE_CHECKING:
    from pathlib import Path

    from aozora import GaijiResolution

MARKS = re.compile("[《［｜※]")
NOTE = re.compile(r"(?<!※)［＃(?:[^［］]|［[^［］]*］)*］")
"""A note, which may quote one more note; not the part of ※［＃…］, which stands for a character."""
PLACE = re.compile(r"(?<![\d-])([12])-(\d{1,2})-(\d{1,2})\Z")
"""Plane, row and cell of JIS X 0213, at the end of a character's description."""
RULE = re.compile(r"-{10,}\Z")
"""The dashed lines around the block that explains the marks."""
COLOPHON = re.compile(r"(?:底本[：:]|［＃本文終わり］)")
TRANSLATOR = re.compile(r"(?:訳|訳者|編|編訳|校訂|校注)\Z")
MOST_HEADER_LINES = 8
"""Title, original title, subtitles, author, translators: more lines than this are no header."""
UNKNOWN_CHARACTER = "〓"


def texts_from_aozora(path: str | Path, *, limit: int | None, where: str, language: str = "ja") -> tuple[Text, ...]:
    """A text for each .txt file of a folder (or for the one file that `path` is), in order of file name.

    Names are the files' without .txt; title and author are from their first lines. Files may be CP932, as published, or
    UTF-8. ConfigError for bytes that are neither, for a file without the title lines, and for one without words.
    """
    return tuple(_text(file, language) for file in text_files(path, limit=limit, where=where))


def _text(file: Path, language: str) -> Text:
    lines = plain_lines(_decoded(file)).lstrip("\n").split("\n")
    header, body = _parted(lines, str(file))
    title, author = _title_and_author(header)
    content = filled("\n".join(_words(body)).strip("\n"), str(file))
    return Text(name=file.stem, content=content, title=title, author=author, language=language, origin=str(file))


def _decoded(file: Path) -> str:
    data = file.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:  # almost no CP932 text happens to be UTF-8, so this order is safe and the other is not
        pass
    try:
        return data.decode("cp932")
    except UnicodeDecodeError as error:
        message = f"is neither CP932 nor UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}{maybe(data)}"
        raise ConfigError(message, where=str(file)) from error


def _parted(lines: list[str], where: str) -> tuple[list[str], list[str]]:
    """The title lines, and the lines from the first of the work to the last before the colophon."""
    size = next((at for at, line in enumerate(lines) if not line.strip()), len(lines))
    if not 0 < size <= MOST_HEADER_LINES or size == len(lines):
        message = "does not begin as Aozora Bunko's files do: title, author, an empty line"
        raise ConfigError(message, where=where, advice="runner text=folder text.folder.path=PATH   (for plain text)")
    body = _after_explanation(lines[size:])
    end = next((at for at, line in enumerate(body) if COLOPHON.match(line)), len(body))
    return lines[:size], body[:end]


def _after_explanation(lines: list[str]) -> list[str]:
    """The lines without the block between dashed lines that may open them. Later dashed lines are the author's."""
    first = next((at for at, line in enumerate(lines) if line.strip()), None)
    if first is None or not RULE.match(lines[first]):
        return lines
    last = next((at for at in range(first + 1, len(lines)) if RULE.match(lines[at])), first)
    return lines[last + 1 :]


def _title_and_author(header: list[str]) -> tuple[str, str]:
    """First line, and last line that names no translator or editor ("" where the title stands alone)."""
    title, *others = (_plain(line).strip() for line in header)
    named = [line for line in others if not TRANSLATOR.search(line)]
    return title, (named or others or [""])[-1]


def _words(lines: list[str]) -> list[str]:
    """The lines without marks; one that held nothing but notes is left out, an empty one stays."""
    return [plain for line, plain in ((line, _plain(line)) for line in lines) if plain or not line]


def _plain(line: str) -> str:
    """One line, or part of one, without marks."""
    if not MARKS.search(line):
        return line
    import aozora  # a compiled extension, needed by this source alone

    document = aozora.Document(line)
    data = line.encode()
    characters = {gaiji.span.start: gaiji for gaiji in document.gaiji()}
    plain, done = "", 0
    for node in sorted(document.nodes(), key=lambda node: node.span.start):
        start, end = node.span.start, node.span.end  # in bytes of UTF-8
        if start < done:
            continue
        plain += data[done:start].decode()
        marked = data[start:end].decode()
        if node.kind == "ruby" and not marked.startswith("｜"):
            plain = _unbarred(plain)
        plain += _word(node.kind, marked, characters.get(start))
        done = end
    return plain + data[done:].decode()


def _unbarred(plain: str) -> str:
    """What stands before a ruby, without the ｜ that opened its base.

    The parser takes a base that a described character interrupts only from that character on.
    """
    before, _, base = plain.rpartition("｜")
    return before + base


def _word(kind: str, marked: str, character: GaijiResolution | None) -> str:
    """What a marked stretch says: the character, the base of the ruby, or what notes leave."""
    if kind == "gaiji" and character is not None:
        return character.resolved or _by_place(character.mencode or "") or UNKNOWN_CHARACTER
    rest = NOTE.sub("", marked)
    if kind == "ruby" and rest.endswith("》"):
        rest = rest[: rest.rindex("《")].removeprefix("｜")
    return _plain(rest) if len(rest) < len(marked) else rest


def _by_place(place: str) -> str:
    """The character at a place of JIS X 0213: Unicode writes some with two code points, which the parser leaves out."""
    if not (found := PLACE.search(place)):
        return ""
    plane, row, cell = map(int, found.groups())
    code = bytes([*([0x8F] if plane == 2 else []), (0xA0 + row) & 0xFF, (0xA0 + cell) & 0xFF])
    try:
        return code.decode("euc_jis_2004")
    except UnicodeDecodeError:
        return ""
