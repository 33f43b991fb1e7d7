"""Persona Runner: ask many models, in the role of many personas, to read texts and score them.

From Python: compose an experiment, plan it, run it, open what came of it (runner/api.py, docs/python.md).

The rooms, as the data flows; each imports only those below it, the last line first:

__main__    for `python -m runner`
cli         what is typed and what is shown
simulator   the providers' APIs on loopback, with faults
api         what Python calls: compose, plan, run, open_run, open_ledger, compare
execution   one launch done, and nothing said of it
pipeline    the stages in order
reporting   rows -> numbers, a page, runs in MLflow, comparisons
results     answers -> rows -> a run's folder, and back
dispatch    trials -> answers, bought once: live and by batch
ledger      what was paid for: answers, batches, claims
score       reply -> scores, or why there are none
providers   a request in one provider's own words, and its answer back
plan        Experiment -> trials with keys, and what they would cost
config      YAML and overrides -> Experiment, with every check
errors      what is raised on purpose
event_loop  a coroutine run to its end, also in a notebook
fastjson    JSON by orjson
process     who a process is, whether it still lives, and how one is started
redaction   an API key taken out of whatever a server says
records     the values between the stages
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.api import ComposedExperiment, Plan, Run, compare, compose, open_ledger, open_run, plan, run
    from runner.errors import BudgetError, ConfigError, LedgerError, RunnerError, TrackingError

__all__ = [
    "BudgetError",
    "ComposedExperiment",
    "ConfigError",
    "LedgerError",
    "Plan",
    "Run",
    "RunnerError",
    "TrackingError",
    "compare",
    "compose",
    "open_ledger",
    "open_run",
    "plan",
    "run",
]


class _Package(ModuleType):
    """`runner` itself. The room `plan` bears the name of a function of the API, and so can be called as that."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "plan" and isinstance(value, ModuleType):
            value.__class__ = _Plan
        super().__setattr__(name, value)


class _Plan(ModuleType):
    def __call__(self, *experiments: Any) -> Any:
        """As runner.api.plan."""
        return import_module("runner.api").plan(*experiments)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    """A name of the API, imported when it is first asked for: importing one module imports one module."""
    if name == "plan":
        return import_module("runner.plan")
    if name in __all__:
        return getattr(import_module("runner.errors" if name.endswith("Error") else "runner.api"), name)
    raise AttributeError(f"module 'runner' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
