"""`ask_again`: what cannot be read is asked again, each attempt kept, counted, paid for, and never bought twice."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Provider, Turn, scores

from runner.cli.main import main
from runner.ledger.answers import open_ledger
from runner.plan.trials import attempt_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    # In one process Hydra leaves its log files to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
MODEL = "model.openai_compatible"
TRIALS = 6
"""Two personas and three texts."""
CUT = Turn(content='{"interesting": {"sco', finish="length")
PROSE = Turn(content="a lovely story, and nothing else to say")
REFUSED = Turn(content=None, finish="content_filter")
GOOD = Turn(content=scores())
PRICE = (100 * 10 + 20 * 20) / 1e6
"""Of one reply, at the prices below."""


@dataclass
class Script:
    """Answers the nth new prompt with the nth list of turns, one a time that it comes; the last one stays.

    With one list it is every prompt's.
    """

    turns: tuple[tuple[Turn, ...], ...]
    asked: Counter[str] = field(default_factory=Counter)

    def __call__(self, body: dict[str, Any]) -> Turn:
        """The turn of the nth time that these messages come."""
        prompt = json.dumps(body["messages"])
        self.asked[prompt] += 1
        turns = self.turns[[*self.asked].index(prompt) % len(self.turns)]
        return turns[min(self.asked[prompt], len(turns)) - 1]


@dataclass
class Shell:
    """A working folder and a model on loopback; the program is run as if it were typed."""

    folder: Path
    provider: Provider
    capsys: pytest.CaptureFixture[str]

    def run(self, *overrides: str, status: int = 0, verb: tuple[str, ...] = ()) -> str:
        """A run's overrides, behind the model: what it said, with white space as one blank."""
        words = (
            *verb, "model=openai_compatible", f"{MODEL}.api_base={self.provider.url}", f"{MODEL}.id=m",
            f"{MODEL}.prices.input_usd_per_mtok=10", f"{MODEL}.prices.output_usd_per_mtok=20",
            "persona=[poet,robot]", "report=false", "tracking.enabled=false", *overrides,
        )  # fmt: skip
        return self.type(*words, status=status)

    def type(self, *words: str, status: int = 0) -> str:
        """Any command."""
        self.capsys.readouterr()
        ended = main([word for word in words if word != "report=false"] if words[0] == "plan" else words)
        said = self.capsys.readouterr()
        assert ended == status, said
        return " ".join((said.out + said.err).split())

    def newest(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """run.json and the rows of the newest run."""
        place = max(self.folder.glob("outputs/*/*/run.json"), key=lambda path: path.parent.name).parent
        lines = (place / "results.jsonl").read_text(encoding="utf-8").splitlines()
        return json.loads((place / "run.json").read_text(encoding="utf-8")), [json.loads(line) for line in lines]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    with Provider() as provider:
        yield Shell(tmp_path, provider, capsys)


@dataclass(frozen=True)
class Case:
    """What a model says to one trial from attempt to attempt, and what its row then says."""

    turns: tuple[Turn, ...]
    requests: int
    outcome: str
    taken: int


CASES = (
    Case((GOOD,), 1, "scored", 1),
    Case((CUT, GOOD), 2, "scored", 2),
    Case((PROSE, CUT, GOOD), 3, "scored", 3),
    Case((CUT, PROSE, CUT, GOOD), 3, "unscorable", 1),
    Case((REFUSED, GOOD), 1, "unscorable", 1),
    Case((CUT, REFUSED, GOOD), 2, "unscorable", 2),
)
"""A trial each, under two further attempts and the kinds that are asked again by themselves."""


def test_what_cannot_be_read_is_asked_again(shell: Shell) -> None:
    """As often as may be, a refusal not at all; each attempt is in ledger, price and count; a rerun buys none."""
    shell.provider.answer = Script(tuple(case.turns for case in CASES))
    asking = ("ask_again.unscorable=2", f"{MODEL}.limits.concurrency=1")
    shell.run(*asking)
    run, rows = shell.newest()
    requests = [case.requests for case in CASES]
    assert shell.provider.count == run["requests_sent"] == sum(requests)
    assert run["asked_again"] == sum(requests) - TRIALS
    found = [(row.get("asked", 1), row["outcome"], row.get("taken", 1)) for row in rows]
    assert found == [(case.requests, case.outcome, case.taken) for case in CASES]
    assert run["price_usd"] == pytest.approx(sum(requests) * PRICE)
    assert [row["price_usd"] for row in rows] == pytest.approx([number * PRICE for number in requests])
    assert [row["tokens"]["input"] for row in rows] == [100 * number for number in requests]
    attempts = [range(1, number + 1) for number in requests]
    keys = {attempt_key(row["key"], n) for row, numbers in zip(rows, attempts, strict=True) for n in numbers}
    with open_ledger("sqlite:///outputs/ledger.db") as ledger:
        assert len(keys) == len(ledger.lookup(keys)) == sum(requests)
    shell.run(*asking)
    again, later = shell.newest()
    assert shell.provider.count == sum(requests)
    assert (again["price_usd"], again["from_ledger"]) == (0, TRIALS)
    assert [(row["scores"], row.get("taken", 1)) for row in later] == [
        (row["scores"], row.get("taken", 1)) for row in rows
    ]
    shell.type("reproduce", "latest")
    assert "would forget 12 answers" in shell.type("ledger", "forget", "latest")


def test_kinds_say_what_is_asked_again(shell: Shell) -> None:
    """What is not named is asked once; a refusal that is named is asked again, and the run says what that does."""
    shell.provider.answer = Script(((REFUSED, GOOD), (PROSE, GOOD), (CUT, GOOD)))
    shell.run()
    assert shell.provider.count == TRIALS
    assert "a refusal is data" in shell.run("ask_again.unscorable=1", "ask_again.kinds=[refused,truncated]")
    assert shell.provider.count == TRIALS + 4
    run = shell.newest()[0]
    assert (run["scored"], run["unscorable"]) == (4, 2)


def test_a_run_asks_again_what_an_earlier_one_left(shell: Shell) -> None:
    """First attempts are found under their own keys, and only further ones are bought and counted as spent."""
    shell.provider.answer = Script(((CUT, GOOD),))
    shell.run()
    assert "ask_again may add 12 requests" in shell.run("ask_again.unscorable=2", verb=("plan",))
    shell.run("ask_again.unscorable=2")
    run, rows = shell.newest()
    assert (run["requests_sent"], run["scored"]) == (TRIALS, TRIALS)
    assert run["price_usd"] == pytest.approx(TRIALS * PRICE)
    assert [row["price_usd"] for row in rows] == pytest.approx([2 * PRICE] * TRIALS)
    assert "ask_again may add" not in shell.run("ask_again.unscorable=2", verb=("plan",))


def test_named_keys_are_asked_once_more(shell: Shell) -> None:
    """A trial that is named is asked again though it was read, and what it says last is what counts; once is once."""
    shell.provider.answer = Script(((Turn(content=scores(10)), Turn(content=scores(90))),))
    shell.run()
    key = shell.newest()[1][2]["key"]
    for _ in range(2):
        shell.run(f"ask_again.keys=[{key}]")
        run, rows = shell.newest()
        assert shell.provider.count == TRIALS + 1
    assert [row["scores"]["anger"] for row in rows] == [90 if row["key"] == key else 10 for row in rows]
    assert [(row.get("asked", 1), row.get("taken", 1)) for row in rows if row["key"] == key] == [(2, 2)]
    shell.run()
    plain, rows = shell.newest()
    assert {row["scores"]["anger"] for row in rows} == {10}
    assert plain["config_sha256"] != run["config_sha256"]


def test_a_budget_holds_while_asking_again(shell: Shell) -> None:
    """What is asked again is paid from the same budget; what is left undone is done by the same command later."""
    dear = replace(CUT, tokens=(100, 800))
    shell.provider.answer = Script(((dear, dear, GOOD),))
    shell.run("ask_again.unscorable=2", "budget.max_usd=0.15", f"{MODEL}.limits.concurrency=1", status=4)
    assert shell.provider.count == math.ceil(0.15 / 0.017)
    shell.run("ask_again.unscorable=2")
    assert shell.newest()[0]["scored"] == TRIALS
    assert shell.provider.count == 3 * TRIALS


def test_a_further_attempt_that_fails_is_said_and_tried_by_the_next_run(shell: Shell) -> None:
    """The trial keeps the reply that it has; the run says that a further attempt failed."""
    shell.provider.answer = Script(((CUT, Turn(status=400, content="bad"), GOOD),))
    said = shell.run("ask_again.unscorable=1", f"{MODEL}.limits.attempts=1")
    assert "further attempts failed" in said
    assert {row["outcome"] for row in shell.newest()[1]} == {"unscorable"}
    shell.run("ask_again.unscorable=1")
    assert shell.newest()[0]["scored"] == TRIALS


def test_a_text_that_a_filter_refuses_is_asked_again_where_that_is_named(shell: Shell) -> None:
    """A refusal that comes as an error counts as one in a reply; a later run finds the answer and asks nothing."""
    error = json.dumps({"error": {"message": "blocked", "code": "content_filter"}}).encode()
    shell.provider.answer = Script(((Turn(status=400, body=error), GOOD),))
    asking = ("ask_again.unscorable=1", "ask_again.kinds=[refused]")
    assert "a refusal is data" in shell.run(*asking)
    first = shell.newest()[1]
    assert {(row["outcome"], row["asked"], row["taken"]) for row in first} == {("scored", 2, 2)}
    shell.run(*asking)
    assert shell.provider.count == 2 * TRIALS
    assert [row["scores"] for row in shell.newest()[1]] == [row["scores"] for row in first]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("ask_again.unscorable=-1", "at least 0"),
        ("ask_again.kinds=[truncate]", "did you mean 'truncated'"),
        ("ask_again.keys=[xyz]", "is no key"),
        ("ask_again.unscorabel=1", "unscorable"),
    ],
)
def test_what_is_mistyped_costs_nothing(override: str, said: str, shell: Shell) -> None:
    """A wrong value is refused before any request, with the key and what to type."""
    found = shell.run(override, status=2)
    assert said in found
    assert "try:" in found
    assert shell.provider.count == 0
