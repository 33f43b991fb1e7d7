"""What each command does, between the command line and the pipeline, and what it prints."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runner import aggregate, pipeline, runfile
from runner.config import load
from runner.errors import TrackingError
from runner.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig
    from rich.console import Console

    from runner.pipeline import JobResult, Launch
    from runner.tracking import LoggedRuns

EXIT_OK, EXIT_FAILED_TRIALS, EXIT_INTERRUPTED = 0, 3, 130


def run(cfg: DictConfig, command: str) -> int:
    """Run one composed config as Hydra hands it over; returns the exit status."""
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    job = pipeline.Job(0, load(cfg), Path(hydra.runtime.output_dir), tuple(hydra.overrides.task))
    return run_jobs([job], command)


def run_jobs(jobs: Sequence[pipeline.Job], command: str) -> int:
    """Run jobs as one launch, show its results, log them to MLflow; returns the exit status."""
    console = _console()
    with Progress(console) as progress:
        this = pipeline.launch(jobs, command, progress)
    for result in this.results:
        runfile.write(this, result)
        _show(console, result)
    _say_totals(console, this)
    for result in this.results:
        _track(console, result)
    return _status(console, this)


def track(folder: Path) -> int:
    """Log a run's folder to MLflow: all of it, or what is missing there."""
    logged = runfile.track(folder)
    _say_logged(_console(), logged)
    return EXIT_OK


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def _show(console: Console, result: JobResult) -> None:
    console.print(aggregate.render_verification(aggregate.verification(result.tally)))
    console.print(aggregate.render_scores(aggregate.scores_by_model_persona(result.tally)))


def _say_totals(console: Console, this: Launch) -> None:
    counts = [result.counts for result in this.results]
    total = {
        name: sum(getattr(count, name) for count in counts) for name in ("trials", "scored", "unscorable", "failed")
    }
    console.print(
        f"{total['scored']} of {total['trials']} replies scored, {total['unscorable']} unscorable, "
        f"{total['failed']} failed; {this.requests_sent} requests sent, "
        f"{sum(count.from_ledger for count in counts)} answers from the ledger"
    )
    for result in this.results:
        console.print(f"results: {_short(result.job.folder)}", soft_wrap=True)


def _short(path: Path) -> Path:
    """Relative to the working folder where it is below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _track(console: Console, result: JobResult) -> None:
    """An MLflow that cannot be reached costs nothing but a line."""
    if not result.job.experiment.tracking.enabled:
        return
    try:
        _say_logged(console, runfile.track(result.job.folder))
    except TrackingError as error:
        console.print(f"MLflow: not logged: {error}", soft_wrap=True, markup=False)
        console.print(f"log it later: runner track {_short(result.job.folder)}", soft_wrap=True, markup=False)


def _say_logged(console: Console, logged: LoggedRuns) -> None:
    console.print(f"MLflow: run {logged.parent_id} with {len(logged.cells)} cells", soft_wrap=True)
    if logged.url is not None:
        console.print(f"see it: {logged.url}", soft_wrap=True)
    else:
        # Without the variable MLflow's server waits for a download of LiteLLM's where there is no network.
        here = Path(sys.executable).parent / "mlflow"
        mlflow = "mlflow" if shutil.which("mlflow") else _short(here) if here.exists() else "python -m mlflow"
        ui = f"LITELLM_LOCAL_MODEL_COST_MAP=True {mlflow} ui --backend-store-uri {logged.uri}"
        console.print(f"see it: {ui}", soft_wrap=True)


def _status(console: Console, this: Launch) -> int:
    if this.interrupted:
        console.print(f"interrupted; what was answered is kept. Continue: {this.command}", soft_wrap=True, markup=False)
        return EXIT_INTERRUPTED
    failed = sum(result.counts.failed for result in this.results)
    if failed:
        folders = ", ".join(str(_short(result.job.folder) / "errors.jsonl") for result in this.results)
        console.print(
            f"{failed} trials failed, see {folders}. Try them again: {this.command}", soft_wrap=True, markup=False
        )
        return EXIT_FAILED_TRIALS
    return EXIT_OK
