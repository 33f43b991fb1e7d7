"""Vertex AI: generateContent, and batch prediction jobs that read from the simulated storage and write to it.

A job whose window closes keeps what it had done (PARTIALLY_SUCCEEDED, or EXPIRED where that is nothing); the rest has
no lines.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runner.simulator import batch_jobs
from runner.simulator.apis.gcs import GCS
from runner.simulator.apis.gemini import live, outcome, time
from runner.simulator.batch_jobs import BatchLine
from runner.simulator.chat import gemini as gemini_chat
from runner.simulator.chat.fields import anything, mapping, text
from runner.simulator.http import Provider, answer, dumped, known_key, named, page, route, whole
from runner.simulator.state import NO_FILE
from runner.simulator.values import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from re import Match

    from runner.records import Json
    from runner.simulator.batch_jobs import BatchJob, ClosedJob, Phase
    from runner.simulator.http import Call, HttpAnswer
    from runner.simulator.state import World
    from runner.simulator.values import StoredFile

API = "vertex"
MAX_ITEMS = 200_000
MAX_BYTES = 2**30
WINDOW_H = 24.0
_FIELDS = {
    "displayName": text,
    "model": text,
    "inputConfig": mapping,
    "outputConfig": mapping,
    "labels": mapping,
    "modelParameters": anything,
    "serviceAccount": text,
    "encryptionSpec": mapping,
}
_STATE: Mapping[Phase, str] = {
    "validating": "PENDING",
    "running": "RUNNING",
    "finalizing": "RUNNING",
    "cancelling": "CANCELLING",
    "completed": "SUCCEEDED",
    "failed": "FAILED",
    "expired": "EXPIRED",
    "cancelled": "CANCELLED",
}


def _account(call: Call) -> str:
    """The access token; Google answers none and a wrong one alike."""
    key = call.bearer()
    if not key or "invalid" in key:
        message = "Request had invalid authentication credentials. Expected OAuth 2 access token."
        raise Refused("key_missing", message)
    return known_key(key, "")


def refusal(refused: Refused) -> HttpAnswer:
    """An error as Google writes it; Vertex AI answers a missing token with 401."""
    if refused.kind == "key_missing":
        return answer({"error": {"code": 401, "message": refused.message, "status": "UNAUTHENTICATED"}}, 401)
    return gemini_chat.refusal(refused)


def provider() -> Provider:
    """The whole of Vertex AI; project and location are kept in names, and not looked at."""
    root = "(?:/v1|/v1beta1)?(?P<parent>(?:/projects/[^/]+/locations/[^/]+)?)"
    batches = root + "/batchPredictionJobs"
    routes = (
        route("POST", root + "/publishers/google/models/{model}:generateContent", "generate", _generate, "live"),
        route("POST", batches, "batches.create", _create, "create"),
        route("GET", batches, "batches.list", _list),
        route("GET", batches + "/{id}", "batches.retrieve", _retrieve),
        route("POST", batches + "/{id}:cancel", "batches.cancel", _cancel),
        route("DELETE", batches + "/{id}", "batches.delete", _delete),
    )
    return Provider(API, ("/vertex",), routes, _account, refusal, "none", tokens=gemini_chat.tokens)


def _generate(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    _account(call)
    return answer(live(world, call.json(), gemini_chat.check_model(named(match, "model"))))


def _create(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    owner = _account(call)
    body = gemini_chat.known(call.json(), _FIELDS, "batch_prediction_job")
    for name in ("displayName", "model", "inputConfig", "outputConfig"):
        if not body.get(name):
            raise Refused("bad_request", f"{name} is required", param=name)
    model = gemini_chat.check_model(body["model"])
    source = _config(body["inputConfig"], "instancesFormat", {"gcsSource": mapping, "bigquerySource": mapping})
    target = _config(body["outputConfig"], "predictionsFormat", {"gcsDestination": mapping})
    uris = gemini_chat.known(source.get("gcsSource", {}), {"uris": anything}, "gcs_source").get("uris")
    prefix = target.get("gcsDestination", {}).get("outputUriPrefix", "")
    if not prefix.startswith("gs://"):
        raise Refused("bad_request", "output_uri_prefix must start with gs://", param="output_config")
    files = [_input(world, uri) for uri in ([uris] if isinstance(uris, str) else uris or ())]
    items = [item for file in files for item in _items(world, file, model)]
    if not items or len(items) > (world.plan.max_items or MAX_ITEMS):
        raise Refused("bad_request", f"a job of {len(items)} requests is not accepted", param="input_config")
    facts = {**body, "plain_model": model, "parent": match["parent"] or "/projects/simulated/locations/global"}
    folder = f"{prefix.rstrip('/')}/prediction-model-{time(world.clock())}"
    facts |= {"folder": folder, "place": {"api": GCS, "account": "", "output": f"{folder}/predictions.jsonl"}}
    job = world.add_job(API, owner, items, prefix="#", window_h=WINDOW_H, facts=facts)
    return answer(shown(world, job))


def _config(config: Mapping[str, Any], form_name: str, table: Mapping[str, Any]) -> dict[str, Any]:
    fields = gemini_chat.known(config, {form_name: text, **table}, form_name)
    if fields.get(form_name) != "jsonl" or len(fields) != 2:
        raise Refused("bad_request", f"{form_name} must be jsonl, with one place in the storage", param=form_name)
    return fields


def _input(world: World, uri: Json) -> StoredFile:
    if not isinstance(uri, str) or not uri.startswith("gs://"):
        raise Refused("bad_request", f"'{uri}' is no address in the storage", param="input_config")
    file = world.files.get(uri)
    if file is None:
        raise Refused("bad_request", f"Cannot read {uri}: no such object", param="input_config")
    if len(file.data) > (world.plan.max_bytes or MAX_BYTES):
        raise Refused("too_large", f"{uri} is too large")
    return file


def _items(world: World, file: StoredFile, model: str) -> Iterator[BatchLine]:
    for index, raw in enumerate(file.data.splitlines()):
        try:
            line = json.loads(raw)
        except ValueError as error:
            raise Refused("bad_request", f"line {index + 1} of the input is no JSON") from error
        request = gemini_chat.known(line, {"request": mapping}, "line").get("request")
        if request is None:
            raise Refused("bad_request", f"line {index + 1} of the input has no request")
        try:
            nth = world.nth(gemini_chat.read(request, model))
        except Refused:
            nth = 1
        labels = request.get("labels")
        name = next(iter(labels.values()), index) if isinstance(labels, dict) else index
        yield BatchLine(str(name), dumped(request), nth)


def _job(world: World, call: Call, match: Match[str]) -> BatchJob:
    return world.job(API, _account(call), named(match, "id"), "The BatchPredictionJob {} does not exist.")


def _retrieve(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    return answer(shown(world, _job(world, call, match)))


def _cancel(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    world.cancel(_job(world, call, match))
    return answer({})


def _delete(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    job = _job(world, call, match)
    if world.observe(job) not in batch_jobs.ENDED:
        raise Refused("conflict", "The job is still running. Cancel it before it is deleted.")
    world.delete(job)
    name = f"{job.facts['parent'][1:]}/operations/{job.id}"
    return answer({"name": name, "done": True, "response": {}})


def _list(world: World, call: Call, _: Match[str]) -> HttpAnswer:
    mine = world.listed(API, _account(call))
    wanted = call.query.get("filter", "")
    if wanted.startswith(("displayName=", "display_name=")):
        label = wanted.partition("=")[2].strip('"')
        mine = [job for job in mine if job.facts["displayName"] == label]
    mark = call.query.get("pageToken") or "0"
    chosen, following = page(mine, whole(call.query.get("pageSize"), 100, 100), int(mark) if mark.isdigit() else 0)
    token = {} if following is None else {"nextPageToken": str(following)}
    return answer({"batchPredictionJobs": [shown(world, job) for job in chosen], **token})


def shown(world: World, job: BatchJob) -> dict[str, Any]:
    """A job as Vertex AI describes it."""
    phase, plan, facts = world.observe(job), world.plan, job.facts
    over = phase in batch_jobs.ENDED
    state = "PARTIALLY_SUCCEEDED" if phase == "expired" and job.tally.get("succeeded") else _STATE[phase]
    shown: dict[str, Any] = {
        "name": f"{facts['parent'][1:]}/batchPredictionJobs/{job.id}",
        "displayName": facts["displayName"],
        "model": facts["model"],
        "inputConfig": facts["inputConfig"],
        "outputConfig": facts["outputConfig"],
        "labels": facts.get("labels", {}),
        "state": f"JOB_STATE_{state}",
        "createTime": time(job.created),
        "updateTime": time(world.clock()),
        "modelVersionId": "1",
    }
    if phase not in ("validating", "failed"):
        shown["startTime"] = time(batch_jobs.begins(job, plan))
    if over:
        shown["endTime"] = time(batch_jobs.ended(job, plan))
    if phase == "failed":
        shown["error"] = {"code": 3, "message": "The job could not be validated."}
    if over and job.lines.get("output"):
        shown["outputInfo"] = {"gcsOutputDirectory": facts["folder"]}
        right, wrong = job.tally.get("succeeded", 0), job.tally.get("errored", 0)
        stats = {"successfulCount": right, "failedCount": wrong, "incompleteCount": len(job.items) - right - wrong}
        shown["completionStats"] = {name: str(number) for name, number in stats.items() if number}
    return shown


def write(world: World, closed: ClosedJob) -> tuple[str, str, bytes]:
    """An item's line: its request again, with a status that is empty where it went well."""
    job = closed.job
    if closed.end in ("expired", "cancelled"):
        return NO_FILE, closed.end, b""
    ok, result = outcome(world, closed, job.facts["plain_model"])
    line = {
        "status": "" if ok else f"{'Internal error' if closed.end == 'error' else 'Bad Request'}: {json.dumps(result)}",
        "processed_time": time(batch_jobs.begins(job, world.plan)),
        "request": json.loads(closed.item.body),
        "response": result if ok else {},
    }
    return "output", "succeeded" if ok else "errored", dumped(line) + b"\n"
