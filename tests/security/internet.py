"""The internet as the tests of the guard want it: names that they write, hosts that misbehave, a canary that nobody
may wake, and a note of every connection that was tried.

The gateway under test is closed: loopback is forbidden to it, as on a server. A public address is led to a server of
ours by taking its place at the very last step, the connect of the socket; everything before that is the real thing. A
forbidden address is not led anywhere: it is connected, and would reach the canary.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from tessera.kit.outbound import Outbound

WEB = "93.184.215.14"
"""Where the misbehaving host lives, in a block that is public for ever."""
OTHER = "93.184.215.15"
"""A public address at which nobody answers."""

PORT = 8080
Place = tuple[str, int]
Behave = Callable[["Visit"], Awaitable[None]]


@dataclass(slots=True)
class Visit:
    """A request as it came, and the wire on which it is answered byte by byte."""

    path: str
    canary: int
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    async def gone(self) -> None:
        """Until the caller has hung up."""
        await self._reader.read()

    async def say(self, text: str | bytes) -> None:
        """Send; ``{canary}`` in a text is the canary's port."""
        data = text if isinstance(text, bytes) else text.replace("{canary}", str(self.canary)).encode("latin-1")
        self._writer.write(data)
        await self._writer.drain()


@dataclass(slots=True)
class Canary:
    """Listens where nobody may call. ``visits`` are the connections that it saw all the same."""

    port: int
    visits: list[str] = field(default_factory=list)


class Names:
    """The name service. A name has one list of answers for each time that it is asked; the last one stays."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.never = asyncio.Event()
        self._known: dict[str, list[Sequence[str]]] = {}

    def put(self, name: str, *answers: Sequence[str]) -> None:
        self._known[name] = list(answers)

    async def __call__(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        if name == "silent.test":
            await self.never.wait()
        answers = self._known.get(name)
        if answers is None:
            raise OSError("no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]


@dataclass(slots=True)
class Internet:
    """``dialled`` has every address that a socket was connected to, but those of the test itself."""

    names: Names
    canary: Canary
    dialled: list[Place] = field(default_factory=list)
    served: list[str] = field(default_factory=list)
    pages: dict[str, Behave] = field(default_factory=dict)
    _host: int = 0
    _own: frozenset[int] = frozenset()

    @property
    def public(self) -> frozenset[str]:
        """All that may be dialled."""
        return frozenset({WEB, OTHER})

    def spare(self, *ports: int) -> None:
        """Ports of the test's own traffic, which is none of the gateway's."""
        self._own |= set(ports)

    def route(self, place: Any) -> Any:
        """Where a connect really goes."""
        if not isinstance(place, tuple) or place[1] in self._own:
            return place
        self.dialled.append((str(place[0]), int(place[1])))
        match place[0]:
            case str(address) if address == WEB:
                return ("127.0.0.1", self._host)
            case str(address) if address == OTHER:
                raise ConnectionRefusedError("nobody answers there")
            case "127.0.0.1" | "0.0.0.0" | "::1" | "::":
                return place  # a guard with a hole is shown by the canary, too
            case _:
                raise ConnectionRefusedError("the tests go nowhere else")

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = head.split(" ")[1]
            self.served.append(path)
            length = re.search(r"(?i)^content-length: (\d+)", head, re.MULTILINE)
            await reader.readexactly(int(length[1]) if length else 0)
            await self.pages[path](Visit(path, self.canary.port, reader, writer))
        with suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()

    async def wake(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.canary.visits.append("somebody called")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
        writer.close()

    async def begin(self, stack: AsyncExitStack) -> None:
        host = await stack.enter_async_context(_listening(self.answer, "127.0.0.1", 0))
        self._host = host.sockets[0].getsockname()[1]
        canary = await stack.enter_async_context(_listening(self.wake, "127.0.0.1", 0))
        self.canary.port = canary.sockets[0].getsockname()[1]
        with suppress(OSError):  # a machine without IPv6 has one canary
            await stack.enter_async_context(_listening(self.wake, "::1", self.canary.port))


@asynccontextmanager
async def internet(patch: pytest.MonkeyPatch) -> AsyncIterator[Internet]:
    """For as long as the block runs, sockets of this loop are connected as ``route`` says."""
    made = Internet(Names(), Canary(0))
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def rerouted(sock: socket.socket, place: Any) -> None:
        await connect(sock, made.route(place))

    patch.setattr(loop, "sock_connect", rerouted)
    async with AsyncExitStack() as stack:
        await made.begin(stack)
        yield made
        made.names.never.set()


@asynccontextmanager
async def _listening(serve: Any, address: str, port: int) -> AsyncIterator[asyncio.Server]:
    server = await asyncio.start_server(serve, address, port, limit=1 << 20)
    try:
        yield server
    finally:
        server.close()


def hasten(outbound: Outbound, patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Give every download of this client so many seconds at the most, so that a test of patience needs none."""
    download = outbound.download

    async def brisk(url: str, dest: Any, *, timeout: float, **more: Any) -> Any:
        return await download(url, dest, timeout=min(timeout, seconds), **more)

    patch.setattr(outbound, "download", brisk)
