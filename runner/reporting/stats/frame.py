"""Rows -> the one table that all statistics are computed from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.plan.nuisance import DESIGN
from runner.records import is_factor
from runner.results import frame as of_tallies
from runner.results.factors import FACTORS
from runner.results.frame import asks
from runner.results.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from runner.records import Row

SCORE = of_tallies.SCORE
LABELS = ("job", "cell", "vendor", "model", "persona", "text", "temperature", "rung", "placement", "outcome", "problem")
BASIC = ("model", "persona", "text")
SETTINGS = ("temperature",)
"""What may differ between trials of one model, persona and text."""
CHECKED = ("model", "persona", *SETTINGS, "rung", "placement")
"""Factors that are looked at for whether one decides another; what decides comes first."""


def table(rows: Iterable[Row] | Sequence[Tally] | pd.DataFrame) -> pd.DataFrame:
    """One line a trial: the columns of LABELS, and `score:<question>` for each question, NaN where there is none.

    `choice:<question>` is the answer of each that is no plain number, as JSON, "" where there is none.
    `temperature` is the one that was sent, as text, "" where none was; `problem` is its kind, "" where there is none.
    `again` marks a trial that shares the answer of an earlier job's: the same request of the same model, persona, text
    and repetition; `answer` is a number that such answers share. `asked` names the questions of the trial's job and
    prompt. Which scores count is the tally's rule: each, wherever it was read. Every further column is a factor of the
    rows under its own name (see results.factors): text, "" where a row has none. A table made here is passed through.
    """
    import pandas as pd

    if isinstance(rows, pd.DataFrame):
        return rows
    tallied = isinstance(rows, list | tuple) and len(rows) > 0 and all(isinstance(one, Tally) for one in rows)
    counted: Sequence[Tally] = rows if tallied else [Tally.of(rows)]  # type: ignore[assignment,arg-type]
    made = (*of_tallies.columns_of(counted), *of_tallies.choices_of(counted), *of_tallies.factors_in(counted))
    found = of_tallies.frame(counted, *LABELS, "again", "answer", "asked", *made)
    found["job"] = found["job"].astype("int64")
    found.attrs[FACTORS] = tuple(of_tallies.factors_in(counted))
    return found


def with_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Tables put below each other, their labels categories again."""
    plain = [name for name in (*LABELS, "asked") if name != "job" and str(frame[name].dtype) != "category"]
    own = {name: frame[name].astype(object).fillna("") for name in further(frame)}  # one of the tables may lack it
    made = frame.assign(**own).astype(dict.fromkeys([*plain, *own], "category"))
    made.attrs[FACTORS] = tuple(own)
    return made


def asked_of(frame: pd.DataFrame, question: str) -> pd.DataFrame:
    """The trials that were asked a question."""
    there = asks(frame, question)
    return frame if there.all() else frame[there]


def distinct(frame: pd.DataFrame) -> pd.DataFrame:
    """The trials of a table whose answers are their own: one answer of a sweep is one observation, not several."""
    return frame[~frame["again"]]


def factors_of(frame: pd.DataFrame) -> tuple[str, ...]:
    """What tells two cells of a table apart: model, persona, text, and each further factor that parts these again.

    One that goes with the others, as a temperature that each persona has of its own, what is known of a persona, or a
    temperature as it was asked for beside the one that was sent, is none: to match trials by it as well would leave
    out personas, and change nothing else.
    """
    found, cells = [*BASIC], codes_of(frame, BASIC)
    for name in (*SETTINGS, *further(frame)):
        finer = codes_of(frame, (name,), cells)
        if len(frame) and finer.max() > cells.max():
            found.append(name)
            cells = finer
    return tuple(found)


def further(frame: pd.DataFrame) -> list[str]:
    """The columns of factors beyond LABELS, in the table's order: by their names, or as `attrs` says of other names."""
    listed = frame.attrs.get(FACTORS, ())
    names = (str(name) for name in frame.columns if not str(name).startswith(SCORE))
    return [name for name in names if is_factor(name) or name in listed]


def settings_in(frame: pd.DataFrame) -> tuple[str, ...]:
    """The factors that part the cells of one model, persona and text: what was swept or selected beside these."""
    return factors_of(frame)[len(BASIC) :]


def is_covariate(frame: pd.DataFrame, name: str) -> bool:
    """Whether a column says something of personas or texts that each has once, such as `persona.age`."""
    group = name.partition(".")[0]
    if name not in further(frame) or group not in ("persona", "text") or not len(frame):
        return False
    alone = codes_of(frame, (group,))
    return bool(codes_of(frame, (name,), alone).max() == alone.max())


def pairing_of(frame: pd.DataFrame, axis: str) -> tuple[str, ...]:
    """What two cells must share to be compared on an axis: all factors but the axis, and those that go with it.

    A factor goes with an axis where, at each of its levels, every cell stands at one level of the axis. A model, a
    persona or a text always counts, unless the axis is what is known of it. One nuisance of the design is not matched
    by another: each is spread evenly over the other's levels, and a text may have no cell that shares one.
    """
    own = axis.partition(".")[0] if is_covariate(frame, axis) else axis
    found = [name for name in BASIC if name not in {axis, own}]
    for name in settings_in(frame):
        strata = codes_of(frame, [*found, name])
        if name == axis or (axis.startswith(DESIGN) and name.startswith(DESIGN)):
            continue
        if len(frame) and codes_of(frame, (axis,), strata).max() > strata.max():
            found.append(name)
    return tuple(found)


def plural(axis: str) -> str:
    """An axis' levels in words: personas, prompts, levels of sampling.temperature."""
    return f"levels of {axis}" if "." in axis or axis.endswith("s") else f"{axis}s"


def codes_of(frame: pd.DataFrame, names: Iterable[str], within: Any = None) -> Any:
    """A number for each combination of the columns' values, in the order in which they come.

    `within`: such numbers of other columns, whose combinations are parted further.
    """
    import numpy as np
    import pandas as pd

    whole = np.zeros(len(frame), dtype=np.int64) if within is None else within
    for name in names:
        codes, levels = pd.factorize(frame[name])
        whole = pd.factorize(whole * max(len(levels), 1) + codes)[0]
    return whole


def questions_of(frame: pd.DataFrame) -> list[str]:
    """The questions of a table, in its order."""
    return [str(name).removeprefix(SCORE) for name in frame.columns if str(name).startswith(SCORE)]
