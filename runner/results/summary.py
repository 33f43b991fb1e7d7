"""Tallies of rows -> tables: numbers for summary.csv, the terminal and MLflow.

Every table is a function of tallies (tally): of one, or of those of a sweep's jobs. What counts, in all of them:

- a question's score counts wherever it was read (see tally); a mean is that of its texts' means, each text alike,
  so that missing scores of one text do not move it, and is the one that `runner stats` gives;
- complete is a reply with every score there; in range is one without a score outside its scale;
- an answer that jobs of a sweep share counts once, its tokens and its price too;
- a reply is a trial that did not fail; shares are from 0 to 1, of the replies (`error_rate`: of the trials);
- tokens are the sum of what the provider reported; money is unknown as soon as one reply's price is, but for savings,
  which are what is known of them.

Unknown is NaN in a table and an empty field in summary.csv. pandas is imported only when a table is made.
"""

from __future__ import annotations

import hashlib
import re
from math import isfinite
from typing import TYPE_CHECKING, Any

from runner.results.frame import SCORE, SENT_TO_CELL, asks, columns_of, frame
from runner.results.option_shares import option_shares
from runner.results.tally import FLAGS, NUMBERS, OF_CELL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from runner.records import Question
    from runner.results.tally import Tally

STATISTICS = ("n", "mean", "sd", "min", "max", "texts", "missing")
_ONCE = (*FLAGS, *NUMBERS, "again")
TEXTS_AS_METRICS = 100
"""Most texts for which a cell has metrics of its own for each; above it they would drown MLflow, and tables serve."""
_UNSAFE = re.compile(r"[^\w .-]")
_LONGEST_KEY = 250  # MLflow's MAX_ENTITY_KEY_LENGTH, in characters


def summary(counted: Tally, planned: int | None = None, asked: Sequence[Question] = ()) -> pd.DataFrame:
    """One row a cell, in the order of the rows.

    Columns: job, cell, vendor, provider, model, model_id, persona, temperature (as sent; "0.6|0.7" where texts shift
    it, "" where none was sent), then for each question `<question>_n`, `_mean`, `_sd` (of all scores as a sample: NaN
    below two), `_min`, `_max`, `_texts` (how many have a score) and `_missing` (share of the cell's trials without
    one), then the columns of `_shares`. `planned`: trials of a cell in the design, where rows may be fewer. `asked`:
    the questions, whose options' columns come last (see option_shares).
    """
    of_cell = [SENT_TO_CELL if name == "temperature" else name for name in OF_CELL]
    table, cell = (
        frame((counted,), *of_cell, "text", "asked", *FLAGS, *NUMBERS, *columns_of((counted,))),
        ["job", "cell"],
    )
    table = table.rename(columns={SENT_TO_CELL: "temperature"})
    names = table.groupby(cell, sort=False, observed=True)[list(OF_CELL[2:])].first()
    scores = names.join(_scores(table, cell, planned)).join(_shares(table, cell))
    return _plain(scores.join(option_shares(counted, cell, asked)) if counted.choices and asked else scores)


def verification(*counted: Tally) -> pd.DataFrame:
    """One row a vendor and model: how much came back, how whole it is, how long it took and what it cost.

    Columns: vendor, provider, model, then those of `_shares`.
    """
    by = ["vendor", "provider", "model"]
    return _plain(_shares(_once(frame(counted, *by, *_ONCE)), by).sort_index())


def scores_by_model_persona(*counted: Tally) -> pd.DataFrame:
    """One row a model, persona and temperature: `trials`, and each question's n, mean, sd, min, max, texts, missing.

    Index: model, persona, temperature (as sent); where several prompts were asked, the prompt too. Means and ranges in
    the question's own range; `summary` says which.
    """
    by = ["model", "persona", *(["prompt"] if "prompt" in varied(*counted) else []), "temperature"]
    of_cell = [SENT_TO_CELL if name == "temperature" else name for name in by]
    table = _once(frame(counted, *of_cell, "text", "asked", "again", *columns_of(counted)))
    table = table.rename(columns={SENT_TO_CELL: "temperature"})
    trials = table.groupby(by, sort=False, observed=True).size().to_frame("trials")
    return _plain(trials.join(_scores(table, by)))


def varied(*counted: Tally) -> dict[str, int]:
    """The factors of which rows have several levels, and how many: not what is known of personas and texts."""
    levels = {name: set[object]() for one in counted for name in one.factors}
    for one in counted:
        for name, found in levels.items():
            found.update(one.factors[name].index if name in one.factors else ())
    said = {name: len({label for label in found if label != ""}) for name, found in levels.items()}
    return {name: size for name, size in said.items() if size > 1 and not name.startswith(("persona.", "text."))}


def _once(table: pd.DataFrame) -> pd.DataFrame:
    """The trials whose answers are not an earlier job's as well."""
    return table[~table["again"]] if table["again"].any() else table


def write_summary(table: pd.DataFrame, path: Path) -> None:
    """Write a table as UTF-8 CSV with one header line; unknown values are empty fields."""
    table.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")


_OF_REPLIES = {
    "metadata": "metadata", "complete": "scored", "in_range": "within", "reasons": "reasoned",
    "parse_failure_rate": "unread",
}  # fmt: skip
"""Share of the replies -> what of them it counts."""


def _shares(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Counts, shares, seconds, tokens and money of each group.

    Columns: trials, replies, scored, metadata (share of replies with time, model, persona, text and key), complete
    (share with every score there), in_range (share without a score outside its scale), reasons (share with a reason for
    every question), parse_failure_rate (share that could not be read; a value outside its scale was read), error_rate,
    latency_mean_s, latency_p95_s, tokens_input, tokens_output, price_usd (of all replies, whenever bought), saved_usd
    (what those would have cost more live, as far as that is known) and spent_usd (by this run).
    """
    extra = {
        "unread": frame["replied"] & ~frame["scored"] & frame["in_scale"],
        "within": frame["replied"] & frame["in_scale"],
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
    for share, count in _OF_REPLIES.items():
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


def _scores(table: pd.DataFrame, by: list[str], planned: int | None = None) -> pd.DataFrame:
    """`<question>_<statistic>` of each group, for every question of the table and each of STATISTICS."""
    import pandas as pd

    groups = table.groupby(by, sort=False, observed=True)
    trials = groups.size()
    texts = table.groupby([*by, "text"], sort=False, observed=True)[list(_scored(table))].mean()
    columns: dict[str, pd.Series[Any]] = {}
    for column, question in _scored(table).items():
        found = groups[column].agg(["count", "std", "min", "max"])
        of_texts = texts[column].groupby(by, sort=False, observed=True)
        asked = pd.Series(asks(table, question), index=table.index).groupby([table[name] for name in by], sort=False,
                                                                            observed=True).sum()  # fmt: skip
        whole = (asked if planned is None else asked.clip(lower=planned)).where(asked > 0)
        made = (found["count"], of_texts.mean(), found["std"], found["min"], found["max"], of_texts.count(),
                1 - found["count"] / whole)  # fmt: skip
        columns |= {f"{question}_{name}": value for name, value in zip(STATISTICS, made, strict=True)}
    return pd.DataFrame(columns, index=trials.index)


def _scored(table: pd.DataFrame) -> dict[str, str]:
    """The table's columns of scores, each with its question."""
    return {name: name.removeprefix(SCORE) for name in table.columns if name.startswith(SCORE)}


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


def total_metrics(*counted: Tally, unknown: bool = False) -> dict[str, float]:
    """Counts, rates, scores, seconds, tokens and money over every row, for a launch's own run. {} without rows.

    Names and units as in `cell_metrics`, without those of single texts: rates from 0 to 1, scores in the questions' own
    range, seconds, US dollars. What is unknown is left out, unless `unknown` asks for it: as NaN.
    """
    if not any(one.rows for one in counted):
        return {}
    table = _once(frame(counted, "text", *_ONCE, *columns_of(counted))).assign(cell="")
    shares = _share_metrics(_records(_shares(table, ["cell"]))[0])
    metrics = {**shares, **{name: value for _, name, value in _score_metrics(table, texts=False)}}
    return {name: float(value) for name, value in metrics.items()} if unknown else _known(metrics)


def cell_metrics(counted: Tally, job: int | None = None) -> dict[str, dict[str, float]]:
    """Metrics of each cell, by its name. Where a sweep's jobs share cell names, give `job` or a tally for each job.

    For every question `score/<question>/{mean,sd,n}`, and `score/<question>/text/<text>/{mean,sd,n}` for up to
    TEXTS_AS_METRICS texts; over all questions `score/{mean,sd,n}`, the mean that of the questions' means; then trials,
    replies, complete, in_range, parse_failure_rate, error_rate, latency_s/{mean,p95}, tokens/{input,output}, price_usd,
    spent_usd and, where a batch was cheaper than live, saved_usd. What is unknown is left out.
    """
    table = frame((counted,), "job", "cell", "text", *FLAGS, *NUMBERS, *columns_of((counted,)))
    table = table if job is None else table[table["job"] == job]
    metrics = {row["cell"]: _share_metrics(row) for row in _records(_shares(table, ["cell"]).reset_index())}
    for cell, name, value in _score_metrics(table, texts=True):
        metrics[cell][name] = value
    return {cell: _known(values) for cell, values in metrics.items()}


def _share_metrics(row: Mapping[str, float]) -> dict[str, float]:
    same = ("trials", "replies", "complete", "in_range", "parse_failure_rate", "error_rate", "price_usd", "spent_usd")
    return {
        **{name: row[name] for name in same},
        **({"saved_usd": row["saved_usd"]} if row["saved_usd"] else {}),
        "latency_s/mean": row["latency_mean_s"],
        "latency_s/p95": row["latency_p95_s"],
        "tokens/input": row["tokens_input"],
        "tokens/output": row["tokens_output"],
    }


def _score_metrics(table: pd.DataFrame, *, texts: bool) -> Iterator[tuple[str, str, float]]:
    """(cell, metric, value) for all questions together, each question, and each question and text, where there are."""
    columns = _scored(table)
    yield from _over_questions(table, list(columns))
    yield from _three(table, ["cell"], columns, lambda _key, question: ("score", question))
    if texts and table["text"].nunique() <= TEXTS_AS_METRICS:
        names = _three(table, ["cell", "text"], columns, lambda key, question: ("score", question, "text", key[1]))
        yield from names


def _over_questions(table: pd.DataFrame, columns: list[str]) -> Iterator[tuple[str, str, float]]:
    """All questions of a cell together: the mean of their means, and sd and n of all scores."""
    whole = table.melt(id_vars="cell", value_vars=columns, value_name=SCORE)
    spread = whole.groupby("cell", sort=False, observed=True)[SCORE].agg(["std", "count"])
    mean = _means(table, ["cell"], columns).mean(axis=1)
    for cell, sd, n in spread.itertuples(name=None):
        yield cell, metric_name("score", "mean"), mean[cell]
        yield cell, metric_name("score", "sd"), sd
        yield cell, metric_name("score", "n"), n


def _means(table: pd.DataFrame, by: list[str], columns: list[str]) -> pd.DataFrame:
    """Each question's mean of its texts' means, a row a group."""
    of_texts = table.groupby(list(dict.fromkeys([*by, "text"])), sort=False, observed=True)[columns].mean()
    return of_texts.groupby(by, sort=False, observed=True).mean()


def _three(
    table: pd.DataFrame,
    by: list[str],
    columns: Mapping[str, str],
    name: Callable[[tuple[str, ...], str], tuple[str, ...]],
) -> Iterator[tuple[str, str, float]]:
    groups = table.groupby(by, sort=False, observed=True)
    means = _means(table, by, list(columns))
    for column, question in columns.items():
        for key, sd, n in groups[column].agg(["std", "count"]).itertuples(name=None):
            parts = key if isinstance(key, tuple) else (key,)
            for statistic, value in (("mean", float(means[column].loc[key])), ("sd", sd), ("n", n)):
                yield parts[0], metric_name(*name(parts, question), statistic), value


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict(orient="records")]


def _known(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if isfinite(value)}
