"""The package holds the shape that DESIGN gives it: layers, light imports, a map without imports."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "runner"
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in PACKAGE.rglob("*.py")
)
HEAVY = ("aiohttp", "litellm", "mlflow", "pandas", "xllamacpp")
"""Seconds to import, or native code: needed by a run, never by `runner --help`."""
DATABASE = {
    "runner.pipeline", "runner.execution", "runner.ledger.answers", "runner.ledger.batches", "runner.ledger.claims",
    "runner.ledger.at_once", "runner.ledger.database", "runner.ledger.redactions", "runner.ledger.schema",
    "runner.ledger.stored",
    "runner.ledger.upkeep.contents", "runner.ledger.upkeep.entries", "runner.ledger.upkeep.selection",
    "runner.ledger.upkeep.transfer", "runner.ledger.upkeep.trash", "runner.cli.verbs.ledger.chosen",
    "runner.cli.verbs.ledger.look", "runner.cli.verbs.ledger.move", "runner.cli.verbs.ledger.throw",
    "runner.cli.jobs", "runner.cli.launcher", "runner.cli.session", "runner.cli.verbs.batches", "runner.cli.verbs.plan",
    "runner.cli.verbs.rehearse", "runner.cli.verbs.results",
}  # fmt: skip
"""What may bring in SQLAlchemy when imported: the ledger, and the stages that only load once a run starts."""

IMPORTS = """
import importlib, json, sys

modules, heavy = map(str.split, sys.argv[1:])

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in heavy:
            raise ImportError(f"{name} is heavy")

sys.meta_path.insert(0, Refuse())
problems = {}
for module in modules:
    try:
        importlib.import_module(module)
    except ImportError as error:
        problems[module] = str(error)
print(json.dumps(problems))
"""


def problems(modules: list[str], heavy: tuple[str, ...]) -> dict[str, str]:
    """Why modules cannot be imported where `heavy` cannot."""
    command = [sys.executable, "-c", IMPORTS, " ".join(modules), " ".join(heavy)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_the_layers_hold() -> None:
    """The import-linter contract, which is the architecture diagram, is kept and covers every module."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run([*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_modules_are_found() -> None:
    """The list of modules that the tests below go through is not empty by mistake."""
    assert {"runner", "runner.records", "runner.providers", "runner.ledger.answers"} <= set(MODULES)


def test_importing_is_light() -> None:
    """No module needs anything heavy to be imported, nor, save for the ledger and what stands on it, a database."""
    assert problems([module for module in MODULES if module not in DATABASE], (*HEAVY, "sqlalchemy")) == {}
    assert problems(MODULES, HEAVY) == {}


def test_a_heavy_import_is_noticed() -> None:
    """The test above can fail: the ledger is reported where SQLAlchemy counts as heavy."""
    assert problems(["runner.ledger.answers"], ("sqlalchemy",)) == {"runner.ledger.answers": "sqlalchemy is heavy"}


def test_the_map_imports_nothing() -> None:
    """Importing the package imports no other module of it, and importing one module imports what that needs alone."""
    code = "import sys, runner.records; print(*sorted(name for name in sys.modules if name.startswith('runner')))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["runner", "runner.records"]
    assert ast.get_docstring(ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")))
