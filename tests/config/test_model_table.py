"""The table of model files in docs/providers.md against the files; RUNNER_UPDATE_GOLDEN=1 writes it anew."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from runner.config import catalog
from runner.config.compose import conf_dir
from runner.records import Prices

if TYPE_CHECKING:
    from pathlib import Path

PAGE = conf_dir().parent / "docs" / "providers.md"
COLUMNS = ("file", "id", "USD in/out", "checked against", "on", "ends", "then use", "not confirmed")
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n"
OF_NO_PROVIDER = ("any", "openai_compatible", "smollm2")
"""Files that nobody could withdraw."""
FILES = [path for path in sorted((conf_dir() / "model").glob("*.yaml")) if path.stem not in OF_NO_PROVIDER]


def line_of(path: Path) -> str:
    """A file's line of the table: what is known is in the file, a price that it leaves open in LiteLLM's map."""
    text = path.read_text(encoding="utf-8")
    stated = stated_by(path)
    checked = re.search(r"^# Checked on (\d{4}-\d\d-\d\d): (.*)\.$", text, re.MULTILINE)
    assert checked is not None, path
    doubt = re.search(r"^# Not confirmed: (.*)\.$", text, re.MULTILINE)
    retirement = stated.get("retirement") or {}
    cells = (
        path.stem,
        stated["id"],
        _price(stated),
        checked[2],
        checked[1],
        retirement.get("date") or ("withdrawn" if stated.get("retired") else ""),
        retirement.get("replacement", ""),
        doubt[1] if doubt else "",
    )
    return f"| {' | '.join(cells)} |\n".replace("|  ", "| ")


def _price(stated: dict[str, Any]) -> str:
    entry = catalog.lookup(stated["provider"], stated["id"])
    found = catalog.fill_prices(Prices(**stated.get("prices", {})), entry)
    pair = (found.input_usd_per_mtok, found.output_usd_per_mtok)
    return "unknown" if None in pair else "/".join(f"{price:g}" for price in pair if price is not None)


def stated_by(path: Path) -> dict[str, Any]:
    """A file's keys, every scalar as it is written."""
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "retirement" in found:
        found["retirement"] = {name: str(value) for name, value in found["retirement"].items()}
    return found


def test_the_table_is_what_the_files_say() -> None:
    """One line a file, in their order: id, price, what it was checked against and when, its end, what is in doubt."""
    page = PAGE.read_text(encoding="utf-8")
    before, head, rest = page.partition(HEAD)
    assert head, "no table of model files"
    written, _, after = rest.partition("\n\n")
    wanted = "".join(line_of(path) for path in FILES)
    if os.environ.get("RUNNER_UPDATE_GOLDEN"):
        PAGE.write_text(f"{before}{head}{wanted}\n{after}", encoding="utf-8")
        written = wanted.rstrip("\n")
    assert f"{written}\n" == wanted


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_end_has_a_source(path: Path) -> None:
    """A file with an end says on which day, and who says so."""
    stated = stated_by(path)
    retirement = stated.get("retirement")
    if retirement is not None:
        assert retirement["source"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", retirement["date"])
