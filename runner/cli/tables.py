"""What every launch shows at its end: the verification table, mean scores, a sweep's jobs. For 80 columns or more."""

from __future__ import annotations

from math import isfinite, nan
from typing import TYPE_CHECKING, Any

from runner.reporting.formatting import NONE, many, money, percent, plain, seconds, short_count
from runner.reporting.terminal import empty_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    from rich.table import Table


WIDTH = 80
"""Columns of a terminal that a table of scores is made for."""
LEAST_QUESTIONS = 4


def render_verification(table: pd.DataFrame) -> Table:
    """The verification table for a terminal of 80 columns or more: a line for each vendor, its models below it."""
    shares = ("meta-\ndata", "com-\nplete", "in\nrange", "rea-\nsons", "er-\nrors")
    headers = ("replies", *shares, "s/trial\nmean p95", "tokens\nin/out", "USD")
    shown = empty_table("Verification", ["vendor\n  model"], headers)
    whole = table.groupby("vendor", observed=True)[["replies", "trials"]].sum()
    of_vendor = {
        str(vendor): f"{short_count(row['replies'])}/{short_count(row['trials'])}" for vendor, row in whole.iterrows()
    }
    for row in _below(shown, table, "vendor", "model", of_vendor):
        shown.add_row(
            row["name"],
            f"{short_count(row['replies'])}/{short_count(row['trials'])}",
            *(percent(row[share]) for share in ("metadata", "complete", "in_range", "reasons", "error_rate")),
            f"{seconds(row['latency_mean_s'])} {seconds(row['latency_p95_s'])}",
            f"{short_count(row['tokens_input'])}/{short_count(row['tokens_output'])}",
            money(row["price_usd"]),
        )
    return shown


def render_scores(table: pd.DataFrame, over: Mapping[str, int] | None = None) -> Table:
    """Mean scores for a terminal: a line for each model, its personas below it, each with its prompts if several.

    `over`: what else the means are over, such as a swept setting, and how many levels it has.

    Standard deviations are shown for up to four questions, which is what 80 columns hold. `scores` are the fewest and
    the most of any question, of the trials. A mean over fewer texts than others in its column are over is marked.
    """
    prompts = "prompt" in table.columns
    every = [str(name).removesuffix("_mean") for name in table.columns if str(name).endswith("_mean")]
    questions = _that_fit(every, table)
    spread = len(every) <= 4
    title = "Mean score by model, persona and prompt" if prompts else "Mean score by model and persona"
    name = "model\n  persona, prompt" if prompts else "model\n  persona"
    shown = empty_table(title, [name], ("temp.", "scores", *questions))
    if prompts:
        table = table.assign(persona=table["persona"] + ", " + table["prompt"])
    most = {name: table[f"{name}_texts"].max() for name in questions}
    fewer = False
    for row in _below(shown, table, "model", "persona"):
        marked = {name: row[f"{name}_n"] > 0 and row[f"{name}_texts"] < most[name] for name in questions}
        means = (_score(row[f"{name}_mean"], row[f"{name}_sd"] if spread else nan, marked[name]) for name in questions)
        shown.add_row(row["name"], row["temperature"] or NONE, _counts(row, questions), *means)
        fewer = fewer or any(marked.values())
    said = "Mean of the texts' means" + (", ± standard deviation of single scores" if spread else "")
    also = [f"{levels} levels of {name}" for name, levels in (over or {}).items() if name != "prompt"]
    said += f". Over {' and '.join(also)}" if also else ""
    more = len(every) - len(questions)
    left = f" summary.csv has {many(more, 'more question')}." if more else ""
    star = " * over fewer texts than its neighbours." if fewer else ""
    shown.caption = f"{said}.{star}{left}" if len(table) else None
    shown.caption_justify = "left"
    return shown


def _that_fit(questions: Sequence[str], table: pd.DataFrame) -> list[str]:
    """The first questions, as many as stand side by side with whole names in WIDTH columns; four at the least."""
    names = [f"{persona}, {prompt}" for persona, prompt in zip(table["persona"], table.get("prompt", ()), strict=False)]
    longest = max(map(len, (*names, *table["persona"], *table["model"])), default=0)
    left = WIDTH - min(longest + 2, WIDTH // 3) - len(" temp.  scores")
    shown: list[str] = []
    for question in questions:
        left -= max(len(question), len("100.0")) + 1
        if left < 0 and len(shown) >= LEAST_QUESTIONS:
            break
        shown.append(question)
    return shown


def _counts(row: Mapping[str, Any], questions: Sequence[str]) -> str:
    """The fewest and the most scores of a question, of the trials: "30/30", "20-30/30"."""
    counts = [int(row[f"{name}_n"]) for name in questions if isfinite(row[f"{name}_missing"])]
    ends = dict.fromkeys((min(counts, default=0), max(counts, default=0)))
    return f"{'-'.join(map(short_count, ends))}/{short_count(row['trials'])}"


def render_jobs(lines: Sequence[Mapping[str, Any]], axes: Mapping[str, Sequence[str]]) -> Table:
    """A sweep's jobs: what each one varied, and what came of it. What went wrong is said below the tables.

    `lines` are the jobs of sweep.json; `axes` maps each swept override to its value in each job.
    """
    from rich.text import Text

    columns = (*(name.rpartition(".")[2] for name in axes), "scored", "failed", "same as\nearlier", "status")
    shown = empty_table("Jobs", ["job"], columns)
    for place, line in enumerate(lines):
        status = Text(line["status"], style="" if line["error"] is None else "red")
        values = (Text(column[place]) for column in axes.values())
        counts = (f"{short_count(line['scored'])}/{short_count(line['trials'])}", short_count(line["failed"]))
        shown.add_row(str(line["job"]), *values, *counts, short_count(line["collapsed"]), status)
    return shown


def _below(
    shown: Table, table: pd.DataFrame, group: str, name: str, beside: Mapping[str, str] | None = None
) -> Iterator[dict[str, Any]]:
    """Each record, its `name` indented for the first column, after a line of its own for each new `group`.

    `beside` gives a group's second column.
    """
    from rich.padding import Padding
    from rich.text import Text

    last = None
    for record in table.sort_values(group, kind="stable").to_dict(orient="records"):
        row = {str(column): value for column, value in record.items()}
        if row[group] != last:
            last = row[group]
            shown.add_row(Text(last, style="bold"), Text((beside or {}).get(last, ""), style="bold"))
        yield {**row, "name": Padding(Text(row[name]), (0, 0, 0, 2))}


def _score(mean: float, sd: float, marked: bool) -> str:
    star = "*" if marked else ""
    return f"{plain(mean, 1)}{star} ±{plain(sd, 1)}" if isfinite(mean) and isfinite(sd) else f"{plain(mean, 1)}{star}"
