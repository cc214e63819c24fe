"""Things that arrive, to be awaited one by one: what a test does instead of sleeping."""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds after which a test gives up hope; nothing that goes well takes nearly as long."""


class Mailbox(Generic[T]):
    """``put`` never waits; ``next`` waits for what comes next, in order. ``seen`` has all that ever came."""

    def __init__(self) -> None:
        self.seen: list[T] = []
        self._queue: asyncio.Queue[T] = asyncio.Queue()

    def put(self, item: T) -> None:
        self.seen.append(item)
        self._queue.put_nowait(item)

    async def next(self, timeout: float = PATIENCE) -> T:
        """Raises TimeoutError when nothing comes within ``timeout`` seconds."""
        async with asyncio.timeout(timeout):
            return await self._queue.get()

    @property
    def empty(self) -> bool:
        """Whether all that came was taken."""
        return self._queue.empty()
