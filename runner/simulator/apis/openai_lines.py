"""The lines of batch files in OpenAI's format: how an item goes in, and how it comes out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.simulator import batch_jobs
from runner.simulator.chat import openai as openai_chat
from runner.simulator.chat import responses as openai_responses
from runner.simulator.chat.answers import say
from runner.simulator.http import answer, dumped
from runner.simulator.values import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.records import Json
    from runner.simulator.batch_jobs import ClosedJob
    from runner.simulator.chat.answers import Ask, Said
    from runner.simulator.chat.openai import Dialect
    from runner.simulator.http import HttpAnswer
    from runner.simulator.state import World

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
"""The endpoints that are simulated for batches, the second at OpenAI alone."""
STATUS: Mapping[str, int] = {
    "key_missing": 401,
    "key_wrong": 401,
    "not_found": 404,
    "model_not_found": 404,
    "bad_request": 400,
    "too_large": 413,
    "conflict": 409,
    "rate_limit": 429,
    "server": 500,
}


@dataclass(frozen=True, slots=True)
class Form:
    """The words of one endpoint: how a body is read and counted, and how a reply is written."""

    read: Callable[[Mapping[str, Any], Dialect], Ask]
    tokens: Callable[[Mapping[str, Any]], int]
    reply: Callable[[Ask, Said, str, float], dict[str, Any]]
    prefix: str
    """What a reply's id begins with."""


FORMS: Mapping[str, Form] = {
    CHAT: Form(openai_chat.read, openai_chat.tokens, openai_chat.completion, "chatcmpl-"),
    RESPONSES: Form(openai_responses.read, openai_responses.tokens, openai_responses.response, "resp_"),
}


def refusal(refused: Refused) -> HttpAnswer:
    """An error as OpenAI writes it."""
    kinds = {"rate_limit": "requests", "server": "server_error"}
    error = {
        "message": refused.message,
        "type": kinds.get(refused.kind, "invalid_request_error"),
        "param": refused.param,
        "code": "rate_limit_exceeded" if refused.kind == "rate_limit" else refused.code,
    }
    return answer({"error": error}, STATUS[refused.kind])


def result_line(world: World, closed: ClosedJob, dialect: Dialect) -> tuple[str, str, bytes]:
    """An item's end as OpenAI and Mistral write it."""
    name = f"{closed.job.id}-{closed.index}"
    end = closed.end
    line: dict[str, Json] = {"id": f"batch_req_{name}", "custom_id": closed.item.id, "response": None, "error": None}
    if end in ("expired", "cancelled"):
        message = {
            "expired": "This request could not be executed before the completion window expired.",
            "cancelled": "This request was not executed: the batch was cancelled.",
        }[end]
        line["error"] = {"code": f"batch_{end}", "message": message}
        return "error", end, dumped(line) + b"\n"
    status, body = executed(world, closed, dialect)
    line["response"] = {"status_code": status, "request_id": f"req_{name}", "body": body}
    ok = status == 200
    return ("output" if ok else "error"), ("succeeded" if ok else "errored"), dumped(line) + b"\n"


def executed(world: World, closed: ClosedJob, dialect: Dialect) -> tuple[int, Json]:
    """Status and body of an item's reply."""
    if closed.end == "error":
        error = {"message": "The server had an error processing your request.", "type": "server_error"}
        return 500, {"error": {**error, "param": None, "code": None}}
    form = FORMS[closed.job.facts.get("endpoint", CHAT)]
    try:
        ask = form.read(json.loads(closed.item.body), dialect)
    except Refused as refused:
        told = refusal(refused)
        return told.status, json.loads(told.body) if isinstance(told.body, bytes) else None
    job = closed.job
    said = say(ask, world.plan, closed.item.nth, closed.number)
    return 200, form.reply(ask, said, f"{form.prefix}{job.id}-{closed.index}", batch_jobs.begins(job, world.plan))


class LineError(Exception):
    """A line of an input file that fails the batch."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.param = code, message, param


def check_line(line: Json, endpoint: str, seen: set[str]) -> None:
    """LineError for what fails a batch at its validation; the ids that were `seen` grow."""
    if not isinstance(line, dict):
        raise LineError("invalid_json_line", "This line is no JSON object.")
    for name in ("custom_id", "method", "url", "body"):
        if name not in line:
            raise LineError("missing_required_parameter", f"Missing required parameter: '{name}'.", name)
    extra = sorted(line.keys() - {"custom_id", "method", "url", "body"})
    if extra:
        raise LineError("unknown_parameter", f"Unknown parameter: '{extra[0]}'.", extra[0])
    if not isinstance(line["custom_id"], str) or not 1 <= len(line["custom_id"]) <= 512:
        raise LineError("invalid_custom_id", "The custom_id must be a string of 1 to 512 characters.", "custom_id")
    if line["custom_id"] in seen:
        raise LineError("duplicate_custom_id", f"The custom_id '{line['custom_id']}' is given twice.", "custom_id")
    seen.add(line["custom_id"])
    if line["method"] != "POST":
        raise LineError("invalid_method", "The method must be POST.", "method")
    if line["url"] != endpoint:
        raise LineError("invalid_url", "The URL does not match the batch's endpoint.", "url")
    if not isinstance(line["body"], dict):
        raise LineError("invalid_type", "The body must be an object.", "body")


def check_metadata(metadata: Json) -> None:
    """At most 16 pairs of strings, of at most 64 and 512 characters."""
    if metadata is None:
        return
    if not isinstance(metadata, dict) or len(metadata) > 16:
        raise Refused("bad_request", "Invalid 'metadata': at most 16 pairs.", param="metadata")
    for key, value in metadata.items():
        if len(key) > 64 or not isinstance(value, str) or len(value) > 512:
            message = (
                f"Invalid 'metadata.{key[:64]}': keys have at most 64 characters, values are strings of at most 512."
            )
            raise Refused("bad_request", message, param="metadata")


def nth(world: World, body: Mapping[str, Any], dialect: Dialect, endpoint: str = CHAT) -> int:
    """How often an item's prompt has been asked; an item that will be refused was never asked."""
    try:
        return world.nth(FORMS[endpoint].read(body, dialect))
    except Refused:
        return 1
