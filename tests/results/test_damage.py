"""What lies on disk, edited, cut or damaged, costs a verb one line that names the file and what to type."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Provider

from runner import api
from runner.cli.main import main
from runner.errors import RunnerError
from runner.results import saved

if TYPE_CHECKING:
    from collections.abc import Callable

VERBS = ("stats", "report", "rescore", "export", "compare", "table")
"""Those that read a run in a moment; `table` is Python's. `reproduce` composes configs, and `track` starts MLflow."""
SLOW = ("reproduce", "track")
FURTHER = {"export": ("--format", "csv", "--out", "exported")}
RUN, SWEEP, OTHER = Path("outputs/run"), Path("outputs/sweep"), Path("outputs/other")


@dataclass(frozen=True, slots=True)
class Case:
    """What happened to one file of a run, or of a sweep."""

    file: str
    damage: Callable[[str], str | bytes | None]
    """Its text -> what it then holds; None: it is gone."""
    said: str
    """Part of what every verb that stops at it says."""
    spares: tuple[str, ...] = ()
    """Verbs that have no need of it, and go on."""
    stops: tuple[str, ...] = ()
    """Where any are named: those that must stop, while others may have no need of it."""
    of: Path = RUN
    through_all: bool = False
    """Whether the slow verbs are tried too."""


def _row(**changed: object) -> Callable[[str], str]:
    """The second of the rows with other values."""
    return _second(lambda row: json.dumps(row | changed))


def _without(name: str, key: str) -> Callable[[str], str]:
    """The second of the rows without one key of an object in it."""

    def changed(row: dict[str, Any]) -> str:
        del row[name][key]
        return json.dumps(row)

    return _second(changed)


def _second(change: Callable[[dict[str, Any]], str]) -> Callable[[str], str]:
    def damage(text: str) -> str:
        first, second, *rest = text.splitlines(keepends=True)
        return "".join([first, change(json.loads(second)) + "\n", *rest])

    return damage


def _line(text: str) -> Callable[[str], str]:
    return _second(lambda _: text)


def _with(**changed: object) -> Callable[[str], str]:
    return lambda text: json.dumps(json.loads(text) | changed)


def _lacking(key: str) -> Callable[[str], str]:
    return lambda text: json.dumps({name: value for name, value in json.loads(text).items() if name != key})


def _model(**changed: object) -> Callable[[str], str]:
    return _first("models", **changed)


def _first(group: str, **changed: object) -> Callable[[str], str]:
    """A JSON file with other values in the first object of one of its lists."""

    def damage(text: str) -> str:
        whole = json.loads(text)
        whole[group][0] |= changed
        return json.dumps(whole)

    return damage


def _gone(_: str) -> None:
    return None


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


DEEP = 100_000 * "["
SECOND = "results.jsonl, line 2:"
HUGE = 10**400
NAN, ENDLESS = float("nan"), float("inf")
READS_ROWS = ("rescore",)
ROWS = {
    "nested deep": Case("results.jsonl", _line('{"a":' * 100_000), SECOND, through_all=True),
    "a whole row nested deep": Case("results.jsonl", _line(DEEP + "]" * 100_000), SECOND),
    "a parameter nested deep": Case("results.jsonl", _row(sent={"extra": _nested(400)}), SECOND),
    "what was dropped nested deep": Case(
        "results.jsonl", _row(dropped=[{"parameter": "a", "value": _nested(400), "reason": "b"}]), SECOND
    ),
    "null": Case("results.jsonl", _line("null"), SECOND),
    "a number": Case("results.jsonl", _line("7"), SECOND),
    "an empty line": Case("results.jsonl", _line(""), SECOND),
    "cut": Case("results.jsonl", lambda text: text[: len(text) // 2], "results.jsonl, line"),
    "cut at a line's end": Case("results.jsonl", lambda text: text[: text.index("\n") + 1], "holds 1 rows"),
    "one row twice": Case("results.jsonl", lambda text: text + text.splitlines(keepends=True)[0], "holds 7 rows"),
    "nothing left": Case("results.jsonl", lambda _: "", "holds 0 rows"),
    "bytes": Case("results.jsonl", lambda text: text.encode().replace(b'"run"', b"\xff\xfe\x00", 1), "line 1:"),
    "zeros": Case("results.jsonl", lambda text: b"\0" * len(text), "line 1:"),
    "a score that is none": Case("results.jsonl", _row(scores={"interesting": NAN}), SECOND),
    "an endless score": Case("results.jsonl", _row(scores={"interesting": ENDLESS}), SECOND),
    "a score of 400 digits": Case("results.jsonl", _row(scores={"interesting": HUGE}), SECOND),
    "a score in words": Case("results.jsonl", _row(scores={"interesting": "50"}), SECOND),
    "a score that is true": Case("results.jsonl", _row(scores={"interesting": True}), SECOND),
    "scores in a list": Case("results.jsonl", _row(scores=[1, 2]), SECOND),
    "a question without a score": Case("results.jsonl", _without("scores", "anger"), SECOND, through_all=True),
    "a question without a reason": Case("results.jsonl", _without("reasons", "anger"), SECOND),
    "a question that nobody asked": Case("results.jsonl", _row(scores={}, reasons={"colour": "red"}), SECOND),
    "a reason that is a number": Case("results.jsonl", _row(reasons={"interesting": 5}), SECOND),
    "a job of 400 digits": Case("results.jsonl", _row(job=HUGE), SECOND),
    "a job below zero": Case("results.jsonl", _row(job=-1), SECOND),
    "a repetition in words": Case("results.jsonl", _row(repetition="first"), SECOND),
    "a text that is a list": Case("results.jsonl", _row(text=["rain"]), SECOND),
    "a key that is null": Case("results.jsonl", _row(key=None), SECOND),
    "a cell that is null": Case("results.jsonl", _row(cell=None), SECOND),
    "another outcome": Case("results.jsonl", _row(outcome="fine"), SECOND),
    "another route": Case("results.jsonl", _row(route=["live"]), SECOND),
    "a temperature in words": Case("results.jsonl", _row(sent={"temperature": "hot"}), SECOND),
    "an endless temperature": Case("results.jsonl", _row(requested={"temperature": ENDLESS}), SECOND),
    "tokens in words": Case("results.jsonl", _row(tokens={"input": "many"}), SECOND),
    "tokens of 400 digits": Case("results.jsonl", _row(tokens={"input": HUGE}), SECOND),
    "tokens in a list": Case("results.jsonl", _row(tokens=[1]), SECOND),
    "a price without end": Case("results.jsonl", _row(price_usd=ENDLESS), SECOND),
    "a price of 400 digits": Case("results.jsonl", _row(price_usd=HUGE), SECOND),
    "a reply that is an object": Case("results.jsonl", _row(reply={}), SECOND),
    "another problem": Case("results.jsonl", _row(problem={"kind": 3, "message": []}), SECOND),
    "a problem in words": Case("results.jsonl", _row(problem="lost"), SECOND),
    "what is stated has no end": Case(
        "results.jsonl", _row(stated={"anger": {"score": NAN, "low": 0, "high": 1, "rescaled": 2}}), SECOND
    ),
    "rows gone": Case("results.jsonl", _gone, "results.jsonl", through_all=True),
}
RUN_JSON = {
    "gone": Case("run.json", _gone, "run.json"),
    "empty": Case("run.json", lambda _: "", "run.json"),
    "cut": Case("run.json", lambda text: text[:90], "run.json"),
    "a list": Case("run.json", lambda _: "[]", "run.json"),
    "bare": Case("run.json", lambda _: "{}", "run.json"),
    "deep": Case("run.json", lambda _: DEEP, "run.json", through_all=True),
    "bytes": Case("run.json", lambda _: b"\xff\x00\xfe", "run.json"),
    "a run that is a number": Case("run.json", _with(run=7), "run.json", stops=("rescore",)),
    "a job in words": Case("run.json", _with(job="one"), "run.json", stops=("rescore",)),
    "overrides an object": Case("run.json", _with(overrides={}), "run.json", stops=("rescore", "table")),
    "overrides of numbers": Case("run.json", _with(overrides=[1]), "run.json", stops=("rescore", "table")),
    "requests in words": Case("run.json", _with(requests_sent="many"), "run.json", stops=("rescore", "report")),
    "trials of 400 digits": Case("run.json", _with(trials=HUGE), "run.json"),
    "trials that are none": Case("run.json", _with(trials=NAN), "run.json"),
    "fewer trials than none": Case("run.json", _with(trials=-6), "run.json"),
    "trials that were not": Case("run.json", _with(trials=60), "run.json counts 60"),
    "another status": Case("run.json", _with(status="DONE"), "run.json", stops=("stats", "rescore", "report")),
    "a start in words": Case("run.json", _with(started="then"), "run.json", stops=("rescore", "report")),
    "a start before all time": Case(
        "run.json", _with(started="0001-01-01T00:00:00"), "run.json", stops=("rescore", "report")
    ),
    "served in words": Case("run.json", _with(served="x"), "run.json", stops=("stats",)),
    "served by nobody": Case("run.json", _with(served=[{}]), "run.json", stops=("stats",)),
    "served so often": Case(
        "run.json",
        _with(served=[{"model": "a", "name": "b", "declared": False, "replies": "many"}]),
        "run.json",
        stops=("stats",),
    ),
    "an error that is a list": Case("run.json", _with(error=[]), "run.json"),
    "a commit in words": Case("run.json", _with(git="main"), "run.json", stops=("track",), through_all=True),
    "a commit without changes": Case("run.json", _with(git={"commit": None}), "run.json", stops=("track",)),
    "packages in a list": Case("run.json", _with(packages=["a"]), "run.json", stops=("reproduce",), through_all=True),
    "a hash that is a number": Case(
        "run.json", _with(config_sha256=5), "run.json", stops=("reproduce", "track"), through_all=True
    ),
    "an import of nothing": Case("run.json", _with(imported={}), "run.json", stops=("report",)),
    "no start": Case("run.json", _lacking("started"), "run.json", stops=("rescore", "report")),
    "no overrides": Case("run.json", _lacking("overrides"), "run.json", stops=("rescore", "table")),
}
EXPERIMENT = {
    "gone": Case("experiment.json", _gone, "experiment.json", spares=("stats",)),
    "empty": Case("experiment.json", lambda _: "", "experiment.json"),
    "a list": Case("experiment.json", lambda _: "[1]", "experiment.json"),
    "bare": Case("experiment.json", lambda _: "{}", "experiment.json"),
    "deep": Case("experiment.json", lambda _: DEEP, "experiment.json", through_all=True),
    "deep within": Case("experiment.json", _model(extra={"a": _nested(400)}), "experiment.json", through_all=True),
    "models an object": Case("experiment.json", _with(models={}), "experiment.json"),
    "models of numbers": Case("experiment.json", _with(models=[1]), "experiment.json"),
    "a prompt in words": Case("experiment.json", _with(prompt="x"), "experiment.json"),
    "sampling in words": Case("experiment.json", _with(sampling="x"), "experiment.json"),
    "trials without end": Case(
        "experiment.json", _with(sampling={"max_tokens": 9, "trials": 10**12}), "experiment.json", through_all=True
    ),
    "a temperature that is none": Case("experiment.json", _with(sampling={"temperature": NAN}), "experiment.json"),
    "a window in words": Case("experiment.json", _with(batch={"window": "soon"}), "experiment.json"),
    "a model's name a number": Case("experiment.json", _model(name=3), "models[0].name is a number"),
    "limits a list": Case("experiment.json", _model(limits=[]), "experiment.json"),
    "another role": Case("experiment.json", _model(capability={"system": "boss"}), "experiment.json"),
    "prices in words": Case("experiment.json", _model(prices={"input_usd_per_mtok": "much"}), "experiment.json"),
    "a text that is a number": Case("experiment.json", _first("texts", content=5), "experiment.json"),
    "a description that is a list": Case("experiment.json", _first("personas", description=["a"]), "experiment.json"),
}
OF_SWEEP = {
    "gone": Case("sweep.json", _gone, "sweep.json", of=SWEEP),
    "cut": Case("sweep.json", lambda text: text[:200], "sweep.json", of=SWEEP),
    "deep": Case("sweep.json", lambda _: DEEP, "sweep.json", of=SWEEP),
    "no jobs": Case("sweep.json", _with(jobs=[]), "sweep.json", of=SWEEP),
    "jobs of words": Case("sweep.json", _with(jobs=["0"]), "sweep.json", of=SWEEP),
    "a job without a folder": Case("sweep.json", _with(jobs=[{}, {}]), "sweep.json", of=SWEEP),
    "a job in a folder that is a number": Case("sweep.json", _first("jobs", folder=0), "sweep.json", of=SWEEP),
    "a job in a folder that is not there": Case("sweep.json", _first("jobs", folder="7"), "7/run.json", of=SWEEP),
    "axes in a list": Case("sweep.json", _with(axes=["persona"]), "sweep.json", of=SWEEP, through_all=True),
    "an axis too short": Case("sweep.json", _with(axes={"persona": ["poet"]}), "sweep.json", of=SWEEP),
    "an axis of numbers": Case("sweep.json", _with(axes={"persona": [1, 2]}), "sweep.json", of=SWEEP),
    "no command": Case("sweep.json", _lacking("command"), "sweep.json", of=SWEEP),
    "a job's run.json gone": Case("0/run.json", _gone, "run.json", of=SWEEP),
    "a job's run.json cut": Case("0/run.json", lambda text: text[:90], "run.json", of=SWEEP),
    "a job's rows gone": Case("0/results.jsonl", _gone, "results.jsonl", of=SWEEP),
    "a job's row null": Case("0/results.jsonl", _line("null"), SECOND, of=SWEEP),
    "a job's experiment.json gone": Case("1/experiment.json", _gone, "experiment.json", spares=("stats",), of=SWEEP),
}
CASES = {
    **{f"a row: {name}": case for name, case in ROWS.items()},
    **{f"run.json: {name}": case for name, case in RUN_JSON.items()},
    **{f"experiment.json: {name}": case for name, case in EXPERIMENT.items()},
    **{f"a sweep: {name}": case for name, case in OF_SWEEP.items()},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a run, another like it, and a sweep of two jobs were run."""
    place = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch, Provider() as provider:
        patch.chdir(place)
        words = words_for(provider.url)
        assert main([*words, f"hydra.run.dir={RUN}", "persona=[poet,robot]"]) == 0
        assert main(["-m", *words, f"hydra.sweep.dir={SWEEP}", "persona=poet,robot"]) == 0
        assert provider.count == 6
    shutil.copytree(place / RUN, place / OTHER)
    return place


def words_for(url: str) -> list[str]:
    """What is typed for a run of three texts."""
    return [
        *("model=any", "model.any.id=mini", "model.any.provider=openai", f"model.any.api_base={url}"),
        *("model.any.key_env=null", "report=false", "tracking.enabled=false", "ledger.url=sqlite:///ledger.db"),
    ]


def spoil(made: Path, case: Case) -> None:
    """A copy of what was made, here, with one file damaged."""
    shutil.copytree(made, Path.cwd(), dirs_exist_ok=True)
    file = case.of / case.file
    after = case.damage(file.read_text("utf-8"))
    if after is None:
        file.unlink()
    else:
        file.write_bytes(after if isinstance(after, bytes) else after.encode("utf-8", "surrogatepass"))


def typed(verb: str, folder: Path) -> tuple[int, str | None]:
    """The exit status of a verb; of Python's the error too."""
    if verb == "table":
        try:
            api.open_run(folder).table()
        except RunnerError as error:
            return error.exit_status, f"error: {error}\ntry:   {error.advice}"
        return 0, None
    runs = [str(OTHER), str(folder)] if verb == "compare" else [str(folder)]
    return main([verb, *runs, *FURTHER.get(verb, ())]), None


@pytest.mark.parametrize("name", CASES)
def test_damage_costs_a_verb_one_line(name: str, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is wrong with a file, a verb that needs it ends in one line that names it, and one to type."""
    case = CASES[name]
    spoil(made, case)
    for verb in VERBS:
        capsys.readouterr()
        status, raised = typed(verb, case.of)
        said = raised or capsys.readouterr().err
        assert case.stops or (status == 0) == (verb in case.spares), (verb, said)
        assert status != 0 or verb not in case.stops, verb
        if status != 0:
            assert_one_line(said, case.said)


def assert_one_line(said: str, named: str) -> None:
    """One line of what is wrong, and one to type."""
    error, advice = said.strip().splitlines()[-2:]
    assert error.startswith("error: "), said
    assert named in error
    assert "interrupted" not in error
    assert advice.startswith("try:   "), said
    assert shlex.split(advice.removeprefix("try:"))[0] in {"runner", "ls", "less"}, said


@pytest.mark.usefixtures("mlruns")
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.through_all])
def test_damage_costs_reproduce_and_track_no_more(name: str, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`reproduce` and `track` too end with the file, what is wrong with it and what to type."""
    case = CASES[name]
    spoil(made, case)
    for verb in SLOW:
        capsys.readouterr()
        status, _ = typed(verb, case.of)
        told = capsys.readouterr()
        assert case.stops or (status == 0) == (verb in case.spares), (verb, told)
        assert status != 0 or verb not in case.stops, verb
        if status == 0:
            continue
        if "error:" in told.err:
            assert_one_line(told.err, case.said)
        else:  # of a row that cannot be read `reproduce` says which, beside all others
            assert verb == "reproduce"
            assert case.file in told.out
            assert "runner " in told.out.splitlines()[-1]


def test_a_run_that_lost_its_own_file_is_no_interrupted_one(made: Path) -> None:
    """The command of a run whose run.json is gone is told from what Hydra wrote, of a sweep's job from the sweep's."""
    shutil.copytree(made, Path.cwd(), dirs_exist_ok=True)
    whole = [saved.command_of(folder) for folder in (RUN, SWEEP, SWEEP / "0")]
    for folder in (RUN, SWEEP / "0"):
        (folder / "run.json").unlink()
    assert saved.command_of(SWEEP / "0") == whole[2]
    (SWEEP / "sweep.json").unlink()
    for folder, command in ((RUN, whole[0]), (SWEEP, whole[1]), (SWEEP / "0", whole[1])):
        assert {*shlex.split(saved.command_of(folder) or "")} == {*shlex.split(command or "")}


@pytest.mark.parametrize("name", ["hydra.yaml", "overrides.yaml", "config.yaml"])
def test_hydras_own_files_are_named_where_they_are_damaged(
    name: str, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`reproduce` goes on without Hydra's files of a run, and names the one that it cannot read."""
    shutil.copytree(made, Path.cwd(), dirs_exist_ok=True)
    experiment = RUN / "experiment.json"
    experiment.write_text(_first("texts", title="Another")(experiment.read_text("utf-8")), "utf-8")
    for content in ("{[", "7", "[[1]]", "\xff\xfe", "[" * 2_000):
        (RUN / ".hydra" / name).write_bytes(content.encode("latin-1"))
        capsys.readouterr()
        assert main(["reproduce", str(RUN)]) == 1
        told = capsys.readouterr()
        assert "error:" not in told.err
        assert name == "config.yaml" or "refused" in told.out
        assert "experiment.json" in told.out


@pytest.mark.usefixtures("mlruns")
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0", b"sweep.persona,anger_n,anger_mean\na,x,y\n"])
def test_a_damaged_summary_costs_track_one_line(content: bytes, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the pictures of a sweep are drawn from is named, with what writes it again."""
    shutil.copytree(made, Path.cwd(), dirs_exist_ok=True)
    (SWEEP / "summary.csv").write_bytes(content)
    assert main(["track", str(SWEEP)]) == 2
    assert_one_line(capsys.readouterr().err, "summary.csv")


def test_a_damaged_store_costs_track_one_line(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An MLflow database that is none is one line; the run stays as it is."""
    shutil.copytree(made, Path.cwd(), dirs_exist_ok=True)
    Path("mlruns").mkdir()
    Path("mlruns/mlflow.db").write_bytes(b"\xff" * 4096)
    assert main(["track", str(RUN)]) == 1
    assert_one_line(capsys.readouterr().err, "MLflow")
