"""What a launch would buy: how many requests, tokens, dollars and seconds. Sends nothing.

Counted exactly: trials, what the ledger has, what collapses onto an earlier trial, what is dropped and why. Estimated,
so that it errs high rather than low:

    input    the messages by `tokens`, OVERHEAD for each message, and the JSON schema or tool that goes with them
    output   a reply as long as its schema allows (every reason at reason_max_chars), at most max_tokens; max_tokens
             itself for a model that reasons, whose hidden tokens are billed as output too
    dollars  live prices times tokens, nothing cached, request by request, since long ones cost more a token; a batch
             at its share of them, as pricing.price_of has it
    seconds  PACE a request, as many at once as limits.concurrency lets through, within the minute's limits of the
             model's file; limits that only the provider knows are not foreseen

Trials are looked at one at a time, and a text's tokens are counted once: 100,000 trials take seconds, and memory for
their keys only.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from runner.config import catalog
from runner.config.pricing import price_of
from runner.plan import tokens
from runner.plan.reply_format import value_key, written
from runner.records import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from runner.plan.job import TrialPlan
    from runner.records import Adapted, Experiment, Json, Model, PromptTemplate, Question, Route, Trial

    Lookup = Callable[[Sequence[str]], set[str]]

MINUTE_S = 60.0
OVERHEAD = 4
"""Tokens that a provider adds to each message for its role; OpenAI's count of its own models gives 3 or 4."""
BATCH_WINDOW_H = 24
"""Hours in which batch APIs promise an answer; mostly it takes less than one."""
ASKED = 1_000
"""Trials whose keys are looked up together."""
SENTENCES = {
    "en": "The quiet of the last scene stays with me, because nobody says what they have lost. ",
    "ja": "最後の場面の静けさが心に残るのは、失ったものを誰も口にしないからだと思う。",
}
"""What reasons are made of where their tokens are counted; English for a language that is not here."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a model answers one request: assumed, not measured."""

    start_s: float
    """Seconds before the first token."""
    tokens_per_s: float


PACE = Pace(start_s=1.0, tokens_per_s=60.0)
EMBEDDED_PACE = Pace(start_s=0.5, tokens_per_s=50.0)
"""Two cores, which requests share: more of them at once are no faster."""


@dataclass(frozen=True, slots=True)
class Dropping:
    """A parameter that trials of one model are sent without, or with another value."""

    model: str
    parameter: str
    reason: str
    trials: int


@dataclass(slots=True)
class Line:
    """What one model (its name in conf) is asked. Token counts and everything after them are of `requests` only."""

    model: str
    model_id: str
    tokenizer: str
    reasons: bool
    """Whether its output is counted at max_tokens, because it may reason."""
    batch_api: str | None
    cells: int = 0
    trials: int = 0
    paid: int = 0
    """Answered by the ledger."""
    collapsed: int = 0
    """Trials whose request is the same as an earlier trial's, of whatever job or model."""
    waiting: int = 0
    """Asked already, by a batch that still runs."""
    requests: int = 0
    """What is left to buy."""
    again: int = 0
    """Most further requests that `ask_again` may add, if no reply can be read. In no other figure but `again_usd`."""
    input_tokens: int = 0
    output_tokens: int = 0
    live_usd: float | None = 0.0
    """None where the price is unknown."""
    batch_usd: float | None = 0.0
    """With everything that has a batch API sent by it; what has none costs its live price."""
    again_usd: float | None = 0.0
    """What those would cost, live."""
    live_s: float = 0.0


_COUNTS = ("cells", "trials", "paid", "collapsed", "waiting", "requests", "again", "input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one launch would buy."""

    jobs: int
    lines: tuple[Line, ...]
    droppings: tuple[Dropping, ...]
    live: tuple[str, ...] = ()
    """Models that go live although batches are asked for."""

    @property
    def live_usd(self) -> float | None:
        """US dollars at live prices; None where a model with something to buy has no known price."""
        return _sum(line.live_usd for line in self.lines)

    @property
    def batch_usd(self) -> float | None:
        """US dollars with `batch=native`; None where a price or a batch API's discount is unknown."""
        return _sum(line.batch_usd for line in self.lines)

    @property
    def worst_usd(self) -> float | None:
        """US dollars at live prices where every reply is asked again as often as may be; None as for `live_usd`."""
        return _sum((self.live_usd, *(line.again_usd for line in self.lines)))

    @property
    def live_s(self) -> float:
        """Seconds at the assumed pace. Models answer side by side, so the slowest decides."""
        return max((line.live_s for line in self.lines), default=0.0)

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Models that would be bought from at an unknown price."""
        return tuple(line.model for line in self.lines if line.live_usd is None)

    @property
    def total(self) -> Line:
        """All lines as one."""

        def whole(name: str) -> int:
            return sum(getattr(line, name) for line in self.lines)

        return Line(
            model="all",
            model_id="",
            tokenizer="",
            reasons=any(line.reasons for line in self.lines),
            batch_api=next((line.batch_api for line in self.lines if line.batch_api), None),
            live_usd=self.live_usd,
            batch_usd=self.batch_usd,
            again_usd=_sum(line.again_usd for line in self.lines),
            live_s=self.live_s,
            **{name: whole(name) for name in _COUNTS},
        )


def estimate(
    plans: Sequence[TrialPlan],
    lookup: Lookup,
    waiting: Container[str] = (),
    left: Callable[[TrialPlan, Sequence[Trial]], list[int]] | None = None,
) -> Estimate:
    """Estimate a launch. `lookup` gives those of some keys that are paid, as Ledger.lookup does.

    `waiting` are keys that open batches hold, as Book.open_keys has them. `left` tells of trials that are paid how
    often each may be asked again.
    """
    book = _Ledgered(waiting, left or _never_again)
    for plan in plans:
        for model in plan.experiment.models:
            _price_model(book, plan, model, lookup)
    droppings = (Dropping(*what, count) for what, count in book.dropped.items())
    live = sent_live(plan.experiment for plan in plans)
    return Estimate(len(plans), tuple(book.lines.values()), tuple(droppings), live)


def _never_again(_: TrialPlan, trials: Sequence[Trial]) -> list[int]:
    return [0] * len(trials)


def sent_live(experiments: Iterable[Experiment]) -> tuple[str, ...]:
    """Models without a batch API in experiments that ask for batches."""
    native = (experiment for experiment in experiments if experiment.batch.mode == "native")
    models = (model for experiment in native for model in experiment.models if model.capability.batch is None)
    return tuple(dict.fromkeys(model.name for model in models))


def batch_settings_overruled(experiments: Iterable[Experiment]) -> tuple[str, ...]:
    """Settings such as batch.size=12 of a launch's first job that hold for jobs which state others.

    All jobs share their batches. What a model's file implies is not stated, and so not said.
    """
    stated = [asdict(experiment.batch) for experiment in experiments]
    first = stated[0] if stated else {}
    differ = [name for name in first if any(other[name] != first[name] for other in stated[1:])]
    # Those in seconds follow from where a job's models answer.
    return tuple(f"batch.{name}={str(first[name]).lower()}" for name in differ if not name.endswith("_s"))


# ---- counting -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Ledgered:
    """What is known after the trials so far."""

    waiting: Container[str]
    left: Callable[[TrialPlan, Sequence[Trial]], list[int]]
    lines: dict[tuple[str, str, str], Line] = field(default_factory=dict)
    """By name, provider and id: a sweep may give one name several ids."""
    dropped: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    seen: set[bytes] = field(default_factory=set)
    counted: dict[tuple[str, int, int], int] = field(default_factory=dict)
    """Tokenizer, hash and length of a string -> its tokens. Hashes, so that no string is kept."""

    def line(self, model: Model) -> Line:
        place = (model.name, model.provider, model.id)
        if place not in self.lines:
            tokenizer = tokens.tokenizer_of(model)
            self.lines[place] = Line(model.name, model.id, tokenizer, may_reason(model), model.capability.batch)
        return self.lines[place]

    def tokens(self, tokenizer: str, text: str) -> int:
        place = (tokenizer, hash(text), len(text))
        if place not in self.counted:
            self.counted[place] = tokens.counter(tokenizer)(text)
        return self.counted[place]


def _price_model(book: _Ledgered, plan: TrialPlan, model: Model, lookup: Lookup) -> None:
    """Add one model of one job to its line."""
    line = book.line(model)
    line.cells += len(plan.experiment.personas) * len(plan.experiment.prompts)
    longest: dict[tuple[Json, str | None], int] = {}
    asked: Counter[tuple[int, int]] = Counter()
    again: Counter[tuple[int, int]] = Counter()
    last: tuple[Adapted, int] | None = None
    for trial, further in _missing(book, line, plan, model, lookup):
        # Repetitions follow one another and share what is sent.
        if last is None or trial.adapted is not last[0]:
            last = (trial.adapted, _input_tokens(book, line.tokenizer, trial.adapted))
        most = trial.cell.sampling.max_tokens
        asked_of = trial.cell.prompt, trial.question
        if asked_of not in longest:
            prompt = plan.experiment.prompt_named(trial.cell.prompt)
            longest[asked_of] = book.tokens(line.tokenizer, longest_reply(prompt, trial.question))
        size = (last[1], most if line.reasons else min(longest[asked_of], most))
        if further is None:
            asked[size] += 1
        else:
            again[size] += further
    requests = asked.total()
    input_tokens = sum(into * times for (into, _), times in asked.items())
    output_tokens = sum(out * times for (_, out), times in asked.items())
    line.again += again.total()
    for (into, out), times in again.items():
        line.again_usd = _sum((line.again_usd, _times(price_of(Tokens(into, out), model, "live"), times)))
    line.requests += requests
    line.input_tokens += input_tokens
    line.output_tokens += output_tokens
    line.live_s += seconds(model, requests, input_tokens, output_tokens)
    _pay(line, model, asked)


def _missing(
    book: _Ledgered, line: Line, plan: TrialPlan, model: Model, lookup: Lookup
) -> Iterator[tuple[Trial, int | None]]:
    """Those trials that would be bought, with None, and those that may be asked again, with how often. All counted."""
    asking, trials = plan.experiment.ask_again, plan.trials(model)
    while chunk := list(islice(trials, ASKED)):
        line.trials += len(chunk)
        first = []
        for trial in chunk:
            for item in trial.adapted.dropped:
                book.dropped[line.model, item.parameter, item.reason] += 1
            place = bytes.fromhex(trial.key)
            if place in book.seen:
                line.collapsed += 1
            else:
                book.seen.add(place)
                first.append(trial)
        paid = plan.answered([trial.key for trial in first], lookup) if first else set()
        line.paid += len(paid)
        for trial in (trial for trial in first if trial.key not in paid):
            if trial.key in book.waiting:
                line.waiting += 1
            else:
                yield trial, None
            if asking.is_on:
                yield trial, asking.unscorable + asking.named(trial.key)
        if asking.is_on and paid:
            there = [trial for trial in first if trial.key in paid]
            yield from zip(there, book.left(plan, there), strict=True)


def _input_tokens(book: _Ledgered, tokenizer: str, adapted: Adapted) -> int:
    request = adapted.request
    shape = [request.params[name] for name in ("response_format", "tools") if name in request.params]
    texts = [message["content"] for message in request.messages]
    if shape:
        texts.append(json.dumps(shape, ensure_ascii=False))
    return sum(book.tokens(tokenizer, text) for text in texts) + OVERHEAD * len(request.messages)


def highest_price(trial: Trial, route: Route) -> float | None:
    """US dollars of an answer that does not say what it used: its input as counted here, its output at the longest."""
    book = _Ledgered((), _never_again)
    into = _input_tokens(book, tokens.tokenizer_of(trial.cell.model), trial.adapted)
    return price_of(Tokens(into, trial.cell.sampling.max_tokens), trial.cell.model, route)


def longest_reply(prompt: PromptTemplate, question: str | None = None) -> str:
    """A reply with every answer and every reason at its longest, in the prompt's language; or that to one question."""
    reason = _sentences(prompt.language, prompt.reason_max_chars)
    asked = [item for item in prompt.questions if question in (None, item.name)]
    reasoned = {item.name: prompt.reasons != "none" and item.has_reason for item in asked}
    values = {item.name: _longest(item, prompt.language) for item in asked}
    if prompt.reply == "labelled":
        lines = (
            f"Q1. {item.label}(value): {written(values[item.name], item)}"
            + f"\nQ1. {item.label}(reason): {reason}" * reasoned[item.name]
            for item in asked
        )
        return "\n".join(lines)
    whole = {
        item.name: {value_key(item): values[item.name]} | ({"reason": reason} if reasoned[item.name] else {})
        for item in asked
    }
    return json.dumps(whole, ensure_ascii=False)


def _sentences(language: str, chars: int) -> str:
    sentence = SENTENCES.get(language, SENTENCES["en"])
    return (sentence * (chars // len(sentence) + 1))[:chars]


def _longest(question: Question, language: str) -> Json:
    """The longest answer to a question, or about that."""
    names = [option.name for option in question.options]
    match question.kind:
        case "choice" | "yes_no":
            return max(names, key=len)
        case "choices" | "rank":
            return names
        case "distribution":
            return dict.fromkeys(names, 1 / 3)
        case "text":
            return _sentences(language, question.max_chars)
        case _:
            return 100


def may_reason(model: Model) -> bool:
    """Whether hidden reasoning is to be expected in a model's output.

    True where its file asks for it in `extra`, or says that the API fixes the temperature or bounds the whole
    completion, as providers do for models that reason; else where LiteLLM's map says that it can, but for Anthropic's,
    which reason only when asked.
    """
    thinking = model.extra.get("thinking")
    if isinstance(thinking, dict) and "type" in thinking:
        return bool(thinking["type"] != "disabled")
    if "reasoning_effort" in model.extra:
        return bool(model.extra["reasoning_effort"] != "none")
    able = model.capability
    if able.temperature != "free" or able.max_tokens == "max_completion_tokens":
        return True
    entry = catalog.lookup(model.provider, model.id)
    return model.provider != "anthropic" and entry is not None and entry.supports_reasoning is True


# ---- dollars and seconds --------------------------------------------------------------------------------------------


def _pay(line: Line, model: Model, asked: Mapping[tuple[int, int], int]) -> None:
    """Add what requests cost; `asked` counts them by their input and output tokens, since a long one costs more."""
    for (input_tokens, output_tokens), times in asked.items():
        counts = Tokens(input_tokens, output_tokens)
        line.live_usd = _sum((line.live_usd, _times(price_of(counts, model, "live"), times)))
        line.batch_usd = _sum((line.batch_usd, _times(price_of(counts, model, "batch"), times)))


def _times(usd: float | None, times: int) -> float | None:
    return None if usd is None else usd * times


def seconds(model: Model, requests: int, input_tokens: int, output_tokens: int) -> float:
    """Seconds that a model's requests take at the assumed pace, within its limits."""
    pace, abreast = (EMBEDDED_PACE, 1) if model.provider == "embedded" else (PACE, model.limits.concurrency)
    one_by_one = requests * pace.start_s + output_tokens / pace.tokens_per_s
    limits = model.limits
    by_requests = MINUTE_S * requests / limits.requests_per_minute if limits.requests_per_minute else 0.0
    tokens = input_tokens + output_tokens
    by_tokens = MINUTE_S * tokens / limits.tokens_per_minute if limits.tokens_per_minute else 0.0
    return max(one_by_one / max(1, min(abreast, requests)), by_requests, by_tokens)


def _sum(parts: Iterable[float | None]) -> float | None:
    """None as soon as one part is unknown."""
    known = list(parts)
    return None if None in known else sum(part for part in known if part is not None)
