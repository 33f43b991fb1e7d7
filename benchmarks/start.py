"""How soon the program answers, and how soon its first request leaves.

`runner --help` beside a Hydra application that does nothing. The first request beside a bare `import litellm`: from the
start of the process until the request has arrived at a provider on loopback, for a model whose format needs no library,
for one whose format LiteLLM knows (Claude), and for the embedded model, whose server is inside the process and whose
first request is told by its row: when it ended, less how long it took. Everything is as it is by default, MLflow
included; only the report, which comes later, is left out. Medians of several rounds, taken in turns so that a slow
moment of the machine meets all of them.

    python benchmarks/start.py [--rounds 5] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import goals
from launch import RUNNER, Launched, launch, openai_words
from slow_provider import Provider, serve

if TYPE_CHECKING:
    from collections.abc import Callable

HELLO = """\
import hydra
@hydra.main(version_base="1.3", config_path=None)
def main(cfg):
    pass
main()
"""
ONE_TRIAL = ("text=lighthouse", "persona=student", "report=false")
ENVIRONMENT = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "ANTHROPIC_API_KEY": "a-key-of-no-account"}
"""Without the first, `import litellm` would look for its price map in the network."""


def seconds(*command: str) -> float:
    """Wall-clock seconds of one run of a command."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    return time.perf_counter() - started


def sent(provider: Provider, *words: str) -> float:
    """Seconds until the first request of a run had arrived."""
    provider.stamps(forget=True)
    run = _one_trial(*words)
    return provider.stamps().first_s - run.began_s


def sent_embedded() -> float:
    """Seconds until the embedded model was asked its first question."""
    with tempfile.TemporaryDirectory() as folder:
        run = launch(Path(folder), *ONE_TRIAL, env=ENVIRONMENT)
        rows = [json.loads(line) for line in (run.folder / "results.jsonl").read_text("utf-8").splitlines()]
    asked = min(datetime.fromisoformat(row["time"]).timestamp() - row["latency_s"] for row in rows)
    return asked - run.began_s


def _one_trial(*words: str) -> Launched:
    with tempfile.TemporaryDirectory() as folder:
        run = launch(Path(folder), *ONE_TRIAL, *words, env=ENVIRONMENT)
    assert run.facts["scored"] == 1
    return run


def main() -> None:
    """Time everything in turns; print medians, ratios and goals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two rounds")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serve(0.0) as provider:
        hello = Path(folder) / "hello.py"
        hello.write_text(HELLO)
        claude = ("model=claude-haiku-4-5", f"model.claude-haiku-4-5.api_base={provider.root}")
        measured: dict[str, Callable[[], float]] = {
            "hello-world Hydra app, --help": lambda: seconds(sys.executable, str(hello), "--help"),
            "runner --help": lambda: seconds(RUNNER, "--help"),
            "runner --cfg job": lambda: seconds(RUNNER, "--cfg", "job"),
            "python -c 'import litellm'": lambda: seconds(sys.executable, "-c", "import litellm"),
            "first request, OpenAI's format": lambda: sent(provider, *openai_words(provider.base, 8)),
            "first request, Claude": lambda: sent(provider, *claude),
            "first request, embedded model": sent_embedded,
        }
        times: defaultdict[str, list[float]] = defaultdict(list)
        for _ in range(2 if words.quick else words.rounds):
            for name, measure in measured.items():
                times[name].append(measure())
    median = {name: statistics.median(values) for name, values in times.items()}
    hydra, litellm = median["hello-world Hydra app, --help"], median["python -c 'import litellm'"]
    for name, value in median.items():
        print(
            f"{name:32} {value:6.2f} s   {value / hydra:5.2f} x hello Hydra   {value / litellm:5.2f} x import litellm"
        )
    goals.at_most("start, runner --help, of a hello-world Hydra app", 1.5, median["runner --help"] / hydra, " x")
    for name in (name for name in median if name.startswith("first request")):
        goals.at_most(f"start, {name}, of import litellm", 1.2, median[name] / litellm, " x")


if __name__ == "__main__":
    main()
