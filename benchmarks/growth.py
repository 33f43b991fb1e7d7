"""What a trial costs in seconds and memory when there are ten times as many, and what a finished sweep costs again.

Sweeps of four jobs, 10,000 and 100,000 trials in all, against a provider that answers after 5 ms, so that this machine
is the limit. Memory is the peak of the program's own process. Once without MLflow and report, seconds of the whole
command less what a sweep of a few trials takes, which is the start. Once with everything as it is by default, whole
seconds: MLflow's start takes its time from a short dispatch and none from a long one, so it can be taken off neither.
Then the finished sweep of 100,000 is started again in the same folder.

    python benchmarks/growth.py [--trials 10000] [--rounds 2] [--quick]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import goals
from launch import launch, openai_words
from slow_provider import Provider, serve

if TYPE_CHECKING:
    from launch import Launched

LATENCY_S, IN_FLIGHT, TIMES = 0.005, 100, 10
TEMPERATURES, PERSONAS, TEXTS = 4, 4, 25
CELLS = TEMPERATURES * PERSONAS * TEXTS
OFF = ("tracking.enabled=false", "report=false")
STORY = "The lamp was lit for the last time. Then the fog came in, and a horn cried from the wrong side of the reef. "


def texts_of(folder: Path) -> Path:
    """So many short stories, one in a file."""
    place = folder / "texts"
    place.mkdir()
    for number in range(TEXTS):
        (place / f"story{number:02}.txt").write_text(f"Story {number}. {STORY * 8}", encoding="utf-8")
    return place


def sweep(folder: Path, texts: Path, provider: Provider, trials: int, *words: str) -> Launched:
    """A sweep of about so many trials."""
    asked = (
        "-m", "text=folder", f"text.folder.path={texts}", "sampling.temperature=0.1,0.4,0.7,1.0",
        f"sampling.trials={max(1, trials // CELLS)}",
    )  # fmt: skip
    folder.mkdir(exist_ok=True)
    run = launch(folder, *asked, *openai_words(provider.base, IN_FLIGHT), *words)
    assert run.facts["scored"] == run.facts["trials"] == CELLS * max(1, trials // CELLS)
    peak = f"{run.peak_mb:5.0f} MB" if run.peak_mb is not None else "unknown"
    sent = run.facts["requests_sent"]
    rate = f"{run.rate:6.0f}/s dispatched" if sent else "nothing sent"
    print(f"{run.facts['trials']:7} trials: {run.seconds:6.1f} s, peak {peak}, {rate}  {' '.join(words)}", flush=True)
    return run


def ratios(label: str, start_s: float, small: list[Launched], large: Launched) -> None:
    """Print the goals of one pair of sizes, `start_s` taken off the seconds of both."""
    one_s = statistics.median(run.seconds for run in small) - start_s
    many_s = large.seconds - start_s
    goals.at_most(f"growth, {label}, seconds of ten times as many trials", 1.15, many_s / one_s / TIMES, " x")
    peaks = [run.peak_mb for run in small if run.peak_mb is not None]
    missing = "this system tells no process's peak"
    goals.at_most(f"growth, {label}, peak memory of the larger", 400, large.peak_mb, " MB", why=missing)
    share = large.peak_mb / statistics.median(peaks) if large.peak_mb is not None and peaks else None
    goals.at_most(f"growth, {label}, peak memory, of the smaller", 1.3, share, " x", why=missing)


def main() -> None:
    """Measure both sizes both ways, and the larger again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--trials", type=int, default=10_000, help="the smaller number")
    parser.add_argument("--rounds", type=int, default=2, help="of the smaller, whose median counts")
    parser.add_argument("--quick", action="store_true", help="1,000 and 10,000 trials, one round")
    words = parser.parse_args()
    trials, rounds = (1_000, 1) if words.quick else (words.trials, words.rounds)
    with tempfile.TemporaryDirectory() as name, serve(LATENCY_S) as provider:
        folder = Path(name)
        texts = texts_of(folder)
        start = sweep(folder / "start", texts, provider, CELLS, *OFF)
        small = [sweep(folder / f"small{n}", texts, provider, trials, *OFF) for n in range(rounds)]
        large = sweep(folder / "large", texts, provider, trials * TIMES, *OFF)
        provider.stamps(forget=True)
        bare = sweep(folder / "large", texts, provider, trials * TIMES, *OFF)
        again = sweep(folder / "large", texts, provider, trials * TIMES, "report=false")
        asked = provider.stamps().requests
        usual_small = [sweep(folder / f"usual_small{n}", texts, provider, trials) for n in range(rounds)]
        usual = sweep(folder / "usual", texts, provider, trials * TIMES)
    print(f"again, without MLflow {bare.seconds:.1f} s, with MLflow {again.seconds:.1f} s; {asked} requests came")
    ratios("without MLflow and report, without the start", start.seconds, small, large)
    ratios("as it is by default", 0.0, usual_small, usual)
    goals.at_most("done already, requests of the larger sweep again", 0, asked)
    goals.at_most("done already, the larger sweep again, report apart", 10, again.seconds, " s")


if __name__ == "__main__":
    main()
