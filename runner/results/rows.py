"""Trial and answer -> row: the reply decoded, read as scores, and priced. Nothing here sends or stores anything."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner import score
from runner.config.pricing import price_of, saving_of
from runner.errors import ProviderError
from runner.plan import nuisance
from runner.providers import identity
from runner.providers.codec import Decoders
from runner.providers.embedded import served_name
from runner.records import REFUSED, Failure, Problem, Reply, Row, Scored, Unscorable
from runner.results import factors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Answer, Json, PromptTemplate, Question, Reading, Source, Trial

DAMAGED = "damaged"
"""Kind of a trial whose answer is in the ledger, and is no answer any more: it is neither read nor bought again."""
USUAL_LEDGER = "sqlite:///outputs/ledger.db"
"""The one that `runner ledger` looks at unless another is named."""


@dataclass(slots=True)
class Reader:
    """Makes the rows of one job."""

    run: str
    job: int
    prompts: tuple[PromptTemplate, ...]
    """Those of its experiment."""
    decoders: Decoders = field(default_factory=Decoders)
    no_replies: int = 0
    """Answers of the ledger that are no replies: an earlier version kept them, and this one would not."""
    ledger: str = USUAL_LEDGER
    """Where its answers are: a URL without a password."""
    factors: Mapping[str, Json] = field(default_factory=dict)
    """Those that all of the job's trials share; see results.factors."""
    _known: dict[tuple[int, int], dict[str, Json]] = field(default_factory=dict)
    """By the identity of persona and text: what the job's factors and their covariates are together."""

    def row(self, trial: Trial, answer: Answer, source: Source) -> Row:
        """The row of a trial that has an answer."""
        try:
            reply, reading = self._read(trial, answer)
        except UnicodeDecodeError as error:
            return self.failed(trial, damaged(trial.key, f"its reply is no text ({error.reason})", self.ledger))
        problem = None if isinstance(reading, Scored) else reading.problem
        billed: dict[str, Any] = {"stated_usd": reply.cost_usd, "billed_as": reply.billed_as}
        return self._row(
            trial,
            reply,
            route=answer.route,
            outcome="scored" if problem is None else "unscorable",
            scores=reading.scores,
            answers=reading.answers,
            reasons=reading.reasons,
            stated=reading.stated,
            problem=problem,
            attempts=answer.attempts,
            latency_s=answer.latency_s,
            price_usd=price_of(reply.tokens, trial.cell.model, answer.route, **billed),
            saved_usd=saving_of(reply.tokens, trial.cell.model, answer.route, **billed),
            time=answer.time,
            source=source,
            redacted=answer.redacted,
        )

    def failed(self, trial: Trial, failure: Failure) -> Row:
        """The row of a trial that has none. What a filter turned away was not billed."""
        refused = failure.problem.kind == REFUSED
        judged = refused or failure.reply is not None
        return self._row(
            trial,
            Reply(text=failure.reply, finish=None),
            route=failure.route,
            outcome="unscorable" if judged else "failed",
            **self._nothing(trial),
            problem=failure.problem,
            attempts=failure.attempts,
            latency_s=None,
            price_usd=0.0 if refused and failure.reply is None else None,
            saved_usd=0.0 if refused and failure.reply is None else None,
            time=failure.time,
            source=None,
        )

    def prompt_of(self, trial: Trial) -> PromptTemplate:
        """The prompt that a trial is asked with, its questions in the order in which it is asked them."""
        return nuisance.as_given(self._written(trial), trial.factors)

    def _written(self, trial: Trial) -> PromptTemplate:
        """The same as its file has it."""
        name = trial.cell.prompt
        return next((one for one in self.prompts if one.name == name), self.prompts[0])

    def _read(self, trial: Trial, answer: Answer) -> tuple[Reply, Reading]:
        try:
            reply = self.decoders.decode(trial.cell.model, answer.raw, trial.adapted.rung)
        except ProviderError as error:
            reply = Reply(text=answer.raw.decode("utf-8"), finish=None)
            self.no_replies += 1
            return reply, self._unread(trial, Problem(error.kind, str(error)))
        reading = self.read(trial, reply)
        if (refused := identity.refusal(trial.cell.model, reply.model_version)) is not None:
            # Bought before identity was strict: what it says is kept to be read, and counts for nothing.
            return reply, self._unread(trial, Problem(identity.OTHER_MODEL, refused))
        return reply, reading

    def read(self, trial: Trial, reply: Reply) -> Reading:
        """What a reply to a trial says."""
        prompt, written = self.prompt_of(trial), self._written(trial)
        asked = _alone(prompt.questions, trial.question)
        reading = score.read(reply, asked, prompt.reply, rescale=prompt.rescale)
        return reading if prompt is written else nuisance.as_written(reading, written.questions)

    def _nothing(self, trial: Trial) -> dict[str, Any]:
        """No score, no answer and no reason for any question that was asked, by the field of a row."""
        asked = _alone(self._written(trial).questions, trial.question)
        return {
            "scores": {question.name: None for question in asked if question.is_numeric},
            "answers": {question.name: None for question in asked if question.is_given},
            "reasons": {question.name: None for question in asked if question.has_reason},
        }

    def _unread(self, trial: Trial, problem: Problem) -> Unscorable:
        return Unscorable(problem, **self._nothing(trial))

    def _factors(self, trial: Trial) -> dict[str, Json]:
        """The trial's own, which say more than a setting of the job does, the job's, and what is known of its items."""
        persona, text = trial.cell.persona, trial.text
        known = self._known.get((id(persona), id(text)))
        if known is None:
            known = self._known[id(persona), id(text)] = factors.covariates(persona, text) | dict(self.factors)
        return {**trial.factors, **known, **trial.factors} if known else dict(trial.factors)

    def _row(self, trial: Trial, reply: Reply, **ended: Any) -> Row:
        """What a row says of its trial and reply, with what `ended` says of how it came to that."""
        model, adapted = trial.cell.model, trial.adapted
        version = None if reply.model_version is None else served_name(reply.model_version)
        return Row(
            run=self.run,
            job=self.job,
            cell=trial.cell.name,
            key=trial.key,
            model=model.name,
            model_id=served_name(model.id),
            provider=model.provider,
            vendor=model.vendor,
            persona=trial.cell.persona.name,
            text=trial.text.name,
            repetition=trial.repetition,
            question=trial.question,
            reply=reply.text,
            requested=adapted.requested,
            sent=adapted.sent,
            dropped=adapted.dropped,
            rung=adapted.rung,
            tokens=reply.tokens,
            model_version=version,
            fingerprint=reply.fingerprint,
            factors=self._factors(trial),
            served=None if identity.undeclared(model, reply.model_version) is None else version,
            **ended,
        )


def _alone(questions: tuple[Question, ...], question: str | None) -> tuple[Question, ...]:
    """The questions of a trial: all, or the one that has its request."""
    return questions if question is None else tuple(one for one in questions if one.name == question)


def damaged(key: str, why: str, ledger: str) -> Failure:
    """How a trial ends whose row in the ledger is damaged, with what to type to have it bought again."""
    elsewhere = "" if ledger == USUAL_LEDGER else f" --ledger {shlex.quote(ledger)}"
    forget = f"runner ledger forget {key} --yes{elsewhere}"
    message = f"the ledger's row {key} is damaged: {why}. To ask it again: {forget}"
    return Failure(key, Problem(DAMAGED, message), 0)
