"""A gateway that is really served: a House behind uvicorn on a free port, in the loop of the test."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import uvicorn

from tessera.api import app
from tessera.wiring import House

POLL = 0.05
"""Seconds between two questions for a record."""

OpenHouse = Callable[..., AbstractAsyncContextManager[House]]
"""``open_house(provided=..., work=..., now=..., **settings)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """``http`` is a client without a key; ``post`` and ``get`` carry the test key unless they are given another."""

    house: House
    base_url: str
    http: aiohttp.ClientSession
    test_key: str = field(repr=False)
    live_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)

    async def post(self, path: str, body: object, *, key: str | None = None, **headers: str) -> Any:
        """POST a JSON body; answers the decoded JSON."""
        async with self.http.post(self.base_url + path, json=body, headers=self._headers(key, headers)) as response:
            return await response.json(content_type=None)

    async def get(self, path: str, *, key: str | None = None, **params: str) -> Any:
        """GET with query parameters; answers the decoded JSON."""
        async with self.http.get(self.base_url + path, params=params, headers=self._headers(key, {})) as response:
            return await response.json(content_type=None)

    async def until(self, path: str, task_id: str, ready: Callable[[Any], Any], *, seconds: float = 30.0) -> Any:
        """Ask a record for a task until ``ready(data)`` is true; answers its data. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not ready(data := (await self.get(path, taskId=task_id))["data"]):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(POLL)
            return data

    def _headers(self, key: str | None, more: dict[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {key or self.test_key}"} | {k.replace("_", "-"): v for k, v in more.items()}


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: a test run has its own."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.begun = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.begun.set()


@asynccontextmanager
async def serving(open_house: OpenHouse, **settings: Any) -> AsyncIterator[Gateway]:
    """Open a House with these settings, serve it, and close both after the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        async with open_house(port=port, **settings) as house, _served(house, listener) as base_url:
            assert house.welcome is not None  # the database was empty
            async with aiohttp.ClientSession() as http:
                yield Gateway(
                    house=house,
                    base_url=base_url,
                    http=http,
                    test_key=house.welcome.test_key,
                    live_key=house.welcome.live_key,
                    webhook_secret=house.welcome.webhook_secret,
                )


@asynccontextmanager
async def _served(house: House, listener: socket.socket) -> AsyncIterator[str]:
    server = _Server(app.server(house))
    running = asyncio.create_task(server.serve([listener]))
    begun = asyncio.create_task(server.begun.wait())
    try:
        await asyncio.wait({running, begun}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running  # its error, if it has one
            raise RuntimeError("the gateway ended before it began")
        yield house.public_url
    finally:
        begun.cancel()
        server.should_exit = True
        await running
