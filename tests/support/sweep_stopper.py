"""A callback of Hydra's that ends its own process, as a user does, between two turns of a sweep."""

from __future__ import annotations

import os
from typing import Any

from hydra.experimental.callback import Callback


class Stop(Callback):
    """Sends a signal when job number `before` is composed, of which nothing has been asked yet."""

    def __init__(self, before: int, number: int) -> None:
        self.before = before
        self.number = number

    def on_job_start(self, config: Any, **_: Any) -> None:
        """Called by Hydra."""
        if config.hydra.job.num == self.before:
            os.kill(os.getpid(), self.number)
