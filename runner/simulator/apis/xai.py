"""xAI: chat, files, and batches that have counters in place of a status and pages in place of a result file.

A batch's items come in calls of their own or from an uploaded file. When its window closes its open items stay
pending: only `expire_time` tells.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runner.simulator import batch_jobs
from runner.simulator.apis.openai import complete, live_tokens
from runner.simulator.apis.openai_lines import STATUS, executed, nth
from runner.simulator.apis.uploads import Shelf
from runner.simulator.batch_jobs import BatchLine
from runner.simulator.chat.dialects import XAI
from runner.simulator.http import HttpAnswer, Provider, answer, dumped, known_key, named, page, route, whole
from runner.simulator.state import NO_FILE, SETTLED_AT_ONCE
from runner.simulator.values import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from re import Match

    from runner.records import Json
    from runner.simulator.batch_jobs import BatchJob, ClosedJob, Phase
    from runner.simulator.http import Call
    from runner.simulator.state import World
    from runner.simulator.values import StoredFile

WINDOW_H = 24.0
ADD_BYTES = 25 * 2**20
MAX_ITEMS = 1_000_000
_STATES = {"done": "STATE_SUCCEEDED", "error": "STATE_FAILED", "cancelled": "STATE_CANCELLED"}


def _account(call: Call) -> str:
    return known_key(call.bearer(), "Incorrect API key provided: {}. You can obtain an API key from the console.")


def refusal(refused: Refused) -> HttpAnswer:
    """An error as xAI writes it; it answers a wrong key with 400."""
    codes = {
        "not_found": "Some requested entity was not found",
        "model_not_found": "Some requested entity was not found",
        "rate_limit": "Some resource has been exhausted",
        "server": "Service temporarily unavailable",
        "key_missing": "Unauthenticated",
    }
    code = codes.get(refused.kind, "Client specified an invalid argument")
    status = {"key_wrong": 400, "server": 503}.get(refused.kind, STATUS[refused.kind])
    return answer({"code": code, "error": refused.message}, status)


def provider() -> Provider:
    """The whole of xAI."""
    shelf = Shelf("xai", _account, frozenset(), 100 * 10**6, _shown_file)
    routes = (
        route("POST", "/chat/completions", "chat", _chat, "live"),
        *shelf.routes("/files"),
        route("POST", "/batches", "batches.create", _create, "create"),
        route("GET", "/batches", "batches.list", _list),
        route("POST", "/batches/{id}/requests", "batches.add", _add, "create"),
        route("GET", "/batches/{id}/requests", "batches.requests", _requests),
        route("GET", "/batches/{id}/results", "batches.results", _results, "download"),
        route("POST", "/batches/{id}:cancel", "batches.cancel", _cancel),
        route("GET", "/batches/{id}", "batches.retrieve", _retrieve),
    )
    return Provider("xai", ("/xai/v1",), routes, _account, refusal, tokens=live_tokens)


def _chat(world: World, call: Call, _: Match[str]) -> HttpAnswer:
    _account(call)
    return answer(complete(world, call.json(), XAI))


def _job(world: World, call: Call, match: Match[str]) -> BatchJob:
    return world.job("xai", _account(call), named(match, "id"), "Batch {} was not found.")


def _create(world: World, call: Call, _: Match[str]) -> HttpAnswer:
    owner, body = _account(call), call.json()
    if extra := body.keys() - {"name", "input_file_id", "endpoint", "completion_window"}:
        raise Refused("bad_request", f"unknown field `{min(extra)}`")
    if not isinstance(body.get("name"), str) or not body["name"]:
        raise Refused("bad_request", "missing field `name`")
    items: list[BatchLine] = []
    if file_id := body.get("input_file_id"):
        items = _from_file(world, world.file("xai", owner, str(file_id)))
    facts = {"name": body["name"], "input_file_id": file_id}
    job = world.add_job("xai", owner, items, prefix="batch_", window_h=WINDOW_H, facts=facts)
    return answer(shown(world, job))


def _from_file(world: World, file: StoredFile) -> list[BatchLine]:
    items: dict[str, BatchLine] = {}
    for raw in file.data.splitlines():
        try:
            line = json.loads(raw)
            name, body = line["custom_id"], line["body"]
        except (ValueError, KeyError, TypeError) as error:
            raise Refused("bad_request", "the input file has a line that is no batch request") from error
        _take(world, items, name, body)
    _check_count(world, len(items))
    return list(items.values())


def _check_count(world: World, count: int) -> None:
    if count > (world.plan.max_items or MAX_ITEMS):
        raise Refused("bad_request", f"a batch holds at most {world.plan.max_items or MAX_ITEMS} requests")


def _take(world: World, items: dict[str, BatchLine], name: Json, body: Json) -> None:
    if not isinstance(name, str) or not name or not isinstance(body, dict):
        raise Refused("bad_request", "a batch request needs a batch_request_id and a chat_get_completion")
    if name in items:
        raise Refused("bad_request", f"duplicate batch_request_id: {name}")
    items[name] = BatchLine(name, dumped(body), nth(world, body, XAI))


def _add(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    job, body = _job(world, call, match), call.json()
    if len(call.body) > (world.plan.max_bytes or ADD_BYTES):
        raise Refused("too_large", "the payload is larger than 25 MB")
    if job.cancel_at is not None:
        raise Refused("bad_request", "the batch was cancelled")
    entries = body.get("batch_requests")
    if body.keys() != {"batch_requests"} or not isinstance(entries, list) or not entries:
        raise Refused("bad_request", "missing field `batch_requests`")
    items = {item.id: item for item in job.items}
    for entry in entries:
        request = entry.get("batch_request") if isinstance(entry, dict) else None
        if not isinstance(request, dict) or entry.keys() != {"batch_request_id", "batch_request"}:
            raise Refused("bad_request", "a batch request has batch_request_id and batch_request, and nothing else")
        _take(world, items, entry["batch_request_id"], request.get("chat_get_completion"))
    _check_count(world, len(items))
    world.extend(job, list(items.values())[len(job.items) :])
    return answer({})


def _retrieve(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    return answer(shown(world, _job(world, call, match)))


def _cancel(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    job = _job(world, call, match)
    world.cancel(job)
    return answer(shown(world, job))


def _list(world: World, call: Call, _: Match[str]) -> HttpAnswer:
    mine = world.listed("xai", _account(call))
    chosen, token = _paged(call, mine, 100)
    return answer({"batches": [shown(world, job) for job in chosen], "pagination_token": token})


def _paged(call: Call, items: list[Any], default: int) -> tuple[list[Any], str | None]:
    mark = call.query.get("pagination_token") or "0"
    if not mark.isdigit():
        raise Refused("bad_request", "invalid pagination_token")
    chosen, following = page(items, whole(call.query.get("limit"), default, 1000), int(mark))
    return chosen, None if following is None else str(following)


def _requests(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    job = _job(world, call, match)
    rows = list(_states(world, job))
    chosen, token = _paged(call, rows, 100)
    return answer({"batch_request_metadata": chosen, "pagination_token": token})


def _progress(world: World, job: BatchJob) -> Phase:
    """Where a batch stands, with the results of what is finished; many at once take more than one look."""
    phase = world.observe(job)
    if phase in ("running", "finalizing", "cancelling"):
        finished = batch_jobs.done(job, world.plan, world.clock())
        world.settle(job, min(finished, job.settled + SETTLED_AT_ONCE))
    return phase


def _states(world: World, job: BatchJob) -> Iterator[dict[str, Json]]:
    _progress(world, job)
    for index, item in enumerate(job.items):
        end = batch_jobs.end_of(job, world.plan, index) if index < job.settled else None
        state = _STATES.get(end or "", "STATE_PENDING")
        yield {"batch_request_id": item.id, "endpoint": "/v1/chat/completions", "state": state}


def _results(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    job = _job(world, call, match)
    _progress(world, job)
    chosen, token = _paged(call, world.delivered(job, "output"), 100)
    # Joined as they are: a corrupt entry makes a corrupt page, as it would on the wire.
    body = b'{"results":[' + b",".join(chosen) + b'],"pagination_token":' + dumped(token) + b"}"
    return HttpAnswer(200, body)


def write(world: World, closed: ClosedJob) -> tuple[str, str, bytes]:
    """An item's entry in the results; an item that was never begun has none."""
    if closed.end in ("expired", "cancelled"):
        return NO_FILE, closed.end, b""
    status, body = executed(world, closed, XAI)
    if status == 200:
        result: Mapping[str, Any] = {"response": {"chat_get_completion": body}}
        return "output", "succeeded", dumped({"batch_request_id": closed.item.id, "batch_result": result})
    message = body["error"]["message"]
    result = {"error": {"code": 13 if status >= 500 else 3, "message": message, "details": []}}
    return "output", "errored", dumped({"batch_request_id": closed.item.id, "batch_result": result})


def shown(world: World, job: BatchJob) -> dict[str, Any]:
    """A batch as xAI describes it."""
    phase, total = _progress(world, job), len(job.items)
    right, wrong = job.tally.get("succeeded", 0), job.tally.get("errored", 0)
    cancelled = job.tally.get("cancelled", 0)
    failed = phase == "failed"
    return {
        "batch_id": job.id,
        "name": job.facts["name"],
        "create_time": _time(job.created),
        "expire_time": _time(batch_jobs.closes(job, world.plan)),
        "create_api_key_id": "simulated",
        "cancel_time": _time(job.cancel_at) if job.cancel_at is not None else None,
        "cancel_by_xai_message": "The batch could not be validated." if failed else None,
        "input_file_id": job.facts.get("input_file_id"),
        "state": {
            "num_requests": 0 if failed else total,
            "num_pending": 0 if failed else total - right - wrong - cancelled,
            "num_success": right,
            "num_error": wrong,
            "num_cancelled": cancelled,
        },
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def _shown_file(world: World, file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(world.content(file)),
        "created_at": int(file.created),
        "filename": file.name,
        "purpose": "",
    }
