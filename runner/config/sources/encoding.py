"""Bytes -> text, by UTF-8 alone; what to say of bytes that are something else.

An encoding can be guessed and never known: many read the same bytes, each as another text. So a guess is shown with a
line as it would read, and applied by nobody but the user; only a byte order mark is more than a guess.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from runner.errors import ConfigError, pasted

MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
NEVER = re.compile("\0|\x1b[$(]")
"""Valid UTF-8 that no text holds: every other byte of plain letters in UTF-16, and what switches ISO-2022 alphabets."""
COMMON = (
    "utf_16_le", "utf_16_be", "cp932", "euc_jp", "iso2022_jp", "gb18030", "big5", "cp949", "cp1252", "mac_roman",
)  # fmt: skip
"""Of encodings that read a file alike, the one that it is most likely to be called by, and which is named first."""
NAMES = {"euc_jp": "EUC-JP", "mac_roman": "MACINTOSH", "utf_16_le": "UTF-16LE", "utf_16_be": "UTF-16BE"}
"""Python's name -> iconv's, where that is not the same in capitals."""
WESTERN = 0.2
"""Share of bytes beyond ASCII below which a text is likely in Latin letters."""
LOOKED_AT = 200_000
"""Bytes that are looked at for a guess."""
GUESSES = 3
SHOWN = 36
"""Characters of the line that is shown, from a little before its first letter beyond ASCII."""


def decoded(data: bytes, where: str | Path) -> str:
    """The text, without a byte order mark. ConfigError for bytes that are not UTF-8, with guesses at what they are."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(error, Path(where)) from error
    if found := NEVER.search(text):
        at = len(text[: found.start()].encode())
        raise _refused(f"is not text in UTF-8: byte 0x{data[at]:02x} at offset {at}", data, Path(where))
    return text


def not_utf8(error: UnicodeDecodeError, file: Path) -> ConfigError:
    """Says which byte is wrong, what the file may be, and how it is put right."""
    return _refused(f"is not UTF-8: byte 0x{error.object[error.start]:02x} at offset {error.start}", error.object, file)


def _refused(message: str, data: bytes, file: Path) -> ConfigError:
    known = data[:2] in MARKS
    to = f"-t UTF-8 {pasted(file)} > {pasted(file.with_stem(f'{file.stem}-utf8'))}"
    if known:
        return ConfigError(f"{message}; it is UTF-16", where=str(file), advice=f"iconv -f UTF-16 {to}")
    advice = f"iconv -f ENCODING {to}   # with the real encoding of the file"
    return ConfigError(f"{message}{maybe(data)}", where=str(file), advice=advice)


def maybe(data: bytes) -> str:
    """The end of a sentence that offers guesses, each with a line as it would read; "" where there is none."""
    shown = [f"{NAMES.get(name, name.upper().replace('_', '-'))} it would read: {line}" for name, line in guesses(data)]
    return f"; perhaps in {'; in '.join(shown)}" if shown else ""


def guesses(data: bytes) -> list[tuple[str, str]]:
    """Encodings that may be meant, by Python's names, likeliest first, each with a line that it reads differently.

    Source: charset-normalizer, which weighs how much of a text is unlikely in any language. For what it takes to be
    something rare, Windows-1252 stands first where nearly all is ASCII.
    """
    from charset_normalizer import from_bytes  # for an error alone

    part = data if len(data) <= LOOKED_AT else data[:LOOKED_AT].rpartition(b"\n")[0] or data[: LOOKED_AT // 2 * 2]
    matches = sorted(
        from_bytes(part), key=lambda match: (match.chaos, _named(match.could_be_from_charset) not in COMMON)
    )
    names = [_named(match.could_be_from_charset) for match in matches]
    if sum(byte > 0x7F for byte in part) < WESTERN * len(part) and not {*names} & {*COMMON} and b"\0" not in part:
        names.insert(0, "cp1252")
    found: dict[str, str] = {}
    for name in names:
        if (line := _line(part, name)) is not None:
            found.setdefault(line, name)
    return [(name, line) for line, name in found.items()][:GUESSES]


def _named(alike: list[str]) -> str:
    return next((name for name in COMMON if name in alike), alike[0])


def _line(data: bytes, encoding: str) -> str | None:
    """The first line with a letter beyond ASCII, or the first of all, cut around that letter; None where none can."""
    try:
        lines = data.decode(encoding).splitlines()
    except (UnicodeDecodeError, LookupError):
        return None
    line = next((line for line in lines if not line.isascii()), next((line for line in lines if line.strip()), ""))
    at = next((at for at, letter in enumerate(line) if not letter.isascii()), 0)
    start = max(0, at - SHOWN // 3)
    part = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line[start:][:SHOWN])
    return f"{'…' if start else ''}{part}{'…' if start + SHOWN < len(line) else ''}"
