"""Calls of the same moment, answered as one.

A caller awaits ``batch(item)``. Items that arrive while every lane is busy are handed to the next free lane together,
so that one round trip (or one commit) serves them all. An idle batch answers its first item at once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Batch(Generic[K, V]):
    """``run`` gets a list of items and answers one result an item, in order; an Exception in it is raised there.

    ``limit`` is the most items of one run, ``lanes`` the most runs at a time.
    """

    def __init__(
        self, run: Callable[[Sequence[K]], Awaitable[Sequence[V | Exception]]], *, limit: int = 256, lanes: int = 1
    ) -> None:
        self._run = run
        self._limit = limit
        self._lanes = lanes
        self._waiting: deque[tuple[K, asyncio.Future[V]]] = deque()
        self._busy = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, item: K) -> V:
        future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._busy < self._lanes:
            self._open_lane()
        return await future

    def _open_lane(self) -> None:
        # A task starts on the next turn of the loop: whatever this turn still brings joins the same run.
        self._busy += 1
        task = asyncio.create_task(self._drive())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drive(self) -> None:
        try:
            await self._empty()
        finally:
            # Here and not in a callback: a caller that was just answered may come again before callbacks run.
            self._busy -= 1

    async def _empty(self) -> None:
        while self._waiting:
            entries = [self._waiting.popleft() for _ in range(min(self._limit, len(self._waiting)))]
            try:
                results = await self._run([item for item, _ in entries])
                if len(results) != len(entries):
                    raise RuntimeError(f"{len(results)} results for {len(entries)} items")
            except asyncio.CancelledError:
                for _, future in entries:
                    future.cancel()  # nobody else would ever answer them
                raise
            except Exception as error:  # noqa: BLE001 - every waiter must hear of it; the lane goes on
                results = [error] * len(entries)
            for (_, future), result in zip(entries, results, strict=True):
                _settle(future, result)


def _settle(future: asyncio.Future[V], result: V | Exception) -> None:
    if future.done():  # its caller has gone
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
