"""Pictures of a sweep: the mean score along each swept axis, one line a question. Imports matplotlib when it draws."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runner.errors import ConfigError, pasted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pandas as pd

AXIS = "sweep."
"""Prefix of the summary's columns that hold a job's value of a swept axis."""


def write(summary: Path, axes: Iterable[str], folder: Path) -> list[Path]:
    """One PNG an axis, from a sweep's summary.csv; [] where there is nothing to draw. ConfigError: it is damaged."""
    if not summary.is_file():
        return []
    try:
        return _write(summary, axes, folder)
    except (ArithmeticError, TypeError, ValueError) as error:
        why, *_ = str(error).splitlines() or [type(error).__name__]
        advice = f"runner rescore {pasted(summary.parent)}"
        raise ConfigError(
            f"is damaged ({why}); rescoring writes it again", where=str(summary), advice=advice
        ) from error


def _write(summary: Path, axes: Iterable[str], folder: Path) -> list[Path]:
    import pandas as pd

    table = pd.read_csv(summary, keep_default_na=False, na_values=[""])
    questions = [str(name).removesuffix("_mean") for name in table.columns if str(name).endswith("_mean")]
    questions = [name for name in questions if f"{name}_n" in table.columns]
    drawn = []
    for axis in axes:
        if questions and f"{AXIS}{axis}" in table.columns:
            folder.mkdir(exist_ok=True)
            path = folder / f"score_by_{re.sub(r'[^0-9A-Za-z._-]', '_', axis)}.png"
            _draw(_means(table, f"{AXIS}{axis}", questions), axis, path)
            drawn.append(path)
    return drawn


def _means(table: pd.DataFrame, column: str, questions: list[str]) -> pd.DataFrame:
    """Axis value -> mean score of each question, cells weighted by their scores."""
    import pandas as pd

    sums = pd.DataFrame({name: table[f"{name}_mean"] * table[f"{name}_n"] for name in questions})
    counts = table[[f"{name}_n" for name in questions]].set_axis(questions, axis="columns")
    keys = table[column].fillna("")
    means = sums.groupby(keys, sort=False).sum() / counts.groupby(keys, sort=False).sum()
    numbers = pd.to_numeric(pd.Series(means.index), errors="coerce")
    return means if numbers.isna().any() else means.set_axis(numbers.to_list(), axis="index").sort_index()


def _draw(means: pd.DataFrame, axis: str, path: Path) -> None:
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.style.context("default"):
        figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        plane: Any = figure.add_subplot()
        if means.index.dtype.kind in "if":
            for name in means.columns:
                plane.plot(means.index, means[name], marker="o", label=name)
        else:
            means.plot.bar(ax=plane, rot=0 if len(means) < 6 else 30, width=0.8)
        plane.set(xlabel=axis, ylabel="mean score", title=f"Score by {axis}")
        plane.grid(axis="y", alpha=0.3)
        plane.legend(title="")
        figure.savefig(path)
