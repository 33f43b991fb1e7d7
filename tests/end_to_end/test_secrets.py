"""A key that a server repeats, in whatever form, is in nothing that a whole run leaves or says."""

from __future__ import annotations

import base64
import html
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from commandline import configs, load, newest, runner
from loopback import Provider, Turn, scores

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")  # MLflow's own

KEY = "sk-proj-Ab3+d=9x&Zt0pLmN8sQ"
FORMS = {
    "raw": KEY,
    "its beginning": KEY[:12],
    "its end": KEY[-12:],
    "percent-encoded": quote(KEY, safe=""),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 of its header": base64.b64encode(f"Bearer {KEY}".encode()).decode(),
    "basic": base64.b64encode(f"user:{KEY}".encode()).decode(),
    "hexadecimal": KEY.encode().hex(),
    "JSON": "".join(f"\\u{ord(char):04x}" for char in KEY),
    "HTML": html.escape(KEY),
    "HTML, every letter": "".join(f"&#{ord(char)};" for char in KEY),
}
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
    assert "replies repeat the API key; they are kept with <ECHO_KEY> instead" in done.stdout + done.stderr
