"""What is said beside tables: lines about a run, and commands as they are typed from here."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.tables import console, many

if TYPE_CHECKING:
    from rich.console import Console

    from runner.errors import TrackingError
    from runner.reporting.tracking.store import LoggedRuns

__all__ = ["called_as", "console", "quoted", "say_logged", "say_next", "say_not_logged", "short"]


def short(path: Path) -> Path:
    """Relative to the working folder where it is below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def called_as() -> str:
    """How the program is called from here: by its name where that is on the path, else by its place."""
    here = Path(sys.executable).parent / "runner"
    return "runner" if shutil.which("runner") or not here.exists() else str(short(here))


def quoted(path: Path) -> str:
    """As it is typed after a verb."""
    return shlex.quote(str(short(path)))


def say_next(shown: Console, folder: Path) -> None:
    """The command that a person mostly wants now."""
    shown.print(f"next:    {called_as()} stats {quoted(folder)}", soft_wrap=True, markup=False)


def say_not_logged(shown: Console, error: TrackingError, folder: Path) -> None:
    """Why a launch is not in MLflow, and how it gets there later."""
    why, later = str(error).removeprefix("MLflow: "), f"{called_as()} track {quoted(folder)}"
    shown.print(f"MLflow:  not logged: {why}\n         log it later: {later}", soft_wrap=True, markup=False)


def say_logged(shown: Console, logged: LoggedRuns) -> None:
    """Where a launch is in MLflow, and how to see it."""
    shown.print(f"MLflow:  run {logged.parent_id} with {many(len(logged.cells), 'cell')}", soft_wrap=True, markup=False)
    usual = f"sqlite:///{Path.cwd()}/mlruns/mlflow.db"
    where = logged.url or f"{called_as()} ui{'' if logged.uri == usual else f' tracking.uri={logged.uri}'}"
    shown.print(f"see it:  {where}", soft_wrap=True, markup=False)
