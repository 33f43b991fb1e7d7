"""Every benchmark, one after another, each in a process of its own; then all goals, and benchmarks/RESULTS.md.

Ends well whether goals are met or not, and names those that are missed; fails only where a benchmark could not run.
Installing the peers takes some minutes the first time, and a network; without one, --no-peers leaves them out.

    python benchmarks/all.py [--no-peers] [--quick] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from goals import Goal

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"
MOST_S = 900
"""Most seconds for one benchmark."""
NAMES = ("start", "throughput", "peers", "growth", "quota", "sweep", "mlflow_cells", "batch", "kills", "embedded",
         "calibration", "design")  # fmt: skip
"""In the order in which they run; one whose script is not there is left out."""
WITH_PEERS = {"peers", "quota"}
"""What installs something of its own."""
PACKAGES = (
    "persona-runner",
    "aiohttp",
    "uvloop",
    "litellm",
    "hydra-core",
    "sqlalchemy",
    "mlflow",
    "pandas",
    "xllamacpp",
)


@dataclass(slots=True)
class Benchmark:
    """One script's run."""

    name: str
    goals: list[Goal] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    status: int = 0
    seconds: float = 0.0
    load: float = 0.0
    """Of the machine in the minute before it began."""


def run(name: str, *words: str) -> Benchmark:
    """Run a script, show what it prints as it comes, and keep it."""
    print(f"\n== {name}", flush=True)
    done = Benchmark(name, load=os.getloadavg()[0])
    started = time.perf_counter()
    environment = {
        **os.environ, "PYTHONUNBUFFERED": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, str(HERE / f"{name}.py"), *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment,
        start_new_session=True,
    )  # fmt: skip
    # As Ctrl-C would, so that servers are ended and folders removed.
    watch = threading.Timer(MOST_S, os.killpg, (process.pid, signal.SIGINT))
    watch.start()
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        done.lines.append(line.rstrip())
        if goal := Goal.read(line):
            done.goals.append(goal)
    done.status = process.wait()
    watch.cancel()
    done.seconds = time.perf_counter() - started
    return done


def install() -> None:
    """Install the peers, apart from every measurement; what cannot be installed says so again where it is missed."""
    print("== what is compared to: installed once, below build/peers", flush=True)
    subprocess.run([sys.executable, str(HERE / "peers.py"), "--install-only"], check=False)


def takes(name: str, word: str) -> bool:
    """Whether a script knows an option."""
    return f'"{word}"' in (HERE / f"{name}.py").read_text(encoding="utf-8")


# ---- the page -------------------------------------------------------------------------------------------------------


def machine() -> list[tuple[str, str]]:
    """What the numbers were measured on."""
    processor = _found("/proc/cpuinfo", r"model name\s*: (.+)") or platform.processor()
    memory_kb = _found("/proc/meminfo", r"MemTotal:\s*(\d+)")
    return [
        ("date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ("commit", _commit()),
        ("processor", f"{processor}, {os.cpu_count()} cores"),
        ("memory", f"{int(memory_kb) / 1024**2:.0f} GiB" if memory_kb else "unknown"),
        ("system", f"{platform.system()}, Python {platform.python_version()}"),
        ("packages", ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name)))),
    ]


def _found(path: str, pattern: str) -> str | None:
    try:
        found = re.search(pattern, Path(path).read_text(encoding="utf-8"))
    except OSError:
        return None
    return found[1].strip() if found else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    dirty = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "--short=10", "HEAD") or "unknown") + (" and changes" if dirty else "")


def page(done: list[Benchmark], left_out: list[str]) -> str:
    """The whole of RESULTS.md."""
    head = [
        "# Results of the benchmarks",
        "",
        "Written by `make bench`; each part is what its script in this folder printed. Ratios are of numbers measured",
        "side by side in one run, so they hold elsewhere better than the numbers themselves.",
        "",
        *(f"- {name}: {value}" for name, value in machine()),
        f"- load average before each: {', '.join(f'{one.name} {one.load:.1f}' for one in done)}",
        f"- whole time: {sum(one.seconds for one in done) / 60:.0f} min",
    ]
    if left_out:
        head.append(f"- left out: {', '.join(left_out)}")
    rows = [f"| {one.name} | {one.want} | {one.got} | {one.state} |" for part in done for one in part.goals]
    table = ["", "| goal | wanted | measured | |", "|---|---|---|---|", *rows, ""]
    parts = [
        line
        for one in done
        for line in (
            f"## {one.name}",
            "",
            f"{_doc(one.name)} {one.seconds:.0f} s.",
            "",
            "```text",
            *one.lines,
            "```",
            "",
        )
    ]
    return "\n".join([*head, *table, *parts])


def _doc(name: str) -> str:
    """A script's first sentence."""
    text = (HERE / f"{name}.py").read_text(encoding="utf-8").split('"""')[1]
    return " ".join(text.split("\n\n")[0].split())


def main() -> int:
    """Run what is asked; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--no-peers", action="store_true", help="leave out what must be installed first")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and trials; writes no RESULTS.md")
    parser.add_argument("--only", nargs="+", choices=NAMES, help="writes no RESULTS.md")
    words = parser.parse_args()
    there = [name for name in NAMES if (HERE / f"{name}.py").exists()]
    left_out = [name for name in there if words.no_peers and name in WITH_PEERS]
    wanted = [name for name in there if name not in left_out and name in (words.only or NAMES)]
    if WITH_PEERS & set(wanted):
        install()
    done = [run(name, *(["--quick"] if words.quick and takes(name, "--quick") else [])) for name in wanted]
    every = [goal for one in done for goal in one.goals]
    print("\n== goals")
    for goal in every:
        print(goal)
    if not (words.quick or words.only):
        RESULTS.write_text(page(done, left_out), encoding="utf-8")
        print(f"\nwritten: {RESULTS.relative_to(HERE.parent)}")
    short = [goal.name for goal in every if goal.state != "met"]
    print(f"{len(every) - len(short)} of {len(every)} goals met")
    for name in short:
        print(f"falls short: {name}")
    broken = [one.name for one in done if one.status]
    if broken:
        print(f"could not run: {', '.join(broken)}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
