"""What kill -9 costs: requests that the provider received and whose answer the ledger lacks, kill after kill.

A run is killed at a random moment and the same command is typed again, until it has been killed so often; each time
with another number of requests in flight. What a kill costs is bought again. It must be no more than was in flight.

    python benchmarks/kills.py [--kills 50] [--quick]
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path

import goals
from launch import RUNNER, openai_words
from slow_provider import Provider, serve

LATENCY_S = 0.05
IN_FLIGHT = (10, 20, 40, 100, 200)
TRIALS = 40_000
"""More than all that is answered until the last kill."""
OFF = ("text=[lighthouse,parcel]", "tracking.enabled=false", "report=false", f"sampling.trials={TRIALS // 8}")


def kept(folder: Path) -> int:
    """Answers in the ledger; 0 where there is none yet."""
    try:
        with closing(sqlite3.connect(f"file:{folder / 'outputs/ledger.db'}?mode=ro", uri=True, timeout=30)) as database:
            return int(database.execute("SELECT count(*) FROM ledger_answer").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def killed(folder: Path, provider: Provider, in_flight: int, after_s: float) -> int:
    """Requests that were received and not kept, by a run that was killed so long after its first request."""
    provider.stamps(forget=True)
    before = kept(folder)
    with subprocess.Popen(
        [RUNNER, *openai_words(provider.base, in_flight), *OFF],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while not provider.stamps().requests and process.poll() is None:
            time.sleep(0.02)
        time.sleep(after_s)
        process.kill()
    time.sleep(2 * LATENCY_S)  # what the provider has still to read
    return provider.stamps().requests - (kept(folder) - before)


def main() -> None:
    """Kill, count, and print the worst for each number in flight, and the goal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="five kills")
    words = parser.parse_args()
    lost: dict[int, list[int]] = {in_flight: [] for in_flight in IN_FLIGHT}
    with serve(LATENCY_S) as provider, tempfile.TemporaryDirectory() as folder:
        for number in range(5 if words.quick else words.kills):
            in_flight = IN_FLIGHT[number % len(IN_FLIGHT)]
            lost[in_flight].append(killed(Path(folder), provider, in_flight, random.uniform(0.2, 1.0)))  # noqa: S311
    for in_flight, counts in lost.items():
        print(f"{in_flight:4} in flight   bought twice a kill: {sorted(counts)}")
    worst = max(max(counts) / in_flight for in_flight, counts in lost.items() if counts)
    goals.at_most("requests that a kill -9 costs, of those in flight", 1, worst)


if __name__ == "__main__":
    main()
