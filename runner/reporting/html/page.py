"""What was gathered and computed -> one HTML page that carries its scripts, style and data.

Nothing in it is trusted: Jinja escapes every value, the data are JSON in which no character can end a script element,
scripts put text into the page as text only, and the content security policy runs the page's own scripts, known by their
hashes, and lets nothing reach a network.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.config.settings import shown
from runner.reporting import formatting
from runner.reporting.compare import settings_that_differ
from runner.reporting.html import explorer, palette
from runner.reporting.html import figures as numbers
from runner.reporting.html.answers import range_of
from runner.reporting.stats.shown.findings import pooled
from runner.results import manifest, served

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jinja2 import Environment

    from runner.records import Experiment, Json, Question
    from runner.reporting.html.figures import Figures
    from runner.reporting.html.gather import Gathered

HERE = Path(__file__).parent
SCRIPTS = ("d3-7.9.0.min.js", "plot-0.6.17.min.js", "page.js", "charts.js", "explorer.js")
"""In the order in which the page runs them."""
LISTED = 60
"""Most models, personas, texts or temperatures that are named one by one."""
UNREADABLE = 200
"""Most files of an import that are listed with the reason why they are not in it."""
STATUS = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "stopped", "SCHEDULED": "waits for batches"}
_MARKUP = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Tile:
    """One number of the first screen."""

    label: str
    value: str
    note: str = ""
    tone: str = ""
    """good, warn or bad."""


@dataclass(frozen=True, slots=True)
class AskedItems:
    """Models, personas or texts: their names, and what more there is to say of each."""

    label: str
    count: int
    names: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class FilesBeside:
    """Files beside the page that are there, with what they are."""

    label: str
    files: tuple[str, ...]
    about: str = ""


OF_RUN = (
    (("results.jsonl",), "every trial, a line each"),
    (("errors.jsonl",), "those without a score"),
    (("replies/",), "the text of each reply"),
    (("summary.csv",), "one line a cell"),
    (("run.json", "experiment.json"), "what it takes to run this again"),
)
OF_JOB = ("results.jsonl", "errors.jsonl", "replies/", "run.json", "experiment.json")
OF_SWEEP = ("sweep.json", "summary.csv", "plots/")


def page(found: Gathered, computed: Figures) -> str:
    """The whole page."""
    scripts = {name: (HERE / "static" / name).read_text(encoding="utf-8") for name in SCRIPTS}
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            policy=_policy(scripts.values()),
            licences=(HERE / "static" / "LICENSES.txt").read_text(encoding="utf-8"),
            style=(HERE / "static" / "report.css").read_text(encoding="utf-8") + palette.css(),
            scripts=scripts.values(),
            found=found,
            computed=computed,
            tiles=list(_tiles(found)),
            asked=list(_asked(found)),
            factors={f"{explorer.FACTOR}{name}": name for name in explorer.factors_in(found)},
            settings=_settings(found),
            pooled=pooled(computed.statistics).removeprefix(", "),
            labels={question.name: question.label or question.name for question in found.questions},
            sections=dict(_sections(found, computed)),
            imported=next((part.run["imported"] for part in found.parts if "imported" in part.run), None),
            charts=json_in_html(computed.charts),
            trials=json_in_html(explorer.embedded(found, _asked_questions(found))),
            status=STATUS,
            served=served.told(found.tally.served),
            simulated=manifest.is_rehearsal(str(found.launch["command"])),
            files=list(_files(found)),
            measured=any(_measured(row) for row in computed.verification),
        )
    )


def json_in_html(value: Json) -> str:
    """JSON for a script element: nothing in it can end the element or be taken for markup, and UTF-8 can hold it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _MARKUP.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _policy(scripts: Iterable[str]) -> str:
    """The content security policy. Charts bring style of their own, so style is allowed inline; it can load nothing."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = (
        formatting.count,
        formatting.money,
        formatting.moment,
        formatting.p_value,
        formatting.percent,
        formatting.plain,
        formatting.score,
    )
    environment.filters |= {each.__name__: each for each in (*shown, formatting.seconds, formatting.span)}
    environment.globals |= {
        "LISTED": LISTED,
        "MAX_MATRIX": numbers.MAX_MATRIX,
        "MAX_UNITS": numbers.MAX_UNITS,
        "MOST_DIFFERENCES": numbers.MOST_DIFFERENCES,
        "UNREADABLE": UNREADABLE,
        "lasted": formatting.lasted,
    }
    return environment


def _asked_questions(found: Gathered) -> Sequence[Question]:
    return [question for question in found.questions if question.name in found.tally.scores]


# ---- the first screen ------------------------------------------------------------------------------------------------


def _tiles(found: Gathered) -> Iterator[Tile]:
    launch, trials = found.launch, found.total
    outcomes = found.frame["outcome"].astype(str).value_counts()
    scored, unscorable, failed = (int(outcomes.get(name, 0)) for name in ("scored", "unscorable", "failed"))
    share = formatting.percent(scored / trials) if trials else formatting.NONE
    yield Tile(
        "trials", formatting.count(trials), f"in {formatting.count(len(found.parts))} jobs" if found.is_sweep else ""
    )
    yield Tile("scored", share, formatting.count(scored), "good" if trials and scored == trials else "")
    yield Tile("unscorable", formatting.count(unscorable), "replies without a score", "warn" if unscorable else "")
    waits = launch["status"] == "SCHEDULED"
    lacking = "without a reply, some in batches" if waits else "trials without a reply"
    yield Tile("failed", formatting.count(failed), lacking, ("warn" if waits else "bad") if failed else "")
    sent = launch["requests_sent"]
    bought = f"{formatting.count(sent)} {'request' if sent == 1 else 'requests'} sent"
    yield Tile("from the ledger", formatting.count(launch["from_ledger"]), bought)
    known = launch["price_usd"] is not None
    saved = launch.get("saved_usd")
    paid = "nobody paid: simulated" if manifest.is_rehearsal(launch["command"]) else "spent by this run"
    note = f"${formatting.money(saved)} saved by batches" if saved else paid if known else ""
    yield Tile("price", f"${formatting.money(launch['price_usd'])}" if known else "unknown", note)


def _asked(found: Gathered) -> Iterator[AskedItems]:
    """What the experiments name, in their order, each once."""
    said = {
        "models": {model.name: f"{model.id} · {model.provider}" for one in found.experiments for model in one.models},
        "personas": {each.name: _description(each.description) for one in found.experiments for each in one.personas},
        "texts": {each.name: _title(each.title, each.author) for one in found.experiments for each in one.texts},
        "questions": {each.label or each.name: f"{each.wording} ({range_of(each)})" for each in found.questions},
        "temperature": {each or "none": "" for each in _temperatures(found)},
        "repetitions": {str(number): "" for number in dict.fromkeys(_repetitions(found.experiments))},
    }
    for label, names in said.items():
        yield AskedItems(label, len(names), tuple(names.items())[:LISTED])


def _settings(found: Gathered) -> list[tuple[str, tuple[str, ...]]]:
    """What differs between a sweep's jobs, by value: each setting with its value in each."""
    if not found.is_sweep or not 1 < len(found.experiments) == len(found.parts) <= LISTED:
        return []
    differ = list(settings_that_differ(found.experiments))[:LISTED]
    return [
        (each.key, tuple(shown(value, each.values[0 if at else 1]) for at, value in enumerate(each.values)))
        for each in differ
    ]


def _description(description: Mapping[str, str]) -> str:
    return next(iter(description.values()), "")


def _title(title: str, author: str) -> str:
    return f"{title}, {author}" if title and author else title or author


def _temperatures(found: Gathered) -> list[str]:
    sent = dict.fromkeys(found.frame["temperature"].astype(str))
    return sorted(sent, key=lambda value: float(value or "inf"))


def _repetitions(experiments: Sequence[Experiment]) -> Iterator[int]:
    for one in experiments:
        yield one.sampling.trials


def _files(found: Gathered) -> Iterator[FilesBeside]:
    """Links to what is there: a report may be made of a folder that lost some of it, or never had it."""
    if not found.is_sweep:
        groups = (FilesBeside("", _there(found.folder, found.folder, names), about) for names, about in OF_RUN)
        yield from (group for group in groups if group.files)
        return
    yield FilesBeside("", _there(found.folder, found.folder, OF_SWEEP))
    for part in found.parts[:LISTED]:
        if part.folder.is_relative_to(found.folder):
            yield FilesBeside(f"job {part.run['job']}", _there(found.folder, part.folder, OF_JOB))


def _there(beside: Path, folder: Path, names: Iterable[str]) -> tuple[str, ...]:
    at = folder.relative_to(beside)
    return tuple((at / name).as_posix() + "/" * name.endswith("/") for name in names if (folder / name).exists())


def _measured(row: Mapping[str, Any]) -> bool:
    """Whether a model's seconds, tokens or price are known."""
    return any(isfinite(row[name]) for name in ("latency_mean_s", "tokens_input", "tokens_output", "price_usd"))


def _sections(found: Gathered, computed: Figures) -> Iterator[tuple[str, str]]:
    """Anchor -> heading, of the parts that this page has."""
    yield "overview", "Overview"
    if found.is_sweep:
        yield "jobs", "Jobs"
    if any(computed.charts["counts"]):
        yield "findings", "Findings"
        yield "scores", "Scores"
        if any(name != "temperature" for name in computed.statistics.factors):
            yield "factors", "Factors"
        yield "distributions", "Distributions"
    if computed.answers:
        yield "answers", "Answers"
    if any(computed.charts["counts"]):
        yield "personas", "Personas"
        yield "noise", "Noise"
        yield "agreement", "Agreement"
    if found.total:
        yield "cost", "Price and speed"
    yield "trouble", "Failures"
    if found.total:
        yield "trials", "Trials"
    yield "files", "Files"
