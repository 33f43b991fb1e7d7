"""Files sent as multipart forms, and what one may do with them: list, look, fetch (in ranges too), delete."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.simulator.http import HttpAnswer, Route, answer, named, route, whole
from runner.simulator.values import Refused, StoredFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from re import Match

    from runner.simulator.http import Call
    from runner.simulator.state import World

_BOUNDARY = re.compile(r"boundary=\"?([^\";]+)\"?")
_NAME = re.compile(r"\bname=\"([^\"]*)\"")
_FILENAME = re.compile(r"filename=\"([^\"]*)\"")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True, slots=True)
class FormPart:
    """One part of a multipart body."""

    name: str
    filename: str | None
    head: str
    data: bytes


def parts(content_type: str, body: bytes) -> Iterator[FormPart]:
    """The parts of a multipart body, form-data or related; Refused where it is none."""
    boundary = _BOUNDARY.search(content_type)
    if not content_type.startswith("multipart/") or boundary is None:
        raise Refused("bad_request", "Expected a multipart body.")
    for chunk in body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, data = chunk.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        text = head.decode("utf-8", "replace")
        name, filename = _NAME.search(text), _FILENAME.search(text)
        yield FormPart(name[1] if name else "", filename[1] if filename else None, text, data.removesuffix(b"\r\n"))


def ranged(call: Call, data: bytes, content_type: str) -> HttpAnswer:
    """Bytes, or the range of them that the call asks for."""
    wanted = _RANGE.fullmatch(call.headers.get("range", ""))
    if wanted is None:
        return HttpAnswer(200, data, {"Accept-Ranges": "bytes"}, content_type)
    start = int(wanted[1])
    end = min(int(wanted[2]) if wanted[2] else len(data) - 1, len(data) - 1)
    if start > end:
        return HttpAnswer(416, b"", {"Content-Range": f"bytes */{len(data)}"}, content_type)
    return HttpAnswer(206, data[start : end + 1], {"Content-Range": f"bytes {start}-{end}/{len(data)}"}, content_type)


def fetched(world: World, call: Call, file: StoredFile) -> HttpAnswer:
    """A file's bytes; the result of a large batch takes a while to put together."""
    if "range" in call.headers:
        return ranged(call, world.content(file), file.mime)
    return HttpAnswer(200, lambda: world.content(file), {"Accept-Ranges": "bytes"}, file.mime)


@dataclass(frozen=True, slots=True)
class Shelf:
    """A provider's files. `shown` is a file as the provider describes it."""

    api: str
    account: Callable[[Call], str]
    purposes: frozenset[str]
    """What a file may be uploaded for; empty where no purpose is told."""
    max_bytes: int
    shown: Callable[[World, StoredFile], dict[str, Any]]

    def routes(self, root: str) -> tuple[Route, ...]:
        """The endpoints below a path such as /files."""
        return (
            route("POST", root, "files.create", self._create),
            route("GET", root, "files.list", self._list),
            route("GET", root + "/{id}/content", "files.content", self._content, "download"),
            route("GET", root + "/{id}", "files.retrieve", self._retrieve),
            route("DELETE", root + "/{id}", "files.delete", self._delete),
        )

    def _create(self, world: World, call: Call, _: Match[str]) -> HttpAnswer:
        account = self.account(call)
        given = {part.name: part for part in parts(call.headers.get("content-type", ""), call.body)}
        if "file" not in given:
            raise Refused("bad_request", "Missing required parameter: 'file'.", param="file")
        purpose = given["purpose"].data.decode() if "purpose" in given else ""
        if self.purposes and purpose not in self.purposes:
            raise Refused("bad_request", f"'{purpose}' is not one of the purposes.", param="purpose")
        data = given["file"].data
        most = world.plan.max_bytes or self.max_bytes
        if len(data) > most:
            raise Refused("too_large", f"File is too large: {len(data)} bytes, at most {most}.", param="file")
        name = given["file"].filename or "file"
        file_id = world.new_id("file-", self.api)
        stored = StoredFile(file_id, self.api, account, name, purpose or "batch", world.clock(), data)
        return answer(self.shown(world, world.add_file(stored)))

    def _list(self, world: World, call: Call, _: Match[str]) -> HttpAnswer:
        account = self.account(call)
        mine = [file for file in world.files.values() if (file.api, file.account) == (self.api, account)]
        mine.reverse()
        after = call.query.get("after")
        start = next((index + 1 for index, file in enumerate(mine) if file.id == after), 0)
        size = whole(call.query.get("limit"), 10_000, 10_000)
        chosen = [self.shown(world, file) for file in mine[start : start + size]]
        ends = {"first_id": chosen[0]["id"], "last_id": chosen[-1]["id"]} if chosen else {}
        return answer({"object": "list", "data": chosen, "has_more": start + size < len(mine), **ends})

    def _retrieve(self, world: World, call: Call, match: Match[str]) -> HttpAnswer:
        return answer(self.shown(world, world.file(self.api, self.account(call), named(match, "id"))))

    def _content(self, world: World, call: Call, match: Match[str]) -> HttpAnswer:
        return fetched(world, call, world.file(self.api, self.account(call), named(match, "id")))

    def _delete(self, world: World, call: Call, match: Match[str]) -> HttpAnswer:
        file = world.file(self.api, self.account(call), named(match, "id"))
        world.remove_file(file)
        return answer({"id": file.id, "object": "file", "deleted": True})
