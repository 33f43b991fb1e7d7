"""docs/python.ipynb: its cells run in their order, as a kernel runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from loopback import Provider

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "python.ipynb"
KERNEL = """
import ast, asyncio, json, sys

async def kernel(cells):
    names = {}
    for cell in cells:
        tree = ast.parse(cell)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "cell", "exec"), names)
        if last is not None:
            shown = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
            print(json.dumps([repr(shown), getattr(shown, "_repr_html_", lambda: "")()]))

asyncio.run(kernel(json.load(sys.stdin)))
"""
"""Cells in one namespace under a running event loop, each with its last expression shown as text and as HTML."""


def test_the_notebook_runs(tmp_path: Path) -> None:
    """Every cell runs under a running event loop, in an empty folder; a server stands in for the embedded model."""
    cells = [cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    sources = ["".join(cell["source"]) for cell in cells]
    command = [sys.executable, "-c", KERNEL]
    with Provider() as provider:
        there = f'"text=[rain]", "model.smollm2.api_base={provider.url}"'
        asked = json.dumps([source.replace('"text=[rain]"', there) for source in sources])
        done = subprocess.run(command, cwd=tmp_path, input=asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(shown) == len(cells)
    assert "2 requests to buy for 2 trials" in shown[1][1]
    assert "FINISHED, 2 scored" in shown[2][0]
    assert "sampling.temperature" in shown[4][1]
    assert "(4, ['sampling.temperature'])" in shown[5][0]
    assert len([*tmp_path.glob("outputs/*/*/report.html")]) == 1


def test_the_notebook_holds_no_output() -> None:
    """It is kept as it is written: no output, no count of executions."""
    cells = [cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
