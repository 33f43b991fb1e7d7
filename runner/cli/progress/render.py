"""A picture of the moment -> a display for a terminal, or one line for a log."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, assert_never

from runner.cli.progress.counts import Failed, Retried
from runner.ledger.batch_records import BatchRecord
from runner.reporting.formatting import age, duration, many, money, rate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.text import Text

    from runner.cli.progress.board import BatchLine, Line, Picture

MOST_BATCHES = 8
"""Lines for batches; further ones are only counted."""
BAR = range(6, 31)
"""How wide a bar may be, in characters."""
NAME = 24
MOST_STUCK = 3
"""Lines that say why nothing moves."""


# ---- a terminal ------------------------------------------------------------------------------------------------------


def display(picture: Picture, width: int, height: int) -> Text:
    """A line for each model with its bar, one for each batch, and what holds for all; at most `height` - 1 lines."""
    from rich.text import Text

    batches = _batch_lines(picture, width)
    stuck = stuck_lines(picture)
    foot = [line[: width - 1] for line in (_foot(picture), _why(picture), *stuck, _stopping(picture)) if line]
    shown, hidden = _fitting(picture.models, max(1, height - 3 - len(batches) - len(foot)))
    lines = _model_lines(shown, width, Text)
    if hidden:
        done = sum(line.done >= line.planned for line in hidden)
        lines.append(Text(f"and {len(hidden)} further models, {done} of them done", style="dim"))
    lines += [Text(line, style="cyan") for line in batches]
    lines += [Text(line, style="bold" if place == 0 else "yellow") for place, line in enumerate(foot)]
    for line in lines:
        line.truncate(width - 1, overflow="ellipsis")
    return Text("\n").join(lines)


def _fitting(models: tuple[Line, ...], most: int) -> tuple[list[Line], list[Line]]:
    """Those that there is room for, and the others; models that are done go first where it is short."""
    if len(models) <= most:
        return list(models), []
    by_need = sorted(models, key=lambda line: line.done >= line.planned)
    kept = {line.name for line in by_need[: max(0, most - 1)]}
    return [line for line in models if line.name in kept], [line for line in models if line.name not in kept]


HEADERS = ("done", "flight", "rate", "retries", "failed", "left")


def _model_lines(models: list[Line], width: int, text: type[Text]) -> list[Text]:
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


def _cells(line: Line) -> tuple[str, ...]:
    left = "" if line.done >= line.planned else duration(line.left_s)
    done = f"{line.done:,}/{line.planned:,}"
    return (done, str(line.in_flight), rate(line.rate), str(line.retries or ""), str(line.failed or ""), left)


def _cut(name: str, width: int) -> str:
    return name if len(name) <= width else f"{name[: width - 1]}…"


def _batch_lines(picture: Picture, width: int) -> list[str]:
    shown = picture.batches[:MOST_BATCHES]
    lines = [f"{_batch(one)}  {one.id}"[: width - 1] for one in shown]
    if len(picture.batches) > len(shown):
        lines.append(f"and {len(picture.batches) - len(shown)} further batches")
    return lines


def _batch(one: BatchLine) -> str:
    done = many(one.count, "request") if one.done is None else f"{one.done:,} of {one.count:,}"
    return f"batch of {_cut(one.model, NAME)}: {one.word}, {done}, {age(one.age_s)}"


def _foot(picture: Picture) -> str:
    total = picture.total
    parts = [f"{total.done:,} of {total.planned:,}"]
    if total.done >= total.planned:
        parts.append("writing results")
    else:
        parts += [f"{total.in_flight:,} in flight", rate(total.rate)]
    if ended := picture.batches_ended:
        parts.append(_ended(ended))
    parts += [part for part in (_money(picture), _left(total)) if part]
    return " · ".join(parts)


def _stuck(picture: Picture) -> list[tuple[str, str]]:
    """Models that nothing is answered of, and why: one for each reason, the first few."""
    by_reason = {line.stuck: line.name for line in reversed(picture.models) if line.stuck}
    return [(name, why) for why, name in reversed(by_reason.items())][:MOST_STUCK]


def _left(total: Line) -> str:
    return f"{duration(total.left_s)} left" if total.done < total.planned and total.left_s is not None else ""


def _stopping(picture: Picture) -> str:
    if not picture.stopping:
        return ""
    return f"nothing more is sent; waiting for {picture.total.in_flight} in flight (Ctrl-C again drops them)"


# ---- a log -----------------------------------------------------------------------------------------------------------


def first_line(picture: Picture) -> str:
    """What is about to happen."""
    by_model = ", ".join(f"{line.name} {line.planned:,}" for line in picture.models)
    return f"{many(picture.total.planned, 'request')} to send: {by_model}"


def line(picture: Picture) -> str:
    """The moment in one line."""
    total = picture.total
    parts = [f"{total.done:,} of {total.planned:,} done", f"{total.in_flight:,} in flight", rate(total.rate)]
    parts += [part for part in (_money(picture), _why(picture), _batches(picture), _left(total)) if part]
    return ", ".join(parts) + (", nothing more is sent" if picture.stopping else "")


def stuck_lines(picture: Picture) -> list[str]:
    """Why nothing moves, a line a reason."""
    return [f"{name} waits: {why}" for name, why in _stuck(picture)]


def last_line(picture: Picture) -> str:
    """What has happened."""
    total, seconds = picture.total, picture.elapsed_s
    parts = [f"{total.done:,} of {many(total.planned, 'request')} done in {duration(seconds)}"]
    if total.done and seconds > 0:
        parts.append(f"{rate(total.done / seconds)} on average")
    parts += [part for part in (_spent(picture), _why(picture), _batches(picture)) if part]
    return ", ".join(parts)


def event(what: Retried | Failed | BatchRecord) -> str:
    """Something that happened, in one line, for those who asked to be told."""
    match what:
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


def _batches(picture: Picture) -> str:
    if not picture.batches:
        return _ended(picture.batches_ended) if picture.batches_ended else ""
    words = Counter(one.word for one in picture.batches)
    states = ", ".join(f"{count} {word}" for word, count in words.items())
    oldest = age(max(one.age_s for one in picture.batches))
    return f"batches: {states}, {picture.batches_ended} ended, the oldest {oldest} old"


def _ended(count: int) -> str:
    return f"{many(count, 'batch', 'batches')} ended"


# ---- words and numbers -----------------------------------------------------------------------------------------------


def _why(picture: Picture) -> str:
    retries, failures = _kinds(picture.retries), _kinds(picture.failures)
    parts = (f"retries: {retries}" if retries else "", f"failed: {failures}" if failures else "")
    return "; ".join(part for part in parts if part)


def _kinds(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in sorted(counts.items(), key=lambda item: -item[1]))


def _money(picture: Picture) -> str:
    """What is spent of what it all will have cost: both are estimates."""
    if not picture.whole_usd or picture.spent_usd is None:
        return ""
    return f"about ${money(picture.spent_usd)} of ${money(picture.whole_usd)}"


def _spent(picture: Picture) -> str:
    return f"about ${money(picture.spent_usd)}" if picture.spent_usd else ""
