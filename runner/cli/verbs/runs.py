"""What is done with one run as a whole: `track`, `rescore`, `report`, and `ui`, which shows them all."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

from runner import process
from runner.cli.verbs import options
from runner.errors import TrackingError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from runner.records import Tracking

QUIET_SERVER = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
"""For MLflow's server: else it waits for a download of LiteLLM's where there is no network, and keeps seven processes
for jobs that nobody gives it."""

options_track = options_rescore = options_report = options.one_run


def run_track(words: argparse.Namespace, conf: Path) -> int:
    """Log a run's or a sweep's folder to MLflow: all of it, or what is missing there."""
    folder = options.run_of(words, conf)
    try:
        return track(folder, options.tracking_of(conf, words.overrides) if words.overrides else None)
    except TrackingError as error:
        error.advice = error.mend or shlex.join(["runner", "track", words.run or str(folder), *words.overrides])
        raise


def run_rescore(words: argparse.Namespace, conf: Path) -> int:
    """Read a run's replies again from the ledger, in place: after batches have ended, or with a newer parser."""
    return rescore(options.run_of(words, conf))


def track(folder: Path, where: Tracking | None = None) -> int:
    """Log a launch's folder to the MLflow that `where` names, or that the launch itself names. TrackingError."""
    from runner.cli.output import console, say_logged
    from runner.reporting.tracking import log_run

    say_logged(console(), log_run.track(folder, where))
    return 0


def rescore(folder: Path) -> int:
    """Read the replies of a launch's folder again and write its results anew; the exit status of a run."""
    from runner.cli.session import Session
    from runner.results import reload

    found = reload.reload(folder)
    with Session(found.launch.command, launch=found.launch) as session:
        session.execution.rewrite(found.jobs)
        return session.finish(found.sweep)


def run_report(words: argparse.Namespace, conf: Path) -> int:
    """Write a run's page, report.html, again."""
    from runner.cli.output import quoted, say
    from runner.reporting import html

    say(f"report: {quoted(html.write(options.run_of(words, conf)))}")
    return 0


def options_ui(parser: argparse.ArgumentParser) -> None:
    """Where to serve, and which store."""
    options.address(parser, 5000)
    options.tracking_words(parser)


def run_ui(words: argparse.Namespace, conf: Path) -> int:
    """Serve MLflow's page on the store that runs are logged to; the address of a server where there is one already."""
    uri = options.tracking_of(conf, words.overrides).uri
    if uri.startswith(("http://", "https://")):
        sys.stdout.write(f"{uri}\n")
        return 0
    environment = {**os.environ, **QUIET_SERVER, **process.SAFE_PATH}
    options.check_port(words.host, words.port, "ui")
    place = ["--backend-store-uri", uri, "--host", words.host, "--port", str(words.port)]
    command = process.python("mlflow", "ui", "--workers", "1", *place)
    sys.stdout.write(f"MLflow on http://{words.host}:{words.port} (Ctrl-C ends it)\n")
    sys.stdout.flush()
    return subprocess.call(command, env=environment)  # noqa: S603  its own interpreter
