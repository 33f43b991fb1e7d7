"""Files that are not UTF-8: what they may be is shown as a guess, and nothing that is advised gives another text."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from runner.config.sources import personas_from_table, texts_from_folder, texts_from_table
from runner.config.sources.encoding import decoded, guesses
from runner.errors import ConfigError
from runner.results.study.columns import read_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENGLISH = "Marí said “Sí”, and the tide went out; it was déjà vu, as in every year before."
FRENCH = "Café crème à l’été, déjà vu, et la mer se retire."
JAPANESE = "停留所のベンチに、赤い子ども用の傘が忘れられていた。老人はバスを三台やり過ごし、雨の中で番をしていた。"
CHINESE = "这是一个测试，我们去看海，然后回家。"


@dataclass(frozen=True)
class Case:
    """A text, its real encoding, and the words of it that the guess shows."""

    encoding: str
    text: str
    shows: str


CASES = (
    Case("cp1252", ENGLISH, "Marí said “Sí”"),
    Case("latin-1", "Größe und Übermut sind des Meeres, sagte sie am Morgen.", "Größe und Übermut"),
    Case("mac_roman", FRENCH, "Café crème à l’été"),
    Case("cp932", JAPANESE, "停留所のベンチに"),
    Case("euc_jp", JAPANESE, "停留所のベンチに"),
    Case("iso2022_jp", JAPANESE, "停留所のベンチに"),
    Case("gb18030", CHINESE, "这是一个测试"),
    Case("utf-16-le", ENGLISH, "Marí said “Sí”"),
    Case("utf-16-be", "Thé tide went out.", "Thé tide went out."),
)


def texts(path: Path, data: str, encoding: str) -> Callable[[], object]:
    (path / "a.txt").write_bytes(data.encode(encoding))
    return lambda: texts_from_folder(path, limit=None, where="text/f.yaml")


def table(path: Path, data: str, encoding: str) -> Callable[[], object]:
    (path / "t.csv").write_bytes(f"name,content\na,{data}\n".encode(encoding))
    return lambda: texts_from_table(path / "t.csv", {}, limit=None, where="text/t.yaml")


def lines(path: Path, data: str, encoding: str) -> Callable[[], object]:
    (path / "t.jsonl").write_bytes(f'{{"name": "a", "description": "{data}"}}\n'.encode(encoding))
    return lambda: personas_from_table(path / "t.jsonl", {}, limit=None, where="persona/t.yaml")


def study(path: Path, data: str, encoding: str) -> Callable[[], object]:
    raw = f"timestamp,text\na,{data}\n".encode(encoding)
    return lambda: [*read_lines(raw, str(path / "s.csv"))]


@pytest.mark.parametrize("place", [texts, table, lines, study], ids=lambda place: place.__name__)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.encoding)
def test_the_guess_is_shown_and_not_applied(
    case: Case, place: Callable[[Path, str, str], Callable[[], object]], tmp_path: Path
) -> None:
    """One of the guesses shows the text as it was written; the command has no encoding until the user fills it in."""
    with pytest.raises(ConfigError) as caught:
        place(tmp_path, case.text, case.encoding)()
    assert "perhaps in " in str(caught.value)
    assert case.shows in str(caught.value)
    advice = caught.value.advice or ""
    assert shlex.split(advice)[:3] == ["iconv", "-f", "ENCODING"]
    assert "real encoding" in advice
    typed = subprocess.run(["bash", "-c", advice], cwd=tmp_path, capture_output=True, check=False)
    assert typed.returncode != 0


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le-marked"])
def test_a_byte_order_mark_is_no_guess(encoding: str, tmp_path: Path) -> None:
    """What a mark names is advised whole, and what is typed gives the very text."""
    data = ("\ufeff" + ENGLISH).encode("utf-16-le") if encoding.endswith("marked") else ENGLISH.encode("utf-16")
    (tmp_path / "a b.txt").write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        texts_from_folder(tmp_path, limit=None, where="text/f.yaml")
    subprocess.run(["bash", "-c", str(caught.value.advice)], check=True)
    assert (tmp_path / "a b-utf8.txt").read_text(encoding="utf-8") == ENGLISH


def test_utf8_is_read_as_it_stands() -> None:
    """Marked or not, with any character: nothing of it is guessed at."""
    assert decoded(b"\xef\xbb\xbf" + FRENCH.encode(), "a") == FRENCH
    assert decoded(JAPANESE.encode(), "a") == JAPANESE


def test_a_guess_never_fails() -> None:
    """Bytes that are no text in any encoding give no guess, or one; and a long file is looked at in part."""
    for data in (bytes(range(256)), b"\xff", b"\xc3" * 7, ENGLISH.encode("cp1252") * 50_000):
        assert len(guesses(data)) <= 3
