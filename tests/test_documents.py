"""The README's tree and commands against the disk."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.config.schema import CapabilityConf

ROOT = Path(__file__).resolve().parent.parent


def test_the_tree_names_every_module() -> None:
    """README and the package's own map list exactly the modules that there are."""
    modules = {path.name for path in (ROOT / "runner").iterdir() if path.suffix == ".py" and path.stem != "__init__"}
    modules |= {path.parent.name + "/" for path in (ROOT / "runner").glob("*/__init__.py")}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = readme.split("## The tree")[1]
    assert set(re.findall(r"^      ([\w]+(?:\.py|/))", tree, re.MULTILINE)) == modules
    docstring = (ROOT / "runner/__init__.py").read_text(encoding="utf-8")
    listed = set(re.findall(r"^(\w+)  +\S", docstring, re.MULTILINE))
    assert listed == {name.removesuffix(".py").removesuffix("/") for name in modules}


def test_every_group_of_the_tree_exists() -> None:
    """The config groups that the README names are the folders of conf/."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    line = next(line for line in readme.splitlines() if "a folder for each group:" in line)
    named = set(line.split("group:")[1].replace(" ", "").split(","))
    assert named == {path.name for path in (ROOT / "conf").iterdir() if path.is_dir() and any(path.glob("*.yaml"))}


def test_no_shell_takes_a_commands_words_for_file_names() -> None:
    """In every command of README and docs, what a shell such as zsh would expand or refuse stands in quotes."""
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                command = re.sub(r"'[^']*'|\"[^\"]*\"", "", line.partition(" # ")[0])
                assert not re.search(r"[][{}()*?]", command), f"{page.name}: {line}"


def test_nothing_names_a_machine() -> None:
    """No lock file holds an address."""
    for lock in ROOT.glob("requirements*.lock"):
        assert "://" not in lock.read_text(encoding="utf-8")


@dataclass(frozen=True)
class Line:
    """A line of the table of live requests in docs/providers.md, and the files whose models it speaks of."""

    name: str
    files: tuple[str, ...]


LINES = (
    Line("o1-mini", ("o1-mini",)),
    Line("o3-mini", ("o3-mini",)),
    Line("GPT-5, mini, 5.6, 6, 6.1", ("gpt-5", "gpt-5-mini", "gpt-5-6", "gpt-6-luna", "gpt-6-1-sol", "gpt-6-1-terra")),
    Line("Claude 3.5", ("claude-3-5-haiku", "claude-3-5-sonnet")),
    Line("Claude 4.5", ("claude-haiku-4-5",)),
    Line("Claude 5.5", ("claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5")),
    Line("Gemini 2.5, 3.1, 3.5 Flash", ("gemini-2-5-flash", "gemini-2-5-pro", "gemini-3-1-pro", "gemini-3-5-flash")),
    Line("Gemini 3.5 Flash-Lite, 3.8", ("gemini-3-5-flash-lite", "gemini-3-8-flash", "gemini-3-8-flash-vertex")),
    Line("Llama on Groq", ("llama-3-3-70b", "llama-3-1-8b")),
    Line("gpt-oss on Groq", ("gpt-oss-20b", "gpt-oss-120b")),
    Line("Mistral", ("mistral-large-4", "mistral-small-4")),
    Line("Grok", ("grok-2", "grok-3", "grok-4-7")),
    Line("DeepSeek chat, flash", ("deepseek-chat", "deepseek-flash", "deepseek-v4-flash")),
    Line("DeepSeek reasoner", ("deepseek-reasoner",)),
)
SYSTEM = {"merge": "opens the user message", "developer": "developer message", "system": "yes"}
STRUCTURE = {"schema": "JSON schema", "tool": "a forced tool", "json_object": "JSON mode", "prompt": "in the prompt"}


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_the_table_of_traps_is_what_the_files_say(line: Line) -> None:
    """docs/providers.md says of each model what its file in conf/model does."""
    page = (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")
    row = next(row for row in page.splitlines() if row.startswith(f"| {line.name} |"))
    system, temperature, structure, seed = (cell.strip() for cell in row.split("|")[2:6])
    for name in line.files:
        stated: dict[str, Any] = yaml.safe_load((ROOT / f"conf/model/{name}.yaml").read_text("utf-8"))["capability"]
        able = {**asdict(CapabilityConf()), **stated}
        assert SYSTEM[able["system"]] in system
        assert STRUCTURE[able["structure"]] in structure
        assert (seed == "yes") == able["seed"]
        heat = f"0 to {able['temperature_max']:g}"
        assert {"none": "none", "fixed": "one only", "free": heat}[able["temperature"]] in temperature
