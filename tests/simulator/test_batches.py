"""The life of a batch at every simulated API, over real HTTP, with a clock that the test moves."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from simulator_clients import NAMES, Anthropic, OpenAI, Vertex, claude_body, client, jsonl

from runner.simulator import FaultPlan, SimulatorThread

if TYPE_CHECKING:
    from pathlib import Path

    from simulator_clients import BatchClient

HOUR = 3600


@dataclass
class Clock:
    """A time that stands still until the test moves it."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@dataclass(frozen=True)
class Words:
    """How one API says where a batch stands."""

    waits: str
    runs: str
    done: str
    expired: str
    cancelled: str
    failed: str
    cancelling: str
    left: dict[str, str] = field(default_factory=dict)
    """What the results say of items that were never begun: end of the batch -> word; absent where nothing."""
    kept: bool = True
    """Whether finished items of an expired or cancelled batch are given."""


OPENAI = Words(
    "validating",
    "in_progress",
    "completed",
    "expired",
    "cancelled",
    "failed",
    "cancelling",
    {"expired": "expired", "cancelled": "cancelled"},
)
GEMINI = Words(
    "BATCH_STATE_PENDING",
    "BATCH_STATE_RUNNING",
    "BATCH_STATE_SUCCEEDED",
    "BATCH_STATE_EXPIRED",
    "BATCH_STATE_CANCELLED",
    "BATCH_STATE_FAILED",
    "BATCH_STATE_RUNNING",
    kept=False,
)
WORDS = {
    "openai": OPENAI,
    "groq": OPENAI,
    "kluster": Words("pre_schedule", *(getattr(OPENAI, name) for name in list(Words.__dataclass_fields__)[1:8])),
    "mistral": Words(
        "QUEUED",
        "RUNNING",
        "SUCCESS",
        "TIMEOUT_EXCEEDED",
        "CANCELLED",
        "FAILED",
        "CANCELLATION_REQUESTED",
        OPENAI.left,
    ),
    "xai": Words("pending 4", "pending 2", "done", "pending 2", "done", "rejected", "pending 2"),
    "anthropic": Words(
        "in_progress",
        "in_progress",
        "ended",
        "ended",
        "ended",
        "in_progress",
        "canceling",
        {"expired": "expired", "cancelled": "canceled"},
    ),
    "gemini": GEMINI,
    "gemini_file": GEMINI,
    "vertex": Words(
        "JOB_STATE_PENDING",
        "JOB_STATE_RUNNING",
        "JOB_STATE_SUCCEEDED",
        "JOB_STATE_PARTIALLY_SUCCEEDED",
        "JOB_STATE_CANCELLED",
        "JOB_STATE_FAILED",
        "JOB_STATE_CANCELLING",
    ),
}
SLOW = FaultPlan(validating_s=10, batch_s=100, finalizing_s=5, cancel_s=5)


def submit(api: BatchClient, count: int = 4) -> str:
    return api.create({f"item-{number}": api.body(number) for number in range(count)})


def ids(*numbers: int) -> set[str]:
    return {f"item-{number}" for number in numbers}


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_runs_its_course(name: str) -> None:
    """A batch waits, runs, ends, and then and only then gives every item's answer once."""
    clock, words = Clock(), WORDS[name]
    with SimulatorThread(SLOW, clock=clock) as simulator:
        api = client(name, simulator.base)
        job = submit(api)
        assert api.state(job) == words.waits
        clock.now += 60.5
        assert api.state(job) == words.runs
        if isinstance(api, Anthropic):
            assert api.call("GET", f"/v1/messages/batches/{job}/results").status_code == 404
        elif name != "xai":
            assert api.lines(job) == []
        clock.now += 55
        assert api.state(job) == words.done
        assert api.ends(job) == dict.fromkeys(ids(0, 1, 2, 3), "succeeded")
        assert simulator.count.items == {name: {"accepted": 1, "billed": 1} for name in ids(0, 1, 2, 3)}


@pytest.mark.parametrize("name", NAMES)
def test_an_expired_batch_has_done_half(name: str) -> None:
    """When the window closes on a slow batch, half is done and billed, and the API says so in its own way."""
    clock, words = Clock(), WORDS[name]
    with SimulatorThread(FaultPlan(expire=1), clock=clock) as simulator:
        api = client(name, simulator.base)
        job = submit(api)
        clock.now += 12 * HOUR
        assert api.state(job) in {words.runs, "pending 3", "pending 4"}
        clock.now += 73 * HOUR
        assert api.state(job) == words.expired
        done = dict.fromkeys(ids(0, 1), "succeeded") if words.kept else {}
        left = dict.fromkeys(ids(2, 3), words.left["expired"]) if words.left else {}
        assert api.ends(job) == {**done, **left}
        assert sum(item["billed"] for item in simulator.count.items.values()) == 2


@pytest.mark.parametrize("name", NAMES)
def test_cancelling_keeps_what_is_done(name: str) -> None:
    """A cancelled batch stops where it is; what it had done is billed and, where the API gives it, kept."""
    clock, words = Clock(), WORDS[name]
    with SimulatorThread(SLOW, clock=clock) as simulator:
        api = client(name, simulator.base)
        job = submit(api)
        clock.now += 60.5
        api.cancel(job)
        assert api.state(job) == words.cancelling
        clock.now += 60
        assert api.state(job) == words.cancelled
        done = dict.fromkeys(ids(0, 1), "succeeded") if words.kept else {}
        left = dict.fromkeys(ids(2, 3), words.left["cancelled"]) if words.left else {}
        assert api.ends(job) == {**done, **left}
        assert sum(item["billed"] for item in simulator.count.items.values()) == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_may_fail_stall_or_freeze(name: str) -> None:
    """A failed or stalled batch bills nothing, the second until its window ends; a frozen one never ends."""
    clock, words = Clock(), WORDS[name]
    with SimulatorThread(FaultPlan(fail=1 / 3, freeze=1 / 3, stall=1 / 3, validating_s=1), clock=clock) as simulator:
        api = client(name, simulator.base)
        failed, frozen, stalled = (submit(api) for _ in range(3))
        clock.now += HOUR
        assert api.state(failed) == words.failed
        assert api.state(frozen) == api.state(stalled)
        waiting = api.state(frozen)
        clock.now += 100 * HOUR
        assert api.state(frozen) == waiting
        empty = {"vertex": "JOB_STATE_EXPIRED", "xai": "pending 4"}
        assert api.state(stalled) == empty.get(name, words.expired)
        assert "succeeded" not in api.ends(stalled).values()
        assert not any(item["billed"] for item in simulator.count.items.values())


@pytest.mark.parametrize("name", NAMES)
def test_items_fail_alone(name: str) -> None:
    """An item that the model refuses, and one that the provider loses, end in error; their neighbours succeed."""
    with SimulatorThread(FaultPlan(item_error=0.25, batch_s=0)) as simulator:
        api = client(name, simulator.base)
        bodies = {f"item-{number}": api.body(number) for number in range(4)}
        bad: dict[str, Any] = bodies["item-2"]
        if "contents" in bad:
            bad["generationConfig"] = {"temperature": 7}
        else:
            bad["temperature"] = 7
        job = api.create(bodies)
        wrong = dict.fromkeys(ids(0, 2), "errored")
        assert api.ends(job) == {**wrong, **dict.fromkeys(ids(1, 3), "succeeded")}


@dataclass(frozen=True)
class LineCase:
    """A fault, and what is left of eight lines: all, those that can be read, those that differ."""

    fault: str
    plan: FaultPlan
    lines: int
    readable: int
    distinct: int


LINES = [
    LineCase("omit", FaultPlan(batch_s=0, omit=0.25), 6, 6, 6),
    LineCase("duplicate", FaultPlan(batch_s=0, duplicate=0.25), 10, 10, 8),
    LineCase("corrupt", FaultPlan(batch_s=0, corrupt=0.25), 8, 6, 6),
]


@pytest.mark.parametrize("case", LINES, ids=lambda case: case.fault)
@pytest.mark.parametrize("name", ["openai", "mistral", "anthropic", "gemini_file", "vertex"])
def test_result_lines_suffer(name: str, case: LineCase) -> None:
    """A quarter of eight result lines is missing, comes twice, or is torn, although all eight were billed."""
    with SimulatorThread(case.plan) as simulator:
        api = client(name, simulator.base)
        lines = api.lines(submit(api, 8))
        assert len(lines) == case.lines
        readable = []
        for line in lines:
            try:
                json.loads(line)
            except ValueError:
                continue
            readable.append(line)
        assert (len(readable), len(set(readable))) == (case.readable, case.distinct)
        assert sum(item["billed"] for item in simulator.count.items.values()) == 8


@pytest.mark.parametrize("name", NAMES)
def test_results_are_shuffled(name: str) -> None:
    """Results come in another order than the requests, the same at every look, unless the plan says otherwise."""
    orders = []
    for shuffle in (True, False):
        with SimulatorThread(FaultPlan(batch_s=0, shuffle=shuffle)) as simulator:
            api = client(name, simulator.base)
            job = submit(api, 12)
            order = list(api.ends(job))
            assert order == list(api.ends(job))
            orders.append(order)
    asked = [f"item-{number}" for number in range(12)]
    assert orders[1] == asked
    assert orders[0] != asked
    assert sorted(orders[0]) == sorted(asked)


@pytest.mark.parametrize("name", NAMES)
def test_a_new_batch_is_listed_late(name: str) -> None:
    """A batch can be asked for by its id at once, and shows in lists only after the plan's delay."""
    clock = Clock()
    with SimulatorThread(FaultPlan(list_delay_s=30), clock=clock) as simulator:
        api = client(name, simulator.base)
        job = submit(api)
        assert api.state(job)
        assert api.listed() == []
        clock.now += 31
        assert api.listed() == [job]


@pytest.mark.parametrize("name", NAMES)
def test_an_accepted_batch_may_lose_its_answer(name: str) -> None:
    """With drop_create the connection breaks after the batch was accepted: the client has no id, the list has one."""
    with SimulatorThread(FaultPlan(drop_create=0.5, batch_s=0)) as simulator:
        api = client(name, simulator.base)
        with pytest.raises(httpx.TransportError):
            submit(api)
        assert len(api.listed()) == 1
        if name != "xai":
            assert submit(api)
            assert len(api.listed()) == 2


@pytest.mark.parametrize("name", NAMES)
def test_an_account_sees_its_own_batches(name: str) -> None:
    """With another key a batch is not found, nor listed."""
    with SimulatorThread(FaultPlan()) as simulator:
        api, other = client(name, simulator.base), client(name, simulator.base)
        job = submit(api)
        other.headers = {key: value.replace("key-1", "key-2") for key, value in other.headers.items()}
        assert other.listed() == []
        with pytest.raises(AssertionError, match="404"):
            other.state(job)
        assert api.listed() == [job]


@pytest.mark.parametrize("name", NAMES)
def test_a_restarted_server_still_has_its_batches(name: str, tmp_path: Path) -> None:
    """With a state file, batches and results outlive the server, and count as accepted once."""
    state, plan = tmp_path / "state.db", FaultPlan(batch_s=0)
    with SimulatorThread(plan, state=state) as simulator:
        api = client(name, simulator.base)
        job = submit(api)
        before = sorted(api.lines(job))
    with SimulatorThread(plan, state=state) as simulator:
        api = client(name, simulator.base)
        assert sorted(api.lines(job)) == before
        assert api.listed() == [job]
        assert simulator.count.items == {name: {"accepted": 1, "billed": 1} for name in ids(0, 1, 2, 3)}


def test_without_a_state_file_nothing_is_left() -> None:
    """The test above can fail: a server without a state file starts with nothing."""
    for _ in range(2):
        with SimulatorThread(FaultPlan()) as simulator:
            api = client("openai", simulator.base)
            assert api.listed() == []
            submit(api)


def test_lists_come_in_pages() -> None:
    """OpenAI's `after`, Groq's `cursor` and Anthropic's `after_id` walk through every batch, newest first."""
    walks = {"openai": ("after", "last_id"), "anthropic": ("after_id", "last_id"), "groq": ("cursor", "next_cursor")}
    with SimulatorThread(FaultPlan()) as simulator:
        for name, (parameter, mark) in walks.items():
            api = client(name, simulator.base)
            made = [submit(api, 1) for _ in range(5)]
            seen: list[str] = []
            query: dict[str, Any] = {"limit": 2}
            for _ in range(3):
                path = "/v1/messages/batches" if isinstance(api, Anthropic) else "/batches"
                page = api.json("GET", path, params=query)
                seen += [batch["id"] for batch in page["data"]]
                query[parameter] = page.get("paging", page).get(mark)
            assert seen == made[::-1]


def test_metadata_comes_back() -> None:
    """What a client wrote on a batch to find it again is in the list: metadata, display name, or xAI's name."""
    with SimulatorThread(FaultPlan()) as simulator:
        for name in NAMES:
            api = client(name, simulator.base)
            submit(api)
            if name == "anthropic":
                continue
            path = {"mistral": "/batch/jobs", "vertex": "/v1/projects/p/locations/l/batchPredictionJobs"}
            page = json.dumps(api.json("GET", path.get(name, getattr(api, "root", "") + "/batches")))
            assert any(mark in page for mark in ('"our": "m"', '"displayName": "m"', '"name": "m"'))


def test_downloads_have_ranges_and_may_break() -> None:
    """A result file can be fetched from a byte on; with drop_download the first download ends half-way."""
    with SimulatorThread(FaultPlan(batch_s=0, drop_download=0.5)) as simulator:
        api = client("openai", simulator.base)
        assert isinstance(api, OpenAI)
        file_id = api.json("GET", f"/batches/{submit(api, 50)}")["output_file_id"]
        with pytest.raises(httpx.RemoteProtocolError):
            api.call("GET", f"/files/{file_id}/content")
        whole = api.call("GET", f"/files/{file_id}/content").content
        assert len(whole.splitlines()) == 50
        with pytest.raises(httpx.RemoteProtocolError):
            api.call("GET", f"/files/{file_id}/content")
        part = api.call("GET", f"/files/{file_id}/content", headers={"Range": "bytes=1000-"})
        assert (part.status_code, part.content) == (206, whole[1000:])
        assert part.headers["content-range"] == f"bytes 1000-{len(whole) - 1}/{len(whole)}"


def test_files_and_batches_can_be_deleted() -> None:
    """Input and result files, Anthropic's and Vertex AI's batches can be deleted once ended, and are gone."""
    clock = Clock()
    with SimulatorThread(FaultPlan(), clock=clock) as simulator:
        api = client("openai", simulator.base)
        claude = client("anthropic", simulator.base)
        vertex = client("vertex", simulator.base)
        jobs = [submit(api), submit(claude), submit(vertex)]
        running = claude.call("DELETE", f"/v1/messages/batches/{jobs[1]}")
        assert running.status_code == 409
        clock.now += 1
        batch = api.json("GET", f"/batches/{jobs[0]}")
        for name in ("input_file_id", "output_file_id"):
            assert api.json("DELETE", f"/files/{batch[name]}")["deleted"]
            assert api.call("GET", f"/files/{batch[name]}/content").status_code == 404
        assert api.json("GET", f"/batches/{jobs[0]}")["status"] == "completed"
        claude.json("DELETE", f"/v1/messages/batches/{jobs[1]}")
        assert isinstance(vertex, Vertex)
        vertex.json("DELETE", f"{vertex.root}/batchPredictionJobs/{jobs[2]}")
        assert (claude.listed(), vertex.listed()) == ([], [])


@dataclass(frozen=True)
class FileCase:
    """Lines of an input file, and the error that they fail with."""

    name: str
    lines: list[Any]
    code: str
    plan: FaultPlan = field(default_factory=FaultPlan)


def line(custom_id: str = "a", model: str = "gpt-4o", **more: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body, **more}


FILES = [
    FileCase("duplicate id", [line(), line()], "duplicate_custom_id"),
    FileCase("two models", [line(), line("b", "gpt-4o-mini")], "mismatched_model"),
    FileCase("unknown model", [line(model="claude-3")], "model_not_found"),
    FileCase("another url", [line(url="/v1/embeddings")], "invalid_url"),
    FileCase("another method", [line(method="GET")], "invalid_method"),
    FileCase("no id", [{"method": "POST", "url": "/v1/chat/completions", "body": {}}], "missing_required_parameter"),
    FileCase("a field more", [line(priority=1)], "unknown_parameter"),
    FileCase("no lines", [], "empty_file"),
    FileCase("too many lines", [line("a"), line("b"), line("c")], "too_many_tasks", FaultPlan(max_items=2)),
    FileCase("too many tokens", [line(), line("b")], "token_limit_exceeded", FaultPlan(enqueued_tokens=1)),
]


@pytest.mark.parametrize("case", FILES, ids=lambda case: case.name)
def test_a_wrong_input_file_fails_the_batch(case: FileCase) -> None:
    """OpenAI accepts the batch and fails it at validation, with code and line of what is wrong."""
    with SimulatorThread(case.plan) as simulator:
        api = OpenAI(simulator.base, "/openai/v1")
        file_id = api.upload(jsonl(case.lines))
        made = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        batch = api.json("POST", "/batches", json=made)
        assert batch["status"] == "failed"
        assert batch["errors"]["data"][0]["code"] == case.code


def test_token_limits_free_up() -> None:
    """A batch that is too much beside another one is taken once that one has ended."""
    clock = Clock()
    with SimulatorThread(FaultPlan(enqueued_tokens=100), clock=clock) as simulator:
        api = client("openai", simulator.base)
        first, second = submit(api, 2), submit(api, 2)
        assert (api.state(first), api.state(second)) == ("in_progress", "failed")
        clock.now += 10
        assert api.state(submit(api, 2)) == "in_progress"


@dataclass(frozen=True)
class RefusedCase:
    """A request to create a batch, and how it is refused."""

    name: str
    api: str
    path: str
    body: dict[str, Any]
    status: int
    says: str
    plan: FaultPlan = field(default_factory=FaultPlan)


def claude(*ids_: str, **more: Any) -> dict[str, Any]:
    return {"requests": [{"custom_id": name, "params": claude_body(), **more} for name in ids_]}


CREATE = {"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
BATCHES = "/v1/messages/batches"
GENERATE = "/v1beta/models/gemini-2.5-flash:batchGenerateContent"
REFUSED = [
    RefusedCase("window", "openai", "/batches", {**CREATE, "completion_window": "1h"}, 400, "completion_window"),
    RefusedCase("kluster window", "kluster", "/batches", {**CREATE, "completion_window": "2h"}, 400, "1h, 3h, 6h"),
    RefusedCase("no such file", "openai", "/batches", CREATE, 404, "No such File object"),
    RefusedCase("metadata", "openai", "/batches", {**CREATE, "metadata": {"a": "b" * 513}}, 400, "512"),
    RefusedCase("unknown field", "openai", "/batches", {**CREATE, "priority": 1}, 400, "Unknown parameter"),
    RefusedCase("custom_id", "anthropic", BATCHES, claude("a b"), 400, "requests.0.custom_id: String should match"),
    RefusedCase("long custom_id", "anthropic", BATCHES, claude("a" * 65), 400, "should match pattern"),
    RefusedCase("same custom_id", "anthropic", BATCHES, claude("a", "a"), 400, "must be unique"),
    RefusedCase("field more", "anthropic", BATCHES, claude("a", method="POST"), 400, "Extra inputs"),
    RefusedCase("too many", "anthropic", BATCHES, claude("a", "b"), 400, "at most 1", FaultPlan(max_items=1)),
    RefusedCase("too large", "anthropic", BATCHES, claude("a"), 413, "request_too_large", FaultPlan(max_bytes=10)),
    RefusedCase("no name", "gemini", GENERATE, {"batch": {"inputConfig": {}}}, 400, "display_name"),
    RefusedCase("unknown", "gemini", GENERATE, {"batch": {"displayName": "m", "size": 1}}, 400, "Unknown name"),
    RefusedCase("nameless", "xai", "/batches", {}, 400, "missing field `name`"),
    RefusedCase("hours", "mistral", "/batch/jobs", {"endpoint": "/v1/chat/completions"}, 422, "model"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case.api} {case.name}")
def test_a_wrong_batch_is_refused(case: RefusedCase) -> None:
    """A batch that an API does not take is refused with its own status and words."""
    with SimulatorThread(case.plan) as simulator:
        reply = client(case.api, simulator.base).call("POST", case.path, json=case.body)
        assert reply.status_code == case.status
        assert case.says in reply.text


def test_large_batches_are_written_beside_other_requests() -> None:
    """A batch too large to be written at once seems to finish for a while, and then has every line."""
    with SimulatorThread(FaultPlan(batch_s=0)) as simulator:
        api = client("openai", simulator.base)
        job = submit(api, 1500)
        states = {api.state(job)}
        while api.state(job) != "completed":
            states.add(api.state(job))
        assert states <= {"finalizing", "completed"}
        assert len(api.lines(job)) == 1500
