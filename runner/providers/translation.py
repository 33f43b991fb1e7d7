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

from runner.errors import FatalError, ProviderError
from runner.providers.network import for_libraries
from runner.providers.received import accept
from runner.providers.reply import object_in, string
from runner.providers.usage import count, searched_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runner.providers.received import Dialect
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

MOST_WORDS = 300
"""Characters of what a decoder complains about."""


MESSAGE_PARTS = frozenset(
    {"role", "content", "tool_calls", "function_call", "refusal", "reasoning", "reasoning_content"}
)
"""What LiteLLM is shown of a chat completion's message: it fails at annotations of a type that it does not know."""

GEMINI_VERBATIM = frozenset({"temperature", "top_p", "top_k", "seed"})
"""Put into generationConfig as they are: from Gemini 3 on LiteLLM sends temperature 1.0 where none was asked for."""


class Translation(Protocol):
    """Between a Request and one provider's JSON, and from its JSON to a chat completion."""

    def body(self, request: Request) -> dict[str, Json]:
        """The request's body; FatalError (bad_request) where the provider's format cannot hold it."""

    @property
    def dialect(self) -> Dialect:
        """Whose replies it reads."""

    def chat(self, raw: bytes) -> Mapping[str, Json]:
        """A reply as a chat completion; ProviderError where it is none of this provider (see received.accept).

        A part that cannot be read costs that part alone.
        """


@cache
def prepare() -> Any:
    """LiteLLM, imported on first use (seconds) and made to keep to itself: no downloads, retries, banners or logs."""
    os.environ.update(LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS="True")
    os.environ.update(for_libraries())  # what it signs in with does not pass through runner.providers.fallback
    # Otherwise the import reads a .env file of the working folder into this process.
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    # Its decoders write replies anew, and pydantic then warns on the terminal about every odd part.
    warnings.filterwarnings("ignore", message="Pydantic serializer warnings", category=UserWarning)
    # From 1.110 on nearly all its types are read-only, of which pydantic warns at each that it meets.
    warnings.filterwarnings("ignore", message=".* using the `ReadOnly` qualifier", category=UserWarning)
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
    _ask_nobody()
    return litellm


@cache
def _ask_nobody() -> None:
    """Keep LiteLLM from asking a server or a hub what a model can do: it knows what its own map says, and no more.

    It would ask Ollama and Lemonade, at an address that nobody named too, and Hugging Face's hub before each request
    and, in a thread of its own, after each answer, for its own books; what it is told changes nothing of a request.
    """
    from litellm import utils

    known = utils.ProviderConfigManager.get_provider_model_info

    def without_a_look(model: str, provider: Any) -> Any:
        about = known(model, provider)
        return None if hasattr(about, "get_model_info") else about

    utils.ProviderConfigManager.get_provider_model_info = staticmethod(without_a_look)
    utils._get_max_position_embeddings = lambda model_name: None  # noqa: ARG005, SLF001  called by this name


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

    @property
    def dialect(self) -> Dialect:
        """OpenAI's."""
        return "chat"

    def chat(self, raw: bytes) -> Mapping[str, Json]:
        """As it is."""
        return accept(raw, "chat")


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

    @property
    def dialect(self) -> Dialect:
        """OpenAI's."""
        return "chat"

    def chat(self, raw: bytes) -> Mapping[str, Json]:
        """As LiteLLM reads it, or as it is where LiteLLM stumbles over a part; counts as they are."""
        reply = accept(raw, "chat")
        try:
            chat = _read(self.config, _known_parts(reply))
        except ProviderError:
            return reply
        # LiteLLM writes zeros for what is not counted, and knows some counts by one vendor's name alone.
        own = {name: reply.get(name) for name in ("usage", "service_tier")}
        return {**chat, **own, "searched": searched_in(reply)}


@dataclass(frozen=True, slots=True)
class Anthropic:
    """Anthropic's messages."""

    config: Any
    known: dict[str, str] = field(default_factory=dict)
    """See recalled."""

    def body(self, request: Request) -> dict[str, Json]:
        """System blocks on top, tools in Anthropic's form, a JSON schema as output_config.format."""
        asked, verbatim = _parted(request.params, ANTHROPIC_VERBATIM)
        mapped = recalled(self.known, asked, lambda params: self._mapped(request.model_id, params))
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

    @property
    def dialect(self) -> Dialect:
        """Its own."""
        return "anthropic"

    def chat(self, raw: bytes) -> Mapping[str, Json]:
        """As LiteLLM reads it, less what it guesses."""
        reply = accept(raw, "anthropic")
        counted = object_in(reply.get("usage"))
        spoken = [block for block in map(_block, reply["content"]) if block is not None]
        stop = string(reply.get("stop_reason"))
        shown = {"id": string(reply.get("id")) or "", "model": string(reply.get("model")), "stop_reason": stop}
        chat = _read(
            self.config,
            {**shown, "content": spoken, "usage": {"input_tokens": 0, "output_tokens": 0}},
        )
        # LiteLLM writes a zero for what is not counted.
        chat["usage"] = counted
        message = chat["choices"][0]["message"]
        # LiteLLM escapes everything beyond ASCII in a tool's input.
        inputs = (block["input"] for block in spoken if block["type"] == "tool_use")
        for call, value in zip(message.get("tool_calls") or (), inputs, strict=False):
            call["function"]["arguments"] = json.dumps(value, ensure_ascii=False)
        if stop == "refusal":
            why = string(object_in(reply.get("stop_details")).get("explanation"))
            message["refusal"] = why or "stop_reason: refusal"
        return chat


@dataclass(frozen=True, slots=True)
class Gemini:
    """Gemini's generateContent."""

    config: Any
    known: dict[str, str] = field(default_factory=dict)
    """See recalled."""

    def body(self, request: Request) -> dict[str, Json]:
        """Contents, system_instruction and generationConfig."""
        from litellm.llms.vertex_ai.gemini.transformation import transform_request_body

        asked, verbatim = _parted(request.params, GEMINI_VERBATIM)
        mapped = recalled(self.known, asked, lambda params: self._mapped(request.model_id, params))
        # LiteLLM would move this into the prompt for models that its map lacks.
        schema, mapped = _parted(mapped, frozenset(mapped) - {"response_schema"})
        with refusals():
            body: dict[str, Json] = transform_request_body(
                messages=_without_developers(request),
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

    @property
    def dialect(self) -> Dialect:
        """Google's."""
        return "gemini"

    def chat(self, raw: bytes) -> Mapping[str, Json]:
        """As LiteLLM reads it, with the reason of a block, which it leaves out."""
        reply = accept(raw, "gemini")
        counted = object_in(reply.get("usageMetadata"))
        usage = {name: value for name, value in counted.items() if count(value) is not None}
        shown: dict[str, Json] = {"usageMetadata": usage, "modelVersion": string(reply.get("modelVersion"))}
        candidate = _candidate(reply)
        if candidate:
            shown["candidates"] = [candidate]
        if reply.get("promptFeedback"):
            shown["promptFeedback"] = object_in(reply["promptFeedback"])
        chat = _read(self.config, shown)
        # Without counts LiteLLM fails, or counts zero.
        chat |= {"usage": counted, "searched": searched_in(reply)}
        if not chat["choices"]:  # a candidate that holds nothing
            chat["choices"] = [{"message": {"content": None}, "finish_reason": None}]
        choice = chat["choices"][0]
        if choice["finish_reason"] == "content_filter":
            choice["message"]["refusal"] = _block_reason(reply)
        return chat


def _candidate(reply: Mapping[str, Json]) -> dict[str, Json]:
    """The first candidate, with its words and calls alone."""
    found = reply.get("candidates")
    first = object_in(found[0]) if isinstance(found, list) and found else {}
    if not first:
        return {}
    content = object_in(first.get("content"))
    parts = content.get("parts")
    known = [part for part in map(_gemini_part, parts if isinstance(parts, list) else ()) if part is not None]
    said = {"content": {"role": "model", "parts": known}} if known else {}
    finish = string(first.get("finishReason"))
    return {"index": 0, **said, **({"finishReason": finish} if finish else {})}


def _gemini_part(part: Json) -> dict[str, Json] | None:
    call = object_in(object_in(part).get("functionCall"))
    if string(call.get("name")):
        return {"functionCall": {"name": call["name"], "args": call.get("args") or {}}}
    text = object_in(part).get("text")
    if not isinstance(text, str):
        return None
    return {"text": text, "thought": True} if object_in(part).get("thought") is True else {"text": text}


def _block(block: Json) -> dict[str, Json] | None:
    """A block of Claude's that words are in, without citations and the like."""
    found = object_in(block)
    if found.get("type") == "text" and isinstance(found.get("text"), str):
        return {"type": "text", "text": found["text"]}
    if found.get("type") == "tool_use" and found.get("input") is not None:
        name, place = string(found.get("name")) or "", string(found.get("id")) or ""
        return {"type": "tool_use", "id": place, "name": name, "input": found["input"]}
    return None


def _known_parts(reply: Mapping[str, Json]) -> dict[str, Json]:
    """A chat completion with those parts alone that are read here."""
    choice = reply["choices"][0]
    message = {name: value for name, value in choice["message"].items() if name in MESSAGE_PARTS}
    usage = object_in(reply.get("usage"))
    return {
        "id": string(reply.get("id")) or "",
        "object": "chat.completion",
        "created": count(reply.get("created")) or 0,
        "model": string(reply.get("model")),
        "system_fingerprint": string(reply.get("system_fingerprint")),
        "choices": [{"index": 0, "finish_reason": string(choice.get("finish_reason")), "message": message}],
        "usage": {name: value for name, value in usage.items() if count(value) is not None or object_in(value)},
        # LiteLLM's Groq decoder fails without a tier, which may be absent.
        "service_tier": string(reply.get("service_tier")),
    }


def _block_reason(reply: Mapping[str, Json]) -> str | None:
    feedback = object_in(reply.get("promptFeedback"))
    candidates = reply.get("candidates")
    first = object_in(candidates[0]) if isinstance(candidates, list) and candidates else {}
    stated = (feedback.get("blockReasonMessage"), feedback.get("blockReason"))
    reasons = (*stated, first.get("finishMessage"), first.get("finishReason"))
    return next((reason for reason in reasons if isinstance(reason, str) and reason), None)


# ---- LiteLLM's side --------------------------------------------------------------------------------------------------


def _messages(request: Request) -> list[dict[str, str]]:
    return [dict(message) for message in request.messages]


def _without_developers(request: Request) -> list[dict[str, str]]:
    """The messages for an API that knows no developer: its system says the same."""
    return [{**message, "role": "system"} if message["role"] == "developer" else dict(message) for message in
        request.messages]  # fmt: skip


def _parted(params: Mapping[str, Json], names: frozenset[str]) -> tuple[dict[str, Json], dict[str, Json]]:
    """The parameters without and with these names."""
    return (
        {name: value for name, value in params.items() if name not in names},
        {name: value for name, value in params.items() if name in names},
    )


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def recalled(
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

    with refusals():
        mapped: dict[str, Json] = get_optional_params(
            model=model_id, custom_llm_provider=provider, messages=[], drop_params=False, **params
        )
    return mapped


def _written(config: Any, request: Request, params: dict[str, Json]) -> dict[str, Json]:
    with refusals():
        body: dict[str, Json] = config.transform_request(
            model=request.model_id,
            messages=_without_developers(request),
            optional_params=params,
            litellm_params={},
            headers={},
        )
    return body


@contextmanager
def refusals() -> Iterator[None]:
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
        why = f"{type(error).__name__}: {error}".partition("\n")[0][:MOST_WORDS]
        raise FatalError("malformed", f"the reply cannot be read: {why}") from error


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
    litellm_params: dict[str, Json] = field(default_factory=dict)

    def post_call(self, *_: object, **__: object) -> None:
        """Log nothing."""
