"""`runner models add`: a file for a model that has none, which says what nobody knows; no provider is asked here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import yaml

import runner
from runner.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@dataclass(frozen=True)
class Case:
    """A model of LiteLLM's map, its file, what the file says, and what it marks as not known."""

    word: str
    name: str
    stated: dict[str, object]
    capability: dict[str, object]
    unknown: tuple[str, ...]


CASES = {
    "reasons": Case(
        "openai/gpt-6-sol",
        "gpt-6-sol",
        {"id": "gpt-6-sol", "provider": "openai", "key_env": "OPENAI_API_KEY"},
        {"system": "developer", "temperature": "fixed", "max_tokens": "max_completion_tokens", "batch": "openai"},
        ("seed",),
    ),
    "an id with slashes": Case(
        "groq/qwen/qwen3.8-27b",
        "qwen3-8-27b",
        {"id": "qwen/qwen3.8-27b", "provider": "groq", "key_env": "GROQ_API_KEY"},
        {"structure": "schema", "batch": None},
        ("system", "temperature", "max_tokens", "seed", "batch"),
    ),
    "a name that another provider's file has": Case(
        "azure/gpt-4o", "gpt-4o-azure", {"id": "gpt-4o", "provider": "azure"}, {"structure": "schema"}, ("batch",)
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_file_says_what_the_map_knows(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file loads as it stands; what the map does not say is marked in it and told, with the next command."""
    assert main(["models", "add", case.word]) == 0
    said = capsys.readouterr().out
    written = (tmp_path / "mine" / "model" / f"{case.name}.yaml").read_text(encoding="utf-8")
    stated = yaml.safe_load(written)
    assert stated.items() >= case.stated.items()
    assert stated["capability"].items() >= case.capability.items()
    marked = [line.partition(":")[0].strip() for line in written.splitlines() if line.endswith("# not known")]
    assert set(marked) >= set(case.unknown)
    assert all(f"capability.{key}" in said for key in marked)
    assert f"next:    runner plan --config-dir=mine model={case.name}" in said
    (model,) = runner.compose(f"model=[{case.name}]", config_dir="mine").experiment.models
    assert (model.provider, model.id) == (case.stated["provider"], case.stated["id"])
    assert model.prices.input_usd_per_mtok is not None  # from the map, which the file leaves its prices to


@dataclass(frozen=True)
class Refused:
    """Words that give no file, what is said of them, and what to type."""

    words: tuple[str, ...]
    said: str
    typed: str


REFUSED = {
    "no provider": Refused(("gpt-6-sol",), "names no provider", "runner models add openai/gpt-6-sol"),
    "a slip": Refused(("openai/gpt-6-lunar",), "near: gpt-6-luna", "export OPENAI_API_KEY=..."),
    "no such provider": Refused(("opnai/gpt-6-sol",), "near: openai", "runner models add openai/gpt-6-sol"),
    "a file that there is": Refused(("openai/gpt-6-luna",), "has a file", "runner plan model=gpt-6-luna"),
    "no chat model": Refused(("openai/text-embedding-3-small",), "is for embedding", "runner models"),
    "nothing": Refused((), "takes one model", "runner models add openai/gpt-6-luna"),
    "two": Refused(("openai/gpt-6-sol", "openai/gpt-6-astra"), "takes one model", "runner models add"),
    "what is for the file": Refused(("openai/gpt-6-sol", "seed=true"), "goes into the file", "runner models --help"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_writes_nothing(case: Refused, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that nobody knows, or that needs no file, is said with what is near it and what to type."""
    assert main(["models", "add", *case.words]) == 2
    said = capsys.readouterr().err
    assert case.said in said
    assert f"try:   {case.typed}" in said
    assert not [*tmp_path.iterdir()]


def test_a_file_is_never_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second time it is refused, and what somebody has put into the file stays."""
    assert main(["models", "add", "openai/gpt-6-sol", "--config-dir", "own"]) == 0
    file = tmp_path / "own" / "model" / "gpt-6-sol.yaml"
    file.write_text("mine", encoding="utf-8")
    assert main(["models", "add", "openai/gpt-6-sol", "--config-dir", "own"]) == 2
    assert file.read_text(encoding="utf-8") == "mine"
    assert "try:   less own/model/gpt-6-sol.yaml" in capsys.readouterr().err
