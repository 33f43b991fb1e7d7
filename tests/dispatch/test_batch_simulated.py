"""The engine with every adapter against the simulated providers, through real HTTP, on bad days."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from batching import APIS, KEYS, bench, model_of, settings, trials_of

from runner.dispatch.batch import control
from runner.dispatch.observer import Stop
from runner.providers.accounts import account_of
from runner.simulator import FaultPlan, SimulatorThread

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

COUNT = 8


@dataclass(frozen=True)
class Day:
    """What goes wrong, and how many replies that makes the provider bill beyond one for each request."""

    id: str
    plan: Mapping[str, Any]
    again: int = 0
    exceptions: Mapping[str, int] = field(default_factory=dict)
    """APIs at which it costs another number of replies."""
    apis: tuple[str, ...] = tuple(APIS)


SOME = ("openai", "anthropic", "vertex")
"""For what adapters are tested for one by one: three whose batches and results have nothing in common."""
DAYS = (
    Day(
        "refusals, errors, cut connections", {"refuse": 0.1, "server_error": 0.05, "drop": 0.05, "retry_after_s": 0.01}
    ),
    Day("no answer to the creation, listed late", {"drop_create": 0.01, "list_delay_s": 0.1}, apis=SOME),
    Day("downloads break off", {"drop_download": 0.5}, apis=SOME),
    Day("items fail at the provider", {"item_error": 0.25}),
    # Gemini gives no results of an expired batch, not even of what was finished and billed.
    Day("a batch expires half-way", {"expire": 0.01, "hour_s": 0.02}, exceptions={"gemini": 2}),
    Day("a batch fails", {"fail": 0.01, "hour_s": 0.02}, apis=SOME),
    Day("a batch does nothing", {"stall": 0.01, "hour_s": 0.02}, apis=SOME),
    Day("lines are lost", {"omit": 0.25}, again=3, apis=SOME),
    Day("lines are torn", {"corrupt": 0.25}, again=3, apis=SOME),
    Day("lines come twice", {"duplicate": 0.25}, apis=SOME),
)


@pytest.mark.parametrize(
    ("name", "day"), [pytest.param(name, day, id=f"{name}-{day.id}") for day in DAYS for name in day.apis]
)
def test_a_bad_day_costs_what_is_lost_and_no_more(name: str, day: Day, tmp_path: Path) -> None:
    """Every request is answered in the end; what the provider billed twice is what it had billed and not delivered.

    The latter is bought again because that was asked for.
    """
    with (
        SimulatorThread(FaultPlan(**{"batch_s": 0.02, **day.plan})) as simulator,
        bench(tmp_path, settings(size=4, find_s=0.4, missing="buy")) as at,
    ):
        trials = trials_of(model_of(name, simulator.base), COUNT)
        outcome = at.buy(trials)
        assert outcome.failures == {}
        assert at.has(trials) == COUNT
        # Not `bought_again`: the label that carries our id at Vertex AI makes each of its bodies unlike any other.
        assert sum(simulator.count.bodies.values()) - COUNT == day.exceptions.get(name, day.again)
        assert len(at.watcher.answers) == COUNT  # which refuses a key that comes twice


@pytest.mark.parametrize("name", APIS)
def test_cancel_and_collect(name: str, tmp_path: Path) -> None:
    """A cancelled batch ends; its requests are free again, and those it had finished are not bought twice."""
    with SimulatorThread(FaultPlan(batch_s=60)) as simulator, bench(tmp_path, settings(wait=False)) as at:
        trials = trials_of(model_of(name, simulator.base), 3)
        assert at.buy(trials).detached
        assert [seen.said for seen in control.cancel(at.context, Stop())] == ["asked to stop"]
        (seen,) = control.collect(at.context, Stop())
        assert (seen.entry.state, seen.endings) == ("closed", {"cancelled": 3})
        assert not at.store.open_keys()
        assert simulator.count.bought_again == 0


@pytest.mark.parametrize("name", APIS)
def test_a_refused_batch_leaves_no_file(name: str, tmp_path: Path) -> None:
    """What was uploaded for a batch that its API then refuses is deleted, and each request fails with the reason."""
    with SimulatorThread() as simulator, bench(tmp_path) as at:
        model = replace(model_of(name, simulator.base), id="no-such-model")
        outcome = at.buy(trials_of(model, 2))
        (entry,) = at.entries()
        assert len(outcome.failures) == 2
        assert entry.state in {"refused", "closed"}  # some say so at once, others when they look at the lines

        async def left() -> tuple[str, ...]:
            async with aiohttp.ClientSession() as http:
                draft = entry.draft(tmp_path / "batches", "2026-01-01T00:00:00+00:00")
                return await at.context.api_of(model).uploaded(http, account_of(model, KEYS), draft)

        assert asyncio.run(left()) == ()
