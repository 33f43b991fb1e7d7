"""`runner models`: every model in conf, what it takes and costs, and whether its provider has it."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from runner.cli.output import console, say
from runner.config import compose as composing
from runner.config import retirement, schema
from runner.config.hydra_errors import FOREIGN, translate
from runner.config.load import lacks_address, model_of
from runner.config.pricing import batch_share
from runner.errors import ConfigError, nearest
from runner.providers.accounts import known_key
from runner.reporting.formatting import NONE
from runner.reporting.terminal import empty_table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from rich.table import Table

    from runner.providers.listing import ListingResult
    from runner.records import Model

EXIT_WRONG = 3
ADD = "add"
LENGTHS = {"max_tokens": "max", "max_completion_tokens": "max_compl"}
"""Parameters that bound a reply's length, as short as a table needs them."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One file of conf/model."""

    name: str
    model: Model | None
    """None where the file leaves open what the user must say."""
    needs: str = ""
    """What that is."""
    found: ListingResult | None = None
    """What its provider says; None where nobody asked."""


def options_models(parser: argparse.ArgumentParser) -> None:
    """Which models, changed in what, and whether to ask their providers."""
    parser.add_argument(
        "words",
        metavar="NAME or KEY=VALUE",
        nargs="*",
        help="models (all); overrides, as for a run; add PROVIDER/ID writes a file for another, into FOLDER or mine/",
    )
    parser.add_argument(
        "--check", action="store_true", help="ask each provider whose key is set for its list of models"
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--config-dir", "-cd", metavar="FOLDER", type=Path, help="a config folder of your own")


def run_models(words: argparse.Namespace, conf: Path) -> int:
    """Show what models take and cost; with `add` in front of a name, write a file for one that has none."""
    if words.words[:1] == [ADD]:
        from runner.cli.verbs.add_model import add

        return add(words.words[1:], conf, words.config_dir)
    names = [word for word in words.words if "=" not in word]
    overrides = [word for word in words.words if "=" in word]
    return show(conf, words.config_dir, names, overrides, as_json=words.json, check=words.check)


def show(
    conf: Path,
    further: Path | None,
    names: Sequence[str],
    overrides: Sequence[str],
    *,
    as_json: bool,
    check: bool,
    today: date | None = None,
) -> int:
    """Print the table; 3 where `check` found something wrong. `further` is a config folder of the user's own."""
    today = today or retirement.now()
    shown = gather(conf, further, names, overrides)
    if check:
        shown = checked(shown)
    if as_json:
        sys.stdout.write(json.dumps([as_data(one, today) for one in shown], ensure_ascii=False, indent=2) + "\n")
    else:
        _print(shown, today, check=check)
    return EXIT_WRONG if any(_is_wrong(one, today) for one in shown) else 0


def gather(conf: Path, further: Path | None, names: Sequence[str], overrides: Sequence[str]) -> list[Shown]:
    """The models as a run would have them. ConfigError for a file that is wrong, or a name that is nowhere."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    if further is not None and not further.is_dir():
        raise ConfigError(f"there is no folder '{further}'", where="command line", key="--config-dir")
    search = [] if further is None else [composing.search_path(further)]
    schema.register()
    try:
        with initialize_config_dir(str(conf), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            known = loader.get_group_options("model", config_name="config", overrides=search)
            for name in names:
                if name not in known:
                    message = f"there is no model '{name}'; {nearest(name, known)}"
                    raise ConfigError(message, where="command line", key="model", advice="runner models")
            chosen = list(names) or known
            cfg = compose("config", overrides=[*search, f"model=[{','.join(chosen)}]", *overrides])
    except FOREIGN as error:
        raise translate(error, conf) from error
    found = [_shown(cfg, name) for name in cfg.model]
    return sorted(found, key=lambda one: (one.model is None, one.model.vendor if one.model else "", one.name))


def _shown(cfg: Any, name: str) -> Shown:
    from omegaconf import OmegaConf

    node = cfg.model[name]
    needs = ["id"] if OmegaConf.is_missing(node, "id") else []
    if node.provider == "openai" and lacks_address(node):
        needs.append("api_base")
    if needs:
        return Shown(name, None, " ".join(f"model.{name}.{key}=..." for key in needs))
    return Shown(name, model_of(cfg, name))


def checked(shown: Sequence[Shown]) -> list[Shown]:
    """The same, each with what its provider's list says."""
    from runner.providers import listing

    found = iter(listing.check([one.model for one in shown if one.model is not None]))
    return [Shown(one.name, one.model, one.needs, next(found) if one.model else None) for one in shown]


def _is_wrong(one: Shown, today: date) -> bool:
    """A withdrawn model that is not listed is as it should be."""
    from runner.providers import listing

    if one.found is None or one.model is None:
        return False
    if one.found.state == "not listed":
        return not retirement.is_over(one.model, today)
    return one.found.state in listing.WRONG or _differs(one) is not None


def _differs(one: Shown) -> str | None:
    """What the provider's list says of a model's end that its file does not, and the line that mends the file."""
    if one.model is None or one.found is None or one.found.shutdown in (None, one.model.retirement.date):
        return None
    stated = one.model.retirement.date or "none"
    return f"ends on {one.found.shutdown}, its file says {stated}: put retirement.date: {one.found.shutdown} into it"


def key_is_set(model: Model, environment: Mapping[str, str] = os.environ) -> bool | None:
    """Whether the model's key is in the environment; None where it needs none."""
    return bool(known_key(model.key_env, environment)) if model.key_env else None


def as_data(one: Shown, today: date) -> dict[str, Any]:
    """One model for machines."""
    if one.model is None:
        return {"name": one.name, "needs": one.needs}
    data = asdict(one.model)
    prices = data.pop("prices")
    share = batch_share(one.model) if one.model.capability.batch else None
    live, source = {name: prices[name] for name in prices if name != "source"}, prices["source"]
    data |= {
        "key_set": key_is_set(one.model),
        "prices": {"live": live, "batch": _batch_prices(one.model, share), "source": source},
        "needs": None,
        "ends": retirement.remark(one.model, today),
    }
    return data | ({"check": asdict(one.found)} if one.found is not None else {})


def _batch_prices(model: Model, share: tuple[float, float] | None) -> dict[str, float] | None:
    into, out = model.prices.input_usd_per_mtok, model.prices.output_usd_per_mtok
    if share is None or into is None or out is None:
        return None
    return {"input_usd_per_mtok": round(into * share[0], 9), "output_usd_per_mtok": round(out * share[1], 9)}


# ---- the terminal ---------------------------------------------------------------------------------------------------


def _print(shown: Sequence[Shown], today: date, *, check: bool) -> None:
    out = console()
    for table in (render_capability(shown, today), render_prices(shown, today)):
        out.print(table)
    if check:
        out.print(render_check(shown, today))
    for line in remarks(shown, today):
        say(line, out)


def render_capability(shown: Sequence[Shown], today: date) -> Table:
    """What each model takes, for a terminal of 80 columns."""
    table = _table("What models take", ("system", "temper-\nature", "length", "seed", "structure", "batch\nAPI"))
    for one in shown:
        if (model := one.model) is None:
            table.add_row(_named(one, today), NONE)
            continue
        able = model.capability
        temperature = f"0 to {able.temperature_max:g}" if able.temperature == "free" else able.temperature
        length = LENGTHS.get(able.max_tokens, able.max_tokens)
        seed = "yes" if able.seed else "no"
        table.add_row(_named(one, today), able.system, temperature, length, seed, able.structure, able.batch or NONE)
    return table


def render_prices(shown: Sequence[Shown], today: date) -> Table:
    """What each model costs, in US dollars a million tokens, and how hard it is driven."""
    headers = ("live\nin/out", "by batch\nin/out", "from", "at\nonce", "at-\ntempts", "key")
    table = _table("Prices (USD a million tokens), limits, keys", headers)
    sources = _sources(shown)
    for one in shown:
        if (model := one.model) is None:
            continue
        batch = _batch_prices(model, batch_share(model)) if model.capability.batch else None
        key = {None: "none needed", True: "set", False: "not set"}[key_is_set(model)]
        table.add_row(
            _named(one, today),
            _pair(model.prices.input_usd_per_mtok, model.prices.output_usd_per_mtok),
            _pair(*batch.values()) if batch else "?" if model.capability.batch else NONE,
            sources.get(model.prices.source, ""),
            str(model.limits.concurrency),
            str(model.limits.attempts),
            key,
        )
    return table


def render_check(shown: Sequence[Shown], today: date) -> Table:
    """What the providers' lists say."""
    from rich.text import Text

    table = _table("What the providers say", ("list", "remark"), "top")
    for one in shown:
        if (found := one.found) is None:
            continue
        said = f"near: {', '.join(found.nearest)}" if found.nearest else _differs(one) or found.message
        style = "red" if _is_wrong(one, today) else "green" if found.state in ("listed", "alias") else ""
        table.add_row(_named(one, today), Text(found.state, style=style), Text(said))
    return table


def _table(title: str, headers: Sequence[str], vertical: Literal["top", "bottom"] = "bottom") -> Table:
    table = empty_table(title, ("model", *headers))
    table.columns[0].no_wrap = True
    for column in table.columns:
        column.vertical = vertical
    return table


def _named(one: Shown, today: date) -> Any:
    from rich.text import Text

    ends = one.model is not None and retirement.remark(one.model, today) is not None
    over = one.model is not None and retirement.is_over(one.model, today)
    return Text(f"{one.name}{' †' if ends else ''}", style="dim" if over else "")


def _pair(first: float | None, second: float | None) -> str:
    return "?" if first is None or second is None else f"{first:.4g}/{second:.4g}"


def _sources(shown: Sequence[Shown]) -> dict[str, str]:
    """A letter for each source of prices, in the order in which they come."""
    named = (one.model.prices.source for one in shown if one.model is not None)
    return {source: chr(ord("a") + place) for place, source in enumerate(dict.fromkeys(filter(None, named)))}


def remarks(shown: Sequence[Shown], today: date) -> Iterator[str]:
    """What the tables have no room for: where prices are from, what was withdrawn, which keys are missing."""
    models = [one.model for one in shown if one.model is not None]
    yield f"length: {', '.join(f'{short} is {name}' for name, short in LENGTHS.items())}"
    for source, letter in _sources(shown).items():
        yield f"{letter}  {source}"
    for model in models:
        if (ends := retirement.remark(model, today)) is not None:
            yield f"†  {model.name}: {ends}"
    for one in shown:
        if one.model is None:
            yield f"-  {one.name} is complete with {one.needs}"
    missing = dict.fromkeys(model.key_env for model in models if key_is_set(model) is False)
    if missing:
        yield f"keys that are not set: {', '.join(str(name) for name in missing)}"
        yield f"set one: export {next(iter(missing))}=..."
    if models and all(one.found is None for one in shown):
        yield "ask the providers whether they still serve them: runner models --check"
