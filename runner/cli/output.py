"""What is said beside tables: lines about a run, and commands as they are typed from here."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runner.config.database_urls import file_of
from runner.errors import pasted
from runner.reporting.formatting import many
from runner.reporting.terminal import console

if TYPE_CHECKING:
    from rich.console import Console

    from runner.errors import TrackingError
    from runner.reporting.tracking.store import LoggedRuns

__all__ = ["called_as", "console", "quoted", "say", "say_logged", "say_next", "say_not_logged"]


def quoted(path: Path) -> str:
    """A path as it is shown and typed from here: relative below the working folder, in quotes where a shell needs them.

    Every path that is printed comes from here, so that any line can be pasted.
    """
    near = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return pasted(near)


def called_as() -> str:
    """How the program is called from here: by its name where that is on the path, else by its place."""
    here = Path(sys.executable).parent / "runner"
    return "runner" if shutil.which("runner") or not here.exists() else quoted(here)


def say(line: str, shown: Console | None = None) -> None:
    """A line as it is: never folded, so that what is in it can be pasted, and never read as markup."""
    (shown or console()).print(line, soft_wrap=True, markup=False)


def say_next(shown: Console, folder: Path) -> None:
    """The command that a person mostly wants now."""
    say(f"next:    {called_as()} stats {quoted(folder)}", shown)


def say_not_logged(shown: Console, error: TrackingError, folder: Path) -> None:
    """Why a launch is not in MLflow, and how it gets there later."""
    why, later = str(error).removeprefix("MLflow: "), f"{called_as()} track {quoted(folder)}"
    first = "" if error.mend is None else f"\n         first: {error.mend}"
    say(f"MLflow:  not logged: {why}{first}\n         log it later: {later}", shown)


def say_logged(shown: Console, logged: LoggedRuns) -> None:
    """Where a launch is in MLflow, and how to see it."""
    say(f"MLflow:  run {logged.parent_id} with {many(len(logged.cells), 'cell')}", shown)
    usual = Path.cwd() / "mlruns" / "mlflow.db"
    elsewhere = "" if file_of(logged.uri) == usual else f" {shlex.quote(f'tracking.uri={logged.uri}')}"
    say(f"see it:  {logged.url or f'{called_as()} ui{elsewhere}'}", shown)
