"""Whose account a model's requests are sent from: its key, and for batches the address and a name for both."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from runner.errors import ConfigError, FatalError
from runner.providers.batch.table import account_for, service_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.providers.batch.api import Account
    from runner.records import Model


def api_key_of(model: Model, environment: Mapping[str, str] = os.environ) -> str | None:
    """The model's API key from the environment variable that its file names; None where it needs none.

    FatalError (key_refused) where the variable is not set: known before a request is spent on it.
    """
    if model.key_env is None:
        return None
    key = environment.get(model.key_env)
    if not key:
        raise FatalError("key_refused", f"{model.name}: the environment variable {model.key_env} is not set")
    return key


def check_key(model: Model) -> None:
    """ConfigError where the model's API key is not set: nothing has been sent yet."""
    try:
        api_key_of(model)
    except FatalError as error:
        where = f"model/{model.name}.yaml"
        raise ConfigError(str(error), where=where, key="key_env", advice=f"export {model.key_env}=...") from error


def account_of(model: Model, environment: Mapping[str, str]) -> Account:
    """Address and key for a model's batches.

    FatalError (key_refused) where the key's variable is not set, ConfigError where the address is not known.
    """
    return account_for(model, api_key_of(model, environment))


def fingerprint(model: Model, account: Account) -> str:
    """A short name for the account, which does not give its key away."""
    key = account.api_key if service_of(model).key_is_account else None
    return hashlib.sha256(f"{account.base}\n{key or ''}".encode()).hexdigest()[:12]
