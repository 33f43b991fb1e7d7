"""One asyncio server on one port: HTTP -> Call -> provider -> HttpAnswer -> HTTP. Only it knows aiohttp."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Self

from runner import event_loop
from runner.simulator.faults import ConnectionDropped, Traffic, latency_s, retry_headers
from runner.simulator.http import Call, HttpAnswer, answer
from runner.simulator.plan import FaultPlan
from runner.simulator.registry import WRITERS, providers
from runner.simulator.state import World
from runner.simulator.storage import Memory
from runner.simulator.values import Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from re import Match
    from types import TracebackType

    from aiohttp import web

    from runner.simulator.http import Provider, Route
    from runner.simulator.state import Count

SWEEP_S = 0.02
CHUNK = 200
"""Result lines of a large batch that are written between two requests."""


class Simulator:
    """The providers on one port, while the context is open.

    `base` is the address to put a provider's prefix behind (registry.BASES): f"{base}/openai/v1". With `state`, an
    SQLite file, batches and files outlive it. `clock` gives the time in seconds since the epoch.
    """

    def __init__(
        self,
        plan: FaultPlan | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        state: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.plan = plan or FaultPlan()
        self.base = ""
        self._place = (host, port)
        self._memory = Memory(state)
        self._world = World(self.plan, WRITERS, self._memory, clock)
        self._world.restore()
        self._traffic = Traffic(self.plan)
        self._providers = providers()
        self._open = 0
        self._runner: web.ServerRunner | None = None
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def count(self) -> Count:
        """What was asked for so far."""
        return self._world.count()

    async def __aenter__(self) -> Self:
        from aiohttp import web

        # aiohttp does not publish the types of these arguments.
        def request_of(message, payload, protocol, writer, task):  # type: ignore[no-untyped-def]
            # Batch files are larger than what aiohttp takes by default; zero is no limit.
            loop = asyncio.get_running_loop()
            return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=0)

        server = web.Server(self._handle, request_factory=request_of, access_log=None)
        self._runner = web.ServerRunner(server, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, *self._place).start()
        host, port = self._runner.addresses[0][:2]
        self.base = f"http://{host}:{port}"
        self._sweeper = asyncio.create_task(self._sweep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeper
        if self._runner is not None:
            await self._runner.cleanup()
        self._memory.close()

    async def _sweep(self) -> None:
        """Write the results of large batches bit by bit."""
        while True:
            await asyncio.sleep(SWEEP_S)
            for job in self._world.due():
                while job.settled < len(job.items):
                    self._world.settle(job, min(len(job.items), job.settled + CHUNK))
                    await asyncio.sleep(0)

    # ---- one request

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if path == "/_count":
            count = asdict(self.count)
            if request.query.get("items") == "0":
                count.update(items={}, bodies={})
            return self._response(answer({**count, "bought_again": self.count.bought_again}))
        found = self._find(request.method, path)
        if found is None:
            self._world.requests["unknown", f"{request.method} {path}"] += 1
            return self._response(answer({"error": {"message": f"Nothing is at {request.method} {path}"}}, 404))
        self._open += 1
        self._world.peak = max(self._world.peak, self._open)
        try:
            return await self._answer(request, *found)
        except ConnectionDropped:
            return self._hang_up(request)
        finally:
            self._open -= 1

    def _find(self, method: str, path: str) -> tuple[str, Provider, Route, Match[str]] | None:
        for prefix, provider in self._providers:
            if path.startswith(prefix) and (found := provider.find(method, path[len(prefix) :])) is not None:
                return prefix, provider, *found
        return None

    async def _answer(
        self, request: web.BaseRequest, prefix: str, provider: Provider, route: Route, match: Match[str]
    ) -> web.StreamResponse:
        world, plan = self._world, self.plan
        world.requests[provider.name, route.endpoint] += 1
        call = Call(
            request.method,
            match.string,
            prefix,
            {name: ",".join(request.query.getall(name)) for name in request.query},
            {name.lower(): value for name, value in request.headers.items()},
            await request.read(),
            f"http://{request.host}",
        )
        reply = self._decided(provider, route, match, call)
        if plan.latency_s or plan.jitter_s:
            await asyncio.sleep(latency_s(plan, world.turn("latency")))
        accepted = reply.status < 300
        if accepted and route.purpose == "create" and world.strikes(f"drop_create {provider.name}", plan.drop_create):
            raise ConnectionDropped
        if callable(reply.body):
            reply = HttpAnswer(reply.status, await asyncio.to_thread(reply.body), reply.headers, reply.content_type)
        if accepted and route.purpose == "download" and world.strikes("drop_download", plan.drop_download):
            return await self._half(request, reply)
        return self._response(reply)

    def _decided(self, provider: Provider, route: Route, match: Match[str], call: Call) -> HttpAnswer:
        try:
            told = self._traffic.admit(self._world, provider, route, call)
            reply = route.handle(self._world, call, match)
        except Refused as refused:
            refusal = provider.refusal(refused)
            return HttpAnswer(refusal.status, refusal.body, {**refusal.headers, **retry_headers(refused)})
        return HttpAnswer(reply.status, reply.body, {**reply.headers, **told}, reply.content_type) if told else reply

    def _response(self, reply: HttpAnswer) -> web.Response:
        from aiohttp import web

        assert isinstance(reply.body, bytes)  # noqa: S101  a function has been called by now
        return web.Response(
            status=reply.status, body=reply.body, headers=reply.headers, content_type=reply.content_type
        )

    def _hang_up(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return self._response(HttpAnswer(500))

    async def _half(self, request: web.BaseRequest, reply: HttpAnswer) -> web.StreamResponse:
        """Half of the body, then no more."""
        from aiohttp import web

        assert isinstance(reply.body, bytes)  # noqa: S101  a function has been called by now
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        response.content_type = reply.content_type
        response.content_length = len(reply.body)
        await response.prepare(request)
        await response.write(reply.body[: len(reply.body) // 2])
        if request.transport is not None:
            request.transport.close()
        return response


class SimulatorThread:
    """A Simulator in a thread of its own, for code that is not asynchronous. Takes what Simulator takes."""

    def __init__(
        self,
        plan: FaultPlan | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        state: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._simulator = Simulator(plan, host=host, port=port, state=state, clock=clock)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulator", daemon=True)

    @property
    def base(self) -> str:
        """As Simulator.base."""
        return self._simulator.base

    @property
    def count(self) -> Count:
        """As Simulator.count; it stays when the context is closed."""
        if self._loop.is_closed():
            return self._simulator.count

        async def counted() -> Count:
            return self._simulator.count

        return asyncio.run_coroutine_threadsafe(counted(), self._loop).result(60)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._simulator.__aenter__(), self._loop).result(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._simulator.__aexit__(kind, error, trace), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


def serve(
    host: str,
    port: int,
    plan: FaultPlan,
    *,
    state: Path | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until interrupted (Ctrl-C, SIGTERM). `ready` is told the address once it is open. OSError: port taken."""
    import signal

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():  # signals are the main thread's
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop.set)
        async with Simulator(plan, host=host, port=port, state=state) as simulator:
            if ready is not None:
                ready(simulator.base)
            await stop.wait()

    with suppress(KeyboardInterrupt):  # where it runs beside an event loop that was there before
        event_loop.run(run())
