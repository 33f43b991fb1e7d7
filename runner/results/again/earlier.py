"""What earlier runs had from a ledger, as their folders say, so that its loss is told before anything is bought again.

A ledger that was deleted, moved or cut looks as a new one does, and would be filled again for money. Each run's folder
knows how many answers it had from which ledger, and by which keys.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.config.database_urls import file_of
from runner.errors import LedgerError
from runner.plan.trials import attempt_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

OUTPUTS = Path("outputs")
_KEY = re.compile(rb'"key":"([0-9a-f]{64})"')
_TAKEN = re.compile(rb'"taken":(\d{1,4})[,}]')
_UNANSWERED = b'"source":null'


@dataclass(frozen=True, slots=True)
class Earlier:
    """A job's folder that had answers from the ledger."""

    folder: Path
    answers: int
    trials: int | None
    config_sha256: str | None
    day: str
    """On which it was started: YYYY-MM-DD."""


@dataclass(frozen=True, slots=True)
class LedgerDemand:
    """What is about to be asked of a ledger's account."""

    ledger: str
    """The ledger's URL without a password."""
    keys: Collection[str]
    """Those without an answer."""
    trials: Collection[int]
    """How many each job has."""
    configs: Callable[[], Collection[str]]
    """Gives the hash of each job's config, which takes a while where texts are many."""
    folders: Collection[Path] = field(default_factory=tuple)
    """Where the jobs' results go: what is there may be an earlier run's."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A ledger that does not hold what runs had from it."""

    ledger: str
    newest: Earlier
    runs: int
    answers: int
    """Of all these runs."""
    again: int
    """How many of the keys that are about to be bought have been bought before."""
    is_empty: bool

    @property
    def told(self) -> str:
        """In one line."""
        runs = f"{self.runs} runs, the newest {self.newest.folder} of" if self.runs > 1 else f"{self.newest.folder} on"
        state = "holds no answer at all" if self.is_empty else "does not hold all of them"
        had = f"{self.ledger} {state}, though {runs} {self.newest.day} had {self.answers} from it"
        return f"{had}; {self.again} requests would be bought again" if self.again else had

    def refusal(self, command: str) -> LedgerError:
        """It as an error, with what to type to go on all the same."""
        advice = f"{command} ledger.missing=buy"
        message = f"{self.told}. Nothing was sent: put a copy of the ledger back, or have them bought again"
        return LedgerError(message, advice=advice)


def loss_of(asked: LedgerDemand, *, is_empty: bool) -> Loss | None:
    """What the ledger has lost of what was paid for; None where nothing says that it has lost anything.

    An empty ledger is held against all runs that had anything from it, any other against those of the same configs.
    """
    found = sorted(_had_from(asked), key=lambda one: (one.day, one.folder), reverse=True)
    runs = found if is_empty else [one for one in found if one.trials in asked.trials]
    if runs and not is_empty:
        configs = asked.configs()
        runs = [one for one in runs if one.config_sha256 in configs]
    if not runs:
        return None
    again = {key for one in runs for key in answered_in(one.folder) if key in asked.keys}
    if not again and not is_empty:
        return None
    return Loss(asked.ledger, runs[0], len(runs), sum(one.answers for one in runs), len(again), is_empty)


def answered_in(folder: Path) -> set[str]:
    """Keys of the answers that rows hold. A file that is gone or damaged has as many as can be read."""
    try:
        file = (folder / "results.jsonl").open("rb")
    except OSError:
        return set()
    with file:
        lines = (line for line in file if _UNANSWERED not in line)
        return {_answer_of(line, found) for line in lines if (found := _KEY.search(line)) is not None}


def _answer_of(line: bytes, key: re.Match[bytes]) -> str:
    """The key of the answer that a row holds: of a trial that was asked again, that of the attempt which counts."""
    taken = _TAKEN.search(line)
    return attempt_key(key[1].decode(), 1 if taken is None else int(taken[1]))


def _had_from(asked: LedgerDemand) -> Iterator[Earlier]:
    place = _place(asked.ledger)
    for folder in _folders(asked.folders):
        run = _read(folder / "run.json")
        answers = run.get("answered", 0 if run.get("imported") else _sum(run, "scored", "unscorable"))
        if not isinstance(answers, int) or answers <= 0:
            continue
        ledger = run["ledger"] if "ledger" in run else _read(folder / "experiment.json").get("ledger_url")
        if isinstance(ledger, str) and _place(ledger) == place:
            trials, config = run.get("trials"), run.get("config_sha256")
            yield Earlier(
                folder,
                answers,
                trials if isinstance(trials, int) else None,
                config if isinstance(config, str) else None,
                str(run.get("started"))[:10],
            )


def _folders(more: Iterable[Path]) -> Sequence[Path]:
    """Every folder of a job: in outputs/, in a sweep there, and where the results go that are asked for now."""
    files = [file for depth in ("*", "*/*", "*/*/*") for file in OUTPUTS.glob(f"{depth}/run.json")]
    for folder in more:
        files += [folder / "run.json", *folder.parent.glob("*/run.json")]
    once = {file.resolve(): file.parent for file in reversed(files) if file.is_file()}  # as it is found in outputs/
    return list(once.values())


def _read(file: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing where it cannot be read: it is no reason to buy nothing."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _sum(run: dict[str, Any], *names: str) -> int:
    return sum(value for name in names if isinstance(value := run.get(name), int))


def _place(url: str) -> str:
    """A ledger's URL in one spelling: a relative path is one from here; a password is no part of it."""
    if (file := file_of(url)) is not None:
        return str(file.resolve())
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)
