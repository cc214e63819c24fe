"""Callers who take room: connections beyond count, answers that nobody reads, connections that nothing is asked on."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from tests.security.raw import Raw, answers
from tests.wire.conftest import served
from tests.wire.desk import CREDIT, Desk, seated

from tessera.api.protocol import Protocol
from tessera.db import assets
from tessera.domain.asset import Asset, Origin
from tessera.providers.fake import Fake, png
from tessera.testing.databases import Databases
from tessera.testing.gateway import Gateway
from tessera.testing.plugin import Passed

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOST = 6
"""Connections that the gateway of this file has room for."""

BRIEF = 0.4
"""Seconds in which somebody has to take something of an answer."""

LARGE = 12_000_000
"""Bytes: more than the buffers of both sides hold."""

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def common(postgres: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Gateway, Fake]]:
    settings: dict[str, Any] = {"max_connections": MOST, "stalled_seconds": BRIEF, "keep_alive_seconds": 1}
    async with served(postgres, tmp_path_factory.mktemp("room"), **settings) as both:
        yield both


@pytest_asyncio.fixture(loop_scope="module")
async def desk(common: tuple[Gateway, Fake], passed: Passed) -> AsyncIterator[Desk]:
    seat = await seated(*common, passed("run.finished"))
    await seat.gateway.http.close()  # its connections are some of those that are counted here
    yield seat


def place(desk: Desk) -> tuple[str, int]:
    url = urlsplit(desk.gateway.base_url)
    assert url.hostname
    assert url.port
    return url.hostname, url.port


@asynccontextmanager
async def lines(desk: Desk, count: int) -> AsyncIterator[list[Line]]:
    """So many connections at once, which the gateway has all heard of; none of them asks for anything."""
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(count):
            reader, writer = await asyncio.open_connection(*place(desk))
            stack.callback(writer.close)
            opened.append((reader, writer))
        yield opened


def asking(desk: Desk, path: str = CREDIT, *headers: str) -> bytes:
    told = [f"GET {path} HTTP/1.1", f"Host: {urlsplit(desk.gateway.base_url).netloc}", *headers]
    return "\r\n".join([*told, f"Authorization: Bearer {desk.keys['test']}", "", ""]).encode()


async def ask(desk: Desk) -> Raw:
    """Ask on a connection of its own; what came until it was closed."""
    async with asyncio.timeout(5), lines(desk, 1) as ((reader, writer),):
        writer.write(asking(desk, CREDIT, "Connection: close"))
        (answer,) = answers(await reader.read())
        return answer


async def room(desk: Desk) -> None:
    """Wait until the connections of whoever was here before are forgotten."""
    async with asyncio.timeout(5):
        while not await served_now(desk):
            await asyncio.sleep(0.01)  # who else is there can be asked for nothing that one could await


async def served_now(desk: Desk) -> bool:
    try:
        return (await ask(desk)).status == 200
    except (ConnectionError, ValueError):  # hung up on without a word
        return False


async def test_one_connection_too_many_is_told_so_in_the_envelope(desk: Desk) -> None:
    await room(desk)
    async with lines(desk, MOST) as held:
        answer = await ask(desk)
        assert answer.status == 503
        assert json.loads(answer.body) == {
            "code": 550,
            "msg": "The server has no free connection; please try again",
            "data": None,
        }
        assert {("connection", "close"), ("retry-after", "1")} <= set(answer.headers)
        reader, writer = held[0]
        writer.write(asking(desk))
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200"), "who was there before is served"
    await room(desk)


async def test_the_refusal_is_read_by_a_caller_who_is_still_sending(desk: Desk) -> None:
    await room(desk)
    async with lines(desk, MOST), lines(desk, 1) as ((reader, writer),):
        writer.write(b"POST /api/file-stream-upload HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n")
        writer.write(b"x" * 200_000)
        async with asyncio.timeout(5):
            assert (await reader.read()).startswith(b"HTTP/1.1 503")


async def test_far_too_many_connections_are_told_nothing_and_hold_nothing(desk: Desk) -> None:
    await room(desk)
    async with lines(desk, MOST + 10), lines(desk, 5) as last:
        for reader, _ in last:
            async with asyncio.timeout(5):
                with suppress(ConnectionResetError):
                    assert await reader.read() == b""
    await room(desk)


async def test_who_is_told_that_there_is_no_room_is_not_waited_for(desk: Desk) -> None:
    await room(desk)
    async with lines(desk, MOST), lines(desk, 1) as ((reader, writer),):
        async with asyncio.timeout(5):
            assert b"503" in await reader.readuntil(b"\r\n")
            await reader.read()
            while True:  # it reads no more, and sends on
                try:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.02)
                except ConnectionError:
                    break


async def test_a_connection_on_which_nothing_more_is_asked_is_closed(desk: Desk) -> None:
    await room(desk)
    async with asyncio.timeout(5), lines(desk, 1) as ((reader, writer),):
        writer.write(asking(desk))
        assert len(answers(await reader.read())) == 1


async def large(desk: Desk, folder: Path) -> str:
    """The path of a link to a file that is larger than all buffers on the way."""
    house, path = desk.house, folder / "large.png"
    path.write_bytes(png() + b"\0" * LARGE)
    asset = Asset(
        key=f"room/{house.ids()}.png",
        account_id=desk.account.id,
        origin=Origin.UPLOAD,
        media_type="image/png",
        size=path.stat().st_size,
        sha256="0" * 64,
        created_at=house.clock(),
    )
    await house.store.put(asset.key, path, media_type=asset.media_type)
    async with house.database.transaction() as connection:
        await assets.put(connection, [asset])
    return urlsplit(house.link(asset)).path


@pytest.fixture
def hung_up(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when a connection was closed on somebody who takes nothing."""
    event, judge = asyncio.Event(), Protocol._judge

    def noted(self: Protocol, before: int) -> None:
        judge(self, before)
        if self.transport.is_closing():
            event.set()

    monkeypatch.setattr(Protocol, "_judge", noted)
    return event


@asynccontextmanager
async def narrow(desk: Desk, path: str, *headers: str) -> AsyncIterator[socket.socket]:
    """A connection with little room on our side, on which this was asked for."""
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        line.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(line, place(desk))
        await loop.sock_sendall(line, asking(desk, path, *headers))
        yield line


async def rest(line: socket.socket, most: int = 1 << 40) -> int:
    """How many bytes come until the connection ends, or there were so many."""
    loop, total = asyncio.get_running_loop(), 0
    try:
        while total < most and (piece := await loop.sock_recv(line, min(131_072, most - total))):
            total += len(piece)
    except ConnectionError:
        pass
    return total


@pytest.mark.parametrize("headers", [(), ("Connection: close",)], ids=["kept", "closing"])
async def test_a_reader_who_reads_nothing_is_hung_up_on(
    desk: Desk, tmp_path: Path, hung_up: asyncio.Event, headers: tuple[str, ...]
) -> None:
    await room(desk)
    path = await large(desk, tmp_path)
    async with asyncio.timeout(10), narrow(desk, path, *headers) as line:
        assert await rest(line, 1000) == 1000
        await hung_up.wait()
        assert await rest(line) < LARGE - 1000
    await room(desk)


async def test_a_reader_who_is_slow_but_reads_gets_everything(
    desk: Desk, tmp_path: Path, hung_up: asyncio.Event
) -> None:
    await room(desk)
    path = await large(desk, tmp_path)
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(20), narrow(desk, path, "Connection: close") as line:
        total = 0
        while part := await rest(line, 131_072):
            total += part
            await asyncio.sleep(0.015)
    assert total > LARGE
    assert asyncio.get_running_loop().time() - began > 2 * BRIEF
    assert not hung_up.is_set()
