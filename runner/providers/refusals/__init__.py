"""A provider's error, in whatever words: its kind, how far it reaches, whether to try again, until when, what to do.

An error is read in three steps: what the answer holds (`_read`: sentences, codes, quotas that are used up), which of
RULES fits it first, and, where none does, what its status says. A rule fits by a code that the provider gives or by
words in its sentence; which statuses it is asked about keeps words from meaning something else. What a provider
repeats of the request (flagged or rejected input) is never read: a text may say anything.

    kind         reaches   what it means
    malformed    attempt   the model wrote what its own provider could not parse: sampled again (MOST_SAMPLES)
    rate_limit   attempt   too many requests or tokens for the moment
    server       attempt   an error of the server's, or overload
    timeout      attempt   the server gave up waiting
    refused      item      a filter or a policy turned the text or the reply away
    too_long     item      the text does not fit the model's context, or the account's limit for one request
    bad_text     item      the API does not take this text: empty, or characters that it has no place for
    quota        account   no money, or a quota of a day or longer is used up; `model` where it is a model's own
    key_refused  account   the key is wrong; `model` where it may not do this: another model it may ask
    not_found    model     no such model at this address
    bad_request  model     the request's form: a parameter, a schema

tests/providers/corpus/refusals.yaml holds what providers document and what was recorded, with what must be read.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runner.errors import FatalError, ProviderError, TransientError
from runner.providers.refusals.answer import MAX_MESSAGE_CHARS, read_answer, short
from runner.providers.refusals.quotas import ONE_MODEL, googles_quota, until_of, wait_s_of
from runner.providers.refusals.rules import FATAL, LONG_QUOTA, RULES, TOO_LONG, TRANSIENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.errors import Scope
    from runner.providers.refusals.answer import Told
    from runner.providers.refusals.rules import Rule

MOST_SAMPLES = 5
"""Attempts at a text whose samples the provider itself cannot parse: each may be paid for."""

__all__ = ["MAX_MESSAGE_CHARS", "error_for", "error_of", "short"]


def error_of(status: int, headers: Mapping[str, str], body: bytes, *, now: datetime | None = None) -> ProviderError:
    """What an answer other than a reply means. The message is the provider's own, shortened. Never raises.

    `now` (UTC) is when it came, from which `until` is counted.
    """
    return _error(read_answer(status, headers, body), now or datetime.now(UTC))


def error_for(status: int, message: str, *, codes: frozenset[str] = frozenset()) -> ProviderError:
    """An error that did not come as an answer of its own, such as a batch item's: its status, sentence and codes."""
    body = {"error": {"message": message, "details": [{"reason": code} for code in sorted(codes)]}}
    return error_of(status, {}, json.dumps(body).encode())


def _error(told: Told, now: datetime) -> ProviderError:
    rule = _rule_of(told)
    wait_s = wait_s_of(told)
    if rule is None or rule.scope == "attempt":
        kind = rule.kind if rule is not None else TRANSIENT.get(told.status) or ("server" if told.status >= 500 else "")
        if kind:
            return TransientError(
                kind,
                told.message,
                status=told.status,
                retry_after_s=wait_s,
                headers=told.headers,
                sample=told.sample,
                most_attempts=MOST_SAMPLES if kind == "malformed" else None,
                lasting="item",
            )
    if rule is None:
        return _by_status(told)
    until = until_of(told, wait_s, now) if rule.kind == "quota" else None
    scope: Scope = "model" if rule is LONG_QUOTA and ONE_MODEL.search(told.words) else rule.scope
    return FatalError(rule.kind, told.message, status=told.status, scope=scope, advice=rule.advice, until=until)


def _rule_of(told: Told) -> Rule | None:
    """The rule that fits first, or None where only the status tells."""
    if told.status < 400:
        return None
    google = googles_quota(told)
    if google is not None:
        return google
    if told.codes & {"string_above_max_length"} and told.param.partition("[")[0] in ("messages", "input", "prompt"):
        return TOO_LONG
    if _asks_too_much(told.words):
        return None
    return next((rule for rule in RULES if rule.fits(told)), None)


def _by_status(told: Told) -> FatalError:
    kind, scope, advice = FATAL.get(told.status) or (
        "bad_request" if told.status >= 400 else "malformed",
        "model",
        None,
    )
    if kind == "malformed":
        scope = "item"
    if told.status in (404, 405) and not told.codes:
        advice = "check the model's api_base (is /v1 missing at its end?) and its id: runner models"
    return FatalError(kind, told.message, status=told.status, scope=scope, advice=advice)


_OVER = re.compile(r"too large: (\d+).*maximum (?:context|model) length (?:is|of) (\d+)")


def _asks_too_much(words: str) -> bool:
    """Whether `max_tokens` alone is more than the model's context holds, which no shorter text mends (vLLM's words)."""
    over = _OVER.search(words)
    return over is not None and int(over[1]) >= int(over[2])
