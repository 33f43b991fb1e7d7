"""The Gemini Developer API: generateContent, files by resumable upload, batches inline or from a file.

Counts are strings, as 64-bit numbers are in Google's JSON. An expired or a cancelled batch gives no results, not even
those of the items that it had done and billed: none are documented.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runner.simulator import batch_jobs
from runner.simulator.apis.uploads import fetched
from runner.simulator.batch_jobs import BatchLine
from runner.simulator.chat import gemini as gemini_chat
from runner.simulator.chat.answers import say
from runner.simulator.chat.fields import listing, mapping, text
from runner.simulator.http import HttpAnswer, Provider, answer, dumped, known_key, named, page, route, whole
from runner.simulator.state import NO_FILE, digest, result_file
from runner.simulator.values import Refused, StoredFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from re import Match

    from runner.records import Json
    from runner.simulator.batch_jobs import BatchJob, ClosedJob, Phase
    from runner.simulator.http import Call
    from runner.simulator.state import World

API = "gemini"
INLINE_BYTES = 20 * 2**20
FILE_BYTES = 2 * 2**30
WINDOW_H = 48.0
_STATE: Mapping[Phase, str] = {
    "validating": "PENDING",
    "running": "RUNNING",
    "finalizing": "RUNNING",
    "cancelling": "RUNNING",
    "completed": "SUCCEEDED",
    "failed": "FAILED",
    "expired": "EXPIRED",
    "cancelled": "CANCELLED",
}
_TYPE = "type.googleapis.com/google.ai.generativelanguage."


def account(call: Call) -> str:
    """The key, in a header or in the query."""
    key = call.headers.get("x-goog-api-key") or call.query.get("key", "")
    return known_key(key, "API key not valid. Please pass a valid API key.")


def provider() -> Provider:
    """The whole of the Gemini Developer API.

    v1 and v1beta are the same here; LiteLLM, given an address of its own, puts no version between it and the path.
    """
    root = "(?:/v1|/v1beta|/v1alpha)?"
    routes = (
        route("POST", root + "/models/{model}:generateContent", "generate", _generate, "live"),
        route("POST", root + "/models/{model}:batchGenerateContent", "batches.create", _create, "create"),
        route("GET", root + "/batches", "batches.list", _list),
        route("GET", root + "/batches/{id}", "batches.retrieve", _retrieve),
        route("POST", root + "/batches/{id}:cancel", "batches.cancel", _cancel),
        route("DELETE", root + "/batches/{id}", "batches.delete", _delete),
        route("POST", "/upload" + root + "/files", "files.upload", _upload),
        route("GET", root + "/files", "files.list", _files),
        route("GET", "(?:/download)?" + root + "/files/{id}:download", "files.content", _content, "download"),
        route("GET", root + "/files/{id}", "files.retrieve", _file),
        route("DELETE", root + "/files/{id}", "files.delete", _delete_file),
    )
    return Provider(API, ("/gemini",), routes, account, gemini_chat.refusal, "none", tokens=gemini_chat.tokens)


def _generate(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    account(call)
    return answer(live(world, call.json(), gemini_chat.check_model(named(match, "model"))))


def live(world: World, body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """One live request, answered and counted as bought."""
    ask, name = gemini_chat.read(body, model), digest(body)
    world.bought[name] += 1
    return gemini_chat.response(
        ask, say(ask, world.plan, world.nth(ask), world.turn("reply")), f"{name}{world.bought[name]}"
    )


# ---- files ----------------------------------------------------------------------------------------------------------


def _upload(world: World, call: Call, _: Match[str]) -> HttpAnswer:
    """Google's resumable upload: a start, which gives an address, then chunks, the last of which finalizes."""
    command = call.headers.get("x-goog-upload-command", "")
    if "start" in command:
        return _start(world, call)
    file = world.files.get(call.query.get("upload_id", ""))
    if file is None or file.purpose != "upload":
        raise Refused("not_found", "Upload not found")
    if int(call.headers.get("x-goog-upload-offset", "0")) != len(file.data):
        raise Refused("bad_request", "The upload's offset is not where the last chunk ended.")
    file.data += call.body
    if "finalize" not in command:
        return HttpAnswer(200, b"", {"x-goog-upload-status": "active"})
    file.purpose = "batch"
    world.add_file(file)
    return answer({"file": _shown_file(world, file)}, headers={"x-goog-upload-status": "final"})


def _start(world: World, call: Call) -> HttpAnswer:
    owner = account(call)
    size = int(call.headers.get("x-goog-upload-header-content-length", "0") or 0)
    if size > (world.plan.max_bytes or FILE_BYTES):
        raise Refused("too_large", "The file is too large.")
    stated = (call.json() if call.body else {}).get("file", {})
    named_file = stated.get("name", "").removeprefix("files/") or world.new_id("", API)[:12]
    label = stated.get("displayName") or stated.get("display_name") or ""
    mime = call.headers.get("x-goog-upload-header-content-type") or stated.get("mimeType") or "application/octet-stream"
    file = StoredFile(named_file, API, owner, label, "upload", world.clock(), mime=mime)
    world.files[file.id] = file
    address = f"{call.origin}{call.prefix}{call.path}?upload_id={file.id}&upload_protocol=resumable"
    return HttpAnswer(200, b"{}", {"x-goog-upload-url": address, "x-goog-upload-status": "active"})


def _stored(world: World, call: Call, match: Match[str]) -> StoredFile:
    file = world.file(API, account(call), named(match, "id"))
    if file.purpose == "upload":
        raise Refused("not_found", "The file is not complete.")
    return file


def _file(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    return answer(_shown_file(world, _stored(world, call, match)))


def _files(world: World, call: Call, _: Match[str]) -> HttpAnswer:
    owner = account(call)
    mine = [file for file in world.files.values() if (file.api, file.account) == (API, owner)]
    chosen, token = _paged(call, [file for file in mine if file.purpose != "upload"], 10)
    return answer({"files": [_shown_file(world, file) for file in chosen], **token})


def _content(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    file = _stored(world, call, match)
    if file.job is None:
        raise Refused("bad_request", "Only generated files can be downloaded.")
    return fetched(world, call, file)


def _delete_file(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    world.remove_file(_stored(world, call, match))
    return answer({})


def _shown_file(world: World, file: StoredFile) -> dict[str, Any]:
    made = file.job is not None
    shown = {
        "name": f"files/{file.id}",
        "displayName": file.name,
        "mimeType": file.mime,
        "sizeBytes": str(len(world.content(file))),
        "createTime": time(file.created),
        "updateTime": time(file.created),
        "expirationTime": time(file.created + 48 * 3600),
        "uri": f"https://generativelanguage.googleapis.com/v1beta/files/{file.id}",
        "state": "ACTIVE",
        "source": "GENERATED" if made else "UPLOADED",
    }
    if made:
        shown["downloadUri"] = f"{shown['uri']}:download?alt=media"
    return shown


# ---- batches --------------------------------------------------------------------------------------------------------


def _create(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    owner, model = account(call), gemini_chat.check_model(named(match, "model"))
    body = gemini_chat.known(call.json(), {"batch": mapping, "model": text}, "")
    if "batch" not in body:
        raise Refused("bad_request", "batch is not specified", param="batch")
    table = {"displayName": text, "inputConfig": mapping, "priority": text, "model": text, "name": text}
    batch = gemini_chat.known(body["batch"], table, "batch")
    if not batch.get("displayName"):
        raise Refused(
            "bad_request", "* BatchGenerateContentRequest.batch.display_name: must not be empty", param="batch"
        )
    source = gemini_chat.known(
        batch.get("inputConfig", {}), {"fileName": text, "requests": mapping}, "batch.input_config"
    )
    if len(source) != 1:
        raise Refused("bad_request", "exactly one of file_name and requests must be set", param="batch.input_config")
    if "fileName" in source:
        file = world.file(API, owner, source["fileName"].removeprefix("files/"))
        items = list(_from_lines(world, file, model))
    else:
        if len(call.body) > (world.plan.max_bytes or INLINE_BYTES):
            raise Refused("too_large", "Request payload size exceeds the limit: 20971520 bytes.")
        items = list(_inline(world, source["requests"], model))
    if not items or len(items) > (world.plan.max_items or 10**9):
        raise Refused("bad_request", f"a batch of {len(items)} requests is not accepted", param="batch.input_config")
    facts = {"name": batch["displayName"], "model": model, "file": source.get("fileName")}
    job = world.add_job(API, owner, items, prefix="", window_h=WINDOW_H, facts=facts)
    return answer(shown(world, job))


def _from_lines(world: World, file: StoredFile, model: str) -> Iterator[BatchLine]:
    for index, raw in enumerate(file.data.splitlines()):
        try:
            line = json.loads(raw)
        except ValueError as error:
            raise Refused("bad_request", f"line {index + 1} of the file is no JSON", param="file_name") from error
        fields = gemini_chat.known(line, {"key": text, "request": mapping}, f"line {index + 1}")
        yield _item(world, fields, fields.get("key", ""), None, model)


def _inline(world: World, requests: Json, model: str) -> Iterator[BatchLine]:
    listed = gemini_chat.known(requests, {"requests": listing}, "batch.input_config.requests").get("requests", [])
    for index, entry in enumerate(listed):
        where = f"batch.input_config.requests.requests[{index}]"
        fields = gemini_chat.known(entry, {"request": mapping, "metadata": mapping}, where)
        note = fields.get("metadata")
        yield _item(world, fields, str((note or {}).get("key", index)), note, model)


def _item(world: World, fields: Mapping[str, Any], name: str, note: Json, model: str) -> BatchLine:
    if "request" not in fields:
        raise Refused("bad_request", "a batch entry has no request", param="request")
    body = {key: value for key, value in fields["request"].items() if key != "model"}
    try:
        nth = world.nth(gemini_chat.read(body, model))
    except Refused:
        nth = 1
    return BatchLine(name, dumped(body), nth, note)


def _job(world: World, call: Call, match: Match[str]) -> BatchJob:
    return world.job(API, account(call), named(match, "id"), "Requested entity was not found: batches/{}")


def _retrieve(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    return answer(shown(world, _job(world, call, match)))


def _cancel(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    job = _job(world, call, match)
    if world.observe(job) in batch_jobs.ENDED:
        raise Refused("conflict", "The batch has ended and cannot be cancelled.")
    world.cancel(job)
    return answer({})


def _delete(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    world.delete(_job(world, call, match))
    return answer({})


def _list(world: World, call: Call, _: Match[str]) -> HttpAnswer:
    chosen, token = _paged(call, world.listed(API, account(call)), 50)
    return answer({"operations": [shown(world, job) for job in chosen], **token})


def _paged(call: Call, items: list[Any], default: int) -> tuple[list[Any], dict[str, str]]:
    mark = call.query.get("pageToken") or "0"
    if not mark.isdigit():
        raise Refused("bad_request", "invalid page token", param="page_token")
    chosen, following = page(items, whole(call.query.get("pageSize"), default, 100), int(mark))
    return chosen, {} if following is None else {"nextPageToken": str(following)}


def shown(world: World, job: BatchJob) -> dict[str, Any]:
    """A batch as Gemini describes it: an operation whose metadata is the batch."""
    phase, total = world.observe(job), len(job.items)
    over = phase in batch_jobs.ENDED
    metadata: dict[str, Json] = {
        "@type": f"{_TYPE}v1main.GenerateContentBatch",
        "name": f"batches/{job.id}",
        "model": f"models/{job.facts['model']}",
        "displayName": job.facts["name"],
        "inputConfig": {"fileName": job.facts["file"]} if job.facts["file"] else {},
        "createTime": time(job.created),
        "updateTime": time(world.clock()),
        "batchStats": _stats(job, total, over=over),
        "state": f"BATCH_STATE_{_STATE[phase]}",
    }
    operation: dict[str, Any] = {"name": f"batches/{job.id}", "metadata": metadata}
    if over:
        operation["done"] = True
        metadata["endTime"] = time(batch_jobs.ended(job, world.plan))
    if phase == "failed":
        operation["error"] = {"code": 3, "message": "The batch could not be validated."}
    elif phase == "completed":
        metadata["output"] = _output(world, job)
        operation["response"] = {"@type": f"{_TYPE}v1main.GenerateContentBatchOutput", **metadata["output"]}
    return operation


def _stats(job: BatchJob, total: int, *, over: bool) -> dict[str, str]:
    """A count that is zero is left out."""
    counts = {
        "requestCount": total,
        "successfulRequestCount": job.tally.get("succeeded", 0) if over else 0,
        "failedRequestCount": job.tally.get("errored", 0) if over else 0,
        "pendingRequestCount": 0 if over else total,
    }
    return {name: str(number) for name, number in counts.items() if number}


def _output(world: World, job: BatchJob) -> dict[str, Any]:
    if job.facts["file"]:
        return {"responsesFile": f"files/{result_file(job, 'output')}"}
    entries: list[Json] = []
    for line in world.delivered(job, "output"):
        try:
            entries.append(json.loads(line))
        except ValueError:
            # An answer must stay JSON: a corrupt entry is one that has lost its id.
            entries.append({"response": {}})
    return {"inlinedResponses": {"inlinedResponses": entries}}


def write(world: World, closed: ClosedJob) -> tuple[str, str, bytes]:
    """An item's line in the file, or its entry in the list."""
    job, item = closed.job, closed.item
    if closed.end in ("expired", "cancelled"):
        return NO_FILE, closed.end, b""
    entry: dict[str, Json] = {"key": item.id} if job.facts["file"] else {}
    if item.note is not None:
        entry["metadata"] = item.note
    ok, result = outcome(world, closed, job.facts["model"])
    entry["response" if ok else "error"] = result
    return "output", "succeeded" if ok else "errored", dumped(entry) + b"\n"


def outcome(world: World, closed: ClosedJob, model: str) -> tuple[bool, Json]:
    """An item's response, or its error as google.rpc.Status."""
    if closed.end == "error":
        return False, {"code": 13, "message": "Internal error encountered."}
    try:
        ask = gemini_chat.read(json.loads(closed.item.body), model)
    except Refused as refused:
        return False, {"code": 3, "message": refused.message}
    said = say(ask, world.plan, closed.item.nth, closed.number)
    return True, gemini_chat.response(ask, said, f"{closed.job.id}-{closed.index}")


def time(seconds: float) -> str:
    """RFC 3339, as Google writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
