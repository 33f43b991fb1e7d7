"""SQLite files as URLs, and back, as SQLAlchemy reads them: percent-decoded, with options behind a question mark.

A folder's name may hold any letter, so that neither way is a matter of putting `sqlite:///` in front.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

_FILE = re.compile(r"sqlite(?:\+\w+)?:///([^?]*)(\?.*)?")


def url_of(file: Path) -> str:
    """The URL of a SQLite file. Letters outside ASCII, blanks and # stand in it as they are."""
    return f"sqlite:///{str(file).replace('%', '%25').replace('?', '%3F')}"


def file_of(url: str) -> Path | None:
    """The file behind a URL; None of another database, of one in memory, and of a file that SQLite names by a URI."""
    found = _FILE.fullmatch(url)
    if found is None or "uri=" in (found[2] or "") or found[1] in ("", ":memory:") or found[1].startswith("file:"):
        return None
    return Path(unquote(found[1]))


def is_there(url: str) -> bool:
    """Whether a database may be there: looking must not make a file."""
    file = file_of(url)
    return file is None or file.exists()


def without_password(url: str) -> str:
    """A URL as it may be written down and shown."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)
