"""Each kind of question from its YAML to the tables, at every vendor's simulated API, live and by batch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from commandline import load, newest

import runner
from runner.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),  # MLflow's own
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

VENDORS = "gpt-6-luna,claude-haiku-4-5,gemini-3-5-flash,mistral-small-4,grok-4-7,deepseek-v4-flash,llama-3-1-8b"
PROMPT = """\
# @package prompt.kinds
language: ja
system: "{{ persona }}"
user: "{{ text.content }}"
questions:
  pace: {label: 速さ, wording: どのくらい速いですか。, low: -10, high: 10, step: 5}
  moved: &likert
    {label: 感動, wording: 感動した。, kind: likert, points: {1: 全くそう思わない, 2: そう思わない, 3: , 4: そう思う}}
  cold: {<<: *likert, label: 冷めた, wording: 心が冷めた。, reverse: true}
  mood: {label: 気分, wording: 気分は。, kind: choice, options: {calm: {ja: 穏やか, en: calm}, tense: {ja: 張り}}}
  moods: {label: 気分すべて, wording: すべて。, kind: choices, options: [穏やか, 悲しい, 張り], least: 0, most: 2}
  again: {label: 再読, wording: また読みますか。, kind: yes_no}
  order: {label: 順, wording: 大切な順に。, kind: rank, options: [筋, 文体, 結末]}
  words: {label: 印象, wording: 一言で。, kind: text, max_chars: 40}
  chance: {label: 見込み, wording: 何人が好むか。, kind: distribution, points: {0: , 5: , 10: }}
  guess: {label: 読者, wording: 読者の気分は。, kind: distribution, options: [穏やか, 張りつめた]}
scales:
  warmth: [moved, cold]
"""
KINDS = ("pace", "moved", "cold", "mood", "moods", "again", "order", "words", "chance", "guess")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine" / "prompt").mkdir(parents=True)
    (tmp_path / "mine" / "prompt" / "kinds.yaml").write_text(PROMPT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rehearse(folder: Path, *words: str) -> tuple[Path, list[dict[str, Any]]]:
    """A rehearsed run's folder, and its rows; every trial must have been read."""
    common = ("--config-dir", "mine", "prompt=kinds", "persona=[poet]", "text=[rain]", "tracking.enabled=false")
    assert main(["rehearse", *common, "report=false", *words]) == 0
    run = newest(folder, "run.json")
    counts = load(run / "run.json")
    assert counts["trials"] == counts["scored"], (run / "errors.jsonl").read_text(encoding="utf-8")
    lines = (run / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return run, [json.loads(line) for line in lines]


@pytest.mark.parametrize("route", ["live", "batch"])
def test_every_vendor_answers_every_kind(folder: Path, route: str) -> None:
    """Ten questions of eight kinds are answered by each vendor's API in its own structure, live and by batch."""
    _, rows = rehearse(folder, f"model=[{VENDORS}]", *(["batch=native"] if route == "batch" else []))
    assert len(rows) == len(VENDORS.split(","))
    assert {row["route"] for row in rows} >= {route}
    for row in rows:
        assert {*row["scores"]} == {"pace", "moved", "cold", "again", "chance"}
        assert {*row["answers"]} == {*KINDS} - {"pace"}
        assert row["scores"]["cold"] == 5 - row["answers"]["cold"]["value"]
        assert row["scores"]["pace"] in (-10, -5, 0, 5, 10)
        assert row["answers"]["mood"]["value"] in ("calm", "tense")


def test_questions_asked_one_by_one_make_the_same_tables(folder: Path) -> None:
    """With ask=separately each question is a request of its own, and tables show a trial as if they were one."""
    together, one = rehearse(folder, "model=[gpt-6-luna]", "sampling.trials=2")
    apart, each = rehearse(folder, "model=[gpt-6-luna]", "sampling.trials=2", "prompt.kinds.ask=separately")
    assert (len(one), len(each)) == (2, 2 * len(KINDS))
    assert [row["question"] for row in each] == [*KINDS, *KINDS]
    assert len({row["key"] for row in each}) == len(each)
    tables = [runner.open_run(run).table() for run in (together, apart)]
    shared = ["model", "persona", "text", "repetition", "question", "outcome"]
    assert tables[0][shared].to_dict("list") == tables[1][shared].to_dict("list")
    for table in tables:
        scale = table[table["question"] == "warmth"]["score"].to_list()
        items = table[table["question"].isin(["moved", "cold"])]["score"].to_list()
        assert scale == [sum(items[:2]) / 2, sum(items[2:]) / 2]
        assert table["value"].notna().sum() == 2 * len(KINDS)
    described = runner.open_run(apart).stats()
    assert (described.planned, described.trials, described.scored) == (2, 2, 2)
