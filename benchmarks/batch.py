"""Batches of 5,000 and of 50,000 items: packed, sent, fetched, scored, by the program against the simulated OpenAI.

Time and the runner's peak memory for both; what an item costs must not grow with their number. A run of a dozen items
shows what starting takes and is subtracted. Of several rounds, taken in turns, the one of median length counts.

Beside each run, the same file through the same provider by aiohttp alone: uploaded, run, downloaded and thrown away.
That is the simulator's own share of the time, on the same machine.

    python benchmarks/batch.py [--items 5000 50000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import goals

if TYPE_CHECKING:
    from collections.abc import Iterator

    import aiohttp

CELLS = 8
"""Two texts and four personas: so many items for each repetition."""
FEW = 12
LINEAR = 1.15
MOST_BYTES = 4096
"""Of memory for each further item. Its key, its place and its figures are kept; neither its request nor its reply."""
MODEL = """# @package model.mini
id: gpt-4o-mini
provider: openai
vendor: openai
key_env: SIMULATED_KEY
api_base: {base}
capability: {{structure: schema, batch: openai}}
"""


@dataclass(frozen=True)
class Run:
    """Seconds of one run, by its stages, and its peak memory."""

    items: int
    batches: int
    packed_s: float
    """From the start of the program to the last file of items."""
    fetched_s: float
    """From there to the last file of results: sent, run by the provider, downloaded, every answer in the ledger."""
    scored_s: float
    """From there to the end of the program: rows, replies, tables."""
    peak_bytes: int
    alone_s: float
    """Of aiohttp with the same files, from the upload to the last byte of the results."""

    @property
    def whole_s(self) -> float:
        """The program from start to end."""
        return self.packed_s + self.fetched_s + self.scored_s


@contextmanager
def simulator(folder: Path) -> Iterator[str]:
    """The simulated providers in a process of their own; gives OpenAI's base address."""
    plan = folder / "plan.yaml"
    plan.write_text("{batch_s: 0.1}\n", encoding="utf-8")
    command = [sys.executable, "-m", "runner", "simulate", "--port", "0", "--plan", str(plan)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield next(line.split()[1] for line in process.stdout if line.startswith("openai "))
    finally:
        process.kill()
        process.wait()


def measure(base: str, items: int) -> Run:
    """A run of so many items, in a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "mine" / "model").mkdir(parents=True)
        (folder / "mine" / "model" / "mini.yaml").write_text(MODEL.format(base=base), encoding="utf-8")
        texts, repetitions = (
            ("[lighthouse,parcel]", items // CELLS) if items >= CELLS * 2 else ("[lighthouse]", FEW // 4)
        )
        command = [
            sys.executable, "-m", "runner", "--config-dir=mine", "model=mini", f"text={texts}",
            f"sampling.trials={repetitions}", "batch=native", "batch.size=auto",
            "tracking.enabled=false", "report=false",
        ]  # fmt: skip
        started = time.time()
        environment = {**os.environ, "SIMULATED_KEY": "simulated"}
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        ended = time.time()
        process.returncode = os.waitstatus_to_exitcode(status)
        (run_json,) = folder.glob("outputs/*/*/run.json")
        run = json.loads(run_json.read_text(encoding="utf-8"))
        assert (process.returncode, run["scored"]) == (0, items), f"ended with {process.returncode}: {run}"
        files = list(folder.glob("outputs/batches/*.in.jsonl"))
        packed = max(path.stat().st_mtime for path in files)
        results = [path for path in folder.glob("outputs/batches/*.jsonl") if path not in files]
        fetched = max(path.stat().st_mtime for path in results)
        kilo = 1 if sys.platform == "darwin" else 1024
        return Run(
            items, len(files), packed - started, fetched - packed, ended - fetched, used.ru_maxrss * kilo,
            asyncio.run(alone(base, files)),
        )  # fmt: skip


async def alone(base: str, files: list[Path]) -> float:
    """Seconds that the provider takes for the same files when nothing is done with its results."""
    import aiohttp

    started = time.perf_counter()
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer other"}, timeout=timeout) as http:
        await asyncio.gather(*(_through(http, base, path) for path in files))
    return time.perf_counter() - started


async def _through(http: aiohttp.ClientSession, base: str, path: Path) -> None:
    import aiohttp

    form = aiohttp.FormData()
    form.add_field("purpose", "batch")
    with path.open("rb") as file:
        form.add_field("file", file, filename=path.name)
        async with http.post(f"{base}/files", data=form) as response:
            uploaded = (await response.json())["id"]
    told = {"input_file_id": uploaded, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    async with http.post(f"{base}/batches", json=told) as response:
        batch = await response.json()
    while batch["status"] != "completed":
        await asyncio.sleep(0.2)
        async with http.get(f"{base}/batches/{batch['id']}") as response:
            batch = await response.json()
    async with http.get(f"{base}/files/{batch['output_file_id']}/content") as response:
        async for _ in response.content.iter_any():
            pass


def main() -> None:
    """Measure all sizes, print stages, memory and ratios, and name the goals that are missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, nargs=2, default=[5_000, 50_000], metavar=("FEW", "MANY"))
    parser.add_argument("--rounds", type=int, default=3)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, simulator(Path(folder)) as base:
        sizes = (FEW, *words.items)
        rounds = [[measure(base, items) for items in sizes] for _ in range(words.rounds)]
    first, *runs = (sorted(turn, key=lambda run: run.whole_s)[words.rounds // 2] for turn in zip(*rounds, strict=True))
    for run in (first, *runs):
        print(
            f"{run.items:6} items in {run.batches} batches: {run.whole_s:6.1f} s "
            f"(start and pack {run.packed_s:.1f}, send to fetched {run.fetched_s:.1f}, score {run.scored_s:.1f}), "
            f"peak {run.peak_bytes / 2**20:.0f} MB; the provider alone {run.alone_s:.1f} s"
        )
    few, many = runs
    each = [(run.whole_s - first.whole_s) / run.items for run in runs]
    ours = [(run.whole_s - run.alone_s - first.whole_s + first.alone_s) / run.items for run in runs]
    for name, (of_few, of_many) in (("", each), (", without the provider", ours)):
        print(f"an item{name}: {of_few * 1e3:.2f} and {of_many * 1e3:.2f} ms")
    ratio = each[1] / each[0]
    goals.at_most("batch, time an item of 50,000, of 5,000", LINEAR, ratio, " x")
    growth = (many.peak_bytes - few.peak_bytes) / (many.items - few.items)
    goals.at_most("batch, memory for a further item", MOST_BYTES, growth, " bytes")


if __name__ == "__main__":
    main()
