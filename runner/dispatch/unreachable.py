"""Why no connection comes about, in words, and whether it may yet: an unknown host, a certificate, a closed port."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from runner.errors import TransientError
from runner.providers.refusals import short

if TYPE_CHECKING:
    from yarl import URL

FEW_ATTEMPTS = 4
"""At what no wait mends as a rule: some seconds, in which a laptop that wakes up finds its network again."""
_UNKNOWN = frozenset(
    getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA", "EAI_FAIL") if hasattr(socket, name)
)
"""Codes of getaddrinfo for a name that does not exist; EAI_AGAIN passes."""


def connection_error(error: Exception, url: URL, setting: str) -> TransientError:
    """A lost or refused connection as an error; `setting` names the model's address in the config."""
    place = f"{url.host}:{url.port}"
    if (name := _name_error(error)) is not None:
        if name.errno in _UNKNOWN:
            return _hopeless(f"no such host: {url.host} ({name.strerror})", f"check {setting} and the network")
        return TransientError("connection", f"the name {url.host} cannot be looked up now: {name.strerror}")
    if isinstance(error, UnicodeError):
        return _hopeless(short(f"no host can have the name {url.host}: {error}"), f"check {setting}")
    if (trouble := _tls_error(error)) is not None:
        return _hopeless(*_of_tls(trouble, place, setting))
    cause = _system_error(error)
    if isinstance(cause, ConnectionRefusedError):
        advice = f"check {setting}"
        return TransientError("connection", f"{place} refuses connections: is a server running there?", advice=advice)
    told = cause or error
    return TransientError("connection", short(f"{type(told).__name__}: {told}"))


def _hopeless(message: str, advice: str) -> TransientError:
    return TransientError("connection", message, advice=advice, most_attempts=FEW_ATTEMPTS, lasting="model")


def _of_tls(trouble: ssl.SSLError | ssl.CertificateError, place: str, setting: str) -> tuple[str, str]:
    if isinstance(trouble, ssl.SSLCertVerificationError):
        why = getattr(trouble, "verify_message", "") or str(trouble)
        advice = f"behind a company's proxy, set SSL_CERT_FILE to its certificates; else check {setting}"
        return f"the certificate of {place} is not trusted: {why}", advice
    advice = f"does {setting} begin with https where the server speaks plain http?"
    return f"no TLS connection to {place}: {getattr(trouble, 'reason', '') or trouble}", advice


def _chain(error: BaseException | None) -> list[BaseException]:
    """An error and what lies behind it."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None)
        error = inner if isinstance(inner, BaseException) else error.__cause__ or error.__context__
    return found


def _name_error(error: Exception) -> socket.gaierror | None:
    return next((one for one in _chain(error) if isinstance(one, socket.gaierror)), None)


def _tls_error(error: Exception) -> ssl.SSLError | None:
    return next((one for one in _chain(error) if isinstance(one, ssl.SSLError)), None)


def _system_error(error: Exception) -> OSError | None:
    found = [one for one in _chain(error) if isinstance(one, OSError)]
    return found[-1] if found else None
