"""The words after `runner ledger ACTION` -> the ledger, and the answers that are meant."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.arguments import PLACE
from runner.cli.verbs import options
from runner.cli.verbs.batches import LEDGER
from runner.errors import ConfigError, RunnerError, nearest
from runner.ledger.upkeep.kinds import KINDS, Judge
from runner.ledger.upkeep.selection import Selection
from runner.plan.trials import attempt_key
from runner.results import manifest, saved

if TYPE_CHECKING:
    import argparse

    from runner.records import Model, Row

_KEY = re.compile(r"[0-9a-f]{6,64}|row:-?\d+")
_SHORT_KEY = re.compile(r"[0-9a-fA-F]{1,5}|[0-9A-Fa-f]{6,64}")
_KEYS = (
    "a key is 64 of the digits 0 to 9 and a to f, its first six or more name it (a damaged row is row:NUMBER); keys "
    "stand in a run's results.jsonl, and those of the ledger are listed"
)
_WITH_A_FILE = ("merge", "export")
"""Actions whose first word is a file."""


@dataclass(slots=True)
class OfRuns:
    """What the rows of the named runs say of answers."""

    keys: set[str] = field(default_factory=set)
    kinds: dict[str, str] = field(default_factory=dict)
    usd: dict[str, float | None] = field(default_factory=dict)
    earlier: int = 0
    """Rows whose answer an earlier run had bought."""

    def add(self, row: Row) -> None:
        """Take up a row."""
        self.keys.update(attempt_key(row.key, number) for number in range(1, row.asked + 1))
        if row.price_usd is not None and row.asked == 1:
            self.usd[row.key] = row.price_usd
        if row.problem is not None:  # of a trial that failed too: its row in the ledger may be damaged
            self.kinds[attempt_key(row.key, row.taken)] = row.problem.kind
        self.earlier += row.source == "ledger"


@dataclass(frozen=True)
class Chosen:
    """A command of the verb, read."""

    url: str
    meant: Selection
    words: argparse.Namespace
    conf: Path
    file: str | None = None
    """The file or ledger that the action takes beside answers."""
    runs: OfRuns | None = None

    @cached_property
    def judge(self) -> Judge:
        """Tells kinds, and prices by the models' files."""
        return Judge(models=partial(_models, self.conf))

    def command(self, *further: str) -> str:
        """The same command with further words."""
        return shlex.join(["runner", "ledger", *self.words.typed, *further])

    def elsewhere(self) -> str:
        """The option that names this ledger, where it is not the usual one."""
        return "" if self.url == LEDGER else f" --ledger {shlex.quote(self.url)}"


def chosen(words: argparse.Namespace, conf: Path) -> Chosen:
    """Tell runs from keys and from files, and check what was typed. ConfigError says what is wrong with it."""
    names = [*words.names]
    file = _file(words, names)
    keys = tuple(name for name in names if _KEY.fullmatch(name))
    _check_names(words, names, keys)
    folders = [options.folder_of(name, words, conf) for name in names if name not in keys]
    _check_kinds(words, has_run=bool(folders))
    runs = _rows_of(folders) if folders else None
    url = words.ledger or (manifest.ledger_of(folders[0]) if folders else LEDGER)
    meant = Selection(
        keys=keys,
        of=None if runs is None else runs.keys,
        models=_ids(words.model, conf),
        kinds=frozenset(words.kind),
        run_kinds={} if runs is None else runs.kinds,
        older_than_s=words.older_than if words.action != "prune" else None,
        newer_than_s=words.newer_than if words.action != "prune" else None,
    )
    return Chosen(url, meant, words, conf, file, runs)


def _check_names(words: argparse.Namespace, names: list[str], keys: tuple[str, ...]) -> None:
    """ConfigError where a name is to be a key and cannot be one: such a name is looked for as a run's otherwise."""
    wrong = [name for name in names if name not in keys]
    is_short = any(_SHORT_KEY.fullmatch(name) and not Path(name).exists() for name in wrong)
    if words.action != "show" and not is_short:
        return
    elsewhere = f" --ledger {shlex.quote(words.ledger)}" if words.ledger else ""
    if wrong:
        message = f"'{wrong[0]}' is no key: {_KEYS}"
        raise ConfigError(message, where=PLACE, advice=f"runner ledger list{elsewhere}")
    if len(keys) != 1:
        message = f"show takes one KEY, or its beginning: {_KEYS}"
        raise ConfigError(message, where=PLACE, advice=f"runner ledger list{elsewhere}")


def _file(words: argparse.Namespace, names: list[str]) -> str | None:
    if words.action not in _WITH_A_FILE:
        return None
    if not names:
        raise ConfigError(f"{words.action} needs a file", where=PLACE, advice="runner ledger --help")
    return names.pop(0)


def _check_kinds(words: argparse.Namespace, *, has_run: bool) -> None:
    from runner.cli.verbs.ledger import RUNS_KINDS

    for kind in words.kind:
        if kind not in (*KINDS, *RUNS_KINDS):
            message = f"no kind is named '{kind}'; {nearest(kind, (*KINDS, *RUNS_KINDS))}"
            raise ConfigError(message, where=PLACE, key="--kind", advice="runner ledger --help")
        if kind not in KINDS and not has_run:
            message = f"'{kind}' is told by a run's questions: name the RUN"
            advice = shlex.join(["runner", "ledger", *words.typed, "latest"])
            raise ConfigError(message, where=PLACE, key="--kind", advice=advice)


def _rows_of(folders: list[Path]) -> OfRuns:
    found = OfRuns()
    for folder in folders:
        for job in manifest.result_folders(folder):
            for row in saved.rows_in(job):
                found.add(row)
    return found


def _ids(names: list[str], conf: Path) -> tuple[str, ...]:
    """Ids of models, and of models in conf that are named by their files."""
    if not names:
        return ()
    ids = {model.name: model.id for model in _models(conf).values()}
    return tuple(dict.fromkeys([*names, *(ids[name] for name in names if name in ids)]))


@cache
def _models(conf: Path) -> dict[tuple[str, str], Model]:
    """The models of conf by provider and id; none where a file of the user's is wrong, which is no matter here."""
    from runner.cli.verbs.models import gather

    try:
        found = [one.model for one in gather(conf, None, (), ()) if one.model is not None]
    except RunnerError:
        return {}
    return {(model.provider, model.id): model for model in found}
