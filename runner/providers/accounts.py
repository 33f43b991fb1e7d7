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


AROUND = "\ufeff\u200b\u2060\u200e\u200f\x00"
"""What copying leaves around a key beside white space: a byte-order mark, invisible marks."""
BYTE_ORDER_MARKS = ("\udcef\udcbb\udcbf", "ï»¿")
"""UTF-8's mark as it looks where its bytes were read one by one."""
QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’"}


def key_in(name: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The API key in an environment variable, without what a file or a copy left around it; "" where it is not set.

    White space, line ends and byte-order marks around a key are never part of it. FatalError (key_refused) where
    anything within it cannot be: the message names the variable, and never shows the key.
    """
    if not name:
        return ""
    key = _bare(environment.get(name, ""))
    if (wrong := _wrong_with(key)) is not None:
        raise FatalError("key_refused", f"{name} {wrong}: set it to the key alone", advice=f"export {name}=...")
    return key


def _bare(key: str) -> str:
    before = None
    while key != before:
        before = key
        key = key.strip().strip(AROUND)
        for mark in BYTE_ORDER_MARKS:
            key = key.removeprefix(mark)
    return key


def _wrong_with(key: str) -> str | None:
    """What no key holds, in words; None of a key that can be sent."""
    if len(key) > 1 and QUOTES.get(key[0]) == key[-1]:
        return "has quotes around its key"
    if key and (key[0] in QUOTES or key[-1] in QUOTES.values()):
        return "has a quote at one end"
    if "\r" in key or "\n" in key:
        return "holds a line break in its middle"
    odd = next((letter for letter in key if not "!" <= letter <= "~"), None)
    if odd is None:
        return None
    if odd.isspace():
        return "holds a blank in its middle"
    return f"holds a character that no key has, U+{ord(odd):04X}"


def known_key(name: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """As key_in; of a key that cannot be sent what is there, since what is only compared or hidden refuses nothing."""
    try:
        return key_in(name, environment)
    except FatalError:
        return environment.get(name or "", "")


def api_key_of(model: Model, environment: Mapping[str, str] = os.environ) -> str | None:
    """The model's API key from the environment variable that its file names; None where it needs none.

    FatalError (key_refused) where the variable is not set or holds no key: known before a request is spent on it.
    """
    if model.key_env is None:
        return None
    key = key_in(model.key_env, environment)
    if not key:
        raise FatalError("key_refused", f"{model.name}: the environment variable {model.key_env} is not set")
    return key


def shared_account(model: Model) -> tuple[str, str | None, str]:
    """What tells accounts apart: models of one provider, at one address, with one key share theirs."""
    return model.provider, model.api_base, known_key(model.key_env)


def check_key(model: Model) -> None:
    """ConfigError where the model's API key is not set or cannot be one: nothing has been sent yet."""
    try:
        api_key_of(model)
    except FatalError as error:
        where = f"model/{model.name}.yaml"
        raise ConfigError(str(error), where=where, key="key_env", advice=f"export {model.key_env}=...") from error


def account_of(model: Model, environment: Mapping[str, str]) -> Account:
    """Address and key for a model's batches.

    FatalError (key_refused) where the key's variable is not set or holds no key, ConfigError where the address is
    not known.
    """
    return account_for(model, api_key_of(model, environment))


def fingerprint(model: Model, account: Account) -> str:
    """A short name for the account, which does not give its key away."""
    key = account.api_key if service_of(model).key_is_account else None
    return hashlib.sha256(f"{account.base}\n{key or ''}".encode()).hexdigest()[:12]
