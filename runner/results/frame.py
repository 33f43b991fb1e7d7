"""Tallies -> one table with a row a trial: what every other table, statistic and metric is computed from.

pandas is imported only when a table is made.
"""

from __future__ import annotations

from array import array
from math import nan
from typing import TYPE_CHECKING, Any

from runner.records import whole_pairs
from runner.results.tally import FLAGS, NUMBERS, OF_CELL, OF_TRIAL, LabelColumn

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import pandas as pd

    from runner.results.tally import Tally

SCORE = "score:"
"""Prefix of the columns that hold a question's scores."""
CHOICE = "choice:"
"""Prefix of the columns that hold a question's answers, as JSON, where it is no plain number."""
OUTCOMES = ("failed", "unscorable", "scored")
SENT_TO_CELL = "sent_to_cell"
BETWEEN = "\x1f"
"""Between the questions of a row's job in the column `asked`."""


def columns_of(counted: Sequence[Tally]) -> list[str]:
    """The names of the columns of scores: each question that any tally knows."""
    return [SCORE + question for question in dict.fromkeys(question for one in counted for question in one.scores)]


def choices_of(counted: Sequence[Tally]) -> list[str]:
    """The names of the columns of answers that are no plain numbers."""
    return [CHOICE + question for question in dict.fromkeys(question for one in counted for question in one.choices)]


def factors_in(counted: Sequence[Tally]) -> list[str]:
    """The names of the columns of factors: those that any row says."""
    return list(dict.fromkeys(name for one in counted for name in one.factors))


def asks(table: pd.DataFrame, question: str) -> Any:
    """Of each trial whether it was asked a question: jobs of a sweep, and prompts, may ask different ones."""
    import numpy as np

    asked = [question in str(label).split(BETWEEN) for label in table["asked"].cat.categories]
    return np.array([*asked, False])[table["asked"].cat.codes]


def frame(counted: Sequence[Tally], *columns: str) -> pd.DataFrame:
    """One row a trial, with those of the columns below that are named.

    job, cell, vendor, provider, model, model_id, persona, text, temperature, rung, problem (its kind, "" where there is
    none), placement (the role that the persona stood in: system, or user where the model has no such role), outcome:
    categories. temperature is the one sent, as text, "" where none was; sent_to_cell those that were
    sent to all trials of the row's cell, as "0.6|0.7". FLAGS: whether. NUMBERS: NaN where unknown. again: whether the
    answer is an earlier job's as well, for the same model, persona, text and repetition. answer: a number that such
    answers share, in this process. asked: the questions of the row's job and prompt, with BETWEEN in between.
    `score:<question>`: NaN where there is none. `choice:<question>`: its answer as JSON, "" where there is none. Any
    other name is a factor's: text, "" where a row has none.

    Each column costs its eight bytes a row or less, and no copy: ask for those that are needed.
    """
    import pandas as pd

    return pd.DataFrame({name: _column(counted, name) for name in columns}, copy=False)


def _column(counted: Sequence[Tally], name: str) -> Any:
    import numpy as np

    made = {"outcome": _outcomes, "again": _again, "asked": _asked, "answer": _answers}
    if name in made:
        return made[name](counted)
    if name in FLAGS:
        return (_flags(counted) >> FLAGS.index(name) & 1).astype(bool)
    if name in (*OF_CELL, *OF_TRIAL, SENT_TO_CELL) or name.startswith(CHOICE):
        return _categories(counted, name)
    if not name.startswith(SCORE) and name not in NUMBERS:
        return _of_labels([_factor(one, name) for one in counted])
    numbers = [np.array(_numbers(one, name), dtype=np.float64) for one in counted]
    return np.concatenate(numbers) if len(numbers) > 1 else numbers[0]


def _outcomes(counted: Sequence[Tally]) -> Any:
    import numpy as np
    import pandas as pd

    flags = _flags(counted)
    codes = ((flags >> FLAGS.index("replied") & 1) + (flags >> FLAGS.index("scored") & 1)).astype(np.int8)
    return pd.Categorical.from_codes(codes, categories=pd.Index(OUTCOMES))


def _flags(counted: Sequence[Tally]) -> Any:
    import numpy as np

    return np.frombuffer(b"".join(one.flags for one in counted), dtype=np.uint8)


def _again(counted: Sequence[Tally]) -> Any:
    """Of each trial whether its answer came first in another job, or by another prompt."""
    import numpy as np
    import pandas as pd

    jobs = _of_labels([([*map(str, one.prompts.index)], one.prompts.codes) for one in counted]).codes
    which, _ = pd.factorize(_answers(counted))
    first = np.zeros(int(which.max()) + 1 if len(which) else 0, dtype=np.int64)
    first[which[::-1]] = jobs[::-1]
    return first[which] != jobs


def _answers(counted: Sequence[Tally]) -> Any:
    import numpy as np

    return np.concatenate([np.array(one.answers, dtype=np.int64) for one in counted] or [np.empty(0, np.int64)])


def _asked(counted: Sequence[Tally]) -> Any:
    asked: dict[Hashable, dict[str, None]] = {}
    for one in counted:
        for prompt, questions in one.asked.items():
            asked[prompt] = asked.get(prompt, {}) | questions
    by_prompt = {prompt: BETWEEN.join(questions) for prompt, questions in asked.items()}
    return _of_labels([([by_prompt[prompt] for prompt in one.prompts.index], one.prompts.codes) for one in counted])


def _numbers(counted: Tally, name: str) -> Sequence[float]:
    """A column of numbers of one tally."""
    if name in NUMBERS:
        return counted.numbers[name]
    return counted.scores.get(name.removeprefix(SCORE), array("d", [nan]) * counted.rows)


def _categories(counted: Sequence[Tally], name: str) -> pd.Categorical:
    """A column of labels: its distinct values in the order of the rows, and each row's."""
    return _of_labels([(_values(one, name), _labels(one, name).codes) for one in counted])


def _factor(counted: Tally, name: str) -> tuple[Sequence[Hashable], array[int]]:
    """The values of a factor in one tally, and each row's code."""
    labels = counted.factors.get(name)
    if labels is None:
        return [""], array("i", bytes(4 * counted.rows))
    return list(labels.index), labels.codes


def _of_labels(every: Sequence[tuple[Sequence[Hashable], array[int]]]) -> pd.Categorical:
    """One column of what some tallies' codes stand for."""
    import numpy as np
    import pandas as pd

    places: dict[Hashable, int] = {}
    codes = []
    for values, of_rows in every:
        # Names may be equal in several cells; those that differ only in their halves of pairs become equal.
        shown = [whole_pairs(value) if isinstance(value, str) else value for value in values]
        by_code = np.array([places.setdefault(value, len(places)) for value in shown], dtype=np.int32)
        codes.append(by_code[np.frombuffer(of_rows, dtype=np.int32)] if len(of_rows) else by_code[:0])
    whole = np.concatenate(codes) if codes else np.empty(0, dtype=np.int32)
    return pd.Categorical.from_codes(whole, categories=pd.Index(list(places), dtype=None if places else object))


def _labels(counted: Tally, name: str) -> LabelColumn:
    if name.startswith(CHOICE):
        return counted.choices.get(name.removeprefix(CHOICE)) or LabelColumn({"": 0}, array("i", [0]) * counted.rows)
    return counted.of_trial[name] if name in OF_TRIAL else counted.labels


def _values(counted: Tally, name: str) -> list[Hashable]:
    """What each code of a column of labels stands for."""
    if name.startswith(CHOICE):
        return list(_labels(counted, name).index)
    if name in OF_TRIAL:
        return list(counted.of_trial[name].index)
    each: list[Any] = list(counted.labels.index)
    rows = [dict(zip(OF_CELL, labels, strict=True)) for labels in each]
    if name != SENT_TO_CELL:
        return [row[name] for row in rows]
    sent: dict[Hashable, set[str]] = {}
    for row in rows:
        sent.setdefault((row["job"], row["cell"]), set()).add(row["temperature"])
    return ["|".join(sorted(sent[row["job"], row["cell"]])) for row in rows]
