"""Properties of prompts that hold for any text, persona and set of questions."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.plan.prompt import PromptManager
from runner.records import Persona, PromptTemplate, Question, Text

ANY = st.text(min_size=1)
TEMPLATE = PromptTemplate(
    name="own",
    language="en",
    system="Be this: {{ persona }}",
    user="Read:\n{{ text.content }}\n{% for q in questions %}{{ q.label }}.{% endfor %}{{ reply_format }}",
    questions=(Question("fun", "fun", "How funny?"),),
)


MANAGER = PromptManager(TEMPLATE)
few = settings(max_examples=30, deadline=None)


@st.composite
def question_sets(draw: st.DrawFn) -> tuple[Question, ...]:
    names = draw(st.lists(st.from_regex(r"[a-z_][a-z0-9_]{0,9}", fullmatch=True), min_size=1, max_size=5, unique=True))
    ends = st.integers(-1000, 1000)
    lows = [draw(ends) for _ in names]
    return tuple(
        Question(name, f"label {name}", "?", float(low), low + draw(st.sampled_from([0.5, 1.0, 10.0, 100.0])))
        for name, low in zip(names, lows, strict=True)
    )


@few
@given(content=ANY, description=ANY)
def test_any_text_and_persona_arrive_whole(content: str, description: str) -> None:
    """Whatever a text and a persona hold stands in the prompt, unchanged and once."""
    prompt = MANAGER.get_prompt(Persona("p", {"*": description}), Text("t", content))
    assert prompt.system == f"Be this: {description}"
    assert prompt.user == f"Read:\n{content}\nfun.{MANAGER.reply_format}"


@few
@given(contents=st.lists(ANY, min_size=1, max_size=5), descriptions=st.lists(ANY, min_size=1, max_size=3))
def test_order_of_asking_changes_nothing(contents: list[str], descriptions: list[str]) -> None:
    """A prompt depends on its persona and text alone, not on what was asked for before."""
    pairs = [(Persona("p", {"*": d}), Text("t", c)) for d in descriptions for c in contents]
    forwards = [MANAGER.get_prompt(*pair) for pair in pairs]
    fresh = PromptManager(TEMPLATE)
    backwards = [fresh.get_prompt(*pair) for pair in reversed(pairs)]
    assert forwards == backwards[::-1]


@few
@given(questions=question_sets(), data=st.data())
def test_schema_takes_answers_in_range_and_no_others(questions: tuple[Question, ...], data: st.DataObject) -> None:
    """An answer within every range is valid; one beyond a range, without a key or with another is not."""
    schema = PromptManager(replace(TEMPLATE, questions=questions)).reply_schema()
    assert schema is not None
    assert json.loads(json.dumps(schema)) == schema
    good = {
        q.name: {"score": data.draw(st.sampled_from([q.low, q.low + (q.high - q.low) // 1])), "reason": "so"}
        for q in questions
    }
    jsonschema.validate(good, schema)
    name = data.draw(st.sampled_from([q.name for q in questions]))
    high = next(q.high for q in questions if q.name == name)
    spoiled = (
        {**good, name: {**good[name], "score": high + 1}},
        {**good, name: {"score": good[name]["score"]}},
        {**good, name: {**good[name], "reason": ""}},
        {key: answer for key, answer in good.items() if key != name},
        {**good, "Other": good[name]},
    )
    for bad in spoiled:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)
