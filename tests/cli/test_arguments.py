"""The command line's words: sorted out for Hydra from any place, and refused with what to type."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hydra._internal.utils import get_args

from runner.cli import completion
from runner.cli.arguments import FLAGS, INFO, INFO_OF, LOUDNESS, VALUED, sorted_out
from runner.cli.main import main
from runner.errors import ConfigError
from runner.reporting import find_run
from runner.results import manifest, study

if TYPE_CHECKING:
    from runner.reporting.progress import Loudness


@dataclass(frozen=True)
class Case:
    """A command line, and what becomes of it."""

    words: str
    overrides: str
    options: str = ""
    loudness: Loudness = "usual"


CASES = (
    Case("a=1 -m b=2", "a=1 b=2", "-m"),
    Case("-m a=1 --config-dir mine b=2", "a=1 b=2", "-m --config-dir mine"),
    Case("a=1 -cd mine --cfg job b=2", "a=1 b=2", "-cd mine --cfg job"),
    Case("-q a=1", "a=1", "", "quiet"),
    Case("a=1 -v -m", "a=1", "-m", "verbose"),
    Case("a=1 --verbose b=2 --multirun", "a=1 b=2", "--multirun", "verbose"),
    Case("-mq a=1", "a=1", "-m", "quiet"),
    Case("--info a=1", "a=1", "--info"),
    Case("--info defaults a=1", "a=1", "--info defaults"),
    Case("-i -m a=1", "a=1", "-i -m"),
    Case("--config-dir=mine ~a +b=1 ++c=2", "~a +b=1 ++c=2", "--config-dir=mine"),
    Case("--multi a=1", "a=1", "--multi"),
    Case("-- a=1 b=2", "a=1 b=2"),
    Case("", ""),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words)
def test_options_stand_anywhere(case: Case) -> None:
    """Options with their values and overrides may be mixed; Hydra's own parser takes what comes of it."""
    found = sorted_out(case.words.split())
    assert (found.overrides, found.options) == (tuple(case.overrides.split()), tuple(case.options.split()))
    assert found.loudness == case.loudness
    assert get_args(found.for_hydra).overrides == case.overrides.split()


def test_a_key_of_an_earlier_version_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that an earlier version took still runs: a key that is gone is left out, and a line says what holds."""
    words = ["--cfg", "job", "batch=native", "batch.first_poll_s=0.05", "+model.smollm2.limits.connect_timeout_s=3"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "first_poll_s" not in said.out
    polls = "looks at a batch start after 5 s, at one on this machine at once"
    assert said.err.splitlines() == [
        f"left out: batch.first_poll_s: this key is gone: {polls}",
        "left out: model.smollm2.limits.connect_timeout_s: this key is gone: a connection has 10 s",
    ]


def test_hydras_options_are_all_known() -> None:
    """Every option of the installed Hydra is in our tables, as one that takes a value or one that does not."""
    from hydra._internal.utils import get_args_parser

    actions = get_args_parser()._actions  # noqa: SLF001  argparse has no public way to list them
    names = {name: action for action in actions for name in action.option_strings}
    assert set(names) == {*FLAGS, *VALUED, *INFO}
    assert {name for name, action in names.items() if action.nargs != 0} == {*VALUED, *INFO}
    assert names["--info"].choices == list(INFO_OF)
    assert not {*LOUDNESS} & set(names)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--mutirun a=1", "did you mean '--multirun'?"),
        ("--cfg jobs", "takes job, hydra, all"),
        ("a=1 --config-dir", "needs a value"),
        ("-q -v", "exclude each other"),
    ],
)
def test_a_wrong_option_is_refused(words: str, says: str) -> None:
    """What no parser would take is a ConfigError of the command line."""
    with pytest.raises(ConfigError, match="command line: ") as caught:
        sorted_out(words.split())
    assert says in str(caught.value)


QUOTED = "runner 'text=[rain,parcel]' 'name=\"two words\"'"


@pytest.mark.parametrize(
    ("words", "tried"),
    [
        (["--config-dir", "mine", "plan", "a=1"], "runner plan --config-dir mine a=1"),
        (["persona=", "poet"], "runner persona=poet"),
        (["plan", "-m", "persona=poet,", "robot", "text=rain"], "runner plan -m persona=poet,robot text=rain"),
        (["persona=poet", "robot"], "runner --help"),
        (["stts"], "runner stats"),
        (["stts", "a b", "--json"], "runner stats 'a b' --json"),
        (["frobnicate"], "runner --help"),
        (["stats", "--jsn", "x"], "runner stats --json x"),
        (["stats", "x", "y"], "runner stats x"),
        (["report", "x", "x", "tracking.uri=z"], "runner report x tracking.uri=z"),
        (["rescore", "x", "sampling.trials=2"], "runner rescore x"),
        (["import", "x", "y", "tracking.enabled=false"], "runner import x tracking.enabled=false"),
        (["ui", "x"], "runner ui"),
        (["export", "x"], "runner export x --format csv"),
        (["export", "x", "--fromat=csv"], "runner export x --format=csv"),
        (["compare"], "runner"),
        (["run", "persona=poet"], "runner persona=poet"),
        (["experiment=null", "persona=poet"], "runner persona=poet"),
        (["plan", "-m", "hydra/launcher=pooled,null"], "runner plan -m"),
        (["plan", "+sampling.trials=2", "-q"], "runner plan sampling.trials=2 -q"),
        (["rehearse", "--plan"], "runner rehearse --plan study"),
        (["simulate", "--port", "99999999"], "runner simulate --help"),
        (["plan", "modl=gpt-4o"], "runner plan model=gpt-4o"),
        (["persona=[poet,robt]", "-q"], "runner 'persona=[poet,robot]' -q"),
        (["sampling.temprature=1"], "runner sampling.temperature=1"),
        (["sampling.temperature=0,1"], "runner sampling.temperature=0,1 -m"),
        (["sampling.trials=1.5"], "runner sampling.trials=1"),
        (["plan", "text=[rain]", "sampling.trials=0", "-q"], "runner plan 'text=[rain]' -q sampling.trials=1"),
        (["plan", "model=o1-mini", "strict=true"], "runner plan model=o1-mini strict=false"),
        (["plan", "model=any", "text=[rain]"], "runner plan model=any 'text=[rain]' model.any.id=VALUE"),
        (
            ["plan", "model=gpt-4o", "batch=native", "batch.window=9x"],
            "runner plan model=gpt-4o batch=native batch.window=24h",
        ),
        (["~persona.poet.temperature"], "runner persona.poet.temperature=null"),
        (["models", "gpt4o"], "runner models"),
        (["--config-dir", "nowhere"], "ls -d ./*/"),
        (['name="><b>'], QUOTED),
        (["name=a b:c{"], QUOTED),
        (["text=[rain"], QUOTED),
        (['name=a "q" <x>'], QUOTED),
        (["-m", "model=gpt-4o,"], "runner -m model=gpt-4o"),
        (["-m", "model=gpt-4o,", "o3-mini", "a=1"], "runner -m model=gpt-4o,o3-mini a=1"),
        (["plan", "-m", "hydra/sweeper=optuna", "persona=poet"], "runner plan -m persona=poet"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_what_to_type_instead(words: list[str], tried: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped command ends with 2, one error, and the command that was meant or that tells more; no traceback."""
    assert main(words) == 2
    complaint = capsys.readouterr().err.splitlines()
    assert complaint[0].startswith("error: ")
    assert complaint[1:] == [f"try:   {tried}"]


@dataclass(frozen=True)
class Mine:
    """A file of one's own with a mistake in it, and what is said of it."""

    file: str
    content: str
    words: str
    says: str
    tried: str
    encoding: str = "utf-8"


EDIT = "$EDITOR 'my own/"
MINE = (
    Mine("persona/c.yaml", "description: x", "persona=[c]", "must be: # @package persona.c", f"{EDIT}persona/c.yaml'"),
    Mine("model/c.yaml", "# @package model.c\nidd: x", "model=[c]", "did you mean 'id'?", f"{EDIT}model/c.yaml'"),
    Mine("persona/c.yaml", "# @package persona.c\nx: é", "persona=[c]", "byte 0xe9 at offset 24", "iconv ", "cp1252"),
    Mine(
        "experiment/c.yaml",
        "defaults: [{override /persona: [poet]}]",
        "experiment=c",
        "must be: # @package _global_",
        f"{EDIT}experiment/c.yaml'",
    ),
    Mine("persona/c.yaml", "", "-m persona=glob(z*)", "this sweep has no job", "runner --help"),
)


@pytest.mark.parametrize("mine", MINE, ids=lambda mine: mine.says)
def test_a_file_of_ones_own_is_named_where_it_lies(
    mine: Mine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong in a file below --config-dir is said with the path that an editor opens; no traceback."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my own" / mine.file
    path.parent.mkdir(parents=True)
    path.write_text(mine.content, encoding=mine.encoding)
    assert main(["plan", "--config-dir", "my own", *mine.words.split()]) == 2
    complaint = capsys.readouterr().err.splitlines()
    assert mine.says in complaint[-2]
    assert complaint[-1].startswith(f"try:   {mine.tried}")


@pytest.mark.filterwarnings("ignore")  # Optuna's, of its own parts
def test_a_search_without_an_objective(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Optuna is not started on nothing: before anything is asked, the command is said with an objective."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    monkeypatch.chdir(tmp_path)
    assert main(["-m", "hydra/sweeper=optuna", "text=rain", "hydra.sweeper.n_trials=1"]) == 2
    tried = "runner -m hydra/sweeper=optuna text=rain hydra.sweeper.n_trials=1 objective=score/mean"
    assert capsys.readouterr().err.endswith(f"\ntry:   {tried}\n")


def test_every_error_ends_with_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where an error knows nothing better: its file, else its verb's options, else the config."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.csv").touch()
    for words, tried in (
        (["import", "empty.csv"], "less empty.csv"),
        (["models", "--config-dir", "nowhere"], "runner models --help"),
        (["-q", "-v"], "runner --cfg job"),
    ):
        assert main(words) == 2
        assert capsys.readouterr().err.endswith(f"\ntry:   {tried}\n")


def test_a_port_in_use_names_another(capsys: pytest.CaptureFixture[str]) -> None:
    """Verbs that serve say so before they start anything where something serves there already."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for verb in ("simulate", "ui"):
            assert main([verb, "--port", str(port)]) == 2
            said = capsys.readouterr().err
            assert "in use" in said
            assert f"try:   runner {verb} --port {port % 65535 + 1}" in said


def test_a_folder_that_is_no_whole_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verbs about a run say which file lacks what; one that was stopped is named with the command that goes on."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "outputs" / "day" / "time"
    folder.mkdir(parents=True)
    run = folder / "run.json"
    run.write_text("{}", encoding="utf-8")
    for verb in ("stats", "report", "track", "rescore", "reproduce"):
        assert main([verb, "outputs/day/time"]) == 2
        assert "run.json: is not complete, it lacks 'run'" in capsys.readouterr().err
    run.write_text('{"run": "1", "command": "runner a=1", "status": "KILLED"}', encoding="utf-8")
    assert main(["stats", "outputs/day/time"]) == 2
    assert capsys.readouterr().err.endswith("has no results yet\ntry:   runner a=1\n")


@pytest.mark.parametrize("lost", ["results.jsonl", "experiment.json"])
def test_a_run_that_has_lost_a_file(
    lost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verbs name the file that is missing, with the command that writes it again."""
    monkeypatch.chdir(tmp_path)
    reply = tmp_path / "in" / "t1_gpt-4o_p1_temp--_01.txt"
    reply.parent.mkdir()
    reply.write_text("timestamp: 2025-05-01 14:20:03\ntrial: 1\n\nQ1. 面白さ(数値): 75\n", encoding="utf-8")
    folder = study.write_run(study.read(reply.parent), tmp_path / "outputs").folder
    run = manifest.load(folder, "run.json")
    manifest.dump(folder / "run.json", {**run, "command": "runner a=1"})
    experiment = {**manifest.load(folder, "experiment.json"), "ledger_url": "sqlite:///outputs/ledger.db"}
    manifest.dump(folder / "experiment.json", experiment)
    (folder / lost).unlink()
    for verb in ("report", "track", "rescore", "reproduce", "export"):
        assert main([verb, str(folder), *(("--format", "csv") if verb == "export" else ())]) == 2
        error, tried = capsys.readouterr().err.splitlines()
        assert error.startswith(f"error: {folder / lost}: is missing;")
        assert tried == "try:   runner a=1"


def test_a_folder_that_cannot_be_written_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """What the operating system refuses is one error that names the path."""
    assert main(["hydra.run.dir=/dev/null/run", "text=[rain]"]) == 1
    assert capsys.readouterr().err.startswith("error: /dev/null/run: Not a directory")


def test_runs_are_found_where_users_put_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`outputs/NAME` is found like `outputs/DAY/TIME`, a sweep once and not by its jobs; the newest is first."""
    monkeypatch.chdir(tmp_path)
    began = {"zulu/run": 1, "day/time/run": 5, "heat/0/run": 3, "heat/1/run": 3, "heat/sweep": 3, "imported/x/run": 4}
    for place, hour in began.items():
        path = tmp_path / "outputs" / f"{place}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        said = {"jobs": [{"folder": "0"}, {"folder": "1"}], "started": f"2026-11-28T0{hour}:00:00+00:00"}
        path.write_text(json.dumps(said), encoding="utf-8")
    os.utime(tmp_path / "outputs/day/time/run.json", (1, 1))
    found = [str(path.relative_to("outputs")) for path in find_run.launches()]
    assert found == ["day/time", "imported/x", "heat", "zulu"]
    assert find_run.newest(2) == [Path("outputs/day/time"), Path("outputs/imported/x")]
    assert completion.runs("")[-1] == "outputs/zulu"
    assert {*completion.runs("outputs/h")} == {"outputs/heat", "outputs/heat/0", "outputs/heat/1"}
