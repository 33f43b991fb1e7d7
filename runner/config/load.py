"""load(cfg) -> Experiment: every check of the user's input that the schema's types cannot make.

Each failure is a ConfigError naming the file and the key, raised before any request. What comes out is frozen and
complete: texts and personas are read, and what a model's file leaves open is filled from LiteLLM's map.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args
from urllib.parse import urlsplit

from runner import records
from runner.config import catalog, retirement, schema, sources
from runner.config.origin import UNKNOWN
from runner.config.questions import read, scales_of
from runner.errors import ConfigError, close, nearest
from runner.records import (
    Batch,
    Experiment,
    Limits,
    Model,
    Persona,
    Prices,
    PriceTier,
    PromptTemplate,
    Sampling,
    Text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from omegaconf import DictConfig

    from runner.config.origin import Origin
    from runner.records import Question

MAX_TEMPERATURE = 2.0
"""The highest temperature that any provider takes."""
FIRST_POLL_HERE_S = 0.05
MAX_POLL_HERE_S = 0.5
FIND_HERE_S = 5.0
"""As Batch.first_poll_s, max_poll_s and find_s, for a server on this machine."""

T = TypeVar("T")
R = TypeVar("R")
Named = TypeVar("Named", Persona, Text)

LENGTH_PARAMETERS = ("max_tokens", "max_completion_tokens")


def load(cfg: DictConfig, origin: Origin = UNKNOWN) -> Experiment:
    """Check a composed config and read what it names. ConfigError on the first thing that is wrong.

    `origin`: what it was composed from, so that the error names the place where its value was set.
    """
    try:
        return _load(cfg)
    except ConfigError as error:
        raise origin.placed(error) from error.__cause__


def _load(cfg: DictConfig) -> Experiment:
    _refuse_unknown(cfg)
    conf = _typed(cfg)
    prompt, *further = (_prompt(name, one) for name, one in _selected(conf.prompt, "prompt"))
    _choice(conf.ledger.missing, ("refuse", "buy"), "config.yaml", "ledger.missing")
    models = tuple(_model(name, model, conf.identity) for name, model in _selected(conf.model, "model"))
    return Experiment(
        name=_filled(conf.name, "config.yaml", "name"),
        models=models,
        personas=_unique("persona", _flat(_personas, _selected(conf.persona, "persona"))),
        texts=_unique("text", _flat(_texts, _selected(conf.text, "text"))),
        prompt=prompt,
        sampling=_sampling(conf.sampling),
        batch=polled(_batch(conf.batch), models),
        tracking=_tracking(conf.tracking),
        ledger_url=_filled(conf.ledger.url, "config.yaml", "ledger.url"),
        ledger_missing=cast("Any", conf.ledger.missing),
        ask_again=_ask_again(conf.ask_again),
        design=_design(conf.design),
        strict=conf.strict,
        identity=cast("records.Identity", conf.identity),
        budget_usd=_budget(conf.budget.max_usd),
        report=conf.report,
        objective=conf.objective,
        further_prompts=tuple(further),
    )


def tracking_of(cfg: DictConfig) -> records.Tracking:
    """The tracking settings of a composed config, for what needs nothing else of it."""
    return _tracking(_typed(cfg).tracking)


def model_of(cfg: DictConfig, name: str) -> Model:
    """One model of a composed config, for what needs nothing else of it. ConfigError as `load`."""
    return _model(name, cast("schema.ModelConf", _object(cfg.model[name])), cfg.identity)


def _tracking(conf: schema.TrackingConf) -> records.Tracking:
    _choice(conf.traces, ("off", "failed", "sample", "all"), "group tracking", "traces")
    return records.Tracking(**asdict(conf))


def _budget(usd: float | None) -> float | None:
    if usd is not None:
        _at_least(usd, 0.0, "config.yaml", "budget.max_usd")
    return usd


def _refuse_unknown(cfg: DictConfig) -> None:
    """Refuse keys that `+key=value` added where the schema has none: they would change nothing, silently."""
    from omegaconf import DictConfig, OmegaConf

    kind = OmegaConf.get_type(cfg)
    for key in cfg:
        if is_dataclass(kind) and key not in (valid := [item.name for item in fields(kind)]):
            message = schema.gone(str(cfg._get_full_key(key))) or f"no such key; {nearest(str(key), valid)}"  # noqa: SLF001
            raise ConfigError(message, where="command line", key=cfg._get_full_key(key), advice="runner --cfg job")  # noqa: SLF001  no public name
        if not OmegaConf.is_missing(cfg, key) and isinstance(inner := cfg[key], DictConfig):
            _refuse_unknown(inner)


def _typed(cfg: DictConfig) -> schema.RunnerConf:
    return cast("schema.RunnerConf", _object(cfg))


def _object(cfg: DictConfig) -> object:
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    try:
        return OmegaConf.to_object(cfg)
    except MissingMandatoryValue as error:
        key = str(error.full_key or "")
        where, _, inner = _place(key)
        message = "has no value"
        raise ConfigError(message, where=where, key=inner, advice=f"runner {key}=VALUE") from error
    except OmegaConfBaseException as error:
        where, _, inner = _place(str(error.full_key or ""))
        raise ConfigError(str(error).splitlines()[0], where=where, key=inner) from error


def _place(full_key: str) -> tuple[str, str, str]:
    """(file, name in its group, key in the file) of a full key such as model.any.id."""
    group, _, rest = full_key.partition(".")
    if group in ("model", "persona", "text", "prompt"):
        name, _, inner = rest.partition(".")
        return f"{group}/{name}.yaml", name, inner
    return ("config.yaml", "", full_key) if not rest else (f"group {group}", "", rest)


# ---- checks that say where and what ---------------------------------------------------------------------------------


def _filled(value: str, where: str, key: str) -> str:
    if not value.strip():
        raise ConfigError("must not be empty", where=where, key=key)
    return value


def _choice(value: str, valid: Iterable[str], where: str, key: str) -> Any:
    names = tuple(valid)
    if value not in names:
        message = f"'{value}' is not one of {', '.join(names)}; {nearest(value, names)}"
        raise ConfigError(message, where=where, key=key, advice=_set(where, key, close(value, names) or names[0]))
    return value


def _set(where: str, key: str, value: object) -> str:
    """The override that sets a key of a file, or of a group, to a value that it takes."""
    before = where.removeprefix("group ").removesuffix(".yaml").replace("/", ".")
    return f"runner {key if before == 'config' else f'{before}.{key}'}={value}"


def _in_range(value: float | None, low: float, high: float, where: str, key: str) -> None:
    if value is not None and not low <= value <= high:
        advice = _set(where, key, f"{min(max(value, low), high):g}")
        raise ConfigError(f"{value:g} is outside {low:g} to {high:g}", where=where, key=key, advice=advice)


def _at_least(value: float, low: float, where: str, key: str) -> None:
    if not value >= low:
        advice = _set(where, key, f"{low:g}")
        raise ConfigError(f"{value:g} must be at least {low:g}", where=where, key=key, advice=advice)


def _selected(group: dict[str, T], kind: str) -> list[tuple[str, T]]:
    if not group:
        raise ConfigError(f"no {kind} is selected", where="config.yaml", key=kind, advice=f"runner '{kind}=[NAME]'")
    return list(group.items())


def _flat(read: Callable[[str, T], tuple[R, ...]], selected: list[tuple[str, T]]) -> list[R]:
    return [item for name, conf in selected for item in read(name, conf)]


def _unique(kind: str, items: list[Named]) -> tuple[Named, ...]:
    repeated = [name for name, count in Counter(item.name for item in items).items() if count > 1]
    if repeated:
        message = f"two {kind}s are named '{repeated[0]}'; rename one"
        raise ConfigError(message, where=f"{kind}/", key="name")
    return tuple(items)


# ---- model ----------------------------------------------------------------------------------------------------------


def _model(name: str, conf: schema.ModelConf, identity: str) -> Model:
    where = f"model/{name}.yaml"
    _choice(identity, get_args(records.Identity), "config.yaml", "identity")
    provider, model_id = _identity(conf, where)
    if (does := catalog.not_chat(provider, model_id)) is not None:
        message = f"'{provider}/{model_id}' {does}: a chat model is asked here"
        raise ConfigError(message, where=where, key="id", advice=f"runner model=any model.{name}.id=PROVIDER/MODEL")
    _check_address(conf.api_base, where)
    if provider == "openai" and lacks_address(conf):
        message = (
            "has no value: the address of your server, such as http://127.0.0.1:8000/v1; OpenAI's own needs key_env"
        )
        raise ConfigError(message, where=where, key="api_base", advice=f"runner model.{name}.api_base=URL")
    _in_range(conf.temperature, 0, MAX_TEMPERATURE, where, "temperature")
    entry = catalog.lookup(provider, model_id)
    return Model(
        name=name,
        id=model_id,
        provider=provider,
        vendor=_filled(conf.vendor or provider, where, "vendor"),
        key_env=conf.key_env,
        api_base=conf.api_base.rstrip("/") if conf.api_base else None,
        capability=_capability(name, conf, provider, entry),
        limits=_limits(conf.limits, where),
        prices=catalog.fill_prices(_prices(conf.prices, where), entry),
        temperature=conf.temperature,
        extra=conf.extra,
        batch_bucket=conf.batch_bucket,
        retired=conf.retired,
        retirement=retirement.checked(records.Retirement(**asdict(conf.retirement)), entry, where),
        served_as=tuple(conf.served_as),
        identity=cast("records.Identity", identity),
    )


def lacks_address(conf: schema.ModelConf) -> bool:
    """Whether nothing says where a model of OpenAI's format is: prompts meant for a server of one's own stay here.

    OmegaConf lets no `api_base: ???` of a file win over the schema's null, so that it cannot say this itself.
    """
    return conf.api_base is None and conf.key_env is None


def _identity(conf: schema.ModelConf, where: str) -> tuple[str, str]:
    model_id = _filled(conf.id, where, "id")
    if conf.provider:
        return conf.provider, model_id
    provider, slash, rest = model_id.partition("/")
    if not slash or not rest:
        message = f"'{model_id}' names no provider; write PROVIDER/MODEL as LiteLLM does, such as openai/gpt-6-luna"
        raise ConfigError(message, where=where, key="id", advice="runner model=any model.any.id=PROVIDER/MODEL")
    return provider, rest


def _check_address(api_base: str | None, where: str) -> None:
    if api_base is None:
        return
    parts = urlsplit(api_base)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        message = f"'{api_base}' is no http address, such as http://127.0.0.1:8000/v1"
        raise ConfigError(message, where=where, key="api_base")


def _capability(name: str, conf: schema.ModelConf, provider: str, entry: catalog.Entry | None) -> records.Capability:
    where = f"model/{name}.yaml"
    stated = _checked_capability(conf.capability, where)
    if provider == "openai" and entry is None and conf.key_env and not conf.api_base and stated["max_tokens"] is None:
        stated["max_tokens"] = "max_completion_tokens"  # a model at OpenAI that the map does not know yet
    able = catalog.fill_capability(stated, entry, provider)
    if able.api == "responses" and provider != "openai":
        message = f"only the Responses API serves this model, and that of OpenAI alone is spoken here, not {provider}'s"
        if provider in catalog.OPENAI:
            message += "; Azure serves it in OpenAI's own form too, below RESOURCE.openai.azure.com/openai/v1"
        advice = f"runner model={name} model.{name}.id=openai/MODEL model.{name}.api_base=URL"
        raise ConfigError(message, where=where, key="id", advice=advice)
    return able


def _checked_capability(conf: schema.CapabilityConf, where: str) -> dict[str, object]:
    choices = {
        "system": get_args(records.SystemRole),
        "temperature": get_args(records.TemperatureRule),
        "structure": get_args(records.Rung),
        "max_tokens": LENGTH_PARAMETERS,
        "api": get_args(records.Api),
    }
    stated = asdict(conf)
    for key, valid in choices.items():
        if stated[key] is not None:
            _choice(stated[key], valid, where, f"capability.{key}")
    _in_range(conf.temperature_max, 0, MAX_TEMPERATURE, where, "capability.temperature_max")
    return stated


def _prices(conf: schema.PricesConf, where: str) -> Prices:
    _in_range(conf.batch_share, 0, 1, where, "prices.batch_share")
    stated = asdict(conf)
    tiers = [PriceTier(**tier) for tier in stated.pop("tiers")]
    for place, tier in enumerate(tiers):
        _at_least(tier.above_tokens, 1, where, f"prices.tiers.{place}.above_tokens")
    return Prices(**stated, tiers=tuple(sorted(tiers, key=lambda tier: tier.above_tokens)))


def _limits(conf: schema.LimitsConf, where: str) -> Limits:
    _at_least(conf.concurrency, 1, where, "limits.concurrency")
    _at_least(conf.attempts, 1, where, "limits.attempts")
    for key in ("total_s", "timeout_s", "first_byte_timeout_s"):
        _at_least(getattr(conf, key), 0.001, where, f"limits.{key}")
    _at_least(conf.max_reply_bytes, 1, where, "limits.max_reply_bytes")
    for key in ("requests_per_minute", "tokens_per_minute", "enqueued_tokens"):
        if getattr(conf, key) is not None:
            _at_least(getattr(conf, key), 1, where, f"limits.{key}")
    return Limits(**asdict(conf))


# ---- persona and text -----------------------------------------------------------------------------------------------


def _personas(name: str, conf: schema.PersonaConf) -> tuple[Persona, ...]:
    where = f"persona/{name}.yaml"
    _choice(conf.source, ("inline", "table"), where, "source")
    if conf.source == "table":
        path = _path(conf.path, where, f"persona.{name}.path")
        templates = None if conf.description is None else _descriptions(conf.description, where)
        asked = {"limit": conf.limit, "where": where, "templates": templates, **_table(conf)}
        return sources.personas_from_table(path, conf.columns, **asked)
    _in_range(conf.temperature, 0, MAX_TEMPERATURE, where, "temperature")
    return (Persona(name=name, description=_descriptions(conf.description, where), temperature=conf.temperature),)


def _descriptions(value: Any, where: str) -> dict[str, str]:
    by_language = {"*": value} if isinstance(value, str) else value
    if not isinstance(by_language, dict) or not by_language:
        raise ConfigError("must be a text, or a mapping from language to text", where=where, key="description")
    for language, description in by_language.items():
        if not isinstance(description, str) or not description.strip():
            raise ConfigError("must be a text that is not empty", where=where, key=f"description.{language}")
    return {str(language): description for language, description in by_language.items()}


def _texts(name: str, conf: schema.TextConf) -> tuple[Text, ...]:
    where = f"text/{name}.yaml"
    _choice(conf.source, ("inline", "folder", "aozora", "table"), where, "source")
    if conf.source == "inline":
        return (_inline_text(name, conf, where),)
    path = _path(conf.path, where, f"text.{name}.path")
    match conf.source:
        case "folder":
            return sources.texts_from_folder(path, limit=conf.limit, where=where)
        case "aozora":
            return sources.texts_from_aozora(path, limit=conf.limit, where=where)
        case _:
            return sources.texts_from_table(path, conf.columns, limit=conf.limit, where=where, **_table(conf))


def _inline_text(name: str, conf: schema.TextConf, where: str) -> Text:
    _in_range(conf.temperature_shift, -MAX_TEMPERATURE, MAX_TEMPERATURE, where, "temperature_shift")
    return Text(
        name=name,
        content=_filled(conf.content or "", where, "content"),
        title=conf.title,
        author=conf.author,
        language=conf.language,
        temperature_shift=conf.temperature_shift,
        origin=where,
    )


def _table(conf: schema.PersonaConf | schema.TextConf) -> dict[str, Any]:
    return {"delimiter": conf.delimiter, "skip_empty": conf.skip_empty}


def _path(path: str | None, where: str, full_key: str) -> str:
    if not path:
        raise ConfigError("says nowhere to read from", where=where, key="path", advice=f"runner {full_key}=PATH")
    return path


# ---- prompt and sampling --------------------------------------------------------------------------------------------


def _prompt(name: str, prompt: schema.PromptConf) -> PromptTemplate:
    where = f"prompt/{name}.yaml"
    if not prompt.questions:
        raise ConfigError("asks no question", where=where, key="questions")
    _at_least(prompt.reason_max_chars, 1, where, "reason_max_chars")
    language = _filled(prompt.language, where, "language")
    questions = tuple(read(key, question, language, where) for key, question in prompt.questions.items())
    _refuse_same_labels(questions, where)
    return PromptTemplate(
        name=name,
        language=language,
        system=prompt.system,
        user=_filled(prompt.user, where, "user"),
        questions=questions,
        reply=_choice(prompt.reply, get_args(records.ReplyFormat), where, "reply"),
        reason_max_chars=prompt.reason_max_chars,
        rescale=prompt.rescale,
        ask=_choice(prompt.ask, get_args(records.Asking), where, "ask"),
        reasons=_choice(prompt.reasons, get_args(records.ReasonPlace), where, "reasons"),
        scales=scales_of(prompt.scales, questions, where),
    )


def _refuse_same_labels(questions: Iterable[Question], where: str) -> None:
    named: dict[str, str] = {}
    for question in questions:
        if (other := named.setdefault(question.label, question.name)) != question.name:
            message = f"two questions have the label '{question.label}'"
            keys = [f"questions.{name}.label" for name in (question.name, other)]
            raise ConfigError(message, where=where, key=keys[0], others=(keys[1],))


def _sampling(conf: schema.SamplingConf) -> Sampling:
    where = "group sampling"
    _in_range(conf.temperature, 0, MAX_TEMPERATURE, where, "temperature")
    _at_least(conf.max_tokens, 1, where, "max_tokens")
    _at_least(conf.trials, 1, where, "trials")
    if conf.seed is not None:
        _at_least(conf.seed, 0, where, "seed")
    return Sampling(**asdict(conf))


def _ask_again(conf: schema.AskAgainConf) -> records.AskAgain:
    where = "config.yaml"
    _at_least(conf.unscorable, 0, where, "ask_again.unscorable")
    for kind in conf.kinds:
        if kind not in records.UNSCORABLE:
            message = f"'{kind}' is no kind of unscorable reply; {nearest(kind, records.UNSCORABLE)}"
            advice = f"runner 'ask_again.kinds=[{close(kind, records.UNSCORABLE) or records.UNREAD[1]}]'"
            raise ConfigError(message, where=where, key="ask_again.kinds", advice=advice)
    for key in conf.keys:
        if re.fullmatch(r"[0-9a-f]{8,64}", key) is None:
            message = f"'{key}' is no key: 64 hexadecimal digits, or the first eight or more; results.jsonl has them"
            raise ConfigError(message, where=where, key="ask_again.keys", advice="runner ledger list")
    return records.AskAgain(conf.unscorable, tuple(conf.kinds), tuple(conf.keys))


def _design(conf: schema.DesignConf) -> records.Design:
    where = "group design"
    given = {
        name: _choice(how, get_args(records.Varied), where, name)
        for name, how in asdict(conf).items()
        if name != "seed"
    }
    _at_least(conf.seed, 0, where, "seed")
    return records.Design(**given, seed=conf.seed)


# ---- batch ----------------------------------------------------------------------------------------------------------


def _batch(conf: schema.BatchConf) -> Batch:
    where = "group batch"
    _choice(conf.mode, ("off", "native"), where, "mode")
    _choice(conf.fallback, ("none", "live"), where, "fallback")
    _choice(conf.missing, ("fail", "buy"), where, "missing")
    if conf.size != "auto" and (isinstance(conf.size, bool) or not isinstance(conf.size, int) or conf.size < 1):
        message = f"'{conf.size}' is neither a whole number from 1 nor auto"
        raise ConfigError(message, where=where, key="size", advice="runner batch.size=auto")
    _at_least(conf.attempts, 1, where, "attempts")
    for key in ("window", "grace"):
        _duration(getattr(conf, key), where, key)
    return Batch(**asdict(conf))


def polled(batch: Batch, models: Iterable[Model]) -> Batch:
    """Looks at batches of servers on this machine come at once and often: such a server makes nobody wait.

    As it is where any of the models with a batch API has another address.
    """
    addresses = [model.api_base for model in models if model.capability.batch is not None]
    if addresses and all(address and urlsplit(address).hostname in retirement.HERE for address in addresses):
        return replace(batch, first_poll_s=FIRST_POLL_HERE_S, max_poll_s=MAX_POLL_HERE_S, find_s=FIND_HERE_S)
    return batch


def _duration(value: str, where: str, key: str) -> None:
    try:
        seconds = records.duration_s(value)
    except ValueError as error:
        raise ConfigError(str(error), where=where, key=key, advice=f"runner batch.{key}=24h") from error
    _at_least(seconds, 0.001, where, key)
