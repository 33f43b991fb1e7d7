"""A Parquet table that this program wrote -> the rows of its jobs, with their prompts and what was typed for them.

A line has every field of a row (see export), and the file's metadata what a line has no place for.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any

from runner import fastjson
from runner.config.settings import prompt_from
from runner.errors import ConfigError, RunnerError, pasted
from runner.records import Row
from runner.results import files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from runner.records import Json, PromptTemplate

METADATA = b"persona-runner"
"""Key of the file's metadata: JSON, of each job its overrides and prompts; and the names of the factors."""
OBJECTS = ("problem", "requested", "sent", "dropped", "tokens", "stated", "answers")
"""Fields that are JSON in a line."""
SOMETIMES = frozenset(field.name for field in fields(Row) if not (field.default is MISSING is field.default_factory))
"""Fields that some rows have."""
SCORE, REASON = "score_", "reason_"
_FIELDS = frozenset(field.name for field in fields(Row))


@dataclass(frozen=True, slots=True)
class ReadTable:
    """What a table holds."""

    rows: Sequence[Row]
    prompts: Mapping[tuple[int, str], PromptTemplate]
    """By job and name."""
    overrides: Mapping[int, Sequence[str]]
    """By the job's number."""


def read_rows(path: Path) -> ReadTable:
    """The rows of a table. ConfigError where it is none that `runner export --format parquet` wrote, or is damaged."""
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(path)
        said = json.loads((table.schema.metadata or {})[METADATA])
        names, jobs = [str(name) for name in said["factors"]], list(said["jobs"])
        lines = table.to_pylist()
        prompts: dict[tuple[int, str], PromptTemplate] = {}
        overrides: dict[int, tuple[str, ...]] = {}
        for job in jobs:
            number = int(job["job"])
            overrides[number] = tuple(map(str, job["overrides"]))
            prompts |= {(number, one.name): one for one in map(prompt_from, job["prompts"])}
        rows = [_row(line, names, prompts) for line in lines]
    except KeyError as error:
        message = f"is no table of a run: it lacks {error}"
        raise ConfigError(message, where=str(path), advice="runner export RUN --format parquet") from error
    except (ArrowException, OSError, RunnerError, TypeError, ValueError, AttributeError) as error:
        advice = f"ls -l {pasted(path)}"
        raise ConfigError(f"cannot be read as a run's table: {error}", where=str(path), advice=advice) from error
    return ReadTable(rows, prompts, overrides)


def _row(line: Mapping[str, Any], factors: Sequence[str], prompts: Mapping[tuple[int, str], PromptTemplate]) -> Row:
    """One row: as its line in results.jsonl would be read, so that it is looked at as one."""
    own: dict[str, Json] = {name: value for name, value in line.items() if name in _FIELDS}
    own |= {name: json.loads(own[name]) if own.get(name) else None for name in OBJECTS}
    own = {name: value for name, value in own.items() if value is not None or name not in SOMETIMES}
    of_job = [prompt for (job, _), prompt in prompts.items() if job == line["job"]]
    prompt = prompts.get((line["job"], str(line.get("prompt"))), of_job[0])
    asked = [question for question in prompt.questions if line.get("question") in (None, question.name)]
    own["scores"] = {one.name: line[SCORE + one.name] for one in asked if one.is_numeric}
    own["reasons"] = {one.name: line[REASON + one.name] for one in asked if one.has_reason}
    own |= {name: line[name] for name in factors if line.get(name) is not None} | {"factors": list(factors)}
    return files.row_from_json(fastjson.dumps(own))
