"""Callers that send slowly, or nothing: a connection is not theirs for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from tests.wire.conftest import served
from tests.wire.desk import BASE64, COMMON, CREDIT, GENERATE, STREAM, Desk, seated

from tessera.api import http, protocol
from tessera.providers.fake import Fake
from tessera.testing.databases import Databases
from tessera.testing.gateway import Gateway
from tessera.testing.plugin import Passed

pytestmark = pytest.mark.asyncio(loop_scope="module")

BRIEF = 0.3
"""Seconds that stand in for half a minute here."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def common(postgres: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Gateway, Fake]]:
    async with served(postgres, tmp_path_factory.mktemp("patience")) as both:
        yield both


@pytest_asyncio.fixture(loop_scope="module")
async def desk(common: tuple[Gateway, Fake], passed: Passed, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", BRIEF)
    monkeypatch.setattr(http, "BODY_SECONDS", BRIEF)
    monkeypatch.setattr(http, "LINGER", 0.05)
    return await seated(*common, passed("run.finished"))


@asynccontextmanager
async def dripping(desk: Desk, first: bytes, drop: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """A caller that sends this at once, and that again and again until it is hung up on."""
    place = urlsplit(desk.gateway.base_url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)

    async def drip() -> None:
        with suppress(ConnectionError):
            while drop:
                writer.write(drop)
                await writer.drain()
                await asyncio.sleep(0.02)

    writer.write(first)
    dripper = asyncio.create_task(drip())
    try:
        async with asyncio.timeout(10):
            yield reader
    finally:
        dripper.cancel()
        writer.close()


@pytest.mark.parametrize(
    ("first", "drop"),
    [(b"GET", b""), (b"GET / HTTP/1.1\r\n", b"X-A: b\r\n"), (b"GET / HTTP/1.1\r\nX-A: ", b"a")],
    ids=["half a line", "header by header", "letter by letter"],
)
async def test_a_head_that_does_not_end_is_not_waited_for(desk: Desk, first: bytes, drop: bytes) -> None:
    async with dripping(desk, first, drop) as reader:
        answer = await all_of(reader)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b'{"code":400,"msg":"The request did not come in time","data":null}')


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection ends, however it ends."""
    got = bytearray()
    with suppress(ConnectionError):
        while piece := await reader.read(65536):
            got += piece
    return bytes(got)


@pytest.mark.parametrize("drop", [b"", b"\r\n"], ids=["nothing", "empty lines"])
async def test_a_connection_on_which_nothing_is_asked_is_closed_without_a_word(desk: Desk, drop: bytes) -> None:
    async with dripping(desk, b"", drop) as reader:
        assert await all_of(reader) == b""


async def test_empty_lines_keep_no_used_connection_open(desk: Desk) -> None:
    asked = f"GET {CREDIT} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    async with dripping(desk, asked, b"\r\n") as reader:
        assert (await all_of(reader)).count(b"HTTP/1.1") == 1


async def test_a_refused_body_that_goes_on_trickling_is_not_read_for_ever(desk: Desk) -> None:
    head = f"POST {GENERATE} HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n".encode()
    async with desk.untouched(), dripping(desk, head, b" ") as reader:
        assert (await all_of(reader)).count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("path", [GENERATE, BASE64, STREAM, COMMON])
async def test_a_body_that_trickles_is_not_waited_for(desk: Desk, path: str) -> None:
    lines = [f"POST {path} HTTP/1.1", f"Host: {urlsplit(desk.gateway.base_url).netloc}", "Content-Length: 5000"]
    lines += [f"Authorization: Bearer {desk.keys['test']}", "Content-Type: multipart/form-data; boundary=b", "", ""]
    begun = "\r\n".join(lines)
    if path == STREAM:
        begun += '--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    async with desk.untouched(), dripping(desk, begun.encode(), b" ") as reader:
        answer = await all_of(reader)
    assert b"The request body did not come in time" in answer
    assert b"connection: close" in answer.lower()


async def test_a_connection_that_is_used_has_all_the_time(desk: Desk) -> None:
    """The clock runs for one request at a time: an answer that takes long, and a second request, are no delay."""
    request = f"GET {CREDIT} HTTP/1.1\r\nHost: {urlsplit(desk.gateway.base_url).netloc}\r\n"
    request += f"Authorization: Bearer {desk.keys['test']}\r\n\r\n"
    place = urlsplit(desk.gateway.base_url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    for _ in range(4):
        writer.write(request.encode())
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"}")
        await asyncio.sleep(BRIEF / 2)
    writer.close()
