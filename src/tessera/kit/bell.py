"""Waiting in thousands, for little memory: a bell, an alarm that is no task until it rings, a gate.

A task that sleeps costs thousands of bytes and a dozen objects which the garbage collector looks at again and again;
a timer and a future cost a few hundred.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager


class Bell(asyncio.Event):
    """An event that many wait for, each so long at the most; who gives up costs nobody a search."""

    def __init__(self) -> None:
        super().__init__()
        self._listening: set[asyncio.Future[bool]] = set()

    def set(self) -> None:
        super().set()
        for future in self._listening:
            _answer(future, True)

    async def within(self, seconds: float) -> bool:
        """Wait until it is set, so many seconds at the most; answers whether it is."""
        if self.is_set():
            return True
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(seconds, _answer, future, False)
        self._listening.add(future)
        try:
            return await future
        finally:
            self._listening.discard(future)
            timer.cancel()


class Alarm:
    """Begins ``work`` after so many seconds, or when it is asked to, and once at the most."""

    def __init__(self, seconds: float, work: Callable[[], Coroutine[None, None, None]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(seconds, self._begin)

    async def ring(self) -> None:
        """Begin the work now, if it has not begun, and wait until it is done."""
        await asyncio.wait({self._begin()})

    def cancel(self) -> None:
        """Whatever has not been done is not done any more."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> "asyncio.Task[None]":
        self._timer.cancel()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())
        return self._task


class Gate:
    """Lets ``room`` through at a time, in the order in which they came.

    Who is inside for longer than ``patience`` seconds counts no more: such a one waits for somebody else, and those who
    could go on here would wait for nothing.
    """

    def __init__(self, room: int, *, patience: float) -> None:
        self._free = asyncio.Semaphore(room)
        self._patience = patience

    @asynccontextmanager
    async def through(self) -> AsyncIterator[None]:
        """Wait for a place, and hold it while the block runs."""
        await self._free.acquire()
        place = _Place(self._free, self._patience)
        try:
            yield
        finally:
            place.leave()


class _Place:
    """A place inside a gate, given up once."""

    def __init__(self, free: asyncio.Semaphore, patience: float) -> None:
        self._free = free
        self._timer = asyncio.get_running_loop().call_later(patience, self.leave)
        self._held = True

    def leave(self) -> None:
        if self._held:
            self._held = False
            self._timer.cancel()
            self._free.release()


def _answer(future: "asyncio.Future[bool]", rung: bool) -> None:
    if not future.done():
        future.set_result(rung)
