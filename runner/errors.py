"""Everything that this package raises on purpose.

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

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class RunnerError(Exception):
    """An error with a message for the user and the next command to type.

    `advice` is one line that the command line prints below the message; None where there is nothing to type.
    """

    exit_status = 1

    def __init__(self, message: str, *, advice: str | None = None) -> None:
        super().__init__(message)
        self.advice = advice


class ConfigError(RunnerError):
    """The user's input is wrong. Says where (file and key) and what to type instead; raised before any request."""

    exit_status = 2

    def __init__(
        self, message: str, *, where: str | None = None, key: str | None = None, advice: str | None = None
    ) -> None:
        place = ", ".join(part for part in (where, f"key '{key}'" if key else None) if part)
        super().__init__(f"{place}: {message}" if place else message, advice=advice)
        self.where = where
        self.key = key


class BudgetError(RunnerError):
    """The run would cost more than `budget.max_usd`."""

    exit_status = 4


class LedgerError(RunnerError):
    """The ledger cannot be opened, read or written."""


class TrackingError(RunnerError):
    """MLflow cannot be reached or refuses what was logged."""


class ProviderError(RunnerError):
    """One request failed. `kind` is the short, stable name that results and tables show.

    Kinds: rate_limit, timeout, connection, server (transient); key_refused, quota, not_found, bad_request, redirected,
    not_a_reply, reply_too_large, malformed (fatal).
    """

    exit_status = 3

    def __init__(self, kind: str, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status


class TransientError(ProviderError):
    """Another attempt may succeed. `retry_after_s` is what the provider asked us to wait, in seconds.

    `headers` are those of its answer, their names in lower case: they may tell what remains of a limit.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(kind, message, status=status)
        self.retry_after_s = retry_after_s
        self.headers = headers or {}


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


def first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong, out of its groups: our own error where there is one."""
    found = [first_of(error) if isinstance(error, BaseExceptionGroup) else error for error in errors.exceptions]
    return next((error for error in found if isinstance(error, RunnerError)), found[0])
