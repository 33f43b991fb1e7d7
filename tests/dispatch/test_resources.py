"""Open files: the soft limit is raised as far as a run needs, and where it cannot be, less is sent at once."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest

pytest.importorskip("resource", reason="sockets are no files here")

SCRIPT = """
import json, resource, sys
from dataclasses import replace
from runner.dispatch.resources import within_open_files
from runner.records import Limits, Model

soft, hard, *wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
models = {n: Model(name=f"m{n}", id="m", provider="openai", vendor="v", limits=Limits(concurrency=count))
          for n, count in enumerate(wanted)}
models[len(models)] = replace(models[0], temperature=1.0)
found, why = within_open_files(models)
print(json.dumps({"at_once": [model.limits.concurrency for model in found.values()], "why": why,
                  "soft": resource.getrlimit(resource.RLIMIT_NOFILE)[0]}))
"""


@dataclass(frozen=True)
class Case:
    """A process's limits, what its models want at once, and whether they get it."""

    soft: int
    hard: int
    wanted: tuple[int, ...]
    raised: bool
    clamped: bool


CASES = [
    Case(256, 4096, (8,), raised=False, clamped=False),
    Case(256, 4096, (240,), raised=True, clamped=False),
    Case(256, 4096, (200, 300), raised=True, clamped=False),
    Case(256, 256, (240,), raised=False, clamped=True),
    Case(128, 300, (200, 600), raised=True, clamped=True),
    Case(60, 60, (50,), raised=False, clamped=True),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_open_files(case: Case) -> None:
    """Two models that are one share a place; what is clamped keeps its proportions, and says why and what to type."""
    command = [sys.executable, "-c", SCRIPT, *map(str, (case.soft, case.hard, *case.wanted))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(done.stdout)
    *at_once, again = found["at_once"]
    assert again == at_once[0]
    assert (found["soft"] > case.soft) == case.raised
    if case.clamped:
        assert all(1 <= had < asked for had, asked in zip(at_once, case.wanted, strict=True))
        assert sum(at_once) < found["soft"] <= case.hard
        assert "ulimit -n" in found["why"]
    else:
        assert (at_once, found["why"]) == ([*case.wanted], None)
