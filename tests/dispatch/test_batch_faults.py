"""A gateway between us and each batch API, which answers in its place: nothing is bought twice, and nothing is lost."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from batching import APIS, Bench, bench, model_of, settings, trials_of
from fault_proxy import (
    NO_ADDRESS,
    PATHS,
    FaultProxy,
    Rule,
    answered,
    broken_off,
    cut,
    dropped,
    empty,
    fewer_lines,
    reordered,
    told,
    without,
)

from runner.dispatch.batch import control
from runner.dispatch.observer import Stop
from runner.dispatch.retry import AccountBreakers
from runner.simulator import FaultPlan, SimulatorThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from fault_proxy import Wire

    from runner.records import Trial

COUNT = 6
BUSY = {"error": {"message": "Too many requests", "type": "rate_limit_error", "code": "rate_limit"}}
PLAIN = {"error": {"message": "no such field", "type": "invalid_request_error"}}
ERROR = {"error": {"message": "upstream is overloaded", "type": "server_error", "code": 503}}


@dataclass
class Line:
    """The way to one API: the simulated provider, the proxy before it, and six trials."""

    simulator: SimulatorThread
    proxy: FaultProxy
    trials: Sequence[Trial]

    @property
    def batches(self) -> int:
        """How many the provider took."""
        return sum(self.simulator.count.batches.values())

    @property
    def deleted(self) -> int:
        """Requests to delete anything."""
        return self.proxy.count("DELETE", ".")


@contextmanager
def line(name: str, *rules: Rule, **plan: Any) -> Iterator[Line]:
    with (
        SimulatorThread(FaultPlan(**{"batch_s": 0.02, **plan})) as simulator,
        FaultProxy(simulator.base, rules) as proxy,
    ):
        yield Line(simulator, proxy, trials_of(model_of(name, proxy.base), COUNT))


def fast(folder: Path, **change: Any) -> Any:
    return bench(folder, settings(**{"size": 3, "find_s": 0.1, **change}))


# ---- an error that answers a creation -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What answers a creation that the provider took."""

    id: str
    change: Callable[[Wire], Wire]
    apis: tuple[str, ...] = tuple(APIS)


SOME = ("openai", "anthropic", "vertex")
LISTED = tuple(name for name in APIS if name != "anthropic")
"""Where a batch shows by our id while it runs. A plain refusal of Anthropic's has to be believed."""
ANSWERS = (
    Answer("429", told(429, BUSY, **{"retry-after": "0.02"})),
    Answer("403 page", answered(403)),
    Answer(
        "400 in the API's own form", told(400, {"error": {"type": "invalid_request_error", "message": "no"}}), LISTED
    ),
    Answer("404 page", answered(404), SOME),
    Answer("409", told(409, ERROR), SOME),
    Answer("413 page", answered(413), SOME),
    Answer("401", told(401, ERROR), SOME),
    Answer("500 page", answered(500), SOME),
    Answer("504 page", answered(504), SOME),
    Answer("a page with 200", answered(200), SOME),
    Answer("a redirect", answered(307, b"", location="https://elsewhere.example/"), SOME),
    Answer("no answer", dropped, SOME),
)


@pytest.mark.parametrize(
    ("name", "case"), [pytest.param(name, case, id=f"{name}-{case.id}") for case in ANSWERS for name in case.apis]
)
def test_a_creation_that_got_an_error_is_bought_once(name: str, case: Answer, tmp_path: Path) -> None:
    """Whatever answers a creation that the provider took, its requests are in one batch, and all are answered."""
    with line(name, Rule("POST", PATHS[name].create, case.change)) as at, fast(tmp_path) as mine:
        outcome = mine.buy(at.trials)
        assert outcome.failures == {}
        assert (at.batches, mine.has(at.trials)) == (2, COUNT)
        assert {entry.state for entry in mine.entries()} == {"closed"}


LOW = {"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}}
LIMIT = {"error": {"message": "Billing hard limit has been reached", "code": "billing_hard_limit_reached"}}
NO_CREDIT = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}


def spent(wire: Wire) -> Wire:
    """Each line of results is an error for want of credit."""
    lines = [json.loads(line) for line in wire.body.splitlines()]
    items = [{**item, "response": {"status_code": 429, "body": NO_CREDIT}} for item in lines]
    return replace(wire, body=b"".join(json.dumps(item).encode() + b"\n" for item in items))


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("anthropic", Rule("POST", PATHS["anthropic"].create, told(400, LOW), forward=False, times=None)),
        ("openai", Rule("POST", PATHS["openai"].create, told(400, LIMIT), forward=False, times=None)),
        ("openai", Rule("POST", PATHS["openai"].create, told(429, NO_CREDIT), forward=False, times=None)),
        ("openai", Rule("GET", "/files/.*/content", spent, times=None)),
    ],
    ids=["400 of Anthropic", "400 of OpenAI", "429 of OpenAI", "in the lines"],
)
def test_money_that_is_gone_is_the_account_s_in_every_form(name: str, rule: Rule, tmp_path: Path) -> None:
    """Told of a batch or of its lines, by 400 or 429: each trial says what to do, and the account is stopped."""
    accounts = AccountBreakers()
    with line(name, replace(rule, seen=0)) as at, fast(tmp_path) as mine:
        failures = mine.buy(at.trials, accounts=accounts).failures.values()
        stopped = accounts.of(at.trials[0].cell.model).open
    assert len(failures) == COUNT
    assert {failure.problem.kind for failure in failures} <= {"quota", "stopped"}
    assert all("add credit" in failure.problem.message for failure in failures)
    assert stopped is not None
    assert stopped.kind == "quota"


@pytest.mark.parametrize("name", APIS)
def test_a_creation_that_was_not_taken_goes_out_again(name: str, tmp_path: Path) -> None:
    """A gateway that turns a creation away costs a look, and no answer: once it is sure the batch goes out again."""
    rules = [
        Rule("POST", PATHS[name].create, change, forward=False)
        for change in (told(429, BUSY, **{"retry-after": "0.02"}), answered(502))
    ]
    with line(name, *rules) as at, fast(tmp_path) as mine:
        assert mine.buy(at.trials).failures == {}
        assert (at.batches, mine.has(at.trials)) == (2, COUNT)


@pytest.mark.parametrize("name", [name for name in APIS if name not in {"anthropic", "vertex"}])
def test_an_upload_that_got_an_error_leaves_no_file(name: str, tmp_path: Path) -> None:
    """A file whose upload was answered by an error is found by its name, used, and deleted with the rest."""
    upload = r"/upload/.*upload_id" if name == "gemini" else r"/files$"
    with line(name, Rule("POST", upload, answered(502), times=2)) as at, fast(tmp_path) as mine:
        assert mine.buy(at.trials).failures == {}
        assert (at.proxy.count("POST", upload), at.batches) == (2, 2)


# ---- results that are not there at the first look -------------------------------------------------------------------


@dataclass(frozen=True)
class Reply:
    """What comes in place of a batch's results, or of its standing, as often as `times` says."""

    id: str
    change: Callable[[Wire], Wire]
    times: int = 2
    where: str = "results"
    apis: tuple[str, ...] = tuple(APIS)


REPLIES = (
    Reply("their address comes later", NO_ADDRESS, times=4, where="look"),
    Reply("a page with 200", answered(200)),
    Reply("an error with 200", told(200, ERROR)),
    Reply("nothing", empty),
    Reply("half of them", cut),
    Reply("all but the last", fewer_lines, apis=tuple(name for name in APIS if name != "xai")),
    Reply("404", answered(404), apis=SOME),
    Reply("403", answered(403), apis=SOME),
    Reply("cut off", broken_off, apis=SOME),
    Reply("in another order", reordered, apis=("openai", "anthropic", "gemini", "mistral")),
)


@pytest.mark.parametrize(
    ("name", "case"), [pytest.param(name, case, id=f"{name}-{case.id}") for case in REPLIES for name in case.apis]
)
def test_results_are_looked_for_again(name: str, case: Reply, tmp_path: Path) -> None:
    """Results that are not there, or not whole, at one look cost a look: nothing is deleted or bought before."""
    rule = Rule("GET", getattr(PATHS[name], case.where), case.change, times=case.times)
    with line(name, rule) as at, fast(tmp_path) as mine:
        outcome = mine.buy(at.trials)
        assert outcome.failures == {}
        assert (at.batches, mine.has(at.trials)) == (2, COUNT)
        assert {entry.state for entry in mine.entries()} == {"closed"}


def test_a_worse_download_takes_nothing_from_a_better_one(tmp_path: Path) -> None:
    """The file of results keeps the lines of the best download: a page that comes later does not replace them."""
    rules = [
        Rule("GET", PATHS["openai"].results, change, times=times, where=lambda wire: wire.body.count(b"\n") > 1)
        for change, times in ((fewer_lines, 1), (answered(200), None))
    ]
    with line("openai", *rules) as at, fast(tmp_path, size=COUNT) as mine:
        assert len(mine.buy(at.trials).failures) == 1
        (entry,) = mine.entries()
        kept = (tmp_path / "batches" / f"{entry.id}.jsonl").read_bytes().splitlines()
        assert (len(kept), mine.has(at.trials)) == (COUNT - 1, COUNT - 1)


@pytest.mark.parametrize("name", APIS)
def test_results_that_never_come_are_named_and_bought_when_asked(name: str, tmp_path: Path) -> None:
    """Results that stay away fail as missing, with everything left at the provider; batch.missing=buy buys them."""
    rule = Rule("GET", PATHS[name].results, answered(200), times=None)
    with line(name, rule) as at:
        with fast(tmp_path) as mine:
            outcome = mine.buy(at.trials)
            assert {failure.problem.kind for failure in outcome.failures.values()} == {"malformed"}
            assert all("batch.missing=buy" in failure.problem.message for failure in outcome.failures.values())
            assert (at.batches, at.deleted) == (2, 0)
            assert {entry.state for entry in mine.entries()} == {"lost"}
        with fast(tmp_path) as mine:
            assert len(mine.buy(at.trials).failures) == COUNT
            assert (at.batches, at.deleted) == (2, 0)
        rule.times = 0
        with fast(tmp_path, missing="buy") as mine:  # which the provider gives after all: nothing is to be bought
            assert mine.buy(at.trials).failures == {}
            assert (at.batches, mine.has(at.trials)) == (2, COUNT)


def test_what_is_asked_for_is_bought_again(tmp_path: Path) -> None:
    """With batch.missing=buy a line that no look finds is bought in another batch, alone."""
    rule = Rule("GET", PATHS["openai"].results, fewer_lines, times=None, where=lambda wire: wire.body.count(b"\n") > 1)
    with line("openai", rule) as at, fast(tmp_path, missing="buy") as mine:
        assert mine.buy(at.trials).failures == {}
        assert (at.batches, mine.has(at.trials)) == (4, COUNT)


def test_a_part_of_what_was_done_may_come_late_too(tmp_path: Path) -> None:
    """An expired batch that counts requests as done has their results, though its other file is there already."""
    late = Rule(
        "GET", PATHS["openai"].look, without("output_file_id"), times=3, where=lambda wire: b'"expired"' in wire.body
    )
    with line("openai", late, expire=0.01, hour_s=0.02) as at, fast(tmp_path) as mine:
        assert mine.buy(at.trials).failures == {}
        assert at.simulator.count.bought_again == 0


# ---- from any shell -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SOME)
def test_collect_leaves_what_cannot_be_read_yet(name: str, tmp_path: Path) -> None:
    """`runner collect` looks once, says that results are lacking, deletes nothing, and fetches them the next time."""
    rule = Rule("GET", PATHS[name].results, answered(200), times=2)
    with line(name, rule) as at, fast(tmp_path, wait=False, first_poll_s=5.0) as mine:
        assert mine.buy(at.trials).detached
        seen = _collected(mine, lambda said: "running" not in said)
        assert all("Nothing is deleted" in one for one in seen)
        assert at.deleted == 0
        assert set(_collected(mine, lambda _said: True)) == {"closed"}
        assert (at.batches, mine.has(at.trials)) == (2, COUNT)


def _collected(mine: Bench, until: Callable[[str], bool]) -> list[str]:
    """What collect says of each batch, asked again while a batch still runs."""
    for _ in range(100):
        said = [one.said for one in control.collect(mine.context, Stop())]
        if all(map(until, said)):
            break
    return said
