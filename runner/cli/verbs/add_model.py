"""`runner models add PROVIDER/ID`: a model file of one's own, from LiteLLM's map and the provider's list."""

from __future__ import annotations

import os
import shlex
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from runner.cli.output import quoted, say
from runner.config import catalog, model_file, retirement
from runner.errors import ConfigError, pasted
from runner.providers import listing
from runner.providers.services import SERVICES
from runner.records import Model

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.config.model_file import NewModel

OWN = Path("mine")
"""The config folder of the examples."""
WHERE = "command line"
OF_THE_USER = ("api_base", "key_env")


def add(words: list[str], conf: Path, folder: Path | None, environment: Mapping[str, str] = os.environ) -> int:
    """Write a file to `folder`/model, or to mine/model, and say what is not known and what to type next.

    `words` name the model, and may state api_base=URL and key_env=VARIABLE, which only the user knows.

    Asks the provider for its list of models where its key is set, which costs nothing. ConfigError for a model that
    nobody knows, that has a file already, or that is no chat model.
    """
    provider, model_id = _named([word for word in words if "=" not in word])
    own = _stated([word for word in words if "=" in word])
    taken = _files_of(conf)
    for name, known in taken.items():
        if known == (provider, model_id) and "api_base" not in own:
            raise ConfigError(f"{provider}/{model_id} has a file: it is '{name}'", where=WHERE, advice=_use(name))
    key_env = own.get("key_env") or (None if "api_base" in own else _key_of(provider))
    asked = Model(model_id, model_id, provider, provider, key_env, api_base=own.get("api_base"))
    found = listing.check([asked], environment)[0]
    _check(provider, model_id, found, is_elsewhere="api_base" in own)
    model = _described(asked, model_file.name_for(provider, model_id, taken), found)
    place = (folder or OWN) / "model" / f"{model.name}.yaml"
    if place.exists():
        message = f"{place} is there already, and stays as it is"
        raise ConfigError(message, where=WHERE, advice=f"less {pasted(place)}")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(model_file.text_of(model), encoding="utf-8")
    _say(model, place, folder or OWN)
    return 0


def _named(words: list[str]) -> tuple[str, str]:
    if len(words) != 1:
        message = "add takes one model, as LiteLLM names it: PROVIDER/ID"
        raise ConfigError(message, where=WHERE, advice="runner models add openai/gpt-6-luna")
    provider, slash, model_id = words[0].partition("/")
    if slash and model_id and provider:
        return provider, model_id
    owners = sorted(one for one in SERVICES if words[0] in catalog.known(one))
    said = f"'{words[0]}' names no provider: write PROVIDER/ID"
    raise ConfigError(said, where=WHERE, advice=f"runner models add {owners[0] if owners else 'PROVIDER'}/{words[0]}")


def _stated(words: list[str]) -> dict[str, str]:
    """What only the user knows: an address and a key's variable."""
    found = dict(word.split("=", 1) for word in words)
    for key in found:
        if key not in OF_THE_USER:
            message = f"add takes {' and '.join(OF_THE_USER)}, not '{key}': what else differs goes into the file"
            raise ConfigError(message, where=WHERE, advice="runner models --help")
    return found


def _files_of(conf: Path) -> dict[str, tuple[str, str]]:
    """Name -> provider and id, of every file that comes with the program."""
    files = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (conf / "model").glob("*.yaml")}
    return {name: (str(stated.get("provider")), str(stated["id"])) for name, stated in files.items()}


def _key_of(provider: str) -> str | None:
    """The usual name of its key's variable; None where LiteLLM looks for credentials itself."""
    if provider == "vertex_ai":
        return "VERTEX_ACCESS_TOKEN"
    return f"{provider.upper()}_API_KEY" if provider in SERVICES else None


def _check(provider: str, model_id: str, found: listing.ListingResult, *, is_elsewhere: bool) -> None:
    """ConfigError for what nobody knows, and for what is no chat model."""
    known = catalog.known(provider)
    mode = None if is_elsewhere else known.get(model_id)
    if not is_elsewhere and (other := catalog.not_chat(provider, model_id)) is not None:
        raise ConfigError(f"{provider}/{model_id} {other}", where=WHERE, advice="runner models")
    if found.state == "not listed":
        message = f"{provider} lists no model '{model_id}'{_told(found.nearest)}"
        raise ConfigError(message, where=WHERE, advice=_again(provider, next(iter(found.nearest), "ID")))
    if mode is None and found.state not in ("listed", "alias"):
        raise _nobody_knows(provider, model_id, known, found)


def _nobody_knows(provider: str, model_id: str, known: Mapping[str, str], found: listing.ListingResult) -> ConfigError:
    if not known and provider not in SERVICES:
        near = _near(provider, catalog.providers() | set(SERVICES))
        message = f"LiteLLM's map knows no provider '{provider}'{_told(near)}"
        return ConfigError(message, where=WHERE, advice=_again(near[0] if near else "PROVIDER", model_id))
    near = _near(model_id, [name for name, mode in known.items() if mode == "chat"])
    why = {"key not set": "its list was not asked, as its key is not set", "cannot be asked": found.message}
    message = f"LiteLLM's map knows no '{provider}/{model_id}'{_told(near)}; {why.get(found.state, found.state)}"
    advice = found.message if found.state == "key not set" else _again(provider, near[0] if near else "ID")
    return ConfigError(message, where=WHERE, advice=advice)


def _near(name: str, known: Iterable[str]) -> list[str]:
    return get_close_matches(name, sorted(known), n=listing.NEAREST, cutoff=0.5)


def _told(near: Sequence[str]) -> str:
    return f"; near: {', '.join(near)}" if near else ""


def _described(asked: Model, name: str, found: listing.ListingResult) -> NewModel:
    who = asked.api_base or asked.provider
    known = {"listed": f"listed by {who}", "alias": f"known to {who} by this name"}
    return model_file.NewModel(
        name=name,
        provider=asked.provider,
        id=asked.id,
        key_env=asked.key_env,
        api_base=asked.api_base,
        entry=None if asked.api_base is not None else catalog.lookup(asked.provider, asked.id),
        listed=known.get(found.state, f"{who} was not asked: {found.state}"),
        ends=found.shutdown,
        day=retirement.now().isoformat(),
    )


def _say(model: NewModel, place: Path, folder: Path) -> None:
    say(f"written: {quoted(place)}")
    if unknown := model_file.unknown_in(model):
        say(f"not known, see the file: {', '.join(unknown)}")
    say(f"next:    {shlex.join(['runner', 'plan', f'--config-dir={folder}', f'model={model.name}'])}")


def _use(name: str) -> str:
    return f"runner plan model={name}"


def _again(provider: str, model_id: str) -> str:
    return f"runner models add {provider}/{model_id}"
