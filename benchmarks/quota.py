"""Under a provider's quota: how much of it is used, and whether the requests behave, by llmock's verdict.

llmock (installed in an environment of its own) keeps quotas as providers do: a bucket for each account, refilled
without pause, which answers 429 with the time to wait once it is empty. It judges its client by what it saw: whether
Retry-After was waited for, whether errors that no retry mends were retried, whether any request was tried more than ten
times. The bucket is emptied first, by requests that do not count, so that nobody lives on what it held. The share is of
all that the quota gave until the last answer, the runner's start included: 1 is what nobody can exceed. Every trial has
a text of its own, because llmock takes equal requests for retries.

    python benchmarks/quota.py [--folder build/peers] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import goals
from launch import launch, openai_words
from peers import FOLDER, LLMOCK, NoPeerError, install

if TYPE_CHECKING:
    from collections.abc import Iterator

RPM, IN_FLIGHT, PERSONAS, LATENCY_MS = 1200, 50, 4, 50
TRIALS = 320
TOKENS_A_REQUEST = 1_500
"""About what llmock charges for one: a fourth of its bytes, and max_tokens."""
KEY = "a-key-of-no-account"
STORY = "The lamp was lit for the last time. Then the fog came in, and a horn cried from the wrong side of the reef. "


@dataclass(frozen=True, slots=True)
class Case:
    """A quota, and who meets it."""

    name: str
    server: tuple[str, ...]
    """What llmock is told."""
    models: tuple[str, ...] = ("openai_compatible",)
    limit: int = RPM
    """Requests, or tokens, a minute."""
    counts_tokens: bool = False
    is_empty: bool = True
    """Whether the bucket is emptied first."""
    has_faults: bool = False


CASES = (
    Case("requests a minute", ("--rpm", str(RPM))),
    Case("requests a minute, two models of one account", ("--rpm", str(RPM)), models=("gpt-4o", "gpt-4o-mini")),
    Case(
        "tokens a minute",
        ("--tpm", str(RPM * TOKENS_A_REQUEST)),
        limit=RPM * TOKENS_A_REQUEST,
        counts_tokens=True,
    ),
    Case("requests a minute, from a full bucket", ("--rpm", str(RPM // 5)), limit=RPM // 5, is_empty=False),
    Case(
        "requests a minute, with 503 and 500 between",
        ("--rpm", str(RPM), "--error-rate", "503=0.1", "--error-rate", "500=0.05"),
        has_faults=True,
    ),
)


@contextmanager
def server(place: Path, words: tuple[str, ...]) -> Iterator[str]:
    """A free port's llmock until the context ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    at = ("--host", "127.0.0.1", "--port", str(port), "--log-level", "warning", "--latency-ms", str(LATENCY_MS))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(place / "bin" / "llmock"), "serve", *at, *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    root = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield root
    finally:
        process.terminate()
        process.wait()


def call(url: str, method: str = "GET", body: object = None, key: str = "") -> tuple[int, Any]:
    """(status, answer) of one request."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request) as response:  # noqa: S310
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def drain(root: str, case: Case, key: str) -> None:
    """Take all that the account's bucket holds."""
    url = f"{root}/v1/chat/completions"
    small = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    if case.counts_tokens:
        most = case.limit
        while most > TOKENS_A_REQUEST:
            call(url, "POST", {**small, "max_tokens": most - 100}, key)
            most //= 2
        return
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        while 429 not in pool.map(lambda _: call(url, "POST", small, key)[0], range(IN_FLIGHT)):
            pass


def words_of(case: Case, root: str) -> list[str]:
    """The overrides that point the case's models at llmock."""
    if case.models == ("openai_compatible",):
        return openai_words(f"{root}/v1", IN_FLIGHT)
    each = [
        (f"model.{name}.api_base={root}/v1", f"model.{name}.limits.concurrency={IN_FLIGHT // len(case.models)}")
        for name in case.models
    ]
    return [f"model=[{','.join(case.models)}]", *(word for words in each for word in words)]


def charge(body: dict[str, Any]) -> int:
    """Tokens that llmock takes for a request: a fourth of its bytes, and the most that it may answer."""
    size = len(json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode())
    return size // 4 + (body.get("max_tokens") or body.get("max_completion_tokens") or 0)


def measure(place: Path, case: Case, trials: int) -> None:
    """Run one case; print what came of it, and its goals."""
    key = "" if case.models == ("openai_compatible",) else KEY
    with tempfile.TemporaryDirectory() as name, server(place, case.server) as root:
        folder = Path(name)
        (folder / "texts").mkdir()
        for number in range(trials // PERSONAS // len(case.models)):
            (folder / "texts" / f"{number:04}.txt").write_text(f"Story {number}. {STORY * 8}", encoding="utf-8")
        if case.is_empty:
            drain(root, case, key)
        call(f"{root}/_llmock/requests", "DELETE")
        emptied = time.monotonic()
        asked = ("text=folder", f"text.folder.path={folder / 'texts'}", "tracking.enabled=false", "report=false")
        run = launch(folder, *asked, *words_of(case, root), env={**os.environ, "OPENAI_API_KEY": KEY}, well=(0, 3))
        verdict = call(f"{root}/_llmock/verdict")[1]
        records = [one for one in call(f"{root}/_llmock/requests")[1]["requests"] if one["status"] == 200]
    # A full bucket gains nothing until the first request leaves.
    since = emptied if case.is_empty else min(one["started_at"] for one in records)
    seconds = max(one["ended_at"] for one in records) - since
    used = sum(charge(one["body"]) for one in records) if case.counts_tokens else len(records)
    given = case.limit / 60 * seconds + (0 if case.is_empty else case.limit)
    print(
        f"{case.name}: {run.facts['scored']} of {trials} scored in {seconds:.1f} s, {verdict['attempts']} attempts, "
        f"{verdict['faults_injected']} refused, {verdict['errors']} errors and {verdict['warnings']} warnings of llmock"
    )
    found = sorted({f"{one['severity']}: {one['code']}: {one['title']}" for one in verdict["findings"]})
    for line in found[:5]:
        print(f"    {line}")
    goals.at_most(f"quota, {case.name}, errors in llmock's verdict", 0, verdict["errors"])
    goals.at_most(f"quota, {case.name}, trials without a reply", 0, run.facts["failed"])
    if case.has_faults:
        print(f"    share of the quota: {used / given:.2f}")
    else:
        goals.at_least(f"quota, {case.name}, share used", 0.9, used / given)


def main() -> None:
    """Measure every case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--quick", action="store_true", help="half as many trials where the bucket is empty")
    words = parser.parse_args()
    try:
        place = install(LLMOCK, words.folder.resolve())
    except NoPeerError as error:
        for case in CASES:
            goals.at_least(f"quota, {case.name}, share used", 0.9, None, why=f"llmock: {error}")
        return
    for case in CASES:
        # A full bucket is met only by more than it holds.
        measure(place, case, TRIALS // 2 if words.quick and case.is_empty else TRIALS)


if __name__ == "__main__":
    main()
