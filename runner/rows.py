"""Trial and answer -> row: the reply decoded, read as scores, and priced. Nothing here sends or stores anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner import catalog, score
from runner.codec import codec_for
from runner.errors import ProviderError
from runner.records import Failure, Problem, Reply, Row, Scored, Unscorable

if TYPE_CHECKING:
    from runner.codec import Codec, Fallback
    from runner.records import Answer, Model, PromptTemplate, Reading, Route, Rung, Source, Tokens, Trial

TOKENS_A_PRICE = 1_000_000
"""Prices are per million tokens."""
NO_REPLY = Reply(text=None, finish=None)
"""Of a trial that failed."""


@dataclass(slots=True)
class Decoders:
    """A decoder for each model, made when it is first needed: decoding takes the provider's format alone."""

    made: dict[tuple[str, str, str], Codec | Fallback] = field(default_factory=dict)

    def decode(self, model: Model, raw: bytes, rung: Rung) -> Reply:
        """A reply's body, read. ProviderError where it is no reply of this provider."""
        format_of = (model.name, model.provider, model.id)
        if format_of not in self.made:
            self.made[format_of] = codec_for(model, None)
        return self.made[format_of].decode(raw, rung)

    def price(self, trial: Trial, answer: Answer) -> float | None:
        """US dollars of an answer; None where the price is unknown or the reply cannot be read."""
        try:
            reply = self.decode(trial.cell.model, answer.raw, trial.adapted.rung)
        except ProviderError:
            return None
        return price_of(reply.tokens, trial.cell.model, answer.route)


@dataclass(slots=True)
class Reader:
    """Makes the rows of one job."""

    run: str
    job: int
    prompt: PromptTemplate
    decoders: Decoders = field(default_factory=Decoders)

    def row(self, trial: Trial, answer: Answer, source: Source) -> Row:
        """The row of a trial that has an answer."""
        reply, reading = self._read(trial, answer)
        problem = None if isinstance(reading, Scored) else reading.problem
        return self._row(
            trial,
            reply,
            route=answer.route,
            outcome="scored" if problem is None else "unscorable",
            scores=reading.scores,
            reasons=reading.reasons,
            problem=problem,
            attempts=answer.attempts,
            latency_s=answer.latency_s,
            price_usd=price_of(reply.tokens, trial.cell.model, answer.route),
            saved_usd=saving_of(reply.tokens, trial.cell.model, answer.route),
            time=answer.time,
            source=source,
        )

    def failed(self, trial: Trial, failure: Failure) -> Row:
        """The row of a trial that has none."""
        return self._row(
            trial,
            NO_REPLY,
            route="live",
            outcome="failed",
            scores=self._nothing,
            reasons=self._nothing,
            problem=failure.problem,
            attempts=failure.attempts,
            latency_s=None,
            price_usd=None,
            saved_usd=None,
            time=None,
            source=None,
        )

    def _read(self, trial: Trial, answer: Answer) -> tuple[Reply, Reading]:
        try:
            reply = self.decoders.decode(trial.cell.model, answer.raw, trial.adapted.rung)
        except ProviderError as error:
            reply = Reply(text=answer.raw.decode("utf-8", "replace"), finish=None)
            return reply, Unscorable(Problem(error.kind, str(error)), self._nothing, self._nothing)
        return reply, score.read(reply, self.prompt.questions, self.prompt.reply)

    @property
    def _nothing(self) -> dict[str, None]:
        """No score, or no reason, for any question."""
        return {question.name: None for question in self.prompt.questions}

    def _row(self, trial: Trial, reply: Reply, **ended: Any) -> Row:
        """What a row says of its trial and reply, with what `ended` says of how it came to that."""
        model, adapted = trial.cell.model, trial.adapted
        return Row(
            run=self.run,
            job=self.job,
            cell=trial.cell.name,
            key=trial.key,
            model=model.name,
            model_id=model.id,
            provider=model.provider,
            vendor=model.vendor,
            persona=trial.cell.persona.name,
            text=trial.text.name,
            repetition=trial.repetition,
            reply=reply.text,
            requested=adapted.requested,
            sent=adapted.sent,
            dropped=adapted.dropped,
            rung=adapted.rung,
            tokens=reply.tokens,
            model_version=reply.model_version,
            fingerprint=reply.fingerprint,
            **ended,
        )


def price_of(tokens: Tokens, model: Model, route: Route = "live") -> float | None:
    """US dollars of one reply; by batch at that share of the live prices. None where a count or a price is unknown.

    Cached input is charged at its own price where one is known, else as any input. Providers count cached tokens
    within the input and reasoning tokens within the output.
    """
    prices = model.prices
    if tokens.input is None or tokens.output is None:
        return None
    if prices.input_usd_per_mtok is None or prices.output_usd_per_mtok is None:
        return None
    cached = tokens.cached or 0 if prices.cached_usd_per_mtok is not None else 0
    share = (1.0, 1.0) if route == "live" else catalog.batch_share(model)
    if share is None:
        return None
    into = (tokens.input - cached) * prices.input_usd_per_mtok + cached * (prices.cached_usd_per_mtok or 0.0)
    return (into * share[0] + tokens.output * prices.output_usd_per_mtok * share[1]) / TOKENS_A_PRICE


def saving_of(tokens: Tokens, model: Model, route: Route) -> float | None:
    """US dollars that one reply would have cost more live; None where either price is unknown."""
    if route == "live":
        return 0.0
    live, batch = price_of(tokens, model), price_of(tokens, model, route)
    return None if live is None or batch is None else live - batch
