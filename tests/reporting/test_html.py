"""The report as a file: what it says, what it must not let through, and what it may weigh."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from dataclasses import asdict, dataclass, replace
from html.parser import HTMLParser
from math import nan
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import pytest
import report_runs as runs

from runner.errors import ConfigError, RunnerError
from runner.records import Batch, Persona, PromptTemplate, Question, Text, Tracking
from runner.reporting import formatting, html
from runner.reporting.find_run import find
from runner.reporting.html import palette
from runner.reporting.html.gather import MAX_TRIALS
from runner.reporting.html.page import SCRIPTS, json_in_html
from runner.reporting.stats import Interval, Number, Undefined
from runner.results import manifest
from runner.results.files import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.records import Row, Trial

HOSTILE = (
    "<script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 1">',
    "</script><script>window.hacked = 1</script>",
    "<!--<script>",
    "]]>&lt;b&gt;{{ 7 * 7 }}{% raw %}",
    "javascript:window.hacked = 1",
    "' onmouseover='window.hacked = 1",
    "\u2028\u2029\u202e\x0b",
)
SAID = "".join(HOSTILE) + "\x00\ud800"
"""Half a surrogate pair can be in a reply; in a name no table would take it."""


class Page(HTMLParser):
    """A page as a browser's parser sees it: elements with their attributes, scripts with their content."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.words: list[str] = []
        self.inside = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.inside = tag
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        """What follows is in no script or style any more."""
        if tag == self.inside:
            self.inside = ""

    def handle_data(self, data: str) -> None:
        """Note text, that of scripts apart."""
        if self.inside == "script":
            attributes, before = self.scripts[-1]
            self.scripts[-1] = (attributes, before + data)
        elif self.inside != "style":
            self.words.append(data)

    def data(self, name: str) -> Any:
        """What the page's JSON of that id holds."""
        return next(json.loads(content) for attributes, content in self.scripts if attributes.get("id") == name)

    @property
    def trials(self) -> list[dict[str, Any]]:
        """The embedded trials, with their codes resolved."""
        held = self.data("trials-data")
        trials = []
        for place, row in enumerate(held["rows"]):
            trial = dict(zip(held["fields"], row, strict=True))
            trial |= {name: values[trial[name]] for name, values in held["values"].items()}
            trial["prompt"] = [(role, held["strings"][at]) for role, at in json.loads(trial["prompt"])]
            trials.append({**trial, **{name: held[name][place] for name in ("scores", "reasons", "replies")}})
        return trials


def made(folder: Path) -> Page:
    return Page(html.write(folder))


def rows_of(folder: Path) -> list[Row]:
    return list(read_rows(folder / "results.jsonl"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    asked = runs.experiment(trials=3)
    return runs.write_run(tmp_path_factory.mktemp("report") / "run", asked, runs.mostly_scored)


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return made(folder)


# ---- what it says ----------------------------------------------------------------------------------------------------


def test_it_says_what_was_asked(page: Page) -> None:
    """Command, models, personas, texts, questions, temperatures and time of the run are on the page."""
    asked = runs.experiment()
    names = [each.name for group in (asked.models, asked.personas, asked.texts) for each in group]
    for word in (
        *names,
        *(question.wording for question in runs.QUESTIONS),
        "2026-11-23 10:15 UTC",
        "sampling.trials=5",
    ):
        assert word in page.text


def test_the_heat_map_holds_the_means(folder: Path, page: Page) -> None:
    """Every model, persona and question has its mean, each text alike, and sd, computed here from the rows."""
    tips = [attributes["data-tip"] or "" for _, attributes in page.elements if "data-tip" in attributes]
    rows = rows_of(folder)
    for model in runs.MODELS:
        for persona in runs.PERSONAS:
            for question in runs.QUESTIONS:
                by_text: dict[str, list[float]] = {}
                for row in rows:
                    score = row.scores[question.name]
                    if (row.model, row.persona) == (model.name, persona.name) and score is not None:
                        by_text.setdefault(row.text, []).append(score)
                scores = [score for text in by_text.values() for score in text]
                mean, sd = f"mean {fmean(map(fmean, by_text.values())):.1f} ", f"sd {stdev(scores):.1f} "
                n = f"{len(scores)} of 9 trials scored"
                assert any(tip.startswith(mean) and sd in tip and tip.endswith(n) for tip in tips)


def test_the_verification_table_counts(folder: Path, page: Page) -> None:
    """Replies, trials and scored trials of each model are in the verification table."""
    for model in runs.MODELS:
        rows = [row for row in rows_of(folder) if row.model == model.name]
        replies = sum(row.outcome != "failed" for row in rows)
        scored = sum(row.outcome == "scored" for row in rows)
        assert f"{model.name} {model.vendor} {replies} /{len(rows)} {scored} 100%" in page.text


def test_a_failure_has_its_reason(folder: Path, page: Page) -> None:
    """Each kind of failure is counted by model, with its message."""
    failed = [row for row in rows_of(folder) if row.outcome == "failed"]
    assert failed
    for model in {row.model for row in failed}:
        count = sum(row.model == model for row in failed)
        assert f"{model} failed rate_limited {count} 429 Too Many Requests" in page.text


def test_an_adaptation_has_its_reason(page: Page) -> None:
    """What a model was not sent is listed with what had been asked for and why."""
    assert "o1-mini temperature 0.7, 0.4, 0.9, 0.1 the model takes no temperature: not sent 36" in page.text
    assert "claude-haiku-4-5 structure schema no JSON schema for replies: a forced tool carries it 36" in page.text


def test_the_explorer_holds_every_trial(folder: Path, page: Page) -> None:
    """Scores, reasons, reply, outcome and metadata of every row are in the page as they are in results.jsonl."""
    rows = rows_of(folder)
    assert len(page.trials) == len(rows) == 180
    for trial, row in zip(page.trials, rows, strict=True):
        for name in ("key", "model", "persona", "text", "repetition", "outcome", "time", "attempts", "rung"):
            assert trial[name] == getattr(row, name)
        assert trial["scores"] == list(row.scores.values())
        assert trial["reasons"] == list(row.reasons.values())
        assert trial["replies"] == row.reply
        assert (trial["input"], trial["output"]) == (row.tokens.input, row.tokens.output)


def test_prompts_are_those_that_the_model_read(page: Page) -> None:
    """A prompt is shown as the model took it: with a system role, or merged where it has none; each string once."""
    by_model = {(trial["model"], trial["persona"], trial["text"]): trial["prompt"] for trial in page.trials}
    system, user = by_model["gpt-4o-mini", "poet", "rain"]
    assert system == ("system", "You are an emotional poet.\nStay in this role.")
    assert user[0] == "user"
    assert user[1].startswith("It rained on the empty fairground.")
    ((role, merged),) = by_model["o1-mini", "poet", "rain"]
    assert (role, merged) == ("user", f"{system[1]}\n\n{user[1]}")
    strings = page.data("trials-data")["strings"]
    assert len(strings) == len(set(strings)) == 4 + 3 + 12


def test_the_same_folder_gives_the_same_page(folder: Path, page: Page) -> None:
    """A report made again is the same to the byte, and leaves nothing beside it."""
    assert html.write(folder).read_text(encoding="utf-8") == page.source
    assert not list(folder.glob("*.part"))


# ---- what it must not let through ------------------------------------------------------------------------------------


def hostile(folder: Path) -> Path:
    """A run in which whatever a model or a user can name or say tries to become part of the page."""
    models = [replace(runs.model(word), vendor=word) for word in HOSTILE[:3]]
    personas = [Persona(word, {"en": word}) for word in HOSTILE]
    texts = [Text(word, word, word, word) for word in HOSTILE[:2]]
    questions = tuple(
        replace(question, label=word, wording=word) for question, word in zip(runs.QUESTIONS, HOSTILE, strict=False)
    )
    asked = replace(runs.experiment(models, personas, texts), name=HOSTILE[0])
    asked = replace(asked, prompt=replace(asked.prompt, questions=questions))

    def answer(trial: Trial) -> Row:
        if trial.text.name == HOSTILE[1]:
            return runs.without_score(trial, "unscorable", HOSTILE[1], SAID, SAID)
        return runs.row(trial, reply=SAID, reasons={question.name: SAID for question in questions}, model_version=SAID)

    return runs.write_run(folder, asked, answer, command=f"runner {HOSTILE[2]}", error=None)


def test_a_rehearsal_is_said_to_be_one(tmp_path: Path) -> None:
    """What simulated providers made up is no data, and cost nobody anything; a real run's page does not say so."""
    asked = runs.experiment(runs.MODELS[:1], runs.PERSONAS[:1], runs.TEXTS[:1], trials=1)
    for command in ("runner rehearse model=gpt-4o-mini", "runner model=gpt-4o-mini"):
        page = made(runs.write_run(tmp_path / command.split()[1], asked, command=command))
        simulated = "rehearse" in command
        assert ("SIMULATED" in page.text) == ("nobody paid: simulated" in page.text) == simulated
        assert ("spent by this run" in page.text) == (not simulated)


def test_nothing_that_was_said_becomes_markup(tmp_path: Path) -> None:
    """Script, images and handlers in names, texts, replies and reasons stay text; the page's own scripts are all."""
    found = made(hostile(tmp_path))
    tags = [tag for tag, _ in found.elements]
    assert not {"img", "iframe", "object", "embed", "base", "b:"} & set(tags)
    assert tags.count("script") == len(SCRIPTS) + 2
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
    for trial in found.trials:
        assert trial["replies"] == SAID
        assert trial["model"] in HOSTILE
        assert trial["persona"] in HOSTILE
    assert "{{ 7 * 7 }}{% raw %}" in found.text


def test_json_cannot_end_its_element() -> None:
    """JSON for a script element has no <, >, & or line separator, fits UTF-8, and reads back as it was."""
    value = {word: [SAID] for word in HOSTILE}
    text = json_in_html(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text.encode().decode()) == value


def test_the_policy_allows_the_page_s_own_scripts_only(page: Page) -> None:
    """The policy forbids every source but the hashes of the scripts that are there, and comes before all of them."""
    (policy,) = [attributes["content"] or "" for _, attributes in page.elements if "http-equiv" in attributes]
    own = [content for attributes, content in page.scripts if "type" not in attributes]
    hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in own}
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert parts["default-src"] == "'none'"
    assert set(parts["script-src"].split()) == hashes
    assert len(own) == len(SCRIPTS)
    assert {"connect-src", "img-src"} & parts.keys() == {"img-src"}
    assert page.source.index("Content-Security-Policy") < page.source.index("<style>")


def test_nothing_is_loaded_from_elsewhere(page: Page) -> None:
    """No element has a source, and every link is to a part of the page or a file beside it."""
    assert not [attributes for _, attributes in page.elements if "src" in attributes]
    links = {attributes["href"] or "" for _, attributes in page.elements if "href" in attributes}
    assert all(re.fullmatch(r"#[\w-]+|data:,|[\w./-]+", link) for link in links)


@dataclass(frozen=True, slots=True)
class Library:
    """A vendored file, and the SHA-256 of what its authors publish."""

    name: str
    sha256: str


@pytest.mark.parametrize(
    "case",
    [
        Library("d3-7.9.0.min.js", "f2094bbf6141b359722c4fe454eb6c4b0f0e42cc10cc7af921fc158fceb86539"),
        Library("plot-0.6.17.min.js", "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb"),
    ],
    ids=lambda case: case.name,
)
def test_libraries_are_as_published(case: Library, page: Page) -> None:
    """The libraries are byte for byte those of their releases, and their licence goes with them into the page."""
    from importlib.resources import files

    content = files("runner.reporting.html").joinpath("static", case.name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == case.sha256
    assert "Permission to use, copy, modify, and/or distribute this software" in page.source


# ---- what it may weigh -----------------------------------------------------------------------------------------------


def test_a_small_run_is_a_small_page(tmp_path: Path) -> None:
    """Twelve trials make a page of less than a megabyte."""
    path = html.write(runs.write_run(tmp_path, runs.experiment(runs.MODELS[:1])))
    assert path.stat().st_size < 700_000


def test_a_large_run_is_sampled(tmp_path: Path) -> None:
    """Above 10,000 trials the page holds that many, says so, links the files, and still counts all in its tables."""
    found = made(runs.write_large_run(tmp_path / "run", MAX_TRIALS + 1))
    total = 10_020
    assert f"This page holds {MAX_TRIALS:,} trials of {total:,}" in found.text
    assert len(found.data("trials-data")["rows"]) == MAX_TRIALS
    assert {trial[0] for trial in found.data("charts-data")["means"][0]} == set(range(5))
    assert "167" in found.text
    assert f"trials {total:,}" in found.text
    assert any(attributes.get("href") == "results.jsonl" for _, attributes in found.elements)
    assert len(found.source) < 15_000_000


def test_long_replies_are_cut(tmp_path: Path) -> None:
    """A reply longer than a reader would scroll through is cut in the page, and the page says by how much."""
    asked = runs.experiment(runs.MODELS[:1], runs.PERSONAS[:1], runs.TEXTS[:1])
    found = made(runs.write_run(tmp_path, asked, lambda trial: runs.row(trial, reply="x" * 50_000)))
    assert found.trials[0]["replies"] == "x" * 20_000 + " … (30,000 more characters are in the files)"


# ---- other runs ------------------------------------------------------------------------------------------------------


def test_a_sweep_shows_its_jobs(tmp_path: Path) -> None:
    """A sweep's page has each job with its value of the axis, its means, and links into its folder."""
    jobs = {value: runs.experiment(runs.MODELS[:2], temperature=float(value)) for value in ("0.1", "0.9")}
    folder = runs.write_sweep(tmp_path, jobs)
    found = made(folder)
    assert "job sampling.temperature status" in found.text
    links = {attributes.get("href") for _, attributes in found.elements}
    for number, value in enumerate(jobs):
        scores = [row.scores["sadness"] or 0.0 for row in rows_of(folder / str(number))]
        assert f"{number} {value} finished 24/24 0 0" in found.text
        assert f" {fmean(scores):.1f} " in found.text
        assert f"{number}/results.jsonl" in links
    assert len(found.trials) == 48
    assert "Paired differences between temperatures" in found.text


def test_a_sweep_over_prompts_shows_each(tmp_path: Path) -> None:
    """Every prompt stands on the page whole, and a question that two of them ask as the first asks it.

    Both wordings stand once more among the settings that differ, by value.
    """
    one = runs.experiment(runs.MODELS[:1])
    asked = replace(one.prompt.questions[0], wording="asked otherwise")
    other = replace(one, prompt=replace(one.prompt, name="other", user="Another way.", questions=(asked,)))
    found = made(runs.write_sweep(tmp_path, {"affect": one, "other": other}, axis="prompt"))
    for name in (one.prompt.name, "other"):
        assert f"The prompt “{name}” and its questions in full" in found.text
    assert "Another way." in found.text
    assert found.text.count(one.prompt.questions[0].wording) > found.text.count("asked otherwise") == 2


def test_a_sweep_shows_the_job_that_failed(tmp_path: Path) -> None:
    """A job whose config could not be read stands among the others with its error."""
    folder = runs.write_sweep(
        tmp_path, {"0.1": runs.experiment(runs.MODELS[:1]), "x": runs.experiment(runs.MODELS[:1])}
    )
    broken = manifest.load(folder / "1", "run.json")
    nothing = dict.fromkeys(("trials", "scored"), 0)
    manifest.dump(
        folder / "1" / "run.json", {**broken, **nothing, "name": None, "status": "FAILED", "error": "no <such> model"}
    )
    for name in ("results.jsonl", "experiment.json"):
        (folder / "1" / name).unlink()
    found = made(folder)
    assert "1 x failed: no <such> model 0/0" in found.text
    assert len(found.trials) == 12


def all_failed(trial: Trial) -> Row:
    return runs.without_score(trial, "failed", "no_connection", "connection refused")


def one_scale(trial: Trial) -> Row:
    return runs.row(trial, scores={"closeness": 0.25 * (trial.repetition % 4)}, reasons={"closeness": None})


@dataclass(frozen=True, slots=True)
class Case:
    """An unusual run, and what its page says and does not say."""

    name: str
    answer: Callable[[Trial], Row]
    said: tuple[str, ...]
    not_said: tuple[str, ...] = ()
    prompt: PromptTemplate = runs.PROMPT
    models: int = 1
    trials: int = 1


UNUSUAL = (
    Case("nothing answered", all_failed, ("connection refused", "0%", "12 trials without a reply"), ("Distributions",)),
    Case(
        "one scale from 0 to 1",
        one_scale,
        ("closeness", "0.38", "(0 to 1)"),
        ("sadness",),
        PromptTemplate("near", "en", "", "{{ text.content }}", (Question("closeness", "", "how near", 0, 1),)),
        trials=4,
    ),
    Case(
        "the same score always",
        lambda trial: runs.row(trial, scores=dict.fromkeys((each.name for each in runs.QUESTIONS), 50.0)),
        ("all scores are the same", "Every trial has a reply"),
        models=2,
        trials=2,
    ),
)


@pytest.mark.parametrize("case", UNUSUAL, ids=lambda case: case.name)
def test_an_unusual_run_has_a_page(case: Case, tmp_path: Path) -> None:
    """A run with nothing to draw, or with another scale, is told as it is."""
    asked = replace(runs.experiment(runs.MODELS[: case.models], trials=case.trials), prompt=case.prompt, batch=Batch())
    found = made(runs.write_run(tmp_path, asked, case.answer))
    assert [word for word in case.said if word not in found.text] == []
    assert [word for word in case.not_said if word in found.text] == []


VENDOR = ("vendor", "files", "valid", "metadata", "in_scale", "reasons", "intact")


def test_an_import_says_what_it_lacks(tmp_path: Path) -> None:
    """An imported run says how much of the design is there, what was not read, and that its prompts are unknown."""
    notes = {
        "source": "study.csv",
        "sha256": "0",
        "expected": 15,
        "unreadable": [{"place": "line 7", "reason": "no <date>"}],
    }
    found = made(runs.write_run(tmp_path, runs.experiment(runs.MODELS[:1]), imported=notes))
    assert "study.csv : 12 of the 15 trials of a complete design" in found.text
    notes["check"] = [dict(zip(VENDOR, ("<b>claude", 5, 4, 5, 5, 0, 5), strict=True))]
    checked = made(runs.write_run(tmp_path / "b", runs.experiment(runs.MODELS[:1]), imported=notes))
    assert "<b>claude 5 4 80% 100% 100% 0% 100%" in checked.text
    assert "line 7 no <date>" in found.text
    assert "was sent everything" not in found.text
    assert {trial["prompt"][0] for trial in found.trials} == {("note", "what was sent is not in the imported files")}


def test_a_row_that_the_experiment_does_not_know_is_shown(tmp_path: Path) -> None:
    """Where experiment.json lacks a row's persona, the page says so in place of its prompt."""
    folder = runs.write_run(tmp_path, runs.experiment(runs.MODELS[:1]))
    asked = asdict(runs.experiment(runs.MODELS[:1], runs.PERSONAS[1:]))
    manifest.dump(folder / "experiment.json", asked)
    notes = {trial["prompt"][0] for trial in made(folder).trials if trial["persona"] == "student"}
    assert notes == {("note", "experiment.json has no 'student'")}


@pytest.mark.parametrize("name", ["run.json", "experiment.json", "results.jsonl"])
def test_a_folder_that_is_no_run_is_refused(name: str, tmp_path: Path) -> None:
    """Without one of its files a folder has no report, and the error names the file."""
    folder = runs.write_run(tmp_path, runs.experiment(runs.MODELS[:1]))
    (folder / name).unlink()
    with pytest.raises(ConfigError, match=re.escape(name)):
        html.write(folder)
    assert not (folder / html.NAME).exists()


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    """A results file that cannot be read ends in its line number, and an earlier report stays as it was."""
    folder = runs.write_run(tmp_path, runs.experiment(runs.MODELS[:1]))
    before = html.write(folder).read_bytes()
    with (folder / "results.jsonl").open("a", encoding="utf-8") as file:
        file.write("{\n")
    with pytest.raises(RunnerError, match="line 13"):
        html.write(folder)
    assert (folder / html.NAME).read_bytes() == before


# ---- words and colours -----------------------------------------------------------------------------------------------


def test_every_step_of_the_heat_map_can_be_read() -> None:
    """Ink and ground of each colour, on a light and on a dark page, have WCAG's contrast for small text."""
    pairs = re.findall(r"light-dark\((#\w+),(#\w+)\);color:light-dark\((#\w+),(#\w+)\)", palette.css())
    assert len(pairs) == 2 * palette.STEPS
    for light, dark, ink_on_light, ink_on_dark in pairs:
        assert contrast(light, ink_on_light) >= 4.5
        assert contrast(dark, ink_on_dark) >= 4.5


def contrast(one: str, other: str) -> float:
    """By the W3C's formula."""
    bright, dim = sorted(map(luminance, (one, other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    whole = digits if len(digits) == 6 else "".join(digit * 2 for digit in digits)
    parts = [int(whole[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(("value", "step"), [(-5, 0), (0, 0), (50, 10), (100, 20), (900, 20)])
def test_a_score_has_its_place_on_the_ramp(value: float, step: int) -> None:
    """The ends of a scale are the ends of the ramp, and what lies outside stays at its end."""
    assert palette.step(value, 0, 100) == step


def _over(low: Number, high: Number) -> Interval:
    return Interval(low, high, "texts", 3, 1.0, 2.0)


WIDE, NARROW = Question("q", "q", ""), Question("q", "q", "", 0, 1)
SHOWN: tuple[tuple[str, str], ...] = (
    (formatting.score(61.25, WIDE), "61.2"),
    (formatting.score(0.126, NARROW), "0.13"),
    (formatting.score(Undefined("nothing was scored"), WIDE), "–"),
    (formatting.span(_over(4.4, 15.6), WIDE), "4 to 16"),
    (formatting.span(_over(0.44, 0.56), NARROW), "0.4 to 0.6"),
    (formatting.span(_over(Undefined("x"), Undefined("x")), WIDE), ""),
    (formatting.span(_over(-0.3, 15.6), WIDE), "0 to 16"),
    (formatting.difference_span(_over(-0.34, 1.5), WIDE), "−0.3 to 1.5"),
    (formatting.difference(-3.21, WIDE), "−3.2"),
    (formatting.difference(-0.01, WIDE), "+0.0"),
    (formatting.p_value(0.00001), "< .0001"),
    (formatting.p_value(0.0312), ".0312"),
    (formatting.p_value(1.0), "1"),
    (formatting.percent(0.9999), "99%"),
    (formatting.percent(0.0001), "1%"),
    (formatting.percent(1.0), "100%"),
    (formatting.percent(nan), "–"),
    (formatting.seconds(0.345), "0.34"),
    (formatting.seconds(None), "–"),
    (formatting.count(12345.0), "12,345"),
    (formatting.money(None), "–"),
    (formatting.money(0.0), "0"),
    (formatting.money(0.00001), "<0.0001"),
    (formatting.money(0.0123), "0.012"),
    (formatting.money(1234.5), "1,234.50"),
    (formatting.moment("2026-11-23T10:15:00.000+00:00"), "2026-11-23 10:15 UTC"),
    (formatting.moment(None), "–"),
    (formatting.moment("soon"), "soon"),
    (formatting.lasted("2026-11-23T10:15:00+00:00", "2026-11-23T10:15:42.500+00:00"), "42.5 s"),
    (formatting.lasted("2026-11-23T10:15:00+00:00", "2026-11-23T10:17:05+00:00"), "2 min 5 s"),
    (formatting.lasted("2026-11-23T10:15:00+00:00", "2026-11-23T13:17:05+00:00"), "3 h 2 min"),
    (formatting.lasted("2026-11-23T10:15:00", "2026-11-23T13:17:05+00:00"), "–"),
)


@pytest.mark.parametrize(("shown", "expected"), SHOWN)
def test_numbers_read_as_people_write_them(shown: str, expected: str) -> None:
    """Scores by their scale, money never rounded to nothing, 0% and 100% only of none and of all."""
    assert shown == expected


def test_only_files_that_are_there_are_linked(tmp_path: Path) -> None:
    """A folder without replies, or a job that left nothing, gets no link that leads nowhere."""
    whole = runs.write_run(tmp_path / "run", runs.experiment(runs.MODELS[:1]))
    shutil.rmtree(whole / "replies")
    (whole / "errors.jsonl").unlink()
    sweep = runs.write_sweep(tmp_path / "sweep", {"0.1": runs.experiment(runs.MODELS[:1])})
    for folder in (whole, sweep):
        links = [attrs["href"] or "" for tag, attrs in made(folder).elements if tag == "a" and attrs.get("href")]
        beside = [link for link in links if not link.startswith("#")]
        assert "results.jsonl" in {link.rpartition("/")[2] for link in beside}
        assert [link for link in beside if not (folder / link).exists()] == []


def test_an_interrupted_run_is_told_from_no_run(tmp_path: Path) -> None:
    """A folder that a run left before it had results is refused with how to go on, and one that is no run as none."""
    (tmp_path / "cut" / ".hydra").mkdir(parents=True)
    with pytest.raises(ConfigError, match="was interrupted") as caught:
        find(str(tmp_path / "cut"), Tracking)
    assert caught.value.advice == f"cat {tmp_path / 'cut'}/.hydra/overrides.yaml"
    with pytest.raises(ConfigError, match="is not the folder of a run"):
        find(str(tmp_path), Tracking)
