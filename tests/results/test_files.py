"""A run's files: their formats byte for byte, the names of the replies' files, and what a crash leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_examples import ENGLISH, FAILED, JAPANESE, PRICES, SCORED, UNSCORABLE

from runner.config.origin import Origin
from runner.dispatch.purchase import Purchase
from runner.errors import RunnerError
from runner.plan.job import Job
from runner.records import (
    Batch,
    Experiment,
    Given,
    Prices,
    PromptTemplate,
    Row,
    Sampling,
    Stated,
    Tracking,
)
from runner.results import manifest
from runner.results.files import RunFolder, read_rows, reply_text, row_from_json, row_to_json
from runner.results.launch import JobResult, Launch
from runner.results.reply_files import MOST_FILES, FileNames

GOLDEN = Path(__file__).parent / "golden" / "run"


def _write(folder: Path, *rows: Row, prompt: PromptTemplate = JAPANESE, trials: int = 0) -> Path:
    with RunFolder(folder, (prompt,), {"gpt-4.1": PRICES}, trials=trials) as run:
        for row in rows:
            run.add(row)
    return folder


def _tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- formats ---------------------------------------------------------------------------------------------------------


def test_a_runs_files_are_the_golden_ones(tmp_path: Path) -> None:
    """results.jsonl, errors.jsonl and the replies' files are byte for byte what tests/golden/run holds."""
    assert _tree(_write(tmp_path, SCORED, UNSCORABLE, FAILED)) == _tree(GOLDEN)


ASKED_AGAIN = replace(SCORED, asked=3, taken=2, earlier_usd=0.25)
CHOSEN = replace(
    SCORED,
    scores={"guess": 2.5},
    reasons={"mood": "quiet", "moods": None, "guess": None, "lost": None},
    answers={
        "mood": Given("calm", "穏やか", "穏やか。"),
        "moods": Given(["calm", "sad"], None, ["calm", "sad"]),
        "words": Given("静かだった。\u2028", None, "静かだった。\u2028"),
        "guess": Given({"2": 0.5, "3": 0.5}, None, {"p2": 50, "p3": "50%"}, {"mean": 2.5, "sd": 0.5, "entropy": 1.0}),
        "lost": None,
    },
    question="mood",
)
CONVERTED = replace(SCORED, stated={"interesting": Stated(7.5, 0.0, 10.0, 75.0)})


def test_a_row_has_the_fields_of_the_record_in_their_order() -> None:
    """A line's keys are records.Row's fields in their order; what few rows have stands in those alone."""
    rare, again = ("stated", "answers", "question", "factors", "redacted"), ("asked", "taken", "earlier_usd")
    names = [field.name for field in fields(Row) if field.name not in rare]
    usual = [name for name in names if name not in again]
    assert list(json.loads(row_to_json(SCORED))) == usual
    assert list(json.loads(row_to_json(ASKED_AGAIN))) == names
    assert sorted(json.loads(row_to_json(CONVERTED))) == sorted([*usual, "stated"])
    assert sorted(json.loads(row_to_json(CHOSEN))) == sorted([*usual, "answers", "question"])
    redacted = replace(SCORED, redacted=True)
    assert sorted(json.loads(row_to_json(redacted))) == sorted([*usual, "redacted"])
    assert row_from_json(row_to_json(redacted)) == redacted


def test_answers_that_are_no_numbers_come_back_as_they_were() -> None:
    """A choice, a list, words and probabilities are in a row's line, and are read from it again."""
    assert row_from_json(row_to_json(CHOSEN)) == CHOSEN


@pytest.mark.parametrize("row", [SCORED, UNSCORABLE, FAILED, CONVERTED, ASKED_AGAIN], ids=lambda row: row.outcome)
def test_a_row_round_trips(row: Row) -> None:
    """A row written and read again is the same row."""
    assert row_from_json(row_to_json(row)) == row


@given(st.text(st.characters()), st.text(st.characters(codec="utf-8")))
def test_any_text_in_a_row_survives_on_one_line(surrogates: str, text: str) -> None:
    """Any reply and any name, half pairs included, come back from one line of UTF-8 as they were."""
    whole = surrogates.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    row = replace(SCORED, reply=whole, text=text, reasons={"interesting": text, "surprise": whole})
    line = row_to_json(row)
    assert len(line.splitlines()) == 1
    assert row_from_json(line.encode().decode()) == row


def test_a_later_versions_field_is_passed_over() -> None:
    """A field that a later version added does not keep a row from being read."""
    assert row_from_json(row_to_json(SCORED)[:-1] + ', "mood": "good"}') == SCORED


def test_rows_are_read_one_at_a_time(tmp_path: Path) -> None:
    """Reading gives the first row before it looks at the second line."""
    path = tmp_path / "results.jsonl"
    path.write_text(row_to_json(SCORED) + "\nnot a row\n", encoding="utf-8")
    assert next(read_rows(path)) == SCORED


@dataclass(frozen=True)
class Torn:
    """A second line that cannot be read, and what the message says of it."""

    name: str
    line: bytes
    said: str


@pytest.mark.parametrize(
    "torn",
    [
        Torn("cut off", row_to_json(SCORED).encode()[:200], "not JSON, or cut off"),
        Torn("cut in a character", '{"run": "面'.encode()[:-1], "codec can't decode"),
        Torn("not an object", b"[]", "not a row of results"),
        Torn("another object", b'{"run": "x"}', "not a row of results (KeyError: 'scores')"),
        Torn("an empty line", b"\n", "not JSON"),
    ],
    ids=lambda torn: torn.name,
)
def test_a_torn_line_is_named_by_file_and_line(torn: Torn, tmp_path: Path) -> None:
    """A line that cannot be read ends in an error with the file, the line's number and what to do."""
    path = tmp_path / "results.jsonl"
    path.write_bytes(row_to_json(SCORED).encode() + b"\n" + torn.line)
    with pytest.raises(RunnerError) as raised:
        list(read_rows(path))
    assert str(raised.value).startswith(f"{path}, line 2: ")
    assert torn.said in str(raised.value)
    assert raised.value.advice


def test_a_missing_results_file_is_named(tmp_path: Path) -> None:
    """A folder without results gives an error with the path, not a traceback."""
    with pytest.raises(RunnerError, match=r"results\.jsonl: No such file"):
        list(read_rows(tmp_path / "results.jsonl"))


def test_an_english_prompt_has_english_labels() -> None:
    """Replies to a prompt in another language than Japanese are labelled (value) and (reason)."""
    lines = reply_text(SCORED, ENGLISH).splitlines()
    assert "Q1. Interesting(value): 75" in lines
    assert "Q1. Interesting(reason): 時計の答えが愉快だから。" in lines


@dataclass(frozen=True)
class Priced:
    """What is known of a model's prices, and the head's lines about them."""

    name: str
    prices: Prices | None
    lines: tuple[str, ...]


@pytest.mark.parametrize(
    "priced",
    [
        Priced("nothing known", Prices(), ()),
        Priced("no prices", None, ()),
        Priced("free", Prices(0.0, 0.0), ("pricing: {", '  "input": 0.0,', '  "output": 0.0', "}")),
        Priced("one known", Prices(None, 8.0), ("pricing: {", '  "output": 8.0', "}")),
    ],
    ids=lambda priced: priced.name,
)
def test_pricing_stands_only_where_a_price_is_known(priced: Priced) -> None:
    """Unknown prices are left out, never written as zero; a known zero is written."""
    lines = reply_text(SCORED, JAPANESE, priced.prices).splitlines()
    assert tuple(lines[6 : lines.index("")]) == priced.lines


def test_a_name_with_a_line_break_cannot_pass_for_metadata() -> None:
    """A line break in a name does not put another line into the head."""
    head = reply_text(replace(SCORED, text="t1\nmodel: other"), JAPANESE).split("\n\n")[0].splitlines()
    assert [line.split(":")[0] for line in head] == ["timestamp", "text", "model", "persona", "temperature", "trial"]


def test_a_reply_beyond_reading_is_kept_as_it_came(tmp_path: Path) -> None:
    """Behind the head stands the raw reply with its own line ends, then one line feed."""
    raw = "\r\n\tI'd say \x00 75?\r\r\n\n"
    _write(tmp_path, replace(UNSCORABLE, reply=raw))
    written = (tmp_path / "replies/openai/t1_o3-mini_p1_temp--_01.txt").read_bytes().decode()
    assert written.split("trial: 1\n\n")[1] == raw + "\n"


def test_half_a_surrogate_pair_leaves_every_file_in_utf_8(tmp_path: Path) -> None:
    """Half a pair survives in results.jsonl and is shown as its escape in the reply's file; all files stay UTF-8."""
    row = replace(UNSCORABLE, reply="a\ud83d", text="t\ud83d", cell="c\ud83d", vendor="v\ud83d")
    _write(tmp_path, row)
    assert list(read_rows(tmp_path / "results.jsonl")) == [row]
    texts = {name: content.decode() for name, content in _tree(tmp_path).items()}
    reply = next(text for name, text in texts.items() if name.endswith(".txt"))
    assert reply.endswith("\n\na\\ud83d\n")


VARYING = ("config_sha256", "git", "lock_sha256", "python", "packages", "time")
"""What of run.json differs from one machine, commit or moment to another: only its keys are compared."""


def test_run_json_is_the_golden_one(tmp_path: Path) -> None:
    """run.json has the golden file's keys in their order, and its values, but for those that vary by their nature."""
    experiment = Experiment(
        "demo", (), (), (), JAPANESE, Sampling(), Batch(), Tracking(enabled=False), "sqlite:///outputs/ledger.db"
    )
    job = Job(0, experiment, _write(tmp_path, SCORED, UNSCORABLE, FAILED), Origin(("persona=[poet]",)))
    started = datetime(2026, 1, 31, 23, 59, 50, tzinfo=UTC)
    purchase = Purchase(requests_sent=25, first_sent_s=1.0, last_kept_s=3.0, bought={SCORED.key}, answers=1)
    launch = Launch("runner persona=[poet]", "5f2c1f3a9d10", started, purchase)
    result = JobResult.of(job)
    for row in (SCORED, UNSCORABLE, FAILED):
        result.counts.add(row)
    manifest.write(launch, result)
    written = (tmp_path / "run.json").read_text(encoding="utf-8")
    masked = {name: "varies" if name in VARYING else value for name, value in json.loads(written).items()}
    if os.environ.get("RUNNER_UPDATE_GOLDEN"):
        (GOLDEN.parent / "run.json").write_text(json.dumps(masked, ensure_ascii=False, indent=2) + "\n", "utf-8")
    golden = (GOLDEN.parent / "run.json").read_bytes()
    assert (json.dumps(masked, ensure_ascii=False, indent=2) + "\n").encode() == golden


# ---- what is written, and when ---------------------------------------------------------------------------------------


def test_a_failed_trial_has_no_reply_file(tmp_path: Path) -> None:
    """Only a trial with a reply has a file in replies; an empty reply is one."""
    _write(tmp_path, FAILED, replace(UNSCORABLE, reply=""))
    assert len(list(tmp_path.glob("replies/*/*"))) == 1


def test_a_scored_trial_is_not_among_the_errors(tmp_path: Path) -> None:
    """errors.jsonl is there and empty where every trial was scored."""
    _write(tmp_path, SCORED)
    assert (tmp_path / "errors.jsonl").read_bytes() == b""


def _interrupted(folder: Path) -> None:
    with RunFolder(folder, (JAPANESE,)) as run:
        run.add(SCORED)
        raise KeyboardInterrupt


def test_a_crash_leaves_no_half_file_under_a_final_name(tmp_path: Path) -> None:
    """After an error the results of an earlier run still stand whole, and what was written is beside them."""
    _write(tmp_path, SCORED, UNSCORABLE)
    before = (tmp_path / "results.jsonl").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        _interrupted(tmp_path)
    assert (tmp_path / "results.jsonl").read_bytes() == before
    assert list(read_rows(tmp_path / "results.jsonl.part")) == [SCORED]


KILLED = """
import os, sys
from pathlib import Path
from runner.records import PromptTemplate, Question
from runner.results.files import RunFolder, row_from_json

folder = RunFolder(Path(sys.argv[1]), (PromptTemplate("p", "ja", "", "", (Question("interesting", "", ""),)),))
folder.__enter__()
for _ in range(3):
    folder.add(row_from_json(sys.argv[2]))
os._exit(9)
"""


def test_a_process_that_is_killed_leaves_no_results_file(tmp_path: Path) -> None:
    """A process that ends without any clean-up leaves neither results.jsonl nor errors.jsonl."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), row_to_json(SCORED)], timeout=60, check=False)
    assert done.returncode == 9
    assert sorted(path.name for path in tmp_path.glob("*.jsonl*")) == ["errors.jsonl.part", "results.jsonl.part"]


def test_writing_again_gives_the_same_files(tmp_path: Path) -> None:
    """The same rows in the same order give the same files, in a new folder or over the old ones."""
    rows = (SCORED, replace(SCORED, job=1), replace(SCORED, text="a/b"), UNSCORABLE)
    first = _tree(_write(tmp_path / "one", *rows))
    assert _tree(_write(tmp_path / "two", *rows)) == first
    assert _tree(_write(tmp_path / "one", *rows)) == first


@pytest.mark.parametrize(("before", "after"), [(2, MOST_FILES + 1), (MOST_FILES + 1, 2), (2, 2)])
def test_writing_again_leaves_nothing_of_what_was_there(tmp_path: Path, before: int, after: int) -> None:
    """A folder that is written again, with files or an archive, holds the replies of its rows and no others."""
    other = replace(SCORED, persona="someone else", vendor="another")
    _write(tmp_path / "again", SCORED, other, trials=before)
    _write(tmp_path / "again", SCORED, trials=after)
    _write(tmp_path / "once", SCORED, trials=after)
    assert _tree(tmp_path / "again") == _tree(tmp_path / "once")
    assert not (tmp_path / "again" / "replies" / "another").exists()


def test_an_archive_unpacks_to_the_same_files(tmp_path: Path) -> None:
    """Replies that are packed, whatever their names, are those that would have been files."""
    rows = SCORED, UNSCORABLE, replace(SCORED, persona="詩人" * 40, text="t" * 150), FAILED
    _write(tmp_path / "files", *rows)
    packed = _write(tmp_path / "packed", *rows, trials=MOST_FILES + 1)
    for archive in list(packed.glob("replies/*.tar")):
        with tarfile.open(archive) as opened:
            opened.extractall(packed / "replies", filter="data")
        archive.unlink()
    assert _tree(packed) == _tree(tmp_path / "files")


def test_thousands_of_replies_are_written_quickly(tmp_path: Path) -> None:
    """A row with its reply's file costs well under a millisecond of this process's time, even on a busy machine."""
    rows = [replace(SCORED, repetition=number) for number in range(1, 501)]
    costs_s = []
    for attempt in range(2):
        begin_s = time.process_time()
        _write(tmp_path / str(attempt), *rows)
        costs_s.append(time.process_time() - begin_s)
    assert min(costs_s) < 0.5
    assert len(list(tmp_path.glob("0/replies/openai/*.txt"))) == 500


def test_importing_it_loads_nothing_heavy() -> None:
    """The module needs the standard library, orjson and this package's records and errors only."""
    words = "import sys, runner.results.files; print(*(name for name in sys.modules if name.startswith('runner')))"
    loaded = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=60, check=True)
    ours = ("", ".errors", ".fastjson", ".records", ".results", ".results.files", ".results.reply_files")
    assert set(loaded.stdout.split()) == {f"runner{name}" for name in ours}


# ---- file names ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Named:
    """A row's names, and its file's name; {h} stands for a hash."""

    name: str
    expected: str
    text: str = "t1"
    model: str = "o3-mini"
    persona: str = "p1"
    temperature: float | None = 0.7
    trial: int = 1

    @property
    def row(self) -> Row:
        """A row with these names."""
        sent = {} if self.temperature is None else {"temperature": self.temperature}
        return replace(SCORED, text=self.text, model=self.model, persona=self.persona, sent=sent, repetition=self.trial)


NAMES = [
    Named("no temperature", "t1_o3-mini_p1_temp--_01.txt", temperature=None),
    Named("a temperature", "t1_gpt-4.1_p1_temp70_10.txt", model="gpt-4.1", trial=10),
    Named("one digit", "t1_o3-mini_p1_temp05_01.txt", temperature=0.05),
    Named("zero", "t1_o3-mini_p1_temp00_01.txt", temperature=0.0),
    Named("one", "t1_o3-mini_p1_temp100_01.txt", temperature=1.0),
    Named("a float below its digits", "t1_o3-mini_p1_temp29_01.txt", temperature=0.29),
    Named("many trials", "t1_o3-mini_p1_temp70_123.txt", trial=123),
    Named("Japanese", "雨_o3-mini_詩人_temp70_01.txt", text="雨", persona="詩人"),
    Named("emoji", "👩‍🚀_o3-mini_p1_temp70_01.txt", text="👩‍🚀"),
    Named("blanks inside", "the rain_o3-mini_p1_temp70_01.txt", text="the rain"),
    Named("path traversal", "_x-{h}_o3-mini_p1_temp70_01.txt", text="../x"),
    Named("path traversal on Windows", "_x-{h}_o3-mini_p1_temp70_01.txt", text="..\\x"),
    Named("an absolute path", "_etc_passwd-{h}_o3-mini_p1_temp70_01.txt", text="/etc/passwd"),
    Named("a routed model", "t1_meta_llama_8b-{h}_p1_temp70_01.txt", model="meta/llama:8b"),
    Named("all that Windows refuses", "a_________b-{h}_o3-mini_p1_temp70_01.txt", text='a/\\:*?"<>|b'),
    Named("control characters", "a__b-{h}_o3-mini_p1_temp70_01.txt", text="a\x00\nb"),
    Named("text turned round", "a_b-{h}_o3-mini_p1_temp70_01.txt", text="a\u202eb"),
    Named("half a pair", "a_-{h}_o3-mini_p1_temp70_01.txt", text="a\ud83d"),
    Named("dots and blanks around", "a-{h}_o3-mini_p1_temp70_01.txt", text=" .a. "),
    Named("only dots", "_-{h}_o3-mini_p1_temp70_01.txt", text=".."),
    Named("nothing", "_-{h}_o3-mini_p1_temp70_01.txt", text=""),
    Named("a device", "_CON-{h}_o3-mini_p1_temp70_01.txt", text="CON"),
    Named("a device with an ending", "_nul.txt-{h}_o3-mini_p1_temp70_01.txt", text="nul.txt"),
]


@pytest.mark.parametrize("named", NAMES, ids=lambda named: named.name)
def test_a_file_name_is_the_studys_and_safe(named: Named) -> None:
    """A name is the study's where it can be, else what is safe of it with a hash of what it was."""
    before, _, after = named.expected.partition("{h}")
    name = FileNames().of(named.row)
    assert name.startswith(before)
    assert name.endswith(after)
    assert len(name) == len(before + after) + (8 if "{h}" in named.expected else 0)


@dataclass(frozen=True)
class Alike:
    """Names of texts that would share a file."""

    name: str
    texts: tuple[str, ...]


@pytest.mark.parametrize(
    "alike",
    [
        Alike("case", ("Rain", "rain", "RAIN")),
        Alike("composed accents", ("caf\u00e9", "cafe\u0301", "CAF\u00c9")),
        Alike("one case for two letters", ("straße", "STRASSE")),
        Alike("both unsafe", ("a/b", "a:b", "a_b")),
        Alike("trailing dots", ("a", "a.", "a. ")),
        Alike("devices", ("con", "CON", "_con")),
        Alike("cut to the same", ("雨" * 100 + "一", "雨" * 100 + "二")),
        Alike("half pairs", ("\ud83d", "\ude00")),
    ],
    ids=lambda alike: alike.name,
)
def test_two_names_never_share_a_file(alike: Alike) -> None:
    """Names that a file system may take for the same get different files, all within its limits."""
    names = FileNames()
    given_names = [names.of(replace(SCORED, text=text)) for text in alike.texts]
    assert len({name.casefold() for name in given_names}) == len(alike.texts)
    assert all(len(name.encode()) <= 200 for name in given_names)


def test_parts_that_run_together_do_not_share_a_file() -> None:
    """An underscore in a name does not make two trials one: a_b + c and a + b_c."""
    names = FileNames()
    assert names.of(replace(SCORED, text="a_b", model="c")) != names.of(replace(SCORED, text="a", model="b_c"))


def test_jobs_in_one_folder_do_not_share_a_file() -> None:
    """The same trial of two jobs gets two files, both ending as the format says."""
    names = FileNames()
    first, second = names.of(SCORED), names.of(replace(SCORED, job=1))
    assert first != second
    assert second.endswith("_temp70_01.txt")


def test_vendors_get_folders_of_their_own(tmp_path: Path) -> None:
    """Vendors that differ only in case, or that point out of the folder, have folders of their own inside it."""
    vendors = ["openai", "OpenAI", "..", "/etc", "con", "a" * 300, ""]
    _write(tmp_path / "run", *(replace(SCORED, vendor=vendor) for vendor in vendors))
    folders = [path.name for path in (tmp_path / "run/replies").iterdir()]
    assert len({name.casefold() for name in folders}) == len(vendors)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


ANY_NAME = st.text(st.one_of(st.characters(), st.sampled_from("/\\:.. _aA\u0301\u00e9")), max_size=80)


@given(st.lists(st.tuples(ANY_NAME, ANY_NAME, ANY_NAME), min_size=1, max_size=8, unique=True))
def test_any_names_give_safe_and_different_files(parts: list[tuple[str, str, str]]) -> None:
    """Whatever the names, each trial gets a file of its own that stays in its folder and can be made anywhere."""
    names = FileNames()
    rows = [replace(SCORED, text=text, model=model, persona=persona) for text, model, persona in parts]
    files = [names.of(row) for row in rows]
    assert len({file.casefold() for file in files}) == len(parts)
    for file in files:
        assert not set(file) & set('/\\:*?"<>|\x00\n')
        assert not file.startswith((".", " "))
        assert len(file.encode()) <= 200
        assert file.endswith("_temp70_01.txt")
