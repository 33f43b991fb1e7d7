"""Tables for a terminal of 80 columns or more."""

from __future__ import annotations

from collections import Counter
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

from runner.plan import estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd
    from rich.console import Console, Group
    from rich.table import Table

    from runner.plan.estimate import Estimate, Line


def console() -> Console:
    """Where results are shown."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def render_verification(table: pd.DataFrame) -> Table:
    """The verification table for a terminal of 80 columns or more: a line for each vendor, its models below it."""
    shares = ("meta-\ndata", "in\nrange", "rea-\nsons", "er-\nrors")
    headers = ("replies", *shares, "s/trial\nmean p95", "tokens\nin/out", "USD")
    shown = _table("Verification", "vendor\n  model", headers)
    whole = table.groupby("vendor", observed=True)[["replies", "trials"]].sum()
    of_vendor = {str(vendor): f"{_short(row['replies'])}/{_short(row['trials'])}" for vendor, row in whole.iterrows()}
    for row in _below(shown, table, "vendor", "model", of_vendor):
        shown.add_row(
            row["name"],
            f"{_short(row['replies'])}/{_short(row['trials'])}",
            *(_percent(row[share]) for share in ("metadata", "in_range", "reasons", "error_rate")),
            f"{_seconds(row['latency_mean_s'])} {_seconds(row['latency_p95_s'])}",
            f"{_short(row['tokens_input'])}/{_short(row['tokens_output'])}",
            money(row["price_usd"]),
        )
    return shown


def render_scores(table: pd.DataFrame) -> Table:
    """Mean scores for a terminal: a line for each model, its personas below it.

    Standard deviations are shown for up to four questions, which is what 80 columns hold.
    """
    questions = [str(name).removesuffix("_mean") for name in table.columns if str(name).endswith("_mean")]
    spread = len(questions) <= 4
    title = "Mean score by model and persona" + (" (± standard deviation)" if spread else "")
    shown = _table(title, "model\n  persona", ("temp.", "scored", *questions))
    for row in _below(shown, table, "model", "persona"):
        scores = (_score(row[f"{name}_mean"], row[f"{name}_sd"] if spread else nan) for name in questions)
        shown.add_row(row["name"], row["temperature"] or "-", _short(row["scored"]), *scores)
    return shown


def render_jobs(lines: Sequence[Mapping[str, Any]], axes: Mapping[str, Sequence[str]]) -> Table:
    """A sweep's jobs: what each one varied, and what came of it. What went wrong is said below the tables.

    `lines` are the jobs of sweep.json; `axes` maps each swept override to its value in each job.
    """
    from rich.text import Text

    columns = (*(name.rpartition(".")[2] for name in axes), "scored", "failed", "same as\nearlier", "status")
    shown = _table("Jobs", "job", columns)
    for place, line in enumerate(lines):
        status = Text(line["status"], style="" if line["error"] is None else "red")
        values = (Text(column[place]) for column in axes.values())
        counts = (f"{_short(line['scored'])}/{_short(line['trials'])}", _short(line["failed"]))
        shown.add_row(str(line["job"]), *values, *counts, _short(line["collapsed"]), status)
    return shown


def render_estimate(found: Estimate) -> Group:
    """What would be bought from each model, what is dropped, and what is assumed."""
    from rich.console import Group
    from rich.text import Text

    tables = [_bought(found), *([_dropped(found)] if found.droppings else [])]
    return Group(*tables, *(Text(remark) for remark in _remarks(found)))


def _bought(found: Estimate) -> Table:
    headers = ("cells", "trials", "paid", "same", "buy", "tokens\nin/out", "USD\nlive", "USD\nbatch", "time\nlive")
    shown = _table("What would be bought", "model", headers)
    names = Counter(line.model for line in found.lines)
    for line in found.lines:
        name = line.model if names[line.model] == 1 else f"{line.model}\n{line.model_id}"
        shown.add_row(name, *_figures(line), end_section=line is found.lines[-1])
    if len(found.lines) > 1:
        shown.add_row("all", *_figures(found.total))
    return shown


def _figures(line: Line) -> tuple[str, ...]:
    return (
        *(_short(count) for count in (line.cells, line.trials, line.paid, line.collapsed, line.requests)),
        f"{_short(line.input_tokens)}/{_short(line.output_tokens)}",
        _price(line.live_usd),
        _price(line.batch_usd) if line.batch_api else "-",
        _duration(line.live_s),
    )


def _dropped(found: Estimate) -> Table:
    shown = _table("Dropped or changed", "model")
    shown.add_column("parameter")
    shown.add_column("trials", justify="right")
    shown.add_column("why", overflow="fold")
    for item in found.droppings:
        shown.add_row(item.model, item.parameter, _short(item.trials), item.reason)
    return shown


def _remarks(found: Estimate) -> Iterator[str]:
    total = found.total
    waiting = f"{total.waiting} in batches that still run, " if total.waiting else ""
    yield (
        f"{many(total.trials, 'trial')} of {many(found.jobs, 'job')}: {total.paid} in the ledger, "
        f"{total.collapsed} the same as an earlier one, {waiting}{total.requests} to buy. Nothing was sent."
    )
    if found.unpriced:
        yield f"No price is known of {', '.join(found.unpriced)}: see prices in its file."
    if found.live:
        yield f"Live, as they have no batch API: {', '.join(found.live)}."
    bought = [line for line in found.lines if line.requests]
    if unknown := [line.model for line in bought if line.live_usd is not None and line.batch_usd is None]:
        yield f"No batch price is known of {', '.join(unknown)}."
    if reasoning := [line.model for line in bought if line.reasons]:
        yield f"Output at max_tokens, because they may reason: {', '.join(reasoning)}."
    if not bought:
        return
    names = sorted({line.tokenizer for line in bought})
    pace = estimate.PACE
    yield (
        f"Assumed: replies as long as their schema allows; {pace.start_s:g} s and {pace.tokens_per_s:g} tokens/s a "
        f"request; batches within {estimate.BATCH_WINDOW_H} h. Tokens counted by {', '.join(names)}."
    )


def _table(title: str, names: str, headers: Iterable[str] = ()) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    shown.min_width = len(title)  # or rich folds the title over a narrow table
    shown.add_column(names, overflow="fold")
    for header in headers:
        shown.add_column(Text(header), justify="right", vertical="bottom", overflow="fold")
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


def _percent(share: float) -> str:
    """Whole per cent; 100% and 0% are said only of all and of none."""
    if not isfinite(share):
        return "-"
    return f"{share:.0%}" if share in {0.0, 1.0} else f"{min(max(round(share * 100), 1), 99)}%"


def _seconds(value: float) -> str:
    if not isfinite(value):
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _short(count: float) -> str:
    """A count in about five characters: the last digits go from ten thousand on."""
    if not isfinite(count):
        return "-"
    if count < 1e4:
        return f"{count:.0f}"
    return f"{count / 1e3:.0f}k" if count < 1e6 else f"{count / 1e6:.3g}M"


def many(count: int, what: str) -> str:
    """So many of them, in words."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def money(usd: float) -> str:
    """US dollars in about six characters; "-" where unknown."""
    if not isfinite(usd):
        return "-"
    if usd == 0:
        return "0"
    if usd < 0.0001:
        return "<.0001"
    return f"{usd:.2f}" if usd >= 1 else f"{usd:#.2g}"


def _price(usd: float | None) -> str:
    """An estimate of US dollars; "?" where the price is unknown."""
    return "?" if usd is None else money(usd)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _score(mean: float, sd: float) -> str:
    if not isfinite(mean):
        return "-"
    return f"{mean:.1f} ±{sd:.1f}" if isfinite(sd) else f"{mean:.1f}"
