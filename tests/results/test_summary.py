"""Tables and metrics against values worked out by hand or by the statistics module."""

from __future__ import annotations

import csv
import io
import re
import statistics
import subprocess
import sys
import tracemalloc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from runner.cli import tables
from runner.records import Problem, Row, Tokens
from runner.results import summary
from runner.results.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.table import Table


def _row(model: str = "gpt-4o", persona: str = "poet", text: str = "rain", **changes: Any) -> Row:
    values: dict[str, Any] = {
        "run": "r1",
        "job": 0,
        "cell": f"{model}/{persona}",
        "key": "a" * 64,
        "model": model,
        "model_id": f"{model}-2024",
        "provider": "openai",
        "vendor": "openai",
        "persona": persona,
        "text": text,
        "repetition": 1,
        "route": "live",
        "outcome": "scored",
        "scores": {"joy": 50.0, "fear": 10.0},
        "reasons": {"joy": "bright", "fear": "dark"},
        "reply": "{}",
        "problem": None,
        "requested": {"temperature": 0.7},
        "sent": {"temperature": 0.7},
        "dropped": (),
        "rung": "schema",
        "attempts": 1,
        "latency_s": 1.0,
        "tokens": Tokens(100, 20),
        "price_usd": 0.01,
        "model_version": None,
        "fingerprint": None,
        "time": "2026-01-01T00:00:00.000Z",
        "source": "bought",
    }
    return Row(**{**values, **changes})


def _unscorable(kind: str, **changes: Any) -> Row:
    values: dict[str, Any] = {
        "outcome": "unscorable",
        "problem": Problem(kind, "as it says"),
        "scores": {"joy": 99.0, "fear": None},
        "reasons": {"joy": "bright", "fear": None},
    }
    return _row(**{**values, **changes})


def _failed(**changes: Any) -> Row:
    values: dict[str, Any] = {
        "outcome": "failed",
        "problem": Problem("timeout", "no reply"),
        "scores": {},
        "reasons": {},
        "reply": None,
        "latency_s": None,
        "tokens": Tokens(),
        "price_usd": None,
        "time": None,
        "source": None,
    }
    return _row(**{**values, **changes})


def _scored(*joys: float, **changes: Any) -> list[Row]:
    return [_row(scores={"joy": joy, "fear": 10.0}, **changes) for joy in joys]


@dataclass(frozen=True)
class Case:
    """Rows of one cell, and what must follow from them; a metric that is None must be absent."""

    id: str
    rows: list[Row]
    metrics: dict[str, float | None] = field(default_factory=dict)


CASES = [
    Case(
        "scores",
        [*_scored(10.0, 20.0, 60.0), *_scored(70.0, text="sea")],
        {
            "score/joy/mean": (30.0 + 70.0) / 2,
            "score/joy/sd": statistics.stdev([10, 20, 60, 70]),
            "score/joy/n": 4,
            "score/joy/text/rain/mean": 30.0,
            "score/joy/text/rain/sd": statistics.stdev([10, 20, 60]),
            "score/joy/text/rain/n": 3,
            "score/joy/text/sea/mean": 70.0,
            "score/joy/text/sea/sd": None,
            "score/mean": (50.0 + 10.0) / 2,
            "score/n": 8,
        },
    ),
    Case(
        "a question's score counts wherever it was read",
        [*_scored(11.0), _unscorable("missing_question"), _failed()],
        {
            "score/joy/mean": (11.0 + 99.0) / 2,
            "score/joy/n": 2,
            "score/fear/mean": 10.0,
            "score/fear/n": 1,
            "complete": 1 / 2,
            "in_range": 1.0,
            "parse_failure_rate": 1 / 2,
            "error_rate": 1 / 3,
            "trials": 3,
            "replies": 2,
        },
    ),
    Case(
        "a value outside its scale was read, and is not in range",
        [_row(), _row(), _unscorable("out_of_range"), _unscorable("malformed")],
        {"complete": 1 / 2, "in_range": 3 / 4, "parse_failure_rate": 1 / 4, "error_rate": 0.0, "score/joy/n": 4},
    ),
    Case(
        "nothing came back",
        [_failed(), _failed()],
        {
            "trials": 2,
            "replies": 0,
            "error_rate": 1.0,
            "in_range": None,
            "parse_failure_rate": None,
            "latency_s/mean": None,
            "latency_s/p95": None,
            "tokens/input": None,
            "price_usd": None,
            "spent_usd": 0.0,
            "score/mean": None,
        },
    ),
    Case(
        "seconds, tokens and money",
        [
            _row(latency_s=1.0, price_usd=0.25),
            _row(latency_s=3.0, price_usd=0.5, source="ledger", tokens=Tokens(None, None)),
            _failed(),
        ],
        {
            "latency_s/mean": 2.0,
            "latency_s/p95": 2.9,
            "tokens/input": 100,
            "tokens/output": 20,
            "price_usd": 0.75,
            "spent_usd": 0.25,
        },
    ),
    Case(
        "a price that is unknown is not nothing",
        [_row(price_usd=None), _row(price_usd=0.5)],
        {"price_usd": None, "spent_usd": None},
    ),
    Case(
        "an unknown price of an earlier run was not spent now",
        [_row(price_usd=None, source="ledger"), _row(price_usd=0.5)],
        {"price_usd": None, "spent_usd": 0.5},
    ),
    Case("a price of zero is known", [_row(price_usd=0.0)], {"price_usd": 0.0, "spent_usd": 0.0}),
    Case(
        "what batches saved",
        [_row(route="batch", saved_usd=0.25), _row(route="batch", saved_usd=0.5), _row(saved_usd=0.0), _failed()],
        {"saved_usd": 0.75},
    ),
    Case("nothing was saved", [_row(saved_usd=0.0)], {"saved_usd": None}),
    Case("as far as it is known", [_row(saved_usd=0.5), _row(price_usd=None, saved_usd=None)], {"saved_usd": 0.5}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_cells_metrics(case: Case) -> None:
    """Each metric is what its definition says, and one that is unknown is left out."""
    (metrics,) = summary.cell_metrics(Tally.of(case.rows)).values()
    for name, expected in case.metrics.items():
        assert metrics.get(name) == (None if expected is None else pytest.approx(expected)), name


def test_cells_do_not_mix() -> None:
    """Ten cells with ten distinct scores each have their own, whatever order their rows come in."""
    rows = [_row(f"m{n % 10}", scores={"joy": float(n % 10)}) for n in range(40)]
    metrics = summary.cell_metrics(Tally.of(rows))
    assert {cell: values["score/joy/mean"] for cell, values in metrics.items()} == {f"m{n}/poet": n for n in range(10)}
    assert {values["score/joy/n"] for values in metrics.values()} == {4}


def test_a_job_of_a_sweep_has_its_own_metrics() -> None:
    """Two jobs with cells of one name are told apart by the job."""
    counted = Tally.of([*_scored(10.0, job=0), *_scored(90.0, job=1)])
    assert summary.cell_metrics(counted, 0)["gpt-4o/poet"]["score/joy/mean"] == 10.0
    assert summary.cell_metrics(counted, 1)["gpt-4o/poet"]["score/joy/mean"] == 90.0


def test_a_question_of_a_later_job_is_missing_before() -> None:
    """A question that only later rows know is missing in earlier cells, not zero."""
    rows = [_row("a", scores={"joy": 1.0}), _row("b", scores={"anger": 5.0}, reasons={"anger": "loud"})]
    table = summary.summary(Tally.of(rows)).set_index("model")
    assert table["anger_n"].to_dict() == {"a": 0, "b": 1}
    assert table["joy_n"].to_dict() == {"a": 1, "b": 0}
    assert table["anger_mean"].isna().to_dict() == {"a": True, "b": False}


def test_total_metrics_count_every_row() -> None:
    """The launch's own metrics are over all cells."""
    rows = [_row("a", saved_usd=0.5), _row("b", saved_usd=0.25), _unscorable("empty", saved_usd=0.0), _failed()]
    totals = summary.total_metrics(Tally.of(rows))
    assert totals["trials"] == 4
    assert totals["saved_usd"] == 0.75
    assert totals["complete"] == pytest.approx(2 / 3)
    assert totals["in_range"] == 1.0
    assert totals["error_rate"] == 1 / 4
    assert totals["price_usd"] == pytest.approx(0.03)


def test_texts_beyond_the_limit_have_no_metrics_of_their_own() -> None:
    """A study of very many texts logs each question's metrics, not thousands more."""
    at_limit = [_row(text=f"t{n}") for n in range(summary.TEXTS_AS_METRICS)]
    below = summary.cell_metrics(Tally.of(at_limit))["gpt-4o/poet"]
    above = summary.cell_metrics(Tally.of([*at_limit, _row(text="one more")]))["gpt-4o/poet"]
    assert sum("/text/" in name for name in below) == 2 * 2 * summary.TEXTS_AS_METRICS
    assert not [name for name in above if "/text/" in name]
    assert above["score/joy/n"] == summary.TEXTS_AS_METRICS + 1


def test_metric_names_are_safe_and_stay_distinct() -> None:
    """Any text name gives a name that MLflow takes, and no two names become one."""
    names = ["rain", "雨 ニモ", "a/b", "a_b", "a@b", "a=b", "..", ".", "", "x" * 400, "x" * 401, "\udc80"]
    made = [summary.metric_name("score", name, "mean") for name in names]
    assert len(set(made)) == len(names)
    assert all(re.fullmatch(r"[\w .-]+(/[\w .-]+)*", name) and len(name) <= 250 for name in made)
    assert not {".", ".."} & {part for name in made for part in name.split("/")}
    assert made[:2] == ["score/rain/mean", "score/雨 ニモ/mean"]


def test_summary_has_a_row_for_each_cell() -> None:
    """Cells keep the order of the rows, with each question's statistics and the temperatures really sent."""
    rows = [
        *_scored(30.0, 50.0),
        *_scored(80.0, text="sea", sent={"temperature": 0.9}),
        _row("o3-mini", sent={}),
        *_scored(5.0, job=1),
    ]
    table = summary.summary(Tally.of(rows))
    assert table[["job", "cell"]].to_numpy().tolist() == [[0, "gpt-4o/poet"], [0, "o3-mini/poet"], [1, "gpt-4o/poet"]]
    assert table["temperature"].tolist() == ["0.7|0.9", "", "0.7"]
    joy = ["joy_n", "joy_mean", "joy_sd", "joy_min", "joy_max"]
    assert table[joy].iloc[0].tolist() == [
        3,
        pytest.approx((40 + 80) / 2),
        pytest.approx(statistics.stdev([30, 50, 80])),
        30,
        80,
    ]
    assert table.loc[0, "model_id"] == "gpt-4o-2024"


def test_summary_csv_leaves_unknown_fields_empty(tmp_path: Path) -> None:
    """The CSV is UTF-8 with one header line; an unknown price is an empty field, a known zero is 0."""
    rows = [_row("未知", price_usd=None), _row("free", price_usd=0.0)]
    summary.write_summary(summary.summary(Tally.of(rows)), tmp_path / "summary.csv")
    content = (tmp_path / "summary.csv").read_bytes()
    unknown, free = csv.DictReader(io.StringIO(content.decode("utf-8")))
    assert b"\r" not in content
    assert (unknown["model"], unknown["price_usd"], unknown["joy_sd"]) == ("未知", "", "")
    assert float(free["price_usd"]) == 0.0


@dataclass(frozen=True)
class Flaw:
    """One thing that a reply can lack, and the shares of two replies that it lowers to a half."""

    id: str
    row: Row
    shares: tuple[str, ...] = ()


FLAWS = [
    Flaw("none", _row()),
    Flaw("no time", _row(time=None), ("metadata",)),
    Flaw("a time that is none", _row(time="yesterday"), ("metadata",)),
    Flaw("no key", _row(key=""), ("metadata",)),
    Flaw("no persona", _row(persona=""), ("metadata",)),
    Flaw("a reason missing", _row(reasons={"joy": "bright", "fear": None}), ("reasons",)),
    Flaw("a blank reason", _row(reasons={"joy": "bright", "fear": " "}), ("reasons",)),
    Flaw("no reasons", _row(reasons={}), ("reasons",)),
    Flaw("out of range", _unscorable("out_of_range", reasons={"joy": "x", "fear": "y"}), ("complete", "in_range")),
    Flaw("a question missing", _unscorable("missing_question", reasons={"joy": "x", "fear": "y"}), ("complete",)),
]


@pytest.mark.parametrize("flaw", FLAWS, ids=lambda flaw: flaw.id)
def test_verification_finds_each_flaw(flaw: Flaw) -> None:
    """A flaw lowers its own shares, of the replies, and no other; a failed trial lowers none of them."""
    (row,) = summary.verification(Tally.of([_row(), flaw.row, _failed()])).to_dict(orient="records")
    shares = {share: row[share] for share in ("metadata", "complete", "in_range", "reasons")}
    assert shares == {share: 0.5 if share in flaw.shares else 1.0 for share in shares}
    assert (row["trials"], row["replies"], row["error_rate"]) == (3, 2, pytest.approx(1 / 3))


def test_scores_by_model_and_persona_pool_what_is_alike() -> None:
    """Cells of several jobs with one model, persona and temperature are one line; another temperature is another."""
    rows = [*_scored(10.0), *_scored(30.0, job=1), *_scored(50.0, job=2, sent={"temperature": 0.1})]
    table = summary.scores_by_model_persona(Tally.of(rows))
    assert table[["temperature", "joy_n", "joy_mean"]].to_numpy().tolist() == [["0.7", 2, 20.0], ["0.1", 1, 50.0]]


def test_an_answer_that_jobs_share_is_one_score() -> None:
    """Two jobs of a sweep that would have sent the same request show its one score, and no spread of it."""
    table = summary.scores_by_model_persona(*(Tally.of(_scored(10.0, job=job)) for job in (0, 1)))
    assert table[["trials", "joy_n"]].to_numpy().tolist() == [[1, 1]]
    assert table["joy_sd"].isna().all()


def _shown(table: Table, width: int) -> str:
    output = io.StringIO()
    Console(file=output, width=width, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines())


def _mixed() -> Iterator[Row]:
    for n in range(12):
        yield _row("claude-3-5-sonnet", scores={"joy": 8.0 * n, "fear": 1.0}, vendor="claude", price_usd=None)
    for n in range(300):
        yield _row(persona="robot", latency_s=30.0, sent={}, reasons={} if n == 7 else {"joy": "bright"})
    yield _unscorable("malformed", persona="[bold]")
    yield _failed()


def test_verification_in_a_terminal() -> None:
    """The table fits 80 columns without colour; one flaw in 301 is not shown as 100%, nor an unknown price as 0."""
    table = tables.render_verification(summary.verification(Tally.of(_mixed())))
    assert _shown(table, 80) == _shown(table, 120) == VERIFICATION.strip("\n")


VERIFICATION = """
Verification
vendor                      meta-  com-    in rea-  er-   s/trial   tokens
  model             replies  data plete range sons rors  mean p95   in/out  USD
───────────────────────────────────────────────────────────────────────────────
claude                12/12
  claude-3-5-sonnet   12/12  100%  100%  100% 100%   0% 1.00 1.00 1200/240    –
openai              301/302
  gpt-4o            301/302  100%   99%  100%  99%   1%     30 30 30k/6020 3.01
"""


def test_scores_in_a_terminal() -> None:
    """The table fits 80 columns without colour, shows names as they are, and "–" where there is no score."""
    table = tables.render_scores(summary.scores_by_model_persona(Tally.of(_mixed())))
    assert _shown(table, 80) == _shown(table, 120) == SCORES.strip("\n")


SCORES = """
Mean score by model and persona
model
  persona         temp.  scores        joy      fear
────────────────────────────────────────────────────
claude-3-5-sonnet
  poet              0.7   12/12 44.0 ±28.8  1.0 ±0.0
gpt-4o
  robot               – 300/300  50.0 ±0.0 10.0 ±0.0
  [bold]            0.7   0-1/1       99.0         –
  poet              0.7     0/1          –         –
Mean of the texts' means, ± standard deviation of
single scores.
"""


def test_many_questions_still_fit_a_terminal() -> None:
    """Of eight questions 80 columns hold the first ones beside a whole name; where the rest is stands below."""
    questions = {f"question{n}": 11.1 * n for n in range(8)}
    rows = [_row("meta-llama-3.1-405b-instruct-turbo", scores=questions), _row("b", scores=questions)]
    shown = _shown(tables.render_scores(summary.scores_by_model_persona(Tally.of(rows))), 80)
    assert max(map(len, shown.splitlines())) <= 80
    held = [name for name in questions if f" {name}" in shown]
    assert held == [*questions][: len(held)]
    assert len(held) >= 4
    assert all(f" {questions[name]:.1f}" in shown for name in held)
    assert f"summary.csv has {len(questions) - len(held)} more questions" in shown


def test_no_rows_make_empty_tables() -> None:
    """A run without trials gives tables without rows, which can be written and shown, and no metrics."""
    counted = Tally()
    for table in (summary.summary(counted), summary.verification(counted)):
        assert len(table) == 0
    assert summary.cell_metrics(counted) == {}
    assert summary.total_metrics(counted) == {}
    assert "Verification" in _shown(tables.render_verification(summary.verification(counted)), 80)
    assert "Mean score" in _shown(tables.render_scores(summary.scores_by_model_persona(counted)), 80)


def test_memory_stays_small() -> None:
    """20,000 rows with long replies are tallied and made into tables within 20 MB, so 100,000 need under 100."""
    summary.summary(Tally.of([_row()]))  # pandas itself is not what is measured
    rows = (_row(f"m{n % 20}", text=f"t{n % 500}", reply="x" * 5000 + str(n)) for n in range(20_000))
    tracemalloc.start()
    try:
        counted = Tally.of(rows)
        summary.summary(counted)
        summary.cell_metrics(counted)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6


def test_importing_loads_nothing_heavy() -> None:
    """The command line can import this module and answer --help without waiting for pandas, numpy or rich."""
    script = "import sys, runner.results.summary; print(sorted({'pandas', 'numpy', 'rich'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_names_with_half_a_surrogate_pair_are_counted() -> None:
    """JSON can hold what no table of text can: such a name is counted under its escape."""
    counted = Tally.of([_row(model="m\ud83d"), _row(model="m\ud83d", text="\udc00")])
    assert summary.verification(counted)[["model", "replies"]].to_numpy().tolist() == [["m\\ud83d", 2]]
    assert summary.summary(counted)["cell"].tolist() == ["m\\ud83d/poet"]
