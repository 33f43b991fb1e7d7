"""A provider on loopback that answers every chat request after a fixed latency, as fast as aiohttp can.

python slow_provider.py LATENCY_S CONTENT_FILE     prints its port; GET /count gives the requests so far
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from aiohttp import web


def main() -> None:
    """Serve until killed."""
    latency_s = float(sys.argv[1])
    body = Path(sys.argv[2]).read_bytes()
    counted = [0]

    async def chat(request: web.Request) -> web.Response:
        await request.read()
        counted[0] += 1
        await asyncio.sleep(latency_s)
        return web.Response(body=body, content_type="application/json")

    async def count(_request: web.Request) -> web.Response:
        return web.Response(text=str(counted[0]))

    async def started(app: web.Application) -> None:
        del app
        print(runner.addresses[0][1], flush=True)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/count", count)
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(app, access_log=None)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start())
    loop.run_until_complete(started(app))
    loop.run_forever()


if __name__ == "__main__":
    main()
