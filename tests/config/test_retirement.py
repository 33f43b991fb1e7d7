"""When models end: told in a line before money is spent, by a day that is passed in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import pytest
from omegaconf import OmegaConf

from runner.config import catalog, retirement
from runner.config.compose import conf_dir
from runner.errors import ConfigError
from runner.records import Model, Retirement

FILES = {
    path.stem: Retirement(**OmegaConf.to_container(OmegaConf.load(path)).get("retirement", {}))  # type: ignore[union-attr]
    for path in (conf_dir() / "model").glob("*.yaml")
}

ENDS = Retirement("2026-12-11", "gpt-6-1-sol", "a page")
MODEL = Model(name="m", id="m-1", provider="openai", vendor="openai", key_env="K", retirement=ENDS)


@dataclass(frozen=True)
class Case:
    """A day, a model, and the line that is told."""

    today: date
    model: Model
    line: str | None
    over: bool


CASES = {
    "before": Case(date(2026, 11, 28), MODEL, "m: ends on 2026-12-11 (in 13 days): use gpt-6-1-sol (a page)", False),
    "the day before": Case(
        date(2026, 12, 10), MODEL, "m: ends on 2026-12-11 (in 1 day): use gpt-6-1-sol (a page)", False
    ),
    "the day": Case(date(2026, 12, 11), MODEL, "m: withdrawn since 2026-12-11: use gpt-6-1-sol (a page)", True),
    "no source": Case(
        date(2027, 1, 1), replace(MODEL, retirement=Retirement("2026-12-11")), "m: withdrawn since 2026-12-11", True
    ),
    "in words": Case(date(2026, 1, 1), replace(MODEL, retirement=Retirement(), retired="gone"), "m: gone", True),
    "served": Case(date(2026, 1, 1), replace(MODEL, retirement=Retirement()), None, False),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_line_of_a_model(case: Case) -> None:
    """A model's end is told with its day, how far off that is, and what to use; a served model has no line."""
    assert retirement.told([case.model, case.model], case.today) == ([case.line] if case.line else [])
    assert retirement.is_over(case.model, case.today) is case.over


def test_what_answers_on_this_machine_has_no_end() -> None:
    """A rehearsal, or a server of one's own, asks no provider that could withdraw anything."""
    assert retirement.told([replace(MODEL, api_base="http://127.0.0.1:9/v1")], date(2027, 1, 1)) == []


def test_the_map_fills_a_day_that_a_file_leaves_out() -> None:
    """LiteLLM's map has a day for this model; a file's own day stays as it is."""
    entry = catalog.lookup("anthropic", "claude-sonnet-4-5")
    assert entry is not None
    assert retirement.checked(Retirement(), entry, "f").date == "2026-11-30"
    assert retirement.checked(ENDS, entry, "f") == ENDS


@pytest.mark.parametrize("day", ["soon", "2026-13-01", "11.12.2026"])
def test_a_day_is_a_date(day: str) -> None:
    """What is no date is refused by file and key."""
    with pytest.raises(ConfigError, match=r"model/m\.yaml.*retirement\.date"):
        retirement.checked(Retirement(day), None, "model/m.yaml")


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_replacement_is_a_file_that_is_served(name: str) -> None:
    """No file sends its reader to one that is missing or has an end of its own; each says who says so."""
    stated = FILES[name]
    if stated.date is None:
        return
    assert stated.source
    assert stated.replacement is not None
    assert (conf_dir() / "model" / f"{stated.replacement}.yaml").is_file()
    assert FILES[stated.replacement].date is None
