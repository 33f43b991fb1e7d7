"""Orders of questions: which there are, which trial is given which, and what of it reaches a request."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from runner.errors import ConfigError
from runner.plan import nuisance
from runner.plan.job import TrialPlan
from runner.plan.trials import count_of
from runner.records import (
    Batch,
    Capability,
    Design,
    Experiment,
    Model,
    Persona,
    PromptTemplate,
    Question,
    Sampling,
    Text,
    Tracking,
)

if TYPE_CHECKING:
    from runner.records import Trial

ASKING = "{% for question in questions %}{{ question.number }} {{ question.wording }}\n{% endfor %}"
MODEL = Model("m", "m-1", "openai", "openai", capability=Capability(structure="schema"))


def questions(count: int) -> tuple[Question, ...]:
    return tuple(Question(f"q{place}", f"label{place}", f"wording{place}") for place in range(count))


def experiment(how: Any, count: int = 4, texts: int = 4, trials: int = 1, **changes: Any) -> Experiment:
    whole = Experiment(
        name="e",
        models=(MODEL, replace(MODEL, name="n", id="n-1")),
        personas=(Persona("p", {"*": "a poet"}), Persona("r", {"*": "a robot"})),
        texts=tuple(Text(f"t{place}", f"words {place}") for place in range(texts)),
        prompt=PromptTemplate("a", "en", "{{ persona }}", "{{ text.content }}\n" + ASKING, questions(count)),
        sampling=Sampling(trials=trials),
        batch=Batch(),
        tracking=Tracking(),
        ledger_url="sqlite://",
        design=Design(question_order=how),
    )
    return replace(whole, **changes)


def trials(asked: Experiment) -> list[Trial]:
    return list(TrialPlan(asked).trials())


def order(trial: Trial) -> str:
    return str(trial.factors[nuisance.QUESTION_ORDER])


# ---- which orders there are ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(2, 13))
def test_each_item_stands_and_follows_equally_often(count: int) -> None:
    """Of a Williams design each item is in each place, and after each other item, as often as any other."""
    orders = nuisance.orders_of(count)
    assert len(orders) == len({*orders}) == count * (1 + (count % 2 and count > 1))
    assert orders[0] == tuple(range(count))
    places = Counter((item, place) for one in orders for place, item in enumerate(one))
    follows = Counter(pair for one in orders for pair in pairwise(one))
    assert (len(places), len({*places.values()})) == (count**2, 1)
    assert (len(follows), len({*follows.values()})) == (count * (count - 1), 1)
    assert all(orders[place + 1] == orders[place][::-1] for place in range(0, len(orders), 2))


@dataclass(frozen=True)
class Case:
    """A design of so many questions, texts and repetitions."""

    count: int
    texts: int
    trials: int


@pytest.mark.parametrize("case", [Case(4, 8, 1), Case(4, 3, 4), Case(3, 6, 2), Case(2, 5, 2), Case(5, 10, 3)], ids=str)
def test_balanced_orders_are_equally_often(case: Case) -> None:
    """Whole blocks of texts, or as many repetitions as orders, have each order equally often in every cell."""
    found = trials(experiment("balanced", case.count, case.texts, case.trials))
    assert len(found) == 2 * 2 * case.texts * case.trials
    of_cell = Counter((trial.cell.name, order(trial)) for trial in found)
    assert len(of_cell) == 4 * len(nuisance.orders_of(case.count))
    assert len({*of_cell.values()}) == 1


def test_two_repetitions_of_a_text_are_mirrored() -> None:
    """The second repetition of a text has the order of the first, the other way round."""
    found = trials(experiment("balanced", trials=2))
    for first, second in zip(found[::2], found[1::2], strict=True):
        assert order(second).split(">") == order(first).split(">")[::-1]


def test_levels_of_model_persona_and_prompt_are_given_the_same_orders() -> None:
    """A text's repetition has one order, whoever answers it and whatever prompt asks."""
    other = replace(experiment("balanced").prompt, name="b", language="fr")
    found = trials(experiment("balanced", trials=3, further_prompts=(other,)))
    orders: dict[tuple[str, int], set[str]] = {}
    for trial in found:
        orders.setdefault((trial.text.name, trial.repetition), set()).add(order(trial))
    assert len(found) == 2 * 2 * 2 * 4 * 3
    assert {len(some) for some in orders.values()} == {1}


def test_more_of_a_design_changes_nothing_that_there_is() -> None:
    """More repetitions, and more texts at the end, leave every key as it was: nothing is bought twice."""
    before = {trial.key for trial in trials(experiment("balanced", texts=3, trials=2))}
    after = {trial.key for trial in trials(experiment("balanced", texts=7, trials=5))}
    assert before < after


def test_an_assignment_is_the_same_on_any_machine() -> None:
    """A seed's assignment never changes, and another seed's is another."""

    def assigned(seed: int) -> str:
        given = (nuisance.balanced(4, seed, text, repetition) for repetition in (1, 2, 3, 4) for text in range(8))
        return "".join("abcd"[one] for one in given)

    assert assigned(1) == "cdbadcabdcabcdbabacdabdcabdcbacd"
    assert len({assigned(seed) for seed in range(8)}) > 4


def test_crossed_asks_every_trial_in_every_order() -> None:
    """Each repetition of a text is asked in each order, the first as written under the key that it has without."""
    found = trials(experiment("crossed", count=3, trials=2))
    assert len(found) == count_of(experiment("crossed", count=3, trials=2)) == 2 * 2 * 4 * 2 * 6
    counts = Counter((trial.cell.name, trial.text.name, order(trial)) for trial in found)
    assert {*counts.values()} == {2}
    assert len({trial.key for trial in found}) == len(found)
    assert len({(trial.cell.name, trial.text.name, trial.repetition) for trial in found}) == len(found)
    assert {trial.key for trial in trials(experiment("fixed", count=3))} < {trial.key for trial in found}


# ---- what reaches a request ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", ["json", "labelled"])
def test_a_request_asks_in_its_order(reply: Any) -> None:
    """Prompt, form and schema have the questions in the order that the trial's factors say."""
    prompt = replace(experiment("balanced").prompt, reply=reply)
    for trial in trials(experiment("balanced", prompt=prompt)):
        names = order(trial).split(">")
        request = trial.adapted.request
        user = request.messages[-1]["content"]
        asked = [f"{number} {name.replace('q', 'wording')}" for number, name in enumerate(names, 1)]
        assert [user.index(line) for line in asked] == sorted(user.index(line) for line in asked)
        if reply == "json":
            assert [*request.params["response_format"]["json_schema"]["schema"]["properties"]] == names
        else:
            form = [f"Q{number}. {name.replace('q', 'label')}(value)" for number, name in enumerate(names, 1)]
            assert all(line in user for line in form)


def test_as_written_nothing_is_given() -> None:
    """Fixed, a trial has no further factor, and of a prompt of one question there is no order."""
    one = replace(experiment("fixed", count=1).prompt, name="one")
    assert {tuple(trial.factors) for trial in trials(experiment("fixed"))} == {("prompt",)}
    found = trials(experiment("balanced", further_prompts=(one,)))
    assert {trial.cell.prompt for trial in found if nuisance.QUESTION_ORDER in trial.factors} == {"a"}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            experiment("balanced", texts=3, trials=4),
            "4 orders, spread over a cell's 12 trials, 3 each: no further request.",
        ),
        (
            experiment("balanced", texts=5, trials=2),
            "2 to 3 each: no further request; even where texts or sampling.trials",
        ),
        (experiment("balanced", texts=4), "1 each: no further request; its effect shows within a text only from"),
        (experiment("crossed", count=5), "10 orders multiply its requests by 10."),
    ],
    ids=["even", "uneven", "once", "crossed"],
)
def test_a_plan_says_what_a_nuisance_costs(asked: Experiment, words: str) -> None:
    """One sentence: spread over what is bought anyhow, and how evenly, or multiplied by how much."""
    (said,) = nuisance.priced(asked)
    assert words in said


# ---- where the persona stands ----------------------------------------------------------------------------------------


def placement(how: Any, **changes: Any) -> Experiment:
    merging = replace(MODEL, name="o", id="o-1", capability=Capability(system="merge"))
    whole = experiment("balanced", texts=8, models=(MODEL, merging), **changes)
    return replace(whole, design=replace(whole.design, placement=how))


def test_the_persona_stands_where_its_trial_says() -> None:
    """In the system message or at the start of the user's; a model without that role has it there alone."""
    for trial in trials(placement("crossed")):
        messages = trial.adapted.request.messages
        stands = "user" if trial.cell.model.name == "o" else trial.factors[nuisance.PLACEMENT]
        assert trial.factors[nuisance.PLACEMENT] == stands
        assert [message["role"] for message in messages] == (["system", "user"] if stands == "system" else ["user"])
        assert messages[0]["content"].startswith("a poet" if trial.cell.persona.name == "p" else "a robot")


def test_crossed_places_multiply_the_requests_of_those_that_have_them() -> None:
    """Twice as many where a model takes a system message, and as many as ever where it does not."""
    found = trials(placement("crossed", trials=2))
    assert Counter(trial.cell.model.name for trial in found) == {"m": 2 * 8 * 2 * 2, "o": 2 * 8 * 2}
    assert len(found) == count_of(placement("crossed", trials=2)) == len({trial.key for trial in found})


def test_places_and_orders_are_balanced_together() -> None:
    """Over twice as many texts as there are orders each order has each place equally often, in every repetition."""
    found = [trial for trial in trials(placement("balanced", trials=4)) if trial.cell.name == "m/p"]
    counts = Counter((trial.repetition, order(trial), trial.factors[nuisance.PLACEMENT]) for trial in found)
    assert (len(counts), {*counts.values()}) == (4 * 4 * 2, {1})


@pytest.mark.parametrize("how", [("balanced", "crossed"), ("crossed", "balanced"), ("crossed", "crossed")], ids=str)
def test_each_order_is_asked_in_both_places(how: tuple[Any, Any]) -> None:
    """Whichever of the two is crossed, a cell has every order equally often in both places."""
    asked = experiment("fixed", count=3, texts=12)
    found = trials(replace(asked, models=(MODEL,), design=Design(question_order=how[0], placement=how[1])))
    counts = Counter((trial.cell.name, order(trial), trial.factors[nuisance.PLACEMENT]) for trial in found)
    assert (len(counts), len({*counts.values()})) == (2 * 6 * 2, 1)
    assert len({(trial.cell.name, trial.text.name, trial.repetition) for trial in found}) == len(found)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (experiment("balanced", count=1), "no prompt asks several questions in one request"),
        (
            experiment("balanced", prompt=replace(experiment("fixed").prompt, ask="separately")),
            "no prompt asks several questions in one request",
        ),
        (
            experiment(
                "fixed", design=Design(placement="balanced"), prompt=replace(experiment("fixed").prompt, system="")
            ),
            "no prompt has a system template",
        ),
        (
            experiment("crossed", prompt=replace(experiment("fixed").prompt, user="{{ text.content }} How q0? q1?")),
            "the template does not name `questions`",
        ),
    ],
    ids=["one question", "each in a request of its own", "no persona", "written out"],
)
def test_what_cannot_change_places_is_refused(asked: Experiment, words: str) -> None:
    """Where no order could change, planning says so, with what to type."""
    with pytest.raises(ConfigError) as error:
        TrialPlan(asked)
    assert words in str(error.value)
    assert error.value.advice in {"runner design.question_order=fixed", "runner design.placement=fixed"}
