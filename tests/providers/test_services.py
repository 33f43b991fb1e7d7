"""The one table of providers' addresses."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

import runner
from runner.plan.trials import endpoint_of
from runner.providers.batch import table
from runner.providers.services import SERVICES
from runner.records import Model

ROOT = Path(runner.__file__).parent
HOSTS = sorted({str(urlsplit(service.base).hostname) for service in SERVICES.values() if service.base})


@pytest.mark.parametrize("host", HOSTS)
def test_an_address_is_stated_once(host: str) -> None:
    """No other module of the package names a provider's host: live, batches and lists take it from the table."""
    sources = {path: path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py") if "simulator" not in path.parts}
    stated = [path.name for path, text in sources.items() if f"//{host}" in text or f'"{host}"' in text]
    assert stated == ["services.py"]


@pytest.mark.parametrize("provider", SERVICES)
def test_an_address_is_stable_and_no_part_of_a_key(provider: str) -> None:
    """No address is a beta's where the same is served without, and another one would change no key."""
    base = SERVICES[provider].base or ""
    assert not base.endswith(("/", "/beta", "/v1alpha"))
    assert endpoint_of(Model("m", "m", provider, "v")) == provider


def test_every_batch_api_is_somebodys() -> None:
    """Each batch API names a provider of the table, and all but Vertex AI's have an address there."""
    bases = {name: SERVICES[service.provider].base for name, service in table.SERVICES.items()}
    assert [name for name, base in bases.items() if base is None] == ["vertex"]
