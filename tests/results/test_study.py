"""The study's own files: read with all their deviations, kept like any run, and written back."""

from __future__ import annotations

import csv
import io
import json
import shlex
import shutil
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from runner.cli.verbs import results
from runner.cli.verbs.reproduce import reproduce
from runner.cli.verbs.runs import rescore
from runner.errors import ConfigError
from runner.records import Tracking
from runner.reporting import html
from runner.results import study, summary
from runner.results.files import read_rows
from runner.results.study.head import read_head
from runner.results.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

ANSWERS = """Q1. 面白さ(数値): 75
Q1. 面白さ(理由): 時計が話すから。

Q2. 驚き(数値): 60
Q2. 驚き(理由): 結末が意外。

Q3. 悲しみ(数値): 20
Q3. 悲しみ(理由): 少し寂しい。

Q4. 怒り(数値): 0
Q4. 怒り(理由): 怒る所はない。"""
SCORES = {"interesting": 75.0, "surprise": 60.0, "sadness": 20.0, "anger": 0.0}
HEAD = {
    "timestamp": "2025-05-01 14:20:03",
    "text": "t1",
    "model": "gpt-4o-2024",
    "persona": "p1",
    "temperature": "0.7",
    "trial": "1",
}
NAME = "t1_gpt-4o_p1_temp70_01"
PRICING = 'pricing: {\n  "input": 2.0,\n  "cached_input": 0.5,\n  "output": 8.0\n}\n'


def _head(*order: str, **changes: str | None) -> str:
    """The metadata's lines, in the study's order unless another is given; None leaves a line out."""
    values = {**HEAD, **changes}
    return "".join(f"{name}: {values[name]}\n" for name in order or tuple(HEAD) if values[name] is not None)


def _put(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


# ---- one reply's file ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A file that can be read, and what is not as in the study's own form."""

    why: str
    content: str
    name: str = NAME
    text: str = "t1"
    model: str = "gpt-4o"
    model_id: str = "gpt-4o-2024"
    persona: str = "p1"
    temperature: float | None = 0.7
    repetition: int = 1
    time: str | None = "2025-05-01T14:20:03"
    problem: str | None = None


OLD_ORDER = ("timestamp", "persona", "model", "trial", "temperature", "text")
CASES = (
    Case("as the study writes it", f"{_head()}\n{ANSWERS}\n"),
    Case("with prices", f"{_head()}{PRICING}\n{ANSWERS}\n"),
    Case("prices on one line", f'{_head()}pricing: {{"input": 2.0, "output": 8.0}}\n\n{ANSWERS}\n'),
    Case("prices above the rest", f"{PRICING}{_head()}\n{ANSWERS}\n"),
    Case("prices that are no JSON", f"{_head()}pricing: free\n\n{ANSWERS}\n"),
    Case(
        "a reasoning model", f"{_head(temperature='None', model='o3-mini')}\n{ANSWERS}\n",
        name="t1_o3-mini_p1_temp--_01", model="o3-mini", model_id="o3-mini", temperature=None,
    ),
    Case("the older order, trial as n01", f"{_head(*OLD_ORDER, trial='n01')}\n{ANSWERS}\n"),
    Case(
        "the older name", f"{_head(*OLD_ORDER, trial='n02', temperature='0.5')}\n{ANSWERS}\n",
        name="p1_gpt4o_t1_n02_temp50", model="gpt4o", temperature=0.5, repetition=2,
    ),
    Case(
        "the oldest name, titles in the metadata",
        f"{_head(*OLD_ORDER, persona='大学１年生', text='懐中時計', temperature='0.5')}{ANSWERS}",
        name="p1_gpt4o_n01_temp50_t1", model="gpt4o", temperature=0.5,
    ),
    Case("no name of the study's form", f"{_head()}\n{ANSWERS}\n", name="reply (1)", model="gpt-4o-2024"),
    Case("no metadata", ANSWERS, model_id="gpt-4o", time=None),
    Case("metadata in part", f"{_head('model', 'trial')}\n{ANSWERS}\n", time=None),
    Case("blank lines in the metadata", f"{_head('timestamp', 'text')}\n\n{_head(*tuple(HEAD)[2:])}\n{ANSWERS}\n"),
    Case(
        "headings and checks in the metadata",
        f"# 基本情報\n{_head(*OLD_ORDER)}\n# 検証情報\nvalidation_status: success\nmatched_patterns:\n"
        f"  面白さ: 標準形式\n  驚き: 括弧形式\nretry_count: 0\nerror_details: なし\n\n{ANSWERS}\n",
    ),
    Case("no blank line before the answers", f"{_head()}{ANSWERS}\n"),
    Case("no line break at the end", f"{_head()}\n{ANSWERS}"),
    Case("lines that end as on Windows", f"{_head()}\n{ANSWERS}\n".replace("\n", "\r\n")),
    Case("a byte order mark", f"\ufeff{_head()}\n{ANSWERS}\n"),
    Case("full-width colons in the metadata", f"{_head()}\n{ANSWERS}\n".replace(": ", "：")),
    Case("full-width digits", f"{_head()}\n{ANSWERS.replace('75', '７５')}\n"),
    Case("out of a hundred", f"{_head()}\n{ANSWERS.replace('75', '75/100')}\n"),
    Case("bold marks", f"{_head()}\n{ANSWERS.replace('Q1. 面白さ(数値):', '**Q1. 面白さ(数値)**:')}\n"),
    Case("a preamble", f"{_head()}\n以下が回答です。\n\n{ANSWERS}\n"),
    Case("a code fence", f"{_head()}\n```\n{ANSWERS}\n```\n"),
    Case("the older labels", f"{_head()}Q1value: 75\nQ1reason: あ\nQ2value: 60\nQ3value: 20\nQ4value: 0"),
    Case("an underscore in names", f"{_head(text='long_one', persona='sad_poet')}\n{ANSWERS}\n",
         name="long_one_gpt_4o_sad_poet_temp70_01", text="long_one", persona="sad_poet", model="gpt_4o"),
    Case("a persona that is no code", f"{_head(persona='poet')}\n{ANSWERS}\n",
         name="t1_gpt-4o_poet_temp70_01", persona="poet"),
    Case("a time that is none", f"{_head(timestamp='yesterday')}\n{ANSWERS}\n", time=None),
    Case("no reply", f"{_head()}\n", problem="empty"),
    Case("words only", f"{_head()}\n申し訳ありませんが、文章がありません。\n", problem="no_score"),
    Case("a question left out", f"{_head()}\n{ANSWERS[:100]}\n", problem="missing_question"),
    Case("beyond its scale", f"{_head()}\n{ANSWERS.replace('75', '120')}\n", problem="out_of_range"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_a_reply_is_read(case: Case, tmp_path: Path) -> None:
    """Every form that the study's files take becomes the same kind of row, its scores read or the reason given."""
    (row,) = study.read(_put(tmp_path, {f"openai/{case.name}.txt": case.content})).rows
    assert (row.vendor, row.text, row.model, row.persona) == ("openai", case.text, case.model, case.persona)
    assert (row.model_id, row.repetition, row.time) == (case.model_id, case.repetition, case.time)
    assert row.sent == ({} if case.temperature is None else {"temperature": case.temperature})
    assert (row.outcome, row.problem and row.problem.kind) == ("unscorable" if case.problem else "scored", case.problem)
    if case.problem is None:
        assert row.scores == SCORES


@dataclass(frozen=True)
class Refused:
    """A file that cannot be read, and words of the reason."""

    why: str
    content: str | bytes
    reason: str
    name: str = f"{NAME}.txt"


REFUSED = (
    Refused("nothing in it", "", "is empty"),
    Refused("blanks only", " \n\n", "is empty"),
    Refused("another encoding", f"{_head()}\n{ANSWERS}\n".encode("cp932"), "is not UTF-8 from byte"),
    Refused("anything else", "shopping list", "has no metadata", "notes.txt"),
    Refused("no text", _head(text=None), "names no text", "a.txt"),
    Refused("no persona", _head(persona=None), "names no persona", "a.txt"),
    Refused("no model", _head(model=None), "names no model", "a.txt"),
    Refused("no trial", _head(trial=None), "names no trial", "a.txt"),
    Refused("no temperature", _head(temperature=None), "says no temperature", "a.txt"),
    Refused("a trial that is no number", _head(trial="first"), "'first' is no trial's number", "a.txt"),
    Refused("trial zero", _head(trial="0"), "'0' is no trial's number", "a.txt"),
    Refused("a temperature that is none", _head(temperature="hot"), "'hot' is no temperature", "a.txt"),
    Refused("a temperature beyond all", _head(temperature="7"), "'7' is no temperature", "a.txt"),
    Refused("two texts", _head(text="t2"), "its metadata says text t2, its name t1"),
    Refused("two personas", _head(persona="p2"), "its metadata says persona p2, its name p1"),
    Refused("two temperatures", _head(temperature="0.4"), "its metadata says temperature 0.4, its name temp70"),
    Refused("a temperature and none", _head(temperature="None"), "its metadata says temperature None, its name temp70"),
    Refused("two trials", _head(trial="2"), "its metadata says trial 2, its name 01"),
    Refused("no TXT", "{}", "is no reply's TXT", "batch_1_output.jsonl"),
)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.why)
def test_what_cannot_be_read_is_listed(case: Refused, tmp_path: Path) -> None:
    """A file of which it cannot be said which trial it is, is listed with its reason, and its neighbour is read."""
    other = f"{_head(trial='9')}\n{ANSWERS}\n"
    files = {f"openai/{case.name}": case.content, "openai/t1_gpt-4o_p1_temp70_09.txt": other}
    imported = study.read(_put(tmp_path, files))
    (unreadable,) = imported.unreadable
    assert unreadable.place == f"openai/{case.name}"
    assert case.reason in unreadable.reason
    assert [row.repetition for row in imported.rows] == [9]


def test_the_same_trial_twice_is_kept_once(tmp_path: Path) -> None:
    """Of two files of one trial the first is read; the second is listed with the place of the first."""
    reply = f"{_head()}\n{ANSWERS}\n"
    imported = study.read(_put(tmp_path, {f"openai/{NAME}.txt": reply, f"openai/old/../{NAME[:-2]}n01.txt": reply}))
    assert [row.text for row in imported.rows] == ["t1"]
    assert "is the same trial as openai/t1_gpt-4o_p1_temp70_01.txt" in imported.unreadable[0].reason


def test_a_head_never_takes_answers() -> None:
    """An answer in the words of the metadata belongs to the reply once the metadata is complete."""
    _, body = read_head(f"{_head()}\ntext: 面白い文章です\n{ANSWERS}\n")
    assert body == f"text: 面白い文章です\n{ANSWERS}\n"


def test_a_folder_of_one_vendor(tmp_path: Path) -> None:
    """A vendor's own folder, or one file of it, is read with the folder's name as vendor; hidden files are none."""
    folder = _put(tmp_path / "grok", {f"{NAME}.txt": f"{_head()}\n{ANSWERS}\n", ".DS_Store": b"\x00"})
    for path in (folder, folder / f"{NAME}.txt"):
        imported = study.read(path)
        assert [row.vendor for row in imported.rows] == ["grok"]
        assert imported.unreadable == ()


COLUMNS = "timestamp,text,developer,model,persona,temperature,trial,Q1value,Q2value,Q3value,Q4value"


@dataclass(frozen=True)
class Nothing:
    """A path without anything to import, and words of the error."""

    why: str
    files: dict[str, str | bytes]
    path: str
    reason: str


NOTHING = (
    Nothing("no such path", {}, "results", "no such file or folder"),
    Nothing("an empty folder", {".keep": ""}, ".", "holds no reply's TXT"),
    Nothing("nothing readable", {"a.txt": "x"}, ".", "a.txt has no metadata"),
    Nothing("a table without a column", {"a.csv": "text,model,persona\n"}, "a.csv", "no such column"),
    Nothing("an empty table", {"a.csv": ""}, "a.csv", "the file is empty"),
    Nothing("a table in another encoding", {"a.csv": "驚き\n".encode("cp932")}, "a.csv", "is not UTF-8"),
    Nothing("half of a UTF-16 table", {"a.csv": b"\xff\xfet\x00e"}, "a.csv", "is not UTF-16"),
    Nothing("no line below the first", {"a.csv": f"{COLUMNS}\n"}, "a.csv", "holds no line that can be read"),
    Nothing("a quote never closed", {"a.csv": f'{COLUMNS}\n"2025,t1,V\n'}, "a.csv", "line 2 has another number"),
    Nothing("a column twice", {"a.csv": f"{COLUMNS},Q1value\n"}, "a.csv", "key 'Q1value': there are two such columns"),
    Nothing("semicolons", {"a.csv": COLUMNS.replace(",", ";")}, "a.csv", "fields are not separated by commas"),
)


@pytest.mark.parametrize("case", NOTHING, ids=lambda case: case.why)
def test_nothing_to_import_is_an_error(case: Nothing, tmp_path: Path) -> None:
    """Where there is nothing to read at all, the error says where and why."""
    _put(tmp_path, case.files)
    with pytest.raises(ConfigError, match=case.reason):
        study.read(tmp_path / case.path)


# ---- the table -------------------------------------------------------------------------------------------------------


def _table(*lines: str, columns: str = COLUMNS) -> str:
    return "\n".join([columns, *lines, ""])


def test_a_line_of_the_table_is_a_row(tmp_path: Path) -> None:
    """A line becomes a row without a reply: vendor, sampling, time and scores as they stand in it."""
    _put(tmp_path, {"a.csv": _table("2025/5/1 14:20,t1,OpenAI,gpt-4o,p1,0.7,3,85.0,20,10.5,0")})
    (row,) = study.read(tmp_path / "a.csv").rows
    assert (row.vendor, row.model, row.model_id, row.persona, row.text) == ("OpenAI", "gpt-4o", "gpt-4o", "p1", "t1")
    assert (row.sent, row.repetition, row.time, row.reply) == ({"temperature": 0.7}, 3, "2025-05-01T14:20:00", None)
    assert list(row.scores.values()) == [85.0, 20.0, 10.5, 0.0]
    assert (row.outcome, row.cell, row.source) == ("scored", "gpt-4o/p1", None)


@dataclass(frozen=True)
class Line:
    """A line of the table whose scores are not whole, and what becomes of it."""

    why: str
    cells: str
    kind: str
    scores: tuple[float | None, ...]


LINES = (
    Line("no score", ",,,", "no_score", (None, None, None, None)),
    Line("one missing", "85.0,70.0,,30.0", "missing_question", (85.0, 70.0, None, 30.0)),
    Line("one too high", "85,70,101,30", "out_of_range", (85.0, 70.0, None, 30.0)),
    Line("one no number", "85,70,high,30", "not_a_number", (85.0, 70.0, None, 30.0)),
    Line("no number and one missing", "85,70,nan,", "not_a_number", (85.0, 70.0, None, None)),
)


@pytest.mark.parametrize("case", LINES, ids=lambda case: case.why)
def test_a_line_without_all_scores_is_unscorable(case: Line, tmp_path: Path) -> None:
    """What the table holds of an incomplete line is kept, it is no scored one, and the kind of problem is given."""
    _put(tmp_path, {"a.csv": _table(f"2025/5/1 14:20,t1,OpenAI,gpt-4o,p1,,3,{case.cells}")})
    (row,) = study.read(tmp_path / "a.csv").rows
    assert row.outcome == "unscorable"
    assert row.problem is not None
    assert row.problem.kind == case.kind
    assert tuple(row.scores.values()) == case.scores
    assert row.sent == {}


def test_bad_lines_are_listed_one_by_one(tmp_path: Path) -> None:
    """A line that is no trial is listed by its number, and the others are read."""
    good = "2025/5/1 14:20,t1,OpenAI,gpt-4o,p1,0.7,1,1,2,3,4"
    lines = (
        good,
        good.replace(",t1,", ",,"),
        good.replace(",1,1,2", ",x,1,2"),
        good.replace("0.7", "warm"),
        "t1,2",
        good,
    )
    imported = study.read(_put(tmp_path, {"a.csv": _table(*lines)}) / "a.csv")
    assert len(imported.rows) == 1
    assert [(each.place, each.reason) for each in imported.unreadable] == [
        ("line 3", "names no text"),
        ("line 4", "'x' is no trial's number"),
        ("line 5", "'warm' is no temperature"),
        ("line 6", "has another number of fields than the first line"),
        ("line 7", "is the same trial as line 2"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_tell_themselves(encoding: str, tmp_path: Path) -> None:
    """UTF-8 with or without a byte order mark, and UTF-16 with one, give the same rows."""
    line = "2025/5/1 14:20,t1,社,模型,p1,0.7,1,85,70,60,30"
    (row,) = study.read(_put(tmp_path, {"a.csv": _table(line).encode(encoding)}) / "a.csv").rows
    assert (row.vendor, row.model, list(row.scores.values())) == ("社", "模型", [85.0, 70.0, 60.0, 30.0])


def test_a_table_without_developer(tmp_path: Path) -> None:
    """The table that the study's collecting script writes, in its own order and with reasons, is read."""
    columns = "timestamp,persona,model,trial,temperature,text," + ",".join(
        [f"Q{n}value" for n in range(1, 5)] + [f"Q{n}reason" for n in range(1, 5)]
    )
    line = "2025-05-01 14:20:03,p1,gpt-4o,n01,None,t1,75,60,20,0,時計,結末,,怒らない"
    (row,) = study.read(_put(tmp_path, {"a.csv": "\ufeff" + _table(line, columns=columns)}) / "a.csv").rows
    assert (row.vendor, row.repetition, row.sent, row.scores) == ("unknown", 1, {}, SCORES)
    assert list(row.reasons.values()) == ["時計", "結末", None, "怒らない"]


def test_coverage_is_of_the_complete_design(tmp_path: Path) -> None:
    """What a complete design would hold is every model, persona, text and trial that occurs, crossed."""
    lines = [
        f",t{t},V,m{m},p1,0.7,{n},1,2,3,4" for t in (1, 2) for m in (1, 2, 3) for n in (1, 2) if (t, m, n) != (2, 3, 2)
    ]
    imported = study.read(_put(tmp_path, {"a.csv": _table(*lines)}) / "a.csv")
    assert (len(imported.rows), imported.expected) == (11, 12)


def test_temperatures_are_part_of_the_design(tmp_path: Path) -> None:
    """A sweep over temperatures that comes back has no more trials than its design, also where one model takes none."""
    lines = [f",t1,V,m,p1,{heat},{n},1,2,3,4" for heat in (0, 1) for n in (1, 2)]
    lines += [f",t1,V,o3,p1,,{n},1,2,3,4" for n in (1, 2)]
    imported = study.read(_put(tmp_path, {"a.csv": _table(*lines)}) / "a.csv")
    assert (len(imported.rows), imported.expected) == (6, 6)


# ---- the run that it becomes -----------------------------------------------------------------------------------------


def _study(folder: Path) -> Path:
    """Two vendors, one of them with prices, and a file that cannot be read."""
    return _put(
        folder / "results",
        {
            f"openai/{NAME}.txt": f"{_head()}{PRICING}\n{ANSWERS}\n",
            "openai/t1_gpt-4o_p1_temp70_02.txt": f"{_head(trial='2')}{PRICING}\n{ANSWERS[:100]}\n",
            "claude/t1_haiku_p4_temp10_01.txt": f"{_head(model='haiku', persona='p4', temperature='0.1')}\n{ANSWERS}\n",
            "claude/broken.txt": "?",
        },
    )


def test_an_import_is_a_run_like_any_other(tmp_path: Path) -> None:
    """The folder holds what every run's does: rows that read back the same, replies, summary, experiment and counts."""
    imported = study.read(_study(tmp_path))
    written = study.write_run(imported, tmp_path / "outputs")
    run = json.loads((written.folder / "run.json").read_text())
    experiment = json.loads((written.folder / "experiment.json").read_text())
    assert written.folder == tmp_path / "outputs" / imported.id
    assert tuple(read_rows(written.folder / "results.jsonl")) == imported.rows
    assert [run[name] for name in ("run", "trials", "scored", "unscorable", "failed")] == [imported.id, 3, 2, 1, 0]
    assert run["imported"]["unreadable"] == [
        {"place": "claude/broken.txt", "reason": "has no metadata, and its name is not of the study's form"}
    ]
    assert [model["prices"]["input_usd_per_mtok"] for model in experiment["models"]] == [None, 2.0]
    assert len(list((written.folder / "replies").rglob("*.txt"))) == 3
    assert len((written.folder / "summary.csv").read_text().splitlines()) == 3


def test_an_import_has_no_ledger(tmp_path: Path) -> None:
    """Verbs that need a run's answers say that an import has none, with the command that brings it in again."""
    (tmp_path / "two words").mkdir()
    folder = study.write_run(study.read(_study(tmp_path / "two words")), tmp_path / "outputs").folder
    for verb in (rescore, lambda it: reproduce(it, tmp_path, fresh=False)):
        with pytest.raises(ConfigError, match="is an import") as caught:
            verb(folder)
        assert shlex.split(caught.value.advice or "") == ["runner", "import", str(tmp_path / "two words" / "results")]


def test_importing_twice_adds_nothing(tmp_path: Path) -> None:
    """The same content from another place is the same run: its folder is found, and not a byte of it changes."""
    first = study.write_run(study.read(_study(tmp_path / "here")), tmp_path / "outputs")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in first.folder.rglob("*") if path.is_file()}
    second = study.write_run(study.read(_study(tmp_path / "there")), tmp_path / "outputs")
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in first.folder.rglob("*") if path.is_file()}
    assert (first.new, second.new, second.folder) == (True, False, first.folder)
    assert after == before
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == [first.folder.name]


def test_other_content_is_another_run(tmp_path: Path) -> None:
    """One changed byte, or one more file, gives another id."""
    ids = {study.read(_study(tmp_path / "a")).id}
    more = _put(_study(tmp_path / "b"), {"grok/t1_grok_p1_temp70_01.txt": f"{_head(model='grok')}\n{ANSWERS}\n"})
    other = _put(_study(tmp_path / "c"), {f"openai/{NAME}.txt": f"{_head()}{PRICING}\n{ANSWERS}!\n"})
    assert len(ids | {study.read(more).id, study.read(other).id}) == 3


def test_a_cut_off_import_is_written_again(tmp_path: Path) -> None:
    """A folder without run.json, as a crash leaves it, is completed by the next import."""
    imported = study.read(_study(tmp_path))
    folder = study.write_run(imported, tmp_path / "outputs").folder
    (folder / "run.json").unlink()
    assert study.write_run(imported, tmp_path / "outputs").new
    assert (folder / "run.json").is_file()


def test_the_verification_table_a_vendor(tmp_path: Path) -> None:
    """An import is counted by vendor as the study counts it: files, read, with metadata, with reasons."""
    table = summary.verification(Tally.of(study.read(_study(tmp_path)).rows))
    columns = ["vendor", "replies", "metadata", "complete", "in_range", "reasons"]
    assert table[columns].to_numpy().tolist() == [["claude", 1, 1.0, 1.0, 1.0, 1.0], ["openai", 2, 1.0, 0.5, 1.0, 0.5]]


def test_the_study_s_own_check(tmp_path: Path) -> None:
    """A line a vendor: files with those that could not be read, and of them the valid, whole, reasoned and intact."""
    folder = _study(tmp_path)
    reply = ANSWERS.replace("結末が意外", "結\ufffdが意外").replace("75", "120")
    _put(folder, {"gemini/t1_gemini_p1_temp70_01.txt": f"{_head(model='gemini')}\n{reply}\n"})
    imported = study.read(_put(folder, {"notes.md": "# notes"}))
    assert [astuple(line) for line in imported.checked] == [
        ("claude", 2, 1, 1, 1, 1, 1),
        ("gemini", 1, 0, 1, 0, 1, 0),
        ("openai", 2, 1, 2, 2, 1, 2),
    ]
    run = json.loads((study.write_run(imported, tmp_path / "out").folder / "run.json").read_text())
    assert [line["vendor"] for line in run["imported"]["check"]] == ["claude", "gemini", "openai"]


# MLflow 3.17 uses a loader option that SQLAlchemy 2.1 deprecates; it says so when MLflow first maps its tables.
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
def test_an_import_has_a_report_and_is_in_mlflow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`runner import` shows the checks, names what it could not read, and leaves a report that MLflow has too."""
    where = Tracking(uri=f"sqlite:///{tmp_path}/mlflow.db", artifacts=str(tmp_path / "artifacts"), experiment="e")
    assert results.take_in(_study(tmp_path), tmp_path / "out", where) == 3
    said = capsys.readouterr().out
    assert "not read: claude/broken.txt: has no metadata" in said
    assert "claude     2 1 50%" in said
    (page,) = (tmp_path / "out").glob(f"*/{html.NAME}")
    assert "broken.txt" in page.read_text(encoding="utf-8")
    (artifact,) = (tmp_path / "artifacts").rglob(html.NAME)
    assert artifact.read_bytes() == page.read_bytes()


# ---- written back ----------------------------------------------------------------------------------------------------


def test_replies_come_out_byte_for_byte(tmp_path: Path) -> None:
    """Files in the study's form have their names and bytes again after import and export, whatever the reply says."""
    files = {path: path.read_bytes() for path in _study(tmp_path).rglob("*_temp*.txt")}
    run = study.write_run(study.read(tmp_path / "results"), tmp_path / "outputs").folder
    exported = study.export(run, "study", tmp_path / "back")
    assert (exported.written, exported.left_out) == (3, 0)
    assert {path.relative_to(tmp_path / "results"): content for path, content in files.items()} == {
        path.relative_to(tmp_path / "back"): path.read_bytes() for path in (tmp_path / "back").rglob("*.txt")
    }


def test_names_that_no_file_takes_come_back(tmp_path: Path) -> None:
    """Text, model and persona with quotes, slashes or great length are the same after export and import."""
    names = {('it\'s "q"', "Qwen/Qwen3", "p/1"), ("長い" * 60, "m", "a_b"), ("t_1", "m", "雨 🌧️" * 20)}
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(COLUMNS.split(","))
        lines.writerows(
            ["2025/5/1 14:20", text, "v", model, persona, 1, 1, 1, 2, 3, 4] for text, model, persona in names
        )
    run = study.write_run(study.read(tmp_path / "a.csv"), tmp_path / "outputs").folder
    study.export(run, "study", tmp_path / "txt")
    assert {(row.text, row.model, row.persona) for row in study.read(tmp_path / "txt").rows} == names


def test_the_table_comes_out_with_the_same_rows(tmp_path: Path) -> None:
    """A table that is imported, exported and imported again has the same trials, scores and times."""
    lines = ("2025/5/1 14:20,t1,OpenAI,gpt-4o,p1,0.7,1,85.0,70.0,,30.0", "2025/5/1 14:21,t1,xAI,grok,p1,,1,1.5,2,3,4")
    first = study.read(_put(tmp_path, {"a.csv": _table(*lines)}) / "a.csv")
    exported = study.export(study.write_run(first, tmp_path / "outputs").folder, "csv", tmp_path / "b.csv")
    second = study.read(tmp_path / "b.csv")
    assert (exported.written, exported.left_out) == (2, 0)
    facts = [[(row.key, row.outcome, row.scores, row.time) for row in each.rows] for each in (first, second)]
    assert facts[0] == facts[1]


def test_reasons_survive_the_table(tmp_path: Path) -> None:
    """Reasons with commas, quotes and line breaks come out of the CSV as they went in."""
    odd = ANSWERS.replace("結末が意外。", '「え」, "what"\n二行目')
    _put(tmp_path, {f"results/openai/{NAME}.txt": f"{_head()}\n{odd}\n"})
    run = study.write_run(study.read(tmp_path / "results"), tmp_path / "outputs").folder
    study.export(run, "csv", tmp_path / "b.csv")
    (line,) = csv.DictReader(io.StringIO((tmp_path / "b.csv").read_text(), newline=""))
    assert line["Q2reason"] == '「え」, "what"\n二行目'
    assert study.read(tmp_path / "b.csv").rows[0].reasons["surprise"] == '「え」, "what"\n二行目'


def test_parquet_holds_every_field(tmp_path: Path) -> None:
    """The Parquet table has a line a trial, a column a question, and the other fields of a row."""
    imported = study.read(_study(tmp_path))
    run = study.write_run(imported, tmp_path / "outputs").folder
    study.export(run, "parquet", tmp_path / "deep" / "a.parquet")
    table = pd.read_parquet(tmp_path / "deep" / "a.parquet")
    assert table["reply"].tolist() == [row.reply for row in imported.rows]
    assert table["score_surprise"].dropna().tolist() == [60.0, 60.0, 60.0]
    assert json.loads(table["sent"][0]) == {"temperature": 0.1}
    assert table["problem"].isna().tolist() == [True, True, False]


def test_an_import_without_replies_is_written_as_answers(tmp_path: Path) -> None:
    """A scored line of a table becomes labelled answers; one without scores has no file and is counted."""
    lines = (",t1,xAI,grok,p1,,1,75,60,20,0", ",t1,xAI,grok,p1,,2,,,,")
    imported = study.read(_put(tmp_path, {"a.csv": _table(*lines)}) / "a.csv")
    exported = study.export(study.write_run(imported, tmp_path / "outputs").folder, "study", tmp_path / "back")
    assert (exported.written, exported.left_out) == (1, 1)
    (row,) = study.read(tmp_path / "back").rows
    assert (row.scores, row.sent, row.repetition) == (SCORES, {}, 1)


def test_a_sweep_goes_out_without_the_job_that_failed(tmp_path: Path) -> None:
    """Jobs without results take no other down; where no job has any, the error says so."""
    first = study.write_run(study.read(_study(tmp_path)), tmp_path / "sweep").folder
    broken = tmp_path / "sweep" / "1"
    broken.mkdir()
    (broken / "run.json").write_text(json.dumps({"error": "ConfigError: no", "name": None}))
    jobs = [{"folder": first.name}, {"folder": "1"}]
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps({"jobs": jobs}))
    assert study.export(tmp_path / "sweep", "csv", tmp_path / "a.csv").written == 3
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps({"jobs": jobs[1:]}))
    with pytest.raises(ConfigError, match="no job of it has results"):
        study.export(tmp_path / "sweep", "csv", tmp_path / "a.csv")


def test_one_job_of_a_sweep_goes_out_alone(tmp_path: Path) -> None:
    """A job's folder is exported as that job, as `stats` takes it, not as its whole sweep."""
    first = study.write_run(study.read(_study(tmp_path)), tmp_path / "sweep").folder
    second = shutil.copytree(first, tmp_path / "sweep" / "1")
    jobs = [{"folder": first.name}, {"folder": "1"}]
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps({"jobs": jobs}))
    assert study.export(second, "csv", tmp_path / "a.csv").written == 3
    assert study.export(tmp_path / "sweep", "parquet", tmp_path / "a.parquet").written == 6


@pytest.mark.parametrize(("form", "replied"), [("csv", 3), ("study", 3)])
def test_an_answer_that_jobs_share_goes_out_once(form: str, replied: int, tmp_path: Path) -> None:
    """What a sweep's export cannot tell apart is one trial in it, so that it comes in again without a complaint."""
    first = study.write_run(study.read(_study(tmp_path)), tmp_path / "sweep").folder
    shutil.copytree(first, tmp_path / "sweep" / "1")
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps({"jobs": [{"folder": first.name}, {"folder": "1"}]}))
    target = tmp_path / ("a.csv" if form == "csv" else "a")
    done = study.export(tmp_path / "sweep", form, target)
    assert (done.written, done.left_out, done.shared) == (replied, 0, 3)
    again = study.read(target)
    assert (len(again.rows), again.unreadable) == (replied, ())


def test_a_target_in_use_is_refused(tmp_path: Path) -> None:
    """Replies are not mixed into a folder that holds something; an unknown format is named with the nearest."""
    run = study.write_run(study.read(_study(tmp_path)), tmp_path / "outputs").folder
    with pytest.raises(ConfigError, match="not an empty folder"):
        study.export(run, "study", tmp_path / "results")
    with pytest.raises(ConfigError, match="did you mean 'parquet'"):
        study.export(run, "parket", tmp_path / "a")
    with pytest.raises(ConfigError, match="not the folder of a run"):
        study.export(tmp_path, "csv", tmp_path / "a")
