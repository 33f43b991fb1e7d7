"""Google Cloud Storage's JSON API, as much as its client needs to upload, list, download and delete.

Every bucket exists. Below /gcs, and at the root for clients that take STORAGE_EMULATOR_HOST. Objects belong to no
account: such clients send no credentials.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runner.simulator.apis.uploads import fetched, parts
from runner.simulator.http import HttpAnswer, Provider, answer, named, page, route, whole
from runner.simulator.values import Refused, StoredFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from re import Match

    from runner.simulator.http import Call
    from runner.simulator.state import World

GCS = "gcs"
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_STATUS = {"not_found": (404, "notFound"), "bad_request": (400, "invalid"), "rate_limit": (429, "rateLimitExceeded")}


def refusal(refused: Refused) -> HttpAnswer:
    """An error as the storage writes it."""
    code, reason = _STATUS.get(refused.kind, (503, "backendError"))
    detail = {"message": refused.message, "domain": "global", "reason": reason}
    return answer({"error": {"code": code, "message": refused.message, "errors": [detail]}}, code)


def provider() -> Provider:
    """The storage."""
    bucket = "/storage/v1/b/{bucket}"
    routes = (
        route("POST", "/upload" + bucket + "/o", "objects.insert", _insert),
        route("PUT", "/upload" + bucket + "/o", "objects.insert", _resume),
        route("GET", "/download" + bucket + "/o/{name*}", "objects.download", _download, "download"),
        route("GET", bucket, "buckets.get", _bucket),
        route("POST", "/storage/v1/b", "buckets.insert", _new_bucket),
        route("GET", bucket + "/o", "objects.list", _list),
        route("GET", bucket + "/o/{name*}", "objects.get", _get),
        route("DELETE", bucket + "/o/{name*}", "objects.delete", _delete),
    )
    return Provider(GCS, ("/gcs", ""), routes, lambda _: "", refusal, "none")


def _new_bucket(world: World, call: Call, _: Match[str]) -> HttpAnswer:
    return answer(_shown_bucket(str(call.json().get("name", "")), world))


def _bucket(world: World, _: Call, match: Match[str]) -> HttpAnswer:
    return answer(_shown_bucket(named(match, "bucket"), world))


def _shown_bucket(name: str, world: World) -> dict[str, Any]:
    return {"kind": "storage#bucket", "id": name, "name": name, "timeCreated": _time(world.clock()), "location": "US"}


def _insert(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    stated: dict[str, Any] = {"name": call.query.get("name"), "bucket": named(match, "bucket")}
    mime = call.headers.get("content-type", "")
    match call.query.get("uploadType"):
        case "media":
            return _stored(world, call, {"contentType": mime, **stated}, call.body)
        case "multipart":
            head, data = list(parts(mime, call.body))
            found = re.search(r"content-type:\s*(\S+)", data.head, re.IGNORECASE)
            told = {"contentType": found[1]} if found else {}
            return _stored(world, call, {**told, **stated, **json.loads(head.data)}, data.data)
        case "resumable":
            told = {"contentType": call.headers.get("x-upload-content-type", "")}
            return _begun(world, call, {**told, **stated, **(call.json() if call.body else {})})
        case other:
            raise Refused("bad_request", f"Unknown upload type {other}")


def _begun(world: World, call: Call, stated: Mapping[str, Any]) -> HttpAnswer:
    upload_id = world.new_id("upload-", GCS)
    world.files[upload_id] = StoredFile(upload_id, GCS, "", json.dumps(stated), "upload", world.clock())
    address = f"{call.origin}{call.prefix}{call.path}?uploadType=resumable&upload_id={upload_id}"
    return HttpAnswer(200, b"", {"Location": address})


def _resume(world: World, call: Call, _: Match[str]) -> HttpAnswer:
    """A chunk of a resumable upload; 308 until the last."""
    upload = world.files.get(call.query.get("upload_id", ""))
    if upload is None or upload.purpose != "upload":
        raise Refused("not_found", "No such upload")
    wanted = _CONTENT_RANGE.fullmatch(call.headers.get("content-range", f"bytes 0-{len(call.body) - 1}/*"))
    if wanted is None or (wanted[1] is not None and int(wanted[1]) != len(upload.data)):
        raise Refused("bad_request", "The chunk does not begin where the last one ended.")
    upload.data += call.body
    total = wanted[3]
    if total != "*" and len(upload.data) < int(total):
        seen = {"Range": f"bytes=0-{len(upload.data) - 1}"} if upload.data else {}
        return HttpAnswer(308, b"", seen)
    del world.files[upload.id]
    return _stored(world, call, json.loads(upload.name), upload.data)


def _stored(world: World, call: Call, stated: Mapping[str, Any], data: bytes) -> HttpAnswer:
    if not stated.get("name"):
        raise Refused("bad_request", "Required object name")
    uri = f"gs://{stated['bucket']}/{stated['name']}"
    mime = stated.get("contentType") or "application/octet-stream"
    file = StoredFile(uri, GCS, "", stated["name"], "object", world.clock(), data, mime)
    return answer(_shown(world, call, world.add_file(file)))


def _object(world: World, match: Match[str]) -> StoredFile:
    _written(world)
    uri = f"gs://{named(match, 'bucket')}/{named(match, 'name')}"
    file = world.files.get(uri)
    if file is None:
        raise Refused("not_found", f"No such object: {uri[5:]}")
    return file


def _written(world: World) -> None:
    """Let jobs that have ended write their results."""
    for job in world.jobs.values():
        if "place" in job.facts:
            world.observe(job)


def _get(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    file = _object(world, match)
    return fetched(world, call, file) if call.query.get("alt") == "media" else answer(_shown(world, call, file))


def _download(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    return fetched(world, call, _object(world, match))


def _delete(world: World, _: Call, match: Match[str]) -> HttpAnswer:
    world.remove_file(_object(world, match))
    return HttpAnswer(204)


def _list(world: World, call: Call, match: Match[str]) -> HttpAnswer:
    _written(world)
    start = f"gs://{named(match, 'bucket')}/{call.query.get('prefix', '')}"
    mine = sorted((file for file in world.files.values() if file.id.startswith(start)), key=lambda file: file.id)
    mark = call.query.get("pageToken") or "0"
    size = whole(call.query.get("maxResults"), 1000, 1000)
    chosen, following = page(mine, size, int(mark) if mark.isdigit() else 0)
    token = {} if following is None else {"nextPageToken": str(following)}
    return answer({"kind": "storage#objects", "items": [_shown(world, call, file) for file in chosen], **token})


def _shown(world: World, call: Call, file: StoredFile) -> dict[str, Any]:
    bucket, _, name = file.id.removeprefix("gs://").partition("/")
    data = world.content(file)
    path = f"/storage/v1/b/{quote(bucket)}/o/{quote(name, safe='')}"
    return {
        "kind": "storage#object",
        "id": f"{bucket}/{name}/1",
        "selfLink": f"https://www.googleapis.com{path}",
        # The client fetches from here, whatever address it was given.
        "mediaLink": f"{call.origin}{call.prefix}/download{path}?generation=1&alt=media",
        "name": name,
        "bucket": bucket,
        "generation": "1",
        "metageneration": "1",
        "contentType": file.mime,
        "size": str(len(data)),
        "md5Hash": base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode(),
        "timeCreated": _time(file.created),
        "updated": _time(file.created),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
