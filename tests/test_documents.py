"""The README's tree and commands against the disk."""

from __future__ import annotations

import re
from pathlib import Path

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


def test_nothing_names_a_machine() -> None:
    """No lock file holds an address."""
    for lock in ROOT.glob("requirements*.lock"):
        assert "://" not in lock.read_text(encoding="utf-8")
