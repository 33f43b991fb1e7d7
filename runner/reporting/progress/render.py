"""A snapshot of the moment -> a display for a terminal, or one line for a log."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, assert_never

from runner.ledger.batch_records import BatchRecord
from runner.reporting.formatting import age, duration, many, money, rate
from runner.reporting.progress.counts import Failed, Retried

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.text import Text

    from runner.reporting.progress.sampler import BatchProgress, ModelProgress, Snapshot

MOST_BATCHES = 8
"""Lines for batches; further ones are only counted."""
BAR = range(6, 31)
"""How wide a bar may be, in characters."""
NAME = 24
MOST_STUCK = 3
"""Lines that say why nothing moves."""


# ---- a terminal ------------------------------------------------------------------------------------------------------


def display(snapshot: Snapshot, width: int, height: int) -> Text:
    """A line for each model with its bar, one for each batch, and what holds for all; at most `height` - 1 lines."""
    from rich.text import Text

    batches = _batch_lines(snapshot, width)
    stuck = stuck_lines(snapshot)
    foot = [line[: width - 1] for line in (_foot(snapshot), _why(snapshot), *stuck, _stopping(snapshot)) if line]
    shown, hidden = _fitting(snapshot.models, max(1, height - 3 - len(batches) - len(foot)))
    lines = _model_lines(shown, width, Text)
    if hidden:
        done = sum(line.done >= line.planned for line in hidden)
        lines.append(Text(f"and {len(hidden)} further models, {done} of them done", style="dim"))
    lines += [Text(line, style="cyan") for line in batches]
    lines += [Text(line, style="bold" if place == 0 else "yellow") for place, line in enumerate(foot)]
    for line in lines:
        line.truncate(width - 1, overflow="ellipsis")
    return Text("\n").join(lines)


def _fitting(models: tuple[ModelProgress, ...], most: int) -> tuple[list[ModelProgress], list[ModelProgress]]:
    """Those that there is room for, and the others; models that are done go first where it is short."""
    if len(models) <= most:
        return list(models), []
    by_need = sorted(models, key=lambda line: line.done >= line.planned)
    kept = {line.name for line in by_need[: max(0, most - 1)]}
    return [line for line in models if line.name in kept], [line for line in models if line.name not in kept]


HEADERS = ("done", "flight", "rate", "retries", "failed", "left")


def _model_lines(models: list[ModelProgress], width: int, text: type[Text]) -> list[Text]:
    cells = [_cells(line) for line in models]
    columns = [max(len(row[at]) for row in (HEADERS, *cells)) for at in range(len(HEADERS))]
    name = min(NAME, width // 3, max((len(line.name) for line in models), default=0))
    bar = min(BAR.stop - 1, width - 1 - name - 2 - sum(columns) - len(columns))
    bar = bar if bar in BAR else 0

    def row(first: str, values: tuple[str, ...]) -> str:
        return first + "".join(f" {value:>{size}}" for value, size in zip(values, columns, strict=True))

    lines = [text(row(" " * (name + (bar + 1 if bar else 0)), HEADERS), style="dim")]
    for line, values in zip(models, cells, strict=True):
        full = bar if line.done >= line.planned else bar * line.done // max(1, line.planned)
        one = text(f"{_cut(line.name, name):<{name}}" + (" " if bar else ""))
        one.append("━" * full, style="green" if line.done >= line.planned else "magenta")
        one.append("━" * (bar - full), style="bright_black")
        one.append(row("", values))
        lines.append(one)
    return lines


def _cells(line: ModelProgress) -> tuple[str, ...]:
    left = "" if line.done >= line.planned else duration(line.left_s)
    done = f"{line.done:,}/{line.planned:,}"
    return (done, str(line.in_flight), rate(line.rate), str(line.retries or ""), str(line.failed or ""), left)


def _cut(name: str, width: int) -> str:
    return name if len(name) <= width else f"{name[: width - 1]}…"


def _batch_lines(snapshot: Snapshot, width: int) -> list[str]:
    shown = snapshot.batches[:MOST_BATCHES]
    lines = [f"{_batch(one)}  {one.id}"[: width - 1] for one in shown]
    if len(snapshot.batches) > len(shown):
        lines.append(f"and {len(snapshot.batches) - len(shown)} further batches")
    return lines


def _batch(one: BatchProgress) -> str:
    done = many(one.count, "request") if one.done is None else f"{one.done:,} of {one.count:,}"
    return f"batch of {_cut(one.model, NAME)}: {one.word}, {done}, {age(one.age_s)}"


def _foot(snapshot: Snapshot) -> str:
    total = snapshot.total
    parts = [f"{total.done:,} of {total.planned:,}"]
    if total.done >= total.planned:
        parts.append("writing results")
    else:
        parts += [f"{total.in_flight:,} in flight", rate(total.rate)]
    if ended := snapshot.batches_ended:
        parts.append(_ended(ended))
    parts += [part for part in (_money(snapshot), _left(total)) if part]
    return " · ".join(parts)


def _stuck(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Models that nothing is answered of, and why: one for each reason, the first few."""
    by_reason = {line.stuck: line.name for line in reversed(snapshot.models) if line.stuck}
    return [(name, why) for why, name in reversed(by_reason.items())][:MOST_STUCK]


def _left(total: ModelProgress) -> str:
    return f"{duration(total.left_s)} left" if total.done < total.planned and total.left_s is not None else ""


def _stopping(snapshot: Snapshot) -> str:
    if not snapshot.stopping:
        return ""
    return f"nothing more is sent; waiting for {snapshot.total.in_flight} in flight (Ctrl-C again drops them)"


# ---- a log -----------------------------------------------------------------------------------------------------------


def first_line(snapshot: Snapshot) -> str:
    """What is about to happen."""
    by_model = ", ".join(f"{line.name} {line.planned:,}" for line in snapshot.models)
    return f"{many(snapshot.total.planned, 'request')} to send: {by_model}"


def line(snapshot: Snapshot) -> str:
    """The moment in one line."""
    total = snapshot.total
    parts = [f"{total.done:,} of {total.planned:,} done", f"{total.in_flight:,} in flight", rate(total.rate)]
    parts += [part for part in (_money(snapshot), _why(snapshot), _batches(snapshot), _left(total)) if part]
    return ", ".join(parts) + (", nothing more is sent" if snapshot.stopping else "")


def stuck_lines(snapshot: Snapshot) -> list[str]:
    """Why nothing moves, a line a reason."""
    return [f"{name} waits: {why}" for name, why in _stuck(snapshot)]


def last_line(snapshot: Snapshot) -> str:
    """What has happened."""
    total, seconds = snapshot.total, snapshot.elapsed_s
    parts = [f"{total.done:,} of {many(total.planned, 'request')} done in {duration(seconds)}"]
    if total.done and seconds > 0:
        parts.append(f"{rate(total.done / seconds)} on average")
    parts += [part for part in (_spent(snapshot), _why(snapshot), _batches(snapshot)) if part]
    return ", ".join(parts)


def event(what: Retried | Failed | BatchRecord | str) -> str:
    """Something that happened, in one line."""
    match what:
        case str():
            return what
        case Retried():
            because = f" ({what.reason})" if what.reason else ""
            return f"{what.model}: {what.kind}{because}, again in {duration(what.wait_s)}"
        case Failed():
            trial, problem = what.trial, what.failure.problem
            return f"{trial.cell.name}/{trial.text.name} #{trial.repetition} failed: {problem.kind}: {problem.message}"
        case BatchRecord():
            standing = what.standing
            stands = (
                f": {standing.word}, {standing.done} of {what.count}"
                if standing
                else f": {many(what.count, 'request')}"
            )
            return (
                f"batch {what.id} of {what.model.name} is {what.state}{stands}{f' ({what.note})' if what.note else ''}"
            )
        case _:
            assert_never(what)


def _batches(snapshot: Snapshot) -> str:
    if not snapshot.batches:
        return _ended(snapshot.batches_ended) if snapshot.batches_ended else ""
    words = Counter(one.word for one in snapshot.batches)
    states = ", ".join(f"{count} {word}" for word, count in words.items())
    oldest = age(max(one.age_s for one in snapshot.batches))
    return f"batches: {states}, {snapshot.batches_ended} ended, the oldest {oldest} old"


def _ended(count: int) -> str:
    return f"{many(count, 'batch', 'batches')} ended"


# ---- words and numbers -----------------------------------------------------------------------------------------------


def _why(snapshot: Snapshot) -> str:
    retries, failures = _kinds(snapshot.retries), _kinds(snapshot.failures)
    parts = (f"retries: {retries}" if retries else "", f"failed: {failures}" if failures else "")
    return "; ".join(part for part in parts if part)


def _kinds(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in sorted(counts.items(), key=lambda item: -item[1]))


def _money(snapshot: Snapshot) -> str:
    """What is spent of what it all will have cost: both are estimates."""
    if not snapshot.whole_usd or snapshot.spent_usd is None:
        return ""
    return f"about ${money(snapshot.spent_usd)} of ${money(snapshot.whole_usd)}"


def _spent(snapshot: Snapshot) -> str:
    return f"about ${money(snapshot.spent_usd)}" if snapshot.spent_usd else ""
