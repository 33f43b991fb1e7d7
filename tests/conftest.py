"""What holds for every test: no API key from outside, no socket beyond loopback, no working folder shared."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

LOOPBACK = ("127.", "::1", "localhost")

os.environ.update(
    LITELLM_LOCAL_MODEL_COST_MAP="True",
    LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS="True",
    MLFLOW_DISABLE_TELEMETRY="true",
    DO_NOT_TRACK="true",
)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_API_BASE", "_BASE_URL")) or name.startswith(("MLFLOW_TRACKING", "HYDRA_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else ""
        if isinstance(address, tuple) and not str(host).startswith(LOOPBACK):
            msg = f"a test tried to reach {address}"
            raise AssertionError(msg)
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
