"""Every setting is classified: what changes a request changes its key, what says how to run never does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from runner.config import schema, settings
from runner.plan import trials
from runner.plan.job import TrialPlan
from runner.records import (
    AskAgain,
    Batch,
    Capability,
    Design,
    Experiment,
    ItemScale,
    Limits,
    Model,
    Option,
    Persona,
    Prices,
    PriceTier,
    PromptTemplate,
    Question,
    Retirement,
    Sampling,
    Text,
    Tracking,
)

GOLDEN = {1: "7ef2ce71ca900cbb8e446dd699649dd5ad3675f3721046eb77d291e33460403b"}
"""plan.KEY_VERSION -> the key of BASE's first trial. A version's key never changes: raise the version, add its key."""

REQUEST = "request"
"""Identity: a change of it is another request, with another key."""
RECORD = "record"
"""Identity: a change of it makes another experiment, of which the requests are the same (names, prices, strictness)."""
AS_STATED = "as stated"
"""A part of what settings.RUNTIME and RUNTIME_OF_A_MODEL name: where and how it runs, no part of its identity."""
GOLDEN_IDENTITY = "9a45d0e50f4f097336785ed5bab6407dd557ad5c09aaa3bc9c1104d760a93d2e"
"""The config hash of golden/experiment.json, which is BASE as an earlier version saved it."""

BASE = Experiment(
    name="golden",
    models=(
        Model(
            name="m",
            id="m-1",
            provider="openai",
            vendor="openai",
            capability=Capability(structure="schema", schema_bounds=True, seed=True),
        ),
    ),
    personas=(Persona("poet", {"*": "You are a poet.", "fr": "Vous êtes poète."}, temperature=0.7),),
    texts=(Text("tide", "The tide went out.", title="Tide", author="A. Venn", language="en", origin="text/tide.yaml"),),
    prompt=PromptTemplate(
        name="p",
        language="en",
        system="{{ persona }}",
        user="{{ text.name }} {{ text.title }} {{ text.author }} {{ text.language }}\n{{ text.content }}\n"
        "{% for question in questions %}{{ question.label }}: {{ question.wording }}\n{% endfor %}",
        questions=(Question("joy", "joy", "how joyful it is"),),
    ),
    sampling=Sampling(seed=7),
    batch=Batch(),
    tracking=Tracking(),
    ledger_url="sqlite:///outputs/ledger.db",
)


def put(base: Experiment, owner: type, **change: Any) -> Experiment:
    """`base` with fields of one of its records changed: the experiment itself, or the first model, persona, ..."""
    model = base.models[0]
    inner = {Capability: "capability", Limits: "limits", Prices: "prices", Retirement: "retirement"}
    if owner is PriceTier:
        return put(base, Prices, tiers=(replace(model.prices.tiers[0], **change),))
    outer = {
        AskAgain: "ask_again",
        Sampling: "sampling",
        Design: "design",
        Batch: "batch",
        Tracking: "tracking",
        PromptTemplate: "prompt",
    }
    groups = {Model: "models", Persona: "personas", Text: "texts"}
    if owner in inner:
        return put(base, Model, **{inner[owner]: replace(getattr(model, inner[owner]), **change)})
    if owner is Option:
        question = base.prompt.questions[0]
        return put(base, Question, options=(replace(question.options[0], **change), *question.options[1:]))
    if owner is ItemScale:
        return put(base, PromptTemplate, scales=(replace(base.prompt.scales[0], **change),))
    if owner is Question:
        return put(base, PromptTemplate, questions=(replace(base.prompt.questions[0], **change),))
    if owner in outer:
        change = {outer[owner]: replace(getattr(base, outer[owner]), **change)}
    elif owner in groups:
        change = {groups[owner]: (replace(getattr(base, groups[owner])[0], **change),)}
    return replace(base, **change)


@dataclass(frozen=True)
class Field:
    """A field's class, another value of it, and an experiment in which that value makes a difference, if any can."""

    kind: str
    value: Any
    base: Experiment = BASE


NO_PERSONA_TEMPERATURE = put(BASE, Persona, temperature=None)
HOT = put(BASE, Sampling, temperature=1.5)
TIERED = put(BASE, Prices, tiers=(PriceTier(100_000, 2.0),))
TWO_QUESTIONS = put(BASE, PromptTemplate, questions=(Question("joy", "joy", "a"), Question("fear", "fear", "b")))
BALANCED = put(TWO_QUESTIONS, Design, question_order="balanced")
ASKING = put(BASE, AskAgain, unscorable=1)
CHOOSING = put(BASE, Question, kind="choices", options=(Option("a", "calm"), Option("b", "tense"), Option("c", "sad")))
WRITING = put(BASE, Question, kind="text")
SCALED = put(BASE, PromptTemplate, scales=(ItemScale("warmth", ("joy", "joy")),))
PAIR = put(BASE, PromptTemplate, questions=(*BASE.prompt.questions, Question("fear", "fear", "how frightening it is")))

FIELDS: Mapping[type, Mapping[str, Field]] = {
    Experiment: {
        "name": Field(RECORD, "other"),
        "ledger_url": Field(AS_STATED, "sqlite:///elsewhere.db"),
        "ledger_missing": Field(AS_STATED, "buy"),
        "strict": Field(RECORD, value=True),
        "identity": Field(AS_STATED, "strict"),
        "budget_usd": Field(AS_STATED, 1.0),
        "objective": Field(AS_STATED, "score/mean"),
        "report": Field(AS_STATED, False),
    },
    Model: {
        "name": Field(RECORD, "other"),
        "id": Field(REQUEST, "m-2"),
        "provider": Field(REQUEST, "groq"),
        "vendor": Field(RECORD, "other"),
        "key_env": Field(RECORD, "OTHER_API_KEY"),
        "api_base": Field(REQUEST, "http://127.0.0.1:1/v1"),
        "temperature": Field(REQUEST, 0.3, NO_PERSONA_TEMPERATURE),
        "extra": Field(REQUEST, {"top_p": 0.9}),
        "batch_bucket": Field(RECORD, "bucket"),
        "retired": Field(RECORD, "withdrawn"),
        "served_as": Field(AS_STATED, ("m-2",)),
        "identity": Field(AS_STATED, "strict"),
        "simulation": Field(REQUEST, "calm"),
    },
    Retirement: {
        "date": Field(AS_STATED, "2026-12-11"),
        "replacement": Field(AS_STATED, "m2"),
        "source": Field(AS_STATED, "a page"),
    },
    Capability: {
        "system": Field(REQUEST, "developer"),
        "temperature": Field(REQUEST, "none"),
        "temperature_max": Field(REQUEST, 1.0, HOT),
        "max_tokens": Field(REQUEST, "max_completion_tokens"),
        "structure": Field(REQUEST, "tool"),
        "schema_bounds": Field(REQUEST, value=False),
        "seed": Field(REQUEST, value=False),
        "batch": Field(RECORD, "openai"),
        "api": Field(REQUEST, "responses"),
    },
    Limits: {
        "concurrency": Field(AS_STATED, 1),
        "attempts": Field(AS_STATED, 1),
        "total_s": Field(AS_STATED, 1.0),
        "timeout_s": Field(AS_STATED, 1.0),
        "first_byte_timeout_s": Field(AS_STATED, 1.0),
        "max_reply_bytes": Field(AS_STATED, 1024),
        "requests_per_minute": Field(AS_STATED, 60.0),
        "tokens_per_minute": Field(AS_STATED, 6000.0),
        "enqueued_tokens": Field(AS_STATED, 1),
    },
    Prices: {
        "input_usd_per_mtok": Field(RECORD, 1.0),
        "output_usd_per_mtok": Field(RECORD, 1.0),
        "cached_usd_per_mtok": Field(RECORD, 1.0),
        "batch_share": Field(RECORD, 0.5),
        "source": Field(RECORD, "a list"),
        "cache_write_usd_per_mtok": Field(AS_STATED, 1.0),
        "cache_write_1h_usd_per_mtok": Field(AS_STATED, 1.0),
        "reasoning_usd_per_mtok": Field(AS_STATED, 1.0),
        "request_usd": Field(AS_STATED, 1.0),
    },
    PriceTier: {
        "above_tokens": Field(AS_STATED, 200_000, TIERED),
        "input_usd_per_mtok": Field(AS_STATED, 1.0, TIERED),
        "output_usd_per_mtok": Field(AS_STATED, 1.0, TIERED),
        "cached_usd_per_mtok": Field(AS_STATED, 1.0, TIERED),
        "cache_write_usd_per_mtok": Field(AS_STATED, 1.0, TIERED),
        "cache_write_1h_usd_per_mtok": Field(AS_STATED, 1.0, TIERED),
    },
    Persona: {
        "name": Field(RECORD, "other"),
        "description": Field(REQUEST, {"*": "You are a robot."}),
        "temperature": Field(REQUEST, 0.2),
        "covariates": Field(AS_STATED, {"age": 34}),
        "weight": Field(AS_STATED, 1.5),
    },
    Text: {
        "name": Field(REQUEST, "other"),
        "content": Field(REQUEST, "The tide came in."),
        "title": Field(REQUEST, "Ebb"),
        "author": Field(REQUEST, "B. Venn"),
        "language": Field(REQUEST, "fr"),
        "temperature_shift": Field(REQUEST, 0.1),
        "origin": Field(RECORD, "elsewhere"),
        "covariates": Field(AS_STATED, {"genre": "tale"}),
        "weight": Field(AS_STATED, 1.5),
    },
    PromptTemplate: {
        "name": Field(RECORD, "other"),
        "language": Field(REQUEST, "fr"),
        "system": Field(REQUEST, "{{ persona }} Stay so."),
        "user": Field(REQUEST, "{{ text.content }}"),
        "reply": Field(REQUEST, "labelled"),
        "reason_max_chars": Field(REQUEST, 10),
        "rescale": Field(RECORD, value=True),
        "ask": Field(REQUEST, "separately", PAIR),
        "reasons": Field(REQUEST, "none"),
    },
    Question: {
        "name": Field(REQUEST, "mirth"),
        "label": Field(REQUEST, "mirth"),
        "wording": Field(REQUEST, "how merry it is"),
        "low": Field(REQUEST, 1.0),
        "high": Field(REQUEST, 10.0),
        "kind": Field(REQUEST, "text"),
        "step": Field(REQUEST, 5.0),
        "least": Field(REQUEST, 2, CHOOSING),
        "most": Field(REQUEST, 2, CHOOSING),
        "max_chars": Field(REQUEST, 99, WRITING),
        "reverse": Field(RECORD, value=True),
    },
    Option: {
        "name": Field(RECORD, "z", CHOOSING),
        "label": Field(REQUEST, "quiet", CHOOSING),
        "also": Field(RECORD, ("still",), CHOOSING),
    },
    ItemScale: {
        "name": Field(RECORD, "chill", SCALED),
        "items": Field(RECORD, ("joy", "joy", "joy"), SCALED),
    },
    Sampling: {
        "temperature": Field(REQUEST, 0.1),
        "max_tokens": Field(REQUEST, 99),
        "seed": Field(REQUEST, 8),
        "trials": Field(REQUEST, 2),
    },
    Batch: {
        "mode": Field(AS_STATED, "native"),
        "size": Field(AS_STATED, "auto"),
        "window": Field(AS_STATED, "1h"),
        "wait": Field(AS_STATED, value=False),
        "fallback": Field(AS_STATED, "live"),
        "missing": Field(AS_STATED, "buy"),
        "cleanup": Field(AS_STATED, value=False),
        "first_poll_s": Field(AS_STATED, 1.0),
        "max_poll_s": Field(AS_STATED, 1.0),
        "attempts": Field(AS_STATED, 1),
        "grace": Field(AS_STATED, "1h"),
        "find_s": Field(AS_STATED, 1.0),
    },
    AskAgain: {
        "unscorable": Field(RECORD, 2),
        "kinds": Field(RECORD, ("refused",), ASKING),
        "keys": Field(RECORD, ("0123abcd",)),
    },
    Design: {
        "question_order": Field(REQUEST, "crossed", TWO_QUESTIONS),
        "placement": Field(REQUEST, "crossed"),
        "seed": Field(REQUEST, 2, BALANCED),
    },
    Tracking: {
        "enabled": Field(AS_STATED, value=False),
        "uri": Field(AS_STATED, "sqlite:///other.db"),
        "artifacts": Field(AS_STATED, "other"),
        "experiment": Field(AS_STATED, "other"),
        "traces": Field(AS_STATED, "all"),
    },
}
"""Record -> field -> its class. Fields that hold other records are not here: theirs are."""

CONFIG: Mapping[type, type] = {
    schema.ModelConf: Model,
    schema.CapabilityConf: Capability,
    schema.LimitsConf: Limits,
    schema.PricesConf: Prices,
    schema.PriceTierConf: PriceTier,
    schema.RetirementConf: Retirement,
    schema.PersonaConf: Persona,
    schema.TextConf: Text,
    schema.QuestionConf: Question,
    schema.PromptConf: PromptTemplate,
    schema.SamplingConf: Sampling,
    schema.BatchConf: Batch,
    schema.AskAgainConf: AskAgain,
    schema.DesignConf: Design,
    schema.TrackingConf: Tracking,
}
"""Config class -> the record that it becomes, field by field of the same name."""
WHERE_FROM = {"source", "path", "columns", "limit", "delimiter", "skip_empty"}
"""Config fields that say where texts and personas are read: what is read there is classified, the place is not."""
POINTS = {"points"}
"""A question's points become its options."""
RENAMED = {"model": "models", "persona": "personas", "text": "texts", "ledger": "ledger_url", "budget": "budget_usd"}
"""RunnerConf's field -> Experiment's, where they differ."""

CASES = [
    pytest.param(owner, name, found, id=f"{owner.__name__}.{name}")
    for owner, table in FIELDS.items()
    for name, found in table.items()
]


def holds_records(kind: Any) -> bool:
    return is_dataclass(kind) or any(is_dataclass(part) for part in get_args(kind))


def plain_fields(owner: type) -> set[str]:
    hints = get_type_hints(owner, localns={"Mapping": Mapping})
    return {name for name, kind in hints.items() if not holds_records(kind)}


def records_below(owner: type) -> set[type]:
    found = {owner}
    for kind in get_type_hints(owner, localns={"Mapping": Mapping}).values():
        for part in (kind, *get_args(kind)):
            if isinstance(part, type) and is_dataclass(part):
                found |= records_below(part)
    return found


def keys(experiment: Experiment) -> list[str]:
    return [trial.key for trial in TrialPlan(experiment).trials()]


# ---- the table is complete ------------------------------------------------------------------------------------------


def test_every_record_is_in_the_table() -> None:
    """All records that an experiment is made of are classified."""
    assert records_below(Experiment) == {*FIELDS}


@pytest.mark.parametrize("owner", FIELDS, ids=lambda owner: owner.__name__)
def test_every_field_is_in_the_table(owner: type) -> None:
    """A new field of a record fails here until FIELDS says whether it is identity or runtime."""
    assert plain_fields(owner) == {*FIELDS[owner]}


@pytest.mark.parametrize("conf", CONFIG, ids=lambda conf: conf.__name__)
def test_every_config_field_becomes_a_classified_one(conf: type) -> None:
    """A config field has a field of the same name in its record, or says where to read."""
    assert is_dataclass(conf)
    has = {item.name for item in fields(conf)} - WHERE_FROM - POINTS
    assert has <= {item.name for item in fields(CONFIG[conf])}


def test_every_group_becomes_a_part_of_the_experiment() -> None:
    """The config's top level is the experiment's, and every class of the schema is in the table."""
    top = {RENAMED.get(item.name, item.name) for item in fields(schema.RunnerConf)}
    assert top == {item.name for item in fields(Experiment)} - {"ledger_missing", "further_prompts"}
    classes = {kind for kind in vars(schema).values() if isinstance(kind, type) and is_dataclass(kind)}
    assert classes == {*CONFIG, schema.RunnerConf, schema.LedgerConf, schema.BudgetConf}


# ---- the table is true ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("owner", "name", "found"), CASES)
def test_what_reaches_a_request_changes_its_key(owner: type, name: str, found: Field) -> None:
    """Another value of a request's field gives other keys; of any other field, the same."""
    changed = put(found.base, owner, **{name: found.value})
    assert changed != found.base
    assert (keys(changed) != keys(found.base)) is (found.kind == REQUEST)


@pytest.mark.parametrize(("owner", "name", "found"), CASES)
def test_what_is_identity_changes_the_config_hash(owner: type, name: str, found: Field) -> None:
    """Another value of identity gives another config hash; where and how it runs does not."""
    changed = put(found.base, owner, **{name: found.value})
    same = settings.identity_of(changed) == settings.identity_of(found.base)
    assert same is (found.kind == AS_STATED)


def test_the_config_hash_of_a_saved_experiment_never_changes() -> None:
    """A run of an earlier version is told by the hash that it has on file, though records have gained fields since."""
    saved = json.loads((Path(__file__).parent / "golden" / "experiment.json").read_text(encoding="utf-8"))
    assert settings.identity_of(saved) == GOLDEN_IDENTITY


def test_an_experiment_and_its_file_have_one_hash() -> None:
    """What is hashed before it is saved has the hash of what is read again."""
    assert settings.identity_of(BASE) == settings.identity_of(json.loads(json.dumps(asdict(BASE)))) == GOLDEN_IDENTITY


@pytest.mark.parametrize(("owner", "name", "found"), CASES)
def test_what_is_runtime_is_told_so_where_runs_are_compared(owner: type, name: str, found: Field) -> None:
    """The difference that `reproduce` and `compare` find is of the class that the table gives the field."""
    changed = put(found.base, owner, **{name: found.value})
    differing = settings.differences(settings.settings_of(found.base), settings.settings_of(changed))
    assert differing
    assert {each.runtime for each in differing} == {found.kind == AS_STATED}


def test_the_key_of_a_fixed_experiment_never_changes() -> None:
    """From config to key everything is as in the release that first had this version: paid answers are found again."""
    assert keys(BASE)[0] == GOLDEN[trials.KEY_VERSION]
