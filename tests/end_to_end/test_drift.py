"""`runner drift`: a run's sample asked again within a budget, tested, dated, and the run left as it was."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from commandline import came_to, start, wait_for
from loopback import Provider, Turn, scores

from runner.cli.main import main
from runner.ledger.answers import open_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    # In one process Hydra leaves its log files to the garbage collector, and MLflow its connections.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),  # MLflow's own
]
MODEL = "model.openai_compatible"
TRIALS = 24
"""Four personas, three texts, two repetitions."""
PRICE = (100 * 10 + 20 * 20) / 1e6
"""Of one reply, at the prices below."""


@dataclass
class Model:
    """Scores around a mean that a test moves, in small steps that differ from reply to reply."""

    mean: float = 50.0
    noise: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311  a model's, no secret

    def __call__(self, _body: dict[str, Any]) -> Turn:
        """Its next reply."""
        return Turn(content=scores(round(self.mean + self.noise.uniform(-2, 2))))


@dataclass
class Shell:
    """A working folder and a model on loopback; the program is run as if it were typed."""

    folder: Path
    provider: Provider
    capsys: pytest.CaptureFixture[str]
    tracking: str = "tracking.enabled=false"

    @property
    def words(self) -> tuple[str, ...]:
        """A run of two dozen trials with prices."""
        return (
            "model=openai_compatible", f"{MODEL}.api_base={self.provider.url}", f"{MODEL}.id=m",
            f"{MODEL}.prices.input_usd_per_mtok=10", f"{MODEL}.prices.output_usd_per_mtok=20", "sampling.trials=2",
            f"{MODEL}.limits.concurrency=2", "report=false", self.tracking, "hydra.run.dir=outputs/a/run",
        )  # fmt: skip

    def type(self, *words: str, status: int = 0) -> str:
        """What the program said, with white space as one blank; it must end with `status`."""
        self.capsys.readouterr()
        ended = main(words)
        said = self.capsys.readouterr()
        assert ended == status, said
        return " ".join((said.out + said.err).split())

    def drifts(self) -> list[dict[str, Any]]:
        """What the drifts say of themselves, the oldest first."""
        files = sorted(self.folder.glob("outputs/drift/*/drift.json"), key=lambda path: path.stat().st_mtime_ns)
        return [json.loads(path.read_text(encoding="utf-8")) for path in files]

    def files(self) -> dict[str, bytes]:
        """The run's folder, byte for byte."""
        place = self.folder / "outputs" / "a"
        return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    with Provider(answer=Model()) as provider:
        yield Shell(tmp_path, provider, capsys)


def verdicts(drift: dict[str, Any]) -> set[str]:
    return {each["verdict"] for each in drift["found"]["moved"]}


def test_a_model_that_stayed_is_shown_equivalent(shell: Shell) -> None:
    """Within budget, under keys of its own; the run's files and answers are what they were, byte for byte."""
    shell.type(*shell.words)
    before = shell.files()
    keys = [json.loads(line)["key"] for line in before["run/results.jsonl"].splitlines()]
    with open_ledger("sqlite:///outputs/ledger.db") as ledger:
        answers = [*ledger.answers(keys)]
    said = shell.type("drift", "outputs/a/run", "--budget", "0.02")
    (drift,) = shell.drifts()
    bought = shell.provider.count - TRIALS
    assert bought == len(drift["sample"]) == drift["requests_sent"] == int(0.02 / (PRICE * 1.1))
    assert drift["spent_usd"] == pytest.approx(bought * PRICE)
    assert verdicts(drift) == {"equivalent"}
    assert re.search(r"On 20\d\d-\d\d-\d\d we asked 12 of 24 scored trials of run \w+ again", said)
    assert "were equivalent within ±5 points (two one-sided t tests over 3 texts, largest p" in said
    assert shell.files() == before
    with open_ledger("sqlite:///outputs/ledger.db") as ledger:
        assert [*ledger.answers(keys)] == answers
    rows = (shell.folder / "outputs/drift" / drift["id"] / "results.jsonl").read_text(encoding="utf-8").splitlines()
    assert len({json.loads(row)["key"] for row in rows} - {*keys}) == bought


def test_a_model_that_changed_is_said_to_have_changed(shell: Shell) -> None:
    """Scores that moved beyond the margin are no equivalence; another seed draws, and pays, another sample."""
    shell.type(*shell.words)
    assert isinstance(shell.provider.answer, Model)
    shell.provider.answer.mean = 80.0
    said = shell.type("drift", "outputs/a/run", "--budget", "0.02", "--margin", "10")
    assert "interesting had changed by +3" in said or "interesting had changed by +2" in said
    shell.type("drift", "--budget", "0.02", "--margin", "10", "--seed", "1")
    first, second = shell.drifts()
    assert verdicts(first) == verdicts(second) == {"changed"}
    assert first["sample"] != second["sample"]
    assert shell.provider.count == TRIALS + 12 + 12


def test_who_answered_stands_side_by_side(shell: Shell) -> None:
    """Another served name and another fingerprint are told with what they were."""

    def named(name: str, fingerprint: str) -> Turn:
        message = {"role": "assistant", "content": scores(50)}
        body = {
            "model": name, "system_fingerprint": fingerprint,
            "choices": [{"message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 20},
        }  # fmt: skip
        return Turn(body=json.dumps(body).encode())

    shell.provider.answer = lambda _body: named("m-2026-01-02", "fp_one")
    shell.type(*shell.words)
    shell.provider.answer = lambda _body: named("m-2026-08-08", "fp_two")
    said = shell.type("drift", "outputs/a/run", "--budget", "0.02")
    (drift,) = shell.drifts()
    (served,) = drift["found"]["served"]
    assert served["before"] == {"m-2026-01-02 (fp_one)": 12}
    assert served["now"] == {"m-2026-08-08 (fp_two)": 12}
    assert "m-2026-08-08 (fp_two), where it had answered as m-2026-01-02 (fp_one)" in said
    assert "all scores of interesting, surprise, sadness, anger were the same" in said


def test_a_drift_that_was_killed_goes_on_without_buying_twice(shell: Shell) -> None:
    """Kill -9 costs what was in flight; the same command goes on with the same sample, and then a new one begins."""
    shell.type(*shell.words)
    shell.provider.answer = lambda _body: Turn(delay_s=0.05)
    process = start(shell.folder, "drift", "outputs/a/run", "--budget", "0.02")
    wait_for(lambda: came_to(shell.provider, TRIALS + 5, process))
    process.kill()
    process.communicate()
    sent = shell.provider.count - TRIALS
    assert sent < 12
    assert "goes on with" in shell.type("drift", "outputs/a/run", "--budget", "0.02")
    (drift,) = shell.drifts()
    assert 12 <= shell.provider.count - TRIALS <= 12 + 2
    assert (drift["status"], drift["found"]["asked"]) == ("FINISHED", 12)
    total = shell.provider.count
    shell.type("drift", "outputs/drift/" + drift["id"])
    assert shell.provider.count == total
    shell.type("drift", "outputs/a/run", "--budget", "0.02")
    assert shell.provider.count == total + 12
    assert len(shell.drifts()) == 2


def test_it_is_dated_in_mlflow_with_the_runs_id(shell: Shell) -> None:
    """A run of its own, tagged as a drift of that run and with its day, holds the numbers and the sentence."""
    import mlflow

    shell.type(*shell.words)
    shell.type("drift", "outputs/a/run", "--budget", "0.02", "tracking.enabled=true")
    (drift,) = shell.drifts()
    client = mlflow.MlflowClient(drift["mlflow"]["uri"])
    run = client.get_run(drift["mlflow"]["run"])
    tags, day = run.data.tags, drift["started"][:10]
    assert (tags["runner.kind"], tags["runner.drift_of"], tags["runner.date"]) == ("drift", drift["of"], day)
    assert run.data.metrics["equivalent"] == 4
    assert "difference/openai_compatible/anger" in run.data.metrics
    assert "we asked 12 of 24" in tags["mlflow.note.content"]
    assert run.info.status == "FINISHED"


def test_what_failed_is_tried_again_and_what_is_lost_is_told(shell: Shell) -> None:
    """Trials without a reply end with 3 and the command that asks them again; a refusal is a trial without a score."""
    shell.type(*shell.words)
    left = iter([Turn(content=None, finish="content_filter"), *[Turn(status=400, body=b"{}")] * 2])
    shell.provider.answer = lambda _body: next(left, Turn(content=scores(50)))
    said = shell.type("drift", "outputs/a/run", "--budget", "0.02", status=3)
    assert "2 trials have no reply" in said
    (drift,) = shell.drifts()
    shell.type("drift", f"outputs/drift/{drift['id']}")
    (drift,) = shell.drifts()
    assert (drift["found"]["asked"], drift["found"]["lost"]) == (12, {"refused": 1})
    assert shell.provider.count == TRIALS + 12 + 2


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--budget", "0.001"), 4, "pays for 0 trials"),
        (("--budget", "none"), 2, "is no number above 0"),
        (("--margin", "-1"), 2, "is no number above 0"),
        (("no/such/run",), 2, "there is no folder"),
    ],
)
def test_what_cannot_be_done_costs_nothing(shell: Shell, words: tuple[str, ...], status: int, said: str) -> None:
    """It is refused before anything is sent or written, with what to type."""
    shell.type(*shell.words)
    found = shell.type("drift", *words, status=status)
    assert said in found
    assert "try:" in found
    assert shell.provider.count == TRIALS
    assert shell.drifts() == []


def test_an_unknown_price_is_refused(shell: Shell) -> None:
    """A budget means nothing where nobody knows what a reply costs."""
    shell.type(*[word for word in shell.words if "usd_per_mtok" not in word])
    assert "nobody knows what a reply of openai_compatible cost" in shell.type("drift", status=4)
    assert shell.provider.count == TRIALS
