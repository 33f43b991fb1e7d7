"""A key that a server repeats, in whatever form, is in nothing that a whole run leaves or says."""

from __future__ import annotations

import base64
import html
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from commandline import configs, load, newest, runner, start
from fault_proxy import FaultProxy, Rule, Wire, edited
from loopback import Provider, Turn, scores

from runner.simulator import FaultPlan, SimulatorThread
from runner.simulator.registry import BASES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")  # MLflow's own

KEY = "sk-proj-Ab3+d=9x&Zt0pLmN8sQ"
SHORT = "k7+Zq"
"""A key of a local server, as people choose them."""


def forms(key: str) -> dict[str, str]:
    """What a server may make of a key that it was sent."""
    return {
        "raw": key,
        "its beginning": key[:12],
        "its end": key[-12:],
        "percent-encoded": quote(key, safe=""),
        "base64": base64.b64encode(key.encode()).decode(),
        "base64 of its header": base64.b64encode(f"Bearer {key}".encode()).decode(),
        "basic": base64.b64encode(f"user:{key}".encode()).decode(),
        "hexadecimal": key.encode().hex(),
        "JSON": "".join(f"\\u{ord(char):04x}" for char in key),
        "HTML": html.escape(key),
        "HTML, every letter": "".join(f"&#{ord(char)};" for char in key),
    }


FORMS = forms(KEY)
CORES = {name: shown[2:-2] if name == "raw" else shown for name, shown in FORMS.items()}
"""What must be nowhere; of the raw key less, so that no quoting around it hides it."""


def places(folder: Path) -> dict[str, str]:
    """Everything that a run wrote, as text, and as what its JSON lines hold."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and "mine" not in path.parts:
            text = path.read_bytes().decode("utf-8", "replace")
            found[str(path.relative_to(folder))] = text
            if path.suffix in {".json", ".jsonl"}:
                lines = text.splitlines() if path.suffix == ".jsonl" else [text]
                found[f"{path.name} as read"] = "\n".join(str(json.loads(line)) for line in lines)
    return found


def results(folder: Path) -> str:
    """The name of the newest run's rows among `places`."""
    return str((newest(folder, "run.json") / "results.jsonl").relative_to(folder))


@pytest.mark.usefixtures("mlruns")
def test_a_key_that_is_repeated_is_kept_and_said_nowhere(tmp_path: Path) -> None:
    """In replies, refusals and headers, in eleven forms: not in rows, page, ledger, MLflow, logs or on the terminal."""
    turns = [(name, is_refused) for name in FORMS for is_refused in (False, True)]
    texts: dict[str, tuple[str, bool]] = {}

    def answer(body: dict[str, Any]) -> Turn:
        key = json.dumps(body["messages"]) + str(body.get("seed"))
        shown, is_refused = texts.setdefault(key, turns[len(texts) % len(turns)])
        echo = FORMS[shown]
        if not is_refused:
            return Turn(content=scores(reason=f"you sent {echo} to me"), headers={"x-echo": quote(echo)})
        error = {"error": {"message": f"too long for {echo} here", "code": "context_length_exceeded"}}
        return Turn(status=400, body=json.dumps(error).encode(), headers={"x-echo": quote(echo)})

    with Provider(answer=answer) as provider:
        mine = configs(tmp_path, provider)
        file = tmp_path / "mine" / "model" / "mini.yaml"
        file.write_text(file.read_text(encoding="utf-8").replace("key_env: null", "key_env: ECHO_KEY"), "utf-8")
        words = ("model=mini", mine, "sampling.trials=2", "sampling.seed=1")
        done = runner(tmp_path, *words, status=3, environment={"ECHO_KEY": KEY})
        assert provider.count == 24
        assert provider.headers[0]["Authorization"] == f"Bearer {KEY}"
    counted = load(newest(tmp_path, "run.json") / "run.json")
    assert (counted["scored"], counted["failed"]) == (12, 12)
    written = {**places(tmp_path), "stdout": done.stdout, "stderr": done.stderr}
    assert any(name.endswith("mlflow.db") for name in written)
    assert any(name.endswith("report.html") for name in written)
    left = [(form, place) for form, core in CORES.items() for place, text in written.items() if core in text]
    assert left == []
    assert "<ECHO_KEY>" in written["results.jsonl as read"]
    rows = [json.loads(line) for line in written[results(tmp_path)].splitlines()]
    assert {(row["outcome"], row.get("redacted", False)) for row in rows} == {("scored", True), ("failed", False)}
    assert "replies repeat the API key; they are kept with <ECHO_KEY> instead" in done.stdout + done.stderr


BY_BATCH = {"gpt-4o-mini": ("mini", KEY), "gpt-4o": ("large", SHORT)}
"""Id -> the name and the key of a model whose batches repeat that key."""


def repeating(wire: Wire) -> Wire:
    """The results of a batch in which each line repeats its model's key, half of them as errors."""
    lines = []
    for number, line in enumerate(wire.body.splitlines()):
        item = json.loads(line)
        key = BY_BATCH[item["response"]["body"]["model"]][1]
        shown = list(forms(key).values())[number // 2 % len(FORMS)]
        if number % 2:
            item["response"]["body"]["choices"][0]["message"]["content"] = scores(reason=f"you sent {shown} to me")
        else:
            error = {"message": f"too long for {shown} here", "code": "context_length_exceeded"}
            item["response"] = {"status_code": 400, "body": {"error": error}}
        lines.append(json.dumps({**item, "echo": f"{shown} {key}"}).encode())
    return replace(wire, body=b"\n".join(lines) + b"\n")


def test_a_key_that_batches_repeat_is_kept_and_said_nowhere(tmp_path: Path) -> None:
    """In batch lines, replies and errors, a long key and a short one: neither in any file nor on the terminal."""
    rules = [
        Rule("GET", "/files/.*/content", repeating, times=None),
        Rule("GET", "/batches", edited(lambda body: {**body, "echo": [KEY, SHORT]}), times=None),
        Rule("POST", "/batches", edited(lambda body: {**body, "echo": [KEY, SHORT]}), times=None),
    ]
    with SimulatorThread(FaultPlan(batch_s=0.01)) as simulator, FaultProxy(simulator.base, rules) as proxy:
        (tmp_path / "mine" / "model").mkdir(parents=True)
        for model_id, (name, _) in BY_BATCH.items():
            (tmp_path / "mine" / "model" / f"{name}.yaml").write_text(
                f"# @package model.{name}\nid: {model_id}\nprovider: openai\nvendor: test\n"
                f"key_env: {name.upper()}_ECHO\napi_base: {proxy.base}{BASES['openai']}\n"
                "capability: {structure: schema, batch: openai}\n",
                encoding="utf-8",
            )
        words = ("-m", "model=mini,large", f"--config-dir={tmp_path / 'mine'}", "sampling.trials=2", "sampling.seed=1")
        keys = {f"{name.upper()}_ECHO": key for name, key in BY_BATCH.values()}
        sent = (*words, "batch=native", "batch.size=24", "tracking.enabled=false")
        first = start(tmp_path, *sent, "batch.wait=false", "report=false", environment=keys)
        said = [*first.communicate(timeout=60)]
        said += start(tmp_path, "status", environment=keys).communicate(timeout=60)
        done = runner(tmp_path, *sent, status=3, environment=keys)
        said += [done.stdout, done.stderr]
    written = {**places(tmp_path), **{f"said {number}": text for number, text in enumerate(said)}}
    assert sum(name.startswith("outputs/batches/") and ".in." not in name for name in written) >= 2
    assert any(name.endswith("report.html") for name in written)
    cores = {
        **CORES,
        **{f"short, {name}": shown for name, shown in forms(SHORT).items() if len(shown) > 5 or name == "raw"},
    }
    left = [(form, place) for form, core in cores.items() for place, text in written.items() if core in text]
    assert left == []
    found = [path.read_text("utf-8") for path in newest(tmp_path).rglob("results.jsonl")]
    assert [("<MINI_ECHO>" in text, "<LARGE_ECHO>" in text) for text in sorted(found)] == [(True, False), (False, True)]
    rows = [json.loads(line) for text in found for line in text.splitlines()]
    assert len(rows) == 48
    assert {(row["outcome"], row.get("redacted", False)) for row in rows} == {("scored", True), ("failed", False)}
