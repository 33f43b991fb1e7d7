"""A coroutine run to its end, from anywhere: also where an event loop runs already, as in a notebook."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None) -> T:
    """What the coroutine returns or raises; `new_loop` makes its event loop, None: asyncio's own.

    As asyncio.run. Under a running event loop it has a thread of its own, and the caller waits for that: signals stay
    the main thread's, and a KeyboardInterrupt there cancels the coroutine before it is raised.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(main)
    return _Beside(main, new_loop).result()


class _Beside(Generic[T]):
    """A coroutine in a thread with an event loop of its own."""

    def __init__(self, main: Coroutine[Any, Any, T], new_loop: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
        self._main, self._new_loop = main, new_loop
        self._cancel: Callable[[], object] | None = None
        self._cancelled = False
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._ended = threading.Event()
        # What a caller has set, such as where a notebook's output goes, holds here too.
        words = contextvars.copy_context().run, self._run
        self._thread = threading.Thread(target=words[0], args=words[1:], name="event loop")

    def result(self) -> T:
        self._thread.start()
        interrupt: KeyboardInterrupt | None = None
        while not self._ended.is_set():
            try:
                self._ended.wait()  # a join that is interrupted takes the thread for ended (bpo-45274)
            except KeyboardInterrupt as error:
                interrupt = error
                self._cancelled = True
                if self._cancel is not None:
                    self._cancel()
        self._thread.join()
        if interrupt is not None:
            raise interrupt
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._new_loop) as runner:
                self._result.append(runner.run(self._watched()))
        except BaseException as error:  # noqa: BLE001  whoever waits for it raises it
            self._error = error
        finally:
            self._ended.set()

    async def _watched(self) -> T:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None  # noqa: S101  a coroutine runs in a task
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            if self._cancelled:
                self._main.close()
                raise asyncio.CancelledError
            return await self._main
        finally:
            self._cancel = None
