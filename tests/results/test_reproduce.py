"""A run's folder checked again: equal when nothing changed, and whatever changed is named."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from commandline import runner
from loopback import Provider, Turn, scores
from rich.console import Console

from runner.cli.verbs.reproduce import render_fresh, render_reproduction
from runner.config.settings import experiment_from
from runner.errors import ConfigError
from runner.ledger.answers import open_ledger
from runner.results import files
from runner.results.again.reproduce import Change, Reproduction, reproduce
from runner.results.again.rerun import compare_fresh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.ledger.answers import Ledger
    from runner.records import Row

CONF = Path(__file__).parents[2] / "conf"
TRIALS = 8
WORDS = (
    "model=openai_compatible",
    "model.openai_compatible.id=m",
    "persona=[poet,robot]",
    "text=[lighthouse,rain]",
    "sampling.trials=2",
    "tracking.enabled=false",
    "report=false",
)


def answer(body: dict[str, Any]) -> Turn:
    """Scores that differ between requests and are the same for the same request."""
    return Turn(scores(hashlib.sha256(json.dumps(body).encode()).digest()[0] % 100))


@dataclass(frozen=True)
class Made:
    """A run as a user makes it: its folder and the URL of its ledger."""

    folder: Path
    ledger: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    home = tmp_path_factory.mktemp("home")
    with Provider(answer=answer) as provider:
        runner(home, *WORDS, f"model.openai_compatible.api_base={provider.url}")
    return Made(next(home.glob("outputs/*/*/run.json")).parent, f"sqlite:///{home}/outputs/ledger.db")


@pytest.fixture
def ledger(made: Made) -> Iterator[Ledger]:
    with open_ledger(made.ledger) as opened:
        yield opened


@pytest.fixture
def folder(made: Made, tmp_path: Path) -> Path:
    """The run, copied elsewhere."""
    return shutil.copytree(made.folder, tmp_path / "copied")


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """Config files that a test may edit."""
    return shutil.copytree(CONF, tmp_path / "conf")


def edit(path: Path, change: Callable[[Any], None]) -> None:
    """Change a JSON file, or every line of a JSONL file, in place."""
    many = path.suffix == ".jsonl"
    values = [json.loads(part) for part in (path.read_text().splitlines() if many else [path.read_text()])]
    change(values if many else values[0])
    path.write_text("\n".join(json.dumps(value) for value in values) + "\n")


def rows(folder: Path) -> list[Row]:
    return list(files.read_rows(folder / "results.jsonl"))


def shown(found: Reproduction) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(render_reproduction(found))
    return capture.get()


# ---- nothing changed ------------------------------------------------------------------------------------------------


def test_an_untouched_run_is_equal(folder: Path, ledger: Ledger) -> None:
    """A copied folder with its ledger at hand: every key, every reply and every request here is the same."""
    found = reproduce(folder, CONF, ledger.answers)
    assert found.equal
    assert (found.in_folder, found.since) == ([], [])
    checked = found.checked
    assert (checked.trials, checked.same_keys, checked.replayed, found.same_here) == (TRIALS,) * 4
    assert checked.missing == 0
    assert shown(found).splitlines()[0].strip() == "equal"


def test_a_rehearsal_is_held_against_a_rehearsal(folder: Path, ledger: Ledger) -> None:
    """Where a run was rehearsed, its loopback addresses, key and ledger are no difference."""
    edit(folder / "run.json", lambda run: run.update(command="runner rehearse " + " ".join(WORDS)))
    rehearsed = {"key_env": "RUNNER_REHEARSAL_KEY", "batch_bucket": "rehearsal"}
    edit(folder / "experiment.json", lambda saved: saved["models"][0].update(rehearsed))
    edit(folder / "experiment.json", lambda saved: saved["tracking"].update(experiment="persona-runner (rehearsal)"))
    found = reproduce(folder, CONF, ledger.answers)
    assert found.since == []
    assert found.same_here == TRIALS


def test_keys_that_are_gone_are_no_difference(folder: Path, ledger: Ledger) -> None:
    """A run of a version that had more keys, typed and composed, is read and composed here without them."""
    hydra = folder / ".hydra"
    with (hydra / "overrides.yaml").open("a") as typed:
        typed.write("- batch.first_poll_s=0.1\n- model.openai_compatible.limits.connect_timeout_s=3\n")
    composed = (hydra / "config.yaml").read_text()
    added = composed.replace("grace: 72h", "grace: 72h\n  find_s: 60.0\n  max_poll_s: 300.0")
    (hydra / "config.yaml").write_text(added.replace("attempts: 24", "attempts: 24\n      connect_timeout_s: 3.0", 1))
    edit(folder / "experiment.json", lambda saved: saved["batch"].update(of_the_past=1.0))
    found = reproduce(folder, CONF, ledger.answers)
    assert (found.equal, found.since, found.same_here) == (True, [], TRIALS)
    edit(folder / "experiment.json", lambda saved: saved["texts"][0].update(content="Another."))
    changed = reproduce(folder, CONF, ledger.answers).in_folder
    assert "text.lighthouse.content" in {change.key for change in changed}


def test_without_the_ledger_replies_are_read_again(folder: Path) -> None:
    """On another machine without the ledger the run is still equal, and what could not be replayed is counted."""
    found = reproduce(folder, CONF)
    assert found.equal
    assert (found.checked.replayed, found.checked.missing, found.checked.read_again) == (0, TRIALS, TRIALS)
    assert f"{TRIALS} not in the ledger" in shown(found)


def test_part_of_the_ledger(folder: Path, ledger: Ledger) -> None:
    """Answers that the ledger lacks are counted apart from those that it has."""
    gone = rows(folder)[0].key
    found = reproduce(folder, CONF, lambda keys: ledger.answers([key for key in keys if key != gone]))
    assert found.equal
    assert (found.checked.replayed, found.checked.missing) == (TRIALS - 1, 1)


def test_a_run_of_another_version_can_be_read(folder: Path) -> None:
    """Fields that a later version wrote are passed over, and ones that an earlier version did not write are filled."""
    as_saved = json.loads((folder / "experiment.json").read_text())
    whole = experiment_from(as_saved)
    as_saved["of_the_future"] = as_saved["models"][0]["of_the_future"] = 1
    as_saved["models"][0]["limits"]["connect_timeout_s"] = 5.0  # of the past
    del as_saved["strict"], as_saved["models"][0]["limits"]["timeout_s"]
    assert experiment_from(as_saved) == whole


# ---- the folder changed ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tamper:
    """An edit of one file of the folder, and where and under which key it is named."""

    id: str
    file: str
    change: Callable[[Any], None]
    where: str
    key: str
    needs_ledger: bool = False


def set_text(experiment: Any) -> None:
    experiment["texts"][1]["content"] += "!"


def set_persona(experiment: Any) -> None:
    experiment["personas"][0]["description"]["en"] = "You are someone else."


def set_template(experiment: Any) -> None:
    experiment["prompt"]["user"] = "{{ text.content }}"


def set_score(lines: Any) -> None:
    lines[3]["scores"]["anger"] = 101 - lines[3]["scores"]["anger"]


def set_reply(lines: Any) -> None:
    lines[3]["reply"] += " "


def set_key(lines: Any) -> None:
    lines[3]["key"] = "0" * 64


def drop_row(lines: Any) -> None:
    del lines[3]


def repeat_row(lines: Any) -> None:
    lines.append(lines[3])


def invent_row(lines: Any) -> None:
    lines.append({**lines[3], "repetition": 9})


ROW = "openai_compatible/poet, rain, 2"
TAMPERS = (
    Tamper("a text", "experiment.json", set_text, "experiment.json", "text.rain.content"),
    Tamper("its keys", "experiment.json", set_text, "results.jsonl: all keys of text rain", ROW),
    Tamper("a persona", "experiment.json", set_persona, "experiment.json", "persona.poet.description.en"),
    Tamper("its keys, too", "experiment.json", set_persona, "results.jsonl: all keys of persona poet", ROW),
    Tamper("a template", "experiment.json", set_template, "experiment.json", "prompt.affect.user"),
    Tamper("a score", "results.jsonl", set_score, "results.jsonl", f"{ROW}: scores.anger"),
    Tamper("a reply", "results.jsonl", set_reply, "results.jsonl", f"{ROW}: reply", needs_ledger=True),
    Tamper("a key", "results.jsonl", set_key, "results.jsonl: keys", ROW),
    Tamper("a row that is missing", "results.jsonl", drop_row, "results.jsonl", ROW),
    Tamper("a row twice", "results.jsonl", repeat_row, "results.jsonl, line 9", ROW),
    Tamper("a row too many", "results.jsonl", invent_row, "results.jsonl", ROW.replace("2", "9")),
)


@pytest.mark.parametrize("tamper", TAMPERS, ids=lambda tamper: tamper.id)
def test_what_was_edited_in_the_folder_is_named(folder: Path, ledger: Ledger, tamper: Tamper) -> None:
    """An edit of the folder makes it unequal, and file and key are named; mostly even without the ledger."""
    edit(folder / tamper.file, tamper.change)
    for answers in (ledger.answers, None)[: 1 if tamper.needs_ledger else 2]:
        found = reproduce(folder, CONF, answers)
        assert not found.equal
        assert (tamper.where, tamper.key) in [(change.where, change.key) for change in found.in_folder], shown(found)
        assert shown(found).startswith("not equal")


def test_a_line_that_is_cut_off_is_named(folder: Path) -> None:
    """A line that is no row is named by its number, and its trial as missing; the others are still checked."""
    path = folder / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    found = reproduce(folder, CONF)
    assert found.checked.same_keys == TRIALS - 1
    assert [change.where for change in found.in_folder] == ["results.jsonl, line 8", "results.jsonl"]


@pytest.mark.parametrize("name", ["run.json", "experiment.json", "results.jsonl"])
def test_a_folder_that_is_no_run(folder: Path, name: str) -> None:
    """A folder without one of the files that it needs is refused with the file's name."""
    (folder / name).unlink()
    with pytest.raises(ConfigError) as caught:
        reproduce(folder, CONF)
    assert name in f"{caught.value} {caught.value.where} {caught.value.key}"


# ---- this installation changed --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Edited:
    """An edit of a config file here, the setting that it changes, and how many requests stay the same."""

    id: str
    file: str
    old: str
    new: str
    key: str
    same: int
    matters: bool = True


EDITS = (
    Edited("a text", "text/rain.yaml", "停留所", "駅", "text.rain.content", TRIALS // 2),
    Edited("a persona", "persona/robot.yaml", "temperature: 0.1", "temperature: 0.2", "persona.robot.temperature", 4),
    Edited("a template", "prompt/affect.yaml", "Stay in this role", "Stay so", "prompt.affect.system", 0),
    Edited(
        "a question", "prompt/affect.yaml", "how angry", "how very angry", "prompt.affect.questions.anger.wording", 0
    ),
    Edited("sampling", "sampling/default.yaml", "max_tokens: 1024", "max_tokens: 99", "sampling.max_tokens", 0),
    Edited("a name", "config.yaml", "name: demo", "name: other", "name", TRIALS),
    Edited(
        "a limit",
        "model/openai_compatible.yaml",
        "capability:",
        "limits: {concurrency: 3}\ncapability:",
        "model.openai_compatible.limits.concurrency",
        TRIALS,
        matters=False,
    ),
)


@pytest.mark.parametrize("case", EDITS, ids=lambda case: case.id)
def test_what_was_edited_here_is_named(folder: Path, conf: Path, case: Edited) -> None:
    """A config file that has changed since the run is named with the key, and what it means for the requests."""
    path = conf / case.file
    before = path.read_text(encoding="utf-8")
    assert case.old in before
    path.write_text(before.replace(case.old, case.new, 1), encoding="utf-8")
    found = reproduce(folder, conf)
    assert found.in_folder == []
    assert [(change.where, change.key) for change in found.since] == [(where(case.file), case.key)]
    assert (found.same_here, found.whole, found.equal) == (case.same, True, not case.matters)


def where(file: str) -> str:
    return "group sampling" if file.startswith("sampling/") else file


def test_a_config_file_that_is_gone_is_named(folder: Path, conf: Path) -> None:
    """What can no longer be composed is said, and the folder is checked all the same."""
    (conf / "text" / "rain.yaml").unlink()
    found = reproduce(folder, conf)
    assert (found.same_here, found.checked.same_keys) == (None, TRIALS)
    assert not found.equal
    assert "rain" in found.since[0].now


def test_another_package_version_is_named(folder: Path) -> None:
    """A package or a Python of another version is named with both, and alone makes nothing unequal."""

    def older(run: Any) -> None:
        run["packages"]["litellm"] = "1.0.0"
        run["packages"]["never-installed-here"] = "2.0"
        run["python"] = "3.0.1"

    edit(folder / "run.json", older)
    found = reproduce(folder, CONF)
    named = {change.where: change.was for change in found.since}
    assert named == {"package litellm": "1.0.0", "package never-installed-here": "2.0", "package python": "3.0.1"}
    assert all(change.now and change.now != change.was for change in found.since)
    assert found.equal
    assert "equal; what is different here changes nothing" in shown(found)


def test_of_many_wrong_rows_a_few_are_named(folder: Path) -> None:
    """Of seven missing rows five are named and the rest counted, so that a large run does not flood the terminal."""
    edit(folder / "results.jsonl", lambda lines: lines.__delitem__(slice(1, None)))
    found = reproduce(folder, CONF)
    assert len(found.in_folder) == 6
    assert found.in_folder[-1] == Change("results.jsonl", "2 more", "a row", "missing")


# ---- bought again ---------------------------------------------------------------------------------------------------


def scored(row: Row, value: float | None) -> Row:
    return replace(row, outcome="unscorable" if value is None else "scored", scores={"joy": value})


def trials(folder: Path, values: list[float | None]) -> list[Row]:
    """Rows of one cell and text, a repetition each."""
    return [replace(scored(rows(folder)[0], value), repetition=n) for n, value in enumerate(values, 1)]


def test_differences_stand_beside_the_originals_noise(folder: Path) -> None:
    """Fresh minus original, pair by pair, and the original's consecutive repetitions, are worked out by hand here."""
    found = compare_fresh(trials(folder, [10, 20, 20, 50]), trials(folder, [12, 20, 14, 50]))[0]
    assert found.fresh is not None
    assert found.noise is not None
    assert (found.fresh.pairs, found.fresh.mean, found.fresh.largest, found.fresh.equal) == (4, -1.0, 6.0, 0.5)
    assert (found.fresh.median, found.noise.median) == (1.0, 10.0)
    assert found.fresh.sd == pytest.approx((36 / 3) ** 0.5)
    assert (found.noise.pairs, found.noise.largest, found.alone) == (3, 30.0, 0)


def test_unscored_trials_are_counted_apart(folder: Path) -> None:
    """A trial that is scored on one side only is no difference, and one repetition says nothing of noise."""
    found = compare_fresh(trials(folder, [10, None, 30]), trials(folder, [10, 20, None]))[0]
    assert found.fresh is not None
    assert (found.fresh.pairs, found.fresh.sd, found.noise, found.alone) == (1, None, None, 2)


def test_the_table_of_fresh_scores(folder: Path) -> None:
    """Both distributions of every question are in the table, with a dash where there is none."""
    console = Console(width=100)
    with console.capture() as capture:
        console.print(render_fresh(compare_fresh(trials(folder, [10, 20]), trials(folder, [12, None]))))
    lines = [line.split() for line in capture.get().splitlines()]
    assert ["joy", "fresh", "1", "+2.0", "–", "2.0", "2.0", "2.0", "0%"] in lines
    assert any(line[:2] == ["repetitions", "1"] for line in lines)
