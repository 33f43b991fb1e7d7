"""The keys under which a JSON reply is asked for, and their way back to the questions."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from runner import score
from runner.plan.capability import adapt
from runner.plan.prompt import PromptManager
from runner.plan.reply_keys import reply_keys
from runner.providers.codec import codec_for
from runner.records import Capability, Model, Persona, PromptTemplate, Question, Reply, Scored, Text

TAKEN = re.compile(r"[A-Za-z0-9_]{1,64}")
JAPANESE = (Question("面白さ", "面白さ", "どれくらい?"), Question("驚き", "驚き", "どれくらい?"))
PROMPT = PromptTemplate("p", "ja", "{{ persona }}", "{{ text.content }}", JAPANESE)


def questions(*names: str) -> tuple[Question, ...]:
    return tuple(Question(name, f"label {name}", "how?") for name in names)


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (("interesting", "surprise_2"), ("interesting", "surprise_2")),
        (("面白さ", "驚き"), ("q1", "q2")),
        (("surprise", "驚き"), ("surprise", "q2")),
        (("q2", "驚き"), ("q2", "question_2")),
        (("Q2", "驚き"), ("Q2", "question_2")),
        (("q2", "驚き", "question_2"), ("q2", "the_question_2", "question_2")),
        (("a" * 64, "a" * 65), ("a" * 64, "q2")),
        (("größe",), ("q1",)),
    ],
)
def test_a_key_is_the_name_where_every_api_takes_it(names: tuple[str, ...], keys: tuple[str, ...]) -> None:
    """ASCII letters, digits and underscores, 64 at most, each key once; any other name gets its number."""
    assert reply_keys(questions(*names)) == keys


@pytest.mark.parametrize("names", [("面白さ", "驚き"), ("q2", "驚き"), ("surprise", "a" * 65)], ids=str)
def test_scores_come_back_under_the_questions_names(names: tuple[str, ...]) -> None:
    """A reply under the keys is read as one under the names is, whichever of the two a model writes."""
    asked = questions(*names)
    for keys in (reply_keys(asked), names):
        body = {key: {"score": 10 + at, "reason": "so"} for at, key in enumerate(keys)}
        for text in (
            json.dumps(body),
            json.dumps(body, ensure_ascii=False),
            f"Here:\n```json\n{json.dumps(body)}\n```",
        ):
            read = score.read(Reply(text, "stop"), asked, "json")
            assert isinstance(read, Scored), (text, read)
            assert read.scores == {name: 10.0 + at for at, name in enumerate(names)}


def properties(value: Any) -> set[str]:
    """Every name of a property in the schemas that a request holds."""
    if isinstance(value, list):
        return {name for item in value for name in properties(item)}
    if not isinstance(value, dict):
        return set()
    own = set(value["properties"]) if isinstance(value.get("properties"), dict) else set()
    return own.union(*(properties(item) for item in value.values())) if value else own


@pytest.mark.parametrize(
    ("provider", "rung"),
    [
        ("openai", "schema"),
        ("openai", "tool"),
        ("anthropic", "schema"),
        ("anthropic", "tool"),
        ("gemini", "schema"),
        ("mistral", "schema"),
    ],
)
def test_every_property_that_leaves_is_taken_by_every_api(provider: str, rung: Any) -> None:
    """Questions with Japanese names go out under ASCII names, in schemas and in tools, and the prompt says which."""
    manager = PromptManager(PROMPT)
    model = Model("m", "claude-sonnet-4-5" if provider == "anthropic" else "m", provider, "v")
    model = replace(model, capability=Capability(structure=rung))
    prompt = manager.get_prompt(Persona("poet", {"*": "詩人"}), Text("t", "雨"))
    assert "(q1: 面白さ, q2: 驚き)" in prompt.user
    adapted = adapt(prompt, model, temperature=0.5, max_tokens=9, seed=None, schema=manager.reply_schema())
    body = json.loads(codec_for(model, "k").encode(adapted.request))  # type: ignore[union-attr]
    found = properties(body)
    assert {"q1", "q2", "score", "reason"} == found
    assert all(map(TAKEN.fullmatch, found))
