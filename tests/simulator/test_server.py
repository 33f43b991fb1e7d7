"""The simulated providers' replies, refusals, traffic and plans."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator_clients import Client, chat_body, claude_body, gemini_body, send

from runner.errors import ConfigError
from runner.simulator import FaultPlan, Simulator, SimulatorThread, batch_jobs, load_plan
from runner.simulator.batch_jobs import BatchJob, BatchLine
from runner.simulator.chat.answers import Ask, say, tokens_of
from runner.simulator.faults import latency_s
from runner.simulator.plan import plan_names, stricken, struck

if TYPE_CHECKING:
    from pathlib import Path

CALM = FaultPlan()
ASK = Ask("gpt-4o", "You are a poet.", 'A text. Reply with JSON. It has the keys "fun", "fear", and so on.')
CHAT = "/chat/completions"
CLAUDE = {"x-api-key": "key-1", "anthropic-version": "2023-06-01"}
GOOGLE = {"x-goog-api-key": "key-1"}

# ---- replies --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Form:
    """A prompt, and what its reply looks like."""

    name: str
    ask: Ask
    pattern: str


ONE = {"type": "object", "properties": {"score": {"type": "integer", "minimum": 3, "maximum": 5}}}
NESTED = {"type": "object", "properties": {"fun": {**ONE, "required": ["score"]}, "why": {"type": "string"}}}
FORMS = [
    Form("keys told", ASK, r'\{"fun": \{"score": \d+, "reason": ".+?"\}, "fear": \{"score": \d+, "reason": ".+?"\}\}'),
    Form(
        "keys told in Japanese", replace(ASK, user='文章。キーは"fun", "fear"とし、…'), r'\{"fun": .+"fear": .+。"\}\}'
    ),
    Form("schema", replace(ASK, schema=NESTED), r'\{"fun": \{"score": [345]\}, "why": ".+"\}'),
    Form("tool", replace(ASK, schema=ONE, tool="rate"), r'\{"score": [345]\}'),
    Form(
        "lines",
        replace(ASK, user="Reply:\nQ1. fun(value): <1-9>\nQ1. fun(reason): <a sentence>\nQ2. fear(value): <0-1>"),
        r"Q1\. fun\(value\): [1-9]\nQ1\. fun\(reason\): .+\.\nQ2\. fear\(value\): [01]",
    ),
    Form(
        "lines in Japanese",
        replace(ASK, user="文章です。\nQ1. 面白さ(数値): <0-100>\nQ1. 面白さ(理由): <一文>"),
        r"Q1\. 面白さ\(数値\): \d+\nQ1\. 面白さ\(理由\): .+から。",
    ),
    Form("nothing told", replace(ASK, user="How good is it?"), r"\d+\. .+\."),
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_reply_has_the_form_that_was_asked_for(form: Form) -> None:
    """A reply follows the schema, else the lines that the prompt shows, else the keys that it names."""
    assert re.fullmatch(form.pattern, say(form.ask, CALM, 1, 1).text)


def test_replies_repeat_and_differ() -> None:
    """The same asking gives the same reply; persona, model, text, seed and the n-th time change it."""
    first = say(ASK, CALM, 1, 1)
    assert say(ASK, CALM, 1, 7) == first
    others = [
        say(replace(ASK, system="You are a robot."), CALM, 1, 1),
        say(replace(ASK, model="gpt-4o-mini"), CALM, 1, 1),
        say(replace(ASK, user=f"Another text. {ASK.user}"), CALM, 1, 1),
        say(ASK, FaultPlan(seed=1), 1, 1),
        say(ASK, CALM, 2, 1),
    ]
    assert len({first.text, *(other.text for other in others)}) == 6


def test_personas_weigh_more_than_chance() -> None:
    """Repetitions scatter by a few points around a persona's own score, and personas lie further apart."""

    def score(system: str, nth: int) -> int:
        found: int = json.loads(say(replace(ASK, system=system), CALM, nth, 1).text)["fun"]["score"]
        return found

    personas = [[score(f"persona {number}", nth) for nth in range(1, 11)] for number in range(8)]
    assert all(1 <= max(scores) - min(scores) <= 20 for scores in personas)
    means = [sum(scores) / len(scores) for scores in personas]
    assert max(means) - min(means) > 10


@dataclass(frozen=True)
class Flaw:
    """A plan, and what it does to a reply."""

    plan: FaultPlan
    text: str
    finish: str = "stop"


FLAWS = [
    Flaw(FaultPlan(fenced=1), r"```json\n\{.+\}\n```"),
    Flaw(FaultPlan(prefixed=1), r"Here is my answer:\n\n\{.+\}"),
    Flaw(FaultPlan(truncated=1), r"\{.+[^}]", "length"),
    Flaw(FaultPlan(refused=1), r"I'm sorry.+", "refused"),
    Flaw(FaultPlan(malformed=1), r"[^{]+"),
]


@pytest.mark.parametrize("flaw", FLAWS, ids=lambda flaw: flaw.text[:12])
def test_replies_go_wrong_as_planned(flaw: Flaw) -> None:
    """A share of replies is fenced, prefixed, cut off, a refusal, or not what was asked for."""
    said = say(ASK, flaw.plan, 1, 1)
    assert re.fullmatch(flaw.text, said.text)
    assert said.finish == flaw.finish


def test_the_token_limit_cuts() -> None:
    """A reply longer than its limit ends there, with finish `length`; thoughts count."""
    short = say(replace(ASK, limit=10), CALM, 1, 1)
    assert (short.finish, short.output_tokens) == ("length", 10)
    assert tokens_of(short.text) <= 11
    thoughtful = say(replace(ASK, limit=20, reasons=True), CALM, 1, 1)
    assert (thoughtful.text, thoughtful.reasoning_tokens) == ("", 20)


# ---- refusals -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refusal:
    """A request, and how it is refused."""

    name: str
    path: str
    body: dict[str, Any]
    status: int
    says: tuple[str, ...]
    headers: dict[str, str] = field(default_factory=lambda: {"Authorization": "Bearer key-1"})


def openai(name: str, body: dict[str, Any], says: str, status: int = 400, **more: Any) -> Refusal:
    return Refusal(f"openai {name}", f"/openai/v1{CHAT}", body, status, (says, "invalid_request_error"), **more)


def claude(name: str, body: dict[str, Any], says: str, kind: str = "invalid_request_error", **more: Any) -> Refusal:
    status = {"not_found_error": 404, "authentication_error": 401}.get(kind, 400)
    more = {"headers": CLAUDE, **more}
    return Refusal(f"anthropic {name}", "/anthropic/v1/messages", body, status, (says, kind), **more)


def gemini(
    name: str, body: dict[str, Any], says: str, status: int = 400, model: str = "gemini-2.5-flash", **more: Any
) -> Refusal:
    more = {"headers": GOOGLE, **more}
    return Refusal(f"gemini {name}", f"/gemini/v1beta/models/{model}:generateContent", body, status, (says,), **more)


SYSTEM = [{"role": "system", "content": "a poet"}, {"role": "user", "content": "hi"}]
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
TOOL = {"type": "function", "function": {"name": "rate", "parameters": {}}}
BOTH = [{"type": "function", "function": {"name": name}} for name in ("rate", "other")]


def shaped(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "s", "strict": True, "schema": schema}}


REFUSALS = [
    openai("o1-mini's system role", chat_body("o1-mini", messages=SYSTEM), "does not support 'system'"),
    openai("o1-mini's temperature", chat_body("o1-mini", temperature=0.5), "Only the default (1) value"),
    openai("o1-mini's max_tokens", chat_body("o1-mini", max_tokens=9), "Use 'max_completion_tokens' instead"),
    openai("o1-mini's schema", chat_body("o1-mini", response_format=shaped(OPEN)), "json_schema' is not supported"),
    openai("o1-mini's tools", chat_body("o1-mini", tools=[TOOL]), "'tools' is not supported with this model"),
    openai("o3-mini's temperature", chat_body("o3-mini", temperature=1), "'temperature' is not supported"),
    openai("o3-mini's top_p", chat_body("o3-mini", top_p=0.5), "'top_p' is not supported"),
    openai("gpt-5's temperature", chat_body("gpt-5", temperature=0.2), "does not support 0.2 with this model"),
    openai("gpt-5.6's temperature", chat_body("gpt-5.6", temperature=0.2), "does not support 0.2 with this model"),
    openai("temperature's range", chat_body("gpt-4o", temperature=2.5), "between 0 and 2"),
    openai("unknown field", chat_body("gpt-4o", top_k=5), "Unknown parameter: 'top_k'"),
    openai("wrong type", chat_body("gpt-4o", temperature="hot"), "Invalid type for 'temperature'"),
    openai("no messages", {"model": "gpt-4o"}, "Missing required parameter: 'messages'"),
    openai("empty messages", chat_body("gpt-4o", messages=[]), "empty array"),
    openai(
        "unknown role", chat_body("gpt-4o", messages=[{"role": "critic", "content": "x"}]), "Invalid value: 'critic'"
    ),
    openai("unknown model", chat_body("claude-3"), "does not exist", 404),
    openai("open schema", chat_body("gpt-4o", response_format=shaped(OPEN)), "'additionalProperties' is required"),
    openai("second forced tool", chat_body("gpt-4o", tools=BOTH, tool_choice=BOTH), "Invalid type for 'tool_choice'"),
    openai("same tool twice", chat_body("gpt-4o", tools=[TOOL, TOOL]), "given twice"),
    openai(
        "forced unknown tool",
        chat_body("gpt-4o", tools=[TOOL], tool_choice={"type": "function", "function": {"name": "none"}}),
        "'none' is not in 'tools'",
    ),
    openai(
        "JSON mode without the word",
        {
            **chat_body("gpt-4o", response_format={"type": "json_object"}),
            "messages": [{"role": "user", "content": "x"}],
        },
        "must contain the word 'json'",
    ),
    openai("no key", chat_body("gpt-4o"), "No API key", 401, headers={}),
    openai("wrong key", chat_body("gpt-4o"), "invalid_api_key", 401, headers={"Authorization": "Bearer invalid"}),
    Refusal(
        "groq schema of llama",
        f"/groq/openai/v1{CHAT}",
        chat_body("llama-3.3-70b-versatile", response_format=shaped(OPEN)),
        400,
        ("json_schema' is not supported",),
    ),
    Refusal(
        "xai wrong key",
        f"/xai/v1{CHAT}",
        chat_body("grok-3"),
        400,
        ("Incorrect API key",),
        {"Authorization": "Bearer invalid"},
    ),
    Refusal("xai model", f"/xai/v1{CHAT}", chat_body("gpt-4o"), 404, ("Some requested entity was not found",)),
    Refusal("grok-4's stop", f"/xai/v1{CHAT}", chat_body("grok-4.7", stop="x"), 400, ("'stop' is not supported",)),
    Refusal("deepseek model", f"/deepseek/beta{CHAT}", chat_body("gpt-4o"), 400, ("Model Not Exist",)),
    Refusal("deepseek seed", f"/deepseek/beta{CHAT}", chat_body("deepseek-chat", seed=1), 400, ("Unknown parameter",)),
    Refusal(
        "mistral seed",
        f"/mistral/v1{CHAT}",
        chat_body("mistral-small-latest", seed=1),
        422,
        ("extra_forbidden", '"seed"'),
    ),
    Refusal("mistral key", f"/mistral/v1{CHAT}", chat_body("mistral-small-latest"), 401, ("Unauthorized",), {}),
    claude("unknown field", claude_body(seed=1), "seed: Extra inputs are not permitted"),
    claude("no max_tokens", chat_body("claude-haiku-4-5"), "max_tokens: Field required"),
    claude("system role", claude_body(messages=SYSTEM), 'Unexpected role \\"system\\"'),
    claude("temperature's range", claude_body(temperature=1.5), "temperature: range: 0..1"),
    claude("fixed temperature", claude_body(model="claude-haiku-5-5", temperature=0.5), "deprecated for this model"),
    claude("temperature and top_p", claude_body(temperature=0.5, top_p=0.5), "cannot both be specified"),
    claude(
        "open schema",
        claude_body(output_config={"format": {"type": "json_schema", "schema": OPEN}}),
        "explicitly set to false",
    ),
    claude(
        "forced unknown tool", claude_body(tool_choice={"type": "tool", "name": "x"}), "not found in provided tools"
    ),
    claude("unknown model", claude_body(model="gpt-4o"), "model: gpt-4o", "not_found_error"),
    claude("no key", claude_body(), "x-api-key header is required", "authentication_error", headers={}),
    claude("no version", claude_body(), "anthropic-version", headers={"x-api-key": "key-1"}),
    gemini("unknown field", gemini_body(messages=[]), "Unknown name"),
    gemini("unknown setting", gemini_body(generationConfig={"max_tokens": 5}), "Unknown name"),
    gemini("temperature's range", gemini_body(generationConfig={"temperature": 3}), "must be in the range"),
    gemini("schema without its type", gemini_body(generationConfig={"responseSchema": {}}), "application/json"),
    gemini("no contents", {"contents": []}, "contents is not specified"),
    gemini("unknown model", gemini_body(), "is not found for API version", 404, model="gpt-4o"),
    gemini("wrong key", gemini_body(), "API_KEY_INVALID", headers={"x-goog-api-key": "invalid"}),
    gemini("no key", gemini_body(), "PERMISSION_DENIED", 403, headers={}),
    Refusal(
        "vertex without a token",
        "/vertex/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-flash:generateContent",
        gemini_body(),
        401,
        ("UNAUTHENTICATED",),
        {},
    ),
]


def test_what_the_real_apis_refuse_is_refused() -> None:
    """Status, words and error type are the vendor's own, and nothing that was refused is billed."""
    with SimulatorThread(CALM) as simulator:
        for case in REFUSALS:
            reply = send("POST", simulator.base + case.path, headers=case.headers, json=case.body)
            assert reply.status_code == case.status, (case.name, reply.text)
            for words in case.says:
                assert words in reply.text, (case.name, reply.text)
        assert simulator.count.replies == 0


ACCEPTED = {
    f"/openai/v1{CHAT}": [
        chat_body("o1-mini", max_completion_tokens=800),
        chat_body("o3-mini", messages=[{"role": "developer", "content": "a poet"}, *SYSTEM[1:]]),
        chat_body("gpt-5", temperature=1),
        chat_body("gpt-5.1", temperature=0.2),
        chat_body("gpt-4o", temperature=0.2, seed=1, messages=SYSTEM, tools=[TOOL], tool_choice="required"),
    ],
    f"/groq/openai/v1{CHAT}": [chat_body("llama-3.3-70b-versatile", tools=[TOOL], tool_choice="auto")],
    f"/kluster/v1{CHAT}": [
        chat_body("klusterai/Meta-Llama-3.3-70B-Instruct-Turbo", response_format={"type": "json_object"})
    ],
    f"/xai/v1{CHAT}": [chat_body("grok-4.7", seed=1, response_format=shaped({**OPEN, "additionalProperties": False}))],
    f"/deepseek/beta{CHAT}": [chat_body("deepseek-v4-flash", thinking={"type": "disabled"})],
    f"/mistral/v1{CHAT}": [chat_body("mistral-small-latest", random_seed=1, response_format=shaped(OPEN))],
}


def test_what_they_take_is_taken() -> None:
    """The same models take what they document: the refusals above are not refusals of everything."""
    with SimulatorThread(CALM) as simulator:
        for path, bodies in ACCEPTED.items():
            for body in bodies:
                reply = send("POST", simulator.base + path, headers={"Authorization": "Bearer key-1"}, json=body)
                assert reply.status_code == 200, (path, body, reply.text)
        assert simulator.count.replies == sum(map(len, ACCEPTED.values()))


# ---- traffic --------------------------------------------------------------------------------------------------------


def statuses(plan: FaultPlan, times: int, prefix: str = "/openai/v1") -> list[int]:
    """What so many equal requests are answered; 0 for a lost connection."""
    found = []
    with SimulatorThread(plan) as simulator:
        client = Client(simulator.base, prefix)
        for _ in range(times):
            try:
                found.append(client.call("POST", CHAT, json=chat_body("gpt-4o")).status_code)
            except httpx.TransportError:
                found.append(0)
        assert simulator.count.replies == found.count(200)
    return found


def test_shares_strike_in_turn() -> None:
    """Refusals, errors and lost connections come as often as planned, each in its own turn, and bill nothing."""
    assert statuses(FaultPlan(refuse=0.25), 5) == [429, 200, 200, 200, 429]
    assert statuses(FaultPlan(drop=0.25, refuse=0.25, server_error=0.25), 5) == [0, 429, 500, 200, 0]
    assert statuses(CALM, 3) == [200, 200, 200]


def test_shares_are_exact() -> None:
    """Of a thousand events a share strikes its part, the first among them."""
    for share in (0.001, 0.01, 0.3, 0.5, 1.0):
        hits = [struck(share, number) for number in range(1, 1001)]
        assert hits[0]
        assert sum(hits) == round(1000 * share)
    assert not any(struck(0, number) for number in range(1, 100))
    named = [stricken(FaultPlan(fail=0.1, stall=0.1), number, ("fail", "stall")) for number in range(1, 101)]
    assert (named[:3], named.count("fail"), named.count("stall")) == (["fail", "stall", None], 10, 10)


def test_quotas_refill() -> None:
    """Past the quota of a minute requests are refused, told when to come back, and then let in; by key."""
    now = [1_800_000_000.0]
    with SimulatorThread(FaultPlan(rpm=3), clock=lambda: now[0]) as simulator:
        client, other = (
            Client(simulator.base, "/openai/v1"),
            Client(simulator.base, "/openai/v1", {"Authorization": "k2"}),
        )
        replies = [client.call("POST", CHAT, json=chat_body("gpt-4o")) for _ in range(4)]
        assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
        assert [reply.headers["x-ratelimit-remaining-requests"] for reply in replies] == ["2", "1", "0", "0"]
        assert replies[3].headers["retry-after"] == "20"
        assert replies[3].json()["error"]["code"] == "rate_limit_exceeded"
        assert other.call("POST", CHAT, json=chat_body("gpt-4o")).status_code == 200
        now[0] += 20
        assert client.call("POST", CHAT, json=chat_body("gpt-4o")).status_code == 200


def test_tokens_have_a_quota() -> None:
    """A limit of tokens counts the prompt and the reply's limit, with Anthropic's and Google's own signs of it."""
    now = [1_800_000_000.0]
    with SimulatorThread(FaultPlan(tpm=1000), clock=lambda: now[0]) as simulator:
        ask = Client(simulator.base, "/anthropic", CLAUDE)
        replies = [ask.call("POST", "/v1/messages", json=claude_body()) for _ in range(2)]
        assert [reply.status_code for reply in replies] == [200, 429]
        assert replies[1].json()["error"]["type"] == "rate_limit_error"
        assert replies[1].headers["anthropic-ratelimit-tokens-limit"] == "1000"
        assert float(replies[1].headers["retry-after"]) > 0
        google = Client(simulator.base, "/gemini", GOOGLE)
        body = gemini_body(generationConfig={"maxOutputTokens": 900})
        path = "/v1beta/models/gemini-2.5-flash:generateContent"
        assert google.call("POST", path, json=body).status_code == 200
        refused = google.call("POST", path, json=body)
        assert refused.status_code == 429
        assert "RetryInfo" in refused.text


def test_overload_has_the_vendors_number() -> None:
    """A server error is 500 at OpenAI, 529 at Anthropic, 503 at Google."""
    with SimulatorThread(FaultPlan(server_error=1)) as simulator:
        for prefix, path, status in (
            ("/openai/v1", CHAT, 500),
            ("/anthropic", "/v1/messages", 529),
            ("/gemini", "/v1/models/gemini-2.5-flash:generateContent", 503),
        ):
            assert Client(simulator.base, prefix).call("POST", path, json={}).status_code == status


def test_latency_and_concurrency() -> None:
    """Requests take the plan's time, beside each other; the peak of open requests is counted."""

    async def run() -> tuple[float, int]:
        async with Simulator(FaultPlan(latency_s=0.2)) as simulator, aiohttp.ClientSession() as session:
            start = time.monotonic()

            async def ask() -> None:
                head = {"Authorization": "Bearer key-1"}
                url = f"{simulator.base}/openai/v1{CHAT}"
                async with session.post(url, json=chat_body("gpt-4o"), headers=head) as reply:
                    assert reply.status == 200

            await asyncio.gather(*(ask() for _ in range(8)))
            return time.monotonic() - start, simulator.count.peak

    took, peak = asyncio.run(run())
    assert took >= 0.2
    assert peak == 8


def test_counts_are_served() -> None:
    """GET /_count tells requests by provider and endpoint, replies, and bodies that were bought again."""
    with SimulatorThread(CALM) as simulator:
        client = Client(simulator.base, "/openai/v1")
        for number in (0, 0, 1):
            client.json("POST", CHAT, json=chat_body("gpt-4o", number))
        told = send("GET", f"{simulator.base}/_count").json()
        assert told["requests"] == {"openai": {"chat": 3}}
        assert (told["replies"], len(told["bodies"]), told["bought_again"]) == (3, 2, 1)
        assert simulator.count.bought_again == 1
        assert send("GET", f"{simulator.base}/_count?items=0").json()["bodies"] == {}
        assert client.call("GET", "/nothing").status_code == 404
    assert simulator.count.replies == 3


def test_serving_ends_in_peace(tmp_path: Path) -> None:
    """serve() tells its address, answers, and ends with status 0 on SIGTERM."""
    script = tmp_path / "serve.py"
    script.write_text(
        "from runner.simulator import FaultPlan, serve\n"
        "serve('127.0.0.1', 0, FaultPlan(), ready=lambda base: print(base, flush=True))\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        base = process.stdout.readline().strip()
        try:
            assert send("GET", f"{base}/_count").json()["requests"] == {}
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@given(
    plan=st.builds(
        FaultPlan,
        validating_s=st.floats(0, 50),
        batch_s=st.floats(0, 500),
        finalizing_s=st.floats(0, 50),
        cancel_s=st.floats(0, 50),
        hour_s=st.floats(0.1, 50),
        expire=st.sampled_from([0.0, 1.0]),
    ),
    count=st.integers(1, 20),
    cancel_at=st.none() | st.floats(0, 600),
)
def test_a_batch_only_goes_forward(plan: FaultPlan, count: int, cancel_at: float | None) -> None:
    """Whatever the plan, phases follow their order, no finished item is taken back, and what ended stays as it is."""
    order = ["validating", "running", "cancelling", "finalizing", "completed", "expired", "cancelled"]
    job = BatchJob(
        "id", "openai", "key", 1, 0, 0.0, 24.0, batch_jobs.fate_of(plan, 1), [BatchLine("i", b"{}")] * count, {}
    )
    last_phase, last_done = "validating", 0
    for now in (step * 7.3 for step in range(400)):
        if cancel_at is not None and now >= cancel_at and last_phase in ("validating", "running"):
            job.cancel_at = job.cancel_at or now
        phase, done = batch_jobs.phase(job, plan, now), batch_jobs.done(job, plan, now)
        assert order.index(phase) >= order.index(last_phase)
        assert last_done <= done <= count
        assert phase == last_phase or last_phase not in batch_jobs.ENDED
        assert phase != "completed" or done == count
        last_phase, last_done = phase, done
    assert last_phase in batch_jobs.ENDED


def test_an_hour_can_be_short() -> None:
    """With hour_s a completion window of 24 hours closes after 24 times as many seconds."""
    job = BatchJob("id", "openai", "key", 1, 0, 0.0, 24.0, "stall", [BatchLine("i", b"{}")], {})
    plan = FaultPlan(hour_s=0.5)
    assert [batch_jobs.phase(job, plan, now) for now in (11.9, 12.0)] == ["running", "expired"]


def test_latency_is_spread() -> None:
    """Jitter adds to the latency, evenly and never more than stated."""
    times = [latency_s(FaultPlan(latency_s=1, jitter_s=2), number) for number in range(1, 101)]
    assert min(times) >= 1
    assert max(times) <= 3
    assert 1.9 <= sum(times) / len(times) <= 2.1


# ---- plans ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", plan_names())
def test_named_plans_load(name: str) -> None:
    """Every plan in the file is valid, and all but the calm one differ from the defaults."""
    assert (load_plan(name) == FaultPlan()) == (name == "calm")


def test_a_plan_of_ones_own(tmp_path: Path) -> None:
    """A YAML file may start from a named plan and change what it likes."""
    path = tmp_path / "mine.yaml"
    path.write_text("like: study\nrefuse: 0.5\nrpm: 10\n")
    assert load_plan(str(path)) == replace(load_plan("study"), refuse=0.5, rpm=10)


@dataclass(frozen=True)
class PlanCase:
    """A plan's text, and what is said of it."""

    text: str
    key: str | None
    says: str


PLANS = [
    PlanCase("refus: 0.1", "refus", "did you mean 'refuse'?"),
    PlanCase("refuse: 2", "refuse", "between 0 and 1"),
    PlanCase("latency_s: -1", "latency_s", "must not be negative"),
    PlanCase("rpm: 0", "rpm", "at least 1"),
    PlanCase("rpm: 1.5", "rpm", "whole number"),
    PlanCase("shuffle: 1", "shuffle", "true or false"),
    PlanCase("batch_s: true", "batch_s", "is no number"),
    PlanCase("like: stude", "like", "did you mean 'study'?"),
    PlanCase("- refuse", None, "must be a mapping"),
    PlanCase("a: [", None, "is no YAML"),
]


@pytest.mark.parametrize("case", PLANS, ids=lambda case: case.text)
def test_a_wrong_plan_says_what_is_wrong(case: PlanCase, tmp_path: Path) -> None:
    """A plan with an unknown key or a wrong value is refused, with file, key and remedy."""
    path = tmp_path / "mine.yaml"
    path.write_text(case.text)
    with pytest.raises(ConfigError, match=re.escape(case.says)) as caught:
        load_plan(str(path))
    assert (caught.value.where, caught.value.key) == (str(path), case.key)


def test_an_unknown_plan_is_named() -> None:
    """A misspelt name and a missing file are told apart."""
    with pytest.raises(ConfigError, match="did you mean 'rough'"):
        load_plan("rouhg")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_plan("nowhere.yaml")
