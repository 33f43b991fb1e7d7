"""What a launch would buy: counted exactly, estimated high, and without sending, keeping or importing much."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from runner.cli.verbs.plan import render_estimate
from runner.plan import estimate as subject
from runner.plan import tokens
from runner.plan.estimate import Estimate, estimate
from runner.plan.job import TrialPlan
from runner.records import (
    Batch,
    Capability,
    Experiment,
    Limits,
    Model,
    Persona,
    Prices,
    PriceTier,
    PromptTemplate,
    Question,
    Sampling,
    Text,
    Tracking,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

MODEL = Model(
    name="m",
    id="gpt-4o-mini",
    provider="openai",
    vendor="openai",
    capability=Capability(structure="schema", batch="openai"),
    prices=Prices(input_usd_per_mtok=1.0, output_usd_per_mtok=10.0),
)
REASONER = replace(MODEL, name="r", capability=Capability(temperature="none", structure="schema", batch="openai"))
PROMPT = PromptTemplate("p", "en", "{{ persona }}", "{{ text.content }}", (Question("joy", "joy", "how joyful?"),))
WHOLE = Experiment(
    name="e",
    models=(MODEL,),
    personas=(Persona("poet", {"*": "You are a poet."}), Persona("robot", {"*": "You are a robot."})),
    texts=(Text("a", "The tide went out."), Text("b", "The tide came in."), Text("c", "The tide stood still.")),
    prompt=PROMPT,
    sampling=Sampling(trials=5),
    batch=Batch(),
    tracking=Tracking(),
    ledger_url="sqlite://",
)
TRIALS = 30
ENGLISH = "The keeper climbed the stair of the lighthouse, and the sea was quiet below. "
JAPANESE = "停留所のベンチに、赤い子ども用の傘が忘れられていた。老人はバスを三台やり過ごした。"


def nothing(_keys: Sequence[str]) -> set[str]:
    return set()


def estimated(*experiments: Experiment) -> Estimate:
    return estimate([TrialPlan(experiment) for experiment in experiments], nothing)


# ---- counting -------------------------------------------------------------------------------------------------------


def test_every_trial_is_paid_collapsed_or_to_buy() -> None:
    """What the ledger has and what repeats an earlier request are taken off, and the three make up all trials."""
    paid = {trial.key for trial in TrialPlan(WHOLE).trials() if trial.text.name == "a"}
    found = estimate([TrialPlan(WHOLE), TrialPlan(WHOLE)], lambda keys: paid & {*keys})
    total = found.total
    assert (total.trials, total.cells, found.jobs) == (2 * TRIALS, 4, 2)
    assert (total.paid, total.collapsed, total.requests) == (10, TRIALS, TRIALS - 10)


def test_what_open_batches_hold_is_not_bought_again() -> None:
    """A request that a batch still holds is neither paid nor to buy, costs nothing, and is told apart."""
    waiting = {trial.key for trial in TrialPlan(WHOLE).trials() if trial.text.name == "b"}
    paid = {trial.key for trial in TrialPlan(WHOLE).trials() if trial.text.name == "a"}
    found = estimate([TrialPlan(WHOLE)], lambda keys: paid & {*keys}, waiting)
    total = found.total
    assert (total.trials, total.paid, total.waiting, total.requests) == (TRIALS, 10, 10, 10)
    assert 0 < (total.live_usd or 0) < (estimated(WHOLE).live_usd or 0) / 2
    assert "10 in batches that still run" in " ".join(shown(found).split())


def test_temperatures_that_are_dropped_collapse() -> None:
    """A model without a temperature is asked once for a sweep of them, and what was dropped is said."""
    jobs = [replace(WHOLE, models=(REASONER,), sampling=Sampling(temperature=t, trials=5)) for t in (0.0, 0.5, 1.0)]
    found = estimated(*jobs)
    assert (found.total.requests, found.total.collapsed) == (TRIALS, 2 * TRIALS)
    dropped = [(item.model, item.parameter, item.trials) for item in found.droppings]
    assert dropped == [("r", "temperature", 3 * TRIALS)]
    assert "takes no temperature" in found.droppings[0].reason


def test_a_name_with_two_ids_has_two_lines() -> None:
    """A sweep over one file's id is priced by each id."""
    found = estimated(WHOLE, replace(WHOLE, models=(replace(MODEL, id="gpt-4o"),)))
    assert [(line.model, line.model_id) for line in found.lines] == [("m", "gpt-4o-mini"), ("m", "gpt-4o")]


def test_nothing_to_buy_costs_nothing() -> None:
    """With every answer in the ledger an unknown price is no obstacle: the price is zero."""
    unpriced = replace(WHOLE, models=(replace(MODEL, prices=Prices()),))
    found = estimate([TrialPlan(unpriced)], set)
    assert (found.live_usd, found.batch_usd, found.live_s, found.unpriced) == (0, 0, 0, ())


def test_many_trials_are_never_held_together() -> None:
    """Ten thousand trials of a hundred long texts need the memory of their keys, not of their texts."""
    texts = tuple(Text(f"t{number}", f"{number} {ENGLISH * 100}") for number in range(100))
    plan = TrialPlan(replace(WHOLE, texts=texts, sampling=Sampling(trials=50)))
    estimate([plan], nothing)
    tracemalloc.start()
    found = estimate([plan], nothing)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.total.requests == 10_000
    assert most < 2_400_000  # a list of the trials alone takes 2.5 MB more


# ---- tokens ---------------------------------------------------------------------------------------------------------


def test_tokens_are_of_what_is_sent() -> None:
    """Input is messages, their overhead and the schema; output a reply whose reasons are as long as allowed."""
    line = estimated(replace(WHOLE, personas=WHOLE.personas[:1], texts=WHOLE.texts[:1], sampling=Sampling())).lines[0]
    count = tokens.counter("o200k_base")
    bare = count("You are a poet.") + count("The tide went out.")
    assert bare + 2 * subject.OVERHEAD < line.input_tokens < bare + 300
    reason = line.output_tokens * 4.8
    assert 400 < reason < 700


@dataclass(frozen=True)
class Bound:
    """A model and prompt, and the output that is expected of one reply."""

    id: str
    model: Model
    reason_max_chars: int
    max_tokens: int
    expected: tuple[int, int]


BOUNDS = (
    Bound("a longer reason is more output", MODEL, 4_000, 5_000, (600, 1_200)),
    Bound("max_tokens is the end", MODEL, 4_000, 100, (100, 100)),
    Bound("a model that reasons may use all of max_tokens", REASONER, 40, 900, (900, 900)),
)


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: bound.id)
def test_output(bound: Bound) -> None:
    """Output follows the reply's schema, up to max_tokens, which is what a model that reasons is counted with."""
    prompt = replace(PROMPT, reason_max_chars=bound.reason_max_chars)
    sampling = Sampling(max_tokens=bound.max_tokens)
    one = replace(WHOLE, personas=WHOLE.personas[:1], texts=WHOLE.texts[:1], prompt=prompt, sampling=sampling)
    low, high = bound.expected
    assert low <= estimated(replace(one, models=(bound.model,))).lines[0].output_tokens <= high


@dataclass(frozen=True)
class Thinking:
    """What a model's file says, and whether hidden reasoning is counted with."""

    id: str
    model: Model
    expected: bool


THINKING = (
    Thinking("plain", MODEL, expected=False),
    Thinking("a fixed temperature", REASONER, expected=True),
    Thinking("asked for", replace(MODEL, extra={"reasoning_effort": "low"}), expected=True),
    Thinking("switched off", replace(REASONER, extra={"thinking": {"type": "disabled"}}), expected=False),
    Thinking("able to, unasked", replace(MODEL, provider="gemini", id="gemini-2.5-pro"), expected=True),
    Thinking("Claude, unasked", replace(MODEL, provider="anthropic", id="claude-haiku-4-5"), expected=False),
)


@pytest.mark.parametrize("case", THINKING, ids=lambda case: case.id)
def test_who_may_reason(case: Thinking) -> None:
    """The file's word goes before LiteLLM's map, and Claude reasons only when asked."""
    assert subject.may_reason(case.model) is case.expected


@dataclass(frozen=True)
class Tokenizer:
    """A model and the tokenizer that counts for it."""

    provider: str
    model_id: str
    expected: str


TOKENIZERS = (
    Tokenizer("openai", "gpt-4o-mini", "o200k_base"),
    Tokenizer("openai", "gpt-4-turbo", "cl100k_base"),
    Tokenizer("openai", "a-model-of-next-year", "o200k_base"),
    Tokenizer("anthropic", "claude-haiku-5-5", "anthropic"),
    Tokenizer("gemini", "gemini-2.5-pro", "cl100k_base"),
)


@pytest.mark.parametrize("case", TOKENIZERS, ids=lambda case: case.model_id)
def test_tokenizers(case: Tokenizer) -> None:
    """Each provider's models are counted with the nearest tokenizer that LiteLLM ships, all without a network."""
    assert tokens.tokenizer_of(replace(MODEL, provider=case.provider, id=case.model_id)) == case.expected


@pytest.mark.parametrize("text", [ENGLISH * 20, JAPANESE * 20, ENGLISH + JAPANESE], ids=["English", "Japanese", "both"])
@pytest.mark.parametrize("name", sorted(tokens.FILES))
def test_the_rule_of_thumb_is_near_the_tokenizers(name: str, text: str) -> None:
    """Where no tokenizer is at hand the count is within a third of theirs, for Latin letters and for Japanese."""
    assert tokens.counter(name) is not tokens.by_rule
    assert tokens.by_rule(text) == pytest.approx(tokens.counter(name)(text), rel=1 / 3)


@pytest.mark.parametrize("name", [*sorted(tokens.FILES), tokens.RULE])
def test_any_text_can_be_counted(name: str) -> None:
    """Half a surrogate pair, control characters and a very long run without spaces are counted like any text."""
    assert tokens.counter(name)("") == 0
    assert tokens.counter(name)("\ud800 \x00") > 0
    assert tokens.counter(name)("x" * 100_000) > 1_000


# ---- dollars and seconds --------------------------------------------------------------------------------------------


def test_dollars_are_tokens_times_prices() -> None:
    """Live dollars are the line's tokens at its prices, and a batch of OpenAI's costs half."""
    found = estimated(WHOLE)
    line = found.lines[0]
    live = (line.input_tokens * 1.0 + line.output_tokens * 10.0) / 1e6
    assert found.live_usd == pytest.approx(live)
    assert found.batch_usd == pytest.approx(live / 2)


def test_long_requests_are_priced_one_by_one() -> None:
    """A tier holds for each request by its own length, not for all of a model's tokens together; so in a batch."""
    long = Text("long", "The tide went out. " * 200)
    tiers = (PriceTier(above_tokens=500, input_usd_per_mtok=3.0, output_usd_per_mtok=30.0),)
    model = replace(MODEL, prices=replace(MODEL.prices, tiers=tiers, request_usd=0.01))
    one = replace(WHOLE, models=(model,), texts=(*WHOLE.texts, long))
    flat, whole = estimated(replace(one, models=(MODEL,), texts=(long,))), estimated(one)
    short = estimated(replace(WHOLE, models=(MODEL,)))
    fees = 0.01 * (TRIALS + 10)
    assert whole.live_usd == pytest.approx((short.live_usd or 0) + 3 * (flat.live_usd or 0) + fees)
    assert whole.batch_usd == pytest.approx(((short.live_usd or 0) + 3 * (flat.live_usd or 0)) / 2 + fees)


@dataclass(frozen=True)
class Price:
    """A model's batch API and prices, and what is known of its price."""

    id: str
    batch: str | None
    prices: Prices
    live: bool
    share: float | None


PRICED = Prices(input_usd_per_mtok=1.0, output_usd_per_mtok=2.0)
PRICES = (
    Price("half", "groq", PRICED, live=True, share=0.5),
    Price("no batch API: sent live", None, PRICED, live=True, share=1.0),
    Price("a batch API without one discount", "kluster", PRICED, live=True, share=None),
    Price("a share that its file states", "kluster", replace(PRICED, batch_share=0.4), live=True, share=0.4),
    Price("no price", "groq", Prices(input_usd_per_mtok=1.0), live=False, share=None),
    Price("free is a price", "groq", Prices(0.0, 0.0), live=True, share=0.5),
)


@pytest.mark.parametrize("price", PRICES, ids=lambda price: price.id)
def test_what_is_unknown_is_none(price: Price) -> None:
    """A price or discount that nobody states makes the whole sum unknown, and the model is named."""
    model = replace(
        MODEL, name="x", provider="groq", id="of-my-own", capability=Capability(batch=price.batch), prices=price.prices
    )
    found = estimated(replace(WHOLE, models=(MODEL, model)))
    assert (found.live_usd is not None) is price.live
    assert (found.batch_usd is not None) is (price.share is not None)
    assert found.unpriced == (() if price.live else ("x",))
    line = found.lines[1]
    if line.live_usd is not None and price.share is not None:
        assert line.batch_usd == pytest.approx(line.live_usd * price.share)


@dataclass(frozen=True)
class Pace:
    """A model's limits, and how long 100 requests of 60 tokens to and fro take at one second and 60 tokens a second."""

    id: str
    model: Model
    expected: float


PACES = (
    Pace("one at a time", replace(MODEL, limits=Limits(concurrency=1)), 200),
    Pace("ten at a time", replace(MODEL, limits=Limits(concurrency=10)), 20),
    Pace("no more at a time than there are", replace(MODEL, limits=Limits(concurrency=1_000)), 2),
    Pace("requests a minute", replace(MODEL, limits=Limits(concurrency=1_000, requests_per_minute=60)), 100),
    Pace("tokens a minute", replace(MODEL, limits=Limits(concurrency=1_000, tokens_per_minute=1_200)), 600),
    Pace("embedded: one machine", replace(MODEL, provider="embedded", limits=Limits(concurrency=4)), 170),
)


@pytest.mark.parametrize("case", PACES, ids=lambda case: case.id)
def test_seconds(case: Pace) -> None:
    """Time is the requests' own, by how many are out at once; the embedded model's share one machine."""
    assert subject.seconds(case.model, 100, 6_000, 6_000) == pytest.approx(case.expected)


def test_models_answer_side_by_side() -> None:
    """The launch takes as long as its slowest model."""
    slow = replace(MODEL, name="slow", id="gpt-4o", limits=Limits(concurrency=1))
    found = estimated(replace(WHOLE, models=(MODEL, slow)))
    assert found.live_s == max(line.live_s for line in found.lines) == found.lines[1].live_s


# ---- the terminal ---------------------------------------------------------------------------------------------------


def shown(found: Estimate) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(render_estimate(found))
    return capture.get()


def test_the_table_says_what_and_how_much() -> None:
    """Eighty columns hold every model, what is dropped with the reason, what is unknown, and what is assumed."""
    unpriced = replace(MODEL, name="dear", id="of-my-own", prices=Prices())
    text = shown(estimated(replace(WHOLE, models=(MODEL, REASONER, unpriced))))
    assert max(map(len, text.splitlines())) <= 80
    for part in ("dear", "?", "takes no temperature", "No price is known of dear", "max_tokens", "Nothing was sent"):
        assert part in text, text
    assert "Assumed:" in text


def test_an_estimate_imports_no_litellm() -> None:
    """LiteLLM takes seconds to import; its files are read without it."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_estimate as t; found = t.estimated(t.WHOLE);"
        "assert found.lines[0].tokenizer == 'o200k_base';"
        "heavy = {'litellm', 'mlflow', 'pandas', 'aiohttp', 'sqlalchemy'} & {*sys.modules}; assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent)], check=True, timeout=60)
