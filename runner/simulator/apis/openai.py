"""OpenAI, and those who speak its format: chat of all, files and batches of OpenAI, Groq and kluster.ai.

kluster.ai removed its batch reference in July 2025; what is here is what its last edition and its users' code show.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from runner.simulator import batch_jobs
from runner.simulator.apis.openai_lines import (
    CHAT,
    FORMS,
    RESPONSES,
    STATUS,
    LineError,
    check_line,
    check_metadata,
    nth,
    refusal,
    result_line,
)
from runner.simulator.apis.uploads import Shelf
from runner.simulator.batch_jobs import BatchLine
from runner.simulator.chat.answers import say
from runner.simulator.chat.dialects import DEEPSEEK, GROQ, KLUSTER, OPENAI
from runner.simulator.http import Provider, answer, dumped, known_key, named, route, whole
from runner.simulator.state import digest, result_file
from runner.simulator.values import Refused, StoredFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from re import Match

    from runner.records import Json
    from runner.simulator.batch_jobs import BatchJob, ClosedJob, Phase
    from runner.simulator.chat.openai import Dialect
    from runner.simulator.http import Call, HttpAnswer
    from runner.simulator.state import World

_WRONG_KEY = "Incorrect API key provided: {}. You can find your API key in your account's settings."


def account(call: Call) -> str:
    """The bearer key; Refused where it is missing or wrong."""
    return known_key(call.bearer(), _WRONG_KEY)


def _deepseek_refusal(refused: Refused) -> HttpAnswer:
    """DeepSeek answers a model that it does not have with 400."""
    kinds = {"key_missing": "authentication_error", "key_wrong": "authentication_error"}
    error = {
        "message": "Model Not Exist" if refused.kind == "model_not_found" else refused.message,
        "type": kinds.get(refused.kind, "invalid_request_error"),
        "param": refused.param,
        "code": "invalid_request_error",
    }
    return answer({"error": error}, 400 if refused.kind == "model_not_found" else STATUS[refused.kind])


def live_tokens(call: Call) -> int:
    """Tokens of a live request; none where it cannot be read."""
    try:
        body = json.loads(call.body)
        return FORMS[RESPONSES if "input" in body else CHAT].tokens(body)
    except (ValueError, AttributeError, TypeError):
        return 0


def complete(world: World, body: Mapping[str, Any], dialect: Dialect, endpoint: str = CHAT) -> dict[str, Any]:
    """One live request, answered and counted as bought."""
    form = FORMS[endpoint]
    ask = form.read(body, dialect)
    name = digest(body)
    world.bought[name] += 1
    said = say(ask, world.plan, world.nth(ask), world.turn("reply"))
    return form.reply(ask, said, f"{form.prefix}{name}{world.bought[name]}", world.clock())


@dataclass(frozen=True, slots=True)
class ChatApi:
    """A live endpoint of one dialect."""

    dialect: Dialect
    endpoint: str = CHAT

    def __call__(self, world: World, call: Call, _: Match[str]) -> HttpAnswer:
        """A completion, or a response."""
        account(call)
        return answer(complete(world, call.json(), self.dialect, self.endpoint))


# ---- batches --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Batches:
    """Files and batches in OpenAI's format, with one provider's limits and manners."""

    dialect: Dialect
    windows: Mapping[str, float]
    """Completion window -> hours."""
    max_items: int
    max_bytes: int
    one_model: bool
    errors: Literal["object", "list"] = "object"
    """Groq lists a failed batch's errors where OpenAI wraps the list."""
    paging: Literal["after", "cursor"] = "after"
    text_times: bool = False
    """kluster.ai was seen to give times as strings."""
    phases: Mapping[Phase, str] = field(default_factory=dict)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """What its lines may ask."""
        return (CHAT,) if self.dialect.responses_only is None else (CHAT, RESPONSES)

    @property
    def api(self) -> str:
        """The provider's name."""
        return self.dialect.name

    def provider(self, prefix: str) -> Provider:
        """The whole of one provider."""
        shelf = Shelf(self.api, account, frozenset({"batch"}), self.max_bytes, _shown_file)
        responses = (route("POST", "/responses", "responses", ChatApi(self.dialect, RESPONSES), "live"),)
        routes = (
            route("POST", "/chat/completions", "chat", ChatApi(self.dialect), "live"),
            *(responses if RESPONSES in self.endpoints else ()),
            *shelf.routes("/files"),
            route("POST", "/batches", "batches.create", self.create, "create"),
            route("GET", "/batches", "batches.list", self.list),
            route("GET", "/batches/{id}", "batches.retrieve", self.retrieve),
            route("POST", "/batches/{id}/cancel", "batches.cancel", self.cancel),
        )
        return Provider(self.api, (prefix,), routes, account, refusal, tokens=live_tokens)

    def create(self, world: World, call: Call, _: Match[str]) -> HttpAnswer:
        """Take a batch on; its lines are looked at while it validates."""
        owner, body = account(call), call.json()
        hours = self._checked(body)
        file = world.file(self.api, owner, str(body["input_file_id"]))
        if file.purpose != "batch":
            raise Refused("bad_request", "The input file's purpose is not 'batch'.", param="input_file_id")
        items, errors, tokens, model = self._lines(world, file, body["endpoint"])
        room = world.plan.enqueued_tokens
        if room is not None and not errors and world.waiting_tokens(self.api, owner) + tokens > room:
            message = (
                f"Enqueued token limit reached for {model}. Limit: {room:,} enqueued tokens. "
                "Please try again once some in_progress batches have been completed."
            )
            errors = [_error("token_limit_exceeded", message)]
        facts = {**body, "tokens": tokens, "model": model}
        job = world.add_job(self.api, owner, items, prefix="batch_", window_h=hours, facts=facts, errors=errors)
        return answer(self.shown(world, job))

    def _checked(self, body: Mapping[str, Any]) -> float:
        known = {"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"}
        for name in body:
            if name not in known:
                raise Refused("bad_request", f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
        for name in ("input_file_id", "endpoint", "completion_window"):
            if name not in body:
                message = f"Missing required parameter: '{name}'."
                raise Refused("bad_request", message, param=name, code="missing_required_parameter")
        if body["endpoint"] not in self.endpoints:
            message = f"Invalid value: '{body['endpoint']}'. Supported values are: {', '.join(self.endpoints)}."
            raise Refused("bad_request", message, param="endpoint", code="invalid_value")
        if body["completion_window"] not in self.windows:
            message = f"Invalid value: '{body['completion_window']}'. Supported values are: {', '.join(self.windows)}."
            raise Refused("bad_request", message, param="completion_window", code="invalid_value")
        check_metadata(body.get("metadata"))
        return self.windows[body["completion_window"]]

    def _lines(
        self, world: World, file: StoredFile, endpoint: str
    ) -> tuple[list[BatchLine], list[dict[str, Json]], int, str | None]:
        """The items of an input file, or what is wrong with it; its tokens, and its first model."""
        items: list[BatchLine] = []
        errors: list[dict[str, Json]] = []
        seen: set[str] = set()
        tokens, model = 0, None
        for number, raw in enumerate(file.data.splitlines(), start=1):
            try:
                line = json.loads(raw)
                check_line(line, endpoint, seen)
                body = line["body"]
                model = model or body.get("model")
                self._check_model(body.get("model"), model)
            except LineError as error:
                errors.append(_error(error.code, error.message, number, error.param))
                continue
            except ValueError:
                errors.append(_error("invalid_json_line", "This line is not parseable as valid JSON.", number))
                continue
            tokens += FORMS[endpoint].tokens(body)
            items.append(BatchLine(line["custom_id"], dumped(body), nth(world, body, self.dialect, endpoint)))
        most = world.plan.max_items or self.max_items
        if len(items) > most:
            errors = [_error("too_many_tasks", f"The batch has {len(items)} requests, at most {most} are allowed.")]
        if not items and not errors:
            errors = [_error("empty_file", "The input file is empty.")]
        return items, errors[:100], tokens, model

    def _check_model(self, model: Json, first: Json) -> None:
        if not isinstance(model, str) or not self.dialect.models.fullmatch(model):
            message = f"The provided model '{model}' is not supported by the Batch API."
            raise LineError("model_not_found", message, "body.model")
        if self.one_model and model != first:
            message = f"The provided model '{model}' does not match the batch's other requests, which ask '{first}'."
            raise LineError("mismatched_model", message, "body.model")

    def retrieve(self, world: World, call: Call, match: Match[str]) -> HttpAnswer:
        """How it stands."""
        return answer(self.shown(world, world.job(self.api, account(call), named(match, "id"))))

    def cancel(self, world: World, call: Call, match: Match[str]) -> HttpAnswer:
        """Cancel what has not ended."""
        job = world.job(self.api, account(call), named(match, "id"))
        if world.observe(job) in batch_jobs.ENDED:
            status = self._status(world.observe(job))
            raise Refused("conflict", f"Cannot cancel a batch with status '{status}'.")
        world.cancel(job)
        return answer(self.shown(world, job))

    def list(self, world: World, call: Call, _: Match[str]) -> HttpAnswer:
        """A page of batches, newest first."""
        mine = world.listed(self.api, account(call))
        mark = call.query.get("cursor" if self.paging == "cursor" else "after")
        start = next((index + 1 for index, job in enumerate(mine) if job.id == mark), 0)
        size = whole(call.query.get("limit"), 20, 100)
        shown = [self.shown(world, job) for job in mine[start : start + size]]
        more = start + size < len(mine)
        if self.paging == "cursor":
            paging = {"next_cursor": shown[-1]["id"]} if more else {}
            return answer({"object": "list", "data": shown, "paging": paging})
        ends = {"first_id": shown[0]["id"], "last_id": shown[-1]["id"]} if shown else {}
        return answer({"object": "list", "data": shown, "has_more": more, **ends})

    def _status(self, phase: Phase) -> str:
        return self.phases.get(phase, "in_progress" if phase == "running" else phase)

    def _time(self, seconds: float | None) -> int | str | None:
        if seconds is None:
            return None
        return str(int(seconds)) if self.text_times else int(seconds)

    def shown(self, world: World, job: BatchJob) -> dict[str, Any]:
        """A batch as its provider describes it."""
        plan, phase = world.plan, world.observe(job)
        over = batch_jobs.ended(job, plan) if phase in batch_jobs.ENDED else None
        begun = phase not in ("validating", "failed")
        errors = job.errors or [_error("server_error", "The batch could not be validated.")]
        wrapped: Json = errors if self.errors == "list" else {"object": "list", "data": errors}
        finished = batch_jobs.done(job, plan, world.clock())
        wrong = job.tally.get("errored", 0)
        return {
            "id": job.id,
            "object": "batch",
            "endpoint": job.facts["endpoint"],
            "errors": wrapped if phase == "failed" else None,
            "input_file_id": job.facts["input_file_id"],
            "completion_window": job.facts["completion_window"],
            "status": self._status(phase),
            "output_file_id": self._result(job, phase, "output"),
            "error_file_id": self._result(job, phase, "error"),
            "created_at": self._time(job.created),
            "in_progress_at": self._time(batch_jobs.begins(job, plan)) if begun else None,
            "expires_at": self._time(batch_jobs.closes(job, plan)),
            "finalizing_at": self._time(batch_jobs.stops(job, plan)) if phase in ("finalizing", "completed") else None,
            "completed_at": self._time(over) if phase == "completed" else None,
            "failed_at": self._time(over) if phase == "failed" else None,
            "expired_at": self._time(over) if phase == "expired" else None,
            "cancelling_at": self._time(job.cancel_at),
            "cancelled_at": self._time(over) if phase == "cancelled" else None,
            "request_counts": {"total": len(job.items), "completed": finished - wrong, "failed": wrong},
            "metadata": job.facts.get("metadata"),
            "model": job.facts.get("model"),
        }

    def _result(self, job: BatchJob, phase: Phase, part: str) -> str | None:
        return result_file(job, part) if phase in batch_jobs.ENDED and job.lines.get(part) else None

    def write(self, world: World, closed: ClosedJob) -> tuple[str, str, bytes]:
        """An item's line in the output or the error file."""
        return result_line(world, closed, self.dialect)


def _error(code: str, message: str, line: int | None = None, param: str | None = None) -> dict[str, Json]:
    return {"code": code, "message": message, "param": param, "line": line}


OPENAI_BATCHES = Batches(OPENAI, {"24h": 24}, 50_000, 200 * 10**6, one_model=True)
GROQ_BATCHES = Batches(
    GROQ,
    {f"{hours}h": hours for hours in range(24, 169)} | {f"{days}d": 24.0 * days for days in range(1, 8)},
    50_000,
    200 * 10**6,
    one_model=False,
    errors="list",
    paging="cursor",
)
KLUSTER_BATCHES = Batches(
    KLUSTER,
    {f"{hours}h": hours for hours in (1, 3, 6, 12, 24, 48, 72)},
    50_000,
    100 * 10**6,
    one_model=False,
    text_times=True,
    phases={"validating": "pre_schedule"},
)


def deepseek() -> Provider:
    """DeepSeek, which has no batches."""
    routes = (route("POST", "/chat/completions", "chat", ChatApi(DEEPSEEK), "live"),)
    prefixes = ("/deepseek/beta", "/deepseek/v1", "/deepseek")
    return Provider("deepseek", prefixes, routes, account, _deepseek_refusal, "none", tokens=live_tokens)


def _shown_file(world: World, file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(world.content(file)),
        "created_at": int(file.created),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
    }
