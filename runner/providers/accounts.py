"""Whose account a model's batches are sent from: address, key, and a name for both."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from runner.errors import FatalError
from runner.providers.batch.table import account_for, service_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.providers.batch.api import Account
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
