"""`--env-file .env`: variables of a file, read as python-dotenv reads it, for whatever is typed with it.

What is set already stays; a name without a folder is looked for here and in the folders above, as python-dotenv does.
Which names were taken is said, never a value. From Python, `dotenv.load_dotenv()` does the same.
"""

from __future__ import annotations

import os
import shlex
import sys
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.arguments import ENV_FILE, PLACE
from runner.errors import ConfigError, pasted

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence


def load(words: Sequence[str], environment: MutableMapping[str, str] = os.environ) -> None:
    """Take the variables of the file that a command line names. ConfigError where there is none, or it is no such file.

    Nothing is taken from a file with a line that cannot be read: one of the next lines may be a key that is needed.
    """
    if (name := _named(words)) is None:
        return
    found = _read(_place(name, words))
    new = [key for key in found if key not in environment]
    environment.update({key: found[key] for key in new})
    had = [key for key in found if key not in new]
    kept = f"; set already, and kept: {', '.join(had)}" if had else ""
    sys.stderr.write(f"{name}: taken: {', '.join(new) or 'nothing'}{kept}\n")


def _named(words: Sequence[str]) -> str | None:
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option == ENV_FILE:
            following = words[place + 1] if place + 1 < len(words) else ""
            name = value if equals else following
            if not name or (not equals and name.startswith("-")):
                raise ConfigError(f"{ENV_FILE} needs the name of a file", where=PLACE, advice=f"runner {ENV_FILE} .env")
            return name
    return None


def _place(name: str, words: Sequence[str]) -> Path:
    here = Path.cwd()
    above = [here, *here.parents] if Path(name).name == name else [here]
    found = next((folder / name for folder in above if (folder / name).is_file()), None)
    if found is None:
        without = [word for word in words if word not in (ENV_FILE, name, f"{ENV_FILE}={name}")]
        also = " or above it" if len(above) > 1 else ""
        message = f"there is no file '{name}' in {here}{also}"
        raise ConfigError(message, where=PLACE, key=ENV_FILE, advice=shlex.join(["runner", *without]))
    return found


def _read(file: Path) -> dict[str, str]:
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    less = f"less {pasted(file)}"
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError("is not UTF-8", where=str(file), advice=less) from error
    for binding in parse_stream(StringIO(text)):
        if binding.error:  # the line itself may be a key: it is not shown
            message = f"line {binding.original.line} is no NAME=VALUE"
            raise ConfigError(message, where=str(file), advice=less)
    return {name: value for name, value in dotenv_values(stream=StringIO(text)).items() if value is not None}
