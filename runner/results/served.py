"""Which models answered, as they name themselves, and what is said where that is not one declared name a model."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from runner.results.tally import Served

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runner.records import Json
    from runner.results.tally import Tally

SHOWN = 5
"""Names of one model that are listed."""


def counted(tallies: Iterable[Tally]) -> Counter[Served]:
    """How many replies each name gave."""
    return sum((tally.served for tally in tallies), Counter())


def as_json(tallies: Iterable[Tally]) -> list[dict[str, Json]]:
    """For run.json: model, the name under which it answered, whether its file declares that name, and how often."""
    return [{**found._asdict(), "replies": count} for found, count in counted(tallies).most_common()]


def from_json(saved: Iterable[Mapping[str, Json]]) -> Counter[Served]:
    """What `as_json` made."""
    return Counter({Served(one["model"], one["name"], one["declared"]): one["replies"] for one in saved})


def told(found: Mapping[Served, int]) -> list[str]:
    """A line for each model that answered under a name that its file does not declare, or under several names."""
    lines = []
    for model in dict.fromkeys(one.model for one in found):
        names = {one.name: count for one, count in found.items() if one.model == model and one.declared}
        others = {one.name: count for one, count in found.items() if one.model == model and not one.declared}
        if others:
            advice = "identity=strict refuses them, served_as in its file declares them"
            lines.append(f"{model} was answered by {_listed(others)}: not declared, so in cells of their own; {advice}")
        if len(names) > 1:
            lines.append(
                f"{model} was answered by {len(names)} of its versions, which share its cells: {_listed(names)}"
            )
    return lines


def _listed(names: Mapping[str, int]) -> str:
    first = sorted(names.items(), key=lambda item: -item[1])[:SHOWN]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"{name} ({count})" for name, count in first) + more
