"""The verbs of the command line: what each takes, and calls. Each imports what it needs when it runs."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner import process
from runner.cli.arguments import PLACE
from runner.errors import ConfigError, LedgerError, TrackingError, close

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
    words: Sequence[str] = ()
    """What is being read, for the command that was meant."""

    def error(self, message: str) -> Any:
        """A wrong command line is the user's input like any other."""
        message = message.replace(", tracking.KEY=VALUE", "")  # argparse names what may be left out too
        known = self._option_string_actions
        for at, word in enumerate(self.words):
            name, equals, value = word.partition("=")
            if name.startswith("--") and name not in known and (right := close(name, known)):
                meant = [*self.words[:at], f"{right}{equals}{value}", *self.words[at + 1 :]]
                message = f"no option is named '{name}'; did you mean '{right}'?"
                raise ConfigError(message, where=PLACE, advice=self._typed(*meant))
        raise ConfigError(message, where=PLACE, advice=self._advice(message))

    def _advice(self, message: str) -> str:
        if message.endswith("RUN"):
            from runner.cli.completion import runs

            wanted = 2 if self.prog.endswith("compare") else 1
            return self._typed(*([*runs(""), *("RUN",) * wanted][:wanted]), *self.words)
        if message.endswith("required: --format"):
            return self._typed(*self.words, "--format", "csv")
        return f"{self.prog} --help"

    def _typed(self, *words: str) -> str:
        return f"{self.prog} {shlex.join(word.strip() for word in words)}"


HYDRA_VERBS = ("plan", "rehearse")
"""Verbs that take overrides, as a run does; see __main__."""


def call(name: str, words: Sequence[str], conf: Path) -> int:
    """Run a verb. ConfigError where its words are wrong."""
    # Options may stand anywhere: `runner import PATH --out FOLDER tracking.enabled=false`.
    parser = parser_of(name)
    parser.words = words
    parsed = parser.parse_intermixed_args(words)
    for word in getattr(parsed, "overrides", ()):
        if not re.match(r"\+*tracking(?:@\w+)?[.=]", word):
            message = f"'{word}' is one word too many: only tracking.KEY=VALUE may follow"
            raise ConfigError(message, where=PLACE, advice=shlex.join(["runner", name, *_without(words, word)]))
    return VERBS[name].run(parsed, conf)


def _without(words: Sequence[str], word: str) -> list[str]:
    """The words but the last that is this one."""
    at = len(words) - 1 - [*reversed(words)].index(word)
    return [*words[:at], *words[at + 1 :]]


def parser_of(name: str) -> _Parser:
    """What reads a verb's words."""
    parser = _Parser(prog=f"runner {name}", description=VERBS[name].summary, allow_abbrev=False)
    VERBS[name].prepare(parser)
    return parser


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
        "overrides", nargs="*", default=[], metavar="tracking.KEY=VALUE", help="where MLflow is, if not the default"
    )


def _settings(conf: Path, overrides: Sequence[str]) -> Tracking:
    """Tracking settings as the configs and the overrides give them."""
    from hydra import compose, initialize_config_dir

    from runner.config import schema
    from runner.config.load import tracking_of

    schema.register()
    with initialize_config_dir(str(conf), version_base="1.3"):
        return tracking_of(compose("config", overrides=list(overrides)))


def _found(word: str, conf: Path, overrides: Sequence[str] = ()) -> Path:
    from pathlib import Path

    from runner.reporting import find_run
    from runner.results import manifest

    is_here = any((Path(word) / name).is_file() for name in ("run.json", "sweep.json"))
    folder = Path(word) if is_here else find_run.find(word, _settings(conf, overrides))
    manifest.check(folder)
    return folder


def _track(words: argparse.Namespace, conf: Path) -> int:
    from runner.cli import jobs

    folder = _found(words.run, conf)
    try:
        return jobs.track(folder, _settings(conf, words.overrides) if words.overrides else None)
    except TrackingError as error:
        error.advice = shlex.join(["runner", "track", words.run, *words.overrides])
        raise


def _compare(words: argparse.Namespace, conf: Path) -> int:
    from pathlib import Path

    from runner.cli.output import console
    from runner.reporting import compare

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
    from runner.cli import jobs

    return jobs.reproduce(_found(words.run, conf, words.overrides), conf, fresh=words.fresh)


def _ui(words: argparse.Namespace, conf: Path) -> int:
    uri = _settings(conf, words.overrides).uri
    if uri.startswith(("http://", "https://")):
        sys.stdout.write(f"{uri}\n")
        return 0
    environment = {**os.environ, **QUIET_SERVER, **process.SAFE_PATH}
    _check_port(words.host, words.port, "ui")
    place = ["--backend-store-uri", uri, "--host", words.host, "--port", str(words.port)]
    command = process.python("mlflow", "ui", "--workers", "1", *place)
    sys.stdout.write(f"MLflow on http://{words.host}:{words.port} (Ctrl-C ends it)\n")
    sys.stdout.flush()
    return subprocess.call(command, env=environment)  # noqa: S603  its own interpreter


def _port(word: str) -> int:
    """A port's number; argparse shows the words of an ArgumentTypeError."""
    if not word.isdecimal() or not int(word) < 2**16:
        raise argparse.ArgumentTypeError(f"'{word}' is no port: a whole number below {2**16}")
    return int(word)


def _check_port(host: str, port: int, verb: str) -> None:
    """ConfigError where nothing can be served there, before anything is started."""
    try:
        with socket.create_server((host, port)):
            return
    except OSError as error:
        message = f"cannot serve on {host}:{port}: {os.strerror(error.errno) if error.errno else error}"
        advice = f"runner {verb} --port {port % 65535 + 1}"
        raise ConfigError(message, where="command line", key="--port", advice=advice) from error


def _prepare_ui(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (127.0.0.1)")
    parser.add_argument("--port", type=_port, default=5000, help="port to serve on (5000)")
    _tracking_words(parser)


# ---- models ----------------------------------------------------------------------------------------------------------


def _prepare_models(parser: argparse.ArgumentParser) -> None:
    from pathlib import Path

    parser.add_argument("words", metavar="NAME or KEY=VALUE", nargs="*", help="models (all); overrides, as for a run")
    parser.add_argument(
        "--check", action="store_true", help="ask each provider whose key is set for its list of models"
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--config-dir", "-cd", metavar="FOLDER", type=Path, help="a config folder of your own")


def _models(words: argparse.Namespace, conf: Path) -> int:
    from runner.cli.verbs import models

    names = [word for word in words.words if "=" not in word]
    overrides = [word for word in words.words if "=" in word]
    return models.show(conf, words.config_dir, names, overrides, as_json=words.json, check=words.check)


# ---- results ---------------------------------------------------------------------------------------------------------


def _prepare_stats(parser: argparse.ArgumentParser) -> None:
    _one_run(parser)
    parser.add_argument("--json", action="store_true", help="for machines: one JSON object, at full precision")


def _stats(words: argparse.Namespace, conf: Path) -> int:
    from runner.cli.verbs import results

    return results.show_statistics(_found(words.run, conf, words.overrides), as_json=words.json)


def _rescore(words: argparse.Namespace, conf: Path) -> int:
    from runner.cli import jobs

    return jobs.rescore(_found(words.run, conf, words.overrides))


def _report(words: argparse.Namespace, conf: Path) -> int:
    from runner.cli.output import console
    from runner.reporting import html

    path = html.write(_found(words.run, conf, words.overrides))
    console().print(f"report: {path}", soft_wrap=True, markup=False)
    return 0


def _prepare_import(parser: argparse.ArgumentParser) -> None:
    from pathlib import Path

    parser.add_argument("path", metavar="PATH", type=Path, help="the study's CSV, or a folder of its TXT replies")
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=Path("outputs/imported"), help="where runs go")
    _tracking_words(parser)


def _import(words: argparse.Namespace, conf: Path) -> int:
    from runner.cli.verbs import results

    return results.take_in(words.path, words.out, _settings(conf, words.overrides))


def _prepare_export(parser: argparse.ArgumentParser) -> None:
    from pathlib import Path

    _one_run(parser)
    parser.add_argument(
        "--format", required=True, choices=("study", "csv", "parquet"), help="study (TXT replies), csv or parquet"
    )
    parser.add_argument("--out", metavar="PATH", type=Path, default=None, help="file or folder to write (export.*)")


def _export(words: argparse.Namespace, conf: Path) -> int:
    from runner.cli.verbs import results

    return results.give_out(_found(words.run, conf, words.overrides), words.format, words.out)


# ---- batches ---------------------------------------------------------------------------------------------------------


def _prepare_batches(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", nargs="?", help="only the batches of this run's or sweep's folder")
    parser.add_argument("--ledger", help="the ledger that knows them (the run's, else sqlite:///outputs/ledger.db)")


def _batches(words: argparse.Namespace) -> tuple[str, Path | None]:
    from pathlib import Path

    from runner.cli.verbs import batches
    from runner.results import manifest

    if words.run is None:
        return words.ledger or batches.LEDGER, None
    folder = manifest.launch_folder(Path(words.run))
    return words.ledger or manifest.ledger_of(folder), folder


def _with_batches(verb: str, words: argparse.Namespace) -> int:
    from runner.cli.verbs import batches

    do = {"status": batches.status, "collect": batches.collect, "cancel": batches.cancel}[verb]
    try:
        return do(*_batches(words))
    except LedgerError as error:
        error.advice = f"runner {verb} --ledger {batches.LEDGER}"
        raise


def _status(words: argparse.Namespace, _conf: Path) -> int:
    return _with_batches("status", words)


def _collect(words: argparse.Namespace, _conf: Path) -> int:
    return _with_batches("collect", words)


def _cancel(words: argparse.Namespace, _conf: Path) -> int:
    return _with_batches("cancel", words)


# ---- simulated providers ---------------------------------------------------------------------------------------------


def _prepare_simulate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (127.0.0.1)")
    parser.add_argument("--port", type=_port, default=8700, help="port to serve on (8700)")
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
    _check_port(words.host, words.port, "simulate")
    simulator.serve(words.host, words.port, plan, state=Path(words.state) if words.state else None, ready=ready)
    return 0


# ---- completion ------------------------------------------------------------------------------------------------------


def _prepare_completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", nargs="?", choices=("bash", "zsh", "fish"), help="print the script for this shell")
    parser.add_argument("--query", metavar="SHELL", choices=("bash", "zsh", "fish"), help=argparse.SUPPRESS)


def _completion(words: argparse.Namespace, conf: Path) -> int:
    from runner.cli import completion

    if words.query:
        parsers = {name: parser_of(name) for name in VERBS}
        sys.stdout.write(completion.answer(os.environ.get("COMP_LINE", ""), parsers, HYDRA_VERBS, conf))
    elif words.shell:
        sys.stdout.write(completion.script(words.shell))
    else:
        raise ConfigError("for which shell?", where="command line", advice=completion.HOW["bash"])
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
    "models": Verb(
        "What each model takes and costs; with --check, whether its provider has it.", _prepare_models, _models
    ),
    "rescore": Verb("Read a run's replies again from the ledger, in place. Sends nothing.", _one_run, _rescore),
    "report": Verb("Write a run's page, report.html, again.", _one_run, _report),
    "stats": Verb("Intervals, differences, ANOVA and agreement of a run.", _prepare_stats, _stats),
    "import": Verb("Make a run of results that exist already.", _prepare_import, _import),
    "export": Verb("Write a run in another format.", _prepare_export, _export),
    "completion": Verb("Print the script for tab completion in bash, zsh or fish.", _prepare_completion, _completion),
    "simulate": Verb("Serve the providers' APIs on loopback, with faults.", _prepare_simulate, _simulate),
    "ui": Verb("Open MLflow's page on the store that runs are logged to.", _prepare_ui, _ui),
}
