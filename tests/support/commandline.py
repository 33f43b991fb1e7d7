"""The program as its user types it: a folder with models of one's own, a command, what it wrote."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import forked
from loopback import Turn, scores

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from loopback import Provider

    Started = forked.Process | subprocess.Popen[str]

MODELS = {
    "mini": "capability: {structure: schema}",
    "thinker": "capability: {temperature: none, system: developer, max_tokens: max_completion_tokens}",
}
"""Two models as a user's own files describe them: an ordinary one, and one that takes no temperature."""
SWEEP = ("-m", "model=mini,thinker", "sampling.temperature=0,0.5,1", "persona=poet,robot")
JOBS, TRIALS = 12, 36
DISTINCT = 18 + 6
"""The thinker's three temperatures are one request."""
UNTRACKED = "tracking.enabled=false"


def configs(folder: Path, provider: Provider) -> str:
    """The option that adds a config folder with both models, which answer at the provider's address."""
    for name, rest in MODELS.items():
        path = folder / "mine" / "model" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"# @package model.{name}\nid: {name}\nprovider: openai\nvendor: test\nkey_env: null\n"
            f"api_base: {provider.url}\nlimits: {{concurrency: 4, attempts: 3}}\n"
            f"prices: {{input_usd_per_mtok: 1.0, output_usd_per_mtok: 2.0, source: test}}\n{rest}\n",
            encoding="utf-8",
        )
    return f"--config-dir={folder / 'mine'}"


def quick(words: Sequence[str]) -> list[str]:
    """A run's words, without the report: that takes seconds, and has tests of its own."""
    return [*words, "report=false"] if words[0].startswith("--config-dir") else [*words]


def start(folder: Path, *words: str, environment: Mapping[str, str] | None = None, typed: bool = False) -> Started:
    """The program, started in a session of its own: the number of that session is the number of its process.

    `typed` starts it as its user does; otherwise it is forked, which differs in nothing but the time.
    """
    variables = {**os.environ, **(environment or {})}
    if forked.HAS_PIDFD and not typed:
        return forked.start(quick(words), folder, variables)
    return subprocess.Popen(
        [sys.executable, "-m", "runner", *quick(words)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=variables,
        start_new_session=True,
    )


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command printed."""

    stdout: str
    stderr: str


def ended(process: Started, status: int = 0, timeout: float = 150) -> Ended:
    """What it printed, once it has ended with `status`."""
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == status, f"{process.returncode}\n{out}\n{err}"
    return Ended(out, err)


def runner(
    folder: Path, *words: str, status: int = 0, environment: Mapping[str, str] | None = None, typed: bool = False
) -> Ended:
    """What the program printed; it must end with `status`."""
    return ended(start(folder, *words, environment=environment, typed=typed), status)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.005)


def came_to(provider: Provider, count: int, process: Started) -> bool:
    return provider.count >= count or process.poll() is not None


def sweeps(folder: Path) -> list[Path]:
    """The folders of the sweeps made below a folder, the oldest first."""
    return [path.parent for path in sorted(folder.glob("outputs/*/*/sweep.json"))]


def newest(folder: Path, name: str = "sweep.json") -> Path:
    """The folder of the newest run or sweep below a folder."""
    return max(folder.glob(f"outputs/*/*/{name}"), key=lambda path: path.stat().st_mtime_ns).parent


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def summary(folder: Path) -> list[dict[str, str]]:
    """A sweep's summary without what only time decides."""
    with (folder / "summary.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        {name: value for name, value in row.items() if "latency" not in name and "spent" not in name} for row in rows
    ]


def by_temperature(body: dict[str, Any]) -> Turn:
    """A score that tells model, temperature and persona apart."""
    value = round(100 * body.get("temperature", 0.3)) // 2 + (10 if "poet" in json.dumps(body["messages"]) else 0)
    return Turn(content=scores(value))
