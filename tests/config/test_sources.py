"""Texts and personas of the user's own arrive character for character, and what is wrong with a file is named."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from runner.config.sources import personas_from_table, texts_from_aozora, texts_from_folder, texts_from_table
from runner.errors import ConfigError
from runner.records import Persona, Text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WHERE = "text/own.yaml"
PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "aozora"
TEXT_COLUMNS = {field: field for field in ("name", "content", "title", "language", "temperature_shift")}
PERSONA_COLUMNS = {field: field for field in ("name", "description", "temperature")}
# Composed and decomposed, astral, right to left, ideographic and zero-width space: all that a careless reader changes.
ODD = "é e\u0301 が か\u3099 𠮟 🌊\ufe0f שלום \u3000\u200b\u2028x\x85y ﬁ Ａ"


def complaint(read: Callable[[], object]) -> ConfigError:
    """The error that `read` must raise."""
    with pytest.raises(ConfigError) as caught:
        read()
    return caught.value


# ---- folder ---------------------------------------------------------------------------------------------------------


def test_folder_gives_a_text_for_each_file_in_order(tmp_path: Path) -> None:
    """Files come sorted by name, named by their stems; other files and folders below are left alone."""
    for name in ("b.txt", "a.TXT", "c.d.txt", "notes.md"):
        (tmp_path / name).write_bytes(f"in {name}".encode())
    (tmp_path / "deep.txt").mkdir()
    texts = texts_from_folder(tmp_path, limit=None, where=WHERE, language="en")
    assert [(text.name, text.content) for text in texts] == [
        ("a", "in a.TXT"),
        ("b", "in b.txt"),
        ("c.d", "in c.d.txt"),
    ]
    assert {text.language for text in texts} == {"en"}
    assert texts[0].origin == str(tmp_path / "a.TXT")


def test_limit_takes_the_first_files(tmp_path: Path) -> None:
    """A limit keeps the first files by name; none below 1 is accepted."""
    for name in "cab":
        (tmp_path / f"{name}.txt").write_bytes(b"x")
    assert [text.name for text in texts_from_folder(str(tmp_path), limit=2, where=WHERE)] == ["a", "b"]
    assert complaint(lambda: texts_from_folder(tmp_path, limit=0, where=WHERE)).key == "limit"


def test_one_file_may_stand_for_a_folder(tmp_path: Path) -> None:
    """A path to a single file gives its text."""
    (tmp_path / "one.txt").write_bytes(b"x")
    assert [text.name for text in texts_from_folder(tmp_path / "one.txt", limit=None, where=WHERE)] == ["one"]


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        (ODD.encode(), ODD),
        (b"\xef\xbb\xbfbom", "bom"),
        (b"a\r\n\r\nb\rc\n", "a\n\nb\nc"),
        (b"  indented \n\t\nend  \n\n\n", "  indented \n\t\nend  "),
        ("\n\u3000first".encode(), "\n\u3000first"),
    ],
)
def test_only_line_ends_and_the_byte_order_mark_change(tmp_path: Path, stored: bytes, read: str) -> None:
    """Every character survives; line ends become plain, and go at the very end."""
    (tmp_path / "t.txt").write_bytes(stored)
    (text,) = texts_from_folder(tmp_path, limit=None, where=WHERE)
    assert text.content == read


@dataclass(frozen=True)
class BadFile:
    """A file that must be refused, and what the message must say."""

    name: str
    content: bytes
    says: tuple[str, ...]


@pytest.mark.parametrize(
    "case",
    [
        BadFile("latin", "naïve".encode("latin-1"), ("is not UTF-8", "byte 0xef at offset 2")),
        BadFile("empty", b"", ("is empty",)),
        BadFile("blank", "\ufeff \n\u3000\r\n".encode(), ("is empty",)),
    ],
    ids=lambda case: case.name,
)
def test_bad_file_in_a_folder_is_named(tmp_path: Path, case: BadFile) -> None:
    """A file that is not UTF-8, or holds nothing, is refused by its own name."""
    (tmp_path / "bad.txt").write_bytes(case.content)
    error = complaint(lambda: texts_from_folder(tmp_path, limit=None, where=WHERE))
    assert error.where == str(tmp_path / "bad.txt")
    assert [part for part in case.says if part not in str(error)] == []


@pytest.mark.parametrize("read", [texts_from_folder, texts_from_aozora])
def test_folder_without_texts_names_the_config(tmp_path: Path, read: Callable[..., object]) -> None:
    """A folder that is absent, or holds no .txt file, is refused by the config file and key that named it."""
    for folder, says in ((tmp_path / "none", "no folder"), (tmp_path, "no .txt file")):
        error = complaint(lambda folder=folder: read(folder, limit=None, where=WHERE))  # type: ignore[misc]
        assert (error.where, error.key) == (WHERE, "path")
        assert says in str(error)


# ---- Aozora Bunko ---------------------------------------------------------------------------------------------------

HEADER = ["提灯《ちょうちん》の話", "ある人", ""]
RULES = ["-" * 55, "【テキスト中に現れる記号について】", "", "《》：ルビ", "（例）提灯《ちょうちん》", "-" * 55, ""]
COLOPHON = ["", "", "", "底本：「どこにもない本」", "　　　2020（令和2）年1月1日発行", "入力：だれか"]


def aozora(folder: Path, lines: list[str], encoding: str = "cp932") -> Text:
    """The one text read back from a file of these lines, stored as Aozora Bunko stores its own."""
    (folder / "lamp.txt").write_bytes("\r\n".join(lines).encode(encoding))
    (text,) = texts_from_aozora(folder, limit=None, where=WHERE)
    return text


@pytest.mark.parametrize("encoding", ["cp932", "utf-8", "utf-8-sig"])
def test_header_and_colophon_are_not_the_text(tmp_path: Path, encoding: str) -> None:
    """Title and author come from the first lines; the explanation of marks and the colophon go; indents stay."""
    text = aozora(tmp_path, [*HEADER, *RULES, "　灯《ひ》がともる。", "", "　消えた。", *COLOPHON], encoding)
    assert text == Text(
        name="lamp",
        content="　灯がともる。\n\n　消えた。",
        title="提灯の話",
        author="ある人",
        language="ja",
        origin=str(tmp_path / "lamp.txt"),
    )


def test_dashed_lines_of_the_author_stay(tmp_path: Path) -> None:
    """Only a block of dashed lines that opens the text is an explanation of marks."""
    body = ["はじめ", "-" * 20, "おわり"]
    assert aozora(tmp_path, [*HEADER, *body]).content == "\n".join(body)


@pytest.mark.parametrize(
    ("header", "title", "author"),
    [
        (["題"], "題", ""),
        (["題", "作者"], "題", "作者"),
        (["題", "副題", "作者"], "題", "作者"),
        (["題", "作者", "訳す人訳"], "題", "作者"),
        (["題", "THE TITLE", "作者", "訳す人訳", "別の人編"], "題", "作者"),
        (["題", "選ぶ人編"], "題", "選ぶ人編"),
    ],
)
def test_author_is_the_last_who_is_no_translator(tmp_path: Path, header: list[str], title: str, author: str) -> None:
    """The author's line is told from subtitles above it and translators below it."""
    text = aozora(tmp_path, [*header, "", "本文"])
    assert (text.title, text.author, text.content) == (title, author, "本文")


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("過ぎる｜ぢ《じ》ゃないか", "過ぎるぢゃないか"),
        ("駝鳥《だちょう》ぢ《じ》ゃない｜ぢ《じ》ゃないか", "駝鳥ぢゃないぢゃないか"),
        ("銀座の｜表通り《おもてどおり》を歩く", "銀座の表通りを歩く"),
        ("夜※［＃「火＋欣」、第3水準1-87-48］《あぶ》る", "夜焮る"),
        ("｜※［＃「火＋欣」、第3水準1-87-48］火《きんか》だ", "焮火だ"),
        ("｜霧※［＃「火＋欣」、第3水準1-87-48］立《きり》つ", "霧焮立つ"),
        ("※［＃「口＋亞」、U+555E、12-34］", "啞"),
        ("か※［＃半濁点付き平仮名か、1-4-87］な", "かか゚な"),
        ("※［＃感嘆符三つ、30-10］", "〓"),
        ("※［＃始め二重山括弧、1-1-52］名※［＃終わり二重山括弧、1-1-53］", "《名》"),
        ("大事［＃「大事」に傍点］だ", "大事だ"),
        ("秘《ひ》密《みつ》［＃「秘密」に傍点］だ", "秘密だ"),
        ("［＃太字］濃《こ》い［＃太字終わり］字", "濃い字"),
        ("※［＃「てへん＋劣」、第3水準1-84-77］［＃「※［＃「てへん＋劣」、第3水準1-84-77］」に傍点］く", "挘く"),
        ("［＃５字下げ］第一章［＃「第一章」は大見出し］", "第一章"),
        ("為［＃レ］楽［＃二］", "為楽"),
        ("［＃地付き］（了）", "（了）"),
        ("※印と※", "※印と※"),
        ("開いた《まま", "開いた《まま"),
        ("縦｜棒", "縦｜棒"),
        ("いろ／＼な〔cafe'〕", "いろ／＼な〔cafe'〕"),
        ("a\u3000b  c", "a\u3000b  c"),
    ],
)
def test_marks_leave_the_words_of_the_book(tmp_path: Path, marked: str, plain: str) -> None:
    """Ruby leaves its base, a described character itself, a note nothing, and everything else stays."""
    assert aozora(tmp_path, [*HEADER, f"前、{marked}。後"]).content == f"前、{plain}。後"


def test_line_of_notes_goes_with_its_line_end(tmp_path: Path) -> None:
    """A line that held only notes leaves no empty line, one that was empty stays, and the work ends where it says."""
    body = ["［＃ここから２字下げ］", "一", "", "［＃改ページ］［＃ここから３字下げ］", "二", "［＃本文終わり］", "三"]
    assert aozora(tmp_path, [*HEADER, *body]).content == "一\n\n二"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("題\r\n作者\r\n\r\n".encode("cp932") + b"\x82\xa0\x81\xff", "neither CP932 nor UTF-8: byte 0x81 at offset 14"),
        ("題も作者もない、ただの一行".encode("cp932"), "does not begin as Aozora Bunko's files do"),
        ("\r\n".join("一二三四五六七八九").encode("cp932") + b"\r\n\r\nx", "does not begin as Aozora Bunko's files do"),
        ("題\r\n作者\r\n\r\n［＃改ページ］\r\n底本：「本」".encode("cp932"), "is empty"),
        (b"", "does not begin"),
    ],
    ids=["encoding", "no header", "long header", "no words", "nothing"],
)
def test_bad_aozora_file_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    """A file that is not Aozora Bunko's, or holds no words, is refused by its own name."""
    (tmp_path / "bad.txt").write_bytes(content)
    error = complaint(lambda: texts_from_aozora(tmp_path, limit=None, where=WHERE))
    assert error.where == str(tmp_path / "bad.txt")
    assert says in str(error)


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="needs the published files in ../shared/data/aozora")
def test_published_files_are_read_clean() -> None:
    """Three files as published keep their words and lose header, colophon and every mark."""
    texts = {text.name: text for text in texts_from_aozora(PUBLISHED, limit=None, where=WHERE)}
    titles = {name: (text.title, text.author) for name, text in texts.items()}
    assert titles == {
        "46720_ruby_27648": ("お金とピストル", "夢野久作"),
        "46823_txt_27634": ("懐中時計", "夢野久作"),
        "56694_ruby_55299": ("ぼろぼろな駝鳥", "高村光太郎"),
    }
    ostrich = texts["56694_ruby_55299"].content
    assert "脚が大股過ぎるぢゃないか。" in ostrich
    assert "これはもう駝鳥ぢゃないぢゃないか。" in ostrich
    assert (ostrich[:9], ostrich[-12:]) == ("何が面白くて駝鳥を", "\nもう止せ、こんな事は。")
    for text in texts.values():
        assert [mark for mark in ("《", "》", "｜", "［＃", "底本", "----", "\r") if mark in text.content] == []


# ---- tables ---------------------------------------------------------------------------------------------------------


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.with_suffix(".csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path.with_suffix(".csv")


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.with_suffix(".jsonl").write_bytes(b"\r\n".join(json.dumps(row).encode() for row in rows))
    return path.with_suffix(".jsonl")


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    parquet.write_table(pa.Table.from_pylist(rows), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


WRITERS = pytest.mark.parametrize("write", [write_csv, write_jsonl, write_parquet])


@WRITERS
def test_table_gives_a_text_for_each_row(tmp_path: Path, write: Callable[..., Path]) -> None:
    """Each format gives the same texts: all fields, any Unicode, a comma, a quote, and plain line ends."""
    rows = [
        {"name": "one", "content": f'{ODD}, "q"\r\nnext\n', "title": "T", "language": "en", "temperature_shift": 0.25},
        {"name": "二", "content": " a ", "title": "", "language": "", "temperature_shift": None},
    ]
    path = write(tmp_path / "t", rows)
    assert texts_from_table(path, TEXT_COLUMNS, limit=None, where=WHERE) == (
        Text("one", f'{ODD}, "q"\nnext', "T", "", "en", 0.25, str(path)),
        Text("二", " a ", origin=str(path)),
    )


@WRITERS
def test_table_gives_a_persona_for_each_row(tmp_path: Path, write: Callable[..., Path]) -> None:
    """Each format gives the same personas, described for every language, with their own temperatures or none."""
    rows = [
        {"who": "cook", "says": "You cook.", "temperature": 2},
        {"who": "monk", "says": "You pray.", "temperature": None},
        {"who": "third", "says": "beyond the limit", "temperature": 0},
    ]
    columns = {"name": "who", "description": "says", "temperature": "temperature"}
    assert personas_from_table(write(tmp_path / "t", rows), columns, limit=2, where=WHERE) == (
        Persona("cook", {"*": "You cook."}, 2.0),
        Persona("monk", {"*": "You pray."}, None),
    )


@pytest.mark.parametrize("nothing", ["", None])
def test_rows_may_be_numbered_in_place_of_names(tmp_path: Path, nothing: str | None) -> None:
    """A name mapped to nothing numbers the rows, and a text may lack every optional column."""
    path = write_csv(tmp_path / "t", [{"content": "x"}, {"content": "y"}])
    texts = texts_from_table(path, {**TEXT_COLUMNS, "name": nothing}, limit=None, where=WHERE)
    assert [(text.name, text.content) for text in texts] == [("row-1", "x"), ("row-2", "y")]


def test_number_as_a_name_is_its_digits(tmp_path: Path) -> None:
    """A whole number in a name's cell serves as a name."""
    path = write_jsonl(tmp_path / "t", [{"name": 7, "content": "x"}])
    assert texts_from_table(path, TEXT_COLUMNS, limit=None, where=WHERE)[0].name == "7"


def test_jsonl_lines_end_at_line_feeds_alone(tmp_path: Path) -> None:
    """A line separator inside a JSON string, unescaped, does not cut the line; blank lines are nothing."""
    path = tmp_path / "t.jsonl"
    path.write_bytes('\n{"name": "a", "content": "x\u2028y\x85z"}\n\n'.encode())
    assert texts_from_table(path, TEXT_COLUMNS, limit=None, where=WHERE)[0].content == "x\u2028y\x85z"


def test_a_cell_may_hold_a_book(tmp_path: Path) -> None:
    """A csv cell above the csv module's own bound is read whole; that bound is left as it was, also by a refusal."""
    bound = csv.field_size_limit()
    book = "word " * bound
    path = write_csv(tmp_path / "t", [{"name": "book", "content": book}])
    assert texts_from_table(path, TEXT_COLUMNS, limit=None, where=WHERE)[0].content == book
    assert csv.field_size_limit() == bound
    path.write_bytes(b"name,content\nbook,\xff\n")
    with pytest.raises(ConfigError):
        texts_from_table(path, TEXT_COLUMNS, limit=None, where=WHERE)
    assert csv.field_size_limit() == bound


@dataclass(frozen=True)
class BadTable:
    """A table that must be refused: its lines, the mapping's changes, and what the message must say."""

    name: str
    lines: str
    says: tuple[str, ...]
    key: str | None
    columns: Mapping[str, str] | None = None
    extension: str = "csv"
    at_config: bool = False
    """True where the message names the config file; else it names the table."""


BAD_TEXTS = (
    BadTable(
        "no content", "name,contents\na,x", ("'content'", "did you mean 'contents'?"), "columns.content", at_config=True
    ),
    BadTable("no name", "nmae,content\na,x", ("'name'", "did you mean 'nmae'?"), "columns.name", at_config=True),
    BadTable("slip", "name,content,titel\na,x,T", ("did you mean 'titel'?",), "columns.title", at_config=True),
    BadTable(
        "renamed", "name,content\na,x", ("'head'", "valid names"), "columns.title", {"title": "head"}, at_config=True
    ),
    BadTable(
        "field", "name,content\na,x", ("did you mean 'content'?",), "columns.contnt", {"contnt": "a"}, at_config=True
    ),
    BadTable("content off", "name,content\na,x", ("no column",), "columns.content", {"content": ""}, at_config=True),
    BadTable("empty content", "name,content\na,x\nb,", ("row 2", "content is empty"), "content"),
    BadTable("blank content", "name,content\na, \u3000 ", ("row 1", "content is empty"), "content"),
    BadTable("short row", "name,content\na", ("row 1", "content is empty"), "content"),
    BadTable("empty name", "name,content\na,x\n,y", ("row 2", "name is empty"), "name"),
    BadTable("same name", "name,content\na,x\nb,x\na,y", ("row 3", "'a' is taken by row 1"), "name"),
    BadTable("shift", "name,content,temperature_shift\na,x,3", ("row 1", "from -2 to 2", "'3'"), "temperature_shift"),
    BadTable("comma", "name,content\na,x,y", ("row 1", "3 cells for 2 columns"), None),
    BadTable("twin columns", "name,content,name\na,x,b", ("two columns are named 'name'",), None),
    BadTable("open quote", 'name,content\na,"x', ("cannot be read as csv",), None),
    BadTable("no row", "name,content\n", ("holds no row",), None),
    BadTable("nothing", "", ("is empty",), None),
    BadTable("semicolons", "name;content\na;x\n", ("one column", "parted by ';'"), "delimiter", at_config=True),
    BadTable("tabs", "name\tcontent\na\tx\n", ("parted by a tab",), "delimiter", at_config=True),
    BadTable("not JSON", '{"name": "a", "content": "x"}\n{"name"', ("line 2", "is not JSON"), None, extension="jsonl"),
    BadTable("no object", '["a", "x"]', ("line 1", "is not a JSON object"), None, extension="jsonl"),
    BadTable(
        "list", '{"name": "a", "content": ["x"]}', ("row 1", "content holds no text"), "content", extension="jsonl"
    ),
    BadTable(
        "half", '{"name": "a", "content": "\\ud83c"}', ("row 1", "half a character"), "content", extension="jsonl"
    ),
    BadTable("no parquet", "name,content\na,x", ("cannot be read as parquet",), None, extension="parquet"),
    BadTable(
        "extension",
        "name,content\na,x",
        (".csv, .tsv, .jsonl, .parquet", "'.xlsx'"),
        "path",
        None,
        "xlsx",
        at_config=True,
    ),
)


@dataclass(frozen=True)
class Readable:
    """A table as programs write it, how it is read, and the names and contents in it."""

    name: str
    file: str
    lines: str
    found: dict[str, str]
    columns: Mapping[str, str] = field(default_factory=dict)
    delimiter: str | None = None
    skip_empty: bool = False


READABLE = (
    Readable("NaN", "t.jsonl", '{"name": "a", "content": "x", "title": NaN}\n', {"a": "x"}),
    Readable("NaN shift", "t.jsonl", '{"name": "a", "content": "x", "temperature_shift": NaN}\n', {"a": "x"}),
    Readable("empty columns", "t.csv", "name,content,,\na,x,,\nb,y,,\n", {"a": "x", "b": "y"}),
    Readable("two alike that nobody maps", "t.csv", "name,n,n,content\na,1,2,x\n", {"a": "x"}),
    Readable("rows of commas", "t.csv", "name,content\na,x\n,\n , ,,\n", {"a": "x"}),
    Readable("more cells, empty", "t.csv", "name,content\na,x,,\n", {"a": "x"}),
    Readable("tsv", "t.tsv", 'name\tcontent\na\t"x, y"\n', {"a": "x, y"}),
    Readable("semicolons", "t.csv", "name;content\na;x, y\n", {"a": "x, y"}, delimiter=";"),
    Readable("tabs", "t.csv", "name\tcontent\na\tx\n", {"a": "x"}, delimiter="tab"),
    Readable("skipped", "t.csv", "name,content\na,x\n,\nb, \nc,z\n", {"a": "x", "c": "z"}, skip_empty=True),
    Readable(
        "skipped NaN",
        "t.jsonl",
        '{"name": "a", "content": NaN}\n{"name": "b", "content": "y"}',
        {"b": "y"},
        skip_empty=True,
    ),
    Readable(
        "whole numbers as data frames write them where one is missing",
        "t.jsonl",
        '{"name": 1.0, "content": "x"}\n{"name": 2.0, "content": 1984.0}\n',
        {"1": "x", "2": "1984"},
    ),
    Readable("numbered", "t.csv", "name,content\na,x\na,y\n", {"row-1": "x", "row-2": "y"}, {"name": ""}),
)


@pytest.mark.parametrize("case", READABLE, ids=lambda case: case.name)
def test_tables_are_read_as_programs_write_them(tmp_path: Path, case: Readable) -> None:
    """NaN is missing, columns that nobody maps do not matter, and tabs, semicolons and empty rows can be asked for."""
    path = tmp_path / case.file
    path.write_text(case.lines, "utf-8")
    columns = {**TEXT_COLUMNS, **case.columns}
    texts = texts_from_table(
        path, columns, limit=None, where=WHERE, delimiter=case.delimiter, skip_empty=case.skip_empty
    )
    assert {text.name: text.content for text in texts} == case.found
    assert {(text.title, text.temperature_shift) for text in texts} == {("", 0.0)}


def test_a_persona_table_is_read_alike(tmp_path: Path) -> None:
    """A temperature that is NaN is none; a description that is NaN is empty, and can be skipped."""
    path = tmp_path / "p.jsonl"
    path.write_text(
        '{"name": "a", "description": "x", "temperature": NaN}\n{"name": "b", "description": NaN}\n', "utf-8"
    )
    (found,) = personas_from_table(path, PERSONA_COLUMNS, limit=None, where=WHERE, skip_empty=True)
    assert (found.name, found.temperature) == ("a", None)
    error = complaint(lambda: personas_from_table(path, PERSONA_COLUMNS, limit=None, where=WHERE))
    assert "row 2: description is empty" in str(error)


@pytest.mark.parametrize(
    ("row", "says", "typed"),
    [
        ('{"name": NaN, "content": "x"}', "row 2: name is empty", 'columns.name=""\''),
        ('{"name": "a", "content": " "}', "row 2: content is empty", "skip_empty=true"),
        ('{"name": 1.5, "content": "x"}', "row 2: name holds no text but 1.5", None),
    ],
)
def test_an_empty_cell_tells_what_to_type(tmp_path: Path, row: str, says: str, typed: str | None) -> None:
    """Rows without a name can be numbered, and those without content left out; a fraction is no name."""
    path = tmp_path / "t.jsonl"
    path.write_text(f'{{"name": "b", "content": "x"}}\n{row}\n', "utf-8")
    error = complaint(lambda: texts_from_table(path, TEXT_COLUMNS, limit=None, where=WHERE))
    assert says in str(error)
    assert error.advice is None if typed is None else str(error.advice).endswith(typed)


def test_a_mapped_column_stands_once(tmp_path: Path) -> None:
    """Two columns of one name are refused where a field is mapped to it: which was meant nobody knows."""
    path = tmp_path / "t.csv"
    path.write_text("name,content,content\na,x,y\n", "utf-8")
    error = complaint(lambda: texts_from_table(path, TEXT_COLUMNS, limit=None, where=WHERE))
    assert "two columns are named 'content'" in str(error)


def test_a_name_that_is_taken_tells_how_rows_are_numbered(tmp_path: Path) -> None:
    """The advice names the key, so that it can be typed."""
    path = tmp_path / "t.csv"
    path.write_text("name,content\na,x\na,y\n", "utf-8")
    error = complaint(lambda: texts_from_table(path, TEXT_COLUMNS, limit=None, where="text/table.yaml"))
    assert error.advice == "runner 'text.table.columns.name=\"\"'"


@pytest.mark.parametrize("case", BAD_TEXTS, ids=lambda case: case.name)
def test_bad_table_of_texts_is_refused(tmp_path: Path, case: BadTable) -> None:
    """What is wrong with a table is said with its row, or with the key of the config that is wrong about it."""
    path = tmp_path / f"t.{case.extension}"
    path.write_text(case.lines, "utf-8")
    columns = {**TEXT_COLUMNS, **(case.columns or {})}
    error = complaint(lambda: texts_from_table(path, columns, limit=None, where=WHERE))
    assert error.where == (WHERE if case.at_config else str(path))
    assert error.key == case.key
    assert [part for part in case.says if part not in str(error)] == []


@pytest.mark.parametrize("value", ["-0.1", "2.01", "warm", "nan", "inf", True, [0.5]])
def test_persona_temperature_is_a_number_from_0_to_2(tmp_path: Path, value: object) -> None:
    """A temperature that no provider takes is refused with its row."""
    path = write_jsonl(tmp_path / "t", [{"name": "a", "description": "x", "temperature": value}])
    error = complaint(lambda: personas_from_table(path, PERSONA_COLUMNS, limit=None, where=WHERE))
    assert error.key == "temperature"
    assert "row 1: temperature must be a number from 0 to 2" in str(error)


def test_table_that_is_not_utf8_names_the_byte(tmp_path: Path) -> None:
    """A table in another encoding is refused with the byte where that shows."""
    (tmp_path / "t.csv").write_bytes("name,content\na,雨".encode("cp932"))
    error = complaint(lambda: texts_from_table(tmp_path / "t.csv", TEXT_COLUMNS, limit=None, where=WHERE))
    assert "is not UTF-8: byte 0x89 at offset 15" in str(error)


def test_absent_table_names_the_config(tmp_path: Path) -> None:
    """A path to nothing is refused by the config file and key that named it."""
    error = complaint(lambda: texts_from_table(tmp_path / "no.csv", TEXT_COLUMNS, limit=None, where=WHERE))
    assert (error.where, error.key) == (WHERE, "path")


def test_ten_thousand_rows_take_under_a_second(tmp_path: Path) -> None:
    """A table of 10,000 texts is read in less than a second of processor time."""
    rows = [{"name": f"n{at}", "content": "some words " * 40, "temperature_shift": 0.1} for at in range(10_000)]
    path = write_csv(tmp_path / "t", rows)
    start = time.process_time()
    assert len(texts_from_table(path, TEXT_COLUMNS, limit=None, where=WHERE)) == 10_000
    assert time.process_time() - start < 1.0


def test_only_parquet_loads_pyarrow(tmp_path: Path) -> None:
    """Reading csv and jsonl loads neither pyarrow nor pandas."""
    path = write_csv(tmp_path / "t", [{"name": "a", "content": "x"}])
    program = (
        "import sys; from runner.config.sources import texts_from_table;"
        f"texts_from_table({str(path)!r}, {{}}, limit=None, where='');"
        "sys.exit(bool({'pyarrow', 'pandas', 'aozora'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
