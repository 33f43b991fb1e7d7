"""What a prompt asks of each kind: the form in words, the schema, the place of reasons, and what it must tell."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from question_kinds import prompt

from runner.cli.verbs.plan import untold
from runner.plan.job import TrialPlan
from runner.plan.prompt import PromptManager
from runner.plan.trials import count_of
from runner.records import (
    Batch,
    Experiment,
    Model,
    Persona,
    PromptTemplate,
    Question,
    ReasonPlace,
    Sampling,
    Text,
    Tracking,
)

JOY = Question("joy", "joy", "how joyful it is", 0, 10)
PLAIN = PromptTemplate("own", "en", "{{ persona }}", "{{ text.content }}", (JOY,))


def experiment(template: PromptTemplate, **changes: object) -> Experiment:
    base = Experiment(
        "x", (Model("m", "m-1", "openai", "openai"),), (Persona("p", {"*": "p"}),), (Text("t", "c"),), template,
        Sampling(trials=2), Batch(), Tracking(), "sqlite:///x.db",
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Case:
    """A user template, and the sentence that it lacks."""

    why: str
    user: str
    lacks: str | None
    question: Question = JOY
    language: str = "en"


CASES = (
    Case("never", "{{ text.content }}", 'Answer "joy" with a number from 0 to 10.'),
    Case("by hand", "{{ text.content }} From 0 to 10!", None),
    Case("by variables", "{% for q in questions %}{{ q.low }}-{{ q.high }}{% endfor %}", None),
    Case("another range by hand", "Rate it from 0 to 100.", 'Answer "joy" with a number from 0 to 10.'),
    Case("in full width", "０から１０まで。", None, language="ja"),
    Case("never, in Japanese", "{{ text.content }}", "「joy」は0から10までの数値で答えてください。", language="ja"),
    Case("a text's own numbers", "{{ text.content }} {{ text.title }}", 'Answer "joy" with a number from 0 to 10.'),
    Case("a step's form tells it", "{{ text.content }}", None, replace(JOY, step=5.0)),
    Case("its own form", "{% set _ = reply_format %}Rate it.", 'Answer "joy" with a number from 0 to 10.'),
    Case("words need none", "{% set _ = reply_format %}Say it.", None, replace(JOY, kind="text")),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_a_prompt_that_never_tells_its_range_is_warned_of(case: Case) -> None:
    """`runner plan` names the prompt and the sentence to add; a text's numbers and another range tell nothing."""
    template = replace(PLAIN, user=case.user, questions=(case.question,), language=case.language)
    warned = untold([experiment(template)])
    said = [f"prompt/own.yaml never tells what may be answered. Add to its user template: {case.lacks}"]
    assert warned == ([] if case.lacks is None else said)


def test_options_that_a_form_of_ones_own_hides_are_warned_of() -> None:
    """Every question whose options no word of the prompt tells has its sentence, in its language."""
    template = replace(prompt(), user="{% set _ = reply_format %}{{ text.content }}")
    sentences = PromptManager(template).untold()
    assert 'Answer "mood" with: calm, tense, sad.' in sentences
    assert 'Answer "moved" with a number from 1 to 5.' in sentences
    assert len(sentences) == len(template.questions) - 1
    assert PromptManager(prompt()).untold() == PromptManager(prompt("ja")).untold() == []


def test_reasons_stand_where_they_are_asked_for() -> None:
    """Behind the answer, before it, or not at all: in the schema, in the JSON form and in the labelled lines."""
    places: dict[ReasonPlace, list[str]] = {
        "after": ["score", "reason"], "before": ["reason", "score"], "none": ["score"],
    }  # fmt: skip
    for reasons, keys in places.items():
        template = replace(PLAIN, reasons=reasons)
        schema = PromptManager(template).reply_schema()
        assert schema is not None
        assert schema["properties"]["joy"]["required"] == keys
        lines = PromptManager(replace(template, reply="labelled")).reply_format.splitlines()[1:]
        assert ["reason" if "(reason)" in line else "score" for line in lines] == keys


def test_questions_asked_one_by_one_have_requests_and_keys_of_their_own() -> None:
    """Each request asks one question, trials are counted by requests, and the keys of `together` are none of theirs."""
    template = prompt()
    together = [trial.key for trial in TrialPlan(experiment(template)).trials()]
    apart = experiment(replace(template, ask="separately"))
    trials = list(TrialPlan(apart).trials())
    assert [trial.question for trial in trials] == [question.name for question in template.questions] * 2
    assert len(trials) == count_of(apart) == len({trial.key for trial in trials})
    assert not {*together} & {trial.key for trial in trials}
    for trial in trials:
        words = trial.adapted.request.messages[-1]["content"]
        assert [question.name for question in template.questions if f'- "{question.name}"' in words] == [trial.question]


def test_one_question_alone_is_the_same_request_either_way() -> None:
    """A prompt of one question is bought once, whether it is asked together or separately."""
    both = [experiment(replace(PLAIN, ask=ask)) for ask in ("together", "separately")]
    first, second = ([trial.key for trial in TrialPlan(one).trials()] for one in both)
    assert first == second
