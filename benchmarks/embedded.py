"""The embedded model: trials a second of a run, beside llama.cpp's own continuous batching on the same requests.

The run's requests are recorded first, then sent to llama.cpp's server alone, in a process of its own with its own
defaults, as many at once as it has slots; the best number of slots counts. A seed makes both write the same replies.

    python benchmarks/embedded.py [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import goals
from launch import launch

WORDS = ("sampling.seed=1", "tracking.enabled=false", "report=false")
SLOTS = (1, 2, 4, 8)
CONTEXT_TOKENS = 4096
"""Of a slot; as the runner's."""
EMPTY = {
    "id": "x", "object": "chat.completion", "created": 0, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "{}"}, "finish_reason": "stop"}],
}  # fmt: skip


def record() -> list[bytes]:
    """The bodies that a run sends, in its order; a stand-in takes them."""
    from aiohttp import web

    bodies: list[bytes] = []
    ready, loop = threading.Event(), asyncio.new_event_loop()
    port = [0]

    async def chat(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.json_response(EMPTY)

    def serve() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", chat)
        runner = web.AppRunner(app, access_log=None)
        loop.run_until_complete(runner.setup())
        loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
        port[0] = runner.addresses[0][1]
        ready.set()
        loop.run_forever()

    threading.Thread(target=serve, daemon=True).start()
    ready.wait()
    base = f"model.smollm2.api_base=http://127.0.0.1:{port[0]}/v1"
    with tempfile.TemporaryDirectory() as folder:
        launch(Path(folder), base, "model.smollm2.limits.concurrency=1", *WORDS)
    loop.call_soon_threadsafe(loop.stop)
    return bodies


def serve(slots: int) -> None:
    """llama.cpp's server until the input ends; prints its address."""
    from runner.providers.embedded import weights_of
    from runner.records import Model

    model = Model(name="smollm2", id="SmolLM2-135M-Instruct.Q4_1", provider="embedded", vendor="smollm2")
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(weights_of(model))
    params.n_parallel = slots
    params.n_ctx = CONTEXT_TOKENS * slots
    params.cpuparams.n_threads = os.cpu_count() or 1
    params.verbosity = -1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


def alone(bodies: list[bytes], slots: int) -> tuple[float, int]:
    """(requests a second, tokens of all replies) of llama.cpp alone."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(slots)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    base = process.stdout.readline().strip()
    try:
        return asyncio.run(_ask(f"{base}/v1/chat/completions", bodies, slots))
    finally:
        process.kill()
        process.wait()


async def _ask(url: str, bodies: list[bytes], slots: int) -> tuple[float, int]:
    import aiohttp

    left, tokens = iter(bodies), 0

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal tokens
        for body in left:
            async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
                reply: dict[str, Any] = await response.json()
                assert response.status == 200, reply
                tokens += reply["usage"]["completion_tokens"]

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        started = time.perf_counter()
        await asyncio.gather(*(work(session) for _ in range(slots)))
        return len(bodies) / (time.perf_counter() - started), tokens


def embedded() -> tuple[float, int]:
    """(requests a second, tokens of all replies) of a run."""
    with tempfile.TemporaryDirectory() as folder:
        done = launch(Path(folder), *WORDS)
        rows = (done.folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
        return done.rate, sum(json.loads(row)["tokens"]["output"] for row in rows)


def main() -> None:
    """Measure and print the ratio to llama.cpp's best."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer numbers of slots")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.serve:
        serve(words.serve)
        return
    bodies = record()
    rates: dict[int, float] = {}
    for slots in SLOTS[1:3] if words.quick else SLOTS:
        rates[slots], tokens = alone(bodies, slots)
        print(f"llama.cpp alone, {slots} slots: {rates[slots]:5.2f} trials/s, {tokens} tokens")
    rate, tokens = embedded()
    print(f"runner:                  {rate:5.2f} trials/s, {tokens} tokens")
    goals.at_least("embedded model, trials a second, of llama.cpp's own best", 0.9, rate / max(rates.values()))


if __name__ == "__main__":
    main()
