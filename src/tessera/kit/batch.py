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


FEW = 3
"""So many callers are no crowd: nobody waits for them."""


class Batch(Generic[K, V]):
    """``run`` gets a list of items and answers one result an item, in order; an Exception in it is raised there.

    ``limit`` is the most items of one run, ``lanes`` the most runs at a time. Those who were answered together often
    come again together: ``gather`` is how many seconds a run waits at the most until they are as many as last time,
    which pays where a run is dear. After a run of few nobody waits.
    """

    def __init__(
        self,
        run: Callable[[Sequence[K]], Awaitable[Sequence[V | Exception]]],
        *,
        limit: int = 256,
        lanes: int = 1,
        gather: float = 0.0,
    ) -> None:
        self._run = run
        self._gather = gather
        self._last = 0
        self._enough: asyncio.Future[None] | None = None
        self._limit = limit
        self._lanes = lanes
        self._waiting: deque[tuple[K, asyncio.Future[V]]] = deque()
        self._busy = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, item: K) -> V:
        return await self.add(item)

    def add(self, item: K) -> "asyncio.Future[V]":
        """The same for a caller with something else to do: its answer to come. Who cancels it only does not hear it."""
        future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._enough is not None and len(self._waiting) >= self._last:
            _open(self._enough)
        if self._busy < self._lanes:
            self._open_lane()
        return future

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
            if self._gather and FEW < self._last > len(self._waiting) and self._enough is None:
                await self._wait_for_others()
            entries = [self._waiting.popleft() for _ in range(min(self._limit, len(self._waiting)))]
            if not entries:
                return  # another lane was quicker
            self._last = len(entries)
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

    async def _wait_for_others(self) -> None:
        loop = asyncio.get_running_loop()
        self._enough = loop.create_future()
        alarm = loop.call_later(self._gather, _open, self._enough)
        try:
            await self._enough
        finally:
            alarm.cancel()
            self._enough = None


def _open(gate: "asyncio.Future[None]") -> None:
    if not gate.done():
        gate.set_result(None)


def _settle(future: asyncio.Future[V], result: V | Exception) -> None:
    if future.done():  # its caller has gone
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
