"""Anthropic: messages and message batches. Params are only checked when an item is processed, as the real API does."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runner.simulator import batch_jobs
from runner.simulator.batch_jobs import BatchLine
from runner.simulator.chat.answers import say, tokens_of
from runner.simulator.chat.anthropic import message_of, read
from runner.simulator.http import HttpAnswer, Provider, answer, dumped, known_key, named, route, whole
from runner.simulator.state import digest
from runner.simulator.values import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from re import Match

    from runner.records import Json
    from runner.simulator.batch_jobs import BatchJob, ClosedJob
    from runner.simulator.http import Call
    from runner.simulator.state import World

MAX_ITEMS = 100_000
MAX_BYTES = 256 * 2**20
WINDOW_H = 24.0
_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TYPES = {
    "key_missing": (401, "authentication_error"),
    "key_wrong": (401, "authentication_error"),
    "not_found": (404, "not_found_error"),
    "model_not_found": (404, "not_found_error"),
    "bad_request": (400, "invalid_request_error"),
    "too_large": (413, "request_too_large"),
    "conflict": (409, "invalid_request_error"),
    "rate_limit": (429, "rate_limit_error"),
    "server": (529, "overloaded_error"),
}


def _account(call: Call) -> str:
    key = known_key(call.headers.get("x-api-key", "") or call.bearer(), "invalid x-api-key")
    if "anthropic-version" not in call.headers:
        raise Refused("bad_request", "anthropic-version: header is required")
    return key


def refusal(refused: Refused) -> HttpAnswer:
    """An error as Anthropic writes it."""
    status, kind = _TYPES[refused.kind]
    message = "x-api-key header is required" if refused.kind == "key_missing" else refused.message
    error = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_simulated"}
    return answer(error, status, {"request-id": "req_simulated"})


def provider() -> Provider:
    """The whole of Anthropic."""
    batches = "/v1/messages/batches"
    routes = (
        route("POST", "/v1/messages", "messages", _messages, "live"),
        route("POST", batches, "batches.create", _create, "create"),
        route("GET", batches, "batches.list", _list),
        route("GET", batches + "/{id}", "batches.retrieve", _retrieve),
        route("GET", batches + "/{id}/results", "batches.results", _results, "download"),
        route("POST", batches + "/{id}/cancel", "batches.cancel", _cancel),
        route("DELETE", batches + "/{id}", "batches.delete", _delete),
    )
    return Provider("anthropic", ("/anthropic",), routes, _account, refusal, "anthropic", tokens=_tokens)


def _tokens(call: Call) -> int:
    try:
        body = json.loads(call.body)
        return tokens_of(str(body["messages"]) + str(body.get("system", ""))) + int(body["max_tokens"])
    except (ValueError, TypeError, KeyError):
        return 0


# ---- messages -------------------------------------------------------------------------------------------------------


def _messages(world: World, call: Call, _: Match[str]) -> HttpAnswer:
    _account(call)
    body = call.json()
    ask, name = read(body), digest(body)
    world.bought[name] += 1
    said = say(ask, world.plan, world.nth(ask), world.turn("reply"))
    return answer(message_of(ask, said, f"msg_{name}{world.bought[name]}"), headers={"request-id": "req_simulated"})


# ---- batches --------------------------------------------------------------------------------------------------------


def _create(world: World, call: Call, _: Match[str]) -> HttpAnswer:
    owner, body = _account(call), call.json()
    if len(call.body) > (world.plan.max_bytes or MAX_BYTES):
        raise Refused("too_large", "Request exceeds the maximum size")
    if extra := body.keys() - {"requests"}:
        raise Refused("bad_request", f"{min(extra)}: Extra inputs are not permitted")
    requests = body.get("requests")
    if not isinstance(requests, list) or not requests:
        raise Refused("bad_request", "requests: at least one request is required")
    if len(requests) > (world.plan.max_items or MAX_ITEMS):
        raise Refused("bad_request", f"requests: at most {world.plan.max_items or MAX_ITEMS} items are allowed")
    items: dict[str, BatchLine] = {}
    for index, request in enumerate(requests):
        item = _item(world, request, index)
        if item.id in items:
            raise Refused("bad_request", f"requests.{index}.custom_id: Custom ids must be unique: {item.id}")
        items[item.id] = item
    job = world.add_job(
        "anthropic", owner, list(items.values()), prefix="msgbatch_", window_h=WINDOW_H, facts={}, fails=False
    )
    return answer(shown(world, job, call.origin))


def _item(world: World, request: Json, index: int) -> BatchLine:
    where = f"requests.{index}"
    if not isinstance(request, dict) or not request.keys() <= {"custom_id", "params"}:
        raise Refused("bad_request", f"{where}: Extra inputs are not permitted")
    name, params = request.get("custom_id"), request.get("params")
    if not isinstance(name, str) or not _CUSTOM_ID.fullmatch(name):
        raise Refused("bad_request", f"{where}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
    if not isinstance(params, dict):
        raise Refused("bad_request", f"{where}.params: Field required")
    try:
        nth = world.nth(read(params))
    except Refused:
        nth = 1
    return BatchLine(name, dumped(params), nth)


def _job(world: World, call: Call, match: Match[str]) -> BatchJob:
    return world.job("anthropic", _account(call), named(match, "id"), "Batch `{}` not found")


def _retrieve(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    return answer(shown(world, _job(world, call, match), call.origin))


def _cancel(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    job = _job(world, call, match)
    if _status(world, job) == "ended":
        raise Refused("conflict", f"Batch {job.id} cannot be canceled: it has ended.")
    world.cancel(job)
    return answer(shown(world, job, call.origin))


def _delete(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    job = _job(world, call, match)
    if _status(world, job) != "ended":
        raise Refused("conflict", f"Batch {job.id} cannot be deleted while it is in progress. Cancel it first.")
    world.delete(job)
    return answer({"id": job.id, "type": "message_batch_deleted"})


def _results(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    job = _job(world, call, match)
    if _status(world, job) != "ended":
        raise Refused("not_found", f"Batch `{job.id}` has no available results.")
    return HttpAnswer(200, lambda: b"".join(world.delivered(job, "output")), {}, "application/x-jsonl")


def _list(world: World, call: Call, _: Match[str]) -> HttpAnswer:
    mine, query = world.listed("anthropic", _account(call)), call.query
    size = whole(query.get("limit"), 20, 1000)
    places = {job.id: index for index, job in enumerate(mine)}
    if before := query.get("before_id"):
        end = places.get(before, 0)
        start = max(0, end - size)
        more = start > 0
    else:
        start = places.get(query.get("after_id", ""), -1) + 1
        end = start + size
        more = end < len(mine)
    data = [shown(world, job, call.origin) for job in mine[start:end]]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return answer({"data": data, "has_more": more, **ends})


def _status(world: World, job: BatchJob) -> str:
    phase = world.observe(job)
    if phase in batch_jobs.ENDED:
        return "ended"
    return "canceling" if phase == "cancelling" else "in_progress"


def shown(world: World, job: BatchJob, origin: str) -> dict[str, Any]:
    """A batch as Anthropic describes it; counts stay zero until it has ended."""
    status = _status(world, job)
    over = status == "ended"
    tally = job.tally if over else {}
    return {
        "id": job.id,
        "type": "message_batch",
        "processing_status": status,
        "request_counts": {
            "processing": 0 if over else len(job.items),
            "succeeded": tally.get("succeeded", 0),
            "errored": tally.get("errored", 0),
            "canceled": tally.get("cancelled", 0),
            "expired": tally.get("expired", 0),
        },
        "created_at": _time(job.created),
        "expires_at": _time(batch_jobs.closes(job, world.plan)),
        "ended_at": _time(batch_jobs.ended(job, world.plan)) if over else None,
        "archived_at": None,
        "cancel_initiated_at": _time(job.cancel_at) if job.cancel_at is not None else None,
        "results_url": f"{origin}/anthropic/v1/messages/batches/{job.id}/results" if over else None,
    }


def write(world: World, closed: ClosedJob) -> tuple[str, str, bytes]:
    """An item's line in the results."""
    item, job = closed.item, closed.job
    if closed.end in ("expired", "cancelled"):
        result: dict[str, Json] = {"type": "expired" if closed.end == "expired" else "canceled"}
        return "output", closed.end, _line(item, result)
    if closed.end == "error":
        return "output", "errored", _line(item, _errored("api_error", "Internal server error"))
    try:
        ask = read(json.loads(item.body))
    except Refused as refused:
        return "output", "errored", _line(item, _errored(_TYPES[refused.kind][1], refused.message))
    said = say(ask, world.plan, item.nth, closed.number)
    reply = message_of(ask, said, f"msg_{job.id}_{closed.index}")
    reply["usage"]["service_tier"] = "batch"
    return "output", "succeeded", _line(item, {"type": "succeeded", "message": reply})


def _errored(kind: str, said: str) -> dict[str, Json]:
    error = {"type": "error", "error": {"type": kind, "message": said}, "request_id": "req_simulated"}
    return {"type": "errored", "error": error}


def _line(item: BatchLine, result: Mapping[str, Json]) -> bytes:
    return dumped({"custom_id": item.id, "result": result}) + b"\n"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
