"""A sweep of one, two and twelve jobs of 96 trials each, against a provider that answers after 1 s, 200 in flight.

Jobs share one dispatch, so while they fit into the concurrency twice the jobs take about the time of one. Beside it,
the same jobs one after another by Hydra's basic launcher. Seconds of dispatch are from the first request sent to the
last reply stored.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from throughput import provider

TRIALS = 96
LATENCY_S = 1.0
"""Long enough that the wait for replies, not this machine, decides."""
JOBS = (1, 2, 12)


def sweep(base: str, jobs: int, *words: str) -> tuple[float, float]:
    """(seconds of dispatch, seconds of the whole command)."""
    model = "model.openai_compatible"
    temperatures = ",".join(f"{number / 10:g}" for number in range(jobs))
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(Path(sys.executable).parent / "runner"), "-m", "model=openai_compatible", f"{model}.api_base={base}",
            f"{model}.id=m", f"{model}.limits.concurrency=200", f"sampling.trials={TRIALS // 12}",
            f"sampling.temperature={temperatures}", "tracking.enabled=false", "report=false", *words,
        ]  # fmt: skip
        started = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        whole = time.perf_counter() - started
        (path,) = Path(folder).glob("outputs/*/*/sweep.json")
        run = json.loads(path.read_text(encoding="utf-8"))
    assert run["scored"] == TRIALS * jobs
    rate = run["dispatch_requests_per_s"]
    return (run["requests_sent"] / rate if rate else whole), whole


def main() -> None:
    """Measure pooled sweeps, and the basic launcher for twelve jobs."""
    with tempfile.TemporaryDirectory() as folder, provider(Path(folder), LATENCY_S) as base:
        sweep(base, 1)  # warms the disk's cache
        times = {jobs: sweep(base, jobs) for jobs in JOBS}
        one = times[1][0]
        for jobs, (seconds, whole) in times.items():
            ratio = f"{seconds / one:.2f} x one job"
            print(f"pooled, {jobs:2} jobs: dispatch {seconds:5.2f} s ({ratio}), whole {whole:5.1f} s")
        _, basic = sweep(base, 12, "hydra/launcher=basic")
        print(f"basic,  12 jobs: whole {basic:5.1f} s ({basic / times[12][1]:.1f} x pooled)")
    print(f"goal, two jobs in about the time of one (1.3 x): {'met' if times[2][0] <= 1.3 * one else 'MISSED'}")


if __name__ == "__main__":
    main()
