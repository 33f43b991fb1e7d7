"""A saved experiment: experiment.json -> Experiment, and two experiments -> the settings in which they differ.

A setting has the path that it has on the command line: ("model", "gpt-4o-mini", "capability", "seed") is
`model.gpt-4o-mini.capability.seed`. Paths are tuples, since a text's or persona's name may hold a dot.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from runner.errors import ConfigError
from runner.records import Experiment, Json, Prices, PromptTemplate

Path = tuple[str, ...]

GROUPS = {"models": "model", "personas": "persona", "texts": "text"}
"""Experiment's field -> the config group that its items come from."""
PLACES: Mapping[str, Path] = {
    "ledger_url": ("ledger", "url"),
    "ledger_missing": ("ledger", "missing"),
    "budget_usd": ("budget", "max_usd"),
}
"""Experiment's field -> its path in the config, where that is not its name."""
RUNTIME = ("tracking", "batch", "ledger_url", "ledger_missing", "budget_usd", "objective", "report", "identity")
"""Experiment's fields that change where and how it runs, never what is asked. All else is its identity."""
RUNTIME_OF_A_MODEL = ("limits", "served_as", "identity", "retirement")
"""Likewise, fields of a model."""
OF_ITEMS = ("covariates", "weight")
"""Likewise, fields of a persona or a text: what is known of it, and not sent."""
RUNTIME_OF_PRICES = (
    "cache_write_usd_per_mtok", "cache_write_1h_usd_per_mtok", "reasoning_usd_per_mtok", "request_usd", "tiers",
)  # fmt: skip
"""Likewise, fields of a model's prices. The older ones are part of it, and stay so for the hashes of old runs."""
LATER: Mapping[str, Json] = {"rescale": False, "ask": "together", "reasons": "after", "scales": []}
"""Fields of a prompt that earlier versions did not have: at these values they are no part of the hash, which stays."""
LATER_OF_A_QUESTION: Mapping[str, Json] = {
    "kind": "number", "step": None, "options": [], "least": 1, "most": None, "max_chars": 400, "reverse": False,
}  # fmt: skip
"""Likewise, fields of a question."""
_OF_PRICES = frozenset(("prices", name) for name in RUNTIME_OF_PRICES)
ASKS_AGAIN = ("unscorable", "keys")
"""Of an experiment's `ask_again`: where both are nothing, it is no part of the hash, which stays as it was before."""
SHOWN = 60
"""Characters of a long value that are shown."""
MOST = 2**63
"""No number in a run's files is as large: tables and MLflow hold none that is."""


class Absent:
    """Stands for the value of a setting, or of a whole model, persona or text, that one side does not have."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = Absent()


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting that two experiments do not share. A path of a group and a name alone is the whole item."""

    path: Path
    was: Json
    now: Json

    @property
    def key(self) -> str:
        """The path as on the command line."""
        return ".".join(self.path)

    @property
    def runtime(self) -> bool:
        """Whether it changes only where and how the experiment runs."""
        return is_runtime(self.path)


def is_runtime(path: Path) -> bool:
    """Whether a setting is without effect on requests, their keys, and how replies are read."""
    if path[0] in {GROUPS["personas"], GROUPS["texts"]}:
        return path[2:3] != () and path[2] in OF_ITEMS
    if path[0] == GROUPS["models"]:
        return path[2:3] != () and (path[2] in RUNTIME_OF_A_MODEL or path[2:3] + path[3:4] in _OF_PRICES)
    return path[0] in {PLACES.get(name, (name,))[0] for name in RUNTIME}


def identity_of(experiment: Experiment | Mapping[str, Json]) -> str:
    """SHA-256, 64 hexadecimal digits, of everything in an experiment that shapes a request or how its reply is read.

    Of an experiment.json it is that of the file as it stands: what a record has gained since is not in it.
    """
    whole = asdict(experiment) if isinstance(experiment, Experiment) else experiment
    identity = {name: value for name, value in whole.items() if name not in RUNTIME}
    identity["models"] = [_identity_of_a_model(model) for model in whole["models"]]
    if not any(whole.get("ask_again", {}).get(name) for name in ASKS_AGAIN):
        identity.pop("ask_again", None)
    if design := _identity_of_a_design(identity.pop("design", {})):
        identity["design"] = design
    identity["prompt"] = _identity_of_a_prompt(whole["prompt"])
    further = [_identity_of_a_prompt(prompt) for prompt in identity.pop("further_prompts", ())]
    identity |= {"further_prompts": further} if further else {}
    for items in ("personas", "texts"):
        identity[items] = [{name: one[name] for name in one if name not in OF_ITEMS} for one in whole[items]]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _identity_of_a_design(design: Mapping[str, Json]) -> dict[str, Json]:
    """What is not as written, with the seed; {} where everything is, so that the hash stays as it was before."""
    given = {name: how for name, how in design.items() if name != "seed" and how != "fixed"}
    return given | {"seed": design["seed"]} if given else {}


def _identity_of_a_prompt(prompt: Mapping[str, Json]) -> dict[str, Json]:
    found = _without(LATER, prompt)
    return found | {"questions": [_without(LATER_OF_A_QUESTION, one) for one in found["questions"]]}


def _without(later: Mapping[str, Json], record: Mapping[str, Json]) -> dict[str, Json]:
    """A record without the later fields that have their defaults. A list is a tuple before it is saved."""
    plain = ((name, list(value) if isinstance(value, tuple) else value) for name, value in record.items())
    return {name: value for name, value in plain if name not in later or value != later[name]}


def _identity_of_a_model(model: Mapping[str, Json]) -> dict[str, Json]:
    kept = {name: value for name, value in model.items() if name not in RUNTIME_OF_A_MODEL}
    if kept.get("simulation") is None:
        kept.pop("simulation", None)
    if isinstance(able := kept.get("capability"), Mapping):
        kept["capability"] = {name: value for name, value in able.items() if (name, value) != ("api", "chat")}
    if isinstance(prices := kept.get("prices"), Mapping):
        kept["prices"] = {name: value for name, value in prices.items() if name not in RUNTIME_OF_PRICES}
    return kept


# ---- experiment.json -> Experiment -----------------------------------------------------------------------------------


def experiment_from(saved: Mapping[str, Json], where: str = "experiment.json") -> Experiment:
    """The experiment that experiment.json holds.

    Fields that a later version added are passed over, and those that an earlier one did not have get their defaults.
    ConfigError where a field without a default is missing or has another shape.
    """
    try:
        experiment: Experiment = _value(Experiment, saved, "")
        _ = experiment.batch.window_s, experiment.batch.grace_s  # ValueError where they are no durations
    except (TypeError, ValueError) as error:
        message = f"is damaged, it holds no experiment: {error}"
        raise ConfigError(message, where=where, advice=f"less {shlex.quote(where)}") from error
    return experiment


def prices_from(saved: Mapping[str, Json]) -> Prices:
    """The prices of one of its models, as experiment_from reads them."""
    prices: Prices = _value(Prices, saved, "")
    return prices


def prompt_from(saved: Mapping[str, Json]) -> PromptTemplate:
    """One of its prompts likewise. TypeError where it has another shape."""
    prompt: PromptTemplate = _value(PromptTemplate, saved, "")
    return prompt


def _value(kind: Any, value: Json, place: str) -> Any:
    """A JSON value as the type that a record's field has: records and tuples of them made again, all else as it is.

    TypeError, with the place, where it is of another type.
    """
    if isinstance(kind, type) and is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise TypeError(f"{place or 'the whole'} is {named(value)} in place of an object")
        hints = _hints(kind)
        if missing := [item.name for item in fields(kind) if item.name not in value and _required(item)]:
            raise TypeError(f"{kind.__name__} has no {', '.join(missing)}")
        held = (item.name for item in fields(kind) if item.name in value)
        return kind(**{name: _value(hints[name], value[name], f"{place}.{name}".lstrip(".")) for name in held})
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{place} is {named(value)} in place of a list")
        return tuple(_value(get_args(kind)[0], item, f"{place}[{at}]") for at, item in enumerate(value))
    if not fits(kind, value):
        raise TypeError(f"{place} is {named(value)}, which it cannot be")
    return value


def fits(kind: Any, value: Json) -> bool:
    """Whether a plain value is of a type. A whole number is a number too; none is infinite, or beyond 64 bits."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in {Union, UnionType}:
        return any(fits(one, value) for one in args)
    if origin is Literal:
        return value in args
    if origin in {dict, Mapping}:
        return isinstance(value, Mapping) and all(fits(args[1], one) for one in value.values())
    if origin is list:
        return isinstance(value, list) and all(fits(args[0], one) for one in value)
    if kind in {int, float} and type(value) in {int, kind}:
        return bool(-MOST < value < MOST)  # which NaN is not
    return kind not in {int, float, str, bool, type(None)} or type(value) is kind


def named(value: Json) -> str:
    """What kind of JSON a value is, in words."""
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _required(item: Any) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


@cache
def _hints(kind: type) -> dict[str, Any]:
    # records.py imports this name for the type checker only.
    return get_type_hints(kind, localns={"Mapping": Mapping})


# ---- settings --------------------------------------------------------------------------------------------------------


def settings_of(experiment: Experiment) -> dict[Path, Json]:
    """Every setting of an experiment by its path; the order of a prompt's questions has a path of its own."""
    found: dict[Path, Json] = {}
    for name, value in asdict(experiment).items():
        if name in GROUPS:
            for item in value:
                found |= dict(_leaves((GROUPS[name], item["name"]), _unnamed(item)))
        elif name == "prompt":
            found |= _prompt(value)
        elif name == "further_prompts":
            for prompt in value:
                found |= _prompt(prompt)
        else:
            found |= dict(_leaves(PLACES.get(name, (name,)), value))
    return found


def _prompt(prompt: Mapping[str, Json]) -> dict[Path, Json]:
    here: Path = ("prompt", prompt["name"])
    plain = {name: value for name, value in _unnamed(prompt).items() if name != "questions"}
    found = dict(_leaves(here, plain))
    found[(*here, "questions")] = [question["name"] for question in prompt["questions"]]
    for question in prompt["questions"]:
        found |= dict(_leaves((*here, "questions", question["name"]), _unnamed(question)))
    return found


def _unnamed(item: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in item.items() if name != "name"}


def _leaves(path: Path, value: Json) -> list[tuple[Path, Json]]:
    if isinstance(value, Mapping):
        return [leaf for name, inner in value.items() for leaf in _leaves((*path, str(name)), inner)]
    return [(path, value)]


def differences(was: Mapping[Path, Json], now: Mapping[Path, Json]) -> list[Difference]:
    """The settings that differ, in order; an item that one side lacks altogether is one difference."""
    items_was, items_now = (
        {path[:2] for path in side if len(path) > 1 and path[0] in (*GROUPS.values(), "prompt")} for side in (was, now)
    )
    alone = {*items_was} ^ {*items_now}
    found: dict[Path, Difference] = {}
    for path in {**was, **now}:
        if path[:2] in alone:
            there = path[:2] in items_was
            found[path[:2]] = Difference(path[:2], "there" if there else ABSENT, ABSENT if there else "there")
        elif was.get(path, ABSENT) != now.get(path, ABSENT):
            found[path] = Difference(path, was.get(path, ABSENT), now.get(path, ABSENT))
    return list(found.values())


def aligned(every: Sequence[Mapping[Path, Json]]) -> list[dict[Path, Json]]:
    """Settings of several experiments, so that what stands for the same thing under two names is compared by value.

    Where each of them has one prompt (or model, persona, text) that not all have, these have the paths of one named
    "*", such as `prompt.*.system`; which one it is stands at the path of the group alone.
    """
    made = [dict(each) for each in every]
    for group in ("prompt", *GROUPS.values()):
        items = [list(dict.fromkeys(path[1] for path in each if path[0] == group)) for each in every]
        common = set.intersection(*(set(names) for names in items)) if items else set()
        alone = [[name for name in names if name not in common] for names in items]
        if any(len(names) != 1 for names in alone):
            continue
        for place, (name,) in enumerate(alone):
            renamed = {
                (group, "*", *path[2:]) if path[:2] == (group, name) else path: value
                for path, value in made[place].items()
            }
            made[place] = {(group,): name, **renamed}
    return made


def shown(value: Json, other: Json = None) -> str:
    """A value on one short line. Of two long texts, what surrounds the first character in which they differ."""
    if not isinstance(value, str):
        return str(value)
    start = 0
    if isinstance(other, str) and len(value) > SHOWN:
        same = next((at for at, pair in enumerate(zip(value, other, strict=False)) if pair[0] != pair[1]), None)
        start = max(0, (min(len(value), len(other)) if same is None else same) - SHOWN // 3)
    part = " ".join(value[start : start + SHOWN].split())
    before, after = "…" if start else "", "…" if start + SHOWN < len(value) else ""
    return f"{before}{part}{after}" or '""'
