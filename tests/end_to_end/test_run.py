"""Whole runs as a user types them, against a provider on loopback that counts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Provider, Turn, scores

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TRIALS = 12
"""Four personas and three texts."""


def command(provider: Provider | None, *overrides: str) -> list[str]:
    words = [sys.executable, "-m", "runner"]
    if provider is not None:
        model = "model.openai_compatible"
        words += ["model=openai_compatible", f"{model}.api_base={provider.url}", f"{model}.id=m"]
    return [*words, "report=false", *overrides]


def run(folder: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=500, check=False)


def results(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """run.json and the rows of the newest run below a folder."""
    newest = max(folder.glob("outputs/*/*/run.json"), key=lambda path: path.parent.name)
    lines = (newest.parent / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return json.loads(newest.read_text(encoding="utf-8")), [json.loads(line) for line in lines]


def test_a_second_run_sends_nothing(tmp_path: Path) -> None:
    """The same command again answers from the ledger: no request, the same scores, and it says so."""
    with Provider() as provider:
        first = run(tmp_path, command(provider))
        assert first.returncode == 0, first.stderr
        assert provider.count == TRIALS
        before = results(tmp_path)
        second = run(tmp_path, command(provider))
    assert second.returncode == 0, second.stderr
    assert provider.count == TRIALS
    assert "0 requests sent" in second.stdout
    after = results(tmp_path)
    assert [row["scores"] for row in after[1]] == [row["scores"] for row in before[1]]
    assert (before[0]["requests_sent"], before[0]["from_ledger"]) == (TRIALS, 0)
    assert (after[0]["requests_sent"], after[0]["from_ledger"]) == (0, TRIALS)
    assert {row["source"] for row in before[1]} == {"bought"}
    assert {row["source"] for row in after[1]} == {"ledger"}


def test_concurrency_is_bounded_and_used(tmp_path: Path) -> None:
    """No more than limits.concurrency requests are out at once, and that many are."""
    with Provider(answer=lambda _body: Turn(delay_s=0.2)) as provider:
        done = run(tmp_path, command(provider, "model.openai_compatible.limits.concurrency=5"))
    assert done.returncode == 0, done.stderr
    assert provider.most_in_flight == 5


def test_kill_9_loses_at_most_what_was_in_flight(tmp_path: Path) -> None:
    """After kill -9 in the middle, the same command asks again only for what had not been stored."""
    concurrency, trials = 4, 120
    words = (
        "sampling.trials=10",
        f"model.openai_compatible.limits.concurrency={concurrency}",
        "tracking.enabled=false",
    )
    with Provider(answer=lambda _body: Turn(delay_s=0.05)) as provider:
        process = subprocess.Popen(
            command(provider, *words), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(lambda: provider.count >= 40)
        process.kill()
        process.wait(30)
        in_flight = provider.in_flight
        done = run(tmp_path, command(provider, *words))
    assert done.returncode == 0, done.stderr
    # What had arrived within the ledger's 50 ms of group commit may be asked again as well: one round of requests.
    assert trials <= provider.count <= trials + in_flight + 2 * concurrency
    run_json, rows = results(tmp_path)
    assert run_json["scored"] == trials
    assert run_json["from_ledger"] >= 40 - 3 * concurrency
    assert len({row["key"] for row in rows}) == trials


def test_ctrl_c_waits_for_what_is_in_flight(tmp_path: Path) -> None:
    """Ctrl-C sends nothing more, keeps every answer that was paid for, exits 130, and says how to continue."""
    words = ("sampling.trials=10", "model.openai_compatible.limits.concurrency=4", "tracking.enabled=false")
    with Provider(answer=lambda _body: Turn(delay_s=0.1)) as provider:
        process = subprocess.Popen(
            command(provider, *words), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        wait_for(lambda: provider.count >= 20)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 130, stderr
        assert "Continue: runner" in stdout
        sent = provider.count
        assert results(tmp_path)[0]["scored"] == sent
        done = run(tmp_path, command(provider, *words))
    assert done.returncode == 0, done.stderr
    assert provider.count == 120


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.005)


@dataclass(frozen=True)
class Refusal:
    """A status that another attempt cannot mend."""

    status: int
    kind: str


REFUSALS = (
    Refusal(401, "key_refused"),
    Refusal(403, "key_refused"),
    Refusal(400, "bad_request"),
    Refusal(404, "not_found"),
)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: str(refusal.status))
def test_a_refusal_is_not_retried_and_stops_the_model(tmp_path: Path, refusal: Refusal) -> None:
    """A refused key or request ends its model after the first few trials; the run ends with exit 3 and says why."""
    words = ("sampling.trials=5", "model.openai_compatible.limits.concurrency=2", "tracking.enabled=false")
    with Provider(answer=lambda _body: Turn("we refuse this", status=refusal.status)) as provider:
        done = run(tmp_path, command(provider, *words))
    assert done.returncode == 3, done.stderr
    assert 3 <= provider.count <= 5
    run_json, rows = results(tmp_path)
    assert run_json["failed"] == 60
    kinds = [row["problem"]["kind"] for row in rows]
    assert set(kinds) == {refusal.kind, "stopped"}
    assert kinds.count(refusal.kind) == provider.count
    assert any("we refuse this" in row["problem"]["message"] for row in rows)


def test_transient_errors_are_retried(tmp_path: Path) -> None:
    """Rate limits (Retry-After obeyed), server errors and dropped connections cost attempts, not trials."""
    troubles = iter([Turn("slow down", 429, {"Retry-After": "0.3"}), Turn("oops", 503), Turn(drop=True)])
    times: list[float] = []

    def answer(_body: dict[str, Any]) -> Turn:
        times.append(time.monotonic())
        return next(troubles, Turn())

    with Provider(answer=answer) as provider:
        words = ("persona=[poet]", "text=[rain]", "model.openai_compatible.limits.concurrency=1")
        done = run(tmp_path, command(provider, *words, "tracking.enabled=false"))
    assert done.returncode == 0, done.stderr
    assert provider.count == 4
    assert times[1] - times[0] >= 0.3
    run_json, rows = results(tmp_path)
    assert (run_json["scored"], run_json["requests_sent"], rows[0]["attempts"]) == (1, 4, 4)


def test_unicode_survives(tmp_path: Path) -> None:
    """Any character of a reply is on disk as it came, in results.jsonl and in the reply's own file."""
    reason = "面白い🎭 — naïve “quotes” \u2028 𝄞 </script> \\u0041"
    with Provider(answer=lambda _body: Turn(scores(75, reason))) as provider:
        done = run(tmp_path, command(provider, "persona=[poet]", "text=[rain]", "tracking.enabled=false"))
    assert done.returncode == 0, done.stderr
    _, rows = results(tmp_path)
    assert rows[0]["reasons"]["anger"] == reason
    reply = next(tmp_path.glob("outputs/*/*/replies/*/*.txt"))
    assert reason in reply.read_bytes().decode("utf-8")
    assert reply.name == "rain_openai_compatible_poet_temp90_01.txt"


def test_an_unreachable_mlflow_costs_nothing(tmp_path: Path) -> None:
    """Without MLflow the run ends well and names the command that logs it later; logging twice adds nothing."""
    with Provider() as provider:
        done = run(tmp_path, command(provider, "tracking.uri=http://127.0.0.1:9"))
    assert done.returncode == 0, done.stderr
    assert "runner track outputs/" in done.stdout
    folder = next(tmp_path.glob("outputs/*/*/run.json")).parent
    settings = json.loads((folder / "experiment.json").read_text(encoding="utf-8"))
    settings["tracking"]["uri"] = "sqlite:///mlruns/mlflow.db"
    (folder / "experiment.json").write_text(json.dumps(settings), encoding="utf-8")
    words = [sys.executable, "-m", "runner", "track", str(folder.relative_to(tmp_path))]
    first, second = run(tmp_path, words), run(tmp_path, words)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout.splitlines()[0] == second.stdout.splitlines()[0]
    assert "with 4 cells" in first.stdout


def test_a_missing_key_costs_no_request(tmp_path: Path) -> None:
    """A model whose API key is not set is refused before anything is sent, with the variable to set."""
    done = run(tmp_path, [sys.executable, "-m", "runner", "model=gpt-4o-mini"])
    assert done.returncode == 2
    assert "OPENAI_API_KEY" in done.stderr
    assert "export OPENAI_API_KEY" in done.stderr


@pytest.mark.timeout(500)
def test_the_embedded_model_scores_for_real(tmp_path: Path) -> None:
    """With no key and no network a plain `runner` ends with 12 of 12 scored replies and logs four cells."""
    assert not [name for name in os.environ if name.endswith("_API_KEY")]
    done = run(tmp_path, command(None))
    assert done.returncode == 0, done.stderr
    run_json, rows = results(tmp_path)
    assert (run_json["trials"], run_json["scored"], run_json["requests_sent"]) == (TRIALS, TRIALS, TRIALS)
    assert len({json.dumps(row["scores"]) for row in rows}) > 1
    assert len(run_json["mlflow"]["cells"]) == 4
    assert len(list(tmp_path.glob("outputs/*/*/replies/smollm2/*.txt"))) == TRIALS
