"""One question's cells: a row a level of what is compared, a column for what both sides of a pair share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.reporting.stats.frame import SCORE, asked_of, codes_of
from runner.reporting.stats.summaries import levels_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

AT_ONCE = 4_000_000
"""Numbers in one block of differences: bounds the memory."""


@dataclass(frozen=True, slots=True)
class CellTable:
    """One question's cells: a row a level, a column a stratum (what both sides of a pair share)."""

    mean: Any
    """levels x strata; NaN where nothing was scored."""
    count: Any
    squares: Any
    """Sum of squares about the cell's mean."""
    planned: Any
    """Trials that were to be asked, those without a score too."""
    answers: Any
    """The sum of a cell's answers' numbers, by which cells of the same answers are known; 0 where it has none."""
    texts: Any
    """The text of each stratum."""
    personas: Any
    scores: Any
    """levels x strata x repetitions, NaN beyond a cell's last; None where there are too many."""


def cells_of(frame: pd.DataFrame, axis: str, levels: Sequence[str], on: tuple[str, ...], question: str) -> CellTable:
    """The cells of the levels, which are values of the axis as text."""
    import numpy as np
    import pandas as pd

    frame = asked_of(frame, question)
    place = {level: number for number, level in enumerate(levels)}
    rows = levels_of(frame, axis).astype(str).map(place).to_numpy()
    strata = codes_of(frame, on or (axis,))  # with nothing in common no cell has a partner
    size = int(strata.max()) + 1 if len(strata) else 0
    score = frame[SCORE + question].to_numpy(dtype=np.float64)
    there = ~np.isnan(score)
    cell = (rows * size + strata)[there].astype(np.int64)
    count = np.bincount(cell, minlength=len(levels) * size)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(cell, weights=score[there], minlength=len(levels) * size) / count
    squares = np.bincount(cell, weights=(score[there] - mean[cell]) ** 2, minlength=len(levels) * size)
    planned = np.bincount((rows * size + strata).astype(np.int64), minlength=len(levels) * size)
    firsts = np.unique(strata, return_index=True)[1]
    texts = pd.factorize(frame["text"])[0][firsts] if "text" in on else np.zeros(size, dtype=np.int64)
    personas = pd.factorize(frame["persona"])[0][firsts] if "persona" in on else np.zeros(size, dtype=np.int64)
    shape = (len(levels), size)
    scores = _padded(cell, score[there], count, shape)
    answers = np.zeros(len(levels) * size, dtype=np.int64)
    np.add.at(answers, cell, frame["answer"].to_numpy(dtype=np.int64)[there])
    return CellTable(
        mean=mean.reshape(shape), count=count.reshape(shape), squares=squares.reshape(shape),
        planned=planned.reshape(shape), answers=answers.reshape(shape), texts=texts, personas=personas, scores=scores,
    )  # fmt: skip


def _padded(cell: Any, scores: Any, count: Any, shape: tuple[int, int]) -> Any:
    import numpy as np

    most = int(count.max()) if len(count) else 0
    if most == 0 or shape[0] * shape[1] * most > AT_ONCE:
        return None
    found = np.full((shape[0] * shape[1], most), np.nan)
    order = np.argsort(cell, kind="stable")
    starts = np.concatenate([[0], np.cumsum(count)])[cell[order]]
    found[cell[order], np.arange(len(order)) - starts] = scores[order]
    return found.reshape(*shape, most)
