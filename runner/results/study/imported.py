"""Files of the study, and tables that this program wrote -> rows, with what could not be read."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from runner.errors import ConfigError
from runner.records import Prices, PromptTemplate
from runner.results.study import further
from runner.results.study.check import VendorCheck, by_vendor
from runner.results.study.columns import read_lines
from runner.results.study.parquet import read_rows
from runner.results.study.replies import UnreadableError, read_reply

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence
    from pathlib import Path

    from runner.records import Question, Row

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
    prompts: Mapping[tuple[int, str], PromptTemplate] = field(default_factory=dict)
    """Prompts by job and name, of those that the rows' `prompt` names; {} where they name none, as the study's own."""
    overrides: Mapping[int, Sequence[str]] = field(default_factory=dict)
    """Job -> what its command line set, where the files say it."""

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

        A model is taken at as many temperatures and settings as any of its personas reads a text at.
        """
        heats: defaultdict[tuple[str, str, str], set[object]] = defaultdict(set)
        for row in self.rows:
            own = (item for item in row.factors.items() if not item[0].startswith(("persona.", "text.")))
            heats[row.model, row.persona, row.text].add((row.job, row.sent.get("temperature"), *own))
        of_model: dict[str, int] = {}
        for (model, _, _), found in heats.items():
            of_model[model] = max(of_model.get(model, 0), len(found))
        product = sum(of_model.values())
        for axis in ("persona", "text", "repetition"):
            product *= len({getattr(row, axis) for row in self.rows})
        return product


# ---- reading ---------------------------------------------------------------------------------------------------------


def read(path: Path) -> Imported:
    """Read the study's CSV, one reply's TXT, or a folder of them, a folder a vendor (or of one vendor alone).

    Or a CSV or Parquet table that `export` wrote of any run.

    What cannot be read is in `unreadable` with its reason and takes nothing else down. ConfigError where there is
    nothing to read at all.
    """
    if path.is_file() and path.suffix.lower() == ".csv":
        return _read_table(path)
    if path.is_file() and path.suffix.lower() == ".parquet":
        return _read_parquet(path)
    if path.is_file() or path.is_dir():
        return _read_replies(path)
    raise ConfigError("there is no such file or folder", where=str(path), advice="runner import PATH")


def _read_table(path: Path) -> Imported:
    raw = path.read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    gathered = _Gathered(digest[:_ID_DIGITS])
    asked: dict[tuple[int, str], dict[str, Question]] = {}
    for number, vendor, found in read_lines(raw, str(path), asked):
        gathered.add(f"line {number}", vendor, found)
    if not gathered.rows:
        first = f": {gathered.unreadable[0].place} {gathered.unreadable[0].reason}" if gathered.unreadable else ""
        raise ConfigError(f"holds no line that can be read{first}", where=str(path))
    prompts = {
        (job, name): PromptTemplate(name or "imported", "", system="", user="", questions=tuple(questions.values()))
        for (job, name), questions in asked.items()
    }
    return replace(gathered.imported(path, digest), rows=tuple(further.typed_factors(gathered.rows)), prompts=prompts)


def _read_parquet(path: Path) -> Imported:
    raw = path.read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    found = read_rows(path)
    gathered = _Gathered(digest[:_ID_DIGITS])
    for number, row in enumerate(found.rows, 1):
        gathered.add(f"row {number}", row.vendor, row)
    return replace(gathered.imported(path, digest), prompts=found.prompts, overrides=found.overrides)


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
    seen: dict[Hashable, str] = field(default_factory=dict)
    """Trial -> where it was found."""

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
        elif (trial := _trial_of(found)) in self.seen:
            self.unreadable.append(Unreadable(place, f"is the same trial as {self.seen[trial]}", vendor))
        else:
            self.seen[trial] = place
            self.rows.append(replace(found, run=self.id))
            if pricing:
                self.prices.setdefault(found.model, _prices(pricing))

    def imported(self, path: Path, digest: str) -> Imported:
        return Imported(str(path), digest, tuple(self.rows), tuple(self.unreadable), self.prices)


def _trial_of(row: Row) -> Hashable:
    """What tells a trial apart: jobs of a sweep may share a key."""
    return row.job, row.key, row.model, row.persona, row.text, row.repetition, *row.factors.items()


def _prices(pricing: Mapping[str, float]) -> Prices:
    return Prices(
        input_usd_per_mtok=pricing.get("input"),
        output_usd_per_mtok=pricing.get("output"),
        cached_usd_per_mtok=pricing.get("cached_input"),
        source="the imported files",
    )
