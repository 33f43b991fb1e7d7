"""A sweep of one, two and twelve jobs of 96 trials each, against a provider that answers after 1 s, 200 in flight.

Jobs share one dispatch, so while they fit into the concurrency twice the jobs take about the time of one. Beside it,
the same jobs one after another by Hydra's basic launcher. Seconds of dispatch are from the first request sent to the
last reply stored.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import goals
from launch import launch, openai_words
from slow_provider import Provider, serve

TRIALS = 96
LATENCY_S = 1.0
"""Long enough that the wait for replies, not this machine, decides."""
JOBS = (1, 2, 12)


def sweep(provider: Provider, jobs: int, *words: str) -> tuple[float, float]:
    """(seconds of dispatch, seconds of the whole command)."""
    temperatures = ",".join(f"{number / 10:g}" for number in range(jobs))
    asked = (
        "-m", f"sampling.trials={TRIALS // 12}", f"sampling.temperature={temperatures}", "tracking.enabled=false",
        "report=false",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run = launch(Path(folder), *asked, *openai_words(provider.base, 200), *words)
    assert run.facts["scored"] == TRIALS * jobs
    rate = run.facts["dispatch_requests_per_s"]
    return (run.facts["requests_sent"] / rate if rate else run.seconds), run.seconds


def main() -> None:
    """Measure pooled sweeps, and the basic launcher for twelve jobs."""
    with serve(LATENCY_S) as provider:
        sweep(provider, 1)  # warms the disk's cache
        times = {jobs: sweep(provider, jobs) for jobs in JOBS}
        one = times[1][0]
        for jobs, (seconds, whole) in times.items():
            ratio = f"{seconds / one:.2f} x one job"
            print(f"pooled, {jobs:2} jobs: dispatch {seconds:5.2f} s ({ratio}), whole {whole:5.1f} s")
        _, basic = sweep(provider, 12, "hydra/launcher=basic")
        print(f"basic,  12 jobs: whole {basic:5.1f} s ({basic / times[12][1]:.1f} x pooled)")
    goals.at_most("sweep, dispatch of two jobs, of one", 1.3, times[2][0] / one, " x")


if __name__ == "__main__":
    main()
