"""Tab completion: the verbs, their options and the folders of runs from here, overrides from Hydra's own completion.

A shell runs what `script` gives, which asks `runner completion --query SHELL` at every tab. The line so far is
in COMP_LINE, as for Hydra's completion. A word that is complete has a space behind it.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.arguments import CFG, CFG_OF, FLAGS, INFO, INFO_OF, LOUDNESS, VALUED
from runner.cli.verbs.table import VERBS, parser_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Mapping, Sequence

SHELLS = ("bash", "zsh", "fish")
MOST_RUNS = 40
"""Folders of runs that are offered, the newest."""

_SCRIPTS = {
    "bash": r"""
_runner_complete() {
    local word one head breaks line=${COMP_LINE:0:$COMP_POINT}
    word=${line##*[[:space:]]}
    [[ $COMP_WORDBREAKS == *=* ]] && breaks+='='
    [[ $COMP_WORDBREAKS == *:* ]] && breaks+=':'
    # bash takes what follows the last break for the word
    [[ -n $breaks && $word == *["$breaks"]* ]] && head=${word%"${word##*["$breaks"]}"}
    COMPREPLY=()
    while IFS= read -r one; do
        COMPREPLY+=("${one#"$head"}")
    done < <(COMP_LINE=$line "${COMP_WORDS[0]}" completion --query bash 2>/dev/null)
}
complete -o nospace -o default -F _runner_complete runner
""",
    "zsh": r"""
_runner_complete() {
    local -a found
    found=("${(@f)$(COMP_LINE="${(j: :)words[1,CURRENT]}" ${words[1]} completion --query zsh 2>/dev/null)}")
    [[ -n "$found" ]] && compadd -Q -S '' -- $found || _files
}
(( $+functions[compdef] )) || { autoload -U compinit && compinit; }
compdef _runner_complete runner
""",
    "fish": r"""
function __runner_complete
    set -lx COMP_LINE (commandline -cp)
    set -l parts (commandline -cpo)
    set -l found ($parts[1] completion --query fish 2>/dev/null | string trim --right)
    test -n "$found"; and printf '%s\n' $found; or __fish_complete_path (commandline -ct)
end
complete -c runner -f -a '(__runner_complete)'
""",
}
HOW = {
    "bash": 'eval "$(runner completion bash)"',
    "zsh": 'eval "$(runner completion zsh)"',
    "fish": "runner completion fish | source",
}
"""What a person writes into the file that their shell reads at its start."""


def script(shell: str) -> str:
    """What a shell must run for completion."""
    return f"# Tab completion for runner. In your shell's start file: {HOW[shell]}{_SCRIPTS[shell]}"


def answer(line: str, conf: Path) -> str:
    """What a shell is told for a line, a candidate a line."""
    return "".join(f"{one}\n" for one in candidates(line, lambda words: _hydra(words, conf)))


def candidates(line: str, hydra: Callable[[Sequence[str]], list[str]]) -> list[str]:
    """The words that may stand where the line ends. `hydra` completes the last of some overrides."""
    words = line.split()[1:]
    word = words.pop() if words and not line[-1].isspace() else ""
    told = [one for one in words if one not in LOUDNESS]
    verb = told[0] if told else ""
    if verb in VERBS and VERBS[verb].composes:
        return _of_hydra(told[1:], word, hydra, _options_of(parser_of(verb)))
    if verb in VERBS:
        return _of_verb(parser_of(verb), told[1:], word, hydra)
    first = [] if told else _finished(_fitting(word, VERBS))
    return first + _of_hydra(told, word, hydra, {})


def _options_of(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    actions = parser._actions  # noqa: SLF001  argparse has no public way to list them
    return {name: action for action in actions for name in action.option_strings}


# ---- a run, a sweep --------------------------------------------------------------------------------------------------


def _values(option: argparse.Action) -> Iterable[str]:
    """What may follow an option; nothing where that is a file, which the shell completes."""
    if option.dest == "plan":
        from runner.simulator.plan import plan_names

        return plan_names()
    return option.choices or ()


def _of_hydra(
    before: Sequence[str],
    word: str,
    hydra: Callable[[Sequence[str]], list[str]],
    own: Mapping[str, argparse.Action],
) -> list[str]:
    """`own`: options of the verb beside Hydra's."""
    last = before[-1] if before else ""
    if last in own and own[last].nargs is None:
        return _finished(_fitting(word, _values(own[last])))
    if last in CFG:
        return _finished(_fitting(word, CFG_OF))
    if last in INFO and not word.startswith("-"):
        return _finished(_fitting(word, INFO_OF))
    if last in VALUED:
        return []  # a file or a name: the shell's own completion
    if word.startswith("-"):
        return _finished(_fitting(word, (*own, *FLAGS, *VALUED, *INFO, *LOUDNESS)))
    return _overrides(before, word, hydra)


def _overrides(before: Sequence[str], word: str, hydra: Callable[[Sequence[str]], list[str]]) -> list[str]:
    """Hydra's, and within `group=[a,b` or `group=a,b` the same names once more."""
    key, equals, value = word.partition("=")
    place = max(value.rfind("["), value.rfind(",")) + 1
    if not equals or not place:
        return _finished(hydra([*before, word]))
    head, chosen = f"{key}={value[:place]}", value.strip("[").split(",")[:-1]
    found = (one.partition("=")[2] for one in hydra([*before, f"{key}={value[place:]}"]))
    names = [f"{head}{name}" for name in found if name and name not in chosen]
    return names if "[" in value else _finished(names)


def _hydra(words: Sequence[str], conf: Path) -> list[str]:
    """Ask Hydra as its own scripts do: it prints what fits the last override."""
    import hydra

    from runner.config import schema

    overrides = [one for one in words[:-1] if not one.startswith("-") and ("=" in one or one.startswith("~"))]
    folders = [f"--config-dir={folder}" for folder in _config_dirs(words) if Path(folder).is_dir()]
    os.environ["COMP_LINE"] = " ".join(["runner", *overrides, words[-1]])
    sys.argv = ["runner", "-sc", "query=bash", *folders]
    schema.register()
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(io.StringIO()):
        hydra.main(version_base="1.3", config_path=str(conf), config_name="config")(lambda _cfg: None)()
    return printed.getvalue().split()


def _config_dirs(words: Sequence[str]) -> list[str]:
    after = [word for option, word in pairwise(words) if option in ("--config-dir", "-cd")]
    return after + [word.partition("=")[2] for word in words if word.startswith("--config-dir=")]


# ---- a verb ----------------------------------------------------------------------------------------------------------


def _of_verb(
    parser: argparse.ArgumentParser,
    before: Sequence[str],
    word: str,
    hydra: Callable[[Sequence[str]], list[str]],
) -> list[str]:
    options = _options_of(parser)
    last = options.get(before[-1]) if before else None
    if last is not None and last.nargs != 0:
        return _finished(_fitting(word, _values(last)))
    if word.startswith("-"):
        return _finished(_fitting(word, options))
    positional = {action.dest: action for action in parser._actions if not action.option_strings}  # noqa: SLF001
    found: list[str] = []
    for dest, action in positional.items():
        if action.choices:
            found += _fitting(word, action.choices)
        elif dest in ("run", "runs"):
            found += _fitting(word, [*runs(""), "latest"])
        elif dest == "words" and "=" not in word:
            found += (one.partition("=")[2] for one in hydra([f"model={word}"]))
    if "overrides" in positional and (word.startswith("tracking") or not found):
        found += (one for one in hydra([word or "tracking."]) if one.startswith("tracking"))
    return _finished(found)


def runs(word: str, outputs: Path = Path("outputs")) -> list[str]:
    """Folders of runs, sweeps and their jobs whose path begins with a word, the newest first."""
    from runner.reporting import find_run

    return _fitting(word, map(str, find_run.folders(outputs)))[:MOST_RUNS]


def _fitting(word: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(word)]


def _finished(names: Iterable[str]) -> list[str]:
    return [name if name.endswith(("=", ".", "/", ",", "[")) else f"{name} " for name in names]
