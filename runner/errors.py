"""Everything that this package raises on purpose, and what becomes of everything that goes wrong.

    what goes wrong         classified by                   shown by                     recorded in
    ----------------------  ------------------------------  ---------------------------  ----------------------------
    the user's input        config.load, .hydra_errors      cli.main: error:, try:       a sweep's job: its run.json
    a provider's error      providers.refusals              progress,     last lines     the row's problem (below)
    a 200 that is no reply  providers.received              as a provider's error        the row's problem
    attempts, a model's end dispatch.retry                  progress,     last lines     the row's attempts, problem
    a batch, its items      dispatch.batch.next_action      `runner status`              ledger: batches, items
    a reply without scores  score (Unscorable, not raised)  the tables' counts           the row's problem
    the ledger              ledger.database                 cli.main; the run ends       nowhere: nothing can be kept
    MLflow                  reporting.tracking.connection   a line: `runner track RUN`   nowhere: results are whole
    the budget, before      pipeline                        cli.main, try: runner plan   nowhere: nothing was sent
    the budget, reached     dispatch.purchase               the run's last lines         rows: not_sent
    an interruption         dispatch.purchase               the run's last lines         rows: not_sent; status KILLED
    a disk                  nobody: it is an OSError        cli.main                     the ledger keeps the answers

A row with a problem stands in results.jsonl and in errors.jsonl. A ProviderError never leaves dispatch as an exception:
it becomes the problem of its trial. All others go up to cli.main, which ends with their exit status:

RunnerError                    exit 1
├── ConfigError                exit 2   the user's input: file, key, what is wrong, what to type
├── BudgetError                exit 4   the estimate is above `budget.max_usd`
├── LedgerError                exit 1   the ledger cannot be read or written
├── TrackingError              exit 1   MLflow cannot be reached or refuses
└── ProviderError              exit 3   one request went wrong; becomes a Problem on its trial, never a crash
    ├── TransientError                  worth another attempt: rate limit, time-out, connection, 5xx
    └── FatalError                      another attempt cannot help: key refused, bad request, unknown model
"""

from __future__ import annotations

import shlex
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

Scope: TypeAlias = Literal["attempt", "item", "model", "account"]
"""How far an error reaches: this attempt alone, this trial, every request to this model, every model of this key."""

COMMAND_LINE = "command line"
"""What a ConfigError calls the place of what was typed."""
EDIT = "$EDITOR "
"""What advice to change a file begins with."""


class RunnerError(Exception):
    """An error with a message for the user and the next command to type.

    `advice` is one line that the command line prints below the message; None where there is nothing to type.
    """

    exit_status = 1

    def __init__(self, message: str, *, advice: str | None = None) -> None:
        super().__init__(message)
        self.advice = advice


class ConfigError(RunnerError):
    """The user's input is wrong. Says where (file and key) and what to type instead; raised before any request.

    `others` are keys of the same file that may be at fault in place of `key`, since they do not go together.
    """

    exit_status = 2

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        key: str | None = None,
        advice: str | None = None,
        others: tuple[str, ...] = (),
    ) -> None:
        place = ", ".join(part for part in (where, f"key '{key}'" if key else None) if part)
        super().__init__(f"{place}: {message}" if place else message, advice=advice)
        self.message = message
        self.where = where
        self.key = key
        self.others = others


class BudgetError(RunnerError):
    """The run would cost more than `budget.max_usd`."""

    exit_status = 4


class LedgerError(RunnerError):
    """The ledger cannot be opened, read or written.

    `patience_s` is for how many seconds what is in hand is held and tried again, since the reason may pass. `is_kept`
    says that answers which arrive are stored elsewhere, so that what is in flight may still come.
    """

    is_kept = False

    def __init__(self, message: str, *, advice: str | None = None, patience_s: float = 0.0) -> None:
        super().__init__(message, advice=advice)
        self.patience_s = patience_s


class TrackingError(RunnerError):
    """MLflow cannot be reached or refuses what was logged.

    `mend` is what to type before it is logged again; None where nothing is known, or nothing needs to be.
    """

    def __init__(self, message: str, *, advice: str | None = None, mend: str | None = None) -> None:
        super().__init__(message, advice=advice)
        self.mend = mend


class ProviderError(RunnerError):
    """One request failed. `kind` is the short, stable name that results and tables show.

    Kinds, by how far they reach (providers/refusals.py tells them apart):
    attempt   rate_limit, timeout, connection, server; malformed where a sample was unlucky
    item      refused, too_long, bad_text; malformed; reply_too_large
    model     not_found, bad_request, not_a_reply, redirected; quota where a model has one of its own
    account   quota (money or a long quota is gone), key_refused

    `advice` says what to do about it, `until` when the provider takes requests again, where it says so. `sample` is
    what the model wrote, where the provider refused its own model's text and gives it.
    """

    exit_status = 3
    scope: Scope = "model"

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        status: int | None = None,
        scope: Scope | None = None,
        advice: str | None = None,
        until: datetime | None = None,
        sample: str | None = None,
    ) -> None:
        super().__init__(message, advice=advice)
        self.sample = sample
        self.kind = kind
        self.status = status
        self.until = until
        if scope is not None:
            self.scope = scope

    @property
    def explained(self) -> str:
        """The message, with the time until which nothing goes and what to do about it."""
        said = str(self)
        if self.until is not None:
            said += f" [until {self.until:%Y-%m-%d %H:%M} UTC]"
        return f"{said} [{self.advice}]" if self.advice else said


class TransientError(ProviderError):
    """Another attempt may succeed. `retry_after_s` is what the provider asked us to wait, in seconds.

    `headers` are those of its answer, their names in lower case: they may tell what remains of a limit.
    `most_attempts` bounds the attempts at what seldom passes; after those it is a FatalError that reaches as far as
    `lasting`.
    """

    scope: Scope = "attempt"

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
        advice: str | None = None,
        sample: str | None = None,
        most_attempts: int | None = None,
        lasting: Scope = "model",
    ) -> None:
        super().__init__(kind, message, status=status, advice=advice, sample=sample)
        self.most_attempts = most_attempts
        self.lasting = lasting
        self.retry_after_s = retry_after_s
        self.headers = headers or {}

    def lasts(self) -> FatalError:
        """The same, once it has been tried often enough."""
        return FatalError(
            self.kind, str(self), status=self.status, scope=self.lasting, advice=self.advice, sample=self.sample
        )


class FatalError(ProviderError):
    """Another attempt cannot succeed."""


def close(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that `name` was mistyped for; None where none is near."""
    return next(iter(get_close_matches(name, sorted(valid), n=1, cutoff=0.6)), None)


def nearest(name: str, valid: Iterable[str]) -> str:
    """A did-you-mean sentence for `name`, or the list of valid names where none is near."""
    names = sorted(valid)
    if (meant := close(name, names)) is not None:
        return f"did you mean '{meant}'?"
    return f"valid names: {', '.join(names)}" if names else "nothing is defined here"


def pasted(path: Path | str) -> str:
    """A path as a shell takes it, and a command for a path: in quotes where it needs them, and never for an option."""
    word = str(path)
    return shlex.quote(f"./{word}" if word.startswith("-") else word)


def first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong, out of its groups: our own error where there is one."""
    found = [first_of(error) if isinstance(error, BaseExceptionGroup) else error for error in errors.exceptions]
    return next((error for error in found if isinstance(error, RunnerError)), found[0])
