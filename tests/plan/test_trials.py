"""Cells, trials, temperatures and keys."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from runner.plan.trials import KEY_VERSION, endpoint_of, key_of, temperature_of, trials_of
from runner.records import (
    Adapted,
    Batch,
    Cell,
    Experiment,
    Model,
    Persona,
    PromptTemplate,
    Question,
    Request,
    Sampling,
    Text,
    Tracking,
)

MODEL = Model(name="m", id="m-1", provider="openai", vendor="openai")
PERSONA = Persona(name="p", description={"*": "a poet"}, temperature=0.7)
TEXT = Text(name="t", content="words")
SAMPLING = Sampling()
GOLDEN_KEY = "f6513328743d2ecbdb773838b0238e325dc52cbd4fe5cba8c68706ef04902c0f"
REQUEST = Request("m-1", ({"role": "user", "content": "hi"},), {"temperature": 0.5, "max_tokens": 10})


def experiment(**changes: object) -> Experiment:
    whole = Experiment(
        name="e",
        models=(MODEL, replace(MODEL, name="n", id="n-1")),
        personas=(PERSONA, replace(PERSONA, name="q")),
        texts=(TEXT, replace(TEXT, name="u", content="other")),
        prompt=PromptTemplate("p", "en", "s", "u", (Question("x", "x", "how x?"),)),
        sampling=SAMPLING,
        batch=Batch(),
        tracking=Tracking(),
        ledger_url="sqlite://",
    )
    return replace(whole, **changes)  # type: ignore[arg-type]  # field names are the callers'


def adapt(cell: Cell, text: Text, temperature: float, seed: int | None, _: object) -> Adapted:
    params = {"temperature": temperature, **({} if seed is None else {"seed": seed})}
    message = {"role": "user", "content": f"{cell.persona.name} {text.content}"}
    return Adapted(Request(cell.model.id, (message,), params), "prompt", {}, {})


@dataclass(frozen=True)
class Case:
    """A precedence of temperatures."""

    id: str
    sampling: float | None
    persona: float | None
    shift: float
    model: float | None
    expected: float


TEMPERATURES = (
    Case("the experiment's holds for every trial", 0.2, 0.7, 0.1, 0.9, 0.2),
    Case("zero is a value", 0.0, 0.7, 0.0, 0.9, 0.0),
    Case("the persona's plus the text's shift", None, 0.1, 0.2, 0.9, 0.3),
    Case("a shift stops at zero", None, 0.1, -0.5, None, 0.0),
    Case("the model's where the persona has none", None, None, 0.3, 0.9, 0.9),
    Case("a half where nobody says", None, None, 0.0, None, 0.5),
)


@pytest.mark.parametrize("case", TEMPERATURES, ids=lambda case: case.id)
def test_temperature_precedence(case: Case) -> None:
    """The experiment's temperature wins over persona and text, these over the model file, it over the default."""
    temperature = temperature_of(
        replace(SAMPLING, temperature=case.sampling),
        replace(PERSONA, temperature=case.persona),
        replace(TEXT, temperature_shift=case.shift),
        replace(MODEL, temperature=case.model),
    )
    assert temperature == case.expected


def test_trials_are_the_product_in_order() -> None:
    """Two models, personas and texts and three repetitions make 24 trials, models outermost, repetitions innermost."""
    trials = list(trials_of(experiment(sampling=Sampling(trials=3)), adapt))
    order = [(trial.cell.name, trial.text.name, trial.repetition) for trial in trials]
    assert order == [
        (f"{model}/{persona}", text, repetition)
        for model in "mn"
        for persona in "pq"
        for text in "tu"
        for repetition in (1, 2, 3)
    ]
    assert len({trial.key for trial in trials}) == 24


def test_a_seed_grows_with_the_repetition() -> None:
    """Repetition n is asked with seed + n - 1, so that repetitions differ and can be repeated."""
    trials = trials_of(experiment(sampling=Sampling(trials=3, seed=7)), adapt)
    first = [
        trial.adapted.request.params["seed"] for trial in trials if trial.cell.name == "m/p" and trial.text is TEXT
    ]
    assert first == [7, 8, 9]


def test_the_key_of_a_fixed_request_never_changes() -> None:
    """A key made by an earlier release finds its answer: this value changes only together with KEY_VERSION."""
    assert KEY_VERSION == 1
    assert key_of(REQUEST, "openai", 1) == GOLDEN_KEY


@dataclass(frozen=True)
class Change:
    """Something about a request, and whether it makes another purchase."""

    id: str
    request: Request
    endpoint: str = "openai"
    repetition: int = 1


CHANGES = (
    Change("another model", replace(REQUEST, model_id="m-2")),
    Change("another word", replace(REQUEST, messages=({"role": "user", "content": "hi!"},))),
    Change("another role", replace(REQUEST, messages=({"role": "system", "content": "hi"},))),
    Change("another parameter", replace(REQUEST, params={"temperature": 0.6, "max_tokens": 10})),
    Change("one parameter fewer", replace(REQUEST, params={"max_tokens": 10})),
    Change("another endpoint", REQUEST, endpoint="openai@http://127.0.0.1:1/v1"),
    Change("another repetition", REQUEST, repetition=2),
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.id)
def test_what_makes_another_key(change: Change) -> None:
    """Model, messages, parameters, endpoint and repetition each make another key."""
    assert key_of(change.request, change.endpoint, change.repetition) != key_of(REQUEST, "openai", 1)


def test_the_order_of_parameters_is_no_difference() -> None:
    """The same parameters written in another order are the same purchase."""
    turned = replace(REQUEST, params=dict(reversed(list(REQUEST.params.items()))))
    assert key_of(turned, "openai", 1) == key_of(REQUEST, "openai", 1)


def test_endpoints() -> None:
    """An address of one's own is another endpoint; the embedded model is the same wherever it is served."""
    assert endpoint_of(MODEL) == "openai"
    assert endpoint_of(replace(MODEL, api_base="http://h/v1/")) == "openai@http://h/v1"
    assert endpoint_of(replace(MODEL, provider="embedded", api_base="http://127.0.0.1:9/v1")) == "embedded"
