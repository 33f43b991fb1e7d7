"""The Python API: the same experiments, files and errors as the command line, as values."""

from __future__ import annotations

import doctest
import json
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commandline import configs, load
from loopback import Provider, Turn

import runner
from runner import api
from runner.cli.main import main
from runner.results import manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = Path(__file__).resolve().parents[1] / "results" / "golden"
QUICK = ("report=false", "tracking.enabled=false")
RUN_FILES = {".hydra", "errors.jsonl", "experiment.json", "replies", "results.jsonl", "run.json", "summary.csv"}
# In one process Hydra leaves its log files to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as found:
        yield found


@pytest.fixture
def mine(tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> str:
    """A config folder with models that answer on loopback, named from the working folder of the test."""
    monkeypatch.chdir(tmp_path)
    configs(tmp_path, provider)
    return "mine"


# ---- what is exported ------------------------------------------------------------------------------------------------


def test_what_is_exported_is_what_is_there() -> None:
    """`__all__` names what can be imported, all of the API and no more, and `dir` shows it."""
    errors = {name for name in runner.__all__ if name.endswith("Error")}
    assert {*runner.__all__} == {*api.__all__} | errors
    assert [*runner.__all__] == sorted(runner.__all__)
    for name in runner.__all__:
        assert getattr(runner, name).__module__.startswith("runner"), name
    assert {*runner.__all__} <= {*dir(runner)}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        runner.nothing  # noqa: B018


FIRST = ("import runner", "import runner.plan.estimate as _", "from runner.plan import job", "from runner import plan")
EACH_FIRST = f"""
import hydra, numpy, os, sys, yaml  # what all need: the processes below are forked from this one

for first in {FIRST}:
    if os.fork():
        assert os.wait()[1] == 0, first
        continue
    assert not [name for name in sys.modules if name.split(".")[0] == "runner"]
    exec(first)
    import runner
    import runner.plan.trials as trials

    print(runner.plan(runner.compose()).trials, trials.__name__, callable(runner.plan.estimate.estimate), flush=True)
    os._exit(0)
"""


def test_the_room_that_is_named_like_a_function_is_both(tmp_path: Path) -> None:
    """`runner.plan` can be called, and its modules imported, whichever comes first."""
    done = subprocess.run([sys.executable, "-c", EACH_FIRST], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["12 runner.plan.trials True"] * len(FIRST)


def test_the_examples_are_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples in the API's docstrings come out as they stand there."""
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(api, optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert (found.failed, found.attempted > 5) == (0, True)
    assert not [*tmp_path.iterdir()]


TYPED = """
import runner

experiment = runner.compose("model=[gpt-4o-mini]", config_dir="mine")
usd: float | None = runner.plan(experiment).live_usd
run: runner.Run = runner.run(experiment, [experiment], out="here", progress=False)
means = run.table().groupby("persona")["score"].mean()
trials: int = run.stats().trials
path: str = str(run.report())
keys = [setting.key for setting in runner.compare(run, "latest").settings]
try:
    runner.open_run("x")
except runner.ConfigError as error:
    print(error.advice)
"""


def test_a_strictly_typed_script_can_use_it(tmp_path: Path) -> None:
    """`mypy --strict` passes a script that uses the API well, and sees what is wrong with one that does not."""
    (tmp_path / "good.py").write_text(TYPED, encoding="utf-8")
    (tmp_path / "bad.py").write_text("import runner\nrunner.run('model=[gpt-4o-mini]').tables()\n", encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir=cache", "good.py", "bad.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False)
    said = [line for line in done.stdout.splitlines() if "error:" in line]
    assert [line.partition(":")[0] for line in said] == ["bad.py"] * 2, done.stdout


# ---- compose and plan ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "overrides",
    [
        "persona=[poett]", "sampling.trials=0", "nosuch=1", "sampling.temprature=1", "model=nosuch", "persona=[poet",
        "text=folder text.folder.path=nowhere", "sampling.trials=1,2", "batch.mode=sometimes", "model=any",
    ],
)  # fmt: skip
def test_errors_are_the_command_lines(
    overrides: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong with an experiment is said in the command line's words, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(runner.ConfigError) as caught:
        runner.compose(*overrides.split())
    assert capsys.readouterr() == ("", "")
    assert main(overrides.split()) == 2
    assert capsys.readouterr().err.splitlines()[0] == f"error: {caught.value}"
    assert not [*tmp_path.iterdir()]


def test_an_experiment_is_frozen_and_says_what_it_is(mine: str) -> None:
    """What compose gives cannot be changed, and is shown by what it asks."""
    experiment = runner.compose("model=[mini]", "persona=[poet,robot]", "text=[rain]", config_dir=mine)
    assert (
        repr(experiment) == "<experiment demo: model=[mini] persona=[poet,robot] text=[rain] prompt=affect, 2 trials>"
    )
    with pytest.raises(AttributeError):
        experiment.overrides = ()  # type: ignore[misc]
    with pytest.raises(Exception, match="read-only"):
        experiment.config.name = "other"
    assert experiment == runner.compose("model=[mini]", "persona=[poet,robot]", "text=[rain]", config_dir=mine)


def test_a_plan_sends_nothing_and_writes_nothing(mine: str, provider: Provider, tmp_path: Path) -> None:
    """Requests, tokens and dollars of experiments together: shown as text and HTML, without a request or a file."""
    there = {*tmp_path.rglob("*")}
    some = [runner.compose("model=[mini,thinker]", f"sampling.temperature={t}", config_dir=mine) for t in (0, 1)]
    plan = runner.plan(some)
    assert (plan.trials, plan.requests) == (48, 36)  # the thinker takes no temperature
    assert plan.live_usd == pytest.approx((plan.input_tokens + 2 * plan.output_tokens) / 1e6)
    table = plan.table().set_index("model")
    assert [*table.index] == ["mini", "thinker", "all"]
    assert table.loc["all", "requests"] == table.loc[["mini", "thinker"], "requests"].sum() == 36
    for shown in (repr(plan), plan._repr_html_()):
        assert "36 requests to buy for 48 trials" in shown
        assert "thinker" in shown
    assert provider.count == 0
    assert {*tmp_path.rglob("*")} == there


# ---- run -------------------------------------------------------------------------------------------------------------


def test_a_run_is_the_command_lines(
    mine: str, provider: Provider, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same files in outputs/DAY/TIME, which reproduce accepts; typed, its command buys nothing more."""
    run = runner.run(runner.compose("model=[mini]", "persona=[poet,robot]", *QUICK, config_dir=mine))
    assert capfd.readouterr() == ("", "")
    assert run.folder.parent.parent == tmp_path / "outputs"
    assert {path.name for path in run.folder.iterdir()} == RUN_FILES
    assert (run.status, run.facts["scored"], run.problems) == ("FINISHED", 6, ())
    command = shlex.split(str(run.facts["command"]))
    assert command == ["runner", "--config-dir=mine", "model=[mini]", "persona=[poet,robot]", *QUICK]
    assert main(["reproduce", str(run.folder)]) == 0
    assert "here: the same command would ask 6 of 6 with the same key" in capfd.readouterr().out
    assert provider.count == 6
    assert main(command[1:]) == 0
    assert provider.count == 6
    typed = runner.open_run(max((tmp_path / "outputs").glob("*/*")))
    assert [*typed.table()["key"]] == [*run.table()["key"]]
    assert [path.name for path in (typed.folder / ".hydra").iterdir()] == [
        path.name for path in (run.folder / ".hydra").iterdir()
    ]


def test_several_experiments_are_a_sweep(mine: str, provider: Provider, tmp_path: Path) -> None:
    """What jobs share is bought once; each axis is a column; where a sweep can say it, its command is that sweep."""
    some = [runner.compose("model=[thinker]", f"sampling.temperature={t}", *QUICK, config_dir=mine) for t in (0, 1)]
    run = runner.run(*some, out="here")
    assert run.folder == tmp_path / "here"
    assert provider.count == 12
    assert run.facts["collapsed"] == 12
    assert run.facts["axes"] == {"sampling.temperature": ["0", "1"]}
    command = shlex.split(str(run.facts["command"]))
    assert command[1:4] == ["-m", "--config-dir=mine", "model=[thinker]"]
    assert command[4:] == ["sampling.temperature=0,1", *QUICK, "hydra.sweep.dir=here"]
    table = run.table()
    assert table["sampling.temperature"].dtype == "float64"
    assert {*zip(table["job"], table["sampling.temperature"], strict=True)} == {(0, 0.0), (1, 1.0)}
    assert main([*command[1:-1], "hydra.sweep.dir=again"]) == 0
    assert provider.count == 12
    assert main(["reproduce", "here"]) == 0


@dataclass(frozen=True)
class Case:
    """The overrides of some experiments, and the command for a run of them."""

    overrides: tuple[str, ...]
    command: str


CASES = (
    Case(("",), "runner"),
    Case(("persona=[poet] 'name=\"two words\"'",), """runner 'persona=[poet]' 'name="two words"'"""),
    Case(
        tuple(f"persona=[{p}] sampling.seed={s}" for p in ("poet", "robot") for s in (1, 2)),
        "runner -m 'persona=[poet],[robot]' sampling.seed=1,2",
    ),
    Case(
        ("sampling.seed=1", "sampling.trials=2"),
        "python -c 'import runner; runner.run(runner.compose('\"'\"'sampling.seed=1'\"'\"'), "
        "runner.compose('\"'\"'sampling.trials=2'\"'\"'))'",
    ),
    Case(
        ("sampling.seed=1", "sampling.seed=1"),
        "python -c 'import runner; runner.run(runner.compose('\"'\"'sampling.seed=1'\"'\"'), "
        "runner.compose('\"'\"'sampling.seed=1'\"'\"'))'",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.command[:30])
def test_a_command_is_said_for_every_run(case: Case) -> None:
    """What is in run.json as its command can be typed: as a run, as a sweep, or else as Python."""
    experiments = [runner.compose(*shlex.split(words)) for words in case.overrides]
    assert api.command_of(experiments) == case.command


def test_no_experiment_is_an_error() -> None:
    """A run of nothing says what is missing."""
    with pytest.raises(runner.ConfigError, match="no experiment is given"):
        runner.run([])


def test_what_goes_wrong_beside_the_results_costs_none(mine: str) -> None:
    """An MLflow that cannot be reached is a line of the run, whose results are whole."""
    words = ("tracking.uri=http://127.0.0.1:9", "report=false", "model=[mini]", "persona=[poet]")
    run = runner.run(runner.compose(*words, config_dir=mine))
    assert run.facts["scored"] == 3
    (problem,) = run.problems
    assert problem.startswith("not in MLflow: ")
    assert problem in repr(run)


# ---- table, stats, report, compare -----------------------------------------------------------------------------------


def test_a_table_has_a_row_for_each_trial_and_question(mine: str, provider: Provider) -> None:
    """Every trial has its rows, those without a score too, with everything that is known of it and its right type."""
    provider.answer = lambda body: (
        Turn(status=400, content="no") if "poet" in json.dumps(body["messages"]) else Turn(content="no numbers here")
    ) if len(provider.bodies) % 2 else Turn()  # fmt: skip
    run = runner.run(
        runner.compose("model=[mini]", "persona=[poet,robot]", "sampling.trials=2", *QUICK, config_dir=mine)
    )
    table = run.table()
    assert len(table) == 12 * 4
    assert {*table["outcome"]} == {"scored", "unscorable", "failed"}
    assert (table["score"].notna() == (table["outcome"] == "scored")).all()
    assert (table["problem"].notna() == (table["outcome"] != "scored")).all()
    assert table.groupby(["persona", "text", "repetition"])["question"].nunique().eq(4).all()
    kinds = {name: str(kind) for name, kind in table.dtypes.items()}
    assert {name for name, kind in kinds.items() if kind == "int64"} == {"job", "repetition", "attempts"}
    assert {name for name, kind in kinds.items() if kind == "float64"} >= {
        "score", "requested_temperature", "sent_temperature", "latency_s", "price_usd", "input_tokens",
        "persona.temperature",
    }  # fmt: skip
    assert {"text.title", "reason", "model_version", "key", "source"} <= {
        n for n, kind in kinds.items() if kind == "str"
    }
    documented = api.Run.table.__doc__ or ""
    assert not [name for name in table.columns if name not in documented]
    assert run.stats().trials == 12


def test_a_choice_is_an_axis_under_its_own_name(mine: str, tmp_path: Path) -> None:
    """A prompt that is chosen, a group, and what it sets, each is a column; what is the same in all jobs is none."""
    low = tmp_path / "mine" / "sampling" / "low.yaml"
    low.parent.mkdir()
    low.write_text("# @package sampling\ntemperature: 0.1\n", encoding="utf-8")
    words = ("model=[mini]", "persona=[poet]", "text=[rain]", *QUICK)
    some = [runner.compose(*words, f"sampling={group}", config_dir=mine) for group in ("default", "low")]
    table = runner.run(some).table()
    assert [*table.groupby("job")["sampling"].first()] == ["default", "low"]
    assert table.groupby("job")["sampling.temperature"].first().tolist()[1] == 0.1
    assert "sampling.seed" not in table
    assert "batch.mode" not in table


def test_runs_are_opened_compared_and_reported(mine: str) -> None:
    """A run is opened by its folder or as the latest, set against another, and its page is written again."""
    words = ("model=[mini]", "persona=[poet]", *QUICK)
    first = runner.run(runner.compose(*words, "sampling.temperature=0", config_dir=mine))
    second = runner.run(runner.compose(*words, "sampling.temperature=1", config_dir=mine))
    assert runner.open_run("latest").id == second.id
    assert runner.open_run(first.folder).id == first.id
    found = runner.compare(first, second.folder)
    assert [(each.key, each.values) for each in found.settings] == [("sampling.temperature", (0.0, 1.0))]
    assert {each.pairs for each in found.scores} == {3}
    assert second.report() == second.folder / "report.html"
    assert second.report().stat().st_size > 10_000
    with pytest.raises(runner.ConfigError, match="nowhere"):
        runner.open_run("nowhere/at/all")


def test_a_run_of_an_older_version_opens(tmp_path: Path) -> None:
    """A folder as it was written before there was this API: its table, its statistics, its facts."""
    folder = tmp_path / "old"
    folder.mkdir()
    experiment = runner.compose("persona=[poet]").experiment
    for path in (GOLDEN / "run").iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    facts = load(GOLDEN / "run.json")
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")

    manifest.dump(folder / "experiment.json", asdict(experiment))
    run = runner.open_run(folder)
    assert run.id == facts["run"]
    table = run.table()
    assert {*table["outcome"]} >= {"scored", "failed"}
    assert run.stats().trials == table.groupby(["cell", "text", "repetition"]).ngroups
