"""What is said of an account, live or of its batches, holds for both: one key, one purse."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from batching import KEYS, FakeApi, item, settings, trials_of, with_api
from batching import model_of as batch_model
from dispatching import QUICK, Watching, trials
from loopback import Provider, Turn

from runner.dispatch import live
from runner.dispatch.batch import dispatch as batches
from runner.dispatch.batch.queue import SENDING
from runner.dispatch.observer import Wanted
from runner.dispatch.retry import AccountBreakers
from runner.errors import FatalError
from runner.providers.batch.api import Standing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batching import Bench

    from runner.records import Failure, Model

NO_CREDIT = "You exceeded your current quota, please check your plan and billing details."
A_MODELS_DAY = "Rate limit reached for gpt-4o-mini on requests per day (RPD): Limit 200, Used 200, Requested 1."
MANY = 40
ALONE = replace(QUICK, concurrency=1)


def models(url: str) -> tuple[Model, Model]:
    """One that is asked live and one that goes by batch, of one account."""
    by_batch = replace(batch_model("openai"), api_base=url)
    return replace(by_batch, name="live", id="live", limits=ALONE), by_batch


async def bought(at: Bench, seen: Watching, url: str, *, first: str) -> tuple[dict[str, Failure], dict[str, Failure]]:
    """What fails live and by batch; what is not `first` is begun when that has ended, or, for "both", beside it."""
    asked, by_batch = models(url)
    accounts = AccountBreakers()
    sent = trials_of(by_batch, MANY)
    wanted = [Wanted(by_batch, frozenset(trial.key for trial in sent), iter(sent))]
    one = live.dispatch([(asked, trials(asked, MANY))], seen, seen, seen.stop, accounts)
    other = batches.dispatch(wanted, at.context, at.watcher, at.stop, run="run-1", accounts=accounts)
    if first == "live":
        return await one, (await other).failures
    failures, outcome = await asyncio.gather(one, other)
    return failures, outcome.failures


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_API_KEY", KEYS["BATCH_API_KEY"])


@dataclass(frozen=True)
class Case:
    """How a batch says that nothing is to be had, and whether that ends the live requests of its account."""

    why: str
    api: Callable[[], FakeApi]
    ends: bool = True


def refused(error: FatalError) -> Callable[[], FakeApi]:
    return lambda: FakeApi(on_submit=lambda _: error)


def failed_as(message: str) -> Callable[[], FakeApi]:
    """Each line of a batch that ran has this error."""
    return lambda: FakeApi(results=lambda batch: [item(line, "failed", "quota", message) for line in batch.lines])


def failed_whole() -> FakeApi:
    """No line of a batch was run."""
    failed = Standing("failed", "failed", 0, 0, message=NO_CREDIT, kind="quota")
    return FakeApi(stands=lambda _: failed, results=lambda _: ())


CASES = [
    Case("refused", refused(FatalError("quota", "no credits", status=429, scope="account"))),
    Case("a model's own quota", refused(FatalError("quota", "no more today", status=429, scope="model")), ends=False),
    Case("key closed", refused(FatalError("key_refused", "wrong key", status=401, scope="account"))),
    Case(
        "a model it may not ask", refused(FatalError("key_refused", "not you", status=403, scope="model")), ends=False
    ),
    Case("in its lines", failed_as(NO_CREDIT)),
    Case("a model's day in its lines", failed_as(A_MODELS_DAY), ends=False),
    Case("as a whole", failed_whole),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_what_a_batch_is_told_ends_what_goes_live(case: Case, tmp_path: Path) -> None:
    """No money or no key, told to a batch in any place, stops the account's live requests and its further batches."""
    api, seen = case.api(), Watching()
    slowly = Turn(delay_s=0.02)
    with Provider(answer=lambda _: slowly) as provider, with_api(tmp_path, api, settings=settings(size=2)) as at:
        failures, _ = asyncio.run(bought(at, seen, provider.url, first="both"))
        assert api.submits <= 4 * SENDING < MANY / 2
        assert (provider.count < MANY) is case.ends
        assert {failure.problem.kind for failure in failures.values()} <= {"stopped"}
        assert len(failures) + provider.count == MANY


@dataclass(frozen=True)
class Told:
    """What a live request is answered, and whether that ends the batches of its account."""

    status: int
    error: dict[str, Any]
    ends: bool = True


TOLD = [
    Told(429, {"message": NO_CREDIT, "code": "insufficient_quota"}),
    Told(402, {"message": "Payment Required"}),
    Told(401, {"message": "Incorrect API key provided: sk-12***89", "code": "invalid_api_key"}),
    Told(403, {"message": "Your key may not ask this model"}, ends=False),
    Told(429, {"message": A_MODELS_DAY}, ends=False),
]


@pytest.mark.parametrize("told", TOLD, ids=lambda told: f"{told.status} {told.error['message'][:30]}")
def test_what_is_told_live_ends_the_batches(told: Told, tmp_path: Path) -> None:
    """After the same words to a live request no batch of the account is sent; what is a model's own stops no other."""
    api, seen = FakeApi(), Watching()
    turn = Turn(status=told.status, body=json.dumps({"error": told.error}).encode())
    with Provider(answer=lambda _: turn) as provider, with_api(tmp_path, api) as at:
        failures, by_batch = asyncio.run(bought(at, seen, provider.url, first="live"))
        assert len(failures) == MANY
        assert provider.count <= 3
        assert (api.submits == 0) is told.ends
        assert {failure.problem.kind for failure in by_batch.values()} == ({"stopped"} if told.ends else set())
