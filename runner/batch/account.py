"""Whose account a model's batches are sent from, and whether a batch in the book is that account's."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runner.errors import ConfigError, FatalError
from runner.providers.batch_table import account_for, service_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.batch.entry import Entry
    from runner.providers.batch_api import Account
    from runner.records import Model


def account_of(model: Model, environment: Mapping[str, str]) -> Account:
    """Address and key for a model's batches.

    FatalError (key_refused) where the key's variable is not set, ConfigError where the address is not known.
    """
    key = environment.get(model.key_env) if model.key_env is not None else None
    if model.key_env is not None and not key:
        raise FatalError("key_refused", f"{model.name}: the environment variable {model.key_env} is not set")
    return account_for(model, key)


def fingerprint(model: Model, account: Account) -> str:
    """A short name for the account, which does not give its key away."""
    key = account.api_key if service_of(model).key_is_account else None
    return hashlib.sha256(f"{account.base}\n{key or ''}".encode()).hexdigest()[:12]


def check_account(entry: Entry, mine: str, until: float) -> None:
    """ConfigError where a batch was sent from another account than `mine`, a fingerprint.

    `until` is when the batch is given up, whoever asks: seconds since 1970.
    """
    if entry.account == mine:
        return
    name = entry.model.key_env
    message = (
        f"batch {entry.id} holds these requests and belongs to another account: it was sent to {entry.base} by account "
        f"{entry.account}, and the key that is set now makes account {mine}. "
        f"Is that key gone for good, the same run buys them anew after {_day(until)}, when batch.grace is over"
    )
    advice = f"export {name}=... (the key it was sent with), or: runner status" if name else "runner status"
    raise ConfigError(message, where=f"model/{entry.model.name}.yaml", key="key_env", advice=advice)


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
