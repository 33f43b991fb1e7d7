"""A process that takes batches through their lives and is killed on the way: run by test_batch_crash alone.

It reads orders as lines of JSON, forks for each, and tells how the fork ended. The forks share what takes seconds to
import. A fork kills itself with SIGKILL when the step of its order comes, so nothing of it can tidy up.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batching import APIS, bench, model_of, settings, trials_of

from runner.dispatch.batch import control
from runner.dispatch.observer import Stop
from runner.providers.codec import codec_for


@dataclass
class Fuse:
    """Ends the process when a step has been taken for the nth time."""

    step: str | None
    nth: int

    def __call__(self, name: str) -> None:
        """One step further."""
        if name == self.step:
            self.nth -= 1
            if self.nth == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def run(order: dict[str, Any]) -> None:
    """Buy the trials of an order, then do what `runner collect` does."""
    fuse = Fuse(order["step"], order["nth"])
    fast = settings(size=order["size"], find_s=0.1)
    trials = trials_of(model_of(order["api"], order["base"]), order["count"])
    with bench(Path(order["folder"]), fast, step=fuse) as at:
        outcome = at.buy(trials)
        control.collect(at.context, Stop())
        said = {key: failure.problem.message for key, failure in outcome.failures.items()}
        Path(order["folder"], "outcome.json").write_text(json.dumps(said), encoding="utf-8")


def main() -> None:
    """Take orders until there are no more."""
    for name in APIS:
        codec_for(model_of(name), None)
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                run(json.loads(line))
                status = 0
            finally:
                sys.stderr.flush()
                os._exit(status)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
