"""Tables as stats.table gives them, of numbers that were made rather than read from a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from runner.reporting.stats.frame import LABELS, SCORE, questions_of
from runner.results.frame import BETWEEN

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAME = {"vendor": "v", "temperature": "", "rung": "schema", "placement": "system", "outcome": "scored", "problem": ""}


def as_table(columns: pd.DataFrame) -> pd.DataFrame:
    """A line a trial, with what `columns` lacks of stats.table's: one job, vendor, temperature; every answer its own.

    `columns` has model, persona and text, and `score:<question>` for each question; others as they are wanted.
    """
    labels = {name: value for name, value in SAME.items() if name not in columns}
    made = columns.assign(**labels, answer=np.arange(len(columns)), again=False)
    if "job" not in made:
        made["job"] = 0
    if "repetition" not in made:
        made["repetition"] = 1
    if "cell" not in made:
        made["cell"] = made["model"].astype(str) + "/" + made["persona"].astype(str)
    made["asked"] = BETWEEN.join(questions_of(columns))
    named = [name for name in (*LABELS, "asked") if name != "job"]
    return made.astype(dict.fromkeys(named, str)).astype(dict.fromkeys(named, "category"))


def of_scores(scores: NDArray[np.float64]) -> pd.DataFrame:
    """The table of models x personas x texts x repetitions x studies, each study a question q0, q1 and so on.

    Three models are a vendor's. NaN: not scored.
    """
    m, p, t, r = (place.ravel() for place in np.indices(scores.shape[:4]))
    frame = pd.DataFrame({"model": m, "persona": p, "text": t, "vendor": m // 3, "repetition": r}).astype(str)
    flat = scores.reshape(len(m), -1)
    columns = pd.DataFrame({f"{SCORE}q{at}": flat[:, at] for at in range(flat.shape[1])})
    return as_table(pd.concat([frame, columns], axis=1))
