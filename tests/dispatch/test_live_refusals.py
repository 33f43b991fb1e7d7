"""What providers refuse, live on loopback: a text's refusal is that text's, money that is gone is the account's."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from dispatching import Watching, dispatch, kinds, model
from loopback import Provider, Turn
from yarl import URL

from runner.dispatch.unreachable import FEW_ATTEMPTS, connection_error
from runner.errors import TransientError
from runner.records import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

ONE_AT_A_TIME = Limits(concurrency=1)


def refusing(status: int, body: Any, **headers: str) -> Turn:
    said = {name.replace("_", "-"): value for name, value in headers.items()}
    return Turn(status=status, body=json.dumps(body).encode(), headers=said)


def error(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code}}


def number_of(body: dict[str, Any]) -> int:
    return int(body["messages"][0]["content"].split()[-1])


FILTERED = refusing(400, error("flagged as potentially violating our usage policy", "invalid_prompt"))
TOO_LONG = refusing(400, error("prompt is too long: 213462 tokens > 200000 maximum"))
MODERATED = refusing(403, error("requires moderation. Your input was flagged"))


@pytest.mark.parametrize(
    ("turn", "kind"),
    [(FILTERED, "refused"), (TOO_LONG, "too_long"), (MODERATED, "refused")],
    ids=["filtered", "too long", "moderated"],
)
@pytest.mark.parametrize("limits", [ONE_AT_A_TIME, Limits()], ids=["one", "many"])
def test_a_text_s_refusal_stops_no_model(turn: Turn, kind: str, limits: Limits) -> None:
    """Texts that are refused, first and in a row, are sent once each, and every other one is answered."""
    with Provider(answer=lambda body: turn if number_of(body) < 6 else Turn()) as provider:
        seen = Watching()
        failures = dispatch(seen, (model(provider.url, limits=limits), 15))
    assert provider.count == 15
    assert kinds(failures) == [kind] * 6
    assert len(seen.answers) == 9
    assert all(failure.time and failure.attempts == 1 for failure in failures.values())


def test_a_request_s_form_stops_the_model() -> None:
    """A parameter that the API does not take stops the model after three, as before."""
    turn = refusing(400, error("Unknown parameter: 'foo'.", "unknown_parameter"))
    with Provider(answer=lambda _: turn) as provider:
        failures = dispatch(Watching(), (model(provider.url, limits=ONE_AT_A_TIME), 12))
    assert provider.count == 3
    assert kinds(failures) == ["bad_request"] * 3 + ["stopped"] * 9


@dataclass(frozen=True)
class Gone:
    """A refusal after which the account takes nothing, and words that its trials must be left with."""

    why: str
    turn: Turn
    words: str


GONE = [
    Gone("no credit", refusing(429, error("You exceeded your current quota", "insufficient_quota")), "add credit"),
    Gone("balance", refusing(400, error("Your credit balance is too low to access the API.")), "add credit"),
    Gone("by 403", refusing(403, {"code": "x", "error": "Your team has used all available credits"}), "add credit"),
    Gone("a day", refusing(429, error("Rate limit exceeded: free-models-per-day")), "00:00 UTC"),
    Gone("hours", refusing(429, error("slow down"), retry_after="20000"), " UTC]"),
]


@pytest.mark.parametrize("case", GONE, ids=lambda case: case.why)
def test_money_that_is_gone_stops_at_once(case: Gone) -> None:
    """After one such answer nothing more is sent, nobody waits, and every trial says what to do or until when."""
    with Provider(answer=lambda _: case.turn) as provider:
        began = time.monotonic()
        failures = dispatch(Watching(), (model(provider.url, limits=ONE_AT_A_TIME), 20))
        assert time.monotonic() - began < 5
    assert provider.count == 1
    assert kinds(failures) == ["quota"] + ["stopped"] * 19
    assert all(case.words in failure.problem.message for failure in failures.values())


def test_the_account_s_other_models_stop_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credit ends the part of each model with that key, also of one that waits for another attempt, and no other."""
    monkeypatch.setenv("ONE_KEY", "sk-one-1234567890")
    monkeypatch.setenv("OTHER_KEY", "sk-other-1234567890")

    def answer(body: dict[str, Any]) -> Turn:
        match body["model"]:
            case "waits":
                return refusing(429, error("too fast"), retry_after="600")
            case "poor":
                return Turn(status=402, body=b"{}", delay_s=0.3)
        return Turn()

    with Provider(answer=answer) as provider:
        began = time.monotonic()
        seen = Watching()
        failures = dispatch(
            seen,
            (model(provider.url, "waits", ONE_AT_A_TIME, key_env="ONE_KEY"), 3),
            (model(provider.url, "poor", ONE_AT_A_TIME, key_env="ONE_KEY"), 3),
            (model(provider.url, "rich", ONE_AT_A_TIME, key_env="OTHER_KEY"), 3),
        )
        assert time.monotonic() - began < 10
    assert sorted(kinds(failures)) == ["quota"] + ["stopped"] * 5
    assert len(seen.answers) == 3


def test_an_unlucky_sample_is_drawn_again() -> None:
    """A text that the provider's own model spoilt is asked for again, and answered as any other."""
    spoilt = refusing(400, {"error": {"message": "no", "code": "tool_use_failed", "failed_generation": "<fun"}})
    turns = iter([spoilt, spoilt, Turn()])
    with Provider(answer=lambda _: next(turns)) as provider:
        seen = Watching()
        assert dispatch(seen, (model(provider.url), 1)) == {}
    assert [answer.attempts for answer in seen.answers] == [3]


def test_an_unlucky_sample_is_kept() -> None:
    """A text that is spoilt each time ends after a few samples with what the model wrote last, and stops no model."""
    spoilt = refusing(400, {"error": {"message": "no", "code": "json_validate_failed", "failed_generation": "{joy"}})
    with Provider(answer=lambda body: spoilt if number_of(body) == 0 else Turn()) as provider:
        seen = Watching()
        (failure,) = dispatch(seen, (model(provider.url, limits=Limits(concurrency=4)), 4)).values()
    assert (failure.problem.kind, failure.reply, failure.attempts) == ("malformed", "{joy", 5)
    assert len(seen.answers) == 3


# ---- no connection ---------------------------------------------------------------------------------------------------


def test_tls_that_cannot_be_ends_soon() -> None:
    """To speak TLS to a plain server ends the model's part after a few attempts, and is told from the first one on."""
    with Provider() as provider:
        seen = Watching()
        base = provider.url.replace("http://", "https://")
        failures = dispatch(seen, (model(base, limits=ONE_AT_A_TIME), 10))
    assert kinds(failures) == ["connection"] + ["stopped"] * 9
    (first, *_), reason = failures.values(), seen.reasons[0]
    assert first.attempts == FEW_ATTEMPTS
    assert "begin with https" in first.problem.message
    assert reason.startswith("no TLS connection to 127.0.0.1:")


def test_a_closed_port_is_told_at_once() -> None:
    """A port that nobody listens on is tried again, and its reason is told before the first wait."""
    with Provider() as provider:
        url = provider.url
    seen = Watching()
    failures = dispatch(seen, (model(url, limits=Limits(attempts=2)), 1))
    assert kinds(failures) == ["connection"]
    assert "refuses connections: is a server running there?" in seen.reasons[0]


def _cause(inner: Exception) -> Exception:
    outer = OSError("no connection")
    outer.__cause__ = inner
    return outer


REASONS: list[tuple[Exception, str, bool]] = [
    (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "no such host: api.example", True),
    (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "cannot be looked up now", False),
    (ssl.SSLCertVerificationError(1, "certificate verify failed"), "is not trusted", True),
    (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "no TLS connection to api.example:443", True),
    (ConnectionRefusedError(111, "refused"), "api.example:443 refuses connections", False),
    (ConnectionResetError(104, "reset"), "reset", False),
]


@pytest.mark.parametrize("wrap", [lambda inner: inner, _cause], ids=["itself", "as a cause"])
@pytest.mark.parametrize(("inner", "words", "ends"), REASONS, ids=lambda value: str(value)[:30])
def test_why_there_is_no_connection(
    inner: Exception, words: str, ends: bool, wrap: Callable[[Exception], Exception]
) -> None:
    """What keeps a connection from coming about is said in words, and ends soon where no wait mends it."""
    told = connection_error(wrap(inner), URL("https://api.example/v1"), "model.m.api_base")
    assert isinstance(told, TransientError)
    assert told.kind == "connection"
    assert words in str(told)
    assert (told.most_attempts == FEW_ATTEMPTS) == ends
    assert not ends or told.advice


# ---- the key ---------------------------------------------------------------------------------------------------------


def test_a_reply_that_repeats_the_key_is_kept_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an answer's bytes nor a failure's message or sample holds the key, in whatever form it came."""
    key = "sk-test-0123456789abcdef"
    monkeypatch.setenv("TEST_KEY", key)
    shown = base64.b64encode(f"Bearer {key}".encode()).decode()

    def answer(body: dict[str, Any]) -> Turn:
        if number_of(body) == 0:
            return refusing(400, error(f"content policy: {shown} and {key[:13]}"))
        return Turn(content=f"you are {shown}, {key} and {key.encode().hex()}")

    with Provider(answer=answer) as provider:
        seen = Watching()
        (failure,) = dispatch(seen, (model(provider.url, key_env="TEST_KEY"), 2)).values()
    kept = seen.answers[0].raw.decode() + failure.problem.message
    assert kept.count("<TEST_KEY>") == 5
    assert not any(part in kept for part in (key[:12], key[-12:], key.encode().hex(), shown[12:]))
