"""The verbs of the command line: which module does what, in one line each, and the parser of their words.

A verb NAME lives in runner/cli/verbs/MODULE.py, which is imported when the verb is typed:
`options_NAME(parser)` says what it takes, `run_NAME(words, conf)` does it and gives the exit status.
"""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from runner.cli.arguments import ENV_FILE, PLACE
from runner.cli.split_words import path_rejoined
from runner.errors import ConfigError, close

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Verb:
    """A word that a command line can start with instead of overrides."""

    module: str
    """Below runner.cli.verbs."""
    summary: str
    """What it does, in one line beside the example."""
    example: str
    """What follows `runner`."""
    composes: bool = False
    """Whether it takes a run's overrides, and Hydra's options; its `run_NAME` is then given how to compose them."""


VERBS: Mapping[str, Verb] = {
    "plan": Verb("plan", "what a run would buy; sends nothing", "plan model=gpt-6-luna", composes=True),
    "design": Verb("design", "how many texts a budget should buy", "design --budget 20"),
    "rehearse": Verb("rehearse", "a run on simulated providers, free", "rehearse --plan study", composes=True),
    "stats": Verb("stats", "findings, intervals, differences", "stats latest"),
    "report": Verb("runs", "write the page, report.html, again", "report latest"),
    "compare": Verb("compare", "settings and scores of runs, paired", "compare RUN RUN"),
    "drift": Verb("drift", "a run's sample asked again, and tested", "drift RUN --budget 0.50"),
    "reproduce": Verb("reproduce", "would a run come out the same?", "reproduce latest"),
    "rescore": Verb("runs", "score the replies again; sends nothing", "rescore latest"),
    "track": Verb("runs", "log a run to MLflow, or what it lacks", "track latest"),
    "ui": Verb("runs", "open MLflow's page", "ui --port 5001"),
    "import": Verb("results", "make a run of results that exist", "import study.csv"),
    "export": Verb("results", "write a run in another format", "export --format csv"),
    "status": Verb("batches", "batches, and what they hold", "status"),
    "collect": Verb("batches", "fetch what batches have finished", "collect"),
    "cancel": Verb("batches", "ask batches that still run to stop", "cancel RUN"),
    "ledger": Verb("ledger", "look at, forget, merge paid answers", "ledger forget --help"),
    "models": Verb("models", "what models take and cost", "models --check"),
    "simulate": Verb("rehearse", "serve the simulated providers alone", "simulate --port 8700"),
    "completion": Verb("completion", "tab completion for a shell", "completion bash"),
}


LIKE_A_RUN = """Takes what a run takes: OVERRIDES such as 'persona=[poet,robot]', whose groups
runner --help lists; -m for a sweep, --config-dir FOLDER, -q, -v. Options stand
anywhere."""


class Parser(argparse.ArgumentParser):
    """Reads a verb's words. What is wrong with them is a ConfigError with the command that was meant."""

    words: Sequence[str] = ()

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
        if message.endswith("required: --format"):
            raise ConfigError(message, where=PLACE, advice=self._typed(*self.words, "--format", "csv"))
        raise ConfigError(message, where=PLACE, advice=f"{self.prog} --help")

    def _typed(self, *words: str) -> str:
        return f"{self.prog} {shlex.join(word.strip() for word in words)}"


def call(name: str, words: Sequence[str], conf: Path) -> int:
    """Run a verb that takes no overrides of a run. ConfigError where its words are wrong."""
    from runner.cli.verbs import options

    # Options may stand anywhere: `runner import PATH --out FOLDER tracking.enabled=false`.
    if (whole := path_rejoined(words)) is not None:
        path = next(word for word in whole if word not in words)
        message = f"the shell split '{path}' at its spaces: put it in quotes"
        raise ConfigError(message, where=PLACE, advice=shlex.join(["runner", name, *whole]))
    parser = parser_of(name)
    parser.words = words
    parsed = parser.parse_intermixed_args(words, argparse.Namespace(verb=name, typed=tuple(words)))
    options.sort_words(parsed, name, words)
    status: int = action_of(name)(parsed, conf)
    return status


def action_of(name: str) -> Any:
    """What does a verb."""
    return getattr(import_module(f"runner.cli.verbs.{VERBS[name].module}"), f"run_{name}")


def parser_of(name: str) -> Parser:
    """What reads a verb's own options, and prints its page of help."""
    verb = VERBS[name]
    usage = f"runner {name} [options] [OVERRIDES]" if verb.composes else None
    further = f"\n\n{LIKE_A_RUN}" if verb.composes else ""
    parser = Parser(
        prog=f"runner {name}",
        usage=usage,
        description=f"{verb.summary[0].upper()}{verb.summary[1:]}.{further}",
        epilog=f"example: runner {verb.example}",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module = import_module(f"runner.cli.verbs.{verb.module}")
    getattr(module, f"options_{name}")(parser)
    parser.add_argument(ENV_FILE, metavar="FILE", help="take variables that are not set yet from a file such as .env")
    return parser
