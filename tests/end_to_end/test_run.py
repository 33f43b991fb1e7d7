"""Whole runs as a user types them, against a provider on loopback that counts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from commandline import UNTRACKED, ended, runner, start, wait_for
from loopback import Provider, Turn, scores

if TYPE_CHECKING:
    from pathlib import Path

TRIALS = 12
"""Four personas and three texts."""


def words(provider: Provider, *overrides: str) -> tuple[str, ...]:
    """A run of one model that answers at the provider's address."""
    model = "model.openai_compatible"
    return (
        "model=openai_compatible", f"{model}.api_base={provider.url}", f"{model}.id=m", "report=false", *overrides
    )  # fmt: skip


def results(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """run.json and the rows of the newest run below a folder."""
    newest = max(folder.glob("outputs/*/*/run.json"), key=lambda path: path.parent.name)
    lines = (newest.parent / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return json.loads(newest.read_text(encoding="utf-8")), [json.loads(line) for line in lines]


@pytest.mark.usefixtures("mlruns")
def test_a_second_run_sends_nothing(tmp_path: Path) -> None:
    """The same command again answers from the ledger: no request, the same scores, and it says so."""
    with Provider() as provider:
        runner(tmp_path, *words(provider), typed=True)
        assert provider.count == TRIALS
        before = results(tmp_path)
        second = runner(tmp_path, *words(provider))
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
        runner(tmp_path, *words(provider, "model.openai_compatible.limits.concurrency=5", UNTRACKED))
    assert provider.most_in_flight == 5


def test_kill_9_loses_at_most_what_was_in_flight(tmp_path: Path) -> None:
    """After kill -9 in the middle, the same command asks again only for what had not been stored."""
    concurrency, trials = 4, 120
    limit = f"model.openai_compatible.limits.concurrency={concurrency}"
    with Provider(answer=lambda _body: Turn(delay_s=0.05)) as provider:
        many = words(provider, "sampling.trials=10", limit, UNTRACKED)
        process = start(tmp_path, *many)
        wait_for(lambda: provider.count >= 40)
        process.kill()
        process.communicate(timeout=30)
        in_flight = provider.in_flight
        runner(tmp_path, *many)
    # What had arrived within the ledger's 50 ms of group commit may be asked again as well: one round of requests.
    assert trials <= provider.count <= trials + in_flight + 2 * concurrency
    run_json, rows = results(tmp_path)
    assert run_json["scored"] == trials
    assert run_json["from_ledger"] >= 40 - 3 * concurrency
    assert len({row["key"] for row in rows}) == trials


def test_ctrl_c_waits_for_what_is_in_flight(tmp_path: Path) -> None:
    """Ctrl-C sends nothing more, keeps every answer that was paid for, exits 130, and says how to continue."""
    with Provider(answer=lambda _body: Turn(delay_s=0.1)) as provider:
        many = words(provider, "sampling.trials=10", "model.openai_compatible.limits.concurrency=4", UNTRACKED)
        process = start(tmp_path, *many)
        wait_for(lambda: provider.count >= 20)
        process.send_signal(signal.SIGINT)
        assert "Continue: runner" in ended(process, status=130).stdout
        sent = provider.count
        assert results(tmp_path)[0]["scored"] == sent
        runner(tmp_path, *many)
    assert provider.count == 120


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
    limit = "model.openai_compatible.limits.concurrency=2"
    with Provider(answer=lambda _body: Turn("we refuse this", status=refusal.status)) as provider:
        runner(tmp_path, *words(provider, "sampling.trials=5", limit, UNTRACKED), status=3)
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
        limit = "model.openai_compatible.limits.concurrency=1"
        runner(tmp_path, *words(provider, "persona=[poet]", "text=[rain]", limit, UNTRACKED))
    assert provider.count == 4
    assert times[1] - times[0] >= 0.3
    run_json, rows = results(tmp_path)
    assert (run_json["scored"], run_json["requests_sent"], rows[0]["attempts"]) == (1, 4, 4)


def test_unicode_survives(tmp_path: Path) -> None:
    """Any character of a reply is on disk as it came, in results.jsonl and in the reply's own file."""
    reason = "面白い🎭 — naïve “quotes” \u2028 𝄞 </script> \\u0041"
    with Provider(answer=lambda _body: Turn(scores(75, reason))) as provider:
        runner(tmp_path, *words(provider, "persona=[poet]", "text=[rain]", UNTRACKED))
    _, rows = results(tmp_path)
    assert rows[0]["reasons"]["anger"] == reason
    reply = next(tmp_path.glob("outputs/*/*/replies/*/*.txt"))
    assert reason in reply.read_bytes().decode("utf-8")
    assert reply.name == "rain_openai_compatible_poet_temp90_01.txt"


@pytest.mark.usefixtures("mlruns")
def test_an_unreachable_mlflow_costs_nothing(tmp_path: Path) -> None:
    """Without MLflow the run ends well and names the command that logs it later; logging twice adds nothing."""
    with Provider() as provider:
        done = runner(tmp_path, *words(provider, "tracking.uri=http://127.0.0.1:9"))
    assert "runner track outputs/" in done.stdout
    folder = next(tmp_path.glob("outputs/*/*/run.json")).parent
    settings = json.loads((folder / "experiment.json").read_text(encoding="utf-8"))
    settings["tracking"]["uri"] = "sqlite:///mlruns/mlflow.db"
    (folder / "experiment.json").write_text(json.dumps(settings), encoding="utf-8")
    first, second = (runner(tmp_path, "track", str(folder.relative_to(tmp_path))) for _ in range(2))
    assert first.stdout.splitlines()[0] == second.stdout.splitlines()[0]
    assert "with 4 cells" in first.stdout


@pytest.mark.usefixtures("mlruns")
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")  # MLflow's own
def test_what_is_logged_from_memory_is_what_the_files_say(tmp_path: Path) -> None:
    """The runs that a launch logs from what it counted are those that `runner track` makes from its folder alone."""
    from mlflow import MlflowClient

    shutil.copy(tmp_path / "mlruns/mlflow.db", tmp_path / "other.db")
    with Provider() as provider:
        runner(tmp_path, *words(provider, "+model.openai_compatible.extra.stop=[END,STOP]", "sampling.trials=2"))
    folder = next(tmp_path.glob("outputs/*/*/run.json")).parent
    runner(tmp_path, "track", str(folder.relative_to(tmp_path)), "tracking.uri=sqlite:///other.db")

    def logged(place: str) -> list[tuple[object, ...]]:
        client = MlflowClient(f"sqlite:///{tmp_path}/{place}")
        runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
        return sorted(
            (run.info.run_name, sorted(run.data.params.items()), sorted(run.data.metrics.items())) for run in runs
        )

    assert len(logged("other.db")) == 5
    assert logged("other.db") == logged("mlruns/mlflow.db")


def test_a_missing_key_costs_no_request(tmp_path: Path) -> None:
    """A model whose API key is not set is refused before anything is sent, with the variable to set."""
    done = runner(tmp_path, "model=gpt-4o-mini", status=2)
    assert "OPENAI_API_KEY" in done.stderr
    assert "export OPENAI_API_KEY" in done.stderr


@pytest.mark.timeout(500)
def test_the_embedded_model_scores_for_real(tmp_path: Path) -> None:
    """With no key and no network each persona has a scored reply to a text, and a cell in MLflow.

    Two personas whose reasons are short: with four as usual, it is the work of two cores for half a minute.
    """
    assert not [name for name in os.environ if name.endswith("_API_KEY")]
    words = ("persona=[poet,robot]", "text=[rain]", "prompt.affect.reason_max_chars=20", "report=false")
    ended(start(tmp_path, *words, typed=True), timeout=480)
    run_json, rows = results(tmp_path)
    assert (run_json["trials"], run_json["scored"], run_json["requests_sent"]) == (2, 2, 2)
    assert len({json.dumps(row["scores"]) for row in rows}) > 1
    assert {row["model_version"] for row in rows} == {"SmolLM2-135M-Instruct.Q4_1"}
    assert len(run_json["mlflow"]["cells"]) == 2
    assert len(list(tmp_path.glob("outputs/*/*/replies/smollm2/*.txt"))) == 2
