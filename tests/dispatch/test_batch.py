"""The engine that takes requests through batches, with an API in memory that does what each test says."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from batching import Bench, FakeApi, FakeBatch, bench, done, item, model_of, running, settings, trials_of, with_api

from runner.cli.verbs.batches import render_batches
from runner.dispatch.batch import control
from runner.dispatch.batch.queue import SENDING
from runner.dispatch.observer import Stop
from runner.errors import ConfigError, FatalError, LedgerError, TransientError
from runner.ledger.answers import open_ledger
from runner.providers.batch.api import BatchLimits, Item, PlainRefusalError, Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from runner.providers.batch.api import State
    from runner.records import Answer

MODEL = model_of("openai")


def stops_or(stands: Callable[[FakeBatch], Standing]) -> Callable[[FakeBatch], Standing]:
    """As `stands` says, but for a batch that was asked to stop."""
    return lambda batch: Standing("cancelled", "stopped", 0, 3) if batch.cancelled else stands(batch)


def sizes(api: FakeApi) -> list[int]:
    return [batch.draft.count for batch in api.batches]


# ---- the plain course -----------------------------------------------------------------------------------------------


def test_every_request_is_answered_once(tmp_path: Path) -> None:
    """Thirty requests go out in batches of 12, 12 and 6; each answer is its own request's, by whatever order."""
    api = FakeApi(results=lambda batch: [done(line) for line in reversed(batch.lines)])
    trials = trials_of(MODEL, 30)
    with with_api(tmp_path, api) as at:
        outcome = at.buy(trials)
        assert (outcome.failures, outcome.live, outcome.detached) == ({}, set(), False)
        assert sizes(api) == [12, 12, 6]
        for trial, answer in zip(trials, at.ledger.answers([trial.key for trial in trials]), strict=True):
            assert json.loads(answer.raw)["reply"] == trial.adapted.request.messages[0]["content"]
            assert (answer.route, answer.attempts, answer.model_id) == ("batch", 1, MODEL.id)
        assert at.watcher.answers.keys() == {trial.key for trial in trials}
        assert Counter(at.watcher.sent_keys) == Counter(trial.key for trial in trials)
        assert {entry.state for entry in at.entries()} == {"closed"}
        assert all(batch.cleaned for batch in api.batches)
        assert at.buy(trials).failures == {}
    assert api.submits == 3


def test_results_are_kept_as_received(tmp_path: Path) -> None:
    """outputs/batches/<id>.jsonl holds every line that came, unreadable and foreign ones too; nothing half is left."""
    torn, foreign = b'{"id": "b', b'{"id": "someone-else-0"}'
    extra = [Item("", "retry", None, torn, "malformed"), Item("someone-else-0", "succeeded", b"{}", foreign)]
    api = FakeApi(results=lambda batch: [*extra, *map(done, batch.lines)])
    with with_api(tmp_path, api) as at:
        at.buy(trials_of(MODEL, 2))
        (entry,) = at.entries()
        assert at.has(trials_of(MODEL, 2)) == 2
    lines = (tmp_path / "batches" / f"{entry.id}.jsonl").read_bytes().splitlines()
    assert lines == [torn, foreign, *(done(line).line for line in api.batches[0].lines)]
    assert sorted(path.name for path in (tmp_path / "batches").iterdir()) == [
        f"{entry.id}.in.jsonl",
        f"{entry.id}.jsonl",
    ]


def test_lanes_go_side_by_side(tmp_path: Path) -> None:
    """Two models' requests go into batches of their own, and a model without a key takes nobody down."""
    other = replace(model_of("openai"), name="other", id="gpt-4o")
    keyless = replace(model_of("openai"), name="keyless", key_env="OTHER_API_KEY")
    queues = [trials_of(model, 3) for model in (MODEL, other, keyless)]
    api = FakeApi()
    with with_api(tmp_path, api) as at:
        outcome = at.buy(*queues)
        assert sorted(sizes(api)) == [3, 3]
        assert at.has(queues[0] + queues[1]) == 6
        assert {failure.problem.kind for failure in outcome.failures.values()} <= {"key_refused"}


@dataclass(frozen=True)
class Packing:
    """A size and limits (items, bytes), and the batches that ten requests make."""

    id: str
    size: Any
    limits: tuple[int, int]
    sizes: list[int]


@pytest.mark.parametrize(
    "case",
    [
        Packing("size", 4, (100, 10**6), [4, 4, 2]),
        Packing("auto fills a batch", "auto", (100, 10**6), [10]),
        Packing("auto stops at the API's count", "auto", (6, 10**6), [6, 4]),
        Packing("a size above the API's count", 50, (6, 10**6), [6, 4]),
        Packing("bytes", "auto", (100, 1000), [4, 4, 2]),
        Packing("one line above all bytes", "auto", (100, 10), [1] * 10),
    ],
    ids=lambda case: case.id,
)
def test_packing(tmp_path: Path, case: Packing) -> None:
    """A batch holds as many requests as its size and the API's limits allow, and at least one."""
    limits = BatchLimits(*case.limits, one_model=True, windows_s=(86_400,))
    api = FakeApi(limits=limits)
    with with_api(tmp_path, api, settings=settings(size=case.size)) as at:
        at.buy(trials_of(MODEL, 10))
        assert sizes(api) == case.sizes
        assert at.has(trials_of(MODEL, 10)) == 10


# ---- how items end --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class End:
    """The first item of three ends badly in its first `times` batches."""

    id: str
    bad: Callable[[dict[str, Any]], list[Item]]
    times: int = 1
    state: State = "ended"
    batches: list[int] = field(default_factory=lambda: [3, 1])
    failure: str | None = None
    """Kind of failure that the item ends with; None where it is answered in the end."""


def answers_late(case: End) -> Callable[[FakeBatch], Sequence[Item]]:
    def results(batch: FakeBatch) -> Sequence[Item]:
        is_bad = int(batch.id[1:]) <= case.times
        first, *rest = batch.lines
        return [*(case.bad(first) if is_bad else [done(first)]), *map(done, rest)]

    return results


TORN = Item("", "retry", None, b"{", "malformed")
ENDS = (
    End("to be retried", lambda line: [item(line, "retry", "server", "busy")]),
    End("retried often", lambda line: [item(line, "retry", "server", "busy")], times=2, batches=[3, 1, 1]),
    End("too often", lambda line: [item(line, "retry", "server", "busy")], 9, batches=[3, 1, 1], failure="server"),
    End(
        "failed for good", lambda line: [item(line, "failed", "bad_request", "no")], batches=[3], failure="bad_request"
    ),
    End("expired alone", lambda line: [item(line, "expired")]),
    End("expired with the batch", lambda _: [], state="expired"),
    End("cancelled", lambda line: [item(line, "cancelled")], batches=[3], failure="cancelled"),
    End("cancelled with the batch", lambda _: [], state="cancelled", batches=[3], failure="cancelled"),
    End("missing", lambda _: [], batches=[3], failure="missing"),
    End("torn", lambda _: [TORN], batches=[3], failure="malformed"),
    End("its reply unreadable", lambda line: [item(line, "retry", "malformed")], batches=[3], failure="malformed"),
    End(
        "succeeded without a reply",
        lambda line: [Item(line["id"], "succeeded", None, b"{}")],
        batches=[3],
        failure="malformed",
    ),
    End("twice", lambda line: [done(line), done(line)], batches=[3]),
    End("twice, once badly", lambda line: [item(line, "failed", "bad_request"), done(line)], batches=[3]),
    End("twice, badly after all", lambda line: [done(line), item(line, "failed", "bad_request")], batches=[3]),
)


@pytest.mark.parametrize("case", ENDS, ids=lambda case: case.id)
def test_each_item_ends_alone(tmp_path: Path, case: End) -> None:
    """An item is answered, tried again or failed for itself; its finished neighbours are kept and never sent again."""
    api = FakeApi(
        results=answers_late(case),
        stands=lambda batch: Standing(
            case.state if int(batch.id[1:]) <= case.times else "ended", "over", 3 if case.state == "ended" else 2, 3
        ),
    )
    trials = trials_of(MODEL, 3)
    with with_api(tmp_path, api, settings=settings(attempts=3)) as at:
        outcome = at.buy(trials)
        assert sizes(api) == case.batches
        assert at.has(trials[1:]) == 2
        kinds = {key: failure.problem.kind for key, failure in outcome.failures.items()}
        assert kinds == ({} if case.failure is None else {trials[0].key: case.failure})
        assert at.has(trials[:1]) == (case.failure is None)
        assert len(at.watcher.answers) + len(at.watcher.failures) == 3


def test_another_models_reply_is_no_answer_where_identity_is_strict(tmp_path: Path) -> None:
    """A line that another model answered is a failure of its own under identity=strict; its neighbours are kept."""

    def named(line: Mapping[str, Any]) -> Item:
        other = line["id"].endswith("-0")
        raw = json.dumps({"model": "gpt-6-luna" if other else MODEL.id, "choices": []}).encode()
        return Item(line["id"], "succeeded", raw, b"{}")

    api = FakeApi(results=lambda batch: [named(line) for line in batch.lines])
    trials = trials_of(replace(MODEL, identity="strict"), 3)
    with with_api(tmp_path, api) as at:
        outcome = at.buy(trials)
        assert [failure.problem.kind for failure in outcome.failures.values()] == ["other_model"]
        assert at.has(trials) == 2


def test_what_goes_again_keeps_to_the_size_that_is_set_now(tmp_path: Path) -> None:
    """Requests of an ended batch go out again in batches of the size that the run states, not of the one they had."""
    api = FakeApi(stands=running)
    trials = trials_of(MODEL, 10)
    with with_api(tmp_path, api, settings=settings(size=10, wait=False)) as at:
        assert at.buy(trials).detached
    api.stands = lambda batch: Standing("expired" if batch.id == "p1" else "ended", "over", 0, len(batch.lines))
    api.results = lambda batch: [] if batch.id == "p1" else [done(line) for line in batch.lines]
    with with_api(tmp_path, api, settings=settings(size=4)) as at:
        assert at.buy(trials).failures == {}
        assert (sizes(api), at.has(trials)) == ([10, 4, 4, 2], 10)


def test_fallback_sends_live_what_a_batch_did_not_answer(tmp_path: Path) -> None:
    """With batch.fallback=live an unanswered request is handed back at once; one that cannot succeed is not."""
    case = End("", lambda line: [item(line, "expired")])
    api = FakeApi(results=answers_late(case))
    trials = trials_of(MODEL, 3)
    with with_api(tmp_path, api, settings=settings(fallback="live")) as at:
        outcome = at.buy(trials)
        assert (outcome.live, outcome.failures, sizes(api)) == ({trials[0].key}, {}, [3])


@dataclass(frozen=True)
class Whole:
    """A batch that fails as a whole, each time."""

    id: str
    kind: str
    batches: int
    failure: str


@pytest.mark.parametrize(
    "case",
    [
        Whole("no reason", "", 3, "dropped"),
        Whole("a fault of the provider", "server", 3, "server"),
        Whole("unknown model", "not_found", 1, "not_found"),
        Whole("bad lines", "bad_request", 1, "bad_request"),
    ],
    ids=lambda case: case.id,
)
def test_a_failed_batch_ends_its_items(tmp_path: Path, case: Whole) -> None:
    """A batch that fails for a stated reason fails its items; without one they are tried three times, not forever."""
    api = FakeApi(stands=lambda _: Standing("failed", "failed", 0, 3, (), "it failed", case.kind), results=lambda _: [])
    with with_api(tmp_path, api) as at:
        outcome = at.buy(trials_of(MODEL, 3))
        assert sizes(api) == [3] * case.batches
        assert {failure.problem.kind for failure in outcome.failures.values()} == {case.failure}
        assert len(outcome.failures) == 3


# ---- sending --------------------------------------------------------------------------------------------------------


def lost_answer(times: int) -> Callable[[FakeBatch], Exception | None]:
    left = iter(range(times))
    return lambda _: TransientError("connection", "cut") if next(left, None) is not None else None


def test_a_batch_whose_answer_was_lost_is_found(tmp_path: Path) -> None:
    """The connection breaks after the provider took the batch: it is found by our id and not sent again."""
    api = FakeApi(on_submit=lost_answer(1), takes=lambda _: True)
    with with_api(tmp_path, api) as at:
        at.buy(trials_of(MODEL, 3))
        assert (api.submits, at.has(trials_of(MODEL, 3))) == (1, 3)


def test_a_batch_that_never_arrived_is_sent_again(tmp_path: Path) -> None:
    """The connection breaks before the provider took the batch: once that is sure it is sent again."""
    api = FakeApi(on_submit=lost_answer(1))
    with with_api(tmp_path, api) as at:
        at.buy(trials_of(MODEL, 3))
        assert (api.submits, len(api.batches), at.has(trials_of(MODEL, 3))) == (2, 1, 3)


def test_a_list_that_lags_is_asked_again(tmp_path: Path) -> None:
    """A batch that the provider lists late is found within find_s."""

    @dataclass
    class Late(FakeApi):
        looks: int = 0

        async def find(self, http: Any, account: Any, draft: Any) -> Any:
            self.looks += 1
            return None if self.looks < 3 else await FakeApi.find(self, http, account, draft)

    api = Late(on_submit=lost_answer(1), takes=lambda _: True)
    with with_api(tmp_path, api, settings=settings(find_s=5.0)) as at:
        at.buy(trials_of(MODEL, 3))
        assert (api.submits, at.has(trials_of(MODEL, 3))) == (1, 3)


def test_a_batch_listed_too_late_is_asked_to_stop(tmp_path: Path) -> None:
    """Sent again because it showed after find_s only, the first one is found in the end, stopped, and told of."""
    api = FakeApi(on_submit=lost_answer(1), takes=lambda _: True, finds=False, stands=stops_or(slow(3)))
    trials = trials_of(MODEL, 3)

    def step(name: str) -> None:
        api.finds |= name == "collected"

    with with_api(tmp_path, api, step=step) as at:
        assert at.buy(trials).failures == {}
        first, second = at.entries()
        assert [batch.draft.id for batch in api.batches] == [first.id, second.id]
        assert [batch.cancelled for batch in api.batches] == [True, False]
        assert (first.state, second.state, at.has(trials)) == ("closed", "closed", 3)
        assert "sent again" in first.note


def test_collect_finds_a_batch_that_was_listed_too_late(tmp_path: Path) -> None:
    """One that still did not show when the run ended is looked for by collect, while it may live."""
    now = [time.time()]

    @dataclass
    class Ticking(FakeApi):
        async def find(self, http: Any, account: Any, draft: Any) -> Any:
            now[0] += 1  # the engine's clock stands still otherwise, and with it the search
            return await FakeApi.find(self, http, account, draft)

    api = Ticking(on_submit=lost_answer(1), takes=lambda _: True, finds=False, stands=stops_or(slow(0)))
    with with_api(tmp_path, api, clock=lambda: now[0]) as at:
        at.buy(trials_of(MODEL, 3))
        (seen,) = control.collect(at.context, Stop())
        assert (seen.entry.state, seen.said) == ("unsent", "the provider never had it; what it answered: cut")
        api.finds = True
        (seen,) = control.collect(at.context, Stop())
        assert api.batches[0].cancelled
        assert (seen.entry.state, "sent again" in seen.said) == ("closed", True)
        now[0] += 30 * 86_400
        at.store.change(seen.entry.id, "unsent")
        assert control.collect(at.context, Stop()) == []


def test_a_batch_that_never_arrives_ends(tmp_path: Path) -> None:
    """A provider that answers every creation with an error is asked batch.attempts times, not for ever."""
    api = FakeApi(on_submit=lambda _: TransientError("server", "down", status=500))
    with with_api(tmp_path, api, settings=settings(attempts=3, find_s=0.01)) as at:
        outcome = at.buy(trials_of(MODEL, 3))
        assert {failure.problem.kind for failure in outcome.failures.values()} == {"server"}
        assert (api.submits, {entry.state for entry in at.entries()}) == (3, {"unsent"})


def test_nothing_is_sent_again_while_nobody_can_tell(tmp_path: Path) -> None:
    """Where looking for the batch fails too, it stays drafted, and is asked for until that works."""

    @dataclass
    class Blind(FakeApi):
        looks: int = 0

        async def find(self, http: Any, account: Any, draft: Any) -> Any:
            self.looks += 1
            if self.looks < 12:
                raise TransientError("unconfirmed", "perhaps")
            return await FakeApi.find(self, http, account, draft)

    api = Blind(on_submit=lost_answer(1), takes=lambda _: True)
    model = replace(MODEL, limits=replace(MODEL.limits, total_s=0.02))
    with with_api(tmp_path, api) as at:
        at.buy(trials_of(model, 3))
        assert (api.submits, at.has(trials_of(model, 3))) == (1, 3)


def test_a_rate_limit_is_waited_for(tmp_path: Path) -> None:
    """A 429 is waited out while the batch is looked for; where it is not there, it goes out again."""
    busy = TransientError("rate_limit", "slow down", status=429, retry_after_s=0.01)
    left = iter([busy, busy])
    api = FakeApi(on_submit=lambda _: next(left, None), finds=False)
    with with_api(tmp_path, api) as at:
        at.buy(trials_of(MODEL, 3))
        assert (api.submits, at.has(trials_of(MODEL, 3))) == (3, 3)


def test_what_is_too_large_is_split(tmp_path: Path) -> None:
    """A batch that is refused for its size is halved until it is taken; a request too large alone fails."""
    refused = FatalError("too_large", "too large", status=413)
    api = FakeApi(
        on_submit=lambda batch: refused if len(batch.lines) > 3 or "text 7." in json.dumps(batch.lines) else None
    )
    trials = trials_of(MODEL, 10)
    with with_api(tmp_path, api) as at:
        outcome = at.buy(trials)
        assert {key: failure.problem.kind for key, failure in outcome.failures.items()} == {trials[7].key: "too_large"}
        assert at.has(trials) == 9
        assert sum(sizes(api)) == 9


FULL = PlainRefusalError("token_limit", "enqueued token limit reached", status=429)


def tight(most: int, stands: Callable[[FakeBatch], Standing] | None = None) -> FakeApi:
    """An account whose unfinished batches, each of three looks, may hold so many items."""

    def held() -> int:
        return sum(len(batch.lines) for batch in api.batches if batch.looks < 3)

    late = stands or (lambda batch: running(batch) if batch.looks < 3 else Standing("ended", "done", 1, 1))
    api = FakeApi(stands=late)
    api.on_submit = lambda batch: FULL if held() + len(batch.lines) > most else None
    return api


def test_a_token_limit_is_waited_out(tmp_path: Path) -> None:
    """While other batches hold the account's tokens a refused one waits for them; alone it is made smaller."""
    api = tight(5)
    trials = trials_of(MODEL, 16)
    with with_api(tmp_path, api, settings=settings(size=8)) as at:
        outcome = at.buy(trials)
        assert outcome.failures == {}
        assert at.has(trials) == 16
        assert max(sizes(api)) <= 5
        assert Counter(at.watcher.sent_keys) == Counter(trial.key for trial in trials)


def test_one_of_those_that_wait_for_room_tries_for_all(tmp_path: Path) -> None:
    """Ten batches of which one fits in at a time are refused about once each for every one that ends, not all anew."""
    api = tight(4)
    trials = trials_of(MODEL, 40)
    with with_api(tmp_path, api, settings=settings(size=4)) as at:
        assert at.buy(trials).failures == {}
        assert (at.has(trials), sizes(api)) == (40, [4] * 10)
    assert api.submits <= 10 + 10 + 9


def test_an_account_that_stays_full_ends_the_wait(tmp_path: Path) -> None:
    """Where not even one request is taken, batch.attempts times, all end; the batch is not taken apart for that."""
    api = FakeApi(on_submit=lambda _: FULL)
    with with_api(tmp_path, api, settings=settings(size="auto", attempts=3, max_poll_s=0.01)) as at:
        outcome = at.buy(trials_of(MODEL, 64))
        assert {failure.problem.kind for failure in outcome.failures.values()} == {"token_limit"}
        assert len(outcome.failures) == 64
    assert api.submits == 7 + 3  # halved six times, then tried alone


def test_a_token_limit_without_waiting_leaves_the_rest(tmp_path: Path) -> None:
    """With batch.wait=false what there is no room for is not waited for: the next run sends it."""
    api = tight(8)
    trials = trials_of(MODEL, 32)
    with with_api(tmp_path, api, settings=settings(size=16, wait=False)) as at:
        first = at.buy(trials)
        assert len(first.pending) == 8
        assert {failure.problem.kind for failure in first.failures.values()} == {"token_limit"}
        assert len(first.failures) == 24
        later = Bench(at.folder, at.ledger, at.store, replace(at.context, settings=settings(size=16)))
        assert later.buy(trials).failures == {}
        assert later.has(trials) == 32


@pytest.mark.parametrize("wait", [True, False])
def test_a_models_token_limit_is_kept(tmp_path: Path, wait: bool) -> None:
    """With limits.enqueued_tokens batches are packed and sent so that none is ever refused."""
    line = len(FakeApi().line("b" * 21 + "-10", b'{"messages":[{"role":"user","content":"%b"}]}' % (b"x" * 90), MODEL))
    model = replace(MODEL, limits=replace(MODEL.limits, enqueued_tokens=8 * line // 3))
    trials = trials_of(model, 40)
    api = tight(10)
    with with_api(tmp_path, api, settings=settings(size="auto", wait=wait)) as at:
        outcome = at.buy(trials)
        assert 5 <= max(sizes(api)) <= 10
        assert api.submits == len(api.batches)
        if wait:
            assert (outcome.failures, at.has(trials)) == ({}, 40)
        else:
            assert outcome.failures.keys() == {trial.key for trial in trials} - outcome.pending.keys()
            assert {failure.problem.kind for failure in outcome.failures.values()} == {"token_limit"}


def test_a_refused_key_stops_the_model(tmp_path: Path) -> None:
    """After three batches in a row that the provider refuses for the key's sake nothing more is sent."""
    api = FakeApi(on_submit=lambda _: FatalError("key_refused", "wrong key", status=401))
    with with_api(tmp_path, api, settings=settings(size=1)) as at:
        outcome = at.buy(trials_of(MODEL, 40))
        assert 3 <= api.submits < 10
        assert len(outcome.failures) == 40
        assert {failure.problem.kind for failure in outcome.failures.values()} == {"key_refused", "stopped"}


def test_money_that_is_gone_stops_the_account_at_once(tmp_path: Path) -> None:
    """A batch that is refused for want of money ends all models of the account; until when and what to do is said."""
    until = datetime(2026, 12, 1, tzinfo=UTC)
    broke = FatalError("quota", "no credits", status=429, scope="account", advice="add credits", until=until)
    api = FakeApi(on_submit=lambda _: broke)
    other = replace(MODEL, name="other", id="gpt-4o")
    queues = [trials_of(model, 20) for model in (MODEL, other)]
    with with_api(tmp_path, api, settings=settings(size=1)) as at:
        outcome = at.buy(*queues)
        assert api.submits <= 2 * SENDING
        assert len(outcome.failures) == 40
        assert {failure.problem.kind for failure in outcome.failures.values()} == {"quota", "stopped"}
        assert all("until 2026-12-01 00:00 UTC" in each.problem.message for each in outcome.failures.values())


# ---- leaving and taking up again ------------------------------------------------------------------------------------


def slow(looks: int) -> Callable[[FakeBatch], Standing]:
    return lambda batch: running(batch) if batch.looks <= looks else Standing("ended", "done", 3, 3)


def test_wait_false_leaves_batches_and_a_later_run_takes_them_up(tmp_path: Path) -> None:
    """batch.wait=false sends and returns; the same run later attaches, sends nothing, and ends with every answer."""
    api = FakeApi(stands=slow(1))
    trials = trials_of(MODEL, 6)
    with with_api(tmp_path, api, settings=settings(size=3, wait=False)) as at:
        first = at.buy(trials)
        assert (first.detached, len(first.pending), first.failures, at.has(trials)) == (True, 6, {}, 0)
        assert at.buy(trials).detached
        last = at.buy(trials)
        assert (last.detached, last.failures, at.has(trials), api.submits) == (False, {}, 6, 2)


def test_a_stop_leaves_what_runs_and_sends_nothing_more(tmp_path: Path) -> None:
    """Ctrl-C during the third batch's sending: what was sent runs on, what was not is failed as not sent."""
    api = FakeApi(stands=running)
    trials = trials_of(MODEL, 20)
    stop = Stop()

    def step(name: str) -> None:
        stop.asked |= name == "sent"

    with with_api(tmp_path, api, settings=settings(size=2), step=step) as at:
        at.stop = stop
        outcome = at.buy(trials)
        assert outcome.detached
        assert len(outcome.pending) == 2 * len(api.batches)
        assert {failure.problem.kind for failure in outcome.failures.values()} == {"not_sent"}
        assert len(outcome.pending) + len(outcome.failures) == 20
        api.stands = slow(0)
        at.stop = Stop()
        again = replace(at.context, step=lambda _: None)
        rest = Bench(at.folder, at.ledger, at.store, again)
        assert rest.buy(trials).failures == {}
        assert rest.has(trials) == 20
    assert sum(sizes(api)) == 20


def test_another_key_is_told_whose_batch_it_is(tmp_path: Path) -> None:
    """With another key than the batch's nothing is sent, and the message names the account it belongs to."""
    api = FakeApi(stands=running)
    trials = trials_of(MODEL, 3)
    with with_api(tmp_path, api, settings=settings(wait=False)) as at:
        at.buy(trials)
        owner = at.entries()[0].account
    with (
        with_api(tmp_path, api, environment={"BATCH_API_KEY": "key-2"}) as at,
        pytest.raises(ConfigError, match=f"belongs to another account.*{owner}"),
    ):
        at.buy(trials_of(MODEL, 6))
    assert api.submits == 1
    with with_api(tmp_path, api, environment={"BATCH_API_KEY": "key-2"}) as at:
        (seen,) = control.collect(at.context, Stop())
        assert "belongs to another account" in seen.said


def test_a_batch_without_news_is_given_up_and_looked_at_once_more(tmp_path: Path) -> None:
    """Past window and grace a batch is lost, which ends the wait; if it has ended by the next run, it counts."""
    api = FakeApi(stands=running)
    now = [1_800_000_000.0]
    trials = trials_of(MODEL, 3)
    step = {"polled": lambda: now.__setitem__(0, now[0] + 86_400)}
    with with_api(
        tmp_path, api, settings=settings(grace="2d"), clock=lambda: now[0], step=lambda name: step.get(name, int)()
    ) as at:
        outcome = at.buy(trials)
        assert {failure.problem.kind for failure in outcome.failures.values()} == {"lost"}
        assert "runner collect" in outcome.failures[trials[0].key].problem.message
        assert at.entries()[0].state == "lost"
        api.stands = slow(0)
        assert at.buy(trials).failures == {}
        assert (at.has(trials), api.submits) == (3, 1)


def test_a_lost_batch_that_still_runs_is_cancelled_and_bought_anew(tmp_path: Path) -> None:
    """The run after the loss asks the old batch to stop and sends its requests in a new one."""
    api = FakeApi(stands=lambda batch: running(batch) if batch.id == "p1" else slow(0)(batch))
    now = [1_800_000_000.0]
    trials = trials_of(MODEL, 3)
    with with_api(tmp_path, api, settings=settings(grace="1s"), clock=lambda: now[0]) as at:
        now[0] += 0
        first = replace(at.context, settings=settings(wait=False))
        assert Bench(at.folder, at.ledger, at.store, first).buy(trials).detached
        now[0] += 2 * 86_400
        assert {failure.problem.kind for failure in at.buy(trials).failures.values()} == {"lost"}
        again = Bench(at.folder, at.ledger, at.store, at.context)
        assert again.buy(trials).failures == {}
        assert (at.has(trials), api.submits, api.batches[0].cancelled) == (3, 2, True)


def unknown(_batch: FakeBatch) -> Standing:
    raise FatalError("not_found", "No such batch", status=404)


def test_one_answer_that_a_batch_is_unknown_is_not_believed(tmp_path: Path) -> None:
    """A 404 at some looks (a gateway's, or too early) is no end: the batch is followed, and nothing is bought again."""
    left = iter(range(3))
    api = FakeApi(stands=lambda batch: unknown(batch) if next(left, None) is not None else slow(0)(batch))
    trials = trials_of(MODEL, 3)
    with with_api(tmp_path, api, settings=settings(find_s=30.0)) as at:
        assert at.buy(trials).failures == {}
        assert (at.has(trials), api.submits, at.entries()[0].note) == (3, 1, "")


def test_a_batch_that_is_gone_is_said_to_be_and_bought_when_asked(tmp_path: Path) -> None:
    """A batch that its provider no longer knows is named by run, status and collect, and bought again when asked."""
    api, trials, late_s = FakeApi(stands=running), trials_of(MODEL, 3), [0.0]

    def again(**change: Any) -> Any:
        return with_api(tmp_path, api, settings=settings(**change), clock=lambda: time.time() + late_s[0])

    with again(wait=False, find_s=60.0) as at:
        assert at.buy(trials).detached
        api.stands = unknown
        late_s[0] = 3600.0
        (seen,) = control.collect(at.context, Stop())
        assert (seen.entry.state, "does not know it (404)" in seen.said) == ("sent", True)
        (shown,) = control.status(at.store)
        assert "does not know it (404): No such batch" in shown.said
        late_s[0] += 61.0
        (seen,) = control.collect(at.context, Stop())
        assert (seen.entry.state, "batch.missing=buy" in seen.said) == ("lost", True)
    with again() as at:
        failures = at.buy(trials).failures
        assert {failure.problem.kind for failure in failures.values()} == {"gone"}
        assert (len(failures), api.submits) == (3, 1)
    api.stands = lambda batch: unknown(batch) if batch.id == "p1" else slow(0)(batch)
    with again(missing="buy") as at:
        assert at.buy(trials).failures == {}
        assert (at.has(trials), api.submits) == (3, 2)


def test_no_network_for_a_while_is_no_end(tmp_path: Path) -> None:
    """Looks that get no answer are repeated for as long as the batch may live."""
    left = iter(range(20))

    def stands(_batch: FakeBatch) -> Standing:
        if next(left, None) is not None:
            raise TransientError("connection", "no route")
        return Standing("ended", "done", 3, 3)

    api = FakeApi(stands=stands)
    model = replace(MODEL, limits=replace(MODEL.limits, attempts=2, total_s=0.01))
    with with_api(tmp_path, api) as at:
        assert at.buy(trials_of(model, 3)).failures == {}
        assert at.has(trials_of(model, 3)) == 3


# ---- fetching and cleaning up ---------------------------------------------------------------------------------------


def test_a_download_that_breaks_off_is_repeated(tmp_path: Path) -> None:
    """Half a download is thrown away, the next one read whole; each answer is told once."""
    cut = iter([TransientError("connection", "cut")])

    def results(batch: FakeBatch) -> Sequence[Item | Exception]:
        lines = [done(line) for line in batch.lines]
        return [*lines[:2], *cut, *lines[2:]]

    api = FakeApi(results=results)
    with with_api(tmp_path, api) as at:
        assert at.buy(trials_of(MODEL, 5)).failures == {}
        (entry,) = at.entries()
        assert len((tmp_path / "batches" / f"{entry.id}.jsonl").read_bytes().splitlines()) == 5
        assert len(at.watcher.answers) == 5


def test_a_key_that_a_provider_repeats_is_kept_nowhere(tmp_path: Path) -> None:
    """A line that repeats the account's key is on disk and in the ledger without it."""
    key = "sk-0123456789abcdef"
    raw = json.dumps({"reply": f"your key is {key}"}).encode()
    api = FakeApi(results=lambda batch: [Item(line["id"], "succeeded", raw, raw) for line in batch.lines])
    trials = trials_of(MODEL, 2)
    with with_api(tmp_path, api, environment={"BATCH_API_KEY": key}) as at:
        assert at.buy(trials).failures == {}
        assert {answer.raw for answer in at.ledger.answers([trial.key for trial in trials])} == {
            b'{"reply": "your key is <BATCH_API_KEY>"}'
        }
        (entry,) = at.entries()
        assert key.encode() not in (tmp_path / "batches" / f"{entry.id}.jsonl").read_bytes()


def test_clean_up_comes_after_the_answers_are_durable(tmp_path: Path) -> None:
    """When the provider is asked to delete, every answer is in the ledger and the raw file has its name."""
    seen: list[tuple[int, bool]] = []

    @dataclass
    class Checked(FakeApi):
        async def clean(self, http: Any, account: Any, sent: Any, standing: Any) -> Sequence[str]:
            del http, account, sent, standing
            with bench(tmp_path) as other:
                path = tmp_path / "batches" / f"{self.batches[0].draft.id}.jsonl"
                seen.append((other.has(trials_of(MODEL, 3)), path.exists()))
            return ()

    with with_api(tmp_path, Checked()) as at:
        at.buy(trials_of(MODEL, 3))
    assert seen == [(3, True)]


def test_clean_up_can_be_left_out_or_fail(tmp_path: Path) -> None:
    """batch.cleanup=false deletes nothing; a clean-up that fails costs no answer and is tried by the next run."""

    @dataclass
    class Stuck(FakeApi):
        stuck: bool = True

        async def clean(self, http: Any, account: Any, sent: Any, standing: Any) -> Sequence[str]:
            if self.stuck:
                raise FatalError("bad_request", "not now")
            return await FakeApi.clean(self, http, account, sent, standing)

    kept, stuck = FakeApi(), Stuck()
    with with_api(tmp_path / "kept", kept, settings=settings(cleanup=False)) as at:
        at.buy(trials_of(MODEL, 3))
        assert (kept.batches[0].cleaned, at.entries()[0].state) == (False, "closed")
    with with_api(tmp_path / "stuck", stuck) as at:
        assert at.buy(trials_of(MODEL, 3)).failures == {}
        assert at.entries()[0].state == "collected"
        assert [each.entry.state for each in control.clean(at.context, Stop())] == ["collected"]
        stuck.stuck = False
        assert [each.said for each in control.clean(at.context, Stop())] == ["closed"]
        assert control.clean(at.context, Stop()) == []
        assert (stuck.batches[0].cleaned, at.entries()[0].state) == (True, "closed")


def test_answers_that_cannot_be_kept_end_the_run(tmp_path: Path) -> None:
    """A ledger that takes no answers is an error at once, and the batch is neither cleaned up nor counted as done."""

    class Full:
        def put(self, answer: Answer) -> None:
            raise LedgerError(f"no room for {answer.key}")

        def flush(self) -> None:
            """Nothing to wait for."""

    api = FakeApi()
    with with_api(tmp_path, api) as at:
        full = Bench(at.folder, at.ledger, at.store, replace(at.context, ledger=Full()))
        with pytest.raises(LedgerError, match="no room"):
            full.buy(trials_of(MODEL, 3))
        assert at.entries()[0].state == "ended"
        assert not api.batches[0].cleaned
        assert at.buy(trials_of(MODEL, 3)).failures == {}
        assert (at.has(trials_of(MODEL, 3)), api.submits) == (3, 1)


@pytest.mark.parametrize("when", ["packed", "fetched"])
def test_no_room_on_the_disk_ends_the_run(tmp_path: Path, when: str) -> None:
    """Lines that cannot be written are an error that names the place; nothing is lost, and the same run goes on."""
    api = FakeApi()
    place = tmp_path / "batches"

    def step(name: str) -> None:
        if name == "sent" and when == "fetched":
            place.rename(tmp_path / "moved")
            place.write_bytes(b"in the way")

    if when == "packed":
        place.write_bytes(b"in the way")
    with with_api(tmp_path, api, step=step) as at:
        with pytest.raises(LedgerError, match="lines cannot be kept"):
            at.buy(trials_of(MODEL, 3))
        place.unlink()
        if when == "fetched":
            (tmp_path / "moved").rename(place)
        again = Bench(at.folder, at.ledger, at.store, replace(at.context, step=lambda _: None))
        assert again.buy(trials_of(MODEL, 3)).failures == {}
        assert (at.has(trials_of(MODEL, 3)), api.submits) == (3, 1)


# ---- from any shell -------------------------------------------------------------------------------------------------


def test_collect_fetches_what_has_ended(tmp_path: Path) -> None:
    """Collect looks at every open batch once, stores what it answered, and leaves the rest."""
    api = FakeApi(stands=lambda batch: running(batch) if batch.id == "p2" else slow(0)(batch))
    trials = trials_of(MODEL, 6)
    with with_api(tmp_path, api, settings=settings(size=3, wait=False)) as at:
        at.buy(trials)
        seen = control.collect(at.context, Stop())
        assert [(each.entry.state, each.said) for each in seen] == [("closed", "closed"), ("sent", "still running")]
        assert seen[0].endings == {"succeeded": 3}
        assert at.has(trials) == 3
        assert control.collect(at.context, Stop(), control.RunFilter("another")) == []
        (other,) = control.collect(at.context, Stop(), control.RunFilter("another", [seen[1].entry.id]))
        assert other.entry.id == seen[1].entry.id


def test_cancel_asks_what_still_runs_to_stop(tmp_path: Path) -> None:
    """Cancel reaches each running batch; once that has ended, what it had finished is collected."""
    api = FakeApi(
        stands=lambda batch: Standing("cancelled", "stopped", 1, 3) if batch.cancelled else running(batch),
        results=lambda batch: [done(batch.lines[0])],
    )
    trials = trials_of(MODEL, 3)
    with with_api(tmp_path, api, settings=settings(wait=False)) as at:
        at.buy(trials)
        assert [each.said for each in control.cancel(at.context, Stop(), control.RunFilter("run-1"))] == [
            "asked to stop"
        ]
        (seen,) = control.collect(at.context, Stop())
        assert (seen.entry.state, seen.endings) == ("closed", {"succeeded": 1, "cancelled": 2})
        assert at.has(trials) == 1


def test_status_asks_nobody_and_shows_every_batch(tmp_path: Path) -> None:
    """The table has a row for each batch, with how its items ended, from the book alone."""
    from rich.console import Console

    trials = trials_of(MODEL, 6)
    with with_api(tmp_path, FakeApi(), settings=settings(size=3)) as at:
        at.buy(trials)
        seen = control.status(at.store, control.RunFilter("run-1"))
        assert [each.endings for each in seen] == [{"succeeded": 3}] * 2
        seen[1] = replace(seen[1], said="as long a remark as any, " * 5)
        console = Console(width=80, record=True, file=(tmp_path / "shown").open("w"))
        with console.file:
            console.print(render_batches(seen))
    shown = console.export_text()
    assert all(each.entry.id in shown for each in seen)
    assert "closed" in shown
    assert "…" not in shown
    assert " ".join(seen[1].said.split()) in " ".join(shown.split())


def test_what_is_said_of_many_batches_is_said_once(tmp_path: Path) -> None:
    """A key that is not set is one line below the table, however many batches wait for it."""
    from rich.console import Console

    with with_api(tmp_path, FakeApi(), settings=settings(size=1)) as at:
        at.buy(trials_of(MODEL, 4))
        seen = [replace(one, said="KEY is not set") for one in control.status(at.store, control.RunFilter("run-1"))]
        console = Console(width=80, record=True, file=(tmp_path / "shown").open("w"))
        with console.file:
            console.print(render_batches(seen))
    shown = console.export_text()
    assert f"{seen[0].entry.id} and 3 more: KEY is not set" in shown
    assert shown.count("KEY is not set") == 1


def test_one_process_works_on_a_batch(tmp_path: Path) -> None:
    """What one book has taken no other gets while its process lives, unless it is let go."""
    api = FakeApi(stands=running)
    with with_api(tmp_path, api, settings=settings(wait=False)) as at:
        at.buy(trials_of(MODEL, 1))
        batch = at.entries()[0].id
        with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as opened:
            other = opened.batches
            assert at.store.take(batch)
            assert at.store.take(batch)
            assert not other.take(batch)
            assert [each.said for each in control.collect(replace(at.context, store=other), Stop())] == [
                "another process is at work on it"
            ]
            elsewhere = Bench(at.folder, at.ledger, other, replace(at.context, store=other))
            assert elsewhere.buy(trials_of(MODEL, 1)).detached
            assert api.batches[0].looks == 0
            at.store.release()
            assert other.take(batch)
    assert api.submits == 1
