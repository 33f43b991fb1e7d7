"""Mistral: chat, files, and batch jobs of one model each, from files or with the requests in the call."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from runner.simulator import batch_jobs
from runner.simulator.apis.openai import complete, live_tokens
from runner.simulator.apis.openai_lines import CHAT, STATUS, nth, result_line
from runner.simulator.apis.uploads import Shelf
from runner.simulator.batch_jobs import BatchLine
from runner.simulator.chat.dialects import MISTRAL
from runner.simulator.http import Provider, answer, dumped, known_key, named, page, route, whole
from runner.simulator.state import result_file
from runner.simulator.values import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from re import Match

    from runner.records import Json
    from runner.simulator.batch_jobs import BatchJob, ClosedJob, Phase
    from runner.simulator.http import Call, HttpAnswer
    from runner.simulator.state import World
    from runner.simulator.values import StoredFile

MAX_ITEMS = 1_000_000
MAX_INLINE = 10_000
_FIELDS = frozenset({"endpoint", "input_files", "requests", "model", "agent_id", "metadata", "timeout_hours"})
_QUERY = frozenset({"page", "page_size", "model", "agent_id", "created_after", "created_by_me", "status", "order_by"})
_STATUS: Mapping[Phase, str] = {
    "validating": "QUEUED",
    "failed": "FAILED",
    "running": "RUNNING",
    "finalizing": "RUNNING",
    "completed": "SUCCESS",
    "expired": "TIMEOUT_EXCEEDED",
    "cancelling": "CANCELLATION_REQUESTED",
    "cancelled": "CANCELLED",
}


def _account(call: Call) -> str:
    return known_key(call.bearer(), "Unauthorized")


def refusal(refused: Refused) -> HttpAnswer:
    """An error as Mistral writes it; what does not fit the schema is 422."""
    if refused.kind in ("key_missing", "key_wrong"):
        return answer({"detail": "Unauthorized"}, 401)
    if refused.code in ("unknown_parameter", "missing_required_parameter", "invalid_type"):
        kind = {"unknown_parameter": "extra_forbidden", "missing_required_parameter": "missing"}
        entry = {"type": kind.get(refused.code, "type_error"), "loc": ["body", refused.param], "msg": refused.message}
        return answer({"detail": [entry]}, 422)
    status = 400 if refused.kind == "model_not_found" else STATUS[refused.kind]
    kind_said = "invalid_model" if refused.kind == "model_not_found" else f"{refused.kind}_error"
    error = {"object": "error", "message": refused.message, "type": kind_said, "param": refused.param, "code": None}
    return answer(error, status)


def provider() -> Provider:
    """The whole of Mistral."""
    shelf = Shelf("mistral", _account, frozenset({"batch"}), 512 * 10**6, _shown_file)
    routes = (
        route("POST", "/chat/completions", "chat", _chat, "live"),
        *shelf.routes("/files"),
        route("POST", "/batch/jobs", "batches.create", _create, "create"),
        route("GET", "/batch/jobs", "batches.list", _list),
        route("GET", "/batch/jobs/{id}", "batches.retrieve", _retrieve),
        route("DELETE", "/batch/jobs/{id}", "batches.delete", _delete),
        route("POST", "/batch/jobs/{id}/cancel", "batches.cancel", _cancel),
    )
    return Provider("mistral", ("/mistral/v1",), routes, _account, refusal, "none", tokens=live_tokens)


def _chat(world: World, call: Call, _: Match[str]) -> HttpAnswer:
    _account(call)
    return answer(complete(world, call.json(), MISTRAL))


def _job(world: World, call: Call, match: Match[str]) -> BatchJob:
    return world.job("mistral", _account(call), named(match, "id"), "Batch job {} not found.")


def _create(world: World, call: Call, _: Match[str]) -> HttpAnswer:
    owner, body = _account(call), call.json()
    if extra := body.keys() - _FIELDS:
        raise Refused("bad_request", "Extra inputs are not permitted", param=min(extra), code="unknown_parameter")
    if body.get("endpoint") != CHAT:
        raise Refused("bad_request", f"Only {CHAT} is simulated.", param="endpoint", code="invalid_type")
    model, hours = body.get("model"), body.get("timeout_hours", 24)
    if not isinstance(model, str):
        raise Refused("bad_request", "Field required", param="model", code="missing_required_parameter")
    MISTRAL.rules_of(model)
    if not isinstance(hours, int) or not 1 <= hours <= 168:
        raise Refused("bad_request", "timeout_hours lies between 1 and 168", param="timeout_hours", code="invalid_type")
    items = _items(world, _entries(world, owner, body), model)
    facts = {"model": model, "metadata": _metadata(body.get("metadata")), "input_files": body.get("input_files") or []}
    job = world.add_job("mistral", owner, items, prefix="", window_h=hours, facts=facts)
    return answer(shown(world, job))


def _metadata(metadata: Json) -> Json:
    fits = metadata is None or (
        isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
    )
    if not fits:
        raise Refused("bad_request", "Input should be a mapping of strings", param="metadata", code="invalid_type")
    return metadata


def _entries(world: World, owner: str, body: Mapping[str, Any]) -> Iterator[Json]:
    files, requests = body.get("input_files"), body.get("requests")
    if bool(files) == bool(requests):
        message = "Either input_files or requests must be given."
        raise Refused("bad_request", message, param="input_files", code="missing_required_parameter")
    if requests:
        if len(requests) > MAX_INLINE:
            raise Refused("too_large", f"At most {MAX_INLINE} requests can be given inline.", param="requests")
        yield from requests
        return
    for file_id in files or ():
        for raw in world.file("mistral", owner, str(file_id)).data.splitlines():
            try:
                yield json.loads(raw)
            except ValueError as error:
                raise Refused("bad_request", "Input file has a line that is no JSON.", param="input_files") from error


def _items(world: World, entries: Iterator[Json], model: str) -> list[BatchLine]:
    items: dict[str, BatchLine] = {}
    for entry in entries:
        body = entry.get("body") if isinstance(entry, dict) else None
        if not isinstance(body, dict) or not isinstance(entry.get("custom_id"), str):
            raise Refused("bad_request", "Every request has a custom_id and a body.", param="requests")
        if entry["custom_id"] in items:
            raise Refused("bad_request", f"Duplicate custom_id: {entry['custom_id']}", param="requests")
        whole_body = {"model": model, **body}
        if whole_body["model"] != model:
            raise Refused("bad_request", "A batch job has one model.", param="requests")
        items[entry["custom_id"]] = BatchLine(entry["custom_id"], dumped(whole_body), nth(world, whole_body, MISTRAL))
    if len(items) > (world.plan.max_items or MAX_ITEMS):
        raise Refused("bad_request", f"A job holds at most {world.plan.max_items or MAX_ITEMS} requests.")
    return list(items.values())


def _retrieve(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    return answer(shown(world, _job(world, call, match)))


def _cancel(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    job = _job(world, call, match)
    world.cancel(job)
    return answer(shown(world, job))


def _delete(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    job = _job(world, call, match)
    if world.observe(job) not in batch_jobs.ENDED:
        raise Refused("bad_request", "A job that has not ended cannot be deleted.")
    world.delete(job)
    return answer({"id": job.id, "object": "batch", "deleted": True})


def _list(world: World, call: Call, _: Match[str]) -> HttpAnswer:
    mine = [job for job in world.listed("mistral", _account(call)) if _wanted(world, call, job)]
    if call.query.get("order_by") == "created":
        mine.reverse()
    size = whole(call.query.get("page_size"), 100, 1000)
    number = call.query.get("page", "0")
    if not number.isdigit():
        raise Refused("bad_request", "page is no number", param="page", code="invalid_type")
    chosen, _following = page(mine, size, size * int(number))
    return answer({"object": "list", "total": len(mine), "data": [shown(world, job) for job in chosen]})


def _wanted(world: World, call: Call, job: BatchJob) -> bool:
    """The filters of a list: model, status, created_after; every other name is a pair that the metadata must have."""
    query = call.query
    if query.get("model") not in (None, job.facts["model"]):
        return False
    if "status" in query and _STATUS[world.observe(job)] not in query["status"].split(","):
        return False
    if after := query.get("created_after"):
        try:
            if job.created <= datetime.fromisoformat(after).timestamp():
                return False
        except ValueError as error:
            raise Refused("bad_request", "created_after is no time", param="created_after") from error
    metadata = job.facts["metadata"] or {}
    return all(metadata.get(name) == value for name, value in query.items() if name not in _QUERY)


def shown(world: World, job: BatchJob) -> dict[str, Any]:
    """A job as Mistral describes it."""
    phase, plan = world.observe(job), world.plan
    over = phase in batch_jobs.ENDED
    finished, wrong = batch_jobs.done(job, plan, world.clock()), job.tally.get("errored", 0)
    begun = phase not in ("validating", "failed")
    return {
        "id": job.id,
        "object": "batch",
        "input_files": job.facts["input_files"],
        "endpoint": CHAT,
        "model": job.facts["model"],
        "agent_id": None,
        "metadata": job.facts["metadata"],
        "errors": [{"message": "The job could not be validated.", "count": 1}] if phase == "failed" else [],
        "status": _STATUS[phase],
        "output_file": result_file(job, "output") if over and job.lines.get("output") else None,
        "error_file": result_file(job, "error") if over and job.lines.get("error") else None,
        "created_at": int(job.created),
        "started_at": int(batch_jobs.begins(job, plan)) if begun else None,
        "completed_at": int(batch_jobs.ended(job, plan)) if over else None,
        "total_requests": len(job.items),
        "completed_requests": finished,
        "succeeded_requests": finished - wrong,
        "failed_requests": wrong,
    }


def write(world: World, closed: ClosedJob) -> tuple[str, str, bytes]:
    """An item's line in the output or the error file."""
    return result_line(world, closed, MISTRAL)


def _shown_file(world: World, file: StoredFile) -> dict[str, Any]:
    data = world.content(file)
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(data),
        "size_bytes": len(data),
        "created_at": int(file.created),
        "filename": file.name,
        "purpose": "batch",
        "sample_type": "batch_request" if file.job is None else "batch_result",
        "num_lines": data.count(b"\n"),
        "source": "upload" if file.job is None else "mistral",
    }
