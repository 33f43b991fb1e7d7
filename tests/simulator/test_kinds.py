"""The simulated providers answer every kind of question and every range, as the prompt tells it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, cast

import pytest
from question_kinds import prompt

from runner import score
from runner.plan.capability import without_bounds
from runner.plan.prompt import PromptManager
from runner.records import Persona, PromptTemplate, Question, Reply, Scored, Text
from runner.simulator.chat.answers import Ask, say
from runner.simulator.plan import FaultPlan

if TYPE_CHECKING:
    from runner.records import ReasonPlace, ReplyFormat

PERSONA, TEXT = Persona("p", {"*": "You are a reader."}), Text("t", "The sea came in, 3 to 5 times a day.")
TIMES = 12


@dataclass(frozen=True)
class Case:
    """How a prompt asks, and what of its schema an API takes."""

    language: str
    reply: ReplyFormat
    reasons: ReasonPlace
    schema: str

    @property
    def name(self) -> str:
        """For the list of tests."""
        return f"{self.language}-{self.reply}-{self.reasons}-{self.schema}"


CASES = [
    Case(language, cast("Any", reply), cast("Any", reasons), schema)
    for language, (reply, schema), reasons in product(
        ("en", "ja"),
        (("json", "bounds"), ("json", "no bounds"), ("json", "none"), ("labelled", "none")),
        ("after", "before", "none"),
    )
]


def replies(template: PromptTemplate, schema: str = "bounds") -> list[Reply]:
    """What a simulated model says when it is asked some times."""
    manager = PromptManager(template)
    shape = manager.reply_schema()
    shape = None if shape is None or schema == "none" else shape if schema == "bounds" else without_bounds(shape)
    asked = manager.get_prompt(PERSONA, TEXT)
    said = (say(Ask("m", asked.system, asked.user, shape), FaultPlan(), nth, nth) for nth in range(1, TIMES + 1))
    return [Reply(each.text, "stop") for each in said]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_kind_is_answered_as_it_is_asked(case: Case) -> None:
    """Whatever the language, the form, the place of reasons and the API's schemas, all nine questions are answered."""
    template = replace(prompt(case.language), reply=case.reply, reasons=case.reasons)
    for reply in replies(template, case.schema):
        read = score.read(reply, template.questions, template.reply)
        assert isinstance(read, Scored), (reply.text, read)
        assert None not in read.answers.values()
        reasoned = {name for name, reason in read.reasons.items() if reason}
        assert reasoned == (
            set() if case.reasons == "none" else {each.name for each in template.questions} - {"impression"}
        )


@dataclass(frozen=True)
class Range:
    """Ranges, and a template that tells them in its own words."""

    name: str
    ranges: tuple[tuple[float, float], ...]
    told: str
    language: str = "en"


RANGES = (
    Range(
        "one to ten",
        ((1, 10),),
        "{% for q in questions %}- {{ q.label }}, {{ q.low }} to {{ q.high }}: how.{% endfor %}",
    ),
    Range("in prose", ((0, 7),), "Score it from {{ questions[0].low }} to {{ questions[0].high }}."),
    Range("below zero", ((-3, 3),), "{% for q in questions %}{{ q.name }} ({{ q.low }} to {{ q.high }}){% endfor %}"),
    Range("of fractions", ((0.5, 1.5),), "From {{ questions[0].low }} to {{ questions[0].high }}, please."),
    Range(
        "one each",
        ((0, 10), (1, 5), (-1, 1)),
        "{% for q in questions %}\n- {{ q.label }}: {{ q.low }}-{{ q.high }}\n{% endfor %}",
    ),
    Range("Japanese", ((1, 7),), "{{ questions[0].low }}から{{ questions[0].high }}までで答えてください。", "ja"),
    Range(
        "Japanese, one each",
        ((0, 10), (1, 5)),
        "{% for q in questions %}\n・{{ q.label }}（{{ q.low }}が最も低く、{{ q.high }}が最も高い）\n{% endfor %}",
        "ja",
    ),
    Range("not told", ((0, 100),), "Rate it."),
)


@pytest.mark.parametrize("reply", ["json", "labelled"])
@pytest.mark.parametrize("schema", ["bounds", "no bounds", "none"])
@pytest.mark.parametrize("case", RANGES, ids=lambda case: case.name)
def test_every_range_is_kept(case: Range, schema: str, reply: ReplyFormat) -> None:
    """A number is within its own question's range, whether a schema bounds it or the prompt alone tells it."""
    labels = "あいう" if case.language == "ja" else ("joy", "dread", "pace")
    asked = tuple(
        Question(f"q_{place}" if case.language == "ja" else label, label, "w", *ends)
        for place, (label, ends) in enumerate(zip(labels, case.ranges, strict=False))
    )
    template = PromptTemplate("own", case.language, "{{ persona }}", "{{ text.content }}\n" + case.told, asked, reply)
    for each in replies(template, schema):
        read = score.read(each, asked, reply)
        assert isinstance(read, Scored), (each.text, read)


def test_answers_differ_between_texts() -> None:
    """Models do not say the same of every text: points, options, orders and probabilities scatter."""
    every = []
    for text in ("tide", "rain", "clock", "harbour", "lamp", "ferry"):
        template = replace(prompt(), user=f"{text}: {{{{ text.content }}}}")
        every += [score.read(reply, template.questions, "json").answers for reply in replies(template)[:2]]
    for name in ("moved", "mood", "moods", "again", "order", "impression", "chance", "guess"):
        assert len({repr(given.value) for answers in every if (given := answers[name]) is not None}) > 1, name
