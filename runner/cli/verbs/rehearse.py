"""`runner rehearse`: a whole run or sweep against simulated providers; `runner simulate`: the providers alone.

No key, no price, the same files.

It has a ledger and an MLflow experiment of its own, so that what was rehearsed is never taken for what was bought. The
same again, with the same fault plan, finds its answers there.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.verbs import options
from runner.errors import ConfigError
from runner.reporting.formatting import many
from runner.simulator.plan import load_plan, plan_names
from runner.simulator.registry import BASES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from runner.cli.main import Compose
    from runner.errors import RunnerError
    from runner.plan.job import Job
    from runner.records import Model
    from runner.reporting.progress import Loudness
    from runner.results.launch import JobResult

KEY = "RUNNER_REHEARSAL_KEY"
"""The environment variable that stands in for every model's key."""
LEDGER = "sqlite:///outputs/rehearsal.db"
ENDED = "this was a rehearsal: the batch ended with its simulated provider"
UNSIMULATED = ("embedded",)
"""Providers that are asked as they are."""


def options_rehearse(parser: argparse.ArgumentParser) -> None:
    """How the simulated providers behave."""
    plans = f"how the providers behave: {', '.join(plan_names())}, or a YAML file (calm)"
    parser.add_argument("--plan", metavar="NAME", default="calm", help=plans)


def run_rehearse(asked: argparse.Namespace, compose: Compose) -> int:
    """Run what would be run, on simulated providers."""

    def make(command: str, loudness: Loudness) -> Rehearsal:
        try:
            return Rehearsal(command, asked.plan, loudness)
        except ConfigError as error:  # it is the fault plan's, which `runner simulate` reads too
            error.advice = error.advice and error.advice.replace("simulate", "rehearse")
            raise

    return compose(make, "hydra/launcher=pooled")


def options_simulate(parser: argparse.ArgumentParser) -> None:
    """Where to serve, and how the providers behave."""
    options.address(parser, 8700)
    plans = f"how the providers behave: {', '.join(plan_names())}, or a YAML file (calm)"
    parser.add_argument("--plan", metavar="NAME", default="calm", help=plans)
    parser.add_argument("--state", metavar="FILE", default=None, help="keep files and batches here between starts")


def run_simulate(words: argparse.Namespace, _conf: Path) -> int:
    """Serve the providers' APIs on this machine until Ctrl-C."""
    from runner.simulator import serve

    def ready(base: str) -> None:
        sys.stdout.write("".join(f"{name:10} {base}{path}\n" for name, path in BASES.items()))
        sys.stdout.write(f"counts     {base}/_count\nany key is taken; Ctrl-C ends it\n")
        sys.stdout.flush()

    plan = load_plan(words.plan)
    options.check_port(words.host, words.port, "simulate")
    serve(words.host, words.port, plan, state=Path(words.state) if words.state else None, ready=ready)
    return 0


class Rehearsal:
    """A session whose models all answer on loopback."""

    def __init__(self, command: str, plan: str, loudness: Loudness = "usual") -> None:
        from runner.cli.session import Session
        from runner.simulator import SimulatorThread

        self._session = Session(command, loudness=loudness)
        behaviour = load_plan(plan)
        self._simulation = hashlib.sha256(repr(behaviour).encode()).hexdigest()[:12]
        self._simulator = SimulatorThread(behaviour)
        self._simulator.__enter__()
        os.environ[KEY] = "rehearsal"

    @property
    def has_begun(self) -> bool:
        """Whether anything may have been asked or written."""
        return self._session.has_begun

    @property
    def has_results(self) -> bool:
        """Whether any job could be run."""
        return self._session.has_results

    def run(self, jobs: Sequence[Job]) -> list[JobResult]:
        """Run jobs as one, on the simulated providers."""
        if not self._session.launch.results:  # later turns of a sweep may wait for batches of earlier ones
            self._end_batches()
        return self._session.run([self._redirected(job) for job in jobs])

    def fail(self, index: int, folder: Path, overrides: Sequence[str], error: RunnerError) -> None:
        """Take up a job whose config is wrong."""
        self._session.fail(index, folder, overrides, error)

    def interrupt(self) -> None:
        """Take note that it was stopped while nothing was being asked."""
        self._session.interrupt()

    def finish(self, sweep: Path | None = None) -> int:
        """Show the results and what the simulated providers counted; the exit status."""
        status = self._session.finish(sweep)
        count = self._simulator.count
        sent = sum(sum(of_provider.values()) for of_provider in count.requests.values())
        batches = sum(count.batches.values())
        self._session.console.print(
            f"rehearsed: {many(sent, 'call')} and {many(batches, 'batch', 'batches')}, nothing was paid"
        )
        if self._session.launch.purchase.pending:
            self._end_batches()
            self._session.console.print(
                "but its batches end here, with their simulated providers, where paid ones would run on. "
                "To see them through: the same again, with batch.wait=true",
                soft_wrap=True,
            )
        return status

    def _end_batches(self) -> None:
        """Nobody is to wait for those that this rehearsal leaves, or that one which was killed has left."""
        from runner.config.database_urls import is_there
        from runner.ledger.answers import open_ledger
        from runner.ledger.batch_records import OPEN, ItemEnding

        if not is_there(LEDGER):
            return
        with open_ledger(LEDGER) as ledger:
            store = ledger.batches
            for entry in (one for one in store.entries(OPEN) if store.take(one.id)):
                open_items = [item.n for item in store.items(entry.id) if item.ending is None]
                settled = [ItemEnding(n, "lost", "lost", ENDED) for n in open_items]
                store.change(entry.id, "closed", note=ENDED, settled=settled)
                store.release(entry.id)

    def close(self) -> None:
        """End the simulated providers."""
        self._session.close()
        self._simulator.__exit__(None, None, None)

    def _redirected(self, job: Job) -> Job:
        from runner.config.load import polled

        asked = job.experiment
        try:
            models = tuple(map(self._redirect, asked.models))
        except ConfigError as error:
            raise job.origin.placed(error) from None
        tracking = replace(asked.tracking, experiment=f"{asked.tracking.experiment} (rehearsal)")
        batch = polled(asked.batch, models)
        return replace(job, experiment=replace(asked, models=models, batch=batch, ledger_url=LEDGER, tracking=tracking))

    def _redirect(self, model: Model) -> Model:
        if model.provider in UNSIMULATED:
            return model
        service = model.capability.batch or model.provider
        service = service if service in BASES else model.provider
        if service not in BASES:
            known = ", ".join(name for name in BASES if name != "gcs")
            message = f"'{model.provider}' is not simulated; these are: {known}"
            raise ConfigError(message, where=f"model/{model.name}.yaml", key="provider", others=("id",))
        bucket = model.batch_bucket or ("rehearsal" if service == "vertex" else None)
        base = f"{self._simulator.base}{BASES[service]}"
        return replace(model, api_base=base, key_env=KEY, batch_bucket=bucket, simulation=self._simulation)
