"""SQLite files as URLs: whatever letters a folder's name holds, SQLAlchemy opens the file that is meant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from runner.config.database_urls import file_of, is_there, url_of

NAMES = ("plain", "a b", "実験", "100%", "a%20b", "a?b", "a#b", "a%3Fb", "x=y&z", "[list],{x}")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_comes_back_from_its_url(name: str) -> None:
    """A URL names one file, for us and for SQLAlchemy."""
    file = Path("/somewhere") / name / "ledger.db"
    assert file_of(url_of(file)) == file
    assert sa.make_url(url_of(file)).database == str(file)


def test_plain_paths_have_the_urls_that_they_had() -> None:
    """What is written in older runs stays as it is."""
    assert url_of(Path("outputs/ledger.db")) == "sqlite:///outputs/ledger.db"
    assert url_of(Path("/家/実 験/x.db")) == "sqlite:////家/実 験/x.db"


@dataclass(frozen=True)
class Case:
    """A URL, and the file behind it."""

    url: str
    file: Path | None


CASES = {
    "a driver": Case("sqlite+pysqlite:////a%20b/x.db", Path("/a b/x.db")),
    "options": Case("sqlite:////a/x.db?timeout=3", Path("/a/x.db")),
    "memory": Case("sqlite:///:memory:", None),
    "nothing": Case("sqlite://", None),
    "SQLite's own URI": Case("sqlite:///file:x.db?mode=ro&uri=true", None),
    "another database": Case("postgresql://host/x", None),
    "a server": Case("http://127.0.0.1:5000", None),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_only_a_file_is_a_file(case: Case) -> None:
    """Databases that are no file have none, and may be there."""
    assert file_of(case.url) == case.file
    assert is_there(case.url) is (case.file is None)


def test_a_file_is_there_when_it_is(tmp_path: Path) -> None:
    """It is looked for under its own name, which the URL spells otherwise."""
    (tmp_path / "a%20b?").mkdir()
    file = tmp_path / "a%20b?" / "x.db"
    assert not is_there(url_of(file))
    file.touch()
    assert is_there(url_of(file))
