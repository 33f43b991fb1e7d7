"""Requests a second, with every reply durable, read and scored, beside raw aiohttp against the same provider.

The provider answers after 50 ms. Raw aiohttp sends bodies of like size and keeps nothing: the limit of this machine.
The ideal at N in flight is N / 50 ms. Each rate is the median of several rounds, taken in turns. Three rates of a run:

dispatch    as run.json has it: from the first request sent to the last reply stored
scored      from the first request's arrival at the provider until the last row is on disk, read and scored
MLflow on   dispatch with MLflow, the report and traces as they are by default; the other two are without

    python benchmarks/throughput.py [--trials 2000] [--rounds 5] [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import goals
from launch import launch, openai_words
from slow_provider import Provider, serve

LATENCY_S = 0.05
IN_FLIGHT = (10, 50, 200)
OFF = ("tracking.enabled=false", "report=false")
BODY = {"model": "m", "messages": [{"role": "user", "content": "x" * 1200}], "max_tokens": 1024}


def raw(base: str, trials: int, in_flight: int) -> float:
    """Requests a second of aiohttp alone."""
    import aiohttp

    body = json.dumps(BODY).encode()

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


def runner(provider: Provider, trials: int, in_flight: int, *words: str) -> tuple[float, float]:
    """Requests a second of a run: dispatched, and until the last row was scored and on disk."""
    provider.stamps(forget=True)
    asked = ("text=[lighthouse,parcel]", f"sampling.trials={trials // 8}")
    with tempfile.TemporaryDirectory() as folder:
        run = launch(Path(folder), *openai_words(provider.base, in_flight), *asked, *words)
        assert run.facts["scored"] == trials == provider.stamps().requests
        return run.rate, trials / (run.done_s - provider.stamps().first_s)


def enough(trials: int, in_flight: int) -> int:
    """How many trials show a rate: no more than take some seconds; a multiple of a repetition's 8."""
    return min(trials, 50 * in_flight) // 8 * 8


def main() -> None:
    """Measure in turns, print rates and ratios, and the goals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round")
    words = parser.parse_args()
    rates: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    with serve(LATENCY_S) as provider:
        for _ in range(1 if words.quick else words.rounds):
            for in_flight in IN_FLIGHT:
                trials = enough(words.trials, in_flight)
                rates["raw aiohttp", in_flight].append(raw(provider.base, trials, in_flight))
                dispatched, scored = runner(provider, trials, in_flight, *OFF)
                rates["dispatch", in_flight].append(dispatched)
                rates["scored", in_flight].append(scored)
            rates["MLflow on", 200].append(runner(provider, words.trials, 200)[0])
    median = {name: statistics.median(values) for name, values in rates.items()}
    for (name, in_flight), rate in median.items():
        shares = f"{rate * LATENCY_S / in_flight:5.2f} of ideal  {rate / median['raw aiohttp', in_flight]:5.2f} of raw"
        print(f"{name:12} {in_flight:4} in flight {rate:7.0f}/s   {shares}")
    of_raw = "throughput at 200 in flight, of raw aiohttp"
    goals.at_least(of_raw, 0.65, median["dispatch", 200] / median["raw aiohttp", 200])
    goals.at_least(f"{of_raw}, until scored and on disk", 0.65, median["scored", 200] / median["raw aiohttp", 200])
    for in_flight in IN_FLIGHT[:2]:
        share = median["dispatch", in_flight] * LATENCY_S / in_flight
        goals.at_least(f"throughput at {in_flight} in flight, of the ideal", 0.9, share)
    share = median["MLflow on", 200] / median["dispatch", 200]
    goals.at_least("throughput with MLflow, report and files on, of off", 0.95, share)


if __name__ == "__main__":
    main()
