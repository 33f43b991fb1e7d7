"""The study's files, for any metadata and any reply: what is written is read back, and nothing makes reading fail."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import ConfigError
from runner.results import study
from runner.results.study.head import read_head
from runner.results.study.replies import UnreadableError, read_reply

if TYPE_CHECKING:
    from runner.records import Row

TEXTS, PERSONAS = st.from_regex(r"t[1-9]", fullmatch=True), st.from_regex(r"p[1-9]", fullmatch=True)
MODELS = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,30}[a-zA-Z0-9]", fullmatch=True)
TEMPERATURES = st.none() | st.integers(0, 200).map(lambda hundredths: hundredths / 100)
TIMES = st.datetimes().map(lambda time: time.isoformat(" ", "seconds")).filter(lambda time: len(time) == 19)
RATES = st.floats(0, 1000)
LINES = (
    *("Q1. 面白さ(数値): 75", "Q1. 面白さ(理由): あ", "Q2. 驚き(数値): ６０", "**Q3. 悲しみ**: 20/100", "Q4. 怒り: 0"),
    *("", "```", "# 回答", "text: t9", "以下が回答です。"),
)
REPLIES = st.text(st.characters(codec="utf-8")) | st.lists(st.sampled_from(LINES), max_size=12).map("\n".join)
"""Anything at all, and what looks like answers."""


def _file(
    names: tuple[str, str, str], temperature: float | None, trial: int, rest: tuple[str, str, str]
) -> tuple[str, bytes]:
    """Name and bytes of a reply in the study's form, as its facts have them: time, prices and reply are `rest`."""
    text, model, persona = names
    time, pricing, reply = rest
    heat = "--" if temperature is None else f"{round(temperature * 100):02d}"
    head = f"timestamp: {time}\ntext: {text}\nmodel: {model}\npersona: {persona}\n"
    content = f"{head}temperature: {temperature}\ntrial: {trial}\n{pricing}\n{reply}\n"
    return f"{text}_{model}_{persona}_temp{heat}_{trial:02d}.txt", content.encode()


PRICING = st.just("") | st.tuples(RATES, RATES, RATES).map(
    lambda rates: 'pricing: {{\n  "input": {},\n  "cached_input": {},\n  "output": {}\n}}\n'.format(*rates)
)
FILES = st.builds(
    _file,
    st.tuples(TEXTS, MODELS, PERSONAS),
    TEMPERATURES,
    st.integers(1, 9999),
    st.tuples(TIMES, PRICING, REPLIES.filter(lambda reply: not _reads_as_head(reply))),
)


def _reads_as_head(reply: str) -> bool:
    """True for a reply that opens with prices or marks of the study's checks, which are metadata wherever they are."""
    others = ("pricing", "validation_status", "matched_patterns", "retry_count", "error_details")
    return reply.lstrip().startswith(others)


def _row_or_reason(raw: bytes, stem: str) -> Row | str:
    try:
        return read_reply(raw, stem, "openai")[0]
    except UnreadableError as error:
        return str(error)


@settings(max_examples=20, deadline=None)
@given(st.lists(FILES, min_size=1, max_size=5, unique_by=lambda file: file[0]))
def test_well_formed_replies_come_out_byte_for_byte(files: list[tuple[str, bytes]]) -> None:
    """Import and export give files of the study's form their own names and bytes, whatever stands in the replies."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "results" / "openai"
        source.mkdir(parents=True)
        for name, content in files:
            (source / name).write_bytes(content)
        imported = study.read(Path(folder) / "results")
        run = study.write_run(imported, Path(folder) / "outputs").folder
        study.export(run, "study", Path(folder) / "back")
        back = {
            path.relative_to(Path(folder) / "back").as_posix(): path for path in Path(folder, "back").rglob("*.txt")
        }
        assert {name: path.read_bytes() for name, path in back.items()} == {
            f"openai/{name}": content for name, content in files
        }


@settings(deadline=None)
@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "replace")), st.text())
def test_any_bytes_are_a_row_or_a_reason(raw: bytes, stem: str) -> None:
    """No file makes reading fail in any other way than by saying why it is no trial."""
    found = _row_or_reason(raw, stem)
    assert found if isinstance(found, str) else found.text and found.persona and found.repetition >= 1


@settings(deadline=None)
@given(FILES, st.integers(0, 200))
def test_a_damaged_reply_is_a_row_or_a_reason(file: tuple[str, bytes], cut: int) -> None:
    """A file of the study's form that was cut off anywhere is still the trial that its name says, or has a reason."""
    name, content = file
    found = _row_or_reason(content[:cut], Path(name).stem)
    assert found if isinstance(found, str) else name.startswith(f"{found.text}_{found.model}_{found.persona}_")


@settings(deadline=None)
@given(
    st.permutations(
        ["timestamp: 2025-05-01 14:20:03", "text: t1", "model: m", "persona: p1", "temperature: 0.7", "trial: 1"]
    )
)
def test_the_order_of_the_metadata_does_not_matter(lines: list[str]) -> None:
    """The six lines of metadata give the same values and leave the same reply in every order."""
    head, body = read_head("\n".join(lines) + "\n\nQ1. 面白さ(数値): 75\n")
    assert dict(head.values) == dict(line.split(": ", 1) for line in lines)
    assert body == "Q1. 面白さ(数値): 75\n"


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=400))
def test_any_table_is_rows_or_reasons(lines: str) -> None:
    """Whatever follows the first line of a table, each line is a row or listed, or the table is refused."""
    columns = "text,model,persona,trial,Q1value,Q2value,Q3value,Q4value\n"
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(ConfigError):
        path = Path(folder) / "a.csv"
        path.write_bytes((columns + lines).encode())
        imported = study.read(path)
        assert all(each.reason for each in imported.unreadable)
        assert len({row.key for row in imported.rows}) == len(imported.rows)


def test_the_filter_is_not_vacuous() -> None:
    """A reply that opens with words of the metadata proper is kept apart from it, so only the rest is filtered."""
    content = _file(("t1", "m", "p1"), 0.7, 1, ("2025-05-01 14:20:03", "", "text: t2"))[1]
    row, _ = read_reply(content, "t1_m_p1_temp70_01", "openai")
    assert row.reply == "text: t2"
    assert pytest.approx(0.7) == row.sent["temperature"]
