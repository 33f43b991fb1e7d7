"""OpenAI's Responses API: a request in its words by LiteLLM's configs, and its reply as a chat completion.

Some of OpenAI's models are served by it alone (o1-pro, o3-pro, gpt-5-pro, the codex models). A body is what the batch
endpoint /v1/responses takes in a line, too. Nothing of a request is left at the provider for later calls (`store`), as
with chat completions, unless the model's `extra` says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.providers.received import accept
from runner.providers.reply import object_in, string
from runner.providers.translation import prepare, recalled, refusals
from runner.providers.usage import searched_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.providers.received import Dialect
    from runner.records import Json, Request

OF_CHAT = frozenset(
    {"max_tokens", "max_completion_tokens", "response_format", "tools", "tool_choice", "reasoning_effort", "verbosity"}
)
"""Parameters of chat completions that LiteLLM writes in the other API's words; what neither has goes out as it is."""
FINISHES = {"max_output_tokens": "length", "content_filter": "content_filter"}
"""Why a response is incomplete -> finish, in the words of chat completions."""


@dataclass(frozen=True, slots=True)
class Responses:
    """A translation.Translation."""

    bridge: Any
    """LiteLLM's, from chat completions."""
    config: Any
    """LiteLLM's, of OpenAI's Responses API."""
    known: dict[str, str] = field(default_factory=dict)
    """See translation.recalled."""

    def body(self, request: Request) -> dict[str, Json]:
        """Instructions or developer's words, the input, and the parameters under this API's names."""
        from litellm.types.router import GenericLiteLLMParams

        mapped = recalled(self.known, dict(request.params), lambda params: self._mapped(request.model_id, params))
        with refusals():
            messages = [dict(message) for message in request.messages]
            said, instructions = self.bridge.convert_chat_completion_messages_to_responses_api(messages)
            if instructions:
                mapped = {"instructions": instructions, **mapped}
            body: dict[str, Json] = self.config.transform_responses_api_request(
                model=request.model_id,
                input=said,
                response_api_optional_request_params=mapped,
                litellm_params=GenericLiteLLMParams(),
                headers={},
            )
        return body

    def _mapped(self, model_id: str, params: dict[str, Json]) -> dict[str, Json]:
        from litellm.types.llms.openai import ResponsesAPIOptionalRequestParams

        own = ResponsesAPIOptionalRequestParams.__annotations__
        unknown = {name: value for name, value in params.items() if name not in own and name not in OF_CHAT}
        with refusals():
            written = self.bridge.transform_request(
                model=model_id,
                messages=[{"role": "user", "content": "-"}],
                optional_params={name: value for name, value in params.items() if name not in unknown},
                litellm_params={},
                headers={},
                litellm_logging_obj=_Note(),
            )
        mapped = {name: value for name, value in written.items() if name in own}
        return {"store": False, **mapped, **unknown}

    @property
    def dialect(self) -> Dialect:
        """Its own."""
        return "responses"

    def chat(self, raw: bytes) -> Mapping[str, Json]:
        """Its messages' words and its calls as one message; a part that cannot be read costs that part alone."""
        reply = accept(raw, "responses")
        items = [object_in(item) for item in reply["output"]]
        parts = [
            object_in(part)
            for item in items
            if item.get("type") == "message" and isinstance(item.get("content"), list)
            for part in item["content"]
        ]
        message: dict[str, Json] = {"role": "assistant", "content": _words(parts, "output_text", "text")}
        message["refusal"] = _words(parts, "refusal", "refusal")
        calls = [item for item in items if item.get("type") == "function_call"]
        if calls:
            message["tool_calls"] = [
                {"id": string(call.get("call_id")), "type": "function", "function": _called(call)} for call in calls
            ]
        message["reasoning"] = _thoughts(items)
        return {
            "model": reply.get("model"),
            "choices": [{"index": 0, "message": message, "finish_reason": _finish(reply)}],
            "usage": reply.get("usage"),
            "service_tier": reply.get("service_tier"),
            "searched": searched_in(reply),
        }


def responses() -> Responses:
    """The translation, with LiteLLM's configs: seconds for the first one."""
    prepare()
    from litellm.completion_extras.litellm_responses_transformation.transformation import (
        LiteLLMResponsesTransformationHandler,
    )
    from litellm.llms.openai.responses.transformation import OpenAIResponsesAPIConfig

    return Responses(LiteLLMResponsesTransformationHandler(), OpenAIResponsesAPIConfig())


class _Note:
    """As much of LiteLLM's logging object as its bridge writes to."""

    call_type = ""


def _words(parts: list[Mapping[str, Json]], kind: str, name: str) -> str | None:
    found = [part[name] for part in parts if part.get("type") == kind and isinstance(part.get(name), str)]
    return "".join(found) if found else None


def _called(call: Mapping[str, Json]) -> dict[str, Json]:
    return {"name": string(call.get("name")), "arguments": call.get("arguments")}


def _thoughts(items: list[Mapping[str, Json]]) -> str | None:
    """The summary of what the model thought, where one was asked for."""
    summaries = [item.get("summary") for item in items if item.get("type") == "reasoning"]
    parts = [object_in(part) for summary in summaries if isinstance(summary, list) for part in summary]
    return _words([{**part, "type": "summary_text"} for part in parts], "summary_text", "text")


def _finish(reply: Mapping[str, Json]) -> str | None:
    reason = string(object_in(reply.get("incomplete_details")).get("reason"))
    if reason is not None:
        return FINISHES.get(reason, reason)
    return {"completed": "stop", "incomplete": "length"}.get(string(reply.get("status")) or "")
