"""Rows of each outcome, and the prompts that they answer."""

from __future__ import annotations

from dataclasses import replace

from runner.records import Dropped, Prices, Problem, PromptTemplate, Question, Row, Tokens

QUESTIONS = (
    Question("interesting", "面白さ", "どれくらい面白いですか。"),
    Question("surprise", "驚き", "どれくらい驚きましたか。"),
)
JAPANESE = PromptTemplate("affect", "ja", "{{ persona }}", "{{ text }}", QUESTIONS, "labelled")
ENGLISH = replace(
    JAPANESE,
    language="en",
    questions=(replace(QUESTIONS[0], label="Interesting"), replace(QUESTIONS[1], label="Surprise")),
)
PRICES = Prices(2.0, 8.0, 0.5, "the provider's page")
SCORED = Row(
    run="5f2c1f3a9d10",
    job=0,
    cell="gpt-4.1/p1",
    key="ab" * 32,
    model="gpt-4.1",
    model_id="gpt-4.1-2025-04-14",
    provider="openai",
    vendor="openai",
    persona="p1",
    text="t1",
    repetition=1,
    route="live",
    outcome="scored",
    scores={"interesting": 75.0, "surprise": 40.5},
    reasons={"interesting": "時計の答えが愉快だから。\n二度読んだ。", "surprise": None},
    reply='{"interesting": {"score": 75}}',
    problem=None,
    requested={"temperature": 0.7, "max_tokens": 1024, "system": "system", "structure": "schema"},
    sent={"temperature": 0.7, "max_tokens": 1024, "system": "system", "structure": "schema"},
    dropped=(),
    rung="schema",
    attempts=1,
    latency_s=0.512,
    tokens=Tokens(input=310, output=95, cached=0),
    price_usd=0.00138,
    model_version="gpt-4.1-2025-04-14",
    fingerprint="fp_1a2b",
    time="2026-01-31T23:59:58.123Z",
    source="bought",
)
UNSCORABLE = replace(
    SCORED,
    cell="o3-mini/p1",
    key="cd" * 32,
    model="o3-mini",
    model_id="o3-mini",
    outcome="unscorable",
    scores={"interesting": 75.0, "surprise": None},
    reasons={"interesting": "心温まる 🕰", "surprise": None},
    reply="Q1. 面白さ(数値): 75\nQ1. 面白さ(理由): 心温まる 🕰\n以上\u2028です",
    problem=Problem("missing_question", "surprise: no answer"),
    sent={"max_completion_tokens": 1024, "system": "developer", "structure": "schema"},
    dropped=(Dropped("temperature", 0.7, "this model takes none"),),
    price_usd=None,
    fingerprint=None,
    source="ledger",
)
FAILED = replace(
    UNSCORABLE,
    key="ef" * 32,
    repetition=2,
    outcome="failed",
    scores={"interesting": None, "surprise": None},
    reasons={"interesting": None, "surprise": None},
    reply=None,
    problem=Problem("rate_limit", "429: slow down"),
    attempts=24,
    latency_s=None,
    tokens=Tokens(),
    model_version=None,
    time=None,
    source=None,
)
