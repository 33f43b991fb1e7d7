"""Providers' errors, in their own words: what each means, how far it reaches, whether and when to ask again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import ProviderError, TransientError
from runner.providers.refusals import MAX_MESSAGE_CHARS, error_of

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """An answer in place of a reply, and what must be read in it; see corpus/refusals.yaml."""

    vendor: str
    why: str
    source: str
    status: int
    kind: str
    scope: str
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    until: str | None = None
    wait_s: float | None = None
    sample: str | None = None

    @property
    def raw(self) -> bytes:
        """The body as it is sent."""
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


CORPUS = [Case(**entry) for entry in yaml.safe_load((Path(__file__).parent / "corpus" / "refusals.yaml").read_text())]


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: f"{case.vendor}: {case.why}")
def test_what_a_refusal_means(case: Case) -> None:
    """Every documented or recorded error is read right: kind, reach, whether to try again, and until when not."""
    error = error_of(case.status, case.headers, case.raw, now=NOW)
    assert (error.kind, error.scope) == (case.kind, case.scope)
    assert isinstance(error, TransientError) == (case.scope == "attempt")
    assert (error.until and f"{error.until:%Y-%m-%d %H:%M:%S}") == case.until
    if isinstance(error, TransientError):
        assert error.sample == case.sample
        assert case.wait_s is None or error.retry_after_s == pytest.approx(case.wait_s, abs=0.01)
    assert error.kind != "quota" or error.advice


NAMES = [
    "error",
    "message",
    "code",
    "type",
    "status",
    "details",
    "violations",
    "metadata",
    "raw",
    "param",
    "loc",
    "msg",
]
HEADERS = st.dictionaries(st.sampled_from(["retry-after", "X-RateLimit-Reset", "x-amzn-errortype"]), st.text())
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "code", "type", "status", "details", "violations", "metadata", "raw", "param"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(100, 999),
    ANYTHING | st.binary(max_size=200),
    st.dictionaries(st.sampled_from(["retry-after", "X"]), st.text()),
)
def test_anything_can_be_read(status: int, body: Any, headers: dict[str, str]) -> None:
    """Whatever an answer holds, it becomes an error with a message of bounded length, and nothing is raised."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = error_of(status, headers, raw, now=NOW)
    assert isinstance(error, ProviderError)
    assert len(str(error)) <= MAX_MESSAGE_CHARS


def test_depth_is_bounded() -> None:
    """JSON nested a hundred thousand deep, or JSON in strings in JSON, is an error like any other."""
    for raw in (b'{"error":' * 100_000, b"[" * 100_000 + b"]" * 100_000):
        assert error_of(400, {}, raw, now=NOW).kind == "bad_request"
    nested = "no"
    for _ in range(12):
        nested = json.dumps({"error": {"message": nested}})
    assert error_of(400, {}, nested.encode(), now=NOW).kind == "bad_request"


def test_what_the_request_said_is_not_read() -> None:
    """What an answer repeats of the request never decides: a text may speak of money, filters and keys."""
    said = "insufficient_quota, content policy, prompt is too long, invalid api key, per day"
    for field_name in ("input", "flagged_input", "prompt", "request", "failed_generation"):
        body = {"error": {"message": "Unsupported value", "type": "invalid_request_error", field_name: said}}
        assert error_of(400, {}, json.dumps(body).encode(), now=NOW).kind == "bad_request"
