"""Every row of a run's results against its plan, its key, and the answer that it was read from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from runner.config import settings
from runner.errors import ConfigError, RunnerError
from runner.plan.job import TrialPlan
from runner.plan.trials import attempt_key
from runner.records import REFUSED, Reply
from runner.results import files
from runner.results.rows import DAMAGED, Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from runner.records import Answer, Experiment, Json, Row, Trial

    Answers = Callable[[Sequence[str]], Iterable[Answer]]
    Place = tuple[str, str, int, str | None]

TRIALS_AT_A_TIME = 500
NAMED = 5
"""Rows or trials of one kind that are named; the rest are counted."""
RESULTS = "results.jsonl"
READ = ("outcome", "scores", "answers", "reasons", "reply")
"""Fields of a row that follow from the answer."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is not as it was when the run was made."""

    where: str
    """A file, a file and its line, or a package."""
    key: str
    """The setting, the field or the trial; "" where the whole of `where` is meant."""
    was: str
    now: str
    matters: bool = True
    """False for what changes no request and no reading: limits, tracking, and packages, whose effect, if they have
    one, shows in the keys and the rows."""


@dataclass(slots=True)
class Checked:
    """What became of the rows."""

    trials: int = 0
    same_keys: int = 0
    replayed: int = 0
    """Rows that the ledger's answers give again."""
    missing: int = 0
    """Rows with a reply whose answer is not in the ledger."""
    read_again: int = 0
    """Of these, scored rows whose reply, read again, gives the same scores."""
    keys: dict[Place, str] = field(default_factory=dict)
    """The plan: each trial's key by its cell, text and repetition."""
    changes: list[Change] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    """Which answers of the ledger are none any more, and what to type."""


def check_rows(folder: Path, experiment: Experiment, answers: Answers | None) -> Checked:
    """Plan the experiment again and hold each row of results.jsonl against its trial.

    `answers` gives the ledger's answers to some keys; None: no ledger is at hand. ConfigError where there are no
    results, or the experiment cannot be planned.
    """
    found, blame = Checked(), _Blame()
    path = folder / RESULTS
    starts, found.changes = _index(path)
    reader = Reader("", 0, experiment.prompts)
    trials = TrialPlan(experiment).trials()
    with path.open("rb") as file:
        while chunk := list(islice(trials, TRIALS_AT_A_TIME)):
            places = map(place_of, chunk)
            rows = [_row_at(file, starts.pop(place)) if place in starts else None for place in places]
            keys = [_held_under(trial, row) for trial, row in zip(chunk, rows, strict=True)]
            kept = {answer.key: answer for answer in answers(keys)} if answers else {}
            for trial, row, key in zip(chunk, rows, keys, strict=True):
                found.keys[place_of(trial)] = trial.key
                blame.add(trial, row)
                if row is not None and row.key == trial.key:
                    _replay(found, reader, trial, row, kept.get(key))
    found.trials, found.same_keys = len(found.keys), blame.trials - len(blame.keys) - len(blame.rows)
    found.changes += [*blame.changes(), *_few("", "a row without a trial", map(_named, starts))]
    return found


def _index(path: Path) -> tuple[dict[Place, int], list[Change]]:
    """Where each trial's line starts in results.jsonl, and the lines that cannot be read or say a trial again."""
    starts: dict[Place, int] = {}
    problems: list[Change] = []
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from error
    with file:
        start = 0
        for number, line in enumerate(file, 1):
            try:
                row = files.row_from_json(line.decode())
            except (RunnerError, UnicodeDecodeError) as error:
                problems.append(Change(f"{RESULTS}, line {number}", "", "a row", str(error)))
            else:
                place = (row.cell, row.text, row.repetition, row.question)
                if place in starts:
                    problems.append(Change(f"{RESULTS}, line {number}", _named(place), "one row", "a second one"))
                starts.setdefault(place, start)
            start += len(line)
    return starts, problems


def _held_under(trial: Trial, row: Row | None) -> str:
    """The key of the answer that a row holds: the trial's, or that of a further attempt at it."""
    return trial.key if row is None else attempt_key(trial.key, row.taken)


def _row_at(file: BinaryIO, start: int) -> Row:
    file.seek(start)
    return files.row_from_json(file.readline().decode())


def _replay(found: Checked, reader: Reader, trial: Trial, row: Row, answer: Answer | None) -> None:
    """A row against what its answer, or at least its reply, gives when it is read again."""
    if row.outcome == "failed" or (answer is None and row.problem is not None and row.problem.kind == REFUSED):
        return
    if answer is not None:
        again = reader.row(trial, answer, "ledger")
        if again.problem is not None and again.problem.kind == DAMAGED:
            found.changes.append(Change("the ledger", _named(place_of(trial)), "an answer", DAMAGED))
            found.damaged.append(again.problem.message)
            return
        differing = _differing(row, again, READ)
        found.replayed += not differing
        what = "in the ledger"
    else:
        found.missing += 1
        if row.outcome != "scored":
            return
        reading = reader.read(trial, Reply(text=row.reply, finish="stop"))
        differing = _differing(row, reading, ("scores", "answers", "reasons"))
        found.read_again += not differing
        what = "in the reply"
    for name, before, after in differing:
        key = f"{_named(place_of(trial))}: {name}"
        found.changes.append(
            Change(RESULTS, key, f"{settings.shown(after, before)} ({what})", settings.shown(before, after))
        )


def _differing(row: Row, again: Any, names: Iterable[str]) -> list[tuple[str, Json, Json]]:
    """(field, in the row, read again); of scores and reasons those of each question."""
    found: list[tuple[str, Json, Json]] = []
    for name in names:
        before, after = getattr(row, name), getattr(again, name)
        if isinstance(before, dict):
            questions = [question for question in {**before, **after} if before.get(question) != after.get(question)]
            found += [(f"{name}.{question}", before.get(question), after.get(question)) for question in questions]
        elif before != after:
            found.append((name, before, after))
    return found


@dataclass(slots=True)
class _Blame:
    """Which model, persona or text the trials have in common whose key or row is wrong."""

    every: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: Counter[tuple[str, str]] = field(default_factory=Counter)
    trials: int = 0
    keys: list[tuple[str, str, str]] = field(default_factory=list)
    """Trial, its row's key, its planned key."""
    rows: list[str] = field(default_factory=list)
    """Trials without a row."""

    def add(self, trial: Trial, row: Row | None) -> None:
        names = (
            ("model", trial.cell.model.name),
            ("persona", trial.cell.persona.name),
            ("text", trial.text.name),
        )
        self.trials += 1
        self.every.update(names)
        if row is None:
            self.rows.append(_named(place_of(trial)))
        elif row.key != trial.key:
            self.wrong.update(names)
            self.keys.append((_named(place_of(trial)), row.key, trial.key))

    def changes(self) -> Iterator[Change]:
        yield from _few("a row", "missing", self.rows)
        if not self.keys:
            return
        if len(self.keys) == self.trials:
            where = "every key: prompt, sampling, or this version's code"
        else:
            whole = [" ".join(name) for name, count in self.wrong.items() if count == self.every[name]]
            where = f"all keys of {', '.join(whole)}" if whole else "keys"
        for trial, was, now in self.keys[:NAMED]:
            yield Change(f"{RESULTS}: {where}", trial, f"{was[:12]}…", f"{now[:12]}…")
        if len(self.keys) > NAMED:
            yield Change(f"{RESULTS}: {where}", f"{len(self.keys) - NAMED} more", "other keys", "")


def _few(was: str, now: str, trials: Iterable[str]) -> Iterator[Change]:
    names = list(trials)
    yield from (Change(RESULTS, name, was, now) for name in names[:NAMED])
    if len(names) > NAMED:
        yield Change(RESULTS, f"{len(names) - NAMED} more", was, now)


def place_of(trial: Trial) -> Place:
    """What names a trial: its cell, text and repetition, and its question where that has a request of its own."""
    return trial.cell.name, trial.text.name, trial.repetition, trial.question


def _named(place: Place) -> str:
    cell, text, repetition, question = place
    return f"{cell}, {text}, {repetition}" + (f", {question}" if question else "")
