"""The program as its user types it: a folder with models of one's own, a command, what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from loopback import Provider

MODELS = {
    "mini": "capability: {structure: schema}",
    "thinker": "capability: {temperature: none, system: developer, max_tokens: max_completion_tokens}",
}
"""Two models as a user's own files describe them: an ordinary one, and one that takes no temperature."""


def configs(folder: Path, provider: Provider) -> str:
    """The option that adds a config folder with both models, which answer at the provider's address."""
    for name, rest in MODELS.items():
        path = folder / "mine" / "model" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"# @package model.{name}\nid: {name}\nprovider: openai\nvendor: test\nkey_env: null\n"
            f"api_base: {provider.url}\nlimits: {{concurrency: 4, attempts: 3}}\n{rest}\n",
            encoding="utf-8",
        )
    return f"--config-dir={folder / 'mine'}"


def quick(words: Sequence[str]) -> list[str]:
    """A run's words, without the report: that takes seconds, and has tests of its own."""
    return [*words, "report=false"] if words[0].startswith("--config-dir") else [*words]


def start(folder: Path, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """The program, started in a session of its own: the number of that session is the number of its process."""
    return subprocess.Popen(
        [sys.executable, "-m", "runner", *quick(words)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str], status: int = 0) -> str:
    """What it printed, once it has ended with `status`."""
    out, err = process.communicate(timeout=150)
    assert process.returncode == status, f"{process.returncode}\n{out}\n{err}"
    return out


def runner(folder: Path, *words: str, status: int = 0, environment: Mapping[str, str] | None = None) -> str:
    """What the program printed; it must end with `status`."""
    return ended(start(folder, *words, environment=environment), status)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.005)


def sweeps(folder: Path) -> list[Path]:
    """The folders of the sweeps made below a folder, the oldest first."""
    return [path.parent for path in sorted(folder.glob("outputs/*/*/sweep.json"))]


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
