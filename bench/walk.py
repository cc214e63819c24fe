"""Whole tasks, watched from outside: how long from the request to the provider, and from its answer to the callback.

The tasks that are made here are also what the read rows read.
"""

import asyncio
import random
import time
from contextlib import suppress
from pathlib import Path
from statistics import quantiles
from typing import Any

import aiohttp
import msgspec

from bench.load import HOST
from bench.server import Server

PATIENCE = 30.0
"""Seconds for one task to come back."""


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds, over ``count`` tasks run one at a time."""

    count: int
    p50: float
    p90: float
    worst: float


class Walked(msgspec.Struct, frozen=True, kw_only=True):
    """``files`` maps each task to the link of its picture."""

    accepted: Lag
    called: Lag
    told: Lag
    files: dict[str, str]


class Receiver:
    """Takes callbacks, and notes when each one arrived (nanoseconds of the monotonic clock)."""

    def __init__(self) -> None:
        self.arrived: dict[str, int] = {}
        self._waiting: dict[str, asyncio.Future[None]] = {}

    async def start(self) -> str:
        """Listen; answers the URL to call."""
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        return f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}/callback"

    async def stop(self) -> None:
        self._server.close()

    async def wait(self, task_id: str) -> None:
        if task_id in self.arrived:
            return
        future = self._waiting.setdefault(task_id, asyncio.get_running_loop().create_future())
        await asyncio.wait_for(future, PATIENCE)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
                self._note(await reader.readexactly(size), time.monotonic_ns())
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    def _note(self, body: bytes, now: int) -> None:
        task_id = msgspec.json.decode(body)["data"]["taskId"]
        self.arrived.setdefault(task_id, now)
        if waiting := self._waiting.pop(task_id, None):
            waiting.set_result(None)


class Caller:
    """A client of the gateway, for everything that is not measured under load."""

    def __init__(self, session: aiohttp.ClientSession, server: Server, key: str) -> None:
        self._session = session
        self._base = f"http://{HOST}:{server.port}/api/v1/gpt4o-image"
        self._head = {"Authorization": f"Bearer {key}"}

    async def create(self, prompt: str, callback: str) -> str:
        body = {"prompt": prompt, "size": "1:1", "callBackUrl": callback}
        async with self._session.post(f"{self._base}/generate", json=body, headers=self._head) as answer:
            return str((await _data(answer))["taskId"])

    async def link(self, task_id: str) -> str:
        """The link of the first result of a task that has succeeded."""
        params = {"taskId": task_id}
        async with self._session.get(f"{self._base}/record-info", params=params, headers=self._head) as answer:
            return str((await _data(answer))["response"]["resultUrls"][0])


async def _data(answer: aiohttp.ClientResponse) -> Any:
    envelope = await answer.json()
    if envelope["code"] != 200:
        raise RuntimeError(f"the gateway refused: {envelope}")
    return envelope["data"]


async def walk(server: Server, key: str, notes: Path, *, watched: int, more: int) -> Walked:
    """Run ``watched`` tasks one at a time, the gateway idle between them, then ``more`` at once."""
    receiver = Receiver()
    callback = await receiver.start()
    async with aiohttp.ClientSession() as session:
        caller = Caller(session, server, key)
        for index in range(10):  # warm-up: connections, caches, statements
            await receiver.wait(await caller.create(f"warm {index}", callback))
        sent: dict[str, int] = {}
        accepted: list[float] = []
        for index in range(watched):
            await asyncio.sleep(random.uniform(0.005, 0.05))  # not in step with anybody's rhythm
            now = time.monotonic_ns()
            task_id = await caller.create(f"a lighthouse at dusk {index}", callback)
            accepted.append((time.monotonic_ns() - now) / 1e6)
            sent[task_id] = now
            await receiver.wait(task_id)
        ids = list(sent)
        for start in range(0, more, 32):
            group = range(start, min(start + 32, more))
            ids += await asyncio.gather(*(caller.create(f"a harbour in fog {n}", callback) for n in group))
        await asyncio.gather(*(receiver.wait(task_id) for task_id in ids))
        links = await asyncio.gather(*(caller.link(task_id) for task_id in ids))
    await receiver.stop()
    noted = _read(notes)
    return Walked(
        accepted=_lag(accepted),
        called=_lag([(noted[task_id][0] - at) / 1e6 for task_id, at in sent.items()]),
        told=_lag([(receiver.arrived[task_id] - noted[task_id][1]) / 1e6 for task_id in sent]),
        files=dict(zip(ids, links, strict=True)),
    )


def _read(notes: Path) -> dict[str, tuple[int, int]]:
    """Task id to the moments of call and answer, as ``bench.house`` noted them."""
    lines = (line.split() for line in notes.read_text().splitlines())
    return {task_id: (int(called), int(answered)) for task_id, called, answered in lines}


def _lag(took: list[float]) -> Lag:
    tenths = quantiles(took, n=10)
    return Lag(count=len(took), p50=tenths[4], p90=tenths[8], worst=max(took))
