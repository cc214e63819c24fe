"""A store that takes its time holds up uploads, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tessera.storage.base import Stat, Store

UPLOAD = {"base64Data": "SGVsbG8gdGhlcmU=", "uploadPath": "notes"}


class Slow:
    """A store whose renames wait until they are let go; ``begun`` counts them."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.go = asyncio.Event()
        self.begun = asyncio.Semaphore(0)

    async def put(self, key: str, source: Path, *, media_type: str) -> Stat:
        return await self._inner.put(key, source, media_type=media_type)

    async def rename(self, key: str, new: str) -> None:
        self.begun.release()
        await self.go.wait()
        await self._inner.rename(key, new)

    async def stat(self, key: str) -> Stat:
        return await self._inner.stat(key)

    def read(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        return self._inner.read(key, start=start, end=end)

    async def delete(self, keys: Any) -> None:
        await self._inner.delete(keys)

    def sign(self, key: str, *, expires: timedelta, now: datetime) -> str:
        return self._inner.sign(key, expires=expires, now=now)

    async def check(self) -> None:
        await self._inner.check()


async def test_a_crowd_of_uploads_to_a_slow_store_leaves_the_database_to_others(open_gateway: Any) -> None:
    async with open_gateway(database_pool=8) as gateway:
        slow = Slow(gateway.house.store)
        gateway.house.store = slow
        crowd = [
            asyncio.create_task(gateway.post("/api/file-base64-upload", {**UPLOAD, "fileName": f"{n}.txt"}))
            for n in range(20)
        ]
        await slow.begun.acquire()
        async with asyncio.timeout(5):
            answer = await gateway.get("/api/v1/chat/credit")
        assert answer["code"] == 200
        slow.go.set()
        answers = await asyncio.gather(*crowd)
    assert all(answer["success"] for answer in answers)
