"""Files of the study -> rows, with what could not be read, and the run that they become."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runner.config.settings import identity_of
from runner.errors import ConfigError
from runner.records import (
    READING_VERSION,
    RECORD_VERSION,
    Batch,
    Experiment,
    Model,
    Persona,
    Prices,
    Sampling,
    Text,
    Tracking,
)
from runner.results import files, manifest, summary
from runner.results.study.check import VendorCheck, by_vendor
from runner.results.study.columns import read_lines
from runner.results.study.form import PERSONAS, PROMPT
from runner.results.study.replies import UnreadableError, read_reply
from runner.results.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from runner.records import Row

_ID_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One file, or one line of a table, that became no row."""

    place: str
    """The file's path below what was imported; for a table, `line N`."""
    reason: str
    vendor: str | None = None
    """Whose reply it was meant to be; None for what is no TXT, and where a table's line does not say."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import found. The same bytes give the same rows under the same id, wherever they lie."""

    source: str
    """The path that was read, as it was given."""
    digest: str
    """SHA-256 over the content: of a table its bytes, of replies their vendors, paths and bytes."""
    rows: tuple[Row, ...]
    unreadable: tuple[Unreadable, ...]
    prices: Mapping[str, Prices] = field(default_factory=dict)
    """Model -> prices, where the files give any."""

    @property
    def id(self) -> str:
        """Names the run."""
        return self.digest[:_ID_DIGITS]

    @property
    def checked(self) -> list[VendorCheck]:
        """The study's own check, a line a vendor."""
        return by_vendor(self.rows, (each.vendor for each in self.unreadable if each.vendor is not None))

    @property
    def expected(self) -> int:
        """Trials of a complete design: every model, persona and text that occurs, as often as the most repeated.

        A model is taken at as many temperatures as any of its personas reads a text at.
        """
        heats: defaultdict[tuple[str, str, str], set[object]] = defaultdict(set)
        for row in self.rows:
            heats[row.model, row.persona, row.text].add(row.sent.get("temperature"))
        of_model: dict[str, int] = {}
        for (model, _, _), found in heats.items():
            of_model[model] = max(of_model.get(model, 0), len(found))
        product = sum(of_model.values())
        for axis in ("persona", "text", "repetition"):
            product *= len({getattr(row, axis) for row in self.rows})
        return product


@dataclass(frozen=True, slots=True)
class Written:
    """Where an import lies, and whether it was there before."""

    folder: Path
    new: bool


# ---- reading ---------------------------------------------------------------------------------------------------------


def read(path: Path) -> Imported:
    """Read the study's CSV, one reply's TXT, or a folder of them, a folder a vendor (or of one vendor alone).

    What cannot be read is in `unreadable` with its reason and takes nothing else down. ConfigError where there is
    nothing to read at all.
    """
    if path.is_file() and path.suffix.lower() == ".csv":
        return _read_table(path)
    if path.is_file() or path.is_dir():
        return _read_replies(path)
    raise ConfigError("there is no such file or folder", where=str(path), advice="runner import PATH")


def _read_table(path: Path) -> Imported:
    raw = path.read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    gathered = _Gathered(digest[:_ID_DIGITS])
    for number, vendor, found in read_lines(raw, str(path)):
        gathered.add(f"line {number}", vendor, found)
    if not gathered.rows:
        first = f": {gathered.unreadable[0].place} {gathered.unreadable[0].reason}" if gathered.unreadable else ""
        raise ConfigError(f"holds no line that can be read{first}", where=str(path))
    return gathered.imported(path, digest)


def _read_replies(path: Path) -> Imported:
    whole = hashlib.sha256()
    found: list[tuple[str, str | None, Row | UnreadableError, Mapping[str, float]]] = []
    for file, place in _files(path):
        vendor = file.resolve().parent.name
        raw, row, pricing = _row_or_why(file, vendor)
        whole.update(json.dumps([vendor, place, hashlib.sha256(raw).hexdigest()]).encode())
        found.append((place, vendor if file.suffix.lower() == ".txt" else None, row, pricing))
    if all(isinstance(row, UnreadableError) for _, _, row, _ in found):
        reason = f"; {found[0][0]} {found[0][2]}" if found else ""
        raise ConfigError(
            f"holds no reply's TXT that can be read{reason}", where=str(path), advice="runner import FILE.csv"
        )
    gathered = _Gathered(whole.hexdigest()[:_ID_DIGITS])
    for each in found:
        gathered.add(*each)
    return gathered.imported(path, whole.hexdigest())


def _files(path: Path) -> Iterator[tuple[Path, str]]:
    """Every file with its path from what is imported; hidden ones are none of ours."""
    if path.is_file():
        yield path, path.name
        return
    below = sorted((file.relative_to(path).as_posix(), file) for file in path.rglob("*") if file.is_file())
    yield from ((file, place) for place, file in below if not any(part.startswith(".") for part in place.split("/")))


def _row_or_why(file: Path, vendor: str) -> tuple[bytes, Row | UnreadableError, Mapping[str, float]]:
    """A file's bytes, what they hold, and the prices in it."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        return b"", UnreadableError(f"cannot be read: {error.strerror}"), {}
    if file.suffix.lower() != ".txt":
        packed = file.suffix.lower() == ".tar"
        return raw, UnreadableError("is an archive: unpack it with tar -xf" if packed else "is no reply's TXT"), {}
    try:
        return raw, *read_reply(raw, file.stem, vendor)
    except UnreadableError as error:
        return raw, error, {}


@dataclass(slots=True)
class _Gathered:
    """Rows so far: each trial once."""

    id: str
    rows: list[Row] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    prices: dict[str, Prices] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)
    """Key of a trial -> where it was found."""

    def add(
        self,
        place: str,
        vendor: str | None,
        found: Row | UnreadableError,
        pricing: Mapping[str, float] | None = None,
    ) -> None:
        """Take a file or line in, or list it with the reason why not."""
        if isinstance(found, UnreadableError):
            self.unreadable.append(Unreadable(place, str(found), vendor))
        elif found.key in self.seen:
            self.unreadable.append(Unreadable(place, f"is the same trial as {self.seen[found.key]}", vendor))
        else:
            self.seen[found.key] = place
            self.rows.append(replace(found, run=self.id))
            if pricing:
                self.prices.setdefault(found.model, _prices(pricing))

    def imported(self, path: Path, digest: str) -> Imported:
        return Imported(str(path), digest, tuple(self.rows), tuple(self.unreadable), self.prices)


def _prices(pricing: Mapping[str, float]) -> Prices:
    return Prices(
        input_usd_per_mtok=pricing.get("input"),
        output_usd_per_mtok=pricing.get("output"),
        cached_usd_per_mtok=pricing.get("cached_input"),
        source="the imported files",
    )


# ---- writing ---------------------------------------------------------------------------------------------------------


def write_run(imported: Imported, parent: Path) -> Written:
    """Write the run's folder, `parent`/ID, like any other run's; what is there already is left as it is."""
    folder = parent / imported.id
    if (folder / "run.json").is_file():
        return Written(folder, new=False)
    started = datetime.now(UTC)
    counted = Tally()
    with files.RunFolder(folder, PROMPT, imported.prices) as written:
        for row in imported.rows:
            written.add(row)
            counted.add(row)
    experiment = _experiment(imported)
    planned = len(experiment.texts) * experiment.sampling.trials
    summary.write_summary(summary.summary(counted, planned), folder / "summary.csv")
    manifest.dump(folder / "experiment.json", asdict(experiment))
    # Last: a folder with run.json is complete.
    manifest.dump(folder / "run.json", _run(imported, experiment, started))
    return Written(folder, new=True)


def _run(imported: Imported, experiment: Experiment, started: datetime) -> dict[str, object]:
    """The keys of every run.json, and `imported`: where the rows are from, and what became none."""
    outcomes = Counter(row.outcome for row in imported.rows)
    return {
        "version": RECORD_VERSION,
        "reading_version": READING_VERSION,
        "run": imported.id,
        "command": shlex.join(["runner", "import", imported.source]),
        "git": {"commit": None, "dirty": None},
        "lock_sha256": None,
        "python": None,
        "packages": {},
        "requests_sent": 0,
        "dispatch_requests_per_s": None,
        "started": started.isoformat(timespec="milliseconds"),
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "job": 0,
        "name": experiment.name,
        "status": "FINISHED",
        "error": None,
        "overrides": [],
        "config_sha256": identity_of(experiment),
        "trials": len(imported.rows),
        **{outcome: outcomes[outcome] for outcome in ("scored", "unscorable", "failed")},
        "from_ledger": 0,
        "collapsed": 0,
        "price_usd": None,
        "imported": {
            "source": imported.source,
            "sha256": imported.digest,
            "expected": imported.expected,
            "check": [asdict(line) for line in imported.checked],
            "unreadable": [{"place": each.place, "reason": each.reason} for each in imported.unreadable],
        },
        "mlflow": None,
    }


def _experiment(imported: Imported) -> Experiment:
    """The design as far as the rows show it: prompts and texts themselves are not in the study's files."""
    models = {row.model: row for row in imported.rows}
    texts = dict.fromkeys(row.text for row in imported.rows)
    return Experiment(
        name="study",
        models=tuple(
            Model(name, row.model_id, row.provider, row.vendor, prices=imported.prices.get(name, Prices()))
            for name, row in models.items()
        ),
        personas=tuple(
            Persona(name, {"ja": PERSONAS[name]} if name in PERSONAS else {})
            for name in dict.fromkeys(row.persona for row in imported.rows)
        ),
        texts=tuple(Text(name, content="", origin=imported.source) for name in texts),
        prompt=PROMPT,
        sampling=Sampling(trials=max((row.repetition for row in imported.rows), default=1)),
        batch=Batch(),
        tracking=Tracking(),
        ledger_url="",
    )
