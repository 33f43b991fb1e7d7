"""Requests a second, with every reply durable, read and scored, beside raw aiohttp against the same provider.

The provider answers after 50 ms. Raw aiohttp sends the same bodies and keeps nothing: the limit of this machine. The
ideal at N in flight is N / 50 ms. Each rate is the median of several rounds, taken in turns.

    python benchmarks/throughput.py [--trials 2000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
LATENCY_S = 0.05
QUESTIONS = ("interesting", "surprise", "sadness", "anger")
REPLY = json.dumps({name: {"score": 50, "reason": "The lamp was lit for the last time."} for name in QUESTIONS})
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": REPLY}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 400, "completion_tokens": 80, "total_tokens": 480},
}
IN_FLIGHT = (10, 50, 200)
GOALS = {10: 0.9, 50: 0.9, 200: 0.65}
"""At 10 and 50 in flight of the ideal, at 200 of raw aiohttp."""


@contextmanager
def provider(folder: Path, latency_s: float = LATENCY_S) -> Iterator[str]:
    """The provider in a process of its own; gives its base address."""
    reply = folder / "reply.json"
    reply.write_text(json.dumps(COMPLETION), encoding="utf-8")
    command = [sys.executable, str(HERE / "slow_provider.py"), str(latency_s), str(reply)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.kill()
        process.wait()


def raw(base: str, trials: int, in_flight: int) -> float:
    """Requests a second of aiohttp alone."""
    import aiohttp

    text = "x" * 1200
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": 1024}).encode()

    async def run() -> float:
        left = iter(range(trials))
        headers = {"Content-Type": "application/json"}

        async def work(session: aiohttp.ClientSession) -> None:
            for _ in left:
                async with session.post(f"{base}/chat/completions", data=body, headers=headers) as response:
                    await response.read()

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            started = time.perf_counter()
            await asyncio.gather(*(work(session) for _ in range(in_flight)))
            return trials / (time.perf_counter() - started)

    return asyncio.run(run())


def runner(base: str, trials: int, in_flight: int, *words: str) -> float:
    """Requests a second as a run says of itself: bought, over the seconds from the first sent to the last stored."""
    model = "model.openai_compatible"
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(Path(sys.executable).parent / "runner"),
            "model=openai_compatible", f"{model}.api_base={base}", f"{model}.id=m", "text=[lighthouse,parcel]",
            f"{model}.limits.concurrency={in_flight}", f"sampling.trials={trials // 8}", *words,
        ]  # fmt: skip
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (run_json,) = Path(folder).glob("outputs/*/*/run.json")
        run = json.loads(run_json.read_text(encoding="utf-8"))
    assert run["scored"] == trials
    return float(run["dispatch_requests_per_s"])


def main() -> None:
    """Measure in turns, print rates and ratios, and name the goals that are missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    words = parser.parse_args()
    rates: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, provider(Path(folder)) as base:
        for _ in range(words.rounds):
            for in_flight in IN_FLIGHT:
                rates.setdefault(("raw aiohttp", in_flight), []).append(raw(base, words.trials, in_flight))
                rates.setdefault(("runner", in_flight), []).append(
                    runner(base, words.trials, in_flight, "tracking.enabled=false")
                )
            rates.setdefault(("runner, MLflow on", 200), []).append(runner(base, words.trials, 200))
    median = {name: statistics.median(values) for name, values in rates.items()}
    for (name, in_flight), rate in median.items():
        ideal = in_flight / LATENCY_S
        raw_rate = median["raw aiohttp", in_flight]
        print(
            f"{name:20} {in_flight:4} in flight {rate:7.0f}/s   "
            f"{rate / ideal:5.2f} of ideal  {rate / raw_rate:5.2f} of raw"
        )
    for in_flight, goal in GOALS.items():
        limit = median["raw aiohttp", in_flight] if in_flight == 200 else in_flight / LATENCY_S
        ratio = median["runner", in_flight] / limit
        print(
            f"goal at {in_flight} in flight, {goal} of {'raw' if in_flight == 200 else 'ideal'}: "
            f"{'met' if ratio >= goal else 'MISSED'} ({ratio:.2f})"
        )
    ratio = median["runner, MLflow on", 200] / median["runner", 200]
    print(f"goal with MLflow on, 0.95 of off: {'met' if ratio >= 0.95 else 'MISSED'} ({ratio:.2f})")


if __name__ == "__main__":
    main()
