"""Tallies of rows -> tables: numbers for summary.csv, the terminal and MLflow.

Every table is a function of tallies (tally): of one, or of those of a sweep's jobs. What counts, in all of them:

- a score counts when its whole reply is scored; what could be read of an unscorable reply does not, and neither does a
  value that is missing;
- a reply is a trial that did not fail; shares are from 0 to 1, of the replies (`error_rate`: of the trials);
- tokens are the sum of what the provider reported; money is unknown as soon as one reply's price is, but for savings,
  which are what is known of them.

Unknown is NaN in a table and an empty field in summary.csv. pandas is imported only when a table is made.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

from runner.records import whole_pairs
from runner.results.tally import FLAGS, LABELS, NUMBERS, OF_CELL

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from runner.results.tally import Tally

STATISTICS = ("n", "mean", "sd", "min", "max")
TEXTS_AS_METRICS = 100
"""Most texts for which a cell has metrics of its own for each; above it they would drown MLflow, and tables serve."""
_SCORE = "score:"
_UNSAFE = re.compile(r"[^\w .-]")
_LONGEST_KEY = 250  # MLflow's MAX_ENTITY_KEY_LENGTH, in characters


def summary(counted: Tally) -> pd.DataFrame:
    """One row a cell, in the order of the rows.

    Columns: job, cell, vendor, provider, model, model_id, persona, temperature (as sent; "0.6|0.7" where texts shift
    it, "" where none was sent), then for each question `<question>_n`, `_mean`, `_sd` (of a sample: NaN below two
    scores), `_min` and `_max`, then the columns of `_shares`.
    """
    frame, cell = _frame((counted,), *OF_CELL, *FLAGS, *NUMBERS, *_questions(counted)), ["job", "cell"]
    names = frame.groupby(cell, sort=False, observed=True)[list(OF_CELL[2:])].first()
    return _plain(names.join(_scores(frame, cell)).join(_shares(frame, cell)))


def verification(*counted: Tally) -> pd.DataFrame:
    """One row a vendor and model: how much came back, how whole it is, how long it took and what it cost.

    Columns: vendor, provider, model, then those of `_shares`.
    """
    by = ["vendor", "provider", "model"]
    return _plain(_shares(_frame(counted, *by, *FLAGS, *NUMBERS), by).sort_index())


def scores_by_model_persona(*counted: Tally) -> pd.DataFrame:
    """One row a model, persona and temperature: `scored`, then each question's n, mean, sd, min and max.

    An answer that several jobs of a sweep share counts once.
    """
    by = ["model", "persona", "temperature"]
    frame = _frame(counted, *by, "scored", *_questions(*counted))
    origin = _frame(counted, "job", "answer")
    if origin["job"].nunique() > 1:
        frame = frame[origin["job"].eq(origin.groupby("answer")["job"].transform("first"))]
    scored = frame.groupby(by, sort=False, observed=True).agg(scored=("scored", "sum"))
    return _plain(scored.join(_scores(frame, by)))


def write_summary(table: pd.DataFrame, path: Path) -> None:
    """Write a table as UTF-8 CSV with one header line; unknown values are empty fields."""
    table.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")


def _questions(*counted: Tally) -> list[str]:
    """The columns of `_frame` that hold scores."""
    return [_SCORE + question for question in dict.fromkeys(question for one in counted for question in one.scores)]


def _frame(counted: Sequence[Tally], *columns: str) -> pd.DataFrame:
    """One row a trial, with some of: LABELS as categories, FLAGS, NUMBERS, `answer`, and `score:<question>`.

    `temperature` is what all trials of the row's cell were sent with. Each column costs its eight bytes a row or less,
    and no copy: ask for those that are needed.
    """
    import numpy as np
    import pandas as pd

    def column(name: str) -> Any:
        if name in LABELS:
            return _categories(counted, name)
        if name in FLAGS:
            flags = np.frombuffer(b"".join(one.flags for one in counted), dtype=np.uint8)
            return (flags >> FLAGS.index(name) & 1).astype(bool)
        return np.concatenate([_numbers(one, name) for one in counted])

    return pd.DataFrame({name: column(name) for name in columns}, copy=False)


def _numbers(counted: Tally, name: str) -> Sequence[float]:
    """A column of numbers of one tally."""
    if name == "answer":
        return counted.answers
    if name in NUMBERS:
        return counted.numbers[name]
    return counted.scores.get(name.removeprefix(_SCORE), array("d", [nan]) * counted.rows)


def _categories(counted: Sequence[Tally], name: str) -> pd.Categorical:
    """One of LABELS: its distinct values in the order of the rows, and each row's."""
    import numpy as np
    import pandas as pd

    places: dict[Hashable, int] = {}
    codes = []
    for one in counted:
        labels = one.texts if name == "text" else one.labels
        # Names may be equal in several cells; those that differ only in their halves of pairs become equal.
        shown = [whole_pairs(value) if isinstance(value, str) else value for value in _values(one, name)]
        by_code = np.array([places.setdefault(value, len(places)) for value in shown], dtype=np.int32)
        codes.append(by_code[labels.codes])
    return pd.Categorical.from_codes(np.concatenate(codes), categories=pd.Index(list(places)))


def _values(counted: Tally, name: str) -> list[Hashable]:
    """What each code of one of LABELS stands for."""
    if name == "text":
        return list(counted.texts.index)
    each: list[Any] = list(counted.labels.index)
    rows = [dict(zip(OF_CELL, labels, strict=True)) for labels in each]
    if name != "temperature":
        return [row[name] for row in rows]
    sent: dict[Hashable, set[str]] = {}
    for row in rows:
        sent.setdefault((row["job"], row["cell"]), set()).add(row["temperature"])
    return ["|".join(sorted(sent[row["job"], row["cell"]])) for row in rows]


def _shares(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Counts, shares, seconds, tokens and money of each group.

    Columns: trials, replies, scored, metadata (share of replies with time, model, persona, text and key), in_range
    (share with every score there and within its scale), reasons (share with a reason for every question),
    parse_failure_rate (share that could not be read; a value outside its scale was read), error_rate, latency_mean_s,
    latency_p95_s, tokens_input, tokens_output, price_usd (of all replies, whenever bought), saved_usd (what those would
    have cost more live, as far as that is known) and spent_usd (by this run).
    """
    extra = {
        "unread": frame["replied"] & ~frame["scored"] & frame["in_scale"],
        "unpriced": frame["replied"] & frame["price_usd"].isna(),
        "spent": (frame["price_usd"] - frame["earlier_usd"]).where(frame["bought"], 0.0),
        "unpriced_bought": frame["bought"] & frame["price_usd"].isna(),
    }
    groups = frame.assign(**extra).groupby(by, sort=False, observed=True)
    counts = groups[[*FLAGS, *extra]].sum()
    trials, replies = groups.size(), counts["replied"]
    known = groups[["tokens_input", "tokens_output", "price_usd", "saved_usd"]].sum(min_count=1)
    out = trials.to_frame("trials").assign(replies=replies, scored=counts["scored"])
    some = replies.where(replies > 0)
    shares = {"metadata": "metadata", "in_range": "scored", "reasons": "reasoned", "parse_failure_rate": "unread"}
    for share, count in shares.items():
        out[share] = counts[count] / some
    return out.assign(
        error_rate=(trials - replies) / trials,
        latency_mean_s=groups["latency_s"].mean(),
        latency_p95_s=groups["latency_s"].quantile(0.95),
        tokens_input=known["tokens_input"],
        tokens_output=known["tokens_output"],
        price_usd=known["price_usd"].where(counts["unpriced"] == 0),
        saved_usd=known["saved_usd"],
        spent_usd=counts["spent"].where(counts["unpriced_bought"] == 0),
    )


def _scores(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """`<question>_<statistic>` of each group, for every question of the frame and each of STATISTICS."""
    import pandas as pd

    groups = frame.groupby(by, sort=False, observed=True)
    statistics = dict(zip(STATISTICS, ("count", "mean", "std", "min", "max"), strict=True))
    columns = {
        f"{question}_{name}": groups[column].agg(function)
        for column, question in _scored(frame).items()
        for name, function in statistics.items()
    }
    return pd.DataFrame(columns, index=groups.size().index)


def _scored(frame: pd.DataFrame) -> dict[str, str]:
    """The frame's columns of scores, each with its question."""
    return {name: name.removeprefix(_SCORE) for name in frame.columns if name.startswith(_SCORE)}


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """The group's labels as ordinary columns of ordinary values."""
    import pandas as pd

    plain = table.reset_index()
    for name in plain.columns:
        if isinstance(plain[name].dtype, pd.CategoricalDtype):
            plain[name] = plain[name].astype(plain[name].cat.categories.dtype)
    return plain


# ---- MLflow's metrics ------------------------------------------------------------------------------------------------


def metric_name(*parts: str) -> str:
    """The parts joined by "/", each made safe for MLflow: letters, digits, "_", "-", "." and space of any script.

    A part that had to be changed ends in a few digits of its own hash, so that two names never become one.
    """
    name = "/".join(_safe(part) for part in parts)
    return name if len(name) <= _LONGEST_KEY else name[: _LONGEST_KEY - 9] + "-" + _digest(name)


def _safe(part: str) -> str:
    changed = _UNSAFE.sub("_", part)
    return part if changed == part and part.strip(".") else f"{changed.strip('.')}-{_digest(part)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def total_metrics(*counted: Tally) -> dict[str, float]:
    """Counts, rates, scores, seconds, tokens and money over every row, for a launch's own run. {} without rows."""
    if not any(one.rows for one in counted):
        return {}
    frame = _frame(counted, *FLAGS, *NUMBERS, *_questions(*counted)).assign(cell="")
    shares = _share_metrics(_records(_shares(frame, ["cell"]))[0])
    return _known({**shares, **{name: value for _, name, value in _score_metrics(frame)}})


def cell_metrics(counted: Tally, job: int | None = None) -> dict[str, dict[str, float]]:
    """Metrics of each cell, by its name. Where a sweep's jobs share cell names, give `job` or a tally for each job.

    For every question `score/<question>/{mean,sd,n}`, and `score/<question>/text/<text>/{mean,sd,n}` for up to
    TEXTS_AS_METRICS texts; over all questions `score/{mean,sd,n}`; then trials, replies, in_range,
    parse_failure_rate, error_rate, latency_s/{mean,p95}, tokens/{input,output}, price_usd, spent_usd and, where a batch
    was cheaper than live, saved_usd. What is unknown is left out.
    """
    frame = _frame((counted,), "job", "cell", "text", *FLAGS, *NUMBERS, *_questions(counted))
    frame = frame if job is None else frame[frame["job"] == job]
    metrics = {row["cell"]: _share_metrics(row) for row in _records(_shares(frame, ["cell"]).reset_index())}
    for cell, name, value in _score_metrics(frame):
        metrics[cell][name] = value
    return {cell: _known(values) for cell, values in metrics.items()}


def _share_metrics(row: Mapping[str, float]) -> dict[str, float]:
    same = ("trials", "replies", "in_range", "parse_failure_rate", "error_rate", "price_usd", "spent_usd")
    return {
        **{name: row[name] for name in same},
        **({"saved_usd": row["saved_usd"]} if row["saved_usd"] else {}),
        "latency_s/mean": row["latency_mean_s"],
        "latency_s/p95": row["latency_p95_s"],
        "tokens/input": row["tokens_input"],
        "tokens/output": row["tokens_output"],
    }


def _score_metrics(frame: pd.DataFrame) -> Iterator[tuple[str, str, float]]:
    """(cell, metric, value) for all questions together, each question, and each question and text, where there are."""
    columns = _scored(frame)
    whole = frame.melt(id_vars="cell", value_vars=list(columns), value_name=_SCORE)
    yield from _three(whole, ["cell"], {_SCORE: ""}, lambda _key, _question: ("score",))
    yield from _three(frame, ["cell"], columns, lambda _key, question: ("score", question))
    if "text" in frame and frame["text"].nunique() <= TEXTS_AS_METRICS:
        names = _three(frame, ["cell", "text"], columns, lambda key, question: ("score", question, "text", key[1]))
        yield from names


def _three(
    frame: pd.DataFrame,
    by: list[str],
    columns: Mapping[str, str],
    name: Callable[[tuple[str, ...], str], tuple[str, ...]],
) -> Iterator[tuple[str, str, float]]:
    groups = frame.groupby(by, sort=False, observed=True)
    for column, question in columns.items():
        for key, *values in groups[column].agg(["mean", "std", "count"]).itertuples(name=None):
            parts = key if isinstance(key, tuple) else (key,)
            for statistic, value in zip(("mean", "sd", "n"), values, strict=True):
                yield parts[0], metric_name(*name(parts, question), statistic), value


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict(orient="records")]


def _known(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if isfinite(value)}
