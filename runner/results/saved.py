"""What a run's folder holds, read back: run.json, sweep.json, experiment.json and the rows, each checked first.

Somebody may have edited, cut or lost any of it. What is damaged is said in one line, with the file, what is wrong with
it, and the command that writes it again; no reader beyond this module meets it.
"""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runner.config import settings
from runner.errors import ConfigError, RunnerError, pasted
from runner.plan.trials import count_of
from runner.results import files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Set
    from pathlib import Path

    from runner.records import Experiment, Json, Row

AGAIN = "the run's command writes it again, and nothing is bought twice"
DEEPEST = 60
"""Objects within objects; what this program writes has a few."""
MOST_TRIALS = 1_000_000
"""More than the run had is a number that somebody has changed, and would be planned for hours."""


def load(folder: Path, name: str) -> dict[str, Any]:
    """One of a run's JSON files. ConfigError where it is missing, or holds no JSON object.

    So is a key that it lacks, or whose value is not as this program writes it, when it is asked for.
    """
    file = folder / name
    try:
        value = json.loads(file.read_bytes().decode("utf-8", "surrogatepass"))
    except (FileNotFoundError, NotADirectoryError) as error:
        if is_rest_of_a_run(folder) or (folder.parent / "sweep.json").is_file():
            raise missing(folder, name) from error
        message = "this is not the folder of a run"
        raise ConfigError(message, where=str(folder), key=name, advice="ls outputs/*/*/run.json") from error
    except OSError as error:
        advice = f"ls -l {pasted(file)}"
        raise ConfigError(f"cannot be read: {error.strerror or error}", where=str(file), advice=advice) from error
    except RecursionError as error:
        raise _damaged(file, "it is nested too deep") from error
    except ValueError as error:
        raise _damaged(file, f"it is no JSON, or cut off ({error})") from error
    if not isinstance(value, dict):
        raise _damaged(file, f"it holds {settings.named(value)} in place of an object")
    if files.is_deep(value, DEEPEST):
        raise _damaged(file, "it is nested too deep")
    facts = _Facts(file, value, _TYPES.get(name, {}))
    if name == "sweep.json":
        _check_jobs(file, facts)
    return facts


def experiment_in(folder: Path) -> Experiment:
    """The experiment of a job's folder. ConfigError where experiment.json is missing or damaged."""
    file = folder / "experiment.json"
    held = load(folder, file.name)
    try:
        experiment = settings.experiment_from(held, str(file))
    except ConfigError as error:
        error.advice = command_of(folder) or error.advice
        raise
    had = _trials(folder)
    if had is not None and (asked := count_of(experiment)) > max(2 * had, MOST_TRIALS):
        raise _damaged(file, f"it asks for {asked} trials, and the run had {had}")
    return experiment


def rows_in(folder: Path, experiment: Experiment | None = None) -> Iterator[Row]:
    """The rows of a job's folder, one at a time. `experiment`: each must have a score, or null, for its questions.

    RunnerError with file and line at the first that cannot be read, or was asked other questions than the first of its
    prompt; at the end where they are not as many as run.json counts.
    """
    path, number = folder / "results.jsonl", 0
    asked: dict[Json, tuple[Set[str], Set[str]]] = {}
    for number, row in enumerate(files.read_rows(path), 1):
        prompt = row.factors.get("prompt")
        held: Set[str] = row.scores.keys() | row.answers.keys() if row.answers else row.scores.keys()
        if row.question is not None:
            _check_questions(path, number, row, {row.question})
        elif (first := asked.get(prompt)) is None:
            asked[prompt] = held, row.reasons.keys()
            named = () if experiment is None else experiment.prompt_named(prompt).questions
            _check_questions(path, number, row, {*(question.name for question in named), *held})
        elif held != first[0] or row.reasons.keys() != first[1]:
            _check_questions(path, number, row, first[0])
        yield row
    had = _trials(folder)
    if had is not None and number != had:
        raise _unlike(folder, f"{path}: holds {number} rows, and run.json counts {had} trials")


def _check_questions(path: Path, number: int, row: Row, asked: Collection[str]) -> None:
    """RunnerError where a row has not a score, an answer or null for each question, or anything for another one.

    An answer that is no score may be words of the model's own, which have no reason.
    """
    no_scores = row.answers.keys() - row.scores.keys()
    held = {"scores": row.scores.keys() | row.answers.keys(), "reasons": row.reasons.keys() | no_scores}
    for name, questions in held.items():
        for question in (question for question in asked if question not in questions):
            raise _unlike(path.parent, f"{path}, line {number}: '{name}' lacks the question '{question}'")
        for question in (question for question in questions if question not in asked):
            raise _unlike(path.parent, f"{path}, line {number}: '{name}' has '{question}', which nobody asked")


def _unlike(folder: Path, message: str) -> RunnerError:
    return RunnerError(f"{message}; {AGAIN}", advice=advice_of(folder))


def _trials(folder: Path) -> int | None:
    """How many rows a job's folder has, as its run.json says; None where it does not."""
    if not (folder / "run.json").is_file():
        return None
    run = load(folder, "run.json")
    return run.get("trials") if run.get("error") is None else None


# ---- what is lost ----------------------------------------------------------------------------------------------------


def is_rest_of_a_run(folder: Path) -> bool:
    """Whether a folder has something that only a run leaves behind when it has ended."""
    return any((folder / name).is_file() for name in ("results.jsonl", "run.json", "experiment.json", "summary.csv"))


def missing(folder: Path, name: str) -> ConfigError:
    """Says that a run's folder has lost a file, and which command writes it again."""
    return ConfigError(f"is missing; {AGAIN}", where=str(folder / name), advice=advice_of(folder))


def advice_of(folder: Path) -> str:
    """The command that made a run, or what shows what is left of it."""
    return command_of(folder) or f"ls -la {pasted(folder)}"


def command_of(folder: Path) -> str | None:
    """The command that made a run, from whatever is left of its folder; None where nothing says it."""
    for file in (folder / "run.json", folder / "sweep.json", folder.parent / "sweep.json"):
        try:
            command = json.loads(file.read_bytes())["command"]
        except (OSError, ValueError, RecursionError, LookupError, TypeError):
            continue
        if isinstance(command, str) and command.strip():
            return command
    for file in (folder.parent / "multirun.yaml", folder / "multirun.yaml", folder / ".hydra" / "hydra.yaml"):
        if (words := _typed(file)) is not None:
            return shlex.join(["runner", *(["-m"] if file.name == "multirun.yaml" else []), *words])
    return None


def _typed(file: Path) -> list[str] | None:
    """The overrides in one of Hydra's files, its own first; None where they cannot be read."""
    try:
        whole = hydras(file)
        overrides = whole.get("hydra", whole)["overrides"]
        words = [*map(str, overrides["hydra"]), *map(str, overrides["task"])]
    except (ConfigError, AttributeError, LookupError, TypeError):
        return None
    return [word for word in words if not word.startswith("hydra.mode=")]


def hydras(file: Path) -> Any:
    """What one of Hydra's YAML files of a run holds, as OmegaConf has it. ConfigError where it cannot be read."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    advice = f"less {pasted(file)}"
    try:
        return OmegaConf.load(file)
    except RecursionError as error:
        raise ConfigError("cannot be read: nested too deep", where=str(file), advice=advice) from error
    except (OSError, ValueError, TypeError, YAMLError, OmegaConfBaseException) as error:
        why, *_ = (getattr(error, "strerror", None) or str(error)).splitlines() or [type(error).__name__]
        raise ConfigError(f"cannot be read: {why}", where=str(file), advice=advice) from error


# ---- what a file holds -----------------------------------------------------------------------------------------------


class _Facts(dict[str, Any]):
    """A JSON object from a file. A key that it lacks, or that holds something else, is a ConfigError when read."""

    def __init__(self, file: Path, value: Mapping[str, Any], types: Mapping[str, Any]) -> None:
        super().__init__(value)
        self._file = file
        self._types = types

    def __missing__(self, key: str) -> Any:
        raise _damaged(self._file, f"it lacks '{key}'")

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        if key in self._types and (wrong := _wrong(key, value, self._types[key])) is not None:
            raise _damaged(self._file, f"'{key}' in it {wrong}")
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """As of a dictionary; what is there is looked at likewise."""
        return self[key] if key in self else default  # noqa: SIM401  that would be this method


_LAUNCH: Mapping[str, Any] = {
    "run": str,
    "command": str,
    "name": str | None,
    "git": dict[str, str | bool | None],
    "lock_sha256": str | None,
    "python": str | None,
    "packages": dict[str, str | None],
    "requests_sent": int,
    "dispatch_requests_per_s": float | None,
    "batches": list[str],
    "started": str,
    "time": str,
    "served": list[dict[str, str | bool | int]],
    "mlflow": dict[str, Any] | None,
}
_JOB: Mapping[str, Any] = {
    "job": int,
    "status": str,
    "error": str | None,
    "overrides": list[str],
    "config_sha256": str | None,
    "ledger": str | None,
    "price_usd": float | None,
    "saved_usd": float,
    **dict.fromkeys(("trials", "scored", "unscorable", "failed", "from_ledger", "answered", "collapsed"), int),
}
_TYPES: Mapping[str, Mapping[str, Any]] = {
    "run.json": {**_LAUNCH, **_JOB, "imported": dict[str, Any]},
    "sweep.json": {**_LAUNCH, **_JOB, "axes": dict[str, list[str]], "jobs": list[dict[str, Any]]},
    "experiment.json": {},  # settings.experiment_from knows them
}
"""File -> key -> what its writer puts there."""
_STATUS = ("FINISHED", "FAILED", "KILLED", "SCHEDULED")
_INNER: Mapping[str, Mapping[str, Any]] = {
    "git": {"commit": str | None, "dirty": bool | None},
    "served": {"model": str, "name": str, "declared": bool, "replies": int},
    "imported": {
        "source": str,
        "sha256": str,
        "expected": int | None,
        "check": list[dict[str, str | int]],
        "unreadable": list[dict[str, str]],
    },
}
"""Key -> what each object in it has."""
_LATER = ("check",)
"""What an earlier version did not write there."""


def _wrong(key: str, value: Json, kind: Any) -> str | None:
    """What is wrong with a value; None where nothing is."""
    if not settings.fits(kind, value):
        return f"is {settings.named(value)}, or holds what it cannot"
    if type(value) in {int, float} and value < 0:
        return "is below zero"
    if key == "status" and value not in _STATUS:
        return f"is none of {', '.join(_STATUS)}"
    if key in {"started", "time"} and not _is_time(value):
        return "is no time"
    inner = value if isinstance(value, list) else [value]
    return next((wrong for one in inner if (wrong := _wrong_within(key, one)) is not None), None)


def _wrong_within(key: str, inner: Json) -> str | None:
    for name, kind in _INNER.get(key, {}).items() if isinstance(inner, dict) else ():
        if name not in inner and name not in _LATER:
            return f"lacks '{name}'"
        if name in inner and not settings.fits(kind, inner[name]):
            return f"has {settings.named(inner[name])} for its '{name}'"
    return None


def _check_jobs(file: Path, sweep: _Facts) -> None:
    """ConfigError where sweep.json lists no jobs, or not as many values of an axis."""
    jobs = sweep.get("jobs", [])
    if not jobs:
        raise _damaged(file, "it lists no jobs")
    for name, values in sweep.get("axes", {}).items():
        if len(values) != len(jobs):
            raise _damaged(file, f"the axis '{name}' in it has {len(values)} values for {len(jobs)} jobs")
    sweep["jobs"] = [_Facts(file, job, {**_JOB, "folder": str}) for job in jobs]


def _is_time(written: str) -> bool:
    """Whether it is a time, of a year that a computer can count the seconds to."""
    try:
        return datetime.fromisoformat(written).astimezone(UTC).timestamp() > 0
    except (ValueError, OverflowError, OSError):
        return False


def _damaged(file: Path, what: str) -> ConfigError:
    return ConfigError(f"is damaged, {what}; {AGAIN}", where=str(file), advice=advice_of(file.parent))
