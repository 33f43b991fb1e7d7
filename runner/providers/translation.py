"""A request's body in a provider's own format, and its reply as a chat completion, by LiteLLM's provider configs.

Requests are written in OpenAI's vocabulary, so OpenAI's format (Chat) needs no translation and no LiteLLM. Every other
format is LiteLLM's knowledge. Where LiteLLM decides by its own list of models, or adds something of its own, it is
corrected here, each time with the reason beside it: what runner.plan.capability decided reaches the wire unchanged.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from runner.errors import FatalError
from runner.providers.reply import read_chat, read_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runner.records import Json, Request

RENAMED: Mapping[str, Mapping[str, str]] = {"mistral": {"seed": "random_seed"}}
"""Every other parameter has OpenAI's name at the providers of ChatVariant. LiteLLM's mapping is not asked there: it
renames max_completion_tokens (Groq, xAI, Mistral), drops tool_choice (Mistral), rewrites reasoning_effort (DeepSeek),
and makes a tool of a JSON schema for models that it does not know (Groq)."""

ANTHROPIC_VERBATIM = frozenset({"temperature", "top_p", "top_k", "seed"})
"""Put into the body as they are: by its own list of models LiteLLM refuses or drops them."""

ANTHROPIC_NOTES = frozenset({"json_mode", "output_format"})
"""What LiteLLM's mapping leaves behind: a note to its HTTP handler, and the older form of output_config.format, which
needs a beta header."""

ANTHROPIC_THOUGHTS = frozenset({"thinking", "redacted_thinking"})

GEMINI_VERBATIM = frozenset({"temperature", "top_p", "top_k", "seed"})
"""Put into generationConfig as they are: from Gemini 3 on LiteLLM sends temperature 1.0 where none was asked for."""


class Translation(Protocol):
    """Between a Request and one provider's JSON, and from its JSON to a chat completion."""

    def body(self, request: Request) -> dict[str, Json]:
        """The request's body; FatalError (bad_request) where the provider's format cannot hold it."""

    def chat(self, raw: bytes) -> Mapping[str, Json]:
        """A reply as a chat completion; FatalError (malformed) where it is none of this provider."""


@cache
def prepare() -> Any:
    """LiteLLM, imported on first use (seconds) and made to keep to itself: no downloads, retries, banners or logs."""
    os.environ.update(LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS="True")
    # Otherwise the import reads a .env file of the working folder into this process.
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import litellm

        # Its types are built on first use, and pydantic warns about some.
        litellm.ModelResponse()

    litellm.suppress_debug_info = True
    litellm.telemetry = False
    litellm.drop_params = False
    litellm.num_retries = None
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm


def config_of(provider: str, model_id: str) -> Any:
    """LiteLLM's config for a provider's chat API; some providers have several, by model."""
    litellm = prepare()
    from litellm.utils import ProviderConfigManager

    return ProviderConfigManager.get_provider_chat_config(model=model_id, provider=litellm.LlmProviders(provider))


@dataclass(frozen=True, slots=True)
class Chat:
    """OpenAI's chat completions: the vocabulary in which requests are written."""

    def body(self, request: Request) -> dict[str, Json]:
        """As it is."""
        return {"model": request.model_id, "messages": _messages(request), **request.params}

    def chat(self, raw: bytes) -> Mapping[str, Json]:
        """As it is."""
        return read_object(raw)


@dataclass(frozen=True, slots=True)
class ChatVariant:
    """Chat completions with one provider's differences."""

    provider: str
    config: Any

    def body(self, request: Request) -> dict[str, Json]:
        """Parameters under the provider's names, a developer message as a system message."""
        names = RENAMED.get(self.provider, {})
        params = {names.get(name, name): value for name, value in request.params.items()}
        return _written(self.config, request, params)

    def chat(self, raw: bytes) -> Mapping[str, Json]:
        """As LiteLLM reads it."""
        reply = read_object(raw)
        # LiteLLM's Groq decoder makes up a choice where there is none, and fails without a tier, which may be absent.
        read_chat(reply, "prompt")
        return _read(self.config, {"service_tier": None, **reply})


@dataclass(frozen=True, slots=True)
class Anthropic:
    """Anthropic's messages."""

    config: Any
    known: dict[str, str] = field(default_factory=dict)
    """See _recalled."""

    def body(self, request: Request) -> dict[str, Json]:
        """System blocks on top, tools in Anthropic's form, a JSON schema as output_config.format."""
        asked, verbatim = _parted(request.params, ANTHROPIC_VERBATIM)
        mapped = _recalled(self.known, asked, lambda params: self._mapped(request.model_id, params))
        return {**_written(self.config, request, mapped), **verbatim}

    def _mapped(self, model_id: str, params: dict[str, Json]) -> dict[str, Json]:
        # LiteLLM makes a forced tool of the schema for models that it does not know.
        wanted = params.pop("response_format", None)
        mapped = _by_litellm("anthropic", model_id, params)
        if wanted is not None:
            shape = self.config.map_response_format_to_anthropic_output_format(wanted)
            if shape is None:
                raise FatalError("bad_request", "Claude has no JSON mode: set capability.structure to schema or tool")
            mapped["output_config"] = {**mapped.get("output_config", {}), "format": shape}
        return {name: value for name, value in mapped.items() if name not in ANTHROPIC_NOTES}

    def chat(self, raw: bytes) -> Mapping[str, Json]:
        """As LiteLLM reads it, less what it guesses."""
        reply = read_object(raw)
        with _unreadable():
            # Shown the thinking, LiteLLM guesses its token count, with a tokenizer that is not Claude's.
            spoken = [block for block in reply["content"] if block["type"] not in ANTHROPIC_THOUGHTS]
            chat = _read(self.config, {**reply, "content": spoken})
            counted = reply["usage"]
            thought = (counted.get("output_tokens_details") or {}).get("thinking_tokens")
            # LiteLLM writes a nought for what is not counted.
            chat["usage"]["completion_tokens_details"] = {"reasoning_tokens": thought}
            chat["usage"]["prompt_tokens_details"] = {"cached_tokens": counted.get("cache_read_input_tokens")}
            message = chat["choices"][0]["message"]
            # LiteLLM escapes everything beyond ASCII in a tool's input.
            inputs = (block["input"] for block in spoken if block["type"] == "tool_use")
            for call, value in zip(message.get("tool_calls") or (), inputs, strict=False):
                call["function"]["arguments"] = json.dumps(value, ensure_ascii=False)
            if reply.get("stop_reason") == "refusal":
                message["refusal"] = (reply.get("stop_details") or {}).get("explanation") or "stop_reason: refusal"
        return chat


@dataclass(frozen=True, slots=True)
class Gemini:
    """Gemini's generateContent."""

    config: Any
    known: dict[str, str] = field(default_factory=dict)
    """See _recalled."""

    def body(self, request: Request) -> dict[str, Json]:
        """Contents, system_instruction and generationConfig."""
        from litellm.llms.vertex_ai.gemini.transformation import transform_request_body

        asked, verbatim = _parted(request.params, GEMINI_VERBATIM)
        mapped = _recalled(self.known, asked, lambda params: self._mapped(request.model_id, params))
        # LiteLLM would move this into the prompt for models that its map lacks.
        schema, mapped = _parted(mapped, frozenset(mapped) - {"response_schema"})
        with _refusals():
            body: dict[str, Json] = transform_request_body(
                messages=self.config.translate_developer_role_to_system_role(_messages(request)),
                # Under this prefix LiteLLM trusts that a model takes a system instruction, be it in its map or not.
                model=f"gemini/{request.model_id}",
                optional_params=mapped,
                custom_llm_provider="gemini",
                litellm_params={},
                cached_content=None,
            )
        body["generationConfig"] = {**body.get("generationConfig", {}), **schema, **verbatim}
        return body

    def _mapped(self, model_id: str, params: dict[str, Json]) -> dict[str, Json]:
        from litellm.constants import DEFAULT_CHAT_COMPLETION_PARAM_VALUES
        from litellm.types.llms.vertex_ai import GenerationConfig

        configured = {_plain(name) for name in GenerationConfig.__annotations__}
        named = {name for name in params if name in DEFAULT_CHAT_COMPLETION_PARAM_VALUES or _plain(name) in configured}
        known, unknown = _parted(params, frozenset(params) - named)
        mapped = _by_litellm("gemini", model_id, known)
        mapped.pop("temperature", None)
        # What is neither is a field of the body itself; LiteLLM would lose it.
        return {**mapped, "extra_body": unknown} if unknown else mapped

    def chat(self, raw: bytes) -> Mapping[str, Json]:
        """As LiteLLM reads it, with the reason of a block, which it leaves out."""
        reply = read_object(raw)
        with _unreadable():
            # Without counts LiteLLM fails, or counts nought.
            chat = _read(self.config, {"usageMetadata": {}, **reply})
            if not reply.get("usageMetadata"):
                chat["usage"] = None
            choice = chat["choices"][0]
            if choice["finish_reason"] == "content_filter":
                choice["message"]["refusal"] = _block_reason(reply)
        return chat


def _block_reason(reply: Mapping[str, Json]) -> str | None:
    feedback = reply.get("promptFeedback") or {}
    first = (reply.get("candidates") or [{}])[0]
    stated = (feedback.get("blockReasonMessage"), feedback.get("blockReason"))
    return next((reason for reason in (*stated, first.get("finishMessage"), first.get("finishReason")) if reason), None)


# ---- LiteLLM's side --------------------------------------------------------------------------------------------------


def _messages(request: Request) -> list[dict[str, str]]:
    return [dict(message) for message in request.messages]


def _parted(params: Mapping[str, Json], names: frozenset[str]) -> tuple[dict[str, Json], dict[str, Json]]:
    """The parameters without and with these names."""
    return (
        {name: value for name, value in params.items() if name not in names},
        {name: value for name, value in params.items() if name in names},
    )


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _recalled(
    known: dict[str, str], params: dict[str, Json], make: Callable[[dict[str, Json]], dict[str, Json]]
) -> dict[str, Json]:
    """What `make` makes of the parameters, made once and kept as JSON: every caller gets a copy that it may change.

    LiteLLM's mapping is slow, and a run has few distinct sets of parameters.
    """
    asked = json.dumps(params)
    if asked not in known:
        known[asked] = json.dumps(make(json.loads(asked)))
    copy: dict[str, Json] = json.loads(known[asked])
    return copy


def _by_litellm(provider: str, model_id: str, params: dict[str, Json]) -> dict[str, Json]:
    from litellm.utils import get_optional_params

    with _refusals():
        mapped: dict[str, Json] = get_optional_params(
            model=model_id, custom_llm_provider=provider, messages=[], drop_params=False, **params
        )
    return mapped


def _written(config: Any, request: Request, params: dict[str, Json]) -> dict[str, Json]:
    with _refusals():
        body: dict[str, Json] = config.transform_request(
            model=request.model_id,
            messages=config.translate_developer_role_to_system_role(_messages(request)),
            optional_params=params,
            litellm_params={},
            headers={},
        )
    return body


@contextmanager
def _refusals() -> Iterator[None]:
    """LiteLLM's objections to a request, as FatalError."""
    try:
        yield
    except Exception as error:
        raise FatalError("bad_request", f"LiteLLM cannot write this request: {error}") from error


def _read(config: Any, reply: dict[str, Json]) -> dict[str, Json]:
    """A reply as LiteLLM turns it into a chat completion."""
    with _unreadable():
        chat: dict[str, Json] = config.transform_response(
            model=reply.get("model") or "",
            raw_response=_Received(reply),
            model_response=prepare().ModelResponse(),
            logging_obj=_Silent(),
            request_data={},
            messages=[],
            optional_params={},
            litellm_params={},
            encoding=None,
            api_key="",
            json_mode=False,
        ).model_dump()
    return chat


@contextmanager
def _unreadable() -> Iterator[None]:
    """Whatever goes wrong inside, as FatalError: the reply is not of the shape that its provider documents."""
    try:
        yield
    except FatalError:
        raise
    except Exception as error:
        raise FatalError("malformed", f"the reply cannot be read: {type(error).__name__}: {error}") from error


@dataclass(slots=True)
class _Received:
    """As much of an HTTP response as LiteLLM's decoders look at."""

    body: dict[str, Json]
    text: str = ""
    status_code: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, Json]:
        return self.body


@dataclass(slots=True)
class _Silent:
    """As much of LiteLLM's logging object as its decoders call."""

    model_call_details: dict[str, Json] = field(default_factory=dict)
    optional_params: dict[str, Json] = field(default_factory=dict)

    def post_call(self, *_: object, **__: object) -> None:
        """Log nothing."""
