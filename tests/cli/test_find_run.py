"""A RUN as it is typed: none, `latest`, a path, a name; and what is said where there is none."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.cli.main import main
from runner.cli.verbs.table import VERBS
from runner.errors import ConfigError
from runner.reporting import find_run
from runner.results import study

if TYPE_CHECKING:
    from runner.records import Tracking

OLD, NEW = "outputs/my old run é", "outputs/2026-11-28/10-00-00"
TAKES_A_RUN = ("stats", "report", "reproduce", "drift", "export", "rescore", "track")
"""Verbs that take the newest run where none is named; compare takes two, and those about batches take all."""
NEEDS = {"export": ("--format", "csv")}


@pytest.fixture
def two_runs(tmp_path: Path) -> tuple[Path, Path]:
    """An older and a newer run, made of replies; their files' ages say the opposite, as in a copy."""
    made = []
    for place, score, started in ((OLD, 70, "2026-11-27T09:00:00+09:00"), (NEW, 90, "2026-11-27T01:00:00+00:00")):
        reply = tmp_path / f"in{score}" / "t1_gpt-4o_p1_temp--_01.txt"
        reply.parent.mkdir()
        said = f"timestamp: 2025-05-01 14:20:03\ntrial: 1\n\nQ1. 面白さ(数値): {score}\nQ2. 驚き(数値): {score}\n"
        reply.write_text(f"{said}Q3. 悲しみ(数値): 1\nQ4. 怒り(数値): 1\n", encoding="utf-8")
        written = study.write_run(study.read(reply.parent), tmp_path / "imports").folder
        folder = tmp_path / place
        folder.parent.mkdir(parents=True, exist_ok=True)
        written.rename(folder)
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        (folder / "run.json").write_text(json.dumps({**run, "started": started}), encoding="utf-8")
        made.append(folder)
    (made[0] / "run.json").touch()
    return made[0], made[1]


def test_verbs_that_take_a_run_are_these() -> None:
    """A verb whose page says RUN is in this file's list, compare, ledger, or one about batches."""
    from runner.cli.verbs.table import parser_of

    takes = {name for name in VERBS if "RUN" in parser_of(name).format_usage()}
    assert takes == {*TAKES_A_RUN, "compare", "design", "ledger", "status", "collect", "cancel"}


# MLflow 3.17 uses a loader option that SQLAlchemy 2.1 deprecates; it says so when MLflow first maps its tables.
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
@pytest.mark.parametrize("named", [(), ("latest",)], ids=["none", "latest"])
@pytest.mark.parametrize("verb", TAKES_A_RUN)
@pytest.mark.usefixtures("two_runs")
def test_the_newest_run_is_taken_and_named(
    verb: str, named: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """By what the runs say of their start, not by the age of their files; said on standard error."""
    main([verb, *named, *NEEDS.get(verb, ()), "tracking.uri=sqlite:////dev/null/x.db"])
    said = capsys.readouterr()
    assert said.err.splitlines()[0] == f"the newest run: {NEW}"
    assert "the newest run" not in said.out


@pytest.mark.usefixtures("two_runs")
def test_compare_takes_the_newest_two(capsys: pytest.CaptureFixture[str]) -> None:
    """The older one is what the newer is set against; one alone is answered with the command for both."""
    assert main(["compare"]) == 0
    said = capsys.readouterr()
    assert said.err == f"the newest 2 runs: {shlex.quote(OLD)} {NEW}\n"
    assert f"run 1: {shlex.quote(OLD)}\nrun 2: {NEW}\n" in said.out
    assert main(["compare", OLD]) == 2
    assert capsys.readouterr().err.endswith(f"try:   runner compare {shlex.quote(OLD)} {NEW}\n")
    assert main(["compare", OLD, "latest"]) == 0


@pytest.mark.usefixtures("two_runs")
def test_numbers_for_machines_stay_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """`runner stats --json` of the newest run prints JSON and nothing else."""
    assert main(["stats", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["trials"] == 1


@pytest.mark.parametrize("verb", [*TAKES_A_RUN, "compare"])
def test_where_there_is_no_run(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty folder is said to have none, with the command that makes one; nothing is made."""
    for named in ((), ("latest",)):
        assert main([verb, *named, *NEEDS.get(verb, ())]) == 2
        error, tried = capsys.readouterr().err.splitlines()
        assert "there is no run in outputs/ yet" in error
        assert tried == "try:   runner"
    assert not [*Path().iterdir()]


@dataclass(frozen=True)
class Wrong:
    """A word that names no run, what is said of it, and the run that was meant."""

    word: str
    says: str
    meant: str


WRONG = (
    Wrong("outputs/my old run e", "there is no folder 'outputs/my old run e'", OLD),
    Wrong("./outputs/2026-11-28/10-00-01", "there is no folder", NEW),
    Wrong("outputs/2026-11-28", "'outputs/2026-11-28' is not the folder of a run", NEW),
    Wrong("outputs", "'outputs' is not the folder of a run", NEW),
    Wrong("~/nowhere/at all", "there is no folder '~/nowhere/at all'", NEW),
    Wrong("my old run é", "no MLflow to look for the name in", OLD),
)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.word)
@pytest.mark.parametrize("verb", [*TAKES_A_RUN, "compare", "status", "collect", "cancel"])
@pytest.mark.usefixtures("two_runs")
def test_a_wrong_run_names_the_nearest(verb: str, wrong: Wrong, capsys: pytest.CaptureFixture[str]) -> None:
    """A path that is not there is said to be no folder, with the nearest runs and the command to paste."""
    words = [verb, wrong.word, *NEEDS.get(verb, ())]
    assert main(words) == 2
    error, tried = capsys.readouterr().err.splitlines()
    assert wrong.says in error
    assert ("MLflow" in error) == ("/" not in wrong.word and wrong.word != "outputs")
    assert tried == "try:   " + shlex.join(["runner", verb, wrong.meant, *NEEDS.get(verb, ())])


def test_a_run_that_was_stopped_before_it_had_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its overrides are shown by a command that can be pasted, whatever its folder is called."""
    (tmp_path / "outputs" / "an é" / ".hydra").mkdir(parents=True)
    assert main(["stats", "outputs/an é"]) == 2
    assert capsys.readouterr().err.endswith("try:   cat 'outputs/an é/.hydra/overrides.yaml'\n")


def test_the_finder_knows_runs_and_nothing_else(two_runs: tuple[Path, Path]) -> None:
    """A folder is given as it is, `latest` by what the runs say; neither asks for settings of MLflow."""
    older, newer = two_runs

    def never() -> Tracking:
        raise AssertionError

    assert find_run.find(str(older), never) == older
    assert find_run.find("latest", never).resolve() == newer
    assert find_run.newest(2) == [Path(NEW), Path(OLD)]
    (older / "run.json").unlink()
    with pytest.raises(ConfigError, match="there is only one run"):
        find_run.newest(2)
