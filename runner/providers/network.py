"""The way to an address: a proxy and a bundle of certificates, where the environment names them.

HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are read as requests reads them, upper and lower case; of certificates
SSL_CERT_FILE and SSL_CERT_DIR, as OpenSSL does, and REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE, as requests does. aiohttp's
own `trust_env` is not used: it also sends what ~/.netrc holds, and looks at all of it again for each request.
Loopback addresses are never asked through a proxy. Through a proxy, https goes by CONNECT: it sees no key.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.request import getproxies

from runner.errors import TransientError

if TYPE_CHECKING:
    from yarl import URL

FILES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name the certificates to trust in place of the system's; the first that is set counts."""
FOLDER = "SSL_CERT_DIR"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
SPOKEN = ("http", "https")
"""How a proxy can be spoken to."""


class Way(NamedTuple):
    """How an address is reached: the words of an aiohttp request beside its URL."""

    proxy: URL | None = None
    """Without its user and password."""
    entered: URL | None = None
    """The proxy with its user and password, for aiohttp alone."""
    trusted: ssl.SSLContext | None = None

    @property
    def said(self) -> str:
        """For the end of a message about what was asked."""
        return "" if self.proxy is None else f" by the proxy {self.proxy}"

    @property
    def words(self) -> dict[str, Any]:
        """What aiohttp is told; nothing where the way is straight."""
        said: dict[str, Any] = {} if self.proxy is None else {"proxy": self.entered}
        return said if self.trusted is None else {**said, "ssl": self.trusted}


def way_to(url: str | URL) -> Way:
    """By the environment as it is now. TransientError (connection) where it names what cannot be used."""
    address = str(url)
    proxy, entered = _proxy_of(address)
    needs_trust = address.startswith("https:") or (proxy is not None and proxy.scheme == "https")
    return Way(proxy, entered, _trusted() if needs_trust else None)


def trouble_with(way: Way, error: Exception) -> TransientError | None:
    """A connection's error where the proxy is its cause, in words that name the proxy; None of any other."""
    import aiohttp

    if way.proxy is None:
        return None
    if isinstance(error, aiohttp.ClientHttpProxyError):
        said = f"the proxy {way.proxy} refuses to connect: {error.status} {error.message}".rstrip()
        return _lasting(said, LOGIN if error.status == 407 else CHECK)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return _lasting(f"the proxy {way.proxy} cannot be reached: {error.os_error.strerror or error.os_error}", CHECK)
    return None


CHECK = "check HTTPS_PROXY and HTTP_PROXY, or name the address in NO_PROXY"
LOGIN = "put its user and password into HTTPS_PROXY and HTTP_PROXY: http://USER:PASSWORD@HOST:PORT"


def _lasting(message: str, advice: str) -> TransientError:
    return TransientError("connection", message, advice=advice, most_attempts=FEW_ATTEMPTS, lasting="model")


FEW_ATTEMPTS = 2
"""A proxy that is down may come back; one that refuses seldom thinks better of it."""


# ---- the proxy -------------------------------------------------------------------------------------------------------


def _proxy_of(url: str) -> tuple[URL | None, URL | None]:
    proxies = {scheme: proxy for scheme, proxy in getproxies().items() if scheme != "no"}
    if not proxies:
        return None, None
    from requests.utils import prepend_scheme_if_needed, select_proxy, should_bypass_proxies
    from yarl import URL

    asked = URL(url)
    # With its port written out, as NO_PROXY may name it.
    if is_loopback(asked.host or "") or should_bypass_proxies(_with_port(asked), no_proxy=None):
        return None, None
    if _is_in_a_network(asked.host or "", proxies_left_out()):
        return None, None
    found = select_proxy(url, proxies)
    if not found:
        return None, None
    try:
        proxy = URL(prepend_scheme_if_needed(found.strip(), "http"))
        bare = proxy.with_user(None)
    except ValueError as error:
        raise _lasting(f"the proxy for {asked.host} is no address: {error}", CHECK) from error
    if proxy.scheme not in SPOKEN or not proxy.host:
        raise _lasting(f"the proxy {bare} for {asked.host} is none that is spoken to: http or https is", CHECK)
    return bare, proxy


def _with_port(url: URL) -> str:
    return f"{url.scheme}://{url.host_subcomponent}:{url.port}/"


def proxies_left_out() -> list[str]:
    """The entries of NO_PROXY."""
    said = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return [entry for entry in said.replace(" ", "").split(",") if entry]


def _is_in_a_network(host: str, entries: list[str]) -> bool:
    """Whether a number is in one of these networks: requests takes those of IPv4 alone."""
    with suppress(ValueError):
        number = ipaddress.ip_address(host.partition("%")[0])
        for entry in entries:
            with suppress(ValueError):
                if number in ipaddress.ip_network(entry.strip("[]"), strict=False):
                    return True
    return False


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or number alone."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def for_libraries() -> dict[str, str]:
    """What to add to the environment of this process, so that libraries with sessions of their own go the same way.

    LiteLLM's token exchanges, MLflow's client and Google's and Amazon's sign-in read one variable of certificates or
    the other, and would ask loopback through a proxy.
    """
    named = next((os.environ[name] for name in FILES if os.environ.get(name)), "")
    readers = FILES[1:2] if Path(named).is_dir() else FILES[:2]
    added = {name: named for name in readers if named and not os.environ.get(name)}
    if any(scheme != "no" for scheme in getproxies()):
        missing = [host for host in LOOPBACK if host not in (known := proxies_left_out())]
        if missing:
            added |= dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join([*known, *missing]))
    return added


# ---- certificates ----------------------------------------------------------------------------------------------------


def _trusted() -> ssl.SSLContext | None:
    """What to trust, made once for each setting; None where the environment names nothing: aiohttp's own, then."""
    named = next((name for name in FILES if os.environ.get(name)), "")
    folder = os.environ.get(FOLDER, "")
    if not named and not folder:
        return None
    return _context(named, os.environ.get(named, ""), folder)


@lru_cache(maxsize=8)
def _context(name: str, place: str, folder: str) -> ssl.SSLContext:
    file = "" if Path(place).is_dir() else place
    folders = [one for one in (*folder.split(os.pathsep), "" if file else place) if one]
    try:
        context = ssl.create_default_context(cafile=file or None, capath=None if file or not folders else folders[0])
        for one in folders:
            context.load_verify_locations(capath=one)
    except (OSError, ValueError) as error:
        which = f"{name}={place}" if file else f"{name or FOLDER}={place or folder}"
        message = f"{which} holds no certificates that can be read: {getattr(error, 'strerror', '') or error}"
        raise _lasting(message, f"ls -l {place or folder}, or unset {name or FOLDER}") from error
    return context
