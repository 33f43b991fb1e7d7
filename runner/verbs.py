"""The verbs of the command line: what each takes, and calls. Each imports what it needs when it runs."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from runner.records import Tracking


@dataclass(frozen=True, slots=True)
class Verb:
    """A word that a command line can start with instead of overrides."""

    summary: str
    prepare: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Path], int]
    """Takes the parsed words and the folder of the config groups; gives the exit status."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        """A wrong command line is the user's input like any other."""
        raise ConfigError(message, where="command line", advice=f"{self.prog} --help")


def call(name: str, words: Sequence[str], conf: Path) -> int:
    """Run a verb. ConfigError where its words are wrong."""
    parser = _Parser(prog=f"runner {name}", description=VERBS[name].summary, allow_abbrev=False)
    VERBS[name].prepare(parser)
    return VERBS[name].run(parser.parse_args(words), conf)


# ---- runs ------------------------------------------------------------------------------------------------------------

_RUN = "a run's or sweep's folder, its MLflow run id, or its MLflow name"


def _one_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help=_RUN)
    _tracking_words(parser)


def _runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", nargs="+", help=_RUN)
    parser.add_argument("--out", metavar="FOLDER", default=".", help="where compare_*.csv go (this folder)")


def _tracking_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "overrides", nargs="*", metavar="tracking.KEY=VALUE", help="where MLflow is, if not the default"
    )


def _settings(conf: Path, overrides: Sequence[str]) -> Tracking:
    """Tracking settings as the configs and the overrides give them."""
    from hydra import compose, initialize_config_dir

    from runner import schema
    from runner.config import tracking_of

    schema.register()
    with initialize_config_dir(str(conf), version_base="1.3"):
        return tracking_of(compose("config", overrides=list(overrides)))


def _found(word: str, conf: Path, overrides: Sequence[str] = ()) -> Path:
    from pathlib import Path

    from runner import runs

    if any((Path(word) / name).is_file() for name in ("run.json", "sweep.json")):
        return Path(word)
    return runs.find(word, _settings(conf, overrides))


def _track(words: argparse.Namespace, conf: Path) -> int:
    from runner import commands

    return commands.track(_found(words.run, conf), _settings(conf, words.overrides) if words.overrides else None)


def _compare(words: argparse.Namespace, conf: Path) -> int:
    from pathlib import Path

    from runner import compare
    from runner.session import console

    mlflow = [word for word in words.run if "=" in word]
    found = compare.compare([_found(word, conf, mlflow) for word in words.run if "=" not in word])
    console().print(compare.render_comparison(found))
    out = Path(words.out)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (("settings", compare.settings_csv(found)), ("scores", compare.scores_csv(found))):
        path = out / f"compare_{name}.csv"
        path.write_text(text, encoding="utf-8", newline="")
        console().print(f"written: {path}", soft_wrap=True, markup=False)
    return 0


def _prepare_reproduce(parser: argparse.ArgumentParser) -> None:
    _one_run(parser)
    parser.add_argument("--fresh", action="store_true", help="buy every answer again and compare the scores")


def _reproduce(words: argparse.Namespace, conf: Path) -> int:
    from runner import commands

    return commands.reproduce(_found(words.run, conf, words.overrides), conf, fresh=words.fresh)


def _ui(words: argparse.Namespace, conf: Path) -> int:
    uri = _settings(conf, words.overrides).uri
    if uri.startswith(("http://", "https://")):
        sys.stdout.write(f"{uri}\n")
        return 0
    environment = {**os.environ, **QUIET_SERVER}
    place = ["--backend-store-uri", uri, "--host", words.host, "--port", str(words.port)]
    command = [sys.executable, "-m", "mlflow", "ui", "--workers", "1", *place]
    sys.stdout.write(f"MLflow on http://{words.host}:{words.port} (Ctrl-C ends it)\n")
    sys.stdout.flush()
    return subprocess.call(command, env=environment)  # noqa: S603  its own interpreter


def _prepare_ui(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=5000, help="port to serve on (5000)")
    _tracking_words(parser)


# ---- results ---------------------------------------------------------------------------------------------------------


def _prepare_stats(parser: argparse.ArgumentParser) -> None:
    _one_run(parser)
    parser.add_argument("--json", action="store_true", help="for machines: one JSON object, at full precision")


def _stats(words: argparse.Namespace, conf: Path) -> int:
    from runner import results

    return results.show_statistics(_found(words.run, conf, words.overrides), as_json=words.json)


def _rescore(words: argparse.Namespace, conf: Path) -> int:
    from runner import commands

    return commands.rescore(_found(words.run, conf, words.overrides))


def _report(words: argparse.Namespace, conf: Path) -> int:
    from runner import report
    from runner.session import console

    path = report.write(_found(words.run, conf, words.overrides))
    console().print(f"report: {path}", soft_wrap=True, markup=False)
    return 0


def _prepare_import(parser: argparse.ArgumentParser) -> None:
    from pathlib import Path

    parser.add_argument("path", metavar="PATH", type=Path, help="the study's CSV, or a folder of its TXT replies")
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=Path("outputs/imported"), help="where runs go")
    _tracking_words(parser)


def _import(words: argparse.Namespace, conf: Path) -> int:
    from runner import results

    return results.take_in(words.path, words.out, _settings(conf, words.overrides))


def _prepare_export(parser: argparse.ArgumentParser) -> None:
    from pathlib import Path

    _one_run(parser)
    parser.add_argument("--format", required=True, help="study (TXT replies), csv or parquet")
    parser.add_argument("--out", metavar="PATH", type=Path, default=None, help="file or folder to write (export.*)")


def _export(words: argparse.Namespace, conf: Path) -> int:
    from runner import results

    return results.give_out(_found(words.run, conf, words.overrides), words.format, words.out)


# ---- batches ---------------------------------------------------------------------------------------------------------


def _prepare_batches(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", nargs="?", help="only the batches of this run's or sweep's folder")
    parser.add_argument("--ledger", help="the ledger that knows them (the run's, else sqlite:///outputs/ledger.db)")


def _batches(words: argparse.Namespace) -> tuple[str, Path | None]:
    from pathlib import Path

    from runner import batches, runfile

    if words.run is None:
        return words.ledger or batches.LEDGER, None
    folder = runfile.launch_folder(Path(words.run))
    return words.ledger or runfile.ledger_of(folder), folder


def _status(words: argparse.Namespace, _conf: Path) -> int:
    from runner import batches

    return batches.status(*_batches(words))


def _collect(words: argparse.Namespace, _conf: Path) -> int:
    from runner import batches

    return batches.collect(*_batches(words))


def _cancel(words: argparse.Namespace, _conf: Path) -> int:
    from runner import batches

    return batches.cancel(*_batches(words))


# ---- simulated providers ---------------------------------------------------------------------------------------------


def _prepare_simulate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8700, help="port to serve on (8700)")
    parser.add_argument("--plan", default="calm", help="calm, study, rough, quotas, lost, or a YAML file (calm)")
    parser.add_argument("--state", metavar="FILE", default=None, help="keep files and batches here between starts")


def _simulate(words: argparse.Namespace, _conf: Path) -> int:
    from pathlib import Path

    from runner import simulator
    from runner.simulator.registry import BASES

    def ready(base: str) -> None:
        sys.stdout.write("".join(f"{name:10} {base}{path}\n" for name, path in BASES.items()))
        sys.stdout.write(f"counts     {base}/_count\nany key is taken; Ctrl-C ends it\n")
        sys.stdout.flush()

    plan = simulator.load_plan(words.plan)
    simulator.serve(words.host, words.port, plan, state=Path(words.state) if words.state else None, ready=ready)
    return 0


QUIET_SERVER = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
"""For MLflow's server: else it waits for a download of LiteLLM's where there is no network, and keeps seven processes
for jobs that nobody gives it."""

VERBS: Mapping[str, Verb] = {
    "track": Verb("Log a run to MLflow: all of it, or what is missing there.", _one_run, _track),
    "compare": Verb("Differences between runs: their configs, and their scores, paired.", _runs, _compare),
    "reproduce": Verb(
        "Check that a run would come out the same: from its folder, from MLflow, or from a copy.",
        _prepare_reproduce,
        _reproduce,
    ),
    "status": Verb("Batches, and what they hold.", _prepare_batches, _status),
    "collect": Verb("Fetch what batches have finished; the run goes on from there.", _prepare_batches, _collect),
    "cancel": Verb("Ask batches that still run to stop.", _prepare_batches, _cancel),
    "rescore": Verb("Read a run's replies again from the ledger, in place. Sends nothing.", _one_run, _rescore),
    "report": Verb("Write a run's page, report.html, again.", _one_run, _report),
    "stats": Verb("Intervals, differences, ANOVA and agreement of a run.", _prepare_stats, _stats),
    "import": Verb("Make a run of results that exist already.", _prepare_import, _import),
    "export": Verb("Write a run in another format.", _prepare_export, _export),
    "simulate": Verb("Serve the providers' APIs on loopback, with faults.", _prepare_simulate, _simulate),
    "ui": Verb("Open MLflow's page on the store that runs are logged to.", _prepare_ui, _ui),
}
